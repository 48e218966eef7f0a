/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names come in as AWS's clients write them, and AWS's patterns are regular expressions whose parts are nearly all
 * optional: (arn:P:lambda:)?(REGION:)?(ACCOUNT:)?(function:)?NAME(:QUALIFIER)?. No part can contain a colon, so the
 * text is cut at colons and the pattern becomes a walk over at most eight parts, each stage taken when it fits and
 * given back when the rest then does not: exactly a regular expression's greedy matching, and why
 * arn:aws:lambda:us-east-1:000000000000:function is a function called "function". POSIX regexec() was rejected: its
 * cost on hostile text is not ours to bound, and it cannot say which part is wrong.
 *
 * The account decides what is ours: 000000000000 with any region is this host.
 */
#include "model/arn.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "fate_abi.h"
#include "model/bus.h"
#include "model/topic.h"

#define FUNCTION_TEXT_MAX 256		/* NamespacedFunctionName's length */
#define FUNCTION_PARTS_MAX 8		/* arn:P:lambda:REGION:ACCOUNT:function:NAME:QUALIFIER */
#define QUEUE_NAME_MAX 80		/* Amazon SQS's */
#define ACCOUNT_LEN 12

/* The ctype of the C locale, whatever the locale is. */
static bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_letter(char c) { return is_lower(c) || (c >= 'A' && c <= 'Z'); }
static bool is_word(char c) { return is_letter(c) || is_digit(c) || c == '-' || c == '_'; }

static bool words_ok(const char *s)
{
	const char *p = s;

	while (is_word(*p))
		p++;
	return p > s && !*p;
}

bool arn_function_name_ok(const char *name)
{
	return words_ok(name) && strlen(name) <= LIM_FUNCTION_NAME_MAX;
}

static bool partition_ok(const char *s)		/* (aws[a-zA-Z-]*)? */
{
	if (!*s)
		return true;
	if (strncmp(s, "aws", 3) != 0)
		return false;
	for (s += 3; is_letter(*s) || *s == '-';)
		s++;
	return !*s;
}

static bool region_tail_ok(const char *s)	/* -[a-z]+-\d */
{
	if (*s++ != '-' || !is_lower(*s))
		return false;
	while (is_lower(*s))
		s++;
	return s[0] == '-' && is_digit(s[1]) && !s[2];
}

static bool region_ok(const char *s)		/* (eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1} */
{
	if (strncmp(s, "eusc-", 5) == 0)
		s += 5;
	if (!is_lower(s[0]) || !is_lower(s[1]))
		return false;
	s += 2;
	if (region_tail_ok(s))
		return true;
	if (strncmp(s, "-gov", 4) == 0)
		return region_tail_ok(s + 4);
	if (strncmp(s, "-iso", 4) == 0)
		return region_tail_ok(s + 4) || (is_lower(s[4]) && region_tail_ok(s + 5));
	return false;
}

static bool account_ok(const char *s)
{
	size_t n = 0;

	while (is_digit(s[n]))
		n++;
	return n == ACCOUNT_LEN && !s[n];
}

static bool qualifier_ok(const char *s)
{
	return strcmp(s, "$LATEST") == 0 || strcmp(s, "$LATEST.PUBLISHED") == 0 || words_ok(s);
}

/* For messages: what was given, cut and without control characters, quotes around it. */
static const char *shown(const char *s, char out[80])
{
	size_t n = 0;

	out[n++] = '"';
	for (; *s && n < 72; s++)
		out[n++] = iscntrl((unsigned char)*s) ? '?' : *s;
	/* a character cut in half would break the message's UTF-8 */
	while (*s && n > 1 && ((unsigned char)out[n - 1] & 0xc0) == 0x80)
		n--;
	if (*s && n > 1 && (unsigned char)out[n - 1] >= 0xc0)
		n--;
	snprintf(out + n, 80 - n, *s ? "…\"" : "\"");
	return out;
}

struct parts {
	char text[FUNCTION_TEXT_MAX + 1];
	const char *part[FUNCTION_PARTS_MAX];
	size_t n;
	const char *account, *name, *qualifier;		/* NULL = not given */
};

enum stage { STAGE_ARN, STAGE_REGION, STAGE_ACCOUNT, STAGE_FUNCTION, STAGE_NAME };

/* Does the pattern's rest, from `stage` on, match the parts from `at` on? Depth is bounded by the stages. */
static bool match(struct parts *p, size_t at, enum stage stage)
{
	const char **part = p->part + at;
	size_t left = p->n - at;

	switch (stage) {
	case STAGE_ARN:
		if (left > 3 && strcmp(part[0], "arn") == 0 && partition_ok(part[1]) && strcmp(part[2], "lambda") == 0 &&
		    match(p, at + 3, STAGE_REGION))
			return true;
		return match(p, at, STAGE_REGION);
	case STAGE_REGION:
		if (left > 1 && region_ok(part[0]) && match(p, at + 1, STAGE_ACCOUNT))
			return true;
		return match(p, at, STAGE_ACCOUNT);
	case STAGE_ACCOUNT:
		if (left > 1 && account_ok(part[0]) && match(p, at + 1, STAGE_FUNCTION)) {
			p->account = part[0];
			return true;
		}
		return match(p, at, STAGE_FUNCTION);
	case STAGE_FUNCTION:
		if (left > 1 && strcmp(part[0], "function") == 0 && match(p, at + 1, STAGE_NAME))
			return true;
		return match(p, at, STAGE_NAME);
	case STAGE_NAME:
		if (left < 1 || left > 2 || !words_ok(part[0]) || (left == 2 && !qualifier_ok(part[1])))
			return false;
		p->name = part[0];
		p->qualifier = left == 2 ? part[1] : NULL;
		return true;
	}
	return false;
}

/* The pattern did not match: say which part is to blame, the most likely one first. */
static int explain_function(const struct parts *p, const char *text, struct err *e)
{
	char s[80];

	if (strcmp(p->part[0], "arn") == 0 && p->n > 1) {
		if (!partition_ok(p->part[1]))
			return err_set(e, -EINVAL, "the ARN's partition is %s, not aws…", shown(p->part[1], s));
		if (p->n > 2 && strcmp(p->part[2], "lambda") != 0)
			return err_set(e, -EINVAL, "the ARN is of service %s, not of lambda", shown(p->part[2], s));
		if (p->n > 3 && !region_ok(p->part[3]))
			return err_set(e, -EINVAL, "%s is no region", shown(p->part[3], s));
		if (p->n > 4 && !account_ok(p->part[4]))
			return err_set(e, -EINVAL, "%s is no account: twelve digits", shown(p->part[4], s));
		if (p->n > 5 && strcmp(p->part[5], "function") != 0)
			return err_set(e, -EINVAL, "the ARN is of a %s, not of a function", shown(p->part[5], s));
		if (p->n < 7)
			return err_set(e, -EINVAL, "the ARN ends before the function's name");
		if (words_ok(p->part[6]) && p->n == 8 && !qualifier_ok(p->part[7]))
			return err_set(e, -EINVAL, "%s is no qualifier", shown(p->part[7], s));
		return err_set(e, -EINVAL, "%s is no function name: letters, digits, - and _", shown(p->part[6], s));
	}
	if (p->n == 2 && words_ok(p->part[0]))
		return err_set(e, -EINVAL, "%s is no qualifier", shown(p->part[1], s));
	if (p->n == 1)
		return err_set(e, -EINVAL, "%s is no function name: letters, digits, - and _", shown(text, s));
	return err_set(e, -EINVAL, "%s is neither NAME, NAME:QUALIFIER, ACCOUNT:function:NAME nor a function's ARN", shown(text, s));
}

int arn_parse_function(const char *text, struct arn_function *ret, struct err *e)
{
	struct parts p = {};
	size_t len = strnlen(text, FUNCTION_TEXT_MAX + 1);
	char *rest = p.text, *part, s[80];

	if (!len)
		return err_set(e, -EINVAL, "the function name is empty");
	if (len > FUNCTION_TEXT_MAX)
		return err_set(e, -EINVAL, "the function name is longer than %d characters", FUNCTION_TEXT_MAX);
	memcpy(p.text, text, len);
	while ((part = strsep(&rest, ":"))) {
		if (p.n == FUNCTION_PARTS_MAX)
			return err_set(e, -EINVAL, "%s has too many parts for a function's ARN", shown(text, s));
		p.part[p.n++] = part;
	}
	if (!match(&p, 0, STAGE_ARN))
		return explain_function(&p, text, e);
	if (p.account && strcmp(p.account, FATE_LOCAL_ACCOUNT) != 0)
		return err_set(e, -EREMOTE, "account %s is not this host (%s)", p.account, FATE_LOCAL_ACCOUNT);
	if (strlen(p.name) > LIM_FUNCTION_NAME_MAX)
		return err_set(e, -EINVAL, "the function name %s has %zu characters, at most %d are allowed", shown(p.name, s),
			       strlen(p.name), LIM_FUNCTION_NAME_MAX);
	if (p.qualifier && strlen(p.qualifier) > LIM_QUALIFIER_MAX)
		return err_set(e, -EINVAL, "the qualifier has %zu characters, at most %d are allowed", strlen(p.qualifier),
			       LIM_QUALIFIER_MAX);
	snprintf(ret->name, sizeof(ret->name), "%s", p.name);
	snprintf(ret->qualifier, sizeof(ret->qualifier), "%s", p.qualifier ? p.qualifier : "");
	return 0;
}

/* ---- targets: what a destination or a dead letter may name ---- */

static int queue_name_check(const char *name, struct err *e)
{
	char s[80];
	size_t len = strlen(name);

	if (len > 5 && strcmp(name + len - 5, ".fifo") == 0)
		return err_set(e, -EOPNOTSUPP, "%s: FIFO queues are not supported yet", shown(name, s));
	if (!words_ok(name))
		return err_set(e, -EINVAL, "%s is no queue name: letters, digits, - and _", shown(name, s));
	if (len > QUEUE_NAME_MAX)
		return err_set(e, -EINVAL, "the queue name %s has %zu characters, at most %d are allowed", shown(name, s), len,
			       QUEUE_NAME_MAX);
	return 0;
}

/* "NAME" or "NAME:QUALIFIER" after "function:". What the qualifier means is looked up when something is sent there. */
static int target_function(const char *text, struct target *t, struct err *e)
{
	const char *colon = strchr(text, ':');
	char s[80];

	snprintf(t->name, sizeof(t->name), "%.*s", (int)(colon ? (size_t)(colon - text) : strlen(text)), text);
	if (!arn_function_name_ok(t->name))
		return err_set(e, -EINVAL, "%s is no function name: 1 to %d letters, digits, - and _", shown(t->name, s),
			       LIM_FUNCTION_NAME_MAX);
	if (colon && !qualifier_ok(colon + 1))
		return err_set(e, -EINVAL, "%s is no qualifier", shown(colon + 1, s));
	if (colon && strlen(colon + 1) > LIM_QUALIFIER_MAX)
		return err_set(e, -EINVAL, "the qualifier has more than %d characters", LIM_QUALIFIER_MAX);
	if (colon && strcmp(colon + 1, "$LATEST") != 0)
		snprintf(t->qualifier, sizeof(t->qualifier), "%s", colon + 1);
	t->kind = TARGET_FUNCTION;
	return 0;
}

static int target_queue(const char *name, struct target *t, struct err *e)
{
	int r = queue_name_check(name, e);

	if (r < 0)
		return r;
	snprintf(t->name, sizeof(t->name), "%s", name);
	t->kind = TARGET_QUEUE;
	return 0;
}

static int target_topic(const char *name, struct target *t, struct err *e)
{
	char s[80];
	size_t len = strlen(name);

	if (len > 5 && strcmp(name + len - 5, ".fifo") == 0)
		return err_set(e, -EOPNOTSUPP, "%s: FIFO topics are not supported yet", shown(name, s));
	if (!words_ok(name))
		return err_set(e, -EINVAL, "%s is no topic name: letters, digits, - and _", shown(name, s));
	if (len > TOPIC_NAME_MAX)
		return err_set(e, -EINVAL, "the topic name %s has %zu characters, at most %d are allowed", shown(name, s), len,
			       TOPIC_NAME_MAX);
	snprintf(t->name, sizeof(t->name), "%s", name);
	t->kind = TARGET_TOPIC;
	return 0;
}

static int target_bus(const char *name, struct target *t, struct err *e)
{
	const char *p = name;
	char s[80];

	while (is_word(*p) || *p == '/' || *p == '.')
		p++;
	if (p == name || *p)
		return err_set(e, -EINVAL, "%s is no event bus name: letters, digits, /, ., - and _", shown(name, s));
	if (p - name > BUS_NAME_MAX)
		return err_set(e, -EINVAL, "the event bus name %s has %zu characters, at most %d are allowed", shown(name, s),
			       (size_t)(p - name), BUS_NAME_MAX);
	snprintf(t->name, sizeof(t->name), "%s", name);
	t->kind = TARGET_BUS;
	return 0;
}

/* file:/path, and file:///path as URLs have it. "..": where the daemon writes should be readable from the text. */
static int target_file(const char *path, struct target *t, struct err *e)
{
	char s[80];
	size_t len;

	if (strncmp(path, "///", 3) == 0)
		path += 2;
	if (path[0] != '/' || path[1] == '/')
		return err_set(e, -EINVAL, "%s is no absolute path", shown(path, s));
	len = strlen(path);
	if (path[len - 1] == '/')
		return err_set(e, -EINVAL, "%s is a directory, not a file", shown(path, s));
	for (const char *p = path; (p = strchr(p, '/')); p++)
		if (strncmp(p, "/../", 4) == 0 || strcmp(p, "/..") == 0 || strncmp(p, "/./", 3) == 0 || strcmp(p, "/.") == 0)
			return err_set(e, -EINVAL, "%s has . or .. in it", shown(path, s));
	snprintf(t->name, sizeof(t->name), "%s", path);
	t->kind = TARGET_FILE;
	return 0;
}

/* A resource of this host: the account was ours. */
static int target_local_arn(const char *service, const char *resource, struct target *t, struct err *e)
{
	char s[80];

	if (strcmp(service, "lambda") == 0) {
		if (strncmp(resource, "function:", 9) != 0)
			return err_set(e, -EINVAL, "%s is no function", shown(resource, s));
		return target_function(resource + 9, t, e);
	}
	if (strcmp(service, "sqs") == 0)
		return target_queue(resource, t, e);
	if (strcmp(service, "sns") == 0)
		return target_topic(resource, t, e);
	if (strcmp(service, "events") == 0) {
		if (strncmp(resource, "event-bus/", 10) != 0)
			return err_set(e, -EINVAL, "%s is no event bus", shown(resource, s));
		return target_bus(resource + 10, t, e);
	}
	return err_set(e, -EINVAL, "this host has nothing of service %s", shown(service, s));
}

/* arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE; only the resource may hold colons. */
static int target_arn(struct target *t, struct err *e)
{
	char text[LIM_ARN_MAX + 1], *rest = text, *part[6], s[80];
	bool regional;

	snprintf(text, sizeof(text), "%s", t->text);
	for (int i = 0; i < 5; i++)
		part[i] = strsep(&rest, ":");
	part[5] = rest;
	if (!rest || !*rest)
		return err_set(e, -EINVAL, "the ARN has too few parts: arn:aws:SERVICE:REGION:ACCOUNT:RESOURCE");
	if (!*part[1] || strncmp(part[1], "aws", 3) != 0 || !words_ok(part[1]) || strchr(part[1], '_'))
		return err_set(e, -EINVAL, "the ARN's partition is %s, not aws…", shown(part[1], s));
	if (!words_ok(part[2]) || strchr(part[2], '_'))
		return err_set(e, -EINVAL, "%s is no service", shown(part[2], s));
	if (*part[3] && !region_ok(part[3]))
		return err_set(e, -EINVAL, "%s is no region", shown(part[3], s));
	if (*part[4] && !account_ok(part[4]))
		return err_set(e, -EINVAL, "%s is no account: twelve digits", shown(part[4], s));
	regional = strcmp(part[2], "lambda") == 0 || strcmp(part[2], "sqs") == 0 || strcmp(part[2], "sns") == 0 ||
		   strcmp(part[2], "events") == 0;
	if (regional && (!*part[3] || !*part[4]))
		return err_set(e, -EINVAL, "the ARN names no %s; this host's account is %s", *part[3] ? "account" : "region",
			       FATE_LOCAL_ACCOUNT);
	if (strcmp(part[4], FATE_LOCAL_ACCOUNT) == 0)
		return target_local_arn(part[2], part[5], t, e);
	t->kind = TARGET_REMOTE;
	snprintf(t->name, sizeof(t->name), "%s", t->text);
	return 0;
}

static int target_bare(struct target *t, struct err *e)
{
	char s[80];
	int r;

	if (strchr(t->text, ':'))
		return err_set(e, -EINVAL, "%s is no target: an ARN, NAME, function:NAME, queue:NAME, topic:NAME, bus:NAME, file:/path or "
			       "journal:", shown(t->text, s));
	r = queue_name_check(t->text, e);
	if (r < 0)
		return r;
	t->kind = TARGET_NAME;
	snprintf(t->name, sizeof(t->name), "%s", t->text);
	return 0;
}

int target_parse(const char *text, struct target *ret, struct err *e)
{
	CLEAN(freep) struct target *t = NULL;
	size_t len = strnlen(text, LIM_ARN_MAX + 1);
	int r;

	if (len > LIM_ARN_MAX)
		return err_set(e, -EINVAL, "the target is longer than %d characters", LIM_ARN_MAX);
	for (size_t i = 0; i < len; i++)
		if (iscntrl((unsigned char)text[i]))
			return err_set(e, -EINVAL, "the target has a control character in it");
	t = XNEW(struct target);
	snprintf(t->text, sizeof(t->text), "%s", text);
	if (!len)
		r = 0;		/* TARGET_NONE: AWS's way to clear one */
	else if (strncmp(text, "arn:", 4) == 0)
		r = target_arn(t, e);
	else if (strncmp(text, "function:", 9) == 0)
		r = target_function(text + 9, t, e);
	else if (strncmp(text, "queue:", 6) == 0)
		r = target_queue(text + 6, t, e);
	else if (strncmp(text, "topic:", 6) == 0)
		r = target_topic(text + 6, t, e);
	else if (strncmp(text, "bus:", 4) == 0)
		r = target_bus(text + 4, t, e);
	else if (strncmp(text, "file:", 5) == 0)
		r = target_file(text + 5, t, e);
	else if (strcmp(text, "journal:") == 0)
		r = (t->kind = TARGET_JOURNAL, 0);
	else
		r = target_bare(t, e);
	if (r < 0)
		return r;
	*ret = *t;
	return 0;
}

const char *target_kind_name(enum target_kind k)
{
	static const char *const names[] = {
		[TARGET_NONE] = "none",	    [TARGET_FUNCTION] = "function", [TARGET_QUEUE] = "queue",	[TARGET_NAME] = "name",
		[TARGET_FILE] = "file",	    [TARGET_JOURNAL] = "journal",   [TARGET_REMOTE] = "remote",
		[TARGET_TOPIC] = "topic",   [TARGET_BUS] = "bus",
	};

	return (size_t)k < ARRAY_SIZE(names) ? names[k] : "invalid";
}

void arn_format_target(char *out, size_t size, const char *region, enum target_kind kind, const char *name)
{
	switch (kind) {
	case TARGET_QUEUE:
		snprintf(out, size, "arn:aws:sqs:%s:" FATE_LOCAL_ACCOUNT ":%s", region, name);
		return;
	case TARGET_TOPIC:
		snprintf(out, size, "arn:aws:sns:%s:" FATE_LOCAL_ACCOUNT ":%s", region, name);
		return;
	case TARGET_BUS:
		snprintf(out, size, "arn:aws:events:%s:" FATE_LOCAL_ACCOUNT ":event-bus/%s", region, name);
		return;
	default:
		snprintf(out, size, "%s", name);
	}
}

void arn_format_function(char *out, size_t size, const char *region, const char *name, const char *qualifier)
{
	bool qualified = qualifier && *qualifier;

	snprintf(out, size, "arn:aws:lambda:%s:" FATE_LOCAL_ACCOUNT ":function:%s%s%s", region, name, qualified ? ":" : "",
		 qualified ? qualifier : "");
}
