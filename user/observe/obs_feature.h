/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What this kernel has of what the kernel half can use. */
#include <stdbool.h>

#include "base/err.h"

struct btf;

/* How OOM victims are learnt of. */
enum obs_oom_hook {
	OBS_OOM_NONE = 0,	/* not at all: memory.events is the only witness */
	OBS_OOM_VICTIM_TASK,	/* tp_btf/mark_victim with a task (6.8 and later) */
	OBS_OOM_VICTIM_PID,	/* tp_btf/mark_victim with a pid */
	OBS_OOM_MAX
};

struct obs_features {
	bool group_dead;		/* sched_process_exit has the argument (6.16 and later) */
	enum obs_oom_hook oom;
	bool oom_scope;			/* fentry and fexit of oom_kill_process: whose limit it was */
	char oom_why[128];		/* why not; "" when it is */
};

/* The running kernel's BTF, to be freed with btf__free(). -EOPNOTSUPP with a sentence that says what to do. */
int obs_feature_btf(struct btf **ret, struct err *e);
/* Judges from BTF alone; *ret gets the best hooks the kernel could have. -EOPNOTSUPP names what is missing. */
int obs_feature_read(const struct btf *btf, struct obs_features *ret, struct err *e);
/* Tries whether fentry/oom_kill_process is allowed and works here; if not, does without and says why. */
void obs_feature_try_fentry(const struct btf *btf, struct obs_features *f);
/* Does without fentry; why is kept. */
void obs_feature_no_fentry(struct obs_features *f, const char *why);

const char *obs_oom_name(enum obs_oom_hook h);
