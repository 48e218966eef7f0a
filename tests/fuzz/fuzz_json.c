/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON as text: every splice rests on json_valid(). What it calls valid must stay so wherever it is put, every member
 * found in it must be valid by itself, and any bytes at all must come back from a string they were written to.
 */
#include "base/json.h"

#include "fuzz/fuzz.h"

static bool valid(const char *data, size_t len)
{
	size_t at = 0;
	bool ok = json_valid(data, len, &at);

	MUST(ok || at <= len);
	return ok;
}

static void check_string(const char *data, size_t len)
{
	struct buf b = {}, back = {}, again = {};
	size_t replaced = json_add_string(&b, data, len);

	MUST(valid(b.data, b.len) && json_is_string(b.data, b.len));
	for (size_t i = 0; i < b.len; i++)
		MUST((unsigned char)b.data[i] >= ' ');
	json_add_decoded(&back, b.data, b.len);
	MUST(replaced || (back.len == len && (!len || memcmp(back.data, data, len) == 0)));
	MUST(json_add_string(&again, buf_str(&back), back.len) == 0);	/* what comes back is UTF-8 */
	buf_done(&b);
	buf_done(&back);
	buf_done(&again);
}

static void check_cut(const char *data, size_t len, size_t max)
{
	struct buf b = {};
	size_t n = utf8_cut(data, len, max);

	MUST(n <= len && n <= max && (len > max || n == len));
	if (json_add_string(&b, data, len) == 0)
		MUST((n == len || n + 4 > max) && json_add_string(&b, data, n) == 0);
	buf_done(&b);
}

/* The text as a member of an object, by a name that may be anything; and what is in it. */
static void check_valid(const char *data, size_t len, const char *name)
{
	struct buf b = {};
	const char *v;
	size_t n, replaced;

	if (json_member(data, len, name, &v, &n)) {
		MUST(json_is_object(data, len) && v > data && n && v + n < data + len && valid(v, n));
		if (json_is_string(v, n))
			json_add_decoded(&b, v, n);
	}
	buf_clear(&b);
	buf_adds(&b, "{");
	replaced = json_add_string(&b, name, strlen(name));
	buf_addc(&b, ':');
	buf_add(&b, data, len);
	buf_addc(&b, '}');
	if (valid(b.data, b.len) && !replaced)	/* or it is one level too deep, or goes by another name */
		MUST(json_member(b.data, b.len, name, &v, &n) && n <= len && valid(v, n));
	buf_done(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	const char *v;
	char name[32];
	size_t max = (size_t)take_number(&in, 1), n = 0;

	take_string(&in, name, sizeof(name));
	n = in.left;

	char *text = take_rest(&in, n);

	check_string(text, n);
	check_cut(text, n, max);
	if (valid(text, n))
		check_valid(text, n, name);
	else	/* asked of what has not been checked, it must not read beyond */
		(void)json_member(text, n, name, &v, &n);
	free(text);
	return 0;
}
