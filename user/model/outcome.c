/* SPDX-License-Identifier: Apache-2.0 */
#include "model/outcome.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

static const struct { const char *name; bool function_error; } kinds[OUTCOME_MAX] = {
	[OUTCOME_SUCCESS] = { "Success", false },
	[OUTCOME_ERROR] = { "Error", true },
	[OUTCOME_TIMEOUT] = { "Timeout", true },
	[OUTCOME_OOM] = { "OutOfMemory", true },
	[OUTCOME_SIGNAL] = { "Signal", true },
	[OUTCOME_CRASH] = { "Crash", true },
	[OUTCOME_TOO_LARGE] = { "ResponseTooLarge", true },
	[OUTCOME_EXEC_FAILED] = { "ExecFailed", true },
	[OUTCOME_NO_FUNCTION] = { "NoFunction", false },
	[OUTCOME_INTERRUPTED] = { "Interrupted", true },
	[OUTCOME_HOST] = { "HostFault", false },
	[OUTCOME_CANCELLED] = { "Cancelled", true },
};

const char *outcome_name(enum outcome_kind k)
{
	return k > OUTCOME_INVALID && k < OUTCOME_MAX ? kinds[k].name : "Invalid";
}

enum outcome_kind outcome_by_name(const char *name)
{
	for (int k = OUTCOME_INVALID + 1; name && k < OUTCOME_MAX; k++)
		if (strcmp(kinds[k].name, name) == 0)
			return (enum outcome_kind)k;
	return OUTCOME_INVALID;
}

bool outcome_is_function_error(enum outcome_kind k)
{
	return k > OUTCOME_INVALID && k < OUTCOME_MAX && kinds[k].function_error;
}

const char *oom_scope_name(enum oom_scope s)
{
	switch (s) {
	case OOM_SCOPE_OWN: return "own";
	case OOM_SCOPE_ANCESTOR: return "ancestor";
	case OOM_SCOPE_HOST: return "host";
	case OOM_SCOPE_NONE:
	case OOM_SCOPE_UNKNOWN: return NULL;
	}
	return NULL;
}

const char *witness_name(enum witness w)
{
	switch (w) {
	case WITNESS_NONE: return "none";
	case WITNESS_WAIT: return "wait";
	case WITNESS_BPF: return "bpf";
	case WITNESS_BOTH: return "both";
	}
	return "none";
}

void outcome_done(struct outcome *o)
{
	blob_unref(o->payload);
	*o = (struct outcome){};
}

/* Linux numbers of x86-64 and arm64 (they agree); the texts are Go's, which is what Lambda shows. */
static const struct { const char *name, *text; } signals[] = {
	[1] = { "SIGHUP", "hangup" },
	[2] = { "SIGINT", "interrupt" },
	[3] = { "SIGQUIT", "quit" },
	[4] = { "SIGILL", "illegal instruction" },
	[5] = { "SIGTRAP", "trace/breakpoint trap" },
	[6] = { "SIGABRT", "aborted" },
	[7] = { "SIGBUS", "bus error" },
	[8] = { "SIGFPE", "floating point exception" },
	[9] = { "SIGKILL", "killed" },
	[10] = { "SIGUSR1", "user defined signal 1" },
	[11] = { "SIGSEGV", "segmentation fault" },
	[12] = { "SIGUSR2", "user defined signal 2" },
	[13] = { "SIGPIPE", "broken pipe" },
	[14] = { "SIGALRM", "alarm clock" },
	[15] = { "SIGTERM", "terminated" },
	[16] = { "SIGSTKFLT", NULL },
	[17] = { "SIGCHLD", NULL },
	[18] = { "SIGCONT", NULL },
	[19] = { "SIGSTOP", NULL },
	[20] = { "SIGTSTP", NULL },
	[21] = { "SIGTTIN", NULL },
	[22] = { "SIGTTOU", NULL },
	[23] = { "SIGURG", NULL },
	[24] = { "SIGXCPU", NULL },
	[25] = { "SIGXFSZ", NULL },
	[26] = { "SIGVTALRM", NULL },
	[27] = { "SIGPROF", NULL },
	[28] = { "SIGWINCH", NULL },
	[29] = { "SIGIO", NULL },
	[30] = { "SIGPWR", NULL },
	[31] = { "SIGSYS", NULL },
};

const char *signal_text(int signo)
{
	static __thread char text[24];

	const size_t n = signo > 0 ? (size_t)signo : 0;

	if (n < ARRAY_SIZE(signals) && signals[n].text)
		return signals[n].text;
	snprintf(text, sizeof(text), "signal %d", signo);
	return text;
}

const char *signal_name(int signo)
{
	static __thread char text[24];

	const size_t n = signo > 0 ? (size_t)signo : 0;

	if (n < ARRAY_SIZE(signals) && signals[n].name)
		return signals[n].name;
	snprintf(text, sizeof(text), "SIG%d", signo);
	return text;
}
