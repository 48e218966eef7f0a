/* SPDX-License-Identifier: Apache-2.0 */
/* Events. Payloads and records are shown from the answer's text, so no number loses digits. */
#include <string.h>

#include "base/json.h"
#include "ctl/ctl.h"

int ctl_event_list(struct ctl *c, int argc, char **argv)
{
	static const char *const headings[] = { "REQUEST ID", "FUNCTION", "STATE", "CONDITION", ">ATTEMPTS", "ACCEPTED",
						"DUE", NULL };
	CLEAN(ctl_json_freep) cJSON *j = NULL;
	struct ctl_table *t;
	const cJSON *e;
	int r = ctl_get_page(c, argc, argv, "/fate/v1/events", "state", &j);

	if (!j)
		return r;
	t = ctl_table_new(headings);
	cJSON_ArrayForEach(e, ctl_member(j, "events")) {
		ctl_cell(t, ctl_text(e, "requestId"));
		ctl_cell(t, ctl_text(e, "function"));
		ctl_cell(t, ctl_text(e, "state"));
		ctl_cell(t, ctl_text(e, "condition"));
		ctl_cell(t, ctl_text(e, "attemptCount"));
		ctl_cell(t, ctl_age(e, "acceptedAt"));
		ctl_cell(t, ctl_age(e, "dueAt"));
	}
	ctl_table_print(t, stdout);
	ctl_more(j);
	return CTL_OK;
}

static void attempts(const cJSON *list)
{
	static const char *const lines[] = { "startedAt", "endedAt" };
	const cJSON *a;

	cJSON_ArrayForEach(a, list) {
		const cJSON *fate = ctl_member(a, "fate");

		printf("\nattempt %s: %s\n", ctl_text(a, "start"), *ctl_text(a, "outcome") ? ctl_text(a, "outcome") : "running");
		for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
			if (*ctl_text(a, lines[i]))
				printf("  %s  %s (%s)\n", lines[i], ctl_text(a, lines[i]), ctl_age(a, lines[i]));
		if (fate)
			ctl_flat(fate, "  fate", stdout);
	}
}

void ctl_spliced(const char *json, size_t len, const char *name)
{
	CLEAN(buf_done) struct buf b = {};
	const char *v;
	size_t n;

	if (!json_member(json, len, name, &v, &n))
		return;
	buf_addf(&b, "\n%s:\n  ", name);
	ctl_pretty(&b, v, n, 2);
	ctl_puts_raw(buf_str(&b), b.len, true);
}

static void event_head(const cJSON *j)
{
	static const char *const members[] = { "requestId", "function", "qualifier", "version", "state", "condition", "acceptedAt",
					       "dueAt", "attemptCount", "startCount", "backoffs", "equalDeaths", "leaseUntil",
					       "hops",
					       "redriveOf", "timeout", "memory" };
	const cJSON *one;

	for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
		const char *age = ctl_age(j, members[i]);

		if (*ctl_text(j, members[i]))
			printf("%-13s%s%s%s%s\n", members[i], ctl_text(j, members[i]), *age ? " (" : "", age, *age ? ")" : "");
	}
	cJSON_ArrayForEach(one, ctl_member(j, "redrivenAs"))
		printf("%-13s%s\n", "redrivenAs", cJSON_GetStringValue(one));
}

int ctl_event_show(struct ctl *c, int argc, char **argv)
{
	CLEAN(http_result_done) struct http_result res = {};
	CLEAN(ctl_json_freep) cJSON *j = NULL;
	const cJSON *list;
	const char *id;
	int r;

	if (!ctl_args(c, argc, argv, NULL, 0, &id, 1))
		return CTL_USAGE;
	r = ctl_fetch(c, "/fate/v1/events/", id, &res);
	if (r != CTL_OK)
		return r;
	if (c->json) {
		ctl_puts_raw(buf_str(&res.body), res.body.len, true);
		return CTL_OK;
	}
	r = ctl_parse(&res, &j);
	if (r != CTL_OK)
		return r;
	event_head(j);
	ctl_spliced(buf_str(&res.body), res.body.len, "payload");
	attempts(ctl_member(j, "attempts"));
	ctl_spliced(buf_str(&res.body), res.body.len, "record");
	list = ctl_member(j, "deliveries");
	if (cJSON_GetArraySize(list)) {
		puts("\ndeliveries open:");
		ctl_deliveries(list);
	}
	return CTL_OK;
}

/* ---- what is done to one ----------------------------------------------------------------------------------- */

/* POST; *ret_id is the event to look at from now on. */
static int post(struct ctl *c, const char *target, struct http_result *res, const char **ret_id, cJSON **ret_json)
{
	int r = ctl_call(c, &(struct ctl_request){ .method = "POST", .target = target }, res);

	if (r == CTL_OK)
		r = ctl_parse(res, ret_json);
	if (r == CTL_OK)
		*ret_id = ctl_text(*ret_json, "requestId");
	return r;
}

int ctl_event_cancel(struct ctl *c, int argc, char **argv)
{
	CLEAN(http_result_done) struct http_result res = {};
	CLEAN(ctl_json_freep) cJSON *j = NULL;
	CLEAN(buf_done) struct buf path = {};
	bool wait = false;
	const struct ctl_option opts[] = { { "--wait", NULL, &wait } };
	const char *id;
	int r;

	if (!ctl_args(c, argc, argv, opts, ARRAY_SIZE(opts), &id, 1))
		return CTL_USAGE;
	ctl_path(&path, "/fate/v1/events/", id, "/cancel");
	r = post(c, buf_str(&path), &res, &id, &j);
	if (r != CTL_OK)
		return r;
	if (wait)
		return ctl_wait_record(c, id, "Cancelled");
	if (c->json)
		ctl_puts_raw(buf_str(&res.body), res.body.len, true);
	else
		printf("%s is being cancelled\n", id);
	return CTL_OK;
}

int ctl_event_retry(struct ctl *c, int argc, char **argv)
{
	CLEAN(http_result_done) struct http_result res = {};
	CLEAN(ctl_json_freep) cJSON *j = NULL;
	CLEAN(buf_done) struct buf path = {};
	const char *id, *timeout = NULL, *memory = NULL, *qualifier = NULL;
	bool wait = false, force = false;
	const struct ctl_option opts[] = { { "--wait", NULL, &wait }, { "--force", NULL, &force }, { "--timeout", &timeout, NULL },
					   { "--memory", &memory, NULL }, { "--qualifier", &qualifier, NULL } };
	int r;

	if (!ctl_args(c, argc, argv, opts, ARRAY_SIZE(opts), &id, 1))
		return CTL_USAGE;
	ctl_path(&path, "/fate/v1/events/", id, "/retry");
	ctl_query(&path, "force", force ? "true" : NULL);
	ctl_query(&path, "timeout", timeout);
	ctl_query(&path, "memory", memory);
	ctl_query(&path, "qualifier", qualifier);
	r = post(c, buf_str(&path), &res, &id, &j);
	if (r != CTL_OK)
		return r;
	if (wait || !c->json)
		fprintf(stderr, "fatectl: %s%s\n", res.status == 202 ? "it had ended; accepted again as " : "due now: ", id);
	if (wait)
		return ctl_wait_record(c, id, "Success");
	if (c->json)
		ctl_puts_raw(buf_str(&res.body), res.body.len, true);
	else
		puts(id);
	return CTL_OK;
}
