/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A definition's life. It is built once (model/func_def.c), then only read, by the loop and by the store's writer
 * thread alike; hence the atomic count and no setters. What a file leaves out is decided here and nowhere else.
 */
#include "model/func.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

/* Lambda's limit for processes and threads of one environment: a fork bomb needs a bound that nobody had to think of. */
#define FUNC_PIDS_DEFAULT 1024

struct func *func_new(void)
{
	struct func *f = XNEW(struct func);

	f->refs = 1;
	f->description = xstrdup("");
	f->mode = FUNC_MODE_EXEC;
	f->env = xcalloc(1, sizeof(*f->env));
	f->timeout_ms = LIM_TIMEOUT_S_DEFAULT * 1000;
	f->memory_mb = LIM_MEMORY_MB_DEFAULT;
	f->pids_max = FUNC_PIDS_DEFAULT;
	f->no_new_privs = true;
	f->reserved_concurrency = -1;
	f->retries_max = LIM_RETRIES_DEFAULT;
	f->event_age_max_s = LIM_EVENT_AGE_S_DEFAULT;
	f->n_retry_delays = 2;
	f->retry_delays_ms = xcalloc(2, sizeof(*f->retry_delays_ms));
	f->retry_delays_ms[0] = LIM_RETRY_DELAY_1_S * 1000LL;
	f->retry_delays_ms[1] = LIM_RETRY_DELAY_2_S * 1000LL;
	f->record_fate = true;
	f->oom_group = true;
	return f;
}

struct func *func_ref(struct func *f)
{
	if (f)
		ref_take(&f->refs);
	return f;
}

struct func *func_unref(struct func *f)
{
	if (!f || !ref_drop(&f->refs))
		return NULL;
	free(f->description);
	free(f->published_as);
	blob_unref(f->source);
	xfree_strings(f->command);
	free(f->working_dir);
	xfree_strings(f->env);
	free(f->user);
	free(f->group);
	free(f->rlimits);
	free(f->retry_delays_ms);
	for (size_t i = 0; i < ARRAY_SIZE(f->retry); i++)
		free(f->retry[i].delays_ms);
	free(f);
	return NULL;
}

void func_problems_add(struct func_problems *p, const char *path, const char *fmt, ...)
{
	struct func_problem *q;
	va_list ap;
	int n;

	p->list = xrealloc(p->list, (p->n + 1) * sizeof(*p->list));
	q = &p->list[p->n++];
	q->path = xstrdup(path);
	va_start(ap, fmt);
	n = vasprintf(&q->reason, fmt, ap);
	va_end(ap);
	if (n < 0)
		q->reason = xstrdup("(no memory for the reason)");
}

void func_problems_done(struct func_problems *p)
{
	for (size_t i = 0; i < p->n; i++) {
		free(p->list[i].path);
		free(p->list[i].reason);
	}
	free(p->list);
	*p = (struct func_problems){};
}
