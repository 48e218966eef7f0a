/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One invocation: a request and what became of it, over all its attempts. */
#include <stdbool.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/id.h"
#include "model/func.h"
#include "model/outcome.h"

enum inv_state { INV_QUEUED = 0, INV_RUNNING, INV_JUDGED, INV_WAITING, INV_ROUTING, INV_DONE, INV_MAX };
const char *inv_state_name(enum inv_state s);	/* "queued", … */
bool inv_edge_ok(enum inv_state from, enum inv_state to);

enum inv_condition { COND_NONE = 0, COND_SUCCESS, COND_RETRIES_EXHAUSTED, COND_AGE_EXCEEDED, COND_ZERO_CONCURRENCY, COND_CANCELLED,
		     COND_RECURSIVE,	/* its chain is too long: never run */
		     COND_POISON,	/* it died in the same way too often: retries ended early. "RetriesExhausted" in records */
		     COND_MAX };	/* the numbers are stored */
/* Ours, for status and fatectl: "Success", "RetriesExhausted", "EventAgeExceeded", "ZeroReservedConcurrency", "Cancelled",
 * "RecursiveInvocation", "Poison". Lambda's, for records: the same, but for Poison. */
const char *inv_condition_name(enum inv_condition c);
const char *inv_condition_wire(enum inv_condition c);

/* The part that is a row: everything needed to go on after a crash. */
struct inv_row {
	int64_t seq;				/* 1, 2, …: the row's key, order of acceptance */
	char request_id[ID_UUID_LEN + 1];
	char function[LIM_FUNCTION_NAME_MAX + 1];
	char qualifier[LIM_QUALIFIER_MAX + 1];	/* as invoked, "" = none */
	int version;				/* what the qualifier meant at the acceptance, and it is kept; 0 = $LATEST */
	int hops;				/* its place in a chain through destinations; 1 = from outside */
	char origin[ID_UUID_LEN + 1];		/* the ended event it repeats (redrive, replay); "" = none */
	int timeout_ms, memory_mb;		/* asked for with a redrive, instead of the definition's; 0 = not */
	enum inv_state state;
	int64_t accepted_at_ms;			/* this and due_at_ms on the engine's own steady clock (engine.h) */
	int64_t due_at_ms;			/* WAITING: when to go on; else 0 */
	int attempts;				/* attempts that consumed a try, the running one included */
	int starts;				/* all numbers ever given to an attempt (I2): attempts + host faults */
	int backoffs;				/* host faults in a row: exponent of the back-off */
	uint32_t epoch;				/* fencing token: grows with every claim, cancel, settle and the end */
	int64_t lease_until_ms;			/* of the last claim: who holds it is dead after that, whatever he believes */
	int death;				/* how the last attempt died: inv_death(); 0 = it did not, or there was none */
	int deaths;				/* how often in a row in that very way */
	bool once;				/* when it was last started its definition said that it must never run twice */
	enum inv_condition condition;		/* once ROUTING or DONE; CANCELLED while RUNNING: it is not to be repeated */
	uint64_t verdicts;			/* how often each verdict has been given: inv_verdicts() */
};

/* How many attempts of the event have ended with that verdict. Counts stop at 255. Those that a function's policy can be
 * about are counted (TIMEOUT, OOM, SIGNAL, CRASH, ERROR, TOO_LARGE, EXEC_FAILED, INTERRUPTED); others are 0. */
unsigned int inv_verdicts(const struct inv_row *row, enum outcome_kind k);
void inv_verdicts_add(struct inv_row *row, enum outcome_kind k);
/* Verdict, signal and status in one number, for comparison; 0 for success and what is not the function's doing. */
int inv_death(const struct outcome *o);

enum inv_event_kind { INV_EV_DISPATCH, INV_EV_OUTCOME, INV_EV_DUE, INV_EV_EXPIRE, INV_EV_ZERO_CONCURRENCY, INV_EV_ROUTED,
		      INV_EV_CANCEL,	/* QUEUED and WAITING; a RUNNING one is cancelled by its outcome */
		      INV_EV_RECURSIVE,	/* QUEUED: not to be run, its chain is too long */
		      INV_EV_NOW };	/* WAITING: due at once */
struct inv_event {
	enum inv_event_kind kind;
	const struct outcome *outcome;	/* INV_EV_OUTCOME */
	uint64_t rnd;			/* random bits for jitter */
};

/* What must happen, in this order; the engine turns it into store operations and calls. */
enum inv_effect { INV_FX_START = 1, INV_FX_REQUEUE = 2, INV_FX_WAIT = 4, INV_FX_ROUTE = 8, INV_FX_END = 16 };

/*
 * The whole rule of an event's life. Pure: reads the row, the policy (f NULL = function is gone: Lambda's
 * defaults) and now; changes the row through its one setter and says what to do. Returns a set of INV_FX_*, or
 * -EINVAL when the event is impossible in the row's state (then nothing was changed).
 */
int inv_step(struct inv_row *row, const struct func *f, const struct inv_event *ev, int64_t now_ms);
/* A RUNNING one is to end, and not to be repeated; it stays RUNNING until it has. */
void inv_cancelling(struct inv_row *row);

/* When the event is too old to be started. */
int64_t inv_expires_at_ms(const struct inv_row *row, const struct func *f);
