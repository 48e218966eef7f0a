/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* AWS Lambda's limits and defaults (its developer guide and recorded answers), and our own where marked. */

#define LIM_FUNCTION_NAME_MAX 64
#define LIM_QUALIFIER_MAX 128
#define LIM_ARN_MAX 350			/* a destination's length limit */
#define LIM_TIMEOUT_S_MIN 1
#define LIM_TIMEOUT_S_MAX 900
#define LIM_TIMEOUT_S_DEFAULT 3
#define LIM_MEMORY_MB_MIN 128
#define LIM_MEMORY_MB_MAX 10240
#define LIM_MEMORY_MB_DEFAULT 128
#define LIM_ENVIRONMENT_BYTES 4096	/* all variables as JSON */
#define LIM_RETRIES_DEFAULT 2
#define LIM_RETRIES_MAX 100		/* ours; Lambda's is 2 */
#define LIM_EVENT_AGE_S_MIN 60
#define LIM_EVENT_AGE_S_MAX 21600
#define LIM_EVENT_AGE_S_DEFAULT 21600
#define LIM_RETRY_DELAY_1_S 60
#define LIM_RETRY_DELAY_2_S 120
#define LIM_RETRY_DELAY_S_MAX 21600	/* ours: the event's age ends it anyway */
#define LIM_SYNC_PAYLOAD 6291456u	/* request body, RequestResponse */
#define LIM_ASYNC_PAYLOAD 1048576u	/* request body, Event */
#define LIM_RESPONSE 6291556u		/* 6 MiB + 100 */
#define LIM_ERROR_REPORT 262144u	/* ours: what is read from FATE_ERROR_FD */
#define LIM_STDERR_LINE 16384u		/* ours: a longer line is split in the log */
#define LIM_BACKOFF_MIN_MS 1000		/* throttles and our own faults: 1 s doubling … */
#define LIM_BACKOFF_MAX_MS 300000	/* … to 5 min */
#define LIM_DLQ_ERROR_MESSAGE 1024u
#define LIM_LEASE_SLACK_S 10		/* ours: between deadline with grace and the lease's end, to kill, judge, commit */
#define LIM_CHAIN 16			/* invocations in one chain through destinations; the next is stopped */
#define LIM_VERSION_MAX 999999999
#define LIM_ALIAS_VERSIONS 2		/* Lambda's: an alias routes to two versions at most */
#define LIM_DELIVERY_AGE_MS (6 * 3600 * 1000LL)	/* ours: a record is sent again until it is so old */
