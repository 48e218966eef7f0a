/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lambda's Invoke. The order of checks is AWS's: size, then everything the schema says (all that is broken at once), then
 * what the name means, then the event's JSON. Whether the function exists, and which version a qualifier is, is the engine's
 * to say.
 *
 * The body of a synchronous answer is the function's own bytes, the very blob the engine holds.
 */
#include <stdio.h>
#include <string.h>

#include "api/api_int.h"
#include "base/json.h"

static const struct { const char *text; enum intake_type type; } types[] = {
	{ "RequestResponse", INTAKE_SYNC }, { "Event", INTAKE_ASYNC }, { "DryRun", INTAKE_DRY_RUN },
};

/* ---- schema ------------------------------------------------------------------------------------------------ */

static void check_schema(struct api_call *c, struct api_name *w, struct api_schema *s)
{
	const char *type = http_req_header(c->q, "X-Amz-Invocation-Type"), *log = http_req_header(c->q, "X-Amz-Log-Type");
	const char *qualifier = api_arg(c, "Qualifier");
	size_t i = 0;

	api_name_check(c, true, w, s);
	if (qualifier && strlen(qualifier) > LIM_QUALIFIER_MAX)
		api_broken(s, "qualifier", qualifier, "Member must have length less than or equal to 128");
	if (qualifier && !api_qualifier_ok(qualifier))
		api_broken(s, "qualifier", qualifier, "Member must satisfy regular expression pattern: " API_QUALIFIER_PATTERN);
	while (type && i < ARRAY_SIZE(types) && strcmp(type, types[i].text) != 0)
		i++;
	if (i == ARRAY_SIZE(types))
		api_broken(s, "invocationType", type, "Member must satisfy enum value set: [Event, RequestResponse, DryRun]");
	else
		c->type = types[i].type;
	if (log && strcmp(log, "None") != 0 && strcmp(log, "Tail") != 0)
		api_broken(s, "logType", log, "Member must satisfy enum value set: [None, Tail]");
}

/* ---- what the name means ----------------------------------------------------------------------------------- */

static bool check_target(struct api_call *c, struct api_name *w)
{
	const char *given = api_arg(c, "Qualifier");
	char arn[API_PARAM_MAX + LIM_QUALIFIER_MAX + 128], *own = w->no_such ? w->qualifier : w->fn.qualifier;

	if (!api_name_ours(c, w, "InvokeFunction"))
		return false;
	if (given && *own && strcmp(given, own) != 0) {
		api_fail(c, API_INVALID_PARAMETER,
			 "The derived qualifier from the function name does not match the specified qualifier.");
		return false;
	}
	if (w->no_such) {
		arn_format_function(arn, sizeof(arn), c->a->ctx.region, w->name, given ? given : *own ? own : "$LATEST");
		api_fail(c, API_NOT_FOUND, "Function not found: %s", arn);
		return false;
	}
	if (given)
		memcpy(w->fn.qualifier, given, strlen(given) + 1);	/* at most LIM_QUALIFIER_MAX, as the schema says */
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
	char version[VERSION_LEN + 1];
	struct http_header extra[3];
	size_t n = 0;

	if (!api_arrived(c))
		return;
	if (r->status >= 400) {
		api_fail_reply(c, r);
		return;
	}
	if (r->outcome) {
		extra[n++] = (struct http_header){ "X-Amz-Executed-Version", version_format(r->version, version) };
		extra[n++] = (struct http_header){ "X-Fate-Outcome", outcome_name(r->outcome->kind) };
		if (r->outcome->kind != OUTCOME_SUCCESS)
			extra[n++] = (struct http_header){ "X-Amz-Function-Error", "Unhandled" };
	}
	api_answer_blob(c, r->status, r->outcome ? r->outcome->payload : NULL, extra, n);
}

void api_invoke(struct api_call *c)
{
	struct blob *event = http_req_body(c->q);
	CLEAN(api_schema_done) struct api_schema s = {};
	struct api_name w = {};

	check_schema(c, &w, &s);
	if (event && c->type == INTAKE_ASYNC && event->len > LIM_ASYNC_PAYLOAD)
		api_invoke_too_large(c, event->len);
	else if (api_schema_ok(c, &s) && check_target(c, &w) && (!event || check_event(c, event))) {
		c->owed = true;
		c->intake_handle = intake_invoke(c->a->ctx.engine, c->type, &w.fn, event ? event : c->a->empty_event, on_reply, c,
						 c->request_id);
	}
}
