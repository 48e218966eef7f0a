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
 * Considered and rejected: a file for stdout (no bound but the disk's); splice (nothing to splice to: responses are
 * small and go through the judge).
 */
#include "launch/launch.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/mem.h"
#include "cgroup/cg_events.h"
#include "cgroup/cg_leaf.h"
#include "launch/launch_plan.h"
#include "launch/launch_probe.h"
#include "launch/launch_user.h"
#include "model/limits.h"
#include "sys/sys_calls.h"
#include "sys/sys_spawn.h"

#define SPAWN_WORKERS_DEFAULT 64
#define PIPE_BYTES 65536u		/* what Linux gives a pipe */
#define READ_CHUNK 65536u
#define REAP_MAX_NS (10 * NS_PER_S)

enum { PIPE_OUT, PIPE_ERR, PIPE_REPORT, PIPES };

struct launch {
	struct port_launch port;
	sd_event *loop;
	struct cg_tree *tree;
	struct fact_sink sink;
	struct launch_host host;
	struct sys_spawner *spawner;
	struct cg_events *events;
	struct strmap users;
	struct strmap *retired;	/* users as they were before a reload */
	size_t n_retired;
	int reserved[LAUNCH_ERROR_FD + 1];	/* keep our descriptors above those the child's are put on */
};

struct env_proc {
	struct launch *l;
	struct func *func;
	struct cg_leaf leaf;
	struct launch_plan plan;
	struct sys_spawn spawn;
	struct blob *payload;
	char *cgroup_path;
	char request_id[ID_UUID_LEN + 1], id_text[24];	/* for the log; the leaf's id as text */
	unsigned int attempt;
	int child_fds[4];			/* until the start */
	int fd[PIPES];
	sd_event_source *source[PIPES], *child;
	struct buf out, report;
	struct cg_above_mark above;		/* taken just before the start */
	unsigned int missing;			/* set of enum fact_missing */
	int watch;				/* of the leaf's emptiness; -1 = none */
	bool started, too_large, withheld;
};

static struct launch *as_launch(struct port_launch *p)
{
	return container_of(p, struct launch, port);
}

/* The ids of a log line about p, which has the strings. */
#define IDS(p) (&(struct log_ctx){ .function = (p)->func->name, .request_id = (p)->request_id, .env = (p)->id_text, \
				   .attempt = (p)->attempt })

static void tell(struct env_proc *p, enum fact_kind kind, int wait_status)
{
	struct fact f = { .kind = kind, .cgroup_id = p->leaf.id, .at_ns = clock_mono_ns(), .wait_status = wait_status };

	p->l->sink.fact(p->l->sink.self, &f);
}

/* ---- what comes out of it ---------------------------------------------------------------------------------- */

static void close_pipe(struct env_proc *p, int i)
{
	p->source[i] = sd_event_source_disable_unref(p->source[i]);
	sys_closep(&p->fd[i]);
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

static void took(struct env_proc *p, int i, const char *data, size_t len)
{
	switch (i) {
	case PIPE_OUT:
		/* A response we cannot carry is too large, whoever set the limit; a cut one must not pass for the answer. */
		if ((!keep(&p->out, data, len, LIM_RESPONSE) || p->out.len > LIM_RESPONSE) && !p->too_large) {
			p->too_large = true;
			tell(p, FACT_TOO_LARGE, 0);
		}
		break;
	case PIPE_ERR:
		p->l->sink.output(p->l->sink.self, p->leaf.id, data, len);
		break;
	case PIPE_REPORT:
		(void)keep(&p->report, data, len, LIM_ERROR_REPORT - 1);
		break;
	}
}

/* Reads at most `chunks` times; true while the pipe may hold more. */
static bool drain(struct env_proc *p, int i, int chunks)
{
	static char data[READ_CHUNK];		/* one loop, one thread */

	while (p->fd[i] >= 0 && chunks--) {
		ssize_t n = sys.read(p->fd[i], data, sizeof(data));

		if (n == -EAGAIN)
			return false;
		if (n <= 0) {
			close_pipe(p, i);
			return false;
		}
		took(p, i, data, (size_t)n);
		if ((size_t)n < sizeof(data))
			return true;		/* most likely all: the loop knows better than another system call */
	}
	return p->fd[i] >= 0;
}

static int on_pipe(struct env_proc *p, int i)
{
	(void)drain(p, i, 4);
	return 0;
}

static int on_out(sd_event_source *s, int fd, uint32_t revents, void *arg) { return on_pipe(arg, PIPE_OUT); }
static int on_err(sd_event_source *s, int fd, uint32_t revents, void *arg) { return on_pipe(arg, PIPE_ERR); }
static int on_report(sd_event_source *s, int fd, uint32_t revents, void *arg) { return on_pipe(arg, PIPE_REPORT); }

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

static void proc_free(struct env_proc *p)
{
	if (!p)
		return;
	p->child = sd_event_source_disable_unref(p->child);
	for (int i = 0; i < PIPES; i++)
		close_pipe(p, i);
	for (int i = 0; i < 4; i++)
		sys_closep(&p->child_fds[i]);
	sys_closep(&p->spawn.pidfd);
	sys_spawn_done(&p->spawn);
	launch_plan_done(&p->plan);
	cg_leaf_done(&p->leaf);
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

	for (int i = 0; r == 0 && i < PIPES; i++) {
		int fds[2];

		r = sys.pipe2(fds, 0);
		if (r < 0)
			return err_errno(e, r, "pipe");
		p->fd[i] = fds[0];
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

static int l_prepare(struct port_launch *port, const struct launch_spec *spec, struct env_proc **ret, uint64_t *ret_cgroup_id,
		     struct err *e)
{
	struct launch *l = as_launch(port);
	const struct func *f = spec->func;
	struct cg_limits limits = {
		.memory_bytes = (uint64_t)spec->memory_mb << 20, .pids_max = (unsigned int)f->pids_max,
		.cpu_percent = (unsigned int)f->cpu_percent, .oom_group = f->oom_group,
	};
	const struct launch_user *user;
	struct env_proc *p;
	int r;

	r = launch_user_get(&l->users, f->user, f->group, &user, e);
	if (r < 0)
		return r;
	p = XNEW(struct env_proc);
	*p = (struct env_proc){ .l = l, .func = func_ref((struct func *)f), .leaf = CG_LEAF_NONE, .watch = -1,
				.missing = missing_facts(cg_limits_missing(l->tree->controllers, &limits)),
				.payload = blob_ref(spec->payload), .spawn = { .pidfd = -EBADF },
				.fd = { -EBADF, -EBADF, -EBADF }, .child_fds = { -EBADF, -EBADF, -EBADF, -EBADF } };
	r = cg_leaf_new(l->tree, spec->name, &limits, &p->leaf, e);
	if (r < 0) {
		proc_free(p);
		return err_wrap(e, r, "environment %s", spec->name);
	}
	r = pipes_make(p, e);
	if (r < 0) {
		(void)cg_leaf_remove(&p->leaf, NULL);
		proc_free(p);
		return err_wrap(e, r, "environment %s", spec->name);
	}
	snprintf(p->request_id, sizeof(p->request_id), "%s", spec->request_id ? spec->request_id : "");
	snprintf(p->id_text, sizeof(p->id_text), "%" PRIu64, p->leaf.id);
	p->attempt = (unsigned int)spec->attempt;
	p->cgroup_path = xasprintf("%s/%s", l->tree->env, spec->name);
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

static int sources_add(struct env_proc *p)
{
	static const sd_event_io_handler_t handlers[PIPES] = { on_out, on_err, on_report };
	sd_event *loop = p->l->loop;
	int r = 0;

	for (int i = 0; r >= 0 && i < PIPES; i++) {
		r = sd_event_add_io(loop, &p->source[i], p->fd[i], EPOLLIN, handlers[i], p);
		if (r >= 0)
			r = sd_event_source_set_priority(p->source[i], LAUNCH_PRIORITY_PIPE);
	}
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

static int l_start(struct port_launch *port, struct env_proc *p, struct err *e)
{
	int r;

	assert(!p->started);
	r = sources_add(p);
	if (r < 0)
		return err_errno(e, r, "event sources");
	cg_above_mark(p->l->tree->above, &p->above);
	r = sys_spawner_start(p->l->spawner, &p->spawn, e);
	/* The child has copies of its own: ours would keep the pipes from ending. */
	for (int i = 0; i < 4; i++)
		sys_closep(&p->child_fds[i]);
	if (r < 0)
		return r;
	r = sd_event_add_io(p->l->loop, &p->child, p->spawn.pidfd, EPOLLIN, on_child, p);
	if (r >= 0)
		r = sd_event_source_set_priority(p->child, LAUNCH_PRIORITY_CHILD);
	if (r < 0) {
		undo_start(p);
		return err_errno(e, r, "event source of the child");
	}
	p->started = true;
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
	return b->len ? blob_new(b->data, MIN(b->len, max)) : NULL;
}

static void l_collect(struct port_launch *port, struct env_proc *p, struct fact_cgroup *ret, struct blob **ret_out,
		      struct blob **ret_report)
{
	/* Enough rounds for what a full pipe holds. Who still writes is not waited for: the loop reads on. */
	for (int i = 0; i < PIPES; i++)
		for (int round = 0; round < 32 && drain(p, i, 1); round++)
			;
	*ret = (struct fact_cgroup){ .missing = p->missing };
	cg_leaf_facts(&p->leaf, ret);
	if (ret->oom_kills && !ret->own_ooms)
		cg_above_tell(p->l->tree->above, &p->above, ret);
	*ret_out = as_blob(&p->out, LIM_RESPONSE + 1);
	*ret_report = as_blob(&p->report, LIM_ERROR_REPORT);
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
	proc_free(p);
}

/* ---- what an earlier run left ------------------------------------------------------------------------------ */

/* Emptiness is read from cgroup.events, whose change poll() reports as POLLPRI. Read, then wait: the change may lie
 * behind us. */
static int wait_empty(struct launch *l, struct cg_leaf *leaf, int64_t until_ns, struct err *e)
{
	CLEAN(sys_closep) int fd = sys.openat(leaf->fd, "cgroup.events", O_RDONLY, 0);
	char text[256];

	if (fd < 0)
		return fd == -ENOENT ? 0 : err_errno(e, fd, "cgroup.events of %s", leaf->name);
	for (;;) {
		struct pollfd pfd = { .fd = fd, .events = POLLPRI };
		int64_t left = until_ns - clock_mono_ns();
		ssize_t n = sys.pread(fd, text, sizeof(text) - 1, 0);

		if (n < 0)
			return n == -ENODEV ? 0 : err_errno(e, (int)n, "cgroup.events of %s", leaf->name);
		text[n] = '\0';
		if (strstr(text, "populated 0"))
			return 0;
		if (left <= 0)
			return err_set(e, -EBUSY, "processes in %s/%s do not die", l->tree->env, leaf->name);
		(void)poll(&pfd, 1, (int)(left / NS_PER_MS + 1));
	}
}

static int reap_one(struct launch *l, const char *name, int64_t until_ns, void (*gone)(void *, uint64_t, const char *), void *arg,
		    struct err *e)
{
	CLEAN(cg_leaf_done) struct cg_leaf leaf = CG_LEAF_NONE;
	uint64_t id;
	int r = cg_leaf_open(l->tree, name, &leaf, e);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	id = leaf.id;
	r = cg_leaf_kill(&leaf, e);
	if (r == 0)
		r = wait_empty(l, &leaf, until_ns, e);
	if (r == 0)
		r = cg_leaf_remove(&leaf, e);
	if (r == 0)
		gone(arg, id, name);
	return r;
}

/* The names first: the directory changes under our hands. */
static int leaves_list(struct launch *l, char ***ret, size_t *ret_n, struct err *e)
{
	DIR *d = opendir(l->tree->env);
	struct dirent *de;
	size_t cap = 0;

	if (!d)
		return err_errno(e, -errno, "%s", l->tree->env);
	while ((de = readdir(d))) {
		if (de->d_type != DT_DIR || de->d_name[0] == '.')
			continue;
		if (*ret_n == cap) {
			cap = cap ? cap * 2 : 64;
			*ret = xrealloc(*ret, cap * sizeof(**ret));
		}
		(*ret)[(*ret_n)++] = xstrdup(de->d_name);
	}
	closedir(d);
	return 0;
}

/* All are killed before one is waited for, and one that stays does not keep the others: the wait is one for all. */
static int l_reap(struct port_launch *port, void (*gone)(void *arg, uint64_t cgroup_id, const char *name), void *arg, struct err *e)
{
	struct launch *l = as_launch(port);
	int64_t until = clock_mono_ns() + REAP_MAX_NS;
	char **names = NULL;
	size_t n = 0;
	int result = leaves_list(l, &names, &n, e);

	for (size_t i = 0; i < n; i++) {
		CLEAN(cg_leaf_done) struct cg_leaf leaf = CG_LEAF_NONE;

		if (cg_leaf_open(l->tree, names[i], &leaf, NULL) == 0)
			(void)cg_leaf_kill(&leaf, NULL);
	}
	for (size_t i = 0; i < n; i++) {
		int r = reap_one(l, names[i], until, gone, arg, e);

		if (r < 0)
			result = r;
		free(names[i]);
	}
	free(names);
	return result;
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
	.reap = l_reap,
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

	if (sigaction(SIGCHLD, NULL, &sa) == 0 && (sa.sa_handler == SIG_IGN || (sa.sa_flags & SA_NOCLDWAIT)))
		return err_set(e, -EINVAL, "SIGCHLD is ignored: no child could be waited for");
	l = XNEW(struct launch);
	l->port.ops = &ops;
	l->loop = sd_event_ref(loop);
	l->tree = tree;
	l->sink = *sink;
	for (size_t i = 0; i < ARRAY_SIZE(l->reserved); i++)
		l->reserved[i] = -EBADF;
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

struct launch *launch_free(struct launch *l)
{
	if (!l)
		return NULL;
	sys_spawner_free(l->spawner);
	cg_events_free(l->events);
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
