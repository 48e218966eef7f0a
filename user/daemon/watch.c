/* SPDX-License-Identifier: Apache-2.0 */
/*
 *   UNWATCHED ──attach──► QUIET ──event──► RESTLESS ──rest, or too long──► QUIET (changed)
 *       ▲                   │                 │
 *       └─── directory gone, or its watch (changed, when it was there) ◄───┘
 *
 * inotify on the directory, and no more than that is believed of its events: that something happened. What is in the
 * files is read by the loader, which takes a half-written one for a bad one and keeps what was; waiting until the
 * directory has come to rest spares it most of those, and a package's hundred files become one load. A directory that
 * never rests is loaded every WATCH_LATEST_MS all the same.
 *
 * A directory that is not there is looked for on a slow timer. Watching its parent was rejected: the parent may be missing
 * as well, and so on up to the root, while a timer asks the one question that counts. The same timer serves when inotify
 * itself fails (the user's limit of instances or watches): once the limit is raised, watching begins by itself.
 *
 * IN_MODIFY is left out: who writes in place is waited for until the file is closed. The directory's own end comes as
 * IN_DELETE_SELF or IN_MOVE_SELF (a new one may stand in its place by then), and IN_IGNORED when its file system goes.
 */
#include "daemon/watch.h"

#include <errno.h>
#include <string.h>
#include <sys/inotify.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#define EVENTS (IN_CREATE | IN_CLOSE_WRITE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF)
#define GONE (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED | IN_UNMOUNT)

struct watch {
	sd_event *loop;
	const char *dir;
	bool (*wanted)(const char *name);
	void (*changed)(void *arg);
	void *arg;
	sd_event_source *events;	/* NULL: not watched */
	sd_event_source *timer;		/* armed while restless or unwatched */
	int64_t first_ns;		/* of the changes not yet told; 0 = none */
	bool gone;			/* take the watch away: not while its own event is handled */
	bool told;			/* in the log, why it is not watched */
};

static void arm(struct watch *w, int64_t at_ns)
{
	/* An error here would be a lack of memory, and SIGHUP is left. */
	(void)sd_event_source_set_time(w->timer, (uint64_t)at_ns / 1000);
	(void)sd_event_source_set_enabled(w->timer, SD_EVENT_ONESHOT);
}

static void restless(struct watch *w)
{
	int64_t now = clock_mono_ns();

	if (!w->first_ns)
		w->first_ns = now;
	arm(w, MIN(now + WATCH_REST_MS * NS_PER_MS, w->first_ns + WATCH_LATEST_MS * NS_PER_MS));
}

static int on_event(sd_event_source *s, const struct inotify_event *ev, void *arg)
{
	struct watch *w = arg;

	if (ev->mask & GONE)
		w->gone = true;
	/* Without a name it is about the directory; an overflow may be about anything. */
	if (ev->mask & (GONE | IN_Q_OVERFLOW) || !ev->len || w->wanted(ev->name))
		restless(w);
	return 0;
}

static bool attach(struct watch *w)
{
	int r = sd_event_add_inotify(w->loop, &w->events, w->dir, EVENTS | IN_ONLYDIR, on_event, w);

	if (r >= 0) {
		(void)sd_event_source_set_description(w->events, "definitions");
		if (w->told)
			log_note("definitions: %s is watched for changes now", w->dir);
		w->told = false;
		return true;
	}
	w->events = NULL;
	if (!w->told)
		log_warn("definitions: %s cannot be watched, it is tried again every %d s and SIGHUP reads it: %s", w->dir,
			 WATCH_RETRY_MS / 1000, strerror(-r));
	w->told = true;
	return false;
}

static int on_timer(sd_event_source *s, uint64_t usec, void *arg)
{
	struct watch *w = arg;
	bool news = w->first_ns;

	if (w->gone) {
		w->events = sd_event_source_disable_unref(w->events);
		w->gone = false;
	}
	/* Attached before it is read: what comes in between is told again. */
	if (!w->events && attach(w))
		news = true;
	w->first_ns = 0;
	if (!w->events)
		arm(w, clock_mono_ns() + WATCH_RETRY_MS * NS_PER_MS);
	if (news)
		w->changed(w->arg);
	return 0;
}

struct watch *watch_new(sd_event *loop, const char *dir, bool (*wanted)(const char *name), void (*changed)(void *arg), void *arg)
{
	struct watch *w = XNEW(struct watch);
	int r;

	*w = (struct watch){ .loop = sd_event_ref(loop), .dir = dir, .wanted = wanted, .changed = changed, .arg = arg };
	r = sd_event_add_time(loop, &w->timer, CLOCK_MONOTONIC, 0, 1000, on_timer, w);
	if (r < 0) {
		log_warn("definitions: %s cannot be watched, SIGHUP reads it: %s", dir, strerror(-r));
		return watch_free(w);
	}
	(void)sd_event_source_set_description(w->timer, "definitions");
	(void)sd_event_source_set_enabled(w->timer, SD_EVENT_OFF);
	if (!attach(w))
		arm(w, clock_mono_ns() + WATCH_RETRY_MS * NS_PER_MS);
	return w;
}

struct watch *watch_free(struct watch *w)
{
	if (!w)
		return NULL;
	sd_event_source_disable_unref(w->events);
	sd_event_source_disable_unref(w->timer);
	sd_event_unref(w->loop);
	free(w);
	return NULL;
}
