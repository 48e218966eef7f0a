/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where an ended event goes. The record, and what is owed for it, are part of the outcome's own batch (I3).
 *
 * Targets in our own store (a local function or queue, and what a local topic or bus fans out to) are put there in that
 * very batch: no outbox row, no second delivery, nothing to lose. Targets outside get an outbox row each, at most one per
 * role (I7), which goes only when the target has acknowledged (I4): outbox.c.
 *
 * Functions invoked here are one further in the chain. The one that would be too far is accepted, and ends at once
 * (dispatch.c); its own record goes to no function, or the chain would go on with it.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "base/json.h"
#include "base/mem.h"
#include "engine/engine_int.h"
#include "model/policy.h"

static void put_message(struct engine *e, const char *queue, struct blob *body, struct blob *attributes)
{
	struct store_op *op = batch_op(e, STORE_OP_MESSAGE_PUT);

	snprintf(op->message.queue, sizeof(op->message.queue), "%s", queue);
	new_uuid(e, op->message.id);
	op->message.body = blob_ref(body);
	op->message.attributes = blob_ref(attributes);
	op->message.sent_at_ms = now_wall(e);
}

/* What is invoked next is one further in the chain; behind one that was stopped there is nothing. */
static int next_hop(const struct inv *inv)
{
	return inv->row.condition == COND_RECURSIVE ? -1 : inv->row.hops + 1;
}

/* False, and why: the chain is over here, or the version is not there. A function that is not defined gets its event: its
 * attempt will say so. */
static bool put_function(struct engine *e, const char *name, const char *qualifier, int hops, struct blob *body, char *why,
			 size_t size)
{
	struct inv *next;
	int version = 0;

	if (hops < 0) {
		snprintf(why, size, "the chain was stopped here: it goes on to no function");
		return false;
	}
	if (body->len > LIM_ASYNC_PAYLOAD) {
		snprintf(why, size, "%zu bytes are more than a function's event takes (%u)", body->len, LIM_ASYNC_PAYLOAD);
		return false;
	}
	if (qualifier[0] && registry_resolve(e->registry, name, qualifier, random64(e), &version) < 0) {
		snprintf(why, size, "function %.64s:%.128s is not defined", name, qualifier);
		return false;
	}
	next = inv_new();
	snprintf(next->row.function, sizeof(next->row.function), "%.*s", LIM_FUNCTION_NAME_MAX, name);
	snprintf(next->row.qualifier, sizeof(next->row.qualifier), "%s", qualifier);
	next->row.version = version;
	next->row.hops = hops;
	new_uuid(e, next->row.request_id);
	next->payload = blob_ref(body);
	dispatch_accept(e, next);
	dispatch_accepted(e, next);
	return true;
}

/* What goes where, while an event is routed. */
struct routing { struct inv *inv; const struct record_input *in; struct blob *body; int *owed; };

static void not_defined(const struct target *t, char *ret, size_t size)
{
	snprintf(ret, size, "%s %.200s was not defined", target_kind_name(t->kind), t->name);
}

static struct blob *built(struct buf *b)
{
	struct blob *text = blob_must(b->data, b->len);

	buf_done(b);
	return text;
}

/* SQS's form of message attributes, {"DataType", "StringValue"}, to SNS's, {"Type", "Value"}. */
static char *sns_attributes(const struct blob *sqs)
{
	cJSON *from = cJSON_ParseWithLength(sqs->data, sqs->len), *to = cJSON_CreateObject();
	const cJSON *a;
	char *text;

	cJSON_ArrayForEach(a, from) {
		cJSON *o = cJSON_AddObjectToObject(to, a->string);

		cJSON_AddStringToObject(o, "Type", cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(a, "DataType")));
		cJSON_AddStringToObject(o, "Value", cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(a, "StringValue")));
	}
	text = cJSON_PrintUnformatted(to);
	cJSON_Delete(from);
	cJSON_Delete(to);
	return text;
}

/* To every subscription; false, and why, when a function among them did not get it. What is large is made once: the
 * message is quoted once, and all queues get one text. */
static bool fan_out(struct engine *e, const struct topic *topic, int hops, struct blob *body, struct blob *attributes, char *why,
		    size_t size)
{
	CLEAN(freep) char *sns = attributes ? sns_attributes(attributes) : NULL;
	bool ok = true;
	CLEAN(blob_unrefp) struct blob *envelope = NULL;
	CLEAN(buf_done) struct buf quoted = {};
	char id[ID_UUID_LEN + 1];
	struct topic_message m = {
		.topic = topic, .region = e->cfg.region, .message_id = id, .at_ms = now_wall(e), .message = body->data,
		.message_len = body->len, .quoted = &quoted, .attributes = sns,
	};

	new_uuid(e, id);
	(void)json_add_string(&quoted, body->data, body->len);
	for (size_t i = 0; i < topic->n_subs; i++) {
		struct buf b = {};

		m.sub = &topic->subs[i];
		if (m.sub->kind != TOPIC_SUB_QUEUE) {
			CLEAN(blob_unrefp) struct blob *event = NULL;

			topic_message_build(&b, &m);
			event = built(&b);
			ok &= put_function(e, m.sub->name, "", hops, event, why, size);
		} else if (m.sub->raw) {
			put_message(e, m.sub->name, body, attributes);
		} else {
			if (!envelope) {
				topic_message_build(&b, &m);
				envelope = built(&b);
			}
			put_message(e, m.sub->name, envelope, NULL);
		}
	}
	return ok;
}

/* body: the record, or a dead letter's event; that one is never cut. */
static bool put_topic(struct engine *e, const struct routing *rt, const struct target *t, struct blob *body,
		      struct blob *attributes, char *why, size_t size)
{
	const struct topic *topic = registry_topic(e->registry, t->name);
	CLEAN(blob_unrefp) struct blob *bare = NULL;
	struct buf b = {};

	if (!topic) {
		not_defined(t, why, size);
		return false;
	}
	if (rt->in && body == rt->body && body->len > TOPIC_MESSAGE_MAX) {
		struct record_input in = *rt->in;

		in.bare = true;
		record_build(&b, &in);
		bare = built(&b);
	}
	if (bare)
		body = bare;
	if (body->len > TOPIC_MESSAGE_MAX) {	/* a large event, or a hundred attempts with all that is known of each */
		snprintf(why, size, "a message of %zu bytes is more than a topic takes (%u)", body->len, TOPIC_MESSAGE_MAX);
		return false;
	}
	return fan_out(e, topic, next_hop(rt->inv), body, attributes, why, size);
}

static bool put_rule_target(struct engine *e, const struct target *t, int hops, struct blob *event, char *why, size_t size)
{
	if (t->kind == TARGET_TOPIC) {
		const struct topic *topic = registry_topic(e->registry, t->name);

		if (!topic) {
			not_defined(t, why, size);
			return false;
		}
		return fan_out(e, topic, hops, event, NULL, why, size);
	}
	if (t->kind == TARGET_FUNCTION || (t->kind == TARGET_NAME && registry_get(e->registry, t->name)))
		return put_function(e, t->name, t->qualifier, hops, event, why, size);
	put_message(e, t->name, event, NULL);
	return true;
}

static struct blob *bus_text(struct engine *e, const struct bus *bus, const struct routing *rt)
{
	const struct inv *inv = rt->inv;
	char id[ID_UUID_LEN + 1], bus_arn[LIM_ARN_MAX + 1], function_arn[LIM_ARN_MAX + 1];
	const char *const resources[] = { bus_arn, function_arn };
	struct bus_event ev = {
		.id = id, .source = "lambda", .detail_type = bus_record_detail_type(inv->row.condition == COND_SUCCESS),
		.region = e->cfg.region, .at_ms = now_wall(e), .resources = resources, .n_resources = ARRAY_SIZE(resources),
		.detail = rt->body->data, .detail_len = rt->body->len,
	};
	struct buf b = {};

	new_uuid(e, id);
	arn_format_target(bus_arn, sizeof(bus_arn), e->cfg.region, TARGET_BUS, bus->name);
	arn_format_function(function_arn, sizeof(function_arn), e->cfg.region, inv->row.function,
			    inv->row.qualifier[0] ? inv->row.qualifier : "$LATEST");
	bus_event_build(&b, &ev);
	return built(&b);
}

/* False, and why: the bus, or a target of a rule that matched, is not defined; or it is too much for a bus. */
static bool put_bus(struct engine *e, const struct routing *rt, const struct target *t, char *why, size_t size)
{
	const struct bus *bus = registry_bus(e->registry, t->name);
	const char *type = bus_record_detail_type(rt->inv->row.condition == COND_SUCCESS);
	CLEAN(blob_unrefp) struct blob *text = NULL;
	bool ok = true;

	if (!bus) {
		not_defined(t, why, size);
		return false;
	}
	if (rt->body->len > BUS_EVENT_MAX) {
		snprintf(why, size, "a record of %zu bytes is more than an event bus takes (%u)", rt->body->len, BUS_EVENT_MAX);
		return false;
	}
	text = bus_text(e, bus, rt);
	for (size_t i = 0; i < bus->n_rules; i++)
		for (size_t k = 0; bus_rule_matches(&bus->rules[i], "lambda", type) && k < bus->rules[i].n_targets; k++)
			ok &= put_rule_target(e, &bus->rules[i].targets[k], next_hop(rt->inv), text, why, size);
	return ok;
}

/* Into our own store, in the batch at hand. False, and why. */
static bool put_local(struct engine *e, const struct routing *rt, enum outbox_role role, const struct target *t, struct blob *body,
		      struct blob *attributes, char *why, size_t size)
{
	if (t->kind == TARGET_TOPIC)
		return put_topic(e, rt, t, body, attributes, why, size);
	if (t->kind == TARGET_BUS)
		return put_bus(e, rt, t, why, size);
	if (t->kind == TARGET_FUNCTION ||
	    (t->kind == TARGET_NAME && role != ROLE_DEAD_LETTER && registry_get(e->registry, t->name)))
		return put_function(e, t->name, t->qualifier, next_hop(rt->inv), body, why, size);
	put_message(e, t->name, body, attributes);
	return true;
}

/* body: the record, or a dead letter's event. */
static void put_target(struct engine *e, const struct routing *rt, enum outbox_role role, const struct target *t, struct blob *body,
		       struct blob *attributes)
{
	char why[256] = "";

	switch (t->kind) {
	case TARGET_NONE:
	case TARGET_REMOTE:	/* refused when the definition was read */
		return;
	case TARGET_FILE:
	case TARGET_JOURNAL:
		outbox_put(e, rt->inv, role, t, body, attributes);
		++*rt->owed;
		return;
	default:
		break;
	}
	/* What cannot be delivered, because its target is not defined or does not take it, is kept with the reason. */
	if (!put_local(e, rt, role, t, body, attributes, why, sizeof(why)))
		outbox_undelivered(e, rt->inv, role, t, body, attributes, why);
}

bool route_again(struct engine *e, const struct store_op_outbox *row, const struct target *t, char *why, size_t size)
{
	struct inv inv = { .row = { .condition = row->role == ROLE_ON_SUCCESS ? COND_SUCCESS : COND_RETRIES_EXHAUSTED } };
	struct routing rt = { .inv = &inv, .body = row->body };

	if (!row->body) {
		snprintf(why, size, "its body is not there");
		return false;
	}
	memcpy(inv.row.function, row->function, sizeof(inv.row.function));
	return put_local(e, &rt, row->role, t, row->body, row->attributes, why, size);
}

/* SQS's message attributes, as Lambda sets them on a dead letter. */
static struct blob *dead_letter_attributes(const struct record_input *in)
{
	struct dead_letter dl;
	struct buf b = {};
	struct blob *r;

	dead_letter_build(&dl, in);
	buf_addf(&b, "{\"RequestID\":{\"DataType\":\"String\",\"StringValue\":\"%s\"}", dl.request_id);
	if (dl.error_code)
		buf_addf(&b, ",\"ErrorCode\":{\"DataType\":\"Number\",\"StringValue\":\"%d\"}", dl.error_code);
	if (dl.error_message[0]) {
		buf_adds(&b, ",\"ErrorMessage\":{\"DataType\":\"String\",\"StringValue\":");
		json_add_string(&b, dl.error_message, strlen(dl.error_message));
		buf_addc(&b, '}');
	}
	buf_addc(&b, '}');
	r = blob_must(b.data, b.len);
	buf_done(&b);
	return r;
}

static void put_dead_letter(struct engine *e, const struct routing *rt, const struct func *f)
{
	const struct blob *payload = rt->inv->payload;
	CLEAN(blob_unrefp) struct blob *attributes = NULL;
	CLEAN(blob_unrefp) struct blob *body = NULL;

	if (f->dead_letter.kind == TARGET_NONE)
		return;
	attributes = dead_letter_attributes(rt->in);
	body = payload && payload->len ? blob_ref(rt->inv->payload) : blob_must("{}", 2);
	put_target(e, rt, ROLE_DEAD_LETTER, &f->dead_letter, body, attributes);
}

static void ended(struct engine *e, struct inv *inv)
{
	int fx = inv_step(&inv->row, NULL, &(struct inv_event){ .kind = INV_EV_ROUTED }, now_steady(e));

	assert(fx == INV_FX_END);
	inv_track(e, inv, INV_ROUTING);
}

void route_event(struct engine *e, struct inv *inv, const struct func *f, bool throttled)
{
	struct record_input in = {
		.row = &inv->row, .region = e->cfg.region, .now_ms = now_wall(e), .request = inv->payload,
		.last = inv->last.kind == OUTCOME_INVALID ? NULL : &inv->last, .throttled = throttled,
		.fates = e->cfg.record_fate && (!f || f->record_fate) && inv->fates.len ? buf_str(&inv->fates) : NULL,
	};
	CLEAN(blob_unrefp) struct blob *body = NULL;
	int64_t outer = e->on_behalf_of;
	int owed = 0;
	struct routing rt;
	struct buf b = {};
	struct store_op *op;

	assert(inv->row.state == INV_ROUTING && !inv->sync);
	record_build(&b, &in);
	body = built(&b);
	assert(body);
	rt = (struct routing){ inv, &in, body, &owed };
	e->on_behalf_of = inv->row.seq;

	op = batch_op(e, STORE_OP_RECORD_PUT);
	op->record.seq = inv->row.seq;
	memcpy(op->record.request_id, inv->row.request_id, sizeof(op->record.request_id));
	memcpy(op->record.function, inv->row.function, sizeof(op->record.function));
	op->record.condition = inv->row.condition;
	op->record.at_ms = in.now_ms;
	op->record.body = blob_ref(body);

	e->stats.by_condition[inv->row.condition]++;
	e->stats.poison += inv->row.condition == COND_POISON;
	if (inv->row.condition == COND_SUCCESS)
		e->stats.succeeded++;
	else
		e->stats.failed++;
	if (f && inv->row.condition == COND_SUCCESS) {
		put_target(e, &rt, ROLE_ON_SUCCESS, &f->on_success, body, NULL);
	} else if (f) {
		/* Both routes of a failure are served, independently. */
		put_target(e, &rt, ROLE_ON_FAILURE, &f->on_failure, body, NULL);
		put_dead_letter(e, &rt, f);
	}
	inv->payload = blob_unref(inv->payload);	/* the record has it: what waits for a target does not hold it twice */
	e->on_behalf_of = outer;
	if (!owed)
		ended(e, inv);
	/* Else its row goes on without us: it is DONE with its last delivery (STORE_OP_EVENT_DONE). */
	batch_event_set(e, inv);
	batch_after(e, AFTER_SETTLED, inv, NULL, 0);
	batch_after(e, AFTER_ENDED, inv, NULL, 0);
}

void route_ended(struct engine *e, struct inv *inv, enum inv_state was, bool throttled)
{
	inv_track(e, inv, (int)was);
	dispatch_forget(e, inv);
	route_event(e, inv, inv_func(e, inv), throttled);
}
