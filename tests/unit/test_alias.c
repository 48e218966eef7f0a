/* SPDX-License-Identifier: Apache-2.0 */
/* Aliases and versions as text: what is taken, what is refused and in which words, and whose turn it is. */
#include "model/alias.h"

#include <errno.h>
#include <float.h>
#include <math.h>

#include "base/mem.h"
#include "lib/test.h"

static struct alias *last;
static struct err why;

static int into_last(const char *json)
{
	why = (struct err){};
	return alias_read(last, json, strlen(json), &why);
}

static struct alias *good(const char *json)
{
	alias_unref(last);
	last = alias_new();
	if (into_last(json) != 0)
		FAIL("%s: %s", json, why.msg);
	return last;
}

static void versions(void)
{
	static const struct { const char *text; int version; } rows[] = {
		{ "$LATEST", 0 }, { "1", 1 }, { "10", 10 }, { "999999999", LIM_VERSION_MAX },
	};
	static const char *const bad[] = { "", "0", "01", "-1", "+1", " 1", "1 ", "1.0", "1e1", "1a", "a", "$latest", "$LATEST ",
		"LATEST",
					   "$LATEST.PUBLISHED", "1000000000", "9999999999", "99999999999999999999", "\xd9\xa1" };
	char text[VERSION_LEN + 1];
	int v;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		v = -7;
		CHECK_INT(version_parse(rows[i].text, &v), 0);
		CHECK_INT(v, rows[i].version);
		CHECK(version_format(v, text) == text);
		CHECK_STR(text, rows[i].text);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		v = -7;
		if (version_parse(bad[i], &v) != -EINVAL)
			FAIL("\"%s\" is version %d", bad[i], v);
		CHECK_INT(v, -7);
	}
}

static void a_new_one(void)
{
	struct alias *a = good("{}");

	CHECK_INT(a->version, 0);
	CHECK_INT(a->other, 0);
	CHECK(a->other_weight == 0);
	CHECK_STR(a->description, "");
	CHECK_STR(a->revision, "");
	CHECK(!alias_unref(NULL));
	CHECK(alias_ref(a) == a);
	CHECK_INT(a->refs, 2);
	CHECK(!alias_unref(a));
	CHECK_INT(a->refs, 1);
}

static void every_member(void)
{
	struct alias *a = good(" {\"Description\":\"caf\\u00e9 \\ud83d\\ude00\",\"FunctionVersion\":\"12\",\"RoutingConfig\":"
			       "{\"AdditionalVersionWeights\":{\"3\":0.25}},"
			       "\"RevisionId\":\"8f5e0c8a-1111-4222-8333-444455556666\"} ");

	CHECK_STR(a->description, "caf\xc3\xa9 \xf0\x9f\x98\x80");
	CHECK_INT(a->version, 12);
	CHECK_INT(a->other, 3);
	CHECK(a->other_weight == 0.25);
	CHECK_STR(a->revision, "8f5e0c8a-1111-4222-8333-444455556666");
	CHECK_INT(good("{\"FunctionVersion\":\"$LATEST\"}")->version, 0);
	/* Members that are not about it, Name among them (it is in the path), are no matter of this reader. */
	CHECK_INT(good("{\"Name\":\"live\",\"FunctionVersion\":\"2\",\"functionversion\":\"3\"}")->version, 2);
	CHECK(good("{\"FunctionVersion\":\"1\",\"RoutingConfig\":{\"AdditionalVersionWeights\":{\"2\":0}}}")->other_weight == 0);
	CHECK_INT(last->other, 2);
	CHECK(good("{\"FunctionVersion\":\"1\",\"RoutingConfig\":{\"AdditionalVersionWeights\":{\"2\":1}}}")->other_weight == 1);
}

/* UpdateAlias: what is not there stays as it is; an empty RoutingConfig is there. */
static void updates(void)
{
	static const char begin[] = "{\"Description\":\"d\",\"FunctionVersion\":\"1\",\"RoutingConfig\":"
				    "{\"AdditionalVersionWeights\":{\"2\":0.5}},\"RevisionId\":\"r\"}";
	static const char *const nothing[] = { "{}", "{\"Description\":null}", "{\"FunctionVersion\":null,\"RevisionId\":null}",
					       "{\"RoutingConfig\":null}" };
	static const char *const clear[] = { "{\"RoutingConfig\":{}}", "{\"RoutingConfig\":{\"AdditionalVersionWeights\":{}}}",
					     "{\"RoutingConfig\":{\"AdditionalVersionWeights\":null}}" };

	for (size_t i = 0; i < ARRAY_SIZE(nothing); i++) {
		good(begin);
		if (into_last(nothing[i]) != 0)
			FAIL("%s: %s", nothing[i], why.msg);
		CHECK_STR(last->description, "d");
		CHECK_STR(last->revision, "r");
		CHECK_INT(last->version, 1);
		CHECK_INT(last->other, 2);
		CHECK(last->other_weight == 0.5);
	}
	for (size_t i = 0; i < ARRAY_SIZE(clear); i++) {
		good(begin);
		CHECK_INT(into_last(clear[i]), 0);
		CHECK_INT(last->version, 1);
		CHECK_INT(last->other, 0);
		CHECK(last->other_weight == 0);
	}
	good(begin);
	CHECK_INT(into_last("{\"FunctionVersion\":\"3\",\"Description\":\"\"}"), 0);
	CHECK_INT(last->version, 3);
	CHECK_INT(last->other, 2);
	CHECK_STR(last->description, "");
	/* The other version is still the other one: not the same twice, and none beside $LATEST. */
	CHECK_INT(into_last("{\"FunctionVersion\":\"2\"}"), -EINVAL);
	good(begin);
	CHECK_INT(into_last("{\"FunctionVersion\":\"$LATEST\"}"), -EINVAL);
	good(begin);
	CHECK_INT(into_last("{\"FunctionVersion\":\"$LATEST\",\"RoutingConfig\":{}}"), 0);
	CHECK_INT(last->version, 0);
}

#define WEIGHTS(w) "{\"FunctionVersion\":\"1\",\"RoutingConfig\":{\"AdditionalVersionWeights\":" w "}}"

static void refused(void)
{
	static const struct { const char *json, *word; } rows[] = {
		{ "", "JSON" }, { "{", "JSON" }, { "{\"FunctionVersion\":\"1\"} x", "JSON" }, { "{'FunctionVersion':'1'}", "JSON" },
		{ "{\"Description\":\"\xff\"}", "JSON" },
		{ "[]", "must be a JSON object" }, { "null", "must be a JSON object" }, { "\"1\"", "must be a JSON object" },
		{ "{\"FunctionVersion\":1}", "FunctionVersion must be a string" },
		{ "{\"FunctionVersion\":\"\"}", "FunctionVersion" }, { "{\"FunctionVersion\":\"0\"}",
			"FunctionVersion 0 is neither" },
		{ "{\"FunctionVersion\":\"live\"}", "FunctionVersion live is neither $LATEST nor" },
		{ "{\"FunctionVersion\":\"1\\u0000\"}", "FunctionVersion contains a NUL" },
		{ "{\"FunctionVersion\":\"1234567890123\"}", "FunctionVersion has more than 12 bytes" },
		{ "{\"Description\":7}", "Description must be a string" },
		{ "{\"Description\":\"a\\u0000b\"}", "Description contains a NUL" },
		{ "{\"Description\":\"\\ud800\"}", "Description contains half of a surrogate pair" },
		{ "{\"RevisionId\":[]}", "RevisionId must be a string" },
		{ "{\"RevisionId\":\"8f5e0c8a-1111-4222-8333-4444555566667\"}", "RevisionId has more than 36 bytes" },
		{ "{\"FunctionVersion\":\"1\",\"RoutingConfig\":[]}", "RoutingConfig must be an object" },
		{ "{\"FunctionVersion\":\"1\",\"RoutingConfig\":true}", "RoutingConfig must be an object" },
		{ WEIGHTS("[]"), "AdditionalVersionWeights must be an object" },
		{ WEIGHTS("0.5"), "AdditionalVersionWeights must be an object" },
		{ WEIGHTS("{\"2\":0.1,\"3\":0.1}"), "one version at most" },
		{ WEIGHTS("{\"2\":0.1,\"2\":0.1}"), "one version at most" },
		{ WEIGHTS("{\"$LATEST\":0.1}"), "$LATEST is no published version's number" },
		{ WEIGHTS("{\"live\":0.1}"), "live is no published" }, { WEIGHTS("{\"\":0.1}"), "is no published" },
		{ WEIGHTS("{\"0\":0.1}"), "0 is no published" }, { WEIGHTS("{\"2\\u0000\":0.1}"), "is no published" },
		{ WEIGHTS("{\"1000000000\":0.1}"), "is no published" },
		{ WEIGHTS("{\"2\":-0.1}"), "AdditionalVersionWeights.2 must be 0.0 to 1.0" },
		{ WEIGHTS("{\"2\":-1e-300}"), "AdditionalVersionWeights.2 must be" },
		{ WEIGHTS("{\"2\":1.0000001}"), "must be 0.0 to 1.0" }, { WEIGHTS("{\"2\":2}"), "must be 0.0 to 1.0" },
		{ WEIGHTS("{\"2\":1e999}"), "must be 0.0 to 1.0" }, { WEIGHTS("{\"2\":\"0.5\"}"), "must be 0.0 to 1.0" },
		{ WEIGHTS("{\"2\":null}"), "must be 0.0 to 1.0" }, { WEIGHTS("{\"2\":{}}"), "must be 0.0 to 1.0" },
		{ WEIGHTS("{\"1\":0.5}"), "different published versions" },
		{ "{\"FunctionVersion\":\"$LATEST\",\"RoutingConfig\":{\"AdditionalVersionWeights\":{\"2\":0.5}}}",
			"$LATEST is none" },
		{ "{\"RoutingConfig\":{\"AdditionalVersionWeights\":{\"2\":0.5}}}", "$LATEST is none" },
	};
	char text[400];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		alias_unref(last);
		last = alias_new();
		if (into_last(rows[i].json) != -EINVAL)
			FAIL("%s was taken", rows[i].json);
		if (!strstr(why.msg, rows[i].word))
			FAIL("%s: \"%s\" does not say \"%s\"", rows[i].json, why.msg, rows[i].word);
		CHECK_INT(alias_read(last, rows[i].json, strlen(rows[i].json), NULL), -EINVAL);
	}
	snprintf(text, sizeof(text), "{\"Description\":\"%s\"}", repeat('d', 256));
	CHECK_INT(strlen(good(text)->description), 256);
	snprintf(text, sizeof(text), "{\"Description\":\"%s\"}", repeat('d', 257));
	CHECK_INT(into_last(text), -EINVAL);
	CHECK(strstr(why.msg, "Description has more than 256"));
	/* No more is read than was given. */
	alias_unref(last);
	last = alias_new();
	CHECK_INT(alias_read(last, "{\"FunctionVersion\":\"1\"}\"", 23, &why), 0);
	CHECK_INT(alias_read(last, "{\"FunctionVersion\":\"1\"}", 22, &why), -EINVAL);
}

static void written_and_read_again(void)
{
	static const char *const weights[] = { "0", "1", "0.1", "0.5", "0.3333333333333333", "0.1234567890123456", "1e-300",
		"5e-324",
					       "0.9999999999999999", "2.2250738585072014e-308" };
	struct alias *a = good("{\"FunctionVersion\":\"1\"}");
	struct blob *b = alias_write(a), *again;

	CHECK_STR(b->data, "{\"Description\":\"\",\"FunctionVersion\":\"1\",\"RevisionId\":\"\"}");
	blob_unref(b);
	b = alias_write(good("{\"FunctionVersion\":\"1\",\"RoutingConfig\":{\"AdditionalVersionWeights\":{\"2\":0.2}},"
			     "\"Description\":\"a\\\"\\n\\\\\\u00e9\",\"RevisionId\":\"r\"}"));
	CHECK_STR(b->data, "{\"Description\":\"a\\\"\\n\\\\\xc3\xa9\",\"FunctionVersion\":\"1\",\"RoutingConfig\":"
		  "{\"AdditionalVersionWeights\":{\"2\":0.2}},\"RevisionId\":\"r\"}");
	blob_unref(b);
	for (size_t i = 0; i < ARRAY_SIZE(weights); i++) {
		CLEAN(alias_unrefp) struct alias *copy = alias_new();
		char json[200];

		snprintf(json, sizeof(json), "{\"Description\":\"%zu\",\"FunctionVersion\":\"999999999\",\"RevisionId\":\"x\","
			 "\"RoutingConfig\":{\"AdditionalVersionWeights\":{\"7\":%s}}}", i, weights[i]);
		b = alias_write(good(json));
		CHECK_INT(alias_read(copy, b->data, b->len, &why), 0);
		CHECK_STR(copy->description, last->description);
		CHECK_STR(copy->revision, "x");
		CHECK_INT(copy->version, LIM_VERSION_MAX);
		CHECK_INT(copy->other, 7);
		/* To the last bit but for cJSON's own tolerance, an epsilon. */
		if (fabs(copy->other_weight - last->other_weight) > DBL_EPSILON * last->other_weight)
			FAIL("%s became %.17g", weights[i], copy->other_weight);
		again = alias_write(copy);
		CHECK_STR(again->data, b->data);
		blob_unref(again);
		blob_unref(b);
	}
	/* $LATEST is written, so that an update finds it. */
	b = alias_write(good("{}"));
	CHECK(strstr(b->data, "\"FunctionVersion\":\"$LATEST\""));
	CHECK(!strstr(b->data, "RoutingConfig"));
	blob_unref(b);
}

/* A fixed set of numbers, spread evenly: each weight gets its share to the number. */
static void shares(void)
{
	static const struct { double weight; int others; } rows[] = {
		{ 0, 0 }, { 0.0009, 1 }, { 0.1, 100 }, { 0.25, 250 }, { 0.5, 500 }, { 0.999, 999 }, { 0.9999, 1000 }, { 1, 1000 },
	};
	struct alias a = { .version = 4, .other = 9 };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int others = 0;

		a.other_weight = rows[i].weight;
		for (uint64_t k = 0; k < 1000; k++) {
			/* k / 1000 of the range, and a bit more, so that no weight is met exactly. */
			int v = alias_pick(&a, k * (UINT64_MAX / 1000) + UINT64_MAX / 4000);

			CHECK(v == 4 || v == 9);
			others += v == 9;
		}
		if (others != rows[i].others)
			FAIL("weight %g: %d of 1000, want %d", rows[i].weight, others, rows[i].others);
	}
	/* The ends. All the weight is all events, none is none, whatever the number. */
	a.other_weight = 0;
	CHECK_INT(alias_pick(&a, 0), 4);
	a.other_weight = 1;
	CHECK_INT(alias_pick(&a, UINT64_MAX), 9);
	a.other_weight = 0.5;
	CHECK_INT(alias_pick(&a, 0), 9);
	CHECK_INT(alias_pick(&a, (1ULL << 63) - 1), 9);
	CHECK_INT(alias_pick(&a, 1ULL << 63), 4);
	CHECK_INT(alias_pick(&a, UINT64_MAX), 4);
	/* Without another one its weight means nothing. */
	a = (struct alias){ .version = 4, .other_weight = 1 };
	CHECK_INT(alias_pick(&a, 0), 4);
}

int main(void)
{
	RUN(versions);
	RUN(a_new_one);
	RUN(every_member);
	RUN(updates);
	RUN(refused);
	RUN(written_and_read_again);
	RUN(shares);
	alias_unref(last);
	TEST_END();
}
