/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What doctor's parts share: findings, and the judges, which are functions of texts and numbers and touch nothing. */
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cjson/cJSON.h>

enum doc_mark { DOC_OK, DOC_WARN, DOC_FAIL };

/* remedy: a sentence or a command; NULL with DOC_OK, never otherwise. */
struct doc_finding { enum doc_mark mark; const char *check; char *found, *remedy; };	/* check: a literal */
struct doc_list { struct doc_finding *list; size_t n; };

void doc_list_done(struct doc_list *l);
void doc_list_move(struct doc_list *to, struct doc_list *from);	/* to its end; from is empty then */
/* remedy is copied, and dropped with DOC_OK. */
void doc_add(struct doc_list *l, enum doc_mark mark, const char *check, const char *remedy, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));
/* A warning: what could not be looked at, and why (a negative errno). */
void doc_unseen(struct doc_list *l, const char *check, const char *what, int code);
size_t doc_count(const struct doc_list *l, enum doc_mark mark);
const char *doc_mark_word(enum doc_mark mark);		/* "ok", "warn", "fail" */

/* ---- texts of /proc and /sys (ctl_doctor_text.c) */
struct doc_mount { char point[PATH_MAX], type[32], options[256]; };	/* options: the super block's */
/* Reads the line at text of /proc/self/mountinfo; returns the next line, NULL at the end. type is "" on a line that makes
 * no sense. */
const char *doc_mount_next(const char *text, struct doc_mount *ret);
/* The mount that shows path (absolute, no links in it): of the deepest mount points the last. False: none. */
bool doc_mount_of(const char *mountinfo, const char *path, struct doc_mount *ret);
/* True when a list separated by `separators` (spaces, commas) has the word. */
bool doc_has_word(const char *list, const char *word, const char *separators);
/* What follows "name:" or "name " in a file of lines, up to the line's end, in ret. False: no such line. */
bool doc_line(const char *text, const char *name, char *ret, size_t size);

/* bad: what an obstacle to eBPF is. DOC_WARN when the daemon gets along without. */
void doc_judge_kernel(struct doc_list *l, const char *release, const char *machine, enum doc_mark bad);
void doc_judge_lockdown(struct doc_list *l, const char *lockdown, enum doc_mark bad);	/* NULL: the kernel has none */
void doc_judge_unprivileged(struct doc_list *l, const char *unprivileged_bpf_disabled);
void doc_judge_bpffs(struct doc_list *l, const char *mountinfo, const char *filesystems, const char *pin_dir, bool running,
		     enum doc_mark bad);
/* v2_controllers: cgroup.controllers at the mount point of cgroup v2, "" when it could not be read. */
void doc_judge_cgroups(struct doc_list *l, const char *mountinfo, const char *proc_cgroups, const char *v2_controllers);
/* status: /proc/PID/status of the daemon, or of this process. */
void doc_judge_privileges(struct doc_list *l, const char *status, bool is_daemon);
void doc_judge_socket_group(struct doc_list *l, bool root, bool exists, bool member);
/* state, status, max_error_us: as adjtimex() gives them. */
void doc_judge_clock(struct doc_list *l, int state, int status, long max_error_us);
void doc_judge_clocksource(struct doc_list *l, const char *current);
void doc_judge_core_pattern(struct doc_list *l, const char *pattern);
void doc_judge_open_files(struct doc_list *l, const char *limits, int64_t concurrency);
void doc_judge_store_fs(struct doc_list *l, const char *dir, const struct doc_mount *m);
void doc_judge_space(struct doc_list *l, const char *dir, uint64_t free_bytes, uint64_t total_bytes, uint64_t free_inodes,
		     uint64_t total_inodes);
/* Of a directory or file whose owner decides what runs as root; what: "the directory", a file's name. False: added a finding. */
bool doc_judge_owner(struct doc_list *l, const char *check, const char *path, unsigned int mode, unsigned int uid,
		     unsigned int gid);

/* ---- the daemon's status (ctl_doctor_daemon.c) */
struct doc_pins { int maps_missing; char missing[64]; int programs, links; };	/* missing: the first one's name */
bool doc_is_fallback(const cJSON *status);
void doc_judge_version(struct doc_list *l, const char *daemon, const char *own);
void doc_judge_life(struct doc_list *l, const cJSON *status);
void doc_judge_observer(struct doc_list *l, const cJSON *status);
void doc_judge_pins(struct doc_list *l, const char *dir, const struct doc_pins *p, const cJSON *status);
void doc_judge_limits(struct doc_list *l, const cJSON *status);
void doc_judge_engine(struct doc_list *l, const cJSON *status);
void doc_judge_deliveries(struct doc_list *l, const cJSON *status);
void doc_judge_time(struct doc_list *l, const cJSON *status);	/* the wall clock against the engine's */
void doc_judge_definitions(struct doc_list *l, const cJSON *status);

/* ---- looking (ctl_doctor_host.c); status NULL: the daemon does not answer */
void doc_look_at_kernel(struct doc_list *l, const cJSON *status);
void doc_look_at_cgroups(struct doc_list *l);
void doc_look_at_host(struct doc_list *l);
void doc_look_at_access(struct doc_list *l, const cJSON *status);	/* privileges and the socket's group */
void doc_look_at_pins(struct doc_list *l, const cJSON *status);
void doc_look_at_files(struct doc_list *l, const cJSON *status);	/* store, definitions */
void doc_look_at_process(struct doc_list *l, const cJSON *status);
