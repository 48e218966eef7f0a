/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is kept of an environment that is over: memory of the daemon, control groups (dying ones, which are the kernel's
 * memory only, too), entries of the kernel half's maps. Nothing may be. RUNS synchronous invocations after as many as
 * it takes to warm up; they leave no rows, so the database's cache does not grow with them.
 *
 * Memory is counted by the page, so a few bytes each are noise; the smallest thing that could be forgotten is one
 * allocation, 32 bytes. Groups: against the same number of bare runs, since the kernel frees a group when it sees fit:
 * we wait for that, up to SETTLE_NS, on both sides alike.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "base/clock.h"
#include "base/mem.h"
#include "bench/bench.h"
#include "fate_event.h"

#define RUNS 10000
#define WARM_UP 1000
#define SETTLE_NS (5 * NS_PER_S)

struct kept { double bytes, groups, entries; };

/* Groups below dir, alive and dying. */
static double groups_below(const char *dir)
{
	CLEAN(freep) char *path = xasprintf("%s/cgroup.stat", dir);
	unsigned long n, sum = 0;
	int found = 0;
	char name[64];
	FILE *f = fopen(path, "re");

	if (!f)
		bench_die("%s: %s", path, strerror(errno));
	while (fscanf(f, "%63s %lu", name, &n) == 2) {
		/* In newer kernels there are more of them, a controller each, of the same groups. */
		if (strcmp(name, "nr_descendants") == 0 || strcmp(name, "nr_dying_descendants") == 0) {
			sum += n;
			found++;
		}
	}
	fclose(f);
	if (found != 2)
		bench_die("%s: not as expected", path);
	return (double)sum;
}

static double settled_groups(const char *dir, double goal)
{
	int64_t end = clock_mono_ns() + SETTLE_NS;
	double n;

	while ((n = groups_below(dir)) > goal && clock_mono_ns() < end)
		usleep(10000);
	return n;
}

static double entries_of(const struct bench *b, const char *map)
{
	CLEAN(freep) char *path = xasprintf("%s/%s", b->bpf_dir, map);
	CLEAN(closep) int fd = bench_check(bpf_obj_get(path), path);
	struct fate_env_key key = {};	/* the larger of the two kinds of keys */
	double n = 0;

	_Static_assert(sizeof(key) >= sizeof(uint64_t), "room for either");
	for (int r = bpf_map_get_next_key(fd, NULL, &key); r == 0; r = bpf_map_get_next_key(fd, &key, &key))
		n++;
	return n;
}

static struct kept state(const struct bench *b, double goal)
{
	return (struct kept){
		.groups = settled_groups(b->daemon_cgroup, goal),
		.bytes = bench_memory(b->daemon, "Rss"),
		.entries = entries_of(b, "fate_env") + entries_of(b, "fate_watch") + entries_of(b, "fate_senders"),
	};
}

static void ours(struct http *h, const struct buf *request, int n)
{
	for (int i = 0; i < n; i++) {
		if (http_call(h, request) != 200)
			bench_die("synchronous invocation: status %d, %.300s", h->status, http_body(h));
	}
}

static void theirs(const struct bench *b, int n)
{
	CLEAN(closep) int parent = bench_check(open(b->cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC), b->cgroup);
	char *const argv[] = { (char *)b->prog, (char[]){ "answer" }, NULL };
	char answer[256];

	for (int i = 0; i < n; i++) {
		struct bare p;

		bare_leaf(&p, parent);
		bare_start(&p, argv, "{}", 2);
		(void)bare_answer(&p, answer, sizeof(answer));
		if (bare_end(&p) != 0)
			bench_die("a bare run failed");
	}
}

void bench_keep(struct bench *b)
{
	CLEAN(buf_done) struct buf request = {};
	int runs = bench_turns(b, RUNS);
	struct kept before, after, bare;
	static struct http h;
	char name[64];

	http_open(&h, b->socket);
	http_request(&request, "POST", "/2015-03-31/functions/sync/invocations", NULL, "{}", 2);
	ours(&h, &request, WARM_UP);
	before = state(b, 0);
	ours(&h, &request, runs);
	after = state(b, before.groups);
	http_close(&h);

	bare.groups = settled_groups(b->cgroup, 0);
	bare.bytes = bench_memory(getpid(), "Rss");
	theirs(b, runs);
	bare.groups = settled_groups(b->cgroup, bare.groups) - bare.groups;
	bare.bytes = bench_memory(getpid(), "Rss") - bare.bytes;

	snprintf(name, sizeof(name), "kept of each of %d runs, memory", runs);
	bench_figure(b, &(struct figure){ .name = name, .unit = "B", .ours = (after.bytes - before.bytes) / runs,
					  .other = bare.bytes / runs, .aim = 8, .at_most = true, .absolute = true });
	snprintf(name, sizeof(name), "kept after %d runs, groups", runs);
	bench_figure(b, &(struct figure){ .name = name, .unit = "", .ours = after.groups - before.groups, .other = bare.groups,
					  .at_most = true, .absolute = true });
	snprintf(name, sizeof(name), "kept after %d runs, map entries", runs);
	bench_figure(b, &(struct figure){ .name = name, .unit = "", .ours = after.entries - before.entries, .other = -1,
					  .at_most = true, .absolute = true });
}
