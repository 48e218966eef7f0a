/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One array of rows is the configuration: a new setting is a member of struct config and a row. Sources are applied
 * in rising precedence (default, file, environment, command line) through the same setter, so a bound holds wherever
 * a value came from, and a bad value in one source is reported even when another would override it: it is a mistake
 * waiting for the day the other goes away.
 *
 * Strict on purpose: a mistyped key is a problem in every source, a variable FATED_… that is no setting too. All
 * problems come together.
 *
 * The sample file is generated, and JSON has no comments: members whose name begins with "//" are skipped, here and
 * nowhere else (function definitions are AWS's format and have Description).
 */
#include "daemon/config.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/map.h"
#include "base/mem.h"
#include "fate_abi.h"
#include "model/def_tree.h"

#define CONFIG_FILE_MAX (1u << 20)
#define DIR_MAX 1024
#define RUN_DIR_MAX 96		/* with "/" FATE_SOCKET_NAME it must fit into sun_path */
#define EXACT_MAX 9007199254740992.0

static const char *check_dir(const struct config_row *row, const char *s)
{
	if (s[0] != '/')
		return "must be an absolute path";
	for (const char *p = s; *p; p++)
		if (iscntrl((unsigned char)*p))
			return "has a control character in it";
	return NULL;
}

static const char *check_dir_or_none(const struct config_row *row, const char *s)
{
	return *s ? check_dir(row, s) : NULL;
}

/* A region is right when an ARN with it is. */
static const char *check_region(const struct config_row *row, const char *s)
{
	char arn[LIM_ARN_MAX + 1];
	struct arn_function name;

	if (strchr(s, ':'))
		return "is no region such as us-east-1";
	arn_format_function(arn, sizeof(arn), s, "f", NULL);
	return *s && arn_parse_function(arn, &name, NULL) == 0 ? NULL : "is no region such as us-east-1";
}

static const char *check_group(const struct config_row *row, const char *s)
{
	if (!*s)
		return NULL;
	for (const char *p = s; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("_.-", *p))
			return "is no group name";
	return *s == '-' || *s == '.' ? "is no group name" : NULL;
}

#define PLACE(m) .place = offsetof(struct config, m)
#define DIR_ROW(k, m, d, bytes, ...) \
	{ .key = k, .type = CONFIG_STRING, PLACE(m), .def = d, .min = 1, .max = bytes, .check = check_dir, __VA_ARGS__ }

const struct config_row config_rows[] = {
	DIR_ROW("StateDirectory", state_dir, FATE_DEFAULT_STATE_DIR, DIR_MAX,
		.help = "Where events, attempts, records and local queues are kept."),
	DIR_ROW("RunDirectory", run_dir, FATE_DEFAULT_RUN_DIR, RUN_DIR_MAX,
		.help = "Where the socket " FATE_SOCKET_NAME " is."),
	DIR_ROW("LogDirectory", log_dir, FATE_DEFAULT_LOG_DIR, DIR_MAX,
		.help = "Where the functions' logs are written, a file each."),
	DIR_ROW("FunctionsDirectory", functions_dir, FATE_DEFAULT_FUNCTIONS_DIR, DIR_MAX, .reloadable = true,
		.help = "The definitions: every *.json in it is one function, topic or event bus."),
	{ .key = "ReloadOnChange", .type = CONFIG_BOOL, PLACE(reload_on_change), .def = "true",
	  .help = "The definitions are read again when a file there changes; without it, by SIGHUP and fatectl reload alone." },
	DIR_ROW("BpfDirectory", bpf_dir, FATE_DEFAULT_BPF_DIR, DIR_MAX,
		.help = "Where maps, programs and links are pinned; bpffs is mounted there if it is on none."),
	{ .key = "CgroupRoot", .type = CONFIG_STRING, PLACE(cgroup_root), .def = "", .max = DIR_MAX, .check = check_dir_or_none,
	  .help = "The cgroup v2 directory whose subtree is fated's; empty: it is found (systemd's Delegate=, or made)." },
	{ .key = "Region", .type = CONFIG_STRING, PLACE(region), .def = "us-east-1", .min = 1, .max = 31, .check = check_region,
	  .help = "The AWS region this host says it is, in ARNs and in AWS_REGION." },
	{ .key = "MaxConcurrency", .type = CONFIG_INT, PLACE(concurrency_max), .def = "1000", .min = 1, .max = 100000,
	  .help = "Functions that run at a time, all together; beyond it callers are throttled and events wait." },
	{ .key = "MaxQueuedEvents", .type = CONFIG_INT, PLACE(queue_max), .def = "1000000", .min = 1, .max = 10000000,
	  .help = "Asynchronous events accepted and not ended; beyond it new ones are refused (429). They are rows on disk: only "
		  "the next ones are in memory, see EventsInMemory." },
	{ .key = "EventsInMemory", .type = CONFIG_INT, PLACE(window_max), .def = "8192", .min = 64, .max = 1000000,
	  .help = "Open events held in memory, of the functions' queues the next ones; more when very many functions have events "
		  "waiting." },
	{ .key = "EventBytesInMemory", .type = CONFIG_INT64, PLACE(window_bytes), .def = "67108864", .min = 1 << 20,
	  .max = 1ll << 40,
	  .help = "Bytes that the payloads of those may have together." },
	{ .key = "LeaseSeconds", .type = CONFIG_INT, PLACE(lease_s), .def = "2400", .min = 60, .max = 86400,
	  .help = "How long the claim of a running event holds. A function whose longest attempt (Timeout or RetryPolicy's "
		  "TimeoutMax, KillGracePeriod, 10 s) is not shorter is refused." },
	/* Whole seconds, as FunctionLogMaxAge. */
	{ .key = "RetainSeconds", .type = CONFIG_INT, PLACE(retain_s), .def = "604800", .max = 315360000,
	  .help = "Ended events, with their attempts and records, are kept so long; 0: for ever. What is still owed to a target "
		  "or was not delivered stays." },
	{ .key = "RetainBytes", .type = CONFIG_INT64, PLACE(retain_bytes), .def = "0", .max = 1ll << 49,
	  .help = "Bytes the database may have in use: beyond it the oldest ended events go before their time; 0: no limit." },
	{ .key = "KeepRunning", .type = CONFIG_BOOL, PLACE(keep_running), .def = "true",
	  .help = "Running functions outlive a restart of the daemon, where there is a file descriptor store (systemd's, see "
		  "fated.service); else, and where there is none, they are ended and run again." },
	{ .key = "MaxEnvironments", .type = CONFIG_INT, PLACE(environments_max), .def = "4096", .min = 16, .max = 1048576,
	  .help = "Entries of the kernel's map of environments; at least MaxConcurrency." },
	/* Rounded up to whole pages where they are larger. */
	{ .key = "RingBytes", .type = CONFIG_INT64, PLACE(ring_bytes), .def = "262144", .min = 4096, .max = 1 << 30,
	  .power_of_two = true,
	  .help = "Size of the ring buffer the kernel wakes the daemon through; a power of two. A full ring costs latency only." },
	{ .key = "StopGracePeriod", .type = CONFIG_SECONDS, PLACE(stop_grace_ms), .def = "10", .max = 3600, .reloadable = true,
	  .help = "Seconds that running functions get to finish when the daemon stops; then they are killed." },
	{ .key = "RecordFate", .type = CONFIG_BOOL, PLACE(record_fate), .def = "true",
	  .help = "Destination records carry the member \"fate\" (what the kernel saw) unless the function says no." },
	{ .key = "Observer", .type = CONFIG_OBSERVER, PLACE(fallback), .def = "bpf",
	  .help = "bpf, or fallback: without eBPF, on the second witness alone (wait status, cgroup files). Who sent a "
		  "signal, what every process used and what ended while no daemon ran cannot be told then." },
	{ .key = "LogLevel", .type = CONFIG_LEVEL, PLACE(log_level), .def = "info", .reloadable = true,
	  .help = "error, warn, notice, info or debug." },
	{ .key = "SocketGroup", .type = CONFIG_STRING, PLACE(socket_group), .def = FATE_GROUP, .max = 32, .check = check_group,
	  .help = "Members of this group may use the socket, besides root; empty: root alone." },
	{ .key = "FunctionLogBytes", .type = CONFIG_INT64, PLACE(function_log_bytes), .def = "10485760", .min = 65536,
	  .max = 1ll << 40, .help = "Bytes a function's log file may have." },
	{ .key = "FunctionLogFiles", .type = CONFIG_INT, PLACE(function_log_files), .def = "2", .max = 100,
	  .help = "Old log files kept of each function: NAME.log.1, the youngest, to NAME.log.N; 0: none." },
	/* Whole seconds and not CONFIG_SECONDS, whose milliseconds end at 24 days. */
	{ .key = "FunctionLogMaxAge", .type = CONFIG_INT, PLACE(function_log_max_age_s), .def = "1209600", .max = 315360000,
	  .help = "Seconds after which what a function has logged goes, at the latest after twice that; 0: never." },
};
const size_t config_rows_n = ARRAY_SIZE(config_rows);

static const struct { const char *word; enum log_level level; } levels[] = {
	{ "error", LOG_ERROR }, { "warn", LOG_WARN }, { "notice", LOG_NOTE }, { "info", LOG_INF }, { "debug", LOG_DBG },
};

/* A value on its way to its place, as the source had it. */
struct value {
	enum { VALUE_TEXT, VALUE_NUMBER, VALUE_BOOL } kind;
	const char *text;	/* also of numbers and booleans that came as text */
	double number;
	bool boolean;
};

#define AT(c, row, type) (*(type *)(void *)((char *)(c) + (row)->place))

void config_done(struct config *c)
{
	for (size_t i = 0; i < config_rows_n; i++)
		if (config_rows[i].type == CONFIG_STRING)
			free(AT(c, &config_rows[i], char *));
	free(c->file);
	*c = (struct config){};
}

/* ---- one value ---- */

static void set_string(struct config *c, const struct config_row *row, const char *s, const char *path,
		       struct func_problems *p)
{
	const char *why = row->check ? row->check(row, s) : NULL;
	size_t len = strlen(s);
	char *t;

	if (len < row->min || len > row->max) {
		if (!len)
			func_problems_add(p, path, "is empty");
		else
			func_problems_add(p, path, "has %zu bytes, at most %.0f are allowed", len, row->max);
		return;
	}
	if (why) {
		func_problems_add(p, path, "%s", why);
		return;
	}
	t = xstrdup(s);
	/* /a/ and /a are one directory; paths are put together and compared as text. */
	while ((row->check == check_dir || row->check == check_dir_or_none) && len > 1 && t[len - 1] == '/')
		t[--len] = '\0';
	free(AT(c, row, char *));
	AT(c, row, char *) = t;
}

static void set_number(struct config *c, const struct config_row *row, double n, const char *path, struct func_problems *p)
{
	const char *unit = row->type == CONFIG_SECONDS ? " seconds" : "";
	bool whole = fabs(n) >= EXACT_MAX || n == (double)(int64_t)n;

	if (!isfinite(n) || n < row->min || n > row->max)
		func_problems_add(p, path, "is %.15g, must be from %.15g to %.15g%s", n, row->min, row->max, unit);
	else if (row->type != CONFIG_SECONDS && !whole)
		func_problems_add(p, path, "is %.15g, must be a whole number", n);
	else if (row->power_of_two && ((uint64_t)n & ((uint64_t)n - 1)))
		func_problems_add(p, path, "is %.15g, must be a power of two", n);
	else if (row->type == CONFIG_SECONDS && fabs(n * 1000 - (double)(int64_t)(n * 1000 + 0.5)) > 1e-6)
		func_problems_add(p, path, "is %.15g seconds, finer than a millisecond", n);
	else if (row->type == CONFIG_SECONDS)
		AT(c, row, int) = (int)(n * 1000 + 0.5);
	else if (row->type == CONFIG_INT)
		AT(c, row, int) = (int)n;
	else
		AT(c, row, int64_t) = (int64_t)n;
}

static void set_level(struct config *c, const struct config_row *row, const char *s, const char *path,
		      struct func_problems *p)
{
	for (size_t i = 0; i < ARRAY_SIZE(levels); i++)
		if (strcmp(levels[i].word, s) == 0) {
			AT(c, row, enum log_level) = levels[i].level;
			return;
		}
	func_problems_add(p, path, "must be error, warn, notice, info or debug");
}

static void set_observer(struct config *c, const struct config_row *row, const char *s, const char *path, struct func_problems *p)
{
	if (strcmp(s, "bpf") != 0 && strcmp(s, "fallback") != 0)
		func_problems_add(p, path, "must be bpf or fallback");
	else
		AT(c, row, bool) = s[0] == 'f';
}

/* Decimal digits, a sign, a point; strtod() alone takes blanks, hexadecimal, "inf" and "nan". */
static bool number_of(const char *s, double *ret)
{
	char *end;

	if (!*s || strspn(s, "0123456789.-") < strlen(s) || strlen(s) > 40)
		return false;
	*ret = strtod(s, &end);
	return !*end;
}

static void set(struct config *c, const struct config_row *row, const struct value *v, const char *path,
		struct func_problems *p)
{
	struct value w = *v;

	switch (row->type) {
	case CONFIG_STRING:
	case CONFIG_LEVEL:
	case CONFIG_OBSERVER:
		if (w.kind != VALUE_TEXT)
			func_problems_add(p, path, "must be a string");
		else if (row->type == CONFIG_OBSERVER)
			set_observer(c, row, w.text, path, p);
		else if (row->type == CONFIG_STRING)
			set_string(c, row, w.text, path, p);
		else
			set_level(c, row, w.text, path, p);
		return;
	case CONFIG_INT:
	case CONFIG_INT64:
	case CONFIG_SECONDS:
		if (w.kind == VALUE_NUMBER)
			set_number(c, row, w.number, path, p);
		else
			func_problems_add(p, path, "must be a number");
		return;
	case CONFIG_BOOL:
		if (w.kind == VALUE_BOOL)
			AT(c, row, bool) = w.boolean;
		else
			func_problems_add(p, path, "must be true or false");
		return;
	}
}

/* Defaults, command line and environment have text; what it is depends on the row. */
static void set_text(struct config *c, const struct config_row *row, const char *s, const char *path,
		     struct func_problems *p)
{
	struct value v = { .kind = VALUE_TEXT, .text = s };

	if (row->type == CONFIG_BOOL && (strcmp(s, "true") == 0 || strcmp(s, "false") == 0)) {
		v.kind = VALUE_BOOL;
		v.boolean = *s == 't';
	} else if ((row->type == CONFIG_INT || row->type == CONFIG_INT64 || row->type == CONFIG_SECONDS) &&
		   number_of(s, &v.number)) {
		v.kind = VALUE_NUMBER;
	}
	set(c, row, &v, path, p);
}

/* ---- names ---- */

/* state-directory, STATE_DIRECTORY and StateDirectory are one. name need not be terminated. */
static bool key_is(const char *key, const char *name, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (name[i] == '-' || name[i] == '_')
			continue;
		if (tolower((unsigned char)*key) != tolower((unsigned char)name[i]))
			return false;
		key++;
	}
	return !*key;
}

static const struct config_row *find_loose(const char *name, size_t len)
{
	for (size_t i = 0; i < config_rows_n; i++)
		if (key_is(config_rows[i].key, name, len))
			return &config_rows[i];
	return NULL;
}

static void unknown(const char *name, const char *path, struct func_problems *p)
{
	struct def_nearest near = { .name = name };

	for (size_t i = 0; i < config_rows_n; i++)
		def_nearest_try(&near, config_rows[i].key);
	if (near.best)
		func_problems_add(p, path, "is no known setting; did you mean %s?", near.best);
	else
		func_problems_add(p, path, "is no known setting");
}

/* ---- the file ---- */

static int read_whole(const char *name, struct buf *b, struct err *e)
{
	CLEAN(closep) int fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	int r;

	if (fd < 0)
		return err_errno(e, -errno, "cannot be opened");
	if (fstat(fd, &st) < 0)
		return err_errno(e, -errno, "cannot be read");
	if (!S_ISREG(st.st_mode))
		return err_set(e, -EINVAL, "is not a regular file");
	r = buf_read(b, fd, CONFIG_FILE_MAX);
	if (r == -EFBIG)
		return err_set(e, r, "is larger than %u bytes", CONFIG_FILE_MAX);
	return r < 0 ? err_errno(e, r, "cannot be read") : 0;
}

/* path ends in this member. */
static void set_member(struct config *c, const cJSON *item, const char *path, struct func_problems *p)
{
	struct value v = { .kind = VALUE_TEXT, .text = item->valuestring };
	const struct config_row *row = NULL;
	const char *why = def_tree_text_problem(item->string);

	for (size_t i = 0; i < config_rows_n; i++)
		if (strcmp(config_rows[i].key, item->string) == 0)
			row = &config_rows[i];
	if (!row && why) {
		func_problems_add(p, path, "the name %s", why);
		return;
	}
	if (!row) {
		unknown(item->string, path, p);
		return;
	}
	if (cJSON_IsNumber(item)) {
		v.kind = VALUE_NUMBER;
		v.number = item->valuedouble;
	} else if (cJSON_IsBool(item)) {
		v.kind = VALUE_BOOL;
		v.boolean = cJSON_IsTrue(item);
	} else if (!cJSON_IsString(item)) {
		func_problems_add(p, path, "must be a string, a number, true or false, is %s", def_tree_type(item));
		return;
	} else if ((why = def_tree_text_problem(item->valuestring))) {
		func_problems_add(p, path, "%s", why);
		return;
	}
	set(c, row, &v, path, p);
}

static void load_members(struct config *c, const char *file, const cJSON *root, struct func_problems *p)
{
	CLEAN(buf_done) struct buf path = {};
	CLEAN(strmap_done) struct strmap seen = {};
	const cJSON *item;

	buf_addf(&path, "%s: $", file);
	cJSON_ArrayForEach(item, root) {
		size_t mark;

		if (strncmp(item->string, "//", 2) == 0)
			continue;
		mark = def_path_add(&path, item->string);
		if (strmap_put(&seen, item->string, (void *)item))
			func_problems_add(p, buf_str(&path), "is given twice");
		else
			set_member(c, item, buf_str(&path), p);
		def_path_cut(&path, mark);
	}
}

static void load_file(struct config *c, const char *file, bool named, struct func_problems *p)
{
	CLEAN(cJSON_Deletep) cJSON *root = NULL;
	CLEAN(buf_done) struct buf text = {};
	struct err e = {};
	int r;

	r = read_whole(file, &text, &e);
	if (r == -ENOENT && !named)
		return;
	if (r >= 0)
		r = def_tree_parse(buf_str(&text), text.len, &root, &e);
	if (r < 0) {
		func_problems_add(p, file, "%s", err_msg(&e));
		return;
	}
	c->file = xstrdup(file);
	if (cJSON_IsObject(root))
		load_members(c, file, root, p);
	else
		func_problems_add(p, file, "must be an object, is %s", def_tree_type(root));
}

/* ---- environment and command line ---- */

/* Variables of ours that are no settings of the daemon. */
static bool foreign_variable(const char *name, size_t len)
{
	return (len == 12 && strncmp(name, "FATED_SOCKET", len) == 0) ||	/* fatectl's */
	       (len == 12 && strncmp(name, "FATED_CONFIG", len) == 0) ||	/* found by find_file() */
	       (len == 13 && strncmp(name, "FATED_FDSTORE", len) == 0);		/* of fated.service: launch_keep_available() */
}

static void load_environment(struct config *c, char *const *envp, struct func_problems *p)
{
	const char *seen[ARRAY_SIZE(config_rows)] = {};

	for (; envp && *envp; envp++) {
		const char *eq = strchr(*envp, '=');
		size_t len = eq ? (size_t)(eq - *envp) : 0;
		CLEAN(freep) char *name = NULL;
		const struct config_row *row;

		if (len < 6 || strncmp(*envp, "FATED_", 6) != 0 || foreign_variable(*envp, len))
			continue;
		name = xstrndup(*envp, len);
		row = find_loose(name + 6, len - 6);
		if (!row) {
			unknown(name + 6, name, p);
		} else if (seen[row - config_rows]) {
			func_problems_add(p, name, "is given twice");
		} else {
			seen[row - config_rows] = eq;
			set_text(c, row, eq + 1, name, p);
		}
	}
}

struct option { const char *name, *value; size_t name_len; };	/* value NULL = none given */

/* Splits argv[*i] ("--name=value", "--name value"); false when it is no option. */
static bool next_option(int argc, char *const *argv, int *i, struct option *ret)
{
	const char *arg = argv[*i], *eq = strchr(arg, '=');

	if (strncmp(arg, "--", 2) != 0 || !arg[2])
		return false;
	ret->name = arg + 2;
	ret->name_len = eq ? (size_t)(eq - arg - 2) : strlen(arg + 2);
	ret->value = eq ? eq + 1 : NULL;
	return true;
}

static bool option_is(const struct option *o, const char *name)
{
	return o->name_len == strlen(name) && strncmp(o->name, name, o->name_len) == 0;
}

/* --name VALUE: the next argument, unless it looks like an option. */
static bool option_value(int argc, char *const *argv, int *i, struct option *o)
{
	if (!o->value && *i + 1 < argc && strncmp(argv[*i + 1], "--", 2) != 0)
		o->value = argv[++*i];
	return o->value;
}

/* Verbs and the file's name come first: a file is read before the options that override it. */
static const char *find_file(int argc, char *const *argv, char *const *envp, enum config_verb *ret_verb)
{
	const char *file = NULL;

	for (; envp && *envp; envp++)
		if (strncmp(*envp, "FATED_CONFIG=", 13) == 0)
			file = *envp + 13;
	for (int i = 1; i < argc; i++) {
		struct option o;

		if (!next_option(argc, argv, &i, &o))
			continue;
		if (option_is(&o, "help"))
			*ret_verb = CONFIG_HELP;
		else if (option_is(&o, "version"))
			*ret_verb = CONFIG_VERSION;
		else if (option_is(&o, "sample-config"))
			*ret_verb = CONFIG_SAMPLE;
		else if (option_value(argc, argv, &i, &o) && option_is(&o, "config"))
			file = o.value;
	}
	return file;
}

static void load_arguments(struct config *c, int argc, char *const *argv, struct func_problems *p)
{
	for (int i = 1; i < argc; i++) {
		CLEAN(freep) char *path = NULL;
		const struct config_row *row;
		struct option o;

		if (!next_option(argc, argv, &i, &o)) {
			func_problems_add(p, argv[i], "is no option; options begin with --");
			continue;
		}
		path = xasprintf("--%.*s", (int)o.name_len, o.name);
		row = find_loose(o.name, o.name_len);
		if (!row && !option_is(&o, "config"))
			unknown(path + 2, path, p);
		if (!option_value(argc, argv, &i, &o) && (row || option_is(&o, "config")))
			func_problems_add(p, path, "needs a value");
		else if (row)
			set_text(c, row, o.value, path, p);	/* the last one counts, as usual */
	}
}

int config_load(int argc, char *const *argv, char *const *envp, struct config *ret, struct func_problems *problems)
{
	CLEAN(config_done) struct config c = {};
	size_t before = problems->n;
	const char *file;

	file = find_file(argc, argv, envp, &c.verb);
	for (size_t i = 0; i < config_rows_n; i++)
		set_text(&c, &config_rows[i], config_rows[i].def, config_rows[i].key, problems);
	assert(problems->n == before);		/* a default out of its own range */
	if (c.verb == CONFIG_RUN) {
		load_file(&c, file ? file : FATE_DEFAULT_CONFIG, file, problems);
		load_environment(&c, envp, problems);
		load_arguments(&c, argc, argv, problems);
		if (c.environments_max < c.concurrency_max)
			func_problems_add(problems, "MaxEnvironments", "is %d, must be at least MaxConcurrency (%d)",
					  c.environments_max, c.concurrency_max);
	}
	if (problems->n > before)
		return -EINVAL;
	*ret = c;
	c = (struct config){};
	return 0;
}

/* ---- reload ---- */

static bool same(const struct config *a, const struct config *b, const struct config_row *row)
{
	switch (row->type) {
	case CONFIG_STRING:
		return strcmp(AT(a, row, char *const), AT(b, row, char *const)) == 0;
	case CONFIG_INT:
	case CONFIG_SECONDS:
		return AT(a, row, const int) == AT(b, row, const int);
	case CONFIG_INT64:
		return AT(a, row, const int64_t) == AT(b, row, const int64_t);
	case CONFIG_BOOL:
	case CONFIG_OBSERVER:
		return AT(a, row, const bool) == AT(b, row, const bool);
	case CONFIG_LEVEL:
		return AT(a, row, const enum log_level) == AT(b, row, const enum log_level);
	}
	return false;
}

#define SWAP(type, a, b) do { type _t = (a); (a) = (b); (b) = _t; } while (0)

int config_reload(struct config *cur, struct config *next, struct func_problems *ret_need_restart)
{
	int changed = 0;

	for (size_t i = 0; i < config_rows_n; i++) {
		const struct config_row *row = &config_rows[i];

		if (same(cur, next, row))
			continue;
		if (!row->reloadable) {
			func_problems_add(ret_need_restart, row->key, "changes when fated is restarted");
			continue;
		}
		changed++;
		if (row->type == CONFIG_STRING)
			SWAP(char *, AT(cur, row, char *), AT(next, row, char *));
		else if (row->type == CONFIG_INT64)
			AT(cur, row, int64_t) = AT(next, row, int64_t);
		else if (row->type == CONFIG_BOOL || row->type == CONFIG_OBSERVER)
			AT(cur, row, bool) = AT(next, row, bool);
		else if (row->type == CONFIG_LEVEL)
			AT(cur, row, enum log_level) = AT(next, row, enum log_level);
		else
			AT(cur, row, int) = AT(next, row, int);
	}
	config_done(next);
	return changed;
}

/* ---- for people ---- */

void config_sample(FILE *f)
{
	CLEAN(buf_done) struct buf b = {};

	buf_adds(&b, "{\n\t\"//\": \"The settings of fated " FATED_VERSION " and their defaults. "
		     "Names beginning with // are comments.\"");
	for (size_t i = 0; i < config_rows_n; i++) {
		const struct config_row *row = &config_rows[i];
		bool quoted = row->type == CONFIG_STRING || row->type == CONFIG_LEVEL || row->type == CONFIG_OBSERVER;

		buf_addf(&b, ",\n\n\t\"// %s\": ", row->key);
		(void)json_add_string(&b, row->help, strlen(row->help));
		buf_addf(&b, ",\n\t\"%s\": ", row->key);
		if (quoted)
			(void)json_add_string(&b, row->def, strlen(row->def));
		else
			buf_adds(&b, row->def);
	}
	buf_adds(&b, "\n}\n");
	fputs(buf_str(&b), f);
}

void config_help(FILE *f)
{
	fputs("usage: fated [--config FILE] [--KEY=VALUE]...\n"
	      "       fated --help | --version | --sample-config\n"
	      "\n"
	      "Settings come from the command line, else from the environment (FATED_STATE_DIRECTORY=...), else from\n"
	      "the file (default " FATE_DEFAULT_CONFIG "; --sample-config prints one), else the default below.\n\n", f);
	for (size_t i = 0; i < config_rows_n; i++) {
		const struct config_row *row = &config_rows[i];

		fprintf(f, "  --%s=%s\n        %s\n", row->key, *row->def ? row->def : "\"\"", row->help);
	}
}
