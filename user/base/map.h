/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Open-addressing hash maps to pointers. Values are borrowed; keys of struct strmap are borrowed too and must
 * live in the value. Adding a key that is there replaces the value and returns the old one. */
#include <stddef.h>
#include <stdint.h>

struct map_slot { uint64_t key; void *value; };	/* value NULL = free */
struct map { struct map_slot *slots; size_t cap, len; };		/* key: any u64 */

void map_done(struct map *m);
void *map_get(const struct map *m, uint64_t key);
void *map_put(struct map *m, uint64_t key, void *value);	/* value not NULL */
void *map_del(struct map *m, uint64_t key);

struct strmap_slot { uint64_t hash; const char *key; void *value; };
struct strmap { struct strmap_slot *slots; size_t cap, len; };

void strmap_done(struct strmap *m);
void *strmap_get(const struct strmap *m, const char *key);
void *strmap_put(struct strmap *m, const char *key, void *value);	/* on replacement the new key pointer is kept */
void *strmap_del(struct strmap *m, const char *key);

/* Walk all values; the map must not change meanwhile. */
#define map_for_each(m, i, v) \
	for (size_t i = 0; i < (m)->cap; i++) \
		for (void *v = (m)->slots[i].value; v; v = NULL)
