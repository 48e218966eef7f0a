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

/* True when the task is in a watched environment and this load is the one that acts. Foreign tasks: one look-up. */
static __always_inline bool fate_find(struct task_struct *task, struct fate_where *ret)
{
	__u64 id = fate_task_leaf(task);
	struct fate_watch *watch;
	__u32 zero = 0, *active;

	if (!id)
		return false;
	watch = bpf_map_lookup_elem(&fate_watch, &id);
	if (!watch)
		return false;
	active = bpf_map_lookup_elem(&fate_active, &zero);
	if (!active || *active != fate_generation)
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

/* The leader is a process, not a number: ids are reused, so one that has exited is nobody's any more. */
static __always_inline bool fate_is_leader(const struct fate_env *env, __u32 tgid)
{
	return env->leader_tgid == tgid && !(env->flags & FATE_ENV_LEADER_EXITED);
}

#endif
