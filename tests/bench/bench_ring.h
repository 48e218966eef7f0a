/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BENCH_RING_H
#define BENCH_RING_H
/* Records of bench_ring.bpf.c. Include vmlinux.h or linux/types.h first. */
enum { BENCH_EXIT = 1, BENCH_DEADLINE = 2 };
struct bench_event { __u64 at_ns; __u32 kind, pad; };
#endif
