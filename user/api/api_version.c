/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Versions and aliases, on Lambda's own paths and in its words (recorded answers are in the specification's vectors). What
 * there is can be read from the registry at once; what changes goes through the engine, which makes it durable first.
 *
 * An answer has what we know of a function: there is no code, so CodeSha256, CodeSize, Runtime and Handler are absent. A
 * version's RevisionId is made of its definition, so it stays the same over restarts.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "api/api_int.h"
#include "base/json.h"
#include "model/def_tree.h"

#define PER_PAGE 50			/* Lambda's, whatever MaxItems says */
#define ITEMS_MAX 10000
#define DESCRIPTION_MAX 256
#define ARN_SIZE (LIM_ARN_MAX + LIM_QUALIFIER_MAX + 1)
#define VERSION_PATTERN "(\\$LATEST|[0-9]+)"
#define ALIAS_PATTERN "(?!^[0-9]+$)([a-zA-Z0-9-_]+)"
#define ALIAS_VERSION_PATTERN "(\\$LATEST(\\.PUBLISHED)?|[0-9]+)"
#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
#define STALE "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve " \
	"the latest Revision Id"
#define IN_PROGRESS "The operation cannot be performed at this time. An update is in progress for resource"

/* ---- what all begin with ----------------------------------------------------------------------------------- */

static void not_found(struct api_call *c, const char *what, const char *name, const char *qualifier)
{
	char arn[ARN_SIZE];

	arn_format_function(arn, sizeof(arn), c->a->ctx.region, name, qualifier);
	api_fail(c, API_NOT_FOUND, "%s: %s", what, arn);
}

/* The name, whatever is wrong with the rest of the request, and the function behind it. qualifier: shown in a refusal. */
static struct func *function_of(struct api_call *c, struct api_name *w, const struct api_schema *s, const char *operation,
				const char *qualifier)
{
	struct func *f = NULL;

	if (!api_schema_ok(c, s) || !api_name_ours(c, w, operation))
		return NULL;
	if (w->fn.qualifier[0] || w->qualifier[0]) {
		api_fail(c, API_INVALID_PARAMETER, "FunctionName: %s takes a function without a qualifier", operation);
		return NULL;
	}
	if (!w->no_such)
		f = registry_get(intake_registry(c->a->ctx.engine), w->fn.name);
	if (!f)
		not_found(c, "Function not found", w->no_such ? w->name : w->fn.name, qualifier);
	return f;
}

/* A string member of a body that is an object; NULL when it is absent. False: the call has been answered. */
static bool member(struct api_call *c, const cJSON *o, const char *name, const char **ret)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, name);

	*ret = NULL;
	if (!v || cJSON_IsNull(v))
		return true;
	if (!cJSON_IsString(v)) {
		api_fail(c, API_SERIALIZATION, "%s must be a string, is %s", name, def_tree_type(v));
		return false;
	}
	if (def_tree_text_problem(v->valuestring)) {
		api_fail(c, API_SERIALIZATION, "%s %s", name, def_tree_text_problem(v->valuestring));
		return false;
	}
	*ret = v->valuestring;
	return true;
}

static void check_description(struct api_schema *s, const char *text)
{
	if (text && strlen(text) > DESCRIPTION_MAX)
		api_broken(s, "description", text, "Member must have length less than or equal to 256");
}

static bool all_digits(const char *s)
{
	return *s && strspn(s, "0123456789") == strlen(s);
}

static bool alias_name_ok(const char *s)
{
	return *s && strlen(s) <= LIM_QUALIFIER_MAX && strspn(s, LETTERS) == strlen(s) && !all_digits(s);
}

static void check_alias_name(struct api_schema *s, const char *name)
{
	if (strlen(name) > LIM_QUALIFIER_MAX)
		api_broken(s, "name", name, "Member must have length less than or equal to 128");
	else if (!alias_name_ok(name))
		api_broken(s, "name", name, "Member must satisfy regular expression pattern: " ALIAS_PATTERN);
}

/* ---- configurations ---------------------------------------------------------------------------------------- */

static uint64_t hash_more(uint64_t h, const void *data, size_t len)	/* FNV-1a */
{
	for (const unsigned char *p = data; len; len--)
		h = (h ^ *p++) * 1099511628211u;
	return h;
}

static uint64_t mix(uint64_t h)	/* splitmix64's: near definitions give far ids */
{
	h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9u;
	h = (h ^ (h >> 27)) * 0x94d049bb133111ebu;
	return h ^ (h >> 31);
}

static void revision_of(const struct func *f, char out[ID_UUID_LEN + 1])
{
	uint64_t h[2] = { 14695981039346656037u, 0x9e3779b97f4a7c15u };

	for (int i = 0; i < 2; i++) {
		h[i] = hash_more(h[i], f->name, strlen(f->name) + 1);
		h[i] = hash_more(h[i], &f->version, sizeof(f->version));
		if (f->source)
			h[i] = hash_more(h[i], f->source->data, f->source->len);
		h[i] = mix(h[i]);
	}
	id_uuid(h, out);
}

/* "2026-09-28T09:38:18.924+0000" */
static void lambda_time(struct buf *b, const char *name, int64_t wall_ms)
{
	time_t s = (time_t)(wall_ms / 1000);
	char text[32];
	struct tm tm;

	if (wall_ms <= 0 || !gmtime_r(&s, &tm) || !strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm))
		return;
	api_json_key(b, name);
	buf_addf(b, "\"%s.%03d+0000\"", text, (int)(wall_ms % 1000));
}

/* listed: an entry of a list, which has no state. */
static void configuration_json(struct api_call *c, struct buf *b, const struct func *f, bool listed)
{
	char arn[ARN_SIZE], version[VERSION_LEN + 1], revision[ID_UUID_LEN + 1];

	version_format(f->version, version);
	arn_format_function(arn, sizeof(arn), c->a->ctx.region, f->name, version);
	revision_of(f, revision);
	api_json_next(b);
	buf_addc(b, '{');
	api_json_str(b, "FunctionName", f->name);
	api_json_str(b, "FunctionArn", arn);
	api_json_str(b, "Description", f->published_as ? f->published_as : f->description);
	api_json_seconds(b, "Timeout", f->timeout_ms);
	api_json_int(b, "MemorySize", f->memory_mb);
	lambda_time(b, "LastModified", f->published_at_ms);
	api_json_str(b, "Version", version);
	if (f->dead_letter.kind != TARGET_NONE) {
		api_json_key(b, "DeadLetterConfig");
		buf_addc(b, '{');
		api_json_str(b, "TargetArn", f->dead_letter.text);
		buf_addc(b, '}');
	}
	api_environment_json(b, f);
	api_json_str(b, "RevisionId", revision);
	if (!listed) {
		api_json_str(b, "State", "Active");
		api_json_str(b, "LastUpdateStatus", "Successful");
	}
	buf_addc(b, '}');
}

static void on_published(void *arg, const struct intake_reply *r)
{
	struct api_call *c = arg;
	CLEAN(buf_done) struct buf b = {};
	struct arn_function fn = {};
	char arn[ARN_SIZE];
	struct func *f;

	if (!api_arrived(c))
		return;
	if (r->status >= 400) {
		api_fail_reply(c, r);
		return;
	}
	(void)arn_parse_function(c->param[0], &fn, NULL);	/* it was good before */
	f = registry_version(intake_registry(c->a->ctx.engine), fn.name, r->version);
	if (!f && registry_get(intake_registry(c->a->ctx.engine), fn.name)) {
		/* Somebody else publishes the same, and it is not durable yet. */
		arn_format_function(arn, sizeof(arn), c->a->ctx.region, fn.name, NULL);
		api_fail(c, API_CONFLICT, IN_PROGRESS ": %s", arn);
		return;
	}
	if (!f) {
		not_found(c, "Function not found", fn.name, NULL);	/* a reload took it away meanwhile */
		return;
	}
	configuration_json(c, &b, f, false);
	api_answer_json(c, r->status, &b);
}

void api_publish(struct api_call *c)
{
	CLEAN(api_schema_done) struct api_schema s = {};
	CLEAN(cJSON_Deletep) cJSON *o = NULL;
	const char *description, *revision, *sha;
	char latest[ID_UUID_LEN + 1];
	struct api_name w = {};
	struct func *f;

	if (!api_body_object(c, &o) || !member(c, o, "Description", &description) || !member(c, o, "RevisionId", &revision) ||
	    !member(c, o, "CodeSha256", &sha))
		return;
	api_name_check(c, false, &w, &s);
	check_description(&s, description);
	f = function_of(c, &w, &s, "PublishVersion", NULL);
	if (!f)
		return;
	revision_of(f, latest);
	if (sha) {
		api_fail(c, API_INVALID_PARAMETER, "CodeSha256: a function here has no code of its own that could be hashed; say "
			 "RevisionId");
	} else if (revision && strcmp(revision, latest) != 0) {
		api_fail(c, API_PRECONDITION, "%s", STALE);
	} else {
		c->owed = true;
		c->intake_handle = intake_publish(c->a->ctx.engine, f->name, description, on_published, c);
	}
}

/* ---- lists ------------------------------------------------------------------------------------------------- */

static void page_end(struct buf *b, const char *next)
{
	buf_addc(b, ']');
	api_json_opt(b, "NextMarker", next);
	buf_addc(b, '}');
}

static bool bad_marker(struct api_call *c, const char *marker)
{
	api_fail(c, API_INVALID_PARAMETER, "Marker '%.64s' is not the NextMarker of an earlier answer", marker);
	return false;
}

/* $LATEST first, then upwards. The marker is the last version that was shown. */
void api_versions(struct api_call *c)
{
	const char *marker = api_arg(c, "Marker");
	CLEAN(api_schema_done) struct api_schema s = {};
	char last[VERSION_LEN + 1] = "";
	CLEAN(buf_done) struct buf b = {};
	struct func *const *list, *f;
	struct api_name w = {};
	int64_t max, shown = 0;
	int after = -1;
	size_t n;

	api_name_check(c, true, &w, &s);
	if (!api_arg_int(c, "MaxItems", 1, ITEMS_MAX, PER_PAGE, &max))
		return;
	f = function_of(c, &w, &s, "ListVersionsByFunction", NULL);
	if (!f || (marker && version_parse(marker, &after) < 0 && !bad_marker(c, marker)))
		return;
	max = MIN(max, PER_PAGE);
	n = registry_versions(intake_registry(c->a->ctx.engine), f->name, &list);
	buf_adds(&b, "{\"Versions\":[");
	if (after < 0) {
		configuration_json(c, &b, f, true);
		version_format(0, last);
		shown++;
	}
	for (size_t i = 0; i < n; i++) {
		if (list[i]->version <= after)
			continue;
		if (shown++ == max) {
			page_end(&b, last);
			api_answer_json(c, 200, &b);
			return;
		}
		configuration_json(c, &b, list[i], true);
		version_format(list[i]->version, last);
	}
	page_end(&b, NULL);
	api_answer_json(c, 200, &b);
}

static void weight_json(struct buf *b, const struct alias *a)
{
	char number[32];

	if (!a->other)
		return;
	snprintf(number, sizeof(number), "%.15g", a->other_weight);
	api_json_key(b, "RoutingConfig");
	buf_addf(b, "{\"AdditionalVersionWeights\":{\"%d\":%s%s}}", a->other, number, strpbrk(number, ".e") ? "" : ".0");
}

static void alias_json(struct api_call *c, struct buf *b, const struct alias *a)
{
	char arn[ARN_SIZE], version[VERSION_LEN + 1];

	arn_format_function(arn, sizeof(arn), c->a->ctx.region, a->function, a->name);
	api_json_next(b);
	buf_addc(b, '{');
	api_json_str(b, "AliasArn", arn);
	api_json_str(b, "Name", a->name);
	api_json_str(b, "FunctionVersion", version_format(a->version, version));
	api_json_str(b, "Description", a->description);
	weight_json(b, a);
	api_json_str(b, "RevisionId", a->revision);
	buf_addc(b, '}');
}

static void aliases_json(struct api_call *c, struct buf *b, struct alias *const *list, size_t n, int version, int64_t max)
{
	const char *marker = api_arg(c, "Marker"), *last = NULL;
	int64_t shown = 0;

	buf_adds(b, "{\"Aliases\":[");
	for (size_t i = 0; i < n; i++) {
		if ((marker && strcmp(list[i]->name, marker) <= 0) ||
		    (version >= 0 && list[i]->version != version && (!list[i]->other || list[i]->other != version)))
			continue;
		if (shown++ == max) {
			page_end(b, last);
			return;
		}
		alias_json(c, b, list[i]);
		last = list[i]->name;
	}
	page_end(b, NULL);
}

/* In the order of their names; the marker is the last name that was shown. */
void api_aliases(struct api_call *c)
{
	const char *marker = api_arg(c, "Marker"), *version = api_arg(c, "FunctionVersion");
	CLEAN(api_schema_done) struct api_schema s = {};
	CLEAN(buf_done) struct buf b = {};
	CLEAN(freep) struct alias **list = NULL;
	struct api_name w = {};
	int number = -1;
	struct func *f;
	int64_t max;
	size_t n;

	api_name_check(c, false, &w, &s);
	if (version && !all_digits(version) && strcmp(version, "$LATEST") != 0)
		api_broken(&s, "functionVersion", version, "Member must satisfy regular expression pattern: " VERSION_PATTERN);
	if (!api_arg_int(c, "MaxItems", 1, ITEMS_MAX, ITEMS_MAX, &max))
		return;
	f = function_of(c, &w, &s, "ListAliases", NULL);
	if (!f || (marker && !alias_name_ok(marker) && !bad_marker(c, marker)))
		return;
	if (version && version_parse(version, &number) < 0)
		number = LIM_VERSION_MAX;	/* well-formed, and no version of ours */
	n = registry_aliases(intake_registry(c->a->ctx.engine), f->name, &list);
	aliases_json(c, &b, list, n, number, max);
	api_answer_json(c, 200, &b);
}

/* ---- one alias --------------------------------------------------------------------------------------------- */

/* Function and alias of the path; *ret_alias NULL when there is no such alias. NULL: the call has been answered. */
static struct func *path_alias(struct api_call *c, const char *operation, struct alias **ret_alias)
{
	CLEAN(api_schema_done) struct api_schema s = {};
	struct api_name w = {};
	struct func *f;

	api_name_check(c, false, &w, &s);
	check_alias_name(&s, c->param[1]);
	f = function_of(c, &w, &s, operation, NULL);
	if (f)
		*ret_alias = registry_alias(intake_registry(c->a->ctx.engine), f->name, c->param[1]);
	return f;
}

void api_alias_get(struct api_call *c)
{
	CLEAN(buf_done) struct buf b = {};
	struct alias *a;
	struct func *f = path_alias(c, "GetAlias", &a);

	if (f && !a)
		not_found(c, "Cannot find alias arn", f->name, c->param[1]);
	if (!f || !a)
		return;
	alias_json(c, &b, a);
	api_answer_json(c, 200, &b);
}

static void on_deleted(void *arg, const struct intake_reply *r)
{
	struct api_call *c = arg;

	if (!api_arrived(c))
		return;
	if (r->status >= 400)
		api_fail_reply(c, r);
	else
		api_answer_blob(c, 204, NULL, NULL, 0);
}

void api_alias_delete(struct api_call *c)
{
	struct alias *a;
	struct func *f = path_alias(c, "DeleteAlias", &a);

	if (!f)
		return;
	c->owed = true;
	c->intake_handle = intake_alias_delete(c->a->ctx.engine, f->name, c->param[1], on_deleted, c);
}

/* ---- making and changing one ------------------------------------------------------------------------------- */

/* {2=2.0}, as Java prints a map. */
static void weights_text(struct buf *b, const cJSON *weights)
{
	const cJSON *w;
	char number[32];

	buf_addc(b, '{');
	cJSON_ArrayForEach(w, weights) {
		snprintf(number, sizeof(number), "%.15g", w->valuedouble);
		buf_addf(b, "%s%s=%s%s", w == weights->child ? "" : ", ", w->string, cJSON_IsNumber(w) ? number : "null",
			 cJSON_IsNumber(w) && !strpbrk(number, ".e") ? ".0" : "");
	}
	buf_addc(b, '}');
}

static void check_weights(struct api_schema *s, const cJSON *weights)
{
	bool keys = true, values = true;
	CLEAN(buf_done) struct buf b = {};
	const cJSON *w;

	cJSON_ArrayForEach(w, weights) {
		keys &= all_digits(w->string) && strlen(w->string) <= 1024;
		values &= cJSON_IsNumber(w) && w->valuedouble >= 0 && w->valuedouble <= 1;
	}
	weights_text(&b, weights);
	if (!keys)
		api_broken(s, "routingConfig.additionalVersionWeights", buf_str(&b),
			   "Map keys must satisfy constraint: [Member must "
			   "have length less than or equal to 1024, Member must have length greater than or equal to 1, "
			   "Member must "
			   "satisfy regular expression pattern: [0-9]+, Member must not be null]");
	if (!values)
		api_broken(s, "routingConfig.additionalVersionWeights", buf_str(&b),
			   "Map value must satisfy constraint: [Member must "
			   "have value less than or equal to 1.0, Member must have value greater than or equal to 0.0, Member must "
			   "not be null]");
}

/* *ret_routing: given, if only as {}. False: the call has been answered. */
static bool weights_of(struct api_call *c, const cJSON *o, bool *ret_routing, const cJSON **ret_weights)
{
	const cJSON *routing = cJSON_GetObjectItemCaseSensitive(o, "RoutingConfig"), *w;

	*ret_routing = routing && !cJSON_IsNull(routing);
	*ret_weights = NULL;
	if (!*ret_routing)
		return true;
	w = cJSON_GetObjectItemCaseSensitive(routing, "AdditionalVersionWeights");
	if (!cJSON_IsObject(routing) || (w && !cJSON_IsNull(w) && !cJSON_IsObject(w))) {
		api_fail(c, API_SERIALIZATION, "RoutingConfig%s must be an object",
			 cJSON_IsObject(routing) ? ".AdditionalVersionWeights" : "");
		return false;
	}
	for (const cJSON *m = w ? w->child : NULL; m; m = m->next)
		if (def_tree_text_problem(m->string)) {
			api_fail(c, API_SERIALIZATION, "RoutingConfig.AdditionalVersionWeights: a key %s",
				 def_tree_text_problem(m->string));
			return false;
		}
	*ret_weights = cJSON_IsObject(w) ? w : NULL;
	return true;
}

/* A version that is there, as it was written. False: the call has been answered. */
static bool version_of(struct api_call *c, const struct func *f, const char *text, int *ret)
{
	if (version_parse(text, ret) == 0 && registry_version(intake_registry(c->a->ctx.engine), f->name, *ret))
		return true;
	not_found(c, "Function not found", f->name, text);
	return false;
}

/* What the weights mean: the first thing that is wrong, as Lambda says it. */
static bool take_weights(struct api_call *c, const struct func *f, struct alias *a, const cJSON *weights)
{
	const cJSON *w = weights ? weights->child : NULL;

	a->other = 0;
	a->other_weight = 0;
	if (!w)
		return true;
	if (w->next) {
		api_fail(c, API_INVALID_PARAMETER, "Number of items in AdditionalVersionWeights cannot be greater than 1");
		return false;
	}
	if (!version_of(c, f, w->string, &a->other))
		return false;
	a->other_weight = w->valuedouble;
	return true;
}

static bool versions_differ(struct api_call *c, const struct alias *a)
{
	if (!a->other)
		return true;
	if (!a->version)
		api_fail(c, API_VALIDATION, "$LATEST is not supported for an alias pointing to more than 1 version");
	else if (a->other == a->version)
		api_fail(c, API_INVALID_PARAMETER, "Invalid function version %d. Function version %d is already included in "
			 "routing configuration.", a->version, a->version);
	return a->version && a->other != a->version;
}

static void on_alias(void *arg, const struct intake_reply *r)
{
	struct api_call *c = arg;
	CLEAN(buf_done) struct buf b = {};
	char *name = c->owned[0];
	struct arn_function fn = {};
	struct alias *a;

	if (!api_arrived(c))
		return;
	(void)arn_parse_function(c->param[0], &fn, NULL);	/* it was good before */
	a = registry_alias(intake_registry(c->a->ctx.engine), fn.name, name);
	if (r->status == 409) {
		bool update = strcmp(c->route->method, "PUT") == 0;	/* another one was faster, and this one has not seen it */
		char arn[ARN_SIZE];

		arn_format_function(arn, sizeof(arn), c->a->ctx.region, fn.name, name);
		api_fail(c, API_CONFLICT, "%s: %s", update ? IN_PROGRESS : "Alias already exists", arn);
	} else if (r->status >= 400) {
		api_fail_reply(c, r);
	} else if (!a) {
		not_found(c, "Alias not found", fn.name, name);	/* somebody deleted it in the same turn */
	} else {
		alias_json(c, &b, a);
		api_answer_json(c, r->status, &b);
	}
}

static void to_engine(struct api_call *c, const struct alias *a, bool must_exist)
{
	c->owned[c->n_owned++] = xstrdup(a->name);
	c->owed = true;
	c->intake_handle = intake_alias_set(c->a->ctx.engine, a, must_exist, on_alias, c);
}

/* The members that both requests have, checked and read. */
struct wish { const char *version, *description, *revision; bool routing; const cJSON *weights; };

static bool take_wish(struct api_call *c, const cJSON *o, struct wish *w, struct api_schema *s)
{
	int ignored;

	if (!member(c, o, "FunctionVersion", &w->version) || !member(c, o, "Description", &w->description) ||
	    !member(c, o, "RevisionId", &w->revision) || !weights_of(c, o, &w->routing, &w->weights))
		return false;
	if (w->version && !all_digits(w->version) && strcmp(w->version, "$LATEST") != 0)
		api_broken(s, "functionVersion", w->version, "Member must satisfy regular expression pattern: "
			ALIAS_VERSION_PATTERN);
	else if (w->version && strlen(w->version) > LIM_QUALIFIER_MAX && version_parse(w->version, &ignored) < 0)
		api_broken(s, "functionVersion", w->version, "Member must have length less than or equal to 128");
	check_description(s, w->description);
	if (w->weights)
		check_weights(s, w->weights);
	return true;
}

static bool apply_wish(struct api_call *c, const struct func *f, const struct wish *w, struct alias *a)
{
	if (w->version && !version_of(c, f, w->version, &a->version))
		return false;
	if (w->description) {
		free(a->description);
		a->description = xstrdup(w->description);
	}
	return (!w->routing || take_weights(c, f, a, w->weights)) && versions_differ(c, a);
}

void api_alias_create(struct api_call *c)
{
	CLEAN(api_schema_done) struct api_schema s = {};
	CLEAN(alias_unrefp) struct alias *a = alias_new();
	CLEAN(cJSON_Deletep) cJSON *o = NULL;
	struct api_name n = {};
	struct wish w = {};
	const char *name;
	struct func *f;

	if (!api_body_object(c, &o) || !member(c, o, "Name", &name))
		return;
	api_name_check(c, false, &n, &s);
	if (!take_wish(c, o, &w, &s))
		return;
	if (!w.version)
		buf_addf(&s.b, "%sValue null at 'functionVersion' failed to satisfy constraint: Member must not be null",
			 s.n++ ? "; " : "");
	if (name)
		check_alias_name(&s, name);
	else
		buf_addf(&s.b, "%sValue null at 'name' failed to satisfy constraint: Member must not be null", s.n++ ? "; " : "");
	f = function_of(c, &n, &s, "CreateAlias", w.version);
	if (!f || !apply_wish(c, f, &w, a))
		return;
	memcpy(a->function, f->name, sizeof(a->function));
	memcpy(a->name, name, strlen(name) + 1);
	to_engine(c, a, false);
}

/* A copy to change. */
static struct alias *alias_copy(const struct alias *a)
{
	struct alias *copy = alias_new();
	char *description = copy->description;

	*copy = *a;
	copy->refs = 1;
	free(description);
	copy->description = xstrdup(a->description);
	return copy;
}

void api_alias_update(struct api_call *c)
{
	CLEAN(api_schema_done) struct api_schema s = {};
	CLEAN(alias_unrefp) struct alias *a = NULL;
	CLEAN(cJSON_Deletep) cJSON *o = NULL;
	struct alias *was = NULL;
	struct api_name n = {};
	struct wish w = {};
	struct func *f;

	if (!api_body_object(c, &o))
		return;
	api_name_check(c, false, &n, &s);
	check_alias_name(&s, c->param[1]);
	if (!take_wish(c, o, &w, &s))
		return;
	f = function_of(c, &n, &s, "UpdateAlias", NULL);
	if (!f)
		return;
	was = registry_alias(intake_registry(c->a->ctx.engine), f->name, c->param[1]);
	if (!was) {
		not_found(c, "Alias not found", f->name, c->param[1]);
		return;
	}
	if (w.revision && strcmp(w.revision, was->revision) != 0) {
		api_fail(c, API_PRECONDITION, "%s", STALE);
		return;
	}
	a = alias_copy(was);
	if (apply_wish(c, f, &w, a))
		to_engine(c, a, true);
}
