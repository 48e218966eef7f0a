/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Versions, paths and hard limits that every program of fated shares. */

#define FATED_VERSION "0.1.0"

#define FATE_DEFAULT_CONFIG "/etc/fated/fated.json"
#define FATE_DEFAULT_FUNCTIONS_DIR "/etc/fated/functions.d"
#define FATE_DEFAULT_STATE_DIR "/var/lib/fated"
#define FATE_DEFAULT_RUN_DIR "/run/fated"
#define FATE_DEFAULT_LOG_DIR "/var/log/fated"
#define FATE_DEFAULT_BPF_DIR "/sys/fs/bpf/fated"
#define FATE_SOCKET_NAME "fated.sock"		/* in the run directory */
#define FATE_GROUP "fated"			/* members may talk to the socket, besides root */

#define FATE_LOCAL_ACCOUNT "000000000000"	/* ARNs of this account are this host */
