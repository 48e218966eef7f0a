/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The kernel half from the daemon's side: loads it, keeps it pinned, turns its records into facts. */
#include <stdbool.h>
#include <stdint.h>

#include <cjson/cJSON.h>
#include <systemd/sd-event.h>

#include "base/err.h"
#include "engine/port_launch.h"
#include "engine/port_observe.h"

/* On the loop before child exits (which should use SD_EVENT_PRIORITY_IMPORTANT): the entry's status, sender and
 * times are then known when waitid() reports. Only runtime replies may come before it. */
#define OBSERVE_PRIORITY (SD_EVENT_PRIORITY_IMPORTANT - 50)

#define OBSERVE_RING_BYTES_DEFAULT (1u << 20)
#define OBSERVE_ENVIRONMENTS_DEFAULT 1024u

/* observe_config.without: act as on a kernel that lacks these. For tests, and for a kernel that has them broken. */
#define OBSERVE_WITHOUT_GROUP_DEAD 1u
#define OBSERVE_WITHOUT_FENTRY 2u

struct observe_config {
	const char *bpf_dir;		/* NULL: FATE_DEFAULT_BPF_DIR */
	uint64_t root_cgroup_id;	/* the directory whose direct children are the environments' leaves */
	uint32_t root_level;		/* its depth below the cgroup2 hierarchy's root, which is 0 */
	uint32_t ring_bytes;		/* rounded up to a power of two of pages; 0: default */
	uint32_t max_environments;	/* watched at once; 0: default */
	uint32_t without;		/* OBSERVE_WITHOUT_* */
};

struct observe;

/*
 * Loads, pins and attaches the kernel half and puts its ring on the loop; sink (copied) gets facts from then on.
 * What an earlier daemon left pinned with the same layout is taken over: entries, counters and unread records stay,
 * programs are replaced without a gap. Another layout's pins are set aside and read until all they hold is settled.
 * -EOPNOTSUPP: the kernel lacks something, named in e with the way to get it. -EPERM: privilege. -EBUSY: another
 * daemon has bpf_dir. On failure nothing new is left behind, except a bpffs that had to be mounted.
 */
int observe_new(sd_event *loop, const struct observe_config *cfg, const struct fact_sink *sink, struct observe **ret,
		struct err *e);

/* For who does without: detaches what an earlier daemon left pinned and removes it. True when there was anything. */
bool observe_remove(const char *bpf_dir);

/* Owned by the observer. */
struct port_observe *observe_port(struct observe *o);

/* unpin false: the kernel half stays attached and goes on writing entries for the next daemon. true: everything is
 * removed but the mount. NULL is fine. Returns NULL. */
struct observe *observe_free(struct observe *o, bool unpin);

/* Adds members to the object: features in use, events by kind, drops on both sides, entries, pin directory. */
void observe_status(const struct observe *o, cJSON *into);

/* For tests and tools: descriptors stay the observer's. */
int observe_map_fd(const struct observe *o, const char *name);	/* -ENOENT */
