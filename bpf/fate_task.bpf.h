/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * CO-RE readers: which environment a task belongs to, how a process ended.
 *
 * Pointers that come from a hook's typed arguments are read directly (a load with an exception entry); what is
 * reached through an address we computed goes through bpf_probe_read_kernel().
 */
#ifndef FATE_TASK_BPF_H
#define FATE_TASK_BPF_H

#define SIGNAL_GROUP_EXIT 0x00000004	/* include/linux/sched/signal.h: group_exit_code is the status */

/* Up to 6.0 a cgroup kept its ancestors' ids, since then pointers to them. */
struct cgroup___ids {
	__u64 ancestor_ids[1];
} __attribute__((preserve_access_index));
struct cgroup___pointers {
	struct cgroup *ancestors[1];
} __attribute__((preserve_access_index));

/* An event's environment. */
struct fate_where {
	struct fate_env_key key;
	struct fate_env *env;
};

/* The id of cg's ancestor (or itself) at the level of leaves; 0 when cg is above that level. */
static __always_inline __u64 fate_leaf_of(struct cgroup *cg)
{
	__u32 level = cg->level;
	__u64 id = 0;

	if (level < fate_level)
		return 0;
	if (level == fate_level)
		return cg->kn->id;
	if (bpf_core_field_exists(struct cgroup___pointers, ancestors)) {
		struct cgroup *up = NULL;

		bpf_probe_read_kernel(&up, sizeof(up), (void *)cg + fate_level * sizeof(up) +
				      bpf_core_field_offset(struct cgroup___pointers, ancestors));
		id = BPF_CORE_READ(up, kn, id);
	} else if (bpf_core_field_exists(struct cgroup___ids, ancestor_ids)) {
		bpf_probe_read_kernel(&id, sizeof(id), (void *)cg + fate_level * sizeof(id) +
				      bpf_core_field_offset(struct cgroup___ids, ancestor_ids));
	}
	return id;
}

/* A task's leaf, in the default hierarchy: on hybrid hosts too, whatever the v1 trees say. */
static __always_inline __u64 fate_task_leaf(struct task_struct *task)
{
	return fate_leaf_of(task->cgroups->dfl_cgrp);
}

/* True when it is this load that counts the event, see fate_marks. Asked once for each event of a watched task. */
static __always_inline bool fate_our_turn(__u32 hook)
{
	__u32 zero = 0, *active = bpf_map_lookup_elem(&fate_active, &zero);
	__u32 *mark = bpf_map_lookup_elem(&fate_marks, &hook);
	bool counted;

	if (!active || !mark)
		return false;
	if (*(volatile __u32 *)active != fate_generation) {
		*mark = 0;
		return false;
	}
	counted = *mark && *mark != fate_generation;
	*mark = counted ? 0 : fate_generation;
	return !counted;
}

/* True when the task is in a watched environment and this load is the one that acts. Foreign tasks: one look-up. */
static __always_inline bool fate_find(struct task_struct *task, __u32 hook, struct fate_where *ret)
{
	__u64 id = fate_task_leaf(task);
	struct fate_watch *watch;

	if (!id)
		return false;
	watch = bpf_map_lookup_elem(&fate_watch, &id);
	if (!watch)
		return false;
	if (!fate_our_turn(hook))
		return false;
	ret->key.cgroup_id = id;
	ret->key.start_ns = watch->start_ns;
	ret->env = bpf_map_lookup_elem(&fate_env, &ret->key);
	return ret->env;
}

/* The status waitid() will give, untouched: wait_task_zombie() decides the same way. */
static __always_inline __s32 fate_exit_code(struct task_struct *task)
{
	struct signal_struct *sig = task->signal;

	return sig->flags & SIGNAL_GROUP_EXIT ? sig->group_exit_code : task->group_leader->exit_code;
}

/* ---- what a thread used --------------------------------------------------------------------------------------- */

/* Up to 6.1 a memory map's counters lay in a struct of their own, since 6.2 they are per-CPU counters. */
struct mm_rss_stat___old {
	atomic_t count[4];
} __attribute__((preserve_access_index));
struct mm_struct___old {
	struct mm_rss_stat___old rss_stat;
} __attribute__((preserve_access_index));
struct percpu_counter___rss {
	__s64 count;
} __attribute__((preserve_access_index));
struct mm_struct___percpu {
	struct percpu_counter___rss rss_stat[4];
} __attribute__((preserve_access_index));

/* Pages resident now: files, anonymous, shared memory. As /proc/PID/statm has it: up to some pages a CPU are not in it. */
static __always_inline __u64 fate_rss_pages(struct mm_struct *mm)
{
	__s64 sum = 0;

	if (bpf_core_field_exists(struct mm_struct___old, rss_stat.count)) {
		struct mm_struct___old *old = (void *)mm;
		__u64 n[4] = {};

		/* atomic_long_t, eight bytes each */
		bpf_probe_read_kernel(n, sizeof(n), (void *)old + bpf_core_field_offset(struct mm_struct___old, rss_stat.count));
		sum = (__s64)(n[0] + n[1] + n[3]);
	} else if (bpf_core_field_exists(struct mm_struct___percpu, rss_stat)) {
		struct mm_struct___percpu *new = (void *)mm;
		__s64 n[3];

		n[0] = BPF_CORE_READ(new, rss_stat[0].count);
		n[1] = BPF_CORE_READ(new, rss_stat[1].count);
		n[2] = BPF_CORE_READ(new, rss_stat[3].count);
#pragma unroll
		for (int i = 0; i < 3; i++)
			sum += n[i] > 0 ? n[i] : 0;
	}
	return sum > 0 ? (__u64)sum : 0;
}

/*
 * The largest resident set a process ever had, when its last thread goes. The kernel has folded it into signal->maxrss by
 * then, which begins, for the leader, with the image of the daemon that cloned it (rss_floor): below that only the map
 * itself tells, where the hook still has it (6.16 and later).
 */
static __always_inline __u64 fate_peak_rss(const struct fate_env *env, struct task_struct *task, bool leader)
{
	struct mm_struct *mm = task->mm;
	__u64 peak = (__u64)task->signal->maxrss << fate_page_shift, now;

	if (leader && !env->exec_ns)
		return 0;	/* it never had an image of its own */
	if (!leader || peak > env->rss_floor)
		return peak;
	if (!mm)
		return 0;
	peak = BPF_CORE_READ(mm, hiwater_rss) << fate_page_shift;
	now = fate_rss_pages(mm) << fate_page_shift;
	return now > peak ? now : peak;
}

/* A thread ends: what it used goes to its environment. Threads of one environment may end on several CPUs at a time. */
static __always_inline void fate_account(struct fate_env *env, struct task_struct *task, __u64 now)
{
	struct fate_acct *a = &env->acct;
	__u32 known = 0;

	__sync_fetch_and_add(&a->cpu_ns, task->se.sum_exec_runtime);
	__sync_fetch_and_add(&a->life_ns, now - task->start_time);
	__sync_fetch_and_add(&a->minor_faults, task->min_flt);
	__sync_fetch_and_add(&a->major_faults, task->maj_flt);
	__sync_fetch_and_add(&a->voluntary_switches, task->nvcsw);
	__sync_fetch_and_add(&a->involuntary_switches, task->nivcsw);
	if (bpf_core_field_exists(task->sched_info.run_delay)) {
		__sync_fetch_and_add(&a->wait_ns, task->sched_info.run_delay);
		known |= FATE_ACCT_WAIT;
	}
	if (bpf_core_field_exists(task->ioac.rchar) && bpf_core_field_exists(task->ioac.read_bytes)) {
		__sync_fetch_and_add(&a->read_bytes, task->ioac.rchar);
		__sync_fetch_and_add(&a->written_bytes, task->ioac.wchar);
		__sync_fetch_and_add(&a->read_storage, task->ioac.read_bytes);
		__sync_fetch_and_add(&a->written_storage, task->ioac.write_bytes);
		known |= FATE_ACCT_IO;
	}
	__sync_fetch_and_add(&a->threads, 1);
	__sync_fetch_and_or(&a->known, known);
}

/* A process ends. Two at a time: the larger one must win. */
static __always_inline void fate_account_rss(struct fate_env *env, __u64 peak)
{
	struct fate_acct *a = &env->acct;

	if (!peak)
		return;
#pragma unroll
	for (int i = 0; i < 8; i++) {
		__u64 old = *(volatile __u64 *)&a->peak_rss;

		if (old >= peak || __sync_val_compare_and_swap(&a->peak_rss, old, peak) == old)
			break;
	}
	__sync_fetch_and_or(&a->known, FATE_ACCT_RSS);
}

/* The leader is a process, not a number: ids are reused, so one that has exited is nobody's any more. */
static __always_inline bool fate_is_leader(const struct fate_env *env, __u32 tgid)
{
	return env->leader_tgid == tgid && !(env->flags & FATE_ENV_LEADER_EXITED);
}

#endif
