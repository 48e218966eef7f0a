/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libcurl over CURLOPT_UNIX_SOCKET_PATH. Everything that could lead the call elsewhere is off: proxies from the
 * environment, redirects, other protocols, .netrc. "Expect: 100-continue" is off too: our server reads a refused body.
 */
#include "net/http_call.h"

#include <assert.h>
#include <curl/curl.h>
#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>

#define CONNECT_TIMEOUT_MS 10000L

struct http_caller {
	CURL *curl;
	char *path;
};

int http_caller_new(const char *socket_path, struct http_caller **ret, struct err *e)
{
	CLEAN(http_caller_freep) struct http_caller *c = XNEW(struct http_caller);

	if (strlen(socket_path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return err_set(e, -ENAMETOOLONG, "socket path too long: %s", socket_path);
	c->path = xstrdup(socket_path);
	c->curl = curl_easy_init();
	if (!c->curl)
		return err_set(e, -ENOMEM, "libcurl");
	*ret = TAKE(c);
	return 0;
}

struct http_caller *http_caller_free(struct http_caller *c)
{
	if (c) {
		curl_easy_cleanup(c->curl);
		free(c->path);
		free(c);
	}
	return NULL;
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	struct http_result *r = arg;

	if (r->body.len + n > HTTP_CALL_BODY_MAX || buf_reserve(&r->body, n) < 0)
		return 0;	/* CURLE_WRITE_ERROR */
	buf_add(&r->body, data, n);
	return n;
}

static size_t on_header(char *data, size_t size, size_t n, void *arg)
{
	struct http_result *r = arg;
	const char *colon = memchr(data, ':', n), *end = data + n, *v;

	if (n >= 5 && memcmp(data, "HTTP/", 5) == 0) {	/* after "100 Continue" comes the real answer */
		while (r->n_headers) {
			r->n_headers--;
			free(r->headers[r->n_headers].name);
			free(r->headers[r->n_headers].value);
		}
		return n;
	}
	if (!colon || r->n_headers == HTTP_CALL_HEADERS_MAX)
		return n;
	for (v = colon + 1; v < end && (*v == ' ' || *v == '\t'); v++)
		;
	while (end > v && strchr("\r\n \t", end[-1]))
		end--;
	r->headers[r->n_headers].name = xstrndup(data, (size_t)(colon - data));
	r->headers[r->n_headers].value = xstrndup(v, (size_t)(end - v));
	r->n_headers++;
	return n;
}

/* Why nobody answered, from the socket itself: libcurl knows only that it could not connect. */
static int why_no_connection(const struct http_caller *c, struct err *e)
{
	CLEAN(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int r = -ECONNREFUSED;

	memcpy(addr.sun_path, c->path, strlen(c->path) + 1);
	if (fd >= 0 && connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
		r = -errno;
	if (r == -EACCES || r == -EPERM)
		return err_set(e, r, "cannot connect to %s: %s; only root and the members of the daemon's group may", c->path,
			       strerror(-r));
	return err_set(e, r, "cannot connect to %s: %s: is fated running?", c->path, strerror(-r));
}

static int failure(const struct http_caller *c, const struct http_call *call, CURLcode code, const char *detail, struct err *e)
{
	switch (code) {
	case CURLE_OPERATION_TIMEDOUT:
		if (call->timeout_ms)
			return err_set(e, -ETIMEDOUT, "no answer from %s in %ld s", c->path, call->timeout_ms / 1000);
		return why_no_connection(c, e);
	case CURLE_COULDNT_CONNECT:
		return why_no_connection(c, e);
	case CURLE_WRITE_ERROR:
		return err_set(e, -EMSGSIZE, "the answer from %s is too long", c->path);
	default:
		return err_set(e, -EPIPE, "%s broke off: %s", c->path, *detail ? detail : curl_easy_strerror(code));
	}
}

static void set_request(CURL *h, const struct http_call *call, const char *url)
{
	curl_easy_setopt(h, CURLOPT_URL, url);
	curl_easy_setopt(h, CURLOPT_PATH_AS_IS, 1L);
	if (call->body) {
		curl_easy_setopt(h, CURLOPT_POST, 1L);
		curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body_len);
		curl_easy_setopt(h, CURLOPT_POSTFIELDS, call->body);
	} else if (strcmp(call->method, "POST") == 0) {
		curl_easy_setopt(h, CURLOPT_POST, 1L);
		curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)0);
		curl_easy_setopt(h, CURLOPT_POSTFIELDS, "");
	} else {
		curl_easy_setopt(h, CURLOPT_HTTPGET, 1L);
	}
	curl_easy_setopt(h, CURLOPT_CUSTOMREQUEST, call->method);
}

int http_call(struct http_caller *c, const struct http_call *call, struct http_result *ret, struct err *e)
{
	struct curl_slist *headers = NULL;
	char detail[CURL_ERROR_SIZE] = "";
	CLEAN(freep) char *url = NULL;
	CURLcode code;
	long status = 0;

	assert(c && call && call->method && call->target[0] == '/');
	*ret = (struct http_result){};
	url = xasprintf("http://fated%s", call->target);
	headers = curl_slist_append(headers, "Expect:");
	headers = curl_slist_append(headers, "Content-Type: application/json");
	for (size_t i = 0; call->headers && call->headers[i]; i++)
		headers = curl_slist_append(headers, call->headers[i]);

	curl_easy_reset(c->curl);	/* options only: connections stay */
	curl_easy_setopt(c->curl, CURLOPT_UNIX_SOCKET_PATH, c->path);
	curl_easy_setopt(c->curl, CURLOPT_PROXY, "");
	curl_easy_setopt(c->curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c->curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
	curl_easy_setopt(c->curl, CURLOPT_TIMEOUT_MS, call->timeout_ms);
	curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, ret);
	curl_easy_setopt(c->curl, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(c->curl, CURLOPT_HEADERDATA, ret);
	curl_easy_setopt(c->curl, CURLOPT_ERRORBUFFER, detail);
	set_request(c->curl, call, url);

	code = curl_easy_perform(c->curl);
	curl_easy_setopt(c->curl, CURLOPT_ERRORBUFFER, NULL);
	curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, NULL);
	curl_slist_free_all(headers);
	if (code != CURLE_OK)
		return failure(c, call, code, detail, e);
	curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &status);
	ret->status = (int)status;
	return 0;
}

void http_result_done(struct http_result *r)
{
	buf_done(&r->body);
	for (size_t i = 0; i < r->n_headers; i++) {
		free(r->headers[i].name);
		free(r->headers[i].value);
	}
	*r = (struct http_result){};
}

const char *http_result_header(const struct http_result *r, const char *name)
{
	for (size_t i = 0; i < r->n_headers; i++)
		if (strcasecmp(r->headers[i].name, name) == 0)
			return r->headers[i].value;
	return NULL;
}

void http_encode(struct buf *b, const char *text)
{
	for (const char *p = text; *p; p++) {
		unsigned char ch = (unsigned char)*p;

		if ((ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9') || strchr("-._~", ch))
			buf_addc(b, *p);
		else
			buf_addf(b, "%%%02X", ch);
	}
}
