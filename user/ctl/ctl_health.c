/* SPDX-License-Identifier: Apache-2.0 */
/* A probe: does the daemon take events at this moment? One word, and 0 or 1 whatever is wrong. */
#include <string.h>

#include "ctl/ctl.h"

#define ANSWER_MS 5000		/* one that needs longer is stuck */

int ctl_health(struct ctl *c, int argc, char **argv)
{
	const struct http_call call = { .method = "GET", .target = "/fate/v1/health", .timeout_ms = ANSWER_MS };
	CLEAN(http_result_done) struct http_result res = {};
	CLEAN(ctl_json_freep) cJSON *j = NULL;
	const char *status, *why;
	struct err e = {};
	int r = 0;

	if (!ctl_args(c, argc, argv, NULL, 0, NULL, 0))
		return CTL_USAGE;
	if (!c->http)
		r = http_caller_new(c->socket, &c->http, &e);
	if (r == 0)
		r = http_call(c->http, &call, &res, &e);
	if (r < 0) {
		fprintf(stderr, "fatectl: %s\n", err_msg(&e));
		return CTL_FUNCTION_FAILED;
	}
	j = cJSON_ParseWithLength(buf_str(&res.body), res.body.len);
	status = ctl_text(j, "status");
	why = ctl_text(j, "reason");
	if (c->json)
		ctl_puts_raw(buf_str(&res.body), res.body.len, true);
	else if (*status)
		printf("%s%s%s\n", status, *why ? ": " : "", why);
	else
		fprintf(stderr, "fatectl: HTTP status %d: %.200s\n", res.status, buf_str(&res.body));
	return res.status == 200 ? CTL_OK : CTL_FUNCTION_FAILED;
}
