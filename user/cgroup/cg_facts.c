/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memory.events counts for the group and all below it, so what happened in groups the function nested is in. "oom" says
 * that the limit of one of them was hit and an allocation was about to fail, "oom_kill" that the OOM killer took a process
 * of theirs, whoever's limit that enforced: the second without the first is a limit further up (cg_above.c).
 */
#include "cgroup/cg_facts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cgroup/cg_limits.h"
#include "sys/sys_calls.h"

static bool number(const char *text, uint64_t *ret)
{
	char *end;
	unsigned long long v;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	v = strtoull(text, &end, 10);
	if (errno || (*end && *end != '\n'))
		return false;
	*ret = v;
	return true;
}

bool cg_facts_number(const char *text, const char *key, uint64_t *ret)
{
	size_t n = strlen(key);

	for (const char *p = text; p; p = (p = strchr(p, '\n')) ? p + 1 : NULL)
		if (strncmp(p, key, n) == 0 && p[n] == ' ')
			return number(p + n + 1, ret);
	return false;
}

uint64_t cg_facts_single(int dirfd, const char *path)
{
	char text[64];
	uint64_t v = 0;

	return sys_read_file(dirfd, path, text, sizeof(text)) > 0 && number(text, &v) ? v : 0;
}

void cg_facts_read(int dirfd, unsigned int controllers, struct fact_cgroup *ret)
{
	char text[2048];

	if (controllers & CG_MEMORY && sys_read_file(dirfd, "memory.events", text, sizeof(text)) > 0) {
		ret->have_memory = cg_facts_number(text, "oom_kill", &ret->oom_kills);
		(void)cg_facts_number(text, "oom", &ret->own_ooms);
		ret->memory_peak = cg_facts_single(dirfd, "memory.peak");
		ret->memory_limit = cg_facts_single(dirfd, "memory.max");
	}
	if (sys_read_file(dirfd, "cpu.stat", text, sizeof(text)) > 0)
		ret->have_cpu = cg_facts_number(text, "usage_usec", &ret->cpu_usage_us) &&
				cg_facts_number(text, "user_usec", &ret->cpu_user_us) &&
				cg_facts_number(text, "system_usec", &ret->cpu_system_us);
}
