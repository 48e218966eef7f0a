/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parameters: what a request's path, query and (for a few routes) JSON body say, as numbers, names and times. Whatever is
 * wrong is answered here, with the parameter's name, so that a handler goes on only with values that are good.
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "api/api_int.h"
#include "model/def_tree.h"

const char *api_arg(const struct api_call *c, const char *name)
{
	for (size_t i = 0; i < c->n_args; i++)
		if (strcmp(c->args[i].name, name) == 0)
			return c->args[i].value;
	return NULL;
}

bool api_arg_int(struct api_call *c, const char *name, int64_t min, int64_t max, int64_t fallback, int64_t *ret)
{
	const char *text = api_arg(c, name);
	char constraint[96], field[32];
	int64_t v = 0;

	/* Lambda's own: "MaxItems" in the query is "maxItems" in what is said of it. */
	snprintf(field, sizeof(field), "%c%s", tolower((unsigned char)*name), name + 1);
	*ret = fallback;
	if (!text)
		return true;
	if (!*text || strlen(text) > 18 || strspn(text, "0123456789") != strlen(text)) {
		api_fail_value(c, field, text, "Member must satisfy regular expression pattern: [0-9]{1,18}");
		return false;
	}
	for (const char *p = text; *p; p++)
		v = v * 10 + (*p - '0');
	if (v >= min && v <= max) {
		*ret = v;
		return true;
	}
	snprintf(constraint, sizeof(constraint), "Member must have value %s than or equal to %" PRId64,
		 v < min ? "greater" : "less", v < min ? min : max);
	api_fail_value(c, field, text, constraint);
	return false;
}

static bool function_name(struct api_call *c, const char *field, const char *text, char ret[LIM_FUNCTION_NAME_MAX + 1])
{
	struct arn_function fn;
	struct err e = {};

	if (arn_parse_function(text, &fn, &e) < 0) {
		api_fail(c, API_VALIDATION, "1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: %s",
			 text, field, err_msg(&e));
		return false;
	}
	memcpy(ret, fn.name, sizeof(fn.name));
	return true;
}

bool api_arg_function(struct api_call *c, const char *name, char ret[LIM_FUNCTION_NAME_MAX + 1])
{
	const char *text = api_arg(c, name);
	struct arn_function fn;

	ret[0] = '\0';
	if (text && arn_parse_function(text, &fn, NULL) >= 0 && fn.qualifier[0]) {
		api_fail(c, API_VALIDATION, "1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: "
			 "Member must be a function's name, without a version or an alias", text, name);
		return false;
	}
	return !text || function_name(c, name, text, ret);
}

bool api_param_id(struct api_call *c, int i, char ret[ID_UUID_LEN + 1])
{
	if (!id_is_uuid(c->param[i])) {
		api_fail_value(c, "id", c->param[i], "Member must satisfy regular expression pattern: "
			       "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}");
		return false;
	}
	memcpy(ret, c->param[i], ID_UUID_LEN + 1);
	return true;
}

bool api_param_function(struct api_call *c, int i, char ret[LIM_FUNCTION_NAME_MAX + 1], struct func **ret_func)
{
	char arn[LIM_ARN_MAX + 1];

	if (!function_name(c, "name", c->param[i], ret))
		return false;
	if (!ret_func)
		return true;
	*ret_func = registry_get(intake_registry(c->a->ctx.engine), ret);
	if (*ret_func)
		return true;
	arn_format_function(arn, sizeof(arn), c->a->ctx.region, ret, NULL);
	api_fail(c, API_NOT_FOUND, "Function not found: %s", arn);
	return false;
}

const char *api_param_target(struct api_call *c, enum target_kind kind, struct target *t)
{
	struct err e = {};
	int r = target_parse(c->param[0], t, &e);

	/* A bare name is read as a queue's or function's, whose rules are narrower: it may be another kind's all the same. */
	if (r < 0 || t->kind == TARGET_NAME)
		return c->param[0];
	return t->kind == kind ? t->name : NULL;
}

/* ---- words, times ------------------------------------------------------------------------------------------ */

bool api_arg_bool(struct api_call *c, const char *name, bool *ret)
{
	const char *text = api_arg(c, name);

	*ret = text && strcmp(text, "true") == 0;
	if (!text || *ret || strcmp(text, "false") == 0)
		return true;
	api_fail_value(c, name, text, "Member must satisfy enum value set: [true, false]");
	return false;
}

static bool word_of(struct api_call *c, const char *name, const char *text, const char *(*name_of)(int), int max, int *ret)
{
	CLEAN(buf_done) struct buf b = {};

	buf_adds(&b, "Member must satisfy enum value set: [");
	for (int i = 0; i < max; i++) {
		if (!*name_of(i))
			continue;
		if (strcmp(text, name_of(i)) == 0) {
			*ret = i;
			return true;
		}
		buf_addf(&b, "%s%s", b.data[b.len - 1] == '[' ? "" : ", ", name_of(i));
	}
	buf_addc(&b, ']');
	api_fail_value(c, name, text, buf_str(&b));
	return false;
}

bool api_arg_word(struct api_call *c, const char *name, const char *(*name_of)(int), int max, int *ret)
{
	const char *text = api_arg(c, name);

	return !text || word_of(c, name, text, name_of, max, ret);
}

const char *api_word_condition(int i)
{
	return inv_condition_name((enum inv_condition)i);
}

const char *api_word_outcome(int i)
{
	return i == OUTCOME_INVALID ? "" : outcome_name((enum outcome_kind)i);
}

static const char *role_name(int i)
{
	return i < ROLE_ON_SUCCESS ? "" : outbox_role_name((enum outbox_role)i);
}

bool api_param_role(struct api_call *c, int i, enum outbox_role *ret)
{
	int role = 0;

	if (!word_of(c, "role", c->param[i], role_name, ROLE_DEAD_LETTER + 1, &role))
		return false;
	*ret = (enum outbox_role)role;
	return true;
}

/* Exactly n digits. */
static bool digits(const char **text, int n, int *ret)
{
	*ret = 0;
	for (; n; n--, (*text)++) {
		if (!isdigit((unsigned char)**text))
			return false;
		*ret = *ret * 10 + (**text - '0');
	}
	return true;
}

static bool follows(const char **text, char ch)
{
	if (**text != ch)
		return false;
	(*text)++;
	return true;
}

/* "Z", "+02:00"; in seconds east. */
static bool zone(const char **text, int *ret)
{
	int sign = **text == '-' ? -1 : 1, h, m;

	*ret = 0;
	if (follows(text, 'Z'))
		return true;
	if (!follows(text, '+') && !follows(text, '-'))
		return false;
	if (!digits(text, 2, &h) || !follows(text, ':') || !digits(text, 2, &m) || h > 23 || m > 59)
		return false;
	*ret = sign * (h * 3600 + m * 60);
	return true;
}

/* 2026-11-24, 2026-11-24T10:00Z, 2026-11-24T10:00:00.000+01:00. A day begins at midnight UTC. */
static bool iso_time(const char *p, int64_t *ret_ms)
{
	int y, mo, d, h = 0, mi = 0, s = 0, ms = 0, east = 0;
	struct tm tm = {};

	if (!digits(&p, 4, &y) || !follows(&p, '-') || !digits(&p, 2, &mo) || !follows(&p, '-') || !digits(&p, 2, &d))
		return false;
	if (*p) {
		if ((!follows(&p, 'T') && !follows(&p, ' ')) || !digits(&p, 2, &h) || !follows(&p, ':') || !digits(&p, 2, &mi))
			return false;
		if (follows(&p, ':') && !digits(&p, 2, &s))
			return false;
		if (follows(&p, '.') && !digits(&p, 3, &ms))
			return false;
		if (!zone(&p, &east) || *p)
			return false;
	}
	if (y < 1970 || mo < 1 || mo > 12 || d < 1 || h > 23 || mi > 59 || s > 59)
		return false;
	tm = (struct tm){ .tm_year = y - 1900, .tm_mon = mo - 1, .tm_mday = d, .tm_hour = h, .tm_min = mi, .tm_sec = s };
	*ret_ms = ((int64_t)timegm(&tm) - east) * 1000 + ms;
	return tm.tm_mday == d;		/* the 31st of a month that has it */
}

/* "90s", "15m", "2h", "3d", "1w": so long ago. */
static bool relative_time(const char *p, int64_t now_ms, int64_t *ret_ms)
{
	static const struct { char unit; int64_t ms; } units[] = {
		{ 's', 1000 }, { 'm', 60000 }, { 'h', 3600000 }, { 'd', 86400000 }, { 'w', 7 * 86400000LL },
	};
	size_t n = strspn(p, "0123456789");
	int64_t v = 0;

	if (!n || n > 7 || strlen(p) != n + 1)
		return false;
	for (size_t i = 0; i < n; i++)
		v = v * 10 + (p[i] - '0');
	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		if (units[i].unit == p[n]) {
			*ret_ms = MAX(now_ms - v * units[i].ms, 1);	/* 0 is "no bound" */
			return true;
		}
	return false;
}

bool api_arg_time(struct api_call *c, const char *name, int64_t *ret_ms)
{
	const char *text = api_arg(c, name);
	struct port_clock *clock = c->a->ctx.clock;

	*ret_ms = 0;
	if (!text || relative_time(text, clock->wall_ms(clock->self), ret_ms) || iso_time(text, ret_ms))
		return true;
	api_fail_value(c, name, text, "Member must be a time (2026-11-24T10:00:00Z) or how long ago (90s, 15m, 2h, 3d)");
	return false;
}

bool api_arg_overrides(struct api_call *c, struct api_overrides *ret)
{
	const char *qualifier = api_arg(c, "qualifier");
	int64_t timeout, memory;

	*ret = (struct api_overrides){};
	if (!api_arg_int(c, "timeout", LIM_TIMEOUT_S_MIN, LIM_TIMEOUT_S_MAX, 0, &timeout) ||
	    !api_arg_int(c, "memory", LIM_MEMORY_MB_MIN, LIM_MEMORY_MB_MAX, 0, &memory))
		return false;
	if (qualifier && (!api_qualifier_ok(qualifier) || strlen(qualifier) > LIM_QUALIFIER_MAX)) {
		api_fail_value(c, "qualifier", qualifier, "Member must be $LATEST, a version's number or an alias");
		return false;
	}
	ret->timeout_ms = (int)timeout * 1000;
	ret->memory_mb = (int)memory;
	if (qualifier) {
		ret->requalify = true;
		memcpy(ret->qualifier, qualifier, strlen(qualifier) + 1);
	}
	ret->any = timeout || memory || qualifier;
	return true;
}

/* ---- a body that says what a query could ------------------------------------------------------------------- */

static char *value_text(const cJSON *v)
{
	if (cJSON_IsString(v) && !def_tree_text_problem(v->valuestring))
		return xstrdup(v->valuestring);
	if (cJSON_IsBool(v))
		return xstrdup(cJSON_IsTrue(v) ? "true" : "false");
	if (cJSON_IsNumber(v) && fabs(v->valuedouble) < 1e15)
		return xasprintf("%.15g", v->valuedouble);
	return NULL;
}

static bool take_member(struct api_call *c, const cJSON *m)
{
	const char *known = def_tree_text_problem(m->string) ? NULL : api_known_arg(c->route, m->string);
	char *text;

	if (!known) {
		api_fail(c, API_INVALID_PARAMETER, "Unknown member '%.64s' for %s %s", m->string, c->route->method,
			 c->route->pattern);
		return false;
	}
	if (api_arg(c, known)) {
		api_fail(c, API_INVALID_PARAMETER, "'%s' is given twice", known);
		return false;
	}
	text = value_text(m);
	if (!text) {
		api_fail(c, API_INVALID_PARAMETER, "'%s' must be a string, a number, true or false, is %s", known,
			 def_tree_type(m));
		return false;
	}
	c->owned[c->n_owned++] = text;
	c->args[c->n_args++] = (struct api_arg){ known, text };
	return true;
}

bool api_body_args(struct api_call *c)
{
	CLEAN(cJSON_Deletep) cJSON *o = NULL;
	const cJSON *m;

	if (!api_body_object(c, &o))
		return false;
	cJSON_ArrayForEach(m, o)
		if (!take_member(c, m))
			return false;
	return true;
}

bool api_body_object(struct api_call *c, cJSON **ret)
{
	struct blob *body = http_req_body(c->q);
	struct err e = {};

	*ret = NULL;
	if (!body || !body->len)
		return true;
	if (def_tree_parse(body->data, body->len, ret, &e) < 0) {
		api_fail(c, API_SERIALIZATION, "Could not parse request body into json: %s", err_msg(&e));
		return false;
	}
	if (cJSON_IsObject(*ret))
		return true;
	api_fail(c, API_SERIALIZATION, "The request body must be a JSON object, is %s", def_tree_type(*ret));
	cJSON_Delete(*ret);
	*ret = NULL;
	return false;
}
