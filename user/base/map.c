/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linear probing with backward-shift deletion, so there are no tombstones and a map that lives for months does
 * not slow down. At most 3/4 full. The two maps differ in their keys alone and share shape, not code: C has no
 * generics, and a macro would hide the ten lines that matter.
 */
#include "base/map.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "base/mem.h"

static uint64_t mix(uint64_t x)	/* splitmix64's finaliser */
{
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9ULL;
	x ^= x >> 27;
	x *= 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

void map_done(struct map *m)
{
	free(m->slots);
	*m = (struct map){};
}

static size_t map_find(const struct map *m, uint64_t key)
{
	size_t i = mix(key) & (m->cap - 1);

	while (m->slots[i].value && m->slots[i].key != key)
		i = (i + 1) & (m->cap - 1);
	return i;
}

void *map_get(const struct map *m, uint64_t key)
{
	return m->cap ? m->slots[map_find(m, key)].value : NULL;
}

static void map_grow(struct map *m)
{
	struct map old = *m;

	m->cap = old.cap ? old.cap * 2 : 16;
	m->slots = xcalloc(m->cap, sizeof(*m->slots));
	for (size_t i = 0; i < old.cap; i++)
		if (old.slots[i].value)
			m->slots[map_find(m, old.slots[i].key)] = old.slots[i];
	free(old.slots);
}

void *map_put(struct map *m, uint64_t key, void *value)
{
	struct map_slot *s;
	void *old;

	assert(value);
	if (m->len >= m->cap / 4 * 3)
		map_grow(m);
	s = &m->slots[map_find(m, key)];
	old = s->value;
	*s = (struct map_slot){ key, value };
	m->len += !old;
	return old;
}

void *map_del(struct map *m, uint64_t key)
{
	size_t i, j;
	void *old;

	if (!m->cap)
		return NULL;
	i = map_find(m, key);
	old = m->slots[i].value;
	if (!old)
		return NULL;
	for (j = (i + 1) & (m->cap - 1); m->slots[j].value; j = (j + 1) & (m->cap - 1)) {
		size_t home = mix(m->slots[j].key) & (m->cap - 1);

		if (((j - home) & (m->cap - 1)) >= ((j - i) & (m->cap - 1))) {
			m->slots[i] = m->slots[j];
			i = j;
		}
	}
	m->slots[i].value = NULL;
	m->len--;
	return old;
}

void strmap_done(struct strmap *m)
{
	free(m->slots);
	*m = (struct strmap){};
}

static uint64_t str_hash(const char *s)	/* FNV-1a: keys are our own ids and checked names, not attacker-sized */
{
	uint64_t h = 0xcbf29ce484222325ULL;

	for (; *s; s++)
		h = (h ^ (uint8_t)*s) * 0x100000001b3ULL;
	return mix(h);
}

static size_t strmap_find(const struct strmap *m, uint64_t hash, const char *key)
{
	size_t i = hash & (m->cap - 1);

	while (m->slots[i].value && (m->slots[i].hash != hash || strcmp(m->slots[i].key, key) != 0))
		i = (i + 1) & (m->cap - 1);
	return i;
}

void *strmap_get(const struct strmap *m, const char *key)
{
	return m->cap ? m->slots[strmap_find(m, str_hash(key), key)].value : NULL;
}

static void strmap_grow(struct strmap *m)
{
	struct strmap old = *m;

	m->cap = old.cap ? old.cap * 2 : 16;
	m->slots = xcalloc(m->cap, sizeof(*m->slots));
	for (size_t i = 0; i < old.cap; i++)
		if (old.slots[i].value)
			m->slots[strmap_find(m, old.slots[i].hash, old.slots[i].key)] = old.slots[i];
	free(old.slots);
}

void *strmap_put(struct strmap *m, const char *key, void *value)
{
	uint64_t hash = str_hash(key);
	struct strmap_slot *s;
	void *old;

	assert(value);
	if (m->len >= m->cap / 4 * 3)
		strmap_grow(m);
	s = &m->slots[strmap_find(m, hash, key)];
	old = s->value;
	*s = (struct strmap_slot){ hash, key, value };
	m->len += !old;
	return old;
}

void *strmap_del(struct strmap *m, const char *key)
{
	size_t i, j;
	void *old;

	if (!m->cap)
		return NULL;
	i = strmap_find(m, str_hash(key), key);
	old = m->slots[i].value;
	if (!old)
		return NULL;
	for (j = (i + 1) & (m->cap - 1); m->slots[j].value; j = (j + 1) & (m->cap - 1)) {
		size_t home = m->slots[j].hash & (m->cap - 1);

		if (((j - home) & (m->cap - 1)) >= ((j - i) & (m->cap - 1))) {
			m->slots[i] = m->slots[j];
			i = j;
		}
	}
	m->slots[i] = (struct strmap_slot){};
	m->len--;
	return old;
}
