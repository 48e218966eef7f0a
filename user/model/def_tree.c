/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_valid() says whether the text is strict JSON; cJSON builds the tree. Between the two lie strings that are
 * valid JSON and cannot be C strings: "\u0000" (cJSON would cut the string there, so that "/bin/true\u0000x" ran
 * /bin/true) and half a surrogate pair (cJSON refuses the whole text without saying where). Both are replaced, in a
 * copy, by bytes that occur in no valid UTF-8. They arrive in the tree where they belong, so whoever reads a string
 * can refuse it with its path. Walking text and tree side by side was the alternative, and a second parser.
 */
#include "model/def_tree.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"

#define MARK_NUL 0xff
#define MARK_HALF 0xfe
#define NEAREST_MAX 64		/* longer names are nobody's typing error */
#define PATH_NAME_MAX 64

static int not_json(const char *json, size_t len, size_t at, struct err *e)
{
	size_t line = 1, column = 1;
	unsigned char c;

	if (len >= 3 && memcmp(json, "\xef\xbb\xbf", 3) == 0)
		return err_set(e, -EINVAL, "begins with a byte order mark; save it as UTF-8 without one");
	for (size_t i = 0; i < at && i < len; i++) {
		column++;
		if (json[i] == '\n') {
			line++;
			column = 1;
		}
	}
	if (at >= len)
		return err_set(e, -EINVAL, "is not valid JSON: line %zu, column %zu: it ends too early", line, column);
	c = (unsigned char)json[at];
	if (isprint(c))
		return err_set(e, -EINVAL, "is not valid JSON: line %zu, column %zu: unexpected '%c'", line, column, c);
	return err_set(e, -EINVAL, "is not valid JSON: line %zu, column %zu: unexpected byte 0x%02x", line, column, c);
}

static unsigned int hex4(const char *p)
{
	unsigned int v = 0;

	for (int i = 0; i < 4; i++)
		v = v << 4 | (unsigned int)(isdigit((unsigned char)p[i]) ? p[i] - '0' : (p[i] | 32) - 'a' + 10);
	return v;
}

/* Copies valid JSON, with the marks. out holds len bytes; returns how many were used. */
static size_t copy_marked(const char *json, size_t len, char *out)
{
	const char *p = json, *end = json + len;
	char *o = out;

	while (p < end) {
		unsigned int c;

		if (*p != '\\') {
			*o++ = *p++;
			continue;
		}
		if (p[1] != 'u') {	/* valid: a backslash is always in a string and followed by something */
			*o++ = *p++;
			*o++ = *p++;
			continue;
		}
		c = hex4(p + 2);
		if (c == 0 || (c >= 0xdc00 && c < 0xe000)) {
			*o++ = (char)(c ? MARK_HALF : MARK_NUL);
			p += 6;
			continue;
		}
		if (c >= 0xd800 && c < 0xdc00) {
			unsigned int low = end - p >= 12 && p[6] == '\\' && p[7] == 'u' ? hex4(p + 8) : 0;

			if (low < 0xdc00 || low >= 0xe000) {
				*o++ = (char)MARK_HALF;
				p += 6;
				continue;
			}
			memcpy(o, p, 6);
			o += 6;
			p += 6;
		}
		memcpy(o, p, 6);
		o += 6;
		p += 6;
	}
	return (size_t)(o - out);
}

int def_tree_parse(const char *json, size_t len, cJSON **ret, struct err *e)
{
	CLEAN(freep) char *copy = NULL;
	const char *stop = NULL;
	size_t at = 0, n, line = 1;
	cJSON *root;

	if (!json_valid(json, len, &at))
		return not_json(json, len, at, e);
	copy = malloc(len + 1);
	if (!copy)
		return err_set(e, -ENOMEM, "no memory for %zu bytes", len);
	n = copy_marked(json, len, copy);
	copy[n] = '\0';
	root = cJSON_ParseWithLengthOpts(copy, n, &stop, false);
	if (!root) {
		/* Strict JSON that cJSON cannot take: in older versions numbers end after 63 characters. Or no memory. */
		for (const char *p = copy; p < stop && p < copy + n; p++)
			line += *p == '\n';
		return err_set(e, -EINVAL, "cannot be read: line %zu: a number of more than 63 characters, or no memory", line);
	}
	*ret = root;
	return 0;
}

const char *def_tree_text_problem(const char *s)
{
	if (strchr(s, MARK_NUL))
		return "contains a NUL character";
	if (strchr(s, MARK_HALF))
		return "contains half of a surrogate pair";
	return NULL;
}

const char *def_tree_type(const cJSON *v)
{
	if (cJSON_IsString(v))
		return "a string";
	if (cJSON_IsNumber(v))
		return "a number";
	if (cJSON_IsBool(v))
		return cJSON_IsTrue(v) ? "true" : "false";
	if (cJSON_IsArray(v))
		return "a list";
	if (cJSON_IsObject(v))
		return "an object";
	return "null";
}

size_t def_path_add(struct buf *path, const char *name)
{
	size_t before = path->len, len = strlen(name);
	bool plain = len > 0 && len <= PATH_NAME_MAX && !isdigit((unsigned char)name[0]);

	for (const char *p = name; *p && plain; p++)
		plain = *p == '_' || (isascii(*p) && isalnum((unsigned char)*p));
	if (plain) {
		buf_addf(path, ".%s", name);
		return before;
	}
	buf_addc(path, '[');
	(void)json_add_string(path, name, utf8_cut(name, len, PATH_NAME_MAX));
	buf_adds(path, len > PATH_NAME_MAX ? "…]" : "]");
	return before;
}

size_t def_path_add_index(struct buf *path, size_t i)
{
	size_t before = path->len;

	buf_addf(path, "[%zu]", i);
	return before;
}

void def_path_cut(struct buf *path, size_t len)
{
	path->len = len;
	path->data[len] = '\0';
}

/* Levenshtein's distance without regard to case; both at most NEAREST_MAX long. */
static size_t distance(const char *a, const char *b)
{
	size_t row[NEAREST_MAX + 1], la = strlen(a), lb = strlen(b);

	for (size_t j = 0; j <= lb; j++)
		row[j] = j;
	for (size_t i = 1; i <= la; i++) {
		size_t corner = row[0];

		row[0] = i;
		for (size_t j = 1; j <= lb; j++) {
			bool same = tolower((unsigned char)a[i - 1]) == tolower((unsigned char)b[j - 1]);
			size_t d = MIN(corner + (same ? 0 : 1), MIN(row[j], row[j - 1]) + 1);

			corner = row[j];
			row[j] = d;
		}
	}
	return row[lb];
}

void def_nearest_try(struct def_nearest *n, const char *candidate)
{
	size_t len = strlen(n->name), d;

	if (len > NEAREST_MAX || strlen(candidate) > NEAREST_MAX)
		return;
	d = distance(n->name, candidate);
	if (d * 3 > len || (n->best && d >= n->distance))
		return;
	n->best = candidate;
	n->distance = d;
}
