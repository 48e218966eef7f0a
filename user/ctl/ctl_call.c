/* SPDX-License-Identifier: Apache-2.0 */
/* One place that turns what came back, or did not, into an exit status and a sentence. */
#include <string.h>

#include "base/json.h"
#include "ctl/ctl.h"

static void print_refusal(const struct http_result *res)
{
	const char *type = http_result_header(res, "x-amzn-errortype"), *v = NULL;
	bool valid = json_valid(buf_str(&res->body), res->body.len, NULL);
	CLEAN(buf_done) struct buf text = {};
	size_t n;

	if (valid &&
	    (json_member(buf_str(&res->body), res->body.len, "message", &v, &n) ||
	     json_member(buf_str(&res->body), res->body.len, "Message", &v, &n)) && json_is_string(v, n))
		json_add_decoded(&text, v, n);
	else
		buf_addf(&text, "HTTP status %d", res->status);
	/* Which of the limits it was is not in the sentence, which is AWS's. */
	if (valid && json_member(buf_str(&res->body), res->body.len, "Reason", &v, &n) && json_is_string(v, n)) {
		buf_adds(&text, " (");
		json_add_decoded(&text, v, n);
		buf_addc(&text, ')');
	}
	fprintf(stderr, "fatectl: %s%s%s\n", type ? type : "", type ? ": " : "", buf_str(&text));
}

int ctl_call(struct ctl *c, const struct ctl_request *req, struct http_result *ret)
{
	struct http_call call = {
		.method = req->method, .target = req->target, .headers = req->headers, .body = req->body, .body_len = req->body_len,
	};
	struct err e = {};
	int r = 0;

	*ret = (struct http_result){};
	if (!c->http)
		r = http_caller_new(c->socket, &c->http, &e);
	if (r == 0)
		r = http_call(c->http, &call, ret, &e);
	if (r < 0) {
		if (!req->patient && !c->patient)
			fprintf(stderr, "fatectl: %s\n", err_msg(&e));
		return CTL_UNREACHABLE;
	}
	if (ret->status >= 200 && ret->status < 300)
		return CTL_OK;
	if (req->expected && ret->status == req->expected)
		return CTL_REFUSED;
	if (c->json && ret->body.len)
		ctl_puts_raw(ret->body.data, ret->body.len, true);
	print_refusal(ret);
	return ret->status >= 500 ? CTL_DAEMON_FAILED : CTL_REFUSED;
}

int ctl_parse(const struct http_result *res, cJSON **ret_json)
{
	*ret_json = cJSON_ParseWithLength(buf_str(&res->body), res->body.len);
	if (cJSON_IsObject(*ret_json))
		return CTL_OK;
	fprintf(stderr, "fatectl: the daemon's answer makes no sense: %.200s\n", buf_str(&res->body));
	return CTL_DAEMON_FAILED;
}

int ctl_get(struct ctl *c, const char *target, cJSON **ret_json)
{
	CLEAN(http_result_done) struct http_result res = {};
	int r = ctl_call(c, &(struct ctl_request){ .method = "GET", .target = target }, &res);

	*ret_json = NULL;
	if (r != CTL_OK)
		return r;
	if (!c->json)
		return ctl_parse(&res, ret_json);
	ctl_puts_raw(buf_str(&res.body), res.body.len, true);
	return CTL_OK;
}

int ctl_fetch(struct ctl *c, const char *head, const char *word, struct http_result *ret)
{
	CLEAN(buf_done) struct buf path = {};

	ctl_path(&path, head, word, "");
	return ctl_call(c, &(struct ctl_request){ .method = "GET", .target = buf_str(&path) }, ret);
}

int ctl_show_one(struct ctl *c, int argc, char **argv, const char *head)
{
	CLEAN(ctl_json_freep) cJSON *j = NULL;
	CLEAN(buf_done) struct buf path = {};
	const char *name;
	int r;

	if (!ctl_args(c, argc, argv, NULL, 0, &name, 1))
		return CTL_USAGE;
	ctl_path(&path, head, name, "");
	r = ctl_get(c, buf_str(&path), &j);
	if (j)
		ctl_flat(j, "", stdout);
	return r;
}

int ctl_get_page(struct ctl *c, int argc, char **argv, const char *path, const char *filter, cJSON **ret_json)
{
	CLEAN(freep) char *option = xasprintf("--%s", filter);
	const char *function = NULL, *value = NULL, *limit = NULL, *before = NULL;
	const struct ctl_option opts[] = { { "--function", &function, NULL }, { option, &value, NULL }, { "--limit", &limit, NULL },
					   { "--before", &before, NULL } };
	CLEAN(buf_done) struct buf target = {};

	*ret_json = NULL;
	if (!ctl_args(c, argc, argv, opts, ARRAY_SIZE(opts), NULL, 0))
		return CTL_USAGE;
	buf_adds(&target, path);
	ctl_query(&target, "function", function);
	ctl_query(&target, filter, value);
	ctl_query(&target, "limit", limit);
	ctl_query(&target, "before", before);
	return ctl_get(c, buf_str(&target), ret_json);
}

void ctl_path(struct buf *b, const char *head, const char *word, const char *tail)
{
	buf_adds(b, head);
	http_encode(b, word);
	buf_adds(b, tail);
}

void ctl_query(struct buf *b, const char *name, const char *value)
{
	if (!value)
		return;
	buf_addf(b, "%c%s=", strchr(buf_str(b), '?') ? '&' : '?', name);
	http_encode(b, value);
}
