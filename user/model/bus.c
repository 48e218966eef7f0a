/* SPDX-License-Identifier: Apache-2.0 */
#include "model/bus.h"

#include <errno.h>

struct bus *bus_ref(struct bus *b)
{
	return b;
}

struct bus *bus_unref(struct bus *b)
{
	return NULL;
}

int bus_parse(const char *json, size_t len, struct bus **ret, struct func_problems *problems)
{
	func_problems_add(problems, "$", "event buses are not supported yet");
	return -EINVAL;
}

bool bus_rule_matches(const struct bus_rule *r, const char *source, const char *detail_type)
{
	return false;
}

void bus_event_build(struct buf *b, const struct bus_event *e)
{
	buf_add(b, e->detail, e->detail_len);
}

const char *bus_record_detail_type(bool success)
{
	return success ? "Lambda Function Invocation Result - Success" : "Lambda Function Invocation Result - Failure";
}
