/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What follows from an outcome. Two clocks, kept apart (I5):
 *   - function errors are few and minutes apart: MaximumRetryAttempts, RetryDelaysInSeconds;
 *   - deaths that were not the function's doing (nothing was started; the supervisor or the host went away under it; the
 *     OOM killer came for want of memory outside the function's own limit) back off from 1 s to 5 min with full jitter,
 *     consume no attempt, and end with the event's age.
 * The age is looked at before a retry is scheduled: a retry that could not start before the limit is not waited
 * for; the event fails at once with the last answer (recorded behaviour of AWS: age 60 with a first delay of 60).
 *
 * A function's RetryPolicy says otherwise for single verdicts: such a verdict is retried as often as its own row says,
 * counted by itself, whatever the number of other attempts. Without one, all is as Lambda has it, with two exceptions:
 *   - a program that cannot be executed is not tried again: it would fail in the same way, minutes later;
 *   - MaximumRetryAttempts 0 says "never twice". A run that was cut short by no fault of the function has had effects, too,
 *     so it is not repeated then. One that never started is.
 */
#include "model/policy.h"

#include "base/mem.h"

static const struct { int64_t delays[2]; } lambda = { { LIM_RETRY_DELAY_1_S * 1000, LIM_RETRY_DELAY_2_S * 1000 } };

/* Without a definition Lambda's, but never more than the event was started with. */
static int retries_max(const struct inv_row *row, const struct func *f)
{
	return f ? f->retries_max : row->once ? 0 : LIM_RETRIES_DEFAULT;
}

bool policy_never_twice(const struct func *f)
{
	return f->retries_max == 0;
}

/* The n-th delay of a list whose last entry repeats; n = 1, 2, … */
static int64_t nth_delay(const int64_t *list, size_t n_list, int n)
{
	size_t i = n > 0 ? (size_t)n - 1 : 0;

	return list[MIN(i, n_list - 1)];
}

static int64_t retry_delay_ms(const struct func *f, int attempts)
{
	return f ? nth_delay(f->retry_delays_ms, f->n_retry_delays, attempts)
		 : nth_delay(lambda.delays, ARRAY_SIZE(lambda.delays), attempts);
}

int64_t policy_backoff_ms(int n, uint64_t rnd)
{
	int64_t cap = LIM_BACKOFF_MIN_MS;

	for (int i = 0; i < n && cap < LIM_BACKOFF_MAX_MS; i++)
		cap *= 2;
	cap = MIN(cap, (int64_t)LIM_BACKOFF_MAX_MS);
	return MAX((int64_t)(rnd % (uint64_t)(cap + 1)), (int64_t)LIM_BACKOFF_MIN_MS / 2);
}

/* base × factor^times, at most max; a max below base (the definition's own) means no raise at all. */
static int raised(int base, double factor, unsigned int times, int max)
{
	double v = base;

	if (factor <= 1 || max <= base)
		return base;
	for (; times && v < max; times--)
		v *= factor;
	return v < max ? (int)(v + 0.5) : max;
}

int policy_timeout_ms(const struct inv_row *row, const struct func *f)
{
	const struct func_retry *r = &f->retry[OUTCOME_TIMEOUT];

	if (row->timeout_ms)
		return row->timeout_ms;
	return r->given ? raised(f->timeout_ms, r->timeout_factor, inv_verdicts(row, OUTCOME_TIMEOUT), r->timeout_max_ms)
			: f->timeout_ms;
}

int policy_memory_mb(const struct inv_row *row, const struct func *f)
{
	const struct func_retry *r = &f->retry[OUTCOME_OOM];

	if (row->memory_mb)
		return row->memory_mb;
	return r->given ? raised(f->memory_mb, r->memory_factor, inv_verdicts(row, OUTCOME_OOM), r->memory_max_mb) : f->memory_mb;
}

/* True when the event is to be run again. */
static bool again(const struct inv_row *row, const struct func *f, const struct outcome *o, int64_t now_ms, uint64_t rnd,
		  struct policy_decision *ret)
{
	const struct func_retry *r = f ? &f->retry[o->kind] : NULL;

	/* A row for OutOfMemory is about the function's own limit. One for Interrupted is what it says. */
	if (o->kind == OUTCOME_HOST || (o->hosts_fault && (o->kind == OUTCOME_OOM || !r || !r->given))) {
		ret->consumes = false;
		ret->due_at_ms = now_ms + policy_backoff_ms(row->backoffs, rnd);
		return o->kind == OUTCOME_HOST || retries_max(row, f) > 0 || (r && r->given && r->attempts > 0);
	}
	if (r && r->given) {
		int n = (int)inv_verdicts(row, o->kind);

		ret->due_at_ms = now_ms + (r->delays_ms ? nth_delay(r->delays_ms, r->n_delays, n) : retry_delay_ms(f, n));
		return n <= r->attempts;
	}
	ret->due_at_ms = now_ms + retry_delay_ms(f, row->attempts);
	if (o->kind == OUTCOME_NO_FUNCTION)	/* that was no run */
		return row->attempts <= LIM_RETRIES_DEFAULT;
	return o->kind != OUTCOME_EXEC_FAILED && row->attempts <= retries_max(row, f);
}

void policy_decide(const struct inv_row *row, const struct func *f, const struct outcome *o, int64_t now_ms, uint64_t rnd,
		   struct policy_decision *ret)
{
	*ret = (struct policy_decision){ .verb = POLICY_FAIL, .consumes = true, .condition = COND_RETRIES_EXHAUSTED };

	if (o->kind == OUTCOME_SUCCESS) {
		ret->verb = POLICY_SUCCEED;
		ret->condition = COND_SUCCESS;
		return;
	}
	/* Asked to end, whatever ended it then: the deadline or a crash of its own may have been faster. */
	if (o->kind == OUTCOME_CANCELLED || row->condition == COND_CANCELLED) {
		ret->condition = COND_CANCELLED;
		return;
	}
	/* inv_step() has counted this one. What was no death of the function's own is none now either, should the definition have
	 * come to allow fewer meanwhile. */
	if (f && f->poison_after && !o->hosts_fault && o->kind != OUTCOME_NO_FUNCTION && row->deaths >= f->poison_after) {
		ret->condition = COND_POISON;
		return;
	}
	if (!again(row, f, o, now_ms, rnd, ret)) {
		ret->due_at_ms = 0;
		ret->consumes = true;	/* it is the last one: it counts */
		return;
	}
	if (ret->due_at_ms >= inv_expires_at_ms(row, f)) {
		ret->condition = COND_AGE_EXCEEDED;
		ret->due_at_ms = 0;
		ret->consumes = o->kind != OUTCOME_HOST;
		return;
	}
	ret->verb = POLICY_RETRY;
	ret->condition = COND_NONE;
}
