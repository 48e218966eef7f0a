/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A function that ends the way its first argument says; the fault matrix (tests/integ/test_fault_matrix.py) runs it.
 *
 * Every way is deterministic: where an end depends on another process or thread being in a certain state, the program
 * waits for that state (a pipe, /proc) and never for time. Waits without an end are the deaths by timeout: there the
 * supervisor is what ends it.
 *
 *   $DIE_NOTES   a file that gets a line "WHAT PID" when something is in place (the test waits for these lines)
 *   $DIE_STARTS  a file that gets a line "REQUEST-ID ATTEMPT" at the start of every run, in one O_APPEND write
 *
 * It is linked statically and allocates next to nothing, so that what the kernel tells about it is about it alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RESPONSE_MAX 6291556	/* Lambda's limit of a buffered response: 6 MiB + 100 */

static void die(const char *why)
{
	fprintf(stderr, "prog_die: %s: %s\n", why, strerror(errno));
	_exit(99);	/* no way of the matrix ends with 99 */
}

static void write_all(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);

		if (n < 0)
			die("write");
		data += n;
		len -= (size_t)n;
	}
}

static void say(const char *text)
{
	write_all(STDOUT_FILENO, text, strlen(text));
}

static void append_line(const char *variable, const char *a, const char *b)
{
	const char *path = getenv(variable);
	char line[256];
	int fd, n;

	if (!path)
		return;
	n = snprintf(line, sizeof(line), "%s %s\n", a, b);
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
	if (fd < 0)
		die(path);
	write_all(fd, line, (size_t)n);
	close(fd);
}

static void note(const char *what)
{
	char pid[16];

	snprintf(pid, sizeof(pid), "%d", getpid());
	append_line("DIE_NOTES", what, pid);
}

static _Noreturn void hang(void)
{
	for (;;)
		pause();
}

static void nap(void)	/* between two looks at a condition */
{
	nanosleep(&(struct timespec){ .tv_nsec = 500000 }, NULL);
}

/* Runs body() in a child; returns when the child has written to the pipe that it is in place. */
static pid_t child_in_place(void (*body)(int ready_fd))
{
	int fds[2];
	char c;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		die("pipe");
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0) {
		close(fds[0]);
		body(fds[1]);
		_exit(98);
	}
	close(fds[1]);
	if (read(fds[0], &c, 1) != 1)
		die("child is not in place");
	close(fds[0]);
	return pid;
}

static void in_place(int ready_fd)
{
	write_all(ready_fd, "!", 1);
	close(ready_fd);
}

/* ---- plain ends -------------------------------------------------------------------------------------------- */
static int end_exit(char **arg)
{
	int status = atoi(arg[0] ? arg[0] : "0");

	if (status == 0)
		say("{\"ended\":\"well\"}");
	return status;
}

static int end_echo(char **arg)
{
	static char buf[65536];
	ssize_t n;

	while ((n = read(STDIN_FILENO, buf, sizeof(buf))) > 0)
		write_all(STDOUT_FILENO, buf, (size_t)n);
	return n < 0 ? 99 : 0;
}

/* Ends once with a status per attempt: "attempts 3 0" fails the first run and succeeds in the second. */
static int end_attempts(char **arg)
{
	int n = atoi(getenv("FATE_ATTEMPT") ?: "1"), i = 0;

	while (i + 1 < n && arg[i] && arg[i + 1])
		i++;
	return arg[i] ? end_exit(arg + i) : 99;
}

static int end_sleep(char **arg)	/* a slow success, for the crash test */
{
	long ms = atol(arg[0] ? arg[0] : "100");

	nanosleep(&(struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 }, NULL);
	say("{\"ended\":\"well\"}");
	return 0;
}

/* ---- signals ----------------------------------------------------------------------------------------------- */
static int end_raise(char **arg)
{
	int sig = atoi(arg[0] ? arg[0] : "15");

	note("raising");
	if (kill(getpid(), sig) < 0)
		die("kill");
	hang();
}

static int end_segv(char **arg)
{
	volatile int *nowhere = (volatile int *)(uintptr_t)8;

	note("faulting");
	return *nowhere;
}

static int end_fpe(char **arg)
{
	volatile int zero = 0;

	return getpid() / zero;
}

static int end_ill(char **arg)
{
	__builtin_trap();
}

static int end_bus(char **arg)	/* a mapping beyond the end of its file */
{
	int fd = (int)syscall(SYS_memfd_create, "empty", 0);
	volatile char *p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		die("mmap");
	return *p;
}

static int end_abort(char **arg)
{
	note("aborting");
	abort();
}

static int end_alarm(char **arg)	/* a signal of the kernel's own making that is no fault */
{
	struct itimerval soon = { .it_value.tv_usec = 1000 };

	setitimer(ITIMER_REAL, &soon, NULL);
	hang();
}

static int end_wait(char **arg)		/* somebody else ends it */
{
	note("waiting");
	hang();
}

static void body_kill_parent(int ready_fd)
{
	prctl(PR_SET_NAME, "die_child");
	note("killer");
	in_place(ready_fd);
	kill(getppid(), SIGKILL);
	hang();		/* always left over, so that the count is exact */
}

static int end_child_kills(char **arg)
{
	child_in_place(body_kill_parent);
	hang();
}

static int end_ignore_term(char **arg)
{
	signal(SIGTERM, SIG_IGN);
	note("ignoring");
	hang();
}

static void on_term(int sig)
{
	note("terminated");
	_exit(0);
}

static int end_heed_term(char **arg)	/* cleans up in the grace and exits 0: too late all the same */
{
	signal(SIGTERM, on_term);
	note("waiting");
	hang();
}

static int end_stop(char **arg)
{
	note("stopping");
	raise(SIGSTOP);
	say("\"continued\"");
	return 0;
}

/* ---- threads ----------------------------------------------------------------------------------------------- */
static void *thread_after_leader(void *how)
{
	char path[64], stat[256], *paren;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", getpid());
	for (;;) {	/* until the leading thread is a zombie that waits for us */
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		ssize_t n = fd < 0 ? -1 : read(fd, stat, sizeof(stat) - 1);

		if (n <= 0)
			die(path);
		close(fd);
		stat[n] = '\0';
		paren = strrchr(stat, ')');
		if (paren && paren[1] == ' ' && paren[2] == 'Z')
			break;
		nap();
	}
	note("leader-gone");
	if (strcmp(how, "exit") == 0)
		_exit(3);			/* exit_group: the group's status */
	if (strcmp(how, "thread") == 0)
		syscall(SYS_exit, 9);		/* this thread alone: the leader's 7 stays the process's status */
	if (strcmp(how, "segv") == 0)
		end_segv(NULL);
	say("\"returned\"");
	return NULL;				/* glibc: the last thread's return is exit(0) */
}

static int end_leader_first(char **arg)
{
	char *how = arg[0] ? arg[0] : "return";
	pthread_t t;

	if (pthread_create(&t, NULL, thread_after_leader, how) != 0)
		die("pthread_create");
	if (strcmp(how, "return") == 0)
		pthread_exit(NULL);
	syscall(SYS_exit, 7);
	return 99;
}

static void *thread_nothing(void *arg)
{
	return NULL;
}

static int end_threads(char **arg)	/* threads are no processes */
{
	for (int i = 0; i < 31; i++) {
		pthread_t t;

		if (pthread_create(&t, NULL, thread_nothing, NULL) != 0 || pthread_join(t, NULL) != 0)
			die("thread");
	}
	say("31");
	return 0;
}

/* ---- families ---------------------------------------------------------------------------------------------- */
static void body_grandchild(int ready_fd)	/* the parent in between goes first */
{
	pid_t middle = getpid(), pid = fork();

	if (pid < 0)
		die("fork");
	if (pid > 0)
		_exit(0);
	while (getppid() == middle)
		nap();
	note("grandchild");
	in_place(ready_fd);
	hang();
}

static int end_double_fork(char **arg)
{
	pid_t middle = child_in_place(body_grandchild);

	waitpid(middle, NULL, 0);
	say("{\"left\":\"behind\"}");
	return 0;
}

static void body_hang(int ready_fd)
{
	note("child");
	in_place(ready_fd);
	hang();
}

static int end_child_hangs(char **arg)
{
	child_in_place(body_hang);
	note("leader");
	hang();
}

static void body_setsid(int ready_fd)
{
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	if (setsid() < 0)
		die("setsid");
	note("child");
	in_place(ready_fd);
	hang();
}

static int end_setsid_child(char **arg)
{
	child_in_place(body_setsid);
	note("leader");
	hang();
}

static int end_zombie(char **arg)	/* a child that nobody reaps is no leftover */
{
	pid_t pid = fork();
	siginfo_t si;

	if (pid < 0)
		die("fork");
	if (pid == 0)
		_exit(5);
	if (waitid(P_PID, (id_t)pid, &si, WEXITED | WNOWAIT) < 0)
		die("waitid");
	say("\"unreaped\"");
	return 0;
}

static int end_storm(char **arg)	/* 211 children (a prime), each reaped */
{
	for (int i = 0; i < 211; i++) {
		pid_t pid = fork();

		if (pid < 0)
			die("fork");
		if (pid == 0)
			_exit(i & 127);
		waitpid(pid, NULL, 0);
	}
	say("211");
	return 0;
}

static int end_crowd(char **arg)	/* as many children as it may have, all of them left behind */
{
	char text[16];
	int n = 0;

	while (n < 1000) {
		pid_t pid = fork();

		if (pid == 0)
			hang();
		if (pid < 0)
			break;
		n++;
	}
	snprintf(text, sizeof(text), "%d", n);
	say(text);
	return n < 1000 ? 0 : 99;
}

/* Into a group of its own below the leaf. */
static void nest(void)
{
	const char *leaf = getenv("FATE_CGROUP");
	char path[4200];
	int fd;

	if (!leaf)
		die("no FATE_CGROUP");
	snprintf(path, sizeof(path), "%s/inner", leaf);
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		die(path);
	snprintf(path, sizeof(path), "%s/inner/cgroup.procs", leaf);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		die(path);
	write_all(fd, "0", 1);
	close(fd);
}

static void body_nested(int ready_fd)
{
	nest();
	body_hang(ready_fd);
}

static int end_nested_child(char **arg)
{
	child_in_place(body_nested);
	note("leader");
	hang();
}

static int end_nested_leader(char **arg)
{
	nest();
	return atoi(arg[0] ? arg[0] : "0");
}

/* ---- what it says ------------------------------------------------------------------------------------------ */
static int end_output(char **arg)	/* a JSON string of exactly so many bytes */
{
	static char block[65536];
	size_t left = (size_t)atol(arg[0] ? arg[0] : "10") - 2;

	memset(block, 'a', sizeof(block));
	say("\"");
	while (left > 0) {
		size_t n = left < sizeof(block) ? left : sizeof(block);

		write_all(STDOUT_FILENO, block, n);
		left -= n;
	}
	say("\"");
	return 0;
}

static int end_flood(char **arg)	/* never stops talking */
{
	static char block[65536];

	memset(block, 'b', sizeof(block));
	for (;;)
		write_all(STDOUT_FILENO, block, sizeof(block));
	return 99;
}

static int end_not_utf8(char **arg)
{
	say("caf\xe9 \xff\xfe!");
	return 0;
}

static int end_text(char **arg)
{
	say("not JSON: \"quoted\"\n");
	return 0;
}

static int end_silent(char **arg)
{
	return 0;
}

static int end_close_stdout(char **arg)
{
	close(STDOUT_FILENO);
	note("closed");
	return 0;
}

static int end_stderr(char **arg)
{
	fputs("first line\nsecond line", stderr);
	say("\"logged\"");
	return 0;
}

static int report(const char *text, const char *status)
{
	const char *fd = getenv("FATE_ERROR_FD");

	if (!fd)
		die("no FATE_ERROR_FD");
	write_all(atoi(fd), text, strlen(text));
	return atoi(status ? status : "0");
}

static int end_handled(char **arg)
{
	return report("{\"errorType\":\"ImageTooSmall\",\"errorMessage\":\"width 3 is below 16\"}", arg[0]);
}

static int end_garbage(char **arg)
{
	return report("oops \xff not json", arg[0]);
}

/* ---- memory ------------------------------------------------------------------------------------------------ */
static void eat(long mb)
{
	size_t len = (size_t)mb << 20;
	char *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		die("mmap");
	for (size_t i = 0; i < len; i += 4096)
		((volatile char *)p)[i] = 1;
}

static int end_eat(char **arg)
{
	note("eating");
	eat(atol(arg[0] ? arg[0] : "1"));
	say("\"full\"");
	return 0;
}

static int end_child_eats(char **arg)	/* the leader would survive its child */
{
	int status;
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (pid == 0) {
		eat(atol(arg[0] ? arg[0] : "1"));
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid)
		die("waitpid");
	say(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL ? "\"child killed\"" : "\"child lives\"");
	return 0;
}

static const struct way { const char *name; int (*end)(char **arg); } ways[] = {
	{ "exit", end_exit },		/* STATUS */
	{ "echo", end_echo },
	{ "attempts", end_attempts },	/* STATUS of the first attempt, of the second, … */
	{ "sleep", end_sleep },		/* MILLISECONDS */
	{ "raise", end_raise },		/* SIGNAL */
	{ "segv", end_segv },
	{ "fpe", end_fpe },
	{ "ill", end_ill },
	{ "bus", end_bus },
	{ "abort", end_abort },
	{ "alarm", end_alarm },
	{ "wait", end_wait },
	{ "child-kills", end_child_kills },
	{ "ignore-term", end_ignore_term },
	{ "heed-term", end_heed_term },
	{ "stop", end_stop },
	{ "leader-first", end_leader_first },	/* exit, thread, segv, return */
	{ "threads", end_threads },
	{ "double-fork", end_double_fork },
	{ "child-hangs", end_child_hangs },
	{ "setsid-child", end_setsid_child },
	{ "zombie", end_zombie },
	{ "storm", end_storm },
	{ "crowd", end_crowd },
	{ "nested-child", end_nested_child },
	{ "nested-leader", end_nested_leader },	/* STATUS */
	{ "output", end_output },	/* BYTES */
	{ "flood", end_flood },
	{ "not-utf8", end_not_utf8 },
	{ "text", end_text },
	{ "silent", end_silent },
	{ "close-stdout", end_close_stdout },
	{ "stderr", end_stderr },
	{ "handled", end_handled },	/* STATUS */
	{ "garbage", end_garbage },	/* STATUS */
	{ "eat", end_eat },		/* MB */
	{ "child-eats", end_child_eats },	/* MB */
};

int main(int argc, char **argv)
{
	append_line("DIE_STARTS", getenv("FATE_REQUEST_ID") ?: "-", getenv("FATE_ATTEMPT") ?: "-");
	for (size_t i = 0; argc > 1 && i < sizeof(ways) / sizeof(ways[0]); i++)
		if (strcmp(ways[i].name, argv[1]) == 0)
			return ways[i].end(argv + 2);
	fprintf(stderr, "usage: prog_die WAY [ARGUMENT]; ways:");
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
		fprintf(stderr, " %s", ways[i].name);
	fputs("\n", stderr);
	return 99;
}
