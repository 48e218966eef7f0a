/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FDPOLL=0 matters: without it systemd drops a pipe as soon as its last writer is gone, with the data in it, which is
 * just when a function has ended while we were not there.
 *
 * Considered and rejected: sd_pid_notify_with_fds(). It opens a socket for each message and waits when systemd is
 * behind with reading; the loop would stand still with it. Here a full queue costs one environment its adoption, or
 * delays a removal until the next message.
 */
#include "launch/launch_keep.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>

#include "base/mem.h"
#include "sys/sys_calls.h"

#define PENDING_MAX 65536u	/* removals; systemd's default for a whole machine is far below */
#define SEND_BUFFER (4 << 20)

struct notify {
	struct launch_keeper keeper;
	int fd;
	struct sockaddr_un to;
	socklen_t to_len;
	char **pending;			/* names whose removal is still to be said, oldest first */
	size_t n_pending, cap_pending;
};

/* ---- what came ----------------------------------------------------------------------------------------------- */

void launch_kept_add(struct launch_kept_list *l, const char *name, int fd)
{
	l->v = xrealloc(l->v, (l->n + 1) * sizeof(*l->v));
	l->v[l->n++] = (struct launch_kept){ .name = xstrdup(name), .fd = fd };
}

void launch_kept_done(struct launch_kept_list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		sys_closep(&l->v[i].fd);
		free(l->v[i].name);
	}
	free(l->v);
	*l = (struct launch_kept_list){};
}

static const char *digits(const char *s)
{
	const char *p = s;

	while (*p >= '0' && *p <= '9')
		p++;
	return p > s ? p : "";
}

bool launch_keep_is_leaf(const char *name)
{
	const char *p = name[0] >= 'a' && name[0] <= 'z' ? digits(name + 1) : "";

	if (*p++ != '-')
		return false;
	p = digits(p);
	return *p == '-' && strlen(p + 1) == 8 && strspn(p + 1, "0123456789abcdef") == 8;
}

bool launch_keep_name_ok(const char *name)
{
	size_t n = strlen(name);

	for (const char *p = name; *p; p++)
		if (*p < ' ' || *p > '~' || *p == ':')
			return false;
	return n > 0 && n <= LAUNCH_KEEP_NAME_MAX;
}

void launch_keep_received(struct launch_kept_list *ret)
{
	char **names = NULL;
	int n = sd_listen_fds_with_names(1, &names);

	*ret = (struct launch_kept_list){};
	for (int i = 0; i < n; i++)
		if (names && names[i] && launch_keep_is_leaf(names[i]))
			launch_kept_add(ret, names[i], SD_LISTEN_FDS_START + i);
	xfree_strings(names);
}

/* ---- what is said -------------------------------------------------------------------------------------------- */

bool launch_keep_available(void)
{
	const char *max = getenv("FDSTORE"), *ours = getenv("FATED_FDSTORE"), *to = getenv("NOTIFY_SOCKET");
	char *end = NULL;
	bool by_systemd = max && max[0] >= '0' && max[0] <= '9' && strtoul(max, &end, 10) > 0 && !*end;

	return to && *to && (by_systemd || (ours && strcmp(ours, "1") == 0));
}

static int tell(struct notify *k, const char *text, const int *fds, size_t n)
{
	union { char data[CMSG_SPACE(LAUNCH_KEEP_FDS_MAX * sizeof(int))]; struct cmsghdr align; } control = {};
	struct iovec iov = { .iov_base = (char *)text, .iov_len = strlen(text) };
	struct msghdr m = { .msg_name = &k->to, .msg_namelen = k->to_len, .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t r;

	if (n) {
		struct cmsghdr *c;

		m.msg_control = control.data;
		m.msg_controllen = CMSG_SPACE(n * sizeof(int));
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(c), fds, n * sizeof(int));
	}
	r = sys.sendmsg(k->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
	return r < 0 ? (int)r : 0;
}

static void k_wait(void *self, int ms)
{
	struct pollfd pfd = { .fd = ((struct notify *)self)->fd, .events = POLLOUT };

	(void)poll(&pfd, 1, ms);
}

static int tell_removal(struct notify *k, const char *name)
{
	char text[64 + LAUNCH_KEEP_NAME_MAX];

	snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%s", name);
	return tell(k, text, NULL, 0);
}

static int tell_pending(struct notify *k)
{
	size_t done = 0;
	int r = 0;

	while (done < k->n_pending && (r = tell_removal(k, k->pending[done])) == 0)
		free(k->pending[done++]);
	if (done) {
		k->n_pending -= done;
		memmove(k->pending, k->pending + done, k->n_pending * sizeof(*k->pending));
	}
	return r;
}

static int keep_store(void *self, const char *name, const int *fds, size_t n)
{
	struct notify *k = self;
	char text[64 + LAUNCH_KEEP_NAME_MAX];
	int r;

	if (!launch_keep_name_ok(name) || !n || n > LAUNCH_KEEP_FDS_MAX)
		return -EINVAL;
	r = tell_pending(k);
	if (r < 0)
		return r;
	snprintf(text, sizeof(text), "FDSTORE=1\nFDPOLL=0\nFDNAME=%s", name);
	return tell(k, text, fds, n);
}

static int keep_remove(void *self, const char *name)
{
	struct notify *k = self;

	if (!launch_keep_name_ok(name))
		return -EINVAL;
	if (tell_pending(k) == 0 && tell_removal(k, name) == 0)
		return 0;
	if (k->n_pending >= PENDING_MAX)
		return -ENOBUFS;
	if (k->n_pending == k->cap_pending) {
		k->cap_pending = k->cap_pending ? k->cap_pending * 2 : 16;
		k->pending = xrealloc(k->pending, k->cap_pending * sizeof(*k->pending));
	}
	k->pending[k->n_pending++] = xstrdup(name);
	return 0;
}

/* ---- life ---------------------------------------------------------------------------------------------------- */

int launch_keep_new(struct launch_keeper **ret, struct err *e)
{
	const char *to = getenv("NOTIFY_SOCKET");
	size_t len = to ? strlen(to) : 0;
	static const int room = SEND_BUFFER;
	struct notify *k;

	if (!len)
		return err_set(e, -ENOENT, "NOTIFY_SOCKET is not set");
	if ((to[0] != '/' && to[0] != '@') || len < 2 || len >= sizeof(k->to.sun_path))
		return err_set(e, -EINVAL, "NOTIFY_SOCKET: \"%.100s\" is no path and no abstract name", to);
	k = XNEW(struct notify);
	k->keeper = (struct launch_keeper){ .self = k, .store = keep_store, .remove = keep_remove, .wait = k_wait };
	k->to.sun_family = AF_UNIX;
	memcpy(k->to.sun_path, to, len);
	if (to[0] == '@')
		k->to.sun_path[0] = '\0';
	k->to_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + (to[0] == '/'));
	k->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (k->fd < 0) {
		int r = -errno;

		free(k);
		return err_errno(e, r, "socket for NOTIFY_SOCKET");
	}
	(void)setsockopt(k->fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	*ret = &k->keeper;
	return 0;
}

struct launch_keeper *launch_keep_free(struct launch_keeper *keeper)
{
	struct notify *k = keeper ? container_of(keeper, struct notify, keeper) : NULL;

	if (!k)
		return NULL;
	(void)tell_pending(k);
	for (size_t i = 0; i < k->n_pending; i++)
		free(k->pending[i]);
	free(k->pending);
	sys_closep(&k->fd);
	free(k);
	return NULL;
}
