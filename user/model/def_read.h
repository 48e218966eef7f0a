/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What the readers of definition files share: functions (func_def.c), topics, buses. A format is a table with a row per
 * member; one walk over the file's own order visits each member once, and problems are collected with their paths.
 */
#include <stdbool.h>
#include <stdint.h>

#include "model/def_tree.h"
#include "model/func.h"

#define DEF_PROBLEMS_MAX 100		/* a file of nonsense needs no more to be understood */
#define DEF_DESCRIPTION_MAX 256		/* characters; Lambda's */

/* One file being read. Zero-initialised but for problems and into. */
struct def {
	struct func_problems *problems;
	size_t n_problems;		/* met, shown or not */
	struct buf path;		/* of what is being read; begins with "$" */
	void *into;			/* what the rows' places are offsets in */
	void *more;			/* the format's own */
};

struct def_row {
	const char *name;
	void (*read)(struct def *d, const struct def_row *row, const cJSON *v);	/* NULL: refused, note says why */
	size_t place;			/* offset in what d->into points to, or what the reader makes of it */
	double min, max;
	const char *note;		/* unit in messages; for a refused member, the reason */
	const struct def_row *members;	/* of an object; ends with a row without name */
	bool required;
};

#define DEF_PLACE(type) (*(type *)(void *)((char *)d->into + row->place))
#define DEF_RANGE(lo, hi) .min = lo, .max = hi
#define DEF_ROW(n, fn, ...) { .name = n, .read = fn, __VA_ARGS__ }
#define DEF_REFUSED(n, why) { .name = n, .note = why }
#define DEF_OBJECT(n, rows) DEF_ROW(n, def_object, .members = rows)
#define DEF_END { .name = NULL }
#define DEF_NOT_YET "is not supported yet"
#define DEF_NO_EFFECT(why) "has no effect on this host: " why "; remove it"

void def_problem(struct def *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* All members of the object by the table's rows; a member without a row is a problem, with a guess at what was meant. */
void def_members(struct def *d, const struct def_row *rows, const cJSON *object);
/* Every element of a list that must have min to max of them, each with its path. False: it is no such list. */
bool def_each(struct def *d, const cJSON *v, int min, int max, void (*read)(struct def *d, size_t i, const cJSON *item));

/* A whole file, which must be an object: read() gets it. d's path must be empty and is freed. -EINVAL: there were problems. */
int def_file(struct def *d, const char *json, size_t len, void (*read)(struct def *d, const cJSON *object));

/* Values; on false or NULL there was a problem. */
bool def_want(struct def *d, const cJSON *v, bool ok, const char *type);	/* ok, or "must be TYPE, is …" */
const char *def_string(struct def *d, const cJSON *v);
bool def_target(struct def *d, const cJSON *v, struct target *ret);	/* as target_parse() */
bool def_in_range(struct def *d, double n, double min, double max, const char *unit);
bool def_integer(struct def *d, const cJSON *v, double min, double max, const char *unit, double *ret);
/* 1 to max characters, all of them out of chars: letters, digits, and behind them one of -./_ and the rest. */
#define DEF_ALNUM "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
bool def_name(struct def *d, const char *s, const char *chars, size_t max);
size_t def_characters(const char *s);
struct strmap;
/* Says so when an earlier member of seen had this one's name. */
bool def_given_twice(struct def *d, struct strmap *seen, const cJSON *v);

/* Readers for rows. */
void def_object(struct def *d, const struct def_row *row, const cJSON *v);
void def_bool(struct def *d, const struct def_row *row, const cJSON *v);
void def_text(struct def *d, const struct def_row *row, const cJSON *v);	/* char *, at most row->max characters */
void def_tags(struct def *d, const struct def_row *row, const cJSON *v);	/* checked and dropped: they are notes */

/*
 * A function's definition inside another file (func_def.c): the object is one of the file's tree, d->path leads to it.
 * -EINVAL: there were problems, and *ret is left alone.
 */
int def_function(struct def *d, const cJSON *object, struct func **ret);
