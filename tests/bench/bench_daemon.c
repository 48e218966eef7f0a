/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starts a daemon and asks it until it answers: the time a unit that needs it would wait. The question is put every
 * RETRY_US by connecting anew, which is how exactly the moment is known.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "bench/bench.h"

#define RETRY_US 200
#define PATIENCE_NS (60 * NS_PER_S)

static bool listens(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	CLEAN(closep) int fd = bench_check(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");

	if (strlen(path) >= sizeof(a.sun_path))
		bench_die("%s: too long for a socket's path", path);
	memcpy(a.sun_path, path, strlen(path) + 1);
	return connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0;
}

static void child(char *const *argv, int log)
{
	/* However the benchmark ends, its daemons do not outlive it. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (dup2(log, STDERR_FILENO) >= 0)
		execv(argv[0], argv);
	_exit(127);
}

double bench_spawn_daemon(const struct bench *b, char *const *argv, const char *socket, pid_t *ret)
{
	CLEAN(freep) char *path = xasprintf("%s/daemon.log", b->dir);
	CLEAN(closep) int log = bench_check(open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600), path);
	CLEAN(buf_done) struct buf request = {};
	static struct http h;
	int64_t began = clock_mono_ns(), took;

	*ret = bench_check(fork(), "fork");
	if (*ret == 0)
		child(argv, log);
	while (!listens(socket)) {
		if (waitpid(*ret, NULL, WNOHANG) != 0) {
			*ret = 0;
			bench_die("%s ended: see %s", argv[0], path);
		}
		if (clock_mono_ns() - began > PATIENCE_NS)
			bench_die("%s does not listen on %s", argv[0], socket);
		usleep(RETRY_US);
	}
	http_open(&h, socket);
	http_request(&request, "GET", "/fate/v1/version", NULL, "", 0);
	if (http_call(&h, &request) != 200)
		bench_die("%s: status %d of its first answer", argv[0], h.status);
	took = clock_mono_ns() - began;
	http_close(&h);
	return (double)took / 1e9;
}

void bench_end_daemon(pid_t pid)
{
	bench_check(kill(pid, SIGTERM), "SIGTERM");
	bench_check(waitpid(pid, NULL, 0), "waitpid");
}

double bench_daemon_start(struct bench *b)
{
	return bench_spawn_daemon(b, b->command, b->socket, &b->daemon);
}

/* "--Name=" is the same in both. */
static bool replaces(const char *option, const char *with)
{
	return strncmp(option, with, strcspn(with, "=") + 1) == 0;
}

double bench_daemon_start_with(struct bench *b, const char *const *options)
{
	char *argv[64];
	size_t n = 0;

	for (char **c = b->command; *c; c++) {
		bool keep = true;

		for (const char *const *o = options; *o; o++)
			keep &= !replaces(*c, *o);
		if (keep && n < ARRAY_SIZE(argv))
			argv[n++] = *c;
	}
	for (; *options && n < ARRAY_SIZE(argv); options++)
		argv[n++] = (char *)*options;
	if (n == ARRAY_SIZE(argv))
		bench_die("too many options for the daemon");
	argv[n] = NULL;
	return bench_spawn_daemon(b, argv, b->socket, &b->daemon);
}

void bench_define(const struct bench *b, const char *dir, const char *name, const char *arguments)
{
	CLEAN(freep) char *path = xasprintf("%s/%s.json", dir, name);
	FILE *f = fopen(path, "we");

	if (!f || fprintf(f, "{\"FunctionName\": \"%s\", \"Command\": [\"%s\", %s], \"Timeout\": 900,\n"
			     " \"EventInvokeConfig\": {\"MaximumRetryAttempts\": 0}}\n", name, b->prog, arguments) < 0 ||
	    fclose(f) != 0)
		bench_die("%s: %s", path, strerror(errno));
}

void bench_daemon_stop(struct bench *b)
{
	pid_t pid = b->daemon;

	b->daemon = 0;
	if (pid > 0)
		bench_end_daemon(pid);
}
