/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The launcher: environments as process trees in leaf cgroups (engine/port_launch.h). */
#include <systemd/sd-event.h>

#include "base/err.h"
#include "cgroup/cg_tree.h"
#include "engine/port_launch.h"
#include "launch/launch_keep.h"

/* On the loop after the kernel half's ring (observe/observe.h), before the cgroup's own events. */
#define LAUNCH_PRIORITY_PIPE (SD_EVENT_PRIORITY_IMPORTANT - 20)
#define LAUNCH_PRIORITY_CHILD SD_EVENT_PRIORITY_IMPORTANT
#define LAUNCH_PRIORITY_CGROUP (SD_EVENT_PRIORITY_IMPORTANT + 20)

struct launch_config {
	unsigned int spawn_workers_max;	/* programs that may hang before their exec at one time; 0 = 64 */
	const struct launch_keeper *keeper;	/* borrowed for life; NULL: nothing outlives this daemon */
	/* An environment is stored when it has lived for so long; 0 = at once. A store and its removal cost pid 1 as much as a
	 * launch costs us, or more: what ends before costs it nothing, and in a crash of ours is killed and tried again.
	 * abandon() stores what is not yet. */
	unsigned int keep_after_ms;
	unsigned int reap_max_ms;	/* how long reap() waits for the dead to be gone; 0 = 10 s */
	struct launch_kept_list *kept;	/* what an earlier one had stored: taken over, the list is empty then; NULL = nothing */
};

struct launch;
/* sink is copied. What is in cfg->kept is taken also when it fails. tree is borrowed for life. Call it when the signal
 * dispositions are as they will stay: those ignored now are what is reset in the children. -EINVAL when SIGCHLD is ignored.
 * Starts one child in the tree to see that it can (launch/launch_probe.h), and waits for it. */
int launch_new(sd_event *loop, struct cg_tree *tree, const struct launch_config *cfg, const struct fact_sink *sink,
	       struct launch **ret, struct err *e);
struct port_launch *launch_port(struct launch *l);
/* Users and groups may have changed: they are looked up again. */
void launch_forget_users(struct launch *l);
/* Environments that could not be given to the keeper, and removals it will never hear of: since the start. */
uint64_t launch_keep_failed(const struct launch *l);
/* All environments must have been released or abandoned. NULL in; returns NULL. */
struct launch *launch_free(struct launch *l);
