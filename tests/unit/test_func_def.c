/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Function definitions: what is taken and where it goes, and for what is refused, the exact path and a word of the
 * reason. The bounds below are written out and not taken from the headers: they are the promise.
 */
#include "fuzz/fuzz_func.c"

#include <errno.h>
#include <limits.h>
#include <pthread.h>

#include "base/mem.h"
#include "lib/test.h"

#define ACCT "000000000000"

/* Parses; the problems as "path: reason" lines, "" when there were none. */
static struct func *parse(const char *json, size_t len, char *ret_problems, size_t size)
{
	struct func_problems p = {};
	struct func *f = NULL;
	size_t n = 0;
	int r = func_parse(json, len, &f, &p);

	ret_problems[0] = '\0';
	for (size_t i = 0; i < p.n && n < size; i++)
		n += (size_t)snprintf(ret_problems + n, size - n, "%s: %s\n", p.list[i].path, p.list[i].reason);
	if ((r == 0) != (p.n == 0) || (r == 0) != (f != NULL) || (r != 0 && r != -EINVAL))
		snprintf(ret_problems, size, "!! r %d, problems %zu, f %p", r, p.n, (void *)f);
	func_problems_done(&p);
	return f;
}

static char *problems;		/* of the last parse */
#define PROBLEMS_SIZE 65536u

static struct func *good(const char *json)
{
	struct func *f = parse(json, strlen(json), problems, PROBLEMS_SIZE);

	if (!f)
		FAIL("%.400s: %.400s", json, problems);
	return f;
}

/* Exactly one problem, at this path, with this in its reason. */
static void one_problem(const char *json, const char *path, const char *word)
{
	struct func *f = parse(json, strlen(json), problems, PROBLEMS_SIZE);
	const char *nl = strchr(problems, '\n');
	size_t len = strlen(path);

	if (f)
		FAIL("%.400s was taken", json);
	if (strncmp(problems, path, len) != 0 || strncmp(problems + len, ": ", 2) != 0)
		FAIL("%.300s: problem \"%.300s\" is not at %.100s", json, problems, path);
	if (!strstr(problems + len, word))
		FAIL("%.300s: problem \"%.300s\" does not say \"%.100s\"", json, problems, word);
	if (!nl || nl[1])
		FAIL("%.300s: more than one problem: %.400s", json, problems);
}

/* The least definition with some members more. */
static const char *with(const char *members)
{
	static char text[8192];

	snprintf(text, sizeof(text), "{\"FunctionName\":\"f\",\"Command\":[\"/bin/true\"]%s%s}", *members ? "," : "", members);
	return text;
}

static void defaults(void)
{
	struct func *f = good(with(""));

	CHECK_STR(f->name, "f");
	CHECK_STR(f->description, "");
	CHECK_INT(f->mode, FUNC_MODE_EXEC);
	CHECK_STR(f->command[0], "/bin/true");
	CHECK(!f->command[1]);
	CHECK(!f->working_dir && !f->user && !f->group);
	CHECK(f->env && !f->env[0]);
	CHECK_INT(f->timeout_ms, 3000);
	CHECK_INT(f->kill_grace_ms, 0);
	CHECK_INT(f->memory_mb, 128);
	CHECK_INT(f->pids_max, 1024);
	CHECK_INT(f->cpu_percent, 0);
	CHECK(f->no_new_privs);
	CHECK_INT(f->n_rlimits, 0);
	CHECK_INT(f->reserved_concurrency, -1);
	CHECK_INT(f->retries_max, 2);
	CHECK_INT(f->event_age_max_s, 21600);
	CHECK_INT(f->n_retry_delays, 2);
	CHECK_INT(f->retry_delays_ms[0], 60000);
	CHECK_INT(f->retry_delays_ms[1], 120000);
	CHECK_INT(f->on_success.kind, TARGET_NONE);
	CHECK_INT(f->on_failure.kind, TARGET_NONE);
	CHECK_INT(f->dead_letter.kind, TARGET_NONE);
	CHECK(f->record_fate);
	CHECK_INT(f->leftovers, FUNC_LEFTOVERS_KILL);
	CHECK(f->oom_group);
	CHECK(!f->require_limits);
	CHECK_INT(f->poison_after, 0);
	CHECK(!f->recursive_loop);
	CHECK_INT(f->version, 0);
	CHECK(!f->published_as);
	CHECK_STR(f->source->data, with(""));
	for (int k = 0; k < OUTCOME_MAX; k++)
		CHECK(!f->retry[k].given);
	CHECK_INT(f->refs, 1);
	func_unref(f);
}

static const char everything[] =
"{\n"
"  \"FunctionName\": \"arn:aws:lambda:eu-west-1:" ACCT ":function:resize\",\n"
"  \"Description\": \"makes pictures smaller \\u00e4\\ud83d\\ude00\",\n"
"  \"Tags\": {\"team\": \"images\"},\n"
"  \"Mode\": \"exec\",\n"
"  \"Command\": [\"/usr/bin/resize\", \"--fast\", \"\"],\n"
"  \"WorkingDirectory\": \"/srv/pictures\",\n"
"  \"Environment\": {\"Variables\": {\"MODE\": \"a=b\", \"EMPTY\": \"\", \"PATH\": \"/bin\"}},\n"
"  \"Timeout\": 2.5, \"KillGracePeriod\": 0.25, \"MemorySize\": 256, \"PidsMax\": 64, \"CpuPercent\": 150,\n"
"  \"User\": \"www-data\", \"Group\": 33, \"NoNewPrivileges\": false,\n"
"  \"Rlimits\": {\"NOFILE\": 1024, \"CORE\": [0, \"unlimited\"], \"FSIZE\": \"unlimited\", \"STACK\": [1, 2]},\n"
"  \"ReservedConcurrentExecutions\": 4,\n"
"  \"EventInvokeConfig\": {\"MaximumRetryAttempts\": 1, \"MaximumEventAgeInSeconds\": 600,\n"
"    \"DestinationConfig\": {\"OnSuccess\": {\"Destination\": \"queue:done\"}, \"OnFailure\": {\"Destination\": \"reinvoke\"}}},\n"
"  \"RetryDelaysInSeconds\": [0.2, 0, 21600],\n"
"  \"DeadLetterConfig\": {\"TargetArn\": \"arn:aws:sqs:eu-west-1:" ACCT ":dead\"},\n"
"  \"RecordFate\": false\n"
"}\n";

static void every_member(void)
{
	struct func *f = good(everything);

	CHECK_STR(f->name, "resize");
	CHECK_STR(f->description, "makes pictures smaller ä😀");
	CHECK_STR(f->command[0], "/usr/bin/resize");
	CHECK_STR(f->command[1], "--fast");
	CHECK_STR(f->command[2], "");
	CHECK(!f->command[3]);
	CHECK_STR(f->working_dir, "/srv/pictures");
	CHECK_STR(f->env[0], "MODE=a=b");
	CHECK_STR(f->env[1], "EMPTY=");
	CHECK_STR(f->env[2], "PATH=/bin");
	CHECK(!f->env[3]);
	CHECK_INT(f->timeout_ms, 2500);
	CHECK_INT(f->kill_grace_ms, 250);
	CHECK_INT(f->memory_mb, 256);
	CHECK_INT(f->pids_max, 64);
	CHECK_INT(f->cpu_percent, 150);
	CHECK_STR(f->user, "www-data");
	CHECK_STR(f->group, "33");
	CHECK(!f->no_new_privs);
	CHECK_INT(f->n_rlimits, 4);
	CHECK_INT(f->rlimits[0].resource, RLIMIT_NOFILE);
	CHECK_INT(f->rlimits[0].value.rlim_cur, 1024);
	CHECK_INT(f->rlimits[0].value.rlim_max, 1024);
	CHECK_INT(f->rlimits[1].resource, RLIMIT_CORE);
	CHECK_INT(f->rlimits[1].value.rlim_cur, 0);
	CHECK(f->rlimits[1].value.rlim_max == RLIM_INFINITY);
	CHECK(f->rlimits[2].value.rlim_cur == RLIM_INFINITY && f->rlimits[2].value.rlim_max == RLIM_INFINITY);
	CHECK_INT(f->rlimits[3].resource, RLIMIT_STACK);
	CHECK_INT(f->reserved_concurrency, 4);
	CHECK_INT(f->retries_max, 1);
	CHECK_INT(f->event_age_max_s, 600);
	CHECK_INT(f->n_retry_delays, 3);
	CHECK_INT(f->retry_delays_ms[0], 200);
	CHECK_INT(f->retry_delays_ms[1], 0);
	CHECK_INT(f->retry_delays_ms[2], 21600000);
	CHECK_INT(f->on_success.kind, TARGET_QUEUE);
	CHECK_STR(f->on_success.name, "done");
	CHECK_INT(f->on_failure.kind, TARGET_NAME);
	CHECK_STR(f->on_failure.name, "reinvoke");
	CHECK_STR(f->on_failure.text, "reinvoke");
	CHECK_INT(f->dead_letter.kind, TARGET_QUEUE);
	CHECK_STR(f->dead_letter.name, "dead");
	CHECK(!f->record_fate);
	func_unref(f);
}

/* ---- bounds: one row a number; lo-step and hi+step are refused, lo and hi are taken ---- */

static double get_int(const struct func *f, size_t place) { return *(const int *)(const void *)((const char *)f + place); }

static void bounds(void)
{
	static const struct { const char *format, *path; double lo, hi, step, scale; size_t place; } rows[] = {
		{ "\"Timeout\":%.15g", "$.Timeout", 0.001, 900, 0.001, 1000, offsetof(struct func, timeout_ms) },
		{ "\"KillGracePeriod\":%.15g", "$.KillGracePeriod", 0, 900, 0.001, 1000, offsetof(struct func, kill_grace_ms) },
		{ "\"MemorySize\":%.15g", "$.MemorySize", 128, 10240, 1, 1, offsetof(struct func, memory_mb) },
		{ "\"PidsMax\":%.15g", "$.PidsMax", 0, 4194304, 1, 1, offsetof(struct func, pids_max) },
		{ "\"CpuPercent\":%.15g", "$.CpuPercent", 0, 102400, 1, 1, offsetof(struct func, cpu_percent) },
		{ "\"ReservedConcurrentExecutions\":%.15g", "$.ReservedConcurrentExecutions", 0, 1000000, 1, 1,
		  offsetof(struct func, reserved_concurrency) },
		{ "\"EventInvokeConfig\":{\"MaximumRetryAttempts\":%.15g}", "$.EventInvokeConfig.MaximumRetryAttempts", 0,
		  100, 1, 1, offsetof(struct func, retries_max) },
		{ "\"EventInvokeConfig\":{\"MaximumEventAgeInSeconds\":%.15g}", "$.EventInvokeConfig.MaximumEventAgeInSeconds", 60,
		  21600, 1, 1, offsetof(struct func, event_age_max_s) },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const double in[] = { rows[i].lo, rows[i].hi,
				      (rows[i].hi + rows[i].lo) / 2 - (int)(rows[i].hi + rows[i].lo) % 2 * 0.5 };
		const double out[] = { rows[i].lo - rows[i].step, rows[i].hi + rows[i].step, -1e300, 1e300 };
		char text[200], value[40], range[80];

		for (size_t j = 0; j < 2; j++) {
			struct func *f;

			snprintf(text, sizeof(text), rows[i].format, in[j]);
			f = good(with(text));
			CHECK_INT(get_int(f, rows[i].place), in[j] * rows[i].scale + 0.5);
			func_unref(f);
		}
		for (size_t j = 0; j < ARRAY_SIZE(out); j++) {
			snprintf(text, sizeof(text), rows[i].format, out[j]);
			snprintf(value, sizeof(value), "is %.15g, must be from", out[j]);
			snprintf(range, sizeof(range), "from %.15g to %.15g", rows[i].lo, rows[i].hi);
			one_problem(with(text), rows[i].path, value);
			one_problem(with(text), rows[i].path, range);
		}
		/* Between the grid's lines: half a step is no value. */
		snprintf(text, sizeof(text), rows[i].format, rows[i].lo + 1.5 * rows[i].step);
		one_problem(with(text), rows[i].path, rows[i].scale > 1 ? "finer than a millisecond" : "whole number");
		/* Wrong types. */
		snprintf(text, sizeof(text), rows[i].format, 1.0);
		{
			static const char *const wrong[] = { "\"1\"", "null", "true", "[1]", "{}" };
			static const char *const type[] = { "is a string", "is null", "is true", "is a list", "is an object" };
			char *at = strrchr(text, '1'), tail[8];

			snprintf(tail, sizeof(tail), "%s", at + 1);
			for (size_t j = 0; j < ARRAY_SIZE(wrong); j++) {
				snprintf(at, sizeof(text) - (size_t)(at - text), "%s%s", wrong[j], tail);
				one_problem(with(text), rows[i].path, type[j]);
			}
		}
	}
	/* 3.0 is the integer 3, and 1e3 is 1000; beyond doubles there is no number. */
	func_unref(good(with("\"MemorySize\":128.0")));
	func_unref(good(with("\"MemorySize\":1e3")));
	one_problem(with("\"MemorySize\":1e400"), "$.MemorySize", "is inf, must be from");
	one_problem(with("\"MemorySize\":1000000000000000000000000000000000000000000000000000000000000000000"),
		    "$.MemorySize", "is 1e+66");
	one_problem(with("\"MemorySize\":-0.5"), "$.MemorySize", "whole number");
	one_problem(with("\"Timeout\":1.0005"), "$.Timeout", "finer than a millisecond");
}

static void retry_delays(void)
{
	char text[2000] = "\"RetryDelaysInSeconds\":[0";

	for (int i = 1; i < 100; i++)
		strcat(text, ",1");
	strcat(text, "]");
	func_unref(good(with(text)));
	text[strlen(text) - 1] = '\0';
	strcat(text, ",1]");
	one_problem(with(text), "$.RetryDelaysInSeconds", "has 101 entries, must have from 1 to 100");
	one_problem(with("\"RetryDelaysInSeconds\":[]"), "$.RetryDelaysInSeconds", "has 0 entries");
	one_problem(with("\"RetryDelaysInSeconds\":1"), "$.RetryDelaysInSeconds", "must be a list of numbers, is a number");
	one_problem(with("\"RetryDelaysInSeconds\":[1,21601]"), "$.RetryDelaysInSeconds[1]", "from 0 to 21600 seconds");
	one_problem(with("\"RetryDelaysInSeconds\":[-1]"), "$.RetryDelaysInSeconds[0]", "is -1");
	one_problem(with("\"RetryDelaysInSeconds\":[1,\"1\"]"), "$.RetryDelaysInSeconds[1]", "must be a number, is a string");
	one_problem(with("\"RetryDelaysInSeconds\":[0.0001]"), "$.RetryDelaysInSeconds[0]", "finer");
}

struct bad { const char *members, *path, *word; };

static void each(const struct bad *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		one_problem(with(rows[i].members), rows[i].path, rows[i].word);
}
#define EACH(...) do { static const struct bad _rows[] = { __VA_ARGS__ }; each(_rows, ARRAY_SIZE(_rows)); } while (0)

static void wrong_types(void)
{
	EACH({ "\"Description\":1", "$.Description", "must be a string, is a number" },
	     { "\"Tags\":[]", "$.Tags", "must be an object, is a list" },
	     { "\"Mode\":true", "$.Mode", "must be a string, is true" },
	     { "\"WorkingDirectory\":null", "$.WorkingDirectory", "must be a string, is null" },
	     { "\"Environment\":\"A=b\"", "$.Environment", "must be an object" },
	     { "\"Environment\":{\"Variables\":[\"A=b\"]}", "$.Environment.Variables", "must be an object, is a list" },
	     { "\"User\":true", "$.User", "must be a name or a number, is true" },
	     { "\"NoNewPrivileges\":\"true\"", "$.NoNewPrivileges", "must be true or false, is a string" },
	     { "\"RecordFate\":0", "$.RecordFate", "must be true or false, is a number" },
	     { "\"Rlimits\":[]", "$.Rlimits", "must be an object" },
	     { "\"EventInvokeConfig\":[]", "$.EventInvokeConfig", "must be an object" },
	     { "\"EventInvokeConfig\":{\"DestinationConfig\":\"x\"}", "$.EventInvokeConfig.DestinationConfig",
	       "must be an object" },
	     { "\"DestinationConfig\":{\"OnSuccess\":\"queue:q\"}", "$.DestinationConfig.OnSuccess",
	       "must be an object, is a string" },
	     { "\"DestinationConfig\":{\"OnSuccess\":{\"Destination\":1}}", "$.DestinationConfig.OnSuccess.Destination",
	       "must be a string" },
	     { "\"DeadLetterConfig\":\"q\"", "$.DeadLetterConfig", "must be an object" },
	     { "\"DeadLetterConfig\":{\"TargetArn\":null}", "$.DeadLetterConfig.TargetArn", "must be a string, is null" });
	one_problem("[]", "$", "must be an object, is a list");
	one_problem("\"x\"", "$", "must be an object, is a string");
	one_problem("null", "$", "must be an object, is null");
}

static void names(void)
{
	static const struct { const char *name, *word; } rows[] = {
		{ "\"\"", "empty" }, { "\"a b\"", "no function name" }, { "7", "must be a string" }, { "null", "must be a string" },
		{ "\"f:1\"", "qualifier \"1\"" }, { "\"f:live\"", "qualifier \"live\": a definition is of $LATEST" },
		{ "\"arn:aws:lambda:us-east-1:123456789012:function:f\"", "not this host" },
		{ "\"aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffff12345\"", "65 characters, at most 64" },
		{ "\"f\\u0000\"", "NUL" },
	};
	char text[300];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		snprintf(text, sizeof(text), "{\"FunctionName\":%s,\"Command\":\"/x\"}", rows[i].name);
		one_problem(text, "$.FunctionName", rows[i].word);
	}
	func_unref(good("{\"FunctionName\":\"f:$LATEST\",\"Command\":\"/x\"}"));
	one_problem("{\"Command\":\"/x\"}", "$.FunctionName", "is missing");
	one_problem("{\"FunctionName\":\"f\"}", "$.Command", "is missing");
}

static void command(void)
{
	static const struct { const char *value, *path, *word; } rows[] = {
		{ "[]", "$.Command", "has 0 entries" },
		{ "null", "$.Command", "must be a list of strings, is null" },
		{ "{}", "$.Command", "must be a list of strings, is an object" },
		{ "\"true\"", "$.Command", "absolute path" },
		{ "\"\"", "$.Command", "is empty" },
		{ "[\"true\"]", "$.Command[0]", "absolute path" },
		{ "[\"/bin/true\",1]", "$.Command[1]", "must be a string, is a number" },
		{ "[\"/bin/true\",\"x\\u0000y\"]", "$.Command[1]", "contains a NUL character" },
		{ "[\"/bin/true\\u0000\"]", "$.Command[0]", "contains a NUL character" },
		{ "[\"/bin/true\",\"\\ud800\"]", "$.Command[1]", "half of a surrogate pair" },
	};
	CLEAN(freep) char *big = malloc(300000);
	struct func *f = good("{\"FunctionName\":\"f\",\"Command\":\"/bin/sh -c\"}");

	CHECK_STR(f->command[0], "/bin/sh -c");
	CHECK(!f->command[1]);
	func_unref(f);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char text[300];

		snprintf(text, sizeof(text), "{\"FunctionName\":\"f\",\"Command\":%s}", rows[i].value);
		one_problem(text, rows[i].path, rows[i].word);
	}
	/* the kernel's limits: a path, one argument; ours: how many */
	snprintf(big, 300000, "{\"FunctionName\":\"f\",\"Command\":\"/%s\"}", repeat('x', PATH_MAX - 2));
	func_unref(good(big));
	snprintf(big, 300000, "{\"FunctionName\":\"f\",\"Command\":\"/%s\"}", repeat('x', PATH_MAX - 1));
	one_problem(big, "$.Command", "has 4096 bytes, at most 4095");
	snprintf(big, 300000, "{\"FunctionName\":\"f\",\"Command\":[\"/x\",\"%s\"]}", repeat('x', 131071));
	func_unref(good(big));
	snprintf(big, 300000, "{\"FunctionName\":\"f\",\"Command\":[\"/x\",\"%s\"]}", repeat('x', 131072));
	one_problem(big, "$.Command[1]", "has 131072 bytes, at most 131071");
	for (int over = 0; over < 2; over++) {
		strcpy(big, "{\"FunctionName\":\"f\",\"Command\":[\"/x\"");
		for (int i = 0; i < 1023 + over; i++)
			strcat(big, ",\"\"");
		strcat(big, "]}");
		if (over)
			one_problem(big, "$.Command", "has 1025 entries");
		else
			func_unref(good(big));
	}
}

static void plain_strings(void)
{
	char text[1000];

	snprintf(text, sizeof(text), "\"Description\":\"%s\"", repeat('d', 256));
	func_unref(good(with(text)));
	snprintf(text, sizeof(text), "\"Description\":\"%s\"", repeat('d', 257));
	one_problem(with(text), "$.Description", "has 257 characters, at most 256");
	/* characters, not bytes */
	snprintf(text, sizeof(text), "\"Description\":\"%sää\"", repeat('d', 254));
	func_unref(good(with(text)));
	EACH({ "\"Description\":\"a\\u0000b\"", "$.Description", "contains a NUL character" },
	     { "\"Description\":\"\\udc00\"", "$.Description", "half of a surrogate pair" },
	     { "\"Description\":\"\\ud800\\ud800\\udc00\"", "$.Description", "half of a surrogate pair" },
	     { "\"Mode\":\"runtime\"", "$.Mode", "not supported yet" },
	     { "\"Mode\":\"Exec\"", "$.Mode", "must be \"exec\"" },
	     { "\"WorkingDirectory\":\"srv\"", "$.WorkingDirectory", "absolute path" },
	     { "\"WorkingDirectory\":\"\"", "$.WorkingDirectory", "is empty" });
	/* an escaped backslash before u0000 is no NUL */
	func_unref(good(with("\"Description\":\"a\\\\u0000b\"")));
}

static void accounts(void)
{
	static const char *const fine[] = { "\"root\"", "\"_x\"", "\"svc-1.a\"", "\"machine$\"", "\"0\"", "0", "4294967294",
					    "\"4294967294\"", "\"aaaaaaaaaabbbbbbbbbbcccccccccc12\"" };

	for (size_t i = 0; i < ARRAY_SIZE(fine); i++) {
		char text[100];

		snprintf(text, sizeof(text), "\"User\":%s,\"Group\":%s", fine[i], fine[i]);
		func_unref(good(with(text)));
	}
	EACH({ "\"User\":\"\"", "$.User", "no name of a user" },
	     { "\"Group\":\"a b\"", "$.Group", "no name of a group" },
	     { "\"User\":\"-x\"", "$.User", "no name of a user" },
	     { "\"User\":\"$\"", "$.User", "no name of a user" },
	     { "\"User\":\"a:b\"", "$.User", "no name of a user" },
	     { "\"User\":\"a$b\"", "$.User", "no name of a user" },
	     { "\"User\":\"aaaaaaaaaabbbbbbbbbbcccccccccc123\"", "$.User", "1 to 32" },
	     { "\"User\":\"ro\\u0000ot\"", "$.User", "NUL" },
	     { "\"User\":-1", "$.User", "is -1" },
	     { "\"User\":1.5", "$.User", "whole number" },
	     { "\"User\":4294967295", "$.User", "from 0 to 4294967294" },
	     { "\"User\":\"4294967295\"", "$.User", "too large" },
	     { "\"User\":\"99999999999999999999\"", "$.User", "too large" });
}

static void environment(void)
{
	EACH({ "\"Environment\":{\"Variables\":{\"A\":\"x\"}}", "$.Environment.Variables.A", "two or more" },
	     { "\"Environment\":{\"Variables\":{\"\":\"x\"}}", "$.Environment.Variables[\"\"]", "two or more" },
	     { "\"Environment\":{\"Variables\":{\"1AB\":\"x\"}}", "$.Environment.Variables[\"1AB\"]", "begin with a letter" },
	     { "\"Environment\":{\"Variables\":{\"_AB\":\"x\"}}", "$.Environment.Variables._AB", "begin with a letter" },
	     { "\"Environment\":{\"Variables\":{\"A-B\":\"x\"}}", "$.Environment.Variables[\"A-B\"]", "letters, digits and _" },
	     { "\"Environment\":{\"Variables\":{\"A=B\":\"x\"}}", "$.Environment.Variables[\"A=B\"]", "letters, digits and _" },
	     { "\"Environment\":{\"Variables\":{\"AB\\u0000\":\"x\"}}", "$.Environment.Variables[\"AB\357\277\275\"]",
	       "the name contains a NUL" },
	     { "\"Environment\":{\"Variables\":{\"AB\":\"x\\u0000y\"}}", "$.Environment.Variables.AB", "contains a NUL character" },
	     { "\"Environment\":{\"Variables\":{\"AB\":1}}", "$.Environment.Variables.AB", "is a number: put it in quotes" },
	     { "\"Environment\":{\"Variables\":{\"AB\":true}}", "$.Environment.Variables.AB", "is true: put it in quotes" },
	     { "\"Environment\":{\"Variables\":{\"AB\":null}}", "$.Environment.Variables.AB", "must be a string, is null" },
	     { "\"Environment\":{\"Variables\":{\"AB\":\"x\",\"AB\":\"x\"}}", "$.Environment.Variables.AB", "given twice" },
	     { "\"Environment\":{\"Vars\":{}}", "$.Environment.Vars", "no known member" },
	     { "\"Environment\":{\"Variable\":{}}", "$.Environment.Variable", "did you mean Variables?" });
	func_unref(good(with("\"Environment\":{}")));
	func_unref(good(with("\"Environment\":{\"Variables\":{}}")));
	func_unref(good(with("\"Environment\":{\"Variables\":{\"Ab\":\"\",\"ab_1\":\"x\",\"AWS_PROFILE\":\"p\","
			     "\"FATED_SOCKET\":\"/s\"}}")));
}

static void environment_reserved(void)
{
	static const char *const reserved[] = {
		"_HANDLER", "_X_AMZN_TRACE_ID", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_EXECUTION_ENV", "AWS_LAMBDA_FUNCTION_NAME",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_INITIALIZATION_TYPE",
		"AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME", "AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID",
		"AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_LAMBDA_RUNTIME_API", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR",
		"FATE_ERROR_FD", "FATE_REQUEST_ID", "FATE_ANYTHING",
	};

	for (size_t i = 0; i < ARRAY_SIZE(reserved); i++) {
		char text[200], path[100];

		snprintf(text, sizeof(text), "\"Environment\":{\"Variables\":{\"%s\":\"x\"}}", reserved[i]);
		snprintf(path, sizeof(path), "$.Environment.Variables.%s", reserved[i]);
		one_problem(with(text), path, "reserved");
	}
}

static void environment_size(void)
{
	char text[8000];

	/* {"AA":"…"} is nine bytes and the value: 4096 is the last size taken. */
	snprintf(text, sizeof(text), "\"Environment\":{\"Variables\":{\"AA\":\"%s\"}}", repeat('v', 4096 - 9));
	func_unref(good(with(text)));
	snprintf(text, sizeof(text), "\"Environment\":{\"Variables\":{\"AA\":\"%s\"}}", repeat('v', 4096 - 8));
	one_problem(with(text), "$.Environment.Variables", "is 4097 bytes as JSON, at most 4096");
	/* Blanks in the file do not count; escapes do, as compact JSON has them. */
	snprintf(text, sizeof(text), "\"Environment\" : { \"Variables\" : { \"AA\" : \"%s\" } }", repeat('v', 4096 - 9));
	func_unref(good(with(text)));
	snprintf(text, sizeof(text), "\"Environment\":{\"Variables\":{\"AA\":\"%s\\n\"}}", repeat('v', 4096 - 10));
	one_problem(with(text), "$.Environment.Variables", "is 4097 bytes");
}

static void tags(void)
{
	char text[6000] = "\"Tags\":{";

	for (int i = 0; i < 51; i++)
		snprintf(text + strlen(text), 30, "%s\"t%d\":\"v\"", i ? "," : "", i);
	strcat(text, "}");
	one_problem(with(text), "$.Tags", "has 51 tags, at most 50");
	func_unref(good(with("\"Tags\":{}")));
	EACH({ "\"Tags\":{\"a\":1}", "$.Tags.a", "must be a string" },
	     { "\"Tags\":{\"\":\"x\"}", "$.Tags[\"\"]", "the key has 0 characters" },
	     { "\"Tags\":{\"a\":\"x\",\"a\":\"y\"}", "$.Tags.a", "given twice" });
	snprintf(text, sizeof(text), "\"Tags\":{\"a\":\"%s\"}", repeat('v', 257));
	one_problem(with(text), "$.Tags.a", "257 characters");
	snprintf(text, sizeof(text), "\"Tags\":{\"%s\":\"v\"}", repeat('k', 128));
	func_unref(good(with(text)));
}

static void rlimits(void)
{
	struct func *f = good(with("\"Rlimits\":{\"AS\":1,\"CORE\":1,\"CPU\":1,\"DATA\":1,\"FSIZE\":1,\"MEMLOCK\":1,\"MSGQUEUE\":1,"
				   "\"NICE\":1,\"NOFILE\":1,\"NPROC\":1,\"RTPRIO\":1,\"RTTIME\":1,\"SIGPENDING\":1,"
				   "\"STACK\":9007199254740992}"));

	CHECK_INT(f->n_rlimits, 14);
	CHECK_INT(f->rlimits[13].value.rlim_cur, 9007199254740992);
	func_unref(f);
	EACH({ "\"Rlimits\":{\"NOFILES\":1}", "$.Rlimits.NOFILES", "did you mean NOFILE?" },
	     { "\"Rlimits\":{\"RLIMIT_NOFILE\":1}", "$.Rlimits.RLIMIT_NOFILE", "did you mean NOFILE?" },
	     { "\"Rlimits\":{\"nofile\":1}", "$.Rlimits.nofile", "did you mean NOFILE?" },
	     { "\"Rlimits\":{\"FROBNICATE\":1}", "$.Rlimits.FROBNICATE", "is no resource limit" },
	     { "\"Rlimits\":{\"RSS\":1}", "$.Rlimits.RSS", "no effect" },
	     { "\"Rlimits\":{\"LOCKS\":1}", "$.Rlimits.LOCKS", "no effect" },
	     { "\"Rlimits\":{\"CORE\":-1}", "$.Rlimits.CORE", "is -1" },
	     { "\"Rlimits\":{\"CORE\":1.5}", "$.Rlimits.CORE", "whole number" },
	     { "\"Rlimits\":{\"CORE\":1e17}", "$.Rlimits.CORE", "must be from 0 to" },
	     { "\"Rlimits\":{\"CORE\":\"infinite\"}", "$.Rlimits.CORE", "or \"unlimited\", is a string" },
	     { "\"Rlimits\":{\"CORE\":null}", "$.Rlimits.CORE", "is null" },
	     { "\"Rlimits\":{\"CORE\":[]}", "$.Rlimits.CORE", "must have two" },
	     { "\"Rlimits\":{\"CORE\":[1]}", "$.Rlimits.CORE", "must have two" },
	     { "\"Rlimits\":{\"CORE\":[1,2,3]}", "$.Rlimits.CORE", "must have two" },
	     { "\"Rlimits\":{\"CORE\":[2,1]}", "$.Rlimits.CORE", "above the hard limit" },
	     { "\"Rlimits\":{\"CORE\":[\"unlimited\",1]}", "$.Rlimits.CORE", "above the hard limit" },
	     { "\"Rlimits\":{\"CORE\":[1,[]]}", "$.Rlimits.CORE[1]", "is a list" },
	     { "\"Rlimits\":{\"CORE\":1,\"CORE\":2}", "$.Rlimits.CORE", "given twice" });
}

static void destinations(void)
{
#define EIC(side, t) "\"EventInvokeConfig\":{\"DestinationConfig\":{\"" side "\":{\"Destination\":\"" t "\"}}}"
#define TOP(side, t) "\"DestinationConfig\":{\"" side "\":{\"Destination\":\"" t "\"}}"
	struct func *f = good(with(TOP("OnSuccess", "queue:q")));

	CHECK_STR(f->on_success.name, "q");
	CHECK_INT(f->on_failure.kind, TARGET_NONE);
	func_unref(f);
	/* both places, the same target in two spellings; and one side in each place */
	f = good(with(TOP("OnFailure", "queue:q") "," EIC("OnFailure", "arn:aws:sqs:us-east-1:" ACCT ":q")));
	CHECK_STR(f->on_failure.text, "arn:aws:sqs:us-east-1:" ACCT ":q");
	func_unref(f);
	f = good(with(TOP("OnFailure", "queue:q") "," EIC("OnSuccess", "queue:r")));
	CHECK_STR(f->on_failure.name, "q");
	CHECK_STR(f->on_success.name, "r");
	func_unref(f);
	f = good(with(EIC("OnSuccess", "")));
	CHECK_INT(f->on_success.kind, TARGET_NONE);
	func_unref(f);
	func_unref(good(with("\"DestinationConfig\":{\"OnSuccess\":{},\"OnFailure\":{}}")));
	EACH({ TOP("OnSuccess", "queue:a") "," EIC("OnSuccess", "queue:b"),
	       "$.EventInvokeConfig.DestinationConfig.OnSuccess.Destination", "differs from the one in $.DestinationConfig" },
	     { EIC("OnFailure", "queue:a") "," TOP("OnFailure", "function:a"),
	       "$.DestinationConfig.OnFailure.Destination", "differs from the one in $.EventInvokeConfig.DestinationConfig" },
	     { EIC("OnFailure", "queue:a") "," TOP("OnFailure", ""), "$.DestinationConfig.OnFailure.Destination", "differs" },
	     { EIC("OnSuccess", "f"), "$.EventInvokeConfig.DestinationConfig.OnSuccess.Destination",
	       "You can't specify the function as a destination for itself." },
	     { TOP("OnFailure", "function:f"), "$.DestinationConfig.OnFailure.Destination", "as a destination for itself." },
	     { TOP("OnFailure", "arn:aws:lambda:us-east-1:" ACCT ":function:f:$LATEST"),
	       "$.DestinationConfig.OnFailure.Destination", "as a destination for itself." },
	     { EIC("OnSuccess", "arn:aws:sqs:us-east-1:123456789012:q"),
	       "$.EventInvokeConfig.DestinationConfig.OnSuccess.Destination",
	       "is not of this host; remote targets are not supported yet" },
	     { EIC("OnSuccess", "arn:aws:sns:us-east-1:" ACCT ":t.fifo"),
	       "$.EventInvokeConfig.DestinationConfig.OnSuccess.Destination", "not supported yet" },
	     { EIC("OnSuccess", "file:x"), "$.EventInvokeConfig.DestinationConfig.OnSuccess.Destination", "absolute path" },
	     { EIC("OnSuccess", "q\\u0000"), "$.EventInvokeConfig.DestinationConfig.OnSuccess.Destination", "NUL" },
	     { "\"DestinationConfig\":{\"OnSucess\":{}}", "$.DestinationConfig.OnSucess", "did you mean OnSuccess?" },
	     { "\"DestinationConfig\":{\"OnSuccess\":{\"Destintion\":\"x\"}}", "$.DestinationConfig.OnSuccess.Destintion",
	       "did you mean Destination?" });
	f = good(with(TOP("OnFailure", "topic:t") "," EIC("OnSuccess", "arn:aws:events:us-east-1:" ACCT ":event-bus/b")));
	CHECK_INT(f->on_failure.kind, TARGET_TOPIC);
	CHECK_STR(f->on_failure.name, "t");
	CHECK_INT(f->on_success.kind, TARGET_BUS);
	CHECK_STR(f->on_success.name, "b");
	func_unref(f);
	/* Versions and aliases: which one is part of what is named. */
	f = good(with(TOP("OnFailure", "arn:aws:lambda:us-east-1:" ACCT ":function:g:live") "," EIC("OnSuccess", "function:g:7")));
	CHECK_INT(f->on_failure.kind, TARGET_FUNCTION);
	CHECK_STR(f->on_failure.name, "g");
	CHECK_STR(f->on_failure.qualifier, "live");
	CHECK_STR(f->on_success.qualifier, "7");
	func_unref(f);
	f = good(with(TOP("OnFailure", "function:g:7") "," EIC("OnFailure", "arn:aws:lambda:us-east-1:" ACCT ":function:g:7")));
	CHECK_STR(f->on_failure.qualifier, "7");
	func_unref(f);
	func_unref(good(with(TOP("OnFailure", "function:g:$LATEST") "," EIC("OnFailure", "function:g"))));
	EACH({ TOP("OnFailure", "function:g:1") "," EIC("OnFailure", "function:g:2"),
	       "$.EventInvokeConfig.DestinationConfig.OnFailure.Destination", "differs from the one in $.DestinationConfig" },
	     { EIC("OnSuccess", "function:g:live") "," TOP("OnSuccess", "function:g"),
	       "$.DestinationConfig.OnSuccess.Destination", "differs from the one in $.EventInvokeConfig" },
	     { TOP("OnFailure", "function:g:"), "$.DestinationConfig.OnFailure.Destination", "no qualifier" },
	     { TOP("OnFailure", "function:f:7"), "$.DestinationConfig.OnFailure.Destination", "as a destination for itself." });
	/* a queue of the function's name is not the function */
	func_unref(good(with(TOP("OnFailure", "queue:f"))));
	/* known before it is read */
	one_problem("{" TOP("OnFailure", "g") ",\"Command\":\"/x\",\"FunctionName\":\"function:g\"}",
		    "$.DestinationConfig.OnFailure.Destination", "for itself.");
}

static void dead_letters(void)
{
#define DLQ(t) "\"DeadLetterConfig\":{\"TargetArn\":\"" t "\"}"
	struct func *f = good(with(DLQ("dead")));

	CHECK_INT(f->dead_letter.kind, TARGET_QUEUE);
	func_unref(f);
	func_unref(good(with(DLQ(""))));
	func_unref(good(with(DLQ("f"))));	/* the queue f */
	func_unref(good(with("\"DeadLetterConfig\":{}")));
	EACH({ DLQ("function:g"), "$.DeadLetterConfig.TargetArn", "must be a queue" },
	     { DLQ("file:/x"), "$.DeadLetterConfig.TargetArn", "must be a queue" },
	     { DLQ("journal:"), "$.DeadLetterConfig.TargetArn", "must be a queue" },
	     { DLQ("bus:b"), "$.DeadLetterConfig.TargetArn", "must be a queue" },
	     { DLQ("arn:aws:sqs:us-east-1:123456789012:q"), "$.DeadLetterConfig.TargetArn", "remote targets" });
}

static void retry_policy(void)
{
	static const char *const verdicts[] = { "Timeout", "OutOfMemory", "Signal", "Crash", "Error", "ResponseTooLarge",
						"ExecFailed", "Interrupted" };
	static const enum outcome_kind numbers[] = { OUTCOME_TIMEOUT, OUTCOME_OOM, OUTCOME_SIGNAL, OUTCOME_CRASH, OUTCOME_ERROR,
						     OUTCOME_TOO_LARGE, OUTCOME_EXEC_FAILED, OUTCOME_INTERRUPTED };
	struct func *f = good(with("\"RetryPolicy\":{"
		"\"Timeout\":{\"Attempts\":3,\"DelaysInSeconds\":[0.5,2],\"TimeoutFactor\":1.5,\"TimeoutMax\":0.25},"
		"\"OutOfMemory\":{\"MemoryFactor\":2,\"MemoryMax\":512,\"Attempts\":100},\"Crash\":{\"Attempts\":0}}"));
	char text[200], path[100];

	CHECK(f->retry[OUTCOME_TIMEOUT].given);
	CHECK_INT(f->retry[OUTCOME_TIMEOUT].attempts, 3);
	CHECK_INT(f->retry[OUTCOME_TIMEOUT].n_delays, 2);
	CHECK_INT(f->retry[OUTCOME_TIMEOUT].delays_ms[0], 500);
	CHECK_INT(f->retry[OUTCOME_TIMEOUT].delays_ms[1], 2000);
	CHECK(f->retry[OUTCOME_TIMEOUT].timeout_factor == 1.5);
	CHECK_INT(f->retry[OUTCOME_TIMEOUT].timeout_max_ms, 250);
	CHECK_INT(f->retry[OUTCOME_OOM].attempts, 100);
	CHECK(!f->retry[OUTCOME_OOM].delays_ms);
	CHECK(f->retry[OUTCOME_OOM].memory_factor == 2);
	CHECK_INT(f->retry[OUTCOME_OOM].memory_max_mb, 512);
	CHECK(f->retry[OUTCOME_CRASH].given && f->retry[OUTCOME_CRASH].attempts == 0);
	CHECK(!f->retry[OUTCOME_SIGNAL].given);
	func_unref(f);
	f = good(with("\"RetryPolicy\":{\"Timeout\":{\"Attempts\":1},\"OutOfMemory\":{\"Attempts\":1,\"MemoryFactor\":100}}"));
	CHECK(f->retry[OUTCOME_TIMEOUT].timeout_factor == 1 && f->retry[OUTCOME_OOM].memory_factor == 100);
	CHECK_INT(f->retry[OUTCOME_TIMEOUT].timeout_max_ms, 900000);
	CHECK_INT(f->retry[OUTCOME_OOM].memory_max_mb, 10240);
	func_unref(f);
	func_unref(good(with("\"RetryPolicy\":{}")));
	for (size_t i = 0; i < ARRAY_SIZE(verdicts); i++) {
		snprintf(text, sizeof(text), "\"RetryPolicy\":{\"%s\":{\"Attempts\":7}}", verdicts[i]);
		f = good(with(text));
		for (int k = 0; k < OUTCOME_MAX; k++)
			CHECK_INT(f->retry[k].given, k == (int)numbers[i]);
		CHECK_INT(f->retry[numbers[i]].attempts, 7);
		func_unref(f);
		if (numbers[i] == OUTCOME_TIMEOUT)
			continue;
		snprintf(text, sizeof(text), "\"RetryPolicy\":{\"%s\":{\"Attempts\":7,\"TimeoutFactor\":2}}", verdicts[i]);
		snprintf(path, sizeof(path), "$.RetryPolicy.%s.TimeoutFactor", verdicts[i]);
		one_problem(with(text), path, "is for Timeout");
		snprintf(text, sizeof(text), "\"RetryPolicy\":{\"%s\":{\"Attempts\":7,\"MemoryFactor\":2}}", verdicts[i]);
		snprintf(path, sizeof(path), "$.RetryPolicy.%s.MemoryFactor", verdicts[i]);
		if (numbers[i] != OUTCOME_OOM)
			one_problem(with(text), path, "is for OutOfMemory");
	}
}

static void retry_policy_refused(void)
{
#define RP(verdict, more) "\"RetryPolicy\":{\"" verdict "\":{\"Attempts\":1" more "}}"
	EACH({ "\"RetryPolicy\":[]", "$.RetryPolicy", "must be an object, is a list" },
	     { "\"RetryPolicy\":{\"Crash\":1}", "$.RetryPolicy.Crash", "must be an object, is a number" },
	     { "\"RetryPolicy\":{\"Crash\":{}}", "$.RetryPolicy.Crash.Attempts", "is missing" },
	     { "\"RetryPolicy\":{\"Crash\":{\"Attempts\":-1}}", "$.RetryPolicy.Crash.Attempts", "is -1, must be from 0 to 100" },
	     { "\"RetryPolicy\":{\"Crash\":{\"Attempts\":101}}", "$.RetryPolicy.Crash.Attempts", "is 101" },
	     { "\"RetryPolicy\":{\"Crash\":{\"Attempts\":1.5}}", "$.RetryPolicy.Crash.Attempts", "whole number" },
	     { "\"RetryPolicy\":{\"Crsh\":{\"Attempts\":1}}", "$.RetryPolicy.Crsh", "is no verdict; did you mean Crash?" },
	     { "\"RetryPolicy\":{\"timeout\":{\"Attempts\":1}}", "$.RetryPolicy.timeout", "did you mean Timeout?" },
	     { "\"RetryPolicy\":{\"OutOfMemry\":{\"Attempts\":1}}", "$.RetryPolicy.OutOfMemry", "did you mean OutOfMemory?" },
	     { "\"RetryPolicy\":{\"Xyzzy\":{\"Attempts\":1}}", "$.RetryPolicy.Xyzzy", "is no verdict" },
	     { "\"RetryPolicy\":{\"Invalid\":{\"Attempts\":1}}", "$.RetryPolicy.Invalid", "is no verdict" },
	     { "\"RetryPolicy\":{\"Success\":{\"Attempts\":1}}", "$.RetryPolicy.Success", "no policy can be given" },
	     { "\"RetryPolicy\":{\"HostFault\":{\"Attempts\":1}}", "$.RetryPolicy.HostFault", "no policy can be given" },
	     { "\"RetryPolicy\":{\"Cr\\u0000\":{\"Attempts\":1}}", "$.RetryPolicy[\"Cr\357\277\275\"]", "the name contains a NUL" },
	     { "\"RetryPolicy\":{\"Crash\":{\"Attempts\":1},\"Crash\":{\"Attempts\":1}}", "$.RetryPolicy.Crash", "is given twice" },
	     { "\"RetryPolicy\":{\"PoisonAfter\":1}", "$.RetryPolicy.PoisonAfter", "is 1, must be from 2 to 100" },
	     { "\"RetryPolicy\":{\"PoisonAfter\":0}", "$.RetryPolicy.PoisonAfter", "is 0, must be from 2" },
	     { "\"RetryPolicy\":{\"PoisonAfter\":-3}", "$.RetryPolicy.PoisonAfter", "is -3" },
	     { "\"RetryPolicy\":{\"PoisonAfter\":101}", "$.RetryPolicy.PoisonAfter", "is 101, must be from 2 to 100" },
	     { "\"RetryPolicy\":{\"PoisonAfter\":2.5}", "$.RetryPolicy.PoisonAfter", "whole number" },
	     { "\"RetryPolicy\":{\"PoisonAfter\":1e999}", "$.RetryPolicy.PoisonAfter", "must be" },
	     { "\"RetryPolicy\":{\"PoisonAfter\":\"3\"}", "$.RetryPolicy.PoisonAfter", "must be a number, is a string" },
	     { "\"RetryPolicy\":{\"PoisonAfter\":null}", "$.RetryPolicy.PoisonAfter", "must be a number, is null" },
	     { "\"RetryPolicy\":{\"PoisonAfter\":{\"Attempts\":1}}", "$.RetryPolicy.PoisonAfter",
		"must be a number, is an object" },
	     { "\"RetryPolicy\":{\"PoisonAfter\":2,\"PoisonAfter\":2}", "$.RetryPolicy.PoisonAfter", "is given twice" },
	     { "\"RetryPolicy\":{\"PoisonAftr\":2}", "$.RetryPolicy.PoisonAftr", "did you mean PoisonAfter?" },
	     { "\"PoisonAfter\":2", "$.PoisonAfter", "belongs in RetryPolicy" },
	     { RP("Crash", ",\"PoisonAfter\":2"), "$.RetryPolicy.Crash.PoisonAfter", "" },
	     { "\"RecursiveLoop\":\"allow\"", "$.RecursiveLoop", "must be \"Terminate\" or \"Allow\"" },
	     { "\"RecursiveLoop\":\"\"", "$.RecursiveLoop", "must be \"Terminate\" or \"Allow\"" },
	     { "\"RecursiveLoop\":\"Allow\\u0000\"", "$.RecursiveLoop", "NUL" },
	     { "\"RecursiveLoop\":true", "$.RecursiveLoop", "must be a string, is true" },
	     { "\"RecursiveLoop\":\"Allow\",\"RecursiveLoop\":\"Allow\"", "$.RecursiveLoop", "is given twice" },
	     { RP("Crash", ",\"DelaysInSeconds\":[]"), "$.RetryPolicy.Crash.DelaysInSeconds", "has 0 entries" },
	     { RP("Crash", ",\"DelaysInSeconds\":[1,21601]"), "$.RetryPolicy.Crash.DelaysInSeconds[1]", "is 21601" },
	     { RP("Crash", ",\"Atempts\":1"), "$.RetryPolicy.Crash.Atempts", "did you mean Attempts?" },
	     { RP("Timeout", ",\"TimeoutFactor\":0.5"), "$.RetryPolicy.Timeout.TimeoutFactor", "is 0.5, must be from 1 to 100" },
	     { RP("Timeout", ",\"TimeoutFactor\":100.5"), "$.RetryPolicy.Timeout.TimeoutFactor", "is 100.5" },
	     { RP("Timeout", ",\"TimeoutFactor\":\"2\""), "$.RetryPolicy.Timeout.TimeoutFactor", "must be a number, is a string" },
	     { RP("Timeout", ",\"TimeoutFactor\":2,\"TimeoutMax\":901"), "$.RetryPolicy.Timeout.TimeoutMax", "is 901" },
	     { RP("Timeout", ",\"TimeoutMax\":9"), "$.RetryPolicy.Timeout.TimeoutMax", "has no effect without TimeoutFactor" },
	     { RP("OutOfMemory", ",\"MemoryFactor\":0"), "$.RetryPolicy.OutOfMemory.MemoryFactor", "is 0, must be from 1 to 100" },
	     { RP("OutOfMemory", ",\"MemoryFactor\":2,\"MemoryMax\":127"), "$.RetryPolicy.OutOfMemory.MemoryMax",
	       "is 127, must be from 128" },
	     { RP("OutOfMemory", ",\"MemoryMax\":512"), "$.RetryPolicy.OutOfMemory.MemoryMax",
	       "has no effect without MemoryFactor" },
	     { "\"Leftovers\":\"Kill\"", "$.Leftovers", "must be \"kill\", \"wait\" or \"warn\"" },
	     { "\"Leftovers\":true", "$.Leftovers", "must be a string, is true" },
	     { "\"OomGroup\":1", "$.OomGroup", "must be true or false, is a number" },
	     { "\"RequireLimits\":\"yes\"", "$.RequireLimits", "must be true or false, is a string" });
}

static void poison_and_recursion(void)
{
	struct func *f;

	for (int n = 2; n <= 100; n += 98) {
		char text[60];

		snprintf(text, sizeof(text), "\"RetryPolicy\":{\"Crash\":{\"Attempts\":7},\"PoisonAfter\":%d}", n);
		f = good(with(text));
		CHECK_INT(f->poison_after, n);
		CHECK_INT(f->retry[OUTCOME_CRASH].attempts, 7);
		func_unref(f);
	}
	f = good(with("\"RecursiveLoop\":\"Allow\""));
	CHECK(f->recursive_loop);
	func_unref(f);
	f = good(with("\"RecursiveLoop\":\"Terminate\""));
	CHECK(!f->recursive_loop);
	func_unref(f);
}

static const char policies[] =
"{\"FunctionName\": \"f\", \"Command\": \"/bin/true\", \"Leftovers\": \"warn\", \"OomGroup\": false, \"RequireLimits\": true,\n"
" \"RecursiveLoop\": \"Allow\", \"Timeout\": 0.001,\n"
" \"DestinationConfig\": {\"OnSuccess\": {\"Destination\": \"function:g:live\"},\n"
"  \"OnFailure\": {\"Destination\": \"file:/var/log/\\u00e9 \\\"x\\\".jsonl\"}},\n"
" \"User\": 4294967294, \"Rlimits\": {\"AS\": 4503599627370497},\n"
" \"RetryPolicy\": {\"PoisonAfter\": 3, \"Timeout\": {\"Attempts\": 2, \"TimeoutFactor\": 1.1, \"TimeoutMax\": 899.999,\n"
"  \"DelaysInSeconds\": [0.001, 1e2, 21600]}, \"OutOfMemory\": {\"Attempts\": 0, \"MemoryFactor\": 3.0000000000000004}}}\n";

/* What is published: the source of a function gives the same function, also one of a file with blanks and escapes. */
static void source_gives_the_same_function(void)
{
	static const char *const texts[] = { everything, policies };

	for (size_t i = 0; i < ARRAY_SIZE(texts) + 1; i++) {
		struct func *f = good(i < ARRAY_SIZE(texts) ? texts[i] : with("")), *again;

		CHECK(f->source && f->source->len == strlen(f->source->data));
		CHECK(!strchr(f->source->data, '\n'));
		again = good(f->source->data);
		if (difference(f, again))
			FAIL("%s differs", difference(f, again));
		CHECK_STR(again->source->data, f->source->data);
		func_unref(again);
		func_unref(f);
	}
	/* The comparison sees what it should see. */
	{
		static const char *const members[] = {
			"\"Description\":\"x\"", "\"Command\":[\"/bin/true\",\"\"]", "\"Timeout\":1", "\"KillGracePeriod\":1",
			"\"MemorySize\":129",
			"\"PidsMax\":1", "\"CpuPercent\":1", "\"User\":\"u\"", "\"Group\":\"g\"", "\"NoNewPrivileges\":false",
			"\"Rlimits\":{\"CORE\":1}", "\"ReservedConcurrentExecutions\":1", "\"RetryDelaysInSeconds\":[60]",
			"\"EventInvokeConfig\":{\"MaximumRetryAttempts\":1}",
			"\"EventInvokeConfig\":{\"MaximumEventAgeInSeconds\":60}",
			"\"DestinationConfig\":{\"OnSuccess\":{\"Destination\":\"q\"}}",
			"\"DeadLetterConfig\":{\"TargetArn\":\"q\"}",
			"\"DestinationConfig\":{\"OnFailure\":{\"Destination\":\"q\"}}", "\"RecordFate\":false",
			"\"RetryPolicy\":{\"Crash\":{\"Attempts\":1}}", "\"RetryPolicy\":{\"PoisonAfter\":2}",
			"\"Leftovers\":\"wait\"",
			"\"RecursiveLoop\":\"Allow\"", "\"OomGroup\":false", "\"RequireLimits\":true", "\"WorkingDirectory\":\"/\"",
			"\"Environment\":{\"Variables\":{\"AB\":\"\"}}",
		};
		struct func *f = good(with("")), *other;

		for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
			if (strncmp(members[i], "\"Command", 8) == 0) {
				char text[100];

				snprintf(text, sizeof(text), "{\"FunctionName\":\"f\",%s}", members[i]);
				other = good(text);
			} else {
				other = good(with(members[i]));
			}
			if (!difference(f, other))
				FAIL("%s makes no difference", members[i]);
			func_unref(other);
		}
		func_unref(f);
	}
}

static void leftovers_and_limits(void)
{
	static const char *const words[] = { "kill", "wait", "warn" };
	struct func *f;

	for (int k = FUNC_LEFTOVERS_KILL; k <= FUNC_LEFTOVERS_WARN; k++) {
		char text[40];

		snprintf(text, sizeof(text), "\"Leftovers\":\"%s\"", words[k]);
		f = good(with(text));
		CHECK_INT(f->leftovers, k);
		func_unref(f);
	}
	f = good(with("\"OomGroup\":false,\"RequireLimits\":true"));
	CHECK(!f->oom_group && f->require_limits);
	func_unref(f);
}

static void unknown_members(void)
{
	EACH({ "\"Timeut\":3", "$.Timeut", "did you mean Timeout?" },
	     { "\"timeout\":3", "$.timeout", "did you mean Timeout?" },
	     { "\"Memory\":3", "$.Memory", "is no known member" },
	     { "\"MemorySizes\":3", "$.MemorySizes", "did you mean MemorySize?" },
	     { "\"Xyzzy\":3", "$.Xyzzy", "is no known member" },
	     { "\"a b\":3", "$[\"a b\"]", "is no known member" },
	     { "\"//\":3", "$[\"//\"]", "is no known member" },
	     { "\"\":3", "$[\"\"]", "is no known member" },
	     { "\"a\\u0000\":3", "$[\"a\357\277\275\"]", "the name contains a NUL" },
	     { "\"Timeout\":1,\"Timeout\":1", "$.Timeout", "is given twice" },
	     { "\"EventInvokeConfig\":{\"MaximumRetryAttempts\":1,\"MaximumRetryAttempts\":1}",
	       "$.EventInvokeConfig.MaximumRetryAttempts", "is given twice" },
	     { "\"EventInvokeConfig\":{\"FunctionArn\":\"x\"}", "$.EventInvokeConfig.FunctionArn", "is no known member" });
}

/* AWS's members are never taken silently: each is refused with a reason. */
static void members_without_effect(void)
{
	static const char *const no_effect[] = { "Role", "Runtime", "Handler", "Code", "PackageType", "ImageConfig", "SnapStart",
		"CodeSigningConfigArn", "Architectures", "Publish", "PublishTo", "RevisionId", "KMSKeyArn", "VpcConfig",
		"CapacityProviderConfig" };
	static const char *const not_yet[] = { "Layers", "EphemeralStorage", "FileSystemConfigs", "TracingConfig", "LoggingConfig",
		"DurableConfig", "TenancyConfig", "ProvisionedConcurrentExecutions" };
	char text[100], path[100];

	for (size_t i = 0; i < ARRAY_SIZE(no_effect); i++) {
		snprintf(text, sizeof(text), "\"%s\":\"x\"", no_effect[i]);
		snprintf(path, sizeof(path), "$.%s", no_effect[i]);
		one_problem(with(text), path, "has no effect on this host");
		one_problem(with(text), path, "remove it");
	}
	for (size_t i = 0; i < ARRAY_SIZE(not_yet); i++) {
		snprintf(text, sizeof(text), "\"%s\":{}", not_yet[i]);
		snprintf(path, sizeof(path), "$.%s", not_yet[i]);
		one_problem(with(text), path, "is not supported yet");
	}
	EACH({ "\"MaximumRetryAttempts\":1", "$.MaximumRetryAttempts", "belongs in EventInvokeConfig" },
	     { "\"MaximumEventAgeInSeconds\":60", "$.MaximumEventAgeInSeconds", "belongs in EventInvokeConfig" },
	     { "\"OnFailure\":{}", "$.OnFailure", "belongs in" },
	     { "\"Variables\":{}", "$.Variables", "belongs in Environment" },
	     { "\"TargetArn\":\"q\"", "$.TargetArn", "belongs in DeadLetterConfig" });
}

static void all_at_once_in_file_order(void)
{
	static const char json[] =
		"{\"Timeout\":0,\"Environment\":{\"Variables\":{\"FATE_X\":\"1\",\"A\":2}},\"Nonsense\":1,\"MemorySize\":1.5,"
		"\"EventInvokeConfig\":{\"MaximumRetryAttempts\":101,"
		"\"DestinationConfig\":{\"OnSuccess\":{\"Destination\":\"a b\"}}},"
		"\"Role\":\"x\",\"Command\":[\"x\",3],\"Timeout\":1}";
	static const char want[] =
		"$.Timeout: is 0, must be from 0.001 to 900 seconds\n"
		"$.Environment.Variables.FATE_X: is a reserved name: it is set for each invocation\n"
		"$.Environment.Variables.A: the name must be two or more letters, digits and _, and begin with a letter\n"
		"$.Environment.Variables.A: must be a string, is a number: put it in quotes\n"
		"$.Nonsense: is no known member\n"
		"$.MemorySize: is 1.5, must be a whole number from 128 to 10240 MB\n"
		"$.EventInvokeConfig.MaximumRetryAttempts: is 101, must be from 0 to 100\n"
		"$.EventInvokeConfig.DestinationConfig.OnSuccess.Destination: \"a b\" is no queue name: letters, digits, - and _\n"
		"$.Role: has no effect on this host: functions run as User and Group; remove it\n"
		"$.Command[0]: must be an absolute path\n"
		"$.Command[1]: must be a string, is a number\n"
		"$.Timeout: is given twice\n"
		"$.FunctionName: is missing\n";

	CHECK(!parse(json, strlen(json), problems, PROBLEMS_SIZE));
	CHECK_STR(problems, want);
}

static void not_json(void)
{
	static const struct { const char *text, *word; } rows[] = {
		{ "", "line 1, column 1: it ends too early" },
		{ "{", "line 1, column 2: it ends too early" },
		{ "{\n \"a\": 1,\n}", "line 3, column 1: unexpected '}'" },
		{ "{\"a\":1} x", "line 1, column 9: unexpected 'x'" },
		{ "{'a':1}", "line 1, column 2: unexpected '''" },
		{ "{\"a\":01}", "unexpected '1'" },
		{ "{\"a\":\"\tb\"}", "unexpected byte 0x09" },
		{ "{\"a\":\"\xff\"}", "unexpected byte 0xff" },
		{ "// x\n{}", "line 1, column 1: unexpected '/'" },
		{ "\xef\xbb\xbf{}", "byte order mark" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		one_problem(rows[i].text, "$", rows[i].word);
	/* A NUL in the text, and a text without its terminator. */
	CHECK(!parse("{}\0", 3, problems, PROBLEMS_SIZE));
	CHECK(strstr(problems, "unexpected byte 0x00"));
	{
		CLEAN(freep) char *exact = malloc(sizeof(everything) - 1);
		struct func *f;

		memcpy(exact, everything, sizeof(everything) - 1);
		f = parse(exact, sizeof(everything) - 1, problems, PROBLEMS_SIZE);
		CHECK(f);
		func_unref(f);
	}
}

static void hostile_sizes(void)
{
	CLEAN(buf_done) struct buf b = {};
	struct func_problems p = {};
	struct func *f = NULL;

	/* A file of nonsense: bounded problems, and not in quadratic time (this would be 10^10 comparisons). */
	buf_addc(&b, '{');
	for (int i = 0; i < 100000; i++)
		buf_addf(&b, "%s\"m%d\":1", i ? "," : "", i);
	buf_addc(&b, '}');
	CHECK_INT(func_parse(b.data, b.len, &f, &p), -EINVAL);
	CHECK_INT(p.n, 101);
	CHECK_STR(p.list[100].path, "$");
	CHECK(strstr(p.list[100].reason, "more than 100 problems"));
	func_problems_done(&p);
	/* Depth. */
	for (int depth = 500; depth <= 600; depth += 100) {
		buf_clear(&b);
		buf_adds(&b, "{\"Tags\":");
		for (int i = 0; i < depth; i++)
			buf_addc(&b, '[');
		for (int i = 0; i < depth; i++)
			buf_addc(&b, ']');
		buf_addc(&b, '}');
		CHECK_INT(func_parse(b.data, b.len, &f, &p), -EINVAL);
		CHECK_STR(p.list[0].path, depth == 500 ? "$.Tags" : "$");
		func_problems_done(&p);
	}
	/* A name of 100 kB is cut in the path. */
	buf_clear(&b);
	buf_addf(&b, "{\"%s\":1}", repeat('n', 100000));
	CHECK_INT(func_parse(b.data, b.len, &f, &p), -EINVAL);
	CHECK_INT(strlen(p.list[0].path), strlen("$[\"\"…]") + 64);
	func_problems_done(&p);
}

static void *ref_unref(void *arg)
{
	for (int i = 0; i < 100000; i++)
		func_unref(func_ref(arg));
	return NULL;
}

static void references(void)
{
	struct func *f = func_new();
	pthread_t t[2];

	CHECK(func_ref(NULL) == NULL);
	CHECK(func_unref(NULL) == NULL);
	CHECK(func_ref(f) == f);
	CHECK(func_unref(f) == NULL);
	for (int i = 0; i < 2; i++)
		CHECK_INT(pthread_create(&t[i], NULL, ref_unref, f), 0);
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	CHECK_INT(f->refs, 1);
	func_unref(f);
}

/* The fuzz target over mutations of the examples; one seed, so a failure comes again. */
static void mutations(void)
{
	static const char *const pieces[] = { "\"", "{", "}", "[", "]", ",", ":", "null", "true", "-1", "1e999", "0.0005",
					      "\\u0000",
		"\\ud800", "\xff", "\"Timeout\":", "\"FunctionName\":\"resize\",", "\\", "999999999999", "\"f\"",
		"arn:aws:", "queue:" };
	uint64_t seed = 0x5eed;
	char *text = malloc(sizeof(everything) * 4);

	for (int round = 0; round < 20000; round++) {
		size_t len = sizeof(everything) - 1;
		int changes;

		memcpy(text, everything, len);
		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		changes = 1 + (int)(seed >> 61);
		for (int i = 0; i < changes; i++) {
			size_t at, n;
			const char *piece;

			seed = seed * 6364136223846793005ull + 1442695040888963407ull;
			at = (size_t)(seed >> 33) % len;
			piece = pieces[(seed >> 20) % ARRAY_SIZE(pieces)];
			n = strlen(piece);
			switch (seed >> 62) {
			case 0:		/* a byte changes */
				text[at] = (char)(seed >> 24);
				break;
			case 1:		/* a piece is cut out */
				n = MIN((size_t)(seed >> 50) % 12, len - at - 1);
				memmove(text + at, text + at + n, len - at - n);
				len -= n;
				break;
			default:	/* a piece is put in */
				memmove(text + at + n, text + at, len - at);
				memcpy(text + at, piece, n);
				len += n;
			}
		}
		LLVMFuzzerTestOneInput((const uint8_t *)text, len);
	}
	free(text);
}

int main(void)
{
	problems = xcalloc(1, PROBLEMS_SIZE);
	RUN(defaults);
	RUN(every_member);
	RUN(bounds);
	RUN(retry_delays);
	RUN(wrong_types);
	RUN(names);
	RUN(command);
	RUN(plain_strings);
	RUN(accounts);
	RUN(environment);
	RUN(environment_reserved);
	RUN(environment_size);
	RUN(tags);
	RUN(rlimits);
	RUN(destinations);
	RUN(dead_letters);
	RUN(retry_policy);
	RUN(retry_policy_refused);
	RUN(poison_and_recursion);
	RUN(source_gives_the_same_function);
	RUN(leftovers_and_limits);
	RUN(unknown_members);
	RUN(members_without_effect);
	RUN(all_at_once_in_file_order);
	RUN(not_json);
	RUN(hostile_sizes);
	RUN(references);
	RUN(mutations);
	free(problems);
	TEST_END();
}
