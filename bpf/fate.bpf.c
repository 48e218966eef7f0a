// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The kernel half: it sees, counts and keeps, and decides almost nothing.
 *
 * For a process in a watched leaf (or in a group nested below one) every hook writes the environment's entry
 * first, the record for the ring second: a lost record costs latency, never an outcome. Everybody else's forks,
 * execs, exits and signals cost one look-up that finds nothing.
 *
 * What ends an attempt in exec mode is the leader's last thread. The last process matters too (a leaf may be
 * removed only then), and is told apart by a flag.
 *
 * Order inside an entry: values first, then the flag that says they are valid (atomic operations are full
 * barriers here). procs_exited is raised after LEADER_EXITED is set, so whoever makes it equal procs_forked knows
 * whether the leader is gone. Processes moved into or out of the leaf by hand upset the count: only forks make
 * processes here, and cgroup.events, the second witness, is right in that case as well.
 *
 * arm64 needs kernel 5.18: the atomic operations that return a value came to its JIT only then.
 */
#include <vmlinux.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

/*
 * The kernel finds a value's timer by its BTF type, user space has no use for that type: the shared header says
 * `__u64 timer[2]`, and these zero-sized neighbours put a struct bpf_timer in the same place.
 */
#define timer timer_begin[0]; struct bpf_timer timer; __u64 timer_end[0]
#include "fate_event.h"
#undef timer

#include "fate_maps.bpf.h"
#include "fate_task.bpf.h"
#include "fate_emit.bpf.h"

#define CLOCK_MONOTONIC 1

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Names the record types in the object's BTF, for the layout test and for whoever reads the ring with tools. */
union fate_record {
	struct fate_ev_exec exec;
	struct fate_ev_exit exit;
	struct fate_ev_signal signal;
	struct fate_ev_oom oom;
	struct fate_ev_deadline deadline;
	struct fate_ev_fork fork;
};
const union fate_record *const volatile fate_record_types;

/* ---- fork and deadline ------------------------------------------------------------------------------------- */

/*
 * The deadline. It runs in softirq, on time, whatever the daemon does. The flag is set only while the leader is
 * not marked as exited, in one atomic step: entry and exit hook can never disagree about who was first.
 */
static int fate_deadline(void *map, struct fate_env_key *key, struct fate_env *env)
{
	struct fate_env_key k = *key;
	__u64 now = bpf_ktime_get_ns();

	env->deadline_hit_ns = now;
#pragma unroll
	for (int i = 0; i < 4; i++) {	/* flags has three bits, each set once: nobody can be in our way more often */
		__u32 old = *(volatile __u32 *)&env->flags;

		if (old & FATE_ENV_LEADER_EXITED) {
			env->deadline_hit_ns = 0;
			return 0;
		}
		if (__sync_val_compare_and_swap(&env->flags, old, old | FATE_ENV_DEADLINE_HIT) == old)
			break;
	}
	fate_count_seen(FATE_EV_DEADLINE);
	fate_emit_plain(FATE_EV_DEADLINE, true, FATE_EVF_LEADER, now, &k, env->leader_tgid);
	return 0;
}

/* tp_btf programs may use bpf_timer since it exists (5.15); kprobes and plain tracepoints may not. The map is pinned,
 * which is what keeps an armed timer alive when the daemon is not. */
static __always_inline void fate_arm(struct fate_env *env)
{
	__u64 now = bpf_ktime_get_ns(), left = env->deadline_ns > now ? env->deadline_ns - now : 0;

	if (bpf_timer_init(&env->timer, &fate_env, CLOCK_MONOTONIC) ||
	    bpf_timer_set_callback(&env->timer, fate_deadline) ||
	    bpf_timer_start(&env->timer, left, 0))
		fate_count_drop(FATE_EV_INVALID);	/* the exit hook and the daemon's own timer still know */
}

static __always_inline void fate_leader_is(const struct fate_env_key *key, struct fate_env *env, __u32 tgid, __u64 fork_ns)
{
	env->fork_ns = fork_ns;
	if (env->timeout_ns)
		env->deadline_ns = fork_ns + env->timeout_ns;
	env->leader_tgid = tgid;
	if (env->timeout_ns)
		fate_arm(env);
	fate_emit_plain(FATE_EV_FORK, false, FATE_EVF_LEADER, fork_ns, key, tgid);
}

/*
 * The kernel does not run a program on a processor where that program is running already, and a tracepoint that can be
 * preempted (7.x) makes that happen. A leader whose birth was skipped is made up for at the next occasion: nobody may
 * think that it never was.
 */
static __always_inline void fate_make_up(struct fate_where *w, struct task_struct *task)
{
	if (w->env->leader_tgid || fate_task_leaf(task->real_parent) == w->key.cgroup_id)
		return;
	fate_count_seen(FATE_EV_FORK);
	__sync_fetch_and_add(&w->env->procs_forked, 1);
	fate_leader_is(&w->key, w->env, task->tgid, task->start_time);
}

/*
 * Why this hook: it fires in the parent after the child is complete (CLONE_INTO_CGROUP has put it into its leaf)
 * and before the child can run, so no event of the child comes earlier. It fires for threads as well: only
 * thread-group leaders are processes. The first process whose parent is elsewhere is the leader: the one clone3 put
 * there.
 */
SEC("tp_btf/sched_process_fork")
int BPF_PROG(fate_fork, struct task_struct *parent, struct task_struct *child)
{
	struct fate_where w = {};
	struct fate_env *env;
	__u32 tgid = child->tgid;

	if ((__u32)child->pid != tgid)
		return 0;
	if (!fate_find(child, FATE_HOOK_FORK, &w))
		return 0;
	env = w.env;
	fate_count_seen(FATE_EV_FORK);
	__sync_fetch_and_add(&env->procs_forked, 1);
	if (env->leader_tgid || fate_task_leaf(parent) == w.key.cgroup_id)
		return 0;

	fate_leader_is(&w.key, env, tgid, bpf_ktime_get_ns());
	return 0;
}

/* ---- exec --------------------------------------------------------------------------------------------------- */

/*
 * Why this hook: past the point of no return, so it means that a program really runs, with its new name. An exec by
 * another thread than the first has already taken over the first one's ids.
 */
SEC("tp_btf/sched_process_exec")
int BPF_PROG(fate_exec, struct task_struct *task)
{
	struct fate_where w = {};
	__u32 flags = 0;
	__u64 now;

	if (!fate_find(task, FATE_HOOK_EXEC, &w))
		return 0;
	now = bpf_ktime_get_ns();
	fate_make_up(&w, task);
	fate_count_seen(FATE_EV_EXEC);
	__sync_fetch_and_add(&w.env->execs, 1);
	if (fate_is_leader(w.env, task->tgid)) {
		flags = FATE_EVF_LEADER;
		if (!w.env->exec_ns) {
			w.env->exec_ns = now;
			/* The image it had until now was the daemon's: its peak says nothing about the function's. */
			w.env->rss_floor = (__u64)task->signal->maxrss << fate_page_shift;
		}
	}
	fate_emit_exec(flags, now, &w.key, task);
	return 0;
}

/* ---- signals ------------------------------------------------------------------------------------------------ */

#define SIGKILL 9
/* CHLD, CONT, STOP, TSTP, TTIN, TTOU, URG, WINCH: ignored, or stop and go. The default of all others is the end. */
#define FATE_HARMLESS (1ull << 17 | 1ull << 18 | 1ull << 19 | 1ull << 20 | 1ull << 21 | 1ull << 22 | 1ull << 23 | 1ull << 28)
#define SIGNAL_DELIVERED 0	/* enum in include/trace/events/signal.h */
#define SIGNAL_LOSE_INFO 4
#define SI_KERNEL 0x80
#define SI_TIMER -2

static __always_inline void fate_read_sender(struct fate_sender *s, int sig, struct kernel_siginfo *info, __u32 to)
{
	unsigned long special = 0;	/* 0: SEND_SIG_NOINFO, sent by current; 1: SEND_SIG_PRIV, the kernel */

	/* Read as a number: of a tracepoint's pointer the verifier believes that it is never NULL, and drops the test. */
	bpf_probe_read_kernel(&special, sizeof(special), &info);
	__builtin_memset(s, 0, sizeof(*s));
	s->sig = sig;
	s->at_ns = bpf_ktime_get_ns();
	/* What the kernel sends to current for what current did: a broken pipe, a file beyond its limit. Only cgroup.kill, written
	 * from within, looks the same. */
	if (special == 1 || (!special && sig != SIGKILL && bpf_get_current_pid_tgid() >> 32 == to))
		s->si_code = SI_KERNEL;
	else if (special)
		s->si_code = BPF_CORE_READ(info, si_code);
	s->flags = FATE_SENDER_KNOWN;
	/* A fault, a limit, the OOM killer, a timer that ran out: current is whoever happened to be on this CPU. */
	if (s->si_code > 0 || s->si_code == SI_TIMER) {
		s->flags |= FATE_SENDER_KERNEL;
		return;
	}
	s->pid = bpf_get_current_pid_tgid() >> 32;
	s->uid = (__u32)bpf_get_current_uid_gid();
	s->cgroup_id = bpf_get_current_cgroup_id();
	bpf_get_current_comm(s->comm, sizeof(s->comm));
}

/* Where the sender of that signal is kept. The barrier keeps the compiler from checking one register and using a copy
 * of it, which verifiers up to 6.1 do not see through. */
static __always_inline struct fate_sender *fate_sender_of(const struct fate_env_key *key, __u32 sig)
{
	struct fate_senders *senders = bpf_map_lookup_elem(&fate_senders, key);
	__u64 slot = sig < FATE_SENDER_SLOTS ? sig : 0;

	if (!senders)
		return NULL;
	asm volatile("" : "+r"(slot));
	return slot < FATE_SENDER_SLOTS ? &senders->by_sig[slot] : NULL;
}

/* The first SIGKILL is the one that kills; of the others the latest is as good a guess as any earlier one, and better
 * when the earlier was handled. */
static __always_inline void fate_keep_sender(const struct fate_env_key *key, const struct fate_sender *s)
{
	struct fate_sender *kept = fate_sender_of(key, s->sig);

	if (!kept || (s->sig == SIGKILL && kept->flags))
		return;
	*kept = *s;
}

/*
 * Why this hook: the only one that knows both ends. signal_deliver runs in the target, when the sender is history, and
 * never for SIGKILL. It fires for all that is generated, hence the tests: ignored and pending ones change nothing.
 * The target need not be current; who is current is the sender, if anybody is.
 */
SEC("tp_btf/signal_generate")
int BPF_PROG(fate_signal, int sig, struct kernel_siginfo *info, struct task_struct *task, int group, int result)
{
	struct fate_where w = {};
	struct fate_sender s;
	__u32 flags = 0, tgid;

	if (sig < 1 || sig > 64 || (sig < 32 && FATE_HARMLESS >> sig & 1))
		return 0;
	if (result != SIGNAL_DELIVERED && result != SIGNAL_LOSE_INFO)
		return 0;
	if (!fate_find(task, FATE_HOOK_SIGNAL, &w))
		return 0;
	fate_count_seen(FATE_EV_SIGNAL);
	tgid = task->tgid;
	fate_read_sender(&s, sig, info, tgid);
	if (fate_is_leader(w.env, tgid)) {
		flags = FATE_EVF_LEADER;
		fate_keep_sender(&w.key, &s);
	}
	fate_emit_signal(flags, &w.key, tgid, &s);
	return 0;
}

/* ---- the OOM killer ----------------------------------------------------------------------------------------- */

static __always_inline void fate_oom_seen(struct fate_where *w, struct task_struct *victim, struct fate_oom_now *why)
{
	struct fate_env *env = w->env;
	__u64 now = bpf_ktime_get_ns();
	__u32 tgid = victim->tgid;

	if (why->scope == FATE_OOM_OWN && why->limit_leaf != w->key.cgroup_id)
		why->scope = FATE_OOM_ANCESTOR;
	if (!env->oom_ns) {	/* no race: the kernel's oom_lock is held */
		env->oom_scope = why->scope;
		env->oom_limit_cgroup_id = why->limit_cgroup_id;
		env->oom_limit_bytes = why->limit_bytes;
		env->oom_victim_tgid = tgid;
		bpf_probe_read_kernel_str(env->oom_victim_comm, sizeof(env->oom_victim_comm), victim->comm);
		env->oom_ns = now;
	}
	__sync_fetch_and_add(&env->oom_kills, 1);
	fate_count_seen(FATE_EV_OOM);
	fate_emit_oom(fate_is_leader(env, tgid) ? FATE_EVF_LEADER : 0, now, &w->key, victim, why);
}

/*
 * Why these hooks: struct oom_control, and with it the answer to "whose limit?", is seen nowhere later; an exit status
 * shows a bare SIGKILL. But it tells of one victim, and memory.oom.group takes many, of several environments when it is
 * an ancestor's; those are marked one by one before the function returns. So: the first hook keeps the why, the marks
 * below use it, the last one throws it away. oom_kill_process is static, so a kernel may have inlined it, and fentry needs
 * ftrace's direct calls: when either is missing, there are only the marks and the why is not known here.
 */
SEC("fentry/oom_kill_process")
int BPF_PROG(fate_oom, struct oom_control *oc)
{
	struct mem_cgroup *memcg = oc->memcg;
	struct fate_oom_now *now;
	__u32 zero = 0;

	now = bpf_map_lookup_elem(&fate_oom_now, &zero);
	if (!now)
		return 0;
	__builtin_memset(now, 0, sizeof(*now));
	now->scope = FATE_OOM_HOST;
	if (memcg) {
		struct cgroup *cg = memcg->css.cgroup;

		if (cg->root->hierarchy_id != 0) {
			now->scope = FATE_OOM_UNKNOWN;	/* a v1 memory tree: its groups are not the ones we know */
		} else {
			__u64 pages = BPF_CORE_READ(memcg, memory.max);

			now->scope = FATE_OOM_OWN;
			now->limit_cgroup_id = cg->kn->id;
			now->limit_leaf = fate_leaf_of(cg);
			if (pages < 1ull << 50)		/* else there is none: PAGE_COUNTER_MAX */
				now->limit_bytes = pages << fate_page_shift;
		}
	}
	now->by = bpf_get_current_pid_tgid();
	return 0;
}

SEC("fexit/oom_kill_process")
int BPF_PROG(fate_oom_done)
{
	__u32 zero = 0;
	struct fate_oom_now *now = bpf_map_lookup_elem(&fate_oom_now, &zero);

	if (now)
		now->by = 0;
	return 0;
}

/* Why a victim is marked now. The kernel also marks a task that was dying anyway: then nobody is at it. */
static __always_inline void fate_oom_why(struct fate_oom_now *ret)
{
	__u32 zero = 0;
	const struct fate_oom_now *now = bpf_map_lookup_elem(&fate_oom_now, &zero);

	__builtin_memset(ret, 0, sizeof(*ret));
	ret->scope = FATE_OOM_UNKNOWN;
	if (now && now->by && now->by == bpf_get_current_pid_tgid())
		*ret = *now;
}

/* Kernels whose mark_victim passes the task (6.8 and later). It fires once for each victim. */
SEC("tp_btf/mark_victim")
int BPF_PROG(fate_victim, struct task_struct *task)
{
	struct fate_oom_now why;
	struct fate_where w = {};

	if (!fate_find(task, FATE_HOOK_OOM, &w))
		return 0;
	fate_oom_why(&why);
	fate_oom_seen(&w, task, &why);
	return 0;
}

/* Older ones pass a pid: nobody's environment can be found from that, so the exit hook asks. */
SEC("tp_btf/mark_victim")
int BPF_PROG(fate_victim_pid, int pid)
{
	struct fate_oom_now why;
	__u32 key = pid;

	fate_oom_why(&why);
	bpf_map_update_elem(&fate_victims, &key, &why, BPF_ANY);
	return 0;
}

/* The mark is on the thread that had the memory, which need not be the first one. */
static __always_inline void fate_ask_victims(struct fate_where *w, struct task_struct *task)
{
	__u32 pid = task->pid;
	struct fate_oom_now why, *kept = bpf_map_lookup_elem(&fate_victims, &pid);

	if (!kept)
		return;
	why = *kept;
	if (bpf_map_delete_elem(&fate_victims, &pid) == 0)
		fate_oom_seen(w, task, &why);
}

/* ---- exit --------------------------------------------------------------------------------------------------- */

/*
 * live reaches 0 before the hook runs, so when the last two threads die at once on two CPUs both see 0. The first to
 * put the process into the map has it.
 */
static __always_inline bool fate_first_to_see(struct task_struct *task)
{
	struct fate_proc_key key = { .start_boottime = task->group_leader->start_boottime, .tgid = task->tgid };
	__u8 one = 1;

	return bpf_map_update_elem(&fate_gone, &key, &one, BPF_NOEXIST) == 0;
}

static __always_inline void fate_leader_exited(struct fate_where *w, __s32 exit_code, __u64 now)
{
	struct fate_env *env = w->env;
	__u32 sig = exit_code & 0x7f, add = FATE_ENV_LEADER_EXITED;

	if (sig) {
		const struct fate_sender *kept = fate_sender_of(&w->key, sig);

		if (kept && kept->sig == (__s32)sig)
			env->sender = *kept;
	}
	env->exit_code = exit_code;
	env->exit_ns = now;
	/* An exit between the deadline and its softirq came too late all the same: the clock decides, not the latency. */
	if (env->deadline_ns && now >= env->deadline_ns)
		add |= FATE_ENV_DEADLINE_HIT;
	__sync_fetch_and_or(&env->flags, add);
}

/*
 * Why this hook: it is in do_exit(), before anyone can wait for the process, with its cgroup still set and the final
 * status in place. It fires for each thread, which is where what a thread used is taken: nobody has to reap it for that.
 * Traps: the last thread must be told from the others (group_dead does, where the kernel has that argument, 6.16 and
 * later); a leader thread that is gone while others live is a zombie, not an end; the status is not in the dying thread but
 * in the group; the core bit (0x80) is part of the raw status and not of the signal number.
 */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(fate_exit, struct task_struct *task)
{
	struct fate_where w = {};
	__u32 flags = 0, tgid;
	__s32 exit_code;
	bool leader;
	__u64 now;

	if (!fate_find(task, FATE_HOOK_EXIT, &w))
		return 0;
	now = bpf_ktime_get_ns();
	fate_make_up(&w, task);
	fate_account(w.env, task, now);
	if (fate_victim_by_pid)
		fate_ask_victims(&w, task);
	if (fate_has_group_dead) {
		if (!(ctx[1] & 0xff))
			return 0;
	} else if (task->signal->live.counter || !fate_first_to_see(task)) {
		return 0;
	}

	tgid = task->tgid;
	exit_code = fate_exit_code(task);
	leader = fate_is_leader(w.env, tgid);
	fate_account_rss(w.env, fate_peak_rss(w.env, task, leader));
	if (leader) {
		flags |= FATE_EVF_LEADER;
		fate_leader_exited(&w, exit_code, now);
	}
	fate_count_seen(FATE_EV_EXIT);
	if (__sync_fetch_and_add(&w.env->procs_exited, 1) + 1 == *(volatile __u32 *)&w.env->procs_forked) {
		w.env->empty_ns = now;
		if (w.env->flags & FATE_ENV_LEADER_EXITED) {
			flags |= FATE_EVF_LAST;
			__sync_fetch_and_or(&w.env->flags, FATE_ENV_EMPTY);
		}
	}
	fate_emit_exit(flags, now, &w.key, task, exit_code);
	return 0;
}

/* ---- the living ---------------------------------------------------------------------------------------------- */

/*
 * A walk over all tasks, for whoever reads the pinned link: the daemon, or an administrator without one. Each environment's
 * entry gets the sums of its living threads; the reader gets a line a process. The entry is an estimate for people, so that
 * two readers at a time may spoil each other's sums is accepted.
 */
static __always_inline void fate_live_add(struct fate_env *env, struct task_struct *task, __u64 session)
{
	struct fate_live *l = &env->live;

	if (l->session != session) {
		l->session = session;
		l->at_ns = bpf_ktime_get_ns();
		l->cpu_ns = l->rss_bytes = 0;
		l->procs = l->threads = 0;
	}
	/* A first thread that has ended stays as a zombie while others live: it stands for its process, and is accounted. */
	if (!task->exit_state) {
		l->cpu_ns += task->se.sum_exec_runtime;
		l->threads++;
	}
	if (task->pid != task->tgid)
		return;
	l->procs++;
	if (task->mm)
		l->rss_bytes += fate_rss_pages(task->mm) << fate_page_shift;
}

/* A name is the function's own to choose, and people read these lines on terminals. */
static __always_inline void fate_plain_name(char *to, struct task_struct *task)
{
	bpf_probe_read_kernel_str(to, FATE_COMM_LEN, task->comm);
#pragma unroll
	for (int i = 0; i < FATE_COMM_LEN; i++)
		if (to[i] && (to[i] <= ' ' || to[i] >= 0x7f))
			to[i] = '?';
}

SEC("iter/task")
int fate_live(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct seq_file *seq = ctx->meta->seq;
	struct fate_watch *watch;
	struct fate_env *env;
	struct fate_env_key key;
	__u64 cpu_ms, rss_kb = 0, now;
	char name[FATE_COMM_LEN] = "";

	if (ctx->meta->seq_num == 0)
		BPF_SEQ_PRINTF(seq, "FUNCTION REQUEST-ID ATTEMPT PID COMM CPU-MS RSS-KB LEFT-MS\n");
	/* A process that has no living thread is a zombie, and has been counted as ended. */
	if (!task || !task->signal->live.counter)
		return 0;
	key.cgroup_id = fate_task_leaf(task);
	watch = key.cgroup_id ? bpf_map_lookup_elem(&fate_watch, &key.cgroup_id) : NULL;
	if (!watch)
		return 0;
	key.start_ns = watch->start_ns;
	env = bpf_map_lookup_elem(&fate_env, &key);
	if (!env)
		return 0;
	fate_live_add(env, task, ctx->meta->session_id);
	if (task->pid != task->tgid)
		return 0;
	fate_plain_name(name, task);
	now = bpf_ktime_get_ns();
	cpu_ms = task->se.sum_exec_runtime / 1000000;
	if (task->mm)
		rss_kb = (fate_rss_pages(task->mm) << fate_page_shift) >> 10;
	BPF_SEQ_PRINTF(seq, "%s %s %u %d %s %llu %llu %llu\n", env->function, env->request_id, env->attempt, task->tgid, name,
		       cpu_ms, rss_kb, env->deadline_ns > now ? (env->deadline_ns - now) / 1000000 : 0);
	return 0;
}
