/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "ctl/ctl.h"

static void redriven(const cJSON *list, bool dry)
{
	const cJSON *e;

	cJSON_ArrayForEach(e, list)
		if (dry)
			printf("message %s would go to %s\n", ctl_text(e, "messageId"), ctl_text(e, "function"));
		else
			printf("message %s is event %s of %s\n", ctl_text(e, "messageId"), ctl_text(e, "requestId"),
			       ctl_text(e, "function"));
}

/* Why each is still there, and for how long it is hidden. */
static void left(const cJSON *answer, const cJSON *list)
{
	const char *until = ctl_text(answer, "leftUntil");
	const cJSON *e;

	cJSON_ArrayForEach(e, list)
		fprintf(stderr, "fatectl: message %s stays: %s\n", ctl_text(e, "messageId"), ctl_text(e, "reason"));
	if (*until)
		fprintf(stderr, "fatectl: what stays is visible again at %s (%s)\n", until, ctl_age(answer, "leftUntil"));
}

int ctl_queue_redrive(struct ctl *c, int argc, char **argv)
{
	const char *to = NULL, *max = NULL, *name;
	bool dry = false;
	const struct ctl_option opts[] = { { "--to", &to, NULL }, { "--max", &max, NULL }, { "--dry-run", NULL, &dry } };
	CLEAN(http_result_done) struct http_result res = {};
	CLEAN(buf_done) struct buf path = {};
	CLEAN(ctl_json_freep) cJSON *j = NULL;
	const cJSON *gone, *stay;
	int r;

	if (!ctl_args(c, argc, argv, opts, ARRAY_SIZE(opts), &name, 1))
		return CTL_USAGE;
	ctl_path(&path, "/fate/v1/queues/", name, "/redrive");
	ctl_query(&path, "max", max);
	ctl_query(&path, "to", to);
	ctl_query(&path, "dryRun", dry ? "true" : NULL);
	r = ctl_call(c, &(struct ctl_request){ .method = "POST", .target = buf_str(&path) }, &res);
	if (r == CTL_OK)
		r = ctl_parse(&res, &j);
	if (r != CTL_OK)
		return r;
	gone = ctl_member(j, "redriven");
	stay = ctl_member(j, "left");
	if (c->json)
		ctl_puts_raw(buf_str(&res.body), res.body.len, true);
	else
		redriven(gone, dry);
	fflush(stdout);
	left(j, stay);
	if (!cJSON_GetArraySize(gone) && !cJSON_GetArraySize(stay))
		fprintf(stderr, "fatectl: no visible message in %s\n", name);
	return cJSON_GetArraySize(stay) ? CTL_REFUSED : CTL_OK;
}
