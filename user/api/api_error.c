/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lambda spells "message" or "Message" depending on the exception, and errors of its front end have no "Type"; both are
 * kept, because clients in the field read one spelling or the other.
 */
#include "api/api_error.h"

#include <assert.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"

static const struct row {
	const char *name;
	int status;
	const char *member;
	bool front_end;		/* body without "Type" */
} rows[API_EXCEPTION_MAX] = {
	[API_INVALID_PARAMETER] = { "InvalidParameterValueException", 400, "message", false },
	[API_VALIDATION] = { "ValidationException", 400, "message", true },
	[API_INVALID_CONTENT] = { "InvalidRequestContentException", 400, "message", false },
	[API_SERIALIZATION] = { "SerializationException", 400, "Message", false },
	[API_PRECONDITION] = { "PreconditionFailedException", 412, "message", false },
	[API_NOT_FOUND] = { "ResourceNotFoundException", 404, "Message", false },
	[API_UNKNOWN_OPERATION] = { "UnknownOperationException", 404, "message", true },
	[API_METHOD_NOT_ALLOWED] = { "MethodNotAllowedException", 405, "message", true },
	[API_CONFLICT] = { "ResourceConflictException", 409, "message", false },
	[API_TOO_LARGE] = { "RequestEntityTooLargeException", 413, "Message", true },
	[API_TOO_MANY] = { "TooManyRequestsException", 429, "message", false },
	[API_ACCESS_DENIED] = { "AccessDeniedException", 403, "Message", true },
	[API_SERVICE] = { "ServiceException", 500, "Message", false },
	[API_UNAVAILABLE] = { "ServiceException", 503, "Message", false },
};

int api_error_status(enum api_exception x)
{
	assert((unsigned int)x < API_EXCEPTION_MAX);
	return rows[x].status;
}

const char *api_error_name(enum api_exception x)
{
	assert((unsigned int)x < API_EXCEPTION_MAX);
	return rows[x].name;
}

void api_error_body(struct buf *b, const char *name, int status, const char *message, const char *reason)
{
	const struct row *row = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(rows) && !row; i++)
		if (strcmp(rows[i].name, name) == 0)
			row = &rows[i];
	buf_addc(b, '{');
	if (reason) {
		buf_adds(b, "\"Reason\":");
		json_add_string(b, reason, strlen(reason));
		buf_addc(b, ',');
	}
	if (!row || !row->front_end)
		buf_addf(b, "\"Type\":\"%s\",", status >= 500 ? "Service" : "User");
	buf_addf(b, "\"%s\":", row ? row->member : "Message");
	json_add_string(b, message, strlen(message));
	buf_addc(b, '}');
}
