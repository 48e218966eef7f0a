/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The functions' directory: every *.json in it is one function, or one topic (it has TopicName; its commands are functions,
 * too), or one event bus (EventBusName). Loading never fails as a whole; it gives the sets to put in force, everything
 * that is wrong with any file, and what changed since the last load.
 */
#include <stddef.h>

#include "model/bus.h"
#include "model/func.h"
#include "model/topic.h"

#define DEFINITIONS_FILE_MAX (1u << 20)	/* bytes */
#define DEFINITIONS_MAX 10000		/* files */

/* What is remembered between loads: which file gave what. Zero-initialised to begin with. */
struct definitions { struct definitions_entry *list; size_t n; };

enum definitions_kind { DEFINITIONS_FUNCTION, DEFINITIONS_TOPIC, DEFINITIONS_BUS, DEFINITIONS_KIND_MAX };

/* What this host and its daemon demand of functions. */
struct definitions_check {
	/* Asked for every function with RequireLimits: 0, or -errno and the reason why this host cannot keep its limits. */
	int (*limits)(void *arg, const struct func *f, struct err *e);
	void *arg;
	int lease_s;		/* longer than any attempt with its grace and LIM_LEASE_SLACK_S; 0: not looked at */
	int concurrency_max;	/* of all functions together; 0: not looked at */
};

/* One thing wrong. path: JSON path in the file; "" when it is about the file or the directory itself. */
struct definitions_problem { char *file, *path, *reason; };

enum definitions_change_kind {
	DEFINITIONS_ADDED,
	DEFINITIONS_CHANGED,
	DEFINITIONS_REMOVED,
	DEFINITIONS_KEPT,	/* as it was, because its file is bad now */
};
#define DEFINITIONS_NAME_MAX (6 + TOPIC_NAME_MAX)
/* name: "a" for a function, "topic a", "bus a" */
struct definitions_change { enum definitions_change_kind kind; char name[DEFINITIONS_NAME_MAX + 1]; };
const char *definitions_change_name(enum definitions_change_kind k);	/* "added", … */

struct definitions_result {
	/* References; names unique in each list, their order is nobody's: registry_swap() makes one. */
	struct func **functions;		/* those of topics' commands are among them */
	size_t n_functions;
	struct topic **topics;
	size_t n_topics;
	struct bus **buses;
	size_t n_buses;
	struct definitions_problem *problems;	/* of files, in their order; then of names that lead nowhere, likewise */
	size_t n_problems;
	/* Functions first, then topics, buses; in name order. What is the same is not listed. */
	struct definitions_change *changes;
	size_t n_changes, unchanged;
};

/*
 * Reads dir. A bad file (unreadable, too large, not regular, not a definition, a name some other file defines) never
 * takes down what is good: what it gave at the last load stays, unless a good file defines something of that name now.
 * One exception: a function that requires limits which the check refuses is neither put in force nor kept.
 * A directory that is missing or cannot be read is a problem and keeps everything: an empty one removes everything.
 * A destination, subscription or rule's target that names a function, topic or bus which is not defined is a problem and
 * takes nothing down; so is a sum of ReservedConcurrentExecutions that leaves the other functions nothing. check may be NULL.
 * ret is filled in every case; the caller frees it with definitions_result_done(). Returns 0 when there was no
 * problem, else -EINVAL. Blocks on the file system.
 */
int definitions_load(struct definitions *d, const char *dir, const struct definitions_check *check, struct definitions_result *ret);
void definitions_done(struct definitions *d);
/* What is remembered, file by file in order of their names; all is borrowed. Stops at the first answer that is not 0, and
 * returns it. */
int definitions_each(const struct definitions *d, int (*each)(void *arg, const char *file, const char *text, size_t len),
		     void *arg);
/* Remembers that a file gave this, before the first load: files in order of their names. -EINVAL: it is no definition. */
int definitions_remember(struct definitions *d, const char *file, const char *text, size_t len);
void definitions_result_done(struct definitions_result *r);

/* True for the names of files that are read. */
bool definitions_is_file(const char *name);

/* For people: "added a, b; changed topic c; removed d; kept e; 7 unchanged", or "no functions". The caller frees it. */
char *definitions_summary(const struct definitions_result *r);
