/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What follows from an outcome: done, again (when), or for good. Pure. */
#include "model/inv.h"

enum policy_verb { POLICY_SUCCEED, POLICY_RETRY, POLICY_FAIL };
struct policy_decision {
	enum policy_verb verb;
	int64_t due_at_ms;		/* RETRY */
	bool consumes;			/* RETRY: false for our own faults (I5) */
	enum inv_condition condition;	/* SUCCEED, FAIL */
};
void policy_decide(const struct inv_row *row, const struct func *f, const struct outcome *o, int64_t now_ms, uint64_t rnd,
		   struct policy_decision *ret);
/* What has run is not run again, whatever ended it. */
bool policy_never_twice(const struct func *f);
/* Timeout and memory of the event's next (or running) attempt: what its redrive asked for,
 * else the definition's, raised by the verdicts it has had. */
int policy_timeout_ms(const struct inv_row *row, const struct func *f);
int policy_memory_mb(const struct inv_row *row, const struct func *f);
/* Exponential from LIM_BACKOFF_MIN_MS to LIM_BACKOFF_MAX_MS with full jitter; n = 0, 1, …; never below half a second. */
int64_t policy_backoff_ms(int n, uint64_t rnd);
