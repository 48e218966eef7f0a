/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/lock.h"
#include "lib/test.h"

static char path[] = "/tmp/fated-lock-XXXXXX";

static int opened(void)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	CHECK(fd >= 0);
	return fd;
}

static void one_owner(void)
{
	int a = opened(), b = opened();

	CHECK_INT(lock_take(a), 0);
	CHECK_INT(lock_take(b), -EWOULDBLOCK);
	close(a);
	CHECK_INT(lock_take(b), 0);
	close(b);
	CHECK_INT(lock_take(-1), -EBADF);
}

/* What a killed daemon leaves for a moment: a child, just cloned, that has not closed its copies yet. */
static void a_childs_copy_is_waited_for(void)
{
	int a = opened(), b = opened(), status, pid;

	CHECK_INT(lock_take(a), 0);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		close(b);
		(void)poll(NULL, 0, 50);
		_exit(0);
	}
	close(a);
	CHECK_INT(lock_take(b), 0);
	CHECK_INT(waitpid(pid, &status, 0), pid);
	close(b);
}

int main(void)
{
	int fd = mkstemp(path);

	CHECK(fd >= 0);
	close(fd);
	RUN(one_owner);
	RUN(a_childs_copy_is_waited_for);
	unlink(path);
	TEST_END();
}
