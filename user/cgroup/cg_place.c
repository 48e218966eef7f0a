/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mount table and our own line of /proc/self/cgroup, read with suspicion: mountinfo escapes space, tab, newline
 * and backslash as octal, its optional fields vary in number, and inside a container the mount may show only a part
 * of the tree (field "root"). The last fitting mount counts: a later one covers an earlier one.
 */
#include "cgroup/cg_place.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Copies a mountinfo field, octal escapes resolved. */
static int unescape(const char *s, size_t len, char *ret, size_t size)
{
	size_t o = 0;

	for (size_t i = 0; i < len; i++) {
		char c = s[i];

		if (c == '\\' && len - i > 3 && s[i + 1] >= '0' && s[i + 1] <= '3' && s[i + 2] >= '0' && s[i + 2] <= '7' &&
		    s[i + 3] >= '0' && s[i + 3] <= '7') {
			c = (char)((s[i + 1] - '0') << 6 | (s[i + 2] - '0') << 3 | (s[i + 3] - '0'));
			i += 3;
		}
		if (o + 1 >= size)
			return -ENAMETOOLONG;
		ret[o++] = c;
	}
	ret[o] = '\0';
	return 0;
}

/* The n-th field (from 0) of a line, separated by single spaces; *ret_len 0 when there is none. */
static const char *field(const char *line, size_t len, int n, size_t *ret_len)
{
	const char *end = line + len, *p = line;

	for (;;) {
		const char *space = memchr(p, ' ', (size_t)(end - p));
		const char *stop = space ? space : end;

		if (n-- == 0) {
			*ret_len = (size_t)(stop - p);
			return p;
		}
		if (!space) {
			*ret_len = 0;
			return end;
		}
		p = space + 1;
	}
}

/* The file system type: the field after the lone "-". */
static const char *fs_type(const char *line, size_t len, size_t *ret_len)
{
	for (int i = 6;; i++) {
		const char *f = field(line, len, i, ret_len);

		if (!*ret_len)
			return NULL;
		if (*ret_len == 1 && *f == '-')
			return field(line, len, i + 1, ret_len);
	}
}

/* path without the prefix (a whole number of components), NULL when it is not below it. */
static const char *below(const char *path, const char *prefix)
{
	size_t n = strlen(prefix);

	if (strcmp(prefix, "/") == 0)
		return path;
	if (strncmp(path, prefix, n) != 0 || (path[n] != '/' && path[n] != '\0'))
		return NULL;
	return path[n] ? path + n : "/";
}

static int find_self(const char *text, char *ret, size_t size, struct err *e)
{
	for (const char *p = text; *p;) {
		const char *end = strchrnul(p, '\n');

		if (strncmp(p, "0::/", 4) == 0) {
			size_t len = (size_t)(end - p) - 3;

			if (len >= size)
				return err_set(e, -ENAMETOOLONG, "the path in /proc/self/cgroup is too long");
			memcpy(ret, p + 3, len);
			ret[len] = '\0';
			/* Inside a cgroup name space: we were moved out of what it shows. */
			if (strncmp(ret, "/..", 3) == 0 && (ret[3] == '/' || !ret[3]))
				return err_set(e, -ENOENT, "our own cgroup %.200s is outside this cgroup name space", ret);
			return 0;
		}
		p = *end ? end + 1 : end;
	}
	return err_set(e, -ENOENT, "/proc/self/cgroup has no \"0::\" line: this kernel or container has cgroup v1 only; "
		       "fated needs the unified hierarchy (cgroup v2)");
}

static int take_mount(const char *line, size_t len, struct cg_place *p, bool *found)
{
	char root[PATH_MAX], mount[PATH_MAX];
	const char *f, *rest;
	size_t n;
	int r;

	f = field(line, len, 3, &n);
	r = unescape(f, n, root, sizeof(root));
	if (r < 0)
		return r;
	f = field(line, len, 4, &n);
	r = unescape(f, n, mount, sizeof(mount));
	if (r < 0)
		return r;
	if (root[0] != '/' || mount[0] != '/')
		return -EBADMSG;
	rest = below(p->self_cgroup, root);
	if (!rest)
		return 0;	/* shows another part of the tree */
	n = (size_t)snprintf(p->self, sizeof(p->self), "%s%s", strcmp(mount, "/") == 0 ? "" : mount,
			     strcmp(rest, "/") == 0 ? "" : rest);
	if (n >= sizeof(p->self))
		return -ENAMETOOLONG;
	memcpy(p->mount, mount, sizeof(mount));
	memcpy(p->root, root, sizeof(root));
	*found = true;
	return 0;
}

int cg_place_find(const char *mountinfo, const char *self_cgroup, struct cg_place *ret, struct err *e)
{
	bool found = false, any = false;
	int r;

	*ret = (struct cg_place){};
	r = find_self(self_cgroup, ret->self_cgroup, sizeof(ret->self_cgroup), e);
	if (r < 0)
		return r;
	for (const char *p = mountinfo; *p;) {
		const char *end = strchrnul(p, '\n');
		size_t n = 0;
		const char *type = fs_type(p, (size_t)(end - p), &n);

		if (type && n == 7 && memcmp(type, "cgroup2", 7) == 0) {
			any = true;
			r = take_mount(p, (size_t)(end - p), ret, &found);
			if (r < 0)
				return err_errno(e, r, "cgroup2 line of /proc/self/mountinfo");
		} else if (type && n == 6 && memcmp(type, "cgroup", 6) == 0) {
			ret->hybrid = true;
		}
		p = *end ? end + 1 : end;
	}
	if (!found)
		return any ? err_set(e, -ENOENT, "no cgroup2 mount shows our own cgroup %.200s", ret->self_cgroup)
			   : err_set(e, -ENOENT, "cgroup v2 is not mounted (%s); fated needs the unified hierarchy",
				     ret->hybrid ? "only v1 hierarchies are" : "nor is v1");
	return 0;
}

int cg_path_level(const char *path)
{
	int n = 0;

	for (const char *p = path; *p; p++)
		n += *p == '/' && p[1] && p[1] != '/';
	return n;
}
