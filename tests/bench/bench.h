/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The benchmark: what fated costs over the barest thing that does the same, as ratios from one run.
 *
 * Both sides of a figure are measured in turns (A B A B …) by one process, so that a busy neighbour, a warm cache or a
 * slow disk hits both alike, and the figure is made of medians (or the percentile it names) of all turns. Nothing here
 * passes or fails: a figure is printed with its aim, and whether it was met.
 *
 * A part that cannot be measured ends the program (bench_die): half a table is worse than none.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"

struct bench {
	const char *socket;	/* the daemon's */
	char **command;		/* the daemon's */
	pid_t daemon;		/* 0: it does not run */
	const char *cgroup;	/* directory below which the bare side makes its leaves */
	const char *daemon_cgroup, *bpf_dir;	/* as the daemon's command has them */
	const char *dir;	/* scratch directory on the disk of the daemon's state */
	const char *prog, *bare_daemon;		/* prog_bench, prog_bare_daemon */
	double scale;		/* of the number of turns; 1 = as meant */
	bool longer;		/* BENCH_LONG=1: a million open events, too */
	struct figure *figures;
	size_t n_figures;
};

/* One line of the result. at_most: the aim is an upper bound of ours / other, else a lower one. */
struct figure {
	const char *name, *unit;
	double ours, other;	/* other < 0: nothing to compare with; 0: compared, but no ratio */
	double aim;
	bool at_most;
	bool absolute;		/* the aim is one of ours alone, in unit */
	bool no_aim;
	double ratio;		/* when it is not ours / other: the median of paired ratios; 0: it is */
	/* Of those pairs: how many, the quartiles of their ratios, the 95 % interval of the median, and the quartiles of
	 * the same ratio with the other side in both places, which is noise alone. pairs 0: none of it. */
	size_t pairs;
	double quartile[2], interval[2], noise[2];
};
void bench_figure(struct bench *b, const struct figure *f);
double bench_ratio(const struct figure *f);
bool bench_met(const struct figure *f);

/* Without the daemon: its programs would be attached on both sides. */
void bench_observe(struct bench *b);	/* bench_observe.c */
void bench_start(struct bench *b);	/* bench_start.c: starts and stops it */
void bench_scale(struct bench *b);	/* bench_scale.c: an engine in this process */
void bench_recover(struct bench *b);	/* bench_recover.c: likewise */
void bench_load(struct bench *b);	/* bench_load.c: starts and stops it */
void bench_fair(struct bench *b);	/* bench_fair.c: likewise */
/* With it. */
void bench_sync(struct bench *b);	/* bench_sync.c: functions sync */
void bench_accept(struct bench *b);	/* bench_accept.c: function parked */
void bench_exit(struct bench *b);	/* bench_exit.c: functions async, tree */
void bench_keep(struct bench *b);	/* bench_keep.c: function sync */

/* ---- helpers (bench_util.c) -------------------------------------------------------------------------------- */

void bench_die(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));
int bench_check(int r, const char *what);	/* r < 0: dies with errno; else r */
int bench_turns(const struct bench *b, int n);	/* n scaled, at least 1 */

struct samples { double *v; size_t n, cap; };
void samples_add(struct samples *s, double v);
double samples_at(struct samples *s, double quantile);	/* sorts; 0.5 = median. Dies when empty */
void samples_done(struct samples *s);

/* One side between two turns of the other; the figure is the median of the pairs' ratios, and says how sure it is. */
struct pairs { struct samples ours, other, ratio, noise; };
void pairs_add(struct pairs *p, double before, double ours, double after);
/* like: name, unit and aim. Empties p. */
void pairs_figure(struct bench *b, struct pairs *p, const struct figure *like);

/* User and system time in seconds. */
double cpu_self(void);
double cpu_children(void);		/* of those we have waited for */
double cpu_daemon(pid_t pid);		/* the process and the children it has waited for; ticks of 10 ms */
double cpu_threads(pid_t pid);		/* of the threads the process has now, to the nanosecond */

void bench_unlink_db(const char *path);	/* a database with all that belongs to it */

double bench_memory(pid_t pid, const char *what);	/* bytes; "Rss", "Pss", … as /proc/PID/smaps_rollup has it */

/* ---- daemons (bench_daemon.c) ------------------------------------------------------------------------------ */

/* Starts the daemon and waits for its first answer; seconds from exec to that. */
double bench_daemon_start(struct bench *b);
/* The same with these options ("--Name=value", NULL at the end) instead of the command's own. */
double bench_daemon_start_with(struct bench *b, const char *const *options);
/* A function of prog_bench's: arguments as in a JSON array. No retries, 15 minutes. */
void bench_define(const struct bench *b, const char *dir, const char *name, const char *arguments);
/* SIGTERM, and waits for its end; does nothing when it does not run. Done at exit as well. */
void bench_daemon_stop(struct bench *b);
/* The same for any that answers HTTP on a unix socket. */
double bench_spawn_daemon(const struct bench *b, char *const *argv, const char *socket, pid_t *ret);
void bench_end_daemon(pid_t pid);

/* ---- HTTP, as little as a client needs (bench_http.c) ------------------------------------------------------ */

struct http { int fd; size_t used, head, body; int status; char buf[65536]; };
void http_open(struct http *h, const char *socket);
void http_close(struct http *h);
void http_request(struct buf *out, const char *method, const char *path, const char *type, const char *body, size_t len);
void http_send(struct http *h, const struct buf *request);
/* Reads what is there (blocks when nothing is); true when the answer is complete: status, body at buf + head. */
bool http_read(struct http *h);
int http_call(struct http *h, const struct buf *request);	/* send, read to the end; returns the status */
const char *http_body(const struct http *h);
double http_number(const struct http *h, const char *name);	/* the first member of that name; dies without */
bool http_header(const struct http *h, const char *name, char *out, size_t size);

/* ---- many callers (bench_callers.c) ------------------------------------------------------------------------- */

struct callers { struct http *conns; int n, epoll; struct buf request; };
void callers_open(struct callers *c, const char *socket, int n);
/* n asynchronous invocations until all are accepted, all callers at once; seconds. function(arg, i): of the i-th, i < n. */
double callers_post(struct callers *c, const char *(*function)(void *arg, int i), void *arg, int n);
void callers_close(struct callers *c);

/* ---- the bare supervisor (bench_bare.c) -------------------------------------------------------------------- */

struct bare { int parent, leaf, pidfd, in, out; char name[32]; uint64_t cgroup_id; };
void bare_leaf(struct bare *p, int parent);			/* mkdir, open: a fresh group */
void bare_start(struct bare *p, char *const *argv, const char *event, size_t len);
size_t bare_answer(struct bare *p, char *out, size_t size);	/* reads stdout to its end */
void bare_kill(struct bare *p);					/* cgroup.kill */
int bare_end(struct bare *p);					/* waitid, rmdir; the raw status */
