/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every environment has a buffer for its unfinished line, so lines of concurrent runs never mix; what is whole is
 * written in one write(). Files are regular, so a write costs a copy into the page cache and never waits for the disk;
 * nothing is synced: a log is not a record. A file is opened for each write: a removed or rotated one is made anew, and
 * ten thousand functions hold no descriptors.
 *
 * A failing write loses lines, never a function: it is counted and said once a minute.
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
	struct buf part;	/* the line that has no end yet */
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
		(void)renameat(l->dirfd, file, l->dirfd, old);
		closep(&fd);
		fd = openat(l->dirfd, file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
		if (fd < 0) {
			complain(l, file, errno);
			return;
		}
	}
	n = write(fd, data, len);
	if (n != (ssize_t)len)
		complain(l, file, n < 0 ? errno : ENOSPC);
}

static void f_start(struct port_log *p, uint64_t cgroup_id, const char *function, const char *request_id, int attempt)
{
	struct funclog *l = as_funclog(p);
	struct stream *s = XNEW(struct stream);
	void *twin;

	snprintf(s->function, sizeof(s->function), "%s", function);
	snprintf(s->request_id, sizeof(s->request_id), "%s", request_id);
	s->attempt = (unsigned int)attempt;
	buf_addf(&s->part, "START RequestId: %s Version: $LATEST\n", request_id);
	twin = map_put(&l->streams, cgroup_id, s);
	assert(!twin);
	/* START waits in the buffer for the first output or the end: one write for a run that says nothing. */
}

static void write_out(struct funclog *l, struct stream *s, size_t len)
{
	if (!len)
		return;
	append(l, s->function, s->part.data, len);
	memmove(s->part.data, s->part.data + len, s->part.len - len);
	s->part.len -= len;
	s->part.data[s->part.len] = '\0';
}

static void f_output(struct port_log *p, uint64_t cgroup_id, const char *data, size_t len)
{
	struct funclog *l = as_funclog(p);
	struct stream *s = map_get(&l->streams, cgroup_id);
	const char *end;

	if (!s)
		return;
	buf_add(&s->part, data, len);
	end = memrchr(s->part.data, '\n', s->part.len);
	if (end)
		write_out(l, s, (size_t)(end - s->part.data) + 1);
	while (s->part.len > LIM_STDERR_LINE) {		/* a line without end is cut into lines */
		struct buf rest = {};

		buf_add(&rest, s->part.data + LIM_STDERR_LINE, s->part.len - LIM_STDERR_LINE);
		s->part.len = LIM_STDERR_LINE;
		buf_addc(&s->part, '\n');
		write_out(l, s, s->part.len);
		buf_add(&s->part, rest.data, rest.len);
		buf_done(&rest);
	}
}

static void f_end(struct port_log *p, uint64_t cgroup_id, const char *summary)
{
	struct funclog *l = as_funclog(p);
	struct stream *s = map_del(&l->streams, cgroup_id);

	if (!s)
		return;
	if (s->part.len && s->part.data[s->part.len - 1] != '\n')
		buf_addc(&s->part, '\n');
	buf_addf(&s->part, "END RequestId: %s\nREPORT RequestId: %s\t%s\t\n", s->request_id, s->request_id, summary);
	write_out(l, s, s->part.len);
	log_msg(LOG_INF, &(struct log_ctx){ .function = s->function, .request_id = s->request_id, .attempt = s->attempt }, "%s", summary);
	buf_done(&s->part);
	free(s);
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

struct funclog *funclog_free(struct funclog *l)
{
	if (!l)
		return NULL;
	map_for_each(&l->streams, i, v) {
		struct stream *s = v;

		write_out(l, s, s->part.len);
		buf_done(&s->part);
		free(s);
	}
	map_done(&l->streams);
	closep(&l->dirfd);
	free(l->dir);
	free(l);
	return NULL;
}

/* Appends the last `bytes` bytes of one file; how many there were in it goes to *ret_size. */
static int read_end(const char *path, size_t bytes, struct buf *out, size_t *ret_size, struct err *e)
{
	CLEAN(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;
	ssize_t n;
	size_t want;

	*ret_size = 0;
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_errno(e, -errno, "%s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(e, -ENOTSUP, "%s is not a regular file", path);
	*ret_size = (size_t)st.st_size;
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

int funclog_read_tail(const char *dir, const char *function, size_t bytes, struct buf *out, struct err *e)
{
	CLEAN(freep) char *now = xasprintf("%s/%s.log", dir, function);
	CLEAN(freep) char *old = xasprintf("%s/%s.log.1", dir, function);
	CLEAN(buf_done) struct buf tail = {};
	CLEAN(buf_done) struct buf current = {};
	size_t size, old_size = 0, total;
	const char *from;
	int r;

	assert(!strchr(function, '/'));
	r = read_end(now, bytes, &current, &size, e);
	if (r < 0)
		return r;
	if (size < bytes)
		(void)read_end(old, bytes - size, &tail, &old_size, NULL);
	buf_add(&tail, current.data, current.len);
	total = size + old_size;
	from = buf_str(&tail);
	if (total > tail.len) {		/* the cut went through a line: begin with the next */
		const char *nl = memchr(from, '\n', tail.len);

		from = nl ? nl + 1 : from + tail.len;
	}
	buf_add(out, from, tail.len - (size_t)(from - buf_str(&tail)));
	return 0;
}
