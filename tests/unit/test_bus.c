/* SPDX-License-Identifier: Apache-2.0 */
/* Event buses' files, and which event a rule is for. */
#include "model/bus.h"

#include <errno.h>

#include "base/mem.h"
#include "unit/test_def_rig.h"

#define ACCT "000000000000"
#define FAILURE "Lambda Function Invocation Result - Failure"
#define SUCCESS "Lambda Function Invocation Result - Success"

static struct bus *last;

static bool rig_parse(const char *json, size_t len, struct func_problems *p)
{
	int r;

	last = bus_unref(last);
	r = bus_parse(json, len, &last, p);
	return r == 0 && last;
}

static const struct bus *good(const char *json)
{
	if (!rig_good(json, strlen(json)))
		FAIL("%.400s: %.400s", json, rig_problems);
	return last;
}

static const char *with(const char *members)
{
	static char text[8192];

	snprintf(text, sizeof(text), "{\"EventBusName\":\"b\"%s%s}", *members ? "," : "", members);
	return text;
}

/* One rule, with the members that every rule needs before those that are given. */
#define RULE(more) "{\"EventBusName\":\"b\",\"Rules\":[{\"Name\":\"r\",\"EventPattern\":{\"source\":[\"lambda\"]}," \
	"\"Targets\":[{\"Id\":\"1\",\"Arn\":\"f\"}]" more "}]}"
#define PATTERN(p) "{\"EventBusName\":\"b\",\"Rules\":[{\"Name\":\"r\",\"Targets\":[{\"Id\":\"1\",\"Arn\":\"f\"}]," \
	"\"EventPattern\":" p "}]}"
#define TARGETS(t) "{\"EventBusName\":\"b\",\"Rules\":[{\"Name\":\"r\",\"EventPattern\":{\"source\":[\"lambda\"]}," \
	"\"Targets\":" t "}]}"

static const char everything[] =
"{\"EventBusName\": \"default\", \"Description\": \"records\", \"Tags\": {\"a\": \"b\"},\n"
" \"Rules\": [\n"
"  {\"Name\": \"failures\", \"Description\": \"all of them\", \"State\": \"ENABLED\",\n"
"   \"EventPattern\": {\"source\": [\"lambda\", \"aws.lambda\"], \"detail-type\": [\"" FAILURE "\"]},\n"
"   \"Targets\": [{\"Id\": \"1\", \"Arn\": \"notify\"}, {\"Id\": \"2\", \"Arn\": \"queue:q\"}, {\"Id\": \"a.b-c_d\", "
"\"Arn\": \"topic:alerts\"},\n"
"    {\"Id\": \"4\", \"Arn\": \"arn:aws:lambda:us-east-1:" ACCT ":function:f\"}, {\"Id\": \"5\", \"Arn\": "
								"\"arn:aws:sns:us-east-1:" ACCT ":t\"}]},\n"
"  {\"Name\": \"off\", \"State\": \"DISABLED\", \"EventPattern\": {\"detail-type\": [\"x\"]}, \"Targets\": [{\"Id\": \"1\", "
"\"Arn\": \"f\"}]}]}\n";

static void every_member(void)
{
	const struct bus *b = good(everything);

	CHECK_STR(b->name, "default");
	CHECK_STR(b->description, "records");
	CHECK_INT(b->refs, 1);
	CHECK_INT(b->n_rules, 2);
	CHECK_STR(b->rules[0].name, "failures");
	CHECK(b->rules[0].enabled);
	CHECK_STR(b->rules[0].sources[0], "lambda");
	CHECK_STR(b->rules[0].sources[1], "aws.lambda");
	CHECK(!b->rules[0].sources[2]);
	CHECK_STR(b->rules[0].detail_types[0], FAILURE);
	CHECK(!b->rules[0].detail_types[1]);
	CHECK_INT(b->rules[0].n_targets, 5);
	CHECK_INT(b->rules[0].targets[0].kind, TARGET_NAME);
	CHECK_INT(b->rules[0].targets[1].kind, TARGET_QUEUE);
	CHECK_INT(b->rules[0].targets[2].kind, TARGET_TOPIC);
	CHECK_STR(b->rules[0].targets[2].name, "alerts");
	CHECK_INT(b->rules[0].targets[3].kind, TARGET_FUNCTION);
	CHECK_INT(b->rules[0].targets[4].kind, TARGET_TOPIC);
	CHECK(!b->rules[1].enabled);
	CHECK(!b->rules[1].sources);
	CHECK(good(RULE(""))->rules[0].enabled);
	CHECK_INT(good(with(""))->n_rules, 0);
	b = good(TARGETS("[{\"Id\":\"1\",\"Arn\":\"arn:aws:lambda:us-east-1:" ACCT ":function:f:live\"},{\"Id\":\"2\",\"Arn\":"
			 "\"function:f:3\"},{\"Id\":\"3\",\"Arn\":\"function:f\"}]"));
	CHECK_STR(b->rules[0].targets[0].name, "f");
	CHECK_STR(b->rules[0].targets[0].qualifier, "live");
	CHECK_STR(b->rules[0].targets[1].qualifier, "3");
	CHECK_STR(b->rules[0].targets[2].qualifier, "");
}

static void matching(void)
{
	const struct bus *b = good(everything);
	const struct bus_rule *r = &b->rules[0];

	CHECK(bus_rule_matches(r, "lambda", FAILURE));
	CHECK(bus_rule_matches(r, "aws.lambda", FAILURE));
	CHECK(!bus_rule_matches(r, "lambda", SUCCESS));
	CHECK(!bus_rule_matches(r, "Lambda", FAILURE));
	CHECK(!bus_rule_matches(r, "lambd", FAILURE));
	CHECK(!bus_rule_matches(r, "", FAILURE));
	CHECK(!bus_rule_matches(&b->rules[1], "any", "x"));	/* disabled */
	r = &good(PATTERN("{\"detail-type\":[\"x\",\"y\"]}"))->rules[0];
	CHECK(bus_rule_matches(r, "any", "y"));
	CHECK(!bus_rule_matches(r, "any", "z"));
	r = &good(PATTERN("{\"source\":[\"\"]}"))->rules[0];
	CHECK(bus_rule_matches(r, "", "any"));
	CHECK(!bus_rule_matches(r, "x", "any"));
	CHECK(bus_rule_matches(&good(RULE(""))->rules[0], "lambda", bus_record_detail_type(true)));
}

struct bad { const char *text, *path, *word; };

static void each(const struct bad *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		rig_one_problem(rows[i].text, rows[i].path, rows[i].word);
}
#define EACH(...) do { static const struct bad _rows[] = { __VA_ARGS__ }; each(_rows, ARRAY_SIZE(_rows)); } while (0)
#define P "$.Rules[0].EventPattern"

static void patterns_refused(void)
{
	EACH({ PATTERN("{}"), P, "is empty" },
	     { PATTERN("[]"), P, "must be an object, is a list" },
	     { PATTERN("\"{}\""), P, "without quotes around it" },
	     { PATTERN("{\"source\":\"lambda\"}"), P ".source", "must be a list, is a string" },
	     { PATTERN("{\"source\":[]}"), P ".source", "has 0 entries" },
	     { PATTERN("{\"source\":[1]}"), P ".source[0]", "must be a string, is a number" },
	     { PATTERN("{\"source\":[null]}"), P ".source[0]", "must be a string, is null" },
	     { PATTERN("{\"source\":[\"a\",{\"prefix\":\"x\"}]}"), P ".source[1]", "matching by \"prefix\" is not supported yet" },
	     { PATTERN("{\"detail-type\":[{\"anything-but\":[\"x\"]}]}"), P "[\"detail-type\"][0]",
	       "\"anything-but\" is not supported yet" },
	     { PATTERN("{\"source\":[{}]}"), P ".source[0]", "only exact strings" },
	     { PATTERN("{\"detail\":{\"x\":[1]}}"), P ".detail", "is not supported yet in patterns" },
	     { PATTERN("{\"resources\":[\"x\"]}"), P ".resources", "is not supported yet" },
	     { PATTERN("{\"$or\":[{\"source\":[\"x\"]},{\"source\":[\"y\"]}]}"), P "[\"$or\"]", "is not supported yet" },
	     { PATTERN("{\"detailtype\":[\"x\"]}"), P ".detailtype", "did you mean detail-type?" },
	     { PATTERN("{\"source\":[\"x\"],\"source\":[\"y\"]}"), P ".source", "is given twice" },
	     { PATTERN("{\"source\":[\"\\u0000\"]}"), P ".source[0]", "NUL" });
}

static void targets_refused(void)
{
#define T "$.Rules[0].Targets"
	EACH({ TARGETS("[]"), T, "has 0 entries, must have from 1 to 5" },
	     { TARGETS("{}"), T, "must be a list" },
	     { TARGETS("[\"f\"]"), T "[0]", "must be an object, is a string" },
	     { TARGETS("[{\"Arn\":\"f\"}]"), T "[0].Id", "is missing" },
	     { TARGETS("[{\"Id\":\"1\"}]"), T "[0].Arn", "is missing" },
	     { TARGETS("[{\"Id\":\"\",\"Arn\":\"f\"}]"), T "[0].Id", "is empty" },
	     { TARGETS("[{\"Id\":\"a b\",\"Arn\":\"f\"}]"), T "[0].Id", "letters, digits and .-_ only" },
	     { TARGETS("[{\"Id\":\"1\",\"Arn\":\"f\"},{\"Id\":\"1\",\"Arn\":\"g\"}]"), T "[1].Id",
	       "is the Id of target 0 already" },
	     { TARGETS("[{\"Id\":\"1\",\"Arn\":\"\"}]"), T "[0].Arn", "is empty" },
	     { TARGETS("[{\"Id\":\"1\",\"Arn\":\"file:/x\"}]"), T "[0].Arn", "must be a function, a queue or a topic" },
	     { TARGETS("[{\"Id\":\"1\",\"Arn\":\"journal:\"}]"), T "[0].Arn", "must be a function, a queue or a topic" },
	     { TARGETS("[{\"Id\":\"1\",\"Arn\":\"bus:c\"}]"), T "[0].Arn", "from bus to bus is not supported yet" },
	     { TARGETS("[{\"Id\":\"1\",\"Arn\":\"arn:aws:sqs:us-east-1:123456789012:q\"}]"), T "[0].Arn", "remote targets" },
	     { TARGETS("[{\"Id\":\"1\",\"Arn\":\"f\",\"Input\":\"{}\"}]"), T "[0].Input", "is not supported yet" },
	     { TARGETS("[{\"Id\":\"1\",\"Arn\":\"f\",\"RoleArn\":\"x\"}]"), T "[0].RoleArn", "has no effect on this host" },
	     { TARGETS("[{\"Id\":\"1\",\"Arn\":\"f\"},{\"Id\":\"2\",\"Arn\":\"f\"},{\"Id\":\"3\",\"Arn\":\"f\"},"
		       "{\"Id\":\"4\",\"Arn\":\"f\"},"
		       "{\"Id\":\"5\",\"Arn\":\"f\"},{\"Id\":\"6\",\"Arn\":\"f\"}]"), T, "has 6 entries" });
}

static void rules_refused(void)
{
	rig_one_problem(with("\"Rules\":{}"), "$.Rules", "must be a list");
	EACH({ "{\"EventBusName\":\"b\",\"Rules\":[1]}", "$.Rules[0]", "must be an object" },
	     { "{\"EventBusName\":\"b\",\"Rules\":[{\"EventPattern\":{\"source\":[\"x\"]},\"Targets\":[{\"Id\":\"1\","
	       "\"Arn\":\"f\"}]}]}", "$.Rules[0].Name", "is missing" },
	     { "{\"EventBusName\":\"b\",\"Rules\":[{\"Name\":\"r\",\"Targets\":[{\"Id\":\"1\",\"Arn\":\"f\"}]}]}", P,
	       "is missing" },
	     { "{\"EventBusName\":\"b\",\"Rules\":[{\"Name\":\"r\",\"EventPattern\":{\"source\":[\"x\"]}}]}", T, "is missing" },
	     { RULE(",\"State\":\"enabled\""), "$.Rules[0].State", "must be \"ENABLED\" or \"DISABLED\"" },
	     { RULE(",\"State\":true"), "$.Rules[0].State", "must be a string" },
	     { RULE(",\"ScheduleExpression\":\"rate(1 hour)\""), "$.Rules[0].ScheduleExpression", "is not supported yet" },
	     { RULE(",\"Name\":\"r\""), "$.Rules[0].Name", "is given twice" },
	     { RULE("},{\"Name\":\"r\",\"EventPattern\":{\"source\":[\"x\"]},\"Targets\":[{\"Id\":\"1\",\"Arn\":\"f\"}]"),
	       "$.Rules[1].Name", "is the name of $.Rules[0] already" });
}

static void names(void)
{
	char text[600];

	good("{\"EventBusName\":\"aws.partner/x/y_z-1\"}");
	snprintf(text, sizeof(text), "{\"EventBusName\":\"%s\"}", repeat('b', 256));
	CHECK_INT(strlen(good(text)->name), 256);
	snprintf(text, sizeof(text), "{\"EventBusName\":\"%s\"}", repeat('b', 257));
	rig_one_problem(text, "$.EventBusName", "has 257 characters, at most 256");
	EACH({ "{\"EventBusName\":\"\"}", "$.EventBusName", "is empty" },
	     { "{\"EventBusName\":\"a b\"}", "$.EventBusName", "letters, digits and /.-_ only" },
	     { "{\"EventBusName\":\"b\",\"TopicName\":\"t\"}", "$.TopicName", "a file of its own" },
	     { "{\"EventBusName\":\"b\",\"Rule\":[]}", "$.Rule", "did you mean Rules?" },
	     { "{\"Rules\":[]}", "$.EventBusName", "is missing" },
	     { "null", "$", "must be an object, is null" });
	snprintf(text, sizeof(text), "{\"EventBusName\":\"b\",\"Description\":\"%s\"}", repeat('d', 512));
	good(text);
	snprintf(text, sizeof(text), "{\"EventBusName\":\"b\",\"Description\":\"%s\"}", repeat('d', 513));
	rig_one_problem(text, "$.Description", "has 513 characters, at most 512");
}

static void references(void)
{
	struct bus *b = (struct bus *)good(everything);

	CHECK(bus_ref(NULL) == NULL);
	CHECK(bus_unref(NULL) == NULL);
	CHECK(bus_ref(b) == b);
	CHECK_INT(b->refs, 2);
	CHECK(bus_unref(b) == NULL);
	CHECK_INT(b->refs, 1);
}

static void mutations(void)
{
	rig_mutations(everything);
}

int main(void)
{
	RUN(every_member);
	RUN(matching);
	RUN(patterns_refused);
	RUN(targets_refused);
	RUN(rules_refused);
	RUN(names);
	RUN(references);
	RUN(mutations);
	bus_unref(last);
	TEST_END();
}
