/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How late the truth is known, and how fast a tree is dead, against a bare reader of a ring buffer (bench_ring.bpf.c).
 *
 * Exit to verdict. Ours: from the leader's exit, as the kernel half stamped it, to the judge's word, as the record says
 * it (fate.attempts[].verdictUs). Other: from the exit as stamped by the bare program to the reader having the record.
 *
 * Deadline to the last process dead. Ours: from the kernel's timer to the last exit, both stamped by the kernel half
 * (deadlineToEmptyMs), of a leader with two children. Other: the same tree, the bare program's timer, a reader that
 * opens and writes cgroup.kill when the record comes, the last of three exits. The deaths themselves (the kernel's
 * work) are in both. A run of ours whose tree was not complete at the deadline (a busy machine) is thrown away; the
 * bare timer is armed when it is.
 *
 * Our runs are asynchronous ones, one at a time, since their record tells; each is over before the next begins.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/types.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/clock.h"
#include "base/mem.h"
#include "bench/bench.h"
#include "bench/bench_ring.h"
#include "bench_ring.skel.h"

#define VERDICT_TURNS 25
#define VERDICT_A_TURN 40
#define KILL_TURNS 20
#define KILL_A_TURN 15
#define TREE 3			/* processes of prog_bench tree 2 */
#define TREE_TIMEOUT_MS 40	/* as the function tree has it */
#define SILENCE_MS 10000

struct reader {
	struct bench_ring_bpf *skel;
	struct ring_buffer *ring;
	int epoll, parent;
	/* what came since reader_watch() */
	int exits, deadlines;
	int64_t exit_at_ns, exit_seen_ns, deadline_at_ns;
};

static int on_event(void *arg, void *data, size_t size)
{
	const struct bench_event *e = data;
	struct reader *r = arg;

	if (size < sizeof(*e))
		bench_die("a record of %zu bytes", size);
	if (e->kind == BENCH_EXIT) {
		r->exit_seen_ns = clock_mono_ns();
		r->exit_at_ns = (int64_t)e->at_ns;
		r->exits++;
	} else {
		r->deadline_at_ns = (int64_t)e->at_ns;
		r->deadlines++;
	}
	return 0;
}

static void reader_open(struct reader *r, const struct bench *b)
{
	struct epoll_event ev = { .events = EPOLLIN };

	*r = (struct reader){ .parent = bench_check(open(b->cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC), b->cgroup) };
	r->skel = bench_ring_bpf__open_and_load();
	if (!r->skel || bench_ring_bpf__attach(r->skel) < 0)
		bench_die("the bare BPF program cannot be loaded: %s", strerror(errno));
	r->ring = ring_buffer__new(bpf_map__fd(r->skel->maps.bench_ring), on_event, r, NULL);
	if (!r->ring)
		bench_die("ring buffer: %s", strerror(errno));
	r->epoll = bench_check(epoll_create1(EPOLL_CLOEXEC), "epoll");
	bench_check(epoll_ctl(r->epoll, EPOLL_CTL_ADD, bpf_map__fd(r->skel->maps.bench_ring), &ev), "epoll");
}

static void reader_close(struct reader *r)
{
	ring_buffer__free(r->ring);
	bench_ring_bpf__destroy(r->skel);
	close(r->epoll);
	close(r->parent);
}

static void reader_watch(struct reader *r, const struct bare *p)
{
	r->exits = r->deadlines = 0;
	r->skel->bss->watched = p->cgroup_id;
}

static void reader_turn(struct reader *r)
{
	struct epoll_event ev;

	if (bench_check(epoll_wait(r->epoll, &ev, 1, SILENCE_MS), "epoll") == 0)
		bench_die("the bare reader got no record for %d s", SILENCE_MS / 1000);
	bench_check(ring_buffer__consume(r->ring), "ring buffer");
}

static void reader_arm(struct reader *r)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts);
	int result;

	r->skel->bss->timeout_ns = TREE_TIMEOUT_MS * NS_PER_MS;
	result = bpf_prog_test_run_opts(bpf_program__fd(r->skel->progs.bench_arm), &opts);
	if (result < 0 || opts.retval)
		bench_die("the bare timer cannot be armed: %d, %u", result, opts.retval);
}

/* ---- ours -------------------------------------------------------------------------------------------------- */

/* One asynchronous invocation to its record, which is then h's body. */
static void run_ours(struct http *h, const struct buf *request)
{
	CLEAN(buf_done) struct buf wait = {};
	char id[64], path[160];

	if (http_call(h, request) != 202 || !http_header(h, "x-amzn-RequestId", id, sizeof(id)))
		bench_die("asynchronous invocation: status %d, %.300s", h->status, http_body(h));
	snprintf(path, sizeof(path), "/fate/v1/events/%s/wait", id);
	http_request(&wait, "GET", path, NULL, "", 0);
	if (http_call(h, &wait) != 200)
		bench_die("%s: status %d, %.300s", path, h->status, http_body(h));
}

/* ---- the two pairs ----------------------------------------------------------------------------------------- */

static double verdict_ours(struct http *h, const struct buf *request)
{
	run_ours(h, request);
	return http_number(h, "verdictUs");
}

static double kill_ours(struct http *h, const struct buf *request)
{
	for (int tries = 0; tries < 100; tries++) {
		run_ours(h, request);
		if ((int)http_number(h, "processes") == TREE)
			return http_number(h, "deadlineToEmptyMs") * 1e3;
	}
	bench_die("the tree is never complete within %d ms", TREE_TIMEOUT_MS);
}

static double verdict_theirs(struct reader *r, const struct bench *b)
{
	char *const argv[] = { (char *)b->prog, (char[]){ "answer" }, NULL };
	struct bare p;
	int status;

	bare_leaf(&p, r->parent);
	reader_watch(r, &p);
	bare_start(&p, argv, "{}", 2);
	while (!r->exits)
		reader_turn(r);
	status = bare_end(&p);
	if (status)
		bench_die("bare run: status %#x", status);
	return (double)(r->exit_seen_ns - r->exit_at_ns) / 1e3;
}

static double kill_theirs(struct reader *r, const struct bench *b)
{
	char *const argv[] = { (char *)b->prog, (char[]){ "tree" }, (char[]){ "2" }, NULL };
	bool killed = false;
	struct bare p;
	char ready;

	bare_leaf(&p, r->parent);
	reader_watch(r, &p);
	bare_start(&p, argv, "{}", 2);
	if (read(p.out, &ready, 1) != 1)
		bench_die("the bare tree is not there");
	reader_arm(r);
	while (r->exits < TREE) {
		reader_turn(r);
		if (r->deadlines && !killed) {
			bare_kill(&p);
			killed = true;
		}
	}
	(void)bare_end(&p);
	return (double)(r->exit_at_ns - r->deadline_at_ns) / 1e3;
}

static void figures(struct bench *b, struct samples *a, struct samples *o, const char *p50, const char *p99)
{
	bench_figure(b, &(struct figure){ .name = p50, .unit = "us", .ours = samples_at(a, 0.5), .other = samples_at(o, 0.5),
					  .aim = 1.5, .at_most = true });
	bench_figure(b, &(struct figure){ .name = p99, .unit = "us", .ours = samples_at(a, 0.99), .other = samples_at(o, 0.99),
					  .aim = 1.5, .at_most = true });
	samples_done(a);
	samples_done(o);
}

void bench_exit(struct bench *b)
{
	CLEAN(buf_done) struct buf quick = {}, tree = {};
	struct samples a = {}, o = {};
	static struct http h;
	struct reader r;

	http_open(&h, b->socket);
	reader_open(&r, b);
	http_request(&quick, "POST", "/2015-03-31/functions/async/invocations", "Event", "{}", 2);
	http_request(&tree, "POST", "/2015-03-31/functions/tree/invocations", "Event", "{}", 2);

	for (int i = bench_turns(b, VERDICT_TURNS); i > 0; i--) {
		for (int k = 0; k < VERDICT_A_TURN; k++)
			samples_add(&a, verdict_ours(&h, &quick));
		for (int k = 0; k < VERDICT_A_TURN; k++)
			samples_add(&o, verdict_theirs(&r, b));
	}
	figures(b, &a, &o, "exit to verdict, p50", "exit to verdict, p99");

	for (int i = bench_turns(b, KILL_TURNS); i > 0; i--) {
		for (int k = 0; k < KILL_A_TURN; k++)
			samples_add(&a, kill_ours(&h, &tree));
		for (int k = 0; k < KILL_A_TURN; k++)
			samples_add(&o, kill_theirs(&r, b));
	}
	figures(b, &a, &o, "deadline to last process dead, p50", "deadline to last process dead, p99");
	reader_close(&r);
	http_close(&h);
}
