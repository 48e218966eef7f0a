/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AWS Lambda's record of an asynchronous invocation, version 1.0 (its developer guide, "Capturing records", and
 * recorded samples), written as text: request and response are spliced in as they came.
 *
 * The one addition is the member "fate": what the kernel saw of every attempt. Readers of AWS's record ignore a
 * member they do not know; a function's "RecordFate": false leaves it out. A member of fate that could not be known
 * is absent, never guessed.
 */
#include "model/record.h"

#include <assert.h>
#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "model/alias.h"

static int status_code(const struct record_input *in)
{
	if (in->row->condition == COND_ZERO_CONCURRENCY || in->row->condition == COND_RECURSIVE)
		return 0;
	if (!in->last)
		return in->throttled ? 429 : 0;
	return in->last->kind == OUTCOME_NO_FUNCTION ? 404 : in->last->kind == OUTCOME_HOST ? 500 : 200;
}

static void add_text(struct buf *b, const char *name, const char *value)
{
	buf_addf(b, "\"%s\":", name);
	json_add_string(b, value, strlen(value));
}

/* Bytes of a JSON value without the white space around it: a record is one line. */
static void add_value(struct buf *b, const char *data, size_t len)
{
	while (len && strchr(" \t\r\n", data[len - 1]))
		len--;
	while (len && strchr(" \t\r\n", *data)) {
		data++;
		len--;
	}
	/* Line breaks between tokens are white space to JSON (inside strings they are escaped): make them blanks. */
	for (size_t from = 0, i = 0; i <= len; i++) {
		if (i == len || data[i] == '\n' || data[i] == '\r') {
			buf_add(b, data + from, i - from);
			if (i < len)
				buf_addc(b, ' ');
			from = i + 1;
		}
	}
}

static void add_fate(struct buf *b, const struct record_input *in)
{
	const struct inv_row *row = in->row;

	buf_adds(b, ",\"fate\":{");
	if (row->condition == COND_POISON)
		buf_addf(b, "\"poison\":%d,", row->deaths);
	if (row->origin[0])
		buf_addf(b, "\"redriveOf\":\"%s\",", row->origin);
	if (row->hops > 1)
		buf_addf(b, "\"hops\":%d,", row->hops);
	buf_addf(b, "\"attempts\":[%s]}", in->fates);
}

void record_build(struct buf *b, const struct record_input *in)
{
	char iso[ISO_MS_LEN + 1], arn[LIM_ARN_MAX + 1], version[VERSION_LEN + 1];
	const struct inv_row *row = in->row;
	int code = status_code(in);

	assert(row && in->region);
	arn_format_function(arn, sizeof(arn), in->region, row->function, row->qualifier[0] ? row->qualifier : "$LATEST");
	buf_addf(b, "{\"version\":\"1.0\",\"timestamp\":\"%s\",\"requestContext\":{", clock_iso_ms(in->now_ms, iso));
	add_text(b, "requestId", row->request_id);
	buf_addc(b, ',');
	add_text(b, "functionArn", arn);
	/* Lambda says 1 for a success, whatever came before it. */
	buf_addf(b, ",\"condition\":\"%s\",\"approximateInvokeCount\":%d}", inv_condition_wire(row->condition),
		 row->condition == COND_SUCCESS ? 1 : row->attempts);
	if (!in->bare) {
		buf_adds(b, ",\"requestPayload\":");
		if (in->request && in->request->len)
			add_value(b, in->request->data, in->request->len);
		else
			buf_adds(b, "{}");
	}
	if (code) {
		buf_addf(b, ",\"responseContext\":{\"statusCode\":%d", code);
		if (code == 200) {
			buf_addf(b, ",\"executedVersion\":\"%s\"", version_format(row->version, version));
			if (in->last->kind != OUTCOME_SUCCESS)
				buf_adds(b, ",\"functionError\":\"Unhandled\"");
		}
		buf_addc(b, '}');
		if (code == 200 && !in->bare && in->last->payload && in->last->payload->len) {
			buf_adds(b, ",\"responsePayload\":");
			add_value(b, in->last->payload->data, in->last->payload->len);
		}
	}
	if (in->fates)
		add_fate(b, in);
	buf_addc(b, '}');
}

void dead_letter_build(struct dead_letter *ret, const struct record_input *in)
{
	struct buf text = {};
	const char *v;
	size_t n;

	*ret = (struct dead_letter){ .error_code = status_code(in) };
	memcpy(ret->request_id, in->row->request_id, sizeof(ret->request_id));
	if (in->row->condition == COND_ZERO_CONCURRENCY)	/* sic, AWS's own words */
		buf_adds(&text, "Function not invoked. Function isconfigured with zero reserved concurrent executions");
	else if (in->row->condition == COND_RECURSIVE)	/* our words: AWS's are not known */
		buf_addf(&text, "Function not invoked. It would have been invocation %d of its chain; %d are allowed", in->row->hops, LIM_CHAIN);
	else if (ret->error_code == 429)
		buf_adds(&text, "Rate Exceeded.");
	else if (ret->error_code == 404) {
		char arn[LIM_ARN_MAX + 1];

		arn_format_function(arn, sizeof(arn), in->region, in->row->function,
				    in->row->qualifier[0] ? in->row->qualifier : "$LATEST");
		buf_addf(&text, "Function not found: %s", arn);
	} else if (in->last && in->last->payload &&
		 json_member(in->last->payload->data, in->last->payload->len, "errorMessage", &v, &n) && json_is_string(v, n))
		json_add_decoded(&text, v, n);

	/* At most 1,024 bytes; a character broken by the cut becomes U+FFFD. */
	n = utf8_cut(buf_str(&text), text.len, LIM_DLQ_ERROR_MESSAGE);
	snprintf(ret->error_message, sizeof(ret->error_message), "%.*s%s", (int)n, buf_str(&text),
		 n < text.len && n < LIM_DLQ_ERROR_MESSAGE ? "\xef\xbf\xbd" : "");
	buf_done(&text);
}

/* ---- fate --------------------------------------------------------------------------------------------------- */

/* An object whose members may all be absent; then it is absent, too. */
struct group { struct buf *b; const char *name; bool open; };

static struct buf *member(struct group *g, const char *name)
{
	if (g->open)
		buf_addc(g->b, ',');
	else
		buf_addf(g->b, ",\"%s\":{", g->name);
	g->open = true;
	buf_addf(g->b, "\"%s\":", name);
	return g->b;
}

static void group_end(struct group *g)
{
	if (g->open)
		buf_addc(g->b, '}');
}

static void member_u64(struct group *g, const char *name, uint64_t v)
{
	buf_addf(member(g, name), "%llu", (unsigned long long)v);
}

static void member_ms(struct group *g, const char *name, int64_t ns)
{
	if (ns >= 0)
		buf_addf(member(g, name), "%.3f", (double)ns / 1e6);
}

static void member_comm(struct group *g, const char *name, const char comm[FATE_COMM_LEN])
{
	json_add_string(member(g, name), comm, strnlen(comm, FATE_COMM_LEN));
}

static void member_text(struct group *g, const char *name, const char *text)
{
	if (text[0])
		json_add_string(member(g, name), text, strlen(text));
}

static void fate_sender(struct buf *b, const struct evidence *ev)
{
	const struct fate_sender *s = &ev->bpf.env.sender;
	struct group g = { .b = b, .name = "sender" };

	if (!ev->bpf.seen || !(s->flags & FATE_SENDER_KNOWN))
		return;
	buf_adds(member(&g, "kernel"), s->flags & FATE_SENDER_KERNEL ? "true" : "false");
	if (!(s->flags & FATE_SENDER_KERNEL)) {
		member_u64(&g, "pid", s->pid);
		member_u64(&g, "uid", s->uid);
		member_comm(&g, "comm", s->comm);
		member_text(&g, "cgroup", ev->sender_group);
		/* As text: beyond 2^53 a number would not survive most readers. */
		if (s->cgroup_id)
			buf_addf(member(&g, "cgroupId"), "\"%llu\"", (unsigned long long)s->cgroup_id);
	}
	group_end(&g);
}

/* The limit that was hit, when it is known whose it was. */
static uint64_t oom_limit(const struct evidence *ev, enum oom_scope scope)
{
	if (ev->bpf.seen && ev->bpf.env.oom_limit_bytes)
		return ev->bpf.env.oom_limit_bytes;
	if (scope == OOM_SCOPE_ANCESTOR)
		return ev->cgroup.above_limit;
	return scope == OOM_SCOPE_OWN ? ev->cgroup.memory_limit : 0;
}

static void fate_oom(struct buf *b, const struct evidence *ev, const struct outcome *o)
{
	const struct fate_env *env = ev->bpf.seen && ev->bpf.env.oom_kills ? &ev->bpf.env : NULL;
	struct group g = { .b = b, .name = "oom" };
	const char *scope = oom_scope_name(o->oom_scope);
	uint64_t limit = oom_limit(ev, o->oom_scope);

	if (o->oom_scope == OOM_SCOPE_NONE)
		return;
	member_u64(&g, "kills", MAX(ev->cgroup.oom_kills, env ? (uint64_t)env->oom_kills : 0));
	if (scope)
		buf_addf(member(&g, "scope"), "\"%s\"", scope);
	if (env) {
		buf_addf(member(&g, "victim"), "{\"pid\":%u,\"comm\":", env->oom_victim_tgid);
		json_add_string(b, env->oom_victim_comm, strnlen(env->oom_victim_comm, sizeof(env->oom_victim_comm)));
		buf_addc(b, '}');
	}
	if (limit)
		member_u64(&g, "limitBytes", limit);
	member_text(&g, "limitCgroup", ev->oom_group[0] ? ev->oom_group : o->oom_scope == OOM_SCOPE_ANCESTOR ? ev->cgroup.above : "");
	if (ev->cgroup.memory_peak)
		member_u64(&g, "peakBytes", ev->cgroup.memory_peak);
	group_end(&g);
}

static void fate_deadline(struct buf *b, const struct fate_input *in, const struct fate_env *env)
{
	const struct evidence *ev = in->ev;
	int64_t from = env && env->fork_ns ? (int64_t)env->fork_ns : ev->started_ns;
	int64_t hit = env && env->deadline_hit_ns ? (int64_t)env->deadline_hit_ns : env ? (int64_t)env->deadline_ns : 0;
	char iso[ISO_MS_LEN + 1];

	if (!in->timeout_ms)
		return;
	if (in->started_at_ms && ev->claimed_ns && from >= ev->claimed_ns)
		buf_addf(b, ",\"deadlineAt\":\"%s\"", clock_iso_ms(in->started_at_ms + (from - ev->claimed_ns) / NS_PER_MS + in->timeout_ms,
								  iso));
	buf_addf(b, ",\"timeoutMs\":%d", in->timeout_ms);
	/* Without the kernel's timer the deadline is still the clock's: start and timeout. */
	if (!hit && from)
		hit = from + in->timeout_ms * NS_PER_MS;
	if (in->outcome->kind == OUTCOME_TIMEOUT && hit && ev->empty_ns >= hit)
		buf_addf(b, ",\"deadlineToEmptyMs\":%.3f", (double)(ev->empty_ns - hit) / 1e6);
}

static void fate_times(struct buf *b, const struct fate_input *in, const struct fate_env *env)
{
	const struct evidence *ev = in->ev;
	int64_t from = env && env->fork_ns ? (int64_t)env->fork_ns : ev->started_ns;
	char iso[ISO_MS_LEN + 1];

	if (in->started_at_ms)
		buf_addf(b, ",\"startedAt\":\"%s\"", clock_iso_ms(in->started_at_ms, iso));
	fate_deadline(b, in, env);
	if (from && ev->ended_ns >= from)
		buf_addf(b, ",\"durationMs\":%.3f", (double)(ev->ended_ns - from) / 1e6);
	if (env && env->exit_ns && ev->verdict_ns >= (int64_t)env->exit_ns && !ev->interrupted)
		buf_addf(b, ",\"verdictUs\":%.1f", (double)(ev->verdict_ns - (int64_t)env->exit_ns) / 1e3);
	if (env && env->fork_ns)
		buf_addf(b, ",\"kernelStartUs\":%llu", (unsigned long long)(env->fork_ns / 1000));
	if (env && env->empty_ns && env->flags & FATE_ENV_EMPTY)
		buf_addf(b, ",\"kernelEndUs\":%llu", (unsigned long long)((env->empty_ns + 999) / 1000));
}

/* What all threads used; NULL when it is not all that is in it. */
static const struct fate_acct *used(const struct evidence *ev)
{
	return ev->bpf.seen && !ev->bpf.incomplete && ev->bpf.env.acct.threads ? &ev->bpf.env.acct : NULL;
}

/* Where the time went, and what it cost. cpu.stat is exact; the kernel half's sum may lack each thread's last moments, so
 * it stands in only where the leaf could not be asked any more. */
static void fate_use(struct buf *b, const struct fate_input *in, const struct fate_env *env)
{
	const struct evidence *ev = in->ev;
	const struct fate_acct *a = used(ev);
	struct group time = { .b = b, .name = "time" }, cpu = { .b = b, .name = "cpu" };
	int64_t on_cpu = ev->cgroup.have_cpu ? (int64_t)ev->cgroup.cpu_usage_us * 1000 : a ? (int64_t)a->cpu_ns : -1;

	if (ev->queued_ns && ev->claimed_ns >= ev->queued_ns)
		member_ms(&time, "queuedMs", ev->claimed_ns - ev->queued_ns);
	if (ev->claimed_ns && env && (int64_t)env->exec_ns >= ev->claimed_ns)
		member_ms(&time, "startingMs", (int64_t)env->exec_ns - ev->claimed_ns);
	if (ev->started_ns || a)
		member_ms(&time, "onCpuMs", on_cpu);
	if (a && a->known & FATE_ACCT_WAIT) {
		member_ms(&time, "waitingMs", (int64_t)a->wait_ns);
		member_ms(&time, "asleepMs", MAX((int64_t)(a->life_ns - a->wait_ns) - on_cpu, (int64_t)0));
	}
	group_end(&time);
	if (ev->cgroup.have_cpu && ev->started_ns) {
		member_ms(&cpu, "userMs", (int64_t)ev->cgroup.cpu_user_us * 1000);
		member_ms(&cpu, "systemMs", (int64_t)ev->cgroup.cpu_system_us * 1000);
		group_end(&cpu);
	}
}

static void fate_memory(struct buf *b, const struct fate_input *in)
{
	const struct fate_acct *a = used(in->ev);
	struct group g = { .b = b, .name = "memory" };

	if (in->memory_mb)
		member_u64(&g, "limitMB", (uint64_t)in->memory_mb);
	if (a && a->known & FATE_ACCT_RSS)
		member_u64(&g, "peakRssBytes", a->peak_rss);
	if (in->ev->cgroup.memory_peak)
		member_u64(&g, "peakBytes", in->ev->cgroup.memory_peak);
	group_end(&g);
}

static void fate_counts(struct buf *b, const struct fate_acct *a)
{
	struct group faults = { .b = b, .name = "faults" }, switches = { .b = b, .name = "switches" }, io = { .b = b, .name = "io" };

	member_u64(&faults, "minor", a->minor_faults);
	member_u64(&faults, "major", a->major_faults);
	group_end(&faults);
	member_u64(&switches, "voluntary", a->voluntary_switches);
	member_u64(&switches, "involuntary", a->involuntary_switches);
	group_end(&switches);
	if (!(a->known & FATE_ACCT_IO))
		return;
	member_u64(&io, "readBytes", a->read_bytes);
	member_u64(&io, "writtenBytes", a->written_bytes);
	member_u64(&io, "storageReadBytes", a->read_storage);
	member_u64(&io, "storageWrittenBytes", a->written_storage);
	group_end(&io);
}

static void fate_family(struct buf *b, const struct evidence *ev, const struct fate_env *env)
{
	if (ev->bpf.incomplete)
		buf_adds(b, ",\"incomplete\":true");
	else if (env && env->procs_forked)
		buf_addf(b, ",\"processes\":%u", env->procs_forked);
	if (used(ev))
		buf_addf(b, ",\"threads\":%u", used(ev)->threads);
	if (ev->leftovers)
		buf_addf(b, ",\"leftovers\":%u", ev->leftovers);
	if (ev->left_running)
		buf_adds(b, ",\"leftRunning\":true");
	if (ev->grace_survivors)
		buf_addf(b, ",\"graceSurvivors\":%u", ev->grace_survivors);
}

static void fate_missing(struct buf *b, unsigned int missing)
{
	static const struct { unsigned int bit; const char *name; } limits[] = {
		{ FACT_MISSING_MEMORY, "memory" }, { FACT_MISSING_PIDS, "pids" }, { FACT_MISSING_CPU, "cpu" },
	};
	const char *sep = "";

	if (!missing)
		return;
	buf_adds(b, ",\"limitsMissing\":[");
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		if (!(missing & limits[i].bit))
			continue;
		buf_addf(b, "%s\"%s\"", sep, limits[i].name);
		sep = ",";
	}
	buf_addc(b, ']');
}

static void fate_end(struct buf *b, const struct evidence *ev, const struct outcome *o)
{
	if (o->kind == OUTCOME_HOST) {
		buf_addc(b, ',');
		add_text(b, "reason", ev->launch_error);
	}
	if (ev->exec_failed) {
		buf_addc(b, ',');
		add_text(b, "execStep", ev->exec_step);
		if (ev->exec_errno)
			buf_addf(b, ",\"execErrno\":%d", ev->exec_errno);
	} else if (o->witness != WITNESS_NONE && o->signo) {
		buf_addf(b, ",\"signal\":%d,\"signalName\":\"%s\",\"coreDumped\":%s", o->signo, signal_name(o->signo),
			 o->core_dumped ? "true" : "false");
		fate_sender(b, ev);
	} else if (o->witness != WITNESS_NONE) {
		buf_addf(b, ",\"exitStatus\":%d", o->exit_status);
	}
}

void fate_build(struct buf *b, const struct fate_input *in)
{
	const struct evidence *ev = in->ev;
	const struct outcome *o = in->outcome;
	const struct fate_env *env = ev->bpf.seen ? &ev->bpf.env : NULL;

	buf_addf(b, "{\"attempt\":%d,\"verdict\":\"%s\",\"observer\":\"%s\"", in->attempt, outcome_name(o->kind),
		 in->observed ? "bpf" : "fallback");
	fate_end(b, ev, o);
	fate_oom(b, ev, o);
	fate_times(b, in, env);
	fate_use(b, in, env);
	fate_memory(b, in);
	if (used(ev))
		fate_counts(b, used(ev));
	fate_family(b, ev, env);
	fate_missing(b, ev->cgroup.missing);
	if (ev->stderr_tail && ev->stderr_tail->len) {
		buf_adds(b, ",\"stderrTail\":");
		json_add_string(b, ev->stderr_tail->data, ev->stderr_tail->len);
	}
	if (o->bytes_replaced)
		buf_addf(b, ",\"bytesReplaced\":%zu", o->bytes_replaced);
	if (ev->interrupted)
		buf_adds(b, ",\"interrupted\":true");
	if (ev->interrupted && ev->interrupted_why[0]) {
		buf_addc(b, ',');
		add_text(b, "interruptedBecause", ev->interrupted_why);
	}
	if (o->witness != WITNESS_NONE)
		buf_addf(b, ",\"witness\":\"%s\"", witness_name(o->witness));
	if (o->witnesses_disagree)
		buf_adds(b, ",\"witnessesDisagree\":true");
	buf_addc(b, '}');
}

enum outcome_kind fate_last_verdict(const char *json, size_t len)
{
	cJSON *list = cJSON_ParseWithLength(json, len);
	const cJSON *last = NULL, *one;
	enum outcome_kind kind;

	cJSON_ArrayForEach(one, list)
		last = one;
	kind = outcome_by_name(cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(last, "verdict")));
	cJSON_Delete(list);
	return kind;
}
