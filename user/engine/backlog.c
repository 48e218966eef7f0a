/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A million open events, and a few thousand in memory.
 *
 * Three kinds of queue may be long: the QUEUED events of a function, the WAITING events of all, the deliveries owed to a
 * target. Of each the engine holds the next ones; the rest is rows, and a number.
 *
 *   accepted, due, or failed ─┬─ there is room ────────────────────────────────► in memory
 *                             └─ no room: parking ─ row durable ─┬─ room by now ► in memory
 *                                                                └─ on disk: freed, counted, cursor moved in front of it
 *   in memory runs low, or a due time comes near ─► one page behind the cursor is loaded ─► in memory, cursor behind the page
 *
 * The rule that makes it safe: what is not behind a queue's cursor is in memory. Behind it, a row may be on disk or in
 * memory; who loads a page skips what he has. So a cursor may always be moved back, at the price of reading rows twice, and
 * parking does just that.
 *
 * A page is as old as its query. What left the memory while a query was under way (ended, or parked) is remembered in
 * `left`, and a page's row of it is not taken in: the end is true, and a parked one is behind the cursor again and comes
 * with a later page. For this there is one query at a time; the store answers them in a thread of their own.
 *
 * Order. A function's events are started in the order of acceptance as far as memory and disk allow; after a retry, a
 * cancel of somebody else or a restart the order is not promised. It never was: Lambda does not promise it either.
 *
 * Waiting events are loaded by due time, and ahead of it (ENGINE_AHEAD_MS), whatever the room: their time has come, and
 * what the function cannot take then is parked as QUEUED.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "engine/engine_int.h"

void backlog_init(struct backlog *b, enum backlog_kind kind)
{
	*b = (struct backlog){ .kind = kind, .cursor_ms = INT64_MAX, .cursor = INT64_MAX };
	list_init(&b->hungry);
}

/* ---- room --------------------------------------------------------------------------------------------------- */

/* For one more event of a queue that has n in memory. */
static bool room_queued(const struct engine *e, int n)
{
	if (n == 0)
		return true;		/* every queue moves on, however full the house is */
	if (e->stats.in_memory_bytes >= e->cfg.window_bytes)
		return false;
	return n < e->cfg.window_min || (n < ENGINE_WINDOW_FN && e->stats.in_memory < e->cfg.window_max);
}

static bool room_waiting(const struct engine *e)
{
	return e->waiting_in_memory == 0 ||
	       (e->waiting_in_memory < e->cfg.window_max && e->stats.in_memory_bytes < e->cfg.window_bytes);
}

bool backlog_room_outbox(const struct engine *e, int n)
{
	return n == 0 || (n < e->cfg.target_window && e->outbox_bytes < e->cfg.window_bytes);
}

static struct fn *fn_of(struct backlog *b)
{
	return container_of(b, struct fn, backlog);
}

static struct dest_target *target_of(struct backlog *b)
{
	return container_of(b, struct dest_target, backlog);
}

static bool due_soon(const struct engine *e, const struct backlog *b)
{
	return b->cursor_ms <= now_steady(e) + ENGINE_AHEAD_MS;
}

/* Low water: a page is asked for before the last one is used up. */
static bool wants(const struct engine *e, struct backlog *b)
{
	int n;

	if (!b->on_disk || b->loading)
		return false;
	switch (b->kind) {
	case BACKLOG_QUEUED:
		n = fn_of(b)->n_ready;
		return n <= MIN(ENGINE_WINDOW_FN / 4, e->cfg.window_max / 4) && room_queued(e, n);
	case BACKLOG_WAITING:
		return due_soon(e, b) || (e->waiting_in_memory <= e->cfg.window_max / 4 && room_waiting(e));
	case BACKLOG_OUTBOX:
		n = target_of(b)->in_memory;
		return n <= e->cfg.target_window / 4 && backlog_room_outbox(e, n);
	}
	return false;
}

void backlog_hunger(struct engine *e, struct backlog *b)
{
	if (list_empty(&b->hungry) && wants(e, b))
		list_add_tail(&e->hungry, &b->hungry);
}

void backlog_forget(struct engine *e, struct backlog *b)
{
	assert(!b->on_disk && !b->loading);
	list_del(&b->hungry);
}

/* Nothing of a page would be started; and what ends with its age is held until its end is durable: a backlog that cannot be
 * written must not come into memory for that. */
bool backlog_rests(const struct engine *e)
{
	return e->draining || e->doubts & DOUBT_COMMIT;
}

int64_t backlog_next_ms(const struct engine *e)
{
	if (!e->waiting.on_disk || e->loading || e->load_retry_at_ns || backlog_rests(e))
		return INT64_MAX;
	return e->waiting.cursor_ms - MIN(e->waiting.cursor_ms, (int64_t)ENGINE_AHEAD_MS);
}

/* ---- out ---------------------------------------------------------------------------------------------------- */

void backlog_left(struct engine *e, const struct inv *inv)
{
	if (e->loading && inv->row.seq)
		map_put(&e->left, (uint64_t)inv->row.seq, e);
}

/* (ms, key) becomes the one in front of the row's, if it is behind that. */
static void move_back(int64_t *ms, int64_t *key, int64_t row_ms, int64_t row_key)
{
	if (row_ms < *ms || (row_ms == *ms && row_key <= *key)) {
		*ms = row_ms;
		*key = row_key - 1;
	}
}

void backlog_put_back(struct engine *e, struct backlog *b, int64_t key_ms, int64_t key)
{
	if (!b->on_disk && !b->loading)
		b->cursor_ms = b->cursor = INT64_MAX;
	b->on_disk++;
	move_back(&b->cursor_ms, &b->cursor, key_ms, key);
	if (b->loading)
		move_back(&e->parked_ms, &e->parked, key_ms, key);
	backlog_hunger(e, b);
}

static void put_on_disk(struct engine *e, struct inv *inv)
{
	bool queued = inv->row.state == INV_QUEUED;
	struct backlog *b = queued ? &dispatch_fn(e, inv->row.function)->backlog : &e->waiting;

	e->on_disk++;
	backlog_put_back(e, b, queued ? INT64_MAX : inv->row.due_at_ms, inv->row.seq);
	inv_free(e, inv);
}

/* Into its queue in memory. */
static void hold(struct engine *e, struct inv *inv)
{
	if (inv->row.state == INV_QUEUED) {
		dispatch_enqueue(e, inv);
		return;
	}
	assert(inv->row.state == INV_WAITING);
	e->waiting_in_memory++;
	sched_set(&e->events, &inv->due, inv->row.due_at_ms);
}

void backlog_waits_no_more(struct engine *e, struct inv *inv)
{
	if (inv->parking) {
		inv->parking = false;
		return;
	}
	sched_cancel(&e->events, &inv->due);
	e->waiting_in_memory--;
}

/* Behind others that are on disk there is none: it waits its turn. */
static bool has_room(const struct engine *e, const struct inv *inv)
{
	const struct fn *fn;

	if (inv->row.state == INV_WAITING)
		return !e->waiting.on_disk && room_waiting(e);
	fn = strmap_get(&e->fns, inv->row.function);
	return !fn || (!fn->backlog.on_disk && room_queued(e, fn->n_ready));
}

void backlog_place(struct engine *e, struct inv *inv)
{
	if (has_room(e, inv)) {
		hold(e, inv);
		return;
	}
	inv->parking = true;
	inv->parks++;
	batch_after(e, AFTER_PARK, inv, NULL, 0);
}

void backlog_park(struct engine *e, struct inv *inv)
{
	if (--inv->parks || !inv->parking)
		return;		/* another one follows; or it was cancelled meanwhile, or retried */
	inv->parking = false;
	if (!list_empty(&inv->waiters) || has_room(e, inv))
		hold(e, inv);
	else
		put_on_disk(e, inv);
}

/* ---- in ----------------------------------------------------------------------------------------------------- */

/*
 * The last attempt's answer was not stored, its verdict was: a record that has to be made without another attempt
 * (the event grew too old meanwhile) says that the function failed, and leaves the answer out.
 */
static enum outcome_kind last_verdict(const char *fates)
{
	CLEAN(buf_done) struct buf all = {};

	buf_addf(&all, "[%s]", fates);
	return fate_last_verdict(all.data, all.len);
}

/* Into memory, and nothing else: where it belongs is the caller's to say. */
struct inv *backlog_inv(struct engine *e, const struct store_event *ev)
{
	struct inv *inv = inv_new();
	const char *fates = ev->fates ? ev->fates : "";

	inv->row = ev->row;
	inv->stored_epoch = ev->row.epoch;
	inv->payload = blob_ref(ev->payload);
	inv->started_at_ms = ev->last_started_at_ms;
	buf_adds(&inv->fates, fates);
	if (ev->row.state != INV_RUNNING && fates[0])
		inv->last.kind = last_verdict(fates);
	strmap_put(&e->by_request, inv->row.request_id, inv);
	inv_weigh(e, inv);
	return inv;
}

/* Unless it is here, or is not what the page says any more. */
static void take_in(struct engine *e, const struct store_event *ev)
{
	struct backlog *b;
	struct inv *inv;

	if (map_get(&e->left, (uint64_t)ev->row.seq) || strmap_get(&e->by_request, ev->row.request_id))
		return;
	if (ev->row.state != INV_QUEUED && ev->row.state != INV_WAITING)
		return;
	inv = backlog_inv(e, ev);
	b = inv->row.state == INV_QUEUED ? &dispatch_fn(e, inv->row.function)->backlog : &e->waiting;
	if (b->on_disk > 0) {
		b->on_disk--;
		e->on_disk--;
	} else {		/* not counted: given back by whoever had claimed it behind our back */
		inv_track(e, inv, -1);
		e->open_at_start++;
	}
	hold(e, inv);
}

/* Rows that are ours and cannot be read: what else is there cannot be trusted either (I8). Asked again every second. */
static void load_failed(struct engine *e, const struct err *err)
{
	doubt_set(e, DOUBT_LOAD, err);
	e->load_retry_at_ns = now_mono(e) + ENGINE_COMMIT_RETRY_NS;
}

static void loading_over(struct engine *e)
{
	e->loading = false;
	e->news = true;
	map_done(&e->left);
	map_done(&e->left_deliveries);
}

/* Behind the page, but not behind what was parked while it was under way. */
static void move_cursor(const struct engine *e, struct backlog *b, int64_t last_ms, int64_t last)
{
	bool parked = e->parked_ms < last_ms || (e->parked_ms == last_ms && e->parked < last);

	b->cursor_ms = parked ? e->parked_ms : last_ms;
	b->cursor = parked ? e->parked : last;
}

static void on_events(struct engine *e, struct backlog *b, const struct store_result *res)
{
	const struct store_event *last = res->n_loaded ? &res->loaded[res->n_loaded - 1] : NULL;

	for (size_t i = 0; i < res->n_loaded; i++)
		take_in(e, &res->loaded[i]);
	if (last)
		move_cursor(e, b, b->kind == BACKLOG_WAITING ? last->row.due_at_ms : INT64_MAX, last->row.seq);
}

static void on_deliveries(struct engine *e, struct backlog *b, const struct store_result *res)
{
	const struct store_op_outbox *last = res->n_outbox ? &res->outbox[res->n_outbox - 1] : NULL;

	for (size_t i = 0; i < res->n_outbox; i++)
		outbox_take_in(e, &res->outbox[i]);
	if (last)
		move_cursor(e, b, INT64_MAX, STORE_OUTBOX_POS(last->seq, last->role));
}

/* The end of the rows, and more were expected: somebody else has claimed or ended them. Counting them for ever would be
 * asking for them for ever. */
static void rows_missing(struct engine *e, struct backlog *b)
{
	int64_t n = b->on_disk;

	b->on_disk = 0;
	engine_refused(e, &e->stats.stale, n, "%lld rows of the backlog were changed by somebody else", (long long)n);
	if (b->kind == BACKLOG_OUTBOX) {
		e->stats.deliveries_owed -= n;
		return;
	}
	e->on_disk -= n;
	e->stats.lost += n;
	if (b->kind == BACKLOG_QUEUED)
		e->stats.queued -= n;
	else
		e->stats.waiting -= n;
}

static void on_page(void *arg, const struct store_query *q, const struct store_result *res, int result, const struct err *err)
{
	struct engine *e = arg;
	struct backlog *b = e->loading_from;
	size_t n = res ? res->n_loaded + res->n_outbox : 0;

	assert(e->loading && b && b->loading);
	b->loading = false;
	e->loading_from = NULL;
	if (result < 0) {
		load_failed(e, err);
	} else if (b->kind == BACKLOG_OUTBOX) {
		on_deliveries(e, b, res);
	} else {
		on_events(e, b, res);
	}
	if (result == 0)
		doubt_clear(e, DOUBT_LOAD);
	if (result == 0 && n == 0 && b->on_disk && !e->left.len && !e->left_deliveries.len &&
	    b->cursor == (b->kind == BACKLOG_OUTBOX ? q->after_pos : q->after_seq))
		rows_missing(e, b);
	loading_over(e);
	backlog_hunger(e, b);
	if (b->kind == BACKLOG_QUEUED)
		dispatch_maybe_free(e, fn_of(b));
	else if (b->kind == BACKLOG_OUTBOX)
		outbox_maybe_free(e, target_of(b));
}

static void load_page(struct engine *e, struct backlog *b)
{
	/* Not all the room that is left: other queues are hungry, too. */
	int64_t share = MAX((e->cfg.window_max - e->stats.in_memory) / 4, (int64_t)e->cfg.window_min);
	struct store_query q = {
		.limit = (int)MIN(share, (int64_t)e->cfg.page_max), .bytes_max = ENGINE_PAGE_BYTES, .arg = e, .done = on_page,
	};

	switch (b->kind) {
	case BACKLOG_QUEUED:
		q.kind = STORE_Q_LOAD_QUEUED;
		q.after_seq = b->cursor;
		snprintf(q.function, sizeof(q.function), "%s", fn_of(b)->name);
		break;
	case BACKLOG_WAITING:
		q.kind = STORE_Q_LOAD_WAITING;
		q.after_ms = b->cursor_ms;
		q.after_seq = b->cursor;
		break;
	case BACKLOG_OUTBOX:
		q.kind = STORE_Q_LOAD_OUTBOX;
		q.after_pos = b->cursor;
		q.limit = MIN(e->cfg.page_max, MAX(e->cfg.target_window / 2, 1));
		snprintf(q.target, sizeof(q.target), "%s", target_of(b)->name);
		break;
	}
	if ((b->kind == BACKLOG_OUTBOX ? e->outbox_bytes : e->stats.in_memory_bytes) >= e->cfg.window_bytes)
		q.limit = 1;
	b->loading = e->loading = true;
	e->loading_from = b;
	e->parked_ms = e->parked = INT64_MAX;
	e->ports.store->ops->query(e->ports.store, &q);
}

/* ---- one event, for somebody -------------------------------------------------------------------------------- */

/* The delivery that somebody wishes something about, as it is now. */
static const struct store_op_outbox *wished(const struct engine *e, const struct wish *wish, const struct store_result *res)
{
	if (map_get(&e->left_deliveries, (uint64_t)STORE_OUTBOX_POS(wish->row.seq, wish->row.role)))
		return NULL;	/* settled since it was read */
	for (size_t i = 0; i < res->n_outbox; i++)
		if (res->outbox[i].seq == wish->row.seq && res->outbox[i].role == wish->row.role)
			return &res->outbox[i];
	return NULL;
}

static void on_one(void *arg, const struct store_query *q, const struct store_result *res, int result, const struct err *err)
{
	struct engine *e = arg;
	struct load *l = list_first(&e->loads, struct load, link);
	const struct store_op_outbox *row = NULL;

	assert(e->loading && !e->loading_from && !list_empty(&e->loads));
	list_del(&l->link);
	if (result == 0 && l->wish)
		row = wished(e, l->wish, res);
	else if (result == 0 && res->n_loaded)
		take_in(e, &res->loaded[0]);
	if (row)
		wish_row(l->wish, row);
	l->found = row;
	loading_over(e);
	if (result == 0) {
		ask_again(e, l);
	} else {
		answer_about(e, l->wish ? TAKE(l->wish->w) : l->w, l->request_id, 503, "The event store cannot be read");
		wish_free(l->wish);
	}
	free(l);
}

void backlog_load(struct engine *e, struct load *l)
{
	list_init(&l->link);
	list_add_tail(&e->loads, &l->link);
}

void backlog_feed(struct engine *e)
{
	if (e->loading || e->leaving)
		return;
	if (e->load_retry_at_ns && now_mono(e) < e->load_retry_at_ns)
		return;
	e->load_retry_at_ns = 0;
	if (!list_empty(&e->loads)) {
		struct load *l = list_first(&e->loads, struct load, link);
		struct store_query q = {
			.kind = l->wish ? STORE_Q_EVENT : STORE_Q_LOAD_EVENT, .limit = 1, .arg = e, .done = on_one,
		};

		memcpy(q.request_id, l->request_id, sizeof(q.request_id));
		e->loading = true;
		e->parked_ms = e->parked = INT64_MAX;
		e->ports.store->ops->query(e->ports.store, &q);
		return;
	}
	if (backlog_rests(e))
		return;
	backlog_hunger(e, &e->waiting);
	while (!list_empty(&e->hungry)) {
		struct backlog *b = list_first(&e->hungry, struct backlog, hungry);

		list_del(&b->hungry);
		if (wants(e, b)) {
			load_page(e, b);
			return;
		}
	}
	/* What could not be read is wanted by nobody any more: no page would ever come to take the doubt away. */
	if (e->doubts & DOUBT_LOAD) {
		doubt_clear(e, DOUBT_LOAD);
		e->news = true;
	}
}
