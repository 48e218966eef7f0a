/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows back into structs, each with the checks that pair those made before the write. A row that cannot have been
 * written by us is an error that names it: guessing would break I1 or I7 quietly.
 *
 * INDEXED BY pins the plan of each list: a statement whose index is gone fails when it is prepared, at start, and
 * not as a slow scan of a million rows a year later.
 */
#include "store/store_read.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "store/store_row.h"

#define EVENT_COLS "e.seq, e.request_id, e.function, e.qualifier, e.state, e.accepted_at_ms, e.due_at_ms, e.attempts," \
	" e.starts, e.backoffs, e.epoch, e.condition, e.verdicts, e.version, e.hops, e.origin, e.timeout_ms, e.memory_mb," \
	" e.lease_until_ms, e.death, e.deaths, e.once"
#define RECORD_COLS "r.seq, r.request_id, r.function, r.condition, r.at_ms, r.pos, r.body"
#define OUTBOX_COLS "o.seq, o.role, o.target, o.key, o.tries, o.created_at_ms, o.due_at_ms, o.last_error," \
	" e.function, e.request_id, e.starts, b.id, b.body, b.attributes"
/* A row without its event or its body is read as one that is impossible, and named. */
#define OUTBOX_JOIN " LEFT JOIN outbox_body b ON b.id = o.id LEFT JOIN event e ON e.seq = o.seq"
/* In order of id, ?1 after_pos, ?2 limit: the ids from the index alone, then one row after the other. A join of the two is
 * sorted once more, with all bodies in memory, whatever the page may take. */
#define OUTBOX_IDS(ids) "SELECT " OUTBOX_COLS " FROM outbox o" OUTBOX_JOIN " WHERE o.id IN (" ids " ORDER BY id LIMIT ?2)" \
	" ORDER BY o.id"
#define OWED "SELECT id FROM outbox INDEXED BY outbox_owed WHERE due_at_ms < 9223372036854775807 AND id > ?1"
#define FAILED "SELECT id FROM outbox INDEXED BY outbox_failed WHERE due_at_ms = 9223372036854775807 AND id > ?1"
#define OWED_OR_FAILED(more) "SELECT id FROM (" OWED more " UNION ALL " FAILED more ")"
#define OF_TARGET " AND target = ?3"
#define ACTIVE "e.state <> 0 AND e.state <> 3 AND e.state <> 5"
/* Newest first, ?1 before_seq, ?2 limit: the numbers from the index alone. */
#define EVENTS_SORTED(index, which) "SELECT " EVENT_COLS " FROM (SELECT seq FROM event INDEXED BY " index " WHERE " which \
	" AND seq < ?1 ORDER BY seq DESC LIMIT ?2) d CROSS JOIN event e ON e.seq = d.seq ORDER BY d.seq DESC"
/* Of function ?3. */
#define NEWEST(table, index, which) "SELECT seq FROM (SELECT seq FROM " table " INDEXED BY " index " WHERE " which \
	" AND function = ?3 AND seq < ?1 ORDER BY seq DESC LIMIT ?2)"
#define PAGE(t) " ORDER BY " t ".seq DESC LIMIT ?2"

enum r_stmt {
	/* The engine's: at start, and the backlog. */
	R_BEGIN, R_END,
	R_LAST_SEQ, R_ANCHOR, R_VERSIONS, R_ALIASES, R_RUNNING, R_EVENT_BY_SEQ, R_EVENT_BY_ID, R_PAYLOAD, R_ATTEMPTS,
	R_COUNT_QUEUED_BY, R_COUNT_WAITING, R_COUNT_ACTIVE, R_COUNT_OWED_BY,
	R_LOAD_QUEUED, R_LOAD_WAITING_SAME, R_LOAD_WAITING_LATER, R_LOAD_OUTBOX,
	R_LOAD_MAX,
	/* Everybody else's. */
	R_EVENTS = R_LOAD_MAX, R_EVENTS_QUEUED, R_EVENTS_ACTIVE, R_EVENTS_WAITING, R_EVENTS_DONE,
	R_EVENTS_FUNCTION, R_EVENTS_FUNCTION_QUEUED, R_EVENTS_FUNCTION_ACTIVE, R_EVENTS_FUNCTION_WAITING, R_EVENTS_FUNCTION_DONE,
	R_ENDED, R_ENDED_FUNCTION, R_LAST_OUTCOME, R_REPEATS,
	R_RECORD_BY_SEQ, R_RECORD_BY_ID, R_RECORD_TIME,
	R_RECORDS, R_RECORDS_FUNCTION, R_RECORDS_CONDITION, R_RECORDS_FUNCTION_CONDITION,
	R_LAST_POS, R_TAIL,
	R_OUTBOX_ANY, R_OUTBOX_OWED, R_OUTBOX_FAILED, R_OUTBOX_TARGET_ANY, R_OUTBOX_TARGET_OWED, R_OUTBOX_TARGET_FAILED,
	R_OUTBOX_BY_SEQ,
	R_QUEUES, R_MESSAGES, R_MESSAGE_LAST,
	R_COUNT_QUEUED, R_COUNT_EVENTS, R_COUNT_ATTEMPTS, R_COUNT_RECORDS, R_COUNT_OWED, R_COUNT_FAILED, R_COUNT_MESSAGES,
	R_MAX
};

/* Lists: ?1 before_seq, ?2 limit, ?3 function, ?4 state or condition. The states' numbers: see store_migrate.c. */
static const char *const r_sql[R_MAX] = {
	[R_BEGIN] = "BEGIN",
	[R_END] = "COMMIT",
	/* Casts: in a damaged file a text there would be larger than any number. */
	[R_LAST_SEQ] = "SELECT max((SELECT coalesce(max(seq), 0) FROM event),"
		       " (SELECT coalesce(max(CAST(seq AS INTEGER)), 0) FROM trimmed))",
	[R_ANCHOR] = "SELECT boot_id, boot_ms, steady_ms FROM anchor",
	[R_VERSIONS] = "SELECT version, function, at_ms, description, definition FROM function_version ORDER BY function, version",
	[R_ALIASES] = "SELECT function, name, body FROM alias ORDER BY function, name",
	[R_RUNNING] = "SELECT e.seq FROM event e INDEXED BY event_active WHERE e.state = 1 AND " ACTIVE " ORDER BY e.seq",
	[R_EVENT_BY_SEQ] = "SELECT " EVENT_COLS " FROM event e WHERE e.seq = ?1",
	[R_EVENT_BY_ID] = "SELECT " EVENT_COLS " FROM event e WHERE e.request_id = ?1",
	[R_PAYLOAD] = "SELECT body FROM event_payload WHERE seq = ?1",
	[R_ATTEMPTS] = "SELECT start, started_at_ms, ended_at_ms, outcome, fate FROM attempt WHERE seq = ?1 ORDER BY start",
	[R_LAST_OUTCOME] = "SELECT outcome FROM attempt WHERE seq = ?1 ORDER BY start DESC LIMIT 1",
	[R_LOAD_QUEUED] = "SELECT " EVENT_COLS " FROM event e INDEXED BY event_queued"
			  " WHERE e.state = 0 AND e.function = ?1 AND e.seq > ?2 ORDER BY e.seq LIMIT ?3",
	/* In two halves: a comparison of (due_at_ms, seq) would walk over all those of the same time, page after page. */
	[R_LOAD_WAITING_SAME] = "SELECT " EVENT_COLS " FROM event e INDEXED BY event_waiting"
				" WHERE e.state = 3 AND e.due_at_ms = ?1 AND e.seq > ?2 ORDER BY e.seq LIMIT ?3",
	[R_LOAD_WAITING_LATER] = "SELECT " EVENT_COLS " FROM event e INDEXED BY event_waiting"
				 " WHERE e.state = 3 AND e.due_at_ms > ?1 ORDER BY e.due_at_ms, e.seq LIMIT ?3",
	[R_EVENTS] = "SELECT " EVENT_COLS " FROM event e NOT INDEXED WHERE e.seq < ?1" PAGE("e"),
	[R_EVENTS_QUEUED] = EVENTS_SORTED("event_queued", "state = 0"),
	[R_EVENTS_ACTIVE] = "SELECT " EVENT_COLS " FROM event e INDEXED BY event_active"
			    " WHERE e.seq < ?1 AND e.state = ?4 AND " ACTIVE PAGE("e"),
	[R_EVENTS_WAITING] = EVENTS_SORTED("event_waiting", "state = 3"),
	[R_EVENTS_DONE] = "SELECT " EVENT_COLS " FROM event e NOT INDEXED WHERE e.seq < ?1 AND e.state = 5" PAGE("e"),
	/* In pieces: what is open, and what has a record, which all have that have ended. */
	[R_EVENTS_FUNCTION] = "SELECT " EVENT_COLS " FROM (SELECT seq FROM ("
			      NEWEST("event", "event_queued", "state = 0") " UNION " NEWEST("event", "event_waiting", "state = 3")
			      " UNION " NEWEST("event", "event_active", "state <> 0 AND state <> 3 AND state <> 5")
			      " UNION " NEWEST("record", "record_by_function", "true")
			      ") ORDER BY seq DESC LIMIT ?2) d CROSS JOIN event e ON e.seq = d.seq ORDER BY d.seq DESC",
	[R_EVENTS_FUNCTION_QUEUED] = "SELECT " EVENT_COLS " FROM event e INDEXED BY event_queued"
				     " WHERE e.seq < ?1 AND e.function = ?3 AND e.state = 0" PAGE("e"),
	[R_EVENTS_FUNCTION_ACTIVE] = "SELECT " EVENT_COLS " FROM event e INDEXED BY event_active"
				     " WHERE e.seq < ?1 AND e.function = ?3 AND e.state = ?4 AND " ACTIVE PAGE("e"),
	[R_EVENTS_FUNCTION_WAITING] = EVENTS_SORTED("event_waiting", "state = 3 AND function = ?3"),
	[R_EVENTS_FUNCTION_DONE] = "SELECT " EVENT_COLS " FROM record r INDEXED BY record_by_function"
				   " CROSS JOIN event e ON e.seq = r.seq"
				   " WHERE r.seq < ?1 AND r.function = ?3 AND e.state = 5" PAGE("r"),
	[R_ENDED] = "SELECT " EVENT_COLS " FROM event e NOT INDEXED WHERE e.seq > ?1 ORDER BY e.seq",
	[R_ENDED_FUNCTION] = "SELECT " EVENT_COLS " FROM record r INDEXED BY record_by_function"
			     " CROSS JOIN event e ON e.seq = r.seq"
			     " WHERE r.seq > ?1 AND r.function = ?3 ORDER BY r.seq",
	[R_REPEATS] = "SELECT request_id FROM event INDEXED BY event_by_origin WHERE origin = ?1 AND origin <> ''"
		      " ORDER BY seq LIMIT ?2",
	[R_RECORD_BY_SEQ] = "SELECT " RECORD_COLS " FROM record r INDEXED BY record_by_seq WHERE r.seq = ?1",
	[R_RECORD_BY_ID] = "SELECT " RECORD_COLS " FROM event e CROSS JOIN record r INDEXED BY record_by_seq ON r.seq = e.seq"
			   " WHERE e.request_id = ?1",
	[R_RECORD_TIME] = "SELECT at_ms FROM record INDEXED BY record_by_seq WHERE seq = ?1",
	[R_RECORDS] = "SELECT " RECORD_COLS " FROM record r INDEXED BY record_by_seq WHERE r.seq < ?1" PAGE("r"),
	[R_RECORDS_FUNCTION] = "SELECT " RECORD_COLS " FROM record r INDEXED BY record_by_function"
			       " WHERE r.seq < ?1 AND r.function = ?3" PAGE("r"),
	[R_RECORDS_CONDITION] = "SELECT " RECORD_COLS " FROM record r INDEXED BY record_by_condition"
				" WHERE r.seq < ?1 AND r.condition = ?4" PAGE("r"),
	[R_RECORDS_FUNCTION_CONDITION] = "SELECT " RECORD_COLS " FROM record r INDEXED BY record_by_function"
					 " WHERE r.seq < ?1 AND r.function = ?3 AND r.condition = ?4" PAGE("r"),
	[R_LAST_POS] = "SELECT max((SELECT coalesce(max(pos), 0) FROM record),"
		       " (SELECT coalesce(max(CAST(pos AS INTEGER)), 0) FROM trimmed))",
	/* By pos, whatever the filter: what is new is near the end, and few. */
	[R_TAIL] = "SELECT " RECORD_COLS " FROM record r NOT INDEXED"
		   " WHERE r.pos > ?1 AND (?3 = '' OR r.function = ?3) AND (?4 = 0 OR r.condition = ?4) ORDER BY r.pos LIMIT ?2",
	[R_LOAD_OUTBOX] = OUTBOX_IDS(OWED OF_TARGET),
	[R_OUTBOX_ANY] = OUTBOX_IDS(OWED_OR_FAILED("")),
	[R_OUTBOX_OWED] = OUTBOX_IDS(OWED),
	[R_OUTBOX_FAILED] = OUTBOX_IDS(FAILED),
	[R_OUTBOX_TARGET_ANY] = OUTBOX_IDS(OWED_OR_FAILED(OF_TARGET)),
	[R_OUTBOX_TARGET_OWED] = OUTBOX_IDS(OWED OF_TARGET),
	[R_OUTBOX_TARGET_FAILED] = OUTBOX_IDS(FAILED OF_TARGET),
	[R_OUTBOX_BY_SEQ] = "SELECT " OUTBOX_COLS " FROM outbox o" OUTBOX_JOIN " WHERE o.id BETWEEN ?1 * 4 AND ?1 * 4 + 3"
			    " AND o.due_at_ms IS NOT NULL ORDER BY o.id",
	[R_QUEUES] = "SELECT q.id, q.name, coalesce(sum(m.visible_at_ms <= ?1), 0), coalesce(sum(m.visible_at_ms > ?1), 0),"
		     " coalesce(min(m.sent_at_ms), 0)"
		     " FROM queue q LEFT JOIN message m ON m.queue_id = q.id GROUP BY q.id ORDER BY q.name",
	[R_MESSAGES] = "SELECT m.pos, m.id, m.sent_at_ms, m.receive_count, m.visible_at_ms, b.body, b.attributes"
		       " FROM queue q JOIN message m INDEXED BY message_by_queue ON m.queue_id = q.id"
		       " JOIN message_body b ON b.pos = m.pos WHERE q.name = ?1 AND m.pos > ?3 ORDER BY m.pos LIMIT ?2",
	[R_MESSAGE_LAST] = "SELECT coalesce((SELECT max(pos) FROM message INDEXED BY message_by_queue"
			   " WHERE queue_id = (SELECT id FROM queue WHERE name = ?1)), 0)",
	[R_COUNT_QUEUED_BY] = "SELECT function, count(*) FROM event INDEXED BY event_queued WHERE state = 0 GROUP BY function",
	[R_COUNT_QUEUED] = "SELECT count(*) FROM event INDEXED BY event_queued WHERE state = 0",
	[R_COUNT_WAITING] = "SELECT count(*) FROM event INDEXED BY event_waiting WHERE state = 3",
	[R_COUNT_ACTIVE] = "SELECT e.state, count(*) FROM event e INDEXED BY event_active WHERE " ACTIVE " GROUP BY e.state",
	[R_COUNT_EVENTS] = "SELECT count(*) FROM event",
	[R_COUNT_ATTEMPTS] = "SELECT count(*) FROM attempt",
	[R_COUNT_RECORDS] = "SELECT condition, count(*) FROM record INDEXED BY record_by_condition GROUP BY condition",
	[R_COUNT_OWED_BY] = "SELECT target, count(*) FROM outbox INDEXED BY outbox_owed WHERE due_at_ms < 9223372036854775807"
			    " GROUP BY target",
	[R_COUNT_OWED] = "SELECT count(*) FROM outbox INDEXED BY outbox_owed WHERE due_at_ms < 9223372036854775807",
	[R_COUNT_FAILED] = "SELECT count(*) FROM outbox INDEXED BY outbox_failed WHERE due_at_ms = 9223372036854775807",
	[R_COUNT_MESSAGES] = "SELECT count(*) FROM message",
};

static sqlite3_stmt *stmt(struct store_db *d, enum r_stmt i)
{
	return d->stmts[i];
}

/* ---- one row ----------------------------------------------------------------------------------------------- */

static int read_event(struct store_db *d, enum r_stmt i, struct inv_row *row, struct err *e)
{
	struct store_reader rd = { .d = d, .s = stmt(d, i), .what = "event", .e = e };

	rd.id = sqlite3_column_int64(rd.s, 0);
	row->seq = store_read_int(&rd, "seq", 1, STORE_SEQ_MAX);
	store_read_name(&rd, "request_id", row->request_id, sizeof(row->request_id));
	store_read_text(&rd, "function", row->function, sizeof(row->function));
	store_read_text(&rd, "qualifier", row->qualifier, sizeof(row->qualifier));
	row->state = (enum inv_state)store_read_int(&rd, "state", 0, INV_MAX - 1);
	row->accepted_at_ms = store_read_int(&rd, "accepted_at_ms", INT64_MIN, INT64_MAX);
	row->due_at_ms = store_read_int(&rd, "due_at_ms", INT64_MIN, INT64_MAX);
	row->attempts = (int)store_read_int(&rd, "attempts", 0, INT32_MAX);
	row->starts = (int)store_read_int(&rd, "starts", 0, INT32_MAX);
	row->backoffs = (int)store_read_int(&rd, "backoffs", 0, INT32_MAX);
	row->epoch = (uint32_t)store_read_int(&rd, "epoch", 0, UINT32_MAX);
	row->condition = (enum inv_condition)store_read_int(&rd, "condition", 0, COND_MAX - 1);
	row->verdicts = (uint64_t)store_read_int(&rd, "verdicts", INT64_MIN, INT64_MAX);
	row->version = (int)store_read_int(&rd, "version", 0, LIM_VERSION_MAX);
	row->hops = (int)store_read_int(&rd, "hops", 0, INT32_MAX - 1);	/* the next one's is one more */
	store_read_text(&rd, "origin", row->origin, sizeof(row->origin));
	row->timeout_ms = (int)store_read_int(&rd, "timeout_ms", 0, INT32_MAX);
	row->memory_mb = (int)store_read_int(&rd, "memory_mb", 0, INT32_MAX);
	row->lease_until_ms = store_read_int(&rd, "lease_until_ms", INT64_MIN, INT64_MAX);
	row->death = (int)store_read_int(&rd, "death", 0, INT32_MAX);
	row->deaths = (int)store_read_int(&rd, "deaths", 0, INT32_MAX);
	row->once = store_read_int(&rd, "once", 0, 1);
	return rd.r;
}

static int read_attempt(struct store_db *d, int64_t seq, struct store_op_attempt *a, struct err *e)
{
	struct store_reader rd = { .d = d, .s = stmt(d, R_ATTEMPTS), .what = "attempt of event", .id = seq, .e = e };

	a->seq = seq;
	a->start = (int)store_read_int(&rd, "start", 1, INT32_MAX);
	a->started_at_ms = store_read_int(&rd, "started_at_ms", INT64_MIN, INT64_MAX);
	a->ended_at_ms = store_read_int(&rd, "ended_at_ms", INT64_MIN, INT64_MAX);
	a->outcome = (enum outcome_kind)store_read_int(&rd, "outcome", 0, OUTCOME_MAX - 1);
	a->fate = store_read_blob(&rd);
	return rd.r;
}

static int read_record(struct store_db *d, enum r_stmt i, struct store_op_record *rec, struct err *e)
{
	struct store_reader rd = { .d = d, .s = stmt(d, i), .what = "record of event", .e = e };

	rd.id = sqlite3_column_int64(rd.s, 0);
	rec->seq = store_read_int(&rd, "seq", 1, STORE_SEQ_MAX);
	store_read_text(&rd, "request_id", rec->request_id, sizeof(rec->request_id));
	store_read_text(&rd, "function", rec->function, sizeof(rec->function));
	rec->condition = (enum inv_condition)store_read_int(&rd, "condition", 1, COND_MAX - 1);
	rec->at_ms = store_read_int(&rd, "at_ms", INT64_MIN, INT64_MAX);
	rec->pos = store_read_int(&rd, "pos", 1, INT64_MAX);
	rec->body = store_read_blob(&rd);
	return rd.r;
}

static int read_outbox(struct store_db *d, enum r_stmt i, struct store_op_outbox *o, struct err *e)
{
	struct store_reader rd = { .d = d, .s = stmt(d, i), .what = "outbox row of event", .e = e };

	rd.id = sqlite3_column_int64(rd.s, 0);
	o->seq = store_read_int(&rd, "seq", 1, STORE_SEQ_MAX);
	o->role = (enum outbox_role)store_read_int(&rd, "role", ROLE_ON_SUCCESS, ROLE_DEAD_LETTER);
	store_read_text(&rd, "target", o->target, sizeof(o->target));
	store_read_text(&rd, "key", o->key, sizeof(o->key));
	o->tries = (int)store_read_int(&rd, "tries", 0, INT32_MAX);
	o->created_at_ms = store_read_int(&rd, "created_at_ms", INT64_MIN, INT64_MAX);
	o->due_at_ms = store_read_int(&rd, "due_at_ms", INT64_MIN, INT64_MAX);
	store_read_text(&rd, "last_error", o->last_error, sizeof(o->last_error));
	store_read_text(&rd, "function", o->function, sizeof(o->function));
	store_read_text(&rd, "request_id", o->request_id, sizeof(o->request_id));
	o->attempt = (int)store_read_int(&rd, "starts", 0, INT32_MAX);
	(void)store_read_int(&rd, "body's id", 4, INT64_MAX);
	o->body = store_read_blob(&rd);
	o->attributes = store_read_blob(&rd);
	return rd.r;
}

static int read_message(struct store_db *d, const struct store_query *q, struct store_op_message *m, struct err *e)
{
	struct store_reader rd = { .d = d, .s = stmt(d, R_MESSAGES), .what = "message", .e = e };

	rd.id = m->pos = store_read_int(&rd, "pos", 1, INT64_MAX);
	memcpy(m->queue, q->queue, sizeof(m->queue));
	store_read_name(&rd, "id", m->id, sizeof(m->id));
	m->sent_at_ms = store_read_int(&rd, "sent_at_ms", INT64_MIN, INT64_MAX);
	m->receive_count = (int)store_read_int(&rd, "receive_count", 0, INT32_MAX);
	m->visible_at_ms = store_read_int(&rd, "visible_at_ms", INT64_MIN, INT64_MAX);
	m->body = store_read_blob(&rd);
	m->attributes = store_read_blob(&rd);
	return rd.r;
}

static int read_payload(struct store_db *d, int64_t seq, struct blob **ret, struct err *e)
{
	struct store_reader rd = { .d = d, .s = stmt(d, R_PAYLOAD), .what = "payload of event", .id = seq, .e = e };
	int r;

	store_bind_int(rd.s, 1, seq);
	r = store_db_step(d, R_PAYLOAD, "payload of event", seq, e);
	if (r <= 0)
		return r;
	*ret = store_read_blob(&rd);
	store_db_reset(d, R_PAYLOAD);
	return rd.r;
}

/* ---- whole events ------------------------------------------------------------------------------------------ */

/* Joins the facts of finished attempts into fates. */
static int load_attempts(struct store_db *d, int64_t seq, struct buf *fates, int64_t *ret_last_started_at_ms,
			 struct err *e)
{
	int r, bad = 0;

	store_bind_int(stmt(d, R_ATTEMPTS), 1, seq);
	while ((r = store_db_step(d, R_ATTEMPTS, "attempt of event", seq, e)) > 0) {
		struct store_op_attempt a = {};

		bad = read_attempt(d, seq, &a, e);
		*ret_last_started_at_ms = a.started_at_ms;
		if (a.fate && a.fate->len && buf_reserve(fates, a.fate->len + 2) < 0)
			bad = err_set(e, -ENOMEM, "%s: event %lld: no memory for its fates", d->path, (long long)seq);
		else if (a.fate && a.fate->len) {
			if (fates->len)
				buf_addc(fates, ',');
			buf_add(fates, a.fate->data, a.fate->len);
		}
		blob_unref(a.fate);
		if (bad < 0)
			break;
	}
	store_db_reset(d, R_ATTEMPTS);
	return bad < 0 ? bad : r;
}

/* The row at hand of statement i, and what belongs to it, as one more of res->loaded; and its bytes to *bytes. */
static int load_event(struct store_db *d, enum r_stmt i, struct store_result *res, size_t *bytes, struct err *e)
{
	struct store_event *ev = STORE_ROW_ADD(res->loaded, res->n_loaded);
	CLEAN(buf_done) struct buf fates = {};
	int r;

	r = read_event(d, i, &ev->row, e);
	if (r >= 0)
		r = read_payload(d, ev->row.seq, &ev->payload, e);
	if (r >= 0)
		r = load_attempts(d, ev->row.seq, &fates, &ev->last_started_at_ms, e);
	if (r < 0)
		return r;
	*bytes += (ev->payload ? ev->payload->len : 0) + fates.len;
	ev->fates = xstrdup(buf_str(&fates));
	return 0;
}

/* Statement i, as bound, up to the limits of the page. */
static int load_events(struct store_db *d, enum r_stmt i, const struct store_query *q, struct store_result *res, size_t *bytes,
		       struct err *e)
{
	int r = 0, bad = 0;

	while (bad >= 0 && res->n_loaded < (size_t)q->limit && *bytes < store_query_bytes_max(q) &&
	       (r = store_db_step(d, i, "events", 0, e)) > 0)
		bad = load_event(d, i, res, bytes, e);
	store_db_reset(d, i);
	return bad < 0 ? bad : r < 0 ? r : 0;
}

static int query_load(struct store_db *d, const struct store_query *q, struct store_result *res, struct err *e)
{
	static const enum r_stmt waiting[] = { R_LOAD_WAITING_SAME, R_LOAD_WAITING_LATER };
	size_t bytes = 0;
	int r = 0;

	if (q->kind == STORE_Q_LOAD_EVENT) {
		struct store_query one = { .limit = 1 };

		store_bind_text(stmt(d, R_EVENT_BY_ID), 1, q->request_id);
		return load_events(d, R_EVENT_BY_ID, &one, res, &bytes, e);
	}
	if (q->kind == STORE_Q_LOAD_QUEUED) {
		store_bind_text(stmt(d, R_LOAD_QUEUED), 1, q->function);
		store_bind_int(stmt(d, R_LOAD_QUEUED), 2, q->after_seq);
		store_bind_int(stmt(d, R_LOAD_QUEUED), 3, q->limit);
		return load_events(d, R_LOAD_QUEUED, q, res, &bytes, e);
	}
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(waiting); i++) {
		store_bind_int(stmt(d, waiting[i]), 1, q->after_ms);
		if (waiting[i] == R_LOAD_WAITING_SAME)
			store_bind_int(stmt(d, waiting[i]), 2, q->after_seq);
		store_bind_int(stmt(d, waiting[i]), 3, q->limit);
		r = load_events(d, waiting[i], q, res, &bytes, e);
	}
	return r;
}

/* ---- at start ---------------------------------------------------------------------------------------------- */

static int load_anchor(struct store_db *d, const struct store_loader *l, struct err *e)
{
	struct store_reader rd = { .d = d, .s = stmt(d, R_ANCHOR), .what = "anchor", .id = 1, .e = e };
	struct store_anchor a = {};
	int r = store_db_step(d, R_ANCHOR, "anchor", 0, e);

	if (r <= 0)
		return r;
	store_read_name(&rd, "boot_id", a.boot_id, sizeof(a.boot_id));
	a.boot_ms = store_read_int(&rd, "boot_ms", INT64_MIN, INT64_MAX);
	a.steady_ms = store_read_int(&rd, "steady_ms", INT64_MIN, INT64_MAX);
	store_db_reset(d, R_ANCHOR);
	return rd.r < 0 ? rd.r : l->anchor(l->arg, &a);
}

/* A blob that is never NULL in a row of ours. */
static struct blob *read_some_blob(struct store_reader *rd, const char *name)
{
	struct blob *b = store_read_blob(rd);

	if (!b && rd->r >= 0)
		rd->r = err_set(rd->e, -EBADMSG, "%s: %s %lld: %s is missing", rd->d->path, rd->what, (long long)rd->id, name);
	return b;
}

static int load_version(struct store_db *d, const struct store_loader *l, struct err *e)
{
	struct store_reader rd = { .d = d, .s = stmt(d, R_VERSIONS), .what = "version", .e = e };
	struct store_op_version v = {};
	CLEAN(blob_unrefp) struct blob *description = NULL;
	int r;

	rd.id = sqlite3_column_int64(rd.s, 0);
	v.version = (int)store_read_int(&rd, "version", 1, LIM_VERSION_MAX);
	store_read_name(&rd, "function", v.function, sizeof(v.function));
	v.at_ms = store_read_int(&rd, "at_ms", INT64_MIN, INT64_MAX);
	description = store_read_blob(&rd);
	v.definition = read_some_blob(&rd, "definition");
	r = rd.r;
	if (r >= 0 && description && memchr(description->data, '\0', description->len))
		r = err_set(e, -EBADMSG, "%s: version %d: description is not a text", d->path, v.version);
	if (r >= 0 && description)
		v.description = xstrndup(description->data, description->len);
	if (r >= 0)
		r = l->version(l->arg, &v);
	free(v.description);
	blob_unref(v.definition);
	return r;
}

static int load_alias(struct store_db *d, const struct store_loader *l, struct err *e)
{
	struct store_reader rd = { .d = d, .s = stmt(d, R_ALIASES), .what = "alias", .e = e };
	struct store_op_alias a = {};
	int r;

	store_read_name(&rd, "function", a.function, sizeof(a.function));
	store_read_name(&rd, "name", a.name, sizeof(a.name));
	a.body = read_some_blob(&rd, "body");
	r = rd.r < 0 ? rd.r : l->alias(l->arg, &a);
	blob_unref(a.body);
	return r;
}

/* The numbers first: what the loader does with an event may take its time, and no row is held meanwhile. */
static int load_running(struct store_db *d, const struct store_loader *l, struct err *e)
{
	CLEAN(freep) int64_t *seqs = NULL;
	size_t n = 0;
	int r;

	while ((r = store_db_step(d, R_RUNNING, "events", 0, e)) > 0)
		*STORE_ROW_ADD(seqs, n) = sqlite3_column_int64(stmt(d, R_RUNNING), 0);
	for (size_t i = 0; r >= 0 && i < n; i++) {
		struct store_query one = { .limit = 1 };
		struct store_result res = {};
		size_t bytes = 0;

		store_bind_int(stmt(d, R_EVENT_BY_SEQ), 1, seqs[i]);
		r = load_events(d, R_EVENT_BY_SEQ, &one, &res, &bytes, e);
		if (r >= 0 && !res.n_loaded)
			r = err_set(e, -EBADMSG, "%s: event %lld is in the index only", d->path, (long long)seqs[i]);
		if (r >= 0)
			r = l->running(l->arg, &res.loaded[0]);
		store_result_done(&res);
	}
	return r;
}

static int load_queued(struct store_db *d, const struct store_loader *l, struct err *e)
{
	struct store_reader rd = { .d = d, .s = stmt(d, R_COUNT_QUEUED_BY), .what = "events queued", .e = e };
	char function[LIM_FUNCTION_NAME_MAX + 1];
	int64_t n;

	store_read_text(&rd, "function", function, sizeof(function));
	n = store_read_int(&rd, "count", 1, INT64_MAX);
	return rd.r < 0 ? rd.r : l->queued(l->arg, function, n);
}

static int load_owed(struct store_db *d, const struct store_loader *l, struct err *e)
{
	struct store_reader rd = { .d = d, .s = stmt(d, R_COUNT_OWED_BY), .what = "deliveries owed", .e = e };
	char target[LIM_ARN_MAX + 1];
	int64_t n;

	store_read_text(&rd, "target", target, sizeof(target));
	n = store_read_int(&rd, "count", 1, INT64_MAX);
	return rd.r < 0 ? rd.r : l->outbox(l->arg, target, n);
}

/* Each row of statement i to one. */
static int load_each(struct store_db *d, enum r_stmt i, int (*one)(struct store_db *d, const struct store_loader *l, struct err *e),
		     const struct store_loader *l, struct err *e)
{
	int r = 0, bad = 0;

	while (bad >= 0 && (r = store_db_step(d, i, "load", 0, e)) > 0)
		bad = one(d, l, e);
	store_db_reset(d, i);
	return bad < 0 ? bad : r;
}

static int count(struct store_db *d, enum r_stmt i, int64_t *ret, struct err *e)
{
	int r = store_db_step(d, i, "counts", 0, e);

	if (r > 0)
		*ret = sqlite3_column_int64(stmt(d, i), 0);
	store_db_reset(d, i);
	return r < 0 ? r : 0;
}

/* Rows of (index, count) into counts. *ret_sum: all of them. */
static int count_by(struct store_db *d, enum r_stmt i, int64_t *counts, int64_t max, int64_t *ret_sum, struct err *e)
{
	struct store_reader rd = { .d = d, .s = stmt(d, i), .what = "count", .e = e };
	int r = 0;

	*ret_sum = 0;
	while (rd.r >= 0 && (r = store_db_step(d, i, "counts", 0, e)) > 0) {
		int64_t which;

		rd.col = 0;
		which = store_read_int(&rd, "state or condition", 0, max);
		counts[which] = store_read_int(&rd, "count", 0, INT64_MAX);
		*ret_sum += counts[which];
	}
	store_db_reset(d, i);
	return rd.r < 0 ? rd.r : r;
}

static int load_counts(struct store_db *d, const struct store_loader *l, struct err *e)
{
	int64_t active[INV_MAX] = {}, sum = 0, waiting = 0;
	int r;

	r = load_each(d, R_COUNT_QUEUED_BY, load_queued, l, e);
	if (r >= 0)
		r = count(d, R_COUNT_WAITING, &waiting, e);
	if (r >= 0)
		r = l->waiting(l->arg, waiting);
	if (r >= 0)
		r = count_by(d, R_COUNT_ACTIVE, active, INV_MAX - 1, &sum, e);
	if (r >= 0)
		r = l->routing(l->arg, active[INV_ROUTING]);
	if (r >= 0)
		r = load_each(d, R_COUNT_OWED_BY, load_owed, l, e);
	return r;
}

static int load_all(struct store_db *d, const struct store_loader *l, int64_t *ret_last, struct err *e)
{
	int r = count(d, R_LAST_SEQ, ret_last, e);

	if (r < 0)
		return r;
	if (*ret_last < 0 || *ret_last >= STORE_SEQ_MAX)
		return err_set(e, -EBADMSG, "%s: event %lld: its number is out of range", d->path, (long long)*ret_last);
	r = load_anchor(d, l, e);
	if (r >= 0)
		r = load_each(d, R_VERSIONS, load_version, l, e);
	if (r >= 0)
		r = load_each(d, R_ALIASES, load_alias, l, e);
	if (r >= 0)
		r = load_running(d, l, e);
	return r < 0 ? r : load_counts(d, l, e);
}

int store_reader_load(struct store_db *d, const struct store_loader *l, int64_t *ret_next_seq, struct err *e)
{
	int64_t last = 0;
	int r = load_all(d, l, &last, e);

	if (r >= 0)
		*ret_next_seq = last + 1;
	return r;
}

/* ---- queries ----------------------------------------------------------------------------------------------- */

static void bind_page(struct store_db *d, enum r_stmt i, const struct store_query *q, int64_t number)
{
	sqlite3_stmt *s = stmt(d, i);

	store_bind_int(s, 1, q->before_seq > 0 ? q->before_seq : INT64_MAX);
	store_bind_int(s, 2, q->limit);
	if (sqlite3_bind_parameter_count(s) >= 3)
		store_bind_text(s, 3, q->function);
	if (sqlite3_bind_parameter_count(s) >= 4)
		store_bind_int(s, 4, number);
}

static int query_events(struct store_db *d, const struct store_query *q, struct store_result *res, struct err *e)
{
	static const enum r_stmt of_state[INV_MAX] = {
		[INV_QUEUED] = R_EVENTS_QUEUED, [INV_RUNNING] = R_EVENTS_ACTIVE, [INV_JUDGED] = R_EVENTS_ACTIVE,
		[INV_WAITING] = R_EVENTS_WAITING, [INV_ROUTING] = R_EVENTS_ACTIVE, [INV_DONE] = R_EVENTS_DONE,
	};
	enum r_stmt i = q->state < 0 ? R_EVENTS : of_state[q->state];
	int r = 0, bad = 0;

	if (q->function[0])
		i += R_EVENTS_FUNCTION - R_EVENTS;
	bind_page(d, i, q, q->state);
	while (bad >= 0 && (r = store_db_step(d, i, "events", 0, e)) > 0)
		bad = read_event(d, i, STORE_ROW_ADD(res->events, res->n_events), e);
	store_db_reset(d, i);
	return bad < 0 ? bad : r;
}

/* Statement i, as bound. */
static int query_record_page(struct store_db *d, enum r_stmt i, struct store_result *res, struct err *e)
{
	size_t bytes = 0;
	int r = 0, bad = 0;

	while (bad >= 0 && bytes < STORE_RESULT_BYTES_MAX && (r = store_db_step(d, i, "records", 0, e)) > 0) {
		struct store_op_record *rec = STORE_ROW_ADD(res->records, res->n_records);

		bad = read_record(d, i, rec, e);
		bytes += rec->body ? rec->body->len : 0;
	}
	res->more = bytes >= STORE_RESULT_BYTES_MAX;
	store_db_reset(d, i);
	return bad < 0 ? bad : r;
}

static int query_records(struct store_db *d, const struct store_query *q, struct store_result *res, struct err *e)
{
	enum r_stmt i = !q->condition ? (q->function[0] ? R_RECORDS_FUNCTION : R_RECORDS) :
			q->function[0] ? R_RECORDS_FUNCTION_CONDITION : R_RECORDS_CONDITION;

	bind_page(d, i, q, q->condition);
	return query_record_page(d, i, res, e);
}

static int query_tail(struct store_db *d, const struct store_query *q, struct store_result *res, struct err *e)
{
	sqlite3_stmt *s = stmt(d, R_TAIL);
	int r = store_db_step(d, R_LAST_POS, "records", 0, e);

	if (r < 0)
		return r;
	res->last_pos = MAX(sqlite3_column_int64(stmt(d, R_LAST_POS), 0), 0);	/* in a damaged row it may be anything */
	store_db_reset(d, R_LAST_POS);
	if (q->after_pos < 0)
		return 0;
	store_bind_int(s, 1, q->after_pos);
	store_bind_int(s, 2, q->limit);
	store_bind_text(s, 3, q->function);
	store_bind_int(s, 4, q->condition);
	return query_record_page(d, R_TAIL, res, e);
}

static int query_messages(struct store_db *d, const struct store_query *q, struct store_result *res, struct err *e)
{
	size_t bytes = 0;
	int r = 0, bad = 0;

	store_bind_text(stmt(d, R_MESSAGES), 1, q->queue);
	store_bind_int(stmt(d, R_MESSAGES), 2, q->limit);
	store_bind_int(stmt(d, R_MESSAGES), 3, q->after_pos);
	while (bad >= 0 && bytes < STORE_RESULT_BYTES_MAX && (r = store_db_step(d, R_MESSAGES, "messages", 0, e)) > 0) {
		struct store_op_message *m = STORE_ROW_ADD(res->messages, res->n_messages);

		bad = read_message(d, q, m, e);
		bytes += (m->body ? m->body->len : 0) + (m->attributes ? m->attributes->len : 0);
	}
	res->more = bytes >= STORE_RESULT_BYTES_MAX;
	store_db_reset(d, R_MESSAGES);
	if (bad < 0 || r < 0)
		return bad < 0 ? bad : r;
	store_bind_text(stmt(d, R_MESSAGE_LAST), 1, q->queue);
	return count(d, R_MESSAGE_LAST, &res->last_pos, e);
}

/* Statement i, as bound. */
static int query_outbox_page(struct store_db *d, enum r_stmt i, size_t bytes_max, struct store_result *res, struct err *e)
{
	size_t bytes = 0;
	int r = 0, bad = 0;

	while (bad >= 0 && bytes < bytes_max && (r = store_db_step(d, i, "outbox", 0, e)) > 0) {
		struct store_op_outbox *o = STORE_ROW_ADD(res->outbox, res->n_outbox);

		bad = read_outbox(d, i, o, e);
		bytes += (o->body ? o->body->len : 0) + (o->attributes ? o->attributes->len : 0);
	}
	res->more = bytes >= bytes_max;
	store_db_reset(d, i);
	return bad < 0 ? bad : r;
}

static int query_outbox(struct store_db *d, const struct store_query *q, struct store_result *res, struct err *e)
{
	bool load = q->kind == STORE_Q_LOAD_OUTBOX;
	enum r_stmt i = q->state < 0 ? R_OUTBOX_ANY : q->state == 0 ? R_OUTBOX_OWED : R_OUTBOX_FAILED;

	if (q->target[0])
		i += R_OUTBOX_TARGET_ANY - R_OUTBOX_ANY;
	if (load)
		i = R_LOAD_OUTBOX;
	store_bind_int(stmt(d, i), 1, q->after_pos);
	store_bind_int(stmt(d, i), 2, q->limit);
	if (load || q->target[0])
		store_bind_text(stmt(d, i), 3, q->target);
	return query_outbox_page(d, i, load ? store_query_bytes_max(q) : STORE_RESULT_BYTES_MAX, res, e);
}

/* Whether the ended event is asked for. 1, 0, or an error. What costs a look at another table comes last. */
static int ended_matches(struct store_db *d, const struct store_query *q, const struct inv_row *row, struct err *e)
{
	int64_t v = 0;
	int r;

	if (row->state != INV_DONE && row->state != INV_ROUTING)
		return 0;
	if (q->condition ? row->condition != q->condition : row->condition == COND_SUCCESS || row->condition == COND_CANCELLED)
		return 0;
	if (q->since_ms || q->until_ms) {
		store_bind_int(stmt(d, R_RECORD_TIME), 1, row->seq);
		r = store_db_step(d, R_RECORD_TIME, "record of event", row->seq, e);
		if (r <= 0)
			return r;
		v = sqlite3_column_int64(stmt(d, R_RECORD_TIME), 0);
		store_db_reset(d, R_RECORD_TIME);
		if ((q->since_ms && v < q->since_ms) || (q->until_ms && v >= q->until_ms))
			return 0;
	}
	if (!q->outcome)
		return 1;
	store_bind_int(stmt(d, R_LAST_OUTCOME), 1, row->seq);
	r = store_db_step(d, R_LAST_OUTCOME, "attempt of event", row->seq, e);
	if (r <= 0)
		return r;
	v = sqlite3_column_int64(stmt(d, R_LAST_OUTCOME), 0);
	store_db_reset(d, R_LAST_OUTCOME);
	return v == (int64_t)q->outcome;
}

/* Whether an event is there that repeats it. 1, 0, or an error. */
static int is_repeated(struct store_db *d, const struct inv_row *row, struct err *e)
{
	int r;

	store_bind_text(stmt(d, R_REPEATS), 1, row->request_id);
	store_bind_int(stmt(d, R_REPEATS), 2, 1);
	r = store_db_step(d, R_REPEATS, "repeats of event", row->seq, e);
	store_db_reset(d, R_REPEATS);
	return r;
}

static int query_ended(struct store_db *d, const struct store_query *q, struct store_result *res, struct err *e)
{
	enum r_stmt i = q->function[0] ? R_ENDED_FUNCTION : R_ENDED;
	int looked = 0, r = 0, bad = 0;

	store_bind_int(stmt(d, i), 1, q->after_seq);
	if (q->function[0])
		store_bind_text(stmt(d, i), 3, q->function);
	while (bad >= 0 && looked < STORE_ENDED_SCAN_MAX && res->n_events < (size_t)q->limit &&
	       (r = store_db_step(d, i, "events", 0, e)) > 0) {
		struct inv_row row = {};

		looked++;
		bad = read_event(d, i, &row, e);
		if (q->before_seq && row.seq >= q->before_seq) {
			r = 0;
			break;
		}
		res->last_pos = row.seq;
		if (bad >= 0)
			bad = ended_matches(d, q, &row, e);
		if (bad <= 0)
			continue;
		bad = q->again ? 0 : is_repeated(d, &row, e);
		if (bad == 0)
			*STORE_ROW_ADD(res->events, res->n_events) = row;
		else if (bad > 0)
			res->affected++;
	}
	store_db_reset(d, i);
	if (bad >= 0 && r == 0)
		res->last_pos = 0;
	return bad < 0 ? bad : r < 0 ? r : 0;
}

static int query_attempts(struct store_db *d, int64_t seq, struct store_result *res, struct err *e)
{
	int r, bad = 0;

	store_bind_int(stmt(d, R_ATTEMPTS), 1, seq);
	while (bad >= 0 && (r = store_db_step(d, R_ATTEMPTS, "attempts of event", seq, e)) > 0)
		bad = read_attempt(d, seq, STORE_ROW_ADD(res->attempts, res->n_attempts), e);
	store_db_reset(d, R_ATTEMPTS);
	return bad < 0 ? bad : r;
}

static int query_repeats(struct store_db *d, const struct inv_row *row, struct store_result *res, struct err *e)
{
	int r, bad = 0;

	store_bind_text(stmt(d, R_REPEATS), 1, row->request_id);
	store_bind_int(stmt(d, R_REPEATS), 2, STORE_REPEATS_MAX);
	while (bad >= 0 && (r = store_db_step(d, R_REPEATS, "repeats of event", row->seq, e)) > 0) {
		struct store_reader rd = { .d = d, .s = stmt(d, R_REPEATS), .what = "event", .id = row->seq, .e = e };
		struct store_repeat *repeat = STORE_ROW_ADD(res->repeats, res->n_repeats);

		store_read_text(&rd, "request_id", repeat->request_id, sizeof(repeat->request_id));
		bad = rd.r;
	}
	store_db_reset(d, R_REPEATS);
	return bad < 0 ? bad : r;
}

static int query_record(struct store_db *d, enum r_stmt i, struct store_result *res, struct err *e)
{
	int r = store_db_step(d, i, "record", 0, e);

	if (r <= 0)
		return r;
	r = read_record(d, i, STORE_ROW_ADD(res->records, res->n_records), e);
	store_db_reset(d, i);
	return r;
}

static int query_event(struct store_db *d, const struct store_query *q, struct store_result *res, struct err *e)
{
	int64_t seq;
	int r;

	store_bind_text(stmt(d, R_EVENT_BY_ID), 1, q->request_id);
	r = store_db_step(d, R_EVENT_BY_ID, "event", 0, e);
	if (r <= 0)
		return r;
	r = read_event(d, R_EVENT_BY_ID, STORE_ROW_ADD(res->events, res->n_events), e);
	store_db_reset(d, R_EVENT_BY_ID);
	if (r < 0)
		return r;
	seq = res->events[0].seq;
	r = read_payload(d, seq, &res->payload, e);
	if (r >= 0)
		r = query_attempts(d, seq, res, e);
	if (r >= 0) {
		store_bind_int(stmt(d, R_RECORD_BY_SEQ), 1, seq);
		r = query_record(d, R_RECORD_BY_SEQ, res, e);
	}
	if (r >= 0) {
		store_bind_int(stmt(d, R_OUTBOX_BY_SEQ), 1, seq);
		r = query_outbox_page(d, R_OUTBOX_BY_SEQ, STORE_RESULT_BYTES_MAX, res, e);
	}
	return r < 0 ? r : query_repeats(d, &res->events[0], res, e);
}

static int query_queues(struct store_db *d, const struct store_query *q, struct store_result *res, struct err *e)
{
	int r, bad = 0;

	store_bind_int(stmt(d, R_QUEUES), 1, q->now_ms);
	while (bad >= 0 && (r = store_db_step(d, R_QUEUES, "queues", 0, e)) > 0) {
		struct store_queue_info *info = STORE_ROW_ADD(res->queues, res->n_queues);
		struct store_reader rd = { .d = d, .s = stmt(d, R_QUEUES), .what = "queue", .e = e };

		rd.id = store_read_int(&rd, "id", 1, INT64_MAX);
		store_read_name(&rd, "name", info->name, sizeof(info->name));
		info->visible = store_read_int(&rd, "visible", 0, INT64_MAX);
		info->in_flight = store_read_int(&rd, "in_flight", 0, INT64_MAX);
		info->oldest_sent_at_ms = store_read_int(&rd, "oldest", INT64_MIN, INT64_MAX);
		bad = rd.r;
	}
	store_db_reset(d, R_QUEUES);
	return bad < 0 ? bad : r;
}

static int query_counts(struct store_db *d, struct store_counts *c, struct err *e)
{
	int64_t open = 0, events = 0;
	int r;

	r = count_by(d, R_COUNT_ACTIVE, c->events, INV_MAX - 1, &open, e);
	if (r >= 0)
		r = count(d, R_COUNT_QUEUED, &c->events[INV_QUEUED], e);
	if (r >= 0)
		r = count(d, R_COUNT_WAITING, &c->events[INV_WAITING], e);
	if (r >= 0)
		r = count(d, R_COUNT_EVENTS, &events, e);
	c->events[INV_DONE] = events - open - c->events[INV_QUEUED] - c->events[INV_WAITING];
	if (r >= 0)
		r = count(d, R_COUNT_ATTEMPTS, &c->attempts, e);
	if (r >= 0)
		r = count_by(d, R_COUNT_RECORDS, c->by_condition, COND_MAX - 1, &c->records, e);
	if (r >= 0)
		r = count(d, R_COUNT_OWED, &c->outbox, e);
	if (r >= 0)
		r = count(d, R_COUNT_FAILED, &c->outbox_failed, e);
	if (r >= 0)
		r = count(d, R_COUNT_MESSAGES, &c->messages, e);
	return r;
}

static int query_one(struct store_db *d, const struct store_query *q, struct store_result *res, struct err *e)
{
	switch (q->kind) {
	case STORE_Q_EVENTS:
		return query_events(d, q, res, e);
	case STORE_Q_EVENT:
		return query_event(d, q, res, e);
	case STORE_Q_RECORDS:
		return query_records(d, q, res, e);
	case STORE_Q_RECORD:
		store_bind_text(stmt(d, R_RECORD_BY_ID), 1, q->request_id);
		return query_record(d, R_RECORD_BY_ID, res, e);
	case STORE_Q_QUEUES:
		return query_queues(d, q, res, e);
	case STORE_Q_OUTBOX:
	case STORE_Q_LOAD_OUTBOX:
		return query_outbox(d, q, res, e);
	case STORE_Q_LOAD_QUEUED:
	case STORE_Q_LOAD_WAITING:
	case STORE_Q_LOAD_EVENT:
		return query_load(d, q, res, e);
	case STORE_Q_ENDED:
		return query_ended(d, q, res, e);
	case STORE_Q_COUNTS:
		return query_counts(d, &res->counts, e);
	case STORE_Q_PEEK:
		return query_messages(d, q, res, e);
	case STORE_Q_TAIL:
		return query_tail(d, q, res, e);
	case STORE_Q_RECEIVE:
	case STORE_Q_GIVE_BACK:
	case STORE_Q_DELETE:
	case STORE_Q_PURGE:
	case STORE_Q_TRIM:
		break;
	}
	assert(!"not a reader's query");
	return -EINVAL;
}

bool store_reader_loads(enum store_query_kind kind)
{
	return kind >= STORE_Q_LOAD_QUEUED && kind <= STORE_Q_LOAD_OUTBOX;
}

int store_reader_query(struct store_db *d, const struct store_query *q, struct store_result *res, struct err *e)
{
	int r, end;

	r = store_db_step(d, R_BEGIN, "snapshot", 0, e);
	if (r < 0)
		return r;
	r = query_one(d, q, res, e);
	/* A snapshot left open would hold up every checkpoint from now on. */
	end = store_db_step(d, R_END, "snapshot", 0, r < 0 ? NULL : e);
	if (!sqlite3_get_autocommit(d->db))
		(void)sqlite3_exec(d->db, "ROLLBACK", NULL, NULL, NULL);	/* the first error is the one to tell */
	return r < 0 ? r : end;
}

int store_reader_open(struct store_db *d, const char *path, const char *vfs, bool load, struct err *e)
{
	int r = store_db_open(d, path, vfs, false, e);

	if (r >= 0)
		r = store_db_prepare(d, r_sql, load ? R_LOAD_MAX : R_MAX, e);
	if (r < 0)
		store_db_done(d);
	return r;
}
