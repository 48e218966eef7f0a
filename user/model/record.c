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
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"

static int status_code(const struct record_input *in)
{
	if (in->row->condition == COND_ZERO_CONCURRENCY)
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

void record_build(struct buf *b, const struct record_input *in)
{
	char iso[ISO_MS_LEN + 1], arn[LIM_ARN_MAX + 1];
	const struct inv_row *row = in->row;
	int code = status_code(in);

	assert(row && in->region);
	arn_format_function(arn, sizeof(arn), in->region, row->function, row->qualifier[0] ? row->qualifier : "$LATEST");
	buf_addf(b, "{\"version\":\"1.0\",\"timestamp\":\"%s\",\"requestContext\":{", clock_iso_ms(in->now_ms, iso));
	add_text(b, "requestId", row->request_id);
	buf_addc(b, ',');
	add_text(b, "functionArn", arn);
	/* Lambda says 1 for a success, whatever came before it. */
	buf_addf(b, ",\"condition\":\"%s\",\"approximateInvokeCount\":%d},\"requestPayload\":", inv_condition_name(row->condition),
		 row->condition == COND_SUCCESS ? 1 : row->attempts);
	if (in->request && in->request->len)
		add_value(b, in->request->data, in->request->len);
	else
		buf_adds(b, "{}");
	if (code) {
		buf_addf(b, ",\"responseContext\":{\"statusCode\":%d", code);
		if (code == 200) {
			buf_adds(b, ",\"executedVersion\":\"$LATEST\"");
			if (in->last->kind != OUTCOME_SUCCESS)
				buf_adds(b, ",\"functionError\":\"Unhandled\"");
		}
		buf_addc(b, '}');
		if (code == 200 && in->last->payload && in->last->payload->len) {
			buf_adds(b, ",\"responsePayload\":");
			add_value(b, in->last->payload->data, in->last->payload->len);
		}
	}
	if (in->fates)
		buf_addf(b, ",\"fate\":{\"attempts\":[%s]}", in->fates);
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

static void fate_sender(struct buf *b, const struct fate_sender *s)
{
	if (!(s->flags & FATE_SENDER_KNOWN))
		return;
	if (s->flags & FATE_SENDER_KERNEL) {
		buf_adds(b, ",\"sender\":{\"kernel\":true}");
		return;
	}
	buf_addf(b, ",\"sender\":{\"kernel\":false,\"pid\":%u,\"uid\":%u,\"comm\":", s->pid, s->uid);
	json_add_string(b, s->comm, strnlen(s->comm, sizeof(s->comm)));
	buf_addc(b, '}');
}

static const char *oom_scope_name(unsigned int scope)
{
	switch (scope) {
	case FATE_OOM_OWN: return "own";
	case FATE_OOM_ANCESTOR: return "ancestor";
	case FATE_OOM_HOST: return "host";
	}
	return NULL;
}

static void fate_oom(struct buf *b, const struct evidence *ev)
{
	const struct fate_env *env = ev->bpf.seen ? &ev->bpf.env : NULL;
	uint64_t kills = MAX(ev->cgroup.oom_kills, env ? (uint64_t)env->oom_kills : 0);
	const char *scope = env && env->oom_kills ? oom_scope_name(env->oom_scope) : NULL;

	if (!kills)
		return;
	buf_addf(b, ",\"oom\":{\"kills\":%llu", (unsigned long long)kills);
	if (scope)
		buf_addf(b, ",\"scope\":\"%s\"", scope);
	if (env && env->oom_kills) {
		buf_adds(b, ",\"victim\":");
		json_add_string(b, env->oom_victim_comm, strnlen(env->oom_victim_comm, sizeof(env->oom_victim_comm)));
	}
	if (ev->cgroup.memory_limit)
		buf_addf(b, ",\"limitBytes\":%llu", (unsigned long long)ev->cgroup.memory_limit);
	buf_addc(b, '}');
}

static void fate_times(struct buf *b, const struct fate_input *in)
{
	const struct evidence *ev = in->ev;
	const struct fate_env *env = ev->bpf.seen ? &ev->bpf.env : NULL;
	int64_t from = env && env->fork_ns ? (int64_t)env->fork_ns : ev->started_ns;
	char iso[ISO_MS_LEN + 1];

	if (in->started_at_ms)
		buf_addf(b, ",\"startedAt\":\"%s\"", clock_iso_ms(in->started_at_ms, iso));
	if (from && ev->ended_ns >= from)
		buf_addf(b, ",\"durationMs\":%.3f", (double)(ev->ended_ns - from) / 1e6);
	if (env && env->exit_ns && ev->verdict_ns >= (int64_t)env->exit_ns && !ev->interrupted)
		buf_addf(b, ",\"verdictUs\":%.1f", (double)(ev->verdict_ns - (int64_t)env->exit_ns) / 1e3);
	if (in->outcome->kind == OUTCOME_TIMEOUT) {
		buf_addf(b, ",\"timeoutMs\":%d", in->timeout_ms);
		if (env && env->deadline_hit_ns && ev->empty_ns >= (int64_t)env->deadline_hit_ns)
			buf_addf(b, ",\"deadlineToEmptyMs\":%.3f", (double)(ev->empty_ns - (int64_t)env->deadline_hit_ns) / 1e6);
	}
}

void fate_build(struct buf *b, const struct fate_input *in)
{
	const struct evidence *ev = in->ev;
	const struct outcome *o = in->outcome;
	const struct fate_env *env = ev->bpf.seen ? &ev->bpf.env : NULL;

	buf_addf(b, "{\"attempt\":%d,\"verdict\":\"%s\"", in->attempt, outcome_name(o->kind));
	if (o->kind == OUTCOME_HOST) {
		buf_addc(b, ',');
		add_text(b, "reason", ev->launch_error);
	}
	if (ev->exec_failed) {
		buf_addc(b, ',');
		add_text(b, "execStep", ev->exec_step);
		if (ev->exec_errno)
			buf_addf(b, ",\"execErrno\":%d", ev->exec_errno);
	} else if (o->witness != WITNESS_NONE) {
		if (o->signo) {
			buf_addf(b, ",\"signal\":%d,\"signalName\":\"%s\",\"coreDumped\":%s", o->signo, signal_name(o->signo),
				 o->core_dumped ? "true" : "false");
			if (env)
				fate_sender(b, &env->sender);
		} else {
			buf_addf(b, ",\"exitStatus\":%d", o->exit_status);
		}
	}
	fate_oom(b, ev);
	fate_times(b, in);
	if (env && env->procs_forked)
		buf_addf(b, ",\"processes\":%u", env->procs_forked);
	if (ev->leftovers)
		buf_addf(b, ",\"leftovers\":%u", ev->leftovers);
	if (ev->grace_survivors)
		buf_addf(b, ",\"graceSurvivors\":%u", ev->grace_survivors);
	if (ev->cgroup.memory_peak)
		buf_addf(b, ",\"memoryPeakBytes\":%llu", (unsigned long long)ev->cgroup.memory_peak);
	if (o->bytes_replaced)
		buf_addf(b, ",\"bytesReplaced\":%zu", o->bytes_replaced);
	if (ev->interrupted)
		buf_adds(b, ",\"interrupted\":true");
	if (o->witness != WITNESS_NONE)
		buf_addf(b, ",\"witness\":\"%s\"", witness_name(o->witness));
	if (o->witnesses_disagree)
		buf_adds(b, ",\"witnessesDisagree\":true");
	buf_addc(b, '}');
}
