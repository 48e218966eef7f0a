/* SPDX-License-Identifier: Apache-2.0 */
#include "base/id.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

void id_uuid(const uint64_t rnd[2], char out[ID_UUID_LEN + 1])
{
	static const char hex[] = "0123456789abcdef";
	uint8_t b[16];
	int n = 0;

	memcpy(b, rnd, 16);
	b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
	b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
	for (int i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			out[n++] = '-';
		out[n++] = hex[b[i] >> 4];
		out[n++] = hex[b[i] & 15];
	}
	out[n] = '\0';
}

void id_uuid_at(int64_t ms, const uint64_t rnd[2], char out[ID_UUID_LEN + 1])
{
	uint64_t with_ms[2] = { rnd[0], rnd[1] };
	uint8_t *b = (uint8_t *)with_ms;

	for (int i = 0; i < 6; i++)
		b[i] = (uint8_t)((uint64_t)ms >> (40 - 8 * i));
	id_uuid(with_ms, out);
}

bool id_is_uuid(const char *s)
{
	if (strlen(s) != ID_UUID_LEN)
		return false;
	for (int i = 0; i < ID_UUID_LEN; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? s[i] != '-' : !strchr("0123456789abcdef", s[i]))
			return false;
	}
	return true;
}

uint64_t id_random64(void)
{
	static __thread uint64_t pool[32];	/* one system call for 32 ids' halves */
	static __thread unsigned int left;

	if (!left) {
		while (getrandom(pool, sizeof(pool), 0) != sizeof(pool))
			;	/* only a signal can cut 256 bytes short */
		left = 32;
	}
	return pool[--left];
}
