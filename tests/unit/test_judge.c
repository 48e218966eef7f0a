/* SPDX-License-Identifier: Apache-2.0 */
/* Evidence in, outcome out: every rule of the precedence, and the pairs where two of them compete. */
#include "model/judge.h"

#include <errno.h>
#include <signal.h>

#include "base/mem.h"
#include "lib/test.h"

#define ID "8f5e0c8a-1111-4222-8333-444455556666"
#define PREFIX "RequestId: " ID " Error: "

static struct outcome o;
static const struct judge_context ctx = { ID, 3000 };

static struct evidence both(int status)
{
	struct evidence ev = { .have_wait = true, .wait_status = status, .verdict_known = true };

	ev.bpf.seen = true;
	ev.bpf.env.flags = FATE_ENV_LEADER_EXITED | FATE_ENV_EMPTY;
	ev.bpf.env.exit_code = status;
	ev.bpf.env.fork_ns = 1000;
	ev.bpf.env.exit_ns = 2000;
	ev.bpf.env.deadline_ns = 3000001000;
	return ev;
}

static void run(const struct evidence *ev)
{
	outcome_done(&o);
	judge(ev, &ctx, &o);
}

static void with_out(struct evidence *ev, const char *out)
{
	ev->out = blob_new(out, strlen(out));
}

static void clean_exit(void)
{
	struct evidence ev = both(0);

	with_out(&ev, "{\"a\":12345678901234567890}\n");
	run(&ev);
	CHECK_INT(o.kind, OUTCOME_SUCCESS);
	CHECK_INT(o.witness, WITNESS_BOTH);
	CHECK_STR(o.payload->data, "{\"a\":12345678901234567890}\n");
	blob_unref(ev.out);
}

static void responses_that_are_not_json(void)
{
	struct evidence ev = both(0);

	run(&ev);
	CHECK_STR(o.payload->data, "null");
	with_out(&ev, "hello\n");
	run(&ev);
	CHECK_STR(o.payload->data, "\"hello\\n\"");
	CHECK_INT(o.bytes_replaced, 0);
	blob_unref(ev.out);
	ev.out = blob_new("a\xff\"\x00z", 5);
	run(&ev);
	CHECK_STR(o.payload->data, "\"a\xef\xbf\xbd\\\"\\u0000z\"");
	CHECK_INT(o.bytes_replaced, 1);
	blob_unref(ev.out);
	with_out(&ev, "{\"a\":1} trailing");
	run(&ev);
	CHECK_STR(o.payload->data, "\"{\\\"a\\\":1} trailing\"");
	blob_unref(ev.out);
}

static void exit_status(void)
{
	struct evidence ev = both(3 << 8);

	with_out(&ev, "ignored");
	run(&ev);
	CHECK_INT(o.kind, OUTCOME_CRASH);
	CHECK_INT(o.exit_status, 3);
	CHECK_STR(o.payload->data, "{\"errorType\":\"Runtime.ExitError\",\"errorMessage\":\""
		  PREFIX "Runtime exited with error: exit status 3\"}");
	blob_unref(ev.out);
	ev = both(255 << 8);
	run(&ev);
	CHECK_INT(o.exit_status, 255);
}

static void signals(void)
{
	struct evidence ev = both(SIGSEGV | 0x80);

	run(&ev);
	CHECK_INT(o.kind, OUTCOME_SIGNAL);
	CHECK_INT(o.signo, SIGSEGV);
	CHECK(o.core_dumped);
	CHECK_STR(o.payload->data, "{\"errorType\":\"Runtime.ExitError\",\"errorMessage\":\"" PREFIX
		  "Runtime exited with error: signal: segmentation fault\"}");
	ev = both(SIGKILL);
	run(&ev);
	CHECK_INT(o.kind, OUTCOME_SIGNAL);
	CHECK(!o.core_dumped);
	ev = both(SIGXCPU);
	run(&ev);
	CHECK(strstr(o.payload->data, "signal: signal 24\"") != NULL);
	CHECK_STR(signal_name(24), "SIGXCPU");
	CHECK_STR(signal_name(40), "SIG40");
	CHECK_STR(signal_text(40), "signal 40");
	CHECK_STR(signal_text(5), "trace/breakpoint trap");
}

static void timeouts(void)
{
	struct evidence ev = both(SIGKILL);

	ev.killed_by_us = true;
	ev.bpf.env.flags |= FATE_ENV_DEADLINE_HIT;
	ev.bpf.env.exit_ns = 3000001500;
	ev.bpf.env.deadline_hit_ns = 3000001100;
	run(&ev);
	CHECK_INT(o.kind, OUTCOME_TIMEOUT);
	CHECK_STR(o.payload->data, "{\"errorType\":\"Sandbox.Timedout\",\"errorMessage\":\""
		  PREFIX "Task timed out after 3.00 seconds\"}");
	/* A function that uses the grace to exit cleanly has still missed its deadline. */
	ev.bpf.env.exit_code = ev.wait_status = 0;
	with_out(&ev, "{}");
	run(&ev);
	CHECK_INT(o.kind, OUTCOME_TIMEOUT);
	blob_unref(ev.out);
	/* An OOM kill after the deadline is ours to have caused. */
	ev = both(SIGKILL);
	ev.bpf.env.flags |= FATE_ENV_DEADLINE_HIT;
	ev.bpf.env.oom_kills = 1;
	run(&ev);
	CHECK_INT(o.kind, OUTCOME_TIMEOUT);
}

static void at_the_very_deadline(void)
{
	struct evidence ev = both(5 << 8);

	/* It ended just before, our timer fired before we knew: the kernel's order counts. */
	ev.deadline_by_timer = true;
	ev.killed_by_us = true;
	ev.bpf.env.exit_ns = ev.bpf.env.deadline_ns - 1;
	run(&ev);
	CHECK_INT(o.kind, OUTCOME_CRASH);
	/* The second witness alone: its timer is all there is. */
	ev = (struct evidence){ .have_wait = true, .wait_status = SIGKILL, .deadline_by_timer = true };
	run(&ev);
	CHECK_INT(o.kind, OUTCOME_TIMEOUT);
	CHECK_INT(o.witness, WITNESS_WAIT);
	/* The kernel's timer was never armed. */
	ev = both(SIGKILL);
	ev.bpf.env.deadline_ns = 0;
	ev.deadline_by_timer = true;
	run(&ev);
	CHECK_INT(o.kind, OUTCOME_TIMEOUT);
}

static void out_of_memory(void)
{
	struct evidence ev = both(SIGKILL);

	ev.cgroup.oom_kills = 1;
	run(&ev);
	CHECK_INT(o.kind, OUTCOME_OOM);
	CHECK_INT(o.signo, SIGKILL);
	CHECK_STR(o.payload->data, "{\"errorType\":\"Runtime.OutOfMemory\",\"errorMessage\":\""
		  PREFIX "Runtime exited with error: signal: killed\"}");
	/* A shell that reports its killed child. */
	ev = both(137 << 8);
	ev.bpf.env.oom_kills = 1;
	run(&ev);
	CHECK_INT(o.kind, OUTCOME_OOM);
	/* One that copes with it. */
	ev = both(0);
	ev.bpf.env.oom_kills = 1;
	run(&ev);
	CHECK_INT(o.kind, OUTCOME_SUCCESS);
}

/* Whose limit: the kernel half's word, else the memory controller's counters; and what follows from it. */
static void whose_limit(void)
{
	static const struct { unsigned int bpf; bool memory; uint64_t own; bool above_known; const char *above;
			      enum oom_scope want; } rows[] = {
		{ FATE_OOM_OWN, false, 0, false, "", OOM_SCOPE_OWN },
		{ FATE_OOM_ANCESTOR, true, 1, true, "", OOM_SCOPE_ANCESTOR },	/* it saw the very decision */
		{ FATE_OOM_HOST, true, 0, true, "/x", OOM_SCOPE_HOST },
		{ FATE_OOM_UNKNOWN, true, 1, false, "", OOM_SCOPE_OWN },
		{ FATE_OOM_UNKNOWN, true, 0, true, "/x", OOM_SCOPE_ANCESTOR },
		{ FATE_OOM_UNKNOWN, true, 0, true, "", OOM_SCOPE_HOST },
		{ FATE_OOM_UNKNOWN, true, 0, false, "", OOM_SCOPE_UNKNOWN },
		{ FATE_OOM_UNKNOWN, false, 1, true, "", OOM_SCOPE_UNKNOWN },
		{ FATE_OOM_NONE, true, 1, false, "", OOM_SCOPE_OWN },		/* the files alone */
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct evidence ev = both(SIGKILL);

		ev.bpf.env.oom_kills = rows[i].bpf != FATE_OOM_NONE;
		ev.bpf.env.oom_scope = rows[i].bpf;
		ev.cgroup = (struct fact_cgroup){ .have_memory = rows[i].memory, .oom_kills = rows[i].memory,
						  .own_ooms = rows[i].own,
						  .above_known = rows[i].above_known };
		snprintf(ev.cgroup.above, sizeof(ev.cgroup.above), "%s", rows[i].above);
		run(&ev);
		CHECK_INT(o.kind, OUTCOME_OOM);
		CHECK_INT(o.oom_scope, rows[i].want);
		CHECK_INT(o.hosts_fault, rows[i].want == OOM_SCOPE_ANCESTOR || rows[i].want == OOM_SCOPE_HOST);
	}
	/* A child was killed, the function coped: said, and nobody's fault. */
	struct evidence ev = both(0);

	ev.bpf.env.oom_kills = 1;
	ev.bpf.env.oom_scope = FATE_OOM_ANCESTOR;
	run(&ev);
	CHECK_INT(o.kind, OUTCOME_SUCCESS);
	CHECK_INT(o.oom_scope, OOM_SCOPE_ANCESTOR);
	CHECK(!o.hosts_fault);
	ev = both(0);
	run(&ev);
	CHECK_INT(o.oom_scope, OOM_SCOPE_NONE);
}

static void cancelled(void)
{
	struct evidence ev = both(SIGKILL);

	ev.cancelled = ev.killed_by_us = true;
	run(&ev);
	CHECK_INT(o.kind, OUTCOME_CANCELLED);
	CHECK_STR(o.payload->data, "{\"errorType\":\"Runtime.Cancelled\",\"errorMessage\":\""
		  PREFIX "The invocation was cancelled\"}");
	CHECK(!o.hosts_fault);
	ev = both(3 << 8);	/* it was faster */
	ev.cancelled = true;
	run(&ev);
	CHECK_INT(o.kind, OUTCOME_CRASH);
	ev = both(SIGKILL);	/* so was the deadline */
	ev.cancelled = true;
	ev.bpf.env.flags |= FATE_ENV_DEADLINE_HIT;
	run(&ev);
	CHECK_INT(o.kind, OUTCOME_TIMEOUT);
	ev = (struct evidence){ .cancelled = true };	/* before it was launched */
	run(&ev);
	CHECK_INT(o.kind, OUTCOME_CANCELLED);
	CHECK_INT(o.witness, WITNESS_NONE);
}

static void error_reports(void)
{
	static const char good[] = "{\"errorType\":\"Bad\",\"errorMessage\":\"no cat\",\"more\":[1]}";
	struct evidence ev = both(1 << 8);

	ev.error_report = blob_new(good, strlen(good));
	run(&ev);
	CHECK_INT(o.kind, OUTCOME_ERROR);
	CHECK_STR(o.payload->data, good);
	ev.wait_status = ev.bpf.env.exit_code = 0;
	run(&ev);
	CHECK_INT(o.kind, OUTCOME_ERROR);
	/* Death by a signal is a death by a signal, whatever was reported before. */
	ev.wait_status = ev.bpf.env.exit_code = SIGSEGV;
	run(&ev);
	CHECK_INT(o.kind, OUTCOME_SIGNAL);
	blob_unref(ev.error_report);
	ev = both(1 << 8);
	ev.error_report = blob_new("oops\n", 5);
	run(&ev);
	CHECK_INT(o.kind, OUTCOME_ERROR);
	CHECK(strstr(o.payload->data, "Function.InvalidErrorReport") && strstr(o.payload->data, "oops\\n"));
	blob_unref(ev.error_report);
}

static void never_ran(void)
{
	struct evidence ev = both(127 << 8);

	ev.exec_failed = true;
	ev.exec_errno = ENOENT;
	strcpy(ev.exec_step, "execve");
	strcpy(ev.exec_path, "/opt/x");
	run(&ev);
	CHECK_INT(o.kind, OUTCOME_EXEC_FAILED);
	CHECK_STR(o.payload->data, "{\"errorType\":\"Runtime.InvalidEntrypoint\",\"errorMessage\":\"" PREFIX
		  "fork/exec /opt/x: no such file or directory\"}");
	strcpy(ev.exec_step, "chdir");
	run(&ev);
	CHECK(strstr(o.payload->data, "Error: chdir: no such file or directory\"") != NULL);
	ev = (struct evidence){ .launch_failed = true, .launch_error = "no room" };
	run(&ev);
	CHECK_INT(o.kind, OUTCOME_HOST);
	CHECK_INT(o.witness, WITNESS_NONE);
}

static void too_large(void)
{
	struct evidence ev = both(SIGKILL);

	ev.too_large = ev.killed_by_us = true;
	run(&ev);
	CHECK_INT(o.kind, OUTCOME_TOO_LARGE);
	CHECK_STR(o.payload->data, "{\"errorType\":\"Function.ResponseSizeTooLarge\",\"errorMessage\":"
		  "\"Response payload size exceeded maximum allowed payload size (6291556 bytes).\"}");
}

static void after_a_restart(void)
{
	struct evidence ev = both(0);

	ev.have_wait = false;
	ev.interrupted = true;
	run(&ev);
	CHECK_INT(o.kind, OUTCOME_INTERRUPTED);		/* its answer is lost */
	ev.bpf.env.exit_code = 3 << 8;
	run(&ev);
	CHECK_INT(o.kind, OUTCOME_CRASH);
	CHECK_INT(o.witness, WITNESS_BPF);
	ev.bpf.env.exit_code = SIGPIPE;
	run(&ev);
	CHECK_INT(o.kind, OUTCOME_INTERRUPTED);
	ev.bpf.env.exit_code = SIGKILL;
	ev.killed_by_us = true;
	run(&ev);
	CHECK_INT(o.kind, OUTCOME_INTERRUPTED);
	ev.bpf.env.flags |= FATE_ENV_DEADLINE_HIT;
	run(&ev);
	CHECK_INT(o.kind, OUTCOME_TIMEOUT);
	ev = (struct evidence){ .interrupted = true };
	run(&ev);
	CHECK_INT(o.kind, OUTCOME_INTERRUPTED);
	CHECK_INT(o.witness, WITNESS_NONE);
	ev = both(SIGKILL);
	ev.stopped_by_us = ev.killed_by_us = true;
	run(&ev);
	CHECK_INT(o.kind, OUTCOME_INTERRUPTED);
}

/* Taken over from the daemon before us: its pipes are there, waitid() is not. One witness is enough for every end. */
static void adopted(void)
{
	static const struct { int status; enum outcome_kind kind; } rows[] = {
		{ 0, OUTCOME_SUCCESS }, { 3 << 8, OUTCOME_CRASH }, { SIGSEGV, OUTCOME_SIGNAL }, { SIGKILL, OUTCOME_SIGNAL },
		{ SIGPIPE, OUTCOME_SIGNAL },		/* its pipe was not gone */
	};
	struct evidence ev;

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		ev = both(rows[i].status);
		ev.have_wait = false;
		ev.wait_status = -1;
		ev.adopted = true;
		ev.out = blob_new("{\"a\":1}", 7);
		run(&ev);
		CHECK_INT(o.kind, rows[i].kind);
		CHECK_INT(o.witness, WITNESS_BPF);
		CHECK(!o.hosts_fault && !o.witnesses_disagree);
		if (o.kind == OUTCOME_SUCCESS)
			CHECK_STR(o.payload->data, "{\"a\":1}");
		blob_unref(ev.out);
	}
	/* Nobody saw its end: with what it had written it is still not known how it ended. */
	ev = (struct evidence){ .adopted = true, .out = blob_new("7", 1) };
	run(&ev);
	CHECK_INT(o.kind, OUTCOME_INTERRUPTED);
	CHECK_INT(o.witness, WITNESS_NONE);
	CHECK(o.hosts_fault);
	blob_unref(ev.out);
}

/* Why it was cut short is the record's matter: the verdict, and so what follows, is the same. */
static void whatever_the_reason(void)
{
	struct evidence ev = { .interrupted = true };

	run(&ev);
	CHECK_INT(o.kind, OUTCOME_INTERRUPTED);
	CHECK_STR(o.payload->data, "{\"errorType\":\"Runtime.Interrupted\",\"errorMessage\":\"" PREFIX
		  "The supervisor was stopped while the function ran\"}");
	snprintf(ev.interrupted_why, sizeof(ev.interrupted_why), "the host was rebooted");
	run(&ev);
	CHECK_INT(o.kind, OUTCOME_INTERRUPTED);
	CHECK(o.hosts_fault);
	CHECK(strstr(o.payload->data, "The supervisor was stopped while the function ran\"}"));
}

static void witnesses(void)
{
	struct evidence ev = both(3 << 8);

	ev.bpf.env.exit_code = 4 << 8;
	run(&ev);
	CHECK(o.witnesses_disagree);
	CHECK_INT(o.exit_status, 3);
	ev.bpf.seen = false;
	run(&ev);
	CHECK(!o.witnesses_disagree);
	CHECK_INT(o.witness, WITNESS_WAIT);
}

int main(void)
{
	RUN(clean_exit);
	RUN(responses_that_are_not_json);
	RUN(exit_status);
	RUN(signals);
	RUN(timeouts);
	RUN(at_the_very_deadline);
	RUN(out_of_memory);
	RUN(whose_limit);
	RUN(cancelled);
	RUN(error_reports);
	RUN(never_ran);
	RUN(too_large);
	RUN(after_a_restart);
	RUN(adopted);
	RUN(whatever_the_reason);
	RUN(witnesses);
	outcome_done(&o);
	TEST_END();
}
