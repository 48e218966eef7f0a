/* SPDX-License-Identifier: Apache-2.0 */
#include "launch/launch_user.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

#define NSS_BUFFER 65536	/* a group with thousands of members fits */

static bool as_number(const char *s, unsigned long *ret)
{
	char *end;

	errno = 0;
	*ret = strtoul(s, &end, 10);
	return s[0] >= '0' && s[0] <= '9' && !*end && !errno && *ret < (uid_t)-1;
}

static int find_group(const char *name, gid_t *ret, char *buffer, struct err *e)
{
	struct group g, *found = NULL;
	unsigned long n;
	int r;

	if (as_number(name, &n)) {
		*ret = (gid_t)n;
		return 0;
	}
	r = getgrnam_r(name, &g, buffer, NSS_BUFFER, &found);
	if (!found)
		return r ? err_errno(e, -r, "group %s", name) : err_set(e, -ESRCH, "there is no group %s", name);
	*ret = g.gr_gid;
	return 0;
}

static int find_user(const char *name, struct launch_user *u, char *ret_name, size_t size, char *buffer, struct err *e)
{
	struct passwd p, *found = NULL;
	unsigned long n;
	int r;

	if (as_number(name, &n))
		r = getpwuid_r((uid_t)n, &p, buffer, NSS_BUFFER, &found);
	else
		r = getpwnam_r(name, &p, buffer, NSS_BUFFER, &found);
	if (!found && as_number(name, &n)) {	/* a number needs no name */
		u->uid = (uid_t)n;
		u->gid = (gid_t)n;
		ret_name[0] = '\0';
		return 0;
	}
	if (!found)
		return r ? err_errno(e, -r, "user %s", name) : err_set(e, -ESRCH, "there is no user %s", name);
	u->uid = p.pw_uid;
	u->gid = p.pw_gid;
	snprintf(ret_name, size, "%s", p.pw_name);
	return 0;
}

static void fill_groups(struct launch_user *u, const char *name)
{
	int n = 64;

	u->groups = xcalloc((size_t)n, sizeof(gid_t));
	if (!name[0]) {
		u->groups[0] = u->gid;
		u->n_groups = 1;
		return;
	}
	while (getgrouplist(name, u->gid, u->groups, &n) < 0)	/* says how many it needs */
		u->groups = xrealloc(u->groups, (size_t)n * sizeof(gid_t));
	u->n_groups = n;
}

static int look_up(struct launch_user *u, const char *user, const char *group, struct err *e)
{
	CLEAN(freep) char *buffer = xcalloc(1, NSS_BUFFER);
	char name[256] = "";
	int r;

	if (user) {
		u->set_uid = u->set_gid = true;
		r = find_user(user, u, name, sizeof(name), buffer, e);
		if (r < 0)
			return r;
	}
	if (group) {
		u->set_gid = true;
		r = find_group(group, &u->gid, buffer, e);
		if (r < 0)
			return r;
	}
	fill_groups(u, name);
	return 0;
}

int launch_user_get(struct strmap *cache, const char *user, const char *group, const struct launch_user **ret, struct err *e)
{
	CLEAN(freep) char *key = xasprintf("%s:%s", user ? user : "", group ? group : "");
	struct launch_user *u = strmap_get(cache, key);
	int r;

	if (!u) {
		u = xcalloc(1, sizeof(*u) + strlen(key) + 1);
		memcpy(u->key, key, strlen(key) + 1);
		r = look_up(u, user, group, e);
		if (r < 0) {
			free(u->groups);
			free(u);
			return r;
		}
		strmap_put(cache, u->key, u);
	}
	*ret = u;
	return 0;
}

void launch_user_cache_done(struct strmap *cache)
{
	for (size_t i = 0; i < cache->cap; i++) {
		struct launch_user *u = cache->slots[i].value;

		if (u) {
			free(u->groups);
			free(u);
		}
	}
	strmap_done(cache);
}
