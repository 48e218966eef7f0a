/* SPDX-License-Identifier: Apache-2.0 */
/*
 *   RESTING ──timer──► ASKING ──answer──► RESTING (at once again while there is more; else later)
 *
 * One question at a time, and a small one: the store's writer does it between two commits, so that nobody waits long for
 * an answer because of what is thrown away. Of the loop's sources ours is the last: while there is work, old rows wait.
 *
 * Failures are the store's to tell, and it does (I8). Here they are said once and the question is asked again later: a
 * full disk is just when something should go.
 */
#include "daemon/retain.h"

#include <string.h>

#include "base/log.h"
#include "base/mem.h"

struct retain {
	struct port_store *store;
	struct retain_config cfg;
	sd_event_source *timer;
	bool asking, freed;		/* freed: by the answer */
	bool failed, full;		/* told */
};

static void destroy(struct retain *r)
{
	sd_event_source_disable_unref(r->timer);
	free(r);
}

static void later(struct retain *r, int64_t ms)
{
	/* Were this to fail, nothing would go any more, and who looks at the size of the database would see it. */
	if (sd_event_source_set_time_relative(r->timer, (uint64_t)ms * 1000) < 0 ||
	    sd_event_source_set_enabled(r->timer, SD_EVENT_ONESHOT) < 0)
		log_error("retention: no timer; ended events are kept until the daemon is started again");
}

/* Nothing more can go and it is still too much: what is open, or was not delivered, is kept whatever the limit. */
static void say_full(struct retain *r, bool full, int64_t used)
{
	if (full == r->full)
		return;
	r->full = full;
	if (full)
		log_warn("retention: the database has %lld bytes in use, RetainBytes is %lld, and no ended event is left to go",
			 (long long)used, (long long)r->cfg.bytes_max);
	else
		log_note("retention: the database is within RetainBytes again");
}

static void on_answer(void *arg, const struct store_query *q, const struct store_result *res, int result, const struct err *e)
{
	struct retain *r = arg;
	bool over;

	r->asking = false;
	if (r->freed) {
		destroy(r);
		return;
	}
	if (result < 0) {
		if (!r->failed)
			log_warn("retention: old events could not be deleted, it is tried again every %d s: %s",
				 RETAIN_IDLE_MS / 1000, err_msg(e));
		r->failed = true;
		later(r, RETAIN_IDLE_MS);
		return;
	}
	if (r->failed)
		log_note("retention: old events are deleted again");
	r->failed = false;
	if (res->affected)
		log_debug("retention: %lld ended events deleted, %lld bytes in use", (long long)res->affected,
			  (long long)res->bytes_used);
	over = r->cfg.bytes_max && res->bytes_used > r->cfg.bytes_max;
	if (!res->more)
		say_full(r, over, res->bytes_used);
	later(r, res->more ? 0 : over ? RETAIN_FULL_MS : RETAIN_IDLE_MS);
}

static int on_timer(sd_event_source *s, uint64_t usec, void *arg)
{
	struct retain *r = arg;
	struct store_query q = {
		.kind = STORE_Q_TRIM, .state = -1, .limit = RETAIN_STEP, .bytes_max = r->cfg.bytes_max, .arg = r, .done = on_answer,
	};

	if (r->cfg.age_ms) {
		q.until_ms = r->cfg.now_ms(r->cfg.arg) - r->cfg.age_ms;
		if (q.until_ms <= 0)	/* a clock that was never set; 0 would be no bound */
			q.until_ms = 1;
	}
	r->asking = true;
	r->store->ops->query(r->store, &q);
	return 0;
}

int retain_new(sd_event *loop, struct port_store *store, const struct retain_config *cfg, struct retain **ret, struct err *e)
{
	struct retain *r;
	int x;

	*ret = NULL;
	if (!cfg->age_ms && !cfg->bytes_max)
		return 0;
	r = XNEW(struct retain);
	*r = (struct retain){ .store = store, .cfg = *cfg };
	x = sd_event_add_time_relative(loop, &r->timer, CLOCK_MONOTONIC, 0, 100000, on_timer, r);
	if (x >= 0)
		x = sd_event_source_set_priority(r->timer, SD_EVENT_PRIORITY_IDLE);
	if (x < 0) {
		destroy(r);
		return err_errno(e, x, "timer");
	}
	(void)sd_event_source_set_description(r->timer, "retention");
	*ret = r;
	return 0;
}

struct retain *retain_free(struct retain *r)
{
	if (!r)
		return NULL;
	if (!r->asking) {
		destroy(r);
		return NULL;
	}
	r->freed = true;
	(void)sd_event_source_set_enabled(r->timer, SD_EVENT_OFF);
	return NULL;
}
