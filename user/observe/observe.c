/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The observer: three map operations make an environment watched, one reads it, three forget it; the ring is read on
 * the loop and becomes facts.
 *
 * The entry is the truth. A fact says "look now", so a record that is lost, late or doubled changes nothing but when
 * the engine looks. Records are matched with what we watch by cgroup id and start: those of an environment that has
 * been forgotten meanwhile are counted as stale and go no further.
 *
 * Order in watch(): entry, senders, then fate_watch, because from fate_watch on the kernel half writes. forget() goes
 * the other way. A value in fate_env is never updated from here once it is watched: the update would replace it, and
 * its timer and counts with it.
 */
#include "observe/observe.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "fate_event.h"
#include "observe/obs_decode.h"
#include "observe/obs_load.h"
#include "observe/obs_old.h"
#include "observe/obs_pin.h"
#include "fate_abi.h"

#define RECORDS_PER_TURN 4096	/* then other sources get their turn; the fd stays readable */

struct obs_env { uint64_t start_ns, missed; };	/* missed: runs of our programs, when the watch began */

struct observe {
	struct port_observe port;	/* first: observe_of() */
	struct obs_load *load;
	struct fact_sink sink;
	struct ring_buffer *ring;
	sd_event_source *source;
	struct map envs;		/* cgroup id → struct obs_env, owned */
	struct obs_old *old;		/* environments of a daemon of another layout; NULL = none */
	uint64_t last_start_ns;
	void *no_senders;		/* a zeroed value of fate_senders */
	unsigned int budget;
	uint64_t events[FATE_EV_KIND_MAX];
	uint64_t stale, malformed, unknown;
};

static struct observe *observe_of(struct port_observe *p)
{
	return container_of(p, struct observe, port);
}

/* ---- port --------------------------------------------------------------------------------------------------- */

static struct fate_env_key key_of(const struct observe *o, uint64_t cgroup_id)
{
	const struct obs_env *env = map_get(&o->envs, cgroup_id);

	return (struct fate_env_key){ .cgroup_id = cgroup_id, .start_ns = env ? env->start_ns : 0 };
}

static void remember(struct observe *o, uint64_t cgroup_id, uint64_t start_ns)
{
	struct obs_env *env = XNEW(struct obs_env);

	env->start_ns = start_ns;
	env->missed = obs_load_missed(o->load);
	free(map_put(&o->envs, cgroup_id, env));
}

static void delete_entry(struct observe *o, const struct fate_env_key *key)
{
	(void)bpf_map_delete_elem(o->load->senders_fd, key);
	(void)bpf_map_delete_elem(o->load->env_fd, key);	/* cancels the timer */
}

static void obs_forget(struct port_observe *p, uint64_t cgroup_id)
{
	struct observe *o = observe_of(p);
	struct fate_env_key key = key_of(o, cgroup_id);

	if (obs_old_forget(o->old, cgroup_id)) {
		o->old = obs_old_done(o->old);
		return;
	}
	if (!key.start_ns)
		return;
	(void)bpf_map_delete_elem(o->load->watch_fd, &cgroup_id);
	delete_entry(o, &key);
	free(map_del(&o->envs, cgroup_id));
}

static int obs_watch(struct port_observe *p, const struct observe_spec *spec, struct err *e)
{
	struct observe *o = observe_of(p);
	struct fate_env env = {};
	struct fate_env_key key = { .cgroup_id = spec->cgroup_id };
	struct fate_watch watch = {};
	int r;

	assert(spec->cgroup_id); assert(spec->timeout_ns >= 0);
	obs_forget(p, spec->cgroup_id);
	/* Strictly rising, so that a leaf that is watched twice has two keys. */
	o->last_start_ns = MAX((uint64_t)clock_mono_ns(), o->last_start_ns + 1);
	key.start_ns = watch.start_ns = o->last_start_ns;
	snprintf(env.function, sizeof(env.function), "%s", spec->function ? spec->function : "");
	snprintf(env.request_id, sizeof(env.request_id), "%s", spec->request_id ? spec->request_id : "");
	env.attempt = (uint32_t)spec->attempt;
	env.timeout_ns = (uint64_t)spec->timeout_ns;

	r = bpf_map_update_elem(o->load->env_fd, &key, &env, BPF_NOEXIST);
	if (r == 0)
		r = bpf_map_update_elem(o->load->senders_fd, &key, o->no_senders, BPF_NOEXIST);
	if (r == 0)
		r = bpf_map_update_elem(o->load->watch_fd, &spec->cgroup_id, &watch, BPF_ANY);
	if (r < 0) {
		delete_entry(o, &key);
		if (r == -E2BIG)
			return err_set(e, r, "watch cgroup %" PRIu64 ": all %u places are taken", spec->cgroup_id,
				       o->load->max_environments);
		return err_errno(e, r, "watch cgroup %" PRIu64, spec->cgroup_id);
	}
	remember(o, spec->cgroup_id, key.start_ns);
	return 0;
}

static bool read_entry(const struct observe *o, const struct fate_env_key *key, struct fact_bpf *ret)
{
	*ret = (struct fact_bpf){};
	if (bpf_map_lookup_elem(o->load->env_fd, key, &ret->env) < 0) {
		ret->env = (struct fate_env){};
		return false;
	}
	obs_entry_clean(&ret->env);
	ret->seen = true;
	return true;
}

/* Only the kernel's own count tells of a thread's end that it did not show us. */
static bool missed_some(const struct observe *o, uint64_t cgroup_id)
{
	const struct obs_env *known = map_get(&o->envs, cgroup_id);

	return known && obs_load_missed(o->load) != known->missed;
}

static void obs_read(struct port_observe *p, uint64_t cgroup_id, struct fact_bpf *ret)
{
	struct observe *o = observe_of(p);
	struct fate_env_key key = key_of(o, cgroup_id);

	*ret = (struct fact_bpf){};
	if (!key.start_ns) {
		if (o->old)
			(void)obs_old_read(o->old, cgroup_id, ret);
	} else if (read_entry(o, &key, ret) && ret->env.flags & FATE_ENV_LEADER_EXITED) {
		ret->incomplete = missed_some(o, cgroup_id);
	}
}

/* All keys at once, because the caller may forget entries while it is told of them. */
static struct fate_env_key *all_keys(const struct observe *o, size_t *ret_n)
{
	struct fate_env_key *keys = xcalloc(o->load->max_environments, sizeof(*keys));
	size_t n = 0;

	while (n < o->load->max_environments &&
	       bpf_map_get_next_key(o->load->env_fd, n ? &keys[n - 1] : NULL, &keys[n]) == 0)
		n++;
	*ret_n = n;
	return keys;
}

static int obs_scan(struct port_observe *p, void (*entry)(void *arg, uint64_t cgroup_id, const struct fact_bpf *b), void *arg,
		    struct err *e)
{
	struct observe *o = observe_of(p);
	size_t n;
	CLEAN(freep) struct fate_env_key *keys = all_keys(o, &n);

	for (size_t i = 0; i < n; i++) {
		struct fate_watch watch;
		struct fact_bpf b;

		if (map_get(&o->envs, keys[i].cgroup_id))
			continue;	/* watched by us since */
		/* An entry that fate_watch does not name: its daemon died inside watch() or forget(), nothing ran in it
		 * or all is known. */
		if (bpf_map_lookup_elem(o->load->watch_fd, &keys[i].cgroup_id, &watch) < 0 ||
		    watch.start_ns != keys[i].start_ns) {
			delete_entry(o, &keys[i]);
			continue;
		}
		if (!read_entry(o, &keys[i], &b))
			continue;
		b.reaped = watch.reaped_ns != 0;
		remember(o, keys[i].cgroup_id, keys[i].start_ns);
		o->last_start_ns = MAX(o->last_start_ns, keys[i].start_ns);
		entry(arg, keys[i].cgroup_id, &b);
	}
	/* A daemon of another layout knew of all it started, too. */
	if (o->old) {
		obs_old_scan(o->old, entry, arg);
		o->old = obs_old_done(o->old);
		return 1;
	}
	return o->load->taken_over;
}

static void obs_mark_reaped(struct port_observe *p, uint64_t cgroup_id)
{
	struct observe *o = observe_of(p);
	struct fate_watch watch = { .start_ns = key_of(o, cgroup_id).start_ns, .reaped_ns = (uint64_t)clock_mono_ns() };

	if (watch.start_ns)
		(void)bpf_map_update_elem(o->load->watch_fd, &cgroup_id, &watch, BPF_EXIST);
	else if (o->old)
		(void)obs_old_mark_reaped(o->old, cgroup_id, watch.reaped_ns);
}

/* ---- the living --------------------------------------------------------------------------------------------- */

static void counts(const struct observe *o, uint32_t kind, struct fate_count *ret)
{
	CLEAN(freep) struct fate_count *per_cpu = NULL;
	int cpus = libbpf_num_possible_cpus();

	*ret = (struct fate_count){};
	if (cpus <= 0)
		return;
	per_cpu = xcalloc((size_t)cpus, sizeof(*per_cpu));
	if (bpf_map_lookup_elem(o->load->count_fd, &kind, per_cpu) < 0)
		return;
	for (int i = 0; i < cpus; i++) {
		ret->seen += per_cpu[i].seen;
		ret->dropped += per_cpu[i].dropped;
	}
}

/* Reading is what makes the kernel walk; the lines are for people who read the pinned link. */
static int walk_tasks(const struct observe *o, struct err *e)
{
	CLEAN(closep) int fd = bpf_iter_create(o->load->live_fd);
	char lines[16384];
	ssize_t n;

	if (fd < 0)
		return err_errno(e, fd, "walk over the tasks");
	do
		n = read(fd, lines, sizeof(lines));
	while (n > 0 || (n < 0 && (errno == EINTR || errno == EAGAIN)));
	return n < 0 ? err_errno(e, -errno, "walk over the tasks") : 0;
}

static int obs_walk(struct port_observe *p, struct observe_books *ret, struct err *e)
{
	struct observe *o = observe_of(p);
	struct fate_count starts, exits, again;
	uint64_t from = (uint64_t)clock_mono_ns();
	int r;

	*ret = (struct observe_books){};
	counts(o, FATE_EV_FORK, &starts);
	counts(o, FATE_EV_EXIT, &exits);
	r = walk_tasks(o, e);
	if (r < 0)
		return r;
	map_for_each(&o->envs, i, v) {
		const struct obs_env *env = v;
		struct fate_env_key key = { .cgroup_id = o->envs.slots[i].key, .start_ns = env->start_ns };
		struct fact_bpf b;

		if (read_entry(o, &key, &b) && b.env.live.at_ns >= from)
			ret->alive += b.env.live.procs;
	}
	counts(o, FATE_EV_FORK, &again);
	ret->settled = again.seen == starts.seen;
	counts(o, FATE_EV_EXIT, &again);
	ret->settled = ret->settled && again.seen == exits.seen;
	ret->missed = obs_load_missed(o->load);
	ret->starts = starts.seen;
	ret->exits = exits.seen;
	for (uint32_t kind = FATE_EV_EXEC; kind < FATE_EV_KIND_MAX; kind++) {
		counts(o, kind, &again);
		ret->dropped += again.dropped;
	}
	return 0;
}

static const struct port_observe_ops observe_ops = {
	.version = PORT_OBSERVE_VERSION,
	.watch = obs_watch,
	.read = obs_read,
	.forget = obs_forget,
	.mark_reaped = obs_mark_reaped,
	.walk = obs_walk,
	.scan = obs_scan,
};

struct port_observe *observe_port(struct observe *o)
{
	return &o->port;
}

/* ---- ring --------------------------------------------------------------------------------------------------- */

static void take_record(struct observe *o, const void *data, size_t size)
{
	struct fate_ev_hdr h;
	struct fact facts[OBS_FACTS_MAX];
	int n = obs_decode(data, size, &h, facts);

	if (n < 0) {
		*(n == -EOPNOTSUPP ? &o->unknown : &o->malformed) += 1;
		return;
	}
	o->events[h.kind]++;
	if (!h.start_ns || key_of(o, h.cgroup_id).start_ns != h.start_ns) {
		o->stale++;
		return;
	}
	for (int i = 0; i < n; i++)
		o->sink.fact(o->sink.self, &facts[i]);
}

static int on_record(void *arg, void *data, size_t size)
{
	struct observe *o = arg;

	take_record(o, data, size);
	return --o->budget ? 0 : -EAGAIN;	/* the record counts as read all the same */
}

static int on_ring(sd_event_source *s, int fd, uint32_t revents, void *arg)
{
	struct observe *o = arg;

	o->budget = RECORDS_PER_TURN;
	(void)ring_buffer__consume(o->ring);	/* its only error is our -EAGAIN */
	return 0;
}

static int start_ring(struct observe *o, sd_event *loop, struct err *e)
{
	int r;

	o->ring = ring_buffer__new(o->load->ring_fd, on_record, o, NULL);
	if (!o->ring)
		return err_errno(e, -errno, "map the ring buffer");
	/* The map itself can be polled: libbpf's epoll fd would be one more wake-up on the way. */
	r = sd_event_add_io(loop, &o->source, o->load->ring_fd, EPOLLIN, on_ring, o);
	if (r >= 0)
		r = sd_event_source_set_priority(o->source, OBSERVE_PRIORITY);
	if (r < 0)
		return err_errno(e, r, "put the ring buffer on the loop");
	(void)sd_event_source_set_description(o->source, "observe-ring");
	return 0;
}

/* ---- life, status ------------------------------------------------------------------------------------------- */

int observe_new(sd_event *loop, const struct observe_config *cfg, const struct fact_sink *sink, struct observe **ret,
		struct err *e)
{
	struct observe *o = XNEW(struct observe);
	int r;

	assert(loop); assert(cfg); assert(sink); assert(ret);
	o->port.ops = &observe_ops;
	o->sink = *sink;
	r = obs_load_new(cfg, &o->load, e);
	if (r < 0) {
		observe_free(o, false);
		return err_wrap(e, r, "observer");
	}
	o->no_senders = xcalloc(1, o->load->senders_size);
	o->old = obs_old_open(o->load->dir);
	r = start_ring(o, loop, e);
	if (r < 0) {
		observe_free(o, !o->load->taken_over);
		return err_wrap(e, r, "observer");
	}
	*ret = o;
	return 0;
}

bool observe_remove(const char *bpf_dir)
{
	const char *dir = bpf_dir ? bpf_dir : FATE_DEFAULT_BPF_DIR;
	CLEAN(closep) int fd = -EBADF;

	/* No mount is made for this, and nobody else's pins are touched: the lock is taken. */
	if (!obs_pin_layout(dir) || obs_pin_open(dir, &fd, NULL) < 0)
		return false;
	obs_pin_remove(dir);
	return true;
}

struct observe *observe_free(struct observe *o, bool unpin)
{
	if (!o)
		return NULL;
	(void)sd_event_source_disable_unref(o->source);
	ring_buffer__free(o->ring);
	obs_old_free(o->old);
	obs_load_free(o->load, unpin);
	map_for_each(&o->envs, i, v)
		free(v);
	map_done(&o->envs);
	free(o->no_senders);
	free(o);
	return NULL;
}

int observe_map_fd(const struct observe *o, const char *name)
{
	return obs_load_map_fd(o->load, name);
}

static void add_number(cJSON *into, const char *name, uint64_t n)
{
	cJSON_AddNumberToObject(into, name, (double)n);
}

static void status_features(const struct obs_load *l, cJSON *f)
{
	cJSON_AddBoolToObject(f, "exitGroupDead", l->features.group_dead);
	cJSON_AddStringToObject(f, "oomHook", obs_oom_name(l->features.oom));
	cJSON_AddBoolToObject(f, "oomScope", l->features.oom_scope);
	if (l->features.oom_why[0])
		cJSON_AddStringToObject(f, "oomScopeMissing", l->features.oom_why);
}

void observe_status(const struct observe *o, cJSON *into)
{
	const struct obs_load *l = o->load;
	cJSON *seen, *dropped, *received;
	struct fate_count n;

	cJSON_AddStringToObject(into, "mode", "bpf");
	cJSON_AddStringToObject(into, "pinDirectory", l->dir);
	add_number(into, "layoutVersion", FATE_LAYOUT_VERSION);
	if (l->layout_replaced)
		add_number(into, "layoutReplaced", l->layout_replaced);
	add_number(into, "generation", l->generation);
	cJSON_AddBoolToObject(into, "takenOver", l->taken_over);
	status_features(l, cJSON_AddObjectToObject(into, "features"));
	add_number(into, "entries", o->envs.len);
	add_number(into, "entriesMax", l->max_environments);
	add_number(into, "ringBytes", l->ring_bytes);
	/* Of the kernel half, since its maps were made: what happened, and what of it found no room in the ring. Forks of
	 * others than the leader have no record, so seen is more than dropped and received. */
	seen = cJSON_AddObjectToObject(into, "seen");
	dropped = cJSON_AddObjectToObject(into, "dropped");
	received = cJSON_AddObjectToObject(into, "received");	/* records read by this daemon */
	for (uint32_t kind = 0; kind < FATE_EV_KIND_MAX; kind++) {
		const char *name = obs_kind_name(kind);

		if (!name)
			continue;
		counts(o, kind, &n);
		add_number(seen, name, n.seen);
		add_number(dropped, name, n.dropped);
		add_number(received, name, o->events[kind]);
	}
	counts(o, FATE_EV_INVALID, &n);
	add_number(into, "deadlinesNotArmed", n.dropped);
	add_number(into, "missed", obs_load_missed(l));	/* runs of our programs that the kernel skipped */
	add_number(into, "recordsStale", o->stale);
	add_number(into, "recordsMalformed", o->malformed);
	add_number(into, "recordsUnknown", o->unknown);
}
