/* SPDX-License-Identifier: Apache-2.0 */
/* With --delete a message is printed first and deleted then: one that could not be written out stays in the queue. */
#include <string.h>

#include "base/json.h"
#include "ctl/ctl.h"

int ctl_queue_list(struct ctl *c, int argc, char **argv)
{
	static const char *const headings[] = { "NAME", ">VISIBLE", ">HIDDEN", "OLDEST", NULL };
	CLEAN(ctl_json_freep) cJSON *j = NULL;
	struct ctl_table *t;
	const cJSON *q;
	int r;

	if (!ctl_args(c, argc, argv, NULL, 0, NULL, 0))
		return CTL_USAGE;
	r = ctl_get(c, "/fate/v1/queues", &j);
	if (!j)
		return r;
	t = ctl_table_new(headings);
	cJSON_ArrayForEach(q, cJSON_GetObjectItemCaseSensitive(j, "queues")) {
		ctl_cell(t, ctl_text(q, "name"));
		ctl_cell(t, ctl_text(q, "visible"));
		ctl_cell(t, ctl_text(q, "inFlight"));
		ctl_cell(t, ctl_age(q, "oldestSentAt"));
	}
	ctl_table_print(t, stdout);
	return CTL_OK;
}

/* The i-th element of the array `messages`, as text: its body must come out as it went in. */
static bool message_text(const struct http_result *res, int i, const char **ret, size_t *ret_len)
{
	const char *v, *end;
	size_t n;

	if (!json_member(buf_str(&res->body), res->body.len, "messages", &v, &n))
		return false;
	end = v + n;
	for (v++; v < end; v++) {
		const char *from = v;
		int depth = 0;

		/* The answer is valid JSON and its elements are objects: braces outside strings are all there is to count. */
		for (; v < end; v++) {
			if (*v == '"')
				for (v++; v < end && *v != '"'; v++)
					v += *v == '\\';
			else if (*v == '{')
				depth++;
			else if (*v == '}' && --depth == 0)
				break;
		}
		if (v >= end)
			return false;
		v++;
		if (i-- == 0) {
			*ret = from;
			*ret_len = (size_t)(v - from);
			return true;
		}
	}
	return false;
}

static void print_message(const struct http_result *res, const cJSON *m, int i)
{
	CLEAN(buf_done) struct buf b = {};
	const char *text, *v;
	size_t len, n;

	buf_addf(&b, "message %s, sent %s, received %s time%s, receipt %s\n", ctl_text(m, "messageId"), ctl_age(m, "sentAt"),
		 ctl_text(m, "receiveCount"), ctl_number(m, "receiveCount", 1) == 1 ? "" : "s", ctl_text(m, "receiptHandle"));
	if (message_text(res, i, &text, &len)) {
		if (json_member(text, len, "attributes", &v, &n)) {
			buf_adds(&b, "attributes ");
			ctl_pretty(&b, v, n, 0);
			buf_addc(&b, '\n');
		}
		if (json_member(text, len, "body", &v, &n))
			ctl_pretty(&b, v, n, 0);
	}
	ctl_puts_raw(buf_str(&b), b.len, true);
}

static int delete_message(struct ctl *c, const char *queue, const char *receipt)
{
	CLEAN(http_result_done) struct http_result res = {};
	CLEAN(buf_done) struct buf path = {};

	ctl_path(&path, "/fate/v1/queues/", queue, "/messages/");
	http_encode(&path, receipt);
	return ctl_call(c, &(struct ctl_request){ .method = "DELETE", .target = buf_str(&path) }, &res);
}

static int delete_all(struct ctl *c, const char *queue, const cJSON *messages)
{
	const cJSON *m;

	if (fflush(stdout) != 0 || ferror(stdout)) {
		perror("fatectl: stdout; nothing was deleted");
		return CTL_USAGE;
	}
	cJSON_ArrayForEach(m, messages) {
		int r = delete_message(c, queue, ctl_text(m, "receiptHandle"));

		if (r != CTL_OK)
			return r;
	}
	return CTL_OK;
}

/* Of all received: the first to come back. */
static void say_hidden(const cJSON *messages)
{
	const char *first = NULL, *age = NULL;
	const cJSON *m;

	cJSON_ArrayForEach(m, messages)
		if (!first || strcmp(ctl_text(m, "visibleAt"), first) < 0) {	/* ISO times sort as text */
			first = ctl_text(m, "visibleAt");
			age = ctl_age(m, "visibleAt");
		}
	if (first)
		fprintf(stderr, "fatectl: hidden until %s (%s), then back in the queue; --delete takes messages for good\n", first, age);
}

int ctl_queue_receive(struct ctl *c, int argc, char **argv)
{
	const char *max = NULL, *visibility = NULL, *name;
	bool del = false;
	const struct ctl_option opts[] = { { "--max", &max, NULL }, { "--visibility", &visibility, NULL }, { "--delete", NULL, &del } };
	CLEAN(http_result_done) struct http_result res = {};
	CLEAN(buf_done) struct buf path = {};
	CLEAN(ctl_json_freep) cJSON *j = NULL;
	const cJSON *messages, *m;
	int r, i = 0;

	if (!ctl_args(c, argc, argv, opts, ARRAY_SIZE(opts), &name, 1))
		return CTL_USAGE;
	ctl_path(&path, "/fate/v1/queues/", name, "/receive");
	ctl_query(&path, "max", max);
	ctl_query(&path, "visibility", visibility);
	r = ctl_call(c, &(struct ctl_request){ .method = "POST", .target = buf_str(&path) }, &res);
	if (r != CTL_OK)
		return r;
	r = ctl_parse(&res, &j);
	if (r != CTL_OK)
		return r;
	messages = cJSON_GetObjectItemCaseSensitive(j, "messages");
	if (c->json)
		ctl_puts_raw(buf_str(&res.body), res.body.len, true);
	else
		cJSON_ArrayForEach(m, messages)
			print_message(&res, m, i++);
	if (!cJSON_GetArraySize(messages)) {
		fprintf(stderr, "fatectl: no visible message in %s\n", name);
		return CTL_OK;
	}
	if (del)
		return delete_all(c, name, messages);
	say_hidden(messages);
	return CTL_OK;
}
