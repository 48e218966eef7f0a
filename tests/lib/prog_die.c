/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A function that ends the way its first argument says; the fault matrix (tests/integ/test_fault_matrix.py) runs it.
 *
 * Every way is deterministic: where an end depends on another process or thread being in a certain state, the program
 * waits for that state (a pipe, /proc) and never for time. Waits without an end are the deaths by timeout: there the
 * supervisor is what ends it.
 *
 *   $DIE_NOTES   a folder; a folder there with the request's id becomes the working directory, and its file "notes" gets a
 *                line "start PID INODE LEAF" first, and a line "WHAT PID" when something is in place (the test waits for it)
 *   $DIE_STARTS  a file that gets a line "REQUEST-ID ATTEMPT" at the start of every run, in one O_APPEND write
 *   $DIE_LIFE    a file that gets a line "REQUEST-ID ATTEMPT WHAT NS" (CLOCK_MONOTONIC) at the start of every run, at its end
 *                when it ends by itself and well ("end"), and when another run of that event, or what is left of one, is alive
 *                ("overlap"): every run holds a lock on a byte of the file that stands for the event, until its last process ends
 *
 * It is linked statically and allocates next to nothing, so that what the kernel tells about it is about it alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RESPONSE_MAX 6291556	/* Lambda's limit of a buffered response: 6 MiB + 100 */

static struct timespec began;	/* when main() did */

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

/* One O_APPEND write: lines of several processes do not mix. */
static void append(const char *path, const char *line)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);

	if (fd < 0)
		die(path);
	write_all(fd, line, strlen(line));
	close(fd);
}

static const char *variable(const char *name)
{
	const char *v = getenv(name);

	return v ? v : "-";
}

static void note_line(const char *line)
{
	const char *dir = getenv("DIE_NOTES");
	char path[4200];

	if (!dir)
		return;
	snprintf(path, sizeof(path), "%s/%s/notes", dir, variable("FATE_REQUEST_ID"));
	append(path, line);
}

static void note(const char *what)
{
	char line[64];

	snprintf(line, sizeof(line), "%s %d\n", what, getpid());
	note_line(line);
}

static void note_start(void)
{
	const char *leaf = variable("FATE_CGROUP"), *starts = getenv("DIE_STARTS"), *notes = getenv("DIE_NOTES");
	char line[4300];
	struct stat st = {};

	if (starts) {
		snprintf(line, sizeof(line), "%s %s\n", variable("FATE_REQUEST_ID"), variable("FATE_ATTEMPT"));
		append(starts, line);
	}
	if (notes) {
		snprintf(line, sizeof(line), "%s/%s", notes, variable("FATE_REQUEST_ID"));
		if ((mkdir(line, 0777) < 0 && errno != EEXIST) || chdir(line) < 0)
			die(line);
		(void)stat(leaf, &st);
		snprintf(line, sizeof(line), "start %d %llu %s\n", getpid(), (unsigned long long)st.st_ino, leaf);
		note_line(line);
	}
}

static void note_life(const char *what)
{
	const char *path = getenv("DIE_LIFE");
	char line[200];
	struct timespec now;

	if (!path)
		return;
	clock_gettime(CLOCK_MONOTONIC, &now);
	snprintf(line, sizeof(line), "%s %s %s %lld\n", variable("FATE_REQUEST_ID"), variable("FATE_ATTEMPT"), what,
		 now.tv_sec * 1000000000LL + now.tv_nsec);
	append(path, line);
}

/* The lock is the open file's: children share it, and it goes with the last of them. */
static void be_alone(void)
{
	const char *path = getenv("DIE_LIFE"), *id = variable("FATE_REQUEST_ID");
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1 };
	char digits[16] = "";
	size_t n = 15;
	int fd;

	if (!path)
		return;
	/* Its last digits: the first are the time. */
	for (const char *at = id + strlen(id); n && at > id; at--)
		if (at[-1] != '-')
			digits[--n] = at[-1];
	lock.l_start = (off_t)strtoull(digits, NULL, 16);
	fd = open(path, O_RDWR | O_CREAT, 0666);
	if (fd < 0)
		die(path);
	if (fcntl(fd, F_OFD_SETLK, &lock) < 0)
		note_life("overlap");
	note_life("start");
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

static long number(char **arg, long otherwise)
{
	return arg && arg[0] ? atol(arg[0]) : otherwise;
}

static void sleep_ms(long ms)
{
	nanosleep(&(struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 }, NULL);
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
	sleep_ms(number(arg, 100));
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

static int sibling_signal;

static void body_kill_parent(int ready_fd)
{
	prctl(PR_SET_NAME, "die_child");
	note("killer");
	in_place(ready_fd);
	kill(getppid(), sibling_signal);
	hang();		/* always left over, so that the count is exact */
}

static int end_sibling(char **arg)	/* another process of the environment sends it */
{
	sibling_signal = (int)number(arg, SIGKILL);
	child_in_place(body_kill_parent);
	hang();
}

static __attribute__((noinline)) int dive(volatile char *above)
{
	volatile char page[4096];

	page[0] = above[0];
	return page[0] == 'x' ? 0 : dive(page) + page[0];	/* never 'x' */
}

static int end_overflow(char **arg)	/* of the stack, into its guard page */
{
	volatile char surface[1] = { 'a' };

	note("diving");
	return dive(surface);
}

static int end_trap(char **arg)
{
#if defined(__x86_64__)
	__asm__ volatile("int3");
#elif defined(__aarch64__)
	__asm__ volatile("brk #0");
#endif
	return 99;
}

static int end_xcpu(char **arg)		/* its limit of processor time ends it */
{
	for (volatile unsigned long n = 0;; n++)
		;
	return 99;
}

static int end_xfsz(char **arg)		/* its limit of a file's size does */
{
	static char block[65536];
	int fd = open("big", O_WRONLY | O_CREAT | O_CLOEXEC, 0666);

	if (fd < 0)
		die("big");
	for (;;)
		write_all(fd, block, sizeof(block));
	return 99;
}

static int end_pipe(char **arg)		/* writes to where nobody reads */
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		die("pipe");
	close(fds[0]);
	write_all(fds[1], "x", 1);
	return 99;
}

static int end_io(char **arg)		/* asked to be told of input, and has no handler for it */
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0 || fcntl(fds[0], F_SETOWN, getpid()) < 0 ||
	    fcntl(fds[0], F_SETFL, fcntl(fds[0], F_GETFL) | O_ASYNC) < 0)
		die("async pipe");
	write_all(fds[1], "x", 1);
	hang();
}

static int end_itimer(char **arg)	/* "virtual", "prof": processor time as the clock */
{
	struct itimerval soon = { .it_value.tv_usec = 1000 };

	setitimer(arg[0] && strcmp(arg[0], "prof") == 0 ? ITIMER_PROF : ITIMER_VIRTUAL, &soon, NULL);
	return end_xcpu(NULL);
}

static int end_timer(char **arg)	/* a POSIX timer that sends SIGNAL */
{
	struct sigevent ev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = (int)number(arg, SIGUSR1) };
	struct itimerspec soon = { .it_value.tv_nsec = 1000000 };
	timer_t timer;

	if (timer_create(CLOCK_MONOTONIC, &ev, &timer) < 0 || timer_settime(timer, 0, &soon, NULL) < 0)
		die("timer");
	hang();
}

static int end_seccomp(char **arg)	/* "kill", "trap": what the filter says to getppid() */
{
	bool trap = arg[0] && strcmp(arg[0], "trap") == 0;
	struct sock_filter rules[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, trap ? SECCOMP_RET_TRAP : SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = { .len = sizeof(rules) / sizeof(rules[0]), .filter = rules };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) < 0)
		die("seccomp");
	syscall(SYS_getppid);
	return 99;
}

/* ---- under trace ------------------------------------------------------------------------------------------- */
static const char *tracer_does;

static void body_tracer(int ready_fd)
{
	pid_t leader = getppid();
	bool exitkill = strcmp(tracer_does, "exitkill") == 0;
	int status;

	if (ptrace(PTRACE_SEIZE, leader, NULL, exitkill ? (void *)PTRACE_O_EXITKILL : NULL) < 0)
		die("ptrace");
	note("tracer");
	in_place(ready_fd);
	if (exitkill)
		_exit(0);		/* takes the leader along */
	if (strcmp(tracer_does, "reap") == 0)
		waitpid(leader, &status, __WALL);
	hang();				/* and the dead leader is withheld from its parent */
}

/* "reap": the tracer takes note of the leader's death; "ignore": it never does; "exitkill": it ends. */
static int end_traced(char **arg)
{
	tracer_does = arg[0] ? arg[0] : "reap";
	child_in_place(body_tracer);
	if (strcmp(tracer_does, "exitkill") != 0)
		note("waiting");
	hang();
}

static int end_trace(char **arg)	/* not a function: traces PID until its input ends, and takes note of nothing */
{
	char c;

	if (ptrace(PTRACE_SEIZE, (pid_t)number(arg, 0), NULL, NULL) < 0)
		die("ptrace");
	say("tracing\n");
	while (read(STDIN_FILENO, &c, 1) > 0)
		;
	return 0;
}

/* ---- executing -------------------------------------------------------------------------------------------- */
static int end_exec_loop(char **arg)	/* executes itself, for ever or as often as told, and then exits 0 */
{
	char left[16];
	char *argv[] = { "prog_die", "exec-loop", left, NULL };
	long n = number(arg, -1);

	if (n == 0) {
		say("\"there\"");
		return 0;
	}
	snprintf(left, sizeof(left), "%ld", n > 0 ? n - 1 : n);
	if (n < 0)
		unsetenv("DIE_NOTES");	/* once is enough */
	execv("/proc/self/exe", argv);
	die("execv");
	return 99;
}

static void *thread_execs(void *arg)
{
	char *argv[] = { "prog_die", "exit", "3", NULL };

	execv("/proc/self/exe", argv);
	die("execv");
	return NULL;
}

static int end_thread_execs(char **arg)	/* not the first thread: it takes over the first one's id */
{
	pthread_t t;

	if (pthread_create(&t, NULL, thread_execs, NULL) != 0)
		die("pthread_create");
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

static pthread_barrier_t herd;

static void *thread_in_herd(void *arg)
{
	pthread_barrier_wait(&herd);
	return NULL;
}

static int end_herd(char **arg)		/* so many threads, all alive at once */
{
	unsigned int n = (unsigned int)number(arg, 16);
	pthread_t t[256];

	if (n > 256 || pthread_barrier_init(&herd, NULL, n + 1) != 0)
		die("barrier");
	for (unsigned int i = 0; i < n; i++)
		if (pthread_create(&t[i], NULL, thread_in_herd, NULL) != 0)
			die("thread");
	pthread_barrier_wait(&herd);
	for (unsigned int i = 0; i < n; i++)
		pthread_join(t[i], NULL);
	say("\"gone\"");
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

static int tree(long depth)	/* every process of it has two children */
{
	pid_t pid[2];
	int status, wrong = 0;

	if (depth == 0)
		return 0;
	for (int i = 0; i < 2; i++) {
		pid[i] = fork();
		if (pid[i] < 0)
			die("fork");
		if (pid[i] == 0)
			_exit(tree(depth - 1));
	}
	for (int i = 0; i < 2; i++)
		wrong |= waitpid(pid[i], &status, 0) != pid[i] || status;
	return wrong;
}

static int end_tree(char **arg)
{
	if (tree(number(arg, 6)) != 0)
		return 99;
	say("\"felled\"");
	return 0;
}

static _Noreturn void explode(void)	/* every process of it forks as long as it lives */
{
	for (;;)
		if (fork() < 0)
			nap();
}

static int end_bomb(char **arg)		/* until there may be no more */
{
	pid_t pid = fork();

	if (pid == 0)
		explode();
	while (pid > 0) {
		pid = fork();
		if (pid == 0)
			explode();
	}
	say(errno == EAGAIN ? "\"full\"" : "\"failed\"");
	return 0;
}

static int end_forks(char **arg)	/* so many children as fast as it can, all dead before it ends */
{
	long n = number(arg, 1000);

	signal(SIGCHLD, SIG_IGN);	/* they are nobody's zombies */
	for (long i = 0; i < n; i++) {
		pid_t pid = vfork();

		if (pid == 0)
			_exit(0);
		if (pid < 0)
			die("fork");
	}
	waitpid(-1, NULL, 0);		/* returns when there is none left */
	say("\"forked\"");
	return 0;
}

static void body_group(int ready_fd)
{
	note("member");
	in_place(ready_fd);
	hang();
}

static int end_group(char **arg)	/* leader and child in one process group, for one signal to both */
{
	if (getpgrp() != getpid() && setpgid(0, 0) < 0)
		die("setpgid");
	child_in_place(body_group);
	note("waiting");
	hang();
}

static void on_end(int sig)
{
	_exit(0);
}

static void body_stays(int ready_fd)
{
	signal(SIGTERM, on_end);
	note("stays");
	in_place(ready_fd);
	hang();
}

static int end_leaves(char **arg)	/* a child that goes on until somebody tells it to end */
{
	child_in_place(body_stays);
	say("{\"left\":\"behind\"}");
	return (int)number(arg, 0);
}

/* The middle goes first, so that somebody outside reaps the orphan; it works before it ends, and the leader waits. */
static void body_orphan(int told_fd)
{
	static char block[65536];
	pid_t middle = getpid(), pid = fork();
	int fd;

	if (pid < 0)
		die("fork");
	if (pid > 0)
		_exit(0);
	while (getppid() == middle)
		nap();
	fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	for (int i = 0; i < 16; i++)	/* 1 MiB */
		write_all(fd, block, sizeof(block));
	note("orphan");
	pid = getpid();
	write_all(told_fd, (const char *)&pid, sizeof(pid));
	_exit(0);
}

static int end_orphan(char **arg)
{
	struct pollfd orphan = { .events = POLLIN };
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		die("pipe");
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0)
		body_orphan(fds[1]);
	if (waitpid(pid, NULL, 0) != pid || read(fds[0], &pid, sizeof(pid)) != sizeof(pid))
		die("orphan");
	orphan.fd = (int)syscall(SYS_pidfd_open, pid, 0);	/* -1: it is gone already */
	if (orphan.fd >= 0 && poll(&orphan, 1, -1) != 1)
		die("poll");
	say("\"worked\"");
	return 0;
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

static int end_close_go_on(char **arg)	/* everything is closed, and it lives on */
{
	say("\"early\"");
	close(STDIN_FILENO);
	close(STDOUT_FILENO);
	close(STDERR_FILENO);
	sleep_ms(number(arg, 30));
	return 0;
}

static int end_said(char **arg)		/* a whole response, and then the end given as a way of its own */
{
	say("{\"ended\":\"well\"}");
	if (!arg[0] || strcmp(arg[0], "hang") == 0) {
		note("said");
		hang();
	}
	return strcmp(arg[0], "segv") == 0 ? end_segv(NULL) : atoi(arg[0]);
}

static int end_stderr(char **arg)
{
	fputs("first line\nsecond line", stderr);
	say("\"logged\"");
	return 0;
}

static int end_stderr_lines(char **arg)	/* so many lines, and a crash */
{
	for (long i = 1; i <= number(arg, 50); i++)
		fprintf(stderr, "line %ld\n", i);
	return 3;
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
	madvise(p, len, MADV_NOHUGEPAGE);	/* each page is a fault of its own */
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
		note("eater");
		eat(atol(arg[0] ? arg[0] : "1"));
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid)
		die("waitpid");
	say(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL ? "\"child killed\"" : "\"child lives\"");
	return 0;
}

/* ---- what it uses ------------------------------------------------------------------------------------------ */
static int64_t used_ns(void)		/* of a processor, by this process */
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void spin_ms(long ms)
{
	int64_t until = used_ns() + ms * 1000000;

	while (used_ns() < until)
		;
}

static int end_spin(char **arg)
{
	spin_ms(number(arg, 50));
	say("\"spun\"");
	return 0;
}

static int end_naps(char **arg)		/* so many times one millisecond */
{
	for (long i = 0; i < number(arg, 20); i++)
		sleep_ms(1);
	say("\"rested\"");
	return 0;
}

/*
 * N processes that want MS each of one and the same processor, all from the same moment on. Whatever the order, the k-th to
 * finish has waited for at least (k-1) * MS: together at least MS * N * (N-1) / 2, on any machine.
 */
static int end_starved(char **arg)
{
	long n = number(arg, 4), ms = number(arg[0] ? arg + 1 : arg, 20);
	cpu_set_t allowed, one;
	int gate[2], cpu = 0, status;
	char c;

	if (pipe2(gate, O_CLOEXEC) < 0 || sched_getaffinity(0, sizeof(allowed), &allowed) < 0)
		die("gate");
	while (!CPU_ISSET(cpu, &allowed))
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	if (sched_setaffinity(0, sizeof(one), &one) < 0)
		die("affinity");
	for (long i = 0; i < n; i++) {
		pid_t pid = fork();

		if (pid < 0)
			die("fork");
		if (pid == 0) {
			close(gate[1]);
			(void)!read(gate[0], &c, 1);
			spin_ms(ms);
			_exit(0);
		}
	}
	close(gate[1]);		/* all of them become ready at once */
	for (long i = 0; i < n; i++)
		if (wait(&status) < 0 || status)
			die("wait");
	say("\"starved\"");
	return 0;
}

static int copy_kb(const char *from, const char *to, long kb)
{
	static char block[65536];
	int in = from ? open(from, O_RDONLY | O_CLOEXEC) : -1;
	int out = to ? open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666) : -1;

	for (long i = 0; i < kb / 64; i++) {
		if (in >= 0 && read(in, block, sizeof(block)) != sizeof(block))
			die(from);
		if (out >= 0)
			write_all(out, block, sizeof(block));
	}
	if ((from && in < 0) || (to && out < 0))
		die("open");
	return out;
}

static int end_read(char **arg)		/* KIBIBYTES that no device had to give */
{
	copy_kb("/dev/zero", NULL, number(arg, 1024));
	say("\"read\"");
	return 0;
}

static int end_write(char **arg)
{
	copy_kb(NULL, "/dev/null", number(arg, 1024));
	say("\"written\"");
	return 0;
}

/* To a file and back from its device. Where there is no device (a file system in memory) only the first half counts. */
static int end_store(char **arg)
{
	long kb = number(arg, 1024);
	char *block;
	int fd = copy_kb(NULL, "stored", kb);

	if (fsync(fd) < 0)
		die("fsync");
	close(fd);
	fd = open("stored", O_RDONLY | O_DIRECT | O_CLOEXEC);
	block = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (long i = 0; fd >= 0 && i < kb / 64; i++)
		if (read(fd, block, 65536) != 65536)
			die("stored");
	unlink("stored");
	say("\"kept\"");
	return 0;
}

/* Ends by its own clock about when its deadline MS comes: from half a millisecond after to two and a half before, as the
 * request's id says. main() begins a little after the fork from which the kernel counts. */
static int end_edge(char **arg)
{
	long ms = number(arg, 100), id = strtol((char[]){ variable("FATE_REQUEST_ID")[0], variable("FATE_REQUEST_ID")[1],
							  variable("FATE_REQUEST_ID")[2], '\0' }, NULL, 16);
	long ns = began.tv_nsec + ms % 1000 * 1000000 + 500000 - (id % 4096) * 3000000 / 4096;
	struct timespec at = { .tv_sec = began.tv_sec + ms / 1000 };

	if (ns < 0) {
		ns += 1000000000;
		at.tv_sec--;
	}
	at.tv_sec += ns / 1000000000;
	at.tv_nsec = ns % 1000000000;
	say("{\"ended\":\"well\"}");
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
		;
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
	{ "sibling", end_sibling },	/* SIGNAL */
	{ "overflow", end_overflow },
	{ "trap", end_trap },
	{ "xcpu", end_xcpu },
	{ "xfsz", end_xfsz },
	{ "pipe", end_pipe },
	{ "io", end_io },
	{ "itimer", end_itimer },	/* virtual, prof */
	{ "timer", end_timer },		/* SIGNAL */
	{ "seccomp", end_seccomp },	/* kill, trap */
	{ "traced", end_traced },	/* reap, ignore, exitkill */
	{ "trace", end_trace },		/* PID */
	{ "exec-loop", end_exec_loop },	/* TIMES */
	{ "thread-execs", end_thread_execs },
	{ "ignore-term", end_ignore_term },
	{ "heed-term", end_heed_term },
	{ "stop", end_stop },
	{ "leader-first", end_leader_first },	/* exit, thread, segv, return */
	{ "threads", end_threads },
	{ "herd", end_herd },		/* THREADS */
	{ "double-fork", end_double_fork },
	{ "child-hangs", end_child_hangs },
	{ "setsid-child", end_setsid_child },
	{ "zombie", end_zombie },
	{ "storm", end_storm },
	{ "crowd", end_crowd },
	{ "tree", end_tree },		/* DEPTH */
	{ "bomb", end_bomb },
	{ "forks", end_forks },		/* CHILDREN */
	{ "group", end_group },
	{ "leaves", end_leaves },	/* STATUS */
	{ "orphan", end_orphan },
	{ "nested-child", end_nested_child },
	{ "nested-leader", end_nested_leader },	/* STATUS */
	{ "output", end_output },	/* BYTES */
	{ "flood", end_flood },
	{ "not-utf8", end_not_utf8 },
	{ "text", end_text },
	{ "silent", end_silent },
	{ "close-stdout", end_close_stdout },
	{ "close-go-on", end_close_go_on },	/* MILLISECONDS */
	{ "said", end_said },		/* hang, segv, STATUS */
	{ "stderr", end_stderr },
	{ "stderr-lines", end_stderr_lines },	/* LINES */
	{ "handled", end_handled },	/* STATUS */
	{ "garbage", end_garbage },	/* STATUS */
	{ "spin", end_spin },		/* MILLISECONDS */
	{ "naps", end_naps },		/* HOW MANY */
	{ "starved", end_starved },	/* PROCESSES MILLISECONDS */
	{ "read", end_read },		/* KIBIBYTES */
	{ "write", end_write },		/* KIBIBYTES */
	{ "store", end_store },		/* KIBIBYTES */
	{ "edge", end_edge },		/* MILLISECONDS of the timeout */
	{ "eat", end_eat },		/* MB */
	{ "child-eats", end_child_eats },	/* MB */
};

int main(int argc, char **argv)
{
	clock_gettime(CLOCK_MONOTONIC, &began);
	note_start();
	be_alone();
	for (size_t i = 0; argc > 1 && i < sizeof(ways) / sizeof(ways[0]); i++)
		if (strcmp(ways[i].name, argv[1]) == 0) {
			int status = ways[i].end(argv + 2);

			note_life("end");
			return status;
		}
	fprintf(stderr, "usage: prog_die WAY [ARGUMENT]; ways:");
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
		fprintf(stderr, " %s", ways[i].name);
	fputs("\n", stderr);
	return 99;
}
