/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Names and ARNs. Account 000000000000 with any region is this host; a bare name works wherever an ARN does. */
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "model/limits.h"

/* [A-Za-z0-9-_]{1,64} */
bool arn_function_name_ok(const char *name);

struct arn_function {
	char name[LIM_FUNCTION_NAME_MAX + 1];
	char qualifier[LIM_QUALIFIER_MAX + 1];	/* "" when none was given */
};
/* Accepts NAME, NAME:Q, ACCT:function:NAME[:Q], function:NAME[:Q], full ARNs. -EINVAL names what is wrong;
 * -EREMOTE for an ARN of another account. */
int arn_parse_function(const char *text, struct arn_function *ret, struct err *e);

enum target_kind {
	TARGET_NONE = 0,	/* not configured, or "" */
	TARGET_FUNCTION,	/* local function */
	TARGET_QUEUE,		/* local queue */
	TARGET_NAME,		/* a bare name: a function when one of that name is defined, else a queue */
	TARGET_FILE,		/* file:/absolute/path : one JSON line per record */
	TARGET_JOURNAL,		/* journal: */
	TARGET_TOPIC,		/* local topic */
	TARGET_BUS,		/* local event bus */
	TARGET_REMOTE		/* well-formed, not of this host: not supported yet */
};
struct target {
	enum target_kind kind;
	char name[LIM_ARN_MAX + 1];	/* function, queue, topic, bus or bare name; path of a file */
	char qualifier[LIM_QUALIFIER_MAX + 1];	/* of a function: version or alias; "" = $LATEST */
	char text[LIM_ARN_MAX + 1];	/* as configured */
};
/* Forms: arn:aws:lambda:R:000000000000:function:N[:Q], arn:aws:sqs:R:000000000000:N, arn:aws:sns:R:000000000000:N,
 * arn:aws:events:R:000000000000:event-bus/N, file:/path, journal:, function:N, queue:N, topic:N, bus:N, bare N. */
int target_parse(const char *text, struct target *ret, struct err *e);
const char *target_kind_name(enum target_kind k);

/* arn:aws:lambda:REGION:000000000000:function:NAME[:QUALIFIER]; qualifier NULL or "" → unqualified. */
/* arn:aws:sns:REGION:000000000000:NAME, arn:aws:sqs:…, arn:aws:events:…:event-bus/NAME, for those kinds of target. */
void arn_format_target(char *out, size_t size, const char *region, enum target_kind kind, const char *name);
void arn_format_function(char *out, size_t size, const char *region, const char *name, const char *qualifier);
