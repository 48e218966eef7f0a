/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memory.events.local counts "oom" in the one group whose limit was hit, before the OOM killer is asked; "oom_kill" in the
 * victim's. So after a kill below, the group whose "oom" rose is whose limit it was, and when none rose no group's was:
 * the host ran out. When two rose while the function ran, each may have been it: then nothing is said. That another
 * environment below the same ancestor may have been what drove it over its limit changes nothing in whose limit it was.
 *
 * A group with groups in it cannot be removed, so while there is a leaf nothing above can be replaced. What can go is the
 * whole chain between two leaves: then the descriptors answer ENODEV, no mark is taken, and nothing is said. The same where a
 * count fell, which no group's does while it lives.
 *
 * The top of the hierarchy has no such file. Where the topmost directory we see has one, it is the root of a cgroup name
 * space: groups that are hidden from us are above, and "none rose" does not mean the host.
 *
 * Descriptors are kept open because a launch is to pay for one read a group, not for a look-up too. Considered and
 * rejected: to be woken when a count rises (inotify, EPOLLPRI on the file): the news would come after the end of the
 * function as often as not.
 */
#include "cgroup/cg_above.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "cgroup/cg_facts.h"
#include "sys/sys_calls.h"

struct group { int fd; char *path; };	/* fd: of memory.events.local */

struct cg_above {
	struct group groups[CG_ABOVE_MAX];
	size_t n;
	size_t mount_len;	/* of the mount's path, which all paths begin with; "/" counts as none */
	bool blind;		/* a group could not be opened: nothing can be told */
	bool whole;		/* the last one's parent is the top of the hierarchy */
};

/* One group. False: no more above it, or no more to be seen. */
static bool add(struct cg_above *a, const char *path, bool top)
{
	CLEAN(freep) char *file = xasprintf("%s/memory.events.local", path);
	int fd = sys.openat(AT_FDCWD, file, O_RDONLY, 0);

	if (fd == -ENOENT && top) {
		a->whole = true;
		return false;
	}
	if (fd < 0 || a->n == CG_ABOVE_MAX) {
		sys_closep(&fd);
		a->blind = true;
		return false;
	}
	a->groups[a->n++] = (struct group){ .fd = fd, .path = xstrdup(path) };
	return !top;
}

struct cg_above *cg_above_new(const char *mount, const char *env)
{
	struct cg_above *a = XNEW(struct cg_above);
	CLEAN(freep) char *path = xstrdup(env);

	a->mount_len = strcmp(mount, "/") == 0 ? 0 : strlen(mount);
	assert(strncmp(env, mount, a->mount_len) == 0);
	while (add(a, path, strlen(path) <= a->mount_len)) {
		char *end = strrchr(path, '/');

		while (end > path && end[-1] == '/')
			end--;
		*end = '\0';
	}
	return a;
}

struct cg_above *cg_above_free(struct cg_above *a)
{
	if (!a)
		return NULL;
	for (size_t i = 0; i < a->n; i++) {
		sys_closep(&a->groups[i].fd);
		free(a->groups[i].path);
	}
	free(a);
	return NULL;
}

static bool read_ooms(const struct group *g, uint64_t *ret)
{
	char text[512];
	ssize_t n = sys.pread(g->fd, text, sizeof(text) - 1, 0);

	if (n <= 0)
		return false;
	text[n] = '\0';
	return cg_facts_number(text, "oom", ret);
}

void cg_above_mark(const struct cg_above *a, struct cg_above_mark *ret)
{
	ret->told = 0;
	ret->taken = a && !a->blind;
	for (size_t i = 0; ret->taken && i < a->n; i++)
		ret->taken = read_ooms(&a->groups[i], &ret->ooms[i]);
}

/* Place of the one whose count rose, n for the host; -1: cannot be told. */
static ssize_t who(const struct cg_above *a, const struct cg_above_mark *since)
{
	ssize_t found = -1;

	for (size_t i = 0; i < a->n; i++) {
		uint64_t now;

		if (!read_ooms(&a->groups[i], &now) || now < since->ooms[i])
			return -1;
		if (now == since->ooms[i])
			continue;
		if (found >= 0)
			return -1;
		found = (ssize_t)i;
	}
	return found >= 0 ? found : a->whole ? (ssize_t)a->n : -1;
}

/* Below the mount. Of a path that is too long, its end: that is what tells groups apart. */
static void name_group(const struct cg_above *a, const char *path, char ret[FACT_PATH_MAX])
{
	const char *below = path + a->mount_len;
	size_t n = strlen(below);

	if (n < FACT_PATH_MAX)
		snprintf(ret, FACT_PATH_MAX, "%s", n ? below : "/");
	else
		snprintf(ret, FACT_PATH_MAX, "...%s", below + n - (FACT_PATH_MAX - 4));
}

void cg_above_tell(const struct cg_above *a, struct cg_above_mark *since, struct fact_cgroup *ret)
{
	CLEAN(freep) char *limit = NULL;
	ssize_t at;

	if (!a || !since->taken)
		return;
	at = since->told ? (ssize_t)since->told - 1 : who(a, since);
	if (at < 0)
		return;
	since->told = (size_t)at + 1;
	ret->above_known = true;
	if ((size_t)at == a->n)
		return;
	name_group(a, a->groups[at].path, ret->above);
	limit = xasprintf("%s/memory.max", a->groups[at].path);
	ret->above_limit = cg_facts_single(AT_FDCWD, limit);
}
