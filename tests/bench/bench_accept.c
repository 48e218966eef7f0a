/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Durable accepts a second: events taken in, answered only when their row would survive a power cut (I1), with 64
 * callers waiting at any time. In three places, in turns, all on one disk:
 *
 *   engine   the engine itself in this process, on store_sqlite: intake, turn, commit, reply
 *   socket   the daemon over its unix socket, 64 kept connections
 *   sqlite   SQLite's own group commit: the same two rows an event has, by plain INSERTs into the same tables with
 *            the same indexes, 64 events a transaction, WAL, synchronous=FULL; no thread, no engine, no rules
 *
 * Accepting alone is measured: the function may run once at a time and its first run never ends, so no event after the
 * first is started. Every database is as large as the others at every turn.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include <sqlite3.h>
#include <systemd/sd-event.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/mem.h"
#include "bench/bench.h"
#include "engine/engine.h"
#include "store/store_sqlite.h"

#define TURNS 9
#define A_TURN 6400
#define WINDOW 64

static const char payload[] =
	"{\"Records\":[{\"eventSource\":\"bench\",\"key\":\"pictures/2026/11/cat.png\",\"size\":482133,\"etag\":"
	"\"d41d8cd98f00b204e9800998ecf8427e\",\"note\":\"about two hundred and fifty bytes, as small events are: a name, a "
	"place, a number or two and a remark like this\"}]}";

/* ---- engine ------------------------------------------------------------------------------------------------ */

struct in_process {
	sd_event *loop;
	struct engine *engine;
	struct port_store *store;
	struct blob *payload;
	struct arn_function fn;
	int64_t posted, answered, goal;
};

static int64_t real_mono(void *self)
{
	return clock_mono_ns();
}

static int64_t real_wall(void *self)
{
	return clock_wall_ms();
}

/* Chance without a system call each time, as the daemon's clock may do it too. */
static uint64_t fast_random(void *self)
{
	static uint64_t x;
	uint64_t z;

	if (!x)
		x = id_random64();
	z = (x += 0x9e3779b97f4a7c15);
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

/* A launcher whose one process runs for ever. */
static struct fact_sink parked_sink;

static int parked_prepare(struct port_launch *l, const struct launch_spec *spec, struct env_proc **ret, uint64_t *ret_id,
			  struct err *e)
{
	static char proc;

	*ret = (struct env_proc *)&proc;
	*ret_id = 1;
	return 0;
}

static int parked_start(struct port_launch *l, struct env_proc *p, struct err *e)
{
	return 0;
}

static void parked_term(struct port_launch *l, struct env_proc *p)
{
}

static int parked_kill(struct port_launch *l, struct env_proc *p, struct err *e)
{
	parked_sink.fact(parked_sink.self, &(struct fact){ .kind = FACT_WAIT, .cgroup_id = 1, .at_ns = clock_mono_ns(),
							   .wait_status = 9 });
	return 0;
}

static int parked_populated(struct port_launch *l, struct env_proc *p)
{
	return 0;
}

static unsigned int parked_count(struct port_launch *l, struct env_proc *p)
{
	return 1;
}

static void parked_collect(struct port_launch *l, struct env_proc *p, struct fact_cgroup *ret, struct blob **ret_out,
			   struct blob **ret_report)
{
}

static void parked_release(struct port_launch *l, struct env_proc *p)
{
}

static int parked_reap(struct port_launch *l, void (*gone)(void *arg, uint64_t cgroup_id, const char *name), void *arg,
		       struct err *e)
{
	return 0;
}

static const struct port_launch_ops parked_ops = {
	.version = PORT_LAUNCH_VERSION, .prepare = parked_prepare, .start = parked_start, .term = parked_term, .kill = parked_kill,
	.populated = parked_populated, .count = parked_count, .collect = parked_collect, .release = parked_release,
	.reap = parked_reap,
};

static void no_send(struct port_deliver *d, const struct store_op_outbox *row, const char *function, int attempt)
{
	bench_die("a delivery, where nothing ended");
}

static const struct port_deliver_ops no_deliver_ops = { .version = PORT_DELIVER_VERSION, .send = no_send };

static void on_reply(void *arg, const struct intake_reply *r);

static void post(struct in_process *p)
{
	p->posted++;
	intake_invoke(p->engine, INTAKE_ASYNC, &p->fn, p->payload, on_reply, p, NULL);
}

static void on_reply(void *arg, const struct intake_reply *r)
{
	struct in_process *p = arg;

	if (r->status != 202)
		bench_die("the engine refused an event: %d %s", r->status, r->error_message);
	p->answered++;
	if (p->posted < p->goal)
		post(p);
}

/* The daemon's loop without its doors. */
static void run_until(struct in_process *p, bool (*done)(const struct in_process *))
{
	while (!done(p)) {
		if (engine_pending(p->engine))
			engine_turn(p->engine);
		else
			bench_check(sd_event_run(p->loop, UINT64_MAX), "event loop");
	}
}

static bool all_answered(const struct in_process *p)
{
	return p->answered == p->goal;
}

static bool is_quiet(const struct in_process *p)
{
	return engine_quiet(p->engine);
}

static void engine_open(struct in_process *p, const struct bench *b)
{
	static struct port_clock clock = { .mono_ns = real_mono, .wall_ms = real_wall, .random64 = fast_random };
	static struct port_launch launch = { &parked_ops };
	static struct port_deliver deliver = { &no_deliver_ops };
	struct engine_config cfg = { .region = "us-east-1", .concurrency_max = 1, .queue_max = 1 << 30, .inbox_max = 4096 };
	CLEAN(func_unrefp) struct func *f = func_new();
	CLEAN(freep) char *path = xasprintf("%s/engine.db", b->dir);
	struct err e = {};

	*p = (struct in_process){ .payload = blob_new(payload, sizeof(payload) - 1), .fn = { .name = "parked" } };
	bench_check(sd_event_new(&p->loop), "event loop");
	if (store_sqlite_open(p->loop, path, &p->store, &e) < 0)
		bench_die("%s", err_msg(&e));
	p->engine = engine_new(&(struct engine_ports){ .clock = &clock, .store = p->store, .launch = &launch,
						       .deliver = &deliver }, &cfg);
	parked_sink = intake_facts(p->engine);
	snprintf(f->name, sizeof(f->name), "parked");
	f->command = xcalloc(2, sizeof(char *));
	f->command[0] = xstrdup("/nowhere");
	f->timeout_ms = 900000;
	registry_swap(intake_registry(p->engine), &(struct registry_set){ .functions = &f, .n_functions = 1 });
	if (engine_start(p->engine, &e) < 0)
		bench_die("%s", err_msg(&e));
}

static double engine_turns(struct in_process *p, int n)
{
	int64_t began = clock_mono_ns();

	p->goal += n;
	for (int i = 0; i < WINDOW; i++)
		post(p);
	run_until(p, all_answered);
	return n * 1e9 / (double)(clock_mono_ns() - began);
}

static void engine_close(struct in_process *p)
{
	engine_drain(p->engine);
	engine_stop(p->engine);
	run_until(p, is_quiet);
	p->store->ops->close(p->store);
	engine_free(p->engine);
	blob_unref(p->payload);
	sd_event_unref(p->loop);
}

/* ---- socket ------------------------------------------------------------------------------------------------ */

struct callers { struct http *conns; int epoll; struct buf request; };

static void socket_open(struct callers *c, const struct bench *b)
{
	*c = (struct callers){ .conns = xcalloc(WINDOW, sizeof(*c->conns)),
			       .epoll = bench_check(epoll_create1(EPOLL_CLOEXEC), "epoll") };
	for (size_t i = 0; i < WINDOW; i++) {
		struct epoll_event ev = { .events = EPOLLIN, .data.u64 = i };

		http_open(&c->conns[i], b->socket);
		bench_check(epoll_ctl(c->epoll, EPOLL_CTL_ADD, c->conns[i].fd, &ev), "epoll");
	}
	http_request(&c->request, "POST", "/2015-03-31/functions/parked/invocations", "Event", payload, sizeof(payload) - 1);
}

static double socket_turns(struct callers *c, int n)
{
	int64_t began = clock_mono_ns();
	struct epoll_event ev[WINDOW];
	int posted = 0, answered = 0;

	for (; posted < WINDOW; posted++)
		http_send(&c->conns[posted], &c->request);
	while (answered < n) {
		int got = bench_check(epoll_wait(c->epoll, ev, WINDOW, 10000), "epoll");

		if (!got)
			bench_die("the daemon answers no more: %d of %d", answered, n);
		for (int i = 0; i < got; i++) {
			struct http *h = &c->conns[ev[i].data.u64];

			if (!http_read(h))
				continue;
			if (h->status != 202)
				bench_die("the daemon refused an event: %d %.300s", h->status, http_body(h));
			answered++;
			if (posted < n) {
				http_send(h, &c->request);
				posted++;
			}
		}
	}
	return n * 1e9 / (double)(clock_mono_ns() - began);
}

static void socket_close(struct callers *c)
{
	for (size_t i = 0; i < WINDOW; i++)
		http_close(&c->conns[i]);
	free(c->conns);
	close(c->epoll);
	buf_done(&c->request);
}

/* ---- sqlite ------------------------------------------------------------------------------------------------ */

struct plain { sqlite3 *db; sqlite3_stmt *event, *body; int64_t seq; };

static void sql(struct plain *p, const char *text)
{
	if (sqlite3_exec(p->db, text, NULL, NULL, NULL) != SQLITE_OK)
		bench_die("%s: %s", text, sqlite3_errmsg(p->db));
}

static sqlite3_stmt *prepared(struct plain *p, const char *text)
{
	sqlite3_stmt *s = NULL;

	if (sqlite3_prepare_v3(p->db, text, -1, SQLITE_PREPARE_PERSISTENT, &s, NULL) != SQLITE_OK)
		bench_die("%s: %s", text, sqlite3_errmsg(p->db));
	return s;
}

static void plain_open(struct plain *p, const struct bench *b)
{
	CLEAN(freep) char *path = xasprintf("%s/plain.db", b->dir);
	struct port_store *store = NULL;
	sd_event *loop = NULL;
	struct err e = {};

	/* The same tables and indexes: let the store make them. */
	bench_check(sd_event_new(&loop), "event loop");
	if (store_sqlite_open(loop, path, &store, &e) < 0)
		bench_die("%s", err_msg(&e));
	store->ops->close(store);
	sd_event_unref(loop);

	*p = (struct plain){};
	if (sqlite3_open_v2(path, &p->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
		bench_die("%s: %s", path, sqlite3_errmsg(p->db));
	/* What the store asks of SQLite for speed is given here too. */
	sql(p, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=4000; PRAGMA cache_size=-16384");
	p->event = prepared(p, "INSERT INTO event (seq, request_id, function, qualifier, state, accepted_at_ms, due_at_ms, "
			       "attempts, starts, backoffs, condition, epoch, lease_owner) VALUES (?1, ?2, 'parked', '', 0, "
			       "?3, 0, 0, 0, 0, 0, 0, 1)");
	p->body = prepared(p, "INSERT INTO event_payload (seq, body) VALUES (?1, ?2)");
}

static void insert(struct plain *p, sqlite3_stmt *s)
{
	if (sqlite3_step(s) != SQLITE_DONE)
		bench_die("plain INSERT: %s", sqlite3_errmsg(p->db));
	sqlite3_reset(s);
}

static double plain_turns(struct plain *p, int n)
{
	int64_t began = clock_mono_ns();

	for (int done = 0; done < n; done += WINDOW) {
		sql(p, "BEGIN IMMEDIATE");
		for (int i = 0; i < WINDOW; i++) {
			uint64_t rnd[2] = { fast_random(NULL), fast_random(NULL) };
			char id[ID_UUID_LEN + 1];

			id_uuid(rnd, id);
			sqlite3_bind_int64(p->event, 1, ++p->seq);
			sqlite3_bind_text(p->event, 2, id, ID_UUID_LEN, SQLITE_STATIC);
			sqlite3_bind_int64(p->event, 3, clock_wall_ms());
			insert(p, p->event);
			sqlite3_bind_int64(p->body, 1, p->seq);
			sqlite3_bind_blob(p->body, 2, payload, sizeof(payload) - 1, SQLITE_STATIC);
			insert(p, p->body);
		}
		sql(p, "COMMIT");
	}
	return n * 1e9 / (double)(clock_mono_ns() - began);
}

static void plain_close(struct plain *p)
{
	sqlite3_finalize(p->event);
	sqlite3_finalize(p->body);
	sqlite3_close(p->db);
}

_Static_assert(A_TURN % WINDOW == 0, "whole transactions");

void bench_accept(struct bench *b)
{
	struct samples engine = {}, http = {}, sqlite = {};
	int turns = bench_turns(b, TURNS);
	struct in_process p;
	struct callers c;
	struct plain s;

	engine_open(&p, b);
	socket_open(&c, b);
	plain_open(&s, b);
	for (int i = 0; i <= turns; i++) {
		double e = engine_turns(&p, A_TURN), q = plain_turns(&s, A_TURN), h = socket_turns(&c, A_TURN);

		if (i == 0)
			continue;	/* warm-up */
		samples_add(&engine, e);
		samples_add(&sqlite, q);
		samples_add(&http, h);
	}
	bench_figure(b, &(struct figure){ .name = "durable accepts, engine, 64 waiting", .unit = "1/s",
					  .ours = samples_at(&engine, 0.5),
					  .other = samples_at(&sqlite, 0.5), .aim = 0.7 });
	bench_figure(b, &(struct figure){ .name = "durable accepts, socket, 64 waiting", .unit = "1/s",
					  .ours = samples_at(&http, 0.5),
					  .other = samples_at(&sqlite, 0.5), .aim = 0.7 });
	engine_close(&p);
	socket_close(&c);
	plain_close(&s);
	samples_done(&engine);
	samples_done(&http);
	samples_done(&sqlite);
}
