/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A growing byte buffer. Always NUL-terminated one past len, so data can be used as a string when it holds one. */
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct buf {
	char *data;	/* NULL while empty and never grown */
	size_t len, cap;
};

void buf_done(struct buf *b);
void buf_clear(struct buf *b);				/* keeps the memory */
/* Makes room for n more bytes. -ENOMEM leaves the buffer as it was. */
int buf_reserve(struct buf *b, size_t n);
/* Appends all that fd still gives, until its end. -EFBIG as soon as the buffer is longer than max; -ENOMEM; what read() says.
 * Blocks as fd does. */
int buf_read(struct buf *b, int fd, size_t max);
/* The append functions abort on lack of memory (see base/mem.h); use buf_reserve first when input chose the size. */
void buf_add(struct buf *b, const void *data, size_t len);
void buf_adds(struct buf *b, const char *s);
void buf_addc(struct buf *b, char c);
void buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The text, "" when empty; owned by the buffer. */
const char *buf_str(const struct buf *b);
/* Hands the memory over (never NULL, terminated) and leaves the buffer empty. */
char *buf_take(struct buf *b, size_t *ret_len);
