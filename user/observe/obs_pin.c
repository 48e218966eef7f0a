/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pins are how entries, timers and attached programs outlive the daemon. Replacing is pin-beside-and-rename, so at
 * every instant a name means either the old thing or the new, never nothing. A reboot empties bpffs: there is no
 * boot identity to check. flock() on the directory keeps two daemons apart and dies with its holder, which a pid
 * file would not.
 */
#include "observe/obs_pin.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/lock.h"
#include "base/mem.h"
#include "fate_event.h"

#define SYS_BPF "/sys/fs/bpf"

int obs_pin_path(const char *dir, const char *sub, const char *name, char *ret, size_t size)
{
	int n = snprintf(ret, size, "%s%s%s/%s", dir, sub ? "/" : "", sub ? sub : "", name);

	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

static bool on_bpffs(const char *path)
{
	struct statfs s;

	return statfs(path, &s) == 0 && s.f_type == BPF_FS_MAGIC;
}

static int mount_bpffs(const char *at, struct err *e)
{
	if (mount("bpf", at, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RELATIME, "mode=0700") < 0)
		return err_errno(e, -errno, "mount bpffs on %s (needs CAP_SYS_ADMIN)", at);
	return 0;
}

static int make_dirs(const char *dir, struct err *e)
{
	char path[PATH_MAX];
	size_t len = strlen(dir);

	if (len >= sizeof(path) || dir[0] != '/')
		return err_set(e, -EINVAL, "BPF directory %s: not an absolute path", dir);
	memcpy(path, dir, len + 1);
	for (char *p = path + 1;; p++) {
		char c = *p;

		if (c != '/' && c != '\0')
			continue;
		*p = '\0';
		if (mkdir(path, 0700) < 0 && errno != EEXIST)
			return err_errno(e, -errno, "make BPF directory %s", path);
		if (c == '\0')
			return 0;
		*p = c;
	}
}

int obs_pin_open(const char *dir, int *ret_fd, struct err *e)
{
	CLEAN(closep) int fd = -EBADF;
	int r;

	assert(dir); assert(ret_fd);
	/* Nobody can make a directory in sysfs: the usual mount comes first. */
	if (strncmp(dir, SYS_BPF "/", strlen(SYS_BPF "/")) == 0 && !on_bpffs(SYS_BPF)) {
		r = mount_bpffs(SYS_BPF, e);
		if (r < 0)
			return r;
	}
	r = make_dirs(dir, e);
	if (r < 0)
		return r;
	if (!on_bpffs(dir)) {
		r = mount_bpffs(dir, e);
		if (r < 0)
			return r;
	}
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(e, -errno, "open BPF directory %s", dir);
	r = lock_take(fd);
	if (r < 0)
		return r == -EWOULDBLOCK ? err_set(e, -EBUSY, "BPF directory %s: another fated uses it", dir)
					 : err_errno(e, r, "lock BPF directory %s", dir);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int map_info(const char *dir, const char *name, int *ret_fd, struct bpf_map_info *ret)
{
	char path[PATH_MAX];
	CLEAN(closep) int fd = -EBADF;
	__u32 len = sizeof(*ret);
	int r = obs_pin_path(dir, NULL, name, path, sizeof(path));

	if (r < 0)
		return r;
	fd = bpf_obj_get(path);
	if (fd < 0)
		return fd;
	*ret = (struct bpf_map_info){};
	r = bpf_obj_get_info_by_fd(fd, ret, &len);
	if (r < 0)
		return r;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

uint32_t obs_pin_layout(const char *dir)
{
	CLEAN(closep) int fd = -EBADF;
	CLEAN(freep) void *value = NULL;
	struct bpf_map_info info;
	__u32 key = 0, version;

	/* Whatever comes after, the version stays the first word of the first value: that much must never change. */
	if (map_info(dir, "fate_meta", &fd, &info) < 0 || info.key_size != sizeof(key) || info.value_size < sizeof(version))
		return 0;
	value = xcalloc(1, info.value_size);
	if (bpf_map_lookup_elem(fd, &key, value) < 0)
		return 0;
	memcpy(&version, value, sizeof(version));
	return version;
}

int obs_pin_get_map(const char *dir, const struct bpf_map *m, uint32_t max_entries, uint32_t *ret_max_entries)
{
	CLEAN(closep) int fd = -EBADF;
	struct bpf_map_info info;
	int r = map_info(dir, bpf_map__name(m), &fd, &info);

	if (r < 0)
		return r == -ENOENT ? r : -ESTALE;
	if (info.type != bpf_map__type(m) || info.key_size != bpf_map__key_size(m) ||
	    info.value_size != bpf_map__value_size(m) || info.map_flags != bpf_map__map_flags(m) ||
	    (max_entries && info.max_entries != max_entries))
		return -ESTALE;
	if (ret_max_entries)
		*ret_max_entries = info.max_entries;
	return TAKE_FD(fd);
}

static int new_path(const char *dir, const char *sub, const char *name, uint32_t generation, char *ret, size_t size)
{
	char with_suffix[64];
	int n = snprintf(with_suffix, sizeof(with_suffix), "%s_%" PRIu32, name, generation);

	return n < 0 || (size_t)n >= sizeof(with_suffix) ? -ENAMETOOLONG : obs_pin_path(dir, sub, with_suffix, ret, size);
}

int obs_pin_new(const char *dir, const char *sub, const char *name, uint32_t generation, int fd, struct err *e)
{
	char path[PATH_MAX], parent[PATH_MAX];
	int r = new_path(dir, sub, name, generation, path, sizeof(path));

	if (r < 0)
		return err_errno(e, r, "pin %s below %s", name, dir);
	if (sub) {
		r = obs_pin_path(dir, NULL, sub, parent, sizeof(parent));
		if (r < 0 || (mkdir(parent, 0700) < 0 && errno != EEXIST))
			return err_errno(e, r < 0 ? r : -errno, "make %s/%s", dir, sub);
	}
	if (unlink(path) < 0 && errno != ENOENT)
		return err_errno(e, -errno, "remove %s", path);
	r = bpf_obj_pin(fd, path);
	return r < 0 ? err_errno(e, r, "pin %s", path) : 0;
}

int obs_pin_commit(const char *dir, const char *sub, const char *name, uint32_t generation, struct err *e)
{
	char from[PATH_MAX], to[PATH_MAX];
	int r = new_path(dir, sub, name, generation, from, sizeof(from));

	if (r == 0)
		r = obs_pin_path(dir, sub, name, to, sizeof(to));
	if (r < 0)
		return err_errno(e, r, "pin %s below %s", name, dir);
	if (rename(from, to) < 0)
		return err_errno(e, -errno, "rename %s to %s", from, to);
	return 0;
}

void obs_pin_sweep(const char *dir, const char *sub, bool (*keep)(void *arg, const char *name), void *arg)
{
	char path[PATH_MAX];
	const struct dirent *de;
	DIR *d;

	if (obs_pin_path(dir, sub, ".", path, sizeof(path)) < 0)
		return;
	d = opendir(path);
	if (!d)
		return;
	while ((de = readdir(d)))
		if (de->d_type != DT_DIR && !strchr(de->d_name, '.') && !(keep && keep(arg, de->d_name)))
			(void)unlinkat(dirfd(d), de->d_name, 0);
	(void)closedir(d);
}

static bool is_not_of(void *arg, const char *name)
{
	char suffix[16];
	size_t len = strlen(name), tail = (size_t)snprintf(suffix, sizeof(suffix), "_%" PRIu32, *(const uint32_t *)arg);

	return len < tail || strcmp(name + len - tail, suffix) != 0;
}

void obs_pin_abandon(const char *dir, const char *sub, uint32_t generation)
{
	obs_pin_sweep(dir, sub, is_not_of, &generation);
}

/* Takes what is there: a move that was interrupted goes on. */
static int move_to(const char *dir, const char *name, const char *aside, struct err *e)
{
	char from[PATH_MAX], to[PATH_MAX];

	if (obs_pin_path(dir, NULL, name, from, sizeof(from)) < 0 || obs_pin_path(dir, aside, name, to, sizeof(to)) < 0)
		return err_set(e, -ENAMETOOLONG, "set aside %s below %s", name, dir);
	if (rename(from, to) < 0 && errno != ENOENT)
		return err_errno(e, -errno, "rename %s to %s", from, to);
	return 0;
}

int obs_pin_set_aside(const char *dir, uint32_t layout, struct err *e)
{
	char aside[32], path[PATH_MAX];
	char names[64][BPF_OBJ_NAME_LEN];
	const struct dirent *de;
	size_t n = 0;
	int r = 0;
	DIR *d;

	snprintf(aside, sizeof(aside), OBS_PIN_OLD "%" PRIu32, layout);
	if (obs_pin_path(dir, NULL, aside, path, sizeof(path)) < 0 || (mkdir(path, 0700) < 0 && errno != EEXIST))
		return err_errno(e, -errno, "make %s", path);
	d = opendir(dir);
	if (!d)
		return err_errno(e, -errno, "list %s", dir);
	while ((de = readdir(d)) && n < ARRAY_SIZE(names))
		if (de->d_type != DT_DIR && !strchr(de->d_name, '.') && strcmp(de->d_name, "fate_meta") != 0 &&
		    strlen(de->d_name) < sizeof(names[0]))
			memcpy(names[n++], de->d_name, strlen(de->d_name) + 1);
	(void)closedir(d);
	for (size_t i = 0; i < n && r == 0; i++)
		r = move_to(dir, names[i], aside, e);
	if (r == 0)
		r = move_to(dir, OBS_PIN_PROG, aside, e);
	if (r == 0)
		r = move_to(dir, OBS_PIN_LINK, aside, e);
	return r < 0 ? r : move_to(dir, "fate_meta", aside, e);
}

void obs_pin_each_old(const char *dir, void (*fn)(void *arg, const char *path), void *arg)
{
	char path[PATH_MAX];
	const struct dirent *de;
	DIR *d = opendir(dir);

	while (d && (de = readdir(d)))
		if (de->d_type == DT_DIR && de->d_name[0] == OBS_PIN_OLD[0] && strspn(de->d_name + 1, "0123456789") &&
		    obs_pin_path(dir, NULL, de->d_name, path, sizeof(path)) == 0)
			fn(arg, path);
	if (d)
		(void)closedir(d);
}

static void remove_dir(const char *dir, const char *sub)
{
	char path[PATH_MAX];

	if (obs_pin_path(dir, NULL, sub, path, sizeof(path)) == 0)
		(void)rmdir(path);
}

void obs_pin_clear(const char *dir)
{
	obs_pin_sweep(dir, OBS_PIN_LINK, NULL, NULL);
	obs_pin_sweep(dir, OBS_PIN_PROG, NULL, NULL);
	obs_pin_sweep(dir, NULL, NULL, NULL);
}

static void remove_old(void *arg, const char *path)
{
	obs_pin_clear(path);
	remove_dir(path, OBS_PIN_LINK);
	remove_dir(path, OBS_PIN_PROG);
	(void)rmdir(path);
}

void obs_pin_remove(const char *dir)
{
	obs_pin_each_old(dir, remove_old, NULL);
	obs_pin_clear(dir);
	remove_dir(dir, OBS_PIN_LINK);
	remove_dir(dir, OBS_PIN_PROG);
	(void)rmdir(dir);	/* stays when a bpffs is mounted on it */
}
