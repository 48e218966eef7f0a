/* SPDX-License-Identifier: Apache-2.0 */
/* Run by scripts/bench.sh, which starts the daemon and gives both sides their place. */
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "bench/bench.h"

static const struct part { const char *name; void (*run)(struct bench *); bool alone; } parts[] = {
	{ "observe", bench_observe, true }, { "start", bench_start, true }, { "sync", bench_sync, false },
	{ "keep", bench_keep, false }, { "accept", bench_accept, false }, { "exit", bench_exit, false },
	{ "scale", bench_scale, true },	    { "recover", bench_recover, true }, { "load", bench_load, true },
	{ "fair", bench_fair, true },
};

double bench_ratio(const struct figure *f)
{
	return f->ratio > 0 ? f->ratio : f->ours / f->other;
}

/* Where per cents matter, their tenths are printed. */
static int digits_of(const struct figure *f)
{
	return f->pairs || f->aim < 0.1 ? 3 : 2;
}

bool bench_met(const struct figure *f)
{
	/* As printed: a ratio that reads 1.30 meets 1.3. */
	double scale = f->absolute ? 10 : pow(10, digits_of(f));
	double v = round((f->absolute ? f->ours : bench_ratio(f)) * scale) / scale;

	return f->at_most ? v <= f->aim : v >= f->aim;
}

/* "-" where there is none. */
static const char *text(char *out, size_t size, bool have, int width, int digits, double v)
{
	if (have)
		snprintf(out, size, "%*.*f", width, digits, v);
	else
		snprintf(out, size, "%*s", width, "-");
	return out;
}

static void print_figure(const struct figure *f)
{
	char other[32], ratio[32], aim[32] = "-";

	if (!f->no_aim)
		snprintf(aim, sizeof(aim), "%s %g%s%s", f->at_most ? "≤" : "≥", f->aim, f->absolute && *f->unit ? " " : "",
			 f->absolute ? f->unit : "");
	/* The sign of the aim is three bytes and one column. */
	printf("%-52s %12.1f %s %-5s %s  %-*s %s\n", f->name, f->ours, text(other, sizeof(other), f->other >= 0, 12, 1, f->other),
	       f->unit, text(ratio, sizeof(ratio), f->other > 0, 7, digits_of(f), bench_ratio(f)), f->no_aim ? 10 : 12, aim,
	       f->no_aim ? "-" : bench_met(f) ? "yes" : "no");
	if (f->pairs)
		printf("    %zu pairs: quartiles %.3f to %.3f, median within %.3f to %.3f (95 %%); the same without: %.3f "
		       "to %.3f\n",
		       f->pairs, f->quartile[0], f->quartile[1], f->interval[0], f->interval[1], f->noise[0], f->noise[1]);
	fflush(stdout);
}

void bench_figure(struct bench *b, const struct figure *f)
{
	if (!b->n_figures)
		printf("%-52s %12s %12s %-5s %7s  %-10s %s\n", "figure", "ours", "other", "unit", "ratio", "aim", "met");
	print_figure(f);
	b->figures = xrealloc(b->figures, (b->n_figures + 1) * sizeof(*f));
	b->figures[b->n_figures++] = *f;
}

static void write_figure(FILE *f, const struct figure *g)
{
	fprintf(f, "  {\"name\": \"%s\", \"ours\": %.3f, \"unit\": \"%s\"", g->name, g->ours, g->unit);
	if (g->other >= 0)
		fprintf(f, ", \"other\": %.3f", g->other);
	if (g->other > 0)
		fprintf(f, ", \"ratio\": %.4f", bench_ratio(g));
	if (!g->no_aim)
		fprintf(f, ", \"aim\": %g, \"aimOf\": \"%s\", \"met\": %s", g->aim, g->absolute ? "ours" : "ratio",
			bench_met(g) ? "true" : "false");
	if (g->pairs)
		fprintf(f, ", \"pairs\": %zu, \"quartiles\": [%.4f, %.4f], \"median95\": [%.4f, %.4f], \"noise\": [%.4f, %.4f]",
			g->pairs, g->quartile[0], g->quartile[1], g->interval[0], g->interval[1], g->noise[0], g->noise[1]);
	fputs("}", f);
}

static void write_json(const struct bench *b, const char *path)
{
	FILE *f = fopen(path, "we");

	if (!f)
		bench_die("%s: cannot be written", path);
	fputs("[", f);
	for (size_t i = 0; i < b->n_figures; i++) {
		fputs(i ? ",\n" : "\n", f);
		write_figure(f, &b->figures[i]);
	}
	fputs("\n]\n", f);
	if (fclose(f) != 0)
		bench_die("%s: cannot be written", path);
}

static bool wanted(const char *only, const char *name)
{
	CLEAN(freep) char *list = xstrdup(only);

	for (char *save, *s = strtok_r(list, ",", &save); s; s = strtok_r(NULL, ",", &save)) {
		if (strcmp(s, name) == 0)
			return true;
	}
	return !*only;
}

static struct bench bench = { .scale = 1 };

static void at_exit(void)
{
	bench_daemon_stop(&bench);
}

static bool parse(int argc, char **argv, struct bench *b, const char **json, const char **only)
{
	static const struct option options[] = {
		{ "socket", required_argument, NULL, 's' }, { "daemon-cgroup", required_argument, NULL, 'g' },
		{ "cgroup", required_argument, NULL, 'c' }, { "dir", required_argument, NULL, 'D' },
		{ "prog", required_argument, NULL, 'p' },   { "json", required_argument, NULL, 'j' },
		{ "only", required_argument, NULL, 'o' },   { "scale", required_argument, NULL, 'S' },
		{ "bpf", required_argument, NULL, 'b' },    { "bare-daemon", required_argument, NULL, 'B' }, {},
	};
	int c;

	while ((c = getopt_long(argc, argv, "+", options, NULL)) >= 0) {
		switch (c) {
		case 's': b->socket = optarg; break;
		case 'g': b->daemon_cgroup = optarg; break;
		case 'c': b->cgroup = optarg; break;
		case 'D': b->dir = optarg; break;
		case 'p': b->prog = optarg; break;
		case 'j': *json = optarg; break;
		case 'o': *only = optarg; break;
		case 'S': b->scale = strtod(optarg, NULL); break;
		case 'b': b->bpf_dir = optarg; break;
		case 'B': b->bare_daemon = optarg; break;
		default: return false;
		}
	}
	b->command = argv + optind;
	return b->socket && b->daemon_cgroup && b->cgroup && b->dir && b->prog && b->bpf_dir && b->bare_daemon && b->scale > 0 &&
	       *b->command;
}

int main(int argc, char **argv)
{
	const char *json = NULL, *only = "";
	struct bench *b = &bench;

	if (!parse(argc, argv, b, &json, &only)) {
		fputs("bench: run me through scripts/bench.sh\n", stderr);
		return 2;
	}
	b->longer = getenv("BENCH_LONG") && strcmp(getenv("BENCH_LONG"), "1") == 0;
	atexit(at_exit);
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		if (!wanted(only, parts[i].name))
			continue;
		if (!parts[i].alone && !b->daemon)
			(void)bench_daemon_start(b);
		parts[i].run(b);
	}
	if (!b->n_figures)
		bench_die("nothing was measured");
	if (json)
		write_json(b, json);
	free(b->figures);
	return 0;
}
