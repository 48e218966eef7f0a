/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Does a launch work here? Asked once, before the first event is. */
#include "cgroup/cg_tree.h"
#include "sys/sys_spawn.h"

/*
 * Clones one child into a leaf and out again. Negative with a sentence when this kernel or container cannot do it.
 * Where the kernel kills what we clone because our own group was once killed (see the .c), the daemon steps aside
 * into a fresh group. Blocks for about a millisecond.
 */
int launch_probe(struct cg_tree *tree, struct sys_spawner *spawner, struct err *e);
