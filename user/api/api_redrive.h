/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Many things of the store, one after the other and at a pace, each given to the engine anew: ended events, messages of a
 * queue, deliveries. What they are is in the three files that include this; how they are walked is in api_redrive.c.
 */
#include <systemd/sd-event.h>

#include "api/api_int.h"
#include "base/list.h"

#define REDRIVE_MAX 100000
#define REDRIVE_DEFAULT 100
#define REDRIVE_RATE_MAX 10000
#define REDRIVE_RATE 50		/* a second */
#define REDRIVE_PAGE 100

struct redrive;
enum redrive_state { REDRIVE_OPEN = 0, REDRIVE_DONE, REDRIVE_LEFT, REDRIVE_SKIPPED };
struct redrive_item {
	struct redrive *r;
	enum redrive_state state;
	int64_t at;				/* its place: an event's seq, a delivery's or a message's position */
	uint64_t handle;			/* the engine owes */
	struct list turn;			/* events: its place among those that are looked at, of all passes */
	char *reason;				/* of REDRIVE_LEFT */
	char id[ID_UUID_LEN + 1];		/* the event's, the message's */
	char request_id[ID_UUID_LEN + 1];	/* the new event's */
	char origin[ID_UUID_LEN + 1];		/* the event it repeats; "" = none that is known */
	struct arn_function fn;			/* whose it is */
	struct blob *payload;			/* what the new event gets */
	enum inv_condition condition;		/* events */
	enum outcome_kind verdict;		/* of the last attempt; OUTCOME_INVALID = not known */
	int64_t ended_at_ms;
	char receipt[ID_UUID_LEN + 1];		/* messages */
	struct blob *body, *attributes;
	int64_t sent_at_ms;
	enum outbox_role role;			/* deliveries */
	char *target;
};

struct redrive_ops {
	const char *done, *left;		/* the answer's lists: "redriven", "left" */
	size_t at_once;				/* items under way together; 1: a refusal for all stops exactly there */
	/* Asks the store for more: redrive_add() each, then redrive_page(). Owed like any other answer. */
	void (*page)(struct redrive *r);
	/* Ends with redrive_settle() or redrive_leave(), at once or when what it owes has come. */
	void (*begin)(struct redrive_item *it);
	void (*over)(struct redrive_item *it);	/* settled, or freed before; may be NULL */
	void (*item)(struct buf *b, const struct redrive_item *it);	/* members of a settled one */
	void (*head)(struct buf *b, const struct redrive *r);		/* members of the answer; may be NULL */
	void (*tail)(struct buf *b, const struct redrive *r);
	/* Before the answer, may be NULL: asks the store for one more thing that is to be done, or for nothing any more. */
	void (*last)(struct redrive *r);
};
struct redrive {
	struct api_call *c;			/* NULL: the client is gone, and with it everything behind c->a */
	const struct redrive_ops *ops;
	/* what was asked for */
	char queue[LIM_ARN_MAX + 1], target[LIM_ARN_MAX + 1];
	struct arn_function to;			/* name "": back to where it came from */
	char function[LIM_FUNCTION_NAME_MAX + 1];
	enum inv_condition condition;
	enum outcome_kind verdict;
	int64_t since_ms, until_ms, max, rate;	/* rate 0: as fast as it goes */
	int64_t after, up_to;			/* places: behind the one, to the other; up_to 0 = not known yet */
	bool dry;
	bool again;				/* events: also what was sent again before */
	struct api_overrides with;
	/* how far it is */
	struct redrive_item **items;		/* of this page */
	size_t n, cap, begun, open;
	int64_t taken;				/* begun and not skipped */
	size_t n_left;				/* of all pages */
	int64_t passed_over;			/* events: sent again before */
	size_t owed;
	bool paging, exhausted, rested, more;
	char *stopped;				/* why it ended early; NULL = it did not */
	bool failed;				/* the store could not be asked for a page */
	int64_t page_after;			/* the place the page reaches to; 0 = as far as its last item */
	struct { uint64_t random; int n; } lease;	/* messages: the last page's; n 0 = it was given back, or there was none */
	int64_t visible_at_ms;			/* when what was not given back comes back; 0 = all was */
	bool in_doubt;				/* the engine does not know what will become of one */
	struct buf done, left;			/* JSON, elements of the lists */
	sd_event_source *timer;
	uint64_t from_us;			/* the first one's time, so that number n has from_us + n / rate */
};

/* A pass for the call, all else zero; its parameters "max" and "rate" are read (rate_default 0: as fast as it goes).
 * NULL: the call has been answered with what is wrong. Then fill in what was asked for, and redrive_start() or
 * redrive_free(). */
struct redrive *redrive_new(struct api_call *c, const struct redrive_ops *ops, int64_t max, int64_t rate_default);
struct redrive *redrive_free(struct redrive *r);	/* NULL in; returns NULL */
DEFINE_FREEP(redrive_free, struct redrive *)
/* Takes r: the call is answered when the pass has ended. */
void redrive_start(struct redrive *r);

/* For page(): zeroed, owned by r. */
struct redrive_item *redrive_add(struct redrive *r);
void redrive_page(struct redrive *r, int64_t page_after, bool exhausted);
/* Asks the store; done() gets arg and must call redrive_paid() at its end, whoever is there. */
void redrive_query(struct redrive *r, struct store_query *q, void *arg,
		   void (*done)(void *arg, const struct store_query *q, const struct store_result *res, int result,
				const struct err *e));
void redrive_paid(struct redrive *r);
/* A page could not be read: the pass ends with what it has. */
void redrive_failed(struct redrive *r, const struct err *e);

void redrive_settle(struct redrive_item *it, enum redrive_state state);
void redrive_leave(struct redrive_item *it, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The whole pass ends before this one, which is as if it had not been begun. */
void redrive_stop(struct redrive_item *it, const char *why);
/* it->fn and it->payload are what it is to become, with r's overrides: to the engine with it. */
void redrive_give(struct redrive_item *it);
