/* SPDX-License-Identifier: Apache-2.0 */
/* What Lambda's schema says of names, and its way to say all that is broken at once. */
#include <errno.h>
#include <regex.h>
#include <stdio.h>
#include <string.h>

#include "api/api_int.h"

#define NAME_MAX_LEN 256	/* NamespacedFunctionName */
#define PLAIN_MAX_LEN 140	/* FunctionName */

/* As in AWS's API model (NamespacedFunctionName, Qualifier); shown to clients, so in its spelling. */
#define NAME_PATTERN "(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\\d{1}:)?" \
	"(\\d{12}:)?(function:)?([a-zA-Z0-9-_\\.]+)(:(\\$LATEST(\\.PUBLISHED)?|[a-zA-Z0-9-_]+))?"
#define NAME_REGEX "^(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-[0-9]:)?" \
	"([0-9]{12}:)?(function:)?([a-zA-Z0-9_.-]+)(:([$]LATEST([.]PUBLISHED)?|[a-zA-Z0-9_-]+))?$"
#define NAME_GROUP 11
#define QUALIFIER_GROUP 13
#define PLAIN_PATTERN "(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\\d{1}:)?" \
	"(\\d{12}:)?(function:)?([a-zA-Z0-9-_]+)(:(\\$LATEST|[a-zA-Z0-9-_]+))?"

void api_schema_done(struct api_schema *s)
{
	buf_done(&s->b);
}

bool api_schema_ok(struct api_call *c, const struct api_schema *s)
{
	if (s->n)
		api_fail(c, API_VALIDATION, "%d validation error%s detected: %s", s->n, s->n > 1 ? "s" : "", buf_str(&s->b));
	return !s->n;
}

void api_broken(struct api_schema *s, const char *field, const char *value, const char *constraint)
{
	buf_addf(&s->b, "%sValue '%s' at '%s' failed to satisfy constraint: %s", s->n++ ? "; " : "", value, field, constraint);
}

bool api_qualifier_ok(const char *q)
{
	for (const char *p = q; *p; p++)
		if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_$", *p))
			return strcmp(q, "$LATEST.PUBLISHED") == 0;
	return *q != '\0';
}

/* Splits a name that AWS's pattern allows and arn_parse_function does not (dots, more than 64 characters). */
static bool split_by_pattern(const char *text, char *name, char *qualifier, size_t size)
{
	regmatch_t m[QUALIFIER_GROUP + 1];
	regex_t re;
	bool ok;

	if (regcomp(&re, NAME_REGEX, REG_EXTENDED) != 0)
		return false;
	ok = regexec(&re, text, ARRAY_SIZE(m), m, 0) == 0;
	regfree(&re);
	if (!ok)
		return false;
	for (int i = 0; i < 2; i++) {
		const regmatch_t *g = &m[i ? QUALIFIER_GROUP : NAME_GROUP];
		size_t len = g->rm_so < 0 ? 0 : (size_t)(g->rm_eo - g->rm_so);

		if (len >= size)
			return false;
		memcpy(i ? qualifier : name, text + (len ? g->rm_so : 0), len);
		(i ? qualifier : name)[len] = '\0';
	}
	return true;
}

void api_name_check(struct api_call *c, bool namespaced, struct api_name *w, struct api_schema *s)
{
	const char *text = c->param[0];
	struct err e = {};
	int r = arn_parse_function(text, &w->fn, &e);

	if (strlen(text) > (namespaced ? NAME_MAX_LEN : PLAIN_MAX_LEN))
		api_broken(s, "functionName", text, namespaced ? "Member must have length less than or equal to 256"
							       : "Member must have length less than or equal to 140");
	if (r == 0 || s->n)
		return;
	w->foreign = r == -EREMOTE;
	if (split_by_pattern(text, w->name, w->qualifier, sizeof(w->name)) && (namespaced || !strchr(w->name, '.')))
		w->no_such = !w->foreign;
	else
		api_broken(s, "functionName", text, namespaced ? "Member must satisfy regular expression pattern: " NAME_PATTERN
							       : "Member must satisfy regular expression pattern: " PLAIN_PATTERN);
}

bool api_name_ours(struct api_call *c, const struct api_name *w, const char *operation)
{
	if (!w->foreign)
		return true;
	api_fail(c, API_ACCESS_DENIED, "User: arn:aws:iam::000000000000:root is not authorized to perform: lambda:%s on "
		 "resource: %s because no resource-based policy allows the lambda:%s action", operation, c->param[0], operation);
	return false;
}
