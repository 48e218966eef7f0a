/* SPDX-License-Identifier: Apache-2.0 */
/* The bottom rank: maps, the heap, buffers, errors, ids, JSON as text. */
#include <errno.h>
#include <unistd.h>

#include "base/blob.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/id.h"
#include "base/json.h"
#include "base/map.h"
#include "base/mem.h"
#include "engine/schedule.h"
#include "lib/test.h"

static uint64_t rng = 88172645463325252ULL;
static uint64_t rnd(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	return rng ^= rng << 17;
}

static void maps_against_an_array(void)
{
	enum { KEYS = 300 };
	static char names[KEYS][8];
	static void *want[KEYS];
	struct map m = {};
	struct strmap s = {};
	size_t n = 0;

	for (int i = 0; i < KEYS; i++)
		snprintf(names[i], sizeof(names[i]), "k%d", i);
	for (int step = 0; step < 200000; step++) {
		int k = (int)(rnd() % KEYS);
		void *v = &names[rnd() % KEYS];

		if (rnd() % 3) {
			CHECK(map_put(&m, (uint64_t)k * 64, v) == want[k]);
			CHECK(strmap_put(&s, names[k], v) == want[k]);
			n += !want[k];
			want[k] = v;
		} else {
			CHECK(map_del(&m, (uint64_t)k * 64) == want[k]);
			CHECK(strmap_del(&s, names[k]) == want[k]);
			n -= want[k] != NULL;
			want[k] = NULL;
		}
		CHECK_INT(m.len, n);
		CHECK_INT(s.len, n);
		k = (int)(rnd() % KEYS);
		CHECK(map_get(&m, (uint64_t)k * 64) == want[k]);
		CHECK(strmap_get(&s, names[k]) == want[k]);
	}
	map_done(&m);
	strmap_done(&s);
}

static void the_heap(void)
{
	enum { NODES = 200 };
	static struct sched_node nodes[NODES];
	struct sched s = {};

	for (int step = 0; step < 100000; step++) {
		struct sched_node *n = &nodes[rnd() % NODES], *first;
		int64_t min = INT64_MAX;

		if (rnd() % 4)
			sched_set(&s, n, (int64_t)(rnd() % 1000));
		else
			sched_cancel(&s, n);
		for (int i = 0; i < NODES; i++)
			if (nodes[i].place && nodes[i].at < min)
				min = nodes[i].at;
		first = sched_first(&s);
		CHECK_INT(sched_next(&s), min);
		CHECK(!first || first->at == min);
	}
	sched_set(&s, &nodes[0], INT64_MAX);
	CHECK_INT(nodes[0].place, 0);
	sched_done(&s);
}

static void json_good_and_bad(void)
{
	static const struct { const char *text; bool ok; } cases[] = {
		{ "{}", true }, { " [1, 2.5e-3, -0, true, null, \"\\u00e9\\n\"] \n", true }, { "\"\"", true }, { "0", true },
		{ "", false }, { " ", false }, { "01", false }, { "+1", false }, { "1.", false }, { ".5", false }, { "1e", false },
		{ "nul", false }, { "{\"a\":1,}", false }, { "[1,]", false }, { "{a:1}", false }, { "{\"a\" 1}", false },
		{ "[1 2]", false },
		{ "\"\t\"", false }, { "\"\\x\"", false }, { "\"\\u12g4\"", false }, { "\"abc", false }, { "{} {}", false },
		{ "NaN", false },
		{ "\"\xc3\xa9\"", true }, { "\"\xc3\"", false }, { "\"\xed\xa0\x80\"", false }, { "\"\xf4\x90\x80\x80\"", false },
		{ "\"\xc0\x80\"", false }, { "\"\xf0\x9f\x98\x80\"", true }, { "'a'", false }, { "[", false }, { "]", false },
	};
	char deep[2 * JSON_DEPTH_MAX + 4];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (json_valid(cases[i].text, strlen(cases[i].text), NULL) != cases[i].ok)
			FAIL("case %zu: %s", i, cases[i].text);
	CHECK(!json_valid("\"a\0b\"", 5, NULL));
	memset(deep, '[', JSON_DEPTH_MAX);
	memset(deep + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
	CHECK(json_valid(deep, 2 * JSON_DEPTH_MAX, NULL));
	memset(deep, '[', JSON_DEPTH_MAX + 1);
	memset(deep + JSON_DEPTH_MAX + 1, ']', JSON_DEPTH_MAX + 1);
	CHECK(!json_valid(deep, 2 * JSON_DEPTH_MAX + 2, NULL));
}

static void json_strings(void)
{
	static const struct { const char *in; size_t len; const char *out; size_t replaced; } cases[] = {
		{ "a\"\\\n\r\t\x01\x7f", 8, "\"a\\\"\\\\\\n\\r\\t\\u0001\x7f\"", 0 },
		{ "\xff\xfe", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\"", 2 },
		{ "\xe2\x82", 2, "\"\xef\xbf\xbd\"", 1 },			/* one truncated character: one replacement */
		{ "\xe2\x82z", 3, "\"\xef\xbf\xbdz\"", 1 },
		{ "\xed\xa0\x80", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"", 3 },
		{ "\xf0\x9f\x98\x80", 4, "\"\xf0\x9f\x98\x80\"", 0 },
	};
	struct buf b = {};
	const char *v;
	size_t n;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		buf_clear(&b);
		CHECK_INT(json_add_string(&b, cases[i].in, cases[i].len), cases[i].replaced);
		CHECK_STR(buf_str(&b), cases[i].out);
		CHECK(json_valid(b.data, b.len, NULL));
	}
	for (int i = 0; i < 20000; i++) {	/* whatever comes in, valid JSON comes out */
		char junk[24];

		for (size_t k = 0; k < sizeof(junk); k++)
			junk[k] = (char)rnd();
		buf_clear(&b);
		json_add_string(&b, junk, rnd() % sizeof(junk));
		CHECK(json_valid(b.data, b.len, NULL));
	}
	buf_clear(&b);
	v = "\"\\ud83d\\ude00\\ud800x\\u0041\\/\"";
	json_add_decoded(&b, v, strlen(v));
	CHECK_STR(buf_str(&b), "\xf0\x9f\x98\x80\xef\xbf\xbdxA/");
	v = "{\"a\":{\"b\":1},\"\\u0062\" : [2 ] ,\"b\":3}";
	CHECK(json_member(v, strlen(v), "b", &v, &n) && n == 4 && !memcmp(v, "[2 ]", 4));
	CHECK(!json_member("[1]", 3, "b", &v, &n));
	CHECK(!json_member("{\"a\":\"b\"}", 9, "b", &v, &n));
	CHECK_INT(utf8_cut("ab\xc3\xa9", 4, 3), 2);
	CHECK_INT(utf8_cut("ab\xc3\xa9", 4, 4), 4);
	buf_done(&b);
}

static void errors(void)
{
	struct err e = {};
	char longish[600];

	errno = 7;
	CHECK_INT(err_set(&e, -ENOENT, "file %s", "x"), -ENOENT);
	CHECK_INT(errno, 7);
	err_wrap(&e, -ENOENT, "reading");
	CHECK_STR(e.msg, "reading: file x");
	CHECK_INT(err_set(NULL, -EIO, "nobody listens"), -EIO);
	e = (struct err){};
	err_wrap(&e, -EACCES, "open %d", 1);
	CHECK_STR(e.msg, "open 1: Permission denied");
	memset(longish, 'x', sizeof(longish) - 1);
	longish[sizeof(longish) - 1] = '\0';
	err_set(&e, -EIO, "%s", longish);
	err_wrap(&e, -EIO, "%s", longish);
	CHECK_INT(strlen(e.msg), sizeof(e.msg) - 1);
}

static void ids_times_buffers(void)
{
	char id[ID_UUID_LEN + 1], iso[ISO_MS_LEN + 1];
	struct buf b = {};
	struct blob *blob;
	size_t n;
	int fds[2];
	char *p;

	id_uuid((uint64_t[]){ 0, 0 }, id);
	CHECK_STR(id, "00000000-0000-4000-8000-000000000000");
	id_uuid((uint64_t[]){ UINT64_MAX, UINT64_MAX }, id);
	CHECK_STR(id, "ffffffff-ffff-4fff-bfff-ffffffffffff");
	id_uuid_at(0x0123456789ab, (uint64_t[]){ UINT64_MAX, 0 }, id);
	CHECK_STR(id, "01234567-89ab-4fff-8000-000000000000");
	id_uuid_at(INT64_MAX, (uint64_t[]){ 0, UINT64_MAX }, id);
	CHECK_STR(id, "ffffffff-ffff-4000-bfff-ffffffffffff");
	CHECK(id_is_uuid(id) && !id_is_uuid("x") && !id_is_uuid("FFFFFFFF-ffff-4fff-bfff-ffffffffffff"));
	CHECK_STR(clock_iso_ms(0, iso), "1970-01-01T00:00:00.000Z");
	CHECK_STR(clock_iso_ms(1657720081007, iso), "2022-07-13T13:48:01.007Z");
	CHECK_STR(clock_iso_ms(-1, iso), "1969-12-31T23:59:59.999Z");
	CHECK_INT(buf_reserve(&b, SIZE_MAX - 10), -ENOMEM);
	buf_addf(&b, "%s-%d", "a", 5);
	p = buf_take(&b, &n);
	CHECK_STR(p, "a-5");
	CHECK(n == 3 && !b.data);
	free(p);
	CHECK(pipe(fds) == 0 && write(fds[1], "0123456789", 10) == 10 && close(fds[1]) == 0);
	buf_adds(&b, "x");
	CHECK_INT(buf_read(&b, fds[0], 11), 0);		/* what was in it counts, too */
	CHECK_STR(buf_str(&b), "x0123456789");
	CHECK_INT(buf_read(&b, fds[0], 10), -EFBIG);
	CHECK(close(fds[0]) == 0);
	CHECK_INT(buf_read(&b, -1, 100), -EBADF);
	buf_done(&b);
	blob = blob_new("xyz", 3);
	blob_unref(blob_ref(blob));
	CHECK_STR(blob->data, "xyz");
	blob_unref(blob);
	CHECK(blob_new(NULL, SIZE_MAX) == NULL);
}

int main(void)
{
	RUN(maps_against_an_array);
	RUN(the_heap);
	RUN(json_good_and_bad);
	RUN(json_strings);
	RUN(errors);
	RUN(ids_times_buffers);
	TEST_END();
}
