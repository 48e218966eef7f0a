/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's settings: every row through every source, precedence, all problems at once, the generated sample.
 * The daemon's objects are in no library, so the file under test is included. */
#include "daemon/config.c"

#include "lib/test.h"

static char dir[64], file[128];
static struct config conf;
static char *text;		/* problems of the last load, a line each */
static int load_result;

static char *const no_env[] = { NULL };

static void put(const char *json)
{
	FILE *f = fopen(file, "w");

	CHECK(f);
	CHECK(fputs(json, f) >= 0);
	CHECK(fclose(f) == 0);
}

/* config_load() into conf and text. args: NULL-terminated, without the program's name. */
static int load(const char *const *args, char *const *envp)
{
	struct func_problems p = {};
	struct buf b = {};
	char *argv[40] = { "fated" };
	int argc = 1;

	while (args && *args)
		argv[argc++] = (char *)*args++;
	config_done(&conf);
	load_result = config_load(argc, argv, envp, &conf, &p);
	for (size_t i = 0; i < p.n; i++)
		buf_addf(&b, "%s: %s\n", p.list[i].path, p.list[i].reason);
	free(text);
	text = buf_take(&b, NULL);
	func_problems_done(&p);
	return load_result;
}
#define ARGS(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define ENV(...) ((char *const[]){ __VA_ARGS__, NULL })

static void loads(const char *const *args, char *const *envp)
{
	if (load(args, envp) != 0)
		FAIL("%s", text);
	CHECK_STR(text, "");
}

static void refused(const char *const *args, char *const *envp, const char *want)
{
	CHECK_INT(load(args, envp), -EINVAL);
	CHECK_STR(text, want);
}

static void defaults(void)
{
	put("{}");
	loads(ARGS("--config", file), no_env);
	CHECK_INT(conf.verb, CONFIG_RUN);
	CHECK_STR(conf.file, file);
	CHECK_STR(conf.state_dir, "/var/lib/fated");
	CHECK_STR(conf.run_dir, "/run/fated");
	CHECK_STR(conf.log_dir, "/var/log/fated");
	CHECK_STR(conf.functions_dir, "/etc/fated/functions.d");
	CHECK_STR(conf.bpf_dir, "/sys/fs/bpf/fated");
	CHECK_STR(conf.cgroup_root, "");
	CHECK_STR(conf.region, "us-east-1");
	CHECK_STR(conf.socket_group, "fated");
	CHECK_INT(conf.concurrency_max, 1000);
	CHECK_INT(conf.queue_max, 1000000);
	CHECK_INT(conf.window_max, 8192);
	CHECK_INT(conf.window_bytes, 64 << 20);
	CHECK_INT(conf.lease_s, 2400);
	CHECK_INT(conf.retain_s, 7 * 24 * 3600);
	CHECK_INT(conf.retain_bytes, 0);
	CHECK(conf.keep_running);
	CHECK_INT(conf.environments_max, 4096);
	CHECK_INT(conf.ring_bytes, 262144);
	CHECK_INT(conf.stop_grace_ms, 10000);
	CHECK(conf.record_fate);
	CHECK(conf.reload_on_change);
	CHECK(!conf.fallback);
	CHECK_INT(conf.log_level, LOG_INF);
	CHECK_INT(conf.function_log_bytes, 10485760);
	CHECK_INT(conf.function_log_files, 2);
	CHECK_INT(conf.function_log_max_age_s, 14 * 24 * 3600);
}

/* The whole table once more, by hand: what each source must be able to set. */
static const struct sample { const char *key, *env, *json, *text; size_t place; enum config_type type; long long want;
			     } samples[] = {
	{ "StateDirectory", "FATED_STATE_DIRECTORY", "\"/s\"", "/s", offsetof(struct config, state_dir), CONFIG_STRING, 0 },
	{ "RunDirectory", "FATED_RUN_DIRECTORY", "\"/r\"", "/r", offsetof(struct config, run_dir), CONFIG_STRING, 0 },
	{ "LogDirectory", "FATED_LOG_DIRECTORY", "\"/l\"", "/l", offsetof(struct config, log_dir), CONFIG_STRING, 0 },
	{ "FunctionsDirectory", "FATED_FUNCTIONS_DIRECTORY", "\"/f\"", "/f", offsetof(struct config, functions_dir),
	  CONFIG_STRING, 0 },
	{ "ReloadOnChange", "FATED_RELOAD_ON_CHANGE", "false", "false", offsetof(struct config, reload_on_change), CONFIG_BOOL, 0 },
	{ "BpfDirectory", "FATED_BPF_DIRECTORY", "\"/b\"", "/b", offsetof(struct config, bpf_dir), CONFIG_STRING, 0 },
	{ "CgroupRoot", "FATED_CGROUP_ROOT", "\"/c\"", "/c", offsetof(struct config, cgroup_root), CONFIG_STRING, 0 },
	{ "Region", "FATED_REGION", "\"eu-west-1\"", "eu-west-1", offsetof(struct config, region), CONFIG_STRING, 0 },
	{ "SocketGroup", "FATED_SOCKET_GROUP", "\"\"", "", offsetof(struct config, socket_group), CONFIG_STRING, 0 },
	{ "MaxConcurrency", "FATED_MAX_CONCURRENCY", "7", "7", offsetof(struct config, concurrency_max), CONFIG_INT, 7 },
	{ "MaxQueuedEvents", "FATED_MAX_QUEUED_EVENTS", "8", "8", offsetof(struct config, queue_max), CONFIG_INT, 8 },
	{ "EventsInMemory", "FATED_EVENTS_IN_MEMORY", "100", "100", offsetof(struct config, window_max), CONFIG_INT, 100 },
	{ "EventBytesInMemory", "FATED_EVENT_BYTES_IN_MEMORY", "2097152", "2097152", offsetof(struct config, window_bytes),
	  CONFIG_INT64, 2097152 },
	{ "LeaseSeconds", "FATED_LEASE_SECONDS", "61", "61", offsetof(struct config, lease_s), CONFIG_INT, 61 },
	{ "RetainSeconds", "FATED_RETAIN_SECONDS", "0", "0", offsetof(struct config, retain_s), CONFIG_INT, 0 },
	{ "RetainBytes", "FATED_RETAIN_BYTES", "5000000000", "5000000000", offsetof(struct config, retain_bytes),
	  CONFIG_INT64, 5000000000 },
	{ "KeepRunning", "FATED_KEEP_RUNNING", "false", "false", offsetof(struct config, keep_running), CONFIG_BOOL, 0 },
	{ "MaxEnvironments", "FATED_MAX_ENVIRONMENTS", "5000", "5000", offsetof(struct config, environments_max),
	  CONFIG_INT, 5000 },
	{ "RingBytes", "FATED_RING_BYTES", "65536", "65536", offsetof(struct config, ring_bytes), CONFIG_INT64, 65536 },
	{ "StopGracePeriod", "FATED_STOP_GRACE_PERIOD", "0.25", "0.25", offsetof(struct config, stop_grace_ms),
	  CONFIG_SECONDS, 250 },
	{ "RecordFate", "FATED_RECORD_FATE", "false", "false", offsetof(struct config, record_fate), CONFIG_BOOL, 0 },
	{ "LogLevel", "FATED_LOG_LEVEL", "\"debug\"", "debug", offsetof(struct config, log_level), CONFIG_LEVEL, LOG_DBG },
	{ "Observer", "FATED_OBSERVER", "\"fallback\"", "fallback", offsetof(struct config, fallback), CONFIG_BOOL, 1 },
	{ "FunctionLogBytes", "FATED_FUNCTION_LOG_BYTES", "65536", "65536", offsetof(struct config, function_log_bytes),
	  CONFIG_INT64, 65536 },
	{ "FunctionLogFiles", "FATED_FUNCTION_LOG_FILES", "0", "0", offsetof(struct config, function_log_files), CONFIG_INT, 0 },
	{ "FunctionLogMaxAge", "FATED_FUNCTION_LOG_MAX_AGE", "60", "60", offsetof(struct config, function_log_max_age_s),
	  CONFIG_INT, 60 },
};

static void check_sample(const struct sample *s)
{
	const char *at = (const char *)&conf + s->place;

	if (s->type == CONFIG_STRING)
		CHECK_STR(*(char *const *)(const void *)at, s->text);
	else if (s->type == CONFIG_INT64)
		CHECK_INT(*(const int64_t *)(const void *)at, s->want);
	else if (s->type == CONFIG_BOOL)
		CHECK_INT(*(const bool *)at, s->want);
	else
		CHECK_INT(*(const int *)(const void *)at, s->want);
}

static void every_row_from_every_source(void)
{
	CHECK_INT(ARRAY_SIZE(samples), config_rows_n);
	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		const struct sample *s = &samples[i];
		char a[200], b[200];

		CHECK(find_loose(s->key, strlen(s->key)));
		snprintf(a, sizeof(a), "{\"%s\":%s}", s->key, s->json);
		put(a);
		loads(ARGS("--config", file), no_env);
		check_sample(s);
		put("{}");
		snprintf(a, sizeof(a), "%s=%s", s->env, s->text);
		loads(ARGS("--config", file), ENV("PATH=/bin", a));
		check_sample(s);
		snprintf(a, sizeof(a), "--%s=%s", s->key, s->text);
		loads(ARGS("--config", file, a), no_env);
		check_sample(s);
		snprintf(b, sizeof(b), "--%s", s->key);
		loads(ARGS("--config", file, b, s->text), no_env);
		check_sample(s);
	}
}

static void precedence(void)
{
	put("{\"MaxConcurrency\":1,\"Region\":\"eu-west-1\",\"LogLevel\":\"warn\"}");
	loads(ARGS("--config", file), no_env);
	CHECK_INT(conf.concurrency_max, 1);
	loads(ARGS("--config", file), ENV("FATED_MAX_CONCURRENCY=2", "FATED_REGION=eu-west-2"));
	CHECK_INT(conf.concurrency_max, 2);
	CHECK_STR(conf.region, "eu-west-2");
	CHECK_INT(conf.log_level, LOG_WARN);
	loads(ARGS("--config", file, "--MaxConcurrency=3"), ENV("FATED_MAX_CONCURRENCY=2", "FATED_REGION=eu-west-2"));
	CHECK_INT(conf.concurrency_max, 3);
	CHECK_STR(conf.region, "eu-west-2");
	CHECK_INT(conf.log_level, LOG_WARN);
	/* order on the command line does not matter between file and setting; of two settings the last counts */
	loads(ARGS("--MaxConcurrency=4", "--config", file, "--MaxConcurrency", "5"), no_env);
	CHECK_INT(conf.concurrency_max, 5);
	/* a bad value is told even when something better overrides it */
	refused(ARGS("--config", file, "--MaxConcurrency=3"), ENV("FATED_MAX_CONCURRENCY=0"),
		"FATED_MAX_CONCURRENCY: is 0, must be from 1 to 100000\n");
}

static void which_file(void)
{
	char arg[200], env[200];

	put("{\"MaxConcurrency\":11}");
	snprintf(arg, sizeof(arg), "--config=%s", file);
	snprintf(env, sizeof(env), "FATED_CONFIG=%s", file);
	loads(ARGS(arg), no_env);
	CHECK_INT(conf.concurrency_max, 11);
	loads(NULL, ENV(env));
	CHECK_INT(conf.concurrency_max, 11);
	CHECK_STR(conf.file, file);
	loads(ARGS(arg), ENV("FATED_CONFIG=/nonexistent"));
	CHECK_INT(conf.concurrency_max, 11);
	/* named and missing: an error, whoever named it */
	refused(ARGS("--config", "/nonexistent/x.json"), no_env,
		"/nonexistent/x.json: cannot be opened: No such file or directory\n");
	refused(NULL, ENV("FATED_CONFIG=/nonexistent/x.json"),
		"/nonexistent/x.json: cannot be opened: No such file or directory\n");
	refused(ARGS("--config", dir), no_env, (snprintf(env, sizeof(env), "%s: is not a regular file\n", dir), env));
	refused(ARGS("--config"), no_env, "--config: needs a value\n");
	/* the default file may be missing */
	if (access(FATE_DEFAULT_CONFIG, F_OK) == 0)
		SKIP("this machine has a " FATE_DEFAULT_CONFIG);
	loads(NULL, NULL);
	CHECK(!conf.file);
	CHECK_INT(conf.concurrency_max, 1000);
}

static void spellings(void)
{
	put("{}");
	loads(ARGS("--config", file, "--state-directory=/x", "--run_directory=/y", "--LOGDIRECTORY=/z"),
	      ENV("FATED_FUNCTIONSDIRECTORY=/f"));
	CHECK_STR(conf.state_dir, "/x");
	CHECK_STR(conf.run_dir, "/y");
	CHECK_STR(conf.log_dir, "/z");
	CHECK_STR(conf.functions_dir, "/f");
	/* fatectl's variable and the unit's are no settings, and nobody else's is either */
	loads(ARGS("--config", file),
	      ENV("FATED_SOCKET=/run/x", "FATED_FDSTORE=1", "FATED=1", "FATE_X=1", "XFATED_A=1", "FATED_NOVALUE"));
	refused(ARGS("--config", file), ENV("FATED_REGION=eu-west-1", "FATED_region=eu-west-2"), "FATED_region: is given twice\n");
	/* a file has one spelling */
	put("{\"state-directory\":\"/x\"}");
	CHECK_INT(load(ARGS("--config", file), no_env), -EINVAL);
	CHECK(strstr(text, "$[\"state-directory\"]: is no known setting; did you mean StateDirectory?"));
	put("{}");
	refused(ARGS("--config", file, "--Regoin=x", "--frobnicate", "stray"), ENV("FATED_MAX_CONCURENCY=1"),
		"FATED_MAX_CONCURENCY: is no known setting; did you mean MaxConcurrency?\n"
		"--Regoin: is no known setting; did you mean Region?\n"
		"--frobnicate: is no known setting\n");
	refused(ARGS("--config", file, "stray", "-x", "--"), no_env,
		"stray: is no option; options begin with --\n-x: is no option; options begin with --\n--: is no option; "
		"options begin with --\n");
	refused(ARGS("--config", file, "--Region", "--LogLevel"), no_env, "--Region: needs a value\n--LogLevel: needs a value\n");
}

/* min-1, min, max, max+1 of every number, by the command line and in the file. */
static void bounds(void)
{
	static const struct { const char *key; double lo, hi, step; } rows[] = {
		{ "MaxConcurrency", 1, 100000, 1 }, { "MaxQueuedEvents", 1, 10000000, 1 }, { "MaxEnvironments", 16, 1048576, 1 },
		{ "RingBytes", 4096, 1073741824, 1 }, { "StopGracePeriod", 0, 3600, 0.001 },
		{ "FunctionLogBytes", 65536, 1099511627776.0, 1 }, { "EventsInMemory", 64, 1000000, 1 },
		{ "EventBytesInMemory", 1048576, 1099511627776.0, 1 }, { "LeaseSeconds", 60, 86400, 1 },
		{ "RetainSeconds", 0, 315360000, 1 }, { "RetainBytes", 0, 562949953421312.0, 1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const double value[] = { rows[i].lo - rows[i].step, rows[i].lo, rows[i].hi, rows[i].hi + rows[i].step };

		for (size_t j = 0; j < 4; j++) {
			char a[200], want[400];
			bool ok = j == 1 || j == 2;
			/* not what is tested: MaxEnvironments ≥ MaxConcurrency */
			const char *other = i == 0 ? "--MaxEnvironments=100000" : i == 2 ? "--MaxConcurrency=1" : "--LogLevel=info";

			put("{}");
			snprintf(a, sizeof(a), "--%s=%.15g", rows[i].key, value[j]);
			snprintf(want, sizeof(want), "--%s: is %.15g, must be from %.15g to %.15g%s\n", rows[i].key,
				 value[j], rows[i].lo, rows[i].hi, rows[i].step < 1 ? " seconds" : "");
			if (ok)
				loads(ARGS("--config", file, other, a), no_env);
			else
				refused(ARGS("--config", file, other, a), no_env, want);
			snprintf(a, sizeof(a), "{\"%s\":%.15g}", rows[i].key, value[j]);
			put(a);
			CHECK_INT(load(ARGS("--config", file, other), no_env), ok ? 0 : -EINVAL);
		}
	}
}

static void bad_values(void)
{
	static const struct { const char *arg, *reason; } rows[] = {
		{ "--MaxConcurrency=", "must be a number" },
		{ "--MaxConcurrency=ten", "must be a number" },
		{ "--MaxConcurrency= 1", "must be a number" },
		{ "--MaxConcurrency=0x10", "must be a number" },
		{ "--MaxConcurrency=1-2", "must be a number" },
		{ "--MaxConcurrency=1e3", "must be a number" },
		{ "--MaxConcurrency=inf", "must be a number" },
		{ "--MaxConcurrency=nan", "must be a number" },
		{ "--MaxConcurrency=1.5", "is 1.5, must be a whole number" },
		{ "--RingBytes=100000", "is 100000, must be a power of two" },
		{ "--StopGracePeriod=0.0005", "is 0.0005 seconds, finer than a millisecond" },
		{ "--RecordFate=yes", "must be true or false" },
		{ "--RecordFate=1", "must be true or false" },
		{ "--LogLevel=loud", "must be error, warn, notice, info or debug" },
		{ "--LogLevel=", "must be error, warn, notice, info or debug" },
		{ "--StateDirectory=", "is empty" },
		{ "--StateDirectory=var/lib", "must be an absolute path" },
		{ "--StateDirectory=/a\nb", "has a control character in it" },
		{ "--CgroupRoot=fated", "must be an absolute path" },
		{ "--Region=", "is empty" },
		{ "--Region=here", "is no region such as us-east-1" },
		{ "--Region=us-east-1:0", "is no region such as us-east-1" },
		{ "--SocketGroup=a:b", "is no group name" },
		{ "--SocketGroup=-x", "is no group name" },
		{ "--SocketGroup=aaaaaaaaaabbbbbbbbbbccccccccccddd", "has 33 bytes, at most 32 are allowed" },
	};
	char arg[300], want[300];

	put("{}");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		size_t key = strcspn(rows[i].arg, "=");

		snprintf(want, sizeof(want), "%.*s: %s\n", (int)key, rows[i].arg, rows[i].reason);
		refused(ARGS("--config", file, rows[i].arg), no_env, want);
	}
	/* RunDirectory and the socket's name must fit into sun_path, 108 with the NUL */
	CHECK(96 + 1 + strlen(FATE_SOCKET_NAME) < 108);
	memset(arg, 'x', sizeof(arg));
	memcpy(arg, "--RunDirectory=/", 16);
	arg[15 + 96] = '\0';
	loads(ARGS("--config", file, arg), no_env);
	arg[15 + 96] = 'x';
	arg[15 + 97] = '\0';
	refused(ARGS("--config", file, arg), no_env, "--RunDirectory: has 97 bytes, at most 96 are allowed\n");
	loads(ARGS("--config", file, "--StateDirectory=/a/b//", "--CgroupRoot=/"), no_env);
	CHECK_STR(conf.state_dir, "/a/b");
	CHECK_STR(conf.cgroup_root, "/");
}

static void values_depend_on_each_other(void)
{
	put("{}");
	refused(ARGS("--config", file, "--MaxConcurrency=5000"), no_env,
		"MaxEnvironments: is 4096, must be at least MaxConcurrency (5000)\n");
	loads(ARGS("--config", file, "--MaxConcurrency=5000", "--MaxEnvironments=5000"), no_env);
}

static void all_problems_of_a_file(void)
{
	char want[2000];

	put("{\"Region\":1,\"RecordFate\":\"true\",\"LogLevel\":null,\"MaxConcurrency\":\"5\",\"Nonsense\":1,\"RingBytes\":1.5,\n"
	    "\"StateDirectory\":\"/a\\u0000b\",\"Region\":\"eu-west-1\",\"a\\u0000\":1,\"LogDirectory\":[\"/x\"],\"//\":0,"
	    "\"//\":{}}");
	snprintf(want, sizeof(want),
		 "%1$s: $.Region: must be a string\n"
		 "%1$s: $.RecordFate: must be true or false\n"
		 "%1$s: $.LogLevel: must be a string, a number, true or false, is null\n"
		 "%1$s: $.MaxConcurrency: must be a number\n"
		 "%1$s: $.Nonsense: is no known setting\n"
		 "%1$s: $.RingBytes: is 1.5, must be from 4096 to 1073741824\n"
		 "%1$s: $.StateDirectory: contains a NUL character\n"
		 "%1$s: $.Region: is given twice\n"
		 "%1$s: $[\"a\357\277\275\"]: the name contains a NUL character\n"
		 "%1$s: $.LogDirectory: must be a string, a number, true or false, is a list\n"
		 "--Bogus: is no known setting\n", file);
	refused(ARGS("--config", file, "--Bogus=1"), no_env, want);
	put("[]");
	snprintf(want, sizeof(want), "%s: must be an object, is a list\n", file);
	refused(ARGS("--config", file), no_env, want);
	put("{\n\"Region\": \"eu-west-1\",\n}");
	snprintf(want, sizeof(want), "%s: is not valid JSON: line 3, column 1: unexpected '}'\n", file);
	refused(ARGS("--config", file), no_env, want);
}

static void failure_leaves_the_result_alone(void)
{
	struct config c = { .concurrency_max = 42 };
	struct func_problems p = {};
	char *argv[] = { "fated", "--Bogus=1" };

	func_problems_add(&p, "earlier", "one");
	CHECK_INT(config_load(2, argv, no_env, &c, &p), -EINVAL);
	CHECK_INT(c.concurrency_max, 42);
	CHECK(!c.state_dir);
	CHECK_INT(p.n, 2);
	/* problems that were there before are not this load's */
	CHECK_INT(config_load(1, argv, ENV("FATED_CONFIG=/dev/null/x"), &c, &p), -EINVAL);
	put("{}");
	{
		char arg[200];
		char *fine[] = { "fated", arg };

		snprintf(arg, sizeof(arg), "--config=%s", file);
		CHECK_INT(config_load(2, fine, no_env, &c, &p), 0);
		config_done(&c);
	}
	CHECK_INT(p.n, 3);
	func_problems_done(&p);
}

static void verbs(void)
{
	/* with a verb nothing else is looked at: --help must help when the configuration is broken */
	loads(ARGS("--help", "--Bogus=1", "--config", "/nonexistent"), ENV("FATED_BOGUS=1"));
	CHECK_INT(conf.verb, CONFIG_HELP);
	loads(ARGS("--version"), no_env);
	CHECK_INT(conf.verb, CONFIG_VERSION);
	loads(ARGS("--sample-config"), no_env);
	CHECK_INT(conf.verb, CONFIG_SAMPLE);
	CHECK_STR(conf.region, "us-east-1");
}

static char *printed(void (*print)(FILE *f))
{
	char *s = NULL;
	size_t len;
	FILE *f = open_memstream(&s, &len);

	CHECK(f);
	print(f);
	CHECK(fclose(f) == 0);
	return s;
}

/* The sample is a file that says the defaults, all of them, and helps. */
static void sample(void)
{
	CLEAN(freep) char *s = printed(config_sample);
	struct config plain;

	CHECK(json_valid(s, strlen(s), NULL));
	put("{}");
	loads(ARGS("--config", file), no_env);
	plain = conf;
	conf = (struct config){};
	put(s);
	loads(ARGS("--config", file), no_env);
	for (size_t i = 0; i < config_rows_n; i++) {
		char key[100];

		CHECK(same(&plain, &conf, &config_rows[i]));
		snprintf(key, sizeof(key), "\t\"%s\": ", config_rows[i].key);
		CHECK(strstr(s, key));
		CHECK(strstr(s, config_rows[i].key) && config_rows[i].help && *config_rows[i].help);
	}
	config_done(&plain);
}

static void help(void)
{
	CLEAN(freep) char *s = printed(config_help);

	for (size_t i = 0; i < config_rows_n; i++) {
		char key[100];

		snprintf(key, sizeof(key), "\n  --%s=", config_rows[i].key);
		CHECK(strstr(s, key));
		CHECK(strstr(s, config_rows[i].help));
	}
}

static void reload(void)
{
	struct config next;
	struct func_problems p = {};

	put("{}");
	loads(ARGS("--config", file), no_env);
	next = conf;
	conf = (struct config){};
	loads(ARGS("--config", file, "--LogLevel=debug", "--FunctionsDirectory=/new", "--StopGracePeriod=1", "--Region=eu-west-1",
		   "--MaxConcurrency=9", "--RecordFate=false", "--RingBytes=65536"), no_env);
	/* now → next is the way: conf is what was just read */
	{
		struct config now = next;

		next = conf;
		conf = now;
	}
	CHECK_INT(config_reload(&conf, &next, &p), 3);
	CHECK_INT(conf.log_level, LOG_DBG);
	CHECK_STR(conf.functions_dir, "/new");
	CHECK_INT(conf.stop_grace_ms, 1000);
	CHECK_STR(conf.region, "us-east-1");
	CHECK_INT(conf.concurrency_max, 1000);
	CHECK(conf.record_fate);
	CHECK(!next.state_dir);
	CHECK_INT(p.n, 4);
	CHECK_STR(p.list[0].path, "Region");
	CHECK(strstr(p.list[0].reason, "restarted"));
	CHECK_STR(p.list[1].path, "MaxConcurrency");
	CHECK_STR(p.list[2].path, "RingBytes");
	CHECK_STR(p.list[3].path, "RecordFate");
	func_problems_done(&p);
	/* the same again: nothing to do */
	put("{\"LogLevel\":\"debug\",\"FunctionsDirectory\":\"/new/\",\"StopGracePeriod\":1}");
	next = conf;
	conf = (struct config){};
	loads(ARGS("--config", file), no_env);
	CHECK_INT(config_reload(&next, &conf, &p), 0);
	CHECK_INT(p.n, 0);
	config_done(&next);
}

int main(void)
{
	snprintf(dir, sizeof(dir), "/tmp/fated-config.XXXXXX");
	if (!mkdtemp(dir)) {
		perror(dir);
		return 1;
	}
	snprintf(file, sizeof(file), "%s/fated.json", dir);
	RUN(defaults);
	RUN(every_row_from_every_source);
	RUN(precedence);
	RUN(which_file);
	RUN(spellings);
	RUN(bounds);
	RUN(bad_values);
	RUN(values_depend_on_each_other);
	RUN(all_problems_of_a_file);
	RUN(failure_leaves_the_result_alone);
	RUN(verbs);
	RUN(sample);
	RUN(help);
	RUN(reload);
	(void)unlink(file);
	(void)rmdir(dir);
	config_done(&conf);
	free(text);
	TEST_END();
}
