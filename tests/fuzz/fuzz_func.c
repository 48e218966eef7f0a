/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Definition files are written by people and generators, and read by a root daemon. Any bytes must give either a
 * snapshot within its bounds or at least one problem, never both, never neither.
 *
 * tests/unit/test_func_def.c runs the same target over seeded mutations of its own examples.
 */
#include "base/buf.h"
#include "base/json.h"
#include "fuzz/fuzz.h"
#include "model/func.h"

static void check_good(const struct func *f)
{
	size_t n = 0;

	MUST(arn_function_name_ok(f->name));
	MUST(f->description && f->env && f->command && f->command[0] && f->command[0][0] == '/');
	MUST(f->timeout_ms >= 1 && f->timeout_ms <= LIM_TIMEOUT_S_MAX * 1000);
	MUST(f->kill_grace_ms >= 0 && f->pids_max >= 0 && f->cpu_percent >= 0 && f->reserved_concurrency >= -1);
	MUST(f->memory_mb >= LIM_MEMORY_MB_MIN && f->memory_mb <= LIM_MEMORY_MB_MAX);
	MUST(f->retries_max >= 0 && f->retries_max <= LIM_RETRIES_MAX);
	MUST(f->event_age_max_s >= LIM_EVENT_AGE_S_MIN && f->event_age_max_s <= LIM_EVENT_AGE_S_MAX);
	MUST(f->n_retry_delays >= 1 && f->n_retry_delays <= LIM_RETRIES_MAX);
	for (size_t i = 0; i < f->n_retry_delays; i++)
		MUST(f->retry_delays_ms[i] >= 0 && f->retry_delays_ms[i] <= LIM_RETRY_DELAY_S_MAX * 1000LL);
	for (int k = 0; k < OUTCOME_MAX; k++) {
		const struct func_retry *r = &f->retry[k];

		MUST(r->given || !r->delays_ms);
		MUST(!r->given || (r->attempts >= 0 && r->attempts <= LIM_RETRIES_MAX && r->timeout_factor >= 1 &&
				   r->memory_factor >= 1));
		MUST(!r->given || (r->timeout_max_ms >= 1 && r->memory_max_mb >= LIM_MEMORY_MB_MIN &&
				   !r->delays_ms == !r->n_delays));
	}
	for (size_t i = 0; i < f->n_rlimits; i++)
		MUST(f->rlimits[i].value.rlim_cur <= f->rlimits[i].value.rlim_max);
	for (char **e = f->env; *e; e++) {
		n += strlen(*e);
		MUST(strchr(*e, '=') && strncmp(*e, "FATE_", 5) != 0);
	}
	MUST(n <= LIM_ENVIRONMENT_BYTES);
	MUST(f->on_success.kind != TARGET_REMOTE && f->on_failure.kind != TARGET_REMOTE);
	MUST(f->dead_letter.kind == TARGET_NONE || f->dead_letter.kind == TARGET_QUEUE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct func_problems problems = {};
	struct func *f = NULL;
	int r = func_parse((const char *)data, size, &f, &problems);

	MUST((r == 0) == (f != NULL) && (r == 0) == (problems.n == 0));
	if (f)
		check_good(f);
	for (size_t i = 0; i < problems.n; i++) {
		struct buf b = {};

		MUST(problems.list[i].path[0] == '$' && problems.list[i].reason[0]);
		/* Paths are text whatever the names were. */
		MUST(json_add_string(&b, problems.list[i].path, strlen(problems.list[i].path)) == 0);
		buf_done(&b);
	}
	func_problems_done(&problems);
	func_unref(f);
	return 0;
}
