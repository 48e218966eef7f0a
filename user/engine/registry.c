/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/registry.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"

struct kind { struct strmap by_name; void **list; size_t n; };

/* What was published of one function name. */
struct published {
	char name[LIM_FUNCTION_NAME_MAX + 1];
	struct func **versions;		/* ascending */
	size_t n_versions;
	int last;			/* the highest number, readable or not */
	struct alias **aliases;		/* in name order */
	size_t n_aliases;
};

struct registry { struct kind functions, topics, buses; struct strmap published; };

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

static void published_free(struct published *p)
{
	for (size_t i = 0; i < p->n_versions; i++)
		func_unref(p->versions[i]);
	for (size_t i = 0; i < p->n_aliases; i++)
		alias_unref(p->aliases[i]);
	free(p->versions);
	free(p->aliases);
	free(p);
}

struct registry *registry_free(struct registry *r)
{
	if (r) {
		clear_all(r);
		for (size_t i = 0; i < r->published.cap; i++)
			if (r->published.slots[i].value)
				published_free(r->published.slots[i].value);
		strmap_done(&r->published);
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

	*r = (struct registry){ .published = old.published };
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

/* ---- versions and aliases ----------------------------------------------------------------------------------- */

static struct published *published_get(struct registry *r, const char *name)
{
	struct published *p = strmap_get(&r->published, name);

	if (p)
		return p;
	p = XNEW(struct published);
	memcpy(p->name, name, strlen(name) + 1);	/* a function's name: it fits */
	strmap_put(&r->published, p->name, p);
	return p;
}

struct func *registry_version(const struct registry *r, const char *name, int version)
{
	struct func *latest = registry_get(r, name);
	const struct published *p = strmap_get(&r->published, name);
	size_t lo = 0, hi = p ? p->n_versions : 0;

	if (!version || !latest)
		return latest;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (p->versions[mid]->version == version)
			return p->versions[mid];
		if (p->versions[mid]->version < version)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

static size_t alias_place(const struct published *p, const char *alias, bool *ret_there)
{
	size_t i = 0;

	while (p && i < p->n_aliases && strcmp(p->aliases[i]->name, alias) < 0)
		i++;
	*ret_there = p && i < p->n_aliases && strcmp(p->aliases[i]->name, alias) == 0;
	return i;
}

struct alias *registry_alias(const struct registry *r, const char *name, const char *alias)
{
	const struct published *p = strmap_get(&r->published, name);
	bool there;
	size_t i = alias_place(p, alias, &there);

	return there ? p->aliases[i] : NULL;
}

int registry_resolve(const struct registry *r, const char *name, const char *qualifier, uint64_t rnd, int *ret_version)
{
	const struct alias *a;
	int version = 0;

	if (qualifier[0] && version_parse(qualifier, &version) < 0) {
		a = registry_alias(r, name, qualifier);
		if (!a)
			return -ENOENT;
		version = alias_pick(a, rnd);
	}
	if (!registry_version(r, name, version))
		return -ENOENT;
	*ret_version = version;
	return 0;
}

size_t registry_versions(const struct registry *r, const char *name, struct func *const **ret)
{
	const struct published *p = strmap_get(&r->published, name);

	*ret = p ? p->versions : NULL;
	return p ? p->n_versions : 0;
}

size_t registry_aliases(const struct registry *r, const char *name, struct alias ***ret)
{
	const struct published *p = strmap_get(&r->published, name);
	size_t n = p ? p->n_aliases : 0;

	*ret = xcalloc(n + 1, sizeof(**ret));
	if (n)
		memcpy(*ret, p->aliases, n * sizeof(**ret));
	return n;
}

void registry_publish(struct registry *r, struct func *f)
{
	struct published *p = published_get(r, f->name);

	assert(f->version > p->last);
	p->versions = xrealloc(p->versions, (p->n_versions + 1) * sizeof(*p->versions));
	p->versions[p->n_versions++] = func_ref(f);
	p->last = f->version;
}

int registry_last_version(const struct registry *r, const char *name)
{
	const struct published *p = strmap_get(&r->published, name);

	return p ? p->last : 0;
}

void registry_version_taken(struct registry *r, const char *name, int version)
{
	struct published *p = published_get(r, name);

	if (version > p->last)
		p->last = version;
}

void registry_alias_set(struct registry *r, struct alias *a)
{
	struct published *p = published_get(r, a->function);
	bool there;
	size_t i = alias_place(p, a->name, &there);

	alias_ref(a);		/* first: it may be the very one that is there */
	if (there) {
		alias_unref(p->aliases[i]);
	} else {
		p->aliases = xrealloc(p->aliases, (p->n_aliases + 1) * sizeof(*p->aliases));
		memmove(p->aliases + i + 1, p->aliases + i, (p->n_aliases - i) * sizeof(*p->aliases));
		p->n_aliases++;
	}
	p->aliases[i] = a;
}

void registry_alias_del(struct registry *r, const char *name, const char *alias)
{
	struct published *p = strmap_get(&r->published, name);
	bool there;
	size_t i = alias_place(p, alias, &there);

	if (!there)
		return;
	alias_unref(p->aliases[i]);
	p->n_aliases--;
	memmove(p->aliases + i, p->aliases + i + 1, (p->n_aliases - i) * sizeof(*p->aliases));
}
