/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the launcher's files share: launch.c, the life of an environment of ours; launch_adopt.c, what an earlier daemon left. */
#include <systemd/sd-event.h>

#include "base/buf.h"
#include "base/id.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "cgroup/cg_events.h"
#include "cgroup/cg_leaf.h"
#include "launch/launch.h"
#include "launch/launch_kit.h"
#include "launch/launch_plan.h"
#include "sys/sys_calls.h"
#include "sys/sys_spawn.h"

/* What came back under one name, not adopted yet. */
struct kept_group {
	const char *name;		/* the list's */
	uint64_t id;			/* of its leaf; 0 = there is none */
	struct launch_kept *v;
	size_t n;
	bool taken;			/* adopted, or given up */
};

struct launch {
	struct port_launch port;
	unsigned int reap_max_ms;
	sd_event *loop;
	struct cg_tree *tree;
	struct fact_sink sink;
	struct launch_host host;
	struct sys_spawner *spawner;
	struct cg_events *events;
	struct strmap users;
	struct strmap *retired;	/* users as they were before a reload */
	size_t n_retired;
	int reserved[LAUNCH_ERROR_FD + 1];	/* keep our descriptors above those the child's are put on */
	const struct launch_keeper *keeper;	/* NULL = nothing is kept */
	struct launch_kept_list kept;		/* sorted by name */
	struct kept_group *groups;
	size_t n_groups;
	struct map adopted;		/* cgroup id → struct env_proc */
	struct env_proc *abandoned;	/* children between clone and exec may still read their plans */
	unsigned int keep_after_ms;
	uint64_t keep_failed;
};

struct env_proc {
	struct launch *l;
	struct func *func;
	struct cg_leaf leaf;
	struct launch_plan plan;
	struct sys_spawn spawn;
	struct blob *payload;
	char *cgroup_path;
	char request_id[ID_UUID_LEN + 1], id_text[24];	/* for the log; the leaf's id as text */
	unsigned int attempt;
	int child_fds[4];			/* until the start */
	struct launch_kit kit;			/* its pidfd is the spawn's */
	sd_event_source *source[KIT_PIPES], *child, *late, *keep_timer;
	struct buf out, report;			/* when nothing is to be kept: else they are in the kit */
	struct cg_above_mark above;		/* taken just before the start */
	unsigned int missing;			/* set of enum fact_missing */
	int watch;				/* of the leaf's emptiness; -1 = none */
	bool started, too_large, withheld;
	bool mem;				/* output goes to the kit's memory files */
	bool stored;				/* the keeper has the kit: its removal is owed */
	bool adopted;
	struct env_proc *next;			/* of the abandoned */
};

static inline struct launch *as_launch(struct port_launch *p)
{
	return container_of(p, struct launch, port);
}

/* The ids of a log line about p, which has the strings. */
#define IDS(p) (&(struct log_ctx){ .function = (p)->func->name, .request_id = (p)->request_id, .env = (p)->id_text, \
				   .attempt = (p)->attempt })

/* launch.c */
struct env_proc *launch_env_new(struct launch *l, struct func *func, const char *request_id, int attempt);
/* leaf is set: what is told of it. */
void launch_env_named(struct env_proc *p, const struct cg_limits *limits);
struct cg_limits launch_env_limits(const struct func *f, int memory_mb);
int launch_env_sources(struct env_proc *p, struct err *e);		/* of the pipes that have not ended */
int launch_env_child_source(struct env_proc *p, struct err *e);
int launch_env_keep(struct env_proc *p);				/* gives the kit to the keeper */
void launch_env_too_large(struct env_proc *p);				/* told once */
void launch_env_close(struct env_proc *p);				/* sources and descriptors; the leaf and memory stay */
void launch_env_free(struct env_proc *p);				/* NULL is fine */

/* launch_adopt.c: the port's, and what launch_new() and launch_free() need. */
void launch_kept_take(struct launch *l, struct launch_kept_list *kept);
void launch_kept_free(struct launch *l);
void launch_abandon(struct port_launch *port, struct env_proc *p);
int launch_adopt(struct port_launch *port, const struct launch_adopt *a, struct env_proc **ret, struct err *e);
int launch_reap(struct port_launch *port, void (*gone)(void *arg, uint64_t cgroup_id, const char *name), void *arg, struct err *e);
