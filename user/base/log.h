/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One line, one event, with its fields. Ranks 0 to 2 do not log. The sink is set once by the program's main. */
#include <stdarg.h>

enum log_level { LOG_ERROR = 3, LOG_WARN = 4, LOG_NOTE = 5, LOG_INF = 6, LOG_DBG = 7 };	/* syslog's numbers */

/* Ids that go with a line; members may be NULL or 0. */
struct log_ctx {
	const char *function, *request_id, *env;
	unsigned int attempt;
};

typedef void (*log_sink_fn)(enum log_level level, const struct log_ctx *ctx, const char *msg);

void log_set_sink(log_sink_fn sink);		/* NULL: stderr */
void log_set_level(enum log_level max);
void log_msg(enum log_level level, const struct log_ctx *ctx, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#define log_error(...) log_msg(LOG_ERROR, NULL, __VA_ARGS__)
#define log_warn(...) log_msg(LOG_WARN, NULL, __VA_ARGS__)
#define log_note(...) log_msg(LOG_NOTE, NULL, __VA_ARGS__)
#define log_info(...) log_msg(LOG_INF, NULL, __VA_ARGS__)
#define log_debug(...) log_msg(LOG_DBG, NULL, __VA_ARGS__)
