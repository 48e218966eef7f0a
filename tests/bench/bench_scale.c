/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What must not depend on the number of functions, nor on how much waits: accepted and finished events a second (a
 * finished one was claimed, started, settled, and its record is durable), and the memory beside them.
 *
 * Each row of the table is an engine on a database of its own in a process of its own (bench_rig.c), all of them at once;
 * they take turns, and those that have no turn are idle. A row is measured between two turns of the first row, and its
 * ratio is the median of its ratios to the mean of those. A turn accepts N_A_TURN events and finishes as many, so the
 * backlog is the same at every turn; the first row's queue is empty but for those.
 *
 * A rate is as good as the disk and the neighbours were; the CPU time of an event, beside it, is the engine's and the
 * store's own. Nothing is deleted: the history grows in all rows, most in the first.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "bench/bench_rig.h"

#define ROUNDS 16
#define N_A_TURN 1280
#define PLACES 64
#define MB 1e6

struct row {
	int functions, backlog;
	pid_t pid;
	int fd;
	struct pairs accept, finish, accept_cpu, finish_cpu;
};

static struct row rows[] = {
	{ .functions = 1, .backlog = 0 }, { .functions = 1, .backlog = 1000 },
	{ .functions = 1, .backlog = 100000 }, { .functions = 1, .backlog = 1000000 },
	{ .functions = 100, .backlog = 0 }, { .functions = 100, .backlog = 1000 },
	{ .functions = 100, .backlog = 100000 }, { .functions = 100, .backlog = 1000000 },
	{ .functions = 10000, .backlog = 0 }, { .functions = 10000, .backlog = 1000 },
	{ .functions = 10000, .backlog = 100000 }, { .functions = 10000, .backlog = 1000000 },
};

/* ---- a row's process --------------------------------------------------------------------------------------- */

enum order { ORDER_ACCEPT, ORDER_FINISH, ORDER_MEMORY, ORDER_END };
/* Of an event; of the process. */
struct answer { double rate, cpu_us; double rss, pss; };

static struct answer obey(struct rig *r, enum order o)
{
	struct answer a = {};
	double cpu = cpu_self();

	if (o == ORDER_ACCEPT) {
		a.rate = N_A_TURN / rig_accept(r, N_A_TURN);
	} else if (o == ORDER_FINISH) {
		a.rate = N_A_TURN / rig_finish(r, N_A_TURN);
	} else if (o == ORDER_MEMORY) {
		a.rss = bench_memory(getpid(), "Rss");
		a.pss = bench_memory(getpid(), "Pss");
	} else {
		rig_close(r);
	}
	a.cpu_us = (cpu_self() - cpu) * 1e6 / N_A_TURN;
	return a;
}

static void row_main(const struct row *row, const char *path, int fd)
{
	enum order o = ORDER_MEMORY;
	struct answer a = {};
	struct rig *r;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (row->backlog)
		rig_fill(&(struct rig_backlog){ .path = path, .functions = row->functions, .queued = row->backlog });
	r = rig_open(&(struct rig_config){ .path = path, .functions = row->functions, .concurrency = PLACES, .reserved = -1 },
		     NULL);
	while (write(fd, &a, sizeof(a)) == sizeof(a) && o != ORDER_END && read(fd, &o, sizeof(o)) == sizeof(o))
		a = obey(r, o);
	_exit(o != ORDER_END);	/* its state is not ours to clean up, and exit() would stop the parent's daemon */
}

static struct answer row_answer(const struct row *row)
{
	struct answer a;

	if (read(row->fd, &a, sizeof(a)) != sizeof(a))
		bench_die("the process of %d functions, %d queued, has ended", row->functions, row->backlog);
	return a;
}

static struct answer row_order(const struct row *row, enum order o)
{
	if (write(row->fd, &o, sizeof(o)) != sizeof(o))
		bench_die("the process of %d functions, %d queued: %s", row->functions, row->backlog, strerror(errno));
	return row_answer(row);
}

static char *row_path(const struct bench *b, const struct row *row)
{
	return xasprintf("%s/scale-%d-%d.db", b->dir, row->functions, row->backlog);
}

static void row_start(const struct bench *b, struct row *row)
{
	CLEAN(freep) char *path = row_path(b, row);
	int pair[2];

	bench_check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), "socketpair");
	row->pid = bench_check(fork(), "fork");
	if (row->pid == 0) {
		close(pair[0]);
		row_main(row, path, pair[1]);
	}
	close(pair[1]);
	row->fd = pair[0];
	(void)row_answer(row);	/* one after the other: filling takes the disk */
}

static void row_end(const struct bench *b, struct row *row)
{
	CLEAN(freep) char *path = row_path(b, row);

	(void)row_order(row, ORDER_END);
	bench_check(waitpid(row->pid, NULL, 0), "waitpid");
	close(row->fd);
	bench_unlink_db(path);
}

/* ---- rounds ------------------------------------------------------------------------------------------------ */

/* Filling takes its time. */
static bool wanted(const struct bench *b, const struct row *row)
{
	return row->backlog < 1000000 || b->longer;
}

struct turn { struct answer accept, finish; };

static struct turn turn_of(const struct row *row)
{
	struct turn t;

	t.accept = row_order(row, ORDER_ACCEPT);
	t.finish = row_order(row, ORDER_FINISH);
	return t;
}

/* The rows in another order each time: what follows whom is no part of a figure. */
static void round_of(const struct bench *b, size_t first, bool keep)
{
	struct turn before = turn_of(&rows[0]);

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct row *row = &rows[(first + i) % ARRAY_SIZE(rows)];
		struct turn ours, after;

		if (!wanted(b, row) || row == &rows[0])
			continue;
		ours = turn_of(row);
		after = turn_of(&rows[0]);
		if (keep) {
			pairs_add(&row->accept, before.accept.rate, ours.accept.rate, after.accept.rate);
			pairs_add(&row->finish, before.finish.rate, ours.finish.rate, after.finish.rate);
			pairs_add(&row->accept_cpu, before.accept.cpu_us, ours.accept.cpu_us, after.accept.cpu_us);
			pairs_add(&row->finish_cpu, before.finish.cpu_us, ours.finish.cpu_us, after.finish.cpu_us);
		}
		before = after;
	}
}

static void name_of(const struct row *row, const char *what, char out[64])
{
	char backlog[16] = "none";

	if (row->backlog >= 1000000)
		snprintf(backlog, sizeof(backlog), "%dM", row->backlog / 1000000);
	else if (row->backlog)
		snprintf(backlog, sizeof(backlog), "%dk", row->backlog / 1000);
	snprintf(out, 64, "%s, %d function%s, %s queued", what, row->functions, row->functions > 1 ? "s" : "", backlog);
}

static void figures(struct bench *b, struct row *row)
{
	char name[64];

	name_of(row, "accepts", name);
	pairs_figure(b, &row->accept, &(struct figure){ .name = name, .unit = "1/s", .aim = 0.9 });
	name_of(row, "finishes", name);
	pairs_figure(b, &row->finish, &(struct figure){ .name = name, .unit = "1/s", .aim = 0.9 });
	name_of(row, "CPU of an accept", name);
	pairs_figure(b, &row->accept_cpu, &(struct figure){ .name = name, .unit = "us", .aim = 1.1, .at_most = true });
	name_of(row, "CPU of a finish", name);
	pairs_figure(b, &row->finish_cpu, &(struct figure){ .name = name, .unit = "us", .aim = 1.1, .at_most = true });
}

static void memory(struct bench *b, struct row *row)
{
	static struct answer first;
	struct answer a = row_order(row, ORDER_MEMORY);
	struct figure f;
	char name[64];

	if (row == &rows[0])
		first = a;
	name_of(row, "Rss", name);
	f = (struct figure){ .name = name, .unit = "MB", .ours = a.rss / MB, .other = first.rss / MB, .no_aim = true };
	bench_figure(b, &f);
	name_of(row, "Pss", name);
	f.ours = a.pss / MB;
	f.other = first.pss / MB;
	bench_figure(b, &f);
}

void bench_scale(struct bench *b)
{
	bench_daemon_stop(b);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (wanted(b, &rows[i]))
			row_start(b, &rows[i]);
	round_of(b, 0, false);		/* warm-up */
	for (int i = 0, n = bench_turns(b, ROUNDS); i < n; i++)
		round_of(b, (size_t)i, true);
	for (size_t i = 1; i < ARRAY_SIZE(rows); i++)
		if (wanted(b, &rows[i]))
			figures(b, &rows[i]);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (wanted(b, &rows[i]))
			memory(b, &rows[i]);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (wanted(b, &rows[i]))
			row_end(b, &rows[i]);
}
