/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One blocking HTTP call after the other over a unix socket: what a client program needs, and nothing for the daemon. */
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"

#define HTTP_CALL_HEADERS_MAX 64
#define HTTP_CALL_BODY_MAX (256u << 20)		/* a longer answer is -EMSGSIZE */

struct http_caller;	/* keeps its connection between calls */
int http_caller_new(const char *socket_path, struct http_caller **ret, struct err *e);
struct http_caller *http_caller_free(struct http_caller *c);	/* NULL in; returns NULL */
DEFINE_FREEP(http_caller_free, struct http_caller *)

struct http_call {
	const char *method;
	const char *target;		/* path and query, already percent-encoded */
	const char *const *headers;	/* "Name: value", NULL-terminated; NULL = none */
	const char *body;		/* NULL = none */
	size_t body_len;
	long timeout_ms;		/* for all of it; 0 = none: a function may run as long as it may */
};
struct http_result {
	int status;
	struct buf body;
	struct { char *name, *value; } headers[HTTP_CALL_HEADERS_MAX];	/* further ones are dropped */
	size_t n_headers;
};
/*
 * 0 when an answer came, whatever its status. -ECONNREFUSED, -ENOENT, -EACCES… when there was nobody to ask, -EPIPE
 * when the answer broke off, -ETIMEDOUT; e says so in a sentence for people. ret is filled from empty; http_result_done in
 * any case.
 */
int http_call(struct http_caller *c, const struct http_call *call, struct http_result *ret, struct err *e);
void http_result_done(struct http_result *r);
/* NULL when absent; names compare without case. Borrowed. */
const char *http_result_header(const struct http_result *r, const char *name);

/* Appends text with everything but unreserved characters (RFC 3986) percent-encoded. */
void http_encode(struct buf *b, const char *text);
