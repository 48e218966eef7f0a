/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The schema, version by version. */
#include "store/store_db.h"

#define STORE_APPLICATION_ID 0x66617465	/* "fate": file(1) and we know the file by it */

/*
 * Refuses a file that is not ours (-EBADMSG) or newer than we know (-EPROTONOSUPPORT), untouched; then makes it
 * durable (WAL) and brings it to the newest version, one transaction for each step. New files included. A small file
 * that cannot give pages back to the file system yet is then written anew, once.
 */
int store_migrate(struct store_db *d, struct err *e);
