/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One client of the scripted API, and what it was answered last. */
#include "base/json.h"
#include "test_api_fake.h"

static struct http_caller *client;
static struct http_result res;

static inline void begin(void)
{
	fake_start();
	CHECK(http_caller_new(fake.rig.path, &client, NULL) == 0);
}

static inline void end(void)
{
	http_result_done(&res);
	client = http_caller_free(client);
	rig_stop(&fake.rig);
}

static inline void ask(const char *method, const char *target, const char *const *headers, const char *body, size_t len)
{
	struct err e = {};

	http_result_done(&res);
	if (http_call(client, &(struct http_call){ .method = method, .target = target, .headers = headers, .body = body,
						   .body_len = len },
		      &res, &e) < 0)
		FAIL("%s %s: %s", method, target, err_msg(&e));
	CHECK(http_result_header(&res, "x-amzn-RequestId"));
	CHECK(id_is_uuid(http_result_header(&res, "x-amzn-RequestId")));
	if (res.status != 204)
		CHECK_STR(http_result_header(&res, "Content-Type"), "application/json");
}

static inline void get(const char *target)
{
	ask("GET", target, NULL, NULL, 0);
	if (res.status == 200 && !json_valid(buf_str(&res.body), res.body.len, NULL))
		FAIL("%s: not JSON: %s", target, buf_str(&res.body));
}

static inline void post(const char *target)
{
	ask("POST", target, NULL, NULL, 0);
}

/* The text must be in the body, as it stands there. */
static inline void check_in(const char *what)
{
	if (!strstr(buf_str(&res.body), what))
		FAIL("no %s in %s", what, buf_str(&res.body));
}

static inline void check_refused(int status, const char *type, const char *body)
{
	if (res.status != status)
		FAIL("status %d, want %d: %s", res.status, status, buf_str(&res.body));
	CHECK_STR(http_result_header(&res, "x-amzn-errortype"), type);
	if (body)
		CHECK_STR(buf_str(&res.body), body);
	CHECK(json_valid(buf_str(&res.body), res.body.len, NULL));
}
