/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the engine asks of the function's log. Never fails as far as the engine is concerned; never blocks on fsync. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One attempt's end, for the daemon's own log. */
struct log_outcome {
	const char *function, *request_id;
	int attempt;
	uint64_t cgroup_id;	/* 0 = it never had an environment, or it is not known any more */
	bool hosts_fault;	/* worth a warning: not the function's doing */
	const char *verdict;	/* "Timeout" */
	const char *text;	/* how it came about, a sentence's tail: "exit status 3 after 12.345 ms" */
};

struct port_log;
struct port_log_ops {
	/* START RequestId: … Version: … */
	void (*start)(struct port_log *l, uint64_t cgroup_id, const char *function, const char *request_id, int attempt);
	/* stderr as it comes; the log splits it into lines. */
	void (*output)(struct port_log *l, uint64_t cgroup_id, const char *data, size_t len);
	/* END and REPORT lines. summary: Lambda's words after the id ("Duration: …\tBilled Duration: …"). */
	void (*end)(struct port_log *l, uint64_t cgroup_id, const char *summary);
	/* Of every attempt, once, whether it ran or not. Not written to the function's log. */
	void (*outcome)(struct port_log *l, const struct log_outcome *o);
};
struct port_log { const struct port_log_ops *ops; };
