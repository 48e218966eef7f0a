/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Operating errors: a negative errno plus one sentence, owned by the caller, never allocated.
 * Ranks 0 to 2 fill one and return; whoever handles the error logs it, once.
 */
#include <stdarg.h>

struct err {
	int code;	/* negative errno; 0 when unset */
	char msg[512];	/* the sentence, always terminated; long ones are cut */
};

/* Both accept e == NULL and return `code`. errno is left as it was. */
int err_set(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Puts context in front of what is there: "context: what was there"; with nothing there, strerror(-code). */
int err_wrap(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* err_set with strerror(-code) appended: "context: No such file or directory". */
int err_errno(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
const char *err_msg(const struct err *e);
