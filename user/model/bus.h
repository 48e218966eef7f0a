/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A local event bus in its simplest form: one file of functions.d with "EventBusName". A rule names sources and detail
 * types; an event that matches goes to the rule's targets, in the publisher's own transaction.
 */
#include "base/buf.h"
#include "model/func.h"

#define BUS_NAME_MAX 256	/* EventBridge's */
#define BUS_RULES_MAX 100
#define BUS_EVENT_MAX 262144u	/* bytes: EventBridge's */
#define BUS_TARGETS_MAX 5	/* a rule: EventBridge's */

struct bus_rule {
	char name[65];
	bool enabled;			/* State */
	char **sources, **detail_types;	/* NULL-terminated; NULL = any */
	struct target *targets;		/* function, queue, bare name, topic */
	size_t n_targets;
};
struct bus {
	int refs;
	char name[BUS_NAME_MAX + 1];
	char *description;		/* never NULL */
	struct bus_rule *rules;
	size_t n_rules;
};
struct bus *bus_ref(struct bus *b);
struct bus *bus_unref(struct bus *b);	/* NULL in; returns NULL */
DEFINE_FREEP(bus_unref, struct bus *)

/* As func_parse(). The file's object must have EventBusName. */
int bus_parse(const char *json, size_t len, struct bus **ret, struct func_problems *problems);
bool bus_rule_matches(const struct bus_rule *r, const char *source, const char *detail_type);

/* EventBridge's envelope around a detail. */
struct bus_event {
	const char *id;			/* UUID */
	const char *source, *detail_type;
	const char *region;
	int64_t at_ms;
	const char *const *resources;	/* n of them */
	size_t n_resources;
	const char *detail;		/* JSON object text */
	size_t detail_len;
};
void bus_event_build(struct buf *b, const struct bus_event *e);
/* "Lambda Function Invocation Result - Success" or "… - Failure": of records, whose source is "lambda". */
const char *bus_record_detail_type(bool success);
