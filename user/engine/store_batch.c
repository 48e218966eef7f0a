/* SPDX-License-Identifier: Apache-2.0 */
/* The batch every store engine receives: plain operations that own their blobs. No rule lives here. */
#include <assert.h>

#include "base/mem.h"
#include "engine/port_store.h"

const char *outbox_role_name(enum outbox_role r)
{
	switch (r) {
	case ROLE_ON_SUCCESS: return "OnSuccess";
	case ROLE_ON_FAILURE: return "OnFailure";
	case ROLE_DEAD_LETTER: return "DeadLetter";
	}
	return "Unknown";
}

struct store_op *store_batch_add(struct store_batch *b, enum store_op_kind kind)
{
	struct store_op *op;

	if (b->n == b->cap) {
		b->cap = b->cap ? b->cap * 2 : 16;
		b->ops = xrealloc(b->ops, b->cap * sizeof(*b->ops));
	}
	op = &b->ops[b->n++];
	*op = (struct store_op){ .kind = kind };
	return op;
}

int64_t store_op_seq(const struct store_op *op)
{
	switch (op->kind) {
	case STORE_OP_EVENT_PUT:
	case STORE_OP_EVENT_SET:
		return op->event.row.seq;
	case STORE_OP_ATTEMPT_PUT:
	case STORE_OP_ATTEMPT_END:
		return op->attempt.seq;
	case STORE_OP_RECORD_PUT:
		return op->record.seq;
	case STORE_OP_OUTBOX_PUT:
	case STORE_OP_OUTBOX_SET:
	case STORE_OP_OUTBOX_DEL:
		return op->outbox.seq;
	case STORE_OP_EVENT_DONE:
		return op->done.seq;
	case STORE_OP_MESSAGE_PUT:
	case STORE_OP_MESSAGE_DEL:
	case STORE_OP_VERSION_PUT:
	case STORE_OP_ALIAS_PUT:
	case STORE_OP_ALIAS_DEL:
	case STORE_OP_ANCHOR_PUT:
		return STORE_NO_EVENT;
	case STORE_OP_INVALID:
		break;
	}
	assert(!"unknown kind of store operation");
	return STORE_NO_EVENT;
}

static void op_done(struct store_op *op)
{
	switch (op->kind) {
	case STORE_OP_EVENT_PUT:
	case STORE_OP_EVENT_SET:
		blob_unref(op->event.payload);
		break;
	case STORE_OP_ATTEMPT_PUT:
	case STORE_OP_ATTEMPT_END:
		blob_unref(op->attempt.fate);
		break;
	case STORE_OP_RECORD_PUT:
		blob_unref(op->record.body);
		break;
	case STORE_OP_OUTBOX_PUT:
	case STORE_OP_OUTBOX_SET:
	case STORE_OP_OUTBOX_DEL:
		blob_unref(op->outbox.body);
		blob_unref(op->outbox.attributes);
		break;
	case STORE_OP_MESSAGE_PUT:
	case STORE_OP_MESSAGE_DEL:
		blob_unref(op->message.body);
		blob_unref(op->message.attributes);
		break;
	case STORE_OP_VERSION_PUT:
		free(op->version.description);
		blob_unref(op->version.definition);
		break;
	case STORE_OP_ALIAS_PUT:
	case STORE_OP_ALIAS_DEL:
		blob_unref(op->alias.body);
		break;
	case STORE_OP_EVENT_DONE:
	case STORE_OP_ANCHOR_PUT:
	case STORE_OP_INVALID:
		break;
	}
	op->kind = STORE_OP_INVALID;
}

void store_batch_clear(struct store_batch *b)
{
	for (size_t i = 0; i < b->n; i++)
		op_done(&b->ops[i]);
	b->n = 0;
}

void store_batch_done(struct store_batch *b)
{
	store_batch_clear(b);
	free(b->ops);
	b->ops = NULL;
	b->cap = 0;
}

void store_result_done(struct store_result *r)
{
	blob_unref(r->payload);
	for (size_t i = 0; i < r->n_loaded; i++) {
		blob_unref(r->loaded[i].payload);
		free(r->loaded[i].fates);
	}
	for (size_t i = 0; i < r->n_attempts; i++)
		blob_unref(r->attempts[i].fate);
	for (size_t i = 0; i < r->n_records; i++)
		blob_unref(r->records[i].body);
	for (size_t i = 0; i < r->n_outbox; i++) {
		blob_unref(r->outbox[i].body);
		blob_unref(r->outbox[i].attributes);
	}
	for (size_t i = 0; i < r->n_messages; i++) {
		blob_unref(r->messages[i].body);
		blob_unref(r->messages[i].attributes);
	}
	free(r->events);
	free(r->loaded);
	free(r->attempts);
	free(r->records);
	free(r->outbox);
	free(r->messages);
	free(r->queues);
	free(r->repeats);
	*r = (struct store_result){};
}
