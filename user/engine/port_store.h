/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What the engine asks of durable state: apply a batch as one transaction, load what is open, answer questions.
 *
 * Rows are shaped by the engine's needs, not by SQL. Every claim of an event raises its epoch, and every change
 * names the epoch it was made under, so that a second engine (a later issue) changes no caller.
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

#define PORT_STORE_VERSION 2

enum store_op_kind {
	STORE_OP_INVALID = 0,
	STORE_OP_EVENT_PUT,	/* event.row, event.payload: a new event; seq and request id must be new (else -EEXIST) */
	STORE_OP_EVENT_SET,	/* event.row, event.epoch_was: replaces the row; -ESTALE when the stored epoch differs */
	STORE_OP_ATTEMPT_PUT,	/* attempt: seq, start, started_at_ms, function */
	STORE_OP_ATTEMPT_END,	/* attempt: seq, start, ended_at_ms, outcome, fate */
	STORE_OP_RECORD_PUT,	/* record: one per event (else -EEXIST) */
	STORE_OP_OUTBOX_PUT,	/* outbox: at most one per (seq, role) ever (else -EEXIST) */
	STORE_OP_OUTBOX_SET,	/* outbox: seq, role, tries, due_at_ms, last_error */
	STORE_OP_OUTBOX_DEL,	/* outbox: seq, role: the target acknowledged (I4) */
	STORE_OP_MESSAGE_PUT,	/* message: queue, id, body, attributes, sent_at_ms; id must be new (else -EEXIST) */
	STORE_OP_MESSAGE_DEL,	/* message: queue, receipt: a leased one goes; none of that receipt is fine, too */
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
struct store_op_outbox {
	int64_t seq;
	enum outbox_role role;
	char target[LIM_ARN_MAX + 1];	/* as configured */
	char key[ID_UUID_LEN + 16];	/* idempotency key, REQUEST_ID:ROLE, the same on every send */
	int tries;
	int64_t due_at_ms;
	char last_error[256];
	struct blob *body;
	struct blob *attributes;	/* JSON object {"NAME": {"DataType", "StringValue"}}; NULL = none */
};
struct store_op_message {
	char queue[LIM_ARN_MAX + 1];
	char id[ID_UUID_LEN + 1];
	struct blob *body;
	struct blob *attributes;	/* as above */
	int64_t sent_at_ms;
	/* results of a receive only */
	char receipt[ID_UUID_LEN + 1];
	int receive_count;
	int64_t visible_at_ms;
};

struct store_op {
	enum store_op_kind kind;
	union {
		struct store_op_event event;
		struct store_op_attempt attempt;
		struct store_op_record record;
		struct store_op_outbox outbox;
		struct store_op_message message;
	};
};

/* One transaction: all of it, or nothing. */
struct store_batch {
	struct store_op *ops;
	size_t n, cap;
	void *arg;			/* the caller's */
	void (*done)(struct store_batch *b, int result, const struct err *e);	/* 0, or the first operation's error */
};
struct store_op *store_batch_add(struct store_batch *b, enum store_op_kind kind);	/* zeroed; valid until the next add */
void store_batch_clear(struct store_batch *b);	/* frees strings and blobs of the operations; keeps memory of ops */
void store_batch_done(struct store_batch *b);	/* clear and free ops */

/* At start: everything that is not finished. Called before the loop runs; may block. */
struct store_loader {
	void *arg;
	/* fates: JSON texts of the finished attempts' facts joined by commas, "" for none. payload and fates are borrowed. */
	int (*event)(void *arg, const struct inv_row *row, struct blob *payload, const char *fates, int64_t last_started_at_ms);
	int (*outbox)(void *arg, const struct store_op_outbox *row);
};

enum store_query_kind {
	STORE_Q_EVENTS = 1,	/* newest first: filters function, state (-1 any), before_seq (0 = from the newest), limit */
	STORE_Q_EVENT,		/* by request_id: one event with payload, its attempts, record and outbox rows */
	STORE_Q_RECORDS,	/* newest first: filters function, condition (0 any), before_seq, limit; bodies included */
	STORE_Q_RECORD,		/* by request_id */
	STORE_Q_QUEUES,		/* all queues that hold or held a message */
	STORE_Q_OUTBOX,		/* waiting deliveries, by due time; limit */
	STORE_Q_COUNTS,		/* counts of everything, for status */
	STORE_Q_RECEIVE,	/* queue, limit, visibility_ms, now_ms, random: leases the oldest visible messages, durably */
	STORE_Q_DELETE,		/* queue, receipt: deletes a leased message, durably; result.affected */
	STORE_Q_PEEK,		/* queue, limit, now_ms: the oldest messages, leased or not, without leasing them */
	STORE_Q_PURGE,		/* queue, now_ms: deletes all its messages, leased ones too, durably; result.affected */
	STORE_Q_TAIL		/* records in order of their ends: filters function, condition, after_pos (-1 = none, only result.last_pos);
				 * limit; bodies included; result.last_pos is the newest record's pos, 0 = there is none */
};
struct store_result;
struct store_query {
	enum store_query_kind kind;
	char function[LIM_FUNCTION_NAME_MAX + 1];	/* "" = any */
	int state;
	enum inv_condition condition;
	int64_t before_seq;
	int64_t after_pos;
	int limit;				/* 1 to 1000 */
	char request_id[ID_UUID_LEN + 1];
	char queue[LIM_ARN_MAX + 1];
	char receipt[ID_UUID_LEN + 1];
	int64_t now_ms, visibility_ms;
	uint64_t random;			/* seed of the receipts' ids */
	void *arg;
	void (*done)(void *arg, const struct store_query *q, const struct store_result *res, int result, const struct err *e);
};
struct store_queue_info { char name[LIM_ARN_MAX + 1]; int64_t visible, in_flight, oldest_sent_at_ms; };
struct store_counts { int64_t events[INV_MAX]; int64_t attempts, records, outbox, messages; int64_t by_condition[COND_MAX]; };
/* Borrowed by the call-back; arrays not asked for are empty. */
struct store_result {
	struct inv_row *events; size_t n_events;
	struct blob *payload;
	struct store_op_attempt *attempts; size_t n_attempts;
	struct store_op_record *records; size_t n_records;
	struct store_op_outbox *outbox; size_t n_outbox;
	struct store_op_message *messages; size_t n_messages;
	struct store_queue_info *queues; size_t n_queues;
	struct store_counts counts;
	int64_t affected;
	int64_t last_pos;
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
