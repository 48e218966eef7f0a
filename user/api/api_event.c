/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events, their records and what is still to be delivered. All lists are newest first and are walked with "before", the
 * seq of the last one seen: rows that come in meanwhile do not shift the pages. The tail of the records goes the other
 * way, in the order of their ends, with "after". Payloads, facts and records are spliced
 * into the answer as they are stored.
 */
#include <string.h>

#include "api/api_int.h"
#include "base/json.h"
#include "engine/engine.h"

static const char *state_name(int i)
{
	return i == INV_JUDGED ? "" : inv_state_name((enum inv_state)i);	/* never in a row */
}

static bool arg_page(struct api_call *c, struct store_query *q)
{
	int64_t limit, before;

	if (!api_arg_int(c, "limit", 1, API_LIST_MAX, API_LIST_DEFAULT, &limit) ||
	    !api_arg_int(c, "before", 1, INT64_MAX, 0, &before))
		return false;
	q->limit = (int)limit;
	q->before_seq = before;
	return true;
}

/* "next": what to give as "before" for the page that follows; absent on the last one. */
static void page_end(struct buf *b, const struct store_query *q, const struct store_result *res, size_t n, int64_t last_seq)
{
	buf_addc(b, ']');
	if (n && (res->more || n >= (size_t)q->limit))
		api_json_int(b, "next", last_seq);
	buf_addc(b, '}');
}

/* ---- events ------------------------------------------------------------------------------------------------ */

int64_t api_clock_step(struct api_call *c)
{
	struct engine_stats s;

	engine_stats(c->a->ctx.engine, &s);
	return s.clock_step_ms;
}

/* Members only: the caller has opened the object and closes it. step_ms: from the engine's clock to the wall's. */
static void row_json(struct buf *b, const struct inv_row *row, int64_t step_ms)
{
	char version[VERSION_LEN + 1];
	/* The engine's clock is anchored anew while nothing is open: of what has ended the step is not known any more. */
	int64_t step = row->state == INV_DONE ? 0 : step_ms;

	api_json_int(b, "seq", row->seq);
	api_json_str(b, "requestId", row->request_id);
	api_json_str(b, "function", row->function);
	api_json_opt(b, "qualifier", row->qualifier);
	api_json_str(b, "version", version_format(row->version, version));
	api_json_str(b, "state", inv_state_name(row->state));
	api_json_opt(b, "condition", inv_condition_name(row->condition));
	api_json_time(b, "acceptedAt", row->accepted_at_ms + step);
	if (row->due_at_ms)
		api_json_time(b, "dueAt", row->due_at_ms + step);
	api_json_int(b, "attemptCount", row->attempts);
	api_json_int(b, "startCount", row->starts);
	api_json_int(b, "backoffs", row->backoffs);
	if (row->hops > 1)
		api_json_int(b, "hops", row->hops);
	api_json_opt(b, "redriveOf", row->origin);
	if (row->timeout_ms)
		api_json_seconds(b, "timeout", row->timeout_ms);
	if (row->memory_mb)
		api_json_int(b, "memory", row->memory_mb);
	if (row->state == INV_RUNNING && row->lease_until_ms)
		api_json_time(b, "leaseUntil", row->lease_until_ms + step);
	if (row->deaths > 1)
		api_json_int(b, "equalDeaths", row->deaths);
}

static void attempt_json(struct buf *b, const struct store_op_attempt *a)
{
	api_json_next(b);
	buf_addc(b, '{');
	api_json_int(b, "start", a->start);
	api_json_time(b, "startedAt", a->started_at_ms);
	api_json_time(b, "endedAt", a->ended_at_ms);
	if (a->outcome != OUTCOME_INVALID)
		api_json_str(b, "outcome", outcome_name(a->outcome));
	api_json_splice(b, "fate", a->fate);
	buf_addc(b, '}');
}

static void on_events(struct api_call *c, const struct store_query *q, const struct store_result *res)
{
	int64_t step = api_clock_step(c);
	CLEAN(buf_done) struct buf b = {};

	buf_adds(&b, "{\"events\":[");
	for (size_t i = 0; i < res->n_events; i++) {
		api_json_next(&b);
		buf_addc(&b, '{');
		row_json(&b, &res->events[i], step);
		buf_addc(&b, '}');
	}
	page_end(&b, q, res, res->n_events, res->n_events ? res->events[res->n_events - 1].seq : 0);
	api_answer_json(c, 200, &b);
}

void api_events(struct api_call *c)
{
	struct store_query q = { .kind = STORE_Q_EVENTS, .state = -1 };

	if (api_arg_function(c, "function", q.function) && api_arg_word(c, "state", state_name, INV_MAX, &q.state) &&
	    arg_page(c, &q))
		api_query(c, &q, on_events);
}

static void repeats_json(struct buf *b, const struct store_result *res)
{
	api_json_key(b, "redrivenAs");
	buf_addc(b, '[');
	for (size_t i = 0; i < res->n_repeats; i++) {
		api_json_next(b);
		json_add_string(b, res->repeats[i].request_id, strlen(res->repeats[i].request_id));
	}
	buf_addc(b, ']');
}

static void on_event(struct api_call *c, const struct store_query *q, const struct store_result *res)
{
	int64_t step = api_clock_step(c);
	CLEAN(buf_done) struct buf b = {};

	if (!res->n_events) {
		api_fail(c, API_NOT_FOUND, "Event not found: %s", q->request_id);
		return;
	}
	buf_addc(&b, '{');
	row_json(&b, &res->events[0], step);
	api_json_splice(&b, "payload", res->payload && res->payload->len ? res->payload : c->a->empty_event);
	api_json_key(&b, "attempts");
	buf_addc(&b, '[');
	for (size_t i = 0; i < res->n_attempts; i++)
		attempt_json(&b, &res->attempts[i]);
	buf_addc(&b, ']');
	if (res->n_repeats)
		repeats_json(&b, res);
	if (res->n_records)
		api_json_splice(&b, "record", res->records[0].body);
	api_deliveries_json(&b, res, step, false);
	buf_addc(&b, '}');
	api_answer_json(c, 200, &b);
}

void api_event(struct api_call *c)
{
	struct store_query q = { .kind = STORE_Q_EVENT };

	if (api_param_id(c, 0, q.request_id))
		api_query(c, &q, on_event);
}

/* ---- what is done to one ----------------------------------------------------------------------------------- */

/* The engine does not have it: it has ended, or there never was one. */
static void on_cancel_stored(struct api_call *c, const struct store_query *q, const struct store_result *res)
{
	if (!res->n_events)
		api_fail(c, API_NOT_FOUND, "Event not found: %s", q->request_id);
	else if (res->events[0].state == INV_DONE)
		api_fail(c, API_CONFLICT, "Event %s has ended already: %s", q->request_id,
			 inv_condition_name(res->events[0].condition));
	else
		api_fail(c, API_CONFLICT, "Event %s is ending already", q->request_id);
}

static void on_cancel(void *arg, const struct intake_reply *r)
{
	struct store_query q = { .kind = STORE_Q_EVENT };
	struct api_call *c = arg;
	CLEAN(buf_done) struct buf b = {};

	if (!api_arrived(c))
		return;
	if (r->status == 404) {
		memcpy(q.request_id, c->param[0], sizeof(q.request_id));
		api_query(c, &q, on_cancel_stored);
		return;
	}
	if (r->status != 202) {
		api_fail_reply(c, r);
		return;
	}
	buf_addc(&b, '{');
	api_json_str(&b, "requestId", c->param[0]);
	buf_addc(&b, '}');
	api_answer_json(c, 202, &b);
}

void api_event_cancel(struct api_call *c)
{
	char id[ID_UUID_LEN + 1];

	if (!api_param_id(c, 0, id))
		return;
	c->owed = true;
	c->intake_handle = intake_cancel(c->a->ctx.engine, id, on_cancel, c);
}

/* ---- records ----------------------------------------------------------------------------------------------- */

static void records_json(struct buf *b, const struct store_result *res)
{
	buf_adds(b, "{\"records\":[");
	for (size_t i = 0; i < res->n_records; i++) {
		const struct store_op_record *r = &res->records[i];

		api_json_next(b);
		buf_addc(b, '{');
		api_json_int(b, "pos", r->pos);
		api_json_int(b, "seq", r->seq);
		api_json_str(b, "requestId", r->request_id);
		api_json_str(b, "function", r->function);
		api_json_str(b, "condition", inv_condition_name(r->condition));
		api_json_time(b, "at", r->at_ms);
		api_json_splice(b, "record", r->body);
		buf_addc(b, '}');
	}
}

static void on_records(struct api_call *c, const struct store_query *q, const struct store_result *res)
{
	CLEAN(buf_done) struct buf b = {};

	records_json(&b, res);
	page_end(&b, q, res, res->n_records, res->n_records ? res->records[res->n_records - 1].seq : 0);
	api_answer_json(c, 200, &b);
}

void api_records(struct api_call *c)
{
	struct store_query q = { .kind = STORE_Q_RECORDS, .state = -1 };
	int condition = 0;

	if (!api_arg_function(c, "function", q.function) ||
	    !api_arg_word(c, "condition", api_word_condition, COND_MAX, &condition) || !arg_page(c, &q))
		return;
	q.condition = (enum inv_condition)condition;
	api_query(c, &q, on_records);
}

/* "lastPos": that of the newest record there is, whatever was asked for. */
static void on_tail(struct api_call *c, const struct store_query *q, const struct store_result *res)
{
	CLEAN(buf_done) struct buf b = {};

	records_json(&b, res);
	buf_addc(&b, ']');
	api_json_int(&b, "lastPos", res->last_pos);
	buf_addc(&b, '}');
	api_answer_json(c, 200, &b);
}

void api_records_tail(struct api_call *c)
{
	struct store_query q = { .kind = STORE_Q_TAIL };
	int64_t limit;
	int condition = 0;

	if (!api_arg_function(c, "function", q.function) ||
	    !api_arg_word(c, "condition", api_word_condition, COND_MAX, &condition) ||
	    !api_arg_int(c, "limit", 1, API_LIST_MAX, API_LIST_DEFAULT, &limit) ||
	    !api_arg_int(c, "after", 0, INT64_MAX, -1, &q.after_pos))
		return;
	q.condition = (enum inv_condition)condition;
	q.limit = (int)limit;
	api_query(c, &q, on_tail);
}

/* The record alone, as destinations get it. */
static void on_record(struct api_call *c, const struct store_query *q, const struct store_result *res)
{
	if (res->n_records)
		api_answer_blob(c, 200, res->records[0].body, NULL, 0);
	else
		api_fail(c, API_NOT_FOUND, "Record not found: %s", q->request_id);
}

void api_record(struct api_call *c)
{
	struct store_query q = { .kind = STORE_Q_RECORD };

	if (api_param_id(c, 0, q.request_id))
		api_query(c, &q, on_record);
}

/* The event has ended, or the engine does not have it: both are the store's to answer. */
static void on_ended(void *arg, const struct intake_reply *r)
{
	struct api_call *c = arg;
	struct store_query q = { .kind = STORE_Q_RECORD };

	if (!api_arrived(c))
		return;
	if (r->status != 200 && r->status != 404) {
		api_fail_reply(c, r);
		return;
	}
	memcpy(q.request_id, c->param[0], sizeof(q.request_id));
	api_query(c, &q, on_record);
}

void api_event_wait(struct api_call *c)
{
	char id[ID_UUID_LEN + 1];

	if (!api_param_id(c, 0, id))
		return;
	c->owed = true;
	c->intake_handle = intake_wait(c->a->ctx.engine, id, on_ended, c);
}
