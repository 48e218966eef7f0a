/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Ownership by attribute: CLEAN(x) locals are always initialised (NULL, -EBADF); TAKE() hands over.
 * Memory: small allocations are asserted (xcalloc…: the size is ours and bounded; a daemon that cannot get
 * 100 bytes is restarted and repairs from rows). Sizes chosen by input use plain malloc and report -ENOMEM.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#define CLEAN(fn) __attribute__((cleanup(fn)))

#define TAKE(p) ({ __typeof__(p) _take = (p); (p) = NULL; _take; })
#define TAKE_FD(fd) ({ int _take_fd = (fd); (fd) = -EBADF; _take_fd; })

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define BIT(n) (1u << (n))
#define MIN(a, b) ({ __typeof__(a) _a = (a); __typeof__(b) _b = (b); _a < _b ? _a : _b; })
#define MAX(a, b) ({ __typeof__(a) _a = (a); __typeof__(b) _b = (b); _a > _b ? _a : _b; })
#define container_of(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))

/* DEFINE_FREEP(buf_done, struct buf) → buf_donep(struct buf *), for value types: CLEAN(buf_done) works directly.
 * For pointer types: DEFINE_FREEP(func_unref, struct func *) → func_unrefp(). */
#define DEFINE_FREEP(fn, type) static inline void fn##p(type *p) { if (*p) (void)fn(*p); }

static inline void freep(void *p) { free(*(void **)p); }
static inline void closep(int *fd) { if (*fd >= 0) (void)close(*fd); }

/* Says that there is no memory, and aborts: for what must not be done without it. */
void mem_abort(void) __attribute__((noreturn));
/* Zeroed; never NULL: aborts with a message when the small allocation fails. */
void *xcalloc(size_t n, size_t size) __attribute__((malloc, returns_nonnull, alloc_size(1, 2)));
char *xstrdup(const char *s) __attribute__((malloc, returns_nonnull));
char *xstrndup(const char *s, size_t n) __attribute__((malloc, returns_nonnull));
/* May move; like realloc, never NULL. */
void *xrealloc(void *p, size_t size) __attribute__((returns_nonnull));
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2), returns_nonnull));

/* Frees a NULL-terminated list of strings, and the strings. NULL is fine. */
void xfree_strings(char **list);

/* Counts of references, atomic: snapshots are read by several threads. ref_drop: true when that was the last one. */
void ref_take(int *refs);
bool ref_drop(int *refs);

#define XNEW(type) ((type *)xcalloc(1, sizeof(type)))
