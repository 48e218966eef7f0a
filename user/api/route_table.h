/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Method and path → row. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ROUTE_PARAMS_MAX 2
#define ROUTE_ARGS_MAX 14

struct api_call;
struct api_route {
	const char *method;
	const char *pattern;		/* {Name} stands for one segment */
	size_t body_max;
	void (*handle)(struct api_call *c);
	const char *args[ROUTE_ARGS_MAX];	/* query parameters known here; others are an error … */
	bool args_open;				/* … or are ignored (Lambda's own paths) */
	void (*too_large)(struct api_call *c, uint64_t size);	/* NULL: the general words */
};
struct route_param { const char *at; size_t len; };	/* into the path, still encoded */

/* NULL when there is none; then *ret_allow is the method the path exists for, or NULL. */
const struct api_route *route_find(const char *method, const char *path, struct route_param params[ROUTE_PARAMS_MAX],
				   const char **ret_allow);
