/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void mem_abort(void)
{
	static const char msg[] = "fated: out of memory, aborting\n";
	ssize_t r = write(2, msg, sizeof(msg) - 1);

	(void)r;
	abort();
}

static void *checked(void *p)
{
	if (!p)
		mem_abort();
	return p;
}

void *xcalloc(size_t n, size_t size)
{
	return checked(calloc(n ? n : 1, size ? size : 1));
}

void *xrealloc(void *p, size_t size)
{
	return checked(realloc(p, size ? size : 1));
}

char *xstrdup(const char *s)
{
	return checked(strdup(s));
}

char *xstrndup(const char *s, size_t n)
{
	return checked(strndup(s, n));
}

char *xasprintf(const char *fmt, ...)
{
	va_list ap;
	char *s = NULL;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&s, fmt, ap);
	va_end(ap);
	if (n < 0)
		s = NULL;
	return checked(s);
}

void xfree_strings(char **list)
{
	for (char **p = list; p && *p; p++)
		free(*p);
	free(list);
}

void ref_take(int *refs)
{
	int before = __atomic_fetch_add(refs, 1, __ATOMIC_RELAXED);

	assert(before > 0);
}

bool ref_drop(int *refs)
{
	int before = __atomic_fetch_sub(refs, 1, __ATOMIC_ACQ_REL);

	assert(before > 0);
	return before == 1;
}
