/* SPDX-License-Identifier: Apache-2.0 */
/* Event buses in force, in the words of their files. */
#include <string.h>

#include "api/api_int.h"
#include "base/json.h"

static void pattern_list(struct buf *b, const char *name, char *const *list)
{
	if (!list)
		return;
	api_json_key(b, name);
	buf_addc(b, '[');
	for (; *list; list++) {
		api_json_next(b);
		json_add_string(b, *list, strlen(*list));
	}
	buf_addc(b, ']');
}

static void rule_json(struct buf *b, const struct bus_rule *r)
{
	buf_addc(b, '{');
	api_json_str(b, "Name", r->name);
	api_json_str(b, "State", r->enabled ? "ENABLED" : "DISABLED");
	api_json_key(b, "EventPattern");
	buf_addc(b, '{');
	pattern_list(b, "source", r->sources);
	pattern_list(b, "detail-type", r->detail_types);
	buf_addc(b, '}');
	api_json_key(b, "Targets");
	buf_addc(b, '[');
	for (size_t i = 0; i < r->n_targets; i++) {
		api_json_next(b);
		buf_addc(b, '{');
		api_json_str(b, "Arn", r->targets[i].text);
		buf_addc(b, '}');
	}
	buf_adds(b, "]}");
}

static void bus_json(struct api_call *c, struct buf *b, const struct bus *bus)
{
	char arn[LIM_ARN_MAX + 1];

	arn_format_target(arn, sizeof(arn), c->a->ctx.region, TARGET_BUS, bus->name);
	buf_addc(b, '{');
	api_json_str(b, "EventBusName", bus->name);
	api_json_str(b, "EventBusArn", arn);
	api_json_opt(b, "Description", bus->description);
	api_json_key(b, "Rules");
	buf_addc(b, '[');
	for (size_t i = 0; i < bus->n_rules; i++) {
		api_json_next(b);
		rule_json(b, &bus->rules[i]);
	}
	buf_adds(b, "]}");
}

void api_buses(struct api_call *c)
{
	CLEAN(buf_done) struct buf b = {};
	struct bus *const *list;
	size_t n = registry_buses(intake_registry(c->a->ctx.engine), &list);

	buf_adds(&b, "{\"buses\":[");
	for (size_t i = 0; i < n; i++) {
		api_json_next(&b);
		bus_json(c, &b, list[i]);
	}
	buf_adds(&b, "]}");
	api_answer_json(c, 200, &b);
}

void api_bus(struct api_call *c)
{
	CLEAN(buf_done) struct buf b = {};
	struct target target = {};
	const char *name = api_param_target(c, TARGET_BUS, &target);
	const struct bus *bus = name ? registry_bus(intake_registry(c->a->ctx.engine), name) : NULL;

	if (!bus) {
		api_fail(c, API_NOT_FOUND, "Event bus not found: %s", c->param[0]);
		return;
	}
	bus_json(c, &b, bus);
	api_answer_json(c, 200, &b);
}
