/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What the engine asks of the launcher: one environment for one attempt (exec mode), in steps the engine orders,
 * because the observer must know the leaf before the first process is in it.
 *
 *   prepare  leaf made, limits written, pipes and plan ready; nothing runs yet
 *   start    clone3 into the leaf; from here facts arrive: EXEC_FAILED, TOO_LARGE, WAIT, EMPTY
 *   term/kill, populated, count
 *   collect  after the end: what is in the pipes, what the leaf's files say
 *   release  the leaf is removed (it must be empty) and everything freed
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/err.h"
#include "model/fact.h"
#include "model/func.h"

#define PORT_LAUNCH_VERSION 3

/* Where witnesses report; the engine implements it (engine/intake.h). Called on the loop's thread only. */
struct fact_sink {
	void *self;
	void (*fact)(void *self, const struct fact *f);
	/* stderr of an environment, as it comes; not a line at a time. */
	void (*output)(void *self, uint64_t cgroup_id, const char *data, size_t len);
};

struct launch_spec {
	const struct func *func;	/* the environment keeps a reference of its own */
	char name[64];			/* leaf's directory name, unique on this host: "e<seq>-<start>-<random>" */
	const char *request_id;
	const char *region;
	const char *function_arn;	/* as invoked */
	const char *version;		/* "$LATEST" */
	int64_t deadline_wall_ms;
	int attempt;
	int timeout_ms, memory_mb;	/* of this attempt: policy may have raised the definition's */
	const char *previous;		/* verdict of the attempt before, NULL = none or unknown */
	struct blob *payload;		/* the event, for stdin; may be NULL */
	/* Its pipes are to outlive this daemon, where that can be (adopt): after a crash of ours when it had run for a moment
	 * (launch_config.keep_after_ms), after abandon() in any case. */
	bool keep;
};

/* What an earlier daemon started, to be taken over. */
struct launch_adopt {
	uint64_t cgroup_id;
	struct func *func;		/* the environment keeps a reference of its own */
	const char *request_id;
	int attempt;
};

struct env_proc;	/* one environment, the launcher's own */
struct port_launch;
struct port_launch_ops {
	int version;
	/* Nothing is left behind on failure. -ESRCH: there is no such user or group; all else is ours or the host's fault. */
	int (*prepare)(struct port_launch *l, const struct launch_spec *spec, struct env_proc **ret, uint64_t *ret_cgroup_id,
		       struct err *e);
	/* Failure: no process exists; release() is still owed. */
	int (*start)(struct port_launch *l, struct env_proc *p, struct err *e);
	/* SIGTERM to every process of the leaf and below, as far as they can be listed at this moment. */
	void (*term)(struct port_launch *l, struct env_proc *p);
	/* cgroup.kill: SIGKILL to the whole tree, forks included. */
	int (*kill)(struct port_launch *l, struct env_proc *p, struct err *e);
	/* 0: cgroup.events says populated 0. 1: not yet, and FACT_EMPTY will come when it is. */
	int (*populated)(struct port_launch *l, struct env_proc *p);
	/* Processes alive in the leaf and below, leader included, zombies not. */
	unsigned int (*count)(struct port_launch *l, struct env_proc *p);
	/* Fills ret; *ret_out, *ret_report get references or NULL. Drains what is in the pipes. May be called again:
	 * then everything that came so far is given once more. */
	void (*collect)(struct port_launch *l, struct env_proc *p, struct fact_cgroup *ret, struct blob **ret_out,
			struct blob **ret_report);
	/* The path of a cgroup below the cgroup2 mount ("/system.slice/cron.service"). -ENOENT: it is gone, or never was. */
	int (*group_path)(struct port_launch *l, uint64_t cgroup_id, char *ret, size_t size);
	/* NULL is fine. The leaf must be empty (or never started). What was kept for a later daemon is given up. */
	void (*release)(struct port_launch *l, struct env_proc *p);
	/* This daemon ends, the environment goes on: memory and descriptors are freed, the leaf and what is kept stay. */
	void (*abandon)(struct port_launch *l, struct env_proc *p);
	/* At start, before reap(): the environment as if start() had been ours, running or ended meanwhile. Output that the
	 * earlier daemon had read is there, too. The facts follow as ever, but FACT_WAIT comes without a status (error
	 * ECHILD): whoever started it is gone. -ENOENT and a sentence for the record when it cannot be: no leaf, or its
	 * descriptors were not kept ("no file descriptor store"). Then nothing was changed. */
	int (*adopt)(struct port_launch *l, const struct launch_adopt *a, struct env_proc **ret, struct err *e);
	/* At start: kills whatever an earlier run left in the subtree and was not adopted, waits until empty (bounded),
	 * removes those leaves, gives up what was kept for them. Calls gone() once per leaf with its cgroup id. What is killed
	 * and does not go (stuck in the kernel) is left behind. Before the loop runs; may block. */
	int (*reap)(struct port_launch *l, void (*gone)(void *arg, uint64_t cgroup_id, const char *name), void *arg, struct err *e);
};
struct port_launch { const struct port_launch_ops *ops; };
