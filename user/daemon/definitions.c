/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A load goes through the directory in the order of file names and sorts every file into one of three: same text as
 * last time (its snapshot is used again, so an untouched function is untouched), a good definition, or bad. Then names
 * are given out, good files first, in file order; a bad file's old function comes last, if its name is still free.
 *
 * Why good files go first: a function may move from a file to another while the old one is in pieces. Were the old
 * snapshot to hold its name, a bad file would keep a good definition out of force.
 *
 * Why the text is remembered and not a checksum or the time stamp: definitions are small, editors and package managers
 * play with times, and an equal text is certainly an equal definition.
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
#include "base/map.h"
#include "base/mem.h"

#define SUMMARY_NAMES_MAX 20
#define READ_BYTES 65536

struct definitions_entry {
	char *file;		/* name in the directory */
	char *text;		/* of the definition in force; of a bad file, what it was */
	size_t text_len;
	struct func *func;
};

struct load {
	const char *dir;
	int dirfd;
	struct definitions *old;
	struct definitions_result *ret;
	struct definitions_entry *list;	/* what will be remembered */
	size_t n, good;			/* entries from `good` on are kept ones */
	struct strmap names;		/* function name → its entry's file */
};

static void entry_done(struct definitions_entry *e)
{
	free(e->file);
	free(e->text);
	func_unref(e->func);
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
	for (size_t i = 0; i < r->n; i++)
		func_unref(r->functions[i]);
	for (size_t i = 0; i < r->n_problems; i++) {
		free(r->problems[i].file);
		free(r->problems[i].path);
		free(r->problems[i].reason);
	}
	free(r->functions);
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
	ssize_t n;

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
	do {
		if (buf_reserve(text, READ_BYTES) < 0)
			return err_errno(e, -ENOMEM, "cannot be read");
		n = read(fd, text->data + text->len, READ_BYTES);
		if (n < 0 && errno != EINTR)
			return err_errno(e, -errno, "cannot be read");
		text->len += n > 0 ? (size_t)n : 0;
		/* Measured here and not by fstat(): the file may be growing. */
		if (text->len > DEFINITIONS_FILE_MAX)
			return err_set(e, -EFBIG, "is larger than %u bytes", DEFINITIONS_FILE_MAX);
	} while (n != 0);
	text->data[text->len] = '\0';
	return 0;
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
static void put(struct load *l, const char *file, const char *text, size_t len, struct func *func)
{
	struct definitions_entry *e = &l->list[l->n++];

	*e = (struct definitions_entry){ .file = xstrdup(file), .text = xstrndup(text, len), .text_len = len, .func = func };
	(void)strmap_put(&l->names, func->name, e->file);
}

enum verdict { FILE_GOOD, FILE_BAD, FILE_GONE };

static enum verdict load_file(struct load *l, const char *file)
{
	CLEAN(func_unrefp) struct func *func = NULL;
	CLEAN(func_problems_done) struct func_problems problems = {};
	CLEAN(buf_done) struct buf text = {};
	const struct definitions_entry *old = old_entry(l, file);
	struct err e = {};
	const char *owner;
	int r;

	r = read_file(l, file, &text, &e);
	if (r == -ENOENT)
		return FILE_GONE;
	if (r < 0) {
		problem(l, file, "", err_msg(&e));
		return FILE_BAD;
	}
	if (old && same_text(old, buf_str(&text), text.len)) {
		func = func_ref(old->func);
	} else if (func_parse(buf_str(&text), text.len, &func, &problems) < 0) {
		for (size_t i = 0; i < problems.n; i++)
			problem(l, file, problems.list[i].path, problems.list[i].reason);
		return FILE_BAD;
	}
	owner = strmap_get(&l->names, func->name);
	if (owner) {
		CLEAN(freep) char *why = xasprintf("\"%s\" is defined in %s already", func->name, owner);

		problem(l, file, "$.FunctionName", why);
		return FILE_BAD;
	}
	put(l, file, buf_str(&text), text.len, TAKE(func));
	return FILE_GOOD;
}

/* The function a bad file gave before stays in force, unless another file gives one of that name now. */
static void keep(struct load *l, const struct definitions_entry *old)
{
	if (old && !strmap_get(&l->names, old->func->name))
		put(l, old->file, old->text, old->text_len, func_ref(old->func));
}

/* ---- the directory ---- */

struct file_list { char **names; size_t n; };

static void file_list_done(struct file_list *f)
{
	for (size_t i = 0; i < f->n; i++)
		free(f->names[i]);
	free(f->names);
}

static bool is_definition(const char *name)
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
		if (!is_definition(de->d_name))
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
	for (size_t i = 0; i < l->old->n && r < 0 && r != -ENOENT; i++)
		keep(l, &l->old->list[i]);
	closep(&l->dirfd);
}

/* ---- what changed ---- */

static void change(struct definitions_result *r, enum definitions_change_kind kind, const char *function)
{
	struct definitions_change *c;

	r->changes = xrealloc(r->changes, (r->n_changes + 1) * sizeof(*r->changes));
	c = &r->changes[r->n_changes++];
	c->kind = kind;
	snprintf(c->function, sizeof(c->function), "%s", function);
}

static int change_cmp(const void *a, const void *b)
{
	return strcmp(((const struct definitions_change *)a)->function, ((const struct definitions_change *)b)->function);
}

static int func_cmp(const void *a, const void *b)
{
	return strcmp((*(struct func *const *)a)->name, (*(struct func *const *)b)->name);
}

/* By function, not by file: a definition that moved to another file unchanged is the same. */
static void compare(struct load *l)
{
	CLEAN(strmap_done) struct strmap was = {};
	struct definitions_result *r = l->ret;

	for (size_t i = 0; i < l->old->n; i++)
		(void)strmap_put(&was, l->old->list[i].func->name, &l->old->list[i]);
	for (size_t i = 0; i < l->n; i++) {
		const struct definitions_entry *now = &l->list[i], *before = strmap_get(&was, now->func->name);

		if (!before)
			change(r, DEFINITIONS_ADDED, now->func->name);
		else if (i >= l->good)
			change(r, DEFINITIONS_KEPT, now->func->name);
		else if (same_text(before, now->text, now->text_len))
			r->unchanged++;
		else
			change(r, DEFINITIONS_CHANGED, now->func->name);
	}
	for (size_t i = 0; i < l->old->n; i++)
		if (!strmap_get(&l->names, l->old->list[i].func->name))
			change(r, DEFINITIONS_REMOVED, l->old->list[i].func->name);
	if (r->n_changes)
		qsort(r->changes, r->n_changes, sizeof(*r->changes), change_cmp);
}

int definitions_load(struct definitions *d, const char *dir, struct definitions_result *ret)
{
	struct load l = { .dir = dir, .dirfd = -EBADF, .old = d, .ret = ret };

	assert(d && dir && ret);
	*ret = (struct definitions_result){};
	load_directory(&l);
	compare(&l);
	ret->functions = xcalloc(l.n, sizeof(*ret->functions));
	for (size_t i = 0; i < l.n; i++)
		ret->functions[ret->n++] = func_ref(l.list[i].func);
	if (ret->n)
		qsort(ret->functions, ret->n, sizeof(*ret->functions), func_cmp);
	strmap_done(&l.names);
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
				buf_addf(&b, "%s%s", count ? ", " : "", r->changes[i].function);
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
