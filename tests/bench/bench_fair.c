/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long a quiet function's events wait for a place beside a function that floods: FLOOD events of 10 ms each are
 * queued, the daemon has PLACES places, and the quiet one gets an event every EVERY_MS. Against the same quiet function
 * alone. The time is the record's own (fate.attempts[].time.queuedMs): from when the event could have been started to its
 * claim; the commits before and after it are in neither.
 *
 * The events are sent by the clock, whatever becomes of them, and looked at when all are sent.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/mem.h"
#include "bench/bench.h"

#define PLACES "4"
#define FLOOD 10000
#define EVENTS 300
#define EVERY_MS 50

static const char *flood(void *arg, int i)
{
	return "flood";
}

static void sleep_until(int64_t mono_ns)
{
	struct timespec t = { .tv_sec = mono_ns / NS_PER_S, .tv_nsec = mono_ns % NS_PER_S };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
		;
}

static void quiet(struct http *h, int n, struct samples *ret)
{
	char (*ids)[64] = xcalloc((size_t)n, sizeof(*ids));
	CLEAN(buf_done) struct buf request = {};
	int64_t began = clock_mono_ns();

	http_request(&request, "POST", "/2015-03-31/functions/quiet/invocations", "Event", "{}", 2);
	for (int i = 0; i < n; i++) {
		sleep_until(began + i * EVERY_MS * NS_PER_MS);
		if (http_call(h, &request) != 202 || !http_header(h, "x-amzn-RequestId", ids[i], sizeof(ids[i])))
			bench_die("asynchronous invocation: status %d, %.300s", h->status, http_body(h));
	}
	for (int i = 0; i < n; i++) {
		CLEAN(freep) char *path = xasprintf("/fate/v1/events/%s/wait", ids[i]);

		http_request(&request, "GET", path, NULL, "", 0);
		if (http_call(h, &request) != 200)
			bench_die("%s: status %d, %.300s", path, h->status, http_body(h));
		samples_add(ret, http_number(h, "queuedMs") * 1e3);
	}
	free(ids);
}

static double flood_left(struct http *h)
{
	CLEAN(buf_done) struct buf request = {};

	http_request(&request, "GET", "/fate/v1/status", NULL, "", 0);
	if (http_call(h, &request) != 200)
		bench_die("status: %d, %.300s", h->status, http_body(h));
	return http_number(h, "queued");
}

static void start(struct bench *b, const char *dir)
{
	CLEAN(freep) char *definitions = xasprintf("%s/functions", dir);
	CLEAN(freep) char *with_state = xasprintf("--StateDirectory=%s", dir);
	CLEAN(freep) char *with_definitions = xasprintf("--FunctionsDirectory=%s", definitions);

	bench_check(mkdir(dir, 0700), dir);
	bench_check(mkdir(definitions, 0700), definitions);
	bench_define(b, definitions, "flood", "\"sleep\", \"10\"");
	bench_define(b, definitions, "quiet", "\"answer\"");
	(void)bench_daemon_start_with(b, (const char *const[]){ with_state, with_definitions, "--MaxConcurrency=" PLACES,
								  "--KeepRunning=false", NULL });
}

static void figure(struct bench *b, struct samples *ours, struct samples *alone, double quantile)
{
	char name[64];

	snprintf(name, sizeof(name), "queued beside a flood, quiet, p%g", quantile * 100);
	bench_figure(b, &(struct figure){ .name = name, .unit = "us", .ours = samples_at(ours, quantile),
					  .other = samples_at(alone, quantile), .no_aim = true });
}

void bench_fair(struct bench *b)
{
	CLEAN(freep) char *dir = xasprintf("%s/fair", b->dir);
	struct samples alone = {}, ours = {};
	int n = bench_turns(b, EVENTS);
	static struct http h;
	struct callers c;

	bench_daemon_stop(b);
	start(b, dir);
	http_open(&h, b->socket);
	quiet(&h, n, &alone);
	callers_open(&c, b->socket, 64);
	(void)callers_post(&c, flood, NULL, FLOOD);
	callers_close(&c);
	quiet(&h, n, &ours);
	if (flood_left(&h) < 1)
		bench_die("the flood was over before the quiet function's events were");
	http_close(&h);
	bench_daemon_stop(b);
	figure(b, &ours, &alone, 0.5);
	figure(b, &ours, &alone, 0.99);
	samples_done(&alone);
	samples_done(&ours);
}
