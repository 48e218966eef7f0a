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
	int64_t by_condition[COND_ZERO_CONCURRENCY + 1];
	int64_t by_outcome[OUTCOME_MAX];		/* attempts judged since start */
	int64_t attempts_started, environments;
	int64_t witness[4], witnesses_disagree;
	int64_t commits, commit_failures, ops_committed;
	int64_t deliveries_acked, deliveries_retried, deliveries_failed;
	int64_t recovered_running;			/* found running at start */
	int64_t stale;					/* settles refused by the fence */
	bool in_doubt;					/* I8 */
	char doubt_why[256];
	bool draining;
};
void engine_stats(const struct engine *e, struct engine_stats *ret);

/* One running environment, for status. Borrowed strings. */
struct engine_env_info {
	uint64_t cgroup_id;
	const char *function, *request_id, *state;
	int attempt;
	bool sync;
	int64_t started_ns, deadline_ns;
};
void engine_environments(const struct engine *e, void (*each)(void *arg, const struct engine_env_info *i), void *arg);
