/* SPDX-License-Identifier: Apache-2.0 */
/* What sends things again: ended events, messages with filters, failed deliveries. */
#include "base/clock.h"
#include "test_api_ask.h"

#define EVENT(n) "0000000" #n "-0000-4333-8444-555555555555"
#define SENT(n) "{\"seq\":" #n ",\"requestId\":\"" FAKE_ID "\",\"redriveOf\":\"" EVENT(n) "\",\"function\":\"echo\"," \
	"\"condition\":\"RetriesExhausted\",\"verdict\":\"Timeout\",\"endedAt\":\"2026-11-24T00:00:00.00" #n "Z\"}"
#define WOULD(n) "{\"seq\":" #n ",\"redriveOf\":\"" EVENT(n) "\",\"function\":\"echo\"," \
	"\"condition\":\"RetriesExhausted\",\"verdict\":\"Timeout\",\"endedAt\":\"2026-11-24T00:00:00.00" #n "Z\"}"

static void post_body(const char *target, const char *body)
{
	ask("POST", target, NULL, body, strlen(body));
}

static void check_body(const char *want)
{
	if (res.status != 200 || strcmp(buf_str(&res.body), want) != 0)
		FAIL("%d %s, want %s", res.status, buf_str(&res.body), want);
}

/* ---- events ------------------------------------------------------------------------------------------------ */

static void each_event_once(void)
{
	begin();
	fake.ended = 9;
	fake.ended_every = 3;
	fake.ended_scan = 2;	/* most pages are empty */
	post("/fate/v1/events/redrive?rate=10000");
	check_body("{\"redriven\":[" SENT(3) "," SENT(6) "," SENT(9) "],\"left\":[],\"after\":42,\"upTo\":42,\"more\":false}");
	CHECK_STR(buf_str(&fake.engine.redrives), "echo [3]\necho [6]\necho [9]\n");
	CHECK_STR(fake.engine.last_origin, EVENT(9));
	CHECK_STR(fake.engine.last_receipt, "");

	/* Only to the newest one there was when it began. */
	buf_clear(&fake.engine.redrives);
	post("/fate/v1/events/redrive?rate=10000&after=3&upTo=8");
	check_body("{\"redriven\":[" SENT(6) "],\"left\":[],\"after\":8,\"upTo\":8,\"more\":false}");
	/* In parts: each goes on where the one before ended. */
	buf_clear(&fake.engine.redrives);
	post("/fate/v1/events/redrive?rate=10000&max=2");
	check_body("{\"redriven\":[" SENT(3) "," SENT(6) "],\"left\":[],\"after\":6,\"upTo\":42,\"more\":true}");
	post("/fate/v1/events/redrive?rate=10000&max=2&after=6&upTo=42");
	check_body("{\"redriven\":[" SENT(9) "],\"left\":[],\"after\":42,\"upTo\":42,\"more\":false}");
	CHECK_STR(buf_str(&fake.engine.redrives), "echo [3]\necho [6]\necho [9]\n");
	/* Nothing there. */
	fake.ended = 0;
	post("/fate/v1/events/redrive");
	check_body("{\"redriven\":[],\"left\":[],\"after\":42,\"upTo\":42,\"more\":false}");
	end();
}

static void what_is_asked_of_the_store(void)
{
	begin();
	post("/fate/v1/events/redrive?function=function:echo&condition=Poison&verdict=OutOfMemory&since=2h&until="
	     "2026-11-23T23:30:00%2B01:00&max=7");
	CHECK_INT(res.status, 200);
	CHECK_INT(fake.last.kind, STORE_Q_ENDED);
	CHECK_STR(fake.last.function, "echo");
	CHECK_INT(fake.last.condition, COND_POISON);
	CHECK_INT(fake.last.outcome, OUTCOME_OOM);
	CHECK_INT(fake.last.since_ms, FAKE_NOW_MS - 2 * 3600000);
	CHECK_INT(fake.last.until_ms, FAKE_NOW_MS - 90 * 60000);
	CHECK_INT(fake.last.limit, 7);
	/* The same in a body, numbers as numbers. */
	post_body("/fate/v1/events/redrive", "{\"function\":\"resize\",\"since\":\"2026-11-23\",\"max\":3,\"dryRun\":false}");
	CHECK_INT(res.status, 200);
	CHECK_STR(fake.last.function, "resize");
	CHECK_INT(fake.last.since_ms, FAKE_NOW_MS - 86400000);
	CHECK_INT(fake.last.until_ms, 0);
	CHECK_INT(fake.last.condition, 0);
	CHECK_INT(fake.last.limit, 3);
	end();
}

static void with_other_terms(void)
{
	begin();
	fake.ended = 1;
	post_body("/fate/v1/events/redrive?timeout=900", "{\"memory\":10240,\"qualifier\":\"$LATEST\"}");
	CHECK_INT(res.status, 200);
	CHECK_STR(buf_str(&fake.engine.redrives), "echo:$LATEST [1]\n");
	CHECK_INT(fake.engine.last_timeout_ms, 900000);
	CHECK_INT(fake.engine.last_memory_mb, 10240);
	/* A qualifier that is none of the function's: nothing is sent. */
	post("/fate/v1/events/redrive?qualifier=nope");
	check_in("\"redriven\":[],\"left\":[{\"seq\":1,\"redriveOf\":\"" EVENT(1) "\"");
	check_in("\"reason\":\"Function not found: arn:aws:lambda:us-east-1:000000000000:function:echo:nope\"}]");
	CHECK_INT(fake.engine.redriven, 1);
	end();
}

static void dry_run(void)
{
	begin();
	fake.ended = 3;
	__atomic_store_n(&fake.engine.in_doubt, true, __ATOMIC_SEQ_CST);	/* looking is allowed */
	post("/fate/v1/events/redrive?dryRun=true&rate=1");
	check_body("{\"dryRun\":true,\"redriven\":[" WOULD(1) "," WOULD(2) "," WOULD(3) "],\"left\":[],\"after\":42,\"upTo\":42,"
		   "\"more\":false}");
	CHECK_INT(fake.engine.redriven, 0);
	post("/fate/v1/events/redrive");
	check_refused(503, "ServiceException", NULL);
	CHECK_INT(fake.engine.redriven, 0);
	end();
}

/* No room: the pass ends before that one, and says where to go on. */
static void stopped_by_the_engine(void)
{
	begin();
	fake.ended = 5;
	fake.engine.busy_at = 3;
	post("/fate/v1/events/redrive?rate=10000");
	check_body("{\"redriven\":[" SENT(1) "," SENT(2) "],\"left\":[],\"after\":2,\"upTo\":42,\"more\":true,"
		   "\"stopped\":\"There is no room for more events now (MaxQueuedEvents)\"}");
	post("/fate/v1/events/redrive?rate=10000&after=2&upTo=42");
	check_body("{\"redriven\":[" SENT(3) "," SENT(4) "," SENT(5) "],\"left\":[],\"after\":42,\"upTo\":42,\"more\":false}");
	/* One is refused for itself: it is left, and the others go. */
	fake.engine.redrive_status = 404;
	post("/fate/v1/events/redrive?rate=10000&upTo=2");
	check_in("\"redriven\":[],\"left\":[{\"seq\":1,");
	check_in("\"reason\":\"No such event is open\"},{\"seq\":2,");
	end();
}

static void the_store_fails(void)
{
	begin();
	fake.ended = 5;
	fake.event_error = -EIO;
	post("/fate/v1/events/redrive?rate=10000&max=1");
	check_in("\"reason\":\"The store cannot answer: database disk image is malformed\"}]");
	fake.store_error = -EIO;
	post("/fate/v1/events/redrive");
	check_refused(500, "ServiceException", NULL);
	CHECK_INT(fake.engine.redriven, 0);
	end();
}

/* So many a second, over the requests of a pass, too. */
static void the_pace(void)
{
	int64_t from, ms;

	begin();
	fake.ended = 40;
	from = clock_mono_ns();
	post("/fate/v1/events/redrive?rate=100&max=20");
	CHECK_INT(res.status, 200);
	post("/fate/v1/events/redrive?rate=100&max=20&after=20&upTo=42");
	CHECK_INT(res.status, 200);
	ms = (clock_mono_ns() - from) / NS_PER_MS;
	CHECK_INT(fake.engine.redriven, 40);
	if (ms < 380)
		FAIL("40 events at 100/s took %lld ms", (long long)ms);
	end();
}

static void the_client_goes_away(void)
{
	int fd;

	/* Between two events: nothing more is sent. */
	begin();
	fake.ended = 9;
	fd = raw_connect(fake.rig.path);
	CHECK(raw_sends(fd, "POST /fate/v1/events/redrive?rate=1 HTTP/1.1\r\nHost: x\r\n\r\n"));
	wait_count(&fake.engine.redriven, 1);
	close(fd);
	get("/fate/v1/health");
	end();
	CHECK_INT(fake.engine.redriven, 1);
	/* While the engine owes. */
	begin();
	fake.ended = 9;
	fake.engine.redrives_hang = true;
	fd = raw_connect(fake.rig.path);
	CHECK(raw_sends(fd, "POST /fate/v1/events/redrive HTTP/1.1\r\nHost: x\r\n\r\n"));
	wait_count(&fake.engine.redriven, 1);
	close(fd);
	wait_count(&fake.engine.abandoned, 1);
	end();
	/* While the store owes a page, and answers when server and API are gone. */
	begin();
	fake.hangs_on = STORE_Q_ENDED;
	fd = raw_connect(fake.rig.path);
	CHECK(raw_sends(fd, "POST /fate/v1/events/redrive HTTP/1.1\r\nHost: x\r\n\r\n"));
	for (int i = 0; i < 60000 && !__atomic_load_n(&fake.held, __ATOMIC_SEQ_CST); i++)
		(void)poll(NULL, 0, 1);
	CHECK(fake.held);
	close(fd);
	end();
	fake_finish(fake.held);
	CHECK_INT(fake.engine.redriven, 0);
}

static void refused(void)
{
	static const struct { const char *target, *body; int status; const char *want; } cases[] = {
		{ "?max=0", "", 400, "at 'max'" }, { "?max=100001", "", 400, "at 'max'" }, { "?rate=0", "", 400, "at 'rate'" },
		{ "?rate=10001", "", 400, "at 'rate'" }, { "?condition=success", "", 400, "at 'condition'" },
		{ "?verdict=oom", "", 400, "at 'verdict' failed to satisfy constraint: Member must satisfy enum value set: "
			"[Success, " },
		{ "?since=yesterday", "", 400, "at 'since' failed to satisfy constraint: Member must be a time" },
		{ "?since=", "", 400, "at 'since'" }, { "?since=2026-13-01", "", 400, "at 'since'" },
		{ "?since=2026-02-30", "", 400, "at 'since'" }, { "?until=2026-01-01T00:00", "", 400, "at 'until'" },
		{ "?until=2026-01-01T00:00Zx", "", 400, "at 'until'" }, { "?until=2x", "", 400, "at 'until'" },
		{ "?until=99999999w", "", 400, "at 'until'" }, { "?until=2026-01-01T24:00Z", "", 400, "at 'until'" },
		{ "?after=-1", "", 400, "at 'after'" }, { "?upTo=0", "", 400, "at 'upTo'" }, { "?dryRun=1", "", 400,
			"at 'dryRun'" },
		{ "?timeout=0", "", 400, "at 'timeout'" }, { "?memory=64", "", 400, "at 'memory'" },
		{ "?function=a%20b", "", 400, "at 'function'" }, { "?force=true", "", 400, "Unknown query parameter 'force'" },
		{ "", "{\"functoin\":\"a\"}", 400, "Unknown member 'functoin' for POST /fate/v1/events/redrive" },
		{ "", "{\"function\":[]}", 400, "'function' must be a string, a number, true or false, is a list" },
		{ "", "{\"max\":1e300}", 400, "'max' must be" }, { "", "{\"max\":1.5}", 400, "Value '1.5' at 'max'" },
		{ "?max=1", "{\"max\":1}", 400, "'max' is given twice" }, { "", "{\"max\":1,\"max\":2}", 400, "max" },
		{ "", "[1]", 400, "must be a JSON object, is a list" }, { "", "{\"max\":", 400,
			"Could not parse request body into json" },
		{ "", "{\"a\\u0000b\":1}", 400, "" },
	};
	char target[200];

	begin();
	fake.ended = 3;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		snprintf(target, sizeof(target), "/fate/v1/events/redrive%s", cases[i].target);
		post_body(target, cases[i].body);
		if (res.status != cases[i].status)
			FAIL("%s %s: %d %s", cases[i].target, cases[i].body, res.status, buf_str(&res.body));
		check_in(cases[i].want);
	}
	CHECK_INT(fake.last.kind, 0);	/* none of these got so far */
	CHECK_INT(fake.engine.redriven, 0);
	end();
}

/* ---- messages ---------------------------------------------------------------------------------------------- */

static void messages_of_one_function(void)
{
	begin();
	post("/fate/v1/queues/dead/redrive?function=echo");
	CHECK_INT(res.status, 200);
	/* Records and letters of echo; what cannot be told from, or is of others, is passed over. */
	check_in("\"messageId\":\"00000001-2222-4333-8444-555555555555\",\"requestId\"");
	check_in("\"messageId\":\"00000002-2222-4333-8444-555555555555\",\"requestId\"");
	CHECK(!strstr(buf_str(&res.body), "00000005-2222"));	/* nope's */
	CHECK_INT(fake.last.limit, 0);				/* the last question was whose a letter is */
	buf_clear(&fake.engine.redrives);
	post("/fate/v1/queues/dead/redrive?function=resize&to=echo");
	CHECK(!strstr(buf_str(&res.body), "\"requestId\""));	/* the one that looks so is a letter of echo's */
	CHECK_STR(buf_str(&fake.engine.redrives), "");
	end();
}

static void messages_by_verdict_and_time(void)
{
	begin();
	/* The stored event of the dead letters has a last attempt that runs; its one before is no verdict of it. */
	post("/fate/v1/queues/dead/redrive?verdict=OutOfMemory");
	CHECK_INT(fake.engine.redriven, 0);
	post("/fate/v1/queues/dead/redrive?until=2026-11-24&dryRun=true");
	check_in("\"redriven\":[]");
	post("/fate/v1/queues/dead/redrive?since=2026-11-24&max=1");
	check_in("\"redriven\":[{\"messageId\":\"00000001");
	CHECK_STR(fake.engine.last_origin, FAKE_ID);
	post("/fate/v1/queues/dead/redrive?since=2026-11-24T00:00:00.001Z");
	check_in("\"redriven\":[]");
	CHECK_INT(fake.engine.redriven, 1);
	end();
}

static void messages_with_other_terms_at_a_pace(void)
{
	int64_t from;

	begin();
	from = clock_mono_ns();
	post("/fate/v1/queues/dead/redrive?to=echo&max=4&rate=20&timeout=30&memory=256");
	CHECK_INT(res.status, 200);
	CHECK_INT(fake.engine.redriven, 4);
	CHECK_INT(fake.engine.last_timeout_ms, 30000);
	CHECK_INT(fake.engine.last_memory_mb, 256);
	CHECK_INT(fake.last.visibility_ms, 30000 + 4 * 50);	/* the lease is for the pace, too */
	CHECK((clock_mono_ns() - from) / NS_PER_MS >= 140);
	end();
}

/* ---- deliveries -------------------------------------------------------------------------------------------- */

#define FAILED(n) "{\"seq\":" #n ",\"requestId\":\"" EVENT(n) "\",\"function\":\"echo\",\"role\":\"OnFailure\"," \
	"\"target\":\"file:/full\",\"key\":\"" EVENT(n) ":OnFailure\",\"tries\":9,\"createdAt\":\"2026-11-24T00:00:00.000Z\"," \
	"\"failed\":true,\"lastError\":\"No space left on device\""

static void deliveries(void)
{
	begin();
	fake.failed = 3;
	get("/fate/v1/deliveries?failed=true&limit=2&target=file:/full");
	CHECK_INT(fake.last.state, 1);
	CHECK_STR(fake.last.target, "file:/full");
	check_body("{\"deliveries\":[" FAILED(1) "}," FAILED(2) "}],\"next\":10}");
	get("/fate/v1/deliveries?failed=true&limit=2&after=10");
	check_body("{\"deliveries\":[" FAILED(3) "}]}");
	get("/fate/v1/deliveries?failed=false");
	CHECK_INT(fake.last.state, 0);
	get("/fate/v1/deliveries");
	CHECK_INT(fake.last.state, -1);
	get("/fate/v1/deliveries/" EVENT(2));
	check_body("{\"requestId\":\"" EVENT(2) "\",\"function\":\"echo\",\"deliveries\":[" FAILED(2) ",\"body\":"
		FAKE_FAILED_RECORD
		   "}]}");
	get("/fate/v1/deliveries/" EVENT(4));
	check_body("{\"requestId\":\"" EVENT(4) "\",\"function\":\"echo\",\"deliveries\":[]}");
	get("/fate/v1/deliveries/" FAKE_RECEIPT);
	check_refused(404, "ResourceNotFoundException", NULL);
	end();
}

static void one_delivery(void)
{
	begin();
	fake.failed = 1;
	post("/fate/v1/deliveries/" EVENT(1) "/OnFailure/retry");
	check_body("{\"requestId\":\"" EVENT(1) "\",\"role\":\"OnFailure\",\"due\":true}");
	CHECK_INT(fake.engine.retried, 1);
	CHECK_STR(fake.engine.last_target, "file:/full");
	ask("DELETE", "/fate/v1/deliveries/" EVENT(1) "/OnFailure", NULL, NULL, 0);
	check_body("{\"requestId\":\"" EVENT(1) "\",\"role\":\"OnFailure\",\"dropped\":true}");
	CHECK_INT(fake.engine.dropped, 1);
	post("/fate/v1/deliveries/" EVENT(1) "/DeadLetter/retry");
	check_refused(404, "ResourceNotFoundException", "{\"Type\":\"User\",\"Message\":\"Delivery not found: " EVENT(1)
		      " DeadLetter (the target has taken it, it was dropped, or there never was one)\"}");
	post("/fate/v1/deliveries/" EVENT(1) "/onfailure/retry");
	check_refused(400, "ValidationException", NULL);
	check_in("Value 'onfailure' at 'role' failed to satisfy constraint: Member must satisfy enum value set: [OnSuccess, "
		 "OnFailure, DeadLetter]");
	ask("DELETE", "/fate/v1/deliveries/x/OnFailure", NULL, NULL, 0);
	check_refused(400, "ValidationException", NULL);
	fake.engine.delivery_status = 409;
	post("/fate/v1/deliveries/" EVENT(1) "/OnFailure/retry");
	check_refused(409, "ResourceConflictException", NULL);
	end();
}

#define RETRIED(n) "{\"requestId\":\"" EVENT(n) "\",\"role\":\"OnFailure\",\"target\":\"file:/full\"}"

static void all_that_failed(void)
{
	begin();
	fake.failed = 3;
	post("/fate/v1/deliveries/retry?rate=10000&target=file:/full");
	check_body("{\"retried\":[" RETRIED(1) "," RETRIED(2) "," RETRIED(3) "],\"left\":[],\"after\":14,\"more\":false}");
	CHECK_INT(fake.engine.retried, 3);
	post("/fate/v1/deliveries/retry?rate=10000&max=2");
	check_body("{\"retried\":[" RETRIED(1) "," RETRIED(2) "],\"left\":[],\"after\":10,\"more\":true}");
	fake.engine.delivery_status = 409;
	post("/fate/v1/deliveries/retry?rate=10000&after=10");
	check_in("\"retried\":[],\"left\":[{\"requestId\":\"" EVENT(3) "\",");
	check_in("\"reason\":\"The event is ending already\"}],\"after\":14,\"more\":false}");
	fake.engine.delivery_status = 503;
	post("/fate/v1/deliveries/retry?rate=10000");
	check_body("{\"retried\":[],\"left\":[],\"after\":5,\"more\":true,\"stopped\":\"The event store is in doubt\"}");
	post("/fate/v1/deliveries/retry?target=");
	check_refused(400, "ValidationException", NULL);
	__atomic_store_n(&fake.engine.in_doubt, true, __ATOMIC_SEQ_CST);
	post("/fate/v1/deliveries/retry");
	check_refused(503, "ServiceException", NULL);
	end();
}

int main(void)
{
	RUN(each_event_once);
	RUN(what_is_asked_of_the_store);
	RUN(with_other_terms);
	RUN(dry_run);
	RUN(stopped_by_the_engine);
	RUN(the_store_fails);
	RUN(the_pace);
	RUN(the_client_goes_away);
	RUN(refused);
	RUN(messages_of_one_function);
	RUN(messages_by_verdict_and_time);
	RUN(messages_with_other_terms_at_a_pace);
	RUN(deliveries);
	RUN(one_delivery);
	RUN(all_that_failed);
	TEST_END();
}
