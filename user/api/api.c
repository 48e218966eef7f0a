/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frame around the handlers: route and parameters before the body is read, refusals in Lambda's form, and the
 * life of a call whose answer comes later.
 *
 * Who frees a call: done() of its request, unless somebody still owes it an answer. The engine can be told to forget
 * (intake_abandon); a store query cannot, so such a call outlives its request and ends in on_query_done. A handler that
 * is owed several answers keeps what they need apart from the call (api_redrive.c) and is told by `gone`.
 */
#include "api/api_int.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "engine/engine.h"

static void call_free(struct api_call *c)
{
	for (size_t i = 0; i < c->n_owned; i++)
		free(c->owned[i]);
	free(c->query);
	free(c);
}

/* ---- answers ----------------------------------------------------------------------------------------------- */

static void reply(struct api_call *c, int status, struct http_answer *a, const struct http_header *extra, size_t n_extra)
{
	struct http_header headers[8] = { { "x-amzn-RequestId", c->request_id } };

	assert(c->q && n_extra < ARRAY_SIZE(headers));
	for (size_t i = 0; i < n_extra; i++)
		headers[1 + i] = extra[i];
	a->status = status;
	a->headers = headers;
	a->n_headers = 1 + n_extra;
	http_reply(c->q, a);
	a->headers = NULL;	/* they end here */
}

void api_answer_json(struct api_call *c, int status, struct buf *b)
{
	struct http_answer a = {};

	a.text = buf_take(b, &a.len);
	reply(c, status, &a, NULL, 0);
}

void api_answer_blob(struct api_call *c, int status, struct blob *body, const struct http_header *extra, size_t n_extra)
{
	struct http_answer a = { .blob = body };

	reply(c, status, &a, extra, n_extra);
}

static void fail(struct api_call *c, int status, const char *name, const char *message, const char *reason,
		 const struct http_header *more)
{
	struct http_header extra[2] = { { "x-amzn-errortype", name } };
	CLEAN(buf_done) struct buf b = {};
	struct http_answer a = {};

	if (more)
		extra[1] = *more;
	api_error_body(&b, name, status, message, reason);
	a.text = buf_take(&b, &a.len);
	reply(c, status, &a, extra, more ? 2 : 1);
}

void api_fail_raw(struct api_call *c, int status, const char *name, const char *message, const char *reason)
{
	fail(c, status, name, message, reason, NULL);
}

void api_fail(struct api_call *c, enum api_exception x, const char *fmt, ...)
{
	CLEAN(freep) char *message = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&message, fmt, ap);
	va_end(ap);
	if (n < 0)
		message = NULL;
	fail(c, api_error_status(x), api_error_name(x), message ? message : "", NULL, NULL);
}

void api_fail_reply(struct api_call *c, const struct intake_reply *r)
{
	fail(c, r->status, r->error_type ? r->error_type : "ServiceException", r->error_message ? r->error_message : "",
	     r->error_reason, NULL);
}

void api_fail_value(struct api_call *c, const char *field, const char *value, const char *constraint)
{
	api_fail(c, API_VALIDATION, "1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: %s", value,
		 field, constraint);
}

/* ---- parameters -------------------------------------------------------------------------------------------- */

static bool take_params(struct api_call *c, const struct route_param params[ROUTE_PARAMS_MAX])
{
	for (int i = 0; i < ROUTE_PARAMS_MAX && params[i].at; i++) {
		int r = http_decode(params[i].at, params[i].len, c->param[i], sizeof(c->param[i]));

		if (r < 0) {
			api_fail(c, API_VALIDATION, "1 validation error detected: path segment %d: %s", i + 1,
				 r == -ENAMETOOLONG ? "Member must have length less than or equal to 511"
						    : "broken percent-encoding");
			return false;
		}
	}
	return true;
}

const char *api_known_arg(const struct api_route *route, const char *name)
{
	for (size_t i = 0; i < ROUTE_ARGS_MAX && route->args[i]; i++)
		if (strcmp(route->args[i], name) == 0)
			return route->args[i];
	return NULL;
}

static bool take_arg(struct api_call *c, char *text)
{
	char *value = strchr(text, '='), name[64];
	const char *known;

	if (value)
		*value++ = '\0';
	else
		value = text + strlen(text);
	for (char *p = value; *p; p++)
		if (*p == '+')
			*p = ' ';
	if (http_decode(text, strlen(text), name, sizeof(name)) < 0 || !(known = api_known_arg(c->route, name))) {
		if (c->route->args_open)
			return true;
		api_fail(c, API_INVALID_PARAMETER, "Unknown query parameter '%s' for %s %s", text, c->route->method,
			 c->route->pattern);
		return false;
	}
	if (api_arg(c, known)) {
		api_fail(c, API_INVALID_PARAMETER, "Query parameter '%s' is given twice", known);
		return false;
	}
	if (http_decode(value, strlen(value), value, strlen(value) + 1) < 0) {	/* in place: it never grows */
		api_fail(c, API_INVALID_PARAMETER, "Query parameter '%s': broken percent-encoding", known);
		return false;
	}
	c->args[c->n_args++] = (struct api_arg){ known, value };
	return true;
}

static bool take_query(struct api_call *c)
{
	const char *query = http_req_query(c->q);
	char *rest, *one;

	if (!query || !*query)
		return true;
	rest = c->query = xstrdup(query);
	while ((one = strsep(&rest, "&")))
		if (*one && !take_arg(c, one))
			return false;
	return true;
}

/* ---- requests ---------------------------------------------------------------------------------------------- */

static struct api_call *call_new(struct api *a, struct http_req *q)
{
	struct api_call *c = XNEW(struct api_call);
	uint64_t rnd[2] = { a->ctx.clock->random64(a->ctx.clock->self), a->ctx.clock->random64(a->ctx.clock->self) };

	c->a = a;
	c->q = q;
	id_uuid(rnd, c->request_id);
	http_req_set_data(q, c);
	return c;
}

static void on_refused(void *arg, struct http_req *q, const struct http_peer *who)
{
	struct api_call *c = call_new(arg, q);

	api_fail(c, API_ACCESS_DENIED, "User: uid %d (pid %d) may not use this socket: only root, the daemon's user and the "
		 "members of its group may", (int)who->uid, (int)who->pid);
}

static size_t on_begin(void *arg, struct http_req *q)
{
	struct route_param params[ROUTE_PARAMS_MAX] = {};
	struct api_call *c = call_new(arg, q);
	const char *allow;

	c->route = route_find(http_req_method(q), http_req_path(q), params, &allow);
	if (!c->route && allow)
		fail(c, api_error_status(API_METHOD_NOT_ALLOWED), api_error_name(API_METHOD_NOT_ALLOWED),
		     "This path does not exist for this method", NULL, &(struct http_header){ "Allow", allow });
	else if (!c->route)
		api_fail(c, API_UNKNOWN_OPERATION, "Unknown operation: %s %.256s", http_req_method(q), http_req_path(q));
	else if (take_params(c, params) && take_query(c))
		return c->route->body_max;
	return 0;
}

static void on_complete(void *arg, struct http_req *q)
{
	struct api_call *c = http_req_data(q);

	c->route->handle(c);
}

static void on_too_large(void *arg, struct http_req *q, uint64_t size)
{
	struct api_call *c = http_req_data(q);

	if (c->route->too_large)
		c->route->too_large(c, size);
	else
		api_fail(c, API_TOO_LARGE, "Request must be smaller than %zu bytes for this operation", c->route->body_max + 1);
}

static void on_done(void *arg, struct http_req *q)
{
	struct api_call *c = http_req_data(q);

	if (c->owed && c->gone) {
		c->gone(c);
		c->owed = false;
	} else if (c->owed && c->intake_handle) {
		intake_abandon(c->a->ctx.engine, c->intake_handle);
		c->owed = false;
	}
	if (c->owed)
		c->q = NULL;
	else
		call_free(c);
}

/* ---- answers from outside ---------------------------------------------------------------------------------- */

bool api_arrived(struct api_call *c)
{
	assert(c->owed);
	c->owed = false;
	c->intake_handle = 0;
	if (c->q)
		return true;
	call_free(c);
	return false;
}

static void on_query_done(void *arg, const struct store_query *q, const struct store_result *res, int result, const struct err *e)
{
	struct api_call *c = arg;

	if (!api_arrived(c))
		return;
	if (result == -ENOENT) {
		static const struct store_result nothing;

		c->on_result(c, q, &nothing);
	} else if (result < 0) {
		api_fail(c, API_SERVICE, "The store cannot answer: %s", err_msg(e));
	} else {
		c->on_result(c, q, res);
	}
}

void api_query(struct api_call *c, const struct store_query *q,
	       void (*on_result)(struct api_call *c, const struct store_query *q, const struct store_result *res))
{
	struct port_store *store = c->a->ctx.store;
	struct store_query own = *q;

	own.arg = c;
	own.done = on_query_done;
	c->on_result = on_result;
	c->owed = true;
	store->ops->query(store, &own);
}

bool api_sure(struct api_call *c)
{
	struct engine_stats s;

	engine_stats(c->a->ctx.engine, &s);
	if (!s.in_doubt)
		return true;
	api_fail(c, API_UNAVAILABLE, "The store is in doubt, nothing is changed until it is sure again: %s", s.doubt_why);
	return false;
}

/* ---- life -------------------------------------------------------------------------------------------------- */

int api_new(const struct api_context *ctx, struct http_server *server, struct api **ret, struct err *e)
{
	struct api *a = XNEW(struct api);

	assert(ctx->engine && ctx->store && ctx->clock && ctx->region && server);
	a->ctx = *ctx;
	a->server = server;
	a->empty_event = blob_new("{}", 2);
	if (!a->empty_event) {
		free(a);
		return err_set(e, -ENOMEM, "API");
	}
	http_server_set_handler(server, &(struct http_handler){
		.arg = a, .refused = on_refused, .begin = on_begin, .complete = on_complete, .too_large = on_too_large,
		.done = on_done,
	});
	*ret = a;
	return 0;
}

struct api *api_free(struct api *a)
{
	if (a) {
		http_server_stop(a->server);
		blob_unref(a->empty_event);
		free(a);
	}
	return NULL;
}
