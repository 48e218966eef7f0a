/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What all store engines share: the write checks, the ids of receipts, and how an answer grows.
 *
 * Answers of both engines, where port_store.h leaves room:
 * - nothing found is an answer (result 0, empty arrays), not an error;
 * - ATTEMPT_END, OUTBOX_SET, OUTBOX_DEL and EVENT_SET of what is not there, and anything that belongs to an event that
 *   is not there, are -ENOENT;
 * - EVENT_SET changes state, due_at_ms, attempts, starts, backoffs, epoch, lease_until_ms, death, deaths, condition and
 *   verdicts; what came with the acceptance stays;
 * - EVENT_DONE ends a ROUTING event; done.ended is false also for one in another state (DONE already). It asks for no epoch:
 *   nobody else claims a ROUTING event;
 * - a batch's `failed` tells of an operation when the error was a domain's (store_db_is_domain()), else it is SIZE_MAX;
 * - positions of records are given without holes: a batch that fails uses none. Neither they nor the numbers of events
 *   are given again after TRIM has deleted the last ones;
 * - a list with bodies ends early when they pass STORE_RESULT_BYTES_MAX (but holds one row at least): go on with
 *   before_seq (TAIL: after_pos) until a page is empty;
 * - the same for pages of the backlog, when bytes_max is not within 1 to that; payloads, fates, bodies and attributes count;
 * - counts.outbox are the deliveries owed, counts.outbox_failed those that failed for good; a list of one event has both;
 * - ENDED looks at all events of the function (or of all), ended or not, and last_pos is 0 only when it knows that there
 *   are no more: after a page that was ended by limit, or by the bound of the scan, there is always one more to ask for;
 * - TRIM goes by the order of the ends (positions). In memory, "bytes in use" is a sum of what is held, "bytes free" 0. It
 *   looks at STORE_TRIM_SCAN_MAX events at most: with more == true and affected == 0 there is more to look at;
 * - PURGE deletes at most STORE_PURGE_MAX messages; more tells that there are others;
 * - a message is visible when visible_at_ms <= now_ms; a receipt is good until the message is received again or
 *   deleted (as in SQS, also after its visibility time). Ids of messages are unique over all queues, and free again
 *   once the message is deleted. PEEK shows how often a message was received and until when it is leased; the receipt is
 *   its holder's alone. A purged queue is empty, and stays known.
 * - a limit out of range or an unknown kind of query is -EINVAL.
 */
#include "engine/port_store.h"

#define STORE_RESULT_BYTES_MAX (64u << 20)
#define STORE_LIMIT_MAX 1000
#define STORE_PURGE_MAX 2000
#define STORE_TRIM_SCAN_MAX 10000
#define STORE_SEQ_MAX (INT64_MAX / 8)

/* Asserts that the engine wrote a sane operation: what a read would refuse must never be written. */
void store_row_check(const struct store_op *op);

/* 0, or -EINVAL with a sentence: the checks of a query whose numbers may come from a request. */
int store_query_check(const struct store_query *q, struct err *e);

/* The bytes at which a page of the backlog ends. */
size_t store_query_bytes_max(const struct store_query *q);

/* Room for one more in an array of n elements: zeroed. The array is arr, as returned by the last call; NULL at first. */
void *store_row_grow(void *arr, size_t n, size_t size);
#define STORE_ROW_ADD(arr, n) ({ (arr) = store_row_grow((arr), (n), sizeof(*(arr))); &(arr)[(n)++]; })

/* The receipt of the i-th message of a receive, from the query's random bits. */
void store_row_receipt(uint64_t random, size_t i, char out[ID_UUID_LEN + 1]);
