/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A topic's file → an immutable struct topic, and what a subscription receives. Both have SNS's shapes, so that a
 * subscriber written for SNS finds every member where it looks for it.
 *
 * Signatures are the exception. SNS signs what it sends over the internet, with a certificate that AWS publishes; here
 * message and subscriber are on one host, the daemon hands the text over itself, and there is nobody's certificate. The
 * members Signature, SigningCertUrl and UnsubscribeUrl are there all the same, because typed readers (Go's, Java's)
 * require them, and they are empty: a made-up value would look like a signature to whoever verifies one, an empty one
 * can only fail.
 *
 * A subscription's id is made from topic, protocol and endpoint, not drawn: the same subscription has the same ARN after
 * every reload and on every host with that file, as SNS gives the same ARN to who subscribes the same endpoint again.
 *
 * A command is a function of its own, "<topic>-<Id>": it has timeout, limits, retries and records like any other, and
 * the engine knows no third kind of subscriber. It is read by the function's own table out of the subscription's object,
 * after Protocol and Id have been taken out of it.
 */
#include "model/topic.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/json.h"
#include "base/map.h"
#include "base/mem.h"
#include "model/def_read.h"

#define ID_MAX LIM_FUNCTION_NAME_MAX
#define DISPLAY_NAME_MAX 100
#define TOPIC_CHARS DEF_ALNUM "-_"

static struct topic *topic_new(void)
{
	struct topic *t = XNEW(struct topic);

	t->refs = 1;
	t->description = xstrdup("");
	return t;
}

struct topic *topic_ref(struct topic *t)
{
	if (t)
		ref_take(&t->refs);
	return t;
}

struct topic *topic_unref(struct topic *t)
{
	if (!t || !ref_drop(&t->refs))
		return NULL;
	for (size_t i = 0; i < t->n_subs; i++)
		(void)func_unref(t->subs[i].command);
	free(t->subs);
	free(t->description);
	free(t);
	return NULL;
}

/* ---- the file ---- */

static const struct { const char *protocol; enum topic_sub_kind kind; } protocols[] = {
	{ "lambda", TOPIC_SUB_FUNCTION }, { "sqs", TOPIC_SUB_QUEUE }, { "command", TOPIC_SUB_COMMAND },
};

static const char *protocol_name(enum topic_sub_kind kind)
{
	for (size_t i = 0; i < ARRAY_SIZE(protocols); i++)
		if (protocols[i].kind == kind)
			return protocols[i].protocol;
	return "";
}

static uint64_t hash_more(uint64_t h, const char *s)	/* FNV-1a, the NUL included: "a"+"bc" is not "ab"+"c" */
{
	do
		h = (h ^ (unsigned char)*s) * 1099511628211ull;
	while (*s++);
	return h;
}

static void make_id(const char *topic, struct topic_sub *s)
{
	/* Two hashes with different beginnings, each mixed (as splitmix64 does) so that near names give far ids. */
	uint64_t h[2] = { 14695981039346656037ull, 0x9e3779b97f4a7c15ull };

	for (size_t i = 0; i < ARRAY_SIZE(h); i++) {
		h[i] = hash_more(hash_more(hash_more(h[i], topic), protocol_name(s->kind)), s->name);
		h[i] = (h[i] ^ (h[i] >> 30)) * 0xbf58476d1ce4e5b9ull;
		h[i] = (h[i] ^ (h[i] >> 27)) * 0x94d049bb133111ebull;
		h[i] ^= h[i] >> 31;
	}
	id_uuid(h, s->id);
}

static void read_topic_name(struct def *d, const struct def_row *row, const cJSON *v)
{
	const char *s = def_string(d, v);
	size_t len = s ? strlen(s) : 0;
	struct topic *t = d->into;

	if (len > 5 && strcmp(s + len - 5, ".fifo") == 0)
		def_problem(d, "FIFO topics are not supported yet");
	else if (s && def_name(d, s, TOPIC_CHARS, TOPIC_NAME_MAX))
		snprintf(t->name, sizeof(t->name), "%s", s);
}

static void read_protocol(struct def *d, const struct def_row *row, const cJSON *v)
{
	static const char *const others[] = { "http", "https", "email", "email-json", "sms", "application", "firehose" };
	const char *s = def_string(d, v);
	struct def_nearest near = { .name = s };

	for (size_t i = 0; s && i < ARRAY_SIZE(protocols); i++) {
		if (strcmp(protocols[i].protocol, s) == 0)
			return;		/* read_sub() has seen it before the walk */
		def_nearest_try(&near, protocols[i].protocol);
	}
	for (size_t i = 0; s && i < ARRAY_SIZE(others); i++)
		if (strcmp(others[i], s) == 0) {
			def_problem(d, "\"%s\" is not supported yet, only \"lambda\", \"sqs\" and \"command\"", s);
			return;
		}
	if (s && near.best)
		def_problem(d, "is no protocol; did you mean %s?", near.best);
	else if (s)
		def_problem(d, "must be \"lambda\", \"sqs\" or \"command\"");
}

static void read_endpoint(struct def *d, const struct def_row *row, const cJSON *v)
{
	struct topic_sub *sub = d->into;
	bool queue = sub->kind == TOPIC_SUB_QUEUE;
	struct target t;

	if (!def_target(d, v, &t))
		return;
	if (t.kind == TARGET_REMOTE)
		def_problem(d, "is not of this host; remote targets are not supported yet");
	else if (t.kind != (queue ? TARGET_QUEUE : TARGET_FUNCTION) && t.kind != TARGET_NAME)
		def_problem(d, "must be a %s, by protocol \"%s\"", queue ? "queue" : "function", protocol_name(sub->kind));
	else if (t.qualifier[0])	/* to be dropped in silence it would be another function's event */
		def_problem(d, "has the qualifier \"%s\": subscriptions are of $LATEST; versions and aliases are not supported yet",
			    t.qualifier);
	else if (!queue && !arn_function_name_ok(t.name))
		def_problem(d, "has %zu characters, a function name has at most %d", strlen(t.name), LIM_FUNCTION_NAME_MAX);
	else
		snprintf(sub->name, sizeof(sub->name), "%s", t.name);
}

static void read_raw(struct def *d, const struct def_row *row, const cJSON *v)
{
	const struct topic_sub *sub = d->into;

	if (sub->kind == TOPIC_SUB_QUEUE)
		def_bool(d, row, v);
	else
		def_problem(d, "is for queues: protocol \"sqs\"");
}

static const struct def_row rows_sub[] = {
	DEF_ROW("Protocol", read_protocol, .required = true),
	DEF_ROW("Endpoint", read_endpoint, .required = true),
	DEF_ROW("RawMessageDelivery", read_raw, .place = offsetof(struct topic_sub, raw)),
	DEF_REFUSED("Id", "is for commands: protocol \"command\""),
	DEF_REFUSED("Command", "is for commands: protocol \"command\""),
	DEF_REFUSED("FilterPolicy", DEF_NOT_YET),
	DEF_REFUSED("FilterPolicyScope", DEF_NOT_YET),
	DEF_REFUSED("RedrivePolicy", DEF_NOT_YET),
	DEF_REFUSED("ReplayPolicy", DEF_NOT_YET),
	DEF_REFUSED("DeliveryPolicy", DEF_NO_EFFECT("what is delivered here is delivered at once and for good")),
	DEF_REFUSED("SubscriptionRoleArn", DEF_NO_EFFECT("functions run as User and Group")),
	DEF_REFUSED("Region", DEF_NO_EFFECT("the region is this host's")),
	DEF_REFUSED("TopicArn", DEF_NO_EFFECT("the topic is this file's")),
	DEF_END
};

/* Takes all members of one name out of the object; a second one, and one that is missing, are problems. */
static cJSON *take_member(struct def *d, cJSON *object, const char *name)
{
	cJSON *first = cJSON_DetachItemFromObjectCaseSensitive(object, name), *again;
	size_t mark = def_path_add(&d->path, name);

	if (!first)
		def_problem(d, "is missing");
	while ((again = cJSON_DetachItemFromObjectCaseSensitive(object, name))) {
		def_problem(d, "is given twice");
		cJSON_Delete(again);
	}
	def_path_cut(&d->path, mark);
	return first;
}

/* "<topic>-<Id>" into the subscription's name; false and a problem when that is no function name. */
static bool command_name(struct def *d, const char *topic, struct topic_sub *sub, const cJSON *id)
{
	size_t mark = def_path_add(&d->path, "Id");
	const char *s = id ? def_string(d, id) : NULL;
	bool ok = s && def_name(d, s, TOPIC_CHARS, ID_MAX);

	if (ok && strlen(topic) + 1 + strlen(s) > LIM_FUNCTION_NAME_MAX) {
		def_problem(d, "makes the function name \"%s-%s\" of %zu characters, at most %d are allowed", topic, s,
			    strlen(topic) + 1 + strlen(s), LIM_FUNCTION_NAME_MAX);
		ok = false;
	}
	if (ok)
		snprintf(sub->name, sizeof(sub->name), "%s-%s", topic, s);
	def_path_cut(&d->path, mark);
	return ok;
}

static void read_command_sub(struct def *d, const char *topic, struct topic_sub *sub, cJSON *object)
{
	CLEAN(cJSON_Deletep) cJSON *id = NULL;
	bool ok;

	cJSON_Delete(take_member(d, object, "Protocol"));
	id = take_member(d, object, "Id");
	ok = command_name(d, topic, sub, id);
	if (cJSON_GetObjectItemCaseSensitive(object, "FunctionName")) {
		size_t mark = def_path_add(&d->path, "FunctionName");

		def_problem(d, "is made from TopicName and Id; remove it");
		def_path_cut(&d->path, mark);
		cJSON_DeleteItemFromObjectCaseSensitive(object, "FunctionName");
	}
	/* With a bad name any will do: the rest is read for its problems. */
	cJSON_AddStringToObject(object, "FunctionName", ok ? sub->name : "command");
	(void)def_function(d, object, &sub->command);
}

static enum topic_sub_kind sub_kind(const cJSON *object)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(object, "Protocol");

	for (size_t i = 0; i < ARRAY_SIZE(protocols) && cJSON_IsString(v); i++)
		if (strcmp(protocols[i].protocol, v->valuestring) == 0)
			return protocols[i].kind;
	return TOPIC_SUB_FUNCTION;
}

static void read_sub(struct def *d, size_t i, const cJSON *item)
{
	struct topic *t = d->into;
	struct topic_sub *sub = &t->subs[t->n_subs++];

	if (!def_want(d, item, cJSON_IsObject(item), "an object"))
		return;
	sub->kind = sub_kind(item);
	if (sub->kind == TOPIC_SUB_COMMAND) {
		/* The tree is ours, and nobody reads this object again. */
		read_command_sub(d, t->name, sub, (cJSON *)item);
	} else {
		d->into = sub;
		def_members(d, rows_sub, item);
		d->into = t;
	}
	if (!sub->name[0])
		return;
	for (size_t k = 0; k < i; k++)
		if (t->subs[k].kind == sub->kind && strcmp(t->subs[k].name, sub->name) == 0) {
			def_problem(d, "is the subscription of $.Subscriptions[%zu] again", k);
			return;
		}
	make_id(t->name, sub);
}

static void read_subs(struct def *d, const struct def_row *row, const cJSON *v)
{
	struct topic *t = d->into;

	t->subs = xcalloc(TOPIC_SUBS_MAX, sizeof(*t->subs));
	(void)def_each(d, v, 0, TOPIC_SUBS_MAX, read_sub);
}

#define FIELD(m) .place = offsetof(struct topic, m)

/* The name is read before the walk: subscriptions are named after it. */
static void read_nothing(struct def *d, const struct def_row *row, const cJSON *v)
{
}

static const struct def_row rows_topic[] = {
	DEF_ROW("TopicName", read_nothing, .required = true),
	DEF_ROW("Description", def_text, FIELD(description), .max = DEF_DESCRIPTION_MAX),
	DEF_ROW("Tags", def_tags),
	DEF_ROW("Subscriptions", read_subs),
	DEF_REFUSED("FunctionName", "is no member of a topic: a function has a file of its own"),
	DEF_REFUSED("EventBusName", "is no member of a topic: an event bus has a file of its own"),
	DEF_REFUSED("DisplayName", DEF_NO_EFFECT("nothing is sent to telephones or mailboxes")),
	DEF_REFUSED("KmsMasterKeyId", DEF_NO_EFFECT("messages stay on this host")),
	DEF_REFUSED("SignatureVersion", DEF_NO_EFFECT("messages stay on this host and are not signed")),
	DEF_REFUSED("Policy", DEF_NO_EFFECT("who may use the socket may publish")),
	DEF_REFUSED("DeliveryStatusLogging", DEF_NO_EFFECT("what is delivered here is delivered at once and for good")),
	DEF_REFUSED("FifoTopic", DEF_NOT_YET),
	DEF_REFUSED("FifoThroughputScope", DEF_NOT_YET),
	DEF_REFUSED("ContentBasedDeduplication", DEF_NOT_YET),
	DEF_REFUSED("ArchivePolicy", DEF_NOT_YET),
	DEF_REFUSED("DataProtectionPolicy", DEF_NOT_YET),
	DEF_REFUSED("TracingConfig", DEF_NOT_YET),
	DEF_END
};

static void read_root(struct def *d, const cJSON *root)
{
	const cJSON *name = cJSON_GetObjectItemCaseSensitive(root, "TopicName");
	size_t mark = def_path_add(&d->path, "TopicName");

	if (name)
		read_topic_name(d, NULL, name);
	def_path_cut(&d->path, mark);
	def_members(d, rows_topic, root);
}

int topic_parse(const char *json, size_t len, struct topic **ret, struct func_problems *problems)
{
	CLEAN(topic_unrefp) struct topic *t = topic_new();
	struct def d = { .problems = problems, .into = t };
	int r = def_file(&d, json, len, read_root);

	if (r < 0)
		return r;
	assert(t->name[0]);
	*ret = TAKE(t);
	return 0;
}

/* ---- what a subscription gets ---- */

static void member(struct buf *b, const char *name, const char *value)
{
	buf_addf(b, ",\"%s\":", name);
	(void)json_add_string(b, value, strlen(value));
}

/* The members that both shapes have; after another member. */
static void common(struct buf *b, const struct topic_message *m, const char *arn)
{
	char iso[ISO_MS_LEN + 1];

	member(b, "MessageId", m->message_id);
	member(b, "TopicArn", arn);
	if (m->subject)
		member(b, "Subject", m->subject);
	else if (m->sub->kind != TOPIC_SUB_QUEUE)
		buf_adds(b, ",\"Subject\":null");
	buf_adds(b, ",\"Message\":");
	if (m->quoted)
		buf_add(b, m->quoted->data, m->quoted->len);
	else
		(void)json_add_string(b, m->message, m->message_len);
	member(b, "Timestamp", clock_iso_ms(m->at_ms, iso));
	buf_adds(b, ",\"SignatureVersion\":\"1\",\"Signature\":\"\"");
}

void topic_message_build(struct buf *b, const struct topic_message *m)
{
	char arn[LIM_ARN_MAX + 1];

	if (m->sub->kind == TOPIC_SUB_QUEUE && m->sub->raw) {
		buf_add(b, m->message, m->message_len);
		return;
	}
	arn_format_target(arn, sizeof(arn), m->region, TARGET_TOPIC, m->topic->name);
	if (m->sub->kind == TOPIC_SUB_QUEUE) {
		buf_adds(b, "{\"Type\":\"Notification\"");
		common(b, m, arn);
		buf_adds(b, ",\"SigningCertURL\":\"\",\"UnsubscribeURL\":\"\"");
		if (m->attributes)
			buf_addf(b, ",\"MessageAttributes\":%s", m->attributes);
		buf_addc(b, '}');
		return;
	}
	buf_addf(b, "{\"Records\":[{\"EventSource\":\"aws:sns\",\"EventVersion\":\"1.0\",\"EventSubscriptionArn\":\"%s:%s\"", arn,
		 m->sub->id);
	buf_adds(b, ",\"Sns\":{\"Type\":\"Notification\"");
	common(b, m, arn);
	buf_addf(b, ",\"SigningCertUrl\":\"\",\"UnsubscribeUrl\":\"\",\"MessageAttributes\":%s}}]}",
		 m->attributes ? m->attributes : "{}");
}
