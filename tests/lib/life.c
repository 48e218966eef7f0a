/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/life.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "engine/engine.h"
#include "lib/disk.h"
#include "store/store_sqlite.h"

#define WALL_BASE_MS 1700000000000LL
#define STEPS_MAX 100000
#define DOUBTS_MAX 6		/* failed commits in a row until nobody believes in it any more */

static struct life *l;
static const struct life_plan *plan;
static char the_dir[64], the_path[96], err_path[96];
static int owner;		/* pid of the test itself */

/* ---- chance, time, words ------------------------------------------------------------------------------------ */

static uint64_t rnd(void)
{
	l->rng ^= l->rng << 13;
	l->rng ^= l->rng >> 7;
	l->rng ^= l->rng << 17;
	return l->rng * 0x2545f4914f6cdd1dULL;
}

static bool chance(unsigned int percent) { return rnd() % 100 < percent; }

static int64_t c_mono(void *self) { return l->now_ns; }
static int64_t c_wall(void *self) { return WALL_BASE_MS + l->now_ns / NS_PER_MS; }
static int64_t c_boot(void *self) { return l->now_ns / NS_PER_MS - l->booted_ms; }
static uint64_t c_random(void *self) { return rnd(); }

/* The end of this life: a promise was not kept. */
static void wrong(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
static void wrong(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(l->why, sizeof(l->why), fmt, ap);
	va_end(ap);
	_exit(LIFE_WRONG);
}

static void say(enum life_said what, const char *id, int number)
{
	struct life_word *w;

	if (l->n_words == LIFE_WORDS)
		wrong("more than %d words", LIFE_WORDS);
	w = &l->words[l->n_words];
	w->what = what;
	w->number = number;
	snprintf(w->id, sizeof(w->id), "%s", id);
	/* A word counts when it is whole: this process may end between any two instructions. */
	__atomic_store_n(&l->n_words, l->n_words + 1, __ATOMIC_RELEASE);
}

static const struct life_word *said(enum life_said what, const char *id, int number)
{
	for (int i = 0; i < l->n_words; i++)
		if (l->words[i].what == what && strcmp(l->words[i].id, id) == 0 && (number < 0 || l->words[i].number == number))
			return &l->words[i];
	return NULL;
}

/* ---- what is defined ---------------------------------------------------------------------------------------- */

/* Destinations: of success, of failure; dead letters. Of each function's ends these verdicts are true. */
static const struct what {
	const char *name, *members, *success, *failure, *dead;
	unsigned int verdict;
	int status, retries;
} functions[] = {
	{ "ok", "\"Timeout\":3", "queue:done", "queue:failed", NULL, OUTCOME_SUCCESS, 0, 1 },
	{ "three", "\"RetryDelaysInSeconds\":[2]", "queue:done", "queue:failed", "queue:dead", OUTCOME_CRASH, 3 << 8, 1 },
	{ "segv", "\"Timeout\":3", NULL, "file:/life/failed.jsonl", "queue:dead", OUTCOME_SIGNAL, SIGSEGV, 0 },
	{ "hangs", "\"Timeout\":1", NULL, "file:/life/failed.jsonl", NULL, OUTCOME_TIMEOUT, -1, 1 },
	{ "single", "\"ReservedConcurrentExecutions\":1", "file:/life/done.jsonl", "queue:failed", NULL, OUTCOME_SUCCESS, 0, 2 },
	{ "chain", "\"Timeout\":3", "function:ok", "queue:failed", NULL, OUTCOME_SUCCESS, 0, 2 },
	{ "fan", "\"Timeout\":3", "topic:t", "queue:failed", NULL, OUTCOME_SUCCESS, 0, 2 },
	{ "bus", "\"Timeout\":3", "bus:b", "queue:failed", NULL, OUTCOME_SUCCESS, 0, 2 },
};
static const char topic_text[] = "{\"TopicName\":\"t\",\"Subscriptions\":["
				 "{\"Protocol\":\"sqs\",\"Endpoint\":\"raw\",\"RawMessageDelivery\":true},"
				 "{\"Protocol\":\"sqs\",\"Endpoint\":\"wrapped\"},{\"Protocol\":\"lambda\",\"Endpoint\":\"ok\"}]}";
static const char bus_text[] = "{\"EventBusName\":\"b\",\"Rules\":[{\"Name\":\"r\",\"EventPattern\":{\"source\":[\"lambda\"]},"
			       "\"Targets\":[{\"Id\":\"1\",\"Arn\":\"queue:bus\"}]}]}";

static struct func *funcs[ARRAY_SIZE(functions)];
static struct topic *the_topic;
static struct bus *the_bus;

static void must_parse(int r, const struct func_problems *p, const char *what)
{
	if (r < 0)
		wrong("%s: %s: %s", what, p->n ? p->list[0].path : "?", p->n ? p->list[0].reason : "?");
}

/* False: there was no memory for it. As a reload would, the old one is kept. */
static bool define(size_t i, int description)
{
	const struct what *w = &functions[i];
	struct func_problems p = {};
	struct func *f = NULL;
	char text[1500];
	int n;

	n = snprintf(text, sizeof(text), "{\"FunctionName\":\"%s\",\"Description\":\"%d\",\"Command\":[\"/bin/life\"],%s", w->name,
		     description, w->members);
	if (w->dead)
		n += snprintf(text + n, sizeof(text) - (size_t)n, ",\"DeadLetterConfig\":{\"TargetArn\":\"%s\"}", w->dead);
	n += snprintf(text + n, sizeof(text) - (size_t)n, ",\"EventInvokeConfig\":{\"MaximumRetryAttempts\":%d,"
		      "\"DestinationConfig\":{\"OnFailure\":{\"Destination\":\"%s\"}", w->retries, w->failure);
	if (w->success)
		n += snprintf(text + n, sizeof(text) - (size_t)n, ",\"OnSuccess\":{\"Destination\":\"%s\"}", w->success);
	n += snprintf(text + n, sizeof(text) - (size_t)n, "}}}");
	if (func_parse(text, (size_t)n, &f, &p) < 0) {
		if (!p.n || !strstr(p.list[0].reason, "memory"))
			must_parse(-EINVAL, &p, w->name);
		func_problems_done(&p);
		return false;
	}
	func_unref(funcs[i]);
	funcs[i] = f;
	return true;
}

static const struct what *what_of(const char *function)
{
	for (size_t i = 0; i < ARRAY_SIZE(functions); i++)
		if (strcmp(functions[i].name, function) == 0)
			return &functions[i];
	wrong("an event of function %s", function);
}

static void swap_in(struct registry *r)
{
	registry_swap(r, &(struct registry_set){ .functions = funcs, .n_functions = ARRAY_SIZE(funcs), .topics = &the_topic,
						 .n_topics = 1, .buses = &the_bus, .n_buses = 1 });
}

/* ---- calls that fail ---------------------------------------------------------------------------------------- */

static bool call_fails(enum life_call kind)
{
	if (plan->fails != kind)
		return false;
	l->calls_seen++;
	if (l->calls_seen != plan->n && !(plan->sticky && l->calls_seen > plan->n))
		return false;
	return l->failed = true;
}

/* ---- the kernel, the launcher, the observer ------------------------------------------------------------------ */

static struct fact_sink the_facts;

static struct life_proc *by_id(uint64_t id) { return id > 1000 && id <= 1000 + (uint64_t)l->n_procs ? &l->procs[id - 1001] : NULL; }
static struct life_proc *as_proc(struct env_proc *p) { return (struct life_proc *)p; }

static void die(struct life_proc *p, int status)
{
	struct fate_env *env = &p->entry.env;

	if (!p->alive)
		return;
	p->alive = false;
	p->status = status;
	if (!p->entry.seen)
		return;
	env->flags |= FATE_ENV_LEADER_EXITED | FATE_ENV_EMPTY;
	env->exit_code = status;
	env->exit_ns = env->empty_ns = (uint64_t)l->now_ns;
	env->procs_exited++;
}

static void tell(struct life_proc *p, bool *told, enum fact_kind kind)
{
	struct fact f = { .kind = kind, .cgroup_id = p->cgroup_id, .at_ns = l->now_ns };

	if (*told)
		return;
	*told = true;
	if (kind == FACT_WAIT && p->adopted)
		f.error = ECHILD;
	else if (kind == FACT_WAIT)
		f.wait_status = p->status;
	the_facts.fact(the_facts.self, &f);
}

/* What happens by itself until now, and is told. Returns when something happens next. */
static int64_t kernel_run(void)
{
	int64_t next = INT64_MAX;

	for (int i = 0; i < l->n_procs; i++) {
		struct life_proc *p = &l->procs[i];
		struct fate_env *env = &p->entry.env;

		if (!p->started || p->released)
			continue;
		if (p->alive && p->entry.seen && env->deadline_ns && (uint64_t)l->now_ns >= env->deadline_ns &&
		    !(env->flags & FATE_ENV_DEADLINE_HIT)) {
			env->flags |= FATE_ENV_DEADLINE_HIT;
			env->deadline_hit_ns = (uint64_t)l->now_ns;
			if (p->life == l->lives)
				tell(p, &p->told_deadline, FACT_BPF_DEADLINE);
		}
		if (p->alive && l->now_ns >= p->end_ns)
			die(p, what_of(p->function)->status);
		if (p->alive)
			next = MIN(next, p->end_ns);
		if (p->alive && env->deadline_ns && !(env->flags & FATE_ENV_DEADLINE_HIT))
			next = MIN(next, (int64_t)env->deadline_ns);
		if (p->alive || p->life != l->lives)
			continue;
		if (p->entry.seen)
			tell(p, &p->told_exit, FACT_BPF_EXIT);
		tell(p, &p->told_wait, FACT_WAIT);
		if (p->asked)
			tell(p, &p->told_empty, FACT_EMPTY);
	}
	return next;
}

static int l_prepare(struct port_launch *pl, const struct launch_spec *spec, struct env_proc **ret, uint64_t *ret_id, struct err *e)
{
	struct life_proc *p;

	if (call_fails(LIFE_HOST_CALL))
		return err_set(e, -EAGAIN, "life: no leaf");
	if (l->n_procs == LIFE_PROCS)
		wrong("more than %d environments: something never ends", LIFE_PROCS);
	p = &l->procs[l->n_procs];
	*p = (struct life_proc){ .cgroup_id = 1001 + (uint64_t)l->n_procs, .attempt = spec->attempt, .life = l->lives };
	snprintf(p->request_id, sizeof(p->request_id), "%s", spec->request_id);
	snprintf(p->function, sizeof(p->function), "%s", spec->func->name);
	p->kept = spec->keep && chance(50);
	l->n_procs++;
	*ret = (struct env_proc *)p;
	*ret_id = p->cgroup_id;
	return 0;
}

static int l_start(struct port_launch *pl, struct env_proc *ep, struct err *e)
{
	struct life_proc *p = as_proc(ep);

	if (call_fails(LIFE_HOST_CALL))
		return err_set(e, -EAGAIN, "life: clone3 failed");
	if (said(SAID_STARTED, p->request_id, p->attempt))
		wrong("attempt %d of %s is started once more", p->attempt, p->request_id);
	if (said(SAID_ENDED, p->request_id, -1))
		wrong("%s is started once more after its end was told", p->request_id);
	if (said(SAID_CANCELLED, p->request_id, -1))
		wrong("%s is started once more after it was cancelled", p->request_id);
	for (int i = 0; i < l->n_procs; i++)
		if (l->procs[i].alive && strcmp(l->procs[i].request_id, p->request_id) == 0)
			wrong("two attempts of %s overlap", p->request_id);
	say(SAID_STARTED, p->request_id, p->attempt);
	p->end_ns = what_of(p->function)->status < 0 ? INT64_MAX : l->now_ns + (int64_t)(rnd() % 900) * NS_PER_MS;
	if (p->entry.seen) {
		p->entry.env.fork_ns = p->entry.env.exec_ns = (uint64_t)l->now_ns;
		p->entry.env.deadline_ns = p->entry.env.timeout_ns ? (uint64_t)l->now_ns + p->entry.env.timeout_ns : 0;
		p->entry.env.procs_forked = 1;
	}
	p->started = p->alive = true;
	return 0;
}

static void l_term(struct port_launch *pl, struct env_proc *ep) { die(as_proc(ep), SIGTERM); }

static int l_kill(struct port_launch *pl, struct env_proc *ep, struct err *e)
{
	die(as_proc(ep), SIGKILL);
	return 0;
}

static int l_populated(struct port_launch *pl, struct env_proc *ep)
{
	if (as_proc(ep)->alive)
		as_proc(ep)->asked = true;
	return as_proc(ep)->alive;
}

static unsigned int l_count(struct port_launch *pl, struct env_proc *ep) { return as_proc(ep)->alive; }

static void l_collect(struct port_launch *pl, struct env_proc *ep, struct fact_cgroup *ret, struct blob **out, struct blob **report)
{
	*ret = (struct fact_cgroup){};
	if (as_proc(ep)->status == 0)
		*out = blob_new("{\"ok\":true}", 11);
}

static int l_group_path(struct port_launch *pl, uint64_t cgroup_id, char *ret, size_t size) { return -ENOENT; }

static void l_release(struct port_launch *pl, struct env_proc *ep)
{
	if (!ep)
		return;
	if (as_proc(ep)->alive)
		wrong("I6: leaf of %s released while populated", as_proc(ep)->request_id);
	as_proc(ep)->released = true;
}

static void l_abandon(struct port_launch *pl, struct env_proc *ep) { }

static int l_adopt(struct port_launch *pl, const struct launch_adopt *a, struct env_proc **ret, struct err *e)
{
	struct life_proc *p = by_id(a->cgroup_id);

	if (!p || p->released || !p->kept || call_fails(LIFE_HOST_CALL))
		return err_set(e, -ENOENT, "life: its pipes were not kept");
	if (strcmp(a->request_id, p->request_id) != 0 || a->attempt != p->attempt)
		wrong("%s is adopted as %s", p->request_id, a->request_id);
	p->life = l->lives;
	p->adopted = true;
	p->told_wait = p->told_exit = p->told_deadline = p->told_empty = p->asked = false;
	*ret = (struct env_proc *)p;
	l->adopted++;
	return 0;
}

static int l_reap(struct port_launch *pl, void (*gone)(void *arg, uint64_t cgroup_id, const char *name), void *arg, struct err *e)
{
	for (int i = 0; i < l->n_procs; i++) {
		struct life_proc *p = &l->procs[i];

		if (p->released || p->life == l->lives)
			continue;
		die(p, SIGKILL);
		p->released = true;
		gone(arg, p->cgroup_id, "leaf");
	}
	return 0;
}

static const struct port_launch_ops launch_ops = {
	PORT_LAUNCH_VERSION, l_prepare, l_start, l_term, l_kill, l_populated, l_count, l_collect, l_group_path, l_release,
	l_abandon, l_adopt, l_reap,
};
static struct port_launch the_launch = { &launch_ops };

static int o_watch(struct port_observe *o, const struct observe_spec *s, struct err *e)
{
	struct life_proc *p = by_id(s->cgroup_id);

	if (call_fails(LIFE_HOST_CALL))
		return err_set(e, -ENOSPC, "life: map full");
	p->entry = (struct fact_bpf){ .seen = true };
	p->entry.env.attempt = (uint32_t)s->attempt;
	p->entry.env.timeout_ns = (uint64_t)s->timeout_ns;
	snprintf(p->entry.env.request_id, sizeof(p->entry.env.request_id), "%s", s->request_id);
	return 0;
}

static void o_read(struct port_observe *o, uint64_t id, struct fact_bpf *ret)
{
	*ret = by_id(id) ? by_id(id)->entry : (struct fact_bpf){};
}

static void o_forget(struct port_observe *o, uint64_t id)
{
	if (by_id(id))
		by_id(id)->entry.seen = false;
}

static void o_mark_reaped(struct port_observe *o, uint64_t id)
{
	if (by_id(id))
		by_id(id)->entry.reaped = true;
}

static int o_walk(struct port_observe *o, struct observe_books *ret, struct err *e)
{
	*ret = (struct observe_books){};	/* not settled: processes are not this test's */
	return 0;
}

static int o_scan(struct port_observe *o, void (*entry)(void *arg, uint64_t cgroup_id, const struct fact_bpf *b), void *arg,
		  struct err *e)
{
	for (int i = 0; i < l->n_procs; i++)
		if (l->procs[i].entry.seen)
			entry(arg, l->procs[i].cgroup_id, &l->procs[i].entry);
	return !l->rebooted;
}

static const struct port_observe_ops observe_ops = { PORT_OBSERVE_VERSION, o_watch, o_read, o_forget, o_mark_reaped, o_walk,
						     o_scan };
static struct port_observe the_observe = { &observe_ops };

/* ---- targets outside ---------------------------------------------------------------------------------------- */

static struct deliver_sink the_deliveries;

static void d_send(struct port_deliver *d, const struct store_op_outbox *row)
{
	struct life_send *s = &l->sends[l->n_sends];

	if (l->n_sends == LIFE_SENDS)
		wrong("endless deliveries");
	*s = (struct life_send){ .seq = row->seq, .role = (int)row->role, .life = l->lives, .pending = true };
	s->answer_ns = l->now_ns + (int64_t)(rnd() % 2000) * NS_PER_MS;
	snprintf(s->key, sizeof(s->key), "%s", row->key);
	l->n_sends++;
}
static const struct port_deliver_ops deliver_ops = { PORT_DELIVER_VERSION, d_send };
static struct port_deliver the_deliver = { &deliver_ops };

static int64_t deliveries_run(void)
{
	int64_t next = INT64_MAX;

	for (int i = 0; i < l->n_sends; i++) {
		struct life_send *s = &l->sends[i];
		enum delivered how = chance(25) ? DELIVERED_RETRY : chance(8) ? DELIVERED_NEVER : DELIVERED_ACK;

		if (!s->pending || s->life != l->lives)
			continue;
		if (l->now_ns < s->answer_ns) {
			next = MIN(next, s->answer_ns);
			continue;
		}
		s->pending = false;
		if (how != DELIVERED_RETRY)
			say(how == DELIVERED_ACK ? SAID_ACKED : SAID_REFUSED, s->key, 0);
		the_deliveries.delivered(the_deliveries.self, s->seq, (enum outbox_role)s->role, how, "life: not now");
	}
	return next;
}

/* ---- the store: the real one, counted, and failing when told ------------------------------------------------- */

static sd_event *the_loop;
static struct port_store *real_store;
static int at_store;		/* calls it has not answered yet */

static void turn_loop(void)
{
	if (sd_event_run(the_loop, 60 * 1000000ull) <= 0)
		wrong("the store does not answer");
}

/* One call under way. Of a few at a time: the test's own memory is not to fail. */
static struct flight {
	bool used, refused;
	struct store_batch *batch;
	void (*batch_done)(struct store_batch *b, int result, const struct err *e);
	void *arg;
	struct store_query query;
} flights[64];

static struct flight *flight_new(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(flights); i++)
		if (!flights[i].used) {
			flights[i] = (struct flight){ .used = true };
			at_store++;
			return &flights[i];
		}
	wrong("more than %zu calls to the store at a time", ARRAY_SIZE(flights));
}

static void flight_done(struct flight *f)
{
	f->used = false;
	at_store--;
}

static void applied(struct store_batch *b, int result, const struct err *e)
{
	struct flight *f = b->arg;
	void (*done)(struct store_batch *b, int result, const struct err *e) = f->batch_done;

	b->arg = f->arg;
	b->done = done;
	flight_done(f);
	done(b, result, e);
}

static void answered(void *arg, const struct store_query *q, const struct store_result *res, int result, const struct err *e)
{
	struct flight *f = arg;
	struct store_query mine = f->query;

	flight_done(f);
	mine.done(mine.arg, &mine, res, result, e);
}

static void s_apply(struct port_store *s, struct store_batch *b)
{
	struct flight *f = flight_new();

	f->batch = b;
	f->batch_done = b->done;
	f->arg = b->arg;
	b->arg = f;
	b->done = applied;
	f->refused = call_fails(LIFE_STORE_CALL);
	if (!f->refused)
		real_store->ops->apply(real_store, b);
}

static void s_query(struct port_store *s, const struct store_query *q)
{
	struct flight *f = flight_new();
	struct store_query mine = *q;

	f->query = *q;
	mine.arg = f;
	mine.done = answered;
	f->refused = call_fails(LIFE_STORE_CALL);
	if (!f->refused)
		real_store->ops->query(real_store, &mine);
}

static int s_load(struct port_store *s, const struct store_loader *ld, int64_t *ret, struct err *e)
{
	if (call_fails(LIFE_STORE_CALL))
		return err_set(e, -EIO, "life: the disk is tired");
	return real_store->ops->load(real_store, ld, ret, e);
}

static void s_close(struct port_store *s) { }

static const struct port_store_ops store_ops = { PORT_STORE_VERSION, "life", s_load, s_apply, s_query, s_close };
static struct port_store the_store = { &store_ops };

/* False: nothing was refused. */
static bool answer_refused(void)
{
	static const struct store_result nothing;
	bool any = false;

	for (size_t i = 0; i < ARRAY_SIZE(flights); i++) {
		struct flight *f = &flights[i];
		struct err e = { .code = -EIO, .msg = "life: the disk is tired" };

		if (!f->used || !f->refused)
			continue;
		any = true;
		f->refused = false;
		if (f->batch) {
			f->batch->failed = SIZE_MAX;
			applied(f->batch, -EIO, &e);
		} else {
			answered(f, &f->query, &nothing, -EIO, &e);
		}
	}
	return any;
}

struct ask { bool done; void (*see)(const struct store_result *res, void *arg); void *arg; };

static void ask_done(void *arg, const struct store_query *q, const struct store_result *res, int result, const struct err *e)
{
	struct ask *a = arg;

	if (result < 0)
		wrong("the store cannot be read: %s", err_msg(e));
	a->done = true;
	a->see(res, a->arg);
}

/* Of the store itself, at once. */
static void ask(struct store_query q, void (*see)(const struct store_result *res, void *arg), void *arg)
{
	struct ask a = { .see = see, .arg = arg };

	q.arg = &a;
	q.done = ask_done;
	real_store->ops->query(real_store, &q);
	while (!a.done)
		turn_loop();
}

/* ---- what was promised ---------------------------------------------------------------------------------------- */

struct seen { struct inv_row row; bool there; size_t records; enum inv_condition condition; uint32_t outcomes; uint64_t starts;
	      unsigned int owed, given_up; };

static void see_event(const struct store_result *res, void *arg)
{
	struct seen *s = arg;

	*s = (struct seen){ .there = res->n_events == 1, .records = res->n_records };
	if (!s->there)
		return;
	s->row = res->events[0];
	for (size_t i = 0; i < res->n_attempts; i++) {
		const struct store_op_attempt *a = &res->attempts[i];

		if (a->start < 1 || a->start > 63 || s->starts & 1ull << a->start)
			wrong("%s has attempt %d twice", s->row.request_id, a->start);
		s->starts |= 1ull << a->start;
		s->outcomes |= BIT(a->outcome);
		if (a->outcome != OUTCOME_INVALID && (!a->fate || !json_valid(a->fate->data, a->fate->len, NULL)))
			wrong("the facts of %s, attempt %d, are gone", s->row.request_id, a->start);
	}
	if (res->n_records) {
		s->condition = res->records[0].condition;
		if (!res->records[0].body || !json_valid(res->records[0].body->data, res->records[0].body->len, NULL))
			wrong("the record of %s is not whole", s->row.request_id);
	}
	for (size_t i = 0; i < res->n_outbox; i++) {
		*(res->outbox[i].due_at_ms == INT64_MAX ? &s->given_up : &s->owed) |= BIT(res->outbox[i].role);
		if (!res->outbox[i].body)
			wrong("a delivery of %s has no body", s->row.request_id);
	}
}

static struct seen look(const char *request_id)
{
	struct store_query q = { .kind = STORE_Q_EVENT, .state = -1 };
	struct seen s = {};

	snprintf(q.request_id, sizeof(q.request_id), "%s", request_id);
	ask(q, see_event, &s);
	return s;
}

/* Before anything is done: what was told is in the store. */
static void check_told(void)
{
	for (int i = 0; i < l->n_words; i++) {
		const struct life_word *w = &l->words[i];
		struct seen s;

		if (w->what < SAID_ACCEPTED || w->what > SAID_CANCELLED)
			continue;
		s = look(w->id);
		if (!s.there)
			wrong("%s was %s, and is not there", w->id, w->what == SAID_ACCEPTED ? "accepted" : "at work");
		if (w->what == SAID_STARTED && (s.row.starts < w->number || !(s.starts & 1ull << w->number)))
			wrong("attempt %d of %s was started, and is not known", w->number, w->id);
		if (w->what == SAID_ENDED && (s.records != 1 || s.row.state < INV_ROUTING))
			wrong("the end of %s was told, and it is %s with %zu records", w->id, inv_state_name(s.row.state),
			      s.records);
		if (w->what == SAID_CANCELLED && s.row.condition != COND_CANCELLED && s.row.condition != COND_SUCCESS)
			wrong("%s was cancelled, and does not know", w->id);
		if (s.row.state >= INV_ROUTING && s.records != 1)
			wrong("%s is %s with %zu records", w->id, inv_state_name(s.row.state), s.records);
	}
}

static void check_published(struct registry *r)
{
	for (int i = 0; i < l->n_words; i++) {
		const struct life_word *w = &l->words[i];
		const struct alias *a = NULL;

		if (w->what == SAID_PUBLISHED && !registry_version(r, w->id, w->number))
			wrong("version %d of %s was published, and is not there", w->number, w->id);
		if (w->what == SAID_ALIAS && (!(a = registry_alias(r, w->id, "live")) || a->version < w->number))
			wrong("an alias of %s was set to version %d, and is %s", w->id, w->number, a ? "another" : "not there");
	}
}

/* Messages: whose record (or dead letter) is in which queue. */
struct message { char queue[32]; char id[ID_UUID_LEN + 1]; };
static struct message messages[4000];
static size_t n_messages;

/* After `before`, a UUID. */
static bool uuid_after(const char *text, const char *before, char ret[ID_UUID_LEN + 1])
{
	const char *at = text ? strstr(text, before) : NULL;

	if (!at || strlen(at) < strlen(before) + ID_UUID_LEN)
		return false;
	memcpy(ret, at + strlen(before), ID_UUID_LEN);
	ret[ID_UUID_LEN] = '\0';
	return id_is_uuid(ret);
}

static void see_messages(const struct store_result *res, void *arg)
{
	for (size_t i = 0; i < res->n_messages; i++) {
		const struct store_op_message *m = &res->messages[i];
		struct message *to = &messages[n_messages++];
		bool found;

		if (n_messages == ARRAY_SIZE(messages))
			wrong("endless messages");
		snprintf(to->queue, sizeof(to->queue), "%.31s", m->queue);
		if (!m->body)
			wrong("a message of queue %s has no body", m->queue);
		if (strcmp(m->queue, "dead") == 0)
			found = m->attributes &&
				uuid_after(m->attributes->data,
					   "\"RequestID\":{\"DataType\":\"String\",\"StringValue\":\"", to->id);
		else if (strcmp(m->queue, "wrapped") == 0)
			found = uuid_after(m->body->data, "\\\"requestId\\\":\\\"", to->id);
		else
			found = uuid_after(m->body->data, "\"requestId\":\"", to->id);
		if (!found)
			wrong("a message of queue %s does not say whose it is", m->queue);
	}
}

static int in_queue(const char *queue, const char *request_id)
{
	int n = 0;

	for (size_t i = 0; i < n_messages; i++)
		n += strcmp(messages[i].queue, queue) == 0 && strcmp(messages[i].id, request_id) == 0;
	return n;
}

struct all { struct inv_row rows[1000]; size_t n; };

static void see_all(const struct store_result *res, void *arg)
{
	struct all *a = arg;

	if (res->n_events == 1000)
		wrong("endless events");
	memcpy(a->rows, res->events, res->n_events * sizeof(*a->rows));
	a->n = res->n_events;
}

static int redriven_as(const struct all *a, const char *request_id)
{
	int n = 0;

	for (size_t i = 0; i < a->n; i++)
		n += strcmp(a->rows[i].origin, request_id) == 0;
	return n;
}

/* One record, or dead letter, to one target: exactly once where it is ours, at least once outside. */
static void check_target(const struct all *a, const struct seen *s, const char *target, enum outbox_role role)
{
	const char *id = s->row.request_id, *name = strchr(target, ':') + 1;
	char key[64];
	int n;

	if (strncmp(target, "file:", 5) == 0) {
		snprintf(key, sizeof(key), "%s:%s", id, outbox_role_name(role));
		if (!said(SAID_ACKED, key, -1) && !(s->given_up & BIT(role)) && !said(SAID_DROPPED, key, -1))
			wrong("%s was never delivered", key);
		return;
	}
	if (strncmp(target, "queue:", 6) != 0)
		return;		/* counted in check_chains() */
	n = in_queue(name, id) + (role == ROLE_DEAD_LETTER ? redriven_as(a, id) : 0);
	if (n != 1)
		wrong("%d messages of %s in queue %s", n, id, name);
}

static void check_event(const struct all *a, const struct inv_row *row)
{
	const struct what *w = what_of(row->function);
	struct seen s = look(row->request_id);
	uint32_t may = BIT(OUTCOME_INTERRUPTED) | BIT(OUTCOME_HOST) | BIT(OUTCOME_CANCELLED) | BIT(w->verdict);

	if (!s.there || s.row.state != INV_DONE || s.records != 1 || s.condition != s.row.condition)
		wrong("%s of %s ended %s with %zu records, owed %#x, given up %#x", row->request_id, row->function,
		      inv_state_name(s.row.state), s.records, s.owed, s.given_up);
	if (s.owed)
		wrong("a delivery of %s is still owed", row->request_id);
	if (s.outcomes & ~may)
		wrong("%s of %s has the verdicts %#x", row->request_id, row->function, s.outcomes);
	if (s.starts != ((1ull << (row->starts + 1)) - 1) - 1)
		wrong("%s was started %d times, and its attempts are %#" PRIx64, row->request_id, row->starts, s.starts);
	if (row->condition == COND_SUCCESS && w->verdict != OUTCOME_SUCCESS)
		wrong("%s of %s succeeded", row->request_id, row->function);
	if (row->condition == COND_SUCCESS && w->success)
		check_target(a, &s, w->success, ROLE_ON_SUCCESS);
	if (row->condition != COND_SUCCESS && w->failure)
		check_target(a, &s, w->failure, ROLE_ON_FAILURE);
	if (row->condition != COND_SUCCESS && w->dead)
		check_target(a, &s, w->dead, ROLE_DEAD_LETTER);
	l->interrupted += !!(s.outcomes & BIT(OUTCOME_INTERRUPTED));
	l->host_faults += !!(s.outcomes & BIT(OUTCOME_HOST));
	l->redriven += row->origin[0] != '\0';
	l->events++;
}

/* What goes to functions, topics and buses is theirs exactly once. */
static void check_chains(const struct all *a)
{
	int want = 0, got = 0;

	for (size_t i = 0; i < a->n; i++) {
		const struct inv_row *r = &a->rows[i];
		bool fan = strcmp(r->function, "fan") == 0 && r->condition == COND_SUCCESS;
		bool bus = strcmp(r->function, "bus") == 0 && r->condition == COND_SUCCESS;

		got += r->hops == 2;
		want += fan || (strcmp(r->function, "chain") == 0 && r->condition == COND_SUCCESS);
		if (in_queue("raw", r->request_id) != fan || in_queue("wrapped", r->request_id) != fan)
			wrong("%s went to %d and %d queues of its topic", r->request_id, in_queue("raw", r->request_id),
			      in_queue("wrapped", r->request_id));
		if (in_queue("bus", r->request_id) != bus)
			wrong("%s went to its bus %d times", r->request_id, in_queue("bus", r->request_id));
	}
	if (got != want)
		wrong("%d events came of others, want %d", got, want);
}

static void check_end(struct engine *e)
{
	static const char *const queues[] = { "done", "failed", "dead", "raw", "wrapped", "bus" };
	static struct all a;
	struct engine_law law;

	ask((struct store_query){ .kind = STORE_Q_EVENTS, .state = -1, .limit = 1000 }, see_all, &a);
	for (size_t i = 0; i < ARRAY_SIZE(queues); i++) {
		struct store_query q = { .kind = STORE_Q_PEEK, .limit = 1000, .now_ms = c_wall(NULL) };

		snprintf(q.queue, sizeof(q.queue), "%s", queues[i]);
		ask(q, see_messages, NULL);
	}
	for (size_t i = 0; i < a.n; i++)
		check_event(&a, &a.rows[i]);
	check_chains(&a);
	check_told();
	engine_audit(e);
	engine_law(e, &law);
	if (!law.events_hold)
		wrong("the law: %" PRId64 " accepted, %" PRId64 " queued, %" PRId64 " running, %" PRId64 " settled, "
		      "%" PRId64 " dead", law.accepted, law.queued, law.running, law.settled, law.dead_lettered);
}

/* ---- clients and operators ------------------------------------------------------------------------------------ */

static struct engine *the_engine;
static struct call { char id[64]; int version; } pool[1000];
static int n_pool;

static struct call *call_new(void)
{
	if (n_pool == (int)ARRAY_SIZE(pool))
		wrong("endless calls");
	return &pool[n_pool++];
}

static void on_accept(void *arg, const struct intake_reply *r)
{
	if (r->status == 202) {
		say(SAID_ACCEPTED, ((struct call *)arg)->id, 0);
		l->accepted++;
	} else if (r->status != 429 && r->status != 503 && r->status != 404) {
		wrong("an event is answered with %d", r->status);
	}
}

static void on_ended(void *arg, const struct intake_reply *r)
{
	if (r->status == 200)
		say(SAID_ENDED, ((struct call *)arg)->id, 0);
}

static void on_cancelled(void *arg, const struct intake_reply *r)
{
	if (r->status == 202)
		say(SAID_CANCELLED, ((struct call *)arg)->id, 0);
}

static void on_published(void *arg, const struct intake_reply *r)
{
	if (r->status == 201)
		say(SAID_PUBLISHED, ((struct call *)arg)->id, r->version);
	else if (r->status != 503 && r->status != 409)	/* 409: no memory for another */
		wrong("publishing is answered with %d", r->status);
}

static void on_alias(void *arg, const struct intake_reply *r)
{
	if (r->status == 200 || r->status == 201)
		say(SAID_ALIAS, ((struct call *)arg)->id, ((struct call *)arg)->version);
	else if (r->status != 503 && r->status != 404 && r->status != 409)
		wrong("an alias is answered with %d", r->status);
}

static void on_nothing(void *arg, const struct intake_reply *r) { }

static void on_dropped(void *arg, const struct intake_reply *r)
{
	if (r->status == 200)
		say(SAID_DROPPED, ((struct call *)arg)->id, 0);
}

static void invoke(void)
{
	static const char padding[20000];
	const struct what *w = &functions[chance(30) ? 4 : rnd() % ARRAY_SIZE(functions)];
	struct arn_function fn = {};
	struct call *c = call_new();
	struct blob *payload;
	char text[20100];
	int n = snprintf(text, sizeof(text), "{\"n\":%d,\"pad\":\"", l->calls);
	size_t pad = chance(15) ? sizeof(padding) : 0;

	memset(text + n, 'x', pad);
	memcpy(text + n + pad, "\"}", 3);
	payload = blob_new(text, (size_t)n + pad + 2);
	if (!payload)
		return;		/* as a door does it */
	snprintf(fn.name, sizeof(fn.name), "%s", w->name);
	if (chance(40) && registry_alias(intake_registry(the_engine), w->name, "live"))
		snprintf(fn.qualifier, sizeof(fn.qualifier), "live");
	intake_invoke(the_engine, INTAKE_ASYNC, &fn, payload, on_accept, c, c->id);
	blob_unref(payload);
	if (chance(40))
		intake_wait(the_engine, c->id, on_ended, c);
	if (chance(4))
		intake_cancel(the_engine, c->id, on_cancelled, c);
}

static void redrive(void *arg, const struct store_query *q, const struct store_result *res, int result, const struct err *e)
{
	struct intake_redrive r = { .queue = "dead" };
	char origin[ID_UUID_LEN + 1];
	struct call *c;

	if (result < 0 || !res->n_messages)
		return;
	if (!uuid_after(res->messages[0].attributes ? res->messages[0].attributes->data : NULL, "\"StringValue\":\"", origin))
		wrong("a dead letter without a request id");
	c = call_new();
	snprintf(r.fn.name, sizeof(r.fn.name), "ok");
	r.payload = res->messages[0].body;
	r.receipt = res->messages[0].receipt;
	r.origin = origin;
	intake_redrive(the_engine, &r, on_accept, c, c->id);
}

static void operate_delivery(void *arg, const struct store_query *q, const struct store_result *res, int result,
			     const struct err *e)
{
	struct call *c;

	if (result < 0 || !res->n_outbox)
		return;
	if (chance(60)) {
		intake_delivery(the_engine, DELIVERY_RETRY_NOW, &res->outbox[0], on_nothing, NULL);
		return;
	}
	c = call_new();
	snprintf(c->id, sizeof(c->id), "%s", res->outbox[0].key);
	intake_delivery(the_engine, DELIVERY_DROP, &res->outbox[0], on_dropped, c);
}

static void publish(void)
{
	size_t i = rnd() % ARRAY_SIZE(functions);
	struct func *const *versions;
	size_t n = registry_versions(intake_registry(the_engine), functions[i].name, &versions);
	struct call *c = call_new();
	struct alias *a;

	snprintf(c->id, sizeof(c->id), "%s", functions[i].name);
	if (!n || chance(50)) {
		if (!define(i, l->calls))
			return;
		swap_in(intake_registry(the_engine));
		engine_functions_changed(the_engine);
		intake_publish(the_engine, functions[i].name, NULL, on_published, c);
		return;
	}
	a = alias_new();
	snprintf(a->function, sizeof(a->function), "%s", functions[i].name);
	snprintf(a->name, sizeof(a->name), "live");
	a->version = c->version = versions[n - 1]->version;	/* never an older one than before */
	intake_alias_set(the_engine, a, registry_alias(intake_registry(the_engine), a->function, a->name), on_alias, c);
	alias_unref(a);
}

static void call(void)
{
	struct store_query q = { .limit = 1, .now_ms = c_wall(NULL), .visibility_ms = 30000, .random = rnd() };
	uint64_t what = rnd() % 100;

	l->calls++;
	if (what < 10) {
		publish();
	} else if (what < 18) {
		q.kind = STORE_Q_RECEIVE;
		q.done = redrive;
		snprintf(q.queue, sizeof(q.queue), "dead");
		the_store.ops->query(&the_store, &q);
	} else if (what < 22) {
		q.kind = STORE_Q_OUTBOX;
		q.state = 1;
		q.done = operate_delivery;
		the_store.ops->query(&the_store, &q);
	} else {
		for (uint64_t burst = rnd() % 4; burst < 4; burst++)
			invoke();
	}
}

/* ---- a life --------------------------------------------------------------------------------------------------- */

static bool in_doubt(void)
{
	struct engine_stats st;

	engine_stats(the_engine, &st);
	return st.in_doubt && st.commit_failures >= DOUBTS_MAX && plan->check == false;
}

static int64_t next_instant(int64_t next)
{
	int64_t t = engine_next_mono_ns(the_engine);

	next = MIN(next, t);
	t = engine_next_steady_ms(the_engine);
	if (t != INT64_MAX)
		next = MIN(next, l->now_ns + MAX(t - engine_steady_ms(the_engine), 0) * NS_PER_MS);
	if (l->calls < plan->calls)
		next = MIN(next, l->now_ns + (int64_t)(rnd() % 400) * NS_PER_MS);
	return next;
}

/* Until nothing is left to do. */
static enum life_end go_on(void)
{
	for (int steps = 0; steps < STEPS_MAX; steps++) {
		int64_t next, t;

		if (l->calls < plan->calls && chance(30))
			call();
		next = kernel_run();
		t = deliveries_run();
		next = MIN(next, t);
		engine_turn(the_engine);
		if (answer_refused())
			continue;
		if (at_store && (chance(70) || engine_pending(the_engine))) {
			turn_loop();
			continue;
		}
		if (engine_pending(the_engine))
			continue;
		t = kernel_run();	/* what the turn has just started, and sent */
		next = MIN(next, t);
		t = deliveries_run();
		next = next_instant(MIN(next, t));
		if (at_store && (next == INT64_MAX || chance(80))) {
			turn_loop();
			continue;
		}
		if (engine_pending(the_engine))
			continue;
		if (in_doubt())
			return LIFE_IN_DOUBT;
		if (next == INT64_MAX)
			return LIFE_RESTED;
		l->now_ns = MAX(l->now_ns, next);
	}
	wrong("it does not come to rest");
}

static struct engine_config config(void)
{
	return (struct engine_config){
		.region = "us-east-1", .concurrency_max = 3, .queue_max = 200, .inbox_max = 64, .record_fate = true,
		.window_max = 1 + (int)(rnd() % 5), .window_bytes = chance(30) ? 4000 : 1 << 20, .window_min = 1,
		.page_max = 1 + (int)(rnd() % 3), .target_window = 1 + (int)(rnd() % 2), .lease_ms = 2400000,
	};
}

static enum life_end live(void)
{
	struct port_clock clock = { NULL, c_mono, c_wall, c_random, c_boot, "" };
	struct engine_ports ports = { .clock = &clock, .store = &the_store, .launch = &the_launch, .observe = &the_observe,
				      .deliver = &the_deliver };
	struct engine_config cfg = config();
	struct func_problems p = {};
	struct err e = {};
	enum life_end end;

	memcpy(clock.boot_id, l->boot_id, sizeof(clock.boot_id));
	for (size_t i = 0; i < ARRAY_SIZE(functions); i++)
		if (!define(i, 0))
			wrong("no memory before there was a fault");
	must_parse(topic_parse(topic_text, strlen(topic_text), &the_topic, &p), &p, "topic");
	must_parse(bus_parse(bus_text, strlen(bus_text), &the_bus, &p), &p, "bus");
	if (plan->arm)
		plan->arm(plan->arg);
	if (sd_event_new(&the_loop) < 0)
		return LIFE_REFUSED;
	if (store_sqlite_open_vfs(the_loop, the_path, "breaking", &real_store, &e) < 0) {
		fprintf(stderr, "the store: %s\n", err_msg(&e));
		return LIFE_REFUSED;
	}
	if (plan->check)
		check_told();
	the_engine = engine_new(&ports, &cfg);
	the_facts = intake_facts(the_engine);
	the_deliveries = intake_deliveries(the_engine);
	swap_in(intake_registry(the_engine));
	if (engine_start(the_engine, &e) < 0) {
		fprintf(stderr, "the engine: %s\n", err_msg(&e));
		return LIFE_REFUSED;
	}
	l->rebooted = false;
	if (plan->started)
		plan->started(plan->arg);
	if (plan->check)
		check_published(intake_registry(the_engine));
	end = go_on();
	if (plan->done)
		plan->done(plan->arg);
	if (end == LIFE_RESTED && plan->check) {
		check_end(the_engine);
		engine_free(the_engine);
		real_store->ops->close(real_store);
		sd_event_unref(the_loop);
	}
	return end;
}

/* ---- for the test --------------------------------------------------------------------------------------------- */

static void remove_files(void)
{
	static const char *const tails[] = { "", "-wal", "-shm", "-lock", "-journal" };
	char name[256];

	for (size_t i = 0; i < ARRAY_SIZE(tails); i++) {
		snprintf(name, sizeof(name), "%s%s", the_path, tails[i]);
		(void)unlink(name);
	}
}

struct life *life_new(void)
{
	struct life *new = mmap(NULL, sizeof(*new), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (new == MAP_FAILED)
		abort();
	snprintf(the_dir, sizeof(the_dir), "%s/fated-life-XXXXXX", getenv("TMPDIR") ?: "/tmp");
	if (!mkdtemp(the_dir))
		abort();
	snprintf(the_path, sizeof(the_path), "%s/state.db", the_dir);
	snprintf(err_path, sizeof(err_path), "%s/stderr", the_dir);
	owner = getpid();
	return new;
}

void life_free(struct life *old)
{
	remove_files();
	(void)unlink(err_path);
	(void)rmdir(the_dir);
	munmap(old, sizeof(*old));
}

const char *life_path(void) { return the_path; }

void life_begin(struct life *world, uint64_t seed)
{
	l = world;
	remove_files();
	l->seed = seed;
	l->rng = seed * 0x9e3779b97f4a7c15ULL + 1;
	for (int i = 0; i < 8; i++)
		rnd();
	l->now_ns = 1000 * NS_PER_S;
	l->booted_ms = 0;
	snprintf(l->boot_id, sizeof(l->boot_id), "boot");
	l->rebooted = false;
	l->lives = l->calls = l->n_procs = l->n_words = l->n_sends = 0;
}

void life_reboot(struct life *world)
{
	for (int i = 0; i < world->n_procs; i++) {
		world->procs[i].alive = world->procs[i].entry.seen = false;
		world->procs[i].released = true;
	}
	world->now_ns += 20 * NS_PER_S;
	world->booted_ms = world->now_ns / NS_PER_MS;
	snprintf(world->boot_id, sizeof(world->boot_id), "boot %d", world->lives);
	world->rebooted = true;
}

int life_live(struct life *world, const struct life_plan *what)
{
	struct rlimit no_core = {};
	int status = 0;
	pid_t pid;

	l = world;
	l->lives++;
	l->failed = false;
	l->calls_seen = 0;
	l->why[0] = '\0';
	for (int i = 0; i < l->n_sends; i++)
		l->sends[i].pending = false;	/* sent or not: nobody will ever know */
	(void)fflush(NULL);
	pid = fork();
	if (pid < 0)
		abort();
	if (pid == 0) {
		int fd = open(err_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

		if (fd < 0 || dup2(fd, STDERR_FILENO) < 0 || setrlimit(RLIMIT_CORE, &no_core) < 0)
			_exit(1);
		(void)alarm(120);	/* the end of a hung life */
		plan = what;
		_exit((int)live());
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			abort();
	return status;
}

const char *life_stderr(void)
{
	static char text[3000];
	int fd = open(err_path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	text[MAX(n, 0)] = '\0';
	if (fd >= 0)
		close(fd);
	return text;
}

const char *life_end_name(int status)
{
	static const char *const names[] = { "rested", "refused", "in doubt", "lost power", "wrong" };
	static char other[64];

	if (WIFEXITED(status) && WEXITSTATUS(status) >= LIFE_RESTED && WEXITSTATUS(status) <= LIFE_WRONG)
		return names[WEXITSTATUS(status) - LIFE_RESTED];
	if (WIFSIGNALED(status))
		snprintf(other, sizeof(other), "ended by %s%s", signal_name(WTERMSIG(status)),
			 WTERMSIG(status) == SIGALRM ? ": it hung" : "");
	else
		snprintf(other, sizeof(other), "exit status %d", WEXITSTATUS(status));
	return other;
}

const char *life_judge(const struct life *world, int status, unsigned int allowed)
{
	static char text[700];

	if (WIFEXITED(status) && WEXITSTATUS(status) >= LIFE_RESTED && WEXITSTATUS(status) <= LIFE_WRONG &&
	    allowed & LIFE_MAY(WEXITSTATUS(status)))
		return NULL;
	snprintf(text, sizeof(text), "seed %" PRIu64 ", life %d: %s%s%s", world->seed, world->lives, life_end_name(status),
		 world->why[0] ? ": " : "", world->why);
	if (!world->why[0])
		fprintf(stderr, "%s\n", life_stderr());
	return text;
}
