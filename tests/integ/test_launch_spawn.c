/* SPDX-License-Identifier: Apache-2.0 */
/* The spawner alone: plans that stop before their exec, plans that fail, both ways of making the child. */
#include <sys/syscall.h>

#include "integ/test_launch_rig.h"
#include "sys/sys_calls.h"
#include "sys/sys_spawn.h"

#define WORKERS 6

static struct cg_leaf leaf;
static struct rig *rig;

static void up(void)
{
	struct err e = {};

	rig = rig_up();
	if (cg_leaf_new(rig->tree, "spawn", NULL, &leaf, &e) < 0)
		FAIL("%s", err_msg(&e));
}

static void down(void)
{
	struct err e = {};

	CHECK_INT(cg_leaf_kill(&leaf, &e), 0);
	CHECK_INT(cg_leaf_remove(&leaf, &e), 0);
	cg_leaf_done(&leaf);
	rig_down(rig);
}

static int status_of(struct sys_spawn *s)
{
	int status = -1;

	CHECK_INT(sys.wait_pidfd(s->pidfd, &status), 0);
	close(s->pidfd);
	return status;
}

static char *const no_args[] = { (char *)"true", NULL };

#define STEP_EXEC(path) { "execve", SYS_execve, { SYS_PTR(path), SYS_PTR(no_args), SYS_PTR(no_args + 1) } }

static void check_both_ways(bool copy)
{
	struct sys_step good[] = { { "setsid", SYS_setsid, {} }, STEP_EXEC("/bin/true") };
	struct sys_step second[] = { { "setsid", SYS_setsid, {} }, { "chdir", SYS_chdir, { SYS_PTR("/nowhere") } },
				     STEP_EXEC("/bin/true") };
	struct sys_step bad[] = { STEP_EXEC("/nowhere") };
	struct sys_spawn s = { .steps = good, .n_steps = 2, .cgroup_fd = leaf.fd, .copy = copy };
	struct sys_spawner *sp;
	struct err e = {};
	int error = 0;

	CHECK_INT(sys_spawner_new(WORKERS, &sp, &e), 0);
	CHECK_INT(sys_spawner_start(sp, &s, &e), 0);
	CHECK(s.pid > 0 && s.pidfd >= 0 && (fcntl(s.pidfd, F_GETFD) & FD_CLOEXEC));
	CHECK_INT(status_of(&s), 0);
	CHECK(!sys_spawn_failed(&s, &error));
	sys_spawn_done(&s);

	s = (struct sys_spawn){ .steps = second, .n_steps = 3, .cgroup_fd = leaf.fd, .copy = copy };
	CHECK_INT(sys_spawner_start(sp, &s, &e), 0);
	CHECK_INT(status_of(&s), 127 << 8);
	CHECK(sys_spawn_failed(&s, &error) == &second[1]);
	CHECK_INT(error, ENOENT);
	sys_spawn_done(&s);

	s = (struct sys_spawn){ .steps = bad, .n_steps = 1, .cgroup_fd = leaf.fd, .copy = copy };
	CHECK_INT(sys_spawner_start(sp, &s, &e), 0);
	CHECK_INT(status_of(&s), 127 << 8);
	CHECK(sys_spawn_failed(&s, &error) == &bad[0]);
	sys_spawn_done(&s);
	sys_spawner_free(sp);
}

static void shared_and_copied_do_the_same(void)
{
	up();
	check_both_ways(false);
	check_both_ways(true);
	down();
}

/* No fallback: without the group there is no child, and the caller hears why. */
static void outside_the_group_there_is_nothing(void)
{
	struct sys_step good[] = { STEP_EXEC("/bin/true") };
	struct sys_spawn s = { .steps = good, .n_steps = 1 };
	struct sys_spawner *sp;
	struct err e = {};

	up();
	CHECK_INT(sys_spawner_new(WORKERS, &sp, &e), 0);
	s.cgroup_fd = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK_INT(sys_spawner_start(sp, &s, &e), -EBADF);
	CHECK(strstr(err_msg(&e), "clone3"));
	CHECK_INT(s.pidfd, -EBADF);
	CHECK(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
	close(s.cgroup_fd);
	/* And the worker is there for the next. */
	s.cgroup_fd = leaf.fd;
	CHECK_INT(sys_spawner_start(sp, &s, &e), 0);
	CHECK_INT(status_of(&s), 0);
	sys_spawn_done(&s);
	sys_spawner_free(sp);
	down();
}

/* A program that does not get to its exec (here: it reads an empty pipe first) holds up a worker, nobody else. */
static void held_up_programs_hold_up_nobody_else(void)
{
	int fds[2];
	static char byte;
	struct sys_step good[] = { STEP_EXEC("/bin/true") };
	struct sys_step stuck[] = { { "read", SYS_read, { 0, SYS_PTR(&byte), 1 } }, STEP_EXEC("/bin/true") };
	struct sys_spawn held[WORKERS], s;
	struct sys_spawner *sp;
	struct err e = {};
	int status;

	up();
	CHECK(pipe2(fds, O_CLOEXEC) == 0);
	stuck[0].arg[0] = fds[0];
	CHECK_INT(sys_spawner_new(WORKERS, &sp, &e), 0);
	for (int i = 0; i < WORKERS; i++) {
		held[i] = (struct sys_spawn){ .steps = stuck, .n_steps = 2, .cgroup_fd = leaf.fd };
		CHECK_INT(sys_spawner_start(sp, &held[i], &e), 0);
		s = (struct sys_spawn){ .steps = good, .n_steps = 1, .cgroup_fd = leaf.fd };
		if (i < WORKERS - 1) {
			CHECK_INT(sys_spawner_start(sp, &s, &e), 0);
			CHECK_INT(status_of(&s), 0);
			sys_spawn_done(&s);
		}
	}
	CHECK_INT(sys_spawner_start(sp, &s, &e), -EAGAIN);
	CHECK(strstr(err_msg(&e), "held up"));
	CHECK_INT(s.pidfd, -EBADF);

	/* One gets on: its worker comes back. One is killed where it stands: so does its. */
	CHECK(write(fds[1], "x", 1) == 1);
	for (int done = 0; !done; ) {
		for (int i = 0; i < WORKERS && !done; i++) {
			struct pollfd p = { .fd = held[i].pidfd, .events = POLLIN };

			if (poll(&p, 1, 10) == 1) {
				CHECK_INT(status_of(&held[i]), 0);
				held[i].pidfd = -EBADF;
				done = 1;
			}
		}
	}
	CHECK_INT(sys_spawner_start(sp, &s, &e), 0);
	CHECK_INT(status_of(&s), 0);
	CHECK_INT(cg_leaf_kill(&leaf, &e), 0);
	for (int i = 0; i < WORKERS; i++) {
		int error;

		if (held[i].pidfd < 0)
			continue;
		CHECK_INT(status_of(&held[i]), SIGKILL);
		CHECK(!sys_spawn_failed(&held[i], &error));
	}
	/* Some kernels (6.18 is one) kill whatever is cloned into a group that was killed before. */
	CHECK_INT(sys_spawner_start(sp, &s, &e), 0);
	status = status_of(&s);
	CHECK(status == 0 || status == SIGKILL);
	sys_spawner_free(sp);
	close(fds[0]);
	close(fds[1]);
	down();
}

/* Whoever wants to end without ending them asks first whether a child still reads our memory. */
static void settled_when_no_child_is_before_its_exec(void)
{
	int fds[2];
	static char byte;
	struct sys_step stuck[] = { { "read", SYS_read, { 0, SYS_PTR(&byte), 1 } }, STEP_EXEC("/bin/true") };
	struct sys_spawn s = { .steps = stuck, .n_steps = 2 };
	struct sys_spawner *sp;
	struct err e = {};

	up();
	CHECK(pipe2(fds, O_CLOEXEC) == 0);
	stuck[0].arg[0] = fds[0];
	s.cgroup_fd = leaf.fd;
	CHECK_INT(sys_spawner_new(WORKERS, &sp, &e), 0);
	CHECK(sys_spawner_settle(sp, 0));
	CHECK_INT(sys_spawner_start(sp, &s, &e), 0);
	CHECK(!sys_spawner_settle(sp, 1000000));
	CHECK(write(fds[1], "x", 1) == 1);
	CHECK(sys_spawner_settle(sp, HANG_NS));
	CHECK_INT(status_of(&s), 0);
	sys_spawner_free(sp);
	close(fds[0]);
	close(fds[1]);
	down();
}

/* The OOM killer or a cgroup.kill can be faster than the child's first instruction. */
__attribute__((noinline, no_sanitize("address", "undefined"), no_stack_protector))
static void die_at_once(void *arg)
{
#if defined(__x86_64__)
	__asm__ volatile("syscall" : : "a"((long)SYS_exit_group), "D"(9L) : "rcx", "r11", "memory");
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = SYS_exit_group;
	register long x0 __asm__("x0") = 9;

	__asm__ volatile("svc #0" : : "r"(x8), "r"(x0) : "memory");
#endif
}

static long clone_that_dies(struct clone_args *args, size_t size, void (*fn)(void *), void *arg)
{
	return sys_clone3_onto(args, size, die_at_once, arg);
}

static void a_child_that_never_ran_is_a_child(void)
{
	struct sys_step good[] = { STEP_EXEC("/bin/true") };
	struct sys_spawn s = { .steps = good, .n_steps = 1 };
	struct sys_spawner *sp;
	struct err e = {};
	int error;

	up();
	s.cgroup_fd = leaf.fd;
	CHECK_INT(sys_spawner_new(1, &sp, &e), 0);
	sys.clone3 = clone_that_dies;
	CHECK_INT(sys_spawner_start(sp, &s, &e), 0);
	sys.clone3 = sys_clone3_onto;
	CHECK_INT(status_of(&s), 9 << 8);
	CHECK(!sys_spawn_failed(&s, &error));
	CHECK_INT(sys_spawner_start(sp, &s, &e), 0);
	CHECK_INT(status_of(&s), 0);
	sys_spawner_free(sp);
	down();
}

/* The child stopped for ever by somebody else, between clone and exec: the loop's thread is not. */
static void a_stopped_child_is_killed_all_the_same(void)
{
	/* In a process group of its own, which is what 0 means to kill(). */
	struct sys_step own[] = { { "setsid", SYS_setsid, {} }, { "kill", SYS_kill, { 0, SIGSTOP } }, STEP_EXEC("/bin/true") };
	struct sys_spawn s = { .steps = own, .n_steps = 3, .cgroup_fd = leaf.fd };
	struct sys_spawner *sp;
	struct err e = {};

	up();
	s.cgroup_fd = leaf.fd;
	CHECK_INT(sys_spawner_new(1, &sp, &e), 0);
	CHECK_INT(sys_spawner_start(sp, &s, &e), 0);
	CHECK_INT(cg_leaf_kill(&leaf, &e), 0);
	CHECK_INT(status_of(&s), SIGKILL);
	sys_spawner_free(sp);
	down();
}

int main(void)
{
	const char *unable = rig_unable();

	if (unable) {
		printf("skip launch_spawn - %s\n", unable);
		return 0;
	}
	RUN(shared_and_copied_do_the_same);
	RUN(outside_the_group_there_is_nothing);
	RUN(held_up_programs_hold_up_nobody_else);
	RUN(settled_when_no_child_is_before_its_exec);
	RUN(a_child_that_never_ran_is_a_child);
	RUN(a_stopped_child_is_killed_all_the_same);
	rig_sweep();
	TEST_END();
}
