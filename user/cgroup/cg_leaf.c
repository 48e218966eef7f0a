/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything goes by directory descriptor, so no path is looked up twice. The leaf's own descriptor is O_PATH: enough
 * for clone3, openat and fstat, and a little cheaper.
 *
 * The tree below a leaf is the function's: a function that runs as root can nest groups, so every walk has a depth it
 * does not pass and reads one directory at a time. The id is the inode number: kernfs gives cgroups 64-bit ids and
 * shows them as st_ino on 64-bit machines, the only ones we build for (name_to_handle_at() would say the same, for one
 * more call).
 */
#include "cgroup/cg_leaf.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/mem.h"
#include "cgroup/cg_facts.h"
#include "sys/sys_calls.h"

#define DEPTH_MAX 64
#define SIGNAL_CHUNK 64u

_Static_assert(sizeof(ino_t) == sizeof(uint64_t), "cgroup ids are inode numbers");

int cg_leaf_open(struct cg_tree *t, const char *name, struct cg_leaf *ret, struct err *e)
{
	struct stat st;
	int r;

	*ret = CG_LEAF_NONE;
	ret->tree = t;
	if ((size_t)snprintf(ret->name, sizeof(ret->name), "%s", name) >= sizeof(ret->name) || !name[0] || strchr(name, '/'))
		return err_set(e, -EINVAL, "\"%.80s\" cannot name a leaf", name);
	ret->fd = sys.openat(t->env_fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0);
	if (ret->fd < 0) {
		r = ret->fd;
		*ret = CG_LEAF_NONE;
		return err_errno(e, r, "open leaf %s/%s", t->env, name);
	}
	r = sys.fstat(ret->fd, &st);
	if (r < 0) {
		cg_leaf_done(ret);
		return err_errno(e, r, "stat leaf %s/%s", t->env, name);
	}
	ret->id = st.st_ino;
	return 0;
}

int cg_leaf_new(struct cg_tree *t, const char *name, const struct cg_limits *limits, struct cg_leaf *ret, struct err *e)
{
	int r;

	*ret = CG_LEAF_NONE;
	r = sys.mkdirat(t->env_fd, name, 0755);
	if (r < 0)
		return err_errno(e, r, "make leaf %s/%s", t->env, name);
	r = cg_leaf_open(t, name, ret, e);
	if (r < 0) {
		(void)sys.unlinkat(t->env_fd, name, AT_REMOVEDIR);
		return r;
	}
	if (t->controllers && limits) {
		r = cg_limits_write(ret->fd, t->controllers, limits, e);
		if (r < 0) {
			(void)cg_leaf_remove(ret, NULL);
			cg_leaf_done(ret);
			return err_wrap(e, r, "limits of leaf %s", name);
		}
	}
	return 0;
}

void cg_leaf_done(struct cg_leaf *l)
{
	if (l->fd >= 0)
		(void)sys.close(l->fd);
	*l = CG_LEAF_NONE;
}

int cg_leaf_kill(struct cg_leaf *l, struct err *e)
{
	int r;

	if (l->gone || l->fd < 0)
		return 0;
	r = sys_write_file(l->fd, "cgroup.kill", "1");
	if (r == -ENOENT || r == -ENODEV)
		return 0;
	return r < 0 ? err_errno(e, r, "kill leaf %s", l->name) : 0;
}

int cg_leaf_populated(struct cg_leaf *l)
{
	char text[256];
	const char *p;
	ssize_t n;

	if (l->gone || l->fd < 0)
		return 0;
	n = sys_read_file(l->fd, "cgroup.events", text, sizeof(text));
	if (n == -ENOENT || n == -ENODEV)
		return 0;
	if (n < 0)
		return (int)n;
	p = strstr(text, "populated ");
	return p ? p[10] != '0' : -EBADMSG;
}

/* Calls fn for the group at dirfd and all below, children first. fn's negative result is kept, the walk goes on. */
typedef int (*walk_fn)(int dirfd, int parent_fd, const char *name, void *arg);

static int walk(int parent_fd, const char *name, int depth, walk_fn fn, void *arg)
{
	int fd = sys.openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	struct dirent *d;
	int result = 0, r;
	DIR *dir;

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	if (depth > DEPTH_MAX) {
		(void)sys.close(fd);
		return -ELOOP;
	}
	dir = fdopendir(fd);
	if (!dir) {
		(void)sys.close(fd);
		return -ENOMEM;
	}
	while ((d = readdir(dir))) {
		if (d->d_type != DT_DIR || strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
			continue;
		r = walk(fd, d->d_name, depth + 1, fn, arg);
		if (r < 0)
			result = r;
	}
	r = fn(fd, parent_fd, name, arg);
	closedir(dir);
	return r < 0 ? r : result;
}

/* Reads all pids of one group. *ret is malloc'ed. A threaded group lists its processes at its domain: -EOPNOTSUPP. */
static int read_procs(int dirfd, int **ret, size_t *ret_n)
{
	CLEAN(sys_closep) int fd = sys.openat(dirfd, "cgroup.procs", O_RDONLY, 0);
	size_t n = 0, cap = 0, len = 0;
	int *pids = NULL;
	char text[4096];
	ssize_t got;

	*ret = NULL;
	*ret_n = 0;
	if (fd < 0)
		return fd;
	while ((got = sys.read(fd, text + len, sizeof(text) - len)) > 0) {
		char *p = text, *nl;

		len += (size_t)got;
		while ((nl = memchr(p, '\n', len - (size_t)(p - text)))) {
			if (n == cap) {
				cap = cap ? cap * 2 : 32;
				pids = xrealloc(pids, cap * sizeof(*pids));
			}
			pids[n++] = atoi(p);
			p = nl + 1;
		}
		len -= (size_t)(p - text);
		memmove(text, p, len);
	}
	*ret = pids;
	*ret_n = n;
	return got < 0 ? (int)got : 0;
}

static int by_pid(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;

	return x < y ? -1 : x > y;
}

struct signal_walk { int sig; unsigned int reached; };

/* A listed pid may be someone else's by the time it is signalled. So: a pidfd first, then the list once more; who is
 * in the group then is the one the pidfd means, or another member of the same group. */
static int signal_group(int dirfd, int parent_fd, const char *name, void *arg)
{
	struct signal_walk *w = arg;
	CLEAN(freep) int *pids = NULL;
	size_t n = 0;

	(void)read_procs(dirfd, &pids, &n);
	for (size_t at = 0; at < n; at += SIGNAL_CHUNK) {
		size_t here = MIN(n - at, (size_t)SIGNAL_CHUNK), n_again = 0;
		CLEAN(freep) int *again = NULL;
		int fds[SIGNAL_CHUNK];

		for (size_t i = 0; i < here; i++)
			fds[i] = pids[at + i] > 0 ? (int)syscall(SYS_pidfd_open, pids[at + i], 0) : -1;
		(void)read_procs(dirfd, &again, &n_again);
		if (again)
			qsort(again, n_again, sizeof(*again), by_pid);
		for (size_t i = 0; i < here; i++) {
			if (fds[i] < 0)
				continue;
			if (again && bsearch(&pids[at + i], again, n_again, sizeof(*again), by_pid) &&
			    syscall(SYS_pidfd_send_signal, fds[i], w->sig, NULL, 0) == 0)
				w->reached++;
			(void)sys.close(fds[i]);
		}
	}
	return 0;
}

unsigned int cg_leaf_signal(struct cg_leaf *l, int sig)
{
	struct signal_walk w = { .sig = sig };

	if (!l->gone && l->fd >= 0)
		(void)walk(l->tree->env_fd, l->name, 0, signal_group, &w);
	return w.reached;
}

static int count_group(int dirfd, int parent_fd, const char *name, void *arg)
{
	CLEAN(freep) int *pids = NULL;
	size_t n = 0;

	(void)read_procs(dirfd, &pids, &n);
	*(unsigned int *)arg += (unsigned int)n;
	return 0;
}

unsigned int cg_leaf_count(struct cg_leaf *l)
{
	unsigned int n = 0;

	if (!l->gone && l->fd >= 0)
		(void)walk(l->tree->env_fd, l->name, 0, count_group, &n);
	return n;
}

static int remove_group(int dirfd, int parent_fd, const char *name, void *arg)
{
	int r = sys.unlinkat(parent_fd, name, AT_REMOVEDIR);

	return r == -ENOENT ? 0 : r;
}

int cg_leaf_remove(struct cg_leaf *l, struct err *e)
{
	int r;

	if (l->gone || l->fd < 0)
		return 0;
	/* The kernel refuses when there is a process or a group below: one call says all in the usual case. */
	r = sys.unlinkat(l->tree->env_fd, l->name, AT_REMOVEDIR);
	if (r == -EBUSY && cg_leaf_populated(l) == 0)
		r = walk(l->tree->env_fd, l->name, 0, remove_group, NULL);
	if (r < 0 && r != -ENOENT)
		return err_errno(e, r, "remove leaf %s/%s", l->tree->env, l->name);
	l->gone = true;
	return 0;
}

void cg_leaf_facts(struct cg_leaf *l, struct fact_cgroup *ret)
{
	if (!l->gone && l->fd >= 0)
		cg_facts_read(l->fd, l->tree->controllers, ret);
}
