/* SPDX-License-Identifier: Apache-2.0 */
/* Aliases are read and written as JSON, in Lambda's own words: what is stored is what its clients send and get. */
#include "model/alias.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "model/def_tree.h"

#define DESCRIPTION_MAX 256	/* bytes; Lambda counts characters */

struct alias *alias_new(void)
{
	struct alias *a = XNEW(struct alias);

	a->refs = 1;
	a->description = xstrdup("");
	return a;
}

struct alias *alias_ref(struct alias *a)
{
	__atomic_add_fetch(&a->refs, 1, __ATOMIC_RELAXED);
	return a;
}

struct alias *alias_unref(struct alias *a)
{
	if (!a || __atomic_sub_fetch(&a->refs, 1, __ATOMIC_ACQ_REL))
		return NULL;
	free(a->description);
	free(a);
	return NULL;
}

int version_parse(const char *text, int *ret)
{
	int64_t n = 0;

	if (strcmp(text, "$LATEST") == 0) {
		*ret = 0;
		return 0;
	}
	if (!*text || *text == '0' || strlen(text) > 9)
		return -EINVAL;
	for (; *text; text++) {
		if (!isdigit((unsigned char)*text))
			return -EINVAL;
		n = n * 10 + (*text - '0');
	}
	*ret = (int)n;
	return 0;
}

const char *version_format(int version, char out[VERSION_LEN + 1])
{
	assert(version >= 0 && version <= LIM_VERSION_MAX);
	if (version)
		snprintf(out, VERSION_LEN + 1, "%d", version);
	else
		snprintf(out, VERSION_LEN + 1, "$LATEST");
	return out;
}

static int read_weights(struct alias *into, const cJSON *v, struct err *e)
{
	const cJSON *weight = v ? v->child : NULL;

	if (v && !cJSON_IsObject(v) && !cJSON_IsNull(v))
		return err_set(e, -EINVAL, "RoutingConfig.AdditionalVersionWeights must be an object");
	into->other = 0;
	into->other_weight = 0;
	if (!weight)
		return 0;
	if (weight->next)
		return err_set(e, -EINVAL, "RoutingConfig.AdditionalVersionWeights: one version at most");
	if (version_parse(weight->string, &into->other) < 0 || !into->other)
		return err_set(e, -EINVAL, "RoutingConfig.AdditionalVersionWeights: %.64s is no published version's number",
			       weight->string);
	if (!cJSON_IsNumber(weight) || !(weight->valuedouble >= 0 && weight->valuedouble <= 1))
		return err_set(e, -EINVAL, "RoutingConfig.AdditionalVersionWeights.%d must be 0.0 to 1.0", into->other);
	into->other_weight = weight->valuedouble;
	return 0;
}

static int read_text(const cJSON *o, const char *name, const char **ret, size_t max, struct err *e)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, name);

	*ret = NULL;
	if (!v || cJSON_IsNull(v))
		return 0;
	if (!cJSON_IsString(v))
		return err_set(e, -EINVAL, "%s must be a string", name);
	if (strlen(v->valuestring) > max)
		return err_set(e, -EINVAL, "%s has more than %zu bytes", name, max);
	if (def_tree_text_problem(v->valuestring))
		return err_set(e, -EINVAL, "%s %s", name, def_tree_text_problem(v->valuestring));
	*ret = v->valuestring;
	return 0;
}

static int read_members(struct alias *into, const cJSON *o, struct err *e)
{
	const cJSON *routing = cJSON_GetObjectItemCaseSensitive(o, "RoutingConfig");
	const char *description, *version, *revision;
	int r;

	if (!cJSON_IsObject(o))
		return err_set(e, -EINVAL, "an alias must be a JSON object");
	r = read_text(o, "Description", &description, DESCRIPTION_MAX, e);
	if (r == 0)
		r = read_text(o, "FunctionVersion", &version, VERSION_LEN, e);
	if (r == 0)
		r = read_text(o, "RevisionId", &revision, sizeof(into->revision) - 1, e);
	if (r < 0)
		return r;
	if (version && version_parse(version, &into->version) < 0)
		return err_set(e, -EINVAL, "FunctionVersion %s is neither $LATEST nor a published version's number", version);
	if (description) {
		free(into->description);
		into->description = xstrdup(description);
	}
	if (revision)
		snprintf(into->revision, sizeof(into->revision), "%s", revision);
	if (routing && !cJSON_IsObject(routing) && !cJSON_IsNull(routing))
		return err_set(e, -EINVAL, "RoutingConfig must be an object");
	if (cJSON_IsObject(routing)) {
		r = read_weights(into, cJSON_GetObjectItemCaseSensitive(routing, "AdditionalVersionWeights"), e);
		if (r < 0)
			return r;
	}
	if (into->other && (!into->version || into->other == into->version))
		return err_set(e, -EINVAL, "RoutingConfig: weights are between two different published versions; $LATEST is none");
	return 0;
}

int alias_read(struct alias *into, const char *json, size_t len, struct err *e)
{
	CLEAN(cJSON_Deletep) cJSON *o = NULL;
	int r = def_tree_parse(json, len, &o, e);

	return r < 0 ? r : read_members(into, o, e);
}

struct blob *alias_write(const struct alias *a)
{
	cJSON *o = cJSON_CreateObject(), *weights;
	char version[VERSION_LEN + 1], *text;
	bool ok;
	struct blob *b;

	ok = cJSON_AddStringToObject(o, "Description", a->description) &&
	     cJSON_AddStringToObject(o, "FunctionVersion", version_format(a->version, version));
	if (a->other) {
		weights = cJSON_AddObjectToObject(cJSON_AddObjectToObject(o, "RoutingConfig"), "AdditionalVersionWeights");
		ok &= cJSON_AddNumberToObject(weights, version_format(a->other, version), a->other_weight) != NULL;
	}
	ok &= cJSON_AddStringToObject(o, "RevisionId", a->revision) != NULL;
	text = ok ? cJSON_PrintUnformatted(o) : NULL;
	if (!text)		/* half an alias would be another alias */
		mem_abort();
	cJSON_Delete(o);
	b = blob_must(text, strlen(text));
	free(text);
	return b;
}

int alias_pick(const struct alias *a, uint64_t rnd)
{
	/* 53 bits: as many as a double tells apart. */
	return a->other && (double)(rnd >> 11) / 9007199254740992.0 < a->other_weight ? a->other : a->version;
}
