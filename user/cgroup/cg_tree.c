/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding and preparing the subtree, in this order of preference:
 *
 *   a configured path       used as it is, made when missing
 *   systemd's Delegate=yes  our own cgroup carries the xattr user.delegate (or trusted.delegate): it is ours. The
 *                           daemon moves itself and whoever is there into <root>/supervisor, because a group with
 *                           processes cannot hand controllers down
 *   anything else           <our own cgroup>/<name>: below our own, so the limits we were put under keep holding
 *
 * Controllers are enabled from the root down to the leaves' parent. Where a group above is not ours, its
 * subtree_control is only touched when nobody manages the tree (no systemd) and it is the top: single writer. What
 * could not be had is kept as a sentence for the status; functions then run without that limit.
 *
 * Rejected: one leaf below the daemon's own group without the "env" level (the observer's look-up by level wants all
 * leaves, and nothing else, at one depth); asking systemd for scopes over D-Bus (a round trip for each launch).
 */
#include "cgroup/cg_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/lock.h"
#include "base/mem.h"
#include "cgroup/cg_place.h"
#include "sys/sys_calls.h"

#define CGROUP2_MAGIC 0x63677270
#define SUPERVISOR "supervisor"

static int read_proc(const char *path, struct buf *ret, struct err *e)
{
	CLEAN(sys_closep) int fd = sys.openat(AT_FDCWD, path, O_RDONLY, 0);
	char chunk[8192];
	ssize_t n = 0;

	if (fd < 0)
		return err_errno(e, fd, "open %s", path);
	while ((n = sys.read(fd, chunk, sizeof(chunk))) > 0)
		buf_add(ret, chunk, (size_t)n);
	return n < 0 ? err_errno(e, (int)n, "read %s", path) : 0;
}

static int find_place(struct cg_place *ret, struct err *e)
{
	CLEAN(buf_done) struct buf mountinfo = {};
	CLEAN(buf_done) struct buf self = {};
	int r;

	r = read_proc("/proc/self/mountinfo", &mountinfo, e);
	if (r >= 0)
		r = read_proc("/proc/self/cgroup", &self, e);
	return r < 0 ? r : cg_place_find(buf_str(&mountinfo), buf_str(&self), ret, e);
}

static bool is_delegated(const char *dir)
{
	static const char *const names[] = { "user.delegate", "trusted.delegate" };
	char v[8];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (getxattr(dir, names[i], v, sizeof(v)) >= 1 && v[0] == '1')
			return true;
	return false;
}

/* Our own group, or its parent when we (or DelegateSubgroup=) had moved into the inner leaf already. NULL: neither. */
static char *delegated_root(const struct cg_place *p)
{
	char *parent, *slash;

	if (is_delegated(p->self))
		return xstrdup(p->self);
	parent = xstrdup(p->self);
	slash = strrchr(parent, '/');
	if (slash && strcmp(slash + 1, SUPERVISOR) == 0) {
		*slash = '\0';
		if (is_delegated(parent))
			return parent;
	}
	free(parent);
	return NULL;
}

static bool systemd_runs(void)
{
	return access("/run/systemd/system", F_OK) == 0;
}

/* A configured path inside the mount: its cgroup path is needed for the level. */
static int level_of(const struct cg_place *p, const char *dir)
{
	size_t n = strlen(p->mount);

	if (strncmp(dir, p->mount, n) != 0 || (dir[n] && dir[n] != '/'))
		return -1;
	return cg_path_level(p->root) + cg_path_level(dir + n);
}

static int open_dir(const char *path, bool *made, int *ret, struct err *e)
{
	int fd, r = sys.mkdirat(AT_FDCWD, path, 0755);

	if (r < 0 && r != -EEXIST)
		return err_errno(e, r, "make cgroup %s", path);
	*made = r == 0;
	fd = sys.openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return err_errno(e, fd, "open cgroup %s", path);
	*ret = fd;
	return 0;
}

/* All processes of the root, ourselves among them, go into the inner leaf. */
static int move_into_supervisor(struct cg_tree *t, int root_fd, struct err *e)
{
	CLEAN(sys_closep) int fd = -EBADF;
	char procs[8192], *save = NULL;
	ssize_t n;
	int r;

	/* Again until the list is empty: there may be more than one reading holds, and forks meanwhile. */
	for (int round = 0; round < 100; round++) {
		n = sys_read_file(root_fd, "cgroup.procs", procs, sizeof(procs));
		if (n < 0)
			return err_errno(e, (int)n, "read %s/cgroup.procs", t->root);
		if (n == 0)
			return 0;
		if (n == (ssize_t)sizeof(procs) - 1)
			procs[strrchr(procs, '\n') ? strrchr(procs, '\n') - procs : 0] = '\0';	/* a cut pid */
		if (fd < 0) {
			/* One that an earlier daemon left empty is made anew: see launch/launch_probe.c. */
			(void)sys.unlinkat(root_fd, SUPERVISOR, AT_REMOVEDIR);
			r = sys.mkdirat(root_fd, SUPERVISOR, 0755);
			if (r < 0 && r != -EEXIST)
				return err_errno(e, r, "make cgroup %s/" SUPERVISOR, t->root);
			fd = sys.openat(root_fd, SUPERVISOR "/cgroup.procs", O_WRONLY, 0);
			if (fd < 0)
				return err_errno(e, fd, "open %s/" SUPERVISOR "/cgroup.procs", t->root);
		}
		for (char *pid = strtok_r(procs, "\n", &save); pid; pid = strtok_r(NULL, "\n", &save)) {
			n = sys.write(fd, pid, strlen(pid));
			if (n < 0 && n != -ESRCH)
				return err_errno(e, (int)n, "move process %s into %s/" SUPERVISOR, pid, t->root);
		}
		t->moved_self = true;
	}
	return err_set(e, -EBUSY, "processes keep appearing in %s", t->root);
}

static unsigned int read_controllers(int dirfd, const char *file)
{
	unsigned int set = 0;
	char text[1024], *save = NULL;

	if (sys_read_file(dirfd, file, text, sizeof(text)) < 0)
		return 0;
	for (char *w = strtok_r(text, " \n", &save); w; w = strtok_r(NULL, " \n", &save))
		for (unsigned int c = 1; c <= CG_CPU; c <<= 1)
			if (strcmp(w, cg_controller_name(c)) == 0)
				set |= c;
	return set;
}

static char *why_not(struct cg_tree *t, enum cg_controller c)
{
	return t->why_not[__builtin_ctz(c)];
}

/* Hands down what dir has itself, one by one: a refusal of one must not cost the others. Returns what its children have. */
static unsigned int hand_down(struct cg_tree *t, int dirfd, const char *dir)
{
	unsigned int have = read_controllers(dirfd, "cgroup.controllers");
	unsigned int on = read_controllers(dirfd, "cgroup.subtree_control");

	for (unsigned int c = 1; c <= CG_CPU; c <<= 1) {
		char v[16];
		int r;

		if (!(have & c) || (on & c))
			continue;
		snprintf(v, sizeof(v), "+%s", cg_controller_name(c));
		r = sys_write_file(dirfd, "cgroup.subtree_control", v);
		if (r < 0)
			snprintf(why_not(t, c), sizeof(*t->why_not), "%s of %.80s: %s", v, dir,
				 r == -EBUSY ? "there are processes in it" : strerror(-r));
		else
			on |= c;
	}
	return on;
}

/* The group above our root: not ours, unless it is the top and nobody manages the tree. */
static void hand_down_from_parent(struct cg_tree *t, const struct cg_place *p)
{
	CLEAN(freep) char *parent = xstrdup(t->root);
	char *slash = strrchr(parent, '/');
	CLEAN(sys_closep) int fd = -EBADF;

	if (!slash || slash == parent)
		return;
	*slash = '\0';
	if (strcmp(parent, p->mount) != 0 || systemd_runs())
		return;
	fd = sys.openat(AT_FDCWD, parent, O_RDONLY | O_DIRECTORY, 0);
	if (fd >= 0)
		(void)hand_down(t, fd, parent);
}

static void explain(struct cg_tree *t, char *ret, size_t size)
{
	if (t->hybrid)
		snprintf(ret, size, "held by a cgroup v1 hierarchy (hybrid mount), or not built into this kernel");
	else if (!t->delegated && systemd_runs())
		snprintf(ret, size, "not handed down to %.80s: run under systemd with Delegate=yes", t->root);
	else
		snprintf(ret, size, "not handed down to %.120s", t->root);
}

/* What a refusal has not explained yet. One that came to be there nevertheless needs no reason. */
static void explain_missing(struct cg_tree *t)
{
	for (unsigned int c = 1; c <= CG_CPU; c <<= 1) {
		char *why = why_not(t, c);

		if (t->controllers & c)
			why[0] = '\0';
		else if (!why[0])
			explain(t, why, sizeof(*t->why_not));
		if (!t->why[0])
			memcpy(t->why, why, sizeof(t->why));
	}
}

static int set_up(struct cg_tree *t, const struct cg_place *p, struct err *e)
{
	CLEAN(sys_closep) int root_fd = -EBADF;
	struct statfs fs;
	struct stat st;
	int r;

	r = open_dir(t->root, &t->made_root, &root_fd, e);
	if (r < 0)
		return r;
	if (fstatfs(root_fd, &fs) < 0 || fs.f_type != CGROUP2_MAGIC)
		return err_set(e, -EINVAL, "%s is not in a cgroup v2 tree", t->root);
	r = level_of(p, t->root);
	if (r < 0)
		return err_set(e, -EINVAL, "%s is not below the cgroup v2 mount %s", t->root, p->mount);
	t->mount = xstrdup(p->mount);
	t->env_level = r + 1;
	if (t->delegated) {
		r = move_into_supervisor(t, root_fd, e);
		if (r < 0)
			return r;
	} else {
		hand_down_from_parent(t, p);
	}
	r = open_dir(t->env, &t->made_env, &t->env_fd, e);
	if (r < 0)
		return r;
	r = sys.fstat(t->env_fd, &st);
	if (r < 0)
		return err_errno(e, r, "stat %s", t->env);
	t->env_id = st.st_ino;
	(void)hand_down(t, root_fd, t->root);
	t->controllers = hand_down(t, t->env_fd, t->env);
	explain_missing(t);
	if (t->controllers & CG_MEMORY)
		t->above = cg_above_new(p->mount, t->env);
	/* For all leaves at once. Without swap in the kernel the file is missing, and nothing is to be done. */
	if (t->controllers & CG_MEMORY) {
		r = sys_write_file(t->env_fd, "memory.swap.max", "0");
		if (r < 0 && r != -ENOENT)
			return err_errno(e, r, "write 0 to %s/memory.swap.max", t->env);
	}
	return 0;
}

/* One daemon a subtree: the next one would take the first one's environments for left-overs and kill them. */
static int lock_tree(struct cg_tree *t, struct err *e)
{
	int fd = sys.openat(AT_FDCWD, t->env, O_RDONLY | O_DIRECTORY, 0), r;

	if (fd < 0)
		return err_errno(e, fd, "%s", t->env);
	r = lock_take(fd);
	if (r < 0) {
		(void)sys.close(fd);
		return r == -EWOULDBLOCK
		       ? err_set(e, -EBUSY, "another fated uses %s; give this one a CgroupRoot of its own", t->root)
		       : err_errno(e, r, "lock %s", t->env);
	}
	t->lock_fd = fd;
	return 0;
}

int cg_tree_new(const struct cg_tree_config *cfg, struct cg_tree **ret, struct err *e)
{
	struct cg_place *p = XNEW(struct cg_place);
	struct cg_tree *t = XNEW(struct cg_tree);
	int r;

	t->env_fd = t->lock_fd = -EBADF;
	r = find_place(p, e);
	if (r < 0)
		goto undo;
	t->hybrid = p->hybrid;
	if (cfg->path) {
		t->root = xstrdup(cfg->path);
		t->delegated = is_delegated(cfg->path);
	} else {
		t->root = delegated_root(p);
		t->delegated = t->root;
	}
	if (!t->root)
		t->root = xasprintf("%s/%s", p->self, cfg->name ? cfg->name : "fated");
	for (size_t n = strlen(t->root); n > 1 && t->root[n - 1] == '/'; n--)
		t->root[n - 1] = '\0';
	t->env = xasprintf("%s/env", t->root);
	if (t->root[0] != '/') {
		r = err_set(e, -EINVAL, "cgroup path \"%.200s\" is not absolute", t->root);
		goto undo;
	}
	r = set_up(t, p, e);
	if (r == 0)
		r = lock_tree(t, e);
	if (r < 0)
		goto undo;
	free(p);
	*ret = t;
	return 0;
undo:
	free(p);
	cg_tree_free(t, true);
	return r;
}

/* 0: a group of this name that nobody is in, made just now. One of an earlier run is replaced: its history goes too. */
static int make_fresh(const char *path)
{
	int r = sys.unlinkat(AT_FDCWD, path, AT_REMOVEDIR);

	return r < 0 && r != -ENOENT ? r : sys.mkdirat(AT_FDCWD, path, 0755);
}

int cg_tree_step_aside(struct cg_tree *t, struct err *e)
{
	CLEAN(freep) struct cg_place *p = XNEW(struct cg_place);
	CLEAN(freep) char *procs = NULL;
	CLEAN(freep) char *to = NULL;
	int r;

	if (t->aside)
		return err_set(e, -EALREADY, "already moved into %s", t->aside);
	r = find_place(p, e);
	if (r < 0)
		return r;
	to = xasprintf("%s/" SUPERVISOR, t->root);
	r = make_fresh(to);
	if (r < 0) {		/* somebody is in it, most likely ourselves */
		free(to);
		to = xasprintf("%s/" SUPERVISOR "-%d", t->root, (int)getpid());
		r = make_fresh(to);
	}
	if (r < 0)
		return err_errno(e, r, "make cgroup %s", to);
	procs = xasprintf("%s/cgroup.procs", to);
	r = sys_write_file(AT_FDCWD, procs, "0");
	if (r < 0) {
		(void)sys.unlinkat(AT_FDCWD, to, AT_REMOVEDIR);
		return err_errno(e, r, "move into cgroup %s", to);
	}
	t->home = xstrdup(p->self);
	t->aside = TAKE(to);
	return 0;
}

static void go_home(struct cg_tree *t)
{
	CLEAN(freep) char *procs = xasprintf("%s/cgroup.procs", t->home);

	if (sys_write_file(AT_FDCWD, procs, "0") == 0)
		(void)sys.unlinkat(AT_FDCWD, t->aside, AT_REMOVEDIR);
}

const char *cg_tree_why_not(const struct cg_tree *t, enum cg_controller c)
{
	return t->why_not[__builtin_ctz(c)];
}

/* kernfs makes file handles of the id alone, so one can be made up from it; the path is then the descriptor's. */
int cg_tree_group_path(const struct cg_tree *t, uint64_t id, char *ret, size_t size)
{
	static const char deleted[] = " (deleted)";
	size_t mount_len = strcmp(t->mount, "/") == 0 ? 0 : strlen(t->mount), n;
	char link[64], path[PATH_MAX];
	CLEAN(sys_closep) int fd = sys.open_by_id(t->env_fd, id, O_PATH | O_DIRECTORY);
	ssize_t len;

	if (fd < 0)
		return -ENOENT;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = sys.readlink(link, path, sizeof(path) - 1);
	if (len < 0)
		return -ENOENT;
	n = (size_t)len;
	path[n] = '\0';
	if (n >= sizeof(deleted) && strcmp(path + n - (sizeof(deleted) - 1), deleted) == 0)
		return -ENOENT;
	if (strncmp(path, t->mount, mount_len) != 0 || (path[mount_len] && path[mount_len] != '/'))
		return -ENOENT;
	if ((size_t)snprintf(ret, size, "%s", path[mount_len] ? path + mount_len : "/") >= size)
		return -ENAMETOOLONG;
	return 0;
}

void cg_tree_status(const struct cg_tree *t, cJSON *obj)
{
	cJSON *cs;

	cJSON_AddStringToObject(obj, "path", t->env);
	cJSON_AddNumberToObject(obj, "level", t->env_level);
	cJSON_AddBoolToObject(obj, "delegated", t->delegated);
	cJSON_AddStringToObject(obj, "hierarchy", t->hybrid ? "hybrid" : "unified");
	cs = cJSON_AddObjectToObject(obj, "controllers");
	for (unsigned int c = 1; c <= CG_CPU; c <<= 1) {
		cJSON *o = cJSON_AddObjectToObject(cs, cg_controller_name(c));

		cJSON_AddBoolToObject(o, "enabled", t->controllers & c);
		if (!(t->controllers & c))
			cJSON_AddStringToObject(o, "reason", cg_tree_why_not(t, c));
	}
}

struct cg_tree *cg_tree_free(struct cg_tree *t, bool remove)
{
	if (!t)
		return NULL;
	sys_closep(&t->env_fd);
	sys_closep(&t->lock_fd);
	if (remove && t->aside)
		go_home(t);
	if (remove && t->made_env)
		(void)sys.unlinkat(AT_FDCWD, t->env, AT_REMOVEDIR);
	if (remove && t->made_root)
		(void)sys.unlinkat(AT_FDCWD, t->root, AT_REMOVEDIR);
	cg_above_free(t->above);
	free(t->root);
	free(t->env);
	free(t->mount);
	free(t->home);
	free(t->aside);
	free(t);
	return NULL;
}
