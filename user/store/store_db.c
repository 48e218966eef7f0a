/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection that does not surprise: extended result codes, no URI names, a defended schema, every error with
 * the file and the row in its sentence.
 *
 * Settings, and why. synchronous=FULL: in WAL mode each commit is in the file before it is reported (I1). A larger
 * automatic checkpoint than SQLite's (4000 pages, 16 MB): rows are written two or three times in their life, and a
 * later checkpoint writes each page once. secure_delete=FAST, because Debian's default (ON) writes zeros over
 * every freed page of a large body. temp_store=MEMORY keeps savepoints off the disk.
 */
#include "store/store_db.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"

#define BLOB_MAX 900000000u	/* below SQLITE_MAX_LENGTH with room for the row's other columns */

int store_db_errno(int rc)
{
	switch (rc) {
	case SQLITE_CONSTRAINT_PRIMARYKEY:
	case SQLITE_CONSTRAINT_ROWID:
	case SQLITE_CONSTRAINT_UNIQUE:
		return -EEXIST;
	case SQLITE_CONSTRAINT_FOREIGNKEY:
		return -ENOENT;
	}
	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return 0;
	case SQLITE_CONSTRAINT:
	case SQLITE_MISMATCH:
		return -EINVAL;
	case SQLITE_TOOBIG:
		return -E2BIG;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return -EACCES;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_FORMAT:
	case SQLITE_SCHEMA:
	case SQLITE_ERROR:	/* a table or column that is not there */
		return -EBADMSG;
	default:
		return -EIO;
	}
}

bool store_db_is_domain(int r)
{
	return r == -EEXIST || r == -ENOENT || r == -ESTALE || r == -EINVAL || r == -E2BIG;
}

int store_db_fail(struct store_db *d, int rc, const char *what, int64_t id, struct err *e)
{
	int r = store_db_errno(rc), sys = d->db ? sqlite3_system_errno(d->db) : 0;
	const char *reason = d->db ? sqlite3_errmsg(d->db) : sqlite3_errstr(rc);
	char detail[128] = "", row[64] = "";

	assert(r < 0);
	if ((rc & 0xff) == SQLITE_NOTADB)
		return err_set(e, r, "%s: not an SQLite database", d->path);
	if (r == -EEXIST)
		return err_set(e, r, "%s: %s %lld is already there", d->path, what, (long long)id);
	if (rc == SQLITE_CONSTRAINT_FOREIGNKEY)
		return err_set(e, r, "%s: %s %lld: there is no such event", d->path, what, (long long)id);
	if (sys && (r == -EIO || r == -ENOSPC))
		snprintf(detail, sizeof(detail), " (%s)", strerror(sys));
	if (id)
		snprintf(row, sizeof(row), " %lld", (long long)id);
	return err_set(e, r, "%s: %s%s: %s%s", d->path, what, row, reason, detail);
}

/* With its mode from its first moment: SQLite would follow the umask. The directory entry is made durable too. */
int store_db_create(const char *path, struct err *e)
{
	CLEAN(closep) int fd = -EBADF, dir = -EBADF;
	CLEAN(freep) char *parent = NULL;
	const char *slash;

	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 && errno == EEXIST)
		return 0;
	if (fd < 0)
		return err_errno(e, -errno, "%s: cannot create", path);
	slash = strrchr(path, '/');
	parent = slash ? xstrndup(path, slash == path ? 1 : (size_t)(slash - path)) : xstrdup(".");
	dir = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || fsync(dir) < 0)
		return err_errno(e, -errno, "%s: cannot sync the directory", parent);
	return 0;
}

int store_db_check_path(const char *path, struct err *e)
{
	/* SQLite reads these names as something else than a file; Debian's build knows URIs without being asked. */
	if (!path[0] || path[0] == ':' || strncmp(path, "file:", 5) == 0)
		return err_set(e, -EINVAL, "\"%s\": not a file name for a database", path);
	return 0;
}

int store_db_open(struct store_db *d, const char *path, const char *vfs, bool writer, struct err *e)
{
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
	struct stat st;
	int rc, r;

	*d = (struct store_db){ .path = xstrdup(path) };
	if (stat(path, &st) < 0)
		return err_errno(e, -errno, "%s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(e, -EINVAL, "%s: not a regular file", path);
	d->dev = st.st_dev;
	d->ino = st.st_ino;
	rc = sqlite3_open_v2(path, &d->db, flags, vfs);
	if (rc != SQLITE_OK)
		return store_db_fail(d, rc, "open", 0, e);
	sqlite3_busy_timeout(d->db, 5000);	/* somebody's sqlite3 shell, for a moment */
	sqlite3_db_config(d->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(d->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	r = store_db_exec(d, "PRAGMA temp_store=MEMORY; PRAGMA cell_size_check=ON", e);
	if (r >= 0 && !writer)
		r = store_db_exec(d, "PRAGMA query_only=ON", e);
	return r;
}

int store_db_durable(struct store_db *d, struct err *e)
{
	sqlite3_stmt *s = NULL;
	bool wal;
	int rc;

	rc = sqlite3_prepare_v2(d->db, "PRAGMA journal_mode=WAL", -1, &s, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(s);
	if (rc != SQLITE_ROW) {
		int r = store_db_fail(d, rc == SQLITE_DONE ? SQLITE_ERROR : rc, "write-ahead log", 0, e);

		sqlite3_finalize(s);
		return r;
	}
	wal = strcmp((const char *)sqlite3_column_text(s, 0), "wal") == 0;
	sqlite3_finalize(s);
	if (!wal)
		return err_set(e, -EOPNOTSUPP, "%s: no write-ahead log on this file system", d->path);
	return store_db_exec(d, "PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA secure_delete=FAST;"
				"PRAGMA wal_autocheckpoint=4000; PRAGMA journal_size_limit=67108864;"
				"PRAGMA cache_size=-16384", e);
}

void store_db_done(struct store_db *d)
{
	for (size_t i = 0; i < d->n_stmts; i++)
		sqlite3_finalize(d->stmts[i]);
	free(d->stmts);
	if (d->db) {
		int rc = sqlite3_close(d->db);
		assert(rc != SQLITE_BUSY);	/* a statement outside the table was left open */
	}
	free(d->path);
	*d = (struct store_db){};
}

int store_db_prepare(struct store_db *d, const char *const *sql, size_t n, struct err *e)
{
	assert(!d->stmts);
	d->stmts = xcalloc(n, sizeof(*d->stmts));
	d->n_stmts = n;
	for (size_t i = 0; i < n; i++) {
		int rc;

		assert(sql[i]);
		rc = sqlite3_prepare_v3(d->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &d->stmts[i], NULL);
		if (rc != SQLITE_OK)
			return store_db_fail(d, rc, "the schema is not what this version expects", 0, e);
	}
	return 0;
}

int store_db_exec(struct store_db *d, const char *sql, struct err *e)
{
	int rc = sqlite3_exec(d->db, sql, NULL, NULL, NULL);

	return rc == SQLITE_OK ? 0 : store_db_fail(d, rc, "set up", 0, e);
}

int store_db_int(struct store_db *d, const char *sql, int64_t *ret, struct err *e)
{
	sqlite3_stmt *s = NULL;
	int rc, r = 0;

	rc = sqlite3_prepare_v2(d->db, sql, -1, &s, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(s);
	if (rc == SQLITE_ROW)
		*ret = sqlite3_column_int64(s, 0);
	else
		r = store_db_fail(d, rc == SQLITE_DONE ? SQLITE_ERROR : rc, "read", 0, e);
	sqlite3_finalize(s);
	return r;
}

int store_db_step(struct store_db *d, size_t i, const char *what, int64_t id, struct err *e)
{
	int rc, r;

	assert(i < d->n_stmts);
	rc = sqlite3_step(d->stmts[i]);
	if (rc == SQLITE_ROW)
		return 1;
	r = rc == SQLITE_DONE ? 0 : store_db_fail(d, rc, what, id, e);
	sqlite3_reset(d->stmts[i]);
	return r;
}

void store_db_reset(struct store_db *d, size_t i)
{
	assert(i < d->n_stmts);
	sqlite3_reset(d->stmts[i]);
}

void store_bind_int(sqlite3_stmt *s, int i, int64_t v)
{
	int rc = sqlite3_bind_int64(s, i, v);
	assert(rc == SQLITE_OK);
}

void store_bind_text(sqlite3_stmt *s, int i, const char *text)
{
	int rc = sqlite3_bind_text(s, i, text, -1, SQLITE_STATIC);
	assert(rc == SQLITE_OK);
}

int store_bind_blob(sqlite3_stmt *s, int i, const struct blob *b)
{
	int rc;

	if (b && b->len > BLOB_MAX)
		return -E2BIG;
	/* An empty blob is a blob: data is never NULL. */
	rc = b ? sqlite3_bind_blob64(s, i, b->data, b->len, SQLITE_STATIC) : sqlite3_bind_null(s, i);
	assert(rc == SQLITE_OK);
	return 0;
}

static void read_bad(struct store_reader *rd, const char *name, const char *why)
{
	if (rd->r >= 0)
		rd->r = err_set(rd->e, -EBADMSG, "%s: %s %lld: %s %s", rd->d->path, rd->what, (long long)rd->id, name, why);
}

int64_t store_read_int(struct store_reader *rd, const char *name, int64_t min, int64_t max)
{
	int i = rd->col++;
	int64_t v = sqlite3_column_int64(rd->s, i);
	char why[96];

	if (sqlite3_column_type(rd->s, i) != SQLITE_INTEGER) {
		read_bad(rd, name, "is not a number");
		return min;
	}
	if (v < min || v > max) {
		snprintf(why, sizeof(why), "%lld is not within %lld to %lld", (long long)v, (long long)min, (long long)max);
		read_bad(rd, name, why);
		return min;
	}
	return v;
}

void store_read_text(struct store_reader *rd, const char *name, char *out, size_t size)
{
	int i = rd->col++;
	const char *text = (const char *)sqlite3_column_text(rd->s, i);
	size_t len = (size_t)sqlite3_column_bytes(rd->s, i);

	out[0] = '\0';
	if (sqlite3_column_type(rd->s, i) != SQLITE_TEXT || !text)
		read_bad(rd, name, "is not a text");
	else if (len >= size || memchr(text, '\0', len))
		read_bad(rd, name, "is too long or not a text");
	else
		memcpy(out, text, len + 1);
}

void store_read_name(struct store_reader *rd, const char *name, char *out, size_t size)
{
	store_read_text(rd, name, out, size);
	if (!out[0])
		read_bad(rd, name, "is empty");
}

struct blob *store_read_blob(struct store_reader *rd)
{
	int i = rd->col++;
	const void *data;
	struct blob *b;
	size_t len;

	if (sqlite3_column_type(rd->s, i) == SQLITE_NULL || rd->r < 0)
		return NULL;
	data = sqlite3_column_blob(rd->s, i);
	len = (size_t)sqlite3_column_bytes(rd->s, i);
	/* SQLite answers NULL for an empty blob, and for a large one when there is no memory. */
	b = data || !len ? blob_new(data, len) : NULL;
	if (!b)
		rd->r = err_set(rd->e, -ENOMEM, "%s: %s %lld: no memory for its %zu bytes", rd->d->path, rd->what,
				(long long)rd->id, len);
	return b;
}
