/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What the engine asks of durable state: apply a batch as one transaction, load what is open, answer questions.
 *
 * Rows are shaped by the engine's needs, not by SQL. Every claim of an event raises its epoch, and every change
 * names the epoch it was made under, so that a second engine (a later issue) changes no caller.
 *
 * The backlog stays in the store: at start the engine gets what runs and how much waits; what waits it loads page by page
 * (STORE_Q_LOAD_…) when its turn comes near. All times of events are on the engine's steady clock (engine.h).
 *
 * Threads: all functions are called on the loop's thread, all call-backs arrive there. An engine with a writer
 * thread returns from apply() and query() at once. Batches are applied in the order they were given; a query sees
 * at least all batches whose completion was delivered before it was asked.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/err.h"
#include "model/inv.h"

#define PORT_STORE_VERSION 3

enum store_op_kind {
	STORE_OP_INVALID = 0,
	STORE_OP_EVENT_PUT,	/* event.row, event.payload: a new event; seq and request id must be new (else -EEXIST) */
	STORE_OP_EVENT_SET,	/* event.row, event.epoch_was: replaces the row; -ESTALE when the stored epoch differs */
	STORE_OP_ATTEMPT_PUT,	/* attempt: seq, start, started_at_ms, function */
	STORE_OP_ATTEMPT_END,	/* attempt: seq, start, ended_at_ms, outcome, fate */
	STORE_OP_RECORD_PUT,	/* record: one per event (else -EEXIST) */
	STORE_OP_OUTBOX_PUT,	/* outbox: at most one per (seq, role) ever (else -EEXIST) */
	STORE_OP_OUTBOX_SET,	/* outbox: seq, role, tries, created_at_ms, due_at_ms, last_error */
	STORE_OP_OUTBOX_DEL,	/* outbox: seq, role: the target acknowledged (I4) */
	STORE_OP_MESSAGE_PUT,	/* message: queue, id, body, attributes, sent_at_ms; id must be new (else -EEXIST) */
	STORE_OP_MESSAGE_DEL,	/* message: queue, receipt: a leased one goes; none of that receipt is fine, too */
	STORE_OP_EVENT_DONE,	/* done: seq: a ROUTING event is DONE, unless a delivery of it is still owed; done.ended says which */
	STORE_OP_VERSION_PUT,	/* version: function and version must be new together (else -EEXIST) */
	STORE_OP_ALIAS_PUT,	/* alias: makes or replaces it */
	STORE_OP_ALIAS_DEL,	/* alias: function, name; -ENOENT */
	STORE_OP_ANCHOR_PUT,	/* anchor: replaces the one there is */
};

enum outbox_role { ROLE_ON_SUCCESS = 1, ROLE_ON_FAILURE = 2, ROLE_DEAD_LETTER = 3 };
const char *outbox_role_name(enum outbox_role r);	/* "OnSuccess", "OnFailure", "DeadLetter" */

/* Strings in operations are owned by the operation (store_batch_done frees them); blobs are references. */
struct store_op_event { struct inv_row row; uint32_t epoch_was; struct blob *payload; };
struct store_op_attempt {
	int64_t seq;
	int start;			/* inv_row.starts at the time: 1, 2, … */
	int64_t started_at_ms, ended_at_ms;
	enum outcome_kind outcome;	/* OUTCOME_INVALID while running */
	struct blob *fate;		/* JSON object text; NULL while running */
};
struct store_op_record {
	int64_t seq;
	char request_id[ID_UUID_LEN + 1];
	char function[LIM_FUNCTION_NAME_MAX + 1];
	enum inv_condition condition;
	int64_t at_ms;
	int64_t pos;			/* of results: 1, 2, …: order of the events' ends. The store gives it */
	struct blob *body;		/* the whole record, JSON */
};
/* Owed: due_at_ms < INT64_MAX. Failed for good: INT64_MAX; kept until it is sent again or dropped. Acknowledged: gone. */
struct store_op_outbox {
	int64_t seq;
	enum outbox_role role;
	char target[LIM_ARN_MAX + 1];	/* as configured */
	char key[ID_UUID_LEN + 16];	/* idempotency key, REQUEST_ID:ROLE, the same on every send */
	int tries;
	int64_t created_at_ms, due_at_ms;	/* the engine's steady clock; a retry by an operator makes it as new */
	char last_error[256];
	struct blob *body;
	struct blob *attributes;	/* JSON object {"NAME": {"DataType", "StringValue"}}; NULL = none */
	/* results of a read only: of the event */
	char function[LIM_FUNCTION_NAME_MAX + 1];
	char request_id[ID_UUID_LEN + 1];
	int attempt;			/* its number of starts */
};
#define STORE_OUTBOX_POS(seq, role) ((seq) * 4 + (int64_t)(role))	/* the order of STORE_Q_LOAD_OUTBOX and STORE_Q_OUTBOX */
struct store_op_done { int64_t seq; bool ended; };
/* A version, once published, stays as it is. */
struct store_op_version {
	char function[LIM_FUNCTION_NAME_MAX + 1];
	int version;			/* 1, 2, … */
	int64_t at_ms;			/* wall clock */
	char *description;		/* owned; NULL = none given */
	struct blob *definition;	/* the function's JSON (func.source) */
};
struct store_op_alias {
	char function[LIM_FUNCTION_NAME_MAX + 1];
	char name[LIM_QUALIFIER_MAX + 1];
	struct blob *body;		/* alias_write() */
};
/* Ties the steady clock to the boot's own: what a later daemon needs to go on with it. */
struct store_anchor { char boot_id[ID_UUID_LEN + 1]; int64_t boot_ms, steady_ms; };
struct store_op_message {
	char queue[LIM_ARN_MAX + 1];
	char id[ID_UUID_LEN + 1];
	struct blob *body;
	struct blob *attributes;	/* as above */
	int64_t sent_at_ms;
	/* results of a receive or a peek only */
	int64_t pos;			/* its place in the order of arrival, over all queues */
	char receipt[ID_UUID_LEN + 1];
	int receive_count;
	int64_t visible_at_ms;
};

struct store_op {
	enum store_op_kind kind;
	int64_t owner;			/* the caller's own note; not stored */
	union {
		struct store_op_event event;
		struct store_op_attempt attempt;
		struct store_op_record record;
		struct store_op_outbox outbox;
		struct store_op_message message;
		struct store_op_done done;
		struct store_op_version version;
		struct store_op_alias alias;
		struct store_anchor anchor;
	};
};

/* One transaction: all of it, or nothing. */
struct store_batch {
	struct store_op *ops;
	size_t n, cap;
	void *arg;			/* the caller's */
	/* 0, or the first operation's error. Then failed is its index, or SIZE_MAX when it was not about one operation but
	 * about the disk or the file. */
	void (*done)(struct store_batch *b, int result, const struct err *e);
	size_t failed;
};
struct store_op *store_batch_add(struct store_batch *b, enum store_op_kind kind);	/* zeroed; valid until the next add */
/* The event the operation is about. */
#define STORE_NO_EVENT (-1)
int64_t store_op_seq(const struct store_op *op);
void store_batch_clear(struct store_batch *b);	/* frees strings and blobs of the operations; keeps memory of ops */
void store_batch_done(struct store_batch *b);	/* clear and free ops */

/* An event that is open, with what the engine needs to go on with it. */
struct store_event {
	struct inv_row row;
	struct blob *payload;		/* NULL = none */
	char *fates;			/* JSON texts of the finished attempts' facts, joined by commas; "" for none */
	int64_t last_started_at_ms;	/* of the last attempt; 0 = there was none */
};

/* At start, in this order, before the loop runs; may block. All is borrowed; a negative errno ends the loading. */
struct store_loader {
	void *arg;
	int (*anchor)(void *arg, const struct store_anchor *a);		/* not called when there is none */
	int (*version)(void *arg, const struct store_op_version *v);	/* in order of function and version */
	int (*alias)(void *arg, const struct store_op_alias *a);
	int (*running)(void *arg, const struct store_event *ev);	/* every RUNNING event, in order of seq */
	int (*queued)(void *arg, const char *function, int64_t n);	/* every function with QUEUED events */
	int (*waiting)(void *arg, int64_t n);				/* WAITING events, all functions together */
	int (*routing)(void *arg, int64_t n);				/* ROUTING events */
	int (*outbox)(void *arg, const char *target, int64_t n);	/* every target with deliveries owed */
};

enum store_query_kind {
	STORE_Q_EVENTS = 1,	/* newest first: filters function, state (-1 any), before_seq (0 = from the newest), limit */
	STORE_Q_EVENT,		/* by request_id: one event with payload, its attempts, record and outbox rows, and who repeats it */
	STORE_Q_RECORDS,	/* newest first: filters function, condition (0 any), before_seq, limit; bodies included */
	STORE_Q_RECORD,		/* by request_id */
	STORE_Q_QUEUES,		/* all queues that hold or held a message */
	STORE_Q_OUTBOX,		/* deliveries behind after_pos, in order of STORE_OUTBOX_POS: filters target ("" any), state (-1 any, 0 owed,
				 * 1 failed for good); limit; bodies included */
	STORE_Q_COUNTS,		/* counts of everything, for status */
	STORE_Q_RECEIVE,	/* queue, after_pos (0 = from the oldest), limit, visibility_ms, now_ms, random: leases the oldest visible
				 * messages behind that place, durably; result.last_pos is the newest message's place, 0 = there is none */
	STORE_Q_GIVE_BACK,	/* queue, limit, now_ms, random: what the RECEIVE of those leased and is leased by it still is as if it had not
				 * been received, and visible from now_ms on, durably; result.affected */
	STORE_Q_DELETE,		/* queue, receipt: deletes a leased message, durably; result.affected */
	STORE_Q_PEEK,		/* queue, after_pos, limit, now_ms: the same, leased or not, without leasing them; result.last_pos */
	STORE_Q_PURGE,		/* queue, now_ms: deletes all its messages, leased ones too, durably; result.affected */
	STORE_Q_TAIL,		/* records in order of their ends: filters function, condition, after_pos (-1 = none, only result.last_pos);
				 * limit; bodies included; result.last_pos is the newest record's pos, 0 = there is none */
	/* Pages of the backlog, for the engine: result.loaded, or result.outbox. They end early when payloads pass bytes_max
	 * (but hold one row at least). */
	STORE_Q_LOAD_QUEUED,	/* QUEUED events of function with seq > after_seq, in order of seq; limit, bytes_max */
	STORE_Q_LOAD_WAITING,	/* WAITING events behind (after_ms, after_seq) in order of (due_at_ms, seq); limit, bytes_max */
	STORE_Q_LOAD_EVENT,	/* by request_id: the one event, whatever its state; nothing when there is none */
	STORE_Q_LOAD_OUTBOX,	/* deliveries owed to target behind after_pos, in order of STORE_OUTBOX_POS; limit, bytes_max */
	STORE_Q_ENDED,		/* DONE and ROUTING events with after_seq < seq < before_seq (0 = to the end) in order of seq: filters
				 * function, condition (0 = any but Success and Cancelled), outcome (of the last attempt; 0 any),
				 * since_ms <= record's at_ms < until_ms (0 = no bound); limit; result.events, result.last_pos = the last
				 * seq looked at (0: the end was reached). Those that some stored event repeats are left out and counted
				 * (result.affected), unless again is set. Looks at STORE_ENDED_SCAN_MAX events at most: a page may be
				 * empty and not the last */
	STORE_Q_TRIM,		/* durably deletes at most limit DONE events, oldest first, with attempts, payload, record and
				 * acknowledged deliveries: those whose record is older than until_ms (0 = none), and, while the database
				 * has more than bytes_max bytes in use (0 = no limit), the oldest ones whatever their age. Events with a
				 * delivery that is owed or failed stay, and what repeats an event that is still there. Then gives up to
				 * STORE_TRIM_PAGES free pages back to the file system. result.affected, result.bytes_used, result.bytes_free, result.more */
};
#define STORE_ENDED_SCAN_MAX 10000
#define STORE_REPEATS_MAX 100
#define STORE_TRIM_PAGES 256
struct store_result;
struct store_query {
	enum store_query_kind kind;
	char function[LIM_FUNCTION_NAME_MAX + 1];	/* "" = any */
	int state;
	enum inv_condition condition;
	enum outcome_kind outcome;
	int64_t before_seq;
	int64_t after_pos, after_seq, after_ms;
	int64_t since_ms, until_ms;
	int64_t bytes_max;
	int limit;				/* 1 to 1000 */
	bool again;				/* ENDED: what was sent again already, too */
	char request_id[ID_UUID_LEN + 1];
	char queue[LIM_ARN_MAX + 1], target[LIM_ARN_MAX + 1];
	char receipt[ID_UUID_LEN + 1];
	int64_t now_ms, visibility_ms;
	uint64_t random;			/* seed of the receipts' ids */
	void *arg;
	void (*done)(void *arg, const struct store_query *q, const struct store_result *res, int result, const struct err *e);
};
struct store_queue_info { char name[LIM_ARN_MAX + 1]; int64_t visible, in_flight, oldest_sent_at_ms; };
struct store_counts { int64_t events[INV_MAX]; int64_t attempts, records, outbox, outbox_failed, messages; int64_t by_condition[COND_MAX]; };
struct store_repeat { char request_id[ID_UUID_LEN + 1]; };	/* of an event whose origin it is */
/* Borrowed by the call-back; arrays not asked for are empty. */
struct store_result {
	struct inv_row *events; size_t n_events;
	struct store_event *loaded; size_t n_loaded;
	struct blob *payload;
	struct store_op_attempt *attempts; size_t n_attempts;
	struct store_op_record *records; size_t n_records;
	struct store_op_outbox *outbox; size_t n_outbox;
	struct store_op_message *messages; size_t n_messages;
	struct store_queue_info *queues; size_t n_queues;
	struct store_repeat *repeats; size_t n_repeats;		/* of EVENT: the first STORE_REPEATS_MAX, in order of seq */
	struct store_counts counts;
	int64_t affected;
	int64_t last_pos;
	int64_t bytes_used, bytes_free;	/* of the database file */
	bool more;			/* TRIM, PURGE: there was more than the limit. A page with bodies: it ended early for their size */
};
void store_result_done(struct store_result *r);

struct port_store;
struct port_store_ops {
	int version;		/* PORT_STORE_VERSION */
	const char *name;	/* "sqlite", "mem" */
	/* Next free seq in *ret_next_seq. */
	int (*load)(struct port_store *s, const struct store_loader *l, int64_t *ret_next_seq, struct err *e);
	/* Takes b until b->done is called, exactly once, on the loop's thread, never from within apply(). */
	void (*apply)(struct port_store *s, struct store_batch *b);
	/* Copies q. done is called exactly once, never from within query(). */
	void (*query)(struct port_store *s, const struct store_query *q);
	/* Waits until everything given has been applied and reported, then frees. NULL is fine. */
	void (*close)(struct port_store *s);
};
struct port_store { const struct port_store_ops *ops; };
