/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The object that owns and wires everything; the only place that knows concrete types. */
#include <systemd/sd-event.h>

#include "base/err.h"
#include "daemon/config.h"
#include "launch/launch_keep.h"

struct manager;

/* Makes everything, recovers what an earlier run left, listens. Nothing is left behind on failure. cfg is borrowed for life.
 * kept: the descriptors that an earlier daemon had stored; taken over. */
int manager_new(const struct config *cfg, sd_event *loop, struct launch_kept_list *kept, struct manager **ret, struct err *e);
/* Until SIGTERM or SIGINT. When systemd restarts the unit and keeps our descriptors, returns with what runs left running;
 * else drains for at most StopGracePeriod, kills what is left, and returns. */
int manager_run(struct manager *m);
struct manager *manager_free(struct manager *m);
