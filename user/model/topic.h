/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A local topic: one file of functions.d with "TopicName". What is published to it goes to every subscription, in the
 * publisher's own transaction: to functions as an event of the SNS shape, to queues as SNS's envelope (or raw), to
 * commands as an event for a function that the file itself defines.
 */
#include "base/buf.h"
#include "model/func.h"

#define TOPIC_NAME_MAX 256	/* SNS's */
#define TOPIC_SUBS_MAX 100
#define TOPIC_MESSAGE_MAX 262144u	/* bytes: SNS's. A larger record goes without its payloads, as Lambda does it */

enum topic_sub_kind { TOPIC_SUB_FUNCTION, TOPIC_SUB_QUEUE, TOPIC_SUB_COMMAND };
struct topic_sub {
	enum topic_sub_kind kind;
	char name[LIM_ARN_MAX + 1];	/* the function (of a command: its own) or the queue */
	bool raw;			/* RawMessageDelivery: queues only */
	char id[37];			/* UUID of its subscription ARN: made from topic and endpoint, so it stays the same */
	struct func *command;		/* COMMAND: the function "<topic>-<Id>" */
};
struct topic {
	int refs;
	char name[TOPIC_NAME_MAX + 1];
	char *description;		/* never NULL */
	struct topic_sub *subs;
	size_t n_subs;
};
struct topic *topic_ref(struct topic *t);
struct topic *topic_unref(struct topic *t);	/* NULL in; returns NULL */
DEFINE_FREEP(topic_unref, struct topic *)

/* As func_parse(): pure, strict, all problems together. The file's object must have TopicName. */
int topic_parse(const char *json, size_t len, struct topic **ret, struct func_problems *problems);

/* One message on its way to one subscription. */
struct topic_message {
	const struct topic *topic;
	const struct topic_sub *sub;
	const char *region;
	const char *message_id;		/* UUID, the same for all subscriptions */
	int64_t at_ms;
	const char *subject;		/* NULL = none */
	const char *message;		/* the text: a record, or what was published */
	size_t message_len;
	const struct buf *quoted;	/* the same as a JSON string, made once for all subscriptions; NULL = it is made here */
	const char *attributes;		/* JSON object {"NAME": {"Type", "Value"}}; NULL = none */
};
/* Appends what the subscription gets (it is the same for all queues): functions and commands
 * {"Records":[{"EventSource":"aws:sns",…}]}, queues the Notification envelope, or the message itself when raw. */
void topic_message_build(struct buf *b, const struct topic_message *m);
