/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file:/absolute/path: one line of JSON per record, appended.
 *
 * What a reader may count on: a line is whole or not there. It is written with one write(2); when that comes up
 * short (disk full, quota, file size limit) the file is cut back to its old length and the send is tried again
 * later. Only a power failure can leave a torn tail; the next send ends it with a newline of its own, so that it
 * spoils no other line. The answer is given after fdatasync (and the directory's fsync when the file is new), so an
 * acknowledged line survives the machine. A send whose answer was lost is sent again: the line is then there twice,
 * and carries the same requestId.
 *
 * A dead letter is the bare event, which names no request: it goes into an envelope with its attributes, as
 *   {"MessageAttributes":{…},"Body":<the event>}
 * because a line saying neither whose it is nor why it is there would be of no use.
 *
 * flock keeps two daemons (or a careful log rotator) from cutting back each other's lines; it is asked for without
 * waiting, because a stranger holding it for ever must not hold up other deliveries. The path's symbolic links are
 * followed: it comes from a definition only the administrator can write.
 *
 * Rejected: keeping the file open between sends (rotation would go unnoticed); writing a temporary file and renaming
 * (readers that follow the file lose it); O_CREAT of missing directories (a typo would be answered with success).
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/mem.h"
#include "dest/dest.h"

#define FILE_REOPENS_MAX 4	/* rotations in a row that we follow */
#define SHOWN_MAX 120		/* of a path in a reason: the row names the target in full, the reason must fit too */

static int file_prepare(const struct dest_job *job, struct err *e)
{
	if (job->target.name[0] != '/')
		return err_set(e, -EINVAL, "%s is not an absolute path", job->target.name);
	return 0;
}

/* Line breaks in JSON text are white space between tokens (in strings they are escaped): blanks say the same. */
static void add_one_line(struct buf *b, const struct blob *text)
{
	size_t from = b->len;

	buf_add(b, text->data, text->len);
	for (size_t i = from; i < b->len; i++)
		if (b->data[i] == '\n' || b->data[i] == '\r')
			b->data[i] = ' ';
}

/* The line, with its newline; a newline in front when the file's last one is missing. */
static int line_build(struct buf *b, const struct dest_job *job, bool torn)
{
	static const char pre[] = "{\"MessageAttributes\":", mid[] = ",\"Body\":";
	const struct blob *at = job->attributes, *body = job->body;
	int r;

	r = buf_reserve(b, (at ? at->len : 0) + (body ? body->len : 0) + sizeof(pre) + sizeof(mid) + 8);
	if (r < 0)
		return r;
	if (torn)
		buf_addc(b, '\n');
	if (at) {
		buf_adds(b, pre);
		add_one_line(b, at);
		buf_adds(b, mid);
	}
	if (body && body->len)
		add_one_line(b, body);
	else
		buf_adds(b, "{}");
	buf_adds(b, at ? "}\n" : "\n");
	return 0;
}

/* The end of a path, where paths differ. */
static const char *shown(const char *path)
{
	size_t len = strlen(path);

	return len > SHOWN_MAX ? path + len - SHOWN_MAX : path;
}

/* Opens and locks the file that bears the name. 0, or the errno with *ret filled. */
static int file_open(const char *path, int *ret_fd, struct stat *ret_st, struct dest_result *ret)
{
	for (int i = 0; i < FILE_REOPENS_MAX; i++) {
		/* O_NONBLOCK: a FIFO must not hold us up. To read as well: to see whether the last line is whole. */
		CLEAN(closep) int fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0640);
		struct stat named;

		if (fd < 0) {
			int code = errno;
			bool never = code == EISDIR || code == ENXIO || code == ENAMETOOLONG;

			dest_result_set(ret, never ? DELIVERED_NEVER : DELIVERED_RETRY, "open %s: %s", shown(path), strerror(code));
			return -code;
		}
		if (fstat(fd, ret_st) < 0)
			break;
		if (!S_ISREG(ret_st->st_mode)) {
			dest_result_set(ret, DELIVERED_NEVER, "%s is not a regular file", shown(path));
			return -EINVAL;
		}
		if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
			dest_result_set(ret, DELIVERED_RETRY, "%s is locked by another process", shown(path));
			return -EWOULDBLOCK;
		}
		/* Renamed away between open and lock, the line would land where nobody looks. Its length counts from here. */
		if (fstat(fd, ret_st) == 0 && stat(path, &named) == 0 && named.st_ino == ret_st->st_ino &&
		    named.st_dev == ret_st->st_dev) {
			*ret_fd = TAKE_FD(fd);
			return 0;
		}
	}
	dest_result_set(ret, DELIVERED_RETRY, "%s is being replaced", shown(path));
	return -ESTALE;
}

static bool file_torn(int fd, const struct stat *st)
{
	char last;

	return st->st_size > 0 && pread(fd, &last, 1, st->st_size - 1) == 1 && last != '\n';
}

/* A new name is durable when its directory is. A directory we may search but not read cannot be synced: let be. */
static int dir_sync(const char *path)
{
	char copy[LIM_ARN_MAX + 1];
	CLEAN(closep) int fd = -EBADF;

	snprintf(copy, sizeof(copy), "%s", path);
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	return fsync(fd) < 0 && errno != EINVAL ? -errno : 0;
}

static int line_write(int fd, const char *path, const struct buf *line, off_t old_len, struct dest_result *ret)
{
	ssize_t n = write(fd, line->data, line->len);
	int code = n < 0 ? errno : ENOSPC;
	const char *what = "write";

	if (n == (ssize_t)line->len) {
		what = "sync";
		code = fdatasync(fd) < 0 ? errno : old_len == 0 ? -dir_sync(path) : 0;
		if (!code)
			return 0;
	}
	if (ftruncate(fd, old_len) < 0)
		dest_result_set(ret, DELIVERED_RETRY, "%s %s: %s, and cutting it back: %s", what, shown(path), strerror(code),
				strerror(errno));
	else if (n >= 0 && n < (ssize_t)line->len)
		dest_result_set(ret, DELIVERED_RETRY, "write %s: only %zd of %zu bytes fit", shown(path), n, line->len);
	else
		dest_result_set(ret, DELIVERED_RETRY, "%s %s: %s", what, shown(path), strerror(code));
	return -code;
}

static void file_send(const struct dest_job *job, struct dest_result *ret)
{
	const char *path = job->target.name;
	CLEAN(closep) int fd = -EBADF;	/* closing it gives up the lock */
	CLEAN(buf_done) struct buf line = {};
	struct stat st = {};

	assert(path[0] == '/');
	if (file_open(path, &fd, &st, ret) < 0)
		return;
	if (line_build(&line, job, file_torn(fd, &st)) < 0)
		return dest_result_set(ret, DELIVERED_RETRY, "no memory for a record of %zu bytes", job->body ? job->body->len : 0);
	if (line_write(fd, path, &line, st.st_size, ret) < 0)
		return;
	*ret = (struct dest_result){ .how = DELIVERED_ACK };
}

const struct dest_ops dest_file = { .name = "file", .prepare = file_prepare, .send = file_send };
