/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A synchronous invocation in exec mode through the real daemon, over its unix socket on a kept connection, against
 * the bare supervisor of bench_bare.c running the same program with the same event in a fresh group.
 *
 * Wall: from the request's first byte to the answer's last; from mkdir to after rmdir. Medians.
 * CPU, user and system: of the daemon with the children it has waited for (/proc/PID/stat, 10 ms ticks, which is why
 * the sum over the whole part is taken; the daemon idles in the other side's turns) and of this client; against this
 * process and its children (getrusage). What the kernel does later for either side (freeing a group) is in neither.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "bench/bench.h"

#define TURNS 25
#define A_TURN 80

static const char event[] = "{\"image\":\"cat.png\",\"bucket\":\"pictures\",\"width\":640,\"height\":480}";

static void ours(struct http *h, const struct buf *request, int n, struct samples *us)
{
	for (int i = 0; i < n; i++) {
		int64_t began = clock_mono_ns();

		if (http_call(h, request) != 200 || h->body != 2 || memcmp(http_body(h), "{}", 2) != 0)
			bench_die("synchronous invocation: status %d, %.300s", h->status, http_body(h));
		if (us)
			samples_add(us, (double)(clock_mono_ns() - began) / 1e3);
	}
}

static void theirs(const struct bench *b, int parent, int n, struct samples *us)
{
	char *const argv[] = { (char *)b->prog, (char[]){ "answer" }, NULL };
	char answer[256];

	for (int i = 0; i < n; i++) {
		int64_t began = clock_mono_ns();
		struct bare p;
		size_t len;
		int status;

		bare_leaf(&p, parent);
		bare_start(&p, argv, event, sizeof(event) - 1);
		len = bare_answer(&p, answer, sizeof(answer));
		status = bare_end(&p);
		if (us)
			samples_add(us, (double)(clock_mono_ns() - began) / 1e3);
		if (status || len != 2)
			bench_die("bare run: status %#x, %zu bytes", status, len);
	}
}

void bench_sync(struct bench *b)
{
	CLEAN(closep) int parent = bench_check(open(b->cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC), b->cgroup);
	CLEAN(buf_done) struct buf request = {};
	double cpu_ours, cpu_bare = 0, began;
	struct samples a = {}, o = {};
	int turns = bench_turns(b, TURNS);
	static struct http h;

	http_open(&h, b->socket);
	http_request(&request, "POST", "/2015-03-31/functions/sync/invocations", NULL, event, sizeof(event) - 1);
	ours(&h, &request, A_TURN, NULL);
	theirs(b, parent, A_TURN, NULL);

	cpu_ours = -cpu_daemon(b->daemon);
	for (int i = 0; i < turns; i++) {
		began = cpu_self();
		ours(&h, &request, A_TURN, &a);
		cpu_ours += cpu_self() - began;
		began = cpu_self() + cpu_children();
		theirs(b, parent, A_TURN, &o);
		cpu_bare += cpu_self() + cpu_children() - began;
	}
	cpu_ours += cpu_daemon(b->daemon);
	http_close(&h);

	bench_figure(b, &(struct figure){ .name = "sync invocation, wall", .unit = "us", .ours = samples_at(&a, 0.5),
					  .other = samples_at(&o, 0.5), .aim = 1.3, .at_most = true });
	bench_figure(b, &(struct figure){ .name = "sync invocation, CPU", .unit = "us", .ours = cpu_ours * 1e6 / (double)a.n,
					  .other = cpu_bare * 1e6 / (double)o.n, .aim = 1.3, .at_most = true });
	samples_done(&a);
	samples_done(&o);
}
