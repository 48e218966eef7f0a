/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "model/fact.h"
#include "model/func.h"
#include "model/outcome.h"

struct judge_context { const char *request_id; int timeout_ms; };

/* Evidence → outcome. Pure. ret is filled completely; its payload is owned by the caller (outcome_done). */
void judge(const struct evidence *ev, const struct judge_context *ctx, struct outcome *ret);
