/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the start of the daemon to its first answer, and what it holds then, with nothing running: state, definitions
 * and log directory are there, as after a reboot, and in the page cache, as after a crash. Against prog_bare_daemon: the
 * same database opened with the same settings, an epoll loop on a unix socket, an answer; no eBPF, no groups, no HTTP
 * parser, and SQLite its only library.
 *
 * On a busy machine the time is the neighbours'; the CPU time beside it is the daemon's own.
 *
 * Rss counts a library's pages wholly, Pss by its share among the processes that have it mapped; memory of BPF maps is
 * the kernel's and in neither.
 */
#include <stdio.h>

#include "base/mem.h"
#include "bench/bench.h"

#define TURNS 20
#define MB 1e6

static void figures(struct bench *b, struct samples *a, struct samples *o, const char *name, const char *unit, double aim)
{
	bench_figure(b, &(struct figure){ .name = name, .unit = unit, .ours = samples_at(a, 0.5), .other = samples_at(o, 0.5),
					  .aim = aim, .no_aim = aim == 0, .at_most = true, .absolute = true });
	samples_done(a);
	samples_done(o);
}

void bench_start(struct bench *b)
{
	CLEAN(freep) char *db = xasprintf("%s/fated.db", b->dir), *socket = xasprintf("%s/bare.sock", b->dir);
	char *argv[] = { (char *)b->bare_daemon, socket, db, NULL };
	struct samples ms[2] = {}, cpu[2] = {}, rss[2] = {}, pss[2] = {};

	bench_daemon_stop(b);
	for (int i = 0, turns = bench_turns(b, TURNS); i <= turns; i++) {
		double ours, other;
		pid_t bare;

		ours = bench_daemon_start(b);
		if (i > 0) {	/* the first one makes the database and reads the files in */
			samples_add(&ms[0], ours * 1e3);
			samples_add(&cpu[0], cpu_threads(b->daemon) * 1e3);
			samples_add(&rss[0], bench_memory(b->daemon, "Rss") / MB);
			samples_add(&pss[0], bench_memory(b->daemon, "Pss") / MB);
		}
		bench_daemon_stop(b);
		other = bench_spawn_daemon(b, argv, socket, &bare);
		if (i > 0) {
			samples_add(&ms[1], other * 1e3);
			samples_add(&cpu[1], cpu_threads(bare) * 1e3);
			samples_add(&rss[1], bench_memory(bare, "Rss") / MB);
			samples_add(&pss[1], bench_memory(bare, "Pss") / MB);
		}
		bench_end_daemon(bare);
	}
	figures(b, &ms[0], &ms[1], "start to first answer", "ms", 100);
	figures(b, &cpu[0], &cpu[1], "start to first answer, CPU", "ms", 0);
	figures(b, &rss[0], &rss[1], "idle daemon, Rss", "MB", 15);
	figures(b, &pss[0], &pss[1], "idle daemon, Pss", "MB", 15);
}
