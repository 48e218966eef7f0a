/* SPDX-License-Identifier: Apache-2.0 */
/* The functions' directory, on real files in a directory of the test's own. The daemon's objects are in no library,
 * so the files under test are included. */
#include "daemon/definitions.c"
#include "daemon/saved.c"

#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "lib/test.h"

static char dir[64];
static struct definitions defs;
static struct definitions_result res;
static char *line;		/* summary of the last load */

static char *path_of(const char *name)
{
	static char p[512];

	snprintf(p, sizeof(p), "%s/%s", dir, name);
	return p;
}

static void empty_dir(void)
{
	DIR *d = opendir(dir);
	struct dirent *de;

	CHECK(d);
	while ((de = readdir(d)))
		if (strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0 && unlink(path_of(de->d_name)) < 0)
			CHECK(rmdir(path_of(de->d_name)) == 0);
	closedir(d);
}

/* Every test begins with an empty directory and no memory. */
static void fresh(void)
{
	definitions_done(&defs);
	definitions_result_done(&res);
	if (access(dir, F_OK) < 0)
		CHECK(mkdir(dir, 0700) == 0);
	empty_dir();
}

static void put_file(const char *name, const char *text)
{
	FILE *f = fopen(path_of(name), "w");

	CHECK(f);
	CHECK(fputs(text, f) >= 0);
	CHECK(fclose(f) == 0);
	CHECK(chmod(path_of(name), 0644) == 0);
}

static const char *def(const char *name, int timeout)
{
	static char text[2][200];
	static int i;

	i = !i;
	snprintf(text[i], sizeof(text[i]), "{\"FunctionName\":\"%s\",\"Command\":\"/bin/true\",\"Timeout\":%d}", name, timeout);
	return text[i];
}

/* A host without the controller for CpuPercent. */
static int limits(void *arg, const struct func *f, struct err *e)
{
	CHECK(f->require_limits && arg == &defs);
	return f->cpu_percent ? err_set(e, -EOPNOTSUPP, "no cpu (for CpuPercent): a reason") : 0;
}
static int any_limits(void *arg, const struct func *f, struct err *e) { return 0; }
static struct definitions_check check = { .limits = limits, .arg = &defs };

static int by_name(const void *a, const void *b)
{
	return strcmp((*(struct func *const *)a)->name, (*(struct func *const *)b)->name);
}

static int load_from(const char *where)
{
	int r;

	definitions_result_done(&res);
	r = definitions_load(&defs, where, &check, &res);
	CHECK_INT(r, res.n_problems ? -EINVAL : 0);
	free(line);
	line = definitions_summary(&res);
	/* Names are unique; the order is nobody's, and here that of the names. */
	qsort(res.functions, res.n_functions, sizeof(*res.functions), by_name);
	for (size_t i = 1; i < res.n_functions; i++)
		CHECK(strcmp(res.functions[i - 1]->name, res.functions[i]->name) < 0);
	for (size_t i = 0; i < res.n_topics; i++)
		for (size_t k = 0; k < i; k++)
			CHECK(strcmp(res.topics[i]->name, res.topics[k]->name) != 0);
	for (size_t i = 0; i < res.n_buses; i++)
		for (size_t k = 0; k < i; k++)
			CHECK(strcmp(res.buses[i]->name, res.buses[k]->name) != 0);
	return r;
}
static int load(void) { return load_from(dir); }

/* "a:3 b:5": names and timeouts in force. */
static const char *in_force(void)
{
	static char s[1000];
	size_t n = 0;

	s[0] = '\0';
	for (size_t i = 0; i < res.n_functions; i++)
		n += (size_t)snprintf(s + n, sizeof(s) - n, "%s%s:%d", i ? " " : "", res.functions[i]->name,
				      res.functions[i]->timeout_ms / 1000);
	return s;
}

static void check_problem(size_t i, const char *file, const char *path, const char *word)
{
	CHECK(i < res.n_problems);
	CHECK_STR(res.problems[i].file, *file ? path_of(file) : dir);
	CHECK_STR(res.problems[i].path, path);
	if (!strstr(res.problems[i].reason, word))
		FAIL("\"%s\" does not say \"%s\"", res.problems[i].reason, word);
}

static void empty_directory(void)
{
	fresh();
	CHECK_INT(load(), 0);
	CHECK_INT(res.n_functions, 0);
	CHECK_STR(line, "no functions");
}

static void reads_what_is_a_definition(void)
{
	fresh();
	put_file("b.json", def("bb", 2));
	put_file("a.json", def("zz", 1));
	put_file(".hidden.json", "rubbish");
	put_file("a.json~", "rubbish");
	put_file("README", "rubbish");
	put_file(".json", "rubbish");
	put_file("c.JSON", "rubbish");
	CHECK_INT(load(), 0);
	CHECK_STR(in_force(), "bb:2 zz:1");
	CHECK_STR(line, "added bb, zz");
}

static void added_changed_removed_unchanged(void)
{
	const struct func *before;

	fresh();
	put_file("a.json", def("a", 1));
	put_file("b.json", def("b", 1));
	put_file("c.json", def("c", 1));
	put_file("d.json", def("d", 1));
	CHECK_INT(load(), 0);
	CHECK_STR(line, "added a, b, c, d");
	before = res.functions[0];
	CHECK_INT(load(), 0);
	CHECK_STR(line, "4 unchanged");
	CHECK(res.functions[0] == before);		/* the same snapshot, not a like one */
	put_file("b.json", def("b", 9));
	CHECK(unlink(path_of("c.json")) == 0);
	put_file("e.json", def("e", 1));
	put_file("d.json", def("x", 1));		/* the file stays, its function is another */
	CHECK_INT(load(), 0);
	CHECK_STR(in_force(), "a:1 b:9 e:1 x:1");
	CHECK_STR(line, "added e, x; changed b; removed c, d; 1 unchanged");
	CHECK_INT(res.n_changes, 5);
	CHECK_STR(res.changes[0].name, "b");
	CHECK_INT(res.changes[0].kind, DEFINITIONS_CHANGED);
	CHECK_STR(res.changes[4].name, "x");
	/* a file's name is nothing to a function */
	{
		char from[512];

		snprintf(from, sizeof(from), "%s", path_of("a.json"));
		CHECK(rename(from, path_of("zz.json")) == 0);
	}
	CHECK_INT(load(), 0);
	CHECK_STR(line, "4 unchanged");
}

static void bad_file_keeps_what_it_gave(void)
{
	const struct func *before;

	fresh();
	put_file("a.json", def("a", 1));
	put_file("b.json", def("b", 1));
	CHECK_INT(load(), 0);
	before = res.functions[0];
	put_file("a.json", "{\"FunctionName\":\"a\",\"Timeout\":0,\"Nonsense\":1}");
	put_file("c.json", def("c", 1));
	put_file("d.json", "{");			/* never gave anything */
	CHECK(load() < 0);
	CHECK_STR(in_force(), "a:1 b:1 c:1");
	CHECK(res.functions[0] == before);
	CHECK_STR(line, "added c; kept a; 1 unchanged");
	CHECK_INT(res.n_problems, 4);
	check_problem(0, "a.json", "$.Timeout", "is 0");
	check_problem(1, "a.json", "$.Nonsense", "no known member");
	check_problem(2, "a.json", "$.Command", "is missing");
	check_problem(3, "d.json", "$", "ends too early");
	/* Still bad: still kept, still told. */
	CHECK(load() < 0);
	CHECK_STR(line, "kept a; 2 unchanged");
	CHECK_INT(res.n_problems, 4);
	/* Back as it was. */
	CHECK(unlink(path_of("d.json")) == 0);
	put_file("a.json", def("a", 1));
	CHECK_INT(load(), 0);
	CHECK_STR(line, "3 unchanged");
	/* A bad file that is then removed takes its function along. */
	put_file("a.json", "rubbish");
	CHECK(load() < 0);
	CHECK(unlink(path_of("a.json")) == 0);
	CHECK_INT(load(), 0);
	CHECK_STR(line, "removed a; 2 unchanged");
}

static void two_files_one_name(void)
{
	fresh();
	put_file("1.json", def("x", 1));
	put_file("2.json", def("x", 2));
	put_file("3.json", def("x", 3));
	CHECK(load() < 0);
	CHECK_STR(in_force(), "x:1");
	CHECK_INT(res.n_problems, 2);
	check_problem(0, "2.json", "$.FunctionName", "\"x\" is defined in 1.json already");
	check_problem(1, "3.json", "$.FunctionName", "1.json");
	CHECK(unlink(path_of("1.json")) == 0);
	CHECK(load() < 0);
	CHECK_STR(in_force(), "x:2");
	CHECK_STR(line, "changed x");
	/* A new file that sorts first wins, also against one that was there. */
	put_file("0.json", def("x", 7));
	CHECK(load() < 0);
	CHECK_STR(in_force(), "x:7");
}

/* A file that turns to a name it may not have counts as bad: what it gave stays. */
static void name_taken_keeps_the_old(void)
{
	fresh();
	put_file("1.json", def("x", 1));
	put_file("2.json", def("y", 2));
	CHECK_INT(load(), 0);
	put_file("2.json", def("x", 3));
	CHECK(load() < 0);
	CHECK_STR(in_force(), "x:1 y:2");
	CHECK_STR(line, "kept y; 1 unchanged");
}

/* The good file gets the name, not the bad one that had it. */
static void good_file_before_kept_one(void)
{
	fresh();
	put_file("1.json", def("x", 1));
	CHECK_INT(load(), 0);
	put_file("1.json", "rubbish");
	put_file("2.json", def("x", 2));
	CHECK(load() < 0);
	CHECK_INT(res.n_problems, 1);
	CHECK_STR(in_force(), "x:2");
	CHECK_STR(line, "changed x");
}

static void not_regular_files(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	fresh();
	put_file("z.json", def("z", 1));
	CHECK(mkfifo(path_of("1fifo.json"), 0600) == 0);	/* opening it for reading would wait for a writer */
	CHECK(mkdir(path_of("2dir.json"), 0700) == 0);
	CHECK(symlink("z.json", path_of("3link.json")) == 0);
	CHECK(symlink("nowhere", path_of("4dangling.json")) == 0);
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%.100s", path_of("5sock.json"));
	CHECK(s >= 0 && bind(s, (struct sockaddr *)&sa, sizeof(sa)) == 0);
	close(s);
	CHECK(load() < 0);
	CHECK_STR(in_force(), "z:1");
	CHECK_INT(res.n_problems, 5);
	check_problem(0, "1fifo.json", "", "not a regular file");
	check_problem(1, "2dir.json", "", "not a regular file");
	check_problem(2, "3link.json", "", "symbolic link");
	check_problem(3, "4dangling.json", "", "symbolic link");
	check_problem(4, "5sock.json", "", "not a regular file");
}

static void sizes_and_rights(void)
{
	char *big = malloc(DEFINITIONS_FILE_MAX + 2);
	const char *text = def("big", 1);

	fresh();
	memset(big, ' ', DEFINITIONS_FILE_MAX + 1);
	memcpy(big, text, strlen(text));
	big[DEFINITIONS_FILE_MAX] = '\0';
	put_file("big.json", big);
	CHECK_INT(load(), 0);
	CHECK_STR(in_force(), "big:1");
	big[DEFINITIONS_FILE_MAX] = ' ';
	big[DEFINITIONS_FILE_MAX + 1] = '\0';
	put_file("big.json", big);
	free(big);
	CHECK(load() < 0);
	check_problem(0, "big.json", "", "larger than 1048576 bytes");
	CHECK_STR(line, "kept big");
	put_file("big.json", "");
	CHECK(load() < 0);
	check_problem(0, "big.json", "$", "ends too early");
	put_file("big.json", def("big", 1));
	CHECK(chmod(path_of("big.json"), 0646) == 0);
	CHECK(load() < 0);
	check_problem(0, "big.json", "", "written by everyone");
	CHECK_STR(line, "kept big");
}

static void missing_directory(void)
{
	fresh();
	put_file("a.json", def("a", 1));
	CHECK_INT(load(), 0);
	CHECK(load_from("/nonexistent/functions.d") < 0);
	CHECK_INT(res.n_problems, 1);
	CHECK_STR(res.problems[0].file, "/nonexistent/functions.d");
	CHECK_STR(res.problems[0].path, "");
	CHECK(strstr(res.problems[0].reason, "No such file"));
	CHECK_STR(in_force(), "a:1");
	CHECK_STR(line, "kept a");
	CHECK_INT(load(), 0);
	CHECK_STR(line, "1 unchanged");
}

/* A directory that is there and cannot be read says nothing about functions. */
static void unreadable_directory(void)
{
	fresh();
	put_file("a.json", def("a", 1));
	CHECK_INT(load(), 0);
	CHECK(load_from(path_of("a.json")) < 0);
	CHECK_INT(res.n_problems, 1);
	CHECK(strstr(res.problems[0].reason, "Not a directory"));
	CHECK_STR(in_force(), "a:1");
	CHECK_STR(line, "kept a");
	CHECK_INT(load(), 0);
	CHECK_STR(line, "1 unchanged");
}

static void long_summary(void)
{
	fresh();
	for (int i = 0; i < 25; i++) {
		char name[20], file[30];

		snprintf(name, sizeof(name), "f%02d", i);
		snprintf(file, sizeof(file), "f%02d.json", i);
		put_file(file, def(name, 1));
	}
	CHECK_INT(load(), 0);
	CHECK_INT(res.n_functions, 25);
	CHECK(strncmp(line, "added f00, f01, ", 16) == 0);
	CHECK(strstr(line, ", f19 and 5 more"));
	CHECK(!strstr(line, "f20"));
}

/* What a result holds outlives the next load, and the loader's memory. */
static void references_are_the_results_own(void)
{
	struct definitions_result old;

	fresh();
	put_file("a.json", def("a", 1));
	CHECK_INT(load(), 0);
	old = res;
	res = (struct definitions_result){};
	put_file("a.json", def("a", 2));
	CHECK_INT(load(), 0);
	definitions_done(&defs);
	CHECK_INT(old.functions[0]->timeout_ms, 1000);
	CHECK_INT(old.functions[0]->refs, 1);
	CHECK_INT(res.functions[0]->refs, 1);
	definitions_result_done(&old);
}

/* ---- topics and buses ---- */

#define COMMAND(id, more) "{\"Protocol\":\"command\",\"Id\":\"" id "\",\"Command\":\"/bin/true\"" more "}"
#define TOPIC(name, subs) "{\"TopicName\":\"" name "\",\"Subscriptions\":[" subs "]}"
#define BUS(name, target) "{\"EventBusName\":\"" name "\",\"Rules\":[{\"Name\":\"r\",\"EventPattern\":{\"source\":[\"lambda\"]}," \
	"\"Targets\":[{\"Id\":\"1\",\"Arn\":\"queue:q\"},{\"Id\":\"2\",\"Arn\":\"" target "\"}]}]}"

static void three_kinds(void)
{
	const struct topic *topic;
	const struct bus *bus;

	fresh();
	put_file("z.json", TOPIC("b", COMMAND("one", "") "," COMMAND("two", "")));
	put_file("y.json", TOPIC("a", ""));
	put_file("x.json", BUS("a", "topic:b"));
	put_file("w.json", def("a", 3));			/* names are unique within their kind */
	CHECK_INT(load(), 0);
	CHECK_STR(in_force(), "a:3 b-one:3 b-two:3");
	CHECK_INT(res.n_topics, 2);
	CHECK_INT(res.n_buses, 1);
	CHECK_STR(line, "added a, b-one, b-two, topic a, topic b, bus a");
	topic = res.topics[1];
	bus = res.buses[0];
	CHECK(topic->subs[0].command == res.functions[1]);
	CHECK_INT(load(), 0);
	CHECK_STR(line, "6 unchanged");
	CHECK(res.topics[1] == topic && res.buses[0] == bus);	/* the same snapshots */
	put_file("z.json", TOPIC("b", COMMAND("one", "") "," COMMAND("three", "")));
	put_file("x.json", BUS("b", "topic:b"));
	CHECK_INT(load(), 0);
	CHECK_STR(line, "added b-three, bus b; changed b-one, topic b; removed b-two, bus a; 2 unchanged");
	CHECK(unlink(path_of("z.json")) == 0);
	CHECK(load() < 0);
	CHECK_STR(line, "removed b-one, b-three, topic b; 3 unchanged");
	CHECK_INT(res.n_problems, 1);
	check_problem(0, "x.json", "$.Rules[0].Targets[1].Arn", "topic \"b\" is not defined");
}

static void bad_topic_keeps_what_it_gave(void)
{
	const struct topic *before;

	fresh();
	put_file("t.json", TOPIC("t", COMMAND("m", "")));
	CHECK_INT(load(), 0);
	before = res.topics[0];
	put_file("t.json", TOPIC("t", COMMAND("m", ",\"Timeout\":0")));
	CHECK(load() < 0);
	CHECK_STR(line, "kept t-m, topic t");
	CHECK(res.topics[0] == before && res.functions[0] == before->subs[0].command);
	CHECK_INT(res.n_problems, 1);
	check_problem(0, "t.json", "$.Subscriptions[0].Timeout", "is 0");
	/* Half written, as an editor may leave it for a moment. */
	put_file("t.json", "{\"TopicName\":\"t\",\"Subscr");
	CHECK(load() < 0);
	CHECK_STR(line, "kept t-m, topic t");
	/* The file turns into a bus: topic and command go. */
	put_file("t.json", BUS("t", "queue:x"));
	CHECK_INT(load(), 0);
	CHECK_STR(line, "added bus t; removed t-m, topic t");
}

static void commands_are_functions_by_name(void)
{
	fresh();
	put_file("1.json", def("t-m", 1));
	put_file("2.json", TOPIC("t", "{\"Protocol\":\"sqs\",\"Endpoint\":\"q\"}," COMMAND("m", "")));
	put_file("3.json", TOPIC("t", ""));
	CHECK(load() < 0);
	CHECK_STR(in_force(), "t-m:1");
	CHECK_INT(res.n_problems, 1);
	check_problem(0, "2.json", "$.Subscriptions[1].Id", "\"t-m\" is defined in 1.json already");
	CHECK_INT(res.topics[0]->n_subs, 0);			/* 3.json's: a bad file holds no name */
	/* The other way round: the topic comes first. */
	fresh();
	put_file("1.json", TOPIC("t", COMMAND("m", "")));
	put_file("2.json", def("t-m", 1));
	put_file("3.json", TOPIC("t", ""));
	CHECK(load() < 0);
	CHECK_STR(in_force(), "t-m:3");
	CHECK_INT(res.n_problems, 2);
	check_problem(0, "2.json", "$.FunctionName", "\"t-m\" is defined in 1.json already");
	check_problem(1, "3.json", "$.TopicName", "\"t\" is defined in 1.json already");
	/* A bad topic is not kept in part: its command's name belongs to a good file now. */
	CHECK(unlink(path_of("3.json")) == 0);
	put_file("1.json", "rubbish");
	CHECK(load() < 0);
	CHECK_STR(in_force(), "t-m:1");
	CHECK_INT(res.n_topics, 0);
	CHECK_STR(line, "changed t-m; removed topic t");
}

static void names_that_lead_nowhere(void)
{
#define DEST(place, role, to) place "\"DestinationConfig\":{\"" role "\":{\"Destination\":\"" to "\"}}"
	fresh();
	put_file("1.json", "{\"FunctionName\":\"a\",\"Command\":\"/x\"," DEST("", "OnSuccess", "topic:none") ","
			   DEST("\"EventInvokeConfig\":{", "OnFailure", "function:b") "}}");
	put_file("2.json", TOPIC("t", "{\"Protocol\":\"lambda\",\"Endpoint\":\"nobody\"},"
				 COMMAND("m", "," DEST("\"EventInvokeConfig\":{", "OnFailure", "bus:none") "}")));
	put_file("3.json", BUS("x", "function:nobody"));
	put_file("4.json", "{\"FunctionName\":\"b\",\"Command\":\"/x\"," DEST("", "OnFailure", "nothing") "}");	/* a queue */
	CHECK(load() < 0);
	/* Nothing is taken down. */
	CHECK_STR(line, "added a, b, t-m, topic t, bus x");
	CHECK_INT(res.n_problems, 4);
	check_problem(0, "1.json", "$.DestinationConfig.OnSuccess.Destination", "topic \"none\" is not defined");
	check_problem(1, "2.json", "$.Subscriptions[1].EventInvokeConfig.DestinationConfig.OnFailure.Destination",
		      "bus \"none\" is not defined");
	check_problem(2, "2.json", "$.Subscriptions[0].Endpoint", "function \"nobody\" is not defined");
	check_problem(3, "3.json", "$.Rules[0].Targets[1].Arn", "function \"nobody\" is not defined");
	/* What comes later in the order of files is there. */
	put_file("9.json", TOPIC("none", "{\"Protocol\":\"lambda\",\"Endpoint\":\"none-m\"}," COMMAND("m", "")));
	put_file("8.json", "{\"EventBusName\":\"none\"}");
	put_file("7.json", def("nobody", 1));
	CHECK_INT(load(), 0);
}

static void required_limits(void)
{
	fresh();
	put_file("a.json", "{\"FunctionName\":\"a\",\"Command\":\"/x\",\"RequireLimits\":true}");
	put_file("b.json", "{\"FunctionName\":\"b\",\"Command\":\"/x\",\"CpuPercent\":50}");
	put_file("t.json", TOPIC("t", COMMAND("m", ",\"CpuPercent\":50")));
	CHECK_INT(load(), 0);
	CHECK_STR(line, "added a, b, t-m, topic t");
	/* Refused, and what was there before does not run on without the limit. */
	put_file("b.json", "{\"FunctionName\":\"b\",\"Command\":\"/x\",\"CpuPercent\":50,\"RequireLimits\":true}");
	put_file("t.json", TOPIC("t", COMMAND("m", ",\"CpuPercent\":50,\"RequireLimits\":true")));
	for (int i = 0; i < 2; i++) {
		CHECK(load() < 0);
		CHECK_STR(in_force(), "a:3");
		CHECK_STR(line, i ? "1 unchanged" : "removed b, t-m, topic t; 1 unchanged");
		CHECK_INT(res.n_problems, 2);
		check_problem(0, "b.json", "$.RequireLimits", "no cpu (for CpuPercent): a reason");
		check_problem(1, "t.json", "$.Subscriptions[0].RequireLimits", "a reason");
	}
	put_file("b.json", "{\"FunctionName\":\"b\",\"Command\":\"/x\",\"RequireLimits\":true}");
	put_file("t.json", TOPIC("t", COMMAND("m", "")));
	CHECK_INT(load(), 0);
	CHECK_STR(line, "added b, t-m, topic t; 1 unchanged");
}

/* A claim must hold longer than the longest attempt; what was in force, was good and stays. */
static void lease(void)
{
	fresh();
	check.lease_s = 60;
	put_file("a.json", def("a", 49));
	put_file("b.json", def("b", 10));
	put_file("t.json", TOPIC("t", COMMAND("m", "")));
	CHECK_INT(load(), 0);
	put_file("a.json", def("a", 50));
	put_file("b.json", "{\"FunctionName\":\"b\",\"Command\":\"/x\",\"Timeout\":10,\"KillGracePeriod\":1.5,"
		 "\"RetryPolicy\":{\"Timeout\":{\"Attempts\":1,\"TimeoutFactor\":2,\"TimeoutMax\":48.5}}}");
	put_file("t.json", TOPIC("t", COMMAND("m", ",\"Timeout\":45,\"KillGracePeriod\":5")));
	CHECK(load() < 0);
	CHECK_STR(in_force(), "a:49 b:10 t-m:3");
	CHECK_INT(res.n_problems, 3);
	check_problem(0, "a.json", "$.Timeout", "may take 50 s; with 10 s to settle it that is not less than LeaseSeconds");
	check_problem(1, "b.json", "$.RetryPolicy.Timeout.TimeoutMax", "KillGracePeriod an attempt may take 50 s");
	check_problem(2, "t.json", "$.Subscriptions[0].Timeout", "configuration (60)");
	/* A maximum that no factor leads to means nothing; one below Timeout neither. */
	put_file("a.json", def("a", 49));
	put_file("b.json", "{\"FunctionName\":\"b\",\"Command\":\"/x\",\"Timeout\":11,"
		 "\"RetryPolicy\":{\"Timeout\":{\"Attempts\":1,\"TimeoutFactor\":1,\"TimeoutMax\":900}}}");
	put_file("t.json", TOPIC("t", COMMAND("m", ",\"Timeout\":44,\"KillGracePeriod\":5")));
	CHECK_INT(load(), 0);
	CHECK_STR(in_force(), "a:49 b:11 t-m:44");
	/* At start there is nothing to keep. */
	fresh();
	put_file("a.json", def("a", 50));
	CHECK(load() < 0);
	CHECK_STR(in_force(), "");
	check.lease_s = 0;
	CHECK_INT(load(), 0);
	CHECK_STR(in_force(), "a:50");
}

#define RESERVED(name, n) "{\"FunctionName\":\"" name "\",\"Command\":\"/x\",\"ReservedConcurrentExecutions\":" n "}"
static void reserved_concurrency(void)
{
	fresh();
	check.concurrency_max = 10;
	put_file("a.json", RESERVED("a", "4"));
	put_file("b.json", RESERVED("b", "6"));
	CHECK_INT(load(), 0);		/* nobody else is there to go without */
	put_file("c.json", def("c", 3));
	CHECK(load() < 0);
	CHECK_STR(in_force(), "a:3 b:3 c:3");
	CHECK_INT(res.n_problems, 1);
	check_problem(0, "", "", "come to 10, MaxConcurrency is 10: that leaves one place, taken from them, for the 1 "
		      "function without");
	put_file("b.json", RESERVED("b", "5"));
	CHECK_INT(load(), 0);
	put_file("b.json", RESERVED("b", "6"));
	check.concurrency_max = 0;
	CHECK_INT(load(), 0);
}

/* What the daemon before us had in force; the test's file lies beside the directory, as a state directory does. */
static char saved_path[80];

static void daemon_ends(void)
{
	struct err e = {};

	if (saved_write(saved_path, dir, &defs, &e) < 0)
		FAIL("%s", err_msg(&e));
	definitions_done(&defs);
}

static int another_begins(const char *where)
{
	struct err e = {};
	int r = saved_read(saved_path, where, &defs, &e);

	CHECK(r < 0 ? err_msg(&e)[0] != '\0' : !e.code);
	return r;
}

static void write_saved(const char *text, size_t len)
{
	FILE *f = fopen(saved_path, "w");

	CHECK(f && fwrite(text, 1, len, f) == len && fclose(f) == 0);
	CHECK(chmod(saved_path, 0600) == 0);
}

/* A file that breaks while no daemon runs is what one that breaks under a daemon is; one that goes, goes. */
static void kept_over_a_restart(void)
{
	fresh();
	CHECK_INT(another_begins(dir), 0);		/* the very first start */
	CHECK_INT(defs.n, 0);
	put_file("a.json", def("a", 1));
	put_file("b.json", def("b", 1));
	put_file("c.json", "{\"FunctionName\":\"c\",\n\t\"Command\":[\"/bin/echo\",\"\\u00e9 \xc3\xa9 \\\"\"]}");
	put_file("t.json", TOPIC("t", COMMAND("m", "")));
	CHECK_INT(load(), 0);
	daemon_ends();
	CHECK_INT(another_begins(dir), 0);
	CHECK_INT(load(), 0);
	CHECK_STR(line, "5 unchanged");
	for (int i = 0; i < 3; i++) {	/* and for as many restarts as it takes */
		daemon_ends();
		put_file("a.json", "{");
		put_file("t.json", "");
		if (i == 0)
			CHECK(unlink(path_of("b.json")) == 0);
		CHECK_INT(another_begins(dir), 0);
		CHECK(load() < 0);
		CHECK_STR(line, i ? "kept a, t-m, topic t; 1 unchanged" : "removed b; kept a, t-m, topic t; 1 unchanged");
		CHECK_STR(in_force(), "a:1 c:3 t-m:3");
		CHECK_INT(res.n_problems, 2);
	}
	/* The directory is not there when the host comes up. */
	daemon_ends();
	CHECK_INT(another_begins(dir), 0);
	empty_dir();
	CHECK(rmdir(dir) == 0);
	CHECK(load() < 0);
	CHECK_STR(in_force(), "a:1 c:3 t-m:3");
	/* Another directory has another daemon's functions. */
	daemon_ends();
	CHECK_INT(another_begins("/nowhere"), 0);
	CHECK_INT(defs.n, 0);
}

/* What requires limits that the host does not keep any more is not kept; what would outlive a lease that was lowered is. */
static void not_kept_over_a_restart(void)
{
	fresh();
	put_file("a.json", def("a", 50));
	put_file("b.json", "{\"FunctionName\":\"b\",\"Command\":\"/x\",\"CpuPercent\":50,\"RequireLimits\":true}");
	put_file("c.json", def("c", 1));
	check.limits = any_limits;
	CHECK_INT(load(), 0);
	check.limits = limits;
	daemon_ends();
	put_file("b.json", "{");
	CHECK_INT(another_begins(dir), 0);
	check.lease_s = 60;
	CHECK(load() < 0);
	CHECK_STR(in_force(), "a:50 c:1");
	CHECK_INT(res.n_problems, 2);
	check.lease_s = 0;
}

/* A file that is not ours, or half of one, is said and does no harm. */
static void saved_rubbish(void)
{
	CLEAN(buf_done) struct buf whole = {};
	struct err e = {};
	char born[100];

	snprintf(born, sizeof(born), "%s.new", saved_path);
	fresh();
	put_file("a.json", def("a", 1));
	put_file("b.json", def("b", 1));
	CHECK_INT(load(), 0);
	daemon_ends();
	CHECK_INT(read_all(saved_path, &whole, &e), 0);
	for (size_t n = 0; n < whole.len - 2; n++) {	/* but for white space at its end */
		write_saved(whole.data, n);
		CHECK_INT(another_begins(dir), -EBADMSG);
		CHECK_INT(defs.n, 0);
	}
	write_saved(whole.data, whole.len);
	CHECK_INT(another_begins(dir), 0);
	CHECK_INT(defs.n, 2);
	definitions_done(&defs);
	for (size_t i = 0; i < 5; i++) {
		static const char *const texts[] = {
			"[]", "{\"directory\":1}", "{\"directory\":\"%s\",\"files\":[1]}",
			"{\"directory\":\"%s\",\"files\":[{\"file\":\"a\"}]}",
			"{\"directory\":\"%s\",\"files\":[{\"file\":\"b\",\"text\":\"{}\"},{\"file\":\"a\",\"text\":\"{}\"}]}",
		};
		const char *at = strstr(texts[i], "%s");
		char *text = at ? xasprintf("%.*s%s%s", (int)(at - texts[i]), texts[i], dir, at + 2) : xstrdup(texts[i]);

		write_saved(text, strlen(text));
		free(text);
		CHECK_INT(another_begins(dir), -EBADMSG);
		CHECK_INT(defs.n, 0);
	}
	/* Somebody else's. */
	write_saved(whole.data, whole.len);
	CHECK(chmod(saved_path, 0666) == 0);
	CHECK_INT(another_begins(dir), -EPERM);
	/* What cannot be written anew does not stay as it was: it may have been taken back. */
	CHECK(chmod(saved_path, 0600) == 0 && mkdir(born, 0700) == 0);
	CHECK(load() == 0 && saved_write(saved_path, dir, &defs, &e) < 0);
	CHECK(strstr(err_msg(&e), saved_path));
	CHECK(access(saved_path, F_OK) < 0);
	CHECK(rmdir(born) == 0);
	CHECK(mkdir(saved_path, 0700) == 0);
	CHECK(saved_write(saved_path, dir, &defs, &e) < 0);
	CHECK_INT(another_begins(dir), -EPERM);
	CHECK(rmdir(saved_path) == 0);
}

static int open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

static void leaks_no_descriptor(void)
{
	int before;

	fresh();
	put_file("a.json", def("a", 1));
	put_file("b.json", "x");
	CHECK(mkfifo(path_of("c.json"), 0600) == 0);
	(void)load();
	before = open_fds();
	for (int i = 0; i < 10; i++) {
		(void)load();
		(void)load_from(path_of("a.json"));
		(void)load_from("/nonexistent");
	}
	CHECK_INT(open_fds(), before);
}

int main(void)
{
	snprintf(dir, sizeof(dir), "/tmp/fated-definitions.XXXXXX");
	if (!mkdtemp(dir)) {
		perror(dir);
		return 1;
	}
	snprintf(saved_path, sizeof(saved_path), "%s.saved", dir);
	RUN(empty_directory);
	RUN(reads_what_is_a_definition);
	RUN(added_changed_removed_unchanged);
	RUN(bad_file_keeps_what_it_gave);
	RUN(two_files_one_name);
	RUN(name_taken_keeps_the_old);
	RUN(good_file_before_kept_one);
	RUN(not_regular_files);
	RUN(sizes_and_rights);
	RUN(missing_directory);
	RUN(unreadable_directory);
	RUN(long_summary);
	RUN(references_are_the_results_own);
	RUN(three_kinds);
	RUN(bad_topic_keeps_what_it_gave);
	RUN(commands_are_functions_by_name);
	RUN(names_that_lead_nowhere);
	RUN(required_limits);
	RUN(lease);
	RUN(reserved_concurrency);
	RUN(kept_over_a_restart);
	RUN(not_kept_over_a_restart);
	RUN(saved_rubbish);
	RUN(leaks_no_descriptor);
	empty_dir();
	(void)rmdir(dir);
	(void)unlink(saved_path);
	definitions_done(&defs);
	definitions_result_done(&res);
	free(line);
	TEST_END();
}
