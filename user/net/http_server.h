/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * HTTP/1.1 in, on an sd-event loop, through libmicrohttpd. No threads. A request is answered at once or later, by the
 * loop's thread, exactly once; or its client goes away first, and then the handler is told.
 *
 * One server serves one listening socket; a TCP listener is a second server with the same handler.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <systemd/sd-event.h>

#include "base/blob.h"
#include "base/err.h"
#include "net/http_listen.h"

struct http_server;
struct http_req;	/* owned by the server; valid from begin() until done() has returned */

/* All but refused and done may answer; none may free the server. */
struct http_handler {
	void *arg;
	/* The peer is not one of struct http_peers: must answer now. begin() is not called; done() will be. */
	void (*refused)(void *arg, struct http_req *q, const struct http_peer *who);
	/* The head is there. Returns how many bytes of body there may be. A request answered here has its body dropped. */
	size_t (*begin)(void *arg, struct http_req *q);
	/* The body is there. Answers now or later. */
	void (*complete)(void *arg, struct http_req *q);
	/* Instead of complete(): the body is longer than begin() said; size as sent (or announced). Must answer now. */
	void (*too_large)(void *arg, struct http_req *q, uint64_t size);
	/* The last call about q, answered or not: without an answer its client is gone, and nobody may answer any more. */
	void (*done)(void *arg, struct http_req *q);
};

struct http_server_config {
	int listen_fd;				/* taken over also on failure */
	const struct http_peers *peers;		/* copied; NULL = everybody who can connect (TCP) */
	int64_t priority;			/* of the loop's sources */
	unsigned int connections_max;		/* 0 = 1000 */
	unsigned int idle_timeout_s;		/* a connection with no request under way, or a stuck one; 0 = 60 */
};

int http_server_new(sd_event *loop, const struct http_server_config *cfg, struct http_server **ret, struct err *e);
/* Closes everything; done() is called for what was under way. Nothing comes in any more. May be called twice. */
void http_server_stop(struct http_server *s);
/* Stops too. NULL in; returns NULL. */
struct http_server *http_server_free(struct http_server *s);
DEFINE_FREEP(http_server_free, struct http_server *)
/* The loop it is on, borrowed: for a handler that answers later by itself. */
sd_event *http_server_loop(const struct http_server *s);
/* Copied. Before the loop runs. */
void http_server_set_handler(struct http_server *s, const struct http_handler *h);

/* Borrowed, as long as q. The path is as sent (still percent-encoded), without the query. */
const char *http_req_method(const struct http_req *q);
const char *http_req_path(const struct http_req *q);
const char *http_req_query(const struct http_req *q);			/* after '?', as sent; NULL = none */
const char *http_req_header(const struct http_req *q, const char *name);	/* NULL = absent */
struct blob *http_req_body(const struct http_req *q);			/* NULL = empty; complete() only and later */
void http_req_set_data(struct http_req *q, void *data);
void *http_req_data(const struct http_req *q);

struct http_header { const char *name, *value; };
/* Values with control characters are refused by assertion: they come from us. */
struct http_answer {
	int status;
	const char *content_type;		/* NULL = application/json */
	const struct http_header *headers;
	size_t n_headers;
	/* The body is one of the two, or nothing. */
	struct blob *blob;			/* a reference is taken */
	char *text;				/* from malloc, taken over */
	size_t len;				/* of text */
};
void http_reply(struct http_req *q, const struct http_answer *a);

/* For status and tests. */
struct http_stats { uint64_t connections, requests, suspended_now, abandoned, refused_peers; };
void http_server_stats(const struct http_server *s, struct http_stats *ret);

/* Percent-decodes len bytes of text into out (terminated, "+" as it is). Returns the length; -EINVAL for a broken or
 * zero escape, -ENAMETOOLONG when it does not fit. */
int http_decode(const char *text, size_t len, char *out, size_t out_size);
