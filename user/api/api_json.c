/* SPDX-License-Identifier: Apache-2.0 */
#include "api/api_json.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"

void api_json_next(struct buf *b)
{
	if (b->len && !strchr("{[,:", b->data[b->len - 1]))
		buf_addc(b, ',');
}

void api_json_key(struct buf *b, const char *name)
{
	api_json_next(b);
	buf_addf(b, "\"%s\":", name);
}

void api_json_str(struct buf *b, const char *name, const char *value)
{
	api_json_key(b, name);
	json_add_string(b, value, strlen(value));
}

void api_json_opt(struct buf *b, const char *name, const char *value)
{
	if (value && *value)
		api_json_str(b, name, value);
}

void api_json_int(struct buf *b, const char *name, int64_t value)
{
	api_json_key(b, name);
	buf_addf(b, "%" PRId64, value);
}

void api_json_bool(struct buf *b, const char *name, bool value)
{
	api_json_key(b, name);
	buf_adds(b, value ? "true" : "false");
}

void api_json_time(struct buf *b, const char *name, int64_t wall_ms)
{
	char iso[ISO_MS_LEN + 1];

	if (wall_ms)
		api_json_str(b, name, clock_iso_ms(wall_ms, iso));
}

void api_json_seconds(struct buf *b, const char *name, int64_t ms)
{
	int64_t part = ms % 1000;
	int digits = 3;

	api_json_key(b, name);
	buf_addf(b, "%" PRId64, ms / 1000);
	if (!part)
		return;
	while (part % 10 == 0) {
		part /= 10;
		digits--;
	}
	buf_addf(b, ".%0*" PRId64, digits, part);
}

void api_json_splice(struct buf *b, const char *name, const struct blob *text)
{
	if (!text)
		return;
	api_json_key(b, name);
	/* What went in was valid; what comes out of a store is looked at again, for it would break the whole answer. */
	if (json_valid(text->data, text->len, NULL))
		buf_add(b, text->data, text->len);
	else
		json_add_string(b, text->data, text->len);
}
