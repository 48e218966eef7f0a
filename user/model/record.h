/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What destinations receive: AWS Lambda's asynchronous invocation record, version 1.0, plus the member "fate". */
#include "base/buf.h"
#include "model/fact.h"
#include "model/inv.h"

struct record_input {
	const struct inv_row *row;	/* condition, attempts, ids */
	const char *region;
	int64_t now_ms;			/* time of completion */
	const struct blob *request;	/* the event: valid JSON text; empty = {} */
	const struct outcome *last;	/* last attempt's outcome; NULL = the function never ran */
	bool throttled;			/* it never ran because it was throttled: statusCode 429 */
	bool bare;			/* without the two payloads: for a target that would not take them */
	const char *fates;		/* JSON text of the attempts' array, NULL = leave "fate" out */
};
/* Beside "attempts", "fate" has: poison (so many equal deaths in a row ended the retries), redriveOf (request id of the
 * ended event that this one repeats), hops (its place in a chain of destinations, from 2). */
/* Appends the record, compact JSON on one line. */
void record_build(struct buf *b, const struct record_input *in);

/* The bare-payload dead letter's attributes, each only when it has a value (out buffers are JSON-free text). */
struct dead_letter { char request_id[ID_UUID_LEN + 1]; int error_code; char error_message[LIM_DLQ_ERROR_MESSAGE * 3 + 1]; };
void dead_letter_build(struct dead_letter *ret, const struct record_input *in);

/*
 * One attempt's entry of the array "fate.attempts": a JSON object. A member that cannot be known is absent.
 *
 *   attempt, verdict, observer "bpf"|"fallback"
 *   reason | execStep, execErrno | exitStatus | signal, signalName, coreDumped      how the leader ended
 *   sender {kernel, pid, uid, comm, cgroup, cgroupId}      of the signal; kernel true alone when it was the kernel itself
 *   oom {kills, scope "own"|"ancestor"|"host", victim {pid, comm} (the first), limitBytes, limitCgroup, peakBytes}
 *   startedAt, deadlineAt (ISO 8601, the wall clock's), timeoutMs, durationMs (leader's start to its end), verdictUs (its
 *   end to our knowing it), deadlineToEmptyMs (timeouts: the deadline to the last process dead)
 *   kernelStartUs, kernelEndUs     CLOCK_MONOTONIC: the leader's first, the last process's last moment, as eBPF saw them
 *   time {queuedMs, startingMs, onCpuMs, waitingMs, asleepMs}      ready to claimed to exec; then sums over all threads:
 *   on a processor, ready and waiting for one, neither
 *   cpu {userMs, systemMs}         the whole tree (cpu.stat)
 *   memory {limitMB, peakRssBytes (largest single process), peakBytes (the leaf's memory.peak)}
 *   faults {minor, major}, switches {voluntary, involuntary}
 *   io {readBytes, writtenBytes, storageReadBytes, storageWrittenBytes}
 *   incomplete true               some ends were not counted: what is added up over processes and threads is left out
 *   processes, threads (ended), leftovers, leftRunning true, graceSurvivors (no member = none)
 *   limitsMissing ["memory", "pids", "cpu"]     limits of the definition that this host could not keep
 *   interruptedBecause            why nobody saw its end: "the daemon was restarted, and …", "the host was rebooted"
 *   stderrTail, bytesReplaced, interrupted true, witness "both"|"wait"|"bpf", witnessesDisagree true
 */
struct fate_input {
	int attempt;			/* number of the start, 1, 2, … */
	int64_t started_at_ms;		/* wall clock of the claim; 0 = never started */
	const struct evidence *ev;
	const struct outcome *outcome;
	int timeout_ms;			/* 0 = unknown */
	int memory_mb;			/* 0 = unknown */
	bool observed;			/* by the kernel half; else the second witness alone */
};
void fate_build(struct buf *b, const struct fate_input *in);
/* What the last entry of such an array says, the array as JSON; OUTCOME_INVALID: it has none, or is none. */
enum outcome_kind fate_last_verdict(const char *json, size_t len);
