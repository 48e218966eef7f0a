/* SPDX-License-Identifier: Apache-2.0 */
/* With --delete a message is printed first and deleted then: one that could not be written out stays in the queue. */
#include <string.h>
#include <strings.h>
#include <unistd.h>

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
	cJSON_ArrayForEach(q, ctl_member(j, "queues")) {
		ctl_cell(t, ctl_text(q, "name"));
		ctl_cell(t, ctl_text(q, "visible"));
		ctl_cell(t, ctl_text(q, "inFlight"));
		ctl_cell(t, ctl_age(q, "oldestSentAt"));
	}
	ctl_table_print(t, stdout);
	return CTL_OK;
}

/* text: the same message as it came, for its attributes and its body. */
static void print_message(const cJSON *m, const char *text, size_t len)
{
	const char *receipt = ctl_text(m, "receiptHandle"), *hidden = ctl_age(m, "visibleAt"), *v;
	CLEAN(buf_done) struct buf b = {};
	size_t n;

	buf_addf(&b, "message %s, sent %s, received %s time%s", ctl_text(m, "messageId"), ctl_age(m, "sentAt"),
		 ctl_text(m, "receiveCount"), ctl_number(m, "receiveCount", 1) == 1 ? "" : "s");
	if (*receipt)
		buf_addf(&b, ", receipt %s\n", receipt);
	else
		buf_addf(&b, "%s%s\n", *hidden ? ", leased, visible again " : "", hidden);
	if (json_member(text, len, "attributes", &v, &n)) {
		buf_adds(&b, "attributes ");
		ctl_pretty(&b, v, n, 0);
		buf_addc(&b, '\n');
	}
	if (json_member(text, len, "body", &v, &n))
		ctl_pretty(&b, v, n, 0);
	ctl_puts_raw(buf_str(&b), b.len, true);
}

/* An answer's messages: for people, or with --json as they came. False when there are none. */
static bool print_messages(struct ctl *c, const struct http_result *res, const cJSON *messages)
{
	struct ctl_each each = ctl_each_of(res, "messages");
	const char *text;
	const cJSON *m;
	size_t len;

	if (c->json)
		ctl_puts_raw(buf_str(&res->body), res->body.len, true);
	else
		cJSON_ArrayForEach(m, messages)
			if (ctl_each_next(&each, &text, &len))
				print_message(m, text, len);
	return cJSON_GetArraySize(messages) > 0;
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

	fflush(stdout);
	cJSON_ArrayForEach(m, messages)
		if (!first || strcmp(ctl_text(m, "visibleAt"), first) < 0) {	/* ISO times sort as text */
			first = ctl_text(m, "visibleAt");
			age = ctl_age(m, "visibleAt");
		}
	if (first)
		fprintf(stderr, "fatectl: hidden until %s (%s), then back in the queue; --delete takes messages for good\n",
			first, age);
}

int ctl_queue_receive(struct ctl *c, int argc, char **argv)
{
	const char *max = NULL, *visibility = NULL, *name;
	bool del = false;
	const struct ctl_option opts[] = { { "--max", &max, NULL }, { "--visibility", &visibility, NULL },
					   { "--delete", NULL, &del } };
	CLEAN(http_result_done) struct http_result res = {};
	CLEAN(buf_done) struct buf path = {};
	CLEAN(ctl_json_freep) cJSON *j = NULL;
	const cJSON *messages;
	int r;

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
	messages = ctl_member(j, "messages");
	if (!print_messages(c, &res, messages)) {
		fprintf(stderr, "fatectl: no visible message in %s\n", name);
		return CTL_OK;
	}
	if (del)
		return delete_all(c, name, messages);
	say_hidden(messages);
	return CTL_OK;
}

int ctl_queue_peek(struct ctl *c, int argc, char **argv)
{
	const char *max = "10", *name;
	const struct ctl_option opts[] = { { "--max", &max, NULL } };
	CLEAN(http_result_done) struct http_result res = {};
	CLEAN(buf_done) struct buf path = {};
	CLEAN(ctl_json_freep) cJSON *j = NULL;
	int r;

	if (!ctl_args(c, argc, argv, opts, ARRAY_SIZE(opts), &name, 1))
		return CTL_USAGE;
	ctl_path(&path, "/fate/v1/queues/", name, "/messages");
	ctl_query(&path, "limit", max);
	r = ctl_call(c, &(struct ctl_request){ .method = "GET", .target = buf_str(&path) }, &res);
	if (r == CTL_OK)
		r = ctl_parse(&res, &j);
	if (r == CTL_OK && !print_messages(c, &res, ctl_member(j, "messages")))
		fprintf(stderr, "fatectl: no message in %s\n", name);
	return r;
}

/* True when somebody at a terminal says so. */
static bool sure(const char *name)
{
	char line[16] = "";

	fprintf(stderr, "Delete every message of %s for good, leased ones, too? [y/N] ", name);
	return fgets(line, sizeof(line), stdin) && (strcasecmp(line, "y\n") == 0 || strcasecmp(line, "yes\n") == 0);
}

int ctl_queue_purge(struct ctl *c, int argc, char **argv)
{
	bool yes = false;
	const struct ctl_option opts[] = { { "--yes", NULL, &yes } };
	CLEAN(http_result_done) struct http_result res = {};
	CLEAN(buf_done) struct buf path = {};
	CLEAN(ctl_json_freep) cJSON *j = NULL;
	const char *name, *n;
	int r;

	if (!ctl_args(c, argc, argv, opts, ARRAY_SIZE(opts), &name, 1))
		return CTL_USAGE;
	if (!yes && !isatty(STDIN_FILENO))
		return ctl_usage(c, "this deletes every message of %s for good: say --yes", name);
	if (!yes && !sure(name)) {
		fprintf(stderr, "fatectl: nothing was deleted\n");
		return CTL_USAGE;
	}
	ctl_path(&path, "/fate/v1/queues/", name, "/messages");
	r = ctl_call(c, &(struct ctl_request){ .method = "DELETE", .target = buf_str(&path) }, &res);
	if (r == CTL_OK)
		r = ctl_parse(&res, &j);
	if (r != CTL_OK)
		return r;
	n = ctl_text(j, "deleted");
	if (c->json)
		ctl_puts_raw(buf_str(&res.body), res.body.len, true);
	else
		printf("%s message%s deleted\n", n, strcmp(n, "1") == 0 ? "" : "s");
	return CTL_OK;
}
