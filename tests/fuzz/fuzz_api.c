/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's side of the socket: any bytes as a connection's, through libmicrohttpd, the server, the routes and every
 * handler, with the scripted engine and store of the unit tests. One thread: the loop is run until it has nothing to do,
 * so an input has one course. Each answer must be whole, and JSON when it says so.
 */
#include "../unit/test_api_fake.h"

#include <fcntl.h>

#include "base/json.h"
#include "fuzz/fuzz.h"

#define ANSWERS_MAX (4u << 20)	/* of one connection; more are not looked at */

static struct sockaddr_un address = { .sun_family = AF_UNIX };
static socklen_t address_len;

/* An abstract name of the kernel's choice: nothing to remove, and as many of us as one likes. */
static void start(void)
{
	struct http_server_config cfg = { .listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0) };
	struct err e;

	address_len = sizeof(address);
	MUST(cfg.listen_fd >= 0 && bind(cfg.listen_fd, (struct sockaddr *)&address, sizeof(sa_family_t)) == 0);
	MUST(listen(cfg.listen_fd, 16) == 0 && getsockname(cfg.listen_fd, (struct sockaddr *)&address, &address_len) == 0);
	MUST(sd_event_new(&fake.rig.loop) >= 0 && http_server_new(fake.rig.loop, &cfg, &fake.rig.server, &e) == 0);
	fake_setup(&fake.rig);
	fake.ended = 7;
	fake.ended_scan = 3;
	fake.failed = 3;
}

static void turn(void)
{
	int r;

	while ((r = sd_event_run(fake.rig.loop, 0)) > 0)
		;
	MUST(r == 0);
}

/* One answer of ours, whole. Returns its length; what libmicrohttpd refuses by itself is the connection's last. */
static size_t check_answer(const char *text, size_t len)
{
	const char *end = memmem(text, len, "\r\n\r\n", 4), *length;
	char head[4096];
	size_t n, body;
	int status = 0;

	MUST(end && (size_t)(end - text) < sizeof(head) - 4);
	n = (size_t)(end - text) + 4;
	memcpy(head, text, n);
	head[n] = '\0';
	MUST(sscanf(head, "HTTP/1.%*1[01] %3d ", &status) == 1 && status >= 100 && status <= 599);
	if (status == 100)
		return n;
	if (!strcasestr(head, "\r\nx-amzn-RequestId: "))
		return len;
	length = strcasestr(head, "\r\nContent-Length: ");
	MUST(length || status == 204);
	body = length ? strtoul(length + strlen("\r\nContent-Length: "), NULL, 10) : 0;
	if (body > len - n)
		return len;	/* the answer to a HEAD has no body */
	if (body && strcasestr(head, "\r\nContent-Type: application/json\r\n"))
		MUST(json_valid(text + n, body, NULL));
	return n + body;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char answer[ANSWERS_MAX];
	size_t sent = 0, got = 0, at = 0;
	ssize_t n, m;
	int fd;

	if (!fake.rig.loop)
		start();
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	MUST(fd >= 0 && connect(fd, (struct sockaddr *)&address, address_len) == 0);
	do {
		n = send(fd, data + sent, size - sent, MSG_NOSIGNAL);
		sent += n > 0 ? (size_t)n : 0;
		if (sent == size)
			(void)shutdown(fd, SHUT_WR);
		turn();
		m = recv(fd, answer + got, sizeof(answer) - got, 0);
		got += m > 0 ? (size_t)m : 0;
	} while ((n > 0 && sent < size) || m > 0);
	close(fd);
	turn();
	buf_clear(&fake.engine.redrives);
	while (at < got && got < sizeof(answer))
		at += check_answer(answer + at, got - at);
	return 0;
}
