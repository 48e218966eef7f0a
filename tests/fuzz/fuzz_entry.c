/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entries of the pinned map, which live in memory that others may write to: whatever they say, there is a verdict, and
 * what is told of it is JSON on one line. The entry is the input's bytes as they are, whatever members it has; the
 * rest of the evidence is drawn member by member, since its flags must be flags.
 */
#include "base/json.h"
#include "fuzz/fuzz.h"
#include "model/judge.h"
#include "model/record.h"
#include "observe/obs_decode.h"

/* Entry: its length (two bytes), then so many bytes; what it does not have is zero, so that an input outlives members
 * that are added. */
static void take_entry(struct input *in, struct fate_env *env)
{
	size_t len = (size_t)take_number(in, 2) % (sizeof(*env) + 1);

	*env = (struct fate_env){};
	take(in, env, len);
	obs_entry_clean(env);
}

static struct blob *take_blob(struct input *in, size_t n)
{
	struct blob *b = n ? blob_new(NULL, n) : NULL;

	if (b)
		take(in, b->data, n);
	return b;
}

static void take_evidence(struct input *in, struct evidence *ev)
{
	bool *const flags[] = { &ev->bpf.seen, &ev->bpf.reaped, &ev->cgroup.have_memory, &ev->have_wait, &ev->exec_failed,
				&ev->too_large, &ev->deadline_by_timer, &ev->killed_by_us, &ev->interrupted, &ev->stopped_by_us,
				&ev->launch_failed, &ev->verdict_known, &ev->bpf.incomplete, &ev->cancelled, &ev->left_running,
				&ev->cgroup.have_cpu, &ev->cgroup.above_known };
	int64_t *const times[] = { &ev->started_ns, &ev->ended_ns, &ev->empty_ns, &ev->verdict_ns, &ev->queued_ns,
				   &ev->claimed_ns };
	uint64_t *const cpu[] = { &ev->cgroup.cpu_usage_us, &ev->cgroup.cpu_user_us, &ev->cgroup.cpu_system_us };
	uint64_t bits = take_number(in, 4);

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		*flags[i] = bits >> i & 1;
	for (size_t i = 0; i < ARRAY_SIZE(times); i++)
		*times[i] = (int64_t)(take_number(in, 8) & INT64_MAX) / 2;	/* our own clock's: some era, no extremes */
	for (size_t i = 0; i < ARRAY_SIZE(cpu); i++)
		*cpu[i] = take_number(in, 6);
	ev->cgroup.missing = (unsigned int)take_number(in, 1);
	ev->cgroup.own_ooms = take_number(in, 1);
	ev->cgroup.above_limit = take_number(in, 8);
	ev->wait_status = (int)take_number(in, 4);
	ev->exec_errno = (int)take_number(in, 4);
	ev->leftovers = (unsigned int)take_number(in, 4);
	ev->grace_survivors = (unsigned int)take_number(in, 4);
	ev->cgroup.oom_kills = take_number(in, 8);
	ev->cgroup.memory_peak = take_number(in, 8);
	ev->cgroup.memory_limit = take_number(in, 8);
	take_entry(in, &ev->bpf.env);
	take_string(in, ev->exec_step, sizeof(ev->exec_step));
	take_string(in, ev->exec_path, sizeof(ev->exec_path));
	take_string(in, ev->launch_error, sizeof(ev->launch_error));
	take_string(in, ev->cgroup.above, sizeof(ev->cgroup.above));
	take_string(in, ev->sender_group, sizeof(ev->sender_group));
	take_string(in, ev->oom_group, sizeof(ev->oom_group));
	ev->stderr_tail = take_blob(in, (size_t)take_number(in, 1));
	ev->error_report = take_blob(in, (size_t)take_number(in, 1));
}

/* One JSON object on one line, its strings UTF-8. */
static void check_line(const struct buf *b)
{
	MUST(json_valid(buf_str(b), b->len, NULL) && json_is_object(buf_str(b), b->len));
	MUST(!memchr(b->data, '\n', b->len) && !memchr(b->data, '\r', b->len));
}

static void check_records(struct input *in, const struct outcome *o, const char *fate)
{
	struct inv_row row = { .state = INV_ROUTING };
	struct record_input rec = { .row = &row, .region = "us-east-1", .last = o, .fates = fate };
	struct blob *request = take_blob(in, in->left);
	struct dead_letter letter;
	struct buf b = {};

	row.condition = (enum inv_condition)(COND_SUCCESS + (o->exit_status & 3));
	row.attempts = o->signo;
	memcpy(row.request_id, o->payload->data, MIN(o->payload->len, sizeof(row.request_id) - 1));
	memcpy(row.function, fate, MIN(strlen(fate), sizeof(row.function) - 1));
	if (request && json_valid(request->data, request->len, NULL))
		rec.request = request;
	record_build(&b, &rec);
	check_line(&b);
	buf_clear(&b);
	rec.last = NULL;
	rec.fates = NULL;
	rec.throttled = o->core_dumped;
	record_build(&b, &rec);
	check_line(&b);
	rec.last = o;
	dead_letter_build(&letter, &rec);
	MUST(memchr(letter.request_id, '\0', sizeof(letter.request_id)));
	MUST(strnlen(letter.error_message, sizeof(letter.error_message)) <= LIM_DLQ_ERROR_MESSAGE + 3);
	MUST(json_add_string(&b, letter.error_message, strlen(letter.error_message)) == 0);
	buf_done(&b);
	blob_unref(request);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	struct evidence ev = {};
	struct judge_context ctx = { .request_id = "8f5e0c8a-1111-4222-8333-444455556666", .timeout_ms = 3000 };
	struct fate_input fate = { .attempt = 1, .started_at_ms = 1795478400000, .ev = &ev, .timeout_ms = ctx.timeout_ms,
				   .memory_mb = 128,
				   .observed = ev.bpf.seen };
	struct outcome o;
	struct buf b = {};

	take_evidence(&in, &ev);
	ev.out = take_blob(&in, (size_t)take_number(&in, 1));
	judge(&ev, &ctx, &o);
	MUST(o.kind > OUTCOME_INVALID && o.kind < OUTCOME_MAX && o.witness <= WITNESS_BOTH);
	MUST(o.payload && json_valid(o.payload->data, o.payload->len, NULL));
	MUST(o.kind == OUTCOME_SUCCESS || json_is_object(o.payload->data, o.payload->len));
	MUST(o.exit_status >= 0 && o.exit_status <= 255 && o.signo >= 0 && o.signo < 128);
	fate.outcome = &o;
	fate_build(&b, &fate);
	check_line(&b);
	check_records(&in, &o, buf_str(&b));
	buf_done(&b);
	outcome_done(&o);
	blob_unref(ev.out);
	blob_unref(ev.error_report);
	blob_unref(ev.stderr_tail);
	return 0;
}
