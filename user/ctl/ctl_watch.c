/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --watch, for any verb that only looks: the verb runs as it always does, over and over, with its output caught.
 *
 * stdout and stderr are variables in glibc, and what verbs print goes through them; so a round is caught by pointing
 * them at memory, and a verb needs to know nothing of being watched.
 */
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "ctl/ctl.h"
#include "ctl/ctl_screen.h"

struct caught { char *out, *err; size_t out_len, err_len; };

static void caught_done(struct caught *f)
{
	free(f->out);
	free(f->err);
	*f = (struct caught){};
}

static int catch_round(struct ctl *c, const struct ctl_show *s, bool again, struct caught *f)
{
	FILE *real_out = stdout, *real_err = stderr, *out, *err;
	struct caught now = {};
	int r;

	out = open_memstream(&now.out, &now.out_len);
	err = open_memstream(&now.err, &now.err_len);
	if (!out || !err) {
		perror("fatectl");
		abort();	/* no memory for a few hundred bytes: as xcalloc does */
	}
	fflush(NULL);
	stdout = out;
	stderr = err;
	r = s->round(c, s->arg, again);
	stdout = real_out;
	stderr = real_err;
	fclose(out);
	fclose(err);
	if (r == CTL_UNREACHABLE && c->patient) {	/* what was seen last stays on the screen */
		caught_done(&now);
		return r;
	}
	caught_done(f);
	*f = now;
	return r;
}

/* On a terminal: a line about the round, what it said, what it warned of. */
static bool draw(const struct ctl_show *s, const struct caught *f, int r)
{
	CLEAN(buf_done) struct buf b = {};
	time_t now = (time_t)(clock_wall_ms() / 1000);
	char text[200], at[16] = "";
	struct tm tm;

	if (localtime_r(&now, &tm))
		strftime(at, sizeof(at), "%H:%M:%S", &tm);
	snprintf(text, sizeof(text), "%s, every %g s, %s", s->title, (double)s->interval_ms / 1000, at);
	buf_addf(&b, "%s\n\n", r == CTL_UNREACHABLE ? ctl_paint(CTL_RED, "daemon is gone, waiting") : ctl_paint(CTL_BOLD, text));
	buf_add(&b, f->out, f->out_len);
	buf_add(&b, f->err, f->err_len);
	return screen_draw(buf_str(&b));
}

/* Not a terminal: one block after the other. */
static bool append(const struct caught *f, int r, bool first, bool was_gone)
{
	CLEAN(buf_done) struct buf b = {};

	if (r == CTL_UNREACHABLE) {
		if (!was_gone)
			fputs("fatectl: daemon is gone, waiting\n", stderr);
		return true;
	}
	buf_adds(&b, first ? "" : "\n");
	buf_add(&b, f->out, f->out_len);
	fwrite(f->err, 1, f->err_len, stderr);
	return screen_draw(buf_str(&b));
}

/* Until the next round is due. False: the end. */
static bool wait_and_serve(struct ctl *c, const struct ctl_show *s, struct caught *f, int *r)
{
	int64_t due = clock_mono_ns() + s->interval_ms * NS_PER_MS;

	for (;;) {
		int64_t left = (due - clock_mono_ns() + NS_PER_MS - 1) / NS_PER_MS;
		int key = left > 0 ? screen_wait(left) : SCREEN_TIME;

		if (key == SCREEN_TIME)
			return true;
		if (key == SCREEN_END || key == 'q')
			return false;
		if (key == SCREEN_RESIZED && !ctl_screen())
			continue;
		if (key > 0 && (!s->key || !s->key(s->arg, key) || *r == CTL_UNREACHABLE))
			continue;
		if (key > 0)
			*r = catch_round(c, s, true, f);
		if (!draw(s, f, *r))
			return false;
	}
}

int ctl_show(struct ctl *c, const struct ctl_show *s)
{
	CLEAN(caught_done) struct caught f = {};
	bool screen = ctl_screen(), going = true, gone = false;
	int r = catch_round(c, s, false, &f);

	if (r != CTL_OK && r != CTL_DRIFT) {
		fwrite(f.out, 1, f.out_len, stdout);
		fwrite(f.err, 1, f.err_len, stderr);
		return r;
	}
	c->patient = true;
	screen_status(r);
	screen_open();
	for (bool first = true; going; first = false) {
		if (!first)
			r = catch_round(c, s, false, &f);
		screen_status(r);
		going = screen ? draw(s, &f, r) : append(&f, r, first, gone);
		gone = r == CTL_UNREACHABLE;
		going = going && wait_and_serve(c, s, &f, &r);
	}
	screen_close();
	return r;
}

bool ctl_interval(const struct ctl *c, const char *option, const char *text, int64_t *ret_ms)
{
	char *end;
	double s = strtod(text, &end);

	if (end == text || *end || !(s >= 0.1 && s <= 3600)) {
		ctl_usage(c, "%s: '%s' is not a number of seconds between 0.1 and 3600", option, text);
		return false;
	}
	*ret_ms = (int64_t)(s * 1000 + 0.5);
	return true;
}

/* ---- the verb below ---------------------------------------------------------------------------------------- */

struct watched { int argc; char **argv; };

static int run_verb(struct ctl *c, void *arg, bool again)
{
	struct watched *w = arg;

	return c->verb->run(c, w->argc, w->argv);
}

bool ctl_may_watch(const struct ctl_verb *v)
{
	return strstr(v->args, "[--watch[=");
}

int ctl_watch(struct ctl *c, int argc, char **argv)
{
	CLEAN(buf_done) struct buf title = {};
	struct watched w = { .argv = argv };
	struct ctl_show s = { .interval_ms = 2000, .round = run_verb, .arg = &w };
	bool on = false, words = false;

	buf_addf(&title, "fatectl %s", c->verb->name);
	for (int i = 0; i < argc; i++) {
		words |= strcmp(argv[i], "--") == 0;
		if (words || strncmp(argv[i], "--watch", 7) != 0 || (argv[i][7] && argv[i][7] != '=')) {
			buf_addf(&title, " %s", argv[i]);
			w.argv[w.argc++] = argv[i];
		} else {
			on = true;
			if (argv[i][7] && !ctl_interval(c, "--watch", argv[i] + 8, &s.interval_ms))
				return CTL_USAGE;
		}
	}
	s.title = buf_str(&title);
	return on ? ctl_show(c, &s) : c->verb->run(c, w.argc, w.argv);
}
