/* SPDX-License-Identifier: Apache-2.0 */
/*
 * journal: one entry per record. MESSAGE is a line for people; the record itself is in FATE_RECORD, whole, and
 * what one filters by has fields of its own:
 *
 *   journalctl FATE_FUNCTION=resize FATE_CONDITION=RetriesExhausted -o json
 *
 *   FATE_REQUEST_ID  FATE_KEY (the idempotency key: the same in an entry sent twice)  FATE_ROLE
 *   FATE_FUNCTION, FATE_CONDITION  as far as the body is a record; a dead letter is the bare event and names neither
 *   FATE_ATTRIBUTES  of a dead letter, JSON
 *
 * The library is silent about a journal that is not there (it answers success), and that would be a lost record
 * acknowledged. So the socket is tried before and after: a journal that goes away in between is seen by the second
 * look, unless it came back meanwhile, and then its socket's queue was never gone (systemd keeps it).
 * Entries too long for a datagram are passed by the library in a sealed memory file.
 */
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <systemd/sd-journal.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"
#include "dest/dest.h"

#define JOURNAL_SOCKET "/run/systemd/journal/socket"
#define JOURNAL_WAIT_MS 2000
#define SUMMARY_REASON_MAX 200

struct text { const char *data; size_t len; };

/* A member of a member …; false when one of them is absent. */
static bool text_member(struct text in, const char *name, struct text *ret)
{
	return in.len && json_member(in.data, in.len, name, &ret->data, &ret->len);
}

/* The decoded text of a string member, "" when there is none. Control characters would break the line: blanks. */
static void add_string_member(struct buf *b, struct text in, const char *name)
{
	struct text t;
	size_t from = b->len;

	if (!text_member(in, name, &t) || !json_is_string(t.data, t.len))
		return;
	json_add_decoded(b, t.data, t.len);
	for (size_t i = from; i < b->len; i++)
		if ((unsigned char)b->data[i] < 0x20 || b->data[i] == 0x7f)
			b->data[i] = ' ';
}

/* A text that may be long, with what goes in front of it when there is any. */
static void add_cut(struct buf *b, const char *before, const struct buf *text)
{
	size_t n = utf8_cut(buf_str(text), text->len, SUMMARY_REASON_MAX);

	if (!text->len)
		return;
	buf_adds(b, before);
	buf_add(b, text->data, n);
	buf_adds(b, n < text->len ? "…" : "");
}

/* NAME of arn:aws:lambda:REGION:ACCOUNT:function:NAME[:QUALIFIER]. */
static void add_function(struct buf *b, struct text context)
{
	CLEAN(buf_done) struct buf arn = {};
	const char *p;

	add_string_member(&arn, context, "functionArn");
	p = strstr(buf_str(&arn), ":function:");
	if (p) {
		p += strlen(":function:");
		buf_add(b, p, strcspn(p, ":"));
	}
}

/* The last attempt's verdict in our own part of the record. The array's last element is not worth a parser: no text
 * of a function's making stands in it unescaped, so the last such member is the one. */
static void add_verdict(struct buf *b, struct text record)
{
	static const char member[] = "\"verdict\":\"";
	struct text fate;
	const char *p, *found = NULL;

	if (!text_member(record, "fate", &fate))
		return;
	for (p = fate.data; (p = memmem(p, (size_t)(fate.data + fate.len - p), member, sizeof(member) - 1)); )
		found = p += sizeof(member) - 1;
	if (found)
		buf_add(b, found, strcspn(found, "\""));
}

/* "fated: dead letter of request …: Task timed out after 3.00 seconds" */
static void add_dead_letter(struct buf *b, const struct dest_job *job, const char *request_id)
{
	struct text at = { job->attributes ? job->attributes->data : NULL, job->attributes ? job->attributes->len : 0 };
	CLEAN(buf_done) struct buf why = {};
	struct text message;

	buf_addf(b, "fated: dead letter of request %s", request_id);
	if (text_member(at, "ErrorMessage", &message))
		add_string_member(&why, message, "StringValue");
	add_cut(b, ": ", &why);
}

/* "fated: resize ended: RetriesExhausted (Timeout: … Task timed out after 3.00 seconds), 3 attempts, request …" */
static void add_summary(struct buf *b, const struct dest_job *job, struct text record, const char *function,
			const char *condition, const char *request_id)
{
	CLEAN(buf_done) struct buf why = {}, reason = {};
	struct text context = {}, response = {}, count;

	if (job->attributes || !condition[0])
		return add_dead_letter(b, job, request_id);
	add_verdict(&why, record);
	if (text_member(record, "responsePayload", &response) && json_is_object(response.data, response.len))
		add_string_member(&reason, response, "errorMessage");
	if (strcmp(buf_str(&why), "Success") == 0)
		buf_clear(&reason);
	add_cut(&why, why.len ? ": " : "", &reason);
	buf_addf(b, "fated: %s ended: %s", function, condition);
	if (why.len)
		buf_addf(b, " (%s)", buf_str(&why));
	if (text_member(record, "requestContext", &context) && text_member(context, "approximateInvokeCount", &count))
		buf_addf(b, ", %.*s attempt%s", (int)count.len, count.data, count.len == 1 && *count.data == '1' ? "" : "s");
	buf_addf(b, ", request %s", request_id);
}

/* Is somebody there, and is there room for an entry? The library's own send waits for ever when there is none. */
static int journal_listening(int wait_ms, struct err *e)
{
	CLEAN(closep) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un sa = { .sun_family = AF_UNIX, .sun_path = JOURNAL_SOCKET };
	struct pollfd p = { .events = POLLOUT };

	if (fd < 0)
		return err_errno(e, -errno, "journal");
	if (connect(fd, (struct sockaddr *)&sa, offsetof(struct sockaddr_un, sun_path) + sizeof(JOURNAL_SOCKET)) < 0)
		return err_errno(e, -errno, "no journal at %s", JOURNAL_SOCKET);
	p.fd = fd;
	if (wait_ms && poll(&p, 1, wait_ms) == 0)
		return err_set(e, -EAGAIN, "the journal has taken no entry for %d ms", wait_ms);
	return 0;
}

/* Six short fields and two long ones, the long ones not copied twice. */
static int journal_write(const struct dest_job *job, struct err *e)
{
	CLEAN(buf_done) struct buf message = {}, function = {}, condition = {}, body = {}, attributes = {};
	struct text record = { job->body ? job->body->data : "{}", job->body ? job->body->len : 2 };
	char request_id[ID_UUID_LEN + 1], id[64], key[80], role[32], priority[16];
	struct text context = {};
	struct iovec iov[10];
	int n = 0;

	snprintf(request_id, sizeof(request_id), "%.*s", (int)strcspn(job->key, ":"), job->key);
	buf_adds(&function, "FATE_FUNCTION=");
	buf_adds(&condition, "FATE_CONDITION=");
	if (!job->attributes && text_member(record, "requestContext", &context)) {
		add_function(&function, context);
		add_string_member(&condition, context, "condition");
	}
	buf_adds(&message, "MESSAGE=");
	add_summary(&message, job, record, strchr(function.data, '=') + 1, strchr(condition.data, '=') + 1, request_id);
	if (buf_reserve(&body, record.len + 16) < 0)
		return err_set(e, -ENOMEM, "no memory for a record of %zu bytes", record.len);
	buf_adds(&body, "FATE_RECORD=");
	buf_add(&body, record.data, record.len);

#define FIELD(p, l) iov[n++] = (struct iovec){ (void *)(p), (l) }
#define SHORT(out, ...) FIELD(out, (size_t)snprintf(out, sizeof(out), __VA_ARGS__))
	FIELD(message.data, message.len);
	FIELD(body.data, body.len);
	SHORT(id, "FATE_REQUEST_ID=%s", request_id);
	SHORT(key, "FATE_KEY=%s", job->key);
	SHORT(role, "FATE_ROLE=%s", outbox_role_name(job->role));
	SHORT(priority, "PRIORITY=%d", job->role == ROLE_ON_SUCCESS ? LOG_INFO : LOG_NOTICE);
	FIELD("SYSLOG_IDENTIFIER=fated", strlen("SYSLOG_IDENTIFIER=fated"));
	if (strchr(function.data, '=')[1])
		FIELD(function.data, function.len);
	if (strchr(condition.data, '=')[1])
		FIELD(condition.data, condition.len);
	if (job->attributes) {
		buf_adds(&attributes, "FATE_ATTRIBUTES=");
		buf_add(&attributes, job->attributes->data, job->attributes->len);
		FIELD(attributes.data, attributes.len);
	}
#undef SHORT
#undef FIELD
	n = sd_journal_sendv(iov, n);
	return n < 0 ? err_errno(e, n, "journal") : 0;
}

static void journal_send(const struct dest_job *job, struct dest_result *ret)
{
	struct err e = {};
	int r = journal_listening(JOURNAL_WAIT_MS, &e);

	if (r >= 0)
		r = journal_write(job, &e);
	if (r >= 0)
		r = journal_listening(0, &e);
	if (r < 0)
		return dest_result_set(ret, DELIVERED_RETRY, "%.250s", err_msg(&e));
	*ret = (struct dest_result){ .how = DELIVERED_ACK };
}

const struct dest_ops dest_journal = { .name = "journal", .send = journal_send };
