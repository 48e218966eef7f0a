/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/registry.h"

#include <assert.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"

struct registry {
	struct strmap by_name;
	struct func **list;
	size_t n;
};

struct registry *registry_new(void)
{
	return XNEW(struct registry);
}

static void clear(struct registry *r)
{
	strmap_done(&r->by_name);
	for (size_t i = 0; i < r->n; i++)
		func_unref(r->list[i]);
	free(r->list);
	r->list = NULL;
	r->n = 0;
}

struct registry *registry_free(struct registry *r)
{
	if (r) {
		clear(r);
		free(r);
	}
	return NULL;
}

struct func *registry_get(const struct registry *r, const char *name)
{
	return strmap_get(&r->by_name, name);
}

size_t registry_list(const struct registry *r, struct func *const **ret)
{
	*ret = r->list;
	return r->n;
}

static int by_name(const void *a, const void *b)
{
	return strcmp((*(struct func *const *)a)->name, (*(struct func *const *)b)->name);
}

void registry_swap(struct registry *r, struct func *const *list, size_t n)
{
	struct registry old = *r;

	*r = (struct registry){ .list = xcalloc(n, sizeof(*list)), .n = n };
	for (size_t i = 0; i < n; i++)
		r->list[i] = func_ref(list[i]);
	if (n)
		qsort(r->list, n, sizeof(*r->list), by_name);
	for (size_t i = 0; i < n; i++) {
		void *twin = strmap_put(&r->by_name, r->list[i]->name, r->list[i]);
		assert(!twin);
	}
	clear(&old);	/* last: the new set may hold the very same functions */
}
