/* SPDX-License-Identifier: Apache-2.0 */
/* When old events are asked to go, and how often, from a store of the test's own. */
#include "daemon/retain.c"

#include <errno.h>

#include "base/clock.h"
#include "lib/test.h"

static sd_event *loop;
static struct retain *retain;
static int64_t now;
static char said[2000];

/* The store: the last question, answered by hand. */
static struct store_query q;
static int asked;

static void take(struct port_store *s, const struct store_query *query)
{
	q = *query;
	asked++;
}
static const struct port_store_ops ops = { .version = PORT_STORE_VERSION, .name = "fake", .query = take };
static struct port_store store = { &ops };

static void answer(int result, int64_t used, bool more)
{
	struct store_result res = { .affected = more ? q.limit : 0, .bytes_used = used, .more = more };
	struct err e = {};

	if (result < 0)
		err_set(&e, result, "the disk is gone");
	q.done(q.arg, &q, &res, result, &e);
}

static int64_t tell_now(void *arg) { CHECK(arg == &now); return now; }
static void sink(enum log_level level, const struct log_ctx *ctx, const char *msg)
{
	size_t n = strlen(said);

	snprintf(said + n, sizeof(said) - n, "%s\n", msg);
}

static void begin(int64_t age_ms, int64_t bytes_max)
{
	struct retain_config c = { .age_ms = age_ms, .bytes_max = bytes_max, .now_ms = tell_now, .arg = &now };

	now = 1000000;
	asked = 0;
	said[0] = '\0';
	CHECK_INT(retain_new(loop, &store, &c, &retain, NULL), 0);
}

static void run(void)
{
	while (sd_event_run(loop, 0) > 0)
		;
}

/* Milliseconds until the next question. */
static int64_t next_ms(void)
{
	uint64_t at;
	int on;

	CHECK(sd_event_source_get_enabled(retain->timer, &on) >= 0 && on == SD_EVENT_ONESHOT);
	CHECK(sd_event_source_get_time(retain->timer, &at) >= 0);
	return (int64_t)at / 1000 - clock_mono_ns() / NS_PER_MS;
}

static void check_next(int64_t want_ms)
{
	int64_t ms = next_ms();

	if (ms > want_ms || ms < want_ms - 2000)
		FAIL("the next question comes in %lld ms, want %lld", (long long)ms, (long long)want_ms);
}

static void nothing_to_do(void)
{
	begin(0, 0);
	CHECK(!retain);
	CHECK(!retain_free(retain));
}

static void what_is_asked(void)
{
	begin(60000, 5000);
	CHECK_INT(asked, 0);
	run();
	CHECK_INT(asked, 1);
	CHECK_INT(q.kind, STORE_Q_TRIM);
	CHECK_INT(q.until_ms, 940000);
	CHECK_INT(q.bytes_max, 5000);
	CHECK_INT(q.limit, RETAIN_STEP);
	CHECK_STR(q.function, "");
	/* not before the answer, not twice */
	CHECK(sd_event_source_get_enabled(retain->timer, NULL) == SD_EVENT_OFF);
	answer(0, 100, false);
	retain = retain_free(retain);
	/* by size alone: no bound of age; by age alone: no limit */
	begin(0, 5000);
	run();
	CHECK_INT(q.until_ms, 0);
	answer(0, 100, false);
	retain = retain_free(retain);
	begin(60000, 0);
	run();
	CHECK_INT(q.bytes_max, 0);
	answer(0, 1 << 30, false);
	check_next(RETAIN_IDLE_MS);
	CHECK_STR(said, "");
	retain = retain_free(retain);
	/* a clock that begins in 1970: nothing is that old, and 0 would be no bound */
	begin(60000, 0);
	now = 60000;
	run();
	CHECK_INT(q.until_ms, 1);
	answer(0, 0, false);
	retain = retain_free(retain);
}

static void at_once_while_there_is_more(void)
{
	begin(60000, 0);
	run();
	for (int i = 1; i < 20; i++) {
		CHECK_INT(asked, i);
		now += 10;
		answer(0, 100, true);
		CHECK_INT(asked, i);	/* from the loop, not from within the answer */
		run();
		CHECK_INT(q.until_ms, now - 60000);
	}
	CHECK_INT(asked, 20);
	answer(0, 100, false);
	run();
	CHECK_INT(asked, 20);
	check_next(RETAIN_IDLE_MS);
	retain = retain_free(retain);
}

static void too_large(void)
{
	begin(0, 5000);
	run();
	answer(0, 6000, true);
	CHECK_STR(said, "");
	run();
	for (int i = 0; i < 2; i++) {	/* told once */
		CHECK_INT(asked, 2 + i);
		answer(0, 5001, false);
		CHECK_STR(said, "retention: the database has 5001 bytes in use, RetainBytes is 5000, and no ended event is left "
			  "to go\n");
		check_next(RETAIN_FULL_MS);
		CHECK(sd_event_source_set_time_relative(retain->timer, 0) >= 0);
		run();
	}
	said[0] = '\0';
	answer(0, 5000, false);
	CHECK_STR(said, "retention: the database is within RetainBytes again\n");
	check_next(RETAIN_IDLE_MS);
	retain = retain_free(retain);
}

static void failures_are_told_once(void)
{
	begin(60000, 0);
	run();
	for (int i = 0; i < 3; i++) {
		answer(-EIO, 0, false);
		CHECK_STR(said, "retention: old events could not be deleted, it is tried again every 30 s: the disk is gone\n");
		check_next(RETAIN_IDLE_MS);
		CHECK(sd_event_source_set_time_relative(retain->timer, 0) >= 0);
		run();
		CHECK_INT(asked, 2 + i);
	}
	said[0] = '\0';
	answer(0, 0, false);
	CHECK_STR(said, "retention: old events are deleted again\n");
	CHECK(sd_event_source_set_time_relative(retain->timer, 0) >= 0);
	run();
	answer(-EIO, 0, false);
	CHECK(strstr(said, "could not be deleted"));
	retain = retain_free(retain);
}

/* The daemon ends between question and answer: the answer frees (ASan says whether). */
static void freed_while_asking(void)
{
	begin(60000, 0);
	run();
	CHECK_INT(asked, 1);
	retain = retain_free(retain);
	run();
	answer(0, 0, true);
	run();
	CHECK_INT(asked, 1);
}

int main(void)
{
	if (sd_event_new(&loop) < 0)
		return 1;
	log_set_sink(sink);
	RUN(nothing_to_do);
	RUN(what_is_asked);
	RUN(at_once_while_there_is_more);
	RUN(too_large);
	RUN(failures_are_told_once);
	RUN(freed_while_asking);
	sd_event_unref(loop);
	TEST_END();
}
