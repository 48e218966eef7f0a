/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The clone and what the child does.
 *
 * What binds the child: it runs on its worker's spare stack, in the daemon's memory, beside the daemon's other
 * threads. It makes raw system calls and nothing else: no libc (errno is the worker's), no malloc, no log, no lock.
 * The only memory it writes is its stack, its worker's state word and, on failure, the report. It never returns.
 *
 * Considered and rejected:
 * - fork-like clone3: 0.7 ms for 20 MB of heap, and page faults of the whole daemon afterwards.
 * - vfork on the loop's own thread: a function could stop the supervisor by stopping its child before the exec.
 * - CLONE_VM without CLONE_VFORK (nobody waits, no worker): the OOM killer treats everybody who shares the memory as
 *   one and would take the daemon along; only a vfork child is exempt (in_vfork()), and only a vfork child may have
 *   an oom_score_adj of its own (__set_oom_adj()).
 * - A pipe for the error report: five system calls a launch for what one word of shared memory says.
 *
 * The shared memory and the ids: setresuid() of the child makes the memory "not dumpable" (commit_creds()), so
 * another process of that user cannot attach to it. With fs.suid_dumpable=1 it would stay attachable: then the
 * caller asks for a copy.
 */
#include "sys/sys_spawn.h"

#include <assert.h>
#include <errno.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "sys/sys_calls.h"

#define CHILD_STACK (64u << 10)
#define WORKER_STACK (128u << 10)
#define WORKERS_FEW 4u
#define WORKER_PATIENCE_NS 10000000L

/* Bare: instrumented code would touch the sanitizers' per-thread state, which is the worker's. */
#define BARE __attribute__((noinline, no_sanitize("address", "undefined"), no_stack_protector))

enum { STATE_NEW = 0, STATE_CHILD = 1, STATE_FAILED = 2 };

#if defined(__x86_64__)
BARE static long raw_call(long nr, long a, long b, long c, long d, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = f;
	long ret;

	__asm__ volatile("syscall" : "=a"(ret) : "0"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8) : "rcx", "r11", "memory");
	return ret;
}

BARE long sys_clone3_onto(struct clone_args *args, size_t size, void (*fn)(void *), void *arg)
{
	register void (*r8)(void *) __asm__("r8") = fn;
	register void *r9 __asm__("r9") = arg;
	long ret;

	__asm__ volatile(
		"syscall\n\t"
		"test %%rax, %%rax\n\t"
		"jnz 1f\n\t"
		"xor %%ebp, %%ebp\n\t"		/* the end of the child's frames */
		"mov %%r9, %%rdi\n\t"
		"call *%%r8\n\t"
		"hlt\n"
		"1:"
		: "=a"(ret) : "0"((long)SYS_clone3), "D"(args), "S"(size), "r"(r8), "r"(r9) : "rcx", "r11", "memory", "cc");
	return ret;
}
#elif defined(__aarch64__)
BARE static long raw_call(long nr, long a, long b, long c, long d, long f)
{
	register long x8 __asm__("x8") = nr;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = f;

	__asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
	return x0;
}

BARE long sys_clone3_onto(struct clone_args *args, size_t size, void (*fn)(void *), void *arg)
{
	register long x8 __asm__("x8") = SYS_clone3;
	register long x0 __asm__("x0") = SYS_PTR(args);
	register size_t x1 __asm__("x1") = size;
	register void (*x9)(void *) __asm__("x9") = fn;
	register void *x10 __asm__("x10") = arg;

	__asm__ volatile(
		"svc #0\n\t"
		"cbnz x0, 1f\n\t"
		"mov x29, #0\n\t"
		"mov x30, #0\n\t"
		"mov x0, x10\n\t"
		"blr x9\n\t"
		"brk #0\n"
		"1:"
		: "+r"(x0) : "r"(x8), "r"(x1), "r"(x9), "r"(x10) : "memory", "cc");
	return x0;
}
#else
#error "sys_spawn: write raw_call and sys_clone3_onto for this machine"
#endif

struct worker {
	struct sys_spawner *owner;
	struct worker *next_idle, *next;
	struct sys_spawn *job;		/* NULL after a post: end */
	uint32_t state;			/* of the job's child; the caller waits on it */
	int error;			/* STATE_FAILED: negative errno */
	char *child_stack;
	sem_t go;
	pthread_t thread;
};

/* Runs in the child; see the rules at the top. */
BARE static void child_main(void *arg)
{
	struct worker *w = arg;
	struct sys_spawn *s = w->job;
	size_t i;
	long r;

	if (!s->copy) {
		__atomic_store_n(&w->state, STATE_CHILD, __ATOMIC_RELEASE);
		(void)raw_call(SYS_futex, SYS_PTR(&w->state), FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, 0, 0);
	}
	for (i = 0; i < s->n_steps; i++) {
		const struct sys_step *st = &s->steps[i];

		r = raw_call(st->nr, st->arg[0], st->arg[1], st->arg[2], st->arg[3], st->arg[4]);
		if (r < 0) {
			s->report->step = (uint32_t)i;
			s->report->error = (int32_t)-r;
			break;
		}
	}
	for (;;)
		(void)raw_call(SYS_exit_group, 127, 0, 0, 0, 0);
}

struct sys_spawner {
	pthread_mutex_t lock;		/* idle list */
	pthread_cond_t back;		/* a worker is idle again */
	struct worker *idle, *all;
	unsigned int n, max;
};

static void announce(struct worker *w, uint32_t state)
{
	__atomic_store_n(&w->state, state, __ATOMIC_RELEASE);
	(void)syscall(SYS_futex, &w->state, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0);
}

/*
 * Returns when the child has executed or ended, not before. The job may be gone by then, so the word between child,
 * worker and caller is the worker's own. A child that was killed before its first instruction (cgroup.kill, the OOM
 * killer) never said that it exists: then the worker does, because it did.
 */
static void run_job(struct worker *w)
{
	struct sys_spawn *s = w->job;
	struct clone_args args = {
		.flags = CLONE_INTO_CGROUP | CLONE_PIDFD | CLONE_PARENT_SETTID | CLONE_CLEAR_SIGHAND |
			 (s->copy ? 0 : CLONE_VM | CLONE_VFORK),
		.pidfd = (uintptr_t)&s->pidfd,
		.parent_tid = (uintptr_t)&s->pid,
		.exit_signal = SIGCHLD,
		.stack = (uintptr_t)w->child_stack,
		.stack_size = CHILD_STACK,
		.cgroup = (uint64_t)s->cgroup_fd,
	};
	long r = sys.clone3(&args, sizeof(args), child_main, w);

	if (r < 0) {
		w->error = (int)r;
		announce(w, STATE_FAILED);
	} else if (__atomic_load_n(&w->state, __ATOMIC_ACQUIRE) == STATE_NEW) {
		announce(w, STATE_CHILD);
	}
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;

	for (;;) {
		while (sem_wait(&w->go) < 0)
			;
		if (!w->job)
			return NULL;
		run_job(w);
		pthread_mutex_lock(&w->owner->lock);
		w->next_idle = w->owner->idle;
		w->owner->idle = w;
		pthread_cond_signal(&w->owner->back);
		pthread_mutex_unlock(&w->owner->lock);
	}
}

/* All signals blocked: they are the loop's, and a child begins without any handler to run. */
static int worker_new(struct sys_spawner *sp, struct worker **ret)
{
	struct worker *w = XNEW(struct worker);
	sigset_t all, old;
	pthread_attr_t attr;
	int r;

	w->owner = sp;
	w->child_stack = mmap(NULL, CHILD_STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (w->child_stack == MAP_FAILED) {
		free(w);
		return -errno;
	}
	(void)sem_init(&w->go, 0, 0);
	sigfillset(&all);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, WORKER_STACK);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	r = pthread_create(&w->thread, &attr, worker_main, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	if (r) {
		(void)munmap(w->child_stack, CHILD_STACK);
		sem_destroy(&w->go);
		free(w);
		return -r;
	}
	(void)pthread_setname_np(w->thread, "fated-spawn");
	w->next = sp->all;
	sp->all = w;
	sp->n++;
	*ret = w;
	return 0;
}

int sys_spawner_new(unsigned int workers_max, struct sys_spawner **ret, struct err *e)
{
	struct sys_spawner *sp = XNEW(struct sys_spawner);
	pthread_condattr_t attr;
	int r;

	assert(workers_max > 0);
	pthread_mutex_init(&sp->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&sp->back, &attr);
	pthread_condattr_destroy(&attr);
	sp->max = workers_max;
	r = worker_new(sp, &sp->idle);
	if (r < 0) {
		sys_spawner_free(sp);
		return err_errno(e, r, "spawn worker");
	}
	*ret = sp;
	return 0;
}

struct sys_spawner *sys_spawner_free(struct sys_spawner *sp)
{
	struct worker *w;

	if (!sp)
		return NULL;
	while ((w = sp->all)) {
		sp->all = w->next;
		/* A worker still on its way back finds this as its next job. */
		w->job = NULL;
		sem_post(&w->go);
		pthread_join(w->thread, NULL);
		(void)munmap(w->child_stack, CHILD_STACK);
		sem_destroy(&w->go);
		free(w);
	}
	pthread_cond_destroy(&sp->back);
	pthread_mutex_destroy(&sp->lock);
	free(sp);
	return NULL;
}

static struct timespec from_now(int64_t ns)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	ns += t.tv_nsec;
	t.tv_sec += ns / 1000000000;
	t.tv_nsec = ns % 1000000000;
	return t;
}

/* A worker is on the idle list only after its child has executed or ended. */
static bool all_idle(const struct sys_spawner *sp)
{
	unsigned int n = 0;

	for (struct worker *w = sp->idle; w; w = w->next_idle)
		n++;
	return n == sp->n;
}

bool sys_spawner_settle(struct sys_spawner *sp, int64_t patience_ns)
{
	struct timespec until = from_now(patience_ns);
	bool all;
	int r = 0;

	pthread_mutex_lock(&sp->lock);
	while (!(all = all_idle(sp)) && r == 0)
		r = pthread_cond_timedwait(&sp->back, &sp->lock, &until);
	pthread_mutex_unlock(&sp->lock);
	return all;
}

/*
 * A burst is not a hang: launches come faster than programs get to their exec, so with a few workers out the caller
 * waits for one to come back, which takes a fraction of a millisecond and keeps the launches at the pace the machine
 * can follow. Only when none comes back for WORKER_PATIENCE_NS are they held up, and one more is made.
 */
static struct worker *take_idle(struct sys_spawner *sp)
{
	struct worker *w;
	struct timespec until;
	int r = 0;

	pthread_mutex_lock(&sp->lock);
	if (!sp->idle && sp->n >= MIN(sp->max, WORKERS_FEW)) {
		until = from_now(WORKER_PATIENCE_NS);
		while (!sp->idle && r == 0)
			r = pthread_cond_timedwait(&sp->back, &sp->lock, &until);
	}
	w = sp->idle;
	if (w)
		sp->idle = w->next_idle;
	pthread_mutex_unlock(&sp->lock);
	return w;
}

static int take_worker(struct sys_spawner *sp, struct worker **ret)
{
	*ret = take_idle(sp);
	if (*ret)
		return 0;
	return sp->n < sp->max ? worker_new(sp, ret) : -EAGAIN;
}

static int prepare_report(struct sys_spawn *s)
{
	s->report = &s->own_report;
	if (s->copy) {
		void *shared = mmap(NULL, sizeof(*s->report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

		if (shared == MAP_FAILED)
			return -errno;
		s->report = shared;
	}
	*s->report = (struct sys_report){};
	return 0;
}

int sys_spawner_start(struct sys_spawner *sp, struct sys_spawn *s, struct err *e)
{
	struct worker *w = NULL;
	uint32_t state;
	int r;

	assert(s->n_steps > 0 && s->cgroup_fd >= 0);
	s->pidfd = -EBADF;
	r = prepare_report(s);
	if (r < 0)
		return err_errno(e, r, "report of the child");
	r = take_worker(sp, &w);
	if (r < 0) {
		sys_spawn_done(s);
		return r == -EAGAIN ? err_set(e, r, "all %u spawn workers are held up by programs that do not start", sp->n)
				    : err_errno(e, r, "spawn worker");
	}
	w->job = s;
	w->state = STATE_NEW;
	sem_post(&w->go);
	while ((state = __atomic_load_n(&w->state, __ATOMIC_ACQUIRE)) == STATE_NEW)
		(void)syscall(SYS_futex, &w->state, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, STATE_NEW, NULL, NULL, 0);
	if (state == STATE_FAILED) {
		sys_spawn_done(s);
		s->pidfd = -EBADF;
		return err_errno(e, w->error, "clone3 into the leaf");
	}
	return 0;
}

const struct sys_step *sys_spawn_failed(const struct sys_spawn *s, int *ret_errno)
{
	if (!s->report || !s->report->error)
		return NULL;
	*ret_errno = s->report->error;
	return &s->steps[s->report->step];
}

void sys_spawn_done(struct sys_spawn *s)
{
	if (s->report && s->report != &s->own_report)
		(void)munmap(s->report, sizeof(*s->report));
	s->report = NULL;
}
