/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Tells when something in a directory of definitions has changed and has come to rest. */
#include <stdbool.h>

#include <systemd/sd-event.h>

#define WATCH_REST_MS 200	/* without a further change */
#define WATCH_LATEST_MS 2000	/* after the first one, whatever goes on */
#define WATCH_RETRY_MS 2000	/* while the directory is not there */

struct watch;
/*
 * changed() is called from the loop: after files that `wanted` says yes to were made, written, moved, removed or given
 * other rights, and after the directory itself has come or gone. What is missing or cannot be watched is no error: it is
 * logged once, and looked for every WATCH_RETRY_MS. dir is borrowed for life. Changes after the return are not missed.
 */
struct watch *watch_new(sd_event *loop, const char *dir, bool (*wanted)(const char *name), void (*changed)(void *arg), void *arg);
struct watch *watch_free(struct watch *w);	/* NULL in; returns NULL */
