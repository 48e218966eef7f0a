/* SPDX-License-Identifier: Apache-2.0 */
/* Topics' files: what is taken and where it goes, and for what is refused, path and reason. */
#include "model/topic.h"

#include <errno.h>

#include "base/id.h"
#include "base/mem.h"
#include "unit/test_def_rig.h"

#define ACCT "000000000000"

static struct topic *last;

static bool rig_parse(const char *json, size_t len, struct func_problems *p)
{
	int r;

	last = topic_unref(last);
	r = topic_parse(json, len, &last, p);
	return r == 0 && last;
}

static const struct topic *good(const char *json)
{
	if (!rig_good(json, strlen(json)))
		FAIL("%.400s: %.400s", json, rig_problems);
	return last;
}

static const char *with(const char *members)
{
	static char text[8192];

	snprintf(text, sizeof(text), "{\"TopicName\":\"t\"%s%s}", *members ? "," : "", members);
	return text;
}

static const char *sub(const char *members)
{
	static char text[8192];

	snprintf(text, sizeof(text), "{\"TopicName\":\"t\",\"Subscriptions\":[{%s}]}", members);
	return text;
}

static const char everything[] =
"{\"TopicName\": \"al_erts-2\", \"Description\": \"what went wrong\", \"Tags\": {\"team\": \"x\"},\n"
" \"Subscriptions\": [\n"
"  {\"Protocol\": \"lambda\", \"Endpoint\": \"notify\"},\n"
"  {\"Protocol\": \"lambda\", \"Endpoint\": \"arn:aws:lambda:us-east-1:" ACCT ":function:other\"},\n"
"  {\"Endpoint\": \"queue:inbox\", \"RawMessageDelivery\": true, \"Protocol\": \"sqs\"},\n"
"  {\"Protocol\": \"sqs\", \"Endpoint\": \"arn:aws:sqs:us-east-1:" ACCT ":notify\"},\n"
"  {\"Command\": [\"/usr/bin/mailit\", \"-v\"], \"Timeout\": 7, \"Protocol\": \"command\", \"Id\": \"mail\", \"User\": \"mail\",\n"
"   \"EventInvokeConfig\": {\"MaximumRetryAttempts\": 0, \"DestinationConfig\": {\"OnFailure\": {\"Destination\": "
"\"queue:lost\"}}}}]}\n";

static void every_member(void)
{
	const struct topic *t = good(everything);

	CHECK_STR(t->name, "al_erts-2");
	CHECK_STR(t->description, "what went wrong");
	CHECK_INT(t->refs, 1);
	CHECK_INT(t->n_subs, 5);
	CHECK_INT(t->subs[0].kind, TOPIC_SUB_FUNCTION);
	CHECK_STR(t->subs[0].name, "notify");
	CHECK(!t->subs[0].raw && !t->subs[0].command);
	CHECK_STR(t->subs[1].name, "other");
	CHECK_INT(t->subs[2].kind, TOPIC_SUB_QUEUE);
	CHECK_STR(t->subs[2].name, "inbox");
	CHECK(t->subs[2].raw);
	CHECK_INT(t->subs[3].kind, TOPIC_SUB_QUEUE);
	CHECK(!t->subs[3].raw);
	CHECK_INT(t->subs[4].kind, TOPIC_SUB_COMMAND);
	CHECK_STR(t->subs[4].name, "al_erts-2-mail");
	CHECK_STR(t->subs[4].command->name, "al_erts-2-mail");
	CHECK_STR(t->subs[4].command->command[1], "-v");
	CHECK_STR(t->subs[4].command->user, "mail");
	CHECK_INT(t->subs[4].command->timeout_ms, 7000);
	CHECK_INT(t->subs[4].command->retries_max, 0);
	CHECK_STR(t->subs[4].command->on_failure.name, "lost");
}

static void least(void)
{
	CHECK_STR(good(with(""))->description, "");
	CHECK_INT(last->n_subs, 0);
	CHECK_INT(good(with("\"Subscriptions\":[]"))->n_subs, 0);
}

/* An id is the same as long as topic, protocol and endpoint are, and differs when one of them does. */
static void ids(void)
{
	static const char *const texts[] = {
		"{\"TopicName\":\"t\",\"Subscriptions\":[{\"Protocol\":\"lambda\",\"Endpoint\":\"a\"}]}",
		"{\"TopicName\":\"u\",\"Subscriptions\":[{\"Protocol\":\"lambda\",\"Endpoint\":\"a\"}]}",
		"{\"TopicName\":\"t\",\"Subscriptions\":[{\"Protocol\":\"sqs\",\"Endpoint\":\"a\"}]}",
		"{\"TopicName\":\"t\",\"Subscriptions\":[{\"Protocol\":\"lambda\",\"Endpoint\":\"b\"}]}",
		"{\"TopicName\":\"t\",\"Subscriptions\":[{\"Protocol\":\"command\",\"Id\":\"a\",\"Command\":\"/x\"}]}",
	};
	char id[ARRAY_SIZE(texts)][37];

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		snprintf(id[i], sizeof(id[i]), "%s", good(texts[i])->subs[0].id);
		CHECK(id_is_uuid(id[i]) && id[i][14] == '4');
		for (size_t k = 0; k < i; k++)
			CHECK(strcmp(id[i], id[k]) != 0);
	}
	good("{\"TopicName\":\"t\",\"Description\":\"d\",\"Subscriptions\":[{\"Protocol\":\"sqs\",\"Endpoint\":\"q\"},"
	     "{\"Endpoint\":\"arn:aws:lambda:us-east-1:" ACCT ":function:a\",\"Protocol\":\"lambda\"}]}");
	CHECK_STR(last->subs[1].id, id[0]);
}

static void names(void)
{
	char text[600];

	snprintf(text, sizeof(text), "{\"TopicName\":\"%s\"}", repeat('t', 256));
	CHECK_INT(strlen(good(text)->name), 256);
	snprintf(text, sizeof(text), "{\"TopicName\":\"%s\"}", repeat('t', 257));
	rig_one_problem(text, "$.TopicName", "has 257 characters, at most 256");
	rig_one_problem("{\"TopicName\":\"\"}", "$.TopicName", "is empty");
	rig_one_problem("{\"TopicName\":\"a.b\"}", "$.TopicName", "letters, digits and -_ only");
	rig_one_problem("{\"TopicName\":\"t.fifo\"}", "$.TopicName", "FIFO topics are not supported yet");
	rig_one_problem("{\"TopicName\":1}", "$.TopicName", "must be a string, is a number");
	rig_one_problem("{\"TopicName\":\"t\",\"TopicName\":\"t\"}", "$.TopicName", "is given twice");
	rig_one_problem("{\"Subscriptions\":[]}", "$.TopicName", "is missing");
	rig_one_problem("[]", "$", "must be an object, is a list");
	rig_one_problem("{", "$", "ends too early");
}

static void members_refused(void)
{
	rig_one_problem(with("\"Subscription\":[]"), "$.Subscription", "did you mean Subscriptions?");
	rig_one_problem(with("\"FunctionName\":\"f\""), "$.FunctionName", "a file of its own");
	rig_one_problem(with("\"EventBusName\":\"b\""), "$.EventBusName", "a file of its own");
	rig_one_problem(with("\"FifoTopic\":true"), "$.FifoTopic", "not supported yet");
	rig_one_problem(with("\"KmsMasterKeyId\":\"x\""), "$.KmsMasterKeyId", "has no effect on this host");
	rig_one_problem(with("\"Description\":1"), "$.Description", "must be a string");
	rig_one_problem(with("\"Subscriptions\":{}"), "$.Subscriptions", "must be a list, is an object");
	rig_one_problem(with("\"Subscriptions\":[1]"), "$.Subscriptions[0]", "must be an object, is a number");
}

static void subscriptions_refused(void)
{
	static const struct { const char *members, *path, *word; } rows[] = {
		{ "\"Endpoint\":\"f\"", "Protocol", "is missing" },
		{ "\"Protocol\":\"lambda\"", "Endpoint", "is missing" },
		{ "\"Protocol\":\"lamda\",\"Endpoint\":\"f\"", "Protocol", "did you mean lambda?" },
		{ "\"Protocol\":\"xyzzy\",\"Endpoint\":\"f\"", "Protocol", "must be \"lambda\", \"sqs\" or \"command\"" },
		{ "\"Protocol\":\"https\",\"Endpoint\":\"f\"", "Protocol", "\"https\" is not supported yet" },
		{ "\"Protocol\":null,\"Endpoint\":\"f\"", "Protocol", "must be a string, is null" },
		{ "\"Protocol\":\"sqs\\u0000\",\"Endpoint\":\"f\"", "Protocol", "NUL" },
		{ "\"Protocol\":\"lambda\",\"Endpoint\":\"queue:q\"", "Endpoint", "must be a function, by protocol \"lambda\"" },
		{ "\"Protocol\":\"lambda\",\"Endpoint\":\"topic:t\"", "Endpoint", "must be a function" },
		{ "\"Protocol\":\"lambda\",\"Endpoint\":\"\"", "Endpoint", "must be a function" },
		{ "\"Protocol\":\"sqs\",\"Endpoint\":\"function:f\"", "Endpoint", "must be a queue, by protocol \"sqs\"" },
		{ "\"Protocol\":\"sqs\",\"Endpoint\":\"file:/x\"", "Endpoint", "must be a queue" },
		{ "\"Protocol\":\"sqs\",\"Endpoint\":\"q.fifo\"", "Endpoint", "FIFO" },
		{ "\"Protocol\":\"lambda\",\"Endpoint\":\"arn:aws:lambda:us-east-1:" ACCT ":function:f:3\"", "Endpoint",
		  "has the qualifier \"3\"" },
		{ "\"Protocol\":\"lambda\",\"Endpoint\":\"function:f:live\"", "Endpoint", "has the qualifier \"live\"" },
		{ "\"Protocol\":\"sqs\",\"Endpoint\":\"arn:aws:sqs:us-east-1:123456789012:q\"", "Endpoint", "remote targets" },
		{ "\"Protocol\":\"lambda\",\"Endpoint\":\"a b\"", "Endpoint", "no queue name" },
		{ "\"Protocol\":\"lambda\",\"Endpoint\":\"f\",\"RawMessageDelivery\":true", "RawMessageDelivery", "is for queues" },
		{ "\"Protocol\":\"sqs\",\"Endpoint\":\"f\",\"RawMessageDelivery\":\"true\"", "RawMessageDelivery",
		  "must be true or false" },
		{ "\"Protocol\":\"sqs\",\"Endpoint\":\"f\",\"Id\":\"x\"", "Id", "is for commands" },
		{ "\"Protocol\":\"sqs\",\"Endpoint\":\"f\",\"Command\":\"/x\"", "Command", "is for commands" },
		{ "\"Protocol\":\"sqs\",\"Endpoint\":\"f\",\"FilterPolicy\":{}", "FilterPolicy", "not supported yet" },
		{ "\"Protocol\":\"sqs\",\"Endpoint\":\"f\",\"DeliveryPolicy\":{}", "DeliveryPolicy", "no effect on this host" },
		{ "\"Protocol\":\"sqs\",\"Endpont\":\"f\",\"Endpoint\":\"f\"", "Endpont", "did you mean Endpoint?" },
		{ "\"Protocol\":\"command\",\"Command\":\"/x\"", "Id", "is missing" },
		{ "\"Protocol\":\"command\",\"Id\":\"m\"", "Command", "is missing" },
		{ "\"Protocol\":\"command\",\"Id\":\"\",\"Command\":\"/x\"", "Id", "is empty" },
		{ "\"Protocol\":\"command\",\"Id\":\"a.b\",\"Command\":\"/x\"", "Id", "letters, digits" },
		{ "\"Protocol\":\"command\",\"Id\":7,\"Command\":\"/x\"", "Id", "must be a string" },
		{ "\"Protocol\":\"command\",\"Id\":\"m\",\"Id\":\"m\",\"Command\":\"/x\"", "Id", "is given twice" },
		{ "\"Protocol\":\"command\",\"Protocol\":\"sqs\",\"Id\":\"m\",\"Command\":\"/x\"", "Protocol", "is given twice" },
		{ "\"Protocol\":\"command\",\"Id\":\"m\",\"Command\":\"x\"", "Command", "absolute path" },
		{ "\"Protocol\":\"command\",\"Id\":\"m\",\"Command\":\"/x\",\"FunctionName\":\"m\"", "FunctionName",
		  "is made from TopicName and Id" },
		{ "\"Protocol\":\"command\",\"Id\":\"m\",\"Command\":\"/x\",\"Endpoint\":\"m\"", "Endpoint", "no known member" },
		{ "\"Protocol\":\"command\",\"Id\":\"m\",\"Command\":\"/x\",\"Timeout\":901", "Timeout", "is 901" },
		{ "\"Protocol\":\"command\",\"Id\":\"m\",\"Command\":\"/x\",\"RetryPolicy\":{\"Crash\":{}}",
		  "RetryPolicy.Crash.Attempts", "is missing" },
		{ "\"Protocol\":\"command\",\"Id\":\"m\",\"Command\":\"/x\","
		  "\"DestinationConfig\":{\"OnFailure\":{\"Destination\":\"t-m\"}}",
		  "DestinationConfig.OnFailure.Destination", "as a destination for itself" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char path[200];

		snprintf(path, sizeof(path), "$.Subscriptions[0].%s", rows[i].path);
		rig_one_problem(sub(rows[i].members), path, rows[i].word);
	}
	{
		char text[200];

		snprintf(text, sizeof(text), "\"Protocol\":\"lambda\",\"Endpoint\":\"%s\"", repeat('f', 65));
		rig_one_problem(sub(text), "$.Subscriptions[0].Endpoint", "has 65 characters, a function name has at most 64");
	}
}

/* Topic and Id together must be a function's name: 64 characters. */
static void command_names(void)
{
	char text[400];

	snprintf(text, sizeof(text), "\"Protocol\":\"command\",\"Command\":\"/x\",\"Id\":\"%s\"", repeat('i', 62));
	CHECK_INT(strlen(good(sub(text))->subs[0].command->name), 64);
	snprintf(text, sizeof(text), "\"Protocol\":\"command\",\"Command\":\"/x\",\"Id\":\"%s\"", repeat('i', 63));
	rig_one_problem(sub(text), "$.Subscriptions[0].Id", "of 65 characters, at most 64");
}

static void twice(void)
{
	rig_one_problem(with("\"Subscriptions\":[{\"Protocol\":\"sqs\",\"Endpoint\":\"q\"},{\"Protocol\":\"lambda\","
			     "\"Endpoint\":\"q\"},{\"Protocol\":\"sqs\",\"Endpoint\":\"queue:q\",\"RawMessageDelivery\":true}]"),
			"$.Subscriptions[2]", "is the subscription of $.Subscriptions[0] again");
	rig_one_problem(with("\"Subscriptions\":[{\"Protocol\":\"command\",\"Id\":\"m\",\"Command\":\"/x\"},"
			     "{\"Protocol\":\"command\",\"Id\":\"m\",\"Command\":\"/y\"}]"),
			"$.Subscriptions[1]", "$.Subscriptions[0] again");
}

static void counts(void)
{
	for (int over = 0; over < 2; over++) {
		char text[8192] = "\"Subscriptions\":[";

		for (int i = 0; i < 100 + over; i++)
			snprintf(text + strlen(text), 60, "%s{\"Protocol\":\"sqs\",\"Endpoint\":\"q%d\"}", i ? "," : "", i);
		snprintf(text + strlen(text), 2, "]");
		if (over)
			rig_one_problem(with(text), "$.Subscriptions", "has 101 entries");
		else
			CHECK_INT(good(with(text))->n_subs, 100);
	}
}

static void all_at_once(void)
{
	static const char json[] = "{\"Nonsense\":1,\"TopicName\":\"t.fifo\",\"Subscriptions\":[{\"Protocol\":\"sqs\"},"
		"{\"Protocol\":\"command\",\"Id\":\"a b\",\"Timeout\":0},{\"Protocol\":\"lambda\",\"Endpoint\":\"f\"}]}";

	CHECK(!rig_good(json, strlen(json)));
	CHECK_STR(rig_problems, "$.TopicName: FIFO topics are not supported yet\n"
		  "$.Nonsense: is no known member\n"
		  "$.Subscriptions[0].Endpoint: is missing\n"
		  "$.Subscriptions[1].Id: may have letters, digits and -_ only\n"
		  "$.Subscriptions[1].Timeout: is 0, must be from 0.001 to 900 seconds\n"
		  "$.Subscriptions[1].Command: is missing\n");
}

static void references(void)
{
	struct topic *t = (struct topic *)good(everything);

	CHECK(topic_ref(NULL) == NULL);
	CHECK(topic_unref(NULL) == NULL);
	CHECK(topic_ref(t) == t);
	CHECK_INT(t->refs, 2);
	CHECK(topic_unref(t) == NULL);
	CHECK_INT(t->refs, 1);
}

static void mutations(void)
{
	rig_mutations(everything);
}

int main(void)
{
	RUN(every_member);
	RUN(least);
	RUN(ids);
	RUN(names);
	RUN(members_refused);
	RUN(subscriptions_refused);
	RUN(command_names);
	RUN(twice);
	RUN(counts);
	RUN(all_at_once);
	RUN(references);
	RUN(mutations);
	topic_unref(last);
	TEST_END();
}
