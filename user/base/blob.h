/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Immutable, reference-counted bytes: a payload is stored once and handed from door to door.
 * Counts are atomic, because the store's writer thread holds references too. Terminated one past len. */
#include <stddef.h>

#include "base/mem.h"

struct blob {
	int refs;	/* use blob_ref/blob_unref */
	size_t len;
	char data[];
};

/* NULL when there is no memory: the length comes from input. data may be NULL for len 0 or to fill in before sharing. */
struct blob *blob_new(const void *data, size_t len);
/* Never NULL: aborts when there is no memory. For what must not be missing without anybody knowing: a record, facts, an answer.
 * A crash is repaired from rows; what is stored without them is not. */
struct blob *blob_must(const void *data, size_t len) __attribute__((returns_nonnull));
struct blob *blob_ref(struct blob *b);		/* NULL in, NULL out */
struct blob *blob_unref(struct blob *b);	/* NULL in; always returns NULL */
DEFINE_FREEP(blob_unref, struct blob *)
