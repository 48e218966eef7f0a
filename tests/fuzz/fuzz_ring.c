/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes of the ring buffer: facts of one record, or an error and untouched outputs. */
#include "observe/obs_decode.h"

#include <errno.h>

#include "fuzz/fuzz.h"

static void check_facts(const struct fate_ev_hdr *h, size_t size, const struct fact *facts, int n)
{
	MUST(n <= OBS_FACTS_MAX && obs_kind_name(h->kind) && h->size == size);
	for (int i = 0; i < n; i++) {
		MUST(facts[i].kind > FACT_INVALID && facts[i].kind <= FACT_BPF_OOM);
		MUST(facts[i].cgroup_id == h->cgroup_id && facts[i].at_ns == (int64_t)h->at_ns);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fate_ev_hdr h, h_was;
	struct fact facts[OBS_FACTS_MAX], facts_were[OBS_FACTS_MAX];
	struct input in = { data, size };
	char *record = take_rest(&in, size);
	int n;

	memset(&h, 0xa5, sizeof(h));
	memset(facts, 0xa5, sizeof(facts));
	memcpy(&h_was, &h, sizeof(h));
	memcpy(facts_were, facts, sizeof(facts));
	n = obs_decode(record, size, &h, facts);
	if (n >= 0) {
		check_facts(&h, size, facts, n);
		MUST(memcmp(&h, record, sizeof(h)) == 0);
	} else {
		MUST(n == -EPROTO || n == -EOPNOTSUPP);
		MUST(memcmp(&h, &h_was, sizeof(h)) == 0 && memcmp(facts, facts_were, sizeof(facts)) == 0);
	}
	free(record);
	return 0;
}
