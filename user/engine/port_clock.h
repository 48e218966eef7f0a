/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Time and chance, so that one seed can replay a run. */
#include <stdint.h>

struct port_clock {
	void *self;
	int64_t (*mono_ns)(void *self);
	int64_t (*wall_ms)(void *self);
	uint64_t (*random64)(void *self);
};
