/* SPDX-License-Identifier: Apache-2.0 */
/* argv, configuration, preflight, start. Everything else is the manager's. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>

#include "base/log.h"
#include "base/mem.h"
#include "daemon/config.h"
#include "daemon/manager.h"
#include "fate_abi.h"
#include "launch/launch_keep.h"
#include "ops/journal.h"

static int preflight(void)
{
	if (geteuid() != 0) {
		fprintf(stderr, "fated: must run as root: it makes cgroups, loads BPF programs and starts functions under "
			"other users\n");
		return -EPERM;
	}
	return 0;
}

static void block_signals(void)
{
	sigset_t set;

	/* Taken from the loop as sd-event sources; the launcher gives its children an empty mask. */
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
}

int main(int argc, char **argv)
{
	CLEAN(config_done) struct config cfg = {};
	CLEAN(launch_kept_done) struct launch_kept_list kept = {};
	struct func_problems problems = {};
	struct manager *m = NULL;
	sd_event *loop = NULL;
	struct err e = {};
	int r;

	/* Before anything else opens descriptors. */
	launch_keep_received(&kept);
	r = config_load(argc, argv, environ, &cfg, &problems);
	if (r < 0) {
		for (size_t i = 0; i < problems.n; i++)
			fprintf(stderr, "fated: configuration: %s: %s\n", problems.list[i].path, problems.list[i].reason);
		func_problems_done(&problems);
		return 2;
	}
	switch (cfg.verb) {
	case CONFIG_HELP:
		config_help(stdout);
		return 0;
	case CONFIG_VERSION:
		printf("fated %s\n", FATED_VERSION);
		return 0;
	case CONFIG_SAMPLE:
		config_sample(stdout);
		return 0;
	case CONFIG_RUN:
		break;
	}
	if (preflight() < 0)
		return 1;
	log_set_level(cfg.log_level);
	journal_log_open();
	block_signals();

	r = sd_event_default(&loop);
	if (r < 0) {
		log_error("event loop: %s", strerror(-r));
		return 1;
	}
	r = manager_new(&cfg, loop, &kept, &m, &e);
	if (r < 0) {
		log_error("cannot start: %s", err_msg(&e));
		sd_notifyf(0, "STATUS=cannot start: %s\nERRNO=%d", err_msg(&e), -r);
		sd_event_unref(loop);
		return 1;
	}
	r = manager_run(m);
	manager_free(m);
	sd_event_unref(loop);
	return r < 0 ? 1 : 0;
}
