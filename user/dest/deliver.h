/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The only sender: takes outbox rows (port_deliver), sends each through its destination, answers on the loop. */
#include <systemd/sd-event.h>

#include "base/err.h"
#include "engine/port_deliver.h"

#define DELIVER_QUEUE_MAX 256	/* sends waiting for the worker; one more is answered with "try again" */

/* sink is borrowed, not copied: it must live until deliver_free(), and be filled in before the first send(). (The
 * engine needs the port to be made, and the sink needs the engine.) Starts the worker thread. */
int deliver_new(sd_event *loop, const struct deliver_sink *sink, struct port_deliver **ret, struct err *e);

/* Waits for the send that is being written, drops those that wait: their rows are durable and are sent after the
 * next start. The sink is not called any more. NULL in; returns NULL. */
struct port_deliver *deliver_free(struct port_deliver *d);
