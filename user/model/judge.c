/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Evidence → outcome. The one place that says why an attempt ended.
 *
 * The status comes from two witnesses: the kernel half's entry (written on the leader's last thread, before its
 * parent can be told) and waitid(). Either will do; when both spoke they must agree, and if they do not, that is
 * said and counted, and waitid(), whose value the kernel promises to parents, is believed.
 *
 * Precedence, first match wins:
 *   nothing was started                         → HostFault (ours) or ExecFailed (the function's: the program
 *                                                 cannot be executed)
 *   the deadline passed before the leader's end → Timeout. "Before" is decided by the kernel half alone when it
 *                                                 spoke: a leader that ended one instant before its deadline has
 *                                                 ended by itself, whatever we did afterwards
 *   our kill because somebody asked for it      → Cancelled
 *   stdout passed the limit                     → ResponseTooLarge (we killed it, so its status says nothing)
 *   no witness of the status                    → Interrupted
 *   exit 0, SIGPIPE, or our kill, after a
 *   restart of ours                             → Interrupted: the answer was in a pipe that is gone
 *   our kill because the daemon stops           → Interrupted
 *   an OOM kill in the leaf, end not clean      → OutOfMemory: a shell that exits 137 because its child was
 *                                                 killed failed for the same cause
 *   a signal                                    → Signal
 *   an error report                             → Error, whatever the exit status
 *   status not 0                                → Crash
 *   else                                        → Success. Also when a child was OOM-killed meanwhile and the
 *                                                 function coped: the record's facts say so
 */
#include "model/judge.h"

#include <assert.h>
#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"
#include "model/limits.h"

static struct blob *blob_from(struct buf *b)
{
	struct blob *r = blob_must(b->data, b->len);

	buf_done(b);
	return r;
}

/* {"errorType":T,"errorMessage":"RequestId: <id> Error: <message>"}, Lambda's form for what the platform saw. */
static struct blob *platform_error(const struct judge_context *ctx, const char *type, const char *message)
{
	struct buf b = {}, m = {};

	buf_addf(&m, "RequestId: %s Error: %s", ctx->request_id, message);
	buf_addf(&b, "{\"errorType\":\"%s\",\"errorMessage\":", type);
	json_add_string(&b, buf_str(&m), m.len);
	buf_addc(&b, '}');
	buf_done(&m);
	return blob_from(&b);
}

/* The same without the prefix. */
static struct blob *plain_error(const char *type, const char *message)
{
	struct buf b = {};

	buf_addf(&b, "{\"errorType\":\"%s\",\"errorMessage\":", type);
	json_add_string(&b, message, strlen(message));
	buf_addc(&b, '}');
	return blob_from(&b);
}

/* What a program printed, as JSON: JSON stays as it is, nothing at all is null, the rest is a string. */
static struct blob *response_json(const struct blob *out, size_t *ret_replaced)
{
	struct buf b = {};

	*ret_replaced = 0;
	if (!out || !out->len)
		return blob_must("null", 4);
	if (json_valid(out->data, out->len, NULL))
		return blob_ref((struct blob *)out);
	if (buf_reserve(&b, out->len + out->len / 8 + 16) < 0)
		return NULL;
	*ret_replaced = json_add_string(&b, out->data, out->len);
	return blob_from(&b);
}

/* A usable report is a JSON object with errorType or errorMessage as strings; anything else is shown as it came. */
static struct blob *report_json(const struct blob *report)
{
	const char *v;
	size_t n;
	struct buf b = {}, m = {};

	if (json_valid(report->data, report->len, NULL) &&
	    ((json_member(report->data, report->len, "errorMessage", &v, &n) && json_is_string(v, n)) ||
	     (json_member(report->data, report->len, "errorType", &v, &n) && json_is_string(v, n))))
		return blob_ref((struct blob *)report);

	buf_adds(&m, "What the program wrote to FATE_ERROR_FD is not a JSON object with errorType and errorMessage: ");
	buf_add(&m, report->data, utf8_cut(report->data, report->len, 1024));
	buf_adds(&b, "{\"errorType\":\"Function.InvalidErrorReport\",\"errorMessage\":");
	json_add_string(&b, buf_str(&m), m.len);
	buf_addc(&b, '}');
	buf_done(&m);
	return blob_from(&b);
}

/* Go's os.Exec words for an errno: strerror with a small first letter. */
static struct blob *exec_error(const struct judge_context *ctx, const struct evidence *ev)
{
	char text[128], first[2] = "", message[512];

	if (ev->launch_error[0])
		return platform_error(ctx, "Runtime.InvalidEntrypoint", ev->launch_error);
	snprintf(text, sizeof(text), "%s", strerror(ev->exec_errno));
	first[0] = (char)tolower((unsigned char)text[0]);
	if (strcmp(ev->exec_step, "execve") == 0)
		snprintf(message, sizeof(message), "fork/exec %s: %s%s", ev->exec_path, first, text[0] ? text + 1 : "");
	else
		snprintf(message, sizeof(message), "%s: %s%s", ev->exec_step, first, text[0] ? text + 1 : "");
	return platform_error(ctx, "Runtime.InvalidEntrypoint", message);
}

static bool bpf_status(const struct evidence *ev, int *ret)
{
	if (!ev->bpf.seen || !(ev->bpf.env.flags & FATE_ENV_LEADER_EXITED))
		return false;
	*ret = ev->bpf.env.exit_code;
	return true;
}

/* Status word and who vouches for it. */
static bool status_word(const struct evidence *ev, struct outcome *o, int *ret)
{
	int by_bpf = 0;
	bool have_bpf = bpf_status(ev, &by_bpf);

	if (ev->have_wait)
		o->witness |= WITNESS_WAIT;
	if (have_bpf)
		o->witness |= WITNESS_BPF;
	*ret = ev->have_wait ? ev->wait_status : by_bpf;
	if (ev->have_wait && have_bpf && ev->wait_status != by_bpf)
		o->witnesses_disagree = true;
	return o->witness != WITNESS_NONE;
}

static bool deadline_came_first(const struct evidence *ev)
{
	if (ev->bpf.seen) {
		const struct fate_env *env = &ev->bpf.env;

		if (env->flags & FATE_ENV_DEADLINE_HIT)
			return true;
		/* The timer's call-back and the exit hook run on different processors: without a hit the exit was first. */
		if (env->flags & FATE_ENV_LEADER_EXITED && !ev->deadline_by_timer)
			return false;
		if (env->flags & FATE_ENV_LEADER_EXITED && env->deadline_ns && env->exit_ns < env->deadline_ns)
			return false;
	}
	return ev->deadline_by_timer;
}

/*
 * Whose limit an OOM kill enforced. The kernel half reads it where it is decided; where it may not (no fentry), the
 * memory controller's own counters tell: "oom" counts in the group whose limit was hit, "oom_kill" in the victim's.
 */
static enum oom_scope oom_scope(const struct evidence *ev)
{
	const struct fact_cgroup *c = &ev->cgroup;
	bool by_bpf = ev->bpf.seen && ev->bpf.env.oom_kills;

	if (!by_bpf && !c->oom_kills)
		return OOM_SCOPE_NONE;
	if (by_bpf) {
		switch (ev->bpf.env.oom_scope) {
		case FATE_OOM_OWN: return OOM_SCOPE_OWN;
		case FATE_OOM_ANCESTOR: return OOM_SCOPE_ANCESTOR;
		case FATE_OOM_HOST: return OOM_SCOPE_HOST;
		}
	}
	if (c->have_memory && c->own_ooms)
		return OOM_SCOPE_OWN;
	if (c->have_memory && c->above_known)
		return c->above[0] ? OOM_SCOPE_ANCESTOR : OOM_SCOPE_HOST;
	return OOM_SCOPE_UNKNOWN;
}

static bool hosts_fault(const struct outcome *o)
{
	return o->kind == OUTCOME_HOST || o->kind == OUTCOME_INTERRUPTED ||
	       (o->kind == OUTCOME_OOM && (o->oom_scope == OOM_SCOPE_ANCESTOR || o->oom_scope == OOM_SCOPE_HOST));
}

void judge(const struct evidence *ev, const struct judge_context *ctx, struct outcome *ret)
{
	char text[128];
	int status = 0;
	bool have;

	assert(ev && ctx && ctx->request_id && ret);
	*ret = (struct outcome){};
	have = status_word(ev, ret, &status);
	ret->oom_scope = oom_scope(ev);
	if (have && WIFEXITED(status))
		ret->exit_status = WEXITSTATUS(status);
	if (have && WIFSIGNALED(status)) {
		ret->signo = WTERMSIG(status);
		ret->core_dumped = WCOREDUMP(status);
	}

	if (ev->launch_failed) {
		ret->kind = OUTCOME_HOST;
		ret->payload = platform_error(ctx, "Runtime.HostFault", ev->launch_error);
	} else if (ev->exec_failed) {
		ret->kind = OUTCOME_EXEC_FAILED;
		ret->exit_status = 0;
		ret->payload = exec_error(ctx, ev);
	} else if (deadline_came_first(ev)) {
		ret->kind = OUTCOME_TIMEOUT;
		snprintf(text, sizeof(text), "Task timed out after %d.%02d seconds", ctx->timeout_ms / 1000,
			 ctx->timeout_ms % 1000 / 10);
		ret->payload = platform_error(ctx, "Sandbox.Timedout", text);
	} else if (ev->cancelled && (!have || ret->signo == SIGKILL)) {
		ret->kind = OUTCOME_CANCELLED;
		ret->payload = platform_error(ctx, "Runtime.Cancelled", "The invocation was cancelled");
	} else if (ev->too_large || (ev->out && ev->out->len > LIM_RESPONSE)) {
		ret->kind = OUTCOME_TOO_LARGE;
		snprintf(text, sizeof(text), "Response payload size exceeded maximum allowed payload size (%u bytes).", LIM_RESPONSE);
		ret->payload = plain_error("Function.ResponseSizeTooLarge", text);
	} else if (!have || (ev->interrupted && (!status || ev->killed_by_us || ret->signo == SIGPIPE)) ||
		   (ev->stopped_by_us && ret->signo == SIGKILL)) {
		ret->kind = OUTCOME_INTERRUPTED;
		ret->payload = platform_error(ctx, "Runtime.Interrupted", "The supervisor was stopped while the function ran");
	} else if (ret->oom_scope != OOM_SCOPE_NONE && status) {
		ret->kind = OUTCOME_OOM;
		ret->payload = platform_error(ctx, "Runtime.OutOfMemory", "Runtime exited with error: signal: killed");
	} else if (WIFSIGNALED(status)) {
		ret->kind = OUTCOME_SIGNAL;
		snprintf(text, sizeof(text), "Runtime exited with error: signal: %s", signal_text(ret->signo));
		ret->payload = platform_error(ctx, "Runtime.ExitError", text);
	} else if (ev->error_report && ev->error_report->len) {
		ret->kind = OUTCOME_ERROR;
		ret->payload = report_json(ev->error_report);
	} else if (status) {
		ret->kind = OUTCOME_CRASH;
		snprintf(text, sizeof(text), "Runtime exited with error: exit status %d", ret->exit_status);
		ret->payload = platform_error(ctx, "Runtime.ExitError", text);
	} else {
		ret->kind = OUTCOME_SUCCESS;
		ret->payload = response_json(ev->out, &ret->bytes_replaced);
	}
	ret->hosts_fault = hosts_fault(ret);
}
