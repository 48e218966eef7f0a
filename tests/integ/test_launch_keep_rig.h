/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * systemd as a launcher sees it: a socket that takes sd_notify messages and a store of descriptors by name. And the daemon
 * before this one: a child that starts environments and is killed.
 */
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/id.h"
#include "integ/test_launch_rig.h"
#include "launch/launch_keep.h"

#define STORE_MAX 1024

struct systemd {
	int sock;
	struct { char name[256]; int fd; } v[STORE_MAX];
	size_t n;
	unsigned int stores, removes;
};

static inline struct systemd *systemd_up(void)
{
	struct systemd *s = XNEW(struct systemd);
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	static unsigned int serial;
	char name[64];
	int len = snprintf(name, sizeof(name), "@fated-test-%d-%u", (int)getpid(), serial++);

	memcpy(a.sun_path + 1, name + 1, (size_t)len - 1);
	s->sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	CHECK(s->sock >= 0);
	CHECK(bind(s->sock, (struct sockaddr *)&a, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)len)) == 0);
	CHECK(setenv("NOTIFY_SOCKET", name, 1) == 0);
	return s;
}

static inline void systemd_drop(struct systemd *s, size_t i)
{
	close(s->v[i].fd);
	s->v[i] = s->v[--s->n];
}

static inline void systemd_down(struct systemd *s)
{
	while (s->n)
		systemd_drop(s, 0);
	close(s->sock);
	unsetenv("NOTIFY_SOCKET");
	free(s);
}

static inline const char *line_of(const char *text, const char *key, char *ret, size_t size)
{
	size_t n = strlen(key);

	for (const char *p = text; p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL)
		if (strncmp(p, key, n) == 0 && p[n] == '=') {
			snprintf(ret, size, "%.*s", (int)strcspn(p + n + 1, "\n"), p + n + 1);
			return ret;
		}
	return "";
}

static inline void systemd_message(struct systemd *s, const char *text, const int *fds, size_t n)
{
	char name[256], v[16];

	CHECK(strlen(line_of(text, "FDNAME", name, sizeof(name))) > 0);
	if (strcmp(line_of(text, "FDSTOREREMOVE", v, sizeof(v)), "1") == 0) {
		CHECK_INT(n, 0);
		s->removes++;
		for (size_t i = s->n; i-- > 0;)
			if (strcmp(s->v[i].name, name) == 0)
				systemd_drop(s, i);
		return;
	}
	/* Else systemd would watch them and drop those whose other end is gone, with what is in them. */
	CHECK_STR(line_of(text, "FDPOLL", v, sizeof(v)), "0");
	CHECK_STR(line_of(text, "FDSTORE", v, sizeof(v)), "1");
	CHECK(n > 0);
	s->stores++;
	for (size_t i = 0; i < n; i++) {
		CHECK(s->n < STORE_MAX);
		snprintf(s->v[s->n].name, sizeof(s->v[0].name), "%s", name);
		s->v[s->n++].fd = fds[i];
	}
}

/* Takes what is there. */
static inline void systemd_pump(struct systemd *s)
{
	for (;;) {
		union { char data[CMSG_SPACE(32 * sizeof(int))]; struct cmsghdr align; } control = {};
		char text[1024];
		struct iovec iov = { text, sizeof(text) - 1 };
		struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.data,
				    .msg_controllen = sizeof(control.data) };
		ssize_t got = recvmsg(s->sock, &m, MSG_CMSG_CLOEXEC);
		struct cmsghdr *c = got >= 0 ? CMSG_FIRSTHDR(&m) : NULL;
		int fds[32];
		size_t n = 0;

		if (got < 0)
			return;
		text[got] = '\0';
		CHECK(!(m.msg_flags & (MSG_CTRUNC | MSG_TRUNC)));
		if (c && c->cmsg_type == SCM_RIGHTS) {
			n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
			memcpy(fds, CMSG_DATA(c), n * sizeof(int));
		}
		systemd_message(s, text, fds, n);
	}
}

static inline size_t systemd_has(struct systemd *s, const char *name)
{
	size_t n = 0;

	systemd_pump(s);
	for (size_t i = 0; i < s->n; i++)
		n += strcmp(s->v[i].name, name) == 0;
	return n;
}

#define UNTIL_STORE(s, cond) do { \
	for (int64_t _began = clock_mono_ns(); systemd_pump(s), !(cond); ) { \
		struct pollfd _p = { .fd = (s)->sock, .events = POLLIN }; \
		(void)poll(&_p, 1, 5); \
		CHECK(clock_mono_ns() - _began < HANG_NS); \
	} } while (0)

/* As after a restart: copies. */
static inline struct launch_kept_list systemd_hand_over(struct systemd *s)
{
	struct launch_kept_list l = {};

	systemd_pump(s);
	for (size_t i = 0; i < s->n; i++) {
		int fd = fcntl(s->v[i].fd, F_DUPFD_CLOEXEC, 0);

		CHECK(fd >= 0);
		launch_kept_add(&l, s->v[i].name, fd);
	}
	return l;
}

/* ---- the daemon before this one ------------------------------------------------------------------------------- */

#define BEFORE_MAX 16

/* One environment, as the earlier daemon wrote it down before it started it. */
struct row { uint64_t id; char name[64], leaf[4200]; };

struct before {
	pid_t pid;
	int rows;		/* of struct row */
	unsigned int serial;
	struct row v[BEFORE_MAX];
	size_t n;
};

static volatile sig_atomic_t before_told;

static inline void before_on_term(int sig)
{
	before_told = 1;
}

/* SIGTERM: it leaves them running and ends. */
static inline void before_main(struct func **f, size_t n, int rows)
{
	struct env_proc *all[BEFORE_MAX] = {};
	struct launch_keeper *k = NULL;
	struct rig *r;
	struct err e = {};

	CHECK_INT(launch_keep_new(&k, &e), 0);
	rig_keep.keeper = k;
	rig_terms.keep = true;
	r = rig_up();
	for (size_t i = 0; i < n; i++) {
		struct row row = {};
		struct run run;

		if (rig_prepare(r, f[i], NULL, &run, &e) < 0)
			FAIL("%s", err_msg(&e));
		row.id = run.id;
		snprintf(row.leaf, sizeof(row.leaf), "%s", run.leaf);
		snprintf(row.name, sizeof(row.name), "%s", strrchr(run.leaf, '/') + 1);
		if (write(rows, &row, sizeof(row)) != (ssize_t)sizeof(row))
			_exit(1);
		if (r->port->ops->start(r->port, run.p, &e) < 0)
			FAIL("%s", err_msg(&e));
		all[i] = run.p;
	}
	while (!before_told && sd_event_run(r->loop, 10000) >= 0)
		;
	for (size_t i = 0; i < n; i++)
		r->port->ops->abandon(r->port, all[i]);
	launch_free(r->launch);
	launch_keep_free(k);
	cg_tree_free(r->tree, true);
	_exit(0);
}

/* Drops the caller's references of the functions, NULL-terminated. */
static inline void before_up(struct before *b, struct func **f)
{
	int fds[2];
	size_t n = 0;

	while (f[n])
		n++;
	*b = (struct before){ .serial = rig_serial };
	CHECK(n <= BEFORE_MAX && pipe2(fds, O_CLOEXEC) == 0);
	fflush(stdout);
	b->pid = fork();
	if (b->pid == 0) {
		signal(SIGTERM, before_on_term);
		if (setjmp(test_jmp) == 0)
			before_main(f, n, fds[1]);
		fprintf(stderr, "%s\n", test_why);
		_exit(1);
	}
	(void)id_random64();	/* a child has our numbers to come; a real daemon has its own */
	close(fds[1]);
	b->rows = fds[0];
	for (size_t i = 0; i < n; i++)
		func_unref(f[i]);
	rig_serial += (unsigned int)n + 2;
}
#define BEFORE(b, ...) before_up((b), (struct func *[]){ __VA_ARGS__, NULL })

static inline void before_rows(struct before *b)
{
	while (b->n < BEFORE_MAX && read(b->rows, &b->v[b->n], sizeof(b->v[0])) == (ssize_t)sizeof(b->v[0]))
		b->n++;
	close(b->rows);
}

static inline void before_killed(struct before *b)
{
	int status;

	CHECK(kill(b->pid, SIGKILL) == 0);
	CHECK(waitpid(b->pid, &status, 0) == b->pid);
	CHECK_INT(status, SIGKILL);
	before_rows(b);
}

static inline void before_told_to_go(struct before *b)
{
	int status;

	CHECK(kill(b->pid, SIGTERM) == 0);
	CHECK(waitpid(b->pid, &status, 0) == b->pid);
	CHECK_INT(status, 0);
	before_rows(b);
}

/* The daemon after it, in this process, on the same tree. */
static inline struct rig *after_up(struct before *b, struct systemd *s, struct launch_keeper **k)
{
	struct launch_kept_list kept = systemd_hand_over(s);
	unsigned int serial = rig_serial;
	struct err e = {};
	struct rig *r;

	*k = NULL;
	CHECK_INT(launch_keep_new(k, &e), 0);
	rig_keep.keeper = *k;
	rig_keep.kept = &kept;
	rig_serial = b->serial;
	r = rig_up();
	rig_serial = serial;
	memset(&rig_keep, 0, sizeof(rig_keep));
	CHECK(!kept.n && !kept.v);
	r->tree->made_root = r->tree->made_env = true;	/* by the one before us */
	return r;
}

static inline void after_down(struct rig *r, struct systemd *s, struct launch_keeper *k)
{
	rig_down(r);
	launch_keep_free(k);
	systemd_pump(s);
	CHECK_INT(s->n, 0);	/* nothing is kept for nobody */
	systemd_down(s);
}

static inline int after_try(struct rig *r, const struct row *row, struct run *run, struct err *e)
{
	struct func *f = SH("never run");
	struct launch_adopt a = { .cgroup_id = row->id, .func = f, .request_id = RIG_REQUEST, .attempt = RIG_ATTEMPT };
	int res;

	*run = (struct run){ .id = row->id };
	snprintf(run->leaf, sizeof(run->leaf), "%s", row->leaf);
	res = r->port->ops->adopt(r->port, &a, &run->p, e);
	func_unref(f);
	return res;
}

static inline struct run after_adopt(struct rig *r, const struct row *row)
{
	struct err e = {};
	struct run run;

	if (after_try(r, row, &run, &e) < 0)
		FAIL("adopt: %s", err_msg(&e));
	return run;
}

/* The end of an adopted one: no status, and why. */
static inline void after_wait(struct rig *r, struct run *run)
{
	const struct fact *f;

	rig_wait(r, run);
	f = &r->facts[fact_at(r, run->id, FACT_WAIT)];
	CHECK_INT(f->error, ECHILD);
	CHECK_INT(f->wait_status, 0);
}
