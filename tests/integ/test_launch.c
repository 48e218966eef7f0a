/* SPDX-License-Identifier: Apache-2.0 */
/* The launcher with real processes in real groups. "child" as first argument makes this program a function. */
#include <grp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/xattr.h>

#include "integ/test_launch_rig.h"
#include "model/limits.h"
#include "sys/sys_calls.h"

static char self[4096];

/* ---- as a function ------------------------------------------------------------------------------------------- */

static void child_state(void)
{
	struct rlimit rl;
	char cwd[4096], status[8192], *p, *save = NULL;
	gid_t groups[64];
	DIR *d;
	struct dirent *de;
	int n = getgroups(64, groups);

	d = opendir("/proc/self/fd");
	for (printf("fds"); d && (de = readdir(d)); )
		if (de->d_name[0] != '.' && atoi(de->d_name) != dirfd(d))
			printf(" %s", de->d_name);
	closedir(d);
	slurp("/proc/self/status", status, sizeof(status));
	printf("\n");
	for (p = strtok_r(status, "\n", &save); p; p = strtok_r(NULL, "\n", &save))
		if (strncmp(p, "SigBlk", 6) == 0 || strncmp(p, "SigIgn", 6) == 0 || strncmp(p, "NoNewPrivs", 10) == 0)
			printf("%s\n", p);
	slurp("/proc/self/oom_score_adj", status, sizeof(status));
	getrlimit(RLIMIT_NOFILE, &rl);
	printf("session %d\numask %03o\ncwd %s\nids %d %d %d %d groups", getsid(0) == getpid() && getpgrp() == getpid(),
	       (unsigned int)umask(0), getcwd(cwd, sizeof(cwd)), (int)getuid(), (int)geteuid(), (int)getgid(), (int)getegid());
	for (int i = 0; i < n; i++)
		printf(" %d", (int)groups[i]);
	printf("\nnofile %ld %ld\nnice %d\noom %s", (long)rl.rlim_cur, (long)rl.rlim_max, getpriority(PRIO_PROCESS, 0), status);
}

static void eat(size_t mb)
{
	size_t len = mb << 20;
	volatile char *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		_exit(99);
	for (size_t i = 0; i < len; i += 4096)
		p[i] = 1;
}

static int child_eat(size_t mb)
{
	eat(mb);
	printf("full\n");
	fflush(stdout);
	return 0;
}

/* The leader survives its child, if it is let. */
static int child_eats(size_t mb)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		eat(mb);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return 98;
	printf("%s\n", WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL ? "child killed" : "child lives");
	fflush(stdout);
	return 0;
}

static void burn(long ms)
{
	struct timespec t;

	do
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	while (t.tv_sec * 1000 + t.tv_nsec / 1000000 < ms);
}

/* Half of it in a child that nobody waits for while it runs. */
static int child_burn(long ms)
{
	pid_t pid = fork();

	if (pid < 0)
		return 98;
	burn(ms);
	return 0;
}

static int child_main(const char *what, const char *arg)
{
	extern char **environ;

	if (strcmp(what, "env") == 0) {
		for (char **v = environ; *v; v++)
			printf("%s\n", *v);
	} else if (strcmp(what, "state") == 0) {
		child_state();
	} else if (strcmp(what, "burn") == 0) {
		return child_burn(atoi(arg));
	} else if (strcmp(what, "eat") == 0) {
		return child_eat(strtoul(arg, NULL, 10));
	} else if (strcmp(what, "child-eats") == 0) {
		return child_eats(strtoul(arg, NULL, 10));
	} else if (strcmp(what, "write") == 0) {
		static const char chunk[4096];

		for (size_t left = strtoul(arg, NULL, 10); left;) {
			ssize_t n = write(1, chunk, MIN(left, sizeof(chunk)));

			if (n < 0)
				return 1;
			left -= (size_t)n;
		}
	}
	fflush(stdout);
	return 0;
}

#define CHILD(...) FUNC(self, (char *)"child", __VA_ARGS__)

static void want(const char *text, const char *part)
{
	if (!strstr(text, part))
		FAIL("no \"%s\" in:\n%.700s", part, text);
}

/* Waits until the script has said so: it runs, its children are there. */
static void until_output(struct rig *r, const char *part)
{
	UNTIL(r, strstr(buf_str(&r->output), part));
}

/* ---- a life ---------------------------------------------------------------------------------------------------- */

static void goes_in_and_comes_out(void)
{
	struct rig *r = rig_up();
	struct blob *event = blob_new("{\"a\":1}", 7);
	struct run run = rig_run(r, SH("cat; echo one >&2; echo '{\"errorType\":\"T\"}' >&$FATE_ERROR_FD; exit 3"), event);
	struct stat st;

	CHECK_INT(run.status, 3 << 8);
	CHECK_STR(text_of(run.out), "{\"a\":1}");
	CHECK_STR(text_of(run.report), "{\"errorType\":\"T\"}\n");
	CHECK_STR(buf_str(&r->output), "one\n");
	CHECK_INT(facts_of(r, run.id, FACT_WAIT), 1);
	CHECK_INT(facts_of(r, run.id, FACT_EXEC_FAILED), 0);
	CHECK_INT(facts_of(r, run.id, FACT_TOO_LARGE), 0);
	run_done(&run);

	/* The id is the one the kernel half sees: the directory's inode number. */
	run = rig_start(r, SH("exec sleep 1000"), event);
	CHECK(stat(run.leaf, &st) == 0);
	CHECK(run.id == st.st_ino);
	CHECK_INT(r->port->ops->kill(r->port, run.p, NULL), 0);
	rig_wait(r, &run);
	CHECK_INT(run.status, SIGKILL);
	rig_finish(r, &run);
	CHECK(!run.out && !run.report);
	run_done(&run);
	blob_unref(event);
	rig_down(r);
}

static void statuses_are_told_exactly(void)
{
	static const struct { const char *script; int status; } rows[] = {
		{ "exit 0", 0 }, { "exit 1", 1 << 8 }, { "exit 127", 127 << 8 }, { "exit 255", 255 << 8 },
		{ "ulimit -c 0; kill -SEGV $$", SIGSEGV }, { "kill -TERM $$", SIGTERM }, { "kill -KILL $$", SIGKILL },
		{ "kill -HUP $$", SIGHUP }, { "kill -PIPE $$", SIGPIPE },
	};
	struct rig *r = rig_up();

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct run run = rig_run(r, SH(rows[i].script), NULL);

		if (run.status != rows[i].status)
			FAIL("%s: status %#x, want %#x", rows[i].script, (unsigned int)run.status, (unsigned int)rows[i].status);
		CHECK_INT(facts_of(r, run.id, FACT_EXEC_FAILED), 0);
		run_done(&run);
	}
	rig_down(r);
}

/* ---- what cannot be started --------------------------------------------------------------------------------------- */

static void write_file(const char *path, const char *text, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, mode);

	CHECK(fd >= 0);
	CHECK(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

static void check_exec_failure(struct rig *r, struct func *f, const char *step, int error)
{
	struct run run = rig_run(r, f, NULL);
	int at = fact_at(r, run.id, FACT_EXEC_FAILED);

	if (at < 0)
		FAIL("%s: status %#x and no EXEC_FAILED", step, (unsigned int)run.status);
	CHECK_STR(r->facts[at].step, step);
	CHECK_INT(r->facts[at].error, error);
	CHECK(at < fact_at(r, run.id, FACT_WAIT));
	CHECK_INT(run.status, 127 << 8);
	run_done(&run);
}

static void exec_failures_are_told_apart(void)
{
	char dir[] = "/tmp/fated-launch-XXXXXX", path[5][64];
	struct rig *r = rig_up();
	struct func *f;

	CHECK(mkdtemp(dir));
	CHECK(chmod(dir, 0755) == 0);
	snprintf(path[0], sizeof(path[0]), "%s/plain", dir);
	write_file(path[0], "#!/bin/sh\n", 0644);
	snprintf(path[1], sizeof(path[1]), "%s/interpreter", dir);
	write_file(path[1], "#!/nowhere/sh\n", 0755);
	snprintf(path[2], sizeof(path[2]), "%s/text", dir);
	write_file(path[2], "just text\n", 0755);
	snprintf(path[3], sizeof(path[3]), "%s/closed", dir);
	CHECK(mkdir(path[3], 0700) == 0);

	check_exec_failure(r, FUNC((char *)"/nowhere/at/all"), "execve", ENOENT);
	check_exec_failure(r, FUNC(dir), "execve", EACCES);
	check_exec_failure(r, FUNC(path[0]), "execve", EACCES);
	check_exec_failure(r, FUNC(path[1]), "execve", ENOENT);
	check_exec_failure(r, FUNC(path[2]), "execve", ENOEXEC);
	f = SH("exit 0");
	f->working_dir = xstrdup("/nowhere");
	check_exec_failure(r, f, "chdir", ENOENT);
	/* With the function's own rights: root could have entered. */
	f = SH("exit 0");
	f->working_dir = xstrdup(path[3]);
	f->user = xstrdup("nobody");
	check_exec_failure(r, f, "chdir", EACCES);
	for (int i = 0; i < 3; i++)
		unlink(path[i]);
	rmdir(path[3]);
	rmdir(dir);
	rig_down(r);
}

static void unknown_users_leave_nothing(void)
{
	struct rig *r = rig_up();
	struct func *f = SH("exit 0");
	struct err e = {};
	struct run run;

	f->user = xstrdup("no-such-user-here");
	CHECK(rig_prepare(r, f, NULL, &run, &e) < 0);
	want(err_msg(&e), "no-such-user-here");
	free(f->user);
	f->user = NULL;
	f->group = xstrdup("no-such-group-here");
	CHECK(rig_prepare(r, f, NULL, &run, &e) < 0);
	want(err_msg(&e), "no-such-group-here");
	func_unref(f);
	rig_down(r);
}

/* ---- what a function is given ------------------------------------------------------------------------------------- */

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The lines sorted, so that their order does not matter. */
static char *sorted(const char *text)
{
	char *copy = xstrdup(text), *lines[64], *save = NULL;
	struct buf b = {};
	size_t n = 0;

	for (char *p = strtok_r(copy, "\n", &save); p && n < 64; p = strtok_r(NULL, "\n", &save))
		lines[n++] = p;
	qsort(lines, n, sizeof(*lines), by_text);
	for (size_t i = 0; i < n; i++)
		buf_addf(&b, "%s\n", lines[i]);
	free(copy);
	return buf_take(&b, NULL);
}

static void check_env(struct rig *r, struct func *f, const char *fixed)
{
	struct run run = rig_run(r, f, NULL);
	struct buf b = {};
	char *got, *all;

	buf_addf(&b, "%sFATE_CGROUP=%s\n", fixed, run.leaf);
	got = sorted(text_of(run.out));
	all = sorted(buf_str(&b));
	CHECK_STR(got, all);
	free(got);
	free(all);
	buf_done(&b);
	run_done(&run);
}

static void environment_is_exactly_this(void)
{
#define ALWAYS "AWS_LAMBDA_FUNCTION_NAME=probe\nAWS_LAMBDA_FUNCTION_VERSION=$LATEST\nAWS_LAMBDA_FUNCTION_MEMORY_SIZE=128\n" \
	"AWS_REGION=eu-central-1\nAWS_DEFAULT_REGION=eu-central-1\nFATE_REQUEST_ID=11111111-2222-4333-8444-555555555555\n" \
	"FATE_DEADLINE_MS=1700000000123\nFATE_TIMEOUT_MS=3000\nFATE_ATTEMPT=2\nFATE_ERROR_FD=3\n" \
	"FATE_FUNCTION_ARN=arn:aws:lambda:eu-central-1:000000000000:function:probe\n"
	struct rig *r = rig_up();
	struct func *f = CHILD((char *)"env");

	CHECK(setenv("LEAKED", "yes", 1) == 0);
	check_env(r, f, ALWAYS "TZ=:UTC\nLANG=en_US.UTF-8\nPATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n");
	f = CHILD((char *)"env");
	free(f->env);
	f->env = xcalloc(5, sizeof(char *));
	f->env[0] = xstrdup("PATH=/opt/bin");
	f->env[1] = xstrdup("MINE=a=b");
	f->env[2] = xstrdup("TZ=Europe/Paris");
	f->env[3] = xstrdup("EMPTY=");
	check_env(r, f, ALWAYS "TZ=Europe/Paris\nLANG=en_US.UTF-8\nPATH=/opt/bin\nMINE=a=b\nEMPTY=\n");
	unsetenv("LEAKED");
	rig_down(r);
}

/* What policy made of the definition is what counts, and what came before is said. */
static void terms_are_the_attempts(void)
{
	struct rig *r = rig_up();
	struct func *f = CHILD((char *)"env");
	struct run run;

	rig_terms.timeout_ms = 4500;
	rig_terms.memory_mb = 256;
	rig_terms.previous = "OutOfMemory";
	run = rig_run(r, f, NULL);
	memset(&rig_terms, 0, sizeof(rig_terms));
	want(text_of(run.out), "\nFATE_TIMEOUT_MS=4500\n");
	want(text_of(run.out), "\nFATE_PREVIOUS_VERDICT=OutOfMemory\n");
	want(text_of(run.out), "\nAWS_LAMBDA_FUNCTION_MEMORY_SIZE=256\n");
	CHECK_INT(run.cgroup.memory_limit, r->tree->controllers & CG_MEMORY ? 256 << 20 : 0);
	run_done(&run);
	rig_down(r);
}

/* This process is made as dirty as it can be; the child must not see any of it. */
static void nothing_is_inherited(void)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN }, normal = { .sa_handler = SIG_DFL };
	const int ignored[] = { SIGPIPE, SIGUSR2, SIGHUP, SIGRTMAX };
	int leak = open("/dev/null", O_RDONLY);		/* not CLOEXEC */
	int high = fcntl(leak, F_DUPFD, 200);
	sigset_t block, old;
	mode_t mask = umask(077);
	char cwd[4096];
	struct rig *r;
	struct run run;

	CHECK(leak >= 0 && high >= 200);
	CHECK(getcwd(cwd, sizeof(cwd)) && chdir("/tmp") == 0);
	sigemptyset(&block);
	sigaddset(&block, SIGUSR1);
	sigaddset(&block, SIGTERM);
	sigaddset(&block, SIGRTMIN + 3);
	sigprocmask(SIG_BLOCK, &block, &old);
	for (size_t i = 0; i < ARRAY_SIZE(ignored); i++)
		sigaction(ignored[i], &ignore, NULL);
	CHECK(setpriority(PRIO_PROCESS, 0, 4) == 0);
	write_file("/proc/self/oom_score_adj", "77", 0644);

	r = rig_up();
	run = rig_run(r, CHILD((char *)"state"), NULL);

	write_file("/proc/self/oom_score_adj", "0", 0644);
	CHECK(setpriority(PRIO_PROCESS, 0, 0) == 0);
	for (size_t i = 0; i < ARRAY_SIZE(ignored); i++)
		sigaction(ignored[i], &normal, NULL);
	sigprocmask(SIG_SETMASK, &old, NULL);
	umask(mask);
	CHECK(chdir(cwd) == 0);
	close(leak);
	close(high);

	want(text_of(run.out), "fds 0 1 2 3\n");
	want(text_of(run.out), "SigBlk:\t0000000000000000\n");
	want(text_of(run.out), "SigIgn:\t0000000000000000\n");
	want(text_of(run.out), "NoNewPrivs:\t1\n");
	want(text_of(run.out), "session 1\numask 022\ncwd /\n");
	want(text_of(run.out), "nice 0\noom 0\n");
	run_done(&run);
	rig_down(r);
}

static void runs_as_whom_it_is_told(void)
{
	struct rig *r = rig_up();
	struct run run;
	struct func *f;

	f = CHILD((char *)"state");
	f->user = xstrdup("nobody");
	run = rig_run(r, f, NULL);
	want(text_of(run.out), "ids 65534 65534 65534 65534 groups 65534\n");
	run_done(&run);

	f = CHILD((char *)"state");
	f->user = xstrdup("4711");
	f->group = xstrdup("4712");
	run = rig_run(r, f, NULL);
	want(text_of(run.out), "ids 4711 4711 4712 4712 groups 4712\n");
	run_done(&run);

	f = CHILD((char *)"state");
	f->group = xstrdup("daemon");
	run = rig_run(r, f, NULL);
	want(text_of(run.out), "ids 0 0 1 1 groups 1\n");
	run_done(&run);
	rig_down(r);
}

static void limits_of_the_process_and_the_leaf(void)
{
	static const struct { enum cg_controller c; const char *file, *value; } rows[] = {
		{ CG_MEMORY, "memory.max", "201326592\n" }, { CG_MEMORY, "memory.oom.group", "0\n" },
		{ CG_PIDS, "pids.max", "17\n" }, { CG_CPU, "cpu.max", "150000 100000\n" },
	};
	struct rig *r = rig_up();
	struct func *f = CHILD((char *)"state");
	struct run run;

	f->no_new_privs = false;
	f->rlimits = xcalloc(1, sizeof(*f->rlimits));
	f->rlimits[0] = (struct func_rlimit){ RLIMIT_NOFILE, { 37, 41 } };
	f->n_rlimits = 1;
	f->working_dir = xstrdup("/usr/lib");
	run = rig_run(r, f, NULL);
	want(text_of(run.out), "NoNewPrivs:\t0\n");
	want(text_of(run.out), "nofile 37 41\n");
	want(text_of(run.out), "cwd /usr/lib\n");
	CHECK(run.cgroup.have_memory == !!(r->tree->controllers & CG_MEMORY));
	run_done(&run);

	f = SH("exec sleep 1000");
	f->memory_mb = 192;
	f->oom_group = false;
	f->pids_max = 17;
	f->cpu_percent = 150;
	run = rig_start(r, f, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char path[4400], text[64];

		if (!(r->tree->controllers & rows[i].c))
			continue;	/* said in the status; the_tree checks that */
		snprintf(path, sizeof(path), "%s/%s", run.leaf, rows[i].file);
		slurp(path, text, sizeof(text));
		CHECK_STR(text, rows[i].value);
	}
	CHECK_INT(r->port->ops->kill(r->port, run.p, NULL), 0);
	rig_wait(r, &run);
	rig_finish(r, &run);
	run_done(&run);
	rig_down(r);
}

/* ---- what is told of it ---------------------------------------------------------------------------------------------- */

static unsigned int missing_here(const struct rig *r)
{
	unsigned int c = r->tree->controllers;

	return (c & CG_MEMORY ? 0 : FACT_MISSING_MEMORY) | (c & CG_PIDS ? 0 : FACT_MISSING_PIDS) |
	       (c & CG_CPU ? 0 : FACT_MISSING_CPU);
}

/* Processors are accounted for without any controller, dead children that nobody waited for included. */
static void times_of_the_tree(void)
{
	struct rig *r = rig_up();
	struct run run = rig_run(r, CHILD((char *)"burn", (char *)"60"), NULL);

	CHECK_INT(run.status, 0);
	CHECK(run.cgroup.have_cpu);
	CHECK(run.cgroup.cpu_user_us + run.cgroup.cpu_system_us >= 120000);
	CHECK(run.cgroup.cpu_usage_us >= 120000);
	run_done(&run);
	rig_down(r);
}

static void limits_that_are_missing(void)
{
	struct rig *r = rig_up();
	struct func *f = SH("exit 0");
	struct run run;

	f->pids_max = 17;
	f->cpu_percent = 150;
	run = rig_run(r, f, NULL);
	CHECK_INT(run.cgroup.missing, missing_here(r));
	CHECK(run.cgroup.have_memory == !(run.cgroup.missing & FACT_MISSING_MEMORY));
	run_done(&run);

	f = SH("exit 0");
	f->pids_max = 0;
	f->cpu_percent = 0;
	run = rig_run(r, f, NULL);
	CHECK_INT(run.cgroup.missing, missing_here(r) & FACT_MISSING_MEMORY);
	run_done(&run);
	rig_down(r);
}

static void check_collect(struct rig *r, struct run *run, const char *out, const char *report)
{
	blob_unref(TAKE(run->out));
	blob_unref(TAKE(run->report));
	r->port->ops->collect(r->port, run->p, &run->cgroup, &run->out, &run->report);
	CHECK_STR(text_of(run->out), out);
	CHECK_STR(text_of(run->report), report);
	CHECK(run->cgroup.have_cpu);
	CHECK_INT(run->cgroup.missing, missing_here(r) & (FACT_MISSING_MEMORY | FACT_MISSING_PIDS));
}

/* After the leader, with a process left, and when all is over: each time everything that came so far. */
static void collected_again(void)
{
	char dir[] = "/tmp/fated-launch-XXXXXX", fifo[64], script[512];
	struct rig *r = rig_up();
	uint64_t cpu;
	struct run run;

	CHECK(mkdtemp(dir));
	snprintf(fifo, sizeof(fifo), "%s/fifo", dir);
	CHECK(mkfifo(fifo, 0600) == 0);
	snprintf(script, sizeof(script), "echo one; echo r1 >&3; (read x <%s; echo two; echo r2 >&3; echo more >&2; exec "
		 "sleep 1000) & echo up >&2; exit 0", fifo);
	run = rig_start(r, SH(script), NULL);
	rig_wait(r, &run);
	until_output(r, "up");
	check_collect(r, &run, "one\n", "r1\n");
	check_collect(r, &run, "one\n", "r1\n");
	cpu = run.cgroup.cpu_usage_us;
	write_file(fifo, "go\n", 0600);
	until_output(r, "more");
	check_collect(r, &run, "one\ntwo\n", "r1\nr2\n");
	CHECK(run.cgroup.cpu_usage_us >= cpu);	/* what runs just now is booked when it stops */
	CHECK_INT(r->port->ops->kill(r->port, run.p, NULL), 0);
	UNTIL(r, r->port->ops->populated(r->port, run.p) == 0);
	check_collect(r, &run, "one\ntwo\n", "r1\nr2\n");
	CHECK(run.cgroup.cpu_usage_us > cpu);
	CHECK_STR(buf_str(&r->output), "up\nmore\n");	/* a stream: told once */
	r->port->ops->release(r->port, run.p);
	run_done(&run);
	unlink(fifo);
	rmdir(dir);
	rig_down(r);
}

static void groups_by_their_ids(void)
{
	struct rig *r = rig_up();
	struct run run = rig_start(r, SH("exec sleep 1000"), NULL);
	const struct port_launch_ops *ops = r->port->ops;
	size_t mount = strlen(r->tree->mount), fds = count_fds();
	char path[4300], other[4400];
	struct stat st;

	CHECK_INT(ops->group_path(r->port, run.id, path, sizeof(path)), 0);
	CHECK_STR(path, run.leaf + mount);
	CHECK_INT(ops->group_path(r->port, r->tree->env_id, path, sizeof(path)), 0);
	CHECK_STR(path, r->tree->env + mount);
	CHECK(stat(r->tree->mount, &st) == 0);
	CHECK_INT(ops->group_path(r->port, st.st_ino, path, sizeof(path)), 0);
	CHECK_STR(path, "/");
	CHECK_INT(ops->group_path(r->port, run.id, path, 3), -ENAMETOOLONG);

	/* A file is no group; and one that somebody made is found as well as one of ours. */
	snprintf(other, sizeof(other), "%s/cgroup.procs", run.leaf);
	CHECK(stat(other, &st) == 0);
	CHECK_INT(ops->group_path(r->port, st.st_ino, path, sizeof(path)), -ENOENT);
	snprintf(other, sizeof(other), "%s/of somebody else", run.leaf);
	CHECK(mkdir(other, 0755) == 0);
	CHECK(stat(other, &st) == 0);
	CHECK_INT(ops->group_path(r->port, st.st_ino, path, sizeof(path)), 0);
	CHECK_STR(path, other + mount);
	CHECK(rmdir(other) == 0);
	CHECK_INT(ops->group_path(r->port, st.st_ino, path, sizeof(path)), -ENOENT);
	CHECK_INT(ops->group_path(r->port, UINT64_MAX, path, sizeof(path)), -ENOENT);
	CHECK_INT(ops->group_path(r->port, 0, path, sizeof(path)), -ENOENT);

	CHECK_INT(ops->kill(r->port, run.p, NULL), 0);
	rig_wait(r, &run);
	CHECK_INT(ops->group_path(r->port, run.id, path, sizeof(path)), 0);
	rig_finish(r, &run);
	CHECK_INT(ops->group_path(r->port, run.id, path, sizeof(path)), -ENOENT);
	CHECK_INT(count_fds(), fds - 5);	/* three pipes, the pidfd and the leaf's own */
	run_done(&run);
	rig_down(r);
}

/* ---- whose limit --------------------------------------------------------------------------------------------------- */

#define MB(n) ((uint64_t)(n) << 20)

/* At the top of the mount, where the memory controller may be had: our own group has processes and hands nothing down. */
static struct rig *memory_rig(void)
{
	struct rig *r = rig_up_in(rig_top_base);
	char why[200];

	if (r->tree->controllers & CG_MEMORY)
		return r;
	snprintf(why, sizeof(why), "memory: %s", cg_tree_why_not(r->tree, CG_MEMORY));
	rig_down(r);
	SKIP("%s", why);
}

/* who: "eat" or "child-eats". With group the leader goes with its child. */
static struct run eater(struct rig *r, const char *who, const char *mb, int limit_mb, bool group)
{
	struct func *f = CHILD((char *)who, (char *)mb);
	struct run run;

	f->memory_mb = limit_mb;
	f->oom_group = group;
	run = rig_run(r, f, NULL);
	if (strcmp(who, "eat") == 0 || group) {
		CHECK_INT(run.status, SIGKILL);
	} else {
		CHECK_INT(run.status, 0);
		CHECK_STR(text_of(run.out), "child killed\n");
	}
	CHECK(run.cgroup.have_memory && run.cgroup.oom_kills >= 1);
	CHECK_INT(run.cgroup.memory_limit, MB(limit_mb));
	CHECK_INT(run.cgroup.missing & FACT_MISSING_MEMORY, 0);
	return run;
}

#define EACH_EATER(who, group) \
	for (int _i = 0; _i < 4; _i++) \
		for (const char *who = _i & 1 ? "eat" : "child-eats"; who; who = NULL) \
			for (bool group = _i & 2, _once = true; _once; _once = false)

static void oom_kills_by_the_own_limit(void)
{
	struct rig *r = memory_rig();

	EACH_EATER(who, group) {
		struct run run = eater(r, who, "96", 48, group);

		CHECK(run.cgroup.own_ooms >= 1);
		CHECK(run.cgroup.memory_peak > MB(32) && run.cgroup.memory_peak <= MB(48));
		CHECK(!run.cgroup.above_known);
		run_done(&run);
	}
	rig_down(r);
}

/* A limit the function set in its own leaf is its own. */
static void oom_kills_by_a_nested_limit(void)
{
	struct rig *r = memory_rig();
	struct func *f;
	char script[5000];
	struct run run;

	snprintf(script, sizeof(script), "cd $FATE_CGROUP && mkdir in && echo $$ >in/cgroup.procs && echo +memory "
		 ">cgroup.subtree_control && echo 24M >in/memory.max && exec %s child eat 96", self);
	f = SH(script);
	f->oom_group = false;
	run = rig_run(r, f, NULL);
	CHECK_INT(run.status, SIGKILL);
	CHECK(run.cgroup.oom_kills >= 1 && run.cgroup.own_ooms >= 1);
	CHECK(!run.cgroup.above_known);
	run_done(&run);
	rig_down(r);
}

static void limit_group(const char *dir, const char *value)
{
	char path[4400];

	snprintf(path, sizeof(path), "%s/memory.max", dir);
	write_file(path, value, 0644);
}

static void check_above(struct rig *r, const char *dir)
{
	EACH_EATER(who, group) {
		struct run run = eater(r, who, "96", 256, group);

		CHECK_INT(run.cgroup.own_ooms, 0);
		CHECK(run.cgroup.above_known);
		CHECK_STR(run.cgroup.above, dir + strlen(r->tree->mount));
		CHECK_INT(run.cgroup.above_limit, MB(48));
		run_done(&run);
	}
}

static void oom_kills_by_a_limit_above(void)
{
	struct rig *r = memory_rig();
	struct run run;

	limit_group(r->tree->env, "48M");
	check_above(r, r->tree->env);
	limit_group(r->tree->env, "max");
	limit_group(r->tree->root, "48M");
	check_above(r, r->tree->root);
	/* Earlier kills up there are not this one's: its own limit is the lowest. */
	run = eater(r, "eat", "96", 24, true);
	CHECK(run.cgroup.own_ooms >= 1 && !run.cgroup.above_known);
	run_done(&run);
	rig_down(r);
}

/* Two groups above ran into their limits while it lived. The first look can tell; had there been none, nobody could. */
static void oom_kills_by_two_limits_above(void)
{
	struct rig *r = memory_rig();
	struct func *f = SH("echo up >&2; read x; exec sleep 1000");
	struct run witness, run;

	witness = rig_start(r, f, NULL);
	until_output(r, "up");
	limit_group(r->tree->env, "48M");
	run = eater(r, "eat", "96", 256, true);
	CHECK(run.cgroup.above_known);
	run_done(&run);
	limit_group(r->tree->env, "max");
	limit_group(r->tree->root, "48M");
	run = eater(r, "eat", "96", 256, true);
	CHECK(run.cgroup.above_known);
	CHECK_STR(run.cgroup.above, r->tree->root + strlen(r->tree->mount));
	run_done(&run);
	/* A limit below what is in use: the one process that is left to be killed is the witness. */
	limit_group(r->tree->root, "0");
	rig_wait(r, &witness);
	CHECK_INT(witness.status, SIGKILL);
	limit_group(r->tree->root, "max");
	rig_finish(r, &witness);
	CHECK(witness.cgroup.oom_kills >= 1);
	CHECK_INT(witness.cgroup.own_ooms, 0);
	CHECK(!witness.cgroup.above_known);
	run_done(&witness);
	rig_down(r);
}

/* ---- bytes ---------------------------------------------------------------------------------------------------------- */

static void events_of_all_sizes(void)
{
	static const size_t sizes[] = { 1, 4096, 65535, 65536, 65537, 1 << 20, 5 << 20 };
	struct rig *r = rig_up();

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct blob *event = blob_new(NULL, sizes[i]);
		struct run run;

		for (size_t k = 0; k < sizes[i]; k++)
			event->data[k] = (char)("abcdefghijk"[(k * 7 + k / 4096) % 11]);
		run = rig_run(r, SH("exec cat"), event);
		CHECK_INT(run.status, 0);
		CHECK(run.out && run.out->len == sizes[i]);
		CHECK(memcmp(run.out->data, event->data, sizes[i]) == 0);
		run_done(&run);
		/* Whoever does not read is not held up, and holds up nobody. */
		run = rig_run(r, SH("exit 0"), event);
		CHECK_INT(run.status, 0);
		run_done(&run);
		blob_unref(event);
	}
	rig_down(r);
}

static struct run write_bytes(struct rig *r, size_t n)
{
	char text[32];

	snprintf(text, sizeof(text), "%zu", n);
	return rig_run(r, CHILD((char *)"write", text), NULL);
}

static void response_up_to_the_limit(void)
{
	struct rig *r = rig_up();
	struct run run = write_bytes(r, LIM_RESPONSE);

	CHECK_INT(run.status, 0);
	CHECK_INT(run.out->len, LIM_RESPONSE);
	CHECK_INT(facts_of(r, run.id, FACT_TOO_LARGE), 0);
	run_done(&run);

	/* One byte more; and it goes to its end, because somebody reads on. The fact is in before the end is. */
	run = write_bytes(r, LIM_RESPONSE + 1);
	CHECK_INT(run.status, 0);
	CHECK_INT(facts_of(r, run.id, FACT_TOO_LARGE), 1);
	CHECK(fact_at(r, run.id, FACT_TOO_LARGE) < fact_at(r, run.id, FACT_WAIT));
	run_done(&run);

	run = rig_start(r, SH("exec yes"), NULL);
	UNTIL(r, fact_at(r, run.id, FACT_TOO_LARGE) >= 0);
	CHECK_INT(r->port->ops->kill(r->port, run.p, NULL), 0);
	rig_wait(r, &run);
	CHECK_INT(run.status, SIGKILL);
	CHECK_INT(facts_of(r, run.id, FACT_TOO_LARGE), 1);
	rig_finish(r, &run);
	run_done(&run);
	rig_down(r);
}

static void long_reports_and_logs_hold_up_nobody(void)
{
	struct rig *r = rig_up();
	struct run run = rig_run(r, SH("head -c 400000 /dev/zero >&3; head -c 300000 /dev/zero >&2; exit 5"), NULL);

	CHECK_INT(run.status, 5 << 8);
	CHECK(run.report);
	CHECK_INT(run.report->len, LIM_ERROR_REPORT);
	CHECK_INT(r->output.len, 300000);
	run_done(&run);
	rig_down(r);
}

/* ---- trees ------------------------------------------------------------------------------------------------------------- */

static void leftovers_are_found_and_killed(void)
{
	struct rig *r = rig_up();
	/* A double fork into another session, all descriptors closed, parents gone. */
	struct run run = rig_start(r, SH("(setsid sh -c 'exec sleep 1000 <&- >&- 2>&- 3>&-' &) & wait; exit 4"), NULL);

	rig_wait(r, &run);
	CHECK_INT(run.status, 4 << 8);
	CHECK_INT(r->port->ops->populated(r->port, run.p), 1);
	CHECK_INT(r->port->ops->populated(r->port, run.p), 1);	/* asking twice is fine */
	CHECK(r->port->ops->count(r->port, run.p) >= 1);
	CHECK_INT(facts_of(r, run.id, FACT_EMPTY), 0);
	CHECK_INT(r->port->ops->kill(r->port, run.p, NULL), 0);
	UNTIL(r, fact_at(r, run.id, FACT_EMPTY) >= 0);
	CHECK_INT(r->port->ops->count(r->port, run.p), 0);
	rig_finish(r, &run);
	CHECK_INT(facts_of(r, run.id, FACT_EMPTY), 1);
	run_done(&run);
	rig_down(r);
}

/* The subshell goes on when its parent has been waited for. */
#define AFTER_THE_LEADER(what) \
	"(while kill -0 $$ 2>/dev/null; do :; done; " what "; echo done >&2; exec sleep 1000) & echo leader; exit 0"

static void what_is_written_after_the_leader(void)
{
	struct rig *r = rig_up();
	struct run run = rig_start(r, SH(AFTER_THE_LEADER("echo late")), NULL);

	rig_wait(r, &run);
	CHECK_INT(run.status, 0);
	until_output(r, "done");
	CHECK_INT(r->port->ops->kill(r->port, run.p, NULL), 0);
	rig_finish(r, &run);
	CHECK_STR(text_of(run.out), "leader\nlate\n");
	run_done(&run);

	buf_clear(&r->output);
	run = rig_start(r, SH(AFTER_THE_LEADER("head -c 7000000 /dev/zero")), NULL);
	rig_wait(r, &run);
	until_output(r, "done");
	CHECK_INT(r->port->ops->kill(r->port, run.p, NULL), 0);
	rig_finish(r, &run);
	CHECK_INT(facts_of(r, run.id, FACT_TOO_LARGE), 1);
	run_done(&run);
	rig_down(r);
}

static void sigterm_reaches_all_and_may_be_ignored(void)
{
	struct rig *r = rig_up();
	struct run run = rig_start(r, SH("trap 'echo leader-term >&2' TERM; "
					 "setsid sh -c 'trap \"echo child-term >&2\" TERM; echo child-ready >&2; while :; "
					 "do sleep 1000 & wait $!; done' & echo leader-ready >&2; while :; do wait; done"), NULL);

	until_output(r, "leader-ready");
	until_output(r, "child-ready");
	CHECK(r->port->ops->count(r->port, run.p) >= 2);
	r->port->ops->term(r->port, run.p);
	until_output(r, "leader-term");
	until_output(r, "child-term");
	CHECK_INT(facts_of(r, run.id, FACT_WAIT), 0);
	CHECK_INT(r->port->ops->kill(r->port, run.p, NULL), 0);
	rig_wait(r, &run);
	CHECK_INT(run.status, SIGKILL);
	rig_finish(r, &run);
	run_done(&run);

	buf_clear(&r->output);
	run = rig_start(r, SH("trap '' TERM; echo deaf >&2; while :; do sleep 1000; done"), NULL);
	until_output(r, "deaf");
	r->port->ops->term(r->port, run.p);
	CHECK_INT(r->port->ops->populated(r->port, run.p), 1);
	CHECK_INT(r->port->ops->kill(r->port, run.p, NULL), 0);
	rig_wait(r, &run);
	rig_finish(r, &run);
	run_done(&run);

	/* A stopped one is woken for it. */
	buf_clear(&r->output);
	run = rig_start(r, SH("echo here >&2; kill -STOP $$; echo never >&2"), NULL);
	until_output(r, "here");
	for (int64_t began = clock_mono_ns(); facts_of(r, run.id, FACT_WAIT) == 0;) {
		r->port->ops->term(r->port, run.p);	/* again: it may have stopped just after the first */
		rig_spin(r, began);
	}
	rig_wait(r, &run);
	CHECK_INT(run.status, SIGTERM);
	rig_finish(r, &run);
	run_done(&run);
	rig_down(r);
}

static void nested_groups_belong_to_it(void)
{
	struct rig *r = rig_up();
	struct run run = rig_start(r, SH("mkdir -p $FATE_CGROUP/a/b $FATE_CGROUP/c && echo $$ >$FATE_CGROUP/a/b/cgroup.procs && "
					 "sleep 1000 & echo nested >&2; wait"), NULL);

	until_output(r, "nested");
	UNTIL(r, r->port->ops->count(r->port, run.p) >= 2);
	r->port->ops->term(r->port, run.p);
	rig_wait(r, &run);
	CHECK_INT(run.status, SIGTERM);
	CHECK_INT(r->port->ops->kill(r->port, run.p, NULL), 0);
	rig_finish(r, &run);
	run_done(&run);
	rig_down(r);
}

/* ---- an earlier run ---------------------------------------------------------------------------------------------------- */

struct reaped { uint64_t id[8]; char name[8][64]; size_t n; };

static void on_reaped(void *arg, uint64_t cgroup_id, const char *name)
{
	struct reaped *re = arg;

	if (re->n < 8) {
		snprintf(re->name[re->n], sizeof(re->name[0]), "%s", name);
		re->id[re->n++] = cgroup_id;
	}
}

/* A daemon that dies with three environments running, one of them nested, one deaf. Writes their ids to fd. */
static void die_with_environments(int fd)
{
	static const char *const scripts[] = {
		"exec sleep 1000 >/dev/null",
		"mkdir $FATE_CGROUP/in && echo $$ >$FATE_CGROUP/in/cgroup.procs && echo up >&2; exec sleep 1000 2>/dev/null",
		"trap '' TERM HUP; setsid sleep 1000 & echo up >&2; wait",
	};
	struct rig *r = rig_up();
	uint64_t ids[3];

	for (size_t i = 0; i < 3; i++)
		ids[i] = rig_start(r, SH(scripts[i]), NULL).id;
	UNTIL(r, r->output.len >= 6);
	if (write(fd, ids, sizeof(ids)) != sizeof(ids))
		_exit(1);
	_exit(0);
}

/* The daemon before us: of it three environments are left. */
static struct rig *rig_up_after_another(uint64_t ids[3])
{
	unsigned int serial = rig_serial;
	int fds[2], status;
	struct rig *r;
	pid_t pid;

	CHECK(pipe2(fds, O_CLOEXEC) == 0);
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		if (setjmp(test_jmp) == 0)
			die_with_environments(fds[1]);
		fprintf(stderr, "%s\n", test_why);
		_exit(1);
	}
	close(fds[1]);
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(read(fds[0], ids, 3 * sizeof(ids[0])) == 3 * sizeof(ids[0]));
	close(fds[0]);
	CHECK_INT(status, 0);

	r = rig_up();		/* the same serial number, so the same directory */
	CHECK_INT(serial + 1, rig_serial);
	rig_serial += 8;
	return r;
}

static const char *fd_path(const char *link)
{
	static char path[4300];
	ssize_t n = readlink(link, path, sizeof(path) - 1);

	path[MAX(n, 0)] = '\0';
	return path;
}

/* Every look at the events of the first group that is looked at says that somebody lives in it. */
static char stuck[4300];
static int stuck_looks;

static ssize_t pread_of_stuck(int fd, void *data, size_t len, off_t at)
{
	static const char lives[] = "populated 1\nfrozen 0\n";
	ssize_t n = pread(fd, data, len, at);
	char link[40];
	const char *path;

	if (n < 0)
		return -errno;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	path = fd_path(link);
	if (!strstr(path, "cgroup.events"))
		return n;
	if (!stuck[0])
		snprintf(stuck, sizeof(stuck), "%s", path);
	if (strcmp(stuck, path) != 0)
		return n;
	stuck_looks++;
	memcpy(data, lives, sizeof(lives));
	return sizeof(lives) - 1;
}

static void what_does_not_die_holds_up_nobody(void)
{
	ssize_t (*real)(int, void *, size_t, off_t) = sys.pread;
	struct reaped re = {};
	uint64_t ids[3] = {};
	struct err e = {};
	struct rig *r;
	int res;

	rig_keep.reap_ms = 300;
	r = rig_up_after_another(ids);
	rig_keep.reap_ms = 0;
	sys.pread = pread_of_stuck;
	res = r->port->ops->reap(r->port, on_reaped, &re, &e);
	sys.pread = real;
	CHECK_INT(res, 0);
	CHECK(stuck_looks > 1);
	CHECK_INT(re.n, 2);
	CHECK_INT(r->port->ops->reap(r->port, on_reaped, &re, &e), 0);		/* the next start */
	CHECK_INT(re.n, 3);
	r->tree->made_root = r->tree->made_env = true;
	rig_down(r);
}

static void an_earlier_run_is_reaped(void)
{
	uint64_t ids[3] = {};
	struct reaped re = {};
	struct err e = {};
	struct rig *r;
	char path[4300];

	r = rig_up_after_another(ids);
	snprintf(path, sizeof(path), "%s/of-somebody-else-with-a-name-that-is-quite-a-bit-longer-than-ours-ever-are", r->tree->env);
	CHECK(mkdir(path, 0755) == 0);
	if (r->port->ops->reap(r->port, on_reaped, &re, &e) < 0)
		FAIL("%s", err_msg(&e));
	CHECK_INT(re.n, 4);
	for (size_t i = 0; i < 3; i++) {
		size_t k;

		for (k = 0; k < re.n && re.id[k] != ids[i]; k++)
			;
		CHECK(k < re.n);
		CHECK(strncmp(re.name[k], "t", 1) == 0);
	}
	CHECK_INT(r->port->ops->reap(r->port, on_reaped, &re, &e), 0);
	CHECK_INT(re.n, 4);
	r->tree->made_root = r->tree->made_env = true;	/* by the one before us */
	rig_down(r);
}

/* ---- many -------------------------------------------------------------------------------------------------------------- */

static void many_at_once(void)
{
	enum { N = 60 };
	struct rig *r = rig_up();
	struct run runs[N];

	for (int i = 0; i < N; i++) {
		char script[64];

		snprintf(script, sizeof(script), "cat >/dev/null; echo %d; exit %d", i * 7, i);
		runs[i] = rig_start(r, SH(script), NULL);
	}
	for (int i = 0; i < N; i++) {
		char text[16];

		rig_wait(r, &runs[i]);
		rig_finish(r, &runs[i]);
		snprintf(text, sizeof(text), "%d\n", i * 7);
		CHECK_STR(text_of(runs[i].out), text);
		CHECK_INT(runs[i].status, i << 8);
		run_done(&runs[i]);
	}
	rig_down(r);
}

static void five_hundred_leak_nothing(void)
{
	size_t fds = count_fds(), inside = 0, threads = count_dir("/proc/self/task", 0);
	struct rig *r = rig_up();

	for (int i = 0; i < 500; i++) {
		struct run run = i % 10 == 9 ? rig_run(r, FUNC((char *)"/nowhere"), NULL) : rig_run(r, SH("exit 0"), NULL);

		CHECK_INT(run.status, i % 10 == 9 ? 127 << 8 : 0);
		run_done(&run);
		r->n_facts = 0;
		if (i == 9)
			inside = count_fds();
	}
	CHECK_INT(count_fds(), inside);
	CHECK_INT(count_dir(r->tree->env, DT_DIR), 0);
	rig_down(r);
	CHECK_INT(count_fds(), fds);
	/* A thread that was joined may show for a moment longer. */
	for (int64_t began = clock_mono_ns(); count_dir("/proc/self/task", 0) != threads;)
		CHECK(clock_mono_ns() - began < HANG_NS);
}

static void refuses_to_work_without_waiting(void)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN }, old;
	struct launch_config lc = {};
	struct fact_sink sink = {};
	struct launch *l = NULL;
	struct rig *r = rig_up();
	struct err e = {};
	int res;

	sigaction(SIGCHLD, &ignore, &old);
	res = launch_new(r->loop, r->tree, &lc, &sink, &l, &e);
	sigaction(SIGCHLD, &old, NULL);
	CHECK_INT(res, -EINVAL);
	want(err_msg(&e), "SIGCHLD");
	rig_down(r);
}

/* ---- the tree ---------------------------------------------------------------------------------------------------------- */

static void the_tree(void)
{
	struct rig *r = rig_up();
	cJSON *o = cJSON_CreateObject();
	struct cg_tree_config bad = {};
	struct cg_tree *t = NULL;
	struct stat st;
	struct err e = {};
	char path[4300];

	CHECK(stat(r->tree->env, &st) == 0);
	CHECK(r->tree->env_id == st.st_ino);
	snprintf(path, sizeof(path), "%s/env", r->tree->root);
	CHECK_STR(r->tree->env, path);
	cg_tree_status(r->tree, o);
	CHECK_STR(cJSON_GetStringValue(cJSON_GetObjectItem(o, "path")), path);
	CHECK_INT(cJSON_GetNumberValue(cJSON_GetObjectItem(o, "level")), r->tree->env_level);
	for (unsigned int c = 1; c <= CG_CPU; c <<= 1) {
		cJSON *one = cJSON_GetObjectItem(cJSON_GetObjectItem(o, "controllers"), cg_controller_name(c));
		bool on = r->tree->controllers & c;

		CHECK(cJSON_IsBool(cJSON_GetObjectItem(one, "enabled")) && cJSON_IsTrue(cJSON_GetObjectItem(one, "enabled")) == on);
		CHECK(on || strlen(cJSON_GetStringValue(cJSON_GetObjectItem(one, "reason"))) > 10);
	}
	cJSON_Delete(o);
	rig_down(r);

	bad.path = "/tmp/fated-no-cgroup";
	CHECK(cg_tree_new(&bad, &t, &e) == -EINVAL);
	want(err_msg(&e), "not in a cgroup v2 tree");
	CHECK(access(bad.path, F_OK) < 0);
	bad.path = "relative";
	CHECK(cg_tree_new(&bad, &t, &e) == -EINVAL);
	CHECK(!t);
}

/* As under systemd's Delegate=yes: the group we are in carries the mark, so it is ours, and we leave it. */
static int in_delegated_group(const char *group)
{
	struct cg_tree_config tc = {};
	char text[4300], want_line[4300], procs[4300];
	struct cg_tree *t = NULL, *again = NULL;
	struct err e = {};
	struct rig *r;

	snprintf(procs, sizeof(procs), "%s/cgroup.procs", group);
	write_file(procs, "0", 0644);
	if (cg_tree_new(&tc, &t, &e) < 0)
		FAIL("%s", err_msg(&e));
	CHECK(t->delegated);
	CHECK_STR(t->root, group);
	slurp(procs, text, sizeof(text));
	CHECK_STR(text, "");
	slurp("/proc/self/cgroup", text, sizeof(text));
	snprintf(want_line, sizeof(want_line), "%s/supervisor\n", strrchr(group, '/'));
	want(text, want_line);
	/* A second daemon beside it would kill its environments: it is turned away. */
	CHECK_INT(cg_tree_new(&tc, &again, &e), -EBUSY);
	CHECK(strstr(e.msg, "another fated uses") != NULL);
	/* The next one in the same unit finds the same root from the inner leaf. */
	cg_tree_free(t, true);
	if (cg_tree_new(&tc, &again, &e) < 0)
		FAIL("%s", err_msg(&e));
	CHECK_STR(again->root, group);
	cg_tree_free(again, true);
	r = rig_up();		/* and launches work from in there */
	rig_down(r);
	return 0;
}

static void systemds_delegation_is_used(void)
{
	char group[4200], inner[4300];
	int status;
	pid_t pid;

	snprintf(group, sizeof(group), "%s-%u", rig_base, rig_serial++);
	CHECK(mkdir(group, 0755) == 0);
	if (setxattr(group, "trusted.delegate", "1", 1, 0) < 0 && setxattr(group, "user.delegate", "1", 1, 0) < 0) {
		rmdir(group);
		SKIP("no extended attributes on cgroups: %s", strerror(errno));
	}
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		if (setjmp(test_jmp) == 0)
			_exit(in_delegated_group(group));
		fprintf(stderr, "%s\n", test_why);
		_exit(1);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK_INT(status, 0);
	snprintf(inner, sizeof(inner), "%s/supervisor", group);
	CHECK(rmdir(inner) == 0);
	CHECK(rmdir(group) == 0);
}

/* The daemon in a group that was killed before it came: some kernels then kill all it clones. */
static int in_killed_group(const char *group)
{
	char path[4300], before[4300], after[4300];
	struct rig *r;
	struct run run;

	snprintf(path, sizeof(path), "%s/cgroup.kill", group);
	write_file(path, "1", 0644);
	snprintf(path, sizeof(path), "%s/cgroup.procs", group);
	write_file(path, "0", 0644);
	slurp("/proc/self/cgroup", before, sizeof(before));
	r = rig_up();
	run = rig_run(r, SH("echo alive; exit 6"), NULL);
	CHECK_STR(text_of(run.out), "alive\n");
	CHECK_INT(run.status, 6 << 8);
	run_done(&run);
	rig_down(r);
	slurp("/proc/self/cgroup", after, sizeof(after));
	CHECK_STR(after, before);
	return 0;
}

static void a_group_with_a_past(void)
{
	char group[4200];
	int status;
	pid_t pid;

	snprintf(group, sizeof(group), "%s-%u", rig_base, rig_serial++);
	CHECK(mkdir(group, 0755) == 0);
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		if (setjmp(test_jmp) == 0)
			_exit(in_killed_group(group));
		fprintf(stderr, "%s\n", test_why);
		_exit(1);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK_INT(status, 0);
	CHECK(rmdir(group) == 0);
}

int main(int argc, char **argv)
{
	const char *unable;
	ssize_t n;

	if (argc >= 3 && strcmp(argv[1], "child") == 0)
		return child_main(argv[2], argc > 3 ? argv[3] : "");
	unable = rig_unable();
	if (unable) {
		printf("skip launch - %s\n", unable);
		return 0;
	}
	n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n <= 0)
		return 1;
	RUN(goes_in_and_comes_out);
	RUN(statuses_are_told_exactly);
	RUN(exec_failures_are_told_apart);
	RUN(unknown_users_leave_nothing);
	RUN(environment_is_exactly_this);
	RUN(terms_are_the_attempts);
	RUN(nothing_is_inherited);
	RUN(runs_as_whom_it_is_told);
	RUN(limits_of_the_process_and_the_leaf);
	RUN(times_of_the_tree);
	RUN(limits_that_are_missing);
	RUN(collected_again);
	RUN(groups_by_their_ids);
	RUN(oom_kills_by_the_own_limit);
	RUN(oom_kills_by_a_nested_limit);
	RUN(oom_kills_by_a_limit_above);
	RUN(oom_kills_by_two_limits_above);
	RUN(events_of_all_sizes);
	RUN(response_up_to_the_limit);
	RUN(long_reports_and_logs_hold_up_nobody);
	RUN(leftovers_are_found_and_killed);
	RUN(what_is_written_after_the_leader);
	RUN(sigterm_reaches_all_and_may_be_ignored);
	RUN(nested_groups_belong_to_it);
	RUN(an_earlier_run_is_reaped);
	RUN(what_does_not_die_holds_up_nobody);
	RUN(many_at_once);
	RUN(five_hundred_leak_nothing);
	RUN(refuses_to_work_without_waiting);
	RUN(the_tree);
	RUN(systemds_delegation_is_used);
	RUN(a_group_with_a_past);
	rig_sweep();
	TEST_END();
}
