/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store the daemon runs on: three threads, three connections, one way back.
 *
 *    loop's thread                     writer thread                            reader threads
 *    apply(), RECEIVE… ────────jobs─►  BEGIN, all jobs there are, COMMIT        BEGIN, the query, COMMIT
 *    LOAD queries ─────────────jobs──────────────────────────────────────────►  store-load
 *    other queries ────────────jobs──────────────────────────────────────────►  store-read
 *    done() ◄─ eventfd ◄─ finished ◄───────┴───────────────────────────────────────┘
 *
 * The engine's own questions (LOAD) have a reader to themselves: a long list that somebody asked for, or the counts of a
 * large file, hold up no dispatch.
 *
 * Group commit. The writer takes what has gathered while it was busy with the last commit, so one sync of the disk
 * pays for all of it, and an idle store commits a lone batch at once: no timer, no tuning. The group is bounded
 * (GROUP_*), so that neither a transaction nor the wait of its first batch grows without limit.
 *
 * Each batch is atomic within the group. The way for that is a savepoint around each batch, and we take it in two
 * steps: a savepoint makes SQLite copy every page the batch touches a second time, and a batch that fails is rare (a
 * fence, a duplicate). So a group runs bare first; if one of its batches fails, the whole is rolled back and run again
 * with savepoints, where the failing ones are undone alone. The outcome is the same, the usual cost is that of the
 * bare statements.
 *
 * What a report means. 0: the batch is on disk (the commit has been synced) and every query asked from now on sees it.
 * <0: no query sees any of it. After an error of the disk itself (-EIO, -ENOSPC…) the whole group is reported so, and
 * then only a restart tells whether the log kept it: whole or not at all, never a half (I8 is the engine's part).
 * The same batches may be given again; the store itself goes on as soon as the disk does.
 *
 * A disk that comes back. Most errors are over with their transaction: the next one finds out whether the disk is well.
 * Two kinds are not, and writer_mend() looks for them before each group. The log's name: when another one lies there, or
 * none, SQLite would go on writing to what no later start finds. And damage that a connection keeps in its cache:
 * transactions that fail again and again though the log could just be brought into the file. Then all connections are closed
 * and opened anew, in one go: two that do not have the same log would read each other's pages wrongly. That is what a
 * reader's db_lock is for. Nothing is opened anew while the log cannot be emptied: a commit that failed and was reported so
 * may lie in it whole, and a new connection would take it for done.
 *
 * When the file's own name is taken, or given to another file, all work fails until it is back. Another file is never
 * opened, be it a copy of ours: the engine knows what was in the one that it loaded, and SQLite would play our log into
 * whatever lies there.
 *
 * Invariants: jobs are run, and batches reported, in the order they came. A job is in exactly one of the lists
 * jobs of the three workers, the writer's group, finished. n_open counts them; close() waits for 0. A job's fields
 * belong to the thread in whose hands its list is.
 *
 * Rejected: one connection with a lock (a long list would hold up commits); sd-event sources on the threads (they
 * wait for one thing each: a condition variable does that).
 */
#include "store/store_sqlite.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/list.h"
#include "base/mem.h"
#include "store/store_lock.h"
#include "store/store_read.h"
#include "store/store_row.h"
#include "store/store_write.h"

#define GROUP_JOBS_MAX 1024
#define GROUP_OPS_MAX 16384
#define GROUP_BYTES_MAX (32u << 20)
#define FAILURES_MAX 2		/* groups that fail in a row before the connections are doubted */

struct ask {		/* a query, its answer */
	struct store_query q;
	struct store_result res;
};

struct job {
	struct list node;
	struct store_batch *batch;	/* or */
	struct ask *ask;
	size_t n_ops, bytes;		/* what it adds to a group */
	int result;
	struct err *err;		/* when result < 0 */
};

struct worker {
	struct store_sqlite *s;
	pthread_t thread;
	bool started;
	pthread_cond_t wake;
	struct list jobs;		/* under the lock */

	/* Readers: */
	pthread_mutex_t db_lock;	/* held while its connection is used, or changed by the writer */
	struct store_db db;		/* without a connection: to be opened when it is needed */
};

struct store_sqlite {
	struct port_store port;
	sd_event *loop;
	sd_event_source *source;
	int event_fd, lock_fd;
	char *path, *vfs;
	bool reporting;			/* loop's thread: within done() */

	pthread_mutex_t lock;
	pthread_cond_t some_finished;
	struct list finished;		/* under the lock */
	bool stopping;			/* under the lock */
	size_t n_open;			/* loop's thread: given and not yet reported */

	struct worker writer, reader, loader;
	struct store_writer w;		/* the writer thread's */
	int failures;			/* the writer thread's: groups that failed in a row */
	struct err lost;		/* under both db_lock: why there is no file to read from; code 0 = there is */
};

/* ---- jobs -------------------------------------------------------------------------------------------------- */

static struct job *job_new(struct store_batch *b, const struct store_query *q)
{
	struct job *j = XNEW(struct job);

	list_init(&j->node);
	j->batch = b;
	if (q) {
		j->ask = XNEW(struct ask);
		j->ask->q = *q;
	}
	return j;
}

static void job_free(struct job *j)
{
	if (j->ask) {
		store_result_done(&j->ask->res);
		free(j->ask);
	}
	free(j->err);
	free(j);
}

/* Sets the result and the sentence that belongs to it; an earlier one is gone. */
static void job_result(struct job *j, int result, const struct err *e)
{
	free(TAKE(j->err));
	j->result = result;
	if (result < 0) {
		j->err = XNEW(struct err);
		*j->err = *e;
	}
}

static size_t blob_len(const struct blob *b)
{
	return b ? b->len : 0;
}

/* Looks at every operation on its way in: the write checks, and how heavy the batch is. */
static void job_weigh(struct job *j)
{
	j->n_ops = j->batch->n;
	for (size_t i = 0; i < j->batch->n; i++) {
		const struct store_op *op = &j->batch->ops[i];

		store_row_check(op);
		if (op->kind == STORE_OP_VERSION_PUT)
			j->bytes += blob_len(op->version.definition);
		else if (op->kind == STORE_OP_EVENT_PUT)
			j->bytes += blob_len(op->event.payload);
		else if (op->kind == STORE_OP_RECORD_PUT)
			j->bytes += blob_len(op->record.body);
		else if (op->kind == STORE_OP_OUTBOX_PUT)
			j->bytes += blob_len(op->outbox.body);
		else if (op->kind == STORE_OP_MESSAGE_PUT)
			j->bytes += blob_len(op->message.body);
	}
}

static void worker_give(struct store_sqlite *s, struct worker *w, struct job *j)
{
	s->n_open++;
	pthread_mutex_lock(&s->lock);
	list_add_tail(&w->jobs, &j->node);
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&s->lock);
}

static void jobs_move(struct list *to, struct list *from)
{
	list_for_each_safe(pos, next, from) {
		list_del(pos);
		list_add_tail(to, pos);
	}
}

static void jobs_finish(struct store_sqlite *s, struct list *jobs)
{
	uint64_t one = 1;
	ssize_t n;

	pthread_mutex_lock(&s->lock);
	jobs_move(&s->finished, jobs);
	pthread_cond_signal(&s->some_finished);
	pthread_mutex_unlock(&s->lock);
	do
		n = write(s->event_fd, &one, sizeof(one));
	while (n < 0 && errno == EINTR);
	assert(n == sizeof(one) || errno == EAGAIN);	/* EAGAIN: the counter is full, so the loop is awake anyway */
}

/* Waits for work and takes the head of the queue, within the bounds of a group. False: time to go. */
static bool worker_take(struct store_sqlite *s, struct worker *w, size_t jobs_max, struct list *ret)
{
	size_t n = 0, ops = 0, bytes = 0;
	bool some;

	pthread_mutex_lock(&s->lock);
	while (list_empty(&w->jobs) && !s->stopping)
		pthread_cond_wait(&w->wake, &s->lock);
	list_for_each_safe(pos, next, &w->jobs) {
		struct job *j = list_entry(pos, struct job, node);

		n++;
		ops += j->n_ops;
		bytes += j->bytes;
		if (n > jobs_max || (n > 1 && (ops > GROUP_OPS_MAX || bytes > GROUP_BYTES_MAX)))
			break;
		list_del(pos);
		list_add_tail(ret, pos);
	}
	some = !list_empty(ret);
	pthread_mutex_unlock(&s->lock);
	return some;
}

/* ---- writer ------------------------------------------------------------------------------------------------ */

static int job_run(struct store_sqlite *s, struct job *j, struct err *e)
{
	if (j->batch)
		return store_writer_batch(&s->w, j->batch, e);
	store_result_done(&j->ask->res);	/* of a first run that was rolled back */
	return store_writer_query(&s->w, &j->ask->q, &j->ask->res, e);
}

/* 0, with the job's own result set, or the error of the whole group. */
static int job_run_guarded(struct store_sqlite *s, struct job *j, struct err *e)
{
	int r;

	r = store_writer_mark(&s->w, e);
	if (r < 0)
		return r;
	r = job_run(s, j, e);
	if (r < 0 && !store_db_is_domain(r))
		return r;
	job_result(j, r, e);
	return r < 0 ? store_writer_undo(&s->w, e) : store_writer_keep(&s->w, e);
}

/* One transaction. 0, or the error of the whole: then it is rolled back. *ret_one_failed: for one job's sake. */
static int group_run(struct store_sqlite *s, struct list *group, bool guarded, bool *ret_one_failed, struct err *e)
{
	int r = store_writer_begin(&s->w, e);

	*ret_one_failed = false;
	if (r < 0)
		return r;
	list_for_each_safe(pos, next, group) {
		struct job *j = list_entry(pos, struct job, node);

		if (guarded) {
			r = job_run_guarded(s, j, e);
		} else {
			r = job_run(s, j, e);
			*ret_one_failed = store_db_is_domain(r);
			job_result(j, r, e);
		}
		if (r < 0) {
			store_writer_rollback(&s->w);
			return r;
		}
	}
	return store_writer_commit(&s->w, e);
}

/* Who failed on its own account keeps its own reason. */
static void group_fail(struct list *group, int result, const struct err *e)
{
	list_for_each_safe(pos, next, group) {
		struct job *j = list_entry(pos, struct job, node);

		if (j->result >= 0 || !store_db_is_domain(j->result))
			job_result(j, result, e);
	}
}

static void group_commit(struct store_sqlite *s, struct list *group)
{
	bool lone = group->next->next == group, one_failed;
	struct err e = {};
	int r;

	r = group_run(s, group, false, &one_failed, &e);
	if (r < 0 && one_failed && lone)
		return;		/* rolled back, and its own result is set */
	if (r < 0 && one_failed)
		r = group_run(s, group, true, &one_failed, &e);
	if (r >= 0) {
		s->failures = 0;
		return;
	}
	/* The transaction is gone with everybody's work. A full disk says nothing against the connection. */
	group_fail(group, r, &e);
	s->failures += r != -ENOSPC;
}

/* All connections anew. The log first: while it cannot be emptied, everybody keeps what he has. */
static int writer_reopen(struct store_sqlite *s, bool empty_log, struct err *e)
{
	int r = 0;

	pthread_mutex_lock(&s->reader.db_lock);
	pthread_mutex_lock(&s->loader.db_lock);
	if (empty_log)
		r = store_writer_checkpoint(&s->w, e);
	if (r >= 0) {
		store_db_done(&s->reader.db);
		store_db_done(&s->loader.db);
		r = store_writer_reopen(&s->w, s->path, s->vfs, e);
		s->failures = 0;
		s->lost = r < 0 ? *e : (struct err){};
	}
	pthread_mutex_unlock(&s->loader.db_lock);
	pthread_mutex_unlock(&s->reader.db_lock);
	return r;
}

/* Sees to it that the writer has a connection to the file which lies at path. An error is that of the next group. */
static int writer_mend(struct store_sqlite *s, struct err *e)
{
	if (!s->w.db.db)
		return writer_reopen(s, false, e);
	switch (store_writer_place(&s->w)) {
	case STORE_IN_PLACE:
		if (s->failures >= FAILURES_MAX && writer_reopen(s, true, e) < 0 && !s->w.db.db)
			return e->code;
		return 0;	/* SQLite itself shall try */
	case STORE_LOG_GONE:
		return writer_reopen(s, true, e);
	case STORE_REPLACED:
		return err_set(e, -EIO, "%s: another file lies there than the one that was opened", s->path);
	case STORE_GONE:
		break;
	}
	return err_set(e, -EIO, "%s: the file is gone", s->path);
}

static void *writer_main(void *arg)
{
	struct worker *w = arg;
	struct store_sqlite *s = w->s;
	struct list group;

	list_init(&group);
	while (worker_take(s, w, GROUP_JOBS_MAX, &group)) {
		struct err e = {};
		int r = writer_mend(s, &e);

		if (r >= 0)
			group_commit(s, &group);
		else
			group_fail(&group, r, &e);
		jobs_finish(s, &group);
	}
	return NULL;
}

/* ---- reader ------------------------------------------------------------------------------------------------ */

static int reader_answer(struct store_sqlite *s, struct worker *w, struct ask *ask, struct err *e)
{
	int r = store_query_check(&ask->q, e);

	if (r < 0)
		return r;
	pthread_mutex_lock(&w->db_lock);
	if (!w->db.db && s->lost.code < 0) {
		*e = s->lost;
		r = e->code;
	} else if (!w->db.db) {
		r = store_reader_open(&w->db, s->path, s->vfs, w == &s->loader, e);
	}
	if (r >= 0)
		r = store_reader_query(&w->db, &ask->q, &ask->res, e);
	pthread_mutex_unlock(&w->db_lock);
	return r;
}

static void *reader_main(void *arg)
{
	struct worker *w = arg;
	struct list one;

	list_init(&one);
	while (worker_take(w->s, w, 1, &one)) {
		struct job *j = list_entry(one.next, struct job, node);
		struct err e = {};
		int r = reader_answer(w->s, w, j->ask, &e);

		if (r < 0)
			store_result_done(&j->ask->res);	/* no half answers */
		job_result(j, r, &e);
		jobs_finish(w->s, &one);
	}
	return NULL;
}

/* ---- reports, on the loop's thread ------------------------------------------------------------------------- */

static void job_report(struct store_sqlite *s, struct job *j)
{
	list_del(&j->node);
	s->n_open--;
	s->reporting = true;
	if (j->batch) {
		j->batch->done(j->batch, j->result, j->err);
	} else {
		if (j->result < 0)
			store_result_done(&j->ask->res);
		j->ask->q.done(j->ask->q.arg, &j->ask->q, &j->ask->res, j->result, j->err);
	}
	s->reporting = false;
	job_free(j);
}

static int on_finished(sd_event_source *source, int fd, uint32_t revents, void *arg)
{
	struct store_sqlite *s = arg;
	struct list jobs;
	uint64_t n;

	/* First the counter, then the list: the other way round a job could be left lying. */
	(void)!read(s->event_fd, &n, sizeof(n));
	list_init(&jobs);
	pthread_mutex_lock(&s->lock);
	jobs_move(&jobs, &s->finished);
	pthread_mutex_unlock(&s->lock);
	list_for_each_safe(pos, next, &jobs)
		job_report(s, list_entry(pos, struct job, node));
	return 0;
}

/* ---- port -------------------------------------------------------------------------------------------------- */

static struct store_sqlite *of(struct port_store *port)
{
	return container_of(port, struct store_sqlite, port);
}

static int op_load(struct port_store *port, const struct store_loader *l, int64_t *ret_next_seq, struct err *e)
{
	struct store_sqlite *s = of(port);
	struct store_db d = {};		/* its own connection: the reader's belongs to its thread */
	int r;

	r = store_reader_open(&d, s->path, s->vfs, true, e);
	if (r < 0)
		return r;
	r = store_reader_load(&d, l, ret_next_seq, e);
	store_db_done(&d);
	return r;
}

static void op_apply(struct port_store *port, struct store_batch *b)
{
	struct job *j = job_new(b, NULL);

	assert(b->done);
	b->failed = SIZE_MAX;
	job_weigh(j);
	worker_give(of(port), &of(port)->writer, j);
}

static struct worker *answers(struct store_sqlite *s, const struct store_query *q)
{
	if (store_reader_loads(q->kind))
		return &s->loader;
	/* A query that is wrong in itself is refused on the reader's side, where nobody waits for a commit. */
	return store_writer_answers(q->kind) && store_query_check(q, NULL) >= 0 ? &s->writer : &s->reader;
}

static void op_query(struct port_store *port, const struct store_query *q)
{
	struct store_sqlite *s = of(port);

	assert(q->done);
	worker_give(s, answers(s, q), job_new(NULL, q));
}

static void workers_stop(struct store_sqlite *s)
{
	struct worker *all[] = { &s->writer, &s->reader, &s->loader };

	pthread_mutex_lock(&s->lock);
	s->stopping = true;
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		pthread_cond_signal(&all[i]->wake);
	pthread_mutex_unlock(&s->lock);
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (all[i]->started)
			pthread_join(all[i]->thread, NULL);
}

static void worker_init(struct store_sqlite *s, struct worker *w)
{
	w->s = s;
	pthread_cond_init(&w->wake, NULL);
	pthread_mutex_init(&w->db_lock, NULL);
	list_init(&w->jobs);
}

static void worker_done(struct worker *w)
{
	store_db_done(&w->db);
	pthread_cond_destroy(&w->wake);
	pthread_mutex_destroy(&w->db_lock);
}

static struct store_sqlite *sqlite_free(struct store_sqlite *s)
{
	if (!s)
		return NULL;
	workers_stop(s);
	sd_event_source_disable_unref(s->source);
	sd_event_unref(s->loop);
	worker_done(&s->reader);
	worker_done(&s->loader);
	worker_done(&s->writer);
	store_writer_done(&s->w);	/* the last connection: its end is a checkpoint, and the log file is gone */
	closep(&s->event_fd);
	closep(&s->lock_fd);		/* last of all: now another daemon may come */
	pthread_cond_destroy(&s->some_finished);
	pthread_mutex_destroy(&s->lock);
	free(s->path);
	free(s->vfs);
	free(s);
	return NULL;
}
DEFINE_FREEP(sqlite_free, struct store_sqlite *)

static void op_close(struct port_store *port)
{
	struct store_sqlite *s;

	if (!port)
		return;
	s = of(port);
	assert(!s->reporting);
	while (s->n_open) {
		pthread_mutex_lock(&s->lock);
		while (list_empty(&s->finished))
			pthread_cond_wait(&s->some_finished, &s->lock);
		pthread_mutex_unlock(&s->lock);
		on_finished(s->source, s->event_fd, 0, s);
	}
	sqlite_free(s);
}

static const struct port_store_ops sqlite_ops = {
	.version = PORT_STORE_VERSION,
	.name = "sqlite",
	.load = op_load,
	.apply = op_apply,
	.query = op_query,
	.close = op_close,
};

/* Signals are the loop's: the threads take none. */
static int worker_start(struct store_sqlite *s, struct worker *w, void *(*run)(void *), const char *name, struct err *e)
{
	sigset_t all, old;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&w->thread, NULL, run, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r)
		return err_errno(e, -r, "%s: thread", s->path);
	w->started = true;
	(void)pthread_setname_np(w->thread, name);
	return 0;
}

static int watch_reports(struct store_sqlite *s, struct err *e)
{
	int r;

	s->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->event_fd < 0)
		return err_errno(e, -errno, "%s: eventfd", s->path);
	r = sd_event_add_io(s->loop, &s->source, s->event_fd, EPOLLIN, on_finished, s);
	if (r < 0)
		return err_errno(e, r, "%s: event source", s->path);
	(void)sd_event_source_set_description(s->source, "store-reports");
	return 0;
}

int store_sqlite_open_vfs(sd_event *loop, const char *path, const char *vfs, struct port_store **ret, struct err *e)
{
	CLEAN(sqlite_freep) struct store_sqlite *s = XNEW(struct store_sqlite);
	int r;

	assert(loop);
	assert(path);
	assert(ret);
	s->port.ops = &sqlite_ops;
	s->loop = sd_event_ref(loop);
	s->event_fd = s->lock_fd = -EBADF;
	s->path = xstrdup(path);
	s->vfs = vfs ? xstrdup(vfs) : NULL;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->some_finished, NULL);
	list_init(&s->finished);
	worker_init(s, &s->writer);
	worker_init(s, &s->reader);
	worker_init(s, &s->loader);

	r = store_db_check_path(path, e);
	if (r >= 0)
		r = store_lock_take(path, &s->lock_fd, e);
	if (r >= 0)
		r = store_writer_open(&s->w, path, vfs, e);
	if (r >= 0)
		r = store_reader_open(&s->reader.db, path, vfs, false, e);
	if (r >= 0)
		r = store_reader_open(&s->loader.db, path, vfs, true, e);
	if (r >= 0)
		r = watch_reports(s, e);
	if (r >= 0)
		r = worker_start(s, &s->writer, writer_main, "store-write", e);
	if (r >= 0)
		r = worker_start(s, &s->reader, reader_main, "store-read", e);
	if (r >= 0)
		r = worker_start(s, &s->loader, reader_main, "store-load", e);
	if (r < 0)
		return r;
	*ret = &TAKE(s)->port;
	return 0;
}

int store_sqlite_open(sd_event *loop, const char *path, struct port_store **ret, struct err *e)
{
	return store_sqlite_open_vfs(loop, path, NULL, ret, e);
}
