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

/* A piece of a function's log: its last bytes, or what came after a place in it. */
struct api_log {
	const char *cursor;		/* NULL: the last whole lines; else what came after it */
	size_t bytes_max;
	struct buf text;		/* the caller's to free */
	char next[64];			/* the cursor behind the text; "" = this daemon has none */
	bool lost;			/* something between cursor and text may be gone */
	bool more;			/* there is more than bytes_max of it */
};

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
	/* Fills the second half of log. -ENOENT when the function has no log (next and lost are filled all the same), -EINVAL
	 * when the cursor is none. */
	int (*logs)(void *arg, const char *function, struct api_log *log, struct err *e);
};

struct api;
/* Becomes the server's handler. */
int api_new(const struct api_context *ctx, struct http_server *server, struct api **ret, struct err *e);
/* Stops the server (http_server_stop), while engine and store are still there; the server is freed after it. What the store
 * answers later finds nobody, which is fine. NULL in; returns NULL. */
struct api *api_free(struct api *a);
DEFINE_FREEP(api_free, struct api *)
