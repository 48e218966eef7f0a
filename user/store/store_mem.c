/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything hangs on its event: payload, attempts, record, three outbox slots; queues hold their messages in order
 * of arrival, and a list those events that have a record in the order they got it. A batch is atomic by an undo log:
 * each operation pushes what would take it back, and a failing one makes the log run backwards. Copying the whole state
 * before each batch would be shorter and quadratic.
 *
 * apply() takes effect when it is run, not when it is queued, so that a simulation decides where between the two the
 * daemon dies.
 */
#include "store/store_mem.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "store/store_row.h"

enum slot_state { SLOT_NEVER = 0, SLOT_OPEN, SLOT_ACKNOWLEDGED };
struct slot { enum slot_state state; struct store_op_outbox row; };

struct mem_event {
	struct inv_row row;
	struct blob *payload;
	struct store_op_attempt *attempts;	/* by start */
	size_t n_attempts;
	bool has_record;
	struct store_op_record record;
	struct slot slots[ROLE_DEAD_LETTER + 1];
};

struct mem_queue {
	char name[LIM_ARN_MAX + 1];
	struct store_op_message **messages;	/* in order of arrival */
	size_t n;
};

struct mem_undo {
	enum store_op_kind kind;
	struct mem_event *event;
	enum outbox_role role;			/* OUTBOX_* */
	struct inv_row row;			/* EVENT_SET: before */
	struct store_op_attempt attempt;	/* ATTEMPT_PUT: which; ATTEMPT_END: before */
	struct slot slot;			/* OUTBOX_*: before, with its references */
	struct mem_queue *queue;		/* MESSAGE_PUT: its last message is the new one; MESSAGE_DEL, NULL = none went */
	bool made_queue;
	struct store_op_message *message;	/* MESSAGE_DEL: which, ours now */
	size_t place;				/* and where in the queue it was */
};

struct mem_job {
	struct list node;
	struct store_batch *batch;		/* or */
	struct store_query *query;
};

struct store_mem {
	struct port_store port;
	struct mem_event **events;		/* by seq */
	size_t n_events;
	struct mem_event **ended;		/* with a record: [pos - 1] */
	size_t n_ended;
	struct strmap by_request_id;
	struct mem_queue **queues;		/* by name */
	size_t n_queues;
	struct strmap messages;			/* by id */
	struct list jobs;
	int fail_in, fail_error;
};

static struct store_mem *of(const struct port_store *port)
{
	return container_of(port, struct store_mem, port);
}

/* ---- the rows ---------------------------------------------------------------------------------------------- */

/* Where seq is, or would be. */
static size_t event_pos(const struct store_mem *s, int64_t seq)
{
	size_t lo = 0, hi = s->n_events;

	if (hi && s->events[hi - 1]->row.seq < seq)
		return hi;		/* the usual case: a new one */
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (s->events[mid]->row.seq < seq)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static struct mem_event *event_get(const struct store_mem *s, int64_t seq)
{
	size_t i = event_pos(s, seq);

	return i < s->n_events && s->events[i]->row.seq == seq ? s->events[i] : NULL;
}

static void slot_clear(struct slot *slot)
{
	slot->row.body = blob_unref(slot->row.body);
	slot->row.attributes = blob_unref(slot->row.attributes);
}

static void event_free(struct mem_event *ev)
{
	blob_unref(ev->payload);
	for (size_t i = 0; i < ev->n_attempts; i++)
		blob_unref(ev->attempts[i].fate);
	free(ev->attempts);
	if (ev->has_record)
		blob_unref(ev->record.body);
	for (size_t i = 0; i < ARRAY_SIZE(ev->slots); i++)
		slot_clear(&ev->slots[i]);
	free(ev);
}

static void event_remove(struct store_mem *s, struct mem_event *ev)
{
	size_t i = event_pos(s, ev->row.seq);

	assert(s->events[i] == ev);
	memmove(&s->events[i], &s->events[i + 1], (s->n_events - i - 1) * sizeof(*s->events));
	s->n_events--;
	strmap_del(&s->by_request_id, ev->row.request_id);
	event_free(ev);
}

static struct store_op_attempt *attempt_get(struct mem_event *ev, int start)
{
	for (size_t i = 0; i < ev->n_attempts; i++)
		if (ev->attempts[i].start == start)
			return &ev->attempts[i];
	return NULL;
}

static struct mem_queue *queue_get(const struct store_mem *s, const char *name)
{
	for (size_t i = 0; i < s->n_queues; i++)
		if (strcmp(s->queues[i]->name, name) == 0)
			return s->queues[i];
	return NULL;
}

static struct mem_queue *queue_add(struct store_mem *s, const char *name)
{
	struct mem_queue *q = XNEW(struct mem_queue);
	size_t i = 0;

	memcpy(q->name, name, strlen(name) + 1);
	(void)*STORE_ROW_ADD(s->queues, s->n_queues);
	while (i < s->n_queues - 1 && strcmp(s->queues[i]->name, name) < 0)
		i++;
	memmove(&s->queues[i + 1], &s->queues[i], (s->n_queues - 1 - i) * sizeof(*s->queues));
	s->queues[i] = q;
	return q;
}

static void queue_remove(struct store_mem *s, struct mem_queue *q)
{
	size_t i = 0;

	while (s->queues[i] != q)
		i++;
	memmove(&s->queues[i], &s->queues[i + 1], (s->n_queues - i - 1) * sizeof(*s->queues));
	s->n_queues--;
	free(q->messages);
	free(q);
}

static void message_free(struct store_op_message *m)
{
	if (!m)
		return;
	blob_unref(m->body);
	blob_unref(m->attributes);
	free(m);
}

/* The i-th, no longer in the queue: the caller's. */
static struct store_op_message *message_take(struct store_mem *s, struct mem_queue *q, size_t i)
{
	struct store_op_message *m = q->messages[i];

	strmap_del(&s->messages, m->id);
	memmove(&q->messages[i], &q->messages[i + 1], (q->n - i - 1) * sizeof(*q->messages));
	q->n--;
	return m;
}

static void message_insert(struct store_mem *s, struct mem_queue *q, size_t i, struct store_op_message *m)
{
	(void)*STORE_ROW_ADD(q->messages, q->n);
	memmove(&q->messages[i + 1], &q->messages[i], (q->n - i - 1) * sizeof(*q->messages));
	q->messages[i] = m;
	strmap_put(&s->messages, m->id, m);
}

/* False when no message of the queue has that receipt. */
static bool message_leased(const struct mem_queue *q, const char *receipt, size_t *ret)
{
	for (size_t i = 0; q && receipt[0] && i < q->n; i++) {
		if (strcmp(q->messages[i]->receipt, receipt) == 0) {
			*ret = i;
			return true;
		}
	}
	return false;
}

/* ---- operations: each fills u, or changes nothing ---------------------------------------------------------- */

static int no_event(int64_t seq, struct err *e)
{
	return err_set(e, -ENOENT, "memory: there is no event %lld", (long long)seq);
}

static int event_put(struct store_mem *s, const struct store_op_event *op, struct mem_undo *u, struct err *e)
{
	size_t i = event_pos(s, op->row.seq);
	struct mem_event *ev;

	if ((i < s->n_events && s->events[i]->row.seq == op->row.seq) || strmap_get(&s->by_request_id, op->row.request_id))
		return err_set(e, -EEXIST, "memory: event %lld is already there", (long long)op->row.seq);
	ev = XNEW(struct mem_event);
	ev->row = op->row;
	ev->payload = blob_ref(op->payload);
	(void)*STORE_ROW_ADD(s->events, s->n_events);
	memmove(&s->events[i + 1], &s->events[i], (s->n_events - 1 - i) * sizeof(*s->events));
	s->events[i] = ev;
	strmap_put(&s->by_request_id, ev->row.request_id, ev);
	u->event = ev;
	return 0;
}

static int event_set(struct store_mem *s, const struct store_op_event *op, struct mem_undo *u, struct err *e)
{
	struct mem_event *ev = event_get(s, op->row.seq);
	struct inv_row *row;

	if (!ev)
		return no_event(op->row.seq, e);
	row = &ev->row;
	if (row->epoch != op->epoch_was)
		return err_set(e, -ESTALE, "memory: event %lld has epoch %u, not %u: somebody else has claimed it",
			       (long long)row->seq, row->epoch, op->epoch_was);
	u->event = ev;
	u->row = *row;
	row->state = op->row.state;
	row->due_at_ms = op->row.due_at_ms;
	row->attempts = op->row.attempts;
	row->starts = op->row.starts;
	row->backoffs = op->row.backoffs;
	row->epoch = op->row.epoch;
	row->condition = op->row.condition;
	row->verdicts = op->row.verdicts;
	return 0;
}

static int attempt_put(struct store_mem *s, const struct store_op_attempt *op, struct mem_undo *u, struct err *e)
{
	struct mem_event *ev = event_get(s, op->seq);
	size_t i;

	if (ev && attempt_get(ev, op->start))
		return err_set(e, -EEXIST, "memory: attempt of event %lld is already there", (long long)op->seq);
	if (!ev)
		return no_event(op->seq, e);
	(void)*STORE_ROW_ADD(ev->attempts, ev->n_attempts);
	for (i = ev->n_attempts - 1; i > 0 && ev->attempts[i - 1].start > op->start; i--)
		ev->attempts[i] = ev->attempts[i - 1];
	ev->attempts[i] = (struct store_op_attempt){ .seq = op->seq, .start = op->start, .started_at_ms = op->started_at_ms };
	u->event = ev;
	u->attempt.start = op->start;
	return 0;
}

static int attempt_end(struct store_mem *s, const struct store_op_attempt *op, struct mem_undo *u, struct err *e)
{
	struct mem_event *ev = event_get(s, op->seq);
	struct store_op_attempt *a = ev ? attempt_get(ev, op->start) : NULL;

	if (!a)
		return err_set(e, -ENOENT, "memory: there is no such attempt of event %lld", (long long)op->seq);
	u->event = ev;
	u->attempt = *a;	/* with its reference */
	a->ended_at_ms = op->ended_at_ms;
	a->outcome = op->outcome;
	a->fate = blob_ref(op->fate);
	return 0;
}

static int record_put(struct store_mem *s, const struct store_op_record *op, struct mem_undo *u, struct err *e)
{
	struct mem_event *ev = event_get(s, op->seq);

	if (!ev)
		return no_event(op->seq, e);
	if (ev->has_record)
		return err_set(e, -EEXIST, "memory: record of event %lld is already there", (long long)op->seq);
	ev->record = *op;
	ev->record.body = blob_ref(op->body);
	ev->has_record = true;
	*STORE_ROW_ADD(s->ended, s->n_ended) = ev;
	ev->record.pos = (int64_t)s->n_ended;
	u->event = ev;
	return 0;
}

static int outbox_put(struct store_mem *s, const struct store_op_outbox *op, struct mem_undo *u, struct err *e)
{
	struct mem_event *ev = event_get(s, op->seq);
	struct slot *slot;

	if (!ev)
		return no_event(op->seq, e);
	slot = &ev->slots[op->role];
	if (slot->state != SLOT_NEVER)
		return err_set(e, -EEXIST, "memory: outbox row of event %lld is already there", (long long)op->seq);
	u->event = ev;
	u->role = op->role;
	u->slot = *slot;
	*slot = (struct slot){ .state = SLOT_OPEN, .row = *op };
	blob_ref(op->body);
	blob_ref(op->attributes);
	return 0;
}

static int outbox_change(struct store_mem *s, const struct store_op_outbox *op, bool del, struct mem_undo *u,
			 struct err *e)
{
	struct mem_event *ev = event_get(s, op->seq);
	struct slot *slot = ev ? &ev->slots[op->role] : NULL;

	if (!slot || slot->state != SLOT_OPEN)
		return err_set(e, -ENOENT, "memory: there is no outbox row of event %lld", (long long)op->seq);
	u->event = ev;
	u->role = op->role;
	u->slot = *slot;	/* with its references; the slot gets its own below */
	if (del) {
		*slot = (struct slot){ .state = SLOT_ACKNOWLEDGED };
		return 0;
	}
	slot->row.tries = op->tries;
	slot->row.due_at_ms = op->due_at_ms;
	memcpy(slot->row.last_error, op->last_error, sizeof(slot->row.last_error));
	blob_ref(slot->row.body);
	blob_ref(slot->row.attributes);
	return 0;
}

static int message_put(struct store_mem *s, const struct store_op_message *op, struct mem_undo *u, struct err *e)
{
	struct mem_queue *q = queue_get(s, op->queue);
	struct store_op_message *m;

	if (strmap_get(&s->messages, op->id))
		return err_set(e, -EEXIST, "memory: message %s is already there", op->id);
	u->made_queue = !q;
	if (!q)
		q = queue_add(s, op->queue);
	m = XNEW(struct store_op_message);
	*m = *op;
	m->body = blob_ref(op->body);
	m->attributes = blob_ref(op->attributes);
	m->receipt[0] = '\0';
	m->receive_count = 0;
	m->visible_at_ms = 0;
	message_insert(s, q, q->n, m);
	u->queue = q;
	return 0;
}

static int message_del(struct store_mem *s, const struct store_op_message *op, struct mem_undo *u)
{
	struct mem_queue *q = queue_get(s, op->queue);

	if (message_leased(q, op->receipt, &u->place)) {
		u->queue = q;
		u->message = message_take(s, q, u->place);
	}
	return 0;
}

static int run_op(struct store_mem *s, const struct store_op *op, struct mem_undo *u, struct err *e)
{
	u->kind = op->kind;
	switch (op->kind) {
	case STORE_OP_EVENT_PUT:
		return event_put(s, &op->event, u, e);
	case STORE_OP_EVENT_SET:
		return event_set(s, &op->event, u, e);
	case STORE_OP_ATTEMPT_PUT:
		return attempt_put(s, &op->attempt, u, e);
	case STORE_OP_ATTEMPT_END:
		return attempt_end(s, &op->attempt, u, e);
	case STORE_OP_RECORD_PUT:
		return record_put(s, &op->record, u, e);
	case STORE_OP_OUTBOX_PUT:
		return outbox_put(s, &op->outbox, u, e);
	case STORE_OP_OUTBOX_SET:
		return outbox_change(s, &op->outbox, false, u, e);
	case STORE_OP_OUTBOX_DEL:
		return outbox_change(s, &op->outbox, true, u, e);
	case STORE_OP_MESSAGE_PUT:
		return message_put(s, &op->message, u, e);
	case STORE_OP_MESSAGE_DEL:
		return message_del(s, &op->message, u);
	case STORE_OP_INVALID:
		break;
	}
	assert(!"unknown kind of store operation");
	return -EINVAL;
}

/* ---- atomicity --------------------------------------------------------------------------------------------- */

static void undo_attempt(struct mem_undo *u)
{
	struct store_op_attempt *a = attempt_get(u->event, u->attempt.start);
	size_t i = (size_t)(a - u->event->attempts);

	blob_unref(a->fate);
	if (u->kind == STORE_OP_ATTEMPT_END) {
		*a = u->attempt;
		return;
	}
	memmove(a, a + 1, (u->event->n_attempts - i - 1) * sizeof(*a));
	u->event->n_attempts--;
}

static void undo_one(struct store_mem *s, struct mem_undo *u)
{
	switch (u->kind) {
	case STORE_OP_EVENT_PUT:
		event_remove(s, u->event);
		break;
	case STORE_OP_EVENT_SET:
		u->event->row = u->row;
		break;
	case STORE_OP_ATTEMPT_PUT:
	case STORE_OP_ATTEMPT_END:
		undo_attempt(u);
		break;
	case STORE_OP_RECORD_PUT:
		blob_unref(u->event->record.body);
		u->event->has_record = false;
		s->n_ended--;
		break;
	case STORE_OP_OUTBOX_PUT:
	case STORE_OP_OUTBOX_SET:
	case STORE_OP_OUTBOX_DEL:
		slot_clear(&u->event->slots[u->role]);
		u->event->slots[u->role] = u->slot;
		break;
	case STORE_OP_MESSAGE_PUT:
		message_free(message_take(s, u->queue, u->queue->n - 1));
		if (u->made_queue)
			queue_remove(s, u->queue);
		break;
	case STORE_OP_MESSAGE_DEL:
		if (u->message)
			message_insert(s, u->queue, u->place, TAKE(u->message));
		break;
	case STORE_OP_INVALID:
		break;
	}
}

/* What the log still refers to and nobody will ask for again. */
static void undo_forget(struct mem_undo *u)
{
	if (u->kind == STORE_OP_ATTEMPT_END)
		blob_unref(u->attempt.fate);
	else if (u->kind == STORE_OP_OUTBOX_SET || u->kind == STORE_OP_OUTBOX_DEL)
		slot_clear(&u->slot);
	else if (u->kind == STORE_OP_MESSAGE_DEL)
		message_free(TAKE(u->message));
}

static int batch_apply(struct store_mem *s, const struct store_batch *b, struct err *e)
{
	CLEAN(freep) struct mem_undo *log = xcalloc(b->n, sizeof(*log));
	size_t n = 0;
	int r = 0;

	if (s->fail_in && --s->fail_in == 0)
		return err_errno(e, s->fail_error, "memory: told to fail");
	while (n < b->n && (r = run_op(s, &b->ops[n], &log[n], e)) >= 0)
		n++;
	if (r >= 0) {
		for (size_t i = 0; i < n; i++)
			undo_forget(&log[i]);
		return 0;
	}
	while (n--)
		undo_one(s, &log[n]);
	return r;
}

/* ---- queries ----------------------------------------------------------------------------------------------- */

static void add_outbox(struct store_result *res, const struct store_op_outbox *row, size_t *bytes)
{
	struct store_op_outbox *o = STORE_ROW_ADD(res->outbox, res->n_outbox);

	*o = *row;
	blob_ref(o->body);
	blob_ref(o->attributes);
	*bytes += (o->body ? o->body->len : 0) + (o->attributes ? o->attributes->len : 0);
}

static void add_record(struct store_result *res, const struct store_op_record *row, size_t *bytes)
{
	struct store_op_record *rec = STORE_ROW_ADD(res->records, res->n_records);

	*rec = *row;
	blob_ref(rec->body);
	*bytes += rec->body ? rec->body->len : 0;
}

static bool event_wanted(const struct mem_event *ev, const struct store_query *q)
{
	return (q->before_seq <= 0 || ev->row.seq < q->before_seq) && (q->state < 0 || (int)ev->row.state == q->state) &&
	       (!q->function[0] || strcmp(ev->row.function, q->function) == 0);
}

static bool record_matches(const struct store_op_record *rec, const struct store_query *q)
{
	return (!q->condition || rec->condition == q->condition) &&
	       (!q->function[0] || strcmp(rec->function, q->function) == 0);
}

static bool record_wanted(const struct mem_event *ev, const struct store_query *q)
{
	return ev->has_record && (q->before_seq <= 0 || ev->row.seq < q->before_seq) && record_matches(&ev->record, q);
}

static void query_lists(struct store_mem *s, const struct store_query *q, struct store_result *res)
{
	size_t n = 0, bytes = 0;

	for (size_t i = s->n_events; i-- > 0 && n < (size_t)q->limit && bytes < STORE_RESULT_BYTES_MAX;) {
		const struct mem_event *ev = s->events[i];

		if (q->kind == STORE_Q_EVENTS && event_wanted(ev, q)) {
			*STORE_ROW_ADD(res->events, res->n_events) = ev->row;
			n++;
		} else if (q->kind == STORE_Q_RECORDS && record_wanted(ev, q)) {
			add_record(res, &ev->record, &bytes);
			n++;
		}
	}
}

static void query_tail(struct store_mem *s, const struct store_query *q, struct store_result *res)
{
	size_t bytes = 0;

	res->last_pos = (int64_t)s->n_ended;
	if (q->after_pos < 0 || q->after_pos > res->last_pos)
		return;
	for (size_t i = (size_t)q->after_pos; i < s->n_ended && res->n_records < (size_t)q->limit && bytes < STORE_RESULT_BYTES_MAX; i++)
		if (record_matches(&s->ended[i]->record, q))
			add_record(res, &s->ended[i]->record, &bytes);
}

static void query_event(struct store_mem *s, const struct store_query *q, struct store_result *res)
{
	const struct mem_event *ev = strmap_get(&s->by_request_id, q->request_id);
	size_t bytes = 0;

	if (ev && ev->has_record)
		add_record(res, &ev->record, &bytes);
	if (!ev || q->kind == STORE_Q_RECORD)
		return;
	*STORE_ROW_ADD(res->events, res->n_events) = ev->row;
	res->payload = blob_ref(ev->payload);
	for (size_t i = 0; i < ev->n_attempts; i++) {
		struct store_op_attempt *a = STORE_ROW_ADD(res->attempts, res->n_attempts);

		*a = ev->attempts[i];
		blob_ref(a->fate);
	}
	for (size_t i = 0; i < ARRAY_SIZE(ev->slots); i++)
		if (ev->slots[i].state == SLOT_OPEN)
			add_outbox(res, &ev->slots[i].row, &bytes);
}

static int outbox_by_due(const void *a, const void *b)
{
	const struct store_op_outbox *x = *(struct store_op_outbox *const *)a, *y = *(struct store_op_outbox *const *)b;

	if (x->due_at_ms != y->due_at_ms)
		return x->due_at_ms < y->due_at_ms ? -1 : 1;
	if (x->seq != y->seq)
		return x->seq < y->seq ? -1 : 1;
	return (int)x->role - (int)y->role;
}

static void query_outbox(struct store_mem *s, const struct store_query *q, struct store_result *res)
{
	struct store_op_outbox **open = NULL;
	size_t n = 0, bytes = 0;

	for (size_t i = 0; i < s->n_events; i++)
		for (size_t role = 0; role < ARRAY_SIZE(s->events[i]->slots); role++)
			if (s->events[i]->slots[role].state == SLOT_OPEN)
				*STORE_ROW_ADD(open, n) = &s->events[i]->slots[role].row;
	if (n)
		qsort(open, n, sizeof(*open), outbox_by_due);
	for (size_t i = 0; i < n && i < (size_t)q->limit && bytes < STORE_RESULT_BYTES_MAX; i++)
		add_outbox(res, open[i], &bytes);
	free(open);
}

static void query_queues(struct store_mem *s, const struct store_query *q, struct store_result *res)
{
	for (size_t i = 0; i < s->n_queues; i++) {
		struct store_queue_info *info = STORE_ROW_ADD(res->queues, res->n_queues);
		const struct mem_queue *queue = s->queues[i];

		memcpy(info->name, queue->name, sizeof(info->name));
		for (size_t m = 0; m < queue->n; m++) {
			if (queue->messages[m]->visible_at_ms <= q->now_ms)
				info->visible++;
			else
				info->in_flight++;
			if (m == 0 || queue->messages[m]->sent_at_ms < info->oldest_sent_at_ms)
				info->oldest_sent_at_ms = queue->messages[m]->sent_at_ms;
		}
	}
}

static void query_counts(struct store_mem *s, struct store_counts *c)
{
	for (size_t i = 0; i < s->n_events; i++) {
		const struct mem_event *ev = s->events[i];

		c->events[ev->row.state]++;
		c->attempts += (int64_t)ev->n_attempts;
		c->records += ev->has_record;
		if (ev->has_record)
			c->by_condition[ev->record.condition]++;
		for (size_t role = 0; role < ARRAY_SIZE(ev->slots); role++)
			c->outbox += ev->slots[role].state == SLOT_OPEN;
	}
	for (size_t i = 0; i < s->n_queues; i++)
		c->messages += (int64_t)s->queues[i]->n;
}

static void add_message(struct store_result *res, const struct store_op_message *m, size_t *bytes)
{
	*STORE_ROW_ADD(res->messages, res->n_messages) = *m;
	blob_ref(m->body);
	blob_ref(m->attributes);
	*bytes += (m->body ? m->body->len : 0) + (m->attributes ? m->attributes->len : 0);
}

static void query_peek(struct store_mem *s, const struct store_query *q, struct store_result *res)
{
	struct mem_queue *queue = queue_get(s, q->queue);
	size_t bytes = 0;

	for (size_t i = 0; queue && i < queue->n && i < (size_t)q->limit && bytes < STORE_RESULT_BYTES_MAX; i++) {
		add_message(res, queue->messages[i], &bytes);
		res->messages[i].receipt[0] = '\0';	/* its holder's */
	}
}

static void query_receive(struct store_mem *s, const struct store_query *q, struct store_result *res)
{
	struct mem_queue *queue = queue_get(s, q->queue);
	size_t bytes = 0;

	for (size_t i = 0; queue && i < queue->n && res->n_messages < (size_t)q->limit && bytes < STORE_RESULT_BYTES_MAX; i++) {
		struct store_op_message *m = queue->messages[i];

		if (m->visible_at_ms > q->now_ms)
			continue;
		m->receive_count++;
		m->visible_at_ms = q->visibility_ms > INT64_MAX - MAX(q->now_ms, 0) ? INT64_MAX : q->now_ms + q->visibility_ms;
		store_row_receipt(q->random, res->n_messages, m->receipt);
		add_message(res, m, &bytes);
	}
}

static void query_delete(struct store_mem *s, const struct store_query *q, struct store_result *res)
{
	struct mem_queue *queue = queue_get(s, q->queue);
	size_t i;

	if (message_leased(queue, q->receipt, &i)) {
		message_free(message_take(s, queue, i));
		res->affected = 1;
	}
}

static void query_purge(struct store_mem *s, const struct store_query *q, struct store_result *res)
{
	struct mem_queue *queue = queue_get(s, q->queue);

	for (; queue && queue->n; res->affected++)
		message_free(message_take(s, queue, queue->n - 1));
}

static void query_run(struct store_mem *s, const struct store_query *q, struct store_result *res)
{
	switch (q->kind) {
	case STORE_Q_EVENTS:
	case STORE_Q_RECORDS:
		return query_lists(s, q, res);
	case STORE_Q_EVENT:
	case STORE_Q_RECORD:
		return query_event(s, q, res);
	case STORE_Q_QUEUES:
		return query_queues(s, q, res);
	case STORE_Q_OUTBOX:
		return query_outbox(s, q, res);
	case STORE_Q_COUNTS:
		return query_counts(s, &res->counts);
	case STORE_Q_RECEIVE:
		return query_receive(s, q, res);
	case STORE_Q_DELETE:
		return query_delete(s, q, res);
	case STORE_Q_PEEK:
		return query_peek(s, q, res);
	case STORE_Q_PURGE:
		return query_purge(s, q, res);
	case STORE_Q_TAIL:
		return query_tail(s, q, res);
	}
}

/* ---- port -------------------------------------------------------------------------------------------------- */

static int load_event(const struct mem_event *ev, const struct store_loader *l)
{
	CLEAN(buf_done) struct buf fates = {};
	int64_t last_started_at_ms = 0;

	for (size_t i = 0; i < ev->n_attempts; i++) {
		const struct store_op_attempt *a = &ev->attempts[i];

		last_started_at_ms = a->started_at_ms;
		if (!a->fate || !a->fate->len)
			continue;
		if (fates.len)
			buf_addc(&fates, ',');
		buf_add(&fates, a->fate->data, a->fate->len);
	}
	return l->event(l->arg, &ev->row, ev->payload, buf_str(&fates), last_started_at_ms);
}

static int op_load(struct port_store *port, const struct store_loader *l, int64_t *ret_next_seq, struct err *e)
{
	struct store_mem *s = of(port);
	int r = 0;

	for (size_t i = 0; r >= 0 && i < s->n_events; i++)
		if (s->events[i]->row.state != INV_DONE)
			r = load_event(s->events[i], l);
	for (size_t i = 0; r >= 0 && i < s->n_events; i++)
		for (size_t role = 0; r >= 0 && role < ARRAY_SIZE(s->events[i]->slots); role++)
			if (s->events[i]->slots[role].state == SLOT_OPEN)
				r = l->outbox(l->arg, &s->events[i]->slots[role].row);
	if (r < 0)
		return r;
	*ret_next_seq = s->n_events ? s->events[s->n_events - 1]->row.seq + 1 : 1;
	return 0;
}

static void op_apply(struct port_store *port, struct store_batch *b)
{
	struct mem_job *j = XNEW(struct mem_job);

	assert(b->done);
	for (size_t i = 0; i < b->n; i++)
		store_row_check(&b->ops[i]);
	j->batch = b;
	list_add_tail(&of(port)->jobs, &j->node);
}

static void op_query(struct port_store *port, const struct store_query *q)
{
	struct mem_job *j = XNEW(struct mem_job);

	assert(q->done);
	j->query = XNEW(struct store_query);
	*j->query = *q;
	list_add_tail(&of(port)->jobs, &j->node);
}

static void job_free(struct mem_job *j)
{
	list_del(&j->node);
	free(j->query);
	free(j);
}

void store_mem_peek(struct port_store *port, const struct store_query *q)
{
	struct store_result res = {};
	struct err e = {};
	int r = store_query_check(q, &e);

	if (r >= 0)
		query_run(of(port), q, &res);
	q->done(q->arg, q, &res, r, r < 0 ? &e : NULL);
	store_result_done(&res);
}

bool store_mem_run(struct port_store *port)
{
	struct store_mem *s = of(port);
	struct mem_job *j;

	if (list_empty(&s->jobs))
		return false;
	j = list_first(&s->jobs, struct mem_job, node);
	list_del(&j->node);
	if (j->batch) {
		struct err e = {};
		int r = batch_apply(s, j->batch, &e);

		j->batch->done(j->batch, r, r < 0 ? &e : NULL);
	} else {
		store_mem_peek(port, j->query);
	}
	job_free(j);
	return true;
}

size_t store_mem_pending(const struct port_store *port)
{
	struct store_mem *s = of(port);
	size_t n = 0;

	list_for_each_safe(pos, next, &s->jobs)
		n++;
	return n;
}

void store_mem_fail_next(struct port_store *port, int n, int error)
{
	assert(n >= 0 && (n == 0 || error < 0));
	of(port)->fail_in = n;
	of(port)->fail_error = error;
}

void store_mem_crash_after(struct port_store *port, size_t n)
{
	struct store_mem *s = of(port);

	list_for_each_safe(pos, next, &s->jobs) {
		struct mem_job *j = list_entry(pos, struct mem_job, node);

		if (n) {
			struct store_result res = {};

			n--;
			if (j->batch)
				(void)batch_apply(s, j->batch, NULL);
			else if (store_query_check(j->query, NULL) >= 0)
				query_run(s, j->query, &res);
			store_result_done(&res);
		}
		job_free(j);
	}
}

void store_mem_crash(struct port_store *port)
{
	store_mem_crash_after(port, 0);
}

static void op_close(struct port_store *port)
{
	struct store_mem *s;

	if (!port)
		return;
	s = of(port);
	while (store_mem_run(port))
		;
	for (size_t i = 0; i < s->n_events; i++)
		event_free(s->events[i]);
	free(s->events);
	free(s->ended);
	while (s->n_queues) {
		struct mem_queue *q = s->queues[0];

		while (q->n)
			message_free(message_take(s, q, q->n - 1));
		queue_remove(s, q);
	}
	free(s->queues);
	strmap_done(&s->by_request_id);
	strmap_done(&s->messages);
	free(s);
}

static const struct port_store_ops mem_ops = {
	.version = PORT_STORE_VERSION,
	.name = "mem",
	.load = op_load,
	.apply = op_apply,
	.query = op_query,
	.close = op_close,
};

struct port_store *store_mem_new(void)
{
	struct store_mem *s = XNEW(struct store_mem);

	s->port.ops = &mem_ops;
	list_init(&s->jobs);
	return &s->port;
}
