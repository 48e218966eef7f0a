/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An event bus's file → an immutable struct bus. EventBridge's pattern language is a large one; of it only what sends a
 * record here or there is read so far: source and detail-type, each a list of exact strings. Every other member and every
 * matching operator is refused by name, never ignored: a rule that matched more than its author wrote would send
 * records where they must not go.
 *
 * EventPattern is an object, as CloudFormation has it, and not the text of one, as PutRule has it: it is a file, and a
 * problem in it shall have a path.
 */
#include "model/bus.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/map.h"
#include "base/mem.h"
#include "fate_abi.h"
#include "model/def_read.h"

#define DESCRIPTION_MAX 512	/* EventBridge's */
#define RULE_NAME_MAX 64
#define PATTERN_VALUES_MAX 100
#define PATTERN_VALUE_BYTES_MAX 256
#define BUS_CHARS DEF_ALNUM "/.-_"
#define RULE_CHARS DEF_ALNUM ".-_"

static struct bus *bus_new(void)
{
	struct bus *b = XNEW(struct bus);

	b->refs = 1;
	b->description = xstrdup("");
	return b;
}

struct bus *bus_ref(struct bus *b)
{
	if (b)
		ref_take(&b->refs);
	return b;
}

struct bus *bus_unref(struct bus *b)
{
	if (!b || !ref_drop(&b->refs))
		return NULL;
	for (size_t i = 0; i < b->n_rules; i++) {
		xfree_strings(b->rules[i].sources);
		xfree_strings(b->rules[i].detail_types);
		free(b->rules[i].targets);
	}
	free(b->rules);
	free(b->description);
	free(b);
	return NULL;
}

/* ---- patterns ---- */

static void read_value(struct def *d, size_t i, const cJSON *item)
{
	char **list = d->into;
	const char *s;

	if (cJSON_IsObject(item)) {
		/* {"prefix": "x"} and its like: name the operator. */
		if (item->child && !def_tree_text_problem(item->child->string))
			def_problem(d, "matching by \"%.40s\" is not supported yet, only exact strings", item->child->string);
		else
			def_problem(d, "is an object; only exact strings are supported yet");
		return;
	}
	s = def_string(d, item);
	if (s && strlen(s) > PATTERN_VALUE_BYTES_MAX)
		def_problem(d, "has %zu bytes, at most %d are allowed", strlen(s), PATTERN_VALUE_BYTES_MAX);
	else if (s) {
		while (*list)
			list++;
		*list = xstrdup(s);
	}
}

static void read_values(struct def *d, const struct def_row *row, const cJSON *v)
{
	void *rule = d->into;
	char **list = xcalloc(PATTERN_VALUES_MAX + 1, sizeof(*list));

	xfree_strings(DEF_PLACE(char **));
	DEF_PLACE(char **) = list;
	d->into = list;
	(void)def_each(d, v, 1, PATTERN_VALUES_MAX, read_value);
	d->into = rule;
}

#define IN_RULE(m) .place = offsetof(struct bus_rule, m)
#define PATTERN_NOT_YET "is not supported yet in patterns, only source and detail-type"

static const struct def_row rows_pattern[] = {
	DEF_ROW("source", read_values, IN_RULE(sources)),
	DEF_ROW("detail-type", read_values, IN_RULE(detail_types)),
	DEF_REFUSED("account", PATTERN_NOT_YET),
	DEF_REFUSED("detail", PATTERN_NOT_YET),
	DEF_REFUSED("id", PATTERN_NOT_YET),
	DEF_REFUSED("region", PATTERN_NOT_YET),
	DEF_REFUSED("replay-name", PATTERN_NOT_YET),
	DEF_REFUSED("resources", PATTERN_NOT_YET),
	DEF_REFUSED("time", PATTERN_NOT_YET),
	DEF_REFUSED("version", PATTERN_NOT_YET),
	DEF_REFUSED("$or", PATTERN_NOT_YET),
	DEF_END
};

static void read_pattern(struct def *d, const struct def_row *row, const cJSON *v)
{
	if (cJSON_IsString(v))
		def_problem(d, "must be an object, is a string: write the pattern itself, without quotes around it");
	else if (!def_want(d, v, cJSON_IsObject(v), "an object"))
		return;
	else if (!v->child)
		def_problem(d, "is empty: it must name source, detail-type or both");
	else
		def_members(d, rows_pattern, v);
}

/* ---- targets ---- */

struct target_read { struct target *target; char id[RULE_NAME_MAX + 1]; };

static void read_target_id(struct def *d, const struct def_row *row, const cJSON *v)
{
	const char *s = def_string(d, v);
	struct target_read *t = d->into;

	if (s && def_name(d, s, RULE_CHARS, RULE_NAME_MAX))
		snprintf(t->id, sizeof(t->id), "%s", s);
}

static void read_target_arn(struct def *d, const struct def_row *row, const cJSON *v)
{
	struct target *t = ((struct target_read *)d->into)->target;

	if (!def_target(d, v, t))
		return;
	switch (t->kind) {
	case TARGET_FUNCTION:
	case TARGET_QUEUE:
	case TARGET_NAME:
	case TARGET_TOPIC:
		return;
	case TARGET_NONE:
		def_problem(d, "is empty");
		return;
	case TARGET_REMOTE:
		def_problem(d, "is not of this host; remote targets are not supported yet");
		return;
	case TARGET_BUS:
		def_problem(d, "from bus to bus is not supported yet: it must be a function, a queue or a topic");
		return;
	case TARGET_FILE:
	case TARGET_JOURNAL:
		def_problem(d, "must be a function, a queue or a topic");
		return;
	}
}

static const struct def_row rows_target[] = {
	DEF_ROW("Id", read_target_id, .required = true),
	DEF_ROW("Arn", read_target_arn, .required = true),
	DEF_REFUSED("RoleArn", DEF_NO_EFFECT("functions run as User and Group")),
	DEF_REFUSED("RetryPolicy", DEF_NO_EFFECT("what is delivered here is delivered at once; a function has its own")),
	DEF_REFUSED("DeadLetterConfig", DEF_NOT_YET),
	DEF_REFUSED("Input", DEF_NOT_YET),
	DEF_REFUSED("InputPath", DEF_NOT_YET),
	DEF_REFUSED("InputTransformer", DEF_NOT_YET),
	DEF_REFUSED("SqsParameters", DEF_NOT_YET),
	DEF_END
};

/* Ids are nobody's but the file's author's: they are checked, and not kept. */
struct ids { struct bus_rule *rule; char id[BUS_TARGETS_MAX][RULE_NAME_MAX + 1]; };

static void read_one_target(struct def *d, size_t i, const cJSON *item)
{
	struct ids *ids = d->into;
	struct target_read t = { .target = &ids->rule->targets[ids->rule->n_targets++] };
	size_t mark;

	if (!def_want(d, item, cJSON_IsObject(item), "an object"))
		return;
	d->into = &t;
	def_members(d, rows_target, item);
	d->into = ids;
	memcpy(ids->id[i], t.id, sizeof(t.id));
	for (size_t k = 0; t.id[0] && k < i; k++)
		if (strcmp(ids->id[k], t.id) == 0) {
			mark = def_path_add(&d->path, "Id");
			def_problem(d, "\"%s\" is the Id of target %zu already", t.id, k);
			def_path_cut(&d->path, mark);
			return;
		}
}

static void read_targets(struct def *d, const struct def_row *row, const cJSON *v)
{
	struct bus_rule *rule = d->into;
	struct ids ids = { .rule = rule };

	rule->targets = xcalloc(BUS_TARGETS_MAX, sizeof(*rule->targets));
	d->into = &ids;
	(void)def_each(d, v, 1, BUS_TARGETS_MAX, read_one_target);
	d->into = rule;
}

/* ---- rules ---- */

static void read_rule_name(struct def *d, const struct def_row *row, const cJSON *v)
{
	const char *s = def_string(d, v);
	struct bus_rule *r = d->into;

	if (s && def_name(d, s, RULE_CHARS, RULE_NAME_MAX))
		snprintf(r->name, sizeof(r->name), "%s", s);
}

static void read_state(struct def *d, const struct def_row *row, const cJSON *v)
{
	const char *s = def_string(d, v);

	if (s && strcmp(s, "ENABLED") == 0)
		DEF_PLACE(bool) = true;
	else if (s && strcmp(s, "DISABLED") == 0)
		DEF_PLACE(bool) = false;
	else if (s)
		def_problem(d, "must be \"ENABLED\" or \"DISABLED\"");
}

/* A rule's description is a note: struct bus_rule has no place for it. */
static void read_note(struct def *d, const struct def_row *row, const cJSON *v)
{
	const char *s = def_string(d, v);

	if (s && def_characters(s) > DESCRIPTION_MAX)
		def_problem(d, "has %zu characters, at most %d are allowed", def_characters(s), DESCRIPTION_MAX);
}

static const struct def_row rows_rule[] = {
	DEF_ROW("Name", read_rule_name, .required = true),
	DEF_ROW("Description", read_note),
	DEF_ROW("State", read_state, IN_RULE(enabled)),
	DEF_ROW("EventPattern", read_pattern, .required = true),
	DEF_ROW("Targets", read_targets, .required = true),
	DEF_REFUSED("ScheduleExpression", DEF_NOT_YET),
	DEF_REFUSED("RoleArn", DEF_NO_EFFECT("functions run as User and Group")),
	DEF_REFUSED("EventBusName", DEF_NO_EFFECT("the bus is this file's")),
	DEF_END
};

static void read_rule(struct def *d, size_t i, const cJSON *item)
{
	struct bus *b = d->into;
	struct bus_rule *r = &b->rules[b->n_rules++];

	if (!def_want(d, item, cJSON_IsObject(item), "an object"))
		return;
	r->enabled = true;
	d->into = r;
	def_members(d, rows_rule, item);
	d->into = b;
	for (size_t k = 0; r->name[0] && k < i; k++)
		if (strcmp(b->rules[k].name, r->name) == 0) {
			size_t mark = def_path_add(&d->path, "Name");

			def_problem(d, "\"%s\" is the name of $.Rules[%zu] already", r->name, k);
			def_path_cut(&d->path, mark);
			return;
		}
}

static void read_rules(struct def *d, const struct def_row *row, const cJSON *v)
{
	struct bus *b = d->into;

	b->rules = xcalloc(BUS_RULES_MAX, sizeof(*b->rules));
	(void)def_each(d, v, 0, BUS_RULES_MAX, read_rule);
}

static void read_bus_name(struct def *d, const struct def_row *row, const cJSON *v)
{
	const char *s = def_string(d, v);
	struct bus *b = d->into;

	if (s && def_name(d, s, BUS_CHARS, BUS_NAME_MAX))
		snprintf(b->name, sizeof(b->name), "%s", s);
}

static const struct def_row rows_bus[] = {
	DEF_ROW("EventBusName", read_bus_name, .required = true),
	DEF_ROW("Description", def_text, .place = offsetof(struct bus, description), .max = DESCRIPTION_MAX),
	DEF_ROW("Tags", def_tags),
	DEF_ROW("Rules", read_rules),
	DEF_REFUSED("FunctionName", "is no member of an event bus: a function has a file of its own"),
	DEF_REFUSED("TopicName", "is no member of an event bus: a topic has a file of its own"),
	DEF_REFUSED("Policy", DEF_NO_EFFECT("who may use the socket may publish")),
	DEF_REFUSED("KmsKeyIdentifier", DEF_NO_EFFECT("events stay on this host")),
	DEF_REFUSED("DeadLetterConfig", DEF_NOT_YET),
	DEF_REFUSED("EventSourceName", DEF_NOT_YET),
	DEF_REFUSED("LogConfig", DEF_NOT_YET),
	DEF_END
};

static void read_bus(struct def *d, const cJSON *object)
{
	def_members(d, rows_bus, object);
}

int bus_parse(const char *json, size_t len, struct bus **ret, struct func_problems *problems)
{
	CLEAN(bus_unrefp) struct bus *b = bus_new();
	struct def d = { .problems = problems, .into = b };
	int r = def_file(&d, json, len, read_bus);

	if (r < 0)
		return r;
	assert(b->name[0]);
	*ret = TAKE(b);
	return 0;
}

static bool one_of(char *const *list, const char *s)
{
	for (; list && *list; list++)
		if (strcmp(*list, s) == 0)
			return true;
	return false;
}

bool bus_rule_matches(const struct bus_rule *r, const char *source, const char *detail_type)
{
	return r->enabled && (!r->sources || one_of(r->sources, source)) &&
	       (!r->detail_types || one_of(r->detail_types, detail_type));
}

/* ---- what a target gets ---- */

void bus_event_build(struct buf *b, const struct bus_event *e)
{
	char iso[ISO_MS_LEN + 1];

	clock_iso_ms(e->at_ms, iso);
	buf_addf(b, "{\"version\":\"0\",\"id\":\"%s\",\"detail-type\":", e->id);
	(void)json_add_string(b, e->detail_type, strlen(e->detail_type));
	buf_adds(b, ",\"source\":");
	(void)json_add_string(b, e->source, strlen(e->source));
	/* EventBridge's times have whole seconds: without the fraction's four characters. */
	buf_addf(b, ",\"account\":\"" FATE_LOCAL_ACCOUNT "\",\"time\":\"%.*sZ\",\"region\":", ISO_MS_LEN - 5, iso);
	(void)json_add_string(b, e->region, strlen(e->region));
	buf_adds(b, ",\"resources\":[");
	for (size_t i = 0; i < e->n_resources; i++) {
		buf_adds(b, i ? "," : "");
		(void)json_add_string(b, e->resources[i], strlen(e->resources[i]));
	}
	buf_adds(b, "],\"detail\":");
	buf_add(b, e->detail, e->detail_len);
	buf_addc(b, '}');
}

const char *bus_record_detail_type(bool success)
{
	return success ? "Lambda Function Invocation Result - Success" : "Lambda Function Invocation Result - Failure";
}
