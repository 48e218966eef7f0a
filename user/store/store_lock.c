/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flock on PATH-lock, a file that is never removed (removing it would let two daemons lock two files of that name).
 * Not on the database itself: SQLite's own locks are per process and fall when any descriptor of the file is closed.
 * The pid inside is for the sentence only; the lock decides.
 */
#include "store/store_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/lock.h"
#include "base/mem.h"

static int in_use(const char *path, int fd, struct err *e)
{
	char holder[32] = "";
	ssize_t n = pread(fd, holder, sizeof(holder) - 1, 0);

	holder[n > 0 ? (size_t)n : 0] = '\0';
	holder[strspn(holder, "0123456789")] = '\0';
	return err_set(e, -EBUSY, "%s: another daemon uses it%s%s%s", path, holder[0] ? " (pid " : "", holder,
		       holder[0] ? ")" : "");
}

int store_lock_take(const char *path, int *ret, struct err *e)
{
	CLEAN(freep) char *name = xasprintf("%s-lock", path);
	CLEAN(closep) int fd = -EBADF;
	char pid[32];
	int n, r;

	fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_errno(e, -errno, "%s", name);
	r = lock_take(fd);
	if (r < 0)
		return r == -EWOULDBLOCK ? in_use(path, fd, e) : err_errno(e, r, "%s: lock", name);
	n = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	if (ftruncate(fd, 0) < 0 || pwrite(fd, pid, (size_t)n, 0) != n)
		return err_errno(e, errno ? -errno : -EIO, "%s: write", name);
	*ret = TAKE_FD(fd);
	return 0;
}
