/* SPDX-License-Identifier: Apache-2.0 */
/* The invocation's machine: every state against every event, the two clocks of the policy, and the age. */
#include "model/inv.h"

#include "base/mem.h"
#include "lib/test.h"
#include "model/policy.h"

#define T0 1700000000000LL

static struct inv_row row_in(enum inv_state s)
{
	return (struct inv_row){ .seq = 1, .state = s, .accepted_at_ms = T0, .attempts = s == INV_RUNNING,
				 .starts = s == INV_RUNNING,
				 .due_at_ms = s == INV_WAITING ? T0 + 1000 : 0, .epoch = 7 };
}

static int step(struct inv_row *row, enum inv_event_kind k, enum outcome_kind ok, int64_t now)
{
	struct outcome o = { .kind = ok };

	return inv_step(row, NULL, &(struct inv_event){ .kind = k, .outcome = &o, .rnd = 12345 }, now);
}

static void every_state_and_event(void)
{
	static const struct { enum inv_state s; enum inv_event_kind k; int64_t now; int fx; enum inv_state to; } legal[] = {
		{ INV_QUEUED, INV_EV_DISPATCH, T0, INV_FX_START, INV_RUNNING },
		{ INV_QUEUED, INV_EV_ZERO_CONCURRENCY, T0, INV_FX_ROUTE, INV_ROUTING },
		{ INV_RUNNING, INV_EV_OUTCOME, T0, INV_FX_ROUTE, INV_ROUTING },
		{ INV_ROUTING, INV_EV_ROUTED, T0, INV_FX_END, INV_DONE },
		{ INV_QUEUED, INV_EV_CANCEL, T0, INV_FX_ROUTE, INV_ROUTING },
		{ INV_WAITING, INV_EV_CANCEL, T0, INV_FX_ROUTE, INV_ROUTING },
		{ INV_WAITING, INV_EV_NOW, T0, INV_FX_REQUEUE, INV_QUEUED },
	};

	for (int s = 0; s < INV_MAX; s++)
		for (int k = INV_EV_DISPATCH; k <= INV_EV_NOW; k++) {
			struct inv_row row = row_in((enum inv_state)s), before = row;
			int fx = step(&row, (enum inv_event_kind)k, OUTCOME_SUCCESS, T0);
			bool found = false;

			for (size_t i = 0; i < ARRAY_SIZE(legal); i++)
				if ((int)legal[i].s == s && (int)legal[i].k == k) {
					found = true;
					CHECK_INT(fx, legal[i].fx);
					CHECK_INT(row.state, legal[i].to);
				}
			if (!found && (fx >= 0 || memcmp(&row, &before, sizeof(row)) != 0))
				FAIL("state %d took event %d: %d", s, k, fx);
		}
}

static void claims_are_numbered(void)
{
	struct inv_row row = row_in(INV_QUEUED);

	step(&row, INV_EV_DISPATCH, 0, T0);
	CHECK_INT(row.epoch, 8);
	CHECK_INT(row.attempts, 1);
	CHECK_INT(row.starts, 1);
}

static void function_errors_use_lambdas_delays(void)
{
	struct inv_row row = row_in(INV_RUNNING);

	CHECK_INT(step(&row, INV_EV_OUTCOME, OUTCOME_CRASH, T0), INV_FX_WAIT);
	CHECK_INT(row.due_at_ms, T0 + 60000);
	CHECK_INT(step(&row, INV_EV_DUE, 0, T0 + 59999), -22);
	CHECK_INT(step(&row, INV_EV_DUE, 0, T0 + 60000), INV_FX_REQUEUE);
	CHECK_INT(row.due_at_ms, 0);
	step(&row, INV_EV_DISPATCH, 0, T0 + 60000);
	CHECK_INT(step(&row, INV_EV_OUTCOME, OUTCOME_TIMEOUT, T0 + 63000), INV_FX_WAIT);
	CHECK_INT(row.due_at_ms, T0 + 63000 + 120000);
	step(&row, INV_EV_DUE, 0, T0 + 183000);
	step(&row, INV_EV_DISPATCH, 0, T0 + 183000);
	CHECK_INT(step(&row, INV_EV_OUTCOME, OUTCOME_SIGNAL, T0 + 184000), INV_FX_ROUTE);
	CHECK_INT(row.condition, COND_RETRIES_EXHAUSTED);
	CHECK_INT(row.attempts, 3);
}

static void our_faults_consume_no_attempt(void)
{
	struct inv_row row = row_in(INV_RUNNING);
	int64_t now = T0;

	for (int i = 0; i < 10; i++) {
		CHECK_INT(step(&row, INV_EV_OUTCOME, OUTCOME_HOST, now), INV_FX_WAIT);
		CHECK_INT(row.attempts, 0);
		CHECK(row.due_at_ms - now >= LIM_BACKOFF_MIN_MS / 2 && row.due_at_ms - now <= LIM_BACKOFF_MAX_MS);
		now = row.due_at_ms;
		step(&row, INV_EV_DUE, 0, now);
		step(&row, INV_EV_DISPATCH, 0, now);
		CHECK_INT(row.starts, i + 2);
	}
	/* One real attempt resets the back-off. */
	step(&row, INV_EV_OUTCOME, OUTCOME_CRASH, now);
	CHECK_INT(row.backoffs, 0);
	/* and the age ends it */
	row = row_in(INV_RUNNING);
	CHECK_INT(step(&row, INV_EV_OUTCOME, OUTCOME_HOST, T0 + 21600000 - 100), INV_FX_ROUTE);
	CHECK_INT(row.condition, COND_AGE_EXCEEDED);
	CHECK_INT(row.attempts, 0);
}

static void age(void)
{
	struct func *f = func_new();
	struct inv_row row = row_in(INV_RUNNING);
	struct outcome o = { .kind = OUTCOME_CRASH };
	struct inv_event ev = { .kind = INV_EV_OUTCOME, .outcome = &o };

	/* Recorded: age 60, retries 2 → the first failure goes out at once, count 1. */
	f->event_age_max_s = 60;
	CHECK_INT(inv_step(&row, f, &ev, T0 + 10), INV_FX_ROUTE);
	CHECK_INT(row.condition, COND_AGE_EXCEEDED);
	CHECK_INT(row.attempts, 1);
	/* Recorded: age 90 → one retry at 60 s, count 2. */
	f->event_age_max_s = 90;
	row = row_in(INV_RUNNING);
	CHECK_INT(inv_step(&row, f, &ev, T0 + 10), INV_FX_WAIT);
	step(&row, INV_EV_DUE, 0, T0 + 60010);
	step(&row, INV_EV_DISPATCH, 0, T0 + 60010);
	CHECK_INT(inv_step(&row, f, &ev, T0 + 60020), INV_FX_ROUTE);
	CHECK_INT(row.condition, COND_AGE_EXCEEDED);
	CHECK_INT(row.attempts, 2);
	/* Age never turns a success into a failure. */
	row = row_in(INV_RUNNING);
	o.kind = OUTCOME_SUCCESS;
	CHECK_INT(inv_step(&row, f, &ev, T0 + 1000000), INV_FX_ROUTE);
	CHECK_INT(row.condition, COND_SUCCESS);
	/* Nobody came for it. */
	row = row_in(INV_QUEUED);
	CHECK_INT(inv_step(&row, f, &(struct inv_event){ .kind = INV_EV_EXPIRE }, T0 + 89999), -22);
	CHECK_INT(inv_step(&row, f, &(struct inv_event){ .kind = INV_EV_EXPIRE }, T0 + 90000), INV_FX_ROUTE);
	CHECK_INT(row.condition, COND_AGE_EXCEEDED);
	func_unref(f);
}

static void configured_retries(void)
{
	struct func *f = func_new();
	struct outcome o = { .kind = OUTCOME_CRASH };
	struct inv_event ev = { .kind = INV_EV_OUTCOME, .outcome = &o };
	struct inv_row row = row_in(INV_RUNNING);

	f->retries_max = 0;
	CHECK_INT(inv_step(&row, f, &ev, T0), INV_FX_ROUTE);
	CHECK_INT(row.condition, COND_RETRIES_EXHAUSTED);
	f->retries_max = 4;
	f->retry_delays_ms = xrealloc(f->retry_delays_ms, 2 * sizeof(int64_t));
	f->retry_delays_ms[0] = 100;
	f->retry_delays_ms[1] = 700;
	f->n_retry_delays = 2;
	row = row_in(INV_RUNNING);
	for (int i = 0; i < 4; i++) {
		CHECK_INT(inv_step(&row, f, &ev, T0), INV_FX_WAIT);
		CHECK_INT(row.due_at_ms, T0 + (i ? 700 : 100));
		step(&row, INV_EV_DUE, 0, row.due_at_ms);
		step(&row, INV_EV_DISPATCH, 0, T0);
	}
	CHECK_INT(inv_step(&row, f, &ev, T0), INV_FX_ROUTE);
	CHECK_INT(row.attempts, 5);
	func_unref(f);
}

/* A run that the host or the daemon cut short costs no attempt, unless a second run is ruled out altogether. */
static void deaths_that_were_not_the_functions_doing(void)
{
	struct func *f = func_new();
	struct outcome o = { .kind = OUTCOME_INTERRUPTED, .hosts_fault = true };
	struct inv_event ev = { .kind = INV_EV_OUTCOME, .outcome = &o, .rnd = 12345 };
	struct inv_row row = row_in(INV_RUNNING);

	f->retries_max = 0;
	CHECK_INT(inv_step(&row, f, &ev, T0), INV_FX_ROUTE);	/* 0 means never twice, also when the daemon died */
	CHECK_INT(row.condition, COND_RETRIES_EXHAUSTED);
	CHECK_INT(row.attempts, 1);
	f->retries_max = 1;
	row = row_in(INV_RUNNING);
	for (int i = 0; i < 5; i++) {
		CHECK_INT(inv_step(&row, f, &ev, T0), INV_FX_WAIT);
		CHECK_INT(row.attempts, 0);
		CHECK(row.due_at_ms - T0 >= LIM_BACKOFF_MIN_MS / 2 && row.due_at_ms - T0 <= LIM_BACKOFF_MIN_MS << i);
		step(&row, INV_EV_DUE, 0, row.due_at_ms);
		step(&row, INV_EV_DISPATCH, 0, T0);
	}
	o = (struct outcome){ .kind = OUTCOME_OOM, .hosts_fault = true, .oom_scope = OOM_SCOPE_ANCESTOR };
	CHECK_INT(inv_step(&row, f, &ev, T0), INV_FX_WAIT);
	CHECK_INT(row.attempts, 0);
	step(&row, INV_EV_DUE, 0, row.due_at_ms);
	step(&row, INV_EV_DISPATCH, 0, T0);
	/* Its own limit is the function's own affair. */
	o = (struct outcome){ .kind = OUTCOME_OOM, .oom_scope = OOM_SCOPE_OWN };
	CHECK_INT(inv_step(&row, f, &ev, T0), INV_FX_WAIT);
	CHECK_INT(row.due_at_ms, T0 + 60000);
	step(&row, INV_EV_DUE, 0, row.due_at_ms);
	step(&row, INV_EV_DISPATCH, 0, T0);
	CHECK_INT(inv_step(&row, f, &ev, T0), INV_FX_ROUTE);
	CHECK_INT(row.attempts, 2);
	CHECK_INT(row.starts, 8);
	/* A row about OutOfMemory is about its own limit: the host's want of memory neither counts there nor raises it. */
	f->retry[OUTCOME_OOM] = (struct func_retry){ .given = true, .attempts = 1, .memory_factor = 2, .memory_max_mb = 10240 };
	o = (struct outcome){ .kind = OUTCOME_OOM, .hosts_fault = true, .oom_scope = OOM_SCOPE_HOST };
	row = row_in(INV_RUNNING);
	for (int i = 0; i < 3; i++) {
		CHECK_INT(inv_step(&row, f, &ev, T0), INV_FX_WAIT);
		CHECK_INT(row.attempts, 0);
		CHECK_INT(policy_memory_mb(&row, f), 128);
		step(&row, INV_EV_DUE, 0, row.due_at_ms);
		step(&row, INV_EV_DISPATCH, 0, T0);
	}
	f->retry[OUTCOME_OOM].given = false;
	/* One that was the last because of its age counts: it ran. */
	o = (struct outcome){ .kind = OUTCOME_INTERRUPTED, .hosts_fault = true };
	row = row_in(INV_RUNNING);
	CHECK_INT(inv_step(&row, f, &ev, T0 + 21600000 - 100), INV_FX_ROUTE);
	CHECK_INT(row.condition, COND_AGE_EXCEEDED);
	CHECK_INT(row.attempts, 1);
	func_unref(f);
}

static void an_exec_failure_is_not_repeated(void)
{
	struct func *f = func_new();
	struct outcome o = { .kind = OUTCOME_EXEC_FAILED };
	struct inv_event ev = { .kind = INV_EV_OUTCOME, .outcome = &o };
	struct inv_row row = row_in(INV_RUNNING);

	CHECK_INT(inv_step(&row, f, &ev, T0), INV_FX_ROUTE);
	CHECK_INT(row.condition, COND_RETRIES_EXHAUSTED);
	f->retry[OUTCOME_EXEC_FAILED] = (struct func_retry){ .given = true, .attempts = 1 };
	row = row_in(INV_RUNNING);
	CHECK_INT(inv_step(&row, f, &ev, T0), INV_FX_WAIT);
	CHECK_INT(row.due_at_ms, T0 + 60000);
	step(&row, INV_EV_DUE, 0, row.due_at_ms);
	step(&row, INV_EV_DISPATCH, 0, T0);
	CHECK_INT(inv_step(&row, f, &ev, T0), INV_FX_ROUTE);
	func_unref(f);
}

/* Timeouts are retried once, with twice the time; signals never; the rest as MaximumRetryAttempts says. */
static void a_policy_by_verdict(void)
{
	struct func *f = func_new();
	struct outcome o = { .kind = OUTCOME_TIMEOUT };
	struct inv_event ev = { .kind = INV_EV_OUTCOME, .outcome = &o };
	struct inv_row row = row_in(INV_RUNNING);

	f->timeout_ms = 3000;
	f->retry[OUTCOME_TIMEOUT] = (struct func_retry){ .given = true, .attempts = 1, .timeout_factor = 2,
							 .timeout_max_ms = 900000 };
	f->retry[OUTCOME_TIMEOUT].delays_ms = xcalloc(1, sizeof(int64_t));
	f->retry[OUTCOME_TIMEOUT].delays_ms[0] = 5;
	f->retry[OUTCOME_TIMEOUT].n_delays = 1;
	f->retry[OUTCOME_SIGNAL] = (struct func_retry){ .given = true, .attempts = 0 };
	f->retry[OUTCOME_OOM] = (struct func_retry){ .given = true, .attempts = 3, .memory_factor = 2, .memory_max_mb = 300 };
	CHECK_INT(policy_timeout_ms(&row, f), 3000);
	CHECK_INT(inv_step(&row, f, &ev, T0), INV_FX_WAIT);
	CHECK_INT(row.due_at_ms, T0 + 5);
	CHECK_INT(policy_timeout_ms(&row, f), 6000);
	CHECK_INT(policy_memory_mb(&row, f), 128);
	step(&row, INV_EV_DUE, 0, row.due_at_ms);
	step(&row, INV_EV_DISPATCH, 0, T0);
	CHECK_INT(inv_step(&row, f, &ev, T0), INV_FX_ROUTE);	/* the second one */
	CHECK_INT(row.attempts, 2);

	row = row_in(INV_RUNNING);
	o.kind = OUTCOME_SIGNAL;
	CHECK_INT(inv_step(&row, f, &ev, T0), INV_FX_ROUTE);

	f->retries_max = 0;	/* a verdict's own number stands by itself */
	row = row_in(INV_RUNNING);
	o = (struct outcome){ .kind = OUTCOME_OOM, .oom_scope = OOM_SCOPE_OWN };
	for (int i = 0; i < 3; i++) {
		static const int mb[] = { 256, 300, 300 };

		CHECK_INT(inv_step(&row, f, &ev, T0), INV_FX_WAIT);
		CHECK_INT(policy_memory_mb(&row, f), mb[i]);
		step(&row, INV_EV_DUE, 0, row.due_at_ms);
		step(&row, INV_EV_DISPATCH, 0, T0);
	}
	CHECK_INT(inv_step(&row, f, &ev, T0), INV_FX_ROUTE);
	func_unref(f);
}

static void verdicts_are_counted_apart(void)
{
	struct inv_row row = {};

	for (int i = 0; i < 300; i++)
		inv_verdicts_add(&row, OUTCOME_CRASH);
	inv_verdicts_add(&row, OUTCOME_TIMEOUT);
	inv_verdicts_add(&row, OUTCOME_INTERRUPTED);
	inv_verdicts_add(&row, OUTCOME_HOST);
	CHECK_INT(inv_verdicts(&row, OUTCOME_CRASH), 255);
	CHECK_INT(inv_verdicts(&row, OUTCOME_TIMEOUT), 1);
	CHECK_INT(inv_verdicts(&row, OUTCOME_INTERRUPTED), 1);
	CHECK_INT(inv_verdicts(&row, OUTCOME_SIGNAL), 0);
	CHECK_INT(inv_verdicts(&row, OUTCOME_ERROR), 0);
	CHECK_INT(inv_verdicts(&row, OUTCOME_HOST), 0);
}

static void what_is_cancelled_ends(void)
{
	struct inv_row row = row_in(INV_WAITING);

	CHECK_INT(step(&row, INV_EV_CANCEL, 0, T0), INV_FX_ROUTE);
	CHECK_INT(row.condition, COND_CANCELLED);
	row = row_in(INV_RUNNING);
	CHECK_INT(step(&row, INV_EV_OUTCOME, OUTCOME_CANCELLED, T0), INV_FX_ROUTE);
	CHECK_INT(row.condition, COND_CANCELLED);
	CHECK_INT(row.attempts, 1);
	/* The deadline, a crash or the daemon's end was faster: still it is not run again. */
	row = row_in(INV_RUNNING);
	row.condition = COND_CANCELLED;
	CHECK_INT(step(&row, INV_EV_OUTCOME, OUTCOME_TIMEOUT, T0), INV_FX_ROUTE);
	CHECK_INT(row.condition, COND_CANCELLED);
	row = row_in(INV_RUNNING);
	row.condition = COND_CANCELLED;
	CHECK_INT(step(&row, INV_EV_OUTCOME, OUTCOME_SUCCESS, T0), INV_FX_ROUTE);
	CHECK_INT(row.condition, COND_SUCCESS);
}

static void back_off(void)
{
	for (int n = 0; n < 40; n++) {
		int64_t cap = n > 8 ? LIM_BACKOFF_MAX_MS : 1000LL << n;

		cap = MIN(cap, (int64_t)LIM_BACKOFF_MAX_MS);
		for (uint64_t r = 0; r < 2000; r++) {
			int64_t d = policy_backoff_ms(n, r * 0x9e3779b97f4a7c15ULL);

			CHECK(d >= 500 && d <= cap);
		}
		CHECK_INT(policy_backoff_ms(n, (uint64_t)cap), cap);
	}
}

int main(void)
{
	RUN(every_state_and_event);
	RUN(claims_are_numbered);
	RUN(function_errors_use_lambdas_delays);
	RUN(our_faults_consume_no_attempt);
	RUN(age);
	RUN(configured_retries);
	RUN(deaths_that_were_not_the_functions_doing);
	RUN(an_exec_failure_is_not_repeated);
	RUN(a_policy_by_verdict);
	RUN(verdicts_are_counted_apart);
	RUN(what_is_cancelled_ends);
	RUN(back_off);
	TEST_END();
}
