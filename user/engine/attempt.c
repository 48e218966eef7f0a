/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One attempt, from the claim to the outcome. The order of the launch is the engine's to keep, because launcher and
 * observer do not know each other: leaf made → leaf watched → process cloned into it. At the end: pipes and files
 * collected, the kernel's entry read once more, judged, then the leaf removed. The entry is forgotten only when the
 * outcome is durable: until then it is what a restarted daemon would judge from.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "engine/engine_int.h"
#include "model/alias.h"
#include "model/judge.h"
#include "model/policy.h"

#define STDERR_LINES_MAX 20

void attempt_new(struct engine *e, struct inv *inv, struct func *f)
{
	struct env *env = XNEW(struct env);

	assert(!inv->env);
	env->func = func_ref(f);
	env->inv = inv;
	memcpy(env->request_id, inv->row.request_id, sizeof(env->request_id));
	env->attempt = inv->row.starts;
	env->sync = inv->sync;
	env->timeout_ms = policy_timeout_ms(&inv->row, f);
	env->memory_mb = policy_memory_mb(&inv->row, f);
	env->row.kill_grace_ms = f->kill_grace_ms;
	env->row.leftovers = f->leftovers;
	env->ev.queued_ns = inv->queued_ns;
	env->ev.claimed_ns = now_mono(e);
	inv->env = env;
	env->fn = dispatch_fn(e, inv->row.function);
	dispatch_claimed(e, env->fn);
	e->stats.running_sync += inv->sync;
	e->stats.attempts_started++;
}

/* ---- stderr's last lines ------------------------------------------------------------------------------------ */

void attempt_output(struct engine *e, uint64_t cgroup_id, const char *data, size_t len)
{
	struct env *env = map_get(&e->envs, cgroup_id);

	if (!env)
		return;
	if (len > ENGINE_STDERR_TAIL) {
		data += len - ENGINE_STDERR_TAIL;
		len = ENGINE_STDERR_TAIL;
	}
	if (env->tail.len + len > 2 * ENGINE_STDERR_TAIL) {
		size_t keep = MIN(env->tail.len, (size_t)ENGINE_STDERR_TAIL);

		memmove(env->tail.data, env->tail.data + env->tail.len - keep, keep);
		env->tail.len = keep;
	}
	buf_add(&env->tail, data, len);
}

/* Whole lines from the end, as far as they fit; of a line that does not fit, its end. */
static struct blob *stderr_tail(const struct buf *b)
{
	size_t from = b->len > ENGINE_STDERR_TAIL ? b->len - ENGINE_STDERR_TAIL : 0, at = b->len;
	const char *nl = from ? memchr(b->data + from - 1, '\n', b->len - from) : NULL;
	int lines = 0;

	if (nl)
		from = (size_t)(nl - b->data) + 1;
	while (at > from) {
		if (b->data[at - 1] == '\n' && at < b->len && ++lines == STDERR_LINES_MAX)
			break;
		at--;
	}
	return b->len > at ? blob_must(b->data + at, b->len - at) : NULL;
}

/* Lambda's words after "REPORT RequestId: <id>\t". */
static void report(struct env *env, const struct outcome *o)
{
	const struct evidence *ev = &env->ev;
	struct buf *b = &env->summary;
	int64_t from = ev->bpf.seen && ev->bpf.env.fork_ns ? (int64_t)ev->bpf.env.fork_ns : ev->started_ns;
	double ms = (double)MAX(ev->ended_ns - from, (int64_t)0) / 1e6;
	const char *type;
	size_t n;

	if (o->kind == OUTCOME_TIMEOUT)
		ms = env->timeout_ms;
	buf_addf(b, "Duration: %.2f ms\tBilled Duration: %" PRId64 " ms\tMemory Size: %d MB\t", ms,
		 (int64_t)ms + (ms > (double)(int64_t)ms), env->memory_mb);
	if (ev->cgroup.memory_peak)
		buf_addf(b, "Max Memory Used: %" PRIu64 " MB\t", (ev->cgroup.memory_peak + (1 << 20) - 1) >> 20);
	if (o->kind == OUTCOME_TIMEOUT) {
		buf_adds(b, "Status: timeout");
	} else if (o->kind != OUTCOME_SUCCESS) {
		buf_adds(b, "Status: error\tError Type: ");
		if (o->payload && json_member(o->payload->data, o->payload->len, "errorType", &type, &n) && json_is_string(type, n))
			json_add_decoded(b, type, n);
		else
			buf_adds(b, outcome_name(o->kind));
	}
}

static void count(struct engine *e, const struct outcome *o)
{
	e->stats.by_outcome[o->kind]++;
	e->stats.witness[o->witness]++;
	e->stats.witnesses_disagree += o->witnesses_disagree;
}

static void settle_sync(struct engine *e, struct inv *inv, const char *fate)
{
	struct intake_reply r = {
		.status = 200, .request_id = inv->row.request_id, .outcome = &inv->last, .fate = fate,
	};

	r.version = inv->row.version;
	/* Nothing ran, and nobody will try again: that is our error, not the function's. */
	if (inv->last.kind == OUTCOME_HOST)
		r = (struct intake_reply){ .status = 500, .error_type = "ServiceException", .request_id = inv->row.request_id,
					   .error_message = "The function could not be started.", .outcome = &inv->last, .fate = fate };
	inv_reply(e, inv, &r);
}

static void settle_async(struct engine *e, struct inv *inv, struct func *f, const struct buf *fate, uint64_t cgroup_id)
{
	struct inv_event ev = {
		.kind = INV_EV_OUTCOME, .outcome = &inv->last, .rnd = random64(e),
	};
	struct store_op *op = batch_op(e, STORE_OP_ATTEMPT_END);
	int fx;

	op->attempt.seq = inv->row.seq;
	op->attempt.start = inv->row.starts;
	op->attempt.started_at_ms = inv->started_at_ms;
	op->attempt.ended_at_ms = now_wall(e);
	op->attempt.outcome = inv->last.kind;
	op->attempt.fate = blob_must(fate->data, fate->len);

	fx = inv_step(&inv->row, f, &ev, now_steady(e));
	assert(fx == INV_FX_WAIT || fx == INV_FX_ROUTE);
	inv_track(e, inv, INV_RUNNING);
	if (fx == INV_FX_ROUTE) {
		route_event(e, inv, f, false);
	} else {
		batch_event_set(e, inv);
		inv_weigh(e, inv);	/* its facts have grown */
		backlog_place(e, inv);
	}
	if (cgroup_id)
		batch_after(e, AFTER_FORGET, NULL, NULL, cgroup_id);
}

static void how_it_ended(const struct inv *inv, const struct evidence *ev, char *text, size_t size)
{
	const struct outcome *o = &inv->last;
	const struct fate_env *b = ev->bpf.seen ? &ev->bpf.env : NULL;
	int64_t from = b && b->fork_ns ? (int64_t)b->fork_ns : ev->started_ns;
	int n = 0;

	if (o->kind == OUTCOME_HOST)
		n = snprintf(text, size, "not started: %.200s", ev->launch_error);
	else if (o->kind == OUTCOME_NO_FUNCTION)
		n = snprintf(text, size, "the function is not defined any more");
	else if (ev->exec_failed)
		n = snprintf(text, size, "%s: %s", ev->exec_step, ev->exec_errno ? strerror(ev->exec_errno) : ev->launch_error);
	else if (o->witness == WITNESS_NONE)
		n = snprintf(text, size, "no witness of its end");
	else if (o->signo)
		n = snprintf(text, size, "%s%s", signal_name(o->signo), o->core_dumped ? ", core dumped" : "");
	else
		n = snprintf(text, size, "exit status %d", o->exit_status);
	if (from && ev->ended_ns >= from && n >= 0 && (size_t)n < size)
		snprintf(text + n, size - (size_t)n, " after %.3f ms", (double)(ev->ended_ns - from) / 1e6);
}

static void log_outcome(struct engine *e, const struct inv *inv, const struct evidence *ev, uint64_t cgroup_id)
{
	char text[320];
	struct log_outcome lo = {
		.function = inv->row.function, .request_id = inv->row.request_id, .attempt = inv->row.starts, .cgroup_id = cgroup_id,
		.hosts_fault = inv->last.hosts_fault, .verdict = outcome_name(inv->last.kind), .text = text,
	};

	if (!e->ports.log)
		return;
	how_it_ended(inv, ev, text, sizeof(text));
	e->ports.log->ops->outcome(e->ports.log, &lo);
}

/* Evidence → outcome → what follows. ev NULL: the function is gone, there was nothing to start. */
void attempt_settle(struct engine *e, struct inv *inv, struct func *f, const struct evidence *ev, struct attempt_terms terms,
		    uint64_t forget)
{
	static const struct evidence nothing;
	struct judge_context ctx = { .request_id = inv->row.request_id, .timeout_ms = terms.timeout_ms };
	struct fate_input in = {
		.attempt = inv->row.starts, .started_at_ms = inv->started_at_ms, .ev = ev ? ev : &nothing,
		.outcome = &inv->last, .timeout_ms = terms.timeout_ms, .memory_mb = terms.memory_mb,
		.observed = e->ports.observe != NULL,
	};
	struct buf fate = {};

	outcome_done(&inv->last);
	if (ev)
		judge(ev, &ctx, &inv->last);
	else
		inv->last.kind = OUTCOME_NO_FUNCTION;
	count(e, &inv->last);
	log_outcome(e, inv, in.ev, terms.cgroup_id);
	fate_build(&fate, &in);
	if (inv->fates.len)
		buf_addc(&inv->fates, ',');
	buf_add(&inv->fates, buf_str(&fate), fate.len);
	if (inv->sync)
		settle_sync(e, inv, buf_str(&fate));
	else
		settle_async(e, inv, f, &fate, forget);
	buf_done(&fate);
}

/* Of a daemon before us: what failed before the exec was told through a pipe that nobody kept. */
void attempt_exec_unknown(struct evidence *ev)
{
	const struct fate_env *b = &ev->bpf.env;

	if (!(b->flags & FATE_ENV_LEADER_EXITED) || b->exec_ns || b->exit_code != 127 << 8)
		return;
	ev->exec_failed = true;
	snprintf(ev->exec_step, sizeof(ev->exec_step), "unknown");
	snprintf(ev->launch_error, sizeof(ev->launch_error),
		 "the program could not be executed; the supervisor was restarted before the reason was stored");
}

/* Paths of the groups that evidence names, while they can still be asked for. */
void attempt_name_groups(struct engine *e, struct evidence *ev)
{
	struct port_launch *l = e->ports.launch;
	const struct fate_env *b = &ev->bpf.env;

	if (!ev->bpf.seen)
		return;
	if (b->sender.cgroup_id && !(b->sender.flags & FATE_SENDER_KERNEL) && b->flags & FATE_ENV_LEADER_EXITED && !ev->sender_group[0] &&
	    l->ops->group_path(l, b->sender.cgroup_id, ev->sender_group, sizeof(ev->sender_group)) < 0)
		ev->sender_group[0] = '\0';
	if (b->oom_limit_cgroup_id && !ev->oom_group[0] &&
	    l->ops->group_path(l, b->oom_limit_cgroup_id, ev->oom_group, sizeof(ev->oom_group)) < 0)
		ev->oom_group[0] = '\0';
}

/* Everything that can be known now. May be called again when more can be. */
static void gather(struct engine *e, struct env *env)
{
	struct evidence *ev = &env->ev;

	blob_unref(TAKE(ev->out));
	blob_unref(TAKE(ev->error_report));
	blob_unref(TAKE(ev->stderr_tail));
	if (env->proc && ev->started_ns)
		e->ports.launch->ops->collect(e->ports.launch, env->proc, &ev->cgroup, &ev->out, &ev->error_report);
	if (e->ports.observe && env->cgroup_id)
		e->ports.observe->ops->read(e->ports.observe, env->cgroup_id, &ev->bpf);
	if (ev->bpf.seen && ev->bpf.env.exit_ns)
		ev->ended_ns = (int64_t)ev->bpf.env.exit_ns;
	/* In an empty leaf who has not been seen to exit has been missed. */
	if (ev->bpf.seen && env->row.empty && ev->bpf.env.procs_exited != ev->bpf.env.procs_forked)
		ev->bpf.incomplete = true;
	if (ev->adopted)
		attempt_exec_unknown(ev);
	attempt_name_groups(e, ev);
	ev->stderr_tail = stderr_tail(&env->tail);
	snprintf(ev->exec_path, sizeof(ev->exec_path), "%s", env->func->command[0]);
}

/* The attempt ends here; its environment may live on, with processes in it (ENV_LEFT). */
static void settle(struct engine *e, struct env *env)
{
	struct inv *inv = TAKE(env->inv);
	/* A file that was taken away while it ran (a deploy that removes and writes) takes neither its destinations nor its number
	 * of retries along. */
	struct func *f = inv_func(e, inv) ?: env->func;
	struct attempt_terms terms = { env->timeout_ms, env->memory_mb, env->cgroup_id };
	bool left = env->row.state == ENV_LEFT;

	inv->env = NULL;
	if (!left)	/* else leftovers() has, and what they write from now on is no part of the answer */
		gather(e, env);
	attempt_settle(e, inv, f, &env->ev, terms, left ? 0 : env->cgroup_id);
	if (e->ports.log && env->ev.started_ns)
		report(env, &inv->last);
	e->stats.running_sync -= env->sync;
	e->stats.left_running += left;
	if (env->sync)
		inv_free(e, inv);
}

/* The entry of an attempt that was settled before its environment was gone. The store must know of the outcome first. */
static void forget_later(struct engine *e, uint64_t cgroup_id)
{
	if (e->flying || e->filling->store.n)
		batch_after(e, AFTER_FORGET, NULL, NULL, cgroup_id);
	else
		e->ports.observe->ops->forget(e->ports.observe, cgroup_id);
}

/* After the outcome is durable: until then leaf and descriptors are what a daemon after us would adopt and judge. */
static void release_later(struct engine *e, struct env *env)
{
	if (env->sync || (!e->flying && !e->filling->store.n)) {
		e->ports.launch->ops->release(e->ports.launch, env->proc);
		return;
	}
	batch_after(e, AFTER_RELEASE, NULL, NULL, 0)->proc = env->proc;
}

/* The environment is GONE. Frees it. */
static void finish(struct engine *e, struct env *env)
{
	struct fn *fn = env->fn;
	bool left = !env->inv;

	assert(env->row.state == ENV_GONE);
	if (env->fenced)
		;
	else if (left)
		e->stats.left_running--;
	else
		settle(e, env);
	if (e->ports.log && env->ev.started_ns)
		e->ports.log->ops->end(e->ports.log, env->cgroup_id, buf_str(&env->summary));
	sched_cancel(&e->mono, &env->timer);
	if (env->cgroup_id)
		map_del(&e->envs, env->cgroup_id);
	if (e->ports.observe && env->cgroup_id && env->sync)
		e->ports.observe->ops->forget(e->ports.observe, env->cgroup_id);
	else if (e->ports.observe && env->cgroup_id && left)
		forget_later(e, env->cgroup_id);
	if (env->proc)
		release_later(e, env);
	env_free(env);
	dispatch_released(e, fn);
}

static void launch_failed(struct engine *e, struct env *env, const struct err *err)
{
	/* No such user is the definition's fault, and trying again for six hours would not mend it. */
	env->ev.exec_failed = err->code == -ESRCH;
	env->ev.launch_failed = !env->ev.exec_failed;
	env->ev.started_ns = 0;
	snprintf(env->ev.exec_step, sizeof(env->ev.exec_step), "user");
	snprintf(env->ev.launch_error, sizeof(env->ev.launch_error), "%.250s", err_msg(err));
	env_never_started(&env->row);
	finish(e, env);
}

void attempt_launch(struct engine *e, struct inv *inv)
{
	struct env *env = inv->env;
	struct func *f = env->func;
	char arn[LIM_ARN_MAX + 1], version[VERSION_LEN + 1];
	struct launch_spec spec = {
		.timeout_ms = env->timeout_ms, .memory_mb = env->memory_mb,
		.previous = inv->last.kind == OUTCOME_INVALID ? NULL : outcome_name(inv->last.kind),
		.func = f, .request_id = inv->row.request_id, .region = e->cfg.region, .function_arn = arn,
		.version = version_format(inv->row.version, version), .keep = !inv->sync,
		.deadline_wall_ms = now_wall(e) + env->timeout_ms, .attempt = inv->row.starts, .payload = inv->payload,
	};
	struct observe_spec watch = {
		.function = inv->row.function, .request_id = inv->row.request_id, .attempt = inv->row.starts,
		.timeout_ns = env->timeout_ms * NS_PER_MS,
	};
	struct err err = {};
	void *twin;
	int r;

	if (inv->row.condition == COND_CANCELLED) {
		env->ev.cancelled = true;
		env_never_started(&env->row);
		return finish(e, env);
	}
	/* Its number became durable after the daemon had been told to stop: nothing starts that nobody would supervise. */
	if (e->draining && !inv->sync) {
		err_set(&err, -ECANCELED, "the supervisor is stopping");
		return launch_failed(e, env, &err);
	}
	arn_format_function(arn, sizeof(arn), e->cfg.region, inv->row.function, inv->row.qualifier);
	snprintf(spec.name, sizeof(spec.name), "%c%" PRIu64 "-%d-%08x", inv->sync ? 's' : 'e',
		 inv->sync ? e->next_handle++ : (uint64_t)inv->row.seq, inv->row.starts,
		 (unsigned int)e->ports.clock->random64(e->ports.clock->self));
	r = e->ports.launch->ops->prepare(e->ports.launch, &spec, &env->proc, &env->cgroup_id, &err);
	if (r < 0)
		return launch_failed(e, env, &err);
	twin = map_put(&e->envs, env->cgroup_id, env);
	assert(!twin);
	watch.cgroup_id = env->cgroup_id;
	if (e->ports.observe) {
		r = e->ports.observe->ops->watch(e->ports.observe, &watch, &err);
		if (r < 0)
			return launch_failed(e, env, &err);
	}
	env->ev.started_ns = now_mono(e);
	r = e->ports.launch->ops->start(e->ports.launch, env->proc, &err);
	if (r < 0)
		return launch_failed(e, env, &err);
	if (e->ports.log)
		e->ports.log->ops->start(e->ports.log, env->cgroup_id, inv->row.function, inv->row.request_id, inv->row.starts);
	/* From now, not from before the clone: that may have taken long, and our timer must not be earlier than the kernel's. */
	env_started(&env->row, now_mono(e) + watch.timeout_ns + (e->ports.observe ? ENGINE_TIMER_SLACK_NS : 0));
	sched_set(&e->mono, &env->timer, env_next_timer_ns(&env->row));
}

static void take_verdict(struct engine *e, struct env *env)
{
	struct judge_context ctx = { .request_id = env->request_id, .timeout_ms = env->timeout_ms };
	struct outcome o;

	judge(&env->ev, &ctx, &o);
	env->verdict = o.kind;
	outcome_done(&o);
}

/* Processes are left though the leader has ended. What it said decides, too: a reported error is no success. */
static int leftovers(struct engine *e, struct env *env)
{
	if (!env->ev.leftovers)
		env->ev.leftovers = e->ports.launch->ops->count(e->ports.launch, env->proc);
	if (env->row.leftovers != FUNC_LEFTOVERS_KILL && env->verdict == OUTCOME_SUCCESS) {
		gather(e, env);
		take_verdict(e, env);
	}
	return env_left(&env->row, &env->ev, env->verdict == OUTCOME_SUCCESS, now_mono(e));
}

static void kill_tree(struct engine *e, struct env *env)
{
	/* A kill that no deadline explains must not look like somebody else's to a daemon that finds it unsettled. */
	if ((env->ev.too_large || env->ev.cancelled) && e->ports.observe)
		e->ports.observe->ops->mark_reaped(e->ports.observe, env->cgroup_id);
	(void)e->ports.launch->ops->kill(e->ports.launch, env->proc, NULL);	/* env_step asks again while the leaf is not empty */
}

bool attempt_cancel(struct engine *e, struct inv *inv)
{
	struct env *env = inv->env;

	assert(inv->row.state == INV_RUNNING);
	if (!env)
		return false;
	if (!env->cgroup_id)		/* its number is being made durable: attempt_launch() will see */
		return true;
	if (!(env_cancel(&env->row, &env->ev, now_mono(e)) & ENV_FX_KILL))
		return false;
	kill_tree(e, env);
	sched_set(&e->mono, &env->timer, env_next_timer_ns(&env->row));
	return true;
}

void attempt_fence(struct engine *e, struct env *env)
{
	struct fn *fn = env->fn;

	env->inv = NULL;
	if (!env->cgroup_id) {
		e->stats.running_sync -= env->sync;
		env_free(env);
		dispatch_released(e, fn);
		return;
	}
	env->fenced = true;
	if (env->row.state == ENV_GONE || !(env_cancel(&env->row, &env->ev, now_mono(e)) & ENV_FX_KILL))
		return;
	kill_tree(e, env);
	sched_set(&e->mono, &env->timer, env_next_timer_ns(&env->row));
}

/* Feeds one fact and performs what follows. The environment may be gone afterwards. */
static void feed(struct engine *e, struct env *env, const struct fact *f)
{
	struct port_launch *l = e->ports.launch;
	bool in_grace = env->row.kill_at_ns != 0;
	int fx = env_step(&env->row, &env->ev, f, now_mono(e));

	if (fx & ENV_FX_VERDICT) {
		take_verdict(e, env);
		env->ev.verdict_ns = now_mono(e);
	}
	if (fx & ENV_FX_LEFT)
		fx = leftovers(e, env);
	if (fx & ENV_FX_TERM)
		l->ops->term(l, env->proc);
	if (fx & ENV_FX_KILL) {
		if (f->kind == FACT_TIMER && in_grace)
			env->ev.grace_survivors = l->ops->count(l, env->proc);
		kill_tree(e, env);
	}
	if (fx & ENV_FX_CHECK_EMPTY) {
		int r = l->ops->populated(l, env->proc);
		struct fact answer = {
			.kind = r == 0 ? FACT_EMPTY : FACT_POPULATED, .cgroup_id = env->cgroup_id, .at_ns = now_mono(e),
		};

		feed(e, env, &answer);
		return;
	}
	if (fx & ENV_FX_OVER && env->row.state == ENV_GONE) {
		finish(e, env);
		return;
	}
	if (fx & ENV_FX_OVER && !env->fenced)
		settle(e, env);
	sched_set(&e->mono, &env->timer, env_next_timer_ns(&env->row));
}

void attempt_fact(struct engine *e, const struct fact *f)
{
	struct env *env = map_get(&e->envs, f->cgroup_id);

	if (!env || (e->leaving && !env->sync))
		return;		/* late news of an environment that is over; or somebody else's from now on */
	if (e->ports.observe && (f->kind == FACT_BPF_EXIT || f->kind == FACT_BPF_DEADLINE || f->kind == FACT_BPF_EMPTY ||
				 (f->kind == FACT_WAIT && !env->ev.verdict_known) || f->kind == FACT_EMPTY))
		e->ports.observe->ops->read(e->ports.observe, f->cgroup_id, &env->ev.bpf);
	feed(e, env, f);
}

static void attempt_timer(struct engine *e, struct env *env, int64_t now)
{
	struct fact f = { .kind = FACT_TIMER, .cgroup_id = env->cgroup_id, .at_ns = now };

	sched_cancel(&e->mono, &env->timer);
	/* The kernel's word on who was first: its timer, or the leader. */
	if (e->ports.observe)
		e->ports.observe->ops->read(e->ports.observe, env->cgroup_id, &env->ev.bpf);
	feed(e, env, &f);
}

void attempt_timers(struct engine *e)
{
	int64_t now = now_mono(e);
	struct sched_node *n;

	while ((n = sched_first(&e->mono)) && n->at <= now) {
		struct env *env = container_of(n, struct env, timer);

		if (e->leaving && !env->sync) {
			sched_cancel(&e->mono, n);
			continue;
		}
		attempt_timer(e, env, now);
	}
}

/* ---- from the daemon before us ------------------------------------------------------------------------------ */

static void adopted_fact(struct engine *e, struct env *env, enum fact_kind kind, uint64_t at_ns)
{
	struct fact f = { .kind = kind, .cgroup_id = env->cgroup_id, .at_ns = (int64_t)at_ns };

	feed(e, env, &f);
}

/*
 * The attempt goes on as if it were ours: same place in the limits, same deadline, and what happened while nobody looked is
 * in its entry. Only the wait status is out of reach, so the kernel half is the one witness of its end.
 */
bool attempt_adopt(struct engine *e, struct inv *inv, struct func *f, uint64_t cgroup_id, const struct fact_bpf *entry,
		   struct err *err)
{
	struct launch_adopt a = { .cgroup_id = cgroup_id, .func = f, .request_id = inv->row.request_id, .attempt = inv->row.starts };
	const struct fate_env *b = &entry->env;
	struct env *env;
	void *twin;

	attempt_new(e, inv, f);
	e->stats.attempts_started--;	/* by whoever started it */
	env = inv->env;
	if (e->ports.launch->ops->adopt(e->ports.launch, &a, &env->proc, err) < 0) {
		struct fn *fn = env->fn;

		inv->env = NULL;
		env_free(env);
		dispatch_released(e, fn);
		return false;
	}
	e->stats.adopted++;
	env->cgroup_id = cgroup_id;
	twin = map_put(&e->envs, cgroup_id, env);
	assert(!twin);
	env->timeout_ms = (int)((int64_t)b->timeout_ns / NS_PER_MS);
	env->ev.bpf = *entry;
	env->ev.adopted = true;
	env->ev.queued_ns = env->ev.claimed_ns = 0;
	env->ev.started_ns = (int64_t)b->fork_ns;
	env_started(&env->row, b->deadline_ns ? (int64_t)b->deadline_ns + ENGINE_TIMER_SLACK_NS : 0);
	sched_set(&e->mono, &env->timer, env_next_timer_ns(&env->row));
	if (e->ports.log)
		e->ports.log->ops->start(e->ports.log, cgroup_id, inv->row.function, inv->row.request_id, inv->row.starts);
	if (b->flags & FATE_ENV_DEADLINE_HIT)
		adopted_fact(e, env, FACT_BPF_DEADLINE, b->deadline_hit_ns);
	if (b->flags & FATE_ENV_LEADER_EXITED)
		adopted_fact(e, env, FACT_BPF_EXIT, b->exit_ns);
	return true;
}
