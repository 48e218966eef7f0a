/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A journal for tests: the socket /run/systemd/journal/socket in a mount namespace of this program's own, and a reader
 * of its protocol (systemd's "Native Journal Protocol": FIELD=value\n, or FIELD\n, the length as 64 bits little endian,
 * value, \n; an entry too large for a datagram comes as a file descriptor).
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stddef.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "lib/test.h"

#define RIG_SOCKET "/run/systemd/journal/socket"
#define RIG_FIELDS_MAX 32

static struct {
	char why_not[160];	/* the namespace could not be had: every test is skipped with this */
	int fd;
	struct buf entry;
	bool by_descriptor;
	struct { char name[64]; struct buf value; } fields[RIG_FIELDS_MAX];
	int n_fields;
} rig = { .fd = -1 };

static void rig_write(const char *path, const char *fmt, unsigned int id)
{
	FILE *f = fopen(path, "we");

	if (f) {
		(void)fprintf(f, fmt, id);
		fclose(f);
	}
}

/* Once, before there is a second thread. As root, or with a user namespace where they are allowed. */
static void rig_enter(void)
{
	unsigned int uid = geteuid(), gid = getegid();

	if (uid != 0 && unshare(CLONE_NEWUSER) == 0) {
		rig_write("/proc/self/setgroups", "deny", 0);
		rig_write("/proc/self/uid_map", "0 %u 1", uid);
		rig_write("/proc/self/gid_map", "0 %u 1", gid);
	}
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", "/run", "tmpfs", 0, "size=1m,mode=755") < 0 || mkdir("/run/systemd", 0755) < 0 ||
	    mkdir("/run/systemd/journal", 0755) < 0)
		snprintf(rig.why_not, sizeof(rig.why_not), "no mount namespace for a journal of our own: %s", strerror(errno));
}

static void rig_hang_up(void)	/* the socket's name stays, nobody is behind it */
{
	if (rig.fd >= 0)
		close(rig.fd);
	rig.fd = -1;
}

static void rig_close(void)
{
	rig_hang_up();
	for (int i = 0; i < RIG_FIELDS_MAX; i++)
		buf_done(&rig.fields[i].value);
	buf_done(&rig.entry);
	if (rig.why_not[0])
		return;
	(void)unlink(RIG_SOCKET);
}

/* A new, empty journal. */
static void rig_open(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX, .sun_path = RIG_SOCKET };

	if (rig.why_not[0])
		SKIP("%s", rig.why_not);
	rig_close();
	rig.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	CHECK(rig.fd >= 0);
	CHECK(bind(rig.fd, (struct sockaddr *)&sa, sizeof(sa)) == 0);
}

static bool rig_empty(void)
{
	char c;

	return recv(rig.fd, &c, 1, MSG_PEEK) < 0 && errno == EAGAIN;
}

static inline bool rig_by_descriptor(void)
{
	return rig.by_descriptor;
}

static void rig_read_descriptor(int fd)
{
	char chunk[65536];
	ssize_t n;
	off_t at = 0;

	rig.by_descriptor = true;
	while ((n = pread(fd, chunk, sizeof(chunk), at)) > 0) {
		buf_add(&rig.entry, chunk, (size_t)n);
		at += n;
	}
	close(fd);
}

static void rig_parse(void)
{
	const char *p = rig.entry.data, *end = p + rig.entry.len;

	rig.n_fields = 0;
	while (p < end) {
		const char *nl = memchr(p, '\n', (size_t)(end - p)), *eq;
		const char *value, *after;
		size_t name_len;

		CHECK(nl);
		eq = memchr(p, '=', (size_t)(nl - p));
		if (eq) {
			name_len = (size_t)(eq - p);
			value = eq + 1;
			after = nl;
		} else {
			uint64_t len = 0;

			CHECK(end - nl > 9);
			for (int i = 8; i > 0; i--)
				len = len << 8 | (unsigned char)nl[i];
			name_len = (size_t)(nl - p);
			value = nl + 9;
			CHECK(len < (uint64_t)(end - value));
			after = value + len;
			CHECK(*after == '\n');
		}
		CHECK(rig.n_fields < RIG_FIELDS_MAX && name_len && name_len < sizeof(rig.fields[0].name));
		memcpy(rig.fields[rig.n_fields].name, p, name_len);
		rig.fields[rig.n_fields].name[name_len] = '\0';
		buf_clear(&rig.fields[rig.n_fields].value);
		buf_add(&rig.fields[rig.n_fields].value, value, (size_t)(after - value));
		rig.n_fields++;
		p = after + 1;
	}
}

/* Takes one entry out of the socket, where it must be already. */
static void rig_receive(void)
{
	static char data[1 << 20];
	union { struct cmsghdr h; char room[CMSG_SPACE(sizeof(int))]; } control;
	struct iovec iov = { data, sizeof(data) };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(rig.fd, &m, MSG_CMSG_CLOEXEC);
	struct cmsghdr *c;
	int fd;

	if (n < 0)
		FAIL("no entry in the journal: %s", strerror(errno));
	buf_clear(&rig.entry);
	buf_add(&rig.entry, data, (size_t)n);
	rig.by_descriptor = false;
	c = CMSG_FIRSTHDR(&m);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
		rig_read_descriptor(fd);
	}
	rig_parse();
}

/* The value, NULL when the entry has no such field. A field that is there twice is a failure. */
static const char *rig_field(const char *name)
{
	const char *found = NULL;

	for (int i = 0; i < rig.n_fields; i++) {
		if (strcmp(rig.fields[i].name, name) != 0)
			continue;
		if (found)
			FAIL("%s is there twice", name);
		found = buf_str(&rig.fields[i].value);
	}
	return found;
}
