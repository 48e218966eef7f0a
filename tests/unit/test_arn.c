/* SPDX-License-Identifier: Apache-2.0 */
/* Function names, ARNs and targets, against the recorded rules of AWS's patterns. */
#include <errno.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"
#include "lib/test.h"
#include "model/arn.h"

#define R64 "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffff1234"	/* 64 characters */
#define ACCT "000000000000"
#define LAMBDA "arn:aws:lambda:us-east-1:" ACCT ":function:"

static void function_names(void)
{
	CHECK(arn_function_name_ok("f"));
	CHECK(arn_function_name_ok("my-fn_2"));
	CHECK(arn_function_name_ok(R64));
	CHECK(!arn_function_name_ok(R64 "x"));
	CHECK(!arn_function_name_ok(""));
	CHECK(!arn_function_name_ok("a.b"));
	CHECK(!arn_function_name_ok("a:b"));
	CHECK(!arn_function_name_ok("a b"));
	CHECK(!arn_function_name_ok("ä"));
}

static void functions_accepted(void)
{
	static const struct { const char *text, *name, *qualifier; } rows[] = {
		{ "my-fn", "my-fn", "" },
		{ "my-fn:v1", "my-fn", "v1" },
		{ "my-fn:$LATEST", "my-fn", "$LATEST" },
		{ "my-fn:$LATEST.PUBLISHED", "my-fn", "$LATEST.PUBLISHED" },
		{ "my-fn:17", "my-fn", "17" },
		{ ACCT ":function:my-fn", "my-fn", "" },
		{ ACCT ":function:my-fn:q", "my-fn", "q" },
		{ "function:my-fn", "my-fn", "" },
		{ "function:my-fn:q", "my-fn", "q" },
		{ LAMBDA "my-fn", "my-fn", "" },
		{ LAMBDA "my-fn:q", "my-fn", "q" },
		{ "arn:aws-cn:lambda:cn-north-1:" ACCT ":function:f", "f", "" },
		{ "arn:aws-us-gov:lambda:us-gov-west-1:" ACCT ":function:f", "f", "" },
		{ "arn:aws-iso:lambda:us-iso-east-1:" ACCT ":function:f", "f", "" },
		{ "arn:aws-iso-b:lambda:us-isob-east-1:" ACCT ":function:f", "f", "" },
		{ "arn:aws-eusc:lambda:eusc-de-east-1:" ACCT ":function:f", "f", "" },
		{ "arn:aws:lambda:eu-central-2:" ACCT ":function:f", "f", "" },
		/* recorded: what looks like an incomplete ARN can be legal */
		{ "arn:aws:lambda:us-east-1:" ACCT ":function", "function", "" },
		{ "function", "function", "" },
		{ "arn:aws:lambda:us-east-1:" ACCT ":layer:f", "layer", "f" },
		/* greedy: a part that can be an optional one is it, unless the rest then fails */
		{ "us-east-1:f", "f", "" },
		{ "us-east-1", "us-east-1", "" },
		{ "us-east-1:$LATEST", "us-east-1", "$LATEST" },
		{ ACCT ":f", "f", "" },
		{ "123456789012", "123456789012", "" },
		{ "123456789012:$LATEST", "123456789012", "$LATEST" },
		{ R64, R64, "" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct arn_function f;
		struct err e = {};

		if (arn_parse_function(rows[i].text, &f, &e) != 0)
			FAIL("%s: %s", rows[i].text, err_msg(&e));
		CHECK_STR(f.name, rows[i].name);
		CHECK_STR(f.qualifier, rows[i].qualifier);
	}
}

static void functions_refused(void)
{
	static const struct { const char *text; int code; const char *word; } rows[] = {
		{ "", -EINVAL, "empty" },
		{ "a b", -EINVAL, "no function name" },
		{ "a.b", -EINVAL, "no function name" },
		{ "a\nb", -EINVAL, "a?b" },
		{ "f:", -EINVAL, "no qualifier" },
		{ "f:$LATES", -EINVAL, "no qualifier" },
		{ "f:$latest", -EINVAL, "no qualifier" },
		{ ":f", -EINVAL, "neither" },
		{ "f:q:r", -EINVAL, "neither" },
		{ "$LATEST", -EINVAL, "no function name" },
		{ "function:f:q:r", -EINVAL, "neither" },
		{ "arn:aws:lambda:us-east-1:" ACCT ":function:f:q:r", -EINVAL, "too many parts" },
		{ "arn:aws:lambda:us-east-1:" ACCT ":function:f:$x", -EINVAL, "no qualifier" },
		{ "arn:aws:lambda:us-east-1:" ACCT ":function:", -EINVAL, "no function name" },
		{ "arn:aws:lambda:us-east-1:" ACCT ":layer:f:1", -EINVAL, "not of a function" },
		{ "arn:aws:lambda:us-east-1::function:f", -EINVAL, "no account" },
		{ "arn:aws:lambda:us-east-1:12345:function:f", -EINVAL, "no account" },
		{ "arn:aws:lambda:us-east-1:0000000000000:function:f", -EINVAL, "no account" },
		{ "arn:aws:lambda::" ACCT ":function:f", -EINVAL, "no region" },
		{ "arn:aws:lambda:us-east:" ACCT ":function:f", -EINVAL, "no region" },
		{ "arn:aws:lambda:us-east-12:" ACCT ":function:f", -EINVAL, "no region" },
		{ "arn:aws:lambda:US-EAST-1:" ACCT ":function:f", -EINVAL, "no region" },
		{ "arn:aws:lambda:us-govx-west-1:" ACCT ":function:f", -EINVAL, "no region" },
		{ "arn:aws:lambda:eusc-east-1:" ACCT ":function:f", -EINVAL, "no region" },
		{ "arn:aws:sqs:us-east-1:" ACCT ":function:f", -EINVAL, "not of lambda" },
		{ "arn:gcp:lambda:us-east-1:" ACCT ":function:f", -EINVAL, "partition" },
		{ "arn:aws:lambda", -EINVAL, "ends before" },
		{ R64 "x", -EINVAL, "65 characters" },
		{ LAMBDA R64 "x", -EINVAL, "65 characters" },
		{ "123456789012:function:f", -EREMOTE, "123456789012" },
		{ "arn:aws:lambda:us-east-1:123456789012:function:f", -EREMOTE, "not this host" },
		{ "arn:aws:lambda:us-east-1:123456789012:function:f:q", -EREMOTE, "not this host" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct arn_function f = { .name = "untouched" };
		struct err e = {};
		int r = arn_parse_function(rows[i].text, &f, &e);

		if (r != rows[i].code)
			FAIL("\"%s\": %d (%s), want %d", rows[i].text, r, err_msg(&e), rows[i].code);
		CHECK_INT(e.code, r);
		CHECK_STR(f.name, "untouched");
		if (!strstr(e.msg, rows[i].word))
			FAIL("\"%s\": \"%s\" does not say \"%s\"", rows[i].text, e.msg, rows[i].word);
		CHECK_INT(arn_parse_function(rows[i].text, &f, NULL), r);
	}
}

static void function_lengths(void)
{
	struct arn_function f;
	struct err e = {};
	char text[2000];

	snprintf(text, sizeof(text), "f:%s", repeat('q', 128));
	CHECK_INT(arn_parse_function(text, &f, &e), 0);
	CHECK_INT(strlen(f.qualifier), 128);
	snprintf(text, sizeof(text), "f:%s", repeat('q', 129));
	CHECK_INT(arn_parse_function(text, &f, &e), -EINVAL);
	CHECK(strstr(e.msg, "129"));
	CHECK_INT(arn_parse_function(repeat('a', 256), &f, &e), -EINVAL);
	CHECK(strstr(e.msg, "256 characters"));
	CHECK_INT(arn_parse_function(repeat('a', 257), &f, &e), -EINVAL);
	CHECK(strstr(e.msg, "longer than 256"));
	CHECK_INT(arn_parse_function(repeat(':', 256), &f, &e), -EINVAL);
	CHECK_INT(arn_parse_function(repeat(':', 7), &f, &e), -EINVAL);
}

/* A message never ends in half a character, however the text was cut. */
static void messages_are_utf8(void)
{
	struct arn_function f;

	for (size_t pad = 0; pad < 8; pad++) {
		char text[300];
		struct err e = {};
		size_t n = pad;

		memset(text, 'a', pad);
		while (n < 120) {
			memcpy(text + n, "\xe2\x82\xac", 3);
			n += 3;
		}
		text[n] = '\0';
		CHECK_INT(arn_parse_function(text, &f, &e), -EINVAL);
		{
			CLEAN(buf_done) struct buf b = {};

			CHECK_INT(json_add_string(&b, e.msg, strlen(e.msg)), 0);	/* bytes that had to be replaced */
		}
	}
}

static void targets_accepted(void)
{
	static const struct { const char *text; enum target_kind kind; const char *name; } rows[] = {
		{ "", TARGET_NONE, "" },
		{ LAMBDA "f", TARGET_FUNCTION, "f" },
		{ LAMBDA "f:$LATEST", TARGET_FUNCTION, "f" },
		{ "arn:aws:lambda:eu-west-3:" ACCT ":function:" R64, TARGET_FUNCTION, R64 },
		{ "function:f", TARGET_FUNCTION, "f" },
		{ "function:f:$LATEST", TARGET_FUNCTION, "f" },
		{ "arn:aws:sqs:us-east-1:" ACCT ":done", TARGET_QUEUE, "done" },
		{ "queue:done", TARGET_QUEUE, "done" },
		{ "done", TARGET_NAME, "done" },
		{ "re-invoke_2", TARGET_NAME, "re-invoke_2" },
		{ "file:/var/log/x.jsonl", TARGET_FILE, "/var/log/x.jsonl" },
		{ "file:///var/log/x", TARGET_FILE, "/var/log/x" },
		{ "file:/a..b/.c", TARGET_FILE, "/a..b/.c" },
		{ "file:/a b:c", TARGET_FILE, "/a b:c" },
		{ "journal:", TARGET_JOURNAL, "" },
		{ "topic:alerts", TARGET_TOPIC, "alerts" },
		{ "arn:aws:sns:eu-west-1:" ACCT ":al_erts-2", TARGET_TOPIC, "al_erts-2" },
		{ "bus:default", TARGET_BUS, "default" },
		{ "bus:aws.partner/x/y_z-1", TARGET_BUS, "aws.partner/x/y_z-1" },
		{ "arn:aws:events:eu-west-1:" ACCT ":event-bus/default", TARGET_BUS, "default" },
		{ "arn:aws:events:eu-west-1:" ACCT ":event-bus/a/b", TARGET_BUS, "a/b" },
		{ "arn:aws:lambda:us-east-1:123456789012:function:f", TARGET_REMOTE, NULL },
		{ "arn:aws:sqs:us-east-1:123456789012:q", TARGET_REMOTE, NULL },
		{ "arn:aws:sns:us-east-1:123456789012:t.fifo", TARGET_REMOTE, NULL },
		{ "arn:aws:events:us-east-1:123456789012:event-bus/b", TARGET_REMOTE, NULL },
		{ "arn:aws:s3:::bucket", TARGET_REMOTE, NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct target t;
		struct err e = {};

		if (target_parse(rows[i].text, &t, &e) != 0)
			FAIL("%s: %s", rows[i].text, err_msg(&e));
		if (t.kind != rows[i].kind)
			FAIL("%s is a %s", rows[i].text, target_kind_name(t.kind));
		CHECK_STR(t.text, rows[i].text);
		CHECK_STR(t.name, rows[i].name ? rows[i].name : rows[i].text);
	}
}

static void targets_with_qualifiers(void)
{
	static const struct { const char *text, *qualifier; } rows[] = {
		{ LAMBDA "f", "" }, { LAMBDA "f:$LATEST", "" }, { "function:f", "" }, { "function:f:$LATEST", "" },
		{ LAMBDA "f:3", "3" }, { LAMBDA "f:live", "live" }, { "function:f:42", "42" }, { "function:f:a-b_C", "a-b_C" },
		{ "function:f:2024-01-02", "2024-01-02" }, { "arn:aws-cn:lambda:cn-north-1:" ACCT ":function:f:1", "1" },
		/* taken, and never found */
		{ "function:f:$LATEST.PUBLISHED", "$LATEST.PUBLISHED" }, { "function:f:0", "0" },
		/* nothing but a function has one */
		{ "queue:q", "" }, { "done", "" }, { "file:/a:3", "" }, { "journal:", "" },
	};
	char text[300];
	struct target t;
	struct err e = {};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		memset(&t, 'x', sizeof(t));
		if (target_parse(rows[i].text, &t, &e) != 0)
			FAIL("%s: %s", rows[i].text, err_msg(&e));
		CHECK_STR(t.qualifier, rows[i].qualifier);
		CHECK_STR(t.text, rows[i].text);
		if (strstr(rows[i].text, "function"))
			CHECK_STR(t.name, "f");
	}
	snprintf(text, sizeof(text), "function:f:%s", repeat('q', 128));
	CHECK_INT(target_parse(text, &t, &e), 0);
	CHECK_INT(strlen(t.qualifier), 128);
	snprintf(text, sizeof(text), "function:f:%s", repeat('q', 129));
	CHECK_INT(target_parse(text, &t, &e), -EINVAL);
	CHECK(strstr(e.msg, "qualifier has more than 128"));
}

static void targets_refused(void)
{
	static const struct { const char *text; int code; const char *word; } rows[] = {
		{ "arn:aws:sns:us-east-1:" ACCT ":t.fifo", -EOPNOTSUPP, "FIFO topics are not supported yet" },
		{ "topic:t.fifo", -EOPNOTSUPP, "FIFO topics" },
		{ "topic:", -EINVAL, "no topic name" },
		{ "topic:a.b", -EINVAL, "no topic name" },
		{ "topic:a:b", -EINVAL, "no topic name" },
		{ "arn:aws:sns:us-east-1:" ACCT ":t:8f5e0c8a-1111-4222-8333-444455556666", -EINVAL, "no topic name" },
		{ "arn:aws:sns::" ACCT ":t", -EINVAL, "names no region" },
		{ "bus:", -EINVAL, "no event bus name" },
		{ "bus:a b", -EINVAL, "no event bus name" },
		{ "arn:aws:events:us-east-1:" ACCT ":b", -EINVAL, "no event bus" },
		{ "arn:aws:events:us-east-1:" ACCT ":rule/b", -EINVAL, "no event bus" },
		{ "arn:aws:events:us-east-1:" ACCT ":event-bus/", -EINVAL, "no event bus name" },
		{ "arn:aws:sqs:us-east-1:" ACCT ":q.fifo", -EOPNOTSUPP, "FIFO" },
		{ "queue:q.fifo", -EOPNOTSUPP, "FIFO" },
		{ LAMBDA "f:", -EINVAL, "no qualifier" },
		{ LAMBDA "f:3:4", -EINVAL, "no qualifier" },
		{ "function:f:a.b", -EINVAL, "no qualifier" },
		{ "function:f:$latest", -EINVAL, "no qualifier" },
		{ "function::3", -EINVAL, "no function name" },
		{ "f:3", -EINVAL, "no target" },
		{ "function:f:$x", -EINVAL, "no qualifier" },
		{ "function:", -EINVAL, "no function name" },
		{ "function:" R64 "x", -EINVAL, "no function name" },
		{ "arn:aws:lambda:us-east-1:" ACCT ":layer:f:1", -EINVAL, "no function" },
		{ "arn:aws:kinesis:us-east-1:" ACCT ":stream/s", -EINVAL, "kinesis" },
		{ "arn:aws:sqs:us-east-1::q", -EINVAL, "names no account" },
		{ "arn:aws:sqs::" ACCT ":q", -EINVAL, "names no region" },
		{ "arn:aws:sqs:nowhere:" ACCT ":q", -EINVAL, "no region" },
		{ "arn:aws:sqs:us-east-1:12:q", -EINVAL, "no account" },
		{ "arn:aws:sqs:us-east-1:" ACCT, -EINVAL, "too few parts" },
		{ "arn:aws:sqs:us-east-1:" ACCT ":", -EINVAL, "too few parts" },
		{ "arn:", -EINVAL, "too few parts" },
		{ "arn:gcp:sqs:us-east-1:" ACCT ":q", -EINVAL, "partition" },
		{ "arn::sqs:us-east-1:" ACCT ":q", -EINVAL, "partition" },
		{ "arn:aws::us-east-1:" ACCT ":q", -EINVAL, "no service" },
		{ "arn:aws:sqs:us-east-1:" ACCT ":a/b", -EINVAL, "no queue name" },
		{ "queue:", -EINVAL, "no queue name" },
		{ "a b", -EINVAL, "no queue name" },
		{ "file:", -EINVAL, "absolute" },
		{ "file:x", -EINVAL, "absolute" },
		{ "file://host/x", -EINVAL, "absolute" },
		{ "file:////x", -EINVAL, "absolute" },
		{ "file:/", -EINVAL, "directory" },
		{ "file:/x/", -EINVAL, "directory" },
		{ "file:/x/../y", -EINVAL, "in it" },
		{ "file:/x/..", -EINVAL, "in it" },
		{ "file:/./y", -EINVAL, "in it" },
		{ "file:/y/.", -EINVAL, "in it" },
		{ "file:/x\ny", -EINVAL, "control" },
		{ "journal:x", -EINVAL, "no target" },
		{ "https://example.com/", -EINVAL, "no target" },
		{ "kafka://topic", -EINVAL, "no target" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct target t = { .kind = TARGET_FILE, .name = "untouched" };
		struct err e = {};
		int r = target_parse(rows[i].text, &t, &e);

		if (r != rows[i].code)
			FAIL("\"%s\": %d (%s), want %d", rows[i].text, r, err_msg(&e), rows[i].code);
		CHECK_STR(t.name, "untouched");
		if (!strstr(e.msg, rows[i].word))
			FAIL("\"%s\": \"%s\" does not say \"%s\"", rows[i].text, e.msg, rows[i].word);
	}
}

static void target_lengths(void)
{
	struct target t;
	struct err e = {};
	char text[2000];

	snprintf(text, sizeof(text), "%s", repeat('q', 80));
	CHECK_INT(target_parse(text, &t, &e), 0);
	snprintf(text, sizeof(text), "%s", repeat('q', 81));
	CHECK_INT(target_parse(text, &t, &e), -EINVAL);
	CHECK(strstr(e.msg, "81 characters"));
	for (int bus = 0; bus < 2; bus++) {
		snprintf(text, sizeof(text), "%s:%s", bus ? "bus" : "topic", repeat('t', 256));
		CHECK_INT(target_parse(text, &t, &e), 0);
		CHECK_INT(strlen(t.name), 256);
		snprintf(text, sizeof(text), "%s:%s", bus ? "bus" : "topic", repeat('t', 257));
		CHECK_INT(target_parse(text, &t, &e), -EINVAL);
		CHECK(strstr(e.msg, "257 characters"));
	}
	snprintf(text, sizeof(text), "file:/%s", repeat('x', 344));
	CHECK_INT(target_parse(text, &t, &e), 0);
	CHECK_INT(strlen(t.text), 350);
	snprintf(text, sizeof(text), "file:/%s", repeat('x', 345));
	CHECK_INT(target_parse(text, &t, &e), -EINVAL);
	CHECK(strstr(e.msg, "350"));
}

static void names_of_kinds(void)
{
	CHECK_STR(target_kind_name(TARGET_NONE), "none");
	CHECK_STR(target_kind_name(TARGET_REMOTE), "remote");
	CHECK_STR(target_kind_name((enum target_kind)99), "invalid");
}

static void formatting(void)
{
	char out[LIM_ARN_MAX + 1], small[12];

	arn_format_function(out, sizeof(out), "us-east-1", "f", NULL);
	CHECK_STR(out, LAMBDA "f");
	arn_format_function(out, sizeof(out), "us-east-1", "f", "");
	CHECK_STR(out, LAMBDA "f");
	arn_format_function(out, sizeof(out), "us-east-1", "f", "$LATEST");
	CHECK_STR(out, LAMBDA "f:$LATEST");
	arn_format_function(out, sizeof(out), "us-east-1", "f", "12");
	CHECK_STR(out, LAMBDA "f:12");
	/* The longest there is fits, and is read back. */
	{
		struct arn_function f;

		arn_format_function(out, sizeof(out), "us-east-1", R64, repeat('q', 128));
		CHECK_INT(arn_parse_function(out, &f, NULL), 0);
		CHECK_STR(f.name, R64);
		CHECK_STR(f.qualifier, repeat('q', 128));
	}
	arn_format_target(out, sizeof(out), "us-east-1", TARGET_TOPIC, "t");
	CHECK_STR(out, "arn:aws:sns:us-east-1:" ACCT ":t");
	arn_format_target(out, sizeof(out), "us-east-1", TARGET_QUEUE, "q");
	CHECK_STR(out, "arn:aws:sqs:us-east-1:" ACCT ":q");
	arn_format_target(out, sizeof(out), "us-east-1", TARGET_BUS, "a/b");
	CHECK_STR(out, "arn:aws:events:us-east-1:" ACCT ":event-bus/a/b");
	arn_format_function(small, sizeof(small), "us-east-1", "f", NULL);
	CHECK_STR(small, "arn:aws:lam");
}

int main(void)
{
	RUN(function_names);
	RUN(functions_accepted);
	RUN(functions_refused);
	RUN(function_lengths);
	RUN(messages_are_utf8);
	RUN(targets_accepted);
	RUN(targets_with_qualifiers);
	RUN(targets_refused);
	RUN(target_lengths);
	RUN(names_of_kinds);
	RUN(formatting);
	TEST_END();
}
