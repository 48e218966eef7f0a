/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What a leaf may use. 0 = no limit. */
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum cg_controller { CG_MEMORY = 1, CG_PIDS = 2, CG_CPU = 4 };
#define CG_CONTROLLERS 3
#define CG_ALL (CG_MEMORY | CG_PIDS | CG_CPU)

struct cg_limits {
	uint64_t memory_bytes;
	unsigned int pids_max;
	unsigned int cpu_percent;	/* 100 = one CPU */
	bool oom_group;			/* an OOM kill takes all of the leaf; means nothing without memory_bytes */
};

/* Writes what the controllers of this directory (a set of enum cg_controller) can keep; the rest is left out, and
 * cg_tree_status() says so once for all. A limit that cannot be written although its controller is there is an error. */
int cg_limits_write(int dirfd, unsigned int controllers, const struct cg_limits *limits, struct err *e);
/* The controllers (a set) whose limits are asked for and cannot be kept. */
unsigned int cg_limits_missing(unsigned int controllers, const struct cg_limits *limits);
const char *cg_controller_name(enum cg_controller c);
