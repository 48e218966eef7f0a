/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations as statements. One table of SQL, one function per operation, one row or two per operation: the cost
 * is that of the bare INSERTs. -ESTALE and -ENOENT cost a second look, and only when nothing matched.
 */
#include "store/store_write.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "store/store_migrate.h"
#include "store/store_row.h"

#define STRING_(x) #x
#define STRING(x) STRING_(x)
#define PURGED " (SELECT pos FROM message INDEXED BY message_by_queue WHERE queue_id = ?1 ORDER BY pos LIMIT " \
	STRING(STORE_PURGE_MAX) ")"
#define TRIM_YOUNG_MAX 1000	/* so many in a row that are to stay: the old ones are over, also if a clock was set back */

enum w_stmt {
	W_BEGIN, W_COMMIT, W_MARK, W_KEEP, W_UNDO,
	W_OPENING,
	W_EVENT_PUT, W_PAYLOAD_PUT, W_EVENT_SET, W_EVENT_EPOCH, W_EVENT_DONE,
	W_ATTEMPT_PUT, W_ATTEMPT_END,
	W_RECORD_PUT,
	W_OUTBOX_PUT, W_OUTBOX_BODY_PUT, W_OUTBOX_SET, W_OUTBOX_DEL, W_OUTBOX_BODY_DEL,
	W_QUEUE_GET, W_QUEUE_PUT,
	W_MESSAGE_PUT, W_MESSAGE_BODY_PUT, W_MESSAGE_VISIBLE, W_MESSAGE_LAST, W_MESSAGE_LEASE, W_MESSAGE_GIVE_BACK,
	W_MESSAGE_RECEIPT, W_MESSAGE_DEL, W_MESSAGE_BODY_DEL, W_MESSAGE_PURGE, W_MESSAGE_BODY_PURGE, W_MESSAGE_ANY,
	W_VERSION_PUT, W_ALIAS_PUT, W_ALIAS_DEL, W_ANCHOR_PUT,
	W_TRIMMED_GET, W_TRIMMED_SET, W_TRIM_SCAN,
	W_TRIM_RECORD, W_TRIM_ATTEMPTS, W_TRIM_PAYLOAD, W_TRIM_OUTBOX, W_TRIM_OUTBOX_BODY, W_TRIM_EVENT,
	W_CHECKPOINT, W_PAGES, W_PAGES_FREE, W_PAGE_SIZE, W_VACUUM,
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
			" attempts, starts, backoffs, condition, epoch, lease_owner, verdicts, lease_until_ms, death, deaths,"
			" version, hops, origin, timeout_ms, memory_mb, once)"
			" VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20,"
			" ?21, ?22, ?23)",
	[W_PAYLOAD_PUT] = "INSERT INTO event_payload (seq, body) VALUES (?1, ?2)",
	[W_EVENT_SET] = "UPDATE event SET state = ?5, due_at_ms = ?7, attempts = ?8, starts = ?9, backoffs = ?10,"
			" condition = ?11, epoch = ?12, lease_owner = ?13, verdicts = ?14, lease_until_ms = ?15, death = ?16,"
			" deaths = ?17, once = ?23 WHERE seq = ?1 AND epoch = ?18",
	[W_EVENT_EPOCH] = "SELECT epoch FROM event WHERE seq = ?1",
	/* 4 and 5: see store_migrate.c. */
	[W_EVENT_DONE] = "UPDATE event SET state = 5, lease_owner = ?2 WHERE seq = ?1 AND state = 4 AND NOT EXISTS"
			 " (SELECT 1 FROM outbox WHERE id BETWEEN ?1 * 4 AND ?1 * 4 + 3 AND due_at_ms < 9223372036854775807)",
	[W_ATTEMPT_PUT] = "INSERT INTO attempt (seq, start, started_at_ms, ended_at_ms, outcome, fate)"
			  " VALUES (?1, ?2, ?3, 0, 0, NULL)",
	[W_ATTEMPT_END] = "UPDATE attempt SET ended_at_ms = ?3, outcome = ?4, fate = ?5 WHERE seq = ?1 AND start = ?2",
	/* One more than the largest: batches are applied in the order of their commits. When the last ones have been trimmed,
	 * their places (up to ?7) are not given again. */
	[W_RECORD_PUT] = "INSERT INTO record (pos, seq, request_id, function, condition, at_ms, body)"
			 " VALUES (1 + max(?7, (SELECT coalesce(max(pos), 0) FROM record)), ?1, ?2, ?3, ?4, ?5, ?6)",
	[W_OUTBOX_PUT] = "INSERT INTO outbox (id, seq, role, target, key, tries, due_at_ms, last_error, created_at_ms)"
			 " SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9 WHERE EXISTS (SELECT 1 FROM event WHERE seq = ?2)",
	[W_OUTBOX_BODY_PUT] = "INSERT INTO outbox_body (id, body, attributes) VALUES (?1, ?2, ?3)",
	[W_OUTBOX_SET] = "UPDATE outbox SET tries = ?2, due_at_ms = ?3, last_error = ?4, created_at_ms = ?5"
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
			      " WHERE m.queue_id = ?1 AND m.visible_at_ms <= ?2 AND m.pos > ?4 ORDER BY m.pos LIMIT ?3",
	[W_MESSAGE_LAST] = "SELECT coalesce(max(pos), 0) FROM message INDEXED BY message_by_queue WHERE queue_id = ?1",
	[W_MESSAGE_LEASE] = "UPDATE message SET visible_at_ms = ?2, receive_count = ?3, receipt = ?4 WHERE pos = ?1",
	[W_MESSAGE_GIVE_BACK] = "UPDATE message SET visible_at_ms = ?3, receive_count = max(receive_count - 1, 0), receipt = NULL"
				" WHERE pos = (SELECT pos FROM message INDEXED BY message_by_receipt"
				"	WHERE receipt = ?1 AND queue_id = ?2)",
	[W_MESSAGE_RECEIPT] = "SELECT pos FROM message INDEXED BY message_by_receipt WHERE receipt = ?1 AND queue_id = ?2",
	[W_MESSAGE_DEL] = "DELETE FROM message WHERE pos = ?1",
	[W_MESSAGE_BODY_DEL] = "DELETE FROM message_body WHERE pos = ?1",
	/* Both halves find the same ones. */
	[W_MESSAGE_PURGE] = "DELETE FROM message WHERE pos IN" PURGED,
	[W_MESSAGE_BODY_PURGE] = "DELETE FROM message_body WHERE pos IN" PURGED,
	[W_MESSAGE_ANY] = "SELECT 1 FROM message INDEXED BY message_by_queue WHERE queue_id = ?1 LIMIT 1",
	[W_VERSION_PUT] = "INSERT INTO function_version (function, version, at_ms, description, definition)"
			  " VALUES (?1, ?2, ?3, ?4, ?5)",
	[W_ALIAS_PUT] = "INSERT INTO alias (function, name, body) VALUES (?1, ?2, ?3)"
			" ON CONFLICT (function, name) DO UPDATE SET body = ?3",
	[W_ALIAS_DEL] = "DELETE FROM alias WHERE function = ?1 AND name = ?2",
	[W_ANCHOR_PUT] = "INSERT OR REPLACE INTO anchor (id, boot_id, boot_ms, steady_ms) VALUES (1, ?1, ?2, ?3)",
	[W_TRIMMED_GET] = "SELECT pos FROM trimmed",
	[W_TRIMMED_SET] = "UPDATE trimmed SET seq = max(seq, ?1), pos = max(pos, ?2)",
	/* 5: see store_migrate.c. Whatever is not acknowledged keeps its event. */
	[W_TRIM_SCAN] = "SELECT r.pos, r.seq, r.at_ms, e.state = 5 AND NOT EXISTS (SELECT 1 FROM outbox o"
			" WHERE o.id BETWEEN r.seq * 4 AND r.seq * 4 + 3 AND o.due_at_ms IS NOT NULL)"
			/* That an event was sent again is known from the one that repeats it. */
			" AND NOT (e.origin <> '' AND EXISTS (SELECT 1 FROM event p WHERE p.request_id = e.origin))"
			" FROM record r NOT INDEXED CROSS JOIN event e ON e.seq = r.seq"
			" WHERE r.pos > ?1 ORDER BY r.pos",
	[W_TRIM_RECORD] = "DELETE FROM record INDEXED BY record_by_seq WHERE seq = ?1",
	[W_TRIM_ATTEMPTS] = "DELETE FROM attempt WHERE seq = ?1",
	[W_TRIM_PAYLOAD] = "DELETE FROM event_payload WHERE seq = ?1",
	[W_TRIM_OUTBOX] = "DELETE FROM outbox WHERE id BETWEEN ?1 * 4 AND ?1 * 4 + 3",
	[W_TRIM_OUTBOX_BODY] = "DELETE FROM outbox_body WHERE id BETWEEN ?1 * 4 AND ?1 * 4 + 3",
	[W_TRIM_EVENT] = "DELETE FROM event WHERE seq = ?1",
	[W_CHECKPOINT] = "PRAGMA wal_checkpoint(TRUNCATE)",
	[W_PAGES] = "PRAGMA page_count",
	[W_PAGES_FREE] = "PRAGMA freelist_count",
	[W_PAGE_SIZE] = "PRAGMA page_size",
	[W_VACUUM] = "PRAGMA incremental_vacuum(" STRING(STORE_TRIM_PAGES) ")",
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

static int get_int(struct store_writer *w, enum w_stmt i, int64_t *ret, struct err *e)
{
	int r = store_db_step(&w->db, i, "size", 0, e);

	if (r > 0)
		*ret = sqlite3_column_int64(stmt(w, i), 0);
	store_db_reset(&w->db, i);
	return r < 0 ? r : 0;
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
	store_bind_int(s, 15, row->lease_until_ms);
	store_bind_int(s, 16, row->death);
	store_bind_int(s, 17, row->deaths);
	store_bind_int(s, 23, row->once);
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
	store_bind_int(s, 18, op->row.version);
	store_bind_int(s, 19, op->row.hops);
	store_bind_text(s, 20, op->row.origin);
	store_bind_int(s, 21, op->row.timeout_ms);
	store_bind_int(s, 22, op->row.memory_mb);
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
	store_bind_int(s, 18, op->epoch_was);
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

static int event_done(struct store_writer *w, struct store_op_done *op, struct err *e)
{
	int64_t changed = 0;
	int r;

	op->ended = false;	/* it may have been run before, in a transaction that was rolled back */
	store_bind_int(stmt(w, W_EVENT_DONE), 1, op->seq);
	store_bind_int(stmt(w, W_EVENT_DONE), 2, w->owner);
	r = run(w, W_EVENT_DONE, "event", op->seq, &changed, e);
	if (r < 0)
		return r;
	op->ended = changed != 0;
	if (op->ended)
		return 0;
	store_bind_int(stmt(w, W_EVENT_EPOCH), 1, op->seq);
	r = store_db_step(&w->db, W_EVENT_EPOCH, "event", op->seq, e);
	store_db_reset(&w->db, W_EVENT_EPOCH);
	return r < 0 ? r : r == 0 ? missing(w, "event", op->seq, e) : 0;
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

	store_bind_int(s, 1, op->seq);
	store_bind_text(s, 2, op->request_id);
	store_bind_text(s, 3, op->function);
	store_bind_int(s, 4, op->condition);
	store_bind_int(s, 5, op->at_ms);
	if (store_bind_blob(s, 6, op->body) < 0)
		return too_big(w, "record of event", op->seq, e);
	store_bind_int(s, 7, w->pos_trimmed);
	return run(w, W_RECORD_PUT, "record of event", op->seq, NULL, e);
}

/* ---- outbox ------------------------------------------------------------------------------------------------ */

static int64_t outbox_id(const struct store_op_outbox *op)
{
	return STORE_OUTBOX_POS(op->seq, op->role);
}

static int outbox_put(struct store_writer *w, const struct store_op_outbox *op, struct err *e)
{
	sqlite3_stmt *s = stmt(w, W_OUTBOX_PUT);
	int64_t changed = 0;
	int r;

	store_bind_int(s, 1, outbox_id(op));
	store_bind_int(s, 2, op->seq);
	store_bind_int(s, 3, op->role);
	store_bind_text(s, 4, op->target);
	store_bind_text(s, 5, op->key);
	store_bind_int(s, 6, op->tries);
	store_bind_int(s, 7, op->due_at_ms);
	store_bind_text(s, 8, op->last_error);
	store_bind_int(s, 9, op->created_at_ms);
	r = run(w, W_OUTBOX_PUT, "outbox row of event", op->seq, &changed, e);
	if (r == 0 && !changed)
		return missing(w, "event", op->seq, e);
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
	store_bind_int(s, 5, op->created_at_ms);
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
static int message_read(struct store_writer *w, const struct store_query *q, size_t i, struct store_op_message *m, struct err *e)
{
	struct store_reader rd = { .d = &w->db, .s = stmt(w, W_MESSAGE_VISIBLE), .what = "message", .e = e };

	rd.id = m->pos = store_read_int(&rd, "pos", 1, INT64_MAX);
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

static int message_lease(struct store_writer *w, const struct store_op_message *m, struct err *e)
{
	sqlite3_stmt *s = stmt(w, W_MESSAGE_LEASE);

	store_bind_int(s, 1, m->pos);
	store_bind_int(s, 2, m->visible_at_ms);
	store_bind_int(s, 3, m->receive_count);
	store_bind_text(s, 4, m->receipt);
	return run(w, W_MESSAGE_LEASE, "message", m->pos, NULL, e);
}

static int receive(struct store_writer *w, const struct store_query *q, struct store_result *res, struct err *e)
{
	sqlite3_stmt *s = stmt(w, W_MESSAGE_VISIBLE);
	size_t bytes = 0;
	int64_t queue = 0;
	int r;

	r = queue_find(w, q->queue, &queue, e);
	if (r <= 0)
		return r;
	store_bind_int(s, 1, queue);
	store_bind_int(s, 2, q->now_ms);
	store_bind_int(s, 3, q->limit);
	store_bind_int(s, 4, q->after_pos);
	/* All rows first, then their leases: a scan that sees its own updates is not defined. */
	while ((r = store_db_step(&w->db, W_MESSAGE_VISIBLE, "queue", queue, e)) > 0) {
		struct store_op_message *m = STORE_ROW_ADD(res->messages, res->n_messages);

		r = message_read(w, q, res->n_messages - 1, m, e);
		if (r < 0)
			break;
		bytes += (m->body ? m->body->len : 0) + (m->attributes ? m->attributes->len : 0);
		res->more = bytes >= STORE_RESULT_BYTES_MAX;
		if (res->more)
			break;
	}
	store_db_reset(&w->db, W_MESSAGE_VISIBLE);
	for (size_t i = 0; r >= 0 && i < res->n_messages; i++)
		r = message_lease(w, &res->messages[i], e);
	store_bind_int(stmt(w, W_MESSAGE_LAST), 1, queue);
	return r < 0 ? r : get_int(w, W_MESSAGE_LAST, &res->last_pos, e);
}

static int give_back(struct store_writer *w, const struct store_query *q, struct store_result *res, struct err *e)
{
	sqlite3_stmt *s = stmt(w, W_MESSAGE_GIVE_BACK);
	int64_t queue = 0, n;
	int r = queue_find(w, q->queue, &queue, e);

	if (r <= 0)
		return r;
	for (size_t i = 0; r >= 0 && i < (size_t)q->limit; i++) {
		char receipt[ID_UUID_LEN + 1];

		store_row_receipt(q->random, i, receipt);
		store_bind_text(s, 1, receipt);
		store_bind_int(s, 2, queue);
		store_bind_int(s, 3, q->now_ms);
		r = run(w, W_MESSAGE_GIVE_BACK, "queue", queue, &n, e);
		res->affected += r < 0 ? 0 : n;
	}
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
	r = run(w, W_MESSAGE_PURGE, "queue", queue, &res->affected, e);
	if (r < 0)
		return r;
	store_bind_int(stmt(w, W_MESSAGE_ANY), 1, queue);
	r = store_db_step(&w->db, W_MESSAGE_ANY, "queue", queue, e);
	store_db_reset(&w->db, W_MESSAGE_ANY);
	res->more = r > 0;
	return r < 0 ? r : 0;
}

/* ---- versions, aliases, the anchor ------------------------------------------------------------------------- */

static int version_put(struct store_writer *w, const struct store_op_version *op, struct err *e)
{
	sqlite3_stmt *s = stmt(w, W_VERSION_PUT);
	int r;

	store_bind_text(s, 1, op->function);
	store_bind_int(s, 2, op->version);
	store_bind_int(s, 3, op->at_ms);
	store_bind_text(s, 4, op->description);		/* NULL → NULL */
	if (store_bind_blob(s, 5, op->definition) < 0)
		return too_big(w, "version", op->version, e);
	r = run(w, W_VERSION_PUT, "version", op->version, NULL, e);
	return r == -EEXIST ? err_set(e, r, "%s: version %d of %s is already there", w->db.path, op->version, op->function) : r;
}

static int alias_put(struct store_writer *w, const struct store_op_alias *op, struct err *e)
{
	sqlite3_stmt *s = stmt(w, W_ALIAS_PUT);

	store_bind_text(s, 1, op->function);
	store_bind_text(s, 2, op->name);
	if (store_bind_blob(s, 3, op->body) < 0)
		return err_set(e, -E2BIG, "%s: alias %s of %s is too large to be stored", w->db.path, op->name, op->function);
	return run(w, W_ALIAS_PUT, "alias", 0, NULL, e);
}

static int alias_del(struct store_writer *w, const struct store_op_alias *op, struct err *e)
{
	int64_t changed = 0;
	int r;

	store_bind_text(stmt(w, W_ALIAS_DEL), 1, op->function);
	store_bind_text(stmt(w, W_ALIAS_DEL), 2, op->name);
	r = run(w, W_ALIAS_DEL, "alias", 0, &changed, e);
	if (r == 0 && !changed)
		return err_set(e, -ENOENT, "%s: there is no alias %s of %s", w->db.path, op->name, op->function);
	return r;
}

static int anchor_put(struct store_writer *w, const struct store_anchor *op, struct err *e)
{
	store_bind_text(stmt(w, W_ANCHOR_PUT), 1, op->boot_id);
	store_bind_int(stmt(w, W_ANCHOR_PUT), 2, op->boot_ms);
	store_bind_int(stmt(w, W_ANCHOR_PUT), 3, op->steady_ms);
	return run(w, W_ANCHOR_PUT, "anchor", 0, NULL, e);
}

/* ---- retention --------------------------------------------------------------------------------------------- */

struct trim_row { int64_t pos, seq; bool old; };
struct trim_list { struct trim_row *rows; size_t n; int64_t looked_to; bool end; };

static int get_bytes(struct store_writer *w, struct store_result *res, struct err *e)
{
	int64_t pages = 0, unused = 0, size = 0;
	int r;

	r = get_int(w, W_PAGES, &pages, e);
	if (r >= 0)
		r = get_int(w, W_PAGES_FREE, &unused, e);
	if (r >= 0)
		r = get_int(w, W_PAGE_SIZE, &size, e);
	res->bytes_used = (pages - unused) * size;
	res->bytes_free = unused * size;
	return r;
}

static bool has_too_much(const struct store_query *q, const struct store_result *res)
{
	return q->bytes_max > 0 && res->bytes_used > q->bytes_max;
}

/* Those that may go, oldest first, and one more than the limit. any: the young ones too. */
static int trim_scan(struct store_writer *w, const struct store_query *q, bool any, struct trim_list *l, struct err *e)
{
	int looked = 0, young = 0, r = 0;

	store_bind_int(stmt(w, W_TRIM_SCAN), 1, w->trim_from);
	while (l->n <= (size_t)q->limit && looked < STORE_TRIM_SCAN_MAX && young < TRIM_YOUNG_MAX &&
	       (r = store_db_step(&w->db, W_TRIM_SCAN, "records", 0, e)) > 0) {
		struct store_reader rd = { .d = &w->db, .s = stmt(w, W_TRIM_SCAN), .what = "record at", .e = e };
		struct trim_row row = {};
		bool free_to_go;

		rd.id = row.pos = store_read_int(&rd, "pos", 1, INT64_MAX);
		row.seq = store_read_int(&rd, "seq", 1, STORE_SEQ_MAX);
		row.old = store_read_int(&rd, "at_ms", INT64_MIN, INT64_MAX) < q->until_ms && q->until_ms > 0;
		free_to_go = store_read_int(&rd, "state", 0, 1);
		if (rd.r < 0) {
			r = rd.r;
			break;
		}
		looked++;
		young = row.old || any ? 0 : young + 1;
		if (free_to_go && (row.old || any))
			*STORE_ROW_ADD(l->rows, l->n) = row;
		l->looked_to = row.pos;
	}
	store_db_reset(&w->db, W_TRIM_SCAN);
	l->end = r == 0 || young == TRIM_YOUNG_MAX;
	return r < 0 ? r : 0;
}

static int trim_event(struct store_writer *w, const struct trim_row *row, struct err *e)
{
	static const enum w_stmt steps[] = { W_TRIM_RECORD, W_TRIM_ATTEMPTS, W_TRIM_PAYLOAD, W_TRIM_OUTBOX, W_TRIM_OUTBOX_BODY,
					     W_TRIM_EVENT };	/* what refers to a row goes before it */
	int r = 0;

	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(steps); i++) {
		store_bind_int(stmt(w, steps[i]), 1, row->seq);
		r = run(w, steps[i], "event", row->seq, NULL, e);
	}
	if (r < 0)
		return r;
	store_bind_int(stmt(w, W_TRIMMED_SET), 1, row->seq);
	store_bind_int(stmt(w, W_TRIMMED_SET), 2, row->pos);
	w->pos_trimmed = MAX(w->pos_trimmed, row->pos);
	return run(w, W_TRIMMED_SET, "trimmed", 0, NULL, e);
}

/*
 * Deletes what was found as long as there is a reason to. Where the next call goes on: behind what this one has looked at,
 * as that is deleted or has to stay; from the beginning, when the end was reached.
 */
static int trim_delete(struct store_writer *w, const struct store_query *q, const struct trim_list *l, struct store_result *res,
		       struct err *e)
{
	bool end = l->end;
	int r = 0;

	w->trim_next = l->looked_to;
	for (size_t i = 0; r >= 0 && i < l->n; i++) {
		if (!l->rows[i].old && !has_too_much(q, res)) {
			end = true;	/* enough is free, and what comes now is young */
			continue;
		}
		if (res->affected == q->limit) {
			w->trim_next = l->rows[i].pos - 1;
			res->more = true;
			return 0;
		}
		r = trim_event(w, &l->rows[i], e);
		res->affected++;
		if (r >= 0 && q->bytes_max > 0)
			r = get_bytes(w, res, e);
	}
	res->more = !end;
	if (end)
		w->trim_next = 0;
	return r;
}

static int trim(struct store_writer *w, const struct store_query *q, struct store_result *res, struct err *e)
{
	struct trim_list l = {};
	int r;

	r = get_bytes(w, res, e);
	if (r >= 0 && (q->until_ms > 0 || has_too_much(q, res))) {
		r = trim_scan(w, q, has_too_much(q, res), &l, e);
		if (r >= 0)
			r = trim_delete(w, q, &l, res, e);
		free(l.rows);
	}
	/* Page by page: each step gives one back. */
	while (r >= 0 && (r = store_db_step(&w->db, W_VACUUM, "free pages", 0, e)) > 0)
		;
	return r < 0 ? r : get_bytes(w, res, e);
}

/* ---- transactions ------------------------------------------------------------------------------------------ */

int store_writer_begin(struct store_writer *w, struct err *e)
{
	w->trim_next = w->trim_from;
	return run(w, W_BEGIN, "begin", 0, NULL, e);
}

int store_writer_commit(struct store_writer *w, struct err *e)
{
	int r = run(w, W_COMMIT, "commit", 0, NULL, e);

	if (r < 0)
		store_writer_rollback(w);
	else
		w->trim_from = w->trim_next;
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

static int run_op(struct store_writer *w, struct store_op *op, struct err *e)
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
	case STORE_OP_EVENT_DONE:
		return event_done(w, &op->done, e);
	case STORE_OP_VERSION_PUT:
		return version_put(w, &op->version, e);
	case STORE_OP_ALIAS_PUT:
		return alias_put(w, &op->alias, e);
	case STORE_OP_ALIAS_DEL:
		return alias_del(w, &op->alias, e);
	case STORE_OP_ANCHOR_PUT:
		return anchor_put(w, &op->anchor, e);
	case STORE_OP_INVALID:
		break;
	}
	assert(!"unknown kind of store operation");
	return -EINVAL;
}

int store_writer_batch(struct store_writer *w, struct store_batch *b, struct err *e)
{
	b->failed = SIZE_MAX;
	for (size_t i = 0; i < b->n; i++) {
		int r = run_op(w, &b->ops[i], e);

		if (r < 0 && store_db_is_domain(r))
			b->failed = i;
		if (r < 0)
			return r;
	}
	return 0;
}

bool store_writer_answers(enum store_query_kind kind)
{
	return kind == STORE_Q_RECEIVE || kind == STORE_Q_GIVE_BACK || kind == STORE_Q_DELETE || kind == STORE_Q_PURGE ||
	       kind == STORE_Q_TRIM;
}

int store_writer_query(struct store_writer *w, const struct store_query *q, struct store_result *res, struct err *e)
{
	assert(store_writer_answers(q->kind));
	if (q->kind == STORE_Q_RECEIVE)
		return receive(w, q, res, e);
	if (q->kind == STORE_Q_GIVE_BACK)
		return give_back(w, q, res, e);
	if (q->kind == STORE_Q_PURGE)
		return purge(w, q, res, e);
	if (q->kind == STORE_Q_TRIM)
		return trim(w, q, res, e);
	return delete_leased(w, q->queue, q->receipt, &res->affected, e);
}

/* ---- life -------------------------------------------------------------------------------------------------- */

static uint64_t log_ino(const char *path)
{
	CLEAN(freep) char *name = xasprintf("%s-wal", path);
	struct stat st;

	return stat(name, &st) < 0 ? 0 : st.st_ino;
}

int store_writer_open(struct store_writer *w, const char *path, const char *vfs, struct err *e)
{
	int r;

	*w = (struct store_writer){ .opened_at_ms = clock_wall_ms() };
	r = store_db_create(path, e);
	if (r >= 0)
		r = store_db_open(&w->db, path, vfs, true, e);
	if (r >= 0)
		r = store_migrate(&w->db, e);
	if (r >= 0)
		r = store_db_prepare(&w->db, w_sql, W_MAX, e);
	if (r >= 0)
		r = get_int(w, W_TRIMMED_GET, &w->pos_trimmed, e);
	if (r >= 0) {
		store_bind_int(stmt(w, W_OPENING), 1, w->opened_at_ms);
		store_bind_int(stmt(w, W_OPENING), 2, getpid());
		r = run(w, W_OPENING, "opening", 0, NULL, e);
		w->owner = sqlite3_last_insert_rowid(w->db.db);
		w->log_ino = log_ino(path);
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

enum store_place store_writer_place(const struct store_writer *w)
{
	struct stat st;

	if (stat(w->db.path, &st) < 0)
		return STORE_GONE;
	if (st.st_dev != w->db.dev || st.st_ino != w->db.ino)
		return STORE_REPLACED;
	return log_ino(w->db.path) == w->log_ino ? STORE_IN_PLACE : STORE_LOG_GONE;
}

int store_writer_checkpoint(struct store_writer *w, struct err *e)
{
	int64_t busy = 1;
	int r = get_int(w, W_CHECKPOINT, &busy, e);

	return r >= 0 && busy ? err_set(e, -EBUSY, "%s: somebody else reads: the log cannot be emptied", w->db.path) : r;
}

static int known_again(struct store_writer *w, struct err *e)
{
	char sql[128];
	int64_t n = 0;
	int r;

	snprintf(sql, sizeof(sql), "SELECT count(*) FROM opening WHERE id = %lld AND at_ms = %lld", (long long)w->owner,
		 (long long)w->opened_at_ms);
	r = store_db_int(&w->db, sql, &n, e);
	/* Whatever it is, it is not touched. */
	return r >= 0 && !n ? err_set(e, -EIO, "%s: another file lies there than the one that was opened", w->db.path) : r;
}

int store_writer_reopen(struct store_writer *w, const char *path, const char *vfs, struct err *e)
{
	int r;

	store_db_done(&w->db);
	r = store_db_open(&w->db, path, vfs, true, e);
	if (r >= 0)
		r = known_again(w, e);
	if (r >= 0)
		r = store_db_durable(&w->db, e);
	if (r >= 0)
		r = store_db_prepare(&w->db, w_sql, W_MAX, e);
	if (r >= 0)
		r = get_int(w, W_TRIMMED_GET, &w->pos_trimmed, e);
	w->log_ino = log_ino(path);
	if (r < 0)
		store_db_done(&w->db);
	return r == -ENOENT ? err_set(e, -EIO, "%s: the file is gone", path) : r;	/* not one operation's error */
}
