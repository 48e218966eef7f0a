/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels we cannot boot here, as BTF made by hand: what is refused is named, what has a fallback is chosen. */
#include <errno.h>

#include <bpf/btf.h>

#include "base/mem.h"
#include "lib/test.h"
#include "observe/obs_feature.h"

struct kernel {
	bool no_timer, no_ring, no_signal, group_dead, no_oom_function, victim_pid, no_victim;
};

/* void (*)(void *data, <n parameters of type>) under the name a tracepoint has. */
static void add_tracepoint(struct btf *btf, const char *name, int n, int type, int void_ptr)
{
	char full[64];
	int proto = btf__add_func_proto(btf, 0);

	btf__add_func_param(btf, "__data", void_ptr);
	for (int i = 0; i < n; i++)
		btf__add_func_param(btf, "", type);
	snprintf(full, sizeof(full), "btf_trace_%s", name);
	CHECK(btf__add_typedef(btf, full, btf__add_ptr(btf, proto)) > 0);
}

static struct btf *make(struct kernel k)
{
	struct btf *btf = btf__new_empty();
	int i32 = btf__add_int(btf, "int", 4, BTF_INT_SIGNED);
	int task = btf__add_struct(btf, "task_struct", 8);
	int task_ptr = btf__add_ptr(btf, task), void_ptr = btf__add_ptr(btf, 0), proto;

	add_tracepoint(btf, "sched_process_fork", 2, task_ptr, void_ptr);
	add_tracepoint(btf, "sched_process_exec", 3, task_ptr, void_ptr);
	add_tracepoint(btf, "sched_process_exit", k.group_dead ? 2 : 1, task_ptr, void_ptr);
	if (!k.no_signal)
		add_tracepoint(btf, "signal_generate", 5, task_ptr, void_ptr);
	if (!k.no_victim)
		add_tracepoint(btf, "mark_victim", 1, k.victim_pid ? i32 : task_ptr, void_ptr);
	if (!k.no_timer)
		btf__add_struct(btf, "bpf_timer", 16);
	if (!k.no_ring)
		btf__add_struct(btf, "bpf_ringbuf", 16);
	if (!k.no_oom_function) {
		proto = btf__add_func_proto(btf, 0);
		btf__add_func(btf, "oom_kill_process", BTF_FUNC_STATIC, proto);
	}
	return btf;
}

static int judge(struct kernel k, struct obs_features *f, struct err *e)
{
	struct btf *btf = make(k);
	int r = obs_feature_read(btf, f, e);

	btf__free(btf);
	return r;
}

static void refused(struct kernel k, const char *names)
{
	struct obs_features f;
	struct err e = {};

	CHECK_INT(judge(k, &f, &e), -EOPNOTSUPP);
	if (!strstr(err_msg(&e), names) || !strstr(err_msg(&e), "5.15"))
		FAIL("\"%s\" does not say %s and what is needed", err_msg(&e), names);
}

static void what_is_missing_is_named(void)
{
	refused((struct kernel){ .no_timer = true }, "bpf_timer");
	refused((struct kernel){ .no_ring = true }, "ring buffer");
	refused((struct kernel){ .no_signal = true }, "signal_generate");
}

static void the_best_hooks_are_chosen(void)
{
	struct obs_features f;
	struct err e = {};

	CHECK_INT(judge((struct kernel){}, &f, &e), 0);
	CHECK(!f.group_dead);
	CHECK_INT(f.oom, OBS_OOM_VICTIM_TASK);
	CHECK(f.oom_scope);
	CHECK_STR(f.oom_why, "");
	CHECK_INT(judge((struct kernel){ .group_dead = true, .no_oom_function = true }, &f, &e), 0);
	CHECK(f.group_dead);
	CHECK_INT(f.oom, OBS_OOM_VICTIM_TASK);
	CHECK(!f.oom_scope);
	CHECK(strstr(f.oom_why, "oom_kill_process"));
	CHECK_INT(judge((struct kernel){ .no_oom_function = true, .victim_pid = true }, &f, &e), 0);
	CHECK_INT(f.oom, OBS_OOM_VICTIM_PID);
	/* Whose limit, and no word of who died of it: of no use. */
	CHECK_INT(judge((struct kernel){ .no_victim = true }, &f, &e), 0);
	CHECK_INT(f.oom, OBS_OOM_NONE);
	CHECK(!f.oom_scope);
	CHECK(strstr(f.oom_why, "mark_victim"));
}

static void a_refused_fentry_is_explained(void)
{
	struct kernel k = {};
	struct btf *btf = make(k);
	struct obs_features f;
	struct err e = {};

	CHECK_INT(obs_feature_read(btf, &f, &e), 0);
	obs_feature_no_fentry(&f, "because");
	btf__free(btf);
	CHECK_INT(f.oom, OBS_OOM_VICTIM_TASK);
	CHECK(!f.oom_scope);
	CHECK_STR(f.oom_why, "fentry/oom_kill_process: because");
}

static void the_running_kernel_is_understood(void)
{
	struct btf *btf = NULL;
	struct obs_features f;
	struct err e = {};

	if (obs_feature_btf(&btf, &e) < 0)
		SKIP("%s", err_msg(&e));
	if (obs_feature_read(btf, &f, &e) < 0)
		FAIL("%s", err_msg(&e));
	CHECK(f.oom != OBS_OOM_NONE);
	btf__free(btf);
}

int main(void)
{
	RUN(what_is_missing_is_named);
	RUN(the_best_hooks_are_chosen);
	RUN(a_refused_fentry_is_explained);
	RUN(the_running_kernel_is_understood);
	TEST_END();
}
