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

/* Same members, same values; times and ids by form alone. */
static void same(const cJSON *want, const cJSON *got, const char *path)
{
	const cJSON *c;
	char sub[256];

	if (want->type != got->type)
		FAIL("%s has another type", path);
	if (cJSON_IsString(want)) {
		if (strchr(want->valuestring, '<') || strcmp(want->valuestring, "date") == 0)
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
		const cJSON *g = cJSON_IsObject(want) ? cJSON_GetObjectItemCaseSensitive(got, c->string) : cJSON_GetArrayItem(got, i++);

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
						     ? OUTCOME_ERROR : OUTCOME_SUCCESS, .payload = blob_new(response, strlen(response)) };
		struct blob *event = blob_new(request, strlen(request));
		struct record_input in = { .row = &row, .region = "us-east-1", .now_ms = 1657720081000, .request = event, .last = &o };

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

#define HEAD "{\"version\":\"1.0\",\"timestamp\":\"2022-07-13T13:48:01.007Z\",\"requestContext\":{\"requestId\":\"8f5e0c8a-1111-4222-8333-444455556666\"," \
	"\"functionArn\":\"arn:aws:lambda:us-east-1:000000000000:function:resize:$LATEST\","

static struct record_input input(const struct blob *request, const struct outcome *o)
{
	return (struct record_input){ .row = &row, .region = "us-east-1", .now_ms = 1657720081007, .request = request, .last = o };
}

static void timeout_to_the_letter(void)
{
	static const char error[] = "{\"errorType\":\"Sandbox.Timedout\",\"errorMessage\":\"RequestId: x Error: Task timed out after 3.00 seconds\"}";
	struct blob *request = blob_new("\n{\"n\": 1.10,\n \"big\":12345678901234567890}\n", 41);
	struct outcome o = { .kind = OUTCOME_TIMEOUT, .payload = blob_new(error, strlen(error)) };
	struct record_input in = input(request, &o);

	fresh(COND_RETRIES_EXHAUSTED, 1);
	in.fates = "{\"attempt\":1}";
	record_build(&b, &in);
	CHECK_STR(buf_str(&b), HEAD "\"condition\":\"RetriesExhausted\",\"approximateInvokeCount\":1},"
		  "\"requestPayload\":{\"n\": 1.10,  \"big\":12345678901234567890},"
		  "\"responseContext\":{\"statusCode\":200,\"executedVersion\":\"$LATEST\",\"functionError\":\"Unhandled\"},"
		  "\"responsePayload\":{\"errorType\":\"Sandbox.Timedout\",\"errorMessage\":\"RequestId: x Error: Task timed out after 3.00 seconds\"},"
		  "\"fate\":{\"attempts\":[{\"attempt\":1}]}}");
	blob_unref(request);
	outcome_done(&o);
}

static void never_ran(void)
{
	struct record_input in = input(NULL, NULL);

	fresh(COND_ZERO_CONCURRENCY, 0);
	record_build(&b, &in);
	CHECK_STR(buf_str(&b), HEAD "\"condition\":\"ZeroReservedConcurrency\",\"approximateInvokeCount\":0},\"requestPayload\":{}}");
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
	struct fate_input in = { .attempt = 2, .started_at_ms = 1657720081007, .ev = &ev, .outcome = &o, .timeout_ms = 3000 };

	ev.bpf.seen = true;
	ev.bpf.env.flags = FATE_ENV_LEADER_EXITED;
	ev.bpf.env.exit_code = SIGKILL;
	ev.bpf.env.procs_forked = 3;
	ev.bpf.env.sender = (struct fate_sender){ .pid = 77, .uid = 1000, .sig = SIGKILL, .flags = FATE_SENDER_KNOWN, .comm = "kil\"ler" };
	buf_clear(&b);
	fate_build(&b, &in);
	CHECK_STR(buf_str(&b), "{\"attempt\":2,\"verdict\":\"Signal\",\"signal\":9,\"signalName\":\"SIGKILL\",\"coreDumped\":false,"
		  "\"sender\":{\"kernel\":false,\"pid\":77,\"uid\":1000,\"comm\":\"kil\\\"ler\"},\"startedAt\":\"2022-07-13T13:48:01.007Z\","
		  "\"durationMs\":2.500,\"processes\":3,\"leftovers\":2,\"witness\":\"both\"}");
	/* What was not seen is not said. */
	ev = (struct evidence){ .interrupted = true };
	o = (struct outcome){ .kind = OUTCOME_INTERRUPTED };
	in.started_at_ms = 0;
	buf_clear(&b);
	fate_build(&b, &in);
	CHECK_STR(buf_str(&b), "{\"attempt\":2,\"verdict\":\"Interrupted\",\"interrupted\":true}");
}

int main(void)
{
	RUN(recorded_by_aws);
	RUN(timeout_to_the_letter);
	RUN(never_ran);
	RUN(success_after_failures_counts_one);
	RUN(function_gone);
	RUN(dead_letters);
	RUN(fate_of_a_kill);
	buf_done(&b);
	TEST_END();
}
