/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every file is held twice beside the real one: as it is, and as it was at its last sync. A sync copies what has changed in
 * between, so that thousands of them over a file of megabytes cost little.
 */
#include "lib/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

#define SECTOR 512

struct image { bool exists; unsigned char *data; size_t len, cap; };
struct disk_file {
	bool loaded;
	struct image now, synced;
	size_t dirty, dirty_end;	/* what differs, at most */
};
enum { THE_DATABASE, THE_LOG, FILES };

void (*disk_power_lost)(void);

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;	/* all of the following */
static enum disk_fault fault;
static int fault_in;		/* accesses until it strikes */
static bool fault_sticky, fault_hit, fault_half, power_gone;
static int fault_rc;
static uint64_t rng = 1;
static struct disk_file disk[FILES];
static struct image remains[FILES];

struct ffile {
	sqlite3_file base;
	struct disk_file *disk;		/* NULL: a file whose loss does not matter here */
	sqlite3_file *real;		/* behind us */
};
static sqlite3_vfs *real_vfs;

static sqlite3_file *real_of(sqlite3_file *f) { return ((struct ffile *)f)->real; }

static uint64_t rnd(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng;
}

/* Behind the end there are zeros, also after it was cut and grows again. The disk's own memory is not the daemon's, so this is
 * not the realloc() that a test lets fail. */
static void image_size(struct image *im, size_t len)
{
	if (len > im->cap) {
		im->cap = MAX(2 * im->cap, len + 4096);
		im->data = reallocarray(im->data, im->cap, 1);
		if (!im->data)
			abort();
	}
	if (len > im->len)
		memset(im->data + im->len, 0, len - im->len);
	im->len = len;
}

static void image_drop(struct image *im)
{
	free(im->data);
	*im = (struct image){};
}

static void dirty(struct disk_file *d, size_t from, size_t to)
{
	if (d->dirty_end <= d->dirty) {
		d->dirty = from;
		d->dirty_end = to;
	} else {
		d->dirty = MIN(d->dirty, from);
		d->dirty_end = MAX(d->dirty_end, to);
	}
}

static void make_safe(struct disk_file *d)
{
	size_t to = MIN(d->dirty_end, d->now.len);

	image_size(&d->synced, d->now.len);
	if (d->dirty < to)
		memcpy(d->synced.data + d->dirty, d->now.data + d->dirty, to - d->dirty);
	d->synced.exists = true;
	d->dirty = d->dirty_end = 0;
}

static void load(struct disk_file *d, const char *path)
{
	struct stat st;
	int fd = d->loaded ? -1 : open(path, O_RDONLY | O_CLOEXEC);

	if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size > 0) {
		image_size(&d->now, (size_t)st.st_size);
		if (read(fd, d->now.data, d->now.len) != (ssize_t)d->now.len)
			abort();
		dirty(d, 0, d->now.len);
		make_safe(d);
	}
	d->loaded = true;
	if (fd >= 0)
		close(fd);
}

/* What is left of one file: the synced state, with a random half of the sectors that have changed since. */
static void take_remains(const struct disk_file *from, struct image *to)
{
	size_t len = fault_half && rnd() % 2 ? from->now.len : from->synced.len;

	image_drop(to);
	image_size(to, len);
	to->exists = from->synced.exists || len;
	if (MIN(len, from->synced.len))
		memcpy(to->data, from->synced.data, MIN(len, from->synced.len));
	for (size_t at = from->dirty / SECTOR * SECTOR; fault_half && at < MIN(len, from->dirty_end); at += SECTOR)
		if (rnd() % 2 && at < from->now.len)
			memcpy(to->data + at, from->now.data + at, MIN((size_t)SECTOR, MIN(len, from->now.len) - at));
}

/* Counts an access of a kind; true when it is the one that fails. Holding the lock. */
static bool strikes(enum disk_fault kind)
{
	if (fault == DISK_POWER && --fault_in == 0) {
		for (int i = 0; i < FILES; i++)
			take_remains(&disk[i], &remains[i]);
		power_gone = true;
		if (disk_power_lost)
			disk_power_lost();
	} else if (fault != DISK_POWER && fault == kind && (--fault_in == 0 || (fault_sticky && fault_in < 0))) {
		return fault_hit = true;
	}
	return false;
}

static int f_write(sqlite3_file *f, const void *data, int n, sqlite3_int64 at)
{
	struct disk_file *d = ((struct ffile *)f)->disk;
	bool fails;
	int len = n, rc = SQLITE_OK;

	pthread_mutex_lock(&lock);
	fails = strikes(DISK_WRITE);
	if (fails)
		len = n > SECTOR ? n / 2 : 0;	/* some of it may have arrived */
	if (len)
		rc = real_of(f)->pMethods->xWrite(real_of(f), data, len, at);
	if (len && rc == SQLITE_OK && d) {
		image_size(&d->now, MAX(d->now.len, (size_t)at + (size_t)len));
		memcpy(d->now.data + at, data, (size_t)len);
		dirty(d, (size_t)at, (size_t)at + (size_t)len);
	}
	pthread_mutex_unlock(&lock);
	return fails ? fault_rc : rc;
}

static int f_truncate(sqlite3_file *f, sqlite3_int64 n)
{
	struct disk_file *d = ((struct ffile *)f)->disk;

	pthread_mutex_lock(&lock);
	if (d) {
		dirty(d, (size_t)n, MAX(d->now.len, (size_t)n));
		image_size(&d->now, (size_t)n);
	}
	pthread_mutex_unlock(&lock);
	return real_of(f)->pMethods->xTruncate(real_of(f), n);
}

static int f_sync(sqlite3_file *f, int flags)
{
	struct disk_file *d = ((struct ffile *)f)->disk;
	bool fails;

	pthread_mutex_lock(&lock);
	fails = strikes(DISK_SYNC);
	if (!fails && d)
		make_safe(d);
	pthread_mutex_unlock(&lock);
	return fails ? SQLITE_IOERR_FSYNC : SQLITE_OK;
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
	if (!ff->real)
		return SQLITE_NOMEM;
	if (flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL))
		ff->disk = &disk[flags & SQLITE_OPEN_WAL ? THE_LOG : THE_DATABASE];
	rc = real_vfs->xOpen(real_vfs, name, ff->real, flags, ret_flags);
	if (rc != SQLITE_OK) {
		free(ff->real);
		return rc;
	}
	ff->base.pMethods = &f_methods;
	pthread_mutex_lock(&lock);
	if (ff->disk)
		load(ff->disk, name);
	pthread_mutex_unlock(&lock);
	return SQLITE_OK;
}

/* A deletion counts as an access; it is durable at once (the harder case: the log is gone). */
static int v_delete(sqlite3_vfs *v, const char *name, int sync_dir)
{
	int rc;

	pthread_mutex_lock(&lock);
	(void)strikes(DISK_WELL);
	rc = real_vfs->xDelete(real_vfs, name, 0);
	if (rc == SQLITE_OK && strlen(name) > 4 && strcmp(name + strlen(name) - 4, "-wal") == 0) {
		image_drop(&disk[THE_LOG].now);
		image_drop(&disk[THE_LOG].synced);
		disk[THE_LOG] = (struct disk_file){};
	}
	pthread_mutex_unlock(&lock);
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

int disk_register(void)
{
	real_vfs = sqlite3_vfs_find(NULL);
	return real_vfs ? sqlite3_vfs_register(&the_vfs, 0) : SQLITE_ERROR;
}

void disk_break(enum disk_fault kind, int n, bool sticky, int rc)
{
	pthread_mutex_lock(&lock);
	fault = kind;
	fault_in = n;
	fault_sticky = sticky;
	fault_rc = rc;
	fault_hit = false;
	if (kind == DISK_POWER)
		power_gone = false;
	pthread_mutex_unlock(&lock);
}

void disk_half(bool half, uint64_t seed)
{
	fault_half = half;
	rng = seed | 1;
}

bool disk_struck(void) { return fault_hit; }
bool disk_remains(void) { return power_gone; }

bool disk_write_remains(const char *path)
{
	static const char *const tails[FILES] = { "", "-wal" };

	for (int i = 0; i < FILES; i++) {
		char name[512];
		int fd;

		snprintf(name, sizeof(name), "%s%s", path, tails[i]);
		(void)unlink(name);
		if (!remains[i].exists)
			continue;
		fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		if (fd < 0 || write(fd, remains[i].data, remains[i].len) != (ssize_t)remains[i].len || close(fd) < 0)
			return false;
		image_drop(&remains[i]);
	}
	return true;
}

void disk_forget(void)
{
	for (int i = 0; i < FILES; i++) {
		image_drop(&disk[i].now);
		image_drop(&disk[i].synced);
		disk[i] = (struct disk_file){};
	}
}
