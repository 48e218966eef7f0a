/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Functions' logs: one file per function, <dir>/<FunctionName>.log, with Lambda's START, END and REPORT lines around
 * what the function wrote to stderr.
 *
 * Bounded in size: a file that would pass max_bytes becomes <name>.log.1, that one .2, and so on up to `files`; the
 * last one goes. And in age: a file whose first line is older than max_age is moved on in the same way by the next
 * write, and a file whose last line is older is removed, also of a function that never writes again. So no line goes
 * for its age before max_age, and none stays longer than twice that.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <systemd/sd-event.h>

#include "base/buf.h"
#include "base/err.h"
#include "engine/port_clock.h"
#include "engine/port_log.h"

#define FUNCLOG_FILES_MAX 100
#define FUNCLOG_CURSOR_LEN 50

struct funclog_config {
	const char *dir;		/* must be there */
	int64_t max_bytes;		/* of one file */
	int files;			/* old ones that are kept, 0 to FUNCLOG_FILES_MAX */
	int64_t max_age_ms;		/* 0 = no bound */
	struct port_clock *clock;	/* borrowed */
};

struct funclog;
/* loop NULL: nobody sweeps but who calls funclog_sweep(). Else the directory is swept from the loop's first turn on,
 * and, when there is a bound on the age, again every hour or four times within the age. */
int funclog_new(sd_event *loop, const struct funclog_config *cfg, struct funclog **ret, struct err *e);
struct port_log *funclog_port(struct funclog *l);
int64_t funclog_lost(const struct funclog *l);		/* writes that failed, since it was made */
struct funclog *funclog_free(struct funclog *l);	/* NULL in; returns NULL */

/* One bounded step: looks at the next few hundred names and removes what is too old or beyond `files`. True when that was
 * the last of them; the next call begins anew. */
bool funclog_sweep(struct funclog *l);

/* What a reader gets: text, and the place behind it. A cursor is opaque text; it outlives rotation and the daemon. */
struct funclog_part {
	struct buf text;			/* appended to */
	char cursor[FUNCLOG_CURSOR_LEN + 1];	/* also with -ENOENT: the place before the first line ever written */
	bool lost;				/* what the cursor pointed into is gone, and with it maybe lines never read */
	bool more;				/* there is more than the bytes asked for */
};

/* What whole lines there are in the last `bytes` bytes of the function's log, all its files taken as one. -ENOENT when
 * there is none. The name is one that arn_function_name_ok() likes. */
int funclog_read_tail(const struct funclog *l, const char *function, size_t bytes, struct funclog_part *ret, struct err *e);
/* At most `bytes` (1 or more) of what came after the cursor, cut between two lines if they allow it. -EINVAL: no cursor
 * of ours. -ENOENT as above; lost is filled then, too. */
int funclog_read_after(const struct funclog *l, const char *function, const char *cursor, size_t bytes, struct funclog_part *ret,
		       struct err *e);
