/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The same as bench_scale.c for the whole daemon: events over its socket, real processes in groups of their own. With
 * how many functions, and how much waits, may neither matter.
 *
 * A function waits for a gate (a lock on a file that we hold) and answers: with the gate closed the places are taken, and
 * what is accepted is backlog; with the gate open as much is finished as the machine can. A turn is a daemon's life, so
 * each begins with the start of a daemon that has a backlog; rows take turns as there. What a turn accepts beyond what it
 * finishes stays, some hundred events.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "bench/bench_rig.h"

#define ROUNDS 4
#define CALLERS 64
#define PLACES "4"
#define WARM_UP 640
#define N_A_TURN 1280
#define MB 1e6
#define POLL_US 20000
#define SETTLED_US 100000
#define PATIENCE_NS (60 * NS_PER_S)

struct row {
	int functions, backlog;
	char *state, *definitions, *gate;
	struct pairs accept, finish, accept_cpu, finish_cpu;
	struct samples start, rss, pss;
};
/* CPU: the daemon's own, in microseconds an event. */
struct turn { double accept, finish, accept_cpu, finish_cpu, start, rss, pss; };

static struct row rows[] = {
	{ .functions = 1, .backlog = 1000 }, { .functions = 100, .backlog = 1000 },
	{ .functions = 1, .backlog = 100000 }, { .functions = 100, .backlog = 100000 },
};

static int gate_close(const struct row *row)
{
	int fd = bench_check(open(row->gate, O_RDWR | O_CREAT | O_CLOEXEC, 0600), row->gate);

	bench_check(flock(fd, LOCK_EX), row->gate);
	return fd;
}

static void gate_open(int *fd)
{
	close(TAKE_FD(*fd));
}

static void make(const struct bench *b, struct row *row)
{
	row->state = xasprintf("%s/load-%d-%d", b->dir, row->functions, row->backlog);
	row->definitions = xasprintf("%s/functions", row->state);
	row->gate = xasprintf("%s/gate", row->state);
	bench_check(mkdir(row->state, 0700), row->state);
	bench_check(mkdir(row->definitions, 0700), row->definitions);
	for (int i = 0; i < row->functions; i++) {
		CLEAN(freep) char *command = xasprintf("\"gate\", \"%s\"", row->gate);
		char name[LIM_FUNCTION_NAME_MAX + 1];

		rig_function_name(name, i);
		bench_define(b, row->definitions, name, command);
	}
}

static double row_start(struct bench *b, const struct row *row)
{
	CLEAN(freep) char *state = xasprintf("--StateDirectory=%s", row->state);
	CLEAN(freep) char *definitions = xasprintf("--FunctionsDirectory=%s", row->definitions);

	return bench_daemon_start_with(b, (const char *const[]){ state, definitions, "--MaxConcurrency=" PLACES,
								   "--KeepRunning=false", NULL });
}

/* It reads the next events of its backlog after its first answer: those are no part of an accept. */
static void settle(const struct bench *b)
{
	int64_t give_up = clock_mono_ns() + PATIENCE_NS;
	double before, now = cpu_threads(b->daemon);

	do {
		before = now;
		usleep(SETTLED_US);
		now = cpu_threads(b->daemon);
		if (clock_mono_ns() > give_up)
			bench_die("the daemon is never at rest");
	} while (now - before > SETTLED_US / 1e6 / 50);
}

static const char *function_of(void *arg, int i)
{
	static char name[LIM_FUNCTION_NAME_MAX + 1];
	const struct row *row = arg;

	rig_function_name(name, i % row->functions);
	return name;
}

/* Events that have ended: the place of the newest record. Status would count what is open, which costs with the backlog. */
static double ended(struct http *h)
{
	static struct buf request;

	http_request(&request, "GET", "/fate/v1/records/tail", NULL, "", 0);
	if (http_call(h, &request) != 200)
		bench_die("records: %d, %.300s", h->status, http_body(h));
	return http_number(h, "lastPos");
}

/* As many as were accepted, and some: looked at every POLL_US, and counted to the moment of the look. */
static void finish(const struct bench *b, struct http *h, int *gate, struct turn *t)
{
	double from, n, cpu;
	int64_t began, now;

	gate_open(gate);
	from = ended(h);
	cpu = cpu_threads(b->daemon);
	began = clock_mono_ns();
	do {
		usleep(POLL_US);
		n = ended(h) - from;
		now = clock_mono_ns();
		if (now - began > PATIENCE_NS)
			bench_die("the daemon finishes no more: %g of %d", n, N_A_TURN);
	} while (n < N_A_TURN);
	t->finish = n * 1e9 / (double)(now - began);
	t->finish_cpu = (cpu_threads(b->daemon) - cpu) * 1e6 / n;
}

static struct turn turn_of(struct bench *b, struct row *row)
{
	static struct http h;
	int gate = gate_close(row);
	struct callers c;
	struct turn t;
	double cpu;

	t.start = row_start(b, row);
	http_open(&h, b->socket);
	callers_open(&c, b->socket, CALLERS);
	settle(b);
	(void)callers_post(&c, function_of, row, WARM_UP);
	cpu = cpu_threads(b->daemon);
	t.accept = N_A_TURN / callers_post(&c, function_of, row, N_A_TURN);
	t.accept_cpu = (cpu_threads(b->daemon) - cpu) * 1e6 / N_A_TURN;
	t.rss = bench_memory(b->daemon, "Rss");
	t.pss = bench_memory(b->daemon, "Pss");
	finish(b, &h, &gate, &t);
	callers_close(&c);
	http_close(&h);
	bench_daemon_stop(b);
	return t;
}

static void fill(struct bench *b, struct row *row)
{
	int gate = gate_close(row);
	struct callers c;

	(void)row_start(b, row);
	callers_open(&c, b->socket, CALLERS);
	(void)callers_post(&c, function_of, row, row->backlog);
	callers_close(&c);
	gate_open(&gate);
	bench_daemon_stop(b);
}

static void keep(struct row *row, const struct turn *t)
{
	samples_add(&row->start, t->start * 1e3);
	samples_add(&row->rss, t->rss / MB);
	samples_add(&row->pss, t->pss / MB);
}

static void round_of(struct bench *b, size_t first, bool kept)
{
	struct turn before = turn_of(b, &rows[0]);

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct row *row = &rows[(first + i) % ARRAY_SIZE(rows)];
		struct turn ours, after;

		if (row == &rows[0])
			continue;
		ours = turn_of(b, row);
		after = turn_of(b, &rows[0]);
		if (kept) {
			pairs_add(&row->accept, before.accept, ours.accept, after.accept);
			pairs_add(&row->finish, before.finish, ours.finish, after.finish);
			pairs_add(&row->accept_cpu, before.accept_cpu, ours.accept_cpu, after.accept_cpu);
			pairs_add(&row->finish_cpu, before.finish_cpu, ours.finish_cpu, after.finish_cpu);
			keep(row, &ours);
			keep(&rows[0], &after);
		}
		before = after;
	}
}

static void name_of(const struct row *row, const char *what, char out[64])
{
	snprintf(out, 64, "daemon, %d function%s, %dk queued: %s", row->functions, row->functions > 1 ? "s" : "",
		 row->backlog / 1000, what);
}

static void absolute(struct bench *b, struct row *row, const char *what, const char *unit, struct samples *s, double aim)
{
	char name[64];

	name_of(row, what, name);
	bench_figure(b, &(struct figure){ .name = name, .unit = unit, .ours = samples_at(s, 0.5),
					  .other = row == &rows[0] ? -1 : samples_at(s == &row->start ? &rows[0].start :
										      s == &row->rss ? &rows[0].rss :
												       &rows[0].pss, 0.5),
					  .aim = aim, .no_aim = aim == 0, .at_most = true, .absolute = true });
}

static void figures(struct bench *b, struct row *row)
{
	char name[64];

	if (row != &rows[0]) {
		name_of(row, "accepts", name);
		pairs_figure(b, &row->accept, &(struct figure){ .name = name, .unit = "1/s", .aim = 0.9 });
		name_of(row, "finishes", name);
		pairs_figure(b, &row->finish, &(struct figure){ .name = name, .unit = "1/s", .aim = 0.9 });
		name_of(row, "CPU of an accept", name);
		pairs_figure(b, &row->accept_cpu, &(struct figure){ .name = name, .unit = "us", .aim = 1.1, .at_most = true });
		name_of(row, "CPU of a finish", name);
		pairs_figure(b, &row->finish_cpu, &(struct figure){ .name = name, .unit = "us", .aim = 1.1, .at_most = true });
	}
	absolute(b, row, "start to first answer", "ms", &row->start, 1000);
	absolute(b, row, "Rss", "MB", &row->rss, 0);
	absolute(b, row, "Pss", "MB", &row->pss, 0);
}

void bench_load(struct bench *b)
{
	bench_daemon_stop(b);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		make(b, &rows[i]);
		fill(b, &rows[i]);
	}
	round_of(b, 0, false);		/* warm-up */
	for (int i = 0, n = bench_turns(b, ROUNDS); i < n; i++)
		round_of(b, (size_t)i, true);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		figures(b, &rows[i]);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		samples_done(&rows[i].start);
		samples_done(&rows[i].rss);
		samples_done(&rows[i].pss);
		free(rows[i].state);
		free(rows[i].definitions);
		free(rows[i].gate);
	}
}
