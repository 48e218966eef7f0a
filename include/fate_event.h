/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the kernel half tells the daemon: pinned-map entries (the truth) and ring-buffer records (the wake-up).
 *
 * Rules: fixed-width integers and byte arrays only; padding explicit and zeroed; kind numbers never reused; a
 * change of any layout below bumps FATE_LAYOUT_VERSION. tests/bpf compares these structs with the object's BTF.
 *
 * Times are CLOCK_MONOTONIC nanoseconds (bpf_ktime_get_ns), 0 = has not happened.
 * The kernel half includes vmlinux.h first; user space gets the types from <linux/types.h>.
 */
#ifndef FATE_EVENT_H
#define FATE_EVENT_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

#define FATE_LAYOUT_VERSION 2

#define FATE_COMM_LEN 16
#define FATE_NAME_LEN 64	/* function name, cut */
#define FATE_REQUEST_ID_LEN 40	/* UUID and terminator, padded */

enum fate_ev_kind {
	FATE_EV_INVALID = 0,
	FATE_EV_EXEC = 1,	/* a process of a watched environment executed a program */
	FATE_EV_EXIT = 2,	/* the last thread of a process is gone */
	FATE_EV_SIGNAL = 3,	/* a signal whose default is to end the process was sent to one */
	FATE_EV_OOM = 4,	/* the OOM killer chose a process of the environment */
	FATE_EV_DEADLINE = 5,	/* the environment's deadline passed while its leader lived */
	FATE_EV_FORK = 6,	/* a process came into a watched environment; a record is emitted for the leader only */
	FATE_EV_KIND_MAX
};

/* fate_ev_hdr.flags */
#define FATE_EVF_LEADER 1u	/* about the environment's leader (the process clone3 put there) */
#define FATE_EVF_LAST 2u	/* with EXIT: no process of the environment is left */

/* Every ring record starts with this. 40 bytes: start_ns is the second half of the entry's key. */
struct fate_ev_hdr {
	__u16 kind;		/* enum fate_ev_kind */
	__u16 size;		/* of the whole record */
	__u32 flags;		/* FATE_EVF_* */
	__u64 at_ns;
	__u64 cgroup_id;	/* the environment's leaf, also when the process is in a group nested below */
	__u64 start_ns;
	__u32 tgid;		/* informative: identity is (cgroup_id, start_ns) */
	__u32 pad;
};

/* Who sent a signal. */
#define FATE_SENDER_KNOWN 1u
#define FATE_SENDER_KERNEL 2u	/* the kernel itself: a fault, the OOM killer, a resource limit */
struct fate_sender {
	__u32 pid;		/* thread group id, initial pid namespace */
	__u32 uid;		/* initial user namespace */
	__s32 sig;
	__s32 si_code;
	__u32 flags;		/* FATE_SENDER_* */
	__u32 pad;
	__u64 cgroup_id;
	__u64 at_ns;
	char comm[FATE_COMM_LEN];
};

struct fate_ev_exec { struct fate_ev_hdr h; char comm[FATE_COMM_LEN]; };
struct fate_ev_exit {
	struct fate_ev_hdr h;
	__s32 exit_code;	/* raw, as waitpid() gives it: signal in bits 0–6, core bit 7, status in 8–15 */
	__u32 pad;
	char comm[FATE_COMM_LEN];
};
struct fate_ev_signal { struct fate_ev_hdr h; struct fate_sender sender; };
struct fate_ev_oom {
	struct fate_ev_hdr h;
	__u32 scope;		/* enum fate_oom_scope */
	__u32 pad;
	__u64 limit_cgroup_id;
	__u64 limit_bytes;
	char comm[FATE_COMM_LEN];
};
struct fate_ev_deadline { struct fate_ev_hdr h; };
struct fate_ev_fork { struct fate_ev_hdr h; };

/* Whose memory limit made the OOM killer act, from struct oom_control. */
enum fate_oom_scope {
	FATE_OOM_NONE = 0,
	FATE_OOM_OWN = 1,	/* the environment's own leaf, or a group below it */
	FATE_OOM_ANCESTOR = 2,	/* a group above it */
	FATE_OOM_HOST = 3,	/* the machine, a cpuset or NUMA policy: no memory cgroup */
	FATE_OOM_UNKNOWN = 4	/* the hook that knows could not be attached (mark_victim only) */
};

/*
 * Maps
 *   fate_watch  hash, cgroup id (__u64) → struct fate_watch. The one look-up an event of a foreign cgroup costs.
 *   fate_env    hash, struct fate_env_key → struct fate_env. The truth; the daemon creates and deletes entries,
 *               the kernel half fills them. Outlives the daemon (pinned).
 *   fate_ring   ring buffer of the records above.
 *   fate_count  per-CPU array by kind → struct fate_count: events seen, and records that could not be reserved.
 *   fate_meta   array of one struct fate_meta: layout version, boot identity.
 */
struct fate_count {
	__u64 seen;	/* events of the kind in watched environments: what starts (FORK) and exits (EXIT) are added up from */
	__u64 dropped;	/* of them, those whose record found no room in the ring */
};

struct fate_watch {
	__u64 start_ns;		/* key's second half: when the daemon began to watch */
	__u64 reaped_ns;	/* a restarted daemon was about to kill what ran here; 0 = no. Written by user space alone */
};

struct fate_env_key {
	__u64 cgroup_id;
	__u64 start_ns;
};

/* fate_env.flags, set once by the kernel half */
#define FATE_ENV_LEADER_EXITED 1u
#define FATE_ENV_DEADLINE_HIT 2u	/* the deadline passed before the leader's exit */
#define FATE_ENV_EMPTY 4u		/* the last process left after the leader had exited */

/* What the environment's threads used, added up as each of them ends (whoever reaps it). known says which members the
 * kernel keeps at all. */
#define FATE_ACCT_WAIT 1u	/* wait_ns */
#define FATE_ACCT_IO 2u		/* read_bytes … written_storage */
#define FATE_ACCT_RSS 4u	/* peak_rss of at least one process */
struct fate_acct {
	__u64 cpu_ns;		/* on a processor; may lack a thread's last moments, up to a timer tick: the leaf's cpu.stat is exact */
	__u64 wait_ns;		/* ready to run, and no processor free */
	__u64 life_ns;		/* from its start to its end */
	__u64 minor_faults, major_faults;
	__u64 voluntary_switches, involuntary_switches;
	__u64 read_bytes, written_bytes;	/* through read() and write() and their like */
	__u64 read_storage, written_storage;	/* that had to come from, or are to go to, a block device */
	__u64 peak_rss;		/* bytes: the largest resident set of any one process */
	__u32 threads;		/* ended */
	__u32 known;		/* FATE_ACCT_* */
};

/* What the environment's living threads were using when somebody last walked the tasks (reading DIR/fate_live does). */
struct fate_live {
	__u64 session;		/* the walk's; 0 = there was none */
	__u64 at_ns;
	__u64 cpu_ns;		/* of the living; acct.cpu_ns has the others */
	__u64 rss_bytes;
	__u32 procs, threads;
};

struct fate_env {
	__u64 timer[2];			/* struct bpf_timer; first, and opaque to user space (reads as 0) */
	char function[FATE_NAME_LEN];
	char request_id[FATE_REQUEST_ID_LEN];
	__u32 attempt;			/* 1, 2, … */
	__u32 flags;			/* FATE_ENV_* */
	__u64 timeout_ns;		/* from the leader's fork; 0 = none */
	__u64 fork_ns;			/* leader appeared in the leaf */
	__u64 exec_ns;			/* leader's first exec; 0 with an exit: it never ran the program */
	__u64 deadline_ns;		/* fork_ns + timeout_ns */
	__u64 deadline_hit_ns;		/* the timer's call-back ran and the leader was alive */
	__u64 exit_ns;			/* leader's last thread */
	__u64 empty_ns;			/* latest moment procs_exited caught up with procs_forked */
	__u32 leader_tgid;
	__s32 exit_code;		/* leader's raw status, valid with FATE_ENV_LEADER_EXITED */
	__u32 procs_forked;		/* processes (not threads) that ever were in the leaf or below, the leader included */
	__u32 procs_exited;
	__u32 execs;
	__u32 oom_kills;
	__u32 oom_scope;		/* enum fate_oom_scope of the first kill */
	__u32 oom_victim_tgid;
	__u64 oom_ns;
	__u64 oom_limit_cgroup_id;	/* the group whose limit it was; 0 = host or unknown */
	char oom_victim_comm[FATE_COMM_LEN];
	struct fate_sender sender;	/* of the signal that ended the leader; flags 0 = not by a signal, or unseen */
	__u64 oom_limit_bytes;		/* that group's memory.max; 0 = none or unknown */
	__u64 rss_floor;		/* bytes the leader's peak seems to have from before its exec (from the daemon's image); see peak_rss */
	struct fate_acct acct;
	struct fate_live live;
};

struct fate_meta {
	__u32 layout_version;
	__u32 pad;
	__u64 root_cgroup_id;
};

#ifndef __cplusplus
_Static_assert(sizeof(struct fate_ev_hdr) == 40, "wire layout");
_Static_assert(sizeof(struct fate_sender) == 56, "wire layout");
_Static_assert(sizeof(struct fate_env_key) == 16, "wire layout");
_Static_assert(sizeof(struct fate_acct) == 104, "wire layout");
_Static_assert(sizeof(struct fate_live) == 40, "wire layout");
_Static_assert(sizeof(struct fate_env) == 464, "wire layout");
#endif

#endif
