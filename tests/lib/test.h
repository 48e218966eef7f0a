/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A test program is a main() with RUN(name) lines. Each prints "ok NAME", "not ok NAME - why" or "skip NAME - why";
 * tests/run.py adds them up. CHECK failures end the test, not the program.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static jmp_buf test_jmp;
static char test_why[1024];
static int test_failures;
static int test_skipped_now;

#define FAIL(...) do { \
	int _n = snprintf(test_why, sizeof(test_why), "%s:%d: ", __FILE__, __LINE__); \
	snprintf(test_why + _n, sizeof(test_why) - (size_t)_n, __VA_ARGS__); \
	longjmp(test_jmp, 1); } while (0)
#define SKIP(...) do { \
	snprintf(test_why, sizeof(test_why), __VA_ARGS__); test_skipped_now = 1; longjmp(test_jmp, 1); } while (0)
#define CHECK(cond) do { if (!(cond)) FAIL("%s is false", #cond); } while (0)
#define CHECK_INT(got, want) do { \
	long long _g = (long long)(got), _w = (long long)(want); \
	if (_g != _w) FAIL("%s is %lld, want %lld", #got, _g, _w); } while (0)
#define CHECK_STR(got, want) do { \
	const char *_g = (got), *_w = (want); \
	if (!_g || !_w || strcmp(_g, _w) != 0) \
		FAIL("%s is \"%s\", want \"%s\"", #got, _g ? _g : "(null)", _w ? _w : "(null)"); } while (0)

/* n times c; the caller's until the next call. */
static inline const char *repeat(char c, size_t n)
{
	static char *s;

	s = realloc(s, n + 1);
	if (!s)
		abort();
	memset(s, c, n);
	s[n] = '\0';
	return s;
}

#define RUN(fn) do { \
	test_skipped_now = 0; \
	if (setjmp(test_jmp) == 0) { fn(); printf("ok %s\n", #fn); } \
	else if (test_skipped_now) printf("skip %s - %s\n", #fn, test_why); \
	else { printf("not ok %s - %s\n", #fn, test_why); test_failures++; } \
	fflush(stdout); } while (0)
#define TEST_END() return test_failures ? 1 : 0
