/* SPDX-License-Identifier: Apache-2.0 */
#include "base/blob.h"

#include <stdint.h>
#include <string.h>

#include "base/mem.h"

struct blob *blob_new(const void *data, size_t len)
{
	struct blob *b;

	if (len > SIZE_MAX / 2)
		return NULL;
	b = malloc(sizeof(*b) + len + 1);
	if (!b)
		return NULL;
	b->refs = 1;
	b->len = len;
	if (data)
		memcpy(b->data, data, len);
	else
		memset(b->data, 0, len);
	b->data[len] = '\0';
	return b;
}

struct blob *blob_must(const void *data, size_t len)
{
	struct blob *b = blob_new(data, len);

	if (!b)
		mem_abort();
	return b;
}

struct blob *blob_ref(struct blob *b)
{
	if (b)
		ref_take(&b->refs);
	return b;
}

struct blob *blob_unref(struct blob *b)
{
	if (b && ref_drop(&b->refs))
		free(b);
	return NULL;
}
