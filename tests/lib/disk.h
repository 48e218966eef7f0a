/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A disk that breaks, as SQLite's VFS "breaking". It does not sync for real: of every file it keeps what the last sync made
 * safe, and what was written since. One database at a time (its file and its log); other files pass through.
 *
 * DISK_WRITE, DISK_SYNC: the n-th write or sync fails, once or from then on; with rc (a write's), or as a failed sync.
 * DISK_POWER: at the n-th access of any kind the machine loses its power. Of what was written since a file's last sync
 * nothing is left, or (half) a random half of its sectors.
 */
#include <stdbool.h>
#include <stdint.h>

enum disk_fault { DISK_WELL, DISK_WRITE, DISK_SYNC, DISK_POWER };

int disk_register(void);			/* once; 0, or SQLite's code */
void disk_break(enum disk_fault kind, int n, bool sticky, int rc);	/* counts anew */
void disk_half(bool half, uint64_t seed);
bool disk_struck(void);				/* since disk_break(): by DISK_WRITE or DISK_SYNC */
/* Called in the thread that makes the n-th access, which waits; others that access the disk wait, too. NULL: none. */
extern void (*disk_power_lost)(void);
bool disk_remains(void);			/* the power was lost since disk_break() */
/* Makes of PATH and PATH-wal what was left at that moment. Other files are the caller's to remove. True when it could. */
bool disk_write_remains(const char *path);
void disk_forget(void);				/* the files are gone: the caller has removed them, all closed */
