/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A binary heap of times. Nodes are embedded in what is due and know their place, so cancelling is O(log n). */
#include <stddef.h>
#include <stdint.h>

struct sched_node { int64_t at; size_t place; };	/* place 0 = not in a heap */
struct sched { struct sched_node **nodes; size_t n, cap; };

void sched_done(struct sched *s);
/* Inserts, or moves to its new time; INT64_MAX removes. */
void sched_set(struct sched *s, struct sched_node *node, int64_t at);
void sched_cancel(struct sched *s, struct sched_node *node);
/* The earliest node, NULL when empty. */
struct sched_node *sched_first(const struct sched *s);
int64_t sched_next(const struct sched *s);	/* its time; INT64_MAX when empty */
