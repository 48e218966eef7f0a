/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Time and chance, so that one seed can replay a run. */
#include <stdint.h>

#include "base/id.h"

struct port_clock {
	void *self;
	int64_t (*mono_ns)(void *self);
	int64_t (*wall_ms)(void *self);
	uint64_t (*random64)(void *self);
	/* Since the boot, suspends included (CLOCK_BOOTTIME): nobody sets it. */
	int64_t (*boot_ms)(void *self);
	char boot_id[ID_UUID_LEN + 1];	/* of this boot: /proc/sys/kernel/random/boot_id */
};
