/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store_row.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/mem.h"

#define ASSERT_TEXT(field) assert(memchr((field), '\0', sizeof(field)))

static void check_event(const struct inv_row *row)
{
	ASSERT_TEXT(row->request_id);
	ASSERT_TEXT(row->function);
	ASSERT_TEXT(row->qualifier);
	assert(row->request_id[0]);
	assert((int)row->state >= 0 && row->state < INV_MAX);
	assert((int)row->condition >= 0 && row->condition < COND_MAX);
	assert(row->attempts >= 0 && row->starts >= 0 && row->backoffs >= 0);
	ASSERT_TEXT(row->origin);
	assert(row->version >= 0 && row->version <= LIM_VERSION_MAX && row->hops >= 0 && row->hops < INT32_MAX);
	assert(row->timeout_ms >= 0 && row->memory_mb >= 0);
	assert(row->death >= 0 && row->deaths >= 0);
}

static void check_outbox(const struct store_op_outbox *o)
{
	assert(o->role >= ROLE_ON_SUCCESS && o->role <= ROLE_DEAD_LETTER);
	assert(o->tries >= 0);
	ASSERT_TEXT(o->target);
	ASSERT_TEXT(o->key);
	ASSERT_TEXT(o->last_error);
}

static void check_version(const struct store_op_version *v)
{
	ASSERT_TEXT(v->function);
	assert(v->function[0]);
	assert(v->version > 0 && v->version <= LIM_VERSION_MAX);
	assert(v->definition);
}

static void check_alias(const struct store_op_alias *a, bool put)
{
	ASSERT_TEXT(a->function);
	ASSERT_TEXT(a->name);
	assert(a->function[0] && a->name[0]);
	assert(!put || a->body);
}

void store_row_check(const struct store_op *op)
{
	int64_t seq = store_op_seq(op);

	assert((seq > 0 && seq <= STORE_SEQ_MAX) || seq == STORE_NO_EVENT);
	switch (op->kind) {
	case STORE_OP_EVENT_PUT:
	case STORE_OP_EVENT_SET:
		check_event(&op->event.row);
		break;
	case STORE_OP_ATTEMPT_END:
		assert(op->attempt.outcome > OUTCOME_INVALID && op->attempt.outcome < OUTCOME_MAX);
		/* fall through */
	case STORE_OP_ATTEMPT_PUT:
		assert(op->attempt.start > 0);
		break;
	case STORE_OP_RECORD_PUT:
		ASSERT_TEXT(op->record.request_id);
		ASSERT_TEXT(op->record.function);
		assert(op->record.condition > COND_NONE && op->record.condition < COND_MAX);
		break;
	case STORE_OP_OUTBOX_PUT:
	case STORE_OP_OUTBOX_SET:
	case STORE_OP_OUTBOX_DEL:
		check_outbox(&op->outbox);
		break;
	case STORE_OP_MESSAGE_PUT:
		ASSERT_TEXT(op->message.queue);
		ASSERT_TEXT(op->message.id);
		assert(op->message.queue[0] && op->message.id[0]);
		break;
	case STORE_OP_MESSAGE_DEL:
		ASSERT_TEXT(op->message.queue);
		ASSERT_TEXT(op->message.receipt);
		break;
	case STORE_OP_VERSION_PUT:
		check_version(&op->version);
		break;
	case STORE_OP_ALIAS_PUT:
	case STORE_OP_ALIAS_DEL:
		check_alias(&op->alias, op->kind == STORE_OP_ALIAS_PUT);
		break;
	case STORE_OP_ANCHOR_PUT:
		ASSERT_TEXT(op->anchor.boot_id);
		assert(op->anchor.boot_id[0]);
		break;
	case STORE_OP_EVENT_DONE:
	case STORE_OP_INVALID:
		break;
	}
}

static bool has_limit(enum store_query_kind kind)
{
	switch (kind) {
	case STORE_Q_EVENTS:
	case STORE_Q_RECORDS:
	case STORE_Q_OUTBOX:
	case STORE_Q_RECEIVE:
	case STORE_Q_GIVE_BACK:
	case STORE_Q_PEEK:
	case STORE_Q_TAIL:
	case STORE_Q_LOAD_QUEUED:
	case STORE_Q_LOAD_WAITING:
	case STORE_Q_LOAD_OUTBOX:
	case STORE_Q_ENDED:
	case STORE_Q_TRIM:
		return true;
	case STORE_Q_EVENT:
	case STORE_Q_RECORD:
	case STORE_Q_QUEUES:
	case STORE_Q_COUNTS:
	case STORE_Q_DELETE:
	case STORE_Q_PURGE:
	case STORE_Q_LOAD_EVENT:
		break;
	}
	return false;
}

int store_query_check(const struct store_query *q, struct err *e)
{
	bool by_condition = q->kind == STORE_Q_RECORDS || q->kind == STORE_Q_TAIL || q->kind == STORE_Q_ENDED;

	ASSERT_TEXT(q->function);
	ASSERT_TEXT(q->request_id);
	ASSERT_TEXT(q->queue);
	ASSERT_TEXT(q->target);
	ASSERT_TEXT(q->receipt);
	if (q->kind < STORE_Q_EVENTS || q->kind > STORE_Q_TRIM)
		return err_set(e, -EINVAL, "store: unknown query %d", (int)q->kind);
	if (has_limit(q->kind) && (q->limit < 1 || q->limit > STORE_LIMIT_MAX))
		return err_set(e, -EINVAL, "store: limit %d is not within 1 to %d", q->limit, STORE_LIMIT_MAX);
	if (q->kind == STORE_Q_EVENTS && (q->state < -1 || q->state >= INV_MAX))
		return err_set(e, -EINVAL, "store: unknown state %d", q->state);
	if (q->kind == STORE_Q_OUTBOX && (q->state < -1 || q->state > 1))
		return err_set(e, -EINVAL, "store: unknown state of deliveries %d", q->state);
	if (by_condition && ((int)q->condition < 0 || q->condition >= COND_MAX))
		return err_set(e, -EINVAL, "store: unknown condition %d", (int)q->condition);
	if (q->kind == STORE_Q_ENDED && ((int)q->outcome < 0 || q->outcome >= OUTCOME_MAX))
		return err_set(e, -EINVAL, "store: unknown outcome %d", (int)q->outcome);
	if (q->kind == STORE_Q_TAIL && q->after_pos < -1)
		return err_set(e, -EINVAL, "store: there is no position %lld", (long long)q->after_pos);
	if (q->kind == STORE_Q_RECEIVE && q->visibility_ms < 0)
		return err_set(e, -EINVAL, "store: negative visibility time");
	return 0;
}

size_t store_query_bytes_max(const struct store_query *q)
{
	return q->bytes_max > 0 && q->bytes_max < STORE_RESULT_BYTES_MAX ? (size_t)q->bytes_max : STORE_RESULT_BYTES_MAX;
}

void *store_row_grow(void *arr, size_t n, size_t size)
{
	if ((n & (n - 1)) == 0) {	/* 0 and the powers of two: where the room ends */
		size_t cap = n ? 2 * n : 1;

		assert(cap < (SIZE_MAX / 2) / size);
		arr = xrealloc(arr, cap * size);
	}
	memset((char *)arr + n * size, 0, size);
	return arr;
}

static uint64_t splitmix64(uint64_t x)
{
	x += 0x9e3779b97f4a7c15ULL;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

void store_row_receipt(uint64_t random, size_t i, char out[ID_UUID_LEN + 1])
{
	/* Two steps of mixing: neighbouring seeds must not share receipts of neighbouring messages. */
	uint64_t a = splitmix64(splitmix64(random) ^ i);
	uint64_t rnd[2] = { a, splitmix64(a ^ random) };

	id_uuid(rnd, out);
}
