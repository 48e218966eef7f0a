/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One environment: a process tree in a leaf cgroup. A machine of its own, apart from the invocation's. */
#include <stdint.h>

#include "model/fact.h"
#include "model/func.h"

enum env_state { ENV_STARTING = 0, ENV_IDLE, ENV_BUSY, ENV_STOPPING, ENV_GONE, ENV_LEFT, ENV_MAX };
const char *env_state_name(enum env_state s);

struct env_row {
	enum env_state state;
	int64_t deadline_ns;		/* our own timer; 0 = none */
	int64_t kill_at_ns;		/* STOPPING after SIGTERM: when the grace ends; 0 = no grace running */
	int64_t rekill_at_ns;		/* STOPPING: kill again when still not empty; 0 = none */
	int64_t left_until_ns;		/* STOPPING: left-overs may go on until then; 0 = they may not */
	int kill_grace_ms;
	enum func_leftovers leftovers;
	int64_t limit_ns;		/* the deadline as it was when the leader ended: of left-overs that are waited for */
	bool leader_gone;		/* by the second witness (or it never started) */
	bool empty;			/* populated 0 */
	bool kill_sent;
};

/* What the engine must do, a set. */
enum env_effect {
	ENV_FX_VERDICT = 1,	/* the leader's end is known for the first time: judge now, finish later */
	ENV_FX_TERM = 2,	/* SIGTERM to the tree */
	ENV_FX_KILL = 4,	/* cgroup.kill */
	ENV_FX_CHECK_EMPTY = 8,	/* ask the leaf whether it is populated; the answer comes back as FACT_EMPTY or not at all */
	ENV_FX_OVER = 16,	/* leader reaped and leaf empty: the attempt is over */
	ENV_FX_LEFT = 32,	/* processes are left though the leader ended: count them; ask env_left() what becomes of them */
};
/* STARTING → BUSY: clone3 succeeded. deadline_ns: our own timer's, 0 = none. */
void env_started(struct env_row *row, int64_t deadline_ns);
/* The daemon stops: returns ENV_FX_KILL, or 0 when the leader's end is known anyway. */
int env_interrupt(struct env_row *row, struct evidence *ev, int64_t now_ns);
/* The answer to ENV_FX_LEFT. success: the leader's verdict. Returns ENV_FX_KILL, 0 (they are waited for), or ENV_FX_OVER:
 * settle now, the environment is ENV_LEFT until FACT_EMPTY gives ENV_FX_OVER once more. */
int env_left(struct env_row *row, struct evidence *ev, bool success, int64_t now_ns);
/* Somebody wants the attempt ended: as env_interrupt(), 0 when it is ending by itself. */
int env_cancel(struct env_row *row, struct evidence *ev, int64_t now_ns);
/* STARTING → GONE: nothing was started. */
void env_never_started(struct env_row *row);
/* Pure. Merges the fact into ev and the row. Late and repeated facts are harmless. */
int env_step(struct env_row *row, struct evidence *ev, const struct fact *fact, int64_t now_ns);
/* When env_step wants a FACT_TIMER next; INT64_MAX = never. */
int64_t env_next_timer_ns(const struct env_row *row);
