/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The definitions in force, kept over restarts in a file of the state directory. A definition that cannot be read after a
 * restart is then what one that breaks under the running daemon is: the last good one stays in force, with what waits for
 * it, and the file is a problem that is told.
 */
#include "base/err.h"
#include "daemon/definitions.h"

#define SAVED_FILE "definitions.json"

/* dir: the functions' directory they are from. Replaces PATH by rename, without waiting for the disk: what a power cut takes
 * away is missed only when a definition is broken, too. When it fails there is no such file any more: what an older one says may
 * have been changed, or taken back. */
int saved_write(const char *path, const char *dir, const struct definitions *d, struct err *e);
/* Into d, which must be empty. 0: also when there is no such file, or it is of another directory. -EBADMSG: it is no such
 * file; d is what could be read of it. Definitions that this daemon does not take any more are left out. */
int saved_read(const char *path, const char *dir, struct definitions *d, struct err *e);
