/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A checker, not a parser: it walks the bytes once and keeps no tree. cJSON would do for well-formed input, but
 * it accepts what RFC 8259 does not (control characters, broken UTF-8, odd numbers), and what we accept here is
 * written into records that strict readers must parse.
 */
#include "base/json.h"

#include <stdint.h>
#include <string.h>

struct scan {
	const char *at, *end;
	unsigned int depth;
};

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static void skip_space(struct scan *s)
{
	while (s->at < s->end && is_space(*s->at))
		s->at++;
}

/* Length of the valid UTF-8 character at p, or 0; then *ret_bad is the length of the maximal broken piece. */
static size_t utf8_len(const char *p, const char *end, size_t *ret_bad)
{
	const uint8_t *u = (const uint8_t *)p;
	size_t left = (size_t)(end - p), need;
	uint8_t lo = 0x80, hi = 0xbf;

	if (u[0] < 0x80)
		return 1;
	*ret_bad = 1;
	if (u[0] >= 0xc2 && u[0] <= 0xdf)
		need = 2;
	else if (u[0] >= 0xe0 && u[0] <= 0xef)
		need = 3;
	else if (u[0] >= 0xf0 && u[0] <= 0xf4)
		need = 4;
	else
		return 0;
	if (u[0] == 0xe0)
		lo = 0xa0;	/* overlong */
	else if (u[0] == 0xed)
		hi = 0x9f;	/* surrogates */
	else if (u[0] == 0xf0)
		lo = 0x90;
	else if (u[0] == 0xf4)
		hi = 0x8f;	/* beyond U+10FFFF */
	for (size_t i = 1; i < need; i++) {
		if (i >= left || u[i] < lo || u[i] > hi) {
			*ret_bad = i;
			return 0;
		}
		lo = 0x80;
		hi = 0xbf;
	}
	return need;
}

static int hex4(const char *p)
{
	int v = 0;

	for (int i = 0; i < 4; i++) {
		char c = p[i];

		v <<= 4;
		if (is_digit(c))
			v |= c - '0';
		else if ((c | 32) >= 'a' && (c | 32) <= 'f')
			v |= (c | 32) - 'a' + 10;
		else
			return -1;
	}
	return v;
}

static bool scan_string(struct scan *s)
{
	size_t bad;

	if (s->at >= s->end || *s->at != '"')
		return false;
	s->at++;
	while (s->at < s->end) {
		uint8_t c = (uint8_t)*s->at;
		size_t n;

		if (c == '"') {
			s->at++;
			return true;
		}
		if (c < 0x20)
			return false;
		if (c == '\\') {
			if (s->end - s->at < 2)
				return false;
			if (s->at[1] == 'u') {
				if (s->end - s->at < 6 || hex4(s->at + 2) < 0)
					return false;
				s->at += 6;
			} else if (strchr("\"\\/bfnrt", s->at[1]) && s->at[1]) {
				s->at += 2;
			} else {
				return false;
			}
			continue;
		}
		n = utf8_len(s->at, s->end, &bad);
		if (!n)
			return false;
		s->at += n;
	}
	return false;
}

static bool scan_digits(struct scan *s)
{
	if (s->at >= s->end || !is_digit(*s->at))
		return false;
	while (s->at < s->end && is_digit(*s->at))
		s->at++;
	return true;
}

static bool scan_number(struct scan *s)
{
	if (s->at < s->end && *s->at == '-')
		s->at++;
	if (s->at < s->end && *s->at == '0')
		s->at++;
	else if (!scan_digits(s))
		return false;
	if (s->at < s->end && *s->at == '.') {
		s->at++;
		if (!scan_digits(s))
			return false;
	}
	if (s->at < s->end && (*s->at | 32) == 'e') {
		s->at++;
		if (s->at < s->end && (*s->at == '+' || *s->at == '-'))
			s->at++;
		if (!scan_digits(s))
			return false;
	}
	return true;
}

static bool scan_word(struct scan *s, const char *word)
{
	size_t n = strlen(word);

	if ((size_t)(s->end - s->at) < n || memcmp(s->at, word, n) != 0)
		return false;
	s->at += n;
	return true;
}

static bool scan_value(struct scan *s);

static bool scan_container(struct scan *s, char close)
{
	bool object = close == '}', ok = false;

	if (++s->depth > JSON_DEPTH_MAX)
		return false;
	s->at++;
	skip_space(s);
	if (s->at < s->end && *s->at == close) {
		s->at++;
		s->depth--;
		return true;
	}
	for (;;) {
		skip_space(s);
		if (object) {
			if (!scan_string(s))
				break;
			skip_space(s);
			if (s->at >= s->end || *s->at != ':')
				break;
			s->at++;
		}
		if (!scan_value(s))
			break;
		skip_space(s);
		if (s->at >= s->end)
			break;
		if (*s->at == close) {
			s->at++;
			ok = true;
			break;
		}
		if (*s->at != ',')
			break;
		s->at++;
	}
	s->depth--;
	return ok;
}

static bool scan_value(struct scan *s)
{
	skip_space(s);
	if (s->at >= s->end)
		return false;
	switch (*s->at) {
	case '{':
		return scan_container(s, '}');
	case '[':
		return scan_container(s, ']');
	case '"':
		return scan_string(s);
	case 't':
		return scan_word(s, "true");
	case 'f':
		return scan_word(s, "false");
	case 'n':
		return scan_word(s, "null");
	default:
		return scan_number(s);
	}
}

bool json_valid(const char *data, size_t len, size_t *ret_at)
{
	struct scan s = { data, data + len, 0 };
	bool ok = scan_value(&s);

	if (ok) {
		skip_space(&s);
		ok = s.at == s.end;
	}
	if (!ok && ret_at)
		*ret_at = (size_t)(s.at - data);
	return ok;
}

size_t json_add_string(struct buf *b, const char *data, size_t len)
{
	const char *p = data, *end = data + len, *from = data;
	size_t replaced = 0;

	buf_addc(b, '"');
	while (p < end) {
		uint8_t c = (uint8_t)*p;
		size_t bad = 1, n;

		if (c >= 0x20 && c < 0x80 && c != '"' && c != '\\' && c != 0x7f) {
			p++;
			continue;
		}
		n = c < 0x20 || c == '"' || c == '\\' ? 0 : utf8_len(p, end, &bad);
		if (n) {
			p += n;
			continue;
		}
		buf_add(b, from, (size_t)(p - from));
		if (c == '"' || c == '\\')
			buf_add(b, (const char[]){ '\\', (char)c }, 2);
		else if (c == '\n')
			buf_adds(b, "\\n");
		else if (c == '\r')
			buf_adds(b, "\\r");
		else if (c == '\t')
			buf_adds(b, "\\t");
		else if (c < 0x20)
			buf_addf(b, "\\u%04x", c);
		else {
			buf_adds(b, "\xef\xbf\xbd");
			replaced++;
		}
		p += c < 0x80 ? 1 : bad;
		from = p;
	}
	if (end > from)
		buf_add(b, from, (size_t)(end - from));
	buf_addc(b, '"');
	return replaced;
}

bool json_is_object(const char *data, size_t len)
{
	struct scan s = { data, data + len, 0 };

	skip_space(&s);
	return s.at < s.end && *s.at == '{';
}

bool json_is_string(const char *data, size_t len)
{
	struct scan s = { data, data + len, 0 };

	skip_space(&s);
	return s.at < s.end && *s.at == '"';
}

bool json_member(const char *data, size_t len, const char *name, const char **ret, size_t *ret_len)
{
	struct scan s = { data, data + len, 0 };
	struct buf key = {};
	bool found = false;

	if (!json_is_object(data, len))
		return false;
	skip_space(&s);
	s.at++;
	for (;;) {
		const char *k, *v;

		skip_space(&s);
		k = s.at;
		if (!scan_string(&s))
			break;
		buf_clear(&key);
		json_add_decoded(&key, k, (size_t)(s.at - k));
		skip_space(&s);
		if (s.at >= s.end || *s.at != ':')
			break;
		s.at++;
		skip_space(&s);
		v = s.at;
		if (!scan_value(&s))
			break;
		if (key.len == strlen(name) && memcmp(buf_str(&key), name, key.len) == 0) {
			*ret = v;
			*ret_len = (size_t)(s.at - v);
			found = true;
			break;
		}
		skip_space(&s);
		if (s.at >= s.end || *s.at != ',')
			break;
		s.at++;
	}
	buf_done(&key);
	return found;
}

static void add_utf8(struct buf *b, uint32_t c)
{
	if (c < 0x80) {
		buf_addc(b, (char)c);
	} else if (c < 0x800) {
		buf_addc(b, (char)(0xc0 | c >> 6));
		buf_addc(b, (char)(0x80 | (c & 0x3f)));
	} else if (c < 0x10000) {
		buf_addc(b, (char)(0xe0 | c >> 12));
		buf_addc(b, (char)(0x80 | (c >> 6 & 0x3f)));
		buf_addc(b, (char)(0x80 | (c & 0x3f)));
	} else {
		buf_addc(b, (char)(0xf0 | c >> 18));
		buf_addc(b, (char)(0x80 | (c >> 12 & 0x3f)));
		buf_addc(b, (char)(0x80 | (c >> 6 & 0x3f)));
		buf_addc(b, (char)(0x80 | (c & 0x3f)));
	}
}

void json_add_decoded(struct buf *b, const char *data, size_t len)
{
	const char *p = data + 1, *end = data + len - 1;

	if (len < 2)
		return;
	while (p < end) {
		uint32_t c;

		if (*p != '\\') {
			buf_addc(b, *p++);
			continue;
		}
		switch (p[1]) {
		case 'u':
			c = (uint32_t)hex4(p + 2);
			p += 6;
			if (c >= 0xd800 && c < 0xdc00 && end - p >= 6 && p[0] == '\\' && p[1] == 'u') {
				uint32_t low = (uint32_t)hex4(p + 2);

				if (low >= 0xdc00 && low < 0xe000) {
					c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
					p += 6;
				}
			}
			add_utf8(b, c >= 0xd800 && c < 0xe000 ? 0xfffd : c);
			continue;
		case 'n': buf_addc(b, '\n'); break;
		case 't': buf_addc(b, '\t'); break;
		case 'r': buf_addc(b, '\r'); break;
		case 'b': buf_addc(b, '\b'); break;
		case 'f': buf_addc(b, '\f'); break;
		default: buf_addc(b, p[1]); break;
		}
		p += 2;
	}
}

size_t utf8_cut(const char *data, size_t len, size_t max)
{
	if (len <= max)
		return len;
	while (max > 0 && ((uint8_t)data[max] & 0xc0) == 0x80)
		max--;
	return max;
}
