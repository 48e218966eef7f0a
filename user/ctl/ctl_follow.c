/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A follower asks again and again. It writes with ctl_write(), not through stdio: no byte waits in a buffer, and an interrupt
 * may end the program wherever it comes, also while a daemon that was stopped lets it wait for an answer.
 */
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "ctl/ctl.h"

#define POLL_MS 300

static void on_signal(int signo)
{
	_exit(CTL_OK);
}

void ctl_follow_begin(void)
{
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	signal(SIGPIPE, SIG_IGN);	/* a reader that is gone is seen when we write, and while we rest */
}

bool ctl_follow_rest(void)
{
	struct pollfd p = { .fd = STDOUT_FILENO };

	return poll(&p, 1, POLL_MS) <= 0 || !(p.revents & (POLLERR | POLLHUP | POLLNVAL));
}
