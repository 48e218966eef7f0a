/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What fated speaks over HTTP: Lambda's Invoke, and /fate/v1 for people and fatectl (api/route_table.c has the list).
 * Handlers decode, call one engine, registry or store function, and encode.
 */
#include <cjson/cJSON.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "engine/intake.h"
#include "engine/port_clock.h"
#include "engine/port_store.h"
#include "net/http_server.h"

struct api_context {
	struct engine *engine;
	struct port_store *store;
	struct port_clock *clock;
	const char *region;		/* borrowed as long as the api */
	void *arg;			/* of the call-backs below; each may be NULL */
	/* Adds members to the status object: "version", "pid", "uptimeSeconds", and an object for each part of the daemon. */
	void (*status)(void *arg, cJSON *into);
	/* Reads the definitions again and swaps them. Adds "added", "changed", "removed" (arrays of names), "functions" (number)
	 * and "problems" (array of {"file", "path", "reason"}) to the answer. */
	void (*reload)(void *arg, cJSON *into);
	/* Appends the last bytes_max bytes at most of the function's log. -ENOENT when it has none. */
	int (*logs)(void *arg, const char *function, size_t bytes_max, struct buf *b, struct err *e);
};

struct api;
/* Becomes the server's handler. */
int api_new(const struct api_context *ctx, struct http_server *server, struct api **ret, struct err *e);
/* Stops the server (http_server_stop), while engine and store are still there; the server is freed after it. What the store
 * answers later finds nobody, which is fine. NULL in; returns NULL. */
struct api *api_free(struct api *a);
DEFINE_FREEP(api_free, struct api *)
