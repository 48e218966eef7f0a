/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The engine in this process on the real store on the real disk; what it launches is made up. An environment that was
 * started waits until it is told to end, and ends then as a real one does: by a status of its leader, and an empty leaf.
 * So what is measured is the engine and the store, and accepting and finishing can be measured apart.
 */
#include <systemd/sd-event.h>

#include "bench/bench.h"
#include "engine/engine.h"

struct rig_config {
	const char *path;		/* the database */
	int functions;			/* named by rig_function_name() */
	int concurrency;		/* MaxConcurrency */
	int reserved;			/* of each function; -1 = none */
};
/* Seconds, from before the store is opened. */
struct rig_times { double store, engine, dispatch; };

struct rig;
/* Measures up to the first dispatch when there is something to start. ret may be NULL. */
struct rig *rig_open(const struct rig_config *c, struct rig_times *ret);
/* n events round the functions, RIG_CALLERS waiting at any time, until all are answered 202. Seconds. */
double rig_accept(struct rig *r, int n);
/* n environments may end; until their records are durable, and as many others run as may. Seconds. */
double rig_finish(struct rig *r, int n);
void rig_stats(const struct rig *r, struct engine_stats *ret);
void rig_close(struct rig *r);		/* kills what runs */

#define RIG_CALLERS 64
#define RIG_STRIDE 7919		/* from function to function: neighbours in time are none in the store's indexes */

/* Opens the store, or dies. */
struct port_store *rig_store(sd_event *loop, const char *path);
/* bench_fill.c. Puts open events into the store, past the engine: so many QUEUED, then so many WAITING for an hour after
 * one attempt. In turns over the functions. The file must have no events yet. Not closed when it is to look like a crash:
 * then the process must end without more ado, and the write-ahead log is left as it is. */
struct rig_backlog { const char *path; int functions, queued, waiting; bool crash; };
void rig_fill(const struct rig_backlog *b);

void rig_function_name(char out[LIM_FUNCTION_NAME_MAX + 1], int i);
/* Chance without a system call each time, as the daemon's clock may do it too. */
uint64_t rig_random(void *self);
/* An event of about 250 bytes. */
extern const char rig_event[];
extern const size_t rig_event_len;
