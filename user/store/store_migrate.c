/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbered migrations: user_version is the number of the last one that was applied. To change the schema, append a
 * row to the table; never edit one that has been released.
 *
 * The shape of the tables:
 * - What is written once and may be large (payloads, bodies) lies in tables of its own beside the small row that
 *   changes, because an UPDATE in SQLite rewrites the whole row with all its overflow pages.
 * - outbox.id is seq * 4 + role, which makes "at most one per (seq, role), ever" the key itself (I7); an
 *   acknowledged row stays as a small tombstone: due_at_ms NULL, its body gone. It goes with its event.
 * - record.pos is the order of the events' ends, and the key: a record is written once, behind the last one. With seq as
 *   the key, as up to version 2, ends that come in another order than the acceptances split pages of large rows.
 * - event.verdicts is a uint64_t, its bits taken as SQLite's signed integer.
 * - event.epoch fences, event.lease_owner says which opening of the file (table "opening") wrote the row last. One
 *   daemon needs the first only as a check; they are there so that several can share a store without a migration.
 * - trimmed holds the largest numbers that retention has deleted, so that none is given twice.
 * - Tables are STRICT, so a value of the wrong type cannot get in; ranges are asserted before a write and checked
 *   after every read (store_row.c, store_read.c) rather than by CHECKs, which a changed enum would turn into migrations.
 *
 * Indexes. Each is paid for with every insert, so each has a question that needs it:
 * - event_queued (by function, then seq), event_waiting (by due time, then seq), event_active (RUNNING and ROUTING, by
 *   seq) are partial: an event is in one of them at most, and in none once it is DONE. A start counts and a page begins
 *   by walking the index alone, however long the history is. Together they cost an event what event_open did before.
 * - There is none of all events by function: the open ones are found in those, the others by their records. It would cost
 *   an insert a page of its own as soon as there are many functions.
 * - event_by_origin has the events that repeat another, and nobody else: which of those that failed were sent again?
 * - outbox_owed and outbox_failed (by target, then id), partial too, took the place of outbox_due.
 * - record_by_seq is "one record per event", and the list of all; record_by_function and record_by_condition are lists by
 *   seq, too. Small rows: a page of them takes hundreds of ends. Without record_by_condition the list of a rare condition
 *   would read every record with its body, and so would the counts.
 * - There is none of the records by time. STORE_Q_TRIM walks them by pos, which is that order but for a clock that was
 *   set back, and STORE_Q_ENDED looks a record up when all else fits.
 * - None of outbox by seq: the rows of an event are a range of ids. A foreign key would look for them by a scan of the
 *   table whenever an event is deleted; version 3 took it away, and OUTBOX_PUT asks for the event itself.
 *
 * Free pages. A new file is made with auto_vacuum=INCREMENTAL, so that retention can give pages back to the file
 * system. An older one cannot learn that but by being written anew: one VACUUM, when it is opened with less than
 * VACUUM_BYTES_MAX in it. A larger one would be offline for too long; it stays as it is, and its free pages are used again.
 */
#include "store/store_migrate.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include "base/mem.h"
#include "model/inv.h"

#define VACUUM_BYTES_MAX (256ll << 20)

/* The numbers of the states are part of the schema: of its indexes, and of the statements that name them. */
_Static_assert(INV_QUEUED == 0, "event_queued says 0");
_Static_assert(INV_RUNNING == 1, "event_active holds 1");
_Static_assert(INV_WAITING == 3, "event_waiting says 3");
_Static_assert(INV_ROUTING == 4, "schema_3 says 4, and event_active holds it");
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

/*
 * Version 2 had only one clock, so a delivery is as old as the record it carries. It also never stored the end of an
 * event that had something to send: those with nothing owed any more are DONE, or they would be counted as open for ever.
 *
 * The records are written again, in the order of their places: one pass, in the migration's transaction. So the first start
 * on an old file takes about a minute for a million records of 1 KB (17 s for 300,000), and room for two copies of them: one
 * in the log, one in the file. What the old table took is free afterwards, for what comes. A record without a place (there is
 * none, but by damage) comes last rather than to be lost.
 */
static const char schema_3[] =
	"ALTER TABLE event ADD COLUMN version INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE event ADD COLUMN hops INTEGER NOT NULL DEFAULT 1;"
	"ALTER TABLE event ADD COLUMN origin TEXT NOT NULL DEFAULT '';"
	"ALTER TABLE event ADD COLUMN timeout_ms INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE event ADD COLUMN memory_mb INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE event ADD COLUMN lease_until_ms INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE event ADD COLUMN death INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE event ADD COLUMN deaths INTEGER NOT NULL DEFAULT 0;"
	"CREATE TABLE outbox_3 ("
	"	id INTEGER PRIMARY KEY,"
	"	seq INTEGER NOT NULL,"
	"	role INTEGER NOT NULL,"
	"	target TEXT NOT NULL,"
	"	key TEXT NOT NULL,"
	"	tries INTEGER NOT NULL,"
	"	created_at_ms INTEGER NOT NULL,"
	"	due_at_ms INTEGER,"
	"	last_error TEXT NOT NULL,"
	"	CHECK (id = seq * 4 + role)"
	") STRICT;"
	"INSERT INTO outbox_3 (id, seq, role, target, key, tries, created_at_ms, due_at_ms, last_error)"
	"	SELECT o.id, o.seq, o.role, o.target, o.key, o.tries,"
	"	CASE WHEN o.due_at_ms IS NULL THEN 0 ELSE coalesce((SELECT at_ms FROM record r WHERE r.seq = o.seq), 0) END,"
	"	o.due_at_ms, o.last_error FROM outbox o ORDER BY o.id;"
	"DROP TABLE outbox;"
	"ALTER TABLE outbox_3 RENAME TO outbox;"
	"CREATE INDEX outbox_owed ON outbox (target) WHERE due_at_ms < 9223372036854775807;"
	"CREATE INDEX outbox_failed ON outbox (target) WHERE due_at_ms = 9223372036854775807;"
	"CREATE TABLE record_3 ("
	"	pos INTEGER PRIMARY KEY,"	/* order of the ends */
	"	seq INTEGER NOT NULL REFERENCES event,"
	"	request_id TEXT NOT NULL,"
	"	function TEXT NOT NULL,"
	"	condition INTEGER NOT NULL,"
	"	at_ms INTEGER NOT NULL,"
	"	body BLOB"
	") STRICT;"
	"INSERT INTO record_3 (pos, seq, request_id, function, condition, at_ms, body)"
	"	SELECT p.pos, r.seq, r.request_id, r.function, r.condition, r.at_ms, r.body"
	"	FROM record_pos p NOT INDEXED CROSS JOIN record r ON r.seq = p.seq ORDER BY p.pos;"
	"INSERT INTO record_3 (seq, request_id, function, condition, at_ms, body)"
	"	SELECT r.seq, r.request_id, r.function, r.condition, r.at_ms, r.body"
	"	FROM (SELECT seq FROM record INDEXED BY record_by_condition"
	"		WHERE NOT EXISTS (SELECT 1 FROM record_pos p WHERE p.seq = record.seq)) d"
	"	CROSS JOIN record r ON r.seq = d.seq ORDER BY r.at_ms, r.seq;"
	"DROP TABLE record_pos;"
	"DROP TABLE record;"
	"ALTER TABLE record_3 RENAME TO record;"
	"CREATE UNIQUE INDEX record_by_seq ON record (seq);"
	"CREATE INDEX record_by_function ON record (function, seq);"
	"CREATE INDEX record_by_condition ON record (condition, seq);"
	"DROP INDEX event_open;"
	"DROP INDEX event_by_function;"
	"UPDATE event SET state = 5 WHERE state = 4 AND NOT EXISTS (SELECT 1 FROM outbox o"
	"	WHERE o.id BETWEEN event.seq * 4 AND event.seq * 4 + 3 AND o.due_at_ms < 9223372036854775807);"
	"CREATE INDEX event_queued ON event (function) WHERE state = 0;"
	"CREATE INDEX event_waiting ON event (due_at_ms) WHERE state = 3;"
	"CREATE INDEX event_active ON event (state) WHERE state <> 0 AND state <> 3 AND state <> 5;"
	"CREATE TABLE function_version ("
	"	function TEXT NOT NULL,"
	"	version INTEGER NOT NULL,"
	"	at_ms INTEGER NOT NULL,"
	"	description TEXT,"
	"	definition BLOB NOT NULL,"
	"	UNIQUE (function, version)"
	") STRICT;"
	"CREATE TABLE alias ("
	"	function TEXT NOT NULL,"
	"	name TEXT NOT NULL,"
	"	body BLOB NOT NULL,"
	"	UNIQUE (function, name)"
	") STRICT;"
	"CREATE TABLE anchor ("
	"	id INTEGER PRIMARY KEY CHECK (id = 1),"
	"	boot_id TEXT NOT NULL,"
	"	boot_ms INTEGER NOT NULL,"
	"	steady_ms INTEGER NOT NULL"
	") STRICT;"
	"CREATE TABLE trimmed ("
	"	id INTEGER PRIMARY KEY CHECK (id = 1),"
	"	seq INTEGER NOT NULL,"
	"	pos INTEGER NOT NULL"
	") STRICT;"
	"INSERT INTO trimmed (id, seq, pos) VALUES (1, 0, 0);";

/* What repeats another is found from there; what may never run twice says so itself. */
static const char schema_4[] =
	"ALTER TABLE event ADD COLUMN once INTEGER NOT NULL DEFAULT 0;"
	"CREATE INDEX event_by_origin ON event (origin) WHERE origin <> '';";

static const char *const migrations[] = {
	[0] = schema_1,		/* from version 0, the empty file, to 1 */
	[1] = schema_2,
	[2] = schema_3,
	[3] = schema_4,
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

/* That it could not be done (no room for the copy, somebody reads) is no reason not to open the file: the next start
 * tries again. The copy is made on disk, whatever temp_store says for the rest. */
static int give_back_pages(struct store_db *d, struct err *e)
{
	int64_t mode = 0, pages = 0, page = 0;
	int r;

	r = store_db_int(d, "PRAGMA auto_vacuum", &mode, e);
	if (r >= 0)
		r = store_db_int(d, "PRAGMA page_count", &pages, e);
	if (r >= 0)
		r = store_db_int(d, "PRAGMA page_size", &page, e);
	if (r < 0 || mode || pages > VACUUM_BYTES_MAX / page)
		return r;
	(void)store_db_exec(d, "PRAGMA temp_store=FILE; PRAGMA auto_vacuum=INCREMENTAL; VACUUM", NULL);
	return store_db_exec(d, "PRAGMA temp_store=MEMORY", e);
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

	/* Before anything else is written: with the first page it is decided. */
	r = version || tables ? 0 : store_db_exec(d, "PRAGMA auto_vacuum=INCREMENTAL", e);
	if (r >= 0)
		r = store_db_durable(d, e);
	for (size_t i = (size_t)version; r >= 0 && i < ARRAY_SIZE(migrations); i++)
		r = migrate_step(d, i, e);
	return r < 0 ? r : give_back_pages(d, e);
}
