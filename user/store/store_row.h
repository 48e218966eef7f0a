/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What all store engines share: the write checks, the ids of receipts, and how an answer grows.
 *
 * Answers of both engines, where port_store.h leaves room:
 * - nothing found is an answer (result 0, empty arrays), not an error;
 * - ATTEMPT_END, OUTBOX_SET, OUTBOX_DEL and EVENT_SET of what is not there, and anything that belongs to an event that
 *   is not there, are -ENOENT;
 * - EVENT_SET changes state, due_at_ms, attempts, starts, backoffs, epoch, condition and verdicts; what came with the
 *   acceptance stays;
 * - positions of records have no holes: a batch that fails uses none;
 * - a list with bodies ends early when they pass STORE_RESULT_BYTES_MAX (but holds one row at least): go on with
 *   before_seq (TAIL: after_pos) until a page is empty;
 * - a message is visible when visible_at_ms <= now_ms; a receipt is good until the message is received again or
 *   deleted (as in SQS, also after its visibility time). Ids of messages are unique over all queues, and free again
 *   once the message is deleted. PEEK shows how often a message was received and until when it is leased; the receipt is
 *   its holder's alone. A purged queue is empty, and stays known.
 * - a limit out of range or an unknown kind of query is -EINVAL.
 */
#include "engine/port_store.h"

#define STORE_RESULT_BYTES_MAX (64u << 20)
#define STORE_LIMIT_MAX 1000
#define STORE_SEQ_MAX (INT64_MAX / 8)

/* Asserts that the engine wrote a sane operation: what a read would refuse must never be written. */
void store_row_check(const struct store_op *op);

/* 0, or -EINVAL with a sentence: the checks of a query whose numbers may come from a request. */
int store_query_check(const struct store_query *q, struct err *e);

/* Room for one more in an array of n elements: zeroed. The array is arr, as returned by the last call; NULL at first. */
void *store_row_grow(void *arr, size_t n, size_t size);
#define STORE_ROW_ADD(arr, n) ({ (arr) = store_row_grow((arr), (n), sizeof(*(arr))); &(arr)[(n)++]; })

/* The receipt of the i-th message of a receive, from the query's random bits. */
void store_row_receipt(uint64_t random, size_t i, char out[ID_UUID_LEN + 1]);
