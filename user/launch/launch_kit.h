/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The descriptors of one environment that outlive the daemon, and how the next daemon knows them again. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/blob.h"
#include "base/err.h"
#include "launch/launch_keep.h"

enum { KIT_OUT, KIT_ERR, KIT_REPORT, KIT_PIPES };	/* our ends of the pipes */
enum { KIT_MEM_OUT, KIT_MEM_REPORT, KIT_MEMS };		/* memory files: what was read of stdout and of the report */
#define KIT_FDS (KIT_PIPES + KIT_MEMS + 1)
_Static_assert(KIT_FDS <= LAUNCH_KEEP_FDS_MAX, "one message holds a kit");

struct launch_kit {
	int pipe[KIT_PIPES];
	int mem[KIT_MEMS];
	size_t mem_len[KIT_MEMS];	/* bytes of the function's in there */
	bool mem_cut[KIT_MEMS];		/* there were more, and they are lost */
	int pidfd;
};
#define KIT_NONE ((struct launch_kit){ .pipe = { -9, -9, -9 }, .mem = { -9, -9 }, .pidfd = -9 })

struct kit_owner {
	uint64_t cgroup_id;
	const char *request_id;		/* ID_UUID_LEN at most */
	int attempt;
	int pid;			/* the leader's; not needed to recognise */
};

/* Makes the memory files; closes what it made when it fails. */
int kit_mems(struct launch_kit *k, struct err *e);
/* Writes into them whose they are. All descriptors of the kit must be there, but for pipes that have ended. Keeps what is
 * in the files already. Negative errno. */
int kit_label(const struct launch_kit *k, const struct kit_owner *o);
int kit_store(const struct launch_kit *k, const struct launch_keeper *keeper, const char *name);
/*
 * Moves what is in the pipe into the memory file and counts it. Each byte is in one of the two at any moment, so whoever
 * dies here has lost none. > 0 bytes moved; 0 the pipe has ended; -EAGAIN nothing there; -ENOBUFS the file is full: it
 * holds as much as is ever asked for, read on into nothing. Any other: mem_cut is set, and told to those after us.
 */
ssize_t kit_move(struct launch_kit *k, int mem);
/* All so far. 0 and NULL: nothing; else negative errno. */
int kit_read(const struct launch_kit *k, int mem, struct blob **ret);
/*
 * Which is which, of n descriptors that came back under one name. Everything about them may be a lie. -ENOENT with a
 * sentence: they are not this owner's kit, complete and without doubt. The descriptors stay the list's: take them out of
 * it (fd = -EBADF) on success.
 */
int kit_recognise(const struct launch_kept *v, size_t n, const struct kit_owner *o, struct launch_kit *ret, struct err *e);
void kit_close(struct launch_kit *k);
