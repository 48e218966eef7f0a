/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Where base/log.h's lines go: the journal, with fields, when stderr is connected to it; else stderr as text. */
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"

void journal_log_open(void);
/* One line as it would be written to stderr, its control characters but tabs as \xNN. Returns its length, cut at
 * size - 1; always ends in a newline. size is 2 or more. For tests. */
int journal_format(char *out, size_t size, int64_t wall_ms, enum log_level level, const struct log_ctx *ctx, const char *msg);
