/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages of a queue become events again. Leased first, all at once; then each goes its own way at its own pace:
 *
 *   leased ─┬─ dead letter ── whose event was it? (store) ─┐
 *           ├─ record ─────── its functionArn ─────────────┼─► intake_redrive (engine) ─► redriven
 *           └─ any, with "to" ─────────────────────────────┘
 *
 * and what finds no way on is left, with the reason. The engine accepts the event and takes the message away in one
 * transaction, so whenever we die, each message is in the queue or an event, never neither; and not both, unless its lease
 * ran out before that transaction and another consumer took it: like every consumer of a queue, this one is at least once.
 * What is left is hidden until its lease is over: the store has no way to give one back early.
 *
 * `owed` counts the answers that store and engine still owe; whoever brings the last one writes the answer. When the
 * client goes away (or the API ends: it looks the same from here), the engine is told to forget, as for any other caller,
 * and goes on with what it has; the store cannot be told, so its answers still arrive here and are only counted. Nothing
 * new is begun then: those messages come back.
 *
 * A dry run looks at the same messages without leasing them and stops where the engine would be asked.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "api/api_int.h"
#include "base/json.h"

#define LEASE_MS 30000	/* all that is owed usually arrives within two commits */

struct item {
	struct redrive *r;
	char id[ID_UUID_LEN + 1], receipt[ID_UUID_LEN + 1], request_id[ID_UUID_LEN + 1];
	struct arn_function fn;
	struct blob *payload;
	uint64_t handle;	/* the engine owes */
	bool redriven;		/* or, in a dry run, would be */
	char *reason;		/* why not */
};

struct redrive {
	struct api_call *c;	/* NULL: the client is gone, and with it everything behind c->a */
	char queue[LIM_ARN_MAX + 1];
	struct arn_function to;	/* name "": back to where they came from */
	bool dry;
	int64_t visible_at_ms;
	size_t owed, n;
	struct item items[];
};

static void redrive_free(struct redrive *r)
{
	for (size_t i = 0; i < r->n; i++) {
		blob_unref(r->items[i].payload);
		free(r->items[i].reason);
	}
	free(r);
}

/* ---- the answer -------------------------------------------------------------------------------------------- */

static void item_json(struct buf *b, const struct item *it)
{
	api_json_next(b);
	buf_addc(b, '{');
	api_json_str(b, "messageId", it->id);
	if (it->redriven && !it->r->dry)
		api_json_str(b, "requestId", it->request_id);
	api_json_opt(b, it->redriven ? "function" : "reason", it->redriven ? it->fn.name : it->reason);
	buf_addc(b, '}');
}

static void list_json(struct buf *b, const char *name, const struct redrive *r, bool redriven)
{
	api_json_key(b, name);
	buf_addc(b, '[');
	for (size_t i = 0; i < r->n; i++)
		if (r->items[i].redriven == redriven)
			item_json(b, &r->items[i]);
	buf_addc(b, ']');
}

static void redrive_answer(struct redrive *r)
{
	struct api_call *c = r->c;
	CLEAN(buf_done) struct buf b = {};
	bool all = true;

	for (size_t i = 0; i < r->n; i++)
		all &= r->items[i].redriven;
	c->gone = NULL;
	if (!api_arrived(c))
		return;
	buf_addc(&b, '{');
	api_json_str(&b, "queue", r->queue);
	if (r->dry)
		api_json_bool(&b, "dryRun", true);
	list_json(&b, "redriven", r, true);
	list_json(&b, "left", r, false);
	if (!all && !r->dry)
		api_json_time(&b, "leftUntil", r->visible_at_ms);
	buf_addc(&b, '}');
	api_answer_json(c, 200, &b);
}

/* One thing less is owed. */
static void paid(struct redrive *r)
{
	if (--r->owed)
		return;
	if (r->c)
		redrive_answer(r);
	redrive_free(r);
}

static void on_gone(struct api_call *c)
{
	struct redrive *r = c->data;

	r->c = NULL;
	r->owed++;	/* so that the last one forgotten does not free r under the loop */
	for (size_t i = 0; i < r->n; i++) {
		if (!r->items[i].handle)
			continue;
		intake_abandon(c->a->ctx.engine, r->items[i].handle);
		r->owed--;
	}
	paid(r);
}

/* ---- one message ------------------------------------------------------------------------------------------- */

static void leave(struct item *it, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void leave(struct item *it, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	it->reason = xstrdup(text);
}

static void on_accepted(void *arg, const struct intake_reply *reply)
{
	struct item *it = arg;

	it->handle = 0;
	if (reply->status == 202)
		it->redriven = true;
	else
		leave(it, "%s", reply->error_message ? reply->error_message : "refused");
	paid(it->r);
}

/* it->fn and it->payload are what it is to become: to the engine with it. */
static void give(struct item *it)
{
	struct redrive *r = it->r;
	const struct api_context *ctx = &r->c->a->ctx;
	char arn[LIM_ARN_MAX + LIM_QUALIFIER_MAX + 1];

	if (!it->payload || !it->payload->len) {
		blob_unref(it->payload);
		it->payload = blob_ref(r->c->a->empty_event);
	}
	if (!registry_get(intake_registry(ctx->engine), it->fn.name)) {
		arn_format_function(arn, sizeof(arn), ctx->region, it->fn.name, it->fn.qualifier);
		leave(it, "Function not found: %s", arn);
	} else if (it->payload->len > LIM_ASYNC_PAYLOAD) {
		leave(it, "Its %zu bytes are too many for an event (limit %u bytes)", it->payload->len, LIM_ASYNC_PAYLOAD);
	} else if (!json_valid(it->payload->data, it->payload->len, NULL)) {
		leave(it, "Its body is not JSON");
	} else if (r->dry) {
		it->redriven = true;
	} else {
		r->owed++;
		it->handle = intake_redrive(ctx->engine, &it->fn, it->payload, r->queue, it->receipt, on_accepted, it,
					    it->request_id);
	}
}

/* The event that a dead letter is left of. */
static void on_owner(void *arg, const struct store_query *q, const struct store_result *res, int result, const struct err *e)
{
	struct item *it = arg;

	if (!it->r->c) {
		/* nobody is left to ask for it */
	} else if (result < 0 && result != -ENOENT) {
		leave(it, "The store cannot answer: %s", err_msg(e));
	} else if (result < 0 || !res->n_events) {
		leave(it, "Its event %s is not known here; say to which function", q->request_id);
	} else {
		memcpy(it->fn.name, res->events[0].function, sizeof(it->fn.name));
		memcpy(it->fn.qualifier, res->events[0].qualifier, sizeof(it->fn.qualifier));
		give(it);
	}
	paid(it->r);
}

static void ask_owner(struct item *it, const char *request_id)
{
	struct port_store *store = it->r->c->a->ctx.store;
	struct store_query q = { .kind = STORE_Q_EVENT, .arg = it, .done = on_owner };

	memcpy(q.request_id, request_id, sizeof(q.request_id));
	it->r->owed++;
	store->ops->query(store, &q);
}

/* The text of a string member, decoded; false when there is none. */
static bool member_text(const char *json, size_t len, const char *name, struct buf *b)
{
	const char *v;
	size_t n;

	if (!json_member(json, len, name, &v, &n) || !json_is_string(v, n))
		return false;
	json_add_decoded(b, v, n);
	return true;
}

/* As dead_letter_build and record_build write them; see model/record.c. */
static bool is_letter(const struct store_op_message *m, struct buf *request_id)
{
	const char *v;
	size_t n;

	return m->attributes && json_valid(m->attributes->data, m->attributes->len, NULL) &&
	       json_member(m->attributes->data, m->attributes->len, "RequestID", &v, &n) &&
	       member_text(v, n, "StringValue", request_id) && id_is_uuid(buf_str(request_id));
}

static bool is_record(const struct store_op_message *m, struct buf *function, struct blob **ret_payload)
{
	CLEAN(buf_done) struct buf version = {};
	const char *body, *v;
	size_t len, n;

	if (!m->body || !json_valid(m->body->data, m->body->len, NULL))
		return false;
	body = m->body->data;
	len = m->body->len;
	if (!member_text(body, len, "version", &version) || strcmp(buf_str(&version), "1.0") != 0 ||
	    !json_member(body, len, "requestContext", &v, &n) || !member_text(v, n, "functionArn", function) ||
	    !json_member(body, len, "requestPayload", &v, &n))
		return false;
	*ret_payload = blob_new(v, n);
	return *ret_payload;
}

static void start(struct item *it, const struct store_op_message *m)
{
	CLEAN(buf_done) struct buf request_id = {}, function = {};
	bool to = it->r->to.name[0];
	struct err e = {};

	it->fn = it->r->to;
	/* A dead letter's event may itself look like a record: one that a function was a destination for. */
	if (is_letter(m, &request_id)) {
		it->payload = blob_ref(m->body);
		return to ? give(it) : ask_owner(it, buf_str(&request_id));
	}
	if (is_record(m, &function, &it->payload)) {
		if (!to && arn_parse_function(buf_str(&function), &it->fn, &e) < 0)
			return leave(it, "%s: %s", buf_str(&function), err_msg(&e));
		return give(it);
	}
	if (!to)
		return leave(it, "It is neither a record nor a dead letter; say to which function");
	it->payload = blob_ref(m->body);
	give(it);
}

/* ---- all of them ------------------------------------------------------------------------------------------- */

/* False: the call has been answered with what is wrong. */
static bool take_args(struct api_call *c, int64_t *ret_max, struct arn_function *ret_to, bool *ret_dry)
{
	const char *dry = api_arg(c, "dryRun");

	*ret_to = (struct arn_function){};
	*ret_dry = dry && strcmp(dry, "true") == 0;
	if (dry && !*ret_dry && strcmp(dry, "false") != 0) {
		api_fail_value(c, "dryRun", dry, "Member must satisfy enum value set: [true, false]");
		return false;
	}
	return api_arg_int(c, "max", 1, API_LIST_MAX, API_LIST_DEFAULT, ret_max) && api_arg_function(c, "to", ret_to->name);
}

static void on_messages(struct api_call *c, const struct store_query *q, const struct store_result *res)
{
	struct redrive *r = xcalloc(1, sizeof(*r) + res->n_messages * sizeof(r->items[0]));
	int64_t max = 0;

	(void)take_args(c, &max, &r->to, &r->dry);	/* they were good when we asked the store */
	memcpy(r->queue, q->queue, sizeof(r->queue));
	r->visible_at_ms = q->now_ms + LEASE_MS;
	r->c = c;
	c->data = r;
	c->gone = on_gone;
	c->owed = true;
	r->owed = 1;		/* by this loop */
	for (size_t i = 0; i < res->n_messages && r->n < (size_t)max; i++) {
		const struct store_op_message *m = &res->messages[i];
		struct item *it = &r->items[r->n];

		if (r->dry && m->visible_at_ms > q->now_ms)
			continue;	/* somebody has it, so it would not be leased */
		r->n++;
		it->r = r;
		memcpy(it->id, m->id, sizeof(it->id));
		memcpy(it->receipt, m->receipt, sizeof(it->receipt));
		start(it, m);
	}
	paid(r);
}

void api_queue_redrive(struct api_call *c)
{
	struct port_clock *clock = c->a->ctx.clock;
	struct store_query q = {};
	struct arn_function to;
	char arn[LIM_ARN_MAX + 1];
	int64_t max;
	bool dry;

	if (!api_param_queue(c, 0, q.queue) || !take_args(c, &max, &to, &dry))
		return;
	if (to.name[0] && !registry_get(intake_registry(c->a->ctx.engine), to.name)) {
		arn_format_function(arn, sizeof(arn), c->a->ctx.region, to.name, NULL);
		api_fail(c, API_NOT_FOUND, "Function not found: %s", arn);
		return;
	}
	if (!dry && !api_sure(c))
		return;
	q.kind = dry ? STORE_Q_PEEK : STORE_Q_RECEIVE;
	q.limit = dry ? API_LIST_MAX : (int)max;	/* a look also shows those it has to pass over */
	q.now_ms = clock->wall_ms(clock->self);
	q.visibility_ms = LEASE_MS;
	q.random = clock->random64(clock->self);
	api_query(c, &q, on_messages);
}
