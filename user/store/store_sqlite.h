/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * port_store over one SQLite file: WAL, full sync, group commit on a writer thread, queries on a reader thread, the
 * engine's LOAD queries on another.
 * store_row.h says what both engines answer where the port leaves room.
 */
#include <systemd/sd-event.h>

#include "engine/port_store.h"

/*
 * Opens PATH, or makes it; its directory must be there. Blocks (at start only). Takes PATH-lock, for as long as the
 * store lives: -EBUSY and a sentence with the holder's pid when another daemon has it. -EBADMSG when the file is no
 * database, or not ours; -EPROTONOSUPPORT when it is newer than we are. loop is referenced. Reports arrive through an
 * event source of our own, of normal priority. close() must not be called from within a report.
 */
int store_sqlite_open(sd_event *loop, const char *path, struct port_store **ret, struct err *e);
/* The same through another VFS of SQLite's, by name: for tests that break the disk. */
int store_sqlite_open_vfs(sd_event *loop, const char *path, const char *vfs, struct port_store **ret, struct err *e);
