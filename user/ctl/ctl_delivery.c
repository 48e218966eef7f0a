/* SPDX-License-Identifier: Apache-2.0 */
/* Deliveries: what is on its way to a target, and what a target would not take. */
#include <string.h>

#include "ctl/ctl.h"

#define DELIVERIES "/fate/v1/deliveries/"

void ctl_deliveries(const cJSON *list)
{
	static const char *const headings[] = { "REQUEST ID", "FUNCTION", "ROLE", "TARGET", ">TRIES", "DUE", "LAST ERROR", NULL };
	struct ctl_table *t = ctl_table_new(headings);
	const cJSON *d;

	cJSON_ArrayForEach(d, list) {
		ctl_cell(t, ctl_text(d, "requestId"));
		ctl_cell(t, ctl_text(d, "function"));
		ctl_cell(t, ctl_text(d, "role"));
		ctl_cell(t, ctl_text(d, "target"));
		ctl_cell(t, ctl_text(d, "tries"));
		ctl_cell(t, cJSON_IsTrue(ctl_member(d, "failed")) ? "failed" : ctl_age(d, "dueAt"));
		ctl_cell(t, ctl_text(d, "lastError"));
	}
	ctl_table_print(t, stdout);
}

int ctl_delivery_list(struct ctl *c, int argc, char **argv)
{
	const char *limit = NULL, *target = NULL, *after = NULL;
	bool failed = false;
	const struct ctl_option opts[] = { { "--limit", &limit, NULL }, { "--target", &target, NULL }, { "--after", &after, NULL },
					   { "--failed", NULL, &failed } };
	CLEAN(buf_done) struct buf path = {};
	CLEAN(ctl_json_freep) cJSON *j = NULL;
	int r;

	if (!ctl_args(c, argc, argv, opts, ARRAY_SIZE(opts), NULL, 0))
		return CTL_USAGE;
	buf_adds(&path, "/fate/v1/deliveries");
	ctl_query(&path, "limit", limit);
	ctl_query(&path, "target", target);
	ctl_query(&path, "after", after);
	ctl_query(&path, "failed", failed ? "true" : NULL);
	r = ctl_get(c, buf_str(&path), &j);
	if (!j)
		return r;
	ctl_deliveries(ctl_member(j, "deliveries"));
	if (*ctl_text(j, "next"))
		fprintf(stderr, "fatectl: there are more: --after %s\n", ctl_text(j, "next"));
	return r;
}

int ctl_delivery_show(struct ctl *c, int argc, char **argv)
{
	CLEAN(http_result_done) struct http_result res = {};
	CLEAN(ctl_json_freep) cJSON *j = NULL;
	const char *id, *text;
	struct ctl_each each;
	const cJSON *d;
	size_t len;
	int r;

	if (!ctl_args(c, argc, argv, NULL, 0, &id, 1))
		return CTL_USAGE;
	r = ctl_fetch(c, DELIVERIES, id, &res);
	if (r == CTL_OK && c->json)
		ctl_puts_raw(buf_str(&res.body), res.body.len, true);
	if (r == CTL_OK && !c->json)
		r = ctl_parse(&res, &j);
	if (r != CTL_OK || c->json)
		return r;
	each = ctl_each_of(&res, "deliveries");
	cJSON_ArrayForEach(d, ctl_member(j, "deliveries")) {
		static const char *const lines[] = { "target", "key", "tries", "createdAt", "dueAt", "failed", "lastError" };

		printf("%s%s of %s\n", d->prev && d != d->prev && d != ctl_member(j, "deliveries")->child ? "\n" : "",
		       ctl_text(d, "role"), ctl_text(j, "function"));
		for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
			if (ctl_member(d, lines[i])) {
				printf("  %-10s", lines[i]);
				ctl_flat(ctl_member(d, lines[i]), "", stdout);
			}
		if (ctl_each_next(&each, &text, &len)) {
			ctl_spliced(text, len, "attributes");
			ctl_spliced(text, len, "body");
		}
	}
	if (!cJSON_GetArraySize(ctl_member(j, "deliveries")))
		fprintf(stderr, "fatectl: event %s has none that is open: each was taken by its target or dropped, or there was "
			"none\n", id);
	return CTL_OK;
}

/* ---- what is done about them ------------------------------------------------------------------------------- */

static int wish(struct ctl *c, const char *method, const char *id, const char *role, const char *tail, const char *words)
{
	CLEAN(http_result_done) struct http_result res = {};
	CLEAN(buf_done) struct buf path = {};
	int r;

	ctl_path(&path, DELIVERIES, id, "/");
	http_encode(&path, role);
	buf_adds(&path, tail);
	r = ctl_call(c, &(struct ctl_request){ .method = method, .target = buf_str(&path) }, &res);
	if (r != CTL_OK)
		return r;
	if (c->json)
		ctl_puts_raw(buf_str(&res.body), res.body.len, true);
	else
		printf("%s %s %s\n", id, role, words);
	return CTL_OK;
}

/* Every delivery of the event that is open. */
static int retry_each(struct ctl *c, const char *id)
{
	CLEAN(http_result_done) struct http_result res = {};
	CLEAN(ctl_json_freep) cJSON *j = NULL;
	const cJSON *d;
	int r = ctl_fetch(c, DELIVERIES, id, &res);

	if (r == CTL_OK)
		r = ctl_parse(&res, &j);
	if (r != CTL_OK)
		return r;
	if (!cJSON_GetArraySize(ctl_member(j, "deliveries"))) {
		fprintf(stderr, "fatectl: event %s has none that is open: each was taken by its target or dropped, or there was "
			"none\n", id);
		return CTL_REFUSED;
	}
	cJSON_ArrayForEach(d, ctl_member(j, "deliveries")) {
		int one = wish(c, "POST", id, ctl_text(d, "role"), "/retry", "is due now");

		r = r == CTL_OK ? one : r;
	}
	return r;
}

static void print_retried(const cJSON *one, void *arg)
{
	printf("%s %s is due now, to %s\n", ctl_text(one, "requestId"), ctl_text(one, "role"), ctl_text(one, "target"));
}

int ctl_delivery_retry(struct ctl *c, int argc, char **argv)
{
	const char *target = NULL, *max = NULL, *rate = NULL, *after = NULL, *words[2];
	struct ctl_pass p = { .done = "retried", .max = CTL_PASS_MAX, .rate = 50, .each = print_retried };
	bool all = false;
	const struct ctl_option opts[] = { { "--all", NULL, &all }, { "--target", &target, NULL }, { "--max", &max, NULL },
					   { "--rate", &rate, NULL }, { "--after", &after, NULL } };
	CLEAN(buf_done) struct buf path = {};
	int n;

	if (!ctl_args_some(c, argc, argv, opts, ARRAY_SIZE(opts), words, 0, 2, &n) ||
	    !ctl_number_arg(c, "--max", max, 1, CTL_PASS_MAX, &p.max) || !ctl_number_arg(c, "--rate", rate, 1,
	    	CTL_PASS_RATE_MAX, &p.rate))
		return CTL_USAGE;
	if (all == (n > 0))
		return ctl_usage(c, all ? "--all is without an id" : "whose? say an ID, or --all");
	if (!all && (target || max || rate || after))
		return ctl_usage(c, "--target, --max, --rate and --after go with --all");
	if (!all)
		return n == 2 ? wish(c, "POST", words[0], words[1], "/retry", "is due now") : retry_each(c, words[0]);
	buf_adds(&path, DELIVERIES "retry");
	ctl_query(&path, "target", target);
	p.path = buf_str(&path);
	p.after = after;
	return ctl_pass(c, &p);
}

int ctl_delivery_drop(struct ctl *c, int argc, char **argv)
{
	const char *words[2];

	if (!ctl_args(c, argc, argv, NULL, 0, words, 2))
		return CTL_USAGE;
	return wish(c, "DELETE", words[0], words[1], "", "is given up");
}
