/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What destinations receive: AWS Lambda's asynchronous invocation record, version 1.0, plus the member "fate". */
#include "base/buf.h"
#include "model/fact.h"
#include "model/inv.h"

struct record_input {
	const struct inv_row *row;	/* condition, attempts, ids */
	const char *region;
	int64_t now_ms;			/* time of completion */
	const struct blob *request;	/* the event: valid JSON text; empty = {} */
	const struct outcome *last;	/* last attempt's outcome; NULL = the function never ran */
	bool throttled;			/* it never ran because it was throttled: statusCode 429 */
	const char *fates;		/* JSON text of the attempts' array, NULL = leave "fate" out */
};
/* Appends the record, compact JSON on one line. */
void record_build(struct buf *b, const struct record_input *in);

/* The bare-payload dead letter's attributes, each only when it has a value (out buffers are JSON-free text). */
struct dead_letter { char request_id[ID_UUID_LEN + 1]; int error_code; char error_message[LIM_DLQ_ERROR_MESSAGE * 3 + 1]; };
void dead_letter_build(struct dead_letter *ret, const struct record_input *in);

/* One attempt's entry of the array "fate.attempts": a JSON object. */
struct fate_input {
	int attempt;			/* number of the start, 1, 2, … */
	int64_t started_at_ms;		/* wall clock; 0 = never started */
	const struct evidence *ev;
	const struct outcome *outcome;
	int timeout_ms;
};
void fate_build(struct buf *b, const struct fate_input *in);
