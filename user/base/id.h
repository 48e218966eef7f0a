/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#define ID_UUID_LEN 36
/* A version-4 UUID, lower case, from 128 random bits the caller supplies (getrandom, or a simulation's seed). */
void id_uuid(const uint64_t rnd[2], char out[ID_UUID_LEN + 1]);
/* The same in the order of their times: the first 48 bits are ms. Where ids are an index's key, the new ones are side by side
 * at its end, and not each on a page of its own. */
void id_uuid_at(int64_t ms, const uint64_t rnd[2], char out[ID_UUID_LEN + 1]);
bool id_is_uuid(const char *s);
/* 64 random bits from the kernel. */
uint64_t id_random64(void);
