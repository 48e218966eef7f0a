/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the handlers share. Nobody outside api/ includes this. */
#include "api/api.h"
#include "api/api_error.h"
#include "api/api_json.h"
#include "api/route_table.h"

#define API_PARAM_MAX 512	/* a decoded path segment: function ARNs have 256, queue ARNs 350 at most */
#define API_LIST_DEFAULT 100
#define API_LIST_MAX 1000

struct api {
	struct api_context ctx;
	struct http_server *server;
	struct blob *empty_event;	/* {} */
};

struct api_arg { const char *name; char *value; };

/*
 * One request. It belongs to the request until something outside owes it an answer (`owed`); when the client goes away
 * meanwhile, q is NULL and the call is freed by whoever brings the answer. `a` is not to be touched then.
 */
struct api_call {
	struct api *a;
	struct http_req *q;
	const struct api_route *route;
	char param[ROUTE_PARAMS_MAX][API_PARAM_MAX];
	char *query;			/* api_arg.value points into it */
	struct api_arg args[ROUTE_ARGS_MAX];
	size_t n_args;
	char *owned[ROUTE_ARGS_MAX];	/* values that came in the body */
	size_t n_owned;
	char request_id[ID_UUID_LEN + 1];
	bool owed;
	uint64_t intake_handle;		/* 0 = it is not the engine that owes, or not to the call itself */
	enum intake_type type;
	void (*on_result)(struct api_call *c, const struct store_query *q, const struct store_result *res);
	int64_t count;			/* the handler's, over several questions */
	/* While set and owed: the client went away. Whoever set it stops counting on the call, which is freed then. */
	void (*gone)(struct api_call *c);
	void *data;			/* gone's */
};

/* Answers; each exactly once per call. */
void api_answer_json(struct api_call *c, int status, struct buf *b);	/* takes b's bytes */
void api_answer_blob(struct api_call *c, int status, struct blob *body, const struct http_header *extra, size_t n_extra);
void api_fail(struct api_call *c, enum api_exception x, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void api_fail_raw(struct api_call *c, int status, const char *name, const char *message, const char *reason);
/* As the engine refused. */
void api_fail_reply(struct api_call *c, const struct intake_reply *r);
/* Lambda's words: "1 validation error detected: Value 'V' at 'FIELD' failed to satisfy constraint: CONSTRAINT". */
void api_fail_value(struct api_call *c, const char *field, const char *value, const char *constraint);

/* Query parameters. False: the call has been answered with what is wrong. */
const char *api_arg(const struct api_call *c, const char *name);	/* NULL = not given */
bool api_arg_int(struct api_call *c, const char *name, int64_t min, int64_t max, int64_t fallback, int64_t *ret);
bool api_arg_bool(struct api_call *c, const char *name, bool *ret);	/* "true", "false"; not given is false */
/* One of the words name_of(0 … max - 1); those that are "" are none. *ret is left alone when it is not given. */
bool api_arg_word(struct api_call *c, const char *name, const char *(*name_of)(int), int max, int *ret);
const char *api_word_condition(int i);
const char *api_word_outcome(int i);
bool api_arg_time(struct api_call *c, const char *name, int64_t *ret_ms);	/* ISO 8601, or "2h" ago; 0 = not given */
/* What a new event may have otherwise than the one it repeats: "timeout" (s), "memory" (MB), "qualifier". */
struct api_overrides { bool any, requalify; int timeout_ms, memory_mb; char qualifier[LIM_QUALIFIER_MAX + 1]; };
bool api_arg_overrides(struct api_call *c, struct api_overrides *ret);
bool api_arg_function(struct api_call *c, const char *name, char ret[LIM_FUNCTION_NAME_MAX + 1]);	/* "" = not given */
const char *api_known_arg(const struct api_route *route, const char *name);	/* the route's own spelling; NULL = unknown */
/* The body as parameters, as if its members stood in the query; nothing when there is none. */
bool api_body_args(struct api_call *c);
/* The body, which must be a JSON object; *ret NULL when there is none. cJSON_Delete() is owed. */
bool api_body_object(struct api_call *c, cJSON **ret);

/* The path's parameter i as a delivery's role. */
bool api_param_role(struct api_call *c, int i, enum outbox_role *ret);
/* The path's parameter i as a request id. */
bool api_param_id(struct api_call *c, int i, char ret[ID_UUID_LEN + 1]);
/* The path's parameter i as a function's name; the function itself when ret_func is given (borrowed). */
bool api_param_function(struct api_call *c, int i, char ret[LIM_FUNCTION_NAME_MAX + 1], struct func **ret_func);

/* The path's parameter 0 as the name of a target of that kind; NULL: it is another kind's. *t may hold it. */
const char *api_param_target(struct api_call *c, enum target_kind kind, struct target *t);

/* The path's parameter i as a queue's name. */
bool api_param_queue(struct api_call *c, int i, char ret[LIM_ARN_MAX + 1]);

/* Lambda's schema checks (api_name.c): all that is broken is said together. */
struct api_schema { struct buf b; int n; };
void api_schema_done(struct api_schema *s);
void api_broken(struct api_schema *s, const char *field, const char *value, const char *constraint);
bool api_schema_ok(struct api_call *c, const struct api_schema *s);	/* false: the call has been answered */
#define API_QUALIFIER_PATTERN "\\$(LATEST(\\.PUBLISHED)?)|[a-zA-Z0-9-_$]+"
bool api_qualifier_ok(const char *q);
struct api_name {
	struct arn_function fn;
	char name[API_PARAM_MAX], qualifier[API_PARAM_MAX];	/* of the name, when fn could not be filled */
	bool foreign;						/* another account */
	bool no_such;						/* well-formed, but no function of ours can be called so */
};
/* The path's parameter 0. namespaced: longer, and with dots, as Invoke and the lists allow it. */
void api_name_check(struct api_call *c, bool namespaced, struct api_name *w, struct api_schema *s);
bool api_name_ours(struct api_call *c, const struct api_name *w, const char *operation);	/* false: it has been answered */

/* Asks the store; on_result is called unless the client is gone. Failures are answered. */
void api_query(struct api_call *c, const struct store_query *q,
	       void (*on_result)(struct api_call *c, const struct store_query *q, const struct store_result *res));
/* False: the engine is in doubt and the call has been answered so. For what changes the store past the engine. */
bool api_sure(struct api_call *c);
/* The engine owes an answer and now brings it. False: the client is gone, the call is freed. */
bool api_arrived(struct api_call *c);

/* Handlers, by route_table.c */
void api_invoke(struct api_call *c);
void api_invoke_too_large(struct api_call *c, uint64_t size);
void api_status(struct api_call *c);
void api_version(struct api_call *c);
void api_reload(struct api_call *c);
void api_topics(struct api_call *c);
void api_topic(struct api_call *c);
void api_buses(struct api_call *c);
void api_bus(struct api_call *c);
void api_functions(struct api_call *c);
void api_function(struct api_call *c);
void api_function_logs(struct api_call *c);
void api_events(struct api_call *c);
void api_event(struct api_call *c);
void api_event_wait(struct api_call *c);
void api_event_cancel(struct api_call *c);
void api_event_retry(struct api_call *c);
void api_events_redrive(struct api_call *c);
void api_records(struct api_call *c);
void api_records_tail(struct api_call *c);
void api_record(struct api_call *c);
void api_queues(struct api_call *c);
void api_queue_receive(struct api_call *c);
void api_queue_delete(struct api_call *c);
void api_queue_peek(struct api_call *c);
void api_queue_purge(struct api_call *c);
void api_queue_redrive(struct api_call *c);
void api_deliveries(struct api_call *c);
void api_delivery(struct api_call *c);
void api_delivery_wish(struct api_call *c);
void api_deliveries_retry(struct api_call *c);
void api_health(struct api_call *c);
void api_publish(struct api_call *c);
void api_versions(struct api_call *c);
void api_alias_create(struct api_call *c);
void api_alias_get(struct api_call *c);
void api_alias_update(struct api_call *c);
void api_alias_delete(struct api_call *c);
void api_aliases(struct api_call *c);

/* api_event.c: from the engine's clock, which times of open events are on, to the wall's. */
int64_t api_clock_step(struct api_call *c);
/* api_delivery.c: the member "deliveries", all that the result has; whole: with what is sent */
void api_deliveries_json(struct buf *b, const struct store_result *res, int64_t step_ms, bool whole);
/* api_function.c: a comma and the member "Environment"; nothing without variables */
void api_environment_json(struct buf *b, const struct func *f);
