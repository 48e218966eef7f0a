/* SPDX-License-Identifier: Apache-2.0 */
/* Local queues, with SQS's ideas: a received message is hidden for a while, and gone only when it is deleted. */
#include <string.h>

#include "api/api_int.h"

#define RECEIVE_MAX 1000
#define VISIBILITY_DEFAULT_S 30
#define VISIBILITY_MAX_S 43200	/* SQS's 12 hours */

bool api_param_queue(struct api_call *c, int i, char ret[LIM_ARN_MAX + 1])
{
	struct err e = {};
	struct target t;
	int r = target_parse(c->param[i], &t, &e);

	if (r == 0 && (t.kind == TARGET_QUEUE || t.kind == TARGET_NAME)) {
		memcpy(ret, t.name, sizeof(t.name));
		return true;
	}
	api_fail_value(c, "name", c->param[i], r < 0 ? err_msg(&e) : "Member must be the name or the ARN of a queue of this host");
	return false;
}

static void on_queues(struct api_call *c, const struct store_query *q, const struct store_result *res)
{
	CLEAN(buf_done) struct buf b = {};

	buf_adds(&b, "{\"queues\":[");
	for (size_t i = 0; i < res->n_queues; i++) {
		const struct store_queue_info *info = &res->queues[i];

		api_json_next(&b);
		buf_addc(&b, '{');
		api_json_str(&b, "name", info->name);
		api_json_int(&b, "visible", info->visible);
		api_json_int(&b, "inFlight", info->in_flight);
		api_json_time(&b, "oldestSentAt", info->oldest_sent_at_ms);
		buf_addc(&b, '}');
	}
	buf_adds(&b, "]}");
	api_answer_json(c, 200, &b);
}

void api_queues(struct api_call *c)
{
	struct port_clock *clock = c->a->ctx.clock;

	api_query(c, &(struct store_query){ .kind = STORE_Q_QUEUES, .now_ms = clock->wall_ms(clock->self) }, on_queues);
}

/* Also of a peek: nobody gets a receipt by looking. */
static void on_received(struct api_call *c, const struct store_query *q, const struct store_result *res)
{
	CLEAN(buf_done) struct buf b = {};

	buf_addc(&b, '{');
	api_json_str(&b, "queue", q->queue);
	api_json_key(&b, "messages");
	buf_addc(&b, '[');
	for (size_t i = 0; i < res->n_messages; i++) {
		const struct store_op_message *m = &res->messages[i];

		api_json_next(&b);
		buf_addc(&b, '{');
		api_json_str(&b, "messageId", m->id);
		api_json_opt(&b, "receiptHandle", m->receipt);
		api_json_int(&b, "receiveCount", m->receive_count);
		api_json_time(&b, "sentAt", m->sent_at_ms);
		if (m->receipt[0] || m->visible_at_ms > q->now_ms)
			api_json_time(&b, "visibleAt", m->visible_at_ms);
		api_json_splice(&b, "attributes", m->attributes);
		api_json_splice(&b, "body", m->body);
		buf_addc(&b, '}');
	}
	buf_adds(&b, "]}");
	api_answer_json(c, 200, &b);
}

void api_queue_receive(struct api_call *c)
{
	struct port_clock *clock = c->a->ctx.clock;
	struct store_query q = { .kind = STORE_Q_RECEIVE };
	int64_t max, visibility;

	if (!api_param_queue(c, 0, q.queue) || !api_arg_int(c, "max", 1, RECEIVE_MAX, 1, &max) ||
	    !api_arg_int(c, "visibility", 0, VISIBILITY_MAX_S, VISIBILITY_DEFAULT_S, &visibility) || !api_sure(c))
		return;
	q.limit = (int)max;
	q.visibility_ms = visibility * 1000;
	q.now_ms = clock->wall_ms(clock->self);
	q.random = clock->random64(clock->self);
	api_query(c, &q, on_received);
}

static void on_deleted(struct api_call *c, const struct store_query *q, const struct store_result *res)
{
	CLEAN(buf_done) struct buf b = {};

	if (!res->affected) {
		api_fail(c, API_NOT_FOUND, "Receipt not found: %s (the message is deleted, or was received again since)",
			 q->receipt);
		return;
	}
	buf_addf(&b, "{\"deleted\":%lld}", (long long)res->affected);
	api_answer_json(c, 200, &b);
}

void api_queue_delete(struct api_call *c)
{
	struct port_clock *clock = c->a->ctx.clock;
	struct store_query q = { .kind = STORE_Q_DELETE };

	if (!api_param_queue(c, 0, q.queue))
		return;
	if (!id_is_uuid(c->param[1])) {
		api_fail_value(c, "receipt", c->param[1], "Member must be a receiptHandle as receive gave it");
		return;
	}
	if (!api_sure(c))
		return;
	memcpy(q.receipt, c->param[1], sizeof(q.receipt));
	q.now_ms = clock->wall_ms(clock->self);
	api_query(c, &q, on_deleted);
}

void api_queue_peek(struct api_call *c)
{
	struct port_clock *clock = c->a->ctx.clock;
	struct store_query q = { .kind = STORE_Q_PEEK };
	int64_t limit;

	if (!api_param_queue(c, 0, q.queue) || !api_arg_int(c, "limit", 1, API_LIST_MAX, API_LIST_DEFAULT, &limit))
		return;
	q.limit = (int)limit;
	q.now_ms = clock->wall_ms(clock->self);
	api_query(c, &q, on_received);
}

/* The store may do it in parts, so that others get their turn. */
static void on_purged(struct api_call *c, const struct store_query *q, const struct store_result *res)
{
	CLEAN(buf_done) struct buf b = {};

	c->count += res->affected;
	if (res->more) {
		api_query(c, q, on_purged);
		return;
	}
	buf_addc(&b, '{');
	api_json_str(&b, "queue", q->queue);
	api_json_int(&b, "deleted", c->count);
	buf_addc(&b, '}');
	api_answer_json(c, 200, &b);
}

void api_queue_purge(struct api_call *c)
{
	struct port_clock *clock = c->a->ctx.clock;
	struct store_query q = { .kind = STORE_Q_PURGE };

	if (!api_param_queue(c, 0, q.queue) || !api_sure(c))
		return;
	q.now_ms = clock->wall_ms(clock->self);
	api_query(c, &q, on_purged);
}
