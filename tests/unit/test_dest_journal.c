/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal destination against a journal of the test's own: a socket where the real one is, in a mount namespace
 * with a /run of its own, read as the journal reads it.
 */

#include "base/buf.h"
#include "base/mem.h"
#include "dest/dest.h"
#include "lib/test.h"
#include "unit/test_journal_rig.h"

#define REQUEST "11111111-1111-4111-8111-111111111111"
#define CONTEXT(condition, n) "\"requestContext\":{\"requestId\":\"" REQUEST "\"," \
	"\"functionArn\":\"arn:aws:lambda:us-east-1:000000000000:function:resize:$LATEST\"," \
	"\"condition\":\"" condition "\",\"approximateInvokeCount\":" n "}"

static struct dest_result result;

/* Sends on this thread; what was sent waits in the socket. */
static void deliver(enum outbox_role role, const char *body, size_t len, const char *attributes)
{
	struct dest_job job = { .seq = 1, .role = role, .target = { .kind = TARGET_JOURNAL, .text = "journal:" } };

	snprintf(job.key, sizeof(job.key), REQUEST ":%s", outbox_role_name(role));
	job.body = body ? blob_new(body, len) : NULL;
	job.attributes = attributes ? blob_new(attributes, strlen(attributes)) : NULL;
	memset(&result, 0xff, sizeof(result));
	dest_journal.send(&job, &result);
	blob_unref(job.body);
	blob_unref(job.attributes);
}

#define CHECK_ACK() do { CHECK_STR(result.why, ""); CHECK_INT(result.how, DELIVERED_ACK); } while (0)
#define CHECK_RETRY(part) do { CHECK_INT(result.how, DELIVERED_RETRY); \
	if (!strstr(result.why, part)) FAIL("\"%s\" does not say \"%s\"", result.why, part); } while (0)

static void check_record(enum outbox_role role, const char *record, const char *summary, const char *condition)
{
	rig_open();
	deliver(role, record, strlen(record), NULL);
	CHECK_ACK();
	rig_receive();
	CHECK_STR(rig_field("MESSAGE"), summary);
	CHECK_STR(rig_field("FATE_RECORD"), record);
	CHECK_STR(rig_field("FATE_REQUEST_ID"), REQUEST);
	CHECK_STR(rig_field("FATE_FUNCTION"), "resize");
	CHECK_STR(rig_field("FATE_CONDITION"), condition);
	CHECK_STR(rig_field("SYSLOG_IDENTIFIER"), "fated");
	CHECK(!rig_field("FATE_ATTRIBUTES"));
	CHECK(rig_empty());
}

static void a_failure_says_how_it_ended(void)
{
	check_record(ROLE_ON_FAILURE, "{\"version\":\"1.0\"," CONTEXT("RetriesExhausted", "3") ",\"requestPayload\":{},"
		     "\"responsePayload\":{\"errorType\":\"Sandbox.Timedout\",\"errorMessage\":\"Task timed out after 3.00 "
		     "seconds\"},\"fate\":{\"attempts\":[{\"attempt\":1,\"verdict\":\"Crash\"},{\"attempt\":3,"
		     "\"verdict\":\"Timeout\"}]}}",
		     "fated: resize ended: RetriesExhausted (Timeout: Task timed out after 3.00 seconds), 3 attempts, "
		     "request " REQUEST, "RetriesExhausted");
	CHECK_STR(rig_field("FATE_KEY"), REQUEST ":OnFailure");
	CHECK_STR(rig_field("FATE_ROLE"), "OnFailure");
	CHECK_STR(rig_field("PRIORITY"), "5");
}

static void a_success_is_quieter(void)
{
	check_record(ROLE_ON_SUCCESS, "{\"version\":\"1.0\"," CONTEXT("Success", "1") ",\"requestPayload\":{},"
		     "\"responsePayload\":{\"errorMessage\":\"not one\"},\"fate\":{\"attempts\":[{\"verdict\":\"Success\"}]}}",
		     "fated: resize ended: Success (Success), 1 attempt, request " REQUEST, "Success");
	CHECK_STR(rig_field("FATE_KEY"), REQUEST ":OnSuccess");
	CHECK_STR(rig_field("PRIORITY"), "6");
}

static void a_record_without_fate_has_its_message(void)
{
	check_record(ROLE_ON_FAILURE,
		     "{" CONTEXT("RetriesExhausted", "1") ",\"responsePayload\":{\"errorMessage\":\"no\\nspace\\u0007\"}}",
		     "fated: resize ended: RetriesExhausted (no space ), 1 attempt, request " REQUEST, "RetriesExhausted");
	check_record(ROLE_ON_FAILURE, "{" CONTEXT("EventAgeExceeded", "0") "}",
		     "fated: resize ended: EventAgeExceeded, 0 attempts, request " REQUEST, "EventAgeExceeded");
}

static void words_in_a_payload_are_no_verdict(void)
{
	check_record(ROLE_ON_FAILURE, "{" CONTEXT("RetriesExhausted", "2") ",\"requestPayload\":{\"verdict\":\"Success\"},"
		     "\"fate\":{\"attempts\":[{\"verdict\":\"OutOfMemory\","
		     "\"oom\":{\"victim\":\"\\\"verdict\\\":\\\"Success\\\"\"}}]}}",
		     "fated: resize ended: RetriesExhausted (OutOfMemory), 2 attempts, request " REQUEST, "RetriesExhausted");
}

static void a_long_message_is_cut(void)
{
	CLEAN(buf_done) struct buf record = {}, want = {};

	buf_adds(&record, "{" CONTEXT("RetriesExhausted", "1") ",\"responsePayload\":{\"errorMessage\":\"");
	buf_adds(&want, "fated: resize ended: RetriesExhausted (");
	for (int i = 0; i < 150; i++) {
		buf_adds(&record, "é");
		if (i < 100)
			buf_adds(&want, "é");
	}
	buf_adds(&record, "\"}}");
	buf_adds(&want, "…), 1 attempt, request " REQUEST);
	check_record(ROLE_ON_FAILURE, buf_str(&record), buf_str(&want), "RetriesExhausted");
}

static void a_dead_letter_is_the_bare_event(void)
{
	static const char event[] = "{\n  \"key\": \"FATE_CONDITION=forged\"\n}";
	static const char attributes[] = "{\"ErrorMessage\":{\"DataType\":\"String\",\"StringValue\":\"Rate Exceeded.\"}}";

	rig_open();
	deliver(ROLE_DEAD_LETTER, event, strlen(event), attributes);
	CHECK_ACK();
	rig_receive();
	CHECK_STR(rig_field("MESSAGE"), "fated: dead letter of request " REQUEST ": Rate Exceeded.");
	CHECK_STR(rig_field("FATE_RECORD"), event);
	CHECK_STR(rig_field("FATE_ATTRIBUTES"), attributes);
	CHECK_STR(rig_field("FATE_KEY"), REQUEST ":DeadLetter");
	CHECK(!rig_field("FATE_CONDITION"));
	CHECK(!rig_field("FATE_FUNCTION"));
	rig_open();
	deliver(ROLE_DEAD_LETTER, NULL, 0, "{}");
	CHECK_ACK();
	rig_receive();
	CHECK_STR(rig_field("MESSAGE"), "fated: dead letter of request " REQUEST);
	CHECK_STR(rig_field("FATE_RECORD"), "{}");
}

static void a_dead_letter_that_looks_like_a_record_is_none(void)
{
	static const char event[] = "{" CONTEXT("Success", "1") "}";

	rig_open();
	deliver(ROLE_DEAD_LETTER, event, strlen(event), "{}");
	CHECK_ACK();
	rig_receive();
	CHECK_STR(rig_field("MESSAGE"), "fated: dead letter of request " REQUEST);
	CHECK(!rig_field("FATE_CONDITION"));
	CHECK(!rig_field("FATE_FUNCTION"));
}

static void a_large_record_arrives_whole(void)
{
	CLEAN(buf_done) struct buf record = {};

	buf_adds(&record, "{" CONTEXT("Success", "1") ",\"requestPayload\":\"");
	while (record.len < 7u << 20)
		buf_adds(&record, "0123456789abcdef");
	buf_adds(&record, "\"}");
	check_record(ROLE_ON_SUCCESS, buf_str(&record), "fated: resize ended: Success, 1 attempt, request " REQUEST, "Success");
	CHECK(rig_by_descriptor());	/* else this tests nothing: it went into a datagram */
}

static void without_a_journal_it_is_tried_again(void)
{
	rig_open();	/* skips where this would be the host's own journal */
	rig_close();
	deliver(ROLE_ON_SUCCESS, "{}", 2, NULL);
	CHECK_RETRY("no journal at /run/systemd/journal/socket: No such file or directory");
	rig_open();
	rig_hang_up();
	deliver(ROLE_ON_SUCCESS, "{}", 2, NULL);
	CHECK_RETRY("no journal at /run/systemd/journal/socket: Connection refused");
	rig_open();
	deliver(ROLE_ON_SUCCESS, "{}", 2, NULL);
	CHECK_ACK();
	rig_receive();
	CHECK_STR(rig_field("FATE_RECORD"), "{}");
}

static void a_journal_that_takes_nothing_is_not_waited_for(void)
{
	int sent = 0;

	rig_open();
	do
		deliver(ROLE_ON_SUCCESS, "{}", 2, NULL);
	while (result.how == DELIVERED_ACK && ++sent < 100000);
	CHECK_RETRY("the journal has taken no entry for");
	CHECK(sent > 0);
	for (int i = 0; i < sent; i++) {
		rig_receive();
		CHECK_STR(rig_field("FATE_RECORD"), "{}");
	}
	CHECK(rig_empty());		/* what was refused is not there: refused means not sent */
	deliver(ROLE_ON_SUCCESS, "{}", 2, NULL);
	CHECK_ACK();
}

int main(void)
{
	rig_enter();
	RUN(a_failure_says_how_it_ended);
	RUN(a_success_is_quieter);
	RUN(a_record_without_fate_has_its_message);
	RUN(words_in_a_payload_are_no_verdict);
	RUN(a_long_message_is_cut);
	RUN(a_dead_letter_is_the_bare_event);
	RUN(a_dead_letter_that_looks_like_a_record_is_none);
	RUN(a_large_record_arrives_whole);
	RUN(without_a_journal_it_is_tried_again);
	RUN(a_journal_that_takes_nothing_is_not_waited_for);
	rig_close();
	TEST_END();
}
