/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A launcher on a group of its own below this process's, with a sink that writes down what it is told.
 * Every helper FAILs the test itself. A test that fails may leave its group; rig_sweep() at the end takes it down.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "cgroup/cg_leaf.h"
#include "cgroup/cg_place.h"
#include "cgroup/cg_tree.h"
#include "launch/launch.h"
#include "lib/test.h"

#define RIG_FACTS 4096
#define HANG_NS (120 * NS_PER_S)	/* a guard against hanging, not a measure of anything */

struct rig {
	sd_event *loop;
	struct cg_tree *tree;
	struct launch *launch;
	struct port_launch *port;
	struct fact facts[RIG_FACTS];
	size_t n_facts;
	struct buf output;
};

/* One environment as a test sees it. */
struct run {
	struct env_proc *p;
	uint64_t id;
	int status;
	struct blob *out, *report;
	struct fact_cgroup cgroup;
	char leaf[4200];
};

static char rig_base[4096];	/* "<our own group>/fated-test-<pid>" */
static char rig_top_base[4096];	/* the same at the top of the mount, where more controllers may be had */
static unsigned int rig_serial;
/* Of the attempt; 0 = the function's. */
static struct { int timeout_ms, memory_mb; const char *previous; bool keep; } rig_terms;
/* Of the next launcher. */
static struct { const struct launch_keeper *keeper; struct launch_kept_list *kept; unsigned int after_ms, reap_ms; } rig_keep;
#define RIG_REQUEST "11111111-2222-4333-8444-555555555555"
#define RIG_ATTEMPT 2

static void rig_fact(void *self, const struct fact *f)
{
	struct rig *r = self;

	if (r->n_facts < RIG_FACTS)
		r->facts[r->n_facts++] = *f;
}

static void rig_output(void *self, uint64_t cgroup_id, const char *data, size_t len)
{
	buf_add(&((struct rig *)self)->output, data, len);
}

static inline void slurp(const char *path, char *ret, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	ssize_t n;

	if (fd < 0)
		FAIL("open %s: %s", path, strerror(errno));
	while (len < size - 1 && (n = read(fd, ret + len, size - 1 - len)) > 0)
		len += (size_t)n;
	ret[len] = '\0';
	close(fd);
}

/* NULL, or why these tests cannot run here. */
static inline const char *rig_unable(void)
{
	static char why[600];
	static char mounts[1 << 18], self[1 << 14];
	static struct cg_place place;
	struct err e = {};

	if (geteuid() != 0)
		return "needs root: groups are made";
	slurp("/proc/self/mountinfo", mounts, sizeof(mounts));
	slurp("/proc/self/cgroup", self, sizeof(self));
	if (cg_place_find(mounts, self, &place, &e) < 0) {
		snprintf(why, sizeof(why), "%s", err_msg(&e));
		return why;
	}
	snprintf(rig_base, sizeof(rig_base), "%.3900s/fated-test-%d", place.self, (int)getpid());
	snprintf(rig_top_base, sizeof(rig_top_base), "%.3900s/fated-test-%d-top", place.mount, (int)getpid());
	return NULL;
}

static inline struct rig *rig_up_in(const char *base)
{
	struct rig *r = XNEW(struct rig);
	struct cg_tree_config tc = {};
	struct launch_config lc = { .keeper = rig_keep.keeper, .kept = rig_keep.kept, .keep_after_ms = rig_keep.after_ms,
				    .reap_max_ms = rig_keep.reap_ms };
	struct fact_sink sink = { .self = r, .fact = rig_fact, .output = rig_output };
	struct err e = {};
	char path[4200];

	snprintf(path, sizeof(path), "%s-%u", base, rig_serial++);
	tc.path = path;
	CHECK(sd_event_new(&r->loop) >= 0);
	if (cg_tree_new(&tc, &r->tree, &e) < 0 || launch_new(r->loop, r->tree, &lc, &sink, &r->launch, &e) < 0)
		FAIL("%s", err_msg(&e));
	r->port = launch_port(r->launch);
	return r;
}

static inline struct rig *rig_up(void)
{
	return rig_up_in(rig_base);
}

static inline size_t count_dir(const char *path, unsigned char type)
{
	DIR *d = opendir(path);
	struct dirent *de;
	size_t n = 0;

	if (!d)
		FAIL("%s: %s", path, strerror(errno));
	while ((de = readdir(d)))
		n += de->d_name[0] != '.' && (!type || de->d_type == type);
	closedir(d);
	return n;
}

static inline size_t count_fds(void)
{
	return count_dir("/proc/self/fd", 0);
}

/* Nothing of the test may be left: no leaf, and the tree's directories go with it. */
static inline void rig_down(struct rig *r)
{
	char root[4200];

	CHECK_INT(count_dir(r->tree->env, DT_DIR), 0);
	snprintf(root, sizeof(root), "%s", r->tree->root);
	launch_free(r->launch);
	cg_tree_free(r->tree, true);
	sd_event_unref(r->loop);
	buf_done(&r->output);
	free(r);
	if (access(root, F_OK) == 0)
		FAIL("%s is still there", root);
}

/* Also after failed tests: kills and removes every group with our name. */
static inline void rig_sweep(void)
{
	char command[16384];

	if (!rig_base[0])
		return;
	snprintf(command, sizeof(command),
		 "for g in '%s'-* '%s'-*; do [ -d \"$g\" ] || continue; echo 1 >\"$g/cgroup.kill\"; "
		 "timeout 10 sh -c 'until grep -q \"populated 0\" \"$1/cgroup.events\"; do :; done' sh \"$g\"; "
		 "find \"$g\" -depth -type d -exec rmdir {} +; done", rig_base, rig_top_base);
	if (system(command) != 0)
		fprintf(stderr, "groups of failed tests could not be removed\n");
}

static inline void rig_spin(struct rig *r, int64_t began)
{
	if (sd_event_run(r->loop, 1000000) < 0)
		FAIL("the loop failed");
	if (clock_mono_ns() - began > HANG_NS)
		FAIL("still waiting after %lld s", (long long)(HANG_NS / NS_PER_S));
}
#define UNTIL(r, cond) do { for (int64_t _began = clock_mono_ns(); !(cond); ) rig_spin((r), _began); } while (0)

/* The index of the first fact of a kind about an environment, -1 = none. */
static inline int fact_at(const struct rig *r, uint64_t id, enum fact_kind kind)
{
	for (size_t i = 0; i < r->n_facts; i++)
		if (r->facts[i].cgroup_id == id && r->facts[i].kind == kind)
			return (int)i;
	return -1;
}

static inline int facts_of(const struct rig *r, uint64_t id, enum fact_kind kind)
{
	int n = 0;

	for (size_t i = 0; i < r->n_facts; i++)
		n += r->facts[i].cgroup_id == id && r->facts[i].kind == kind;
	return n;
}

static inline struct func *func_of(char *const argv[])
{
	struct func *f = func_new();
	size_t n = 0;

	while (argv[n])
		n++;
	snprintf(f->name, sizeof(f->name), "probe");
	f->command = xcalloc(n + 1, sizeof(char *));
	for (size_t i = 0; i < n; i++)
		f->command[i] = xstrdup(argv[i]);
	return f;
}
#define FUNC(...) func_of((char *const[]){ __VA_ARGS__, NULL })
#define SH(script) FUNC((char *)"/bin/sh", (char *)"-c", (char *)(script))

static inline int rig_prepare(struct rig *r, struct func *f, struct blob *payload, struct run *ret, struct err *e)
{
	struct launch_spec spec = {
		.func = f, .request_id = RIG_REQUEST, .region = "eu-central-1",
		.function_arn = "arn:aws:lambda:eu-central-1:000000000000:function:probe", .version = "$LATEST",
		.deadline_wall_ms = 1700000000123, .attempt = RIG_ATTEMPT, .payload = payload,
		.timeout_ms = rig_terms.timeout_ms ? rig_terms.timeout_ms : f->timeout_ms,
		.memory_mb = rig_terms.memory_mb ? rig_terms.memory_mb : f->memory_mb, .previous = rig_terms.previous,
		.keep = rig_terms.keep,
	};
	int res;

	*ret = (struct run){};
	snprintf(spec.name, sizeof(spec.name), "t%u-1-00c0ffee", rig_serial++);
	snprintf(ret->leaf, sizeof(ret->leaf), "%s/%s", r->tree->env, spec.name);
	res = r->port->ops->prepare(r->port, &spec, &ret->p, &ret->id, e);
	return res;
}

/* Drops the caller's reference of f. */
static inline struct run rig_start(struct rig *r, struct func *f, struct blob *payload)
{
	struct err e = {};
	struct run run;

	if (rig_prepare(r, f, payload, &run, &e) < 0 || r->port->ops->start(r->port, run.p, &e) < 0)
		FAIL("%s", err_msg(&e));
	func_unref(f);
	return run;
}

static inline void rig_wait(struct rig *r, struct run *run)
{
	UNTIL(r, fact_at(r, run->id, FACT_WAIT) >= 0);
	run->status = r->facts[fact_at(r, run->id, FACT_WAIT)].wait_status;
}

/* The leaf becomes empty; then what is left of it is collected and the leaf released. */
static inline void rig_finish(struct rig *r, struct run *run)
{
	if (r->port->ops->populated(r->port, run->p))
		UNTIL(r, fact_at(r, run->id, FACT_EMPTY) >= 0);
	CHECK_INT(r->port->ops->populated(r->port, run->p), 0);
	r->port->ops->collect(r->port, run->p, &run->cgroup, &run->out, &run->report);
	r->port->ops->release(r->port, run->p);
	run->p = NULL;
	if (access(run->leaf, F_OK) == 0)
		FAIL("%s is still there", run->leaf);
}

static inline void run_done(struct run *run)
{
	blob_unref(run->out);
	blob_unref(run->report);
}

/* Start to end of something that ends by itself and leaves nothing running. */
static inline struct run rig_run(struct rig *r, struct func *f, struct blob *payload)
{
	struct run run = rig_start(r, f, payload);

	rig_wait(r, &run);
	rig_finish(r, &run);
	return run;
}

static inline const char *text_of(const struct blob *b)
{
	return b ? b->data : "";
}
