/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is owed to targets outside of our store, one row per event and role (I7). The sender makes one try; when, how often
 * and how many at a time is decided here.
 *
 *   put ─ durable ─► due ─► sent ─┬─ acknowledged ─► row gone (I4)
 *          ▲          ▲           ├─ try again ────► due after a back-off of its own; too old: as refused
 *          │          │           └─ refused ──────► kept, failed for good; counted; sent again or dropped by an operator
 *     (no room:       └─ page of the target's backlog
 *      on disk)
 *
 * Every target has a queue, a window in memory (the rest stays in the store, backlog.c) and a breaker: after
 * ENGINE_BREAKER_AT failures in a row nothing is sent but one probe at a time, after pauses that grow from 1 s to 5 min,
 * until one is acknowledged. So a dead target holds neither senders nor memory that others need. Targets take turns.
 *
 * Order is not promised: retries overtake, and so do loads. The key is the same on every send, so a target can tell
 * repetitions.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "engine/engine_int.h"
#include "model/policy.h"

static uint64_t key_of(const struct delivery *d)
{
	return (uint64_t)STORE_OUTBOX_POS(d->row.seq, d->row.role);
}

void delivery_free(struct delivery *d)
{
	if (!d)
		return;
	blob_unref(d->row.body);
	blob_unref(d->row.attributes);
	free(d);
}

/* ---- targets ------------------------------------------------------------------------------------------------ */

struct dest_target *outbox_target(struct engine *e, const char *name)
{
	struct dest_target *t = strmap_get(&e->targets, name);

	if (t)
		return t;
	t = XNEW(struct dest_target);
	snprintf(t->name, sizeof(t->name), "%s", name);
	list_init(&t->due);
	list_init(&t->turn);
	backlog_init(&t->backlog, BACKLOG_OUTBOX);
	strmap_put(&e->targets, t->name, t);
	return t;
}

/* A target that fails is remembered while it owes something: who owes nothing starts anew. */
void outbox_maybe_free(struct engine *e, struct dest_target *t)
{
	if (t->in_memory || t->backlog.on_disk || t->backlog.loading)
		return;
	assert(!t->sending && list_empty(&t->due));
	backlog_forget(e, &t->backlog);
	sched_cancel(&e->probes, &t->probe);
	e->stats.targets_open -= t->open;
	list_del(&t->turn);
	strmap_del(&e->targets, t->name);
	free(t);
}

/* Into the round, when it may send one more and has one. */
static void take_part(struct engine *e, struct dest_target *t)
{
	if (list_empty(&t->turn) && !list_empty(&t->due) && t->sending < ENGINE_TARGET_SENDS_MAX && !t->open)
		list_add_tail(&e->targets_ready, &t->turn);
}

static void breaker_failed(struct engine *e, struct dest_target *t)
{
	if (t->open && t->probe.place)
		return;		/* sent before it opened: no news */
	if (++t->failures < ENGINE_BREAKER_AT)
		return;
	if (!t->open)
		e->stats.targets_open++;
	t->open = true;
	list_del(&t->turn);
	sched_set(&e->probes, &t->probe,
		  now_steady(e) + policy_backoff_ms(t->failures - ENGINE_BREAKER_AT, random64(e)));
}

static void breaker_answered(struct engine *e, struct dest_target *t)
{
	t->failures = 0;
	if (!t->open)
		return;
	t->open = false;
	e->stats.targets_open--;
	sched_cancel(&e->probes, &t->probe);
}

/* ---- in and out of memory ----------------------------------------------------------------------------------- */

static void due(struct engine *e, struct delivery *d)
{
	if (d->sending || d->pending || !list_empty(&d->queue))
		return;		/* pending: it comes by itself, or goes */
	sched_cancel(&e->outbox, &d->due);
	list_add_tail(&d->to->due, &d->queue);
	take_part(e, d->to);
}

static int64_t bytes_of(const struct delivery *d)
{
	return (int64_t)((d->row.body ? d->row.body->len : 0) + (d->row.attributes ? d->row.attributes->len : 0));
}

static struct delivery *adopt(struct engine *e, const struct store_op_outbox *row)
{
	struct delivery *d = XNEW(struct delivery);
	void *twin;

	d->row = *row;
	d->row.body = blob_ref(row->body);
	d->row.attributes = blob_ref(row->attributes);
	list_init(&d->queue);
	d->to = outbox_target(e, row->target);
	d->to->in_memory++;
	e->outbox_bytes += bytes_of(d);
	twin = map_put(&e->deliveries, key_of(d), d);
	assert(!twin);
	return d;
}

static void forget(struct engine *e, struct delivery *d)
{
	struct dest_target *t = d->to;

	map_del(&e->deliveries, key_of(d));
	if (d->pending)
		batch_forget(e, d);
	if (e->loading)
		map_put(&e->left_deliveries, key_of(d), e);
	list_del(&d->queue);
	sched_cancel(&e->outbox, &d->due);
	t->in_memory--;
	e->outbox_bytes -= bytes_of(d);
	delivery_free(d);
	backlog_hunger(e, &t->backlog);
	outbox_maybe_free(e, t);
}

void outbox_durable(struct engine *e, struct delivery *d)
{
	struct dest_target *t = d->to;
	int64_t pos = (int64_t)key_of(d);

	assert(!d->sending);
	d->pending = false;
	if (backlog_room_outbox(e, t->in_memory - 1) && !t->backlog.on_disk) {
		due(e, d);
		return;
	}
	/* Behind others that are on disk already, or there is no room. */
	backlog_put_back(e, &t->backlog, INT64_MAX, pos);
	forget(e, d);
}

void outbox_take_in(struct engine *e, const struct store_op_outbox *row)
{
	uint64_t key = (uint64_t)STORE_OUTBOX_POS(row->seq, row->role);
	struct delivery *d;

	if (map_get(&e->deliveries, key) || map_get(&e->left_deliveries, key))
		return;
	d = adopt(e, row);
	if (d->to->backlog.on_disk > 0)
		d->to->backlog.on_disk--;
	if (row->due_at_ms <= now_steady(e))
		due(e, d);
	else
		sched_set(&e->outbox, &d->due, row->due_at_ms);
}

/* ---- new rows ----------------------------------------------------------------------------------------------- */

static struct store_op *outbox_op(struct engine *e, const struct inv *inv, enum outbox_role role, const struct target *t,
				  struct blob *body, struct blob *attributes)
{
	struct store_op *op = batch_op(e, STORE_OP_OUTBOX_PUT);

	op->outbox.seq = inv->row.seq;
	op->outbox.role = role;
	snprintf(op->outbox.target, sizeof(op->outbox.target), "%s", t->text);
	snprintf(op->outbox.key, sizeof(op->outbox.key), "%s:%s", inv->row.request_id, outbox_role_name(role));
	op->outbox.created_at_ms = op->outbox.due_at_ms = now_steady(e);
	op->outbox.body = blob_ref(body);
	op->outbox.attributes = blob_ref(attributes);
	memcpy(op->outbox.function, inv->row.function, sizeof(op->outbox.function));
	memcpy(op->outbox.request_id, inv->row.request_id, sizeof(op->outbox.request_id));
	op->outbox.attempt = inv->row.starts;
	return op;
}

static void send_when_durable(struct engine *e, struct delivery *d)
{
	d->pending = true;
	batch_after(e, AFTER_SEND, NULL, d, 0);
}

void outbox_put(struct engine *e, const struct inv *inv, enum outbox_role role, const struct target *t, struct blob *body,
		struct blob *attributes)
{
	struct delivery *d = adopt(e, &outbox_op(e, inv, role, t, body, attributes)->outbox);

	e->stats.deliveries_owed++;
	send_when_durable(e, d);
}

static void count_failure(struct engine *e, enum outbox_role role)
{
	e->stats.deliveries_failed++;
	if (role == ROLE_DEAD_LETTER)
		e->stats.dead_letter_errors++;
	else
		e->stats.delivery_failures++;
}

void outbox_undelivered(struct engine *e, const struct inv *inv, enum outbox_role role, const struct target *t,
			struct blob *body, struct blob *attributes, const char *why)
{
	struct store_op *op = outbox_op(e, inv, role, t, body, attributes);

	op->outbox.due_at_ms = INT64_MAX;
	snprintf(op->outbox.last_error, sizeof(op->outbox.last_error), "%s", why);
	count_failure(e, role);
}

/* ---- answers ------------------------------------------------------------------------------------------------ */

static void op_set(struct engine *e, const struct store_op_outbox *row)
{
	struct store_op *op = batch_op(e, STORE_OP_OUTBOX_SET);

	op->outbox = *row;
	op->outbox.body = op->outbox.attributes = NULL;
}

static void op_del(struct engine *e, int64_t seq, enum outbox_role role)
{
	struct store_op *op = batch_op(e, STORE_OP_OUTBOX_DEL);

	op->outbox.seq = seq;
	op->outbox.role = role;
}

/* Its event may have been waiting for this delivery alone. */
static void op_done(struct engine *e, int64_t seq)
{
	batch_op(e, STORE_OP_EVENT_DONE)->done.seq = seq;
}

/* Kept until that is durable: a page that is loaded before then shows the row as it was. */
static void owed_no_more(struct engine *e, struct delivery *d)
{
	assert(!d->over && !d->sending);
	e->stats.deliveries_owed--;
	op_done(e, d->row.seq);
	list_del(&d->queue);
	sched_cancel(&e->outbox, &d->due);
	if (d->pending)
		batch_forget(e, d);
	d->over = d->pending = true;
	batch_after(e, AFTER_OVER, NULL, d, 0);
}

void outbox_over(struct engine *e, struct delivery *d)
{
	d->pending = false;
	forget(e, d);
}

static void failed_for_good(struct engine *e, struct delivery *d)
{
	count_failure(e, d->row.role);
	d->row.due_at_ms = INT64_MAX;
	op_set(e, &d->row);
	owed_no_more(e, d);
}

static void again_later(struct engine *e, struct delivery *d)
{
	int64_t now = now_steady(e);

	e->stats.deliveries_retried++;
	d->row.tries++;
	d->row.due_at_ms = now + policy_backoff_ms(d->row.tries - 1, random64(e));
	if (now - d->row.created_at_ms > LIM_DELIVERY_AGE_MS) {
		failed_for_good(e, d);
		return;
	}
	op_set(e, &d->row);
	sched_set(&e->outbox, &d->due, d->row.due_at_ms);
}

void outbox_delivered(struct engine *e, int64_t seq, enum outbox_role role, enum delivered how, const char *why)
{
	struct delivery *d = map_get(&e->deliveries, (uint64_t)STORE_OUTBOX_POS(seq, role));
	struct dest_target *t;

	if (!d || !d->sending)
		return;
	t = d->to;
	d->sending = false;
	t->sending--;
	e->deliveries_under_way--;
	t->in_memory++;		/* kept for a moment: what follows may free the delivery, and with the last one its target */
	snprintf(d->row.last_error, sizeof(d->row.last_error), "%s", why);
	if (how == DELIVERED_RETRY)
		breaker_failed(e, t);
	else
		breaker_answered(e, t);
	if (d->lost) {
		forget(e, d);
	} else if (how == DELIVERED_ACK) {
		e->stats.deliveries_acked++;
		op_del(e, seq, role);
		owed_no_more(e, d);
	} else if (how == DELIVERED_RETRY) {
		again_later(e, d);
	} else {
		d->row.tries++;
		failed_for_good(e, d);
	}
	t->in_memory--;
	take_part(e, t);
	backlog_hunger(e, &t->backlog);
	outbox_maybe_free(e, t);
}

/* ---- an operator's wish ------------------------------------------------------------------------------------- */

static void answer_when_durable(struct engine *e, struct wish *wish, int64_t seq)
{
	struct after *a = batch_after(e, AFTER_ANSWER, NULL, NULL, 0);

	a->waiter = TAKE(wish->w);
	a->status = 200;
	a->seq = seq;
}

/* One that is not in memory: it failed for good, or it waits on disk. It is held until what is wished is durable, so that no page
 * that was asked for before brings it once more, and so that a second wish meets it. */
static struct delivery *take_up(struct engine *e, const struct store_op_outbox *row)
{
	struct dest_target *t = outbox_target(e, row->target);

	if (row->due_at_ms < INT64_MAX && t->backlog.on_disk > 0)
		t->backlog.on_disk--;
	else
		e->stats.deliveries_owed++;
	return adopt(e, row);
}

static void drop(struct engine *e, struct wish *wish, struct delivery *d)
{
	op_del(e, wish->row.seq, wish->row.role);
	owed_no_more(e, d ? d : take_up(e, &wish->row));
	answer_when_durable(e, wish, wish->row.seq);
}

/* What no sender sends: it failed for want of its target. */
static bool is_local(const struct target *t)
{
	return t->kind != TARGET_FILE && t->kind != TARGET_JOURNAL && t->kind != TARGET_REMOTE;
}

static void retry_local(struct engine *e, struct wish *wish, const struct target *t)
{
	char why[256] = "";

	if (!route_again(e, &wish->row, t, why, sizeof(why)))
		return answer_about(e, TAKE(wish->w), "", 409, why);
	drop(e, wish, NULL);
}

static void retry(struct engine *e, struct wish *wish, struct delivery *d)
{
	struct store_op_outbox row = wish->row;
	struct target t;

	if (!d && target_parse(row.target, &t, NULL) == 0 && is_local(&t))
		return retry_local(e, wish, &t);
	row.tries = 0;
	row.due_at_ms = row.created_at_ms = now_steady(e);
	if (d) {
		d->row.tries = 0;
		d->row.created_at_ms = row.created_at_ms;
		row.last_error[0] = '\0';
		op_set(e, &row);
		due(e, d);
	} else {
		op_set(e, &row);
		d = take_up(e, &wish->row);
		d->row.tries = 0;
		d->row.due_at_ms = d->row.created_at_ms = row.created_at_ms;
		send_when_durable(e, d);
	}
	answer_when_durable(e, wish, row.seq);
}

bool outbox_wish(struct engine *e, struct wish *wish, bool looked)
{
	struct delivery *d = map_get(&e->deliveries, (uint64_t)STORE_OUTBOX_POS(wish->row.seq, wish->row.role));

	/* What the API has read may be old by now, and what is on disk is counted by what the row says. */
	if (!d && !looked)
		return false;
	if (d && (d->sending || d->over))
		answer_about(e, TAKE(wish->w), "", 409, d->over ? "It is settled already" : "It is being sent at this moment");
	else if (wish->delivery == DELIVERY_DROP)
		drop(e, wish, d);
	else
		retry(e, wish, d);
	return true;
}

/* ---- turn --------------------------------------------------------------------------------------------------- */

void outbox_times(struct engine *e)
{
	int64_t now = now_steady(e);
	struct sched_node *n;

	while ((n = sched_first(&e->outbox)) && n->at <= now)
		due(e, container_of(n, struct delivery, due));
	while ((n = sched_first(&e->probes)) && n->at <= now) {
		struct dest_target *t = container_of(n, struct dest_target, probe);

		sched_cancel(&e->probes, n);
		if (!list_empty(&t->due) && !t->sending)
			list_add_tail(&e->targets_ready, &t->turn);	/* one: its answer decides */
		else
			sched_set(&e->probes, n, now + LIM_BACKOFF_MIN_MS);
	}
}

void outbox_pump(struct engine *e)
{
	while (!list_empty(&e->targets_ready) && e->deliveries_under_way < ENGINE_DELIVERIES_MAX && !e->leaving) {
		struct dest_target *t = list_first(&e->targets_ready, struct dest_target, turn);
		struct delivery *d = list_first(&t->due, struct delivery, queue);

		list_del(&t->turn);
		if (list_empty(&t->due)) {
			if (t->open)	/* what was to be the probe was dropped meanwhile: another one will be */
				sched_set(&e->probes, &t->probe, now_steady(e) + LIM_BACKOFF_MIN_MS);
			continue;
		}
		list_del(&d->queue);
		d->sending = true;
		t->sending++;
		e->deliveries_under_way++;
		e->ports.deliver->ops->send(e->ports.deliver, &d->row);
		take_part(e, t);
	}
}

void outbox_lost(struct engine *e, int64_t seq)
{
	for (int role = ROLE_ON_SUCCESS; role <= ROLE_DEAD_LETTER; role++) {
		struct delivery *d = map_get(&e->deliveries, (uint64_t)STORE_OUTBOX_POS(seq, role));

		if (!d)
			continue;
		e->stats.deliveries_owed -= !d->over;
		d->lost = true;
		if (!d->sending)
			forget(e, d);
	}
}
