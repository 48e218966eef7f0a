/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon in four steps, again and again:
 *
 *   collect   adapters' call-backs have posted into the inbox (the loop did that, we only take it)
 *   decide    pure steps; everything durable goes into the batch being filled
 *   commit    the batch is given to the store, one at a time: while it is being made durable the next one fills,
 *             which is all there is to group commit
 *   act       when the store has answered, in the order decided: replies (I1), launches (I2), sends (I4), forgetting
 *
 * Synchronous invocations have no row and do not wait for a commit.
 *
 * I8: a batch that could not be committed is kept and tried again every second; nothing of it is acted upon, no new
 * event is accepted and nothing new is started meanwhile. What runs is supervised as ever: its end waits in the next
 * batch. A page of the backlog that cannot be read is a doubt, too. But when a single row could not be written (a claim that
 * is not ours any more), that row's event is given up and the rest goes on (fence.c).
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "engine/engine_int.h"

#define INBOX_KEEP 4096	/* messages whose memory is kept between turns */

struct store_op *batch_op(struct engine *e, enum store_op_kind kind)
{
	struct store_op *op = store_batch_add(&e->filling->store, kind);

	op->owner = e->on_behalf_of;
	return op;
}

struct after *batch_after(struct engine *e, enum after_kind kind, struct inv *inv, struct delivery *d, uint64_t cgroup_id)
{
	struct turn_batch *t = e->filling;

	if (t->n_after == t->cap_after) {
		t->cap_after = t->cap_after ? t->cap_after * 2 : 16;
		t->after = xrealloc(t->after, t->cap_after * sizeof(*t->after));
	}
	t->after[t->n_after] = (struct after){ .kind = kind, .inv = inv, .delivery = d, .cgroup_id = cgroup_id };
	return &t->after[t->n_after++];
}

struct after *batch_next_after(struct engine *e, const struct after *a)
{
	struct turn_batch *first = e->flying, *t = e->filling;
	bool in_first = first && first->n_after && (!a || (a >= first->after && a < first->after + first->n_after));
	size_t i;

	if (in_first) {
		i = a ? (size_t)(a - first->after) + 1 : 0;
		if (i < first->n_after)
			return &first->after[i];
		a = NULL;
	}
	i = a ? (size_t)(a - t->after) + 1 : 0;
	return i < t->n_after ? &t->after[i] : NULL;
}

void batch_forget(struct engine *e, const struct delivery *d)
{
	for (struct after *a = NULL; (a = batch_next_after(e, a)); )
		if (a->delivery == d)
			a->delivery = NULL;
}

void batch_event_set(struct engine *e, struct inv *inv)
{
	struct store_op *op = batch_op(e, STORE_OP_EVENT_SET);

	op->event.row = inv->row;
	op->event.epoch_was = inv->stored_epoch;
	inv->stored_epoch = inv->row.epoch;
}

/* ---- act --------------------------------------------------------------------------------------------------- */

/* Answers whoever asked about an event; he may have gone. */
void answer_about(struct engine *e, struct waiter *w, const char *request_id, int status, const char *message)
{
	static const struct { int status; const char *type; } types[] = {
		{ 400, "InvalidParameterValueException" }, { 404, "ResourceNotFoundException" },
		{ 409, "ResourceConflictException" }, { 503, "ServiceException" },
	};
	struct intake_reply r = { .status = status, .error_message = message, .request_id = request_id };

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (types[i].status == status)
			r.error_type = types[i].type;
	map_del(&e->waits, w->handle);
	if (w->reply)
		w->reply(w->arg, &r);
	free(w);
}

static void act(struct engine *e, const struct after *a)
{
	switch (a->kind) {
	case AFTER_ACCEPTED:
		inv_reply(e, a->inv, &(struct intake_reply){ .status = 202, .request_id = a->inv->row.request_id });
		break;
	case AFTER_CANCELLED:
		if (a->waiter)
			answer_about(e, a->waiter, a->inv->row.request_id, 202, NULL);
		break;
	case AFTER_LAUNCH:
		attempt_launch(e, a->inv);
		break;
	case AFTER_FORGET:
		if (e->ports.observe)
			e->ports.observe->ops->forget(e->ports.observe, a->cgroup_id);
		break;
	case AFTER_RELEASE:
		e->ports.launch->ops->release(e->ports.launch, a->proc);
		break;
	case AFTER_SETTLED:
		inv_waiters_reply(e, a->inv, &(struct intake_reply){ .status = 200, .request_id = a->inv->row.request_id });
		break;
	case AFTER_SEND:
		if (a->delivery)
			outbox_durable(e, a->delivery);
		break;
	case AFTER_OVER:
		if (a->delivery)
			outbox_over(e, a->delivery);
		break;
	case AFTER_ENDED:
		inv_free(e, a->inv);
		break;
	case AFTER_PARK:
		backlog_park(e, a->inv);
		break;
	case AFTER_ANSWER:
		if (a->waiter)
			answer_about(e, a->waiter, "", a->status, NULL);
		break;
	case AFTER_NOTHING:
		break;
	case AFTER_PUBLISHED:
		publish_durable(e, a);
		break;
	}
}

static void batch_landed(struct store_batch *b, int result, const struct err *err)
{
	struct engine *e = b->arg;

	assert(e->flying && !e->flown && b == &e->flying->store);
	e->flown = true;
	e->flown_result = result;
	e->flown_err = err && result < 0 ? *err : (struct err){};
}

static void release_batch(struct engine *e, struct turn_batch *t)
{
	for (size_t i = 0; i < t->n_after; i++)
		act(e, &t->after[i]);
	store_batch_done(&t->store);
	free(t->after);
	free(t);
}

void doubt_set(struct engine *e, enum doubt what, const struct err *err)
{
	if (!e->doubts)
		e->doubt_since_ns = now_mono(e);
	e->doubts |= what;
	e->stats.in_doubt = true;
	snprintf(e->stats.doubt_why, sizeof(e->stats.doubt_why), "%.250s", err_msg(err));
}

void doubt_clear(struct engine *e, enum doubt what)
{
	e->doubts &= ~(unsigned int)what;
	if (e->doubts)
		return;		/* the other's reason stands */
	e->stats.in_doubt = false;
	e->stats.doubt_why[0] = '\0';
}

static void fly(struct engine *e)
{
	e->flying->store.arg = e;
	e->flying->store.done = batch_landed;
	e->flying->store.failed = SIZE_MAX;
	e->ports.store->ops->apply(e->ports.store, &e->flying->store);
}

static void release_flown(struct engine *e)
{
	struct turn_batch *t = e->flying;

	e->flown = false;
	if (e->flown_result < 0 && t->store.failed < t->store.n) {
		fence_refused(e, t, e->flown_result);
		fly(e);		/* what is left of it; nothing is fine, too */
		return;
	}
	if (e->flown_result < 0) {
		e->stats.commit_failures++;
		doubt_set(e, DOUBT_COMMIT, &e->flown_err);
		e->commit_retry_at_ns = now_mono(e) + ENGINE_COMMIT_RETRY_NS;
		return;
	}
	doubt_clear(e, DOUBT_COMMIT);
	e->stats.commits++;
	e->stats.ops_committed += (int64_t)t->store.n;
	for (size_t i = 0; i < t->store.n; i++)
		if (t->store.ops[i].kind == STORE_OP_EVENT_DONE && t->store.ops[i].done.ended)
			e->stats.routing--;
	e->flying = NULL;
	release_batch(e, t);
}

/*
 * Whoever waits for a commit that does not come is told so, after a while: it may come yet, and what was asked is done then.
 * A caller with a time limit of his own would learn less.
 */
static void patience_ends(struct engine *e)
{
	char message[480];

	if (!(e->doubts & DOUBT_COMMIT) || now_mono(e) - e->doubt_since_ns < ENGINE_PATIENCE_NS)
		return;
	snprintf(message, sizeof(message), "It is not known whether this is stored, and it may be done yet: %.300s",
		 e->stats.doubt_why);
	for (struct after *a = NULL; (a = batch_next_after(e, a)); ) {
		const char *id = a->inv ? a->inv->row.request_id : "";

		if (a->kind == AFTER_ACCEPTED)
			inv_reply(e, a->inv, &(struct intake_reply){ .status = 503, .error_type = "ServiceException",
				  .error_message = message, .request_id = id });
		else if (a->waiter)
			answer_about(e, TAKE(a->waiter), id, 503, message);
	}
}

/* ---- commit ------------------------------------------------------------------------------------------------ */

static void commit(struct engine *e)
{
	if (e->commit_retry_at_ns) {
		if (now_mono(e) < e->commit_retry_at_ns)
			return;
		e->commit_retry_at_ns = 0;
		fly(e);
		return;
	}
	if (e->flying || (!e->filling->store.n && !e->filling->n_after))
		return;
	if (!e->filling->store.n) {	/* it only waited for batches before it */
		struct turn_batch *t = e->filling;

		e->filling = XNEW(struct turn_batch);
		release_batch(e, t);
		return;
	}
	e->flying = e->filling;
	e->filling = XNEW(struct turn_batch);
	fly(e);
}

/* ---- decide ------------------------------------------------------------------------------------------------ */

static void refuse(struct engine *e, struct inv *inv, int status, const char *type, const char *reason, const char *message)
{
	struct intake_reply r = {
		.status = status, .error_type = type, .error_reason = reason, .error_message = message,
		.request_id = inv->row.request_id,
	};

	e->stats.refused++;
	e->stats.throttled += status == 429;
	inv_reply(e, inv, &r);
	inv_free(e, inv);
}

static void on_async(struct engine *e, struct inv *inv, const struct redrive *from)
{
	/* ROUTING events are done but for a target that does not answer: they must not close the door for everybody. */
	int64_t open = e->stats.queued + e->stats.running + e->stats.waiting;
	char message[320];

	inv->row.hops = 1;
	if (e->stats.in_doubt) {
		snprintf(message, sizeof(message), "The event store is in doubt: %.250s", e->stats.doubt_why);
		refuse(e, inv, 503, "ServiceException", NULL, message);
	} else if (open >= e->cfg.queue_max) {
		refuse(e, inv, 429, "TooManyRequestsException", "CallerRateLimitExceeded", "Rate Exceeded.");
	} else {
		dispatch_accept(e, inv);
		batch_after(e, AFTER_ACCEPTED, inv, NULL, 0);
		dispatch_accepted(e, inv);
		if (from && from->queue[0]) {
			struct store_op *op = batch_op(e, STORE_OP_MESSAGE_DEL);

			op->owner = inv->row.seq;
			snprintf(op->message.queue, sizeof(op->message.queue), "%s", from->queue);
			snprintf(op->message.receipt, sizeof(op->message.receipt), "%s", from->receipt);
		}
	}
}

static bool lease_holds(struct engine *e, const struct inv *inv)
{
	return (int64_t)inv->row.timeout_ms + inv_func(e, inv)->kill_grace_ms + LIM_LEASE_SLACK_S * 1000 < e->cfg.lease_ms;
}

static void on_invoke(struct engine *e, const struct msg *m)
{
	struct inv *inv = m->invoke.inv;
	char message[LIM_ARN_MAX + 64], arn[LIM_ARN_MAX + 1];

	if (m->invoke.overflow)
		return refuse(e, inv, 429, "TooManyRequestsException", "CallerRateLimitExceeded", "Rate Exceeded.");
	if (e->draining)
		return refuse(e, inv, 503, "ServiceException", NULL, "The service is stopping.");
	if (registry_resolve(e->registry, inv->row.function, inv->row.qualifier, random64(e), &inv->row.version) < 0) {
		arn_format_function(arn, sizeof(arn), e->cfg.region, inv->row.function,
				    inv->row.qualifier[0] ? inv->row.qualifier : "$LATEST");
		snprintf(message, sizeof(message), "Function not found: %s", arn);
		return refuse(e, inv, 404, "ResourceNotFoundException", NULL, message);
	}
	if (m->invoke.redrive && inv->row.timeout_ms && !lease_holds(e, inv)) {
		snprintf(message, sizeof(message),
			 "The timeout asked for, with the function's KillGracePeriod, is longer than a lease (%lld s)",
			 (long long)(e->cfg.lease_ms / 1000));
		return refuse(e, inv, 400, "InvalidParameterValueException", NULL, message);
	}
	if (m->invoke.type == INTAKE_DRY_RUN) {
		inv_reply(e, inv, &(struct intake_reply){ .status = 204, .request_id = inv->row.request_id });
		inv_free(e, inv);
	} else if (m->invoke.type == INTAKE_ASYNC) {
		on_async(e, inv, m->invoke.redrive);
	} else {
		struct intake_reply refusal = {};

		if (!dispatch_sync(e, inv, &refusal))
			refuse(e, inv, refusal.status, refusal.error_type, refusal.error_reason, refusal.error_message);
	}
}

/* It is on disk, perhaps: looked for, and asked once more. False: it cannot be. */
static bool look_on_disk(struct engine *e, const char *request_id, struct waiter *w, int why)
{
	struct load *l;

	if (!e->on_disk)
		return false;
	l = XNEW(struct load);
	l->why = why;
	l->w = w;
	snprintf(l->request_id, sizeof(l->request_id), "%s", request_id);
	backlog_load(e, l);
	return true;
}

static void on_wait(struct engine *e, const char *request_id, struct waiter *w, bool looked)
{
	struct inv *inv = strmap_get(&e->by_request, request_id);

	if (inv && w->reply)
		list_add_tail(&inv->waiters, &w->link);
	else if (!w->reply || looked || !look_on_disk(e, request_id, w, LOAD_FOR_WAIT))
		answer_about(e, w, request_id, 404, "not open");
}

static void on_cancel(struct engine *e, const char *request_id, struct waiter *w, bool looked)
{
	struct inv *inv = strmap_get(&e->by_request, request_id);
	enum inv_state was;

	if (!inv && !looked && look_on_disk(e, request_id, w, LOAD_FOR_CANCEL))
		return;
	if (!inv)
		return answer_about(e, w, request_id, 404, "No such event is open");
	if (e->stats.in_doubt)
		return answer_about(e, w, request_id, 503, "The event store is in doubt");
	was = inv->row.state;
	if (was == INV_RUNNING ? !attempt_cancel(e, inv) : was != INV_QUEUED && was != INV_WAITING)
		return answer_about(e, w, request_id, 409, "The event is ending already");
	batch_after(e, AFTER_CANCELLED, inv, NULL, 0)->waiter = w;
	if (was == INV_RUNNING) {
		/* In the row, so that nobody repeats it: whatever its end will be, and whoever will judge it. */
		inv_cancelling(&inv->row);
		batch_event_set(e, inv);
	} else {
		int fx;

		if (was == INV_WAITING)
			backlog_waits_no_more(e, inv);
		inv->parking = false;
		fx = inv_step(&inv->row, NULL, &(struct inv_event){ .kind = INV_EV_CANCEL }, now_steady(e));
		assert(fx == INV_FX_ROUTE);
		route_ended(e, inv, was, false);
	}
}

/* QUEUED by now. WAITING with its time come is that to whoever reads the row, so there is nothing to write, unless it is to be
 * found on disk; and a crash costs no more than haste. */
static void its_time_has_come(struct engine *e, struct inv *inv)
{
	inv_track(e, inv, INV_WAITING);
	backlog_place(e, inv);
	if (inv->parking)
		batch_event_set(e, inv);
}

static void on_retry(struct engine *e, const char *request_id, struct waiter *w, bool looked)
{
	struct inv *inv = strmap_get(&e->by_request, request_id);

	if (!inv && !looked && look_on_disk(e, request_id, w, LOAD_FOR_RETRY))
		return;
	if (!inv)
		return answer_about(e, w, request_id, 404, "No such event is open");
	if (e->stats.in_doubt)
		return answer_about(e, w, request_id, 503, "The event store is in doubt");
	if (inv_step(&inv->row, NULL, &(struct inv_event){ .kind = INV_EV_NOW }, now_steady(e)) != INV_FX_REQUEUE)
		return answer_about(e, w, request_id, 409, "The event does not wait for a retry");
	backlog_waits_no_more(e, inv);
	its_time_has_come(e, inv);
	answer_about(e, w, request_id, 200, NULL);
}

static void on_wish(struct engine *e, struct wish *wish, bool looked)
{
	if (e->stats.in_doubt) {
		answer_about(e, TAKE(wish->w), "", 503, "The event store is in doubt");
	} else if (wish->kind != WISH_DELIVERY) {
		publish_wish(e, wish);
	} else if (!outbox_wish(e, wish, looked)) {
		struct load *l = XNEW(struct load);

		l->why = LOAD_FOR_WISH;
		l->wish = wish;
		memcpy(l->request_id, wish->row.request_id, sizeof(l->request_id));
		backlog_load(e, l);
		return;
	}
	assert(!wish->w);
	wish_free(wish);
}

void ask_again(struct engine *e, const struct load *l)
{
	switch (l->why) {
	case LOAD_FOR_WAIT:
		on_wait(e, l->request_id, l->w, true);
		break;
	case LOAD_FOR_CANCEL:
		on_cancel(e, l->request_id, l->w, true);
		break;
	case LOAD_FOR_RETRY:
		on_retry(e, l->request_id, l->w, true);
		break;
	case LOAD_FOR_WISH:
		if (!l->found && !e->stats.in_doubt)
			answer_about(e, TAKE(l->wish->w), "", 409, "It is settled already");
		if (l->wish->w)
			on_wish(e, l->wish, true);
		else
			wish_free(l->wish);
		break;
	}
}

static void handle(struct engine *e, const struct msg *m)
{
	switch (m->kind) {
	case MSG_INVOKE:
		on_invoke(e, m);
		free(m->invoke.redrive);
		break;
	case MSG_CANCEL:
		on_cancel(e, m->wait.request_id, m->wait.w, false);
		break;
	case MSG_RETRY:
		on_retry(e, m->wait.request_id, m->wait.w, false);
		break;
	case MSG_WAIT:
		on_wait(e, m->wait.request_id, m->wait.w, false);
		break;
	case MSG_WISH:
		on_wish(e, m->wish, false);
		break;
	case MSG_FACT:
		attempt_fact(e, &m->fact);
		break;
	case MSG_DELIVERED:
		outbox_delivered(e, m->delivered.seq, m->delivered.role, m->delivered.how, m->delivered.why);
		break;
	}
}

static void handle_inbox(struct engine *e)
{
	/* What handling posts is for the next turn: the inbox is taken as it stands, and the two arrays change places. */
	struct msg *inbox = e->inbox;
	size_t n = e->n_inbox, cap = e->cap_inbox;

	if (!n)
		return;
	e->inbox = e->spare_inbox;
	e->cap_inbox = e->cap_spare;
	e->n_inbox = e->invokes_in_inbox = 0;
	for (size_t i = 0; i < n; i++)
		handle(e, &inbox[i]);
	if (cap > INBOX_KEEP) {		/* a burst made it large */
		free(inbox);
		inbox = NULL;
		cap = 0;
	}
	e->spare_inbox = inbox;
	e->cap_spare = cap;
}

static void due_events(struct engine *e)
{
	int64_t now = now_steady(e);
	struct sched_node *n;

	while ((n = sched_first(&e->events)) && n->at <= now) {
		struct inv *inv = container_of(n, struct inv, due);
		struct func *f = inv_func(e, inv);
		int was = (int)inv->row.state, fx;

		sched_cancel(&e->events, n);
		fx = inv_step(&inv->row, f, &(struct inv_event){ .kind = INV_EV_EXPIRE }, now);
		if (fx < 0)
			fx = inv_step(&inv->row, f, &(struct inv_event){ .kind = INV_EV_DUE }, now);
		if (fx < 0) {	/* the definition's age limit was raised meanwhile */
			sched_set(&e->events, n, inv->row.state == INV_WAITING ? inv->row.due_at_ms
									     : inv_expires_at_ms(&inv->row, f));
			if (n->at <= now)
				sched_set(&e->events, n, now + 1000);
			continue;
		}
		if (was == INV_WAITING)
			backlog_waits_no_more(e, inv);
		if (fx & INV_FX_ROUTE) {
			route_ended(e, inv, (enum inv_state)was, dispatch_at_limit(e, inv->row.function));
		} else {
			its_time_has_come(e, inv);
		}
	}
}

void engine_turn(struct engine *e)
{
	e->news = false;
	if (e->flown)
		release_flown(e);
	handle_inbox(e);
	steady_turn(e);
	attempt_timers(e);
	due_events(e);
	outbox_times(e);
	dispatch_all(e);
	outbox_pump(e);
	backlog_feed(e);
	patience_ends(e);
	commit(e);
}

bool engine_pending(const struct engine *e)
{
	bool page = !list_empty(&e->hungry) && !backlog_rests(e);
	bool to_load = (page || !list_empty(&e->loads)) && !e->loading && !e->load_retry_at_ns && !e->leaving;
	bool to_commit = !e->flying && !e->commit_retry_at_ns && (e->filling->store.n || e->filling->n_after);

	return e->flown || e->n_inbox || e->news || to_load || to_commit;
}

int64_t engine_next_steady_ms(const struct engine *e)
{
	int64_t t = MIN(sched_next(&e->outbox), sched_next(&e->probes));

	t = MIN(t, sched_next(&e->events));
	return MIN(t, backlog_next_ms(e));
}

int64_t engine_next_mono_ns(const struct engine *e)
{
	int64_t t = sched_next(&e->mono);

	if (e->load_retry_at_ns)
		t = MIN(t, e->load_retry_at_ns);
	return e->commit_retry_at_ns ? MIN(t, e->commit_retry_at_ns) : t;
}
