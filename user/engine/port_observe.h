/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the engine asks of the kernel half: watch a leaf, say what its entry holds, forget it. */
#include <stdint.h>

#include "base/err.h"
#include "model/fact.h"

#define PORT_OBSERVE_VERSION 2

struct observe_spec {
	uint64_t cgroup_id;
	const char *function, *request_id;
	int attempt;
	int64_t timeout_ns;
};

/* The kernel half's own books, over all environments since its maps were made. starts = exits + alive, always. */
struct observe_books {
	uint64_t starts, exits;		/* processes */
	uint64_t alive;			/* in watched leaves now, counted by a walk over all tasks */
	bool settled;			/* nothing started or ended during the walk: the three can be compared */
	uint64_t missed;		/* starts and exits that the kernel did not show us: so far the three may be apart */
	uint64_t dropped;		/* records, all kinds */
};

struct port_observe;
struct port_observe_ops {
	int version;
	/* Before the first process enters the leaf. Facts BPF_EXIT, BPF_EMPTY, BPF_DEADLINE, BPF_OOM follow (fact_sink). */
	int (*watch)(struct port_observe *o, const struct observe_spec *spec, struct err *e);
	/* The entry as it stands; ret->seen false when there is none. One map look-up. */
	void (*read)(struct port_observe *o, uint64_t cgroup_id, struct fact_bpf *ret);
	/* Deletes entry and watch; unknown ids are fine. */
	void (*forget)(struct port_observe *o, uint64_t cgroup_id);
	/* The leaf's processes are about to be killed because the daemon was restarted: from now on scan() says so, also to
	 * the daemon after us, should we die before the outcome is durable. */
	void (*mark_reaped)(struct port_observe *o, uint64_t cgroup_id);
	/* Walks all tasks of the host, so that read() shows what the living ones of each environment use (fate_env.live).
	 * About a microsecond a task: for people who look, and every few seconds, not for every event. */
	int (*walk)(struct port_observe *o, struct observe_books *ret, struct err *e);
	/* Entries an earlier daemon left, each once; then they are known as if watched by us. Before the loop runs.
	 * Returns 1 when the pins were taken over (an event without an entry never had a process), 0 when they are new. */
	int (*scan)(struct port_observe *o, void (*entry)(void *arg, uint64_t cgroup_id, const struct fact_bpf *b), void *arg,
		    struct err *e);
};
struct port_observe { const struct port_observe_ops *ops; };
