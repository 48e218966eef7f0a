/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop is the daemon's without its doors: turn while there is something to do, else let environments end, else wait
 * for the store. A record is durable when it was decided and the store has answered for that batch; that moment is known
 * from outside by what follows it: the places that became free are claimed in the same batch, so when new environments
 * fill them all, all before is durable. When nothing is left to claim, engine_quiet() says it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <systemd/sd-event.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/list.h"
#include "base/mem.h"
#include "bench/bench_rig.h"
#include "store/store_sqlite.h"

#define PATIENCE_NS (120 * NS_PER_S)

const char rig_event[] =
	"{\"Records\":[{\"eventSource\":\"bench\",\"key\":\"pictures/2026/11/cat.png\",\"size\":482133,\"etag\":"
	"\"d41d8cd98f00b204e9800998ecf8427e\",\"note\":\"about two hundred and fifty bytes, as small events are: a name, a "
	"place, a number or two and a remark like this\"}]}";
const size_t rig_event_len = sizeof(rig_event) - 1;

struct env_proc { struct list link; uint64_t id; };

struct rig {
	struct port_launch launch;
	struct port_clock clock;
	struct rig_config cfg;
	sd_event *loop;
	struct port_store *store;
	struct engine *engine;
	struct blob *payload;
	struct fact_sink sink;
	struct list parked;		/* of env_proc.link: started, and not ended */
	int n_parked, may_end;
	uint64_t last_id;
	int64_t began_ns, dispatched_ns;	/* the first dispatch */
	int64_t posted, answered, goal;
	int next_function;
};

static struct rig *rig_of(struct port_launch *l)
{
	return container_of(l, struct rig, launch);
}

/* ---- what is made up --------------------------------------------------------------------------------------- */

static int made_prepare(struct port_launch *l, const struct launch_spec *spec, struct env_proc **ret, uint64_t *ret_id,
			struct err *e)
{
	struct env_proc *p = XNEW(struct env_proc);

	list_init(&p->link);
	p->id = ++rig_of(l)->last_id;
	*ret = p;
	*ret_id = p->id;
	return 0;
}

static int made_start(struct port_launch *l, struct env_proc *p, struct err *e)
{
	struct rig *r = rig_of(l);

	if (!r->dispatched_ns)
		r->dispatched_ns = clock_mono_ns();
	list_add_tail(&r->parked, &p->link);
	r->n_parked++;
	return 0;
}

static void end(struct rig *r, struct env_proc *p, int status)
{
	if (list_empty(&p->link))
		return;
	list_del(&p->link);
	r->n_parked--;
	r->sink.fact(r->sink.self, &(struct fact){ .kind = FACT_WAIT, .cgroup_id = p->id, .at_ns = clock_mono_ns(),
						   .wait_status = status });
}

static void made_term(struct port_launch *l, struct env_proc *p)
{
}

static int made_kill(struct port_launch *l, struct env_proc *p, struct err *e)
{
	end(rig_of(l), p, 9);
	return 0;
}

static int made_populated(struct port_launch *l, struct env_proc *p)
{
	return 0;
}

static unsigned int made_count(struct port_launch *l, struct env_proc *p)
{
	return 0;
}

static void made_collect(struct port_launch *l, struct env_proc *p, struct fact_cgroup *ret, struct blob **ret_out,
			 struct blob **ret_report)
{
	*ret_out = blob_new("{}", 2);
}

static int made_group_path(struct port_launch *l, uint64_t cgroup_id, char *ret, size_t size)
{
	return -ENOENT;
}

static void made_release(struct port_launch *l, struct env_proc *p)
{
	free(p);
}

static int made_adopt(struct port_launch *l, const struct launch_adopt *a, struct env_proc **ret, struct err *e)
{
	return err_set(e, -ENOENT, "nothing was kept");
}

static int made_reap(struct port_launch *l, void (*gone)(void *arg, uint64_t cgroup_id, const char *name), void *arg,
		     struct err *e)
{
	return 0;
}

static const struct port_launch_ops made_ops = {
	.version = PORT_LAUNCH_VERSION, .prepare = made_prepare, .start = made_start, .term = made_term, .kill = made_kill,
	.populated = made_populated, .count = made_count, .collect = made_collect, .group_path = made_group_path,
	.release = made_release, .abandon = made_release, .adopt = made_adopt, .reap = made_reap,
};

static void no_send(struct port_deliver *d, const struct store_op_outbox *row)
{
	bench_die("a delivery, where no function has a destination");
}

static const struct port_deliver_ops no_deliver_ops = { .version = PORT_DELIVER_VERSION, .send = no_send };

static int64_t real_mono(void *self)
{
	return clock_mono_ns();
}

static int64_t real_wall(void *self)
{
	return clock_wall_ms();
}

static int64_t real_boot(void *self)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

uint64_t rig_random(void *self)
{
	static uint64_t x;
	uint64_t z;

	if (!x)
		x = id_random64();
	z = (x += 0x9e3779b97f4a7c15);
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

/* ---- the loop ---------------------------------------------------------------------------------------------- */

static bool let_end(struct rig *r)
{
	bool any = false;

	while (r->may_end && r->n_parked) {
		r->may_end--;
		end(r, list_first(&r->parked, struct env_proc, link), 0);
		any = true;
	}
	return any;
}

static void run_until(struct rig *r, bool (*done)(const struct rig *))
{
	int64_t give_up = clock_mono_ns() + PATIENCE_NS;

	while (!done(r)) {
		struct engine_stats s;

		if (let_end(r) || engine_pending(r->engine)) {
			engine_turn(r->engine);
			continue;
		}
		/* Now and then without news, too: due times and the store's second chance are not waited for here. */
		if (bench_check(sd_event_run(r->loop, 100000), "event loop") == 0)
			engine_turn(r->engine);
		if (clock_mono_ns() < give_up)
			continue;
		engine_stats(r->engine, &s);
		bench_die("the engine stands still: %d may end, %d run, %ld queued, %ld answered of %ld; %s", r->may_end,
			  r->n_parked, (long)s.queued, (long)r->answered, (long)r->goal, s.doubt_why);
	}
}

static bool all_answered(const struct rig *r)
{
	return r->answered == r->goal;
}

static bool is_quiet(const struct rig *r)
{
	return engine_quiet(r->engine);
}

static bool all_ended(const struct rig *r)
{
	struct engine_stats s;

	if (r->may_end)
		return false;
	engine_stats(r->engine, &s);
	if (s.queued)
		return r->n_parked == r->cfg.concurrency || r->n_parked == r->cfg.functions * r->cfg.reserved;
	/* Fewer than there are places: whoever runs has been started, and nothing is being committed. */
	return r->n_parked == s.running && !engine_pending(r->engine) && (r->n_parked || engine_quiet(r->engine));
}

static bool has_dispatched(const struct rig *r)
{
	return r->dispatched_ns;
}

static void on_reply(void *arg, const struct intake_reply *reply);

static void post(struct rig *r)
{
	struct arn_function fn = {};

	rig_function_name(fn.name, r->next_function);
	r->next_function = (r->next_function + RIG_STRIDE) % r->cfg.functions;
	r->posted++;
	intake_invoke(r->engine, INTAKE_ASYNC, &fn, r->payload, on_reply, r, NULL);
}

static void on_reply(void *arg, const struct intake_reply *reply)
{
	struct rig *r = arg;

	if (reply->status != 202)
		bench_die("the engine refused an event: %d %s", reply->status, reply->error_message);
	r->answered++;
	if (r->posted < r->goal)
		post(r);
}

double rig_accept(struct rig *r, int n)
{
	int64_t began = clock_mono_ns();

	r->goal += n;
	for (int i = 0; i < RIG_CALLERS && r->posted < r->goal; i++)
		post(r);
	run_until(r, all_answered);
	return (double)(clock_mono_ns() - began) / 1e9;
}

double rig_finish(struct rig *r, int n)
{
	int64_t began = clock_mono_ns();
	struct engine_stats before, after;

	engine_stats(r->engine, &before);
	r->may_end = n;
	run_until(r, all_ended);
	began = clock_mono_ns() - began;
	engine_stats(r->engine, &after);
	if (after.succeeded - before.succeeded != n)
		bench_die("%ld events have ended well, and not %d", (long)(after.succeeded - before.succeeded), n);
	return (double)began / 1e9;
}

void rig_stats(const struct rig *r, struct engine_stats *ret)
{
	engine_stats(r->engine, ret);
}

/* ---- made and unmade --------------------------------------------------------------------------------------- */

void rig_function_name(char out[LIM_FUNCTION_NAME_MAX + 1], int i)
{
	snprintf(out, LIM_FUNCTION_NAME_MAX + 1, "function-%05d", i);
}

static void define(struct rig *r)
{
	size_t n = (size_t)r->cfg.functions;
	struct func **list = xcalloc(n, sizeof(*list));

	for (size_t i = 0; i < n; i++) {
		list[i] = func_new();
		rig_function_name(list[i]->name, (int)i);
		list[i]->command = xcalloc(2, sizeof(char *));
		list[i]->command[0] = xstrdup("/nowhere");
		list[i]->timeout_ms = 900000;
		list[i]->reserved_concurrency = r->cfg.reserved;
	}
	registry_swap(intake_registry(r->engine), &(struct registry_set){ .functions = list, .n_functions = n });
	for (size_t i = 0; i < n; i++)
		func_unref(list[i]);
	free(list);
}

struct port_store *rig_store(sd_event *loop, const char *path)
{
	struct port_store *store;
	struct err e = {};

	if (store_sqlite_open(loop, path, &store, &e) < 0)
		bench_die("%s", err_msg(&e));
	return store;
}

struct rig *rig_open(const struct rig_config *c, struct rig_times *ret)
{
	static struct port_deliver deliver = { &no_deliver_ops };
	/* As a daemon of default configuration has them. */
	struct engine_config cfg = { .region = "us-east-1", .concurrency_max = c->concurrency, .queue_max = 1 << 30,
				     .inbox_max = 4096, .record_fate = true, .window_max = 8192, .window_bytes = 64 << 20,
				     .lease_ms = 1000000 };
	struct rig *r = XNEW(struct rig);
	struct rig_times t = {};
	struct engine_stats s;
	struct err e = {};

	r->cfg = *c;
	r->launch.ops = &made_ops;
	r->clock = (struct port_clock){ .mono_ns = real_mono, .wall_ms = real_wall, .random64 = rig_random, .boot_ms = real_boot,
					.boot_id = "00000000-0000-4000-8000-00000000b007" };
	r->payload = blob_new(rig_event, rig_event_len);
	list_init(&r->parked);
	bench_check(sd_event_new(&r->loop), "event loop");
	r->began_ns = clock_mono_ns();
	r->store = rig_store(r->loop, c->path);
	t.store = (double)(clock_mono_ns() - r->began_ns) / 1e9;
	r->engine = engine_new(&(struct engine_ports){ .clock = &r->clock, .store = r->store, .launch = &r->launch,
						       .deliver = &deliver }, &cfg);
	r->sink = intake_facts(r->engine);
	define(r);
	if (engine_start(r->engine, &e) < 0)
		bench_die("%s", err_msg(&e));
	t.engine = (double)(clock_mono_ns() - r->began_ns) / 1e9;
	engine_turn(r->engine);
	engine_stats(r->engine, &s);
	if (s.queued || s.running) {
		run_until(r, has_dispatched);
		t.dispatch = (double)(r->dispatched_ns - r->began_ns) / 1e9;
	}
	if (ret)
		*ret = t;
	return r;
}

void rig_close(struct rig *r)
{
	engine_drain(r->engine);
	engine_stop(r->engine);
	run_until(r, is_quiet);
	r->store->ops->close(r->store);
	engine_free(r->engine);
	blob_unref(r->payload);
	sd_event_unref(r->loop);
	free(r);
}
