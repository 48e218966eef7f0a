/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "ctl/ctl.h"

static void headline(const cJSON *j, const cJSON *engine)
{
	const char *version = ctl_text(j, "version"), *why = ctl_text(engine, "doubtWhy");
	double up = ctl_number(j, "uptimeSeconds", -1);
	bool doubt = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(engine, "inDoubt"));
	bool draining = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(engine, "draining"));

	printf("fated%s%s: %s", *version ? " " : "", version, doubt ? "IN DOUBT" : draining ? "stopping" : "running");
	if (*ctl_text(j, "pid"))
		printf(", pid %s", ctl_text(j, "pid"));
	if (up >= 0)
		printf(", up %s", ctl_duration(up * 1000));
	putchar('\n');
	if (doubt)
		printf("  nothing new is accepted: %s\n", why);
}

static void counters(const cJSON *j, const cJSON *engine)
{
	const cJSON *outcomes = cJSON_GetObjectItemCaseSensitive(engine, "byOutcome"), *o;
	const cJSON *counts = cJSON_GetObjectItemCaseSensitive(j, "counts");
	bool any = false;

	printf("events      %s queued, %s running, %s waiting, %s routing\n", ctl_text(engine, "queued"), ctl_text(engine, "running"),
	       ctl_text(engine, "waiting"), ctl_text(engine, "routing"));
	printf("since start %s accepted, %s refused, %s succeeded, %s failed; %s synchronous, %s running\n", ctl_text(engine, "accepted"),
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

/* A row a line, the names in one column. */
#define LABEL "%-12s"

static const cJSON *at(const cJSON *o, const char *name)
{
	return cJSON_GetObjectItemCaseSensitive(o, name);
}

static double sum(const cJSON *o)
{
	const cJSON *m;
	double n = 0;

	cJSON_ArrayForEach(m, o)
		n += m->valuedouble;
	return n;
}

static void observer(const cJSON *o)
{
	const cJSON *features = at(o, "features");

	if (!o)
		return;
	printf(LABEL "eBPF, pinned in %s; %s of %s environments watched; %.15g events, %.15g dropped\n", "observer",
	       ctl_text(o, "pinDirectory"), ctl_text(o, "entries"), ctl_text(o, "entriesMax"), sum(at(o, "seen")), sum(at(o, "dropped")));
	if (!cJSON_IsTrue(at(features, "oomScope")))
		printf(LABEL "whose memory limit an OOM kill enforced cannot be told: %s\n", "", ctl_text(features, "oomScopeMissing"));
}

static void limits(const cJSON *l)
{
	const cJSON *c, *controllers = at(l, "controllers");
	const char *why = "";
	int kept = 0, missing = 0;

	if (!l)
		return;
	printf(LABEL "%s (%s)\n" LABEL, "cgroup", ctl_text(l, "path"), ctl_text(l, "hierarchy"), "limits");
	cJSON_ArrayForEach(c, controllers) {
		if (!cJSON_IsTrue(at(c, "enabled"))) {
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
			if (!cJSON_IsTrue(at(c, "enabled"))) {
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
		printf(LABEL "%s in %s%s%s%s\n", "functions", ctl_text(definitions, "functions"), ctl_text(definitions, "directory"),
		       ctl_number(definitions, "problems", 0) > 0 ? "; PROBLEMS: " : "",
		       ctl_number(definitions, "problems", 0) > 0 ? ctl_text(definitions, "problems") : "",
		       ctl_number(definitions, "problems", 0) > 0 ? " (fatectl reload shows them)" : "");
}

static void environments(const cJSON *j)
{
	static const char *const headings[] = { "CGROUP", "FUNCTION", "REQUEST ID", "STATE", ">ATTEMPT", "KIND", ">RUNNING", ">LEFT", NULL };
	const cJSON *list = cJSON_GetObjectItemCaseSensitive(j, "environments"), *e;
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
		ctl_cell(t, cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(e, "sync")) ? "sync" : "async");
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
	r = ctl_get(c, "/fate/v1/status", &j);
	if (!j)
		return r;
	engine = cJSON_GetObjectItemCaseSensitive(j, "engine");
	headline(j, engine);
	counters(j, engine);
	observer(at(j, "observer"));
	limits(at(j, "launcher"));
	files(at(j, "store"), at(j, "definitions"));
	environments(j);
	return CTL_OK;
}
