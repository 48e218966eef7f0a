/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a crash to the first event that goes on: the store is opened (its write-ahead log as the crash left it), the
 * engine starts, one environment is started. In this process alone, with what is launched made up (bench_rig.c).
 *
 * Every turn is a process of its own, which is killed: so every turn begins with a crash, and with PLACES events that ran.
 * The first turn is not counted: it begins with what filled the store.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "bench/bench_rig.h"

#define TURNS 7
#define PLACES 64

struct open_events { const char *name; int functions, queued, waiting; bool longer; };

static void in_child(void (*run)(const struct open_events *o, const char *path, int fd), const struct open_events *o,
		     const char *path, struct rig_times *ret)
{
	struct rig_times t;
	int fds[2];
	pid_t pid;

	bench_check(pipe2(fds, O_CLOEXEC), "pipe");
	pid = bench_check(fork(), "fork");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		run(o, path, fds[1]);
		kill(getpid(), SIGKILL);
	}
	close(fds[1]);
	if (read(fds[0], &t, sizeof(t)) != sizeof(t))
		bench_die("recovery, %s: no answer", o->name);
	close(fds[0]);
	bench_check(waitpid(pid, NULL, 0), "waitpid");
	if (ret)
		*ret = t;
}

static void report(int fd, const struct rig_times *t)
{
	if (write(fd, t, sizeof(*t)) != sizeof(*t))
		bench_die("recovery: nobody listens");
}

static void fill(const struct open_events *o, const char *path, int fd)
{
	rig_fill(&(struct rig_backlog){ .path = path, .functions = o->functions, .queued = o->queued, .waiting = o->waiting,
					.crash = true });
	report(fd, &(struct rig_times){});
}

static void start(const struct open_events *o, const char *path, int fd)
{
	struct rig_times t;

	(void)rig_open(&(struct rig_config){ .path = path, .functions = o->functions, .concurrency = PLACES, .reserved = -1 }, &t);
	report(fd, &t);
}

static void figure(struct bench *b, const struct open_events *o, const char *what, struct samples *s, double aim)
{
	char name[64];

	snprintf(name, sizeof(name), "%s: %s", o->name, what);
	bench_figure(b, &(struct figure){ .name = name, .unit = "ms", .ours = samples_at(s, 0.5), .other = -1, .aim = aim,
					  .no_aim = aim == 0, .at_most = true, .absolute = true });
	samples_done(s);
}

static void measure(struct bench *b, const struct open_events *o)
{
	CLEAN(freep) char *path = xasprintf("%s/recover-%d.db", b->dir, o->queued);
	struct samples store = {}, engine = {}, dispatch = {};

	in_child(fill, o, path, NULL);
	for (int i = 0, n = bench_turns(b, TURNS); i <= n; i++) {
		struct rig_times t;

		in_child(start, o, path, &t);
		if (i == 0)
			continue;
		samples_add(&store, t.store * 1e3);
		samples_add(&engine, t.engine * 1e3);
		samples_add(&dispatch, t.dispatch * 1e3);
	}
	figure(b, o, "store open", &store, 0);
	figure(b, o, "engine started", &engine, 0);
	figure(b, o, "first dispatch", &dispatch, 1000);
	bench_unlink_db(path);
}

void bench_recover(struct bench *b)
{
	static const struct open_events cases[] = {
		{ "100k queued, 1 function", 1, 100000, 0, false },
		{ "50k queued, 50k waiting, 100 functions", 100, 50000, 50000, false },
		{ "1M queued, 1 function", 1, 1000000, 0, true },
		{ "500k queued, 500k waiting, 10k functions", 10000, 500000, 500000, true },
	};

	bench_daemon_stop(b);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (!cases[i].longer || b->longer)
			measure(b, &cases[i]);
}
