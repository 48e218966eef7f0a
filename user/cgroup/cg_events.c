/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kernfs raises IN_MODIFY on cgroup.events when "populated" or "frozen" changes; the event says nothing, the file says
 * all, so each wake-up reads the file of the leaf it is about. A full queue (IN_Q_OVERFLOW) makes us read all of them.
 * Watch descriptors are never reused by the kernel while the descriptor lives (they count up), so a late event of an
 * old watch meets no new leaf.
 */
#include "cgroup/cg_events.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/inotify.h>

#include "base/map.h"
#include "base/mem.h"
#include "sys/sys_calls.h"

struct watch { struct cg_leaf *leaf; uint64_t tag; int wd; };

struct cg_events {
	int fd;
	sd_event_source *source;
	struct map watches;		/* wd → struct watch */
	void (*empty)(void *arg, uint64_t tag);
	void *arg;
};

static void check(struct cg_events *ev, struct watch *w)
{
	uint64_t tag = w->tag;

	if (cg_leaf_populated(w->leaf) != 0)
		return;
	cg_events_unwatch(ev, w->wd);
	ev->empty(ev->arg, tag);
}

static void check_all(struct cg_events *ev)
{
	CLEAN(freep) int *wds = xcalloc(ev->watches.len, sizeof(*wds));
	size_t n = 0;

	map_for_each(&ev->watches, i, v)
		wds[n++] = ((struct watch *)v)->wd;
	for (size_t i = 0; i < n; i++) {
		struct watch *w = map_get(&ev->watches, (uint64_t)wds[i]);

		if (w)
			check(ev, w);
	}
}

static int on_inotify(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
	_Alignas(struct inotify_event) char data[4096];
	struct cg_events *ev = userdata;
	ssize_t n = sys.read(fd, data, sizeof(data));

	for (char *p = data; n > 0 && p < data + n;) {
		struct inotify_event *ie = (struct inotify_event *)p;
		struct watch *w;

		if (ie->mask & IN_Q_OVERFLOW) {
			check_all(ev);
		} else {
			w = map_get(&ev->watches, (uint64_t)ie->wd);
			if (w)
				check(ev, w);
		}
		p += sizeof(*ie) + ie->len;
	}
	return 0;
}

int cg_events_new(sd_event *loop, int64_t priority, void (*empty)(void *arg, uint64_t tag), void *arg, struct cg_events **ret,
		  struct err *e)
{
	struct cg_events *ev = XNEW(struct cg_events);
	int r;

	ev->empty = empty;
	ev->arg = arg;
	ev->fd = sys.inotify_init();
	r = ev->fd;
	if (r >= 0)
		r = sd_event_add_io(loop, &ev->source, ev->fd, EPOLLIN, on_inotify, ev);
	if (r >= 0)
		r = sd_event_source_set_priority(ev->source, priority);
	if (r < 0) {
		cg_events_free(ev);
		return err_errno(e, r, "inotify for cgroup.events");
	}
	(void)sd_event_source_set_description(ev->source, "cgroup-events");
	*ret = ev;
	return 0;
}

struct cg_events *cg_events_free(struct cg_events *ev)
{
	if (!ev)
		return NULL;
	sd_event_source_disable_unref(ev->source);
	sys_closep(&ev->fd);
	map_for_each(&ev->watches, i, v)
		free(v);
	map_done(&ev->watches);
	free(ev);
	return NULL;
}

int cg_events_watch(struct cg_events *ev, struct cg_leaf *leaf, uint64_t tag, int *ret_wd, struct err *e)
{
	char path[4096];
	struct watch *w;
	int wd;

	if ((size_t)snprintf(path, sizeof(path), "%s/%s/cgroup.events", leaf->tree->env, leaf->name) >= sizeof(path))
		return err_set(e, -ENAMETOOLONG, "cgroup.events of leaf %s", leaf->name);
	wd = sys.inotify_add(ev->fd, path, IN_MODIFY);
	if (wd == -ENOENT)
		return 0;
	if (wd < 0)
		return err_errno(e, wd, "watch %s", path);
	w = map_get(&ev->watches, (uint64_t)wd);
	if (!w) {
		w = XNEW(struct watch);
		map_put(&ev->watches, (uint64_t)wd, w);
	}
	*w = (struct watch){ .leaf = leaf, .tag = tag, .wd = wd };
	if (cg_leaf_populated(leaf) == 0) {
		cg_events_unwatch(ev, wd);
		return 0;
	}
	*ret_wd = wd;
	return 1;
}

void cg_events_unwatch(struct cg_events *ev, int wd)
{
	struct watch *w = wd >= 0 ? map_del(&ev->watches, (uint64_t)wd) : NULL;

	if (!w)
		return;
	(void)inotify_rm_watch(ev->fd, wd);
	free(w);
}
