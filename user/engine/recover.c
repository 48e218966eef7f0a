/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an earlier run left is taken up from rows and from the kernel's pinned entries.
 *
 *   1 the entries are read: who was alive, who had ended meanwhile, and how
 *   2 RUNNING events are loaded; of the rest the numbers alone (backlog.c), so a start costs the same whatever waits
 *   3 whose pipes were kept is adopted, and goes on as if nothing had happened (attempt_adopt)
 *   4 what else runs in our subtree is killed and waited for: its answer is lost
 *   5 the RUNNING events that were not adopted are judged from their entries. A crash or a timeout that happened while
 *     nobody looked is what it is; a clean end, or one by our own kill, is "Interrupted", and the record says why
 *   6 all of that is committed like any other turn's work; only then are the entries forgotten
 *
 * A start that provably never happened (its number was durable, the kernel saw no process) is our own fault and
 * consumes no attempt (I5). That proof needs the entries of the daemon before us: pins that survived. Without them
 * (reboot, another layout, no observer) it counts as started, because it may have been. Pins of this boot prove nothing about
 * the boot before: the stored anchor says which one the events are of, and it changes in the batch that settles them.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "engine/engine_int.h"

struct left { uint64_t cgroup_id; struct fact_bpf before, after; bool adopted; };
struct running { struct inv *inv; char why[128]; };	/* why: it could not be adopted */
struct recovery {
	struct engine *e;
	struct left *left;
	size_t n, cap;
	bool taken_over;
	struct running *running;
	size_t n_running, cap_running;
};

static void on_entry(void *arg, uint64_t cgroup_id, const struct fact_bpf *b)
{
	struct recovery *r = arg;

	if (r->n == r->cap) {
		r->cap = r->cap ? r->cap * 2 : 64;
		r->left = xrealloc(r->left, r->cap * sizeof(*r->left));
	}
	r->left[r->n++] = (struct left){ .cgroup_id = cgroup_id, .before = *b };
}

static void on_gone(void *arg, uint64_t cgroup_id, const char *name)
{
}

static struct left *find_left(struct recovery *r, const struct inv_row *row)
{
	for (size_t i = 0; i < r->n; i++) {
		const struct fate_env *env = &r->left[i].before.env;

		if ((int)env->attempt == row->starts && strncmp(env->request_id, row->request_id, sizeof(env->request_id)) == 0)
			return &r->left[i];
	}
	return NULL;
}

static void evidence_from(const struct recovery *r, const struct left *left, struct evidence *ev)
{
	*ev = (struct evidence){ .interrupted = true };
	if (!left ? r->taken_over && !r->e->stats.rebooted : !left->before.env.fork_ns && !left->after.env.fork_ns) {
		ev->launch_failed = true;
		snprintf(ev->launch_error, sizeof(ev->launch_error), "the supervisor was stopped before the function was started");
		return;
	}
	if (!left)
		return;
	ev->bpf = left->after.seen ? left->after : left->before;
	ev->bpf.incomplete |= ev->bpf.env.procs_exited != ev->bpf.env.procs_forked;	/* all are dead by now */
	/* By us, or by a restart before us that died before it could say so. */
	ev->killed_by_us = left->before.reaped || !(left->before.env.flags & FATE_ENV_LEADER_EXITED);
	attempt_exec_unknown(ev);
	ev->started_ns = (int64_t)ev->bpf.env.fork_ns;
	ev->ended_ns = (int64_t)ev->bpf.env.exit_ns;
	ev->empty_ns = (int64_t)ev->bpf.env.empty_ns;
}

/* ---- from the store ----------------------------------------------------------------------------------------- */

static int on_anchor(void *arg, const struct store_anchor *a)
{
	steady_anchor(((struct recovery *)arg)->e, a);
	return 0;
}

/* A version that cannot be read any more is not there: who was to run it learns that. Everything else starts. */
static int on_version(void *arg, const struct store_op_version *v)
{
	struct engine *e = ((struct recovery *)arg)->e;
	struct err err = {};

	if (publish_load(e, v, &err) < 0)
		engine_refused(e, &e->stats.refused_ops, 1, "%.250s", err_msg(&err));
	return 0;
}

static int on_alias(void *arg, const struct store_op_alias *op)
{
	struct engine *e = ((struct recovery *)arg)->e;
	CLEAN(alias_unrefp) struct alias *a = alias_new();
	struct err err = {};

	memcpy(a->function, op->function, sizeof(a->function));
	memcpy(a->name, op->name, sizeof(a->name));
	if (op->body && alias_read(a, op->body->data, op->body->len, &err) == 0) {
		registry_alias_set(e->registry, a);
		return 0;
	}
	engine_refused(e, &e->stats.refused_ops, 1, "alias %.64s of %.64s cannot be read: %.100s", op->name, op->function,
		       err_msg(&err));
	return 0;
}

static int on_running(void *arg, const struct store_event *ev)
{
	struct recovery *r = arg;
	struct inv *inv = backlog_inv(r->e, ev);

	inv_track(r->e, inv, -1);
	if (r->n_running == r->cap_running) {
		r->cap_running = r->cap_running ? r->cap_running * 2 : 64;
		r->running = xrealloc(r->running, r->cap_running * sizeof(*r->running));
	}
	r->running[r->n_running++] = (struct running){ .inv = inv };
	return 0;
}

/* From the first row on: nothing of it is in memory. */
static void on_disk(struct engine *e, struct backlog *b, int64_t n)
{
	b->on_disk = n;
	b->cursor_ms = b->kind == BACKLOG_WAITING ? 0 : INT64_MAX;
	b->cursor = 0;
	backlog_hunger(e, b);
}

static int on_queued(void *arg, const char *function, int64_t n)
{
	struct engine *e = ((struct recovery *)arg)->e;

	e->stats.queued += n;
	e->on_disk += n;
	on_disk(e, &dispatch_fn(e, function)->backlog, n);
	return 0;
}

static int on_waiting(void *arg, int64_t n)
{
	struct engine *e = ((struct recovery *)arg)->e;

	e->stats.waiting += n;
	e->on_disk += n;
	on_disk(e, &e->waiting, n);
	return 0;
}

static int on_routing(void *arg, int64_t n)
{
	((struct recovery *)arg)->e->stats.routing += n;
	return 0;
}

static int on_outbox(void *arg, const char *target, int64_t n)
{
	struct engine *e = ((struct recovery *)arg)->e;

	e->stats.deliveries_owed += n;
	on_disk(e, &outbox_target(e, target)->backlog, n);
	return 0;
}

/* ---- what ran ----------------------------------------------------------------------------------------------- */

/* False, and why not. */
static bool adopt_one(struct recovery *r, struct running *run)
{
	struct engine *e = r->e;
	struct inv *inv = run->inv;
	struct left *left = find_left(r, &inv->row);
	struct func *f = inv_func(e, inv);
	struct err err = {};

	if (e->stats.rebooted)
		snprintf(run->why, sizeof(run->why), "the host was rebooted");
	else if (!e->ports.observe)
		snprintf(run->why, sizeof(run->why), "the daemon was restarted, and without eBPF nobody would see how it ends");
	else if (!r->taken_over)
		snprintf(run->why, sizeof(run->why), "the daemon was restarted, and the kernel's records of what ran are gone");
	else if (!left || !left->before.env.fork_ns)
		snprintf(run->why, sizeof(run->why), "the daemon was restarted before it was started");
	else if (left->before.reaped)
		snprintf(run->why, sizeof(run->why), "the daemon was restarted, and had been told to end it");
	else if (!f)
		snprintf(run->why, sizeof(run->why), "the daemon was restarted, and its function is not defined any more");
	else if (!attempt_adopt(e, inv, f, left->cgroup_id, &left->before, &err))
		snprintf(run->why, sizeof(run->why), "the daemon was restarted: %.100s", err_msg(&err));
	else
		left->adopted = true;
	return left && left->adopted;
}

static void adopt_all(struct recovery *r)
{
	size_t n = 0;

	for (size_t i = 0; i < r->n_running; i++) {
		struct inv *inv = r->running[i].inv;

		r->e->stats.recovered_running++;
		if (!adopt_one(r, &r->running[i]))
			r->running[n++] = r->running[i];
		else if (inv->row.state == INV_RUNNING && inv->row.condition == COND_CANCELLED)
			(void)attempt_cancel(r->e, inv);	/* the wish was durable, and its killing not done */
	}
	r->n_running = n;
}

static void judge_running(struct recovery *r, const struct running *run)
{
	struct engine *e = r->e;
	struct left *left = find_left(r, &run->inv->row);
	struct attempt_terms terms = { .cgroup_id = left ? left->cgroup_id : 0 };
	struct evidence ev;

	evidence_from(r, left, &ev);
	memcpy(ev.interrupted_why, run->why, sizeof(ev.interrupted_why));
	attempt_name_groups(e, &ev);
	if (left && left->before.env.timeout_ns)
		terms.timeout_ms = (int)(left->before.env.timeout_ns / 1000000);
	attempt_settle(e, run->inv, inv_func(e, run->inv), &ev, terms, 0);
}

static void take_up(struct recovery *r)
{
	struct engine *e = r->e;
	bool committing;

	for (size_t i = 0; i < r->n_running; i++)
		judge_running(r, &r->running[i]);
	committing = e->filling->store.n;
	for (size_t i = 0; i < r->n; i++) {
		if (r->left[i].adopted)
			continue;
		if (committing)
			batch_after(e, AFTER_FORGET, NULL, NULL, r->left[i].cgroup_id);
		else
			e->ports.observe->ops->forget(e->ports.observe, r->left[i].cgroup_id);
	}
}

/* Who is neither adopted nor dead is about to be killed: a daemon after us that finds it unsettled must know by whom. */
static void mark_doomed(struct recovery *r, struct port_observe *o)
{
	for (size_t i = 0; i < r->n; i++)
		if (!r->left[i].adopted && !r->left[i].before.reaped && !(r->left[i].before.env.flags & FATE_ENV_LEADER_EXITED))
			o->ops->mark_reaped(o, r->left[i].cgroup_id);
}

static int load(struct recovery *r, struct err *err)
{
	struct store_loader loader = {
		.arg = r, .anchor = on_anchor, .version = on_version, .alias = on_alias, .running = on_running, .queued = on_queued,
		.waiting = on_waiting, .routing = on_routing, .outbox = on_outbox,
	};
	struct engine *e = r->e;
	int64_t next_seq = 1;
	int res;

	steady_anchor(e, NULL);
	res = e->ports.store->ops->load(e->ports.store, &loader, &next_seq, err);
	if (res < 0)
		return err_wrap(err, res, "open events");
	e->next_seq = next_seq;
	e->open_at_start = e->stats.queued + e->stats.running + e->stats.waiting;
	dispatch_limits(e);
	return 0;
}

int engine_start(struct engine *e, struct err *err)
{
	struct recovery r = { .e = e };
	struct port_observe *o = e->ports.observe;
	int res = 0;

	if (o) {
		res = o->ops->scan(o, on_entry, &r, err);
		if (res < 0) {
			err_wrap(err, res, "pinned entries");
			goto out;
		}
		r.taken_over = res > 0;
	}
	res = load(&r, err);
	if (res < 0)
		goto out;
	adopt_all(&r);
	if (o)
		mark_doomed(&r, o);
	res = e->ports.launch->ops->reap(e->ports.launch, on_gone, &r, err);
	if (res < 0) {
		err_wrap(err, res, "left-overs of an earlier run");
		goto out;
	}
	for (size_t i = 0; o && i < r.n; i++)
		o->ops->read(o, r.left[i].cgroup_id, &r.left[i].after);
	take_up(&r);
	e->anchored_at_ms = INT64_MIN / 2;	/* the first turn stores the anchor */
	engine_audit(e);	/* all is reaped or ours: any difference is of before us */
	res = 0;
out:
	free(r.left);
	free(r.running);
	return res;
}
