/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The real system calls behind the table. A table rather than wrapped symbols or a linker trick: tests replace one
 * pointer, production pays one indirect call, and what a module may do to the outside can be read in one header.
 */
#include "sys/sys_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "sys/sys_spawn.h"

#define RET(x) ({ __typeof__(x) _r = (x); _r < 0 ? (__typeof__(x))-errno : _r; })

static int do_openat(int dirfd, const char *path, int flags, mode_t mode)
{
	return RET(openat(dirfd, path, flags | O_CLOEXEC, mode));
}

static int do_open_by_id(int fd, uint64_t id, int flags)
{
	/* <linux/exportfs.h>: FILEID_KERNFS, whose handle is the id. */
	struct { unsigned int bytes; int type; uint64_t id; } h = { .bytes = sizeof(h.id), .type = 0xfe, .id = id };

	return (int)RET(syscall(SYS_open_by_handle_at, fd, &h, flags | O_CLOEXEC));
}

static ssize_t do_readlink(const char *path, char *ret, size_t size)
{
	return RET(readlink(path, ret, size));
}

static int do_close(int fd)
{
	return RET(close(fd));
}

static int do_mkdirat(int dirfd, const char *path, mode_t mode)
{
	return RET(mkdirat(dirfd, path, mode));
}

static int do_unlinkat(int dirfd, const char *path, int flags)
{
	return RET(unlinkat(dirfd, path, flags));
}

static int do_fstat(int fd, struct stat *st)
{
	return RET(fstat(fd, st));
}

static ssize_t do_read(int fd, void *data, size_t len)
{
	ssize_t n;

	do
		n = read(fd, data, len);
	while (n < 0 && errno == EINTR);
	return RET(n);
}

static ssize_t do_pread(int fd, void *data, size_t len, off_t at)
{
	ssize_t n;

	do
		n = pread(fd, data, len, at);
	while (n < 0 && errno == EINTR);
	return RET(n);
}

static ssize_t do_write(int fd, const void *data, size_t len)
{
	ssize_t n;

	do
		n = write(fd, data, len);
	while (n < 0 && errno == EINTR);
	return RET(n);
}

static ssize_t do_pwrite(int fd, const void *data, size_t len, off_t at)
{
	ssize_t n;

	do
		n = pwrite(fd, data, len, at);
	while (n < 0 && errno == EINTR);
	return RET(n);
}

static int do_pipe2(int fds[2], int flags)
{
	return RET(pipe2(fds, flags | O_CLOEXEC));
}

static int do_memfd_create(const char *name, unsigned int flags)
{
	return RET(memfd_create(name, flags | MFD_CLOEXEC));
}

static int do_fcntl(int fd, int cmd, long arg)
{
	return RET(fcntl(fd, cmd, arg));
}

static ssize_t do_splice(int pipe, int file, off_t at, size_t len)
{
	ssize_t n;
	loff_t off;

	do {
		off = at;
		n = splice(pipe, NULL, file, &off, len, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
	} while (n < 0 && errno == EINTR);
	return RET(n);
}

static ssize_t do_sendmsg(int fd, const struct msghdr *m, int flags)
{
	ssize_t n;

	do
		n = sendmsg(fd, m, flags);
	while (n < 0 && errno == EINTR);
	return RET(n);
}

static int do_epoll_create(void)
{
	return RET(epoll_create1(EPOLL_CLOEXEC));
}

static int do_epoll_add(int epfd, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event ev = { .events = events, .data.u64 = data };

	return RET(epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev));
}

static int do_epoll_wait(int epfd, struct epoll_event *events, int max)
{
	return RET(epoll_wait(epfd, events, max, 0));
}

static int do_inotify_init(void)
{
	return RET(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
}

static int do_inotify_add(int ifd, const char *path, uint32_t mask)
{
	return RET(inotify_add_watch(ifd, path, mask));
}

static int wait_status(int pidfd, int options, int *ret_status)
{
	siginfo_t si = {};
	int r;

	do
		r = waitid((idtype_t)P_PIDFD, (id_t)pidfd, &si, options);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	if (!si.si_pid)
		return -EAGAIN;
	switch (si.si_code) {
	case CLD_EXITED:
		*ret_status = (si.si_status & 0xff) << 8;
		break;
	case CLD_DUMPED:
		*ret_status = (si.si_status & 0x7f) | 0x80;
		break;
	default:
		*ret_status = si.si_status & 0x7f;
		break;
	}
	return 0;
}

static int do_wait_pidfd(int pidfd, int *ret_status)
{
	return wait_status(pidfd, WEXITED, ret_status);
}

static int do_reap_pidfd(int pidfd, int *ret_status)
{
	return wait_status(pidfd, WEXITED | WNOHANG, ret_status);
}

struct sys_calls sys = {
	.openat = do_openat,
	.open_by_id = do_open_by_id,
	.readlink = do_readlink,
	.close = do_close,
	.mkdirat = do_mkdirat,
	.unlinkat = do_unlinkat,
	.fstat = do_fstat,
	.read = do_read,
	.pread = do_pread,
	.write = do_write,
	.pwrite = do_pwrite,
	.pipe2 = do_pipe2,
	.memfd_create = do_memfd_create,
	.fcntl = do_fcntl,
	.splice = do_splice,
	.sendmsg = do_sendmsg,
	.epoll_create = do_epoll_create,
	.epoll_add = do_epoll_add,
	.epoll_wait = do_epoll_wait,
	.inotify_init = do_inotify_init,
	.inotify_add = do_inotify_add,
	.wait_pidfd = do_wait_pidfd,
	.reap_pidfd = do_reap_pidfd,
	.clone3 = sys_clone3_onto,
};

ssize_t sys_read_file(int dirfd, const char *path, char *ret, size_t size)
{
	CLEAN(sys_closep) int fd = sys.openat(dirfd, path, O_RDONLY, 0);
	ssize_t n;

	if (fd < 0)
		return fd;
	n = sys.read(fd, ret, size - 1);
	if (n >= 0)
		ret[n] = '\0';
	return n;
}

int sys_write_file(int dirfd, const char *path, const char *text)
{
	CLEAN(sys_closep) int fd = sys.openat(dirfd, path, O_WRONLY, 0);
	ssize_t n;

	if (fd < 0)
		return fd;
	n = sys.write(fd, text, strlen(text));
	if (n < 0)
		return (int)n;
	return (size_t)n == strlen(text) ? 0 : -EIO;
}
