/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What follows from an outcome. Two clocks, kept apart (I5):
 *   - function errors are few and minutes apart: MaximumRetryAttempts, RetryDelaysInSeconds;
 *   - our own faults (nothing was started) back off from 1 s to 5 min with full jitter, consume no attempt, and
 *     end with the event's age.
 * The age is looked at before a retry is scheduled: a retry that could not start before the limit is not waited
 * for; the event fails at once with the last answer (recorded behaviour of AWS: age 60 with a first delay of 60).
 *
 * An attempt that the daemon's own death cut short ran, with whatever effect it had: it consumes a try, so that
 * MaximumRetryAttempts 0 really means "never twice". An attempt that provably never started does not.
 */
#include "model/policy.h"

#include "base/mem.h"

static const struct { int64_t delays[2]; } lambda = { { LIM_RETRY_DELAY_1_S * 1000, LIM_RETRY_DELAY_2_S * 1000 } };

static int retries_max(const struct func *f)
{
	return f ? f->retries_max : LIM_RETRIES_DEFAULT;
}

static int64_t retry_delay_ms(const struct func *f, int attempts)
{
	size_t n = f ? f->n_retry_delays : ARRAY_SIZE(lambda.delays);
	const int64_t *list = f ? f->retry_delays_ms : lambda.delays;
	size_t i = attempts > 0 ? (size_t)attempts - 1 : 0;

	return list[MIN(i, n - 1)];
}

int64_t policy_backoff_ms(int n, uint64_t rnd)
{
	int64_t cap = LIM_BACKOFF_MIN_MS;

	for (int i = 0; i < n && cap < LIM_BACKOFF_MAX_MS; i++)
		cap *= 2;
	cap = MIN(cap, (int64_t)LIM_BACKOFF_MAX_MS);
	return MAX((int64_t)(rnd % (uint64_t)(cap + 1)), (int64_t)LIM_BACKOFF_MIN_MS / 2);
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
	if (o->kind == OUTCOME_HOST) {
		ret->consumes = false;
		ret->due_at_ms = now_ms + policy_backoff_ms(row->backoffs, rnd);
	} else {
		if (row->attempts > retries_max(f))
			return;
		ret->due_at_ms = now_ms + retry_delay_ms(f, row->attempts);
	}
	if (ret->due_at_ms >= inv_expires_at_ms(row, f)) {
		ret->condition = COND_AGE_EXCEEDED;
		ret->due_at_ms = 0;
		return;
	}
	ret->verb = POLICY_RETRY;
	ret->condition = COND_NONE;
}
