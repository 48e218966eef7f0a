/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The invocation's machine. Pure: rows in, effects out; the engine commits the row before it acts on the effects.
 *
 *   QUEUED ─start→ RUNNING ─judged→ JUDGED ─┬─retry→ WAITING ─due, now→ QUEUED
 *      └─ expire, cancel (also WAITING) ──► └─route→ ROUTING ─routed→ DONE
 *
 * JUDGED lasts within one step only: a row in the store is never JUDGED.
 */
#include "model/inv.h"

#include <assert.h>
#include <errno.h>

#include "base/mem.h"
#include "model/policy.h"

static const char *const state_names[INV_MAX] = {
	[INV_QUEUED] = "queued", [INV_RUNNING] = "running", [INV_JUDGED] = "judged",
	[INV_WAITING] = "waiting", [INV_ROUTING] = "routing", [INV_DONE] = "done",
};

static const uint32_t edges[INV_MAX] = {
	[INV_QUEUED]  = BIT(INV_RUNNING) | BIT(INV_ROUTING),
	[INV_RUNNING] = BIT(INV_JUDGED),
	[INV_JUDGED]  = BIT(INV_WAITING) | BIT(INV_ROUTING),
	[INV_WAITING] = BIT(INV_QUEUED) | BIT(INV_ROUTING),
	[INV_ROUTING] = BIT(INV_DONE),
};

const char *inv_state_name(enum inv_state s)
{
	return (unsigned int)s < INV_MAX ? state_names[s] : "invalid";
}

bool inv_edge_ok(enum inv_state from, enum inv_state to)
{
	return (unsigned int)from < INV_MAX && (unsigned int)to < INV_MAX && (edges[from] & BIT(to));
}

const char *inv_condition_name(enum inv_condition c)
{
	switch (c) {
	case COND_NONE: return "";
	case COND_SUCCESS: return "Success";
	case COND_RETRIES_EXHAUSTED: return "RetriesExhausted";
	case COND_AGE_EXCEEDED: return "EventAgeExceeded";
	case COND_ZERO_CONCURRENCY: return "ZeroReservedConcurrency";
	case COND_CANCELLED: return "Cancelled";
	case COND_RECURSIVE: return "RecursiveInvocation";
	case COND_POISON: return "Poison";
	case COND_MAX: break;
	}
	return "";
}

/* Poison is a word of ours: to readers of Lambda's records the retries are over, and "fate" says why. */
const char *inv_condition_wire(enum inv_condition c)
{
	return inv_condition_name(c == COND_POISON ? COND_RETRIES_EXHAUSTED : c);
}

/* A byte each in inv_row.verdicts. Stored: places are never given to another verdict. */
static int verdict_place(enum outcome_kind k)
{
	switch (k) {
	case OUTCOME_TIMEOUT: return 0;
	case OUTCOME_OOM: return 1;
	case OUTCOME_SIGNAL: return 2;
	case OUTCOME_CRASH: return 3;
	case OUTCOME_ERROR: return 4;
	case OUTCOME_TOO_LARGE: return 5;
	case OUTCOME_EXEC_FAILED: return 6;
	case OUTCOME_INTERRUPTED: return 7;
	default: return -1;
	}
}

unsigned int inv_verdicts(const struct inv_row *row, enum outcome_kind k)
{
	int place = verdict_place(k);

	return place < 0 ? 0 : (unsigned int)(row->verdicts >> 8 * place & 0xff);
}

void inv_verdicts_add(struct inv_row *row, enum outcome_kind k)
{
	if (verdict_place(k) >= 0 && inv_verdicts(row, k) < 255)
		row->verdicts += 1ULL << 8 * verdict_place(k);
}

int inv_death(const struct outcome *o)
{
	if (o->kind == OUTCOME_SUCCESS || o->kind == OUTCOME_CANCELLED || o->kind == OUTCOME_NO_FUNCTION || o->hosts_fault)
		return 0;
	if (o->kind == OUTCOME_TIMEOUT || o->kind == OUTCOME_TOO_LARGE)
		return (int)o->kind << 16;	/* we ended it: by which signal is chance */
	return (int)o->kind << 16 | (o->signo & 0xff) << 8 | (o->exit_status & 0xff);
}

int64_t inv_expires_at_ms(const struct inv_row *row, const struct func *f)
{
	return row->accepted_at_ms + 1000LL * (f ? f->event_age_max_s : LIM_EVENT_AGE_S_DEFAULT);
}

/* The only writer of the state: drops what the new state must not keep. */
static void set_state(struct inv_row *row, enum inv_state to)
{
	assert(inv_edge_ok(row->state, to));
	row->state = to;
	if (to != INV_WAITING)
		row->due_at_ms = 0;
}

static int start(struct inv_row *row, const struct func *f)
{
	set_state(row, INV_RUNNING);
	if (f)
		row->once = policy_never_twice(f);
	row->epoch++;		/* whoever settles an older claim is refused */
	row->attempts++;
	row->starts++;
	return INV_FX_START;
}

static int route(struct inv_row *row, enum inv_condition why)
{
	row->condition = why;
	row->epoch++;		/* whoever claims it as it was before is refused */
	set_state(row, INV_ROUTING);
	return INV_FX_ROUTE;
}

static int judged(struct inv_row *row, const struct func *f, const struct inv_event *ev, int64_t now_ms)
{
	struct policy_decision d;

	if (ev->outcome->kind != OUTCOME_OOM || !ev->outcome->hosts_fault)	/* no reason to raise its limit */
		inv_verdicts_add(row, ev->outcome->kind);
	/* A restart in between, or a definition that was away, does not make two equal deaths different. */
	if (!ev->outcome->hosts_fault && ev->outcome->kind != OUTCOME_NO_FUNCTION) {
		int death = inv_death(ev->outcome);

		row->deaths = death && death == row->death ? row->deaths + 1 : death != 0;
		row->death = death;
	}
	policy_decide(row, f, ev->outcome, now_ms, ev->rnd, &d);
	set_state(row, INV_JUDGED);
	if (!d.consumes) {
		row->attempts--;	/* its number in `starts` stays used (I2) */
		row->backoffs++;
	} else {
		row->backoffs = 0;
	}
	if (d.verb != POLICY_RETRY)
		return route(row, d.condition);
	set_state(row, INV_WAITING);
	row->epoch++;
	row->due_at_ms = d.due_at_ms;
	return INV_FX_WAIT;
}

void inv_cancelling(struct inv_row *row)
{
	assert(row->state == INV_RUNNING);
	row->condition = COND_CANCELLED;
	row->epoch++;		/* whoever claims it as it was before would run it again */
}

int inv_step(struct inv_row *row, const struct func *f, const struct inv_event *ev, int64_t now_ms)
{
	switch (ev->kind) {
	case INV_EV_DISPATCH:
		return row->state == INV_QUEUED ? start(row, f) : -EINVAL;
	case INV_EV_OUTCOME:
		return row->state == INV_RUNNING && ev->outcome ? judged(row, f, ev, now_ms) : -EINVAL;
	case INV_EV_DUE:
		if (row->state != INV_WAITING || now_ms < row->due_at_ms)
			return -EINVAL;
		set_state(row, INV_QUEUED);
		return INV_FX_REQUEUE;
	case INV_EV_EXPIRE:
		if ((row->state != INV_QUEUED && row->state != INV_WAITING) || now_ms < inv_expires_at_ms(row, f))
			return -EINVAL;
		return route(row, COND_AGE_EXCEEDED);
	case INV_EV_ZERO_CONCURRENCY:
		return row->state == INV_QUEUED ? route(row, COND_ZERO_CONCURRENCY) : -EINVAL;
	case INV_EV_RECURSIVE:
		return row->state == INV_QUEUED ? route(row, COND_RECURSIVE) : -EINVAL;
	case INV_EV_CANCEL:
		return row->state == INV_QUEUED || row->state == INV_WAITING ? route(row, COND_CANCELLED) : -EINVAL;
	case INV_EV_NOW:
		if (row->state != INV_WAITING)
			return -EINVAL;
		set_state(row, INV_QUEUED);
		return INV_FX_REQUEUE;
	case INV_EV_ROUTED:
		if (row->state != INV_ROUTING)
			return -EINVAL;
		set_state(row, INV_DONE);
		return INV_FX_END;
	}
	return -EINVAL;
}
