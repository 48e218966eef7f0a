/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal is used only when stderr is connected to it (JOURNAL_STREAM names the very socket), as systemd
 * recommends: a daemon started by hand on a host with a journal speaks to its terminal.
 *
 * An entry is one datagram to the journal's socket (systemd's "Native Journal Protocol"), written here and not through
 * libsystemd for one reason: the library waits for ever when the journal takes no more, and the loop that logs is the
 * one that kills at the deadline. A full socket costs lines, which are counted and owned up to when it drains; a
 * journal that is gone is passed over for the stderr stream. Sent to the socket by name each time, so that a restarted
 * journal needs no care. Lines are short (base/log.c bounds them): one datagram always takes them.
 *
 * A message may carry a function's or a client's words. In the journal a field's length says where it ends; on stderr
 * a line is a line, so what would end it or drive the terminal is written as \xNN (a tab does neither).
 */
#include "ops/journal.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"

#define JOURNAL_SOCKET "/run/systemd/journal/socket"

static int journal_fd = -EBADF;		/* the program's, for as long as it logs */
static unsigned long long lost;		/* atomic: log lines come from the loop, but nothing forbids another thread */

static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	return stream && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 && fstat(STDERR_FILENO, &st) == 0 &&
	       st.st_dev == dev && st.st_ino == ino;
}

/* FIELD=value, or, when the value has line breaks, its length in front of it. */
static void add_field(struct buf *b, const char *name, const char *value)
{
	size_t len = strlen(value);

	buf_adds(b, name);
	if (!strchr(value, '\n')) {
		buf_addc(b, '=');
	} else {
		buf_addc(b, '\n');
		for (int i = 0; i < 8; i++)
			buf_addc(b, (char)((uint64_t)len >> 8 * i));
	}
	buf_add(b, value, len);
	buf_addc(b, '\n');
}

static void add_number(struct buf *b, const char *name, unsigned int value)
{
	buf_addf(b, "%s=%u\n", name, value);
}

/* 0, or a negative errno: -EAGAIN when the journal takes no more. */
static int entry_send(enum log_level level, const struct log_ctx *ctx, const char *msg)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX, .sun_path = JOURNAL_SOCKET };
	CLEAN(buf_done) struct buf b = {};
	ssize_t n;

	add_field(&b, "MESSAGE", msg);
	add_number(&b, "PRIORITY", level);
	add_field(&b, "SYSLOG_IDENTIFIER", "fated");
	if (ctx && ctx->function)
		add_field(&b, "FATE_FUNCTION", ctx->function);
	if (ctx && ctx->request_id)
		add_field(&b, "FATE_REQUEST_ID", ctx->request_id);
	if (ctx && ctx->env)
		add_field(&b, "FATE_ENV", ctx->env);
	if (ctx && ctx->attempt)
		add_number(&b, "FATE_ATTEMPT", ctx->attempt);
	n = sendto(journal_fd, b.data, b.len, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&sa, sizeof(sa));
	return n < 0 ? -errno : 0;
}

/* The journal's own stream: it reads the level from the front of the line. Never waited for either. */
static int stream_send(enum log_level level, const struct log_ctx *ctx, const char *msg)
{
	char line[4096];
	int n = snprintf(line, sizeof(line), "<%d>", level);
	ssize_t sent;

	n += journal_format(line + n, sizeof(line) - (size_t)n, clock_wall_ms(), level, ctx, msg);
	sent = send(STDERR_FILENO, line, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
	return sent == n ? 0 : -1;
}

static void to_journal(enum log_level level, const struct log_ctx *ctx, const char *msg)
{
	unsigned long long n = __atomic_exchange_n(&lost, 0, __ATOMIC_RELAXED);
	int r = 0;

	if (n) {
		char owned[80];

		snprintf(owned, sizeof(owned), "%llu log lines were lost: the journal took no more", n);
		r = entry_send(LOG_WARN, NULL, owned);
	}
	if (r >= 0) {
		n = 0;
		r = entry_send(level, ctx, msg);
	}
	if (r < 0 && (r == -EAGAIN || stream_send(level, ctx, msg) < 0))
		n++;
	if (n)
		__atomic_add_fetch(&lost, n, __ATOMIC_RELAXED);
}

/* Appends text, as far as it leaves room for one byte more. Returns the new length. */
static size_t add_printable(char *out, size_t size, size_t len, const char *text)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;
		bool plain = c == '\t' || (c >= 0x20 && c != 0x7f);

		if (len + (plain ? 1 : 4) >= size)
			break;
		if (plain)
			out[len++] = (char)c;
		else
			len += (size_t)snprintf(out + len, size - len, "\\x%02x", c);
	}
	return len;
}

int journal_format(char *out, size_t size, int64_t wall_ms, enum log_level level, const struct log_ctx *ctx, const char *msg)
{
	static const char *const words[] = {
		[LOG_ERROR] = "error: ", [LOG_WARN] = "warning: ", [LOG_NOTE] = "notice: ", [LOG_INF] = "info: ",
		[LOG_DBG] = "debug: ",
	};
	const char *word = level >= LOG_ERROR && level <= LOG_DBG ? words[level] : "log: ";
	const struct log_ctx c = ctx ? *ctx : (struct log_ctx){};
	char iso[ISO_MS_LEN + 1], attempt[32], env[80];
	const char *const ids[] = { c.function, c.request_id, c.attempt ? attempt : NULL, c.env ? env : NULL };
	bool some = false;
	size_t n = 0;

	assert(size >= 2);
	snprintf(attempt, sizeof(attempt), "attempt %u", c.attempt);
	snprintf(env, sizeof(env), "env %s", c.env ? c.env : "");

	n = add_printable(out, size - 1, n, clock_iso_ms(wall_ms, iso));
	n = add_printable(out, size - 1, n, " ");
	n = add_printable(out, size - 1, n, word);
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
		if (!ids[i])
			continue;
		n = add_printable(out, size - 1, n, some ? " " : "");
		n = add_printable(out, size - 1, n, ids[i]);
		some = true;
	}
	n = add_printable(out, size - 1, n, some ? ": " : "");
	n = add_printable(out, size - 1, n, msg);
	out[n++] = '\n';
	out[n] = '\0';
	return (int)n;
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
	bool journal = stderr_is_journal();

	if (journal && journal_fd < 0)
		journal_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	log_set_sink(journal && journal_fd >= 0 ? to_journal : to_stderr);
}
