/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the engine asks of the function's log. Never fails as far as the engine is concerned; never blocks on fsync. */
#include <stddef.h>
#include <stdint.h>

struct port_log;
struct port_log_ops {
	/* START RequestId: … Version: … */
	void (*start)(struct port_log *l, uint64_t cgroup_id, const char *function, const char *request_id, int attempt);
	/* stderr as it comes; the log splits it into lines. */
	void (*output)(struct port_log *l, uint64_t cgroup_id, const char *data, size_t len);
	/* END and REPORT lines. summary: Lambda's words after the id ("Duration: …\tBilled Duration: …"). */
	void (*end)(struct port_log *l, uint64_t cgroup_id, const char *summary);
};
struct port_log { const struct port_log_ops *ops; };
