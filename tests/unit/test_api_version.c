/* SPDX-License-Identifier: Apache-2.0 */
/* Versions and aliases on Lambda's own paths. Refusals are AWS's recorded words (vectors/api_errors.json). */
#include "test_api_ask.h"

#define FN "/2015-03-31/functions/"
#define ARN "arn:aws:lambda:us-east-1:000000000000:function:"
#define NOT_FOUND(what) "{\"Type\":\"User\",\"Message\":\"" what "\"}"

static void request(const char *method, const char *target, const char *body)
{
	ask(method, target, NULL, body, strlen(body));
}

static void made(int status)
{
	if (res.status != status)
		FAIL("%d %s", res.status, buf_str(&res.body));
}

static void alias(const char *body)
{
	request("POST", FN "echo/aliases", body);
}

static void publish(const char *body)
{
	request("POST", FN "echo/versions", body);
}

static void publish_and_list(void)
{
	struct buf first = {};
	const char *revision;

	begin();
	get(FN "echo/versions");
	made(200);
	check_in("{\"Versions\":[{\"FunctionName\":\"echo\",\"FunctionArn\":\"" ARN "echo:$LATEST\",");
	check_in("\"Version\":\"$LATEST\",");
	CHECK(!strstr(buf_str(&res.body), "\"State\""));
	publish("{\"Description\":\"first \\u00e9\"}");
	made(201);
	check_in("{\"FunctionName\":\"echo\",\"FunctionArn\":\"" ARN "echo:1\",\"Description\":\"first é\",\"Timeout\":7,"
		 "\"MemorySize\":256,\"LastModified\":\"2026-11-24T00:00:00.001+0000\",\"Version\":\"1\",");
	check_in("\"State\":\"Active\",\"LastUpdateStatus\":\"Successful\"}");
	revision = strstr(buf_str(&res.body), "\"RevisionId\":\"");
	CHECK(revision);
	buf_add(&first, revision, strlen("\"RevisionId\":\"") + ID_UUID_LEN);
	publish("");
	made(201);
	check_in("\"Description\":\"as it was\",");
	check_in("\"Version\":\"2\",");
	CHECK(!strstr(buf_str(&res.body), buf_str(&first)));	/* another version has another revision … */
	get(FN "function:echo/versions");
	check_in("\"Version\":\"$LATEST\",");
	check_in("\"FunctionArn\":\"" ARN "echo:1\",");
	check_in("\"FunctionArn\":\"" ARN "echo:2\",");
	check_in(buf_str(&first));				/* … and the same one the same, always */
	CHECK(!strstr(buf_str(&res.body), "NextMarker"));
	/* Pages. */
	get(FN "echo/versions?MaxItems=2");
	check_in("\"Version\":\"1\",");
	check_in("],\"NextMarker\":\"1\"}");
	CHECK(!strstr(buf_str(&res.body), "\"Version\":\"2\""));
	get(FN "echo/versions?MaxItems=2&Marker=1");
	check_in("{\"Versions\":[{\"FunctionName\":\"echo\",\"FunctionArn\":\"" ARN "echo:2\",");
	CHECK(!strstr(buf_str(&res.body), "NextMarker"));
	get(FN "echo/versions?Marker=x");
	check_refused(400, "InvalidParameterValueException", NULL);
	get(FN "echo/versions?MaxItems=10001");
	check_refused(400, "ValidationException", NULL);
	check_in("Value '10001' at 'maxItems' failed to satisfy constraint: Member must have value less than or equal to 10000");
	for (int i = 0; i < 60; i++)
		publish("{}");
	get(FN "echo/versions?MaxItems=10000");		/* Lambda's page has 50 at most */
	check_in("],\"NextMarker\":\"49\"}");
	buf_done(&first);
	end();
}

static void publish_refused(void)
{
	static const struct { const char *name, *body; int status; const char *type, *want; } cases[] = {
		{ "nope", "{}", 404, "ResourceNotFoundException", "Function not found: " ARN "nope\"" },
		{ "a!b", "{}", 400, "ValidationException", "Value 'a!b' at 'functionName' failed to satisfy constraint: Member "
			"must "
			"satisfy regular expression pattern: " },
		{ "a.b", "{}", 400, "ValidationException", "at 'functionName'" },	/* Invoke's pattern has dots,
			this has none */
		{ "echo:1", "{}", 400, "InvalidParameterValueException", "PublishVersion takes a function without a qualifier" },
		{ "arn:aws:lambda:us-east-1:123456789012:function:echo", "{}", 403, "AccessDeniedException",
			"lambda:PublishVersion" },
		{ "echo", "{\"RevisionId\":\"wrong\"}", 412, "PreconditionFailedException", "{\"Type\":\"User\",\"message\":\"The "
			"Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to "
			"retrieve the "
			"latest Revision Id\"}" },
		{ "echo", "{\"CodeSha256\":\"x\"}", 400, "InvalidParameterValueException", "CodeSha256: " },
		{ "echo", "{\"Description\":1}", 400, "SerializationException", "Description must be a string, is a number" },
		{ "echo", "{", 400, "SerializationException", "Could not parse request body into json" },
		{ "echo", "[]", 400, "SerializationException", "must be a JSON object, is a list" },
	};
	char target[200], body[400];

	begin();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		snprintf(target, sizeof(target), FN "%s/versions", cases[i].name);
		request("POST", target, cases[i].body);
		check_refused(cases[i].status, cases[i].type, NULL);
		check_in(cases[i].want);
	}
	snprintf(body, sizeof(body), "{\"Description\":\"%s\"}", repeat('x', 257));
	publish(body);
	check_refused(400, "ValidationException", NULL);
	check_in("at 'description' failed to satisfy constraint: Member must have length less than or equal to 256");
	fake.engine.alias_status = 201;		/* with a version that is on its way */
	publish("{}");
	check_refused(409, "ResourceConflictException", "{\"Type\":\"User\",\"message\":\"The operation cannot be performed at "
		      "this time. An update is in progress for resource: " ARN "echo\"}");
	fake.engine.alias_status = 503;
	publish("{}");
	check_refused(503, "ServiceException", NULL);
	get(FN "nope/versions");
	check_refused(404, "ResourceNotFoundException", NOT_FOUND("Function not found: " ARN "nope"));
	end();
}

static void aliases(void)
{
	begin();
	publish("{}");
	publish("{}");
	alias("{\"Name\":\"prod\",\"FunctionVersion\":\"1\",\"Description\":\"custom\",\"RoutingConfig\":"
	      "{\"AdditionalVersionWeights\":{\"2\":0.2}}}");
	made(201);
	check_in("{\"AliasArn\":\"" ARN "echo:prod\",\"Name\":\"prod\",\"FunctionVersion\":\"1\",\"Description\":\"custom\","
		 "\"RoutingConfig\":{\"AdditionalVersionWeights\":{\"2\":0.2}},\"RevisionId\":\"");
	alias("{\"Name\":\"prod\",\"FunctionVersion\":\"1\"}");
	check_refused(409, "ResourceConflictException", "{\"Type\":\"User\",\"message\":\"Alias already exists: "
		ARN "echo:prod\"}");
	alias("{\"Name\":\"latest\",\"FunctionVersion\":\"$LATEST\"}");
	made(201);
	check_in("\"FunctionVersion\":\"$LATEST\",\"Description\":\"\",\"RevisionId\":\"");
	get(FN "echo/aliases/prod");
	check_in("{\"AliasArn\":\"" ARN "echo:prod\",");
	/* What is absent stays; an empty object clears. */
	request("PUT", FN "echo/aliases/prod",
		"{\"FunctionVersion\":\"2\",\"RoutingConfig\":{\"AdditionalVersionWeights\":{\"1\":1}}}");
	made(200);
	check_in("\"FunctionVersion\":\"2\",\"Description\":\"custom\","
		 "\"RoutingConfig\":{\"AdditionalVersionWeights\":{\"1\":1.0}},");
	request("PUT", FN "echo/aliases/prod", "{\"RoutingConfig\":{}}");
	check_in("\"FunctionVersion\":\"2\",\"Description\":\"custom\",\"RevisionId\":\"");
	request("PUT", FN "echo/aliases/prod", "{}");
	made(200);
	get(FN "echo/aliases");
	check_in("{\"Aliases\":[{\"AliasArn\":\"" ARN "echo:latest\",");
	check_in("},{\"AliasArn\":\"" ARN "echo:prod\",");
	get(FN "echo/aliases?MaxItems=1");
	check_in("],\"NextMarker\":\"latest\"}");
	get(FN "echo/aliases?MaxItems=1&Marker=latest");
	check_in("{\"Aliases\":[{\"AliasArn\":\"" ARN "echo:prod\",");
	CHECK(!strstr(buf_str(&res.body), "NextMarker"));
	get(FN "echo/aliases?FunctionVersion=2");
	check_in("{\"Aliases\":[{\"AliasArn\":\"" ARN "echo:prod\",");
	get(FN "echo/aliases?FunctionVersion=99999999999");
	CHECK_STR(buf_str(&res.body), "{\"Aliases\":[]}");
	request("DELETE", FN "echo/aliases/prod", "");
	made(204);
	CHECK_INT(res.body.len, 0);
	request("DELETE", FN "echo/aliases/prod", "");	/* none of that name is fine */
	made(204);
	get(FN "echo/aliases/prod");
	check_refused(404, "ResourceNotFoundException", NOT_FOUND("Cannot find alias arn: " ARN "echo:prod"));
	request("PUT", FN "echo/aliases/prod", "{}");
	check_refused(404, "ResourceNotFoundException", NOT_FOUND("Alias not found: " ARN "echo:prod"));
	end();
}

#define WEIGHT(map) "1 validation error detected: Value '" map "' at 'routingConfig.additionalVersionWeights' failed to satisfy " \
	"constraint: Map value must satisfy constraint: [Member must have value less than or equal to 1.0, Member must have " \
		"value " \
	"greater than or equal to 0.0, Member must not be null]"

static void aliases_refused(void)
{
#define ROUTED(v, w) "{\"Name\":\"custom\",\"FunctionVersion\":\"" v "\",\"RoutingConfig\":{\"AdditionalVersionWeights\":" w "}}"
	static const struct { const char *body; int status; const char *type, *want; } cases[] = {
		{ ROUTED("1", "{\"2\":2}"), 400, "ValidationException", "{\"message\":\"" WEIGHT("{2=2.0}") "\"}" },
		{ ROUTED("1", "{\"2\":-1}"), 400, "ValidationException", WEIGHT("{2=-1.0}") },
		{ ROUTED("1", "{\"2\":null}"), 400, "ValidationException", WEIGHT("{2=null}") },
		{ ROUTED("1", "{\"$LATEST\":0.5}"), 400, "ValidationException", "Map keys must satisfy constraint: [" },
		{ ROUTED("1", "{\"1\":0.5}"), 400, "InvalidParameterValueException",
			"{\"Type\":\"User\",\"message\":\"Invalid function "
			"version 1. Function version 1 is already included in routing configuration.\"}" },
		{ ROUTED("10", "{\"2\":0.5}"), 404, "ResourceNotFoundException", NOT_FOUND("Function not found: " ARN "echo:10") },
		{ ROUTED("1", "{\"10\":0.5}"), 404, "ResourceNotFoundException", NOT_FOUND("Function not found: " ARN "echo:10") },
		{ ROUTED("1", "{\"1\":0.5,\"2\":0.5}"), 400, "InvalidParameterValueException", "Number of items in "
			"AdditionalVersionWeights cannot be greater than 1" },
		{ ROUTED("$LATEST", "{\"2\":0.5}"), 400, "ValidationException",
			"{\"message\":\"$LATEST is not supported for an alias "
			"pointing to more than 1 version\"}" },
		{ ROUTED("1", "[]"), 400, "SerializationException", "RoutingConfig.AdditionalVersionWeights must be an object" },
		{ ROUTED("01", "{}"), 404, "ResourceNotFoundException", "echo:01" },
		{ "{\"Name\":\"custom\"}", 400, "ValidationException",
			"1 validation error detected: Value null at 'functionVersion' failed "
			"to satisfy constraint: Member must not be null" },
		{ "", 400, "ValidationException", "2 validation errors detected: " },
		{ "{\"Name\":\"2024\",\"FunctionVersion\":\"x\"}", 400, "ValidationException",
			"2 validation errors detected: Value 'x' at "
			"'functionVersion' failed to satisfy constraint: Member must satisfy regular expression pattern: "
			"(\\\\$LATEST(\\\\.PUBLISHED)?|[0-9]+); Value '2024' at 'name'" },
		{ "{\"Name\":\"a:b\",\"FunctionVersion\":\"1\"}", 400, "ValidationException", "Value 'a:b' at 'name'" },
		{ "{\"Name\":7,\"FunctionVersion\":\"1\"}", 400, "SerializationException", "Name must be a string, is a number" },
		{ "{\"Name\":\"x\",\"FunctionVersion\":\"1\",\"RoutingConfig\":1}", 400, "SerializationException",
			"RoutingConfig must be" },
	};
	char body[300];

	begin();
	publish("{}");
	publish("{}");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		alias(cases[i].body);
		if (res.status != cases[i].status)
			FAIL("%s: %d %s", cases[i].body, res.status, buf_str(&res.body));
		check_refused(cases[i].status, cases[i].type, NULL);
		check_in(cases[i].want);
	}
	snprintf(body, sizeof(body), "{\"Name\":\"%s\",\"FunctionVersion\":\"1\"}", repeat('a', 129));
	alias(body);
	check_in("at 'name' failed to satisfy constraint: Member must have length less than or equal to 128");
	request("POST", FN "unknown/aliases", ROUTED("1", "{\"2\":0.5}"));
	check_refused(404, "ResourceNotFoundException", NOT_FOUND("Function not found: " ARN "unknown:1"));
	get(FN "echo/aliases/2024");
	check_refused(400, "ValidationException", NULL);
	get(FN "echo/aliases?FunctionVersion=x");
	check_refused(400, "ValidationException", NULL);
	get(FN "echo/aliases?Marker=1");
	check_refused(400, "InvalidParameterValueException", NULL);
	get(FN "echo/aliases");
	CHECK_STR(buf_str(&res.body), "{\"Aliases\":[]}");	/* none of these was made */
	snprintf(body, sizeof(body), "{\"Name\":\"%s\",\"FunctionVersion\":\"2\"}", repeat('a', 128));
	alias(body);
	made(201);
	alias("{\"Name\":\"2024-01-02\",\"FunctionVersion\":\"2\"}");
	made(201);
	request("PUT", FN "echo/aliases/2024-01-02", "{\"RevisionId\":\"wrong\"}");
	check_refused(412, "PreconditionFailedException", NULL);
	fake.engine.alias_status = 409;		/* somebody else has changed it in the same turn */
	request("PUT", FN "echo/aliases/2024-01-02", "{}");
	check_refused(409, "ResourceConflictException", "{\"Type\":\"User\",\"message\":\"The operation cannot be performed at "
		      "this time. An update is in progress for resource: " ARN "echo:2024-01-02\"}");
	fake.engine.alias_status = 503;
	request("PUT", FN "echo/aliases/2024-01-02", "{}");
	check_refused(503, "ServiceException", NULL);
	request("DELETE", FN "echo/aliases/2024-01-02", "");
	check_refused(503, "ServiceException", NULL);
	end();
}

int main(void)
{
	RUN(publish_and_list);
	RUN(publish_refused);
	RUN(aliases);
	RUN(aliases_refused);
	TEST_END();
}
