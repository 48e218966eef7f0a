/* SPDX-License-Identifier: Apache-2.0 */
/* What is in force by name, and what was published: order, replacement, and functions that come and go. */
#include "engine/registry.h"

#include <errno.h>

#include "base/mem.h"
#include "lib/test.h"

static struct registry *r;

static struct func *func(const char *name, int version)
{
	struct func *f = func_new();

	snprintf(f->name, sizeof(f->name), "%s", name);
	f->version = version;
	return f;
}

/* The functions of these names are defined, and no others. */
static void defined(const char *const *names, size_t n)
{
	struct func *list[8];

	for (size_t i = 0; i < n; i++)
		list[i] = func(names[i], 0);
	registry_swap(r, &(struct registry_set){ .functions = list, .n_functions = n });
	for (size_t i = 0; i < n; i++)
		func_unref(list[i]);
}
#define DEFINED(...) defined((const char *const[]){ __VA_ARGS__ }, ARRAY_SIZE(((const char *const[]){ __VA_ARGS__ })))

static void publish(const char *name, int version)
{
	struct func *f = func(name, version);

	registry_publish(r, f);
	func_unref(f);
}

static void alias(const char *name, const char *alias, int version, int other, double weight)
{
	struct alias *a = alias_new();

	snprintf(a->function, sizeof(a->function), "%s", name);
	snprintf(a->name, sizeof(a->name), "%s", alias);
	a->version = version;
	a->other = other;
	a->other_weight = weight;
	registry_alias_set(r, a);
	alias_unref(a);
}

static int resolved(const char *name, const char *qualifier, uint64_t rnd)
{
	int version = -7, e = registry_resolve(r, name, qualifier, rnd, &version);

	if (e < 0 && version != -7)
		FAIL("%s:%s is not there, but was said to be %d", name, qualifier, version);
	return e < 0 ? e : version;
}

static void fresh(void)
{
	registry_free(r);
	r = registry_new();
}

static void empty(void)
{
	struct func *const *list;
	struct alias **aliases;

	fresh();
	CHECK(!registry_get(r, "f") && !registry_version(r, "f", 0) && !registry_version(r, "f", 1) && !registry_alias(r, "f",
		"a"));
	CHECK_INT(resolved("f", "", 0), -ENOENT);
	CHECK_INT(registry_versions(r, "f", &list), 0);
	CHECK_INT(registry_aliases(r, "f", &aliases), 0);
	free(aliases);
	registry_alias_del(r, "f", "a");
	registry_swap(r, &(struct registry_set){});
	CHECK_INT(registry_list(r, &list), 0);
	CHECK(!registry_free(NULL));
}

static void order_of_functions(void)
{
	struct func *const *list;

	fresh();
	DEFINED("b", "a-1", "B", "a");
	CHECK_INT(registry_list(r, &list), 4);
	CHECK_STR(list[0]->name, "B");
	CHECK_STR(list[1]->name, "a");
	CHECK_STR(list[2]->name, "a-1");
	CHECK_STR(list[3]->name, "b");
	CHECK(registry_get(r, "a-1") == list[2]);
	/* Replaced as a whole. */
	DEFINED("c");
	CHECK_INT(registry_list(r, &list), 1);
	CHECK(!registry_get(r, "a"));
}

/* The new set may hold what the old one held: it is taken before the old one goes. */
static void the_same_again(void)
{
	struct func *f = func("f", 0);

	fresh();
	for (int i = 0; i < 3; i++)
		registry_swap(r, &(struct registry_set){ .functions = &f, .n_functions = 1 });
	CHECK_INT(f->refs, 2);
	func_unref(f);
	CHECK_STR(registry_get(r, "f")->name, "f");
}

static void versions(void)
{
	struct func *const *list;

	fresh();
	DEFINED("f", "g");
	/* Numbers may have gaps: a version that was deleted leaves one. */
	publish("f", 1);
	publish("f", 2);
	publish("f", 5);
	publish("g", 3);
	for (int i = 6; i < 40; i++)
		publish("f", i);
	CHECK_INT(registry_versions(r, "f", &list), 37);
	for (size_t i = 1; i < 37; i++)
		CHECK(list[i - 1]->version < list[i]->version);
	CHECK(registry_version(r, "f", 5) == list[2]);
	for (int v = 1; v < 45; v++) {
		struct func *f = registry_version(r, "f", v);
		bool there = v == 1 || v == 2 || (v >= 5 && v < 40);

		if (!f != !there || (f && (f->version != v || strcmp(f->name, "f") != 0)))
			FAIL("version %d is %s", v, f ? "there or another one" : "not there");
	}
	CHECK(!registry_version(r, "f", -1));
	CHECK_INT(registry_version(r, "f", 0)->version, 0);
	CHECK(registry_version(r, "f", 0) == registry_get(r, "f"));
	CHECK(!registry_version(r, "g", 1));
	CHECK(registry_version(r, "g", 3));
	CHECK_INT(registry_versions(r, "g", &list), 1);
	CHECK_INT(registry_versions(r, "h", &list), 0);
}

static void resolution(void)
{
	fresh();
	DEFINED("f", "g");
	publish("f", 1);
	publish("f", 2);
	alias("f", "live", 1, 2, 0.5);
	alias("f", "next", 0, 0, 0);
	alias("f", "lost", 7, 0, 0);
	alias("f", "half", 1, 7, 0.5);
	alias("f", "2024-01-02", 2, 0, 0);
	CHECK_INT(resolved("f", "", 0), 0);
	CHECK_INT(resolved("f", "$LATEST", 0), 0);
	CHECK_INT(resolved("f", "1", 0), 1);
	CHECK_INT(resolved("f", "2", UINT64_MAX), 2);
	CHECK_INT(resolved("f", "live", 0), 2);
	CHECK_INT(resolved("f", "live", UINT64_MAX), 1);
	CHECK_INT(resolved("f", "next", 0), 0);
	CHECK_INT(resolved("f", "2024-01-02", 0), 2);
	CHECK_INT(resolved("f", "3", 0), -ENOENT);
	CHECK_INT(resolved("f", "01", 0), -ENOENT);
	CHECK_INT(resolved("f", "9999999999", 0), -ENOENT);
	CHECK_INT(resolved("f", "Live", 0), -ENOENT);		/* case counts */
	CHECK_INT(resolved("f", "liv", 0), -ENOENT);
	CHECK_INT(resolved("f", "$LATEST.PUBLISHED", 0), -ENOENT);
	CHECK_INT(resolved("f", "lost", 0), -ENOENT);		/* its version is not there */
	CHECK_INT(resolved("f", "half", 0), -ENOENT);		/* … nor the one whose turn it is */
	CHECK_INT(resolved("f", "half", UINT64_MAX), 1);
	CHECK_INT(resolved("g", "live", 0), -ENOENT);		/* another function's */
	CHECK_INT(resolved("g", "1", 0), -ENOENT);
	CHECK_INT(resolved("g", "", 0), 0);
	CHECK_INT(resolved("h", "", 0), -ENOENT);
}

#define NAMES_SIZE 200
static void names_of_aliases(char out[NAMES_SIZE], const char *name)
{
	struct alias **list;
	size_t n = registry_aliases(r, name, &list), at = 0;

	out[0] = '\0';
	for (size_t i = 0; i < n && at < NAMES_SIZE; i++)
		at += (size_t)snprintf(out + at, NAMES_SIZE - at, "%s ", list[i]->name);
	free(list);
}

static void aliases(void)
{
	char names[NAMES_SIZE];
	struct alias *kept;

	fresh();
	DEFINED("f");
	alias("f", "m", 1, 0, 0);
	alias("f", "a", 1, 0, 0);
	alias("f", "z", 1, 0, 0);
	alias("f", "B", 1, 0, 0);
	alias("f", "a-b", 1, 0, 0);
	alias("g", "a", 9, 0, 0);
	names_of_aliases(names, "f");
	CHECK_STR(names, "B a a-b m z ");
	/* Replaced: the name once, the new meaning. Who holds the old one keeps it. */
	kept = alias_ref(registry_alias(r, "f", "m"));
	alias("f", "m", 2, 3, 0.5);
	names_of_aliases(names, "f");
	CHECK_STR(names, "B a a-b m z ");
	CHECK_INT(registry_alias(r, "f", "m")->version, 2);
	CHECK_INT(registry_alias(r, "f", "m")->other, 3);
	CHECK_INT(kept->version, 1);
	CHECK_INT(kept->refs, 1);
	alias_unref(kept);
	/* By itself: the reference of the registry must outlive the change. */
	registry_alias_set(r, registry_alias(r, "f", "m"));
	CHECK_INT(registry_alias(r, "f", "m")->refs, 1);
	/* First, last, in the middle, none, another function's. */
	registry_alias_del(r, "f", "B");
	registry_alias_del(r, "f", "z");
	registry_alias_del(r, "f", "a-b");
	registry_alias_del(r, "f", "q");
	registry_alias_del(r, "h", "a");
	names_of_aliases(names, "f");
	CHECK_STR(names, "a m ");
	CHECK(!registry_alias(r, "f", "B") && registry_alias(r, "f", "a"));
	CHECK_INT(registry_alias(r, "g", "a")->version, 9);
	registry_alias_del(r, "f", "a");
	registry_alias_del(r, "f", "m");
	names_of_aliases(names, "f");
	CHECK_STR(names, "");
	alias("f", "a", 4, 0, 0);
	CHECK_INT(registry_alias(r, "f", "a")->version, 4);
}

/* What was published outlives the definition, and is to be had only while there is one. */
static void undefined_and_defined_again(void)
{
	struct func *const *list;
	char names[NAMES_SIZE];

	fresh();
	DEFINED("f", "g");
	publish("f", 1);
	publish("f", 2);
	alias("f", "live", 2, 0, 0);
	DEFINED("g");
	CHECK(!registry_get(r, "f") && !registry_version(r, "f", 0) && !registry_version(r, "f", 1));
	CHECK_INT(resolved("f", "", 0), -ENOENT);
	CHECK_INT(resolved("f", "1", 0), -ENOENT);
	CHECK_INT(resolved("f", "live", 0), -ENOENT);
	CHECK_INT(registry_versions(r, "f", &list), 2);		/* whoever numbers the next one must know them */
	/* At a start they come before any definition. */
	publish("h", 1);
	alias("h", "live", 1, 0, 0);
	CHECK_INT(resolved("h", "live", 0), -ENOENT);
	DEFINED("f", "h");
	CHECK_INT(resolved("f", "live", 0), 2);
	CHECK_INT(resolved("f", "1", 0), 1);
	CHECK_INT(resolved("h", "live", 0), 1);
	publish("f", 3);
	CHECK_INT(registry_versions(r, "f", &list), 3);
	CHECK_INT(list[2]->version, 3);
	names_of_aliases(names, "f");
	CHECK_STR(names, "live ");
	CHECK_INT(resolved("g", "", 0), -ENOENT);
}

int main(void)
{
	RUN(empty);
	RUN(order_of_functions);
	RUN(the_same_again);
	RUN(versions);
	RUN(resolution);
	RUN(aliases);
	RUN(undefined_and_defined_again);
	registry_free(r);
	TEST_END();
}
