/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbered migrations: user_version is the number of the last one that was applied. To change the schema, append a
 * row to the table; never edit one that has been released.
 *
 * The shape of the tables:
 * - What is written once and may be large (payloads, bodies) lies in tables of its own beside the small row that
 *   changes, because an UPDATE in SQLite rewrites the whole row with all its overflow pages.
 * - event_open and outbox_due are partial indexes, so that a start reads what is open, however long the history.
 * - outbox.id is seq * 4 + role, which makes "at most one per (seq, role), ever" the key itself (I7); an
 *   acknowledged row stays as a small tombstone: due_at_ms NULL, its body gone.
 * - record_pos is the order of the events' ends. It is a table of its own for the reason above: giving the records of
 *   version 1 a column would have written all their bodies again.
 * - event.verdicts is a uint64_t, its bits taken as SQLite's signed integer.
 * - event.epoch fences, event.lease_owner says which opening of the file (table "opening") wrote the row last. One
 *   daemon needs the first only as a check; they are there so that several can share a store without a migration.
 * - Tables are STRICT, so a value of the wrong type cannot get in; ranges are asserted before a write and checked
 *   after every read (store_row.c, store_read.c) rather than by CHECKs, which a changed enum would turn into migrations.
 */
#include "store/store_migrate.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include "base/mem.h"
#include "model/inv.h"

/* The number of the closed state is part of the schema (event_open). */
_Static_assert(INV_DONE == 5, "event_open says 5");

static const char schema_1[] =
	"CREATE TABLE opening ("
	"	id INTEGER PRIMARY KEY,"
	"	at_ms INTEGER NOT NULL,"
	"	pid INTEGER NOT NULL"
	") STRICT;"
	"CREATE TABLE event ("
	"	seq INTEGER PRIMARY KEY,"
	"	request_id TEXT NOT NULL UNIQUE,"
	"	function TEXT NOT NULL,"
	"	qualifier TEXT NOT NULL,"
	"	state INTEGER NOT NULL,"
	"	accepted_at_ms INTEGER NOT NULL,"
	"	due_at_ms INTEGER NOT NULL,"
	"	attempts INTEGER NOT NULL,"
	"	starts INTEGER NOT NULL,"
	"	backoffs INTEGER NOT NULL,"
	"	condition INTEGER NOT NULL,"
	"	epoch INTEGER NOT NULL,"
	"	lease_owner INTEGER NOT NULL"
	") STRICT;"
	"CREATE INDEX event_by_function ON event (function);"
	"CREATE INDEX event_open ON event (state) WHERE state <> 5;"
	"CREATE TABLE event_payload ("
	"	seq INTEGER PRIMARY KEY REFERENCES event,"
	"	body BLOB NOT NULL"
	") STRICT;"
	"CREATE TABLE attempt ("
	"	seq INTEGER NOT NULL REFERENCES event,"
	"	start INTEGER NOT NULL,"
	"	started_at_ms INTEGER NOT NULL,"
	"	ended_at_ms INTEGER NOT NULL,"
	"	outcome INTEGER NOT NULL,"
	"	fate BLOB,"
	"	UNIQUE (seq, start)"
	") STRICT;"
	"CREATE TABLE record ("
	"	seq INTEGER PRIMARY KEY REFERENCES event,"
	"	request_id TEXT NOT NULL,"
	"	function TEXT NOT NULL,"
	"	condition INTEGER NOT NULL,"
	"	at_ms INTEGER NOT NULL,"
	"	body BLOB"
	") STRICT;"
	"CREATE INDEX record_by_function ON record (function);"
	"CREATE INDEX record_by_condition ON record (condition);"
	"CREATE TABLE outbox ("
	"	id INTEGER PRIMARY KEY,"
	"	seq INTEGER NOT NULL REFERENCES event,"
	"	role INTEGER NOT NULL,"
	"	target TEXT NOT NULL,"
	"	key TEXT NOT NULL,"
	"	tries INTEGER NOT NULL,"
	"	due_at_ms INTEGER,"
	"	last_error TEXT NOT NULL,"
	"	CHECK (id = seq * 4 + role)"
	") STRICT;"
	"CREATE INDEX outbox_due ON outbox (due_at_ms) WHERE due_at_ms IS NOT NULL;"
	"CREATE TABLE outbox_body ("
	"	id INTEGER PRIMARY KEY,"
	"	body BLOB,"
	"	attributes BLOB"
	") STRICT;"
	"CREATE TABLE queue ("
	"	id INTEGER PRIMARY KEY,"
	"	name TEXT NOT NULL UNIQUE"
	") STRICT;"
	"CREATE TABLE message ("
	"	pos INTEGER PRIMARY KEY,"	/* order of arrival */
	"	queue_id INTEGER NOT NULL,"
	"	id TEXT NOT NULL UNIQUE,"
	"	sent_at_ms INTEGER NOT NULL,"
	"	visible_at_ms INTEGER NOT NULL,"
	"	receive_count INTEGER NOT NULL,"
	"	receipt TEXT"
	") STRICT;"
	"CREATE INDEX message_by_queue ON message (queue_id);"
	"CREATE UNIQUE INDEX message_by_receipt ON message (receipt) WHERE receipt IS NOT NULL;"
	"CREATE TABLE message_body ("
	"	pos INTEGER PRIMARY KEY,"
	"	body BLOB,"
	"	attributes BLOB"
	") STRICT;";

/* The records there are get their places by the clock; from here on the order is that of the commits. */
static const char schema_2[] =
	"ALTER TABLE event ADD COLUMN verdicts INTEGER NOT NULL DEFAULT 0;"
	"CREATE TABLE record_pos ("
	"	pos INTEGER PRIMARY KEY,"
	"	seq INTEGER NOT NULL UNIQUE REFERENCES record"
	") STRICT;"
	"INSERT INTO record_pos (pos, seq)"
	"	SELECT row_number() OVER (ORDER BY at_ms, seq), seq FROM record;";

static const char *const migrations[] = {
	[0] = schema_1,		/* from version 0, the empty file, to 1 */
	[1] = schema_2,
};

static int migrate_step(struct store_db *d, size_t i, struct err *e)
{
	char version[96];
	int r;

	snprintf(version, sizeof(version), "PRAGMA application_id=%d; PRAGMA user_version=%zu", STORE_APPLICATION_ID, i + 1);
	r = store_db_exec(d, "BEGIN EXCLUSIVE", e);
	if (r < 0)
		return r;
	r = store_db_exec(d, migrations[i], e);
	if (r >= 0)
		r = store_db_exec(d, version, e);
	if (r >= 0)
		r = store_db_exec(d, "COMMIT", e);
	if (r < 0 && !sqlite3_get_autocommit(d->db))
		(void)sqlite3_exec(d->db, "ROLLBACK", NULL, NULL, NULL);	/* the first error is the one to tell */
	return r < 0 ? err_wrap(e, r, "schema version %zu", i + 1) : 0;
}

int store_migrate(struct store_db *d, struct err *e)
{
	int64_t application = 0, version = 0, tables = 0;
	int r;

	r = store_db_int(d, "PRAGMA application_id", &application, e);
	if (r >= 0)
		r = store_db_int(d, "PRAGMA user_version", &version, e);
	if (r >= 0)
		r = store_db_int(d, "SELECT count(*) FROM sqlite_schema", &tables, e);
	if (r < 0)
		return r;
	if (application != STORE_APPLICATION_ID && (application || version || tables))
		return err_set(e, -EBADMSG, "%s: an SQLite database, but not one of fated's", d->path);
	if (version < 0 || version > (int64_t)ARRAY_SIZE(migrations))
		return err_set(e, -EPROTONOSUPPORT, "%s: its schema has version %lld, this fated knows %zu: made by a newer one?",
			       d->path, (long long)version, ARRAY_SIZE(migrations));

	r = store_db_durable(d, e);
	for (size_t i = (size_t)version; r >= 0 && i < ARRAY_SIZE(migrations); i++)
		r = migrate_step(d, i, e);
	return r;
}
