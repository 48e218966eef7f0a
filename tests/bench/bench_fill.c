/* SPDX-License-Identifier: Apache-2.0 */
/* A backlog as an engine would have left it, quickly: rows in batches, put into the store through its own port. */
#include <stdio.h>

#include <systemd/sd-event.h>

#include "base/clock.h"
#include "base/id.h"
#include "bench/bench_rig.h"

#define FILL_A_BATCH 2000

static void on_filled(struct store_batch *b, int result, const struct err *e)
{
	if (result < 0)
		bench_die("the backlog cannot be written: %s", err_msg(e));
	*(bool *)b->arg = true;
}

static void waits(struct store_batch *b, struct inv_row *row)
{
	static const char fate[] = "{\"attempt\":1,\"verdict\":\"Crash\",\"observer\":\"fallback\",\"exitStatus\":1}";
	struct store_op *op;

	row->state = INV_WAITING;
	row->attempts = row->starts = 1;
	row->epoch = 1;
	row->due_at_ms = row->accepted_at_ms + 3600 * 1000;
	op = store_batch_add(b, STORE_OP_ATTEMPT_PUT);
	op->attempt = (struct store_op_attempt){ .seq = row->seq, .start = 1, .started_at_ms = row->accepted_at_ms };
	op = store_batch_add(b, STORE_OP_ATTEMPT_END);
	op->attempt = (struct store_op_attempt){ .seq = row->seq, .start = 1, .started_at_ms = row->accepted_at_ms,
						 .ended_at_ms = row->accepted_at_ms + 1, .outcome = OUTCOME_CRASH,
						 .fate = blob_new(fate, sizeof(fate) - 1) };
}

/* The row first: attempts belong to it. */
static void put(struct store_batch *b, const struct rig_backlog *c, int64_t seq, struct blob *payload)
{
	struct store_op *op = store_batch_add(b, STORE_OP_EVENT_PUT);
	uint64_t rnd[2] = { rig_random(NULL), rig_random(NULL) };
	size_t at = b->n - 1;
	struct inv_row row = { .seq = seq, .state = INV_QUEUED, .hops = 1, .accepted_at_ms = clock_wall_ms() };

	id_uuid_at(row.accepted_at_ms, rnd, row.request_id);
	rig_function_name(row.function, (int)((seq - 1) * RIG_STRIDE % c->functions));
	op->event.payload = blob_ref(payload);
	if (seq > c->queued)
		waits(b, &row);
	b->ops[at].event.row = row;
}

void rig_fill(const struct rig_backlog *c)
{
	struct blob *payload = blob_new(rig_event, rig_event_len);
	int64_t seq = 1, n = (int64_t)c->queued + c->waiting;
	struct port_store *store;
	struct store_batch b = {};
	sd_event *loop = NULL;

	bench_check(sd_event_new(&loop), "event loop");
	store = rig_store(loop, c->path);
	while (seq <= n) {
		bool done = false;

		for (int i = 0; i < FILL_A_BATCH && seq <= n; i++)
			put(&b, c, seq++, payload);
		b.arg = &done;
		b.done = on_filled;
		store->ops->apply(store, &b);
		while (!done)
			bench_check(sd_event_run(loop, UINT64_MAX), "event loop");
		store_batch_clear(&b);
	}
	store_batch_done(&b);
	blob_unref(payload);
	if (c->crash)
		return;
	store->ops->close(store);
	sd_event_unref(loop);
}
