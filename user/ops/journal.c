/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal is used only when stderr is connected to it (JOURNAL_STREAM names the very socket), as systemd
 * recommends: a daemon started by hand on a host with a journal speaks to its terminal.
 */
#include "ops/journal.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <systemd/sd-journal.h>

#include "base/clock.h"

static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	return stream && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 && fstat(STDERR_FILENO, &st) == 0 &&
	       st.st_dev == dev && st.st_ino == ino;
}

static void to_journal(enum log_level level, const struct log_ctx *ctx, const char *msg)
{
	if (!ctx) {
		sd_journal_send("MESSAGE=%s", msg, "PRIORITY=%d", (int)level, NULL);
		return;
	}
	sd_journal_send("MESSAGE=%s", msg, "PRIORITY=%d", (int)level, "FATE_FUNCTION=%s", ctx->function ? ctx->function : "",
			"FATE_REQUEST_ID=%s", ctx->request_id ? ctx->request_id : "", "FATE_ENV=%s", ctx->env ? ctx->env : "",
			"FATE_ATTEMPT=%u", ctx->attempt, NULL);
}

int journal_format(char *out, size_t size, int64_t wall_ms, enum log_level level, const struct log_ctx *ctx, const char *msg)
{
	static const char *const words[] = {
		[LOG_ERROR] = "error", [LOG_WARN] = "warning", [LOG_NOTE] = "notice", [LOG_INF] = "info", [LOG_DBG] = "debug",
	};
	char iso[ISO_MS_LEN + 1];
	const char *word = level >= LOG_ERROR && level <= LOG_DBG ? words[level] : "log";
	int n;

	if (ctx && ctx->request_id)
		n = snprintf(out, size, "%s %s: %s %s attempt %u: %s\n", clock_iso_ms(wall_ms, iso), word,
			     ctx->function ? ctx->function : "-", ctx->request_id, ctx->attempt, msg);
	else
		n = snprintf(out, size, "%s %s: %s\n", clock_iso_ms(wall_ms, iso), word, msg);
	if ((size_t)n >= size) {
		n = (int)size - 1;
		out[n - 1] = '\n';
	}
	return n;
}

static void to_stderr(enum log_level level, const struct log_ctx *ctx, const char *msg)
{
	char line[4096];
	int n = journal_format(line, sizeof(line), clock_wall_ms(), level, ctx, msg);
	ssize_t r = write(STDERR_FILENO, line, (size_t)n);	/* one write: lines of two programs do not mix */

	(void)r;
}

void journal_log_open(void)
{
	log_set_sink(stderr_is_journal() ? to_journal : to_stderr);
}
