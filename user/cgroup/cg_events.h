/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * "The leaf is empty now", from one inotify descriptor on the loop for all leaves. A leaf is watched only while it
 * outlives its leader, so the usual launch costs nothing here.
 */
#include <stdint.h>
#include <systemd/sd-event.h>

#include "base/err.h"
#include "cgroup/cg_leaf.h"

struct cg_events;
/* empty() is called on the loop, once for each watch; the watch is over by then. arg and tag are the caller's. */
int cg_events_new(sd_event *loop, int64_t priority, void (*empty)(void *arg, uint64_t tag), void *arg, struct cg_events **ret,
		  struct err *e);
struct cg_events *cg_events_free(struct cg_events *ev);
/* 0: the leaf is empty already, nothing is watched. 1: empty(tag) will be called; *ret_wd names the watch.
 * The watch is added first and the file read after it, so nothing falls between. */
int cg_events_watch(struct cg_events *ev, struct cg_leaf *leaf, uint64_t tag, int *ret_wd, struct err *e);
/* Unknown and negative ones are fine. */
void cg_events_unwatch(struct cg_events *ev, int wd);
