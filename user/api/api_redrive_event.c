/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ended events are sent again as new ones: one of them (POST /events/{id}/retry, for an open one that waits, too), or all
 * that match (POST /events/redrive). The payload is the stored one, to the byte; the new event says whom it repeats.
 *
 * A pass goes by seq, up to the newest one there was when it began, so that what it sends, and what fails again meanwhile, is
 * not met again. What was sent again before, by whomever, is passed over and counted, unless it is wished again: of each
 * chain of repetitions it is the last one that counts. A page is as old as its query, and there may be other passes: so each
 * event is looked at once more before it is sent, and from that look until its repetition is durable no other event is.
 */
#include <errno.h>
#include <string.h>

#include "api/api_redrive.h"

/* It has its record; that a destination has not taken it yet does not matter here. */
static bool has_ended(const struct inv_row *row)
{
	return row->state == INV_DONE || row->state == INV_ROUTING;
}

/* ---- many -------------------------------------------------------------------------------------------------- */

static void on_event(void *arg, const struct store_query *q, const struct store_result *res, int result, const struct err *e)
{
	struct redrive_item *it = arg;
	struct redrive *r = it->r;

	if (!r->c) {
		/* nobody is left to ask for it */
	} else if (result < 0 && result != -ENOENT) {
		redrive_leave(it, "The store cannot answer: %s", err_msg(e));
	} else if (result < 0 || !res->n_events) {
		redrive_leave(it, "It is not in the store any more");
	} else if (res->n_repeats && !r->again) {
		r->passed_over++;
		redrive_settle(it, REDRIVE_SKIPPED);
	} else {
		memcpy(it->fn.qualifier, res->events[0].qualifier, sizeof(it->fn.qualifier));
		it->payload = blob_ref(res->payload);
		it->verdict = res->n_attempts ? res->attempts[res->n_attempts - 1].outcome : OUTCOME_INVALID;
		it->ended_at_ms = res->n_records ? res->records[0].at_ms : 0;
		redrive_give(it);
	}
	redrive_paid(r);
}

static void look(struct redrive_item *it)
{
	struct store_query q = { .kind = STORE_Q_EVENT };

	memcpy(q.request_id, it->id, sizeof(q.request_id));
	redrive_query(it->r, &q, it, on_event);
}

static struct list turns = { &turns, &turns };	/* the first is being looked at; the loop's thread alone */

static void begin(struct redrive_item *it)
{
	bool free = list_empty(&turns);

	list_add_tail(&turns, &it->turn);
	if (free)
		look(it);
}

static void over(struct redrive_item *it)
{
	bool its = turns.next == &it->turn;

	list_del(&it->turn);
	if (its && !list_empty(&turns))
		look(list_first(&turns, struct redrive_item, turn));
}

static void on_page(void *arg, const struct store_query *q, const struct store_result *res, int result, const struct err *e)
{
	struct redrive *r = arg;
	int64_t last = 0;

	if (r->c && result < 0) {
		redrive_failed(r, e);
	} else if (r->c) {
		for (size_t i = 0; i < res->n_events; i++) {
			struct redrive_item *it = redrive_add(r);

			it->at = res->events[i].seq;
			memcpy(it->id, res->events[i].request_id, sizeof(it->id));
			memcpy(it->origin, it->id, sizeof(it->origin));
			memcpy(it->fn.name, res->events[i].function, sizeof(it->fn.name));
			it->condition = res->events[i].condition;
		}
		last = res->last_pos;
		r->passed_over += res->affected;
		redrive_page(r, last ? last : r->up_to, !last || last == r->up_to);
	}
	redrive_paid(r);
}

/* The newest event of all: as far as this pass goes. */
static void on_newest(void *arg, const struct store_query *q, const struct store_result *res, int result, const struct err *e)
{
	struct redrive *r = arg;

	if (r->c && result < 0) {
		redrive_failed(r, e);
	} else if (r->c) {
		r->up_to = res->n_events ? res->events[0].seq : 0;
		redrive_page(r, r->after, !r->up_to);
	}
	redrive_paid(r);
}

static void page(struct redrive *r)
{
	struct store_query q = { .kind = STORE_Q_ENDED, .condition = r->condition, .outcome = r->verdict, .after_seq = r->after,
				 .before_seq = r->up_to < INT64_MAX ? r->up_to + 1 : 0,
				 .since_ms = r->since_ms, .until_ms = r->until_ms, .again = r->again,
				 .limit = (int)MIN(r->max - r->taken, REDRIVE_PAGE) };

	if (!r->up_to) {
		redrive_query(r, &(struct store_query){ .kind = STORE_Q_EVENTS, .state = -1, .limit = 1 }, r, on_newest);
		return;
	}
	memcpy(q.function, r->function, sizeof(q.function));
	redrive_query(r, &q, r, on_page);
}

static void item_json(struct buf *b, const struct redrive_item *it)
{
	api_json_int(b, "seq", it->at);
	if (it->state == REDRIVE_DONE && !it->r->dry)
		api_json_str(b, "requestId", it->request_id);
	api_json_str(b, "redriveOf", it->id);
	api_json_str(b, "function", it->fn.name);
	api_json_opt(b, "qualifier", it->fn.qualifier);
	api_json_opt(b, "condition", inv_condition_name(it->condition));
	api_json_opt(b, "verdict", api_word_outcome((int)it->verdict));
	api_json_time(b, "endedAt", it->ended_at_ms);
}

/* What to ask with to go on: the rest of the same pass. */
static void tail_json(struct buf *b, const struct redrive *r)
{
	if (r->passed_over)
		api_json_int(b, "passedOver", r->passed_over);
	api_json_int(b, "after", r->after);
	api_json_int(b, "upTo", r->up_to);
	api_json_bool(b, "more", r->more);
}

static const struct redrive_ops event_ops = {
	.done = "redriven", .left = "left", .at_once = 1, .page = page, .begin = begin, .over = over, .item = item_json,
	.tail = tail_json,
};

void api_events_redrive(struct api_call *c)
{
	CLEAN(redrive_freep) struct redrive *r = api_body_args(c) ? redrive_new(c, &event_ops, REDRIVE_MAX, REDRIVE_RATE) : NULL;
	int condition = 0, verdict = 0;

	if (!r || !api_arg_function(c, "function", r->function) ||
	    !api_arg_word(c, "condition", api_word_condition, COND_MAX, &condition) ||
	    !api_arg_word(c, "verdict", api_word_outcome, OUTCOME_MAX, &verdict) || !api_arg_time(c, "since", &r->since_ms) ||
	    !api_arg_time(c, "until", &r->until_ms) || !api_arg_int(c, "after", 0, INT64_MAX, 0, &r->after) ||
	    !api_arg_int(c, "upTo", 1, INT64_MAX, 0, &r->up_to) || !api_arg_bool(c, "dryRun", &r->dry) ||
	    !api_arg_bool(c, "again", &r->again) ||
	    !api_arg_overrides(c, &r->with))
		return;
	r->condition = (enum inv_condition)condition;
	r->verdict = (enum outcome_kind)verdict;
	if (r->dry || api_sure(c))
		redrive_start(TAKE(r));
}

/* ---- one --------------------------------------------------------------------------------------------------- */

static void answer_ids(struct api_call *c, int status, const char *request_id, const char *redrive_of)
{
	CLEAN(buf_done) struct buf b = {};

	buf_addc(&b, '{');
	api_json_str(&b, "requestId", request_id);
	api_json_opt(&b, "redriveOf", redrive_of);
	buf_addc(&b, '}');
	api_answer_json(c, status, &b);
}

static void on_accepted_again(void *arg, const struct intake_reply *r)
{
	struct api_call *c = arg;

	if (!api_arrived(c))
		return;
	if (r->status == 202)
		answer_ids(c, 202, c->request_id, c->param[0]);
	else
		api_fail_reply(c, r);
}

static const char *still(const struct inv_row *row)
{
	/* WAITING with its time come is queued: nothing is written until it is started. */
	return row->state == INV_RUNNING ? "running" : row->state == INV_WAITING ? "waiting" : "queued";
}

/* It does not wait, or the next attempt is not to be as the last. One that has ended is accepted again, as a new event. */
static void on_retry_stored(struct api_call *c, const struct store_query *q, const struct store_result *res)
{
	struct intake_redrive again = { .origin = q->request_id };
	const struct inv_row *row = res->events;
	struct api_overrides with;
	bool force;

	if (!api_arg_overrides(c, &with) || !api_arg_bool(c, "force", &force))
		return;		/* never: they were good before */
	if (!res->n_events) {
		api_fail(c, API_NOT_FOUND, "Event not found: %s", q->request_id);
	} else if (!has_ended(row) && with.any) {
		api_fail(c, API_CONFLICT, "Event %s is %s: timeout, memory and qualifier are for one that has ended", q->request_id,
			 still(row));
	} else if (!has_ended(row)) {
		api_fail(c, API_CONFLICT, "Event %s is %s: only one that waits for a retry or has ended can be retried",
			 q->request_id, still(row)[0] == 'w' ? "queued" : still(row));
	} else if (row->condition == COND_SUCCESS && !force) {
		api_fail(c, API_CONFLICT, "Event %s has ended successfully: with force=true it is sent again all the same",
			 q->request_id);
	} else {
		memcpy(again.fn.name, row->function, sizeof(again.fn.name));
		memcpy(again.fn.qualifier, with.requalify ? with.qualifier : row->qualifier, sizeof(again.fn.qualifier));
		again.payload = res->payload && res->payload->len ? res->payload : c->a->empty_event;
		again.timeout_ms = with.timeout_ms;
		again.memory_mb = with.memory_mb;
		c->owed = true;
		c->intake_handle = intake_redrive(c->a->ctx.engine, &again, on_accepted_again, c, c->request_id);
	}
}

static void ask_stored(struct api_call *c)
{
	struct store_query q = { .kind = STORE_Q_EVENT };

	memcpy(q.request_id, c->param[0], sizeof(q.request_id));
	api_query(c, &q, on_retry_stored);
}

static void on_retry(void *arg, const struct intake_reply *r)
{
	struct api_call *c = arg;

	if (!api_arrived(c))
		return;
	if (r->status == 200)
		answer_ids(c, 200, c->param[0], NULL);
	else if (r->status == 404 || r->status == 409)
		ask_stored(c);
	else
		api_fail_reply(c, r);
}

void api_event_retry(struct api_call *c)
{
	char id[ID_UUID_LEN + 1];
	struct api_overrides with;
	bool force;

	if (!api_param_id(c, 0, id) || !api_arg_overrides(c, &with) || !api_arg_bool(c, "force", &force))
		return;
	if (with.any) {
		ask_stored(c);	/* an open event's next attempt has its own terms */
		return;
	}
	c->owed = true;
	c->intake_handle = intake_retry(c->a->ctx.engine, id, on_retry, c);
}
