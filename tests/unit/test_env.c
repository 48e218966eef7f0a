/* SPDX-License-Identifier: Apache-2.0 */
/* The environment's machine: the witnesses in any order, the phases of the kill, late and repeated facts. */
#include "model/env.h"

#include "base/clock.h"
#include "base/mem.h"
#include "lib/test.h"

static struct env_row row;
static struct evidence ev;

static void begin(int grace_ms)
{
	row = (struct env_row){ .kill_grace_ms = grace_ms };
	ev = (struct evidence){};
	env_started(&row, 1000);
}

static int say(enum fact_kind k, int64_t now)
{
	return env_step(&row, &ev, &(struct fact){ .kind = k, .at_ns = now }, now);
}

static void plain_end(void)
{
	begin(0);
	CHECK_INT(say(FACT_BPF_EXIT, 10), ENV_FX_VERDICT);
	CHECK_INT(say(FACT_WAIT, 20), ENV_FX_CHECK_EMPTY);
	CHECK_INT(say(FACT_EMPTY, 21), ENV_FX_OVER);
	CHECK_INT(row.state, ENV_GONE);
	for (int k = FACT_BPF_EXIT; k <= FACT_TIMER; k++)
		CHECK_INT(say((enum fact_kind)k, 30), 0);
	CHECK(env_next_timer_ns(&row) == INT64_MAX);
}

static void second_witness_first(void)
{
	begin(0);
	CHECK_INT(say(FACT_WAIT, 20), ENV_FX_VERDICT | ENV_FX_CHECK_EMPTY);
	CHECK_INT(say(FACT_BPF_EXIT, 21), 0);
	CHECK_INT(say(FACT_EMPTY, 22), ENV_FX_OVER);
}

static void empty_before_wait(void)
{
	begin(0);
	CHECK_INT(say(FACT_EMPTY, 5), 0);
	CHECK_INT(say(FACT_WAIT, 6), ENV_FX_VERDICT | ENV_FX_OVER);
}

static void left_overs_are_killed(void)
{
	begin(0);
	say(FACT_WAIT, 10);
	CHECK_INT(say(FACT_POPULATED, 10), ENV_FX_KILL);
	CHECK(!ev.killed_by_us);		/* not the leader: that had ended by itself */
	CHECK_INT(say(FACT_POPULATED, 11), 0);
	CHECK_INT(env_next_timer_ns(&row), 10 + NS_PER_S);
	CHECK_INT(say(FACT_TIMER, 10 + NS_PER_S), ENV_FX_KILL | ENV_FX_CHECK_EMPTY);
	CHECK_INT(say(FACT_EMPTY, 2 * NS_PER_S), ENV_FX_OVER);
}

static void deadline_at_once(void)
{
	begin(0);
	CHECK_INT(say(FACT_BPF_DEADLINE, 900), ENV_FX_KILL);
	CHECK(ev.killed_by_us && !ev.deadline_by_timer);
	CHECK_INT(say(FACT_BPF_DEADLINE, 901), 0);
	CHECK_INT(say(FACT_TIMER, 1001), 0);	/* our own deadline timer is off: the kernel spoke */
	say(FACT_BPF_EXIT, 1002);
	CHECK_INT(say(FACT_WAIT, 1003), ENV_FX_CHECK_EMPTY);
	CHECK_INT(say(FACT_POPULATED, 1003), 0);	/* the kill is under way */
	CHECK_INT(say(FACT_EMPTY, 1004), ENV_FX_OVER);
}

static void deadline_with_grace(void)
{
	begin(5);
	CHECK_INT(say(FACT_BPF_DEADLINE, 900), ENV_FX_TERM);
	CHECK_INT(env_next_timer_ns(&row), 900 + 5 * NS_PER_MS);
	CHECK_INT(say(FACT_TIMER, 901), 0);
	CHECK_INT(say(FACT_TIMER, 900 + 5 * NS_PER_MS), ENV_FX_KILL);
	begin(5);
	say(FACT_BPF_DEADLINE, 900);
	CHECK_INT(say(FACT_WAIT, 950), ENV_FX_VERDICT | ENV_FX_CHECK_EMPTY);
	CHECK_INT(say(FACT_POPULATED, 950), ENV_FX_KILL);	/* the leader obeyed, its children did not */
	CHECK_INT(say(FACT_EMPTY, 960), ENV_FX_OVER);
}

static void our_timer_alone(void)
{
	begin(0);
	CHECK_INT(env_next_timer_ns(&row), 1000);
	CHECK_INT(say(FACT_TIMER, 999), 0);
	CHECK_INT(say(FACT_TIMER, 1000), ENV_FX_KILL);
	CHECK(ev.deadline_by_timer);
	begin(0);
	say(FACT_BPF_EXIT, 990);
	CHECK_INT(say(FACT_TIMER, 1000), 0);	/* it had ended: no timeout */
	CHECK(!ev.deadline_by_timer);
	CHECK_INT(say(FACT_BPF_DEADLINE, 1001), 0);
}

static void too_much_output(void)
{
	begin(10);
	CHECK_INT(say(FACT_TOO_LARGE, 10), ENV_FX_KILL);	/* no grace: it would write on */
	CHECK_INT(say(FACT_TOO_LARGE, 11), 0);
}

static void the_daemon_stops(void)
{
	begin(10);
	CHECK_INT(env_interrupt(&row, &ev, 5), ENV_FX_KILL);
	CHECK(ev.stopped_by_us);
	begin(0);
	say(FACT_BPF_EXIT, 4);
	CHECK_INT(env_interrupt(&row, &ev, 5), 0);
	CHECK(!ev.stopped_by_us);
}

int main(void)
{
	RUN(plain_end);
	RUN(second_witness_first);
	RUN(empty_before_wait);
	RUN(left_overs_are_killed);
	RUN(deadline_at_once);
	RUN(deadline_with_grace);
	RUN(our_timer_alone);
	RUN(too_much_output);
	RUN(the_daemon_stops);
	TEST_END();
}
