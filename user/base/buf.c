/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

#define READ_BYTES 65536

void buf_done(struct buf *b)
{
	free(b->data);
	*b = (struct buf){};
}

void buf_clear(struct buf *b)
{
	b->len = 0;
	if (b->data)
		b->data[0] = '\0';
}

int buf_reserve(struct buf *b, size_t n)
{
	size_t want, cap;
	char *p;

	if (n > SIZE_MAX / 2 - b->len - 1)
		return -ENOMEM;
	want = b->len + n + 1;
	if (want <= b->cap)
		return 0;
	cap = b->cap ? b->cap : 64;
	while (cap < want)
		cap *= 2;
	p = realloc(b->data, cap);
	if (!p)
		return -ENOMEM;
	b->data = p;
	b->cap = cap;
	b->data[b->len] = '\0';
	return 0;
}

int buf_read(struct buf *b, int fd, size_t max)
{
	ssize_t n;

	do {
		int r = buf_reserve(b, READ_BYTES);

		if (r < 0)
			return r;
		n = read(fd, b->data + b->len, READ_BYTES);
		if (n < 0 && errno != EINTR)
			return -errno;
		b->len += n > 0 ? (size_t)n : 0;
		b->data[b->len] = '\0';
		/* Measured here and not by fstat(): a file may be growing. */
		if (b->len > max)
			return -EFBIG;
	} while (n != 0);
	return 0;
}

static void reserve_or_die(struct buf *b, size_t n)
{
	if (buf_reserve(b, n) < 0)
		mem_abort();
}

void buf_add(struct buf *b, const void *data, size_t len)
{
	reserve_or_die(b, len);
	if (len)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	b->data[b->len] = '\0';
}

void buf_adds(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void buf_addc(struct buf *b, char c)
{
	buf_add(b, &c, 1);
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	reserve_or_die(b, (size_t)n);
	va_start(ap, fmt);
	vsnprintf(b->data + b->len, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->len += (size_t)n;
}

const char *buf_str(const struct buf *b)
{
	return b->data ? b->data : "";
}

char *buf_take(struct buf *b, size_t *ret_len)
{
	char *p;

	reserve_or_die(b, 0);
	p = b->data;
	if (ret_len)
		*ret_len = b->len;
	*b = (struct buf){};
	return p;
}
