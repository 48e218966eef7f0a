/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * port_store in memory, for simulations and tests: what the SQLite engine answers, without a disk, a thread or a
 * loop. Nothing happens on its own: apply() and query() queue, and the caller says when the next one takes place.
 */
#include <stdbool.h>
#include <stddef.h>

#include "engine/port_store.h"

/* Frees with ops->close(), which first runs what is queued. */
struct port_store *store_mem_new(void);

/* Performs and reports the oldest thing queued; what done() queues comes later. False when there was nothing. */
bool store_mem_run(struct port_store *s);
size_t store_mem_pending(const struct port_store *s);

/* The answer at once, out of turn, from what has been applied so far: for checkers that look from outside. */
void store_mem_peek(struct port_store *s, const struct store_query *q);

/* The n-th batch run from now on (1 = the next) is not applied and reports error (a negative errno). Once; a new call
 * replaces the old; n = 0 takes it back. */
void store_mem_fail_next(struct port_store *s, int n, int error);

/* The same of queries. */
void store_mem_fail_next_query(struct port_store *s, int n, int error);

/* The daemon dies: what is queued and was not run never happened, and nobody is told; what was run stays. The caller
 * owns the batches again. */
void store_mem_crash(struct port_store *s);
/* The same, a moment later: the first n queued batches (and queries) had reached the disk, but not the report. */
void store_mem_crash_after(struct port_store *s, size_t n);
