/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Functions' logs: one file per function, <dir>/<FunctionName>.log, with Lambda's START, END and REPORT lines around
 * what the function wrote to stderr. Bounded: a file that passes max_bytes becomes <name>.log.1 (one old file is kept).
 */
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "engine/port_log.h"

struct funclog;
/* dir must be there. */
int funclog_new(const char *dir, int64_t max_bytes, struct funclog **ret, struct err *e);
struct port_log *funclog_port(struct funclog *l);
int64_t funclog_lost(const struct funclog *l);		/* writes that failed, since it was made */
struct funclog *funclog_free(struct funclog *l);	/* NULL in; returns NULL */

/* Appends what whole lines there are in the last `bytes` bytes of the function's log, the old file and the current taken
 * as one. -ENOENT when there is none. The name is one that arn_function_name_ok() likes. */
int funclog_read_tail(const char *dir, const char *function, size_t bytes, struct buf *out, struct err *e);
