/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One connection to the database file, its statements and its errors. Used by one thread at a time.
 * The only file of fated's, with store_{migrate,write,read}.c, that speaks SQLite.
 */
#include <stdbool.h>
#include <stdint.h>

#include <sqlite3.h>

#include "base/blob.h"
#include "base/err.h"

struct store_db {
	sqlite3 *db;
	char *path;
	uint64_t dev, ino;	/* the file that path named when it was opened */
	sqlite3_stmt **stmts;	/* by the index of the table given to store_db_prepare() */
	size_t n_stmts;
};

/* -EINVAL for names that SQLite would not take as a file's. Ask before anything is made under that name. */
int store_db_check_path(const char *path, struct err *e);
/* With mode 0600, if it is not there. */
int store_db_create(const char *path, struct err *e);
/* Opens PATH, which must be there. vfs NULL: the system's. No migration yet. */
int store_db_open(struct store_db *d, const char *path, const char *vfs, bool writer, struct err *e);
/* The writer's set-up once it is known that the file is ours: WAL, full sync. */
int store_db_durable(struct store_db *d, struct err *e);
void store_db_done(struct store_db *d);		/* statements and connection; zeroed is fine */

/* Prepares one statement for each row of the table, which must outlive d. */
int store_db_prepare(struct store_db *d, const char *const *sql, size_t n, struct err *e);
int store_db_exec(struct store_db *d, const char *sql, struct err *e);
/* First column of the first row. */
int store_db_int(struct store_db *d, const char *sql, int64_t *ret, struct err *e);

/* Runs statement i as bound: 1 a row is there (call store_db_reset when done with it), 0 finished and reset, <0 error
 * and reset. what names the row in the error. */
int store_db_step(struct store_db *d, size_t i, const char *what, int64_t id, struct err *e);
void store_db_reset(struct store_db *d, size_t i);

/* Errors: a result code of SQLite as errno; and with the sentence "PATH: what id: reason". */
int store_db_errno(int rc);
int store_db_fail(struct store_db *d, int rc, const char *what, int64_t id, struct err *e);
/* True for what concerns the batch alone (it exists, it is stale…), not the disk or the file. */
bool store_db_is_domain(int r);

/* Binding. i counts from 1. The memory bound must live until the next reset. */
void store_bind_int(sqlite3_stmt *s, int i, int64_t v);
void store_bind_text(sqlite3_stmt *s, int i, const char *text);
int store_bind_blob(sqlite3_stmt *s, int i, const struct blob *b);	/* NULL → NULL; -E2BIG */

/*
 * Reading back, with checks: every column is compared with what could have been written, and the first one that could
 * not makes the whole row an error (-EBADMSG) that names it. Columns are read in order.
 */
struct store_reader {
	struct store_db *d;
	sqlite3_stmt *s;
	const char *what;	/* "event" */
	int64_t id;
	int col, r;
	struct err *e;
};
int64_t store_read_int(struct store_reader *rd, const char *name, int64_t min, int64_t max);
void store_read_text(struct store_reader *rd, const char *name, char *out, size_t size);
void store_read_name(struct store_reader *rd, const char *name, char *out, size_t size);	/* a text, and not "" */
struct blob *store_read_blob(struct store_reader *rd);	/* NULL for NULL, and on error */
