/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages of a queue become events again. Leased first, a page at once; then each goes its own way:
 *
 *   leased ─┬─ dead letter ── whose event was it? (store) ─┐
 *           ├─ record ─────── its functionArn ─────────────┼─ filters ─► intake_redrive (engine) ─► redriven
 *           └─ any, with "to" ─────────────────────────────┘     └─► skipped
 *
 * and what finds no way on is left, with the reason. The engine accepts the event and takes the message away in one
 * transaction, so whenever we die, each message is in the queue or an event, never neither; and not both, unless its lease
 * ran out before that transaction and another consumer took it: like every consumer of a queue, this one is at least once.
 * What is left or skipped is given back with its page, as if it had not been received; the pass goes on behind it. When the
 * client goes away in the middle of a page, what is leased of it stays hidden until its lease is over.
 *
 * A dry run looks at the same messages without leasing them and stops where the engine would be asked.
 */
#include <errno.h>
#include <string.h>

#include "api/api_redrive.h"
#include "base/json.h"
#include "model/def_tree.h"
#include "model/record.h"

#define LEASE_MS 30000		/* all that is owed usually arrives within two commits; a pace is added */
#define AT_ONCE 64

/* ---- filters ----------------------------------------------------------------------------------------------- */

static bool in_time(const struct redrive_item *it)
{
	return (!it->r->since_ms || it->sent_at_ms >= it->r->since_ms) && (!it->r->until_ms || it->sent_at_ms < it->r->until_ms);
}

static bool wanted(const struct redrive_item *it)
{
	const struct redrive *r = it->r;

	return (!r->function[0] || strcmp(r->function, it->fn.name) == 0) && (!r->verdict || r->verdict == it->verdict);
}

/* it->fn and it->verdict say whose it was, or nothing: then it is none of a function that was asked for. */
static void forward(struct redrive_item *it)
{
	if (!wanted(it)) {
		redrive_settle(it, REDRIVE_SKIPPED);
		return;
	}
	if (it->r->to.name[0])
		it->fn = it->r->to;
	redrive_give(it);
}

/* ---- one message ------------------------------------------------------------------------------------------- */

/* The event that a dead letter is left of. */
static void on_owner(void *arg, const struct store_query *q, const struct store_result *res, int result, const struct err *e)
{
	struct redrive_item *it = arg;
	struct redrive *r = it->r;

	if (!r->c) {
		/* nobody is left to ask for it */
	} else if (result < 0 && result != -ENOENT) {
		redrive_leave(it, "The store cannot answer: %s", err_msg(e));
	} else if ((result < 0 || !res->n_events) && !r->to.name[0] && wanted(it)) {
		redrive_leave(it, "Its event %s is not known here; say to which function", q->request_id);
	} else {
		if (result == 0 && res->n_events) {
			memcpy(it->fn.name, res->events[0].function, sizeof(it->fn.name));
			memcpy(it->fn.qualifier, res->events[0].qualifier, sizeof(it->fn.qualifier));
			it->verdict = res->n_attempts ? res->attempts[res->n_attempts - 1].outcome : OUTCOME_INVALID;
		}
		forward(it);
	}
	redrive_paid(r);
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
static bool is_letter(struct redrive_item *it)
{
	CLEAN(buf_done) struct buf id = {};
	const struct blob *m = it->attributes;
	const char *v;
	size_t n;

	if (!m || !json_valid(m->data, m->len, NULL) || !json_member(m->data, m->len, "RequestID", &v, &n) ||
	    !member_text(v, n, "StringValue", &id) || !id_is_uuid(buf_str(&id)))
		return false;
	memcpy(it->origin, buf_str(&id), sizeof(it->origin));
	return true;
}

/* The last of the record's attempts has the verdict; a record without "fate" says none. */
static enum outcome_kind verdict_of(const char *body, size_t len)
{
	const char *v;
	size_t n;

	if (!json_member(body, len, "fate", &v, &n) || !json_member(v, n, "attempts", &v, &n))
		return OUTCOME_INVALID;
	return fate_last_verdict(v, n);
}

static bool is_record(struct redrive_item *it, struct buf *function)
{
	CLEAN(buf_done) struct buf version = {};
	CLEAN(buf_done) struct buf id = {};
	const char *body, *context, *v;
	size_t len, n, n_context;

	if (!it->body || !json_valid(it->body->data, it->body->len, NULL))
		return false;
	body = it->body->data;
	len = it->body->len;
	if (!member_text(body, len, "version", &version) || strcmp(buf_str(&version), "1.0") != 0 ||
	    !json_member(body, len, "requestContext", &context, &n_context) ||
	    !member_text(context, n_context, "functionArn", function) || !json_member(body, len, "requestPayload", &v, &n))
		return false;
	it->payload = blob_new(v, n);
	if (!it->payload)
		return false;
	if (member_text(context, n_context, "requestId", &id) && id_is_uuid(buf_str(&id)))
		memcpy(it->origin, buf_str(&id), sizeof(it->origin));
	it->verdict = verdict_of(body, len);
	return true;
}

static void begin(struct redrive_item *it)
{
	struct redrive *r = it->r;
	CLEAN(buf_done) struct buf function = {};
	struct err e = {};

	if (!in_time(it)) {
		redrive_settle(it, REDRIVE_SKIPPED);
		return;
	}
	/* A dead letter's event may itself look like a record: one that a function was a destination for. */
	if (is_letter(it)) {
		struct store_query q = { .kind = STORE_Q_EVENT };

		it->payload = blob_ref(it->body);
		if (r->to.name[0] && !r->function[0] && !r->verdict) {
			forward(it);
			return;
		}
		memcpy(q.request_id, it->origin, sizeof(q.request_id));
		redrive_query(r, &q, it, on_owner);
		return;
	}
	if (is_record(it, &function)) {
		if (arn_parse_function(buf_str(&function), &it->fn, &e) < 0 && !r->to.name[0] && wanted(it)) {
			redrive_leave(it, "%s: %s", buf_str(&function), err_msg(&e));
			return;
		}
		forward(it);
		return;
	}
	if (!r->to.name[0] && wanted(it)) {
		redrive_leave(it, "It is neither a record nor a dead letter; say to which function");
		return;
	}
	it->payload = blob_ref(it->body);
	forward(it);
}

/* ---- all of them ------------------------------------------------------------------------------------------- */

static void add(struct redrive *r, const struct store_op_message *m)
{
	struct redrive_item *it = redrive_add(r);

	memcpy(it->id, m->id, sizeof(it->id));
	memcpy(it->receipt, m->receipt, sizeof(it->receipt));
	it->body = blob_ref(m->body);
	it->attributes = blob_ref(m->attributes);
	it->sent_at_ms = m->sent_at_ms;
	it->at = m->pos;
}

static void on_messages(void *arg, const struct store_query *q, const struct store_result *res, int result, const struct err *e)
{
	struct redrive *r = arg;
	int64_t last = res && res->n_messages ? res->messages[res->n_messages - 1].pos : INT64_MAX;

	if (!r->c) {
		/* what was leased comes back by itself */
	} else if (result < 0) {
		redrive_failed(r, e);
	} else {
		if (!r->up_to)
			r->up_to = res->last_pos;
		for (size_t i = 0; i < res->n_messages; i++)
			/* In a dry run one that somebody has is passed over: it would not be leased. */
			if (res->messages[i].pos <= r->up_to && (!r->dry || res->messages[i].visible_at_ms <= q->now_ms))
				add(r, &res->messages[i]);
		if (!r->dry && res->n_messages) {
			r->visible_at_ms = q->now_ms + q->visibility_ms;
			r->lease.random = q->random;
			r->lease.n = (int)res->n_messages;
		}
		if (!res->more && res->n_messages < (size_t)q->limit)
			last = INT64_MAX;
		redrive_page(r, MIN(last, r->up_to), last >= r->up_to);
	}
	redrive_paid(r);
}

static void receive(struct redrive *r)
{
	struct port_clock *clock = r->c->a->ctx.clock;
	bool filtered = r->function[0] || r->verdict || r->since_ms || r->until_ms;
	struct store_query q = { .kind = r->dry ? STORE_Q_PEEK : STORE_Q_RECEIVE, .after_pos = r->after };

	memcpy(q.queue, r->queue, sizeof(q.queue));
	/* A look also shows those it has to pass over. */
	q.limit = r->dry || filtered ? API_LIST_MAX : (int)MIN(r->max - r->taken, API_LIST_MAX);
	q.now_ms = clock->wall_ms(clock->self);
	q.visibility_ms = LEASE_MS + (r->rate ? q.limit * 1000 / r->rate : 0);
	q.random = clock->random64(clock->self);
	redrive_query(r, &q, r, on_messages);
}

static void on_given_back(void *arg, const struct store_query *q, const struct store_result *res, int result, const struct err *e)
{
	struct redrive *r = arg;

	if (result == 0)
		r->visible_at_ms = 0;
	if (r->c && r->paging)
		receive(r);
	redrive_paid(r);
}

/* What the last page has left. Not when the engine may still take one of them: it would not find it by its receipt. */
static void give_back(struct redrive *r)
{
	struct port_clock *clock = r->c->a->ctx.clock;
	struct store_query q = { .kind = STORE_Q_GIVE_BACK, .now_ms = clock->wall_ms(clock->self), .random = r->lease.random,
				 .limit = r->lease.n };

	r->lease.n = 0;
	memcpy(q.queue, r->queue, sizeof(q.queue));
	redrive_query(r, &q, r, on_given_back);
}

static bool may_give_back(const struct redrive *r)
{
	return r->lease.n && !r->in_doubt;
}

static void page(struct redrive *r)
{
	if (may_give_back(r))
		give_back(r);
	else
		receive(r);
}

static void last(struct redrive *r)
{
	if (may_give_back(r))
		give_back(r);
}

static void item_json(struct buf *b, const struct redrive_item *it)
{
	api_json_str(b, "messageId", it->id);
	if (it->state != REDRIVE_DONE)
		return;
	if (!it->r->dry)
		api_json_str(b, "requestId", it->request_id);
	api_json_str(b, "function", it->fn.name);
	api_json_opt(b, "redriveOf", it->origin);
}

static void head_json(struct buf *b, const struct redrive *r)
{
	api_json_str(b, "queue", r->queue);
}

static void tail_json(struct buf *b, const struct redrive *r)
{
	if (r->n_left && r->visible_at_ms)
		api_json_time(b, "leftUntil", r->visible_at_ms);
	api_json_int(b, "after", r->after);
	api_json_int(b, "upTo", r->up_to);
	api_json_bool(b, "more", r->more);
}

static const struct redrive_ops queue_ops = {
	.done = "redriven", .left = "left", .at_once = AT_ONCE, .page = page, .begin = begin, .item = item_json, .head = head_json,
	.tail = tail_json, .last = last,
};

void api_queue_redrive(struct api_call *c)
{
	CLEAN(redrive_freep) struct redrive *r = redrive_new(c, &queue_ops, API_LIST_MAX, 0);
	char arn[LIM_ARN_MAX + 1];
	int verdict = 0;

	if (!r || !api_param_queue(c, 0, r->queue) || !api_arg_bool(c, "dryRun", &r->dry) ||
	    !api_arg_function(c, "to", r->to.name) || !api_arg_function(c, "function", r->function) ||
	    !api_arg_word(c, "verdict", api_word_outcome, OUTCOME_MAX, &verdict) || !api_arg_time(c, "since", &r->since_ms) ||
	    !api_arg_time(c, "until", &r->until_ms) || !api_arg_int(c, "after", 0, INT64_MAX, 0, &r->after) ||
	    !api_arg_int(c, "upTo", 1, INT64_MAX, 0, &r->up_to) || !api_arg_overrides(c, &r->with))
		return;
	r->verdict = (enum outcome_kind)verdict;
	if (r->to.name[0] && !registry_get(intake_registry(c->a->ctx.engine), r->to.name)) {
		arn_format_function(arn, sizeof(arn), c->a->ctx.region, r->to.name, NULL);
		api_fail(c, API_NOT_FOUND, "Function not found: %s", arn);
		return;
	}
	if (r->dry || api_sure(c))
		redrive_start(TAKE(r));
}
