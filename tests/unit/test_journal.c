/* SPDX-License-Identifier: Apache-2.0 */
/* The log sink: text on stderr, entries in a journal of the test's own. */
#include "base/mem.h"
#include "ops/funclog.h"
#include "ops/journal.h"
#include "unit/test_journal_rig.h"

#define REQUEST "11111111-1111-4111-8111-111111111111"
#define AT 1795428000000	/* 2026-11-23T10:00:00.000Z */

static const struct log_ctx full = { .function = "resize", .request_id = REQUEST, .env = "e7-2-0badcafe", .attempt = 2 };
static int real_stderr = -1, stream = -1;

/* ---- the line ------------------------------------------------------------------------------------------------ */

static void check_line(enum log_level level, const struct log_ctx *ctx, const char *msg, const char *want)
{
	char out[512];

	CHECK_INT(journal_format(out, sizeof(out), AT, level, ctx, msg), strlen(want));
	CHECK_STR(out, want);
}

static void a_line_has_time_level_and_ids(void)
{
	static const struct log_ctx request = { .function = "resize", .request_id = REQUEST, .attempt = 1 },
		name = { .function = "f" };

	check_line(LOG_ERROR, NULL, "no room", "2026-11-23T10:00:00.000Z error: no room\n");
	check_line(LOG_WARN, NULL, "x", "2026-11-23T10:00:00.000Z warning: x\n");
	check_line(LOG_NOTE, NULL, "x", "2026-11-23T10:00:00.000Z notice: x\n");
	check_line(LOG_DBG, NULL, "x", "2026-11-23T10:00:00.000Z debug: x\n");
	check_line((enum log_level)99, NULL, "x", "2026-11-23T10:00:00.000Z log: x\n");
	check_line(LOG_INF, &full, "ended", "2026-11-23T10:00:00.000Z info: resize "
		   REQUEST " attempt 2 env e7-2-0badcafe: ended\n");
	check_line(LOG_INF, &request, "ended", "2026-11-23T10:00:00.000Z info: resize " REQUEST " attempt 1: ended\n");
	check_line(LOG_INF, &name, "x", "2026-11-23T10:00:00.000Z info: f: x\n");
	check_line(LOG_INF, &(struct log_ctx){}, "x", "2026-11-23T10:00:00.000Z info: x\n");
}

static void a_message_cannot_forge_a_line(void)
{
	check_line(LOG_WARN, NULL, "a\nb\r\t\x1b[2J\x7f é\xff",
		   "2026-11-23T10:00:00.000Z warning: a\\x0ab\\x0d\t\\x1b[2J\\x7f é\xff\n");
}

static void a_line_that_does_not_fit_is_cut(void)
{
	char want[128], out[128];
	int whole = snprintf(want, sizeof(want), "2026-11-23T10:00:00.000Z info: a\\x0ab\n");

	for (size_t size = 2; size < sizeof(out); size++) {
		int n;

		memset(out, 'Q', sizeof(out));
		n = journal_format(out, size, AT, LOG_INF, NULL, "a\nb");
		CHECK(n >= 1 && n < (int)size && n <= whole);
		CHECK_INT(strlen(out), n);
		CHECK_INT(out[n - 1], '\n');
		CHECK(strncmp(out, want, (size_t)n - 1) == 0);
		CHECK(size == sizeof(out) || out[size] == 'Q');
		if (size > (size_t)whole)
			CHECK_INT(n, whole);
	}
}

/* ---- stderr -------------------------------------------------------------------------------------------------- */

static void stderr_back(void)
{
	if (real_stderr >= 0) {
		dup2(real_stderr, STDERR_FILENO);
		close(real_stderr);
	}
	if (stream >= 0)
		close(stream);
	real_stderr = stream = -1;
	unsetenv("JOURNAL_STREAM");
	log_set_sink(NULL);
}

/* stderr becomes a socket whose other end is ours; JOURNAL_STREAM names it, or something else. */
static void stderr_is_a_stream(int ino_off)
{
	char name[64];
	struct stat st;
	int pair[2];

	stderr_back();
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	real_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	CHECK(real_stderr >= 0);
	CHECK(dup2(pair[1], STDERR_FILENO) == STDERR_FILENO);
	close(pair[1]);
	stream = pair[0];
	CHECK(fstat(STDERR_FILENO, &st) == 0);
	snprintf(name, sizeof(name), "%llu:%llu", (unsigned long long)st.st_dev,
		 (unsigned long long)st.st_ino + (unsigned int)ino_off);
	setenv("JOURNAL_STREAM", name, 1);
}

/* What stands in the stream, "" when nothing. */
static const char *streamed(void)
{
	static char out[8192];
	ssize_t n = recv(stream, out, sizeof(out) - 1, MSG_DONTWAIT);

	out[n > 0 ? n : 0] = '\0';
	return out;
}

static void log_line(enum log_level level, const struct log_ctx *ctx, const char *msg)
{
	log_msg(level, ctx, "%s", msg);
}

static void without_a_journal_stderr_has_the_line(void)
{
	const char *got;

	rig_open();
	stderr_is_a_stream(1);		/* there is a journal, and stderr is not connected to it */
	journal_log_open();
	log_line(LOG_WARN, &full, "words");
	got = streamed();
	stderr_back();
	CHECK(strlen(got) > 24);
	CHECK_STR(got + 24, " warning: resize " REQUEST " attempt 2 env e7-2-0badcafe: words\n");
	CHECK(rig_empty());
}

static void a_strange_variable_is_no_journal(void)
{
	static const char *const values[] = { "", "nonsense", "1", ":", "-1:-1" };

	rig_open();
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		const char *got;

		stderr_is_a_stream(0);
		setenv("JOURNAL_STREAM", values[i], 1);
		journal_log_open();
		log_line(LOG_WARN, NULL, "words");
		got = streamed();
		stderr_back();
		CHECK(strstr(got, " warning: words\n"));
		CHECK(rig_empty());
	}
}

/* ---- the journal --------------------------------------------------------------------------------------------- */

static void to_the_journal(void)
{
	rig_open();
	stderr_is_a_stream(0);
	journal_log_open();
}

static void an_entry_has_its_fields(void)
{
	to_the_journal();
	log_line(LOG_WARN, &full, "one\nPRIORITY=0\ntwo");
	stderr_back();
	rig_receive();
	CHECK_STR(rig_field("MESSAGE"), "one\nPRIORITY=0\ntwo");
	CHECK_STR(rig_field("PRIORITY"), "4");
	CHECK_STR(rig_field("SYSLOG_IDENTIFIER"), "fated");
	CHECK_STR(rig_field("FATE_FUNCTION"), "resize");
	CHECK_STR(rig_field("FATE_REQUEST_ID"), REQUEST);
	CHECK_STR(rig_field("FATE_ENV"), "e7-2-0badcafe");
	CHECK_STR(rig_field("FATE_ATTEMPT"), "2");
	CHECK(rig_empty());
}

static void what_is_not_known_is_not_a_field(void)
{
	const char *got;

	to_the_journal();
	log_line(LOG_ERROR, NULL, "plain");
	got = streamed();
	stderr_back();
	CHECK_STR(got, "");
	rig_receive();
	CHECK_STR(rig_field("MESSAGE"), "plain");
	CHECK_STR(rig_field("PRIORITY"), "3");
	CHECK(!rig_field("FATE_FUNCTION") && !rig_field("FATE_REQUEST_ID") && !rig_field("FATE_ENV") && !rig_field("FATE_ATTEMPT"));
}

static int64_t now(void *self)
{
	return AT;
}

static void an_outcome_has_all_of_them(void)
{
	struct port_clock clock = { .mono_ns = now, .wall_ms = now };
	char dir[] = "/tmp/fated-journal-XXXXXX", path[64];
	struct funclog_config cfg = { .dir = dir, .max_bytes = 1 << 20, .clock = &clock };
	struct funclog *l = NULL;
	struct port_log *port;

	CHECK(mkdtemp(dir));
	CHECK(funclog_new(NULL, &cfg, &l, NULL) >= 0);
	port = funclog_port(l);
	to_the_journal();
	port->ops->start(port, 4711, "resize", REQUEST, 2);
	port->ops->output(port, 4711, "not the daemon's own words\n", 27);
	port->ops->outcome(port, &(struct log_outcome){ "resize", REQUEST, 2, 4711, false, "ExecFailed",
							"execve: odd\nFATE_ENV=0" });
	port->ops->end(port, 4711, "Duration: 1.00 ms\tStatus: error\tError Type: Odd\nFATE_ENV=0");
	stderr_back();
	funclog_free(l);
	snprintf(path, sizeof(path), "%s/resize.log", dir);
	CHECK(unlink(path) == 0 && rmdir(dir) == 0);
	rig_receive();
	CHECK_STR(rig_field("MESSAGE"), "ExecFailed: execve: odd\nFATE_ENV=0");
	CHECK_STR(rig_field("PRIORITY"), "6");
	CHECK_STR(rig_field("FATE_FUNCTION"), "resize");
	CHECK_STR(rig_field("FATE_REQUEST_ID"), REQUEST);
	CHECK_STR(rig_field("FATE_ENV"), "4711");
	CHECK_STR(rig_field("FATE_ATTEMPT"), "2");
	CHECK(rig_empty());
}

static void the_longest_line_is_one_datagram(void)
{
	char msg[4096];

	memset(msg, 'x', sizeof(msg));
	msg[sizeof(msg) - 1] = '\0';
	to_the_journal();
	log_line(LOG_INF, &full, msg);
	stderr_back();
	rig_receive();
	CHECK_INT(strlen(rig_field("MESSAGE")), 2047);	/* base/log.c's own bound */
}

static void a_full_journal_costs_lines_and_says_so(void)
{
	int kept = 0, sent = 3000, lost = 0;

	to_the_journal();
	for (int i = 0; i < sent; i++)
		log_line(LOG_INF, NULL, "many");	/* returns every time: nobody reads */
	while (!rig_empty()) {
		rig_receive();
		kept += strcmp(rig_field("MESSAGE"), "many") == 0;
	}
	CHECK(kept > 0 && kept < sent);
	log_line(LOG_INF, NULL, "after");
	stderr_back();
	rig_receive();
	CHECK_INT(sscanf(rig_field("MESSAGE"), "%d log lines were lost", &lost), 1);
	CHECK_INT(kept + lost, sent);
	CHECK_STR(rig_field("PRIORITY"), "4");
	rig_receive();
	CHECK_STR(rig_field("MESSAGE"), "after");
	CHECK(rig_empty());
}

static void a_journal_that_is_gone_leaves_the_stream(void)
{
	const char *got;

	to_the_journal();
	rig_hang_up();
	log_line(LOG_WARN, NULL, "still heard");
	got = streamed();
	if (strncmp(got, "<4>", 3) != 0 || !strstr(got, " warning: still heard\n")) {
		stderr_back();
		FAIL("the stream has \"%s\"", got);
	}
	rig_open();	/* restarted: found again by its name */
	log_line(LOG_WARN, NULL, "back");
	stderr_back();
	rig_receive();
	CHECK_STR(rig_field("MESSAGE"), "back");
}

static void with_nobody_at_all_it_is_counted(void)
{
	to_the_journal();
	rig_hang_up();
	close(stream);
	stream = -1;
	log_line(LOG_WARN, NULL, "unheard");
	log_line(LOG_WARN, NULL, "unheard too");
	rig_open();
	log_line(LOG_WARN, NULL, "heard");
	stderr_back();
	rig_receive();
	CHECK_STR(rig_field("MESSAGE"), "2 log lines were lost: the journal took no more");
	rig_receive();
	CHECK_STR(rig_field("MESSAGE"), "heard");
}

int main(void)
{
	rig_enter();
	RUN(a_line_has_time_level_and_ids);
	RUN(a_message_cannot_forge_a_line);
	RUN(a_line_that_does_not_fit_is_cut);
	RUN(without_a_journal_stderr_has_the_line);
	RUN(a_strange_variable_is_no_journal);
	RUN(an_entry_has_its_fields);
	RUN(what_is_not_known_is_not_a_field);
	RUN(an_outcome_has_all_of_them);
	RUN(the_longest_line_is_one_datagram);
	RUN(a_full_journal_costs_lines_and_says_so);
	RUN(a_journal_that_is_gone_leaves_the_stream);
	RUN(with_nobody_at_all_it_is_counted);
	stderr_back();
	rig_close();
	TEST_END();
}
