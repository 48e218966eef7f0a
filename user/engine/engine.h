/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The hub. One thread owns it. A turn: what was posted is stepped, committed once, then released (engine/turn.c).
 */
#include <stdbool.h>
#include <stdint.h>

#include "engine/intake.h"
#include "engine/port_clock.h"
#include "engine/port_deliver.h"
#include "engine/port_launch.h"
#include "engine/port_log.h"
#include "engine/port_observe.h"
#include "engine/port_store.h"
#include "engine/registry.h"

struct engine_ports {
	struct port_clock *clock;
	struct port_store *store;
	struct port_launch *launch;
	struct port_observe *observe;	/* NULL: second witness alone */
	struct port_deliver *deliver;
	struct port_log *log;		/* NULL: none */
};
struct engine_config {
	char region[32];
	int concurrency_max;		/* all functions together */
	int queue_max;			/* open asynchronous events; beyond it 429 */
	int inbox_max;			/* posted and not yet handled */
	bool record_fate;		/* the record's member "fate", unless a function says no */
};

struct engine *engine_new(const struct engine_ports *ports, const struct engine_config *cfg);
struct engine *engine_free(struct engine *e);		/* NULL in; returns NULL. Environments must be gone (engine_stop) */

/* Recovery: reaps what an earlier run left, loads what is open, judges what was running. Blocks; before the loop. */
int engine_start(struct engine *e, struct err *err);
/* Handles what was posted and what is due. Cheap when there is nothing. */
void engine_turn(struct engine *e);
/* When the next turn is due without any news: INT64_MAX = never. One on the wall clock, one on the monotonic. */
int64_t engine_next_wall_ms(const struct engine *e);
int64_t engine_next_mono_ns(const struct engine *e);
/* True while a turn would find something to do at once. */
bool engine_pending(const struct engine *e);

/* No new dispatches and no new events (503); running environments go on. */
void engine_drain(struct engine *e);
/* After engine_drain: kills what still runs; those attempts end as Interrupted. Turns must go on until engine_quiet. */
void engine_stop(struct engine *e);
/* True when nothing runs and nothing is being committed. */
bool engine_quiet(const struct engine *e);
/* The registry was swapped: look at waiting work again. */
void engine_functions_changed(struct engine *e);

struct engine_stats {
	int64_t accepted, refused, sync_invocations, throttled;
	int64_t queued, running, waiting, routing;	/* open asynchronous events now */
	int64_t running_sync;
	int64_t succeeded, failed;			/* ended since start, by condition below */
	int64_t by_condition[COND_MAX];
	int64_t by_outcome[OUTCOME_MAX];		/* attempts judged since start */
	int64_t attempts_started, environments;
	int64_t witness[4], witnesses_disagree;
	int64_t commits, commit_failures, ops_committed;
	int64_t deliveries_acked, deliveries_retried, deliveries_failed;
	int64_t recovered_running;			/* found running at start */
	int64_t stale;					/* settles refused by the fence */
	int64_t left_running;				/* environments whose processes go on after the answer (Leftovers "warn") */
	bool in_doubt;					/* I8 */
	char doubt_why[256];
	bool draining;
};
void engine_stats(const struct engine *e, struct engine_stats *ret);

/*
 * The law of conservation. What was accepted is queued, runs, or has ended; what the kernel half saw start has exited or is
 * alive. Both sides of each line come from different books: open events are counted anew, living processes by a walk over
 * all tasks. A drift is a defect of ours, or processes that left their cgroup (a function that runs as root can).
 */
struct engine_law {
	int64_t accepted;		/* since start, and what was open then */
	int64_t queued, running;	/* queued and waiting; running */
	int64_t settled, dead_lettered;	/* ended with success; for good without */
	bool events_hold;
	bool observed;			/* the rest is filled: there is a kernel half */
	int64_t starts, exits, alive;	/* processes; starts and exits since the kernel's maps were made */
	int64_t drift;			/* starts - exits - alive, less what it was when the books last balanced; seen twice */
	int64_t missed;			/* starts and exits the kernel did not show since the books last balanced */
	bool processes_hold;
};
/* Compares the books; walks all tasks, see port_observe. */
void engine_audit(struct engine *e);
/* As the last audit found it. */
void engine_law(const struct engine *e, struct engine_law *ret);

/* One running environment, for status. Borrowed strings. */
struct engine_env_info {
	uint64_t cgroup_id;
	const char *function, *request_id, *state;
	int attempt;
	bool sync;
	int64_t started_ns, deadline_ns;
	bool seen;			/* by the kernel half: the rest is filled, as of the last audit */
	uint64_t cpu_ns, rss_bytes;
	unsigned int processes, threads;
};
void engine_environments(const struct engine *e, void (*each)(void *arg, const struct engine_env_info *i), void *arg);
