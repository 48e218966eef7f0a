/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "ctl/ctl.h"

/* A row a line, the names in one column. */
#define LABEL "%-12s"

void ctl_headline(const cJSON *j)
{
	const cJSON *engine = ctl_member(j, "engine");
	const char *version = ctl_text(j, "version"), *why = ctl_text(engine, "doubtWhy");
	double up = ctl_number(j, "uptimeSeconds", -1);
	bool doubt = cJSON_IsTrue(ctl_member(engine, "inDoubt")), draining = cJSON_IsTrue(ctl_member(engine, "draining"));

	printf("fated%s%s: %s", *version ? " " : "", version,
	       doubt ? ctl_paint(CTL_RED, "IN DOUBT") : draining ? "stopping" : "running");
	if (*ctl_text(j, "pid"))
		printf(", pid %s", ctl_text(j, "pid"));
	if (up >= 0)
		printf(", up %s", ctl_duration(up * 1000));
	putchar('\n');
	if (doubt)
		printf("  nothing new is accepted: %s\n", why);
}

/* ---- the law of conservation ------------------------------------------------------------------------------- */

static void drift(double n, const char *missing, const char *surplus)
{
	printf("  %s\n" LABEL "%.15g %s\n", ctl_paint(CTL_RED, "DRIFT"), "", n < 0 ? -n : n, n < 0 ? surplus : missing);
}

static void law_of_events(const cJSON *e)
{
	double accepted = ctl_number(e, "accepted", 0), queued = ctl_number(e, "queued", 0), running = ctl_number(e, "running", 0);
	double settled = ctl_number(e, "settled", 0), dead = ctl_number(e, "deadLettered", 0);

	printf(LABEL "%.15g accepted = %.15g queued + %.15g running + %.15g settled + %.15g dead-lettered", "law", accepted,
	       queued, running, settled, dead);
	if (cJSON_IsFalse(ctl_member(e, "holds")))
		drift(accepted - queued - running - settled - dead,
		      "accepted and out of sight: a defect of fated; its store has them, and a restart takes them up from there",
		      "more than were accepted: a defect of fated; one event may run or be settled twice");
	else
		putchar('\n');
}

static void law_of_processes(const cJSON *p, bool fallback)
{
	double starts = ctl_number(p, "starts", 0), exits = ctl_number(p, "exits", 0), alive = ctl_number(p, "alive", 0);
	double missed = ctl_number(p, "missed", 0);

	if (!p) {
		printf(LABEL "processes are not counted%s\n", "",
		       fallback ? ": eBPF is switched off (fallback)" : " at this moment");
		return;
	}
	printf(LABEL "%.15g starts seen by eBPF = %.15g exits + %.15g alive", "", starts, exits, alive);
	if (cJSON_IsFalse(ctl_member(p, "holds")))
		drift(ctl_number(p, "drift", starts - exits - alive),
		      "started and out of sight: moved out of their cgroup (a function that runs as root can), or a defect "
		      "of fated",
		      "more than were seen to start: moved into a watched cgroup from outside, or a defect of fated");
	else if (starts == exits + alive)
		putchar('\n');
	else if (missed > 0)
		printf("  (the difference is among the %.15g that the kernel did not show)\n", missed);
	else	/* the kernel's counters outlive daemons, and the living are counted while they come and go */
		puts("  (the difference is of before this start, or of processes in motion)");
}

void ctl_law(const cJSON *j)
{
	const cJSON *law = ctl_member(j, "law");

	if (!law)
		return;		/* an older daemon */
	law_of_events(ctl_member(law, "events"));
	law_of_processes(ctl_member(law, "processes"), strcmp(ctl_text(ctl_member(j, "observer"), "mode"), "fallback") == 0);
}

int ctl_status_get(struct ctl *c, cJSON **ret_json)
{
	CLEAN(http_result_done) struct http_result res = {};
	int r = ctl_call(c, &(struct ctl_request){ .method = "GET", .target = "/fate/v1/status" }, &res);

	*ret_json = NULL;
	if (r != CTL_OK)
		return r;
	r = ctl_parse(&res, ret_json);
	if (r != CTL_OK)
		return r;
	if (c->json)
		ctl_puts_raw(buf_str(&res.body), res.body.len, true);
	return cJSON_IsFalse(ctl_member(ctl_member(*ret_json, "law"), "holds")) ? CTL_DRIFT : CTL_OK;
}

/* ---- everything else --------------------------------------------------------------------------------------- */

/* A line for what asks for somebody's attention; nothing while all is well. */
static void worries(const cJSON *engine)
{
	double breakers = ctl_number(engine, "openBreakers", 0), step = ctl_number(engine, "clockStepMs", 0);
	double lost = ctl_number(engine, "destinationDeliveryFailures", 0), letters = ctl_number(engine, "deadLetterErrors", 0);
	double recursive = ctl_number(engine, "recursive", 0), poison = ctl_number(engine, "poison", 0);
	double stale = ctl_number(engine, "stale", 0), adopted = ctl_number(engine, "adopted", 0);
	char text[200];

	if (breakers > 0) {
		snprintf(text, sizeof(text), "%.15g target%s not answer; %s deliveries owed", breakers, breakers == 1 ? " does"
			: "s do",
			 ctl_text(engine, "deliveriesOwed"));
		printf(LABEL "%s\n", "", ctl_paint(CTL_YELLOW, text));
	}
	if (lost + letters > 0) {
		snprintf(text, sizeof(text), "%.15g DestinationDeliveryFailures, %.15g DeadLetterErrors (fatectl delivery list "
			"--failed)",
			 lost, letters);
		printf(LABEL "%s\n", "", ctl_paint(CTL_YELLOW, text));
	}
	if (recursive + poison > 0)
		printf(LABEL "%.15g stopped as recursive, %.15g as poison\n", "ended early", recursive, poison);
	if (adopted + stale > 0)
		printf(LABEL "%.15g running events taken over from the daemon before; %.15g late settles refused\n", "restart",
			adopted,
		       stale);
	if (step < -1000 || step > 1000)
		printf(LABEL "the wall clock was set %s by %s while events were open; their delays go by the time that passed\n",
		       "clock", step < 0 ? "back" : "forward", ctl_duration(step < 0 ? -step : step));
}

static void counters(const cJSON *j, const cJSON *engine)
{
	const cJSON *outcomes = ctl_member(engine, "byOutcome"), *o;
	const cJSON *counts = ctl_member(j, "counts");
	bool any = false;

	printf("events      %s queued, %s running, %s waiting, %s routing", ctl_text(engine, "queued"),
	       ctl_text(engine, "running"), ctl_text(engine, "waiting"), ctl_text(engine, "routing"));
	if (ctl_number(engine, "onDisk", 0) > 0)
		printf("; %s in memory (%s), %s on disk alone", ctl_text(engine, "inMemory"),
		       ctl_bytes(ctl_number(engine, "inMemoryBytes", 0)), ctl_text(engine, "onDisk"));
	putchar('\n');
	printf("since start %s accepted, %s refused, %s succeeded, %s failed; %s synchronous, %s running\n",
	       ctl_text(engine, "accepted"),
	       ctl_text(engine, "refused"), ctl_text(engine, "succeeded"), ctl_text(engine, "failed"),
	       ctl_text(engine, "syncInvocations"), ctl_text(engine, "runningSync"));
	fputs("outcomes   ", stdout);
	cJSON_ArrayForEach(o, outcomes) {
		if (o->valuedouble == 0)
			continue;
		printf("%s %.15g %s", any ? "," : "", o->valuedouble, o->string);
		any = true;
	}
	puts(any ? "" : " -");
	printf("deliveries  %s acknowledged, %s retried, %s failed\n", ctl_text(engine, "deliveriesAcked"),
	       ctl_text(engine, "deliveriesRetried"), ctl_text(engine, "deliveriesFailed"));
	if (counts)
		printf("stored      %s records, %s attempts, %s deliveries open, %s messages\n", ctl_text(counts, "records"),
		       ctl_text(counts, "attempts"), ctl_text(counts, "deliveries"), ctl_text(counts, "messages"));
}

/* "DROPPED 3: 2 exit, 1 fork" */
static void dropped(const cJSON *d)
{
	CLEAN(buf_done) struct buf b = {};
	const cJSON *m;
	const char *sep = ": ";

	if (ctl_sum(d) == 0) {
		fputs(", none dropped", stdout);
		return;
	}
	buf_addf(&b, "DROPPED %.15g", ctl_sum(d));
	cJSON_ArrayForEach(m, d) {
		if (m->valuedouble == 0)
			continue;
		buf_addf(&b, "%s%.15g %s", sep, m->valuedouble, m->string);
		sep = ", ";
	}
	printf(", %s", ctl_paint(CTL_YELLOW, buf_str(&b)));
}

/* Runs of the kernel half's programs that the kernel skipped. */
static void missed(const cJSON *m)
{
	char text[64];

	if (!cJSON_IsNumber(m))
		return;
	snprintf(text, sizeof(text), "MISSED %.15g", m->valuedouble);
	printf(", %s", m->valuedouble > 0 ? ctl_paint(CTL_YELLOW, text) : "none missed");
}

static void observer(const cJSON *o, const cJSON *engine)
{
	const cJSON *features = ctl_member(o, "features");
	double disagree = ctl_number(engine, "witnessesDisagree", 0), left = ctl_number(engine, "leftRunning", 0);
	char text[100];

	if (!o)
		return;
	if (strcmp(ctl_text(o, "mode"), "fallback") == 0) {
		printf(LABEL "fallback, without eBPF: ends are told by wait status and cgroup files alone\n", "observer");
	} else {
		printf(LABEL "eBPF, pinned in %s; %s of %s environments watched; %.15g events seen", "observer",
		       ctl_text(o, "pinDirectory"),
		       ctl_text(o, "entries"), ctl_text(o, "entriesMax"), ctl_sum(ctl_member(o, "seen")));
		dropped(ctl_member(o, "dropped"));
		missed(ctl_member(o, "missed"));
		putchar('\n');
		if (features && !cJSON_IsTrue(ctl_member(features, "oomScope")))
			printf(LABEL "whose memory limit an OOM kill enforced cannot be told: %s\n", "",
			       ctl_text(features, "oomScopeMissing"));
	}
	if (disagree > 0) {
		snprintf(text, sizeof(text), "%.15g ends on which the two witnesses disagree", disagree);
		printf(LABEL "%s\n", "", ctl_paint(CTL_YELLOW, text));
	}
	if (left > 0)
		printf(LABEL "%.15g environments whose processes go on after the answer\n", "left", left);
}

static void limits(const cJSON *l)
{
	const cJSON *c, *controllers = ctl_member(l, "controllers");
	const char *why = "";
	int kept = 0, missing = 0;

	if (!l)
		return;
	printf(LABEL "%s (%s)\n" LABEL, "cgroup", ctl_text(l, "path"), ctl_text(l, "hierarchy"), "limits");
	cJSON_ArrayForEach(c, controllers) {
		if (!cJSON_IsTrue(ctl_member(c, "enabled"))) {
			missing++;
			why = ctl_text(c, "reason");
			continue;
		}
		printf("%s%s", kept++ ? ", " : "", c->string);
	}
	fputs(kept ? " kept" : "none kept", stdout);
	if (missing) {
		const char *sep = "; missing: ";

		cJSON_ArrayForEach(c, controllers)
			if (!cJSON_IsTrue(ctl_member(c, "enabled"))) {
				printf("%s%s", sep, c->string);
				sep = ", ";
			}
		printf(": %s", why);
	}
	putchar('\n');
}

static void files(const cJSON *store, const cJSON *definitions)
{
	if (store)
		printf(LABEL "%s in %s\n", "store", ctl_text(store, "engine"), ctl_text(store, "directory"));
	if (definitions)
		printf(LABEL "%s in %s%s%s%s\n", "functions", ctl_text(definitions, "functions"),
		       ctl_text(definitions, "directory"), ctl_number(definitions, "problems", 0) > 0 ? "; PROBLEMS: " : "",
		       ctl_number(definitions, "problems", 0) > 0 ? ctl_text(definitions, "problems") : "",
		       ctl_number(definitions, "problems", 0) > 0 ? " (fatectl reload shows them)" : "");
}

static void environments(const cJSON *j)
{
	static const char *const headings[] = { "CGROUP", "FUNCTION", "REQUEST ID", "STATE", ">ATTEMPT", "KIND", ">RUNNING",
						">LEFT", NULL };
	const cJSON *list = ctl_member(j, "environments"), *e;
	struct ctl_table *t;

	if (!cJSON_GetArraySize(list))
		return;
	putchar('\n');
	t = ctl_table_new(headings);
	cJSON_ArrayForEach(e, list) {
		double left = ctl_number(e, "leftMs", 0);

		ctl_cell(t, ctl_text(e, "cgroupId"));
		ctl_cell(t, ctl_text(e, "function"));
		ctl_cell(t, ctl_text(e, "requestId"));
		ctl_cell(t, ctl_text(e, "state"));
		ctl_cell(t, ctl_text(e, "attempt"));
		ctl_cell(t, cJSON_IsTrue(ctl_member(e, "sync")) ? "sync" : "async");
		ctl_cell(t, ctl_duration(ctl_number(e, "runningMs", 0)));
		ctl_cell(t, left > 0 ? ctl_duration(left) : "over");
	}
	ctl_table_print(t, stdout);
}

int ctl_status(struct ctl *c, int argc, char **argv)
{
	CLEAN(ctl_json_freep) cJSON *j = NULL;
	const cJSON *engine;
	int r;

	if (!ctl_args(c, argc, argv, NULL, 0, NULL, 0))
		return CTL_USAGE;
	r = ctl_status_get(c, &j);
	if (!j || c->json)
		return r;
	engine = ctl_member(j, "engine");
	ctl_headline(j);
	counters(j, engine);
	worries(engine);
	ctl_law(j);
	observer(ctl_member(j, "observer"), engine);
	limits(ctl_member(j, "launcher"));
	files(ctl_member(j, "store"), ctl_member(j, "definitions"));
	environments(j);
	return r;
}
