/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Who a function runs as. Names are looked up once per (User, Group) and kept: NSS may ask the network. */
#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/map.h"

struct launch_user {
	uid_t uid;
	gid_t gid;
	gid_t *groups;		/* supplementary ones, gid included */
	int n_groups;
	bool set_uid, set_gid;	/* what the definition asks for */
	char key[];
};

/* Borrowed from the cache. -ESRCH: no such user or group, e names it. */
int launch_user_get(struct strmap *cache, const char *user, const char *group, const struct launch_user **ret, struct err *e);
void launch_user_cache_done(struct strmap *cache);
