/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Reading: what is open at start, and the answers to queries. A connection that cannot write. */
#include "engine/port_store.h"
#include "store/store_db.h"

/* The file must have been opened (and migrated) by a writer. load: for the start and the LOAD queries alone. On failure *d
 * is zeroed. */
int store_reader_open(struct store_db *d, const char *path, const char *vfs, bool load, struct err *e);
int store_reader_load(struct store_db *d, const struct store_loader *l, int64_t *ret_next_seq, struct err *e);
/* All kinds but those that write (store_writer_answers()), from one snapshot. *res is zeroed by the caller, who also frees it
 * on failure. */
bool store_reader_loads(enum store_query_kind kind);	/* one of the LOAD queries */
int store_reader_query(struct store_db *d, const struct store_query *q, struct store_result *res, struct err *e);
