/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <errno.h>
#include <stdio.h>

static log_sink_fn the_sink;
static enum log_level the_max = LOG_INF;

static void sink_stderr(enum log_level level, const struct log_ctx *ctx, const char *msg)
{
	if (ctx && ctx->request_id)
		fprintf(stderr, "<%d>%s %s attempt %u: %s\n", level, ctx->function ? ctx->function : "-",
			ctx->request_id, ctx->attempt, msg);
	else
		fprintf(stderr, "<%d>%s\n", level, msg);
}

void log_set_sink(log_sink_fn sink)
{
	the_sink = sink;
}

void log_set_level(enum log_level max)
{
	the_max = max;
}

void log_msg(enum log_level level, const struct log_ctx *ctx, const char *fmt, ...)
{
	int saved = errno;
	char msg[2048];
	va_list ap;

	if (level > the_max)
		return;
	va_start(ap, fmt);
	vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	(the_sink ? the_sink : sink_stderr)(level, ctx, msg);
	errno = saved;
}
