/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Files that people write, as JSON: what function definitions and the daemon's configuration share. A strict text
 * becomes a cJSON tree, and problems get a path, a type in words and a guess at what was meant.
 */
#include <stddef.h>

#include <cjson/cJSON.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"

/* Strict RFC 8259 text → *ret, to be freed with cJSON_Delete(). -EINVAL: e says what, with line and column;
 * -ENOMEM. Strings of the tree may hold what no C string can: ask def_tree_text_problem() before using one. */
int def_tree_parse(const char *json, size_t len, cJSON **ret, struct err *e);
DEFINE_FREEP(cJSON_Delete, cJSON *)

/* NULL when the string (or member name) is sound text, else why not: "contains a NUL character", … */
const char *def_tree_text_problem(const char *s);
/* "a string", "a number", "null", "a list", … */
const char *def_tree_type(const cJSON *v);

/* JSON paths: start with "$"; add appends .Name, or ["odd name"] escaped and cut; both return the length before,
 * to which def_path_cut() goes back. */
size_t def_path_add(struct buf *path, const char *name);
size_t def_path_add_index(struct buf *path, size_t i);
void def_path_cut(struct buf *path, size_t len);

/* The candidate closest to a mistyped name; best stays NULL while nothing is close. Case does not count. */
struct def_nearest { const char *name, *best; size_t distance; };
void def_nearest_try(struct def_nearest *n, const char *candidate);
