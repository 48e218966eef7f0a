/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An alias comes from a client, and again from a row that somebody may have changed. Whatever the bytes: either a sentence
 * that says what is wrong, or an alias within its bounds, which is the same when it is written and read again and never picks a
 * version that it does not name. A second text is an update to it: the same must hold for what comes of the two.
 */
#include "base/mem.h"
#include "fuzz/fuzz.h"
#include "model/alias.h"

static void check_good(const struct alias *a, uint64_t rnd)
{
	CLEAN(alias_unrefp) struct alias *again = alias_new();
	struct blob *b = alias_write(a), *b2;
	char text[VERSION_LEN + 1];
	struct err e = {};
	int version = -1, picked = alias_pick(a, rnd);

	MUST(a->version >= 0 && a->version <= LIM_VERSION_MAX && a->other >= 0 && a->other <= LIM_VERSION_MAX);
	MUST(a->other_weight >= 0 && a->other_weight <= 1);
	MUST(a->other || a->other_weight == 0);
	MUST(!a->other || (a->version && a->version != a->other));
	MUST(a->description && strlen(a->description) <= 256 && strlen(a->revision) < sizeof(a->revision));
	MUST(picked == a->version || (a->other && picked == a->other));
	MUST(a->other_weight < 1 || picked == a->other);
	MUST(a->other_weight > 0 || picked == a->version);
	MUST(version_parse(version_format(picked, text), &version) == 0 && version == picked);

	MUST(b && alias_read(again, b->data, b->len, &e) == 0);
	MUST(again->version == a->version && again->other == a->other);
	MUST(again->other_weight - a->other_weight <= 4e-16 && a->other_weight - again->other_weight <= 4e-16);
	MUST(strcmp(again->description, a->description) == 0 && strcmp(again->revision, a->revision) == 0);
	b2 = alias_write(again);
	MUST(b2 && b2->len == b->len && memcmp(b2->data, b->data, b->len) == 0);
	blob_unref(b2);
	blob_unref(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEAN(alias_unrefp) struct alias *a = alias_new();
	struct input in = { data, size };
	uint64_t rnd = take_number(&in, 8);
	const uint8_t *mark = in.left ? memchr(in.at, 0x1e, in.left) : NULL;
	size_t first = mark ? (size_t)(mark - in.at) : in.left;

	for (int i = 0; i < 2; i++) {
		size_t n = i ? in.left : first;
		char *text = take_rest(&in, n);		/* a block of its own: what is read beyond it is seen */
		struct err e = {};
		int r = alias_read(a, text, n, &e);

		free(text);
		MUST((r == 0 && !e.msg[0]) || (r < 0 && e.msg[0] && e.code == r));
		if (r < 0)
			return 0;
		check_good(a, rnd);
		if (!mark)
			return 0;
		(void)take_number(&in, 1);
	}
	return 0;
}
