/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The only sender. The rows, their retries and due times are the engine's; here is one try of one row.
 *
 *   send() ─┬─ target not understood, queue full ──────────────► finished ─┐
 *           └─ waiting ─► worker thread: dest_*.send() blocks ─► finished ─┴─ eventfd ─► loop: sink->delivered()
 *
 * One thread, because what blocks is a disk's sync, and syncs of one disk do not get faster side by side; and because
 * lines of one file then keep the order in which the engine sent them. A destination that hangs holds up the others,
 * so none may wait without end (dest.h). Two lists under one lock are all the threads share; jobs belong to one side
 * at a time. The answer is always given by the loop, also when it is known at once: the engine is in the middle of
 * its turn when it calls send().
 */
#include "dest/deliver.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/id.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "dest/dest.h"

struct job {
	struct list link;
	struct dest_job job;
	const struct dest_ops *dest;
	struct dest_result result;
	char function[LIM_FUNCTION_NAME_MAX + 1];	/* "" = not known; these two for the log */
	unsigned int attempt;
};

struct deliver {
	struct port_deliver port;
	const struct deliver_sink *sink;
	sd_event_source *answers;
	int efd;			/* counts up when `finished` got something; nonblocking */
	pthread_t worker;
	bool started;

	pthread_mutex_t lock;		/* of everything below */
	pthread_cond_t news;		/* waiting grew, or stopping */
	struct list waiting, finished;
	int n_waiting;
	bool stopping;
};

static void job_free(struct job *j)
{
	list_del(&j->link);
	blob_unref(j->job.body);
	blob_unref(j->job.attributes);
	free(j);
}

static void list_free(struct list *l)
{
	list_for_each_safe(p, tmp, l)
		job_free(list_entry(p, struct job, link));
}

/* Lock held. The counter cannot overflow, so the write cannot fail. */
static void finish(struct deliver *d, struct job *j)
{
	uint64_t one = 1;
	ssize_t n;

	list_add_tail(&d->finished, &j->link);
	n = write(d->efd, &one, sizeof(one));
	assert(n == sizeof(one));
}

static void *worker(void *arg)
{
	struct deliver *d = arg;

	(void)pthread_setname_np(pthread_self(), "fated-deliver");
	pthread_mutex_lock(&d->lock);
	for (;;) {
		struct job *j;

		while (!d->stopping && list_empty(&d->waiting))
			pthread_cond_wait(&d->news, &d->lock);
		if (d->stopping)
			break;
		j = list_first(&d->waiting, struct job, link);
		list_del(&j->link);
		d->n_waiting--;
		pthread_mutex_unlock(&d->lock);
		j->dest->send(&j->job, &j->result);
		pthread_mutex_lock(&d->lock);
		finish(d, j);
	}
	pthread_mutex_unlock(&d->lock);
	return NULL;
}

/* Here and not in the sink: the row's key has the request's id in it, the answer has not. */
static void say_failure(const struct job *j)
{
	bool never = j->result.how == DELIVERED_NEVER;
	char request_id[ID_UUID_LEN + 1];

	if (j->result.how == DELIVERED_ACK)
		return;
	snprintf(request_id, sizeof(request_id), "%.*s", (int)strcspn(j->job.key, ":"), j->job.key);
	log_msg(never ? LOG_ERROR : LOG_WARN,
		&(struct log_ctx){ .function = *j->function ? j->function : NULL, .request_id = request_id, .attempt = j->attempt },
		"delivery %s to %.200s: %s: %s", outbox_role_name(j->job.role), j->job.target.text,
		never ? "failed for good, kept" : "to be tried again", j->result.why);
}

/* On the loop. The batch is taken in one piece: what the sink makes us send comes in a later turn. */
static int answer(sd_event_source *s, int fd, uint32_t revents, void *arg)
{
	struct deliver *d = arg;
	struct list mine;
	uint64_t n;

	(void)!read(fd, &n, sizeof(n));
	list_init(&mine);
	pthread_mutex_lock(&d->lock);
	while (!list_empty(&d->finished)) {
		struct job *j = list_first(&d->finished, struct job, link);

		list_del(&j->link);
		list_add_tail(&mine, &j->link);
	}
	pthread_mutex_unlock(&d->lock);
	while (!list_empty(&mine)) {
		struct job *j = list_first(&mine, struct job, link);

		assert(j->result.how == DELIVERED_ACK || j->result.why[0]);
		say_failure(j);
		d->sink->delivered(d->sink->self, j->job.seq, j->job.role, j->result.how, j->result.why);
		job_free(j);
	}
	return 0;
}

/* False: the result says why it cannot be sent. */
static bool prepare(struct job *j, const struct store_op_outbox *row)
{
	struct err e = {};
	int r;

	j->job.seq = row->seq;
	j->job.role = row->role;
	j->job.body = blob_ref(row->body);
	j->job.attributes = blob_ref(row->attributes);
	snprintf(j->job.key, sizeof(j->job.key), "%s", row->key);
	r = target_parse(row->target, &j->job.target, &e);
	if (r < 0) {
		dest_result_set(&j->result, DELIVERED_NEVER, "target %.80s: %.150s", row->target, err_msg(&e));
		return false;
	}
	j->dest = dest_for(j->job.target.kind);
	if (!j->dest) {
		dest_result_set(&j->result, DELIVERED_NEVER, "a target of kind %s cannot be sent to",
				target_kind_name(j->job.target.kind));
		return false;
	}
	r = j->dest->prepare ? j->dest->prepare(&j->job, &e) : 0;
	if (r < 0)
		dest_result_set(&j->result, DELIVERED_NEVER, "%.250s", err_msg(&e));
	return r >= 0;
}

static void deliver_send(struct port_deliver *port, const struct store_op_outbox *row)
{
	struct deliver *d = container_of(port, struct deliver, port);
	struct job *j = XNEW(struct job);
	bool ready = prepare(j, row);

	list_init(&j->link);
	snprintf(j->function, sizeof(j->function), "%s", row->function);
	j->attempt = (unsigned int)row->attempt;
	pthread_mutex_lock(&d->lock);
	if (!ready) {
		finish(d, j);
	} else if (d->n_waiting >= DELIVER_QUEUE_MAX) {
		dest_result_set(&j->result, DELIVERED_RETRY, "%d deliveries are waiting already", d->n_waiting);
		finish(d, j);
	} else {
		list_add_tail(&d->waiting, &j->link);
		d->n_waiting++;
		pthread_cond_signal(&d->news);
	}
	pthread_mutex_unlock(&d->lock);
}

static const struct port_deliver_ops deliver_ops = { .version = PORT_DELIVER_VERSION, .send = deliver_send };

/* Signals are the loop's: the worker starts with all of them blocked (and a file size limit then answers EFBIG). */
static int worker_start(struct deliver *d)
{
	sigset_t all, old;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&d->worker, NULL, worker, d);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	d->started = r == 0;
	return -r;
}

int deliver_new(sd_event *loop, const struct deliver_sink *sink, struct port_deliver **ret, struct err *e)
{
	struct deliver *d = XNEW(struct deliver);
	int r;

	assert(loop && sink && ret);
	d->port.ops = &deliver_ops;
	d->sink = sink;
	list_init(&d->waiting);
	list_init(&d->finished);
	pthread_mutex_init(&d->lock, NULL);
	pthread_cond_init(&d->news, NULL);
	d->efd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = d->efd < 0 ? -errno : 0;
	if (r >= 0)
		r = sd_event_add_io(loop, &d->answers, d->efd, EPOLLIN, answer, d);
	if (r >= 0)
		r = sd_event_source_set_description(d->answers, "deliver");
	if (r >= 0)
		r = worker_start(d);
	if (r < 0) {
		deliver_free(&d->port);
		return err_errno(e, r, "the delivery thread");
	}
	*ret = &d->port;
	return 0;
}

struct port_deliver *deliver_free(struct port_deliver *port)
{
	struct deliver *d = port ? container_of(port, struct deliver, port) : NULL;

	if (!d)
		return NULL;
	if (d->started) {
		pthread_mutex_lock(&d->lock);
		d->stopping = true;
		pthread_cond_signal(&d->news);
		pthread_mutex_unlock(&d->lock);
		pthread_join(d->worker, NULL);
	}
	sd_event_source_disable_unref(d->answers);
	closep(&d->efd);
	list_free(&d->waiting);
	list_free(&d->finished);
	pthread_cond_destroy(&d->news);
	pthread_mutex_destroy(&d->lock);
	free(d);
	return NULL;
}
