/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/mem.h"
#include "bench/bench.h"

void bench_die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("bench: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(1);
}

int bench_check(int r, const char *what)
{
	if (r < 0)
		bench_die("%s: %s", what, strerror(errno));
	return r;
}

int bench_turns(const struct bench *b, int n)
{
	double turns = n * b->scale;

	return turns < 1 ? 1 : (int)turns;
}

void samples_add(struct samples *s, double v)
{
	if (s->n == s->cap) {
		s->cap = s->cap ? s->cap * 2 : 256;
		s->v = xrealloc(s->v, s->cap * sizeof(*s->v));
	}
	s->v[s->n++] = v;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double samples_at(struct samples *s, double quantile)
{
	if (!s->n)
		bench_die("nothing was measured");
	qsort(s->v, s->n, sizeof(*s->v), ascending);
	return s->v[(size_t)((double)(s->n - 1) * quantile + 0.5)];
}

void samples_done(struct samples *s)
{
	free(s->v);
	*s = (struct samples){};
}

void pairs_add(struct pairs *p, double before, double ours, double after)
{
	samples_add(&p->ours, ours);
	samples_add(&p->other, (before + after) / 2);
	samples_add(&p->ratio, ours / ((before + after) / 2));
	samples_add(&p->noise, after / before);
}

void pairs_figure(struct bench *b, struct pairs *p, const struct figure *like)
{
	double n = (double)p->ratio.n, half = 0.98 * sqrt(n) / n;	/* the binomial's 95 %, in quantiles */
	struct figure f = *like;

	f.ours = samples_at(&p->ours, 0.5);
	f.other = samples_at(&p->other, 0.5);
	f.ratio = samples_at(&p->ratio, 0.5);
	f.pairs = p->ratio.n;
	f.quartile[0] = samples_at(&p->ratio, 0.25);
	f.quartile[1] = samples_at(&p->ratio, 0.75);
	f.interval[0] = samples_at(&p->ratio, MAX(0.5 - half, 0.0));
	f.interval[1] = samples_at(&p->ratio, MIN(0.5 + half, 1.0));
	f.noise[0] = samples_at(&p->noise, 0.25);
	f.noise[1] = samples_at(&p->noise, 0.75);
	bench_figure(b, &f);
	samples_done(&p->ours);
	samples_done(&p->other);
	samples_done(&p->ratio);
	samples_done(&p->noise);
}

static double rusage_s(int who)
{
	struct rusage u;

	bench_check(getrusage(who, &u), "getrusage");
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

double cpu_self(void)
{
	return rusage_s(RUSAGE_SELF);
}

double cpu_children(void)
{
	return rusage_s(RUSAGE_CHILDREN);
}

double cpu_daemon(pid_t pid)
{
	unsigned long long user, sys, child_user, child_sys;
	char path[64], line[1024];
	const char *after;
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	if (!f)
		bench_die("%s: %s", path, strerror(errno));
	n = fread(line, 1, sizeof(line) - 1, f);
	fclose(f);
	line[n] = '\0';
	after = strrchr(line, ')');	/* the name may hold anything */
	if (!after || sscanf(after + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %llu %llu", &user, &sys,
			     &child_user, &child_sys) != 4)
		bench_die("%s: not as expected", path);
	return (double)(user + sys + child_user + child_sys) / (double)sysconf(_SC_CLK_TCK);
}

double cpu_threads(pid_t pid)
{
	char path[64], name[300];
	double sum = 0;
	struct dirent *d;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	if (!dir)
		bench_die("%s: %s", path, strerror(errno));
	while ((d = readdir(dir))) {
		unsigned long long ns = 0;
		FILE *f;

		snprintf(name, sizeof(name), "%s/%s/schedstat", path, d->d_name);
		f = d->d_name[0] == '.' ? NULL : fopen(name, "re");
		if (!f)
			continue;	/* a thread may end meanwhile */
		if (fscanf(f, "%llu", &ns) == 1)
			sum += (double)ns / 1e9;
		fclose(f);
	}
	closedir(dir);
	if (sum <= 0)
		bench_die("%s: no schedstat in it", path);
	return sum;
}

double bench_memory(pid_t pid, const char *what)
{
	char path[64], line[256];
	double kb = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
	f = fopen(path, "re");
	if (!f)
		bench_die("%s: %s", path, strerror(errno));
	while (fgets(line, sizeof(line), f)) {
		size_t len = strlen(what);

		if (strncmp(line, what, len) == 0 && line[len] == ':')
			kb = strtod(line + len + 1, NULL);
	}
	fclose(f);
	if (kb < 0)
		bench_die("%s: no %s", path, what);
	return kb * 1024;
}

void bench_unlink_db(const char *path)
{
	static const char *const tails[] = { "", "-wal", "-shm", "-lock" };

	for (size_t i = 0; i < ARRAY_SIZE(tails); i++) {
		CLEAN(freep) char *name = xasprintf("%s%s", path, tails[i]);

		if (unlink(name) < 0 && errno != ENOENT)
			bench_die("%s: %s", name, strerror(errno));
	}
}
