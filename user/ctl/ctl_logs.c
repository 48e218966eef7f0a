/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "ctl/ctl.h"

int ctl_logs(struct ctl *c, int argc, char **argv)
{
	const char *bytes = NULL, *name, *v;
	const struct ctl_option opts[] = { { "--bytes", &bytes, NULL } };
	CLEAN(buf_done) struct buf path = {};
	CLEAN(ctl_json_freep) cJSON *j = NULL;
	int r;

	if (!ctl_args(c, argc, argv, opts, ARRAY_SIZE(opts), &name, 1))
		return CTL_USAGE;
	ctl_path(&path, "/fate/v1/functions/", name, "/logs");
	ctl_query(&path, "bytes", bytes);
	r = ctl_get(c, buf_str(&path), &j);
	if (!j)
		return r;
	v = ctl_text(j, "log");
	if (*v)
		ctl_puts_raw(v, strlen(v), true);
	return CTL_OK;
}
