/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One definition file's text → an immutable struct func, or everything that is wrong with it.
 *
 * The tables below are the format: a row per member with how it is read, where it goes and its bounds. One walk over
 * the file's own order visits each member once, so problems come in file order; what is missing comes last. Readers
 * never stop at the first problem, and never leave half a value: the snapshot under construction is dropped as a
 * whole when there was any problem.
 *
 * Rules that hold for every row:
 *  - A member not in the table is a problem, with a guess at what was meant. A setting accepted and not acted on is a
 *    bug, therefore AWS's members that mean nothing here (Role, Runtime, Layers, …) have rows that say why not.
 *    Tags and Description are taken: they are notes, not settings.
 *  - A member given twice, null, a wrong type, a fraction where an integer belongs: problems. Nothing is coerced.
 *  - Bounds are named together with the value, as the file's author wrote it (seconds, not milliseconds).
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
#include "model/def_tree.h"

/* Bounds of our own members, and of what only files have. */
#define DEF_PROBLEMS_MAX 100		/* a file of nonsense needs no more to be understood */
#define DEF_ARGS_MAX 1024
#define DEF_ARG_BYTES_MAX 131071	/* the kernel's MAX_ARG_STRLEN, less the NUL */
#define DEF_DESCRIPTION_MAX 256		/* characters */
#define DEF_TAGS_MAX 50
#define DEF_TAG_KEY_MAX 128
#define DEF_TAG_VALUE_MAX 256
#define DEF_TIMEOUT_MIN_S 0.001
#define DEF_GRACE_MAX_S 900
#define DEF_PIDS_MAX 4194304		/* the kernel's PID_MAX_LIMIT */
#define DEF_CPU_MAX 102400		/* 1024 CPUs */
#define DEF_CONCURRENCY_MAX 1000000
#define DEF_ACCOUNT_NAME_MAX 32		/* useradd's */
#define DEF_ID_MAX 4294967294.0		/* (uid_t)-1 means "leave alone" */
#define DEF_EXACT_MAX 9007199254740992.0	/* 2^53: beyond it a JSON number is not exact */

enum def_target { DEF_EVENT_SUCCESS, DEF_EVENT_FAILURE, DEF_TOP_SUCCESS, DEF_TOP_FAILURE, DEF_DEAD_LETTER, DEF_TARGET_MAX };

struct def {
	struct func *f;
	struct func_problems *problems;
	size_t n_problems;
	struct buf path;		/* of what is being read */
	char self[LIM_FUNCTION_NAME_MAX + 1];	/* FunctionName, known before the walk; "" when it is bad or missing */
	struct { struct target t; bool given; } targets[DEF_TARGET_MAX];
};

struct def_row {
	const char *name;
	void (*read)(struct def *d, const struct def_row *row, const cJSON *v);	/* NULL: refused, note says why */
	size_t place;			/* offset in struct func, or an enum def_target */
	double min, max;
	const char *note;		/* unit in messages; for a refused member, the reason */
	const struct def_row *members;	/* of an object; ends with a row without name */
	bool required;
};

static void problem(struct def *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void problem(struct def *d, const char *fmt, ...)
{
	char *reason;
	va_list ap;
	int n;

	if (d->n_problems++ >= DEF_PROBLEMS_MAX) {
		if (d->n_problems == DEF_PROBLEMS_MAX + 1)
			func_problems_add(d->problems, "$", "has more than %d problems; the rest is not shown", DEF_PROBLEMS_MAX);
		return;
	}
	va_start(ap, fmt);
	n = vasprintf(&reason, fmt, ap);
	va_end(ap);
	func_problems_add(d->problems, buf_str(&d->path), "%s", n < 0 ? "(no memory for the reason)" : reason);
	if (n >= 0)
		free(reason);
}

/* ---- values ---- */

static bool want(struct def *d, const cJSON *v, bool ok, const char *type)
{
	if (!ok)
		problem(d, "must be %s, is %s", type, def_tree_type(v));
	return ok;
}

/* The string when it is one and sound, else NULL and a problem. */
static const char *string_of(struct def *d, const cJSON *v)
{
	const char *why;

	if (!want(d, v, cJSON_IsString(v), "a string"))
		return NULL;
	why = def_tree_text_problem(v->valuestring);
	if (why) {
		problem(d, "%s", why);
		return NULL;
	}
	return v->valuestring;
}

static bool in_range(struct def *d, double n, double min, double max, const char *unit)
{
	if (isfinite(n) && n >= min && n <= max)
		return true;
	problem(d, "is %.15g, must be from %.15g to %.15g%s%s", n, min, max, *unit ? " " : "", unit);
	return false;
}

static bool integer_of(struct def *d, const cJSON *v, double min, double max, const char *unit, double *ret)
{
	if (!want(d, v, cJSON_IsNumber(v), "a number"))
		return false;
	/* From 2^53 on every double is whole; below, the cast is exact. */
	if (fabs(v->valuedouble) < DEF_EXACT_MAX && v->valuedouble != (double)(int64_t)v->valuedouble) {
		problem(d, "is %.15g, must be a whole number from %.15g to %.15g%s%s", v->valuedouble, min, max, *unit ? " " : "",
			unit);
		return false;
	}
	if (!in_range(d, v->valuedouble, min, max, unit))
		return false;
	*ret = v->valuedouble;
	return true;
}

/* Seconds with at most three decimals → milliseconds. */
static bool ms_of(struct def *d, const cJSON *v, double min, double max, int64_t *ret)
{
	int64_t ms;

	assert(min >= 0);
	if (!want(d, v, cJSON_IsNumber(v), "a number") || !in_range(d, v->valuedouble, min, max, "seconds"))
		return false;
	ms = (int64_t)(v->valuedouble * 1000 + 0.5);
	if (fabs(v->valuedouble * 1000 - (double)ms) > 1e-6) {
		problem(d, "is %.15g seconds, finer than a millisecond", v->valuedouble);
		return false;
	}
	*ret = ms;
	return true;
}

static size_t characters(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

#define PLACE(type) (*(type *)(void *)((char *)d->f + row->place))

/* ---- plain members ---- */

static void read_int(struct def *d, const struct def_row *row, const cJSON *v)
{
	double n;

	if (integer_of(d, v, row->min, row->max, row->note ? row->note : "", &n))
		PLACE(int) = (int)n;
}

static void read_seconds(struct def *d, const struct def_row *row, const cJSON *v)
{
	int64_t ms;

	if (ms_of(d, v, row->min, row->max, &ms))
		PLACE(int) = (int)ms;
}

static void read_bool(struct def *d, const struct def_row *row, const cJSON *v)
{
	if (want(d, v, cJSON_IsBool(v), "true or false"))
		PLACE(bool) = cJSON_IsTrue(v);
}

static void read_description(struct def *d, const struct def_row *row, const cJSON *v)
{
	const char *s = string_of(d, v);

	if (s && characters(s) > DEF_DESCRIPTION_MAX) {
		problem(d, "has %zu characters, at most %d are allowed", characters(s), DEF_DESCRIPTION_MAX);
	} else if (s) {
		free(d->f->description);
		d->f->description = xstrdup(s);
	}
}

static void read_name(struct def *d, const struct def_row *row, const cJSON *v)
{
	const char *s = string_of(d, v);
	struct arn_function name;
	struct err e = {};

	if (!s)
		return;
	if (arn_parse_function(s, &name, &e) < 0)
		problem(d, "%s", err_msg(&e));
	else if (name.qualifier[0] && strcmp(name.qualifier, "$LATEST") != 0)
		problem(d, "has the qualifier \"%s\": versions and aliases are not supported yet", name.qualifier);
	else
		memcpy(d->f->name, name.name, sizeof(d->f->name));
}

static void read_mode(struct def *d, const struct def_row *row, const cJSON *v)
{
	const char *s = string_of(d, v);

	if (!s)
		return;
	if (strcmp(s, "runtime") == 0)
		problem(d, "\"runtime\" is not supported yet, only \"exec\"");
	else if (strcmp(s, "exec") != 0)
		problem(d, "must be \"exec\"");
	else
		d->f->mode = FUNC_MODE_EXEC;
}

/* An absolute path that the kernel can take. */
static bool path_ok(struct def *d, const char *s)
{
	if (s[0] != '/')
		problem(d, *s ? "must be an absolute path" : "is empty, must be an absolute path");
	else if (strlen(s) >= PATH_MAX)
		problem(d, "has %zu bytes, at most %d are allowed", strlen(s), PATH_MAX - 1);
	else
		return true;
	return false;
}

static void read_path(struct def *d, const struct def_row *row, const cJSON *v)
{
	const char *s = string_of(d, v);

	if (s && path_ok(d, s)) {
		free(PLACE(char *));
		PLACE(char *) = xstrdup(s);
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
		if (!integer_of(d, v, 0, DEF_ID_MAX, "", &n))
			return;
		snprintf(text, sizeof(text), "%.0f", n);
		s = text;
	} else if (cJSON_IsString(v)) {
		s = string_of(d, v);
		if (!s)
			return;
		if (*s && strspn(s, "0123456789") == strlen(s)) {
			if (strlen(s) > 10 || strtod(s, NULL) > DEF_ID_MAX) {
				problem(d, "is too large a number, at most %.0f", DEF_ID_MAX);
				return;
			}
		} else if (!*s || strlen(s) > DEF_ACCOUNT_NAME_MAX || strspn(s, chars) < strlen(s) - (s[strlen(s) - 1] == '$') ||
			   s[0] == '-' || s[0] == '.' || s[0] == '$') {
			problem(d, "is no name of a %s: 1 to %d letters, digits, _ - and .", row->note, DEF_ACCOUNT_NAME_MAX);
			return;
		}
	} else {
		want(d, v, false, "a name or a number");
		return;
	}
	free(PLACE(char *));
	PLACE(char *) = xstrdup(s);
}

static void read_delays(struct def *d, const struct def_row *row, const cJSON *v)
{
	CLEAN(freep) int64_t *list = NULL;
	const cJSON *item;
	size_t n = 0, bad = 0;
	int count;

	if (!want(d, v, cJSON_IsArray(v), "a list of numbers"))
		return;
	count = cJSON_GetArraySize(v);
	if (count < 1 || count > LIM_RETRIES_MAX) {
		problem(d, "has %d entries, must have from 1 to %d", count, LIM_RETRIES_MAX);
		return;
	}
	list = xcalloc((size_t)count, sizeof(*list));
	cJSON_ArrayForEach(item, v) {
		size_t mark = def_path_add_index(&d->path, n);

		bad += !ms_of(d, item, 0, LIM_RETRY_DELAY_S_MAX, &list[n++]);
		def_path_cut(&d->path, mark);
	}
	if (bad)
		return;
	free(d->f->retry_delays_ms);
	d->f->retry_delays_ms = TAKE(list);
	d->f->n_retry_delays = n;
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
			problem(d, "has %d entries, must have from 1 to %d: the program and its arguments", count, DEF_ARGS_MAX);
			return;
		}
		item = v->child;
	} else if (!want(d, v, cJSON_IsString(v), "a list of strings")) {
		return;
	}
	argv = xcalloc((size_t)count + 1, sizeof(*argv));
	for (int i = 0; i < count; i++, item = item->next) {
		size_t mark = cJSON_IsArray(v) ? def_path_add_index(&d->path, (size_t)i) : d->path.len;
		const char *s = string_of(d, item);

		if (s && strlen(s) > DEF_ARG_BYTES_MAX)
			problem(d, "has %zu bytes, at most %d are allowed", strlen(s), DEF_ARG_BYTES_MAX);
		else if (s && (i > 0 || path_ok(d, s)))
			argv[n++] = xstrdup(s);
		def_path_cut(&d->path, mark);
	}
	/* With a bad entry this is a shorter list; there was a problem, so it goes nowhere. */
	d->f->command = argv;
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
		problem(d, "the name %s", why);
	else if (reserved)
		problem(d, "is a reserved name: it is set for each invocation");
	else if (*p || p - name < 2 || *name == '_' || (*name >= '0' && *name <= '9'))
		problem(d, "the name must be two or more letters, digits and _, and begin with a letter");
	else
		return true;
	return false;
}

static bool given_twice(struct def *d, struct strmap *seen, const cJSON *v)
{
	if (!strmap_put(seen, v->string, (void *)v))
		return false;
	problem(d, "is given twice");
	return true;
}

static void read_variables(struct def *d, const struct def_row *row, const cJSON *v)
{
	CLEAN(strmap_done) struct strmap seen = {};
	CLEAN(buf_done) struct buf json = {};
	const cJSON *item;
	size_t n = 0;

	if (!want(d, v, cJSON_IsObject(v), "an object"))
		return;
	free(d->f->env);
	d->f->env = xcalloc((size_t)cJSON_GetArraySize(v) + 1, sizeof(*d->f->env));
	/* Measured as Lambda does: the variables as compact JSON. Every entry counts, so the number of variables is
	 * bounded along with their size. */
	buf_addc(&json, '{');
	cJSON_ArrayForEach(item, v) {
		size_t mark = def_path_add(&d->path, item->string);
		bool ok = !given_twice(d, &seen, item) && variable_name_ok(d, item->string);
		const char *s = cJSON_IsNumber(item) || cJSON_IsBool(item) ? NULL : string_of(d, item);

		if (cJSON_IsNumber(item) || cJSON_IsBool(item))
			problem(d, "must be a string, is %s: put it in quotes", def_tree_type(item));
		if (ok && s) {
			buf_adds(&json, n ? "," : "");
			(void)json_add_string(&json, item->string, strlen(item->string));
			buf_addc(&json, ':');
			(void)json_add_string(&json, s, strlen(s));
			d->f->env[n++] = xasprintf("%s=%s", item->string, s);
		}
		def_path_cut(&d->path, mark);
	}
	buf_addc(&json, '}');
	if (json.len > LIM_ENVIRONMENT_BYTES)
		problem(d, "is %zu bytes as JSON, at most %d are allowed", json.len, LIM_ENVIRONMENT_BYTES);
}

static void read_tags(struct def *d, const struct def_row *row, const cJSON *v)
{
	CLEAN(strmap_done) struct strmap seen = {};
	const cJSON *item;

	if (!want(d, v, cJSON_IsObject(v), "an object"))
		return;
	if (cJSON_GetArraySize(v) > DEF_TAGS_MAX) {
		problem(d, "has %d tags, at most %d are allowed", cJSON_GetArraySize(v), DEF_TAGS_MAX);
		return;
	}
	cJSON_ArrayForEach(item, v) {
		size_t mark = def_path_add(&d->path, item->string);
		const char *why = def_tree_text_problem(item->string), *s = string_of(d, item);

		(void)given_twice(d, &seen, item);
		if (why)
			problem(d, "the key %s", why);
		else if (!*item->string || characters(item->string) > DEF_TAG_KEY_MAX)
			problem(d, "the key has %zu characters, must have from 1 to %d", characters(item->string), DEF_TAG_KEY_MAX);
		if (s && characters(s) > DEF_TAG_VALUE_MAX)
			problem(d, "has %zu characters, at most %d are allowed", characters(s), DEF_TAG_VALUE_MAX);
		def_path_cut(&d->path, mark);
	}
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
	if (!want(d, v, cJSON_IsNumber(v), "a number or \"unlimited\"") || !integer_of(d, v, 0, DEF_EXACT_MAX, "", &n))
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
		problem(d, "has %d entries, must have two: [soft, hard]", cJSON_GetArraySize(v));
		return false;
	}
	for (size_t i = 0; i < 2; i++, item = item->next) {
		size_t mark = def_path_add_index(&d->path, i);

		ok &= rlimit_number(d, item, part[i]);
		def_path_cut(&d->path, mark);
	}
	if (ok && ret->rlim_cur > ret->rlim_max) {	/* RLIM_INFINITY is the largest rlim_t */
		problem(d, "the soft limit is above the hard limit");
		return false;
	}
	return ok;
}

static void rlimit_unknown(struct def *d, const char *name)
{
	struct def_nearest near = { .name = strncmp(name, "RLIMIT_", 7) == 0 ? name + 7 : name };

	if (strcasecmp(near.name, "RSS") == 0 || strcasecmp(near.name, "LOCKS") == 0) {
		problem(d, "has no effect on Linux; remove it");
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(rlimits); i++)
		def_nearest_try(&near, rlimits[i].name);
	if (near.best)
		problem(d, "is no resource limit; did you mean %s?", near.best);
	else
		problem(d, "is no resource limit");
}

static void read_rlimits(struct def *d, const struct def_row *row, const cJSON *v)
{
	CLEAN(strmap_done) struct strmap seen = {};
	const cJSON *item;

	if (!want(d, v, cJSON_IsObject(v), "an object"))
		return;
	free(d->f->rlimits);
	d->f->rlimits = xcalloc(ARRAY_SIZE(rlimits), sizeof(*d->f->rlimits));
	d->f->n_rlimits = 0;
	cJSON_ArrayForEach(item, v) {
		size_t mark = def_path_add(&d->path, item->string), i = 0;
		struct rlimit value = {};

		while (i < ARRAY_SIZE(rlimits) && strcmp(rlimits[i].name, item->string) != 0)
			i++;
		if (given_twice(d, &seen, item))
			;
		else if (i == ARRAY_SIZE(rlimits))
			rlimit_unknown(d, item->string);
		else if (rlimit_value(d, item, &value))
			d->f->rlimits[d->f->n_rlimits++] = (struct func_rlimit){ rlimits[i].resource, value };
		def_path_cut(&d->path, mark);
	}
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
		return NULL;
	default:
		return "a dead letter's target must be a queue";
	}
}

static void read_target(struct def *d, const struct def_row *row, const cJSON *v)
{
	/* Each side may be set in EventInvokeConfig, AWS's place, and at top level. Which comes second must agree. */
	static const enum def_target other[] = {
		[DEF_EVENT_SUCCESS] = DEF_TOP_SUCCESS, [DEF_TOP_SUCCESS] = DEF_EVENT_SUCCESS,
		[DEF_EVENT_FAILURE] = DEF_TOP_FAILURE, [DEF_TOP_FAILURE] = DEF_EVENT_FAILURE,
		[DEF_DEAD_LETTER] = DEF_DEAD_LETTER,
	};
	const char *s = string_of(d, v), *why = NULL;
	struct target *t = &d->targets[row->place].t, *u = &d->targets[other[row->place]].t;
	struct err e = {};

	if (!s)
		return;
	if (target_parse(s, t, &e) < 0) {
		problem(d, "%s", err_msg(&e));
		return;
	}
	d->targets[row->place].given = true;
	if (t->kind == TARGET_REMOTE)
		why = "is not of this host; remote targets are not supported yet";
	else if (row->place == DEF_DEAD_LETTER)
		why = dead_letter_problem(t);
	else if ((t->kind == TARGET_FUNCTION || t->kind == TARGET_NAME) && d->self[0] && strcmp(t->name, d->self) == 0)
		why = "You can't specify the function as a destination for itself.";
	if (why)
		problem(d, "%s", why);
	else if (t != u && d->targets[other[row->place]].given && (t->kind != u->kind || strcmp(t->name, u->name) != 0))
		problem(d, "differs from the one in %s", row->place < DEF_TOP_SUCCESS ? "$.DestinationConfig" :
			"$.EventInvokeConfig.DestinationConfig");
}

/* ---- the tables ---- */

static void read_object(struct def *d, const struct def_row *row, const cJSON *v);

#define FIELD(m) .place = offsetof(struct func, m)
#define RANGE(lo, hi) .min = lo, .max = hi
#define ROW(n, fn, ...) { .name = n, .read = fn, __VA_ARGS__ }
#define REFUSED(n, why) { .name = n, .note = why }
#define OBJECT(n, rows) ROW(n, read_object, .members = rows)
#define END { .name = NULL }

static const struct def_row rows_event_success[] = { ROW("Destination", read_target, .place = DEF_EVENT_SUCCESS), END };
static const struct def_row rows_event_failure[] = { ROW("Destination", read_target, .place = DEF_EVENT_FAILURE), END };
static const struct def_row rows_top_success[] = { ROW("Destination", read_target, .place = DEF_TOP_SUCCESS), END };
static const struct def_row rows_top_failure[] = { ROW("Destination", read_target, .place = DEF_TOP_FAILURE), END };

static const struct def_row rows_destinations_event[] = {
	OBJECT("OnSuccess", rows_event_success),
	OBJECT("OnFailure", rows_event_failure),
	END
};
static const struct def_row rows_destinations_top[] = {
	OBJECT("OnSuccess", rows_top_success),
	OBJECT("OnFailure", rows_top_failure),
	END
};
static const struct def_row rows_event[] = {
	ROW("MaximumRetryAttempts", read_int, FIELD(retries_max), RANGE(0, LIM_RETRIES_MAX)),
	ROW("MaximumEventAgeInSeconds", read_int, FIELD(event_age_max_s), RANGE(LIM_EVENT_AGE_S_MIN, LIM_EVENT_AGE_S_MAX),
	    .note = "seconds"),
	OBJECT("DestinationConfig", rows_destinations_event),
	END
};
static const struct def_row rows_dead_letter[] = { ROW("TargetArn", read_target, .place = DEF_DEAD_LETTER), END };
static const struct def_row rows_environment[] = { ROW("Variables", read_variables), END };

#define NOT_YET "is not supported yet"
#define NO_EFFECT(why) "has no effect on this host: " why "; remove it"

static const struct def_row rows_function[] = {
	ROW("FunctionName", read_name, .required = true),
	ROW("Description", read_description),
	ROW("Tags", read_tags),
	ROW("Mode", read_mode),
	ROW("Command", read_command, .required = true),
	ROW("WorkingDirectory", read_path, FIELD(working_dir)),
	OBJECT("Environment", rows_environment),
	ROW("Timeout", read_seconds, FIELD(timeout_ms), RANGE(DEF_TIMEOUT_MIN_S, LIM_TIMEOUT_S_MAX)),
	ROW("KillGracePeriod", read_seconds, FIELD(kill_grace_ms), RANGE(0, DEF_GRACE_MAX_S)),
	ROW("MemorySize", read_int, FIELD(memory_mb), RANGE(LIM_MEMORY_MB_MIN, LIM_MEMORY_MB_MAX), .note = "MB"),
	ROW("PidsMax", read_int, FIELD(pids_max), RANGE(0, DEF_PIDS_MAX)),
	ROW("CpuPercent", read_int, FIELD(cpu_percent), RANGE(0, DEF_CPU_MAX)),
	ROW("User", read_account, FIELD(user), .note = "user"),
	ROW("Group", read_account, FIELD(group), .note = "group"),
	ROW("NoNewPrivileges", read_bool, FIELD(no_new_privs)),
	ROW("Rlimits", read_rlimits),
	ROW("ReservedConcurrentExecutions", read_int, FIELD(reserved_concurrency), RANGE(0, DEF_CONCURRENCY_MAX)),
	OBJECT("EventInvokeConfig", rows_event),
	ROW("RetryDelaysInSeconds", read_delays),
	OBJECT("DestinationConfig", rows_destinations_top),
	OBJECT("DeadLetterConfig", rows_dead_letter),
	ROW("RecordFate", read_bool, FIELD(record_fate)),

	/* AWS's place for these is elsewhere. */
	REFUSED("MaximumRetryAttempts", "belongs in EventInvokeConfig"),
	REFUSED("MaximumEventAgeInSeconds", "belongs in EventInvokeConfig"),
	REFUSED("OnSuccess", "belongs in EventInvokeConfig.DestinationConfig"),
	REFUSED("OnFailure", "belongs in EventInvokeConfig.DestinationConfig"),
	REFUSED("Variables", "belongs in Environment"),
	REFUSED("TargetArn", "belongs in DeadLetterConfig"),

	/* AWS's members that a program run by this host has no use for. */
	REFUSED("Role", NO_EFFECT("functions run as User and Group")),
	REFUSED("Runtime", NO_EFFECT("Command says what runs")),
	REFUSED("Handler", NO_EFFECT("Command says what runs")),
	REFUSED("Code", NO_EFFECT("Command names a program that is here")),
	REFUSED("PackageType", NO_EFFECT("Command names a program that is here")),
	REFUSED("ImageConfig", NO_EFFECT("Command names a program that is here")),
	REFUSED("CodeSigningConfigArn", NO_EFFECT("Command names a program that is here")),
	REFUSED("SnapStart", NO_EFFECT("programs are started afresh")),
	REFUSED("Architectures", NO_EFFECT("programs run on this machine's processor")),
	REFUSED("Publish", NO_EFFECT("a file has one version")),
	REFUSED("PublishTo", NO_EFFECT("a file has one version")),
	REFUSED("RevisionId", NO_EFFECT("a file has one version")),
	REFUSED("KMSKeyArn", NO_EFFECT("variables are as safe as this file")),
	REFUSED("VpcConfig", NO_EFFECT("functions use the host's network")),
	REFUSED("CapacityProviderConfig", NO_EFFECT("the capacity is this host's")),
	REFUSED("Layers", NOT_YET),
	REFUSED("EphemeralStorage", NOT_YET),
	REFUSED("FileSystemConfigs", NOT_YET),
	REFUSED("TracingConfig", NOT_YET),
	REFUSED("LoggingConfig", NOT_YET),
	REFUSED("DurableConfig", NOT_YET),
	REFUSED("TenancyConfig", NOT_YET),
	REFUSED("ProvisionedConcurrentExecutions", NOT_YET),
	END
};

static void unknown_member(struct def *d, const struct def_row *rows, const char *name)
{
	struct def_nearest near = { .name = name };
	const char *why = def_tree_text_problem(name);

	for (const struct def_row *r = rows; r->name; r++)
		if (r->read)
			def_nearest_try(&near, r->name);
	if (why)
		problem(d, "the name %s", why);
	else if (near.best)
		problem(d, "is no known member; did you mean %s?", near.best);
	else
		problem(d, "is no known member");
}

static void read_members(struct def *d, const struct def_row *rows, const cJSON *object)
{
	CLEAN(strmap_done) struct strmap seen = {};
	const cJSON *item;
	size_t mark;

	cJSON_ArrayForEach(item, object) {
		const struct def_row *row = rows;

		if (d->n_problems > DEF_PROBLEMS_MAX)
			return;
		mark = def_path_add(&d->path, item->string);
		while (row->name && strcmp(row->name, item->string) != 0)
			row++;
		if (given_twice(d, &seen, item))
			;
		else if (!row->name)
			unknown_member(d, rows, item->string);
		else if (!row->read)
			problem(d, "%s", row->note);
		else
			row->read(d, row, item);
		def_path_cut(&d->path, mark);
	}
	for (const struct def_row *row = rows; row->name; row++) {
		if (!row->required || strmap_get(&seen, row->name))
			continue;
		mark = def_path_add(&d->path, row->name);
		problem(d, "is missing");
		def_path_cut(&d->path, mark);
	}
}

static void read_object(struct def *d, const struct def_row *row, const cJSON *v)
{
	if (want(d, v, cJSON_IsObject(v), "an object"))
		read_members(d, row->members, v);
}

/* Destinations may come before FunctionName, and must not name it. */
static void find_self(struct def *d, const cJSON *root)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(root, "FunctionName");
	struct arn_function name;

	if (cJSON_IsString(v) && !def_tree_text_problem(v->valuestring) && arn_parse_function(v->valuestring, &name, NULL) >= 0)
		memcpy(d->self, name.name, sizeof(d->self));
}

static struct target merged(const struct def *d, enum def_target event, enum def_target top)
{
	return d->targets[event].given ? d->targets[event].t : d->targets[top].t;
}

int func_parse(const char *json, size_t len, struct func **ret, struct func_problems *problems)
{
	CLEAN(func_unrefp) struct func *f = func_new();
	CLEAN(cJSON_Deletep) cJSON *root = NULL;
	CLEAN(freep) struct def *d = XNEW(struct def);
	struct err e = {};

	assert(json || !len);
	d->f = f;
	d->problems = problems;
	buf_adds(&d->path, "$");
	if (def_tree_parse(json, len, &root, &e) < 0) {
		problem(d, "%s", err_msg(&e));
	} else if (want(d, root, cJSON_IsObject(root), "an object")) {
		find_self(d, root);
		read_members(d, rows_function, root);
	}
	buf_done(&d->path);
	if (d->n_problems)
		return -EINVAL;
	f->on_success = merged(d, DEF_EVENT_SUCCESS, DEF_TOP_SUCCESS);
	f->on_failure = merged(d, DEF_EVENT_FAILURE, DEF_TOP_FAILURE);
	f->dead_letter = d->targets[DEF_DEAD_LETTER].t;
	assert(f->name[0] && f->command && f->command[0] && f->n_retry_delays >= 1);
	*ret = TAKE(f);
	return 0;
}
