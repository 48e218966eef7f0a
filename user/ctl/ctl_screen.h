/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Showing something again and again: what --watch and top have in common, and the terminal below (ctl_screen.c). */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "ctl/ctl.h"

struct ctl_show {
	const char *title;		/* the terminal's first line says it */
	int64_t interval_ms;
	/* Prints to stdout and stderr; returns enum ctl_exit. again: what is known already, without asking. */
	int (*round)(struct ctl *c, void *arg, bool again);
	bool (*key)(void *arg, int key);	/* true: round() once more, with `again`. NULL: no keys but q */
	void *arg;
};
/*
 * One round after the other until an interrupt, q, or the end of whoever reads. On a terminal each is drawn over the
 * last, else they follow each other with an empty line between. The first must succeed (CTL_OK, CTL_DRIFT); after that
 * a daemon that went away is waited for. Returns, or ends the program with, what the last round returned.
 */
int ctl_show(struct ctl *c, const struct ctl_show *s);
/* "1.5": seconds, 0.1 to 3600, as milliseconds. False: usage was printed. */
bool ctl_interval(const struct ctl *c, const char *option, const char *text, int64_t *ret_ms);

/* ---- the terminal */
void screen_open(void);
void screen_close(void);			/* as it was before; nothing when not open */
void screen_status(int exit_status);		/* what an interrupt ends with from now on */
bool screen_draw(const char *text);		/* false: nobody reads any more */
/* Appends what draws text over what stands there, at most that many rows of it. */
void screen_picture(struct buf *b, const char *text, size_t rows);
enum { SCREEN_TIME = 0, SCREEN_RESIZED = -1, SCREEN_END = -2 };
/* A key that was typed, or what else ended the wait: the time, a new size, nobody who reads or types any more. */
int screen_wait(int64_t ms);
