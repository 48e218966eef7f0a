/* SPDX-License-Identifier: Apache-2.0 */
/* Topics in force, in the words of their files and of SNS. A command's own members are its function's: see there. */
#include <string.h>

#include "api/api_int.h"

static void subscription_json(struct buf *b, const struct topic *t, const struct topic_sub *s, const char *topic_arn)
{
	CLEAN(buf_done) struct buf arn = {};

	buf_addf(&arn, "%s:%s", topic_arn, s->id);
	buf_addc(b, '{');
	api_json_str(b, "SubscriptionArn", buf_str(&arn));
	switch (s->kind) {
	case TOPIC_SUB_FUNCTION:
		api_json_str(b, "Protocol", "lambda");
		api_json_str(b, "Endpoint", s->name);
		break;
	case TOPIC_SUB_QUEUE:
		api_json_str(b, "Protocol", "sqs");
		api_json_str(b, "Endpoint", s->name);
		api_json_bool(b, "RawMessageDelivery", s->raw);
		break;
	case TOPIC_SUB_COMMAND:
		api_json_str(b, "Protocol", "command");
		api_json_str(b, "Id", s->name + strlen(t->name) + 1);	/* "<topic>-<Id>" */
		api_json_str(b, "FunctionName", s->name);
		break;
	}
	buf_addc(b, '}');
}

static void topic_json(struct api_call *c, struct buf *b, const struct topic *t)
{
	char arn[LIM_ARN_MAX + 1];

	arn_format_target(arn, sizeof(arn), c->a->ctx.region, TARGET_TOPIC, t->name);
	buf_addc(b, '{');
	api_json_str(b, "TopicName", t->name);
	api_json_str(b, "TopicArn", arn);
	api_json_opt(b, "Description", t->description);
	api_json_key(b, "Subscriptions");
	buf_addc(b, '[');
	for (size_t i = 0; i < t->n_subs; i++) {
		api_json_next(b);
		subscription_json(b, t, &t->subs[i], arn);
	}
	buf_adds(b, "]}");
}

void api_topics(struct api_call *c)
{
	CLEAN(buf_done) struct buf b = {};
	struct topic *const *list;
	size_t n = registry_topics(intake_registry(c->a->ctx.engine), &list);

	buf_adds(&b, "{\"topics\":[");
	for (size_t i = 0; i < n; i++) {
		api_json_next(&b);
		topic_json(c, &b, list[i]);
	}
	buf_adds(&b, "]}");
	api_answer_json(c, 200, &b);
}

void api_topic(struct api_call *c)
{
	CLEAN(buf_done) struct buf b = {};
	struct target target = {};
	const char *name = api_param_target(c, TARGET_TOPIC, &target);
	const struct topic *t = name ? registry_topic(intake_registry(c->a->ctx.engine), name) : NULL;

	if (!t) {
		api_fail(c, API_NOT_FOUND, "Topic not found: %s", c->param[0]);
		return;
	}
	topic_json(c, &b, t);
	api_answer_json(c, 200, &b);
}
