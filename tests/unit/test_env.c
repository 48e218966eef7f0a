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

/* Not ours to wait for any more, whatever took it: the kernel half's word must do. */
static void no_status(void)
{
	begin(0);
	say(FACT_BPF_EXIT, 10);
	CHECK_INT(env_step(&row, &ev, &(struct fact){ .kind = FACT_WAIT, .at_ns = 11, .error = 10 }, 11), ENV_FX_CHECK_EMPTY);
	CHECK(!ev.have_wait);
	CHECK_INT(say(FACT_EMPTY, 12), ENV_FX_OVER);
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
	CHECK_INT(say(FACT_POPULATED, 10), ENV_FX_LEFT);
	CHECK_INT(env_left(&row, &ev, true, 10), ENV_FX_KILL);
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
	CHECK_INT(say(FACT_POPULATED, 950), ENV_FX_LEFT);	/* the leader obeyed, its children did not */
	row.leftovers = FUNC_LEFTOVERS_WAIT;
	CHECK_INT(env_left(&row, &ev, true, 950), ENV_FX_KILL);
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
	CHECK_INT(env_interrupt(&row, &ev, 5), ENV_FX_KILL);	/* there may be more than the leader */
	CHECK(!ev.stopped_by_us);
	CHECK_INT(env_interrupt(&row, &ev, 6), 0);
}

static void left(enum func_leftovers policy)
{
	begin(0);
	row.leftovers = policy;
	say(FACT_BPF_EXIT, 9);
	say(FACT_WAIT, 10);
	CHECK_INT(say(FACT_POPULATED, 10), ENV_FX_LEFT);
}

static void left_overs_may_be_waited_for(void)
{
	left(FUNC_LEFTOVERS_WAIT);
	CHECK_INT(env_left(&row, &ev, true, 10), 0);
	CHECK_INT(env_next_timer_ns(&row), 1000);	/* until the deadline */
	CHECK_INT(say(FACT_BPF_EMPTY, 500), ENV_FX_CHECK_EMPTY);
	CHECK_INT(say(FACT_POPULATED, 500), 0);
	CHECK_INT(say(FACT_EMPTY, 600), ENV_FX_OVER);
	CHECK(!row.kill_sent && !ev.left_running);

	left(FUNC_LEFTOVERS_WAIT);
	CHECK_INT(env_left(&row, &ev, true, 10), 0);
	CHECK_INT(say(FACT_TIMER, 999), 0);
	CHECK_INT(say(FACT_TIMER, 1000), ENV_FX_KILL);
	CHECK(!ev.deadline_by_timer && !ev.killed_by_us);	/* the answer was in time */
	CHECK_INT(say(FACT_EMPTY, 1001), ENV_FX_OVER);

	left(FUNC_LEFTOVERS_WAIT);
	CHECK_INT(env_left(&row, &ev, false, 10), ENV_FX_KILL);	/* a retry must not meet them */
	left(FUNC_LEFTOVERS_WAIT);
	CHECK_INT(env_left(&row, &ev, true, 1000), ENV_FX_KILL);
}

static void left_overs_may_go_on(void)
{
	left(FUNC_LEFTOVERS_WARN);
	CHECK_INT(env_left(&row, &ev, true, 10), ENV_FX_OVER);
	CHECK_INT(row.state, ENV_LEFT);
	CHECK(ev.left_running);
	CHECK(env_next_timer_ns(&row) == INT64_MAX);
	CHECK_INT(say(FACT_POPULATED, 20), 0);
	CHECK_INT(say(FACT_BPF_DEADLINE, 1000), 0);
	CHECK_INT(say(FACT_TIMER, 1000), 0);
	CHECK_INT(env_cancel(&row, &ev, 1100), 0);	/* its event has ended */
	CHECK_INT(say(FACT_EMPTY, 5000), ENV_FX_OVER);
	CHECK_INT(row.state, ENV_GONE);

	left(FUNC_LEFTOVERS_WARN);
	CHECK_INT(env_left(&row, &ev, true, 10), ENV_FX_OVER);
	CHECK_INT(env_interrupt(&row, &ev, 20), ENV_FX_KILL);	/* the daemon stops */
	CHECK_INT(row.state, ENV_STOPPING);
	CHECK_INT(say(FACT_EMPTY, 30), ENV_FX_OVER);
	left(FUNC_LEFTOVERS_WARN);
	CHECK_INT(env_left(&row, &ev, false, 10), ENV_FX_KILL);
}

static void somebody_cancels(void)
{
	begin(10);
	CHECK_INT(env_cancel(&row, &ev, 5), ENV_FX_KILL);	/* no grace: he wants it ended */
	CHECK(ev.cancelled && ev.killed_by_us && !ev.stopped_by_us);
	begin(0);
	say(FACT_BPF_EXIT, 4);
	CHECK_INT(env_cancel(&row, &ev, 5), 0);
	CHECK(!ev.cancelled);
	left(FUNC_LEFTOVERS_WAIT);
	CHECK_INT(env_left(&row, &ev, true, 10), 0);
	CHECK_INT(env_cancel(&row, &ev, 20), ENV_FX_KILL);	/* the waiting ends, the answer stands */
	CHECK(!ev.cancelled && !ev.killed_by_us);
}

int main(void)
{
	RUN(plain_end);
	RUN(second_witness_first);
	RUN(no_status);
	RUN(empty_before_wait);
	RUN(left_overs_are_killed);
	RUN(deadline_at_once);
	RUN(deadline_with_grace);
	RUN(our_timer_alone);
	RUN(too_much_output);
	RUN(the_daemon_stops);
	RUN(left_overs_may_be_waited_for);
	RUN(left_overs_may_go_on);
	RUN(somebody_cancels);
	TEST_END();
}
