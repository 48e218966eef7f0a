/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The barest supervisor that still does the job: a fresh group, a pipe each for the event and the answer, clone3 into
 * the group, execve, read the answer to its end, waitid on the pidfd, rmdir. No limits, no environment to build, no
 * user to change to, no signal state, no log, no error channel, nothing kept: what fated does beyond this is what the
 * ratio shows. An ordinary copy-on-write clone, not CLONE_VM, of a process that is small (the benchmark's own).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "bench/bench.h"

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

void bare_leaf(struct bare *p, int parent)
{
	static unsigned int seq;
	struct stat st;

	*p = (struct bare){ .parent = parent, .pidfd = -EBADF, .in = -EBADF, .out = -EBADF };
	snprintf(p->name, sizeof(p->name), "b%u", ++seq);
	bench_check(mkdirat(parent, p->name, 0755), "mkdir of a group");
	p->leaf = bench_check(openat(parent, p->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC), "open of a group");
	bench_check(fstat(p->leaf, &st), "fstat of a group");
	p->cgroup_id = st.st_ino;
}

static void child(int in, int out, char *const *argv)
{
	char path[] = "PATH=/usr/bin:/bin";
	char *const env[] = { path, NULL };

	if (dup2(in, STDIN_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0)
		execve(argv[0], argv, env);
	_exit(127);
}

void bare_start(struct bare *p, char *const *argv, const char *event, size_t len)
{
	struct clone_args args = {
		.flags = CLONE_PIDFD | CLONE_INTO_CGROUP, .exit_signal = SIGCHLD,
		.pidfd = (uint64_t)(uintptr_t)&p->pidfd, .cgroup = (uint64_t)p->leaf,
	};
	int in[2], out[2];
	long pid;

	bench_check(pipe2(in, O_CLOEXEC), "pipe");
	bench_check(pipe2(out, O_CLOEXEC), "pipe");
	/* At most 64 KiB: it fits before there is a reader. */
	if (write(in[1], event, len) != (ssize_t)len)
		bench_die("event of %zu bytes: %s", len, strerror(errno));
	close(in[1]);
	pid = bench_check((int)syscall(SYS_clone3, &args, sizeof(args)), "clone3");
	if (pid == 0)
		child(in[0], out[1], argv);
	close(in[0]);
	close(out[1]);
	p->out = out[0];
}

size_t bare_answer(struct bare *p, char *out, size_t size)
{
	size_t used = 0;
	ssize_t n;

	while ((n = bench_check((int)read(p->out, out + used, size - used), "answer")) > 0)
		used += (size_t)n;
	return used;
}

void bare_kill(struct bare *p)
{
	CLEAN(closep) int fd = bench_check(openat(p->leaf, "cgroup.kill", O_WRONLY | O_CLOEXEC), "cgroup.kill");

	if (write(fd, "1", 1) != 1)
		bench_die("cgroup.kill: %s", strerror(errno));
}

/* A process whose exit was seen is in its group for some microseconds more. With one process waitid() has been the
 * wait for that, and the first try succeeds; a tree's other members are someone else's to wait for. */
static void remove_leaf(struct bare *p)
{
	int64_t end = clock_mono_ns() + 10 * NS_PER_S;

	while (unlinkat(p->parent, p->name, AT_REMOVEDIR) < 0) {
		if (errno != EBUSY || clock_mono_ns() > end)
			bench_die("rmdir of a group: %s", strerror(errno));
		usleep(100);
	}
}

int bare_end(struct bare *p)
{
	siginfo_t si = {};

	bench_check(waitid((idtype_t)P_PIDFD, (id_t)p->pidfd, &si, WEXITED), "waitid");
	remove_leaf(p);
	close(p->pidfd);
	close(p->out);
	close(p->leaf);
	return si.si_code == CLD_EXITED ? si.si_status << 8 : si.si_status;
}
