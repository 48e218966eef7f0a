/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A row that could not be written, though the store is well: somebody else has claimed the event since (its epoch is not
 * the one our change was made under), or it is not there any more. What we meant to write is then not ours to write, now
 * or later: everything of that event leaves the batch and the memory, a process that runs for it is killed, and whoever
 * waits is told; so is all that was written on its behalf (a message to a queue, the event of a function it was to invoke).
 * It is counted (stale, refused_ops) and its reason kept for status. All else in the batch goes on.
 *
 * With one daemon on a store this does not happen to events: it is the proof that it does not, and the guard for when it
 * would. An operator's wish about a delivery that is settled in the same moment may meet it.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "engine/engine_int.h"

static void remove_op(struct store_batch *b, size_t i)
{
	struct store_batch one = { .ops = &b->ops[i], .n = 1 };

	store_batch_clear(&one);
	memmove(&b->ops[i], &b->ops[i + 1], (b->n - i - 1) * sizeof(*b->ops));
	b->n--;
}

static void remove_ops(struct turn_batch *t, int64_t seq)
{
	for (size_t i = t->store.n; i-- > 0; )
		if (store_op_seq(&t->store.ops[i]) == seq)
			remove_op(&t->store, i);
}

static void tell(struct engine *e, struct waiter *w)
{
	if (w)
		answer_about(e, w, "", 409, "It was changed by somebody else at the same time");
}

/* True: what follows was about the event, and does not follow. */
static bool drop_after(struct engine *e, struct after *a, int64_t seq, struct inv **ret_inv)
{
	if (a->inv && a->inv->row.seq == seq) {
		*ret_inv = a->inv;
	} else if (a->delivery && a->delivery->row.seq == seq) {
		a->delivery->pending = false;	/* outbox_lost() finds it */
	} else if (a->kind != AFTER_ANSWER || a->seq != seq) {
		return false;
	}
	tell(e, TAKE(a->waiter));
	return true;
}

static struct inv *remove_afters(struct engine *e, struct turn_batch *t, int64_t seq)
{
	struct inv *inv = NULL;
	size_t n = 0;

	for (size_t i = 0; i < t->n_after; i++)
		if (!drop_after(e, &t->after[i], seq, &inv))
			t->after[n++] = t->after[i];
	t->n_after = n;
	return inv;
}

/* An event leaves us without an end: the books of this daemon do not hold it any more. */
static void lose(struct engine *e, struct inv *inv)
{
	struct intake_reply r = { .status = 503, .error_type = "ServiceException", .request_id = inv->row.request_id,
				  .error_message = "The event is not this daemon's any more" };
	struct env *env = TAKE(inv->env);

	inv_reply(e, inv, &r);
	inv_waiters_reply(e, inv, &r);
	if (env)
		attempt_fence(e, env);
	if (inv->row.state == INV_WAITING)
		backlog_waits_no_more(e, inv);
	inv->parking = false;
	dispatch_forget(e, inv);
	inv_untrack(e, inv);
	inv_free(e, inv);
}

static void lose_event(struct engine *e, int64_t seq);

/* What was written for it: messages to queues, and events of the functions it was to invoke, with all of theirs. */
static void lose_offspring(struct engine *e, struct turn_batch *t, int64_t seq)
{
	for (size_t i = 0; i < t->store.n; ) {
		struct store_op *op = &t->store.ops[i];

		if (op->owner != seq || store_op_seq(op) == seq) {
			i++;
		} else if (op->kind == STORE_OP_EVENT_PUT) {
			lose_event(e, op->event.row.seq);
			i = 0;		/* what is left has moved */
		} else {
			remove_op(&t->store, i);
		}
	}
}

/* As the batch names it: what is in memory of it may be named by nothing else (it waits for its time). */
static struct inv *find_inv(struct engine *e, const struct turn_batch *t, int64_t seq)
{
	for (size_t i = 0; i < t->store.n; i++) {
		const struct store_op *op = &t->store.ops[i];

		if ((op->kind == STORE_OP_EVENT_PUT || op->kind == STORE_OP_EVENT_SET) && op->event.row.seq == seq)
			return strmap_get(&e->by_request, op->event.row.request_id);
	}
	return NULL;
}

static void lose_event(struct engine *e, int64_t seq)
{
	struct turn_batch *batches[] = { e->flying, e->filling };
	struct inv *inv = NULL, *found;

	for (size_t i = 0; i < ARRAY_SIZE(batches) && !inv; i++)
		inv = find_inv(e, batches[i], seq);
	for (size_t i = 0; i < ARRAY_SIZE(batches); i++) {
		remove_ops(batches[i], seq);
		found = remove_afters(e, batches[i], seq);
		if (found)
			inv = found;
	}
	for (size_t i = 0; i < ARRAY_SIZE(batches); i++)
		lose_offspring(e, batches[i], seq);
	outbox_lost(e, seq);
	if (inv)
		lose(e, inv);
}

static bool is_wish_of(const struct after *a, const struct store_op *op)
{
	const struct alias *alias = a->alias ? a->alias : a->gone;

	if (a->kind != AFTER_PUBLISHED)
		return false;
	if (op->kind == STORE_OP_VERSION_PUT)
		return a->func && a->func->version == op->version.version && strcmp(a->func->name, op->version.function) == 0;
	return (op->kind == STORE_OP_ALIAS_PUT || op->kind == STORE_OP_ALIAS_DEL) && alias &&
	       strcmp(alias->function, op->alias.function) == 0 && strcmp(alias->name, op->alias.name) == 0;
}

/* About no event: a version, an alias. Whoever wished it is told. */
static void lose_wish(struct engine *e, struct turn_batch *t, const struct store_op *op)
{
	for (size_t i = 0; i < t->n_after; i++) {
		struct after *a = &t->after[i];

		if (!is_wish_of(a, op))
			continue;
		tell(e, TAKE(a->waiter));
		func_unref(a->func);
		alias_unref(a->alias);
		alias_unref(a->gone);
		a->func = NULL;
		a->alias = a->gone = NULL;
		a->kind = AFTER_NOTHING;
	}
}

void fence_refused(struct engine *e, struct turn_batch *t, int result)
{
	struct store_op *op = &t->store.ops[t->store.failed];
	int64_t seq = store_op_seq(op);

	assert(t == e->flying);
	engine_refused(e, result == -ESTALE ? &e->stats.stale : &e->stats.refused_ops, 1, "%.250s", err_msg(&e->flown_err));
	if (seq != STORE_NO_EVENT) {
		lose_event(e, seq);
		return;
	}
	lose_wish(e, t, op);
	remove_op(&t->store, t->store.failed);
}
