/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the child does between clone and exec, made before the clone: every system call, its arguments ready. */
#include <signal.h>
#include <sys/types.h>

#include "base/err.h"
#include "engine/port_launch.h"
#include "launch/launch_user.h"
#include "sys/sys_spawn.h"

#define LAUNCH_STEPS_MAX 128
#define LAUNCH_ERROR_FD 3	/* FATE_ERROR_FD in the child */

/* What the daemon has and a function must not inherit; read once at start. */
struct launch_host {
	uint64_t ignored;	/* bit n-1: signal n is SIG_IGN, which CLONE_CLEAR_SIGHAND leaves */
	int nice;
	bool oom_score_adjusted;
	bool suid_dumpable;	/* fs.suid_dumpable=1: see sys/sys_spawn.h */
};
void launch_host_read(struct launch_host *ret);

struct launch_plan {
	struct sys_step steps[LAUNCH_STEPS_MAX];
	size_t n;
	char **env;		/* NULL-terminated; strings owned */
	size_t n_env, cap_env;
};

/* fds: the child's ends of stdin, stdout, stderr and the error report, all above LAUNCH_ERROR_FD. Borrows spec->func's
 * strings and user: both must outlive the plan. cgroup_path is shown to the function. */
void launch_plan_build(const struct launch_host *host, const struct launch_spec *spec, const struct launch_user *user,
		       const char *cgroup_path, const int fds[4], struct launch_plan *ret);
void launch_plan_done(struct launch_plan *p);
