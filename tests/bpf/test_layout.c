/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The structs both halves share: what the BPF compiler made of them (the object's BTF) against what this compiler
 * makes of them, member by member and in both directions. And: the object is what bpftool will show.
 */
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "base/mem.h"
#include "fate.skel.h"
#include "fate_event.h"
#include "lib/test.h"

struct member { const char *name; size_t offset, size; };
#define M(type, m) { #m, offsetof(struct type, m), sizeof(((struct type *)0)->m) }
struct layout { const char *name; size_t size; struct member members[32]; };

static const struct layout layouts[] = {
	{ "fate_ev_hdr", sizeof(struct fate_ev_hdr), {
		M(fate_ev_hdr, kind), M(fate_ev_hdr, size), M(fate_ev_hdr, flags), M(fate_ev_hdr, at_ns), M(fate_ev_hdr, cgroup_id),
		M(fate_ev_hdr, start_ns), M(fate_ev_hdr, tgid), M(fate_ev_hdr, pad) } },
	{ "fate_sender", sizeof(struct fate_sender), {
		M(fate_sender, pid), M(fate_sender, uid), M(fate_sender, sig), M(fate_sender, si_code), M(fate_sender, flags),
		M(fate_sender, pad), M(fate_sender, cgroup_id), M(fate_sender, at_ns), M(fate_sender, comm) } },
	{ "fate_ev_exec", sizeof(struct fate_ev_exec), { M(fate_ev_exec, h), M(fate_ev_exec, comm) } },
	{ "fate_ev_exit", sizeof(struct fate_ev_exit), {
		M(fate_ev_exit, h), M(fate_ev_exit, exit_code), M(fate_ev_exit, pad), M(fate_ev_exit, comm) } },
	{ "fate_ev_signal", sizeof(struct fate_ev_signal), { M(fate_ev_signal, h), M(fate_ev_signal, sender) } },
	{ "fate_ev_oom", sizeof(struct fate_ev_oom), {
		M(fate_ev_oom, h), M(fate_ev_oom, scope), M(fate_ev_oom, pad), M(fate_ev_oom, limit_cgroup_id),
		M(fate_ev_oom, limit_bytes), M(fate_ev_oom, comm) } },
	{ "fate_ev_deadline", sizeof(struct fate_ev_deadline), { M(fate_ev_deadline, h) } },
	{ "fate_ev_fork", sizeof(struct fate_ev_fork), { M(fate_ev_fork, h) } },
	{ "fate_watch", sizeof(struct fate_watch), { M(fate_watch, start_ns), M(fate_watch, reaped_ns) } },
	{ "fate_env_key", sizeof(struct fate_env_key), { M(fate_env_key, cgroup_id), M(fate_env_key, start_ns) } },
	{ "fate_env", sizeof(struct fate_env), {
		M(fate_env, timer), M(fate_env, function), M(fate_env, request_id), M(fate_env, attempt), M(fate_env, flags),
		M(fate_env, timeout_ns), M(fate_env, fork_ns), M(fate_env, exec_ns), M(fate_env, deadline_ns),
		M(fate_env, deadline_hit_ns), M(fate_env, exit_ns), M(fate_env, empty_ns), M(fate_env, leader_tgid),
		M(fate_env, exit_code), M(fate_env, procs_forked), M(fate_env, procs_exited), M(fate_env, execs),
		M(fate_env, oom_kills), M(fate_env, oom_scope), M(fate_env, oom_victim_tgid), M(fate_env, oom_ns),
		M(fate_env, oom_limit_cgroup_id), M(fate_env, oom_victim_comm), M(fate_env, sender),
		M(fate_env, oom_limit_bytes), M(fate_env, rss_floor), M(fate_env, acct), M(fate_env, live) } },
	{ "fate_acct", sizeof(struct fate_acct), {
		M(fate_acct, cpu_ns), M(fate_acct, wait_ns), M(fate_acct, life_ns), M(fate_acct, minor_faults),
		M(fate_acct, major_faults),
		M(fate_acct, voluntary_switches), M(fate_acct, involuntary_switches), M(fate_acct, read_bytes),
		M(fate_acct, written_bytes), M(fate_acct, read_storage), M(fate_acct, written_storage), M(fate_acct, peak_rss),
		M(fate_acct, threads), M(fate_acct, known) } },
	{ "fate_live", sizeof(struct fate_live), {
		M(fate_live, session), M(fate_live, at_ns), M(fate_live, cpu_ns), M(fate_live, rss_bytes), M(fate_live, procs),
		M(fate_live, threads) } },
	{ "fate_count", sizeof(struct fate_count), { M(fate_count, seen), M(fate_count, dropped) } },
	{ "fate_meta", sizeof(struct fate_meta), {
		M(fate_meta, layout_version), M(fate_meta, pad), M(fate_meta, root_cgroup_id) } },
};

static struct fate_bpf *skel;

/* Members of no size (around the timer) are the kernel half's own affair. */
static void compare(const struct btf *btf, const struct layout *l)
{
	int id = btf__find_by_name_kind(btf, l->name, BTF_KIND_STRUCT);
	const struct btf_type *t;
	size_t n = 0, want = 0;

	if (id < 0)
		FAIL("struct %s is not in the object's BTF", l->name);
	t = btf__type_by_id(btf, (__u32)id);
	if (t->size != l->size)
		FAIL("struct %s has %u bytes in BPF, %zu here", l->name, t->size, l->size);
	while (l->members[want].name)
		want++;
	for (__u32 i = 0; i < btf_vlen(t); i++) {
		const struct btf_member *m = &btf_members(t)[i];
		const char *name = btf__name_by_offset(btf, m->name_off);
		size_t size = (size_t)btf__resolve_size(btf, m->type), offset = btf_member_bit_offset(t, i) / 8;

		if (size == 0)
			continue;
		if (n == want)
			FAIL("struct %s: %s is not known here", l->name, name);
		if (strcmp(name, l->members[n].name) != 0 || offset != l->members[n].offset || size != l->members[n].size)
			FAIL("struct %s: %s at %zu, %zu bytes in BPF; %s at %zu, %zu bytes here", l->name, name, offset, size,
			     l->members[n].name, l->members[n].offset, l->members[n].size);
		n++;
	}
	CHECK_INT(n, want);
}

static void structs_are_the_same_in_both_halves(void)
{
	const struct btf *btf = bpf_object__btf(skel->obj);

	CHECK(btf);
	for (size_t i = 0; i < ARRAY_SIZE(layouts); i++)
		compare(btf, &layouts[i]);
}

/* The list above may not forget a record: every struct fate_ev_* of the object is in it. */
static void no_record_is_forgotten(void)
{
	const struct btf *btf = bpf_object__btf(skel->obj);
	size_t n = 0;

	for (__u32 id = 1; id < btf__type_cnt(btf); id++) {
		const struct btf_type *t = btf__type_by_id(btf, id);
		const char *name = btf__name_by_offset(btf, t->name_off);
		bool known = false;

		if (!btf_is_struct(t) || strncmp(name, "fate_ev_", 8) != 0)
			continue;
		for (size_t i = 0; i < ARRAY_SIZE(layouts); i++)
			known |= strcmp(layouts[i].name, name) == 0;
		if (!known)
			FAIL("struct %s is not compared", name);
		n++;
	}
	CHECK_INT(n, FATE_EV_KIND_MAX - 1 + 1);	/* each kind, and the header */
}

static void the_timer_is_first_and_the_kernels(void)
{
	const struct btf *btf = bpf_object__btf(skel->obj);
	const struct btf_type *t = btf__type_by_id(btf, (__u32)btf__find_by_name_kind(btf, "fate_env", BTF_KIND_STRUCT));

	for (__u32 i = 0; i < btf_vlen(t); i++)
		if (strcmp(btf__name_by_offset(btf, btf_members(t)[i].name_off), "timer") == 0) {
			const struct btf_type *m = btf__type_by_id(btf, btf_members(t)[i].type);

			CHECK_INT(btf_member_bit_offset(t, i), 0);
			CHECK(btf_is_struct(m));
			CHECK_STR(btf__name_by_offset(btf, m->name_off), "bpf_timer");
			return;
		}
	FAIL("no member timer");
}

static void maps_are_as_the_contract_says(void)
{
	static const struct { const char *name; enum bpf_map_type type; size_t key, value; } want[] = {
		{ "fate_watch", BPF_MAP_TYPE_HASH, 8, sizeof(struct fate_watch) },
		{ "fate_env", BPF_MAP_TYPE_HASH, sizeof(struct fate_env_key), sizeof(struct fate_env) },
		{ "fate_ring", BPF_MAP_TYPE_RINGBUF, 0, 0 },
		{ "fate_count", BPF_MAP_TYPE_PERCPU_ARRAY, 4, sizeof(struct fate_count) },
		{ "fate_meta", BPF_MAP_TYPE_ARRAY, 4, sizeof(struct fate_meta) },
	};

	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		const struct bpf_map *m = bpf_object__find_map_by_name(skel->obj, want[i].name);

		CHECK(m);
		CHECK_INT(bpf_map__type(m), want[i].type);
		CHECK_INT(bpf_map__key_size(m), want[i].key);
		CHECK_INT(bpf_map__value_size(m), want[i].value);
	}
	CHECK_INT(bpf_map__max_entries(skel->maps.fate_count), FATE_EV_KIND_MAX);
}

/* The kernel cuts names at 15 characters; cut names are hard to tell apart in bpftool's lists. */
static void names_fit(void)
{
	struct bpf_program *p;
	struct bpf_map *m;

	bpf_object__for_each_program(p, skel->obj) {
		CHECK(strncmp(bpf_program__name(p), "fate_", 5) == 0);
		CHECK(strlen(bpf_program__name(p)) < BPF_OBJ_NAME_LEN);
	}
	bpf_object__for_each_map(m, skel->obj)
		CHECK(strlen(bpf_map__name(m)) < BPF_OBJ_NAME_LEN);
}

int main(void)
{
	skel = fate_bpf__open();
	if (!skel) {
		printf("not ok open - the object cannot be read\n");
		return 1;
	}
	RUN(structs_are_the_same_in_both_halves);
	RUN(no_record_is_forgotten);
	RUN(the_timer_is_first_and_the_kernels);
	RUN(maps_are_as_the_contract_says);
	RUN(names_fit);
	fate_bpf__destroy(skel);
	TEST_END();
}
