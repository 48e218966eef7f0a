/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The real engine on fake ports. One seed drives time, chance, store faults, launches, deaths, lost and late facts,
 * deliveries and crashes of the daemon between any two steps; checkers watch the invariants from outside.
 *
 *   sim [--seeds N] [--seed S] [--jobs N] [--verbose]
 *
 * Fault model: the store applies batches whole and in order or fails them whole; a crash drops what was not yet
 * applied. The kernel (processes, pinned entries, leaves) outlives the daemon; a new daemon adopts what it finds, where its
 * pipes were kept (in some runs they are, mostly), and kills the rest. A reboot ends processes and entries, and counts the
 * boot clock anew. A restart in good order leaves what runs. Ring records may be lost or late; entries may not. waitid() is
 * late by any time, but comes while the daemon lives; an adopted child has no status. Prepare, watch and start may fail.
 * Deliveries are acknowledged, retried or refused, and late, and a target may be dead for a while. The wall clock is set
 * back and forward. Somebody else claims an event behind the daemon's back, and operators retry, drop, redrive and publish.
 * The windows of what is held in memory are a few events wide, so most of what waits is on disk.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/map.h"
#include "base/mem.h"
#include "engine/engine.h"
#include "store/store_mem.h"

#define EVENTS_MAX 160
#define STEPS_MAX 60000

/* ---- chance and time --------------------------------------------------------------------------------------- */

static uint64_t the_seed, rng;
static int64_t now_ns;
static bool verbose;

static uint64_t rnd(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng * 0x2545f4914f6cdd1dULL;
}

static bool chance(unsigned int percent)
{
	return rnd() % 100 < percent;
}

#define WALL_BASE_MS 1700000000000LL

static int64_t wall_step_ms, booted_ms;	/* how far the wall clock was set; when this boot began */

static int64_t sim_mono(void *self) { return now_ns; }
static int64_t sim_wall(void *self) { return WALL_BASE_MS + now_ns / NS_PER_MS + wall_step_ms; }
static int64_t sim_boot(void *self) { return now_ns / NS_PER_MS - booted_ms; }
static uint64_t sim_random(void *self) { return rnd(); }
static struct port_clock the_clock = { NULL, sim_mono, sim_wall, sim_random, sim_boot, "boot" };
static bool rebooted;			/* the monotonic clock goes on here; nothing of ours looks across a boot with it */

static void fail(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
static void fail(const char *fmt, ...)
{
	va_list ap;

	printf("not ok sim - seed %" PRIu64 " at %.3f s: ", the_seed, (double)now_ns / 1e9);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\nreplay with: build/sim --seed %" PRIu64 " --verbose\n", the_seed);
	exit(1);
}

static void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void note(const char *fmt, ...)
{
	va_list ap;

	if (!verbose)
		return;
	printf("%10.4f ", (double)now_ns / 1e9);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
}

/* ---- the kernel: leaves, processes, entries. Outlives every daemon ----------------------------------------- */

enum behaviour { ENDS_OK, ENDS_3, ENDS_SEGV, ENDS_OOM, ENDS_REPORT, HANGS, HANGS_HARD, TALKS_TOO_MUCH, LEAVES_CHILD,
		 EXEC_FAILS, BEHAVIOURS };

struct proc {			/* one environment */
	uint64_t cgroup_id;
	char request_id[ID_UUID_LEN + 1];
	char function[LIM_FUNCTION_NAME_MAX + 1];
	int attempt;
	enum behaviour how;
	bool started, leader_alive, child_alive, released, watched, wait_told, empty_told, populated_asked, exit_told,
		deadline_told, bpf_empty_told;
	int64_t end_ns, child_end_ns, wait_tell_ns, empty_tell_ns, exit_tell_ns, deadline_tell_ns, bpf_empty_tell_ns;
	int wait_status, version;
	bool kept, adopted;
	int64_t timeout_ms;
	struct fact_bpf entry;
	bool entry_there;
	int generation;		/* of the daemon that started it */
};

static uint64_t books_starts, books_exits;	/* the kernel half's, of watched processes */
static struct proc procs[4096];
static size_t n_procs;
static int generation;
static struct fact_sink the_facts;
static bool observing;

static void proc_empty(struct proc *p)
{
	p->entry.env.empty_ns = (uint64_t)now_ns;
	p->entry.env.flags |= FATE_ENV_EMPTY;
	p->bpf_empty_tell_ns = chance(15) ? INT64_MAX : now_ns + (int64_t)(rnd() % 200000);
}

static void proc_die(struct proc *p, int status)
{
	if (!p->leader_alive)
		return;
	p->leader_alive = false;
	p->wait_status = status;
	if (p->entry_there) {
		p->entry.env.flags |= FATE_ENV_LEADER_EXITED;
		p->entry.env.exit_code = status;
		p->entry.env.exit_ns = (uint64_t)now_ns;
		p->entry.env.procs_exited++;
		books_exits++;
		if (!p->child_alive)
			proc_empty(p);
	}
	p->exit_tell_ns = chance(15) ? INT64_MAX : now_ns + (int64_t)(rnd() % 200000);	/* lost in the ring, or soon */
	p->wait_tell_ns = now_ns + (int64_t)(rnd() % (chance(10) ? 50000000 : 400000));
	note("  %s attempt %d leader dies, status %#x", p->request_id, p->attempt, status);
}

static void proc_child_die(struct proc *p)
{
	if (!p->child_alive)
		return;
	p->child_alive = false;
	if (!p->entry_there)
		return;
	p->entry.env.procs_exited++;
	books_exits++;
	if (!p->leader_alive)
		proc_empty(p);
}

static void proc_kill(struct proc *p)
{
	proc_child_die(p);
	proc_die(p, SIGKILL);
}

/* What happens by itself until now. Returns when something happens next. */
static int64_t kernel_run(void)
{
	int64_t next = INT64_MAX;

	for (size_t i = 0; i < n_procs; i++) {
		struct proc *p = &procs[i];
		struct fate_env *env = &p->entry.env;

		if (!p->started || p->released)
			continue;
		if (p->entry_there && p->leader_alive && env->deadline_ns && (uint64_t)now_ns >= env->deadline_ns &&
		    !(env->flags & FATE_ENV_DEADLINE_HIT)) {
			env->flags |= FATE_ENV_DEADLINE_HIT;
			env->deadline_hit_ns = (uint64_t)now_ns;
			p->deadline_tell_ns = chance(15) ? INT64_MAX : now_ns + (int64_t)(rnd() % 200000);
			note("  %s attempt %d deadline in the kernel", p->request_id, p->attempt);
		}
		if (p->leader_alive && now_ns >= p->end_ns) {
			if (p->how == ENDS_OOM && p->entry_there)
				env->oom_kills++, env->oom_scope = strcmp(p->function, "crowded") ? FATE_OOM_OWN
					: FATE_OOM_ANCESTOR;
			proc_die(p, p->how == ENDS_3 || p->how == ENDS_REPORT ? 3 << 8 : p->how == ENDS_SEGV ? SIGSEGV | 0x80 :
				    p->how == ENDS_OOM ? SIGKILL : p->how == EXEC_FAILS ? 127 << 8 : 0);
		}
		if (p->child_alive && now_ns >= p->child_end_ns)
			proc_child_die(p);
		if (p->leader_alive) {
			next = MIN(next, p->end_ns);
			if (p->entry_there && env->deadline_ns && !(env->flags & FATE_ENV_DEADLINE_HIT))
				next = MIN(next, (int64_t)env->deadline_ns);
		}
		if (p->child_alive)
			next = MIN(next, p->child_end_ns);
	}
	return next;
}

/* The living daemon hears of it. Returns when there is more to tell. */
static int64_t kernel_tell(void)
{
	int64_t next = INT64_MAX;

	for (size_t i = 0; i < n_procs; i++) {
		struct proc *p = &procs[i];
		struct fact f = { .cgroup_id = p->cgroup_id, .at_ns = now_ns };

		if (!p->started || p->released || p->generation != generation)
			continue;
#define TELL(when, told, cond, k) do { if ((cond) && !p->told) { if (now_ns >= (when)) { \
		p->told = true; f.kind = (k); the_facts.fact(the_facts.self, &f); } else next = MIN(next, (when)); } } while (0)
		if (observing) {
			TELL(p->deadline_tell_ns, deadline_told, p->entry.env.flags & FATE_ENV_DEADLINE_HIT, FACT_BPF_DEADLINE);
			TELL(p->exit_tell_ns, exit_told, !p->leader_alive && p->watched, FACT_BPF_EXIT);
			TELL(p->bpf_empty_tell_ns, bpf_empty_told, p->entry.env.flags & FATE_ENV_EMPTY, FACT_BPF_EMPTY);
		}
		if (!p->leader_alive && !p->wait_told && now_ns >= p->wait_tell_ns) {
			p->wait_told = true;
			if (p->how == EXEC_FAILS && !p->adopted) {
				f.kind = FACT_EXEC_FAILED;
				f.error = ENOENT;
				snprintf(f.step, sizeof(f.step), "execve");
				the_facts.fact(the_facts.self, &f);
			}
			f.kind = FACT_WAIT;
			f.error = p->adopted ? ECHILD : 0;
			f.wait_status = p->adopted ? 0 : p->wait_status;
			the_facts.fact(the_facts.self, &f);
		} else if (!p->leader_alive && !p->wait_told) {
			next = MIN(next, p->wait_tell_ns);
		}
		if (p->populated_asked && !p->leader_alive && !p->child_alive && !p->empty_tell_ns)
			p->empty_tell_ns = now_ns + (int64_t)(rnd() % 300000);
		TELL(p->empty_tell_ns, empty_told, p->empty_tell_ns != 0, FACT_EMPTY);
	}
	return next;
}

/* ---- port_launch ------------------------------------------------------------------------------------------- */

static unsigned int launch_fault_percent, keep_percent;

static enum behaviour behaviour_of(const char *function)
{
	static const struct { const char *name; enum behaviour how; } fixed[] = {
		{ "ok", ENDS_OK }, { "chained", ENDS_OK }, { "three", ENDS_3 }, { "segv", ENDS_SEGV }, { "oom", ENDS_OOM },
		{ "report", ENDS_REPORT }, { "hangs", HANGS }, { "graceful", HANGS_HARD }, { "talks", TALKS_TOO_MUCH },
		{ "leaves", LEAVES_CHILD }, { "missing", EXEC_FAILS }, { "single", ENDS_OK }, { "waits", LEAVES_CHILD },
		{ "warns", LEAVES_CHILD }, { "crowded", ENDS_OOM }, { "patient", HANGS }, { "ping", ENDS_OK }, { "pong", ENDS_OK },
		{ "poison", ENDS_3 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
		if (strcmp(fixed[i].name, function) == 0)
			return fixed[i].how;
	return (enum behaviour)(rnd() % BEHAVIOURS);	/* "any" */
}

static struct proc *as_proc(struct env_proc *p) { return (struct proc *)p; }

static int l_prepare(struct port_launch *l, const struct launch_spec *spec, struct env_proc **ret, uint64_t *ret_id, struct err *e)
{
	struct proc *p;

	if (chance(launch_fault_percent))
		return err_set(e, -EAGAIN, "simulated: no leaf");
	if (n_procs == ARRAY_SIZE(procs))
		fail("more than %zu environments: something never ends", ARRAY_SIZE(procs));
	p = &procs[n_procs++];
	*p = (struct proc){ .cgroup_id = 1000 + n_procs, .attempt = spec->attempt, .generation = generation,
			    .timeout_ms = spec->timeout_ms };
	snprintf(p->request_id, sizeof(p->request_id), "%s", spec->request_id);
	snprintf(p->function, sizeof(p->function), "%s", spec->func->name);
	p->version = strcmp(spec->version, "$LATEST") ? atoi(spec->version) : 0;
	p->kept = spec->keep && chance(keep_percent);
	if (p->version != spec->func->version)
		fail("version %s is said to be started, and it is %d", spec->version, spec->func->version);
	*ret = (struct env_proc *)p;
	*ret_id = p->cgroup_id;
	return 0;
}

static void check_start(const struct proc *p);
static void check_release(const struct proc *p);
static void check_reap(const struct proc *p);

static int l_start(struct port_launch *l, struct env_proc *ep, struct err *e)
{
	struct proc *p = as_proc(ep);
	int64_t run_ns = (int64_t)(rnd() % 2000000000);

	if (chance(launch_fault_percent))
		return err_set(e, -EAGAIN, "simulated: clone3 failed");
	check_start(p);
	p->started = p->leader_alive = true;
	p->how = behaviour_of(p->function);
	p->end_ns = p->how == HANGS || p->how == HANGS_HARD ? INT64_MAX : now_ns + run_ns;
	if (p->how == EXEC_FAILS)
		p->end_ns = now_ns + 100000;
	if (p->how == LEAVES_CHILD || p->how == HANGS_HARD) {
		p->child_alive = true;
		p->child_end_ns = chance(50) && strcmp(p->function, "warns") != 0 ? INT64_MAX
			: now_ns + run_ns + (int64_t)(rnd() % 3000000000);
	}
	if (p->entry_there) {
		p->entry.env.fork_ns = (uint64_t)now_ns;
		p->entry.env.deadline_ns = p->entry.env.timeout_ns ? (uint64_t)now_ns + p->entry.env.timeout_ns : 0;
		p->entry.env.procs_forked = 1 + p->child_alive;
		books_starts += p->entry.env.procs_forked;
	}
	if (p->how == TALKS_TOO_MUCH) {
		struct fact f = { .kind = FACT_TOO_LARGE, .cgroup_id = p->cgroup_id, .at_ns = now_ns };

		the_facts.fact(the_facts.self, &f);
		p->end_ns = INT64_MAX;
	}
	note("  %s attempt %d of %s starts (%d)", p->request_id, p->attempt, p->function, (int)p->how);
	return 0;
}

static void l_term(struct port_launch *l, struct env_proc *ep)
{
	struct proc *p = as_proc(ep);

	if (p->how == HANGS_HARD && chance(50)) {
		proc_die(p, SIGTERM);	/* the leader obeys, its child does not */
		return;
	}
	if (p->how != HANGS_HARD)
		proc_die(p, 0);		/* a clean exit in the grace is still a timeout */
}

static int l_kill(struct port_launch *l, struct env_proc *ep, struct err *e)
{
	if (as_proc(ep)->started)
		proc_kill(as_proc(ep));
	return 0;
}

static int l_populated(struct port_launch *l, struct env_proc *ep)
{
	struct proc *p = as_proc(ep);

	if (!p->leader_alive && !p->child_alive)
		return 0;
	p->populated_asked = true;
	return 1;
}

static unsigned int l_count(struct port_launch *l, struct env_proc *ep)
{
	return (unsigned int)as_proc(ep)->leader_alive + as_proc(ep)->child_alive;
}

static void l_collect(struct port_launch *l, struct env_proc *ep, struct fact_cgroup *ret, struct blob **out, struct blob **report)
{
	struct proc *p = as_proc(ep);

	*ret = (struct fact_cgroup){ .have_memory = true, .own_ooms = strcmp(p->function, "crowded") != 0,
				     .above_known = true, .above = "/above",
				     .oom_kills = p->how == ENDS_OOM && !p->leader_alive && p->wait_status == SIGKILL &&
				     now_ns >= p->end_ns };
	if (p->how == ENDS_OK)
		*out = blob_new("{\"ok\":true}", 11);
	if (p->how == ENDS_REPORT && p->wait_status == 3 << 8)
		*report = blob_new("{\"errorType\":\"E\",\"errorMessage\":\"m\"}", 37);
}

static int l_group_path(struct port_launch *l, uint64_t cgroup_id, char *ret, size_t size)
{
	return -ENOENT;
}

static void l_release(struct port_launch *l, struct env_proc *ep)
{
	struct proc *p = as_proc(ep);

	if (!p || p->generation != generation)
		return;		/* the simulation tears a crashed engine down: its leaves are the next one's */
	if (p->leader_alive || p->child_alive)
		fail("I6: leaf %" PRIu64 " released while populated", p->cgroup_id);
	check_release(p);
	p->released = true;
}

static void l_abandon(struct port_launch *l, struct env_proc *ep)
{
}

static struct proc *proc_by_id(uint64_t id);

static int l_adopt(struct port_launch *l, const struct launch_adopt *a, struct env_proc **ret, struct err *e)
{
	struct proc *p = proc_by_id(a->cgroup_id);

	if (!p || p->released || !p->kept)
		return err_set(e, -ENOENT, "simulated: its pipes were not kept");
	if (strcmp(a->request_id, p->request_id) != 0 || a->attempt != p->attempt)
		fail("%s is adopted as %s", p->request_id, a->request_id);
	p->generation = generation;
	p->adopted = true;
	p->wait_told = p->exit_told = p->deadline_told = p->bpf_empty_told = p->empty_told = p->populated_asked = false;
	p->empty_tell_ns = 0;
	p->wait_tell_ns = now_ns + (int64_t)(rnd() % 400000);
	p->exit_tell_ns = p->deadline_tell_ns = p->bpf_empty_tell_ns = INT64_MAX;	/* what was in the ring is read by nobody */
	note("  %s attempt %d is adopted", p->request_id, p->attempt);
	*ret = (struct env_proc *)p;
	return 0;
}

static int l_reap(struct port_launch *l, void (*gone)(void *arg, uint64_t cgroup_id, const char *name), void *arg, struct err *e)
{
	for (size_t i = 0; i < n_procs; i++) {
		struct proc *p = &procs[i];

		if (p->released || p->generation == generation)
			continue;
		check_reap(p);
		proc_kill(p);
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

/* ---- port_observe ------------------------------------------------------------------------------------------ */

struct proc *proc_by_id(uint64_t id)
{
	return id > 1000 && id <= 1000 + n_procs ? &procs[id - 1001] : NULL;
}

static int o_watch(struct port_observe *o, const struct observe_spec *s, struct err *e)
{
	struct proc *p = proc_by_id(s->cgroup_id);

	if (chance(launch_fault_percent / 2))
		return err_set(e, -ENOSPC, "simulated: map full");
	p->watched = p->entry_there = true;
	p->entry = (struct fact_bpf){ .seen = true };
	p->entry.env.attempt = (uint32_t)s->attempt;
	p->entry.env.timeout_ns = (uint64_t)s->timeout_ns;
	snprintf(p->entry.env.request_id, sizeof(p->entry.env.request_id), "%s", s->request_id);
	return 0;
}

static void o_read(struct port_observe *o, uint64_t id, struct fact_bpf *ret)
{
	struct proc *p = proc_by_id(id);

	*ret = p && p->entry_there ? p->entry : (struct fact_bpf){};
}

static void check_forget(const struct proc *p);

static void o_forget(struct port_observe *o, uint64_t id)
{
	struct proc *p = proc_by_id(id);

	if (p && p->entry_there) {
		check_forget(p);
		p->entry_there = false;
	}
}

static void o_mark_reaped(struct port_observe *o, uint64_t id)
{
	struct proc *p = proc_by_id(id);

	if (p)
		p->entry.reaped = true;
}

static int o_walk(struct port_observe *o, struct observe_books *ret, struct err *e)
{
	*ret = (struct observe_books){ .starts = books_starts, .exits = books_exits, .settled = !chance(20) };
	for (size_t i = 0; i < n_procs; i++)
		ret->alive += !procs[i].entry_there ? 0 : (unsigned int)procs[i].leader_alive + procs[i].child_alive;
	return 0;
}

static int o_scan(struct port_observe *o, void (*entry)(void *arg, uint64_t cgroup_id, const struct fact_bpf *b), void *arg,
		  struct err *e)
{
	for (size_t i = 0; i < n_procs; i++)
		if (procs[i].entry_there)
			entry(arg, procs[i].cgroup_id, &procs[i].entry);
	return rebooted ? 0 : 1;
}

static const struct port_observe_ops observe_ops = { PORT_OBSERVE_VERSION, o_watch, o_read, o_forget, o_mark_reaped, o_walk,
						     o_scan };
static struct port_observe the_observe = { &observe_ops };

/* ---- port_deliver ------------------------------------------------------------------------------------------ */

struct sent { int64_t seq; enum outbox_role role; int64_t answer_ns; char key[64]; bool pending; };
static struct sent sends[8192];
static size_t n_sends;
static struct deliver_sink the_deliveries;
static struct strmap acked;	/* key → the send */
static unsigned int refuse_percent;

static int64_t target_dead_until_ns;

static void d_send(struct port_deliver *d, const struct store_op_outbox *row)
{
	if (n_sends == ARRAY_SIZE(sends))
		fail("endless deliveries");
	sends[n_sends] = (struct sent){ row->seq, row->role, now_ns + (int64_t)(rnd() % 3000000000), "", true };
	snprintf(sends[n_sends++].key, sizeof(sends[0].key), "%s", row->key);
	note("  %s is sent, try %d", row->key, row->tries + 1);
}
static const struct port_deliver_ops deliver_ops = { PORT_DELIVER_VERSION, d_send };
static struct port_deliver the_deliver = { &deliver_ops };

static int64_t deliveries_run(void)
{
	int64_t next = INT64_MAX;

	for (size_t i = 0; i < n_sends; i++) {
		struct sent *s = &sends[i];

		if (!s->pending)
			continue;
		if (now_ns < s->answer_ns) {
			next = MIN(next, s->answer_ns);
			continue;
		}
		s->pending = false;
		note("  %s answers", s->key);
		if (now_ns < target_dead_until_ns || chance(30)) {
			the_deliveries.delivered(the_deliveries.self, s->seq, s->role, DELIVERED_RETRY, "simulated: try again");
		} else if (chance(refuse_percent)) {
			the_deliveries.delivered(the_deliveries.self, s->seq, s->role, DELIVERED_NEVER, "simulated: refused");
		} else {
			strmap_put(&acked, s->key, s);
			the_deliveries.delivered(the_deliveries.self, s->seq, s->role, DELIVERED_ACK, NULL);
		}
	}
	return next;
}

/* ---- the world --------------------------------------------------------------------------------------------- */

struct client {
	char request_id[ID_UUID_LEN + 1], origin[ID_UUID_LEN + 1];
	char function[LIM_FUNCTION_NAME_MAX + 1];
	bool accepted, refused, ended, cancelled, foreign;
	int version;			/* -1: an alias chose it */
	int timeout_ms;
	int64_t asked_ns, ended_ns;
};
static struct client clients[EVENTS_MAX];
static size_t n_clients;
static struct port_store *the_store;
static struct engine *the_engine;
static struct func *funcs[32];
static size_t n_funcs;
static int64_t sync_asked, sync_answered, crashes, foreign_claims, adopted, stale;
static bool wall_was_set, was_rebooted, meddled, was_claimed, was_undefined;
static struct strmap dropped;	/* keys of deliveries that an operator gave up */
static struct engine_config the_config;
static unsigned int flood_percent;	/* of the calls go to one function */
static size_t flooded;

static struct blob *source_of(const struct func *f, const char *on_success, const char *on_failure, const char *dlq,
			      const char *description)
{
	char *text = xasprintf("{\"FunctionName\":\"%s\",\"Description\":\"x%s\",\"Command\":[\"/bin/simulated\"],\"Timeout\":3,"
			       "\"EventInvokeConfig\":{\"MaximumRetryAttempts\":%d,\"MaximumEventAgeInSeconds\":%d,"
			       "\"DestinationConfig\":{\"OnSuccess\":{\"Destination\":\"%s\"},"
			       "\"OnFailure\":{\"Destination\":\"%s\"}}},"
			       "\"DeadLetterConfig\":{\"TargetArn\":\"%s\"},\"RetryDelaysInSeconds\":[%.3f]}", f->name, description,
			       f->retries_max, f->event_age_max_s, on_success ? on_success : "", on_failure ? on_failure : "",
			       dlq ? dlq : "", (double)f->retry_delays_ms[0] / 1000);
	struct blob *b = blob_new(text, strlen(text));

	free(text);
	return b;
}

static struct func *func_make(const char *name, const char *on_success, const char *on_failure, const char *dlq)
{
	struct func *f = func_new();
	struct err e = {};

	snprintf(f->name, sizeof(f->name), "%s", name);
	f->command = xcalloc(2, sizeof(char *));
	f->command[0] = xstrdup("/bin/simulated");
	f->timeout_ms = 3000;
	f->retries_max = (int)(rnd() % 3);
	f->event_age_max_s = chance(20) ? 90 : 21600;
	if (chance(50)) {
		f->retry_delays_ms[0] = (int64_t)(rnd() % 5000);
		f->n_retry_delays = 1;
	}
	if ((on_success && target_parse(on_success, &f->on_success, &e) < 0) ||
	    (on_failure && target_parse(on_failure, &f->on_failure, &e) < 0) || (dlq && target_parse(dlq, &f->dead_letter, &e) < 0))
		fail("target: %s", err_msg(&e));
	f->source = source_of(f, on_success, on_failure, dlq, "");
	funcs[n_funcs++] = f;
	return f;
}

/* The function's definition is changed: in its description, so that the next publishing makes a new version. */
static void redefine(struct func **f)
{
	struct func_problems problems = {};
	struct func *changed = NULL;
	char *text = xstrndup((*f)->source->data, (*f)->source->len), *at = strstr(text, "\"Description\":\"");

	at += strlen("\"Description\":\"");
	*at = (char)('a' + rnd() % 26);
	if (func_parse(text, strlen(text), &changed, &problems) < 0)
		fail("definition: %s: %s", problems.list[0].path, problems.list[0].reason);
	func_unref(*f);
	*f = changed;
	free(text);
}

static void funcs_make(void)
{
	struct func *f;

	n_funcs = 0;
	func_make("ok", "queue:done", "queue:failed", NULL);
	func_make("three", "queue:done", "queue:failed", "queue:dead");
	func_make("segv", NULL, "file:/simulated/failed.jsonl", NULL);
	func_make("oom", NULL, "chained", NULL);
	func_make("report", "queue:done", "function:chained", "queue:dead");
	func_make("hangs", "queue:done", "chained", NULL);
	f = func_make("graceful", NULL, "queue:failed", NULL);
	f->kill_grace_ms = 700;
	func_make("talks", NULL, "queue:failed", NULL);
	func_make("leaves", "file:/simulated/done.jsonl", "queue:failed", NULL);
	func_make("missing", NULL, "queue:failed", NULL);
	func_make("any", "queue:done", "file:/simulated/failed.jsonl", "queue:dead");
	f = func_make("single", "queue:done", "queue:failed", NULL);
	f->reserved_concurrency = 1;
	f = func_make("zero", "queue:done", "queue:failed", "queue:dead");
	f->reserved_concurrency = 0;
	func_make("waits", "queue:done", "queue:failed", NULL)->leftovers = FUNC_LEFTOVERS_WAIT;
	func_make("warns", "queue:done", "queue:failed", NULL)->leftovers = FUNC_LEFTOVERS_WARN;
	func_make("crowded", "queue:done", "queue:failed", NULL)->event_age_max_s = 90;
	f = func_make("patient", "queue:done", "queue:failed", NULL);
	f->retry[OUTCOME_TIMEOUT] = (struct func_retry){ .given = true, .attempts = 1, .timeout_factor = 2,
							 .timeout_max_ms = 900000 };
	func_make("chained", "queue:chained", "queue:failed", NULL);
	func_make("ping", "function:pong", "queue:failed", NULL);
	func_make("pong", "function:ping", "queue:failed", NULL);
	f = func_make("poison", NULL, "file:/simulated/failed.jsonl", NULL);
	f->retries_max = 5;
	f->poison_after = 2;
}

/* ---- looking into the store -------------------------------------------------------------------------------- */

struct look { bool done; int result; void (*see)(const struct store_result *res, void *arg); void *arg; };

static void look_done(void *arg, const struct store_query *q, const struct store_result *res, int result, const struct err *e)
{
	struct look *l = arg;

	l->done = true;
	l->result = result;
	if (l->see && result >= 0)
		l->see(res, l->arg);
}

static void look(struct store_query q, void (*see)(const struct store_result *res, void *arg), void *arg)
{
	struct look l = { .see = see, .arg = arg };

	q.arg = &l;
	q.done = look_done;
	store_mem_peek(the_store, &q);
	if (!l.done)
		fail("the store did not answer");
}

struct seen { struct inv_row row; bool there; size_t records, attempts; enum inv_condition condition; uint32_t outcomes;
	      int not_its_doing; bool kept; };

static void see_event(const struct store_result *res, void *arg)
{
	struct seen *s = arg;

	s->there = res->n_events == 1;
	if (s->there)
		s->row = res->events[0];
	s->records = res->n_records;
	s->attempts = res->n_attempts;
	for (size_t i = 0; i < res->n_attempts; i++) {
		enum outcome_kind k = res->attempts[i].outcome;

		s->outcomes |= BIT(k);
		s->not_its_doing += k == OUTCOME_INTERRUPTED || (k == OUTCOME_OOM && strcmp(s->row.function, "crowded") == 0);
	}
	s->kept = res->n_outbox;	/* a delivery that failed for good */
	if (res->n_records)
		s->condition = res->records[0].condition;
}

static struct seen look_event(const char *request_id)
{
	struct store_query q = { .kind = STORE_Q_EVENT, .state = -1 };
	struct seen s = {};

	snprintf(q.request_id, sizeof(q.request_id), "%s", request_id);
	look(q, see_event, &s);
	return s;
}

/* What each function can come to: its own end, or our fault. Anything else is a verdict that lies. */
static void check_verdicts(const char *function, const struct seen *s)
{
	static const struct { const char *function; uint32_t can; } truth[] = {
		{ "ok", BIT(OUTCOME_SUCCESS) }, { "three", BIT(OUTCOME_CRASH) }, { "segv", BIT(OUTCOME_SIGNAL) },
		{ "hangs", BIT(OUTCOME_TIMEOUT) }, { "graceful", BIT(OUTCOME_TIMEOUT) }, { "oom", BIT(OUTCOME_OOM) },
		{ "leaves", BIT(OUTCOME_SUCCESS) }, { "single", BIT(OUTCOME_SUCCESS) }, { "zero", 0 },
		{ "waits", BIT(OUTCOME_SUCCESS) }, { "warns", BIT(OUTCOME_SUCCESS) }, { "crowded", BIT(OUTCOME_OOM) },
		{ "patient", BIT(OUTCOME_TIMEOUT) }, { "poison", BIT(OUTCOME_CRASH) }, { "ping", BIT(OUTCOME_SUCCESS) },
	};

	for (size_t i = 0; i < ARRAY_SIZE(truth); i++) {
		uint32_t always = BIT(OUTCOME_INTERRUPTED) | BIT(OUTCOME_HOST) | BIT(OUTCOME_CANCELLED);
		uint32_t lies = s->outcomes & ~(truth[i].can | always);

		if (strcmp(truth[i].function, function) == 0 && lies)
			fail("%s of %s has the verdicts %#x", s->row.request_id, function, s->outcomes);
	}
}

static void check_not_cancelled(const struct proc *p);

static struct client *client_of(const char *request_id)
{
	for (size_t i = 0; i < n_clients; i++)
		if (strcmp(clients[i].request_id, request_id) == 0)
			return &clients[i];
	return NULL;
}

static bool is_foreign(const char *request_id)
{
	const struct client *c = client_of(request_id);

	return c && c->foreign;
}

/* What could have gone on is not killed. */
static void check_reap(const struct proc *p)
{
	struct seen s;

	if (!p->kept || !p->started || !p->entry_there || p->entry.reaped || rebooted || !observing)
		return;
	s = look_event(p->request_id);
	if (s.there && s.row.state == INV_RUNNING && s.row.starts == p->attempt)
		fail("%s attempt %d could have been adopted", p->request_id, p->attempt);
}

/* I2, and no two attempts of one event at a time. */
static void check_start(const struct proc *p)
{
	struct seen s = look_event(p->request_id);

	check_not_cancelled(p);
	for (size_t i = 0; i < n_procs; i++)
		if (&procs[i] != p && procs[i].started && (procs[i].leader_alive || procs[i].child_alive) &&
		    strcmp(procs[i].request_id, p->request_id) == 0)
			fail("two attempts of %s overlap", p->request_id);
	if (!s.there || is_foreign(p->request_id))
		return;		/* a synchronous one; or somebody else's, who is killed when it is known */
	if (s.row.version != p->version)
		fail("%s was accepted for version %d and runs as %d", p->request_id, s.row.version, p->version);
	if (s.row.lease_until_ms < engine_steady_ms(the_engine) + p->timeout_ms)
		fail("%s may run for %" PRId64 " ms, and its lease ends before", p->request_id, p->timeout_ms);
	if (s.row.state != INV_RUNNING || s.row.starts != p->attempt)
		fail("I2: %s starts attempt %d, the row says %s %d", p->request_id, p->attempt, inv_state_name(s.row.state),
		     s.row.starts);
}

static void check_forget(const struct proc *p)
{
	struct seen s = look_event(p->request_id);

	if (s.there && s.row.state == INV_RUNNING && s.row.starts == p->attempt)
		fail("the entry of %s attempt %d is forgotten before its outcome is durable", p->request_id, p->attempt);
}

/* What could still be judged from it. */
static void check_release(const struct proc *p)
{
	struct seen s = look_event(p->request_id);

	if (p->started && s.there && s.row.state == INV_RUNNING && s.row.starts == p->attempt)
		fail("the leaf of %s attempt %d is given up before its outcome is durable", p->request_id, p->attempt);
}

static void check_not_cancelled(const struct proc *p)
{
	for (size_t i = 0; i < n_clients; i++)
		if (clients[i].cancelled && strcmp(clients[i].request_id, p->request_id) == 0)
			fail("%s starts once more after it was cancelled", p->request_id);
}

/* ---- clients ----------------------------------------------------------------------------------------------- */

static void on_accept(void *arg, const struct intake_reply *r)
{
	struct client *c = arg;

	if (r->status == 202) {
		struct seen s = look_event(c->request_id);

		if (!s.there)
			fail("I1: 202 for %s, and no row", c->request_id);
		c->accepted = true;
		note("%s (%s) accepted", c->request_id, c->function);
	} else {
		c->refused = true;
	}
}

static void on_sync(void *arg, const struct intake_reply *r)
{
	sync_answered++;
	if (r->status == 200 && (!r->outcome || r->outcome->kind == OUTCOME_INVALID))
		fail("a sync answer without an outcome");
}

static void on_ended(void *arg, const struct intake_reply *r)
{
	struct client *c = arg;
	struct seen s;

	if (r->status != 200)
		return;
	s = look_event(c->request_id);
	if (s.records != 1)
		fail("the end of %s is told with %zu records stored", c->request_id, s.records);
	c->ended = true;
	c->ended_ns = now_ns;
}

static void on_answer(void *arg, const struct intake_reply *r)
{
	struct client *c = arg;

	if (c && r->status == 202) {
		struct seen s = look_event(c->request_id);

		if (s.row.condition != COND_CANCELLED && s.row.condition != COND_SUCCESS)
			fail("202 for the cancel of %s, and its row does not know", c->request_id);
		c->cancelled = true;
		note("%s cancelled", c->request_id);
	}
	if (r->status != 200 && r->status != 202 && r->status != 404 && r->status != 409 && r->status != 503)
		fail("cancel or retry answers %d", r->status);
}

/* Somebody is impatient, or has thought better of it. */
static void client_meddle(void)
{
	struct client *c = n_clients ? &clients[rnd() % n_clients] : NULL;

	meddled = true;
	if (c && chance(50))
		intake_cancel(the_engine, c->request_id, on_answer, c);
	else if (c)
		intake_retry(the_engine, c->request_id, on_answer, NULL);
}

/* ---- operators ---------------------------------------------------------------------------------------------- */

static void on_wish(void *arg, const struct intake_reply *r)
{
	if (r->status < 200 || (r->status >= 300 && r->status != 404 && r->status != 409 && r->status != 503))
		fail("a wish is answered with %d %s", r->status, r->error_message ? r->error_message : "");
}

/* Failed for good, or still owed: in memory, on disk, or on its way to the target at this moment. */
static void see_deliveries(const struct store_result *res, void *arg)
{
	const struct store_op_outbox *row = res->n_outbox ? &res->outbox[rnd() % res->n_outbox] : NULL;

	if (!row)
		return;
	if (chance(70))
		intake_delivery(the_engine, DELIVERY_RETRY_NOW, row, on_wish, NULL);
	else if (intake_delivery(the_engine, DELIVERY_DROP, row, on_wish, NULL) && !strmap_get(&dropped, row->key)) {
		char *key = xstrdup(row->key);	/* perhaps: a crash may come first, or take the answer with it */

		strmap_put(&dropped, key, key);
	}
}

/* Files are taken away and put back, as deploys do it: of what runs, waits or ends meanwhile there is no definition. */
static void redefine_some(unsigned int percent)
{
	struct func *some[ARRAY_SIZE(funcs)];
	size_t n = 0;

	for (size_t i = 0; i < n_funcs; i++)
		if (chance(percent))
			some[n++] = funcs[i];
	was_undefined |= n < n_funcs;
	registry_swap(intake_registry(the_engine), &(struct registry_set){ .functions = some, .n_functions = n });
	engine_functions_changed(the_engine);
	note("%zu of %zu functions are defined", n, n_funcs);
}

static const char *const published[] = { "ok", "three", "any", "segv" };

static void publish(void)
{
	const char *name = published[rnd() % ARRAY_SIZE(published)];
	struct func *const *versions;
	size_t n = registry_versions(intake_registry(the_engine), name, &versions);
	struct alias *a;

	if (chance(40)) {
		for (size_t i = 0; i < n_funcs; i++)
			if (strcmp(funcs[i]->name, name) == 0)
				redefine(&funcs[i]);
		registry_swap(intake_registry(the_engine), &(struct registry_set){ .functions = funcs, .n_functions = n_funcs });
		engine_functions_changed(the_engine);
	}
	intake_publish(the_engine, name, NULL, on_wish, NULL);
	if (!n)
		return;
	a = alias_new();
	snprintf(a->function, sizeof(a->function), "%s", name);
	snprintf(a->name, sizeof(a->name), "live");
	a->version = versions[0]->version;
	if (n > 1) {
		a->other = versions[n - 1]->version;
		a->other_weight = 0.5;
	}
	intake_alias_set(the_engine, a, registry_alias(intake_registry(the_engine), name, "live"), on_wish, NULL);
	if (chance(10))
		intake_alias_delete(the_engine, name, "live", on_wish, NULL);
	alias_unref(a);
}

static void on_accept(void *arg, const struct intake_reply *r);

/* An event that has ended is sent once more, with more time. */
static void redrive(void)
{
	struct client *old = n_clients ? &clients[rnd() % n_clients] : NULL, *c;
	struct intake_redrive r = { .timeout_ms = chance(50) ? 5000 : 0 };

	if (!old || n_clients == EVENTS_MAX || look_event(old->request_id).row.state != INV_DONE)
		return;
	c = &clients[n_clients++];
	*c = (struct client){ .asked_ns = now_ns, .timeout_ms = r.timeout_ms };
	memcpy(c->function, old->function, sizeof(c->function));
	memcpy(c->origin, old->request_id, sizeof(c->origin));
	snprintf(r.fn.name, sizeof(r.fn.name), "%s", old->function);
	r.origin = old->request_id;
	intake_redrive(the_engine, &r, on_accept, c, c->request_id);
}

static struct store_batch *foreign;	/* given to the store; a crash takes its answer with it */

static void foreign_free(void)
{
	if (!foreign)
		return;
	store_batch_done(foreign);
	free(TAKE(foreign));
}

static void foreign_done(struct store_batch *b, int result, const struct err *e)
{
	struct client *c = b->arg;

	assert(b == foreign);
	if (result == 0) {
		c->foreign = true;
		foreign_claims++;
		was_claimed = true;
		note("%s is claimed by somebody else", c->request_id);
	}
	foreign_free();
}

/* Somebody who should not be there claims an event: what we write of it from then on is refused. */
static void claim_foreign(void)
{
	struct client *c = n_clients ? &clients[rnd() % n_clients] : NULL;
	struct store_batch *b;
	struct store_op *op;
	struct seen s;

	if (!c || foreign)
		return;
	s = look_event(c->request_id);
	if (!s.there || s.row.state > INV_WAITING || s.row.condition == COND_CANCELLED)
		return;
	foreign = b = XNEW(struct store_batch);
	b->arg = c;
	b->done = foreign_done;
	op = store_batch_add(b, STORE_OP_EVENT_SET);
	op->event.row = s.row;
	op->event.epoch_was = s.row.epoch;
	op->event.row.epoch++;
	op->event.row.starts++;
	op->event.row.attempts++;
	op->event.row.due_at_ms = 0;
	op->event.row.state = INV_RUNNING;
	op = store_batch_add(b, STORE_OP_ATTEMPT_PUT);
	op->attempt.seq = s.row.seq;
	op->attempt.start = s.row.starts + 1;
	the_store->ops->apply(the_store, b);
}

static void operate(void)
{
	switch (rnd() % 4) {
	case 0:
		look((struct store_query){ .kind = STORE_Q_OUTBOX, .state = (int)(rnd() % 3) - 1, .limit = 20 }, see_deliveries,
		     NULL);
		break;
	case 1:
		publish();
		break;
	case 2:
		redrive();
		break;
	case 3:
		wall_step_ms = (int64_t)(rnd() % 5 - 2) * 86400000;	/* two days back to two days forward */
		wall_was_set = true;
		break;
	}
}

static void turn(void)
{
	engine_turn(the_engine);
	if (!engine_pending(the_engine) && engine_next_steady_ms(the_engine) <= engine_steady_ms(the_engine))
		fail("the loop would not sleep, and has nothing to do");
}

static void check_law(void)
{
	struct engine_law law;

	engine_audit(the_engine);
	engine_law(the_engine, &law);
	if (!law.events_hold)
		fail("the law: %" PRId64 " accepted, %" PRId64 " queued, %" PRId64 " running, %" PRId64 " settled, "
		     "%" PRId64 " dead, %" PRId64 " lost", law.accepted, law.queued, law.running, law.settled, law.dead_lettered,
		     law.lost);
	if (!law.processes_hold)
		fail("the law: %" PRId64 " starts, %" PRId64 " exits, %" PRId64 " alive", law.starts, law.exits, law.alive);
}

static void choose_version(struct client *c, struct arn_function *fn)
{
	struct func *const *versions;
	size_t n = registry_versions(intake_registry(the_engine), fn->name, &versions);

	if (!n || chance(50))
		return;
	c->version = versions[rnd() % n]->version;
	snprintf(fn->qualifier, sizeof(fn->qualifier), "%d", c->version);
	if (chance(50) && registry_alias(intake_registry(the_engine), fn->name, "live")) {
		c->version = -1;
		snprintf(fn->qualifier, sizeof(fn->qualifier), "live");
	}
}

static void client_call(void)
{
	struct arn_function fn = {};
	CLEAN(blob_unrefp) struct blob *payload = blob_new("{\"n\":1}", 7);

	snprintf(fn.name, sizeof(fn.name), "%s", funcs[chance(flood_percent) ? flooded : rnd() % n_funcs]->name);
	if (chance(15)) {
		sync_asked++;
		intake_invoke(the_engine, INTAKE_SYNC, &fn, payload, on_sync, NULL, NULL);
	} else if (n_clients < EVENTS_MAX) {
		struct client *c = &clients[n_clients++];

		*c = (struct client){ .asked_ns = now_ns };
		snprintf(c->function, sizeof(c->function), "%s", fn.name);
		choose_version(c, &fn);
		intake_invoke(the_engine, INTAKE_ASYNC, &fn, payload, on_accept, c, c->request_id);
		if (chance(20))
			intake_wait(the_engine, c->request_id, on_ended, c);
	}
}

/* ---- daemons ----------------------------------------------------------------------------------------------- */

static void daemon_start(void)
{
	struct engine_ports ports = {
		.clock = &the_clock, .store = the_store, .launch = &the_launch, .observe = observing ? &the_observe : NULL,
		.deliver = &the_deliver,
	};
	struct err e = {};
	struct engine_stats st;

	generation++;
	the_engine = engine_new(&ports, &the_config);
	the_facts = intake_facts(the_engine);
	the_deliveries = intake_deliveries(the_engine);
	registry_swap(intake_registry(the_engine), &(struct registry_set){ .functions = funcs, .n_functions = n_funcs });
	if (engine_start(the_engine, &e) < 0)
		fail("start: %s", err_msg(&e));
	engine_stats(the_engine, &st);
	adopted += st.adopted;
	/* Until the new boot's anchor is stored, every start is the first one. */
	if (rebooted && !st.rebooted && (st.queued || st.waiting || st.routing || st.recovered_running))
		fail("a reboot is not recognised");
	rebooted = false;
}

/* Before it goes: what it knows goes with it. */
static void daemon_last_words(void)
{
	struct engine_stats st;

	engine_stats(the_engine, &st);
	stale += st.stale;
	if (st.in_memory > the_config.window_max + (int64_t)n_funcs * (the_config.window_min + 1) + the_config.concurrency_max +
			   the_config.page_max + 200)
		fail("%" PRId64 " events are held in memory", st.in_memory);
}

/* systemctl restart: what runs is left running. */
static void daemon_restart(void)
{
	int steps = 0;

	note("==== restart");
	crashes++;
	engine_drain(the_engine);
	for (;;) {
		turn();
		if (engine_leave(the_engine))
			break;
		if (++steps > 10000)
			fail("it does not come to leave");
		(void)store_mem_run(the_store);
		now_ns += 1000000;
		(void)kernel_run();
		(void)kernel_tell();
		(void)deliveries_run();
	}
	while (store_mem_run(the_store))
		;	/* what operators asked of it */
	daemon_last_words();
	generation++;
	for (size_t i = 0; i < n_sends; i++)
		sends[i].pending = false;
	engine_free(the_engine);
	sync_asked = sync_answered = 0;
	daemon_start();
}

static void reboot(void)
{
	static int boots;

	for (size_t i = 0; i < n_procs; i++) {
		proc_kill(&procs[i]);
		procs[i].entry_there = false;
		procs[i].released = true;
	}
	books_starts = books_exits = 0;
	booted_ms = now_ns / NS_PER_MS;
	snprintf(the_clock.boot_id, sizeof(the_clock.boot_id), "boot %d", ++boots);
	rebooted = was_rebooted = true;
	note("==== reboot");
}

static void daemon_crash(void)
{
	note("==== crash");
	crashes++;
	generation++;		/* nobody is told anything any more */
	daemon_last_words();
	store_mem_crash(the_store);
	foreign_free();
	if (chance(5))
		reboot();
	for (size_t i = 0; i < n_sends; i++)
		sends[i].pending = false;	/* sent or not: nobody will ever know */
	engine_free(the_engine);
	sync_asked = sync_answered = 0;
	daemon_start();
}

/* ---- the end ----------------------------------------------------------------------------------------------- */

struct queue_count { const char *queue; const char *request_id; int n; };

static void see_counts(const struct store_result *res, void *arg)
{
	*(struct store_counts *)arg = res->counts;
}

struct totals { int64_t expected_messages, outbox_left; };

static int most_retries(const struct func *f)
{
	return f->retry[OUTCOME_TIMEOUT].given ? MAX(f->retry[OUTCOME_TIMEOUT].attempts, f->retries_max) : f->retries_max;
}

/* No step of the wall clock ages an event, or holds it up. A boot may: then the wall clock is all there is. */
static void check_times(const struct client *c, const struct func *f, const struct seen *s)
{
	int64_t lived_s = (c->ended_ns - c->asked_ns) / NS_PER_S;

	if (!c->ended || was_rebooted || was_undefined)
		return;
	if (s->condition == COND_AGE_EXCEEDED && lived_s < f->event_age_max_s - 400)
		fail("%s is said to be too old after %" PRId64 " s of %d", c->request_id, lived_s, f->event_age_max_s);
	if (lived_s > f->event_age_max_s + 3600)
		fail("%s took %" PRId64 " s", c->request_id, lived_s);
}

static void see_chain(const struct store_result *res, void *arg)
{
	int64_t *before = arg;

	*before = res->n_events ? res->events[res->n_events - 1].seq : 0;
	for (size_t i = 0; i < res->n_events; i++) {
		const struct inv_row *row = &res->events[i];

		if (row->hops > LIM_CHAIN + 1)
			fail("a chain has come to %d", row->hops);
		if ((row->hops > LIM_CHAIN) != (row->condition == COND_RECURSIVE) || (row->hops > LIM_CHAIN && row->starts))
			fail("place %d of a chain ended as %s", row->hops, inv_condition_name(row->condition));
	}
}

static void check_chains(void)
{
	int64_t before = 0;

	do
		look((struct store_query){ .kind = STORE_Q_EVENTS, .state = -1, .before_seq = before, .limit = 1000 }, see_chain,
		     &before);
	while (before > 1);
}

static void check_end(void)
{
	struct store_counts counts = {};
	struct engine_stats st;
	int64_t open;

	engine_stats(the_engine, &st);
	look((struct store_query){ .kind = STORE_Q_COUNTS }, see_counts, &counts);
	open = counts.events[INV_QUEUED] + counts.events[INV_RUNNING] + counts.events[INV_WAITING] + counts.events[INV_ROUTING];
	if (open)
		fail("%" PRId64 " events are still open: %" PRId64 " queued, %" PRId64 " running, %" PRId64 " waiting, %" PRId64
		     " routing; the engine has %" PRId64 ", %" PRId64 ", %" PRId64 ", %" PRId64 " and %" PRId64 " owed, %" PRId64
		     " in memory, draining %d, in doubt %d", open, counts.events[INV_QUEUED], counts.events[INV_RUNNING],
		     counts.events[INV_WAITING], counts.events[INV_ROUTING], st.queued, st.running, st.waiting, st.routing,
		     st.deliveries_owed, st.in_memory, st.draining, st.in_doubt);
	if (st.queued || st.running || st.waiting || st.routing || st.deliveries_owed || st.in_memory || st.in_memory_bytes)
		fail("nothing is left, but the engine counts %" PRId64 " queued, %" PRId64 " running, %" PRId64 " waiting, %" PRId64
		     " routing, %" PRId64 " owed, %" PRId64 " in memory with %" PRId64 " bytes", st.queued, st.running, st.waiting,
		     st.routing, st.deliveries_owed, st.in_memory, st.in_memory_bytes);
	if (!was_claimed && st.stale)
		fail("rows are said to be somebody else's, and there is nobody: %s", st.refused_why);
	if (counts.records != counts.events[INV_DONE])
		fail("I7: %" PRId64 " events ended, %" PRId64 " records", counts.events[INV_DONE], counts.records);
	if (counts.outbox)
		fail("I4: %" PRId64 " deliveries are still owed", counts.outbox);
	for (size_t i = 0; i < n_clients; i++) {
		struct client *c = &clients[i];
		struct seen s = look_event(c->request_id);
		const struct func *f = NULL;
		int starts = 0;
		char key[64];

		for (size_t k = 0; k < n_funcs; k++)
			if (strcmp(funcs[k]->name, c->function) == 0)
				f = funcs[k];
		for (size_t k = 0; k < n_procs; k++)
			starts += procs[k].started && strcmp(procs[k].request_id, c->request_id) == 0;
		if (c->accepted && !s.there)
			fail("accepted %s is lost", c->request_id);
		if (!s.there)
			continue;
		if (s.row.state != INV_DONE || s.records != 1)
			fail("%s ended %s with %zu records", c->request_id, inv_state_name(s.row.state), s.records);
		if (c->foreign)
			continue;	/* attempts of it were nobody's, and their settles refused */
		/* What was not the function's doing may be repeated; after MaximumRetryAttempts 0 nothing may. */
		if (starts - (f->retries_max ? s.not_its_doing : 0) > 1 + most_retries(f))
			fail("%s of %s ran %d times, %d of them cut short, with %d retries", c->request_id, c->function, starts,
			     s.not_its_doing, most_retries(f));
		if (!was_undefined)
			check_verdicts(c->function, &s);
		if (c->cancelled && s.condition != COND_CANCELLED && s.condition != COND_SUCCESS)
			fail("%s was cancelled and ended as %s", c->request_id, inv_condition_name(s.condition));
		if (s.row.attempts + s.not_its_doing < starts)
			fail("I5: %s started %d times and counts %d attempts, %d cut short", c->request_id, starts, s.row.attempts,
			     s.not_its_doing);
		if (c->version >= 0 && s.row.version != c->version)
			fail("%s was meant for version %d and was %d", c->request_id, c->version, s.row.version);
		if (strcmp(s.row.origin, c->origin) != 0 || s.row.timeout_ms != c->timeout_ms)
			fail("%s has forgotten what it repeats", c->request_id);
		check_times(c, f, &s);
		if (strcmp(c->function, "poison") == 0 && starts - s.not_its_doing > 2)
			fail("poison %s was run %d times", c->request_id, starts);
		if (strcmp(c->function, "ok") == 0 && s.condition == COND_RETRIES_EXHAUSTED && crashes == 0 && !was_undefined)
			fail("ok failed without a crash");
		if (strcmp(c->function, "three") == 0 && s.condition == COND_SUCCESS)
			fail("three succeeded");
		if (strcmp(c->function, "hangs") == 0 && s.condition == COND_SUCCESS)
			fail("hangs succeeded");
		if (strcmp(c->function, "zero") == 0 && !was_undefined &&
		    ((s.condition != COND_ZERO_CONCURRENCY && s.condition != COND_CANCELLED && s.condition != COND_AGE_EXCEEDED) ||
		     starts))
			fail("zero ran");
		/* Without a definition nobody knows where a failure is to go; what has run goes where it was to when it began. */
		if (was_undefined && s.condition != COND_SUCCESS)
			continue;
		/* I4: what has a target outside was acknowledged at least once, under the one key. */
		snprintf(key, sizeof(key), "%s:%s", c->request_id, s.condition == COND_SUCCESS ? "OnSuccess" : "OnFailure");
		if ((s.condition == COND_SUCCESS ? f->on_success.kind : f->on_failure.kind) == TARGET_FILE &&
		    !strmap_get(&acked, key) && !strmap_get(&dropped, key) && !s.kept)
			fail("%s was never delivered", key);
	}
	if (!crashes && sync_asked != sync_answered)
		fail("%" PRId64 " sync calls, %" PRId64 " answers", sync_asked, sync_answered);
}

/* Every record went to its queue exactly once: messages hold one record per event and role. */
static void see_messages(const struct store_result *res, void *arg)
{
	struct strmap *seen = arg;

	for (size_t i = 0; i < res->n_messages; i++) {
		const struct store_op_message *m = &res->messages[i];
		const char *ctx, *id;
		size_t n, n_id;
		char *key;

		if (strcmp(m->queue, "dead") == 0)
			continue;
		if (!json_valid(m->body->data, m->body->len, NULL) ||
		    !json_member(m->body->data, m->body->len, "requestContext", &ctx, &n) ||
		    !json_member(ctx, n, "requestId", &id, &n_id))
			fail("a message that is no record: %s", m->body->data);
		key = xasprintf("%s %.*s", m->queue, (int)n_id, id);
		if (strmap_put(seen, key, key))
			fail("I7: two messages for %s", key);
	}
}

static void check_queues(void)
{
	static const char *const queues[] = { "done", "failed", "chained" };
	struct strmap seen = {};

	for (size_t i = 0; i < ARRAY_SIZE(queues); i++) {
		struct store_query q = { .kind = STORE_Q_RECEIVE, .limit = 1000, .visibility_ms = 1000000000, .random = rnd() };

		q.now_ms = sim_wall(NULL);
		snprintf(q.queue, sizeof(q.queue), "%s", queues[i]);
		look(q, see_messages, &seen);
	}
	for (size_t i = 0; i < seen.cap; i++)
		free(seen.slots[i].value);
	strmap_done(&seen);
}

/* ---- one run ----------------------------------------------------------------------------------------------- */

static void run_seed(uint64_t seed)
{
	unsigned int crash_permille, store_fault_percent, meddle_percent, operate_percent, foreign_permille, undefine_permille;
	bool calm = false;
	int steps;

	the_seed = seed;
	rng = seed * 0x9e3779b97f4a7c15ULL + 1;
	for (int i = 0; i < 8; i++)
		rnd();
	now_ns = 1000 * NS_PER_S;
	n_procs = n_sends = n_clients = 0;
	crashes = sync_asked = sync_answered = 0;
	books_starts = books_exits = 0;
	wall_step_ms = booted_ms = target_dead_until_ns = 0;
	foreign_claims = 0;
	rebooted = was_rebooted = wall_was_set = meddled = was_claimed = was_undefined = false;
	snprintf(the_clock.boot_id, sizeof(the_clock.boot_id), "boot");
	memset(clients, 0, sizeof(clients));
	observing = !chance(15);
	launch_fault_percent = chance(30) ? 10 : 0;
	store_fault_percent = chance(30) ? 5 : 0;
	meddle_percent = chance(30) ? 2 : 0;
	operate_percent = chance(40) ? 2 : 0;
	foreign_permille = chance(15) ? 5 : 0;
	refuse_percent = chance(30) ? 20 : 0;
	undefine_permille = chance(20) ? 1 + (unsigned int)(rnd() % 20) : 0;
	keep_percent = chance(60) ? 90 : 0;
	flood_percent = chance(50) ? 70 : 0;
	the_config = (struct engine_config){
		.region = "us-east-1", .concurrency_max = 4, .queue_max = 1000, .inbox_max = 64, .record_fate = true,
		.window_max = 1 + (int)(rnd() % 24), .window_bytes = chance(30) ? 4000 : 1 << 20,
		.window_min = 1 + (int)(rnd() % 3),
		.page_max = 1 + (int)(rnd() % 8), .target_window = 1 + (int)(rnd() % 4), .lease_ms = chance(80) ? 2400000 : 100,
	};
	crash_permille = chance(60) ? 1 + (unsigned int)(rnd() % 10) : 0;
	funcs_make();
	flooded = rnd() % n_funcs;
	the_store = store_mem_new();
	daemon_start();

	for (steps = 0; steps < STEPS_MAX; steps++) {
		int64_t next, t;

		if (!calm && n_clients >= EVENTS_MAX && rnd() % 400 == 0) {
			calm = true;
			redefine_some(100);
		}
		if (!calm && rnd() % 1000 < undefine_permille)
			redefine_some(chance(50) ? 60 : 100);
		if (!calm && chance(10) && n_clients < EVENTS_MAX)
			client_call();
		if (!calm && chance(meddle_percent))
			client_meddle();
		if (!calm && chance(operate_percent))
			operate();
		if (!calm && rnd() % 1000 < foreign_permille)
			claim_foreign();
		if (!calm && rnd() % 2000 == 0)
			target_dead_until_ns = now_ns + (int64_t)(rnd() % 600) * NS_PER_S;
		if (chance(5))
			check_law();
		if (!calm && rnd() % 1000 < crash_permille)
			chance(30) ? daemon_restart() : daemon_crash();
		if (!calm && chance(store_fault_percent))
			store_mem_fail_next(the_store, 1 + (int)(rnd() % 3), chance(50) ? -EIO : -ENOSPC);
		if (!calm && chance(store_fault_percent))
			store_mem_fail_next_query(the_store, 1 + (int)(rnd() % 3), -EIO);
		next = kernel_run();
		t = kernel_tell();
		next = MIN(next, t);
		t = deliveries_run();
		next = MIN(next, t);
		if (chance(70)) {
			turn();
			if (!calm && rnd() % 1000 < crash_permille)
				daemon_crash();
		}
		if (chance(60) && store_mem_run(the_store))
			continue;
		if (engine_pending(the_engine))
			continue;
		t = kernel_run();	/* what the turn has just started */
		next = MIN(next, t);
		t = engine_next_mono_ns(the_engine);
		next = MIN(next, t);
		t = engine_next_steady_ms(the_engine);
		if (t != INT64_MAX)
			next = MIN(next, now_ns + MAX(t - engine_steady_ms(the_engine), 0) * NS_PER_MS);
		if (next == INT64_MAX) {
			if (store_mem_run(the_store))
				continue;
			if ((calm || n_clients >= EVENTS_MAX) && foreign_claims) {
				daemon_crash();	/* what somebody else claimed and never settled is taken over */
				foreign_claims = 0;
				continue;
			}
			if (calm || n_clients >= EVENTS_MAX) {
				turn();
				if (engine_quiet(the_engine) && !engine_pending(the_engine) && !store_mem_run(the_store))
					break;
				continue;
			}
			next = now_ns + 1000000;
		}
		if (store_mem_pending(the_store))
			next = MIN(next, now_ns + (int64_t)(rnd() % 20000000));	/* a disk is slow, not dead */
		if (!calm && n_clients < EVENTS_MAX)
			next = MIN(next, now_ns + (int64_t)(rnd() % 200000000));
		now_ns = MAX(now_ns, next);
	}
	if (steps == STEPS_MAX)
		fail("it does not come to rest");
	daemon_last_words();
	check_end();
	check_chains();
	check_queues();

	engine_free(the_engine);
	the_store->ops->close(the_store);
	for (size_t i = 0; i < n_funcs; i++)
		func_unref(funcs[i]);
	strmap_done(&acked);
	for (size_t i = 0; i < dropped.cap; i++)
		free(dropped.slots[i].value);
	strmap_done(&dropped);
}

/* ---- many runs ---------------------------------------------------------------------------------------------- */

struct sums { int64_t crashes, adopted, stale; };

static void run_seeds(uint64_t first, uint64_t step, uint64_t end, struct sums *ret)
{
	*ret = (struct sums){};
	for (uint64_t s = first; s < end; s += step) {
		run_seed(s);
		ret->crashes += crashes;
	}
	ret->adopted = adopted;
	ret->stale = stale;
}

/* A process for each processor: the runs share nothing. True when all went well. */
static bool run_jobs(uint64_t first, uint64_t end, unsigned int jobs, struct sums *ret)
{
	bool ok = true;
	int fds[2], status;

	if (pipe(fds) < 0)
		return false;
	fflush(stdout);
	for (unsigned int k = 0; k < jobs; k++) {
		struct sums part;

		if (fork())
			continue;
		run_seeds(first + k, jobs, end, &part);
		fflush(stdout);
		_exit(write(fds[1], &part, sizeof(part)) == sizeof(part) ? 0 : 1);
	}
	close(fds[1]);
	for (unsigned int k = 0; k < jobs; k++)
		ok &= wait(&status) > 0 && status == 0;
	for (struct sums part; read(fds[0], &part, sizeof(part)) == sizeof(part); ) {
		ret->crashes += part.crashes;
		ret->adopted += part.adopted;
		ret->stale += part.stale;
	}
	close(fds[0]);
	return ok;
}

int main(int argc, char **argv)
{
	uint64_t seeds = 200, first = 1;
	unsigned int jobs = 1;
	struct sums sums = {};
	int64_t started = clock_mono_ns();

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--seeds") == 0 && i + 1 < argc)
			seeds = strtoull(argv[++i], NULL, 10);
		else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
			first = strtoull(argv[++i], NULL, 10), seeds = 1;
		else if (strcmp(argv[i], "--jobs") == 0 && i + 1 < argc)
			jobs = (unsigned int)strtoul(argv[++i], NULL, 10);
		else if (strcmp(argv[i], "--verbose") == 0)
			verbose = true;
		else
			return fprintf(stderr, "usage: sim [--seeds N] [--seed S] [--jobs N] [--verbose]\n"), 2;
	}
	if (jobs > 1 && seeds > 1) {
		if (!run_jobs(first, first + seeds, jobs, &sums))
			return 1;
	} else {
		run_seeds(first, 1, first + seeds, &sums);
	}
	printf("# sim: %" PRIu64 " seeds, %" PRId64 " crashes and restarts, %" PRId64 " environments adopted, %" PRId64
	       " stale claims refused, %.1f s\n", seeds, sums.crashes, sums.adopted, sums.stale,
	       (double)(clock_mono_ns() - started) / 1e9);
	printf("ok sim_%" PRIu64 "_seeds\n", seeds);
	return 0;
}
