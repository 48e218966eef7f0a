/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One suite for every store engine: each case runs against SQLite on a temporary file and against the one in memory.
 * reopen() in a case proves durability: SQLite closes and opens its file, memory loses all that was not applied.
 */
#include "lib/test.h"

#include <errno.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/id.h"
#include "base/mem.h"
#include "engine/port_store.h"
#include "store/store_mem.h"
#include "store/store_row.h"
#include "store/store_sqlite.h"

static bool on_disk;			/* the engine under test */
static struct port_store *the_store;
static sd_event *the_loop;
static char the_dir[64], the_path[96];

/* ---- the engines ------------------------------------------------------------------------------------------- */

static void open_disk(void)
{
	struct err e = {};

	if (store_sqlite_open(the_loop, the_path, &the_store, &e) < 0)
		FAIL("open: %s", err_msg(&e));
}

static void set_up(bool disk)
{
	on_disk = disk;
	if (!disk) {
		the_store = store_mem_new();
		return;
	}
	snprintf(the_dir, sizeof(the_dir), "%s/fated-store-XXXXXX", getenv("TMPDIR") ?: "/tmp");
	CHECK(mkdtemp(the_dir));
	snprintf(the_path, sizeof(the_path), "%s/state.db", the_dir);
	CHECK(sd_event_new(&the_loop) >= 0);
	open_disk();
}

static void remove_dir(void)
{
	static const char *const tails[] = { "", "-wal", "-shm", "-lock", "-journal" };
	char name[128];

	for (size_t i = 0; i < ARRAY_SIZE(tails); i++) {
		snprintf(name, sizeof(name), "%s%s", the_path, tails[i]);
		(void)unlink(name);
	}
	if (rmdir(the_dir) < 0)
		FAIL("%s is not empty", the_dir);
}

static void tear_down(void)
{
	if (the_store)
		the_store->ops->close(the_store);
	the_store = NULL;
	if (!on_disk)
		return;
	the_loop = sd_event_unref(the_loop);
	remove_dir();
}

static void reopen(void)
{
	if (!on_disk) {
		store_mem_crash(the_store);
		return;
	}
	the_store->ops->close(the_store);
	the_store = NULL;
	open_disk();
}

/* One thing happens. */
static void turn(void)
{
	if (on_disk)
		CHECK(sd_event_run(the_loop, 60 * 1000000ull) > 0);	/* a minute: the end of a hung test, not a time to wait */
	else
		CHECK(store_mem_run(the_store));
}

/* The file, besides the store. */
static void sql(const char *text)
{
	sqlite3 *db = NULL;
	char *msg = NULL;

	CHECK(sqlite3_open(the_path, &db) == SQLITE_OK);
	if (sqlite3_exec(db, text, NULL, NULL, &msg) != SQLITE_OK)
		FAIL("%s: %s", text, msg);
	sqlite3_close(db);
}

static int64_t sql_int(const char *text)
{
	sqlite3 *db = NULL;
	sqlite3_stmt *q = NULL;
	int64_t n;

	CHECK(sqlite3_open(the_path, &db) == SQLITE_OK);
	CHECK(sqlite3_prepare_v2(db, text, -1, &q, NULL) == SQLITE_OK);
	CHECK(sqlite3_step(q) == SQLITE_ROW);
	n = sqlite3_column_int64(q, 0);
	sqlite3_finalize(q);
	sqlite3_close(db);
	return n;
}

/* ---- batches ----------------------------------------------------------------------------------------------- */

struct sent { struct store_batch b; bool done; int result; size_t failed; char msg[512]; int order; };
static int reports;

static void sent_done(struct store_batch *b, int result, const struct err *e)
{
	struct sent *s = b->arg;

	s->done = true;
	s->result = result;
	s->failed = b->failed;
	s->order = reports++;
	snprintf(s->msg, sizeof(s->msg), "%s", result < 0 ? err_msg(e) : "");
}

static void give(struct sent *s)
{
	s->done = false;
	s->b.arg = s;
	s->b.done = sent_done;
	the_store->ops->apply(the_store, &s->b);
}

static int await(struct sent *s)
{
	while (!s->done)
		turn();
	return s->result;
}

/* Gives, waits, and clears. */
static int apply(struct sent *s)
{
	int r;

	give(s);
	CHECK(!s->done);	/* never from within apply() */
	r = await(s);
	store_batch_done(&s->b);
	return r;
}

static struct blob *text(const char *t)
{
	return blob_new(t, strlen(t));
}

static void uuid_of(int64_t n, char out[ID_UUID_LEN + 1])
{
	snprintf(out, ID_UUID_LEN + 1, "%08x-0000-4000-8000-000000000000", (unsigned int)n);
}

static struct inv_row row_of(int64_t seq)
{
	struct inv_row row = { .seq = seq, .state = INV_QUEUED, .hops = 1, .accepted_at_ms = 1700000000000 + seq };

	uuid_of(seq, row.request_id);
	snprintf(row.function, sizeof(row.function), "%s", seq % 3 == 0 ? "third" : "resize");
	snprintf(row.qualifier, sizeof(row.qualifier), "%s", seq % 2 ? "$LATEST" : "");
	return row;
}

static void event_put(struct sent *s, int64_t seq, struct blob *payload)
{
	struct store_op *op = store_batch_add(&s->b, STORE_OP_EVENT_PUT);

	op->event.row = row_of(seq);
	op->event.payload = payload;
}

static struct inv_row *event_set(struct sent *s, struct inv_row row, uint32_t epoch_was)
{
	struct store_op *op = store_batch_add(&s->b, STORE_OP_EVENT_SET);

	op->event.row = row;
	op->event.epoch_was = epoch_was;
	return &op->event.row;
}

static void event_state(struct sent *s, int64_t seq, enum inv_state state, enum inv_condition condition)
{
	struct inv_row *row = event_set(s, row_of(seq), 0);

	row->state = state;
	row->condition = condition;
}

static void attempt_put(struct sent *s, int64_t seq, int start, int64_t at_ms)
{
	struct store_op *op = store_batch_add(&s->b, STORE_OP_ATTEMPT_PUT);

	op->attempt.seq = seq;
	op->attempt.start = start;
	op->attempt.started_at_ms = at_ms;
}

static void attempt_end(struct sent *s, int64_t seq, int start, enum outcome_kind outcome, const char *fate)
{
	struct store_op *op = store_batch_add(&s->b, STORE_OP_ATTEMPT_END);

	op->attempt.seq = seq;
	op->attempt.start = start;
	op->attempt.ended_at_ms = 5000 + start;
	op->attempt.outcome = outcome;
	op->attempt.fate = fate ? text(fate) : NULL;
}

static void record_put(struct sent *s, int64_t seq, enum inv_condition condition, const char *body)
{
	struct store_op *op = store_batch_add(&s->b, STORE_OP_RECORD_PUT);
	struct inv_row row = row_of(seq);

	op->record.seq = seq;
	memcpy(op->record.request_id, row.request_id, sizeof(row.request_id));
	memcpy(op->record.function, row.function, sizeof(row.function));
	op->record.condition = condition;
	op->record.at_ms = 9000 + seq;
	op->record.body = text(body);
}

static struct store_op_outbox *outbox_op(struct sent *s, enum store_op_kind kind, int64_t seq, enum outbox_role role)
{
	struct store_op *op = store_batch_add(&s->b, kind);

	op->outbox.seq = seq;
	op->outbox.role = role;
	return &op->outbox;
}

static void outbox_put(struct sent *s, int64_t seq, enum outbox_role role, int64_t due_at_ms)
{
	struct store_op_outbox *o = outbox_op(s, STORE_OP_OUTBOX_PUT, seq, role);
	struct inv_row row = row_of(seq);

	snprintf(o->target, sizeof(o->target), "file:/var/log/%d", (int)role);
	snprintf(o->key, sizeof(o->key), "%s:%s", row.request_id, outbox_role_name(role));
	o->due_at_ms = due_at_ms;
	o->body = text("{\"version\":\"1.0\"}");
	o->attributes = role == ROLE_DEAD_LETTER ? text("{\"ErrorCode\":{}}") : NULL;
}

static void message_put(struct sent *s, const char *queue, int64_t n, const char *body)
{
	struct store_op *op = store_batch_add(&s->b, STORE_OP_MESSAGE_PUT);

	snprintf(op->message.queue, sizeof(op->message.queue), "%s", queue);
	uuid_of(n, op->message.id);
	op->message.body = text(body);
	op->message.attributes = n % 2 ? NULL : text("{}");
	op->message.sent_at_ms = 100 + n;
}

static void message_del(struct sent *s, const char *queue, const char *receipt)
{
	struct store_op *op = store_batch_add(&s->b, STORE_OP_MESSAGE_DEL);

	snprintf(op->message.queue, sizeof(op->message.queue), "%s", queue);
	snprintf(op->message.receipt, sizeof(op->message.receipt), "%s", receipt);
}

static void version_put(struct sent *s, const char *function, int version, const char *description, const char *definition)
{
	struct store_op *op = store_batch_add(&s->b, STORE_OP_VERSION_PUT);

	snprintf(op->version.function, sizeof(op->version.function), "%s", function);
	op->version.version = version;
	op->version.at_ms = 100 + version;
	op->version.description = description ? xstrdup(description) : NULL;
	op->version.definition = text(definition);
}

static void alias_put(struct sent *s, const char *function, const char *name, const char *body)
{
	struct store_op *op = store_batch_add(&s->b, body ? STORE_OP_ALIAS_PUT : STORE_OP_ALIAS_DEL);

	snprintf(op->alias.function, sizeof(op->alias.function), "%s", function);
	snprintf(op->alias.name, sizeof(op->alias.name), "%s", name);
	op->alias.body = body ? text(body) : NULL;
}

static void anchor_put(struct sent *s, const char *boot_id, int64_t boot_ms, int64_t steady_ms)
{
	struct store_op *op = store_batch_add(&s->b, STORE_OP_ANCHOR_PUT);

	snprintf(op->anchor.boot_id, sizeof(op->anchor.boot_id), "%s", boot_id);
	op->anchor.boot_ms = boot_ms;
	op->anchor.steady_ms = steady_ms;
}

static void event_done(struct sent *s, int64_t seq)
{
	store_batch_add(&s->b, STORE_OP_EVENT_DONE)->done.seq = seq;
}

static void must(struct sent *s)
{
	if (apply(s) < 0)
		FAIL("batch: %s", s->msg);
}

static void put_events(int64_t from, int64_t to)
{
	struct sent s = {};

	for (int64_t seq = from; seq <= to; seq++)
		event_put(&s, seq, text("{}"));
	must(&s);
}

/* ---- queries ----------------------------------------------------------------------------------------------- */

/* An answer, kept. */
struct answer { struct store_result res; bool done; int result; char msg[512]; int order; };

static void answer_done(void *arg, const struct store_query *q, const struct store_result *res, int result, const struct err *e)
{
	struct answer *a = arg;

	a->done = true;
	a->result = result;
	a->order = reports++;
	snprintf(a->msg, sizeof(a->msg), "%s", result < 0 ? err_msg(e) : "");
	/* Steal the arrays: the call-back's are borrowed, so copy them, with references. */
	a->res = *res;
	blob_ref(a->res.payload);
#define KEEP(arr, n) do { \
	__typeof__(a->res.arr) copy = a->res.n ? malloc(a->res.n * sizeof(*copy)) : NULL; \
	if (a->res.n) \
		memcpy(copy, a->res.arr, a->res.n * sizeof(*copy)); \
	a->res.arr = copy; } while (0)
	KEEP(events, n_events);
	KEEP(loaded, n_loaded);
	KEEP(attempts, n_attempts);
	KEEP(records, n_records);
	KEEP(outbox, n_outbox);
	KEEP(messages, n_messages);
	KEEP(queues, n_queues);
	KEEP(repeats, n_repeats);
	for (size_t i = 0; i < a->res.n_loaded; i++) {
		blob_ref(a->res.loaded[i].payload);
		a->res.loaded[i].fates = xstrdup(a->res.loaded[i].fates);
	}
	for (size_t i = 0; i < a->res.n_attempts; i++)
		blob_ref(a->res.attempts[i].fate);
	for (size_t i = 0; i < a->res.n_records; i++)
		blob_ref(a->res.records[i].body);
	for (size_t i = 0; i < a->res.n_outbox; i++) {
		blob_ref(a->res.outbox[i].body);
		blob_ref(a->res.outbox[i].attributes);
	}
	for (size_t i = 0; i < a->res.n_messages; i++) {
		blob_ref(a->res.messages[i].body);
		blob_ref(a->res.messages[i].attributes);
	}
}

static void ask(struct answer *a, struct store_query q)
{
	store_result_done(&a->res);
	*a = (struct answer){};
	q.arg = a;
	q.done = answer_done;
	the_store->ops->query(the_store, &q);
	CHECK(!a->done);	/* never from within query() */
}

static void get(struct answer *a, struct store_query q)
{
	ask(a, q);
	while (!a->done)
		turn();
	if (a->result < 0)
		FAIL("query %d: %s", (int)q.kind, a->msg);
}

static void get_event(struct answer *a, int64_t seq)
{
	struct store_query q = { .kind = STORE_Q_EVENT };

	uuid_of(seq, q.request_id);
	get(a, q);
}

static struct store_counts counts(void)
{
	struct answer a = {};

	get(&a, (struct store_query){ .kind = STORE_Q_COUNTS });
	return a.res.counts;
}

static struct store_query receive_q(const char *queue, int limit, int64_t now_ms, int64_t visibility_ms, uint64_t random)
{
	struct store_query q = { .kind = STORE_Q_RECEIVE, .limit = limit, .now_ms = now_ms, .visibility_ms = visibility_ms,
				 .random = random };

	snprintf(q.queue, sizeof(q.queue), "%s", queue);
	return q;
}

static int64_t delete_message(const char *queue, const char *receipt)
{
	struct store_query q = { .kind = STORE_Q_DELETE };
	struct answer a = {};

	snprintf(q.queue, sizeof(q.queue), "%s", queue);
	snprintf(q.receipt, sizeof(q.receipt), "%s", receipt);
	get(&a, q);
	return a.res.affected;
}

static bool blob_is(const struct blob *b, const char *want)
{
	return b && b->len == strlen(want) && memcmp(b->data, want, b->len) == 0;
}

/* want: "SEQ SEQ …" in the order of their ends; positions count up, without holes unless something is filtered. */
static void check_tail(const char *function, enum inv_condition condition, int64_t after, int limit, const char *want,
		       int64_t want_last)
{
	struct store_query q = { .kind = STORE_Q_TAIL, .condition = condition, .after_pos = after, .limit = limit };
	bool all = !function[0] && !condition;
	struct answer a = {};
	struct buf b = {};

	snprintf(q.function, sizeof(q.function), "%s", function);
	get(&a, q);
	for (size_t i = 0; i < a.res.n_records; i++) {
		buf_addf(&b, "%s%" PRId64, i ? " " : "", a.res.records[i].seq);
		CHECK(blob_is(a.res.records[i].body, "{\"body\":1}"));
		CHECK(a.res.records[i].pos > after && a.res.records[i].pos <= want_last);
		if (all)
			CHECK_INT(a.res.records[i].pos, after + 1 + (int64_t)i);
	}
	CHECK_STR(buf_str(&b), want);
	CHECK_INT(a.res.last_pos, want_last);
	buf_done(&b);
	store_result_done(&a.res);
}

static struct store_query peek_q(const char *queue, int limit)
{
	struct store_query q = { .kind = STORE_Q_PEEK, .limit = limit };

	snprintf(q.queue, sizeof(q.queue), "%s", queue);
	return q;
}

/* want: "N:RECEIVE_COUNT:VISIBLE_AT …", oldest first. */
static void check_peek(const char *queue, int limit, const char *want)
{
	struct answer a = {};
	struct buf b = {};

	get(&a, peek_q(queue, limit));
	for (size_t i = 0; i < a.res.n_messages; i++) {
		const struct store_op_message *m = &a.res.messages[i];
		unsigned int n = 0;

		CHECK(sscanf(m->id, "%8x", &n) == 1);
		buf_addf(&b, "%s%u:%d:%" PRId64, i ? " " : "", n, m->receive_count, m->visible_at_ms);
		CHECK_STR(m->queue, queue);
		CHECK_STR(m->receipt, "");	/* its holder's alone */
		CHECK_INT(m->sent_at_ms, 100 + (int)n);
	}
	CHECK_STR(buf_str(&b), want);
	buf_done(&b);
	store_result_done(&a.res);
}

static int64_t purge_some(const char *queue, bool *ret_more)
{
	struct store_query q = { .kind = STORE_Q_PURGE, .now_ms = 1000 };
	struct answer a = {};

	snprintf(q.queue, sizeof(q.queue), "%s", queue);
	get(&a, q);
	*ret_more = a.res.more;
	return a.res.affected;
}

static int64_t purge(const char *queue)
{
	bool more = true;
	int64_t n = purge_some(queue, &more);

	CHECK(!more);
	return n;
}

/* ---- loads ------------------------------------------------------------------------------------------------- */

/* What the store tells at a start, in words. */
struct loaded {
	struct inv_row *rows;	/* of the RUNNING ones */
	size_t n;
	struct buf payloads;	/* one after the other */
	struct buf fates;	/* [FATES] one after the other */
	int64_t last_started_at_ms;
	struct buf rest;	/* all calls: "anchor …; version …; queued FUNCTION N; waiting N; routing N; owed TARGET N; " */
	int64_t next_seq;
	size_t fail_at;		/* the n-th call is refused with -ECANCELED */
	size_t calls;
};

static int on_call(struct loaded *l)
{
	return ++l->calls == l->fail_at ? -ECANCELED : 0;
}

static int on_anchor(void *arg, const struct store_anchor *a)
{
	struct loaded *l = arg;

	buf_addf(&l->rest, "anchor %s %" PRId64 " %" PRId64 "; ", a->boot_id, a->boot_ms, a->steady_ms);
	return on_call(l);
}

static int on_version(void *arg, const struct store_op_version *v)
{
	struct loaded *l = arg;

	buf_addf(&l->rest, "version %s:%d at %" PRId64 " \"%s\" %.*s; ", v->function, v->version, v->at_ms,
		 v->description ? v->description : "(none)", (int)v->definition->len, v->definition->data);
	return on_call(l);
}

static int on_alias(void *arg, const struct store_op_alias *a)
{
	struct loaded *l = arg;

	buf_addf(&l->rest, "alias %s:%s %.*s; ", a->function, a->name, (int)a->body->len, a->body->data);
	return on_call(l);
}

static int on_running(void *arg, const struct store_event *ev)
{
	struct loaded *l = arg;

	*STORE_ROW_ADD(l->rows, l->n) = ev->row;
	if (ev->payload)
		buf_add(&l->payloads, ev->payload->data, ev->payload->len);
	else
		buf_adds(&l->payloads, "(none)");
	buf_addf(&l->fates, "[%s]", ev->fates);
	l->last_started_at_ms = ev->last_started_at_ms;
	buf_addf(&l->rest, "running %" PRId64 "; ", ev->row.seq);
	return on_call(l);
}

static int on_queued(void *arg, const char *function, int64_t n)
{
	struct loaded *l = arg;

	buf_addf(&l->rest, "queued %s %" PRId64 "; ", function, n);
	return on_call(l);
}

static int on_waiting(void *arg, int64_t n)
{
	struct loaded *l = arg;

	buf_addf(&l->rest, "waiting %" PRId64 "; ", n);
	return on_call(l);
}

static int on_routing(void *arg, int64_t n)
{
	struct loaded *l = arg;

	buf_addf(&l->rest, "routing %" PRId64 "; ", n);
	return on_call(l);
}

static int on_owed(void *arg, const char *target, int64_t n)
{
	struct loaded *l = arg;

	buf_addf(&l->rest, "owed %s %" PRId64 "; ", target, n);
	return on_call(l);
}

static int load(struct loaded *l, struct err *e)
{
	struct store_loader loader = { .arg = l, .anchor = on_anchor, .version = on_version, .alias = on_alias,
				       .running = on_running, .queued = on_queued, .waiting = on_waiting,
				       .routing = on_routing, .outbox = on_owed };

	return the_store->ops->load(the_store, &loader, &l->next_seq, e);
}

static void loaded_done(struct loaded *l)
{
	free(l->rows);
	buf_done(&l->payloads);
	buf_done(&l->fates);
	buf_done(&l->rest);
	*l = (struct loaded){};
}

static void must_load(struct loaded *l)
{
	struct err e = {};

	if (load(l, &e) < 0)
		FAIL("load: %s", err_msg(&e));
}

/* ---- cases: events ----------------------------------------------------------------------------------------- */

static void case_is_empty_at_first(void)
{
	struct loaded l = {};
	struct answer a = {};
	struct store_counts c;

	must_load(&l);
	CHECK_STR(buf_str(&l.rest), "waiting 0; routing 0; ");
	CHECK_INT(l.next_seq, 1);
	loaded_done(&l);
	c = counts();
	CHECK_INT(c.events[INV_QUEUED] + c.attempts + c.records + c.outbox + c.messages, 0);
	get(&a, (struct store_query){ .kind = STORE_Q_EVENTS, .state = -1, .limit = 10 });
	CHECK_INT(a.res.n_events, 0);
	get_event(&a, 1);
	CHECK_INT(a.res.n_events, 0);
	get(&a, (struct store_query){ .kind = STORE_Q_QUEUES });
	CHECK_INT(a.res.n_queues, 0);
	get(&a, receive_q("nowhere", 10, 0, 0, 1));
	CHECK_INT(a.res.n_messages, 0);
	CHECK_INT(delete_message("nowhere", "no-receipt"), 0);
	check_peek("nowhere", 10, "");
	CHECK_INT(purge("nowhere"), 0);
	check_tail("", COND_NONE, 0, 10, "", 0);
	check_tail("", COND_NONE, -1, 10, "", 0);
	CHECK_INT(the_store->ops->version, PORT_STORE_VERSION);
}

static void case_an_empty_batch_is_reported(void)
{
	struct sent s = {};

	CHECK_INT(apply(&s), 0);
}

static void case_event_comes_back_whole(void)
{
	struct sent s = {};
	struct answer a = {};
	struct inv_row row = row_of(7), *got;

	row.attempts = 1;
	row.starts = 3;
	row.backoffs = 2;
	row.due_at_ms = 1700000060000;
	row.state = INV_WAITING;
	row.epoch = UINT32_MAX;		/* the fence is 32 bits, all of them */
	row.verdicts = 0xff01020304050607;	/* and the verdicts 64 */
	row.version = LIM_VERSION_MAX;
	row.hops = 16;
	uuid_of(3, row.origin);
	row.timeout_ms = 900000;
	row.memory_mb = 10240;
	row.lease_until_ms = 1700000099999;
	row.death = 0x7fffff;
	row.deaths = 3;
	memset(row.function, 'f', LIM_FUNCTION_NAME_MAX);
	memset(row.qualifier, 'q', LIM_QUALIFIER_MAX);
	event_put(&s, 7, text("{\"a\":1}"));
	s.b.ops[0].event.row = row;
	must(&s);
	reopen();
	get_event(&a, 7);
	CHECK_INT(a.res.n_events, 1);
	got = &a.res.events[0];
	CHECK_INT(got->seq, 7);
	CHECK_STR(got->request_id, row.request_id);
	CHECK_STR(got->function, row.function);
	CHECK_STR(got->qualifier, row.qualifier);
	CHECK_INT(got->state, INV_WAITING);
	CHECK_INT(got->accepted_at_ms, row.accepted_at_ms);
	CHECK_INT(got->due_at_ms, row.due_at_ms);
	CHECK_INT(got->attempts, 1);
	CHECK_INT(got->starts, 3);
	CHECK_INT(got->backoffs, 2);
	CHECK_INT(got->epoch, UINT32_MAX);
	CHECK_INT(got->condition, COND_NONE);
	CHECK(got->verdicts == 0xff01020304050607);
	CHECK_INT(got->version, LIM_VERSION_MAX);
	CHECK_INT(got->hops, 16);
	CHECK_STR(got->origin, row.origin);
	CHECK_INT(got->timeout_ms, 900000);
	CHECK_INT(got->memory_mb, 10240);
	CHECK_INT(got->lease_until_ms, 1700000099999);
	CHECK_INT(got->death, 0x7fffff);
	CHECK_INT(got->deaths, 3);
	CHECK(blob_is(a.res.payload, "{\"a\":1}"));
	CHECK_INT(a.res.n_attempts + a.res.n_records + a.res.n_outbox, 0);
	store_result_done(&a.res);
}

static void case_event_must_be_new(void)
{
	struct sent s = {};

	put_events(1, 2);
	event_put(&s, 1, NULL);
	uuid_of(99, s.b.ops[0].event.row.request_id);
	CHECK_INT(apply(&s), -EEXIST);
	CHECK(strstr(s.msg, "event 1 "));
	s = (struct sent){};
	event_put(&s, 3, NULL);
	uuid_of(2, s.b.ops[0].event.row.request_id);
	CHECK_INT(apply(&s), -EEXIST);
	CHECK_INT(counts().events[INV_QUEUED], 2);
}

static void case_event_set_is_fenced(void)
{
	struct sent s = {};
	struct answer a = {};
	struct inv_row row = row_of(1);

	put_events(1, 1);
	row.epoch = 1;
	row.state = INV_RUNNING;
	row.attempts = row.starts = 1;
	event_set(&s, row, 0);
	must(&s);
	/* Somebody who still believes in epoch 0. */
	s = (struct sent){};
	row.state = INV_DONE;
	event_set(&s, row, 0);
	CHECK_INT(apply(&s), -ESTALE);
	CHECK(strstr(s.msg, "event 1 has epoch 1, not 0"));
	s = (struct sent){};
	event_set(&s, row, 2);
	CHECK_INT(apply(&s), -ESTALE);
	get_event(&a, 1);
	CHECK_INT(a.res.events[0].state, INV_RUNNING);
	CHECK_INT(a.res.events[0].epoch, 1);
	CHECK_INT(a.res.events[0].starts, 1);
	store_result_done(&a.res);
	s = (struct sent){};
	event_set(&s, row_of(2), 0);
	CHECK_INT(apply(&s), -ENOENT);
}

static void case_event_set_keeps_what_came_with_it(void)
{
	struct sent s = {};
	struct answer a = {};
	struct inv_row row = row_of(1);

	put_events(1, 1);
	row.state = INV_ROUTING;
	row.condition = COND_MAX - 1;
	row.verdicts = UINT64_MAX;
	row.lease_until_ms = 77;
	row.death = 5;
	row.deaths = 2;
	row.version = 9;	/* this and what follows came with the acceptance, and stays as it was then */
	row.hops = 9;
	uuid_of(9, row.origin);
	row.timeout_ms = row.memory_mb = 9;
	row.accepted_at_ms = 9;
	row.backoffs = 4;
	row.due_at_ms = INT64_MAX;
	row.attempts = 2;
	row.starts = 5;
	event_set(&s, row, 0);
	must(&s);
	reopen();
	get_event(&a, 1);
	row = a.res.events[0];
	CHECK_INT(row.state, INV_ROUTING);
	CHECK_INT(row.condition, COND_MAX - 1);
	CHECK(row.verdicts == UINT64_MAX);
	CHECK_INT(row.lease_until_ms, 77);
	CHECK_INT(row.death, 5);
	CHECK_INT(row.deaths, 2);
	CHECK_INT(row.version + row.timeout_ms + row.memory_mb, 0);
	CHECK_INT(row.hops, 1);
	CHECK_STR(row.origin, "");
	CHECK_INT(row.backoffs, 4);
	CHECK_INT(row.due_at_ms, INT64_MAX);
	CHECK_INT(row.attempts, 2);
	CHECK_INT(row.starts, 5);
	CHECK_INT(row.accepted_at_ms, row_of(1).accepted_at_ms);
	CHECK_STR(row.qualifier, "$LATEST");
	CHECK(blob_is(a.res.payload, "{}"));
	store_result_done(&a.res);
}

static void case_payload_may_be_anything(void)
{
	static const unsigned char bytes[] = { 0, 1, 0xff, 0xfe, '"', 0, '\'', ';', 0x80, 0 };
	struct sent s = {};
	struct answer a = {};

	event_put(&s, 1, blob_new(bytes, sizeof(bytes)));
	event_put(&s, 2, blob_new(NULL, 0));
	event_put(&s, 3, NULL);
	must(&s);
	reopen();
	get_event(&a, 1);
	CHECK(a.res.payload && a.res.payload->len == sizeof(bytes));
	CHECK(memcmp(a.res.payload->data, bytes, sizeof(bytes)) == 0);
	get_event(&a, 2);
	CHECK(a.res.payload && a.res.payload->len == 0);	/* empty is not none */
	get_event(&a, 3);
	CHECK_INT(a.res.n_events, 1);
	CHECK(!a.res.payload);
	store_result_done(&a.res);
}

static void case_payload_of_six_megabytes(void)
{
	const size_t len = 6291456;
	struct blob *big = blob_new(NULL, len);
	struct sent s = {};
	struct answer a = {};
	struct loaded l = {};

	for (size_t i = 0; i < len; i++)
		big->data[i] = (char)(i * 2654435761u >> 13);
	for (int64_t seq = 1; seq <= 3; seq++)
		event_put(&s, seq, blob_ref(big));
	must(&s);
	s = (struct sent){};
	for (int64_t seq = 1; seq <= 3; seq++)
		event_state(&s, seq, INV_RUNNING, COND_NONE);
	must(&s);
	reopen();
	get_event(&a, 2);
	CHECK(a.res.payload && a.res.payload->len == len);
	CHECK(memcmp(a.res.payload->data, big->data, len) == 0);
	must_load(&l);
	CHECK_INT(l.n, 3);
	CHECK_INT(l.payloads.len, 3 * len);
	CHECK(memcmp(l.payloads.data + 2 * len, big->data, len) == 0);
	loaded_done(&l);
	store_result_done(&a.res);
	blob_unref(big);
}

/* ---- cases: batches ---------------------------------------------------------------------------------------- */

static void case_batch_is_all_or_nothing(void)
{
	struct sent s = {};
	struct answer a = {}, b = {};
	struct loaded l = {};
	struct store_counts c;

	put_events(1, 2);
	outbox_put(&s, 2, ROLE_ON_SUCCESS, 10);
	must(&s);
	s = (struct sent){};
	message_put(&s, "kept", 1, "m");
	message_put(&s, "kept", 4, "m");
	version_put(&s, "resize", 1, NULL, "{}");
	alias_put(&s, "resize", "live", "{\"old\":1}");
	anchor_put(&s, "first-boot", 1, 2);
	must(&s);
	get(&b, receive_q("kept", 1, 1000, 500, 1));

	/* Every kind of operation, then one that fails. */
	s = (struct sent){};
	event_put(&s, 3, text("3"));
	event_state(&s, 1, INV_RUNNING, COND_NONE);
	attempt_put(&s, 1, 1, 1000);
	attempt_end(&s, 1, 1, OUTCOME_SUCCESS, "{}");
	attempt_put(&s, 3, 1, 1000);
	record_put(&s, 1, COND_SUCCESS, "{}");
	outbox_put(&s, 1, ROLE_ON_FAILURE, 1);
	outbox_op(&s, STORE_OP_OUTBOX_SET, 2, ROLE_ON_SUCCESS)->tries = 5;
	outbox_op(&s, STORE_OP_OUTBOX_DEL, 2, ROLE_ON_SUCCESS);
	message_put(&s, "kept", 2, "m");
	message_put(&s, "new", 3, "m");
	message_del(&s, "kept", b.res.messages[0].receipt);
	version_put(&s, "resize", 2, NULL, "{}");
	version_put(&s, "resize", 3, "third", "{}");
	alias_put(&s, "resize", "live", "{\"new\":1}");
	alias_put(&s, "resize", "live", NULL);
	alias_put(&s, "resize", "next", "{}");
	alias_put(&s, "resize", "live", "{\"newer\":1}");
	anchor_put(&s, "second-boot", 3, 4);
	event_state(&s, 2, INV_ROUTING, COND_SUCCESS);
	event_done(&s, 2);
	event_put(&s, 2, NULL);
	CHECK_INT(apply(&s), -EEXIST);
	CHECK_INT(s.failed, 21);

	for (int again = 0; again < 2; again++) {
		c = counts();
		CHECK_INT(c.events[INV_QUEUED], 2);
		CHECK_INT(c.events[INV_RUNNING], 0);
		CHECK_INT(c.attempts, 0);
		CHECK_INT(c.records, 0);
		CHECK_INT(c.outbox, 1);
		CHECK_INT(c.messages, 2);
		must_load(&l);
		CHECK_STR(buf_str(&l.rest), "anchor first-boot 1 2; version resize:1 at 101 \"(none)\" {}; "
			  "alias resize:live {\"old\":1}; queued resize 2; waiting 0; routing 0; owed file:/var/log/1 1; ");
		CHECK_INT(l.next_seq, 3);
		loaded_done(&l);
		check_peek("kept", 1000, "1:1:1500 4:0:0");	/* in its old place, and leased as before */
		check_tail("", COND_NONE, 0, 1000, "", 0);
		get_event(&a, 2);
		CHECK_INT(a.res.n_outbox, 1);
		CHECK_INT(a.res.outbox[0].tries, 0);
		CHECK(blob_is(a.res.outbox[0].body, "{\"version\":\"1.0\"}"));
		get_event(&a, 3);
		CHECK_INT(a.res.n_events, 0);
		get(&a, (struct store_query){ .kind = STORE_Q_QUEUES });
		CHECK_INT(a.res.n_queues, 1);
		CHECK_STR(a.res.queues[0].name, "kept");
		reopen();
	}
	/* And nothing of it stands in the way of a second try. */
	s = (struct sent){};
	event_put(&s, 3, text("3"));
	attempt_put(&s, 3, 1, 1000);
	outbox_put(&s, 1, ROLE_ON_FAILURE, 1);
	message_put(&s, "new", 3, "m");
	message_del(&s, "kept", b.res.messages[0].receipt);
	record_put(&s, 1, COND_SUCCESS, "{\"body\":1}");
	must(&s);
	check_peek("kept", 1000, "4:0:0");
	check_tail("", COND_NONE, 0, 1000, "1", 1);
	store_result_done(&a.res);
	store_result_done(&b.res);
}

/* Each batch on its own, though they are committed together. */
static void case_a_failing_batch_spoils_no_other(void)
{
	enum { N = 300 };
	struct sent *s = xcalloc(N, sizeof(*s));
	struct answer a = {};
	struct store_counts c;

	put_events(1, 1);
	reports = 0;
	for (int i = 0; i < N; i++) {
		event_put(&s[i], 1000 + i, text("{}"));
		attempt_put(&s[i], 1000 + i, 1, 1);
		if (i % 7 == 3)
			event_put(&s[i], 1, NULL);			/* -EEXIST */
		else if (i % 7 == 5)
			event_set(&s[i], row_of(1), 77);		/* -ESTALE */
		give(&s[i]);
	}
	for (int i = 0; i < N; i++) {
		CHECK_INT(await(&s[i]), i % 7 == 3 ? -EEXIST : i % 7 == 5 ? -ESTALE : 0);
		CHECK_INT(s[i].order, i);
		CHECK(!s[i].result == !s[i].msg[0]);
		CHECK(s[i].failed == (s[i].result < 0 ? 2 : SIZE_MAX));
		store_batch_done(&s[i].b);
	}
	reopen();
	c = counts();
	for (int i = 0; i < N; i++) {
		bool ok = i % 7 != 3 && i % 7 != 5;

		get_event(&a, 1000 + i);
		CHECK_INT(a.res.n_events, ok);
		CHECK_INT(a.res.n_attempts, ok);
		c.attempts -= ok;
	}
	CHECK_INT(c.attempts, 0);
	store_result_done(&a.res);
	free(s);
}

static void case_operations_of_a_batch_see_each_other(void)
{
	struct sent s = {};
	struct answer a = {};
	struct inv_row row = row_of(1);

	event_put(&s, 1, text("{}"));
	row.epoch = 1;
	row.state = INV_RUNNING;
	event_set(&s, row, 0);
	attempt_put(&s, 1, 1, 1000);
	attempt_end(&s, 1, 1, OUTCOME_CRASH, "{\"n\":1}");
	row.epoch = 2;
	row.state = INV_DONE;
	row.condition = COND_RETRIES_EXHAUSTED;
	event_set(&s, row, 1);
	record_put(&s, 1, COND_RETRIES_EXHAUSTED, "{}");
	outbox_put(&s, 1, ROLE_ON_FAILURE, 1);
	outbox_op(&s, STORE_OP_OUTBOX_DEL, 1, ROLE_ON_FAILURE);
	must(&s);
	get_event(&a, 1);
	CHECK_INT(a.res.events[0].state, INV_DONE);
	CHECK_INT(a.res.events[0].epoch, 2);
	CHECK_INT(a.res.n_attempts, 1);
	CHECK_INT(a.res.n_records, 1);
	CHECK_INT(a.res.n_outbox, 0);
	store_result_done(&a.res);
}

/* Given one after the other without waiting: applied and reported in that order. */
static void case_batches_keep_their_order(void)
{
	enum { N = 500 };
	struct sent *s = xcalloc(N, sizeof(*s));
	struct answer a = {};

	put_events(1, 1);
	reports = 0;
	for (int i = 0; i < N; i++) {
		struct inv_row row = row_of(1);

		row.epoch = (uint32_t)i + 1;
		event_set(&s[i], row, (uint32_t)i);	/* each only works right after the one before */
		give(&s[i]);
	}
	for (int i = 0; i < N; i++) {
		CHECK_INT(await(&s[i]), 0);
		CHECK_INT(s[i].order, i);
		store_batch_done(&s[i].b);
	}
	get_event(&a, 1);
	CHECK_INT(a.res.events[0].epoch, N);
	store_result_done(&a.res);
	free(s);
}

static struct sent chain[3];

static void chain_done(struct store_batch *b, int result, const struct err *e)
{
	struct sent *s = b->arg;

	sent_done(b, result, e);
	store_batch_clear(b);
	if (s != &chain[2]) {
		event_put(s + 1, s - chain + 2, NULL);
		(s + 1)->b.arg = s + 1;
		(s + 1)->b.done = chain_done;
		the_store->ops->apply(the_store, &(s + 1)->b);
	}
}

static void case_done_may_give_the_next(void)
{
	memset(chain, 0, sizeof(chain));
	event_put(&chain[0], 1, NULL);
	chain[0].b.arg = &chain[0];
	chain[0].b.done = chain_done;
	the_store->ops->apply(the_store, &chain[0].b);
	CHECK_INT(await(&chain[2]), 0);
	for (int i = 0; i < 3; i++)
		store_batch_done(&chain[i].b);
	CHECK_INT(counts().events[INV_QUEUED], 3);
}

static void case_close_reports_everything_first(void)
{
	struct sent *s = xcalloc(50, sizeof(*s));
	struct answer a = {};

	memset(chain, 0, sizeof(chain));
	for (int i = 0; i < 50; i++) {
		event_put(&s[i], 100 + i, NULL);
		give(&s[i]);
	}
	ask(&a, (struct store_query){ .kind = STORE_Q_COUNTS });
	/* A report that gives another batch during the close: that one counts too. */
	event_put(&chain[0], 1, NULL);
	chain[0].b.arg = &chain[0];
	chain[0].b.done = chain_done;
	the_store->ops->apply(the_store, &chain[0].b);
	the_store->ops->close(the_store);
	the_store = NULL;
	for (int i = 0; i < 50; i++) {
		CHECK(s[i].done && s[i].result == 0);
		store_batch_done(&s[i].b);
	}
	CHECK(a.done && a.result == 0);
	for (int i = 0; i < 3; i++) {
		CHECK(chain[i].done && chain[i].result == 0);
		store_batch_done(&chain[i].b);
	}
	if (on_disk) {
		open_disk();
		CHECK_INT(counts().events[INV_QUEUED], 53);
	}
	store_result_done(&a.res);
	free(s);
}

/* What was reported, a query sees. */
static void case_queries_see_what_was_reported(void)
{
	struct answer a = {};

	for (int64_t seq = 1; seq <= 200; seq++) {
		put_events(seq, seq);
		get(&a, (struct store_query){ .kind = STORE_Q_EVENTS, .state = -1, .limit = 1 });
		CHECK_INT(a.res.n_events, 1);
		CHECK_INT(a.res.events[0].seq, seq);
	}
	store_result_done(&a.res);
}

/* ---- cases: attempts, records, outbox ---------------------------------------------------------------------- */

static void case_attempts(void)
{
	struct sent s = {};
	struct answer a = {};

	put_events(1, 1);
	attempt_put(&s, 1, 1, 1000);
	must(&s);
	get_event(&a, 1);
	CHECK_INT(a.res.n_attempts, 1);
	CHECK_INT(a.res.attempts[0].outcome, OUTCOME_INVALID);
	CHECK_INT(a.res.attempts[0].ended_at_ms, 0);
	CHECK(!a.res.attempts[0].fate);
	s = (struct sent){};
	attempt_put(&s, 1, 1, 2000);
	CHECK_INT(apply(&s), -EEXIST);
	s = (struct sent){};
	attempt_end(&s, 1, 2, OUTCOME_CRASH, "{}");
	CHECK_INT(apply(&s), -ENOENT);
	s = (struct sent){};
	attempt_put(&s, 9, 1, 2000);
	CHECK_INT(apply(&s), -ENOENT);
	s = (struct sent){};
	attempt_end(&s, 1, 1, OUTCOME_TIMEOUT, "{\"why\":\"late\"}");
	attempt_put(&s, 1, 2, 3000);
	must(&s);
	reopen();
	get_event(&a, 1);
	CHECK_INT(a.res.n_attempts, 2);
	CHECK_INT(a.res.attempts[0].seq, 1);
	CHECK_INT(a.res.attempts[0].start, 1);
	CHECK_INT(a.res.attempts[0].started_at_ms, 1000);
	CHECK_INT(a.res.attempts[0].ended_at_ms, 5001);
	CHECK_INT(a.res.attempts[0].outcome, OUTCOME_TIMEOUT);
	CHECK(blob_is(a.res.attempts[0].fate, "{\"why\":\"late\"}"));
	CHECK_INT(a.res.attempts[1].start, 2);
	CHECK_INT(a.res.attempts[1].outcome, OUTCOME_INVALID);
	CHECK_INT(counts().attempts, 2);
	store_result_done(&a.res);
}

static void case_one_record_per_event(void)
{
	struct sent s = {};
	struct answer a = {};
	struct store_query q = { .kind = STORE_Q_RECORD };

	put_events(1, 2);
	record_put(&s, 1, COND_RETRIES_EXHAUSTED, "{\"r\":1}");
	must(&s);
	s = (struct sent){};
	record_put(&s, 1, COND_SUCCESS, "{\"r\":2}");
	CHECK_INT(apply(&s), -EEXIST);
	s = (struct sent){};
	record_put(&s, 3, COND_SUCCESS, "{\"r\":3}");
	CHECK_INT(apply(&s), -ENOENT);
	reopen();
	uuid_of(1, q.request_id);
	get(&a, q);
	CHECK_INT(a.res.n_records, 1);
	CHECK_INT(a.res.records[0].seq, 1);
	CHECK_STR(a.res.records[0].request_id, q.request_id);
	CHECK_STR(a.res.records[0].function, "resize");
	CHECK_INT(a.res.records[0].condition, COND_RETRIES_EXHAUSTED);
	CHECK_INT(a.res.records[0].at_ms, 9001);
	CHECK_INT(a.res.records[0].pos, 1);
	CHECK(blob_is(a.res.records[0].body, "{\"r\":1}"));
	get_event(&a, 1);
	CHECK_INT(a.res.n_records, 1);
	CHECK_INT(a.res.records[0].pos, 1);
	uuid_of(2, q.request_id);
	get(&a, q);
	CHECK_INT(a.res.n_records, 0);
	store_result_done(&a.res);
}

static void case_outbox_row_comes_back_whole(void)
{
	struct sent s = {};
	struct answer a = {};
	struct inv_row row = row_of(1);
	struct store_op_outbox *o;

	put_events(1, 1);
	outbox_put(&s, 1, ROLE_ON_FAILURE, 500);
	s.b.ops[0].outbox.created_at_ms = 1700000000123;
	outbox_put(&s, 1, ROLE_DEAD_LETTER, 400);
	row.starts = 3;
	event_set(&s, row, 0);
	must(&s);
	s = (struct sent){};
	o = outbox_op(&s, STORE_OP_OUTBOX_SET, 1, ROLE_ON_FAILURE);
	o->tries = 3;
	o->created_at_ms = 1700000000456;
	o->due_at_ms = INT64_MAX;
	snprintf(o->last_error, sizeof(o->last_error), "connection refused");
	must(&s);
	reopen();
	get(&a, (struct store_query){ .kind = STORE_Q_OUTBOX, .state = -1, .limit = 10 });
	CHECK_INT(a.res.n_outbox, 2);
	CHECK_INT(a.res.outbox[1].role, ROLE_DEAD_LETTER);
	CHECK(blob_is(a.res.outbox[1].attributes, "{\"ErrorCode\":{}}"));
	o = &a.res.outbox[0];
	CHECK_INT(o->seq, 1);
	CHECK_INT(o->role, ROLE_ON_FAILURE);
	CHECK_STR(o->target, "file:/var/log/2");
	CHECK_STR(o->key, "00000001-0000-4000-8000-000000000000:OnFailure");
	CHECK_INT(o->tries, 3);
	CHECK_INT(o->created_at_ms, 1700000000456);
	CHECK_INT(o->due_at_ms, INT64_MAX);
	CHECK_STR(o->last_error, "connection refused");
	CHECK(blob_is(o->body, "{\"version\":\"1.0\"}"));
	CHECK(!o->attributes);
	CHECK_STR(o->function, "resize");
	CHECK_STR(o->request_id, row.request_id);
	CHECK_INT(o->attempt, 3);
	get_event(&a, 1);
	CHECK_INT(a.res.n_outbox, 2);
	CHECK_INT(a.res.outbox[0].attempt, 3);
	CHECK_INT(counts().outbox, 1);
	CHECK_INT(counts().outbox_failed, 1);
	store_result_done(&a.res);
}

/* I7: at most one row per event and role, ever: also when the first is long delivered. */
static void case_outbox_is_unique_for_ever(void)
{
	struct sent s = {};

	put_events(1, 2);
	outbox_put(&s, 1, ROLE_ON_SUCCESS, 1);
	must(&s);
	s = (struct sent){};
	outbox_put(&s, 1, ROLE_ON_SUCCESS, 1);
	CHECK_INT(apply(&s), -EEXIST);
	s = (struct sent){};
	outbox_op(&s, STORE_OP_OUTBOX_DEL, 1, ROLE_ON_SUCCESS);
	must(&s);
	for (int again = 0; again < 2; again++) {
		CHECK_INT(counts().outbox, 0);
		s = (struct sent){};
		outbox_put(&s, 1, ROLE_ON_SUCCESS, 1);
		CHECK_INT(apply(&s), -EEXIST);
		s = (struct sent){};
		outbox_op(&s, STORE_OP_OUTBOX_DEL, 1, ROLE_ON_SUCCESS);
		CHECK_INT(apply(&s), -ENOENT);
		s = (struct sent){};
		outbox_op(&s, STORE_OP_OUTBOX_SET, 1, ROLE_ON_SUCCESS);
		CHECK_INT(apply(&s), -ENOENT);
		reopen();
	}
	s = (struct sent){};
	outbox_op(&s, STORE_OP_OUTBOX_DEL, 2, ROLE_ON_SUCCESS);
	CHECK_INT(apply(&s), -ENOENT);
	s = (struct sent){};
	outbox_put(&s, 5, ROLE_ON_SUCCESS, 1);
	CHECK_INT(apply(&s), -ENOENT);
	/* Other roles and other events are free. */
	s = (struct sent){};
	outbox_put(&s, 1, ROLE_ON_FAILURE, 1);
	outbox_put(&s, 1, ROLE_DEAD_LETTER, 1);
	outbox_put(&s, 2, ROLE_ON_SUCCESS, 1);
	must(&s);
	CHECK_INT(counts().outbox, 3);
}

/* ---- cases: load ------------------------------------------------------------------------------------------- */

static void case_load_gives_what_is_open(void)
{
	struct sent s = {};
	struct loaded l = {};
	struct err e = {};

	event_put(&s, 1, text("one"));
	event_put(&s, 2, text("two"));
	event_put(&s, 3, NULL);
	event_put(&s, 4, text("four"));
	event_put(&s, 7, NULL);
	for (int64_t seq = 9; seq <= 12; seq++)
		event_put(&s, seq, text("more"));
	attempt_put(&s, 2, 1, 1000);
	attempt_end(&s, 2, 1, OUTCOME_CRASH, "{\"n\":1}");
	attempt_put(&s, 2, 2, 2000);
	attempt_end(&s, 2, 2, OUTCOME_INTERRUPTED, NULL);
	attempt_put(&s, 2, 3, 3000);
	attempt_end(&s, 2, 3, OUTCOME_TIMEOUT, "{\"n\":3}");
	attempt_put(&s, 2, 4, 4000);
	event_state(&s, 1, INV_DONE, COND_SUCCESS);
	event_state(&s, 2, INV_RUNNING, COND_NONE);
	event_state(&s, 3, INV_WAITING, COND_NONE);
	event_state(&s, 4, INV_ROUTING, COND_RETRIES_EXHAUSTED);
	event_state(&s, 7, INV_RUNNING, COND_NONE);
	event_state(&s, 9, INV_DONE, COND_SUCCESS);
	outbox_put(&s, 4, ROLE_ON_FAILURE, 100);
	outbox_put(&s, 1, ROLE_ON_FAILURE, 100);
	outbox_put(&s, 4, ROLE_DEAD_LETTER, INT64_MAX);		/* failed: nobody owes it */
	outbox_put(&s, 1, ROLE_ON_SUCCESS, 70);
	outbox_put(&s, 9, ROLE_ON_SUCCESS, 70);
	outbox_op(&s, STORE_OP_OUTBOX_DEL, 9, ROLE_ON_SUCCESS);
	must(&s);
	for (int again = 0; again < 2; again++) {
		must_load(&l);
		CHECK_INT(l.n, 2);
		CHECK_INT(l.rows[0].seq, 2);
		CHECK_INT(l.rows[0].state, INV_RUNNING);
		CHECK_INT(l.rows[1].seq, 7);
		CHECK_STR(buf_str(&l.payloads), "two(none)");
		CHECK_STR(buf_str(&l.fates), "[{\"n\":1},{\"n\":3}][]");
		CHECK_INT(l.last_started_at_ms, 0);		/* of the last event */
		CHECK_INT(l.next_seq, 13);			/* finished numbers are used too */
		CHECK_STR(buf_str(&l.rest), "running 2; running 7; queued resize 2; queued third 1; waiting 1; routing 1; "
			  "owed file:/var/log/1 1; owed file:/var/log/2 2; ");
		loaded_done(&l);
		reopen();
	}
	for (size_t n = 1; n <= 8; n++) {
		l.fail_at = n;
		CHECK_INT(load(&l, &e), -ECANCELED);	/* the caller's own no ends it */
		CHECK_INT(l.calls, n);
		CHECK_INT(l.next_seq, 0);		/* untouched */
		loaded_done(&l);
	}
}

static void case_load_tells_the_last_start(void)
{
	struct sent s = {};
	struct loaded l = {};

	event_put(&s, 1, NULL);
	attempt_put(&s, 1, 2, 2000);
	attempt_put(&s, 1, 1, 1000);
	event_state(&s, 1, INV_RUNNING, COND_NONE);
	must(&s);
	must_load(&l);
	CHECK_INT(l.last_started_at_ms, 2000);
	loaded_done(&l);
}

static void case_ten_thousand_events(void)
{
	enum { N = 10000, BATCH = 100 };
	struct sent *s = xcalloc(N / BATCH, sizeof(*s));
	struct loaded l = {};
	struct answer a = {};
	int64_t seen = 0;

	for (int i = 0; i < N; i++)
		event_put(&s[i / BATCH], i + 1, text("{\"payload\":true}"));
	for (int i = 0; i < N / BATCH; i++)
		give(&s[i]);
	for (int i = 0; i < N / BATCH; i++) {
		CHECK_INT(await(&s[i]), 0);
		store_batch_done(&s[i].b);
	}
	memset(s, 0, sizeof(*s));
	for (int i = 0; i < N; i += 2)
		event_state(&s[0], i + 1, INV_DONE, COND_SUCCESS);
	must(&s[0]);
	reopen();
	must_load(&l);
	CHECK_INT(l.n, 0);
	CHECK_INT(l.next_seq, N + 1);
	CHECK_STR(buf_str(&l.rest), "queued resize 3334; queued third 1666; waiting 0; routing 0; ");
	/* Page through all of them. */
	for (int64_t before = 0;;) {
		get(&a, (struct store_query){ .kind = STORE_Q_EVENTS, .state = -1, .before_seq = before, .limit = 1000 });
		for (size_t i = 0; i < a.res.n_events; i++)
			CHECK_INT(a.res.events[i].seq, N - seen++);
		if (!a.res.n_events)
			break;
		before = a.res.events[a.res.n_events - 1].seq;
	}
	CHECK_INT(seen, N);
	CHECK_INT(counts().events[INV_DONE], N / 2);
	CHECK_INT(counts().events[INV_QUEUED], N / 2);
	loaded_done(&l);
	store_result_done(&a.res);
	free(s);
}

/* ---- cases: lists ------------------------------------------------------------------------------------------ */

static void check_seqs(const struct inv_row *rows, size_t n, const char *want)
{
	struct buf b = {};

	for (size_t i = 0; i < n; i++)
		buf_addf(&b, "%s%" PRId64, i ? " " : "", rows[i].seq);
	CHECK_STR(buf_str(&b), want);
	buf_done(&b);
}

static void list_events(const char *function, int state, int64_t before, int limit, const char *want)
{
	struct store_query q = { .kind = STORE_Q_EVENTS, .state = state, .before_seq = before, .limit = limit };
	struct answer a = {};

	snprintf(q.function, sizeof(q.function), "%s", function);
	get(&a, q);
	check_seqs(a.res.events, a.res.n_events, want);
	store_result_done(&a.res);
}

static void case_lists_of_events(void)
{
	struct sent s = {};

	put_events(1, 12);	/* every third is "third" */
	for (int64_t seq = 1; seq <= 6; seq++) {
		event_state(&s, seq, INV_DONE, COND_SUCCESS);
		record_put(&s, seq, COND_SUCCESS, "{}");
	}
	event_state(&s, 8, INV_RUNNING, COND_NONE);
	event_state(&s, 9, INV_RUNNING, COND_NONE);
	must(&s);
	list_events("", -1, 0, 1000, "12 11 10 9 8 7 6 5 4 3 2 1");
	list_events("", -1, 0, 3, "12 11 10");
	list_events("", -1, 10, 3, "9 8 7");
	list_events("", -1, 1, 3, "");
	list_events("third", -1, 0, 1000, "12 9 6 3");
	list_events("third", -1, 9, 1, "6");
	list_events("nobody", -1, 0, 1000, "");
	list_events("", INV_DONE, 0, 1000, "6 5 4 3 2 1");
	list_events("", INV_DONE, 5, 2, "4 3");
	list_events("", INV_QUEUED, 0, 1000, "12 11 10 7");
	list_events("", INV_QUEUED, 11, 1, "10");
	list_events("", INV_RUNNING, 0, 1000, "9 8");
	list_events("third", INV_QUEUED, 0, 1000, "12");
	list_events("third", INV_RUNNING, 0, 1000, "9");
	list_events("third", INV_DONE, 0, 1000, "6 3");
	list_events("third", INV_DONE, 6, 1000, "3");
	list_events("resize", INV_DONE, 0, 2, "5 4");
	list_events("", INV_WAITING, 0, 1000, "");
}

static void list_records(const char *function, enum inv_condition condition, int64_t before, int limit, const char *want)
{
	struct store_query q = { .kind = STORE_Q_RECORDS, .condition = condition, .before_seq = before, .limit = limit };
	struct answer a = {};
	struct inv_row rows[32];

	snprintf(q.function, sizeof(q.function), "%s", function);
	get(&a, q);
	CHECK(a.res.n_records <= ARRAY_SIZE(rows));
	for (size_t i = 0; i < a.res.n_records; i++) {
		rows[i].seq = a.res.records[i].seq;
		CHECK(blob_is(a.res.records[i].body, "{\"body\":1}"));
	}
	check_seqs(rows, a.res.n_records, want);
	store_result_done(&a.res);
}

static void case_lists_of_records(void)
{
	struct sent s = {};
	struct store_counts c;

	put_events(1, 12);
	for (int64_t seq = 1; seq <= 10; seq++)
		record_put(&s, seq, seq == 6 ? COND_AGE_EXCEEDED : seq > 7 ? COND_RETRIES_EXHAUSTED : COND_SUCCESS, "{\"body\":1}");
	must(&s);
	list_records("", COND_NONE, 0, 1000, "10 9 8 7 6 5 4 3 2 1");
	list_records("", COND_NONE, 8, 2, "7 6");
	list_records("third", COND_NONE, 0, 1000, "9 6 3");
	list_records("third", COND_NONE, 9, 1, "6");
	list_records("", COND_AGE_EXCEEDED, 0, 1000, "6");
	list_records("", COND_RETRIES_EXHAUSTED, 0, 2, "10 9");
	list_records("", COND_RETRIES_EXHAUSTED, 9, 2, "8");
	list_records("third", COND_SUCCESS, 0, 1000, "3");
	list_records("third", COND_ZERO_CONCURRENCY, 0, 1000, "");
	c = counts();
	CHECK_INT(c.records, 10);
	CHECK_INT(c.by_condition[COND_SUCCESS], 6);
	CHECK_INT(c.by_condition[COND_RETRIES_EXHAUSTED], 3);
	CHECK_INT(c.by_condition[COND_AGE_EXCEEDED], 1);
	CHECK_INT(c.by_condition[COND_ZERO_CONCURRENCY], 0);
}

/* In the order of the ends, which is not that of the acceptance, nor that of the clock. */
static void case_tail_of_records(void)
{
	static const int order[] = { 9, 3, 12, 1, 6, 2 };
	static const struct { int seq; bool fails; int result; } batches[] = {
		{ 4, false, 0 }, { 10, true, -EEXIST }, { 7, false, 0 }, { 3, false, -EEXIST }, { 5, false, 0 },
	};
	struct sent s = {}, t[ARRAY_SIZE(batches)] = {};

	put_events(1, 12);
	for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
		record_put(&s, order[i], order[i] == 6 ? COND_CANCELLED : order[i] < 3 ? COND_RETRIES_EXHAUSTED : COND_SUCCESS,
			   "{\"body\":1}");
		if (i % 2) {
			must(&s);
			s = (struct sent){};
		}
	}
	for (int again = 0; again < 2; again++) {
		check_tail("", COND_NONE, 0, 1000, "9 3 12 1 6 2", 6);
		check_tail("", COND_NONE, 0, 2, "9 3", 6);
		check_tail("", COND_NONE, 2, 2, "12 1", 6);
		check_tail("", COND_NONE, 5, 1000, "2", 6);
		check_tail("", COND_NONE, 6, 1000, "", 6);
		check_tail("", COND_NONE, INT64_MAX, 1000, "", 6);
		check_tail("", COND_NONE, -1, 1000, "", 6);
		check_tail("third", COND_NONE, 0, 1000, "9 3 12 6", 6);
		check_tail("third", COND_NONE, 1, 2, "3 12", 6);
		check_tail("nobody", COND_NONE, 0, 1000, "", 6);
		check_tail("", COND_RETRIES_EXHAUSTED, 0, 1000, "1 2", 6);
		check_tail("", COND_CANCELLED, 0, 1000, "6", 6);
		check_tail("third", COND_SUCCESS, 0, 1000, "9 3 12", 6);
		check_tail("resize", COND_SUCCESS, 0, 1000, "", 6);
		CHECK_INT(counts().by_condition[COND_CANCELLED], 1);
		reopen();
	}
	/* A batch that fails uses no position, among others or alone. */
	for (size_t i = 0; i < ARRAY_SIZE(batches); i++) {
		record_put(&t[i], batches[i].seq, COND_SUCCESS, "{\"body\":1}");
		if (batches[i].fails)
			event_put(&t[i], 1, NULL);
		give(&t[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(batches); i++) {
		CHECK_INT(await(&t[i]), batches[i].result);
		store_batch_done(&t[i].b);
	}
	s = (struct sent){};
	record_put(&s, 10, COND_SUCCESS, "{\"body\":1}");
	event_put(&s, 1, NULL);
	CHECK_INT(apply(&s), -EEXIST);
	s = (struct sent){};
	record_put(&s, 10, COND_SUCCESS, "{\"body\":1}");
	must(&s);
	check_tail("", COND_NONE, 0, 1000, "9 3 12 1 6 2 4 7 5 10", 10);
}

/* A page of large bodies ends before it fills the memory, and paging still finds all of them. */
static void case_large_records_come_in_short_pages(void)
{
	enum { N = 30 };
	const size_t len = 4 << 20;
	struct blob *big = blob_new(NULL, len);
	struct answer a = {};
	int64_t before = 0;
	int seen = 0, pages = 0;

	put_events(1, N);
	for (int64_t seq = 1; seq <= N; seq++) {
		struct sent s = {};

		record_put(&s, seq, COND_SUCCESS, "");
		blob_unref(s.b.ops[0].record.body);
		s.b.ops[0].record.body = blob_ref(big);
		must(&s);
	}
	for (;;) {
		get(&a, (struct store_query){ .kind = STORE_Q_RECORDS, .before_seq = before, .limit = 1000 });
		if (!a.res.n_records)
			break;
		CHECK_INT(a.res.records[0].body->len, len);
		seen += (int)a.res.n_records;
		CHECK(a.res.more == (seen < N));
		pages++;
		before = a.res.records[a.res.n_records - 1].seq;
	}
	CHECK_INT(seen, N);
	CHECK_INT(pages, 2);	/* 16 of 4 MiB are the limit */
	for (int64_t after = seen = 0;; after = a.res.records[a.res.n_records - 1].pos) {
		get(&a, (struct store_query){ .kind = STORE_Q_TAIL, .after_pos = after, .limit = 1000 });
		CHECK_INT(a.res.last_pos, N);
		if (!a.res.n_records)
			break;
		seen += (int)a.res.n_records;
		pages++;
	}
	CHECK_INT(seen, N);
	CHECK_INT(pages, 4);
	store_result_done(&a.res);
	blob_unref(big);
}

static void case_bad_queries_are_refused(void)
{
	static const struct store_query bad[] = {
		{ .kind = 0, .limit = 1 },
		{ .kind = 99, .limit = 1 },
		{ .kind = STORE_Q_EVENTS, .state = -1, .limit = 0 },
		{ .kind = STORE_Q_EVENTS, .state = -1, .limit = 1001 },
		{ .kind = STORE_Q_EVENTS, .state = INV_MAX, .limit = 1 },
		{ .kind = STORE_Q_EVENTS, .state = -2, .limit = 1 },
		{ .kind = STORE_Q_RECORDS, .condition = 17, .limit = 1 },
		{ .kind = STORE_Q_OUTBOX, .limit = -1 },
		{ .kind = STORE_Q_RECORDS, .condition = COND_MAX, .limit = 1 },
		{ .kind = STORE_Q_TAIL, .condition = COND_MAX, .limit = 1 },
		{ .kind = STORE_Q_TAIL, .limit = 0 },
		{ .kind = STORE_Q_TAIL, .limit = 1, .after_pos = -2 },
		{ .kind = STORE_Q_TRIM + 1, .limit = 1 },
		{ .kind = STORE_Q_OUTBOX, .limit = 1, .state = 2 },
		{ .kind = STORE_Q_OUTBOX, .limit = 1, .state = -2 },
		{ .kind = STORE_Q_LOAD_QUEUED, .limit = 0 },
		{ .kind = STORE_Q_LOAD_WAITING, .limit = 1001 },
		{ .kind = STORE_Q_LOAD_OUTBOX, .limit = 0 },
		{ .kind = STORE_Q_ENDED, .limit = 0 },
		{ .kind = STORE_Q_GIVE_BACK, .limit = 0 },
		{ .kind = STORE_Q_ENDED, .limit = 1, .condition = COND_MAX },
		{ .kind = STORE_Q_ENDED, .limit = 1, .outcome = OUTCOME_MAX },
		{ .kind = STORE_Q_TRIM, .limit = 0 },
		{ .kind = STORE_Q_TRIM, .limit = 1001 },
		{ .kind = STORE_Q_PEEK, .queue = "q", .limit = 0 },
		{ .kind = STORE_Q_PEEK, .queue = "q", .limit = 1001 },
		{ .kind = STORE_Q_RECEIVE, .queue = "q", .limit = 0 },
		{ .kind = STORE_Q_RECEIVE, .queue = "q", .limit = 1, .visibility_ms = -1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct answer a = {};

		ask(&a, bad[i]);
		while (!a.done)
			turn();
		CHECK_INT(a.result, -EINVAL);
		CHECK(a.msg[0]);
		CHECK_INT(a.res.n_events + a.res.n_records + a.res.n_messages, 0);
	}
}

/* ---- cases: the end of events, versions, aliases ----------------------------------------------------------- */

static bool ended(struct sent *s)
{
	bool is;

	give(s);
	if (await(s) < 0)
		FAIL("batch: %s", s->msg);
	is = s->b.ops[s->b.n - 1].done.ended;
	store_batch_done(&s->b);
	*s = (struct sent){};
	return is;
}

static bool done_alone(int64_t seq)
{
	struct sent s = {};

	event_done(&s, seq);
	s.b.ops[0].done.ended = true;	/* it is a result: what is in it does not matter */
	return ended(&s);
}

static void case_event_ends_when_nothing_is_owed(void)
{
	struct sent s = {};
	struct answer a = {};

	put_events(1, 4);
	for (int64_t seq = 1; seq <= 3; seq++)
		event_state(&s, seq, INV_ROUTING, COND_RETRIES_EXHAUSTED);
	outbox_put(&s, 1, ROLE_ON_FAILURE, 100);
	outbox_put(&s, 1, ROLE_DEAD_LETTER, 100);
	outbox_put(&s, 2, ROLE_ON_FAILURE, INT64_MAX);
	must(&s);
	s = (struct sent){};
	CHECK(!done_alone(1));		/* two are owed */
	CHECK(done_alone(2));		/* one, but it failed for good */
	CHECK(done_alone(3));		/* none */
	CHECK(!done_alone(4));		/* not ROUTING */
	CHECK(!done_alone(3));		/* not any more */
	outbox_op(&s, STORE_OP_OUTBOX_DEL, 1, ROLE_ON_FAILURE);
	event_done(&s, 1);
	CHECK(!ended(&s));		/* one is still owed */
	reopen();
	get_event(&a, 1);
	CHECK_INT(a.res.events[0].state, INV_ROUTING);
	outbox_op(&s, STORE_OP_OUTBOX_SET, 1, ROLE_DEAD_LETTER)->due_at_ms = INT64_MAX;
	event_done(&s, 1);
	CHECK(ended(&s));
	event_done(&s, 9);
	CHECK_INT(apply(&s), -ENOENT);
	CHECK_INT(s.failed, 0);
	reopen();
	get_event(&a, 1);
	CHECK_INT(a.res.events[0].state, INV_DONE);
	CHECK_INT(a.res.events[0].condition, COND_RETRIES_EXHAUSTED);
	CHECK_INT(counts().events[INV_DONE], 3);
	CHECK_INT(counts().events[INV_QUEUED], 1);
	CHECK_INT(counts().outbox, 0);
	CHECK_INT(counts().outbox_failed, 2);
	store_result_done(&a.res);
}

/* Many at once, in one group with batches that fail: each is told its own. */
static void case_ends_are_told_to_each(void)
{
	enum { N = 60 };
	struct sent *s = xcalloc(N, sizeof(*s)), all = {};

	put_events(1, N);
	for (int64_t seq = 1; seq <= N; seq++) {
		event_state(&all, seq, INV_ROUTING, COND_SUCCESS);
		if (seq % 3 == 0)
			outbox_put(&all, seq, ROLE_ON_SUCCESS, 5);
	}
	must(&all);
	for (int i = 0; i < N; i++) {
		event_done(&s[i], i + 1);
		if (i % 5 == 1)
			event_put(&s[i], 1, NULL);	/* -EEXIST */
		give(&s[i]);
	}
	for (int i = 0; i < N; i++) {
		CHECK_INT(await(&s[i]), i % 5 == 1 ? -EEXIST : 0);
		if (i % 5 != 1)
			CHECK_INT(s[i].b.ops[0].done.ended, (i + 1) % 3 != 0);
		store_batch_done(&s[i].b);
	}
	CHECK_INT(counts().events[INV_DONE], 32);
	free(s);
}

static void case_versions_and_aliases(void)
{
	struct sent s = {};
	struct loaded l = {};
	static const char all[] =
		"anchor boot 5 6; version a:1 at 101 \"(none)\" {}; version resize:1 at 101 \"\" {\"v\":1}; "
		"version resize:2 at 102 \"(none)\" {}; version resize:10 at 110 \"ten\" {}; "
		"alias a:live {}; alias resize:LIVE {}; alias resize:live {\"to\":2}; waiting 0; routing 0; ";

	version_put(&s, "resize", 10, "ten", "{}");
	version_put(&s, "resize", 1, "", "{\"v\":1}");
	version_put(&s, "a", 1, NULL, "{}");
	version_put(&s, "resize", 2, NULL, "{}");
	alias_put(&s, "resize", "live", "{\"to\":1}");
	alias_put(&s, "resize", "LIVE", "{}");
	alias_put(&s, "a", "live", "{}");
	anchor_put(&s, "old", 1, 2);
	must(&s);
	s = (struct sent){};
	version_put(&s, "resize", 3, NULL, "{}");
	version_put(&s, "resize", 10, "again", "{}");
	CHECK_INT(apply(&s), -EEXIST);
	CHECK_INT(s.failed, 1);
	CHECK(strstr(s.msg, "version 10 of resize"));
	s = (struct sent){};
	alias_put(&s, "resize", "live", "{\"to\":2}");
	anchor_put(&s, "boot", 5, 6);
	must(&s);
	for (int again = 0; again < 2; again++) {
		must_load(&l);
		CHECK_STR(buf_str(&l.rest), all);
		loaded_done(&l);
		reopen();
	}
	s = (struct sent){};
	alias_put(&s, "resize", "live", NULL);
	must(&s);
	s = (struct sent){};
	alias_put(&s, "resize", "live", NULL);
	CHECK_INT(apply(&s), -ENOENT);
	CHECK(strstr(s.msg, "alias live of resize"));
	s = (struct sent){};
	alias_put(&s, "nobody", "live", NULL);
	CHECK_INT(apply(&s), -ENOENT);
	reopen();
	must_load(&l);
	CHECK(!strstr(buf_str(&l.rest), "resize:live"));
	CHECK(strstr(buf_str(&l.rest), "resize:LIVE") && strstr(buf_str(&l.rest), "a:live"));
	loaded_done(&l);
}

/* ---- cases: pages of the backlog --------------------------------------------------------------------------- */

/* want: "SEQ[FATES] …". Returns the answer's last row. */
static void check_loaded(struct store_query q, const char *want)
{
	struct answer a = {};
	struct buf b = {};

	get(&a, q);
	for (size_t i = 0; i < a.res.n_loaded; i++) {
		const struct store_event *ev = &a.res.loaded[i];

		buf_addf(&b, "%s%" PRId64, i ? " " : "", ev->row.seq);
		if (ev->fates[0])
			buf_addf(&b, "[%s]", ev->fates);
	}
	CHECK_STR(buf_str(&b), want);
	CHECK_INT(a.res.n_events + a.res.n_outbox, 0);
	buf_done(&b);
	store_result_done(&a.res);
}

static struct store_query queued_q(const char *function, int64_t after, int limit, int64_t bytes_max)
{
	struct store_query q = { .kind = STORE_Q_LOAD_QUEUED, .after_seq = after, .limit = limit, .bytes_max = bytes_max };

	snprintf(q.function, sizeof(q.function), "%s", function);
	return q;
}

static void case_pages_of_queued_events(void)
{
	struct sent s = {};
	struct answer a = {};

	put_events(1, 12);	/* every third is "third" */
	event_state(&s, 2, INV_RUNNING, COND_NONE);
	event_state(&s, 5, INV_WAITING, COND_NONE);
	event_state(&s, 8, INV_DONE, COND_SUCCESS);
	event_put(&s, 20, NULL);
	attempt_put(&s, 4, 1, 1000);
	attempt_end(&s, 4, 1, OUTCOME_CRASH, "{\"n\":1}");
	attempt_put(&s, 4, 2, 2000);
	attempt_end(&s, 4, 2, OUTCOME_CRASH, "{\"n\":2}");
	must(&s);
	for (int again = 0; again < 2; again++) {
		check_loaded(queued_q("resize", 0, 1000, 0), "1 4[{\"n\":1},{\"n\":2}] 7 10 11 20");
		check_loaded(queued_q("resize", 0, 2, 0), "1 4[{\"n\":1},{\"n\":2}]");
		check_loaded(queued_q("resize", 4, 2, 0), "7 10");
		check_loaded(queued_q("resize", 6, 1, 0), "7");
		check_loaded(queued_q("resize", 20, 10, 0), "");
		check_loaded(queued_q("resize", INT64_MAX, 10, 0), "");
		check_loaded(queued_q("third", 0, 10, 0), "3 6 9 12");
		check_loaded(queued_q("thir", 0, 10, 0), "");
		check_loaded(queued_q("", 0, 10, 0), "");	/* it is a name like others, not "any" */
		/* Two bytes each, but for 4: 2 + 15; 20 has no payload at all. */
		check_loaded(queued_q("resize", 0, 10, 1), "1");
		check_loaded(queued_q("resize", 0, 10, 3), "1 4[{\"n\":1},{\"n\":2}]");
		check_loaded(queued_q("resize", 4, 10, 6), "7 10 11");
		check_loaded(queued_q("resize", 4, 10, 7), "7 10 11 20");
		reopen();
	}
	get(&a, queued_q("resize", 1, 1, 0));
	CHECK_INT(a.res.loaded[0].last_started_at_ms, 2000);
	CHECK_STR(a.res.loaded[0].row.function, "resize");
	CHECK_INT(a.res.loaded[0].row.accepted_at_ms, row_of(4).accepted_at_ms);
	CHECK(blob_is(a.res.loaded[0].payload, "{}"));
	get(&a, queued_q("resize", 11, 1, 0));
	CHECK(!a.res.loaded[0].payload);
	CHECK_INT(a.res.loaded[0].last_started_at_ms, 0);
	CHECK_STR(a.res.loaded[0].fates, "");
	/* What has been dispatched is on no page any more. */
	s = (struct sent){};
	event_state(&s, 7, INV_RUNNING, COND_NONE);
	must(&s);
	check_loaded(queued_q("resize", 4, 2, 0), "10 11");
	store_result_done(&a.res);
}

static struct store_query waiting_q(int64_t after_ms, int64_t after_seq, int limit, int64_t bytes_max)
{
	return (struct store_query){ .kind = STORE_Q_LOAD_WAITING, .after_ms = after_ms, .after_seq = after_seq, .limit = limit,
				     .bytes_max = bytes_max };
}

static void case_pages_of_waiting_events(void)
{
	static const struct { int seq; int64_t due; } waiting[] = {
		{ 2, 500 }, { 3, 100 }, { 4, 500 }, { 5, 200 }, { 6, 500 }, { 7, INT64_MAX }, { 9, 500 },
	};
	struct sent s = {};
	struct store_query q = waiting_q(0, 0, 2, 0);
	struct answer a = {};
	int seen = 0;

	put_events(1, 10);
	for (size_t i = 0; i < ARRAY_SIZE(waiting); i++) {
		struct inv_row row = row_of(waiting[i].seq);

		row.state = INV_WAITING;
		row.due_at_ms = waiting[i].due;
		event_set(&s, row, 0);
	}
	must(&s);
	for (int again = 0; again < 2; again++) {
		check_loaded(waiting_q(0, 0, 1000, 0), "3 5 2 4 6 9 7");
		check_loaded(waiting_q(INT64_MIN, 0, 1000, 0), "3 5 2 4 6 9 7");
		check_loaded(waiting_q(100, 0, 2, 0), "3 5");
		check_loaded(waiting_q(100, 3, 2, 0), "5 2");		/* into the ones of the same time … */
		check_loaded(waiting_q(500, 2, 2, 0), "4 6");		/* … among them … */
		check_loaded(waiting_q(500, 6, 2, 0), "9 7");		/* … and out of them again */
		check_loaded(waiting_q(500, 9, 2, 0), "7");
		check_loaded(waiting_q(500, 5, 1, 0), "6");		/* behind one that is not there */
		check_loaded(waiting_q(300, 9, 1000, 0), "2 4 6 9 7");
		check_loaded(waiting_q(INT64_MAX, 7, 10, 0), "");
		check_loaded(waiting_q(INT64_MAX, 6, 10, 0), "7");
		check_loaded(waiting_q(500, 2, 10, 1), "4");
		check_loaded(waiting_q(500, 2, 10, 5), "4 6 9");	/* the bytes of both halves count */
		reopen();
	}
	for (;; seen += (int)a.res.n_loaded) {
		get(&a, q);
		if (!a.res.n_loaded)
			break;
		q.after_ms = a.res.loaded[a.res.n_loaded - 1].row.due_at_ms;
		q.after_seq = a.res.loaded[a.res.n_loaded - 1].row.seq;
	}
	CHECK_INT(seen, ARRAY_SIZE(waiting));
	store_result_done(&a.res);
}

static void case_one_event_is_loaded(void)
{
	static const enum inv_state states[] = { INV_QUEUED, INV_RUNNING, INV_WAITING, INV_ROUTING, INV_DONE };
	struct sent s = {};
	struct answer a = {};
	struct store_query q = { .kind = STORE_Q_LOAD_EVENT };

	put_events(1, 5);
	for (int64_t seq = 1; seq <= 5; seq++) {
		event_state(&s, seq, states[seq - 1], COND_NONE);
		attempt_put(&s, seq, 1, 1000 + seq);
		attempt_end(&s, seq, 1, OUTCOME_CRASH, "{\"n\":1}");
	}
	must(&s);
	for (int64_t seq = 1; seq <= 5; seq++) {
		uuid_of(seq, q.request_id);
		get(&a, q);
		CHECK_INT(a.res.n_loaded, 1);
		CHECK_INT(a.res.loaded[0].row.seq, seq);
		CHECK_INT(a.res.loaded[0].row.state, states[seq - 1]);
		CHECK_INT(a.res.loaded[0].last_started_at_ms, 1000 + seq);
		CHECK_STR(a.res.loaded[0].fates, "{\"n\":1}");
		CHECK(blob_is(a.res.loaded[0].payload, "{}"));
	}
	uuid_of(6, q.request_id);
	check_loaded(q, "");
	q.request_id[0] = '\0';
	check_loaded(q, "");
	store_result_done(&a.res);
}

/* want: "SEQ:ROLE …" */
static void check_outbox(enum store_query_kind kind, const char *target, int state, int64_t after, int limit, int64_t bytes_max,
			 const char *want)
{
	struct store_query q = { .kind = kind, .state = state, .after_pos = after, .limit = limit, .bytes_max = bytes_max };
	struct answer a = {};
	struct buf b = {};

	snprintf(q.target, sizeof(q.target), "%s", target);
	get(&a, q);
	for (size_t i = 0; i < a.res.n_outbox; i++) {
		struct inv_row row = row_of(a.res.outbox[i].seq);

		buf_addf(&b, "%s%" PRId64 ":%d", i ? " " : "", a.res.outbox[i].seq, (int)a.res.outbox[i].role);
		CHECK(blob_is(a.res.outbox[i].body, "{\"version\":\"1.0\"}"));
		CHECK_STR(a.res.outbox[i].function, row.function);
		CHECK_STR(a.res.outbox[i].request_id, row.request_id);
	}
	CHECK_STR(buf_str(&b), want);
	buf_done(&b);
	store_result_done(&a.res);
}

#define CHECK_LIST(...) check_outbox(STORE_Q_OUTBOX, __VA_ARGS__)
#define CHECK_PAGE(target, ...) check_outbox(STORE_Q_LOAD_OUTBOX, target, 0, __VA_ARGS__)
#define POS STORE_OUTBOX_POS
#define LOG(role) "file:/var/log/" role

static void case_pages_of_deliveries(void)
{
	struct sent s = {};

	put_events(1, 6);
	for (int64_t seq = 6; seq >= 1; seq--) {
		outbox_put(&s, seq, ROLE_ON_SUCCESS, 1000 - seq);
		outbox_put(&s, seq, ROLE_ON_FAILURE, seq == 3 ? INT64_MAX : 5);
	}
	outbox_put(&s, 2, ROLE_DEAD_LETTER, INT64_MAX);
	outbox_op(&s, STORE_OP_OUTBOX_DEL, 4, ROLE_ON_SUCCESS);
	must(&s);
	for (int again = 0; again < 2; again++) {
		CHECK_LIST("", -1, 0, 1000, 0, "1:1 1:2 2:1 2:2 2:3 3:1 3:2 4:2 5:1 5:2 6:1 6:2");
		CHECK_LIST("", -1, 0, 3, 0, "1:1 1:2 2:1");
		CHECK_LIST("", -1, POS(2, 1), 3, 0, "2:2 2:3 3:1");
		CHECK_LIST("", -1, POS(4, 1), 1, 0, "4:2");		/* behind one that is gone */
		CHECK_LIST("", 0, 0, 1000, 0, "1:1 1:2 2:1 2:2 3:1 4:2 5:1 5:2 6:1 6:2");
		CHECK_LIST("", 1, 0, 1000, 0, "2:3 3:2");
		CHECK_LIST("", 1, POS(2, 3), 1000, 0, "3:2");
		CHECK_LIST("", 0, POS(5, 1), 2, 0, "5:2 6:1");
		CHECK_LIST(LOG("2"), -1, 0, 1000, 0, "1:2 2:2 3:2 4:2 5:2 6:2");
		CHECK_LIST(LOG("2"), 0, 0, 3, 0, "1:2 2:2 4:2");
		CHECK_LIST(LOG("2"), 0, POS(4, 2), 3, 0, "5:2 6:2");
		CHECK_LIST(LOG("2"), 1, 0, 3, 0, "3:2");
		CHECK_LIST(LOG("3"), 0, 0, 3, 0, "");
		CHECK_LIST(LOG("3"), 1, 0, 3, 0, "2:3");
		CHECK_LIST("nowhere", -1, 0, 3, 0, "");
		CHECK_LIST("", -1, POS(6, 2), 3, 0, "");
		CHECK_LIST("", -1, INT64_MAX, 3, 0, "");

		CHECK_PAGE(LOG("1"), 0, 1000, 0, "1:1 2:1 3:1 5:1 6:1");
		CHECK_PAGE(LOG("1"), POS(2, 1), 2, 0, "3:1 5:1");
		CHECK_PAGE(LOG("1"), POS(2, 2), 2, 0, "3:1 5:1");
		CHECK_PAGE(LOG("2"), 0, 1000, 0, "1:2 2:2 4:2 5:2 6:2");
		CHECK_PAGE(LOG("3"), 0, 1000, 0, "");		/* failed: nobody owes it */
		CHECK_PAGE("", 0, 1000, 0, "");			/* a name like others */
		CHECK_PAGE(LOG("1"), 0, 1000, 1, "1:1");
		CHECK_PAGE(LOG("1"), 0, 1000, 18, "1:1 2:1");	/* 17 bytes each */
		reopen();
	}
	/* What failed is sent again, and dropped. */
	s = (struct sent){};
	outbox_op(&s, STORE_OP_OUTBOX_SET, 2, ROLE_DEAD_LETTER)->due_at_ms = 7;
	outbox_op(&s, STORE_OP_OUTBOX_DEL, 3, ROLE_ON_FAILURE);
	outbox_op(&s, STORE_OP_OUTBOX_SET, 1, ROLE_ON_FAILURE)->due_at_ms = INT64_MAX;
	must(&s);
	CHECK_PAGE(LOG("3"), 0, 1000, 0, "2:3");
	CHECK_LIST("", 1, 0, 1000, 0, "1:2");
	CHECK_PAGE(LOG("2"), 0, 1000, 0, "2:2 4:2 5:2 6:2");
	CHECK_INT(counts().outbox, 10);
	CHECK_INT(counts().outbox_failed, 1);
}

static int64_t give_back(const char *queue, int limit, uint64_t random)
{
	struct store_query q = { .kind = STORE_Q_GIVE_BACK, .limit = limit, .now_ms = 1001, .random = random };
	struct answer a = {};

	snprintf(q.queue, sizeof(q.queue), "%s", queue);
	get(&a, q);
	return a.res.affected;
}

static void case_messages_are_given_back(void)
{
	struct answer a = {}, b = {};
	struct sent s = {};

	for (int i = 1; i <= 4; i++)
		message_put(&s, "q", i, "m");
	must(&s);
	get(&a, receive_q("q", 3, 1000, 50, 77));
	CHECK_INT(a.res.n_messages, 3);
	CHECK_INT(delete_message("q", a.res.messages[0].receipt), 1);
	CHECK_INT(give_back("nowhere", 3, 77), 0);
	CHECK_INT(give_back("q", 3, 78), 0);
	CHECK_INT(give_back("q", 2, 77), 1);
	CHECK_INT(give_back("q", 3, 77), 1);
	CHECK_INT(give_back("q", 3, 77), 0);
	reopen();
	/* Neither hidden nor counted, in their old places; and their receipts are nobody's. */
	CHECK_INT(delete_message("q", a.res.messages[1].receipt), 0);
	get(&b, receive_q("q", 3, 1001, 50, 79));
	CHECK_INT(b.res.n_messages, 3);
	for (int i = 0; i < 3; i++) {
		CHECK_INT(b.res.messages[i].receive_count, 1);
		if (i < 2)
			CHECK_STR(b.res.messages[i].id, a.res.messages[i + 1].id);
	}
	/* What somebody else has by now is his. */
	CHECK_INT(give_back("q", 3, 77), 0);
	/* From a place on; and how far there is to go. */
	CHECK(b.res.messages[0].pos < b.res.messages[1].pos && b.res.messages[1].pos < b.res.messages[2].pos);
	CHECK_INT(b.res.last_pos, b.res.messages[2].pos);
	for (int peek = 0; peek < 2; peek++) {
		struct store_query q = receive_q("q", 10, 3000, 50, 80);

		q.kind = peek ? STORE_Q_PEEK : STORE_Q_RECEIVE;
		q.after_pos = b.res.messages[0].pos;
		store_result_done(&a.res);
		get(&a, q);
		CHECK_INT(a.res.n_messages, 2);
		CHECK_STR(a.res.messages[0].id, b.res.messages[1].id);
		CHECK_INT(a.res.messages[1].pos, b.res.last_pos);
		CHECK_INT(a.res.last_pos, b.res.last_pos);
	}
	store_result_done(&a.res);
	store_result_done(&b.res);
}

/* ---- cases: what has ended --------------------------------------------------------------------------------- */

/* want: "SEQ …"; want_last: where the next page goes on, 0 = nowhere. */
static void check_ended(struct store_query q, const char *want, int64_t want_last)
{
	struct answer a = {};

	q.kind = STORE_Q_ENDED;
	q.limit = q.limit ? q.limit : 1000;
	get(&a, q);
	check_seqs(a.res.events, a.res.n_events, want);
	CHECK_INT(a.res.last_pos, want_last);
	store_result_done(&a.res);
}

#define ENDED(want, want_last, ...) check_ended((struct store_query){ __VA_ARGS__ }, want, want_last)

static void case_ended_events(void)
{
	static const struct { int seq; enum inv_state state; enum inv_condition condition; int64_t at_ms; } ends[] = {
		{ 1, INV_DONE, COND_SUCCESS, 100 }, { 2, INV_DONE, COND_RETRIES_EXHAUSTED, 200 },
		{ 3, INV_ROUTING, COND_RETRIES_EXHAUSTED, 300 }, { 4, INV_DONE, COND_CANCELLED, 400 },
		{ 6, INV_DONE, COND_POISON, 600 }, { 7, INV_DONE, COND_AGE_EXCEEDED, 150 },
		{ 9, INV_DONE, COND_RETRIES_EXHAUSTED, 900 }, { 10, INV_DONE, COND_RECURSIVE, 1000 },
	};
	struct sent s = {};

	put_events(1, 12);
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		event_state(&s, ends[i].seq, ends[i].state, ends[i].condition);
		record_put(&s, ends[i].seq, ends[i].condition, "{}");
		s.b.ops[s.b.n - 1].record.at_ms = ends[i].at_ms;
	}
	event_state(&s, 5, INV_RUNNING, COND_CANCELLED);
	event_state(&s, 11, INV_DONE, COND_RETRIES_EXHAUSTED);	/* without a record: of no time */
	attempt_put(&s, 2, 1, 1);
	attempt_end(&s, 2, 1, OUTCOME_OOM, NULL);
	attempt_put(&s, 2, 2, 2);
	attempt_end(&s, 2, 2, OUTCOME_TIMEOUT, NULL);
	attempt_put(&s, 3, 1, 1);
	attempt_end(&s, 3, 1, OUTCOME_OOM, NULL);
	attempt_put(&s, 9, 1, 1);
	attempt_end(&s, 9, 1, OUTCOME_TIMEOUT, NULL);
	must(&s);
	for (int again = 0; again < 2; again++) {
		ENDED("2 3 6 7 9 10 11", 0);
		ENDED("2 3", 3, .limit = 2);
		ENDED("6 7", 7, .limit = 2, .after_seq = 3);
		ENDED("9 10 11", 0, .limit = 4, .after_seq = 7);
		ENDED("9 10 11", 11, .limit = 3, .after_seq = 7);	/* it cannot know that this was the last */
		ENDED("6 7", 0, .after_seq = 3, .before_seq = 9);
		ENDED("6", 6, .after_seq = 3, .before_seq = 9, .limit = 1);
		ENDED("", 0, .after_seq = 12);
		ENDED("", 0, .after_seq = INT64_MAX);
		ENDED("1", 0, .condition = COND_SUCCESS);
		ENDED("4", 0, .condition = COND_CANCELLED);
		ENDED("6", 0, .condition = COND_POISON);
		ENDED("2 3 9 11", 0, .condition = COND_RETRIES_EXHAUSTED);
		ENDED("2 9", 0, .outcome = OUTCOME_TIMEOUT);
		ENDED("3", 0, .outcome = OUTCOME_OOM);			/* the last attempt's, not any's */
		ENDED("3 6 9", 0, .function = "third");
		ENDED("6", 6, .function = "third", .after_seq = 3, .limit = 1);
		ENDED("9", 0, .function = "third", .condition = COND_RETRIES_EXHAUSTED, .after_seq = 3);
		ENDED("", 0, .function = "nobody");
		ENDED("3 6 9 10", 0, .since_ms = 300);
		ENDED("2 7", 0, .until_ms = 300);
		ENDED("3", 0, .since_ms = 300, .until_ms = 600);
		ENDED("9", 0, .since_ms = 300, .outcome = OUTCOME_TIMEOUT);
		ENDED("", 0, .since_ms = 5000);
		reopen();
	}
}

static void event_put_again(struct sent *s, int64_t seq, int64_t origin)
{
	event_put(s, seq, text("{}"));
	uuid_of(origin, s->b.ops[s->b.n - 1].event.row.origin);
}

/* want: "SEQ …", those that repeat it. */
static void check_repeats(int64_t seq, const char *want)
{
	CLEAN(buf_done) struct buf got = {};
	struct answer a = {};

	get_event(&a, seq);
	for (size_t i = 0; i < a.res.n_repeats; i++)
		buf_addf(&got, "%s%ld", i ? " " : "", strtol(a.res.repeats[i].request_id, NULL, 16));
	CHECK_STR(buf_str(&got), want);
	store_result_done(&a.res);
}

/* What is repeated by an event, whatever became of that, is passed over and counted; unless it is asked for. */
static void case_ended_and_sent_again(void)
{
	struct answer a = {};
	struct sent s = {};

	put_events(1, 4);
	event_put_again(&s, 5, 1);
	event_put_again(&s, 6, 2);
	event_put_again(&s, 7, 1);
	event_put_again(&s, 8, 999);		/* of one that retention has deleted */
	must(&s);
	for (int64_t seq = 1; seq <= 8; seq++) {
		if (seq == 6)
			continue;		/* open */
		event_state(&s, (int)seq, INV_DONE, COND_RETRIES_EXHAUSTED);
		record_put(&s, seq, COND_RETRIES_EXHAUSTED, "{}");
	}
	must(&s);
	for (int again = 0; again < 2; again++) {
		ENDED("3 4 5 7 8", 0);
		ENDED("1 2 3 4 5 7 8", 0, .again = true);
		ENDED("3 4", 4, .limit = 2);
		ENDED("3", 0, .function = "third");
		get(&a, (struct store_query){ .kind = STORE_Q_ENDED, .limit = 10 });
		CHECK_INT(a.res.affected, 2);
		store_result_done(&a.res);
		get(&a, (struct store_query){ .kind = STORE_Q_ENDED, .limit = 10, .again = true });
		CHECK_INT(a.res.affected, 0);
		store_result_done(&a.res);
		check_repeats(1, "5 7");
		check_repeats(2, "6");
		check_repeats(3, "");
		check_repeats(5, "");
		reopen();
	}
	/* More than anybody wants to see. */
	for (int64_t seq = 9; seq < 9 + STORE_REPEATS_MAX + 5; seq++)
		event_put_again(&s, seq, 3);
	must(&s);
	get_event(&a, 3);
	CHECK_INT(a.res.n_repeats, STORE_REPEATS_MAX);
	store_result_done(&a.res);
	ENDED("4 5 7 8", 0);
}

/* A page that finds nothing within its bound says how far it has looked. */
static void case_ended_looks_at_so_many(void)
{
	enum { N = STORE_ENDED_SCAN_MAX + 2 };
	struct sent s = {};

	for (int64_t from = 1; from <= N; from += 1000)
		put_events(from, MIN(from + 999, (int64_t)N));
	event_state(&s, N, INV_DONE, COND_RETRIES_EXHAUSTED);
	record_put(&s, N, COND_RETRIES_EXHAUSTED, "{}");
	event_state(&s, N - 1, INV_DONE, COND_SUCCESS);
	event_state(&s, 1, INV_DONE, COND_SUCCESS);
	must(&s);
	ENDED("", STORE_ENDED_SCAN_MAX);
	ENDED("10002", 0, .after_seq = STORE_ENDED_SCAN_MAX);
	ENDED("10002", 0, .after_seq = 3);
	ENDED("", STORE_ENDED_SCAN_MAX + 1, .after_seq = 1);
	ENDED("10002", 0, .function = "third");		/* the others are not looked at */
}

/* ---- cases: retention -------------------------------------------------------------------------------------- */

struct trimmed { int64_t affected, used; bool more; };

static struct trimmed trim(int64_t until_ms, int64_t bytes_max, int limit)
{
	struct answer a = {};

	get(&a, (struct store_query){ .kind = STORE_Q_TRIM, .until_ms = until_ms, .bytes_max = bytes_max, .limit = limit });
	CHECK(a.res.bytes_used > 0 || !on_disk);
	CHECK(a.res.bytes_free >= 0);
	return (struct trimmed){ a.res.affected, a.res.bytes_used, a.res.more };
}

static void check_trim(int64_t until_ms, int64_t bytes_max, int limit, int64_t want, bool want_more)
{
	struct trimmed t = trim(until_ms, bytes_max, limit);

	CHECK_INT(t.affected, want);
	CHECK_INT(t.more, want_more);
}

/* Event seq, ended at its at_ms, 9000 + seq. */
static void put_ended(struct sent *s, int64_t seq, size_t payload_len)
{
	event_put(s, seq, blob_new(NULL, payload_len));
	attempt_put(s, seq, 1, 1);
	attempt_end(s, seq, 1, OUTCOME_SUCCESS, "{}");
	event_state(s, seq, INV_DONE, COND_SUCCESS);
	record_put(s, seq, COND_SUCCESS, "{\"body\":1}");
}

static void case_trim_by_age(void)
{
	struct sent s = {};
	struct loaded l = {};
	struct answer a = {};
	struct store_counts c;

	for (int64_t seq = 1; seq <= 10; seq++)
		put_ended(&s, seq, 100);
	event_state(&s, 3, INV_ROUTING, COND_SUCCESS);	/* still on its way */
	outbox_put(&s, 3, ROLE_ON_SUCCESS, 1);
	outbox_put(&s, 4, ROLE_ON_SUCCESS, 1);		/* owed */
	outbox_put(&s, 5, ROLE_ON_SUCCESS, INT64_MAX);	/* failed */
	outbox_put(&s, 6, ROLE_ON_SUCCESS, 1);		/* acknowledged */
	outbox_op(&s, STORE_OP_OUTBOX_DEL, 6, ROLE_ON_SUCCESS);
	event_put(&s, 11, NULL);			/* open */
	must(&s);
	check_trim(0, 0, 1000, 0, false);		/* no bound at all: nothing goes */
	check_trim(9001, 0, 1000, 0, false);
	check_trim(9009, 0, 2, 2, true);
	list_events("", -1, 0, 1000, "11 10 9 8 7 6 5 4 3");
	check_trim(9009, 0, 2, 2, true);
	list_events("", -1, 0, 1000, "11 10 9 8 5 4 3");
	check_trim(9009, 0, 2, 1, false);
	check_trim(9009, 0, 2, 0, false);
	reopen();
	list_events("", -1, 0, 1000, "11 10 9 5 4 3");
	c = counts();
	CHECK_INT(c.events[INV_DONE], 4);
	CHECK_INT(c.attempts, 5);
	CHECK_INT(c.records, 5);
	CHECK_INT(c.outbox, 2);
	CHECK_INT(c.outbox_failed, 1);
	get_event(&a, 1);
	CHECK_INT(a.res.n_events + a.res.n_attempts + a.res.n_records, 0);
	check_tail("resize", COND_NONE, 0, 1000, "4 5 10", 10);
	list_records("", COND_SUCCESS, 0, 1000, "10 9 5 4 3");
	/* Nothing of the old ones is in the way, and what belongs to none is refused. */
	s = (struct sent){};
	outbox_put(&s, 1, ROLE_ON_SUCCESS, 1);
	CHECK_INT(apply(&s), -ENOENT);
	/* The failed one is dropped, the owed one acknowledged: then they go, too. */
	s = (struct sent){};
	outbox_op(&s, STORE_OP_OUTBOX_DEL, 5, ROLE_ON_SUCCESS);
	outbox_op(&s, STORE_OP_OUTBOX_DEL, 4, ROLE_ON_SUCCESS);
	must(&s);
	check_trim(9009, 0, 1000, 2, false);
	list_events("", -1, 0, 1000, "11 10 9 3");
	s = (struct sent){};
	outbox_op(&s, STORE_OP_OUTBOX_DEL, 3, ROLE_ON_SUCCESS);
	event_done(&s, 3);
	must(&s);
	check_trim(INT64_MAX, 0, 1000, 3, false);
	list_events("", -1, 0, 1000, "11");
	must_load(&l);
	CHECK_INT(l.next_seq, 12);
	CHECK_STR(buf_str(&l.rest), "queued resize 1; waiting 0; routing 0; ");
	loaded_done(&l);
	if (on_disk)
		CHECK_INT(sql_int("SELECT (SELECT count(*) FROM event_payload) + (SELECT count(*) FROM outbox) +"
				  " (SELECT count(*) FROM outbox_body) + (SELECT count(*) FROM record)"), 0);
	store_result_done(&a.res);
}

/* Neither a number of an event nor a place of a record is given again, also when the last ones are gone. */
/* Or it would be sent again once more, as soon as its repetition is forgotten. */
static void case_trim_leaves_what_repeats_one_that_stays(void)
{
	struct sent s = {};

	put_ended(&s, 1, 100);
	outbox_put(&s, 1, ROLE_ON_FAILURE, INT64_MAX);
	put_ended(&s, 2, 100);
	put_ended(&s, 3, 100);
	for (size_t i = 0; i < s.b.n; i++)
		if (s.b.ops[i].kind == STORE_OP_EVENT_PUT && s.b.ops[i].event.row.seq == 2)
			uuid_of(1, s.b.ops[i].event.row.origin);
	must(&s);
	check_trim(INT64_MAX, 0, 1000, 1, false);
	reopen();
	list_events("", -1, 0, 1000, "2 1");
	s = (struct sent){};
	outbox_op(&s, STORE_OP_OUTBOX_DEL, 1, ROLE_ON_FAILURE);
	must(&s);
	while (trim(INT64_MAX, 0, 1000).affected)	/* in one call or in two */
		;
	list_events("", -1, 0, 1000, "");
}

static void case_trimmed_numbers_are_not_given_again(void)
{
	struct sent s = {};
	struct loaded l = {};

	for (int64_t seq = 1; seq <= 3; seq++)
		put_ended(&s, seq, 10);
	must(&s);
	check_trim(INT64_MAX, 0, 1000, 3, false);
	check_tail("", COND_NONE, 0, 1000, "", 3);
	for (int again = 0; again < 2; again++) {
		must_load(&l);
		CHECK_INT(l.next_seq, 4);
		loaded_done(&l);
		reopen();
	}
	s = (struct sent){};
	put_ended(&s, 4, 10);
	event_put(&s, 4, NULL);
	CHECK_INT(apply(&s), -EEXIST);	/* uses no place */
	s = (struct sent){};
	put_ended(&s, 5, 10);
	put_ended(&s, 4, 10);
	must(&s);
	check_tail("", COND_SUCCESS, 0, 1000, "5 4", 5);
	check_tail("", COND_NONE, 3, 1000, "5 4", 5);
	check_trim(9005, 0, 1000, 1, false);
	check_tail("", COND_NONE, 3, 1, "5", 5);
	check_trim(INT64_MAX, 0, 1000, 1, false);
	check_tail("", COND_NONE, 3, 1000, "", 5);
}

/* A clock that was set back: what is young lies before what is old. */
static void case_trim_finds_the_old_behind_the_young(void)
{
	struct sent s = {};

	for (int64_t seq = 1; seq <= 6; seq++) {
		put_ended(&s, seq, 10);
		s.b.ops[s.b.n - 1].record.at_ms = seq <= 3 ? 99999 : 100;
	}
	must(&s);
	check_trim(1000, 0, 2, 2, true);
	check_trim(1000, 0, 2, 1, false);
	list_events("", -1, 0, 1000, "3 2 1");
}

static void case_trim_by_size(void)
{
	enum { N = 60, LEN = 40000 };
	struct sent s = {};
	struct trimmed t;
	int64_t before;

	for (int64_t seq = 1; seq <= N; seq++)
		put_ended(&s, seq, LEN);
	outbox_put(&s, 1, ROLE_ON_SUCCESS, INT64_MAX);
	outbox_put(&s, 2, ROLE_ON_SUCCESS, 1);
	must(&s);
	t = trim(0, INT64_MAX, 1000);
	CHECK_INT(t.affected, 0);
	CHECK(t.used > (int64_t)N * LEN);
	before = t.used;
	check_trim(0, before, 1000, 0, false);
	t = trim(0, before - 10 * LEN, 4);
	CHECK_INT(t.affected, 4);
	CHECK(t.more);
	list_events("", -1, 7, 1000, "2 1");		/* the oldest that may go went */
	t = trim(0, before - 10 * LEN, 1000);
	CHECK(t.affected >= 4 && t.affected <= 8);
	CHECK(!t.more);
	CHECK(t.used <= before - 10 * LEN);
	CHECK(t.used > before - 14 * LEN);		/* and no more than needed */
	check_trim(0, before - 10 * LEN, 1000, 0, false);
	/* Both reasons at once: age takes what size would leave. */
	t = trim(9021, before - 10 * LEN, 1000);
	list_events("", -1, 0, 5, "60 59 58 57 56");
	list_events("", -1, 24, 1000, "23 22 21 2 1");
	CHECK(!t.more);
	/* Everything is too much: all goes that may. */
	t = trim(0, 1, 1000);
	CHECK(!t.more);
	list_events("", -1, 0, 1000, "2 1");
	reopen();
	list_events("", -1, 0, 1000, "2 1");
}

static void case_purge_is_bounded(void)
{
	struct sent s = {};
	bool more = false;

	for (int64_t n = 1; n <= STORE_PURGE_MAX + 3; n++)
		message_put(&s, "done", n, "body");
	message_put(&s, "other", 9999, "body");
	must(&s);
	CHECK_INT(purge_some("done", &more), STORE_PURGE_MAX);
	CHECK(more);
	check_peek("done", 1000, "2001:0:0 2002:0:0 2003:0:0");		/* the oldest go first */
	CHECK_INT(purge("done"), 3);
	check_peek("other", 1, "9999:0:0");
	CHECK_INT(counts().messages, 1);
}

/* ---- cases: queues ----------------------------------------------------------------------------------------- */

static void case_queue_receive_and_delete(void)
{
	struct sent s = {};
	struct answer a = {}, b = {};
	struct store_op_message *m;
	char first[ID_UUID_LEN + 1];

	for (int64_t n = 1; n <= 5; n++) {
		char body[16];

		snprintf(body, sizeof(body), "body %d", (int)n);
		message_put(&s, "done", n, body);
	}
	message_put(&s, "other", 6, "not this one");
	must(&s);
	reopen();

	get(&a, receive_q("done", 2, 1000, 500, 42));
	CHECK_INT(a.res.n_messages, 2);
	for (int i = 0; i < 2; i++) {
		char want[ID_UUID_LEN + 1];

		m = &a.res.messages[i];
		uuid_of(i + 1, want);
		CHECK_STR(m->id, want);		/* oldest first */
		CHECK_STR(m->queue, "done");
		CHECK_INT(m->sent_at_ms, 101 + i);
		CHECK_INT(m->receive_count, 1);
		CHECK_INT(m->visible_at_ms, 1500);
		CHECK(id_is_uuid(m->receipt));
	}
	CHECK(blob_is(a.res.messages[0].body, "body 1"));
	CHECK(!a.res.messages[0].attributes);
	CHECK(blob_is(a.res.messages[1].attributes, "{}"));
	CHECK(strcmp(a.res.messages[0].receipt, a.res.messages[1].receipt) != 0);
	snprintf(first, sizeof(first), "%s", a.res.messages[0].receipt);

	/* The lease holds, also over a restart, up to its last millisecond. */
	reopen();
	get(&b, receive_q("done", 10, 1499, 500, 43));
	CHECK_INT(b.res.n_messages, 3);
	CHECK(blob_is(b.res.messages[0].body, "body 3"));
	get(&b, receive_q("done", 10, 1499, 500, 44));
	CHECK_INT(b.res.n_messages, 0);

	/* Deleting needs the right receipt of the right queue; once. */
	CHECK_INT(delete_message("other", first), 0);
	CHECK_INT(delete_message("done", "4e1b7c9e-0000-4000-8000-000000000000"), 0);
	CHECK_INT(delete_message("done", ""), 0);
	CHECK_INT(delete_message("done", first), 1);
	CHECK_INT(delete_message("done", first), 0);
	reopen();

	/* The second comes back when its time is over; its old receipt is good no more. */
	snprintf(first, sizeof(first), "%s", a.res.messages[1].receipt);
	get(&b, receive_q("done", 10, 1500, 0, 45));
	CHECK_INT(b.res.n_messages, 1);
	CHECK(blob_is(b.res.messages[0].body, "body 2"));
	CHECK_INT(b.res.messages[0].receive_count, 2);
	CHECK_INT(delete_message("done", first), 0);
	/* Visible again at once (0 ms), not received since: the receipt still counts. */
	CHECK_INT(delete_message("done", b.res.messages[0].receipt), 1);
	CHECK_INT(counts().messages, 4);
	store_result_done(&a.res);
	store_result_done(&b.res);
}

static void case_queue_peek(void)
{
	struct sent s = {};
	struct answer a = {};

	for (int64_t n = 1; n <= 4; n++)
		message_put(&s, "done", n, "body");
	message_put(&s, "other", 5, "body");
	must(&s);
	check_peek("done", 1000, "1:0:0 2:0:0 3:0:0 4:0:0");
	get(&a, receive_q("done", 2, 1000, 500, 42));
	for (int again = 0; again < 2; again++) {
		check_peek("done", 1000, "1:1:1500 2:1:1500 3:0:0 4:0:0");	/* leased ones in their places */
		check_peek("done", 1, "1:1:1500");
		check_peek("other", 1000, "5:0:0");
		reopen();
	}
	CHECK_INT(delete_message("done", a.res.messages[0].receipt), 1);	/* the lease is as it was */
	get(&a, peek_q("done", 2));
	CHECK_INT(a.res.n_messages, 2);
	CHECK(blob_is(a.res.messages[0].body, "body"));
	CHECK(blob_is(a.res.messages[0].attributes, "{}"));
	CHECK(!a.res.messages[1].attributes);
	/* Nothing has been leased by all that looking. */
	get(&a, receive_q("done", 10, 1499, 500, 43));
	CHECK_INT(a.res.n_messages, 2);
	store_result_done(&a.res);
}

static void case_queue_purge(void)
{
	struct sent s = {};
	struct answer a = {}, b = {};

	for (int64_t n = 1; n <= 4; n++)
		message_put(&s, "done", n, "body");
	message_put(&s, "other", 5, "body");
	must(&s);
	get(&a, receive_q("done", 2, 1000, 500, 42));
	get(&b, receive_q("other", 1, 1000, 500, 43));
	CHECK_INT(purge("done"), 4);
	CHECK_INT(purge("done"), 0);
	reopen();
	check_peek("done", 1000, "");
	check_peek("other", 1000, "5:1:1500");
	CHECK_INT(counts().messages, 1);
	CHECK_INT(delete_message("done", a.res.messages[0].receipt), 0);
	get(&a, (struct store_query){ .kind = STORE_Q_QUEUES, .now_ms = 1000 });
	CHECK_INT(a.res.n_queues, 2);		/* it stays known */
	CHECK_STR(a.res.queues[0].name, "done");
	CHECK_INT(a.res.queues[0].visible + a.res.queues[0].in_flight, 0);
	/* Ids are free again, and what comes now is found. */
	s = (struct sent){};
	message_put(&s, "done", 1, "again");
	must(&s);
	get(&a, receive_q("done", 10, 1000, 500, 44));
	CHECK_INT(a.res.n_messages, 1);
	CHECK(blob_is(a.res.messages[0].body, "again"));
	CHECK_INT(delete_message("other", b.res.messages[0].receipt), 1);
	store_result_done(&a.res);
	store_result_done(&b.res);
}

/* A leased message goes with the batch it belongs to: what takes it out of the queue and what comes of it are one. */
static void case_messages_go_within_a_batch(void)
{
	struct sent s = {};
	struct answer a = {};

	for (int64_t n = 1; n <= 3; n++)
		message_put(&s, "dead", n, "body");
	must(&s);
	get(&a, receive_q("dead", 2, 1000, 500, 42));

	s = (struct sent){};
	event_put(&s, 1, text("body"));
	message_del(&s, "dead", a.res.messages[0].receipt);
	must(&s);
	check_peek("dead", 1000, "2:1:1500 3:0:0");
	reopen();
	CHECK_INT(counts().events[INV_QUEUED], 1);

	/* None of that receipt: gone already, of another queue, of no queue, no receipt at all. */
	s = (struct sent){};
	event_put(&s, 2, NULL);
	message_del(&s, "dead", a.res.messages[0].receipt);
	message_del(&s, "other", a.res.messages[1].receipt);
	message_del(&s, "dead", "");
	must(&s);
	check_peek("dead", 1000, "2:1:1500 3:0:0");
	CHECK_INT(counts().events[INV_QUEUED], 2);

	/* It may be put again in the batch in which it went, and comes last then. */
	s = (struct sent){};
	message_del(&s, "dead", a.res.messages[1].receipt);
	message_put(&s, "dead", 2, "body");
	must(&s);
	check_peek("dead", 1000, "3:0:0 2:0:0");
	CHECK_INT(counts().messages, 2);
	store_result_done(&a.res);
}

static void case_queue_ids_are_unique(void)
{
	struct sent s = {};
	struct answer a = {};

	message_put(&s, "done", 1, "x");
	must(&s);
	s = (struct sent){};
	message_put(&s, "done", 1, "y");
	CHECK_INT(apply(&s), -EEXIST);
	CHECK(strstr(s.msg, "message 00000001-"));
	s = (struct sent){};
	message_put(&s, "other", 1, "y");
	CHECK_INT(apply(&s), -EEXIST);
	get(&a, receive_q("done", 10, 0, 0, 1));
	CHECK_INT(a.res.n_messages, 1);
	CHECK_INT(delete_message("done", a.res.messages[0].receipt), 1);
	s = (struct sent){};
	message_put(&s, "other", 1, "y");
	must(&s);
	store_result_done(&a.res);
}

static void case_queues_are_listed(void)
{
	struct sent s = {};
	struct answer a = {}, b = {};
	char name[LIM_ARN_MAX + 1];

	memset(name, 'z', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	message_put(&s, "done", 1, "x");
	message_put(&s, "done", 2, "x");
	message_put(&s, "done", 3, "x");
	message_put(&s, "a-queue", 4, "x");
	message_put(&s, name, 5, "x");
	must(&s);
	get(&b, receive_q("done", 1, 1000, 100, 1));
	get(&b, receive_q("a-queue", 1, 1000, 100, 2));
	CHECK_INT(delete_message("a-queue", b.res.messages[0].receipt), 1);
	reopen();
	get(&a, (struct store_query){ .kind = STORE_Q_QUEUES, .now_ms = 1099 });
	CHECK_INT(a.res.n_queues, 3);
	CHECK_STR(a.res.queues[0].name, "a-queue");	/* by name; empty ones stay known */
	CHECK_INT(a.res.queues[0].visible + a.res.queues[0].in_flight, 0);
	CHECK_INT(a.res.queues[0].oldest_sent_at_ms, 0);
	CHECK_STR(a.res.queues[1].name, "done");
	CHECK_INT(a.res.queues[1].visible, 2);
	CHECK_INT(a.res.queues[1].in_flight, 1);
	CHECK_INT(a.res.queues[1].oldest_sent_at_ms, 101);
	CHECK_STR(a.res.queues[2].name, name);
	get(&a, (struct store_query){ .kind = STORE_Q_QUEUES, .now_ms = 1100 });
	CHECK_INT(a.res.queues[1].visible, 3);
	CHECK_INT(a.res.queues[1].in_flight, 0);
	store_result_done(&a.res);
	store_result_done(&b.res);
}

/* Two receivers at once never get the same message. */
static void case_receives_do_not_share(void)
{
	struct sent s = {};
	struct answer a[10] = {};
	int seen[51] = {};

	for (int64_t n = 1; n <= 50; n++)
		message_put(&s, "done", n, "x");
	must(&s);
	for (int i = 0; i < 10; i++)
		ask(&a[i], receive_q("done", 7, 1000, 1000, (uint64_t)i));
	for (int i = 0; i < 10; i++) {
		while (!a[i].done)
			turn();
		CHECK_INT(a[i].result, 0);
		CHECK_INT(a[i].res.n_messages, i < 7 ? 7 : i == 7 ? 1 : 0);
		for (size_t m = 0; m < a[i].res.n_messages; m++) {
			unsigned int id = 0;

			CHECK(sscanf(a[i].res.messages[m].id, "%8x", &id) == 1);
			CHECK(id >= 1 && id <= 50 && !seen[id]++);
		}
		store_result_done(&a[i].res);
	}
}

/* ---- SQLite alone: the file -------------------------------------------------------------------------------- */

static void disk_second_opener_is_refused(void)
{
	struct port_store *second = NULL;
	struct err e = {};
	char pid[32];

	set_up(true);
	CHECK_INT(store_sqlite_open(the_loop, the_path, &second, &e), -EBUSY);
	CHECK(!second);
	CHECK(strstr(e.msg, the_path));
	snprintf(pid, sizeof(pid), "(pid %d)", (int)getpid());
	CHECK(strstr(e.msg, pid));
	/* The first one is unharmed, and once it is gone the next may come. */
	put_events(1, 1);
	reopen();
	CHECK_INT(counts().events[INV_QUEUED], 1);
	tear_down();
}

static void write_file(const char *path, const char *data, size_t len)
{
	FILE *f = fopen(path, "we");

	CHECK(f);
	CHECK(fwrite(data, 1, len, f) == len);
	CHECK(fclose(f) == 0);
}

static void check_refused(int want, const char *why)
{
	struct port_store *s = NULL;
	struct err e = {};

	CHECK_INT(store_sqlite_open(the_loop, the_path, &s, &e), want);
	if (!strstr(e.msg, the_path) || !strstr(e.msg, why))
		FAIL("says \"%s\", without \"%s\"", e.msg, why);
}

static void disk_foreign_files_are_refused_untouched(void)
{
	static const char junk[] = "this is somebody's diary, long enough to be taken for a database's header. Hands off. ...";
	char back[sizeof(junk)] = "";
	sqlite3 *db = NULL;
	FILE *f;

	set_up(true);
	the_store->ops->close(the_store);
	the_store = NULL;

	CHECK(unlink(the_path) == 0);
	write_file(the_path, junk, sizeof(junk) - 1);
	check_refused(-EBADMSG, "not an SQLite database");
	f = fopen(the_path, "re");
	CHECK(f && fread(back, 1, sizeof(back), f) == sizeof(junk) - 1);
	CHECK(fclose(f) == 0);
	CHECK_STR(back, junk);

	CHECK(unlink(the_path) == 0);
	CHECK(sqlite3_open(the_path, &db) == SQLITE_OK);
	CHECK(sqlite3_exec(db, "CREATE TABLE diary (day TEXT)", NULL, NULL, NULL) == SQLITE_OK);
	CHECK(sqlite3_close(db) == SQLITE_OK);
	check_refused(-EBADMSG, "not one of fated's");
	sql("INSERT INTO diary VALUES ('still here')");

	CHECK(unlink(the_path) == 0);
	CHECK(mkdir(the_path, 0700) == 0);
	check_refused(-EINVAL, "not a regular file");
	CHECK(rmdir(the_path) == 0);
	tear_down();
}

static void disk_newer_schema_is_refused(void)
{
	set_up(true);
	the_store->ops->close(the_store);
	the_store = NULL;
	sql("PRAGMA user_version=5");
	check_refused(-EPROTONOSUPPORT, "version 5, this fated knows 4");
	sql("PRAGMA user_version=4");
	open_disk();
	tear_down();
}

static void disk_a_changed_schema_is_refused(void)
{
	set_up(true);
	the_store->ops->close(the_store);
	the_store = NULL;
	sql("DROP INDEX event_active");
	check_refused(-EBADMSG, "schema");
	tear_down();
}

static void disk_missing_directory_is_told(void)
{
	struct port_store *s = NULL;
	struct err e = {};

	set_up(true);
	CHECK_INT(store_sqlite_open(the_loop, "/nonexistent/fated/state.db", &s, &e), -ENOENT);
	CHECK(strstr(e.msg, "/nonexistent/fated/state.db"));
	CHECK_INT(store_sqlite_open(the_loop, "file:x?mode=memory", &s, &e), -EINVAL);
	CHECK_INT(store_sqlite_open(the_loop, ":memory:", &s, &e), -EINVAL);
	CHECK_INT(access(":memory:-lock", F_OK), -1);	/* nothing was made under that name */
	tear_down();
}

static void disk_file_is_private_and_marked(void)
{
	struct stat st;
	sqlite3 *db = NULL;
	sqlite3_stmt *q = NULL;

	set_up(true);
	CHECK(stat(the_path, &st) == 0);
	CHECK_INT(st.st_mode & 07777, 0600);
	reopen();
	CHECK(sqlite3_open(the_path, &db) == SQLITE_OK);
	CHECK(sqlite3_prepare_v2(db, "SELECT (SELECT application_id FROM pragma_application_id), (SELECT user_version FROM"
				 " pragma_user_version), (SELECT journal_mode FROM pragma_journal_mode),"
				 " (SELECT count(*) FROM opening)", -1, &q, NULL) == SQLITE_OK);
	CHECK(sqlite3_step(q) == SQLITE_ROW);
	CHECK_INT(sqlite3_column_int(q, 0), 0x66617465);
	CHECK_INT(sqlite3_column_int(q, 1), 4);
	CHECK_STR((const char *)sqlite3_column_text(q, 2), "wal");
	CHECK_INT(sqlite3_column_int(q, 3), 2);
	sqlite3_finalize(q);
	sqlite3_close(db);
	tear_down();
}

/* The file is as an older version left it, tests/data/fated-vN.sql: nothing open. */
static void write_version(int version)
{
	char text[16384], name[64];
	size_t n;
	FILE *f;

	the_store->ops->close(the_store);
	the_store = NULL;
	snprintf(name, sizeof(name), "tests/data/fated-v%d.sql", version);
	f = fopen(name, "re");
	if (!f)
		FAIL("%s is missing", name);
	n = fread(text, 1, sizeof(text) - 1, f);
	CHECK(n > 0 && n < sizeof(text) - 1 && fclose(f) == 0);
	text[n] = '\0';
	CHECK(unlink(the_path) == 0);
	sql(text);
}

static void check_version_1_events(void)
{
	static const char bytes[] = { 0, (char)0xff, '\'', '"', 0, '\n' };
	struct loaded l = {};
	struct answer a = {};

	must_load(&l);
	CHECK_INT(l.n, 1);
	CHECK_INT(l.next_seq, 9);
	CHECK_STR(buf_str(&l.fates), "[{\"attempt\":1}]");
	CHECK_INT(l.rows[0].verdicts, 0);
	CHECK_INT(l.rows[0].epoch, UINT32_MAX);
	CHECK_INT(l.rows[0].hops, 1);
	CHECK_INT(l.last_started_at_ms, 4000);
	CHECK_STR(buf_str(&l.rest), "running 5; queued resize 2; waiting 1; routing 1; owed file:/var/log/1 1; "
		  "owed file:/var/log/2 1; ");
	get(&a, (struct store_query){ .kind = STORE_Q_LOAD_WAITING, .limit = 10, .bytes_max = 1000 });
	CHECK_INT(a.res.n_loaded, 1);
	CHECK_INT(a.res.loaded[0].row.due_at_ms, 1700000060000);
	CHECK_STR(a.res.loaded[0].fates, "{\"attempt\":1}");
	get(&a, (struct store_query){ .kind = STORE_Q_OUTBOX, .state = -1, .limit = 10 });
	CHECK_INT(a.res.n_outbox, 2);
	CHECK_INT(a.res.outbox[0].tries, 3);
	CHECK_INT(a.res.outbox[0].created_at_ms, 9020);	/* its record's */
	CHECK_STR(a.res.outbox[0].last_error, "connection refused");
	CHECK(blob_is(a.res.outbox[0].body, "{\"version\":\"1.0\"}"));
	get_event(&a, 4);
	CHECK(a.res.payload && a.res.payload->len == sizeof(bytes) && memcmp(a.res.payload->data, bytes, sizeof(bytes)) == 0);
	get_event(&a, 2);
	CHECK_INT(a.res.n_attempts, 2);
	CHECK_INT(a.res.attempts[1].outcome, OUTCOME_TIMEOUT);
	CHECK_INT(a.res.n_records, 1);
	CHECK_INT(a.res.records[0].pos, 2);
	CHECK(blob_is(a.res.records[0].body, "{\"r\":2}"));
	CHECK_INT(counts().events[INV_DONE], 3);
	loaded_done(&l);
	store_result_done(&a.res);
}

static void disk_version_1_goes_on(void)
{
	static const int order[] = { 7, 2, 6, 1 };	/* by at_ms, then by seq */
	struct sent s = {};
	struct answer a = {};
	struct inv_row row = row_of(3);

	set_up(true);
	write_version(1);
	CHECK_INT(sql_int("PRAGMA user_version"), 1);
	CHECK_INT(sql_int("PRAGMA auto_vacuum"), 0);
	open_disk();
	CHECK_INT(sql_int("PRAGMA user_version"), 4);
	CHECK_INT(sql_int("PRAGMA auto_vacuum"), 2);	/* it can give pages back now */
	for (int again = 0; again < 2; again++) {
		check_version_1_events();
		get(&a, (struct store_query){ .kind = STORE_Q_TAIL, .limit = 10 });
		CHECK_INT(a.res.last_pos, 4);
		CHECK_INT(a.res.n_records, ARRAY_SIZE(order));
		for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
			CHECK_INT(a.res.records[i].seq, order[i]);
			CHECK_INT(a.res.records[i].pos, (int64_t)i + 1);
		}
		check_peek("done", 10, "1:1:1500 2:0:0");
		check_peek("dead", 10, "4:0:0");
		get(&a, (struct store_query){ .kind = STORE_Q_QUEUES });
		CHECK_INT(a.res.n_queues, 3);
		reopen();
	}
	CHECK_INT(delete_message("done", "85d28b32-43d0-4de0-8c01-f5e3006aaca6"), 1);	/* leased in the days of version 1 */
	s = (struct sent){};
	row.state = INV_DONE;
	row.condition = COND_CANCELLED;
	row.verdicts = 7;
	row.epoch = 3;
	event_set(&s, row, 2);
	record_put(&s, 3, COND_CANCELLED, "{\"body\":1}");
	must(&s);
	reopen();
	check_tail("", COND_NONE, 4, 10, "3", 5);
	get_event(&a, 3);
	CHECK_INT(a.res.events[0].verdicts, 7);
	/* And SQLite finds no fault with the file. */
	CHECK_INT(sql_int("SELECT integrity_check = 'ok' FROM pragma_integrity_check"), 1);
	CHECK_INT(sql_int("SELECT count(*) FROM pragma_foreign_key_check"), 0);
	store_result_done(&a.res);
	tear_down();
}

static void check_version_2_events(void)
{
	struct loaded l = {};
	struct answer a = {};
	struct store_counts c = counts();

	must_load(&l);
	CHECK_STR(buf_str(&l.rest), "running 5; queued resize 2; queued third 1; waiting 1; routing 1; owed file:/var/log/1 1; ");
	CHECK_INT(l.next_seq, 13);
	CHECK_INT(l.rows[0].epoch, UINT32_MAX);
	CHECK_INT(inv_verdicts(&l.rows[0], OUTCOME_INTERRUPTED), 1);
	CHECK_INT(l.rows[0].hops, 1);
	CHECK_INT(l.rows[0].version + l.rows[0].timeout_ms + l.rows[0].memory_mb + l.rows[0].death + l.rows[0].deaths, 0);
	CHECK_STR(l.rows[0].origin, "");
	/* Of the four that were ROUTING, three had nothing owed. */
	CHECK_INT(c.events[INV_DONE], 6);
	CHECK_INT(c.events[INV_ROUTING], 1);
	CHECK_INT(c.attempts, 10);
	CHECK_INT(c.records, 7);
	CHECK_INT(c.outbox, 1);
	CHECK_INT(c.outbox_failed, 2);
	CHECK_INT(c.messages, 3);
	get_event(&a, 8);
	CHECK_INT(a.res.events[0].state, INV_DONE);
	CHECK_INT(a.res.events[0].condition, COND_RETRIES_EXHAUSTED);
	CHECK_INT(a.res.n_outbox, 1);
	CHECK_INT(a.res.outbox[0].due_at_ms, INT64_MAX);
	CHECK_INT(a.res.outbox[0].created_at_ms, 1700000009004);
	CHECK_STR(a.res.outbox[0].last_error, "gone");
	get(&a, (struct store_query){ .kind = STORE_Q_TAIL, .limit = 10 });
	CHECK_INT(a.res.n_records, 7);
	CHECK_INT(a.res.records[0].seq, 7);
	for (size_t i = 0; i < a.res.n_records; i++)
		CHECK_INT(a.res.records[i].pos, (int64_t)i + 1);
	CHECK_INT(a.res.records[6].seq, 10);
	CHECK_INT(a.res.records[6].condition, COND_CANCELLED);
	check_peek("done", 10, "1:1:1500 2:0:0");
	check_peek("dead", 10, "4:0:0");
	check_peek("empty", 10, "");
	loaded_done(&l);
	store_result_done(&a.res);
}

static void disk_version_2_goes_on(void)
{
	struct sent s = {};

	set_up(true);
	write_version(2);
	CHECK_INT(sql_int("PRAGMA user_version"), 2);
	open_disk();
	CHECK_INT(sql_int("PRAGMA user_version"), 4);
	CHECK_INT(sql_int("PRAGMA auto_vacuum"), 2);
	for (int again = 0; again < 2; again++) {
		check_version_2_events();
		reopen();
	}
	CHECK_INT(delete_message("done", "e542938c-24e9-4ff3-ae91-361e03a870df"), 1);	/* leased in the days of version 2 */
	/* What was acknowledged then is not owed again (I7); what is owed is acknowledged, and its event ends. */
	outbox_put(&s, 7, ROLE_ON_SUCCESS, 1);
	CHECK_INT(apply(&s), -EEXIST);
	s = (struct sent){};
	outbox_op(&s, STORE_OP_OUTBOX_DEL, 6, ROLE_ON_SUCCESS);
	event_done(&s, 6);
	must(&s);
	reopen();
	CHECK_INT(counts().events[INV_ROUTING], 0);
	CHECK_INT(sql_int("SELECT integrity_check = 'ok' FROM pragma_integrity_check"), 1);
	CHECK_INT(sql_int("SELECT count(*) FROM pragma_foreign_key_check"), 0);
	tear_down();
}

static void check_version_3_events(void)
{
	struct loaded l = {};
	struct answer a = {};

	must_load(&l);
	CHECK_STR(buf_str(&l.rest), "anchor 11111111-2222-4333-8444-555555555555 1000 1700000000500; "
		  "version resize:1 at 1700000000000 \"first\" {\"FunctionName\":\"resize\",\"Command\":[\"/bin/true\"]}; "
		  "alias resize:live {\"FunctionVersion\":\"1\"}; "
		  "running 5; queued resize 2; queued third 1; waiting 1; routing 1; owed file:/var/log/1 1; ");
	CHECK_INT(l.next_seq, 13);
	CHECK_INT(l.rows[0].lease_until_ms, 1700000100000);
	CHECK_INT(l.rows[0].deaths, 2);
	CHECK_INT(l.rows[0].once, false);
	get_event(&a, 11);
	CHECK_INT(a.res.events[0].version, 1);
	CHECK_INT(a.res.events[0].hops, 3);
	CHECK_INT(a.res.events[0].timeout_ms, 5000);
	CHECK_INT(a.res.events[0].memory_mb, 256);
	check_repeats(2, "11");		/* its index was made for what there was */
	ENDED("8", 0, .condition = COND_RETRIES_EXHAUSTED);
	CHECK_INT(counts().events[INV_DONE], 6);
	loaded_done(&l);
	store_result_done(&a.res);
}

static void disk_version_3_goes_on(void)
{
	struct inv_row row = row_of(4);
	struct answer a = {};
	struct sent s = {};

	set_up(true);
	write_version(3);
	CHECK_INT(sql_int("PRAGMA user_version"), 3);
	open_disk();
	CHECK_INT(sql_int("PRAGMA user_version"), 4);
	for (int again = 0; again < 2; again++) {
		check_version_3_events();
		reopen();
	}
	row.state = INV_RUNNING;
	row.epoch = 1;
	row.once = true;
	event_set(&s, row, 0);
	must(&s);
	reopen();
	get_event(&a, 4);
	CHECK(a.res.events[0].once);
	store_result_done(&a.res);
	CHECK_INT(sql_int("SELECT integrity_check = 'ok' FROM pragma_integrity_check"), 1);
	CHECK_INT(sql_int("SELECT count(*) FROM pragma_foreign_key_check"), 0);
	tear_down();
}

/* Places are kept as they are, holes and all; a record that has lost its own comes last. */
static void disk_version_2_record_without_a_place_is_kept(void)
{
	static const int64_t order[] = { 7, 2, 6, 8, 1, 10, 9 }, places[] = { 1, 2, 4, 5, 6, 70, 71 };
	struct answer a = {};

	set_up(true);
	write_version(2);
	sql("DELETE FROM record_pos WHERE seq = 9; UPDATE record_pos SET pos = 70 WHERE seq = 10");
	open_disk();
	get(&a, (struct store_query){ .kind = STORE_Q_TAIL, .limit = 10 });
	CHECK_INT(a.res.n_records, ARRAY_SIZE(order));
	CHECK_INT(a.res.last_pos, 71);
	for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
		CHECK_INT(a.res.records[i].seq, order[i]);
		CHECK_INT(a.res.records[i].pos, places[i]);
	}
	CHECK_INT(sql_int("SELECT count(*) FROM pragma_foreign_key_check"), 0);
	store_result_done(&a.res);
	tear_down();
}

/* What cannot have been written by us is an error that names the row, in a load and in a query. */
static void disk_impossible_rows_are_named(void)
{
	static const struct { const char *sql, *says; bool at_load; } bad[] = {
		{ "UPDATE event SET state = 9 WHERE seq = 2", "state", true },
		{ "UPDATE event SET condition = 8 WHERE seq = 2", "event 2: condition 8", true },
		{ "UPDATE event SET epoch = 4294967296 WHERE seq = 2", "event 2: epoch 4294967296", true },
		{ "UPDATE event SET attempts = -3 WHERE seq = 2", "event 2: attempts -3", true },
		{ "UPDATE event SET version = -1 WHERE seq = 2", "event 2: version -1", true },
		{ "UPDATE event SET hops = -1 WHERE seq = 2", "event 2: hops -1", true },
		{ "UPDATE event SET origin = hex(zeroblob(40)) WHERE seq = 2", "event 2: origin is too long", true },
		{ "UPDATE event SET timeout_ms = 4294967296 WHERE seq = 2", "event 2: timeout_ms 4294967296", true },
		{ "UPDATE event SET memory_mb = -1 WHERE seq = 2", "event 2: memory_mb -1", true },
		{ "UPDATE event SET death = -1 WHERE seq = 2", "event 2: death -1", true },
		{ "UPDATE event SET deaths = -1 WHERE seq = 2", "event 2: deaths -1", true },
		{ "UPDATE event SET function = hex(zeroblob(40)) WHERE seq = 2", "event 2: function is too long", true },
		{ "UPDATE event SET function = 'a' || char(0) || 'b' WHERE seq = 2", "event 2: function is", true },
		{ "UPDATE attempt SET outcome = 13 WHERE seq = 2", "attempt of event 2: outcome 13", true },
		{ "UPDATE attempt SET start = 0 WHERE seq = 2", "attempt of event 2: start 0", true },
		{ "UPDATE record SET condition = 0 WHERE seq = 2", "record of event 2: condition 0", false },
		{ "UPDATE record SET condition = 8 WHERE seq = 2", "record of event 2: condition 8", false },
		{ "UPDATE record SET pos = 0 WHERE seq = 2", "record of event 2: pos 0", false },
		{ "UPDATE outbox SET tries = -1", "outbox row of event 2: tries -1", false },
		{ "DELETE FROM outbox_body", "outbox row of event 2: body's id is not a number", false },
	};
	char says[128];

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct sent s = {};
		struct loaded l = {};
		struct answer a = {};
		struct err e = {};
		struct store_query q = { .kind = STORE_Q_EVENT };

		set_up(true);
		put_events(1, 3);
		event_state(&s, 2, INV_RUNNING, COND_NONE);
		attempt_put(&s, 2, 1, 1);
		record_put(&s, 2, COND_SUCCESS, "{}");
		outbox_put(&s, 2, ROLE_ON_SUCCESS, 1);
		must(&s);
		sql(bad[i].sql);
		snprintf(says, sizeof(says), "%s", bad[i].says);
		CHECK_INT(load(&l, &e), bad[i].at_load ? -EBADMSG : 0);
		if (bad[i].at_load && (!strstr(e.msg, says) || !strstr(e.msg, the_path)))
			FAIL("load says \"%s\", without \"%s\"", e.msg, says);
		loaded_done(&l);
		uuid_of(2, q.request_id);
		ask(&a, q);
		while (!a.done)
			turn();
		CHECK_INT(a.result, -EBADMSG);
		if (!strstr(a.msg, says))
			FAIL("query says \"%s\", without \"%s\"", a.msg, says);
		CHECK_INT(a.res.n_events, 0);	/* no half answers */
		q.kind = STORE_Q_LOAD_EVENT;
		ask(&a, q);
		while (!a.done)
			turn();
		CHECK_INT(a.result, bad[i].at_load ? -EBADMSG : 0);
		CHECK_INT(a.res.n_loaded, !bad[i].at_load);
		/* The good ones are still answered. */
		get_event(&a, 3);
		CHECK_INT(a.res.n_events, 1);
		store_result_done(&a.res);
		tear_down();
	}
}

/* The same for what only a load reads, and only a page of the outbox. */
static void disk_other_impossible_rows_are_named(void)
{
	static const struct { const char *sql, *says; } bad[] = {
		{ "UPDATE anchor SET boot_id = ''", "anchor 1: boot_id is empty" },
		{ "UPDATE anchor SET boot_id = hex(zeroblob(30))", "anchor 1: boot_id is too long" },
		{ "UPDATE function_version SET version = 0", "version 0: version 0 is not within" },
		{ "UPDATE function_version SET version = 4294967296", "version 4294967296: version 4294967296" },
		{ "UPDATE function_version SET function = ''", "version 1: function is empty" },
		{ "UPDATE function_version SET function = hex(zeroblob(40))", "version 1: function is too long" },
		{ "UPDATE function_version SET description = 'a' || char(0) || 'b'", "version 1: description is not a text" },
		{ "UPDATE alias SET name = ''", "alias 0: name is empty" },
		{ "UPDATE alias SET name = hex(zeroblob(80))", "alias 0: name is too long" },
		{ "UPDATE event SET function = hex(zeroblob(40)) WHERE seq = 1", "events queued 0: function is too long" },
		{ "UPDATE outbox SET target = hex(zeroblob(200))", "deliveries owed 0: target is too long" },
		{ "UPDATE trimmed SET seq = 9223372036854775807", "event 9223372036854775807: its number is out of range" },
		{ "UPDATE event SET state = 9 WHERE seq = 1", "state or condition 9" },
		{ "UPDATE event SET state = -1 WHERE seq = 1", "state or condition -1" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct sent s = {};
		struct loaded l = {};
		struct err e = {};

		set_up(true);
		put_events(1, 2);
		anchor_put(&s, "b", 1, 2);
		version_put(&s, "resize", 1, "first", "{}");
		alias_put(&s, "resize", "live", "{}");
		outbox_put(&s, 2, ROLE_ON_SUCCESS, 1);
		must(&s);
		must_load(&l);
		loaded_done(&l);
		sql(bad[i].sql);
		CHECK_INT(load(&l, &e), -EBADMSG);
		if (!strstr(e.msg, bad[i].says) || !strstr(e.msg, the_path))
			FAIL("load says \"%s\", without \"%s\"", e.msg, bad[i].says);
		loaded_done(&l);
		tear_down();
	}
}

/* A delivery whose event is gone is told, not passed over: somebody counts it as owed. */
static void disk_delivery_without_event_is_named(void)
{
	struct sent s = {};
	struct answer a = {};
	struct store_query q = { .kind = STORE_Q_LOAD_OUTBOX, .limit = 10, .target = "file:/var/log/1" };

	set_up(true);
	put_events(1, 2);
	outbox_put(&s, 2, ROLE_ON_SUCCESS, 1);
	must(&s);
	sql("PRAGMA foreign_keys=OFF; DELETE FROM event WHERE seq = 2");
	ask(&a, q);
	while (!a.done)
		turn();
	CHECK_INT(a.result, -EBADMSG);
	if (!strstr(a.msg, "outbox row of event 2: function is not a text"))
		FAIL("query says \"%s\"", a.msg);
	store_result_done(&a.res);
	tear_down();
}

/* Written again it would end the daemon (store_row.c asserts): found by tests/fuzz/fuzz_row.c. */
static void disk_event_without_request_id_is_named(void)
{
	struct sent s = {};
	struct loaded l = {};
	struct err e = {};

	set_up(true);
	put_events(1, 3);
	event_state(&s, 2, INV_RUNNING, COND_NONE);
	must(&s);
	sql("UPDATE event SET request_id = '' WHERE seq = 2");
	CHECK_INT(load(&l, &e), -EBADMSG);
	if (!strstr(e.msg, "event 2: request_id is empty"))
		FAIL("load says \"%s\"", e.msg);
	loaded_done(&l);
	tear_down();
}

/* Large payloads lie apart: a change of state writes a few pages, not the payload again. */
static void disk_state_changes_do_not_rewrite_payloads(void)
{
	struct sent s = {};
	struct stat before, after;
	char wal[128];

	set_up(true);
	event_put(&s, 1, blob_new(NULL, 4 << 20));
	must(&s);
	snprintf(wal, sizeof(wal), "%s-wal", the_path);
	reopen();		/* an empty log */
	put_events(2, 2);
	CHECK(stat(wal, &before) == 0);
	s = (struct sent){};
	event_state(&s, 1, INV_RUNNING, COND_NONE);
	must(&s);
	CHECK(stat(wal, &after) == 0);
	CHECK(after.st_size - before.st_size < 65536);
	tear_down();
}

/* Ends in another order than the acceptances: a record is written behind the last one, and splits no page of others. */
static void disk_ends_out_of_order_split_no_pages(void)
{
	enum { EVENTS = 2048, A_COMMIT = 64, STEP = EVENTS / A_COMMIT };
	char wal[128], body[1001];
	struct stat before = {}, after = {};
	int64_t page, grown;

	memset(body, 'x', sizeof(body) - 1);
	body[sizeof(body) - 1] = '\0';
	set_up(true);
	put_events(1, EVENTS);
	snprintf(wal, sizeof(wal), "%s-wal", the_path);
	reopen();		/* an empty log */
	page = sql_int("PRAGMA page_size");
	for (int64_t turn = 0; turn < STEP; turn++) {
		struct sent s = {};

		for (int64_t n = 0; n < A_COMMIT; n++)
			record_put(&s, 1 + n * STEP + turn * 13 % STEP, COND_SUCCESS, body);
		CHECK(turn == 0 || stat(wal, &before) == 0);
		must(&s);
		CHECK(stat(wal, &after) == 0);
		grown = (after.st_size - before.st_size) / page;
		if (turn && grown >= A_COMMIT)
			FAIL("turn %" PRId64 ": %d ends wrote %" PRId64 " pages", turn, A_COMMIT, grown);
	}
	CHECK_INT(counts().records, EVENTS);
	tear_down();
}

/* What is deleted goes back to the file system, some pages at a time. */
static void disk_trim_gives_pages_back(void)
{
	struct sent s = {};
	struct answer a = {};
	struct store_query q = { .kind = STORE_Q_TRIM, .until_ms = INT64_MAX, .limit = 1000 };
	int64_t page, pages, first, given;

	set_up(true);
	CHECK_INT(sql_int("PRAGMA auto_vacuum"), 2);
	page = sql_int("PRAGMA page_size");
	for (int64_t seq = 1; seq <= 10; seq++)
		put_ended(&s, seq, 400 << 10);
	must(&s);
	pages = first = sql_int("PRAGMA page_count");
	CHECK(pages > 1000);
	for (int i = 0; i == 0 || a.res.bytes_free; i++) {
		CHECK(i < 20);
		get(&a, q);
		CHECK_INT(a.res.affected, i ? 0 : 10);
		CHECK(!a.res.more);
		given = pages - sql_int("PRAGMA page_count");
		CHECK(given <= STORE_TRIM_PAGES + 2);	/* with a page about pages, now and then */
		CHECK(given >= STORE_TRIM_PAGES || !a.res.bytes_free);
		pages -= given;
		CHECK_INT(a.res.bytes_used + a.res.bytes_free, pages * page);
	}
	CHECK(pages < first / 10);
	reopen();
	CHECK_INT(sql_int("SELECT integrity_check = 'ok' FROM pragma_integrity_check"), 1);
	store_result_done(&a.res);
	tear_down();
}

/* ---- memory alone: what a simulation steers ---------------------------------------------------------------- */

static void mem_crash_drops_what_was_not_run(void)
{
	struct sent s[4] = {};

	set_up(false);
	for (int i = 0; i < 4; i++) {
		event_put(&s[i], i + 1, text("{}"));
		give(&s[i]);
	}
	CHECK_INT(store_mem_pending(the_store), 4);
	CHECK(store_mem_run(the_store));
	store_mem_crash_after(the_store, 2);	/* two more reached the disk, but nobody heard of it */
	CHECK(s[0].done && !s[1].done && !s[2].done && !s[3].done);
	CHECK_INT(store_mem_pending(the_store), 0);
	CHECK(!store_mem_run(the_store));
	CHECK_INT(counts().events[INV_QUEUED], 3);
	give(&s[3]);
	store_mem_crash(the_store);
	CHECK(!s[3].done);
	CHECK_INT(counts().events[INV_QUEUED], 3);
	for (int i = 0; i < 4; i++)
		store_batch_done(&s[i].b);
	tear_down();
}

static void mem_fails_when_told(void)
{
	set_up(false);
	store_mem_fail_next(the_store, 3, -EIO);
	for (int64_t seq = 1; seq <= 5; seq++) {
		struct sent s = {};

		event_put(&s, seq, NULL);
		CHECK_INT(apply(&s), seq == 3 ? -EIO : 0);
		CHECK(s.failed == SIZE_MAX);	/* not about the operation */
	}
	CHECK_INT(counts().events[INV_QUEUED], 4);
	tear_down();
}

static void mem_peek_answers_at_once(void)
{
	struct sent s = {};
	struct answer a = {};
	struct store_query q = { .kind = STORE_Q_COUNTS, .arg = &a, .done = answer_done };

	set_up(false);
	event_put(&s, 1, NULL);
	give(&s);
	store_mem_peek(the_store, &q);
	CHECK(a.done);
	CHECK_INT(a.res.counts.events[INV_QUEUED], 0);	/* not run yet */
	CHECK_INT(await(&s), 0);
	store_mem_peek(the_store, &q);
	CHECK_INT(a.res.counts.events[INV_QUEUED], 1);
	store_batch_done(&s.b);
	tear_down();
}

static void close_of_nothing(void)
{
	struct port_store *s = store_mem_new();

	s->ops->close(s);
	s = store_mem_new();
	s->ops->close(NULL);
	s->ops->close(s);
	set_up(true);
	the_store->ops->close(NULL);
	tear_down();
}

/* ---- both engines ------------------------------------------------------------------------------------------ */

#define CASES(X) \
	X(is_empty_at_first) X(an_empty_batch_is_reported) X(event_comes_back_whole) X(event_must_be_new) \
	X(event_set_is_fenced) X(event_set_keeps_what_came_with_it) X(payload_may_be_anything) \
	X(payload_of_six_megabytes) X(batch_is_all_or_nothing) X(a_failing_batch_spoils_no_other) \
	X(operations_of_a_batch_see_each_other) X(batches_keep_their_order) X(done_may_give_the_next) \
	X(queries_see_what_was_reported) X(attempts) X(one_record_per_event) \
	X(outbox_row_comes_back_whole) X(outbox_is_unique_for_ever) X(load_gives_what_is_open) \
	X(load_tells_the_last_start) X(ten_thousand_events) X(lists_of_events) X(lists_of_records) \
	X(tail_of_records) X(large_records_come_in_short_pages) X(bad_queries_are_refused) X(queue_receive_and_delete) \
	X(queue_peek) X(messages_are_given_back) X(queue_purge) X(messages_go_within_a_batch) \
	X(queue_ids_are_unique) X(queues_are_listed) X(receives_do_not_share) X(close_reports_everything_first) \
	X(event_ends_when_nothing_is_owed) X(ends_are_told_to_each) X(versions_and_aliases) X(pages_of_queued_events) \
	X(pages_of_waiting_events) X(one_event_is_loaded) X(pages_of_deliveries) X(ended_events) \
	X(ended_and_sent_again) X(ended_looks_at_so_many) \
	X(trim_by_age) X(trim_leaves_what_repeats_one_that_stays) X(trimmed_numbers_are_not_given_again) \
	X(trim_finds_the_old_behind_the_young) X(trim_by_size) \
	X(purge_is_bounded)

#define DEFINE(name) \
	static void sqlite_##name(void) { set_up(true); case_##name(); tear_down(); } \
	static void mem_##name(void) { set_up(false); case_##name(); tear_down(); }
CASES(DEFINE)

int main(void)
{
#define RUN_BOTH(name) RUN(sqlite_##name); RUN(mem_##name);
	CASES(RUN_BOTH)
	RUN(disk_second_opener_is_refused);
	RUN(disk_foreign_files_are_refused_untouched);
	RUN(disk_version_1_goes_on);
	RUN(disk_version_2_goes_on);
	RUN(disk_version_3_goes_on);
	RUN(disk_version_2_record_without_a_place_is_kept);
	RUN(disk_newer_schema_is_refused);
	RUN(disk_a_changed_schema_is_refused);
	RUN(disk_missing_directory_is_told);
	RUN(disk_file_is_private_and_marked);
	RUN(disk_impossible_rows_are_named);
	RUN(disk_other_impossible_rows_are_named);
	RUN(disk_delivery_without_event_is_named);
	RUN(disk_event_without_request_id_is_named);
	RUN(disk_state_changes_do_not_rewrite_payloads);
	RUN(disk_ends_out_of_order_split_no_pages);
	RUN(disk_trim_gives_pages_back);
	RUN(mem_crash_drops_what_was_not_run);
	RUN(mem_fails_when_told);
	RUN(mem_peek_answers_at_once);
	RUN(close_of_nothing);
	TEST_END();
}
