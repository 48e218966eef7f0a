/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One function's files: names, ages, and how one makes room for the next.
 *
 * A line of ours has no time in it (Lambda's START has none), so the age of a file's first line is the file's birth,
 * and that of its last line the time of the last change: a rename touches neither. Where a file system keeps no births
 * the last change stands for both, and a file is moved on only after its function was silent for the whole age.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "model/arn.h"
#include "ops/funclog_int.h"

#define SUFFIX ".log"

void funclog_file_name(char out[FUNCLOG_NAME_SIZE], const char *function, int number)
{
	assert(number >= 0 && number <= FUNCLOG_FILES_MAX && !strchr(function, '/'));
	if (number)
		snprintf(out, FUNCLOG_NAME_SIZE, "%s" SUFFIX ".%d", function, number);
	else
		snprintf(out, FUNCLOG_NAME_SIZE, "%s" SUFFIX, function);
}

bool funclog_file_parse(const char *name, int *ret_number)
{
	char function[LIM_FUNCTION_NAME_MAX + 1], same[FUNCLOG_NAME_SIZE];
	size_t len = strcspn(name, ".");
	const char *digits;
	int n = 0;

	if (!len || len > LIM_FUNCTION_NAME_MAX || strncmp(name + len, SUFFIX, strlen(SUFFIX)) != 0)
		return false;
	memcpy(function, name, len);
	function[len] = '\0';
	digits = name + len + strlen(SUFFIX);
	for (const char *p = digits + (*digits == '.'); *p >= '0' && *p <= '9' && n <= FUNCLOG_FILES_MAX; p++)
		n = n * 10 + (*p - '0');
	if (n > FUNCLOG_FILES_MAX || !arn_function_name_ok(function))
		return false;
	/* What we should have called it, it is called: leading zeros and other tails are somebody else's. */
	funclog_file_name(same, function, n);
	*ret_number = n;
	return strcmp(name, same) == 0;
}

static int64_t stamp_ms(const struct statx_timestamp *t)
{
	return t->tv_sec * 1000 + t->tv_nsec / 1000000;
}

int funclog_file_stat(int fd, const char *name, struct funclog_stat *ret)
{
	struct statx st;

	if (statx(fd, name, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &st) < 0)
		return -errno;
	if (!S_ISREG(st.stx_mode))
		return -ENOTSUP;
	*ret = (struct funclog_stat){ .ino = st.stx_ino, .size = (int64_t)st.stx_size, .last_ms = stamp_ms(&st.stx_mtime) };
	ret->first_ms = ret->last_ms;
	if (st.stx_mask & STATX_BTIME) {
		ret->born_ns = st.stx_btime.tv_sec * NS_PER_S + st.stx_btime.tv_nsec;
		ret->first_ms = stamp_ms(&st.stx_btime);
	}
	return 0;
}

/* 1: there is such a file, 0: there is none. */
static int there(const struct funclog *l, const char *name)
{
	struct funclog_stat st;
	int r = funclog_file_stat(l->dirfd, name, &st);

	return r == -ENOENT ? 0 : r < 0 ? r : 1;
}

/* From the oldest to the youngest; a number that is free ends the moving: what is older can stay where it is. */
int funclog_file_rotate(const struct funclog *l, const char *function)
{
	char from[FUNCLOG_NAME_SIZE], to[FUNCLOG_NAME_SIZE];
	int last, r;

	funclog_file_name(from, function, 0);
	if (l->files == 0)
		return unlinkat(l->dirfd, from, 0) < 0 ? -errno : 0;
	for (last = 1;; last++) {
		funclog_file_name(to, function, last);
		r = there(l, to);
		if (r < 0)
			return r;
		if (r == 0 || last == l->files)
			break;
	}
	for (int n = last; n > 0; n--) {
		funclog_file_name(from, function, n - 1);
		funclog_file_name(to, function, n);
		if (renameat(l->dirfd, from, l->dirfd, to) < 0)
			return -errno;
	}
	return 0;
}
