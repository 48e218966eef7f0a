/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A function's definition: one file of functions.d, read once into an immutable, reference-counted snapshot.
 * Members carry AWS Lambda's names in the file; ours are marked (*).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

#include "base/blob.h"
#include "model/arn.h"
#include "model/outcome.h"

enum func_mode { FUNC_MODE_EXEC = 0 };	/* "exec"; "runtime" is refused until it exists */

/* What is done about processes that are left when the leader has ended with success. After any other end they are
 * killed: the next attempt must not meet them. */
enum func_leftovers {
	FUNC_LEFTOVERS_KILL = 0,	/* killed at once */
	FUNC_LEFTOVERS_WAIT,		/* the attempt is over when they are gone; killed at the function's deadline */
	FUNC_LEFTOVERS_WARN,		/* the answer does not wait; they go on, hold their place, and are said in record and log */
};

/* RetryPolicy.<Verdict> (*): what follows from an attempt that ended with this verdict. Not given: MaximumRetryAttempts,
 * and for ExecFailed none. */
struct func_retry {
	bool given;
	int attempts;			/* Attempts: how often an event is run again after this verdict; 0 = on-failure at once */
	double timeout_factor;		/* TimeoutFactor: each such verdict multiplies the timeout of later attempts; ≥ 1 */
	int timeout_max_ms;		/* TimeoutMax, seconds in the file */
	double memory_factor;		/* MemoryFactor, likewise of MemorySize; ≥ 1 */
	int memory_max_mb;		/* MemoryMax */
	int64_t *delays_ms;		/* DelaysInSeconds; NULL = the function's RetryDelaysInSeconds */
	size_t n_delays;
};

struct func_rlimit { int resource; struct rlimit value; };	/* RLIMIT_* */

struct func {
	int refs;
	int version;				/* 0 = $LATEST; else a published one, which never changes */
	int64_t published_at_ms;		/* wall clock; published ones only */
	char *published_as;			/* its Description at the publishing; NULL = the definition's */
	struct blob *source;			/* the definition's JSON, as it was read: what is published */
	char name[LIM_FUNCTION_NAME_MAX + 1];	/* FunctionName */
	char *description;			/* Description, never NULL */
	enum func_mode mode;			/* Mode (*) */
	char **command;				/* Command (*): argv, NULL-terminated; [0] is absolute */
	char *working_dir;			/* WorkingDirectory (*), NULL = "/" */
	char **env;				/* Environment.Variables as "K=V", NULL-terminated, never NULL */
	int timeout_ms;				/* Timeout, seconds in the file; fractions allowed down to 0.001 (*) */
	int kill_grace_ms;			/* KillGracePeriod (*), seconds: SIGTERM first, cgroup.kill after; 0 = at once */
	int memory_mb;				/* MemorySize */
	int pids_max;				/* PidsMax (*), 0 = no limit */
	int cpu_percent;			/* CpuPercent (*), 100 = one CPU, 0 = no limit */
	char *user, *group;			/* User, Group (*): names or numbers; NULL = the daemon's */
	bool no_new_privs;			/* NoNewPrivileges (*), default true */
	struct func_rlimit *rlimits;		/* Rlimits (*): {"NOFILE": 1024, "CORE": [soft, hard], …} */
	size_t n_rlimits;
	int reserved_concurrency;		/* ReservedConcurrentExecutions; -1 = none set */
	int retries_max;			/* EventInvokeConfig.MaximumRetryAttempts */
	bool recursive_loop;			/* RecursiveLoop: "Allow"; default "Terminate" */
	int poison_after;			/* RetryPolicy.PoisonAfter (*): so many equal deaths in a row end the retries; 0 = never */
	int event_age_max_s;			/* EventInvokeConfig.MaximumEventAgeInSeconds */
	int64_t *retry_delays_ms;		/* RetryDelaysInSeconds (*); the last one repeats; fractions allowed */
	size_t n_retry_delays;			/* ≥ 1 */
	struct target on_success, on_failure;	/* EventInvokeConfig.DestinationConfig (or DestinationConfig) */
	struct target dead_letter;		/* DeadLetterConfig.TargetArn: a queue or a topic */
	struct func_retry retry[OUTCOME_MAX];	/* RetryPolicy (*) */
	enum func_leftovers leftovers;		/* Leftovers (*): "kill", "wait", "warn" */
	bool oom_group;				/* OomGroup (*), default true: an OOM kill takes the whole tree (memory.oom.group) */
	bool require_limits;			/* RequireLimits (*): refused on a host that cannot keep its limits */
	bool record_fate;			/* RecordFate (*), default true: the record's extra member "fate" */
};

struct func *func_new(void);			/* all defaults, no name and no command */
struct func *func_ref(struct func *f);
struct func *func_unref(struct func *f);	/* NULL in; returns NULL */
DEFINE_FREEP(func_unref, struct func *)

/* One thing wrong with a definition file. */
struct func_problem { char *path; char *reason; };	/* path: JSON path, "$.Environment.Variables.PATH" */
struct func_problems { struct func_problem *list; size_t n; };
void func_problems_add(struct func_problems *p, const char *path, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void func_problems_done(struct func_problems *p);

/*
 * Reads one definition (model/func_def.c). Pure: touches no file system. All problems are reported together, in
 * file order; unknown members are problems. Returns 0 and *ret only when there are none, else -EINVAL and *ret is
 * left alone. Strict JSON; a member given twice is a problem.
 */
int func_parse(const char *json, size_t len, struct func **ret, struct func_problems *problems);
