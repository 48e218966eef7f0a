/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Known workloads, exact counts. Every status is compared with waitpid()'s, the second witness. The whole suite runs
 * twice: with all the kernel has, and as on a kernel without group_dead and fentry.
 */
#include "fixture.h"

#include <pthread.h>
#include <sys/resource.h>

#include <bpf/bpf.h>

#define CHILDREN 211	/* prime */

/* ---- the workload's side ------------------------------------------------------------------------------------ */

static void fork_and_wait(int n, void (*child)(void))
{
	for (int i = 0; i < n; i++)
		if (fork() == 0) {
			if (child)
				child();
			_exit(0);
		}
	while (wait(NULL) > 0)
		;
}

static void *thread_idle(void *arg)
{
	return arg;
}

static void work_threads(int n)
{
	pthread_t t[64];

	for (int i = 0; i < n; i++)
		pthread_create(&t[i], NULL, thread_idle, NULL);
	for (int i = 0; i < n; i++)
		pthread_join(t[i], NULL);
}

/* Threads that leave at the same instant, none through exit_group: the last of them ends the process. */
static int at_once_waiting;
static void *thread_at_once(void *arg)
{
	__atomic_sub_fetch(&at_once_waiting, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&at_once_waiting, __ATOMIC_SEQ_CST) > 0)
		;
	syscall(SYS_exit, 0);
	return arg;
}

static void child_at_once(void)
{
	pthread_t t;

	at_once_waiting = 4;
	for (int i = 0; i < 3; i++)
		pthread_create(&t, NULL, thread_at_once, NULL);
	thread_at_once(NULL);
}

static void wait_for_zombie_leader(void)
{
	char path[64], line[512];
	const char *p;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", getpid());
	for (;;) {
		FILE *f = fopen(path, "re");

		p = f && fgets(line, sizeof(line), f) ? strrchr(line, ')') : NULL;
		if (f)
			fclose(f);
		if (p && p[2] == 'Z')
			return;
		usleep(1000);
	}
}

static void *thread_outlives(void *arg)
{
	wait_for_zombie_leader();
	hold();
	syscall(arg ? SYS_exit_group : SYS_exit, arg ? 7 : 5);
	return NULL;
}

static void *thread_exec(void *arg)
{
	char *argv[] = { (char *)"workload", (char *)"work", (char *)"exit", (char *)"9", NULL };

	execve("/proc/self/exe", argv, work_env);
	return arg;
}

__attribute__((no_sanitize("address", "undefined"))) static void fault(void)
{
	static volatile uintptr_t nowhere = 8;

	*(volatile int *)nowhere = 1;
}

static void put_into(const char *cgroup)
{
	CLEAN(closep) int fd = open(cgroup, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "0", 1) != 1)
		_exit(99);
}

static const char *nested_procs;
static void child_nested(void)
{
	put_into(nested_procs);
	fork_and_wait(3, NULL);
}

static pid_t target;
static void child_kills(void)
{
	prctl(PR_SET_NAME, "inner");
	kill(target, SIGTERM);
}

static void on_signal(int sig)
{
}

static int work(const char *what, const char *how)
{
	struct rlimit core = { 0, 0 };
	pthread_t t;

	if (strcmp(what, "core") == 0)
		core.rlim_cur = core.rlim_max = 256 << 20;
	setrlimit(RLIMIT_CORE, &core);
	if (strcmp(what, "exit") == 0)
		return atoi(how);
	if (strcmp(what, "forks") == 0)
		fork_and_wait(atoi(how), NULL);
	else if (strcmp(what, "threads") == 0)
		work_threads(atoi(how));
	else if (strcmp(what, "at-once") == 0)
		fork_and_wait(atoi(how), child_at_once);
	else if (strcmp(what, "leader-first") == 0) {
		pthread_create(&t, NULL, thread_outlives, strcmp(how, "group") == 0 ? &t : NULL);
		syscall(SYS_exit, 0);
	} else if (strcmp(what, "thread-exec") == 0) {
		pthread_create(&t, NULL, thread_exec, NULL);
		hold();
		pause();
	} else if (strcmp(what, "fault") == 0) {
		fault();
	} else if (strcmp(what, "raise") == 0) {
		raise(atoi(how));
	} else if (strcmp(what, "core") == 0) {
		if (chdir(how) < 0)
			return 98;
		abort();
	} else if (strcmp(what, "hold") == 0) {
		hold();
	} else if (strcmp(what, "hold-user") == 0) {
		if (setresuid(65534, 65534, 65534) < 0)
			return 97;
		hold();
	} else if (strcmp(what, "orphan") == 0) {
		if (fork() == 0)
			hold();
	} else if (strcmp(what, "nested") == 0) {
		nested_procs = how;
		fork_and_wait(1, child_nested);
	} else if (strcmp(what, "killed-by-child") == 0) {
		signal(SIGUSR1, on_signal);
		hold();
		target = getpid();
		fork_and_wait(1, child_kills);
		pause();
	} else {
		return 96;
	}
	return 0;
}

/* ---- counts ------------------------------------------------------------------------------------------------- */

static uint32_t without;

static void start(void)
{
	fix_dirs();
	fix.cfg.without = without;
	fix_observe();
	if (without) {
		CHECK_INT(status_number("features", "exitGroupDead"), 0);
		CHECK_INT(status_number("features", "oomScope"), 0);
	}
}

/* Where tracepoints can be preempted (7.x) the kernel leaves out runs of a program now and then, and says so. Then exactness
 * cannot be asked for; what the daemon makes of it is the fault matrix's to show. */
static void not_if_skipped(void)
{
	if (status_number(NULL, "missed") > 0) {
		double n = status_number(NULL, "missed");

		clean_up();
		SKIP("this kernel skipped %.0f runs of our programs", n);
	}
}

/* One workload from start to empty: the entry must agree with waitpid(), and each fact come once. */
static struct fate_env play(const char *what, const char *how, int *ret_status)
{
	struct leaf l = leaf_new("one");
	struct proc p;
	struct fate_env env;

	leaf_watch(&l, 0);
	p = spawn(&l, what, how);
	let_go(&p);
	*ret_status = reap(&p);
	UNTIL(facts_of(l.id, FACT_BPF_EMPTY) || status_number(NULL, "missed") > 0);
	not_if_skipped();
	env = leaf_env(&l);
	CHECK_INT(facts_of(l.id, FACT_BPF_EXIT), 1);
	CHECK_INT(facts_of(l.id, FACT_BPF_EMPTY), 1);
	CHECK_INT(facts_of(l.id, FACT_BPF_DEADLINE), 0);
	CHECK_INT(env.flags, FATE_ENV_LEADER_EXITED | FATE_ENV_EMPTY);
	CHECK_INT(env.leader_tgid, p.pid);
	CHECK_INT(env.exit_code, *ret_status);
	CHECK(env.fork_ns && env.fork_ns < env.exec_ns && env.exec_ns < env.exit_ns && env.exit_ns <= env.empty_ns);
	CHECK_INT(env.procs_exited, env.procs_forked);
	CHECK_STR(env.function, "workload");
	CHECK_STR(env.request_id, "01234567-89ab-4cde-8f01-23456789abcd");
	CHECK_INT(env.oom_kills, 0);
	leaf_forget(&l);
	remove_cgroup(l.path);
	fix.n_facts = 0;
	CHECK_INT(status_number(NULL, "entries"), 0);
	CHECK_INT(status_number(NULL, "recordsMalformed") + status_number(NULL, "recordsUnknown"), 0);
	return env;
}

static void exit_statuses(void)
{
	const int codes[] = { 0, 1, 3, 255 };

	start();
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
		char how[8];
		struct fate_env env;
		int status;

		snprintf(how, sizeof(how), "%d", codes[i]);
		env = play("exit", how, &status);
		CHECK_INT(status, codes[i] << 8);
		CHECK_INT(env.procs_forked, 1);
		CHECK_INT(env.execs, 1);
		CHECK_INT(env.sender.flags, 0);
	}
	fix_done();
}

static void forks_counted_exactly(void)
{
	struct fate_env env;
	int status;

	start();
	env = play("forks", "211", &status);
	CHECK_INT(status, 0);
	CHECK_INT(env.procs_forked, CHILDREN + 1);
	CHECK_INT(env.execs, 1);
	CHECK_INT(status_number("received", "exit"), CHILDREN + 1);
	CHECK_INT(status_number("received", "fork"), 1);
	CHECK_INT(status_number("received", "exec"), 1);
	CHECK_INT(status_number("dropped", "exit"), 0);
	fix_done();
}

static void threads_are_not_processes(void)
{
	struct fate_env env;
	int status;

	start();
	env = play("threads", "31", &status);
	CHECK_INT(status, 0);
	CHECK_INT(env.procs_forked, 1);
	CHECK_INT(status_number("received", "exit"), 1);
	fix_done();
}

static void threads_that_die_at_once_count_once(void)
{
	struct fate_env env;
	int status;

	start();
	env = play("at-once", "211", &status);
	CHECK_INT(status, 0);
	CHECK_INT(env.procs_forked, CHILDREN + 1);
	CHECK_INT(env.procs_exited, CHILDREN + 1);
	CHECK_INT(status_number("received", "exit"), CHILDREN + 1);
	fix_done();
}

static void zombie_leader(const char *how)
{
	struct leaf l;
	struct proc p;
	struct fate_env env;
	char path[64], line[512];
	int status;

	start();
	l = leaf_new("one");
	leaf_watch(&l, 0);
	p = spawn(&l, "leader-first", how);
	snprintf(path, sizeof(path), "/proc/%d/stat", p.pid);
	for (bool zombie = false; !zombie; ) {
		FILE *f = fopen(path, "re");
		const char *s = f && fgets(line, sizeof(line), f) ? strrchr(line, ')') : NULL;

		zombie = s && s[2] == 'Z';
		if (f)
			fclose(f);
		CHECK(sd_event_run(fix.loop, 1000) >= 0);
	}
	/* The first thread is gone and its process is not. */
	CHECK_INT(leaf_env(&l).flags, 0);
	CHECK_INT(facts_of(l.id, FACT_BPF_EXIT), 0);
	let_go(&p);
	status = reap(&p);
	UNTIL(facts_of(l.id, FACT_BPF_EMPTY));
	env = leaf_env(&l);
	CHECK_INT(env.exit_code, status);
	CHECK_INT(env.procs_exited, 1);
	CHECK_INT(facts_of(l.id, FACT_BPF_EXIT), 1);
	fix_done();
}

static void leader_thread_first_then_exit_group(void)
{
	zombie_leader("group");
}

static void leader_thread_first_then_thread_exit(void)
{
	zombie_leader("thread");
}

static void exec_by_another_thread_is_no_exit(void)
{
	struct fate_env env;
	int status;

	start();
	env = play("thread-exec", "", &status);
	CHECK_INT(status, 9 << 8);
	CHECK_INT(env.execs, 2);
	CHECK_INT(env.procs_forked, 1);
	CHECK_INT(status_number("received", "exit"), 1);
	fix_done();
}

static void nested_groups_count(void)
{
	struct leaf l;
	char sub[300], deep[320], procs[400];
	struct proc p;
	struct fate_env env;

	start();
	l = leaf_new("one");
	snprintf(sub, sizeof(sub), "%s/sub", l.path);
	snprintf(deep, sizeof(deep), "%s/deep", sub);
	snprintf(procs, sizeof(procs), "%s/cgroup.procs", deep);
	CHECK(mkdir(sub, 0755) == 0 && mkdir(deep, 0755) == 0);
	leaf_watch(&l, 0);
	p = spawn(&l, "nested", procs);
	CHECK_INT(reap(&p), 0);
	UNTIL(facts_of(l.id, FACT_BPF_EMPTY));
	env = leaf_env(&l);
	CHECK_INT(env.procs_forked, 5);
	CHECK_INT(env.procs_exited, 5);
	CHECK_INT(status_number("received", "exit"), 5);
	fix_done();
}

static void foreign_groups_are_not_seen(void)
{
	struct leaf l, other;
	struct proc p;

	start();
	l = leaf_new("watched");
	other = leaf_new("foreign");
	leaf_watch(&l, 0);
	p = spawn(&other, "forks", "31");
	CHECK_INT(reap(&p), 0);
	/* A process of ours afterwards: when it is known, all that came before it would be as well. */
	p = spawn(&l, "exit", "0");
	CHECK_INT(reap(&p), 0);
	UNTIL(facts_of(l.id, FACT_BPF_EMPTY));
	CHECK_INT(status_number("received", "exit"), 1);
	CHECK_INT(status_number("received", "exec"), 1);
	CHECK_INT(status_number("received", "fork"), 1);
	CHECK_INT(fix.n_facts, 2);
	fix_done();
}

static void exit_and_empty_are_told_apart(void)
{
	struct leaf l;
	struct proc p;
	struct fate_env env;
	int status;

	start();
	l = leaf_new("one");
	leaf_watch(&l, 0);
	p = spawn(&l, "orphan", "");
	CHECK(waitpid(p.pid, &status, 0) == p.pid);
	UNTIL(facts_of(l.id, FACT_BPF_EXIT));
	env = leaf_env(&l);
	CHECK_INT(env.flags, FATE_ENV_LEADER_EXITED);
	CHECK_INT(env.procs_forked, 2);
	CHECK_INT(env.procs_exited, 1);
	CHECK_INT(env.empty_ns, 0);
	CHECK_INT(facts_of(l.id, FACT_BPF_EMPTY), 0);
	let_go(&p);
	UNTIL(facts_of(l.id, FACT_BPF_EMPTY));
	env = leaf_env(&l);
	CHECK_INT(env.flags, FATE_ENV_LEADER_EXITED | FATE_ENV_EMPTY);
	CHECK(env.empty_ns > env.exit_ns);
	CHECK_INT(facts_of(l.id, FACT_BPF_EXIT), 1);
	fix_done();
}

/* ---- signals ------------------------------------------------------------------------------------------------ */

static void own_comm(char ret[FATE_COMM_LEN])
{
	memset(ret, 0, FATE_COMM_LEN);
	prctl(PR_GET_NAME, ret);
}

static void signal_from_outside(void)
{
	const int sigs[] = { SIGTERM, SIGKILL, SIGUSR1, SIGRTMIN + 3 };
	char comm[FATE_COMM_LEN];

	start();
	own_comm(comm);
	for (size_t i = 0; i < ARRAY_SIZE(sigs); i++) {
		char name[16];
		struct leaf l;
		struct proc p;
		struct fate_env env;

		snprintf(name, sizeof(name), "sig%d", sigs[i]);
		l = leaf_new(name);
		leaf_watch(&l, 0);
		p = spawn(&l, "hold", "");
		UNTIL_ASLEEP(leaf_env(&l).exec_ns);
		CHECK(kill(p.pid, sigs[i]) == 0);
		CHECK_INT(reap(&p), sigs[i]);
		UNTIL(facts_of(l.id, FACT_BPF_EMPTY));
		env = leaf_env(&l);
		CHECK_INT(env.exit_code, sigs[i]);
		CHECK_INT(env.sender.flags, FATE_SENDER_KNOWN);
		CHECK_INT(env.sender.pid, getpid());
		CHECK_INT(env.sender.uid, 0);
		CHECK_INT(env.sender.sig, sigs[i]);
		CHECK_INT(env.sender.si_code, SI_USER);
		CHECK_STR(env.sender.comm, comm);
		CHECK(env.sender.at_ns > env.exec_ns && env.sender.at_ns < env.exit_ns);
	}
	CHECK_INT(status_number("received", "signal"), ARRAY_SIZE(sigs));
	fix_done();
}

static void signal_by_another_user(void)
{
	struct leaf l;
	struct proc p;
	struct fate_env env;
	char path[64], line[256];
	int killer, status;
	bool changed = false;

	start();
	l = leaf_new("one");
	leaf_watch(&l, 0);
	p = spawn(&l, "hold-user", "");
	snprintf(path, sizeof(path), "/proc/%d/status", p.pid);
	UNTIL_ASLEEP(({
		FILE *f = fopen(path, "re");

		while (f && fgets(line, sizeof(line), f))
			changed |= strncmp(line, "Uid:\t65534", 10) == 0;
		if (f)
			fclose(f);
		changed;
	}));
	killer = fork();
	if (killer == 0) {
		prctl(PR_SET_NAME, "nobody's hand");
		_exit(setresuid(65534, 65534, 65534) < 0 || kill(p.pid, SIGKILL) < 0);
	}
	CHECK(waitpid(killer, &status, 0) == killer);
	CHECK_INT(status, 0);
	CHECK_INT(reap(&p), SIGKILL);
	UNTIL(facts_of(l.id, FACT_BPF_EMPTY));
	env = leaf_env(&l);
	CHECK_INT(env.sender.pid, killer);
	CHECK_INT(env.sender.uid, 65534);
	CHECK_STR(env.sender.comm, "nobody's hand");
	fix_done();
}

/* A handled signal from us must not be taken for the one that ended it. */
static void signal_from_inside_after_a_handled_one(void)
{
	struct leaf l;
	struct proc p;
	struct fate_env env;
	char path[64], line[256];
	unsigned long long caught = 0;

	start();
	l = leaf_new("one");
	leaf_watch(&l, 0);
	p = spawn(&l, "killed-by-child", "");
	snprintf(path, sizeof(path), "/proc/%d/status", p.pid);
	UNTIL_ASLEEP(({
		FILE *f = fopen(path, "re");

		while (f && fgets(line, sizeof(line), f))
			sscanf(line, "SigCgt: %llx", &caught);
		if (f)
			fclose(f);
		caught & 1ull << (SIGUSR1 - 1);
	}));
	CHECK(kill(p.pid, SIGUSR1) == 0);
	let_go(&p);
	CHECK_INT(reap(&p), SIGTERM);
	UNTIL(facts_of(l.id, FACT_BPF_EMPTY));
	env = leaf_env(&l);
	CHECK_INT(env.sender.sig, SIGTERM);
	CHECK(env.sender.pid != (uint32_t)getpid() && env.sender.pid != (uint32_t)p.pid);
	CHECK_STR(env.sender.comm, "inner");
	CHECK_INT(env.sender.cgroup_id, l.id);
	CHECK_INT(status_number("received", "signal"), 2);
	fix_done();
}

static void signal_from_itself_and_from_the_kernel(void)
{
	struct fate_env env;
	int status;

	start();
	env = play("raise", "6", &status);
	CHECK_INT(WTERMSIG(status), SIGABRT);
	CHECK_INT(env.sender.flags, FATE_SENDER_KNOWN);
	CHECK_INT(env.sender.pid, env.leader_tgid);
	CHECK_INT(env.sender.si_code, SI_TKILL);
	env = play("fault", "", &status);
	CHECK_INT(WTERMSIG(status), SIGSEGV);
	CHECK_INT(env.sender.flags, FATE_SENDER_KNOWN | FATE_SENDER_KERNEL);
	CHECK_INT(env.sender.si_code, SEGV_MAPERR);
	CHECK_INT(env.sender.pid, 0);
	fix_done();
}

static void signal_by_cgroup_kill(void)
{
	struct leaf l;
	struct proc p;
	struct fate_env env;
	char path[300];
	CLEAN(closep) int fd = -EBADF;

	start();
	l = leaf_new("one");
	leaf_watch(&l, 0);
	p = spawn(&l, "hold", "");
	UNTIL_ASLEEP(leaf_env(&l).exec_ns);
	snprintf(path, sizeof(path), "%s/cgroup.kill", l.path);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	CHECK(fd >= 0 && write(fd, "1", 1) == 1);
	CHECK_INT(reap(&p), SIGKILL);
	UNTIL(facts_of(l.id, FACT_BPF_EMPTY));
	env = leaf_env(&l);
	CHECK_INT(env.sender.pid, getpid());
	CHECK_INT(env.sender.flags, FATE_SENDER_KNOWN);
	fix_done();
}

static void core_bit_is_kept(void)
{
	struct fate_env env;
	char pattern[256] = "", cmd[256];
	FILE *f = fopen("/proc/sys/kernel/core_pattern", "re");
	int status;

	CHECK(f && fgets(pattern, sizeof(pattern), f));
	fclose(f);
	start();
	env = play("core", fix.dir, &status);
	snprintf(cmd, sizeof(cmd), "rm -f %s/*core*", fix.dir);
	(void)!system(cmd);
	CHECK_INT(env.exit_code & 0x7f, SIGABRT);
	CHECK_INT(env.exit_code, status);
	fix_done();
	if (!WCOREDUMP(status))
		SKIP("no core was dumped here (core_pattern %s)", strtok(pattern, "\n"));
}

/* ---- deadline, ring, watch ---------------------------------------------------------------------------------- */

static void deadline_fires_while_nobody_reads(void)
{
	struct leaf l;
	struct proc p;
	struct fate_env env;

	start();
	l = leaf_new("one");
	leaf_watch(&l, 20 * NS_PER_MS);
	p = spawn(&l, "hold", "");
	UNTIL_ASLEEP(leaf_env(&l).flags & FATE_ENV_DEADLINE_HIT);
	CHECK_INT(fix.n_facts, 0);
	env = leaf_env(&l);
	CHECK_INT(env.deadline_ns, env.fork_ns + 20 * NS_PER_MS);
	CHECK(env.deadline_hit_ns >= env.deadline_ns);
	CHECK_INT(env.flags, FATE_ENV_DEADLINE_HIT);
	UNTIL(facts_of(l.id, FACT_BPF_DEADLINE));
	CHECK_INT(fix.facts[0].at_ns, env.deadline_hit_ns);
	CHECK(kill(p.pid, SIGKILL) == 0);
	CHECK_INT(reap(&p), SIGKILL);
	UNTIL(facts_of(l.id, FACT_BPF_EMPTY));
	CHECK_INT(leaf_env(&l).flags, FATE_ENV_DEADLINE_HIT | FATE_ENV_LEADER_EXITED | FATE_ENV_EMPTY);
	CHECK_INT(facts_of(l.id, FACT_BPF_DEADLINE), 1);
	CHECK_INT(status_number(NULL, "deadlinesNotArmed"), 0);
	fix_done();
}

/* Its timer runs out while another process of the environment lives: the leader was in time. */
static void deadline_after_the_leader_is_none(void)
{
	struct leaf l, clock;
	struct proc p, q;
	int status;

	start();
	l = leaf_new("one");
	clock = leaf_new("clock");
	leaf_watch(&l, NS_PER_S / 2);
	p = spawn(&l, "orphan", "");
	CHECK(waitpid(p.pid, &status, 0) == p.pid);
	if (leaf_env(&l).exit_ns >= leaf_env(&l).deadline_ns)
		SKIP("the machine took half a second for a fork");
	/* Armed later and as long: when it has fired, the first has. */
	leaf_watch(&clock, NS_PER_S / 2);
	q = spawn(&clock, "hold", "");
	UNTIL(facts_of(clock.id, FACT_BPF_DEADLINE));
	CHECK_INT(leaf_env(&l).flags, FATE_ENV_LEADER_EXITED);
	CHECK_INT(leaf_env(&l).deadline_hit_ns, 0);
	CHECK_INT(facts_of(l.id, FACT_BPF_DEADLINE), 0);
	let_go(&p);
	let_go(&q);
	(void)reap(&q);
	UNTIL(facts_of(l.id, FACT_BPF_EMPTY) && facts_of(clock.id, FACT_BPF_EMPTY));
	fix_done();
}

static void storm_on_a_one_page_ring(void)
{
	struct leaf l;
	struct proc p;
	struct fate_env env;

	fix_dirs();
	fix.cfg.without = without;
	fix.cfg.ring_bytes = 1;
	fix_observe();
	CHECK_INT(status_number(NULL, "ringBytes"), sysconf(_SC_PAGESIZE));
	l = leaf_new("one");
	leaf_watch(&l, 0);
	p = spawn(&l, "forks", "211");
	CHECK_INT(reap(&p), 0);	/* nobody reads meanwhile */
	env = leaf_env(&l);
	not_if_skipped();
	CHECK_INT(env.procs_forked, CHILDREN + 1);
	CHECK_INT(env.procs_exited, CHILDREN + 1);
	CHECK_INT(env.flags, FATE_ENV_LEADER_EXITED | FATE_ENV_EMPTY);
	CHECK_INT(env.exit_code, 0);
	CHECK(status_number("dropped", "exit") > 0);
	/* The place kept for urgent records: the leader's end comes through all the same. */
	UNTIL(facts_of(l.id, FACT_BPF_EXIT) && facts_of(l.id, FACT_BPF_EMPTY));
	CHECK_INT(status_number("dropped", "exit") + status_number("received", "exit"), CHILDREN + 1);
	fix_done();
}

static void watch_refuses_beyond_its_places(void)
{
	struct observe_spec spec = { .function = "f", .request_id = "r", .attempt = 1 };
	struct err e = {};
	struct fact_bpf b;
	const struct port_observe_ops *ops;
	int r = 0;

	start();
	ops = observe_port(fix.o)->ops;
	for (uint64_t id = 1; id <= 16; id++) {
		spec.cgroup_id = id << 40;
		CHECK_INT(ops->watch(observe_port(fix.o), &spec, &e), 0);
	}
	spec.cgroup_id = 99ull << 40;
	r = ops->watch(observe_port(fix.o), &spec, &e);
	CHECK_INT(r, -E2BIG);
	CHECK(strstr(err_msg(&e), "16 places"));
	ops->read(observe_port(fix.o), spec.cgroup_id, &b);
	CHECK(!b.seen);
	ops->forget(observe_port(fix.o), 1ull << 40);
	ops->forget(observe_port(fix.o), 12345);	/* unknown: fine */
	CHECK_INT(ops->watch(observe_port(fix.o), &spec, &e), 0);
	/* Watched again: a new entry, the old one is gone and not one more place is used. */
	CHECK_INT(ops->watch(observe_port(fix.o), &spec, &e), 0);
	CHECK_INT(status_number(NULL, "entries"), 16);
	fix_done();
}

#define RUN_CLEAN(fn) do { RUN(fn); clean_up(); } while (0)

static void all(void)
{
	RUN_CLEAN(exit_statuses);
	RUN_CLEAN(forks_counted_exactly);
	RUN_CLEAN(threads_are_not_processes);
	RUN_CLEAN(threads_that_die_at_once_count_once);
	RUN_CLEAN(leader_thread_first_then_exit_group);
	RUN_CLEAN(leader_thread_first_then_thread_exit);
	RUN_CLEAN(exec_by_another_thread_is_no_exit);
	RUN_CLEAN(nested_groups_count);
	RUN_CLEAN(foreign_groups_are_not_seen);
	RUN_CLEAN(exit_and_empty_are_told_apart);
	RUN_CLEAN(signal_from_outside);
	RUN_CLEAN(signal_by_another_user);
	RUN_CLEAN(signal_from_inside_after_a_handled_one);
	RUN_CLEAN(signal_from_itself_and_from_the_kernel);
	RUN_CLEAN(signal_by_cgroup_kill);
	RUN_CLEAN(core_bit_is_kept);
	RUN_CLEAN(deadline_fires_while_nobody_reads);
	RUN_CLEAN(deadline_after_the_leader_is_none);
	RUN_CLEAN(storm_on_a_one_page_ring);
	RUN_CLEAN(watch_refuses_beyond_its_places);
}

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "work") == 0)
		return work(argv[2], argv[3]);
	all();
	printf("# again, as on a kernel without group_dead and fentry\n");
	without = OBSERVE_WITHOUT_GROUP_DEAD | OBSERVE_WITHOUT_FENTRY;
	all();
	TEST_END();
}
