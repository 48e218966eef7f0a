/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The writer's half of the statements. All calls on the writer's thread (or before it starts). */
#include "engine/port_store.h"
#include "store/store_db.h"

struct store_writer {
	struct store_db db;
	int64_t owner;		/* this opening's number: lease_owner of the rows we write */
};

/* Opens the file, migrates it, notes the opening. On failure *w is zeroed. */
int store_writer_open(struct store_writer *w, const char *path, const char *vfs, struct err *e);
void store_writer_done(struct store_writer *w);

/* One transaction. After an error of commit the transaction is rolled back. */
int store_writer_begin(struct store_writer *w, struct err *e);
int store_writer_commit(struct store_writer *w, struct err *e);
void store_writer_rollback(struct store_writer *w);
/* A savepoint in it; undo and keep both end it. */
int store_writer_mark(struct store_writer *w, struct err *e);
int store_writer_keep(struct store_writer *w, struct err *e);
int store_writer_undo(struct store_writer *w, struct err *e);

/* All operations of b, up to the first that fails. */
int store_writer_batch(struct store_writer *w, const struct store_batch *b, struct err *e);
/* The queries that write: STORE_Q_RECEIVE, STORE_Q_DELETE, STORE_Q_PURGE. */
bool store_writer_answers(enum store_query_kind kind);
int store_writer_query(struct store_writer *w, const struct store_query *q, struct store_result *res, struct err *e);
