/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Functions, topics and buses in force, by name: one immutable set, swapped as a whole. And what was published of the
 * functions: versions and aliases, added one at a time. Events find them (registry_version, registry_resolve) only while
 * their function is defined; they are kept meanwhile.
 */
#include <stddef.h>

#include "model/alias.h"
#include "model/bus.h"
#include "model/func.h"
#include "model/topic.h"

struct registry;
struct registry *registry_new(void);
struct registry *registry_free(struct registry *r);
/* Borrowed; NULL when there is none of that name. $LATEST. */
struct func *registry_get(const struct registry *r, const char *name);
/* Version 0 is $LATEST. NULL: no such function is defined, or no such version was published. */
struct func *registry_version(const struct registry *r, const char *name, int version);
/* A qualifier ("" is $LATEST) to a version: an alias is asked with rnd. -ENOENT: function, version or alias are not there. */
int registry_resolve(const struct registry *r, const char *name, const char *qualifier, uint64_t rnd, int *ret_version);
/* Published versions, ascending, whether the function is defined or not; valid until the next registry_publish. */
size_t registry_versions(const struct registry *r, const char *name, struct func *const **ret);
struct alias *registry_alias(const struct registry *r, const char *name, const char *alias);
/* In name order; the caller frees the array, not what is in it. */
size_t registry_aliases(const struct registry *r, const char *name, struct alias ***ret);
/* Takes a reference of its own; f->version must be above all published ones of that name. */
void registry_publish(struct registry *r, struct func *f);
/* The highest number given, and one that is taken though its version cannot be read any more. */
int registry_last_version(const struct registry *r, const char *name);
void registry_version_taken(struct registry *r, const char *name, int version);
void registry_alias_set(struct registry *r, struct alias *a);	/* makes or replaces; a reference of its own */
void registry_alias_del(struct registry *r, const char *name, const char *alias);	/* none of that name is fine */
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
