/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who removes the logs of functions that write no more: a walk over the directory, a few hundred names at a time, on
 * the loop that also kills at the deadline. A step is due by the clock and not as soon as possible, so that however
 * large the directory is, most of every turn belongs to others.
 *
 * Only names are touched that a log of ours can have, and only regular files: the directory may be shared with what
 * others keep there. A file that is removed under a function that runs is made anew by its next line.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "ops/funclog_int.h"

#define NAMES_PER_STEP 256
#define STEP_US 10000ULL
#define SWEEP_EVERY_US 3600000000ULL
#define SWEEP_SOONEST_US 1000000ULL
#define SWEEP_PRIORITY (SD_EVENT_PRIORITY_NORMAL + 50)

static void look_at(struct funclog *l, const char *name, int64_t now_ms)
{
	struct funclog_stat st;
	int number;

	if (!funclog_file_parse(name, &number) || funclog_file_stat(l->dirfd, name, &st) < 0)
		return;
	if (number <= l->files && (!l->max_age_ms || now_ms - st.last_ms <= l->max_age_ms))
		return;
	if (unlinkat(l->dirfd, name, 0) == 0) {
		log_debug("old function log %s/%s is removed", l->dir, name);
	} else if (errno != ENOENT && !l->sweep_failed) {
		l->sweep_failed = true;		/* what keeps one there keeps a thousand */
		log_warn("old function log %s/%s cannot be removed: %s", l->dir, name, strerror(errno));
	}
}

static void end(struct funclog *l)
{
	if (l->sweep)
		(void)closedir(l->sweep);
	l->sweep = NULL;
}

static bool begin(struct funclog *l)
{
	int fd = openat(l->dirfd, ".", O_DIRECTORY | O_RDONLY | O_CLOEXEC);

	l->sweep_failed = false;
	if (fd >= 0)
		l->sweep = fdopendir(fd);
	if (l->sweep)
		return true;
	log_warn("function logs %s cannot be looked through: %s", l->dir, strerror(errno));
	closep(&fd);
	return false;
}

bool funclog_sweep(struct funclog *l)
{
	int64_t now_ms = l->clock->wall_ms(l->clock->self);

	if (!l->sweep && !begin(l))
		return true;
	for (int i = 0; i < NAMES_PER_STEP; i++) {
		const struct dirent *d = readdir(l->sweep);

		if (!d) {
			end(l);
			return true;
		}
		look_at(l, d->d_name, now_ms);
	}
	return false;
}

static int on_due(sd_event_source *s, uint64_t usec, void *arg)
{
	struct funclog *l = arg;
	uint64_t next = STEP_US;
	int r;

	if (funclog_sweep(l)) {
		if (!l->max_age_ms)
			return 0;	/* what lay beyond `files` is gone, and nothing grows old */
		next = MAX(MIN((uint64_t)l->max_age_ms * 1000 / 4, SWEEP_EVERY_US), SWEEP_SOONEST_US);
	}
	r = sd_event_source_set_time_relative(s, next);
	return r < 0 ? r : sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
}

int funclog_sweep_start(struct funclog *l, sd_event *loop, struct err *e)
{
	int r = sd_event_add_time_relative(loop, &l->timer, CLOCK_MONOTONIC, 0, STEP_US, on_due, l);

	if (r >= 0)
		r = sd_event_source_set_priority(l->timer, SWEEP_PRIORITY);
	return r < 0 ? err_errno(e, r, "timer of the function logs") : 0;
}

void funclog_sweep_stop(struct funclog *l)
{
	l->timer = sd_event_source_disable_unref(l->timer);
	end(l);
}
