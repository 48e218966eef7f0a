/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A name for a published version of a function, or for two of them with weights (Lambda's CreateAlias). */
#include "base/blob.h"
#include "base/err.h"
#include "model/func.h"

struct alias {
	int refs;
	char function[LIM_FUNCTION_NAME_MAX + 1];
	char name[LIM_QUALIFIER_MAX + 1];	/* not all digits, not "$LATEST" */
	char *description;			/* never NULL */
	int version;				/* FunctionVersion; 0 = $LATEST */
	int other;				/* the key of RoutingConfig.AdditionalVersionWeights; 0 = none */
	double other_weight;			/* 0.0 to 1.0: the share of events that goes to `other` */
	char revision[37];			/* RevisionId, a UUID: new with every change */
};

struct alias *alias_new(void);
struct alias *alias_ref(struct alias *a);
struct alias *alias_unref(struct alias *a);	/* NULL in; returns NULL */
DEFINE_FREEP(alias_unref, struct alias *)

/*
 * As stored: {"Description", "FunctionVersion", "RoutingConfig": {"AdditionalVersionWeights": {"2": 0.1}}, "RevisionId"}.
 * The same members are those of Lambda's requests; members that are absent keep what *into has (UpdateAlias). -EINVAL and
 * a sentence that names the member; then *into may be half changed.
 */
int alias_read(struct alias *into, const char *json, size_t len, struct err *e);
struct blob *alias_write(const struct alias *a);
/* The version for the next event. */
int alias_pick(const struct alias *a, uint64_t rnd);

/* "$LATEST", "1", "2", … to a number; -EINVAL for what is no version. */
int version_parse(const char *text, int *ret);
/* Into out, which it returns. */
#define VERSION_LEN 12
const char *version_format(int version, char out[VERSION_LEN + 1]);
