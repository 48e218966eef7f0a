/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lambda's Invoke. The order of checks is AWS's: size, then everything the schema says (all that is broken at once), then
 * what the name means, then the event's JSON. Whether the function exists is the engine's to say.
 *
 * The body of a synchronous answer is the function's own bytes, the very blob the engine holds.
 */
#include <errno.h>
#include <regex.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "api/api_int.h"
#include "base/json.h"

#define NAME_MAX_LEN 256

/* As in AWS's API model (NamespacedFunctionName, Qualifier); shown to clients, so in its spelling. */
#define NAME_PATTERN "(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\\d{1}:)?" \
	"(\\d{12}:)?(function:)?([a-zA-Z0-9-_\\.]+)(:(\\$LATEST(\\.PUBLISHED)?|[a-zA-Z0-9-_]+))?"
#define NAME_REGEX "^(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-[0-9]:)?" \
	"([0-9]{12}:)?(function:)?([a-zA-Z0-9_.-]+)(:([$]LATEST([.]PUBLISHED)?|[a-zA-Z0-9_-]+))?$"
#define NAME_GROUP 11
#define QUALIFIER_GROUP 13
#define QUALIFIER_PATTERN "\\$(LATEST(\\.PUBLISHED)?)|[a-zA-Z0-9-_$]+"

static const struct { const char *text; enum intake_type type; } types[] = {
	{ "RequestResponse", INTAKE_SYNC }, { "Event", INTAKE_ASYNC }, { "DryRun", INTAKE_DRY_RUN },
};

/* ---- schema ------------------------------------------------------------------------------------------------ */

static void broken(struct buf *b, int *n, const char *field, const char *value, const char *constraint)
{
	buf_addf(b, "%sValue '%s' at '%s' failed to satisfy constraint: %s", (*n)++ ? "; " : "", value, field, constraint);
}

static bool qualifier_ok(const char *q)
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

struct wanted {
	struct arn_function fn;
	char name[API_PARAM_MAX], qualifier[API_PARAM_MAX];	/* of the name, when fn could not be filled */
	bool foreign;						/* another account */
	bool no_such;						/* well-formed, but no function of ours can be called so */
};

static void check_name(struct api_call *c, struct wanted *w, struct buf *b, int *n)
{
	const char *text = c->param[0];
	struct err e = {};
	int r = arn_parse_function(text, &w->fn, &e);

	if (r == 0)
		return;
	w->foreign = r == -EREMOTE;
	if (strlen(text) > NAME_MAX_LEN)
		broken(b, n, "functionName", text, "Member must have length less than or equal to 256");
	else if (split_by_pattern(text, w->name, w->qualifier, sizeof(w->name)))
		w->no_such = !w->foreign;
	else
		broken(b, n, "functionName", text, "Member must satisfy regular expression pattern: " NAME_PATTERN);
}

static void check_schema(struct api_call *c, struct wanted *w, struct buf *b, int *n)
{
	const char *type = http_req_header(c->q, "X-Amz-Invocation-Type"), *log = http_req_header(c->q, "X-Amz-Log-Type");
	const char *qualifier = api_arg(c, "Qualifier");
	size_t i = 0;

	check_name(c, w, b, n);
	if (qualifier && strlen(qualifier) > LIM_QUALIFIER_MAX)
		broken(b, n, "qualifier", qualifier, "Member must have length less than or equal to 128");
	if (qualifier && !qualifier_ok(qualifier))
		broken(b, n, "qualifier", qualifier, "Member must satisfy regular expression pattern: " QUALIFIER_PATTERN);
	while (type && i < ARRAY_SIZE(types) && strcmp(type, types[i].text) != 0)
		i++;
	if (i == ARRAY_SIZE(types))
		broken(b, n, "invocationType", type, "Member must satisfy enum value set: [Event, RequestResponse, DryRun]");
	else
		c->type = types[i].type;
	if (log && strcmp(log, "None") != 0 && strcmp(log, "Tail") != 0)
		broken(b, n, "logType", log, "Member must satisfy enum value set: [None, Tail]");
}

/* ---- what the name means ----------------------------------------------------------------------------------- */

static bool check_target(struct api_call *c, struct wanted *w)
{
	const char *given = api_arg(c, "Qualifier"), *name = w->no_such ? w->name : w->fn.name;
	char arn[API_PARAM_MAX + LIM_QUALIFIER_MAX + 128], *own = w->no_such ? w->qualifier : w->fn.qualifier;

	if (w->foreign) {
		api_fail(c, API_ACCESS_DENIED,
			 "User: arn:aws:iam::000000000000:root is not authorized to perform: lambda:InvokeFunction on "
			 "resource: %s because no resource-based policy allows the lambda:InvokeFunction action", c->param[0]);
		return false;
	}
	if (given && *own && strcmp(given, own) != 0) {
		api_fail(c, API_INVALID_PARAMETER,
			 "The derived qualifier from the function name does not match the specified qualifier.");
		return false;
	}
	if (given)
		own = (char *)given;
	if (w->no_such || (*own && strcmp(own, "$LATEST") != 0)) {
		arn_format_function(arn, sizeof(arn), c->a->ctx.region, name, *own ? own : "$LATEST");
		api_fail(c, API_NOT_FOUND, "Function not found: %s", arn);
		return false;
	}
	if (given)
		memcpy(w->fn.qualifier, given, strlen(given) + 1);	/* "$LATEST": fits */
	return true;
}

/* ---- the event --------------------------------------------------------------------------------------------- */

static bool check_event(struct api_call *c, const struct blob *event)
{
	size_t at, line = 1, column = 1;
	char what[128];

	if (json_valid(event->data, event->len, &at))
		return true;
	for (size_t i = 0; i < at; i++) {
		column++;
		if (event->data[i] == '\n') {
			line++;
			column = 1;
		}
	}
	if (at >= event->len)
		snprintf(what, sizeof(what), "Unexpected end-of-input");
	else if ((unsigned char)event->data[at] >= 0x80)
		snprintf(what, sizeof(what), "Invalid UTF-8 start byte 0x%02x", (unsigned char)event->data[at]);
	else if ((unsigned char)event->data[at] < 0x20)
		snprintf(what, sizeof(what), "Unexpected character ((CTRL-CHAR, code %d))", event->data[at]);
	else
		snprintf(what, sizeof(what), "Unexpected character ('%c' (code %d))", event->data[at], event->data[at]);
	api_fail(c, API_INVALID_CONTENT, "Could not parse request body into json: Could not parse payload into json: %s\n"
		 " at [Source: REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled); line: %zu, column: %zu]",
		 what, line, column);
	return false;
}

/* Asked also for bodies beyond the route's limit, before the headers have been checked. */
void api_invoke_too_large(struct api_call *c, uint64_t size)
{
	const char *type = http_req_header(c->q, "X-Amz-Invocation-Type");

	if (type && strcmp(type, "Event") == 0)
		api_fail(c, API_TOO_LARGE, "%llu byte payload is too large for the Event invocation type (limit %u bytes)",
			 (unsigned long long)size, LIM_ASYNC_PAYLOAD);
	else
		api_fail(c, API_TOO_LARGE, "Request must be smaller than %u bytes for the InvokeFunction operation",
			 LIM_SYNC_PAYLOAD);
}

/* ---- the answer -------------------------------------------------------------------------------------------- */

static void on_reply(void *arg, const struct intake_reply *r)
{
	struct api_call *c = arg;
	struct http_header extra[3];
	size_t n = 0;

	if (!api_arrived(c))
		return;
	if (r->status >= 400) {
		api_fail_reply(c, r);
		return;
	}
	if (r->outcome) {
		extra[n++] = (struct http_header){ "X-Amz-Executed-Version", "$LATEST" };
		extra[n++] = (struct http_header){ "X-Fate-Outcome", outcome_name(r->outcome->kind) };
		if (r->outcome->kind != OUTCOME_SUCCESS)
			extra[n++] = (struct http_header){ "X-Amz-Function-Error", "Unhandled" };
	}
	api_answer_blob(c, r->status, r->outcome ? r->outcome->payload : NULL, extra, n);
}

void api_invoke(struct api_call *c)
{
	struct blob *event = http_req_body(c->q);
	CLEAN(buf_done) struct buf b = {};
	struct wanted w = {};
	int n = 0;

	check_schema(c, &w, &b, &n);
	if (event && c->type == INTAKE_ASYNC && event->len > LIM_ASYNC_PAYLOAD)
		api_invoke_too_large(c, event->len);
	else if (n)
		api_fail(c, API_VALIDATION, "%d validation error%s detected: %s", n, n > 1 ? "s" : "", buf_str(&b));
	else if (check_target(c, &w) && (!event || check_event(c, event))) {
		c->owed = true;
		c->intake_handle = intake_invoke(c->a->ctx.engine, c->type, &w.fn, event ? event : c->a->empty_event, on_reply, c,
						 c->request_id);
	}
}
