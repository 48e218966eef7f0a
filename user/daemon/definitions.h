/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The functions' directory: every *.json in it is one function. Loading never fails as a whole; it gives the set of
 * functions to put in force, everything that is wrong with any file, and what changed since the last load.
 */
#include <stddef.h>

#include "model/func.h"

#define DEFINITIONS_FILE_MAX (1u << 20)	/* bytes */
#define DEFINITIONS_MAX 10000		/* files */

/* What is remembered between loads: which file gave which function. Zero-initialised to begin with. */
struct definitions { struct definitions_entry *list; size_t n; };

/* One thing wrong. path: JSON path in the file; "" when it is about the file or the directory itself. */
struct definitions_problem { char *file, *path, *reason; };

enum definitions_change_kind {
	DEFINITIONS_ADDED,
	DEFINITIONS_CHANGED,
	DEFINITIONS_REMOVED,
	DEFINITIONS_KEPT,	/* as it was, because its file is bad now */
};
struct definitions_change { enum definitions_change_kind kind; char function[LIM_FUNCTION_NAME_MAX + 1]; };
const char *definitions_change_name(enum definitions_change_kind k);	/* "added", … */

struct definitions_result {
	struct func **functions;	/* references; in name order, names unique: fit for registry_swap() */
	size_t n;
	struct definitions_problem *problems;	/* in file order */
	size_t n_problems;
	struct definitions_change *changes;	/* in name order; what is the same is not listed */
	size_t n_changes, unchanged;
};

/*
 * Reads dir. A bad file (unreadable, too large, not regular, not a definition, a function some other file defines)
 * never takes a good function down: what it gave at the last load stays, unless a good file defines that function now.
 * A directory that is missing is an empty set and a problem; one that cannot be read keeps everything.
 * ret is filled in every case; the caller frees it with definitions_result_done(). Returns 0 when there was no
 * problem, else -EINVAL. Blocks on the file system.
 */
int definitions_load(struct definitions *d, const char *dir, struct definitions_result *ret);
void definitions_done(struct definitions *d);
void definitions_result_done(struct definitions_result *r);

/* For people: "added a, b; changed c; removed d; kept e; 7 unchanged", or "no functions". The caller frees it. */
char *definitions_summary(const struct definitions_result *r);
