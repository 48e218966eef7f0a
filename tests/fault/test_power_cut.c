/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The whole engine over the whole store, on a machine that loses its power: at the 1st, 2nd, 3rd… access to the disk what was
 * not synced is gone, or a random half of its sectors. The next daemon starts from what the disk has. Sometimes its power
 * fails, too, while it recovers. Then what clients had been told must be there, no attempt's number is used again, and in the
 * end every event has one record and every destination what it is owed (lib/life.c).
 *
 *   test_power_cut [CUTS [SEED]]    cuts at the first CUTS accesses of the life that SEED makes; without: a sample of several
 */
#include "lib/test.h"

#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "engine/port_store.h"
#include "lib/disk.h"
#include "lib/life.h"

enum { CALLS = 24 };

static struct life *l;
static int cuts, cuts_in_recovery;

/* In the life's process, in whatever thread made the access: nothing after this instant has happened. */
static void lose_power(void)
{
	_exit(disk_write_remains(life_path()) ? LIFE_LOST_POWER : LIFE_WRONG);
}

struct cut { int n; bool half; uint64_t seed; };

static void arm(void *arg)
{
	const struct cut *c = arg;

	disk_power_lost = lose_power;
	disk_half(c->half, c->seed);
	disk_break(c->n ? DISK_POWER : DISK_WELL, c->n, false, 0);
}

static void disarm(void *arg)
{
	disk_break(DISK_WELL, 0, false, 0);
}

static int live(struct cut cut, struct life_plan plan, unsigned int may)
{
	const char *why;
	int status;

	plan.arm = arm;
	plan.done = disarm;
	plan.arg = &cut;
	status = life_live(l, &plan);
	why = life_judge(l, status, may);
	if (why)
		FAIL("power lost at access %d%s: %.700s", cut.n, cut.half ? ", half of it written" : "", why);
	return status;
}

static bool lost(int status)
{
	return WIFEXITED(status) && WEXITSTATUS(status) == LIFE_LOST_POWER;
}

/* False when the life had fewer accesses. */
static bool cut_at(uint64_t seed, int n, bool half)
{
	int status;

	life_begin(l, seed);
	status = live((struct cut){ n, half, seed + (uint64_t)n }, (struct life_plan){ .calls = CALLS },
		      LIFE_MAY(LIFE_LOST_POWER) | LIFE_MAY(LIFE_RESTED));
	if (!lost(status))
		return false;
	cuts++;
	life_reboot(l);
	if (n % 3 == 0) {	/* once more, while it recovers or soon after */
		status = live((struct cut){ 1 + n / 3 % 40, half, seed }, (struct life_plan){ .calls = CALLS },
			      LIFE_MAY(LIFE_LOST_POWER) | LIFE_MAY(LIFE_RESTED));
		cuts_in_recovery += lost(status);
		if (lost(status))
			life_reboot(l);
	}
	live((struct cut){}, (struct life_plan){ .calls = CALLS / 2, .check = true }, LIFE_MAY(LIFE_RESTED));
	return true;
}

static void report(int64_t began_ns)
{
	printf("# %d cuts, %d of them in recovery; %d events accepted, %d ended, %d interrupted, %d redriven; %.1f s\n",
	       cuts + cuts_in_recovery, cuts_in_recovery, l->accepted, l->events, l->interrupted, l->redriven,
	       (double)(clock_mono_ns() - began_ns) / 1e9);
}

static int first_cuts;
static uint64_t first_seed;

static void asked_for(void)
{
	int64_t began = clock_mono_ns();

	for (int n = 1; n <= first_cuts && cut_at(first_seed, n, n % 2); n++)
		;
	report(began);
}

/* Without a cut all must come true, too; else the cuts would be blamed. */
static void without_a_cut(void)
{
	for (uint64_t seed = 1; seed <= 3; seed++) {
		life_begin(l, seed);
		live((struct cut){}, (struct life_plan){ .calls = CALLS, .check = true }, LIFE_MAY(LIFE_RESTED));
	}
	CHECK(l->accepted > CALLS);
}

/* A stride through each seed's life: its own first access, so that all seeds together meet most places. */
static void power_is_lost(bool half)
{
	int64_t began = clock_mono_ns();
	int before = cuts;

	for (uint64_t seed = 1; seed <= 4; seed++)
		for (int n = (int)seed; cut_at(seed, n, half); n += LIFE_COST * (3 + n / 8))
			;
	report(began);
	CHECK(cuts - before > 60 / LIFE_COST);
	CHECK(cuts_in_recovery > 5 / LIFE_COST && l->interrupted > 5 && l->redriven);
}

static void power_is_lost_and_unsynced_data_too(void) { power_is_lost(false); }
static void power_is_lost_and_half_of_unsynced_data(void) { power_is_lost(true); }

/* The model itself: what was told and is not there must be found. A word is put into a client's mouth. */
static void a_lost_event_is_found(void)
{
	struct life_plan plan = { .calls = 2, .check = true };

	life_begin(l, 1);
	l->words[0] = (struct life_word){ SAID_ACCEPTED, "00000000-0000-4000-8000-000000000000", 0 };
	l->n_words = 1;
	CHECK_STR(life_end_name(life_live(l, &plan)), "wrong");
	CHECK(strstr(l->why, "was accepted, and is not there"));
}

static void a_repeated_number_is_found(void)
{
	struct life_plan plan = { .calls = CALLS }, again = { .calls = 2 * CALLS, .check = true };

	life_begin(l, 1);
	CHECK_STR(life_end_name(life_live(l, &plan)), "rested");
	(void)unlink(life_path());	/* another disk: all is forgotten */
	CHECK_STR(life_end_name(life_live(l, &again)), "wrong");
}

int main(int argc, char **argv)
{
	if (disk_register() != SQLITE_OK)
		return 1;
	l = life_new();
	if (argc > 1) {
		first_cuts = atoi(argv[1]);
		first_seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
		RUN(asked_for);
	} else {
		RUN(without_a_cut);
		RUN(power_is_lost_and_unsynced_data_too);
		RUN(power_is_lost_and_half_of_unsynced_data);
		RUN(a_lost_event_is_found);
		RUN(a_repeated_number_is_found);
	}
	life_free(l);
	TEST_END();
}
