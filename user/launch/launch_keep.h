/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Who keeps descriptors while no daemon runs: systemd's file descriptor store, sd_notify(3) FDSTORE=1. What is kept has
 * a name, its environment's leaf; a name may have several descriptors. They come back, as copies, at the next start.
 */
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define LAUNCH_KEEP_NAME_MAX 255	/* systemd's */
#define LAUNCH_KEEP_FDS_MAX 8

struct launch_keeper {
	void *self;
	/* Copies are kept; the caller's stay the caller's. Never waits. Negative: they are not kept. */
	int (*store)(void *self, const char *name, const int *fds, size_t n);
	/* All of that name are given up; one that is not known is fine. Never waits: what cannot be said now is said again
	 * with the next call of either. Negative: it never will be. */
	int (*remove)(void *self, const char *name);
	/* Until store() may fit again, or so long. For the daemon's end; NULL: it would be no use. */
	void (*wait)(void *self, int ms);
};

/* What an earlier daemon of ours had stored. */
struct launch_kept { char *name; int fd; };
struct launch_kept_list { struct launch_kept *v; size_t n; };
void launch_kept_add(struct launch_kept_list *l, const char *name, int fd);	/* the descriptor becomes the list's */
void launch_kept_done(struct launch_kept_list *l);

/* At the very start, before anything else opens descriptors: takes those that are named as leaves are
 * (launch_keep_is_leaf) out of what we were started with. Others stay open and are nobody's. Unsets $LISTEN_FDS and its kin. */
void launch_keep_received(struct launch_kept_list *ret);
bool launch_keep_is_leaf(const char *name);	/* "e12-1-00c0ffee" */
bool launch_keep_name_ok(const char *name);

/* Is there a store? $FDSTORE (systemd 254 and up) is a number above 0, or $FATED_FDSTORE is "1" (our unit's file says so for
 * older ones); and there is $NOTIFY_SOCKET. */
bool launch_keep_available(void);
/* Talks to $NOTIFY_SOCKET, which is read now. -ENOENT: not set, -EINVAL: no address we know. */
int launch_keep_new(struct launch_keeper **ret, struct err *e);
/* Says a last time what could not be said before. NULL in; returns NULL. */
struct launch_keeper *launch_keep_free(struct launch_keeper *k);
