/* SPDX-License-Identifier: Apache-2.0 */
/*
 * top: the environments of one status and of the one before it. What is shown of a span (CPU%, rates) is the difference
 * of the two, and an environment is known again by its cgroup id, which no other has as long as the daemon watches.
 */
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "ctl/ctl.h"
#include "ctl/ctl_screen.h"

#define BAR 8

struct top {
	cJSON *now, *before;		/* status */
	int64_t now_ns, before_ns;	/* when it was asked for */
	int sort;			/* 'c', 'm', 'a' */
	bool keys;			/* they are there to be said */
	int last;			/* of what asking returned */
};

struct line { const cJSON *env; double cpu_percent; };	/* negative: not known */

static const cJSON *find(const cJSON *status, const char *cgroup_id)
{
	const cJSON *e;

	cJSON_ArrayForEach(e, ctl_member(status, "environments"))
		if (strcmp(ctl_text(e, "cgroupId"), cgroup_id) == 0)
			return e;
	return NULL;
}

/* Of the span between the two; of its life when it was not there before. */
static double cpu_percent(const struct top *t, const cJSON *e)
{
	const cJSON *old = find(t->before, ctl_text(e, "cgroupId"));
	double cpu = ctl_number(e, "cpuMs", -1), then = ctl_number(old, "cpuMs", 0);
	double ms = old ? (double)(t->now_ns - t->before_ns) / 1e6 : ctl_number(e, "runningMs", 0);

	if (cpu < 0)
		return -1;
	return ms > 0 && cpu > then ? (cpu - then) * 100 / ms : 0;
}

static int by_number(double a, double b)
{
	return a < b ? 1 : a > b ? -1 : 0;
}

static int compare(const void *a, const void *b, void *arg)
{
	const struct line *x = a, *y = b;
	const struct top *t = arg;
	int r;

	if (t->sort == 'm')
		r = by_number(ctl_number(x->env, "rssBytes", -1), ctl_number(y->env, "rssBytes", -1));
	else if (t->sort == 'a')
		r = 0;
	else
		r = by_number(x->cpu_percent, y->cpu_percent);
	r = r ? r : by_number(ctl_number(x->env, "runningMs", 0), ctl_number(y->env, "runningMs", 0));
	return r ? r : strcmp(ctl_text(x->env, "cgroupId"), ctl_text(y->env, "cgroupId"));
}

/* "1.2s/3.0s [===     ]"; the bar on a terminal only. */
static void age_cell(struct ctl_table *t, double running, double left)
{
	double total = running + left;
	char bar[BAR + 4] = "";

	if (total <= 0) {
		ctl_cell(t, ctl_duration((int64_t)running));
		return;
	}
	if (ctl_screen()) {
		int full = running >= total ? BAR : (int)(running * BAR / total);

		snprintf(bar, sizeof(bar), " [%.*s%*s]", full, "========", BAR - full, "");
	}
	/* To the tenth: the two parts were cut to milliseconds apart, and 2.999 is no deadline. */
	ctl_cellf(t, "%s/%s%s", ctl_duration((int64_t)running), ctl_duration((int64_t)(total + 50) / 100 * 100), bar);
}

static void count_cell(struct ctl_table *t, const cJSON *e, const char *name)
{
	ctl_cell(t, ctl_text(e, name));
}

static void add_row(struct ctl_table *t, const struct line *l)
{
	const cJSON *e = l->env;
	double cpu = ctl_number(e, "cpuMs", -1), rss = ctl_number(e, "rssBytes", -1);

	ctl_cell(t, ctl_text(e, "function"));
	ctl_cell(t, ctl_text(e, "requestId"));
	count_cell(t, e, "attempt");
	ctl_cell(t, ctl_text(e, "state"));
	age_cell(t, ctl_number(e, "runningMs", 0), ctl_number(e, "leftMs", 0));
	if (l->cpu_percent < 0)
		ctl_cell(t, NULL);
	else
		ctl_cellf(t, "%.1f", l->cpu_percent);
	if (cpu < 0)
		ctl_cell(t, NULL);
	else
		ctl_cellf(t, "%.0f ms", cpu);
	ctl_cell(t, rss < 0 ? NULL : ctl_bytes(rss));
	count_cell(t, e, "processes");
	count_cell(t, e, "threads");
	ctl_cell(t, cJSON_IsTrue(ctl_member(e, "sync")) ? "sync" : "async");
}

static void table(struct top *t)
{
	static const char *const headings[] = { "FUNCTION", "REQUEST ID", ">ATTEMPT", "STATE", ">AGE", ">CPU%", ">CPU",
						">RSS", ">PROCS", ">THREADS", "KIND", NULL };
	const cJSON *list = ctl_member(t->now, "environments"), *e;
	size_t n = 0, size = (size_t)cJSON_GetArraySize(list);
	struct line *lines = xcalloc(size + 1, sizeof(*lines));
	struct ctl_table *out = ctl_table_new(headings);

	cJSON_ArrayForEach(e, list)
		lines[n++] = (struct line){ e, cpu_percent(t, e) };
	qsort_r(lines, n, sizeof(*lines), compare, t);
	for (size_t i = 0; i < n; i++)
		add_row(out, &lines[i]);
	ctl_table_print(out, stdout);
	free(lines);
}

/* Of a counter at path[0].path[1]…, per second; "-" when it is not known, or nothing went before. */
static const char *rate(const struct top *t, const char *const *path, char text[32])
{
	const cJSON *a = t->before, *b = t->now;
	double s = (double)(t->now_ns - t->before_ns) / 1e9;

	for (; *path; path++) {
		a = ctl_member(a, *path);
		b = ctl_member(b, *path);
	}
	/* Counters begin anew with a new daemon. */
	if (!cJSON_IsNumber(a) || !cJSON_IsNumber(b) || s <= 0 || b->valuedouble < a->valuedouble)
		return "-";
	snprintf(text, 32, "%.1f/s", (b->valuedouble - a->valuedouble) / s);
	return text;
}

static void print(struct top *t)
{
	const cJSON *engine = ctl_member(t->now, "engine");
	const char *by = t->sort == 'm' ? "memory" : t->sort == 'a' ? "age" : "CPU";
	char attempts[32], processes[32];

	ctl_headline(t->now);
	ctl_law(t->now);
	printf("%-12s%s queued, %s running, %s waiting, %s routing; %s synchronous", "events", ctl_text(engine, "queued"),
	       ctl_text(engine, "running"), ctl_text(engine, "waiting"), ctl_text(engine, "routing"),
	       ctl_text(engine, "runningSync"));
	if (ctl_number(engine, "onDisk", 0) > 0)
		printf("; %s on disk alone", ctl_text(engine, "onDisk"));
	if (ctl_number(engine, "openBreakers", 0) > 0)
		printf("; %s targets do not answer", ctl_text(engine, "openBreakers"));
	putchar('\n');
	printf("%-12sattempts %s, processes %s\n", "starts",
	       rate(t, (const char *[]){ "engine", "attemptsStarted", NULL }, attempts),
	       rate(t, (const char *[]){ "law", "processes", "starts", NULL }, processes));
	if (t->keys)
		printf("%-12s%s (c CPU, m memory, a age, q quits)\n", "sorted by", by);
	putchar('\n');
	table(t);
}

static int ask(struct ctl *c, struct top *t)
{
	cJSON *j;
	int r = ctl_status_get(c, &j);

	if (!j)
		return r;
	cJSON_Delete(t->before);
	t->before = t->now;
	t->before_ns = t->now_ns;
	t->now = j;
	t->now_ns = clock_mono_ns();
	return r;
}

static int round_of(struct ctl *c, void *arg, bool again)
{
	struct top *t = arg;

	if (!again)
		t->last = ask(c, t);
	if (t->last == CTL_OK || t->last == CTL_DRIFT)
		print(t);
	return t->last;
}

static bool on_key(void *arg, int key)
{
	struct top *t = arg;

	if (!strchr("cma", key) || t->sort == key)
		return false;
	t->sort = key;
	return true;
}

static void top_done(struct top *t)
{
	cJSON_Delete(t->now);
	cJSON_Delete(t->before);
}

/* One table; ms > 0: of a span of that length. */
static int one_table(struct ctl *c, struct top *t, int64_t ms)
{
	bool json = c->json;
	int r;

	if (ms > 0 && !json) {
		int64_t until;

		r = ask(c, t);
		if (!t->now)
			return r;
		until = clock_mono_ns() + ms * NS_PER_MS;
		for (int64_t left = ms; left > 0; left = (until - clock_mono_ns() + NS_PER_MS - 1) / NS_PER_MS)
			if (screen_wait(left) == SCREEN_END)
				return CTL_OK;
	}
	r = ask(c, t);
	if ((r == CTL_OK || r == CTL_DRIFT) && !json)
		print(t);
	return r;
}

int ctl_top(struct ctl *c, int argc, char **argv)
{
	const char *interval = NULL;
	bool once = false;
	const struct ctl_option opts[] = { { "--interval", &interval, NULL }, { "--once", NULL, &once } };
	CLEAN(top_done) struct top t = { .sort = 'c' };
	struct ctl_show s = { .title = "fatectl top", .interval_ms = 2000, .round = round_of, .key = on_key, .arg = &t };

	if (!ctl_args(c, argc, argv, opts, ARRAY_SIZE(opts), NULL, 0))
		return CTL_USAGE;
	if (interval && !ctl_interval(c, "--interval", interval, &s.interval_ms))
		return CTL_USAGE;
	if (once || c->json || !ctl_screen())
		return one_table(c, &t, interval ? s.interval_ms : 0);
	t.keys = isatty(STDIN_FILENO);
	return ctl_show(c, &s);
}
