/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/ctl.h"
#include "fate_abi.h"

/* Our own version is known without the daemon; that it cannot be asked is still said. */
int ctl_version(struct ctl *c, int argc, char **argv)
{
	CLEAN(ctl_json_freep) cJSON *j = NULL;
	int r;

	if (!ctl_args(c, argc, argv, NULL, 0, NULL, 0))
		return CTL_USAGE;
	if (!c->json) {
		printf("fatectl %s\n", FATED_VERSION);
		fflush(stdout);
	}
	r = ctl_get(c, "/fate/v1/version", &j);
	if (j)
		printf("fated   %s\n", ctl_text(j, "version"));
	return r;
}
