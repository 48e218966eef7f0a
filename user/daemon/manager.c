/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns everything, wires it, and drives the turn:
 *
 *   collect until the loop is quiet or the budget is used → engine_turn → sleep until news or the next due time
 *
 * The engine has two clocks' due times; the loop sleeps until the earlier one, at most WAIT_MAX_US: the steady clock counts
 * a suspend of the host, the loop's own timer does not. Adapters get the engine's sinks through relays of ours, because
 * they are made before the engine that needs them as ports.
 *
 * The end, after SIGTERM (SIGINT and a host without a descriptor store go to DRAINING at once):
 *
 *   RUNNING ─► ASKING ─restart─► LEAVING ─all that was decided is durable─► gone, what runs goes on
 *                 └────stop────► DRAINING ─nothing runs─► gone
 *                                    └─StopGracePeriod─► KILLING ─nothing runs─► gone
 */
#include "daemon/manager.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
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
#include "daemon/notify.h"
#include "daemon/retain.h"
#include "daemon/saved.h"
#include "daemon/unit_job.h"
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
#define STOP_LEAVE_NS (10 * NS_PER_S)	/* leaving: how long we wait for the store */
#define STOP_SPARE_US (10 * 1000000ULL)	/* what else the service manager should wait for us */
#define KEEP_AFTER_MS 200		/* shorter runs are not worth two messages to systemd: after a crash of ours they are run again */
#define BOOT_ID "/proc/sys/kernel/random/boot_id"

enum ending { ENDING_NOT = 0, ENDING_ASKING, ENDING_LEAVING, ENDING_DRAINING, ENDING_KILLING };

struct manager {
	const struct config *cfg;
	sd_event *loop;
	struct port_clock clock;
	struct port_store *store;
	struct cg_tree *tree;
	struct launch *launch;
	struct launch_keeper *keeper;	/* NULL: what runs ends with us */
	struct observe *observe;
	struct port_deliver *deliver;
	struct funclog *funclog;
	struct engine *engine;
	struct http_server *http;
	struct api *api;
	struct definitions definitions;
	char *saved_path;
	bool unsaved;
	struct watch *watch;		/* NULL: ReloadOnChange is off */
	size_t n_functions, n_topics, n_buses, n_problems;
	struct deliver_sink deliveries;
	char *socket_path;
	sd_event_source *signals[3];
	int64_t started_ns;
	enum ending ending;
	int64_t stop_at_ns;		/* of this step of the ending */
	int64_t callers_until_ns;	/* leaving: how long synchronous invocations may still be answered */
	bool left;			/* what runs goes on without us */
	struct unit_job *job;		/* while ENDING_ASKING */
	struct retain *retain;
	struct notify notify;
	int64_t doubt_since_ns;		/* 0 = the store is fine */
	sd_event_source *audit;
	int64_t audited_attempts;	/* started when the books were last compared */
	int audits_due;			/* though nothing runs any more */
	bool drift_logged;
};

/* ---- relays ------------------------------------------------------------------------------------------------ */

static int64_t real_mono(void *self) { return clock_mono_ns(); }
static int64_t real_wall(void *self) { return clock_wall_ms(); }
static uint64_t real_random(void *self) { return id_random64(); }

static int64_t real_boot(void *self)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / NS_PER_MS;
}

/* What retention believes: the wall clock, but not a step forward (the engine takes that over when nothing is open). */
static int64_t sober_now(void *self)
{
	struct manager *m = self;

	return MIN(clock_wall_ms(), engine_steady_ms(m->engine));
}

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

/* For the next start. What cannot be written is tried again with every audit. */
static void save_definitions(struct manager *m)
{
	struct err e = {};
	bool failed = saved_write(m->saved_path, m->cfg->functions_dir, &m->definitions, &e) < 0;

	if (failed && !m->unsaved)
		log_warn("definitions: not kept for the next start, which will do without those whose files are bad then: %s", err_msg(&e));
	else if (!failed && m->unsaved)
		log_note("definitions: kept for the next start again");
	m->unsaved = failed;
}

/* Its file was taken away: what waits for it will end as NoFunction, whatever its destinations were. */
static void say_undefined(void *arg, const char *function, int64_t queued)
{
	const struct manager *m = arg;

	if (!registry_get(intake_registry(m->engine), function))
		log_warn("%lld event%s wait%s for function %s, which is not defined: without a definition they will fail",
			 (long long)queued, queued == 1 ? "" : "s", queued == 1 ? "s" : "", function);
}

/* Reads functions.d and swaps the set; what a bad file held before stays. into (may be NULL): what changed. asked: by
 * somebody, who may have changed users and groups, too; else all is as it was when no definition has changed. */
static void reload(struct manager *m, bool asked, cJSON *into)
{
	CLEAN(definitions_result_done) struct definitions_result res = {};
	struct definitions_check check = {
		.limits = check_limits, .arg = m, .lease_s = m->cfg->lease_s, .concurrency_max = m->cfg->concurrency_max,
	};
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
	engine_backlogs(m->engine, say_undefined, m);
	launch_forget_users(m->launch);
	m->n_functions = res.n_functions;
	m->n_topics = res.n_topics;
	m->n_buses = res.n_buses;
	summary = definitions_summary(&res);
	log_note("definitions: %s", summary);
	free(summary);
	save_definitions(m);
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

/* The first time, with what the daemon before this one had. */
static void load_definitions(struct manager *m)
{
	struct err e = {};

	m->saved_path = xasprintf("%s/" SAVED_FILE, m->cfg->state_dir);
	if (saved_read(m->saved_path, m->cfg->functions_dir, &m->definitions, &e) < 0)
		log_warn("definitions: what was in force before cannot be read: %s", err_msg(&e));
	reload(m, true, NULL);
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
	o = cJSON_AddObjectToObject(into, "launcher");
	cg_tree_status(m->tree, o);
	cJSON_AddBoolToObject(o, "outlivesRestart", m->keeper != NULL);
	cJSON_AddNumberToObject(o, "notKept", (double)launch_keep_failed(m->launch));
	o = cJSON_AddObjectToObject(into, "store");
	cJSON_AddStringToObject(o, "engine", m->store->ops->name);
	cJSON_AddStringToObject(o, "directory", m->cfg->state_dir);
	if (m->doubt_since_ns)
		cJSON_AddNumberToObject(o, "inDoubtSeconds", (double)(clock_mono_ns() - m->doubt_since_ns) / 1e9);
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

static int64_t seconds(int64_t ns)
{
	return (ns + NS_PER_S - 1) / NS_PER_S;
}

static void begin(struct manager *m, enum ending ending, int64_t wait_ns)
{
	m->ending = ending;
	m->stop_at_ns = clock_mono_ns() + wait_ns;
	sd_notifyf(0, "EXTEND_TIMEOUT_USEC=%llu", (unsigned long long)(wait_ns + STOP_KILL_NS) / 1000 + STOP_SPARE_US);
}

static void begin_drain(struct manager *m, const char *why)
{
	int64_t grace_ns = m->cfg->stop_grace_ms * NS_PER_MS;

	log_note("stopping (%s): no new work; waiting up to %lld s for what runs", why, (long long)seconds(grace_ns));
	begin(m, ENDING_DRAINING, grace_ns);
}

static void on_job(void *arg, bool restart, const char *why)
{
	struct manager *m = arg;

	m->job = unit_job_free(m->job);
	if (!restart) {
		begin_drain(m, why);
		return;
	}
	log_note("stopping for a restart (%s): what runs goes on", why);
	m->callers_until_ns = clock_mono_ns() + m->cfg->stop_grace_ms * NS_PER_MS;
	begin(m, ENDING_LEAVING, m->cfg->stop_grace_ms * NS_PER_MS + STOP_LEAVE_NS);
}

static int on_stop(sd_event_source *s, const struct signalfd_siginfo *si, void *arg)
{
	struct manager *m = arg;
	bool asked = false;

	if (m->ending == ENDING_LEAVING && !m->left) {
		log_note("asked to stop again: waiting no longer for who waits for an answer");
		m->callers_until_ns = 0;
		return 0;
	}
	/* Once asked to leave, the engine has let go of what runs: then it is only the store we would not wait for. */
	if (m->ending == ENDING_LEAVING || m->ending == ENDING_KILLING) {
		log_note("asked to stop again: waiting no longer");
		m->stop_at_ns = clock_mono_ns();
		return 0;
	}
	if (m->ending) {
		log_note("asked to stop again: killing what runs");
		m->job = unit_job_free(m->job);
		begin(m, ENDING_DRAINING, 0);
		return 0;
	}
	sd_notify(0, "STOPPING=1");
	engine_drain(m->engine);
	if (si->ssi_signo == SIGTERM && m->keeper && unit_job_possible())
		asked = unit_job_ask(m->loop, on_job, m, &m->job) >= 0;
	if (asked)
		begin(m, ENDING_ASKING, UNIT_JOB_WAIT_MS * NS_PER_MS);
	else
		begin_drain(m, si->ssi_signo == SIGINT ? "SIGINT" : "SIGTERM");
	return 0;
}

static int on_hup(sd_event_source *s, const struct signalfd_siginfo *si, void *arg)
{
	/* Type=notify-reload wants the time, and ignores what comes without. */
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%lld", (long long)clock_mono_ns() / 1000);
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
	struct manager *m = arg;

	audit(m);
	if (m->unsaved)
		save_definitions(m);
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

/* Gives up what an earlier daemon had kept, or the store would hold it for as long as the unit lives. */
static void drop_kept(struct launch_keeper *k, struct launch_kept_list *kept)
{
	for (size_t i = 0; i < kept->n; i++)
		(void)k->remove(k->self, kept->v[i].name);
	launch_kept_done(kept);
}

/* Without the kernel half nobody would see how what was left running ends: then it is not left. */
static void make_keeper(struct manager *m, struct launch_kept_list *kept)
{
	bool wanted = m->cfg->keep_running && m->observe;
	struct err e = {};

	if (!launch_keep_available()) {
		if (wanted && m->notify.on)
			log_note("KeepRunning: the unit has no file descriptor store (fated.service: FileDescriptorStoreMax=, FATED_FDSTORE=1); "
				 "a restart ends what runs, and it is run again");
		return;
	}
	if (launch_keep_new(&m->keeper, &e) < 0) {
		log_warn("KeepRunning: a restart will end what runs: %s", err_msg(&e));
		return;
	}
	if (wanted)
		return;
	drop_kept(m->keeper, kept);
	m->keeper = launch_keep_free(m->keeper);
}

static int make_world(struct manager *m, struct launch_kept_list *kept, const struct fact_sink *sink, struct err *e)
{
	const struct config *c = m->cfg;
	struct cg_tree_config tree = { .path = c->cgroup_root[0] ? c->cgroup_root : NULL };
	struct launch_config launch = { .kept = kept, .keep_after_ms = KEEP_AFTER_MS };
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
	make_keeper(m, kept);
	launch.keeper = m->keeper;
	r = launch_new(m->loop, m->tree, &launch, sink, &m->launch, e);
	if (r < 0)
		return err_wrap(e, r, "launcher");
	return 0;
}

static void say_recovered(const struct manager *m)
{
	struct engine_stats st;
	long long lost;

	engine_stats(m->engine, &st);
	if (st.rebooted)
		log_note("the host was rebooted since the daemon before this one");
	if (st.queued || st.waiting || st.routing)
		log_note("taken up from before: %lld queued, %lld waiting, %lld to be delivered", (long long)st.queued,
			 (long long)st.waiting, (long long)st.routing);
	engine_backlogs(m->engine, say_undefined, (void *)m);
	if (!st.recovered_running)
		return;
	lost = (long long)(st.recovered_running - st.adopted);
	if (!lost)
		log_note("adopted %lld running function%s", (long long)st.adopted, st.adopted == 1 ? "" : "s");
	else
		log_note("adopted %lld running function%s, %lld could not be (%s); their records say why", (long long)st.adopted,
			 st.adopted == 1 ? "" : "s", lost, st.rebooted ? "the host was rebooted" :
			 m->keeper ? "their descriptors are not there any more" : "no file descriptor store");
}

static int make_engine(struct manager *m, struct err *e)
{
	const struct config *c = m->cfg;
	struct engine_ports ports = {
		.clock = &m->clock, .store = m->store, .launch = launch_port(m->launch), .observe = m->observe ? observe_port(m->observe) : NULL,
		.deliver = m->deliver, .log = funclog_port(m->funclog),
	};
	struct engine_config ec = {
		.concurrency_max = c->concurrency_max, .queue_max = c->queue_max, .inbox_max = 4096, .record_fate = c->record_fate,
		.window_max = c->window_max, .window_bytes = c->window_bytes, .lease_ms = c->lease_s * 1000ll,
	};
	struct retain_config rc = {
		.age_ms = c->retain_s * 1000ll, .bytes_max = c->retain_bytes, .now_ms = sober_now, .arg = m,
	};
	int r;

	snprintf(ec.region, sizeof(ec.region), "%s", c->region);
	m->engine = engine_new(&ports, &ec);
	/* Watched before it is read: nothing is missed in between. */
	if (c->reload_on_change)
		m->watch = watch_new(m->loop, c->functions_dir, definitions_is_file, on_change, m);
	load_definitions(m);
	r = engine_start(m->engine, e);
	if (r < 0)
		return r;
	say_recovered(m);
	r = retain_new(m->loop, m->store, &rc, &m->retain, e);
	return r < 0 ? err_wrap(e, r, "retention") : 0;
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

static int make_clock(struct manager *m, struct err *e)
{
	char text[ID_UUID_LEN + 2] = "";
	CLEAN(closep) int fd = open(BOOT_ID, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (n < 0)
		return err_errno(e, -errno, BOOT_ID);
	text[strcspn(text, "\n")] = '\0';
	if (strlen(text) != ID_UUID_LEN)
		return err_set(e, -EBADMSG, BOOT_ID ": \"%s\" is no boot id", text);
	m->clock = (struct port_clock){
		.self = m, .mono_ns = real_mono, .wall_ms = real_wall, .random64 = real_random, .boot_ms = real_boot,
	};
	memcpy(m->clock.boot_id, text, sizeof(m->clock.boot_id));
	return 0;
}

/* A store that cannot be opened is the one thing a start cannot do without; the sentence says what to do about it. */
static int open_store(struct manager *m, struct err *e)
{
	static const struct { int r; const char *remedy; } rows[] = {
		{ -EBUSY, "stop that one, or give this one a StateDirectory of its own" },
		{ -EBADMSG, "nothing was deleted or changed; \"sqlite3 FILE .recover | sqlite3 NEW\" saves what can be read; without "
			    "the file, a new one is made" },
		{ -EPROTONOSUPPORT, "run the version that made it, or newer" },
		{ -EROFS, "mount the file system writable, or set StateDirectory" },
		{ -ENOSPC, "make room on its file system" },
		{ -EDQUOT, "make room on its file system" },
	};
	CLEAN(freep) char *path = xasprintf("%s/fated.db", m->cfg->state_dir);
	char was[sizeof(e->msg)];
	int r = store_sqlite_open(m->loop, path, &m->store, e);

	if (r >= 0)
		return r;
	snprintf(was, sizeof(was), "%s", err_msg(e));
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].r == r)
			return err_set(e, r, "store: %.300s: %s", was, rows[i].remedy);
	return err_wrap(e, r, "store");
}

static int make_all(struct manager *m, struct launch_kept_list *kept, struct err *e)
{
	struct fact_sink facts = { .self = m, .fact = relay_fact, .output = relay_output };
	struct funclog_config logs = {
		.dir = m->cfg->log_dir, .max_bytes = m->cfg->function_log_bytes, .files = m->cfg->function_log_files,
		.max_age_ms = m->cfg->function_log_max_age_s * 1000ll, .clock = &m->clock,
	};
	int r;

	r = make_clock(m, e);
	if (r == 0)
		r = make_dirs(m->cfg, e);
	if (r < 0)
		return r;
	/* The store first: its lock says that no other daemon works on this state. */
	r = open_store(m, e);
	if (r < 0)
		return r;
	r = make_world(m, kept, &facts, e);
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

int manager_new(const struct config *cfg, sd_event *loop, struct launch_kept_list *kept, struct manager **ret, struct err *e)
{
	struct manager *m = XNEW(struct manager);
	int r;

	m->cfg = cfg;
	m->loop = sd_event_ref(loop);
	m->started_ns = clock_mono_ns();
	notify_init(&m->notify);
	r = make_all(m, kept, e);
	if (r < 0) {
		manager_free(m);
		return r;
	}
	*ret = m;
	return 0;
}

static int64_t until_us(int64_t at_ns)
{
	return at_ns == INT64_MAX ? INT64_MAX : MAX((at_ns - clock_mono_ns() + 999) / 1000, (int64_t)0);
}

/* Waits for news or the next due time; then everything that is there, up to the budget. */
static int collect(struct manager *m)
{
	int64_t steady = engine_next_steady_ms(m->engine), left_us = (int64_t)WAIT_MAX_US;
	int r;

	if (engine_pending(m->engine)) {
		left_us = 0;
	} else {
		left_us = MIN(left_us, until_us(engine_next_mono_ns(m->engine)));
		left_us = MIN(left_us, until_us(notify_next_ns(&m->notify)));
		if (steady != INT64_MAX)
			left_us = MIN(left_us, MAX((steady - engine_steady_ms(m->engine)) * 1000, (int64_t)0));
		if (m->ending)
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
	if (st.in_doubt == (m->doubt_since_ns != 0))
		return;
	if (st.in_doubt) {
		m->doubt_since_ns = clock_mono_ns();
		log_error("the event store is in doubt, no new events are accepted: %s", st.doubt_why);
	} else {
		log_note("the event store works again, recovered after %lld s",
			 (long long)seconds(clock_mono_ns() - m->doubt_since_ns));
		m->doubt_since_ns = 0;
	}
}

/* What runs goes on, and what was decided is in the store; or it cannot be. */
static bool left(struct manager *m)
{
	struct engine_stats st;

	/* A synchronous invocation cannot be taken up by another daemon: its caller speaks to this one. */
	engine_stats(m->engine, &st);
	if (st.running_sync && clock_mono_ns() < m->callers_until_ns)
		return false;
	m->left = true;
	if (engine_leave(m->engine)) {
		log_note("left to the next start: what runs");
		return true;
	}
	if (clock_mono_ns() < m->stop_at_ns)
		return false;
	/* As a crash would: rows and kernel entries have all that the next start needs, and nothing here must wait for a
	 * disk that does not answer. */
	log_warn("the event store did not take what was decided within %lld s: ending as after a crash", (long long)seconds(STOP_LEAVE_NS));
	_exit(1);
}

/* True when the daemon may end. */
static bool stopped(struct manager *m)
{
	switch (m->ending) {
	case ENDING_NOT:
	case ENDING_ASKING:
		return false;
	case ENDING_LEAVING:
		return left(m);
	case ENDING_DRAINING:
	case ENDING_KILLING:
		break;
	}
	if (engine_quiet(m->engine))
		return true;
	if (clock_mono_ns() < m->stop_at_ns)
		return false;
	if (m->ending == ENDING_DRAINING) {
		begin(m, ENDING_KILLING, STOP_KILL_NS);
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
	sd_notify(0, "READY=1");
	for (;;) {
		notify_turn(&m->notify, m->engine, clock_mono_ns());
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
	clean = m->engine && !m->left && engine_quiet(m->engine);
	for (size_t i = 0; i < ARRAY_SIZE(m->signals); i++)
		sd_event_source_disable_unref(m->signals[i]);
	sd_event_source_disable_unref(m->audit);
	unit_job_free(m->job);
	watch_free(m->watch);
	retain_free(m->retain);
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
	launch_keep_free(m->keeper);
	/* After a clean stop nothing of us stays in the kernel; otherwise the pins hold what the next start needs. A start
	 * that was refused made no leaf: the groups go, unless they hold an earlier daemon's. */
	observe_free(m->observe, clean);
	cg_tree_free(m->tree, clean || !m->engine);
	funclog_free(m->funclog);
	definitions_done(&m->definitions);
	free(m->saved_path);
	sd_event_unref(m->loop);
	free(m);
	return NULL;
}
