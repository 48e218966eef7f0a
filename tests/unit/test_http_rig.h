/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A real server on a temporary unix socket, its loop in a thread of its own; clients block in the test's thread. */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "lib/test.h"
#include "net/http_call.h"
#include "net/http_server.h"

struct rig {
	char dir[64], path[96];
	struct http_peers peers;
	unsigned int idle_timeout_s;	/* 0 = the server's own */
	sd_event *loop;
	struct http_server *server;
	struct http_stats stats;	/* after rig_stop */
	int stop_fd, listen_fd;
	pthread_t thread;
	sem_t ready;
	void (*setup)(struct rig *r);		/* in the loop's thread */
	void (*stopping)(struct rig *r);	/* before the server is freed */
	void (*teardown)(struct rig *r);	/* after */
	void *data;
};

/* Waits until *n is at least want; the bound is for a broken program, not for a slow machine. */
static inline void wait_count(const int *n, int want)
{
	for (int i = 0; i < 60000 && __atomic_load_n(n, __ATOMIC_SEQ_CST) < want; i++)
		(void)poll(NULL, 0, 1);
	CHECK(__atomic_load_n(n, __ATOMIC_SEQ_CST) >= want);
}

static int rig_on_stop(sd_event_source *src, int fd, uint32_t events, void *arg)
{
	return sd_event_exit(arg, 0);
}

static void *rig_main(void *arg)
{
	struct rig *r = arg;
	struct http_server_config cfg = { .listen_fd = r->listen_fd, .peers = &r->peers, .idle_timeout_s = r->idle_timeout_s };
	struct err e = {};

	if (sd_event_new(&r->loop) < 0 || http_server_new(r->loop, &cfg, &r->server, &e) < 0 ||
	    sd_event_add_io(r->loop, NULL, r->stop_fd, EPOLLIN, rig_on_stop, r->loop) < 0) {
		fprintf(stderr, "# no server: %s\n", err_msg(&e));
		abort();
	}
	r->setup(r);
	sem_post(&r->ready);
	(void)sd_event_loop(r->loop);
	if (r->stopping)
		r->stopping(r);
	http_server_stats(r->server, &r->stats);
	r->server = http_server_free(r->server);
	if (r->teardown)
		r->teardown(r);
	r->loop = sd_event_unref(r->loop);
	return NULL;
}

static inline void rig_start(struct rig *r)
{
	struct err e = {};

	snprintf(r->dir, sizeof(r->dir), "/tmp/fated-http-XXXXXX");
	CHECK(mkdtemp(r->dir));
	snprintf(r->path, sizeof(r->path), "%s/s", r->dir);
	if (!r->peers.uid)
		r->peers.uid = geteuid();
	if (http_listen_unix(r->path, &r->peers, &r->listen_fd, &e) < 0)
		FAIL("%s", err_msg(&e));
	r->stop_fd = eventfd(0, EFD_CLOEXEC);
	CHECK(r->stop_fd >= 0);
	sem_init(&r->ready, 0, 0);
	CHECK(pthread_create(&r->thread, NULL, rig_main, r) == 0);
	sem_wait(&r->ready);
}

static inline void rig_stop(struct rig *r)
{
	uint64_t one = 1;

	CHECK(write(r->stop_fd, &one, sizeof(one)) == sizeof(one));
	CHECK(pthread_join(r->thread, NULL) == 0);
	close(r->stop_fd);
	sem_destroy(&r->ready);
	unlink(r->path);
	rmdir(r->dir);
}

/* ---- raw clients */

static inline int raw_connect(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CHECK(fd >= 0 && strlen(path) < sizeof(addr.sun_path));
	memcpy(addr.sun_path, path, strlen(path) + 1);
	CHECK(connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0);
	return fd;
}

/* False: the server has hung up on us, which a hostile client must expect. */
static inline bool raw_send(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len) {
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

		if (n < 0)
			return false;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

static inline bool raw_sends(int fd, const char *text)
{
	return raw_send(fd, text, strlen(text));
}

struct raw_answer { int status; char head[4096]; char *body; size_t len; };

/* One answer; status 0 when the connection ends instead. body is the caller's to free. Reads not a byte beyond it. */
static inline struct raw_answer raw_read(int fd)
{
	struct raw_answer a = {};
	size_t n = 0;
	char *cl;

	while (n + 1 < sizeof(a.head) && recv(fd, a.head + n, 1, 0) == 1) {
		a.head[++n] = '\0';
		if (n >= 4 && memcmp(a.head + n - 4, "\r\n\r\n", 4) == 0)
			break;
	}
	if (sscanf(a.head, "HTTP/1.1 %d", &a.status) != 1)
		return a;
	cl = strcasestr(a.head, "\r\nContent-Length:");
	a.len = cl ? strtoul(cl + 17, NULL, 10) : 0;
	a.body = calloc(1, a.len + 1);
	for (size_t got = 0; got < a.len;) {
		ssize_t r = recv(fd, a.body + got, a.len - got, 0);

		if (r <= 0) {
			a.status = 0;
			break;
		}
		got += (size_t)r;
	}
	return a;
}

static inline bool raw_closed(int fd)
{
	char c;

	return recv(fd, &c, 1, 0) <= 0;
}
