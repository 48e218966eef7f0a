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

#define ENGINE_DELIVERIES_MAX 64	/* sends under way at once, all targets together */
#define ENGINE_TARGET_SENDS_MAX 16	/* to one target */
#define ENGINE_TARGET_WINDOW 256	/* deliveries of one target held in memory */
#define ENGINE_BREAKER_AT 5		/* failures in a row that open a target's breaker */
#define ENGINE_WINDOW_MIN 8		/* events of one function held in memory however full it is */
#define ENGINE_WINDOW_FN 1024		/* and at most */
#define ENGINE_PAGE 512			/* rows of one load */
#define ENGINE_PAGE_BYTES (16 << 20)
#define ENGINE_AHEAD_MS 1000		/* waiting events are loaded so long before they are due */
#define ENGINE_ANCHOR_MS (600 * 1000LL)	/* the steady clock's anchor is stored again after that */
#define ENGINE_COMMIT_RETRY_NS (1000 * 1000000LL)	/* a failed commit is tried again after this */
#define ENGINE_PATIENCE_NS (10 * 1000000000LL)		/* then who waits for a failing commit is told so */
#define ENGINE_TIMER_SLACK_NS (50 * 1000000LL)		/* our deadline timer is the second witness: it speaks after the kernel's */

struct waiter { struct list link; uint64_t handle; intake_reply_fn reply; void *arg; };

/* An open invocation in memory: the row, and what is not durable or can be read again. */
struct inv {
	struct inv_row row;
	struct blob *payload;
	struct buf fates;		/* finished attempts' facts, JSON objects joined by commas */
	struct outcome last;		/* kind OUTCOME_INVALID: no attempt has ended in this process */
	struct list ready;		/* in its function's queue while QUEUED */
	struct sched_node due;		/* steady clock: due time, or expiry */
	uint32_t stored_epoch;		/* the row's in the store, once what is in batches is written */
	bool parking;			/* leaves the memory once its row is durable, unless there is room by then */
	int parks;			/* AFTER_PARKs that are under way, of this wish and of earlier ones that were taken back */
	size_t bytes;			/* of payload and fates, as counted in engine_stats.in_memory_bytes */
	struct env *env;		/* while RUNNING */
	struct list waiters;
	uint64_t handle;		/* of the caller who waits for `reply`; 0 = nobody */
	intake_reply_fn reply;
	void *arg;
	int64_t started_at_ms;		/* of the running attempt */
	int64_t queued_ns;		/* monotonic: since when it could be started; 0 = since before this daemon */
	bool sync;
};

/* What of a queue is in the store alone (backlog.c). Whatever is not behind the cursor is in memory; behind it rows are on
 * disk, or in memory, too. */
enum backlog_kind { BACKLOG_QUEUED, BACKLOG_WAITING, BACKLOG_OUTBOX };
struct backlog {
	enum backlog_kind kind;
	int64_t on_disk;
	int64_t cursor_ms;		/* WAITING: with cursor, the last (due_at_ms, seq) that is in memory */
	int64_t cursor;			/* seq; OUTBOX: STORE_OUTBOX_POS */
	struct list hungry;		/* in engine.hungry: to be loaded from */
	bool loading;
};

/* Dispatch state of one function name; lives while it has work. */
struct fn {
	char name[LIM_FUNCTION_NAME_MAX + 1];
	struct list ready;		/* of inv.ready, oldest first */
	int n_ready;
	struct list turn;		/* in engine.fns_ready: has work and, as far as we know, room; or in fns_blocked */
	int running;
	int reserved;			/* ReservedConcurrentExecutions, -1 = it shares what others leave */
	struct backlog backlog;
};

/* One destination outside of our store; lives while it is owed something. */
struct dest_target {
	char name[LIM_ARN_MAX + 1];
	struct list due;		/* of delivery.queue */
	struct list turn;		/* in engine.targets_ready */
	int in_memory, sending;
	int failures;			/* in a row */
	struct sched_node probe;	/* steady clock: when an open breaker lets the next one through */
	bool open;
	struct backlog backlog;
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
	bool fenced;			/* its claim was refused: killed, and nothing is said of it */
	struct env_proc *proc;
	uint64_t cgroup_id;
	struct sched_node timer;	/* monotonic */
	enum outcome_kind verdict;	/* as taken when the first witness spoke */
};

struct delivery {
	struct store_op_outbox row;	/* blobs owned */
	struct dest_target *to;
	struct sched_node due;		/* steady clock */
	struct list queue;		/* due, waiting for a free sender */
	bool sending;
	bool pending;			/* an AFTER_SEND or AFTER_OVER names it */
	bool over;			/* not owed any more, once that is durable */
	bool lost;			/* its row was not ours to change any more: forgotten when the sender has answered */
};

/* What to do once the batch is durable, in the order it was decided. */
enum after_kind {
	AFTER_ACCEPTED,	/* 202 to the caller (I1) */
	AFTER_CANCELLED,	/* the end, or the wish for it, is durable: 202 to whoever wished it */
	AFTER_LAUNCH,	/* the attempt's number is durable (I2) */
	AFTER_FORGET,	/* the outcome is durable: the pinned entry may go */
	AFTER_RELEASE,	/* and leaf and descriptors: until then they are what a later daemon would judge from */
	AFTER_SETTLED,	/* the record is durable: whoever waits for the end is told */
	AFTER_SEND,	/* the outbox row is durable */
	AFTER_OVER,	/* a delivery is not owed any more */
	AFTER_ENDED,	/* the end is durable: out of memory */
	AFTER_PARK,	/* its row is durable: out of memory until its turn comes near */
	AFTER_ANSWER,	/* what was wished is durable: status to whoever wished it */
	AFTER_NOTHING,
	AFTER_PUBLISHED,	/* version or alias is durable: into the registry */
};
struct after {
	enum after_kind kind;
	struct inv *inv;
	struct delivery *delivery;
	struct waiter *waiter;
	uint64_t cgroup_id;
	struct env_proc *proc;		/* RELEASE */
	int status;			/* ANSWER, PUBLISHED */
	struct func *func;		/* PUBLISHED: references */
	struct alias *alias, *gone;
	int64_t seq;			/* ANSWER: the event it is about; 0 = none. PUBLISHED without func: the version's number */
};
struct turn_batch {
	struct store_batch store;
	struct after *after;
	size_t n_after, cap_after;
};

/* The message that goes in the transaction of the event made of it. */
struct redrive { char queue[LIM_ARN_MAX + 1]; char receipt[ID_UUID_LEN + 1]; };

/* Somebody's wish about something else than an open event. */
struct wish {
	enum { WISH_DELIVERY, WISH_PUBLISH, WISH_ALIAS_SET, WISH_ALIAS_DEL } kind;
	struct waiter *w;
	enum delivery_wish delivery;
	struct store_op_outbox row;	/* WISH_DELIVERY: references */
	char function[LIM_FUNCTION_NAME_MAX + 1], name[LIM_QUALIFIER_MAX + 1];
	char *description;
	struct alias *alias;
	char revision[ID_UUID_LEN + 1];	/* the alias' as whoever wishes it has seen it; "" = he has not */
	bool must_exist;
};

/* An event, or a delivery, that is not in memory is asked about. */
struct load {
	struct list link;
	enum { LOAD_FOR_WAIT, LOAD_FOR_CANCEL, LOAD_FOR_RETRY, LOAD_FOR_WISH } why;
	struct waiter *w;
	struct wish *wish;		/* LOAD_FOR_WISH: owned, and w is in there; its row becomes what is found */
	bool found;
	char request_id[ID_UUID_LEN + 1];
};

enum msg_kind { MSG_INVOKE, MSG_WAIT, MSG_CANCEL, MSG_RETRY, MSG_FACT, MSG_DELIVERED, MSG_WISH };
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
		struct wish *wish;	/* owned */
	};
};

/* Why the store is in doubt. */
enum doubt { DOUBT_COMMIT = 1, DOUBT_LOAD = 2 };

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
	struct list fns_blocked;	/* without a reserve, and the others' share is in use */
	struct map envs;		/* cgroup id → struct env */
	struct map deliveries;		/* STORE_OUTBOX_POS → struct delivery */
	struct strmap targets;
	struct list targets_ready;	/* something is due, and one more may be sent */
	int deliveries_under_way;
	int64_t outbox_bytes;		/* bodies of deliveries in memory, all targets together */
	struct sched events, outbox, probes;	/* steady clock: inv.due; delivery.due; dest_target.probe */
	struct sched mono;			/* env.timer */

	struct backlog waiting;		/* WAITING events, all functions together */
	int waiting_in_memory;
	int64_t on_disk;		/* events of all backlogs */
	struct list hungry;		/* backlogs to be loaded from */
	struct list loads;		/* events to be loaded for somebody */
	bool loading;			/* one query at a time: what left the memory meanwhile is in `left` */
	struct backlog *loading_from;	/* NULL: loads' first */
	struct map left, left_deliveries;	/* by seq; by STORE_OUTBOX_POS */
	int64_t parked_ms, parked;	/* in front of what was parked meanwhile in the queue that is loaded from: as a cursor */
	int64_t load_retry_at_ns;	/* 0 = none */
	bool news;			/* a load has brought something: a turn is due */

	int64_t steady_offset_ms;	/* steady clock = boot clock + this */
	int64_t anchored_at_ms;		/* steady; when the anchor was last put into a batch */

	struct turn_batch *filling, *flying;
	bool flown;			/* the store has answered for `flying` */
	int flown_result;
	struct err flown_err;
	int64_t commit_retry_at_ns;	/* 0 = none */
	unsigned int doubts;		/* set of enum doubt (I8) */
	int64_t doubt_since_ns;

	int64_t next_seq;
	int64_t on_behalf_of;		/* the event that is being routed: seq, 0 = none. What is written for it goes with it */
	uint64_t next_handle;
	int running;			/* environments, both kinds */
	int running_unreserved;		/* of functions without a reserve */
	int64_t reserved_sum;		/* of all functions' reserves */
	bool draining, stopping, leaving;
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
void inv_untrack(struct engine *e, const struct inv *inv);	/* leaves the counters without an end */
int64_t now_wall(struct engine *e);
int64_t now_steady(const struct engine *e);
int64_t now_mono(struct engine *e);
/* Rows that are not ours, or cannot be read: counts n in one of the statistics, and keeps the reason for status. */
void engine_refused(struct engine *e, int64_t *counter, int64_t n, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
struct func *inv_func(struct engine *e, const struct inv *inv);	/* the version it was accepted for; NULL = gone */
void inv_weigh(struct engine *e, struct inv *inv);		/* its bytes into the books */
void steady_anchor(struct engine *e, const struct store_anchor *last);	/* at start; NULL = there is none */
void steady_turn(struct engine *e);				/* anchors anew when it may and must */
uint64_t random64(struct engine *e);
void new_uuid(struct engine *e, char out[ID_UUID_LEN + 1]);
void inv_reply(struct engine *e, struct inv *inv, const struct intake_reply *r);

/* turn.c: adding to the batch that is being filled */
void doubt_set(struct engine *e, enum doubt what, const struct err *err);
void doubt_clear(struct engine *e, enum doubt what);
void answer_about(struct engine *e, struct waiter *w, const char *request_id, int status, const char *message);
void batch_forget(struct engine *e, const struct delivery *d);	/* nothing that is to follow names it any more */
/* Walks what is to follow, of both batches, in order: a NULL starts, a NULL ends. */
struct after *batch_next_after(struct engine *e, const struct after *a);
/* What was asked is done: the event is in memory now, or it is not open; the delivery is as the wish's row says, or settled. */
void ask_again(struct engine *e, const struct load *l);
struct store_op *batch_op(struct engine *e, enum store_op_kind kind);
/* Valid until the next one. */
struct after *batch_after(struct engine *e, enum after_kind kind, struct inv *inv, struct delivery *d, uint64_t cgroup_id);
void batch_event_set(struct engine *e, struct inv *inv);

/* dispatch.c */
void dispatch_enqueue(struct engine *e, struct inv *inv);	/* QUEUED: into its function's queue, expiry armed */
void dispatch_limits(struct engine *e);				/* functions have changed: reserves are read again */
void dispatch_maybe_free(struct engine *e, struct fn *fn);
void dispatch_all(struct engine *e);
void dispatch_released(struct engine *e, struct fn *fn);	/* one of fn's environments is gone */
void dispatch_forget(struct engine *e, struct inv *inv);	/* leaves queue and heap */
struct fn *dispatch_fn(struct engine *e, const char *name);
void dispatch_accept(struct engine *e, struct inv *inv);	/* a new event: row, queue; filling batch */
void dispatch_accepted(struct engine *e, struct inv *inv);	/* and its place; AFTER_ACCEPTED comes in between */
void dispatch_claimed(struct engine *e, struct fn *fn);
bool dispatch_at_limit(const struct engine *e, const char *function);
bool dispatch_sync(struct engine *e, struct inv *inv, struct intake_reply *refusal);

/* attempt.c */
void attempt_new(struct engine *e, struct inv *inv, struct func *f);	/* claims a place; launch follows */
void attempt_launch(struct engine *e, struct inv *inv);
void attempt_fact(struct engine *e, const struct fact *f);
/* What was asked of the attempt, for its record; 0 = not known. */
struct attempt_terms { int timeout_ms, memory_mb; uint64_t cgroup_id; };
/* f: its definition now, or the one it ran by when there is none any more; NULL = none is known. forget: whose entry goes once
 * the outcome is durable; 0 = nobody's. */
void attempt_settle(struct engine *e, struct inv *inv, struct func *f, const struct evidence *ev, struct attempt_terms terms,
		    uint64_t forget);
bool attempt_cancel(struct engine *e, struct inv *inv);	/* RUNNING; false: it is ending by itself */
void attempt_output(struct engine *e, uint64_t cgroup_id, const char *data, size_t len);
void attempt_name_groups(struct engine *e, struct evidence *ev);
void attempt_exec_unknown(struct evidence *ev);	/* the leader exited, and never executed the program: why is lost */
void attempt_timers(struct engine *e);

bool attempt_adopt(struct engine *e, struct inv *inv, struct func *f, uint64_t cgroup_id, const struct fact_bpf *entry,
		   struct err *err);
void attempt_fence(struct engine *e, struct env *env);	/* its event is not ours any more */

/* backlog.c */
bool backlog_room_outbox(const struct engine *e, int n);	/* for one more delivery to a target that has n in memory */
void backlog_init(struct backlog *b, enum backlog_kind kind);
/* QUEUED or WAITING: into its queue in memory, or parked for want of room; filling batch. */
void backlog_place(struct engine *e, struct inv *inv);
void backlog_waits_no_more(struct engine *e, struct inv *inv);	/* it was WAITING, and in memory: out of that queue */
void backlog_park(struct engine *e, struct inv *inv);	/* AFTER_PARK */
void backlog_feed(struct engine *e);			/* asks the store for what is needed next */
void backlog_load(struct engine *e, struct load *l);	/* owned */
void backlog_hunger(struct engine *e, struct backlog *b);	/* fewer of it are in memory now: it may want a page */
struct inv *backlog_inv(struct engine *e, const struct store_event *ev);	/* into memory, uncounted, in no queue */
void backlog_forget(struct engine *e, struct backlog *b);	/* its owner is about to be freed */
void backlog_left(struct engine *e, const struct inv *inv);
int64_t backlog_next_ms(const struct engine *e);
bool backlog_rests(const struct engine *e);		/* no pages are asked for now */
/* A row of it is on disk only, from now on. */
void backlog_put_back(struct engine *e, struct backlog *b, int64_t key_ms, int64_t key);

/* route.c */
/* ROUTING: record, targets (f's; NULL = there is no definition: none), outbox; DONE when nothing is owed. */
void route_event(struct engine *e, struct inv *inv, const struct func *f, bool throttled);
/* The same of one that is never (again) to be run: out of its queue first. */
void route_ended(struct engine *e, struct inv *inv, enum inv_state was, bool throttled);
/* A delivery that was kept for want of its target, once more: true when it went, else why not. */
bool route_again(struct engine *e, const struct store_op_outbox *row, const struct target *t, char *why, size_t size);

/* outbox.c */
void outbox_put(struct engine *e, const struct inv *inv, enum outbox_role role, const struct target *t, struct blob *body,
		struct blob *attributes);
void outbox_undelivered(struct engine *e, const struct inv *inv, enum outbox_role role, const struct target *t,
			struct blob *body, struct blob *attributes, const char *why);
void outbox_durable(struct engine *e, struct delivery *d);	/* AFTER_SEND */
void outbox_over(struct engine *e, struct delivery *d);		/* AFTER_OVER */
void outbox_take_in(struct engine *e, const struct store_op_outbox *row);	/* loaded from its target's backlog */
void outbox_delivered(struct engine *e, int64_t seq, enum outbox_role role, enum delivered how, const char *why);
/* False: the delivery is not in memory; as it is in the store now is to be found out first (wish->row, looked). */
bool outbox_wish(struct engine *e, struct wish *wish, bool looked);
void outbox_times(struct engine *e);
void outbox_pump(struct engine *e);
void outbox_lost(struct engine *e, int64_t seq);
struct dest_target *outbox_target(struct engine *e, const char *name);
void outbox_maybe_free(struct engine *e, struct dest_target *t);
void delivery_free(struct delivery *d);

/* publish.c */
void publish_wish(struct engine *e, struct wish *wish);
void publish_durable(struct engine *e, const struct after *a);
int publish_load(struct engine *e, const struct store_op_version *v, struct err *err);
void wish_free(struct wish *wish);
void wish_row(struct wish *wish, const struct store_op_outbox *row);	/* the delivery it is about: references are taken */

/* fence.c */
/* One operation of t was: it and all that hangs on it is given up. */
void fence_refused(struct engine *e, struct turn_batch *t, int result);
