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
#include <sqlite3.h>
#include <systemd/sd-event.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/mem.h"
#include "bench/bench_rig.h"
#include "store/store_sqlite.h"

#define TURNS 9
#define A_TURN 6400

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
			       "attempts, starts, backoffs, condition, epoch, lease_owner) VALUES (?1, ?2, 'function-00000', '', "
			       "0, ?3, 0, 0, 0, 0, 0, 0, 1)");
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

	for (int done = 0; done < n; done += RIG_CALLERS) {
		sql(p, "BEGIN IMMEDIATE");
		for (int i = 0; i < RIG_CALLERS; i++) {
			uint64_t rnd[2] = { rig_random(NULL), rig_random(NULL) };
			char id[ID_UUID_LEN + 1];

			id_uuid_at(clock_wall_ms(), rnd, id);
			sqlite3_bind_int64(p->event, 1, ++p->seq);
			sqlite3_bind_text(p->event, 2, id, ID_UUID_LEN, SQLITE_STATIC);
			sqlite3_bind_int64(p->event, 3, clock_wall_ms());
			insert(p, p->event);
			sqlite3_bind_int64(p->body, 1, p->seq);
			sqlite3_bind_blob(p->body, 2, rig_event, (int)rig_event_len, SQLITE_STATIC);
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

_Static_assert(A_TURN % RIG_CALLERS == 0, "whole transactions");

static const char *parked(void *arg, int i)
{
	return "parked";
}

void bench_accept(struct bench *b)
{
	struct samples engine = {}, http = {}, sqlite = {};
	int turns = bench_turns(b, TURNS);
	CLEAN(freep) char *path = xasprintf("%s/engine.db", b->dir);
	struct callers c;
	struct rig *r;
	struct plain s;

	r = rig_open(&(struct rig_config){ .path = path, .functions = 1, .concurrency = 1, .reserved = -1 }, NULL);
	callers_open(&c, b->socket, RIG_CALLERS);
	plain_open(&s, b);
	for (int i = 0; i <= turns; i++) {
		double e = A_TURN / rig_accept(r, A_TURN), q = plain_turns(&s, A_TURN);
		double h = A_TURN / callers_post(&c, parked, NULL, A_TURN);

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
	rig_close(r);
	callers_close(&c);
	plain_close(&s);
	samples_done(&engine);
	samples_done(&http);
	samples_done(&sqlite);
}
