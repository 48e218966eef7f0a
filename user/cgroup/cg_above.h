/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Whose limit did an OOM kill enforce, if not the leaf's own? Told without eBPF, from the groups above the leaves: their
 * counts are looked at before each start, and again only when there was such a kill.
 */
#include <stdbool.h>
#include <stdint.h>

#include "model/fact.h"

#define CG_ABOVE_MAX 32		/* groups from the leaves' parent to the top */

struct cg_above;
/* The groups from env up to mount, both absolute directories, the first the second or below it. Never NULL: what cannot
 * be opened makes the answers "not known". */
struct cg_above *cg_above_new(const char *mount, const char *env);
/* NULL in; returns NULL. */
struct cg_above *cg_above_free(struct cg_above *a);

/* The counts at one moment, a read each. */
struct cg_above_mark {
	bool taken;
	size_t told;			/* tell()'s first answer: place of the group, one more for the host, plus 1; 0 = none yet */
	uint64_t ooms[CG_ABOVE_MAX];
};
/* NULL is fine: not taken. */
void cg_above_mark(const struct cg_above *a, struct cg_above_mark *ret);
/*
 * For a kill since the mark that the leaf's own limit does not explain. Fills the members above…: exactly one group's
 * count rose, and it is told; none, and it was the host; else above_known stays false. What was known once is
 * told again at the next call, whatever happened up there meanwhile.
 */
void cg_above_tell(const struct cg_above *a, struct cg_above_mark *since, struct fact_cgroup *ret);
