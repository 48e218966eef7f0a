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
		{ INV_QUEUED, INV_EV_RECURSIVE, T0, INV_FX_ROUTE, INV_ROUTING },
		/* only when their time has come */
		{ INV_WAITING, INV_EV_DUE, T0 + 1000, INV_FX_REQUEUE, INV_QUEUED },
		{ INV_QUEUED, INV_EV_EXPIRE, T0 + 21600000, INV_FX_ROUTE, INV_ROUTING },
		{ INV_WAITING, INV_EV_EXPIRE, T0 + 21600000, INV_FX_ROUTE, INV_ROUTING },
	};
	static const int64_t times[] = { T0, T0 + 999, T0 + 1000, T0 + 21599999, T0 + 21600000, T0 + 99999999 };

	for (int s = 0; s < INV_MAX; s++)
		for (int k = INV_EV_DISPATCH; k <= INV_EV_NOW + 1; k++)
			for (size_t t = 0; t < ARRAY_SIZE(times); t++) {
				struct inv_row row = row_in((enum inv_state)s), before = row;
				int fx = step(&row, (enum inv_event_kind)k, OUTCOME_SUCCESS, times[t]);
				bool found = false;

				for (size_t i = 0; i < ARRAY_SIZE(legal); i++)
					if ((int)legal[i].s == s && (int)legal[i].k == k && times[t] >= legal[i].now) {
						found = true;
						CHECK_INT(fx, legal[i].fx);
						CHECK_INT(row.state, legal[i].to);
						CHECK_INT(row.due_at_ms, 0);
					}
				if (!found && (fx >= 0 || memcmp(&row, &before, sizeof(row)) != 0))
					FAIL("state %d took event %d: %d", s, k, fx);
			}
}

/* An outcome that is missing is no outcome. */
static void an_outcome_is_needed(void)
{
	struct inv_row row = row_in(INV_RUNNING);

	CHECK_INT(inv_step(&row, NULL, &(struct inv_event){ .kind = INV_EV_OUTCOME }, T0), -22);
	CHECK_INT(row.state, INV_RUNNING);
}

static void edges(void)
{
	static const char *const legal[] = { "queued running", "queued routing", "running judged", "judged waiting",
		"judged routing",
					     "waiting queued", "waiting routing", "routing done" };
	size_t n = 0;

	for (int from = -1; from <= INV_MAX; from++)
		for (int to = -1; to <= INV_MAX; to++) {
			char text[40];
			bool found = false;

			snprintf(text, sizeof(text), "%s %s", inv_state_name((enum inv_state)from),
				inv_state_name((enum inv_state)to));
			for (size_t i = 0; i < ARRAY_SIZE(legal); i++)
				found |= strcmp(legal[i], text) == 0;
			if (inv_edge_ok((enum inv_state)from, (enum inv_state)to) != found)
				FAIL("%s: %d", text, !found);
			n += found;
		}
	CHECK_INT(n, ARRAY_SIZE(legal));
}

static void conditions(void)
{
	/* By number: they are stored. */
	static const char *const names[COND_MAX] = { "", "Success", "RetriesExhausted", "EventAgeExceeded",
		"ZeroReservedConcurrency",
						     "Cancelled", "RecursiveInvocation", "Poison" };

	for (int c = 0; c < COND_MAX; c++) {
		CHECK_STR(inv_condition_name((enum inv_condition)c), names[c]);
		CHECK_STR(inv_condition_wire((enum inv_condition)c), c == COND_POISON ? "RetriesExhausted" : names[c]);
	}
	CHECK_STR(inv_condition_name(COND_MAX), "");
	CHECK_STR(inv_condition_wire((enum inv_condition)-1), "");
}

static void claims_are_numbered(void)
{
	struct inv_row row = row_in(INV_QUEUED);

	step(&row, INV_EV_DISPATCH, 0, T0);
	CHECK_INT(row.epoch, 8);
	CHECK_INT(row.attempts, 1);
	CHECK_INT(row.starts, 1);
}

/* A claim, a settle and an end each make a new one, once; what only moves it in time does not. */
static void epochs(void)
{
	static const struct { enum inv_state s; enum inv_event_kind k; enum outcome_kind o; int64_t now; int more; } rows[] = {
		{ INV_QUEUED, INV_EV_DISPATCH, 0, T0, 1 }, { INV_RUNNING, INV_EV_OUTCOME, OUTCOME_SUCCESS, T0, 1 },
		{ INV_RUNNING, INV_EV_OUTCOME, OUTCOME_CRASH, T0, 1 }, { INV_RUNNING, INV_EV_OUTCOME, OUTCOME_HOST, T0, 1 },
		{ INV_RUNNING, INV_EV_OUTCOME, OUTCOME_CANCELLED, T0, 1 }, { INV_RUNNING, INV_EV_OUTCOME, OUTCOME_CRASH,
			T0 + 21600000, 1 },
		{ INV_WAITING, INV_EV_DUE, 0, T0 + 1000, 0 }, { INV_WAITING, INV_EV_NOW, 0, T0, 0 },
		{ INV_WAITING, INV_EV_CANCEL, 0, T0, 1 }, { INV_QUEUED, INV_EV_CANCEL, 0, T0, 1 },
		{ INV_WAITING, INV_EV_EXPIRE, 0, T0 + 21600000, 1 }, { INV_QUEUED, INV_EV_EXPIRE, 0, T0 + 21600000, 1 },
		{ INV_QUEUED, INV_EV_ZERO_CONCURRENCY, 0, T0, 1 }, { INV_QUEUED, INV_EV_RECURSIVE, 0, T0, 1 },
		{ INV_ROUTING, INV_EV_ROUTED, 0, T0, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct inv_row row = row_in(rows[i].s);

		CHECK(step(&row, rows[i].k, rows[i].o, rows[i].now) > 0);
		if ((int)row.epoch != 7 + rows[i].more)
			FAIL("%s, event %d, %s: epoch %u", inv_state_name(rows[i].s), rows[i].k, outcome_name(rows[i].o),
				row.epoch);
	}
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

static void deaths_are_told_apart(void)
{
	static const struct outcome different[] = {
		{ .kind = OUTCOME_CRASH, .exit_status = 1 }, { .kind = OUTCOME_CRASH, .exit_status = 2 },
		{ .kind = OUTCOME_CRASH, .exit_status = 255 }, { .kind = OUTCOME_SIGNAL, .signo = 1 },
		{ .kind = OUTCOME_SIGNAL, .signo = 9 }, { .kind = OUTCOME_SIGNAL, .signo = 11 },
		{ .kind = OUTCOME_OOM, .signo = 9, .oom_scope = OOM_SCOPE_OWN }, { .kind = OUTCOME_OOM, .exit_status = 137 },
		{ .kind = OUTCOME_TIMEOUT, .signo = 9 }, { .kind = OUTCOME_ERROR }, { .kind = OUTCOME_ERROR, .exit_status = 1 },
		{ .kind = OUTCOME_EXEC_FAILED }, { .kind = OUTCOME_TOO_LARGE, .signo = 9 },
	};
	static const struct outcome none[] = {
		{ .kind = OUTCOME_SUCCESS }, { .kind = OUTCOME_CANCELLED, .signo = 9 }, { .kind = OUTCOME_HOST,
			.hosts_fault = true },
		{ .kind = OUTCOME_INTERRUPTED, .hosts_fault = true, .signo = 9 },
		{ .kind = OUTCOME_OOM, .hosts_fault = true, .signo = 9, .oom_scope = OOM_SCOPE_HOST },
	};

	for (size_t i = 0; i < ARRAY_SIZE(different); i++) {
		CHECK(inv_death(&different[i]) != 0);
		for (size_t k = 0; k < ARRAY_SIZE(different); k++)
			if ((inv_death(&different[i]) == inv_death(&different[k])) != (i == k))
				FAIL("deaths %zu and %zu", i, k);
	}
	for (size_t i = 0; i < ARRAY_SIZE(none); i++)
		CHECK_INT(inv_death(&none[i]), 0);
	/* What else is known of it does not make it another one. */
	CHECK_INT(inv_death(&(struct outcome){ .kind = OUTCOME_SIGNAL, .signo = 11, .core_dumped = true, .witness = WITNESS_BPF }),
		  inv_death(&different[5]));
}

/* One letter an attempt: c, C crash with status 1, 2; s, S signal 9, 11; t timeout; o out of its own memory; e reported error;
 * h could not be started; i interrupted; m killed for want of the host's memory; k cancelled; + success. */
static struct outcome outcome_of(char c)
{
	switch (c) {
	case 'c': return (struct outcome){ .kind = OUTCOME_CRASH, .exit_status = 1 };
	case 'C': return (struct outcome){ .kind = OUTCOME_CRASH, .exit_status = 2 };
	case 's': return (struct outcome){ .kind = OUTCOME_SIGNAL, .signo = 9 };
	case 'S': return (struct outcome){ .kind = OUTCOME_SIGNAL, .signo = 11 };
	case 't': return (struct outcome){ .kind = OUTCOME_TIMEOUT, .signo = 9 };
	case 'o': return (struct outcome){ .kind = OUTCOME_OOM, .signo = 9, .oom_scope = OOM_SCOPE_OWN };
	case 'e': return (struct outcome){ .kind = OUTCOME_ERROR };
	case 'h': return (struct outcome){ .kind = OUTCOME_HOST, .hosts_fault = true };
	case 'i': return (struct outcome){ .kind = OUTCOME_INTERRUPTED, .hosts_fault = true, .signo = 9 };
	case 'm': return (struct outcome){ .kind = OUTCOME_OOM, .hosts_fault = true, .signo = 9, .oom_scope = OOM_SCOPE_HOST };
	case 'k': return (struct outcome){ .kind = OUTCOME_CANCELLED, .signo = 9 };
	case '+': return (struct outcome){ .kind = OUTCOME_SUCCESS };
	}
	FAIL("'%c' is no outcome", c);
}

/* Runs an event through these attempts; all but the last must be followed by another one. */
static struct inv_row lived(const struct func *f, const char *attempts)
{
	struct inv_row row = row_in(INV_QUEUED);
	int64_t now = T0;

	for (const char *p = attempts; *p; p++) {
		struct outcome o = outcome_of(*p);

		CHECK_INT(inv_step(&row, f, &(struct inv_event){ .kind = INV_EV_DISPATCH }, now), INV_FX_START);
		CHECK(inv_step(&row, f, &(struct inv_event){ .kind = INV_EV_OUTCOME, .outcome = &o, .rnd = 12345 }, now) > 0);
		if (!p[1])
			break;
		if (row.state != INV_WAITING)
			FAIL("%s: over at %s: %s", attempts, p, inv_condition_name(row.condition));
		now = row.due_at_ms;
		CHECK_INT(inv_step(&row, f, &(struct inv_event){ .kind = INV_EV_DUE }, now), INV_FX_REQUEUE);
	}
	return row;
}

static void poison(void)
{
	static const struct { int after, retries; const char *attempts; enum inv_condition condition; int deaths,
		counted; } rows[] = {
		{ 2, 100, "cc", COND_POISON, 2, 2 },
		{ 3, 100, "ccc", COND_POISON, 3, 3 },
		{ 2, 100, "c", COND_NONE, 1, 1 },
		{ 3, 100, "cc", COND_NONE, 2, 2 },
		/* Another way to die begins anew, also when the old one comes back. */
		{ 2, 100, "cCC", COND_POISON, 2, 3 },
		{ 2, 100, "sSS", COND_POISON, 2, 3 },
		{ 3, 100, "cctcc", COND_NONE, 2, 5 },
		{ 3, 100, "cctccc", COND_POISON, 3, 6 },
		{ 2, 100, "ctctctct", COND_NONE, 1, 8 },
		{ 2, 100, "os", COND_NONE, 1, 2 },
		{ 2, 100, "cecoctcs", COND_NONE, 1, 8 },
		/* What was not the function's doing neither counts nor begins anew. */
		{ 2, 100, "chc", COND_POISON, 2, 2 },
		{ 2, 100, "cic", COND_POISON, 2, 2 },
		{ 2, 100, "omo", COND_POISON, 2, 2 },
		{ 3, 100, "hchimhchhic", COND_POISON, 3, 3 },
		{ 2, 100, "hhhhhhhhh", COND_NONE, 0, 0 },
		{ 2, 100, "iiiii", COND_NONE, 0, 0 },
		{ 2, 100, "mmmmm", COND_NONE, 0, 0 },
		{ 2, 100, "chhh", COND_NONE, 1, 1 },
		{ 2, 100, "chC", COND_NONE, 1, 2 },
		/* The retries are over first; both at once; a success is one. */
		{ 4, 2, "ccc", COND_RETRIES_EXHAUSTED, 3, 3 },
		{ 2, 0, "c", COND_RETRIES_EXHAUSTED, 1, 1 },
		{ 3, 2, "ccc", COND_POISON, 3, 3 },
		{ 2, 100, "c+", COND_SUCCESS, 0, 2 },
		{ 3, 100, "cc+", COND_SUCCESS, 0, 3 },
		{ 2, 100, "ck", COND_CANCELLED, 0, 2 },
		/* Never. */
		{ 0, 100, "cccccccccccccccccccccccccccccc", COND_NONE, 30, 30 },
		{ 0, 3, "cccc", COND_RETRIES_EXHAUSTED, 4, 4 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct func *f = func_new();
		struct inv_row row;

		f->poison_after = rows[i].after;
		f->retries_max = rows[i].retries;
		f->retry_delays_ms[0] = f->retry_delays_ms[1] = 10;
		row = lived(f, rows[i].attempts);
		if (row.condition != rows[i].condition || row.deaths != rows[i].deaths || row.attempts != rows[i].counted ||
		    row.starts != (int)strlen(rows[i].attempts) ||
		    row.state != (rows[i].condition == COND_NONE ? INV_WAITING : INV_ROUTING))
			FAIL("%d, \"%s\": %s \"%s\", deaths %d, attempts %d, starts %d", rows[i].after, rows[i].attempts,
			     inv_state_name(row.state), inv_condition_name(row.condition), row.deaths, row.attempts, row.starts);
		func_unref(f);
	}
}

static void poison_and_the_rest_of_the_policy(void)
{
	struct func *f = func_new();
	struct inv_row row;
	struct outcome o;

	f->retry_delays_ms[0] = f->retry_delays_ms[1] = 10;
	f->retries_max = 100;
	f->poison_after = 2;
	/* A verdict's own number of attempts is one of retries: poison ends those, too. */
	f->retry[OUTCOME_CRASH] = (struct func_retry){ .given = true, .attempts = 50 };
	CHECK_INT(lived(f, "cc").condition, COND_POISON);
	f->retry[OUTCOME_CRASH].attempts = 0;
	CHECK_INT(lived(f, "c").condition, COND_RETRIES_EXHAUSTED);
	f->retry[OUTCOME_CRASH].given = false;
	f->retry[OUTCOME_EXEC_FAILED] = (struct func_retry){ .given = true, .attempts = 5 };
	/* One that was asked to end has been cancelled, however it died. */
	row = lived(f, "c");
	step(&row, INV_EV_NOW, 0, T0);
	step(&row, INV_EV_DISPATCH, 0, T0);
	row.condition = COND_CANCELLED;
	o = outcome_of('c');
	CHECK_INT(inv_step(&row, f, &(struct inv_event){ .kind = INV_EV_OUTCOME, .outcome = &o }, T0), INV_FX_ROUTE);
	CHECK_INT(row.condition, COND_CANCELLED);
	/* Its age would have ended it as well: it died in the same way often enough, that is the better reason. */
	f->event_age_max_s = 60;
	row = row_in(INV_RUNNING);
	row.death = inv_death(&o);
	row.deaths = 1;
	CHECK_INT(inv_step(&row, f, &(struct inv_event){ .kind = INV_EV_OUTCOME, .outcome = &o }, T0 + 59999), INV_FX_ROUTE);
	CHECK_INT(row.condition, COND_POISON);
	f->event_age_max_s = 21600;
	/* The definition has come to allow fewer: a fault of the host is not what the event died of, a death of its own is. */
	for (const char *p = "him"; *p; p++) {
		f->poison_after = 0;
		row = lived(f, "ccc");
		f->poison_after = 2;
		step(&row, INV_EV_NOW, 0, T0);
		step(&row, INV_EV_DISPATCH, 0, T0);
		o = outcome_of(*p);
		CHECK_INT(inv_step(&row, f, &(struct inv_event){ .kind = INV_EV_OUTCOME, .outcome = &o }, T0), INV_FX_WAIT);
		CHECK_INT(row.deaths, 3);
	}
	step(&row, INV_EV_NOW, 0, T0);
	step(&row, INV_EV_DISPATCH, 0, T0);
	o = outcome_of('c');
	CHECK_INT(inv_step(&row, f, &(struct inv_event){ .kind = INV_EV_OUTCOME, .outcome = &o }, T0), INV_FX_ROUTE);
	CHECK_INT(row.condition, COND_POISON);
	CHECK_INT(row.deaths, 4);
	func_unref(f);
}

/* A chain that is too long: over before it ran, whatever the function says about retries. */
static void recursion_is_no_attempt(void)
{
	struct func *f = func_new();
	struct inv_row row = row_in(INV_QUEUED);

	f->retries_max = 5;
	f->poison_after = 2;
	row.hops = LIM_CHAIN + 1;
	CHECK_INT(inv_step(&row, f, &(struct inv_event){ .kind = INV_EV_RECURSIVE }, T0), INV_FX_ROUTE);
	CHECK_INT(row.condition, COND_RECURSIVE);
	CHECK_INT(row.attempts, 0);
	CHECK_INT(row.starts, 0);
	CHECK_INT(row.epoch, 8);
	CHECK_INT(row.hops, LIM_CHAIN + 1);
	func_unref(f);
}

/* What a redrive asked for stands, whatever the definition says and however the attempts end. */
static void asked_for_with_a_redrive(void)
{
	struct func *f = func_new();
	struct inv_row row = row_in(INV_RUNNING);

	f->retry[OUTCOME_TIMEOUT] = (struct func_retry){ .given = true, .attempts = 9, .timeout_factor = 2,
		.timeout_max_ms = 900000 };
	f->retry[OUTCOME_OOM] = (struct func_retry){ .given = true, .attempts = 9, .memory_factor = 2, .memory_max_mb = 10240 };
	inv_verdicts_add(&row, OUTCOME_TIMEOUT);
	inv_verdicts_add(&row, OUTCOME_OOM);
	CHECK_INT(policy_timeout_ms(&row, f), 6000);
	CHECK_INT(policy_memory_mb(&row, f), 256);
	row.timeout_ms = 1;
	CHECK_INT(policy_timeout_ms(&row, f), 1);
	CHECK_INT(policy_memory_mb(&row, f), 256);
	row.memory_mb = 128;
	CHECK_INT(policy_memory_mb(&row, f), 128);
	row.timeout_ms = 0;
	CHECK_INT(policy_timeout_ms(&row, f), 6000);
	/* and kept over a step */
	row = row_in(INV_RUNNING);
	row.timeout_ms = 70000;
	row.memory_mb = 4096;
	row.version = 7;
	row.hops = 3;
	step(&row, INV_EV_OUTCOME, OUTCOME_TIMEOUT, T0);
	step(&row, INV_EV_NOW, 0, T0);
	step(&row, INV_EV_DISPATCH, 0, T0);
	CHECK_INT(row.timeout_ms, 70000);
	CHECK_INT(row.memory_mb, 4096);
	CHECK_INT(row.version, 7);
	CHECK_INT(row.hops, 3);
	func_unref(f);
}

/* Captured: what is not there any more is tried as often as anything, each time found missing. */
static void a_function_that_is_gone(void)
{
	struct inv_row row = row_in(INV_RUNNING);

	CHECK_INT(step(&row, INV_EV_OUTCOME, OUTCOME_NO_FUNCTION, T0), INV_FX_WAIT);
	CHECK_INT(row.due_at_ms, T0 + 60000);
	for (int i = 0; i < 2; i++) {
		CHECK_INT(row.state, INV_WAITING);
		step(&row, INV_EV_NOW, 0, T0);
		step(&row, INV_EV_DISPATCH, 0, T0);
		step(&row, INV_EV_OUTCOME, OUTCOME_NO_FUNCTION, T0);
	}
	CHECK_INT(row.state, INV_ROUTING);
	CHECK_INT(row.condition, COND_RETRIES_EXHAUSTED);
	CHECK_INT(row.attempts, 3);
}

/* What ran by a definition that says "never twice" is not run again by the default of one that is gone. */
static void never_twice_outlives_the_definition(void)
{
	static const enum outcome_kind ran[] = { OUTCOME_CRASH, OUTCOME_TIMEOUT, OUTCOME_INTERRUPTED, OUTCOME_ERROR };
	struct func *f = func_new();
	struct inv_row row;

	for (size_t i = 0; i < ARRAY_SIZE(ran); i++) {
		struct outcome o = { .kind = ran[i], .hosts_fault = ran[i] == OUTCOME_INTERRUPTED };

		for (f->retries_max = 0; f->retries_max < 2; f->retries_max++) {
			row = row_in(INV_QUEUED);
			CHECK_INT(inv_step(&row, f, &(struct inv_event){ .kind = INV_EV_DISPATCH }, T0), INV_FX_START);
			CHECK_INT(inv_step(&row, NULL, &(struct inv_event){ .kind = INV_EV_OUTCOME, .outcome = &o }, T0),
				  f->retries_max ? INV_FX_WAIT : INV_FX_ROUTE);
		}
	}
	/* One that could not be started has not run, and is waited for as anybody's. */
	f->retries_max = 0;
	row = row_in(INV_QUEUED);
	CHECK_INT(inv_step(&row, f, &(struct inv_event){ .kind = INV_EV_DISPATCH }, T0), INV_FX_START);
	CHECK_INT(step(&row, INV_EV_OUTCOME, OUTCOME_HOST, T0), INV_FX_WAIT);
	step(&row, INV_EV_NOW, 0, T0);
	CHECK_INT(inv_step(&row, NULL, &(struct inv_event){ .kind = INV_EV_DISPATCH }, T0), INV_FX_START);
	CHECK_INT(step(&row, INV_EV_OUTCOME, OUTCOME_NO_FUNCTION, T0), INV_FX_WAIT);
	func_unref(f);
}

static void what_is_cancelled_ends(void)
{
	struct inv_row row = row_in(INV_WAITING);
	uint32_t epoch;

	CHECK_INT(step(&row, INV_EV_CANCEL, 0, T0), INV_FX_ROUTE);
	CHECK_INT(row.condition, COND_CANCELLED);
	row = row_in(INV_RUNNING);
	CHECK_INT(step(&row, INV_EV_OUTCOME, OUTCOME_CANCELLED, T0), INV_FX_ROUTE);
	CHECK_INT(row.condition, COND_CANCELLED);
	CHECK_INT(row.attempts, 1);
	/* The deadline, a crash or the daemon's end was faster: still it is not run again. */
	row = row_in(INV_RUNNING);
	epoch = row.epoch;
	inv_cancelling(&row);
	CHECK_INT(row.state, INV_RUNNING);
	CHECK_INT(row.epoch, epoch + 1);
	CHECK_INT(step(&row, INV_EV_OUTCOME, OUTCOME_TIMEOUT, T0), INV_FX_ROUTE);
	CHECK_INT(row.condition, COND_CANCELLED);
	row = row_in(INV_RUNNING);
	inv_cancelling(&row);
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
	RUN(an_outcome_is_needed);
	RUN(edges);
	RUN(conditions);
	RUN(claims_are_numbered);
	RUN(epochs);
	RUN(function_errors_use_lambdas_delays);
	RUN(our_faults_consume_no_attempt);
	RUN(age);
	RUN(configured_retries);
	RUN(deaths_that_were_not_the_functions_doing);
	RUN(an_exec_failure_is_not_repeated);
	RUN(a_policy_by_verdict);
	RUN(verdicts_are_counted_apart);
	RUN(deaths_are_told_apart);
	RUN(poison);
	RUN(poison_and_the_rest_of_the_policy);
	RUN(recursion_is_no_attempt);
	RUN(asked_for_with_a_redrive);
	RUN(a_function_that_is_gone);
	RUN(never_twice_outlives_the_definition);
	RUN(what_is_cancelled_ends);
	RUN(back_off);
	TEST_END();
}
