/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the SQLite store promises while its disk breaks (I1, I8): a batch reported as done is there after the next
 * start, whole; one reported as failed is there whole or not at all, and no query sees it before. Three ways to break:
 *
 * - nth failure: the 1st, 2nd, 3rd… write or sync fails, once or from then on, until a run meets no fault any more;
 * - power loss: at the 1st, 2nd, 3rd… access the machine loses its power. Of what was written since a file's last
 *   sync, nothing is left, or a random half of its sectors (seeded by the number of the access);
 * - kill -9 of a process that writes, at random moments.
 *
 * The nth failure also meets files of older versions being brought to today's schema, and queues being redriven and purged:
 * a message taken from a queue and the event made of it are one.
 *
 * And a disk that fails for a while and comes back: the store goes on, without a new start. So it does when the log's name
 * is taken from it, or the file's and it is given back; a file that it did not open it leaves alone.
 *
 * The first two go through a VFS of ours. It does not sync for real: what a sync means is modelled here.
 */
#include "lib/test.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/id.h"
#include "base/mem.h"
#include "engine/port_store.h"
#include "store/store_sqlite.h"

#define SECTOR 512
/* With sanitizers a start of the store costs five times as much: a sample of the faults is taken then. */
#ifdef __SANITIZE_ADDRESS__
#define STRIDE 7
#else
#define STRIDE 1
#endif

enum fault { FAULT_NONE, FAULT_WRITE, FAULT_SYNC, FAULT_POWER };

/* A file as the disk would have it: data of the last sync. */
struct disk_file { char tail[8]; bool exists; unsigned char *data; size_t len; };
struct snapshot { bool taken; int acked; struct disk_file files[2]; };

static pthread_mutex_t disk_lock = PTHREAD_MUTEX_INITIALIZER;	/* all of the following */
static enum fault fault;
static int fault_in;		/* accesses until it strikes */
static bool fault_sticky, fault_hit, fault_half;
static int fault_rc;
static struct disk_file disk[2] = { { .tail = "" }, { .tail = "-wal" } };
static struct snapshot snapshot;
static int acked;		/* batches reported as done, in order from the first */

static char the_dir[64], the_path[96];

/* ---- the disk that breaks ---------------------------------------------------------------------------------- */

struct ffile {
	sqlite3_file base;
	struct disk_file *disk;		/* NULL: a file whose loss does not matter here */
	char path[256];
	sqlite3_file *real;		/* behind us */
};

static sqlite3_vfs *real_vfs;

static sqlite3_file *real_of(sqlite3_file *f)
{
	return ((struct ffile *)f)->real;
}

static void read_whole(const char *path, unsigned char **ret, size_t *ret_len)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	*ret = NULL;
	*ret_len = 0;
	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && st.st_size > 0) {
		*ret = malloc((size_t)st.st_size);
		if (read(fd, *ret, (size_t)st.st_size) != st.st_size)
			abort();
		*ret_len = (size_t)st.st_size;
	}
	close(fd);
}

static uint64_t rng;

static uint64_t rnd(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng;
}

/* What is left of one file: the synced state, with a random half of the sectors that have changed since. */
static void take_remains(const struct disk_file *from, struct disk_file *to)
{
	char path[256];
	unsigned char *now;
	size_t now_len, len;

	*to = *from;
	snprintf(path, sizeof(path), "%s%s", the_path, from->tail);
	read_whole(path, &now, &now_len);
	len = fault_half && rnd() % 2 ? now_len : from->len;
	to->data = calloc(1, len + 1);
	to->len = len;
	to->exists = from->exists || len;
	for (size_t at = 0; at < len; at += SECTOR) {
		size_t n = MIN((size_t)SECTOR, len - at);
		bool fresh = fault_half && rnd() % 2;
		const unsigned char *src = fresh ? now : from->data;
		size_t src_len = fresh ? now_len : from->len;

		if (at < src_len)
			memcpy(to->data + at, src + at, MIN(n, src_len - at));
	}
	free(now);
}

/* Counts an access of a kind; true when it is the one that fails. */
static bool strikes(enum fault kind)
{
	bool hit = false;

	pthread_mutex_lock(&disk_lock);
	if (fault == FAULT_POWER && --fault_in == 0) {
		snapshot.taken = true;
		snapshot.acked = __atomic_load_n(&acked, __ATOMIC_SEQ_CST);
		for (int i = 0; i < 2; i++)
			take_remains(&disk[i], &snapshot.files[i]);
	} else if (fault == kind && (--fault_in == 0 || (fault_sticky && fault_in < 0))) {
		fault_hit = hit = true;
	}
	pthread_mutex_unlock(&disk_lock);
	return hit;
}

static int f_write(sqlite3_file *f, const void *data, int n, sqlite3_int64 at)
{
	if (strikes(FAULT_WRITE)) {
		/* Some of it may have arrived. */
		if (n > SECTOR)
			(void)real_of(f)->pMethods->xWrite(real_of(f), data, n / 2, at);
		return fault_rc;
	}
	return real_of(f)->pMethods->xWrite(real_of(f), data, n, at);
}

static int f_sync(sqlite3_file *f, int flags)
{
	struct ffile *ff = (struct ffile *)f;

	if (strikes(FAULT_SYNC))
		return SQLITE_IOERR_FSYNC;
	if (!ff->disk)
		return SQLITE_OK;
	pthread_mutex_lock(&disk_lock);
	free(ff->disk->data);
	read_whole(ff->path, &ff->disk->data, &ff->disk->len);
	ff->disk->exists = true;
	pthread_mutex_unlock(&disk_lock);
	return SQLITE_OK;
}

static int f_close(sqlite3_file *f)
{
	struct ffile *ff = (struct ffile *)f;
	int rc = SQLITE_OK;

	if (ff->real->pMethods)
		rc = ff->real->pMethods->xClose(ff->real);
	free(ff->real);
	return rc;
}

static int f_read(sqlite3_file *f, void *b, int n, sqlite3_int64 at) { return real_of(f)->pMethods->xRead(real_of(f), b, n, at); }
static int f_truncate(sqlite3_file *f, sqlite3_int64 n) { return real_of(f)->pMethods->xTruncate(real_of(f), n); }
static int f_size(sqlite3_file *f, sqlite3_int64 *n) { return real_of(f)->pMethods->xFileSize(real_of(f), n); }
static int f_lock(sqlite3_file *f, int l) { return real_of(f)->pMethods->xLock(real_of(f), l); }
static int f_unlock(sqlite3_file *f, int l) { return real_of(f)->pMethods->xUnlock(real_of(f), l); }
static int f_reserved(sqlite3_file *f, int *r) { return real_of(f)->pMethods->xCheckReservedLock(real_of(f), r); }
static int f_control(sqlite3_file *f, int op, void *p) { return real_of(f)->pMethods->xFileControl(real_of(f), op, p); }
static int f_sector(sqlite3_file *f) { return real_of(f)->pMethods->xSectorSize(real_of(f)); }
static int f_traits(sqlite3_file *f) { return real_of(f)->pMethods->xDeviceCharacteristics(real_of(f)); }
static int f_shm_map(sqlite3_file *f, int i, int n, int x, void volatile **p)
{
	return real_of(f)->pMethods->xShmMap(real_of(f), i, n, x, p);
}
static int f_shm_lock(sqlite3_file *f, int o, int n, int fl) { return real_of(f)->pMethods->xShmLock(real_of(f), o, n, fl); }
static void f_shm_barrier(sqlite3_file *f) { real_of(f)->pMethods->xShmBarrier(real_of(f)); }
static int f_shm_unmap(sqlite3_file *f, int del) { return real_of(f)->pMethods->xShmUnmap(real_of(f), del); }

static const sqlite3_io_methods f_methods = {
	.iVersion = 2, .xClose = f_close, .xRead = f_read, .xWrite = f_write, .xTruncate = f_truncate, .xSync = f_sync,
	.xFileSize = f_size, .xLock = f_lock, .xUnlock = f_unlock, .xCheckReservedLock = f_reserved,
	.xFileControl = f_control, .xSectorSize = f_sector, .xDeviceCharacteristics = f_traits, .xShmMap = f_shm_map,
	.xShmLock = f_shm_lock, .xShmBarrier = f_shm_barrier, .xShmUnmap = f_shm_unmap,
};

static int v_open(sqlite3_vfs *v, sqlite3_filename name, sqlite3_file *f, int flags, int *ret_flags)
{
	struct ffile *ff = (struct ffile *)f;
	int rc;

	*ff = (struct ffile){ .real = calloc(1, (size_t)real_vfs->szOsFile) };
	snprintf(ff->path, sizeof(ff->path), "%s", name ?: "");
	if (flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL))
		ff->disk = &disk[!!(flags & SQLITE_OPEN_WAL)];
	rc = real_vfs->xOpen(real_vfs, name, ff->real, flags, ret_flags);
	if (rc != SQLITE_OK) {
		free(ff->real);
		return rc;
	}
	ff->base.pMethods = &f_methods;
	return SQLITE_OK;
}

/* A deletion counts as an access; it is durable at once (the harder case: the log is gone). */
static int v_delete(sqlite3_vfs *v, const char *name, int sync_dir)
{
	int rc;

	(void)strikes(FAULT_NONE);
	rc = real_vfs->xDelete(real_vfs, name, 0);
	pthread_mutex_lock(&disk_lock);
	if (rc == SQLITE_OK && strlen(name) > 4 && strcmp(name + strlen(name) - 4, "-wal") == 0) {
		free(disk[1].data);
		disk[1] = (struct disk_file){ .tail = "-wal" };
	}
	pthread_mutex_unlock(&disk_lock);
	return rc;
}

static int v_access(sqlite3_vfs *v, const char *n, int fl, int *r) { return real_vfs->xAccess(real_vfs, n, fl, r); }
static int v_path(sqlite3_vfs *v, const char *n, int size, char *out) { return real_vfs->xFullPathname(real_vfs, n, size, out); }
static int v_random(sqlite3_vfs *v, int n, char *out) { return real_vfs->xRandomness(real_vfs, n, out); }
static int v_sleep(sqlite3_vfs *v, int us) { return real_vfs->xSleep(real_vfs, us); }
static int v_time(sqlite3_vfs *v, double *t) { return real_vfs->xCurrentTime(real_vfs, t); }
static int v_error(sqlite3_vfs *v, int n, char *out) { return fault_hit ? EIO : 0; }

static sqlite3_vfs the_vfs = {
	.iVersion = 1, .szOsFile = sizeof(struct ffile), .mxPathname = 512, .zName = "breaking", .xOpen = v_open,
	.xDelete = v_delete, .xAccess = v_access, .xFullPathname = v_path, .xRandomness = v_random, .xSleep = v_sleep,
	.xCurrentTime = v_time, .xGetLastError = v_error,
};

static void set_fault(enum fault kind, int n, bool sticky, int rc)
{
	pthread_mutex_lock(&disk_lock);
	fault = kind;
	fault_in = n;
	fault_sticky = sticky;
	fault_rc = rc;
	fault_hit = false;
	pthread_mutex_unlock(&disk_lock);
}

/* ---- the store --------------------------------------------------------------------------------------------- */

static sd_event *the_loop;
static struct port_store *the_store;

static void remove_files(void)
{
	static const char *const tails[] = { "", "-wal", "-shm", "-lock", "-journal" };
	char name[256];

	for (size_t i = 0; i < ARRAY_SIZE(tails); i++) {
		snprintf(name, sizeof(name), "%s%s", the_path, tails[i]);
		(void)unlink(name);
	}
	for (int i = 0; i < 2; i++) {
		free(disk[i].data);
		disk[i].data = NULL;
		disk[i].len = 0;
		disk[i].exists = false;
	}
}

static void set_up(void)
{
	set_fault(FAULT_NONE, 0, false, 0);
	the_store = NULL;	/* a test that failed may have left one */
	snprintf(the_dir, sizeof(the_dir), "%s/fated-store-XXXXXX", getenv("TMPDIR") ?: "/tmp");
	CHECK(mkdtemp(the_dir));
	snprintf(the_path, sizeof(the_path), "%s/state.db", the_dir);
	CHECK(sd_event_new(&the_loop) >= 0);
}

static void tear_down(void)
{
	the_loop = sd_event_unref(the_loop);
	remove_files();
	if (rmdir(the_dir) < 0)
		FAIL("%s is not empty", the_dir);
}

static int open_store(const char *vfs, struct err *e)
{
	CHECK(!the_store);
	return store_sqlite_open_vfs(the_loop, the_path, vfs, &the_store, e);
}

static void must_open(const char *vfs)
{
	struct err e = {};

	if (open_store(vfs, &e) < 0)
		FAIL("open: %s", err_msg(&e));
}

static void close_store(void)
{
	if (the_store)
		the_store->ops->close(the_store);
	the_store = NULL;
}

static void turn(void)
{
	CHECK(sd_event_run(the_loop, 60 * 1000000ull) > 0);	/* the end of a hung test, not a time to wait */
}

/* ---- the work: batch n is event n with one row of each other kind ------------------------------------------ */

struct work { struct store_batch b; int64_t seq; bool given, done; int result; char msg[512]; void (*told)(struct work *w); };

static void uuid_of(int64_t n, char out[ID_UUID_LEN + 1])
{
	snprintf(out, ID_UUID_LEN + 1, "%08x-0000-4000-8000-000000000000", (unsigned int)n);
}

static size_t payload_len(int64_t seq)
{
	return seq % 4 == 0 ? 30000 : (size_t)(seq % 50) * 20;
}

static void work_fill(struct work *w, int64_t seq)
{
	struct store_op *op;

	w->seq = seq;
	op = store_batch_add(&w->b, STORE_OP_EVENT_PUT);
	op->event.row = (struct inv_row){ .seq = seq, .function = "resize", .accepted_at_ms = seq };
	uuid_of(seq, op->event.row.request_id);
	op->event.payload = blob_new(NULL, payload_len(seq));
	memset(op->event.payload->data, 'a' + (int)(seq % 26), payload_len(seq));
	op = store_batch_add(&w->b, STORE_OP_ATTEMPT_PUT);
	op->attempt.seq = seq;
	op->attempt.start = 1;
	op = store_batch_add(&w->b, STORE_OP_OUTBOX_PUT);
	op->outbox.seq = seq;
	op->outbox.role = ROLE_ON_SUCCESS;
	op->outbox.body = blob_new("{}", 2);
	op = store_batch_add(&w->b, STORE_OP_MESSAGE_PUT);
	snprintf(op->message.queue, sizeof(op->message.queue), "done");
	uuid_of(seq, op->message.id);
	op->message.body = blob_new("{}", 2);
	op = store_batch_add(&w->b, STORE_OP_RECORD_PUT);
	op->record.seq = seq;
	op->record.condition = COND_SUCCESS;
	op->record.body = blob_new("{}", 2);
}

static void work_done(struct store_batch *b, int result, const struct err *e)
{
	struct work *w = b->arg;

	w->done = true;
	w->result = result;
	snprintf(w->msg, sizeof(w->msg), "%s", result < 0 ? err_msg(e) : "");
	if (w->told)
		w->told(w);
}

static void work_give(struct work *w)
{
	w->given = true;
	w->done = false;
	w->b.arg = w;
	w->b.done = work_done;
	the_store->ops->apply(the_store, &w->b);
}

static void work_await(struct work *w)
{
	while (!w->done)
		turn();
}

/* ---- looking ----------------------------------------------------------------------------------------------- */

struct look {
	bool done;
	int result;
	char msg[256];
	bool event, whole;
	struct store_counts counts;
	int64_t seq, last_pos, affected;
	size_t n_messages;
	char receipt[ID_UUID_LEN + 1];	/* the first message's */
};

static void look_done(void *arg, const struct store_query *q, const struct store_result *res, int result, const struct err *e)
{
	struct look *l = arg;

	l->done = true;
	l->result = result;
	if (result < 0)
		snprintf(l->msg, sizeof(l->msg), "%.250s", err_msg(e));
	l->counts = res->counts;
	l->last_pos = res->last_pos;
	l->affected = res->affected;
	if (res->n_messages)
		snprintf(l->receipt, sizeof(l->receipt), "%s", res->messages[0].receipt);
	l->n_messages = res->n_messages;
	l->event = res->n_events == 1;
	l->whole = l->event && res->n_attempts == 1 && res->n_outbox == 1 && res->n_records == 1 && res->payload &&
		   res->payload->len == payload_len(l->seq);
	for (size_t i = 0; l->whole && i < res->payload->len; i++)
		l->whole = res->payload->data[i] == 'a' + (int)(l->seq % 26);
}

static struct look try_look(struct store_query q, int64_t seq)
{
	struct look l = { .seq = seq };

	q.arg = &l;
	q.done = look_done;
	the_store->ops->query(the_store, &q);
	while (!l.done)
		turn();
	return l;
}

static struct look look(struct store_query q, int64_t seq)
{
	struct look l = try_look(q, seq);

	if (l.result < 0)
		FAIL("query: %s", l.msg);
	return l;
}

static struct look look_event(int64_t seq)
{
	struct store_query q = { .kind = STORE_Q_EVENT };

	uuid_of(seq, q.request_id);
	return look(q, seq);
}

static struct store_counts look_counts(void)
{
	return look((struct store_query){ .kind = STORE_Q_COUNTS }, 0).counts;
}

static void check_file(void)
{
	sqlite3_stmt *q = NULL;
	sqlite3 *db = NULL;

	CHECK(sqlite3_open(the_path, &db) == SQLITE_OK);
	CHECK(sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &q, NULL) == SQLITE_OK);
	CHECK(sqlite3_step(q) == SQLITE_ROW);
	CHECK_STR((const char *)sqlite3_column_text(q, 0), "ok");
	CHECK(sqlite3_finalize(q) == SQLITE_OK);
	CHECK(sqlite3_close(db) == SQLITE_OK);
}

/* Nothing is half there: as many of each as of the others, the last record at that place, and SQLite finds no fault with
 * the file. */
static int64_t check_sound(void)
{
	struct store_counts c = look_counts();
	int64_t last_pos = look((struct store_query){ .kind = STORE_Q_TAIL, .after_pos = -1, .limit = 1 }, 0).last_pos;

	if (c.attempts != c.events[INV_QUEUED] || c.outbox != c.attempts || c.messages != c.attempts || c.records != c.attempts ||
	    last_pos != c.records)
		FAIL("half there: %" PRId64 " events, %" PRId64 " attempts, %" PRId64 " outbox rows, %" PRId64 " messages, %"
		     PRId64 " records, the last at %" PRId64,
		     c.events[INV_QUEUED], c.attempts, c.outbox, c.messages, c.records, last_pos);
	check_file();
	return c.events[INV_QUEUED];
}

/* ---- nth failure ------------------------------------------------------------------------------------------- */

enum { ONE_BY_ONE = 5, WORKS = 10 };

/* Gives what is due; the second half at once, so that it is committed in groups. */
static void run_half(struct work *w, bool second)
{
	int from = second ? ONE_BY_ONE : 0, to = second ? WORKS : ONE_BY_ONE;

	for (int i = from; i < to; i++) {
		work_give(&w[i]);
		if (!second)
			work_await(&w[i]);
	}
	for (int i = from; i < to; i++)
		work_await(&w[i]);
}

/* While the store is open: what was reported is seen, what failed is not. */
static void check_seen(struct work *w)
{
	for (int i = 0; i < WORKS; i++) {
		struct look l;

		if (!w[i].given)
			continue;
		l = look_event(w[i].seq);
		if (w[i].result < 0 && l.event)
			FAIL("batch %d failed (%s), and a query sees it", i, w[i].msg);
		if (w[i].result == 0 && !l.whole)
			FAIL("batch %d was reported as done, and a query does not see it", i);
	}
}

/* After a fault that struck once, what failed can be given again. */
static void retry(struct work *w)
{
	for (int i = 0; i < WORKS; i++) {
		if (!w[i].given || w[i].result == 0)
			continue;
		CHECK(w[i].msg[0] && strstr(w[i].msg, the_path));
		CHECK(w[i].result == -EIO || w[i].result == -ENOSPC);
		work_give(&w[i]);
		work_await(&w[i]);
		if (w[i].result < 0)
			FAIL("batch %d fails again, though the disk is well: %s", i, w[i].msg);
	}
}

/* A life with a fault: two openings, work in both. Returns whether the fault was met. */
static bool live(struct work *w, enum fault kind, int n, bool sticky, int rc)
{
	struct err e = {};
	bool hit;

	set_fault(kind, n, sticky, rc);
	for (int second = 0; second < 2; second++) {
		int r = open_store("breaking", &e);

		if (r < 0) {
			CHECK(!the_store);
			CHECK(fault_hit);
			CHECK(strstr(e.msg, the_path));
			break;
		}
		run_half(w, second);
		if (!sticky)
			retry(w);
		check_seen(w);
		close_store();
	}
	hit = fault_hit;
	set_fault(FAULT_NONE, 0, false, 0);
	return hit;
}

static void check_after(struct work *w, int n)
{
	int64_t there;

	must_open("breaking");
	there = check_sound();
	for (int i = 0; i < WORKS; i++) {
		struct look l = look_event(w[i].seq);

		there -= l.event;
		if (w[i].given && w[i].result == 0 && !l.whole)
			FAIL("fault %d: batch %d was reported as done and is not there", n, i);
		if (l.event && !l.whole)
			FAIL("fault %d: batch %d is half there", n, i);
		if (l.event && !w[i].given)
			FAIL("fault %d: batch %d is there and was never given", n, i);
	}
	CHECK_INT(there, 0);
	close_store();
}

static void nth_failure(enum fault kind, bool sticky, int rc)
{
	int n, failed = 0, total_failed = 0;

	set_up();
	for (n = 1;; n += STRIDE) {
		struct work w[WORKS] = {};
		bool hit;

		for (int i = 0; i < WORKS; i++)
			work_fill(&w[i], i + 1);
		hit = live(w, kind, n, sticky, rc);
		check_after(w, n);
		failed = 0;
		for (int i = 0; i < WORKS; i++) {
			failed += w[i].given ? w[i].result < 0 : 1;
			store_batch_done(&w[i].b);
		}
		total_failed += failed;
		remove_files();
		if (!hit)
			break;
		CHECK(n < 5000);
	}
	CHECK_INT(failed, 0);		/* without a fault all is well */
	CHECK(n > 2 * ONE_BY_ONE);	/* there were faults to survive */
	printf("# up to fault %d, %d batches failed\n", n - 1, total_failed);
	CHECK(total_failed > 0);	/* and they were felt */
	tear_down();
}

static void nth_write_fails_once(void) { nth_failure(FAULT_WRITE, false, SQLITE_IOERR_WRITE); }
static void nth_write_and_all_later_fail(void) { nth_failure(FAULT_WRITE, true, SQLITE_IOERR_WRITE); }
static void disk_full_once(void) { nth_failure(FAULT_WRITE, false, SQLITE_FULL); }
static void disk_full_from_nth_write(void) { nth_failure(FAULT_WRITE, true, SQLITE_FULL); }
static void nth_sync_fails_once(void) { nth_failure(FAULT_SYNC, false, 0); }
static void nth_sync_and_all_later_fail(void) { nth_failure(FAULT_SYNC, true, 0); }

/* ---- nth failure: queues ----------------------------------------------------------------------------------- */

enum { LETTERS = 6, OTHERS = 40 };

/* A queue "dead" of LETTERS to redrive and one of OTHERS to purge, with bodies that have pages of their own. */
static void put_letters(void)
{
	struct work w = {};

	for (int64_t n = 1; n <= LETTERS + OTHERS; n++) {
		struct store_op *op = store_batch_add(&w.b, STORE_OP_MESSAGE_PUT);

		snprintf(op->message.queue, sizeof(op->message.queue), n <= LETTERS ? "dead" : "others");
		uuid_of(n, op->message.id);
		op->message.body = blob_new(NULL, 3000);
	}
	work_give(&w);
	work_await(&w);
	CHECK_INT(w.result, 0);
	store_batch_done(&w.b);
}

static struct store_query queue_q(enum store_query_kind kind, const char *queue, int limit)
{
	struct store_query q = { .kind = kind, .limit = limit, .now_ms = 1000, .visibility_ms = 1000, .random = id_random64() };

	snprintf(q.queue, sizeof(q.queue), "%s", queue);
	return q;
}

/* Leases one, makes an event of it, takes it away: as a redrive does. False when the fault was met. */
static bool redrive_one(int64_t seq)
{
	struct look l = try_look(queue_q(STORE_Q_RECEIVE, "dead", 1), 0);
	struct store_op *op;
	struct work w = {};
	bool ok;

	if (l.result < 0)
		return false;
	CHECK_INT(l.n_messages, 1);
	op = store_batch_add(&w.b, STORE_OP_EVENT_PUT);
	op->event.row = (struct inv_row){ .seq = seq, .function = "resize" };
	uuid_of(seq, op->event.row.request_id);
	op->event.payload = blob_new(NULL, 3000);
	op = store_batch_add(&w.b, STORE_OP_MESSAGE_DEL);
	snprintf(op->message.queue, sizeof(op->message.queue), "dead");
	memcpy(op->message.receipt, l.receipt, sizeof(l.receipt));
	work_give(&w);
	work_await(&w);
	ok = w.result == 0;
	if (!ok)
		CHECK(strstr(w.msg, the_path));
	store_batch_done(&w.b);
	return ok;
}

/* What is seen now: each letter in the queue, or an event, never both, never neither; the others all there, or none. */
static void check_letters(int n, int redriven, bool purged, bool exact)
{
	struct store_counts c = look_counts();
	size_t letters = look(queue_q(STORE_Q_PEEK, "dead", 1000), 0).n_messages;
	size_t others = look(queue_q(STORE_Q_PEEK, "others", 1000), 0).n_messages;

	if ((int64_t)letters + c.events[INV_QUEUED] != LETTERS)
		FAIL("fault %d: %zu letters and %" PRId64 " events of %d", n, letters, c.events[INV_QUEUED], LETTERS);
	if (exact ? c.events[INV_QUEUED] != redriven : c.events[INV_QUEUED] < redriven)
		FAIL("fault %d: %" PRId64 " events, of %d reported", n, c.events[INV_QUEUED], redriven);
	if (others != (purged ? 0 : OTHERS) && (exact || others != 0))
		FAIL("fault %d: %zu others, %spurged", n, others, purged ? "" : "not ");
	CHECK_INT(c.messages, letters + others);
	check_file();
}

/* Returns whether the fault was met. */
static bool live_of_queues(enum fault kind, int n, bool sticky)
{
	int redriven = 0;
	struct look l = {};
	bool hit;

	must_open("breaking");
	put_letters();
	set_fault(kind, n, sticky, SQLITE_IOERR_WRITE);
	for (int64_t seq = 1; seq <= LETTERS; seq++)
		redriven += redrive_one(seq);
	l = try_look(queue_q(STORE_Q_PURGE, "others", 0), 0);
	CHECK_INT(l.affected, l.result < 0 ? 0 : OTHERS);
	hit = fault_hit;
	check_letters(n, redriven, l.result == 0, true);
	close_store();
	set_fault(FAULT_NONE, 0, false, 0);
	must_open("breaking");
	check_letters(n, redriven, l.result == 0, false);
	close_store();
	remove_files();
	if (!hit)
		CHECK(redriven == LETTERS && l.result == 0);
	else if (sticky)
		CHECK(redriven < LETTERS || l.result < 0);
	return hit;
}

static void nth_failure_of_queues(enum fault kind, bool sticky)
{
	int n = 1;

	set_up();
	while (live_of_queues(kind, n, sticky))
		n += STRIDE;
	CHECK(n > 2 * LETTERS);		/* a receive and a batch each */
	printf("# up to fault %d\n", n - 1);
	tear_down();
}

static void queues_nth_write_fails_once(void) { nth_failure_of_queues(FAULT_WRITE, false); }
static void queues_nth_write_and_all_later_fail(void) { nth_failure_of_queues(FAULT_WRITE, true); }
static void queues_nth_sync_fails_once(void) { nth_failure_of_queues(FAULT_SYNC, false); }
static void queues_nth_sync_and_all_later_fail(void) { nth_failure_of_queues(FAULT_SYNC, true); }

/* ---- nth failure: a file of an older version --------------------------------------------------------------- */

static void write_version(int version)
{
	char name[64];
	unsigned char *text;
	char *zero;
	sqlite3 *db = NULL;
	size_t n;

	snprintf(name, sizeof(name), "tests/data/fated-v%d.sql", version);
	read_whole(name, &text, &n);
	if (!text)
		FAIL("%s is missing", name);
	zero = calloc(1, n + 1);
	memcpy(zero, text, n);
	CHECK(sqlite3_open(the_path, &db) == SQLITE_OK);
	CHECK(sqlite3_exec(db, zero, NULL, NULL, NULL) == SQLITE_OK);
	CHECK(sqlite3_close(db) == SQLITE_OK);
	free(zero);
	free(text);
}

static void check_upgraded(int version, int n)
{
	static const struct { int64_t records, done, routing, attempts, owed, failed; } had[] = {
		[1] = { 4, 3, 1, 7, 2, 0 },
		[3] = { 7, 6, 1, 10, 1, 2 },
		[2] = { 7, 6, 1, 10, 1, 2 },	/* three of the ROUTING ones had nothing to send any more */
	};
	struct look l = look((struct store_query){ .kind = STORE_Q_TAIL, .after_pos = -1, .limit = 1 }, 0);
	struct store_counts c = look_counts();

	if (l.last_pos != had[version].records || c.records != l.last_pos || c.events[INV_DONE] != had[version].done ||
	    c.events[INV_ROUTING] != had[version].routing || c.events[INV_RUNNING] != 1 || c.events[INV_WAITING] != 1 ||
	    c.attempts != had[version].attempts || c.outbox != had[version].owed || c.outbox_failed != had[version].failed ||
	    c.messages != 3)
		FAIL("fault %d: not what version %d had", n, version);
	check_file();
}

/* Opened with a fault it is refused, or all is well; the next opening finds everything. */
static void nth_failure_of_an_upgrade(int version, enum fault kind, bool sticky, int rc)
{
	int n, refused = 0;

	set_up();
	for (n = 1;; n += STRIDE) {
		struct err e = {};
		bool hit;

		write_version(version);
		set_fault(kind, n, sticky, rc);
		if (open_store("breaking", &e) < 0) {
			CHECK(fault_hit && strstr(e.msg, the_path));
			refused++;
		} else {
			check_upgraded(version, n);
		}
		close_store();
		hit = fault_hit;
		set_fault(FAULT_NONE, 0, false, 0);
		must_open("breaking");
		check_upgraded(version, n);
		close_store();
		remove_files();
		if (!hit)
			break;
		CHECK(n < 5000);
	}
	printf("# up to fault %d, %d times refused\n", n - 1, refused);
	CHECK(refused > 0);
	tear_down();
}

static void upgrade_1_nth_write_fails_once(void) { nth_failure_of_an_upgrade(1, FAULT_WRITE, false, SQLITE_IOERR_WRITE); }
static void upgrade_1_disk_full_from_nth_write(void) { nth_failure_of_an_upgrade(1, FAULT_WRITE, true, SQLITE_FULL); }
static void upgrade_1_nth_sync_and_all_later_fail(void) { nth_failure_of_an_upgrade(1, FAULT_SYNC, true, 0); }
static void upgrade_2_nth_write_fails_once(void) { nth_failure_of_an_upgrade(2, FAULT_WRITE, false, SQLITE_IOERR_WRITE); }
static void upgrade_2_disk_full_from_nth_write(void) { nth_failure_of_an_upgrade(2, FAULT_WRITE, true, SQLITE_FULL); }
static void upgrade_3_nth_write_fails_once(void) { nth_failure_of_an_upgrade(3, FAULT_WRITE, false, SQLITE_IOERR_WRITE); }
static void upgrade_3_nth_sync_and_all_later_fail(void) { nth_failure_of_an_upgrade(3, FAULT_SYNC, true, 0); }
static void upgrade_2_nth_sync_and_all_later_fail(void) { nth_failure_of_an_upgrade(2, FAULT_SYNC, true, 0); }

/* ---- a disk that comes back -------------------------------------------------------------------------------- */

static int64_t next_seq;

/* One batch more: its result. What failed is not seen, what did not is. */
static int work_one(char *ret_msg, size_t size)
{
	struct work w = {};
	int r;

	work_fill(&w, ++next_seq);
	work_give(&w);
	work_await(&w);
	r = w.result;
	snprintf(ret_msg, size, "%s", w.msg);
	CHECK(w.b.failed == SIZE_MAX);		/* never one operation's fault */
	store_batch_done(&w.b);
	if (r < 0)
		CHECK(strstr(ret_msg, the_path));
	return r;
}

static void work_well(int n)
{
	char msg[512];

	while (n--) {
		if (work_one(msg, sizeof(msg)) < 0)
			FAIL("the disk is well, and batch %" PRId64 " fails: %s", next_seq, msg);
		CHECK(look_event(next_seq).whole);
	}
}

/* Fails for as long as the fault lasts, and goes on at once when it is over. */
static void fail_and_heal(enum fault kind, int rc, int want, int n_while)
{
	char msg[512];
	int64_t bad = 0;

	set_up();
	must_open("breaking");
	next_seq = 0;
	work_well(3);
	for (int again = 0; again < 3; again++) {
		set_fault(kind, 1, true, rc);
		for (int i = 0; i < n_while; i++, bad++) {
			CHECK_INT(work_one(msg, sizeof(msg)), want);
			CHECK(!look_event(next_seq).event);
		}
		CHECK(look_event(1).whole);	/* what is there is read meanwhile */
		set_fault(FAULT_NONE, 0, false, 0);
		work_well(3);
	}
	CHECK_INT(check_sound(), next_seq - bad);
	close_store();
	must_open("breaking");
	CHECK_INT(check_sound(), next_seq - bad);	/* nor does a start find what was reported as failed */
	close_store();
	tear_down();
}

static void writes_fail_for_a_while(void) { fail_and_heal(FAULT_WRITE, SQLITE_IOERR_WRITE, -EIO, 5); }
static void syncs_fail_for_a_while(void) { fail_and_heal(FAULT_SYNC, 0, -EIO, 5); }
static void the_disk_is_full_for_a_while(void) { fail_and_heal(FAULT_WRITE, SQLITE_FULL, -ENOSPC, 5); }
static void writes_are_refused_for_a_while(void) { fail_and_heal(FAULT_WRITE, SQLITE_READONLY, -EROFS, 5); }
static void writes_fail_once(void) { fail_and_heal(FAULT_WRITE, SQLITE_IOERR_WRITE, -EIO, 1); }

static void name_of(const char *tail, char *ret, size_t size)
{
	snprintf(ret, size, "%s%s", the_path, tail);
}

/* The log's name is taken: what is in it is brought into the file, and a start finds all of it. */
static void the_log_is_deleted(void)
{
	char wal[256];

	set_up();
	must_open(NULL);
	next_seq = 0;
	name_of("-wal", wal, sizeof(wal));
	for (int again = 0; again < 3; again++) {
		work_well(3);
		CHECK(unlink(wal) == 0);
		work_well(1);
		CHECK(access(wal, F_OK) == 0);
	}
	CHECK_INT(check_sound(), next_seq);
	close_store();
	must_open(NULL);
	CHECK_INT(check_sound(), next_seq);
	close_store();
	tear_down();
}

static void copy_file(const char *from, const char *to)
{
	unsigned char *data;
	size_t len;
	FILE *out;

	read_whole(from, &data, &len);
	CHECK(data);
	out = fopen(to, "we");
	CHECK(out && fwrite(data, 1, len, out) == len);
	CHECK(fclose(out) == 0);
	free(data);
}

static void the_file_is_away_for_a_while(void)
{
	char away[256], msg[512];

	set_up();
	must_open(NULL);
	next_seq = 0;
	work_well(3);
	name_of("-away", away, sizeof(away));
	CHECK(rename(the_path, away) == 0);
	for (int i = 0; i < 4; i++) {
		CHECK_INT(work_one(msg, sizeof(msg)), -EIO);
		CHECK(strstr(msg, "the file is gone"));
	}
	CHECK(access(the_path, F_OK) < 0);	/* and no new one is made */
	CHECK(rename(away, the_path) == 0);
	work_well(3);
	CHECK_INT(check_sound(), 6);
	close_store();
	must_open(NULL);
	CHECK_INT(check_sound(), 6);
	close_store();
	tear_down();
}

static void write_junk(void)
{
	FILE *f = fopen(the_path, "we");

	CHECK(f && fputs("somebody's diary, long enough to be taken for the header of a database file, or of anything", f) > 0);
	CHECK(fclose(f) == 0);
}

static void check_left_alone(void)
{
	unsigned char *before, *after;
	size_t before_len, after_len;
	char msg[512];

	read_whole(the_path, &before, &before_len);
	for (int i = 0; i < 3; i++) {
		CHECK_INT(work_one(msg, sizeof(msg)), -EIO);
		if (!strstr(msg, "another file lies there"))
			FAIL("says \"%s\"", msg);
		CHECK(look_event(1).whole);	/* of ours, which is still open */
	}
	read_whole(the_path, &after, &after_len);
	CHECK(after_len == before_len && memcmp(before, after, after_len) == 0);
	free(before);
	free(after);
}

/* Another file lies there, of somebody else or a copy of ours: it is left as it is, until ours is back. */
static void the_file_is_replaced(void)
{
	char away[256];

	set_up();
	must_open(NULL);
	next_seq = 0;
	work_well(3);
	name_of("-away", away, sizeof(away));
	CHECK(rename(the_path, away) == 0);
	write_junk();
	check_left_alone();
	CHECK(unlink(the_path) == 0);
	copy_file(away, the_path);
	check_left_alone();
	CHECK(rename(away, the_path) == 0);
	work_well(3);
	CHECK_INT(check_sound(), 6);
	close_store();
	must_open(NULL);
	CHECK_INT(check_sound(), 6);
	close_store();
	tear_down();
}

/* From outside: everything is in the file then. */
static void empty_log(void)
{
	sqlite3 *db = NULL;

	CHECK(sqlite3_open(the_path, &db) == SQLITE_OK);
	CHECK(sqlite3_exec(db, "SELECT count(*) FROM opening", NULL, NULL, NULL) == SQLITE_OK);	/* before that it knows of no log */
	CHECK(sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL) == SQLITE_OK);
	CHECK(sqlite3_close(db) == SQLITE_OK);
}

/* Damage is told, again and again, and never ends the store; when the pages are well again, it goes on. */
static void the_file_is_damaged_for_a_while(void)
{
	unsigned char *data, *junk;
	char msg[512];
	struct look l;
	size_t len;
	int fd;

	set_up();
	must_open(NULL);
	next_seq = 0;
	work_well(3);
	close_store();
	must_open(NULL);			/* with nothing of what is damaged below in its memory */
	empty_log();
	read_whole(the_path, &data, &len);
	junk = malloc(len);
	memset(junk, 0xa5, len);
	fd = open(the_path, O_RDWR | O_CLOEXEC);
	CHECK(fd >= 0);
	CHECK(pwrite(fd, junk, len - 4096, 4096) == (ssize_t)(len - 4096));	/* all but the first page */
	for (int i = 0; i < 4; i++) {
		if (work_one(msg, sizeof(msg)) == 0)
			FAIL("a batch is written into a file of junk");
		l = try_look((struct store_query){ .kind = STORE_Q_COUNTS }, 0);
		CHECK_INT(l.result, -EBADMSG);
		CHECK(strstr(l.msg, the_path));
	}
	CHECK(pwrite(fd, data, len, 0) == (ssize_t)len);
	CHECK(close(fd) == 0);
	work_well(3);
	CHECK_INT(check_sound(), 6);
	close_store();
	free(data);
	free(junk);
	tear_down();
}

/* ---- power loss -------------------------------------------------------------------------------------------- */

static void count_acked(struct work *w)
{
	if (w->result == 0)
		__atomic_add_fetch(&acked, 1, __ATOMIC_SEQ_CST);
}

static void write_remains(void)
{
	char path[256];

	remove_files();
	for (int i = 0; i < 2; i++) {
		struct disk_file *f = &snapshot.files[i];
		FILE *out;

		if (!f->exists)
			continue;
		snprintf(path, sizeof(path), "%s%s", the_path, f->tail);
		out = fopen(path, "we");
		CHECK(out && fwrite(f->data, 1, f->len, out) == f->len);
		CHECK(fclose(out) == 0);
	}
	for (int i = 0; i < 2; i++)
		free(TAKE(snapshot.files[i].data));
}

/* One life that loses its power at the n-th access. False when it had fewer. */
static bool lose_power(int n, bool half)
{
	struct work w[WORKS] = {};
	int64_t there;

	acked = 0;
	snapshot = (struct snapshot){};
	fault_half = half;
	rng = (uint64_t)n * 0x9e3779b97f4a7c15ULL + 1;
	set_fault(FAULT_POWER, n, false, 0);
	for (int second = 0; second < 2; second++) {
		must_open("breaking");
		for (int i = second * ONE_BY_ONE; i < (second ? WORKS : ONE_BY_ONE); i++) {
			work_fill(&w[i], i + 1);
			w[i].told = count_acked;
		}
		run_half(w, second);
		close_store();
	}
	set_fault(FAULT_NONE, 0, false, 0);
	CHECK_INT(acked, WORKS);
	for (int i = 0; i < WORKS; i++)
		store_batch_done(&w[i].b);
	if (!snapshot.taken) {
		remove_files();
		return false;
	}

	write_remains();
	must_open("breaking");
	there = check_sound();
	if (there < snapshot.acked)
		FAIL("power lost at access %d: %d batches had been reported, %" PRId64 " are there", n, snapshot.acked, there);
	for (int64_t seq = 1; seq <= there; seq++)	/* in order, no holes */
		if (!look_event(seq).whole)
			FAIL("power lost at access %d: batch %" PRId64 " of %" PRId64 " is not whole", n, seq, there);
	close_store();
	remove_files();
	return true;
}

static void power_loss(bool half)
{
	int n = 1;

	set_up();
	while (lose_power(n, half))
		n += STRIDE;
	CHECK(n > 100);
	printf("# up to access %d\n", n - 1);
	tear_down();
}

static void power_is_lost_and_unsynced_data_too(void) { power_loss(false); }
static void power_is_lost_and_half_of_unsynced_data(void) { power_loss(true); }

/* The model itself: a store that reports before it syncs must be caught. SQLite is told not to sync. */
static void power_loss_catches_a_lack_of_sync(void)
{
	sqlite3 *db = NULL;
	sqlite3_stmt *q = NULL;

	set_up();
	snapshot = (struct snapshot){};
	fault_half = false;
	CHECK(sqlite3_open_v2(the_path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, "breaking") == SQLITE_OK);
	CHECK(sqlite3_exec(db, "PRAGMA journal_mode=WAL; CREATE TABLE t (x); PRAGMA synchronous=OFF; INSERT INTO t VALUES (1)",
			   NULL, NULL, NULL) == SQLITE_OK);
	set_fault(FAULT_POWER, 1, false, 0);
	CHECK(sqlite3_exec(db, "INSERT INTO t VALUES (2)", NULL, NULL, NULL) == SQLITE_OK);
	set_fault(FAULT_NONE, 0, false, 0);
	CHECK(sqlite3_close(db) == SQLITE_OK);
	CHECK(snapshot.taken);
	write_remains();
	CHECK(sqlite3_open(the_path, &db) == SQLITE_OK);
	CHECK(sqlite3_prepare_v2(db, "SELECT count(*) FROM t", -1, &q, NULL) == SQLITE_OK);
	CHECK(sqlite3_step(q) == SQLITE_ROW);
	CHECK_INT(sqlite3_column_int(q, 0), 0);		/* the table is there, its acknowledged row is not */
	sqlite3_finalize(q);
	sqlite3_close(db);
	tear_down();
}

/* ---- kill -9 ----------------------------------------------------------------------------------------------- */

static int told_fd;

static void tell(struct work *w)
{
	if (w->result < 0 || write(told_fd, &w->seq, sizeof(w->seq)) != sizeof(w->seq))
		_exit(3);
}

static int no_running(void *arg, const struct store_event *ev)
{
	return 0;
}

static int no_named(void *arg, const char *name, int64_t n)
{
	return 0;
}

static int no_count(void *arg, int64_t n)
{
	return 0;
}

/* The child: writes as fast as it can, several batches under way, and tells what was reported. Never returns, and
 * checks nothing by CHECK: that would jump into the parent's frames. */
static void writer(void)
{
	struct store_loader loader = { .running = no_running, .queued = no_named, .waiting = no_count, .routing = no_count,
				       .outbox = no_named };
	struct work w[8] = {};
	struct err e = {};
	int64_t seq = 0;

	if (sd_event_new(&the_loop) < 0 || store_sqlite_open(the_loop, the_path, &the_store, &e) < 0 ||
	    the_store->ops->load(the_store, &loader, &seq, &e) < 0) {
		fprintf(stderr, "writer: %s\n", err_msg(&e));
		_exit(2);
	}
	for (size_t i = 0;; i = (i + 1) % ARRAY_SIZE(w)) {
		while (w[i].given && !w[i].done)
			if (sd_event_run(the_loop, UINT64_MAX) < 0)
				_exit(4);
		store_batch_clear(&w[i].b);
		work_fill(&w[i], seq++);
		w[i].told = tell;
		work_give(&w[i]);
	}
}

struct told { int64_t *seqs; size_t n, cap; };

/* Reads at most max reports; false at the end. */
static bool hear(int fd, struct told *t, size_t max)
{
	for (size_t i = 0; i < max; i++) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		int64_t seq;
		ssize_t n;

		CHECK(poll(&p, 1, 60000) == 1);		/* the end of a hung test */
		n = read(fd, &seq, sizeof(seq));
		if (n == 0)
			return false;
		CHECK_INT(n, sizeof(seq));	/* 8 bytes into a pipe are written whole or not */
		if (t->n == t->cap) {
			t->cap = t->cap ? 2 * t->cap : 256;
			t->seqs = realloc(t->seqs, t->cap * sizeof(*t->seqs));
		}
		t->seqs[t->n++] = seq;
	}
	return true;
}

static void kill_round(struct told *t)
{
	size_t before = t->n;
	int fds[2], status;
	pid_t pid;

	CHECK(pipe2(fds, O_CLOEXEC) == 0);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		close(fds[0]);
		told_fd = fds[1];
		writer();
		_exit(1);
	}
	close(fds[1]);
	if (!hear(fds[0], t, (size_t)(rnd() % 150)))
		FAIL("the writer ended by itself");
	CHECK(kill(pid, SIGKILL) == 0);
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	while (hear(fds[0], t, 1))
		;
	close(fds[0]);

	CHECK(sd_event_new(&the_loop) >= 0);
	must_open(NULL);
	CHECK(check_sound() >= (int64_t)t->n);
	for (size_t i = before; i < t->n; i++)
		if (!look_event(t->seqs[i]).whole)
			FAIL("event %" PRId64 " was reported and is not there", t->seqs[i]);
	close_store();
	the_loop = sd_event_unref(the_loop);
}

static void killed_at_random_moments(void)
{
	struct told t = {};

	set_up();
	the_loop = sd_event_unref(the_loop);	/* nothing is shared with the children */
	rng = id_random64() | 1;
	printf("# seed %" PRIu64 "\n", rng);
	for (int round = 0; round < 30; round++)
		kill_round(&t);
	CHECK(t.n > 500);
	/* And the first ones are still there after all the others. */
	CHECK(sd_event_new(&the_loop) >= 0);
	must_open(NULL);
	for (size_t i = 0; i < t.n; i++)
		CHECK(look_event(t.seqs[i]).whole);
	close_store();
	free(t.seqs);
	tear_down();
}

int main(void)
{
	real_vfs = sqlite3_vfs_find(NULL);
	if (!real_vfs || sqlite3_vfs_register(&the_vfs, 0) != SQLITE_OK)
		return 1;
	RUN(nth_write_fails_once);
	RUN(nth_write_and_all_later_fail);
	RUN(disk_full_once);
	RUN(disk_full_from_nth_write);
	RUN(nth_sync_fails_once);
	RUN(nth_sync_and_all_later_fail);
	RUN(queues_nth_write_fails_once);
	RUN(queues_nth_write_and_all_later_fail);
	RUN(queues_nth_sync_fails_once);
	RUN(queues_nth_sync_and_all_later_fail);
	RUN(upgrade_1_nth_write_fails_once);
	RUN(upgrade_1_disk_full_from_nth_write);
	RUN(upgrade_1_nth_sync_and_all_later_fail);
	RUN(upgrade_2_nth_write_fails_once);
	RUN(upgrade_2_disk_full_from_nth_write);
	RUN(upgrade_2_nth_sync_and_all_later_fail);
	RUN(upgrade_3_nth_write_fails_once);
	RUN(upgrade_3_nth_sync_and_all_later_fail);
	RUN(writes_fail_once);
	RUN(writes_fail_for_a_while);
	RUN(syncs_fail_for_a_while);
	RUN(the_disk_is_full_for_a_while);
	RUN(writes_are_refused_for_a_while);
	RUN(the_log_is_deleted);
	RUN(the_file_is_away_for_a_while);
	RUN(the_file_is_replaced);
	RUN(the_file_is_damaged_for_a_while);
	RUN(power_is_lost_and_unsynced_data_too);
	RUN(power_is_lost_and_half_of_unsynced_data);
	RUN(power_loss_catches_a_lack_of_sync);
	RUN(killed_at_random_moments);
	TEST_END();
}
