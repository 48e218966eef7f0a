/* SPDX-License-Identifier: Apache-2.0 */
/* Every operation, good and bad input, as bytes on the wire. */
#include "api/api_error.h"
#include "api/route_table.h"
#include "base/json.h"
#include "test_api_ask.h"

#define INVOKE(name) "/2015-03-31/functions/" name "/invocations"

static void invoke(const char *target, const char *type, const char *body)
{
	const char *headers[2] = {};
	char header[64];

	if (type) {
		snprintf(header, sizeof(header), "X-Amz-Invocation-Type: %s", type);
		headers[0] = header;
	}
	ask("POST", target, headers, body, strlen(body));
}

/* ---- Invoke ------------------------------------------------------------------------------------------------ */

static void invoke_sync(void)
{
	begin();
	invoke(INVOKE("echo"), NULL, "{\"n\":12345678901234567890.10} ");
	CHECK_INT(res.status, 200);
	CHECK_STR(buf_str(&res.body), "{\"n\":12345678901234567890.10} ");	/* the very bytes */
	CHECK_STR(http_result_header(&res, "X-Amz-Executed-Version"), "$LATEST");
	CHECK_STR(http_result_header(&res, "x-amzn-RequestId"), FAKE_ID);
	CHECK_STR(http_result_header(&res, "X-Fate-Outcome"), "Success");
	CHECK(!http_result_header(&res, "X-Amz-Function-Error"));
	CHECK_INT(fake.engine.last_type, INTAKE_SYNC);
	CHECK_STR(fake.engine.last_fn.qualifier, "");

	invoke(INVOKE("echo"), "RequestResponse", "");
	CHECK_INT(res.status, 200);
	CHECK_STR(buf_str(&res.body), "{}");
	CHECK_STR(fake.engine.last_payload, "{}");

	invoke(INVOKE("silent"), NULL, "null");
	CHECK_INT(res.status, 200);
	CHECK_INT(res.body.len, 0);

	invoke(INVOKE("timeout"), NULL, "{}");
	CHECK_INT(res.status, 200);
	CHECK_STR(http_result_header(&res, "X-Amz-Function-Error"), "Unhandled");
	CHECK_STR(http_result_header(&res, "X-Amz-Executed-Version"), "$LATEST");
	CHECK_STR(http_result_header(&res, "X-Fate-Outcome"), "Timeout");
	CHECK_STR(buf_str(&res.body), "{\"errorType\":\"Sandbox.Timedout\",\"errorMessage\":\"RequestId: " FAKE_ID
				      " Error: Task timed out after 3.00 seconds\"}");
	end();
}

static void invoke_event_and_dry_run(void)
{
	begin();
	invoke(INVOKE("echo"), "Event", "[1]");
	CHECK_INT(res.status, 202);
	CHECK_INT(res.body.len, 0);
	CHECK_STR(http_result_header(&res, "Content-Length"), "0");
	CHECK_STR(http_result_header(&res, "x-amzn-RequestId"), FAKE_ID);
	CHECK(!http_result_header(&res, "X-Amz-Executed-Version"));
	CHECK_INT(fake.engine.last_type, INTAKE_ASYNC);
	CHECK_STR(fake.engine.last_payload, "[1]");
	invoke(INVOKE("echo"), "Event", "");
	CHECK_INT(res.status, 202);
	CHECK_STR(fake.engine.last_payload, "{}");
	invoke(INVOKE("echo"), "DryRun", "{}");
	CHECK_INT(res.status, 204);
	CHECK_INT(res.body.len, 0);
	CHECK_INT(fake.engine.last_type, INTAKE_DRY_RUN);
	end();
}

static void invoke_names(void)
{
	static const char *const good[] = {
		INVOKE("echo"), INVOKE("echo:$LATEST"), INVOKE("echo%3A%24LATEST"), INVOKE("function:echo"),
		INVOKE("000000000000:function:echo"), INVOKE("arn:aws:lambda:eu-west-1:000000000000:function:echo"),
		INVOKE("arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3Afunction%3Aecho%3A%24LATEST"),
		INVOKE("echo") "?Qualifier=$LATEST",
		INVOKE("echo") "?Qualifier=%24LATEST&unknown=1", INVOKE("echo:$LATEST") "?Qualifier=$LATEST",
	};

	begin();
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		invoke(good[i], NULL, "1");
		if (res.status != 200)
			FAIL("%s: %s", good[i], buf_str(&res.body));
		CHECK_STR(fake.engine.last_fn.name, "echo");
		CHECK_STR(fake.engine.last_fn.qualifier, strstr(good[i], "LATEST") ? "$LATEST" : "");
	}
	CHECK_INT(fake.engine.invoked, (int)ARRAY_SIZE(good));
	/* What a qualifier is, is the engine's to say. */
	fake.engine.version_run = 3;
	invoke(INVOKE("echo:3"), NULL, "{}");
	CHECK_INT(res.status, 200);
	CHECK_STR(fake.engine.last_fn.qualifier, "3");
	CHECK_STR(http_result_header(&res, "X-Amz-Executed-Version"), "3");
	invoke(INVOKE("echo") "?Qualifier=prod", NULL, "{}");
	CHECK_STR(fake.engine.last_fn.qualifier, "prod");
	invoke(INVOKE("echo:prod") "?Qualifier=$LATEST", NULL, "{}");
	check_refused(400, "InvalidParameterValueException",
		      "{\"Type\":\"User\",\"message\":\"The derived qualifier from the function name "
		      "does not match the specified qualifier.\"}");
	/* What AWS's pattern allows and no function of ours can be called: not found, not invalid. */
	invoke(INVOKE("a.b"), NULL, "{}");
	check_refused(404, "ResourceNotFoundException",
		      "{\"Type\":\"User\",\"Message\":\"Function not found: "
		      "arn:aws:lambda:us-east-1:000000000000:function:a.b:$LATEST\"}");
	invoke(INVOKE("nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"), NULL, "{}");	/* 65 */
	check_refused(404, "ResourceNotFoundException", NULL);
	invoke(INVOKE("arn:aws:lambda:us-east-1:123456789012:function:echo"), NULL, "{}");
	check_refused(403, "AccessDeniedException", NULL);
	check_in("not authorized to perform: lambda:InvokeFunction on resource: "
		 "arn:aws:lambda:us-east-1:123456789012:function:echo");
	invoke(INVOKE("nope"), NULL, "{}");
	check_refused(404, "ResourceNotFoundException",
		      "{\"Type\":\"User\",\"Message\":\"Function not found: "
		      "arn:aws:lambda:us-east-1:000000000000:function:nope:$LATEST\"}");
	CHECK_INT(fake.engine.invoked, (int)ARRAY_SIZE(good) + 3);
	end();
}

static void invoke_schema(void)
{
	static const struct { const char *target, *type, *want; } cases[] = {
		{ INVOKE("bad%20name"), NULL, "1 validation error detected: Value 'bad name' at 'functionName' failed to "
					      "satisfy constraint: Member must satisfy regular expression pattern: "
					      "(arn:(aws[a-zA-Z-]*)?:lambda:)?" },
		{ INVOKE("echo:1:2"), NULL, "Value 'echo:1:2' at 'functionName'" },
		{ INVOKE("arn:aws:lambda:nowhere:000000000000:function:echo"), NULL, "at 'functionName'" },
		{ INVOKE("a%2Fb"), NULL, "Value 'a/b' at 'functionName'" },
		{ INVOKE("echo") "?Qualifier=a!b", NULL, "1 validation error detected: Value 'a!b' at 'qualifier'" },
		{ INVOKE("echo") "?Qualifier=", NULL, "Value '' at 'qualifier'" },
		{ INVOKE("echo"), "Later", "Value 'Later' at 'invocationType' failed to satisfy constraint: Member must "
					   "satisfy enum value set: [Event, RequestResponse, DryRun]" },
		{ INVOKE("b!d") "?Qualifier=!", "event", "3 validation errors detected: Value 'b!d' at 'functionName'" },
		{ INVOKE("echo%zz"), NULL, "broken percent-encoding" },
		{ INVOKE("echo%00"), NULL, "broken percent-encoding" },
	};
	const char *log[] = { "X-Amz-Log-Type: Head", NULL };
	char target[1024], longer[700];

	begin();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		invoke(cases[i].target, cases[i].type, "{}");
		check_refused(400, "ValidationException", NULL);
		check_in(cases[i].want);
	}
	ask("POST", INVOKE("echo"), log, "{}", 2);
	check_refused(400, "ValidationException", NULL);
	check_in("at 'logType'");
	for (int n = 257; n < 600; n += 300) {
		memset(longer, 'x', sizeof(longer));
		longer[n] = '\0';
		snprintf(target, sizeof(target), INVOKE("%s"), longer);
		invoke(target, NULL, "{}");
		check_refused(400, "ValidationException", NULL);
		check_in(n == 257 ? "Member must have length less than or equal to 256" : "less than or equal to 511");
	}
	longer[129] = '\0';
	snprintf(target, sizeof(target), INVOKE("echo") "?Qualifier=%s", longer);
	invoke(target, NULL, "{}");
	check_refused(400, "ValidationException", NULL);
	check_in("Member must have length less than or equal to 128");
	CHECK_INT(fake.engine.invoked, 0);
	end();
}

static void invoke_bad_events(void)
{
	static const struct { const char *body; size_t len; const char *want; } cases[] = {
		{ "x", 1, "Unexpected character ('x' (code 120))\\n at [Source: REDACTED "
			  "(`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled); line: 1, column: 1]" },
		{ "{\n \"a\": }", 9, "('}' (code 125))" }, { "{", 1, "Unexpected end-of-input" },
		{ " ", 1, "Unexpected end-of-input" },
		{ "\"\xff\"", 3, "Invalid UTF-8 start byte 0xff" }, { "\"a\nb\"", 5, "CTRL-CHAR, code 10" },
		{ "{}{}", 4, "line: 1, column: 3" },
		{ "[1,\n2,\n,]", 9, "line: 3, column: 1" }, { "{\"a\":1\0}", 8, "CTRL-CHAR, code 0" },
	};

	begin();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		ask("POST", INVOKE("echo"), NULL, cases[i].body, cases[i].len);
		check_refused(400, "InvalidRequestContentException", NULL);
		check_in("{\"Type\":\"User\",\"message\":\"Could not parse request body into json: Could not parse payload "
			 "into json: ");
		check_in(cases[i].want);
	}
	CHECK_INT(fake.engine.invoked, 0);
	end();
}

static char *long_event(size_t len)
{
	char *event = malloc(len);

	memset(event, 'x', len);
	event[0] = event[len - 1] = '"';
	return event;
}

static void invoke_limits(void)
{
	const char *event[] = { "X-Amz-Invocation-Type: Event", NULL };
	char *body = long_event(LIM_SYNC_PAYLOAD + 1);

	begin();
	body[LIM_SYNC_PAYLOAD - 1] = '"';
	ask("POST", INVOKE("echo"), NULL, body, LIM_SYNC_PAYLOAD);
	CHECK_INT(res.status, 200);
	CHECK_INT(res.body.len, LIM_SYNC_PAYLOAD);
	ask("POST", INVOKE("echo"), NULL, body, LIM_SYNC_PAYLOAD + 1);
	check_refused(413, "RequestEntityTooLargeException",
		      "{\"Message\":\"Request must be smaller than 6291456 bytes for the InvokeFunction operation\"}");
	ask("POST", INVOKE("echo"), event, body, LIM_SYNC_PAYLOAD + 1);
	check_refused(413, "RequestEntityTooLargeException",
		      "{\"Message\":\"6291457 byte payload is too large for the Event invocation type (limit 1048576 bytes)\"}");
	ask("POST", INVOKE("echo"), event, body, LIM_ASYNC_PAYLOAD + 1);
	check_refused(413, "RequestEntityTooLargeException",
		      "{\"Message\":\"1048577 byte payload is too large for the Event invocation type (limit 1048576 bytes)\"}");
	body[LIM_ASYNC_PAYLOAD - 1] = '"';
	ask("POST", INVOKE("echo"), event, body, LIM_ASYNC_PAYLOAD);
	CHECK_INT(res.status, 202);
	CHECK_INT(fake.engine.invoked, 2);
	free(body);
	end();
}

static void invoke_refused_by_the_engine(void)
{
	begin();
	invoke(INVOKE("throttled"), NULL, "{}");
	check_refused(429, "TooManyRequestsException",
		      "{\"Reason\":\"ReservedFunctionConcurrentInvocationLimitExceeded\",\"Type\":\"User\","
		      "\"message\":\"Rate Exceeded.\"}");
	CHECK_STR(http_result_header(&res, "x-amzn-RequestId"), FAKE_ID);
	invoke(INVOKE("doubt"), "Event", "{}");
	check_refused(503, "ServiceException", "{\"Type\":\"Service\",\"Message\":\"The store is in doubt: disk full\"}");
	invoke(INVOKE("hostfault"), NULL, "{}");
	check_refused(500, "ServiceException",
		      "{\"Type\":\"Service\",\"Message\":\"clone3: \\\"Resource\\\" temporarily unavailable\"}");
	end();
}

static void client_goes_away(void)
{
	int fd;

	begin();
	fd = raw_connect(fake.rig.path);
	CHECK(raw_sends(fd, "POST " INVOKE("hang") " HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"));
	wait_count(&fake.engine.invoked, 1);
	close(fd);
	wait_count(&fake.engine.abandoned, 1);
	fd = raw_connect(fake.rig.path);
	CHECK(raw_sends(fd, "GET /fate/v1/events/" FAKE_OPEN_ID "/wait HTTP/1.1\r\nHost: x\r\n\r\n"));
	wait_count(&fake.engine.invoked, 2);
	close(fd);
	wait_count(&fake.engine.abandoned, 2);
	/* And one that is still waiting when the daemon stops. */
	fd = raw_connect(fake.rig.path);
	CHECK(raw_sends(fd, "POST " INVOKE("hang") " HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"));
	wait_count(&fake.engine.invoked, 3);
	end();
	CHECK_INT(fake.engine.abandoned, 3);
	CHECK(raw_closed(fd));
	close(fd);
}

static void store_answers_nobody(void)
{
	int fd;

	begin();
	fake.store_hangs = true;
	fd = raw_connect(fake.rig.path);
	CHECK(raw_sends(fd, "GET /fate/v1/queues HTTP/1.1\r\nHost: x\r\n\r\n"));
	for (int i = 0; i < 60000 && !__atomic_load_n(&fake.held, __ATOMIC_SEQ_CST); i++)
		(void)poll(NULL, 0, 1);
	CHECK(fake.held);
	end();		/* server and API are gone, the store is not */
	close(fd);
	fake_finish(fake.held);
}

/* The daemon stops between question and answer: the store's comes when nobody listens, the engine's is not wanted. */
static void stopped_on_the_way(void)
{
	static const char *const asked[] = {
		"GET /fate/v1/records/tail HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /fate/v1/events/" FAKE_OPEN_ID "/cancel HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /2015-03-31/functions/echo/invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(asked); i++) {
		int fd;

		begin();
		fake.last_turn = true;
		fd = raw_connect(fake.rig.path);
		CHECK(raw_sends(fd, asked[i]));
		CHECK(raw_closed(fd));
		close(fd);
		end();
		CHECK_INT(fake.tails, i == 0);
		CHECK_INT(fake.engine.abandoned, i > 0);
	}
}

/* ---- routing ----------------------------------------------------------------------------------------------- */

static void unknown_paths(void)
{
	static const char *const unknown[] = {
		"/", "/fate/v1", "/fate/v1/", "/fate/v1/status/", "/fate/v1/statusx", "/fate/v1/functions/",
		"/fate/v1/functions//logs",
		"/2015-03-31/functions/echo", "/2015-03-31/functions//invocations", "/fate/v1/queues/a/messages/",
		"//fate/v1/status", "/fate/v1/functions/a/b/logs", "/%66ate/v1/status",
	};

	begin();
	for (size_t i = 0; i < ARRAY_SIZE(unknown); i++) {
		get(unknown[i]);
		check_refused(404, "UnknownOperationException", NULL);
	}
	ask("PUT", "/fate/v1/status", NULL, "{}", 2);
	check_refused(405, "MethodNotAllowedException", NULL);
	CHECK_STR(http_result_header(&res, "Allow"), "GET");
	get(INVOKE("echo"));
	check_refused(405, "MethodNotAllowedException", NULL);
	CHECK_STR(http_result_header(&res, "Allow"), "POST");
	ask("POST", "/fate/v1/reload", NULL, "{}", 2);	/* there is nothing a body could say */
	check_refused(413, "RequestEntityTooLargeException", NULL);
	CHECK_INT(fake.engine.reloads, 0);
	end();
}

static void query_parameters(void)
{
	static const struct { const char *target, *type, *want; } cases[] = {
		{ "/fate/v1/events?colour=red", "InvalidParameterValueException", "Unknown query parameter 'colour'" },
		{ "/fate/v1/status?x", "InvalidParameterValueException", "Unknown query parameter 'x'" },
		{ "/fate/v1/events?limit=1&limit=2", "InvalidParameterValueException", "'limit' is given twice" },
		{ "/fate/v1/events?limit=%zz", "InvalidParameterValueException", "'limit': broken percent-encoding" },
		{ "/fate/v1/events?limit=0", "ValidationException",
								    "Value '0' at 'limit' failed to satisfy constraint: "
								    "Member must have value greater than or equal to 1" },
		{ "/fate/v1/events?limit=1001", "ValidationException",
								       "Value '1001' at 'limit' failed to satisfy "
								       "constraint: Member must have value "
								       "less than or equal to 1000" },
		{ "/fate/v1/events?limit=", "ValidationException", "at 'limit'" },
		{ "/fate/v1/events?limit", "ValidationException", "at 'limit'" },
		{ "/fate/v1/events?limit=-1", "ValidationException", "at 'limit'" },
		{ "/fate/v1/events?limit=+1", "ValidationException", "at 'limit'" },
		{ "/fate/v1/events?limit=99999999999999999999", "ValidationException", "at 'limit'" },
		{ "/fate/v1/events?before=0", "ValidationException", "at 'before'" },
		{ "/fate/v1/events?state=dead", "ValidationException",
								       "at 'state' failed to satisfy constraint: Member "
								       "must satisfy enum value set: "
								       "[queued, running, waiting, routing, done]" },
		{ "/fate/v1/events?state=", "ValidationException", "at 'state'" },
		{ "/fate/v1/events?function=a%20b", "ValidationException", "at 'function'" },
		{ "/fate/v1/records?condition=success", "ValidationException",
			"at 'condition' failed to satisfy constraint: Member must satisfy enum "
			"value set: [Success, RetriesExhausted, EventAgeExceeded, ZeroReservedConcurrency, Cancelled, "
			"RecursiveInvocation, Poison]" },
		{ "/fate/v1/records/tail?condition=x", "ValidationException", "at 'condition'" },
		{ "/fate/v1/records/tail?after=-1", "ValidationException", "at 'after'" },
		{ "/fate/v1/records/tail?limit=1001", "ValidationException", "at 'limit'" },
		{ "/fate/v1/records/tail?before=1", "InvalidParameterValueException", "Unknown query parameter 'before'" },
		{ "/fate/v1/queues/done/messages?limit=0", "ValidationException", "at 'limit'" },
		{ "/fate/v1/deliveries?limit=x", "ValidationException", "at 'limit'" },
		{ "/fate/v1/deliveries?failed=yes", "ValidationException", "at 'failed'" },
		{ "/fate/v1/deliveries?target=", "ValidationException", "at 'target'" },
		{ "/fate/v1/deliveries?after=-1", "ValidationException", "at 'after'" },
		{ "/fate/v1/deliveries/x", "ValidationException", "at 'id'" },
		{ "/fate/v1/functions/echo/logs?bytes=1048577", "ValidationException", "at 'bytes'" },
		{ "/fate/v1/events/not-an-id", "ValidationException", "at 'id'" },
		{ "/fate/v1/events/11111111-2222-4333-8444-55555555555A", "ValidationException", "at 'id'" },
		{ "/fate/v1/records/x", "ValidationException", "at 'id'" },
		{ "/fate/v1/events/x/wait", "ValidationException", "at 'id'" },
		{ "/fate/v1/functions/a%20b", "ValidationException", "at 'name'" },
	};

	begin();
	fake.store_error = -EIO;	/* none of these may get so far */
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		get(cases[i].target);
		check_refused(400, cases[i].type, NULL);
		check_in(cases[i].want);
	}
	end();
}

static void routes_by_table(void)
{
	struct route_param params[ROUTE_PARAMS_MAX] = {};
	const struct api_route *r;
	const char *allow;

	r = route_find("DELETE", "/fate/v1/queues/q/messages/r%2Fx", params, &allow);
	CHECK(r);
	CHECK_STR(r->pattern, "/fate/v1/queues/{name}/messages/{receipt}");
	CHECK_INT(params[0].len, 1);
	CHECK(memcmp(params[0].at, "q", 1) == 0);
	CHECK_INT(params[1].len, 5);
	CHECK(!route_find("get", "/fate/v1/status", params, &allow));
	CHECK_STR(allow, "GET");
	CHECK(!route_find("GET", "", params, &allow));
	CHECK(!allow);
}

static void error_bodies(void)
{
	struct buf b = {};

	for (int i = 0; i < API_EXCEPTION_MAX; i++) {
		buf_clear(&b);
		api_error_body(&b, api_error_name((enum api_exception)i), api_error_status((enum api_exception)i), "m", NULL);
		CHECK(json_valid(buf_str(&b), b.len, NULL));
		CHECK(api_error_status((enum api_exception)i) >= 400);
	}
	buf_clear(&b);
	api_error_body(&b, "ValidationException", 400, "a\nb", NULL);
	CHECK_STR(buf_str(&b), "{\"message\":\"a\\nb\"}");
	buf_clear(&b);
	api_error_body(&b, "SomethingNewException", 502, "m", "R");
	CHECK_STR(buf_str(&b), "{\"Reason\":\"R\",\"Type\":\"Service\",\"Message\":\"m\"}");
	buf_done(&b);
}

static void strangers_get_lambdas_words(void)
{
	struct raw_answer a;
	int fd;

	if (geteuid() != 0)
		SKIP("needs root to be somebody else to the server");
	fake_start();
	CHECK(chmod(fake.rig.dir, 0755) == 0 && chmod(fake.rig.path, 0666) == 0);
	CHECK(seteuid(65534) == 0);	/* SO_PEERCRED takes the effective ids at connect() */
	fd = raw_connect(fake.rig.path);
	CHECK(seteuid(0) == 0);
	CHECK(raw_sends(fd, "POST " INVOKE("echo") " HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"));
	a = raw_read(fd);
	CHECK_INT(a.status, 403);
	CHECK(strcasestr(a.head, "x-amzn-errortype: AccessDeniedException"));
	CHECK(strncmp(a.body, "{\"Message\":\"User: uid 65534 ", 28) == 0);
	free(a.body);
	close(fd);
	CHECK_INT(fake.engine.invoked, 0);
	rig_stop(&fake.rig);
}

/* ---- /fate/v1 ---------------------------------------------------------------------------------------------- */

static void status_and_version(void)
{
	begin();
	get("/fate/v1/version");
	CHECK_STR(buf_str(&res.body), "{\"version\":\"0.1.0\"}");
	get("/fate/v1/status");
	CHECK_INT(res.status, 200);
	check_in("{\"version\":\"0.1.0\",\"pid\":4711,\"uptimeSeconds\":3661,\"observer\":{\"mode\":\"bpf\",\"drops\":0},"
		 "\"region\":\"us-east-1\",\"engine\":{");
	check_in("\"accepted\":7,");
	check_in("\"byCondition\":{\"Success\":0,\"RetriesExhausted\":1,");
	check_in("\"Timeout\":3,");
	check_in("\"witness\":{\"none\":0,\"wait\":0,\"bpf\":0,\"both\":9},\"onDisk\":0,\"rebooted\":false,"
		 "\"inDoubt\":false,\"draining\":false}");
	check_in("\"counts\":{\"events\":{\"queued\":0,\"running\":0,\"waiting\":0,\"routing\":0,\"done\":5},\"attempts\":6,");
	check_in("\"environments\":[{\"cgroupId\":\"18446744073709551615\",\"function\":\"resize\",\"requestId\":\""
		 FAKE_OPEN_ID "\","
		 "\"state\":\"busy\",\"attempt\":2,\"sync\":false,\"runningMs\":1000,\"leftMs\":2000,"
		 "\"cpuMs\":250,\"rssBytes\":3145728,\"processes\":4,\"threads\":5}]}");
	check_in("\"law\":{\"holds\":true,\"events\":{\"accepted\":12,\"queued\":1,\"running\":0,\"settled\":9,"
		 "\"deadLettered\":2,\"holds\":true},\"processes\":{\"starts\":217,\"exits\":215,\"alive\":2,\"drift\":0,");
	__atomic_store_n(&fake.engine.lost_processes, -3, __ATOMIC_SEQ_CST);
	get("/fate/v1/status");
	check_in("\"law\":{\"holds\":false,\"events\":{\"accepted\":12,");
	check_in("\"processes\":{\"starts\":214,\"exits\":215,\"alive\":2,\"drift\":-3,");
	/* In doubt: the store is not asked, and the rest is still said. */
	__atomic_store_n(&fake.engine.in_doubt, true, __ATOMIC_SEQ_CST);
	fake.store_hangs = true;
	get("/fate/v1/status");
	CHECK_INT(res.status, 200);
	check_in("\"inDoubt\":true,\"doubtWhy\":\"disk \\\"full\\\"\"");
	CHECK(!strstr(buf_str(&res.body), "\"counts\""));
	end();
}

static void health(void)
{
	begin();
	get("/fate/v1/health");
	CHECK_INT(res.status, 200);
	CHECK_STR(buf_str(&res.body), "{\"status\":\"ok\"}");
	CHECK_INT(fake.last.kind, 0);	/* a store that hangs does not matter */
	__atomic_store_n(&fake.engine.draining, 1, __ATOMIC_SEQ_CST);
	get("/fate/v1/health");
	CHECK_INT(res.status, 503);
	CHECK_STR(buf_str(&res.body), "{\"status\":\"draining\",\"reason\":\"the daemon is stopping and takes nothing new\"}");
	__atomic_store_n(&fake.engine.in_doubt, true, __ATOMIC_SEQ_CST);
	get("/fate/v1/health");
	CHECK_INT(res.status, 503);
	CHECK_STR(buf_str(&res.body), "{\"status\":\"in doubt\",\"reason\":\"disk \\\"full\\\"\"}");
	end();
}

/* Open events and deliveries are on the engine's clock; what is shown is the wall's. */
static void a_clock_that_was_set(void)
{
	begin();
	fake.engine.clock_step_ms = -3600000;
	get("/fate/v1/events");
	check_in("\"state\":\"done\",\"condition\":\"Success\",\"acceptedAt\":\"2026-11-24T00:00:00.000Z\"");
	check_in("\"state\":\"waiting\",\"acceptedAt\":\"2026-11-23T23:00:00.000Z\",\"dueAt\":\"2026-11-23T23:01:00.000Z\"");
	get("/fate/v1/deliveries");
	check_in("\"createdAt\":\"2026-11-23T23:59:55.000Z\",\"dueAt\":\"2026-11-23T23:00:00.000Z\"");
	get("/fate/v1/status");
	check_in("\"clockStepMs\":-3600000,");
	end();
}

static void topics_and_buses(void)
{
	static const char topic[] = "{\"TopicName\":\"alerts\",\"TopicArn\":\"arn:aws:sns:us-east-1:000000000000:alerts\","
		"\"Description\":\"what went wrong\","
		"\"Subscriptions\":[{\"SubscriptionArn\":\"arn:aws:sns:us-east-1:000000000000:alerts:";
	static const char bus[] = "{\"EventBusName\":\"a/b\","
		"\"EventBusArn\":\"arn:aws:events:us-east-1:000000000000:event-bus/a/b\","
		"\"Rules\":[{\"Name\":\"failures\",\"State\":\"DISABLED\",\"EventPattern\":{\"source\":[\"lambda\",\"x\"]},"
		"\"Targets\":[{\"Arn\":\"topic:alerts\"}]}]}";
	static const char *const topic_names[] = { "alerts", "topic%3Aalerts",
						   "arn%3Aaws%3Asns%3Aus-east-1%3A000000000000%3Aalerts" };
	static const char *const bus_names[] = { "a%2Fb", "bus%3Aa%2Fb",
						 "arn%3Aaws%3Aevents%3Aus-east-1%3A000000000000%3Aevent-bus%2Fa%2Fb" };
	char path[200];

	begin();
	for (size_t i = 0; i < ARRAY_SIZE(topic_names); i++) {
		snprintf(path, sizeof(path), "/fate/v1/topics/%s", topic_names[i]);
		get(path);
		CHECK_INT(res.status, 200);
		check_in(topic);
		check_in("\",\"Protocol\":\"lambda\",\"Endpoint\":\"resize\"},{");
		check_in("\",\"Protocol\":\"sqs\",\"Endpoint\":\"inbox\",\"RawMessageDelivery\":true},{");
		check_in("\",\"Protocol\":\"command\",\"Id\":\"mail\",\"FunctionName\":\"alerts-mail\"}]}");
		snprintf(path, sizeof(path), "/fate/v1/buses/%s", bus_names[i]);
		get(path);
		CHECK_STR(buf_str(&res.body), bus);
	}
	get("/fate/v1/topics");
	check_in("{\"topics\":[{\"TopicName\":\"alerts\",");
	get("/fate/v1/buses");
	check_in("{\"buses\":[{\"EventBusName\":\"a/b\",");
	get("/fate/v1/topics/nope");
	check_refused(404, "ResourceNotFoundException", "{\"Type\":\"User\",\"Message\":\"Topic not found: nope\"}");
	get("/fate/v1/topics/queue%3Aalerts");
	CHECK_INT(res.status, 404);
	get("/fate/v1/buses/nope");
	check_refused(404, "ResourceNotFoundException", "{\"Type\":\"User\",\"Message\":\"Event bus not found: nope\"}");
	end();
}

static void functions(void)
{
	begin();
	get("/fate/v1/functions/resize");
	CHECK_INT(res.status, 200);
	check_in("{\"FunctionName\":\"resize\",\"FunctionArn\":\"arn:aws:lambda:us-east-1:000000000000:function:resize\",");
	check_in("\"Mode\":\"exec\",\"Command\":[\"/bin/sh\",\"-c \\\"x\\\"\"],");
	check_in("\"Environment\":{\"Variables\":{\"A\":\"b=\\\"c\\\"\",\"EMPTY\":\"\"}},\"Timeout\":3.5,\"KillGracePeriod\":0,");
	check_in("\"Rlimits\":{\"NOFILE\":[1024,\"unlimited\"]},\"ReservedConcurrentExecutions\":4,");
	check_in("\"DestinationConfig\":{\"OnFailure\":{\"Destination\":\"function:reinvoke\"}}},"
		 "\"DeadLetterConfig\":{\"TargetArn\":\"queue:dead\"},");
	check_in("\"RetryDelaysInSeconds\":[0.25,60],\"RetryPolicy\":{\"Timeout\":{\"Attempts\":3,\"DelaysInSeconds\":[0.25,60],"
		 "\"TimeoutFactor\":1.5,\"TimeoutMax\":60.5},\"OutOfMemory\":{\"Attempts\":0},"
		 "\"Crash\":{\"Attempts\":1}},\"Leftovers\":\"wait\",\"OomGroup\":true,\"RequireLimits\":false,"
		 "\"RecordFate\":true}");
	get("/fate/v1/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3Afunction%3Aresize");
	CHECK_INT(res.status, 200);
	get("/fate/v1/functions");
	CHECK_INT(res.status, 200);
	check_in("{\"functions\":[{\"FunctionName\":\"echo\",");
	check_in("},{\"FunctionName\":\"resize\",");
	get("/fate/v1/functions/nope");
	check_refused(404, "ResourceNotFoundException",
		      "{\"Type\":\"User\",\"Message\":\"Function not found: "
		      "arn:aws:lambda:us-east-1:000000000000:function:nope\"}");
	end();
}

static void logs(void)
{
	begin();
	get("/fate/v1/functions/echo/logs");
	CHECK_STR(buf_str(&res.body), "{\"function\":\"echo\",\"bytes\":16,\"cursor\":\"0.1\",\"log\":\"START "
		  "\\\"x\\\"\\n\xef\xbf\xbd end\\n\"}");
	get("/fate/v1/functions/echo/logs?bytes=5");
	CHECK_STR(buf_str(&res.body), "{\"function\":\"echo\",\"bytes\":5,\"cursor\":\"0.1\",\"log\":\"START\"}");
	CHECK_INT(fake.log_bytes, 5);
	get("/fate/v1/functions/gone/logs");	/* no longer defined, but it has a log */
	CHECK_INT(res.status, 200);
	get("/fate/v1/functions/resize/logs");	/* defined, and never wrote one */
	CHECK_STR(buf_str(&res.body), "{\"function\":\"resize\",\"bytes\":0,\"cursor\":\"0.1\",\"log\":\"\"}");
	get("/fate/v1/functions/nope/logs");
	check_refused(404, "ResourceNotFoundException", NULL);
	get("/fate/v1/functions/unreadable/logs");
	check_refused(500, "ServiceException", "{\"Type\":\"Service\",\"Message\":\"Log of unreadable: permission denied\"}");
	end();
}

static void logs_after_a_cursor(void)
{
	begin();
	get("/fate/v1/functions/echo/logs?cursor=0.1");
	CHECK_STR(buf_str(&res.body), "{\"function\":\"echo\",\"bytes\":5,\"cursor\":\"0.2\",\"more\":true,"
		  "\"log\":\"two\\u0000\\n\"}");
	CHECK_INT(fake.log_bytes, 1048576);
	get("/fate/v1/functions/echo/logs?cursor=0.3&bytes=7");
	CHECK_STR(buf_str(&res.body), "{\"function\":\"echo\",\"bytes\":5,\"cursor\":\"0.5\",\"lost\":true,\"log\":\"five\\n\"}");
	CHECK_INT(fake.log_bytes, 7);
	get("/fate/v1/functions/echo/logs?cursor=0.5");
	CHECK_STR(buf_str(&res.body), "{\"function\":\"echo\",\"bytes\":0,\"cursor\":\"0.5\",\"log\":\"\"}");
	get("/fate/v1/functions/resize/logs?cursor=0.1");
	CHECK_INT(res.status, 200);
	get("/fate/v1/functions/nope/logs?cursor=0.1");
	check_refused(404, "ResourceNotFoundException", NULL);
	get("/fate/v1/functions/echo/logs?cursor=");
	check_refused(400, "ValidationException", NULL);
	get("/fate/v1/functions/echo/logs?cursor=x%22y");
	check_refused(400, "ValidationException", NULL);
	check_in("Value 'x\\\"y' at 'cursor' failed");
	end();
}

static void events(void)
{
	begin();
	get("/fate/v1/events");
	CHECK_STR(buf_str(&res.body),
		  "{\"events\":[{\"seq\":42,\"requestId\":\"" FAKE_ID "\",\"function\":\"echo\",\"qualifier\":\"$LATEST\","
		  "\"version\":\"$LATEST\",\"state\":\"done\",\"condition\":\"Success\","
		  "\"acceptedAt\":\"2026-11-24T00:00:00.000Z\","
		  "\"attemptCount\":1,\"startCount\":1,\"backoffs\":0},"
		  "{\"seq\":41,\"requestId\":\""
		  FAKE_OPEN_ID "\",\"function\":\"resize\",\"version\":\"$LATEST\",\"state\":\"waiting\","
		  "\"acceptedAt\":\"2026-11-24T00:00:00.000Z\",\"dueAt\":\"2026-11-24T00:01:00.000Z\",\"attemptCount\":1,"
		  "\"startCount\":2,\"backoffs\":1}]}");
	CHECK_INT(fake.last.state, -1);
	CHECK_INT(fake.last.limit, 100);
	CHECK_INT(fake.last.before_seq, 0);
	get("/fate/v1/events?function=function:resize&state=queued&limit=2&before=50");
	CHECK_INT(fake.last.kind, STORE_Q_EVENTS);
	CHECK_STR(fake.last.function, "resize");
	CHECK_INT(fake.last.state, INV_QUEUED);
	CHECK_INT(fake.last.limit, 2);
	CHECK_INT(fake.last.before_seq, 50);
	check_in("],\"next\":41}");
	get("/fate/v1/events/" FAKE_ID);
	CHECK_STR(fake.last.request_id, FAKE_ID);
	check_in("\"payload\":" FAKE_PAYLOAD ",\"attempts\":[{\"start\":1,\"startedAt\":\"2026-11-24T00:00:00.000Z\","
		 "\"endedAt\":\"2026-11-24T00:00:00.005Z\",\"outcome\":\"Timeout\",\"fate\":{\"processes\":2}},"
		 "{\"start\":2,\"startedAt\":\"2026-11-24T00:00:00.000Z\"}],\"record\":" FAKE_RECORD ",\"deliveries\":[]}");
	get("/fate/v1/events/" FAKE_OPEN_ID);
	check_refused(404, "ResourceNotFoundException", "{\"Type\":\"User\",\"Message\":\"Event not found: " FAKE_OPEN_ID "\"}");
	get("/fate/v1/events/" FAKE_FAILED_ID "/wait");		/* the engine has it, and tells when it has ended */
	CHECK_STR(buf_str(&res.body), FAKE_FAILED_RECORD);
	get("/fate/v1/events/" FAKE_ID "/wait");		/* the engine has forgotten it: the store knows */
	CHECK_STR(buf_str(&res.body), FAKE_RECORD);
	get("/fate/v1/events/" FAKE_RECEIPT "/wait");
	check_refused(404, "ResourceNotFoundException", NULL);
	end();
}

static void records(void)
{
	begin();
	get("/fate/v1/records?condition=RetriesExhausted&limit=2");
	CHECK_INT(fake.last.kind, STORE_Q_RECORDS);
	CHECK_INT(fake.last.condition, COND_RETRIES_EXHAUSTED);
	check_in("{\"records\":[{\"pos\":7,\"seq\":42,\"requestId\":\""
		 FAKE_ID "\",\"function\":\"echo\",\"condition\":\"Success\","
		 "\"at\":\"2026-11-24T00:00:00.000Z\",\"record\":" FAKE_RECORD "},");
	check_in("],\"next\":40}");
	get("/fate/v1/records");
	CHECK_INT(fake.last.condition, COND_NONE);
	CHECK(!strstr(buf_str(&res.body), "\"next\""));
	get("/fate/v1/records/" FAKE_ID);
	CHECK_STR(buf_str(&res.body), FAKE_RECORD);
	get("/fate/v1/records/" FAKE_OPEN_ID);
	check_refused(404, "ResourceNotFoundException", "{\"Type\":\"User\",\"Message\":\"Record not found: " FAKE_OPEN_ID "\"}");
	end();
}

static void tail(void)
{
	begin();
	fake.last_pos = 5;
	get("/fate/v1/records/tail");
	CHECK_INT(fake.last.kind, STORE_Q_TAIL);
	CHECK_INT(fake.last.after_pos, -1);
	CHECK_STR(buf_str(&res.body), "{\"records\":[],\"lastPos\":5}");
	get("/fate/v1/records/tail?after=4&limit=7&function=echo");
	CHECK_INT(fake.last.limit, 7);
	CHECK_STR(fake.last.function, "echo");
	CHECK_STR(buf_str(&res.body),
		  "{\"records\":[{\"pos\":5,\"seq\":995,\"requestId\":\"00000005-2222-4333-8444-555555555555\","
		  "\"function\":\"echo\","
		  "\"condition\":\"Success\",\"at\":\"2026-11-24T00:00:00.005Z\",\"record\":" FAKE_RECORD "}],\"lastPos\":5}");
	get("/fate/v1/records/tail?after=0&condition=RetriesExhausted");
	CHECK_INT(fake.last.after_pos, 0);
	CHECK_INT(fake.last.condition, COND_RETRIES_EXHAUSTED);
	check_in("{\"records\":[{\"pos\":2,");
	check_in("},{\"pos\":4,");
	end();
}

static void cancel_and_retry(void)
{
	begin();
	post("/fate/v1/events/" FAKE_OPEN_ID "/cancel");
	CHECK_INT(res.status, 202);
	CHECK_STR(buf_str(&res.body), "{\"requestId\":\"" FAKE_OPEN_ID "\"}");
	post("/fate/v1/events/" FAKE_QUEUED_ID "/cancel");
	check_refused(409, "ResourceConflictException", "{\"Type\":\"User\",\"message\":\"The event is ending already\"}");
	post("/fate/v1/events/" FAKE_ID "/cancel");
	check_refused(409, "ResourceConflictException", "{\"Type\":\"User\",\"message\":\"Event "
		      FAKE_ID " has ended already: Success\"}");
	post("/fate/v1/events/" FAKE_RECEIPT "/cancel");
	check_refused(404, "ResourceNotFoundException", "{\"Type\":\"User\",\"Message\":\"Event not found: " FAKE_RECEIPT "\"}");
	post("/fate/v1/events/x/cancel");
	check_refused(400, "ValidationException", NULL);

	post("/fate/v1/events/" FAKE_OPEN_ID "/retry");
	CHECK_INT(res.status, 200);
	CHECK_STR(buf_str(&res.body), "{\"requestId\":\"" FAKE_OPEN_ID "\"}");
	CHECK_INT(fake.engine.invoked, 0);
	/* It has ended, and well: only when one insists. */
	post("/fate/v1/events/" FAKE_ID "/retry");
	check_refused(409, "ResourceConflictException", NULL);
	check_in("Event " FAKE_ID " has ended successfully: with force=true it is sent again all the same");
	post("/fate/v1/events/" FAKE_ID "/retry?force=false");
	CHECK_INT(res.status, 409);
	CHECK_INT(fake.engine.redriven, 0);
	post("/fate/v1/events/" FAKE_ID "/retry?force=true");
	CHECK_INT(res.status, 202);
	CHECK_STR(buf_str(&res.body), "{\"requestId\":\"" FAKE_ID "\",\"redriveOf\":\"" FAKE_ID "\"}");
	CHECK_STR(buf_str(&fake.engine.redrives), "echo:$LATEST " FAKE_PAYLOAD "\n");
	CHECK_STR(fake.engine.last_origin, FAKE_ID);
	CHECK_STR(fake.engine.last_receipt, "");
	CHECK_INT(fake.engine.last_timeout_ms, 0);
	/* One that failed, with terms of its own; its delivery is still owed. */
	buf_clear(&fake.engine.redrives);
	post("/fate/v1/events/00000006-0000-4333-8444-555555555555/retry?timeout=60&memory=512&qualifier=fixed");
	CHECK_INT(res.status, 202);
	CHECK_STR(buf_str(&fake.engine.redrives), "echo:fixed [6]\n");
	CHECK_INT(fake.engine.last_timeout_ms, 60000);
	CHECK_INT(fake.engine.last_memory_mb, 512);
	/* An open one's next attempt has its own terms. */
	post("/fate/v1/events/" FAKE_QUEUED_ID "/retry?timeout=60");
	check_refused(409, "ResourceConflictException", NULL);
	check_in("is waiting: timeout, memory and qualifier are for one that has ended");
	post("/fate/v1/events/" FAKE_ID "/retry?timeout=901");
	check_refused(400, "ValidationException", NULL);
	check_in("Value '901' at 'timeout'");
	post("/fate/v1/events/" FAKE_ID "/retry?memory=127");
	check_in("Value '127' at 'memory'");
	post("/fate/v1/events/" FAKE_ID "/retry?qualifier=a!b");
	check_in("Value 'a!b' at 'qualifier'");
	post("/fate/v1/events/" FAKE_ID "/retry?force=1");
	check_in("Value '1' at 'force'");
	CHECK_INT(fake.engine.redriven, 2);
	post("/fate/v1/events/" FAKE_QUEUED_ID "/retry");
	check_refused(409, "ResourceConflictException", NULL);
	check_in("Event " FAKE_QUEUED_ID " is queued: only one that waits for a retry or has ended can be retried");
	post("/fate/v1/events/" FAKE_RECEIPT "/retry");
	check_refused(404, "ResourceNotFoundException", NULL);

	__atomic_store_n(&fake.engine.in_doubt, true, __ATOMIC_SEQ_CST);
	post("/fate/v1/events/" FAKE_OPEN_ID "/retry");
	check_refused(503, "ServiceException", NULL);
	post("/fate/v1/events/" FAKE_OPEN_ID "/cancel");
	check_refused(503, "ServiceException", NULL);
	CHECK_INT(fake.engine.invoked, 0);
	end();
}

static void peek_and_purge(void)
{
	begin();
	get("/fate/v1/queues/dead/messages?limit=2");
	CHECK_INT(fake.last.kind, STORE_Q_PEEK);
	CHECK_INT(fake.last.limit, 2);
	CHECK_INT(fake.last.now_ms, FAKE_NOW_MS);
	CHECK_STR(buf_str(&res.body),
		  "{\"queue\":\"dead\",\"messages\":[{\"messageId\":\"00000001-2222-4333-8444-555555555555\",\"receiveCount\":1,"
		  "\"sentAt\":\"2026-11-24T00:00:00.000Z\",\"visibleAt\":\"2026-11-24T00:00:05.000Z\",\"body\":" FAKE_RECORD "},"
		  "{\"messageId\":\"00000002-2222-4333-8444-555555555555\",\"receiveCount\":1,"
		  "\"sentAt\":\"2026-11-24T00:00:00.000Z\",\"attributes\":" FAKE_LETTER(FAKE_ID) ",\"body\":[2.0]}]}");
	get("/fate/v1/queues/empty/messages");
	CHECK_INT(fake.last.limit, 100);
	CHECK_STR(buf_str(&res.body), "{\"queue\":\"empty\",\"messages\":[]}");
	ask("DELETE", "/fate/v1/queues/dead/messages", NULL, NULL, 0);
	CHECK_STR(buf_str(&res.body), "{\"queue\":\"dead\",\"deleted\":3}");
	CHECK_INT(fake.last.kind, STORE_Q_PURGE);
	CHECK_STR(fake.last.queue, "dead");
	ask("DELETE", "/fate/v1/queues/file%3A%2Fx/messages", NULL, NULL, 0);
	check_refused(400, "ValidationException", NULL);
	__atomic_store_n(&fake.engine.in_doubt, true, __ATOMIC_SEQ_CST);
	ask("DELETE", "/fate/v1/queues/dead/messages", NULL, NULL, 0);
	check_refused(503, "ServiceException", NULL);
	CHECK_INT(fake.deleted, 3);
	/* The store does it in parts: one answer with the sum. */
	__atomic_store_n(&fake.engine.in_doubt, false, __ATOMIC_SEQ_CST);
	fake.purge_parts = 4;
	ask("DELETE", "/fate/v1/queues/dead/messages", NULL, NULL, 0);
	CHECK_STR(buf_str(&res.body), "{\"queue\":\"dead\",\"deleted\":12}");
	CHECK_INT(fake.deleted, 15);
	end();
}

/* ---- redrive ----------------------------------------------------------------------------------------------- */

#define MESSAGE(n) "{\"messageId\":\"0000000" #n "-2222-4333-8444-555555555555\","
#define GONE_NEW(n, function) MESSAGE(n) "\"requestId\":\"" FAKE_ID "\",\"function\":\"" function "\"}"
#define GONE_OF(n, function, id) MESSAGE(n) "\"requestId\":\"" FAKE_ID "\",\"function\":\"" function "\",\"redriveOf\":\"" id "\"}"
#define GONE(n, function) GONE_OF(n, function, FAKE_ID)
#define LEFT(n, reason) MESSAGE(n) "\"reason\":\"" reason "\"}"
#define NOPE "Function not found: arn:aws:lambda:us-east-1:000000000000:function:nope"

static void redrive(void)
{
	static const char *const went[] = {
		"echo:$LATEST {\"n\":12345678901234567890.10}\n", "echo:$LATEST [2.0]\n",
		"echo:$LATEST " FAKE_RECORD_OF("resize") "\n", "echo:$LATEST {}\n",
	};

	begin();
	post("/fate/v1/queues/dead/redrive");
	CHECK_INT(res.status, 200);
	check_in("{\"queue\":\"dead\",\"redriven\":[" GONE(1, "echo") "," GONE(2, "echo") "," GONE(6, "echo") ","
		 GONE(8, "echo") "],\"left\":["
		 LEFT(3, "Its event " FAKE_OPEN_ID " is not known here; say to which function") ","
		 LEFT(4, "It is neither a record nor a dead letter; say to which function") "," LEFT(5, NOPE) ","
		 MESSAGE(7) "\"reason\":\"arn:aws:lambda:us-east-1:123456789012:function:echo: ");
	check_in(LEFT(9, "Its body is not JSON") "],\"after\":9,\"upTo\":9,\"more\":false}");
	/* What stays is given back. */
	CHECK(fake.given_back.random);
	CHECK_INT(fake.given_back.limit, 9);
	CHECK_STR(fake.given_back.queue, "dead");
	/* What went to the engine: the record first; dead letters when the store has said whose they are, as it likes. */
	CHECK(strncmp(buf_str(&fake.engine.redrives), went[0], strlen(went[0])) == 0);
	for (size_t i = 0; i < ARRAY_SIZE(went); i++)
		if (!strstr(buf_str(&fake.engine.redrives), went[i]))
			FAIL("no %s in %s", went[i], buf_str(&fake.engine.redrives));
	CHECK_INT(fake.engine.redriven, ARRAY_SIZE(went));

	/* All to one function, each with what it is about. */
	buf_clear(&fake.engine.redrives);
	post("/fate/v1/queues/dead/redrive?to=resize&max=5");
	CHECK_STR(buf_str(&res.body), "{\"queue\":\"dead\",\"redriven\":[" GONE(1, "resize") "," GONE(2, "resize") ","
		  GONE_OF(3, "resize", FAKE_OPEN_ID) ","
		  GONE_NEW(4, "resize") "," GONE_NEW(5, "resize") "],\"left\":[],\"after\":5,\"upTo\":9,\"more\":true}");
	CHECK_STR(buf_str(&fake.engine.redrives), "resize {\"n\":12345678901234567890.10}\nresize [2.0]\nresize [3]\n"
		  "resize {\"version\":\"1.0\"}\nresize [1.0, 2]\n");
	CHECK_INT(fake.last.kind, STORE_Q_RECEIVE);
	CHECK_INT(fake.last.limit, 5);
	CHECK_INT(fake.last.visibility_ms, 30000);
	CHECK(fake.last.random);

	CHECK_STR(fake.engine.last_receipt, "00000005-3333-4333-8444-555555555555");

	/* The engine says no: it stays, with the engine's reason. */
	fake.engine.redrive_status = 503;
	fake.given_back = (struct store_query){};
	post("/fate/v1/queues/dead/redrive?max=1");
	CHECK_STR(buf_str(&res.body), "{\"queue\":\"dead\",\"redriven\":[],\"left\":[" LEFT(1, "The event store is in doubt") "],"
		  "\"leftUntil\":\"2026-11-24T00:00:30.000Z\",\"after\":1,\"upTo\":9,\"more\":true}");
	CHECK_INT(fake.given_back.kind, 0);	/* it may take it yet */
	post("/fate/v1/queues/empty/redrive");
	CHECK_STR(buf_str(&res.body), "{\"queue\":\"empty\",\"redriven\":[],\"left\":[],\"after\":0,\"upTo\":0,\"more\":false}");
	/* The rest of a pass: behind the one, to the other. */
	fake.engine.redrive_status = 0;
	post("/fate/v1/queues/dead/redrive?to=echo&after=2&upTo=4");
	CHECK_STR(buf_str(&res.body), "{\"queue\":\"dead\",\"redriven\":[" GONE_OF(3, "echo", FAKE_OPEN_ID) ","
		  GONE_NEW(4, "echo") "],\"left\":[],\"after\":4,\"upTo\":4,\"more\":false}");
	CHECK_INT(fake.last.after_pos, 2);
	end();
}

static void redrive_dry_run(void)
{
	begin();
	post("/fate/v1/queues/dead/redrive?dryRun=true&max=6");
	CHECK_INT(res.status, 200);
	/* The first is leased, so it would not be met; six others. */
	check_in("{\"queue\":\"dead\",\"dryRun\":true,\"redriven\":[" MESSAGE(2) "\"function\":\"echo\",\"redriveOf\":\""
		FAKE_ID "\"},"
		 MESSAGE(6) "\"function\":\"echo\",\"redriveOf\":\"" FAKE_ID "\"}],"
		 "\"left\":[" MESSAGE(3));
	check_in(MESSAGE(7));
	CHECK(!strstr(buf_str(&res.body), MESSAGE(8)));
	CHECK(!strstr(buf_str(&res.body), "leftUntil"));
	CHECK_INT(fake.engine.redriven, 0);
	post("/fate/v1/queues/dead/redrive?dryRun=true&to=echo&max=1");
	CHECK_INT(fake.last.kind, STORE_Q_PEEK);
	CHECK_STR(buf_str(&res.body), "{\"queue\":\"dead\",\"dryRun\":true,\"redriven\":["
		  MESSAGE(2) "\"function\":\"echo\",\"redriveOf\":\"" FAKE_ID "\"}],\"left\":[],"
		  "\"after\":2,\"upTo\":9,\"more\":true}");
	/* Looking is allowed in doubt. */
	__atomic_store_n(&fake.engine.in_doubt, true, __ATOMIC_SEQ_CST);
	post("/fate/v1/queues/dead/redrive?dryRun=true");
	CHECK_INT(res.status, 200);
	post("/fate/v1/queues/dead/redrive?dryRun=false");
	check_refused(503, "ServiceException", NULL);
	CHECK_INT(fake.engine.redriven, 0);
	end();
}

static void redrive_refused(void)
{
	static const struct { const char *target; int status; const char *want; } cases[] = {
		{ "/fate/v1/queues/dead/redrive?max=0", 400, "at 'max'" },
		{ "/fate/v1/queues/dead/redrive?max=1001", 400, "at 'max'" },
		{ "/fate/v1/queues/dead/redrive?dryRun=yes", 400, "at 'dryRun'" },
		{ "/fate/v1/queues/dead/redrive?to=a%20b", 400, "at 'to'" },
		{ "/fate/v1/queues/dead/redrive?to=nope", 404, NOPE },
		{ "/fate/v1/queues/file%3A%2Fx/redrive", 400, "at 'name'" },
		{ "/fate/v1/queues/dead/redrive?from=x", 400, "Unknown query parameter 'from'" },
	};

	begin();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		post(cases[i].target);
		CHECK_INT(res.status, cases[i].status);
		check_in(cases[i].want);
	}
	CHECK_INT(fake.last.kind, 0);	/* none of these got so far */
	fake.store_error = -EIO;
	post("/fate/v1/queues/dead/redrive");
	check_refused(500, "ServiceException", NULL);
	end();
}

/* The store fails where it is asked whose a dead letter was: that one stays, the others go. */
static void redrive_when_the_owner_cannot_be_asked(void)
{
	begin();
	fake.event_error = -EIO;
	post("/fate/v1/queues/dead/redrive?max=2");
	CHECK_STR(buf_str(&res.body), "{\"queue\":\"dead\",\"redriven\":[" GONE(1, "echo") "],\"left\":["
		  LEFT(2, "The store cannot answer: database disk image is "
		       "malformed") "],\"after\":2,\"upTo\":9,\"more\":true}");
	CHECK_INT(fake.given_back.limit, 2);
	fake.give_back_error = -EIO;
	post("/fate/v1/queues/dead/redrive?max=2");
	check_in("malformed\"}],\"leftUntil\":\"2026-11-24T00:00:30.000Z\",");
	end();
}

static void redrive_client_goes_away(void)
{
	int fd;

	/* While the engine owes: it is told to forget each. */
	begin();
	fake.engine.redrives_hang = true;
	fd = raw_connect(fake.rig.path);
	CHECK(raw_sends(fd, "POST /fate/v1/queues/dead/redrive?to=echo&max=8 HTTP/1.1\r\nHost: x\r\n\r\n"));
	wait_count(&fake.engine.redriven, 8);
	close(fd);
	wait_count(&fake.engine.abandoned, 8);
	end();

	/* While both owe, and the store answers when server and API are gone. */
	begin();
	fake.engine.redrives_hang = true;
	fake.hangs_on = STORE_Q_EVENT;
	fd = raw_connect(fake.rig.path);
	CHECK(raw_sends(fd, "POST /fate/v1/queues/dead/redrive?max=2 HTTP/1.1\r\nHost: x\r\n\r\n"));
	wait_count(&fake.engine.redriven, 1);
	for (int i = 0; i < 60000 && !__atomic_load_n(&fake.held, __ATOMIC_SEQ_CST); i++)
		(void)poll(NULL, 0, 1);
	CHECK(fake.held);
	close(fd);
	wait_count(&fake.engine.abandoned, 1);
	end();
	fake_finish(fake.held);
	CHECK_INT(fake.engine.redriven, 1);	/* nothing new was begun */
}

static void queues(void)
{
	begin();
	get("/fate/v1/queues");
	CHECK_STR(buf_str(&res.body),
		  "{\"queues\":[{\"name\":\"done\",\"visible\":3,\"inFlight\":1,\"oldestSentAt\":\"2026-11-24T00:00:00.000Z\"}]}");
	CHECK_INT(fake.last.now_ms, FAKE_NOW_MS);
	ask("POST", "/fate/v1/queues/done/receive", NULL, NULL, 0);
	CHECK_INT(res.status, 200);
	CHECK_STR(buf_str(&res.body), "{\"queue\":\"done\",\"messages\":[{\"messageId\":\""
		  FAKE_ID "\",\"receiptHandle\":\"" FAKE_RECEIPT "\","
		  "\"receiveCount\":1,\"sentAt\":\"2026-11-24T00:00:00.000Z\",\"visibleAt\":\"2026-11-24T00:00:30.000Z\","
		  "\"body\":" FAKE_RECORD "}]}");
	CHECK_INT(fake.last.limit, 1);
	CHECK(fake.last.random);
	ask("POST", "/fate/v1/queues/arn%3Aaws%3Asqs%3Aus-east-1%3A000000000000%3Adone/receive?max=10&visibility=0", NULL, NULL, 0);
	CHECK_INT(res.status, 200);
	CHECK_STR(fake.last.queue, "done");
	CHECK_INT(fake.last.limit, 10);
	CHECK_INT(fake.last.visibility_ms, 0);
	check_in("\"attributes\":{\"RequestID\":{\"DataType\":\"String\",\"StringValue\":\"x\"}},\"body\":{\"}\":[1.0,\"{\"]}}]}");
	ask("POST", "/fate/v1/queues/empty/receive", NULL, NULL, 0);
	CHECK_STR(buf_str(&res.body), "{\"queue\":\"empty\",\"messages\":[]}");
	ask("POST", "/fate/v1/queues/done/receive?max=0", NULL, NULL, 0);
	check_refused(400, "ValidationException", NULL);
	ask("POST", "/fate/v1/queues/done/receive?visibility=43201", NULL, NULL, 0);
	check_refused(400, "ValidationException", NULL);
	check_in("at 'visibility'");
	ask("POST", "/fate/v1/queues/file%3A%2Fx/receive", NULL, NULL, 0);
	check_refused(400, "ValidationException", NULL);
	check_in("at 'name'");
	ask("DELETE", "/fate/v1/queues/done/messages/" FAKE_RECEIPT, NULL, NULL, 0);
	CHECK_STR(buf_str(&res.body), "{\"deleted\":1}");
	ask("DELETE", "/fate/v1/queues/done/messages/" FAKE_ID, NULL, NULL, 0);
	check_refused(404, "ResourceNotFoundException", NULL);
	ask("DELETE", "/fate/v1/queues/done/messages/x", NULL, NULL, 0);
	check_refused(400, "ValidationException", NULL);
	check_in("at 'receipt'");
	get("/fate/v1/deliveries?limit=7");
	CHECK_INT(fake.last.limit, 7);
	CHECK_STR(buf_str(&res.body), "{\"deliveries\":[{\"seq\":42,\"requestId\":\"" FAKE_ID "\",\"function\":\"echo\","
		  "\"role\":\"OnFailure\",\"target\":\"file:/x\",\"key\":\"" FAKE_ID ":OnFailure\","
		  "\"tries\":2,\"createdAt\":\"2026-11-23T23:59:55.000Z\",\"dueAt\":\"2026-11-24T00:00:00.000Z\","
		  "\"lastError\":\"No \\\"space\\\"\\u001b[31m\"}]}");
	end();
}

static void store_fails_or_is_in_doubt(void)
{
	static const char *const reads[] = { "/fate/v1/events", ("/fate/v1/events/" FAKE_ID), "/fate/v1/records", "/fate/v1/queues",
					     "/fate/v1/deliveries" };

	begin();
	fake.store_error = -EIO;
	for (size_t i = 0; i < ARRAY_SIZE(reads); i++) {
		get(reads[i]);
		check_refused(500, "ServiceException",
			      "{\"Type\":\"Service\",\"Message\":\"The store cannot answer: database disk image is malformed\"}");
	}
	fake.store_error = -ENOENT;
	get(reads[1]);
	check_refused(404, "ResourceNotFoundException", NULL);
	fake.store_error = 0;
	__atomic_store_n(&fake.engine.in_doubt, true, __ATOMIC_SEQ_CST);
	ask("POST", "/fate/v1/queues/done/receive", NULL, NULL, 0);
	check_refused(503, "ServiceException", NULL);
	check_in("in doubt");
	check_in("disk \\\"full\\\"");
	ask("DELETE", "/fate/v1/queues/done/messages/" FAKE_RECEIPT, NULL, NULL, 0);
	check_refused(503, "ServiceException", NULL);
	get("/fate/v1/events");		/* looking is always allowed */
	CHECK_INT(res.status, 200);
	end();
}

static void reload(void)
{
	begin();
	ask("POST", "/fate/v1/reload", NULL, NULL, 0);
	CHECK_STR(buf_str(&res.body), "{\"problems\":[],\"added\":[\"new\"],\"changed\":[],\"removed\":[],\"functions\":2}");
	ask("POST", "/fate/v1/reload", NULL, NULL, 0);
	CHECK_INT(res.status, 200);
	check_in("{\"file\":\"/etc/fated/functions.d/bad.json\",\"path\":\"$.Timeout\",\"reason\":\"must be a number\"}");
	end();
}

static void thousand_invocations_on_one_connection(void)
{
	begin();
	for (int i = 0; i < 1000; i++) {
		char body[32];

		snprintf(body, sizeof(body), "[%d]", i);
		invoke(INVOKE("echo"), i % 2 ? "Event" : NULL, body);
		CHECK_INT(res.status, i % 2 ? 202 : 200);
		if (i % 2 == 0)
			CHECK_STR(buf_str(&res.body), body);
	}
	end();
	CHECK_INT(fake.engine.invoked, 1000);
	CHECK_INT(fake.rig.stats.connections, 1);
}

int main(void)
{
	RUN(error_bodies);
	RUN(routes_by_table);
	RUN(invoke_sync);
	RUN(invoke_event_and_dry_run);
	RUN(invoke_names);
	RUN(invoke_schema);
	RUN(invoke_bad_events);
	RUN(invoke_limits);
	RUN(invoke_refused_by_the_engine);
	RUN(client_goes_away);
	RUN(store_answers_nobody);
	RUN(stopped_on_the_way);
	RUN(unknown_paths);
	RUN(query_parameters);
	RUN(strangers_get_lambdas_words);
	RUN(status_and_version);
	RUN(health);
	RUN(a_clock_that_was_set);
	RUN(topics_and_buses);
	RUN(functions);
	RUN(logs);
	RUN(logs_after_a_cursor);
	RUN(events);
	RUN(records);
	RUN(tail);
	RUN(cancel_and_retry);
	RUN(peek_and_purge);
	RUN(redrive);
	RUN(redrive_dry_run);
	RUN(redrive_refused);
	RUN(redrive_when_the_owner_cannot_be_asked);
	RUN(redrive_client_goes_away);
	RUN(queues);
	RUN(store_fails_or_is_in_doubt);
	RUN(reload);
	RUN(thousand_invocations_on_one_connection);
	TEST_END();
}
