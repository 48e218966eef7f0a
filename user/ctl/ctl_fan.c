/* SPDX-License-Identifier: Apache-2.0 */
/* What fans out: topics and event buses. */
#include "ctl/ctl.h"

/* A table of what the daemon lists at path: each one's name, how many of `parts` it has, its description. */
static int list(struct ctl *c, int argc, char **argv, const char *path, const char *member, const char *name, const char *parts,
		const char *const *headings)
{
	CLEAN(ctl_json_freep) cJSON *j = NULL;
	struct ctl_table *t;
	const cJSON *one;
	int r;

	if (!ctl_args(c, argc, argv, NULL, 0, NULL, 0))
		return CTL_USAGE;
	r = ctl_get(c, path, &j);
	if (!j)
		return r;
	t = ctl_table_new(headings);
	cJSON_ArrayForEach(one, ctl_member(j, member)) {
		ctl_cell(t, ctl_text(one, name));
		ctl_cellf(t, "%d", cJSON_GetArraySize(ctl_member(one, parts)));
		ctl_cell(t, ctl_text(one, "Description"));
	}
	ctl_table_print(t, stdout);
	return CTL_OK;
}

int ctl_topic_list(struct ctl *c, int argc, char **argv)
{
	static const char *const headings[] = { "NAME", ">SUBSCRIPTIONS", "DESCRIPTION", NULL };

	return list(c, argc, argv, "/fate/v1/topics", "topics", "TopicName", "Subscriptions", headings);
}

int ctl_bus_list(struct ctl *c, int argc, char **argv)
{
	static const char *const headings[] = { "NAME", ">RULES", "DESCRIPTION", NULL };

	return list(c, argc, argv, "/fate/v1/buses", "buses", "EventBusName", "Rules", headings);
}

int ctl_topic_show(struct ctl *c, int argc, char **argv)
{
	return ctl_show_one(c, argc, argv, "/fate/v1/topics/");
}

int ctl_bus_show(struct ctl *c, int argc, char **argv)
{
	return ctl_show_one(c, argc, argv, "/fate/v1/buses/");
}
