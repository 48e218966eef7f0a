/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the engine asks of the sender: one outbox row to one target that is not in our own store. */
#include <stdint.h>

#include "engine/port_store.h"

#define PORT_DELIVER_VERSION 3

enum delivered { DELIVERED_ACK, DELIVERED_RETRY, DELIVERED_NEVER };

/* The engine implements it; called on the loop's thread, never from within send(). */
struct deliver_sink {
	void *self;
	void (*delivered)(void *self, int64_t seq, enum outbox_role role, enum delivered how, const char *why);
};

struct port_deliver;
struct port_deliver_ops {
	int version;
	/* Copies what it needs (blobs by reference). Answers exactly once through the sink; the engine keeps the row and
	 * asks again when told to retry. Bounded: the engine has at most ENGINE_DELIVERIES_MAX under way.
	 * row->function, request_id and attempt are filled: for the log. */
	void (*send)(struct port_deliver *d, const struct store_op_outbox *row);
};
struct port_deliver { const struct port_deliver_ops *ops; };
