/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * clone3 into a cgroup, then a plan of system calls that was ready before the clone, the last of them execve.
 *
 * The child shares the daemon's memory until it executes (CLONE_VM | CLONE_VFORK): copying the page tables of a
 * daemon with 20 MB in use costs more than the rest of the launch together. vfork suspends the *thread* that cloned
 * until then, and a program can keep it there (a hung network mount, a SIGSTOP from another process of its user), so
 * the clone is made by a worker: the caller waits only until the child exists, a few dozen microseconds.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct clone_args;

/* One system call of the child. Any result below zero ends the plan: (index, errno) is reported, status 127. */
struct sys_step {
	const char *name;	/* for people: "chdir" */
	long nr;		/* SYS_* */
	long arg[5];		/* pointers must live until the child has executed or ended */
};
#define SYS_PTR(p) ((long)(uintptr_t)(p))

/* Written by the child only when a step failed; read it after its end. */
struct sys_report { int32_t error; uint32_t step; };	/* error: positive errno, 0 = all well */

struct sys_spawn {
	/* The caller's: */
	const struct sys_step *steps;
	size_t n_steps;
	int cgroup_fd;		/* O_PATH is enough */
	bool copy;		/* copy the memory instead of sharing it (a plan that changes ids where fs.suid_dumpable=1) */
	/* Results: */
	int pidfd;		/* CLOEXEC, the caller's; -EBADF until there is a child */
	int pid;		/* informative */
	/* Private: */
	struct sys_report *report;
	struct sys_report own_report;
};

struct sys_spawner;
/* Makes the first worker. A few more come as they are needed; beyond these one is added whenever all are held up, up to
 * `workers_max`. They end with the spawner. */
int sys_spawner_new(unsigned int workers_max, struct sys_spawner **ret, struct err *e);
/* Waits until no child is between clone and exec any more, at most so long. False: some still are. */
bool sys_spawner_settle(struct sys_spawner *s, int64_t patience_ns);
/* NULL is fine. No child may be between clone and exec any more. */
struct sys_spawner *sys_spawner_free(struct sys_spawner *s);

/*
 * 0: the child exists (it may have ended already); s->pidfd is the caller's. The job and all its steps point to must
 * stay until the child has executed or ended. Negative: there is no child and there never was.
 * No fallback outside the cgroup: membership is identity (I6). One thread at a time may call it.
 */
int sys_spawner_start(struct sys_spawner *sp, struct sys_spawn *s, struct err *e);
/* The failed step, or NULL when all were done (or the child was killed before). After the child's end only. */
const struct sys_step *sys_spawn_failed(const struct sys_spawn *s, int *ret_errno);
/* Frees what a copied child needed. The job's own memory is the caller's. */
void sys_spawn_done(struct sys_spawn *s);

/* The real clone3 of the table. */
long sys_clone3_onto(struct clone_args *args, size_t size, void (*fn)(void *), void *arg);
