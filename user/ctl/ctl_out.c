/* SPDX-License-Identifier: Apache-2.0 */
/* Tables, times and JSON for people. What comes from functions may hold anything, so control characters are replaced
 * wherever text goes into a table or a line: a terminal must not obey a function's output. */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "ctl/ctl.h"

/* ---- tables ------------------------------------------------------------------------------------------------ */

#define COLUMNS_MAX 16

struct ctl_table {
	char **cells;
	size_t n, cap, columns;
	bool right[COLUMNS_MAX];
};

static void cell_add(struct ctl_table *t, const char *text)
{
	if (t->n == t->cap) {
		t->cap = t->cap ? t->cap * 2 : 64;
		t->cells = xrealloc(t->cells, t->cap * sizeof(*t->cells));
	}
	t->cells[t->n] = xstrdup(text && *text ? text : "-");
	for (char *p = t->cells[t->n]; *p; p++)
		if (iscntrl((unsigned char)*p))
			*p = '?';
	t->n++;
}

struct ctl_table *ctl_table_new(const char *const *headings)
{
	struct ctl_table *t = XNEW(struct ctl_table);

	for (; headings[t->columns] && t->columns < COLUMNS_MAX; t->columns++) {
		t->right[t->columns] = headings[t->columns][0] == '>';
		cell_add(t, headings[t->columns] + t->right[t->columns]);
	}
	return t;
}

void ctl_cell(struct ctl_table *t, const char *text)
{
	cell_add(t, text);
}

void ctl_cellf(struct ctl_table *t, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	cell_add(t, text);
}

/* Characters, not bytes; wide ones count as one. */
static size_t width(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

void ctl_table_print(struct ctl_table *t, FILE *to)
{
	size_t w[COLUMNS_MAX] = {};

	for (size_t i = 0; i < t->n; i++)
		w[i % t->columns] = MAX(w[i % t->columns], width(t->cells[i]));
	for (size_t i = 0; i < t->n; i++) {
		size_t col = i % t->columns, pad = w[col] - width(t->cells[i]);
		bool last = col + 1 == t->columns;

		fprintf(to, "%*s%s%*s%s", t->right[col] ? (int)pad : 0, "", t->cells[i], t->right[col] || last ? 0 : (int)pad, "",
			last ? "\n" : "  ");
		free(t->cells[i]);
	}
	free(t->cells);
	free(t);
}

/* ---- members and times ------------------------------------------------------------------------------------- */

#define DURATION_MAX_MS 1e15	/* 30,000 years; an answer may have any number in it */

static char *ring(void)
{
	static char buffers[8][512];
	static unsigned int at;

	return buffers[at++ % ARRAY_SIZE(buffers)];
}

const cJSON *ctl_member(const cJSON *object, const char *name)
{
	return cJSON_GetObjectItemCaseSensitive(object, name);
}

const char *ctl_text(const cJSON *object, const char *name)
{
	const cJSON *v = ctl_member(object, name);
	char *out;

	if (cJSON_IsString(v))
		return v->valuestring;
	out = ring();
	if (cJSON_IsNumber(v))
		snprintf(out, 512, "%.15g", v->valuedouble);
	else if (cJSON_IsBool(v))
		snprintf(out, 512, "%s", cJSON_IsTrue(v) ? "yes" : "no");
	else
		*out = '\0';
	return out;
}

double ctl_sum(const cJSON *object)
{
	const cJSON *m;
	double n = 0;

	cJSON_ArrayForEach(m, object)
		n += cJSON_IsNumber(m) ? m->valuedouble : 0;
	return n;
}

double ctl_number(const cJSON *object, const char *name, double fallback)
{
	const cJSON *v = ctl_member(object, name);

	return cJSON_IsNumber(v) ? v->valuedouble : fallback;
}

bool ctl_screen(void)
{
	const char *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && term && *term && strcmp(term, "dumb") != 0;
}

bool ctl_colour(void)
{
	const char *no = getenv("NO_COLOR");

	return ctl_screen() && !(no && *no);
}

const char *ctl_paint(enum ctl_paint how, const char *text)
{
	static const char *const codes[] = { [CTL_GREEN] = "32", [CTL_YELLOW] = "33", [CTL_RED] = "1;31", [CTL_BOLD] = "1" };
	char *out;

	if (!ctl_colour())
		return text;
	out = ring();
	snprintf(out, 512, "\033[%sm%.500s\033[0m", codes[how], text);
	return out;
}

bool ctl_parse_iso(const char *text, int64_t *ret_ms)
{
	int y, mo, d, h, mi, s, ms, n = 0;
	struct tm tm = {};

	if (sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ%n", &y, &mo, &d, &h, &mi, &s, &ms, &n) != 7 || text[n])
		return false;
	tm.tm_year = y - 1900;
	tm.tm_mon = mo - 1;
	tm.tm_mday = d;
	tm.tm_hour = h;
	tm.tm_min = mi;
	tm.tm_sec = s;
	*ret_ms = (int64_t)timegm(&tm) * 1000 + ms;
	return true;
}

const char *ctl_duration(double value)
{
	int64_t ms = (int64_t)MIN(MAX(value, 0), DURATION_MAX_MS), s = ms / 1000;
	char *out = ring();

	if (ms < 10000)
		snprintf(out, 512, "%" PRId64 ".%" PRId64 "s", s, ms % 1000 / 100);
	else if (s < 60)
		snprintf(out, 512, "%" PRId64 "s", s);
	else if (s < 3600)
		snprintf(out, 512, "%" PRId64 "m %" PRId64 "s", s / 60, s % 60);
	else if (s < 86400)
		snprintf(out, 512, "%" PRId64 "h %" PRId64 "m", s / 3600, s / 60 % 60);
	else
		snprintf(out, 512, "%" PRId64 "d %" PRId64 "h", s / 86400, s / 3600 % 24);
	return out;
}

const char *ctl_bytes(double n)
{
	static const char units[] = "BKMGT";
	char *out = ring();
	size_t u = 0;

	for (; n >= 1024 && units[u + 1]; u++)
		n /= 1024;
	snprintf(out, 512, u && n < 99.95 ? "%.1f%c" : "%.0f%c", n, units[u]);
	return out;
}

const char *ctl_age(const cJSON *object, const char *name)
{
	int64_t at, now = clock_wall_ms();
	char *out = ring();

	*out = '\0';
	if (ctl_parse_iso(ctl_text(object, name), &at))
		snprintf(out, 512, at > now ? "in %s" : "%s ago", ctl_duration((double)(at > now ? at - now : now - at)));
	return out;
}

/* ---- JSON -------------------------------------------------------------------------------------------------- */

static void print_clean(const char *text, FILE *to)
{
	for (; *text; text++)
		fputc(iscntrl((unsigned char)*text) ? '?' : *text, to);
}

void ctl_flat(const cJSON *value, const char *prefix, FILE *to)
{
	const cJSON *child;
	int i = 0;

	if (cJSON_IsObject(value) || cJSON_IsArray(value)) {
		if (!value->child) {
			print_clean(prefix, to);
			fputs("  -\n", to);
			return;
		}
		cJSON_ArrayForEach(child, value) {
			CLEAN(buf_done) struct buf name = {};

			if (cJSON_IsArray(value))
				buf_addf(&name, "%s[%d]", prefix, i++);
			else
				buf_addf(&name, "%s%s%s", prefix, *prefix ? "." : "", child->string);
			ctl_flat(child, buf_str(&name), to);
		}
		return;
	}
	print_clean(prefix, to);
	fputs("  ", to);
	if (cJSON_IsString(value))
		print_clean(value->valuestring, to);
	else if (cJSON_IsNumber(value))
		fprintf(to, "%.15g", value->valuedouble);
	else
		fputs(cJSON_IsTrue(value) ? "true" : cJSON_IsFalse(value) ? "false" : "null", to);
	fputc('\n', to);
}

static void line_break(struct buf *b, int indent)
{
	buf_addc(b, '\n');
	for (int i = 0; i < indent; i++)
		buf_addc(b, ' ');
}

/* Length of the string at json[i], its quotes included. */
static size_t string_len(const char *json, size_t len, size_t i)
{
	size_t from = i++;

	while (i < len && json[i] != '"')
		i += json[i] == '\\' ? 2 : 1;
	return MIN(i + 1, len) - from;
}

static bool is_space(char ch)
{
	return ch == ' ' || ch == '\t' || ch == '\n' || ch == '\r';
}

void ctl_pretty(struct buf *b, const char *json, size_t len, int indent)
{
	if (!json_valid(json, len, NULL)) {	/* not ours to lay out */
		buf_add(b, json, len);
		return;
	}
	for (size_t i = 0, n; i < len; i += n) {
		char ch = json[i];

		n = 1;
		if (ch == '"') {
			n = string_len(json, len, i);
			buf_add(b, json + i, n);
		} else if (ch == '{' || ch == '[') {
			buf_addc(b, ch);
			while (i + n < len && is_space(json[i + n]))
				n++;
			if (json[i + n] == '}' || json[i + n] == ']') {
				buf_addc(b, json[i + n++]);
				continue;
			}
			indent += 2;
			line_break(b, indent);
		} else if (ch == '}' || ch == ']') {
			indent -= 2;
			line_break(b, indent);
			buf_addc(b, ch);
		} else if (ch == ',') {
			buf_addc(b, ch);
			line_break(b, indent);
		} else if (ch == ':') {
			buf_adds(b, ": ");
		} else if (!is_space(ch)) {
			buf_addc(b, ch);
		}
	}
}

struct ctl_each ctl_each_of(const struct http_result *res, const char *member)
{
	struct ctl_each e = {};
	size_t n;

	if (json_valid(buf_str(&res->body), res->body.len, NULL) &&
	    json_member(buf_str(&res->body), res->body.len, member, &e.at, &n))
		e.end = e.at + n;
	return e;
}

bool ctl_each_next(struct ctl_each *e, const char **ret, size_t *ret_len)
{
	int depth = 0;

	/* Valid JSON, and its elements are objects: braces outside strings are all there is to count. */
	for (; e->at < e->end; e->at++) {
		if (*e->at == '"') {
			for (e->at++; e->at < e->end && *e->at != '"'; e->at++)
				e->at += *e->at == '\\';
		} else if (*e->at == '{' && depth++ == 0) {
			*ret = e->at;
		} else if (*e->at == '}' && --depth == 0) {
			e->at++;
			*ret_len = (size_t)(e->at - *ret);
			return true;
		}
	}
	return false;
}

void ctl_more(const cJSON *j)
{
	if (*ctl_text(j, "next"))
		fprintf(stderr, "fatectl: there are more: --before %s\n", ctl_text(j, "next"));
}

void ctl_puts_raw(const char *data, size_t len, bool line)
{
	fwrite(data, 1, len, stdout);
	if (line && (!len || data[len - 1] != '\n'))
		fputc('\n', stdout);
}

bool ctl_write(const char *data, size_t len, int *ret_exit)
{
	while (len) {
		ssize_t n = write(STDOUT_FILENO, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			*ret_exit = errno == EPIPE ? CTL_OK : CTL_USAGE;
			if (errno != EPIPE)
				perror("fatectl: stdout");
			return false;
		}
		data += n;
		len -= (size_t)n;
	}
	return true;
}
