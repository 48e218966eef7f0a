/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sd_notify(3). The status line is for `systemctl status`, which somebody reads who wonders; once a second is enough for
 * that, and an idle daemon says nothing. A change within the second makes the loop wake up once more after it, or the
 * line would be left at what was true in the middle of a burst.
 *
 * The watchdog hears of us from the turn and from nowhere else: a thread or a timer of its own would vouch for a loop
 * that hangs. Twice as often as asked for, as sd_watchdog_enabled(3) says, and once more for a loop that is late.
 */
#include "daemon/notify.h"

#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include <systemd/sd-daemon.h>

#include "base/clock.h"

#define STATUS_NS NS_PER_S

void notify_init(struct notify *n)
{
	uint64_t usec = 0;

	*n = (struct notify){ .on = getenv("NOTIFY_SOCKET") };
	if (n->on && sd_watchdog_enabled(0, &usec) > 0 && usec)
		n->watchdog_ns = (int64_t)usec * 1000 / 4;
}

void notify_status_line(const struct engine_stats *st, char out[NOTIFY_STATUS_MAX])
{
	size_t n = 0;

	if (st->in_doubt)
		n += (size_t)snprintf(out, NOTIFY_STATUS_MAX, "store in doubt, no new events are accepted: %.200s; ",
				      st->doubt_why);
	if (st->draining)
		n += (size_t)snprintf(out + n, NOTIFY_STATUS_MAX - n, "draining; ");
	/* Counts at most, and the texts above have bounds: it fits. */
	(void)snprintf(out + n, NOTIFY_STATUS_MAX - n, "%lld running, %lld queued, %lld waiting, %lld to be delivered",
		       (long long)(st->running + st->running_sync), (long long)st->queued, (long long)st->waiting,
		       (long long)st->routing);
	/* A line of sd_notify's is a line. */
	for (char *p = out; *p; p++)
		if (*p == '\n' || *p == '\r')
			*p = ' ';
}

static void status(struct notify *n, const struct engine *e, int64_t now_ns)
{
	char line[NOTIFY_STATUS_MAX];
	struct engine_stats st;

	engine_stats(e, &st);
	notify_status_line(&st, line);
	n->status_ns = now_ns;
	n->stale = false;
	if (strcmp(line, n->status) == 0)
		return;
	memcpy(n->status, line, sizeof(line));
	(void)sd_notifyf(0, "STATUS=%s", line);
}

void notify_turn(struct notify *n, const struct engine *e, int64_t now_ns)
{
	if (!n->on)
		return;
	if (n->watchdog_ns && now_ns - n->alive_ns >= n->watchdog_ns) {
		n->alive_ns = now_ns;
		(void)sd_notify(0, "WATCHDOG=1");
	}
	if (!n->status_ns || now_ns - n->status_ns >= STATUS_NS)
		status(n, e, now_ns);
	else
		n->stale = true;
}

int64_t notify_next_ns(const struct notify *n)
{
	int64_t next = INT64_MAX;

	if (n->on && n->stale)
		next = n->status_ns + STATUS_NS;
	if (n->on && n->watchdog_ns && n->alive_ns + n->watchdog_ns < next)
		next = n->alive_ns + n->watchdog_ns;
	return next;
}
