/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/schedule.h"

#include <assert.h>

#include "base/mem.h"

/* nodes[0] is unused: places start at 1, so a zeroed node is a node in no heap. */

static void place(struct sched *s, size_t i, struct sched_node *n)
{
	s->nodes[i] = n;
	n->place = i;
}

static void up(struct sched *s, size_t i)
{
	struct sched_node *n = s->nodes[i];

	for (; i > 1 && s->nodes[i / 2]->at > n->at; i /= 2)
		place(s, i, s->nodes[i / 2]);
	place(s, i, n);
}

static void down(struct sched *s, size_t i)
{
	struct sched_node *n = s->nodes[i];
	size_t c;

	for (; (c = 2 * i) <= s->n; i = c) {
		if (c < s->n && s->nodes[c + 1]->at < s->nodes[c]->at)
			c++;
		if (s->nodes[c]->at >= n->at)
			break;
		place(s, i, s->nodes[c]);
	}
	place(s, i, n);
}

void sched_done(struct sched *s)
{
	free(s->nodes);
	*s = (struct sched){};
}

void sched_cancel(struct sched *s, struct sched_node *node)
{
	size_t i = node->place;
	struct sched_node *last;

	if (!i)
		return;
	assert(i <= s->n && s->nodes[i] == node);
	last = s->nodes[s->n--];
	node->place = 0;
	if (last == node)
		return;
	place(s, i, last);
	up(s, i);
	down(s, last->place);
}

void sched_set(struct sched *s, struct sched_node *node, int64_t at)
{
	sched_cancel(s, node);
	if (at == INT64_MAX)
		return;
	node->at = at;
	if (s->n + 1 >= s->cap) {
		s->cap = s->cap ? s->cap * 2 : 32;
		s->nodes = xrealloc(s->nodes, s->cap * sizeof(*s->nodes));
	}
	place(s, ++s->n, node);
	up(s, s->n);
}

struct sched_node *sched_first(const struct sched *s)
{
	return s->n ? s->nodes[1] : NULL;
}

int64_t sched_next(const struct sched *s)
{
	return s->n ? s->nodes[1]->at : INT64_MAX;
}
