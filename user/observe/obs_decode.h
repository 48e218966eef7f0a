/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Ring bytes → facts. Pure; the bytes are not trusted. */
#include <stddef.h>
#include <stdint.h>

#include "fate_event.h"
#include "model/fact.h"

#define OBS_FACTS_MAX 2		/* one record can be both: the leader's exit and the last one */

/* Reads one record: *ret_hdr and up to OBS_FACTS_MAX facts, in the order to post them.
 * Returns the number of facts (0: a record that is only counted), -EPROTO when the bytes are no record of its kind
 * (too short, a size that is not the kind's), -EOPNOTSUPP for a kind we do not know; then outputs are untouched. */
int obs_decode(const void *data, size_t size, struct fate_ev_hdr *ret_hdr, struct fact ret[OBS_FACTS_MAX]);

/* Makes a copy of an entry fit for use: strings end, times are in this era, the timer reads as 0. Its bytes were in memory
 * that others may write to. */
void obs_entry_clean(struct fate_env *env);

/* "exec", "exit", …; NULL for a number that is no kind. For status. */
const char *obs_kind_name(uint32_t kind);
