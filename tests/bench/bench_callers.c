/* SPDX-License-Identifier: Apache-2.0 */
/* Many callers of the daemon's, each with a connection of his own that is kept: as soon as he is answered he asks again. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "bench/bench_rig.h"

#define SILENCE_MS 10000

void callers_open(struct callers *c, const char *socket, int n)
{
	*c = (struct callers){ .conns = xcalloc((size_t)n, sizeof(*c->conns)), .n = n,
			       .epoll = bench_check(epoll_create1(EPOLL_CLOEXEC), "epoll") };
	for (int i = 0; i < n; i++) {
		struct epoll_event ev = { .events = EPOLLIN, .data.u64 = (uint64_t)i };

		http_open(&c->conns[i], socket);
		bench_check(epoll_ctl(c->epoll, EPOLL_CTL_ADD, c->conns[i].fd, &ev), "epoll");
	}
}

static void post(struct callers *c, struct http *h, const char *function)
{
	char path[256];

	snprintf(path, sizeof(path), "/2015-03-31/functions/%s/invocations", function);
	http_request(&c->request, "POST", path, "Event", rig_event, rig_event_len);
	http_send(h, &c->request);
}

double callers_post(struct callers *c, const char *(*function)(void *arg, int i), void *arg, int n)
{
	int64_t began = clock_mono_ns();
	struct epoll_event ev[64];
	int posted = 0, answered = 0;

	for (; posted < n && posted < c->n; posted++)
		post(c, &c->conns[posted], function(arg, posted));
	while (answered < n) {
		int got = bench_check(epoll_wait(c->epoll, ev, ARRAY_SIZE(ev), SILENCE_MS), "epoll");

		if (!got)
			bench_die("the daemon answers no more: %d of %d", answered, n);
		for (int i = 0; i < got; i++) {
			struct http *h = &c->conns[ev[i].data.u64];

			if (!http_read(h))
				continue;
			if (h->status != 202)
				bench_die("the daemon refused an event: %d %.300s", h->status, http_body(h));
			answered++;
			if (posted < n) {
				post(c, h, function(arg, posted));
				posted++;
			}
		}
	}
	return (double)(clock_mono_ns() - began) / 1e9;
}

void callers_close(struct callers *c)
{
	for (int i = 0; i < c->n; i++)
		http_close(&c->conns[i]);
	free(c->conns);
	close(c->epoll);
	buf_done(&c->request);
}
