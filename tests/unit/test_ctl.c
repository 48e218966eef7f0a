/* SPDX-License-Identifier: Apache-2.0 */
/* fatectl as a program, against the real API with a scripted engine and store: output, exit status, what it asks. */
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <sys/wait.h>

#include "test_api_fake.h"

static char fatectl[PATH_MAX];
static struct buf out, err;

/* build/tests/unit/test_ctl → build/fatectl */
static void find_fatectl(void)
{
	char self[PATH_MAX] = "";

	assert(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
	snprintf(fatectl, sizeof(fatectl), "%s/fatectl", dirname(dirname(dirname(self))));
}

static void drain(int fd, struct buf *b)
{
	char text[4096];
	ssize_t n;

	while ((n = read(fd, text, sizeof(text))) > 0)
		buf_add(b, text, (size_t)n);
	close(fd);
}

/* Runs fatectl; stdin holds `input` (NULL: a pipe nobody writes to, so that reading it would hang). */
static int run_with(const char *input, const char *const *env, const char *const *args)
{
	int in[2], o[2], status, n = 1;
	const char *argv[24] = { "fatectl" };
	char err_path[] = "/tmp/fatectl-err-XXXXXX";
	int err_fd = mkstemp(err_path);
	pid_t pid;

	while (args[n - 1] && n < 23) {
		argv[n] = args[n - 1];
		n++;
	}
	argv[n] = NULL;
	CHECK(err_fd >= 0 && pipe2(in, O_CLOEXEC) == 0 && pipe2(o, O_CLOEXEC) == 0);
	CHECK(unlink(err_path) == 0);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		if (dup2(in[0], 0) < 0 || dup2(o[1], 1) < 0 || dup2(err_fd, 2) < 0)
			_exit(99);
		execve(fatectl, (char *const *)argv, (char *const *)env);
		_exit(98);
	}
	close(o[1]);
	close(in[0]);
	if (input) {
		CHECK(write(in[1], input, strlen(input)) == (ssize_t)strlen(input));
		close(in[1]);
	}
	buf_clear(&out);
	buf_clear(&err);
	drain(o[0], &out);
	CHECK(waitpid(pid, &status, 0) == pid);
	if (!input)
		close(in[1]);
	CHECK(lseek(err_fd, 0, SEEK_SET) == 0);
	drain(err_fd, &err);
	if (!WIFEXITED(status) || WEXITSTATUS(status) >= 98)
		FAIL("%s: wait status %d: %s", fatectl, status, buf_str(&err));
	return WEXITSTATUS(status);
}

static int run_args(const char *const *args)
{
	char socket[128];
	const char *env[] = { socket, "http_proxy=http://127.0.0.1:1", "TZ=UTC", NULL };

	snprintf(socket, sizeof(socket), "FATED_SOCKET=%s", fake.rig.path);
	return run_with(NULL, env, args);
}
#define RUN_CTL(...) run_args((const char *const []){ __VA_ARGS__, NULL })
#define CHECK_EXIT(want, ...) do { \
	int _r = RUN_CTL(__VA_ARGS__); \
	if (_r != (want)) \
		FAIL("exit status %d, want %d; stdout: %.300s; stderr: %.300s", _r, (want), buf_str(&out), buf_str(&err)); \
	} while (0)
#define CHECK_OUT(text) do { if (!strstr(buf_str(&out), text)) FAIL("no \"%s\" in stdout: %.700s", text, buf_str(&out)); } while (0)
#define CHECK_ERR(text) do { if (!strstr(buf_str(&err), text)) FAIL("no \"%s\" in stderr: %.700s", text, buf_str(&err)); } while (0)

static void quiet(void)
{
	CHECK_STR(buf_str(&err), "");
}

static void invoke(void)
{
	fake_start();
	CHECK_EXIT(0, "invoke", "echo");		/* without a payload: {}, and stdin is left alone */
	CHECK_STR(buf_str(&out), "{}");
	quiet();
	CHECK_EXIT(0, "invoke", "echo", "--data", "{\"n\":12345678901234567890.10}");
	CHECK_STR(buf_str(&out), "{\"n\":12345678901234567890.10}");
	CHECK_EXIT(0, "invoke", "--data=[1]", "echo:$LATEST", "--json");
	CHECK_STR(buf_str(&out), "{\"statusCode\":200,\"requestId\":\"" FAKE_ID "\",\"executedVersion\":\"$LATEST\","
				 "\"outcome\":\"Success\",\"payload\":[1]}\n");
	CHECK_EXIT(1, "invoke", "timeout");
	CHECK_OUT("{\"errorType\":\"Sandbox.Timedout\",");
	CHECK_STR(buf_str(&err), "Timeout: RequestId: " FAKE_ID " Error: Task timed out after 3.00 seconds\n");
	CHECK_EXIT(1, "--json", "invoke", "timeout");
	CHECK_OUT("\"functionError\":\"Unhandled\",\"outcome\":\"Timeout\",\"payload\":{\"errorType\"");
	CHECK_EXIT(0, "invoke", "silent");
	CHECK_STR(buf_str(&out), "");
	CHECK_EXIT(4, "invoke", "throttled");
	CHECK_STR(buf_str(&err), "fatectl: TooManyRequestsException: Rate Exceeded. "
				 "(ReservedFunctionConcurrentInvocationLimitExceeded)\n");
	CHECK_STR(buf_str(&out), "");
	CHECK_EXIT(4, "invoke", "nope");
	CHECK_ERR("fatectl: ResourceNotFoundException: Function not found: "
		  "arn:aws:lambda:us-east-1:000000000000:function:nope:$LATEST\n");
	CHECK_EXIT(4, "invoke", "a/b?c");		/* encoded, so it is one bad name and not another path */
	CHECK_ERR("Value 'a/b?c' at 'functionName'");
	CHECK_EXIT(4, "invoke", "echo", "--data", "{");
	CHECK_ERR("InvalidRequestContentException");
	CHECK_EXIT(4, "invoke", "nope", "--json");
	CHECK_OUT("{\"Type\":\"User\",\"Message\":\"Function not found:");
	CHECK_EXIT(5, "invoke", "hostfault");
	CHECK_ERR("fatectl: ServiceException: clone3: \"Resource\" temporarily unavailable\n");
	CHECK_EXIT(5, "invoke", "doubt", "--async");
	CHECK_EXIT(2, "invoke");
	CHECK_ERR("usage: fatectl invoke NAME [--async]");
	CHECK_EXIT(2, "invoke", "echo", "--data", "1", "--payload", "-");
	CHECK_EXIT(2, "invoke", "echo", "--data");
	CHECK_ERR("--data needs a value");
	CHECK_EXIT(2, "invoke", "echo", "--asynch");
	CHECK_ERR("unknown option '--asynch'");
	CHECK_EXIT(2, "invoke", "echo", "extra");
	CHECK_EXIT(2, "invoke", "echo", "--payload", "/nonexistent/event.json");
	CHECK_ERR("/nonexistent/event.json: No such file or directory");
	CHECK_EXIT(2, "invoke", "");
	rig_stop(&fake.rig);
}

static void invoke_async(void)
{
	fake_start();
	CHECK_EXIT(0, "invoke", "echo", "--async", "--data", "{\"a\":1}");
	CHECK_STR(buf_str(&out), FAKE_ID "\n");
	quiet();
	CHECK_INT(fake.engine.last_type, INTAKE_ASYNC);
	CHECK_STR(fake.engine.last_payload, "{\"a\":1}");
	CHECK_EXIT(0, "invoke", "echo", "--async", "--json");
	CHECK_STR(buf_str(&out), "{\"statusCode\":202,\"requestId\":\"" FAKE_ID "\"}\n");
	CHECK_EXIT(0, "invoke", "echo", "--async", "--wait");
	CHECK_STR(buf_str(&out), FAKE_RECORD "\n");	/* the record, byte for byte */
	CHECK_STR(buf_str(&err), "fatectl: accepted as " FAKE_ID ", waiting for its end\n");
	CHECK_EXIT(0, "invoke", "echo", "--wait");	/* without --async there is nothing more to wait for */
	CHECK_STR(buf_str(&out), "{}");
	fake.failing = true;
	CHECK_EXIT(1, "invoke", "echo", "--async", "--wait", "--json");
	CHECK_STR(buf_str(&out), FAKE_FAILED_RECORD "\n");
	CHECK_ERR("\nRetriesExhausted: RequestId: " FAKE_FAILED_ID " Error: Task timed out after 3.00 seconds\n");
	rig_stop(&fake.rig);
}

static void payloads(void)
{
	char path[] = "/tmp/fatectl-event-XXXXXX", socket[128];
	const char *env[] = { socket, NULL };
	int fd = mkstemp(path);

	CHECK(fd >= 0 && write(fd, "[\"file\"]", 8) == 8);
	close(fd);
	fake_start();
	snprintf(socket, sizeof(socket), "FATED_SOCKET=%s", fake.rig.path);
	CHECK_EXIT(0, "invoke", "echo", "--payload", path);
	CHECK_STR(buf_str(&out), "[\"file\"]");
	CHECK_INT(run_with("[\"stdin\"]", env, (const char *const []){ "invoke", "echo", "--payload", "-", NULL }), 0);
	CHECK_STR(buf_str(&out), "[\"stdin\"]");
	CHECK_INT(run_with("", env, (const char *const []){ "invoke", "echo", "--payload=-", NULL }), 0);
	CHECK_STR(buf_str(&out), "{}");		/* an empty event is {} to Lambda */
	CHECK_EXIT(2, "invoke", "echo", "--payload", "/dev/zero");
	CHECK_ERR("too long");
	CHECK_EXIT(2, "invoke", "echo", "--payload", "/tmp");
	CHECK_ERR("Is a directory");
	rig_stop(&fake.rig);
	unlink(path);
}

static void no_daemon(void)
{
	static const char *const env[] = { "FATED_SOCKET=/nonexistent/fated.sock", NULL };
	char longer[300] = "--socket=/";

	fake = (struct fake){};
	CHECK_INT(run_with(NULL, env, (const char *const []){ "status", NULL }), 3);
	CHECK_STR(buf_str(&err), "fatectl: cannot connect to /nonexistent/fated.sock: No such file or directory: is fated "
		  "running?\n");
	CHECK_INT(run_with(NULL, env, (const char *const []){ "version", "--socket", "/nonexistent/other", NULL }), 3);
	CHECK_OUT("fatectl 0.1.0\n");
	CHECK_ERR("/nonexistent/other");
	CHECK_INT(run_with(NULL, env, (const char *const []){ "invoke", "echo", NULL }), 3);
	memset(longer + 10, 'x', 200);
	CHECK_INT(run_with(NULL, env, (const char *const []){ "status", longer, NULL }), 3);
	CHECK_ERR("socket path too long");
	CHECK_INT(run_with(NULL, env, (const char *const []){ "status", "--socket", NULL }), 2);
}

static void usage_and_help(void)
{
	static const char *const verbs[] = { "status", "function list", "function show", "invoke", "event list",
					     "event show", "event cancel",
					     "event retry", "record list", "record show", "record tail", "queue list",
					     "queue receive",
					     "queue peek", "queue purge", "queue redrive", "delivery list", "delivery show",
					     "delivery retry", "delivery drop", "event redrive", "function publish",
					     "function versions", "alias list", "alias get", "alias set", "alias delete", "health",
					      "logs", "top",
					     "reload", "version", "doctor", "completion" };

	fake = (struct fake){};
	CHECK_INT(run_args((const char *const []){ NULL }), 2);
	CHECK_STR(buf_str(&out), "");
	CHECK_ERR("Exit status:");
	CHECK_EXIT(0, "help");
	quiet();
	CHECK_OUT("3  the daemon cannot be reached");
	CHECK_OUT("6  the books do not balance");
	CHECK_EXIT(0, "--help");
	CHECK_OUT("Exit status:");
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
		char first[32], *second = NULL, example[64];

		snprintf(first, sizeof(first), "%s", verbs[i]);
		second = strchr(first, ' ');
		if (second)
			*second++ = '\0';
		CHECK_EXIT(0, "help", first, second);
		snprintf(example, sizeof(example), "\n  fatectl %s", verbs[i]);
		CHECK_OUT(example);	/* every verb has an example */
		quiet();
		CHECK_EXIT(0, first, second ? second : "--help", "--help");
		CHECK_OUT(example);
		CHECK_EXIT(2, first, second ? second : "--nonsense", "--nonsense");
	}
	CHECK_EXIT(0, "help", "queue");
	CHECK_OUT("fatectl queue list");
	CHECK_OUT("fatectl queue receive");
	CHECK_EXIT(2, "help", "nonsense");
	CHECK_EXIT(2, "nonsense");
	CHECK_ERR("unknown verb 'nonsense'");
	CHECK_EXIT(2, "event");
	CHECK_ERR("'event' what?");
	CHECK_EXIT(2, "event", "eat");
	CHECK_ERR("unknown verb 'event eat'");
	CHECK_EXIT(2, "status", "now");
	CHECK_EXIT(2, "event", "show");
}

static void status(void)
{
	fake_start();
	CHECK_EXIT(0, "status");
	quiet();
	CHECK_OUT("fated 0.1.0: running, pid 4711, up 1h 1m\n");
	CHECK_OUT("1 queued, 0 running, 2 waiting, 0 routing\n");
	CHECK_OUT("outcomes    3 Timeout\n");
	CHECK_OUT("\nobserver    eBPF, pinned in ");
	CHECK_OUT("\n18446744073709551615  resize    " FAKE_OPEN_ID "  busy         2  async     1.0s  2.0s\n");
	CHECK_EXIT(0, "status", "--json");
	CHECK_OUT("{\"version\":\"0.1.0\",");
	__atomic_store_n(&fake.engine.in_doubt, true, __ATOMIC_SEQ_CST);
	CHECK_EXIT(0, "status");
	CHECK_OUT("fated 0.1.0: IN DOUBT,");
	CHECK_OUT("nothing new is accepted: disk \"full\"\n");
	CHECK_EXIT(0, "version");
	CHECK_STR(buf_str(&out), "fatectl 0.1.0\nfated   0.1.0\n");
	CHECK_EXIT(0, "version", "--json");
	CHECK_STR(buf_str(&out), "{\"version\":\"0.1.0\"}\n");
	rig_stop(&fake.rig);
}

static void the_law(void)
{
	fake_start();
	CHECK_EXIT(0, "status");
	CHECK_OUT("\nlaw         12 accepted = 1 queued + 0 running + 9 settled + 2 dead-lettered\n"
		  "            217 starts seen by eBPF = 215 exits + 2 alive\n");
	CHECK(!strstr(buf_str(&out), "DRIFT"));
	__atomic_store_n(&fake.engine.lost_processes, 3, __ATOMIC_SEQ_CST);
	CHECK_EXIT(6, "status");
	quiet();
	CHECK_OUT("\nlaw         12 accepted = 1 queued + 0 running + 9 settled + 2 dead-lettered\n"
		  "            220 starts seen by eBPF = 215 exits + 2 alive  DRIFT\n"
		  "            3 started and out of sight: moved out of their cgroup (a function that runs as root can), or "
		  "a defect of fated\n");
	CHECK_EXIT(6, "status", "--json");
	CHECK_OUT("\"law\":{\"holds\":false,");
	CHECK_EXIT(6, "top");
	CHECK_OUT("alive  DRIFT\n");
	CHECK_EXIT(6, "top", "--json");
	__atomic_store_n(&fake.engine.lost_processes, -2, __ATOMIC_SEQ_CST);
	CHECK_EXIT(6, "status");
	CHECK_OUT("215 starts seen by eBPF = 215 exits + 2 alive  DRIFT\n            2 more than were seen to start: ");
	__atomic_store_n(&fake.engine.lost_processes, 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&fake.engine.lost_events, 1, __ATOMIC_SEQ_CST);
	CHECK_EXIT(6, "status");
	CHECK_OUT("\nlaw         13 accepted = 1 queued + 0 running + 9 settled + 2 dead-lettered  DRIFT\n            1 "
		  "accepted and out of sight: ");
	CHECK_OUT("\n            217 starts seen by eBPF = 215 exits + 2 alive\n");
	__atomic_store_n(&fake.engine.lost_events, -1, __ATOMIC_SEQ_CST);
	CHECK_EXIT(6, "status");
	CHECK_OUT("dead-lettered  DRIFT\n            1 more than were accepted: ");
	rig_stop(&fake.rig);
}

static void what_status_warns_of(void)
{
	fake_start();
	CHECK_EXIT(0, "status");
	CHECK_OUT("0 events seen, none dropped\n");
	CHECK(!strstr(buf_str(&out), "on disk") && !strstr(buf_str(&out), "not answer") && !strstr(buf_str(&out), "clock"));
	CHECK(!strstr(buf_str(&out), "DROPPED") && !strstr(buf_str(&out), "witnesses") &&
	      !strstr(buf_str(&out), "after the answer"));
	fake.engine.worries = true;
	CHECK_EXIT(0, "status");
	CHECK_OUT("0 events seen, DROPPED 5: 4 exit, 1 fork, MISSED 6\n");
	CHECK_OUT("\n            2 ends on which the two witnesses disagree\n"
		  "left        3 environments whose processes go on after the answer\n");
	CHECK_OUT("2 waiting, 0 routing; 1 in memory (2.0K), 2 on disk alone\n");
	CHECK_OUT("\n            2 targets do not answer; 6 deliveries owed\n"
		  "            5 DestinationDeliveryFailures, 1 DeadLetterErrors (fatectl delivery list --failed)\n"
		  "ended early 7 stopped as recursive, 8 as poison\n"
		  "restart     1 running events taken over from the daemon before; 9 late settles refused\n"
		  "clock       the wall clock was set back by 2h 0m while events were open;");
	CHECK_EXIT(0, "top", "--once");
	CHECK_OUT("0 synchronous; 2 on disk alone; 2 targets do not answer\n");
	rig_stop(&fake.rig);
	fake_start();
	fake.engine.fallback = true;
	CHECK_EXIT(0, "status");
	CHECK_OUT("2 dead-lettered\n            processes are not counted: eBPF is switched off (fallback)\n");
	CHECK_OUT("observer    fallback, without eBPF: ");
	rig_stop(&fake.rig);
}

#define TOP_HEAD "fated 0.1.0: running, pid 4711, up 1h 1m\n" \
	"law         12 accepted = 1 queued + 0 running + 9 settled + 2 dead-lettered\n"
#define TOP_EVENTS "events      1 queued, 0 running, 2 waiting, 0 routing; 0 synchronous\n"
#define TOP_ID FAKE_OPEN_ID "        2  busy   1.0s/3.0s"

static void top(void)
{
	fake_start();
	CHECK_EXIT(0, "top");		/* a pipe: one table, at once */
	quiet();
	CHECK_STR(buf_str(&out), TOP_HEAD "            217 starts seen by eBPF = 215 exits + 2 alive\n" TOP_EVENTS
		  "starts      attempts -, processes -\n\n"
		  "FUNCTION  REQUEST ID                            ATTEMPT  STATE        AGE  CPU%     CPU   RSS  PROCS "
		  " THREADS  KIND\nresize    " TOP_ID "  25.0  250 ms  3.0M      4        5  async\n");
	/* Of a span: the fake's counters stand still. */
	CHECK_EXIT(0, "top", "--once", "--interval=0.1");
	CHECK_OUT("\nstarts      attempts 0.0/s, processes 0.0/s\n");
	CHECK_OUT(TOP_ID "   0.0  250 ms  3.0M      4        5  async\n");
	CHECK_EXIT(0, "top", "--json");
	CHECK_OUT("{\"version\":\"0.1.0\",");
	CHECK_EXIT(2, "top", "--interval", "0");
	CHECK_ERR("--interval: '0' is not a number of seconds between 0.1 and 3600\nusage: fatectl top ");
	CHECK_EXIT(2, "top", "--interval", "2x");
	CHECK_EXIT(2, "top", "--watch");
	rig_stop(&fake.rig);
	fake_start();
	fake.engine.fallback = true;
	CHECK_EXIT(0, "top");
	CHECK_STR(buf_str(&out), TOP_HEAD "            processes are not counted: eBPF is switched off (fallback)\n" TOP_EVENTS
		  "starts      attempts -, processes -\n\n"
		  "FUNCTION  REQUEST ID                            ATTEMPT  STATE        AGE  CPU%  CPU  RSS  PROCS "
		  " THREADS  KIND\nresize    " TOP_ID "     -    -    -      -        -  async\n");
	rig_stop(&fake.rig);
	CHECK_EXIT(3, "top");
	CHECK_ERR("is fated running?");
}

static void functions(void)
{
	fake_start();
	CHECK_EXIT(0, "function", "list");
	CHECK_STR(buf_str(&out), "NAME    MODE  TIMEOUT  MEMORY  RETRIES  CONCURRENCY  ON SUCCESS  ON FAILURE\n"
				 "echo    exec    3.5 s  128 MB        2            4  -           function:reinvoke\n"
				 "resize  exec    3.5 s  128 MB        2            4  -           function:reinvoke\n");
	CHECK_EXIT(0, "function", "show", "resize");
	CHECK_OUT("FunctionName  resize\n");
	CHECK_OUT("Command[1]  -c \"x\"\n");
	CHECK_OUT("EventInvokeConfig.DestinationConfig.OnFailure.Destination  function:reinvoke\n");
	CHECK_OUT("RetryDelaysInSeconds[0]  0.25\n");
	CHECK_EXIT(0, "function", "show", "resize", "--json");
	CHECK_OUT("{\"FunctionName\":\"resize\",");
	CHECK_EXIT(4, "function", "show", "nope");
	CHECK_ERR("ResourceNotFoundException");
	CHECK_EXIT(0, "logs", "echo");
	CHECK_STR(buf_str(&out), "START \"x\"\n\xef\xbf\xbd end\n");
	CHECK_EXIT(0, "logs", "echo", "--bytes", "5");
	CHECK_STR(buf_str(&out), "START\n");
	CHECK_EXIT(0, "logs", "resize");
	CHECK_STR(buf_str(&out), "");
	CHECK_EXIT(4, "logs", "nope");
	CHECK_EXIT(4, "logs", "echo", "--bytes", "many");
	CHECK_ERR("at 'bytes'");
	CHECK_EXIT(5, "logs", "unreadable");
	rig_stop(&fake.rig);
}

/* ---- logs -f: a program that runs on */

struct running { pid_t pid; int out, err; struct buf got, said; };

static struct running run_on(const char *const *args)
{
	char socket[128];
	const char *argv[8] = { "fatectl" }, *env[] = { socket, NULL };
	struct running r = {};
	int o[2], e[2], null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	snprintf(socket, sizeof(socket), "FATED_SOCKET=%s", fake.rig.path);
	for (int n = 0; args[n] && n < 6; n++)
		argv[n + 1] = args[n];
	CHECK(null >= 0 && pipe2(o, O_CLOEXEC) == 0 && pipe2(e, O_CLOEXEC) == 0);
	r.pid = fork();
	CHECK(r.pid >= 0);
	if (r.pid == 0) {
		if (dup2(null, 0) < 0 || dup2(o[1], 1) < 0 || dup2(e[1], 2) < 0)
			_exit(99);
		execve(fatectl, (char *const *)argv, (char *const *)env);
		_exit(98);
	}
	close(null);
	close(o[1]);
	close(e[1]);
	r.out = o[0];
	r.err = e[0];
	return r;
}
#define RUN_ON(...) run_on((const char *const []){ __VA_ARGS__, NULL })

/* Reads until that many bytes came, or the end. */
static void read_until(int fd, struct buf *b, size_t len)
{
	char text[4096];
	ssize_t n = 1;

	while (b->len < len && n > 0) {
		struct pollfd p = { .fd = fd, .events = POLLIN };

		if (poll(&p, 1, 60000) <= 0)	/* the bound is for a broken program */
			FAIL("nothing more comes after \"%s\"", buf_str(b));
		n = read(fd, text, sizeof(text));
		buf_add(b, text, n > 0 ? (size_t)n : 0);
	}
}

/* Its exit status; what it still wrote is read. */
static int run_out(struct running *r)
{
	int status;

	if (r->out >= 0)
		read_until(r->out, &r->got, SIZE_MAX);
	read_until(r->err, &r->said, SIZE_MAX);
	CHECK(waitpid(r->pid, &status, 0) == r->pid);
	if (r->out >= 0)
		close(r->out);
	close(r->err);
	buf_clear(&out);
	buf_clear(&err);
	buf_add(&out, buf_str(&r->got), r->got.len);
	buf_add(&err, buf_str(&r->said), r->said.len);
	buf_done(&r->got);
	buf_done(&r->said);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static void logs_followed(void)
{
	static const char want[] = "START \"x\"\n\xef\xbf\xbd end\ntwo\0\nthree\nfive\n";
	struct running r;

	fake_start();
	r = RUN_ON("logs", "-f", "echo");
	read_until(r.out, &r.got, sizeof(want) - 1);
	CHECK(kill(r.pid, SIGINT) == 0);
	CHECK_INT(run_out(&r), 0);
	CHECK_INT(out.len, sizeof(want) - 1);
	CHECK(memcmp(out.data, want, sizeof(want) - 1) == 0);
	CHECK_STR(buf_str(&err), "fatectl: part of the log is gone: it was rotated away or removed before it was read\n");

	r = RUN_ON("logs", "--follow", "echo", "--bytes", "5", "--json");
	read_until(r.out, &r.got, strlen("{\"function\":\"echo\",\"bytes\":5,\"cursor\":\"0.1\",\"log\":\"START\"}\n"));
	CHECK(kill(r.pid, SIGTERM) == 0);
	CHECK_INT(run_out(&r), 0);
	CHECK(strncmp(buf_str(&out), "{\"function\":\"echo\",\"bytes\":5,\"cursor\":\"0.1\",\"log\":\"START\"}\n", 58) == 0);
	rig_stop(&fake.rig);
}

static void a_follower_ends_with_its_reader(void)
{
	struct running r;

	fake_start();
	r = RUN_ON("logs", "-f", "echo");
	read_until(r.out, &r.got, 1);
	close(r.out);
	r.out = -1;
	CHECK_INT(run_out(&r), 0);	/* writing or waiting */
	r = RUN_ON("logs", "-f", "resize");	/* has nothing to write, ever */
	close(r.out);
	r.out = -1;
	CHECK_INT(run_out(&r), 0);
	quiet();
	CHECK_EXIT(4, "logs", "-f", "nope");
	CHECK_ERR("ResourceNotFoundException");
	CHECK_EXIT(5, "logs", "-f", "unreadable");
	CHECK_EXIT(2, "logs", "-f");
	CHECK_EXIT(2, "logs", "-f=1", "echo");
	rig_stop(&fake.rig);
	CHECK_EXIT(3, "logs", "-f", "echo");	/* there was none to begin with */
	CHECK_ERR("is fated running?");
}

static void a_follower_waits_for_the_daemon(void)
{
	static const char gone[] = "fatectl: daemon is gone, waiting\n";
	struct running r;

	fake_start();
	r = RUN_ON("logs", "-f", "resize");
	/* The first answer has been given when the second is asked for. */
	for (int i = 0; i < 60000 && __atomic_load_n(&fake.log_bytes, __ATOMIC_SEQ_CST) != 1048576; i++)
		(void)poll(NULL, 0, 1);
	rig_stop(&fake.rig);
	read_until(r.err, &r.said, strlen(gone));
	CHECK(kill(r.pid, SIGINT) == 0);
	CHECK_INT(run_out(&r), 0);
	CHECK_STR(buf_str(&err), gone);
	CHECK_STR(buf_str(&out), "");
}

static void topics_and_buses(void)
{
	fake_start();
	CHECK_EXIT(0, "topic", "list");
	CHECK_STR(buf_str(&out), "NAME    SUBSCRIPTIONS  DESCRIPTION\nalerts              3  what went wrong\n");
	CHECK_EXIT(0, "topic", "show", "alerts");
	CHECK_OUT("TopicArn  arn:aws:sns:us-east-1:000000000000:alerts\n");
	CHECK_OUT("Subscriptions[1].Endpoint  inbox\nSubscriptions[1].RawMessageDelivery  true\n");
	CHECK_OUT("Subscriptions[2].FunctionName  alerts-mail\n");
	CHECK_EXIT(0, "topic", "list", "--json");
	CHECK_OUT("{\"topics\":[{\"TopicName\":\"alerts\",");
	CHECK_EXIT(4, "topic", "show", "nope");
	CHECK_ERR("Topic not found: nope");
	CHECK_EXIT(2, "topic", "show");
	CHECK_EXIT(0, "bus", "list");
	CHECK_STR(buf_str(&out), "NAME  RULES  DESCRIPTION\na/b       1  -\n");
	CHECK_EXIT(0, "bus", "show", "a/b");
	CHECK_OUT("Rules[0].State  DISABLED\n");
	CHECK_OUT("Rules[0].EventPattern.source[1]  x\n");
	CHECK_OUT("Rules[0].Targets[0].Arn  topic:alerts\n");
	CHECK_EXIT(4, "bus", "show", "nope");
	CHECK_ERR("Event bus not found: nope");
	rig_stop(&fake.rig);
}

static void events_and_records(void)
{
	fake_start();
	CHECK_EXIT(0, "event", "list");
	quiet();
	CHECK_OUT("REQUEST ID                            FUNCTION  STATE    CONDITION  ATTEMPTS  ACCEPTED");
	CHECK_OUT(FAKE_ID "  echo      done     Success           1  ");
	CHECK_OUT(FAKE_OPEN_ID "  resize    waiting  -                 1  ");
	CHECK_EXIT(0, "event", "list", "--function", "resize", "--state=waiting", "--limit", "2", "--before", "99");
	CHECK_STR(fake.last.function, "resize");
	CHECK_INT(fake.last.state, INV_WAITING);
	CHECK_INT(fake.last.before_seq, 99);
	CHECK_STR(buf_str(&err), "fatectl: there are more: --before 41\n");
	CHECK_EXIT(4, "event", "list", "--state", "a&b=c");	/* encoded: one bad value */
	CHECK_ERR("Value 'a&b=c' at 'state'");
	CHECK_EXIT(0, "event", "show", FAKE_ID);
	CHECK_OUT("requestId    " FAKE_ID "\n");
	CHECK_OUT("payload:\n  {\n    \"n\": 12345678901234567890.10\n  }\n");	/* no digit lost */
	CHECK_OUT("attempt 1: Timeout\n");
	CHECK_OUT("  fate.processes  2\n");
	CHECK_OUT("attempt 2: running\n");
	CHECK_OUT("\"responsePayload\": \"\\u00e9\"\n");
	CHECK_EXIT(0, "event", "show", FAKE_ID, "--json");
	CHECK_OUT("\"payload\":" FAKE_PAYLOAD ",");
	CHECK_EXIT(4, "event", "show", FAKE_OPEN_ID);
	CHECK_EXIT(4, "event", "show", "junk");
	CHECK_EXIT(0, "record", "list", "--condition", "Success");
	CHECK_OUT("REQUEST ID                            FUNCTION  CONDITION         VERDICT  ATTEMPTS  AT\n");
	CHECK_OUT(FAKE_FAILED_ID "  resize    RetriesExhausted  Timeout         3  ");
	CHECK_INT(fake.last.condition, COND_SUCCESS);
	CHECK_EXIT(0, "record", "list", "--json");
	CHECK_OUT("\"record\":" FAKE_RECORD);
	CHECK_EXIT(0, "record", "show", FAKE_ID);
	CHECK_OUT("{\n  \"version\": \"1.0\",\n");
	CHECK_OUT("\"n\": 12345678901234567890.10\n");
	CHECK_EXIT(0, "record", "show", FAKE_ID, "--json");
	CHECK_STR(buf_str(&out), FAKE_RECORD "\n");
	CHECK_EXIT(4, "record", "show", FAKE_OPEN_ID);
	CHECK_EXIT(0, "delivery", "list");
	CHECK_OUT("OnFailure  file:/x      2  ");
	CHECK_OUT("No \"space\"?[31m");		/* a terminal must not obey it */
	fake.store_error = -EIO;
	CHECK_EXIT(5, "event", "list");
	CHECK_ERR("ServiceException: The store cannot answer");
	rig_stop(&fake.rig);
}

static void queues(void)
{
	fake_start();
	CHECK_EXIT(0, "queue", "list");
	CHECK_OUT("NAME  VISIBLE  HIDDEN  OLDEST\ndone        3       1  ");
	CHECK_EXIT(0, "queue", "receive", "done", "--max", "2", "--visibility", "60");
	CHECK_OUT("message " FAKE_ID ", sent ");
	CHECK_OUT(", received 1 time, receipt " FAKE_RECEIPT "\n{\n  \"version\": \"1.0\",\n");
	CHECK_OUT("\"n\": 12345678901234567890.10\n");
	CHECK_OUT("received 2 times");
	CHECK_OUT("attributes {\n  \"RequestID\": {\n");
	CHECK_OUT("{\n  \"}\": [\n    1.0,\n    \"{\"\n  ]\n}\n");
	CHECK_ERR("fatectl: hidden until 2026-11-24T00:01:00.000Z (");
	CHECK_INT(fake.last.kind, STORE_Q_RECEIVE);
	CHECK_INT(fake.last.visibility_ms, 60000);
	CHECK_INT(fake.deleted, 0);
	CHECK_EXIT(0, "queue", "receive", "done", "--max", "2", "--delete");
	quiet();
	CHECK_OUT("message " FAKE_FAILED_ID);
	CHECK_INT(fake.deleted, 2);
	CHECK_EXIT(0, "queue", "receive", "done", "--json");
	CHECK_OUT("{\"queue\":\"done\",\"messages\":[{\"messageId\":\"" FAKE_ID "\"");
	CHECK_ERR("hidden until");
	CHECK_EXIT(0, "queue", "receive", "empty");
	CHECK_STR(buf_str(&out), "");
	CHECK_STR(buf_str(&err), "fatectl: no visible message in empty\n");
	CHECK_EXIT(4, "queue", "receive", "done", "--max", "0");
	CHECK_EXIT(2, "queue", "receive");
	rig_stop(&fake.rig);
}

static void cancel_and_retry(void)
{
	fake_start();
	CHECK_EXIT(0, "event", "cancel", FAKE_OPEN_ID);
	CHECK_STR(buf_str(&out), FAKE_OPEN_ID " is being cancelled\n");
	quiet();
	CHECK_EXIT(0, "event", "cancel", FAKE_OPEN_ID, "--json");
	CHECK_STR(buf_str(&out), "{\"requestId\":\"" FAKE_OPEN_ID "\"}\n");
	CHECK_EXIT(4, "event", "cancel", FAKE_ID);
	CHECK_STR(buf_str(&err), "fatectl: ResourceConflictException: Event " FAKE_ID " has ended already: Success\n");
	CHECK_EXIT(4, "event", "cancel", FAKE_RECEIPT);
	CHECK_ERR("Event not found");
	CHECK_EXIT(0, "event", "retry", FAKE_OPEN_ID);
	CHECK_STR(buf_str(&out), FAKE_OPEN_ID "\n");
	CHECK_STR(buf_str(&err), "fatectl: due now: " FAKE_OPEN_ID "\n");
	CHECK_EXIT(4, "event", "retry", FAKE_ID);
	CHECK_ERR("has ended successfully: with force=true");
	CHECK_EXIT(0, "event", "retry", FAKE_ID, "--force");
	CHECK_STR(buf_str(&out), FAKE_ID "\n");
	CHECK_STR(buf_str(&err), "fatectl: it had ended; accepted again as " FAKE_ID "\n");
	CHECK_STR(buf_str(&fake.engine.redrives), "echo:$LATEST " FAKE_PAYLOAD "\n");
	CHECK_EXIT(0, "event", "retry", FAKE_ID, "--json", "--force", "--timeout", "60", "--memory=512", "--qualifier", "$LATEST");
	CHECK_STR(buf_str(&out), "{\"requestId\":\"" FAKE_ID "\",\"redriveOf\":\"" FAKE_ID "\"}\n");
	CHECK_INT(fake.engine.last_timeout_ms, 60000);
	CHECK_INT(fake.engine.last_memory_mb, 512);
	quiet();
	CHECK_EXIT(4, "event", "retry", FAKE_ID, "--timeout", "x");
	CHECK_ERR("Value 'x' at 'timeout'");
	CHECK_EXIT(0, "event", "retry", FAKE_ID, "--wait", "--force");
	CHECK_STR(buf_str(&out), FAKE_RECORD "\n");
	fake.failing = true;
	CHECK_EXIT(1, "event", "retry", FAKE_ID, "--wait", "--force");
	CHECK_STR(buf_str(&out), FAKE_FAILED_RECORD "\n");
	CHECK_ERR("\nRetriesExhausted: RequestId: ");
	CHECK_EXIT(4, "event", "retry", FAKE_QUEUED_ID);
	CHECK_ERR("is queued: only one that waits");
	rig_stop(&fake.rig);
}

static void peek_and_purge(void)
{
	static const char *const env[] = { NULL };
	char socket[160];

	fake_start();
	snprintf(socket, sizeof(socket), "--socket=%s", fake.rig.path);
	CHECK_EXIT(0, "queue", "peek", "dead", "--max", "2");
	quiet();
	CHECK_INT(fake.last.limit, 2);
	CHECK_OUT("message 00000001-2222-4333-8444-555555555555, sent ");
	CHECK_OUT(", received 1 time, leased, visible again ");
	CHECK_OUT(", received 1 time\nattributes {\n  \"RequestID\": {\n");
	CHECK_OUT("}\n[\n  2.0\n]\n");
	CHECK_EXIT(0, "queue", "peek", "dead", "--json");
	CHECK_INT(fake.last.limit, 10);
	CHECK_OUT("\"body\":[2.0]}");
	CHECK_EXIT(0, "queue", "peek", "empty");
	CHECK_STR(buf_str(&err), "fatectl: no message in empty\n");

	/* Nobody to be asked: refused, whatever stdin holds. */
	CHECK_INT(run_with("y\n", env, (const char *const []){ socket, "queue", "purge", "dead", NULL }), 2);
	CHECK_ERR("say --yes");
	CHECK_INT(fake.deleted, 0);
	CHECK_EXIT(0, "queue", "purge", "dead", "--yes");
	CHECK_STR(buf_str(&out), "3 messages deleted\n");
	CHECK_INT(fake.deleted, 3);
	CHECK_EXIT(0, "queue", "purge", "empty", "--yes", "--json");
	CHECK_STR(buf_str(&out), "{\"queue\":\"empty\",\"deleted\":0}\n");
	rig_stop(&fake.rig);
}

/* Runs fatectl with a terminal as stdin, at which `keys` are pressed. Returns its exit status. */
static int run_at_terminal(const char *keys, const char *const *argv)
{
	char name[64];
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), slave, status;
	pid_t pid;

	CHECK(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0 && ptsname_r(master, name, sizeof(name)) == 0);
	slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	CHECK(slave >= 0 && write(master, keys, strlen(keys)) == (ssize_t)strlen(keys));
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		if (dup2(slave, 0) < 0 || dup2(slave, 1) < 0 || dup2(slave, 2) < 0)
			_exit(99);
		execve(fatectl, (char *const *)argv, (char *const []){ NULL });
		_exit(98);
	}
	CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
	close(slave);
	close(master);
	return WEXITSTATUS(status);
}

static void purge_asks_at_a_terminal(void)
{
	char socket[160];
	const char *const argv[] = { "fatectl", socket, "queue", "purge", "dead", NULL };

	fake_start();
	snprintf(socket, sizeof(socket), "--socket=%s", fake.rig.path);
	CHECK_INT(run_at_terminal("\n", argv), 2);
	CHECK_INT(run_at_terminal("no\n", argv), 2);
	CHECK_INT(run_at_terminal("\004", argv), 2);	/* end of file */
	CHECK_INT(fake.deleted, 0);
	CHECK_INT(run_at_terminal("y\n", argv), 0);
	CHECK_INT(fake.deleted, 3);
	rig_stop(&fake.rig);
}

static void redrive(void)
{
	fake_start();
	CHECK_EXIT(0, "queue", "redrive", "dead", "--max", "2");
	CHECK_STR(buf_str(&err), "fatectl: there are more: 2 sent; to go on: --after 2 --up-to 9\n");
	CHECK_STR(buf_str(&out), "message 00000001-2222-4333-8444-555555555555 is event " FAKE_ID " of echo\n"
				 "message 00000002-2222-4333-8444-555555555555 is event " FAKE_ID " of echo\n");
	fake.give_back_error = -EIO;
	CHECK_EXIT(4, "queue", "redrive", "dead");
	CHECK_OUT("message 00000008-2222-4333-8444-555555555555 is event " FAKE_ID " of echo\n");
	CHECK_ERR("fatectl: message 00000004-2222-4333-8444-555555555555 stays: It is neither a record nor a dead letter; "
		  "say to which function\n");
	CHECK_ERR("fatectl: what stays is visible again at 2026-11-24T00:00:30.000Z (");
	CHECK_EXIT(0, "queue", "redrive", "dead", "--to", "resize", "--max=4", "--json");
	CHECK_OUT("{\"queue\":\"dead\",\"redriven\":[{\"messageId\":");
	CHECK_ERR("there are more: 4 sent");
	fake.engine.redriven = 0;
	CHECK_EXIT(4, "queue", "redrive", "dead", "--dry-run");
	CHECK_OUT("message 00000002-2222-4333-8444-555555555555 would go to echo\n");
	CHECK_ERR("stays: ");
	CHECK_INT(fake.engine.redriven, 0);
	CHECK_EXIT(0, "queue", "redrive", "dead", "--to", "echo", "--dry-run", "--max=3");
	CHECK_ERR("there are more: 3 shown; to go on: --after 4 --up-to 9\n");
	/* In several requests, at a pace, and each message once. */
	fake.give_back_error = 0;
	CHECK_EXIT(4, "queue", "redrive", "dead", "--to", "echo", "--rate=4", "--max=9");
	CHECK_STR(buf_str(&err), "fatectl: message 00000009-2222-4333-8444-555555555555 stays: Its body is not JSON\n");
	CHECK_INT(fake.engine.redriven, 8);
	CHECK_EXIT(0, "queue", "redrive", "dead", "--function", "echo", "--verdict", "OutOfMemory", "--since", "2h",
		"--until=2026-11-25",
		   "--rate", "9", "--timeout", "9", "--memory", "300", "--qualifier=x");
	CHECK_STR(buf_str(&out), "");
	CHECK_EXIT(0, "queue", "redrive", "empty");
	CHECK_STR(buf_str(&err), "fatectl: none matches\n");
	CHECK_EXIT(4, "queue", "redrive", "dead", "--to", "nope");
	CHECK_ERR("Function not found");
	rig_stop(&fake.rig);
}

static void events_again(void)
{
	fake_start();
	fake.ended = 5;
	CHECK_EXIT(0, "event", "redrive", "--rate", "1000");
	quiet();
	CHECK_OUT("event 00000001-0000-4333-8444-555555555555 is event " FAKE_ID " of echo\n");
	CHECK_INT(fake.engine.redriven, 5);
	/* In several requests, and each event once. */
	buf_clear(&fake.engine.redrives);
	CHECK_EXIT(0, "event", "redrive", "--rate=2", "--max", "3");
	CHECK_STR(buf_str(&fake.engine.redrives), "echo [1]\necho [2]\necho [3]\n");
	CHECK_STR(buf_str(&err), "fatectl: there are more: 3 sent; to go on: --after 3 --up-to 42\n");
	buf_clear(&fake.engine.redrives);
	CHECK_EXIT(0, "event", "redrive", "--after", "3", "--up-to", "42", "--json");
	CHECK_STR(buf_str(&fake.engine.redrives), "echo [4]\necho [5]\n");
	CHECK_OUT("{\"redriven\":[{\"seq\":4,");
	CHECK_OUT("\"more\":false}\n");
	/* The engine has no room: it says where to go on. */
	fake.engine.redriven = 0;
	fake.engine.busy_at = 3;
	CHECK_EXIT(4, "event", "redrive", "--rate", "2");
	CHECK_STR(buf_str(&err), "fatectl: There is no room for more events now (MaxQueuedEvents): 2 sent; to go on: "
		  "--after 2 --up-to 42\n");
	fake.engine.redriven = 0;
	CHECK_EXIT(0, "event", "redrive", "--dry-run", "--verdict", "Timeout", "--function", "echo", "--since", "1d");
	CHECK_OUT("REQUEST ID                            FUNCTION  CONDITION         VERDICT  ENDED\n"
		  "00000001-0000-4333-8444-555555555555  echo      RetriesExhausted  Timeout  2026-11-24T00:00:00.001Z\n");
	CHECK_INT(fake.engine.redriven, 0);
	CHECK_EXIT(4, "event", "redrive", "--qualifier", "gone");
	CHECK_ERR("fatectl: 00000001-0000-4333-8444-555555555555 stays: Function not found: ");
	CHECK_EXIT(2, "event", "redrive", "--max", "0");
	CHECK_ERR("--max '0' is no number from 1 to 100000\nusage: fatectl event redrive [--function NAME]");
	CHECK_EXIT(2, "event", "redrive", "--rate", "1x");
	CHECK_EXIT(4, "event", "redrive", "--since", "yesterday");
	CHECK_STR(buf_str(&err), "fatectl: ValidationException: 1 validation error detected: Value 'yesterday' at 'since' "
		"failed to "
		  "satisfy constraint: Member must be a time (2026-11-24T10:00:00Z) or how long ago (90s, 15m, 2h, 3d)\n");
	fake.ended = 0;
	CHECK_EXIT(0, "event", "redrive");
	CHECK_STR(buf_str(&err), "fatectl: none matches\n");
	rig_stop(&fake.rig);
}

/* Between two requests: what was sent is known, and how to go on. */
static void an_interrupted_pass_says_how_far_it_came(void)
{
	char socket[128], text[512] = "";
	int e[2], status;
	pid_t pid;

	fake_start();
	fake.ended = 40;
	snprintf(socket, sizeof(socket), "FATED_SOCKET=%s", fake.rig.path);
	CHECK(pipe2(e, O_CLOEXEC) == 0);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		if (dup2(e[1], 2) < 0 || dup2(e[1], 1) < 0)
			_exit(99);
		execve(fatectl, (char *const []){ "fatectl", "event", "redrive", "--rate", "4", "--max", "40", "--json", NULL },
		       (char *const []){ socket, NULL });
		_exit(98);
	}
	close(e[1]);
	wait_count(&fake.engine.redriven, 1);
	CHECK(kill(pid, SIGINT) == 0);
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT);
	CHECK(read(e[0], text, sizeof(text) - 1) > 0);
	for (size_t n = strlen(text); n < sizeof(text) - 1 && read(e[0], text + n, 1) == 1; n++)
		;
	close(e[0]);
	rig_stop(&fake.rig);
	CHECK_INT(fake.engine.redriven, 4);
}

static void deliveries(void)
{
	static const char first[] = "00000001-0000-4333-8444-555555555555";

	fake_start();
	fake.failed = 3;
	CHECK_EXIT(0, "delivery", "list", "--failed", "--limit", "2");
	CHECK_OUT("REQUEST ID                            FUNCTION  ROLE       TARGET      TRIES  DUE     LAST ERROR\n"
		  "00000001-0000-4333-8444-555555555555  echo      OnFailure  file:/full      9  failed  No space left on "
		  "device\n");
	CHECK_STR(buf_str(&err), "fatectl: there are more: --after 10\n");
	CHECK_INT(fake.last.state, 1);
	CHECK_EXIT(0, "delivery", "list", "--target", "queue:x", "--after=10");
	CHECK_STR(fake.last.target, "queue:x");
	CHECK_INT(fake.last.after_pos, 10);
	CHECK_INT(fake.last.state, -1);
	CHECK_EXIT(0, "delivery", "show", first);
	CHECK_OUT("OnFailure of echo\n  target      file:/full\n");
	CHECK_OUT("\nbody:\n  {\n");
	CHECK_OUT("lastError   No space left on device\n");
	CHECK_EXIT(0, "delivery", "retry", first);
	CHECK_STR(buf_str(&out), "00000001-0000-4333-8444-555555555555 OnFailure is due now\n");
	CHECK_EXIT(0, "delivery", "retry", first, "OnFailure", "--json");
	CHECK_STR(buf_str(&out), "{\"requestId\":\"00000001-0000-4333-8444-555555555555\",\"role\":\"OnFailure\",\"due\":true}\n");
	CHECK_INT(fake.engine.retried, 2);
	CHECK_EXIT(4, "delivery", "retry", first, "DeadLetter");
	CHECK_ERR("Delivery not found");
	CHECK_EXIT(4, "delivery", "retry", FAKE_ID);		/* nothing of it is open */
	CHECK_ERR("has none that is open");
	CHECK_EXIT(0, "delivery", "drop", first, "OnFailure");
	CHECK_STR(buf_str(&out), "00000001-0000-4333-8444-555555555555 OnFailure is given up\n");
	CHECK_INT(fake.engine.dropped, 1);
	CHECK_EXIT(0, "delivery", "retry", "--all", "--target", "file:/full", "--rate", "1000");
	CHECK_OUT("00000003-0000-4333-8444-555555555555 OnFailure is due now, to file:/full\n");
	CHECK_INT(fake.engine.retried, 5);
	CHECK_EXIT(2, "delivery", "retry");
	CHECK_ERR("whose? say an ID, or --all");
	CHECK_EXIT(2, "delivery", "retry", first, "--all");
	CHECK_EXIT(2, "delivery", "retry", first, "--rate", "5");
	CHECK_EXIT(2, "delivery", "drop", first);
	fake.engine.delivery_status = 409;
	CHECK_EXIT(4, "delivery", "retry", "--all", "--rate", "1000");
	CHECK_ERR("fatectl: 00000001-0000-4333-8444-555555555555 OnFailure stays: The event is ending already\n");
	rig_stop(&fake.rig);
}

static void versions_and_aliases(void)
{
	fake_start();
	CHECK_EXIT(0, "function", "publish", "echo", "--description", "say \"hi\"");
	CHECK_STR(buf_str(&out), "1\n");
	quiet();
	CHECK_EXIT(0, "function", "publish", "echo", "--json");
	CHECK_OUT("\"Version\":\"2\",");
	for (int i = 3; i <= 60; i++)
		CHECK_EXIT(0, "function", "publish", "echo");
	CHECK_EXIT(0, "function", "versions", "echo");		/* two pages */
	CHECK_OUT("VERSION  PUBLISHED                     TIMEOUT  MEMORY  DESCRIPTION\n"
		  "$LATEST  -                               3.5 s  128 MB  -\n"
		  "1        2026-11-24T00:00:00.001+0000      7 s  256 MB  say \"hi\"\n"
		  "2        2026-11-24T00:00:00.002+0000      7 s  256 MB  as it was\n");
	CHECK_OUT("\n60 ");
	CHECK_EXIT(4, "function", "publish", "nope");
	CHECK_EXIT(4, "function", "versions", "nope");
	CHECK_STR(buf_str(&out), "");

	CHECK_EXIT(0, "alias", "set", "echo", "prod", "--version", "1", "--also", "2=0.25", "--description", "d");
	CHECK_OUT("Name  prod\nFunctionVersion  1\nDescription  d\nRoutingConfig.AdditionalVersionWeights.2  0.25\n");
	CHECK_EXIT(0, "alias", "list", "echo");
	CHECK_STR(buf_str(&out), "ALIAS  VERSION  ALSO    DESCRIPTION\nprod   1        2=0.25  d\n");
	CHECK_EXIT(0, "alias", "set", "echo", "prod", "--version=2", "--json");	/* without --also no weights */
	CHECK_OUT("\"FunctionVersion\":\"2\",\"Description\":\"d\",\"RevisionId\"");
	CHECK_EXIT(0, "alias", "get", "echo", "prod");
	CHECK_OUT("FunctionVersion  2\n");
	CHECK_EXIT(4, "alias", "set", "echo", "prod", "--version", "99");
	CHECK_STR(buf_str(&err), "fatectl: ResourceNotFoundException: Function not found: "
		  "arn:aws:lambda:us-east-1:000000000000:function:echo:99\n");
	CHECK_EXIT(4, "alias", "set", "echo", "prod", "--version", "1", "--also", "2=7");
	CHECK_ERR("at 'routingConfig.additionalVersionWeights'");
	CHECK_EXIT(2, "alias", "set", "echo", "prod", "--version", "1", "--also", "2");
	CHECK_ERR("is no VERSION=WEIGHT");
	CHECK_EXIT(2, "alias", "set", "echo", "prod", "--version", "1", "--also", "2={}");
	CHECK_EXIT(2, "alias", "set", "echo", "prod");
	CHECK_ERR("which version?");
	CHECK_EXIT(0, "alias", "delete", "echo", "prod");
	CHECK_EXIT(0, "alias", "delete", "echo", "prod");
	CHECK_STR(buf_str(&out), "");
	CHECK_EXIT(4, "alias", "get", "echo", "prod");
	CHECK_ERR("Cannot find alias arn");
	rig_stop(&fake.rig);
}

static void health(void)
{
	fake_start();
	CHECK_EXIT(0, "health");
	CHECK_STR(buf_str(&out), "ok\n");
	quiet();
	__atomic_store_n(&fake.engine.in_doubt, true, __ATOMIC_SEQ_CST);
	CHECK_EXIT(1, "health");
	CHECK_STR(buf_str(&out), "in doubt: disk \"full\"\n");
	CHECK_EXIT(1, "health", "--json");
	CHECK_STR(buf_str(&out), "{\"status\":\"in doubt\",\"reason\":\"disk \\\"full\\\"\"}\n");
	CHECK_EXIT(1, "health", "--socket", "/nonexistent/socket");
	CHECK_STR(buf_str(&out), "");
	CHECK_EXIT(2, "health", "now");
	rig_stop(&fake.rig);
}

/* ---- tail -------------------------------------------------------------------------------------------------- */

struct tailing { pid_t pid; int out, err; };

static struct tailing tail_start(const char *const *args)
{
	const char *argv[16] = { "fatectl", "record", "tail" };
	struct tailing t = {};
	char socket[160];
	int o[2], e[2];

	for (int i = 0; args[i]; i++)
		argv[3 + i] = args[i];
	CHECK(pipe2(o, O_CLOEXEC) == 0 && pipe2(e, O_CLOEXEC) == 0);
	snprintf(socket, sizeof(socket), "FATED_SOCKET=%s", fake.rig.path);
	t.pid = fork();
	CHECK(t.pid >= 0);
	if (t.pid == 0) {
		if (dup2(o[1], 1) < 0 || dup2(e[1], 2) < 0)
			_exit(99);
		execve(fatectl, (char *const *)argv, (char *const []){ socket, NULL });
		_exit(98);
	}
	close(o[1]);
	close(e[1]);
	t.out = o[0];
	t.err = e[0];
	buf_clear(&out);
	return t;
}
#define TAIL(...) tail_start((const char *const []){ __VA_ARGS__, NULL })

/* Reads on until so many lines are there in all; each must come. */
static void tail_lines(const struct tailing *t, size_t want)
{
	for (size_t have = 0; have < want;) {
		struct pollfd p = { .fd = t->out, .events = POLLIN };
		char text[4096];
		ssize_t n;

		have = 0;
		for (const char *s = buf_str(&out); (s = strchr(s, '\n')); s++)
			have++;
		if (have >= want)
			break;
		if (poll(&p, 1, 60000) != 1 || (n = read(t->out, text, sizeof(text))) <= 0)
			FAIL("%zu lines, want %zu: %s", have, want, buf_str(&out));
		buf_add(&out, text, (size_t)n);
	}
}

static int tail_end(struct tailing *t, int signo)
{
	int status;

	if (signo)
		CHECK(kill(t->pid, signo) == 0);
	CHECK(waitpid(t->pid, &status, 0) == t->pid);
	buf_clear(&err);
	drain(t->err, &err);
	drain(t->out, &out);
	if (!WIFEXITED(status))
		FAIL("ended by signal %d", WTERMSIG(status));
	return WEXITSTATUS(status);
}

static void tail(void)
{
	struct tailing t;

	fake_start();
	fake.last_pos = 12;
	t = TAIL("-n", "2");
	tail_lines(&t, 2);
	CHECK_STR(buf_str(&out),
		  "2026-11-24T00:00:00.011Z  echo              00000011-2222-4333-8444-555555555555  Success            -\n"
		  "2026-11-24T00:00:00.012Z  echo              00000012-2222-4333-8444-555555555555  RetriesExhausted   Timeout\n");
	__atomic_store_n(&fake.last_pos, 14, __ATOMIC_SEQ_CST);
	tail_lines(&t, 4);
	__atomic_store_n(&fake.last_pos, 15, __ATOMIC_SEQ_CST);
	tail_lines(&t, 5);
	CHECK_INT(tail_end(&t, SIGINT), 0);
	quiet();
	CHECK_OUT(".013Z  echo              00000013-");
	CHECK_OUT(".015Z  echo              00000015-");

	/* Ten by default, whole with --json, and what is found by looking back. */
	t = TAIL("--json", "--condition", "RetriesExhausted");
	tail_lines(&t, 7);		/* 2, 4, … 14 */
	CHECK(strncmp(buf_str(&out), FAKE_FAILED_RECORD "\n" FAKE_FAILED_RECORD "\n", 2 * strlen(FAKE_FAILED_RECORD "\n")) == 0);
	CHECK_INT(tail_end(&t, SIGTERM), 0);
	t = TAIL("--condition=RetriesExhausted", "-n", "3");
	tail_lines(&t, 3);
	CHECK_OUT("00000010-");
	CHECK_INT(tail_end(&t, SIGINT), 0);
	CHECK(!strstr(buf_str(&out), "00000008-"));

	/* Nothing of old; then another store with less in it, whose new records are new. */
	__atomic_store_n(&fake.tails, 0, __ATOMIC_SEQ_CST);
	t = TAIL("-n", "0");
	wait_count(&fake.tails, 2);
	__atomic_store_n(&fake.last_pos, 3, __ATOMIC_SEQ_CST);
	wait_count(&fake.tails, 4);
	__atomic_store_n(&fake.last_pos, 4, __ATOMIC_SEQ_CST);
	tail_lines(&t, 1);
	CHECK_INT(tail_end(&t, SIGINT), 0);
	CHECK(strncmp(buf_str(&out), "2026-11-24T00:00:00.004Z  ", 26) == 0);
	rig_stop(&fake.rig);
}

static void tail_ends_with_its_reader(void)
{
	struct tailing t;

	fake_start();
	fake.last_pos = 1;
	t = TAIL("-n", "1");
	tail_lines(&t, 1);
	close(t.out);		/* nothing more is written: it must be seen while waiting */
	t.out = open("/dev/null", O_RDONLY | O_CLOEXEC);
	CHECK_INT(tail_end(&t, 0), 0);
	quiet();
	t = TAIL("-n", "-1");
	CHECK_INT(tail_end(&t, 0), 2);
	CHECK_ERR("-n takes a number from 0 to 1000");
	t = TAIL("--condition", "nonsense");
	CHECK_INT(tail_end(&t, 0), 4);
	rig_stop(&fake.rig);
	t = TAIL("-n", "1");	/* there has to be a daemon at first */
	CHECK_INT(tail_end(&t, 0), 3);
}

/* ---- --watch on a pipe */

static void watched(void)
{
	static const char round_of[] = "NAME    MODE  TIMEOUT  MEMORY  RETRIES  CONCURRENCY  ON SUCCESS  ON FAILURE\n"
				       "echo    exec    3.5 s  128 MB        2            4  -           function:reinvoke\n"
				       "resize  exec    3.5 s  128 MB        2            4  -           function:reinvoke\n";
	CLEAN(buf_done) struct buf want = {};
	struct running r;

	fake_start();
	buf_addf(&want, "%s\n%s\n%s", round_of, round_of, round_of);
	r = RUN_ON("function", "list", "--watch=0.1");
	read_until(r.out, &r.got, want.len);
	CHECK(kill(r.pid, SIGINT) == 0);
	CHECK_INT(run_out(&r), 0);
	CHECK(strncmp(buf_str(&out), want.data, want.len) == 0);
	quiet();

	r = RUN_ON("queue", "list", "--json", "--watch");
	read_until(r.out, &r.got, strlen("{\"queues\":["));
	CHECK(kill(r.pid, SIGTERM) == 0);
	CHECK_INT(run_out(&r), 0);
	CHECK_OUT("{\"queues\":[");

	/* Everything the verb takes goes to the verb, and what it warns of comes each time. */
	r = RUN_ON("event", "list", "--watch=0.1", "--limit", "2");
	read_until(r.err, &r.said, strlen("fatectl: there are more: --before 41\n") * 2);
	CHECK(kill(r.pid, SIGINT) == 0);
	CHECK_INT(run_out(&r), 0);
	CHECK(strncmp(buf_str(&err), "fatectl: there are more: --before 41\nfatectl: there are more: --before 41\n", 74) == 0);

	/* How it ends is how the last round was: all was well, then it was not. */
	r = RUN_ON("status", "--watch=0.1");
	read_until(r.out, &r.got, strlen("fated"));
	__atomic_store_n(&fake.engine.lost_processes, 3, __ATOMIC_SEQ_CST);
	while (!strstr(buf_str(&r.got), "DRIFT"))
		read_until(r.out, &r.got, r.got.len + 1);
	CHECK(kill(r.pid, SIGINT) == 0);
	CHECK_INT(run_out(&r), 6);

	/* The first round must be good; a verb that does more than look has no such option. */
	CHECK_EXIT(4, "event", "list", "--state", "asleep", "--watch");
	CHECK_ERR("at 'state'");
	CHECK_EXIT(2, "status", "now", "--watch");
	CHECK_EXIT(2, "status", "--watch=0");
	CHECK_EXIT(2, "status", "--watch=");
	CHECK_EXIT(2, "status", "--watched");
	CHECK_EXIT(2, "status", "--", "--watch");
	CHECK_EXIT(2, "queue", "receive", "done", "--watch");
	CHECK_ERR("unknown option '--watch'");
	rig_stop(&fake.rig);
	CHECK_EXIT(3, "status", "--watch");
	CHECK_ERR("is fated running?");
}

static void a_watcher_ends_with_its_reader(void)
{
	struct running r;

	fake_start();
	r = RUN_ON("function", "list", "--watch=3600");	/* while it waits */
	read_until(r.out, &r.got, 1);
	close(r.out);
	r.out = -1;
	CHECK_INT(run_out(&r), 0);
	quiet();
	rig_stop(&fake.rig);
}

static void a_watcher_waits_for_the_daemon(void)
{
	static const char gone[] = "fatectl: daemon is gone, waiting\n";
	struct running r;

	fake_start();
	r = RUN_ON("function", "list", "--watch=0.1");
	read_until(r.out, &r.got, 1);
	rig_stop(&fake.rig);
	read_until(r.err, &r.said, strlen(gone));
	CHECK(kill(r.pid, SIGINT) == 0);
	CHECK_INT(run_out(&r), 3);
	CHECK_STR(buf_str(&err), gone);
}

/* What could not be written out is not deleted. */
static void queue_receive_to_a_full_disk(void)
{
	char command[PATH_MAX + 256];
	int status;

	fake_start();
	snprintf(command, sizeof(command), "%s --socket %s queue receive done --delete >/dev/full 2>/dev/null", fatectl,
		 fake.rig.path);
	status = system(command);
	CHECK(WIFEXITED(status));
	CHECK_INT(WEXITSTATUS(status), 2);
	CHECK_INT(fake.last.kind, STORE_Q_RECEIVE);
	CHECK_INT(fake.deleted, 0);
	rig_stop(&fake.rig);
}

static void reload(void)
{
	fake_start();
	CHECK_EXIT(0, "reload");
	CHECK_STR(buf_str(&out), "added: new\nfunctions: 2\n");
	quiet();
	CHECK_EXIT(4, "reload");
	CHECK_OUT("added: new\n");
	CHECK_STR(buf_str(&err), "fatectl: /etc/fated/functions.d/bad.json: $.Timeout: must be a number\n");
	CHECK_EXIT(4, "reload", "--json");
	CHECK_OUT("\"problems\":[{\"file\":");
	rig_stop(&fake.rig);
}

static void not_allowed(void)
{
	char command[PATH_MAX + 256];
	int status;

	if (geteuid() != 0)
		SKIP("needs root to run fatectl as somebody else");
	fake_start();
	/* The file's mode keeps them out; fatectl says who may come in. */
	CHECK(chmod(fake.rig.dir, 0755) == 0);
	snprintf(command, sizeof(command), "cp %s %s/fatectl && chmod 755 %s/fatectl && cd / && setpriv --reuid=65534 "
		 "--regid=65534 --clear-groups "
		 "%s/fatectl --socket %s status >/dev/null 2>%s/err", fatectl, fake.rig.dir, fake.rig.dir, fake.rig.dir,
		 fake.rig.path, fake.rig.dir);
	status = system(command);
	CHECK(WIFEXITED(status));
	CHECK_INT(WEXITSTATUS(status), 3);
	snprintf(command, sizeof(command), "grep -q 'Permission denied; only root and the members' %s/err", fake.rig.dir);
	CHECK_INT(system(command), 0);
	snprintf(command, sizeof(command), "rm %s/err %s/fatectl", fake.rig.dir, fake.rig.dir);
	CHECK_INT(system(command), 0);
	rig_stop(&fake.rig);
}

int main(void)
{
	find_fatectl();
	RUN(usage_and_help);
	RUN(no_daemon);
	RUN(invoke);
	RUN(invoke_async);
	RUN(payloads);
	RUN(status);
	RUN(the_law);
	RUN(what_status_warns_of);
	RUN(top);
	RUN(functions);
	RUN(logs_followed);
	RUN(a_follower_ends_with_its_reader);
	RUN(a_follower_waits_for_the_daemon);
	RUN(topics_and_buses);
	RUN(events_and_records);
	RUN(queues);
	RUN(cancel_and_retry);
	RUN(peek_and_purge);
	RUN(purge_asks_at_a_terminal);
	RUN(redrive);
	RUN(events_again);
	RUN(an_interrupted_pass_says_how_far_it_came);
	RUN(deliveries);
	RUN(versions_and_aliases);
	RUN(health);
	RUN(tail);
	RUN(tail_ends_with_its_reader);
	RUN(watched);
	RUN(a_watcher_ends_with_its_reader);
	RUN(a_watcher_waits_for_the_daemon);
	RUN(queue_receive_to_a_full_disk);
	RUN(reload);
	RUN(not_allowed);
	buf_done(&out);
	buf_done(&err);
	TEST_END();
}
