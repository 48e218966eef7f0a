/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "ctl/ctl.h"

static const char *destination(const cJSON *config, const char *role)
{
	const cJSON *d = ctl_member(config, "DestinationConfig");

	return ctl_text(ctl_member(d, role), "Destination");
}

int ctl_function_list(struct ctl *c, int argc, char **argv)
{
	static const char *const headings[] = { "NAME", "MODE", ">TIMEOUT", ">MEMORY", ">RETRIES", ">CONCURRENCY",
						"ON SUCCESS", "ON FAILURE", NULL };
	CLEAN(ctl_json_freep) cJSON *j = NULL;
	const cJSON *f;
	struct ctl_table *t;
	int r;

	if (!ctl_args(c, argc, argv, NULL, 0, NULL, 0))
		return CTL_USAGE;
	r = ctl_get(c, "/fate/v1/functions", &j);
	if (!j)
		return r;
	t = ctl_table_new(headings);
	cJSON_ArrayForEach(f, ctl_member(j, "functions")) {
		const cJSON *config = ctl_member(f, "EventInvokeConfig");

		ctl_cell(t, ctl_text(f, "FunctionName"));
		ctl_cell(t, ctl_text(f, "Mode"));
		ctl_cellf(t, "%s s", ctl_text(f, "Timeout"));
		ctl_cellf(t, "%s MB", ctl_text(f, "MemorySize"));
		ctl_cell(t, ctl_text(config, "MaximumRetryAttempts"));
		ctl_cell(t, ctl_text(f, "ReservedConcurrentExecutions"));
		ctl_cell(t, destination(config, "OnSuccess"));
		ctl_cell(t, destination(config, "OnFailure"));
	}
	ctl_table_print(t, stdout);
	return CTL_OK;
}

int ctl_function_show(struct ctl *c, int argc, char **argv)
{
	return ctl_show_one(c, argc, argv, "/fate/v1/functions/");
}
