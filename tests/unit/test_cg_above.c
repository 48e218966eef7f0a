/* SPDX-License-Identifier: Apache-2.0 */
/* Whose limit it was, on directories of plain files: M/a/b/env, of which M stands for the top of the hierarchy. */
#include "cgroup/cg_above.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "lib/test.h"
#include "sys/sys_calls.h"

enum { ENV, B, A, TOP, GROUPS };
static char dir[GROUPS][128];
static struct cg_above *a;
static struct cg_above_mark mark;

static void put(int group, const char *file, const char *text)
{
	char path[256];
	int f;

	snprintf(path, sizeof(path), "%s/%s", dir[group], file);
	f = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	CHECK(f >= 0);
	CHECK(write(f, text, strlen(text)) == (ssize_t)strlen(text));
	close(f);
}

static void ooms(int group, int n)
{
	char text[128];

	snprintf(text, sizeof(text), "low 0\nhigh 0\nmax %d\noom %d\noom_kill 77\noom_group_kill 0\n", 90 - n, n);
	put(group, "memory.events.local", text);
}

static void take_out(int group, const char *file)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", dir[group], file);
	CHECK(unlink(path) == 0);
}

static void make(void)
{
	char top[] = "/tmp/fated-above-XXXXXX";

	CHECK(mkdtemp(top));
	snprintf(dir[TOP], sizeof(dir[TOP]), "%s", top);
	snprintf(dir[A], sizeof(dir[A]), "%s/a", top);
	snprintf(dir[B], sizeof(dir[B]), "%s/a/b", top);
	snprintf(dir[ENV], sizeof(dir[ENV]), "%s/a/b/env", top);
	for (int i = A; i >= ENV; i--) {
		CHECK(mkdir(dir[i], 0700) == 0);
		ooms(i, 10 + i);
	}
	put(ENV, "memory.max", "max\n");
	put(B, "memory.max", "100000000\n");
	put(A, "memory.max", "200000000\n");
}

static void look(void)
{
	a = cg_above_new(dir[TOP], dir[ENV]);
	mark = (struct cg_above_mark){};
	cg_above_mark(a, &mark);
}

static void up(void)
{
	make();
	look();
	CHECK(mark.taken);
}

static void down(void)
{
	a = cg_above_free(a);
	CHECK(!a);
	for (int i = 0; i < GROUPS; i++) {
		char path[256];

		snprintf(path, sizeof(path), "%s/memory.events.local", dir[i]);
		(void)unlink(path);
		snprintf(path, sizeof(path), "%s/memory.max", dir[i]);
		(void)unlink(path);
		CHECK(rmdir(dir[i]) == 0);
	}
}

static struct fact_cgroup told(void)
{
	struct fact_cgroup f = { .oom_kills = 1 };

	cg_above_tell(a, &mark, &f);
	CHECK(f.above_known || (!f.above[0] && !f.above_limit));
	CHECK_INT(f.oom_kills, 1);
	return f;
}

static void check_group(const char *path, uint64_t limit)
{
	struct fact_cgroup f = told();

	CHECK(f.above_known);
	CHECK_STR(f.above, path);
	CHECK_INT(f.above_limit, limit);
}

static size_t fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	size_t n = 0;

	CHECK(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void exactly_one_rose(void)
{
	static const struct { const char *path; uint64_t limit; } want[] = {
		[ENV] = { "/a/b/env", 0 }, [B] = { "/a/b", 100000000 }, [A] = { "/a", 200000000 },
	};

	for (int i = ENV; i <= A; i++) {
		up();
		ooms(i, 12 + i);
		check_group(want[i].path, want[i].limit);
		down();
	}
}

static void none_rose(void)
{
	up();
	check_group("", 0);
	/* oom_kill alone is where the victim was, max alone a limit that was reached and made room for. */
	put(B, "memory.events.local", "low 5\nhigh 5\nmax 500\noom 11\noom_kill 500\n");
	mark.told = 0;
	check_group("", 0);
	down();
}

static void more_than_one_rose(void)
{
	up();
	ooms(A, 13);
	ooms(ENV, 11);
	CHECK(!told().above_known);
	down();
}

/* A group's count does not fall: this one is not the one that was marked. */
static void a_count_that_fell(void)
{
	up();
	ooms(A, 13);
	ooms(B, 0);
	CHECK(!told().above_known);
	down();
}

/* A path as an administrator may write it. */
static void slashes_to_spare(void)
{
	struct fact_cgroup f = {};
	char path[256];

	make();
	snprintf(path, sizeof(path), "%s///a//b/env", dir[TOP]);
	a = cg_above_new(dir[TOP], path);
	cg_above_mark(a, &mark);
	CHECK(mark.taken);
	ooms(A, 13);
	cg_above_tell(a, &mark, &f);
	CHECK(f.above_known);
	CHECK_INT(f.above_limit, 200000000);
	down();
}

/* A second look sees more, and may see less clearly: the first answer stands. */
static void what_was_known_stays_known(void)
{
	up();
	ooms(B, 12);
	check_group("/a/b", 100000000);
	ooms(A, 13);
	check_group("/a/b", 100000000);
	put(B, "memory.max", "100002000\n");
	check_group("/a/b", 100002000);
	/* The next start is another matter. */
	cg_above_mark(a, &mark);
	check_group("", 0);
	ooms(A, 14);
	check_group("", 0);
	down();

	/* What was not known may be so later only if it becomes clear. */
	up();
	ooms(A, 13);
	put(B, "memory.events.local", "");
	CHECK(!told().above_known);
	ooms(B, 11);
	check_group("/a", 200000000);
	down();
}

static void groups_that_cannot_be_opened(void)
{
	size_t before = fds();

	for (int i = ENV; i <= A; i++) {
		make();
		take_out(i, "memory.events.local");
		look();
		CHECK(!mark.taken);
		CHECK(!told().above_known);
		down();
	}
	CHECK_INT(fds(), before);
}

/* Where our top is the root of a name space it is a group as all others, and there are more above it. */
static void below_a_hidden_part(void)
{
	make();
	ooms(TOP, 3);
	put(TOP, "memory.max", "300000000\n");
	look();
	CHECK(mark.taken);
	CHECK(!told().above_known);
	ooms(TOP, 4);
	check_group("/", 300000000);
	down();
	make();
	ooms(TOP, 3);
	look();
	ooms(ENV, 11);
	check_group("/a/b/env", 0);
	down();
}

static void texts_that_are_nothing(void)
{
	static const char *const rows[] = { "", "oom\n", "oom max\n", "low 0\nhigh 0\nmax 0\noom_kill 1\n" };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		make();
		put(B, "memory.events.local", rows[i]);
		look();
		CHECK(!mark.taken);
		CHECK(!told().above_known);
		down();
		up();
		put(B, "memory.events.local", rows[i]);
		CHECK(!told().above_known);
		down();
	}
}

static struct sys_calls real;
static int countdown;

static ssize_t failing_pread(int fd, void *data, size_t len, off_t at)
{
	return --countdown == 0 ? -ENODEV : real.pread(fd, data, len, at);
}

static int failing_openat(int dirfd, const char *path, int flags, mode_t mode)
{
	return --countdown == 0 ? -EMFILE : real.openat(dirfd, path, flags, mode);
}

/* ENODEV is what the file of a group that was removed answers. Whichever it is, nothing is made up. */
static void reads_that_fail(void)
{
	real = sys;
	for (int n = 1; n <= 7; n++) {
		make();
		ooms(A, 12);
		countdown = n;
		sys.pread = failing_pread;
		look();
		CHECK(mark.taken == (n > 3));
		ooms(A, 13);
		if (n <= 6) {
			CHECK(!told().above_known);
		} else {
			countdown = 0;
			check_group("/a", 200000000);
		}
		sys = real;
		down();
	}
	/* The limit alone: the group is known, its limit is not. */
	up();
	ooms(A, 13);
	countdown = 1;
	sys.openat = failing_openat;
	check_group("/a", 0);
	sys = real;
	down();
}

static void opens_that_fail(void)
{
	size_t before = fds();

	real = sys;
	for (int n = 1; n <= 5; n++) {
		make();
		countdown = n;
		sys.openat = failing_openat;
		look();
		sys = real;
		CHECK(mark.taken == (n == 5));	/* the fourth asks whether the top is the top */
		CHECK(told().above_known == (n == 5));
		down();
	}
	CHECK_INT(fds(), before);
}

static void without_the_controller(void)
{
	struct fact_cgroup f = {};

	mark = (struct cg_above_mark){ .taken = true };
	cg_above_mark(NULL, &mark);
	CHECK(!mark.taken);
	cg_above_tell(NULL, &mark, &f);
	CHECK(!f.above_known);
	CHECK(!cg_above_free(NULL));
}

/* A chain of n groups below a top of its own. */
static void check_deep(int n, const char *name, bool known)
{
	char top[] = "/tmp/fated-above-XXXXXX", path[4096], file[4200];
	struct fact_cgroup f = {};
	size_t len;
	int fd = -1;

	CHECK(mkdtemp(top));
	len = (size_t)snprintf(path, sizeof(path), "%s", top);
	for (int i = 0; i < n; i++) {
		len += (size_t)snprintf(path + len, sizeof(path) - len, "/%s", name);
		CHECK(mkdir(path, 0700) == 0);
		snprintf(file, sizeof(file), "%s/memory.events.local", path);
		fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		CHECK(fd >= 0);
		CHECK(write(fd, "oom 0\n", 6) == 6);
		if (i < n - 1)
			close(fd);
	}
	a = cg_above_new(top, path);
	cg_above_mark(a, &mark);
	CHECK(pwrite(fd, "oom 1\n", 6, 0) == 6);
	close(fd);
	cg_above_tell(a, &mark, &f);
	a = cg_above_free(a);
	CHECK(mark.taken == known);
	CHECK(f.above_known == known);
	if (known && strlen(path + strlen(top)) >= sizeof(f.above)) {
		CHECK_INT(strlen(f.above), sizeof(f.above) - 1);
		CHECK(strncmp(f.above, "...", 3) == 0);
		CHECK_STR(f.above + 3, path + len - (sizeof(f.above) - 4));
	} else if (known) {
		CHECK_STR(f.above, path + strlen(top));
	}
	for (int i = 0; i < n; i++) {
		snprintf(file, sizeof(file), "%s/memory.events.local", path);
		CHECK(unlink(file) == 0);
		CHECK(rmdir(path) == 0);
		*strrchr(path, '/') = '\0';
	}
	CHECK(rmdir(top) == 0);
}

static void depths_and_long_names(void)
{
	char name[100];

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	check_deep(CG_ABOVE_MAX, "g", true);
	check_deep(CG_ABOVE_MAX + 1, "g", false);
	check_deep(2, name, true);
	check_deep(3, name, true);
	name[sizeof(((struct fact_cgroup *)0)->above) / 4 - 1] = '\0';	/* 4 × (63 + 1) = 256: one too many */
	check_deep(4, name, true);
}

int main(void)
{
	RUN(exactly_one_rose);
	RUN(none_rose);
	RUN(more_than_one_rose);
	RUN(a_count_that_fell);
	RUN(slashes_to_spare);
	RUN(what_was_known_stays_known);
	RUN(groups_that_cannot_be_opened);
	RUN(below_a_hidden_part);
	RUN(texts_that_are_nothing);
	RUN(reads_that_fail);
	RUN(opens_that_fail);
	RUN(without_the_controller);
	RUN(depths_and_long_names);
	TEST_END();
}
