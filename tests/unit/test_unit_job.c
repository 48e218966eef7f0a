/* SPDX-License-Identifier: Apache-2.0 */
/* What systemd is about to do with our unit, asked from a systemd of the test's own on the same loop. */
#include "daemon/unit_job.c"

#include <sys/socket.h>
#include <sys/un.h>

#include "base/clock.h"
#include "lib/test.h"

#define ID "0123456789abcdef0123456789ABCDEF"

static char dir[64], path[100], address[120];
static sd_event *loop;
static int listener = -EBADF;
static sd_event_source *door;
static sd_bus *server;

/* What it says. */
static struct { const char *type; bool no_unit, no_job, job_gone, wrong_type, hang_up, silent; } says;
static int questions;
static bool right_id;

static int answers, last_restart;
static char last_why[300];
static struct unit_job *asked;

static int reply(sd_bus_message *m, const char *types, ...)
{
	sd_bus_message *r = NULL;
	va_list ap;

	va_start(ap, types);
	CHECK(sd_bus_message_new_method_return(m, &r) >= 0 && sd_bus_message_appendv(r, types, ap) >= 0);
	va_end(ap);
	CHECK(sd_bus_send(server, r, NULL) >= 0);
	sd_bus_message_unref(r);
	return 1;
}

static int property(sd_bus_message *m)
{
	const char *interface, *name;

	CHECK(sd_bus_message_read(m, "ss", &interface, &name) >= 0);
	if (strcmp(name, "Job") == 0) {
		CHECK_STR(interface, "org.freedesktop.systemd1.Unit");
		CHECK_STR(sd_bus_message_get_path(m), "/unit");
		return says.no_job ? reply(m, "v", "(uo)", 0, "/") : reply(m, "v", "(uo)", 7, "/job/7");
	}
	CHECK_STR(name, "JobType");
	CHECK_STR(interface, "org.freedesktop.systemd1.Job");
	CHECK_STR(sd_bus_message_get_path(m), "/job/7");
	if (says.job_gone)
		return sd_bus_reply_method_errorf(m, SD_BUS_ERROR_UNKNOWN_OBJECT, "no such job");
	return says.wrong_type ? reply(m, "v", "u", 3) : reply(m, "v", "s", says.type);
}

static int on_question(sd_bus_message *m, void *arg, sd_bus_error *unused)
{
	const void *id;
	size_t n;

	if (!sd_bus_message_is_method_call(m, NULL, NULL))	/* its own: that the connection was closed */
		return 0;
	questions++;
	if (says.silent)
		return 1;
	if (says.hang_up) {
		sd_bus_close(server);
		return 1;
	}
	if (sd_bus_message_is_method_call(m, "org.freedesktop.DBus.Properties", "Get"))
		return property(m);
	CHECK(sd_bus_message_is_method_call(m, "org.freedesktop.systemd1.Manager", "GetUnitByInvocationID"));
	CHECK(sd_bus_message_read_array(m, 'y', &id, &n) >= 0);
	right_id = n == 16 && memcmp(id, "\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef", 16) == 0;
	if (says.no_unit)
		return sd_bus_reply_method_errorf(m, "org.freedesktop.systemd1.NoUnitForInvocationID", "no unit of that id");
	return reply(m, "o", "/unit");
}

static int on_door(sd_event_source *s, int fd, uint32_t events, void *arg)
{
	int c = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	sd_id128_t id = {};

	CHECK(c >= 0 && !server);
	CHECK(sd_bus_new(&server) >= 0 && sd_bus_set_fd(server, c, c) >= 0 && sd_bus_set_server(server, 1, id) >= 0);
	CHECK(sd_bus_add_filter(server, NULL, on_question, NULL) >= 0);
	CHECK(sd_bus_start(server) >= 0 && sd_bus_attach_event(server, loop, 0) >= 0);
	return 0;
}

static void begin(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	memset(&says, 0, sizeof(says));
	says.type = "restart";
	questions = answers = 0;
	last_restart = -1;
	last_why[0] = '\0';
	right_id = false;
	asked = unit_job_free(asked);
	server = sd_bus_close_unref(server);
	if (listener >= 0)
		return;
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	CHECK(bind(listener, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(listener, 4) == 0);
	CHECK(sd_event_add_io(loop, &door, listener, EPOLLIN, on_door, NULL) >= 0);
}

static void on_told(void *arg, bool restart, const char *why)
{
	CHECK(arg == &answers);
	answers++;
	last_restart = restart;
	snprintf(last_why, sizeof(last_why), "%s", why);
	asked = unit_job_free(asked);
}

/* Runs until something was told, and what is there then; gives up after far longer than it may take. */
static void run(void)
{
	int64_t end = clock_mono_ns() + 20 * NS_PER_S;

	while (!answers && clock_mono_ns() < end)
		CHECK(sd_event_run(loop, 100000) >= 0);
	while (sd_event_run(loop, 0) > 0)
		;
}

static void expect(bool restart, const char *word)
{
	CHECK_INT(unit_job_ask_at(loop, address, ID, on_told, &answers, &asked), 0);
	CHECK_INT(answers, 0);
	run();
	CHECK_INT(answers, 1);
	CHECK_INT(last_restart, restart);
	if (!strstr(last_why, word))
		FAIL("\"%s\" does not say \"%s\"", last_why, word);
}

static void job_types(void)
{
	static const struct { const char *type; bool restart; } rows[] = {
		{ "restart", true }, { "try-restart", true }, { "stop", false }, { "start", false }, { "reload-or-start", false },
		{ "", false }, { "restarting", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char word[60];

		begin();
		says.type = rows[i].type;
		snprintf(word, sizeof(word), "job for the unit is \"%s\"", rows[i].type);
		expect(rows[i].restart, word);
		CHECK_INT(questions, 3);
		CHECK(right_id);
	}
}

static void no_job_is_by_hand(void)
{
	begin();
	says.no_job = true;
	expect(false, "by hand");
	CHECK_INT(questions, 2);
}

static void refusals_are_a_stop(void)
{
	begin();
	says.no_unit = true;
	expect(false, "no unit of that id");
	begin();
	says.job_gone = true;
	expect(false, "no such job");
	begin();
	says.wrong_type = true;
	expect(false, "JobType");
	begin();
	says.hang_up = true;
	expect(false, "systemd was asked");
	CHECK_INT(questions, 1);
}

static void silence_is_a_stop(void)
{
	int64_t before = clock_mono_ns();

	begin();
	says.silent = true;
	expect(false, "no answer within 1000 ms");
	CHECK(clock_mono_ns() - before >= UNIT_JOB_WAIT_MS * NS_PER_MS);
}

static void freed_is_not_told(void)
{
	begin();
	CHECK_INT(unit_job_ask_at(loop, address, ID, on_told, &answers, &asked), 0);
	for (int i = 0; i < 10000 && !questions; i++)
		CHECK(sd_event_run(loop, 1000) >= 0);
	asked = unit_job_free(asked);
	for (int i = 0; i < 20; i++)
		CHECK(sd_event_run(loop, 1000) >= 0);
	CHECK_INT(answers, 0);
	CHECK(questions >= 1);
}

static void cannot_be_asked(void)
{
	static const char *const ids[] = {
		NULL, "", "0123", ID "0", "0123456789abcdef0123456789abcdeg", " 123456789abcdef0123456789abcdef",
	};

	begin();
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
		CHECK_INT(unit_job_ask_at(loop, address, ids[i], on_told, &answers, &asked), -EINVAL);
	CHECK(unit_job_ask_at(loop, "unix:path=/nonexistent/bus", ID, on_told, &answers, &asked) < 0);
	CHECK(unit_job_ask_at(loop, "nonsense", ID, on_told, &answers, &asked) < 0);
	CHECK(!asked);
	CHECK_INT(answers, 0);
}

static void is_it_our_unit(void)
{
	char pid[20];

	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	unsetenv("INVOCATION_ID");
	unsetenv("NOTIFY_SOCKET");
	unsetenv("SYSTEMD_EXEC_PID");
	CHECK(!unit_job_possible());
	setenv("INVOCATION_ID", ID, 1);
	CHECK(!unit_job_possible());
	setenv("NOTIFY_SOCKET", "/run/x", 1);
	CHECK(unit_job_possible());
	setenv("SYSTEMD_EXEC_PID", pid, 1);
	CHECK(unit_job_possible());
	/* started by something that was */
	setenv("SYSTEMD_EXEC_PID", "1", 1);
	CHECK(!unit_job_possible());
	setenv("SYSTEMD_EXEC_PID", pid, 1);
	unsetenv("INVOCATION_ID");
	CHECK(!unit_job_possible());
	unsetenv("NOTIFY_SOCKET");
	unsetenv("SYSTEMD_EXEC_PID");
}

int main(void)
{
	snprintf(dir, sizeof(dir), "/tmp/fated-job.XXXXXX");
	if (!mkdtemp(dir)) {
		perror(dir);
		return 1;
	}
	snprintf(path, sizeof(path), "%s/bus", dir);
	snprintf(address, sizeof(address), "unix:path=%s", path);
	if (sd_event_new(&loop) < 0)
		return 1;
	RUN(job_types);
	RUN(no_job_is_by_hand);
	RUN(refusals_are_a_stop);
	RUN(silence_is_a_stop);
	RUN(freed_is_not_told);
	RUN(cannot_be_asked);
	RUN(is_it_our_unit);
	unit_job_free(asked);
	sd_bus_close_unref(server);
	sd_event_source_disable_unref(door);
	closep(&listener);
	sd_event_unref(loop);
	(void)unlink(path);
	(void)rmdir(dir);
	TEST_END();
}
