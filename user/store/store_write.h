/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The writer's half of the statements. All calls on the writer's thread (or before it starts). */
#include "engine/port_store.h"
#include "store/store_db.h"

struct store_writer {
	struct store_db db;
	int64_t owner;		/* this opening's number: lease_owner of the rows we write */
	int64_t opened_at_ms;	/* and its time: both together are how we know the file again */
	uint64_t log_ino;	/* of PATH-wal */
	int64_t pos_trimmed;	/* at least the largest position of a record that retention has deleted */
	int64_t trim_from, trim_next;	/* how far retention has looked: committed, and in this transaction */
};

/* Opens the file, migrates it, notes the opening. On failure *w is zeroed. */
int store_writer_open(struct store_writer *w, const char *path, const char *vfs, struct err *e);
void store_writer_done(struct store_writer *w);

/* Where the file and its log are: a name may be taken from a file that is open, and SQLite would go on writing to what no
 * later start finds. */
enum store_place {
	STORE_IN_PLACE,
	STORE_LOG_GONE,		/* another log, or none, lies there */
	STORE_REPLACED,		/* another file: never ours to open */
	STORE_GONE,		/* none */
};
enum store_place store_writer_place(const struct store_writer *w);
/* Brings the whole log into the file. */
int store_writer_checkpoint(struct store_writer *w, struct err *e);
/* Closes and opens again, statements and all; never makes or migrates a file, and refuses one that we did not open (-EIO,
 * -EBADMSG). On failure w has no connection (w->db.db NULL), and it can be called again. */
int store_writer_reopen(struct store_writer *w, const char *path, const char *vfs, struct err *e);

/* One transaction. After an error of commit the transaction is rolled back. */
int store_writer_begin(struct store_writer *w, struct err *e);
int store_writer_commit(struct store_writer *w, struct err *e);
void store_writer_rollback(struct store_writer *w);
/* A savepoint in it; undo and keep both end it. */
int store_writer_mark(struct store_writer *w, struct err *e);
int store_writer_keep(struct store_writer *w, struct err *e);
int store_writer_undo(struct store_writer *w, struct err *e);

/* All operations of b, up to the first that fails: b->failed. Fills their results. */
int store_writer_batch(struct store_writer *w, struct store_batch *b, struct err *e);
/* The queries that write: STORE_Q_RECEIVE, STORE_Q_DELETE, STORE_Q_PURGE, STORE_Q_TRIM. */
bool store_writer_answers(enum store_query_kind kind);
int store_writer_query(struct store_writer *w, const struct store_query *q, struct store_result *res, struct err *e);
