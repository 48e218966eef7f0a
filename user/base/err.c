/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void err_format(struct err *e, int code, const char *tail, const char *fmt, va_list ap)
{
	char old[sizeof(e->msg)];
	int n;

	memcpy(old, tail, strnlen(tail, sizeof(old) - 1) + 1);
	old[sizeof(old) - 1] = '\0';
	n = vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
	if (n < 0)
		n = 0;
	if (old[0] && (size_t)n < sizeof(e->msg))
		snprintf(e->msg + n, sizeof(e->msg) - (size_t)n, ": %.*s", (int)(sizeof(e->msg) - (size_t)n), old);
	e->code = code;
}

int err_set(struct err *e, int code, const char *fmt, ...)
{
	int saved = errno;
	va_list ap;

	if (e) {
		va_start(ap, fmt);
		err_format(e, code, "", fmt, ap);
		va_end(ap);
	}
	errno = saved;
	return code;
}

int err_errno(struct err *e, int code, const char *fmt, ...)
{
	int saved = errno;
	va_list ap;

	if (e) {
		va_start(ap, fmt);
		err_format(e, code, strerror(-code), fmt, ap);
		va_end(ap);
	}
	errno = saved;
	return code;
}

int err_wrap(struct err *e, int code, const char *fmt, ...)
{
	int saved = errno;
	va_list ap;

	if (e) {
		va_start(ap, fmt);
		err_format(e, code, e->code ? e->msg : strerror(-code), fmt, ap);
		va_end(ap);
	}
	errno = saved;
	return code;
}

const char *err_msg(const struct err *e)
{
	if (!e)
		return "unknown error";
	return e->msg[0] ? e->msg : strerror(-e->code);
}
