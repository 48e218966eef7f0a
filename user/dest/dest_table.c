/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Destinations by kind of target. Local functions and queues are not here: the engine puts those in its own
 * transaction, with no outbox row and nothing to send.
 */
#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"
#include "dest/dest.h"

static const struct dest_ops *const dest_rows[] = {
	[TARGET_FILE] = &dest_file,
	[TARGET_JOURNAL] = &dest_journal,
};

const struct dest_ops *dest_for(enum target_kind kind)
{
	return (size_t)kind < ARRAY_SIZE(dest_rows) ? dest_rows[kind] : NULL;
}

void dest_result_set(struct dest_result *ret, enum delivered how, const char *fmt, ...)
{
	va_list ap;

	ret->how = how;
	va_start(ap, fmt);
	vsnprintf(ret->why, sizeof(ret->why), fmt, ap);
	va_end(ap);
}
