/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A kernel without CLONE_INTO_CGROUP, a seccomp filter of a container, a tree that is threaded: all of these would show
 * as a fault of the host at each event. Here they show at start, by name.
 *
 * And one trap: to close the race between fork and cgroup.kill, newer kernels compare the kill count of the group when
 * the fork began with that when it ended. For CLONE_INTO_CGROUP the first is read from the parent's own group, the
 * second from the leaf (seen with 6.18). So if our group has ever been killed through cgroup.kill, by a service manager
 * that stopped the daemon before us in it, say, every child dies by SIGKILL before its first instruction, and every
 * function would be reported as killed by nobody. A fresh group has no history: we move into one.
 */
#include "launch/launch_probe.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>

#include "base/id.h"
#include "base/log.h"
#include "base/mem.h"
#include "cgroup/cg_leaf.h"
#include "sys/sys_calls.h"

/* Returns the child's wait status. */
static int one_child(struct cg_leaf *leaf, struct sys_spawner *spawner, struct err *e)
{
	static const struct sys_step leave[] = { { .name = "exit_group", .nr = SYS_exit_group, .arg = { 0 } } };
	struct sys_spawn s = { .steps = leave, .n_steps = 1, .cgroup_fd = leaf->fd };
	int status = 0, r = sys_spawner_start(spawner, &s, e);

	if (r < 0)
		return err_wrap(e, r, "a process cannot be started in %s", leaf->tree->env);
	r = sys.wait_pidfd(s.pidfd, &status);
	(void)sys.close(s.pidfd);
	sys_spawn_done(&s);
	return r < 0 ? err_errno(e, r, "wait for the process in %s", leaf->tree->env) : status;
}

static int probe_once(struct cg_tree *tree, struct sys_spawner *spawner, struct err *e)
{
	CLEAN(cg_leaf_done) struct cg_leaf leaf = CG_LEAF_NONE;
	char name[64];
	int r, removed;

	snprintf(name, sizeof(name), "probe-%016" PRIx64, id_random64());
	r = cg_leaf_new(tree, name, NULL, &leaf, e);
	if (r < 0)
		return r;
	r = one_child(&leaf, spawner, e);
	removed = cg_leaf_remove(&leaf, r < 0 ? NULL : e);
	return r < 0 ? r : removed < 0 ? removed : r;
}

int launch_probe(struct cg_tree *tree, struct sys_spawner *spawner, struct err *e)
{
	int r = probe_once(tree, spawner, e);

	if (r != SIGKILL)
		return r < 0 ? r : 0;
	r = cg_tree_step_aside(tree, e);
	if (r < 0)
		return err_wrap(e, r, "this kernel kills what is cloned out of a group that was once killed, as ours was");
	log_note("our own cgroup was killed once, and this kernel kills what is cloned out of it: moved into a fresh one below %s",
		 tree->root);
	r = probe_once(tree, spawner, e);
	if (r == SIGKILL)
		return err_set(e, -EPERM, "processes started in %s are killed at once", tree->env);
	return r < 0 ? r : 0;
}
