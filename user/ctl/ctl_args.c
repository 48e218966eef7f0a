/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "ctl/ctl.h"

int ctl_usage(const struct ctl *c, const char *fmt, ...)
{
	va_list ap;

	fputs("fatectl: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\nusage: fatectl %s%s%s\n", c->verb->name, *c->verb->args ? " " : "", c->verb->args);
	return CTL_USAGE;
}

static const struct ctl_option *find(const struct ctl_option *opts, size_t n, const char *arg, size_t len)
{
	for (size_t i = 0; i < n; i++)
		if (strlen(opts[i].name) == len && strncmp(opts[i].name, arg, len) == 0)
			return &opts[i];
	return NULL;
}

/* Returns how many arguments were taken, 0 after a message. */
static int take_option(struct ctl *c, int argc, char **argv, const struct ctl_option *opts, size_t n)
{
	const char *eq = strchr(argv[0], '=');
	size_t len = eq ? (size_t)(eq - argv[0]) : strlen(argv[0]);
	const struct ctl_option *o = find(opts, n, argv[0], len);

	if (!o) {
		ctl_usage(c, "unknown option '%.*s'", (int)len, argv[0]);
		return 0;
	}
	if (!o->value) {
		if (eq) {
			ctl_usage(c, "%s takes no value", o->name);
			return 0;
		}
		*o->flag = true;
		return 1;
	}
	if (!eq && argc < 2) {
		ctl_usage(c, "%s needs a value", o->name);
		return 0;
	}
	*o->value = eq ? eq + 1 : argv[1];
	return eq ? 1 : 2;
}

bool ctl_args(struct ctl *c, int argc, char **argv, const struct ctl_option *opts, size_t n_opts, const char **words, int n_words)
{
	int n;

	return ctl_args_some(c, argc, argv, opts, n_opts, words, n_words, n_words, &n);
}

/* Digits alone, so that nothing is taken for a number that the daemon would not take for one. */
bool ctl_number_arg(const struct ctl *c, const char *name, const char *text, int64_t min, int64_t max, int64_t *ret)
{
	int64_t v = 0;

	if (!text)
		return true;
	if (*text && strlen(text) <= 18 && strspn(text, "0123456789") == strlen(text)) {
		for (const char *p = text; *p; p++)
			v = v * 10 + (*p - '0');
		if (v >= min && v <= max) {
			*ret = v;
			return true;
		}
	}
	ctl_usage(c, "%s '%s' is no number from %" PRId64 " to %" PRId64, name, text, min, max);
	return false;
}

bool ctl_args_some(struct ctl *c, int argc, char **argv, const struct ctl_option *opts, size_t n_opts, const char **words,
		   int n_least, int n_words, int *ret_n)
{
	bool only_words = false;
	int n = 0;

	while (argc > 0) {
		int taken = 1;

		if (!only_words && strcmp(argv[0], "--") == 0) {
			only_words = true;
		} else if (!only_words && argv[0][0] == '-' && argv[0][1]) {
			taken = take_option(c, argc, argv, opts, n_opts);
			if (!taken)
				return false;
		} else if (n == n_words) {
			ctl_usage(c, "unexpected argument '%s'", argv[0]);
			return false;
		} else {
			words[n++] = argv[0];
		}
		argc -= taken;
		argv += taken;
	}
	if (n < n_least) {
		ctl_usage(c, "an argument is missing");
		return false;
	}
	*ret_n = n;
	for (int i = 0; i < n; i++)
		if (!*words[i]) {
			ctl_usage(c, "an argument is empty");
			return false;
		}
	return true;
}
