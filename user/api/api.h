/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What fated speaks over HTTP: Lambda's Invoke, and /fate/v1 for people and fatectl (api/route_table.c has the list).
 * Handlers decode, call one engine, registry or store function, and encode.
 */
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
	/* Appends members of the status object, joined by commas, none before the first: "version" (string), "uptimeMs"
	 * (number), "observer", "launcher", "store", "definitions" (objects or strings). */
	void (*status)(void *arg, struct buf *b);
	/* Reads the definitions again and swaps them. Appends the answer's members: "added", "changed", "removed" (arrays of
	 * names), "unchanged" (number), "problems" (array of {"file", "path", "reason"}). Problems are no failure: 0. */
	int (*reload)(void *arg, struct buf *b, struct err *e);
	/* Appends the last bytes_max bytes at most of the function's log. -ENOENT when it has none. */
	int (*logs)(void *arg, const char *function, size_t bytes_max, struct buf *b, struct err *e);
};

struct api;
/* Becomes the server's handler. The server must be freed first; answers that come after that find nobody, which is fine. */
int api_new(const struct api_context *ctx, struct http_server *server, struct api **ret, struct err *e);
struct api *api_free(struct api *a);	/* NULL in; returns NULL */
DEFINE_FREEP(api_free, struct api *)
