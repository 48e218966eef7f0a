/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The pin directory: DIR/fate_env … (maps), DIR/prog/NAME, DIR/link/NAME. It is ours alone: what we do not know in it
 * is removed, but for what the kernel itself puts into a fresh bpffs (names with a dot).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct bpf_map;

#define OBS_PIN_PROG "prog"
#define OBS_PIN_LINK "link"

/* Makes dir on a bpffs, mounting one when it is not on any: at /sys/fs/bpf for paths below that, else at dir itself.
 * The mount stays. *ret_fd: the directory, locked against a second daemon while open; the caller closes it.
 * -EBUSY: another daemon has it. */
int obs_pin_open(const char *dir, int *ret_fd, struct err *e);

/* "dir/sub/name"; sub may be NULL. -ENAMETOOLONG when it does not fit. */
int obs_pin_path(const char *dir, const char *sub, const char *name, char *ret, size_t size);

/* The layout version the pins were made with; 0 = there are none, or none that can be told. */
uint32_t obs_pin_layout(const char *dir);

/* A descriptor of the pinned map when it is of m's type, key and value size, and max_entries is as asked (0: any).
 * -ENOENT: not there. -ESTALE: there, and different. */
int obs_pin_get_map(const char *dir, const struct bpf_map *m, uint32_t max_entries, uint32_t *ret_max_entries);

/* Pins fd as name_<generation> below sub: what is not in force yet. (bpffs refuses dots in names.) */
int obs_pin_new(const char *dir, const char *sub, const char *name, uint32_t generation, int fd, struct err *e);
/* name_<generation> becomes name, atomically; the old one's reference is dropped. */
int obs_pin_commit(const char *dir, const char *sub, const char *name, uint32_t generation, struct err *e);
/* Removes what obs_pin_new() made for that generation and obs_pin_commit() has not renamed. */
void obs_pin_abandon(const char *dir, const char *sub, uint32_t generation);

/* Removes from dir/sub (sub NULL: from dir, files only) all but what keep() says; keep NULL: all. */
void obs_pin_sweep(const char *dir, const char *sub, bool (*keep)(void *arg, const char *name), void *arg);
#define OBS_PIN_OLD "v"		/* and the layout version: pins of another layout */

/* Moves all pins to DIR/v<layout>, fate_meta last: it is what they are known by, should we die on the way. */
int obs_pin_set_aside(const char *dir, uint32_t layout, struct err *e);
/* Calls fn with the path of each directory DIR/v<layout>. */
void obs_pin_each_old(const char *dir, void (*fn)(void *arg, const char *path), void *arg);

/* Removes all pins; links first, so that nothing runs on maps that are gone. */
void obs_pin_clear(const char *dir);
/* The same and the directories, DIR/v<layout> included. */
void obs_pin_remove(const char *dir);
