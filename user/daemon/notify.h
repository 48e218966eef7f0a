/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the service manager hears of us between start and end: one line of status, and that the loop turns. */
#include <stdbool.h>
#include <stdint.h>

#include "engine/engine.h"

#define NOTIFY_STATUS_MAX 400

struct notify {
	bool on;			/* there is a service manager */
	int64_t status_ns;		/* when the line was last looked at; 0 = never */
	bool stale;			/* there were turns since */
	int64_t watchdog_ns, alive_ns;	/* how often it wants to hear of us, 0 = never; when it last did */
	char status[NOTIFY_STATUS_MAX];	/* as last sent */
};

void notify_init(struct notify *n);
/* "store in doubt: …; 2 running, 10 queued": out is the caller's. */
void notify_status_line(const struct engine_stats *st, char out[NOTIFY_STATUS_MAX]);
/* After each turn: sends what changed, at most once a second, and the watchdog's sign of life. */
void notify_turn(struct notify *n, const struct engine *e, int64_t now_ns);
/* When a turn is wanted for it although nothing else happens; INT64_MAX = never. */
int64_t notify_next_ns(const struct notify *n);
