/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One environment's cgroup. Its id is the identity of everything that happens inside (I6): cgroup ids are never reused
 * while the machine is up, pids are.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "cgroup/cg_limits.h"
#include "cgroup/cg_tree.h"
#include "model/fact.h"

#define CG_LEAF_NAME_MAX 256	/* NAME_MAX: what is found at start may have been named by others */

struct cg_leaf {
	struct cg_tree *tree;		/* borrowed */
	char name[CG_LEAF_NAME_MAX];
	int fd;				/* O_PATH */
	uint64_t id;
	bool gone;			/* removed */
};
#define CG_LEAF_NONE ((struct cg_leaf){ .fd = -9 })

/* Makes the directory (-EEXIST when it is there) and writes its limits. Nothing is left behind on failure. */
int cg_leaf_new(struct cg_tree *t, const char *name, const struct cg_limits *limits, struct cg_leaf *ret, struct err *e);
/* One that is there already. */
int cg_leaf_open(struct cg_tree *t, const char *name, struct cg_leaf *ret, struct err *e);
/* Closes; removes nothing. */
void cg_leaf_done(struct cg_leaf *l);

/* SIGKILL to all below, forks in flight included. A leaf that is gone is fine. */
int cg_leaf_kill(struct cg_leaf *l, struct err *e);
/* 1: there are processes (zombies do not count) in the leaf or below; 0: none, or it is gone. Negative errno. */
int cg_leaf_populated(struct cg_leaf *l);
/* Sends sig to every process that can be listed now, nested groups included. Returns how many were reached. */
unsigned int cg_leaf_signal(struct cg_leaf *l, int sig);
/* Processes alive, nested groups included. */
unsigned int cg_leaf_count(struct cg_leaf *l);
/* Removes the leaf and the groups the function made in it. -EBUSY while there are processes: nothing of the leaf is
 * forced (I6), though empty nested groups may already be gone. A leaf that is gone is fine. */
int cg_leaf_remove(struct cg_leaf *l, struct err *e);

/* What its files tell (cgroup/cg_facts.h). A leaf that is gone tells nothing. */
void cg_leaf_facts(struct cg_leaf *l, struct fact_cgroup *ret);
