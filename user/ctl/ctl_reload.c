/* SPDX-License-Identifier: Apache-2.0 */
/* What was found wrong goes to stderr and makes the exit status 4, while everything good is in force all the same. */
#include "ctl/ctl.h"

static void names(const cJSON *j, const char *name)
{
	const cJSON *list = ctl_member(j, name), *one;

	if (!cJSON_GetArraySize(list))
		return;
	printf("%s:", name);
	cJSON_ArrayForEach(one, list)
		printf(" %s", cJSON_IsString(one) ? one->valuestring : "?");
	putchar('\n');
}

int ctl_reload(struct ctl *c, int argc, char **argv)
{
	CLEAN(http_result_done) struct http_result res = {};
	CLEAN(ctl_json_freep) cJSON *j = NULL;
	const cJSON *problems, *p;
	int r;

	if (!ctl_args(c, argc, argv, NULL, 0, NULL, 0))
		return CTL_USAGE;
	r = ctl_call(c, &(struct ctl_request){ .method = "POST", .target = "/fate/v1/reload" }, &res);
	if (r != CTL_OK)
		return r;
	r = ctl_parse(&res, &j);
	if (r != CTL_OK)
		return r;
	problems = ctl_member(j, "problems");
	if (c->json) {
		ctl_puts_raw(res.body.data, res.body.len, true);
		return cJSON_GetArraySize(problems) ? CTL_REFUSED : CTL_OK;
	}
	names(j, "added");
	names(j, "changed");
	names(j, "removed");
	if (*ctl_text(j, "functions"))
		printf("functions: %s\n", ctl_text(j, "functions"));
	cJSON_ArrayForEach(p, problems)
		fprintf(stderr, "fatectl: %s: %s: %s\n", ctl_text(p, "file"), *ctl_text(p, "path") ? ctl_text(p, "path") : "-",
			ctl_text(p, "reason"));
	return cJSON_GetArraySize(problems) ? CTL_REFUSED : CTL_OK;
}
