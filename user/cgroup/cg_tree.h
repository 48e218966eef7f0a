/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The delegated subtree: <root>/supervisor (the daemon, when it was inside the root) and <root>/env/<leaf>, one leaf
 * for each environment. Single writer: nobody else makes directories below the root.
 */
#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "cgroup/cg_above.h"
#include "cgroup/cg_limits.h"

struct cg_tree_config {
	const char *path;	/* a directory for us alone, absolute, made when missing; NULL = find one */
	const char *name;	/* NULL path and no delegation: directory below our own cgroup; NULL = "fated" */
};

struct cg_tree {
	char *root;		/* the delegated directory */
	char *env;		/* its direct children are the leaves */
	char *mount;		/* the cgroup2 mount both are below */
	int env_fd;
	int lock_fd;		/* flock: one daemon a subtree */
	uint64_t env_id;	/* cgroup id of env */
	int env_level;		/* its depth as this cgroup name space shows it: what the kernel calls level, outside containers */
	unsigned int controllers;	/* set of enum cg_controller the leaves have */
	struct cg_above *above;	/* NULL without the memory controller */
	bool made_root, made_env, delegated, moved_self, hybrid;
	char *home;		/* where we were before cg_tree_step_aside(); NULL */
	char *aside;		/* where we are since */
	char why_not[CG_CONTROLLERS][160];	/* why a controller is missing, by the place of its bit; "" */
	char why[160];		/* the first of them; "" = all are there */
};

/* Makes what is missing and enables the controllers there are. A missing controller is not an error. */
int cg_tree_new(const struct cg_tree_config *cfg, struct cg_tree **ret, struct err *e);
/* Moves this process into a fresh group below the root, which has never been killed. Once. */
int cg_tree_step_aside(struct cg_tree *t, struct err *e);
/* Why the leaves do not have this controller, a sentence; "" when they do. (Which are missing: wanted & ~controllers,
 * or cg_limits_missing() for those that limits need.) */
const char *cg_tree_why_not(const struct cg_tree *t, enum cg_controller c);
/* The path of a cgroup below the mount, "/" for the top. -ENOENT: it is gone (also when it was removed and its name ends
 * in " (deleted)"), not to be seen from here, or the kernel does not tell us. -ENAMETOOLONG. */
int cg_tree_group_path(const struct cg_tree *t, uint64_t id, char *ret, size_t size);
/* Adds members path, level, delegated, hierarchy, controllers {name: {enabled, reason}} to obj. */
void cg_tree_status(const struct cg_tree *t, cJSON *obj);
/* NULL is fine. remove: the directories we made go too, when empty (a leaf that is left keeps them), and a process that
 * stepped aside goes home. */
struct cg_tree *cg_tree_free(struct cg_tree *t, bool remove);

