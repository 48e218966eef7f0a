/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Exceptions and statuses live here and nowhere else. */
#include "base/buf.h"

enum api_exception {
	API_INVALID_PARAMETER,		/* semantic: 400 InvalidParameterValueException */
	API_VALIDATION,			/* schema: 400 ValidationException */
	API_INVALID_CONTENT,		/* event not JSON: 400 InvalidRequestContentException */
	API_SERIALIZATION,		/* body not JSON, or a member of a wrong type: 400 SerializationException */
	API_PRECONDITION,		/* RevisionId: 412 PreconditionFailedException */
	API_NOT_FOUND,			/* 404 ResourceNotFoundException */
	API_UNKNOWN_OPERATION,		/* path: 404 UnknownOperationException */
	API_METHOD_NOT_ALLOWED,		/* ours: the path exists for another method: 405 */
	API_CONFLICT,			/* not in this state: 409 ResourceConflictException */
	API_TOO_LARGE,			/* 413 RequestEntityTooLargeException */
	API_TOO_MANY,			/* 429 TooManyRequestsException */
	API_ACCESS_DENIED,		/* 403 AccessDeniedException */
	API_SERVICE,			/* 500 ServiceException */
	API_UNAVAILABLE,		/* 503 ServiceException: in doubt, or stopping */
	API_EXCEPTION_MAX
};
int api_error_status(enum api_exception x);
const char *api_error_name(enum api_exception x);

/* Appends Lambda's error body. name decides on the spelling of "message" and on "Type"; one that is not in the table gets
 * "Message" (as 5xx of Lambda). reason may be NULL. */
void api_error_body(struct buf *b, const char *name, int status, const char *message, const char *reason);
