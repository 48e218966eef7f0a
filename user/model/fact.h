/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Evidence about one environment, as witnesses report it; facts are merged, never overwritten by silence. */
#include <stdbool.h>
#include <stdint.h>

#include "base/blob.h"
#include "fate_event.h"

enum fact_kind {
	FACT_INVALID = 0,
	FACT_BPF_EXIT,		/* first witness: the leader's last thread is gone; bpf is filled */
	FACT_BPF_EMPTY,		/* first witness: no process is left */
	FACT_BPF_DEADLINE,	/* first witness: the deadline passed */
	FACT_BPF_OOM,
	FACT_WAIT,		/* second witness: waitid() on the pidfd; wait_status is filled */
	FACT_EMPTY,		/* second witness: cgroup.events says populated 0 */
	FACT_POPULATED,		/* asked after the leader's end: processes are left; FACT_EMPTY will follow */
	FACT_EXEC_FAILED,	/* the child reported (step, errno) and is gone, or will be: FACT_WAIT follows */
	FACT_TOO_LARGE,		/* stdout passed the limit */
	FACT_TIMER,		/* our own timer: second witness of the deadline, and the phases of the kill */
};

/* What one look at the pinned entry says. Signals and times as in fate_event.h. */
struct fact_bpf {
	bool seen;		/* there was an entry */
	bool incomplete;	/* some ends were not counted: sums over processes and threads lack them */
	bool reaped;		/* port_observe's scan: an earlier restart killed what ran here */
	struct fate_env env;	/* a copy of it (timer zeroed) */
};

/* Limits a definition asks for and the leaf could not have, for want of a controller. */
enum fact_missing { FACT_MISSING_MEMORY = 1, FACT_MISSING_PIDS = 2, FACT_MISSING_CPU = 4 };

#define FACT_PATH_MAX 256

/* What the launcher knows of the leaf when all is over. */
struct fact_cgroup {
	bool have_memory;	/* memory controller present in the leaf */
	uint64_t oom_kills;	/* memory.events: oom_kill */
	uint64_t own_ooms;	/* memory.events: oom, of the leaf and groups below it: their limit made the OOM killer act */
	uint64_t memory_peak;	/* bytes; 0 = unknown */
	uint64_t memory_limit;	/* bytes; 0 = none */
	/* Filled only when there were kills and own_ooms is 0: a group above whose limit made the OOM killer act meanwhile. */
	bool above_known;	/* it could be told: then above "" means that no group above was, the host itself was */
	char above[FACT_PATH_MAX];	/* its path below the cgroup mount */
	uint64_t above_limit;	/* bytes */
	bool have_cpu;		/* cpu.stat: the whole tree's, exact, whatever the controllers */
	uint64_t cpu_user_us, cpu_system_us, cpu_usage_us;
	unsigned int missing;	/* set of enum fact_missing */
};

struct fact {
	enum fact_kind kind;
	uint64_t cgroup_id;	/* the environment it is about (I6) */
	int64_t at_ns;		/* CLOCK_MONOTONIC, when the witness saw it */
	int wait_status;	/* FACT_WAIT: as of waitpid() */
	int error;		/* FACT_EXEC_FAILED: errno, positive; FACT_WAIT: it cannot be waited for, there is no status */
	char step[24];		/* FACT_EXEC_FAILED: the plan's step: "execve", "chdir", "setuid", … */
};

/* All that is known of one attempt when the judge is asked. Blobs are borrowed by the judge. */
struct evidence {
	struct fact_bpf bpf;
	struct fact_cgroup cgroup;
	bool have_wait;
	int wait_status;
	bool exec_failed;
	int exec_errno;
	char exec_step[24];
	char exec_path[256];
	bool too_large;
	bool deadline_by_timer;	/* our timer saw the deadline before the leader's end */
	bool killed_by_us;	/* cgroup.kill was written before the leader's end was known */
	bool interrupted;	/* found after a restart of the daemon: pipes and waitid are gone */
	char interrupted_why[128];	/* and why they could not be kept: for the record */
	bool adopted;		/* taken over from the daemon before us with its pipes; waitid is gone */
	bool stopped_by_us;	/* the daemon stopped and killed it; what it had written is there */
	bool launch_failed;	/* nothing was started: launch_error says why */
	char launch_error[256];	/* also with exec_failed, when there was no errno of a step to name */
	bool verdict_known;	/* the leader's end has been seen by some witness */
	unsigned int leftovers;	/* processes alive in the leaf when the leader had ended, before we killed them */
	unsigned int grace_survivors;	/* processes alive when the grace after SIGTERM was over */
	int64_t started_ns;	/* just before clone3 */
	int64_t ended_ns;	/* leader's end as the best witness has it */
	int64_t empty_ns;	/* last process gone */
	int64_t verdict_ns;	/* when we knew how it ended */
	int64_t queued_ns;	/* when it was ready to be started; 0 = unknown */
	int64_t claimed_ns;	/* when its turn came */
	bool cancelled;		/* killed because somebody asked for it */
	bool left_running;	/* Leftovers "warn": the answer did not wait for the processes it counts as leftovers */
	char sender_group[FACT_PATH_MAX];	/* path of bpf.env.sender.cgroup_id, oom_group of oom_limit_cgroup_id; "" = not known */
	char oom_group[FACT_PATH_MAX];
	struct blob *stderr_tail;	/* the last lines of stderr, capped; NULL = nothing */
	struct blob *out;	/* stdout, NULL = nothing */
	struct blob *error_report;	/* what came through FATE_ERROR_FD, NULL = nothing */
};
