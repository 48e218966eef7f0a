/* SPDX-License-Identifier: Apache-2.0 */
/* The doors' side: copy into the inbox, return. No rule runs here. */
#include "engine/intake.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "engine/engine_int.h"

static struct msg *post(struct engine *e, enum msg_kind kind)
{
	struct msg *m;

	if (e->n_inbox == e->cap_inbox) {
		e->cap_inbox = e->cap_inbox ? e->cap_inbox * 2 : 64;
		e->inbox = xrealloc(e->inbox, e->cap_inbox * sizeof(*e->inbox));
	}
	m = &e->inbox[e->n_inbox++];
	memset(m, 0, sizeof(*m));
	m->kind = kind;
	return m;
}

static struct msg *post_invoke(struct engine *e, enum intake_type type, const struct arn_function *fn, struct blob *payload,
			       intake_reply_fn reply, void *arg, char ret_request_id[ID_UUID_LEN + 1])
{
	struct inv *inv = inv_new();
	struct msg *m;

	assert(e && fn && reply);
	memcpy(inv->row.function, fn->name, sizeof(inv->row.function));
	memcpy(inv->row.qualifier, fn->qualifier, sizeof(inv->row.qualifier));
	new_uuid(e, inv->row.request_id);
	inv->payload = blob_ref(payload);
	inv->sync = type != INTAKE_ASYNC;
	inv->reply = reply;
	inv->arg = arg;
	inv->handle = e->next_handle++;
	map_put(&e->callers, inv->handle, inv);
	if (ret_request_id)
		memcpy(ret_request_id, inv->row.request_id, ID_UUID_LEN + 1);

	m = post(e, MSG_INVOKE);
	m->invoke.type = type;
	m->invoke.inv = inv;
	m->invoke.overflow = e->invokes_in_inbox >= (size_t)e->cfg.inbox_max;
	if (m->invoke.overflow)
		inv->payload = blob_unref(inv->payload);	/* a refusal does not hold megabytes */
	e->invokes_in_inbox++;
	return m;
}

uint64_t intake_invoke(struct engine *e, enum intake_type type, const struct arn_function *fn, struct blob *payload,
		       intake_reply_fn reply, void *arg, char ret_request_id[ID_UUID_LEN + 1])
{
	return post_invoke(e, type, fn, payload, reply, arg, ret_request_id)->invoke.inv->handle;
}

uint64_t intake_redrive(struct engine *e, const struct intake_redrive *r, intake_reply_fn reply, void *arg,
			char ret_request_id[ID_UUID_LEN + 1])
{
	struct msg *m = post_invoke(e, INTAKE_ASYNC, &r->fn, r->payload, reply, arg, ret_request_id);
	struct inv *inv = m->invoke.inv;

	assert(r->timeout_ms >= 0 && r->memory_mb >= 0 && !r->queue == !r->receipt);
	inv->row.timeout_ms = r->timeout_ms;
	inv->row.memory_mb = r->memory_mb;
	snprintf(inv->row.origin, sizeof(inv->row.origin), "%s", r->origin ? r->origin : "");
	m->invoke.redrive = XNEW(struct redrive);
	snprintf(m->invoke.redrive->queue, sizeof(m->invoke.redrive->queue), "%s", r->queue ? r->queue : "");
	snprintf(m->invoke.redrive->receipt, sizeof(m->invoke.redrive->receipt), "%s", r->receipt ? r->receipt : "");
	return inv->handle;
}

static struct waiter *waiter_new(struct engine *e, intake_reply_fn reply, void *arg)
{
	struct waiter *w = XNEW(struct waiter);

	list_init(&w->link);
	w->handle = e->next_handle++;
	w->reply = reply;
	w->arg = arg;
	map_put(&e->waits, w->handle, w);
	return w;
}

static uint64_t post_about(struct engine *e, enum msg_kind kind, const char *request_id, intake_reply_fn reply, void *arg)
{
	struct waiter *w = waiter_new(e, reply, arg);
	struct msg *m = post(e, kind);

	m->wait.w = w;
	snprintf(m->wait.request_id, sizeof(m->wait.request_id), "%s", request_id);
	return w->handle;
}

uint64_t intake_wait(struct engine *e, const char *request_id, intake_reply_fn reply, void *arg)
{
	return post_about(e, MSG_WAIT, request_id, reply, arg);
}

uint64_t intake_cancel(struct engine *e, const char *request_id, intake_reply_fn reply, void *arg)
{
	return post_about(e, MSG_CANCEL, request_id, reply, arg);
}

uint64_t intake_retry(struct engine *e, const char *request_id, intake_reply_fn reply, void *arg)
{
	return post_about(e, MSG_RETRY, request_id, reply, arg);
}

static uint64_t post_wish(struct engine *e, struct wish *wish, intake_reply_fn reply, void *arg)
{
	struct waiter *w = waiter_new(e, reply, arg);

	wish->w = w;
	post(e, MSG_WISH)->wish = wish;
	return w->handle;
}

uint64_t intake_delivery(struct engine *e, enum delivery_wish which, const struct store_op_outbox *row, intake_reply_fn reply, void *arg)
{
	struct wish *wish = XNEW(struct wish);

	wish->kind = WISH_DELIVERY;
	wish->delivery = which;
	wish_row(wish, row);
	return post_wish(e, wish, reply, arg);
}

uint64_t intake_publish(struct engine *e, const char *function, const char *description, intake_reply_fn reply, void *arg)
{
	struct wish *wish = XNEW(struct wish);

	wish->kind = WISH_PUBLISH;
	snprintf(wish->function, sizeof(wish->function), "%s", function);
	wish->description = description ? xstrdup(description) : NULL;
	return post_wish(e, wish, reply, arg);
}

uint64_t intake_alias_set(struct engine *e, const struct alias *a, bool must_exist, intake_reply_fn reply, void *arg)
{
	struct wish *wish = XNEW(struct wish);

	wish->kind = WISH_ALIAS_SET;
	wish->must_exist = must_exist;
	wish->alias = alias_new();
	free(wish->alias->description);
	*wish->alias = *a;
	wish->alias->refs = 1;
	wish->alias->description = xstrdup(a->description);
	memcpy(wish->revision, a->revision, sizeof(wish->revision));
	new_uuid(e, wish->alias->revision);
	snprintf(wish->function, sizeof(wish->function), "%s", a->function);
	snprintf(wish->name, sizeof(wish->name), "%s", a->name);
	return post_wish(e, wish, reply, arg);
}

uint64_t intake_alias_delete(struct engine *e, const char *function, const char *name, intake_reply_fn reply, void *arg)
{
	struct wish *wish = XNEW(struct wish);

	wish->kind = WISH_ALIAS_DEL;
	snprintf(wish->function, sizeof(wish->function), "%s", function);
	snprintf(wish->name, sizeof(wish->name), "%s", name);
	return post_wish(e, wish, reply, arg);
}

void wish_row(struct wish *wish, const struct store_op_outbox *row)
{
	struct blob *body = wish->row.body, *attributes = wish->row.attributes;

	wish->row = *row;
	wish->row.body = blob_ref(row->body);
	wish->row.attributes = blob_ref(row->attributes);
	blob_unref(body);
	blob_unref(attributes);
}

void wish_free(struct wish *wish)
{
	if (!wish)
		return;
	free(wish->w);
	blob_unref(wish->row.body);
	blob_unref(wish->row.attributes);
	free(wish->description);
	alias_unref(wish->alias);
	free(wish);
}

void intake_abandon(struct engine *e, uint64_t handle)
{
	struct inv *inv = map_del(&e->callers, handle);
	struct waiter *w = map_get(&e->waits, handle);

	if (inv) {
		inv->handle = 0;
		inv->reply = NULL;
	}
	if (w)
		w->reply = NULL;	/* freed with the event it waits for, or when its message is handled */
}

static void post_fact(void *self, const struct fact *f)
{
	struct msg *m = post(self, MSG_FACT);

	m->fact = *f;
}

static void pass_output(void *self, uint64_t cgroup_id, const char *data, size_t len)
{
	struct engine *e = self;

	attempt_output(e, cgroup_id, data, len);
	if (e->ports.log)
		e->ports.log->ops->output(e->ports.log, cgroup_id, data, len);
}

struct fact_sink intake_facts(struct engine *e)
{
	return (struct fact_sink){ .self = e, .fact = post_fact, .output = pass_output };
}

static void post_delivered(void *self, int64_t seq, enum outbox_role role, enum delivered how, const char *why)
{
	struct msg *m = post(self, MSG_DELIVERED);

	m->delivered.seq = seq;
	m->delivered.role = role;
	m->delivered.how = how;
	snprintf(m->delivered.why, sizeof(m->delivered.why), "%s", why ? why : "");
}

struct deliver_sink intake_deliveries(struct engine *e)
{
	return (struct deliver_sink){ .self = e, .delivered = post_delivered };
}
