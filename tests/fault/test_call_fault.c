/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine's calls to its ports fail: the 1st, 2nd, 3rd… call to the store (load, apply, query), and to launcher and
 * observer (prepare, watch, start, adopt), once or from then on, until a life meets no failure. The store's are for the whole
 * batch: the disk is tired. A life in doubt acts on nothing that is not durable, and the one after it finds all promises kept
 * (lib/life.c). What a launch that fails costs is a try of the host's, never one of the function's (I5): such an event still
 * ends as its function ends.
 *
 * The launcher's own system calls are broken one by one in test_launch_fault.c.
 */
#include "lib/test.h"

#include <sqlite3.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/mem.h"
#include "engine/port_store.h"
#include "lib/disk.h"
#include "lib/life.h"

enum { CALLS = 12 };

static struct life *l;
static int faults, refused, doubted, went_on;

static bool fail_at(uint64_t seed, struct life_plan broken)
{
	struct life_plan well = { .calls = CALLS, .check = true };
	const char *why;
	int status;

	life_begin(l, seed);
	status = life_live(l, &broken);
	why = life_judge(l, status, LIFE_MAY(LIFE_RESTED) | LIFE_MAY(LIFE_REFUSED) | LIFE_MAY(LIFE_IN_DOUBT));
	if (why)
		FAIL("call %d: %.700s", broken.n, why);
	if (!l->failed)
		return false;
	faults++;
	refused += WEXITSTATUS(status) == LIFE_REFUSED;
	doubted += WEXITSTATUS(status) == LIFE_IN_DOUBT;
	went_on += WEXITSTATUS(status) == LIFE_RESTED;
	why = life_judge(l, life_live(l, &well), LIFE_MAY(LIFE_RESTED));
	if (why)
		FAIL("after call %d, which the life before %s: %.700s", broken.n, life_end_name(status), why);
	return true;
}

static void each(enum life_call kind, bool sticky)
{
	int64_t began = clock_mono_ns();
	struct life_plan p = { .calls = CALLS, .fails = kind, .n = 1, .sticky = sticky };

	faults = refused = doubted = went_on = 0;
	while (fail_at(3, p))
		p.n += sticky ? 1 + p.n / 8 : LIFE_COST;
	printf("# %d faults in %d calls: %d lives refused to start, %d in doubt, %d went on; %.1f s\n",
	       faults, p.n, refused, doubted, went_on, (double)(clock_mono_ns() - began) / 1e9);
	CHECK(faults > 15 / LIFE_COST);
}

static void one_call_to_the_store_fails(void)
{
	each(LIFE_STORE_CALL, false);
	CHECK_INT(refused, 1);		/* the load */
	CHECK_INT(doubted, 0);		/* the next try goes well */
}

static void all_calls_to_the_store_fail_from_one_on(void)
{
	each(LIFE_STORE_CALL, true);
	CHECK_INT(refused, 1);
	CHECK(doubted > 10 / LIFE_COST);
}

static void one_call_to_the_host_fails(void)
{
	each(LIFE_HOST_CALL, false);
	CHECK_INT(went_on, faults);
	CHECK(l->host_faults > 0);	/* it was felt */
}

int main(void)
{
	if (disk_register() != SQLITE_OK)
		return 1;
	l = life_new();
	RUN(one_call_to_the_store_fails);
	RUN(all_calls_to_the_store_fail_from_one_on);
	RUN(one_call_to_the_host_fails);
	life_free(l);
	TEST_END();
}
