/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deliveries: records on their way to a target, and those that a target would not take. They go by their event's request id
 * and their role. What is done about one begins with a read of the store, since the engine holds only the next ones of each
 * target in memory.
 */
#include <errno.h>
#include <string.h>

#include "api/api_redrive.h"

static void row_json(struct buf *b, const struct store_op_outbox *row, int64_t step_ms, bool whole)
{
	api_json_next(b);
	buf_addc(b, '{');
	api_json_int(b, "seq", row->seq);
	api_json_opt(b, "requestId", row->request_id);
	api_json_opt(b, "function", row->function);
	api_json_str(b, "role", outbox_role_name(row->role));
	api_json_str(b, "target", row->target);
	api_json_str(b, "key", row->key);
	api_json_int(b, "tries", row->tries);
	api_json_time(b, "createdAt", row->created_at_ms);
	if (row->due_at_ms == INT64_MAX)
		api_json_bool(b, "failed", true);	/* for good: kept to be seen, not sent again by itself */
	else
		api_json_time(b, "dueAt", row->due_at_ms + step_ms);
	api_json_opt(b, "lastError", row->last_error);
	if (whole) {
		api_json_splice(b, "attributes", row->attributes);
		api_json_splice(b, "body", row->body);
	}
	buf_addc(b, '}');
}

void api_deliveries_json(struct buf *b, const struct store_result *res, int64_t step_ms, bool whole)
{
	api_json_key(b, "deliveries");
	buf_addc(b, '[');
	for (size_t i = 0; i < res->n_outbox; i++)
		row_json(b, &res->outbox[i], step_ms, whole);
	buf_addc(b, ']');
}

/* ---- looking ----------------------------------------------------------------------------------------------- */

static void on_deliveries(struct api_call *c, const struct store_query *q, const struct store_result *res)
{
	CLEAN(buf_done) struct buf b = {};

	buf_addc(&b, '{');
	api_deliveries_json(&b, res, api_clock_step(c), false);
	if (res->n_outbox && (res->more || res->n_outbox >= (size_t)q->limit)) {
		const struct store_op_outbox *last = &res->outbox[res->n_outbox - 1];

		api_json_int(&b, "next", STORE_OUTBOX_POS(last->seq, last->role));
	}
	buf_addc(&b, '}');
	api_answer_json(c, 200, &b);
}

/* A target is meant as it stands in the definition. False: the call has been answered. */
static bool arg_target(struct api_call *c, char ret[LIM_ARN_MAX + 1])
{
	const char *text = api_arg(c, "target");

	if (text && (!*text || strlen(text) > LIM_ARN_MAX)) {
		api_fail_value(c, "target", text, "Member must be a target as it stands in the definition: 1 to 350 bytes");
		return false;
	}
	memcpy(ret, text ? text : "", text ? strlen(text) + 1 : 1);
	return true;
}

void api_deliveries(struct api_call *c)
{
	struct store_query q = { .kind = STORE_Q_OUTBOX };
	int64_t limit;
	bool failed;

	if (!arg_target(c, q.target) || !api_arg_bool(c, "failed", &failed) ||
	    !api_arg_int(c, "limit", 1, API_LIST_MAX, API_LIST_DEFAULT, &limit) ||
	    !api_arg_int(c, "after", 0, INT64_MAX, 0, &q.after_pos))
		return;
	q.state = api_arg(c, "failed") ? failed : -1;
	q.limit = (int)limit;
	api_query(c, &q, on_deliveries);
}

static void on_delivery(struct api_call *c, const struct store_query *q, const struct store_result *res)
{
	CLEAN(buf_done) struct buf b = {};

	if (!res->n_events) {
		api_fail(c, API_NOT_FOUND, "Event not found: %s", q->request_id);
		return;
	}
	buf_addc(&b, '{');
	api_json_str(&b, "requestId", res->events[0].request_id);
	api_json_str(&b, "function", res->events[0].function);
	api_deliveries_json(&b, res, api_clock_step(c), true);
	buf_addc(&b, '}');
	api_answer_json(c, 200, &b);
}

void api_delivery(struct api_call *c)
{
	struct store_query q = { .kind = STORE_Q_EVENT };

	if (api_param_id(c, 0, q.request_id))
		api_query(c, &q, on_delivery);
}

/* ---- one --------------------------------------------------------------------------------------------------- */

static const struct store_op_outbox *find(const struct store_result *res, enum outbox_role role)
{
	for (size_t i = 0; i < res->n_outbox; i++)
		if (res->outbox[i].role == role)
			return &res->outbox[i];
	return NULL;
}

static enum delivery_wish wish_of(const struct api_call *c)
{
	return strcmp(c->route->method, "DELETE") == 0 ? DELIVERY_DROP : DELIVERY_RETRY_NOW;
}

static void on_wish(void *arg, const struct intake_reply *r)
{
	struct api_call *c = arg;
	CLEAN(buf_done) struct buf b = {};

	if (!api_arrived(c))
		return;
	if (r->status != 200) {
		api_fail_reply(c, r);
		return;
	}
	buf_addc(&b, '{');
	api_json_str(&b, "requestId", c->param[0]);
	api_json_str(&b, "role", c->param[1]);
	api_json_bool(&b, wish_of(c) == DELIVERY_DROP ? "dropped" : "due", true);
	buf_addc(&b, '}');
	api_answer_json(c, 200, &b);
}

static void on_found(struct api_call *c, const struct store_query *q, const struct store_result *res)
{
	enum outbox_role role = ROLE_ON_SUCCESS;
	const struct store_op_outbox *row;

	if (!api_param_role(c, 1, &role))
		return;		/* never: it was good before */
	row = find(res, role);
	if (!row) {
		api_fail(c, API_NOT_FOUND, "Delivery not found: %s %s (the target has taken it, it was dropped, "
			 "or there never was one)",
			 q->request_id, c->param[1]);
		return;
	}
	c->owed = true;
	c->intake_handle = intake_delivery(c->a->ctx.engine, wish_of(c), row, on_wish, c);
}

void api_delivery_wish(struct api_call *c)
{
	struct store_query q = { .kind = STORE_Q_EVENT };
	enum outbox_role role;

	if (api_param_id(c, 0, q.request_id) && api_param_role(c, 1, &role))
		api_query(c, &q, on_found);
}

/* ---- all that failed --------------------------------------------------------------------------------------- */

static void on_retried(void *arg, const struct intake_reply *reply)
{
	struct redrive_item *it = arg;
	struct redrive *r = it->r;
	const char *why = reply->error_message ? reply->error_message : "refused";

	it->handle = 0;
	if (reply->status == 200)
		redrive_settle(it, REDRIVE_DONE);
	else if (reply->status == 503)
		redrive_stop(it, why);
	else
		redrive_leave(it, "%s", why);
	redrive_paid(r);
}

static void on_row(void *arg, const struct store_query *q, const struct store_result *res, int result, const struct err *e)
{
	struct redrive_item *it = arg;
	struct redrive *r = it->r;
	const struct store_op_outbox *row = result == 0 ? find(res, it->role) : NULL;

	if (!r->c) {
		/* nobody is left to ask for it */
	} else if (result < 0 && result != -ENOENT) {
		redrive_leave(it, "The store cannot answer: %s", err_msg(e));
	} else if (!row) {
		redrive_leave(it, "It is settled already");
	} else {
		r->owed++;
		it->handle = intake_delivery(r->c->a->ctx.engine, DELIVERY_RETRY_NOW, row, on_retried, it);
	}
	redrive_paid(r);
}

static void begin(struct redrive_item *it)
{
	struct store_query q = { .kind = STORE_Q_EVENT };

	memcpy(q.request_id, it->id, sizeof(q.request_id));
	redrive_query(it->r, &q, it, on_row);
}

static void on_page(void *arg, const struct store_query *q, const struct store_result *res, int result, const struct err *e)
{
	struct redrive *r = arg;

	if (r->c && result < 0) {
		redrive_failed(r, e);
	} else if (r->c) {
		for (size_t i = 0; i < res->n_outbox; i++) {
			struct redrive_item *it = redrive_add(r);

			it->at = STORE_OUTBOX_POS(res->outbox[i].seq, res->outbox[i].role);
			it->role = res->outbox[i].role;
			it->target = xstrdup(res->outbox[i].target);
			memcpy(it->id, res->outbox[i].request_id, sizeof(it->id));
		}
		redrive_page(r, 0, !res->more && res->n_outbox < (size_t)q->limit);
	}
	redrive_paid(r);
}

static void page(struct redrive *r)
{
	struct store_query q = { .kind = STORE_Q_OUTBOX, .state = 1, .after_pos = r->after,
				 .limit = (int)MIN(r->max - r->taken, REDRIVE_PAGE) };

	memcpy(q.target, r->target, sizeof(q.target));
	redrive_query(r, &q, r, on_page);
}

static void item_json(struct buf *b, const struct redrive_item *it)
{
	api_json_str(b, "requestId", it->id);
	api_json_str(b, "role", outbox_role_name(it->role));
	api_json_str(b, "target", it->target);
}

static void tail_json(struct buf *b, const struct redrive *r)
{
	api_json_int(b, "after", r->after);
	api_json_bool(b, "more", r->more);
}

static const struct redrive_ops delivery_ops = {
	.done = "retried", .left = "left", .at_once = 1, .page = page, .begin = begin, .item = item_json, .tail = tail_json,
};

void api_deliveries_retry(struct api_call *c)
{
	CLEAN(redrive_freep) struct redrive *r = redrive_new(c, &delivery_ops, REDRIVE_MAX, REDRIVE_RATE);

	if (r && arg_target(c, r->target) && api_arg_int(c, "after", 0, INT64_MAX, 0, &r->after) && api_sure(c))
		redrive_start(TAKE(r));
}
