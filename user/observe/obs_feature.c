/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Features are read from the kernel's own type information, not guessed from its version: distributions backport.
 * What is indispensable is refused by name with the way to get it; what has a fallback becomes a knob of the load.
 */
#include "observe/obs_feature.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <linux/bpf.h>

#include "base/mem.h"

#define REMEDY "fated needs Linux 5.15 or later with BTF (CONFIG_DEBUG_INFO_BTF=y); Debian 12's kernel has all of it"

static const char *const oom_names[OBS_OOM_MAX] = {
	[OBS_OOM_NONE] = "none",
	[OBS_OOM_VICTIM_TASK] = "mark_victim",
	[OBS_OOM_VICTIM_PID] = "mark_victim (pid)",
};

const char *obs_oom_name(enum obs_oom_hook h)
{
	assert((unsigned int)h < OBS_OOM_MAX);
	return oom_names[h];
}

static const char *release(struct utsname *u)
{
	return uname(u) < 0 ? "unknown" : u->release;
}

int obs_feature_btf(struct btf **ret, struct err *e)
{
	struct utsname u;
	struct btf *btf = btf__load_vmlinux_btf();
	int r = -errno;

	assert(ret);
	if (!btf)
		return err_set(e, -EOPNOTSUPP, "kernel %s: type information (BTF, /sys/kernel/btf/vmlinux) cannot be read: %s; "
			       REMEDY, release(&u), strerror(-r));
	*ret = btf;
	return 0;
}

/* The prototype of a tracepoint's probe, NULL when there is no such tracepoint. Its first parameter is void *data. */
static const struct btf_type *tracepoint(const struct btf *btf, const char *name)
{
	char typedef_name[64];
	const struct btf_type *t;
	int id;

	snprintf(typedef_name, sizeof(typedef_name), "btf_trace_%s", name);
	id = btf__find_by_name_kind(btf, typedef_name, BTF_KIND_TYPEDEF);
	if (id < 0)
		return NULL;
	t = btf__type_by_id(btf, btf__type_by_id(btf, (__u32)id)->type);
	if (!t || !btf_is_ptr(t))
		return NULL;
	t = btf__type_by_id(btf, t->type);
	return t && btf_is_func_proto(t) ? t : NULL;
}

static enum obs_oom_hook victim_hook(const struct btf *btf)
{
	const struct btf_type *t = tracepoint(btf, "mark_victim");

	if (!t || btf_vlen(t) < 2)
		return OBS_OOM_NONE;
	t = btf__type_by_id(btf, btf_params(t)[1].type);
	return t && btf_is_ptr(t) ? OBS_OOM_VICTIM_TASK : OBS_OOM_VICTIM_PID;
}

int obs_feature_read(const struct btf *btf, struct obs_features *ret, struct err *e)
{
	static const char *const hooks[] = { "sched_process_fork", "sched_process_exec", "sched_process_exit", "signal_generate" };
	struct utsname u;

	assert(btf); assert(ret);
	*ret = (struct obs_features){};
	for (size_t i = 0; i < ARRAY_SIZE(hooks); i++)
		if (!tracepoint(btf, hooks[i]))
			return err_set(e, -EOPNOTSUPP, "kernel %s: no tracepoint %s; " REMEDY, release(&u), hooks[i]);
	if (btf__find_by_name_kind(btf, "bpf_ringbuf", BTF_KIND_STRUCT) < 0)
		return err_set(e, -EOPNOTSUPP, "kernel %s: no BPF ring buffer; " REMEDY, release(&u));
	if (btf__find_by_name_kind(btf, "bpf_timer", BTF_KIND_STRUCT) < 0)
		return err_set(e, -EOPNOTSUPP, "kernel %s: no bpf_timer (deadlines in the kernel, since 5.15); " REMEDY,
			       release(&u));

	ret->group_dead = btf_vlen(tracepoint(btf, "sched_process_exit")) >= 3;
	ret->oom = victim_hook(btf);
	ret->oom_scope = ret->oom != OBS_OOM_NONE && btf__find_by_name_kind(btf, "oom_kill_process", BTF_KIND_FUNC) > 0;
	if (!ret->oom_scope)
		snprintf(ret->oom_why, sizeof(ret->oom_why), ret->oom == OBS_OOM_NONE ? "the kernel has no tracepoint mark_victim" :
			 "the kernel has no function oom_kill_process (inlined?)");
	return 0;
}

/* The smallest fentry program, loaded and attached for an instant. No part of the kernel half is involved, so a
 * refusal here is the kernel's word on fentry and not on our program. */
static int try_fentry(int btf_id)
{
	const struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = BPF_TRACE_FENTRY, .attach_btf_id = (__u32)btf_id);
	CLEAN(closep) int prog = -EBADF;
	CLEAN(closep) int link = -EBADF;

	prog = bpf_prog_load(BPF_PROG_TYPE_TRACING, "fate_try", "GPL", insns, ARRAY_SIZE(insns), &opts);
	if (prog < 0)
		return prog;
	link = bpf_raw_tracepoint_open(NULL, prog);
	return link < 0 ? link : 0;
}

void obs_feature_no_fentry(struct obs_features *f, const char *why)
{
	if (!f->oom_scope)
		return;
	f->oom_scope = false;
	snprintf(f->oom_why, sizeof(f->oom_why), "fentry/oom_kill_process: %s", why);
}

void obs_feature_try_fentry(const struct btf *btf, struct obs_features *f)
{
	int id, r;

	assert(btf); assert(f);
	if (!f->oom_scope)
		return;
	id = btf__find_by_name_kind(btf, "oom_kill_process", BTF_KIND_FUNC);
	r = id < 0 ? id : try_fentry(id);
	if (r < 0)
		obs_feature_no_fentry(f, strerror(-r));
}
