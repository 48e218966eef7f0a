/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an earlier run left is taken up from rows and from the kernel's pinned entries.
 *
 *   1 the entries are read: who was alive, who had ended meanwhile, and how
 *   2 what still runs in our subtree is killed and waited for: its pipes died with the daemon that held them
 *   3 open events are loaded. A RUNNING one is judged from its entry: a crash or a timeout that happened while nobody
 *     looked is what it is; a clean end, or one by our own kill, is "Interrupted", because the answer is lost
 *   4 all of that is committed like any other turn's work; only then are the entries forgotten
 *
 * A start that provably never happened (its number was durable, the kernel saw no process) is our own fault and
 * consumes no attempt (I5). That proof needs the entries of the daemon before us: pins that survived. Without them
 * (reboot, another layout, no observer) it counts as started, because it may have been.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "base/mem.h"
#include "engine/engine_int.h"

struct left { uint64_t cgroup_id; struct fact_bpf before, after; };
struct recovery {
	struct engine *e;
	struct left *left;
	size_t n, cap;
	bool taken_over;
	struct map by_seq;
	struct err err;
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
	if (!left ? r->taken_over : !left->before.env.fork_ns && !left->after.env.fork_ns) {
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
	/* It exited without ever executing the program: a step of the launch failed, and which one is lost. */
	if ((ev->bpf.env.flags & FATE_ENV_LEADER_EXITED) && !ev->bpf.env.exec_ns && ev->bpf.env.exit_code == 127 << 8) {
		ev->exec_failed = true;
		snprintf(ev->exec_step, sizeof(ev->exec_step), "unknown");
		snprintf(ev->launch_error, sizeof(ev->launch_error),
			 "the program could not be executed; the supervisor was restarted before the reason was stored");
	}
	ev->started_ns = (int64_t)ev->bpf.env.fork_ns;
	ev->ended_ns = (int64_t)ev->bpf.env.exit_ns;
	ev->empty_ns = (int64_t)ev->bpf.env.empty_ns;
}

/*
 * The last attempt's answer was not stored, its verdict was: a record that has to be made without another attempt
 * (the event grew too old while nobody was there) says that the function failed, and leaves the answer out.
 */
static enum outcome_kind last_verdict(const char *fates)
{
	struct buf all = {};
	cJSON *list, *last;
	const char *word;
	enum outcome_kind kind = OUTCOME_INVALID;

	buf_addf(&all, "[%s]", fates);
	list = cJSON_ParseWithLength(all.data, all.len);
	last = cJSON_GetArrayItem(list, cJSON_GetArraySize(list) - 1);
	word = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(last, "verdict"));
	for (int k = OUTCOME_INVALID + 1; word && k < OUTCOME_MAX; k++)
		if (strcmp(outcome_name((enum outcome_kind)k), word) == 0)
			kind = (enum outcome_kind)k;
	cJSON_Delete(list);
	buf_done(&all);
	return kind;
}

static int on_event(void *arg, const struct inv_row *row, struct blob *payload, const char *fates, int64_t last_started_at_ms)
{
	struct recovery *r = arg;
	struct engine *e = r->e;
	struct inv *inv = inv_new();

	inv->row = *row;
	inv->payload = blob_ref(payload);
	inv->started_at_ms = last_started_at_ms;
	buf_adds(&inv->fates, fates);
	if (row->state == INV_WAITING && fates[0])
		inv->last.kind = last_verdict(fates);
	inv_track(e, inv, -1);
	map_put(&r->by_seq, (uint64_t)row->seq, inv);
	switch (row->state) {
	case INV_QUEUED:
		dispatch_enqueue(e, inv);
		break;
	case INV_WAITING:
		sched_set(&e->wall, &inv->due, row->due_at_ms);
		break;
	case INV_RUNNING:	/* judged when all is loaded: what follows may need new row numbers */
	case INV_ROUTING:
		inv->settled = row->state == INV_ROUTING;
		break;	/* its outbox rows follow */
	case INV_JUDGED:
	case INV_DONE:
	case INV_MAX:
		return err_set(&r->err, -EBADMSG, "event %lld has the impossible state %d", (long long)row->seq, (int)row->state);
	}
	return 0;
}

static void judge_running(struct recovery *r, struct inv *inv)
{
	struct engine *e = r->e;
	struct left *left = find_left(r, &inv->row);
	struct attempt_terms terms = { .cgroup_id = left ? left->cgroup_id : 0 };
	struct evidence ev;

	evidence_from(r, left, &ev);
	attempt_name_groups(e, &ev);
	if (left && left->before.env.timeout_ns)
		terms.timeout_ms = (int)(left->before.env.timeout_ns / 1000000);
	e->stats.recovered_running++;
	attempt_settle(e, inv, &ev, terms, 0);
}

static void take_up(struct recovery *r)
{
	struct engine *e = r->e;
	bool committing;

	map_for_each(&r->by_seq, i, v) {
		struct inv *inv = v;

		if (inv->row.state == INV_RUNNING)
			judge_running(r, inv);
		else if (inv->row.state == INV_ROUTING && !inv->outbox_open)
			route_over(e, inv);	/* the last acknowledgement was stored, the end was not */
	}
	committing = e->filling->store.n;
	for (size_t i = 0; i < r->n; i++) {
		if (committing)
			batch_after(e, AFTER_FORGET, NULL, NULL, r->left[i].cgroup_id);
		else
			e->ports.observe->ops->forget(e->ports.observe, r->left[i].cgroup_id);
	}
}

static int on_outbox(void *arg, const struct store_op_outbox *row)
{
	struct recovery *r = arg;
	struct delivery *d;

	if (row->due_at_ms == INT64_MAX)
		return 0;	/* failed for good: kept to be seen */
	d = route_adopt(r->e, row);
	d->inv = map_get(&r->by_seq, (uint64_t)row->seq);
	if (d->inv && d->inv->row.state == INV_ROUTING)
		d->inv->outbox_open++;
	else
		d->inv = NULL;
	sched_set(&r->e->wall_deliveries, &d->due, row->due_at_ms);
	return 0;
}

int engine_start(struct engine *e, struct err *err)
{
	struct recovery r = { .e = e };
	struct store_loader loader = { .arg = &r, .event = on_event, .outbox = on_outbox };
	struct port_observe *o = e->ports.observe;
	int64_t next_seq = 1;
	int res;

	if (o) {
		res = o->ops->scan(o, on_entry, &r, err);
		if (res < 0) {
			err_wrap(err, res, "pinned entries");
			goto out;
		}
		r.taken_over = res > 0;
	}
	for (size_t i = 0; o && i < r.n; i++)
		if (!r.left[i].before.reaped && !(r.left[i].before.env.flags & FATE_ENV_LEADER_EXITED))
			o->ops->mark_reaped(o, r.left[i].cgroup_id);
	res = e->ports.launch->ops->reap(e->ports.launch, on_gone, &r, err);
	if (res < 0) {
		err_wrap(err, res, "left-overs of an earlier run");
		goto out;
	}
	for (size_t i = 0; o && i < r.n; i++)
		o->ops->read(o, r.left[i].cgroup_id, &r.left[i].after);
	res = e->ports.store->ops->load(e->ports.store, &loader, &next_seq, err);
	if (res < 0) {
		if (r.err.code && err)
			*err = r.err;
		err_wrap(err, res, "open events");
		goto out;
	}
	e->next_seq = next_seq;
	e->open_at_start = e->stats.queued + e->stats.running + e->stats.waiting;
	take_up(&r);
	engine_audit(e);	/* all is reaped: any difference is of before us */
	res = 0;
out:
	map_done(&r.by_seq);
	free(r.left);
	return res;
}
