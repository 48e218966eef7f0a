/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Topics and buses: their files are written by people and read by a root daemon; what they fan out is written by whoever
 * may publish. Any text gives a topic or bus within its bounds, or problems, never both. Any message gives every
 * subscriber one JSON text with the message in it, or, raw, the message itself; any detail gives EventBridge's envelope.
 *
 * The input: the file, up to an 0x1e (which no JSON has unescaped), then the length and bytes of a subject, and the message.
 */
#include "base/buf.h"
#include "base/json.h"
#include "fuzz/fuzz.h"
#include "model/bus.h"
#include "model/topic.h"

#define ID "8f5e0c8a-1111-4222-8333-444455556666"
#define REGION "us-east-1"
#define ATTRIBUTES "{\"k\":{\"Type\":\"String\",\"Value\":\"}\"}}"
#define AT_MS 1795478400123LL

struct published { char subject[101]; char *message; size_t len; };

static bool is(const char *a, size_t a_len, const char *b, size_t b_len)
{
	return a_len == b_len && (!a_len || memcmp(a, b, a_len) == 0);
}

static void check_problems(int r, bool given, struct func_problems *problems)
{
	MUST((r == 0) == given && (r == 0) == (problems->n == 0));
	for (size_t i = 0; i < problems->n; i++) {
		struct buf b = {};

		MUST(problems->list[i].path[0] == '$' && problems->list[i].reason[0]);
		/* Paths are text whatever the names were. */
		MUST(json_add_string(&b, problems->list[i].path, strlen(problems->list[i].path)) == 0);
		buf_done(&b);
	}
	func_problems_done(problems);
}

/* ---- topics ---- */

static void check_sub(const struct topic *t, size_t i)
{
	const struct topic_sub *s = &t->subs[i];

	MUST(s->name[0] && strlen(s->id) == 36 && (!s->raw || s->kind == TOPIC_SUB_QUEUE));
	MUST((s->kind == TOPIC_SUB_COMMAND) == (s->command != NULL));
	MUST(s->kind == TOPIC_SUB_QUEUE || arn_function_name_ok(s->name));
	MUST(!s->command || (strcmp(s->command->name, s->name) == 0 && s->command->command[0][0] == '/'));
	for (size_t k = 0; k < i; k++)
		MUST(strcmp(t->subs[k].id, s->id) != 0);
}

/* The member of a JSON object that must be there. */
static struct input member(struct input object, const char *name)
{
	const char *at;
	size_t len;

	MUST(json_member((const char *)object.at, object.left, name, &at, &len));
	return (struct input){ (const uint8_t *)at, len };
}

static void check_message(const struct topic_message *m, const struct buf *got)
{
	struct input shape = { (const uint8_t *)got->data, got->len };
	struct buf want = {}, decoded = {};
	bool is_text;

	MUST(json_valid(got->data, got->len, NULL));
	if (m->sub->kind != TOPIC_SUB_QUEUE) {
		shape = member(shape, "Records");
		MUST(shape.left > 2 && shape.at[0] == '[' && shape.at[shape.left - 1] == ']');
		shape = member((struct input){ shape.at + 1, shape.left - 2 }, "Sns");
	}
	shape = member(shape, "Message");
	is_text = json_add_string(&want, m->message, m->message_len) == 0;
	MUST(is((const char *)shape.at, shape.left, want.data, want.len));
	json_add_decoded(&decoded, (const char *)shape.at, shape.left);
	MUST(!is_text || is(decoded.data, decoded.len, m->message, m->message_len));
	buf_done(&want);
	buf_done(&decoded);
}

static void publish_topic(const struct topic *t, const struct published *p)
{
	MUST(t->name[0] && strlen(t->name) <= TOPIC_NAME_MAX && t->description && t->n_subs <= TOPIC_SUBS_MAX);
	for (size_t i = 0; i < t->n_subs; i++) {
		struct topic_message m = {
			.topic = t, .sub = &t->subs[i], .region = REGION, .message_id = ID, .at_ms = AT_MS,
			.subject = p->subject[0] ? p->subject : NULL, .message = p->message, .message_len = p->len,
			.attributes = p->len % 2 ? ATTRIBUTES : NULL,
		};
		struct buf b = {};

		check_sub(t, i);
		topic_message_build(&b, &m);
		if (t->subs[i].raw)
			MUST(is(b.data, b.len, p->message, p->len));
		else
			check_message(&m, &b);
		buf_done(&b);
	}
}

/* ---- buses ---- */

/* Longer than a value of a pattern may be: no rule can name it. */
static const char *nobody(void)
{
	static char s[300];

	memset(s, 'x', sizeof(s) - 1);
	return s;
}

static void check_rule(const struct bus_rule *r)
{
	const char *source = r->sources ? r->sources[0] : nobody(), *type = r->detail_types ? r->detail_types[0] : nobody();

	MUST(r->name[0] && r->n_targets >= 1 && r->n_targets <= BUS_TARGETS_MAX);
	MUST(source && type && (r->sources || r->detail_types));
	for (size_t i = 0; i < r->n_targets; i++) {
		enum target_kind kind = r->targets[i].kind;

		MUST(kind == TARGET_FUNCTION || kind == TARGET_QUEUE || kind == TARGET_NAME || kind == TARGET_TOPIC);
	}
	MUST(bus_rule_matches(r, source, type) == r->enabled);
	MUST(bus_rule_matches(r, nobody(), type) == (r->enabled && !r->sources));
	MUST(bus_rule_matches(r, source, nobody()) == (r->enabled && !r->detail_types));
}

static void put_event(const char *source, const char *detail_type, const struct published *p)
{
	const char *const resources[] = { source, p->subject };
	bool is_detail = json_valid(p->message, p->len, NULL) && json_is_object(p->message, p->len);
	struct bus_event e = { .id = ID, .source = source, .detail_type = detail_type, .region = REGION, .at_ms = AT_MS,
			       .resources = resources, .n_resources = p->len % 3, .detail = is_detail ? p->message : "{}",
			       .detail_len = is_detail ? p->len : 2 };
	struct input detail;
	struct buf b = {};

	bus_event_build(&b, &e);
	MUST(json_valid(b.data, b.len, NULL));
	detail = member((struct input){ (const uint8_t *)b.data, b.len }, "detail");
	MUST(detail.left >= 2 && memmem(e.detail, e.detail_len, detail.at, detail.left));
	buf_done(&b);
}

static void publish_bus(const struct bus *b, const struct published *p)
{
	MUST(b->name[0] && strlen(b->name) <= BUS_NAME_MAX && b->description && b->n_rules <= BUS_RULES_MAX);
	put_event(p->subject, b->description, p);
	for (size_t i = 0; i < b->n_rules; i++) {
		const struct bus_rule *r = &b->rules[i];

		check_rule(r);
		MUST(!bus_rule_matches(r, p->subject, p->subject) || r->enabled);
		put_event(r->sources ? r->sources[0] : p->subject, r->detail_types ? r->detail_types[0] : p->subject, p);
		for (size_t k = 0; k < i; k++)
			MUST(strcmp(b->rules[k].name, r->name) != 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = size ? memchr(data, 0x1e, size) : NULL;
	struct input in = { data, size };
	size_t len = end ? (size_t)(end - data) : size;
	struct func_problems of_topic = {}, of_bus = {};
	char *text = take_rest(&in, len);
	struct published p = {};
	struct topic *t = NULL;
	struct bus *b = NULL;
	int r;

	if (end)
		(void)take_number(&in, 1);
	take_string(&in, p.subject, sizeof(p.subject));
	p.len = in.left;
	p.message = take_rest(&in, p.len);

	r = topic_parse(text, len, &t, &of_topic);
	check_problems(r, t != NULL, &of_topic);
	r = bus_parse(text, len, &b, &of_bus);
	check_problems(r, b != NULL, &of_bus);
	MUST(!t || !b);
	if (t)
		publish_topic(t, &p);
	if (b)
		publish_bus(b, &p);
	topic_unref(t);
	bus_unref(b);
	free(text);
	free(p.message);
	return 0;
}
