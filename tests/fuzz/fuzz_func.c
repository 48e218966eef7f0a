/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Definition files are written by people and generators, and read by a root daemon. Any bytes must give either a
 * snapshot within its bounds or at least one problem, never both, never neither. And what is taken can be published: its
 * source, read again, gives the same function.
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
	MUST(f->poison_after == 0 || (f->poison_after >= 2 && f->poison_after <= LIM_RETRIES_MAX));
	MUST(f->version == 0 && !f->published_as && f->published_at_ms == 0);
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool same_list(char *const *a, char *const *b)
{
	while (*a && *b && strcmp(*a, *b) == 0) {
		a++;
		b++;
	}
	return !*a && !*b;
}

static bool same_delays(const int64_t *a, size_t n_a, const int64_t *b, size_t n_b)
{
	return n_a == n_b && (n_a == 0 || memcmp(a, b, n_a * sizeof(*a)) == 0);
}

static bool same_target(const struct target *a, const struct target *b)
{
	return a->kind == b->kind && same_text(a->name, b->name) && same_text(a->qualifier, b->qualifier) &&
	       same_text(a->text, b->text);
}

/* As far as the text goes: cJSON writes numbers to within an epsilon. */
static bool same_number(double a, double b)
{
	return a == b || (a - b <= 4e-16 * a && b - a <= 4e-16 * a);
}

static bool same_retry(const struct func_retry *a, const struct func_retry *b)
{
	return a->given == b->given && a->attempts == b->attempts && same_number(a->timeout_factor, b->timeout_factor) &&
	       a->timeout_max_ms == b->timeout_max_ms && same_number(a->memory_factor, b->memory_factor) &&
	       a->memory_max_mb == b->memory_max_mb && !a->delays_ms == !b->delays_ms &&
	       same_delays(a->delays_ms, a->n_delays, b->delays_ms, b->n_delays);
}

/* The first difference between what two definitions say; NULL: there is none. */
static const char *difference(const struct func *a, const struct func *b)
{
#define DIFFER(member) do { if (a->member != b->member) return #member; } while (0)
#define DIFFER_BY(member, same) do { if (!same(a->member, b->member)) return #member; } while (0)
	DIFFER_BY(name, same_text);
	DIFFER_BY(description, same_text);
	DIFFER(mode);
	DIFFER_BY(command, same_list);
	DIFFER_BY(working_dir, same_text);
	DIFFER_BY(env, same_list);
	DIFFER(timeout_ms);
	DIFFER(kill_grace_ms);
	DIFFER(memory_mb);
	DIFFER(pids_max);
	DIFFER(cpu_percent);
	DIFFER_BY(user, same_text);
	DIFFER_BY(group, same_text);
	DIFFER(no_new_privs);
	DIFFER(n_rlimits);
	for (size_t i = 0; i < a->n_rlimits; i++) {
		DIFFER(rlimits[i].resource);
		DIFFER_BY(rlimits[i].value.rlim_cur, same_number);
		DIFFER_BY(rlimits[i].value.rlim_max, same_number);
	}
	DIFFER(reserved_concurrency);
	DIFFER(retries_max);
	DIFFER(recursive_loop);
	DIFFER(poison_after);
	DIFFER(event_age_max_s);
	if (!same_delays(a->retry_delays_ms, a->n_retry_delays, b->retry_delays_ms, b->n_retry_delays))
		return "retry_delays_ms";
	if (!same_target(&a->on_success, &b->on_success))
		return "on_success";
	if (!same_target(&a->on_failure, &b->on_failure))
		return "on_failure";
	if (!same_target(&a->dead_letter, &b->dead_letter))
		return "dead_letter";
	for (int k = 0; k < OUTCOME_MAX; k++)
		if (!same_retry(&a->retry[k], &b->retry[k]))
			return outcome_name((enum outcome_kind)k);
	DIFFER(leftovers);
	DIFFER(oom_group);
	DIFFER(require_limits);
	DIFFER(record_fate);
	return NULL;
#undef DIFFER
#undef DIFFER_BY
}

/* What is published is the source: read again it is the same function, and the same source. */
static void check_published(const struct func *f)
{
	struct func_problems problems = {};
	struct func *again = NULL;

	MUST(f->source && f->source->len);
	MUST(func_parse(f->source->data, f->source->len, &again, &problems) == 0 && again && problems.n == 0);
	MUST(!difference(f, again));
	MUST(again->source->len == f->source->len && memcmp(again->source->data, f->source->data, f->source->len) == 0);
	func_unref(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct func_problems problems = {};
	struct func *f = NULL;
	int r = func_parse((const char *)data, size, &f, &problems);

	MUST((r == 0) == (f != NULL) && (r == 0) == (problems.n == 0));
	if (f) {
		check_good(f);
		check_published(f);
	}
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
