/* SPDX-License-Identifier: Apache-2.0 */
/* What is written into a leaf, on a directory of plain files. */
#include "cgroup/cg_limits.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/mem.h"
#include "lib/test.h"
#include "sys/sys_calls.h"

static const char *const files[] = { "memory.max", "memory.oom.group", "pids.max", "cpu.max" };
static char dir[64];
static int fd;

static void up(void)
{
	snprintf(dir, sizeof(dir), "/tmp/fated-limits-XXXXXX");
	CHECK(mkdtemp(dir));
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(fd >= 0);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		int f = openat(fd, files[i], O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

		CHECK(f >= 0);
		close(f);
	}
}

static void down(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		(void)unlinkat(fd, files[i], 0);
	close(fd);
	CHECK(rmdir(dir) == 0);
}

static void check_file(const char *file, const char *value)
{
	char text[64];

	CHECK(sys_read_file(fd, file, text, sizeof(text)) >= 0);
	CHECK_STR(text, value);
}

static const struct cg_limits all = { .memory_bytes = 128ULL << 20, .pids_max = 64, .cpu_percent = 50, .oom_group = true };

static void all_of_them(void)
{
	struct err e = {};

	up();
	CHECK_INT(cg_limits_write(fd, CG_ALL, &all, &e), 0);
	check_file("memory.max", "134217728");
	check_file("memory.oom.group", "1");
	check_file("pids.max", "64");
	check_file("cpu.max", "50000 100000");
	down();
}

static void only_what_there_is(void)
{
	struct err e = {};

	up();
	CHECK_INT(cg_limits_write(fd, CG_PIDS, &all, &e), 0);
	check_file("memory.max", "");
	check_file("pids.max", "64");
	check_file("cpu.max", "");
	CHECK_INT(cg_limits_write(fd, 0, &all, &e), 0);
	down();
	up();
	CHECK_INT(cg_limits_write(fd, CG_ALL, &(struct cg_limits){}, &e), 0);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		check_file(files[i], "");
	down();
}

static void large_ones(void)
{
	struct err e = {};

	up();
	CHECK_INT(cg_limits_write(fd, CG_ALL, &(struct cg_limits){ .memory_bytes = 10240ULL << 20, .cpu_percent = 6400 }, &e), 0);
	check_file("memory.max", "10737418240");
	check_file("cpu.max", "6400000 100000");
	down();
}

static void the_whole_or_one(void)
{
	struct cg_limits l = all;
	struct err e = {};

	l.oom_group = false;
	up();
	CHECK_INT(cg_limits_write(fd, CG_ALL, &l, &e), 0);
	check_file("memory.max", "134217728");
	check_file("memory.oom.group", "0");
	down();
}

static void what_is_missing(void)
{
	static const struct { unsigned int have; struct cg_limits asked; unsigned int missing; } rows[] = {
		{ CG_ALL, { 1, 1, 1, true }, 0 }, { 0, { 1, 1, 1, true }, CG_ALL }, { 0, {}, 0 }, { 0, { .oom_group = true }, 0 },
		{ 0, { .memory_bytes = 1 }, CG_MEMORY }, { 0, { .pids_max = 1 }, CG_PIDS }, { 0, { .cpu_percent = 1 }, CG_CPU },
		{ CG_MEMORY | CG_CPU, { 1, 1, 1, false }, CG_PIDS },
		{ CG_MEMORY | CG_PIDS, { .memory_bytes = 1, .pids_max = 1 }, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		CHECK_INT(cg_limits_missing(rows[i].have, &rows[i].asked), rows[i].missing);
}

/* A limit that was asked for and cannot be kept is no detail. */
static void a_missing_file_is_an_error(void)
{
	static const unsigned int of[] = { CG_MEMORY, CG_MEMORY, CG_PIDS, CG_CPU };

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		struct err e = {};

		up();
		CHECK(unlinkat(fd, files[i], 0) == 0);
		CHECK_INT(cg_limits_write(fd, of[i], &all, &e), -ENOENT);
		CHECK(strstr(err_msg(&e), files[i]));
		down();
	}
}

int main(void)
{
	RUN(all_of_them);
	RUN(only_what_there_is);
	RUN(large_ones);
	RUN(the_whole_or_one);
	RUN(what_is_missing);
	RUN(a_missing_file_is_an_error);
	TEST_END();
}
