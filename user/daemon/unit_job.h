/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What systemd is about to do with the unit whose main process we are: restart it, or stop it for good. */
#include <stdbool.h>

#include <systemd/sd-event.h>

#define UNIT_JOB_WAIT_MS 1000

/* True when our environment says that systemd started this very process. */
bool unit_job_possible(void);

struct unit_job;
/*
 * Asks. answer() is called once, from the loop, within UNIT_JOB_WAIT_MS: restart is true only when systemd said so; why
 * is a sentence for the log, borrowed. May be freed in there. On failure (a negative errno) it is not called.
 */
int unit_job_ask(sd_event *loop, void (*answer)(void *arg, bool restart, const char *why), void *arg, struct unit_job **ret);
/* The same from the bus at this address, by the invocation's id: for tests. */
int unit_job_ask_at(sd_event *loop, const char *address, const char *invocation_id,
		    void (*answer)(void *arg, bool restart, const char *why), void *arg, struct unit_job **ret);
/* No answer any more. NULL in; returns NULL. */
struct unit_job *unit_job_free(struct unit_job *j);
