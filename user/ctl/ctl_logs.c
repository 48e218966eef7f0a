/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of a log, and on request what comes after it. The daemon gives a cursor with every piece, which it knows
 * again after a rotation and after its own restart; so following is asking again, and nothing is kept here but that.
 */
#include <string.h>

#include "base/json.h"
#include "ctl/ctl.h"

struct follow {
	struct ctl *c;
	const char *name;
	struct buf cursor;
	bool gone;		/* the daemon; it was said */
	bool more;		/* there is more to be had at once */
};

/* Decoded from the answer's text: a log may have NUL in it, which no C string survives. */
static bool member(const struct http_result *res, const char *name, struct buf *out)
{
	const char *v;
	size_t n;

	if (!json_member(buf_str(&res->body), res->body.len, name, &v, &n) || !json_is_string(v, n))
		return false;
	json_add_decoded(out, v, n);
	return true;
}

static bool flag(const struct http_result *res, const char *name)
{
	const char *v;
	size_t n;

	return json_member(buf_str(&res->body), res->body.len, name, &v, &n) && n == 4 && memcmp(v, "true", 4) == 0;
}

/* Asks for what comes next; CTL_OK, also when there is nothing or nobody, or what to exit with. */
static int ask(struct follow *f, const char *bytes, struct http_result *res)
{
	CLEAN(buf_done) struct buf path = {}, next = {};
	struct ctl_request req = { .method = "GET", .patient = f->cursor.len };
	int r;

	ctl_path(&path, "/fate/v1/functions/", f->name, "/logs");
	ctl_query(&path, "bytes", bytes);
	ctl_query(&path, "cursor", f->cursor.len ? buf_str(&f->cursor) : NULL);
	req.target = buf_str(&path);
	r = ctl_call(f->c, &req, res);
	if (r == CTL_UNREACHABLE && f->cursor.len) {
		if (!f->gone)
			fputs("fatectl: daemon is gone, waiting\n", stderr);
		f->gone = true;
		f->more = false;
		return CTL_OK;
	}
	if (r != CTL_OK)
		return r;
	f->gone = false;
	if (!json_valid(buf_str(&res->body), res->body.len, NULL) || !member(res, "cursor", &next) || !next.len) {
		fprintf(stderr, "fatectl: the daemon's answer has no cursor: %.200s\n", buf_str(&res->body));
		return CTL_DAEMON_FAILED;
	}
	buf_clear(&f->cursor);
	buf_add(&f->cursor, next.data, next.len);
	f->more = flag(res, "more");
	return CTL_OK;
}

/* False: the end, *ret_exit says how. */
static bool show(struct follow *f, const struct http_result *res, int *ret_exit)
{
	CLEAN(buf_done) struct buf text = {};

	if (flag(res, "lost"))
		fputs("fatectl: part of the log is gone: it was rotated away or removed before it was read\n", stderr);
	if (!member(res, "log", &text) || (!text.len && !flag(res, "lost")))
		return true;
	if (f->c->json)
		return ctl_write(res->body.data, res->body.len, ret_exit) && ctl_write("\n", 1, ret_exit);
	return ctl_write(buf_str(&text), text.len, ret_exit);
}

static int follow(struct ctl *c, const char *name, const char *bytes)
{
	struct follow f = { .c = c, .name = name };
	bool going = true;
	int r = CTL_OK;

	ctl_follow_begin();
	while (going) {
		CLEAN(http_result_done) struct http_result res = {};

		r = ask(&f, f.cursor.len ? NULL : bytes, &res);
		going = r == CTL_OK && show(&f, &res, &r) && (f.more || ctl_follow_rest());
	}
	buf_done(&f.cursor);
	return r;
}

int ctl_logs(struct ctl *c, int argc, char **argv)
{
	const char *bytes = NULL, *name;
	bool on = false;
	const struct ctl_option opts[] = { { "--bytes", &bytes, NULL }, { "--follow", NULL, &on }, { "-f", NULL, &on } };
	CLEAN(http_result_done) struct http_result res = {};
	CLEAN(buf_done) struct buf path = {}, text = {};
	int r;

	if (!ctl_args(c, argc, argv, opts, ARRAY_SIZE(opts), &name, 1))
		return CTL_USAGE;
	if (on)
		return follow(c, name, bytes);
	ctl_path(&path, "/fate/v1/functions/", name, "/logs");
	ctl_query(&path, "bytes", bytes);
	r = ctl_call(c, &(struct ctl_request){ .method = "GET", .target = buf_str(&path) }, &res);
	if (r != CTL_OK)
		return r;
	if (c->json) {
		ctl_puts_raw(buf_str(&res.body), res.body.len, true);
		return CTL_OK;
	}
	if (!json_valid(buf_str(&res.body), res.body.len, NULL) || !member(&res, "log", &text)) {
		fprintf(stderr, "fatectl: the daemon's answer makes no sense: %.200s\n", buf_str(&res.body));
		return CTL_DAEMON_FAILED;
	}
	if (text.len)
		ctl_puts_raw(text.data, text.len, true);
	return CTL_OK;
}
