/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * JSON as text. Payloads are never decoded and encoded again (numbers would lose digits): they are checked here
 * and spliced into records as they came. Structures of our own (definitions, API bodies) are read with cJSON.
 */
#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

#define JSON_DEPTH_MAX 512	/* nesting; cJSON's own limit is 1000 */

/* True when the bytes are exactly one JSON value (RFC 8259) in valid UTF-8, white space around it allowed.
 * On false *ret_at (may be NULL) is the offset of the first byte that cannot be. */
bool json_valid(const char *data, size_t len, size_t *ret_at);

/* Appends "…" with everything escaped that must be. Bytes that are not UTF-8 become U+FFFD, one for each maximal
 * broken piece (as WHATWG and Python do it). Returns how many were replaced. */
size_t json_add_string(struct buf *b, const char *data, size_t len);

/* Finds a member of the outermost object in valid JSON text; *ret points into data. False when absent or no object.
 * The first one counts if a name is there twice. */
bool json_member(const char *data, size_t len, const char *name, const char **ret, size_t *ret_len);
/* True when the text (valid JSON) is an object / a string. */
bool json_is_object(const char *data, size_t len);
bool json_is_string(const char *data, size_t len);
/* Decodes a JSON string (valid, with its quotes) and appends its UTF-8; lone surrogates become U+FFFD. */
void json_add_decoded(struct buf *b, const char *data, size_t len);
/* Cuts a UTF-8 text to at most max bytes without breaking a character; returns the new length. */
size_t utf8_cut(const char *data, size_t len, size_t max);
