/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records of ended events. The tail asks again and again, from the last position it has printed on: a position is given
 * once and for all, so neither a restart of the daemon nor an answer that broke off loses or repeats a record.
 */
#include <string.h>

#include "base/json.h"
#include "ctl/ctl.h"

#define PAGE "1000"
#define TAIL_DEFAULT 10
#define TAIL_MAX 1000

/* What the last attempt came to: its verdict when the record tells, else what AWS's part of it says. */
static const char *verdict(const cJSON *record)
{
	const cJSON *fate = ctl_member(record, "fate");
	const cJSON *list = ctl_member(fate, "attempts");
	int n = cJSON_GetArraySize(list);

	if (n)
		return ctl_text(cJSON_GetArrayItem(list, n - 1), "verdict");
	return ctl_text(ctl_member(record, "responseContext"), "functionError");
}

int ctl_record_list(struct ctl *c, int argc, char **argv)
{
	static const char *const headings[] = { "REQUEST ID", "FUNCTION", "CONDITION", "VERDICT", ">ATTEMPTS", "AT", NULL };
	CLEAN(ctl_json_freep) cJSON *j = NULL;
	struct ctl_table *t;
	const cJSON *e;
	int r = ctl_get_page(c, argc, argv, "/fate/v1/records", "condition", &j);

	if (!j)
		return r;
	t = ctl_table_new(headings);
	cJSON_ArrayForEach(e, ctl_member(j, "records")) {
		const cJSON *record = ctl_member(e, "record");

		ctl_cell(t, ctl_text(e, "requestId"));
		ctl_cell(t, ctl_text(e, "function"));
		ctl_cell(t, ctl_text(e, "condition"));
		ctl_cell(t, verdict(record));
		ctl_cell(t, ctl_text(ctl_member(record, "requestContext"), "approximateInvokeCount"));
		ctl_cell(t, ctl_age(e, "at"));
	}
	ctl_table_print(t, stdout);
	ctl_more(j);
	return CTL_OK;
}

int ctl_record_show(struct ctl *c, int argc, char **argv)
{
	CLEAN(http_result_done) struct http_result res = {};
	CLEAN(buf_done) struct buf b = {};
	const char *id;
	int r;

	if (!ctl_args(c, argc, argv, NULL, 0, &id, 1))
		return CTL_USAGE;
	r = ctl_fetch(c, "/fate/v1/records/", id, &res);
	if (r != CTL_OK)
		return r;
	if (!c->json)
		ctl_pretty(&b, buf_str(&res.body), res.body.len, 0);
	else
		buf_add(&b, buf_str(&res.body), res.body.len);
	ctl_puts_raw(buf_str(&b), b.len, true);
	return CTL_OK;
}

/* ---- tail -------------------------------------------------------------------------------------------------- */

struct tail {
	struct ctl *c;
	const char *function, *condition;
	int64_t after;			/* the last position that was seen; -1: none yet */
	int64_t last;			/* of the newest record there is, from an answer that held none */
	struct buf lines;		/* of the answer at hand */
	size_t n;			/* how many */
	bool patient;			/* a daemon that is away is waited for */
	bool gone;			/* it is, and that was said */
};

/* One record for people, or as it is. text: the element's own, for the record must come out as it went in. */
static void add_line(struct tail *t, const char *text, size_t len, const cJSON *e)
{
	const char *v = verdict(ctl_member(e, "record"));
	size_t n;

	if (!t->c->json)
		buf_addf(&t->lines, "%s  %-16s  %s  %-17s  %s", ctl_text(e, "at"), ctl_text(e, "function"),
			 ctl_text(e, "requestId"), ctl_text(e, "condition"), *v ? v : "-");
	else if (json_member(text, len, "record", &v, &n))
		buf_add(&t->lines, v, n);
	buf_addc(&t->lines, '\n');
	t->n++;
}

/* An answer's records up to position `until`. */
static int take_page(struct tail *t, const struct http_result *res, int64_t until)
{
	struct ctl_each each = ctl_each_of(res, "records");
	CLEAN(ctl_json_freep) cJSON *head = NULL;
	const char *text;
	size_t len;
	int r;

	while (ctl_each_next(&each, &text, &len)) {
		CLEAN(ctl_json_freep) cJSON *e = cJSON_ParseWithLength(text, len);
		int64_t pos = (int64_t)ctl_number(e, "pos", 0);

		if (pos > until)
			return CTL_OK;
		add_line(t, text, len, e);
		t->after = pos;
	}
	if (t->n)
		return CTL_OK;	/* there may be more: asked for next */
	r = ctl_parse(res, &head);
	t->last = (int64_t)ctl_number(head, "lastPos", 0);
	return r;
}

/* What comes after t->after, up to position `until`, into t->lines. */
static int ask(struct tail *t, int64_t until)
{
	CLEAN(http_result_done) struct http_result res = {};
	CLEAN(buf_done) struct buf path = {};
	struct ctl_request req = { .method = "GET", .patient = t->patient };
	char after[24];
	int r;

	buf_clear(&t->lines);
	t->n = 0;
	t->last = t->after;
	buf_adds(&path, "/fate/v1/records/tail");
	snprintf(after, sizeof(after), "%lld", (long long)t->after);
	ctl_query(&path, "after", t->after < 0 ? NULL : after);
	ctl_query(&path, "limit", PAGE);
	ctl_query(&path, "function", t->function);
	ctl_query(&path, "condition", t->condition);
	req.target = buf_str(&path);
	r = ctl_call(t->c, &req, &res);
	if (r == CTL_UNREACHABLE && t->patient) {
		if (!t->gone)
			fputs("fatectl: daemon is gone, waiting\n", stderr);
		t->gone = true;
		return CTL_OK;
	}
	t->gone = false;
	return r == CTL_OK ? take_page(t, &res, until) : r;
}

/* All from position `from` on up to `last`, one line after the other, into *lines. *ret_n: how many. */
static int ask_all(struct tail *t, int64_t from, int64_t last, struct buf *lines, size_t *ret_n)
{
	int r = CTL_OK;

	*ret_n = 0;
	buf_clear(lines);
	t->after = from;
	do {
		r = ask(t, last);
		buf_add(lines, buf_str(&t->lines), t->lines.len);
		*ret_n += t->n;
	} while (r == CTL_OK && t->n && t->after < last);
	return r;
}

/* The last n of those up to `last`. Without a filter they are at the last positions; with one, we look further and further
 * back, until there are enough or no more. */
static bool print_last(struct tail *t, size_t n, int64_t last, int *ret_exit)
{
	CLEAN(buf_done) struct buf lines = {};
	int64_t window = (int64_t)n, from;
	const char *p;
	size_t found;

	do {
		from = MAX(last - window, (int64_t)0);
		*ret_exit = ask_all(t, from, last, &lines, &found);
		window *= 16;
	} while (*ret_exit == CTL_OK && found < n && from > 0);
	p = buf_str(&lines);
	for (; found > n; found--)
		p = strchr(p, '\n') + 1;	/* a record has no line break in it */
	t->after = last;
	return *ret_exit == CTL_OK && ctl_write(p, strlen(p), ret_exit);
}

static int follow(struct tail *t)
{
	int r = CTL_OK;
	bool going = true;

	t->patient = true;
	while (going) {
		r = ask(t, INT64_MAX);
		if (!t->n)
			t->after = t->last;	/* also when it has become less: another store */
		going = r == CTL_OK && ctl_write(buf_str(&t->lines), t->lines.len, &r) && (t->n || ctl_follow_rest());
	}
	return r;
}

int ctl_record_tail(struct ctl *c, int argc, char **argv)
{
	struct tail t = { .c = c, .after = -1 };
	const char *number = NULL;
	const struct ctl_option opts[] = { { "--function", &t.function, NULL }, { "--condition", &t.condition, NULL },
					   { "-n", &number, NULL } };
	unsigned long n = TAIL_DEFAULT;
	int r;

	if (!ctl_args(c, argc, argv, opts, ARRAY_SIZE(opts), NULL, 0))
		return CTL_USAGE;
	if (number) {
		if (!*number || strlen(number) > 4 || strspn(number, "0123456789") != strlen(number) ||
		    (n = strtoul(number, NULL, 10)) > TAIL_MAX)
			return ctl_usage(c, "-n takes a number from 0 to %d", TAIL_MAX);
	}
	ctl_follow_begin();
	r = ask(&t, INT64_MAX);
	if (r == CTL_OK) {
		t.after = t.last;
		if (!n || print_last(&t, n, t.last, &r))
			r = follow(&t);
	}
	buf_done(&t.lines);
	return r;
}
