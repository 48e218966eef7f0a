/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who runs next. Every function has a queue of its own; functions with work and room take turns, one start each, so
 * a flood on one does not starve another. A function at its reserved concurrency leaves the round until one of its
 * environments is gone. Events that wait here hold no resource but memory; the heap ends them at their age.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "engine/engine_int.h"

struct fn *dispatch_fn(struct engine *e, const char *name)
{
	struct fn *fn = strmap_get(&e->fns, name);

	if (fn)
		return fn;
	fn = XNEW(struct fn);
	snprintf(fn->name, sizeof(fn->name), "%s", name);
	list_init(&fn->ready);
	list_init(&fn->turn);
	strmap_put(&e->fns, fn->name, fn);
	return fn;
}

static void fn_maybe_free(struct engine *e, struct fn *fn)
{
	if (fn->running || !list_empty(&fn->ready))
		return;
	list_del(&fn->turn);
	strmap_del(&e->fns, fn->name);
	free(fn);
}

void dispatch_enqueue(struct engine *e, struct inv *inv)
{
	struct fn *fn = dispatch_fn(e, inv->row.function);
	struct func *f = registry_get(e->registry, inv->row.function);

	assert(inv->row.state == INV_QUEUED && list_empty(&inv->ready));
	inv->queued_ns = now_mono(e);
	list_add_tail(&fn->ready, &inv->ready);
	if (list_empty(&fn->turn))
		list_add_tail(&e->fns_ready, &fn->turn);
	sched_set(&e->wall, &inv->due, inv_expires_at_ms(&inv->row, f));
}

void dispatch_forget(struct engine *e, struct inv *inv)
{
	struct fn *fn = strmap_get(&e->fns, inv->row.function);

	list_del(&inv->ready);
	sched_cancel(&e->wall, &inv->due);
	if (fn)
		fn_maybe_free(e, fn);
}

void dispatch_accept(struct engine *e, struct inv *inv)
{
	struct store_op *op;

	inv->row.seq = e->next_seq++;
	inv->row.state = INV_QUEUED;
	inv->row.accepted_at_ms = now_wall(e);
	inv_track(e, inv, -1);
	e->stats.accepted++;
	op = batch_op(e, STORE_OP_EVENT_PUT);
	op->event.row = inv->row;
	op->event.payload = blob_ref(inv->payload);
	dispatch_enqueue(e, inv);
}

static void start_next(struct engine *e, struct inv *inv, struct func *f)
{
	uint32_t epoch_was = inv->row.epoch;
	struct store_op *op;
	int fx;

	dispatch_forget(e, inv);
	fx = inv_step(&inv->row, f, &(struct inv_event){ .kind = INV_EV_DISPATCH }, now_wall(e));
	assert(fx == INV_FX_START);
	inv_track(e, inv, INV_QUEUED);
	inv->started_at_ms = now_wall(e);
	batch_event_set(e, inv, epoch_was);
	op = batch_op(e, STORE_OP_ATTEMPT_PUT);
	op->attempt.seq = inv->row.seq;
	op->attempt.start = inv->row.starts;
	op->attempt.started_at_ms = inv->started_at_ms;
	if (f) {
		attempt_new(e, inv, f);
		batch_after(e, AFTER_LAUNCH, inv, NULL, 0);
	} else {
		attempt_settle(e, inv, NULL, (struct attempt_terms){}, 0);
	}
}

/* One look at the function whose turn it is. */
static void take_turn(struct engine *e, struct fn *fn)
{
	struct func *f = registry_get(e->registry, fn->name);
	struct inv *inv;

	list_del(&fn->turn);
	if (list_empty(&fn->ready)) {
		fn_maybe_free(e, fn);
		return;
	}
	inv = list_first(&fn->ready, struct inv, ready);
	if (f && f->reserved_concurrency > 0 && fn->running >= f->reserved_concurrency)
		return;		/* dispatch_released brings it back */
	list_add_tail(&e->fns_ready, &fn->turn);
	if (f && f->reserved_concurrency == 0) {
		int fx = inv_step(&inv->row, f, &(struct inv_event){ .kind = INV_EV_ZERO_CONCURRENCY }, now_wall(e));

		assert(fx == INV_FX_ROUTE);
		route_ended(e, inv, INV_QUEUED, false);
		return;
	}
	start_next(e, inv, f);
}

void dispatch_all(struct engine *e)
{
	while (!list_empty(&e->fns_ready) && !e->draining && !e->stats.in_doubt && e->running < e->cfg.concurrency_max)
		take_turn(e, list_first(&e->fns_ready, struct fn, turn));
}

void dispatch_released(struct engine *e, struct fn *fn)
{
	assert(fn->running > 0 && e->running > 0);
	fn->running--;
	e->running--;
	if (!list_empty(&fn->ready) && list_empty(&fn->turn))
		list_add_tail(&e->fns_ready, &fn->turn);
	fn_maybe_free(e, fn);
}

bool dispatch_sync(struct engine *e, struct inv *inv, struct intake_reply *refusal)
{
	struct func *f = registry_get(e->registry, inv->row.function);
	struct fn *fn = strmap_get(&e->fns, inv->row.function);
	int running = fn ? fn->running : 0, fx;

	*refusal = (struct intake_reply){ .status = 429, .error_type = "TooManyRequestsException", .error_message = "Rate Exceeded." };
	if (f->reserved_concurrency >= 0 && running >= f->reserved_concurrency) {
		refusal->error_reason = "ReservedFunctionConcurrentInvocationLimitExceeded";
		return false;
	}
	if (e->running >= e->cfg.concurrency_max) {
		refusal->error_reason = "ConcurrentInvocationLimitExceeded";
		return false;
	}
	inv->row.accepted_at_ms = inv->started_at_ms = now_wall(e);
	inv->queued_ns = now_mono(e);
	fx = inv_step(&inv->row, f, &(struct inv_event){ .kind = INV_EV_DISPATCH }, inv->started_at_ms);
	assert(fx == INV_FX_START);
	e->stats.sync_invocations++;
	attempt_new(e, inv, f);
	attempt_launch(e, inv);
	return true;
}
