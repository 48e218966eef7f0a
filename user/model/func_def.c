/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One definition file's text → an immutable struct func, or everything that is wrong with it.
 *
 * The tables below are the format: a row per member with how it is read, where it goes and its bounds; model/def_read.c
 * walks them and says which rules hold for every row. AWS's members that mean nothing here (Role, Runtime, Layers, …)
 * have rows that say why not. Bounds are named together with the value, as the file's author wrote it (seconds, not
 * milliseconds). The snapshot under construction is dropped as a whole when there was any problem.
 *
 * A topic's commands are functions, too, defined inside the topic's file: def_function() reads one out of any tree.
 *
 * Rejected: a JSON schema validator (bounds would live apart from the code that trusts them, and its messages are
 * nobody's friend); a switch over names (the table is also what suggestions are made from).
 */
#include "model/func.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "base/map.h"
#include "base/mem.h"
#include "model/def_read.h"

/* Bounds of our own members, and of what only files have. */
#define DEF_ARGS_MAX 1024
#define DEF_ARG_BYTES_MAX 131071	/* the kernel's MAX_ARG_STRLEN, less the NUL */
#define DEF_TIMEOUT_MIN_S 0.001
#define DEF_GRACE_MAX_S 900
#define DEF_PIDS_MAX 4194304		/* the kernel's PID_MAX_LIMIT */
#define DEF_CPU_MAX 102400		/* 1024 CPUs */
#define DEF_CONCURRENCY_MAX 1000000
#define DEF_FACTOR_MAX 100
#define DEF_POISON_MIN 2		/* once is no pattern */
#define DEF_ACCOUNT_NAME_MAX 32		/* useradd's */
#define DEF_ID_MAX 4294967294.0		/* (uid_t)-1 means "leave alone" */
#define DEF_EXACT_MAX 9007199254740992.0	/* 2^53: beyond it a JSON number is not exact */

static const char *const leftovers[] = {
	[FUNC_LEFTOVERS_KILL] = "kill", [FUNC_LEFTOVERS_WAIT] = "wait", [FUNC_LEFTOVERS_WARN] = "warn",
};

enum def_target { DEF_EVENT_SUCCESS, DEF_EVENT_FAILURE, DEF_TOP_SUCCESS, DEF_TOP_FAILURE, DEF_DEAD_LETTER, DEF_TARGET_MAX };

/* What is known of the function besides the snapshot under construction. */
struct def_func {
	char self[LIM_FUNCTION_NAME_MAX + 1];	/* FunctionName, known before the walk; "" when it is bad or missing */
	struct { struct target t; bool given; } targets[DEF_TARGET_MAX];
};

static struct func *func_of(struct def *d) { return d->into; }

/* ---- values ---- */

/* Seconds with at most three decimals → milliseconds. */
static bool ms_of(struct def *d, const cJSON *v, double min, double max, int64_t *ret)
{
	int64_t ms;

	assert(min >= 0);
	if (!def_want(d, v, cJSON_IsNumber(v), "a number") || !def_in_range(d, v->valuedouble, min, max, "seconds"))
		return false;
	ms = (int64_t)(v->valuedouble * 1000 + 0.5);
	if (fabs(v->valuedouble * 1000 - (double)ms) > 1e-6) {
		def_problem(d, "is %.15g seconds, finer than a millisecond", v->valuedouble);
		return false;
	}
	*ret = ms;
	return true;
}

/* ---- plain members ---- */

static void read_int(struct def *d, const struct def_row *row, const cJSON *v)
{
	double n;

	if (def_integer(d, v, row->min, row->max, row->note ? row->note : "", &n))
		DEF_PLACE(int) = (int)n;
}

static void read_seconds(struct def *d, const struct def_row *row, const cJSON *v)
{
	int64_t ms;

	if (ms_of(d, v, row->min, row->max, &ms))
		DEF_PLACE(int) = (int)ms;
}

static void read_name(struct def *d, const struct def_row *row, const cJSON *v)
{
	const char *s = def_string(d, v);
	struct arn_function name;
	struct err e = {};

	if (!s)
		return;
	if (arn_parse_function(s, &name, &e) < 0)
		def_problem(d, "%s", err_msg(&e));
	else if (name.qualifier[0] && strcmp(name.qualifier, "$LATEST") != 0)
		def_problem(d, "has the qualifier \"%s\": a definition is of $LATEST; versions are published from it", name.qualifier);
	else
		memcpy(func_of(d)->name, name.name, sizeof(func_of(d)->name));
}

static void read_mode(struct def *d, const struct def_row *row, const cJSON *v)
{
	const char *s = def_string(d, v);

	if (!s)
		return;
	if (strcmp(s, "runtime") == 0)
		def_problem(d, "\"runtime\" is not supported yet, only \"exec\"");
	else if (strcmp(s, "exec") != 0)
		def_problem(d, "must be \"exec\"");
	else
		func_of(d)->mode = FUNC_MODE_EXEC;
}

/* An absolute path that the kernel can take. */
static bool path_ok(struct def *d, const char *s)
{
	if (s[0] != '/')
		def_problem(d, *s ? "must be an absolute path" : "is empty, must be an absolute path");
	else if (strlen(s) >= PATH_MAX)
		def_problem(d, "has %zu bytes, at most %d are allowed", strlen(s), PATH_MAX - 1);
	else
		return true;
	return false;
}

static void read_path(struct def *d, const struct def_row *row, const cJSON *v)
{
	const char *s = def_string(d, v);

	if (s && path_ok(d, s)) {
		free(DEF_PLACE(char *));
		DEF_PLACE(char *) = xstrdup(s);
	}
}

/* User, Group: a name or a number, kept as text; names are looked up when the function is started. */
static void read_account(struct def *d, const struct def_row *row, const cJSON *v)
{
	static const char chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789.-";
	char text[DEF_ACCOUNT_NAME_MAX + 1];
	const char *s;
	double n;

	if (cJSON_IsNumber(v)) {
		if (!def_integer(d, v, 0, DEF_ID_MAX, "", &n))
			return;
		snprintf(text, sizeof(text), "%.0f", n);
		s = text;
	} else if (cJSON_IsString(v)) {
		s = def_string(d, v);
		if (!s)
			return;
		if (*s && strspn(s, "0123456789") == strlen(s)) {
			if (strlen(s) > 10 || strtod(s, NULL) > DEF_ID_MAX) {
				def_problem(d, "is too large a number, at most %.0f", DEF_ID_MAX);
				return;
			}
		} else if (!*s || strlen(s) > DEF_ACCOUNT_NAME_MAX || strspn(s, chars) < strlen(s) - (s[strlen(s) - 1] == '$') ||
			   s[0] == '-' || s[0] == '.' || s[0] == '$') {
			def_problem(d, "is no name of a %s: 1 to %d letters, digits, _ - and .", row->note, DEF_ACCOUNT_NAME_MAX);
			return;
		}
	} else {
		def_want(d, v, false, "a name or a number");
		return;
	}
	free(DEF_PLACE(char *));
	DEF_PLACE(char *) = xstrdup(s);
}

static bool delays_of(struct def *d, const cJSON *v, int64_t **ret, size_t *ret_n)
{
	CLEAN(freep) int64_t *list = NULL;
	const cJSON *item;
	size_t n = 0, bad = 0;
	int count;

	if (!def_want(d, v, cJSON_IsArray(v), "a list of numbers"))
		return false;
	count = cJSON_GetArraySize(v);
	if (count < 1 || count > LIM_RETRIES_MAX) {
		def_problem(d, "has %d entries, must have from 1 to %d", count, LIM_RETRIES_MAX);
		return false;
	}
	list = xcalloc((size_t)count, sizeof(*list));
	cJSON_ArrayForEach(item, v) {
		size_t mark = def_path_add_index(&d->path, n);

		bad += !ms_of(d, item, 0, LIM_RETRY_DELAY_S_MAX, &list[n++]);
		def_path_cut(&d->path, mark);
	}
	if (bad)
		return false;
	free(*ret);
	*ret = TAKE(list);
	*ret_n = n;
	return true;
}

static void read_delays(struct def *d, const struct def_row *row, const cJSON *v)
{
	struct func *f = func_of(d);

	(void)delays_of(d, v, &f->retry_delays_ms, &f->n_retry_delays);
}

static void read_command(struct def *d, const struct def_row *row, const cJSON *v)
{
	const cJSON *item = v;
	char **argv;
	size_t n = 0;
	int count = 1;

	if (cJSON_IsArray(v)) {
		count = cJSON_GetArraySize(v);
		if (count < 1 || count > DEF_ARGS_MAX) {
			def_problem(d, "has %d entries, must have from 1 to %d: the program and its arguments", count, DEF_ARGS_MAX);
			return;
		}
		item = v->child;
	} else if (!def_want(d, v, cJSON_IsString(v), "a list of strings")) {
		return;
	}
	argv = xcalloc((size_t)count + 1, sizeof(*argv));
	for (int i = 0; i < count; i++, item = item->next) {
		size_t mark = cJSON_IsArray(v) ? def_path_add_index(&d->path, (size_t)i) : d->path.len;
		const char *s = def_string(d, item);

		if (s && strlen(s) > DEF_ARG_BYTES_MAX)
			def_problem(d, "has %zu bytes, at most %d are allowed", strlen(s), DEF_ARG_BYTES_MAX);
		else if (s && (i > 0 || path_ok(d, s)))
			argv[n++] = xstrdup(s);
		def_path_cut(&d->path, mark);
	}
	/* With a bad entry this is a shorter list; there was a problem, so it goes nowhere. */
	func_of(d)->command = argv;
}

/* ---- Environment ---- */

/* What Lambda's runtimes set themselves (its developer guide's list), and refuses from the user. */
static const char *const reserved_names[] = {
	"_HANDLER", "_X_AMZN_TRACE_ID", "AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_DEFAULT_REGION", "AWS_EXECUTION_ENV",
	"AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_VERSION",
	"AWS_LAMBDA_INITIALIZATION_TYPE", "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME", "AWS_LAMBDA_RUNTIME_API",
	"AWS_REGION", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "LAMBDA_RUNTIME_DIR", "LAMBDA_TASK_ROOT",
};

static bool variable_name_ok(struct def *d, const char *name)
{
	bool reserved = strncmp(name, "FATE_", 5) == 0;
	const char *why = def_tree_text_problem(name), *p = name;

	for (size_t i = 0; i < ARRAY_SIZE(reserved_names); i++)
		reserved |= strcmp(name, reserved_names[i]) == 0;
	while (*p && (*p == '_' || (*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z')))
		p++;
	if (why)
		def_problem(d, "the name %s", why);
	else if (reserved)
		def_problem(d, "is a reserved name: it is set for each invocation");
	else if (*p || p - name < 2 || *name == '_' || (*name >= '0' && *name <= '9'))
		def_problem(d, "the name must be two or more letters, digits and _, and begin with a letter");
	else
		return true;
	return false;
}

static void read_variables(struct def *d, const struct def_row *row, const cJSON *v)
{
	CLEAN(strmap_done) struct strmap seen = {};
	CLEAN(buf_done) struct buf json = {};
	const cJSON *item;
	size_t n = 0;

	if (!def_want(d, v, cJSON_IsObject(v), "an object"))
		return;
	free(func_of(d)->env);
	func_of(d)->env = xcalloc((size_t)cJSON_GetArraySize(v) + 1, sizeof(*func_of(d)->env));
	/* Measured as Lambda does: the variables as compact JSON. Every entry counts, so the number of variables is
	 * bounded along with their size. */
	buf_addc(&json, '{');
	cJSON_ArrayForEach(item, v) {
		size_t mark = def_path_add(&d->path, item->string);
		bool ok = !def_given_twice(d, &seen, item) && variable_name_ok(d, item->string);
		const char *s = cJSON_IsNumber(item) || cJSON_IsBool(item) ? NULL : def_string(d, item);

		if (cJSON_IsNumber(item) || cJSON_IsBool(item))
			def_problem(d, "must be a string, is %s: put it in quotes", def_tree_type(item));
		if (ok && s) {
			buf_adds(&json, n ? "," : "");
			(void)json_add_string(&json, item->string, strlen(item->string));
			buf_addc(&json, ':');
			(void)json_add_string(&json, s, strlen(s));
			func_of(d)->env[n++] = xasprintf("%s=%s", item->string, s);
		}
		def_path_cut(&d->path, mark);
	}
	buf_addc(&json, '}');
	if (json.len > LIM_ENVIRONMENT_BYTES)
		def_problem(d, "is %zu bytes as JSON, at most %d are allowed", json.len, LIM_ENVIRONMENT_BYTES);
}

/* ---- Rlimits ---- */

static const struct def_rlimit { const char *name; int resource; } rlimits[] = {
	{ "AS", RLIMIT_AS },		{ "CORE", RLIMIT_CORE },	{ "CPU", RLIMIT_CPU },
	{ "DATA", RLIMIT_DATA },	{ "FSIZE", RLIMIT_FSIZE },	{ "MEMLOCK", RLIMIT_MEMLOCK },
	{ "MSGQUEUE", RLIMIT_MSGQUEUE }, { "NICE", RLIMIT_NICE },	{ "NOFILE", RLIMIT_NOFILE },
	{ "NPROC", RLIMIT_NPROC },	{ "RTPRIO", RLIMIT_RTPRIO },	{ "RTTIME", RLIMIT_RTTIME },
	{ "SIGPENDING", RLIMIT_SIGPENDING }, { "STACK", RLIMIT_STACK },
};

static bool rlimit_number(struct def *d, const cJSON *v, rlim_t *ret)
{
	double n;

	if (cJSON_IsString(v) && strcmp(v->valuestring, "unlimited") == 0) {
		*ret = RLIM_INFINITY;
		return true;
	}
	if (!def_want(d, v, cJSON_IsNumber(v), "a number or \"unlimited\"") || !def_integer(d, v, 0, DEF_EXACT_MAX, "", &n))
		return false;
	*ret = (rlim_t)n;
	return true;
}

/* N = soft and hard; [soft, hard]. */
static bool rlimit_value(struct def *d, const cJSON *v, struct rlimit *ret)
{
	rlim_t *const part[] = { &ret->rlim_cur, &ret->rlim_max };
	const cJSON *item = v->child;
	bool ok = true;

	if (!cJSON_IsArray(v)) {
		ok = rlimit_number(d, v, &ret->rlim_cur);
		ret->rlim_max = ret->rlim_cur;
		return ok;
	}
	if (cJSON_GetArraySize(v) != 2) {
		def_problem(d, "has %d entries, must have two: [soft, hard]", cJSON_GetArraySize(v));
		return false;
	}
	for (size_t i = 0; i < 2; i++, item = item->next) {
		size_t mark = def_path_add_index(&d->path, i);

		ok &= rlimit_number(d, item, part[i]);
		def_path_cut(&d->path, mark);
	}
	if (ok && ret->rlim_cur > ret->rlim_max) {	/* RLIM_INFINITY is the largest rlim_t */
		def_problem(d, "the soft limit is above the hard limit");
		return false;
	}
	return ok;
}

static void rlimit_unknown(struct def *d, const char *name)
{
	struct def_nearest near = { .name = strncmp(name, "RLIMIT_", 7) == 0 ? name + 7 : name };

	if (strcasecmp(near.name, "RSS") == 0 || strcasecmp(near.name, "LOCKS") == 0) {
		def_problem(d, "has no effect on Linux; remove it");
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(rlimits); i++)
		def_nearest_try(&near, rlimits[i].name);
	if (near.best)
		def_problem(d, "is no resource limit; did you mean %s?", near.best);
	else
		def_problem(d, "is no resource limit");
}

static void read_rlimits(struct def *d, const struct def_row *row, const cJSON *v)
{
	CLEAN(strmap_done) struct strmap seen = {};
	const cJSON *item;

	if (!def_want(d, v, cJSON_IsObject(v), "an object"))
		return;
	free(func_of(d)->rlimits);
	func_of(d)->rlimits = xcalloc(ARRAY_SIZE(rlimits), sizeof(*func_of(d)->rlimits));
	func_of(d)->n_rlimits = 0;
	cJSON_ArrayForEach(item, v) {
		size_t mark = def_path_add(&d->path, item->string), i = 0;
		struct rlimit value = {};

		while (i < ARRAY_SIZE(rlimits) && strcmp(rlimits[i].name, item->string) != 0)
			i++;
		if (def_given_twice(d, &seen, item))
			;
		else if (i == ARRAY_SIZE(rlimits))
			rlimit_unknown(d, item->string);
		else if (rlimit_value(d, item, &value))
			func_of(d)->rlimits[func_of(d)->n_rlimits++] = (struct func_rlimit){ rlimits[i].resource, value };
		def_path_cut(&d->path, mark);
	}
}

/* ---- RetryPolicy, Leftovers ---- */

static void read_factor(struct def *d, const struct def_row *row, const cJSON *v)
{
	if (def_want(d, v, cJSON_IsNumber(v), "a number") && def_in_range(d, v->valuedouble, row->min, row->max, ""))
		DEF_PLACE(double) = v->valuedouble;
}

static void read_retry_delays(struct def *d, const struct def_row *row, const cJSON *v)
{
	struct func_retry *r = d->into;

	(void)delays_of(d, v, &r->delays_ms, &r->n_delays);
}

#define RETRY(m) .place = offsetof(struct func_retry, m)
#define ROWS_RETRY \
	DEF_ROW("Attempts", read_int, RETRY(attempts), DEF_RANGE(0, LIM_RETRIES_MAX), .required = true), \
	DEF_ROW("DelaysInSeconds", read_retry_delays)
#define NO_TIMEOUT_FACTOR \
	DEF_REFUSED("TimeoutFactor", "is for Timeout: no other verdict asks for more time"), \
	DEF_REFUSED("TimeoutMax", "is for Timeout: no other verdict asks for more time")
#define NO_MEMORY_FACTOR \
	DEF_REFUSED("MemoryFactor", "is for OutOfMemory: no other verdict asks for more memory"), \
	DEF_REFUSED("MemoryMax", "is for OutOfMemory: no other verdict asks for more memory")

static const struct def_row rows_retry[] = { ROWS_RETRY, NO_TIMEOUT_FACTOR, NO_MEMORY_FACTOR, DEF_END };
static const struct def_row rows_retry_timeout[] = {
	ROWS_RETRY,
	DEF_ROW("TimeoutFactor", read_factor, RETRY(timeout_factor), DEF_RANGE(1, DEF_FACTOR_MAX)),
	DEF_ROW("TimeoutMax", read_seconds, RETRY(timeout_max_ms), DEF_RANGE(DEF_TIMEOUT_MIN_S, LIM_TIMEOUT_S_MAX)),
	NO_MEMORY_FACTOR,
	DEF_END
};
static const struct def_row rows_retry_memory[] = {
	ROWS_RETRY,
	DEF_ROW("MemoryFactor", read_factor, RETRY(memory_factor), DEF_RANGE(1, DEF_FACTOR_MAX)),
	DEF_ROW("MemoryMax", read_int, RETRY(memory_max_mb), DEF_RANGE(LIM_MEMORY_MB_MIN, LIM_MEMORY_MB_MAX), .note = "MB"),
	NO_TIMEOUT_FACTOR,
	DEF_END
};

/* What can become of an attempt that ran, or was to run, for which a policy makes sense; by the verdict's number. */
static const struct def_row *const retry_rows[OUTCOME_MAX] = {
	[OUTCOME_TIMEOUT] = rows_retry_timeout, [OUTCOME_OOM] = rows_retry_memory, [OUTCOME_SIGNAL] = rows_retry,
	[OUTCOME_CRASH] = rows_retry, [OUTCOME_ERROR] = rows_retry, [OUTCOME_TOO_LARGE] = rows_retry,
	[OUTCOME_EXEC_FAILED] = rows_retry, [OUTCOME_INTERRUPTED] = rows_retry,
};

static void verdict_unknown(struct def *d, const char *name)
{
	struct def_nearest near = { .name = name };

	for (size_t k = 0; k < OUTCOME_MAX; k++)
		if (retry_rows[k])
			def_nearest_try(&near, outcome_name((enum outcome_kind)k));
	def_nearest_try(&near, "PoisonAfter");
	for (size_t k = OUTCOME_INVALID + 1; k < OUTCOME_MAX; k++)
		if (!retry_rows[k] && strcmp(outcome_name((enum outcome_kind)k), name) == 0) {
			def_problem(d, "is a verdict that no policy can be given for");
			return;
		}
	if (near.best)
		def_problem(d, "is no verdict; did you mean %s?", near.best);
	else
		def_problem(d, "is no verdict");
}

/* A bound on what is never raised would be a setting without effect. */
static void bound_needs(struct def *d, const cJSON *v, const char *bound, const char *factor)
{
	size_t mark;

	if (!cJSON_GetObjectItemCaseSensitive(v, bound) || cJSON_GetObjectItemCaseSensitive(v, factor))
		return;
	mark = def_path_add(&d->path, bound);
	def_problem(d, "has no effect without %s", factor);
	def_path_cut(&d->path, mark);
}

static void read_verdict(struct def *d, struct func_retry *r, const struct def_row *rows, const cJSON *v)
{
	void *outer = d->into;

	if (!def_want(d, v, cJSON_IsObject(v), "an object"))
		return;
	*r = (struct func_retry){
		.given = true, .timeout_factor = 1, .timeout_max_ms = LIM_TIMEOUT_S_MAX * 1000,
		.memory_factor = 1, .memory_max_mb = LIM_MEMORY_MB_MAX,
	};
	d->into = r;
	def_members(d, rows, v);
	d->into = outer;
	if (rows == rows_retry_timeout)
		bound_needs(d, v, "TimeoutMax", "TimeoutFactor");
	if (rows == rows_retry_memory)
		bound_needs(d, v, "MemoryMax", "MemoryFactor");
}

static void read_poison(struct def *d, const cJSON *v)
{
	double n;

	if (def_integer(d, v, DEF_POISON_MIN, LIM_RETRIES_MAX, "", &n))
		func_of(d)->poison_after = (int)n;
}

static void read_retry_policy(struct def *d, const struct def_row *row, const cJSON *v)
{
	CLEAN(strmap_done) struct strmap seen = {};
	const cJSON *item;

	if (!def_want(d, v, cJSON_IsObject(v), "an object"))
		return;
	cJSON_ArrayForEach(item, v) {
		size_t mark = def_path_add(&d->path, item->string);
		const char *why = def_tree_text_problem(item->string);
		enum outcome_kind k = outcome_by_name(item->string);

		if (def_given_twice(d, &seen, item))
			;
		else if (why)
			def_problem(d, "the name %s", why);
		else if (strcmp(item->string, "PoisonAfter") == 0)
			read_poison(d, item);
		else if (!retry_rows[k])
			verdict_unknown(d, item->string);
		else
			read_verdict(d, &func_of(d)->retry[k], retry_rows[k], item);
		def_path_cut(&d->path, mark);
	}
}

static void read_recursive_loop(struct def *d, const struct def_row *row, const cJSON *v)
{
	const char *s = def_string(d, v);

	if (!s)
		return;
	if (strcmp(s, "Allow") != 0 && strcmp(s, "Terminate") != 0)
		def_problem(d, "must be \"Terminate\" or \"Allow\"");
	else
		func_of(d)->recursive_loop = strcmp(s, "Allow") == 0;
}

static void read_leftovers(struct def *d, const struct def_row *row, const cJSON *v)
{
	const char *s = def_string(d, v);

	if (!s)
		return;
	for (int k = FUNC_LEFTOVERS_KILL; k <= FUNC_LEFTOVERS_WARN; k++)
		if (strcmp(leftovers[k], s) == 0) {
			func_of(d)->leftovers = (enum func_leftovers)k;
			return;
		}
	def_problem(d, "must be \"kill\", \"wait\" or \"warn\"");
}

/* ---- targets ---- */

static const char *dead_letter_problem(struct target *t)
{
	switch (t->kind) {
	case TARGET_NAME:
		t->kind = TARGET_QUEUE;		/* nothing else it could be */
		return NULL;
	case TARGET_NONE:
	case TARGET_QUEUE:
	case TARGET_TOPIC:
		return NULL;
	default:
		return "a dead letter's target must be a queue or a topic";
	}
}

static bool same_target(const struct target *a, const struct target *b)
{
	return a->kind == b->kind && strcmp(a->name, b->name) == 0 && strcmp(a->qualifier, b->qualifier) == 0;
}

static void read_target(struct def *d, const struct def_row *row, const cJSON *v)
{
	/* Each side may be set in EventInvokeConfig, AWS's place, and at top level. Which comes second must agree. */
	static const enum def_target other[] = {
		[DEF_EVENT_SUCCESS] = DEF_TOP_SUCCESS, [DEF_TOP_SUCCESS] = DEF_EVENT_SUCCESS,
		[DEF_EVENT_FAILURE] = DEF_TOP_FAILURE, [DEF_TOP_FAILURE] = DEF_EVENT_FAILURE,
		[DEF_DEAD_LETTER] = DEF_DEAD_LETTER,
	};
	struct def_func *df = d->more;
	struct target *t = &df->targets[row->place].t, *u = &df->targets[other[row->place]].t;
	const char *why = NULL;

	if (!def_target(d, v, t))
		return;
	df->targets[row->place].given = true;
	if (t->kind == TARGET_REMOTE)
		why = "is not of this host; remote targets are not supported yet";
	else if (row->place == DEF_DEAD_LETTER)
		why = dead_letter_problem(t);
	else if ((t->kind == TARGET_FUNCTION || t->kind == TARGET_NAME) && df->self[0] && strcmp(t->name, df->self) == 0)
		why = "You can't specify the function as a destination for itself.";
	if (why)
		def_problem(d, "%s", why);
	else if (t != u && df->targets[other[row->place]].given && !same_target(t, u))
		def_problem(d, "differs from the one in %s", row->place < DEF_TOP_SUCCESS ? "$.DestinationConfig" :
			"$.EventInvokeConfig.DestinationConfig");
}

/* ---- the tables ---- */

#define FIELD(m) .place = offsetof(struct func, m)

static const struct def_row rows_event_success[] = { DEF_ROW("Destination", read_target, .place = DEF_EVENT_SUCCESS), DEF_END };
static const struct def_row rows_event_failure[] = { DEF_ROW("Destination", read_target, .place = DEF_EVENT_FAILURE), DEF_END };
static const struct def_row rows_top_success[] = { DEF_ROW("Destination", read_target, .place = DEF_TOP_SUCCESS), DEF_END };
static const struct def_row rows_top_failure[] = { DEF_ROW("Destination", read_target, .place = DEF_TOP_FAILURE), DEF_END };

static const struct def_row rows_destinations_event[] = {
	DEF_OBJECT("OnSuccess", rows_event_success),
	DEF_OBJECT("OnFailure", rows_event_failure),
	DEF_END
};
static const struct def_row rows_destinations_top[] = {
	DEF_OBJECT("OnSuccess", rows_top_success),
	DEF_OBJECT("OnFailure", rows_top_failure),
	DEF_END
};
static const struct def_row rows_event[] = {
	DEF_ROW("MaximumRetryAttempts", read_int, FIELD(retries_max), DEF_RANGE(0, LIM_RETRIES_MAX)),
	DEF_ROW("MaximumEventAgeInSeconds", read_int, FIELD(event_age_max_s), DEF_RANGE(LIM_EVENT_AGE_S_MIN, LIM_EVENT_AGE_S_MAX),
	    .note = "seconds"),
	DEF_OBJECT("DestinationConfig", rows_destinations_event),
	DEF_END
};
static const struct def_row rows_dead_letter[] = { DEF_ROW("TargetArn", read_target, .place = DEF_DEAD_LETTER), DEF_END };
static const struct def_row rows_environment[] = { DEF_ROW("Variables", read_variables), DEF_END };

static const struct def_row rows_function[] = {
	DEF_ROW("FunctionName", read_name, .required = true),
	DEF_ROW("Description", def_text, FIELD(description), .max = DEF_DESCRIPTION_MAX),
	DEF_ROW("Tags", def_tags),
	DEF_ROW("Mode", read_mode),
	DEF_ROW("Command", read_command, .required = true),
	DEF_ROW("WorkingDirectory", read_path, FIELD(working_dir)),
	DEF_OBJECT("Environment", rows_environment),
	DEF_ROW("Timeout", read_seconds, FIELD(timeout_ms), DEF_RANGE(DEF_TIMEOUT_MIN_S, LIM_TIMEOUT_S_MAX)),
	DEF_ROW("KillGracePeriod", read_seconds, FIELD(kill_grace_ms), DEF_RANGE(0, DEF_GRACE_MAX_S)),
	DEF_ROW("MemorySize", read_int, FIELD(memory_mb), DEF_RANGE(LIM_MEMORY_MB_MIN, LIM_MEMORY_MB_MAX), .note = "MB"),
	DEF_ROW("PidsMax", read_int, FIELD(pids_max), DEF_RANGE(0, DEF_PIDS_MAX)),
	DEF_ROW("CpuPercent", read_int, FIELD(cpu_percent), DEF_RANGE(0, DEF_CPU_MAX)),
	DEF_ROW("User", read_account, FIELD(user), .note = "user"),
	DEF_ROW("Group", read_account, FIELD(group), .note = "group"),
	DEF_ROW("NoNewPrivileges", def_bool, FIELD(no_new_privs)),
	DEF_ROW("Rlimits", read_rlimits),
	DEF_ROW("ReservedConcurrentExecutions", read_int, FIELD(reserved_concurrency), DEF_RANGE(0, DEF_CONCURRENCY_MAX)),
	DEF_OBJECT("EventInvokeConfig", rows_event),
	DEF_ROW("RetryDelaysInSeconds", read_delays),
	DEF_OBJECT("DestinationConfig", rows_destinations_top),
	DEF_OBJECT("DeadLetterConfig", rows_dead_letter),
	DEF_ROW("RecordFate", def_bool, FIELD(record_fate)),
	DEF_ROW("RetryPolicy", read_retry_policy),
	DEF_ROW("Leftovers", read_leftovers),
	DEF_ROW("RecursiveLoop", read_recursive_loop),
	DEF_ROW("OomGroup", def_bool, FIELD(oom_group)),
	DEF_ROW("RequireLimits", def_bool, FIELD(require_limits)),

	/* AWS's place for these is elsewhere. */
	DEF_REFUSED("MaximumRetryAttempts", "belongs in EventInvokeConfig"),
	DEF_REFUSED("MaximumEventAgeInSeconds", "belongs in EventInvokeConfig"),
	DEF_REFUSED("OnSuccess", "belongs in EventInvokeConfig.DestinationConfig"),
	DEF_REFUSED("OnFailure", "belongs in EventInvokeConfig.DestinationConfig"),
	DEF_REFUSED("PoisonAfter", "belongs in RetryPolicy"),
	DEF_REFUSED("Variables", "belongs in Environment"),
	DEF_REFUSED("TargetArn", "belongs in DeadLetterConfig"),

	/* AWS's members that a program run by this host has no use for. */
	DEF_REFUSED("Role", DEF_NO_EFFECT("functions run as User and Group")),
	DEF_REFUSED("Runtime", DEF_NO_EFFECT("Command says what runs")),
	DEF_REFUSED("Handler", DEF_NO_EFFECT("Command says what runs")),
	DEF_REFUSED("Code", DEF_NO_EFFECT("Command names a program that is here")),
	DEF_REFUSED("PackageType", DEF_NO_EFFECT("Command names a program that is here")),
	DEF_REFUSED("ImageConfig", DEF_NO_EFFECT("Command names a program that is here")),
	DEF_REFUSED("CodeSigningConfigArn", DEF_NO_EFFECT("Command names a program that is here")),
	DEF_REFUSED("SnapStart", DEF_NO_EFFECT("programs are started afresh")),
	DEF_REFUSED("Architectures", DEF_NO_EFFECT("programs run on this machine's processor")),
	DEF_REFUSED("Publish", DEF_NO_EFFECT("a file has one version")),
	DEF_REFUSED("PublishTo", DEF_NO_EFFECT("a file has one version")),
	DEF_REFUSED("RevisionId", DEF_NO_EFFECT("a file has one version")),
	DEF_REFUSED("KMSKeyArn", DEF_NO_EFFECT("variables are as safe as this file")),
	DEF_REFUSED("VpcConfig", DEF_NO_EFFECT("functions use the host's network")),
	DEF_REFUSED("CapacityProviderConfig", DEF_NO_EFFECT("the capacity is this host's")),
	DEF_REFUSED("Layers", DEF_NOT_YET),
	DEF_REFUSED("EphemeralStorage", DEF_NOT_YET),
	DEF_REFUSED("FileSystemConfigs", DEF_NOT_YET),
	DEF_REFUSED("TracingConfig", DEF_NOT_YET),
	DEF_REFUSED("LoggingConfig", DEF_NOT_YET),
	DEF_REFUSED("DurableConfig", DEF_NOT_YET),
	DEF_REFUSED("TenancyConfig", DEF_NOT_YET),
	DEF_REFUSED("ProvisionedConcurrentExecutions", DEF_NOT_YET),
	DEF_END
};

/* Destinations may come before FunctionName, and must not name it. */
static void find_self(struct def_func *df, const cJSON *root)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(root, "FunctionName");
	struct arn_function name;

	if (cJSON_IsString(v) && !def_tree_text_problem(v->valuestring) && arn_parse_function(v->valuestring, &name, NULL) >= 0)
		memcpy(df->self, name.name, sizeof(df->self));
}

static struct target merged(const struct def_func *df, enum def_target event, enum def_target top)
{
	return df->targets[event].given ? df->targets[event].t : df->targets[top].t;
}

int def_function(struct def *d, const cJSON *object, struct func **ret)
{
	CLEAN(func_unrefp) struct func *f = func_new();
	CLEAN(freep) struct def_func *df = XNEW(struct def_func);
	void *into = d->into, *more = d->more;
	CLEAN(freep) char *text = NULL;
	size_t before = d->n_problems;

	d->into = f;
	d->more = df;
	if (def_want(d, object, cJSON_IsObject(object), "an object")) {
		find_self(df, object);
		def_members(d, rows_function, object);
	}
	d->into = into;
	d->more = more;
	if (d->n_problems > before)
		return -EINVAL;
	f->on_success = merged(df, DEF_EVENT_SUCCESS, DEF_TOP_SUCCESS);
	f->on_failure = merged(df, DEF_EVENT_FAILURE, DEF_TOP_FAILURE);
	f->dead_letter = df->targets[DEF_DEAD_LETTER].t;
	text = cJSON_PrintUnformatted(object);
	f->source = text ? blob_new(text, strlen(text)) : NULL;
	if (!f->source) {
		def_problem(d, "is too large for the memory there is");
		return -EINVAL;
	}
	assert(f->name[0] && f->command && f->command[0] && f->n_retry_delays >= 1);
	*ret = TAKE(f);
	return 0;
}

static void read_function(struct def *d, const cJSON *object)
{
	(void)def_function(d, object, d->into);
}

int func_parse(const char *json, size_t len, struct func **ret, struct func_problems *problems)
{
	struct def d = { .problems = problems, .into = ret };

	return def_file(&d, json, len, read_function);
}
