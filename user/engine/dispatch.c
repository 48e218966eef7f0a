/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who runs next. Every function has a queue of its own; functions with work and room take turns, one start each, so
 * a flood on one does not starve another: its events wait behind each other, and nobody else's behind them.
 *
 * Three limits, as in Lambda. ReservedConcurrentExecutions is a function's own limit, and what nobody else may use: the
 * functions without one share what the reserves leave of MaxConcurrency (one place at least, whatever was promised). A
 * function at its reserve leaves the round until one of its environments is gone; those without one leave it together when
 * their share is in use (fns_blocked).
 *
 * Lambda puts a throttled event back into its queue and tries again after 1 s to 5 min, growing and with jitter, because
 * its queue cannot see when a place becomes free. Ours can: a throttled event is started in the turn in which there is room
 * for it. What may be observed is the same: it consumes no attempt, and it ends with its age.
 *
 * Events that wait here hold memory alone, and only the next ones (backlog.c); the heap ends them at their age.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "engine/engine_int.h"
#include "model/policy.h"

static int reserve_of(const struct engine *e, const char *name)
{
	const struct func *f = registry_get(e->registry, name);

	return f ? f->reserved_concurrency : -1;
}

struct fn *dispatch_fn(struct engine *e, const char *name)
{
	struct fn *fn = strmap_get(&e->fns, name);

	if (fn)
		return fn;
	fn = XNEW(struct fn);
	snprintf(fn->name, sizeof(fn->name), "%s", name);
	list_init(&fn->ready);
	list_init(&fn->turn);
	backlog_init(&fn->backlog, BACKLOG_QUEUED);
	fn->reserved = reserve_of(e, name);
	strmap_put(&e->fns, fn->name, fn);
	return fn;
}

void dispatch_maybe_free(struct engine *e, struct fn *fn)
{
	if (fn->running || !list_empty(&fn->ready) || fn->backlog.on_disk || fn->backlog.loading)
		return;
	backlog_forget(e, &fn->backlog);
	list_del(&fn->turn);
	strmap_del(&e->fns, fn->name);
	free(fn);
}

/* It has work: whether there is room is seen when its turn comes. */
static void take_part(struct engine *e, struct fn *fn)
{
	if (list_empty(&fn->turn))
		list_add_tail(&e->fns_ready, &fn->turn);
}

void dispatch_enqueue(struct engine *e, struct inv *inv)
{
	struct fn *fn = dispatch_fn(e, inv->row.function);

	assert(inv->row.state == INV_QUEUED && list_empty(&inv->ready));
	inv->queued_ns = now_mono(e);
	list_add_tail(&fn->ready, &inv->ready);
	fn->n_ready++;
	take_part(e, fn);
	sched_set(&e->events, &inv->due, inv_expires_at_ms(&inv->row, inv_func(e, inv)));
}

void dispatch_forget(struct engine *e, struct inv *inv)
{
	struct fn *fn = strmap_get(&e->fns, inv->row.function);

	if (!list_empty(&inv->ready)) {
		list_del(&inv->ready);
		fn->n_ready--;
	}
	sched_cancel(&e->events, &inv->due);
	if (!fn)
		return;
	backlog_hunger(e, &fn->backlog);
	dispatch_maybe_free(e, fn);
}

/* The chain it would prolong is long enough: recorded, and not run. */
static bool too_deep(struct engine *e, struct inv *inv)
{
	struct func *f = registry_get(e->registry, inv->row.function);	/* a setting of the function, as in Lambda, not of a version */
	int fx;

	if (inv->row.hops <= LIM_CHAIN || (f && f->recursive_loop))
		return false;
	fx = inv_step(&inv->row, f, &(struct inv_event){ .kind = INV_EV_RECURSIVE }, now_steady(e));
	assert(fx == INV_FX_ROUTE);
	e->stats.recursive++;
	inv_track(e, inv, INV_QUEUED);
	route_event(e, inv, inv_func(e, inv), false);
	return true;
}

void dispatch_accept(struct engine *e, struct inv *inv)
{
	struct store_op *op;

	assert(!inv->sync);
	inv->row.seq = e->next_seq++;
	inv->row.state = INV_QUEUED;
	inv->row.hops = MAX(inv->row.hops, 1);
	inv->row.accepted_at_ms = now_steady(e);
	inv_track(e, inv, -1);
	inv_weigh(e, inv);
	e->stats.accepted++;
	op = batch_op(e, STORE_OP_EVENT_PUT);
	op->event.row = inv->row;
	op->event.payload = blob_ref(inv->payload);
}

/* After dispatch_accept(), and after what must come first when its row is durable. */
void dispatch_accepted(struct engine *e, struct inv *inv)
{
	if (!too_deep(e, inv))
		backlog_place(e, inv);
}

/* As long as leases are, and in any case for longer than the attempt may take: a version may have been published when leases
 * were longer. From the claim on: one whose commit is held up by a store in doubt launches late, and it is the epoch that fences. */
static int64_t lease_end_ms(struct engine *e, const struct inv *inv, const struct func *f)
{
	int64_t longest = f ? (int64_t)policy_timeout_ms(&inv->row, f) + f->kill_grace_ms + LIM_LEASE_SLACK_S * 1000LL : 0;

	return now_steady(e) + MAX(e->cfg.lease_ms, longest);
}

static void start_next(struct engine *e, struct inv *inv, struct func *f)
{
	struct store_op *op;
	int fx;

	dispatch_forget(e, inv);
	fx = inv_step(&inv->row, f, &(struct inv_event){ .kind = INV_EV_DISPATCH }, now_steady(e));
	assert(fx == INV_FX_START);
	inv->row.lease_until_ms = lease_end_ms(e, inv, f);
	inv_track(e, inv, INV_QUEUED);
	inv->started_at_ms = now_wall(e);
	batch_event_set(e, inv);
	op = batch_op(e, STORE_OP_ATTEMPT_PUT);
	op->attempt.seq = inv->row.seq;
	op->attempt.start = inv->row.starts;
	op->attempt.started_at_ms = inv->started_at_ms;
	if (f) {
		attempt_new(e, inv, f);
		batch_after(e, AFTER_LAUNCH, inv, NULL, 0);
	} else {
		attempt_settle(e, inv, NULL, NULL, (struct attempt_terms){}, 0);
	}
}

static bool share_is_used(const struct engine *e)
{
	return e->running_unreserved >= MAX(e->cfg.concurrency_max - e->reserved_sum, 1);
}

/* One look at the function whose turn it is. */
static void take_turn(struct engine *e, struct fn *fn)
{
	struct inv *inv;

	list_del(&fn->turn);
	if (list_empty(&fn->ready)) {
		dispatch_maybe_free(e, fn);
		return;
	}
	inv = list_first(&fn->ready, struct inv, ready);
	if (fn->reserved > 0 && fn->running >= fn->reserved)
		return;		/* dispatch_released brings it back */
	if (fn->reserved < 0 && share_is_used(e)) {
		list_add_tail(&e->fns_blocked, &fn->turn);
		return;
	}
	list_add_tail(&e->fns_ready, &fn->turn);
	if (fn->reserved == 0) {
		int fx = inv_step(&inv->row, NULL, &(struct inv_event){ .kind = INV_EV_ZERO_CONCURRENCY }, now_steady(e));

		assert(fx == INV_FX_ROUTE);
		route_ended(e, inv, INV_QUEUED, false);
		return;
	}
	start_next(e, inv, inv_func(e, inv));
}

void dispatch_all(struct engine *e)
{
	while (!list_empty(&e->fns_ready) && !e->draining && !e->stats.in_doubt && e->running < e->cfg.concurrency_max)
		take_turn(e, list_first(&e->fns_ready, struct fn, turn));
}

static void unblock(struct engine *e)
{
	list_for_each_safe(pos, tmp, &e->fns_blocked) {
		list_del(pos);
		list_add_tail(&e->fns_ready, pos);
	}
}

void dispatch_claimed(struct engine *e, struct fn *fn)
{
	fn->running++;
	e->running++;
	e->running_unreserved += fn->reserved < 0;
}

void dispatch_released(struct engine *e, struct fn *fn)
{
	assert(fn->running > 0 && e->running > 0);
	fn->running--;
	e->running--;
	e->running_unreserved -= fn->reserved < 0;
	if (fn->reserved < 0 && !list_empty(&e->fns_blocked) && !share_is_used(e))
		unblock(e);
	if (!list_empty(&fn->ready))
		take_part(e, fn);
	dispatch_maybe_free(e, fn);
}

void dispatch_limits(struct engine *e)
{
	struct func *const *list;
	size_t n = registry_list(e->registry, &list);

	e->reserved_sum = 0;
	for (size_t i = 0; i < n; i++)
		e->reserved_sum += MAX(list[i]->reserved_concurrency, 0);
	e->running_unreserved = 0;
	unblock(e);
	for (size_t i = 0; i < e->fns.cap; i++) {
		struct fn *fn = e->fns.slots[i].value;

		if (!fn)
			continue;
		fn->reserved = reserve_of(e, fn->name);
		e->running_unreserved += fn->reserved < 0 ? fn->running : 0;
		if (!list_empty(&fn->ready))
			take_part(e, fn);
	}
}

bool dispatch_at_limit(const struct engine *e, const char *function)
{
	const struct fn *fn = strmap_get(&e->fns, function);
	int reserved = fn ? fn->reserved : reserve_of(e, function);

	return e->running >= e->cfg.concurrency_max || (reserved > 0 && fn && fn->running >= reserved) ||
	       (reserved < 0 && share_is_used(e));
}

bool dispatch_sync(struct engine *e, struct inv *inv, struct intake_reply *refusal)
{
	struct func *f = inv_func(e, inv);
	struct fn *fn = strmap_get(&e->fns, inv->row.function);
	int running = fn ? fn->running : 0, reserved = reserve_of(e, inv->row.function), fx;

	*refusal = (struct intake_reply){ .status = 429, .error_type = "TooManyRequestsException", .error_message = "Rate Exceeded." };
	if (reserved >= 0 && running >= reserved) {
		refusal->error_reason = "ReservedFunctionConcurrentInvocationLimitExceeded";
		return false;
	}
	if (e->running >= e->cfg.concurrency_max || (reserved < 0 && share_is_used(e))) {
		refusal->error_reason = "ConcurrentInvocationLimitExceeded";
		return false;
	}
	inv->row.accepted_at_ms = now_steady(e);
	inv->started_at_ms = now_wall(e);
	inv->queued_ns = now_mono(e);
	fx = inv_step(&inv->row, f, &(struct inv_event){ .kind = INV_EV_DISPATCH }, inv->row.accepted_at_ms);
	assert(fx == INV_FX_START);
	e->stats.sync_invocations++;
	attempt_new(e, inv, f);
	attempt_launch(e, inv);
	return true;
}
