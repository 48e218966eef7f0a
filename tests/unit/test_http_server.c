/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP server, driven by real clients: well-behaved ones (libcurl) and raw bytes. */
#include <grp.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "test_http_rig.h"

#define BODY_MAX 100000

/* What the paths do: /now answers at once, /later from the loop's next turn, /never never, /early in begin(). */
struct site {
	struct rig rig;
	int begun, completed, done, unanswered, answered;
};
static struct site site;
static sem_t stop_reached, stop_go;
struct seen { struct http_req *q; struct site *s; bool answered; };	/* q's data */

static void reply_text(struct http_req *q, int status, const char *text, size_t len)
{
	struct seen *seen = http_req_data(q);
	struct http_answer a = { .status = status, .content_type = "text/plain", .text = malloc(len + 1), .len = len };

	memcpy(a.text, text, len);
	if (seen)
		seen->answered = true;
	http_reply(q, &a);
}

static void site_refused(void *arg, struct http_req *q, const struct http_peer *who)
{
	char text[64];

	reply_text(q, 403, text, (size_t)snprintf(text, sizeof(text), "uid %d", (int)who->uid));
}

static size_t site_begin(void *arg, struct http_req *q)
{
	struct seen *seen = calloc(1, sizeof(*seen));

	*seen = (struct seen){ q, arg, false };
	http_req_set_data(q, seen);
	__atomic_add_fetch(&seen->s->begun, 1, __ATOMIC_SEQ_CST);
	if (strcmp(http_req_path(q), "/early") == 0)
		reply_text(q, 409, "early", 5);
	return BODY_MAX;
}

static void site_echo(struct http_req *q)
{
	struct blob *body = http_req_body(q);
	const char *name = http_req_header(q, "X-Name");
	struct http_header headers[] = { { "X-Name", name ? name : "none" } };

	((struct seen *)http_req_data(q))->answered = true;
	http_reply(q, &(struct http_answer){ .status = 200, .headers = headers, .n_headers = 1, .blob = body });
}

static int site_later(sd_event_source *src, void *arg)
{
	sd_event_source_disable_unref(src);
	site_echo(arg);
	return 0;
}

static void site_complete(void *arg, struct http_req *q)
{
	struct seen *seen = http_req_data(q);
	const char *path = http_req_path(q);
	sd_event_source *src = NULL;

	__atomic_add_fetch(&seen->s->completed, 1, __ATOMIC_SEQ_CST);
	if (strcmp(path, "/never") == 0)
		return;
	if (strcmp(path, "/stop") == 0) {	/* holds the loop until the test says go, and ends it */
		sem_post(&stop_reached);
		sem_wait(&stop_go);
		(void)sd_event_exit(seen->s->rig.loop, 0);
		return;
	}
	if (strcmp(path, "/later") == 0)
		assert(sd_event_add_defer(seen->s->rig.loop, &src, site_later, q) >= 0);
	else if (strcmp(path, "/uri") == 0)
		reply_text(q, 200, http_req_query(q) ? http_req_query(q) : "-",
			   strlen(http_req_query(q) ? http_req_query(q) : "-"));
	else if (strcmp(path, "/nothing") == 0)
		seen->answered = true, http_reply(q, &(struct http_answer){ .status = 204 });
	else
		site_echo(q);
}

static void site_too_large(void *arg, struct http_req *q, uint64_t size)
{
	char text[64];

	reply_text(q, 413, text, (size_t)snprintf(text, sizeof(text), "%llu", (unsigned long long)size));
}

static void site_done(void *arg, struct http_req *q)
{
	struct seen *seen = http_req_data(q);
	struct site *s = arg;

	if (seen)
		__atomic_add_fetch(seen->answered ? &s->answered : &s->unanswered, 1, __ATOMIC_SEQ_CST);
	__atomic_add_fetch(&s->done, 1, __ATOMIC_SEQ_CST);
	free(seen);
}

static void site_setup(struct rig *r)
{
	http_server_set_handler(r->server, &(struct http_handler){
		.arg = container_of(r, struct site, rig), .refused = site_refused, .begin = site_begin, .complete = site_complete,
		.too_large = site_too_large, .done = site_done,
	});
}

static struct site *start(void)
{
	site = (struct site){ .rig.setup = site_setup };
	rig_start(&site.rig);
	return &site;
}

static struct http_caller *caller(struct site *s)
{
	struct http_caller *c;

	CHECK(http_caller_new(s->rig.path, &c, NULL) == 0);
	return c;
}

static void call(struct http_caller *c, const char *method, const char *target, const char *body, size_t len,
		 struct http_result *res)
{
	const char *headers[] = { "X-Name: t", NULL };
	struct err e = {};

	if (http_call(c, &(struct http_call){ .method = method, .target = target, .headers = headers, .body = body,
					      .body_len = len },
		      res, &e) < 0)
		FAIL("%s %s: %s", method, target, err_msg(&e));
}

/* ---- well-behaved ------------------------------------------------------------------------------------------ */

static void keep_alive_1000(void)
{
	struct site *s = start();
	struct http_caller *c = caller(s);

	for (int i = 0; i < 1000; i++) {
		struct http_result res;
		char body[32];
		int n = snprintf(body, sizeof(body), "{\"n\":%d}", i);

		call(c, "POST", i % 2 ? "/now" : "/later", body, (size_t)n, &res);
		CHECK_INT(res.status, 200);
		CHECK_STR(buf_str(&res.body), body);
		CHECK_STR(http_result_header(&res, "x-name"), "t");
		CHECK_STR(http_result_header(&res, "content-type"), "application/json");
		http_result_done(&res);
	}
	http_caller_free(c);
	rig_stop(&s->rig);
	CHECK_INT(s->rig.stats.requests, 1000);
	CHECK_INT(s->rig.stats.connections, 1);
	CHECK_INT(s->rig.stats.abandoned, 0);
	CHECK_INT(s->answered, 1000);
	CHECK_INT(s->unanswered, 0);
}

static void bodies_of_all_sizes(void)
{
	static const size_t sizes[] = { 0, 1, 16383, 16384, 32768, 65535, 65536, 65537, BODY_MAX - 1, BODY_MAX };
	struct site *s = start();
	struct http_caller *c = caller(s);
	char *body = malloc(BODY_MAX);

	for (size_t i = 0; i < BODY_MAX; i++)
		body[i] = (char)('a' + i % 23);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct http_result res;

		call(c, "POST", "/later", body, sizes[i], &res);
		CHECK_INT(res.status, 200);
		CHECK_INT(res.body.len, sizes[i]);
		CHECK(memcmp(buf_str(&res.body), body, sizes[i]) == 0);
		http_result_done(&res);
	}
	free(body);
	http_caller_free(c);
	rig_stop(&s->rig);
	CHECK_INT(s->rig.stats.connections, 1);
}

static void many_suspended_at_once(void)
{
	enum { N = 200 };
	struct site *s = start();
	int fd[N];

	for (int i = 0; i < N; i++) {
		fd[i] = raw_connect(s->rig.path);
		CHECK(raw_sends(fd[i], i % 4 ? "GET /never HTTP/1.1\r\nHost: x\r\n\r\n"
					     : "POST /later HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi"));
	}
	wait_count(&s->completed, N);
	for (int i = 0; i < N; i += 4) {
		struct raw_answer a = raw_read(fd[i]);

		CHECK_INT(a.status, 200);
		CHECK_STR(a.body, "hi");
		free(a.body);
	}
	for (int i = 0; i < N; i++)
		close(fd[i]);
	wait_count(&s->unanswered, N - N / 4);	/* each hang-up is noticed although nothing is read from it */
	rig_stop(&s->rig);
	CHECK_INT(s->answered, N / 4);
	CHECK_INT(s->rig.stats.suspended_now, 0);
	CHECK_INT(s->rig.stats.abandoned, N - N / 4);
}

static void half_closed_client_gets_its_answer(void)
{
	struct site *s = start();
	int fd = raw_connect(s->rig.path), gone = raw_connect(s->rig.path);
	struct raw_answer a;

	CHECK(raw_sends(fd, "POST /later HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi"));
	a = raw_read(fd);
	CHECK_INT(a.status, 200);
	free(a.body);
	/* Suspended, sending side shut, then a sweep passes (it takes the other client away): still there. */
	CHECK(raw_sends(fd, "GET /never HTTP/1.1\r\nHost: x\r\n\r\n"));
	CHECK(raw_sends(gone, "GET /never HTTP/1.1\r\nHost: x\r\n\r\n"));
	wait_count(&s->completed, 3);
	CHECK(shutdown(fd, SHUT_WR) == 0);
	close(gone);
	wait_count(&s->unanswered, 1);
	CHECK_INT(__atomic_load_n(&s->unanswered, __ATOMIC_SEQ_CST), 1);
	rig_stop(&s->rig);
	CHECK_INT(s->unanswered, 2);	/* the server's end ended it */
	close(fd);
}

static void stop_with_requests_under_way(void)
{
	struct site *s = start();
	int suspended = raw_connect(s->rig.path), half = raw_connect(s->rig.path), idle = raw_connect(s->rig.path);

	CHECK(raw_sends(suspended, "GET /never HTTP/1.1\r\nHost: x\r\n\r\n"));
	CHECK(raw_sends(half, "POST /now HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf"));
	wait_count(&s->begun, 2);
	wait_count(&s->completed, 1);
	rig_stop(&s->rig);
	CHECK_INT(s->done, 2);
	CHECK_INT(s->unanswered, 2);
	CHECK(raw_closed(suspended));
	CHECK(raw_closed(half));
	CHECK(raw_closed(idle));
	close(suspended);
	close(half);
	close(idle);
}

/* Requests that are first read when the server already stops: not begun, and not suspended for ever. */
static void stop_with_requests_unread(void)
{
	struct site *s = start();
	int stop = raw_connect(s->rig.path), late[20];

	sem_init(&stop_reached, 0, 0);
	sem_init(&stop_go, 0, 0);
	for (size_t i = 0; i < ARRAY_SIZE(late); i++) {
		struct raw_answer a;

		late[i] = raw_connect(s->rig.path);
		CHECK(raw_sends(late[i], "GET /now HTTP/1.1\r\nHost: x\r\n\r\n"));
		a = raw_read(late[i]);
		CHECK_INT(a.status, 200);
		free(a.body);
	}
	CHECK(raw_sends(stop, "GET /stop HTTP/1.1\r\nHost: x\r\n\r\n"));
	sem_wait(&stop_reached);
	for (size_t i = 0; i < ARRAY_SIZE(late); i++)
		CHECK(raw_sends(late[i], "GET /never HTTP/1.1\r\nHost: x\r\n\r\n"));
	sem_post(&stop_go);
	rig_stop(&s->rig);
	CHECK_INT(s->begun, ARRAY_SIZE(late) + 1);
	CHECK_INT(s->done, s->begun);
	for (size_t i = 0; i < ARRAY_SIZE(late); i++) {
		CHECK(raw_closed(late[i]));
		close(late[i]);
	}
	close(stop);
}

static void statuses_without_body(void)
{
	struct site *s = start();
	int fd = raw_connect(s->rig.path);
	struct raw_answer a;

	CHECK(raw_sends(fd, "GET /nothing HTTP/1.1\r\nHost: x\r\n\r\nGET /now HTTP/1.1\r\nHost: x\r\n\r\n"));
	a = raw_read(fd);
	CHECK_INT(a.status, 204);
	CHECK_INT(a.len, 0);
	free(a.body);
	a = raw_read(fd);	/* begins right after: nothing came as a body */
	CHECK_INT(a.status, 200);
	CHECK(strcasestr(a.head, "\r\nContent-Length: 0\r\n"));
	free(a.body);
	close(fd);
	rig_stop(&s->rig);
}

static void uri_as_sent(void)
{
	struct site *s = start();
	struct http_caller *c = caller(s);
	struct http_result res;

	call(c, "GET", "/uri?a=%41&b=+&c", NULL, 0, &res);
	CHECK_STR(buf_str(&res.body), "a=%41&b=+&c");
	http_result_done(&res);
	call(c, "GET", "/uri", NULL, 0, &res);
	CHECK_STR(buf_str(&res.body), "-");
	http_result_done(&res);
	http_caller_free(c);
	rig_stop(&s->rig);
}

/* ---- limits ------------------------------------------------------------------------------------------------ */

static void too_large_is_said_and_the_connection_lives(void)
{
	struct site *s = start();
	struct http_caller *c = caller(s);
	struct http_result res;
	size_t len = 3 * BODY_MAX;
	char *body = calloc(1, len), want[32];

	for (int i = 0; i < 3; i++) {
		size_t n = i == 0 ? BODY_MAX + 1 : len;

		call(c, "POST", "/now", body, n, &res);
		CHECK_INT(res.status, 413);
		snprintf(want, sizeof(want), "%zu", n);
		CHECK_STR(buf_str(&res.body), want);
		http_result_done(&res);
	}
	call(c, "POST", "/early", body, len, &res);	/* refused in begin(), and still no reset */
	CHECK_INT(res.status, 409);
	http_result_done(&res);
	free(body);
	http_caller_free(c);
	rig_stop(&s->rig);
	CHECK_INT(s->completed, 0);
	CHECK_INT(s->rig.stats.connections, 1);
}

static void too_large_chunked(void)
{
	struct site *s = start();
	int fd = raw_connect(s->rig.path);
	char *chunk = malloc(4096);
	struct raw_answer a;

	memset(chunk, 'x', 4096);
	CHECK(raw_sends(fd, "POST /now HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"));
	for (int i = 0; i < 50; i++)
		CHECK(raw_sends(fd, "1000\r\n") && raw_send(fd, chunk, 4096) && raw_sends(fd, "\r\n"));
	CHECK(raw_sends(fd, "0\r\n\r\n"));
	a = raw_read(fd);
	CHECK_INT(a.status, 413);
	CHECK_STR(a.body, "204800");
	free(a.body);
	/* And one that fits, in odd pieces. */
	CHECK(raw_sends(fd, "POST /now HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "
			"chunked\r\n\r\n1\r\na\r\n2;x=y\r\nbc\r\n0\r\n\r\n"));
	a = raw_read(fd);
	CHECK_INT(a.status, 200);
	CHECK_STR(a.body, "abc");
	free(a.body);
	free(chunk);
	close(fd);
	rig_stop(&s->rig);
}

static void endless_body_is_cut(void)
{
	struct site *s = start();
	int fd = raw_connect(s->rig.path);
	char *chunk = calloc(1, 1 << 20);
	bool cut = false;

	CHECK(raw_sends(fd, "POST /now HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"));
	for (int i = 0; i < 256 && !cut; i++)
		cut = !(raw_sends(fd, "100000\r\n") && raw_send(fd, chunk, 1 << 20) && raw_sends(fd, "\r\n"));
	CHECK(cut);
	free(chunk);
	close(fd);
	wait_count(&s->done, 1);
	rig_stop(&s->rig);
	CHECK_INT(s->completed, 0);
}

static void announced_too_large_is_answered_at_once(void)
{
	static const char *const heads[] = {
		"POST /now HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n",
		"POST /now HTTP/1.1\r\nHost: x\r\nContent-Length: 100001\r\nExpect: 100-continue\r\n\r\n",
		"POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
	};
	static const int statuses[] = { 413, 413, 409 };
	struct site *s = start();

	for (size_t i = 0; i < ARRAY_SIZE(heads); i++) {
		int fd = raw_connect(s->rig.path);
		struct raw_answer a;

		CHECK(raw_sends(fd, heads[i]));
		a = raw_read(fd);
		CHECK_INT(a.status, statuses[i]);
		free(a.body);
		CHECK(raw_closed(fd));
		close(fd);
	}
	rig_stop(&s->rig);
}

static void expect_100_is_served(void)
{
	struct site *s = start();
	int fd = raw_connect(s->rig.path);
	struct raw_answer a;

	CHECK(raw_sends(fd, "POST /now HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"));
	a = raw_read(fd);
	CHECK_INT(a.status, 100);
	free(a.body);
	CHECK(raw_sends(fd, "hi"));
	a = raw_read(fd);
	CHECK_INT(a.status, 200);
	CHECK_STR(a.body, "hi");
	free(a.body);
	close(fd);
	rig_stop(&s->rig);
}

/* ---- hostile ----------------------------------------------------------------------------------------------- */

/* After anything a hostile client does, the next one is served. */
static void check_alive(struct site *s)
{
	struct http_caller *c = caller(s);
	struct http_result res;

	call(c, "POST", "/now", "ok", 2, &res);
	CHECK_STR(buf_str(&res.body), "ok");
	http_result_done(&res);
	http_caller_free(c);
}

static void pipelined(void)
{
	struct site *s = start();
	int fd = raw_connect(s->rig.path);

	CHECK(raw_sends(fd, "POST /later HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n1"
			    "POST /now HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n2"
			    "POST /later HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n3"
			    "POST /now HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n4"));
	for (int i = 1; i <= 4; i++) {
		struct raw_answer a = raw_read(fd);

		CHECK_INT(a.status, 200);
		CHECK_INT(atoi(a.body), i);
		free(a.body);
	}
	close(fd);
	rig_stop(&s->rig);
}

static void broken_requests(void)
{
	static const struct { const char *bytes; size_t len; } cases[] = {
#define BYTES(text) { text, sizeof(text) - 1 }
		BYTES("\r\n\r\n\r\n"), BYTES("garbage\r\n\r\n"), BYTES("GET\r\n\r\n"), BYTES("GET / HTTP/9.9\r\n\r\n"),
			BYTES("\0\0\0\0\0\0\0\0\r\n\r\n"),
		BYTES("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
		BYTES("POST /now HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
		BYTES("POST /now HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nx"),
		BYTES("POST /now HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n"),
		BYTES("POST /now HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\nhello"),
		BYTES("POST /now HTTP/1.1\r\nHost: x\r\nContent-Length: 5x\r\n\r\nhello"),
		BYTES("POST /now HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999999\r\n\r\n"),
		BYTES("GET /now HTTP/1.1\r\n\r\n"),	/* no Host */
		BYTES("GET /now HTTP/1.1\r\nHost x\r\n\r\n"),
	};
	struct site *s = &site;

	/* MHD reads edge-triggered and does not see an end that came together with the last bytes: the time-out does. */
	site = (struct site){ .rig = { .setup = site_setup, .idle_timeout_s = 1 } };
	rig_start(&site.rig);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int fd = raw_connect(s->rig.path);
		struct raw_answer a;

		CHECK(raw_send(fd, cases[i].bytes, cases[i].len));
		CHECK(shutdown(fd, SHUT_WR) == 0);
		a = raw_read(fd);
		/* An error, or hung up on; never an answer as if nothing were wrong. */
		if (a.status && (a.status < 400 || a.status >= 600))
			FAIL("case %zu: status %d", i, a.status);
		free(a.body);
		close(fd);
		check_alive(s);
	}
	rig_stop(&s->rig);
	CHECK_INT(s->completed, (int)ARRAY_SIZE(cases));	/* only check_alive's got through */
	CHECK_INT(s->done, s->begun);
}

static void overlong_head(void)
{
	struct site *s = start();
	char *junk = malloc(1 << 20);

	memset(junk, 'j', 1 << 20);
	for (int i = 0; i < 2; i++) {
		int fd = raw_connect(s->rig.path);
		struct raw_answer a = {};
		bool sent = raw_sends(fd, i ? "GET /now HTTP/1.1\r\nHost: x\r\nX-Junk: " : "GET /") &&
			raw_send(fd, junk, 1 << 20) &&
			    raw_sends(fd, i ? "\r\n\r\n" : " HTTP/1.1\r\nHost: x\r\n\r\n");

		a = raw_read(fd);
		CHECK(a.status == 0 || a.status == 431 || a.status == 414 || a.status == 413 || a.status == 400);
		CHECK(!sent || raw_closed(fd));
		free(a.body);
		close(fd);
		check_alive(s);
	}
	free(junk);
	rig_stop(&s->rig);
	CHECK_INT(s->completed, 2);
}

static void many_headers(void)
{
	struct site *s = start();
	int fd = raw_connect(s->rig.path);
	struct raw_answer a;

	(void)raw_sends(fd, "GET /now HTTP/1.1\r\nHost: x\r\n");
	for (int i = 0; i < 5000; i++)
		if (!raw_sends(fd, "A: b\r\n"))
			break;
	(void)raw_sends(fd, "\r\n");
	a = raw_read(fd);
	CHECK(a.status == 0 || a.status == 431 || a.status == 413);
	free(a.body);
	close(fd);
	check_alive(s);
	rig_stop(&s->rig);
}

static void hang_up_mid_body(void)
{
	struct site *s = start();

	for (int i = 0; i < 20; i++) {
		int fd = raw_connect(s->rig.path), begun = __atomic_load_n(&s->begun, __ATOMIC_SEQ_CST);

		CHECK(raw_sends(fd, "POST /now HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf"));
		if (i % 2) {	/* these surely after the head was seen, the others before or after */
			wait_count(&s->begun, begun + 1);
			CHECK(raw_sends(fd, " of it"));
			close(fd);
			wait_count(&s->done, begun + 1);
		} else {
			close(fd);
			check_alive(s);	/* by then the earlier connection has been looked at */
		}
	}
	rig_stop(&s->rig);
	CHECK(s->unanswered >= 10);
	CHECK_INT(s->answered, 10);
	CHECK_INT(s->completed, 10);
	CHECK_INT(s->done, s->begun);
}

/* ---- peers ------------------------------------------------------------------------------------------------- */

/* In a child with that identity: the status of a GET. */
static int status_as(const char *path, uid_t uid, gid_t gid, const gid_t *groups, size_t n)
{
	pid_t pid = fork();
	int status;

	CHECK(pid >= 0);
	if (pid == 0) {
		struct sockaddr_un addr = { .sun_family = AF_UNIX };
		int fd = socket(AF_UNIX, SOCK_STREAM, 0), code = 0;
		char text[64] = "";
		static const char get[] = "GET /now HTTP/1.1\r\nHost: x\r\n\r\n";

		snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
		if (setgroups(n, groups) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
			_exit(1);
		if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
			_exit(2);
		if (send(fd, get, sizeof(get) - 1, MSG_NOSIGNAL) < 0 || recv(fd, text, sizeof(text) - 1, 0) <= 0)
			_exit(3);
		if (sscanf(text, "HTTP/1.1 %d", &code) != 1)
			_exit(4);
		_exit(code == 200 ? 20 : code == 403 ? 43 : 5);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(WIFEXITED(status));
	return WEXITSTATUS(status) == 20 ? 200 : WEXITSTATUS(status) == 43 ? 403 : -WEXITSTATUS(status);
}

static void peers_by_the_kernels_word(void)
{
	enum { NOBODY = 65534, OURS = 64001, OTHER = 64002 };
	gid_t many[300];
	struct site *s;

	if (geteuid() != 0)
		SKIP("needs root to become somebody else");
	site = (struct site){ .rig = { .setup = site_setup, .peers = { .uid = 64009, .gid = OURS, .have_gid = true } } };
	s = &site;
	rig_start(&s->rig);
	/* The file's mode would keep them out already; this is about the check behind it. */
	CHECK(chmod(s->rig.dir, 0755) == 0);
	CHECK(chmod(s->rig.path, 0666) == 0);
	for (int i = 0; i < 300; i++)
		many[i] = (gid_t)(70000 + i);
	CHECK_INT(status_as(s->rig.path, 0, 0, NULL, 0), 200);
	CHECK_INT(status_as(s->rig.path, 64009, OTHER, NULL, 0), 200);		/* the daemon's own uid */
	CHECK_INT(status_as(s->rig.path, NOBODY, NOBODY, NULL, 0), 403);
	CHECK_INT(status_as(s->rig.path, NOBODY, OTHER, (gid_t[]){ OTHER, 1, 2 }, 3), 403);
	CHECK_INT(status_as(s->rig.path, NOBODY, OURS, NULL, 0), 200);		/* primary group */
	CHECK_INT(status_as(s->rig.path, NOBODY, OTHER, (gid_t[]){ 1, OURS }, 2), 200);
	CHECK_INT(status_as(s->rig.path, NOBODY, OTHER, many, 300), 403);	/* more than the first guess holds */
	many[299] = OURS;
	CHECK_INT(status_as(s->rig.path, NOBODY, OTHER, many, 300), 200);
	rig_stop(&s->rig);
	CHECK_INT(s->rig.stats.refused_peers, 3);
	CHECK_INT(s->begun, 5);
}

static void no_group_means_nobody_by_group(void)
{
	struct site *s;

	if (geteuid() != 0)
		SKIP("needs root to become somebody else");
	s = start();
	CHECK(chmod(s->rig.dir, 0755) == 0);
	CHECK(chmod(s->rig.path, 0666) == 0);
	CHECK_INT(status_as(s->rig.path, 65534, 0, (gid_t[]){ 0 }, 1), 403);	/* gid 0 is not "no group" */
	rig_stop(&s->rig);
}

/* ---- the listening socket ---------------------------------------------------------------------------------- */

static void listening_socket(void)
{
	struct http_peers peers = { .uid = geteuid() }, grouped;
	char dir[] = "/tmp/fated-http-XXXXXX", path[64], longer[256];
	struct err e = {};
	struct stat st;
	int fd = -1, second = -1;
	FILE *f;

	CHECK(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/sock", dir);
	CHECK(http_listen_unix(path, &peers, &fd, &e) == 0);
	CHECK(stat(path, &st) == 0);
	CHECK(S_ISSOCK(st.st_mode));
	CHECK_INT(st.st_mode & 07777, 0660);
	CHECK_INT(http_listen_unix(path, &peers, &second, &e), -EADDRINUSE);
	CHECK(strstr(e.msg, path));
	close(fd);	/* the file stays behind: stale */
	CHECK(stat(path, &st) == 0);
	CHECK(http_listen_unix(path, &peers, &fd, &e) == 0);
	close(fd);
	CHECK(unlink(path) == 0);

	f = fopen(path, "w");
	CHECK(f);
	fclose(f);
	CHECK_INT(http_listen_unix(path, &peers, &fd, &e), -EEXIST);
	CHECK(stat(path, &st) == 0 && S_ISREG(st.st_mode));	/* left alone */
	CHECK(unlink(path) == 0);

	memset(longer, 'l', sizeof(longer));
	memcpy(longer, dir, strlen(dir));
	longer[strlen(dir)] = '/';
	longer[107] = '\0';	/* fits sun_path, but not with room for its temporary name */
	CHECK_INT(http_listen_unix(longer, &peers, &fd, &e), -ENAMETOOLONG);
	CHECK_INT(http_listen_unix("", &peers, &fd, &e), -ENAMETOOLONG);
	snprintf(path, sizeof(path), "%s/no/sock", dir);
	CHECK_INT(http_listen_unix(path, &peers, &fd, &e), -ENOENT);

	snprintf(path, sizeof(path), "%s/sock", dir);
	CHECK(http_peers_resolve("daemon", &grouped, &e) == 0);
	CHECK(grouped.have_gid);
	CHECK(http_peers_resolve("no-such-group-here", &peers, &e) == 0);
	CHECK(!peers.have_gid);
	if (geteuid() == 0) {
		CHECK(http_listen_unix(path, &grouped, &fd, &e) == 0);
		CHECK(stat(path, &st) == 0);
		CHECK_INT(st.st_gid, grouped.gid);
		close(fd);
		CHECK(unlink(path) == 0);
	}
	CHECK(rmdir(dir) == 0);		/* nothing temporary was left */
}

/* ---- the client's side ------------------------------------------------------------------------------------- */

static void caller_says_why(void)
{
	char dir[] = "/tmp/fated-http-XXXXXX", path[64];
	struct http_peers peers = { .uid = geteuid() };
	struct http_result res;
	struct http_caller *c;
	struct err e = {};
	int fd, conn;
	pid_t pid;

	CHECK(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/sock", dir);
	CHECK(http_caller_new(path, &c, &e) == 0);
	CHECK_INT(http_call(c, &(struct http_call){ .method = "GET", .target = "/" }, &res, &e), -ENOENT);
	CHECK(strstr(e.msg, path) && strstr(e.msg, "is fated running?"));
	http_result_done(&res);
	CHECK(http_listen_unix(path, &peers, &fd, &e) == 0);
	close(fd);
	CHECK_INT(http_call(c, &(struct http_call){ .method = "GET", .target = "/" }, &res, &e), -ECONNREFUSED);
	CHECK(strstr(e.msg, "is fated running?"));
	http_result_done(&res);

	CHECK(http_listen_unix(path, &peers, &fd, &e) == 0);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {		/* a daemon that dies in the middle of its answer */
		struct pollfd p = { .fd = fd, .events = POLLIN };
		static const char part[] = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart";
		char in[512];

		(void)poll(&p, 1, -1);
		conn = accept(fd, NULL, NULL);
		_exit(recv(conn, in, sizeof(in), 0) > 0 && send(conn, part, sizeof(part) - 1, MSG_NOSIGNAL) > 0 ? 0 : 1);
	}
	CHECK_INT(http_call(c, &(struct http_call){ .method = "GET", .target = "/" }, &res, &e), -EPIPE);
	http_result_done(&res);
	CHECK(waitpid(pid, &conn, 0) == pid && conn == 0);
	close(fd);
	http_caller_free(c);
	snprintf(path, sizeof(path), "%s/sock", dir);
	CHECK(unlink(path) == 0 && rmdir(dir) == 0);
}

static void coding(void)
{
	static const struct { const char *in; int r; const char *out; } cases[] = {
		{ "", 0, "" }, { "abc", 3, "abc" }, { "a%3Ab", 3, "a:b" }, { "%e4%F6", 2, "\xe4\xf6" }, { "+", 1, "+" },
		{ "%", -EINVAL, NULL }, { "%4", -EINVAL, NULL }, { "%zz", -EINVAL, NULL }, { "%00", -EINVAL, NULL },
		{ "a%4g", -EINVAL, NULL },
		{ "1234567", 7, "1234567" }, { "12345678", -ENAMETOOLONG, NULL }, { "%31%32%33%34%35%36%37", 7, "1234567" },
	};
	struct buf b = {};
	char out[8];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CHECK_INT(http_decode(cases[i].in, strlen(cases[i].in), out, sizeof(out)), cases[i].r);
		if (cases[i].out)
			CHECK_STR(out, cases[i].out);
	}
	http_encode(&b, "az AZ09-._~/:%\xe4?");
	CHECK_STR(buf_str(&b), "az%20AZ09-._~%2F%3A%25%E4%3F");
	buf_done(&b);
}

int main(void)
{
	RUN(coding);
	RUN(listening_socket);
	RUN(keep_alive_1000);
	RUN(bodies_of_all_sizes);
	RUN(many_suspended_at_once);
	RUN(half_closed_client_gets_its_answer);
	RUN(stop_with_requests_under_way);
	RUN(stop_with_requests_unread);
	RUN(statuses_without_body);
	RUN(uri_as_sent);
	RUN(too_large_is_said_and_the_connection_lives);
	RUN(too_large_chunked);
	RUN(endless_body_is_cut);
	RUN(announced_too_large_is_answered_at_once);
	RUN(expect_100_is_served);
	RUN(pipelined);
	RUN(broken_requests);
	RUN(overlong_head);
	RUN(many_headers);
	RUN(hang_up_mid_body);
	RUN(peers_by_the_kernels_word);
	RUN(no_group_means_nobody_by_group);
	RUN(caller_says_why);
	TEST_END();
}
