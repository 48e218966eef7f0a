/* SPDX-License-Identifier: Apache-2.0 */
/*
 * doctor: what is wrong here, and what to do about it.
 *
 *   ask the daemon (it need not answer) → look at the host (ctl_doctor_host.c) → judge (ctl_doctor_text.c,
 *   ctl_doctor_daemon.c, both without a file) → print
 *
 * Three marks. FAIL: functions do not run, or accepted events are in danger. warn: they run, less well than they
 * could; or it could not be looked at. The daemon is asked first, since a daemon that gets along without eBPF turns
 * the kernel's shortcomings into warnings, and since its paths are the ones to look at.
 */
#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "ctl/ctl.h"
#include "ctl/ctl_doctor.h"
#include "fate_abi.h"

#define ANSWER_MS 10000		/* a daemon that takes longer to say what it does is a finding */

static int ask(struct ctl *c, const char *target, struct http_result *ret, struct err *e)
{
	const struct http_call call = { .method = "GET", .target = target, .timeout_ms = ANSWER_MS };
	int r = c->http ? 0 : http_caller_new(c->socket, &c->http, e);

	*ret = (struct http_result){};
	return r < 0 ? r : http_call(c->http, &call, ret, e);
}

static void no_answer(struct doc_list *l, int r, const struct err *e)
{
	if (r == -EACCES || r == -EPERM)
		doc_add(l, DOC_WARN, "daemon", "look again as root: sudo fatectl doctor; or join its group (see \"socket "
			"group\")", "%s", err_msg(e));
	else if (r == -ETIMEDOUT)
		doc_add(l, DOC_FAIL, "daemon", "look what holds it (its /proc/PID/stack, a stopped process, a dead disk); "
			"then systemctl restart fated", "%s", err_msg(e));
	else
		doc_add(l, DOC_FAIL, "daemon", "start it as root: systemctl start fated, or fated where there is no unit; "
			"its log says why it ended: journalctl -u fated", "%s", err_msg(e));
}

/* The status, NULL when there is none; why is a finding then. */
static cJSON *ask_status(struct ctl *c, struct doc_list *l)
{
	CLEAN(http_result_done) struct http_result version = {};
	CLEAN(http_result_done) struct http_result status = {};
	CLEAN(ctl_json_freep) cJSON *v = NULL;
	cJSON *j;
	struct err e = {};
	int r = ask(c, "/fate/v1/version", &version, &e);

	if (r == 0 && version.status == 200)
		r = ask(c, "/fate/v1/status", &status, &e);
	if (r < 0) {
		no_answer(l, r, &e);
		return NULL;
	}
	if (version.status == 403 || status.status == 403) {
		doc_add(l, DOC_WARN, "daemon", "look again as root: sudo fatectl doctor; or join its group (see \"socket "
			"group\")", "it does not talk to you");
		return NULL;
	}
	j = cJSON_ParseWithLength(buf_str(&status.body), status.body.len);
	if (status.status != 200 || !cJSON_IsObject(j)) {
		doc_add(l, DOC_FAIL, "daemon", "see who listens there (ss -xlp), and fated's log: journalctl -u fated",
			"who listens on %s answers %d and makes no sense", c->socket,
			status.status ? status.status : version.status);
		cJSON_Delete(j);
		return NULL;
	}
	doc_judge_life(l, j);
	v = cJSON_ParseWithLength(buf_str(&version.body), version.body.len);
	doc_judge_version(l, ctl_text(v, "version"), FATED_VERSION);
	return j;
}

static void print_text(const struct doc_list *l)
{
	static const struct { const char *word; enum ctl_paint paint; } marks[] = {
		[DOC_OK] = { "ok  ", CTL_GREEN }, [DOC_WARN] = { "warn", CTL_YELLOW }, [DOC_FAIL] = { "FAIL", CTL_RED },
	};
	size_t warnings = doc_count(l, DOC_WARN), failures = doc_count(l, DOC_FAIL);
	int width = 0;

	for (size_t i = 0; i < l->n; i++)
		width = MAX(width, (int)strlen(l->list[i].check));
	for (size_t i = 0; i < l->n; i++) {
		const struct doc_finding *f = &l->list[i];

		printf("%s  %-*s  %s\n", ctl_paint(marks[f->mark].paint, marks[f->mark].word), width, f->check, f->found);
		if (f->remedy)
			printf("%*s-> %s\n", width + 8, "", f->remedy);
	}
	printf("\n%zu ok, %zu to look at, %zu failed\n", doc_count(l, DOC_OK), warnings, failures);
}

static void add_text(struct buf *b, const char *name, const char *value)
{
	buf_addf(b, "%s\"%s\":", b->data[b->len - 1] == '{' ? "" : ",", name);
	if (value)
		json_add_string(b, value, strlen(value));
	else
		buf_adds(b, "null");
}

static void print_json(const struct doc_list *l)
{
	CLEAN(buf_done) struct buf b = {};

	buf_addc(&b, '[');
	for (size_t i = 0; i < l->n; i++) {
		buf_adds(&b, i ? ",\n{" : "{");
		add_text(&b, "check", l->list[i].check);
		add_text(&b, "status", doc_mark_word(l->list[i].mark));
		add_text(&b, "found", l->list[i].found);
		add_text(&b, "remedy", l->list[i].remedy);
		buf_addc(&b, '}');
	}
	buf_addc(&b, ']');
	ctl_puts_raw(b.data, b.len, true);
}

int ctl_doctor(struct ctl *c, int argc, char **argv)
{
	CLEAN(doc_list_done) struct doc_list daemon = {};
	CLEAN(doc_list_done) struct doc_list l = {};
	CLEAN(ctl_json_freep) cJSON *status = NULL;
	bool failed;

	if (!ctl_args(c, argc, argv, NULL, 0, NULL, 0))
		return CTL_USAGE;
	status = ask_status(c, &daemon);
	doc_look_at_kernel(&l, status);
	doc_look_at_cgroups(&l);
	doc_look_at_host(&l);
	doc_look_at_access(&l, status);
	doc_list_move(&l, &daemon);
	doc_judge_observer(&l, status);
	doc_look_at_pins(&l, status);
	doc_judge_limits(&l, status);
	doc_judge_engine(&l, status);
	doc_judge_deliveries(&l, status);
	doc_judge_time(&l, status);
	doc_look_at_files(&l, status);
	doc_look_at_process(&l, status);
	failed = doc_count(&l, DOC_FAIL) > 0;
	if (c->json)
		print_json(&l);
	else
		print_text(&l);
	return failed ? CTL_DAEMON_FAILED : CTL_OK;
}
