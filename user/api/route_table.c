/* SPDX-License-Identifier: Apache-2.0 */
/* Every operation, one row each. The first is by far the most frequent; the rest are looked through in order. */
#include "api/route_table.h"

#include <string.h>

#include "api/api_int.h"
#include "base/mem.h"
#include "model/limits.h"

#define INVOCATIONS "/2015-03-31/functions/{FunctionName}/invocations"
#define FUNCTION "/2015-03-31/functions/{FunctionName}"
#define V1 "/fate/v1"
#define SMALL 16384u		/* a request's own members, no payload */

static const struct api_route routes[] = {
	{ "POST", INVOCATIONS, LIM_SYNC_PAYLOAD, api_invoke, { "Qualifier" }, true, api_invoke_too_large },
	{ "POST", FUNCTION "/versions", SMALL, api_publish, {}, true, NULL },
	{ "GET", FUNCTION "/versions", 0, api_versions, { "Marker", "MaxItems" }, true, NULL },
	{ "POST", FUNCTION "/aliases", SMALL, api_alias_create, {}, true, NULL },
	{ "GET", FUNCTION "/aliases", 0, api_aliases, { "FunctionVersion", "Marker", "MaxItems" }, true, NULL },
	{ "GET", FUNCTION "/aliases/{Name}", 0, api_alias_get, {}, true, NULL },
	{ "PUT", FUNCTION "/aliases/{Name}", SMALL, api_alias_update, {}, true, NULL },
	{ "DELETE", FUNCTION "/aliases/{Name}", 0, api_alias_delete, {}, true, NULL },
	{ "GET", V1 "/health", 0, api_health, {}, false, NULL },
	{ "GET", V1 "/status", 0, api_status, {}, false, NULL },
	{ "GET", V1 "/version", 0, api_version, {}, false, NULL },
	{ "POST", V1 "/reload", 0, api_reload, {}, false, NULL },
	{ "GET", V1 "/functions", 0, api_functions, {}, false, NULL },
	{ "GET", V1 "/functions/{name}", 0, api_function, {}, false, NULL },
	{ "GET", V1 "/functions/{name}/logs", 0, api_function_logs, { "bytes", "cursor" }, false, NULL },
	{ "GET", V1 "/topics", 0, api_topics, {}, false, NULL },
	{ "GET", V1 "/topics/{name}", 0, api_topic, {}, false, NULL },
	{ "GET", V1 "/buses", 0, api_buses, {}, false, NULL },
	{ "GET", V1 "/buses/{name}", 0, api_bus, {}, false, NULL },
	{ "GET", V1 "/events", 0, api_events, { "function", "state", "limit", "before" }, false, NULL },
	{ "GET", V1 "/events/{id}", 0, api_event, {}, false, NULL },
	{ "GET", V1 "/events/{id}/wait", 0, api_event_wait, {}, false, NULL },
	{ "POST", V1 "/events/{id}/cancel", 0, api_event_cancel, {}, false, NULL },
	{ "POST", V1 "/events/{id}/retry", 0, api_event_retry,
	  { "force", "timeout", "memory", "qualifier" }, false, NULL },
	{ "POST", V1 "/events/redrive", SMALL, api_events_redrive,
	  { "function", "condition", "verdict", "since", "until", "max", "rate", "after", "upTo", "dryRun", "again", "timeout",
	    "memory", "qualifier" }, false, NULL },
	{ "GET", V1 "/records", 0, api_records, { "function", "condition", "limit", "before" }, false, NULL },
	{ "GET", V1 "/records/tail", 0, api_records_tail, { "after", "limit", "function", "condition" }, false, NULL },
	{ "GET", V1 "/records/{id}", 0, api_record, {}, false, NULL },
	{ "GET", V1 "/queues", 0, api_queues, {}, false, NULL },
	{ "POST", V1 "/queues/{name}/receive", 0, api_queue_receive, { "max", "visibility" }, false, NULL },
	{ "POST", V1 "/queues/{name}/redrive", 0, api_queue_redrive,
	  { "max", "to", "dryRun", "rate", "after", "upTo", "function", "verdict", "since", "until", "timeout", "memory",
	    "qualifier" }, false, NULL },
	{ "GET", V1 "/queues/{name}/messages", 0, api_queue_peek, { "limit" }, false, NULL },
	{ "DELETE", V1 "/queues/{name}/messages", 0, api_queue_purge, {}, false, NULL },
	{ "DELETE", V1 "/queues/{name}/messages/{receipt}", 0, api_queue_delete, {}, false, NULL },
	{ "GET", V1 "/deliveries", 0, api_deliveries, { "target", "failed", "limit", "after" }, false, NULL },
	{ "POST", V1 "/deliveries/retry", 0, api_deliveries_retry, { "target", "max", "rate", "after" }, false, NULL },
	{ "GET", V1 "/deliveries/{id}", 0, api_delivery, {}, false, NULL },
	{ "POST", V1 "/deliveries/{id}/{role}/retry", 0, api_delivery_wish, {}, false, NULL },
	{ "DELETE", V1 "/deliveries/{id}/{role}", 0, api_delivery_wish, {}, false, NULL },
};

static bool match(const char *pattern, const char *path, struct route_param params[ROUTE_PARAMS_MAX])
{
	int n = 0;

	while (*pattern && *path) {
		if (*pattern == '{') {
			size_t len = strcspn(path, "/");

			if (!len)
				return false;
			params[n++] = (struct route_param){ path, len };
			path += len;
			pattern = strchr(pattern, '}') + 1;
		} else if (*pattern++ != *path++) {
			return false;
		}
	}
	return !*pattern && !*path;
}

const struct api_route *route_find(const char *method, const char *path, struct route_param params[ROUTE_PARAMS_MAX],
				   const char **ret_allow)
{
	*ret_allow = NULL;
	for (size_t i = 0; i < ARRAY_SIZE(routes); i++) {
		if (!match(routes[i].pattern, path, params))
			continue;
		if (strcmp(routes[i].method, method) == 0)
			return &routes[i];
		*ret_allow = routes[i].method;
	}
	return NULL;
}
