/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of the database file, as damage or somebody's sqlite3 shell may have left them: the schema of store_migrate()
 * without its checks, filled with any values. What is loaded or asked for is refused with an error, or within the bounds
 * that the writer asserts. One connection for both, and each input a transaction that is rolled back: nothing is written.
 * The file is this process' alone, and its name is gone as soon as it is open.
 *
 * Input: rows, each a byte for the table (0 ends them), then per column a byte: 0 the value a good row has, else a kind
 * of value and its bytes.
 */
#include <unistd.h>

#include <sqlite3.h>

#include "base/buf.h"
#include "fuzz/fuzz.h"
#include "store/store_migrate.h"
#include "store/store_write.h"

#include "../../user/store/store_read.c"	/* query_one(): what store_reader_query() does within its transaction */

#define ID "8f5e0c8a-1111-4222-8333-444455556666"
#define ROWS_MAX 16
#define COLUMNS_MAX 23

/* A good row each; the numbers of an event in it are 1. */
static const struct { const char *name, *good[COLUMNS_MAX + 1]; } tables[] = {
	{ "event", { "1", "'" ID "'", "'resize'", "''", "3", "1795478400000", "0", "1", "1", "0", "0", "2", "1", "0",
		     "1", "2", "''", "0", "0", "1795478500000", "0", "0", "0" } },
	{ "event_payload", { "1", "x'7b7d'" } },
	{ "attempt", { "1", "1", "1795478400000", "1795478400005", "3", "x'7b7d'" } },
	{ "record", { "1", "1", "'" ID "'", "'resize'", "2", "1795478400000", "x'7b7d'" } },
	{ "outbox", { "5", "1", "1", "'queue:done'", "'" ID ":OnSuccess'", "0", "1795478400000", "1795478400000", "''" } },
	{ "outbox_body", { "5", "x'7b7d'", "NULL" } },
	{ "queue", { "1", "'done'" } },
	{ "message", { "1", "1", "'" ID "'", "1795478400000", "0", "0", "'" ID "'" } },
	{ "message_body", { "1", "x'7b7d'", "NULL" } },
	{ "function_version", { "'resize'", "1", "1795478400000", "'first'", "x'7b7d'" } },
	{ "alias", { "'resize'", "'live'", "x'7b7d'" } },
	{ "anchor", { "1", "'" ID "'", "5000", "1795478400000" } },
	{ "trimmed", { "1", "0", "0" } },
};

static struct store_writer writer;
static struct store_db reader;		/* the writer's connection, with the reader's statements */

/* ---- set-up ------------------------------------------------------------------------------------------------ */

/* The tables take what they are given: what is left of the schema is what the statements name. */
static const char lax[] =
	"PRAGMA writable_schema=ON;"
	"UPDATE sqlite_schema SET sql = replace(replace(replace(replace(sql, ') STRICT', ')'), ' NOT NULL', ''),"
	" ',\tCHECK (id = seq * 4 + role)', ''), ' CHECK (id = 1)', '') WHERE type = 'table';"
	"PRAGMA writable_schema=RESET";

static void start(void)
{
	char dir[] = "/dev/shm/fuzz_row-XXXXXX", dir_tmp[] = "/tmp/fuzz_row-XXXXXX", path[64], file[80];
	const char *const tails[] = { "", "-wal", "-shm" }, *at = mkdtemp(dir);
	struct store_db made = {};
	struct err e = {};
	sqlite3 *db = NULL;

	at = at ? at : mkdtemp(dir_tmp);
	MUST(at);
	snprintf(path, sizeof(path), "%s/db", at);
	MUST(store_db_create(path, &e) == 0 && store_db_open(&made, path, NULL, true, &e) == 0 && store_migrate(&made, &e) == 0);
	store_db_done(&made);
	MUST(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK);
	MUST(sqlite3_exec(db, lax, NULL, NULL, NULL) == SQLITE_OK && sqlite3_close(db) == SQLITE_OK);
	MUST(store_writer_open(&writer, path, NULL, &e) == 0);
	reader = (struct store_db){ .db = writer.db.db, .path = writer.db.path };
	MUST(store_db_prepare(&reader, r_sql, R_MAX, &e) == 0);
	MUST(store_db_exec(&writer.db, "PRAGMA foreign_keys=OFF; PRAGMA locking_mode=EXCLUSIVE", &e) == 0);
	for (size_t i = 0; i < ARRAY_SIZE(tails); i++) {
		snprintf(file, sizeof(file), "%s%s", path, tails[i]);
		(void)unlink(file);
	}
	(void)rmdir(at);
}

/* ---- rows -------------------------------------------------------------------------------------------------- */

static void bind(sqlite3_stmt *s, int column, struct input *in)
{
	static const int64_t numbers[] = { -1, 0, 1, 2, 3, 4, 5, 6, INT32_MAX, UINT32_MAX, INT64_MAX, INT64_MIN,
					   INT64_MAX / 8, 1ll << 32 };
	static char text[512];
	size_t n;

	switch (take_number(in, 1) % 6) {
	case 0:
		sqlite3_bind_int64(s, column, (int64_t)take_number(in, 8));
		break;
	case 1:
		sqlite3_bind_int64(s, column, numbers[take_number(in, 1) % ARRAY_SIZE(numbers)]);
		break;
	case 2:
	case 3:	/* a text may hold anything, as a blob may; some are just too long */
		n = (size_t)take_number(in, 2) % sizeof(text);
		memset(text, 'x', sizeof(text));
		take(in, text, MIN(n, in->left));
		sqlite3_bind_text(s, column, text, (int)n, SQLITE_TRANSIENT);
		break;
	case 4:
		n = (size_t)take_number(in, 1);
		take(in, text, n);
		sqlite3_bind_blob(s, column, text, (int)n, SQLITE_TRANSIENT);
		break;
	case 5:
		sqlite3_bind_double(s, column, (double)(int64_t)take_number(in, 8) / 3);
		break;
	}
}

/* "INSERT OR REPLACE INTO event VALUES (1,?2,…)": a good value, NULL, or a parameter. */
static void put_row(struct input *in, size_t table)
{
	struct buf sql = {};
	uint32_t own = 0;
	sqlite3_stmt *s;

	buf_addf(&sql, "INSERT OR REPLACE INTO %s VALUES (", tables[table].name);
	for (int i = 0; tables[table].good[i]; i++) {
		unsigned int kind = (unsigned int)take_number(in, 1);

		if (i)
			buf_addc(&sql, ',');
		own |= kind > 1 ? BIT(i) : 0;
		if (kind > 1)
			buf_addf(&sql, "?%d", i + 1);
		else
			buf_adds(&sql, kind ? "NULL" : tables[table].good[i]);
	}
	buf_addc(&sql, ')');
	MUST(sqlite3_prepare_v2(writer.db.db, buf_str(&sql), -1, &s, NULL) == SQLITE_OK);
	for (int i = 0; i < COLUMNS_MAX; i++)
		if (own & BIT(i))
			bind(s, i + 1, in);
	(void)sqlite3_step(s);	/* a key that is no number, a request id that is there twice: then the row is not */
	sqlite3_finalize(s);
	buf_done(&sql);
}

static void fill(struct input *in)
{
	for (int i = 0; i < ROWS_MAX; i++) {
		size_t table = (size_t)take_number(in, 1);

		if (!table)
			break;
		put_row(in, (table - 1) % ARRAY_SIZE(tables));
	}
}

/* ---- what comes back --------------------------------------------------------------------------------------- */

static void check_error(int r, const struct err *e)
{
	MUST(r >= 0 || (e->code == r && e->msg[0]));
}

/* As store_row.c asserts it of what is written. */
static void check_event(const struct inv_row *row)
{
	store_row_check(&(struct store_op){ .kind = STORE_OP_EVENT_PUT, .event.row = *row });
}

static void check_outbox(const struct store_op_outbox *o)
{
	store_row_check(&(struct store_op){ .kind = STORE_OP_OUTBOX_PUT, .outbox = *o });
}

static void check_loaded(const struct store_event *ev)
{
	MUST(ev->fates);
	check_event(&ev->row);
}

static int on_anchor(void *arg, const struct store_anchor *a)
{
	store_row_check(&(struct store_op){ .kind = STORE_OP_ANCHOR_PUT, .anchor = *a });
	return 0;
}

static int on_version(void *arg, const struct store_op_version *v)
{
	store_row_check(&(struct store_op){ .kind = STORE_OP_VERSION_PUT, .version = *v });
	return 0;
}

static int on_alias(void *arg, const struct store_op_alias *a)
{
	store_row_check(&(struct store_op){ .kind = STORE_OP_ALIAS_PUT, .alias = *a });
	return 0;
}

static int on_running(void *arg, const struct store_event *ev)
{
	MUST(ev->row.state == INV_RUNNING);
	check_loaded(ev);
	return 0;
}

static int on_queued(void *arg, const char *function, int64_t n)
{
	MUST(strlen(function) <= LIM_FUNCTION_NAME_MAX && n > 0 && n <= ROWS_MAX);
	return 0;
}

static int on_count(void *arg, int64_t n)
{
	MUST(n >= 0 && n <= ROWS_MAX);
	return 0;
}

static int on_owed(void *arg, const char *target, int64_t n)
{
	MUST(strlen(target) <= LIM_ARN_MAX && n > 0 && n <= ROWS_MAX);
	return 0;
}

/* In the order they were asked for, and behind where the page begins. */
static void check_page(const struct store_query *q, const struct store_result *res)
{
	for (size_t i = 0; i < res->n_loaded; i++) {
		const struct inv_row *row = &res->loaded[i].row, *before = i ? &res->loaded[i - 1].row : NULL;

		check_loaded(&res->loaded[i]);
		if (q->kind == STORE_Q_LOAD_QUEUED)
			MUST(row->state == INV_QUEUED && row->seq > (before ? before->seq : q->after_seq));
		else if (q->kind == STORE_Q_LOAD_WAITING)
			MUST(row->state == INV_WAITING && (!before || row->due_at_ms > before->due_at_ms ||
							   (row->due_at_ms == before->due_at_ms && row->seq > before->seq)));
	}
	for (size_t i = 0; i < res->n_events && q->kind == STORE_Q_ENDED; i++)
		MUST((res->events[i].state == INV_DONE || res->events[i].state == INV_ROUTING) &&
		     res->events[i].seq > (i ? res->events[i - 1].seq : q->after_seq));
	MUST(res->n_loaded <= (size_t)MAX(q->limit, 1));
	MUST(q->kind != STORE_Q_TRIM || (res->bytes_used > 0 && res->bytes_free >= 0));
}

static void check_result(const struct store_query *q, const struct store_result *res)
{
	for (size_t i = 0; i < res->n_events; i++)
		check_event(&res->events[i]);
	for (size_t i = 0; i < res->n_attempts; i++)
		MUST(res->attempts[i].start > 0 && (int)res->attempts[i].outcome >= 0 && res->attempts[i].outcome < OUTCOME_MAX);
	for (size_t i = 0; i < res->n_records; i++)
		store_row_check(&(struct store_op){ .kind = STORE_OP_RECORD_PUT, .record = res->records[i] });
	for (size_t i = 0; i < res->n_outbox; i++)
		check_outbox(&res->outbox[i]);
	for (size_t i = 0; i < res->n_messages; i++) {
		store_row_check(&(struct store_op){ .kind = STORE_OP_MESSAGE_PUT, .message = res->messages[i] });
		MUST(res->messages[i].receive_count >= 0);
		MUST(q->kind != STORE_Q_RECEIVE ||
		     (res->messages[i].receive_count > 0 && res->messages[i].visible_at_ms >= q->now_ms));
	}
	for (size_t i = 0; i < res->n_queues; i++)
		MUST(memchr(res->queues[i].name, '\0', sizeof(res->queues[i].name)) && res->queues[i].visible >= 0 &&
		     res->queues[i].in_flight >= 0);
	check_page(q, res);
	for (size_t i = 0; i < INV_MAX; i++)
		MUST(res->counts.events[i] >= 0);
	MUST(res->n_events <= (size_t)MAX(q->limit, 1));
	MUST(res->affected <= (q->kind == STORE_Q_PURGE || q->kind == STORE_Q_TRIM ? ROWS_MAX : 1));
	MUST(res->n_messages <= (size_t)MAX(q->limit, 1));
	for (size_t i = 0; i < res->n_records && q->kind == STORE_Q_TAIL; i++)
		MUST(res->records[i].pos > (i ? res->records[i - 1].pos : q->after_pos) && res->records[i].pos <= res->last_pos);
	MUST(res->last_pos >= 0);
}

static const struct store_query questions[] = {
	{ .kind = STORE_Q_EVENTS, .state = -1, .limit = 8 }, { .kind = STORE_Q_EVENTS, .state = INV_WAITING, .limit = 1 },
	{ .kind = STORE_Q_EVENTS, .state = INV_DONE, .limit = 8, .function = "resize" }, { .kind = STORE_Q_EVENT },
	{ .kind = STORE_Q_RECORDS, .limit = 8 }, { .kind = STORE_Q_RECORDS, .condition = COND_RETRIES_EXHAUSTED, .limit = 8 },
	{ .kind = STORE_Q_RECORD }, { .kind = STORE_Q_QUEUES }, { .kind = STORE_Q_OUTBOX, .state = -1, .limit = 8 },
	{ .kind = STORE_Q_OUTBOX, .state = 1, .limit = 8, .target = "queue:done" }, { .kind = STORE_Q_COUNTS },
	{ .kind = STORE_Q_LOAD_QUEUED, .function = "resize", .limit = 8 }, { .kind = STORE_Q_LOAD_WAITING, .limit = 8 },
	{ .kind = STORE_Q_LOAD_EVENT }, { .kind = STORE_Q_LOAD_OUTBOX, .target = "queue:done", .limit = 8 },
	{ .kind = STORE_Q_ENDED, .limit = 8 },
	{ .kind = STORE_Q_ENDED, .limit = 8, .function = "resize", .since_ms = 1, .outcome = 3 },
	{ .kind = STORE_Q_TAIL, .after_pos = -1, .limit = 1 }, { .kind = STORE_Q_TAIL, .limit = 8 },
	{ .kind = STORE_Q_TAIL, .condition = COND_RETRIES_EXHAUSTED, .limit = 8, .function = "resize" },
	{ .kind = STORE_Q_PEEK, .limit = 8 },
	{ .kind = STORE_Q_RECEIVE, .limit = 8, .visibility_ms = 30000 }, { .kind = STORE_Q_GIVE_BACK, .limit = 8 },
	{ .kind = STORE_Q_DELETE }, { .kind = STORE_Q_PURGE },
	{ .kind = STORE_Q_TRIM, .limit = 8, .until_ms = 1795478400001 }, { .kind = STORE_Q_TRIM, .limit = 8, .bytes_max = 1 },
};

static void ask(struct store_query q)
{
	struct store_result res = {};
	struct err e = {};
	int r;

	snprintf(q.request_id, sizeof(q.request_id), "%s", ID);
	snprintf(q.receipt, sizeof(q.receipt), "%s", ID);
	snprintf(q.queue, sizeof(q.queue), "done");
	q.now_ms = 1795478400000;
	MUST(store_query_check(&q, &e) == 0);
	if (store_writer_answers(q.kind))
		r = store_writer_query(&writer, &q, &res, &e);
	else
		r = query_one(&reader, &q, &res, &e);
	check_error(r, &e);
	if (r >= 0)
		check_result(&q, &res);
	store_result_done(&res);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct store_loader loader = {
		.anchor = on_anchor, .version = on_version, .alias = on_alias, .running = on_running,
		.queued = on_queued, .waiting = on_count, .routing = on_count, .outbox = on_owed,
	};
	struct input in = { data, size };
	int64_t next = 0;
	struct err e = {};
	int r;

	if (!reader.db)
		start();
	MUST(store_writer_begin(&writer, &e) == 0);
	fill(&in);
	r = store_reader_load(&reader, &loader, &next, &e);
	check_error(r, &e);
	MUST(r < 0 || (next >= 1 && next <= STORE_SEQ_MAX));
	for (size_t i = 0; i < ARRAY_SIZE(questions); i++)
		ask(questions[i]);
	store_writer_rollback(&writer);
	return 0;
}
