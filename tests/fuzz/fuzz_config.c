/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's configuration file, read before anything else by a root process: a configuration within its bounds,
 * or problems, never both. The text goes through config_load() itself, from a file in memory.
 */
#include "daemon/config.h"

#include <sys/mman.h>

#include "base/buf.h"
#include "base/json.h"
#include "fuzz/fuzz.h"

static void check_string(const struct config_row *row, const char *s)
{
	MUST(s && strlen(s) >= row->min && strlen(s) <= row->max);
	MUST(!row->check || !row->check(row, s));
}

static void check_good(const struct config *c)
{
	for (size_t i = 0; i < config_rows_n; i++) {
		const struct config_row *row = &config_rows[i];
		const void *at = (const char *)c + row->place;

		switch (row->type) {
		case CONFIG_STRING:
			check_string(row, *(char *const *)at);
			break;
		case CONFIG_INT:
			MUST(*(const int *)at >= row->min && *(const int *)at <= row->max);
			break;
		case CONFIG_INT64:
			MUST((double)*(const int64_t *)at >= row->min && (double)*(const int64_t *)at <= row->max);
			MUST(!row->power_of_two || !(*(const int64_t *)at & (*(const int64_t *)at - 1)));
			break;
		case CONFIG_SECONDS:
			MUST(*(const int *)at >= row->min * 1000 && *(const int *)at <= row->max * 1000);
			break;
		case CONFIG_LEVEL:
			MUST(*(const enum log_level *)at <= LOG_DBG);
			break;
		case CONFIG_BOOL:
		case CONFIG_OBSERVER:	/* a string in the file, of two; a bool here */
			break;
		}
	}
	MUST(c->environments_max >= c->concurrency_max);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	static char path[64];
	char *argv[] = { (char *)"fated", (char *)"--config", path, NULL };
	struct func_problems problems = {};
	struct config c = {};
	int r;

	if (fd < 0) {
		fd = memfd_create("fuzz_config", MFD_CLOEXEC);
		MUST(fd >= 0);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	}
	MUST(ftruncate(fd, 0) == 0 && pwrite(fd, data, size, 0) == (ssize_t)size);
	r = config_load(3, argv, NULL, &c, &problems);
	MUST((r == 0) == (c.file != NULL) && (r == 0) == (problems.n == 0));
	if (r == 0)
		check_good(&c);
	for (size_t i = 0; i < problems.n; i++) {
		struct buf b = {};

		MUST(problems.list[i].path[0] && problems.list[i].reason[0]);
		MUST(json_add_string(&b, problems.list[i].path, strlen(problems.list[i].path)) == 0);
		buf_done(&b);
	}
	config_done(&c);
	func_problems_done(&problems);
	return 0;
}
