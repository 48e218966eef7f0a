/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The unix socket's file is born under a temporary name, gets its mode and group there, begins to listen, and is then
 * renamed into place: at no moment can somebody connect who may not, or find a socket that does not answer yet.
 *
 * A lock on the directory is held from the question "does anybody listen?" to the rename, so two daemons started at
 * once cannot both find the socket stale. (Rejected: unlink and bind in place, which has both windows; a lock file
 * of its own, which would be litter.)
 */
#include "net/http_listen.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/mem.h"

#define BACKLOG 511
#define GROUPS_MAX 65536	/* NGROUPS_MAX of Linux */

int http_peers_resolve(const char *group, struct http_peers *ret, struct err *e)
{
	struct group g, *found = NULL;
	size_t size = 1024;
	int r;

	*ret = (struct http_peers){ .uid = geteuid() };
	if (!group || !*group)
		return 0;
	for (;;) {
		CLEAN(freep) char *text = xcalloc(1, size);

		r = getgrnam_r(group, &g, text, size, &found);
		if (r == ERANGE && size < (1 << 24)) {	/* a group with very many members */
			size *= 4;
			continue;
		}
		if (found) {
			ret->gid = found->gr_gid;
			ret->have_gid = true;
		}
		break;
	}
	/* "There is none" has several spellings, see getgrnam_r(3). */
	if (!found && r && r != ENOENT && r != ESRCH && r != EBADF && r != EPERM)
		return err_errno(e, -r, "group %s", group);
	return 0;
}

static bool in_groups(int fd, gid_t gid)
{
	socklen_t len = 64 * sizeof(gid_t);

	for (;;) {
		CLEAN(freep) gid_t *list = xcalloc(1, len ? len : sizeof(gid_t));
		socklen_t got = len;

		if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, list, &got) == 0) {
			for (size_t i = 0; i < got / sizeof(gid_t); i++)
				if (list[i] == gid)
					return true;
			return false;
		}
		if (errno != ERANGE || got <= len || got > GROUPS_MAX * sizeof(gid_t))
			return false;
		len = got;	/* the kernel says how much it needs */
	}
}

int http_peer_check(int fd, const struct http_peers *who, struct http_peer *ret, bool *ret_allowed)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	*ret_allowed = false;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return -errno;
	*ret = (struct http_peer){ .uid = cred.uid, .gid = cred.gid, .pid = cred.pid };
	*ret_allowed = cred.uid == 0 || cred.uid == who->uid ||
		(who->have_gid && (cred.gid == who->gid || in_groups(fd, who->gid)));
	return 0;
}

/* The directory of path, opened and locked. */
static int lock_dir(const char *path, struct err *e)
{
	const char *slash = strrchr(path, '/');
	CLEAN(freep) char *dir = slash ? xstrndup(path, slash == path ? 1 : (size_t)(slash - path)) : xstrdup(".");
	CLEAN(closep) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return err_errno(e, -errno, "%s", dir);
	while (flock(fd, LOCK_EX) < 0)
		if (errno != EINTR)
			return err_errno(e, -errno, "lock %s", dir);
	return TAKE_FD(fd);
}

/* 0: the path is free or its socket is stale. */
static int check_stale(const struct sockaddr_un *addr, struct err *e)
{
	CLEAN(closep) int fd = -EBADF;
	struct stat st;

	if (lstat(addr->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : err_errno(e, -errno, "%s", addr->sun_path);
	if (!S_ISSOCK(st.st_mode))
		return err_set(e, -EEXIST, "%s is there and is no socket", addr->sun_path);
	/* Non-blocking: a full backlog answers EAGAIN, and that is somebody listening. */
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_errno(e, -errno, "socket");
	if (connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0 || errno == EAGAIN)
		return err_set(e, -EADDRINUSE, "somebody listens on %s already", addr->sun_path);
	return errno == ECONNREFUSED || errno == ENOENT ? 0 : err_errno(e, -errno, "%s", addr->sun_path);
}

static int listen_at(const char *path, const struct http_peers *who, int *ret, struct err *e)
{
	CLEAN(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	if (fd < 0)
		return err_errno(e, -errno, "socket");
	memcpy(addr.sun_path, path, strlen(path) + 1);
	(void)unlink(path);	/* of a process that had our pid and died between bind and rename */
	if (bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
		return err_errno(e, -errno, "bind %s", path);
	/* Somebody who is not root and not in the group cannot give the file to it; then it is for this user alone. */
	if (who->have_gid && chown(path, (uid_t)-1, who->gid) < 0 && errno != EPERM)
		return err_errno(e, -errno, "group of %s", path);
	if (chmod(path, 0660) < 0)
		return err_errno(e, -errno, "mode of %s", path);
	if (listen(fd, BACKLOG) < 0)
		return err_errno(e, -errno, "listen on %s", path);
	*ret = TAKE_FD(fd);
	return 0;
}

int http_listen_unix(const char *path, const struct http_peers *who, int *ret, struct err *e)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	CLEAN(closep) int lock = -EBADF, fd = -EBADF;
	CLEAN(freep) char *born = NULL;
	int r;

	assert(path && who && ret);
	born = xasprintf("%s.%d", path, (int)getpid());
	if (!*path || strlen(born) >= sizeof(addr.sun_path))
		return err_set(e, -ENAMETOOLONG, "socket path of %zu bytes, %zu at most: %s", strlen(path),
			       sizeof(addr.sun_path) - 1 - (strlen(born) - strlen(path)), path);
	memcpy(addr.sun_path, path, strlen(path) + 1);
	lock = lock_dir(path, e);
	if (lock < 0)
		return lock;
	r = check_stale(&addr, e);
	if (r < 0)
		return r;
	r = listen_at(born, who, &fd, e);
	if (r == 0 && rename(born, path) < 0)
		r = err_errno(e, -errno, "rename to %s", path);
	if (r < 0) {
		(void)unlink(born);
		return r;
	}
	*ret = TAKE_FD(fd);
	return 0;
}
