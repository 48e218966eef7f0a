/* SPDX-License-Identifier: Apache-2.0 */
/* Functions' logs, on real files. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "lib/test.h"
#include "model/limits.h"
#include "ops/funclog.h"

#define ID_A "11111111-1111-4111-8111-111111111111"
#define ID_B "22222222-2222-4222-8222-222222222222"
#define START(id) "START RequestId: " id " Version: $LATEST\n"
#define END(id) "END RequestId: " id "\nREPORT RequestId: " id "\tDuration: 1.00 ms\tMemory Size: 128 MB\t\n"
#define SUMMARY "Duration: 1.00 ms\tMemory Size: 128 MB\t"

static char dir[64];
static struct funclog *the_log;
static struct port_log *port;
static int warnings;
static char last_warning[512];
static struct { int n; enum log_level level; char ids[160]; } said;

static void count_warnings(enum log_level level, const struct log_ctx *ctx, const char *msg)
{
	warnings += level == LOG_WARN;
	said.n++;
	said.level = level;
	if (ctx && ctx->function && ctx->request_id)
		snprintf(said.ids, sizeof(said.ids), "%s %s %s %u", ctx->function, ctx->request_id, ctx->env ? ctx->env : "-",
			 ctx->attempt);
	snprintf(last_warning, sizeof(last_warning), "%s", msg);
}

static int rm(const char *path, const struct stat *st, int type, struct FTW *f)
{
	return remove(path);
}

static void clear(void)
{
	the_log = funclog_free(the_log);
	if (dir[0])
		nftw(dir, rm, 8, FTW_DEPTH | FTW_PHYS);
}

/* Files get their times from the real clock; the log's own clock is that much ahead. */
static int64_t ahead_ms;
static int64_t fake_mono(void *self) { return clock_mono_ns() + ahead_ms * NS_PER_MS; }
static int64_t fake_wall(void *self) { return clock_wall_ms() + ahead_ms; }
static struct port_clock the_clock = { .mono_ns = fake_mono, .wall_ms = fake_wall };

static void reopen(sd_event *loop, int64_t max_bytes, int files, int64_t max_age_ms)
{
	struct funclog_config cfg = { dir, max_bytes, files, max_age_ms, &the_clock };
	struct err e = {};

	the_log = funclog_free(the_log);
	if (funclog_new(loop, &cfg, &the_log, &e) < 0)
		FAIL("%s", err_msg(&e));
	port = funclog_port(the_log);
}

static void fresh_with(int64_t max_bytes, int files, int64_t max_age_ms)
{
	clear();
	snprintf(dir, sizeof(dir), "/tmp/fated-funclog-XXXXXX");
	CHECK(mkdtemp(dir));
	warnings = 0;
	ahead_ms = 0;
	reopen(NULL, max_bytes, files, max_age_ms);
}

static void fresh(int64_t max_bytes)
{
	fresh_with(max_bytes, 1, 0);
}

static void start(uint64_t id, const char *function, const char *request_id)
{
	port->ops->start(port, id, function, request_id, 1);
}

static void put(uint64_t id, const char *text)
{
	port->ops->output(port, id, text, strlen(text));
}

static void end(uint64_t id)
{
	port->ops->end(port, id, SUMMARY);
}

/* The whole file, "" when it is not there. The caller's until the next call but three. */
static const struct buf *content(const char *name)
{
	static struct buf ring[4];
	static int at;
	struct buf *b = &ring[at++ % 4];
	char path[160], chunk[4096];
	size_t n;
	FILE *f;

	buf_clear(b);
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "re");
	while (f && (n = fread(chunk, 1, sizeof(chunk), f)) > 0)
		buf_add(b, chunk, n);
	if (f)
		fclose(f);
	return b;
}

static const char *text(const char *name)
{
	return buf_str(content(name));
}

static void lambda_lines_around_the_output(void)
{
	struct stat st;
	char path[160];

	fresh(1 << 20);
	start(7, "resize", ID_A);
	put(7, "one\ntwo\n");
	end(7);
	CHECK_STR(text("resize.log"), START(ID_A) "one\ntwo\n" END(ID_A));
	snprintf(path, sizeof(path), "%s/resize.log", dir);
	CHECK(stat(path, &st) == 0);
	CHECK_INT(st.st_mode & 07777, 0640);
	CHECK_INT(funclog_lost(the_log), 0);
}

static void a_silent_run_has_its_three_lines(void)
{
	fresh(1 << 20);
	start(7, "quiet", ID_A);
	end(7);
	CHECK_STR(text("quiet.log"), START(ID_A) END(ID_A));
}

static void lines_are_there_while_it_runs(void)
{
	fresh(1 << 20);
	start(7, "f", ID_A);
	put(7, "wor");
	CHECK_STR(text("f.log"), START(ID_A));
	put(7, "king\nmo");
	CHECK_STR(text("f.log"), START(ID_A) "working\n");
	put(7, "re\n");
	CHECK_STR(text("f.log"), START(ID_A) "working\nmore\n");
}

static void an_unfinished_last_line_gets_its_newline(void)
{
	fresh(1 << 20);
	start(7, "f", ID_A);
	put(7, "a\nno end");
	end(7);
	CHECK_STR(text("f.log"), START(ID_A) "a\nno end\n" END(ID_A));
}

static void environments_do_not_mix_within_a_line(void)
{
	fresh(1 << 20);
	start(1, "f", ID_A);
	start(2, "f", ID_B);
	put(1, "left ");
	put(2, "right ");
	put(1, "hand");
	put(2, "foot\n");
	put(1, "\n");
	end(2);
	end(1);
	CHECK_STR(text("f.log"), START(ID_A) START(ID_B) "right foot\nleft hand\n" END(ID_B) END(ID_A));
}

static void functions_have_files_of_their_own(void)
{
	fresh(1 << 20);
	start(1, "f", ID_A);
	start(2, "g", ID_B);
	put(1, "to f\n");
	put(2, "to g\n");
	end(1);
	end(2);
	CHECK_STR(text("f.log"), START(ID_A) "to f\n" END(ID_A));
	CHECK_STR(text("g.log"), START(ID_B) "to g\n" END(ID_B));
}

static void bytes_pass_as_they_are(void)
{
	static const char raw[] = "a\0b\x1b[31m\xff\r\n\t\x7f\n";
	const struct buf *b;
	size_t before = strlen(START(ID_A));

	fresh(1 << 20);
	start(7, "f", ID_A);
	port->ops->output(port, 7, raw, sizeof(raw) - 1);
	b = content("f.log");
	CHECK_INT(b->len, before + sizeof(raw) - 1);
	CHECK(memcmp(b->data + before, raw, sizeof(raw) - 1) == 0);
}

/* `total` bytes and a newline, given `step` at a time, must come out in lines of LIM_STDERR_LINE. */
static void long_line(size_t total, size_t step)
{
	CLEAN(buf_done) struct buf in = {}, want = {};

	for (size_t i = 0; i < total; i++)
		buf_addc(&in, (char)('a' + i % 23));
	buf_adds(&want, START(ID_A));
	for (size_t i = 0; i < total; i += LIM_STDERR_LINE) {
		buf_add(&want, in.data + i, MIN((size_t)LIM_STDERR_LINE, total - i));
		buf_addc(&want, '\n');
	}
	buf_adds(&want, "next\n" END(ID_A));
	buf_adds(&in, "\nnext\n");
	fresh(1 << 20);
	start(7, "f", ID_A);
	for (size_t i = 0; i < in.len; i += step)
		port->ops->output(port, 7, in.data + i, MIN(step, in.len - i));
	end(7);
	if (strcmp(text("f.log"), buf_str(&want)) != 0)
		FAIL("%zu bytes by %zu: %zu bytes in the log, want %zu", total, step, content("f.log")->len, want.len);
}

static void a_long_line_becomes_several(void)
{
	static const size_t totals[] = { 1, LIM_STDERR_LINE - 1, LIM_STDERR_LINE, LIM_STDERR_LINE + 1, 3 * LIM_STDERR_LINE,
					 3 * LIM_STDERR_LINE + 5 };
	static const size_t steps[] = { 997, LIM_STDERR_LINE, LIM_STDERR_LINE + 1, 1 << 20 };

	for (size_t i = 0; i < ARRAY_SIZE(totals); i++)
		for (size_t k = 0; k < ARRAY_SIZE(steps); k++)
			long_line(totals[i], steps[k]);
}

static void a_full_file_makes_room_once(void)
{
	CLEAN(buf_done) struct buf b = {}, all = {};

	fresh(2000);
	start(7, "f", ID_A);
	for (int i = 0; i < 100; i++) {
		char line[100];

		snprintf(line, sizeof(line), "line %03d %080d\n", i, 0);
		put(7, line);
		CHECK(content("f.log")->len <= 2000);
		CHECK(content("f.log.1")->len <= 2000);
	}
	CHECK(content("f.log.2")->len == 0);
	/* The two files together are the end of what was written, without a gap. */
	buf_adds(&all, text("f.log.1"));
	buf_adds(&all, text("f.log"));
	CHECK(strncmp(buf_str(&all), "line 0", 6) == 0);
	for (int i = atoi(buf_str(&all) + 5); i < 100; i++) {
		char line[100];

		snprintf(line, sizeof(line), "line %03d %080d\n", i, 0);
		buf_adds(&b, line);
	}
	CHECK_STR(buf_str(&all), buf_str(&b));
	CHECK_INT(funclog_lost(the_log), 0);
}

static void a_removed_file_is_made_anew(void)
{
	char path[160];

	fresh(1 << 20);
	start(7, "f", ID_A);
	put(7, "one\n");
	snprintf(path, sizeof(path), "%s/f.log", dir);
	CHECK(unlink(path) == 0);
	put(7, "two\n");
	CHECK_STR(text("f.log"), "two\n");
}

static void a_removed_directory_is_made_anew(void)
{
	fresh(1 << 20);
	start(7, "f", ID_A);
	put(7, "one\n");
	CHECK(nftw(dir, rm, 8, FTW_DEPTH | FTW_PHYS) == 0);
	put(7, "two\n");
	CHECK_STR(text("f.log"), "two\n");
	CHECK_INT(funclog_lost(the_log), 0);
	CHECK_INT(warnings, 1);
	CHECK(strstr(last_warning, "was gone and is made again"));
}

static void a_summary_is_one_line_and_ends_in_one_tab(void)
{
	fresh(1 << 20);
	start(1, "f", ID_A);
	port->ops->end(port, 1, "Duration: 1.00 ms\tStatus: error\tError Type: x\nEND RequestId: forged\r\n");
	CHECK_STR(text("f.log"), START(ID_A) "END RequestId: " ID_A "\nREPORT RequestId: " ID_A
		  "\tDuration: 1.00 ms\tStatus: error\tError Type: x END RequestId: forged \t\n");
}

static void output_of_nobody_goes_nowhere(void)
{
	fresh(1 << 20);
	put(99, "hello\n");
	end(99);
	start(7, "f", ID_A);
	end(7);
	put(7, "late\n");
	CHECK_STR(text("f.log"), START(ID_A) END(ID_A));
}

static void a_failing_write_is_counted_and_said_once(void)
{
	char path[160];

	fresh(1 << 20);
	snprintf(path, sizeof(path), "%s/f.log", dir);
	CHECK(mkdir(path, 0700) == 0);
	start(7, "f", ID_A);
	for (int i = 0; i < 5; i++)
		put(7, "lost\n");
	CHECK_INT(funclog_lost(the_log), 5);
	CHECK_INT(warnings, 1);
	CHECK(strstr(last_warning, "f.log: Is a directory"));
	CHECK(rmdir(path) == 0);
	put(7, "kept\n");
	CHECK_STR(text("f.log"), "kept\n");
	CHECK_INT(funclog_lost(the_log), 5);
}

static void what_is_no_regular_file_is_not_written_to(void)
{
	char path[160], outside[160];

	fresh(1 << 20);
	snprintf(path, sizeof(path), "%s/pipe.log", dir);
	CHECK(mkfifo(path, 0600) == 0);
	start(1, "pipe", ID_A);
	put(1, "must not wait for a reader\n");
	CHECK_INT(funclog_lost(the_log), 1);

	snprintf(outside, sizeof(outside), "%s/elsewhere", dir);
	snprintf(path, sizeof(path), "%s/link.log", dir);
	CHECK(symlink(outside, path) == 0);
	start(2, "link", ID_B);
	put(2, "must not follow\n");
	CHECK_INT(funclog_lost(the_log), 2);
	CHECK(access(outside, F_OK) < 0);
}

static void half_a_line_is_cut_back(void)
{
	struct rlimit old, small;

	fresh(1 << 20);
	start(7, "f", ID_A);
	put(7, "whole\n");
	CHECK(getrlimit(RLIMIT_FSIZE, &old) == 0);
	small = old;
	small.rlim_cur = content("f.log")->len + 4;
	CHECK(setrlimit(RLIMIT_FSIZE, &small) == 0);
	put(7, "does not fit\n");
	CHECK(setrlimit(RLIMIT_FSIZE, &old) == 0);
	CHECK_STR(text("f.log"), START(ID_A) "whole\n");
	CHECK_INT(funclog_lost(the_log), 1);
	put(7, "fits\n");
	CHECK_STR(text("f.log"), START(ID_A) "whole\nfits\n");
}

static void the_bound_holds_when_the_old_file_cannot_go(void)
{
	char path[160];
	size_t before;

	fresh(200);
	snprintf(path, sizeof(path), "%s/f.log.1", dir);
	CHECK(mkdir(path, 0700) == 0);
	start(7, "f", ID_A);
	put(7, "fits\n");
	before = content("f.log")->len;
	for (int i = 0; i < 100; i++)
		put(7, "0123456789 0123456789 0123456789 0123456789\n");
	CHECK(content("f.log")->len <= 200 && content("f.log")->len >= before);
	CHECK(funclog_lost(the_log) > 90);
}

static void what_is_open_is_written_at_the_end(void)
{
	fresh(1 << 20);
	start(7, "f", ID_A);
	put(7, "unfin");
	the_log = funclog_free(the_log);
	CHECK_STR(text("f.log"), START(ID_A) "unfin\n");
	CHECK(!funclog_free(NULL));
}

static void a_missing_directory_is_an_error(void)
{
	struct funclog_config cfg = { .dir = "/nonexistent/fated", .max_bytes = 1000, .clock = &the_clock };
	struct funclog *l = NULL;
	struct err e = {};

	CHECK_INT(funclog_new(NULL, &cfg, &l, &e), -ENOENT);
	CHECK(strstr(err_msg(&e), "/nonexistent/fated"));
	CHECK(!l);
}

static void put_file(const char *name, const char *data)
{
	char path[160];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "we");
	CHECK(f && fputs(data, f) >= 0 && fclose(f) == 0);
}

static void part_done(struct funclog_part *p)
{
	buf_done(&p->text);
}

static void check_tail(size_t bytes, const char *want)
{
	CLEAN(part_done) struct funclog_part part = {};
	struct err e = {};

	if (funclog_read_tail(the_log, "f", bytes, &part, &e) < 0)
		FAIL("%zu bytes: %s", bytes, err_msg(&e));
	if (strcmp(buf_str(&part.text), want) != 0)
		FAIL("%zu bytes give \"%s\", want \"%s\"", bytes, buf_str(&part.text), want);
}

static void the_tail_begins_with_a_line(void)
{
	fresh(1 << 20);
	put_file("f.log", "one\ntwo\nthree\n");
	check_tail(1000, "one\ntwo\nthree\n");
	check_tail(14, "one\ntwo\nthree\n");
	check_tail(13, "two\nthree\n");
	check_tail(10, "two\nthree\n");	/* the cut is between two lines: nothing is thrown away */
	check_tail(9, "three\n");
	check_tail(6, "three\n");
	check_tail(5, "");
	check_tail(1, "");
	check_tail(0, "");
}

static void the_tail_goes_back_into_the_old_file(void)
{
	fresh(1 << 20);
	put_file("f.log.1", "old 1\nold 2\n");
	put_file("f.log", "new 1\n");
	check_tail(1000, "old 1\nold 2\nnew 1\n");
	check_tail(18, "old 1\nold 2\nnew 1\n");
	check_tail(17, "old 2\nnew 1\n");
	check_tail(12, "old 2\nnew 1\n");
	check_tail(11, "new 1\n");
	check_tail(6, "new 1\n");
	check_tail(5, "");
	put_file("f.log", "");
	check_tail(6, "old 2\n");
}

static void the_tail_of_the_old_file_alone(void)
{
	fresh(1 << 20);
	put_file("f.log.1", "old 1\n");
	check_tail(100, "old 1\n");
}

static void the_tail_appends_and_keeps_every_byte(void)
{
	CLEAN(part_done) struct funclog_part part = {};

	fresh(1 << 20);
	start(7, "f", ID_A);
	port->ops->output(port, 7, "a\0b\n", 4);
	buf_adds(&part.text, "before|");
	CHECK_INT(funclog_read_tail(the_log, "f", 4, &part, NULL), 0);
	CHECK_INT(part.text.len, 11);
	CHECK(memcmp(part.text.data, "before|a\0b\n", 11) == 0);
}

static void no_log_is_told_apart_from_a_bad_one(void)
{
	CLEAN(part_done) struct funclog_part part = {};
	char path[160];
	struct err e = {};

	fresh(1 << 20);
	CHECK_INT(funclog_read_tail(the_log, "f", 100, &part, &e), -ENOENT);
	CHECK(strstr(err_msg(&e), "f.log:"));
	snprintf(path, sizeof(path), "%s/f.log", dir);
	CHECK(mkfifo(path, 0600) == 0);
	CHECK_INT(funclog_read_tail(the_log, "f", 100, &part, &e), -ENOTSUP);
	CHECK(unlink(path) == 0);
	put_file("f.log", "new\n");
	snprintf(path, sizeof(path), "%s/f.log.1", dir);
	CHECK(mkdir(path, 0700) == 0);
	CHECK_INT(funclog_read_tail(the_log, "f", 100, &part, &e), -ENOTSUP);
	CHECK_INT(part.text.len, 0);
}

static void the_tail_is_that_of_all_files(void)
{
	fresh_with(1 << 20, 3, 0);
	put_file("f.log.4", "beyond\n");	/* more than are kept: no part of the log any more */
	put_file("f.log.3", "a 1\na 2\n");
	put_file("f.log.1", "b 1\n");		/* and a number that is missing is no end */
	put_file("f.log", "c 1\n");
	check_tail(1000, "a 1\na 2\nb 1\nc 1\n");
	check_tail(16, "a 1\na 2\nb 1\nc 1\n");
	check_tail(15, "a 2\nb 1\nc 1\n");
	check_tail(8, "b 1\nc 1\n");
	check_tail(7, "c 1\n");
}

/* ---- old files ------------------------------------------------------------------------------------------------ */

static bool there(const char *name)
{
	char path[160];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return lstat(path, &st) == 0;
}

static void as_many_files_as_are_kept(void)
{
	static const char line[] = "0123456789012345678901234567890123456789\n";

	for (int files = 0; files <= 3; files++) {
		char name[16] = "f.log";
		int lines = 0;

		fresh_with(41 * 4, files, 0);
		start(7, "f", ID_A);
		for (int i = 0; i < 100; i++) {
			char text[64];

			snprintf(text, sizeof(text), "%03d %s", i, line + 4);
			put(7, text);
		}
		for (int n = 0; n <= files; n++) {
			snprintf(name, sizeof(name), n ? "f.log.%d" : "f.log", n);
			if (n)
				CHECK_INT(content(name)->len, 41 * 4);
			lines += (int)content(name)->len / 41;
			CHECK_INT(atoi(text(name)), 100 - lines);	/* without a gap, the higher the older */
		}
		snprintf(name, sizeof(name), "f.log.%d", files + 1);
		CHECK(!there(name));
		CHECK_INT(funclog_lost(the_log), 0);
	}
}

static void a_free_number_saves_the_older(void)
{
	fresh_with(50, 3, 0);
	put_file("f.log.3", "three\n");
	put_file("f.log.1", "one\n");
	put_file("f.log", "now, and no room for another line\n");
	start(7, "f", ID_A);
	put(7, "new, and no room for another line\n");
	CHECK_STR(text("f.log.3"), "three\n");
	CHECK_STR(text("f.log.2"), "one\n");
	CHECK_STR(text("f.log.1"), "now, and no room for another line\n");
}

static void an_old_file_is_moved_on_by_the_next_write(void)
{
	fresh_with(1 << 20, 2, 1000 * 1000);
	start(7, "f", ID_A);
	put(7, "one\n");
	ahead_ms = 900 * 1000;
	put(7, "two\n");
	CHECK_STR(text("f.log"), START(ID_A) "one\ntwo\n");
	ahead_ms = 1100 * 1000;
	put(7, "three\n");
	CHECK_STR(text("f.log.1"), START(ID_A) "one\ntwo\n");
	CHECK_STR(text("f.log"), "three\n");
	fresh_with(1 << 20, 2, 0);
	start(7, "f", ID_A);
	ahead_ms = 1ll << 40;
	put(7, "never too old\n");
	CHECK(!there("f.log.1"));
}

static void sweep_all(void)
{
	int steps = 0;

	while (!funclog_sweep(the_log))
		CHECK(++steps < 100);
}

static void the_sweep_removes_what_is_old(void)
{
	fresh_with(1 << 20, 2, 1000 * 1000);
	put_file("f.log.1", "old\n");
	put_file("f.log", "old, and of a function that writes no more\n");
	ahead_ms = 900 * 1000;
	sweep_all();
	CHECK(there("f.log.1") && there("f.log"));
	ahead_ms = 1100 * 1000;
	sweep_all();
	CHECK(!there("f.log.1") && !there("f.log"));
	/* What is beyond the number goes at any age. */
	fresh_with(1 << 20, 2, 0);
	put_file("f.log.1", "1\n");
	put_file("f.log.2", "2\n");
	put_file("f.log.3", "3\n");
	put_file("f.log.100", "100\n");
	ahead_ms = 1ll << 40;
	sweep_all();
	CHECK(there("f.log.1") && there("f.log.2") && !there("f.log.3") && !there("f.log.100"));
}

static void the_sweep_touches_only_what_is_ours(void)
{
	static const char *const theirs[] = {
		"f", "f.log.", "f.log.0", "f.log.01", "f.log.x", "f.log.1x", "f.log.101", "f.log.99999999999999999999",
		"f.log1", "f.logs", "a b.log", "f.g.log", ".log", ".f.log", "f.log.1.gz", "f.LOG",
		"x1234567890123456789012345678901234567890123456789012345678901234.log",	/* 65 characters */
	};
	char path[160], outside[160];

	fresh_with(1 << 20, 2, 1000);
	for (size_t i = 0; i < ARRAY_SIZE(theirs); i++)
		put_file(theirs[i], "x");
	put_file("outside", "x");
	snprintf(outside, sizeof(outside), "%s/outside", dir);
	snprintf(path, sizeof(path), "%s/link.log", dir);
	CHECK(symlink(outside, path) == 0);
	snprintf(path, sizeof(path), "%s/dir.log", dir);
	CHECK(mkdir(path, 0700) == 0);
	snprintf(path, sizeof(path), "%s/pipe.log.1", dir);
	CHECK(mkfifo(path, 0600) == 0);
	put_file("Ours-_9.log", "x");
	ahead_ms = 1ll << 40;
	sweep_all();
	for (size_t i = 0; i < ARRAY_SIZE(theirs); i++)
		if (!there(theirs[i]))
			FAIL("%s was removed", theirs[i]);
	CHECK(there("outside") && there("link.log") && there("dir.log") && there("pipe.log.1"));
	CHECK(!there("Ours-_9.log"));
	CHECK_INT(warnings, 0);
}

static int files_left(void)
{
	int n = 0;

	for (int i = 0; i < 1000; i++) {
		char name[32];

		snprintf(name, sizeof(name), "f%d.log", i);
		n += there(name);
	}
	return n;
}

static void the_sweep_goes_by_small_steps(void)
{
	int left = 1000, steps = 0;

	fresh_with(1 << 20, 2, 1000);
	for (int i = 0; i < 1000; i++) {
		char name[32];

		snprintf(name, sizeof(name), "f%d.log", i);
		put_file(name, "x");
	}
	ahead_ms = 10000;
	while (!funclog_sweep(the_log)) {
		CHECK(left - files_left() <= 256);
		left = files_left();
		steps++;
	}
	CHECK(steps >= 3);
	CHECK_INT(files_left(), 0);
	put_file("again.log", "x");
	CHECK(!funclog_sweep(the_log) || !there("again.log"));	/* begins anew */
	the_log = funclog_free(the_log);	/* in the middle of one or not */
}

static void the_loop_sweeps_from_the_start(void)
{
	sd_event *loop = NULL;

	fresh(1 << 20);
	for (int i = 0; i < 600; i++) {
		char name[32];

		snprintf(name, sizeof(name), "f%d.log", i);
		put_file(name, "x");
	}
	ahead_ms = 10000;
	CHECK(sd_event_new(&loop) >= 0);
	reopen(loop, 1 << 20, 1, 1000);
	while (files_left())		/* every step's timer is a turn of the loop; none for a minute is a failure */
		CHECK(sd_event_run(loop, 60 * 1000000) > 0);
	the_log = funclog_free(the_log);
	sd_event_unref(loop);
}

/* ---- cursors -------------------------------------------------------------------------------------------------- */

static char cursor[FUNCLOG_CURSOR_LEN + 1];

/* What came after the cursor, which then stands behind it. */
static void check_next(size_t bytes, const char *want, bool lost, bool more)
{
	CLEAN(part_done) struct funclog_part part = {};
	struct err e = {};
	int r = funclog_read_after(the_log, "f", cursor, bytes, &part, &e);

	if (r < 0 && r != -ENOENT)
		FAIL("%s", err_msg(&e));
	if (strcmp(buf_str(&part.text), want) != 0)
		FAIL("after %s: \"%s\", want \"%s\"", cursor, buf_str(&part.text), want);
	CHECK_INT(part.lost, lost);
	CHECK_INT(part.more, more);
	memcpy(cursor, part.cursor, sizeof(cursor));
}

static void cursor_at_the_end(void)
{
	CLEAN(part_done) struct funclog_part part = {};
	int r = funclog_read_tail(the_log, "f", 0, &part, NULL);

	CHECK(r == 0 || r == -ENOENT);
	memcpy(cursor, part.cursor, sizeof(cursor));
}

static void a_cursor_goes_on_where_it_was(void)
{
	fresh_with(60, 3, 0);
	cursor_at_the_end();		/* nothing was written yet */
	check_next(1000, "", false, false);
	put_file("f.log", "one\n");
	check_next(1000, "one\n", false, false);
	check_next(1000, "", false, false);
	start(7, "f", ID_A);
	put(7, "two\n");	/* with START more than fits, so each of these moves the file before it on */
	put(7, "three\n");
	CHECK_STR(text("f.log.2"), "one\n");
	check_next(1000, START(ID_A) "two\nthree\n", false, false);
	for (int i = 0; i < 3; i++)
		put(7, "0123456789012345678901234567890123456789\n");
	CHECK(there("f.log.3"));
	reopen(NULL, 60, 3, 0);		/* and no memory of it is needed */
	check_next(1000, "0123456789012345678901234567890123456789\n0123456789012345678901234567890123456789\n"
			 "0123456789012345678901234567890123456789\n", false, false);
	check_next(1000, "", false, false);
}

static void a_cursor_cuts_between_lines(void)
{
	fresh_with(1 << 20, 3, 0);
	cursor_at_the_end();
	put_file("f.log.2", "a 1\na 2\n");
	put_file("f.log.1", "b 1\n");
	put_file("f.log", "a longer line\nc\n");
	check_next(3, "a 1", false, true);	/* no line fits */
	check_next(3, "\n", false, true);
	check_next(6, "a 2\n", false, true);
	check_next(4, "b 1\n", false, true);
	check_next(15, "a longer line\n", false, true);
	check_next(2, "c\n", false, false);
	check_next(2, "", false, false);
	cursor_at_the_end();
	check_next(2, "", false, false);
}

static void what_is_gone_is_said_once(void)
{
	char path[160];

	fresh_with(60, 1, 0);
	start(7, "f", ID_A);
	put(7, "0\n");
	cursor_at_the_end();
	for (int i = 1; i < 4; i++) {
		char line[64];

		snprintf(line, sizeof(line), "%d 3456789012345678901234567890123456789\n", i);
		put(7, line);
	}
	check_next(1000, "2 3456789012345678901234567890123456789\n3 3456789012345678901234567890123456789\n", true, false);
	check_next(1000, "", false, false);
	snprintf(path, sizeof(path), "%s/f.log", dir);
	CHECK(truncate(path, 0) == 0);
	check_next(1000, "", true, false);
	put(7, "after the cut\n");
	check_next(1000, "after the cut\n", false, false);
	CHECK(unlink(path) == 0);
	snprintf(path, sizeof(path), "%s/f.log.1", dir);
	CHECK(unlink(path) == 0);
	check_next(1000, "", true, false);
	check_next(1000, "", false, false);
	put(7, "anew\n");
	check_next(1000, "anew\n", false, false);
}

/* The file that goes leaves its inode to the one that comes: as a rule on ext4, and its cursor must not fit there. */
static void a_cursor_knows_a_new_file(void)
{
	char path[160];

	fresh_with(1 << 20, 0, 0);
	snprintf(path, sizeof(path), "%s/f.log", dir);
	for (int i = 0; i < 20; i++) {
		int64_t t = clock_mono_ns();

		put_file("f.log", "read\n");
		cursor_at_the_end();
		while (clock_mono_ns() - t < 20 * NS_PER_MS)	/* births are told apart by the kernel's tick */
			;
		CHECK(unlink(path) == 0);
		put_file("f.log", "unread and longer\n");
		check_next(1000, "unread and longer\n", true, false);
	}
}

static void what_is_no_cursor(void)
{
	static const char *const bad[] = { "", "x", "1", "1.2", "1.2.", "1.2.3.4", ".1.2.3", "1..3", "-1.2.3", "1.2.-3",
					   "1.2.3 ", "1.2.G",
					   "1.2.ffffffffffffffff", "1.ffffffffffffffff.3", "11111111111111111.2.3" };
	CLEAN(part_done) struct funclog_part part = {};

	fresh(1 << 20);
	put_file("f.log", "x\n");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK_INT(funclog_read_after(the_log, "f", bad[i], 100, &part, NULL), -EINVAL);
	CHECK_INT(part.text.len, 0);
	CHECK_INT(funclog_read_after(the_log, "g", "0.0.0", 100, &part, NULL), -ENOENT);
	CHECK_STR(part.cursor, "0.0.0");
}

/* ---- the daemon's own line ------------------------------------------------------------------------------------ */

static void an_outcome_is_one_line_with_all_ids(void)
{
	static const struct { uint64_t cgroup_id; const char *ids; } cases[] = {
		{ 18446744073709551615u, "f " ID_A " 18446744073709551615 3" }, { 0, "f " ID_A " - 3" },
	};

	fresh(1 << 20);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct log_outcome o = { "f", ID_A, 3, cases[i].cgroup_id, false, "Crash", "exit status 3 after 1.000 ms" };

		said.n = 0;
		port->ops->outcome(port, &o);
		CHECK_INT(said.n, 1);
		CHECK_STR(last_warning, "Crash: exit status 3 after 1.000 ms");
		CHECK_STR(said.ids, cases[i].ids);
		CHECK_INT(said.level, LOG_INF);
	}
}

int main(void)
{
	log_set_sink(count_warnings);
	signal(SIGXFSZ, SIG_IGN);
	RUN(lambda_lines_around_the_output);
	RUN(a_silent_run_has_its_three_lines);
	RUN(lines_are_there_while_it_runs);
	RUN(an_unfinished_last_line_gets_its_newline);
	RUN(environments_do_not_mix_within_a_line);
	RUN(functions_have_files_of_their_own);
	RUN(bytes_pass_as_they_are);
	RUN(a_long_line_becomes_several);
	RUN(a_full_file_makes_room_once);
	RUN(a_removed_file_is_made_anew);
	RUN(a_removed_directory_is_made_anew);
	RUN(a_summary_is_one_line_and_ends_in_one_tab);
	RUN(output_of_nobody_goes_nowhere);
	RUN(a_failing_write_is_counted_and_said_once);
	RUN(what_is_no_regular_file_is_not_written_to);
	RUN(half_a_line_is_cut_back);
	RUN(the_bound_holds_when_the_old_file_cannot_go);
	RUN(what_is_open_is_written_at_the_end);
	RUN(a_missing_directory_is_an_error);
	RUN(the_tail_begins_with_a_line);
	RUN(the_tail_goes_back_into_the_old_file);
	RUN(the_tail_of_the_old_file_alone);
	RUN(the_tail_appends_and_keeps_every_byte);
	RUN(no_log_is_told_apart_from_a_bad_one);
	RUN(the_tail_is_that_of_all_files);
	RUN(as_many_files_as_are_kept);
	RUN(a_free_number_saves_the_older);
	RUN(an_old_file_is_moved_on_by_the_next_write);
	RUN(the_sweep_removes_what_is_old);
	RUN(the_sweep_touches_only_what_is_ours);
	RUN(the_sweep_goes_by_small_steps);
	RUN(the_loop_sweeps_from_the_start);
	RUN(a_cursor_goes_on_where_it_was);
	RUN(a_cursor_cuts_between_lines);
	RUN(what_is_gone_is_said_once);
	RUN(a_cursor_knows_a_new_file);
	RUN(what_is_no_cursor);
	RUN(an_outcome_is_one_line_with_all_ids);
	clear();
	TEST_END();
}
