/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What sends many things again. A pass of the daemon lives as long as its request, so a long one is made of many short
 * requests: each answer says where the next goes on, and whatever happens in between, we know to a second's worth how far it
 * came. An interrupt is obeyed between two of them.
 */
#include <inttypes.h>
#include <signal.h>
#include <string.h>

#include "ctl/ctl.h"

#define AT_ONCE_MAX 1000	/* of one request */

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signo)
{
	interrupted = signo;
}

/* ---- in many requests -------------------------------------------------------------------------------------- */

struct far { char after[32], up_to[32], left_until[40]; int64_t sent, left, passed_over; };

static void say_far(const struct far *f, const char *why, bool dry, int64_t doubt)
{
	CLEAN(buf_done) struct buf b = {};

	buf_addf(&b, "fatectl: %s: %" PRId64 " %s; to go on: ", why, f->sent, dry ? "shown" : "sent");
	buf_addf(&b, *f->after ? "--after %s" : "the same again", f->after);
	if (*f->up_to)
		buf_addf(&b, " --up-to %s", f->up_to);
	if (doubt)
		buf_addf(&b, " (what the last request had sent, at most %" PRId64 ", is sent twice then)", doubt);
	fprintf(stderr, "%s\n", buf_str(&b));
}

static void target_of(struct buf *b, const struct ctl_pass *p, const struct far *f, int64_t n)
{
	char text[32];

	buf_adds(b, p->path);
	snprintf(text, sizeof(text), "%" PRId64, n);
	ctl_query(b, "max", text);
	snprintf(text, sizeof(text), "%" PRId64, p->rate);
	ctl_query(b, "rate", p->rate ? text : NULL);
	ctl_query(b, "after", *f->after ? f->after : NULL);
	ctl_query(b, "upTo", *f->up_to ? f->up_to : NULL);
}

/* A message, an event, or a delivery. */
static void say_left(const cJSON *one)
{
	const char *message = ctl_text(one, "messageId"), *of = ctl_text(one, "redriveOf"), *role = ctl_text(one, "role");

	if (*message)
		fprintf(stderr, "fatectl: message %s", message);
	else
		fprintf(stderr, "fatectl: %s", *of ? of : ctl_text(one, "requestId"));
	fprintf(stderr, "%s%s stays: %s\n", *role ? " " : "", role, ctl_text(one, "reason"));
}

/* One request's answer. */
static void take(struct ctl *c, const struct ctl_pass *p, struct far *f, const struct http_result *res, const cJSON *j)
{
	const cJSON *one;

	if (c->json)
		ctl_puts_raw(buf_str(&res->body), res->body.len, true);
	else
		cJSON_ArrayForEach(one, ctl_member(j, p->done))
			p->each(one, p->arg);
	fflush(stdout);
	cJSON_ArrayForEach(one, ctl_member(j, "left"))
		say_left(one);
	if (*ctl_text(j, "leftUntil"))
		snprintf(f->left_until, sizeof(f->left_until), "%s (%s)", ctl_text(j, "leftUntil"), ctl_age(j, "leftUntil"));
	f->sent += cJSON_GetArraySize(ctl_member(j, p->done));
	f->left += cJSON_GetArraySize(ctl_member(j, "left"));
	f->passed_over += (int64_t)ctl_number(j, "passedOver", 0);
	snprintf(f->after, sizeof(f->after), "%s", ctl_text(j, "after"));
	snprintf(f->up_to, sizeof(f->up_to), "%s", ctl_text(j, "upTo"));
}

int ctl_pass(struct ctl *c, const struct ctl_pass *p)
{
	int64_t at_once = MIN(p->dry || !p->rate ? AT_ONCE_MAX : p->rate, AT_ONCE_MAX);
	struct far f = {};
	bool more = true;

	snprintf(f.after, sizeof(f.after), "%s", p->after ? p->after : "");
	snprintf(f.up_to, sizeof(f.up_to), "%s", p->up_to ? p->up_to : "");
	if (!p->dry) {
		signal(SIGINT, on_interrupt);
		signal(SIGTERM, on_interrupt);
	}
	while (more && f.sent + f.left < p->max) {
		int64_t n = MIN(at_once, p->max - f.sent - f.left);
		CLEAN(http_result_done) struct http_result res = {};
		CLEAN(ctl_json_freep) cJSON *j = NULL;
		CLEAN(buf_done) struct buf target = {};
		int r;

		target_of(&target, p, &f, n);
		r = ctl_call(c, &(struct ctl_request){ .method = "POST", .target = buf_str(&target) }, &res);
		if (r == CTL_OK)
			r = ctl_parse(&res, &j);
		if (r != CTL_OK) {
			/* Refused outright is not begun. */
			if (f.sent || r == CTL_UNREACHABLE || r == CTL_DAEMON_FAILED)
				say_far(&f, "ended early", p->dry, r == CTL_REFUSED || p->dry || !p->twice ? 0 : n);
			return r;
		}
		take(c, p, &f, &res, j);
		more = cJSON_IsTrue(ctl_member(j, "more"));
		if (*ctl_text(j, "stopped")) {
			say_far(&f, ctl_text(j, "stopped"), p->dry, 0);
			return CTL_REFUSED;
		}
		if (interrupted && more) {
			say_far(&f, "interrupted", p->dry, 0);
			signal(interrupted, SIG_DFL);
			raise(interrupted);
		}
	}
	if (f.passed_over)
		fprintf(stderr, "fatectl: passed over, because sent again before: %" PRId64 " (--again sends them once more)\n",
			f.passed_over);
	if (*f.left_until)
		fprintf(stderr, "fatectl: what stays is visible again at %s\n", f.left_until);
	if (more)
		say_far(&f, "there are more", p->dry, 0);
	else if (!f.sent && !f.left && !f.passed_over)
		fprintf(stderr, "fatectl: none matches\n");
	return f.left ? CTL_REFUSED : CTL_OK;
}

/* ---- events ------------------------------------------------------------------------------------------------ */

static void print_sent(const cJSON *e, void *arg)
{
	printf("event %s is event %s of %s\n", ctl_text(e, "redriveOf"), ctl_text(e, "requestId"), ctl_text(e, "function"));
}

static void add_row(const cJSON *e, void *arg)
{
	struct ctl_table *t = arg;

	ctl_cell(t, ctl_text(e, "redriveOf"));
	ctl_cell(t, ctl_text(e, "function"));
	ctl_cell(t, ctl_text(e, "condition"));
	ctl_cell(t, ctl_text(e, "verdict"));
	ctl_cell(t, ctl_text(e, "endedAt"));
}

int ctl_event_redrive(struct ctl *c, int argc, char **argv)
{
	static const char *const headings[] = { "REQUEST ID", "FUNCTION", "CONDITION", "VERDICT", "ENDED", NULL };
	static const char *const names[] = { "function", "verdict", "condition", "since", "until", "timeout", "memory",
		"qualifier" };
	const char *max = NULL, *rate = NULL, *v[ARRAY_SIZE(names)] = {};
	struct ctl_pass p = { .done = "redriven", .max = 100, .rate = 50, .each = print_sent };
	const struct ctl_option opts[] = {
		{ "--function", &v[0], NULL }, { "--verdict", &v[1], NULL }, { "--condition", &v[2], NULL }, { "--since",
			&v[3], NULL },
		{ "--until", &v[4], NULL }, { "--timeout", &v[5], NULL }, { "--memory", &v[6], NULL }, { "--qualifier", &v[7],
			NULL },
		{ "--max", &max, NULL }, { "--rate", &rate, NULL }, { "--dry-run", NULL, &p.dry }, { "--after", &p.after, NULL },
		{ "--up-to", &p.up_to, NULL }, { "--again", NULL, &p.twice },
	};
	CLEAN(buf_done) struct buf path = {};
	struct ctl_table *t;
	int r;

	if (!ctl_args(c, argc, argv, opts, ARRAY_SIZE(opts), NULL, 0) || !ctl_number_arg(c, "--max", max, 1, CTL_PASS_MAX,
		&p.max) ||
	    !ctl_number_arg(c, "--rate", rate, 1, CTL_PASS_RATE_MAX, &p.rate))
		return CTL_USAGE;
	buf_adds(&path, "/fate/v1/events/redrive");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		ctl_query(&path, names[i], v[i]);
	ctl_query(&path, "dryRun", p.dry ? "true" : NULL);
	ctl_query(&path, "again", p.twice ? "true" : NULL);
	p.path = buf_str(&path);
	if (!p.dry || c->json)
		return ctl_pass(c, &p);
	t = ctl_table_new(headings);
	p.each = add_row;
	p.arg = t;
	r = ctl_pass(c, &p);
	ctl_table_print(t, stdout);
	return r;
}

/* ---- messages ---------------------------------------------------------------------------------------------- */

static void print_message(const cJSON *e, void *arg)
{
	if (*ctl_text(e, "requestId"))
		printf("message %s is event %s of %s\n", ctl_text(e, "messageId"), ctl_text(e, "requestId"),
		       ctl_text(e, "function"));
	else
		printf("message %s would go to %s\n", ctl_text(e, "messageId"), ctl_text(e, "function"));
}

int ctl_queue_redrive(struct ctl *c, int argc, char **argv)
{
	static const char *const names[] = { "to", "function", "verdict", "since", "until", "timeout", "memory", "qualifier" };
	const char *name, *max = NULL, *rate = NULL, *v[ARRAY_SIZE(names)] = {};
	struct ctl_pass p = { .done = "redriven", .max = 100, .each = print_message };
	const struct ctl_option opts[] = {
		{ "--max", &max, NULL }, { "--to", &v[0], NULL }, { "--rate", &rate, NULL }, { "--function", &v[1], NULL },
		{ "--verdict", &v[2], NULL }, { "--since", &v[3], NULL }, { "--until", &v[4], NULL }, { "--timeout", &v[5], NULL },
		{ "--memory", &v[6], NULL }, { "--qualifier", &v[7], NULL }, { "--dry-run", NULL, &p.dry },
		{ "--after", &p.after, NULL }, { "--up-to", &p.up_to, NULL },
	};
	CLEAN(buf_done) struct buf path = {};

	if (!ctl_args(c, argc, argv, opts, ARRAY_SIZE(opts), &name, 1) ||
	    !ctl_number_arg(c, "--max", max, 1, CTL_PASS_MAX, &p.max) ||
	    !ctl_number_arg(c, "--rate", rate, 1, CTL_PASS_RATE_MAX, &p.rate))
		return CTL_USAGE;
	ctl_path(&path, "/fate/v1/queues/", name, "/redrive");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		ctl_query(&path, names[i], v[i]);
	ctl_query(&path, "dryRun", p.dry ? "true" : NULL);
	p.path = buf_str(&path);
	return ctl_pass(c, &p);
}
