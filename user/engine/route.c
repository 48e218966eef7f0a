/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where an ended event goes. The record, and what is owed for it, are part of the outcome's own batch (I3).
 *
 * Targets in our own store (a local function or queue, and what a local topic or bus fans out to) are put there in that
 * very batch: no outbox row, no second delivery, nothing to lose. Targets outside get an outbox row each, at most one per role (I7), which goes
 * only when the target has acknowledged (I4).
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "engine/engine_int.h"
#include "model/policy.h"

static uint64_t delivery_key(int64_t seq, enum outbox_role role)
{
	return (uint64_t)seq * 4 + (uint64_t)role;
}

void delivery_free(struct delivery *d)
{
	if (!d)
		return;
	blob_unref(d->row.body);
	blob_unref(d->row.attributes);
	free(d);
}

static void put_message(struct engine *e, const char *queue, struct blob *body, struct blob *attributes)
{
	struct store_op *op = batch_op(e, STORE_OP_MESSAGE_PUT);

	snprintf(op->message.queue, sizeof(op->message.queue), "%s", queue);
	new_uuid(e, op->message.id);
	op->message.body = blob_ref(body);
	op->message.attributes = blob_ref(attributes);
	op->message.sent_at_ms = now_wall(e);
}

static void put_function(struct engine *e, const char *name, struct blob *body)
{
	struct inv *next = inv_new();

	snprintf(next->row.function, sizeof(next->row.function), "%.*s", LIM_FUNCTION_NAME_MAX, name);
	new_uuid(e, next->row.request_id);
	next->payload = blob_ref(body);
	dispatch_accept(e, next);
}

struct delivery *route_adopt(struct engine *e, const struct store_op_outbox *row)
{
	struct delivery *d = XNEW(struct delivery);

	d->row = *row;
	d->row.body = blob_ref(row->body);
	d->row.attributes = blob_ref(row->attributes);
	list_init(&d->queue);
	map_put(&e->deliveries, delivery_key(row->seq, row->role), d);
	return d;
}

static void put_outbox(struct engine *e, struct inv *inv, enum outbox_role role, const struct target *t, struct blob *body,
		       struct blob *attributes)
{
	struct store_op *op = batch_op(e, STORE_OP_OUTBOX_PUT);
	struct delivery *d;

	op->outbox.seq = inv->row.seq;
	op->outbox.role = role;
	snprintf(op->outbox.target, sizeof(op->outbox.target), "%s", t->text);
	snprintf(op->outbox.key, sizeof(op->outbox.key), "%s:%s", inv->row.request_id, outbox_role_name(role));
	op->outbox.due_at_ms = now_wall(e);
	op->outbox.body = blob_ref(body);
	op->outbox.attributes = blob_ref(attributes);
	d = route_adopt(e, &op->outbox);
	d->inv = inv;
	inv->outbox_open++;
	batch_after(e, AFTER_SEND, NULL, d, 0);
}

/* What cannot be delivered because its target is not defined: kept with the reason, as a delivery that failed for good. */
static void put_undelivered(struct engine *e, struct inv *inv, enum outbox_role role, const struct target *t,
			    const struct target *missing, struct blob *body)
{
	struct store_op *op = batch_op(e, STORE_OP_OUTBOX_PUT);

	op->outbox.seq = inv->row.seq;
	op->outbox.role = role;
	snprintf(op->outbox.target, sizeof(op->outbox.target), "%s", t->text);
	snprintf(op->outbox.key, sizeof(op->outbox.key), "%s:%s", inv->row.request_id, outbox_role_name(role));
	op->outbox.due_at_ms = INT64_MAX;
	snprintf(op->outbox.last_error, sizeof(op->outbox.last_error), "%s %.200s is not defined",
		 target_kind_name(missing->kind), missing->name);
	op->outbox.body = blob_ref(body);
	e->stats.deliveries_failed++;
}

static bool put_topic(struct engine *e, const char *name, struct blob *body)
{
	struct topic *topic = registry_topic(e->registry, name);
	char id[ID_UUID_LEN + 1];
	struct topic_message m = {
		.topic = topic, .region = e->cfg.region, .message_id = id, .at_ms = now_wall(e), .message = body->data, .message_len = body->len,
	};

	if (!topic)
		return false;
	new_uuid(e, id);
	for (size_t i = 0; i < topic->n_subs; i++) {
		CLEAN(blob_unrefp) struct blob *text = NULL;
		struct buf b = {};

		m.sub = &topic->subs[i];
		topic_message_build(&b, &m);
		text = blob_new(b.data, b.len);
		buf_done(&b);
		if (m.sub->kind == TOPIC_SUB_QUEUE)
			put_message(e, m.sub->name, text, NULL);
		else
			put_function(e, m.sub->name, text);
	}
	return true;
}

/* False: the rule's target is not defined. */
static bool put_rule_target(struct engine *e, const struct target *t, struct blob *event)
{
	if (t->kind == TARGET_TOPIC)
		return put_topic(e, t->name, event);
	if (t->kind == TARGET_FUNCTION || (t->kind == TARGET_NAME && registry_get(e->registry, t->name)))
		put_function(e, t->name, event);
	else
		put_message(e, t->name, event, NULL);
	return true;
}

/* NULL, or what is not defined: the bus, or a target of a rule that matched. */
static const struct target *put_bus(struct engine *e, const struct inv *inv, const struct target *t, struct blob *body)
{
	struct bus *bus = registry_bus(e->registry, t->name);
	const char *type = bus_record_detail_type(inv->row.condition == COND_SUCCESS);
	char id[ID_UUID_LEN + 1], bus_arn[LIM_ARN_MAX + 1], function_arn[LIM_ARN_MAX + 1];
	const char *const resources[] = { bus_arn, function_arn };
	struct bus_event ev = {
		.id = id, .source = "lambda", .detail_type = type, .region = e->cfg.region, .at_ms = now_wall(e), .resources = resources,
		.n_resources = ARRAY_SIZE(resources), .detail = body->data, .detail_len = body->len,
	};
	CLEAN(blob_unrefp) struct blob *text = NULL;
	const struct target *missing = NULL;
	struct buf b = {};

	if (!bus)
		return t;
	new_uuid(e, id);
	arn_format_target(bus_arn, sizeof(bus_arn), e->cfg.region, TARGET_BUS, bus->name);
	arn_format_function(function_arn, sizeof(function_arn), e->cfg.region, inv->row.function,
			    inv->row.qualifier[0] ? inv->row.qualifier : "$LATEST");
	bus_event_build(&b, &ev);
	text = blob_new(b.data, b.len);
	buf_done(&b);
	for (size_t i = 0; i < bus->n_rules; i++) {
		const struct bus_rule *r = &bus->rules[i];

		for (size_t k = 0; bus_rule_matches(r, ev.source, type) && k < r->n_targets; k++)
			if (!put_rule_target(e, &r->targets[k], text))
				missing = &r->targets[k];
	}
	return missing;
}

static void put_target(struct engine *e, struct inv *inv, enum outbox_role role, const struct target *t, struct blob *body,
		       struct blob *attributes)
{
	const struct target *missing;

	switch (t->kind) {
	case TARGET_NONE:
	case TARGET_REMOTE:	/* refused when the definition was read */
		return;
	case TARGET_FUNCTION:
		put_function(e, t->name, body);
		return;
	case TARGET_QUEUE:
		put_message(e, t->name, body, attributes);
		return;
	case TARGET_NAME:
		if (registry_get(e->registry, t->name) && role != ROLE_DEAD_LETTER)
			put_function(e, t->name, body);
		else
			put_message(e, t->name, body, attributes);
		return;
	case TARGET_TOPIC:
		if (!put_topic(e, t->name, body))
			put_undelivered(e, inv, role, t, t, body);
		return;
	case TARGET_BUS:
		missing = put_bus(e, inv, t, body);
		if (missing)
			put_undelivered(e, inv, role, t, missing, body);
		return;
	case TARGET_FILE:
	case TARGET_JOURNAL:
		put_outbox(e, inv, role, t, body, attributes);
		return;
	}
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
	r = blob_new(b.data, b.len);
	buf_done(&b);
	return r;
}

static void put_dead_letter(struct engine *e, struct inv *inv, const struct func *f, const struct record_input *in)
{
	CLEAN(blob_unrefp) struct blob *attributes = NULL;
	CLEAN(blob_unrefp) struct blob *body = NULL;

	if (f->dead_letter.kind == TARGET_NONE)
		return;
	attributes = dead_letter_attributes(in);
	body = inv->payload && inv->payload->len ? blob_ref(inv->payload) : blob_new("{}", 2);
	put_target(e, inv, ROLE_DEAD_LETTER, &f->dead_letter, body, attributes);
}

static void ended(struct engine *e, struct inv *inv)
{
	int fx = inv_step(&inv->row, NULL, &(struct inv_event){ .kind = INV_EV_ROUTED }, now_wall(e));

	assert(fx == INV_FX_END);
	inv_track(e, inv, INV_ROUTING);
}

void route_event(struct engine *e, struct inv *inv, bool throttled)
{
	struct func *f = registry_get(e->registry, inv->row.function);
	struct record_input in = {
		.row = &inv->row, .region = e->cfg.region, .now_ms = now_wall(e), .request = inv->payload,
		.last = inv->last.kind == OUTCOME_INVALID ? NULL : &inv->last, .throttled = throttled,
		.fates = e->cfg.record_fate && (!f || f->record_fate) && inv->fates.len ? buf_str(&inv->fates) : NULL,
	};
	CLEAN(blob_unrefp) struct blob *body = NULL;
	struct buf b = {};
	struct store_op *op;

	assert(inv->row.state == INV_ROUTING && !inv->sync);
	record_build(&b, &in);
	body = blob_new(b.data, b.len);
	buf_done(&b);
	assert(body);

	op = batch_op(e, STORE_OP_RECORD_PUT);
	op->record.seq = inv->row.seq;
	memcpy(op->record.request_id, inv->row.request_id, sizeof(op->record.request_id));
	memcpy(op->record.function, inv->row.function, sizeof(op->record.function));
	op->record.condition = inv->row.condition;
	op->record.at_ms = in.now_ms;
	op->record.body = blob_ref(body);

	e->stats.by_condition[inv->row.condition]++;
	if (inv->row.condition == COND_SUCCESS)
		e->stats.succeeded++;
	else
		e->stats.failed++;
	if (f && inv->row.condition == COND_SUCCESS) {
		put_target(e, inv, ROLE_ON_SUCCESS, &f->on_success, body, NULL);
	} else if (f) {
		/* Both routes of a failure are served, independently. */
		put_target(e, inv, ROLE_ON_FAILURE, &f->on_failure, body, NULL);
		put_dead_letter(e, inv, f, &in);
	}
	inv->payload = blob_unref(inv->payload);	/* the record has it: what waits for a target does not hold it twice */
	if (!inv->outbox_open)
		ended(e, inv);
	batch_event_set(e, inv, inv->row.epoch);
	batch_after(e, AFTER_SETTLED, inv, NULL, 0);
	if (inv->row.state == INV_DONE)
		batch_after(e, AFTER_ENDED, inv, NULL, 0);
}

void route_ended(struct engine *e, struct inv *inv, enum inv_state was, bool throttled)
{
	inv_track(e, inv, (int)was);
	dispatch_forget(e, inv);
	route_event(e, inv, throttled);
}

void route_due(struct engine *e, struct delivery *d)
{
	if (!d->sending && list_empty(&d->queue))
		list_add_tail(&e->deliveries_due, &d->queue);
}

void route_pump(struct engine *e)
{
	while (!list_empty(&e->deliveries_due) && e->deliveries_under_way < ENGINE_DELIVERIES_MAX) {
		struct delivery *d = list_first(&e->deliveries_due, struct delivery, queue);

		list_del(&d->queue);
		d->sending = true;
		e->deliveries_under_way++;
		e->ports.deliver->ops->send(e->ports.deliver, &d->row);
	}
}

void route_over(struct engine *e, struct inv *inv)
{
	ended(e, inv);
	batch_event_set(e, inv, inv->row.epoch);
	batch_after(e, AFTER_ENDED, inv, NULL, 0);
}

static void delivery_over(struct engine *e, struct delivery *d)
{
	struct inv *inv = d->inv;

	map_del(&e->deliveries, delivery_key(d->row.seq, d->row.role));
	delivery_free(d);
	if (!inv)
		return;
	assert(inv->outbox_open > 0);
	if (!--inv->outbox_open)
		route_over(e, inv);
}

static void outbox_set(struct engine *e, const struct delivery *d)
{
	struct store_op *op = batch_op(e, STORE_OP_OUTBOX_SET);

	op->outbox = d->row;
	op->outbox.body = op->outbox.attributes = NULL;
}

void route_delivered(struct engine *e, int64_t seq, enum outbox_role role, enum delivered how, const char *why)
{
	struct delivery *d = map_get(&e->deliveries, delivery_key(seq, role));
	struct store_op *op;

	if (!d || !d->sending)
		return;
	d->sending = false;
	e->deliveries_under_way--;
	snprintf(d->row.last_error, sizeof(d->row.last_error), "%s", why);
	switch (how) {
	case DELIVERED_ACK:
		e->stats.deliveries_acked++;
		op = batch_op(e, STORE_OP_OUTBOX_DEL);
		op->outbox.seq = seq;
		op->outbox.role = role;
		delivery_over(e, d);
		return;
	case DELIVERED_RETRY:
		e->stats.deliveries_retried++;
		d->row.tries++;
		d->row.due_at_ms = now_wall(e) + policy_backoff_ms(d->row.tries - 1, e->ports.clock->random64(e->ports.clock->self));
		outbox_set(e, d);
		sched_set(&e->wall_deliveries, &d->due, d->row.due_at_ms);
		return;
	case DELIVERED_NEVER:
		/* The row stays, with its reason, and is not due any more: nothing is thrown away. */
		e->stats.deliveries_failed++;
		d->row.tries++;
		d->row.due_at_ms = INT64_MAX;
		outbox_set(e, d);
		delivery_over(e, d);
		return;
	}
}
