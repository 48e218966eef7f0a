/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/ctl.h"

int ctl_bus_list(struct ctl *c, int argc, char **argv)
{
	static const char *const headings[] = { "NAME", ">RULES", "DESCRIPTION", NULL };
	CLEAN(ctl_json_freep) cJSON *j = NULL;
	struct ctl_table *t;
	const cJSON *bus;
	int r;

	if (!ctl_args(c, argc, argv, NULL, 0, NULL, 0))
		return CTL_USAGE;
	r = ctl_get(c, "/fate/v1/buses", &j);
	if (!j)
		return r;
	t = ctl_table_new(headings);
	cJSON_ArrayForEach(bus, cJSON_GetObjectItemCaseSensitive(j, "buses")) {
		ctl_cell(t, ctl_text(bus, "EventBusName"));
		ctl_cellf(t, "%d", cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(bus, "Rules")));
		ctl_cell(t, ctl_text(bus, "Description"));
	}
	ctl_table_print(t, stdout);
	return CTL_OK;
}

int ctl_bus_show(struct ctl *c, int argc, char **argv)
{
	CLEAN(ctl_json_freep) cJSON *j = NULL;
	CLEAN(buf_done) struct buf path = {};
	const char *name;
	int r;

	if (!ctl_args(c, argc, argv, NULL, 0, &name, 1))
		return CTL_USAGE;
	ctl_path(&path, "/fate/v1/buses/", name, "");
	r = ctl_get(c, buf_str(&path), &j);
	if (j)
		ctl_flat(j, "", stdout);
	return r;
}
