/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns everything, wires it, and drives the turn:
 *
 *   collect until the loop is quiet or the budget is used → engine_turn → sleep until news or the next due time
 *
 * The engine has two clocks' due times; the loop sleeps until the earlier one, at most WAIT_MAX_US, so that a step of
 * the wall clock is noticed soon. Adapters get the engine's sinks through relays of ours, because they are made before
 * the engine that needs them as ports.
 */
#include "daemon/manager.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cjson/cJSON.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include "api/api.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/mem.h"
#include "cgroup/cg_tree.h"
#include "daemon/definitions.h"
#include "daemon/watch.h"
#include "dest/deliver.h"
#include "engine/engine.h"
#include "fate_abi.h"
#include "launch/launch.h"
#include "net/http_listen.h"
#include "net/http_server.h"
#include "observe/observe.h"
#include "ops/funclog.h"
#include "store/store_sqlite.h"

#define TURN_EVENTS_MAX 256		/* call-backs collected before a turn */
#define WAIT_MAX_US (10 * 1000000ULL)
#define AUDIT_US (5 * 1000000ULL)
#define STOP_KILL_NS (5 * NS_PER_S)	/* after the kill: how long we wait for the leaves to empty */

struct manager {
	const struct config *cfg;
	sd_event *loop;
	struct port_clock clock;
	struct port_store *store;
	struct cg_tree *tree;
	struct launch *launch;
	struct observe *observe;
	struct port_deliver *deliver;
	struct funclog *funclog;
	struct engine *engine;
	struct http_server *http;
	struct api *api;
	struct definitions definitions;
	struct watch *watch;		/* NULL: ReloadOnChange is off */
	size_t n_functions, n_topics, n_buses, n_problems;
	struct deliver_sink deliveries;
	char *socket_path;
	sd_event_source *signals[3];
	int64_t started_ns;
	int64_t stop_at_ns;		/* draining: when to kill; 0 = not stopping */
	bool killed;
	bool doubt_logged;
	sd_event_source *audit;
	int64_t audited_attempts;	/* started when the books were last compared */
	int audits_due;			/* though nothing runs any more */
	bool drift_logged;
};

/* ---- relays ------------------------------------------------------------------------------------------------ */

static int64_t real_mono(void *self) { return clock_mono_ns(); }
static int64_t real_wall(void *self) { return clock_wall_ms(); }
static uint64_t real_random(void *self) { return id_random64(); }

static void relay_fact(void *self, const struct fact *f)
{
	struct fact_sink s = intake_facts(((struct manager *)self)->engine);

	s.fact(s.self, f);
}

static void relay_output(void *self, uint64_t cgroup_id, const char *data, size_t len)
{
	struct fact_sink s = intake_facts(((struct manager *)self)->engine);

	s.output(s.self, cgroup_id, data, len);
}

static void relay_delivered(void *self, int64_t seq, enum outbox_role role, enum delivered how, const char *why)
{
	struct deliver_sink s = intake_deliveries(((struct manager *)self)->engine);

	s.delivered(s.self, seq, role, how, why);
}

/* ---- definitions ------------------------------------------------------------------------------------------- */

static void add_names(cJSON *into, const struct definitions_result *res, enum definitions_change_kind kind)
{
	cJSON *list = cJSON_AddArrayToObject(into, definitions_change_name(kind));

	for (size_t i = 0; i < res->n_changes; i++)
		if (res->changes[i].kind == kind)
			cJSON_AddItemToArray(list, cJSON_CreateString(res->changes[i].name));
}

static void add_problem(cJSON *list, const struct definitions_problem *p)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddStringToObject(o, "file", p->file);
	cJSON_AddStringToObject(o, "path", p->path);
	cJSON_AddStringToObject(o, "reason", p->reason);
	cJSON_AddItemToArray(list, o);
}

/* For functions with RequireLimits. */
static int check_limits(void *arg, const struct func *f, struct err *e)
{
	const struct cg_tree *t = ((struct manager *)arg)->tree;
	const struct { enum cg_controller controller; bool needed; const char *limit; } rows[] = {
		{ CG_MEMORY, f->memory_mb > 0, "MemorySize" },
		{ CG_PIDS, f->pids_max > 0, "PidsMax" },
		{ CG_CPU, f->cpu_percent > 0, "CpuPercent" },
	};
	CLEAN(buf_done) struct buf missing = {};
	const char *why = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (!rows[i].needed || t->controllers & rows[i].controller)
			continue;
		buf_addf(&missing, "%s%s (for %s)", missing.len ? ", " : "", cg_controller_name(rows[i].controller), rows[i].limit);
		if (!why)
			why = cg_tree_why_not(t, rows[i].controller);
	}
	return why ? err_set(e, -EOPNOTSUPP, "this host's control groups lack %s: %s", buf_str(&missing), why) : 0;
}

/* Reads functions.d and swaps the set; what a bad file held before stays. into (may be NULL): what changed. asked: by
 * somebody, who may have changed users and groups, too; else all is as it was when no definition has changed. */
static void reload(struct manager *m, bool asked, cJSON *into)
{
	CLEAN(definitions_result_done) struct definitions_result res = {};
	struct definitions_check check = { .limits = check_limits, .arg = m };
	struct registry_set set;
	cJSON *problems;
	char *summary;

	definitions_load(&m->definitions, m->cfg->functions_dir, &check, &res);
	for (size_t i = 0; i < res.n_problems; i++)
		log_warn("definitions: %s%s%s: %s", res.problems[i].file, res.problems[i].path[0] ? ": " : "", res.problems[i].path,
			 res.problems[i].reason);
	m->n_problems = res.n_problems;
	if (!asked && !res.n_changes)
		return;
	set = (struct registry_set){
		.functions = res.functions, .n_functions = res.n_functions, .topics = res.topics, .n_topics = res.n_topics,
		.buses = res.buses, .n_buses = res.n_buses,
	};
	registry_swap(intake_registry(m->engine), &set);
	engine_functions_changed(m->engine);
	launch_forget_users(m->launch);
	m->n_functions = res.n_functions;
	m->n_topics = res.n_topics;
	m->n_buses = res.n_buses;
	summary = definitions_summary(&res);
	log_note("definitions: %s", summary);
	free(summary);
	if (!into)
		return;
	for (int k = DEFINITIONS_ADDED; k <= DEFINITIONS_KEPT; k++)
		add_names(into, &res, (enum definitions_change_kind)k);
	cJSON_AddNumberToObject(into, "functions", (double)res.n_functions);
	cJSON_AddNumberToObject(into, "topics", (double)res.n_topics);
	cJSON_AddNumberToObject(into, "buses", (double)res.n_buses);
	problems = cJSON_AddArrayToObject(into, "problems");
	for (size_t i = 0; i < res.n_problems; i++)
		add_problem(problems, &res.problems[i]);
}

/* Said once and not as a problem of each file: a directory may be on its way to being replaced. */
static void on_change(void *arg)
{
	struct manager *m = arg;

	if (m->n_functions && access(m->cfg->functions_dir, F_OK) < 0 && errno == ENOENT)
		log_warn("definitions: %s is gone; what it gave stays in force until it is back",
			 m->cfg->functions_dir);
	else
		reload(m, false, NULL);
}

/* ---- what the API asks of us ------------------------------------------------------------------------------- */

static void api_status_members(void *arg, cJSON *into)
{
	struct manager *m = arg;
	cJSON *o;

	cJSON_AddStringToObject(into, "version", FATED_VERSION);
	cJSON_AddNumberToObject(into, "pid", getpid());
	cJSON_AddNumberToObject(into, "uptimeSeconds", (double)(clock_mono_ns() - m->started_ns) / 1e9);
	cJSON_AddNumberToObject(into, "maxConcurrency", m->cfg->concurrency_max);
	o = cJSON_AddObjectToObject(into, "observer");
	if (m->observe)
		observe_status(m->observe, o);
	else
		cJSON_AddStringToObject(o, "mode", "fallback");
	cg_tree_status(m->tree, cJSON_AddObjectToObject(into, "launcher"));
	o = cJSON_AddObjectToObject(into, "store");
	cJSON_AddStringToObject(o, "engine", m->store->ops->name);
	cJSON_AddStringToObject(o, "directory", m->cfg->state_dir);
	o = cJSON_AddObjectToObject(into, "definitions");
	cJSON_AddStringToObject(o, "directory", m->cfg->functions_dir);
	cJSON_AddNumberToObject(o, "functions", (double)m->n_functions);
	cJSON_AddNumberToObject(o, "topics", (double)m->n_topics);
	cJSON_AddNumberToObject(o, "buses", (double)m->n_buses);
	cJSON_AddNumberToObject(o, "problems", (double)m->n_problems);
}

static void api_reload_members(void *arg, cJSON *into)
{
	reload(arg, true, into);
}

static int api_read_log(void *arg, const char *function, struct api_log *log, struct err *e)
{
	struct manager *m = arg;
	struct funclog_part part = { .text = log->text };
	int r;

	_Static_assert(sizeof(part.cursor) <= sizeof(log->next), "a cursor must fit");
	if (log->cursor)
		r = funclog_read_after(m->funclog, function, log->cursor, log->bytes_max, &part, e);
	else
		r = funclog_read_tail(m->funclog, function, log->bytes_max, &part, e);
	log->text = part.text;
	log->lost = part.lost;
	log->more = part.more;
	snprintf(log->next, sizeof(log->next), "%s", part.cursor);
	return r;
}

/* ---- signals ----------------------------------------------------------------------------------------------- */

static int on_stop(sd_event_source *s, const struct signalfd_siginfo *si, void *arg)
{
	struct manager *m = arg;

	if (m->stop_at_ns) {
		log_note("asked to stop again: killing what runs");
		m->stop_at_ns = clock_mono_ns();
		return 0;
	}
	log_note("stopping: no new work; waiting up to %d s for what runs", m->cfg->stop_grace_ms / 1000);
	sd_notify(0, "STOPPING=1");
	m->stop_at_ns = clock_mono_ns() + m->cfg->stop_grace_ms * NS_PER_MS;
	engine_drain(m->engine);
	return 0;
}

static int on_hup(sd_event_source *s, const struct signalfd_siginfo *si, void *arg)
{
	sd_notify(0, "RELOADING=1");
	reload(arg, true, NULL);
	sd_notify(0, "READY=1");
	return 0;
}

/* ---- the law of conservation ------------------------------------------------------------------------------- */

/*
 * While something runs the books are compared now and then, and twice after: only what is seen twice is a drift. That is
 * said once, and once more when it is over.
 */
static void audit(struct manager *m)
{
	struct engine_stats st;
	struct engine_law law;
	bool drift;

	engine_stats(m->engine, &st);
	if (st.environments || st.attempts_started != m->audited_attempts)
		m->audits_due = 2;
	else if (m->audits_due)
		m->audits_due--;
	else if (!m->drift_logged)
		return;
	m->audited_attempts = st.attempts_started;
	engine_audit(m->engine);
	engine_law(m->engine, &law);
	drift = !law.events_hold || !law.processes_hold;
	if (drift == m->drift_logged)
		return;
	m->drift_logged = drift;
	if (!law.events_hold)
		log_error("the books of events do not balance: %lld accepted, but %lld queued, %lld running, %lld settled, %lld dead-lettered",
			  (long long)law.accepted, (long long)law.queued, (long long)law.running, (long long)law.settled,
			  (long long)law.dead_lettered);
	if (!law.processes_hold)
		log_error("the books of processes do not balance: %lld seen to start, %lld to exit, %lld alive: %lld out of sight "
			  "(a function that runs as root can move processes out of its cgroup)", (long long)law.starts,
			  (long long)law.exits, (long long)law.alive, (long long)law.drift);
	if (!drift)
		log_note("the books balance again");
}

static int on_audit(sd_event_source *s, uint64_t usec, void *arg)
{
	audit(arg);
	(void)sd_event_source_set_time_relative(s, AUDIT_US);
	return sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
}

static int make_audit(struct manager *m)
{
	int r = sd_event_add_time_relative(m->loop, &m->audit, CLOCK_MONOTONIC, AUDIT_US, AUDIT_US / 10, on_audit, m);

	return r < 0 ? r : sd_event_source_set_priority(m->audit, SD_EVENT_PRIORITY_NORMAL + 50);
}

/* ---- life -------------------------------------------------------------------------------------------------- */

static int make_dir(const char *path, mode_t mode, struct err *e)
{
	char *copy = xstrdup(path);
	int r = 0;

	for (char *p = copy + 1; r == 0; p++) {
		char c = *p;

		if (c != '/' && c != '\0')
			continue;
		*p = '\0';
		if (mkdir(copy, c ? 0755 : mode) < 0 && errno != EEXIST)
			r = err_errno(e, -errno, "directory %s", copy);
		*p = c;
		if (!c)
			break;
	}
	free(copy);
	return r;
}

static int make_dirs(const struct config *c, struct err *e)
{
	int r = make_dir(c->state_dir, 0700, e);

	if (r == 0)
		r = make_dir(c->run_dir, 0755, e);
	if (r == 0)
		r = make_dir(c->log_dir, 0750, e);
	return r;
}

static int make_world(struct manager *m, const struct fact_sink *sink, struct err *e)
{
	const struct config *c = m->cfg;
	struct cg_tree_config tree = { .path = c->cgroup_root[0] ? c->cgroup_root : NULL };
	struct launch_config launch = {};
	struct observe_config obs = {
		.bpf_dir = c->bpf_dir, .ring_bytes = (uint32_t)c->ring_bytes, .max_environments = (uint32_t)c->environments_max,
	};
	int r;

	r = cg_tree_new(&tree, &m->tree, e);
	if (r < 0)
		return err_wrap(e, r, "cgroup");
	if (m->tree->why[0])
		log_warn("limits that cannot be kept on this host (MemorySize, PidsMax, CpuPercent): %s", m->tree->why);
	obs.root_cgroup_id = m->tree->env_id;
	obs.root_level = (uint32_t)m->tree->env_level;
	if (c->fallback) {
		log_warn("observer: eBPF is switched off (Observer is \"fallback\"): deaths are told by wait status and cgroup files alone");
		if (observe_remove(c->bpf_dir))
			log_warn("observer: the programs of an earlier run were still attached and are removed; what ended since is not told");
	} else {
		r = observe_new(m->loop, &obs, sink, &m->observe, e);
		if (r < 0 && r != -EBUSY)
			log_note("\"Observer\": \"fallback\" in the configuration does without eBPF, and without what only it can tell");
		if (r < 0)
			return r;
	}
	r = launch_new(m->loop, m->tree, &launch, sink, &m->launch, e);
	if (r < 0)
		return err_wrap(e, r, "launcher");
	return 0;
}

static int make_engine(struct manager *m, struct err *e)
{
	const struct config *c = m->cfg;
	struct engine_ports ports = {
		.clock = &m->clock, .store = m->store, .launch = launch_port(m->launch), .observe = m->observe ? observe_port(m->observe) : NULL,
		.deliver = m->deliver, .log = funclog_port(m->funclog),
	};
	struct engine_stats st;
	int r;
	struct engine_config ec = {
		.concurrency_max = c->concurrency_max, .queue_max = c->queue_max, .inbox_max = 4096, .record_fate = c->record_fate,
	};

	snprintf(ec.region, sizeof(ec.region), "%s", c->region);
	m->engine = engine_new(&ports, &ec);
	/* Watched before it is read: nothing is missed in between. */
	if (c->reload_on_change)
		m->watch = watch_new(m->loop, c->functions_dir, definitions_is_file, on_change, m);
	reload(m, true, NULL);
	r = engine_start(m->engine, e);
	engine_stats(m->engine, &st);
	if (r == 0 && (st.queued || st.waiting || st.routing || st.recovered_running))
		log_note("taken up from before: %lld queued, %lld waiting, %lld routing; %lld were running when the daemon ended",
			 (long long)st.queued, (long long)st.waiting, (long long)st.routing, (long long)st.recovered_running);
	return r;
}

static int make_door(struct manager *m, struct err *e)
{
	struct http_server_config hc = { .listen_fd = -EBADF, .priority = SD_EVENT_PRIORITY_NORMAL + 20 };
	struct api_context ac = {
		.engine = m->engine, .store = m->store, .region = m->cfg->region, .clock = &m->clock, .arg = m,
		.status = api_status_members, .reload = api_reload_members, .logs = api_read_log,
	};
	struct http_peers peers = {};
	char *path = xasprintf("%s/%s", m->cfg->run_dir, FATE_SOCKET_NAME);
	int r;

	r = http_peers_resolve(m->cfg->socket_group, &peers, e);
	if (r >= 0)
		r = http_listen_unix(path, &peers, &hc.listen_fd, e);
	if (r < 0) {
		free(path);
		return err_wrap(e, r, "socket");
	}
	m->socket_path = path;
	hc.peers = &peers;
	r = http_server_new(m->loop, &hc, &m->http, e);
	if (r < 0)
		return r;
	return api_new(&ac, m->http, &m->api, e);
}

static int make_signals(struct manager *m)
{
	int r = sd_event_add_signal(m->loop, &m->signals[0], SIGTERM, on_stop, m);

	if (r >= 0)
		r = sd_event_add_signal(m->loop, &m->signals[1], SIGINT, on_stop, m);
	if (r >= 0)
		r = sd_event_add_signal(m->loop, &m->signals[2], SIGHUP, on_hup, m);
	return r;
}

static int make_all(struct manager *m, struct err *e)
{
	struct fact_sink facts = { .self = m, .fact = relay_fact, .output = relay_output };
	struct funclog_config logs = {
		.dir = m->cfg->log_dir, .max_bytes = m->cfg->function_log_bytes, .files = m->cfg->function_log_files,
		.max_age_ms = m->cfg->function_log_max_age_s * 1000ll, .clock = &m->clock,
	};
	char *path;
	int r;

	r = make_dirs(m->cfg, e);
	if (r < 0)
		return r;
	/* The store first: its lock says that no other daemon works on this state. */
	path = xasprintf("%s/fated.db", m->cfg->state_dir);
	r = store_sqlite_open(m->loop, path, &m->store, e);
	free(path);
	if (r < 0)
		return err_wrap(e, r, "store");
	r = make_world(m, &facts, e);
	if (r < 0)
		return r;
	m->deliveries = (struct deliver_sink){ .self = m, .delivered = relay_delivered };
	r = deliver_new(m->loop, &m->deliveries, &m->deliver, e);
	if (r < 0)
		return err_wrap(e, r, "sender");
	r = funclog_new(m->loop, &logs, &m->funclog, e);
	if (r < 0)
		return err_wrap(e, r, "function logs");
	r = make_engine(m, e);
	if (r < 0)
		return r;
	r = make_door(m, e);
	if (r < 0)
		return r;
	r = make_signals(m);
	if (r >= 0)
		r = make_audit(m);
	return r < 0 ? err_errno(e, r, "signals") : 0;
}

int manager_new(const struct config *cfg, sd_event *loop, struct manager **ret, struct err *e)
{
	struct manager *m = XNEW(struct manager);
	int r;

	m->cfg = cfg;
	m->loop = sd_event_ref(loop);
	m->clock = (struct port_clock){ m, real_mono, real_wall, real_random };
	m->started_ns = clock_mono_ns();
	r = make_all(m, e);
	if (r < 0) {
		manager_free(m);
		return r;
	}
	*ret = m;
	return 0;
}

/* Waits for news or the next due time; then everything that is there, up to the budget. */
static int collect(struct manager *m)
{
	int64_t mono = engine_next_mono_ns(m->engine), wall = engine_next_wall_ms(m->engine), left_us = (int64_t)WAIT_MAX_US;
	int r;

	if (engine_pending(m->engine)) {
		left_us = 0;
	} else {
		if (mono != INT64_MAX)
			left_us = MIN(left_us, MAX((mono - clock_mono_ns() + 999) / 1000, (int64_t)0));
		if (wall != INT64_MAX)
			left_us = MIN(left_us, MAX((wall - clock_wall_ms()) * 1000, (int64_t)0));
		if (m->stop_at_ns)
			left_us = MIN(left_us, (int64_t)100000);
	}
	r = sd_event_run(m->loop, (uint64_t)left_us);
	for (int i = 0; r > 0 && i < TURN_EVENTS_MAX; i++)
		r = sd_event_run(m->loop, 0);
	return r;
}

static void say_doubt(struct manager *m)
{
	struct engine_stats st;

	engine_stats(m->engine, &st);
	if (st.in_doubt == m->doubt_logged)
		return;
	m->doubt_logged = st.in_doubt;
	if (st.in_doubt) {
		log_error("the event store is in doubt, no new events are accepted: %s", st.doubt_why);
		sd_notifyf(0, "STATUS=store in doubt: %s", st.doubt_why);
	} else {
		log_note("the event store works again");
		sd_notify(0, "STATUS=running");
	}
}

/* True when the daemon may end. */
static bool stopped(struct manager *m)
{
	int64_t now = clock_mono_ns();

	if (!m->stop_at_ns)
		return false;
	if (engine_quiet(m->engine))
		return true;
	if (now < m->stop_at_ns)
		return false;
	if (!m->killed) {
		m->killed = true;
		m->stop_at_ns = now + STOP_KILL_NS;
		engine_stop(m->engine);
		return false;
	}
	log_warn("stopping with environments that would not die; the next start takes them up");
	return true;
}

int manager_run(struct manager *m)
{
	int r;

	log_note("fated %s is ready: socket %s, functions %s", FATED_VERSION, m->socket_path, m->cfg->functions_dir);
	sd_notify(0, "READY=1\nSTATUS=running");
	for (;;) {
		r = collect(m);
		if (r < 0) {
			log_error("event loop: %s", strerror(-r));
			return r;
		}
		engine_turn(m->engine);
		say_doubt(m);
		if (stopped(m))
			return 0;
	}
}

struct manager *manager_free(struct manager *m)
{
	bool clean;

	if (!m)
		return NULL;
	clean = m->engine && engine_quiet(m->engine);
	for (size_t i = 0; i < ARRAY_SIZE(m->signals); i++)
		sd_event_source_disable_unref(m->signals[i]);
	sd_event_source_disable_unref(m->audit);
	watch_free(m->watch);
	api_free(m->api);
	http_server_free(m->http);
	if (m->socket_path)
		unlink(m->socket_path);
	free(m->socket_path);
	deliver_free(m->deliver);
	if (m->store)
		m->store->ops->close(m->store);
	engine_free(m->engine);
	launch_free(m->launch);
	/* After a clean stop nothing of us stays in the kernel; otherwise the pins hold what the next start needs. A start
	 * that was refused made no leaf: the groups go, unless they hold an earlier daemon's. */
	observe_free(m->observe, clean);
	cg_tree_free(m->tree, clean || !m->engine);
	funclog_free(m->funclog);
	definitions_done(&m->definitions);
	sd_event_unref(m->loop);
	free(m);
	return NULL;
}
