/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the targets share: a check that stays in every build, and an input that is taken piece by piece. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MUST(cond) do { if (!(cond)) { fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond); abort(); } } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input { const uint8_t *at; size_t left; };

/* n bytes into out; zeros when the input is over. */
static inline void take(struct input *in, void *out, size_t n)
{
	size_t have = n < in->left ? n : in->left;

	memset(out, 0, n);
	if (have)
		memcpy(out, in->at, have);
	in->at += have;
	in->left -= have;
}

/* The next n bytes (1 to 8) as a number, little end first. */
static inline uint64_t take_number(struct input *in, size_t n)
{
	uint64_t v = 0;

	take(in, &v, n);
	return v;
}

/* Bytes that are a string's: terminated whatever they are. */
static inline void take_string(struct input *in, char *out, size_t size)
{
	size_t n = (size_t)take_number(in, 1);

	take(in, out, n < size ? n : size - 1);
	out[n < size ? n : size - 1] = '\0';
}

/* The rest in a block of its own, so that a read beyond it is seen. The caller frees; not terminated. */
static inline char *take_rest(struct input *in, size_t n)
{
	char *out = malloc(n ? n : 1);

	MUST(out);
	take(in, out, n);
	return out;
}
