/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/registry.h"

#include <assert.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"

struct kind { struct strmap by_name; void **list; size_t n; };

struct registry { struct kind functions, topics, buses; };

struct registry *registry_new(void)
{
	return XNEW(struct registry);
}

static void *unref_func(void *p) { return func_unref(p); }
static void *unref_topic(void *p) { return topic_unref(p); }
static void *unref_bus(void *p) { return bus_unref(p); }

static void clear(struct kind *k, void *(*unref)(void *))
{
	strmap_done(&k->by_name);
	for (size_t i = 0; i < k->n; i++)
		(void)unref(k->list[i]);
	free(k->list);
	*k = (struct kind){};
}

static void clear_all(struct registry *r)
{
	clear(&r->functions, unref_func);
	clear(&r->topics, unref_topic);
	clear(&r->buses, unref_bus);
}

struct registry *registry_free(struct registry *r)
{
	if (r) {
		clear_all(r);
		free(r);
	}
	return NULL;
}

struct func *registry_get(const struct registry *r, const char *name)
{
	return strmap_get(&r->functions.by_name, name);
}

struct topic *registry_topic(const struct registry *r, const char *name)
{
	return strmap_get(&r->topics.by_name, name);
}

struct bus *registry_bus(const struct registry *r, const char *name)
{
	return strmap_get(&r->buses.by_name, name);
}

size_t registry_list(const struct registry *r, struct func *const **ret)
{
	*ret = (struct func *const *)r->functions.list;
	return r->functions.n;
}

size_t registry_topics(const struct registry *r, struct topic *const **ret)
{
	*ret = (struct topic *const *)r->topics.list;
	return r->topics.n;
}

size_t registry_buses(const struct registry *r, struct bus *const **ret)
{
	*ret = (struct bus *const *)r->buses.list;
	return r->buses.n;
}

static int func_cmp(const void *a, const void *b)
{
	return strcmp((*(struct func *const *)a)->name, (*(struct func *const *)b)->name);
}

static int topic_cmp(const void *a, const void *b)
{
	return strcmp((*(struct topic *const *)a)->name, (*(struct topic *const *)b)->name);
}

static int bus_cmp(const void *a, const void *b)
{
	return strcmp((*(struct bus *const *)a)->name, (*(struct bus *const *)b)->name);
}

static void fill(struct kind *k, const void *list, size_t n, int (*cmp)(const void *, const void *))
{
	k->list = xcalloc(n, sizeof(*k->list));
	k->n = n;
	if (!n)
		return;
	memcpy(k->list, list, n * sizeof(*k->list));
	qsort(k->list, n, sizeof(*k->list), cmp);
}

static void name(struct kind *k, size_t i, const char *name)
{
	void *twin = strmap_put(&k->by_name, name, k->list[i]);

	assert(!twin);
}

void registry_swap(struct registry *r, const struct registry_set *set)
{
	struct registry old = *r;

	*r = (struct registry){};
	fill(&r->functions, set->functions, set->n_functions, func_cmp);
	fill(&r->topics, set->topics, set->n_topics, topic_cmp);
	fill(&r->buses, set->buses, set->n_buses, bus_cmp);
	for (size_t i = 0; i < r->functions.n; i++)
		name(&r->functions, i, func_ref(r->functions.list[i])->name);
	for (size_t i = 0; i < r->topics.n; i++)
		name(&r->topics, i, topic_ref(r->topics.list[i])->name);
	for (size_t i = 0; i < r->buses.n; i++)
		name(&r->buses, i, bus_ref(r->buses.list[i])->name);
	clear_all(&old);	/* last: the new set may hold the very same ones */
}
