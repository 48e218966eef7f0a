/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Members of a JSON object that is being written; each puts the comma it needs. Names are ours and need no escaping. */
#include <stdbool.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/buf.h"

void api_json_next(struct buf *b);				/* the comma before another element, if one is needed */
void api_json_key(struct buf *b, const char *name);
void api_json_str(struct buf *b, const char *name, const char *value);
void api_json_opt(struct buf *b, const char *name, const char *value);	/* nothing when NULL or "" */
void api_json_int(struct buf *b, const char *name, int64_t value);
void api_json_bool(struct buf *b, const char *name, bool value);
void api_json_time(struct buf *b, const char *name, int64_t wall_ms);	/* nothing when 0 */
void api_json_seconds(struct buf *b, const char *name, int64_t ms);	/* 3, 0.25 */
/* JSON text as it is, nothing when NULL; text that is not JSON becomes a string. */
void api_json_splice(struct buf *b, const char *name, const struct blob *text);
