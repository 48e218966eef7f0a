/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory runs out: the 1st, 2nd, 3rd… allocation of a daemon's life fails. Small ones of ours abort (base/mem.h), so that is a
 * crash like any other; large ones are refused with a reason; SQLite's own are an error of its call, never a lost commit.
 * Nothing else may come of it: no other signal, no hang, no life that goes on and keeps less than it promised. The life after it
 * has memory and checks that (lib/life.c).
 *
 * Our allocations are met by the linker (--wrap, for this program alone), cJSON's and SQLite's by their own hooks.
 *
 *   test_alloc_fault [UP-TO [STRIDE [SEED]]]   all up to the first, then every STRIDE-th; without: a sample
 */
#include "lib/test.h"

#include <cjson/cJSON.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/mem.h"
#include "engine/port_store.h"
#include "lib/disk.h"
#include "lib/life.h"

enum { CALLS = 8 };
enum whose { OURS = 1, SQLITES };

static struct fault { enum whose whose; int n; bool sticky, late; } fault;	/* late: counted from the start on */
static int seen;		/* allocations of that kind, by any thread */
static bool *hit;		/* shared with the life: it failed */

static bool fails(enum whose whose)
{
	int n;

	if (fault.whose != whose)
		return false;
	n = __atomic_add_fetch(&seen, 1, __ATOMIC_RELAXED);
	if (n != fault.n && !(fault.sticky && n > fault.n))
		return false;
	return *hit = true;
}

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
char *__real_strdup(const char *s);
char *__real_strndup(const char *s, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
char *__wrap_strdup(const char *s);
char *__wrap_strndup(const char *s, size_t n);

void *__wrap_malloc(size_t n) { return fails(OURS) ? NULL : __real_malloc(n); }
void *__wrap_calloc(size_t n, size_t size) { return fails(OURS) ? NULL : __real_calloc(n, size); }
void *__wrap_realloc(void *p, size_t n) { return fails(OURS) ? NULL : __real_realloc(p, n); }
char *__wrap_strdup(const char *s) { return fails(OURS) ? NULL : __real_strdup(s); }
char *__wrap_strndup(const char *s, size_t n) { return fails(OURS) ? NULL : __real_strndup(s, n); }

static void *cjson_malloc(size_t n) { return fails(OURS) ? NULL : __real_malloc(n); }

/* The sizes are before the blocks: SQLite asks for them. */
static void *s_malloc(int n)
{
	int64_t *p = fails(SQLITES) ? NULL : __real_malloc(sizeof(*p) + (size_t)n);

	if (!p)
		return NULL;
	*p = n;
	return p + 1;
}

static void s_free(void *p) { free(p ? (int64_t *)p - 1 : NULL); }
static int s_size(void *p) { return p ? (int)((int64_t *)p)[-1] : 0; }
static int s_roundup(int n) { return (n + 7) & ~7; }
static int s_init(void *arg) { return SQLITE_OK; }
static void s_shutdown(void *arg) { }

static void *s_realloc(void *old, int n)
{
	int64_t *p = fails(SQLITES) ? NULL : __real_realloc((int64_t *)old - 1, sizeof(*p) + (size_t)n);

	if (!p)
		return NULL;
	*p = n;
	return p + 1;
}

static const struct sqlite3_mem_methods s_methods = { s_malloc, s_free, s_realloc, s_size, s_roundup, s_init, s_shutdown, NULL };

/* ---- one life with a fault, and one without ------------------------------------------------------------------ */

static struct life *l;
static int faults, aborted, refused, doubted, went_on;

static void set(const struct fault *f)
{
	fault = *f;
	seen = 0;
}

static void arm(void *arg)
{
	cJSON_InitHooks(&(cJSON_Hooks){ .malloc_fn = cjson_malloc, .free_fn = free });
	if (!((struct fault *)arg)->late)
		set(arg);
}

static void started(void *arg)
{
	if (((struct fault *)arg)->late)
		set(arg);
}

static void disarm(void *arg)
{
	fault.whose = 0;
}

static void count(int status)
{
	faults++;
	if (WIFSIGNALED(status))
		aborted++;
	else if (WEXITSTATUS(status) == LIFE_REFUSED)
		refused++;
	else if (WEXITSTATUS(status) == LIFE_IN_DOUBT)
		doubted++;
	else
		went_on++;
}

/* False when there was no n-th allocation. */
static bool fail_at(uint64_t seed, struct fault f)
{
	struct life_plan broken = { .calls = CALLS, .arm = arm, .started = started, .done = disarm, .arg = &f };
	struct life_plan well = { .calls = CALLS + 2, .check = true, .arm = arm, .arg = &(struct fault){} };
	const char *why;
	int status;

	*hit = false;
	life_begin(l, seed);
	status = life_live(l, &broken);
	if (f.whose == OURS && WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT && strstr(life_stderr(), "out of memory"))
		why = NULL;
	else
		why = life_judge(l, status, LIFE_MAY(LIFE_RESTED) | LIFE_MAY(LIFE_REFUSED) | LIFE_MAY(LIFE_IN_DOUBT));
	if (why)
		FAIL("allocation %d: %.700s", f.n, why);
	if (!*hit)
		return false;
	count(status);
	why = life_judge(l, life_live(l, &well), LIFE_MAY(LIFE_RESTED));
	if (why)
		FAIL("after allocation %d, which the life before %s: %.700s", f.n, life_end_name(status), why);
	return true;
}

static void each(struct fault f, int up_to, int stride, uint64_t seed)
{
	int64_t began = clock_mono_ns();
	int at_least = (stride < 100 ? 50 : 10) / LIFE_COST;

	f.n = 1;
	faults = aborted = refused = doubted = went_on = 0;
	while (fail_at(seed, f))
		f.n += f.n < up_to ? 1 : stride;
	printf("# %d faults in %d allocations: %d lives aborted, %d refused to start, %d in doubt, %d went on; %.1f s\n",
	       faults, f.n, aborted, refused, doubted, went_on, (double)(clock_mono_ns() - began) / 1e9);
	CHECK(faults > at_least);
}

static int up_to = 120 / LIFE_COST, the_stride = 11 * LIFE_COST;
static uint64_t the_seed = 1;

static void one_of_ours_fails(void)
{
	each((struct fault){ .whose = OURS, .late = true }, up_to, the_stride, the_seed);
	CHECK(aborted > 50 / LIFE_COST);
	CHECK_INT(doubted, 0);
}

static void one_of_sqlites_fails(void)
{
	each((struct fault){ .whose = SQLITES, .late = true }, up_to / 2, 2 * the_stride, the_seed);
	CHECK_INT(aborted, 0);
	CHECK(went_on > 50 / LIFE_COST);
}

static void all_of_sqlites_fail_from_one_on(void)
{
	each((struct fault){ .whose = SQLITES, .late = true, .sticky = true }, up_to / 4, 4 * the_stride, the_seed);
	CHECK_INT(aborted, 0);
	CHECK(doubted > 10 / LIFE_COST);
}

/* An opening prepares every statement: tens of thousands of allocations, and one answer. */
static void one_fails_while_it_starts(void)
{
	each((struct fault){ .whose = OURS }, up_to / 4, 10 * the_stride, the_seed);
	CHECK(aborted > 10 / LIFE_COST);
	each((struct fault){ .whose = SQLITES }, up_to / 4, 100 * the_stride, the_seed);
	CHECK_INT(aborted, 0);
	CHECK(refused > 20 / LIFE_COST);
}

int main(int argc, char **argv)
{
	hit = NULL;
	if (sqlite3_config(SQLITE_CONFIG_MALLOC, &s_methods) != SQLITE_OK || disk_register() != SQLITE_OK)
		return 1;
	l = life_new();
	hit = &l->failed;
	if (argc > 1)
		up_to = atoi(argv[1]);
	if (argc > 2)
		the_stride = MAX(atoi(argv[2]), 1);
	if (argc > 3)
		the_seed = strtoull(argv[3], NULL, 10);
	RUN(one_of_ours_fails);
	RUN(one_of_sqlites_fails);
	RUN(all_of_sqlites_fail_from_one_on);
	RUN(one_fails_while_it_starts);
	life_free(l);
	TEST_END();
}
