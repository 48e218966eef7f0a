/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The bare ring-buffer reader's other half: exits of one group and one timer, each a record with its time, and nothing
 * else. No entries, no second look, no loss counters: the floor under the kernel half of fated.
 *
 * Programs watched here have one thread each, so the exit of the thread that leads is the exit of the process.
 * The timer is armed by a program that user space runs, because a timer must be set up by someone who holds the map.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#include "bench_ring.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#ifndef CLOCK_MONOTONIC
#define CLOCK_MONOTONIC 1
#endif

struct ring_timer { struct bpf_timer timer; };

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 65536);
} bench_ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ring_timer);
} bench_timer SEC(".maps");

__u64 watched;		/* cgroup id */
__u64 timeout_ns;

static void emit(__u32 kind)
{
	struct bench_event *e = bpf_ringbuf_reserve(&bench_ring, sizeof(*e), 0);

	if (!e)
		return;		/* the reader waits for it, and says so */
	e->at_ns = bpf_ktime_get_ns();
	e->kind = kind;
	e->pad = 0;
	bpf_ringbuf_submit(e, 0);
}

SEC("tp_btf/sched_process_exit")
int bench_exit(void *ctx)
{
	__u64 id = bpf_get_current_pid_tgid();

	if (bpf_get_current_cgroup_id() == watched && (__u32)id == (__u32)(id >> 32))
		emit(BENCH_EXIT);
	return 0;
}

static int deadline(void *map, __u32 *key, struct ring_timer *t)
{
	emit(BENCH_DEADLINE);
	return 0;
}

SEC("syscall")
int bench_arm(void *ctx)
{
	__u32 key = 0;
	struct ring_timer *t = bpf_map_lookup_elem(&bench_timer, &key);

	if (!t)
		return 1;
	bpf_timer_init(&t->timer, &bench_timer, CLOCK_MONOTONIC);	/* -EBUSY from the second time on */
	if (bpf_timer_set_callback(&t->timer, deadline))
		return 2;
	return bpf_timer_start(&t->timer, timeout_ns, 0) ? 3 : 0;
}
