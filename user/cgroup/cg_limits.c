/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memory.oom.group makes an OOM kill take the whole environment: half a function is no function, unless its definition
 * says that it copes. Swap is cut off once for the parent of all leaves (cg_tree), not leaf by leaf: 128 MB means 128 MB,
 * and a launch has few writes to spare.
 */
#include "cgroup/cg_limits.h"

#include <inttypes.h>
#include <stdio.h>

#include "sys/sys_calls.h"

#define CPU_PERIOD_US 100000u

const char *cg_controller_name(enum cg_controller c)
{
	switch (c) {
	case CG_MEMORY:
		return "memory";
	case CG_PIDS:
		return "pids";
	case CG_CPU:
		return "cpu";
	}
	return "?";
}

unsigned int cg_limits_missing(unsigned int controllers, const struct cg_limits *limits)
{
	unsigned int wanted = (limits->memory_bytes ? CG_MEMORY : 0) | (limits->pids_max ? CG_PIDS : 0) |
			      (limits->cpu_percent ? CG_CPU : 0);

	return wanted & ~controllers;
}

static int put(int dirfd, const char *file, const char *value, struct err *e)
{
	int r = sys_write_file(dirfd, file, value);

	return r < 0 ? err_errno(e, r, "write %s to %s", value, file) : 0;
}

int cg_limits_write(int dirfd, unsigned int controllers, const struct cg_limits *limits, struct err *e)
{
	char v[64];
	int r = 0;

	if ((controllers & CG_MEMORY) && limits->memory_bytes) {
		snprintf(v, sizeof(v), "%" PRIu64, limits->memory_bytes);
		r = put(dirfd, "memory.max", v, e);
		if (r < 0)
			return r;
		r = put(dirfd, "memory.oom.group", limits->oom_group ? "1" : "0", e);
		if (r < 0)
			return r;
	}
	if ((controllers & CG_PIDS) && limits->pids_max) {
		snprintf(v, sizeof(v), "%u", limits->pids_max);
		r = put(dirfd, "pids.max", v, e);
		if (r < 0)
			return r;
	}
	if ((controllers & CG_CPU) && limits->cpu_percent) {
		snprintf(v, sizeof(v), "%" PRIu64 " %u", (uint64_t)limits->cpu_percent * CPU_PERIOD_US / 100, CPU_PERIOD_US);
		r = put(dirfd, "cpu.max", v, e);
	}
	return r;
}
