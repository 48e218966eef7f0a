/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What a group's own files tell of it when all is over (model/fact.h), nested groups included. */
#include <stdbool.h>
#include <stdint.h>

#include "model/fact.h"

/* Fills all but missing and above…, which the leaf's files do not know. controllers: what the group has, a set of enum
 * cg_controller. cpu.stat is there without any. A file that cannot be read leaves its members as they are. */
void cg_facts_read(int dirfd, unsigned int controllers, struct fact_cgroup *ret);

/* "key 12" among lines of this form, as in memory.events and cpu.stat. False: no such line, or no number in it. */
bool cg_facts_number(const char *text, const char *key, uint64_t *ret);
/* A file that holds one number; "max", one that is not there and nonsense are 0. */
uint64_t cg_facts_single(int dirfd, const char *path);
