/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Lives of a daemon's engine over the real SQLite store, on a disk that can break (lib/disk.h), with small ports for the rest
 * and a clock of its own. Each life is a process: it may be ended by anything at any instant. What is outside of a daemon (the
 * kernel with its processes, targets, clients with what they were told) is in memory that the lives share, so it goes on.
 *
 * A life first checks what the one before had promised against the store as it is found, then starts an engine, lets clients
 * call it, and goes on until nothing is left to do. Then, if it was asked to, it checks all that must have come true.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/id.h"
#include "model/fact.h"

/* A life costs so much more with sanitizers: a test takes a sample of its faults then. */
#ifdef __SANITIZE_ADDRESS__
#define LIFE_COST 5
#else
#define LIFE_COST 1
#endif

/* How a life ended: its exit status. Others, and signals, come from whatever the test does to it. */
enum life_end {
	LIFE_RESTED = 10,	/* all was done */
	LIFE_REFUSED,		/* it could not start, and said why */
	LIFE_IN_DOUBT,		/* the store fails again and again: it would wait for it for ever */
	LIFE_LOST_POWER,
	LIFE_WRONG,		/* a promise was not kept: life.why */
};
const char *life_end_name(int status);	/* as waitpid() gives it; static buffer */

enum life_call { LIFE_NO_CALL, LIFE_STORE_CALL, LIFE_HOST_CALL };	/* to the store's port; to launcher and observer */

struct life_plan {
	int calls;			/* clients' in all lives together: this one ends with the last of them at least */
	bool check;			/* all that must have come true */
	/* The n-th call of a kind fails, or all from it on. */
	enum life_call fails;
	int n;
	bool sticky;
	/* In the process of the life; may be NULL. */
	void (*arm)(void *arg);		/* before it opens anything */
	void (*started)(void *arg);	/* the engine has recovered, and has not turned yet */
	void (*done)(void *arg);	/* once it rests or is in doubt: what follows meets no faults */
	void *arg;
};

enum { LIFE_PROCS = 1024, LIFE_WORDS = 4096, LIFE_SENDS = 2048 };

/* What somebody outside was told, or has seen, in that order. */
enum life_said {
	SAID_NOTHING, SAID_ACCEPTED, SAID_STARTED, SAID_ENDED, SAID_CANCELLED, SAID_ACKED, SAID_REFUSED, SAID_DROPPED,
	SAID_PUBLISHED, SAID_ALIAS,
};
struct life_word { enum life_said what; char id[64]; int number; };

struct life_proc {
	uint64_t cgroup_id;
	char request_id[ID_UUID_LEN + 1], function[65];
	int attempt, status, life;
	bool started, alive, released, kept, adopted, watched, asked, told_wait, told_empty, told_exit, told_deadline;
	int64_t end_ns;
	struct fact_bpf entry;		/* seen: it is there */
};
struct life_send { int64_t seq, answer_ns; int role, life; char key[64]; bool pending; };

struct life {			/* shared by all lives */
	uint64_t seed, rng;
	int64_t now_ns, booted_ms;
	char boot_id[ID_UUID_LEN + 1];
	bool rebooted;
	int lives, calls;
	struct life_proc procs[LIFE_PROCS];
	int n_procs;
	struct life_word words[LIFE_WORDS];
	int n_words;
	struct life_send sends[LIFE_SENDS];
	int n_sends;
	bool failed;			/* a call that was to fail did */
	int calls_seen;			/* of the kind that fails, this life's */
	char why[512];
	/* added up over all lives of the test */
	int accepted, adopted, interrupted, host_faults, events, redriven, parked;
};

struct life *life_new(void);
void life_begin(struct life *l, uint64_t seed);	/* a new world: an empty store, nothing runs */
int life_live(struct life *l, const struct life_plan *plan);	/* waitpid()'s status */
/* Processes and what the kernel knew of them are gone, the boot is another. */
void life_reboot(struct life *l);
void life_free(struct life *l);			/* and its files */
const char *life_path(void);			/* of the store */
/* What the last life wrote to stderr. Static. */
const char *life_stderr(void);
/* Fails the test (lib/test.h's FAIL is the caller's) unless status is among the ends allowed, a set of 1 << (end - LIFE_RESTED).
 * Returns NULL when it is, else a sentence. Static. */
const char *life_judge(const struct life *l, int status, unsigned int allowed);
#define LIFE_MAY(end) (1u << ((end) - LIFE_RESTED))
