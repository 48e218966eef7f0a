/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Lets ended events go when they are old enough, or when the database has grown too large. */
#include <systemd/sd-event.h>

#include "engine/port_store.h"

#define RETAIN_IDLE_MS 30000	/* between two looks when there is nothing to do */
#define RETAIN_FULL_MS 5000	/* the same while the database is larger than it may be */
#define RETAIN_STEP 200		/* events at a time: commits wait behind a step, so it is a short one */

struct retain;
struct retain_config {
	int64_t age_ms;			/* 0 = for ever */
	int64_t bytes_max;		/* 0 = no limit */
	/* The wall clock's time, as far as it is to be believed: what it says too much is lost for good. */
	int64_t (*now_ms)(void *arg);
	void *arg;
};

/* Asks from the first turn of the loop on; the store is borrowed. *ret is NULL when nothing is to be done ever. */
int retain_new(sd_event *loop, struct port_store *store, const struct retain_config *cfg, struct retain **ret, struct err *e);
/* Asks no more. Before the store is closed: an answer that is still to come finds what it needs. NULL in; returns NULL. */
struct retain *retain_free(struct retain *r);
