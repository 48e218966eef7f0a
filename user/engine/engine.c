/* SPDX-License-Identifier: Apache-2.0 */
/* The engine object: made, counted, freed. Its work is in turn.c, dispatch.c, attempt.c, route.c and recover.c. */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "engine/engine_int.h"

#define CLOCK_STEP_MS 1000	/* less is the two clocks' rounding, or the adjusting of a running clock */

int64_t now_wall(struct engine *e)
{
	return e->ports.clock->wall_ms(e->ports.clock->self);
}

int64_t now_mono(struct engine *e)
{
	return e->ports.clock->mono_ns(e->ports.clock->self);
}

uint64_t random64(struct engine *e)
{
	return e->ports.clock->random64(e->ports.clock->self);
}

void new_uuid(struct engine *e, char out[ID_UUID_LEN + 1])
{
	uint64_t rnd[2] = { random64(e), random64(e) };

	id_uuid_at(now_wall(e), rnd, out);
}

int64_t now_steady(const struct engine *e)
{
	return e->ports.clock->boot_ms(e->ports.clock->self) + e->steady_offset_ms;
}

int64_t engine_steady_ms(const struct engine *e)
{
	return now_steady(e);
}

static void put_anchor(struct engine *e)
{
	struct store_op *op = batch_op(e, STORE_OP_ANCHOR_PUT);

	memcpy(op->anchor.boot_id, e->ports.clock->boot_id, sizeof(op->anchor.boot_id));
	op->anchor.boot_ms = e->ports.clock->boot_ms(e->ports.clock->self);
	op->anchor.steady_ms = op->anchor.boot_ms + e->steady_offset_ms;
	e->anchored_at_ms = op->anchor.steady_ms;
}

/* What somebody else has claimed is open, too, and may come back to us. */
static bool nothing_is_open(const struct engine *e)
{
	return !e->stats.queued && !e->stats.running && !e->stats.waiting && !e->stats.deliveries_owed && !e->stats.lost;
}

/*
 * The same boot: the same clock, whatever became of the wall clock meanwhile. Another boot: the wall clock's time is all
 * there is; but time that has passed does not come back, so a clock chip that lost its battery does not put due times off
 * by years.
 */
void steady_anchor(struct engine *e, const struct store_anchor *last)
{
	int64_t boot_ms = e->ports.clock->boot_ms(e->ports.clock->self), wall = now_wall(e);

	if (last && strcmp(last->boot_id, e->ports.clock->boot_id) == 0)
		e->steady_offset_ms = last->steady_ms - last->boot_ms;
	else
		e->steady_offset_ms = MAX(wall, last ? last->steady_ms : wall) - boot_ms;
	e->stats.rebooted = last && strcmp(last->boot_id, e->ports.clock->boot_id) != 0;
}

void steady_turn(struct engine *e)
{
	int64_t steady = now_steady(e), step = now_wall(e) - steady;

	e->stats.clock_step_ms = step > -CLOCK_STEP_MS && step < CLOCK_STEP_MS ? 0 : step;
	if (e->stats.clock_step_ms && nothing_is_open(e) && !e->flying && !e->filling->store.n) {
		e->steady_offset_ms += step;
		e->stats.clock_step_ms = 0;
		put_anchor(e);
	} else if (steady - e->anchored_at_ms > ENGINE_ANCHOR_MS) {
		put_anchor(e);
	}
}

struct engine *engine_new(const struct engine_ports *ports, const struct engine_config *cfg)
{
	struct engine *e = XNEW(struct engine);

	assert(ports->clock && ports->store && ports->launch && ports->deliver);
	assert(ports->store->ops->version == PORT_STORE_VERSION);
	assert(ports->launch->ops->version == PORT_LAUNCH_VERSION);
	assert(!ports->observe || ports->observe->ops->version == PORT_OBSERVE_VERSION);
	assert(ports->deliver->ops->version == PORT_DELIVER_VERSION);
	assert(cfg->concurrency_max > 0 && cfg->queue_max > 0 && cfg->inbox_max > 0);
	assert(cfg->window_max >= 1 && cfg->window_bytes > 0 && cfg->lease_ms > 0);
	e->ports = *ports;
	e->cfg = *cfg;
	e->cfg.window_min = cfg->window_min ? cfg->window_min : ENGINE_WINDOW_MIN;
	e->cfg.page_max = cfg->page_max ? cfg->page_max : ENGINE_PAGE;
	e->cfg.target_window = cfg->target_window ? cfg->target_window : ENGINE_TARGET_WINDOW;
	e->registry = registry_new();
	e->filling = XNEW(struct turn_batch);
	list_init(&e->fns_ready);
	list_init(&e->fns_blocked);
	list_init(&e->targets_ready);
	list_init(&e->hungry);
	list_init(&e->loads);
	backlog_init(&e->waiting, BACKLOG_WAITING);
	e->next_seq = 1;
	e->next_handle = 1;
	e->law = (struct engine_law){ .events_hold = true, .processes_hold = true };
	return e;
}

struct inv *inv_new(void)
{
	struct inv *inv = XNEW(struct inv);

	list_init(&inv->ready);
	list_init(&inv->waiters);
	return inv;
}

void inv_reply(struct engine *e, struct inv *inv, const struct intake_reply *r)
{
	intake_reply_fn reply = inv->reply;

	if (!inv->handle)
		return;
	map_del(&e->callers, inv->handle);
	inv->handle = 0;
	inv->reply = NULL;
	reply(inv->arg, r);
}

void inv_waiters_reply(struct engine *e, struct inv *inv, const struct intake_reply *r)
{
	list_for_each_safe(pos, tmp, &inv->waiters) {
		struct waiter *w = list_entry(pos, struct waiter, link);

		list_del(pos);
		map_del(&e->waits, w->handle);
		if (w->reply)
			w->reply(w->arg, r);
		free(w);
	}
}

void env_free(struct env *env)
{
	func_unref(env->func);
	blob_unref(env->ev.out);
	blob_unref(env->ev.error_report);
	blob_unref(env->ev.stderr_tail);
	buf_done(&env->tail);
	buf_done(&env->summary);
	free(env);
}

void inv_free(struct engine *e, struct inv *inv)
{
	if (!inv)
		return;
	if (inv->handle)
		map_del(&e->callers, inv->handle);
	backlog_left(e, inv);
	if (inv->bytes) {
		e->stats.in_memory--;
		e->stats.in_memory_bytes -= (int64_t)inv->bytes;
	}
	sched_cancel(&e->events, &inv->due);
	list_del(&inv->ready);
	list_for_each_safe(pos, tmp, &inv->waiters) {
		struct waiter *w = list_entry(pos, struct waiter, link);

		map_del(&e->waits, w->handle);
		list_del(pos);
		free(w);
	}
	if (strmap_get(&e->by_request, inv->row.request_id) == inv)
		strmap_del(&e->by_request, inv->row.request_id);
	if (inv->env && !inv->env->cgroup_id)	/* claimed, and never launched: the daemon ends first */
		env_free(inv->env);
	blob_unref(inv->payload);
	outcome_done(&inv->last);
	buf_done(&inv->fates);
	free(inv);
}

void inv_weigh(struct engine *e, struct inv *inv)
{
	size_t bytes = sizeof(*inv) + inv->fates.len + (inv->payload ? inv->payload->len : 0);

	e->stats.in_memory += !inv->bytes;
	e->stats.in_memory_bytes += (int64_t)bytes - (int64_t)inv->bytes;
	inv->bytes = bytes;
}

void engine_refused(struct engine *e, int64_t *counter, int64_t n, const char *fmt, ...)
{
	va_list ap;

	*counter += n;
	va_start(ap, fmt);
	vsnprintf(e->stats.refused_why, sizeof(e->stats.refused_why), fmt, ap);
	va_end(ap);
}

struct func *inv_func(struct engine *e, const struct inv *inv)
{
	return registry_version(e->registry, inv->row.function, inv->row.version);
}

void inv_untrack(struct engine *e, const struct inv *inv)
{
	int64_t *count[INV_MAX] = {
		[INV_QUEUED] = &e->stats.queued, [INV_RUNNING] = &e->stats.running,
		[INV_WAITING] = &e->stats.waiting, [INV_ROUTING] = &e->stats.routing,
	};

	if (count[inv->row.state])
		--*count[inv->row.state];
	e->stats.lost += inv->row.state != INV_ROUTING && inv->row.state != INV_DONE;	/* else it is counted as ended */
}

void inv_track(struct engine *e, struct inv *inv, int was_state)
{
	int64_t *count[INV_MAX] = {
		[INV_QUEUED] = &e->stats.queued, [INV_RUNNING] = &e->stats.running,
		[INV_WAITING] = &e->stats.waiting, [INV_ROUTING] = &e->stats.routing,
	};

	if (inv->sync)
		return;
	if (was_state < 0)
		strmap_put(&e->by_request, inv->row.request_id, inv);
	else if (count[was_state])
		--*count[was_state];
	if (count[inv->row.state])
		++*count[inv->row.state];
}

struct registry *intake_registry(struct engine *e)
{
	return e->registry;
}

void engine_stats(const struct engine *e, struct engine_stats *ret)
{
	*ret = e->stats;
	ret->environments = (int64_t)e->envs.len;
	ret->draining = e->draining;
}

void engine_environments(const struct engine *e, void (*each)(void *arg, const struct engine_env_info *i), void *arg)
{
	map_for_each(&e->envs, i, v) {
		const struct env *env = v;
		struct engine_env_info info = {
			.cgroup_id = env->cgroup_id, .function = env->func->name, .request_id = env->request_id,
			.state = env_state_name(env->row.state), .attempt = env->attempt, .sync = env->sync,
			.started_ns = env->ev.started_ns, .deadline_ns = env->ev.started_ns + env->timeout_ms * 1000000LL,
		};
		struct fact_bpf b = {};

		if (e->ports.observe)
			e->ports.observe->ops->read(e->ports.observe, env->cgroup_id, &b);
		if (b.seen) {
			info.seen = true;
			info.cpu_ns = b.env.acct.cpu_ns + b.env.live.cpu_ns;
			info.rss_bytes = b.env.live.rss_bytes;
			info.processes = b.env.procs_forked - b.env.procs_exited;
			info.threads = b.env.live.threads;
		}
		each(arg, &info);
	}
}

void engine_backlogs(const struct engine *e, void (*each)(void *arg, const char *function, int64_t queued), void *arg)
{
	for (size_t i = 0; i < e->fns.cap; i++) {
		const struct fn *fn = e->fns.slots[i].value;

		if (fn && (fn->n_ready || fn->backlog.on_disk))
			each(arg, fn->name, fn->n_ready + fn->backlog.on_disk);
	}
}

/* ---- the law of conservation -------------------------------------------------------------------------------- */

static void audit_events(struct engine *e, struct engine_law *law)
{
	law->accepted = e->open_at_start + e->stats.accepted;
	law->settled = e->stats.succeeded;
	law->dead_lettered = e->stats.failed;
	law->lost = e->stats.lost;
	law->queued = e->on_disk;
	for (size_t i = 0; i < e->by_request.cap; i++) {
		const struct inv *inv = e->by_request.slots[i].value;

		if (!inv)
			continue;
		law->queued += inv->row.state == INV_QUEUED || inv->row.state == INV_WAITING;
		law->running += inv->row.state == INV_RUNNING;
	}
	law->events_hold = law->accepted == law->queued + law->running + law->settled + law->dead_lettered + law->lost;
}

static int64_t magnitude(int64_t n)
{
	return n < 0 ? -n : n;
}

/*
 * Between a process's end and the hook that counts it lie a few instructions: what is a drift must be one in two conclusive
 * walks in a row, and then it is the smaller of the two. Starts and exits that the kernel did not show since the books last
 * balanced explain as much; from what they explain the next drift is counted.
 */
static void audit_processes(struct engine *e, struct engine_law *law)
{
	struct observe_books books = {};
	int64_t drift, before = e->drift_seen;

	law->drift = e->law.drift;
	law->processes_hold = e->law.processes_hold;
	law->observed = e->ports.observe->ops->walk(e->ports.observe, &books, NULL) == 0;
	if (!law->observed)
		return;
	law->starts = (int64_t)books.starts;
	law->exits = (int64_t)books.exits;
	law->alive = (int64_t)books.alive;
	law->missed = (int64_t)(books.missed - e->missed_at_balance);
	if (!books.settled)
		return;
	drift = law->starts - law->exits - law->alive - e->drift_at_balance;
	if (magnitude(drift) <= law->missed || !e->balanced) {
		e->drift_at_balance += drift;
		e->missed_at_balance = books.missed;
		e->balanced = true;
		drift = 0;
	}
	e->drift_seen = drift;
	law->drift = (drift < 0) != (before < 0) ? 0 : magnitude(drift) < magnitude(before) ? drift : before;
	law->processes_hold = !law->drift;
}

void engine_audit(struct engine *e)
{
	struct engine_law law = { .processes_hold = true };

	audit_events(e, &law);
	if (e->ports.observe)
		audit_processes(e, &law);
	e->law = law;
}

void engine_law(const struct engine *e, struct engine_law *ret)
{
	*ret = e->law;
}

void engine_drain(struct engine *e)
{
	e->draining = true;
}

static void stop_one(struct engine *e, struct env *env)
{
	if (e->ports.observe && env->inv)
		e->ports.observe->ops->mark_reaped(e->ports.observe, env->cgroup_id);
	(void)e->ports.launch->ops->kill(e->ports.launch, env->proc, NULL);
}

void engine_stop(struct engine *e)
{
	e->draining = e->stopping = true;
	map_for_each(&e->envs, i, v) {
		struct env *env = v;

		if (env_interrupt(&env->row, &env->ev, now_mono(e)) & ENV_FX_KILL)
			stop_one(e, env);
		sched_set(&e->mono, &env->timer, env_next_timer_ns(&env->row));
	}
}

bool engine_quiet(const struct engine *e)
{
	return !e->envs.len && !e->flying && !e->filling->store.n && !e->n_inbox && !e->deliveries_under_way && !e->loading;
}

bool engine_leave(struct engine *e)
{
	bool sync = false;

	assert(e->draining);
	e->leaving = true;
	map_for_each(&e->envs, i, v) {
		struct env *env = v;

		if (!env->sync)
			continue;
		sync = true;	/* its caller goes with us: nobody would get the answer */
		if (env_interrupt(&env->row, &env->ev, now_mono(e)) & ENV_FX_KILL)
			stop_one(e, env);
		sched_set(&e->mono, &env->timer, env_next_timer_ns(&env->row));
	}
	return !sync && !e->flying && !e->filling->store.n && !e->filling->n_after && !e->n_inbox && !e->deliveries_under_way &&
	       !e->loading;
}

void engine_functions_changed(struct engine *e)
{
	dispatch_limits(e);	/* everybody with work gets another look */
}

static void batch_free(struct engine *e, struct turn_batch *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->n_after; i++) {
		free(t->after[i].waiter);
		func_unref(t->after[i].func);
		alias_unref(t->after[i].alias);
		alias_unref(t->after[i].gone);
		if (t->after[i].proc)	/* its outcome may not be durable: for the next start */
			e->ports.launch->ops->abandon(e->ports.launch, t->after[i].proc);
	}
	store_batch_done(&t->store);
	free(t->after);
	free(t);
}

struct engine *engine_free(struct engine *e)
{
	struct strmap open;

	if (!e)
		return NULL;
	/* The store was closed before us: nobody will call back about `flying`, which is ours to free. */
	map_for_each(&e->envs, i, v) {
		struct env *env = v;	/* its process may live on: that is for the next start to reap */

		if (env->inv)
			env->inv->env = NULL;
		if (env->inv && env->sync)
			inv_free(e, env->inv);
		if (e->ports.launch && env->proc)
			e->ports.launch->ops->abandon(e->ports.launch, env->proc);
		env_free(env);
	}
	open = e->by_request;		/* taken out first: inv_free would look each one up, and the map move under the walk */
	e->by_request = (struct strmap){};
	for (size_t i = 0; i < open.cap; i++)
		inv_free(e, open.slots[i].value);
	strmap_done(&open);
	for (size_t i = 0; i < e->n_inbox; i++) {
		struct msg *m = &e->inbox[i];

		if (m->kind == MSG_INVOKE) {
			inv_free(e, m->invoke.inv);
			free(m->invoke.redrive);
		} else if (m->kind == MSG_WAIT || m->kind == MSG_CANCEL || m->kind == MSG_RETRY) {
			free(m->wait.w);
		} else if (m->kind == MSG_WISH) {
			wish_free(m->wish);
		}
	}
	list_for_each_safe(pos, tmp, &e->loads) {
		struct load *l = list_entry(pos, struct load, link);

		free(l->w);
		wish_free(l->wish);
		free(l);
	}
	free(e->inbox);
	free(e->spare_inbox);
	map_for_each(&e->deliveries, i, v)
		delivery_free(v);
	for (size_t i = 0; i < e->fns.cap; i++)
		free(e->fns.slots[i].value);
	for (size_t i = 0; i < e->targets.cap; i++)
		free(e->targets.slots[i].value);
	strmap_done(&e->targets);
	map_done(&e->left);
	map_done(&e->left_deliveries);
	batch_free(e, e->filling);
	batch_free(e, e->flying);
	strmap_done(&e->by_request);
	strmap_done(&e->fns);
	map_done(&e->callers);
	map_done(&e->waits);
	map_done(&e->envs);
	map_done(&e->deliveries);
	sched_done(&e->events);
	sched_done(&e->outbox);
	sched_done(&e->probes);
	sched_done(&e->mono);
	registry_free(e->registry);
	free(e);
	return NULL;
}
