/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every environment has a buffer for its unfinished line, so lines of concurrent runs never mix; what is whole is
 * written in one write(), and what of it does not fit the disk is cut back, so that no half line is left for the next
 * one to be glued to. A line longer than LIM_STDERR_LINE becomes several: a program that never ends its line must not
 * grow our memory. Bytes pass as they are, NUL and control bytes too. Files are regular, so a write costs a copy into the page cache and never waits for the disk;
 * nothing is synced: a log is not a record. A file is opened for each write: a removed or rotated one is made anew, and
 * ten thousand functions hold no descriptors.
 *
 * A failing write loses lines, never a function: it is counted and said once a minute. The bound holds then too: a file
 * that cannot be moved out of the way takes no more.
 */
#include "ops/funclog.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "model/limits.h"

#define COMPLAIN_NS (60 * NS_PER_S)

struct stream {			/* one running environment */
	char function[LIM_FUNCTION_NAME_MAX + 1];
	char request_id[ID_UUID_LEN + 1];
	unsigned int attempt;
	struct buf part;	/* what is not written yet: START before the first output, the line that has no end yet */
	size_t line_at;		/* where in it that line begins */
};

struct funclog {
	struct port_log port;
	int dirfd;
	char *dir;
	int64_t max_bytes;
	struct map streams;	/* cgroup id → struct stream */
	int64_t lost, complained_ns;
};

static struct funclog *as_funclog(struct port_log *p)
{
	return container_of(p, struct funclog, port);
}

static void complain(struct funclog *l, const char *file, int error)
{
	int64_t now = clock_mono_ns();

	l->lost++;
	if (l->complained_ns && now - l->complained_ns < COMPLAIN_NS)
		return;
	l->complained_ns = now;
	log_warn("function log %s/%s: %s; %lld writes lost so far", l->dir, file, strerror(error), (long long)l->lost);
}

static void append(struct funclog *l, const char *function, const char *data, size_t len)
{
	char file[LIM_FUNCTION_NAME_MAX + 8], old[LIM_FUNCTION_NAME_MAX + 12];
	CLEAN(closep) int fd = -EBADF;
	struct stat st;
	ssize_t n;

	assert(!strchr(function, '/'));
	snprintf(file, sizeof(file), "%s.log", function);
	fd = openat(l->dirfd, file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0640);
	if (fd < 0 || fstat(fd, &st) < 0) {
		complain(l, file, errno);
		return;
	}
	if (!S_ISREG(st.st_mode)) {
		complain(l, file, ENOTSUP);
		return;
	}
	if (st.st_size && st.st_size + (int64_t)len > l->max_bytes) {
		snprintf(old, sizeof(old), "%s.1", file);
		if (renameat(l->dirfd, file, l->dirfd, old) < 0) {
			complain(l, old, errno);
			return;
		}
		closep(&fd);
		fd = openat(l->dirfd, file, O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
		if (fd < 0) {
			complain(l, file, errno);
			return;
		}
		st.st_size = 0;
	}
	n = write(fd, data, len);
	if (n == (ssize_t)len)
		return;
	complain(l, file, n < 0 ? errno : ENOSPC);
	if (n > 0 && ftruncate(fd, st.st_size) < 0)
		complain(l, file, errno);
}

static void f_start(struct port_log *p, uint64_t cgroup_id, const char *function, const char *request_id, int attempt)
{
	struct funclog *l = as_funclog(p);
	struct stream *s = XNEW(struct stream);
	void *twin;

	snprintf(s->function, sizeof(s->function), "%s", function);
	snprintf(s->request_id, sizeof(s->request_id), "%s", request_id);
	buf_addf(&s->part, "START RequestId: %s Version: $LATEST\n", request_id);
	s->attempt = (unsigned int)attempt;
	s->line_at = s->part.len;
	twin = map_put(&l->streams, cgroup_id, s);
	assert(!twin);
	/* START waits in the buffer for the first output or the end: one write for a run that says nothing. */
}

static void write_lines(struct funclog *l, struct stream *s)
{
	if (!s->line_at)
		return;
	append(l, s->function, s->part.data, s->line_at);
	memmove(s->part.data, s->part.data + s->line_at, s->part.len - s->line_at);
	s->part.len -= s->line_at;
	s->part.data[s->part.len] = '\0';
	s->line_at = 0;
}

static void end_line(struct stream *s)
{
	buf_addc(&s->part, '\n');
	s->line_at = s->part.len;
}

/* Of an environment that is not known (its end was reported) there is no place to write to. */
static void f_output(struct port_log *p, uint64_t cgroup_id, const char *data, size_t len)
{
	struct funclog *l = as_funclog(p);
	struct stream *s = map_get(&l->streams, cgroup_id);

	while (s && len) {
		const char *nl = memchr(data, '\n', len);
		size_t n = nl ? (size_t)(nl - data) : len, room = LIM_STDERR_LINE - (s->part.len - s->line_at);
		bool cut = n > room;

		if (cut)
			n = room;
		buf_add(&s->part, data, n);
		if (cut || nl)
			end_line(s);
		n += !cut && nl;	/* the newline itself; a cut took none */
		data += n;
		len -= n;
	}
	if (s)
		write_lines(l, s);
}

/* Lambda's words, made of a function's own error type among others: no line of them but ours. One tab ends them. */
static void add_summary(struct buf *b, const char *summary)
{
	size_t n = strlen(summary);

	while (n && (summary[n - 1] == '\t' || summary[n - 1] == '\n'))
		n--;
	for (size_t i = 0; i < n; i++)
		buf_addc(b, summary[i] == '\n' || summary[i] == '\r' ? ' ' : summary[i]);
	buf_adds(b, "\t");
}

static void stream_free(struct funclog *l, struct stream *s)
{
	write_lines(l, s);
	buf_done(&s->part);
	free(s);
}

static void f_end(struct port_log *p, uint64_t cgroup_id, const char *summary)
{
	struct funclog *l = as_funclog(p);
	struct stream *s = map_del(&l->streams, cgroup_id);

	if (!s)
		return;
	if (s->part.len > s->line_at)
		end_line(s);
	buf_addf(&s->part, "END RequestId: %s\nREPORT RequestId: %s\t", s->request_id, s->request_id);
	add_summary(&s->part, summary);
	end_line(s);
	log_msg(LOG_INF, &(struct log_ctx){ .function = s->function, .request_id = s->request_id, .attempt = s->attempt }, "%s", summary);
	stream_free(l, s);
}

static const struct port_log_ops ops = { .start = f_start, .output = f_output, .end = f_end };

int funclog_new(const char *dir, int64_t max_bytes, struct funclog **ret, struct err *e)
{
	struct funclog *l;
	int fd = open(dir, O_DIRECTORY | O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return err_errno(e, -errno, "%s", dir);
	l = XNEW(struct funclog);
	l->port.ops = &ops;
	l->dirfd = fd;
	l->dir = xstrdup(dir);
	l->max_bytes = max_bytes;
	*ret = l;
	return 0;
}

struct port_log *funclog_port(struct funclog *l)
{
	return &l->port;
}

int64_t funclog_lost(const struct funclog *l)
{
	return l->lost;
}

struct funclog *funclog_free(struct funclog *l)
{
	if (!l)
		return NULL;
	map_for_each(&l->streams, i, v) {
		struct stream *s = v;

		if (s->part.len > s->line_at)
			end_line(s);
		stream_free(l, s);
	}
	map_done(&l->streams);
	closep(&l->dirfd);
	free(l->dir);
	free(l);
	return NULL;
}

/* Appends at most the last `bytes` bytes of one file. */
static int read_end(const char *path, size_t bytes, struct buf *out, struct err *e)
{
	CLEAN(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;
	ssize_t n;
	size_t want;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_errno(e, -errno, "%s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(e, -ENOTSUP, "%s is not a regular file", path);
	want = MIN(bytes, (size_t)st.st_size);
	if (buf_reserve(out, want) < 0)
		return err_errno(e, -ENOMEM, "%s", path);
	n = pread(fd, out->data + out->len, want, st.st_size - (off_t)want);
	if (n < 0)
		return err_errno(e, -errno, "%s", path);
	out->len += (size_t)n;
	out->data[out->len] = '\0';
	return 0;
}

/* One byte more than asked for is read: it says whether the cut went through a line. */
int funclog_read_tail(const char *dir, const char *function, size_t bytes, struct buf *out, struct err *e)
{
	CLEAN(freep) char *now = xasprintf("%s/%s.log", dir, function);
	CLEAN(freep) char *old = xasprintf("%s/%s.log.1", dir, function);
	CLEAN(buf_done) struct buf current = {}, tail = {};
	const char *from, *nl;
	int r, older = 0;

	assert(!strchr(function, '/') && bytes < SIZE_MAX);
	r = read_end(now, bytes + 1, &current, e);
	if (r < 0 && r != -ENOENT)
		return r;
	if (current.len <= bytes) {
		older = read_end(old, bytes + 1 - current.len, &tail, r < 0 ? NULL : e);
		if (older < 0 && (older != -ENOENT || r < 0))
			return r < 0 ? r : older;
	}
	buf_add(&tail, current.data, current.len);
	from = buf_str(&tail);
	if (tail.len > bytes) {
		nl = memchr(from, '\n', tail.len);
		from = nl ? nl + 1 : from + tail.len;
	}
	buf_add(out, from, tail.len - (size_t)(from - buf_str(&tail)));
	return 0;
}
