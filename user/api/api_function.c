/* SPDX-License-Identifier: Apache-2.0 */
/* Definitions in force, in the words of their files, so that what is shown could be written into one. */
#include <errno.h>
#include <string.h>

#include "api/api_int.h"
#include "base/json.h"

#define LOG_BYTES_DEFAULT 65536
#define LOG_BYTES_MAX 1048576	/* read on the loop's thread */

static const struct { int resource; const char *name; } rlimits[] = {
	{ RLIMIT_AS, "AS" }, { RLIMIT_CORE, "CORE" }, { RLIMIT_CPU, "CPU" }, { RLIMIT_DATA, "DATA" }, { RLIMIT_FSIZE, "FSIZE" },
	{ RLIMIT_LOCKS, "LOCKS" }, { RLIMIT_MEMLOCK, "MEMLOCK" }, { RLIMIT_MSGQUEUE, "MSGQUEUE" }, { RLIMIT_NICE, "NICE" },
	{ RLIMIT_NOFILE, "NOFILE" }, { RLIMIT_NPROC, "NPROC" }, { RLIMIT_RSS, "RSS" }, { RLIMIT_RTPRIO, "RTPRIO" },
	{ RLIMIT_RTTIME, "RTTIME" }, { RLIMIT_SIGPENDING, "SIGPENDING" }, { RLIMIT_STACK, "STACK" },
};

static void rlim(struct buf *b, rlim_t v)
{
	if (v == RLIM_INFINITY)
		buf_adds(b, "\"unlimited\"");
	else
		buf_addf(b, "%llu", (unsigned long long)v);
}

static void rlimits_json(struct buf *b, const struct func *f)
{
	if (!f->n_rlimits)
		return;
	api_json_key(b, "Rlimits");
	buf_addc(b, '{');
	for (size_t i = 0; i < f->n_rlimits; i++)
		for (size_t k = 0; k < ARRAY_SIZE(rlimits); k++) {
			const struct rlimit *v = &f->rlimits[i].value;

			if (rlimits[k].resource != f->rlimits[i].resource)
				continue;
			api_json_key(b, rlimits[k].name);
			buf_addc(b, '[');
			rlim(b, v->rlim_cur);
			buf_addc(b, ',');
			rlim(b, v->rlim_max);
			buf_addc(b, ']');
		}
	buf_addc(b, '}');
}

static void strings_json(struct buf *b, const char *name, char *const *list)
{
	api_json_key(b, name);
	buf_addc(b, '[');
	for (; list && *list; list++) {
		api_json_next(b);
		json_add_string(b, *list, strlen(*list));
	}
	buf_addc(b, ']');
}

void api_environment_json(struct buf *b, const struct func *f)
{
	if (!f->env || !*f->env)
		return;
	buf_adds(b, ",\"Environment\":{\"Variables\":{");
	for (char *const *v = f->env; *v; v++) {
		const char *eq = strchr(*v, '=');
		size_t len = eq ? (size_t)(eq - *v) : strlen(*v);

		api_json_next(b);
		json_add_string(b, *v, len);
		buf_addc(b, ':');
		json_add_string(b, eq ? eq + 1 : "", eq ? strlen(eq + 1) : 0);
	}
	buf_adds(b, "}}");
}

static void destination_json(struct buf *b, const char *name, const struct target *t)
{
	if (t->kind == TARGET_NONE)
		return;
	api_json_key(b, name);
	buf_addc(b, '{');
	api_json_str(b, "Destination", t->text);
	buf_addc(b, '}');
}

static void invoke_config_json(struct buf *b, const struct func *f)
{
	api_json_key(b, "EventInvokeConfig");
	buf_addc(b, '{');
	api_json_int(b, "MaximumRetryAttempts", f->retries_max);
	api_json_int(b, "MaximumEventAgeInSeconds", f->event_age_max_s);
	if (f->on_success.kind != TARGET_NONE || f->on_failure.kind != TARGET_NONE) {
		api_json_key(b, "DestinationConfig");
		buf_addc(b, '{');
		destination_json(b, "OnSuccess", &f->on_success);
		destination_json(b, "OnFailure", &f->on_failure);
		buf_addc(b, '}');
	}
	buf_addc(b, '}');
	if (f->dead_letter.kind != TARGET_NONE) {
		api_json_key(b, "DeadLetterConfig");
		buf_addc(b, '{');
		api_json_str(b, "TargetArn", f->dead_letter.text);
		buf_addc(b, '}');
	}
}

static void delays_json(struct buf *b, const char *name, const int64_t *delays_ms, size_t n)
{
	api_json_key(b, name);
	buf_addc(b, '[');
	for (size_t i = 0; i < n; i++) {
		struct buf one = {};

		api_json_seconds(&one, "", delays_ms[i]);
		api_json_next(b);
		buf_adds(b, buf_str(&one) + strlen("\"\":"));
		buf_done(&one);
	}
	buf_addc(b, ']');
}

static void retry_json(struct buf *b, enum outcome_kind k, const struct func_retry *r)
{
	api_json_key(b, outcome_name(k));
	buf_addc(b, '{');
	api_json_int(b, "Attempts", r->attempts);
	if (r->delays_ms)
		delays_json(b, "DelaysInSeconds", r->delays_ms, r->n_delays);
	/* Factor 1 raises nothing, and its bound has no effect: what was not given is not shown. */
	if (k == OUTCOME_TIMEOUT && r->timeout_factor > 1) {
		api_json_key(b, "TimeoutFactor");
		buf_addf(b, "%.15g", r->timeout_factor);
		api_json_seconds(b, "TimeoutMax", r->timeout_max_ms);
	}
	if (k == OUTCOME_OOM && r->memory_factor > 1) {
		api_json_key(b, "MemoryFactor");
		buf_addf(b, "%.15g", r->memory_factor);
		api_json_int(b, "MemoryMax", r->memory_max_mb);
	}
	buf_addc(b, '}');
}

static void retry_policy_json(struct buf *b, const struct func *f)
{
	bool any = false;

	for (int k = 0; k < OUTCOME_MAX; k++)
		any |= f->retry[k].given;
	if (!any)
		return;
	api_json_key(b, "RetryPolicy");
	buf_addc(b, '{');
	for (int k = 0; k < OUTCOME_MAX; k++)
		if (f->retry[k].given)
			retry_json(b, (enum outcome_kind)k, &f->retry[k]);
	buf_addc(b, '}');
}

static const char *leftovers_name(enum func_leftovers l)
{
	switch (l) {
	case FUNC_LEFTOVERS_KILL: return "kill";
	case FUNC_LEFTOVERS_WAIT: return "wait";
	case FUNC_LEFTOVERS_WARN: return "warn";
	}
	return "";
}

static void function_json(struct api_call *c, struct buf *b, const struct func *f)
{
	char arn[LIM_ARN_MAX + 1], version[VERSION_LEN + 1];

	arn_format_function(arn, sizeof(arn), c->a->ctx.region, f->name, f->version ? version_format(f->version, version) : NULL);
	buf_addc(b, '{');
	api_json_str(b, "FunctionName", f->name);
	api_json_str(b, "FunctionArn", arn);
	if (f->version)
		api_json_str(b, "Version", version);
	api_json_opt(b, "Description", f->description);
	api_json_str(b, "Mode", "exec");	/* the only one so far */
	strings_json(b, "Command", f->command);
	api_json_opt(b, "WorkingDirectory", f->working_dir);
	api_environment_json(b, f);
	api_json_seconds(b, "Timeout", f->timeout_ms);
	api_json_seconds(b, "KillGracePeriod", f->kill_grace_ms);
	api_json_int(b, "MemorySize", f->memory_mb);
	if (f->pids_max)
		api_json_int(b, "PidsMax", f->pids_max);
	if (f->cpu_percent)
		api_json_int(b, "CpuPercent", f->cpu_percent);
	api_json_opt(b, "User", f->user);
	api_json_opt(b, "Group", f->group);
	api_json_bool(b, "NoNewPrivileges", f->no_new_privs);
	rlimits_json(b, f);
	if (f->reserved_concurrency >= 0)
		api_json_int(b, "ReservedConcurrentExecutions", f->reserved_concurrency);
	invoke_config_json(b, f);
	delays_json(b, "RetryDelaysInSeconds", f->retry_delays_ms, f->n_retry_delays);
	retry_policy_json(b, f);
	api_json_str(b, "Leftovers", leftovers_name(f->leftovers));
	api_json_bool(b, "OomGroup", f->oom_group);
	api_json_bool(b, "RequireLimits", f->require_limits);
	api_json_bool(b, "RecordFate", f->record_fate);
	buf_addc(b, '}');
}

void api_functions(struct api_call *c)
{
	CLEAN(buf_done) struct buf b = {};
	struct func *const *list;
	size_t n = registry_list(intake_registry(c->a->ctx.engine), &list);

	buf_adds(&b, "{\"functions\":[");
	for (size_t i = 0; i < n; i++) {
		api_json_next(&b);
		function_json(c, &b, list[i]);
	}
	buf_adds(&b, "]}");
	api_answer_json(c, 200, &b);
}

void api_function(struct api_call *c)
{
	const struct registry *registry = intake_registry(c->a->ctx.engine);
	char name[LIM_FUNCTION_NAME_MAX + 1], arn[LIM_ARN_MAX + 1];
	CLEAN(buf_done) struct buf b = {};
	struct arn_function fn;
	struct func *f;
	int version;

	if (!api_param_function(c, 0, name, &f) || arn_parse_function(c->param[0], &fn, NULL) < 0)
		return;		/* never the second: the first has read it */
	/* Of an alias with two versions its own, not the one beside it. */
	if (registry_resolve(registry, name, fn.qualifier, UINT64_MAX, &version) < 0) {
		arn_format_function(arn, sizeof(arn), c->a->ctx.region, name, fn.qualifier);
		api_fail(c, API_NOT_FOUND, "Function not found: %s", arn);
		return;
	}
	f = registry_version(registry, name, version);
	function_json(c, &b, f);
	api_answer_json(c, 200, &b);
}

static void log_json(struct buf *b, const char *name, const struct api_log *log)
{
	buf_addc(b, '{');
	api_json_str(b, "function", name);
	api_json_int(b, "bytes", (int64_t)log->text.len);
	api_json_opt(b, "cursor", log->next);
	if (log->lost)
		api_json_bool(b, "lost", true);
	if (log->more)
		api_json_bool(b, "more", true);
	api_json_key(b, "log");
	json_add_string(b, buf_str(&log->text), log->text.len);
	buf_addc(b, '}');
}

/* The function may be gone from the definitions: its log is there all the same. */
void api_function_logs(struct api_call *c)
{
	const struct api_context *ctx = &c->a->ctx;
	struct api_log log = { .cursor = api_arg(c, "cursor") };
	char name[LIM_FUNCTION_NAME_MAX + 1];
	CLEAN(buf_done) struct buf b = {};
	struct err e = {};
	int64_t bytes;
	int r;

	if (!api_param_function(c, 0, name, NULL) ||
	    !api_arg_int(c, "bytes", 1, LOG_BYTES_MAX, log.cursor ? LOG_BYTES_MAX : LOG_BYTES_DEFAULT, &bytes))
		return;
	log.bytes_max = (size_t)bytes;
	r = ctx->logs ? ctx->logs(ctx->arg, name, &log, &e) : -ENOENT;
	if (r == -ENOENT && !registry_get(intake_registry(ctx->engine), name)) {
		(void)api_param_function(c, 0, name, &(struct func *){ NULL });	/* says so in Lambda's words */
	} else if (r == -EINVAL && log.cursor) {
		api_fail_value(c, "cursor", log.cursor, "Member must be the cursor of an earlier answer");
	} else if (r < 0 && r != -ENOENT) {
		api_fail(c, API_SERVICE, "Log of %s: %s", name, err_msg(&e));
	} else {
		log_json(&b, name, &log);
		api_answer_json(c, 200, &b);
	}
	buf_done(&log.text);
}
