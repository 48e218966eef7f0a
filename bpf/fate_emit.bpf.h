/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Records: reserve → header → submit, or count the drop.
 *
 * Records are news, not truth (the entry was written before), so they may be refused: the last quarter of the
 * ring is kept for urgent ones, lest a storm of forks and signals hide an end. Urgent records wake the daemon by
 * force; the adaptive wake-up of ring buffers would not, because the silent records before it look like a reader
 * still at work. The others wake it only when half the ring is full.
 */
#ifndef FATE_EMIT_BPF_H
#define FATE_EMIT_BPF_H

/* Atomic: the deadline's softirq may interrupt a hook on this CPU. */
static __always_inline void fate_count_drop(__u32 kind)
{
	struct fate_count *n = bpf_map_lookup_elem(&fate_count, &kind);

	if (n)
		__sync_fetch_and_add(&n->dropped, 1);
}

static __always_inline void fate_count_seen(__u32 kind)
{
	struct fate_count *n = bpf_map_lookup_elem(&fate_count, &kind);

	if (n)
		__sync_fetch_and_add(&n->seen, 1);
}

/* size is constant at every call. *ret_flags is for bpf_ringbuf_submit(). */
static __always_inline void *fate_reserve(__u32 kind, __u64 size, bool urgent, __u64 *ret_flags)
{
	__u64 used = urgent ? 0 : bpf_ringbuf_query(&fate_ring, BPF_RB_AVAIL_DATA);
	void *rec = NULL;

	*ret_flags = urgent || used >= fate_ring_bytes / 2 ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP;
	if (used < fate_ring_bytes / 4 * 3)
		rec = bpf_ringbuf_reserve(&fate_ring, size, 0);
	if (!rec)
		fate_count_drop(kind);
	return rec;
}

static __always_inline void fate_header(struct fate_ev_hdr *h, __u16 kind, __u16 size, __u32 flags, __u64 at_ns,
					const struct fate_env_key *key, __u32 tgid)
{
	h->kind = kind;
	h->size = size;
	h->flags = flags;
	h->at_ns = at_ns;
	h->cgroup_id = key->cgroup_id;
	h->start_ns = key->start_ns;
	h->tgid = tgid;
	h->pad = 0;
}

/* DEADLINE and FORK: nothing but the header. */
static __always_inline void fate_emit_plain(__u32 kind, bool urgent, __u32 flags, __u64 at_ns,
					    const struct fate_env_key *key, __u32 tgid)
{
	__u64 wake;
	struct fate_ev_hdr *h = fate_reserve(kind, sizeof(*h), urgent, &wake);

	if (!h)
		return;
	fate_header(h, kind, sizeof(*h), flags, at_ns, key, tgid);
	bpf_ringbuf_submit(h, wake);
}

static __always_inline void fate_emit_exec(__u32 flags, __u64 at_ns, const struct fate_env_key *key,
					   struct task_struct *task)
{
	__u64 wake;
	struct fate_ev_exec *e = fate_reserve(FATE_EV_EXEC, sizeof(*e), false, &wake);

	if (!e)
		return;
	fate_header(&e->h, FATE_EV_EXEC, sizeof(*e), flags, at_ns, key, task->tgid);
	bpf_probe_read_kernel_str(e->comm, sizeof(e->comm), task->comm);
	bpf_ringbuf_submit(e, wake);
}

static __always_inline void fate_emit_exit(__u32 flags, __u64 at_ns, const struct fate_env_key *key,
					   struct task_struct *task, __s32 exit_code)
{
	__u64 wake;
	struct fate_ev_exit *e = fate_reserve(FATE_EV_EXIT, sizeof(*e), flags != 0, &wake);

	if (!e)
		return;
	fate_header(&e->h, FATE_EV_EXIT, sizeof(*e), flags, at_ns, key, task->tgid);
	e->exit_code = exit_code;
	e->pad = 0;
	/* A process is known by its main thread's name, whichever thread went last. */
	bpf_probe_read_kernel_str(e->comm, sizeof(e->comm), task->group_leader->comm);
	bpf_ringbuf_submit(e, wake);
}

static __always_inline void fate_emit_signal(__u32 flags, const struct fate_env_key *key, __u32 tgid,
					     const struct fate_sender *sender)
{
	__u64 wake;
	struct fate_ev_signal *e = fate_reserve(FATE_EV_SIGNAL, sizeof(*e), false, &wake);

	if (!e)
		return;
	fate_header(&e->h, FATE_EV_SIGNAL, sizeof(*e), flags, sender->at_ns, key, tgid);
	e->sender = *sender;
	bpf_ringbuf_submit(e, wake);
}

static __always_inline void fate_emit_oom(__u32 flags, __u64 at_ns, const struct fate_env_key *key,
					  struct task_struct *task, const struct fate_oom_now *now)
{
	__u64 wake;
	struct fate_ev_oom *e = fate_reserve(FATE_EV_OOM, sizeof(*e), true, &wake);

	if (!e)
		return;
	fate_header(&e->h, FATE_EV_OOM, sizeof(*e), flags, at_ns, key, task->tgid);
	e->scope = now->scope;
	e->pad = 0;
	e->limit_cgroup_id = now->limit_cgroup_id;
	e->limit_bytes = now->limit_bytes;
	bpf_probe_read_kernel_str(e->comm, sizeof(e->comm), task->comm);
	bpf_ringbuf_submit(e, wake);
}

#endif
