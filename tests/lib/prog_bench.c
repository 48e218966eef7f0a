/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the benchmark runs on both sides, static and small, so that the program itself costs the same and little.
 *
 *   prog_bench nothing   is there and gone
 *   prog_bench answer    reads the event to its end, answers {}
 *   prog_bench sleep MS  the same after so long
 *   prog_bench gate FILE the same when it gets FILE's lock, shared
 *   prog_bench tree N    N children and itself wait for ever: a deadline must end them all; says "." when all are there
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static int answer(void)
{
	char event[65536];
	ssize_t n;

	while ((n = read(STDIN_FILENO, event, sizeof(event))) > 0)
		;
	return n < 0 || write(STDOUT_FILENO, "{}", 2) != 2;
}

static int gate(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd < 0 || flock(fd, LOCK_SH) != 0 || answer();
}

static int tree(int n)
{
	for (int i = 0; i < n; i++) {
		pid_t pid = fork();

		if (pid < 0)
			return 1;
		if (pid == 0)
			n = -1;
	}
	if (n >= 0 && write(STDOUT_FILENO, ".", 1) != 1)
		return 1;
	for (;;)
		pause();
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "nothing") == 0)
		return 0;
	if (argc == 2 && strcmp(argv[1], "answer") == 0)
		return answer();
	if (argc == 3 && strcmp(argv[1], "sleep") == 0)
		return usleep((useconds_t)atoi(argv[2]) * 1000) || answer();
	if (argc == 3 && strcmp(argv[1], "gate") == 0)
		return gate(argv[2]);
	if (argc == 3 && strcmp(argv[1], "tree") == 0)
		return tree(atoi(argv[2]));
	return 2;
}
