/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What became of one attempt. A value, never an errno: a function that fails is not an error of ours. */
#include <stdbool.h>
#include <stdint.h>

#include "base/blob.h"

enum outcome_kind {
	OUTCOME_INVALID = 0,
	OUTCOME_SUCCESS,	/* the leader exited 0 */
	OUTCOME_ERROR,		/* the program reported an error through FATE_ERROR_FD */
	OUTCOME_TIMEOUT,	/* the deadline came before the leader's end */
	OUTCOME_OOM,		/* the leader died of, or failed after, an OOM kill in its leaf */
	OUTCOME_SIGNAL,		/* a signal ended the leader */
	OUTCOME_CRASH,		/* non-zero exit status */
	OUTCOME_TOO_LARGE,	/* the response passed LIM_RESPONSE */
	OUTCOME_EXEC_FAILED,	/* the program could not be executed */
	OUTCOME_NO_FUNCTION,	/* the function was gone when the attempt was due */
	OUTCOME_INTERRUPTED,	/* it ran, and the daemon went away before its end was known */
	OUTCOME_HOST,		/* it never ran, for a fault of ours or the host's; consumes no attempt (I5) */
	OUTCOME_CANCELLED,	/* somebody asked for its end while it ran */
	OUTCOME_MAX		/* the numbers are stored: new ones go to the end */
};

/* The word in records, status and logs: "Success", "Error", "Timeout", "OutOfMemory", "Signal", "Crash",
 * "ResponseTooLarge", "ExecFailed", "NoFunction", "Interrupted", "HostFault", "Cancelled". */
const char *outcome_name(enum outcome_kind k);
/* By that word; OUTCOME_INVALID: it is none of them (NULL is none). */
enum outcome_kind outcome_by_name(const char *name);
/* True when the function answered with functionError (status 200), so the attempt counts as the function's failure. */
bool outcome_is_function_error(enum outcome_kind k);

enum witness { WITNESS_NONE = 0, WITNESS_WAIT = 1, WITNESS_BPF = 2, WITNESS_BOTH = 3 };
const char *witness_name(enum witness w);	/* "none", "wait", "bpf", "both" */

/* Whose memory limit an OOM kill enforced, as the best witness has it. */
enum oom_scope { OOM_SCOPE_NONE = 0, OOM_SCOPE_OWN, OOM_SCOPE_ANCESTOR, OOM_SCOPE_HOST, OOM_SCOPE_UNKNOWN };
const char *oom_scope_name(enum oom_scope s);	/* "own", "ancestor", "host"; NULL for the others: not to be shown */

struct outcome {
	enum outcome_kind kind;
	bool hosts_fault;	/* not the function's doing: HOST, INTERRUPTED, an OOM kill for want of memory outside its limit */
	enum oom_scope oom_scope;	/* whatever the kind; NONE = no OOM kill in the tree */
	int exit_status;	/* CRASH; also ERROR and SUCCESS: the leader's status */
	int signo;		/* SIGNAL, OOM */
	bool core_dumped;
	bool witnesses_disagree;
	enum witness witness;	/* who vouches for the exit status */
	size_t bytes_replaced;	/* of a text response that was not UTF-8 */
	/* The answer: the response, or the error object of Lambda's function errors. JSON text; NULL = none was given. */
	struct blob *payload;
};
void outcome_done(struct outcome *o);

/* "killed", "segmentation fault", … as Go prints them on Linux; "signal N" for the rest. Static buffer per thread. */
const char *signal_text(int signo);
/* "SIGKILL", …; "SIG<N>" for the nameless. Static buffer per thread. */
const char *signal_name(int signo);
