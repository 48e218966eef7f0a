/* SPDX-License-Identifier: Apache-2.0 */
#include "model/topic.h"

#include <errno.h>

struct topic *topic_ref(struct topic *t)
{
	return t;
}

struct topic *topic_unref(struct topic *t)
{
	return NULL;
}

int topic_parse(const char *json, size_t len, struct topic **ret, struct func_problems *problems)
{
	func_problems_add(problems, "$", "topics are not supported yet");
	return -EINVAL;
}

void topic_message_build(struct buf *b, const struct topic_message *m)
{
	buf_add(b, m->message, m->message_len);
}
