/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon as a whole: status, version, reload. Status must answer when the store does not: then the counts are missing. */
#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "api/api_int.h"
#include "engine/engine.h"
#include "fate_abi.h"

struct field { const char *name; size_t at; };
#define FIELD(json, member) { json, offsetof(struct engine_stats, member) }

static const struct field fields[] = {
	FIELD("accepted", accepted), FIELD("refused", refused), FIELD("syncInvocations", sync_invocations),
	FIELD("throttled", throttled),
	FIELD("queued", queued), FIELD("running", running), FIELD("waiting", waiting), FIELD("routing", routing),
	FIELD("runningSync", running_sync), FIELD("succeeded", succeeded), FIELD("failed", failed),
	FIELD("attemptsStarted", attempts_started), FIELD("leftRunning", left_running), FIELD("environments", environments),
	FIELD("witnessesDisagree", witnesses_disagree),
	FIELD("commits", commits), FIELD("commitFailures", commit_failures), FIELD("opsCommitted", ops_committed),
	FIELD("deliveriesAcked", deliveries_acked), FIELD("deliveriesRetried", deliveries_retried),
	FIELD("deliveriesFailed", deliveries_failed), FIELD("recoveredRunning", recovered_running), FIELD("stale", stale),
	FIELD("adopted", adopted), FIELD("refusedRows", refused_ops), FIELD("inMemory", in_memory),
	FIELD("inMemoryBytes", in_memory_bytes), FIELD("recursive", recursive), FIELD("poison", poison),
	FIELD("destinationDeliveryFailures", delivery_failures), FIELD("deadLetterErrors", dead_letter_errors),
	FIELD("deliveriesOwed", deliveries_owed), FIELD("openBreakers", targets_open), FIELD("clockStepMs", clock_step_ms),
};

static void conditions(struct buf *b, const int64_t *counts)
{
	api_json_key(b, "byCondition");
	buf_addc(b, '{');
	for (int i = COND_SUCCESS; i < COND_MAX; i++)
		api_json_int(b, inv_condition_name((enum inv_condition)i), counts[i]);
	buf_addc(b, '}');
}

static void engine_json(struct buf *b, const struct engine_stats *s)
{
	api_json_key(b, "engine");
	buf_addc(b, '{');
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		api_json_int(b, fields[i].name, *(const int64_t *)((const char *)s + fields[i].at));
	conditions(b, s->by_condition);
	api_json_key(b, "byOutcome");
	buf_addc(b, '{');
	for (int i = OUTCOME_SUCCESS; i < OUTCOME_MAX; i++)
		api_json_int(b, outcome_name((enum outcome_kind)i), s->by_outcome[i]);
	buf_adds(b, "},\"witness\":{");
	for (int i = WITNESS_NONE; i <= WITNESS_BOTH; i++)
		api_json_int(b, witness_name((enum witness)i), s->witness[i]);
	buf_addc(b, '}');
	/* What is open and not in memory waits in the store. */
	api_json_int(b, "onDisk", MAX(s->queued + s->running + s->waiting + s->routing - s->in_memory, 0));
	api_json_bool(b, "rebooted", s->rebooted);
	api_json_bool(b, "inDoubt", s->in_doubt);
	api_json_opt(b, "doubtWhy", s->doubt_why);
	api_json_bool(b, "draining", s->draining);
	buf_addc(b, '}');
}

static void law_json(struct buf *b, const struct engine_law *l)
{
	api_json_key(b, "law");
	buf_addc(b, '{');
	api_json_bool(b, "holds", l->events_hold && l->processes_hold);
	buf_adds(b, ",\"events\":{");
	api_json_int(b, "accepted", l->accepted);
	api_json_int(b, "queued", l->queued);
	api_json_int(b, "running", l->running);
	api_json_int(b, "settled", l->settled);
	api_json_int(b, "deadLettered", l->dead_lettered);
	api_json_bool(b, "holds", l->events_hold);
	buf_addc(b, '}');
	if (l->observed) {
		buf_adds(b, ",\"processes\":{");
		api_json_int(b, "starts", l->starts);
		api_json_int(b, "exits", l->exits);
		api_json_int(b, "alive", l->alive);
		api_json_int(b, "drift", l->drift);
		api_json_int(b, "missed", l->missed);
		api_json_bool(b, "holds", l->processes_hold);
		buf_addc(b, '}');
	}
	buf_addc(b, '}');
}

struct env_list { struct buf *b; int64_t now_ns; };

static void env_json(void *arg, const struct engine_env_info *i)
{
	struct env_list *l = arg;
	struct buf *b = l->b;

	api_json_next(b);
	/* As text: beyond 2^53 a number would not survive most readers. */
	buf_addf(b, "{\"cgroupId\":\"%" PRIu64 "\"", i->cgroup_id);
	api_json_str(b, "function", i->function);
	api_json_str(b, "requestId", i->request_id);
	api_json_str(b, "state", i->state);
	api_json_int(b, "attempt", i->attempt);
	api_json_bool(b, "sync", i->sync);
	api_json_int(b, "runningMs", (l->now_ns - i->started_ns) / 1000000);
	api_json_int(b, "leftMs", (i->deadline_ns - l->now_ns) / 1000000);
	if (i->seen) {
		api_json_int(b, "cpuMs", (int64_t)(i->cpu_ns / 1000000));
		api_json_int(b, "rssBytes", (int64_t)i->rss_bytes);
		api_json_int(b, "processes", i->processes);
		api_json_int(b, "threads", i->threads);
	}
	buf_addc(b, '}');
}

static void environments(struct api_call *c, struct buf *b)
{
	struct port_clock *clock = c->a->ctx.clock;
	struct env_list l = { b, clock->mono_ns(clock->self) };

	api_json_key(b, "environments");
	buf_addc(b, '[');
	engine_environments(c->a->ctx.engine, env_json, &l);
	buf_addc(b, ']');
}

static void counts_json(struct buf *b, const struct store_counts *n)
{
	api_json_key(b, "counts");
	buf_adds(b, "{\"events\":{");
	for (int i = 0; i < INV_MAX; i++)
		if (i != INV_JUDGED)	/* never in a row */
			api_json_int(b, inv_state_name((enum inv_state)i), n->events[i]);
	buf_addc(b, '}');
	api_json_int(b, "attempts", n->attempts);
	api_json_int(b, "records", n->records);
	api_json_int(b, "deliveries", n->outbox);
	api_json_int(b, "deliveriesFailed", n->outbox_failed);
	api_json_int(b, "messages", n->messages);
	conditions(b, n->by_condition);
	buf_addc(b, '}');
}

/* The members that a call-back adds to an object, without its braces. */
static void call_members(struct buf *b, void (*fn)(void *arg, cJSON *into), void *arg)
{
	cJSON *into = cJSON_CreateObject();
	char *text;

	fn(arg, into);
	text = cJSON_PrintUnformatted(into);
	assert(into && text);	/* small, and ours */
	buf_add(b, text + 1, strlen(text) - 2);
	cJSON_free(text);
	cJSON_Delete(into);
}

static void answer(struct api_call *c, const struct store_counts *counts)
{
	const struct api_context *ctx = &c->a->ctx;
	CLEAN(buf_done) struct buf b = {};
	struct engine_stats s;
	struct engine_law law;

	engine_audit(ctx->engine);
	engine_stats(ctx->engine, &s);
	engine_law(ctx->engine, &law);
	buf_addc(&b, '{');
	if (ctx->status)
		call_members(&b, ctx->status, ctx->arg);
	api_json_str(&b, "region", ctx->region);
	engine_json(&b, &s);
	law_json(&b, &law);
	if (counts)
		counts_json(&b, counts);
	environments(c, &b);
	buf_addc(&b, '}');
	api_answer_json(c, 200, &b);
}

static void on_counts(struct api_call *c, const struct store_query *q, const struct store_result *res)
{
	answer(c, &res->counts);
}

void api_status(struct api_call *c)
{
	struct engine_stats s;

	engine_stats(c->a->ctx.engine, &s);
	if (s.in_doubt)
		answer(c, NULL);
	else
		api_query(c, &(struct store_query){ .kind = STORE_Q_COUNTS }, on_counts);
}

/* For probes: nothing is asked of the store, so the answer comes at once or the daemon is stuck. */
void api_health(struct api_call *c)
{
	CLEAN(buf_done) struct buf b = {};
	struct engine_stats s;
	bool ok;

	engine_stats(c->a->ctx.engine, &s);
	ok = !s.in_doubt && !s.draining;
	buf_addc(&b, '{');
	api_json_str(&b, "status", s.in_doubt ? "in doubt" : s.draining ? "draining" : "ok");
	if (!ok)
		api_json_str(&b, "reason", s.in_doubt ? s.doubt_why : "the daemon is stopping and takes nothing new");
	buf_addc(&b, '}');
	api_answer_json(c, ok ? 200 : 503, &b);
}

void api_version(struct api_call *c)
{
	CLEAN(buf_done) struct buf b = {};

	buf_addc(&b, '{');
	api_json_str(&b, "version", FATED_VERSION);
	buf_addc(&b, '}');
	api_answer_json(c, 200, &b);
}

void api_reload(struct api_call *c)
{
	const struct api_context *ctx = &c->a->ctx;
	CLEAN(buf_done) struct buf b = {};

	if (!ctx->reload) {
		api_fail(c, API_SERVICE, "This daemon cannot reload its definitions");
		return;
	}
	buf_addc(&b, '{');
	call_members(&b, ctx->reload, ctx->arg);
	buf_addc(&b, '}');
	api_answer_json(c, 200, &b);
}
