/* SPDX-License-Identifier: Apache-2.0 */
/* Versions of a function, and the names for them. */
#include <string.h>

#include "base/json.h"
#include "ctl/ctl.h"

#define FUNCTIONS "/2015-03-31/functions/"

static void member(struct buf *b, const char *name, const char *value)
{
	if (!value)
		return;
	buf_addf(b, "%s\"%s\":", b->data[b->len - 1] == '{' ? "" : ",", name);
	json_add_string(b, value, strlen(value));
}

/* Shows what was answered: --json as it came, else a line for each member. */
static int show(struct ctl *c, const struct http_result *res)
{
	CLEAN(ctl_json_freep) cJSON *j = NULL;
	int r = CTL_OK;

	if (c->json) {
		ctl_puts_raw(buf_str(&res->body), res->body.len, true);
		return CTL_OK;
	}
	r = ctl_parse(res, &j);
	if (r == CTL_OK)
		ctl_flat(j, "", stdout);
	return r;
}

/* Every page of a list; with --json a line each. */
static int each_page(struct ctl *c, const char *path, const char *list, void (*row)(struct ctl_table *t, const cJSON *one),
		     const char *const *headings)
{
	struct ctl_table *t = c->json ? NULL : ctl_table_new(headings);
	CLEAN(buf_done) struct buf target = {};
	char marker[512] = "";
	int r;

	do {
		CLEAN(http_result_done) struct http_result res = {};
		CLEAN(ctl_json_freep) cJSON *j = NULL;
		const cJSON *one;

		buf_clear(&target);
		buf_adds(&target, path);
		ctl_query(&target, "Marker", *marker ? marker : NULL);
		r = ctl_call(c, &(struct ctl_request){ .method = "GET", .target = buf_str(&target) }, &res);
		if (r == CTL_OK)
			r = ctl_parse(&res, &j);
		if (r != CTL_OK)
			break;
		if (c->json)
			ctl_puts_raw(buf_str(&res.body), res.body.len, true);
		else
			cJSON_ArrayForEach(one, ctl_member(j, list))
				row(t, one);
		snprintf(marker, sizeof(marker), "%s", ctl_text(j, "NextMarker"));
	} while (*marker);
	if (t)
		ctl_table_print(t, r == CTL_OK ? stdout : stderr);
	return r;
}

/* ---- versions ---------------------------------------------------------------------------------------------- */

int ctl_function_publish(struct ctl *c, int argc, char **argv)
{
	const char *description = NULL, *name;
	const struct ctl_option opts[] = { { "--description", &description, NULL } };
	CLEAN(http_result_done) struct http_result res = {};
	CLEAN(ctl_json_freep) cJSON *j = NULL;
	CLEAN(buf_done) struct buf path = {};
	CLEAN(buf_done) struct buf body = {};
	int r;

	if (!ctl_args(c, argc, argv, opts, ARRAY_SIZE(opts), &name, 1))
		return CTL_USAGE;
	ctl_path(&path, FUNCTIONS, name, "/versions");
	buf_addc(&body, '{');
	member(&body, "Description", description);
	buf_addc(&body, '}');
	r = ctl_call(c, &(struct ctl_request){ .method = "POST", .target = buf_str(&path), .body = buf_str(&body),
					       .body_len = body.len }, &res);
	if (r == CTL_OK)
		r = ctl_parse(&res, &j);
	if (r != CTL_OK)
		return r;
	if (c->json)
		ctl_puts_raw(buf_str(&res.body), res.body.len, true);
	else
		puts(ctl_text(j, "Version"));
	return CTL_OK;
}

static void version_row(struct ctl_table *t, const cJSON *v)
{
	ctl_cell(t, ctl_text(v, "Version"));
	ctl_cell(t, ctl_text(v, "LastModified"));
	ctl_cellf(t, "%s s", ctl_text(v, "Timeout"));
	ctl_cellf(t, "%s MB", ctl_text(v, "MemorySize"));
	ctl_cell(t, ctl_text(v, "Description"));
}

int ctl_function_versions(struct ctl *c, int argc, char **argv)
{
	static const char *const headings[] = { "VERSION", "PUBLISHED", ">TIMEOUT", ">MEMORY", "DESCRIPTION", NULL };
	CLEAN(buf_done) struct buf path = {};
	const char *name;

	if (!ctl_args(c, argc, argv, NULL, 0, &name, 1))
		return CTL_USAGE;
	ctl_path(&path, FUNCTIONS, name, "/versions");
	return each_page(c, buf_str(&path), "Versions", version_row, headings);
}

/* ---- aliases ----------------------------------------------------------------------------------------------- */

static void alias_path(struct buf *b, const char *function, const char *alias)
{
	ctl_path(b, FUNCTIONS, function, "/aliases");
	if (alias)
		ctl_path(b, "/", alias, "");
}

static void alias_row(struct ctl_table *t, const cJSON *a)
{
	const cJSON *w = ctl_member(ctl_member(a, "RoutingConfig"), "AdditionalVersionWeights");

	ctl_cell(t, ctl_text(a, "Name"));
	ctl_cell(t, ctl_text(a, "FunctionVersion"));
	if (w && w->child)
		ctl_cellf(t, "%s=%.15g", w->child->string, w->child->valuedouble);
	else
		ctl_cell(t, NULL);
	ctl_cell(t, ctl_text(a, "Description"));
}

int ctl_alias_list(struct ctl *c, int argc, char **argv)
{
	static const char *const headings[] = { "ALIAS", "VERSION", "ALSO", "DESCRIPTION", NULL };
	CLEAN(buf_done) struct buf path = {};
	const char *name;

	if (!ctl_args(c, argc, argv, NULL, 0, &name, 1))
		return CTL_USAGE;
	alias_path(&path, name, NULL);
	return each_page(c, buf_str(&path), "Aliases", alias_row, headings);
}

int ctl_alias_get(struct ctl *c, int argc, char **argv)
{
	CLEAN(http_result_done) struct http_result res = {};
	CLEAN(buf_done) struct buf path = {};
	const char *words[2];
	int r;

	if (!ctl_args(c, argc, argv, NULL, 0, words, 2))
		return CTL_USAGE;
	alias_path(&path, words[0], words[1]);
	r = ctl_call(c, &(struct ctl_request){ .method = "GET", .target = buf_str(&path) }, &res);
	return r == CTL_OK ? show(c, &res) : r;
}

/* "2=0.1" → "2":0.1. The daemon says what is wrong with the numbers, but must get JSON. */
static bool weights(struct buf *b, const char *also)
{
	const char *eq = strchr(also, '=');

	if (!eq || eq == also || !json_valid(eq + 1, strlen(eq + 1), NULL) || !strchr("-0123456789", eq[1]))
		return false;
	json_add_string(b, also, (size_t)(eq - also));
	buf_addf(b, ":%s", eq + 1);
	return true;
}

static bool alias_body(struct buf *b, const char *name, const char *version, const char *description, const char *also)
{
	buf_addc(b, '{');
	member(b, "Name", name);
	member(b, "FunctionVersion", version);
	member(b, "Description", description);
	buf_adds(b, ",\"RoutingConfig\":{\"AdditionalVersionWeights\":{");
	if (also && !weights(b, also))
		return false;
	buf_adds(b, "}}}");
	return true;
}

/* Changed when it is there, else made. Somebody else may make it in between: then it is changed after all. */
int ctl_alias_set(struct ctl *c, int argc, char **argv)
{
	const char *version = NULL, *also = NULL, *description = NULL, *words[2];
	const struct ctl_option opts[] = { { "--version", &version, NULL }, { "--also", &also, NULL },
					   { "--description", &description, NULL } };
	CLEAN(buf_done) struct buf change = {};
	CLEAN(buf_done) struct buf make = {};
	CLEAN(buf_done) struct buf one = {};
	CLEAN(buf_done) struct buf all = {};

	if (!ctl_args(c, argc, argv, opts, ARRAY_SIZE(opts), words, 2))
		return CTL_USAGE;
	if (!version)
		return ctl_usage(c, "which version? --version N, or --version '$LATEST'");
	if (!alias_body(&change, NULL, version, description, also) || !alias_body(&make, words[1], version, description, also))
		return ctl_usage(c, "--also '%s' is no VERSION=WEIGHT, as in 2=0.1", also);
	alias_path(&one, words[0], words[1]);
	alias_path(&all, words[0], NULL);
	for (int i = 0;; i++) {
		bool put = i != 1;
		const struct ctl_request req = {
			.method = put ? "PUT" : "POST", .target = buf_str(put ? &one : &all), .body = buf_str(put ? &change :
				&make),
			.body_len = (put ? &change : &make)->len, .expected = i == 0 ? 404 : i == 1 ? 409 : 0,
		};
		CLEAN(http_result_done) struct http_result res = {};
		int r = ctl_call(c, &req, &res);

		if (r == CTL_OK)
			return show(c, &res);
		if (!req.expected || res.status != req.expected)
			return r;
	}
}

int ctl_alias_delete(struct ctl *c, int argc, char **argv)
{
	CLEAN(http_result_done) struct http_result res = {};
	CLEAN(buf_done) struct buf path = {};
	const char *words[2];

	if (!ctl_args(c, argc, argv, NULL, 0, words, 2))
		return CTL_USAGE;
	alias_path(&path, words[0], words[1]);
	return ctl_call(c, &(struct ctl_request){ .method = "DELETE", .target = buf_str(&path) }, &res);
}
