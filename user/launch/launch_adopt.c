/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an earlier daemon left: environments that are taken over, and the rest, which is killed and removed.
 *
 * An environment can be adopted when its leaf is there and its whole kit came back (launch/launch_kit.h). Half of one is
 * no use: without the pidfd nobody would hear of the leader's end, without a pipe output would be lost and not missed.
 * The leaf's name joins the two, its cgroup id says that it is the leaf the engine means: a name could be made again by
 * somebody else, an id cannot.
 */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "launch/launch_int.h"
#include "model/limits.h"

/* The daemon's end: systemd may have a burst of messages before ours. */
#define KEEP_TRIES 10
#define KEEP_WAIT_MS 200

/* ---- what was kept --------------------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct launch_kept *)a)->name, ((const struct launch_kept *)b)->name);
}

static uint64_t leaf_id(struct launch *l, const char *name)
{
	CLEAN(cg_leaf_done) struct cg_leaf leaf = CG_LEAF_NONE;

	return cg_leaf_open(l->tree, name, &leaf, NULL) == 0 ? leaf.id : 0;
}

/* systemd hands over from 3 on. Below the child's the places must stay taken for good (reserve_fds), and these do not. */
static void move_up(int *fd)
{
	int up;

	if (*fd < 0 || *fd > LAUNCH_ERROR_FD)
		return;
	up = (int)sys.fcntl(*fd, F_DUPFD_CLOEXEC, LAUNCH_ERROR_FD + 1);
	sys_closep(fd);
	*fd = up;	/* negative: a kit that is not complete */
}

void launch_kept_take(struct launch *l, struct launch_kept_list *kept)
{
	if (!l->keeper)
		return;
	l->kept = *kept;
	*kept = (struct launch_kept_list){};
	if (!l->kept.n)
		return;
	qsort(l->kept.v, l->kept.n, sizeof(*l->kept.v), by_name);
	l->groups = xcalloc(l->kept.n, sizeof(*l->groups));
	for (size_t i = 0; i < l->kept.n; i++) {
		struct launch_kept *v = &l->kept.v[i];

		move_up(&v->fd);
		if (!i || strcmp(v->name, v[-1].name) != 0)
			l->groups[l->n_groups++] = (struct kept_group){ .name = v->name, .v = v, .id = leaf_id(l, v->name) };
		l->groups[l->n_groups - 1].n++;
	}
}

void launch_kept_free(struct launch *l)
{
	launch_kept_done(&l->kept);
	free(l->groups);
	l->groups = NULL;
	l->n_groups = 0;
	map_done(&l->adopted);
}

static void give_up(struct launch *l, struct kept_group *g)
{
	for (size_t i = 0; i < g->n; i++)
		sys_closep(&g->v[i].fd);
	g->taken = true;
	if (l->keeper->remove(l->keeper->self, g->name) < 0)
		l->keep_failed++;
}

/* Whose leaves are no more. */
static void give_up_orphans(struct launch *l)
{
	for (size_t i = 0; i < l->n_groups; i++) {
		struct kept_group *g = &l->groups[i];

		if (!g->taken && leaf_id(l, g->name) == 0)
			give_up(l, g);
	}
}

static struct kept_group *group_of(struct launch *l, uint64_t cgroup_id)
{
	for (size_t i = 0; cgroup_id && i < l->n_groups; i++)
		if (l->groups[i].id == cgroup_id && !l->groups[i].taken)
			return &l->groups[i];
	return NULL;
}

/* ---- leaves that are there --------------------------------------------------------------------------------------- */

/* The names first: the directory changes under our hands. */
static int leaves_list(struct launch *l, char ***ret, size_t *ret_n, struct err *e)
{
	DIR *d = opendir(l->tree->env);
	struct dirent *de;
	size_t cap = 0;

	if (!d)
		return err_errno(e, -errno, "%s", l->tree->env);
	while ((de = readdir(d))) {
		if (de->d_type != DT_DIR || de->d_name[0] == '.')
			continue;
		if (*ret_n == cap) {
			cap = cap ? cap * 2 : 64;
			*ret = xrealloc(*ret, cap * sizeof(**ret));
		}
		(*ret)[(*ret_n)++] = xstrdup(de->d_name);
	}
	closedir(d);
	return 0;
}

static void free_names(char **names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(names[i]);
	free(names);
}

static bool leaf_there(struct launch *l, uint64_t cgroup_id)
{
	char **names = NULL;
	size_t n = 0;
	bool there = leaves_list(l, &names, &n, NULL) < 0;	/* who knows */

	for (size_t i = 0; !there && i < n; i++)
		there = leaf_id(l, names[i]) == cgroup_id;
	free_names(names, n);
	return there;
}

/* ---- to take one over -------------------------------------------------------------------------------------------- */

/* Not from within adopt(): the engine does not know the environment yet. */
static int on_late(sd_event_source *s, void *arg)
{
	launch_env_too_large(arg);
	return 0;
}

static int watch_it(struct env_proc *p, struct err *e)
{
	bool late = p->kit.mem_len[KIT_MEM_OUT] > LIM_RESPONSE || p->kit.mem_cut[KIT_MEM_OUT];
	int r = launch_env_sources(p, e);

	if (r >= 0)
		r = launch_env_child_source(p, e);
	if (r >= 0 && late) {
		r = sd_event_add_defer(p->l->loop, &p->late, on_late, p);
		if (r >= 0)
			r = sd_event_source_set_priority(p->late, LAUNCH_PRIORITY_PIPE);
		if (r < 0)
			return err_errno(e, r, "event source");
	}
	return r;
}

/* The descriptors stay the list's as long as this may fail. */
static int build(struct launch *l, const struct launch_adopt *a, struct kept_group *g, struct env_proc **ret, struct err *e)
{
	struct kit_owner o = { .cgroup_id = a->cgroup_id, .request_id = a->request_id, .attempt = a->attempt };
	struct cg_limits limits = launch_env_limits(a->func, a->func->memory_mb);
	struct env_proc *p = launch_env_new(l, a->func, a->request_id, a->attempt);
	int r = cg_leaf_open(l->tree, g->name, &p->leaf, e);

	if (r == 0 && p->leaf.id != a->cgroup_id)
		r = err_set(e, -ENOENT, "its cgroup is gone");
	if (r == 0)
		r = kit_recognise(g->v, g->n, &o, &p->kit, e);
	if (r == 0) {
		p->mem = p->stored = p->started = p->adopted = true;
		launch_env_named(p, &limits);
		p->spawn.pidfd = TAKE_FD(p->kit.pidfd);
		r = watch_it(p, e);
		if (r < 0) {
			for (int i = 0; i < KIT_PIPES; i++)
				p->source[i] = sd_event_source_disable_unref(p->source[i]);
			p->child = sd_event_source_disable_unref(p->child);
			p->kit = KIT_NONE;
			p->spawn.pidfd = -EBADF;
		}
	}
	if (r < 0) {
		launch_env_free(p);
		return r;
	}
	*ret = p;
	return 0;
}

int launch_adopt(struct port_launch *port, const struct launch_adopt *a, struct env_proc **ret, struct err *e)
{
	struct launch *l = as_launch(port);
	struct kept_group *g;
	struct env_proc *p;

	if (!l->keeper)
		return err_set(e, -ENOENT, "no file descriptor store");
	if (map_get(&l->adopted, a->cgroup_id))
		return err_set(e, -ENOENT, "it is adopted already");
	g = group_of(l, a->cgroup_id);
	if (!g)
		return err_set(e, -ENOENT, leaf_there(l, a->cgroup_id) ? "its descriptors were not kept" : "its cgroup is gone");
	if (build(l, a, g, &p, e) < 0)
		return e ? e->code = -ENOENT : -ENOENT;
	for (size_t i = 0; i < g->n; i++)
		g->v[i].fd = -EBADF;
	g->taken = true;
	(void)map_put(&l->adopted, a->cgroup_id, p);
	*ret = p;
	return 0;
}

void launch_abandon(struct port_launch *port, struct env_proc *p)
{
	struct launch *l = as_launch(port);

	if (!p)
		return;
	if (p->adopted)
		(void)map_del(&l->adopted, p->leaf.id);
	/* In a restart that was asked for nothing is too young to be kept; and what the keeper could not take may fit now. */
	for (int i = 0; i < KEEP_TRIES && p->started && p->mem && !p->stored; i++)
		if (launch_env_keep(p) == -EAGAIN && l->keeper->wait)
			l->keeper->wait(l->keeper->self, KEEP_WAIT_MS);
		else
			break;
	cg_events_unwatch(l->events, p->watch);
	launch_env_close(p);
	p->next = l->abandoned;
	l->abandoned = p;
}

/* ---- to kill the rest -------------------------------------------------------------------------------------------- */

/* Emptiness is read from cgroup.events, whose change poll() reports as POLLPRI. Read, then wait: the change may lie
 * behind us. */
static int wait_empty(struct launch *l, struct cg_leaf *leaf, int64_t until_ns, struct err *e)
{
	CLEAN(sys_closep) int fd = sys.openat(leaf->fd, "cgroup.events", O_RDONLY, 0);
	char text[256];

	if (fd < 0)
		return fd == -ENOENT ? 0 : err_errno(e, fd, "cgroup.events of %s", leaf->name);
	for (;;) {
		struct pollfd pfd = { .fd = fd, .events = POLLPRI };
		int64_t left = until_ns - clock_mono_ns();
		ssize_t n = sys.pread(fd, text, sizeof(text) - 1, 0);

		if (n < 0)
			return n == -ENODEV ? 0 : err_errno(e, (int)n, "cgroup.events of %s", leaf->name);
		text[n] = '\0';
		if (strstr(text, "populated 0"))
			return 0;
		if (left <= 0)
			return err_set(e, -EBUSY, "processes in %s/%s do not die", l->tree->env, leaf->name);
		(void)poll(&pfd, 1, (int)(left / NS_PER_MS + 1));
	}
}

static int reap_one(struct launch *l, const char *name, int64_t until_ns, void (*gone)(void *, uint64_t, const char *), void *arg,
		    struct err *e)
{
	CLEAN(cg_leaf_done) struct cg_leaf leaf = CG_LEAF_NONE;
	uint64_t id;
	int r = cg_leaf_open(l->tree, name, &leaf, e);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	id = leaf.id;
	if (map_get(&l->adopted, id))
		return 0;
	r = cg_leaf_kill(&leaf, e);
	if (r == 0)
		r = wait_empty(l, &leaf, until_ns, e);
	if (r == 0)
		r = cg_leaf_remove(&leaf, e);
	if (r == 0)
		gone(arg, id, name);
	return r;
}

/*
 * All are killed before one is waited for: the wait is one for all. What has been killed and is still there is stuck in the
 * kernel (a dead NFS server's client, a broken device). No instruction of it will run any more, so nothing and nobody waits
 * for it: its group stays, and the next start tries again.
 */
int launch_reap(struct port_launch *port, void (*gone)(void *arg, uint64_t cgroup_id, const char *name), void *arg, struct err *e)
{
	struct launch *l = as_launch(port);
	int64_t until = clock_mono_ns() + l->reap_max_ms * NS_PER_MS;
	char **names = NULL;
	size_t n = 0;
	int result = leaves_list(l, &names, &n, e);

	for (size_t i = 0; i < n; i++) {
		CLEAN(cg_leaf_done) struct cg_leaf leaf = CG_LEAF_NONE;

		if (cg_leaf_open(l->tree, names[i], &leaf, NULL) == 0 && !map_get(&l->adopted, leaf.id))
			(void)cg_leaf_kill(&leaf, NULL);
	}
	for (size_t i = 0; i < n; i++) {
		int r = reap_one(l, names[i], until, gone, arg, e);

		if (r == -EBUSY)
			log_warn("%s: killed, and stuck in the kernel; the group stays until the next start", err_msg(e));
		else if (r < 0)
			result = r;
	}
	free_names(names, n);
	give_up_orphans(l);
	return result;
}
