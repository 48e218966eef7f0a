/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One kind of destination: a row of dest_table.c and a file dest_KIND.c. A destination translates and writes; it
 * keeps no queue, no retry, no clock and calls nobody back: deliver.c is the only sender.
 *
 * All there is now writes to this host and may block (a disk's sync), so it is sent on deliver's worker thread. A
 * destination across the network will not: it gets two more members here (render a request, classify its answer),
 * and deliver.c hands its requests to the HTTP client on the loop.
 */
#include "base/blob.h"
#include "base/err.h"
#include "engine/port_deliver.h"
#include "model/arn.h"

/* One send, with what it needs from the outbox row. Made on the loop's thread, read on the worker. */
struct dest_job {
	int64_t seq;
	enum outbox_role role;
	struct target target;
	char key[sizeof(((struct store_op_outbox *)NULL)->key)];	/* REQUEST_ID:ROLE, the same on every send */
	struct blob *body;		/* a reference; one JSON text, NULL = none */
	struct blob *attributes;	/* a reference; set for a dead letter alone */
};

/* What became of a send. why is a sentence for people, "" with DELIVERED_ACK. */
struct dest_result {
	enum delivered how;
	char why[256];
};

struct dest_ops {
	const char *name;
	/* On the loop's thread: a look at the target, no I/O. A negative errno and the sentence: never to be sent.
	 * NULL: any target of this kind will do. */
	int (*prepare)(const struct dest_job *job, struct err *e);
	/* On the worker's thread; may block on a disk, never without end. Fills *ret. Acknowledges only what is durable
	 * as far as the target can make it so. Does not log. */
	void (*send)(const struct dest_job *job, struct dest_result *ret);
};

/* NULL: nothing of that kind can be sent to. */
const struct dest_ops *dest_for(enum target_kind kind);

extern const struct dest_ops dest_file, dest_journal;

void dest_result_set(struct dest_result *ret, enum delivered how, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
