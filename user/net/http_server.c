/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libmicrohttpd without threads: its epoll descriptor is one source of our loop, its next time-out one timer.
 *
 * A request's life, and the function of each edge:
 *
 *   on_uri ─head read→ on_request (begin) ─body→ take_body … ─complete→ run_handler ─┬─ answered at once → queue_answer
 *                                                                                  └─ suspend → http_reply → queue_answer
 *                                                     suspended and its client gone: sweep → close
 *   in all cases last: on_completed (done)
 *
 * Why so:
 * - The URI is copied in on_uri, as sent: MHD decodes in place and would let %2F make two path segments of one.
 * - A body is read to its end before an early answer is given (a refusal, a body too long): closing with bytes unread makes
 *   the kernel send a reset, and the client would see that instead of the answer. There is a bound (DRAIN_MAX); a
 *   client that waits for "100 Continue" is answered at once.
 * - A body's memory grows with what has arrived, not with what was announced.
 * - A suspended connection is out of MHD's epoll set, so a hang-up would go unseen. Adding every one of them to a set of our
 *   own would cost two system calls a request; instead one poll() a second looks at those that are suspended then.
 *   Only POLLHUP counts: a client may shut down its sending side and still want its answer.
 */
#include "net/http_server.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <microhttpd.h>
#include <poll.h>
#include <string.h>

#include "base/list.h"
#include "base/mem.h"

#define DRAIN_MAX (32u << 20)		/* bytes of an unwanted body that we read before we hang up */
#define BODY_FIRST (64u << 10)		/* an announced body up to this gets its memory at once */
#define SWEEP_USEC 1000000u
#define CONNECTIONS_MAX 1000u
#define IDLE_TIMEOUT_S 60u
#define CONNECTION_MEMORY (32u << 10)	/* head of a request and one read of its body; longer heads get 431 */

struct http_server {
	struct MHD_Daemon *mhd;
	sd_event *loop;
	sd_event_source *io, *timer, *again, *sweep;
	uint64_t timer_usec;		/* when timer is armed for; UINT64_MAX = not */
	bool sweep_armed, stopping;
	bool check_peers;
	struct http_peers peers;
	struct http_handler h;
	struct list suspended;		/* struct http_req.node */
	struct http_stats stats;
	struct pollfd *polls;		/* sweep's, of polls_cap */
	size_t polls_cap;
};

struct http_conn {	/* MHD's socket context */
	bool allowed;
	struct http_peer peer;
};

enum req_state { REQ_HEAD = 0, REQ_BODY, REQ_HANDLED, REQ_SUSPENDED, REQ_QUEUED, REQ_DROPPED };

struct http_req {
	struct http_server *s;
	struct MHD_Connection *conn;
	struct list node;
	enum req_state state;
	const char *method;		/* MHD's, as long as the request */
	char *uri;			/* path, terminated where '?' was */
	const char *query;
	uint64_t body_max, announced, received;	/* announced: Content-Length, 0 = unknown or none */
	struct blob *body;
	size_t body_cap;
	bool over;			/* the body is longer than body_max */
	struct MHD_Response *answer;
	int status;
	void *data;
};

/* ---- the loop ---------------------------------------------------------------------------------------------- */

static void arm(struct http_server *s)
{
	MHD_UNSIGNED_LONG_LONG ms;
	uint64_t now, at;

	if (MHD_get_timeout(s->mhd, &ms) != MHD_YES)
		return;		/* a timer armed earlier may fire for nothing */
	if (ms == 0) {
		(void)sd_event_source_set_enabled(s->again, SD_EVENT_ONESHOT);
		return;
	}
	(void)sd_event_now(s->loop, CLOCK_MONOTONIC, &now);
	at = now + ms * 1000;
	if (s->timer_usec <= at)
		return;
	s->timer_usec = at;
	(void)sd_event_source_set_time(s->timer, at);
	(void)sd_event_source_set_enabled(s->timer, SD_EVENT_ONESHOT);
}

static void run(struct http_server *s)
{
	(void)MHD_run(s->mhd);
	arm(s);
}

static int on_io(sd_event_source *src, int fd, uint32_t events, void *arg)
{
	run(arg);
	return 0;
}

static int on_again(sd_event_source *src, void *arg)
{
	run(arg);
	return 0;
}

static int on_timer(sd_event_source *src, uint64_t usec, void *arg)
{
	struct http_server *s = arg;

	s->timer_usec = UINT64_MAX;
	run(s);
	return 0;
}

/* ---- requests ---------------------------------------------------------------------------------------------- */

/* First sight of a request; what it returns is the request's context for MHD. NULL: on_request drops it. */
static void *on_uri(void *arg, const char *uri, struct MHD_Connection *conn)
{
	struct http_server *s = arg;
	struct http_req *q = XNEW(struct http_req);
	char *mark;

	q->s = s;
	q->conn = conn;
	list_init(&q->node);
	q->uri = xstrdup(uri);	/* bounded by CONNECTION_MEMORY */
	mark = strchr(q->uri, '?');
	if (mark) {
		*mark = '\0';
		q->query = mark + 1;
	}
	return q;
}

static void on_completed(void *arg, struct MHD_Connection *conn, void **context, enum MHD_RequestTerminationCode code)
{
	struct http_req *q = *context;

	if (!q)
		return;
	*context = NULL;
	list_del(&q->node);
	if (q->state != REQ_HEAD) {
		if (q->state != REQ_QUEUED)
			q->s->stats.abandoned++;
		q->state = REQ_DROPPED;
		q->s->h.done(q->s->h.arg, q);
	}
	if (q->answer)
		MHD_destroy_response(q->answer);
	blob_unref(q->body);
	free(q->uri);
	free(q);
}

static void on_connection(void *arg, struct MHD_Connection *conn, void **context, enum MHD_ConnectionNotificationCode code)
{
	struct http_server *s = arg;
	const union MHD_ConnectionInfo *info;
	struct http_conn *c;

	if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
		free(*context);
		*context = NULL;
		return;
	}
	c = XNEW(struct http_conn);
	s->stats.connections++;
	c->allowed = !s->check_peers;
	info = MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CONNECTION_FD);
	if (s->check_peers && info)
		(void)http_peer_check(info->connect_fd, &s->peers, &c->peer, &c->allowed);
	*context = c;
}

static const struct http_conn *conn_of(struct MHD_Connection *conn)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(conn, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info ? info->socket_context : NULL;
}

static enum MHD_Result queue_answer(struct http_req *q)
{
	enum MHD_Result r = MHD_queue_response(q->conn, (unsigned int)q->status, q->answer);

	q->state = REQ_QUEUED;
	MHD_destroy_response(TAKE(q->answer));
	return r;
}

/* Content-Length, already checked by MHD; only a hint for memory and for messages. */
static uint64_t announced_size(const struct http_req *q)
{
	const char *v = http_req_header(q, MHD_HTTP_HEADER_CONTENT_LENGTH);
	char *end;
	uint64_t n;

	if (!v || *v < '0' || *v > '9')
		return 0;
	errno = 0;
	n = strtoull(v, &end, 10);
	return errno || *end ? 0 : n;
}

static enum MHD_Result head_read(struct http_req *q)
{
	struct http_server *s = q->s;
	const struct http_conn *c = conn_of(q->conn);
	bool waits = http_req_header(q, MHD_HTTP_HEADER_EXPECT) != NULL;

	q->state = REQ_BODY;
	q->announced = announced_size(q);
	s->stats.requests++;
	if (!c || !c->allowed) {
		static const struct http_peer unknown = { .uid = (uid_t)-1, .gid = (gid_t)-1 };

		s->stats.refused_peers++;
		s->h.refused(s->h.arg, q, c ? &c->peer : &unknown);
		assert(q->answer);
	} else {
		q->body_max = s->h.begin(s->h.arg, q);
		if (!q->answer && q->announced > q->body_max && (waits || q->announced > DRAIN_MAX)) {
			s->h.too_large(s->h.arg, q, q->announced);
			assert(q->answer);
		}
	}
	/* Only these are worth a hang-up; all other early answers wait until the body has been read. */
	if (q->answer && (waits || q->announced > DRAIN_MAX))
		return queue_answer(q);
	return MHD_YES;
}

/* Room for n more bytes of body. The announced size bounds the growth, so a whole body is never allocated twice over. */
static int body_reserve(struct http_req *q, size_t n)
{
	size_t have = q->body ? q->body->len : 0, want = have + n, cap;
	struct blob *b;

	if (q->body && want <= q->body_cap)
		return 0;
	cap = q->announced >= want && q->announced <= BODY_FIRST ? (size_t)q->announced : MAX(want, q->body_cap * 2);
	if (q->announced >= want && cap > q->announced)
		cap = (size_t)q->announced;
	b = realloc(q->body, sizeof(*b) + cap + 1);	/* not shared yet: nobody else has a reference */
	if (!b)
		return -ENOMEM;
	if (!q->body)
		*b = (struct blob){ .refs = 1 };
	q->body = b;
	q->body_cap = cap;
	return 0;
}

static enum MHD_Result take_body(struct http_req *q, const char *data, size_t len)
{
	q->received += len;
	if (q->answer || q->over || q->received > q->body_max) {
		if (!q->answer && !q->over) {
			q->over = true;
			q->body = blob_unref(q->body);
		}
		return q->received > DRAIN_MAX + q->body_max ? MHD_NO : MHD_YES;
	}
	if (body_reserve(q, len) < 0)
		return MHD_NO;	/* MHD closes the connection; nothing was accepted */
	memcpy(q->body->data + q->body->len, data, len);
	q->body->len += len;
	q->body->data[q->body->len] = '\0';
	return MHD_YES;
}

static void suspend(struct http_req *q)
{
	struct http_server *s = q->s;
	uint64_t now;

	MHD_suspend_connection(q->conn);
	q->state = REQ_SUSPENDED;
	list_add_tail(&s->suspended, &q->node);
	s->stats.suspended_now++;
	if (!s->sweep_armed) {
		s->sweep_armed = true;
		(void)sd_event_now(s->loop, CLOCK_MONOTONIC, &now);
		(void)sd_event_source_set_time(s->sweep, now + SWEEP_USEC);
		(void)sd_event_source_set_enabled(s->sweep, SD_EVENT_ONESHOT);
	}
}

static enum MHD_Result run_handler(struct http_req *q)
{
	struct http_server *s = q->s;

	q->state = REQ_HANDLED;
	if (!q->answer) {
		if (q->over) {
			s->h.too_large(s->h.arg, q, MAX(q->received, q->announced));
			assert(q->answer);
		} else {
			s->h.complete(s->h.arg, q);
		}
	}
	if (q->answer)
		return queue_answer(q);
	suspend(q);
	return MHD_YES;
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *conn, const char *url, const char *method,
				  const char *version, const char *data, size_t *len, void **context)
{
	struct http_req *q = *context;

	if (!q || (q->s->stopping && q->state < REQ_HANDLED))
		return MHD_NO;	/* what arrives during the last MHD_run() is not begun: it might be suspended for ever */
	switch (q->state) {
	case REQ_HEAD:
		q->method = method;
		return head_read(q);
	case REQ_BODY:
		if (*len) {
			enum MHD_Result r = take_body(q, data, *len);

			*len = 0;
			return r;
		}
		return run_handler(q);
	case REQ_HANDLED:	/* resumed by http_reply */
		return q->answer ? queue_answer(q) : MHD_NO;
	case REQ_SUSPENDED:
	case REQ_QUEUED:
	case REQ_DROPPED:	/* resumed by sweep */
		break;
	}
	return MHD_NO;
}

static void unsuspend(struct http_req *q, enum req_state to)
{
	assert(q->state == REQ_SUSPENDED);
	list_del(&q->node);
	q->s->stats.suspended_now--;
	q->state = to;
	MHD_resume_connection(q->conn);
	/* Without threads of its own MHD wakes nobody: it looks at the resumed ones in the next MHD_run(), one for all of a
	 * turn. */
	(void)sd_event_source_set_enabled(q->s->again, SD_EVENT_ONESHOT);
}

static int on_sweep(sd_event_source *src, uint64_t usec, void *arg)
{
	struct http_server *s = arg;
	size_t n = 0;

	s->sweep_armed = false;
	if (s->stats.suspended_now > s->polls_cap) {
		s->polls_cap = s->stats.suspended_now * 2;
		s->polls = xrealloc(s->polls, s->polls_cap * sizeof(*s->polls));
	}
	list_for_each_safe(l, tmp, &s->suspended) {
		struct http_req *q = list_entry(l, struct http_req, node);
		const union MHD_ConnectionInfo *info = MHD_get_connection_info(q->conn, MHD_CONNECTION_INFO_CONNECTION_FD);

		s->polls[n++] = (struct pollfd){ .fd = info ? info->connect_fd : -1 };
	}
	if (n && poll(s->polls, n, 0) > 0) {
		n = 0;	/* same order as above: nothing was added or dropped between */
		list_for_each_safe(l, tmp, &s->suspended)
			if (s->polls[n++].revents & (POLLHUP | POLLERR | POLLNVAL))
				unsuspend(list_entry(l, struct http_req, node), REQ_DROPPED);
	}
	if (!list_empty(&s->suspended)) {
		s->sweep_armed = true;
		(void)sd_event_source_set_time(s->sweep, usec + SWEEP_USEC);
		(void)sd_event_source_set_enabled(s->sweep, SD_EVENT_ONESHOT);
	}
	return 0;
}

/* ---- answers ----------------------------------------------------------------------------------------------- */

static void unref_body(void *arg)
{
	blob_unref(arg);
}

static void add_header(struct MHD_Response *r, const char *name, const char *value)
{
	enum MHD_Result ok = MHD_add_response_header(r, name, value);

	assert(ok == MHD_YES);	/* refused: a line break in it, or no memory for a few bytes */
}

void http_reply(struct http_req *q, const struct http_answer *a)
{
	struct MHD_Response *r;

	assert(q && a && !q->answer && q->state < REQ_QUEUED);
	if (a->blob)
		r = MHD_create_response_from_buffer_with_free_callback_cls(a->blob->len, a->blob->data, unref_body,
									   blob_ref(a->blob));
	else if (a->text)
		r = MHD_create_response_from_buffer(a->len, a->text, MHD_RESPMEM_MUST_FREE);
	else
		r = MHD_create_response_from_buffer(0, (void *)"", MHD_RESPMEM_PERSISTENT);
	assert(r);
	add_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, a->content_type ? a->content_type : "application/json");
	for (size_t i = 0; i < a->n_headers; i++)
		add_header(r, a->headers[i].name, a->headers[i].value);
	q->answer = r;
	q->status = a->status;
	if (q->state == REQ_SUSPENDED)
		unsuspend(q, REQ_HANDLED);
}

const char *http_req_method(const struct http_req *q)
{
	return q->method;
}

const char *http_req_path(const struct http_req *q)
{
	return q->uri;
}

const char *http_req_query(const struct http_req *q)
{
	return q->query;
}

const char *http_req_header(const struct http_req *q, const char *name)
{
	return MHD_lookup_connection_value(q->conn, MHD_HEADER_KIND, name);
}

struct blob *http_req_body(const struct http_req *q)
{
	return q->body;
}

void http_req_set_data(struct http_req *q, void *data)
{
	q->data = data;
}

void *http_req_data(const struct http_req *q)
{
	return q->data;
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 32;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int http_decode(const char *text, size_t len, char *out, size_t out_size)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (c == '%') {
			int high = i + 2 < len ? hex(text[i + 1]) : -1, low = high < 0 ? -1 : hex(text[i + 2]);

			if (low < 0 || !(high | low))
				return -EINVAL;
			c = (char)(high << 4 | low);
			i += 2;
		}
		if (n + 1 >= out_size)
			return -ENAMETOOLONG;
		out[n++] = c;
	}
	out[n] = '\0';
	return (int)n;
}

/* ---- life -------------------------------------------------------------------------------------------------- */

static int add_sources(struct http_server *s, int fd, int64_t priority, struct err *e)
{
	sd_event_source **all[] = { &s->io, &s->again, &s->timer, &s->sweep };
	int r;

	r = sd_event_add_io(s->loop, &s->io, fd, EPOLLIN, on_io, s);
	if (r >= 0)
		r = sd_event_add_defer(s->loop, &s->again, on_again, s);
	if (r >= 0)
		r = sd_event_source_set_enabled(s->again, SD_EVENT_OFF);
	if (r >= 0)
		r = sd_event_add_time(s->loop, &s->timer, CLOCK_MONOTONIC, 0, 100000, on_timer, s);
	if (r >= 0)
		r = sd_event_source_set_enabled(s->timer, SD_EVENT_OFF);
	if (r >= 0)
		r = sd_event_add_time(s->loop, &s->sweep, CLOCK_MONOTONIC, 0, 0, on_sweep, s);
	if (r >= 0)
		r = sd_event_source_set_enabled(s->sweep, SD_EVENT_OFF);
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(all); i++)
		r = sd_event_source_set_priority(*all[i], priority);
	if (r >= 0)
		(void)sd_event_source_set_description(s->io, "http");
	return r < 0 ? err_errno(e, r, "HTTP server: event source") : 0;
}

int http_server_new(sd_event *loop, const struct http_server_config *cfg, struct http_server **ret, struct err *e)
{
	CLEAN(closep) int fd = cfg->listen_fd;
	CLEAN(http_server_freep) struct http_server *s = XNEW(struct http_server);
	const union MHD_DaemonInfo *info;
	int r;

	assert(loop && ret && fd >= 0);
	list_init(&s->suspended);
	s->loop = sd_event_ref(loop);
	s->timer_usec = UINT64_MAX;
	if (cfg->peers) {
		s->check_peers = true;
		s->peers = *cfg->peers;
	}
	s->mhd = MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, on_request, s,
		MHD_OPTION_LISTEN_SOCKET, (MHD_socket)fd,
		MHD_OPTION_URI_LOG_CALLBACK, on_uri, s,
		MHD_OPTION_NOTIFY_COMPLETED, on_completed, s,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, s,
		MHD_OPTION_CONNECTION_LIMIT, cfg->connections_max ? cfg->connections_max : CONNECTIONS_MAX,
		MHD_OPTION_CONNECTION_TIMEOUT, cfg->idle_timeout_s ? cfg->idle_timeout_s : IDLE_TIMEOUT_S,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
		MHD_OPTION_STRICT_FOR_CLIENT, 1,
		MHD_OPTION_END);
	if (!s->mhd)
		return err_set(e, -EIO, "HTTP server does not start");
	(void)TAKE_FD(fd);	/* MHD closes it */
	info = MHD_get_daemon_info(s->mhd, MHD_DAEMON_INFO_EPOLL_FD);
	if (!info || info->epoll_fd < 0)
		return err_set(e, -ENOSYS, "HTTP server: libmicrohttpd was built without epoll");
	r = add_sources(s, info->epoll_fd, cfg->priority, e);
	if (r < 0)
		return r;
	*ret = TAKE(s);
	return 0;
}

void http_server_stop(struct http_server *s)
{
	s->stopping = true;
	list_for_each_safe(l, tmp, &s->suspended)
		unsuspend(list_entry(l, struct http_req, node), REQ_DROPPED);
	if (s->mhd) {
		(void)MHD_run(s->mhd);	/* MHD must not be stopped while a connection is suspended: let it resume them */
		MHD_stop_daemon(TAKE(s->mhd));
	}
	s->io = sd_event_source_disable_unref(s->io);
	s->again = sd_event_source_disable_unref(s->again);
	s->timer = sd_event_source_disable_unref(s->timer);
	s->sweep = sd_event_source_disable_unref(s->sweep);
}

struct http_server *http_server_free(struct http_server *s)
{
	if (!s)
		return NULL;
	http_server_stop(s);
	sd_event_unref(s->loop);
	free(s->polls);
	free(s);
	return NULL;
}

sd_event *http_server_loop(const struct http_server *s)
{
	return s->loop;
}

void http_server_set_handler(struct http_server *s, const struct http_handler *h)
{
	assert(h->refused && h->begin && h->complete && h->too_large && h->done);
	s->h = *h;
}

void http_server_stats(const struct http_server *s, struct http_stats *ret)
{
	*ret = s->stats;
}
