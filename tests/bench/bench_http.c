/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The least a client can do: one request, one answer with a Content-Length, one connection kept. The client's own time
 * is part of what the daemon is charged with, so it must be small; a wrong answer ends the run.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "bench/bench.h"

void http_open(struct http *h, const char *socket_path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	if (strlen(socket_path) >= sizeof(a.sun_path))
		bench_die("%s: too long for a socket's path", socket_path);
	memcpy(a.sun_path, socket_path, strlen(socket_path) + 1);
	h->used = 0;
	h->fd = bench_check(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
	bench_check(connect(h->fd, (struct sockaddr *)&a, sizeof(a)), socket_path);
}

void http_close(struct http *h)
{
	close(h->fd);
	h->fd = -EBADF;
}

void http_request(struct buf *out, const char *method, const char *path, const char *type, const char *body, size_t len)
{
	buf_clear(out);
	buf_addf(out, "%s %s HTTP/1.1\r\nHost: localhost\r\n", method, path);
	if (type)
		buf_addf(out, "X-Amz-Invocation-Type: %s\r\n", type);
	buf_addf(out, "Content-Length: %zu\r\n\r\n", len);
	buf_add(out, body, len);
}

void http_send(struct http *h, const struct buf *request)
{
	h->used = 0;
	for (size_t done = 0; done < request->len;) {
		ssize_t n = write(h->fd, request->data + done, request->len - done);

		done += (size_t)bench_check((int)n, "request");
	}
}

bool http_read(struct http *h)
{
	ssize_t n = bench_check((int)read(h->fd, h->buf + h->used, sizeof(h->buf) - 1 - h->used), "answer");
	char length[32] = "0";
	char *end;

	if (n == 0)
		bench_die("the daemon hung up after %zu bytes of an answer", h->used);
	h->used += (size_t)n;
	h->buf[h->used] = '\0';
	end = memmem(h->buf, h->used, "\r\n\r\n", 4);
	if (!end) {
		if (h->used == sizeof(h->buf) - 1)
			bench_die("an answer's head is too long");
		return false;
	}
	h->head = (size_t)(end - h->buf) + 4;
	h->status = strncmp(h->buf, "HTTP/1.1 ", 9) == 0 ? atoi(h->buf + 9) : 0;
	(void)http_header(h, "Content-Length", length, sizeof(length));
	h->body = strtoul(length, NULL, 10);
	if (h->head + h->body >= sizeof(h->buf))
		bench_die("an answer is too long");
	return h->used >= h->head + h->body;
}

int http_call(struct http *h, const struct buf *request)
{
	http_send(h, request);
	while (!http_read(h))
		;
	return h->status;
}

const char *http_body(const struct http *h)
{
	return h->buf + h->head;
}

bool http_header(const struct http *h, const char *name, char *out, size_t size)
{
	size_t len = strlen(name);

	for (const char *line = h->buf; line < h->buf + h->head;) {
		const char *end = memmem(line, (size_t)(h->buf + h->head - line), "\r\n", 2);

		if (!end)
			break;
		if ((size_t)(end - line) > len && line[len] == ':' && strncasecmp(line, name, len) == 0) {
			const char *v = line + len + 1;

			while (*v == ' ')
				v++;
			snprintf(out, size, "%.*s", (int)(end - v), v);
			return true;
		}
		line = end + 2;
	}
	return false;
}

double http_number(const struct http *h, const char *name)
{
	char key[64];
	const char *at;

	snprintf(key, sizeof(key), "\"%s\":", name);
	at = strstr(http_body(h), key);
	if (!at)
		bench_die("no %s in the answer: %.600s", name, http_body(h));
	return strtod(at + strlen(key), NULL);
}
