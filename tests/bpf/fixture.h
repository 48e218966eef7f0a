/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What the tests of the kernel half share: a cgroup of their own with leaves, a bpffs of their own, an observer on a
 * loop of its own, and processes put into a leaf by clone3. A process executes this very program again with the
 * arguments "work", what and how: a test program defines work() for that. fix_done() removes all of it and fails the
 * test when something is left.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "lib/test.h"
#include "observe/observe.h"

#define FACTS_MAX 4096
#define FIX_WAIT_S 60	/* the end of all patience, not an expectation */

struct fix {
	char dir[64], bpf[96], root[192];
	uint64_t root_id;
	uint32_t level;
	struct observe_config cfg;
	sd_event *loop;
	struct observe *o;
	struct fact facts[FACTS_MAX];
	size_t n_facts;
};

static struct fix fix;

static void on_fact(void *self, const struct fact *f)
{
	struct fix *x = self;

	if (x->n_facts < FACTS_MAX)
		x->facts[x->n_facts++] = *f;
}

static uint64_t cgroup_id(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		FAIL("stat %s: %s", path, strerror(errno));
	return st.st_ino;	/* kernfs: the inode number is the id, on 64 bits */
}

/* Where cgroup2 is mounted. */
static void cgroup2_root(char *ret, size_t size)
{
	char line[1024], at[128];
	FILE *f = fopen("/proc/self/mountinfo", "re");

	while (f && fgets(line, sizeof(line), f))
		if (strstr(line, " - cgroup2 ") && sscanf(line, "%*s %*s %*s %*s %127s", at) == 1) {
			snprintf(ret, size, "%s", at);
			fclose(f);
			return;
		}
	if (f)
		fclose(f);
	SKIP("no cgroup2 is mounted");
}

static void fix_observe(void)
{
	struct err e = {};
	struct fact_sink sink = { .self = &fix, .fact = on_fact };

	CHECK(!fix.o);
	if (observe_new(fix.loop, &fix.cfg, &sink, &fix.o, &e) < 0)
		FAIL("observe_new: %s", err_msg(&e));
}

static void fix_dirs(void)
{
	char mount_point[128];

	memset(&fix, 0, sizeof(fix));
	if (geteuid() != 0)
		SKIP("not root");
	cgroup2_root(mount_point, sizeof(mount_point));
	snprintf(fix.dir, sizeof(fix.dir), "/tmp/fate-bpf-XXXXXX");
	CHECK(mkdtemp(fix.dir));
	CHECK(chmod(fix.dir, 0755) == 0);
	snprintf(fix.bpf, sizeof(fix.bpf), "%s/pins", fix.dir);
	snprintf(fix.root, sizeof(fix.root), "%s/fate-bpf-%d-XXXXXX", mount_point, getpid());
	CHECK(mkdtemp(fix.root));
	fix.root_id = cgroup_id(fix.root);
	fix.level = 1;
	fix.cfg = (struct observe_config){ .bpf_dir = fix.bpf, .root_cgroup_id = fix.root_id, .root_level = fix.level,
					   .max_environments = 16, .ring_bytes = 1 << 20 };
	CHECK(sd_event_new(&fix.loop) >= 0);
}

/* Removes an empty tree of cgroups, waiting until it is empty. */
static void remove_cgroup(const char *path)
{
	char cmd[512];
	int64_t end = clock_mono_ns() + FIX_WAIT_S * NS_PER_S;

	snprintf(cmd, sizeof(cmd), "find %s -depth -type d -exec rmdir {} + 2>/dev/null", path);
	while (system(cmd) != 0 && access(path, F_OK) == 0 && clock_mono_ns() < end)
		usleep(1000);
}

static void fix_done(void)
{
	if (!fix.dir[0])
		return;
	fix.o = observe_free(fix.o, true);
	fix.loop = sd_event_unref(fix.loop);
	remove_cgroup(fix.root);
	while (umount2(fix.bpf, 0) == 0)
		;
	(void)rmdir(fix.bpf);
	if (access(fix.root, F_OK) == 0 || rmdir(fix.dir) < 0)
		printf("not ok leftovers - %s or %s (%s)\n", fix.root, fix.dir, strerror(errno));
	memset(&fix, 0, sizeof(fix));
}

/* After a failed test: whatever it started. Called after every one. */
static void clean_up(void)
{
	char cmd[512];

	if (!fix.dir[0])
		return;
	snprintf(cmd, sizeof(cmd), "for d in %s/*/; do echo 1 >$d/cgroup.kill; done 2>/dev/null", fix.root);
	(void)!system(cmd);
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	fix_done();
}

/* Runs the loop until cond; a statement expression would hide the failing line. */
#define UNTIL(cond) do { \
	int64_t _end = clock_mono_ns() + FIX_WAIT_S * NS_PER_S; \
	while (!(cond)) { \
		if (clock_mono_ns() > _end) FAIL("waited in vain for %s", #cond); \
		CHECK(sd_event_run(fix.loop, 1000) >= 0); \
	} } while (0)
/* The same without running the loop: nobody reads the ring. */
#define UNTIL_ASLEEP(cond) do { \
	int64_t _end = clock_mono_ns() + FIX_WAIT_S * NS_PER_S; \
	while (!(cond)) { \
		if (clock_mono_ns() > _end) FAIL("waited in vain for %s", #cond); \
		usleep(1000); \
	} } while (0)

struct leaf { char path[256]; uint64_t id; };

static struct leaf leaf_new(const char *name)
{
	struct leaf l;

	snprintf(l.path, sizeof(l.path), "%s/%s", fix.root, name);
	if (mkdir(l.path, 0755) < 0)
		FAIL("mkdir %s: %s", l.path, strerror(errno));
	l.id = cgroup_id(l.path);
	return l;
}

static void leaf_watch(const struct leaf *l, int64_t timeout_ns)
{
	struct observe_spec spec = { .cgroup_id = l->id, .function = "workload", .attempt = 1, .timeout_ns = timeout_ns,
				     .request_id = "01234567-89ab-4cde-8f01-23456789abcd" };
	struct err e = {};

	if (observe_port(fix.o)->ops->watch(observe_port(fix.o), &spec, &e) < 0)
		FAIL("watch: %s", err_msg(&e));
}

static struct fate_env leaf_env(const struct leaf *l)
{
	struct fact_bpf b;

	observe_port(fix.o)->ops->read(observe_port(fix.o), l->id, &b);
	CHECK(b.seen);
	return b.env;
}

__attribute__((unused)) static void leaf_forget(const struct leaf *l)
{
	observe_port(fix.o)->ops->forget(observe_port(fix.o), l->id);
}

static size_t facts_of(uint64_t id, enum fact_kind kind)
{
	size_t n = 0;

	for (size_t i = 0; i < fix.n_facts; i++)
		n += fix.facts[i].cgroup_id == id && fix.facts[i].kind == kind;
	return n;
}

static double status_number(const char *object, const char *name)
{
	cJSON *s = cJSON_CreateObject();
	const cJSON *o, *n;
	double r;

	observe_status(fix.o, s);
	o = object ? cJSON_GetObjectItemCaseSensitive(s, object) : s;
	n = cJSON_GetObjectItemCaseSensitive(o, name);
	r = cJSON_IsBool(n) ? cJSON_IsTrue(n) : cJSON_IsNumber(n) ? n->valuedouble : -1;
	cJSON_Delete(s);
	return r;
}

/* ---- processes ---- */

#define HOLD_FD 3	/* a process reads here until the test closes its end */

static char *work_env[] = { (char *)"ASAN_OPTIONS=handle_segv=0:handle_abort=0:handle_sigill=0:detect_leaks=0:disable_coredump=0",
			    (char *)"PATH=/usr/bin:/bin", NULL };

struct proc { pid_t pid; int hold; };

/* clone3 into the leaf and exec; what, how: the arguments of work(). */
static struct proc spawn(const struct leaf *l, const char *what, const char *how)
{
	CLEAN(closep) int dir = open(l->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct clone_args ca = { .flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = (__u64)dir };
	struct proc p;
	int ends[2];
	char *argv[] = { (char *)"workload", (char *)"work", (char *)what, (char *)how, NULL };

	CHECK(dir >= 0);
	CHECK(pipe2(ends, O_CLOEXEC) == 0);
	p.pid = (pid_t)syscall(SYS_clone3, &ca, sizeof(ca));
	if (p.pid == 0) {
		if (ends[0] == HOLD_FD)
			(void)fcntl(HOLD_FD, F_SETFD, 0);
		else
			(void)dup2(ends[0], HOLD_FD);
		execve("/proc/self/exe", argv, work_env);
		_exit(126);
	}
	if (p.pid < 0)
		FAIL("clone3: %s", strerror(errno));
	close(ends[0]);
	p.hold = ends[1];
	return p;
}

static void let_go(struct proc *p)
{
	closep(&p->hold);
	p->hold = -EBADF;
}

/* The raw status as waitpid() has it: the second witness. */
static int reap(struct proc *p)
{
	int status;

	if (waitpid(p->pid, &status, 0) != p->pid)
		FAIL("waitpid: %s", strerror(errno));
	let_go(p);
	return status;
}

__attribute__((unused)) static void hold(void)
{
	char c;

	while (read(HOLD_FD, &c, 1) > 0 || errno == EINTR)
		errno = 0;
}
