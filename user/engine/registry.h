/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Functions, topics and buses in force, by name: one immutable set, swapped as a whole. */
#include <stddef.h>

#include "model/bus.h"
#include "model/func.h"
#include "model/topic.h"

struct registry;
struct registry *registry_new(void);
struct registry *registry_free(struct registry *r);
/* Borrowed; NULL when there is none of that name. */
struct func *registry_get(const struct registry *r, const char *name);
/* Functions in name order, borrowed; valid until the next registry_swap. */
size_t registry_list(const struct registry *r, struct func *const **ret);
struct topic *registry_topic(const struct registry *r, const char *name);
struct bus *registry_bus(const struct registry *r, const char *name);
size_t registry_topics(const struct registry *r, struct topic *const **ret);
size_t registry_buses(const struct registry *r, struct bus *const **ret);

struct registry_set {
	struct func *const *functions;	/* those of topics' commands are among them */
	size_t n_functions;
	struct topic *const *topics;
	size_t n_topics;
	struct bus *const *buses;
	size_t n_buses;
};
/* Replaces the whole set; takes references of its own. Names must be unique within each kind. */
void registry_swap(struct registry *r, const struct registry_set *set);
