/* SPDX-License-Identifier: Apache-2.0 */
/* The record against AWS's recorded ones, member by member, and the spec's other cases to the letter. */
#include "model/record.h"

#include <cjson/cJSON.h>
#include <signal.h>

#include "base/json.h"
#include "base/mem.h"
#include "lib/test.h"

static struct inv_row row;
static struct buf b;

static void fresh(enum inv_condition c, int attempts)
{
	row = (struct inv_row){ .condition = c, .attempts = attempts, .starts = attempts };
	strcpy(row.request_id, "8f5e0c8a-1111-4222-8333-444455556666");
	strcpy(row.function, "resize");
	buf_clear(&b);
}

static const char *text(const cJSON *o, const char *a)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, a);

	return cJSON_IsString(v) ? v->valuestring : "";
}

/* arn:PARTITION:lambda:REGION:ACCOUNT:function:NAME:QUALIFIER: the names are ours, the form and the qualifier are AWS's. */
static void same_arn(const char *want, const char *got)
{
	CHECK(strncmp(want, "arn:", 4) == 0 && strstr(want, ":lambda:") && strstr(want, ":function:"));
	CHECK(strncmp(got, "arn:aws:lambda:us-east-1:000000000000:function:resize:", 54) == 0);
	CHECK_STR(strrchr(got, ':'), strrchr(want, ':'));
}

/* Same members, same values; times and ids by form alone. */
static void same(const cJSON *want, const cJSON *got, const char *path)
{
	const cJSON *c;
	char sub[256];

	if (want->type != got->type)
		FAIL("%s has another type", path);
	if (cJSON_IsString(want)) {
		if (strstr(path, ".functionArn"))
			same_arn(want->valuestring, got->valuestring);
		else if (strchr(want->valuestring, '<') || strcmp(want->valuestring, "date") == 0)
			CHECK(got->valuestring[0]);
		else if (strcmp(want->valuestring, got->valuestring) != 0)
			FAIL("%s is %s, want %s", path, got->valuestring, want->valuestring);
	} else if (cJSON_IsNumber(want)) {
		if (want->valuedouble != got->valuedouble)
			FAIL("%s is %g, want %g", path, got->valuedouble, want->valuedouble);
	}
	if (cJSON_GetArraySize(want) != cJSON_GetArraySize(got))
		FAIL("%s has %d members, want %d", path, cJSON_GetArraySize(got), cJSON_GetArraySize(want));
	int i = 0;
	cJSON_ArrayForEach(c, want) {
		const cJSON *g = cJSON_IsObject(want) ? cJSON_GetObjectItemCaseSensitive(got, c->string)
		: cJSON_GetArrayItem(got, i++);

		snprintf(sub, sizeof(sub), "%s.%s", path, c->string ? c->string : "[]");
		if (!g)
			FAIL("%s is missing", sub);
		same(c, g, sub);
	}
}

static enum inv_condition condition_of(const char *s)
{
	for (int c = COND_SUCCESS; c <= COND_ZERO_CONCURRENCY; c++)
		if (strcmp(inv_condition_name((enum inv_condition)c), s) == 0)
			return (enum inv_condition)c;
	FAIL("unknown condition %s", s);
}

static void recorded_by_aws(void)
{
	FILE *f = fopen("tests/data/async_records.json", "re");
	static char data[65536];
	cJSON *all, *entry, *got;
	size_t n;

	if (!f)
		FAIL("tests/data/async_records.json is missing");
	n = fread(data, 1, sizeof(data) - 1, f);
	fclose(f);
	all = cJSON_ParseWithLength(data, n);
	CHECK(cJSON_GetArraySize(cJSON_GetObjectItem(all, "records")) >= 3);
	cJSON_ArrayForEach(entry, cJSON_GetObjectItem(all, "records")) {
		cJSON *want = cJSON_GetObjectItem(entry, "record"), *ctx = cJSON_GetObjectItem(want, "requestContext");
		char *request = cJSON_PrintUnformatted(cJSON_GetObjectItem(want, "requestPayload"));
		char *response = cJSON_PrintUnformatted(cJSON_GetObjectItem(want, "responsePayload"));
		struct outcome o = { .kind = cJSON_GetObjectItem(cJSON_GetObjectItem(want, "responseContext"), "functionError")
						     ? OUTCOME_ERROR : OUTCOME_SUCCESS,
							     .payload = blob_new(response, strlen(response)) };
		struct blob *event = blob_new(request, strlen(request));
		struct record_input in = { .row = &row, .region = "us-east-1", .now_ms = 1657720081000, .request = event,
					   .last = &o };

		fresh(condition_of(text(ctx, "condition")), cJSON_GetObjectItem(ctx, "approximateInvokeCount")->valueint);
		record_build(&b, &in);
		CHECK(json_valid(b.data, b.len, NULL));
		got = cJSON_ParseWithLength(b.data, b.len);
		same(want, got, "$");
		cJSON_Delete(got);
		blob_unref(event);
		outcome_done(&o);
		free(request);
		free(response);
	}
	cJSON_Delete(all);
}

#define HEAD "{\"version\":\"1.0\",\"timestamp\":\"2022-07-13T13:48:01.007Z\"," \
	"\"requestContext\":{\"requestId\":\"8f5e0c8a-1111-4222-8333-444455556666\"," \
	"\"functionArn\":\"arn:aws:lambda:us-east-1:000000000000:function:resize:$LATEST\","

static struct record_input input(const struct blob *request, const struct outcome *o)
{
	return (struct record_input){ .row = &row, .region = "us-east-1", .now_ms = 1657720081007, .request = request, .last = o };
}

static void timeout_to_the_letter(void)
{
	static const char error[] = "{\"errorType\":\"Sandbox.Timedout\",\"errorMessage\":\"RequestId: x Error: Task timed "
				    "out after 3.00 seconds\"}";
	struct blob *request = blob_new("\n{\"n\": 1.10,\n \"big\":12345678901234567890}\n", 41);
	struct outcome o = { .kind = OUTCOME_TIMEOUT, .payload = blob_new(error, strlen(error)) };
	struct record_input in = input(request, &o);

	fresh(COND_RETRIES_EXHAUSTED, 1);
	in.fates = "{\"attempt\":1}";
	record_build(&b, &in);
	CHECK_STR(buf_str(&b), HEAD "\"condition\":\"RetriesExhausted\",\"approximateInvokeCount\":1},"
		  "\"requestPayload\":{\"n\": 1.10,  \"big\":12345678901234567890},"
		  "\"responseContext\":{\"statusCode\":200,\"executedVersion\":\"$LATEST\",\"functionError\":\"Unhandled\"},"
		  "\"responsePayload\":{\"errorType\":\"Sandbox.Timedout\",\"errorMessage\":\"RequestId: x Error: Task "
		  "timed out after 3.00 seconds\"},\"fate\":{\"attempts\":[{\"attempt\":1}]}}");
	blob_unref(request);
	outcome_done(&o);
}

/* functionArn is what was invoked, executedVersion what ran: for an alias they are two things. */
static void versions(void)
{
	static const struct { const char *qualifier; int version; const char *arn, *executed; } rows[] = {
		{ "", 0, "resize:$LATEST", "$LATEST" },
		{ "$LATEST", 0, "resize:$LATEST", "$LATEST" },
		{ "3", 3, "resize:3", "3" },
		{ "live", 7, "resize:live", "7" },
		{ "next", 0, "resize:next", "$LATEST" },
		{ "999999999", LIM_VERSION_MAX, "resize:999999999", "999999999" },
	};
	struct outcome o = { .kind = OUTCOME_SUCCESS, .payload = blob_new("7", 1) };
	struct record_input in = input(NULL, &o);
	char want[500];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		for (int failed = 0; failed < 2; failed++) {
			fresh(failed ? COND_RETRIES_EXHAUSTED : COND_SUCCESS, 2);
			o.kind = failed ? OUTCOME_CRASH : OUTCOME_SUCCESS;
			snprintf(row.qualifier, sizeof(row.qualifier), "%s", rows[i].qualifier);
			row.version = rows[i].version;
			record_build(&b, &in);
			snprintf(want, sizeof(want), "{\"version\":\"1.0\",\"timestamp\":\"2022-07-13T13:48:01.007Z\","
				 "\"requestContext\":{\"requestId\":\"8f5e0c8a-1111-4222-8333-444455556666\",\"functionArn\":"
				 "\"arn:aws:lambda:us-east-1:000000000000:function:%s\",\"condition\":\"%s\","
				 "\"approximateInvokeCount\":%d},\"requestPayload\":{},\"responseContext\":{\"statusCode\":200,"
				 "\"executedVersion\":\"%s\"%s},\"responsePayload\":7}",
				 rows[i].arn, failed ? "RetriesExhausted" : "Success", failed ? 2 : 1, rows[i].executed,
				 failed ? ",\"functionError\":\"Unhandled\"" : "");
			CHECK_STR(buf_str(&b), want);
		}
	outcome_done(&o);
	/* The longest function and alias there are. */
	fresh(COND_ZERO_CONCURRENCY, 0);
	snprintf(row.function, sizeof(row.function), "%s", repeat('f', LIM_FUNCTION_NAME_MAX));
	snprintf(row.qualifier, sizeof(row.qualifier), "%s", repeat('q', LIM_QUALIFIER_MAX));
	in.last = NULL;
	record_build(&b, &in);
	snprintf(want, sizeof(want), ":%s\",\"condition\"", repeat('q', LIM_QUALIFIER_MAX));
	CHECK(strstr(buf_str(&b), want));
}

/* To Lambda's readers the retries are over; "fate" says why they were over early. */
static void poison(void)
{
	struct outcome o = { .kind = OUTCOME_SIGNAL, .signo = SIGSEGV, .payload = blob_new("{\"errorMessage\":\"m\"}", 20) };
	struct record_input in = input(NULL, &o);
	struct dead_letter dl;

	fresh(COND_POISON, 4);
	row.deaths = 3;
	in.fates = "{\"attempt\":1},{\"attempt\":2}";
	record_build(&b, &in);
	CHECK_STR(buf_str(&b), HEAD "\"condition\":\"RetriesExhausted\",\"approximateInvokeCount\":4},\"requestPayload\":{},"
		  "\"responseContext\":{\"statusCode\":200,\"executedVersion\":\"$LATEST\",\"functionError\":\"Unhandled\"},"
		  "\"responsePayload\":{\"errorMessage\":\"m\"},"
		  "\"fate\":{\"poison\":3,\"attempts\":[{\"attempt\":1},{\"attempt\":2}]}}");
	dead_letter_build(&dl, &in);
	CHECK_INT(dl.error_code, 200);
	CHECK_STR(dl.error_message, "m");
	/* Without fate there is nothing of ours in it. */
	in.fates = NULL;
	buf_clear(&b);
	record_build(&b, &in);
	CHECK(!strstr(buf_str(&b), "oison") && !strstr(buf_str(&b), "fate"));
	/* Equal deaths that ended nothing are not said. */
	fresh(COND_RETRIES_EXHAUSTED, 3);
	row.deaths = 3;
	in.fates = "";
	record_build(&b, &in);
	CHECK(strstr(buf_str(&b), ",\"fate\":{\"attempts\":[]}}"));
	outcome_done(&o);
}

static void too_long_a_chain(void)
{
	struct record_input in = input(NULL, NULL);
	struct dead_letter dl;

	fresh(COND_RECURSIVE, 0);
	row.hops = 17;
	in.fates = "";
	record_build(&b, &in);
	CHECK_STR(buf_str(&b), HEAD "\"condition\":\"RecursiveInvocation\",\"approximateInvokeCount\":0},\"requestPayload\":{},"
		  "\"fate\":{\"hops\":17,\"attempts\":[]}}");
	dead_letter_build(&dl, &in);
	CHECK_STR(dl.request_id, row.request_id);
	CHECK_INT(dl.error_code, 0);
	CHECK_STR(dl.error_message, "Function not invoked. It would have been invocation 17 of its chain; 16 are allowed");
}

static void where_it_comes_from(void)
{
	struct record_input in = input(NULL, NULL);

	in.fates = "{}";
	for (int hops = 0; hops < 3; hops++) {
		fresh(COND_CANCELLED, 0);
		row.hops = hops;
		record_build(&b, &in);
		/* Never run and not for want of room: nothing answered. */
		CHECK(!strstr(buf_str(&b), "response"));
		CHECK(strstr(buf_str(&b), hops > 1 ? "\"fate\":{\"hops\":2,\"attempts\":[{}]}}" : "\"fate\":{\"attempts\":[{}]}}"));
	}
	fresh(COND_CANCELLED, 0);
	snprintf(row.origin, sizeof(row.origin), "00000000-1111-4222-8333-444455556666");
	row.hops = 5;
	record_build(&b, &in);
	CHECK(strstr(buf_str(&b),
		"\"fate\":{\"redriveOf\":\"00000000-1111-4222-8333-444455556666\",\"hops\":5,\"attempts\":[{}]}}"));
	row.condition = COND_POISON;
	row.deaths = 2;
	buf_clear(&b);
	record_build(&b, &in);
	CHECK(strstr(buf_str(&b), "\"fate\":{\"poison\":2,\"redriveOf\":\"00000000-1111-4222-8333-444455556666\",\"hops\":5,"));
	CHECK(json_valid(b.data, b.len, NULL));
}

/* For a target that would not take the payloads: all the rest is there. */
static void bare(void)
{
	struct outcome o = { .kind = OUTCOME_ERROR, .payload = blob_new("{}", 2) };
	struct record_input in = input(NULL, &o);

	fresh(COND_RETRIES_EXHAUSTED, 1);
	in.bare = true;
	record_build(&b, &in);
	CHECK_STR(buf_str(&b), HEAD "\"condition\":\"RetriesExhausted\",\"approximateInvokeCount\":1},"
		  "\"responseContext\":{\"statusCode\":200,\"executedVersion\":\"$LATEST\",\"functionError\":\"Unhandled\"}}");
	outcome_done(&o);
}

/* Its last try never began: no version executed it, and what the host said is no answer of the function. */
static void the_host_was_at_fault(void)
{
	struct outcome o = { .kind = OUTCOME_HOST, .hosts_fault = true, .payload = blob_new("{\"errorMessage\":\"no room\"}", 26) };
	struct record_input in = input(NULL, &o);
	struct dead_letter dl;

	fresh(COND_AGE_EXCEEDED, 0);
	row.version = 4;
	record_build(&b, &in);
	CHECK_STR(buf_str(&b), HEAD "\"condition\":\"EventAgeExceeded\",\"approximateInvokeCount\":0},\"requestPayload\":{},"
		  "\"responseContext\":{\"statusCode\":500}}");
	dead_letter_build(&dl, &in);
	CHECK_INT(dl.error_code, 500);
	CHECK_STR(dl.error_message, "no room");
	outcome_done(&o);
}

static void never_ran(void)
{
	struct record_input in = input(NULL, NULL);

	fresh(COND_ZERO_CONCURRENCY, 0);
	record_build(&b, &in);
	CHECK_STR(buf_str(&b), HEAD "\"condition\":\"ZeroReservedConcurrency\",\"approximateInvokeCount\":0},"
		  "\"requestPayload\":{}}");
	fresh(COND_AGE_EXCEEDED, 0);
	in.throttled = true;
	record_build(&b, &in);
	CHECK_STR(buf_str(&b), HEAD "\"condition\":\"EventAgeExceeded\",\"approximateInvokeCount\":0},\"requestPayload\":{},"
		  "\"responseContext\":{\"statusCode\":429}}");
}

static void success_after_failures_counts_one(void)
{
	struct outcome o = { .kind = OUTCOME_SUCCESS, .payload = blob_new("null", 4) };
	struct record_input in = input(NULL, &o);

	fresh(COND_SUCCESS, 3);
	record_build(&b, &in);
	CHECK(strstr(buf_str(&b), "\"condition\":\"Success\",\"approximateInvokeCount\":1}") != NULL);
	CHECK(strstr(buf_str(&b), "\"responsePayload\":null}") != NULL);
	CHECK(!strstr(buf_str(&b), "functionError"));
	outcome_done(&o);
}

static void function_gone(void)
{
	struct outcome o = { .kind = OUTCOME_NO_FUNCTION };
	struct record_input in = input(NULL, &o);
	struct dead_letter dl;

	fresh(COND_RETRIES_EXHAUSTED, 3);
	record_build(&b, &in);
	CHECK(strstr(buf_str(&b), "\"responseContext\":{\"statusCode\":404}}") != NULL);
	dead_letter_build(&dl, &in);
	CHECK_INT(dl.error_code, 404);
	CHECK_STR(dl.error_message, "Function not found: arn:aws:lambda:us-east-1:000000000000:function:resize:$LATEST");
	/* A version or an alias that is not there is said as it was asked for; nothing executed it. */
	fresh(COND_RETRIES_EXHAUSTED, 3);
	snprintf(row.qualifier, sizeof(row.qualifier), "live");
	row.version = 7;
	record_build(&b, &in);
	CHECK(strstr(buf_str(&b), "\"functionArn\":\"arn:aws:lambda:us-east-1:000000000000:function:resize:live\""));
	CHECK(strstr(buf_str(&b), "\"approximateInvokeCount\":3},\"requestPayload\":{},\"responseContext\":{\"statusCode\":404}}"));
	dead_letter_build(&dl, &in);
	CHECK_STR(dl.error_message, "Function not found: arn:aws:lambda:us-east-1:000000000000:function:resize:live");
}

static void dead_letters(void)
{
	struct outcome o = { .kind = OUTCOME_ERROR };
	struct record_input in = input(NULL, &o);
	struct buf long_error = {};
	struct dead_letter dl;

	fresh(COND_RETRIES_EXHAUSTED, 3);
	o.payload = blob_new("{\"errorType\":\"E\",\"errorMessage\":\"no \\u00e9 \\\"cat\\\"\"}", 51);
	dead_letter_build(&dl, &in);
	CHECK_INT(dl.error_code, 200);
	CHECK_STR(dl.error_message, "no \xc3\xa9 \"cat\"");
	outcome_done(&o);

	/* 1,023 bytes, then a character of two: the cut would go through it. */
	buf_adds(&long_error, "{\"errorMessage\":\"");
	for (int i = 0; i < 1023; i++)
		buf_addc(&long_error, 'a');
	buf_adds(&long_error, "\xc3\xa9tail\"}");
	o = (struct outcome){ .kind = OUTCOME_ERROR, .payload = blob_new(long_error.data, long_error.len) };
	dead_letter_build(&dl, &in);
	CHECK_INT(strlen(dl.error_message), 1023 + 3);
	CHECK_STR(dl.error_message + 1023, "\xef\xbf\xbd");
	outcome_done(&o);
	buf_done(&long_error);

	/* 1,024 bytes to the last, the last character whole: nothing is broken. One byte less is what it is. */
	for (size_t n = 1023; n <= 1025; n++) {
		buf_addf(&long_error, "{\"errorMessage\":\"%s\xc3\xa9\"}", repeat('a', n - 2));
		o = (struct outcome){ .kind = OUTCOME_ERROR, .payload = blob_new(long_error.data, long_error.len) };
		dead_letter_build(&dl, &in);
		CHECK_INT(strlen(dl.error_message), n < 1025 ? n : 1023 + 3);
		CHECK_STR(dl.error_message + n - 2, n < 1025 ? "\xc3\xa9" : "\xef\xbf\xbd");
		outcome_done(&o);
		buf_done(&long_error);
		long_error = (struct buf){};
	}
	/* An answer without a message, or with one that is no text. */
	o = (struct outcome){ .kind = OUTCOME_ERROR, .payload = blob_new("{\"errorMessage\":7}", 18) };
	dead_letter_build(&dl, &in);
	CHECK_INT(dl.error_code, 200);
	CHECK_STR(dl.error_message, "");
	outcome_done(&o);

	fresh(COND_AGE_EXCEEDED, 0);
	in.last = NULL;
	in.throttled = true;
	dead_letter_build(&dl, &in);
	CHECK_INT(dl.error_code, 429);
	CHECK_STR(dl.error_message, "Rate Exceeded.");
	in.throttled = false;

	fresh(COND_CANCELLED, 0);
	dead_letter_build(&dl, &in);
	CHECK_STR(dl.request_id, row.request_id);
	CHECK_INT(dl.error_code, 0);
	CHECK_STR(dl.error_message, "");

	fresh(COND_ZERO_CONCURRENCY, 0);
	in.last = NULL;
	dead_letter_build(&dl, &in);
	CHECK_INT(dl.error_code, 0);
	CHECK_STR(dl.error_message, "Function not invoked. Function isconfigured with zero reserved concurrent executions");
}

static void fate_of_a_kill(void)
{
	struct evidence ev = { .have_wait = true, .wait_status = SIGKILL, .started_ns = 1, .ended_ns = 2500001, .leftovers = 2 };
	struct outcome o = { .kind = OUTCOME_SIGNAL, .signo = SIGKILL, .witness = WITNESS_BOTH };
	struct fate_input in = { .attempt = 2, .started_at_ms = 1657720081007, .ev = &ev, .outcome = &o, .timeout_ms = 3000,
				 .observed = true };

	ev.bpf.seen = true;
	ev.bpf.env.flags = FATE_ENV_LEADER_EXITED;
	ev.bpf.env.exit_code = SIGKILL;
	ev.bpf.env.procs_forked = 3;
	ev.bpf.env.sender = (struct fate_sender){ .pid = 77, .uid = 1000, .sig = SIGKILL, .flags = FATE_SENDER_KNOWN,
						  .comm = "kil\"ler" };
	buf_clear(&b);
	fate_build(&b, &in);
	CHECK_STR(buf_str(&b), "{\"attempt\":2,\"verdict\":\"Signal\",\"observer\":\"bpf\",\"signal\":9,\"signalName\":\"SIGKILL\","
		  "\"coreDumped\":false,\"sender\":{\"kernel\":false,\"pid\":77,\"uid\":1000,\"comm\":\"kil\\\"ler\"},"
		  "\"startedAt\":\"2022-07-13T13:48:01.007Z\",\"timeoutMs\":3000,\"durationMs\":2.500,\"processes\":3,"
		  "\"leftovers\":2,\"witness\":\"both\"}");
	/* What was not seen is not said. */
	ev = (struct evidence){ .interrupted = true };
	o = (struct outcome){ .kind = OUTCOME_INTERRUPTED };
	in = (struct fate_input){ .attempt = 2, .ev = &ev, .outcome = &o };
	buf_clear(&b);
	fate_build(&b, &in);
	CHECK_STR(buf_str(&b), "{\"attempt\":2,\"verdict\":\"Interrupted\",\"observer\":\"fallback\",\"interrupted\":true}");
	snprintf(ev.interrupted_why, sizeof(ev.interrupted_why), "the daemon was restarted, and \"x\" was\nlost");
	buf_clear(&b);
	fate_build(&b, &in);
	CHECK_STR(buf_str(&b), "{\"attempt\":2,\"verdict\":\"Interrupted\",\"observer\":\"fallback\",\"interrupted\":true,"
		  "\"interruptedBecause\":\"the daemon was restarted, and \\\"x\\\" was\\nlost\"}");
	ev.interrupted = false;		/* a reason for what did not happen */
	buf_clear(&b);
	fate_build(&b, &in);
	CHECK(!strstr(buf_str(&b), "nterruptedBecause"));
}

/* Everything that can be known of one death, and where each member comes from. */
static struct evidence everything(void)
{
	struct evidence ev = {
		.queued_ns = 1000000, .claimed_ns = 3000000, .started_ns = 4000000, .ended_ns = 3105000000, .empty_ns = 3106000000,
		.verdict_ns = 3105020000, .have_wait = true, .wait_status = SIGKILL, .grace_survivors = 1,
		.sender_group = "/system.slice/fated.service", .oom_group = "/machine.slice",
		.bpf = { .seen = true, .env = {
			.flags = FATE_ENV_LEADER_EXITED | FATE_ENV_DEADLINE_HIT | FATE_ENV_EMPTY, .fork_ns = 5000000,
			.exec_ns = 5500000,
			.deadline_ns = 3005000000, .deadline_hit_ns = 3005100000, .exit_ns = 3105000000, .empty_ns = 3106000001,
			.exit_code = SIGKILL, .procs_forked = 3, .procs_exited = 3,
			.oom_kills = 2, .oom_scope = FATE_OOM_ANCESTOR, .oom_victim_tgid = 78, .oom_victim_comm = "eater",
			.oom_limit_cgroup_id = 99, .oom_limit_bytes = 67108864,
			.sender = { .pid = 77, .uid = 0, .sig = SIGKILL, .flags = FATE_SENDER_KNOWN,
				    .cgroup_id = 18446744073709551615ull,
				    .comm = "fated" },
			.acct = { .cpu_ns = 9000000, .wait_ns = 4000000, .life_ns = 3200000000, .minor_faults = 10,
				  .major_faults = 1,
				  .voluntary_switches = 5, .involuntary_switches = 6, .read_bytes = 100, .written_bytes = 200,
				  .read_storage = 4096, .written_storage = 8192, .peak_rss = 1048576, .threads = 4,
				  .known = FATE_ACCT_WAIT | FATE_ACCT_IO | FATE_ACCT_RSS },
		} },
		.cgroup = { .have_memory = true, .oom_kills = 1, .memory_peak = 33554432, .memory_limit = 134217728,
			    .have_cpu = true, .cpu_usage_us = 10000, .cpu_user_us = 7000, .cpu_system_us = 3000,
			    .missing = FACT_MISSING_PIDS | FACT_MISSING_CPU },
	};

	ev.stderr_tail = blob_new("one\ntwo\xff\n", 9);
	return ev;
}

static void fate_of_everything(void)
{
	struct evidence ev = everything();
	struct outcome o = { .kind = OUTCOME_TIMEOUT, .signo = SIGKILL, .witness = WITNESS_BOTH, .oom_scope = OOM_SCOPE_ANCESTOR };
	struct fate_input in = { .attempt = 1, .started_at_ms = 1657720081007, .ev = &ev, .outcome = &o, .timeout_ms = 3000,
				 .memory_mb = 128, .observed = true };

	buf_clear(&b);
	fate_build(&b, &in);
	CHECK(json_valid(b.data, b.len, NULL));
	CHECK_STR(buf_str(&b), "{\"attempt\":1,\"verdict\":\"Timeout\",\"observer\":\"bpf\",\"signal\":9,"
		  "\"signalName\":\"SIGKILL\","
		  "\"coreDumped\":false,\"sender\":{\"kernel\":false,\"pid\":77,\"uid\":0,\"comm\":\"fated\","
		  "\"cgroup\":\"/system.slice/fated.service\",\"cgroupId\":\"18446744073709551615\"},"
		  "\"oom\":{\"kills\":2,\"scope\":\"ancestor\",\"victim\":{\"pid\":78,\"comm\":\"eater\"},\"limitBytes\":67108864,"
		  "\"limitCgroup\":\"/machine.slice\",\"peakBytes\":33554432},"
		  "\"startedAt\":\"2022-07-13T13:48:01.007Z\",\"deadlineAt\":\"2022-07-13T13:48:04.009Z\",\"timeoutMs\":3000,"
		  "\"deadlineToEmptyMs\":100.900,\"durationMs\":3100.000,\"verdictUs\":20.0,\"kernelStartUs\":5000,"
		  "\"kernelEndUs\":3106001,"
		  "\"time\":{\"queuedMs\":2.000,\"startingMs\":2.500,\"onCpuMs\":10.000,\"waitingMs\":4.000,\"asleepMs\":3186.000},"
		  "\"cpu\":{\"userMs\":7.000,\"systemMs\":3.000},"
		  "\"memory\":{\"limitMB\":128,\"peakRssBytes\":1048576,\"peakBytes\":33554432},"
		  "\"faults\":{\"minor\":10,\"major\":1},\"switches\":{\"voluntary\":5,\"involuntary\":6},"
		  "\"io\":{\"readBytes\":100,\"writtenBytes\":200,\"storageReadBytes\":4096,\"storageWrittenBytes\":8192},"
		  "\"processes\":3,\"threads\":4,\"graceSurvivors\":1,\"limitsMissing\":[\"pids\",\"cpu\"],"
		  "\"stderrTail\":\"one\\ntwo\xef\xbf\xbd\\n\",\"witness\":\"both\"}");

	/* Ends that were not counted: no sum is given. cpu.stat has all of them. */
	ev.bpf.incomplete = true;
	buf_clear(&b);
	fate_build(&b, &in);
	CHECK(strstr(buf_str(&b), "\"time\":{\"queuedMs\":2.000,\"startingMs\":2.500,\"onCpuMs\":10.000},\"cpu\":{"));
	CHECK(strstr(buf_str(&b), "\"incomplete\":true"));
	CHECK(!strstr(buf_str(&b), "peakRssBytes") && !strstr(buf_str(&b), "threads") && !strstr(buf_str(&b), "processes"));
	CHECK(!strstr(buf_str(&b), "faults") && !strstr(buf_str(&b), "asleepMs") && !strstr(buf_str(&b), "switches"));
	blob_unref(ev.stderr_tail);
}

static void fate_by_files_alone(void)
{
	struct evidence ev = everything();
	struct outcome o = { .kind = OUTCOME_OOM, .signo = SIGKILL, .witness = WITNESS_WAIT, .oom_scope = OOM_SCOPE_OWN };
	struct fate_input in = { .attempt = 1, .started_at_ms = 1657720081007, .ev = &ev, .outcome = &o, .timeout_ms = 3000,
				 .memory_mb = 128 };

	blob_unref(TAKE(ev.stderr_tail));
	ev.bpf = (struct fact_bpf){};
	ev.oom_group[0] = '\0';
	ev.grace_survivors = 0;
	ev.cgroup.missing = 0;
	buf_clear(&b);
	fate_build(&b, &in);
	CHECK_STR(buf_str(&b), "{\"attempt\":1,\"verdict\":\"OutOfMemory\",\"observer\":\"fallback\",\"signal\":9,"
		  "\"signalName\":\"SIGKILL\","
		  "\"coreDumped\":false,\"oom\":{\"kills\":1,\"scope\":\"own\",\"limitBytes\":134217728,\"peakBytes\":33554432},"
		  "\"startedAt\":\"2022-07-13T13:48:01.007Z\",\"deadlineAt\":\"2022-07-13T13:48:04.008Z\",\"timeoutMs\":3000,"
		  "\"durationMs\":3101.000,\"time\":{\"queuedMs\":2.000,\"onCpuMs\":10.000},\"cpu\":{\"userMs\":7.000,"
		  "\"systemMs\":3.000},\"memory\":{\"limitMB\":128,\"peakBytes\":33554432},\"witness\":\"wait\"}");
	/* A limit above, found in the files. */
	o.oom_scope = OOM_SCOPE_ANCESTOR;
	ev.cgroup.above_known = true;
	ev.cgroup.above_limit = 4096;
	snprintf(ev.cgroup.above, sizeof(ev.cgroup.above), "/a \"b\"");
	buf_clear(&b);
	fate_build(&b, &in);
	CHECK(strstr(buf_str(&b), "\"oom\":{\"kills\":1,\"scope\":\"ancestor\",\"limitBytes\":4096,\"limitCgroup\":\"/a "
		     "\\\"b\\\"\",\"peakBytes\""));
	/* Nobody could tell. */
	o.oom_scope = OOM_SCOPE_UNKNOWN;
	ev.cgroup.above[0] = '\0';
	buf_clear(&b);
	fate_build(&b, &in);
	CHECK(strstr(buf_str(&b), "\"oom\":{\"kills\":1,\"peakBytes\":33554432}"));
}

int main(void)
{
	RUN(recorded_by_aws);
	RUN(timeout_to_the_letter);
	RUN(versions);
	RUN(poison);
	RUN(too_long_a_chain);
	RUN(where_it_comes_from);
	RUN(bare);
	RUN(the_host_was_at_fault);
	RUN(never_ran);
	RUN(success_after_failures_counts_one);
	RUN(function_gone);
	RUN(dead_letters);
	RUN(fate_of_a_kill);
	RUN(fate_of_everything);
	RUN(fate_by_files_alone);
	buf_done(&b);
	TEST_END();
}
