/* SPDX-License-Identifier: Apache-2.0 */
/* What subscriptions of a topic and targets of a bus receive, to the letter; SNS's event member by member, too. */
#include <cjson/cJSON.h>

#include "base/json.h"
#include "base/mem.h"
#include "lib/test.h"
#include "model/bus.h"
#include "model/topic.h"

#define ID "95df01b4-ee98-4cb9-9903-4c221d41eb5e"
#define SUB_NOTIFY "218bd16a-c61d-48da-a5c4-d2c2a11f114e"
#define SUB_MAIL "892bdc66-10d8-40c1-b8cf-1f0d826f8ec7"
#define ARN "arn:aws:sns:eu-west-1:000000000000:alerts"
#define RECORD "{\"version\":\"1.0\",\"n\":1.10,\"big\":12345678901234567890,\"s\":\"a\\n\\\"b\\\" \xc3\xa9\"}"
#define RECORD_TEXT "{\\\"version\\\":\\\"1.0\\\",\\\"n\\\":1.10,\\\"big\\\":12345678901234567890," \
	"\\\"s\\\":\\\"a\\\\n\\\\\\\"b\\\\\\\" \xc3\xa9\\\"}"

static struct topic *topic;
static struct buf b;

static void make_topic(void)
{
	static const char text[] = "{\"TopicName\":\"alerts\",\"Subscriptions\":[{\"Protocol\":\"lambda\",\"Endpoint\":\"notify\"},"
		"{\"Protocol\":\"sqs\",\"Endpoint\":\"inbox\"},{\"Protocol\":\"sqs\",\"Endpoint\":\"raw\","
		"\"RawMessageDelivery\":true},{\"Protocol\":\"command\",\"Id\":\"mail\",\"Command\":[\"/bin/mail\"]}]}";
	struct func_problems p = {};

	if (topic)
		return;
	CHECK_INT(topic_parse(text, strlen(text), &topic, &p), 0);
	CHECK_INT(topic->n_subs, 4);
	/* A subscription's ARN stays what it is: these are the same in every build. */
	CHECK_STR(topic->subs[0].id, SUB_NOTIFY);
	CHECK_STR(topic->subs[3].id, SUB_MAIL);
}

static struct topic_message message(size_t sub)
{
	make_topic();
	buf_clear(&b);
	return (struct topic_message){ .topic = topic, .sub = &topic->subs[sub], .region = "eu-west-1", .message_id = ID,
				       .at_ms = 1657720081007, .message = RECORD, .message_len = strlen(RECORD) };
}

static void sns_event(void)
{
	struct topic_message m = message(0);

	topic_message_build(&b, &m);
	CHECK_STR(buf_str(&b), "{\"Records\":[{\"EventSource\":\"aws:sns\",\"EventVersion\":\"1.0\",\"EventSubscriptionArn\":\"" ARN
		  ":" SUB_NOTIFY "\",\"Sns\":{\"Type\":\"Notification\",\"MessageId\":\"" ID "\",\"TopicArn\":\"" ARN
		  "\",\"Subject\":null,\"Message\":\"" RECORD_TEXT "\",\"Timestamp\":\"2022-07-13T13:48:01.007Z\","
		  "\"SignatureVersion\":\"1\",\"Signature\":\"\",\"SigningCertUrl\":\"\",\"UnsubscribeUrl\":\"\","
		  "\"MessageAttributes\":{}}}]}");
	m.subject = "a \"subject\"";
	m.attributes = "{\"n\":{\"Type\":\"String\",\"Value\":\"v\"}}";
	m.message = "plain text\n";
	m.message_len = 11;
	buf_clear(&b);
	topic_message_build(&b, &m);
	CHECK(strstr(buf_str(&b), "\"Subject\":\"a \\\"subject\\\"\",\"Message\":\"plain text\\n\",") != NULL);
	CHECK(strstr(buf_str(&b), ",\"MessageAttributes\":{\"n\":{\"Type\":\"String\",\"Value\":\"v\"}}}}]}") != NULL);
	CHECK(json_valid(b.data, b.len, NULL));
}

/* A command gets what a function gets. */
static void sns_event_for_a_command(void)
{
	struct topic_message m = message(3);

	topic_message_build(&b, &m);
	CHECK(strstr(buf_str(&b), "\"EventSubscriptionArn\":\"" ARN ":" SUB_MAIL "\",\"Sns\":{\"Type\":\"Notification\",") != NULL);
	CHECK(strstr(buf_str(&b), "\"Subject\":null,") != NULL);
}

static void notification_envelope(void)
{
	struct topic_message m = message(1);

	topic_message_build(&b, &m);
	CHECK_STR(buf_str(&b), "{\"Type\":\"Notification\",\"MessageId\":\"" ID "\",\"TopicArn\":\"" ARN "\",\"Message\":\""
		  RECORD_TEXT
		  "\",\"Timestamp\":\"2022-07-13T13:48:01.007Z\",\"SignatureVersion\":\"1\",\"Signature\":\"\","
		  "\"SigningCertURL\":\"\",\"UnsubscribeURL\":\"\"}");
	m.subject = "s";
	m.attributes = "{\"n\":{\"Type\":\"String\",\"Value\":\"v\"}}";
	buf_clear(&b);
	topic_message_build(&b, &m);
	CHECK(strstr(buf_str(&b), "\",\"Subject\":\"s\",\"Message\":\"") != NULL);
	CHECK(strstr(buf_str(&b), ",\"UnsubscribeURL\":\"\",\"MessageAttributes\":{\"n\":{\"Type\":\"String\","
		     "\"Value\":\"v\"}}}") != NULL);
}

/* The message comes out of its envelope as it went in. */
static void message_survives(void)
{
	static const size_t subs[] = { 0, 1 };

	for (size_t i = 0; i < ARRAY_SIZE(subs); i++) {
		struct topic_message m = message(subs[i]);
		cJSON *j, *o;

		topic_message_build(&b, &m);
		j = cJSON_ParseWithLength(b.data, b.len);
		o = i ? j : cJSON_GetObjectItem(cJSON_GetArrayItem(cJSON_GetObjectItem(j, "Records"), 0), "Sns");
		CHECK_STR(cJSON_GetStringValue(cJSON_GetObjectItem(o, "Message")), RECORD);
		cJSON_Delete(j);
	}
}

static void raw(void)
{
	struct topic_message m = message(2);

	topic_message_build(&b, &m);
	CHECK_STR(buf_str(&b), RECORD);
}

/* Every member of want is in got, and got has no others. MessageAttributes' contents are the publisher's. */
static void same_members(const cJSON *want, const cJSON *got, const char *path)
{
	const cJSON *c;
	char sub[200];

	cJSON_ArrayForEach(c, got)
		if (c->string && !cJSON_GetObjectItemCaseSensitive(want, c->string))
			FAIL("%s.%s is no member of SNS's event", path, c->string);
	cJSON_ArrayForEach(c, want) {
		const cJSON *g = c->string ? cJSON_GetObjectItemCaseSensitive(got, c->string) : cJSON_GetArrayItem(got, 0);

		snprintf(sub, sizeof(sub), "%s.%s", path, c->string ? c->string : "[0]");
		if (!g)
			FAIL("%s is missing", sub);
		if (g->type != c->type && !cJSON_IsNull(g))
			FAIL("%s has another type", sub);
		if (!c->string || strcmp(c->string, "MessageAttributes") != 0)
			same_members(c, g, sub);
	}
}

static void members_of_the_published_sample(void)
{
	struct topic_message m = message(0);
	FILE *f = fopen("../shared/vectors/events-go/sns-event.json", "re");
	static char data[65536];
	cJSON *want, *got;
	size_t n;

	if (!f)
		SKIP("no ../shared/vectors/events-go/sns-event.json beside this tree");
	n = fread(data, 1, sizeof(data) - 1, f);
	fclose(f);
	want = cJSON_ParseWithLength(data, n);
	CHECK_INT(cJSON_GetArraySize(cJSON_GetObjectItem(want, "Records")), 1);
	topic_message_build(&b, &m);
	got = cJSON_ParseWithLength(b.data, b.len);
	same_members(want, got, "$");
	cJSON_Delete(want);
	cJSON_Delete(got);
}

static void bus_event(void)
{
	static const char *const resources[] = { "arn:aws:events:eu-west-1:000000000000:event-bus/default",
						 "arn:aws:lambda:eu-west-1:000000000000:function:f:$LATEST" };
	struct bus_event e = { .id = ID, .source = "lambda", .detail_type = bus_record_detail_type(false), .region = "eu-west-1",
			       .at_ms = 1657720081999, .resources = resources, .n_resources = 2, .detail = RECORD,
			       .detail_len = strlen(RECORD) };

	buf_clear(&b);
	bus_event_build(&b, &e);
	CHECK_STR(buf_str(&b), "{\"version\":\"0\",\"id\":\"" ID "\",\"detail-type\":\"Lambda Function Invocation Result - "
		  "Failure\",\"source\":\"lambda\",\"account\":\"000000000000\",\"time\":\"2022-07-13T13:48:01Z\","
		  "\"region\":\"eu-west-1\",\"resources\":[\"arn:aws:events:eu-west-1:000000000000:event-bus/default\","
		  "\"arn:aws:lambda:eu-west-1:000000000000:function:f:$LATEST\"],\"detail\":" RECORD "}");
	e.source = "my \"app\"";
	e.n_resources = 0;
	buf_clear(&b);
	bus_event_build(&b, &e);
	CHECK(strstr(buf_str(&b), "\"source\":\"my \\\"app\\\"\",") != NULL);
	CHECK(strstr(buf_str(&b), "\"resources\":[],") != NULL);
	CHECK(json_valid(b.data, b.len, NULL));
	CHECK_STR(bus_record_detail_type(true), "Lambda Function Invocation Result - Success");
}

int main(void)
{
	RUN(sns_event);
	RUN(sns_event_for_a_command);
	RUN(notification_envelope);
	RUN(message_survives);
	RUN(raw);
	RUN(members_of_the_published_sample);
	RUN(bus_event);
	buf_done(&b);
	topic_unref(topic);
	TEST_END();
}
