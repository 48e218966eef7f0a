/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables of members, and the values that any format has. Rules that hold for every row of every format:
 *  - A member not in the table is a problem, with a guess at what was meant. A setting accepted and not acted on is a
 *    bug, therefore AWS's members that mean nothing here have rows that say why not. Tags and Description are taken:
 *    they are notes, not settings.
 *  - A member given twice, null, a wrong type, a fraction where an integer belongs: problems. Nothing is coerced.
 *  - Readers never stop at the first problem, and never leave half a value; whoever reads a file drops what was built
 *    when there was any problem. So problems come in file order, and all together; what is missing comes last.
 */
#include "model/def_read.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"

#define TAGS_MAX 50
#define TAG_KEY_MAX 128
#define TAG_VALUE_MAX 256
#define EXACT_MAX 9007199254740992.0	/* 2^53: from here on every double is whole */

void def_problem(struct def *d, const char *fmt, ...)
{
	char *reason;
	va_list ap;
	int n;

	if (d->n_problems++ >= DEF_PROBLEMS_MAX) {
		if (d->n_problems == DEF_PROBLEMS_MAX + 1)
			func_problems_add(d->problems, "$", "has more than %d problems; the rest is not shown", DEF_PROBLEMS_MAX);
		return;
	}
	va_start(ap, fmt);
	n = vasprintf(&reason, fmt, ap);
	va_end(ap);
	func_problems_add(d->problems, buf_str(&d->path), "%s", n < 0 ? "(no memory for the reason)" : reason);
	if (n >= 0)
		free(reason);
}

/* ---- values ---- */

bool def_want(struct def *d, const cJSON *v, bool ok, const char *type)
{
	if (!ok)
		def_problem(d, "must be %s, is %s", type, def_tree_type(v));
	return ok;
}

/* The string when it is one and sound, else NULL and a problem. */
const char *def_string(struct def *d, const cJSON *v)
{
	const char *why;

	if (!def_want(d, v, cJSON_IsString(v), "a string"))
		return NULL;
	why = def_tree_text_problem(v->valuestring);
	if (why) {
		def_problem(d, "%s", why);
		return NULL;
	}
	return v->valuestring;
}

bool def_target(struct def *d, const cJSON *v, struct target *ret)
{
	const char *s = def_string(d, v);
	struct err e = {};

	if (s && target_parse(s, ret, &e) < 0) {
		def_problem(d, "%s", err_msg(&e));
		return false;
	}
	return s;
}

bool def_in_range(struct def *d, double n, double min, double max, const char *unit)
{
	if (isfinite(n) && n >= min && n <= max)
		return true;
	def_problem(d, "is %.15g, must be from %.15g to %.15g%s%s", n, min, max, *unit ? " " : "", unit);
	return false;
}

bool def_integer(struct def *d, const cJSON *v, double min, double max, const char *unit, double *ret)
{
	if (!def_want(d, v, cJSON_IsNumber(v), "a number"))
		return false;
	/* Below 2^53 the cast is exact. */
	if (fabs(v->valuedouble) < EXACT_MAX && v->valuedouble != (double)(int64_t)v->valuedouble) {
		def_problem(d, "is %.15g, must be a whole number from %.15g to %.15g%s%s", v->valuedouble, min, max,
			    *unit ? " " : "", unit);
		return false;
	}
	if (!def_in_range(d, v->valuedouble, min, max, unit))
		return false;
	*ret = v->valuedouble;
	return true;
}

bool def_name(struct def *d, const char *s, const char *chars, size_t max)
{
	size_t len = strlen(s), fine = strspn(s, chars);

	if (!len)
		def_problem(d, "is empty");
	else if (len > max)
		def_problem(d, "has %zu characters, at most %zu are allowed", def_characters(s), max);
	else if (fine < len)
		def_problem(d, "may have letters, digits and %s only", chars + strcspn(chars, "-./_"));
	else
		return true;
	return false;
}

size_t def_characters(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

bool def_given_twice(struct def *d, struct strmap *seen, const cJSON *v)
{
	if (!strmap_put(seen, v->string, (void *)v))
		return false;
	def_problem(d, "is given twice");
	return true;
}

/* ---- rows ---- */

void def_bool(struct def *d, const struct def_row *row, const cJSON *v)
{
	if (def_want(d, v, cJSON_IsBool(v), "true or false"))
		DEF_PLACE(bool) = cJSON_IsTrue(v);
}

void def_text(struct def *d, const struct def_row *row, const cJSON *v)
{
	const char *s = def_string(d, v);

	if (s && (double)def_characters(s) > row->max) {
		def_problem(d, "has %zu characters, at most %.0f are allowed", def_characters(s), row->max);
	} else if (s) {
		free(DEF_PLACE(char *));
		DEF_PLACE(char *) = xstrdup(s);
	}
}

void def_tags(struct def *d, const struct def_row *row, const cJSON *v)
{
	CLEAN(strmap_done) struct strmap seen = {};
	const cJSON *item;

	if (!def_want(d, v, cJSON_IsObject(v), "an object"))
		return;
	if (cJSON_GetArraySize(v) > TAGS_MAX) {
		def_problem(d, "has %d tags, at most %d are allowed", cJSON_GetArraySize(v), TAGS_MAX);
		return;
	}
	cJSON_ArrayForEach(item, v) {
		size_t mark = def_path_add(&d->path, item->string);
		const char *why = def_tree_text_problem(item->string), *s = def_string(d, item);

		(void)def_given_twice(d, &seen, item);
		if (why)
			def_problem(d, "the key %s", why);
		else if (!*item->string || def_characters(item->string) > TAG_KEY_MAX)
			def_problem(d, "the key has %zu characters, must have from 1 to %d", def_characters(item->string),
				    TAG_KEY_MAX);
		if (s && def_characters(s) > TAG_VALUE_MAX)
			def_problem(d, "has %zu characters, at most %d are allowed", def_characters(s), TAG_VALUE_MAX);
		def_path_cut(&d->path, mark);
	}
}

static void unknown_member(struct def *d, const struct def_row *rows, const char *name)
{
	struct def_nearest near = { .name = name };
	const char *why = def_tree_text_problem(name);

	for (const struct def_row *r = rows; r->name; r++)
		if (r->read)
			def_nearest_try(&near, r->name);
	if (why)
		def_problem(d, "the name %s", why);
	else if (near.best)
		def_problem(d, "is no known member; did you mean %s?", near.best);
	else
		def_problem(d, "is no known member");
}

void def_members(struct def *d, const struct def_row *rows, const cJSON *object)
{
	CLEAN(strmap_done) struct strmap seen = {};
	const cJSON *item;
	size_t mark;

	cJSON_ArrayForEach(item, object) {
		const struct def_row *row = rows;

		if (d->n_problems > DEF_PROBLEMS_MAX)
			return;
		mark = def_path_add(&d->path, item->string);
		while (row->name && strcmp(row->name, item->string) != 0)
			row++;
		if (def_given_twice(d, &seen, item))
			;
		else if (!row->name)
			unknown_member(d, rows, item->string);
		else if (!row->read)
			def_problem(d, "%s", row->note);
		else
			row->read(d, row, item);
		def_path_cut(&d->path, mark);
	}
	for (const struct def_row *row = rows; row->name; row++) {
		if (!row->required || strmap_get(&seen, row->name))
			continue;
		mark = def_path_add(&d->path, row->name);
		def_problem(d, "is missing");
		def_path_cut(&d->path, mark);
	}
}

void def_object(struct def *d, const struct def_row *row, const cJSON *v)
{
	if (def_want(d, v, cJSON_IsObject(v), "an object"))
		def_members(d, row->members, v);
}

bool def_each(struct def *d, const cJSON *v, int min, int max, void (*read)(struct def *d, size_t i, const cJSON *item))
{
	const cJSON *item;
	size_t i = 0;
	int n;

	if (!def_want(d, v, cJSON_IsArray(v), "a list"))
		return false;
	n = cJSON_GetArraySize(v);
	if (n < min || n > max) {
		def_problem(d, "has %d entries, must have from %d to %d", n, min, max);
		return false;
	}
	cJSON_ArrayForEach(item, v) {
		size_t mark = def_path_add_index(&d->path, i);

		read(d, i++, item);
		def_path_cut(&d->path, mark);
	}
	return true;
}

int def_file(struct def *d, const char *json, size_t len, void (*read)(struct def *d, const cJSON *object))
{
	CLEAN(cJSON_Deletep) cJSON *root = NULL;
	struct err e = {};

	assert(json || !len);
	buf_adds(&d->path, "$");
	if (def_tree_parse(json, len, &root, &e) < 0)
		def_problem(d, "%s", err_msg(&e));
	else if (def_want(d, root, cJSON_IsObject(root), "an object"))
		read(d, root);
	buf_done(&d->path);
	return d->n_problems ? -EINVAL : 0;
}
