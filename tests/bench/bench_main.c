/* SPDX-License-Identifier: Apache-2.0 */
/* Run by scripts/bench.sh, which starts the daemon and gives both sides their place. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "bench/bench.h"

static const struct part { const char *name; void (*run)(struct bench *); } parts[] = {
	{ "sync", bench_sync }, { "accept", bench_accept }, { "exit", bench_exit },
};

double bench_ratio(const struct figure *f)
{
	return f->ours / f->other;
}

bool bench_met(const struct figure *f)
{
	/* As printed: a ratio that reads 1.30 meets 1.3. */
	double ratio = (double)(long)(bench_ratio(f) * 100 + 0.5) / 100;

	return f->at_most ? ratio <= f->aim : ratio >= f->aim;
}

void bench_figure(struct bench *b, const struct figure *f)
{
	if (!b->n_figures)
		printf("%-36s %12s %12s %-5s %7s  %-6s %s\n", "figure", "ours", "other", "unit", "ratio", "aim", "met");
	printf("%-36s %12.1f %12.1f %-5s %7.2f  %s %-4g %s\n", f->name, f->ours, f->other, f->unit, bench_ratio(f),
	       f->at_most ? "≤" : "≥", f->aim, bench_met(f) ? "yes" : "no");
	fflush(stdout);
	b->figures = xrealloc(b->figures, (b->n_figures + 1) * sizeof(*f));
	b->figures[b->n_figures++] = *f;
}

static void write_json(const struct bench *b, const char *path)
{
	FILE *f = fopen(path, "we");

	if (!f)
		bench_die("%s: cannot be written", path);
	fputs("[", f);
	for (size_t i = 0; i < b->n_figures; i++) {
		const struct figure *g = &b->figures[i];

		fprintf(f, "%s\n  {\"name\": \"%s\", \"ours\": %.3f, \"other\": %.3f, \"unit\": \"%s\", \"ratio\": %.4f, \"aim\": %g,"
			" \"met\": %s}", i ? "," : "", g->name, g->ours, g->other, g->unit, bench_ratio(g), g->aim,
			bench_met(g) ? "true" : "false");
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

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "socket", required_argument, NULL, 's' }, { "daemon", required_argument, NULL, 'd' },
		{ "cgroup", required_argument, NULL, 'c' }, { "dir", required_argument, NULL, 'D' },
		{ "prog", required_argument, NULL, 'p' },   { "json", required_argument, NULL, 'j' },
		{ "only", required_argument, NULL, 'o' },   { "scale", required_argument, NULL, 'S' }, {},
	};
	struct bench b = { .scale = 1 };
	const char *json = NULL, *only = "";
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		switch (c) {
		case 's': b.socket = optarg; break;
		case 'd': b.daemon = atoi(optarg); break;
		case 'c': b.cgroup = optarg; break;
		case 'D': b.dir = optarg; break;
		case 'p': b.prog = optarg; break;
		case 'j': json = optarg; break;
		case 'o': only = optarg; break;
		case 'S': b.scale = strtod(optarg, NULL); break;
		default: return 2;
		}
	}
	if (!b.socket || b.daemon <= 0 || !b.cgroup || !b.dir || !b.prog || !(b.scale > 0) || optind != argc) {
		fputs("bench: run me through scripts/bench.sh\n", stderr);
		return 2;
	}
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		if (wanted(only, parts[i].name))
			parts[i].run(&b);
	}
	if (!b.n_figures)
		bench_die("nothing was measured");
	if (json)
		write_json(&b, json);
	free(b.figures);
	return 0;
}
