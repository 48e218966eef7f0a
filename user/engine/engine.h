/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The hub. One thread owns it. A turn: what was posted is stepped, committed once, then released (engine/turn.c).
 *
 * Three clocks. The monotonic one for deadlines. The wall clock for time stamps in records. And a steady one for due times
 * and ages: it shows the wall clock's time when it was anchored and goes on by CLOCK_BOOTTIME, so a wall clock that is set
 * back or forward neither delays a retry nor ages an event, and a suspend counts. It is anchored anew at a boot, and while
 * nothing is open; the anchor is stored, so that a restarted daemon goes on with the same clock.
 *
 * Memory is bounded: of each function's queue, of the waiting events, and of each target's deliveries the engine holds
 * the next ones; the rest stays in the store until its turn comes near (engine/backlog.c).
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
	int window_max;			/* open events held in memory, but for a few of every function that has some */
	int64_t window_bytes;		/* their payloads and facts; and as much of deliveries' bodies */
	/* 0 = as in engine_int.h; less makes a simulation load and park more often. */
	int window_min, page_max, target_window;
	int64_t lease_ms;		/* a claim's: longer than any attempt with its grace */
};

struct engine *engine_new(const struct engine_ports *ports, const struct engine_config *cfg);
struct engine *engine_free(struct engine *e);		/* NULL in; returns NULL. Environments must be gone (engine_stop) */

/* Recovery: reaps what an earlier run left, loads what is open, judges what was running. Blocks; before the loop. */
int engine_start(struct engine *e, struct err *err);
/* Handles what was posted and what is due. Cheap when there is nothing. */
void engine_turn(struct engine *e);
/* When the next turn is due without any news: INT64_MAX = never. One on the steady clock, one on the monotonic. */
int64_t engine_next_steady_ms(const struct engine *e);
int64_t engine_steady_ms(const struct engine *e);	/* now */
int64_t engine_next_mono_ns(const struct engine *e);
/* True while a turn would find something to do at once. */
bool engine_pending(const struct engine *e);

/* No new dispatches and no new events (503); running environments go on. */
void engine_drain(struct engine *e);
/* After engine_drain: kills what still runs; those attempts end as Interrupted. Turns must go on until engine_quiet. */
void engine_stop(struct engine *e);
/* True when nothing runs and nothing is being committed. */
bool engine_quiet(const struct engine *e);
/* After engine_drain, instead of engine_stop: what runs is left running, for a later daemon to adopt; nothing more of it is
 * settled. True when that is so and all that was decided is durable: engine_free may follow. Turns go on until then. */
bool engine_leave(struct engine *e);
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
	int64_t adopted;				/* of those, taken over as they were */
	bool rebooted;					/* the host was, since the daemon before this one */
	int64_t stale;					/* settles refused by the fence */
	int64_t refused_ops;				/* and for other reasons of single rows: given up */
	char refused_why[256];				/* the last of either */
	int64_t lost;					/* open events that left us so: without an end of ours */
	int64_t in_memory, in_memory_bytes;		/* open events held in memory, their payloads */
	int64_t recursive, poison;			/* ended by those */
	int64_t delivery_failures, dead_letter_errors;	/* Lambda's DestinationDeliveryFailures and DeadLetterErrors */
	int64_t deliveries_owed, targets_open;		/* now; targets whose breaker is open */
	int64_t clock_step_ms;				/* the wall clock less the steady one */
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
	int64_t lost;			/* another's: refused by the fence */
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

/* Functions with QUEUED events, and how many. */
void engine_backlogs(const struct engine *e, void (*each)(void *arg, const char *function, int64_t queued), void *arg);

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
