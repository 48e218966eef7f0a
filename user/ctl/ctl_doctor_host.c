/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking: reads what the judges judge. What may not be read becomes a finding of its own, never a silent gap. Nothing
 * is changed, nothing is loaded, nothing is mounted: a doctor who operates uninvited is none.
 *
 * Where the daemon does not answer, its default paths are looked at.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "ctl/ctl.h"
#include "ctl/ctl_doctor.h"
#include "fate_abi.h"

#define GROUPS_MAX 65536	/* NGROUPS_MAX of Linux */
#define CONCURRENCY_DEFAULT 1000
#define DEFINITIONS_SHOWN 3

/* Files of /proc and /sys, whole. Negative errno. */
static int read_text(const char *path, struct buf *ret)
{
	CLEAN(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	char chunk[8192];
	ssize_t n;

	if (fd < 0)
		return -errno;
	while ((n = read(fd, chunk, sizeof(chunk))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		buf_add(ret, chunk, (size_t)n);
	}
	return 0;
}

/* A path out of the status, else the default. */
static const char *path_of(const cJSON *status, const char *section, const char *name, const char *fallback)
{
	const char *p = ctl_text(ctl_member(status, section), name);

	return *p == '/' ? p : fallback;
}

static const char *pin_dir(const cJSON *status)
{
	return path_of(status, "observer", "pinDirectory", FATE_DEFAULT_BPF_DIR);
}

/* ---- the kernel -------------------------------------------------------------------------------------------- */

/* path with its links resolved, or as it is. */
static char *resolve(const char *path)
{
	char *real = realpath(path, NULL);

	return real ? real : xstrdup(path);
}

static void look_at_bpffs(struct doc_list *l, const cJSON *status, enum doc_mark bad)
{
	CLEAN(buf_done) struct buf mountinfo = {};
	CLEAN(buf_done) struct buf filesystems = {};
	CLEAN(freep) char *dir = resolve(pin_dir(status));
	int r = read_text("/proc/self/mountinfo", &mountinfo);

	if (r >= 0)
		r = read_text("/proc/filesystems", &filesystems);
	if (r < 0)
		doc_unseen(l, "bpffs", "/proc", r);
	else
		doc_judge_bpffs(l, buf_str(&mountinfo), buf_str(&filesystems), dir, status, bad);
}

void doc_look_at_kernel(struct doc_list *l, const cJSON *status)
{
	enum doc_mark bad = doc_is_fallback(status) ? DOC_WARN : DOC_FAIL;
	CLEAN(buf_done) struct buf lockdown = {};
	CLEAN(buf_done) struct buf unprivileged = {};
	struct utsname u = {};
	int r;

	(void)uname(&u);
	doc_judge_kernel(l, u.release, u.machine, bad);
	if (access("/sys/kernel/btf/vmlinux", R_OK) == 0)
		doc_add(l, DOC_OK, "kernel BTF", NULL, "/sys/kernel/btf/vmlinux");
	else if (errno == ENOENT)
		doc_add(l, bad, "kernel BTF", "take a kernel with CONFIG_DEBUG_INFO_BTF=y, as Debian 12's is",
			"this kernel carries no type information, so fated's programs cannot be loaded");
	else
		doc_unseen(l, "kernel BTF", "/sys/kernel/btf/vmlinux", -errno);
	r = read_text("/sys/kernel/security/lockdown", &lockdown);
	if (r < 0 && r != -ENOENT)
		doc_unseen(l, "lockdown", "/sys/kernel/security/lockdown", r);
	else
		doc_judge_lockdown(l, r < 0 ? NULL : buf_str(&lockdown), bad);
	if (read_text("/proc/sys/kernel/unprivileged_bpf_disabled", &unprivileged) >= 0)
		doc_judge_unprivileged(l, buf_str(&unprivileged));
	look_at_bpffs(l, status, bad);
}

void doc_look_at_cgroups(struct doc_list *l)
{
	CLEAN(freep) struct doc_mount *m = XNEW(struct doc_mount);
	CLEAN(buf_done) struct buf mountinfo = {};
	CLEAN(buf_done) struct buf v1 = {};
	CLEAN(buf_done) struct buf v2 = {};
	CLEAN(buf_done) struct buf path = {};
	int r = read_text("/proc/self/mountinfo", &mountinfo);

	if (r < 0) {
		doc_unseen(l, "cgroup v2", "/proc/self/mountinfo", r);
		return;
	}
	(void)read_text("/proc/cgroups", &v1);	/* not there without v1 in the kernel */
	for (const char *p = buf_str(&mountinfo); (p = doc_mount_next(p, m));)
		if (strcmp(m->type, "cgroup2") == 0) {
			buf_clear(&path);
			buf_addf(&path, "%s/cgroup.controllers", m->point);
		}
	if (path.len) {
		r = read_text(buf_str(&path), &v2);
		if (r < 0)
			doc_unseen(l, "controllers", buf_str(&path), r);
	}
	doc_judge_cgroups(l, buf_str(&mountinfo), buf_str(&v1), buf_str(&v2));
}

void doc_look_at_host(struct doc_list *l)
{
	CLEAN(buf_done) struct buf source = {};
	CLEAN(buf_done) struct buf core = {};
	struct timex t = {};	/* modes 0: asks only */
	int state = adjtimex(&t);

	if (state < 0)
		doc_unseen(l, "clock", "adjtimex", -errno);
	else
		doc_judge_clock(l, state, t.status, t.maxerror);
	(void)read_text("/sys/devices/system/clocksource/clocksource0/current_clocksource", &source);
	doc_judge_clocksource(l, buf_str(&source));
	if (read_text("/proc/sys/kernel/core_pattern", &core) >= 0)
		doc_judge_core_pattern(l, buf_str(&core));
}

/* ---- who may ----------------------------------------------------------------------------------------------- */

static bool in_group(gid_t gid)
{
	CLEAN(freep) gid_t *list = xcalloc(GROUPS_MAX, sizeof(gid_t));
	int n = getgroups(GROUPS_MAX, list);

	for (int i = 0; i < n; i++)
		if (list[i] == gid)
			return true;
	return getegid() == gid;
}

void doc_look_at_access(struct doc_list *l, const cJSON *status)
{
	const struct group *g = getgrnam(FATE_GROUP);
	CLEAN(freep) char *path = xasprintf("/proc/%s/status", *ctl_text(status, "pid") ? ctl_text(status, "pid") : "self");
	CLEAN(buf_done) struct buf text = {};
	int r = read_text(path, &text);

	if (r < 0)
		doc_unseen(l, "privileges", path, r);
	else
		doc_judge_privileges(l, buf_str(&text), status);
	doc_judge_socket_group(l, geteuid() == 0, g, g && in_group(g->gr_gid));
}

/* ---- pins -------------------------------------------------------------------------------------------------- */

/* The files in dir/sub, which need not be there. Negative errno. */
static int count_files(const char *dir, const char *sub)
{
	CLEAN(freep) char *path = xasprintf("%s/%s", dir, sub);
	DIR *d = opendir(path);
	const struct dirent *de;
	int n = 0;

	if (!d)
		return errno == ENOENT ? 0 : -errno;
	while ((de = readdir(d)))
		n += de->d_name[0] != '.';
	(void)closedir(d);
	return n;
}

void doc_look_at_pins(struct doc_list *l, const cJSON *status)
{
	/* fate_event.h's contract */
	static const char *const maps[] = { "fate_watch", "fate_env", "fate_ring", "fate_count", "fate_meta" };
	const char *dir = pin_dir(status);
	struct doc_pins p = {};

	if (doc_is_fallback(status))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(maps); i++) {
		CLEAN(freep) char *path = xasprintf("%s/%s", dir, maps[i]);
		struct stat st;

		if (stat(path, &st) == 0)
			continue;
		if (errno != ENOENT) {
			doc_unseen(l, "pins", dir, -errno);
			return;
		}
		if (p.maps_missing++ == 0)
			snprintf(p.missing, sizeof(p.missing), "%s", maps[i]);
	}
	p.programs = count_files(dir, "prog");
	p.links = count_files(dir, "link");
	if (p.programs < 0 || p.links < 0)
		doc_unseen(l, "pins", dir, MIN(p.programs, p.links));
	else
		doc_judge_pins(l, dir, &p, status);
}

/* ---- store and definitions --------------------------------------------------------------------------------- */

static void look_at_file_system(struct doc_list *l, const char *dir, const char *existing)
{
	CLEAN(freep) struct doc_mount *m = XNEW(struct doc_mount);
	CLEAN(freep) char *real = resolve(existing);
	CLEAN(buf_done) struct buf mountinfo = {};
	struct statvfs s;

	if (read_text("/proc/self/mountinfo", &mountinfo) >= 0 && doc_mount_of(buf_str(&mountinfo), real, m))
		doc_judge_store_fs(l, dir, m);
	if (statvfs(existing, &s) < 0)
		doc_unseen(l, "store space", existing, -errno);
	else
		doc_judge_space(l, dir, (uint64_t)s.f_bavail * s.f_frsize, (uint64_t)s.f_blocks * s.f_frsize, s.f_favail,
				s.f_files);
}

static void look_at_store(struct doc_list *l, const cJSON *status)
{
	const char *dir = path_of(status, "store", "directory", FATE_DEFAULT_STATE_DIR);
	CLEAN(freep) char *existing = xstrdup(dir);
	struct stat st;
	int r = stat(dir, &st) < 0 ? -errno : S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;

	if (r == 0)
		doc_add(l, DOC_OK, "store directory", NULL, "%s", dir);
	else if (!status && r == -ENOENT)
		doc_add(l, DOC_OK, "store directory", NULL, "%s is made at the first start", dir);
	else if (r == -EACCES)
		doc_unseen(l, "store directory", dir, r);
	else
		doc_add(l, DOC_FAIL, "store directory", "restore it, then restart fated", "%s: %s", dir, strerror(-r));
	while (strcmp(existing, "/") != 0 && stat(existing, &st) < 0) {		/* what will hold it */
		char *slash = strrchr(existing, '/');

		slash[slash == existing] = '\0';
	}
	look_at_file_system(l, dir, existing);
}

/* True when every *.json in it is its owner's alone. */
static bool look_at_definition_files(struct doc_list *l, const char *dir)
{
	DIR *d = opendir(dir);
	const struct dirent *de;
	int bad = 0;

	if (!d) {
		doc_unseen(l, "definitions' owner", dir, -errno);
		return false;
	}
	while (bad < DEFINITIONS_SHOWN && (de = readdir(d))) {
		size_t len = strlen(de->d_name);
		CLEAN(freep) char *path = xasprintf("%s/%s", dir, de->d_name);
		struct stat st;

		if (len > 5 && strcmp(de->d_name + len - 5, ".json") == 0 && stat(path, &st) == 0)
			bad += !doc_judge_owner(l, "definitions' owner", path, st.st_mode, st.st_uid, st.st_gid);
	}
	(void)closedir(d);
	return bad == 0;
}

static void look_at_definitions(struct doc_list *l, const cJSON *status)
{
	const char *dir = path_of(status, "definitions", "directory", FATE_DEFAULT_FUNCTIONS_DIR);
	struct stat st;

	doc_judge_definitions(l, status);
	if (stat(dir, &st) < 0) {
		if (errno == ENOENT)
			doc_add(l, DOC_WARN, "definitions' owner",
				"make the directory, or set FunctionsDirectory",
				"%s is not there: no new functions, and what the daemon had stays in force", dir);
		else
			doc_unseen(l, "definitions' owner", dir, -errno);
		return;
	}
	if (doc_judge_owner(l, "definitions' owner", dir, st.st_mode, st.st_uid, st.st_gid) && look_at_definition_files(l, dir))
		doc_add(l, DOC_OK, "definitions' owner", NULL, "root alone may write %s and what is in it", dir);
}

void doc_look_at_files(struct doc_list *l, const cJSON *status)
{
	look_at_store(l, status);
	look_at_definitions(l, status);
}

void doc_look_at_process(struct doc_list *l, const cJSON *status)
{
	CLEAN(freep) char *path = xasprintf("/proc/%s/limits", ctl_text(status, "pid"));
	CLEAN(buf_done) struct buf text = {};
	int r;

	if (!*ctl_text(status, "pid"))
		return;
	r = read_text(path, &text);
	if (r < 0)
		doc_unseen(l, "open files", path, r);
	else
		doc_judge_open_files(l, buf_str(&text), (int64_t)ctl_number(status, "maxConcurrency", CONCURRENCY_DEFAULT));
}
