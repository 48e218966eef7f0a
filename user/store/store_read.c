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
	" e.starts, e.backoffs, e.epoch, e.condition, e.verdicts"
#define RECORD_COLS "r.seq, r.request_id, r.function, r.condition, r.at_ms, p.pos, r.body"
/* A record without a place is read as one that is impossible, and named. */
#define RECORD_POS " LEFT JOIN record_pos p ON p.seq = r.seq"
#define OUTBOX_COLS "o.seq, o.role, o.target, o.key, o.tries, o.due_at_ms, o.last_error, b.body, b.attributes"
#define OUTBOX_FROM " FROM outbox o JOIN outbox_body b ON b.id = o.id"
#define PAGE(t) " ORDER BY " t ".seq DESC LIMIT ?2"

enum r_stmt {
	R_BEGIN, R_END,
	R_LAST_SEQ, R_OPEN_SEQS, R_EVENT_BY_SEQ, R_EVENT_BY_ID, R_PAYLOAD, R_ATTEMPTS,
	R_EVENTS, R_EVENTS_OPEN, R_EVENTS_DONE, R_EVENTS_FUNCTION, R_EVENTS_FUNCTION_OPEN, R_EVENTS_FUNCTION_DONE,
	R_RECORD_BY_SEQ, R_RECORD_BY_ID, R_RECORDS, R_RECORDS_FUNCTION, R_RECORDS_CONDITION, R_RECORDS_FUNCTION_CONDITION,
	R_LAST_POS, R_TAIL,
	R_OUTBOX_ALL, R_OUTBOX_DUE, R_OUTBOX_BY_SEQ,
	R_QUEUES, R_MESSAGES,
	R_COUNT_OPEN, R_COUNT_EVENTS, R_COUNT_ATTEMPTS, R_COUNT_RECORDS, R_COUNT_OUTBOX, R_COUNT_MESSAGES,
	R_MAX
};

/* Lists: ?1 before_seq, ?2 limit, ?3 function, ?4 state or condition. */
static const char *const r_sql[R_MAX] = {
	[R_BEGIN] = "BEGIN",
	[R_END] = "COMMIT",
	[R_LAST_SEQ] = "SELECT coalesce(max(seq), 0) FROM event",
	[R_OPEN_SEQS] = "SELECT seq FROM event INDEXED BY event_open WHERE state <> 5 ORDER BY seq",
	[R_EVENT_BY_SEQ] = "SELECT " EVENT_COLS " FROM event e WHERE e.seq = ?1",
	[R_EVENT_BY_ID] = "SELECT " EVENT_COLS " FROM event e WHERE e.request_id = ?1",
	[R_PAYLOAD] = "SELECT body FROM event_payload WHERE seq = ?1",
	[R_ATTEMPTS] = "SELECT start, started_at_ms, ended_at_ms, outcome, fate FROM attempt WHERE seq = ?1 ORDER BY start",
	[R_EVENTS] = "SELECT " EVENT_COLS " FROM event e NOT INDEXED WHERE e.seq < ?1" PAGE("e"),
	[R_EVENTS_OPEN] = "SELECT " EVENT_COLS " FROM event e INDEXED BY event_open"
			  " WHERE e.seq < ?1 AND e.state = ?4 AND e.state <> 5" PAGE("e"),
	[R_EVENTS_DONE] = "SELECT " EVENT_COLS " FROM event e NOT INDEXED WHERE e.seq < ?1 AND e.state = ?4" PAGE("e"),
	[R_EVENTS_FUNCTION] = "SELECT " EVENT_COLS " FROM event e INDEXED BY event_by_function"
			      " WHERE e.seq < ?1 AND e.function = ?3" PAGE("e"),
	[R_EVENTS_FUNCTION_OPEN] = "SELECT " EVENT_COLS " FROM event e INDEXED BY event_open"
				   " WHERE e.seq < ?1 AND e.function = ?3 AND e.state = ?4 AND e.state <> 5" PAGE("e"),
	[R_EVENTS_FUNCTION_DONE] = "SELECT " EVENT_COLS " FROM event e INDEXED BY event_by_function"
				   " WHERE e.seq < ?1 AND e.function = ?3 AND e.state = ?4" PAGE("e"),
	[R_RECORD_BY_SEQ] = "SELECT " RECORD_COLS " FROM record r" RECORD_POS " WHERE r.seq = ?1",
	[R_RECORD_BY_ID] = "SELECT " RECORD_COLS " FROM event e JOIN record r ON r.seq = e.seq" RECORD_POS
			   " WHERE e.request_id = ?1",
	[R_RECORDS] = "SELECT " RECORD_COLS " FROM record r NOT INDEXED" RECORD_POS " WHERE r.seq < ?1" PAGE("r"),
	[R_RECORDS_FUNCTION] = "SELECT " RECORD_COLS " FROM record r INDEXED BY record_by_function" RECORD_POS
			       " WHERE r.seq < ?1 AND r.function = ?3" PAGE("r"),
	[R_RECORDS_CONDITION] = "SELECT " RECORD_COLS " FROM record r INDEXED BY record_by_condition" RECORD_POS
				" WHERE r.seq < ?1 AND r.condition = ?4" PAGE("r"),
	[R_RECORDS_FUNCTION_CONDITION] = "SELECT " RECORD_COLS " FROM record r INDEXED BY record_by_function" RECORD_POS
					 " WHERE r.seq < ?1 AND r.function = ?3 AND r.condition = ?4" PAGE("r"),
	[R_LAST_POS] = "SELECT coalesce(max(pos), 0) FROM record_pos",
	/* By pos, whatever the filter: what is new is near the end, and few. */
	[R_TAIL] = "SELECT " RECORD_COLS " FROM record_pos p NOT INDEXED CROSS JOIN record r ON r.seq = p.seq"
		   " WHERE p.pos > ?1 AND (?3 = '' OR r.function = ?3) AND (?4 = 0 OR r.condition = ?4) ORDER BY p.pos LIMIT ?2",
	/* The order comes from the key, not from a sort that would carry all the bodies. */
	[R_OUTBOX_ALL] = "SELECT " OUTBOX_COLS " FROM (SELECT id FROM outbox INDEXED BY outbox_due WHERE due_at_ms IS NOT NULL"
			 " ORDER BY id LIMIT -1) d CROSS JOIN outbox o ON o.id = d.id JOIN outbox_body b ON b.id = o.id",
	[R_OUTBOX_DUE] = "SELECT " OUTBOX_COLS " FROM outbox o INDEXED BY outbox_due JOIN outbox_body b ON b.id = o.id"
			 " WHERE o.due_at_ms IS NOT NULL ORDER BY o.due_at_ms, o.id LIMIT ?2",
	[R_OUTBOX_BY_SEQ] = "SELECT " OUTBOX_COLS OUTBOX_FROM " WHERE o.id BETWEEN ?1 * 4 AND ?1 * 4 + 3"
			    " AND o.due_at_ms IS NOT NULL ORDER BY o.id",
	[R_QUEUES] = "SELECT q.id, q.name, coalesce(sum(m.visible_at_ms <= ?1), 0), coalesce(sum(m.visible_at_ms > ?1), 0),"
		     " coalesce(min(m.sent_at_ms), 0)"
		     " FROM queue q LEFT JOIN message m ON m.queue_id = q.id GROUP BY q.id ORDER BY q.name",
	[R_MESSAGES] = "SELECT m.pos, m.id, m.sent_at_ms, m.receive_count, m.visible_at_ms, b.body, b.attributes"
		       " FROM queue q JOIN message m INDEXED BY message_by_queue ON m.queue_id = q.id"
		       " JOIN message_body b ON b.pos = m.pos WHERE q.name = ?1 ORDER BY m.pos LIMIT ?2",
	[R_COUNT_OPEN] = "SELECT state, count(*) FROM event INDEXED BY event_open WHERE state <> 5 GROUP BY state",
	[R_COUNT_EVENTS] = "SELECT count(*) FROM event",
	[R_COUNT_ATTEMPTS] = "SELECT count(*) FROM attempt",
	[R_COUNT_RECORDS] = "SELECT condition, count(*) FROM record INDEXED BY record_by_condition GROUP BY condition",
	[R_COUNT_OUTBOX] = "SELECT count(*) FROM outbox INDEXED BY outbox_due WHERE due_at_ms IS NOT NULL",
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
	o->due_at_ms = store_read_int(&rd, "due_at_ms", INT64_MIN, INT64_MAX);
	store_read_text(&rd, "last_error", o->last_error, sizeof(o->last_error));
	o->body = store_read_blob(&rd);
	o->attributes = store_read_blob(&rd);
	return rd.r;
}

static int read_message(struct store_db *d, const struct store_query *q, struct store_op_message *m, struct err *e)
{
	struct store_reader rd = { .d = d, .s = stmt(d, R_MESSAGES), .what = "message", .e = e };

	rd.id = store_read_int(&rd, "pos", 1, INT64_MAX);
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

/* ---- at start ---------------------------------------------------------------------------------------------- */

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

static int load_event(struct store_db *d, int64_t seq, const struct store_loader *l, struct err *e)
{
	CLEAN(blob_unrefp) struct blob *payload = NULL;
	CLEAN(buf_done) struct buf fates = {};
	struct inv_row row = {};
	int64_t last_started_at_ms = 0;
	int r;

	store_bind_int(stmt(d, R_EVENT_BY_SEQ), 1, seq);
	r = store_db_step(d, R_EVENT_BY_SEQ, "event", seq, e);
	if (r <= 0)
		return r < 0 ? r : err_set(e, -EBADMSG, "%s: event %lld is in the index only", d->path, (long long)seq);
	r = read_event(d, R_EVENT_BY_SEQ, &row, e);
	store_db_reset(d, R_EVENT_BY_SEQ);
	if (r >= 0)
		r = read_payload(d, seq, &payload, e);
	if (r >= 0)
		r = load_attempts(d, seq, &fates, &last_started_at_ms, e);
	return r < 0 ? r : l->event(l->arg, &row, payload, buf_str(&fates), last_started_at_ms);
}

static int load_outbox(struct store_db *d, const struct store_loader *l, struct err *e)
{
	int r, bad = 0;

	while (bad >= 0 && (r = store_db_step(d, R_OUTBOX_ALL, "outbox", 0, e)) > 0) {
		struct store_op_outbox o = {};

		bad = read_outbox(d, R_OUTBOX_ALL, &o, e);
		if (bad >= 0)
			bad = l->outbox(l->arg, &o);
		blob_unref(o.body);
		blob_unref(o.attributes);
	}
	store_db_reset(d, R_OUTBOX_ALL);
	return bad < 0 ? bad : r;
}

int store_reader_load(struct store_db *d, const struct store_loader *l, int64_t *ret_next_seq, struct err *e)
{
	CLEAN(freep) int64_t *seqs = NULL;
	int64_t last = 0;
	size_t n = 0;
	int r;

	r = store_db_step(d, R_LAST_SEQ, "events", 0, e);
	if (r < 0)
		return r;
	last = sqlite3_column_int64(stmt(d, R_LAST_SEQ), 0);
	store_db_reset(d, R_LAST_SEQ);
	if (last < 0 || last >= STORE_SEQ_MAX)
		return err_set(e, -EBADMSG, "%s: event %lld: its number is out of range", d->path, (long long)last);
	/* The numbers first: a sort of whole rows would hold every payload at once. */
	while ((r = store_db_step(d, R_OPEN_SEQS, "events", 0, e)) > 0)
		*STORE_ROW_ADD(seqs, n) = sqlite3_column_int64(stmt(d, R_OPEN_SEQS), 0);
	for (size_t i = 0; r >= 0 && i < n; i++)
		r = load_event(d, seqs[i], l, e);
	if (r >= 0)
		r = load_outbox(d, l, e);
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
	enum r_stmt i = q->state < 0 ? R_EVENTS : q->state < INV_DONE ? R_EVENTS_OPEN : R_EVENTS_DONE;
	int r, bad = 0;

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
	while (bad >= 0 && bytes < STORE_RESULT_BYTES_MAX && (r = store_db_step(d, R_MESSAGES, "messages", 0, e)) > 0) {
		struct store_op_message *m = STORE_ROW_ADD(res->messages, res->n_messages);

		bad = read_message(d, q, m, e);
		bytes += (m->body ? m->body->len : 0) + (m->attributes ? m->attributes->len : 0);
	}
	store_db_reset(d, R_MESSAGES);
	return bad < 0 ? bad : r;
}

static int query_outbox(struct store_db *d, enum r_stmt i, struct store_result *res, struct err *e)
{
	size_t bytes = 0;
	int r = 0, bad = 0;

	while (bad >= 0 && bytes < STORE_RESULT_BYTES_MAX && (r = store_db_step(d, i, "outbox", 0, e)) > 0) {
		struct store_op_outbox *o = STORE_ROW_ADD(res->outbox, res->n_outbox);

		bad = read_outbox(d, i, o, e);
		bytes += (o->body ? o->body->len : 0) + (o->attributes ? o->attributes->len : 0);
	}
	store_db_reset(d, i);
	return bad < 0 ? bad : r;
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
		r = query_outbox(d, R_OUTBOX_BY_SEQ, res, e);
	}
	return r;
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

/* Rows of (index, count) into counts. *ret_sum: all of them. */
static int count_by(struct store_db *d, enum r_stmt i, int64_t *counts, int64_t max, int64_t *ret_sum, struct err *e)
{
	struct store_reader rd = { .d = d, .s = stmt(d, i), .what = "count", .e = e };
	int r;

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

static int count(struct store_db *d, enum r_stmt i, int64_t *ret, struct err *e)
{
	int r = store_db_step(d, i, "counts", 0, e);

	if (r > 0)
		*ret = sqlite3_column_int64(stmt(d, i), 0);
	store_db_reset(d, i);
	return r;
}

static int query_counts(struct store_db *d, struct store_counts *c, struct err *e)
{
	int64_t open = 0, events = 0;
	int r;

	r = count_by(d, R_COUNT_OPEN, c->events, INV_MAX - 1, &open, e);
	if (r >= 0)
		r = count(d, R_COUNT_EVENTS, &events, e);
	c->events[INV_DONE] = events - open;
	if (r >= 0)
		r = count(d, R_COUNT_ATTEMPTS, &c->attempts, e);
	if (r >= 0)
		r = count_by(d, R_COUNT_RECORDS, c->by_condition, COND_MAX - 1, &c->records, e);
	if (r >= 0)
		r = count(d, R_COUNT_OUTBOX, &c->outbox, e);
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
		store_bind_int(stmt(d, R_OUTBOX_DUE), 2, q->limit);
		return query_outbox(d, R_OUTBOX_DUE, res, e);
	case STORE_Q_COUNTS:
		return query_counts(d, &res->counts, e);
	case STORE_Q_PEEK:
		return query_messages(d, q, res, e);
	case STORE_Q_TAIL:
		return query_tail(d, q, res, e);
	case STORE_Q_RECEIVE:
	case STORE_Q_DELETE:
	case STORE_Q_PURGE:
		break;
	}
	assert(!"not a reader's query");
	return -EINVAL;
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
	return r < 0 ? r : end;
}

int store_reader_open(struct store_db *d, const char *path, const char *vfs, struct err *e)
{
	int r = store_db_open(d, path, vfs, false, e);

	if (r >= 0)
		r = store_db_prepare(d, r_sql, R_MAX, e);
	if (r < 0)
		store_db_done(d);
	return r;
}
