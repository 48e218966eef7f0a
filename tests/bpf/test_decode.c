/* SPDX-License-Identifier: Apache-2.0 */
/* Ring bytes are hostile here: every length, every kind, random noise. Buffers are exactly as long as they say, so
 * that a sanitizer build sees a read past the end. */
#include <errno.h>

#include "base/mem.h"
#include "lib/test.h"
#include "observe/obs_decode.h"

static const struct { uint32_t kind; size_t size; } sizes[] = {
	{ FATE_EV_EXEC, sizeof(struct fate_ev_exec) }, { FATE_EV_EXIT, sizeof(struct fate_ev_exit) },
	{ FATE_EV_SIGNAL, sizeof(struct fate_ev_signal) }, { FATE_EV_OOM, sizeof(struct fate_ev_oom) },
	{ FATE_EV_DEADLINE, sizeof(struct fate_ev_deadline) }, { FATE_EV_FORK, sizeof(struct fate_ev_fork) },
};

/* A record in memory of exactly `have` bytes; claims to be `size` long. */
static int decode(uint32_t kind, size_t have, size_t size, uint32_t flags, struct fate_ev_hdr *h, struct fact f[2])
{
	struct fate_ev_hdr hdr = { .kind = (uint16_t)kind, .size = (uint16_t)size, .flags = flags, .at_ns = 5,
				   .cgroup_id = 77, .start_ns = 3, .tgid = 9 };
	CLEAN(freep) char *bytes = malloc(have);

	if (have)
		memset(bytes, 0xa5, have);
	memcpy(bytes, &hdr, MIN(have, sizeof(hdr)));
	return obs_decode(bytes, have, h, f);
}

static void every_kind_is_known_here(void)
{
	CHECK_INT(ARRAY_SIZE(sizes), FATE_EV_KIND_MAX - 1);
	for (uint32_t k = 1; k < FATE_EV_KIND_MAX; k++)
		CHECK(obs_kind_name(k));
	CHECK(!obs_kind_name(FATE_EV_INVALID));
	CHECK(!obs_kind_name(FATE_EV_KIND_MAX));
	CHECK(!obs_kind_name(UINT32_MAX));
}

static void facts_of_each_kind(void)
{
	struct fate_ev_hdr h;
	struct fact f[2];
	const struct { uint32_t kind, flags; int n; enum fact_kind first, second; } rows[] = {
		{ FATE_EV_EXEC, 0, 0, 0, 0 },
		{ FATE_EV_EXEC, FATE_EVF_LEADER, 0, 0, 0 },
		{ FATE_EV_FORK, FATE_EVF_LEADER, 0, 0, 0 },
		{ FATE_EV_SIGNAL, FATE_EVF_LEADER, 0, 0, 0 },
		{ FATE_EV_EXIT, 0, 0, 0, 0 },
		{ FATE_EV_EXIT, FATE_EVF_LEADER, 1, FACT_BPF_EXIT, 0 },
		{ FATE_EV_EXIT, FATE_EVF_LAST, 1, FACT_BPF_EMPTY, 0 },
		{ FATE_EV_EXIT, FATE_EVF_LEADER | FATE_EVF_LAST, 2, FACT_BPF_EXIT, FACT_BPF_EMPTY },
		{ FATE_EV_OOM, 0, 1, FACT_BPF_OOM, 0 },
		{ FATE_EV_OOM, FATE_EVF_LEADER, 1, FACT_BPF_OOM, 0 },
		{ FATE_EV_DEADLINE, FATE_EVF_LEADER, 1, FACT_BPF_DEADLINE, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		size_t size = 0;
		int n;

		for (size_t k = 0; k < ARRAY_SIZE(sizes); k++)
			if (sizes[k].kind == rows[i].kind)
				size = sizes[k].size;
		n = decode(rows[i].kind, size, size, rows[i].flags, &h, f);
		CHECK_INT(n, rows[i].n);
		CHECK_INT(h.start_ns, 3);
		for (int j = 0; j < n; j++) {
			CHECK_INT(f[j].kind, j ? rows[i].second : rows[i].first);
			CHECK_INT(f[j].cgroup_id, 77);
			CHECK_INT(f[j].at_ns, 5);
		}
	}
}

static void every_wrong_length_is_refused(void)
{
	for (size_t k = 0; k < ARRAY_SIZE(sizes); k++)
		for (size_t have = 0; have < 200; have++)
			for (size_t size = 0; size < 200; size += size + 1 == sizes[k].size ? 1 : 7) {
				struct fate_ev_hdr h = { .kind = 4242 };
				struct fact f[2] = {};
				int n = decode(sizes[k].kind, have, size, FATE_EVF_LEADER, &h, f);

				if (have == sizes[k].size && size == have) {
					CHECK(n >= 0);
					continue;
				}
				CHECK_INT(n, -EPROTO);
				CHECK_INT(h.kind, 4242);
				CHECK_INT(f[0].kind, FACT_INVALID);
			}
}

static void unknown_kinds_are_told_apart(void)
{
	struct fate_ev_hdr h = { .kind = 4242 };
	struct fact f[2] = {};

	CHECK_INT(decode(FATE_EV_INVALID, 64, 64, 0, &h, f), -EOPNOTSUPP);
	CHECK_INT(decode(FATE_EV_KIND_MAX, 64, 64, 0, &h, f), -EOPNOTSUPP);
	CHECK_INT(decode(0xffff, 64, 64, 0, &h, f), -EOPNOTSUPP);
	CHECK_INT(h.kind, 4242);
}

static void noise_never_makes_more_than_it_may(void)
{
	unsigned int seed = 20231123;

	for (int i = 0; i < 300000; i++) {
		size_t len = (size_t)rand_r(&seed) % 160;
		CLEAN(freep) unsigned char *bytes = malloc(len);
		struct fate_ev_hdr h;
		struct fact f[2];
		int n;

		for (size_t j = 0; j < len; j++)
			bytes[j] = (unsigned char)rand_r(&seed);
		if (len >= 4 && i % 2) {	/* half of them plausible */
			bytes[0] = (unsigned char)(bytes[0] % 8);
			bytes[1] = 0;
			bytes[2] = (unsigned char)len;
			bytes[3] = 0;
		}
		n = obs_decode(bytes, len, &h, f);
		CHECK(n == -EPROTO || n == -EOPNOTSUPP || (n >= 0 && n <= OBS_FACTS_MAX));
	}
}

int main(void)
{
	RUN(every_kind_is_known_here);
	RUN(facts_of_each_kind);
	RUN(every_wrong_length_is_refused);
	RUN(unknown_kinds_are_told_apart);
	RUN(noise_never_makes_more_than_it_may);
	TEST_END();
}
