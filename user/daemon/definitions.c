/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A load goes through the directory in the order of file names and sorts every file into one of four: same text as
 * last time (its snapshot is used again, so an untouched function is untouched), a good definition, bad, or refused. Then
 * names are given out, good files first, in file order; what a bad file gave before comes last, if its names are still
 * free.
 *
 * What a file gives is an item of one of three kinds. Reading, remembering, keeping and comparing are the same for all;
 * `kinds` has what differs. A topic brings its commands' functions with it: file, topic and functions come, stay and go
 * together, and each of the names must be free.
 *
 * Why file order decides between two good files and not who came first: a restart must not change what is in force.
 *
 * Why good files go first: a function may move from a file to another while the old one is in pieces. Were the old
 * snapshot to hold its name, a bad file would keep a good definition out of force.
 *
 * Why the text is remembered and not a checksum or the time stamp: definitions are small, editors and package managers
 * play with times, and an equal text is certainly an equal definition.
 *
 * Why a refused file is not kept: RequireLimits says that the function must not run without its limits, and an older
 * version of it without the demand would do just that.
 *
 * Names that lead nowhere (a destination's topic that is not defined) are looked for when all is loaded, because order
 * means nothing here. They are told and change nothing: the file may come later, and what is sent there meanwhile is
 * kept as a failed delivery with its reason.
 *
 * What these files say runs as root, so how they are opened matters: only regular files, not through symbolic links
 * (a link's target may be anyone's), not writable by everyone, never waiting for a FIFO's writer. A file that vanishes
 * between listing and opening was removed, which is no error.
 */
#include "daemon/definitions.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/map.h"
#include "base/mem.h"
#include "model/def_tree.h"

#define SUMMARY_NAMES_MAX 20

struct definitions_entry {
	char *file;		/* name in the directory */
	char *text;		/* of the definition in force; of a bad file, what it was */
	size_t text_len;
	enum definitions_kind kind;
	void *item;		/* a reference: struct func, topic or bus */
};

/* ---- the three kinds ---- */

static int parse_function(const char *json, size_t len, void **ret, struct func_problems *p)
{
	return func_parse(json, len, (struct func **)ret, p);
}
static int parse_topic(const char *json, size_t len, void **ret, struct func_problems *p)
{
	return topic_parse(json, len, (struct topic **)ret, p);
}
static int parse_bus(const char *json, size_t len, void **ret, struct func_problems *p)
{
	return bus_parse(json, len, (struct bus **)ret, p);
}
static void *ref_function(void *item) { return func_ref(item); }
static void *ref_topic(void *item) { return topic_ref(item); }
static void *ref_bus(void *item) { return bus_ref(item); }
static void unref_function(void *item) { (void)func_unref(item); }
static void unref_topic(void *item) { (void)topic_unref(item); }
static void unref_bus(void *item) { (void)bus_unref(item); }
static const char *name_function(const void *item) { return ((const struct func *)item)->name; }
static const char *name_topic(const void *item) { return ((const struct topic *)item)->name; }
static const char *name_bus(const void *item) { return ((const struct bus *)item)->name; }

static const struct {
	const char *member;	/* whose presence makes a file one of this kind, and whose value is the name */
	const char *prefix;	/* before the name in changes */
	int (*parse)(const char *json, size_t len, void **ret, struct func_problems *p);
	void *(*ref)(void *item);
	void (*unref)(void *item);	/* NULL in is fine */
	const char *(*name)(const void *item);
} kinds[DEFINITIONS_KIND_MAX] = {
	[DEFINITIONS_FUNCTION] = { "FunctionName", "", parse_function, ref_function, unref_function, name_function },
	[DEFINITIONS_TOPIC] = { "TopicName", "topic ", parse_topic, ref_topic, unref_topic, name_topic },
	[DEFINITIONS_BUS] = { "EventBusName", "bus ", parse_bus, ref_bus, unref_bus, name_bus },
};

/* A topic or bus says so; all else, nonsense too, is read as a function, whose reader says what is wrong. */
static enum definitions_kind kind_of(const char *text, size_t len)
{
	const char *v;
	size_t n;

	if (!json_valid(text, len, NULL) || json_member(text, len, kinds[DEFINITIONS_FUNCTION].member, &v, &n))
		return DEFINITIONS_FUNCTION;
	for (int k = DEFINITIONS_TOPIC; k < DEFINITIONS_KIND_MAX; k++)
		if (json_member(text, len, kinds[k].member, &v, &n))
			return (enum definitions_kind)k;
	return DEFINITIONS_FUNCTION;
}

/* One of the things that an item gives: itself (i = 0), then the functions of a topic's commands. */
struct thing {
	enum definitions_kind kind;
	const char *name;
	struct func *func;	/* NULL: not a function */
	size_t sub;		/* SIZE_MAX: the item itself; else of a command, its subscription's index */
};

static bool thing_at(enum definitions_kind kind, void *item, size_t i, struct thing *ret)
{
	struct topic *t = item;

	if (i == 0) {
		*ret = (struct thing){ kind, kinds[kind].name(item), kind == DEFINITIONS_FUNCTION ? item : NULL, SIZE_MAX };
		return true;
	}
	if (kind != DEFINITIONS_TOPIC)
		return false;
	for (size_t k = 0; k < t->n_subs; k++) {
		if (!t->subs[k].command || --i)
			continue;
		*ret = (struct thing){ DEFINITIONS_FUNCTION, t->subs[k].command->name, t->subs[k].command, k };
		return true;
	}
	return false;
}

#define for_each_thing(t, kind, item) \
	for (struct { struct thing t; size_t i; } _at = {}; thing_at(kind, item, _at.i, &_at.t); _at.i++) \
		for (const struct thing *t = &_at.t; t; t = NULL)

/* Names of all kinds, each kind with its own. */
struct names { struct strmap of[DEFINITIONS_KIND_MAX]; };

static void names_done(struct names *n)
{
	for (int k = 0; k < DEFINITIONS_KIND_MAX; k++)
		strmap_done(&n->of[k]);
}

struct load {
	const char *dir;
	int dirfd;
	const struct definitions_check *check;
	struct definitions *old;
	struct definitions_result *ret;
	struct definitions_entry *list;	/* what will be remembered */
	size_t n, good;			/* entries from `good` on are kept ones */
	struct names names;		/* → file that gives it */
};

static void entry_done(struct definitions_entry *e)
{
	free(e->file);
	free(e->text);
	kinds[e->kind].unref(e->item);
	*e = (struct definitions_entry){};
}

void definitions_done(struct definitions *d)
{
	for (size_t i = 0; i < d->n; i++)
		entry_done(&d->list[i]);
	free(d->list);
	*d = (struct definitions){};
}

void definitions_result_done(struct definitions_result *r)
{
	for (size_t i = 0; i < r->n_functions; i++)
		func_unref(r->functions[i]);
	for (size_t i = 0; i < r->n_topics; i++)
		topic_unref(r->topics[i]);
	for (size_t i = 0; i < r->n_buses; i++)
		bus_unref(r->buses[i]);
	for (size_t i = 0; i < r->n_problems; i++) {
		free(r->problems[i].file);
		free(r->problems[i].path);
		free(r->problems[i].reason);
	}
	free(r->functions);
	free(r->topics);
	free(r->buses);
	free(r->problems);
	free(r->changes);
	*r = (struct definitions_result){};
}

const char *definitions_change_name(enum definitions_change_kind k)
{
	static const char *const names[] = {
		[DEFINITIONS_ADDED] = "added",	    [DEFINITIONS_CHANGED] = "changed",
		[DEFINITIONS_REMOVED] = "removed",  [DEFINITIONS_KEPT] = "kept",
	};

	return (size_t)k < ARRAY_SIZE(names) ? names[k] : "invalid";
}

/* file NULL: the directory itself. */
static void problem(struct load *l, const char *file, const char *path, const char *reason)
{
	struct definitions_result *r = l->ret;

	r->problems = xrealloc(r->problems, (r->n_problems + 1) * sizeof(*r->problems));
	r->problems[r->n_problems++] = (struct definitions_problem){
		.file = file ? xasprintf("%s/%s", l->dir, file) : xstrdup(l->dir),
		.path = xstrdup(path),
		.reason = xstrdup(reason),
	};
}

/* ---- one file ---- */

/* The whole text, -ENOENT when the file is gone, else a negative errno with the reason. */
static int read_file(struct load *l, const char *file, struct buf *text, struct err *e)
{
	CLEAN(closep) int fd = -EBADF;
	struct stat st;
	int r;

	fd = openat(l->dirfd, file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY);
	if (fd < 0 && errno == ELOOP)
		return err_set(e, -ELOOP, "is a symbolic link; a definition must be a file of its own");
	if (fd < 0 && errno == ENXIO)	/* a socket, or a device without a driver */
		return err_set(e, -ENXIO, "is not a regular file");
	if (fd < 0)
		return err_errno(e, -errno, "cannot be opened");
	if (fstat(fd, &st) < 0)
		return err_errno(e, -errno, "cannot be read");
	if (!S_ISREG(st.st_mode))
		return err_set(e, -EINVAL, "is not a regular file");
	if (st.st_uid != 0 && st.st_uid != geteuid())
		return err_set(e, -EPERM, "belongs to user %u, and says what root runs: chown root", (unsigned int)st.st_uid);
	if (st.st_mode & S_IWOTH)
		return err_set(e, -EPERM, "may be written by everyone, and says what to run: chmod o-w");
	r = buf_read(text, fd, DEFINITIONS_FILE_MAX);
	if (r == -EFBIG)
		return err_set(e, r, "is larger than %u bytes", DEFINITIONS_FILE_MAX);
	return r < 0 ? err_errno(e, r, "cannot be read") : 0;
}

static int entry_cmp(const void *a, const void *b)
{
	return strcmp(((const struct definitions_entry *)a)->file, ((const struct definitions_entry *)b)->file);
}

static const struct definitions_entry *old_entry(const struct load *l, const char *file)
{
	struct definitions_entry key = { .file = (char *)file };

	return l->old->n ? bsearch(&key, l->old->list, l->old->n, sizeof(key), entry_cmp) : NULL;
}

static bool same_text(const struct definitions_entry *e, const char *text, size_t len)
{
	return e->text_len == len && memcmp(e->text, text, len) == 0;
}

/* Takes the reference over; copies the rest (the text to its exact size: thousands of these stay in memory). */
static void put(struct load *l, const char *file, const char *text, size_t len, enum definitions_kind kind, void *item)
{
	struct definitions_entry *e = &l->list[l->n++];

	*e = (struct definitions_entry){ xstrdup(file), xstrndup(text, len), len, kind, item };
	for_each_thing(t, kind, item)
		(void)strmap_put(&l->names.of[t->kind], t->name, e->file);
}

/* Is one of the item's names taken? Says so when told to. */
static bool taken(struct load *l, enum definitions_kind kind, void *item, const char *say_file)
{
	bool any = false;

	for_each_thing(t, kind, item) {
		const char *owner = strmap_get(&l->names.of[t->kind], t->name);
		CLEAN(freep) char *why = NULL;
		CLEAN(freep) char *path = NULL;

		if (!owner)
			continue;
		any = true;
		if (!say_file)
			continue;
		why = xasprintf("\"%s\" is defined in %s already", t->name, owner);
		path = t->sub == SIZE_MAX ? xasprintf("$.%s", kinds[kind].member) : xasprintf("$.Subscriptions[%zu].Id", t->sub);
		problem(l, say_file, path, why);
	}
	return any;
}

/* Does one of its functions require limits that cannot be kept? Says so when told to. */
static bool refused(struct load *l, enum definitions_kind kind, void *item, const char *say_file)
{
	bool any = false;

	for_each_thing(t, kind, item) {
		CLEAN(freep) char *path = NULL;
		struct err e = {};

		if (!t->func || !t->func->require_limits || !l->check || l->check->limits(l->check->arg, t->func, &e) >= 0)
			continue;
		any = true;
		if (!say_file)
			continue;
		path = t->sub == SIZE_MAX ? xstrdup("$.RequireLimits") : xasprintf("$.Subscriptions[%zu].RequireLimits", t->sub);
		problem(l, say_file, path, err_msg(&e));
	}
	return any;
}

/* How long one attempt of it may take, and the member that says so. */
static int longest_ms(const struct func *f, const char **ret_member)
{
	const struct func_retry *r = &f->retry[OUTCOME_TIMEOUT];
	bool raised = r->given && r->timeout_factor > 1 && r->timeout_max_ms > f->timeout_ms;

	*ret_member = raised ? "RetryPolicy.Timeout.TimeoutMax" : "Timeout";
	return raised ? r->timeout_max_ms : f->timeout_ms;
}

/* Would one of its functions run on when its claim is over? Then another daemon would take it for dead. Says so. */
static bool outlives_lease(struct load *l, enum definitions_kind kind, void *item, const char *file)
{
	bool any = false;

	for_each_thing(t, kind, item) {
		CLEAN(freep) char *path = NULL;
		CLEAN(freep) char *why = NULL;
		const char *member;
		int64_t ms;

		if (!t->func || !l->check || !l->check->lease_s)
			continue;
		ms = (int64_t)longest_ms(t->func, &member) + t->func->kill_grace_ms;
		if (ms + LIM_LEASE_SLACK_S * 1000 < l->check->lease_s * 1000ll)
			continue;
		any = true;
		path = t->sub == SIZE_MAX ? xasprintf("$.%s", member) : xasprintf("$.Subscriptions[%zu].%s", t->sub, member);
		why = xasprintf("with KillGracePeriod an attempt may take %.15g s; with %d s to settle it that is not less than "
				"LeaseSeconds of the daemon's configuration (%d)", (double)ms / 1000, LIM_LEASE_SLACK_S,
				l->check->lease_s);
		problem(l, file, path, why);
	}
	return any;
}

enum verdict { FILE_GOOD, FILE_BAD, FILE_REFUSED, FILE_GONE };

static enum verdict load_file(struct load *l, const char *file)
{
	CLEAN(func_problems_done) struct func_problems problems = {};
	CLEAN(buf_done) struct buf text = {};
	const struct definitions_entry *old = old_entry(l, file);
	enum definitions_kind kind = DEFINITIONS_FUNCTION;
	enum verdict v = FILE_GOOD;
	struct err e = {};
	void *item = NULL;
	int r;

	r = read_file(l, file, &text, &e);
	if (r == -ENOENT)
		return FILE_GONE;
	if (r < 0) {
		problem(l, file, "", err_msg(&e));
		return FILE_BAD;
	}
	if (old && same_text(old, buf_str(&text), text.len)) {
		kind = old->kind;
		item = kinds[kind].ref(old->item);
	} else {
		kind = kind_of(buf_str(&text), text.len);
		if (kinds[kind].parse(buf_str(&text), text.len, &item, &problems) < 0) {
			for (size_t i = 0; i < problems.n; i++)
				problem(l, file, problems.list[i].path, problems.list[i].reason);
			return FILE_BAD;
		}
	}
	if (refused(l, kind, item, file))
		v = FILE_REFUSED;
	else if (outlives_lease(l, kind, item, file) || taken(l, kind, item, file))
		v = FILE_BAD;
	if (v == FILE_GOOD)
		put(l, file, buf_str(&text), text.len, kind, item);
	else
		kinds[kind].unref(item);
	return v;
}

/* What a bad file gave before stays in force, unless another file gives something of one of its names now (half a topic
 * would be one that nobody wrote), or it requires limits that this host does not keep any more. A lease it would outlive, were it
 * given now, does not take it away: those of its attempts are longer then (dispatch.c). */
static void keep(struct load *l, const struct definitions_entry *old)
{
	if (old && !taken(l, old->kind, old->item, NULL) && !refused(l, old->kind, old->item, NULL))
		put(l, old->file, old->text, old->text_len, old->kind, kinds[old->kind].ref(old->item));
}

/* ---- the directory ---- */

struct file_list { char **names; size_t n; };

static void file_list_done(struct file_list *f)
{
	for (size_t i = 0; i < f->n; i++)
		free(f->names[i]);
	free(f->names);
}

bool definitions_is_file(const char *name)
{
	size_t len = strlen(name);

	return name[0] != '.' && len > 5 && strcmp(name + len - 5, ".json") == 0;
}

static int name_cmp(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void closedirp(DIR **d)
{
	if (*d)
		(void)closedir(*d);
}

/* Opens the directory and lists its definition files, sorted. */
static int list_files(struct load *l, struct file_list *ret, struct err *e)
{
	CLEAN(closedirp) DIR *dir = NULL;
	struct dirent *de;
	int fd;

	l->dirfd = open(l->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (l->dirfd < 0)
		return err_errno(e, -errno, "cannot be opened");
	fd = openat(l->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);	/* closedir() closes it */
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		int r = -errno;

		closep(&fd);
		return err_errno(e, r, "cannot be listed");
	}
	while (errno = 0, (de = readdir(dir))) {
		if (!definitions_is_file(de->d_name))
			continue;
		if (ret->n == DEFINITIONS_MAX)
			return err_set(e, -E2BIG, "has more than %d definitions", DEFINITIONS_MAX);
		ret->names = xrealloc(ret->names, (ret->n + 1) * sizeof(*ret->names));
		ret->names[ret->n++] = xstrdup(de->d_name);
	}
	if (errno)
		return err_errno(e, -errno, "cannot be listed");
	if (ret->n)
		qsort(ret->names, ret->n, sizeof(*ret->names), name_cmp);
	return 0;
}

static void load_directory(struct load *l)
{
	CLEAN(file_list_done) struct file_list files = {};
	CLEAN(freep) bool *bad = NULL;
	struct err e = {};
	int r;

	r = list_files(l, &files, &e);
	if (r < 0)
		problem(l, NULL, "", err_msg(&e));
	l->list = xcalloc(files.n + l->old->n, sizeof(*l->list));
	bad = xcalloc(files.n, sizeof(*bad));
	for (size_t i = 0; i < files.n && r == 0; i++)
		bad[i] = load_file(l, files.names[i]) == FILE_BAD;
	l->good = l->n;
	for (size_t i = 0; i < files.n && r == 0; i++)
		keep(l, bad[i] ? old_entry(l, files.names[i]) : NULL);
	for (size_t i = 0; i < l->old->n && r < 0; i++)
		keep(l, &l->old->list[i]);
	closep(&l->dirfd);
}

/* ---- over restarts ---- */

int definitions_each(const struct definitions *d, int (*each)(void *arg, const char *file, const char *text, size_t len),
		     void *arg)
{
	int r = 0;

	for (size_t i = 0; i < d->n && r == 0; i++)
		r = each(arg, d->list[i].file, d->list[i].text, d->list[i].text_len);
	return r;
}

int definitions_remember(struct definitions *d, const char *file, const char *text, size_t len)
{
	CLEAN(func_problems_done) struct func_problems problems = {};
	enum definitions_kind kind = kind_of(text, len);
	void *item = NULL;

	assert(!d->n || strcmp(d->list[d->n - 1].file, file) < 0);
	if (kinds[kind].parse(text, len, &item, &problems) < 0)
		return -EINVAL;
	d->list = xrealloc(d->list, (d->n + 1) * sizeof(*d->list));
	d->list[d->n++] = (struct definitions_entry){ xstrdup(file), xstrndup(text, len), len, kind, item };
	return 0;
}

/* ---- what changed ---- */

static void change(struct definitions_result *r, enum definitions_change_kind kind, const struct thing *t)
{
	struct definitions_change *c;

	r->changes = xrealloc(r->changes, (r->n_changes + 1) * sizeof(*r->changes));
	c = &r->changes[r->n_changes++];
	c->kind = kind;
	snprintf(c->name, sizeof(c->name), "%s%s", kinds[t->kind].prefix, t->name);
}

static int change_cmp(const void *a, const void *b)
{
	return strcmp(((const struct definitions_change *)a)->name, ((const struct definitions_change *)b)->name);
}

/* By name, not by file: a definition that moved to another file unchanged is the same. */
static void compare_kind(struct load *l, enum definitions_kind kind)
{
	CLEAN(strmap_done) struct strmap was = {};
	struct definitions_result *r = l->ret;
	size_t from = r->n_changes;

	for (size_t i = 0; i < l->old->n; i++)
		for_each_thing(t, l->old->list[i].kind, l->old->list[i].item)
			if (t->kind == kind)
				(void)strmap_put(&was, t->name, &l->old->list[i]);
	for (size_t i = 0; i < l->n; i++)
		for_each_thing(t, l->list[i].kind, l->list[i].item) {
			const struct definitions_entry *before = t->kind == kind ? strmap_get(&was, t->name) : NULL;

			if (t->kind != kind)
				continue;
			if (!before)
				change(r, DEFINITIONS_ADDED, t);
			else if (i >= l->good)
				change(r, DEFINITIONS_KEPT, t);
			else if (same_text(before, l->list[i].text, l->list[i].text_len))
				r->unchanged++;
			else
				change(r, DEFINITIONS_CHANGED, t);
		}
	for (size_t i = 0; i < l->old->n; i++)
		for_each_thing(t, l->old->list[i].kind, l->old->list[i].item)
			if (t->kind == kind && !strmap_get(&l->names.of[kind], t->name))
				change(r, DEFINITIONS_REMOVED, t);
	if (r->n_changes > from)
		qsort(r->changes + from, r->n_changes - from, sizeof(*r->changes), change_cmp);
}

/* ---- names that lead nowhere ---- */

static bool defined(const struct load *l, const struct target *t)
{
	switch (t->kind) {
	case TARGET_FUNCTION: return strmap_get(&l->names.of[DEFINITIONS_FUNCTION], t->name);
	case TARGET_TOPIC: return strmap_get(&l->names.of[DEFINITIONS_TOPIC], t->name);
	case TARGET_BUS: return strmap_get(&l->names.of[DEFINITIONS_BUS], t->name);
	default: return true;	/* a queue is there when something is put into it */
	}
}

static void nowhere(struct load *l, const struct definitions_entry *e, const char *path, const struct target *t)
{
	CLEAN(freep) char *why = NULL;

	if (defined(l, t))
		return;
	why = xasprintf("%s \"%s\" is not defined", target_kind_name(t->kind), t->name);
	problem(l, e->file, path, why);
}

/* A destination has two places in a file; which one was used is in the text alone. */
static bool in_event_config(const struct definitions_entry *e, size_t sub, const char *role)
{
	CLEAN(cJSON_Deletep) cJSON *root = NULL;
	const cJSON *o;

	if (def_tree_parse(e->text, e->text_len, &root, NULL) < 0)
		return true;
	o = root;
	if (sub != SIZE_MAX)
		o = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(o, "Subscriptions"), (int)sub);
	o = cJSON_GetObjectItemCaseSensitive(o, "EventInvokeConfig");
	o = cJSON_GetObjectItemCaseSensitive(o, "DestinationConfig");
	o = cJSON_GetObjectItemCaseSensitive(o, role);
	return cJSON_HasObjectItem(o, "Destination");
}

static void check_destination(struct load *l, const struct definitions_entry *e, const struct thing *t, const char *role,
			      const struct target *target)
{
	CLEAN(freep) char *path = NULL;
	char sub[40] = "";

	if (defined(l, target))
		return;
	if (t->sub != SIZE_MAX)
		snprintf(sub, sizeof(sub), ".Subscriptions[%zu]", t->sub);
	path = xasprintf("$%s%s.DestinationConfig.%s.Destination", sub,
			 in_event_config(e, t->sub, role) ? ".EventInvokeConfig" : "", role);
	nowhere(l, e, path, target);
}

static void check_subscriptions(struct load *l, const struct definitions_entry *e, const struct topic *topic)
{
	for (size_t i = 0; i < topic->n_subs; i++) {
		struct target t = { .kind = TARGET_FUNCTION };
		char path[60];

		if (topic->subs[i].kind != TOPIC_SUB_FUNCTION)
			continue;
		snprintf(path, sizeof(path), "$.Subscriptions[%zu].Endpoint", i);
		snprintf(t.name, sizeof(t.name), "%s", topic->subs[i].name);
		nowhere(l, e, path, &t);
	}
}

static void check_rules(struct load *l, const struct definitions_entry *e, const struct bus *b)
{
	char path[80];

	for (size_t i = 0; i < b->n_rules; i++)
		for (size_t k = 0; k < b->rules[i].n_targets; k++) {
			snprintf(path, sizeof(path), "$.Rules[%zu].Targets[%zu].Arn", i, k);
			nowhere(l, e, path, &b->rules[i].targets[k]);
		}
}

static void cross_check(struct load *l)
{
	for (size_t i = 0; i < l->n; i++) {
		const struct definitions_entry *e = &l->list[i];

		for_each_thing(t, e->kind, e->item) {
			if (!t->func)
				continue;
			check_destination(l, e, t, "OnSuccess", &t->func->on_success);
			check_destination(l, e, t, "OnFailure", &t->func->on_failure);
			if (e->kind == DEFINITIONS_FUNCTION)
				nowhere(l, e, "$.DeadLetterConfig.TargetArn", &t->func->dead_letter);
		}
		if (e->kind == DEFINITIONS_TOPIC)
			check_subscriptions(l, e, e->item);
		if (e->kind == DEFINITIONS_BUS)
			check_rules(l, e, e->item);
	}
}

/* Reserved concurrency is taken from what all share. */
static void check_reserved(struct load *l)
{
	CLEAN(freep) char *why = NULL;
	int64_t sum = 0;
	size_t others = 0;

	for (size_t i = 0; i < l->n; i++)
		for_each_thing(t, l->list[i].kind, l->list[i].item) {
			if (t->func && t->func->reserved_concurrency >= 0)
				sum += t->func->reserved_concurrency;
			else if (t->func)
				others++;
		}
	if (!l->check || !l->check->concurrency_max || sum < l->check->concurrency_max || !others)
		return;
	why = xasprintf("ReservedConcurrentExecutions of all functions come to %lld, MaxConcurrency is %d: that leaves one place, "
			"taken from them, for the %zu function%s without", (long long)sum, l->check->concurrency_max, others,
			others == 1 ? "" : "s");
	problem(l, NULL, "", why);
}

/* ---- the result ---- */

static void fill(const struct load *l)
{
	struct definitions_result *r = l->ret;

	r->functions = xcalloc(l->names.of[DEFINITIONS_FUNCTION].len, sizeof(*r->functions));
	r->topics = xcalloc(l->names.of[DEFINITIONS_TOPIC].len, sizeof(*r->topics));
	r->buses = xcalloc(l->names.of[DEFINITIONS_BUS].len, sizeof(*r->buses));
	for (size_t i = 0; i < l->n; i++) {
		if (l->list[i].kind == DEFINITIONS_TOPIC)
			r->topics[r->n_topics++] = topic_ref(l->list[i].item);
		if (l->list[i].kind == DEFINITIONS_BUS)
			r->buses[r->n_buses++] = bus_ref(l->list[i].item);
		for_each_thing(t, l->list[i].kind, l->list[i].item)
			if (t->func)
				r->functions[r->n_functions++] = func_ref(t->func);
	}
}

int definitions_load(struct definitions *d, const char *dir, const struct definitions_check *check, struct definitions_result *ret)
{
	struct load l = { .dir = dir, .dirfd = -EBADF, .check = check, .old = d, .ret = ret };

	assert(d && dir && ret);
	*ret = (struct definitions_result){};
	load_directory(&l);
	for (int k = 0; k < DEFINITIONS_KIND_MAX; k++)
		compare_kind(&l, (enum definitions_kind)k);
	cross_check(&l);
	check_reserved(&l);
	fill(&l);
	names_done(&l.names);
	definitions_done(d);
	if (l.n)
		qsort(l.list, l.n, sizeof(*l.list), entry_cmp);		/* old_entry() searches by file */
	*d = (struct definitions){ l.list, l.n };
	return ret->n_problems ? -EINVAL : 0;
}

char *definitions_summary(const struct definitions_result *r)
{
	struct buf b = {};

	for (int k = DEFINITIONS_ADDED; k <= DEFINITIONS_KEPT; k++) {
		size_t count = 0;

		for (size_t i = 0; i < r->n_changes; i++) {
			if ((int)r->changes[i].kind != k)
				continue;
			if (count == 0)
				buf_addf(&b, "%s%s ", b.len ? "; " : "", definitions_change_name(r->changes[i].kind));
			if (count < SUMMARY_NAMES_MAX)
				buf_addf(&b, "%s%s", count ? ", " : "", r->changes[i].name);
			count++;
		}
		if (count > SUMMARY_NAMES_MAX)
			buf_addf(&b, " and %zu more", count - SUMMARY_NAMES_MAX);
	}
	if (r->unchanged)
		buf_addf(&b, "%s%zu unchanged", b.len ? "; " : "", r->unchanged);
	if (!b.len)
		buf_adds(&b, "no functions");
	return buf_take(&b, NULL);
}
