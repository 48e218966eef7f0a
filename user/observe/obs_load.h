/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The skeleton's life: open → knobs → sizes → adopt pinned maps → load → pin → attach → activate. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "observe/obs_feature.h"
#include "observe/observe.h"

struct fate_bpf;

struct obs_load {
	char *dir;
	int dir_fd;			/* locked while open */
	struct fate_bpf *skel;
	struct obs_features features;
	uint32_t generation;		/* of this load: 1 on the first since boot, never given twice */
	bool taken_over;		/* an earlier daemon's maps are in use */
	uint32_t layout_replaced;	/* the layout version whose pins were set aside; 0: none */
	uint32_t max_environments;	/* may differ from what was asked while an earlier daemon's entries live */
	uint32_t ring_bytes;
	uint32_t adopted;		/* BIT(i): the i-th pinned map came from the earlier daemon */
	int env_fd, watch_fd, senders_fd, ring_fd, count_fd;	/* the skeleton's */
	int live_fd;			/* of the link whose reading walks all tasks; -1: none */
	size_t senders_size;		/* of a value of fate_senders */
};

/* All of observe_new() but the ring's reader. */
int obs_load_new(const struct observe_config *cfg, struct obs_load **ret, struct err *e);
int obs_load_map_fd(const struct obs_load *l, const char *name);	/* -ENOENT */
/* How often the kernel has skipped one of the programs that count, since they were loaded: a program does not run on a
 * processor where it is running already, and where tracepoints can be preempted (7.x), it can be. Two system calls. */
uint64_t obs_load_missed(const struct obs_load *l);
struct obs_load *obs_load_free(struct obs_load *l, bool unpin);	/* NULL is fine; returns NULL */
