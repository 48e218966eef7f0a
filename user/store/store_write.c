/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations as statements. One table of SQL, one function per operation, one row or two per operation: the cost
 * is that of the bare INSERTs. -ESTALE and -ENOENT cost a second look, and only when nothing matched.
 */
#include "store/store_write.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "store/store_migrate.h"
#include "store/store_row.h"

enum w_stmt {
	W_BEGIN, W_COMMIT, W_MARK, W_KEEP, W_UNDO,
	W_OPENING,
	W_EVENT_PUT, W_PAYLOAD_PUT, W_EVENT_SET, W_EVENT_EPOCH,
	W_ATTEMPT_PUT, W_ATTEMPT_END,
	W_RECORD_PUT, W_RECORD_POS_PUT,
	W_OUTBOX_PUT, W_OUTBOX_BODY_PUT, W_OUTBOX_SET, W_OUTBOX_DEL, W_OUTBOX_BODY_DEL,
	W_QUEUE_GET, W_QUEUE_PUT,
	W_MESSAGE_PUT, W_MESSAGE_BODY_PUT, W_MESSAGE_VISIBLE, W_MESSAGE_LEASE, W_MESSAGE_RECEIPT, W_MESSAGE_DEL,
	W_MESSAGE_BODY_DEL, W_MESSAGE_PURGE, W_MESSAGE_BODY_PURGE,
	W_MAX
};

static const char *const w_sql[W_MAX] = {
	[W_BEGIN] = "BEGIN IMMEDIATE",
	[W_COMMIT] = "COMMIT",
	[W_MARK] = "SAVEPOINT batch",
	[W_KEEP] = "RELEASE batch",
	[W_UNDO] = "ROLLBACK TO batch",
	[W_OPENING] = "INSERT INTO opening (at_ms, pid) VALUES (?1, ?2)",
	[W_EVENT_PUT] = "INSERT INTO event (seq, request_id, function, qualifier, state, accepted_at_ms, due_at_ms,"
			" attempts, starts, backoffs, condition, epoch, lease_owner, verdicts)"
			" VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
	[W_PAYLOAD_PUT] = "INSERT INTO event_payload (seq, body) VALUES (?1, ?2)",
	[W_EVENT_SET] = "UPDATE event SET state = ?5, due_at_ms = ?7, attempts = ?8, starts = ?9, backoffs = ?10,"
			" condition = ?11, epoch = ?12, lease_owner = ?13, verdicts = ?14 WHERE seq = ?1 AND epoch = ?15",
	[W_EVENT_EPOCH] = "SELECT epoch FROM event WHERE seq = ?1",
	[W_ATTEMPT_PUT] = "INSERT INTO attempt (seq, start, started_at_ms, ended_at_ms, outcome, fate)"
			  " VALUES (?1, ?2, ?3, 0, 0, NULL)",
	[W_ATTEMPT_END] = "UPDATE attempt SET ended_at_ms = ?3, outcome = ?4, fate = ?5 WHERE seq = ?1 AND start = ?2",
	[W_RECORD_PUT] = "INSERT INTO record (seq, request_id, function, condition, at_ms, body)"
			 " VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
	/* SQLite gives the largest pos and one more: batches are applied in the order of their commits. */
	[W_RECORD_POS_PUT] = "INSERT INTO record_pos (seq) VALUES (?1)",
	[W_OUTBOX_PUT] = "INSERT INTO outbox (id, seq, role, target, key, tries, due_at_ms, last_error)"
			 " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
	[W_OUTBOX_BODY_PUT] = "INSERT INTO outbox_body (id, body, attributes) VALUES (?1, ?2, ?3)",
	[W_OUTBOX_SET] = "UPDATE outbox SET tries = ?2, due_at_ms = ?3, last_error = ?4"
			 " WHERE id = ?1 AND due_at_ms IS NOT NULL",
	[W_OUTBOX_DEL] = "UPDATE outbox SET due_at_ms = NULL WHERE id = ?1 AND due_at_ms IS NOT NULL",
	[W_OUTBOX_BODY_DEL] = "DELETE FROM outbox_body WHERE id = ?1",
	[W_QUEUE_GET] = "SELECT id FROM queue WHERE name = ?1",
	[W_QUEUE_PUT] = "INSERT INTO queue (name) VALUES (?1)",
	[W_MESSAGE_PUT] = "INSERT INTO message (queue_id, id, sent_at_ms, visible_at_ms, receive_count)"
			  " VALUES (?1, ?2, ?3, 0, 0)",
	[W_MESSAGE_BODY_PUT] = "INSERT INTO message_body (pos, body, attributes) VALUES (?1, ?2, ?3)",
	[W_MESSAGE_VISIBLE] = "SELECT m.pos, m.id, m.sent_at_ms, m.receive_count, b.body, b.attributes"
			      " FROM message m INDEXED BY message_by_queue JOIN message_body b ON b.pos = m.pos"
			      " WHERE m.queue_id = ?1 AND m.visible_at_ms <= ?2 ORDER BY m.pos LIMIT ?3",
	[W_MESSAGE_LEASE] = "UPDATE message SET visible_at_ms = ?2, receive_count = ?3, receipt = ?4 WHERE pos = ?1",
	[W_MESSAGE_RECEIPT] = "SELECT pos FROM message INDEXED BY message_by_receipt WHERE receipt = ?1 AND queue_id = ?2",
	[W_MESSAGE_DEL] = "DELETE FROM message WHERE pos = ?1",
	[W_MESSAGE_BODY_DEL] = "DELETE FROM message_body WHERE pos = ?1",
	[W_MESSAGE_PURGE] = "DELETE FROM message INDEXED BY message_by_queue WHERE queue_id = ?1",
	[W_MESSAGE_BODY_PURGE] = "DELETE FROM message_body WHERE pos IN"
				 " (SELECT pos FROM message INDEXED BY message_by_queue WHERE queue_id = ?1)",
};

static sqlite3_stmt *stmt(struct store_writer *w, enum w_stmt i)
{
	return w->db.stmts[i];
}

/* Runs a statement that returns no row. *ret_changed (may be NULL): rows it changed. */
static int run(struct store_writer *w, enum w_stmt i, const char *what, int64_t id, int64_t *ret_changed, struct err *e)
{
	int r = store_db_step(&w->db, i, what, id, e);

	assert(r <= 0);
	if (r == 0 && ret_changed)
		*ret_changed = sqlite3_changes64(w->db.db);
	return r;
}

static int missing(struct store_writer *w, const char *what, int64_t id, struct err *e)
{
	return err_set(e, -ENOENT, "%s: there is no %s %lld", w->db.path, what, (long long)id);
}

static int too_big(struct store_writer *w, const char *what, int64_t id, struct err *e)
{
	return err_set(e, -E2BIG, "%s: %s %lld is too large to be stored", w->db.path, what, (long long)id);
}

/* ---- events ------------------------------------------------------------------------------------------------ */

static void bind_event(struct store_writer *w, sqlite3_stmt *s, const struct inv_row *row)
{
	store_bind_int(s, 1, row->seq);
	store_bind_int(s, 5, row->state);
	store_bind_int(s, 7, row->due_at_ms);
	store_bind_int(s, 8, row->attempts);
	store_bind_int(s, 9, row->starts);
	store_bind_int(s, 10, row->backoffs);
	store_bind_int(s, 11, row->condition);
	store_bind_int(s, 12, row->epoch);
	store_bind_int(s, 13, w->owner);
	store_bind_int(s, 14, (int64_t)row->verdicts);
}

static int event_put(struct store_writer *w, const struct store_op_event *op, struct err *e)
{
	sqlite3_stmt *s = stmt(w, W_EVENT_PUT);
	int r;

	bind_event(w, s, &op->row);
	store_bind_text(s, 2, op->row.request_id);
	store_bind_text(s, 3, op->row.function);
	store_bind_text(s, 4, op->row.qualifier);
	store_bind_int(s, 6, op->row.accepted_at_ms);
	r = run(w, W_EVENT_PUT, "event", op->row.seq, NULL, e);
	if (r < 0 || !op->payload)
		return r;
	s = stmt(w, W_PAYLOAD_PUT);
	store_bind_int(s, 1, op->row.seq);
	if (store_bind_blob(s, 2, op->payload) < 0)
		return too_big(w, "payload of event", op->row.seq, e);
	return run(w, W_PAYLOAD_PUT, "payload of event", op->row.seq, NULL, e);
}

static int event_set(struct store_writer *w, const struct store_op_event *op, struct err *e)
{
	sqlite3_stmt *s = stmt(w, W_EVENT_SET);
	int64_t changed = 0;
	int r;

	bind_event(w, s, &op->row);
	store_bind_int(s, 15, op->epoch_was);
	r = run(w, W_EVENT_SET, "event", op->row.seq, &changed, e);
	if (r < 0 || changed)
		return r;

	s = stmt(w, W_EVENT_EPOCH);
	store_bind_int(s, 1, op->row.seq);
	r = store_db_step(&w->db, W_EVENT_EPOCH, "event", op->row.seq, e);
	if (r < 0)
		return r;
	if (r == 0)
		return missing(w, "event", op->row.seq, e);
	r = err_set(e, -ESTALE, "%s: event %lld has epoch %lld, not %u: somebody else has claimed it", w->db.path,
		    (long long)op->row.seq, (long long)sqlite3_column_int64(s, 0), op->epoch_was);
	store_db_reset(&w->db, W_EVENT_EPOCH);
	return r;
}

static int attempt_put(struct store_writer *w, const struct store_op_attempt *op, struct err *e)
{
	sqlite3_stmt *s = stmt(w, W_ATTEMPT_PUT);

	store_bind_int(s, 1, op->seq);
	store_bind_int(s, 2, op->start);
	store_bind_int(s, 3, op->started_at_ms);
	return run(w, W_ATTEMPT_PUT, "attempt of event", op->seq, NULL, e);
}

static int attempt_end(struct store_writer *w, const struct store_op_attempt *op, struct err *e)
{
	sqlite3_stmt *s = stmt(w, W_ATTEMPT_END);
	int64_t changed = 0;
	int r;

	store_bind_int(s, 1, op->seq);
	store_bind_int(s, 2, op->start);
	store_bind_int(s, 3, op->ended_at_ms);
	store_bind_int(s, 4, op->outcome);
	if (store_bind_blob(s, 5, op->fate) < 0)
		return too_big(w, "fate of event", op->seq, e);
	r = run(w, W_ATTEMPT_END, "attempt of event", op->seq, &changed, e);
	if (r == 0 && !changed)
		return missing(w, "such attempt of event", op->seq, e);
	return r;
}

static int record_put(struct store_writer *w, const struct store_op_record *op, struct err *e)
{
	sqlite3_stmt *s = stmt(w, W_RECORD_PUT);
	int r;

	store_bind_int(s, 1, op->seq);
	store_bind_text(s, 2, op->request_id);
	store_bind_text(s, 3, op->function);
	store_bind_int(s, 4, op->condition);
	store_bind_int(s, 5, op->at_ms);
	if (store_bind_blob(s, 6, op->body) < 0)
		return too_big(w, "record of event", op->seq, e);
	r = run(w, W_RECORD_PUT, "record of event", op->seq, NULL, e);
	if (r < 0)
		return r;
	store_bind_int(stmt(w, W_RECORD_POS_PUT), 1, op->seq);
	return run(w, W_RECORD_POS_PUT, "position of record", op->seq, NULL, e);
}

/* ---- outbox ------------------------------------------------------------------------------------------------ */

static int64_t outbox_id(const struct store_op_outbox *op)
{
	return op->seq * 4 + op->role;
}

static int outbox_put(struct store_writer *w, const struct store_op_outbox *op, struct err *e)
{
	sqlite3_stmt *s = stmt(w, W_OUTBOX_PUT);
	int r;

	store_bind_int(s, 1, outbox_id(op));
	store_bind_int(s, 2, op->seq);
	store_bind_int(s, 3, op->role);
	store_bind_text(s, 4, op->target);
	store_bind_text(s, 5, op->key);
	store_bind_int(s, 6, op->tries);
	store_bind_int(s, 7, op->due_at_ms);
	store_bind_text(s, 8, op->last_error);
	r = run(w, W_OUTBOX_PUT, "outbox row of event", op->seq, NULL, e);
	if (r < 0)
		return r;
	s = stmt(w, W_OUTBOX_BODY_PUT);
	store_bind_int(s, 1, outbox_id(op));
	if (store_bind_blob(s, 2, op->body) < 0 || store_bind_blob(s, 3, op->attributes) < 0)
		return too_big(w, "outbox row of event", op->seq, e);
	return run(w, W_OUTBOX_BODY_PUT, "outbox row of event", op->seq, NULL, e);
}

static int outbox_set(struct store_writer *w, const struct store_op_outbox *op, struct err *e)
{
	sqlite3_stmt *s = stmt(w, W_OUTBOX_SET);
	int64_t changed = 0;
	int r;

	store_bind_int(s, 1, outbox_id(op));
	store_bind_int(s, 2, op->tries);
	store_bind_int(s, 3, op->due_at_ms);
	store_bind_text(s, 4, op->last_error);
	r = run(w, W_OUTBOX_SET, "outbox row of event", op->seq, &changed, e);
	return r == 0 && !changed ? missing(w, "outbox row of event", op->seq, e) : r;
}

static int outbox_del(struct store_writer *w, const struct store_op_outbox *op, struct err *e)
{
	int64_t changed = 0;
	int r;

	store_bind_int(stmt(w, W_OUTBOX_DEL), 1, outbox_id(op));
	r = run(w, W_OUTBOX_DEL, "outbox row of event", op->seq, &changed, e);
	if (r == 0 && !changed)
		return missing(w, "outbox row of event", op->seq, e);
	if (r < 0)
		return r;
	store_bind_int(stmt(w, W_OUTBOX_BODY_DEL), 1, outbox_id(op));
	return run(w, W_OUTBOX_BODY_DEL, "outbox row of event", op->seq, NULL, e);
}

/* ---- queues ------------------------------------------------------------------------------------------------ */

/* 1 and the queue's id, or 0. */
static int queue_find(struct store_writer *w, const char *name, int64_t *ret, struct err *e)
{
	int r;

	store_bind_text(stmt(w, W_QUEUE_GET), 1, name);
	r = store_db_step(&w->db, W_QUEUE_GET, "queue", 0, e);
	if (r <= 0)
		return r;
	*ret = sqlite3_column_int64(stmt(w, W_QUEUE_GET), 0);
	store_db_reset(&w->db, W_QUEUE_GET);
	return 1;
}

static int message_put(struct store_writer *w, const struct store_op_message *op, struct err *e)
{
	sqlite3_stmt *s;
	int64_t queue = 0, pos;
	int r;

	r = queue_find(w, op->queue, &queue, e);
	if (r == 0) {
		store_bind_text(stmt(w, W_QUEUE_PUT), 1, op->queue);
		r = run(w, W_QUEUE_PUT, "queue", 0, NULL, e);
		queue = sqlite3_last_insert_rowid(w->db.db);
	}
	if (r < 0)
		return r;
	s = stmt(w, W_MESSAGE_PUT);
	store_bind_int(s, 1, queue);
	store_bind_text(s, 2, op->id);
	store_bind_int(s, 3, op->sent_at_ms);
	r = run(w, W_MESSAGE_PUT, "message", 0, NULL, e);
	if (r == -EEXIST)
		return err_set(e, r, "%s: message %s is already there", w->db.path, op->id);
	if (r < 0)
		return r;
	pos = sqlite3_last_insert_rowid(w->db.db);
	s = stmt(w, W_MESSAGE_BODY_PUT);
	store_bind_int(s, 1, pos);
	if (store_bind_blob(s, 2, op->body) < 0 || store_bind_blob(s, 3, op->attributes) < 0)
		return too_big(w, "message", pos, e);
	return run(w, W_MESSAGE_BODY_PUT, "message", pos, NULL, e);
}

/* Reads the row at hand into m, with the lease it is about to get. */
static int message_read(struct store_writer *w, const struct store_query *q, size_t i, struct store_op_message *m,
			int64_t *ret_pos, struct err *e)
{
	struct store_reader rd = { .d = &w->db, .s = stmt(w, W_MESSAGE_VISIBLE), .what = "message", .e = e };

	rd.id = *ret_pos = store_read_int(&rd, "pos", 1, INT64_MAX);
	store_read_name(&rd, "id", m->id, sizeof(m->id));
	m->sent_at_ms = store_read_int(&rd, "sent_at_ms", INT64_MIN, INT64_MAX);
	m->receive_count = (int)store_read_int(&rd, "receive_count", 0, INT32_MAX - 1) + 1;
	m->body = store_read_blob(&rd);
	m->attributes = store_read_blob(&rd);
	memcpy(m->queue, q->queue, sizeof(m->queue));
	m->visible_at_ms = q->visibility_ms > INT64_MAX - MAX(q->now_ms, 0) ? INT64_MAX : q->now_ms + q->visibility_ms;
	store_row_receipt(q->random, i, m->receipt);
	return rd.r;
}

static int message_lease(struct store_writer *w, const struct store_op_message *m, int64_t pos, struct err *e)
{
	sqlite3_stmt *s = stmt(w, W_MESSAGE_LEASE);

	store_bind_int(s, 1, pos);
	store_bind_int(s, 2, m->visible_at_ms);
	store_bind_int(s, 3, m->receive_count);
	store_bind_text(s, 4, m->receipt);
	return run(w, W_MESSAGE_LEASE, "message", pos, NULL, e);
}

static int receive(struct store_writer *w, const struct store_query *q, struct store_result *res, struct err *e)
{
	sqlite3_stmt *s = stmt(w, W_MESSAGE_VISIBLE);
	CLEAN(freep) int64_t *pos = NULL;
	size_t bytes = 0, n = 0;
	int64_t queue = 0;
	int r;

	r = queue_find(w, q->queue, &queue, e);
	if (r <= 0)
		return r;
	store_bind_int(s, 1, queue);
	store_bind_int(s, 2, q->now_ms);
	store_bind_int(s, 3, q->limit);
	/* All rows first, then their leases: a scan that sees its own updates is not defined. */
	while ((r = store_db_step(&w->db, W_MESSAGE_VISIBLE, "queue", queue, e)) > 0) {
		struct store_op_message *m = STORE_ROW_ADD(res->messages, res->n_messages);

		r = message_read(w, q, n, m, STORE_ROW_ADD(pos, n), e);
		if (r < 0)
			break;
		bytes += (m->body ? m->body->len : 0) + (m->attributes ? m->attributes->len : 0);
		if (bytes >= STORE_RESULT_BYTES_MAX)
			break;
	}
	store_db_reset(&w->db, W_MESSAGE_VISIBLE);
	for (size_t i = 0; r >= 0 && i < n; i++)
		r = message_lease(w, &res->messages[i], pos[i], e);
	return r;
}

/* *ret_affected (may be NULL): 1, or 0 when nothing in the queue has that receipt. */
static int delete_leased(struct store_writer *w, const char *name, const char *receipt, int64_t *ret_affected, struct err *e)
{
	sqlite3_stmt *s = stmt(w, W_MESSAGE_RECEIPT);
	int64_t queue = 0, pos;
	int r;

	r = queue_find(w, name, &queue, e);
	if (r <= 0)
		return r;
	store_bind_text(s, 1, receipt);
	store_bind_int(s, 2, queue);
	r = store_db_step(&w->db, W_MESSAGE_RECEIPT, "queue", queue, e);
	if (r <= 0)
		return r;
	pos = sqlite3_column_int64(s, 0);
	store_db_reset(&w->db, W_MESSAGE_RECEIPT);
	store_bind_int(stmt(w, W_MESSAGE_DEL), 1, pos);
	r = run(w, W_MESSAGE_DEL, "message", pos, ret_affected, e);
	if (r < 0)
		return r;
	store_bind_int(stmt(w, W_MESSAGE_BODY_DEL), 1, pos);
	return run(w, W_MESSAGE_BODY_DEL, "message", pos, NULL, e);
}

static int purge(struct store_writer *w, const struct store_query *q, struct store_result *res, struct err *e)
{
	int64_t queue = 0;
	int r;

	r = queue_find(w, q->queue, &queue, e);
	if (r <= 0)
		return r;
	store_bind_int(stmt(w, W_MESSAGE_BODY_PURGE), 1, queue);
	r = run(w, W_MESSAGE_BODY_PURGE, "bodies of queue", queue, NULL, e);
	if (r < 0)
		return r;
	store_bind_int(stmt(w, W_MESSAGE_PURGE), 1, queue);
	return run(w, W_MESSAGE_PURGE, "queue", queue, &res->affected, e);
}

/* ---- transactions ------------------------------------------------------------------------------------------ */

int store_writer_begin(struct store_writer *w, struct err *e)
{
	return run(w, W_BEGIN, "begin", 0, NULL, e);
}

int store_writer_commit(struct store_writer *w, struct err *e)
{
	int r = run(w, W_COMMIT, "commit", 0, NULL, e);

	if (r < 0)
		store_writer_rollback(w);
	return r;
}

void store_writer_rollback(struct store_writer *w)
{
	/* Some errors have rolled back already. A rollback that fails leaves the next begin to tell of it. */
	if (!sqlite3_get_autocommit(w->db.db))
		(void)sqlite3_exec(w->db.db, "ROLLBACK", NULL, NULL, NULL);
}

int store_writer_mark(struct store_writer *w, struct err *e)
{
	return run(w, W_MARK, "savepoint", 0, NULL, e);
}

int store_writer_keep(struct store_writer *w, struct err *e)
{
	return run(w, W_KEEP, "savepoint", 0, NULL, e);
}

int store_writer_undo(struct store_writer *w, struct err *e)
{
	int r = run(w, W_UNDO, "savepoint", 0, NULL, e);

	return r < 0 ? r : run(w, W_KEEP, "savepoint", 0, NULL, e);
}

static int run_op(struct store_writer *w, const struct store_op *op, struct err *e)
{
	switch (op->kind) {
	case STORE_OP_EVENT_PUT:
		return event_put(w, &op->event, e);
	case STORE_OP_EVENT_SET:
		return event_set(w, &op->event, e);
	case STORE_OP_ATTEMPT_PUT:
		return attempt_put(w, &op->attempt, e);
	case STORE_OP_ATTEMPT_END:
		return attempt_end(w, &op->attempt, e);
	case STORE_OP_RECORD_PUT:
		return record_put(w, &op->record, e);
	case STORE_OP_OUTBOX_PUT:
		return outbox_put(w, &op->outbox, e);
	case STORE_OP_OUTBOX_SET:
		return outbox_set(w, &op->outbox, e);
	case STORE_OP_OUTBOX_DEL:
		return outbox_del(w, &op->outbox, e);
	case STORE_OP_MESSAGE_PUT:
		return message_put(w, &op->message, e);
	case STORE_OP_MESSAGE_DEL:
		return delete_leased(w, op->message.queue, op->message.receipt, NULL, e);
	case STORE_OP_INVALID:
		break;
	}
	assert(!"unknown kind of store operation");
	return -EINVAL;
}

int store_writer_batch(struct store_writer *w, const struct store_batch *b, struct err *e)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && i < b->n; i++)
		r = run_op(w, &b->ops[i], e);
	return r;
}

bool store_writer_answers(enum store_query_kind kind)
{
	return kind == STORE_Q_RECEIVE || kind == STORE_Q_DELETE || kind == STORE_Q_PURGE;
}

int store_writer_query(struct store_writer *w, const struct store_query *q, struct store_result *res, struct err *e)
{
	assert(store_writer_answers(q->kind));
	if (q->kind == STORE_Q_RECEIVE)
		return receive(w, q, res, e);
	if (q->kind == STORE_Q_PURGE)
		return purge(w, q, res, e);
	return delete_leased(w, q->queue, q->receipt, &res->affected, e);
}

/* ---- life -------------------------------------------------------------------------------------------------- */

int store_writer_open(struct store_writer *w, const char *path, const char *vfs, struct err *e)
{
	int r;

	*w = (struct store_writer){};
	r = store_db_open(&w->db, path, vfs, true, e);
	if (r >= 0)
		r = store_migrate(&w->db, e);
	if (r >= 0)
		r = store_db_prepare(&w->db, w_sql, W_MAX, e);
	if (r >= 0) {
		store_bind_int(stmt(w, W_OPENING), 1, clock_wall_ms());
		store_bind_int(stmt(w, W_OPENING), 2, getpid());
		r = run(w, W_OPENING, "opening", 0, NULL, e);
		w->owner = sqlite3_last_insert_rowid(w->db.db);
	}
	if (r < 0)
		store_writer_done(w);
	return r;
}

void store_writer_done(struct store_writer *w)
{
	store_db_done(&w->db);
	*w = (struct store_writer){};
}
