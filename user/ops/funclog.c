/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every environment has a buffer for its unfinished line, so lines of concurrent runs never mix; what is whole is
 * written in one write(), and what of it does not fit the disk is cut back, so that no half line is left for the next
 * one to be glued to. A line longer than LIM_STDERR_LINE becomes several: a program that never ends its line must not
 * grow our memory. Bytes pass as they are, NUL and control bytes too. Files are regular, so a write costs a copy into the
 * page cache and never waits for the disk; nothing is synced: a log is not a record. A file is opened for each write: a
 * removed or rotated one is made anew, and ten thousand functions hold no descriptors.
 *
 * A failing write loses lines, never a function: it is counted and said once a minute. The bound holds then too: a file
 * that cannot be moved out of the way takes no more.
 *
 * Here is the writer; funclog_file.c knows the files, funclog_sweep.c removes the old ones, funclog_read.c reads.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/mem.h"
#include "ops/funclog_int.h"

#define COMPLAIN_NS (60 * NS_PER_S)

struct stream {			/* one running environment */
	char function[LIM_FUNCTION_NAME_MAX + 1];
	char request_id[ID_UUID_LEN + 1];
	unsigned int attempt;
	struct buf part;	/* what is not written yet: START before the first output, the line that has no end yet */
	size_t line_at;		/* where in it that line begins */
};

static struct funclog *as_funclog(struct port_log *p)
{
	return container_of(p, struct funclog, port);
}

static void complain(struct funclog *l, const char *file, int error)
{
	int64_t now = l->clock->mono_ns(l->clock->self);

	l->lost++;
	if (l->complained_ns && now - l->complained_ns < COMPLAIN_NS)
		return;
	l->complained_ns = now;
	log_warn("function log %s/%s: %s; %lld writes lost so far", l->dir, file, strerror(error), (long long)l->lost);
}

static bool is_full(const struct funclog *l, const struct funclog_stat *st, size_t len)
{
	if (!st->size)
		return false;
	return st->size + (int64_t)len > l->max_bytes ||
	       (l->max_age_ms && l->clock->wall_ms(l->clock->self) - st->first_ms > l->max_age_ms);
}

/* Somebody took the directory away, and what is written to it would be lost for as long as we live. */
static void make_again(struct funclog *l)
{
	int fd;

	(void)mkdir(l->dir, 0750);
	fd = open(l->dir, O_DIRECTORY | O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return;
	closep(&l->dirfd);
	l->dirfd = fd;
	log_warn("function logs: %s was gone and is made again", l->dir);
}

static int open_current(const struct funclog *l, const char *file)
{
	return openat(l->dirfd, file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0640);
}

static void append(struct funclog *l, const char *function, const char *data, size_t len)
{
	char file[FUNCLOG_NAME_SIZE];
	CLEAN(closep) int fd = -EBADF;
	struct funclog_stat st;
	ssize_t n;
	int r;

	funclog_file_name(file, function, 0);
	fd = open_current(l, file);
	if (fd < 0 && errno == ENOENT) {	/* with O_CREAT: the directory itself */
		make_again(l);
		fd = open_current(l, file);
	}
	r = fd < 0 ? -errno : funclog_file_stat(fd, "", &st);
	if (r < 0) {
		complain(l, file, -r);
		return;
	}
	if (is_full(l, &st, len)) {
		r = funclog_file_rotate(l, function);
		if (r < 0) {
			complain(l, file, -r);
			return;
		}
		closep(&fd);
		fd = openat(l->dirfd, file, O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
		if (fd < 0) {
			complain(l, file, errno);
			return;
		}
		st.size = 0;
	}
	n = write(fd, data, len);
	if (n == (ssize_t)len)
		return;
	complain(l, file, n < 0 ? errno : ENOSPC);
	if (n > 0 && ftruncate(fd, st.size) < 0)
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

static void f_outcome(struct port_log *p, const struct log_outcome *o)
{
	char env[24];
	const struct log_ctx ctx = {
		.function = o->function, .request_id = o->request_id, .env = o->cgroup_id ? env : NULL,
		.attempt = (unsigned int)o->attempt,
	};

	snprintf(env, sizeof(env), "%" PRIu64, o->cgroup_id);
	log_msg(o->hosts_fault ? LOG_WARN : LOG_INF, &ctx, "%s: %s", o->verdict, o->text);
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
	stream_free(l, s);
}

static const struct port_log_ops ops = { .start = f_start, .output = f_output, .end = f_end, .outcome = f_outcome };

int funclog_new(sd_event *loop, const struct funclog_config *cfg, struct funclog **ret, struct err *e)
{
	struct funclog *l;
	int fd = open(cfg->dir, O_DIRECTORY | O_RDONLY | O_CLOEXEC), r;

	assert(cfg->clock && cfg->files >= 0 && cfg->files <= FUNCLOG_FILES_MAX && cfg->max_age_ms >= 0);
	if (fd < 0)
		return err_errno(e, -errno, "%s", cfg->dir);
	l = XNEW(struct funclog);
	l->port.ops = &ops;
	l->clock = cfg->clock;
	l->dirfd = fd;
	l->dir = xstrdup(cfg->dir);
	l->max_bytes = cfg->max_bytes;
	l->max_age_ms = cfg->max_age_ms;
	l->files = cfg->files;
	r = loop ? funclog_sweep_start(l, loop, e) : 0;
	if (r < 0) {
		funclog_free(l);
		return r;
	}
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
	funclog_sweep_stop(l);
	closep(&l->dirfd);
	free(l->dir);
	free(l);
	return NULL;
}
