/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Maps and knobs of the kernel half. The five maps that fate_event.h describes are the contract with other
 * programs; the others are the kernel half's own memory. Sizes of 1 are set by the loader before load.
 *
 * Hashes are preallocated: hooks run with locks held and interrupts off, where an allocation may fail, and the
 * hooks themselves add keys to two LRU maps only. All other keys are made and deleted by the daemon.
 */
#ifndef FATE_MAPS_BPF_H
#define FATE_MAPS_BPF_H

/* ---- knobs, constant from load on: the verifier drops the branches they rule out ---- */
const volatile __u32 fate_level;		/* of environment leaves in the cgroup tree: the root's level + 1 */
const volatile __u32 fate_generation;		/* of this load, see fate_active */
const volatile __u32 fate_ring_bytes;
const volatile bool fate_has_group_dead;	/* sched_process_exit says whether the whole process is gone */
const volatile __u32 fate_page_shift = 12;
const volatile bool fate_victim_by_pid;		/* OOM victims are known by pid only (fate_victim_pid is attached) */

/* ---- the contract ---- */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, struct fate_watch);
} fate_watch SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct fate_env_key);
	__type(value, struct fate_env);
} fate_env SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} fate_ring SEC(".maps");

/* [FATE_EV_INVALID].dropped counts deadlines that could not be armed: the one failure that is no record's. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, FATE_EV_KIND_MAX);
	__type(key, __u32);
	__type(value, struct fate_count);
} fate_count SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct fate_meta);
} fate_meta SEC(".maps");

/* ---- our own ---- */

/*
 * Which load of the programs acts. A new daemon attaches its programs beside those of the one before, then writes
 * its generation here, then detaches the old: at no moment is nobody looking, and no event is counted twice.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} fate_active SEC(".maps");

/*
 * The generation that counted the last event of each hook on this CPU. When two loads are attached, an event meets both,
 * the older first; were only fate_active asked, one that falls into the instant of the switch would be counted by both.
 * The program that counts leaves its generation here, the one that does not takes it away: whoever finds another's is
 * looking at an event that is counted already. (Hooks of one kind do not nest on a CPU. The loader wipes the marks before it
 * makes the switch.)
 */
enum { FATE_HOOK_FORK, FATE_HOOK_EXEC, FATE_HOOK_SIGNAL, FATE_HOOK_OOM, FATE_HOOK_EXIT, FATE_HOOK_MAX };
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, FATE_HOOK_MAX);
	__type(key, __u32);
	__type(value, __u32);
} fate_marks SEC(".maps");

/* The highest generation ever given to a load, in force or dead before. The loader's own. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} fate_issued SEC(".maps");

/*
 * Who sent the leader which signal, the latest of each number: which of them ends it is known only at its exit.
 * The daemon adds a zeroed value along with the entry, so the signal hook, which runs under the target's siglock
 * (all writers of one value are serialised by it), never allocates. Real-time signals share slot 0.
 */
#define FATE_SENDER_SLOTS 32
struct fate_senders {
	struct fate_sender by_sig[FATE_SENDER_SLOTS];
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct fate_env_key);
	__type(value, struct fate_senders);
} fate_senders SEC(".maps");

/* A process, safe against reuse of its id. */
struct fate_proc_key {
	__u64 start_boottime;
	__u32 tgid;
	__u32 pad;
};
/* Kernels without group_dead: processes whose end has been counted. Needed for microseconds, hence LRU and small. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1);
	__type(key, struct fate_proc_key);
	__type(value, __u8);
} fate_gone SEC(".maps");

/*
 * The OOM killer at work, from its entry to its return: struct oom_control, which the hook on the victims does not see.
 * One is enough: the kernel holds its oom_lock all the while.
 */
struct fate_oom_now {
	__u64 by;		/* the task whose allocation it is; 0 = nobody is at it */
	__u64 limit_cgroup_id;
	__u64 limit_leaf;	/* the leaf that group is in; 0 = it is above the leaves */
	__u64 limit_bytes;
	__u32 scope;		/* enum fate_oom_scope; OWN stands for "some memory cgroup's" until the victim is known */
	__u32 pad;
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct fate_oom_now);
} fate_oom_now SEC(".maps");

/* Kernels whose mark_victim gives a pid: victims that have not died yet, and why they must. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct fate_oom_now);
} fate_victims SEC(".maps");

#endif
