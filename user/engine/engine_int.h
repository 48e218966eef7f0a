/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the engine's own files share. Nobody else includes this. */
#include "base/buf.h"
#include "base/list.h"
#include "base/map.h"
#include "engine/engine.h"
#include "engine/schedule.h"
#include "model/env.h"
#include "model/record.h"

#define ENGINE_DELIVERIES_MAX 64	/* sends under way at once */
#define ENGINE_COMMIT_RETRY_NS (1000 * 1000000LL)	/* a failed commit is tried again after this */
#define ENGINE_TIMER_SLACK_NS (50 * 1000000LL)		/* our deadline timer is the second witness: it speaks after the kernel's */

struct waiter { struct list link; uint64_t handle; intake_reply_fn reply; void *arg; };

/* An open invocation in memory: the row, and what is not durable or can be read again. */
struct inv {
	struct inv_row row;
	struct blob *payload;
	struct buf fates;		/* finished attempts' facts, JSON objects joined by commas */
	struct outcome last;		/* kind OUTCOME_INVALID: no attempt has ended in this process */
	struct list ready;		/* in its function's queue while QUEUED */
	struct sched_node due;		/* wall clock: due time, or expiry */
	struct env *env;		/* while RUNNING */
	struct list waiters;
	uint64_t handle;		/* of the caller who waits for `reply`; 0 = nobody */
	intake_reply_fn reply;
	void *arg;
	int64_t started_at_ms;		/* of the running attempt */
	int64_t queued_ns;		/* monotonic: since when it could be started; 0 = since before this daemon */
	bool settled;			/* ROUTING: its record is durable */
	int outbox_open;		/* rows not yet acknowledged */
	bool sync;
};

/* Dispatch state of one function name; lives while it has work. */
struct fn {
	char name[LIM_FUNCTION_NAME_MAX + 1];
	struct list ready;		/* of inv.ready, oldest first */
	struct list turn;		/* in engine.fns_ready: has work and, as far as we know, room */
	int running;
};

#define ENGINE_STDERR_TAIL 2048u	/* bytes of stderr that go into the record */

struct env {
	struct env_row row;
	struct evidence ev;
	struct func *func;
	struct inv *inv;		/* NULL once settled: ENV_LEFT */
	struct fn *fn;
	char request_id[ID_UUID_LEN + 1];
	int attempt, timeout_ms, memory_mb;
	bool sync;
	struct buf tail;		/* of stderr; at most twice what is kept */
	struct buf summary;		/* the log's last line, once settled */
	struct env_proc *proc;
	uint64_t cgroup_id;
	struct sched_node timer;	/* monotonic */
	enum outcome_kind verdict;	/* as taken when the first witness spoke */
};

struct delivery {
	struct store_op_outbox row;	/* blobs owned */
	struct inv *inv;		/* the ROUTING event it belongs to */
	struct sched_node due;		/* wall clock */
	struct list queue;		/* due, waiting for a free sender */
	bool sending;
};

/* What to do once the batch is durable, in the order it was decided. */
enum after_kind {
	AFTER_ACCEPTED,	/* 202 to the caller (I1) */
	AFTER_CANCELLED,	/* the end, or the wish for it, is durable: 202 to whoever wished it */
	AFTER_LAUNCH,	/* the attempt's number is durable (I2) */
	AFTER_FORGET,	/* the outcome is durable: the pinned entry may go */
	AFTER_SETTLED,	/* the record is durable: whoever waits for the end is told */
	AFTER_SEND,	/* the outbox row is durable */
	AFTER_ENDED	/* DONE is durable: out of memory */
};
struct after { enum after_kind kind; struct inv *inv; struct delivery *delivery; struct waiter *waiter; uint64_t cgroup_id; };
struct turn_batch {
	struct store_batch store;
	struct after *after;
	size_t n_after, cap_after;
};

/* The message that goes in the transaction of the event made of it. */
struct redrive { char queue[LIM_ARN_MAX + 1]; char receipt[ID_UUID_LEN + 1]; };

enum msg_kind { MSG_INVOKE, MSG_WAIT, MSG_CANCEL, MSG_RETRY, MSG_FACT, MSG_DELIVERED };
struct msg {
	enum msg_kind kind;
	union {
		struct {
			enum intake_type type;
			bool overflow;	/* the inbox was full: to be refused */
			struct inv *inv;
			struct redrive *redrive;	/* owned; NULL = not from a queue */
		} invoke;
		struct { struct waiter *w; char request_id[ID_UUID_LEN + 1]; } wait;	/* MSG_CANCEL, MSG_RETRY, too */
		struct fact fact;
		struct { int64_t seq; enum outbox_role role; enum delivered how; char why[256]; } delivered;
	};
};

struct engine {
	struct engine_ports ports;
	struct engine_config cfg;
	struct registry *registry;

	struct msg *inbox, *spare_inbox;
	size_t n_inbox, cap_inbox, cap_spare;
	size_t invokes_in_inbox;

	struct strmap by_request;	/* open asynchronous events */
	struct map callers;		/* handle → struct inv whose caller waits for a reply */
	struct map waits;		/* handle → struct waiter */
	struct strmap fns;
	struct list fns_ready;
	struct map envs;		/* cgroup id → struct env */
	struct map deliveries;		/* seq * 4 + role → struct delivery */
	struct list deliveries_due;
	int deliveries_under_way;
	struct sched wall, wall_deliveries;	/* inv.due; delivery.due */
	struct sched mono;			/* env.timer */

	struct turn_batch *filling, *flying;
	bool flown;			/* the store has answered for `flying` */
	int flown_result;
	struct err flown_err;
	int64_t commit_retry_at_ns;	/* 0 = none */

	int64_t next_seq;
	uint64_t next_handle;
	int running;			/* environments, both kinds */
	bool draining, stopping;
	int64_t open_at_start;		/* events that had not ended yet */
	struct engine_law law;
	/* starts - exits - alive, and what the kernel had not shown by then, when the books last balanced (at start: so it was
	 * before us; the counters outlive daemons); how far they were from that in the last conclusive walk */
	bool balanced;
	int64_t drift_at_balance, drift_seen;
	uint64_t missed_at_balance;
	struct engine_stats stats;
};

/* engine.c */
struct inv *inv_new(void);
void inv_waiters_reply(struct engine *e, struct inv *inv, const struct intake_reply *r);
void inv_free(struct engine *e, struct inv *inv);
void env_free(struct env *env);
void inv_track(struct engine *e, struct inv *inv, int was_state);	/* -1: new; keeps counters and by_request */
int64_t now_wall(struct engine *e);
int64_t now_mono(struct engine *e);
void new_uuid(struct engine *e, char out[ID_UUID_LEN + 1]);
void inv_reply(struct engine *e, struct inv *inv, const struct intake_reply *r);

/* turn.c: adding to the batch that is being filled */
struct store_op *batch_op(struct engine *e, enum store_op_kind kind);
void batch_after(struct engine *e, enum after_kind kind, struct inv *inv, struct delivery *d, uint64_t cgroup_id);
void batch_event_set(struct engine *e, const struct inv *inv, uint32_t epoch_was);

/* dispatch.c */
void dispatch_enqueue(struct engine *e, struct inv *inv);	/* QUEUED: into its function's queue, expiry armed */
void dispatch_all(struct engine *e);
void dispatch_released(struct engine *e, struct fn *fn);	/* one of fn's environments is gone */
void dispatch_forget(struct engine *e, struct inv *inv);	/* leaves queue and heap */
struct fn *dispatch_fn(struct engine *e, const char *name);
void dispatch_accept(struct engine *e, struct inv *inv);	/* a new event: row, queue; filling batch */
bool dispatch_sync(struct engine *e, struct inv *inv, struct intake_reply *refusal);

/* attempt.c */
void attempt_new(struct engine *e, struct inv *inv, struct func *f);	/* claims a place; launch follows */
void attempt_launch(struct engine *e, struct inv *inv);
void attempt_fact(struct engine *e, const struct fact *f);
/* What was asked of the attempt, for its record; 0 = not known. */
struct attempt_terms { int timeout_ms, memory_mb; uint64_t cgroup_id; };
/* forget: whose entry goes once the outcome is durable; 0 = nobody's. */
void attempt_settle(struct engine *e, struct inv *inv, const struct evidence *ev, struct attempt_terms terms, uint64_t forget);
bool attempt_cancel(struct engine *e, struct inv *inv);	/* RUNNING; false: it is ending by itself */
void attempt_output(struct engine *e, uint64_t cgroup_id, const char *data, size_t len);
void attempt_name_groups(struct engine *e, struct evidence *ev);
void attempt_timers(struct engine *e);

/* route.c */
void route_event(struct engine *e, struct inv *inv, bool throttled);	/* ROUTING: record, targets, outbox; DONE when nothing is owed */
void route_delivered(struct engine *e, int64_t seq, enum outbox_role role, enum delivered how, const char *why);
void route_due(struct engine *e, struct delivery *d);
void route_pump(struct engine *e);
void route_ended(struct engine *e, struct inv *inv, enum inv_state was, bool throttled);	/* never (again) to be run: out of its queue, routed */
void route_over(struct engine *e, struct inv *inv);		/* ROUTING with nothing owed any more: DONE, in a batch of its own */
struct delivery *route_adopt(struct engine *e, const struct store_op_outbox *row);
void delivery_free(struct delivery *d);
