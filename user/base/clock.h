/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Real clocks and the one way we write time. Code of rank 1 and 2 never calls these: it is handed "now". */
#include <stdint.h>

#define NS_PER_MS 1000000LL
#define NS_PER_S 1000000000LL

int64_t clock_mono_ns(void);	/* CLOCK_MONOTONIC: durations and deadlines; the kernel half's bpf_ktime_get_ns() */
int64_t clock_wall_ms(void);	/* CLOCK_REALTIME: due times, time stamps */

#define ISO_MS_LEN 24		/* 2026-11-23T10:00:00.000Z */
/* UTC with exactly three decimals, as in Lambda's records. Out must hold ISO_MS_LEN + 1. Returns out. */
char *clock_iso_ms(int64_t wall_ms, char out[ISO_MS_LEN + 1]);
