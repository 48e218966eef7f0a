/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Environments of exec mode. The engine orders the steps (engine/port_launch.h); here they are done.
 *
 * Standard input is complete before the process exists: a pipe when the event fits into one, else a memory file; so
 * there is no writer to drive, and a function that never reads costs nothing. Output, standard error and the error
 * report are pipes read on the loop. Output beyond the limit is told once and read on into nothing: a function must
 * not hang in write() because we stopped reading, and the engine kills it anyway.
 *
 * All that can fail comes before the process exists. After its end, facts come in this order: the failed step of the
 * plan, if any, then the wait status.
 *
 * What is to outlive this daemon (launch_spec.keep) reads into memory files instead (launch/launch_kit.h), and these, the
 * pipes and the pidfd are stored with the keeper in one message after the start. Not before: without the pidfd nobody
 * could adopt it, so a first half would cost a message and save nothing. Not at once either, where the daemon says so
 * (launch_config.keep_after_ms): to systemd a message is dear, and most functions are short. Who dies in between leaves
 * an environment that is killed and tried again, as everything was before there was a keeper.
 *
 * Considered and rejected: a file for stdout (no bound but the disk's); splice for all (nothing to splice to: responses are
 * small and go through the judge).
 */
#include "launch/launch.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "launch/launch_int.h"
#include "launch/launch_probe.h"
#include "launch/launch_user.h"
#include "model/limits.h"

#define SPAWN_WORKERS_DEFAULT 64
#define REAP_MAX_MS_DEFAULT 10000
#define PIPE_BYTES 65536u		/* what Linux gives a pipe */
#define READ_CHUNK 65536u
#define KEEP_AGAIN_US 50000		/* systemd has a queue of messages, and it was full */
#define SETTLE_NS NS_PER_S		/* patience with abandoned children that do not get to their exec */

static void tell(struct env_proc *p, enum fact_kind kind, int wait_status)
{
	struct fact f = { .kind = kind, .cgroup_id = p->leaf.id, .at_ns = clock_mono_ns(), .wait_status = wait_status };

	p->l->sink.fact(p->l->sink.self, &f);
}

/* ---- what comes out of it ---------------------------------------------------------------------------------- */

static void close_pipe(struct env_proc *p, int i)
{
	p->source[i] = sd_event_source_disable_unref(p->source[i]);
	sys_closep(&p->kit.pipe[i]);
}

/* Keeps one byte more than the limit: that is how the judge sees that there was more. False: no memory for it. */
static bool keep(struct buf *b, const char *data, size_t len, size_t limit)
{
	size_t room = b->len < limit + 1 ? limit + 1 - b->len : 0;

	if (len > room)
		len = room;
	if (len && buf_reserve(b, len) < 0)
		return false;
	buf_add(b, data, len);
	return true;
}

void launch_env_too_large(struct env_proc *p)
{
	if (p->too_large)
		return;
	p->too_large = true;
	tell(p, FACT_TOO_LARGE, 0);
}

static void took(struct env_proc *p, int i, const char *data, size_t len)
{
	switch (i) {
	case KIT_OUT:
		/* A response we cannot carry is too large, whoever set the limit; a cut one must not pass for the answer. */
		if (!keep(&p->out, data, len, LIM_RESPONSE) || p->out.len > LIM_RESPONSE)
			launch_env_too_large(p);
		break;
	case KIT_ERR:
		p->l->sink.output(p->l->sink.self, p->leaf.id, data, len);
		break;
	case KIT_REPORT:
		(void)keep(&p->report, data, len, LIM_ERROR_REPORT - 1);
		break;
	}
}

/* What is beyond the limit, or has no place, is read into nothing. */
static ssize_t take_mem(struct env_proc *p, int i, char *data, size_t size)
{
	int mem = i == KIT_OUT ? KIT_MEM_OUT : KIT_MEM_REPORT;
	ssize_t n = kit_move(&p->kit, mem);

	if (i == KIT_OUT && (p->kit.mem_len[mem] > LIM_RESPONSE || p->kit.mem_cut[mem]))
		launch_env_too_large(p);
	return n >= 0 || n == -EAGAIN ? n : sys.read(p->kit.pipe[i], data, size);
}

static ssize_t take(struct env_proc *p, int i, char *data, size_t size)
{
	ssize_t n;

	if (p->mem && i != KIT_ERR)
		return take_mem(p, i, data, size);
	n = sys.read(p->kit.pipe[i], data, size);
	if (n > 0)
		took(p, i, data, (size_t)n);
	return n;
}

/* Reads at most `chunks` times; true while the pipe may hold more. */
static bool drain(struct env_proc *p, int i, int chunks)
{
	static char data[READ_CHUNK];		/* one loop, one thread */

	while (p->kit.pipe[i] >= 0 && chunks--) {
		ssize_t n = take(p, i, data, sizeof(data));

		if (n == -EAGAIN)
			return false;
		if (n <= 0) {
			if (n < 0 && i == KIT_OUT)
				launch_env_too_large(p);	/* what we cannot read is more than we can carry */
			close_pipe(p, i);
			return false;
		}
		if ((size_t)n < sizeof(data))
			return true;		/* most likely all: the loop knows better than another system call */
	}
	return p->kit.pipe[i] >= 0;
}

static int on_pipe(struct env_proc *p, int i)
{
	(void)drain(p, i, 4);
	return 0;
}

static int on_out(sd_event_source *s, int fd, uint32_t revents, void *arg) { return on_pipe(arg, KIT_OUT); }
static int on_err(sd_event_source *s, int fd, uint32_t revents, void *arg) { return on_pipe(arg, KIT_ERR); }
static int on_report(sd_event_source *s, int fd, uint32_t revents, void *arg) { return on_pipe(arg, KIT_REPORT); }

/*
 * The leader is dead and cannot be reaped: somebody traces it, and a tracer is told first. One that never takes note would
 * keep the attempt from ending, so whoever is left goes; a tracer's end gives the dead back. A tracer outside the leaf
 * (somebody's debugger) is waited for: with EPOLLET, as the pidfd is readable all the while and speaks again at the release.
 */
static int on_withheld(struct env_proc *p)
{
	if (p->withheld)
		return 0;
	p->withheld = true;
	log_msg(LOG_WARN, IDS(p), "leader is dead, but withheld by a process that traces it; killing what is left");
	(void)cg_leaf_kill(&p->leaf, NULL);
	return sd_event_source_set_io_events(p->child, EPOLLIN | EPOLLET);
}

/* The leader is dead: reaped here, so its status is read exactly once. */
static int on_child(sd_event_source *s, int fd, uint32_t revents, void *arg)
{
	struct env_proc *p = arg;
	const struct sys_step *failed;
	int status = 0, r, error = 0;

	r = sys.reap_pidfd(p->spawn.pidfd, &status);
	if (r == -EAGAIN)
		return on_withheld(p);
	p->child = sd_event_source_disable_unref(p->child);
	if (r < 0) {
		struct fact f = { .kind = FACT_WAIT, .cgroup_id = p->leaf.id, .at_ns = clock_mono_ns(), .error = -r };

		if (!p->adopted || r != -ECHILD)	/* whoever started an adopted one is gone, and with it its status */
			log_msg(LOG_ERROR, IDS(p), "waitid on the pidfd: %s", strerror(-r));
		p->l->sink.fact(p->l->sink.self, &f);	/* the kernel half is the one witness then */
		return 0;
	}
	failed = sys_spawn_failed(&p->spawn, &error);
	if (failed) {
		struct fact f = { .kind = FACT_EXEC_FAILED, .cgroup_id = p->leaf.id, .at_ns = clock_mono_ns(), .error = error };

		snprintf(f.step, sizeof(f.step), "%s", failed->name);
		p->l->sink.fact(p->l->sink.self, &f);
	}
	tell(p, FACT_WAIT, status);
	return 0;
}

static void on_empty(void *arg, uint64_t tag)
{
	struct launch *l = arg;
	struct fact f = { .kind = FACT_EMPTY, .cgroup_id = tag, .at_ns = clock_mono_ns() };

	l->sink.fact(l->sink.self, &f);
}

/* ---- prepare ----------------------------------------------------------------------------------------------- */

struct env_proc *launch_env_new(struct launch *l, struct func *func, const char *request_id, int attempt)
{
	struct env_proc *p = XNEW(struct env_proc);

	*p = (struct env_proc){ .l = l, .func = func_ref(func), .leaf = CG_LEAF_NONE, .watch = -1, .attempt = (unsigned int)attempt,
				.spawn = { .pidfd = -EBADF }, .kit = KIT_NONE,
				.child_fds = { -EBADF, -EBADF, -EBADF, -EBADF } };
	snprintf(p->request_id, sizeof(p->request_id), "%s", request_id ? request_id : "");
	return p;
}

void launch_env_close(struct env_proc *p)
{
	p->late = sd_event_source_disable_unref(p->late);
	p->keep_timer = sd_event_source_disable_unref(p->keep_timer);
	p->child = sd_event_source_disable_unref(p->child);
	for (int i = 0; i < KIT_PIPES; i++)
		close_pipe(p, i);
	kit_close(&p->kit);
	for (int i = 0; i < 4; i++)
		sys_closep(&p->child_fds[i]);
	sys_closep(&p->spawn.pidfd);
	cg_leaf_done(&p->leaf);
}

void launch_env_free(struct env_proc *p)
{
	if (!p)
		return;
	launch_env_close(p);
	sys_spawn_done(&p->spawn);
	launch_plan_done(&p->plan);
	buf_done(&p->out);
	buf_done(&p->report);
	blob_unref(p->payload);
	func_unref(p->func);
	free(p->cgroup_path);
	free(p);
}

static int write_all(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = sys.write(fd, data, len);

		if (n == -EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? (int)n : -EIO;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

/* The event as a file that is at its beginning and cannot change any more. */
static int stdin_memfd(const struct blob *event, int *ret, struct err *e)
{
	CLEAN(sys_closep) int fd = sys.memfd_create("event", MFD_ALLOW_SEALING);
	int r;

	if (fd < 0)
		return err_errno(e, fd, "memory file for the event");
	r = write_all(fd, event->data, event->len);
	if (r < 0)
		return err_errno(e, r, "memory file for the event");
	if (lseek(fd, 0, SEEK_SET) < 0)
		return err_errno(e, -errno, "memory file for the event");
	(void)sys.fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
	*ret = TAKE_FD(fd);
	return 0;
}

/* Never blocks: where the kernel keeps pipes short (fs.pipe-user-pages-soft, in a user namespace), the write does not
 * take all, and the memory file is used. */
static int stdin_pipe(const char *data, size_t len, int *ret)
{
	int fds[2], r = sys.pipe2(fds, 0);
	ssize_t n;

	if (r < 0)
		return r;
	n = sys.fcntl(fds[1], F_SETFL, O_NONBLOCK);
	if (n >= 0)
		n = sys.write(fds[1], data, len);
	sys_closep(&fds[1]);
	if (n == (ssize_t)len) {
		*ret = fds[0];
		return 0;
	}
	sys_closep(&fds[0]);
	return n >= 0 || n == -EAGAIN ? -EFBIG : (int)n;
}

static int stdin_make(const struct blob *event, int *ret, struct err *e)
{
	static const char nothing[] = "{}";
	bool given = event && event->len;
	int r = -EFBIG;

	if (!given || event->len <= PIPE_BYTES)
		r = stdin_pipe(given ? event->data : nothing, given ? event->len : sizeof(nothing) - 1, ret);
	if (r == -EFBIG && given)
		return stdin_memfd(event, ret, e);
	return r < 0 ? err_errno(e, r, "pipe for the event") : 0;
}

static int pipes_make(struct env_proc *p, struct err *e)
{
	int r = stdin_make(p->payload, &p->child_fds[0], e);

	for (int i = 0; r == 0 && i < KIT_PIPES; i++) {
		int fds[2];

		r = sys.pipe2(fds, 0);
		if (r < 0)
			return err_errno(e, r, "pipe");
		p->kit.pipe[i] = fds[0];
		p->child_fds[1 + i] = fds[1];
		r = sys.fcntl(fds[0], F_SETFL, O_NONBLOCK);	/* our end only */
		if (r < 0)
			return err_errno(e, r, "pipe");
	}
	return r;
}

static unsigned int missing_facts(unsigned int controllers)
{
	return (controllers & CG_MEMORY ? FACT_MISSING_MEMORY : 0) | (controllers & CG_PIDS ? FACT_MISSING_PIDS : 0) |
	       (controllers & CG_CPU ? FACT_MISSING_CPU : 0);
}

struct cg_limits launch_env_limits(const struct func *f, int memory_mb)
{
	return (struct cg_limits){
		.memory_bytes = (uint64_t)memory_mb << 20, .pids_max = (unsigned int)f->pids_max,
		.cpu_percent = (unsigned int)f->cpu_percent, .oom_group = f->oom_group,
	};
}

void launch_env_named(struct env_proc *p, const struct cg_limits *limits)
{
	p->missing = missing_facts(cg_limits_missing(p->l->tree->controllers, limits));
	snprintf(p->id_text, sizeof(p->id_text), "%" PRIu64, p->leaf.id);
	p->cgroup_path = xasprintf("%s/%s", p->l->tree->env, p->leaf.name);
}

static int l_prepare(struct port_launch *port, const struct launch_spec *spec, struct env_proc **ret, uint64_t *ret_cgroup_id,
		     struct err *e)
{
	struct launch *l = as_launch(port);
	const struct func *f = spec->func;
	struct cg_limits limits = launch_env_limits(f, spec->memory_mb);
	const struct launch_user *user;
	struct env_proc *p;
	int r;

	r = launch_user_get(&l->users, f->user, f->group, &user, e);
	if (r < 0)
		return r;
	p = launch_env_new(l, (struct func *)f, spec->request_id, spec->attempt);
	p->payload = blob_ref(spec->payload);
	r = cg_leaf_new(l->tree, spec->name, &limits, &p->leaf, e);
	if (r < 0) {
		launch_env_free(p);
		return err_wrap(e, r, "environment %s", spec->name);
	}
	r = pipes_make(p, e);
	if (r == 0 && spec->keep && l->keeper) {
		r = kit_mems(&p->kit, e);
		p->mem = r == 0;
	}
	if (r < 0) {
		(void)cg_leaf_remove(&p->leaf, NULL);
		launch_env_free(p);
		return err_wrap(e, r, "environment %s", spec->name);
	}
	launch_env_named(p, &limits);
	launch_plan_build(&l->host, spec, user, p->cgroup_path, p->child_fds, &p->plan);
	p->spawn.steps = p->plan.steps;
	p->spawn.n_steps = p->plan.n;
	p->spawn.cgroup_fd = p->leaf.fd;
	p->spawn.copy = l->host.suid_dumpable && user->set_uid;
	*ret = p;
	*ret_cgroup_id = p->leaf.id;
	return 0;
}

/* ---- start ------------------------------------------------------------------------------------------------- */

int launch_env_sources(struct env_proc *p, struct err *e)
{
	static const sd_event_io_handler_t handlers[KIT_PIPES] = { on_out, on_err, on_report };
	sd_event *loop = p->l->loop;
	int r = 0;

	for (int i = 0; r >= 0 && i < KIT_PIPES; i++) {
		if (p->kit.pipe[i] < 0)
			continue;
		r = sd_event_add_io(loop, &p->source[i], p->kit.pipe[i], EPOLLIN, handlers[i], p);
		if (r >= 0)
			r = sd_event_source_set_priority(p->source[i], LAUNCH_PRIORITY_PIPE);
	}
	return r < 0 ? err_errno(e, r, "event sources") : 0;
}

int launch_env_child_source(struct env_proc *p, struct err *e)
{
	int r = sd_event_add_io(p->l->loop, &p->child, p->spawn.pidfd, EPOLLIN, on_child, p);

	if (r >= 0)
		r = sd_event_source_set_priority(p->child, LAUNCH_PRIORITY_CHILD);
	return r < 0 ? err_errno(e, r, "event source of the child") : 0;
}

/* What fails here costs the environment its adoption, nothing else. */
int launch_env_keep(struct env_proc *p)
{
	struct launch *l = p->l;
	struct kit_owner o = {
		.cgroup_id = p->leaf.id, .request_id = p->request_id, .attempt = (int)p->attempt, .pid = p->spawn.pid,
	};
	int r;

	p->kit.pidfd = p->spawn.pidfd;
	r = kit_label(&p->kit, &o);
	if (r >= 0)
		r = kit_store(&p->kit, l->keeper, p->leaf.name);
	p->kit.pidfd = -EBADF;
	p->stored = r >= 0;
	if (r >= 0)
		return r;
	l->keep_failed++;
	log_msg(LOG_DBG, IDS(p), "its descriptors are not kept: %s", strerror(-r));
	return r;
}

/* There is a child whose end we should never hear of: its attempt would never be over. SIGKILL ends it at once, so the
 * wait is short, and then it is true that no process exists. */
static void undo_start(struct env_proc *p)
{
	int status;

	if (cg_leaf_kill(&p->leaf, NULL) < 0)
		(void)kill(p->spawn.pid, SIGKILL);	/* our own child, not waited for yet: the pid is its */
	(void)sys.wait_pidfd(p->spawn.pidfd, &status);
	p->child = sd_event_source_disable_unref(p->child);
}

static int keep_later(struct env_proc *p, uint64_t us);

static int on_keep_timer(sd_event_source *s, uint64_t usec, void *arg)
{
	struct env_proc *p = arg;

	p->keep_timer = sd_event_source_disable_unref(p->keep_timer);
	/* Many start at a time, and systemd reads one message after the other. */
	if (launch_env_keep(p) == -EAGAIN)
		(void)keep_later(p, KEEP_AGAIN_US);
	return 0;
}

static int keep_later(struct env_proc *p, uint64_t us)
{
	return sd_event_add_time_relative(p->l->loop, &p->keep_timer, CLOCK_MONOTONIC, us, 0, on_keep_timer, p);
}

static void keep_in_time(struct env_proc *p)
{
	uint64_t after_us = p->l->keep_after_ms * 1000ULL;

	if (after_us && keep_later(p, after_us) >= 0)
		return;
	if (launch_env_keep(p) == -EAGAIN)
		(void)keep_later(p, KEEP_AGAIN_US);
}

static int l_start(struct port_launch *port, struct env_proc *p, struct err *e)
{
	int r;

	assert(!p->started);
	r = launch_env_sources(p, e);
	if (r < 0)
		return r;
	cg_above_mark(p->l->tree->above, &p->above);
	r = sys_spawner_start(p->l->spawner, &p->spawn, e);
	/* The child has copies of its own: ours would keep the pipes from ending. */
	for (int i = 0; i < 4; i++)
		sys_closep(&p->child_fds[i]);
	if (r < 0)
		return r;
	r = launch_env_child_source(p, e);
	if (r < 0) {
		undo_start(p);
		return r;
	}
	p->started = true;
	if (p->mem)
		keep_in_time(p);
	return 0;
}

/* ---- end --------------------------------------------------------------------------------------------------- */

static void l_term(struct port_launch *port, struct env_proc *p)
{
	(void)cg_leaf_signal(&p->leaf, SIGTERM);
	(void)cg_leaf_signal(&p->leaf, SIGCONT);	/* a stopped process would not see it */
}

static int l_kill(struct port_launch *port, struct env_proc *p, struct err *e)
{
	/* A function that runs as root can move itself out of its leaf; its leader cannot get away from its pidfd. */
	if (p->child)
		(void)syscall(SYS_pidfd_send_signal, p->spawn.pidfd, SIGKILL, NULL, 0);
	return cg_leaf_kill(&p->leaf, e);
}

static int l_populated(struct port_launch *port, struct env_proc *p)
{
	struct err e = {};
	int r = cg_leaf_populated(&p->leaf);

	if (r == 0 || p->watch >= 0)
		return r != 0;
	r = cg_events_watch(p->l->events, &p->leaf, p->leaf.id, &p->watch, &e);
	if (r < 0) {
		log_msg(LOG_ERROR, IDS(p), "cannot watch %s: %s; it is looked at again every second", p->cgroup_path, err_msg(&e));
		return 1;
	}
	return r;
}

static unsigned int l_count(struct port_launch *port, struct env_proc *p)
{
	return cg_leaf_count(&p->leaf);
}

static struct blob *as_blob(const struct buf *b, size_t max)
{
	return b->len ? blob_must(b->data, MIN(b->len, max)) : NULL;	/* an answer that is missing is not an empty one */
}

static struct blob *mem_blob(struct env_proc *p, int mem)
{
	struct blob *b;
	int r = kit_read(&p->kit, mem, &b);

	if (r < 0)
		log_msg(LOG_ERROR, IDS(p), "what it wrote cannot be read back: %s", strerror(-r));
	if (r < 0 && mem == KIT_MEM_OUT)
		launch_env_too_large(p);	/* no answer must not pass for an empty one */
	return b;
}

static void l_collect(struct port_launch *port, struct env_proc *p, struct fact_cgroup *ret, struct blob **ret_out,
		      struct blob **ret_report)
{
	/* Enough rounds for what a full pipe holds. Who still writes is not waited for: the loop reads on. */
	for (int i = 0; i < KIT_PIPES; i++)
		for (int round = 0; round < 32 && drain(p, i, 1); round++)
			;
	*ret = (struct fact_cgroup){ .missing = p->missing };
	cg_leaf_facts(&p->leaf, ret);
	if (ret->oom_kills && !ret->own_ooms)
		cg_above_tell(p->l->tree->above, &p->above, ret);
	*ret_out = p->mem ? mem_blob(p, KIT_MEM_OUT) : as_blob(&p->out, LIM_RESPONSE + 1);
	*ret_report = p->mem ? mem_blob(p, KIT_MEM_REPORT) : as_blob(&p->report, LIM_ERROR_REPORT);
}

static int l_group_path(struct port_launch *port, uint64_t cgroup_id, char *ret, size_t size)
{
	return cg_tree_group_path(as_launch(port)->tree, cgroup_id, ret, size);
}

static void l_release(struct port_launch *port, struct env_proc *p)
{
	struct err e = {};
	int r;

	if (!p)
		return;
	cg_events_unwatch(p->l->events, p->watch);
	r = cg_leaf_remove(&p->leaf, &e);
	if (r < 0)
		log_msg(LOG_WARN, IDS(p), "leaf %s stays until the next start: %s",
			p->cgroup_path ? p->cgroup_path : p->leaf.name, err_msg(&e));
	if (p->stored && p->l->keeper->remove(p->l->keeper->self, p->leaf.name) < 0)
		p->l->keep_failed++;
	if (p->adopted)
		(void)map_del(&p->l->adopted, p->leaf.id);
	launch_env_free(p);
}

/* ---- life -------------------------------------------------------------------------------------------------- */

static const struct port_launch_ops ops = {
	.version = PORT_LAUNCH_VERSION,
	.prepare = l_prepare,
	.start = l_start,
	.term = l_term,
	.kill = l_kill,
	.populated = l_populated,
	.count = l_count,
	.collect = l_collect,
	.group_path = l_group_path,
	.release = l_release,
	.abandon = launch_abandon,
	.adopt = launch_adopt,
	.reap = launch_reap,
};

/* Descriptors 0 to LAUNCH_ERROR_FD must never be a pipe of ours: dup3 onto itself fails, and onto another loses it. */
static int reserve_fds(struct launch *l, struct err *e)
{
	size_t n = 0;

	for (;;) {
		int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

		if (fd < 0)
			return err_errno(e, -errno, "/dev/null");
		if (fd > LAUNCH_ERROR_FD) {
			close(fd);
			return 0;
		}
		l->reserved[n++] = fd;
	}
}

int launch_new(sd_event *loop, struct cg_tree *tree, const struct launch_config *cfg, const struct fact_sink *sink,
	       struct launch **ret, struct err *e)
{
	struct sigaction sa;
	struct launch *l;
	int r;

	if (cfg->kept && !cfg->keeper)
		launch_kept_done(cfg->kept);
	if (sigaction(SIGCHLD, NULL, &sa) == 0 && (sa.sa_handler == SIG_IGN || (sa.sa_flags & SA_NOCLDWAIT)))
		return err_set(e, -EINVAL, "SIGCHLD is ignored: no child could be waited for");
	l = XNEW(struct launch);
	l->port.ops = &ops;
	l->keeper = cfg->keeper;
	l->keep_after_ms = cfg->keep_after_ms;
	l->reap_max_ms = cfg->reap_max_ms ? cfg->reap_max_ms : REAP_MAX_MS_DEFAULT;
	l->loop = sd_event_ref(loop);
	l->tree = tree;
	l->sink = *sink;
	for (size_t i = 0; i < ARRAY_SIZE(l->reserved); i++)
		l->reserved[i] = -EBADF;
	if (cfg->kept)
		launch_kept_take(l, cfg->kept);
	launch_host_read(&l->host);
	r = reserve_fds(l, e);
	if (r == 0)
		r = sys_spawner_new(cfg->spawn_workers_max ? cfg->spawn_workers_max : SPAWN_WORKERS_DEFAULT, &l->spawner, e);
	if (r >= 0)
		r = launch_probe(tree, l->spawner, e);
	if (r >= 0)
		r = cg_events_new(loop, LAUNCH_PRIORITY_CGROUP, on_empty, l, &l->events, e);
	if (r < 0) {
		launch_free(l);
		return r;
	}
	*ret = l;
	return 0;
}

struct port_launch *launch_port(struct launch *l)
{
	return &l->port;
}

void launch_forget_users(struct launch *l)
{
	struct strmap old = l->users;

	/* Plans of environments that are being started point into them: kept until the end, a few hundred bytes each. */
	l->users = (struct strmap){};
	l->retired = xrealloc(l->retired, (l->n_retired + 1) * sizeof(*l->retired));
	l->retired[l->n_retired++] = old;
}

uint64_t launch_keep_failed(const struct launch *l)
{
	return l->keep_failed;
}

struct launch *launch_free(struct launch *l)
{
	struct env_proc *p;

	if (!l)
		return NULL;
	cg_events_free(l->events);
	launch_kept_free(l);
	/* A child that hangs before its exec (a dead network mount) reads our memory until then: it is left to it. */
	if (l->abandoned && !sys_spawner_settle(l->spawner, SETTLE_NS))
		return NULL;
	sys_spawner_free(l->spawner);
	while ((p = l->abandoned)) {
		l->abandoned = p->next;
		launch_env_free(p);
	}
	launch_user_cache_done(&l->users);
	for (size_t i = 0; i < l->n_retired; i++)
		launch_user_cache_done(&l->retired[i]);
	free(l->retired);
	for (size_t i = 0; i < ARRAY_SIZE(l->reserved); i++)
		closep(&l->reserved[i]);
	sd_event_unref(l->loop);
	free(l);
	return NULL;
}
