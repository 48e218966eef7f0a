/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One pass over what a store holds, page by page and at a pace:
 *
 *   page (store) ─► items ─► begin ─┬─► settled: REDRIVE_DONE, _LEFT (with the reason) or _SKIPPED
 *     ▲                             └─► stop: in doubt, or no room. All of the pass ends there
 *     └── all of the page settled ──┘
 *
 * The pass is its request: there is no job in the daemon that somebody would have to find again. Who asked for it holds it by
 * his connection; when that goes, nothing more is begun. What he needs to go on with is in the answer ("after", "upTo"), and
 * with a moderate "max" he gets answers often (fatectl asks for about a second's worth at a time). So that many small
 * requests keep the pace, too, a pass that is not over is answered only when its next item would be due.
 *
 * Each item is met once: the walk is by places that only grow, up to the last there was when it began.
 *
 * `owed` counts the answers that store and engine still owe; whoever brings the last one goes on. When the client goes away
 * (or the API ends: it looks the same from here), the engine is told to forget, as for any other caller, and goes on with
 * what it has; the store cannot be told, so its answers still arrive here and are only counted.
 */
#include "api/api_redrive.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"

#define US_PER_S 1000000u
#define LAG_MAX_US US_PER_S	/* what was lost beyond that is not made up for */

static void over(struct redrive_item *it)
{
	if (it->r->ops->over)
		it->r->ops->over(it);
}

static void item_free(struct redrive_item *it)
{
	over(it);
	blob_unref(it->payload);
	blob_unref(it->body);
	blob_unref(it->attributes);
	free(it->target);
	free(it->reason);
	free(it);
}

static void items_free(struct redrive *r)
{
	for (size_t i = 0; i < r->n; i++)
		item_free(r->items[i]);
	r->n = r->begun = 0;
}

struct redrive *redrive_free(struct redrive *r)
{
	if (!r)
		return NULL;
	items_free(r);
	free(r->items);
	free(r->stopped);
	sd_event_source_disable_unref(r->timer);
	buf_done(&r->done);
	buf_done(&r->left);
	free(r);
	return NULL;
}

/* ---- the answer -------------------------------------------------------------------------------------------- */

/* The page is settled: into the lists, in its own order, and out of memory. */
static void page_done(struct redrive *r)
{
	for (size_t i = 0; i < r->begun; i++) {
		const struct redrive_item *it = r->items[i];
		struct buf *b = it->state == REDRIVE_DONE ? &r->done : &r->left;

		if (it->state == REDRIVE_SKIPPED)
			continue;
		if (b->len)
			buf_addc(b, ',');
		buf_addc(b, '{');
		r->ops->item(b, it);
		if (it->state == REDRIVE_LEFT) {
			api_json_str(b, "reason", it->reason);
			r->n_left++;
		}
		buf_addc(b, '}');
	}
	items_free(r);
}

static void list_json(struct buf *b, const char *name, const struct buf *list)
{
	api_json_key(b, name);
	buf_addc(b, '[');
	buf_add(b, buf_str(list), list->len);
	buf_addc(b, ']');
}

static bool is_over(const struct redrive *r)
{
	return r->exhausted && r->begun == r->n;
}

static void answer(struct redrive *r)
{
	struct api_call *c = r->c;
	CLEAN(buf_done) struct buf b = {};

	r->more = !is_over(r) || r->stopped;
	page_done(r);
	c->gone = NULL;
	if (!api_arrived(c)) {
		/* nobody to tell */
	} else if (r->failed && !r->done.len && !r->left.len) {
		api_fail(c, API_SERVICE, "%s", r->stopped);
	} else {
		buf_addc(&b, '{');
		if (r->ops->head)
			r->ops->head(&b, r);
		if (r->dry)
			api_json_bool(&b, "dryRun", true);
		list_json(&b, r->ops->done, &r->done);
		list_json(&b, r->ops->left, &r->left);
		r->ops->tail(&b, r);
		api_json_opt(&b, "stopped", r->stopped);
		buf_addc(&b, '}');
		api_answer_json(c, 200, &b);
	}
	redrive_free(r);
}

/* ---- the pace ---------------------------------------------------------------------------------------------- */

static void go_on(struct redrive *r);

static int on_timer(sd_event_source *s, uint64_t us, void *arg)
{
	struct redrive *r = arg;

	r->timer = sd_event_source_disable_unref(r->timer);
	go_on(r);
	return 0;
}

/* True when number `taken` is due; else there is a timer. */
static bool due(struct redrive *r)
{
	sd_event *loop = http_server_loop(r->c->a->server);
	uint64_t now, at;

	if (!r->rate || r->dry)
		return true;
	if (sd_event_now(loop, CLOCK_MONOTONIC, &now) < 0)
		return true;
	at = (uint64_t)(r->taken * US_PER_S / r->rate);
	if (!r->from_us)
		r->from_us = now - at;
	if (r->from_us + at + LAG_MAX_US < now)
		r->from_us = now - at;
	if (r->from_us + at <= now)
		return true;
	/* Without a timer: too early is better than never. */
	return sd_event_add_time(loop, &r->timer, CLOCK_MONOTONIC, r->from_us + at, 1000, on_timer, r) < 0;
}

/* ---- the walk ---------------------------------------------------------------------------------------------- */

static bool begin_next(struct redrive *r)
{
	struct redrive_item *it;

	if (r->stopped || r->timer || r->taken >= r->max)
		return false;
	if (r->begun < r->n) {
		if (r->open >= r->ops->at_once || !due(r))
			return false;
		it = r->items[r->begun++];
		r->after = MAX(r->after, it->at);
		r->taken++;
		r->open++;
		r->ops->begin(it);
		return true;
	}
	if (r->open || r->paging)
		return false;
	r->after = MAX(r->after, r->page_after);
	if (r->exhausted)
		return false;
	page_done(r);
	r->paging = true;
	r->ops->page(r);
	return false;
}

static void go_on(struct redrive *r)
{
	if (!r->c) {
		if (!r->owed)
			redrive_free(r);
		return;
	}
	while (begin_next(r))
		;
	if (r->owed || r->open || r->timer)
		return;
	if (!is_over(r) && !r->stopped && !r->rested) {
		r->rested = true;
		if (!due(r))
			return;
	}
	if (r->ops->last && !r->dry)
		r->ops->last(r);
	if (!r->owed)
		answer(r);
}

void redrive_paid(struct redrive *r)
{
	assert(r->owed);
	r->owed--;
	go_on(r);
}

static void on_gone(struct api_call *c)
{
	struct redrive *r = c->data;

	r->c = NULL;
	r->timer = sd_event_source_disable_unref(r->timer);
	for (size_t i = 0; i < r->begun; i++) {
		if (!r->items[i]->handle)
			continue;
		intake_abandon(c->a->ctx.engine, r->items[i]->handle);
		r->items[i]->handle = 0;
		r->owed--;
	}
	if (!r->owed)
		redrive_free(r);
}

struct redrive *redrive_new(struct api_call *c, const struct redrive_ops *ops, int64_t max, int64_t rate_default)
{
	struct redrive *r = XNEW(struct redrive);

	r->c = c;
	r->ops = ops;
	if (api_arg_int(c, "max", 1, max, REDRIVE_DEFAULT, &r->max) &&
	    api_arg_int(c, "rate", 1, REDRIVE_RATE_MAX, rate_default, &r->rate))
		return r;
	return redrive_free(r);
}

void redrive_start(struct redrive *r)
{
	struct api_call *c = r->c;

	c->data = r;
	c->gone = on_gone;
	c->owed = true;
	go_on(r);
}

struct redrive_item *redrive_add(struct redrive *r)
{
	if (r->n == r->cap) {
		r->cap = r->cap ? 2 * r->cap : REDRIVE_PAGE;
		r->items = xrealloc(r->items, r->cap * sizeof(*r->items));
	}
	r->items[r->n] = XNEW(struct redrive_item);
	r->items[r->n]->r = r;
	list_init(&r->items[r->n]->turn);
	return r->items[r->n++];
}

void redrive_page(struct redrive *r, int64_t page_after, bool exhausted)
{
	r->paging = false;
	r->page_after = page_after;
	r->exhausted = exhausted;
}

void redrive_failed(struct redrive *r, const struct err *e)
{
	r->failed = true;
	r->stopped = xasprintf("The store cannot answer: %s", err_msg(e));
}

void redrive_query(struct redrive *r, struct store_query *q, void *arg,
		   void (*done)(void *arg, const struct store_query *q, const struct store_result *res, int result,
				const struct err *e))
{
	struct port_store *store = r->c->a->ctx.store;

	q->arg = arg;
	q->done = done;
	r->owed++;
	store->ops->query(store, q);
}

/* ---- one item ---------------------------------------------------------------------------------------------- */

void redrive_settle(struct redrive_item *it, enum redrive_state state)
{
	assert(it->state == REDRIVE_OPEN && state != REDRIVE_OPEN);
	it->state = state;
	it->r->open--;
	if (state == REDRIVE_SKIPPED)
		it->r->taken--;
	it->payload = blob_unref(it->payload);
	it->body = blob_unref(it->body);
	it->attributes = blob_unref(it->attributes);
	over(it);
}

void redrive_leave(struct redrive_item *it, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	it->reason = xstrdup(text);
	redrive_settle(it, REDRIVE_LEFT);
}

void redrive_stop(struct redrive_item *it, const char *why)
{
	struct redrive *r = it->r;

	assert(r->ops->at_once == 1);
	r->after = it->at - 1;
	if (!r->stopped)
		r->stopped = xstrdup(why);
	redrive_settle(it, REDRIVE_SKIPPED);
}

static void on_accepted(void *arg, const struct intake_reply *reply)
{
	struct redrive_item *it = arg;
	/* Lambda's words for it ("Rate Exceeded.") would not tell an operator what is full. */
	const char *why = reply->status == 429 ? "There is no room for more events now (MaxQueuedEvents)" :
			  reply->error_message ? reply->error_message : "refused";

	it->handle = 0;
	it->r->in_doubt |= reply->status >= 500;
	if (reply->status == 202)
		redrive_settle(it, REDRIVE_DONE);
	else if (it->r->ops->at_once == 1 && (reply->status == 429 || reply->status == 503))
		redrive_stop(it, why);
	else
		redrive_leave(it, "%s", why);
	redrive_paid(it->r);
}

void redrive_give(struct redrive_item *it)
{
	struct redrive *r = it->r;
	const struct api_context *ctx = &r->c->a->ctx;
	char arn[LIM_ARN_MAX + LIM_QUALIFIER_MAX + 1];
	int version;

	if (r->with.requalify)
		memcpy(it->fn.qualifier, r->with.qualifier, sizeof(it->fn.qualifier));
	if (!it->payload || !it->payload->len) {
		blob_unref(it->payload);
		it->payload = blob_ref(r->c->a->empty_event);
	}
	if (registry_resolve(intake_registry(ctx->engine), it->fn.name, it->fn.qualifier, 0, &version) < 0) {
		arn_format_function(arn, sizeof(arn), ctx->region, it->fn.name, it->fn.qualifier);
		redrive_leave(it, "Function not found: %s", arn);
	} else if (it->payload->len > LIM_ASYNC_PAYLOAD) {
		redrive_leave(it, "Its %zu bytes are too many for an event (limit %u bytes)", it->payload->len, LIM_ASYNC_PAYLOAD);
	} else if (!json_valid(it->payload->data, it->payload->len, NULL)) {
		redrive_leave(it, "Its body is not JSON");
	} else if (r->dry) {
		redrive_settle(it, REDRIVE_DONE);
	} else {
		r->owed++;
		it->handle = intake_redrive(ctx->engine, &(struct intake_redrive){
			.fn = it->fn, .payload = it->payload, .origin = it->origin[0] ? it->origin : NULL,
			.timeout_ms = r->with.timeout_ms, .memory_mb = r->with.memory_mb,
			.queue = it->receipt[0] ? r->queue : NULL, .receipt = it->receipt[0] ? it->receipt : NULL,
		}, on_accepted, it, it->request_id);
	}
}
