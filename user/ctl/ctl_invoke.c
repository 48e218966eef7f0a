/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "ctl/ctl.h"

#define PAYLOAD_MAX (64u << 20)		/* the daemon has limits of its own and says so; this one is for /dev/zero */

struct invoke {
	const char *name, *payload, *data;
	bool async, wait;
	struct buf event;
};

static int read_payload(struct invoke *v)
{
	bool use_stdin = strcmp(v->payload, "-") == 0;
	CLEAN(closep) int file = use_stdin ? -EBADF : open(v->payload, O_RDONLY | O_CLOEXEC);
	int fd = use_stdin ? STDIN_FILENO : file;
	int r;

	if (fd < 0) {
		fprintf(stderr, "fatectl: %s: %s\n", v->payload, strerror(errno));
		return CTL_USAGE;
	}
	r = buf_read(&v->event, fd, PAYLOAD_MAX);
	if (r == -EFBIG || r == -ENOMEM)
		fprintf(stderr, "fatectl: %s is too long for an event\n", v->payload);
	else if (r < 0)
		fprintf(stderr, "fatectl: %s: %s\n", v->payload, strerror(-r));
	return r < 0 ? CTL_USAGE : CTL_OK;
}

/* "Timeout: RequestId: … Task timed out after 3.00 seconds" */
static void say_failure(const char *what, const char *json, size_t len)
{
	CLEAN(buf_done) struct buf text = {};
	const char *v;
	size_t n;

	if (json_valid(json, len, NULL) && json_member(json, len, "errorMessage", &v, &n) && json_is_string(v, n))
		json_add_decoded(&text, v, n);
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.data[i] < ' ' || text.data[i] == 127)
			text.data[i] = ' ';	/* one line */
	fprintf(stderr, "%s%s%s\n", what, text.len ? ": " : "", buf_str(&text));
}

static void add_header(struct buf *b, const struct http_result *res, const char *member, const char *header)
{
	const char *v = http_result_header(res, header);

	if (!v)
		return;
	buf_addf(b, ",\"%s\":", member);
	json_add_string(b, v, strlen(v));
}

static void print_envelope(const struct http_result *res)
{
	CLEAN(buf_done) struct buf b = {};

	buf_addf(&b, "{\"statusCode\":%d", res->status);
	add_header(&b, res, "requestId", "x-amzn-RequestId");
	add_header(&b, res, "executedVersion", "X-Amz-Executed-Version");
	add_header(&b, res, "functionError", "X-Amz-Function-Error");
	add_header(&b, res, "outcome", "X-Fate-Outcome");
	if (res->body.len) {
		buf_adds(&b, ",\"payload\":");
		if (json_valid(res->body.data, res->body.len, NULL))
			buf_add(&b, res->body.data, res->body.len);
		else
			json_add_string(&b, res->body.data, res->body.len);
	}
	buf_adds(&b, "}");
	ctl_puts_raw(buf_str(&b), b.len, true);
}

static int answered(struct ctl *c, const struct http_result *res)
{
	const char *failed = http_result_header(res, "X-Amz-Function-Error"), *outcome = http_result_header(res, "X-Fate-Outcome");

	if (c->json)
		print_envelope(res);
	else
		/* bytes as they are for a program */
		ctl_puts_raw(buf_str(&res->body), res->body.len, isatty(STDOUT_FILENO));
	if (!failed)
		return CTL_OK;
	fflush(stdout);
	say_failure(outcome ? outcome : failed, buf_str(&res->body), res->body.len);
	return CTL_FUNCTION_FAILED;
}

int ctl_wait_record(struct ctl *c, const char *id, const char *want_condition)
{
	CLEAN(http_result_done) struct http_result res = {};
	CLEAN(buf_done) struct buf path = {};
	CLEAN(ctl_json_freep) cJSON *j = NULL;
	const char *condition, *v = "";
	size_t n = 0;
	int r;

	ctl_path(&path, "/fate/v1/events/", id, "/wait");
	r = ctl_call(c, &(struct ctl_request){ .method = "GET", .target = buf_str(&path) }, &res);
	if (r != CTL_OK)
		return r;
	r = ctl_parse(&res, &j);
	if (r != CTL_OK)
		return r;
	ctl_puts_raw(buf_str(&res.body), res.body.len, true);
	condition = ctl_text(ctl_member(j, "requestContext"), "condition");
	if (strcmp(condition, want_condition) == 0)
		return CTL_OK;
	fflush(stdout);
	(void)json_member(buf_str(&res.body), res.body.len, "responsePayload", &v, &n);
	say_failure(condition, v, n);
	return CTL_FUNCTION_FAILED;
}

static int accepted(struct ctl *c, const struct invoke *v, const struct http_result *res)
{
	const char *id = http_result_header(res, "x-amzn-RequestId");

	if (!id) {
		fprintf(stderr, "fatectl: the daemon accepted the event and gave no request id\n");
		return CTL_DAEMON_FAILED;
	}
	if (v->wait) {
		fprintf(stderr, "fatectl: accepted as %s, waiting for its end\n", id);
		return ctl_wait_record(c, id, "Success");
	}
	if (c->json)
		print_envelope(res);
	else
		puts(id);
	return CTL_OK;
}

int ctl_invoke(struct ctl *c, int argc, char **argv)
{
	struct invoke v = {};
	const struct ctl_option opts[] = { { "--async", NULL, &v.async }, { "--wait", NULL, &v.wait },
					   { "--payload", &v.payload, NULL },
					   { "--data", &v.data, NULL } };
	CLEAN(http_result_done) struct http_result res = {};
	CLEAN(buf_done) struct buf path = {};
	const char *headers[] = { NULL, NULL };
	int r;

	if (!ctl_args(c, argc, argv, opts, ARRAY_SIZE(opts), &v.name, 1))
		return CTL_USAGE;
	if (v.payload && v.data)
		return ctl_usage(c, "--payload and --data are two ways to say the same");
	if (v.payload && (r = read_payload(&v)) != CTL_OK) {
		buf_done(&v.event);
		return r;
	}
	if (!v.payload)
		buf_adds(&v.event, v.data ? v.data : "{}");
	if (v.async)
		headers[0] = "X-Amz-Invocation-Type: Event";
	ctl_path(&path, "/2015-03-31/functions/", v.name, "/invocations");
	r = ctl_call(c, &(struct ctl_request){ .method = "POST", .target = buf_str(&path), .headers = headers,
					       .body = buf_str(&v.event), .body_len = v.event.len }, &res);
	buf_done(&v.event);
	if (r != CTL_OK)
		return r;
	return v.async ? accepted(c, &v, &res) : answered(c, &res);
}
