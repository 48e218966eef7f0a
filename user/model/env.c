/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The environment's machine. Pure: the engine performs the effects and feeds the answers back as facts.
 *
 *   STARTING ─started→ BUSY ─┬─ leader's end ───────────────► STOPPING ─ leader reaped and leaf empty → GONE
 *      │                     └─ deadline, response too large ►    │
 *      └─ never started ──────────────────────────────────────────┼──────────────────────────────────► GONE
 *                                          (Leftovers "warn") LEFT ◄┘ leaf empty, or killed after all ──► GONE
 *   (IDLE belongs to warm environments, which serve one event after another.)
 *
 * What ends an attempt in exec mode: the leader's end. What the leader left running is counted; after a success the
 * function's policy says what becomes of it, after anything else it is killed. The attempt is over only when the leaf is
 * empty, so two attempts of one event never overlap and a timeout is never reported of a tree that still runs. (With
 * "warn" a success does not wait: there is no other attempt that could meet what goes on in LEFT.) A deadline starts with
 * SIGTERM when a grace is configured; cgroup.kill follows, and is repeated every second while something is left (a fork
 * between two kills cannot be, but a process stuck in the kernel can).
 *
 * The verdict is taken when the first witness speaks (usually the kernel half, a little before waitid() can), the
 * attempt is finished when both are in.
 */
#include "model/env.h"

#include <assert.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

#define REKILL_NS (1 * NS_PER_S)

static const char *const state_names[ENV_MAX] = {
	[ENV_STARTING] = "starting", [ENV_IDLE] = "idle", [ENV_BUSY] = "busy", [ENV_STOPPING] = "stopping", [ENV_GONE] = "gone",
	[ENV_LEFT] = "left",
};

static const uint32_t edges[ENV_MAX] = {
	[ENV_STARTING] = BIT(ENV_BUSY) | BIT(ENV_STOPPING) | BIT(ENV_GONE),
	[ENV_IDLE]     = BIT(ENV_BUSY) | BIT(ENV_STOPPING),
	[ENV_BUSY]     = BIT(ENV_IDLE) | BIT(ENV_STOPPING),
	[ENV_STOPPING] = BIT(ENV_GONE) | BIT(ENV_LEFT),
	[ENV_LEFT]     = BIT(ENV_GONE) | BIT(ENV_STOPPING),
};

const char *env_state_name(enum env_state s)
{
	return (unsigned int)s < ENV_MAX ? state_names[s] : "invalid";
}

/* The only writer of the state: what the new state must not keep goes first. */
static void set_state(struct env_row *row, enum env_state to)
{
	if (row->state == to)
		return;
	assert(edges[row->state] & BIT(to));
	row->state = to;
	if (to == ENV_STOPPING)
		row->deadline_ns = 0;
	if (to == ENV_GONE)
		row->kill_at_ns = row->rekill_at_ns = row->left_until_ns = 0;
}

void env_started(struct env_row *row, int64_t deadline_ns)
{
	set_state(row, ENV_BUSY);
	row->deadline_ns = deadline_ns;
}

void env_never_started(struct env_row *row)
{
	set_state(row, ENV_GONE);
}

static int do_kill(struct env_row *row, struct evidence *ev, int64_t now_ns)
{
	set_state(row, ENV_STOPPING);
	row->kill_at_ns = row->left_until_ns = 0;
	row->rekill_at_ns = now_ns + REKILL_NS;
	row->kill_sent = true;
	if (!ev->verdict_known)
		ev->killed_by_us = true;
	return ENV_FX_KILL;
}

int env_interrupt(struct env_row *row, struct evidence *ev, int64_t now_ns)
{
	if (row->state == ENV_GONE || row->empty || (ev->verdict_known && row->kill_sent))
		return 0;
	if (!ev->verdict_known)
		ev->stopped_by_us = true;
	return do_kill(row, ev, now_ns);
}

int env_cancel(struct env_row *row, struct evidence *ev, int64_t now_ns)
{
	/* Left-overs that are waited for: the verdict stands, the waiting ends. */
	if (row->left_until_ns)
		return do_kill(row, ev, now_ns);
	if (row->state == ENV_GONE || row->state == ENV_LEFT || ev->verdict_known)
		return 0;
	ev->cancelled = true;
	return do_kill(row, ev, now_ns);
}

int env_left(struct env_row *row, struct evidence *ev, bool success, int64_t now_ns)
{
	/* In the grace after SIGTERM the leader's end ends the grace. */
	if (!success || row->leftovers == FUNC_LEFTOVERS_KILL || row->kill_at_ns)
		return do_kill(row, ev, now_ns);
	if (row->leftovers == FUNC_LEFTOVERS_WAIT) {
		if (now_ns >= row->limit_ns)
			return do_kill(row, ev, now_ns);
		row->left_until_ns = row->limit_ns;
		return 0;
	}
	ev->left_running = true;
	set_state(row, ENV_LEFT);
	return ENV_FX_OVER;
}

static int on_deadline(struct env_row *row, struct evidence *ev, int64_t now_ns)
{
	if (row->state != ENV_BUSY || ev->verdict_known)
		return 0;
	if (row->kill_grace_ms <= 0)
		return do_kill(row, ev, now_ns);
	set_state(row, ENV_STOPPING);
	row->kill_at_ns = now_ns + row->kill_grace_ms * NS_PER_MS;
	return ENV_FX_TERM;
}

static int verdict(struct evidence *ev, int64_t at_ns, int64_t now_ns)
{
	if (ev->verdict_known)
		return 0;
	ev->verdict_known = true;
	ev->verdict_ns = now_ns;
	if (!ev->ended_ns)
		ev->ended_ns = at_ns;
	return ENV_FX_VERDICT;
}

static int maybe_over(struct env_row *row)
{
	if (!row->leader_gone || !row->empty)
		return 0;
	set_state(row, ENV_GONE);
	return ENV_FX_OVER;
}

int env_step(struct env_row *row, struct evidence *ev, const struct fact *fact, int64_t now_ns)
{
	int fx = 0;

	if (row->state == ENV_GONE)
		return 0;
	switch (fact->kind) {
	case FACT_BPF_EXIT:
		/* The kernel's clock is the better one for the leader's end. */
		if (ev->bpf.env.exit_ns)
			ev->ended_ns = (int64_t)ev->bpf.env.exit_ns;
		return verdict(ev, fact->at_ns, now_ns);
	case FACT_WAIT:
		if (row->leader_gone)
			return 0;
		row->leader_gone = true;
		ev->have_wait = !fact->error;
		ev->wait_status = fact->error ? 0 : fact->wait_status;
		fx = verdict(ev, fact->at_ns, now_ns);
		row->limit_ns = row->deadline_ns;
		if (row->state != ENV_STOPPING)
			set_state(row, ENV_STOPPING);
		if (row->empty)
			return fx | maybe_over(row);
		/* Killed, and the kernel half will say when the last one is gone: asking now would only take a processor from
		 * those who are dying. Should its record be lost, the next kill's turn asks. */
		if (row->kill_sent && ev->bpf.seen && !(ev->bpf.env.flags & FATE_ENV_EMPTY))
			return fx;
		return fx | ENV_FX_CHECK_EMPTY;
	case FACT_POPULATED:
		/* Left-overs of a leader that is gone. After a kill of ours they are on their way out. */
		if (row->empty || !row->leader_gone || row->kill_sent || row->left_until_ns || row->state == ENV_LEFT)
			return 0;
		return ENV_FX_LEFT;
	case FACT_EMPTY:
		if (row->empty)
			return 0;
		row->empty = true;
		row->kill_at_ns = row->rekill_at_ns = row->left_until_ns = 0;
		ev->empty_ns = ev->bpf.seen && ev->bpf.env.empty_ns ? (int64_t)ev->bpf.env.empty_ns : fact->at_ns;
		return maybe_over(row);
	case FACT_BPF_EMPTY:
		/* A hint only: populated 0 is the leaf's own word. */
		return row->leader_gone && !row->empty ? ENV_FX_CHECK_EMPTY : 0;
	case FACT_BPF_DEADLINE:
		return on_deadline(row, ev, now_ns);
	case FACT_BPF_OOM:
		return 0;
	case FACT_EXEC_FAILED:
		ev->exec_failed = true;
		ev->exec_errno = fact->error;
		memcpy(ev->exec_step, fact->step, sizeof(ev->exec_step));
		ev->exec_step[sizeof(ev->exec_step) - 1] = '\0';
		return 0;
	case FACT_TOO_LARGE:
		if (ev->too_large)
			return 0;
		ev->too_large = true;
		return row->kill_sent ? 0 : do_kill(row, ev, now_ns);
	case FACT_TIMER:
		if (row->deadline_ns && now_ns >= row->deadline_ns) {
			row->deadline_ns = 0;
			if (!ev->verdict_known) {
				ev->deadline_by_timer = true;
				return on_deadline(row, ev, now_ns);
			}
		}
		if (row->kill_at_ns && now_ns >= row->kill_at_ns)
			return do_kill(row, ev, now_ns);
		if (row->left_until_ns && now_ns >= row->left_until_ns)
			return do_kill(row, ev, now_ns);
		if (row->rekill_at_ns && now_ns >= row->rekill_at_ns && !row->empty)
			return do_kill(row, ev, now_ns) | ENV_FX_CHECK_EMPTY;
		return 0;
	case FACT_INVALID:
		break;
	}
	return 0;
}

int64_t env_next_timer_ns(const struct env_row *row)
{
	int64_t t = INT64_MAX;

	if (row->deadline_ns)
		t = MIN(t, row->deadline_ns);
	if (row->kill_at_ns)
		t = MIN(t, row->kill_at_ns);
	if (row->left_until_ns)
		t = MIN(t, row->left_until_ns);
	if (row->rekill_at_ns && !row->empty)
		t = MIN(t, row->rekill_at_ns);
	return t;
}
