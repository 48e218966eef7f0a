/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What daemons of other layouts left pinned (DIR/v<layout>): read, until all of it is settled. */
#include <stdint.h>

#include "fate_event.h"
#include "model/fact.h"

struct obs_old;

/* Opens every DIR/v<layout>; what cannot be read is removed. NULL when there is nothing. */
struct obs_old *obs_old_open(const char *dir);
/* Calls entry() for each watched environment. */
void obs_old_scan(struct obs_old *o, void (*entry)(void *arg, uint64_t cgroup_id, const struct fact_bpf *b), void *arg);
/* False: no such environment here. o may be NULL. */
bool obs_old_read(struct obs_old *o, uint64_t cgroup_id, struct fact_bpf *ret);
bool obs_old_mark_reaped(struct obs_old *o, uint64_t cgroup_id, uint64_t now_ns);
bool obs_old_forget(struct obs_old *o, uint64_t cgroup_id);
/* When nothing is left to settle, removes the pins, with their programs, and frees; else returns o. */
struct obs_old *obs_old_done(struct obs_old *o);
/* Frees; the pins stay for the next start. NULL is fine; returns NULL. */
struct obs_old *obs_old_free(struct obs_old *o);
