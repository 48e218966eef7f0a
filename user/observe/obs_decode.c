/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One row per kind: its name, the exact size of its record, and what it means for the engine. Sizes are exact
 * because both halves are built together; a pinned ring never outlives its layout version. The engine reads details
 * (status, sender, OOM scope) from the entry, so facts carry only which environment and when.
 */
#include "observe/obs_decode.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/mem.h"

struct kind_row {
	const char *name;
	size_t size;
	enum fact_kind always;		/* FACT_INVALID: none */
	enum fact_kind if_leader;
	enum fact_kind if_last;
};

static const struct kind_row kinds[FATE_EV_KIND_MAX] = {
	[FATE_EV_EXEC] = { "exec", sizeof(struct fate_ev_exec), 0, 0, 0 },
	[FATE_EV_EXIT] = { "exit", sizeof(struct fate_ev_exit), 0, FACT_BPF_EXIT, FACT_BPF_EMPTY },
	[FATE_EV_SIGNAL] = { "signal", sizeof(struct fate_ev_signal), 0, 0, 0 },
	[FATE_EV_OOM] = { "oom", sizeof(struct fate_ev_oom), FACT_BPF_OOM, 0, 0 },
	[FATE_EV_DEADLINE] = { "deadline", sizeof(struct fate_ev_deadline), FACT_BPF_DEADLINE, 0, 0 },
	[FATE_EV_FORK] = { "fork", sizeof(struct fate_ev_fork), 0, 0, 0 },
};

const char *obs_kind_name(uint32_t kind)
{
	return kind < ARRAY_SIZE(kinds) ? kinds[kind].name : NULL;
}

/* Sums and differences of what is below it stay far from overflow. 2^62 ns are 146 years. */
#define TIME_MAX (1ULL << 62)

void obs_entry_clean(struct fate_env *env)
{
	__u64 *const times[] = {
		&env->timeout_ns, &env->fork_ns, &env->exec_ns, &env->deadline_ns, &env->deadline_hit_ns, &env->exit_ns,
		&env->empty_ns, &env->oom_ns, &env->acct.cpu_ns, &env->acct.wait_ns, &env->acct.life_ns, &env->live.cpu_ns,
	};

	memset(env->timer, 0, sizeof(env->timer));
	env->function[FATE_NAME_LEN - 1] = '\0';
	env->request_id[FATE_REQUEST_ID_LEN - 1] = '\0';
	env->oom_victim_comm[FATE_COMM_LEN - 1] = '\0';
	env->sender.comm[FATE_COMM_LEN - 1] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(times); i++)
		if (*times[i] > TIME_MAX)
			*times[i] = 0;
}

static int fact_add(struct fact *ret, int n, enum fact_kind kind, const struct fate_ev_hdr *h)
{
	if (kind == FACT_INVALID)
		return n;
	assert(n < OBS_FACTS_MAX);
	ret[n] = (struct fact){ .kind = kind, .cgroup_id = h->cgroup_id, .at_ns = (int64_t)h->at_ns };
	return n + 1;
}

int obs_decode(const void *data, size_t size, struct fate_ev_hdr *ret_hdr, struct fact ret[OBS_FACTS_MAX])
{
	struct fate_ev_hdr h;
	const struct kind_row *row;
	int n = 0;

	assert(data || !size); assert(ret_hdr); assert(ret);
	if (size < sizeof(h))
		return -EPROTO;
	memcpy(&h, data, sizeof(h));
	if (!obs_kind_name(h.kind))
		return -EOPNOTSUPP;
	row = &kinds[h.kind];
	if (size != row->size || h.size != row->size)
		return -EPROTO;

	n = fact_add(ret, n, row->always, &h);
	if (h.flags & FATE_EVF_LEADER)
		n = fact_add(ret, n, row->if_leader, &h);
	if (h.flags & FATE_EVF_LAST)
		n = fact_add(ret, n, row->if_last, &h);
	*ret_hdr = h;
	return n;
}
