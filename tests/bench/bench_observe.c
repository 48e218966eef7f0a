/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel half costs whoever is not watched, and whoever is. It is loaded into this process, without a daemon,
 * so that blocks with it and without it can follow each other closely.
 *
 * Unrelated: clone3, execve, exit and wait of a program that does nothing, in a group as deep as an environment's leaf
 * (so that the hooks do not stop at its level but look it up, in vain) beside the one that is observed.
 *
 * Watched: the same in a fresh group each time, which is made, entered and removed on both sides; ours is watched, its
 * end waited for on the ring, its entry read and forgotten: everything the kernel half and its reader do for an
 * environment, accounting included, and nothing of the engine's.
 *
 * The programs are started by a small process, forked off before anything is loaded: a fork's price is the size of who
 * forks, and to load the kernel half makes this process larger. (Measured here first: 11 % that were no hook's.)
 *
 * The difference is small, so: a pair is three blocks, other, ours, other, and its ratio is that of the middle one to
 * the mean of its neighbours, which a drift cancels out of. The two others against each other show the noise. The figure
 * is the median of the ratios. CPU is user and system time of this process, of the small one, and of those
 * that one has waited for.
 *
 * On a busy machine that interval is wider than what is looked for. So the kernel is asked as well how long the programs
 * run (BPF_ENABLE_STATS): the four that such a process passes, one run each, against its CPU time. What is not in that:
 * the way into a program and out of it, and what it displaces from the caches.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <systemd/sd-event.h>

#include "base/clock.h"
#include "base/mem.h"
#include "bench/bench.h"
#include "observe/observe.h"

#define PAIRS 60
#define UNRELATED_A_BLOCK 150
#define WATCHED_A_BLOCK 80
#define STATS_RUNS 2000
#define WARM_UP 15		/* after each loading and unloading: caches and lazily freed memory */
#define ROOT_LEVEL 3		/* of the observed group below: two are b->cgroup's */

struct observed {
	const struct bench *b;
	char *pins;
	int root;			/* the observed group */
	uint64_t root_id;
	int starter;			/* a socket to the small process */
	pid_t starter_pid;
	double starter_cpu;		/* seconds it has used, with its children */
	sd_event *loop;
	struct observe *o;		/* NULL: nothing is attached */
	uint64_t empty_id;		/* the last environment that became empty */
};

struct cost { double cpu_us, wall_us; };

static int make_group(const char *dir, const char *name)
{
	CLEAN(freep) char *path = xasprintf("%s/%s", dir, name);

	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		bench_die("%s: %s", path, strerror(errno));
	return bench_check(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), path);
}

static uint64_t group_id(int fd)
{
	struct stat st;

	bench_check(fstat(fd, &st), "fstat of a group");
	return st.st_ino;
}

static void on_fact(void *self, const struct fact *f)
{
	struct observed *x = self;

	if (f->kind == FACT_BPF_EMPTY)
		x->empty_id = f->cgroup_id;
}

static void attach(struct observed *x)
{
	struct observe_config cfg = { .bpf_dir = x->pins, .root_cgroup_id = x->root_id, .root_level = ROOT_LEVEL };
	struct fact_sink sink = { .self = x, .fact = on_fact };
	struct err e = {};

	if (observe_new(x->loop, &cfg, &sink, &x->o, &e) < 0)
		bench_die("%s", err_msg(&e));
}

static void detach(struct observed *x)
{
	x->o = observe_free(x->o, true);
}

/* ---- the small process ------------------------------------------------------------------------------------- */

struct order { char group[64]; int n; };	/* below b->cgroup */

static void start_and_wait(const char *prog, int group)
{
	struct clone_args args = { .flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = (uint64_t)group };
	char *const argv[] = { (char *)prog, (char[]){ "nothing" }, NULL }, *const env[] = { NULL };
	int status;
	pid_t pid = (pid_t)bench_check((int)syscall(SYS_clone3, &args, sizeof(args)), "clone3");

	if (pid == 0) {
		execve(argv[0], argv, env);
		_exit(127);
	}
	bench_check(waitpid(pid, &status, 0), "waitpid");
	if (status)
		bench_die("%s nothing: status %#x", prog, status);
}

static void starter(const struct bench *b, int fd)
{
	CLEAN(closep) int below = bench_check(open(b->cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC), b->cgroup);
	struct order order;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (read(fd, &order, sizeof(order)) == sizeof(order)) {
		int group = bench_check(openat(below, order.group, O_RDONLY | O_DIRECTORY | O_CLOEXEC), order.group);
		double cpu;

		for (int i = 0; i < order.n; i++)
			start_and_wait(b->prog, group);
		close(group);
		cpu = cpu_self() + cpu_children();
		if (write(fd, &cpu, sizeof(cpu)) != sizeof(cpu))
			break;
	}
	_exit(0);
}

static void starter_open(struct observed *x)
{
	int ends[2];

	bench_check(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), "socketpair");
	x->starter_pid = bench_check(fork(), "fork");
	if (x->starter_pid == 0) {
		close(ends[0]);
		starter(x->b, ends[1]);
	}
	close(ends[1]);
	x->starter = ends[0];
}

static void starter_close(struct observed *x)
{
	close(x->starter);
	bench_check(waitpid(x->starter_pid, NULL, 0), "waitpid");
}

static void let_start(struct observed *x, const char *group, int n)
{
	struct order order = { .n = n };

	snprintf(order.group, sizeof(order.group), "%s", group);
	if (write(x->starter, &order, sizeof(order)) != sizeof(order) ||
	    read(x->starter, &x->starter_cpu, sizeof(x->starter_cpu)) != sizeof(x->starter_cpu))
		bench_die("the process that starts programs is gone");
}

/* ---- the two works ----------------------------------------------------------------------------------------- */

static void run_unrelated(struct observed *x, int n)
{
	let_start(x, "beside/unrelated", n);
}

static void wait_for_end(struct observed *x, uint64_t id)
{
	struct fact_bpf entry;

	while (x->empty_id != id) {
		if (bench_check(sd_event_run(x->loop, 10000000), "event loop") == 0)
			bench_die("the kernel half never told of an end");
	}
	observe_port(x->o)->ops->read(observe_port(x->o), id, &entry);
	if (!entry.seen || entry.env.exit_code != 0 || entry.env.procs_exited != 1)
		bench_die("the entry of an environment is not what was run");
	observe_port(x->o)->ops->forget(observe_port(x->o), id);
}

static void watch(struct observed *x, uint64_t id)
{
	struct observe_spec spec = { .cgroup_id = id, .function = "bench", .attempt = 1, .timeout_ns = 60 * NS_PER_S,
				     .request_id = "01234567-89ab-4cde-8f01-23456789abcd" };
	struct err e = {};

	if (observe_port(x->o)->ops->watch(observe_port(x->o), &spec, &e) < 0)
		bench_die("%s", err_msg(&e));
}

static void run_watched(struct observed *x, int n)
{
	for (int i = 0; i < n; i++) {
		char group[64];
		struct bare p;

		bare_leaf(&p, x->root);
		if (x->o)
			watch(x, p.cgroup_id);
		snprintf(group, sizeof(group), "observed/%s", p.name);
		let_start(x, group, 1);
		if (x->o)
			wait_for_end(x, p.cgroup_id);
		bench_check(unlinkat(p.parent, p.name, AT_REMOVEDIR), "rmdir of a group");
		close(p.leaf);
	}
}

/* ---- pairs ------------------------------------------------------------------------------------------------- */

static struct cost block(struct observed *x, void (*run)(struct observed *, int), int n)
{
	double cpu = cpu_self() + x->starter_cpu;
	int64_t began = clock_mono_ns();

	run(x, n);
	return (struct cost){ .wall_us = (double)(clock_mono_ns() - began) / 1e3 / n,
			      .cpu_us = (cpu_self() + x->starter_cpu - cpu) * 1e6 / n };
}

static void measure(struct bench *b, struct observed *x, void (*run)(struct observed *, int), int a_block, const char *cpu_name,
		    const char *wall_name, double aim)
{
	struct figure like = { .unit = "us", .aim = aim, .no_aim = aim == 0, .at_most = true };
	struct pairs cpu = {}, wall = {};

	(void)block(x, run, a_block);
	for (int i = bench_turns(b, PAIRS); i > 0; i--) {
		struct cost before, ours, after;

		(void)block(x, run, WARM_UP);
		before = block(x, run, a_block);
		attach(x);
		(void)block(x, run, WARM_UP);
		ours = block(x, run, a_block);
		detach(x);
		(void)block(x, run, WARM_UP);
		after = block(x, run, a_block);
		pairs_add(&cpu, before.cpu_us, ours.cpu_us, after.cpu_us);
		pairs_add(&wall, before.wall_us, ours.wall_us, after.wall_us);
	}
	like.name = cpu_name;
	pairs_figure(b, &cpu, &like);
	like.name = wall_name;
	pairs_figure(b, &wall, &like);
}

/* Mean time of one run in ns, whoever's process it was. */
static double program_ns(const struct observed *x, const char *name)
{
	CLEAN(freep) char *path = xasprintf("%s/prog/%s", x->pins, name);
	CLEAN(closep) int fd = bench_check(bpf_obj_get(path), path);
	struct bpf_prog_info info = {};
	__u32 len = sizeof(info);

	bench_check(bpf_obj_get_info_by_fd(fd, &info, &len), name);
	if (!info.run_cnt)
		bench_die("%s never ran", name);
	return (double)info.run_time_ns / (double)info.run_cnt;
}

static void measure_programs(struct bench *b, struct observed *x)
{
	int stats = bench_check(bpf_enable_stats(BPF_STATS_RUN_TIME), "statistics of BPF programs");
	struct cost cost;
	double ns;

	attach(x);
	cost = block(x, run_unrelated, bench_turns(b, STATS_RUNS));
	ns = program_ns(x, "fate_fork") + program_ns(x, "fate_exec") + program_ns(x, "fate_signal") + program_ns(x, "fate_exit");
	detach(x);
	close(stats);
	bench_figure(b, &(struct figure){ .name = "unrelated fork-exec-exit, programs alone", .unit = "us", .ours = ns / 1e3,
					  .other = cost.cpu_us, .aim = 0.01, .at_most = true });
}

void bench_observe(struct bench *b)
{
	CLEAN(freep) char *beside = xasprintf("%s/beside", b->cgroup);
	struct observed x = { .b = b, .pins = xasprintf("%s/observe.pins", b->dir) };

	bench_daemon_stop(b);
	starter_open(&x);
	x.root = make_group(b->cgroup, "observed");
	x.root_id = group_id(x.root);
	close(make_group(b->cgroup, "beside"));
	close(make_group(beside, "unrelated"));		/* as deep as a leaf */
	bench_check(sd_event_new(&x.loop), "event loop");

	measure(b, &x, run_unrelated, UNRELATED_A_BLOCK, "unrelated fork-exec-exit, CPU", "unrelated fork-exec-exit, wall", 1.01);
	measure_programs(b, &x);
	measure(b, &x, run_watched, WATCHED_A_BLOCK, "watched fork-exec-exit, CPU", "watched fork-exec-exit, wall", 0);
	starter_close(&x);
	sd_event_unref(x.loop);
	close(x.root);
	free(x.pins);
}
