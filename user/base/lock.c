/* SPDX-License-Identifier: Apache-2.0 */
#include "base/lock.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <sys/file.h>

#define TRIES 100
#define PAUSE_MS 10

int lock_take(int fd)
{
	for (int tries = 1;; tries++) {
		if (flock(fd, LOCK_EX | LOCK_NB) >= 0)
			return 0;
		if (errno == EINTR)
			continue;
		if (errno != EWOULDBLOCK || tries >= TRIES)
			return -errno;
		(void)poll(NULL, 0, PAUSE_MS);
	}
}
