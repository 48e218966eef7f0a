/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of a group tell, on a directory of plain files with texts as kernels write them. */
#include "cgroup/cg_facts.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/mem.h"
#include "cgroup/cg_limits.h"
#include "lib/test.h"
#include "sys/sys_calls.h"

static const char *const names[] = { "memory.events", "memory.peak", "memory.max", "cpu.stat" };
static char dir[64];
static int fd;

static void put(const char *file, const char *text)
{
	int f = openat(fd, file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	CHECK(f >= 0);
	CHECK(write(f, text, strlen(text)) == (ssize_t)strlen(text));
	close(f);
}

static void up(void)
{
	snprintf(dir, sizeof(dir), "/tmp/fated-facts-XXXXXX");
	CHECK(mkdtemp(dir));
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(fd >= 0);
	put("memory.events", "low 0\nhigh 1\nmax 212\noom 3\noom_kill 2\noom_group_kill 1\n");
	put("memory.peak", "134217728\n");
	put("memory.max", "134217728\n");
	put("cpu.stat", "usage_usec 90210\nuser_usec 70000\nsystem_usec 20210\nnice_usec 0\ncore_sched.force_idle_usec 0\n");
}

static void down(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		(void)unlinkat(fd, names[i], 0);
	close(fd);
	CHECK(rmdir(dir) == 0);
}

static void numbers_by_their_key(void)
{
	static const struct { const char *text, *key; long long want; } rows[] = {	/* -1: none */
		{ "oom 3\n", "oom", 3 }, { "oom_kill 2\noom 3\n", "oom", 3 }, { "oom_kill 2\n", "oom", -1 },
		{ "low 0\noom_kill 2", "oom_kill", 2 }, { "a oom 3\n", "oom", -1 }, { "", "oom", -1 }, { "oom", "oom", -1 },
		{ "oom \n", "oom", -1 }, { "oom max\n", "oom", -1 }, { "oom -3\n", "oom", -1 }, { "oom  3\n", "oom", -1 },
		{ "oom 3x\n", "oom", -1 }, { "oom 99999999999999999999\n", "oom", -1 }, { "\n\noom 7\n", "oom", 7 },
		{ "oom 1\noom 2\n", "oom", 1 }, { "oom 9223372036854775807\n", "oom", INT64_MAX },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t v = 0;
		bool have = cg_facts_number(rows[i].text, rows[i].key, &v);

		if (have != (rows[i].want >= 0) || (have && v != (uint64_t)rows[i].want))
			FAIL("row %zu: %d, %" PRIu64, i, have, v);
	}
}

static void all_of_it(void)
{
	struct fact_cgroup f = { .missing = FACT_MISSING_CPU };

	up();
	cg_facts_read(fd, CG_MEMORY | CG_PIDS, &f);
	down();
	CHECK(f.have_memory);
	CHECK_INT(f.oom_kills, 2);
	CHECK_INT(f.own_ooms, 3);
	CHECK_INT(f.memory_peak, 134217728);
	CHECK_INT(f.memory_limit, 134217728);
	CHECK(f.have_cpu);
	CHECK_INT(f.cpu_usage_us, 90210);
	CHECK_INT(f.cpu_user_us, 70000);
	CHECK_INT(f.cpu_system_us, 20210);
	CHECK_INT(f.missing, FACT_MISSING_CPU);
	CHECK(!f.above_known && !f.above[0]);
}

static void without_the_memory_controller(void)
{
	struct fact_cgroup f = {};

	up();
	cg_facts_read(fd, CG_PIDS | CG_CPU, &f);
	down();
	CHECK(!f.have_memory);
	CHECK_INT(f.oom_kills + f.own_ooms + f.memory_peak + f.memory_limit, 0);
	CHECK(f.have_cpu);
}

/* memory.peak came with Linux 5.19; a limit may be taken away. */
static void what_is_not_there_is_unknown(void)
{
	struct fact_cgroup f = {};

	up();
	CHECK(unlinkat(fd, "memory.peak", 0) == 0);
	put("memory.max", "max\n");
	put("cpu.stat", "usage_usec 5\nuser_usec 5\n");
	cg_facts_read(fd, CG_MEMORY, &f);
	CHECK(f.have_memory && f.own_ooms == 3);
	CHECK_INT(f.memory_peak, 0);
	CHECK_INT(f.memory_limit, 0);
	CHECK(!f.have_cpu);

	f = (struct fact_cgroup){};
	put("memory.events", "low 0\nhigh 0\nmax 0\noom 1\n");
	CHECK(unlinkat(fd, "cpu.stat", 0) == 0);
	cg_facts_read(fd, CG_MEMORY, &f);
	CHECK(!f.have_memory && !f.have_cpu);

	f = (struct fact_cgroup){};
	CHECK(unlinkat(fd, "memory.events", 0) == 0);
	cg_facts_read(fd, CG_MEMORY, &f);
	CHECK(!f.have_memory && !f.memory_limit);
	down();
}

int main(void)
{
	RUN(numbers_by_their_key);
	RUN(all_of_it);
	RUN(without_the_memory_controller);
	RUN(what_is_not_there_is_unknown);
	TEST_END();
}
