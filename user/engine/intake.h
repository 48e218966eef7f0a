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
/* As an asynchronous intake_invoke, and in the same transaction the leased message goes from its queue. */
uint64_t intake_redrive(struct engine *e, const struct arn_function *fn, struct blob *payload, const char *queue, const char *receipt,
			intake_reply_fn reply, void *arg, char ret_request_id[ID_UUID_LEN + 1]);

/* The sinks to give to launcher, observer and sender. */
struct fact_sink intake_facts(struct engine *e);
struct deliver_sink intake_deliveries(struct engine *e);

struct registry *intake_registry(struct engine *e);	/* read only for doors; borrowed */
