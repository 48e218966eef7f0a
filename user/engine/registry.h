/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The functions in force, by name: one immutable set, swapped as a whole. */
#include <stddef.h>

#include "model/func.h"

struct registry;
struct registry *registry_new(void);
struct registry *registry_free(struct registry *r);
/* Borrowed; NULL when there is none of that name. */
struct func *registry_get(const struct registry *r, const char *name);
/* Functions in name order, borrowed; valid until the next registry_swap. */
size_t registry_list(const struct registry *r, struct func *const **ret);
/* Replaces the whole set; takes references of its own. Names must be unique. */
void registry_swap(struct registry *r, struct func *const *list, size_t n);
