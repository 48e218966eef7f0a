/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Where this process is in the cgroup v2 tree, from two texts of /proc. Pure.
 */
#include <limits.h>
#include <stdbool.h>

#include "base/err.h"

struct cg_place {
	char mount[PATH_MAX];	/* mount point: "/sys/fs/cgroup", hybrid hosts "/sys/fs/cgroup/unified" */
	char root[PATH_MAX];	/* the cgroup shown at the mount point, usually "/" */
	char self[PATH_MAX];	/* our own cgroup as a directory: below mount */
	char self_cgroup[PATH_MAX];	/* our own cgroup as /proc/self/cgroup has it, "/" at the top */
	bool hybrid;		/* v1 hierarchies are mounted too: they hold some or all controllers */
};

/* mountinfo: /proc/self/mountinfo; self_cgroup: /proc/self/cgroup. -ENOENT with a clear sentence where there is no
 * cgroup v2, -EBADMSG for texts that make no sense, -ENAMETOOLONG. */
int cg_place_find(const char *mountinfo, const char *self_cgroup, struct cg_place *ret, struct err *e);
/* How deep a cgroup path is: "/" 0, "/a/b" 2. */
int cg_path_level(const char *path);
