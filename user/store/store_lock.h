/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/err.h"

/* One daemon for each database file: *ret is the lock, released by closing it (and by death, in whatever way). */
int store_lock_take(const char *path, int *ret, struct err *e);
