/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plan. Order matters: descriptors first (the rest of them closed before anything of the function's is touched),
 * what needs privilege next, ids after that, then what must happen with the function's own rights (chdir), exec last.
 *
 * The environment is made anew: Lambda's variables that mean something to a program, ours, and the definition's. The
 * definition cannot set reserved names (model/func_def.c refuses them), except those marked as defaults here.
 */
#include "launch/launch_plan.h"

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/mem.h"
#include "sys/sys_calls.h"

#define KERNEL_SIGSET_BYTES 8
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* The kernel's struct sigaction, not libc's: all zero is SIG_DFL. */
static const struct { unsigned long handler, flags, restorer; uint64_t mask; } sig_default;
static const uint64_t sig_none;
static const char zero_text[] = "0\n";

void launch_host_read(struct launch_host *ret)
{
	char text[32];

	*ret = (struct launch_host){ .nice = getpriority(PRIO_PROCESS, 0) };
	for (int sig = 1; sig <= 64; sig++) {
		struct { unsigned long handler, flags, restorer; uint64_t mask; } sa = {};

		/* Past libc, which hides its own two (32, 33): whoever started us may have left those ignored, too. */
		if (syscall(SYS_rt_sigaction, sig, NULL, &sa, KERNEL_SIGSET_BYTES) == 0 && sa.handler == (unsigned long)SIG_IGN)
			ret->ignored |= 1ULL << (sig - 1);
	}
	ret->ignored |= 1ULL << (SIGPIPE - 1);	/* libraries ignore it now and then */
	if (sys_read_file(AT_FDCWD, "/proc/self/oom_score_adj", text, sizeof(text)) > 0)
		ret->oom_score_adjusted = strtol(text, NULL, 10) != 0;
	if (sys_read_file(AT_FDCWD, "/proc/sys/fs/suid_dumpable", text, sizeof(text)) > 0)
		ret->suid_dumpable = strtol(text, NULL, 10) == 1;
}

static void step(struct launch_plan *p, const char *name, long nr, long a, long b, long c, long d)
{
	assert(p->n < LAUNCH_STEPS_MAX);
	p->steps[p->n++] = (struct sys_step){ .name = name, .nr = nr, .arg = { a, b, c, d, 0 } };
}

static void put_env(struct launch_plan *p, char *owned)
{
	if (p->n_env + 2 > p->cap_env) {
		p->cap_env = p->cap_env ? p->cap_env * 2 : 32;
		p->env = xrealloc(p->env, p->cap_env * sizeof(*p->env));
	}
	p->env[p->n_env++] = owned;
	p->env[p->n_env] = NULL;
}

static bool configured(const struct func *f, const char *name)
{
	size_t n = strlen(name);

	for (char **v = f->env; *v; v++)
		if (strncmp(*v, name, n) == 0 && (*v)[n] == '=')
			return true;
	return false;
}

static void default_env(struct launch_plan *p, const struct func *f, const char *name, const char *value)
{
	if (!configured(f, name))
		put_env(p, xasprintf("%s=%s", name, value));
}

static void build_env(struct launch_plan *p, const struct launch_spec *s, const char *cgroup_path)
{
	const struct func *f = s->func;

	put_env(p, xasprintf("AWS_LAMBDA_FUNCTION_NAME=%s", f->name));
	put_env(p, xasprintf("AWS_LAMBDA_FUNCTION_VERSION=%s", s->version));
	put_env(p, xasprintf("AWS_LAMBDA_FUNCTION_MEMORY_SIZE=%d", s->memory_mb));
	put_env(p, xasprintf("AWS_REGION=%s", s->region));
	put_env(p, xasprintf("AWS_DEFAULT_REGION=%s", s->region));
	put_env(p, xasprintf("FATE_REQUEST_ID=%s", s->request_id));
	put_env(p, xasprintf("FATE_DEADLINE_MS=%" PRId64, s->deadline_wall_ms));
	put_env(p, xasprintf("FATE_TIMEOUT_MS=%d", s->timeout_ms));
	put_env(p, xasprintf("FATE_ATTEMPT=%d", s->attempt));
	if (s->previous)
		put_env(p, xasprintf("FATE_PREVIOUS_VERDICT=%s", s->previous));
	put_env(p, xasprintf("FATE_FUNCTION_ARN=%s", s->function_arn));
	put_env(p, xasprintf("FATE_ERROR_FD=%d", LAUNCH_ERROR_FD));
	put_env(p, xasprintf("FATE_CGROUP=%s", cgroup_path));
	default_env(p, f, "PATH", DEFAULT_PATH);
	default_env(p, f, "LANG", "en_US.UTF-8");
	default_env(p, f, "TZ", ":UTC");
	for (char **v = f->env; *v; v++)
		put_env(p, xstrdup(*v));
}

static void build_fds(struct launch_plan *p, const int fds[4])
{
	for (int i = 0; i < 4; i++) {
		assert(fds[i] > LAUNCH_ERROR_FD);
		step(p, "dup3", SYS_dup3, fds[i], i, 0, 0);
	}
	step(p, "close_range", SYS_close_range, LAUNCH_ERROR_FD + 1, (long)UINT_MAX, 0, 0);
}

static void build_reset(struct launch_plan *p, const struct launch_host *h)
{
	for (int sig = 1; sig <= 64; sig++)
		if (h->ignored & 1ULL << (sig - 1))
			step(p, "rt_sigaction", SYS_rt_sigaction, sig, SYS_PTR(&sig_default), 0, KERNEL_SIGSET_BYTES);
	if (h->oom_score_adjusted) {	/* the lowest free descriptor is known: all above the report's are closed */
		step(p, "oom_score_adj", SYS_openat, AT_FDCWD, SYS_PTR("/proc/self/oom_score_adj"), O_WRONLY, 0);
		step(p, "oom_score_adj", SYS_write, LAUNCH_ERROR_FD + 1, SYS_PTR(zero_text), sizeof(zero_text) - 1, 0);
		step(p, "oom_score_adj", SYS_close, LAUNCH_ERROR_FD + 1, 0, 0, 0);
	}
	if (h->nice)
		step(p, "setpriority", SYS_setpriority, PRIO_PROCESS, 0, 0, 0);
	step(p, "umask", SYS_umask, 022, 0, 0, 0);
}

static void build_ids(struct launch_plan *p, const struct launch_user *u)
{
	if (u->set_gid) {
		step(p, "setgroups", SYS_setgroups, u->n_groups, SYS_PTR(u->groups), 0, 0);
		step(p, "setresgid", SYS_setresgid, (long)u->gid, (long)u->gid, (long)u->gid, 0);
	}
	if (u->set_uid)
		step(p, "setresuid", SYS_setresuid, (long)u->uid, (long)u->uid, (long)u->uid, 0);
}

void launch_plan_build(const struct launch_host *host, const struct launch_spec *spec, const struct launch_user *user,
		       const char *cgroup_path, const int fds[4], struct launch_plan *ret)
{
	const struct func *f = spec->func;

	*ret = (struct launch_plan){};
	build_env(ret, spec, cgroup_path);
	build_fds(ret, fds);
	step(ret, "setsid", SYS_setsid, 0, 0, 0, 0);
	build_reset(ret, host);
	for (size_t i = 0; i < f->n_rlimits; i++)
		step(ret, "setrlimit", SYS_prlimit64, 0, f->rlimits[i].resource, SYS_PTR(&f->rlimits[i].value), 0);
	build_ids(ret, user);
	step(ret, "chdir", SYS_chdir, SYS_PTR(f->working_dir ? f->working_dir : "/"), 0, 0, 0);
	if (f->no_new_privs)
		step(ret, "no_new_privs", SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0);
	/* Last of all: until here a signal would run nothing of the function's. */
	step(ret, "rt_sigprocmask", SYS_rt_sigprocmask, SIG_SETMASK, SYS_PTR(&sig_none), 0, KERNEL_SIGSET_BYTES);
	step(ret, "execve", SYS_execve, SYS_PTR(f->command[0]), SYS_PTR(f->command), SYS_PTR(ret->env), 0);
}

void launch_plan_done(struct launch_plan *p)
{
	for (size_t i = 0; i < p->n_env; i++)
		free(p->env[i]);
	free(p->env);
	p->env = NULL;
	p->n_env = p->cap_env = p->n = 0;
}
