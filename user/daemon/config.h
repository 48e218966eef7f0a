/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The daemon's settings. One row each (config.c), read by everything: JSON file, environment, command line, the
 * sample file, --help, reload. Command line goes before environment, before file, before default.
 *
 *   fated --config FILE --StateDirectory=/srv/fated     FATED_CONFIG, FATED_STATE_DIRECTORY     {"StateDirectory": …}
 *
 * A missing file is an error only when it was named. On the command line and in the environment, upper and lower
 * case, - and _ make no difference in a key's name.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/log.h"
#include "model/func.h"

enum config_verb {
	CONFIG_RUN = 0,
	CONFIG_HELP,		/* --help: config_help() */
	CONFIG_VERSION,		/* --version */
	CONFIG_SAMPLE,		/* --sample-config: config_sample() */
};

struct config {
	enum config_verb verb;
	char *file;			/* what was read; NULL = no file, all defaults */
	char *state_dir, *run_dir, *log_dir, *functions_dir, *bpf_dir;	/* absolute, no slash at the end */
	char *cgroup_root;		/* absolute, or "" = find it */
	char *region;
	char *socket_group;		/* "" = root alone */
	int concurrency_max;		/* environments that run at a time */
	int queue_max;			/* open asynchronous events */
	int window_max;			/* of those, held in memory */
	int64_t window_bytes;
	int lease_s;
	int retain_s;			/* 0 = for ever */
	int64_t retain_bytes;		/* 0 = no limit */
	bool keep_running;
	int environments_max;		/* entries of the kernel map; ≥ concurrency_max */
	int64_t ring_bytes;		/* a power of two */
	int stop_grace_ms;
	bool record_fate;
	bool fallback;			/* Observer: "fallback" */
	bool reload_on_change;
	enum log_level log_level;
	int64_t function_log_bytes;	/* per file */
	int function_log_files;		/* old ones kept; 0 = none */
	int function_log_max_age_s;	/* 0 = no bound */
};

/*
 * argv[0] is skipped; envp as in environ, may be NULL. Reads the configuration file, nothing else.
 * 0: *ret is filled, the caller owes config_done(). -EINVAL: problems has all of them, *ret is left alone; a
 * problem's path is "FILE: $.Key", "--Key" or "FATED_KEY". With --help, --version or --sample-config only the verb
 * counts, and problems are not looked for.
 */
int config_load(int argc, char *const *argv, char *const *envp, struct config *ret, struct func_problems *problems);
void config_done(struct config *c);

/* Reload: moves what may change at run time from next to cur and frees the rest of next. Settings that differ and
 * may not change are reported (path = key). Returns how many settings of cur changed. */
int config_reload(struct config *cur, struct config *next, struct func_problems *ret_need_restart);

/* Every setting with its default and help; config_load() can read it. */
void config_sample(FILE *f);
void config_help(FILE *f);

/* The rows, for whoever shows them. */
enum config_type { CONFIG_STRING, CONFIG_INT, CONFIG_INT64, CONFIG_SECONDS, CONFIG_BOOL, CONFIG_LEVEL, CONFIG_OBSERVER };
struct config_row {
	const char *key;
	enum config_type type;
	size_t place;			/* offset in struct config: char *, int, int64_t, int (ms), bool, enum log_level, bool */
	const char *def;		/* as on the command line */
	double min, max;		/* of numbers; of strings, bytes */
	const char *(*check)(const struct config_row *row, const char *s);	/* strings: NULL = fine, else why not */
	bool power_of_two;
	bool reloadable;
	const char *help;
};
extern const struct config_row config_rows[];
extern const size_t config_rows_n;
