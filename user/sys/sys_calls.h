/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The system calls of the launch path, in one replaceable table, so that a test can fail any of them.
 * Every entry returns the result, or a negative errno; errno itself is not part of the contract.
 */
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>

struct clone_args;

struct sys_calls {
	int (*openat)(int dirfd, const char *path, int flags, mode_t mode);	/* O_CLOEXEC is added */
	/* A file of the kernfs that fd is in, by its 64-bit id: open_by_handle_at(). O_CLOEXEC is added. */
	int (*open_by_id)(int fd, uint64_t id, int flags);
	ssize_t (*readlink)(const char *path, char *ret, size_t size);		/* not terminated */
	int (*close)(int fd);
	int (*mkdirat)(int dirfd, const char *path, mode_t mode);
	int (*unlinkat)(int dirfd, const char *path, int flags);
	int (*fstat)(int fd, struct stat *st);
	ssize_t (*read)(int fd, void *data, size_t len);
	ssize_t (*pread)(int fd, void *data, size_t len, off_t at);
	ssize_t (*write)(int fd, const void *data, size_t len);
	ssize_t (*pwrite)(int fd, const void *data, size_t len, off_t at);
	int (*pipe2)(int fds[2], int flags);					/* O_CLOEXEC is added */
	int (*memfd_create)(const char *name, unsigned int flags);		/* MFD_CLOEXEC is added */
	int (*fcntl)(int fd, int cmd, long arg);
	/* From a pipe into a file at `at`; never waits: -EAGAIN. What it returns has left the one and is in the other. */
	ssize_t (*splice)(int pipe, int file, off_t at, size_t len);
	ssize_t (*sendmsg)(int fd, const struct msghdr *m, int flags);
	int (*epoll_create)(void);						/* CLOEXEC */
	int (*epoll_add)(int epfd, int fd, uint32_t events, uint64_t data);
	int (*epoll_wait)(int epfd, struct epoll_event *events, int max);	/* never waits */
	int (*inotify_init)(void);						/* CLOEXEC, non-blocking */
	int (*inotify_add)(int ifd, const char *path, uint32_t mask);
	int (*wait_pidfd)(int pidfd, int *ret_status);	/* blocks; the status as waitpid() gives it; -EINTR never */
	int (*reap_pidfd)(int pidfd, int *ret_status);	/* the same without waiting: -EAGAIN */
	/* clone3 on a stack of its own; the child runs fn(arg), which never returns. */
	long (*clone3)(struct clone_args *args, size_t size, void (*fn)(void *), void *arg);
};
extern struct sys_calls sys;

/* CLEAN(sys_closep): closes through the table. */
static inline void sys_closep(int *fd)
{
	if (*fd >= 0)
		(void)sys.close(*fd);
	*fd = -9;	/* -EBADF */
}

/* A small file of kernfs or procfs, relative to dirfd (AT_FDCWD, absolute paths as usual): such a file comes whole in
 * one read. Cut at size - 1 and terminated. Returns its length. */
ssize_t sys_read_file(int dirfd, const char *path, char *ret, size_t size);
/* One write() of text to an existing file. */
int sys_write_file(int dirfd, const char *path, const char *text);
