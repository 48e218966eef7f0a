/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The API on a real server, with an engine and a store that are scripted: what a function does is in its name, what the
 * store holds is fixed. Both answer from the loop's next turn, as the real ones do. What the last turn leaves is settled
 * when the rig is taken down: the engine has been told to forget, the store answers, though nobody listens.
 */
#include "api/api.h"
#include "base/list.h"
#include "engine/engine.h"
#include "test_http_rig.h"

#define FAKE_ID "11111111-2222-4333-8444-555555555555"		/* of every invocation and of the stored event */
#define FAKE_FAILED_ID "99999999-2222-4333-8444-555555555555"	/* its record says RetriesExhausted */
#define FAKE_OPEN_ID "77777777-2222-4333-8444-555555555555"	/* has not ended and will not */
#define FAKE_QUEUED_ID "66666666-2222-4333-8444-555555555555"	/* open, and it neither waits nor can be ended */
#define FAKE_RECEIPT "aaaaaaaa-2222-4333-8444-555555555555"
#define FAKE_NOW_MS 1795478400000LL				/* 2026-11-24T00:00:00Z */
#define FAKE_RECORD "{\"version\":\"1.0\",\"timestamp\":\"2026-11-24T00:00:00.000Z\"," \
	"\"requestContext\":{\"requestId\":\"" FAKE_ID "\"," \
	"\"functionArn\":\"arn:aws:lambda:us-east-1:000000000000:function:echo:$LATEST\"," \
	"\"condition\":\"Success\",\"approximateInvokeCount\":1},\"requestPayload\":{\"n\":12345678901234567890.10}," \
	"\"responseContext\":{\"statusCode\":200,\"executedVersion\":\"$LATEST\"},\"responsePayload\":\"\\u00e9\"}"
#define FAKE_FAILED_RECORD "{\"version\":\"1.0\",\"timestamp\":\"2026-11-24T00:00:00.000Z\",\"requestContext\":{\"requestId\":\"" \
	FAKE_FAILED_ID "\",\"functionArn\":\"arn:aws:lambda:us-east-1:000000000000:function:resize:$LATEST\"," \
	"\"condition\":\"RetriesExhausted\",\"approximateInvokeCount\":3},\"requestPayload\":{}," \
	"\"responseContext\":{\"statusCode\":200,\"executedVersion\":\"$LATEST\",\"functionError\":\"Unhandled\"}," \
	"\"responsePayload\":{\"errorMessage\":\"RequestId: " FAKE_FAILED_ID " Error: Task timed out after 3.00 seconds\"," \
	"\"errorType\":\"Sandbox.Timedout\"}," \
	"\"fate\":{\"attempts\":[{\"attempt\":1,\"verdict\":\"Signal\"},{\"attempt\":2,\"verdict\":\"Timeout\"}]}}"
#define FAKE_PAYLOAD "{\"n\":12345678901234567890.10}"

struct engine {
	struct registry *registry;
	bool in_doubt;
	int lost_events, lost_processes;	/* by how much the books do not balance */
	bool fallback;				/* there is no kernel half */
	bool worries;				/* everything that status warns of */
	int invoked, abandoned, reloads;
	struct arn_function last_fn;		/* of the last invocation */
	enum intake_type last_type;
	char last_payload[128];
	uint64_t handles;
	uint64_t hanging;			/* handle of the last invocation that is never answered */
	bool redrives_hang;
	int redrive_status;			/* 0 = 202 */
	int redriven;
	char last_receipt[ID_UUID_LEN + 1], last_origin[ID_UUID_LEN + 1];
	int last_timeout_ms, last_memory_mb;
	int busy_at;				/* the redrive with this number (1, 2, …) is refused with 429; 0 = none */
	int draining, failures;			/* failures: deliveries that could not be made */
	int64_t clock_step_ms;
	int alias_status, version_run;		/* 0 = as it should be; the version of synchronous answers */
	int delivery_status;			/* 0 = 200 */
	int retried, dropped;
	char last_target[64];			/* of the delivery */
	struct buf redrives;			/* "FUNCTION[:QUALIFIER] PAYLOAD\n" of each */
};

struct fake_query { struct list node; sd_event_source *src; struct store_query q; int result; };
struct fake {
	struct rig rig;
	struct engine engine;
	struct port_store store;
	struct store_query last;		/* the last one asked; but STORE_Q_GIVE_BACK is here: */
	struct store_query given_back;
	int give_back_error;			/* what that one fails with */
	int store_error;			/* what queries fail with; 0 = they do not */
	int event_error;			/* what STORE_Q_EVENT alone fails with */
	bool last_turn;				/* the loop ends with what is asked next, before the answer */
	bool store_hangs;
	enum store_query_kind hangs_on;		/* this kind only */
	int tails;				/* how often it was asked for */
	int64_t last_pos;			/* of the tail: records 1 to it, every second one failed */
	bool failing;				/* FAKE_ID's record is the failed one */
	int deleted;				/* messages */
	int purge_parts;			/* in so many answers */
	int ended, ended_every;			/* events of STORE_Q_ENDED: seqs up to it that it divides */
	int ended_scan;				/* a page looks at so many seqs */
	int failed;				/* deliveries of STORE_Q_OUTBOX with state 1: of events 1 to it */
	size_t log_bytes;			/* of a log that were asked for last */
	struct fake_query *held;		/* the query that hangs */
	struct list answers, queries;		/* that wait for the loop's next turn */
	struct api *api;
};
static struct fake fake;

static struct blob *fake_blob(const char *text)
{
	return blob_new(text, strlen(text));
}

/* ---- the engine */

struct fake_answer {
	struct list node;
	sd_event_source *src;
	uint64_t handle;
	intake_reply_fn reply;
	void *arg;
	char name[LIM_FUNCTION_NAME_MAX + 1];
	enum intake_type type;
	struct blob *payload;
	bool wait, open;
	int status;				/* what is answered at once */
	int version;
};

static void fake_refuse(struct fake_answer *a, int status, const char *type, const char *message, const char *reason)
{
	a->reply(a->arg, &(struct intake_reply){ .status = status, .error_type = type, .error_message = message,
						 .error_reason = reason,
						 .request_id = FAKE_ID });
}

static void fake_outcome(struct fake_answer *a, enum outcome_kind kind, struct blob *payload)
{
	struct outcome o = { .kind = kind, .payload = payload };

	a->reply(a->arg, &(struct intake_reply){ .status = 200, .request_id = FAKE_ID, .outcome = &o, .fate = "{}",
						 .version = fake.engine.version_run });
}

static void fake_answer_free(struct fake_answer *a)
{
	list_del(&a->node);
	sd_event_source_disable_unref(a->src);
	blob_unref(a->payload);
	free(a);
}

static int fake_answer_now(sd_event_source *src, void *arg)
{
	static const char timeout[] = "{\"errorType\":\"Sandbox.Timedout\",\"errorMessage\":\"RequestId: " FAKE_ID
				      " Error: Task timed out after 3.00 seconds\"}";
	struct fake_answer *a = arg;
	struct blob *b = NULL;

	list_del(&a->node);
	if (a->status == 409)
		fake_refuse(a, 409, "ResourceConflictException", "The event is ending already", NULL);
	else if (a->status == 503)
		fake_refuse(a, 503, "ServiceException", "The event store is in doubt", NULL);
	else if (a->status == 404)
		fake_refuse(a, 404, "ResourceNotFoundException", "No such event is open", NULL);
	else if (a->status == 429)
		fake_refuse(a, 429, "TooManyRequestsException", "Rate Exceeded.", "CallerRateLimitExceeded");
	else if (a->status)
		a->reply(a->arg, &(struct intake_reply){ .status = a->status, .request_id = FAKE_ID, .version = a->version });
	else if (a->wait)
		a->open ? fake_outcome(a, OUTCOME_SUCCESS, NULL) : fake_refuse(a, 404, "ResourceNotFoundException",
									       "not open", NULL);
	else if (strcmp(a->name, "nope") == 0)
		fake_refuse(a, 404, "ResourceNotFoundException",
			    "Function not found: arn:aws:lambda:us-east-1:000000000000:function:nope:$LATEST", NULL);
	else if (strcmp(a->name, "throttled") == 0)
		fake_refuse(a, 429, "TooManyRequestsException", "Rate Exceeded.",
			    "ReservedFunctionConcurrentInvocationLimitExceeded");
	else if (strcmp(a->name, "doubt") == 0)
		fake_refuse(a, 503, "ServiceException", "The store is in doubt: disk full", NULL);
	else if (strcmp(a->name, "hostfault") == 0)
		fake_refuse(a, 500, "ServiceException", "clone3: \"Resource\" temporarily unavailable", NULL);
	else if (a->type == INTAKE_ASYNC)
		a->reply(a->arg, &(struct intake_reply){ .status = 202, .request_id = FAKE_ID });
	else if (a->type == INTAKE_DRY_RUN)
		a->reply(a->arg, &(struct intake_reply){ .status = 204, .request_id = FAKE_ID });
	else if (strcmp(a->name, "timeout") == 0)
		fake_outcome(a, OUTCOME_TIMEOUT, b = fake_blob(timeout));
	else if (strcmp(a->name, "silent") == 0)
		fake_outcome(a, OUTCOME_SUCCESS, NULL);
	else
		fake_outcome(a, OUTCOME_SUCCESS, a->payload);
	blob_unref(b);
	fake_answer_free(a);
	return 0;
}

static void fake_later(struct engine *e, struct fake_answer *a)
{
	a->handle = e->handles;
	list_add_tail(&fake.answers, &a->node);
	assert(sd_event_add_defer(fake.rig.loop, &a->src, fake_answer_now, a) >= 0);
	if (fake.last_turn)
		sd_event_exit(fake.rig.loop, 0);
}

uint64_t intake_invoke(struct engine *e, enum intake_type type, const struct arn_function *fn, struct blob *payload,
		       intake_reply_fn reply, void *arg, char ret_request_id[ID_UUID_LEN + 1])
{
	struct fake_answer *a = calloc(1, sizeof(*a));

	*a = (struct fake_answer){ .reply = reply, .arg = arg, .type = type, .payload = blob_ref(payload) };
	memcpy(a->name, fn->name, sizeof(a->name));
	memcpy(ret_request_id, FAKE_ID, sizeof(FAKE_ID));
	e->last_fn = *fn;
	e->last_type = type;
	snprintf(e->last_payload, sizeof(e->last_payload), "%.100s", payload->data);
	e->handles++;
	if (strcmp(fn->name, "hang") == 0) {
		e->hanging = e->handles;
		blob_unref(payload);
		free(a);
	} else {
		fake_later(e, a);
	}
	__atomic_add_fetch(&e->invoked, 1, __ATOMIC_SEQ_CST);
	return e->handles;
}

uint64_t intake_wait(struct engine *e, const char *request_id, intake_reply_fn reply, void *arg)
{
	struct fake_answer *a = calloc(1, sizeof(*a));

	*a = (struct fake_answer){ .reply = reply, .arg = arg, .wait = true, .open = strcmp(request_id, FAKE_FAILED_ID) == 0 };
	e->handles++;
	if (strcmp(request_id, FAKE_OPEN_ID) == 0) {
		e->hanging = e->handles;
		free(a);
	} else {
		fake_later(e, a);
	}
	__atomic_add_fetch(&e->invoked, 1, __ATOMIC_SEQ_CST);
	return e->handles;
}

static uint64_t fake_about(struct engine *e, const char *request_id, int good, intake_reply_fn reply, void *arg)
{
	struct fake_answer *a = calloc(1, sizeof(*a));

	*a = (struct fake_answer){ .reply = reply, .arg = arg };
	a->status = strcmp(request_id, FAKE_OPEN_ID) == 0 ? good : strcmp(request_id, FAKE_QUEUED_ID) == 0 ? 409 : 404;
	if (__atomic_load_n(&e->in_doubt, __ATOMIC_SEQ_CST))
		a->status = 503;
	e->handles++;
	fake_later(e, a);
	return e->handles;
}

uint64_t intake_cancel(struct engine *e, const char *request_id, intake_reply_fn reply, void *arg)
{
	return fake_about(e, request_id, 202, reply, arg);
}

uint64_t intake_retry(struct engine *e, const char *request_id, intake_reply_fn reply, void *arg)
{
	return fake_about(e, request_id, 200, reply, arg);
}

uint64_t intake_redrive(struct engine *e, const struct intake_redrive *r, intake_reply_fn reply, void *arg,
			char ret_request_id[ID_UUID_LEN + 1])
{
	struct fake_answer *a = calloc(1, sizeof(*a));

	*a = (struct fake_answer){ .reply = reply, .arg = arg, .status = e->redrive_status ?: 202 };
	memcpy(ret_request_id, FAKE_ID, sizeof(FAKE_ID));
	buf_addf(&e->redrives, "%s%s%s %.*s\n", r->fn.name, r->fn.qualifier[0] ? ":" : "", r->fn.qualifier, (int)r->payload->len,
		 r->payload->data);
	snprintf(e->last_receipt, sizeof(e->last_receipt), "%s", r->receipt ? r->receipt : "");
	snprintf(e->last_origin, sizeof(e->last_origin), "%s", r->origin ? r->origin : "");
	e->last_timeout_ms = r->timeout_ms;
	e->last_memory_mb = r->memory_mb;
	e->handles++;
	if (e->busy_at == e->redriven + 1)
		a->status = 429;
	if (e->redrives_hang)
		free(a);
	else
		fake_later(e, a);
	__atomic_add_fetch(&e->redriven, 1, __ATOMIC_SEQ_CST);
	return e->handles;
}

static uint64_t fake_status_answer(struct engine *e, int status, int version, intake_reply_fn reply, void *arg)
{
	struct fake_answer *a = calloc(1, sizeof(*a));

	*a = (struct fake_answer){ .reply = reply, .arg = arg, .status = status, .version = version };
	e->handles++;
	fake_later(e, a);
	return e->handles;
}

uint64_t intake_delivery(struct engine *e, enum delivery_wish wish, const struct store_op_outbox *row, intake_reply_fn reply,
			 void *arg)
{
	snprintf(e->last_target, sizeof(e->last_target), "%s", row->target);
	if (wish == DELIVERY_DROP)
		__atomic_add_fetch(&e->dropped, 1, __ATOMIC_SEQ_CST);
	else
		__atomic_add_fetch(&e->retried, 1, __ATOMIC_SEQ_CST);
	return fake_status_answer(e, e->delivery_status ?: 200, 0, reply, arg);
}

#define FAKE_VERSIONS_MAX 100	/* a fuzzer would publish for ever */

/* As the engine does it: the next number. */
uint64_t intake_publish(struct engine *e, const char *function, const char *description, intake_reply_fn reply, void *arg)
{
	struct func *const *list, *f, *latest = registry_get(e->registry, function);
	size_t n = registry_versions(e->registry, function, &list);
	struct func_problems problems = {};

	if (e->alias_status || n >= FAKE_VERSIONS_MAX)
		return fake_status_answer(e, e->alias_status ?: 201, e->alias_status ? (int)n + 1 : (int)n, reply, arg);
	assert(latest && latest->source);
	assert(func_parse(latest->source->data, latest->source->len, &f, &problems) == 0);
	f->version = n ? list[n - 1]->version + 1 : 1;
	f->published_at_ms = FAKE_NOW_MS + f->version;
	f->published_as = description ? strdup(description) : NULL;
	registry_publish(e->registry, f);
	func_unref(f);
	return fake_status_answer(e, 201, (int)n + 1, reply, arg);
}

uint64_t intake_alias_set(struct engine *e, const struct alias *a, bool must_exist, intake_reply_fn reply, void *arg)
{
	struct alias *copy, **list;
	char revision[64];
	size_t n = registry_aliases(e->registry, a->function, &list);

	free(list);
	if (n >= FAKE_VERSIONS_MAX)
		return fake_status_answer(e, 503, 0, reply, arg);
	if (e->alias_status || (!must_exist && registry_alias(e->registry, a->function, a->name)))
		return fake_status_answer(e, e->alias_status ?: 409, 0, reply, arg);
	copy = alias_new();
	free(copy->description);
	*copy = *a;
	copy->refs = 1;
	copy->description = strdup(a->description);
	snprintf(revision, sizeof(revision), "%08d-0000-4000-8000-000000000000", (int)e->handles);
	memcpy(copy->revision, revision, sizeof(copy->revision));
	registry_alias_set(e->registry, copy);
	alias_unref(copy);
	return fake_status_answer(e, must_exist ? 200 : 201, 0, reply, arg);
}

uint64_t intake_alias_delete(struct engine *e, const char *function, const char *name, intake_reply_fn reply, void *arg)
{
	registry_alias_del(e->registry, function, name);
	return fake_status_answer(e, e->alias_status ?: 204, 0, reply, arg);
}

void intake_abandon(struct engine *e, uint64_t handle)
{
	struct fake_answer *waits = NULL;

	list_for_each_safe(l, tmp, &fake.answers)
		if (list_entry(l, struct fake_answer, node)->handle == handle)
			waits = list_entry(l, struct fake_answer, node);
	assert(waits || handle == e->hanging || (e->redrives_hang && handle && handle <= e->handles));
	if (waits)
		fake_answer_free(waits);
	__atomic_add_fetch(&e->abandoned, 1, __ATOMIC_SEQ_CST);
}

struct registry *intake_registry(struct engine *e)
{
	return e->registry;
}

void engine_stats(const struct engine *e, struct engine_stats *ret)
{
	*ret = (struct engine_stats){ .accepted = 7, .queued = 1, .waiting = 2, .succeeded = 4, .failed = 1,
				      .by_condition = { [COND_RETRIES_EXHAUSTED] = 1 }, .by_outcome = { [OUTCOME_TIMEOUT] = 3 },
				      .witness = { [WITNESS_BOTH] = 9 },
				      .in_memory = 3, .in_memory_bytes = 2048, .clock_step_ms = e->clock_step_ms,
				      .draining = __atomic_load_n(&e->draining, __ATOMIC_SEQ_CST),
				      .in_doubt = __atomic_load_n(&e->in_doubt, __ATOMIC_SEQ_CST) };
	if (ret->in_doubt)
		snprintf(ret->doubt_why, sizeof(ret->doubt_why), "disk \"full\"");
	if (e->worries) {
		ret->witnesses_disagree = 2;
		ret->left_running = 3;
		ret->delivery_failures = 5;
		ret->dead_letter_errors = 1;
		ret->deliveries_owed = 6;
		ret->targets_open = 2;
		ret->recursive = 7;
		ret->poison = 8;
		ret->stale = 9;
		ret->adopted = 1;
		ret->in_memory = 1;
		ret->clock_step_ms = -7200000;
	}
}

void engine_environments(const struct engine *e, void (*each)(void *arg, const struct engine_env_info *i), void *arg)
{
	each(arg, &(struct engine_env_info){ .cgroup_id = 18446744073709551615u, .function = "resize", .request_id = FAKE_OPEN_ID,
					     .state = "busy", .attempt = 2, .sync = false, .started_ns = 0,
					     .deadline_ns = 3000000000,
					     .seen = !e->fallback, .cpu_ns = 250999999, .rss_bytes = 3 << 20,
					     .processes = 4, .threads = 5 });
}

void engine_audit(struct engine *e)
{
}

void engine_law(const struct engine *e, struct engine_law *ret)
{
	int events = __atomic_load_n(&e->lost_events, __ATOMIC_SEQ_CST),
		processes = __atomic_load_n(&e->lost_processes, __ATOMIC_SEQ_CST);

	*ret = (struct engine_law){ .accepted = 12 + events, .queued = 1, .settled = 9, .dead_lettered = 2, .events_hold = !events,
				    .processes_hold = !processes };
	if (e->fallback)
		return;
	ret->observed = true;
	ret->starts = 217 + processes;
	ret->exits = 215;
	ret->alive = 2;
	ret->drift = processes;
}

/* ---- the store */

#define FAKE_LETTER(id) "{\"RequestID\":{\"DataType\":\"String\",\"StringValue\":\"" id "\"}}"
#define FAKE_RECORD_OF(arn) "{\"version\":\"1.0\",\"requestContext\":{\"functionArn\":\"" arn "\"},\"requestPayload\":[1.0, 2]}"
#define FAKE_DEAD 9
/* All that can lie in a queue: what a redrive makes of each is in test_api.c. */
static const struct { const char *body, *attributes; } fake_dead[FAKE_DEAD] = {
	{ FAKE_RECORD, NULL },
	{ "[2.0]", FAKE_LETTER(FAKE_ID) },
	{ "[3]", FAKE_LETTER(FAKE_OPEN_ID) },				/* an event nobody knows */
	{ "{\"version\":\"1.0\"}", "{\"RequestID\":\"x\"}" },		/* neither */
	{ FAKE_RECORD_OF("nope"), NULL },
	{ FAKE_RECORD_OF("resize"), FAKE_LETTER(FAKE_ID) },		/* a dead letter that looks like a record */
	{ FAKE_RECORD_OF("arn:aws:lambda:us-east-1:123456789012:function:echo"), NULL },
	{ NULL, FAKE_LETTER(FAKE_ID) },
	{ "no JSON", FAKE_LETTER(FAKE_ID) },
};

static void fake_messages(const struct store_query *q, struct store_result *res)
{
	size_t from = strcmp(q->queue, "letter") == 0, n = from ? 2 : FAKE_DEAD;

	res->last_pos = (int64_t)n;
	for (size_t i = MAX(from, (size_t)q->after_pos); i < n && res->n_messages < (size_t)q->limit; i++) {
		struct store_op_message *m;

		res->messages = realloc(res->messages, (res->n_messages + 1) * sizeof(*m));
		m = &res->messages[res->n_messages++];
		*m = (struct store_op_message){ .sent_at_ms = FAKE_NOW_MS, .receive_count = 1, .pos = (int64_t)i + 1,
						.body = fake_dead[i].body ? fake_blob(fake_dead[i].body) : NULL,
						.attributes = fake_dead[i].attributes ? fake_blob(fake_dead[i].attributes) : NULL };
		snprintf(m->id, sizeof(m->id), "0000000%zu-2222-4333-8444-555555555555", i + 1);
		if (q->kind == STORE_Q_RECEIVE)
			snprintf(m->receipt, sizeof(m->receipt), "0000000%zu-3333-4333-8444-555555555555", i + 1);
		m->visible_at_ms = q->kind == STORE_Q_RECEIVE ? q->now_ms + q->visibility_ms : i == 0 ? q->now_ms + 5000 : 0;
	}
}

static void fake_tail(const struct store_query *q, struct store_result *res, struct blob *record, struct blob *failed)
{
	res->last_pos = __atomic_load_n(&fake.last_pos, __ATOMIC_SEQ_CST);
	for (int64_t pos = q->after_pos + 1; q->after_pos >= 0 && pos <= res->last_pos && res->n_records < (size_t)q->limit;
	     pos++) {
		struct store_op_record *rec;

		if (q->condition && q->condition != (pos % 2 ? COND_SUCCESS : COND_RETRIES_EXHAUSTED))
			continue;
		res->records = realloc(res->records, (res->n_records + 1) * sizeof(*rec));
		rec = &res->records[res->n_records++];
		*rec = (struct store_op_record){ .seq = 1000 - pos, .pos = pos, .function = "echo", .at_ms = FAKE_NOW_MS + pos,
						 .condition = pos % 2 ? COND_SUCCESS : COND_RETRIES_EXHAUSTED,
						 .body = blob_ref(pos % 2 ? record : failed) };
		snprintf(rec->request_id, sizeof(rec->request_id), "%08d-2222-4333-8444-555555555555", (int)pos);
	}
}

/* Ids of events that have ended: their number, and the same end. */
static void fake_ended_row(int seq, struct inv_row *row)
{
	*row = (struct inv_row){ .seq = seq, .function = "echo", .state = seq % 2 ? INV_DONE : INV_ROUTING, .attempts = 2,
		.starts = 2,
				 .accepted_at_ms = FAKE_NOW_MS, .condition = COND_RETRIES_EXHAUSTED };
	snprintf(row->request_id, sizeof(row->request_id), "%08d-0000-4333-8444-555555555555", seq);
}

static int fake_ended_seq(const char *request_id)
{
	return strcmp(request_id + 8, "-0000-4333-8444-555555555555") == 0 ? atoi(request_id) : 0;
}

static void fake_ended(const struct store_query *q, struct store_result *res)
{
	int every = fake.ended_every ?: 1, scan = fake.ended_scan ?: 10000;
	int64_t newest = q->before_seq ? MIN(q->before_seq - 1, (int64_t)fake.ended) : fake.ended;
	int64_t seq = q->after_seq, end = MIN(seq + scan, newest);

	res->events = calloc((size_t)q->limit, sizeof(*res->events));
	while (seq < end && res->n_events < (size_t)q->limit)
		if (++seq % every == 0)
			fake_ended_row((int)seq, &res->events[res->n_events++]);
	res->last_pos = seq >= newest ? 0 : seq;
}

static void fake_outbox_row(int seq, struct store_op_outbox *row)
{
	*row = (struct store_op_outbox){ .seq = seq, .role = ROLE_ON_FAILURE, .target = "file:/full", .tries = 9,
					 .due_at_ms = INT64_MAX, .created_at_ms = FAKE_NOW_MS, .function = "echo",
					 .last_error = "No space left on device", .body = fake_blob(FAKE_FAILED_RECORD) };
	snprintf(row->request_id, sizeof(row->request_id), "%08d-0000-4333-8444-555555555555", seq);
	snprintf(row->key, sizeof(row->key), "%s:OnFailure", row->request_id);
}

static void fake_outbox(const struct store_query *q, struct store_result *res)
{
	res->outbox = calloc((size_t)q->limit, sizeof(*res->outbox));
	if (q->state != 1) {
		res->outbox[0] = (struct store_op_outbox){ .seq = 42, .role = ROLE_ON_FAILURE, .target = "file:/x",
							   .key = FAKE_ID ":OnFailure", .request_id = FAKE_ID, .function = "echo",
							   .tries = 2, .due_at_ms = FAKE_NOW_MS,
							   	.created_at_ms = FAKE_NOW_MS - 5000,
							   .last_error = "No \"space\"\x1b[31m", .body = fake_blob(FAKE_RECORD) };
		res->n_outbox = 1;
		return;
	}
	for (int seq = 1; seq <= fake.failed && res->n_outbox < (size_t)q->limit; seq++)
		if (STORE_OUTBOX_POS(seq, ROLE_ON_FAILURE) > q->after_pos)
			fake_outbox_row(seq, &res->outbox[res->n_outbox++]);
}

static void fake_one_ended(int seq, struct store_result *res)
{
	char payload[32];

	res->events = calloc(1, sizeof(*res->events));
	fake_ended_row(seq, &res->events[0]);
	res->n_events = 1;
	snprintf(payload, sizeof(payload), "[%d]", seq);
	res->payload = fake_blob(payload);
	res->attempts = calloc(2, sizeof(*res->attempts));
	res->attempts[0] = (struct store_op_attempt){ seq, 1, FAKE_NOW_MS, FAKE_NOW_MS + 5, OUTCOME_CRASH, NULL };
	res->attempts[1] = (struct store_op_attempt){ seq, 2, FAKE_NOW_MS, FAKE_NOW_MS + 5, OUTCOME_TIMEOUT, NULL };
	res->n_attempts = 2;
	res->records = calloc(1, sizeof(*res->records));
	res->records[0] = (struct store_op_record){ .seq = seq, .function = "echo", .condition = COND_RETRIES_EXHAUSTED,
						    .at_ms = FAKE_NOW_MS + seq, .body = fake_blob(FAKE_FAILED_RECORD) };
	res->n_records = 1;
	res->outbox = calloc(1, sizeof(*res->outbox));
	fake_outbox_row(seq, &res->outbox[0]);
	res->n_outbox = seq <= fake.failed;
	if (!res->n_outbox)
		blob_unref(res->outbox[0].body);
}

static void fake_fill(const struct store_query *q, struct store_result *res)
{
	static struct inv_row rows[2] = {
		{ .seq = 42, .request_id = FAKE_ID, .function = "echo", .qualifier = "$LATEST", .state = INV_DONE,
		  .accepted_at_ms = FAKE_NOW_MS,
		  .attempts = 1, .starts = 1, .epoch = 3, .condition = COND_SUCCESS },
		{ .seq = 41, .request_id = FAKE_OPEN_ID, .function = "resize", .state = INV_WAITING, .accepted_at_ms = FAKE_NOW_MS,
		  .due_at_ms = FAKE_NOW_MS + 60000, .attempts = 1, .starts = 2, .backoffs = 1 },
	};
	struct blob *record = fake_blob(FAKE_RECORD), *failed = fake_blob(FAKE_FAILED_RECORD);
	bool is_queued = strcmp(q->request_id, FAKE_QUEUED_ID) == 0;
	bool known = strcmp(q->request_id, FAKE_ID) == 0, is_failed = strcmp(q->request_id, FAKE_FAILED_ID) == 0;

	*res = (struct store_result){};
	switch (q->kind) {
	case STORE_Q_EVENTS:
		res->n_events = MIN(q->limit, 2);
		res->events = calloc(2, sizeof(rows[0]));
		memcpy(res->events, rows, sizeof(rows));
		break;
	case STORE_Q_ENDED:
		fake_ended(q, res);
		break;
	case STORE_Q_EVENT:
		if (fake_ended_seq(q->request_id)) {
			fake_one_ended(fake_ended_seq(q->request_id), res);
			break;
		}
		if (!known && !is_queued)
			break;
		res->events = calloc(1, sizeof(rows[0]));
		res->events[0] = rows[is_queued];
		res->n_events = 1;
		if (is_queued)
			break;
		res->payload = fake_blob(FAKE_PAYLOAD);
		res->attempts = calloc(2, sizeof(*res->attempts));
		res->attempts[0] = (struct store_op_attempt){ 42, 1, FAKE_NOW_MS, FAKE_NOW_MS + 5, OUTCOME_TIMEOUT,
							      fake_blob("{\"processes\":2}") };
		res->attempts[1] = (struct store_op_attempt){ .seq = 42, .start = 2, .started_at_ms = FAKE_NOW_MS };
		res->n_attempts = 2;
		/* fall through */
	case STORE_Q_RECORD:
		if (!known && !is_failed)
			break;
		res->records = calloc(1, sizeof(*res->records));
		res->records[0] = (struct store_op_record){ .seq = 42, .request_id = FAKE_ID, .function = "echo",
							    .condition = COND_SUCCESS,
							    .at_ms = FAKE_NOW_MS, .body = blob_ref(known &&
								    !fake.failing ? record : failed) };
		res->n_records = 1;
		break;
	case STORE_Q_RECORDS:
		res->records = calloc(2, sizeof(*res->records));
		res->records[0] = (struct store_op_record){ .seq = 42, .pos = 7, .request_id = FAKE_ID, .function = "echo",
							    .condition = COND_SUCCESS,
							    .at_ms = FAKE_NOW_MS, .body = blob_ref(record) };
		res->records[1] = (struct store_op_record){ .seq = 40, .pos = 8, .request_id = FAKE_FAILED_ID, .function = "resize",
							    .condition = COND_RETRIES_EXHAUSTED, .at_ms = FAKE_NOW_MS,
							    .body = blob_ref(failed) };
		res->n_records = 2;
		break;
	case STORE_Q_QUEUES:
		res->queues = calloc(1, sizeof(*res->queues));
		res->queues[0] = (struct store_queue_info){ "done", 3, 1, FAKE_NOW_MS };
		res->n_queues = 1;
		break;
	case STORE_Q_OUTBOX:
		fake_outbox(q, res);
		break;
	case STORE_Q_COUNTS:
		res->counts = (struct store_counts){ .events = { [INV_DONE] = 5 }, .attempts = 6, .records = 5, .messages = 3 };
		break;
	case STORE_Q_GIVE_BACK:
		break;
	case STORE_Q_RECEIVE:
		if (strcmp(q->queue, "empty") == 0)
			break;
		if (strcmp(q->queue, "done") != 0) {
			fake_messages(q, res);
			break;
		}
		res->messages = calloc(2, sizeof(*res->messages));
		res->messages[0] = (struct store_op_message){
			.queue = "done", .id = FAKE_ID, .body = blob_ref(record), .sent_at_ms = FAKE_NOW_MS,
			.receipt = FAKE_RECEIPT, .receive_count = 1, .visible_at_ms = q->now_ms + q->visibility_ms };
		res->messages[1] = (struct store_op_message){
			.queue = "done", .id = FAKE_FAILED_ID, .body = fake_blob("{\"}\":[1.0,\"{\"]}"),
			.attributes = fake_blob("{\"RequestID\":{\"DataType\":\"String\",\"StringValue\":\"x\"}}"),
			.sent_at_ms = FAKE_NOW_MS, .receipt = FAKE_RECEIPT, .receive_count = 2,
			.visible_at_ms = q->now_ms + q->visibility_ms };
		res->n_messages = MIN(q->limit, 2);
		break;
	case STORE_Q_DELETE:
		res->affected = strcmp(q->receipt, FAKE_RECEIPT) == 0;
		fake.deleted += (int)res->affected;
		break;
	case STORE_Q_PEEK:
		if (strcmp(q->queue, "empty") != 0)
			fake_messages(q, res);
		break;
	case STORE_Q_PURGE:
		res->affected = strcmp(q->queue, "empty") == 0 ? 0 : 3;
		res->more = fake.purge_parts > 1;
		fake.purge_parts -= res->more;
		fake.deleted += (int)res->affected;
		break;
	case STORE_Q_TAIL:
		fake_tail(q, res, record, failed);
		__atomic_add_fetch(&fake.tails, 1, __ATOMIC_SEQ_CST);
		break;
	default:
		break;		/* the engine's own */
	}
	blob_unref(record);
	blob_unref(failed);
}

static void fake_finish(struct fake_query *f)
{
	struct err e = {};
	struct store_result res = {};

	if (f->result < 0)
		err_set(&e, f->result, "database disk image is malformed");
	else
		fake_fill(&f->q, &res);
	f->q.done(f->q.arg, &f->q, &res, f->result, f->result < 0 ? &e : NULL);
	/* cut */
	for (size_t i = res.n_messages; strcmp(f->q.queue, "done") == 0 && res.messages && f->q.kind == STORE_Q_RECEIVE &&
	     i < 2; i++) {
		blob_unref(res.messages[i].body);
		blob_unref(res.messages[i].attributes);
	}
	store_result_done(&res);
	list_del(&f->node);
	sd_event_source_disable_unref(f->src);
	free(f);
}

static int fake_query_now(sd_event_source *src, void *arg)
{
	fake_finish(arg);
	return 0;
}

static void fake_query(struct port_store *s, const struct store_query *q)
{
	struct fake_query *f = calloc(1, sizeof(*f));

	*f = (struct fake_query){ .q = *q, .result = q->kind == STORE_Q_EVENT && fake.event_error ? fake.event_error :
				  q->kind == STORE_Q_GIVE_BACK && fake.give_back_error ? fake.give_back_error : fake.store_error };
	list_init(&f->node);
	*(q->kind == STORE_Q_GIVE_BACK ? &fake.given_back : &fake.last) = *q;
	if (fake.store_hangs || (fake.hangs_on && fake.hangs_on == q->kind)) {
		__atomic_store_n(&fake.held, f, __ATOMIC_SEQ_CST);
		return;
	}
	list_add_tail(&fake.queries, &f->node);
	assert(sd_event_add_defer(fake.rig.loop, &f->src, fake_query_now, f) >= 0);
	if (fake.last_turn)
		sd_event_exit(fake.rig.loop, 0);
}

static const struct port_store_ops fake_store_ops = { .version = PORT_STORE_VERSION, .name = "fake", .query = fake_query };

/* ---- the daemon */

static int64_t fake_mono(void *self)
{
	return 1000000000;
}

static int64_t fake_wall(void *self)
{
	return FAKE_NOW_MS;
}

static uint64_t fake_random(void *self)
{
	return id_random64();
}

static struct port_clock fake_clock = { .mono_ns = fake_mono, .wall_ms = fake_wall, .random64 = fake_random };

static void fake_status(void *arg, cJSON *into)
{
	cJSON *o;

	cJSON_AddStringToObject(into, "version", "0.1.0");
	cJSON_AddNumberToObject(into, "pid", 4711);
	cJSON_AddNumberToObject(into, "uptimeSeconds", 3661);
	o = cJSON_AddObjectToObject(into, "observer");
	cJSON_AddStringToObject(o, "mode", fake.engine.fallback ? "fallback" : "bpf");
	cJSON_AddNumberToObject(o, "drops", 0);
	if (fake.engine.worries) {
		cJSON_AddNumberToObject(o, "missed", 6);
		o = cJSON_AddObjectToObject(o, "dropped");
		cJSON_AddNumberToObject(o, "exec", 0);
		cJSON_AddNumberToObject(o, "exit", 4);
		cJSON_AddNumberToObject(o, "fork", 1);
	}
}

static void fake_reload(void *arg, cJSON *into)
{
	const char *problem = __atomic_add_fetch(&fake.engine.reloads, 1, __ATOMIC_SEQ_CST) > 1
		? "/etc/fated/functions.d/bad.json" : NULL;
	cJSON *list = cJSON_AddArrayToObject(into, "problems"), *p;

	cJSON_AddItemToArray(cJSON_AddArrayToObject(into, "added"), cJSON_CreateString("new"));
	cJSON_AddArrayToObject(into, "changed");
	cJSON_AddArrayToObject(into, "removed");
	cJSON_AddNumberToObject(into, "functions", 2);
	if (!problem)
		return;
	p = cJSON_CreateObject();
	cJSON_AddStringToObject(p, "file", problem);
	cJSON_AddStringToObject(p, "path", "$.Timeout");
	cJSON_AddStringToObject(p, "reason", "must be a number");
	cJSON_AddItemToArray(list, p);
}

/* "follow" writes on: two pieces at once, one with a gap before it, then nothing. */
static int fake_logs_after(struct api_log *log, struct err *e)
{
	static const struct { const char *cursor, *text, *next; bool lost, more; } pieces[] = {
		{ "0.1", "two\0\n", "0.2", false, true }, { "0.2", "three\n", "0.3", false, false },
		{ "0.3", "five\n", "0.5", true, false },
		{ "0.5", "", "0.5", false, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
		if (strcmp(pieces[i].cursor, log->cursor) != 0)
			continue;
		buf_add(&log->text, pieces[i].text, i ? strlen(pieces[i].text) : 5);
		snprintf(log->next, sizeof(log->next), "%s", pieces[i].next);
		log->lost = pieces[i].lost;
		log->more = pieces[i].more;
		return 0;
	}
	return err_set(e, -EINVAL, "is no cursor");
}

static int fake_logs(void *arg, const char *function, struct api_log *log, struct err *e)
{
	snprintf(log->next, sizeof(log->next), "0.1");
	__atomic_store_n(&fake.log_bytes, log->bytes_max, __ATOMIC_SEQ_CST);
	if (strcmp(function, "resize") == 0)
		return -ENOENT;
	if (strcmp(function, "echo") == 0 && log->cursor)
		return fake_logs_after(log, e);
	if (strcmp(function, "unreadable") == 0)
		return err_set(e, -EACCES, "permission denied");
	if (strcmp(function, "gone") != 0 && strcmp(function, "echo") != 0)
		return -ENOENT;
	buf_add(&log->text, "START \"x\"\n\xff end\n", MIN(log->bytes_max, (size_t)16));
	return 0;
}

static struct func *fake_func(const char *name)
{
	static const int64_t delays[] = { 250, 60000 };
	struct func *f = func_new();
	char source[256];

	snprintf(f->name, sizeof(f->name), "%s", name);
	snprintf(source, sizeof(source), "{\"FunctionName\":\"%s\",\"Command\":[\"/bin/sh\"],\"Timeout\":7,\"MemorySize\":256,"
		 "\"Description\":\"as it was\"}", name);
	f->source = fake_blob(source);
	f->command = calloc(3, sizeof(char *));
	f->command[0] = strdup("/bin/sh");
	f->command[1] = strdup("-c \"x\"");
	for (char **v = f->env; v && *v; v++)
		free(*v);
	free(f->env);
	f->env = calloc(3, sizeof(char *));
	f->env[0] = strdup("A=b=\"c\"");
	f->env[1] = strdup("EMPTY=");
	f->timeout_ms = 3500;
	free(f->retry_delays_ms);
	f->retry_delays_ms = malloc(sizeof(delays));
	memcpy(f->retry_delays_ms, delays, sizeof(delays));
	f->n_retry_delays = 2;
	f->rlimits = calloc(2, sizeof(*f->rlimits));
	f->rlimits[0] = (struct func_rlimit){ RLIMIT_NOFILE, { 1024, RLIM_INFINITY } };
	f->n_rlimits = 1;
	f->reserved_concurrency = 4;
	f->retry[OUTCOME_TIMEOUT] = (struct func_retry){ .given = true, .attempts = 3, .timeout_factor = 1.5,
							 .timeout_max_ms = 60500,
							 .memory_factor = 1, .n_delays = 2 };
	f->retry[OUTCOME_TIMEOUT].delays_ms = malloc(sizeof(delays));
	memcpy(f->retry[OUTCOME_TIMEOUT].delays_ms, delays, sizeof(delays));
	f->retry[OUTCOME_OOM] = (struct func_retry){ .given = true, .timeout_factor = 1, .memory_factor = 1 };
	f->retry[OUTCOME_CRASH] = (struct func_retry){ .given = true, .attempts = 1, .timeout_factor = 1, .memory_factor = 1 };
	f->leftovers = FUNC_LEFTOVERS_WAIT;
	f->on_failure.kind = TARGET_FUNCTION;
	snprintf(f->on_failure.text, sizeof(f->on_failure.text), "function:reinvoke");
	f->dead_letter.kind = TARGET_QUEUE;
	snprintf(f->dead_letter.text, sizeof(f->dead_letter.text), "queue:dead");
	return f;
}

static struct topic *fake_topic(void)
{
	static const char text[] = "{\"TopicName\":\"alerts\",\"Description\":\"what went wrong\",\"Subscriptions\":["
		"{\"Protocol\":\"lambda\",\"Endpoint\":\"resize\"},{\"Protocol\":\"sqs\",\"Endpoint\":\"inbox\","
		"\"RawMessageDelivery\":true},{\"Protocol\":\"command\",\"Id\":\"mail\",\"Command\":[\"/usr/bin/mailit\"]}]}";
	struct func_problems p = {};
	struct topic *t = NULL;

	assert(topic_parse(text, strlen(text), &t, &p) == 0);
	return t;
}

static struct bus *fake_bus(void)
{
	static const char text[] = "{\"EventBusName\":\"a/b\",\"Rules\":[{\"Name\":\"failures\",\"State\":\"DISABLED\","
		"\"EventPattern\":{\"source\":[\"lambda\",\"x\"]},\"Targets\":[{\"Id\":\"1\",\"Arn\":\"topic:alerts\"}]}]}";
	struct func_problems p = {};
	struct bus *b = NULL;

	assert(bus_parse(text, strlen(text), &b, &p) == 0);
	return b;
}

static void fake_setup(struct rig *r)
{
	struct func *list[] = { fake_func("resize"), fake_func("echo") };
	struct topic *topic = fake_topic();
	struct bus *bus = fake_bus();
	struct api_context ctx = {
		.engine = &fake.engine, .store = &fake.store, .clock = &fake_clock, .region = "us-east-1",
		.status = fake_status, .reload = fake_reload, .logs = fake_logs,
	};
	struct err e = {};

	list_init(&fake.answers);
	list_init(&fake.queries);
	fake.store.ops = &fake_store_ops;
	fake.engine.registry = registry_new();
	registry_swap(fake.engine.registry, &(struct registry_set){ .functions = list, .n_functions = 2, .topics = &topic,
								    .n_topics = 1,
								    .buses = &bus, .n_buses = 1 });
	topic_unref(topic);
	bus_unref(bus);
	func_unref(list[0]);
	func_unref(list[1]);
	assert(api_new(&ctx, r->server, &fake.api, &e) == 0);
}

static void fake_teardown(struct rig *r)
{
	while (!list_empty(&fake.queries))
		fake_finish(list_first(&fake.queries, struct fake_query, node));
	assert(list_empty(&fake.answers));
	registry_free(fake.engine.registry);
	buf_done(&fake.engine.redrives);
}

static void fake_api_free(struct rig *r)
{
	fake.api = api_free(fake.api);
}

static inline void fake_start(void)
{
	fake = (struct fake){ .rig = { .setup = fake_setup, .stopping = fake_api_free, .teardown = fake_teardown } };
	rig_start(&fake.rig);
}
