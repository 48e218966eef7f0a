/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Judges of what the daemon says of itself (GET /fate/v1/status). A member that is not there is no complaint: the
 * daemon may be older or newer than this program, and the finding "version" says so.
 */
#include <string.h>

#include "base/buf.h"
#include "ctl/ctl.h"
#include "ctl/ctl_doctor.h"

static bool is_true(const cJSON *o, const char *name)
{
	return cJSON_IsTrue(ctl_member(o, name));
}

bool doc_is_fallback(const cJSON *status)
{
	return strcmp(ctl_text(ctl_member(status, "observer"), "mode"), "fallback") == 0;
}

void doc_judge_version(struct doc_list *l, const char *daemon, const char *own)
{
	if (strcmp(daemon, own) == 0)
		doc_add(l, DOC_OK, "version", NULL, "fatectl and fated are %s", own);
	else
		doc_add(l, DOC_WARN, "version", "install both of one version, then systemctl restart fated (what runs is "
			"cut short and tried again)",
			"fatectl is %s, the fated that runs is %s", own, *daemon ? daemon : "of no known version");
}

void doc_judge_life(struct doc_list *l, const cJSON *status)
{
	double up = ctl_number(status, "uptimeSeconds", 0);

	if (is_true(ctl_member(status, "engine"), "draining"))
		doc_add(l, DOC_WARN, "daemon", "start it again when it has ended: systemctl start fated",
			"pid %s is stopping and takes nothing new", ctl_text(status, "pid"));
	else
		doc_add(l, DOC_OK, "daemon", NULL, "runs, pid %s, up %s", ctl_text(status, "pid"),
			ctl_duration((int64_t)(up * 1000)));
}

static void judge_loss(struct doc_list *l, const cJSON *o)
{
	double dropped = ctl_sum(ctl_member(o, "dropped")), unarmed = ctl_number(o, "deadlinesNotArmed", 0),
		bad = ctl_number(o, "recordsMalformed", 0);

	if (!ctl_member(o, "dropped"))
		return;
	if (bad > 0)
		doc_add(l, DOC_WARN, "kernel records", "restart fated: its programs are loaded anew", "%.15g made no sense", bad);
	else if (dropped > 0)
		doc_add(l, DOC_WARN, "kernel records", "a larger RingBytes (a power of two) in fated's settings, then a restart",
			"%.15g dropped, the ring of %s bytes was full: those ends were seen later, none was lost", dropped,
			ctl_text(o, "ringBytes"));
	else
		doc_add(l, DOC_OK, "kernel records", NULL, "%.15g seen, none dropped", ctl_sum(ctl_member(o, "seen")));
	if (ctl_number(o, "missed", 0) > 0)
		doc_add(l, DOC_WARN, "kernel programs",
			"none: kernels whose tracepoints can be preempted (7.x) do that under load; such records say incomplete",
			"%s runs were left out by the kernel", ctl_text(o, "missed"));
	if (unarmed > 0)
		doc_add(l, DOC_WARN, "kernel deadlines",
			"restart fated, and look for memory shortage: the daemon's own timers keep them meanwhile",
			"%.15g could not be armed", unarmed);
}

static void judge_oom(struct doc_list *l, const cJSON *features)
{
	const char *hook = ctl_text(features, "oomHook"), *why = ctl_text(features, "oomScopeMissing");

	if (!cJSON_IsBool(ctl_member(features, "oomScope")))
		return;
	if (is_true(features, "oomScope"))
		doc_add(l, DOC_OK, "OOM hook", NULL, "%s: an OOM kill is seen, and whose limit it enforced", hook);
	else
		doc_add(l, DOC_WARN, "OOM hook", "a kernel that allows fentry (CONFIG_FUNCTION_TRACER=y, eBPF's JIT on, no "
			"lockdown), where that word matters",
			"%s: an OOM kill is seen%s, but not whose limit it enforced%s%s", *hook ? hook : "none",
			strcmp(hook, "none") == 0 || !*hook ? " in memory.events alone" : "", *why ? ": " : "", why);
}

void doc_judge_observer(struct doc_list *l, const cJSON *status)
{
	const cJSON *o = ctl_member(status, "observer");
	const char *why = ctl_text(o, "reason");

	if (!o)
		return;
	if (doc_is_fallback(status)) {
		doc_add(l, DOC_WARN, "observer", "mend what is said of the kernel above, or drop Observer=fallback; restart fated",
			"fallback, without eBPF%s%s: ends are told from waitid and cgroup files, without senders",
			*why ? ": " : "", why);
		return;
	}
	doc_add(l, DOC_OK, "observer", NULL, "eBPF, %s of %s environments watched", ctl_text(o, "entries"),
		ctl_text(o, "entriesMax"));
	judge_loss(l, o);
	judge_oom(l, ctl_member(o, "features"));
}

void doc_judge_pins(struct doc_list *l, const char *dir, const struct doc_pins *p, const cJSON *status)
{
	const cJSON *o = ctl_member(status, "observer");

	if (!status && p->programs == 0 && p->links == 0)
		doc_add(l, DOC_OK, "pins", NULL, "none in %s, as after a clean stop", dir);
	else if (!status)
		doc_add(l, DOC_OK, "pins", NULL, "%d programs and %d links in %s: of a fated that runs, or was killed; then "
			"the next start takes them over", p->programs, p->links, dir);
	else if (p->maps_missing)
		doc_add(l, DOC_FAIL, "pins", "restart fated; let nobody else remove them", "%d of its maps are not in %s (%s)",
			p->maps_missing, dir, p->missing);
	else if (p->programs == 0 || p->links == 0)
		doc_add(l, DOC_FAIL, "pins", "restart fated; let nobody else remove them",
			"%d programs and %d links in %s: a killed daemon would leave nobody who watches", p->programs,
			p->links, dir);
	else
		doc_add(l, DOC_OK, "pins", NULL, "maps, %d programs, %d links in %s; layout %s, generation %s", p->programs,
			p->links, dir, ctl_text(o, "layoutVersion"), ctl_text(o, "generation"));
}

void doc_judge_limits(struct doc_list *l, const cJSON *status)
{
	const cJSON *launcher = ctl_member(status, "launcher"), *c;
	CLEAN(buf_done) struct buf kept = {};
	CLEAN(buf_done) struct buf missing = {};
	const char *why = "", *remedy;

	if (!ctl_member(launcher, "controllers"))
		return;
	cJSON_ArrayForEach(c, ctl_member(launcher, "controllers")) {
		struct buf *b = is_true(c, "enabled") ? &kept : &missing;

		buf_addf(b, "%s%s", b->len ? ", " : "", c->string);
		if (b == &missing && *ctl_text(c, "reason"))
			why = ctl_text(c, "reason");
	}
	remedy = strcmp(ctl_text(launcher, "hierarchy"), "hybrid") == 0
		? "boot with systemd.unified_cgroup_hierarchy=1 cgroup_no_v1=all on the kernel's command line"
		: "Delegate=yes in fated's unit, or a CgroupRoot whose parent hands the controllers down (cgroup.subtree_control)";
	if (missing.len)
		doc_add(l, DOC_WARN, "limits", remedy, "%s not kept in %s: %s; a function with RequireLimits is refused",
			buf_str(&missing), ctl_text(launcher, "path"), why);
	else
		doc_add(l, DOC_OK, "limits", NULL, "%s kept in %s", buf_str(&kept), ctl_text(launcher, "path"));
}

void doc_judge_engine(struct doc_list *l, const cJSON *status)
{
	const cJSON *e = ctl_member(status, "engine");
	double disagree = ctl_number(e, "witnessesDisagree", 0), failures = ctl_number(e, "commitFailures", 0);

	if (!e)
		return;
	if (disagree > 0)
		doc_add(l, DOC_WARN, "witnesses",
			"fatectl record list --json | jq -c '.. | objects | select(.witnessesDisagree)' shows them; restart fated "
			"to load its programs anew", "eBPF and waitid disagreed over %.15g ends; waitid's word was taken",
			disagree);
	else
		doc_add(l, DOC_OK, "witnesses", NULL, "eBPF and waitid never disagreed");
	if (is_true(e, "inDoubt"))
		doc_add(l, DOC_FAIL, "store", "make room or mend the disk (dmesg, df): fated tries again by itself, and "
			"takes events again when it works", "in doubt, no events are taken: %s", ctl_text(e, "doubtWhy"));
	else if (failures > 0)
		doc_add(l, DOC_WARN, "store", "look for the reason in fated's log (journalctl -u fated) and the disk's (dmesg)",
			"works; %.15g commits had failed since the start", failures);
	else
		doc_add(l, DOC_OK, "store", NULL, "works, %s commits since the start", ctl_text(e, "commits"));
}

void doc_judge_deliveries(struct doc_list *l, const cJSON *status)
{
	const cJSON *e = ctl_member(status, "engine"), *counts = ctl_member(status, "counts");
	double breakers = ctl_number(e, "openBreakers", 0), failed = ctl_number(counts, "deliveriesFailed", 0);

	if (!ctl_member(e, "openBreakers"))
		return;
	if (failed > 0)
		doc_add(l, DOC_WARN, "deliveries", "fatectl delivery list --failed says why; mend the target, then fatectl "
			"delivery retry --all", "%.15g records that no target would take are kept", failed);
	else if (breakers > 0)
		doc_add(l, DOC_WARN, "deliveries", "fatectl delivery list says which and why; each is tried again by itself for "
			"six hours", "%.15g targets do not answer, %s deliveries are owed", breakers,
			ctl_text(e, "deliveriesOwed"));
	else
		doc_add(l, DOC_OK, "deliveries", NULL, "%s owed, every target answers", ctl_text(e, "deliveriesOwed"));
}

void doc_judge_time(struct doc_list *l, const cJSON *status)
{
	const cJSON *e = ctl_member(status, "engine");
	double step = ctl_number(e, "clockStepMs", 0);

	if (!ctl_member(e, "clockStepMs"))
		return;
	if (step < -60000 || step > 60000)
		doc_add(l, DOC_WARN, "time", "none for fated: retries and ages go by the time that passed, until nothing is "
			"open; a "
			"time server that slews (chronyd) would not step it",
			"the wall clock was set %s by %s while events were open", step < 0 ? "back" : "forward",
			ctl_duration(step < 0 ? -step : step));
	else
		doc_add(l, DOC_OK, "time", NULL, "the wall clock was not set while events were open");
}

void doc_judge_definitions(struct doc_list *l, const cJSON *status)
{
	const cJSON *d = ctl_member(status, "definitions");

	if (!d)
		return;
	if (ctl_number(d, "problems", 0) > 0)
		doc_add(l, DOC_WARN, "definitions", "fatectl reload shows them", "%s functions in force, %s problems in %s",
			ctl_text(d, "functions"), ctl_text(d, "problems"), ctl_text(d, "directory"));
	else
		doc_add(l, DOC_OK, "definitions", NULL, "%s functions in force from %s", ctl_text(d, "functions"),
			ctl_text(d, "directory"));
}
