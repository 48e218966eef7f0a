/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The doors' side of the engine: everything from outside is posted here and handled in the next turn. Nothing in
 * this file runs a rule; it checks, copies into the bounded inbox and returns.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/blob.h"
#include "engine/port_deliver.h"
#include "engine/port_launch.h"
#include "engine/registry.h"
#include "model/alias.h"
#include "model/arn.h"
#include "model/outcome.h"

struct engine;

/* What a caller gets, once. Everything is borrowed for the call. */
struct intake_reply {
	int status;			/* HTTP: 200 sync answer, 202 accepted, 4xx/5xx refused */
	const char *error_type;		/* Lambda's exception name when refused, else NULL */
	const char *error_message;
	const char *error_reason;	/* TooManyRequestsException's Reason, else NULL */
	const char *request_id;
	const struct outcome *outcome;	/* sync answers */
	const char *fate;		/* sync answers: the attempt's facts, JSON object text */
	int version;			/* sync answers: which one ran; publishing: which one it is; 0 = $LATEST */
};
typedef void (*intake_reply_fn)(void *arg, const struct intake_reply *r);

enum intake_type { INTAKE_SYNC, INTAKE_ASYNC, INTAKE_DRY_RUN };

/*
 * One invocation. reply is called exactly once, never from within this call: with 202 only after the row is durable
 * (I1). payload: valid JSON or empty (the door checked it); a reference is taken. ret_request_id (may be NULL) gets
 * the id at once. The returned handle may be given to intake_abandon when the caller has gone away; 0 never is one.
 */
uint64_t intake_invoke(struct engine *e, enum intake_type type, const struct arn_function *fn, struct blob *payload,
		       intake_reply_fn reply, void *arg, char ret_request_id[ID_UUID_LEN + 1]);
/* The caller is gone: reply will not be called; the invocation goes on. */
void intake_abandon(struct engine *e, uint64_t handle);

/* Calls reply when the event has ended (its record is durable), at once if it has; status 404 when it is not open
 * and never was seen by this process: look in the store. */
uint64_t intake_wait(struct engine *e, const char *request_id, intake_reply_fn reply, void *arg);

/* Ends an open event at once: a waiting or queued one with condition Cancelled, a running one by killing its tree first.
 * reply: 202 when the end is under way (its record follows), 404 when no such event is open, 409 when it is ending
 * anyway, 503 in doubt. Asynchronous events only. */
uint64_t intake_cancel(struct engine *e, const char *request_id, intake_reply_fn reply, void *arg);
/* A waiting event is due now. reply: 200; 404 not open; 409 it does not wait; 503. */
uint64_t intake_retry(struct engine *e, const char *request_id, intake_reply_fn reply, void *arg);

/* A new event made of one that has ended, or of a message. Strings are copied. */
struct intake_redrive {
	struct arn_function fn;
	struct blob *payload;		/* a reference is taken */
	const char *origin;		/* request id of the ended event; NULL = none */
	int timeout_ms, memory_mb;	/* instead of the definition's, for all its attempts; 0 = the definition's */
	const char *queue, *receipt;	/* the leased message that goes in the same transaction; NULL = none */
};
/* As an asynchronous intake_invoke. A timeout that does not fit into a lease is 400. */
uint64_t intake_redrive(struct engine *e, const struct intake_redrive *r, intake_reply_fn reply, void *arg,
			char ret_request_id[ID_UUID_LEN + 1]);

/* What is done about a delivery, as a read of the store showed it (row.seq, row.role; bodies for RETRY). RETRY: due at once,
 * with its tries counted anew; a topic or bus is tried there and then. DROP: given up, its event ends. reply: 200; 409 when
 * it is being sent at this moment, or is settled already; 503. */
enum delivery_wish { DELIVERY_RETRY_NOW, DELIVERY_DROP };
uint64_t intake_delivery(struct engine *e, enum delivery_wish wish, const struct store_op_outbox *row, intake_reply_fn reply, void *arg);

/* Publishes $LATEST as the next version. reply: 201 and version; the newest one's number when nothing has changed since; 404,
 * 503. description NULL: the definition's. */
uint64_t intake_publish(struct engine *e, const char *function, const char *description, intake_reply_fn reply, void *arg);
/* Makes (must_exist false: 409 when it is there) or replaces (must_exist true: 404) an alias. a is copied, with a new
 * RevisionId; its own, when it has one, must be the alias' still (409). reply: 201 or 200; 404 also when function or version are not there; 503. */
uint64_t intake_alias_set(struct engine *e, const struct alias *a, bool must_exist, intake_reply_fn reply, void *arg);
/* reply: 204, also when there is none of that name; 503. */
uint64_t intake_alias_delete(struct engine *e, const char *function, const char *name, intake_reply_fn reply, void *arg);

/* The sinks to give to launcher, observer and sender. */
struct fact_sink intake_facts(struct engine *e);
struct deliver_sink intake_deliveries(struct engine *e);

struct registry *intake_registry(struct engine *e);	/* read only for doors; borrowed */
