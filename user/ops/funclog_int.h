/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the funclog files share. Nobody else includes this. */
#include <dirent.h>

#include "base/map.h"
#include "model/limits.h"
#include "ops/funclog.h"

struct funclog {
	struct port_log port;
	struct port_clock *clock;
	int dirfd;
	char *dir;
	int64_t max_bytes, max_age_ms;
	int files;
	struct map streams;	/* cgroup id → struct stream */
	int64_t lost, complained_ns;
	sd_event_source *timer;	/* of the sweep; NULL = nobody's */
	DIR *sweep;		/* the sweep that is under way */
	bool sweep_failed;	/* it was said of this one */
};

/* ---- files (funclog_file.c): number 0 is the one that is written to, 1 … are the old ones, the higher the older */
#define FUNCLOG_NAME_SIZE (LIM_FUNCTION_NAME_MAX + 12)
void funclog_file_name(char out[FUNCLOG_NAME_SIZE], const char *function, int number);
/* False: not a name that funclog_file_name() makes. */
bool funclog_file_parse(const char *name, int *ret_number);

struct funclog_stat {
	uint64_t ino;
	int64_t born_ns;	/* 0 = this file system does not know */
	int64_t first_ms;	/* when its first line was written, as well as it is known */
	int64_t last_ms;	/* when its last line was */
	int64_t size;
};
/* Of an open file (name ""), or of a name in a directory. -ENOTSUP: no regular file; links are not followed. */
int funclog_file_stat(int fd, const char *name, struct funclog_stat *ret);
/* Makes room for a new file 0. A negative errno leaves it where it is. */
int funclog_file_rotate(const struct funclog *l, const char *function);

/* ---- the sweep (funclog_sweep.c) */
int funclog_sweep_start(struct funclog *l, sd_event *loop, struct err *e);
void funclog_sweep_stop(struct funclog *l);
