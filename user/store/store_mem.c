/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything hangs on its event: payload, attempts, record, three outbox slots; queues hold their messages in order
 * of arrival, and a list those events that have a record in the order they got it, with holes where retention has deleted
 * one. Pages of the backlog look only at what is open, or has something to deliver: two more lists, which event_listed()
 * keeps after every change. A batch is atomic by an undo log:
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

/* What an event takes besides its texts: about what SQLite needs for its rows. */
#define EVENT_BYTES 512

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
	bool in_open, in_owing;			/* on those lists */
};

struct mem_events { struct mem_event **v; size_t n; };	/* in order of seq */

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
	size_t place;				/* and where in the queue it was; of VERSION_PUT and ALIAS_*: in the array */
	bool made;				/* ALIAS_PUT: there was none */
	struct store_op_alias alias;		/* ALIAS_PUT, ALIAS_DEL: before, with its reference */
	struct store_anchor anchor;		/* ANCHOR_PUT: before */
};

struct mem_job {
	struct list node;
	struct store_batch *batch;		/* or */
	struct store_query *query;
};

struct store_mem {
	struct port_store port;
	struct mem_events all, open, owing;	/* open: not DONE; owing: with something in a slot */
	struct mem_event **ended;		/* with a record: [pos - 1]; NULL where it has been trimmed */
	size_t n_ended, n_trimmed;		/* n_trimmed: so many from the first on are NULL */
	int64_t seq_trimmed;			/* the largest one */
	struct store_op_version *versions;	/* in order of function and version */
	size_t n_versions;
	struct store_op_alias *aliases;		/* in order of function and name */
	size_t n_aliases;
	struct store_anchor anchor;		/* boot_id "": none */
	struct strmap by_request_id;
	struct mem_queue **queues;		/* by name */
	size_t n_queues;
	int64_t last_message;			/* place of the newest one ever */
	struct strmap messages;			/* by id */
	struct list jobs;
	int fail_in, fail_error;
	int fail_query_in, fail_query_error;
};

static struct store_mem *of(const struct port_store *port)
{
	return container_of(port, struct store_mem, port);
}

/* ---- the rows ---------------------------------------------------------------------------------------------- */

/* Where seq is, or would be. */
static size_t events_pos(const struct mem_events *list, int64_t seq)
{
	size_t lo = 0, hi = list->n;

	if (hi && list->v[hi - 1]->row.seq < seq)
		return hi;		/* the usual case: a new one */
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (list->v[mid]->row.seq < seq)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* The first one behind seq. */
static size_t events_behind(const struct mem_events *list, int64_t seq)
{
	return seq == INT64_MAX ? list->n : events_pos(list, seq + 1);
}

static void events_add(struct mem_events *list, struct mem_event *ev)
{
	size_t i = events_pos(list, ev->row.seq);

	(void)*STORE_ROW_ADD(list->v, list->n);
	memmove(&list->v[i + 1], &list->v[i], (list->n - 1 - i) * sizeof(*list->v));
	list->v[i] = ev;
}

static void events_del(struct mem_events *list, struct mem_event *ev)
{
	size_t i = events_pos(list, ev->row.seq);

	assert(list->v[i] == ev);
	memmove(&list->v[i], &list->v[i + 1], (list->n - i - 1) * sizeof(*list->v));
	list->n--;
}

static void event_list(struct mem_events *list, struct mem_event *ev, bool *in, bool want)
{
	if (*in == want)
		return;
	if (want)
		events_add(list, ev);
	else
		events_del(list, ev);
	*in = want;
}

/* After every change of its state or its slots. */
static void event_listed(struct store_mem *s, struct mem_event *ev)
{
	bool owing = false;

	for (size_t i = 0; i < ARRAY_SIZE(ev->slots); i++)
		owing = owing || ev->slots[i].state == SLOT_OPEN;
	event_list(&s->open, ev, &ev->in_open, ev->row.state != INV_DONE);
	event_list(&s->owing, ev, &ev->in_owing, owing);
}

static struct mem_event *event_get(const struct store_mem *s, int64_t seq)
{
	size_t i = events_pos(&s->all, seq);

	return i < s->all.n && s->all.v[i]->row.seq == seq ? s->all.v[i] : NULL;
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
	events_del(&s->all, ev);
	event_list(&s->open, ev, &ev->in_open, false);
	event_list(&s->owing, ev, &ev->in_owing, false);
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
	struct mem_event *ev;

	if (event_get(s, op->row.seq) || strmap_get(&s->by_request_id, op->row.request_id))
		return err_set(e, -EEXIST, "memory: event %lld is already there", (long long)op->row.seq);
	ev = XNEW(struct mem_event);
	ev->row = op->row;
	ev->payload = blob_ref(op->payload);
	events_add(&s->all, ev);
	event_listed(s, ev);
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
	row->lease_until_ms = op->row.lease_until_ms;
	row->death = op->row.death;
	row->deaths = op->row.deaths;
	event_listed(s, ev);
	return 0;
}

static int event_done(struct store_mem *s, struct store_op_done *op, struct mem_undo *u, struct err *e)
{
	struct mem_event *ev = event_get(s, op->seq);

	op->ended = false;
	if (!ev)
		return no_event(op->seq, e);
	u->event = ev;
	u->row = ev->row;
	op->ended = ev->row.state == INV_ROUTING;
	for (size_t i = 0; i < ARRAY_SIZE(ev->slots); i++)
		if (ev->slots[i].state == SLOT_OPEN && ev->slots[i].row.due_at_ms < INT64_MAX)
			op->ended = false;
	if (op->ended)
		ev->row.state = INV_DONE;
	event_listed(s, ev);
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
	event_listed(s, ev);
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
		event_listed(s, ev);
		return 0;
	}
	slot->row.tries = op->tries;
	slot->row.due_at_ms = op->due_at_ms;
	slot->row.created_at_ms = op->created_at_ms;
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
	m->pos = ++s->last_message;
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

static int by_function(const char *a_function, const char *b_function, int in_it)
{
	return strcmp(a_function, b_function) ?: in_it;
}

static int version_put(struct store_mem *s, const struct store_op_version *op, struct mem_undo *u, struct err *e)
{
	struct store_op_version *v;
	size_t i = 0;

	while (i < s->n_versions &&
	       by_function(s->versions[i].function, op->function, s->versions[i].version - op->version) < 0)
		i++;
	v = i < s->n_versions ? &s->versions[i] : NULL;
	if (v && v->version == op->version && strcmp(v->function, op->function) == 0)
		return err_set(e, -EEXIST, "memory: version %d of %s is already there", op->version, op->function);
	(void)STORE_ROW_ADD(s->versions, s->n_versions);
	v = &s->versions[i];
	memmove(v + 1, v, (s->n_versions - 1 - i) * sizeof(*v));
	*v = *op;
	v->description = op->description ? xstrdup(op->description) : NULL;
	v->definition = blob_ref(op->definition);
	u->place = i;
	return 0;
}

static void version_remove(struct store_mem *s, size_t i)
{
	struct store_op_version *v = &s->versions[i];

	free(v->description);
	blob_unref(v->definition);
	memmove(v, v + 1, (s->n_versions - i - 1) * sizeof(*v));
	s->n_versions--;
}

/* Where it is, or would be. */
static bool alias_find(const struct store_mem *s, const struct store_op_alias *op, size_t *ret)
{
	size_t i = 0;
	int c = 1;

	while (i < s->n_aliases &&
	       (c = by_function(s->aliases[i].function, op->function, strcmp(s->aliases[i].name, op->name))) < 0)
		i++;
	*ret = i;
	return i < s->n_aliases && c == 0;
}

static void alias_insert(struct store_mem *s, size_t i, struct store_op_alias row)
{
	(void)STORE_ROW_ADD(s->aliases, s->n_aliases);
	memmove(&s->aliases[i + 1], &s->aliases[i], (s->n_aliases - 1 - i) * sizeof(row));
	s->aliases[i] = row;
}

static struct store_op_alias alias_take(struct store_mem *s, size_t i)
{
	struct store_op_alias row = s->aliases[i];

	memmove(&s->aliases[i], &s->aliases[i + 1], (s->n_aliases - 1 - i) * sizeof(row));
	s->n_aliases--;
	return row;
}

static void alias_put(struct store_mem *s, const struct store_op_alias *op, struct mem_undo *u)
{
	u->made = !alias_find(s, op, &u->place);
	if (u->made)
		alias_insert(s, u->place, *op);
	else
		u->alias = s->aliases[u->place];
	s->aliases[u->place].body = blob_ref(op->body);
}

static int alias_del(struct store_mem *s, const struct store_op_alias *op, struct mem_undo *u, struct err *e)
{
	if (!alias_find(s, op, &u->place))
		return err_set(e, -ENOENT, "memory: there is no alias %s of %s", op->name, op->function);
	u->alias = alias_take(s, u->place);
	return 0;
}

static int run_op(struct store_mem *s, struct store_op *op, struct mem_undo *u, struct err *e)
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
	case STORE_OP_EVENT_DONE:
		return event_done(s, &op->done, u, e);
	case STORE_OP_VERSION_PUT:
		return version_put(s, &op->version, u, e);
	case STORE_OP_ALIAS_PUT:
		alias_put(s, &op->alias, u);
		return 0;
	case STORE_OP_ALIAS_DEL:
		return alias_del(s, &op->alias, u, e);
	case STORE_OP_ANCHOR_PUT:
		u->anchor = s->anchor;
		s->anchor = op->anchor;
		return 0;
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
	case STORE_OP_EVENT_DONE:
		u->event->row = u->row;
		event_listed(s, u->event);
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
		event_listed(s, u->event);
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
	case STORE_OP_VERSION_PUT:
		version_remove(s, u->place);
		break;
	case STORE_OP_ALIAS_PUT:
		blob_unref(s->aliases[u->place].body);
		if (u->made)
			(void)alias_take(s, u->place);
		else
			s->aliases[u->place] = u->alias;
		break;
	case STORE_OP_ALIAS_DEL:
		alias_insert(s, u->place, u->alias);
		break;
	case STORE_OP_ANCHOR_PUT:
		s->anchor = u->anchor;
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
	else if (u->kind == STORE_OP_ALIAS_PUT || u->kind == STORE_OP_ALIAS_DEL)
		blob_unref(u->alias.body);
}

static int batch_apply(struct store_mem *s, struct store_batch *b, struct err *e)
{
	CLEAN(freep) struct mem_undo *log = xcalloc(b->n, sizeof(*log));
	size_t n = 0;
	int r = 0;

	b->failed = SIZE_MAX;
	if (s->fail_in && --s->fail_in == 0)
		return err_errno(e, s->fail_error, "memory: told to fail");
	while (n < b->n && (r = run_op(s, &b->ops[n], &log[n], e)) >= 0)
		n++;
	if (r >= 0) {
		for (size_t i = 0; i < n; i++)
			undo_forget(&log[i]);
		return 0;
	}
	b->failed = n;
	while (n--)
		undo_one(s, &log[n]);
	return r;
}

/* ---- queries ----------------------------------------------------------------------------------------------- */

static void add_outbox(struct store_result *res, const struct mem_event *ev, size_t role, size_t *bytes)
{
	struct store_op_outbox *o = STORE_ROW_ADD(res->outbox, res->n_outbox);

	*o = ev->slots[role].row;
	memcpy(o->function, ev->row.function, sizeof(o->function));
	memcpy(o->request_id, ev->row.request_id, sizeof(o->request_id));
	o->attempt = ev->row.starts;
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

	for (size_t i = s->all.n; i-- > 0 && n < (size_t)q->limit && bytes < STORE_RESULT_BYTES_MAX;) {
		const struct mem_event *ev = s->all.v[i];

		if (q->kind == STORE_Q_EVENTS && event_wanted(ev, q)) {
			*STORE_ROW_ADD(res->events, res->n_events) = ev->row;
			n++;
		} else if (q->kind == STORE_Q_RECORDS && record_wanted(ev, q)) {
			add_record(res, &ev->record, &bytes);
			n++;
		}
	}
	res->more = bytes >= STORE_RESULT_BYTES_MAX;
}

static void query_tail(struct store_mem *s, const struct store_query *q, struct store_result *res)
{
	size_t bytes = 0;

	res->last_pos = (int64_t)s->n_ended;
	if (q->after_pos < 0 || q->after_pos > res->last_pos)
		return;
	for (size_t i = MAX((size_t)q->after_pos, s->n_trimmed);
	     i < s->n_ended && res->n_records < (size_t)q->limit && bytes < STORE_RESULT_BYTES_MAX; i++)
		if (s->ended[i] && record_matches(&s->ended[i]->record, q))
			add_record(res, &s->ended[i]->record, &bytes);
	res->more = bytes >= STORE_RESULT_BYTES_MAX;
}

/* The next event, from place i on, that repeats the one of that id. */
static const struct mem_event *next_repeat(const struct store_mem *s, const char *request_id, size_t *i)
{
	while (*i < s->all.n) {
		const struct mem_event *ev = s->all.v[(*i)++];

		if (strcmp(ev->row.origin, request_id) == 0)
			return ev;
	}
	return NULL;
}

static bool is_repeated(const struct store_mem *s, const struct inv_row *row)
{
	size_t from = 0;

	return next_repeat(s, row->request_id, &from);
}

static void query_repeats(struct store_mem *s, const struct inv_row *row, struct store_result *res)
{
	const struct mem_event *ev;
	size_t i = 0;

	while (res->n_repeats < STORE_REPEATS_MAX && (ev = next_repeat(s, row->request_id, &i)))
		memcpy(STORE_ROW_ADD(res->repeats, res->n_repeats)->request_id, ev->row.request_id, sizeof(ev->row.request_id));
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
			add_outbox(res, ev, i, &bytes);
	query_repeats(s, &ev->row, res);
}

static bool outbox_wanted(const struct slot *slot, const struct store_query *q)
{
	bool failed = slot->row.due_at_ms == INT64_MAX;

	if (slot->state != SLOT_OPEN)
		return false;
	if (q->kind == STORE_Q_LOAD_OUTBOX)
		return !failed && strcmp(slot->row.target, q->target) == 0;
	return (q->state < 0 || failed == (q->state == 1)) && (!q->target[0] || strcmp(slot->row.target, q->target) == 0);
}

static void query_outbox(struct store_mem *s, const struct store_query *q, struct store_result *res)
{
	size_t bytes = 0, bytes_max = q->kind == STORE_Q_LOAD_OUTBOX ? store_query_bytes_max(q) : STORE_RESULT_BYTES_MAX;

	/* From the event whose other roles may still come. */
	for (size_t i = events_pos(&s->owing, q->after_pos / 4); i < s->owing.n; i++) {
		const struct mem_event *ev = s->owing.v[i];

		for (size_t role = 0; role < ARRAY_SIZE(ev->slots); role++) {
			if (STORE_OUTBOX_POS(ev->row.seq, role) <= q->after_pos || !outbox_wanted(&ev->slots[role], q))
				continue;
			if (res->n_outbox == (size_t)q->limit || bytes >= bytes_max)
				return;
			add_outbox(res, ev, role, &bytes);
			res->more = bytes >= bytes_max;
		}
	}
}

/* ---- the backlog ------------------------------------------------------------------------------------------- */

static void event_load(const struct mem_event *ev, struct store_event *ret)
{
	struct buf fates = {};

	*ret = (struct store_event){ .row = ev->row, .payload = blob_ref(ev->payload) };
	for (size_t i = 0; i < ev->n_attempts; i++) {
		const struct store_op_attempt *a = &ev->attempts[i];

		ret->last_started_at_ms = a->started_at_ms;
		if (!a->fate || !a->fate->len)
			continue;
		if (fates.len)
			buf_addc(&fates, ',');
		buf_add(&fates, a->fate->data, a->fate->len);
	}
	ret->fates = xstrdup(buf_str(&fates));
	buf_done(&fates);
}

/* False when the page is full. */
static bool add_loaded(struct store_result *res, const struct store_query *q, const struct mem_event *ev, size_t *bytes)
{
	struct store_event *loaded;

	if (res->n_loaded == (size_t)q->limit || *bytes >= store_query_bytes_max(q))
		return false;
	loaded = STORE_ROW_ADD(res->loaded, res->n_loaded);
	event_load(ev, loaded);
	*bytes += (ev->payload ? ev->payload->len : 0) + strlen(loaded->fates);
	return true;
}

static void load_queued(struct store_mem *s, const struct store_query *q, struct store_result *res)
{
	size_t bytes = 0;

	for (size_t i = events_behind(&s->open, q->after_seq); i < s->open.n; i++) {
		const struct mem_event *ev = s->open.v[i];

		if (ev->row.state == INV_QUEUED && strcmp(ev->row.function, q->function) == 0 && !add_loaded(res, q, ev, &bytes))
			return;
	}
}

static int by_due(const void *a, const void *b)
{
	const struct inv_row *x = &(*(struct mem_event *const *)a)->row, *y = &(*(struct mem_event *const *)b)->row;

	if (x->due_at_ms != y->due_at_ms)
		return x->due_at_ms < y->due_at_ms ? -1 : 1;
	return x->seq < y->seq ? -1 : x->seq > y->seq;
}

static void load_waiting(struct store_mem *s, const struct store_query *q, struct store_result *res)
{
	struct mem_event **waiting = NULL;
	size_t n = 0, bytes = 0;

	for (size_t i = 0; i < s->open.n; i++) {
		const struct inv_row *row = &s->open.v[i]->row;

		if (row->state == INV_WAITING &&
		    (row->due_at_ms > q->after_ms || (row->due_at_ms == q->after_ms && row->seq > q->after_seq)))
			*STORE_ROW_ADD(waiting, n) = s->open.v[i];
	}
	if (n)
		qsort(waiting, n, sizeof(*waiting), by_due);
	for (size_t i = 0; i < n && add_loaded(res, q, waiting[i], &bytes); i++)
		;
	free(waiting);
}

static void load_one(struct store_mem *s, const struct store_query *q, struct store_result *res)
{
	const struct mem_event *ev = strmap_get(&s->by_request_id, q->request_id);

	if (ev)
		event_load(ev, STORE_ROW_ADD(res->loaded, res->n_loaded));
}

/* ---- what has ended ---------------------------------------------------------------------------------------- */

static bool ended_matches(const struct mem_event *ev, const struct store_query *q)
{
	const struct inv_row *row = &ev->row;

	if (row->state != INV_DONE && row->state != INV_ROUTING)
		return false;
	if (q->condition ? row->condition != q->condition : row->condition == COND_SUCCESS || row->condition == COND_CANCELLED)
		return false;
	if ((q->since_ms || q->until_ms) && !ev->has_record)
		return false;
	if ((q->since_ms && ev->record.at_ms < q->since_ms) || (q->until_ms && ev->record.at_ms >= q->until_ms))
		return false;
	return !q->outcome || (ev->n_attempts && ev->attempts[ev->n_attempts - 1].outcome == q->outcome);
}

static void query_ended(struct store_mem *s, const struct store_query *q, struct store_result *res)
{
	size_t i, looked = 0;

	for (i = events_behind(&s->all, q->after_seq); i < s->all.n; i++) {
		const struct mem_event *ev = s->all.v[i];

		if (q->function[0] && strcmp(ev->row.function, q->function) != 0)
			continue;
		if (q->before_seq && ev->row.seq >= q->before_seq)
			break;
		if (looked++ == STORE_ENDED_SCAN_MAX || res->n_events == (size_t)q->limit)
			return;
		res->last_pos = ev->row.seq;
		if (!ended_matches(ev, q))
			continue;
		if (q->again || !is_repeated(s, &ev->row))
			*STORE_ROW_ADD(res->events, res->n_events) = ev->row;
		else
			res->affected++;
	}
	if (looked < STORE_ENDED_SCAN_MAX && res->n_events < (size_t)q->limit)
		res->last_pos = 0;
}

static int64_t blob_bytes(const struct blob *b)
{
	return b ? (int64_t)b->len : 0;
}

static int64_t event_bytes(const struct mem_event *ev)
{
	int64_t n = EVENT_BYTES + blob_bytes(ev->payload) + (ev->has_record ? blob_bytes(ev->record.body) : 0);

	for (size_t i = 0; i < ev->n_attempts; i++)
		n += blob_bytes(ev->attempts[i].fate);
	for (size_t i = 0; i < ARRAY_SIZE(ev->slots); i++)
		n += blob_bytes(ev->slots[i].row.body) + blob_bytes(ev->slots[i].row.attributes);
	return n;
}

static int64_t bytes_used(const struct store_mem *s)
{
	int64_t n = 0;

	for (size_t i = 0; i < s->all.n; i++)
		n += event_bytes(s->all.v[i]);
	for (size_t i = 0; i < s->n_queues; i++)
		for (size_t m = 0; m < s->queues[i]->n; m++)
			n += blob_bytes(s->queues[i]->messages[m]->body) + blob_bytes(s->queues[i]->messages[m]->attributes);
	return n;
}

static void query_trim(struct store_mem *s, const struct store_query *q, struct store_result *res)
{
	res->bytes_used = bytes_used(s);
	for (size_t i = s->n_trimmed; i < s->n_ended; i++) {
		struct mem_event *ev = s->ended[i];

		if (!ev || ev->row.state != INV_DONE || ev->in_owing ||
		    (ev->row.origin[0] && strmap_get(&s->by_request_id, ev->row.origin)))
			continue;
		if (!(q->until_ms > 0 && ev->record.at_ms < q->until_ms) && !(q->bytes_max > 0 && res->bytes_used > q->bytes_max))
			continue;
		if (res->affected == q->limit) {
			res->more = true;
			break;
		}
		res->bytes_used -= event_bytes(ev);
		res->affected++;
		s->seq_trimmed = MAX(s->seq_trimmed, ev->row.seq);
		s->ended[i] = NULL;
		event_remove(s, ev);
	}
	while (s->n_trimmed < s->n_ended && !s->ended[s->n_trimmed])
		s->n_trimmed++;
}

/* ---- the other queries ------------------------------------------------------------------------------------- */

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
	for (size_t i = 0; i < s->all.n; i++) {
		const struct mem_event *ev = s->all.v[i];

		c->events[ev->row.state]++;
		c->attempts += (int64_t)ev->n_attempts;
		c->records += ev->has_record;
		if (ev->has_record)
			c->by_condition[ev->record.condition]++;
		for (size_t role = 0; role < ARRAY_SIZE(ev->slots); role++) {
			bool failed = ev->slots[role].row.due_at_ms == INT64_MAX;

			c->outbox += ev->slots[role].state == SLOT_OPEN && !failed;
			c->outbox_failed += ev->slots[role].state == SLOT_OPEN && failed;
		}
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

	for (size_t i = 0; queue && i < queue->n && res->n_messages < (size_t)q->limit && bytes < STORE_RESULT_BYTES_MAX; i++) {
		if (queue->messages[i]->pos <= q->after_pos)
			continue;
		add_message(res, queue->messages[i], &bytes);
		res->messages[res->n_messages - 1].receipt[0] = '\0';	/* its holder's */
	}
	res->more = bytes >= STORE_RESULT_BYTES_MAX;
	res->last_pos = queue && queue->n ? queue->messages[queue->n - 1]->pos : 0;
}

static void query_receive(struct store_mem *s, const struct store_query *q, struct store_result *res)
{
	struct mem_queue *queue = queue_get(s, q->queue);
	size_t bytes = 0;

	for (size_t i = 0; queue && i < queue->n && res->n_messages < (size_t)q->limit && bytes < STORE_RESULT_BYTES_MAX; i++) {
		struct store_op_message *m = queue->messages[i];

		if (m->visible_at_ms > q->now_ms || m->pos <= q->after_pos)
			continue;
		m->receive_count++;
		m->visible_at_ms = q->visibility_ms > INT64_MAX - MAX(q->now_ms, 0) ? INT64_MAX : q->now_ms + q->visibility_ms;
		store_row_receipt(q->random, res->n_messages, m->receipt);
		add_message(res, m, &bytes);
	}
	res->more = bytes >= STORE_RESULT_BYTES_MAX;
	res->last_pos = queue && queue->n ? queue->messages[queue->n - 1]->pos : 0;
}

static void query_give_back(struct store_mem *s, const struct store_query *q, struct store_result *res)
{
	struct mem_queue *queue = queue_get(s, q->queue);

	for (size_t i = 0; i < (size_t)q->limit; i++) {
		char receipt[ID_UUID_LEN + 1];
		size_t at;

		store_row_receipt(q->random, i, receipt);
		if (!message_leased(queue, receipt, &at))
			continue;
		queue->messages[at]->visible_at_ms = q->now_ms;
		queue->messages[at]->receive_count--;
		queue->messages[at]->receipt[0] = '\0';
		res->affected++;
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

	for (; queue && queue->n && res->affected < STORE_PURGE_MAX; res->affected++)
		message_free(message_take(s, queue, 0));
	res->more = queue && queue->n;
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
	case STORE_Q_LOAD_OUTBOX:
		return query_outbox(s, q, res);
	case STORE_Q_COUNTS:
		return query_counts(s, &res->counts);
	case STORE_Q_RECEIVE:
		return query_receive(s, q, res);
	case STORE_Q_GIVE_BACK:
		return query_give_back(s, q, res);
	case STORE_Q_DELETE:
		return query_delete(s, q, res);
	case STORE_Q_PEEK:
		return query_peek(s, q, res);
	case STORE_Q_PURGE:
		return query_purge(s, q, res);
	case STORE_Q_TAIL:
		return query_tail(s, q, res);
	case STORE_Q_LOAD_QUEUED:
		return load_queued(s, q, res);
	case STORE_Q_LOAD_WAITING:
		return load_waiting(s, q, res);
	case STORE_Q_LOAD_EVENT:
		return load_one(s, q, res);
	case STORE_Q_ENDED:
		return query_ended(s, q, res);
	case STORE_Q_TRIM:
		return query_trim(s, q, res);
	}
}

/* ---- port -------------------------------------------------------------------------------------------------- */

struct mem_count { const char *name; int64_t n; };

static void count_name(struct mem_count **counts, size_t *n, const char *name)
{
	size_t i = 0;
	int c = 1;

	while (i < *n && (c = strcmp((*counts)[i].name, name)) < 0)
		i++;
	if (i == *n || c != 0) {
		*counts = store_row_grow(*counts, *n, sizeof(**counts));
		memmove(&(*counts)[i + 1], &(*counts)[i], (*n - i) * sizeof(**counts));
		(*counts)[i] = (struct mem_count){ .name = name };
		(*n)++;
	}
	(*counts)[i].n++;
}

static int tell_counts(struct mem_count *counts, size_t n, void *arg, int (*tell)(void *arg, const char *name, int64_t n))
{
	int r = 0;

	for (size_t i = 0; r >= 0 && i < n; i++)
		r = tell(arg, counts[i].name, counts[i].n);
	free(counts);
	return r;
}

static int load_events(struct store_mem *s, const struct store_loader *l)
{
	struct mem_count *queued = NULL;
	int64_t n[INV_MAX] = {};
	size_t n_queued = 0;
	int r = 0;

	for (size_t i = 0; r >= 0 && i < s->open.n; i++) {
		const struct mem_event *ev = s->open.v[i];
		struct store_event loaded;

		if (ev->row.state != INV_RUNNING)
			continue;
		event_load(ev, &loaded);
		r = l->running(l->arg, &loaded);
		blob_unref(loaded.payload);
		free(loaded.fates);
	}
	if (r < 0)
		return r;
	for (size_t i = 0; i < s->open.n; i++) {
		n[s->open.v[i]->row.state]++;
		if (s->open.v[i]->row.state == INV_QUEUED)
			count_name(&queued, &n_queued, s->open.v[i]->row.function);
	}
	r = tell_counts(queued, n_queued, l->arg, l->queued);
	if (r >= 0)
		r = l->waiting(l->arg, n[INV_WAITING]);
	return r < 0 ? r : l->routing(l->arg, n[INV_ROUTING]);
}

static int load_outbox(struct store_mem *s, const struct store_loader *l)
{
	struct mem_count *owed = NULL;
	size_t n = 0;

	for (size_t i = 0; i < s->owing.n; i++) {
		const struct slot *slots = s->owing.v[i]->slots;

		for (size_t role = 0; role < ARRAY_SIZE(s->owing.v[i]->slots); role++)
			if (slots[role].state == SLOT_OPEN && slots[role].row.due_at_ms < INT64_MAX)
				count_name(&owed, &n, slots[role].row.target);
	}
	return tell_counts(owed, n, l->arg, l->outbox);
}

static int op_load(struct port_store *port, const struct store_loader *l, int64_t *ret_next_seq, struct err *e)
{
	struct store_mem *s = of(port);
	int64_t last = s->all.n ? s->all.v[s->all.n - 1]->row.seq : 0;
	int r = 0;

	if (s->anchor.boot_id[0])
		r = l->anchor(l->arg, &s->anchor);
	for (size_t i = 0; r >= 0 && i < s->n_versions; i++)
		r = l->version(l->arg, &s->versions[i]);
	for (size_t i = 0; r >= 0 && i < s->n_aliases; i++)
		r = l->alias(l->arg, &s->aliases[i]);
	if (r >= 0)
		r = load_events(s, l);
	if (r >= 0)
		r = load_outbox(s, l);
	if (r < 0)
		return r;
	*ret_next_seq = MAX(last, s->seq_trimmed) + 1;
	return 0;
}

static void op_apply(struct port_store *port, struct store_batch *b)
{
	struct mem_job *j = XNEW(struct mem_job);

	assert(b->done);
	b->failed = SIZE_MAX;
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
	} else if (s->fail_query_in && --s->fail_query_in == 0) {
		static const struct store_result nothing;
		struct err e = {};
		int r = err_errno(&e, s->fail_query_error, "memory: told to fail");

		j->query->done(j->query->arg, j->query, &nothing, r, &e);
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

void store_mem_fail_next_query(struct port_store *port, int n, int error)
{
	assert(n >= 0 && error < 0);
	of(port)->fail_query_in = n;
	of(port)->fail_query_error = error;
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
	for (size_t i = 0; i < s->all.n; i++)
		event_free(s->all.v[i]);
	free(s->all.v);
	free(s->open.v);
	free(s->owing.v);
	free(s->ended);
	while (s->n_versions)
		version_remove(s, s->n_versions - 1);
	free(s->versions);
	for (size_t i = 0; i < s->n_aliases; i++)
		blob_unref(s->aliases[i].body);
	free(s->aliases);
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
