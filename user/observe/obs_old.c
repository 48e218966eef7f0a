/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Another version's entries. Its maps carry BTF, so members are found by name, whatever their order and size were: a
 * member we know and it had is taken, one it had not is zero ("cannot be known"), one we do not know is left. Its programs
 * go on writing to its maps until the last entry is settled; the daemon kills what runs in those environments before it
 * judges them, as it does with its own left-overs.
 *
 * Members of a structure that is a member are taken by name as well. Numbers may have grown or shrunk: they
 * are little-endian on every machine this runs on, so the common bytes are the value.
 */
#include "observe/obs_old.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>

#include "base/log.h"
#include "base/mem.h"
#include "observe/obs_decode.h"
#include "observe/obs_pin.h"

#define ENTRIES_MAX 1048576	/* the setting's own bound */

struct old_map { int fd; struct bpf_map_info info; struct btf *btf; };
struct generation {
	char *dir;
	struct old_map env, watch;
	struct fate_env_key *keys;
	size_t n;
};
struct obs_old { struct generation *list; size_t n; };

struct member_row { const char *name; size_t at, size; };
#define MEMBER(s, m) { #m, offsetof(struct s, m), sizeof(((struct s *)NULL)->m) }

static const struct member_row sender_members[] = {
	MEMBER(fate_sender, pid), MEMBER(fate_sender, uid), MEMBER(fate_sender, sig), MEMBER(fate_sender, si_code),
	MEMBER(fate_sender, flags), MEMBER(fate_sender, cgroup_id), MEMBER(fate_sender, at_ns), MEMBER(fate_sender, comm),
};
static const struct member_row acct_members[] = {
	MEMBER(fate_acct, cpu_ns), MEMBER(fate_acct, wait_ns), MEMBER(fate_acct, life_ns), MEMBER(fate_acct, minor_faults),
	MEMBER(fate_acct, major_faults), MEMBER(fate_acct, voluntary_switches), MEMBER(fate_acct, involuntary_switches),
	MEMBER(fate_acct, read_bytes), MEMBER(fate_acct, written_bytes), MEMBER(fate_acct, read_storage),
	MEMBER(fate_acct, written_storage), MEMBER(fate_acct, peak_rss), MEMBER(fate_acct, threads), MEMBER(fate_acct, known),
};
static const struct member_row env_members[] = {
	MEMBER(fate_env, function), MEMBER(fate_env, request_id), MEMBER(fate_env, attempt), MEMBER(fate_env, flags),
	MEMBER(fate_env, timeout_ns), MEMBER(fate_env, fork_ns), MEMBER(fate_env, exec_ns), MEMBER(fate_env, deadline_ns),
	MEMBER(fate_env, deadline_hit_ns), MEMBER(fate_env, exit_ns), MEMBER(fate_env, empty_ns), MEMBER(fate_env, leader_tgid),
	MEMBER(fate_env, exit_code), MEMBER(fate_env, procs_forked), MEMBER(fate_env, procs_exited), MEMBER(fate_env, execs),
	MEMBER(fate_env, oom_kills), MEMBER(fate_env, oom_scope), MEMBER(fate_env, oom_victim_tgid), MEMBER(fate_env, oom_ns),
	MEMBER(fate_env, oom_limit_cgroup_id), MEMBER(fate_env, oom_victim_comm), MEMBER(fate_env, oom_limit_bytes),
	MEMBER(fate_env, rss_floor),
};
static const struct member_row watch_members[] = { MEMBER(fate_watch, start_ns), MEMBER(fate_watch, reaped_ns) };

static const struct btf_member *find_member(const struct btf *btf, const struct btf_type *t, const char *name)
{
	const struct btf_member *m = btf_members(t);

	for (int i = 0; i < btf_vlen(t); i++, m++)
		if (strcmp(btf__name_by_offset(btf, m->name_off), name) == 0)
			return m;
	return NULL;
}

/* from: size bytes of type t. */
static void copy_members(const struct btf *btf, const struct btf_type *t, const char *from, size_t size,
			 const struct member_row *rows, size_t n, void *to)
{
	for (size_t i = 0; i < n; i++) {
		const struct btf_member *m = find_member(btf, t, rows[i].name);
		__s64 have = m ? btf__resolve_size(btf, m->type) : -1;
		size_t at = m ? m->offset / 8 : 0;

		if (have > 0 && at + (size_t)have <= size)
			memcpy((char *)to + rows[i].at, from + at, MIN((size_t)have, rows[i].size));
	}
}

static const struct btf_type *value_type(const struct old_map *m)
{
	int id = btf__resolve_type(m->btf, m->info.btf_value_type_id);

	return id < 0 ? NULL : btf__type_by_id(m->btf, (__u32)id);
}

static void take_struct(const struct old_map *m, const struct btf_type *t, const char *value, const char *name,
			const struct member_row *rows, size_t n, void *ret)
{
	const struct btf_member *s = find_member(m->btf, t, name);
	const struct btf_type *st;
	int id = s ? btf__resolve_type(m->btf, s->type) : -1;

	st = id < 0 ? NULL : btf__type_by_id(m->btf, (__u32)id);
	if (st && btf_is_struct(st) && s->offset / 8 + st->size <= m->info.value_size)
		copy_members(m->btf, st, value + s->offset / 8, st->size, rows, n, ret);
}

/* ret_env: NULL if the value is not an environment's. */
static bool take_value(const struct old_map *m, const void *key, const struct member_row *rows, size_t n, void *ret,
		       struct fate_env *ret_env)
{
	CLEAN(freep) char *value = xcalloc(1, m->info.value_size);
	const struct btf_type *t = value_type(m);

	if (!t || bpf_map_lookup_elem(m->fd, key, value) < 0)
		return false;
	copy_members(m->btf, t, value, m->info.value_size, rows, n, ret);
	if (ret_env) {
		take_struct(m, t, value, "sender", sender_members, ARRAY_SIZE(sender_members), &ret_env->sender);
		take_struct(m, t, value, "acct", acct_members, ARRAY_SIZE(acct_members), &ret_env->acct);
	}
	return true;
}

static bool read_old(const struct generation *g, const struct fate_env_key *key, struct fact_bpf *ret)
{
	struct fate_watch watch = {};

	*ret = (struct fact_bpf){};
	if (!take_value(&g->env, key, env_members, ARRAY_SIZE(env_members), &ret->env, &ret->env))
		return false;
	obs_entry_clean(&ret->env);
	ret->seen = true;
	if (take_value(&g->watch, &key->cgroup_id, watch_members, ARRAY_SIZE(watch_members), &watch, NULL))
		ret->reaped = watch.start_ns == key->start_ns && watch.reaped_ns;
	return true;
}

/* ---- opening ------------------------------------------------------------------------------------------------ */

static bool open_map(const char *dir, const char *name, size_t key_size, struct old_map *ret)
{
	char path[4096];
	__u32 len = sizeof(ret->info);

	if (obs_pin_path(dir, NULL, name, path, sizeof(path)) < 0)
		return false;
	ret->fd = bpf_obj_get(path);
	if (ret->fd < 0 || bpf_obj_get_info_by_fd(ret->fd, &ret->info, &len) < 0 || ret->info.key_size != key_size ||
	    !ret->info.btf_id)
		return false;
	ret->btf = btf__load_from_kernel_by_id(ret->info.btf_id);
	return ret->btf && value_type(ret) && btf_is_struct(value_type(ret));
}

static void close_map(struct old_map *m)
{
	btf__free(m->btf);
	closep(&m->fd);
}

static void generation_done(struct generation *g)
{
	close_map(&g->env);
	close_map(&g->watch);
	free(g->dir);
	free(g->keys);
}

/* Entries that the watch map names: the others' daemon died inside watch() or forget(). */
static void list_keys(struct generation *g)
{
	size_t max = MIN(g->env.info.max_entries, (__u32)ENTRIES_MAX);
	struct fate_env_key key, *at = NULL;

	g->keys = xcalloc(max, sizeof(*g->keys));
	for (size_t seen = 0; seen < max && bpf_map_get_next_key(g->env.fd, at, &key) == 0; seen++) {
		struct fate_watch watch = {};

		if (take_value(&g->watch, &key.cgroup_id, watch_members, ARRAY_SIZE(watch_members), &watch, NULL) &&
		    watch.start_ns == key.start_ns)
			g->keys[g->n++] = key;
		at = &key;
	}
}

static void remove_generation(const char *dir)
{
	obs_pin_remove(dir);
}

static void open_one(void *arg, const char *path)
{
	struct obs_old *o = arg;
	struct generation g = { .dir = xstrdup(path), .env.fd = -EBADF, .watch.fd = -EBADF };

	if (open_map(path, "fate_env", sizeof(struct fate_env_key), &g.env) &&
	    open_map(path, "fate_watch", sizeof(uint64_t), &g.watch)) {
		list_keys(&g);
	} else {
		log_warn("observer: pins of another version in %s cannot be read and are removed", path);
		remove_generation(path);
		generation_done(&g);
		return;
	}
	o->list = xrealloc(o->list, (o->n + 1) * sizeof(*o->list));
	o->list[o->n++] = g;
}

struct obs_old *obs_old_open(const char *dir)
{
	struct obs_old *o = XNEW(struct obs_old);

	obs_pin_each_old(dir, open_one, o);
	return o->n ? o : obs_old_free(o);
}

struct obs_old *obs_old_free(struct obs_old *o)
{
	if (!o)
		return NULL;
	for (size_t i = 0; i < o->n; i++)
		generation_done(&o->list[i]);
	free(o->list);
	free(o);
	return NULL;
}

struct obs_old *obs_old_done(struct obs_old *o)
{
	for (size_t i = 0; o && i < o->n; i++)
		if (o->list[i].n)
			return o;
	for (size_t i = 0; o && i < o->n; i++)
		remove_generation(o->list[i].dir);
	return obs_old_free(o);
}

/* ---- use ---------------------------------------------------------------------------------------------------- */

static struct fate_env_key *find(struct obs_old *o, uint64_t cgroup_id, struct generation **ret)
{
	for (size_t i = 0; o && i < o->n; i++)
		for (size_t k = 0; k < o->list[i].n; k++)
			if (o->list[i].keys[k].cgroup_id == cgroup_id) {
				*ret = &o->list[i];
				return &o->list[i].keys[k];
			}
	return NULL;
}

void obs_old_scan(struct obs_old *o, void (*entry)(void *arg, uint64_t cgroup_id, const struct fact_bpf *b), void *arg)
{
	for (size_t i = 0; i < o->n; i++)
		for (size_t k = 0; k < o->list[i].n; k++) {
			struct fact_bpf b;

			if (read_old(&o->list[i], &o->list[i].keys[k], &b))
				entry(arg, o->list[i].keys[k].cgroup_id, &b);
		}
}

bool obs_old_read(struct obs_old *o, uint64_t cgroup_id, struct fact_bpf *ret)
{
	struct generation *g;
	const struct fate_env_key *key = find(o, cgroup_id, &g);

	return key && read_old(g, key, ret);
}

/* Written in place: the other version's layout of the value is found as when it is read. */
bool obs_old_mark_reaped(struct obs_old *o, uint64_t cgroup_id, uint64_t now_ns)
{
	struct generation *g;
	const struct fate_env_key *key = find(o, cgroup_id, &g);
	CLEAN(freep) char *value = NULL;
	const struct btf_member *m;

	if (!key)
		return false;
	value = xcalloc(1, g->watch.info.value_size);
	m = find_member(g->watch.btf, value_type(&g->watch), "reaped_ns");
	if (m && m->offset / 8 + sizeof(now_ns) <= g->watch.info.value_size &&
	    bpf_map_lookup_elem(g->watch.fd, &cgroup_id, value) == 0) {
		memcpy(value + m->offset / 8, &now_ns, sizeof(now_ns));
		(void)bpf_map_update_elem(g->watch.fd, &cgroup_id, value, BPF_EXIST);
	}
	return true;
}

bool obs_old_forget(struct obs_old *o, uint64_t cgroup_id)
{
	struct generation *g;
	struct fate_env_key *key = find(o, cgroup_id, &g);

	if (!key)
		return false;
	(void)bpf_map_delete_elem(g->watch.fd, &cgroup_id);
	(void)bpf_map_delete_elem(g->env.fd, key);
	*key = g->keys[--g->n];
	return true;
}
