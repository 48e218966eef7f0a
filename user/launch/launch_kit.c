/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is kept comes back under one name in no order we were promised. So each memory file begins with a label: whose
 * it is, which of the two, the inode numbers of the three pipes, the leader's pid. A pipe is known by its inode number,
 * the pidfd by what the kernel says of it in /proc/self/fdinfo.
 *
 * What is read of stdout and of the report goes into memory files by splice(): the kernel moves it from the pipe in one
 * call, which a SIGKILL ends between two pieces, never within one. So there is no moment at which bytes are in our own
 * memory alone, and the length is the file's size: nothing else has to be written to remember how far we were.
 *
 * The files' names and labels could be forged by whoever may talk to systemd in our name (NotifyAccess=): hence the checks.
 */
#include "launch/launch_kit.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/id.h"
#include "base/mem.h"
#include "model/limits.h"
#include "sys/sys_calls.h"

#define MOVE_CHUNK 65536u
#define LABEL_VERSION 1u

struct label {
	char magic[8];
	uint32_t version;
	uint32_t mem;			/* KIT_MEM_* */
	uint64_t cgroup_id;
	uint64_t pipe_ino[KIT_PIPES];	/* 0 = it has ended */
	int32_t pid;
	int32_t attempt;
	char request_id[40];
	uint32_t cut;
	uint32_t zero[7];
};
_Static_assert(sizeof(struct label) == 128, "the data begin behind it");
_Static_assert(ID_UUID_LEN < sizeof(((struct label *)0)->request_id), "and its end");
#define DATA_AT ((off_t)sizeof(struct label))

static const char magic[8] = { 'f', 'a', 't', 'e', 'd', 'k', 'i', 't' };
/* One byte more than the limit of a response: that is how the judge sees that there was more. */
static const size_t mem_max[KIT_MEMS] = { LIM_RESPONSE + 1, LIM_ERROR_REPORT };
static const int pipe_of[KIT_MEMS] = { KIT_OUT, KIT_REPORT };

/* ---- to make one ----------------------------------------------------------------------------------------------- */

int kit_mems(struct launch_kit *k, struct err *e)
{
	static const char *const names[KIT_MEMS] = { "stdout", "report" };

	for (int i = 0; i < KIT_MEMS; i++) {
		k->mem[i] = sys.memfd_create(names[i], 0);
		if (k->mem[i] < 0) {
			int r = k->mem[i];

			for (int m = 0; m < i; m++)
				sys_closep(&k->mem[m]);
			return err_errno(e, r, "memory file for the output");
		}
	}
	return 0;
}

int kit_label(const struct launch_kit *k, const struct kit_owner *o)
{
	struct label l = { .version = LABEL_VERSION, .cgroup_id = o->cgroup_id, .pid = o->pid, .attempt = o->attempt };
	struct stat st;
	int r;

	memcpy(l.magic, magic, sizeof(magic));
	snprintf(l.request_id, sizeof(l.request_id), "%s", o->request_id);
	for (int i = 0; i < KIT_PIPES; i++) {
		if (k->pipe[i] < 0)
			continue;
		r = sys.fstat(k->pipe[i], &st);
		if (r < 0)
			return r;
		l.pipe_ino[i] = st.st_ino;
	}
	for (uint32_t i = 0; i < KIT_MEMS; i++) {
		ssize_t n;

		l.mem = i;
		n = sys.pwrite(k->mem[i], &l, sizeof(l), 0);
		if (n != (ssize_t)sizeof(l))
			return n < 0 ? (int)n : -EIO;
	}
	return 0;
}

int kit_store(const struct launch_kit *k, const struct launch_keeper *keeper, const char *name)
{
	int fds[KIT_FDS], n = 0;

	for (int i = 0; i < KIT_PIPES; i++)
		if (k->pipe[i] >= 0)
			fds[n++] = k->pipe[i];
	for (int i = 0; i < KIT_MEMS; i++)
		fds[n++] = k->mem[i];
	fds[n++] = k->pidfd;
	return keeper->store(keeper->self, name, fds, (size_t)n);
}

/* ---- what goes through it -------------------------------------------------------------------------------------- */

/* For those after us: a cut response must not pass for the answer. The label's page is there, so this needs no room. */
static void note_cut(struct launch_kit *k, int mem)
{
	static const uint32_t yes = 1;

	k->mem_cut[mem] = true;
	(void)sys.pwrite(k->mem[mem], &yes, sizeof(yes), offsetof(struct label, cut));
}

ssize_t kit_move(struct launch_kit *k, int mem)
{
	size_t room = mem_max[mem] - k->mem_len[mem];
	ssize_t n;

	if (!room || k->mem_cut[mem])
		return -ENOBUFS;
	n = sys.splice(k->pipe[pipe_of[mem]], k->mem[mem], DATA_AT + (off_t)k->mem_len[mem], MIN(room, (size_t)MOVE_CHUNK));
	if (n > 0)
		k->mem_len[mem] += (size_t)n;
	else if (n < 0 && n != -EAGAIN)
		note_cut(k, mem);
	return n;
}

int kit_read(const struct launch_kit *k, int mem, struct blob **ret)
{
	size_t len = k->mem_len[mem], have = 0;
	CLEAN(blob_unrefp) struct blob *b = NULL;

	*ret = NULL;
	if (!len)
		return 0;
	b = blob_new(NULL, len);
	if (!b)
		return -ENOMEM;
	while (have < len) {
		ssize_t n = sys.pread(k->mem[mem], b->data + have, len - have, DATA_AT + (off_t)have);

		if (n <= 0)
			return n < 0 ? (int)n : -EIO;
		have += (size_t)n;
	}
	*ret = TAKE(b);
	return 0;
}

/* ---- to know one again ----------------------------------------------------------------------------------------- */

/* A memory file with a label? The seals are asked for because only a memory file has any: a file on a disk that hangs
 * would hang us. */
static bool read_label(int fd, struct label *ret)
{
	return sys.fcntl(fd, F_GET_SEALS, 0) >= 0 && sys.pread(fd, ret, sizeof(*ret), 0) == (ssize_t)sizeof(*ret) &&
	       memcmp(ret->magic, magic, sizeof(magic)) == 0;
}

/* The pid as the kernel has it, -1 = it has ended; 0: no pidfd. */
static int pid_of(int fd)
{
	char path[64], text[1024], *p;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	if (sys_read_file(AT_FDCWD, path, text, sizeof(text)) < 0)
		return 0;
	p = strstr(text, "\nPid:\t");
	return p ? (int)strtol(p + 6, NULL, 10) : 0;
}

static int odd(struct err *e, const char *why)
{
	return err_set(e, -ENOENT, "its descriptors came back wrong: %s", why);
}

static int place_mem(const struct label *l, const struct stat *st, const struct kit_owner *o, int fd, struct launch_kit *ret,
		     struct err *e)
{
	uint32_t m = l->mem;
	off_t len = st->st_size - DATA_AT;

	if (l->version != LABEL_VERSION)
		return err_set(e, -ENOENT, "its descriptors were kept by another version of fated (label %" PRIu32 ")", l->version);
	if (l->cgroup_id != o->cgroup_id || l->attempt != o->attempt || !memchr(l->request_id, 0, sizeof(l->request_id)) ||
	    strcmp(l->request_id, o->request_id) != 0)
		return odd(e, "a memory file is of another attempt");
	if (m >= KIT_MEMS || ret->mem[m] >= 0)
		return odd(e, "there is a memory file too many");
	if (len < 0 || (size_t)len > mem_max[m])
		return odd(e, "a memory file has an impossible length");
	ret->mem[m] = fd;
	ret->mem_len[m] = (size_t)len;
	ret->mem_cut[m] = l->cut;
	return 0;
}

static int place_pipe(const struct label *l, ino_t ino, int fd, struct launch_kit *ret, struct err *e)
{
	int flags = sys.fcntl(fd, F_GETFL, 0);

	if (flags < 0 || (flags & O_ACCMODE) == O_WRONLY)
		return odd(e, "a pipe that cannot be read");
	for (int i = 0; i < KIT_PIPES; i++) {
		if (l->pipe_ino[i] != ino)
			continue;
		if (ret->pipe[i] >= 0)
			return odd(e, "there is a pipe too many");
		/* A write end that may be read, too, is not ours; one that waits would stop the loop. */
		if (!(flags & O_NONBLOCK) && sys.fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
			return odd(e, "a pipe that waits");
		ret->pipe[i] = fd;
		return 0;
	}
	return odd(e, "a pipe that is not known");
}

static int place_pidfd(const struct label *l, int fd, struct launch_kit *ret, struct err *e)
{
	int pid = pid_of(fd);

	if (!pid)
		return odd(e, "a descriptor that is not known");
	if (ret->pidfd >= 0 || (pid > 0 && pid != l->pid))
		return odd(e, "a process that is not its leader");
	ret->pidfd = fd;
	return 0;
}

/* The labels first: without one nothing else can be placed. */
static int place_mems(const struct launch_kept *v, size_t n, const struct kit_owner *o, struct launch_kit *ret, struct label *first,
		      struct err *e)
{
	struct label l = {};
	struct stat st;
	int r;

	for (size_t i = 0; i < n; i++) {
		if (!read_label(v[i].fd, &l))
			continue;
		if (sys.fstat(v[i].fd, &st) < 0)
			return odd(e, "a memory file that cannot be looked at");
		r = place_mem(&l, &st, o, v[i].fd, ret, e);
		if (r < 0)
			return r;
		l.mem = l.cut = 0;
		if (ret->mem[KIT_MEM_OUT] >= 0 && ret->mem[KIT_MEM_REPORT] >= 0 && memcmp(&l, first, sizeof(l)) != 0)
			return odd(e, "the memory files contradict each other");
		*first = l;
	}
	return ret->mem[KIT_MEM_OUT] < 0 || ret->mem[KIT_MEM_REPORT] < 0 ? odd(e, "a memory file is missing") : 0;
}

int kit_recognise(const struct launch_kept *v, size_t n, const struct kit_owner *o, struct launch_kit *ret, struct err *e)
{
	struct launch_kit k = KIT_NONE;
	struct label l = {};
	struct stat st;
	int r = place_mems(v, n, o, &k, &l, e);

	for (size_t i = 0; r == 0 && i < n; i++) {
		if (v[i].fd == k.mem[KIT_MEM_OUT] || v[i].fd == k.mem[KIT_MEM_REPORT])
			continue;
		if (sys.fstat(v[i].fd, &st) < 0)
			r = odd(e, "one that cannot be looked at");
		else
			r = S_ISFIFO(st.st_mode) ? place_pipe(&l, st.st_ino, v[i].fd, &k, e) : place_pidfd(&l, v[i].fd, &k, e);
	}
	for (int i = 0; r == 0 && i < KIT_PIPES; i++)
		if (k.pipe[i] < 0 && l.pipe_ino[i])
			r = odd(e, "a pipe is missing");
	if (r == 0 && k.pidfd < 0)
		r = odd(e, "the leader's is missing");
	if (r == 0)
		*ret = k;
	return r;
}

void kit_close(struct launch_kit *k)
{
	for (int i = 0; i < KIT_PIPES; i++)
		sys_closep(&k->pipe[i]);
	for (int i = 0; i < KIT_MEMS; i++)
		sys_closep(&k->mem[i]);
	sys_closep(&k->pidfd);
}
