/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a function's log: all its files as one text, and a place in it that can be come back to.
 *
 * A cursor is a file and an offset in it. The file is named by inode and birth, not by its number: a rename keeps both,
 * so a reader that was overtaken by a rotation goes on in NAME.log.1 and then in NAME.log. The inode alone would not do:
 * the one of the file that goes is as a rule that of the file made next, and its reader would be put into the middle of
 * lines it has not read. Nothing is kept in memory, so a reader outlives the daemon.
 *
 * Writer and reader are on one thread, hence the files do not change while one reads.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "ops/funclog_int.h"

struct file { int fd; struct funclog_stat st; };

/* The youngest first; numbers that are missing are left out. */
struct files {
	struct file list[FUNCLOG_FILES_MAX + 1];
	int n;
	int next;	/* number of the file to be opened next */
};

struct place { uint64_t ino; int64_t born_ns, offset; };	/* all 0: before everything */

static void files_done(struct files *f)
{
	for (int i = 0; i < f->n; i++)
		closep(&f->list[i].fd);
}

/* 1: list[n - 1] is the next older file. 0: there is none. */
static int open_next(const struct funclog *l, const char *function, struct files *f, struct err *e)
{
	while (f->next <= l->files) {
		char name[FUNCLOG_NAME_SIZE];
		struct file *one = &f->list[f->n];
		int r;

		funclog_file_name(name, function, f->next++);
		one->fd = openat(l->dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
		if (one->fd < 0 && errno == ENOENT)
			continue;
		if (one->fd < 0)
			return err_errno(e, -errno, "%s/%s", l->dir, name);
		f->n++;
		r = funclog_file_stat(one->fd, "", &one->st);
		if (r == -ENOTSUP)
			return err_set(e, r, "%s/%s is not a regular file", l->dir, name);
		return r < 0 ? err_errno(e, r, "%s/%s", l->dir, name) : 1;
	}
	return 0;
}

static int nothing(const struct funclog *l, const char *function, struct err *e)
{
	return err_errno(e, -ENOENT, "%s/%s.log", l->dir, function);
}

/* Appends up to `bytes` bytes from the offset on. Returns how many there were. */
static ssize_t read_from(const struct funclog *l, const struct file *f, int64_t offset, size_t bytes, struct buf *out,
			 struct err *e)
{
	ssize_t n;

	if (buf_reserve(out, bytes) < 0)
		return err_errno(e, -ENOMEM, "log in %s", l->dir);
	n = pread(f->fd, out->data + out->len, bytes, offset);
	if (n < 0)
		return err_errno(e, -errno, "log in %s", l->dir);
	out->len += (size_t)n;
	out->data[out->len] = '\0';
	return n;
}

/* ---- cursors ----------------------------------------------------------------------------------------------- */

static void cursor_write(char out[FUNCLOG_CURSOR_LEN + 1], const struct file *f, int64_t offset)
{
	snprintf(out, FUNCLOG_CURSOR_LEN + 1, "%" PRIx64 ".%" PRIx64 ".%" PRIx64, f ? f->st.ino : 0, f ? f->st.born_ns : 0, offset);
}

static bool cursor_read(const char *text, struct place *ret)
{
	uint64_t part[3] = {};

	for (int i = 0; i < 3; i++) {
		size_t digits = strspn(text, "0123456789abcdef");

		if (!digits || digits > 16 || text[digits] != (i < 2 ? '.' : '\0'))
			return false;
		part[i] = strtoull(text, NULL, 16);
		text += digits + 1;
	}
	if (part[1] > INT64_MAX || part[2] > INT64_MAX)
		return false;
	*ret = (struct place){ part[0], (int64_t)part[1], (int64_t)part[2] };
	return true;
}

/* ---- the end ----------------------------------------------------------------------------------------------- */

/* One byte more than asked for is read: it says whether the cut went through a line. */
int funclog_read_tail(const struct funclog *l, const char *function, size_t bytes, struct funclog_part *ret, struct err *e)
{
	CLEAN(files_done) struct files f = {};
	CLEAN(buf_done) struct buf tail = {};
	int64_t sum = 0, skip;
	const char *from, *nl;
	int r = 1;

	assert(bytes < INT64_MAX);
	cursor_write(ret->cursor, NULL, 0);
	while (r > 0 && sum <= (int64_t)bytes) {
		r = open_next(l, function, &f, e);
		if (r > 0)
			sum += f.list[f.n - 1].st.size;
	}
	if (r < 0)
		return r;
	if (!f.n)
		return nothing(l, function, e);
	skip = MAX(sum - (int64_t)bytes - 1, (int64_t)0);	/* lies in the oldest one */
	for (int i = f.n - 1; i >= 0; i--) {
		ssize_t n = read_from(l, &f.list[i], skip, (size_t)(f.list[i].st.size - skip), &tail, e);

		if (n < 0)
			return (int)n;
		skip = 0;
	}
	from = buf_str(&tail);
	if (tail.len > bytes) {
		nl = memchr(from, '\n', tail.len);
		from = nl ? nl + 1 : from + tail.len;
	}
	buf_add(&ret->text, from, tail.len - (size_t)(from - buf_str(&tail)));
	cursor_write(ret->cursor, &f.list[0], f.list[0].st.size);
	return 0;
}

/* ---- what came after --------------------------------------------------------------------------------------- */

/* Opens files down to the one that the place is in, else all of them: then the oldest is where one goes on. */
static int find(const struct funclog *l, const char *function, struct place *at, struct files *f, bool *ret_lost, struct err *e)
{
	for (;;) {
		int r = open_next(l, function, f, e);
		const struct funclog_stat *st;

		if (r < 0)
			return r;
		if (r == 0)
			break;
		st = &f->list[f->n - 1].st;
		if (st->ino != at->ino || st->born_ns != at->born_ns)
			continue;
		if (at->offset <= st->size)
			return 0;
		break;		/* somebody emptied it */
	}
	*ret_lost = at->ino;
	at->offset = 0;
	return f->n ? 0 : nothing(l, function, e);
}

/* The bytes from `start` on end in the middle of a file: not in the middle of a line, unless it is longer than all. */
static size_t cut(struct buf *b, size_t start, size_t begin)
{
	const char *nl = memrchr(b->data + start, '\n', b->len - start);
	size_t end = nl ? (size_t)(nl - b->data) + 1 : start > begin ? start : b->len;

	b->len = end;
	b->data[end] = '\0';
	return end - start;
}

int funclog_read_after(const struct funclog *l, const char *function, const char *cursor, size_t bytes, struct funclog_part *ret,
		       struct err *e)
{
	CLEAN(files_done) struct files f = {};
	struct place at;
	size_t begin = ret->text.len;
	int r;

	assert(bytes > 0);
	if (!cursor_read(cursor, &at))
		return err_set(e, -EINVAL, "is no cursor");
	cursor_write(ret->cursor, NULL, 0);
	r = find(l, function, &at, &f, &ret->lost, e);
	if (r < 0)
		return r;
	for (int i = f.n - 1; i >= 0 && !ret->more; i--) {
		const struct file *one = &f.list[i];
		size_t start = ret->text.len, room = bytes - (start - begin), left = (size_t)(one->st.size - at.offset);
		ssize_t n = read_from(l, one, at.offset, MIN(left, room), &ret->text, e);

		if (n < 0)
			return (int)n;
		ret->more = left > room;
		if (ret->more)
			n = room ? (ssize_t)cut(&ret->text, start, begin) : 0;
		cursor_write(ret->cursor, one, at.offset + n);
		at.offset = 0;
	}
	return 0;
}
