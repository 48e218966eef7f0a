/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every system call of a launch fails once: the first, then the second, and so on until a whole life passes without
 * reaching the failing one. Whatever fails, the answer is a sentence, and no descriptor, process or group stays.
 *
 * Left out: waitid() on our own pidfd, which cannot fail but by somebody else's wait. close() does its work and then
 * answers with the error, as the kernel's does.
 */
#include <sys/wait.h>

#include "integ/test_launch_keep_rig.h"
#include "sys/sys_calls.h"

#define EVENT_LARGE 100000u	/* goes through the memory file */
#define CALLS_MAX 400

static struct sys_calls real;
static int nth, countdown;	/* the call that fails; the worker's clone counts too */
static const char *failed;	/* its name, once it has */
static const int failed_with = ENFILE;

static bool hit(const char *name)
{
	if (__atomic_sub_fetch(&countdown, 1, __ATOMIC_RELAXED) != 0)
		return false;
	failed = name;
	return true;
}

#define FAULT(type, name, params, args) static type f_##name params { return hit(#name) ? -failed_with : real.name args; }
FAULT(int, openat, (int d, const char *p, int f, mode_t m), (d, p, f, m))
FAULT(int, open_by_id, (int fd, uint64_t id, int f), (fd, id, f))
FAULT(ssize_t, readlink, (const char *p, char *b, size_t n), (p, b, n))
FAULT(ssize_t, pread, (int fd, void *b, size_t n, off_t at), (fd, b, n, at))
FAULT(int, mkdirat, (int d, const char *p, mode_t m), (d, p, m))
FAULT(int, unlinkat, (int d, const char *p, int f), (d, p, f))
FAULT(int, fstat, (int fd, struct stat *st), (fd, st))
FAULT(ssize_t, read, (int fd, void *b, size_t n), (fd, b, n))
FAULT(ssize_t, write, (int fd, const void *b, size_t n), (fd, b, n))
FAULT(ssize_t, pwrite, (int fd, const void *b, size_t n, off_t at), (fd, b, n, at))
FAULT(int, pipe2, (int fds[2], int f), (fds, f))
FAULT(int, memfd_create, (const char *n, unsigned int f), (n, f))
FAULT(int, fcntl, (int fd, int c, long a), (fd, c, a))
FAULT(ssize_t, splice, (int p, int f, off_t at, size_t n), (p, f, at, n))
FAULT(ssize_t, sendmsg, (int fd, const struct msghdr *m, int f), (fd, m, f))
FAULT(int, epoll_create, (void), ())
FAULT(int, epoll_add, (int e, int fd, uint32_t ev, uint64_t d), (e, fd, ev, d))
FAULT(int, inotify_init, (void), ())
FAULT(int, inotify_add, (int i, const char *p, uint32_t m), (i, p, m))
FAULT(long, clone3, (struct clone_args *a, size_t n, void (*fn)(void *), void *arg), (a, n, fn, arg))

static int f_close(int fd)
{
	int r = real.close(fd);

	return hit("close") ? -failed_with : r;
}

static void arm(int n)
{
	nth = countdown = n;
	failed = NULL;
	sys.openat = f_openat;
	sys.open_by_id = f_open_by_id;
	sys.readlink = f_readlink;
	sys.pread = f_pread;
	sys.close = f_close;
	sys.mkdirat = f_mkdirat;
	sys.unlinkat = f_unlinkat;
	sys.fstat = f_fstat;
	sys.read = f_read;
	sys.write = f_write;
	sys.pwrite = f_pwrite;
	sys.pipe2 = f_pipe2;
	sys.memfd_create = f_memfd_create;
	sys.fcntl = f_fcntl;
	sys.splice = f_splice;
	sys.sendmsg = f_sendmsg;
	sys.epoll_create = f_epoll_create;
	sys.epoll_add = f_epoll_add;
	sys.inotify_init = f_inotify_init;
	sys.inotify_add = f_inotify_add;
	sys.clone3 = f_clone3;
}

/* It is there; what may be is that nobody can say so just now. */
static void name_it(struct rig *r, struct run *run)
{
	char path[4200];
	int res = r->port->ops->group_path(r->port, run->id, path, sizeof(path));

	if (res == 0)
		CHECK_STR(path, run->leaf + strlen(r->tree->mount));
	else
		CHECK(res == -ENOENT && failed);
}

/* As the engine does it: ask whether it is empty, kill when it is not, and ask again. */
static void end_it(struct rig *r, struct run *run)
{
	UNTIL(r, fact_at(r, run->id, FACT_WAIT) >= 0);
	for (int64_t began = clock_mono_ns();
	     fact_at(r, run->id, FACT_EMPTY) < 0 && r->port->ops->populated(r->port, run->p);) {
		(void)r->port->ops->kill(r->port, run->p, NULL);
		CHECK(sd_event_run(r->loop, 10000) >= 0);
		CHECK(clock_mono_ns() - began < HANG_NS);
	}
	name_it(r, run);
	r->port->ops->collect(r->port, run->p, &run->cgroup, &run->out, &run->report);
	CHECK(run->cgroup.have_cpu || failed);
}

/* What systemd has, as a daemon gets it. */
static void again(struct rig *r, struct systemd *sd, struct launch_keeper *k, int *res, struct err *e)
{
	struct fact_sink sink = { .self = r, .fact = rig_fact, .output = rig_output };
	struct launch_kept_list kept = {};
	struct launch_config lc = { .keeper = k, .kept = &kept };

	if (sd)
		kept = systemd_hand_over(sd);
	*res = launch_new(r->loop, r->tree, &lc, &sink, &r->launch, e);
	CHECK(!kept.n && !kept.v);
	if (*res >= 0)
		r->port = launch_port(r->launch);
}

static void on_gone(void *arg, uint64_t cgroup_id, const char *name)
{
	(*(int *)arg)++;
}

/* The answer, whole or known to be cut. */
static void check_output(struct rig *r, struct run *run, const char *want)
{
	if (facts_of(r, run->id, FACT_TOO_LARGE))
		CHECK(failed);
	else if (want)
		CHECK_STR(text_of(run->out), want);
}

/* A daemon abandons it, the next adopts it, or says why not and reaps it. */
static void handed_on(struct rig *r, struct run *run, struct systemd *sd, struct launch_keeper *k, const char *want, int *res,
		      struct err *e)
{
	struct launch_adopt a = { .cgroup_id = run->id, .request_id = RIG_REQUEST, .attempt = RIG_ATTEMPT };
	int gone = 0;

	/* It has written "up"; that may be what could not be read. */
	UNTIL(r, r->output.len >= 3 || (failed && strcmp(failed, "read") == 0));
	r->port->ops->abandon(r->port, run->p);
	r->launch = launch_free(r->launch);
	again(r, sd, k, res, e);
	if (*res < 0) {		/* the next start is without faults */
		struct err none = {};

		again(r, sd, k, &gone, &none);
		CHECK_INT(gone, 0);
	}
	a.func = SH("not run");
	run->p = NULL;
	if (*res >= 0)
		*res = r->port->ops->adopt(r->port, &a, &run->p, e);
	func_unref(a.func);
	if (*res >= 0) {
		end_it(r, run);
		check_output(r, run, want);
		r->port->ops->release(r->port, run->p);
	} else {
		struct err none = {};

		CHECK(*res == -ENOENT || !run->p);
		gone = 0;
		if (r->port->ops->reap(r->port, on_gone, &gone, &none) < 0)
			CHECK(failed && none.msg[0]);
		/* Who was ours in this process is ours to wait for. */
		while (waitpid(-1, NULL, 0) > 0)
			;
	}
}

/* The daemon's life with one launch in it; with systemd it ends with another one's. True when all of it went well, else
 * *e says what did not. */
static bool life(const char *script, struct blob *event, struct systemd *sd, const char *want, struct err *e)
{
	struct rig *r = XNEW(struct rig);
	struct launch_keeper *k = NULL;
	struct cg_tree_config tc = {};
	struct func *f = SH(script);
	struct run run = {};
	char path[4200];
	int res;

	snprintf(path, sizeof(path), "%s-f", rig_top_base);
	tc.path = path;
	CHECK(sd_event_new(&r->loop) >= 0);
	if (sd)
		CHECK_INT(launch_keep_new(&k, e), 0);
	res = cg_tree_new(&tc, &r->tree, e);
	if (res >= 0)
		again(r, NULL, k, &res, e);
	if (res >= 0) {
		res = rig_prepare(r, f, event, &run, e);
		if (res >= 0) {
			res = r->port->ops->start(r->port, run.p, e);
			if (res >= 0 && sd) {
				handed_on(r, &run, sd, k, want, &res, e);
			} else {
				if (res >= 0) {
					end_it(r, &run);
					check_output(r, &run, want);
				}
				r->port->ops->release(r->port, run.p);
			}
		}
	}
	func_unref(f);
	if (res < 0 && (e->code != res || !e->msg[0]))
		FAIL("call %d, %s: result %d, code %d, \"%s\"", nth, failed ? failed : "-", res, e->code, e->msg);
	run_done(&run);
	launch_free(r->launch);
	launch_keep_free(k);
	cg_tree_free(r->tree, true);
	sd_event_unref(r->loop);
	buf_done(&r->output);
	free(r);
	return res >= 0;
}

/* What may be left is a group whose removal was the failure, empty; the next start reaps it. */
static void take_rest(bool may_be_there)
{
	char root[4200], command[16384];

	snprintf(root, sizeof(root), "%s-f", rig_top_base);
	if (access(root, F_OK) < 0)
		return;
	if (!may_be_there)
		FAIL("call %d: %s is left after %s failed", nth, root, failed ? failed : "nothing");
	snprintf(command, sizeof(command), "grep -q 'populated 0' '%s/cgroup.events' && find '%s' -depth -type d -exec "
		 "rmdir {} +", root, root);
	CHECK_INT(system(command), 0);
}

/* What it would cost to lose the message that something is to be given up: nothing, after the next start. */
static void give_up_rest(struct systemd *sd)
{
	if (!sd)
		return;
	systemd_pump(sd);
	if (sd->n && strcmp(failed ? failed : "-", "sendmsg") != 0)
		FAIL("call %d: %zu descriptors are still kept after %s failed", nth, sd->n, failed ? failed : "nothing");
	while (sd->n)
		systemd_drop(sd, 0);
}

static void fail_each(const char *script, struct blob *event, struct systemd *sd, const char *want)
{
	struct err e = {};
	int errors = 0;
	size_t fds;

	sys = real;
	if (!life(script, event, sd, want, &e))	/* what is opened once and kept (locales, NSS) is open now */
		FAIL("%s", err_msg(&e));
	take_rest(false);
	give_up_rest(sd);
	fds = count_fds();
	for (int n = 1;; n++) {
		CHECK(n < CALLS_MAX);
		arm(n);
		e = (struct err){};
		errors += !life(script, event, sd, want, &e);
		sys = real;
		give_up_rest(sd);
		if (!failed) {
			CHECK(n > 40);
			break;
		}
		take_rest(strcmp(failed, "unlinkat") == 0);
		if (count_fds() != fds)
			FAIL("call %d: %zu descriptors after %s failed, %zu before", n, count_fds(), failed, fds);
		if (waitpid(-1, NULL, WNOHANG) != -1 || errno != ECHILD)
			FAIL("call %d: a child is left after %s failed", n, failed);
	}
	CHECK(errors > 15);		/* most calls before the start are needed */
}

static void a_short_launch(void)
{
	struct blob *event = blob_new("{}", 2);

	fail_each("cat", event, NULL, "{}");
	blob_unref(event);
}

static void one_that_leaves_a_child(void)
{
	fail_each("sleep 1000 >/dev/null 2>&1 3>&1 & echo x >&3", NULL, NULL, "");
}

static void a_large_event(void)
{
	struct blob *event = blob_new(NULL, EVENT_LARGE);

	memset(event->data, 'x', EVENT_LARGE);
	fail_each("wc -c", event, NULL, "100000\n");
	blob_unref(event);
}

static void one_that_is_adopted(void)
{
	struct systemd *sd = systemd_up();

	rig_terms.keep = true;
	fail_each("echo one; echo up >&2; echo r >&3; echo two; exec sleep 0.1", NULL, sd, "one\ntwo\n");
	rig_terms.keep = false;
	systemd_down(sd);
}

int main(void)
{
	const char *unable = rig_unable();

	if (unable) {
		printf("skip launch_fault - %s\n", unable);
		return 0;
	}
	real = sys;
	RUN(a_short_launch);
	RUN(one_that_leaves_a_child);
	RUN(a_large_event);
	RUN(one_that_is_adopted);
	sys = real;
	rig_sweep();
	TEST_END();
}
