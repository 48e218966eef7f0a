/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Locks what fd is for its owner alone (flock): the lock goes with the last copy of the descriptor, so whoever was killed
 * holds nothing. A child cloned just before that has copies until it closes all (launch/launch_plan.c), hence the patience
 * of at most a second. May block for that long: for start-up alone. Returns 0, -EWOULDBLOCK (held by another), -errno. */
int lock_take(int fd);
