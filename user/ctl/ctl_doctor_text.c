/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Judges: what the texts of /proc and /sys mean for fated, and what to do about it. No file is opened here, so every
 * host there is can be a test. A remedy is a command or a sentence one can act upon; a judge that has none to give
 * does not complain.
 *
 * mountinfo is read with suspicion, as the daemon does (cgroup/cg_place.c, which a client may not include): octal
 * escapes, a varying number of optional fields, later mounts that cover earlier ones.
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/timex.h>

#include "base/buf.h"
#include "base/mem.h"
#include "ctl/ctl_doctor.h"
#include "fate_abi.h"

#define KERNEL_REMEDY "install a kernel of Linux 5.15 or later with BTF (arm64: 5.18); Debian 12's own will do: " \
		      "apt install linux-image-amd64"
#define UNIFIED_REMEDY "boot with systemd.unified_cgroup_hierarchy=1 cgroup_no_v1=all on the kernel's command line"
#define SPACE_LOW (1ull << 30)
#define SPACE_NONE (64ull << 20)
#define FDS_EACH 6		/* of an environment: pipes, leaf, pidfd; and its caller's connection */
#define FDS_OTHER 128		/* the daemon's own, and callers that only ask */

/* ---- findings ---------------------------------------------------------------------------------------------- */

void doc_list_done(struct doc_list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free(l->list[i].found);
		free(l->list[i].remedy);
	}
	free(l->list);
	*l = (struct doc_list){};
}

void doc_list_move(struct doc_list *to, struct doc_list *from)
{
	if (from->n) {
		to->list = xrealloc(to->list, (to->n + from->n) * sizeof(*to->list));
		memcpy(to->list + to->n, from->list, from->n * sizeof(*to->list));
		to->n += from->n;
	}
	free(from->list);
	*from = (struct doc_list){};
}

void doc_add(struct doc_list *l, enum doc_mark mark, const char *check, const char *remedy, const char *fmt, ...)
{
	struct doc_finding *f;
	char found[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(found, sizeof(found), fmt, ap);
	va_end(ap);
	l->list = xrealloc(l->list, (l->n + 1) * sizeof(*l->list));
	f = &l->list[l->n++];
	*f = (struct doc_finding){ .mark = mark, .check = check, .found = xstrdup(found) };
	if (mark != DOC_OK)
		f->remedy = xstrdup(remedy);
	for (char *p = f->found; *p; p++)	/* paths and reasons come from elsewhere; a terminal must not obey them */
		if (iscntrl((unsigned char)*p))
			*p = '?';
}

void doc_unseen(struct doc_list *l, const char *check, const char *what, int code)
{
	bool may_not = code == -EACCES || code == -EPERM;

	doc_add(l, DOC_WARN, check,
		may_not ? "look again as root: sudo fatectl doctor" : "find out why it is not there; fated looks at it too",
		"%s cannot be looked at: %s", what, strerror(-code));
}

size_t doc_count(const struct doc_list *l, enum doc_mark mark)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++)
		n += l->list[i].mark == mark;
	return n;
}

const char *doc_mark_word(enum doc_mark mark)
{
	return mark == DOC_OK ? "ok" : mark == DOC_WARN ? "warn" : "fail";
}

/* ---- parsers ----------------------------------------------------------------------------------------------- */

static bool is_octal(char c)
{
	return c >= '0' && c <= '7';
}

/* Copies a mountinfo field, octal escapes resolved; what does not fit is cut. */
static void unescape(const char *s, size_t len, char *ret, size_t size)
{
	size_t o = 0;

	for (size_t i = 0; i < len && o + 1 < size; i++) {
		if (s[i] == '\\' && len - i > 3 && s[i + 1] <= '3' && is_octal(s[i + 1]) && is_octal(s[i + 2]) &&
		    is_octal(s[i + 3])) {
			ret[o++] = (char)((s[i + 1] - '0') << 6 | (s[i + 2] - '0') << 3 | (s[i + 3] - '0'));
			i += 3;
		} else {
			ret[o++] = s[i];
		}
	}
	ret[o] = '\0';
}

const char *doc_mount_next(const char *text, struct doc_mount *ret)
{
	const char *end = strchrnul(text, '\n'), *p = text;
	int after = -1;		/* fields seen after the lone "-" */

	*ret = (struct doc_mount){};
	if (!*text)
		return NULL;
	for (int i = 0; p < end; i++) {
		size_t n = strcspn(p, " \n");

		if (i == 4)
			unescape(p, n, ret->point, sizeof(ret->point));
		if (after == 0)
			unescape(p, n, ret->type, sizeof(ret->type));
		if (after == 2)
			unescape(p, n, ret->options, sizeof(ret->options));
		if (after >= 0 || (i >= 6 && n == 1 && *p == '-'))
			after++;
		p += n + (p + n < end);
	}
	if (ret->point[0] != '/')
		ret->type[0] = '\0';
	return *end ? end + 1 : end;
}

/* How much of path the directory dir holds: its length, 0 when path is not in it. "/" holds everything, with 1. */
static size_t holds(const char *dir, const char *path)
{
	size_t n = strlen(dir);

	if (strcmp(dir, "/") == 0)
		return path[0] == '/';
	return strncmp(dir, path, n) == 0 && (path[n] == '/' || !path[n]) ? n : 0;
}

bool doc_mount_of(const char *mountinfo, const char *path, struct doc_mount *ret)
{
	CLEAN(freep) struct doc_mount *m = XNEW(struct doc_mount);
	size_t best = 0;

	while ((mountinfo = doc_mount_next(mountinfo, m))) {
		size_t n = m->type[0] ? holds(m->point, path) : 0;

		if (n && n >= best) {
			best = n;
			*ret = *m;
		}
	}
	return best > 0;
}

bool doc_has_word(const char *list, const char *word, const char *separators)
{
	size_t len = strlen(word);

	while (*list) {
		size_t n = strcspn(list, separators);

		if (n == len && memcmp(list, word, n) == 0)
			return true;
		list += n;
		list += strspn(list, separators);
	}
	return false;
}

bool doc_line(const char *text, const char *name, char *ret, size_t size)
{
	size_t len = strlen(name);

	for (const char *p = text; *p;) {
		const char *end = strchrnul(p, '\n');

		if (strncmp(p, name, len) == 0 && (p[len] == ':' || p[len] == ' ' || p[len] == '\t')) {
			p += len + 1;
			p += strspn(p, " \t");
			snprintf(ret, size, "%.*s", p < end ? (int)(end - p) : 0, p);
			return true;
		}
		p = *end ? end + 1 : end;
	}
	return false;
}

/* ---- the kernel -------------------------------------------------------------------------------------------- */

void doc_judge_kernel(struct doc_list *l, const char *release, const char *machine, enum doc_mark bad)
{
	int minor_wanted = strcmp(machine, "aarch64") == 0 ? 18 : 15, major, minor;

	if (sscanf(release, "%d.%d", &major, &minor) != 2)
		doc_add(l, DOC_WARN, "kernel", KERNEL_REMEDY, "release %s is no version we know how to read", release);
	else if (major < 5 || (major == 5 && minor < minor_wanted))
		doc_add(l, bad, "kernel", KERNEL_REMEDY, "Linux %s on %s is too old: 5.%d is needed", release, machine,
			minor_wanted);
	else
		doc_add(l, DOC_OK, "kernel", NULL, "Linux %s on %s", release, machine);
}

void doc_judge_lockdown(struct doc_list *l, const char *lockdown, enum doc_mark bad)
{
	if (!lockdown || !strchr(lockdown, '['))
		doc_add(l, DOC_OK, "lockdown", NULL, "none (the kernel has no lockdown, or securityfs is not mounted)");
	else if (strstr(lockdown, "[confidentiality]"))
		doc_add(l, bad, "lockdown", "boot with lockdown=integrity, or without lockdown=confidentiality, on the "
			"kernel's command line",
			"confidentiality: eBPF programs may not read the kernel's memory, so fated's are refused");
	else
		doc_add(l, DOC_OK, "lockdown", NULL, "%s",
			strstr(lockdown, "[integrity]") ? "integrity: that leaves eBPF alone" : "none");
}

void doc_judge_unprivileged(struct doc_list *l, const char *value)
{
	if (*value == '0')
		doc_add(l, DOC_WARN, "unprivileged eBPF",
			"sysctl -w kernel.unprivileged_bpf_disabled=2, and the same in /etc/sysctl.d/",
			"everybody may load eBPF programs; fated does not need that");
	else
		doc_add(l, DOC_OK, "unprivileged eBPF", NULL,
			"off (kernel.unprivileged_bpf_disabled=%.1s); fated is root and may", value);
}

void doc_judge_bpffs(struct doc_list *l, const char *mountinfo, const char *filesystems, const char *pin_dir, bool running,
		     enum doc_mark bad)
{
	CLEAN(freep) struct doc_mount *m = XNEW(struct doc_mount);
	bool found = doc_mount_of(mountinfo, pin_dir, m) && strcmp(m->type, "bpf") == 0;
	const char *mount_it = strncmp(pin_dir, "/sys/fs/bpf/", 12) == 0 ? "/sys/fs/bpf" : pin_dir;
	CLEAN(freep) char *remedy = xasprintf("mount -t bpf bpf %s", mount_it);

	if (found)
		doc_add(l, DOC_OK, "bpffs", NULL, "mounted at %s", m->point);
	else if (!doc_has_word(filesystems, "bpf", "\t\n "))
		doc_add(l, bad, "bpffs", KERNEL_REMEDY, "this kernel has no bpffs (CONFIG_BPF_SYSCALL)");
	else if (running)
		doc_add(l, bad, "bpffs", "restart fated; if it is mounted for fated alone, look from its mount namespace "
			"(nsenter -m -t PID)", "%s is on no bpffs, as seen from here", pin_dir);
	else
		doc_add(l, DOC_WARN, "bpffs", remedy,
			"not mounted at %s; fated mounts it when it starts and may (CAP_SYS_ADMIN)", mount_it);
}

/* ---- control groups ---------------------------------------------------------------------------------------- */

/* /proc/cgroups: name, hierarchy, groups, enabled. Kernels without v1 list nothing; that is not "switched off". */
static bool switched_off(const char *proc_cgroups, const char *name)
{
	char rest[64];
	int hierarchy, groups, enabled;

	return doc_line(proc_cgroups, name, rest, sizeof(rest)) &&
	       sscanf(rest, "%d %d %d", &hierarchy, &groups, &enabled) == 3 && !enabled;
}

/* Where cgroup v1 has the controller mounted; false: nowhere. */
static bool v1_mount(const char *mountinfo, const char *name, struct doc_mount *ret)
{
	while ((mountinfo = doc_mount_next(mountinfo, ret)))
		if (strcmp(ret->type, "cgroup") == 0 && doc_has_word(ret->options, name, ","))
			return true;
	return false;
}

static void judge_controller(struct doc_list *l, const char *check, const char *name, const char *limit, const char *mountinfo,
			     const char *proc_cgroups, const char *v2_controllers)
{
	CLEAN(freep) struct doc_mount *m = XNEW(struct doc_mount);
	CLEAN(freep) char *enable = xasprintf("boot with cgroup_enable=%s, and without cgroup_disable=%s, on the kernel's "
					      "command line", name, name);
	CLEAN(freep) char *lost = xasprintf("%s is not kept, and a function with RequireLimits is refused", limit);

	if (doc_has_word(v2_controllers, name, " \n"))
		doc_add(l, DOC_OK, check, NULL, "cgroup v2 has it: %s can be kept", limit);
	else if (switched_off(proc_cgroups, name))
		doc_add(l, DOC_WARN, check, enable, "switched off at boot: %s", lost);
	else if (v1_mount(mountinfo, name, m))
		doc_add(l, DOC_WARN, check, UNIFIED_REMEDY, "cgroup v1 holds it (%s): %s", m->point, lost);
	else
		doc_add(l, DOC_WARN, check, "in a container, have the runtime hand it down; on a host, take a kernel that has it",
			"cgroup v2 has it not here: %s", lost);
}

void doc_judge_cgroups(struct doc_list *l, const char *mountinfo, const char *proc_cgroups, const char *v2_controllers)
{
	static const struct { const char *check, *name, *limit; } controllers[] = {
		{ "controller memory", "memory", "MemorySize" }, { "controller pids", "pids", "PidsMax" },
		{ "controller cpu", "cpu", "CpuPercent" },
	};
	CLEAN(freep) struct doc_mount *m = XNEW(struct doc_mount);
	char v2[PATH_MAX] = "";
	bool v1 = false;

	for (const char *p = mountinfo; (p = doc_mount_next(p, m));) {
		if (strcmp(m->type, "cgroup2") == 0)
			memcpy(v2, m->point, sizeof(v2));
		/* v1 with controllers: systemd's own "name=systemd" alone holds nothing. */
		v1 |= strcmp(m->type, "cgroup") == 0 && !strstr(m->options, "name=");
	}
	if (!v2[0]) {
		doc_add(l, DOC_FAIL, "cgroup v2", UNIFIED_REMEDY, "not mounted%s: there is no place for functions",
			v1 ? " (only v1 hierarchies are)" : "");
		return;
	}
	doc_add(l, DOC_OK, "cgroup v2", NULL, "mounted at %s, %s", v2, v1 ? "hybrid: beside v1 hierarchies" : "unified");
	for (size_t i = 0; i < ARRAY_SIZE(controllers); i++)
		judge_controller(l, controllers[i].check, controllers[i].name, controllers[i].limit, mountinfo,
				 proc_cgroups, v2_controllers);
}

/* ---- privileges -------------------------------------------------------------------------------------------- */

/* CAP_SYS_ADMIN stands for CAP_BPF and CAP_PERFMON, as the kernel has it. */
static const struct { const char *name; int bit; bool needed; bool admin_will_do; const char *what; } caps[] = {
	{ "CAP_BPF", 39, true, true, "load eBPF programs" },
	{ "CAP_PERFMON", 38, true, true, "attach them" },
	{ "CAP_SYS_ADMIN", 21, false, false, "mount bpffs" },
	{ "CAP_SYS_RESOURCE", 24, false, false, "raise Rlimits" },
	{ "CAP_SETUID", 7, false, false, "start functions under a User" },
	{ "CAP_SETGID", 6, false, false, "start functions under a Group" },
};
#define CAP_ADMIN 21

void doc_judge_privileges(struct doc_list *l, const char *status, bool is_daemon)
{
	const char *who = is_daemon ? "fated" : "this shell";
	CLEAN(buf_done) struct buf missing = {};
	char uids[64] = "", eff[32] = "";
	unsigned int uid = 0, euid = 0;
	enum doc_mark mark = DOC_OK;
	uint64_t set;

	if (!doc_line(status, "Uid", uids, sizeof(uids)) || sscanf(uids, "%u %u", &uid, &euid) != 2 ||
	    !doc_line(status, "CapEff", eff, sizeof(eff))) {
		doc_add(l, DOC_WARN, "privileges", "look at /proc/PID/status", "%s's cannot be read", who);
		return;
	}
	if (euid != 0) {	/* the daemon refuses to start so; of somebody who asks it is no fault */
		doc_add(l, is_daemon ? DOC_FAIL : DOC_OK, "privileges", "start fated as root", "%s is not root (uid %u)%s",
			who, euid,
			is_daemon ? "" : ": fatectl needs no more than the socket, fated must be started as root");
		return;
	}
	set = strtoull(eff, NULL, 16);
	for (size_t i = 0; i < ARRAY_SIZE(caps); i++) {
		if ((set >> caps[i].bit & 1) || (caps[i].admin_will_do && (set >> CAP_ADMIN & 1)))
			continue;
		buf_addf(&missing, "%s%s (%s)", missing.len ? ", " : "", caps[i].name, caps[i].what);
		if (mark != DOC_FAIL)
			mark = caps[i].needed ? DOC_FAIL : DOC_WARN;
	}
	if (missing.len)
		doc_add(l, mark, "privileges", "start fated with them: no CapabilityBoundingSet= in its unit, no container, "
			"or one with --cap-add", "%s is root without %s", who, buf_str(&missing));
	else
		doc_add(l, DOC_OK, "privileges", NULL, "%s is root and has the capabilities", who);
}

void doc_judge_socket_group(struct doc_list *l, bool root, bool exists, bool member)
{
	if (root)
		doc_add(l, DOC_OK, "socket group", NULL, exists ? "members of " FATE_GROUP " may use fatectl, besides root"
								: "no group " FATE_GROUP ": root alone may use fatectl");
	else if (!exists)
		doc_add(l, DOC_WARN, "socket group", "groupadd --system " FATE_GROUP " && usermod -aG "
			FATE_GROUP " \"$USER\" as root; "
			"restart fated, log in again", "there is no group " FATE_GROUP ": root alone may use fatectl");
	else if (!member)
		doc_add(l, DOC_WARN, "socket group", "usermod -aG " FATE_GROUP " \"$USER\" as root, then log in again",
			"you are not in the group " FATE_GROUP ", whose members may use fatectl");
	else
		doc_add(l, DOC_OK, "socket group", NULL, "you are in the group " FATE_GROUP);
}

/* ---- clocks, limits, disks --------------------------------------------------------------------------------- */

void doc_judge_clock(struct doc_list *l, int state, int status, long max_error_us)
{
	if (state == TIME_ERROR || (status & STA_UNSYNC))
		doc_add(l, DOC_WARN, "clock", "timedatectl set-ntp true, or apt install chrony",
			"not synchronised: time stamps follow it, and jump when it is set (due times do not)");
	else
		doc_add(l, DOC_OK, "clock", NULL, "synchronised, wrong by %ld ms at most", max_error_us / 1000);
}

void doc_judge_clocksource(struct doc_list *l, const char *current)
{
	static const char good[] = "tsc kvm-clock arch_sys_counter hyperv_clocksource_tsc_page riscv_clocksource timebase tod";
	char name[64];

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(current, "\n"), current);
	if (*name && doc_has_word(good, name, " "))
		doc_add(l, DOC_OK, "clock source", NULL, "%s", name);
	else
		doc_add(l, DOC_WARN, "clock source",
			"see why the kernel dropped the fast one: dmesg | grep -i -e clocksource -e tsc; "
			"in a guest, give it the host's", "%s: every look at the clock is slow", *name ? name : "unknown");
}

void doc_judge_core_pattern(struct doc_list *l, const char *pattern)
{
	int n = (int)strcspn(pattern, "\n");

	if (*pattern == '|')
		doc_add(l, DOC_OK, "core dumps", NULL,
			"%.*s: a function that dumps core ends when that program has read it", n, pattern);
	else if (n == 0)
		doc_add(l, DOC_OK, "core dumps", NULL, "none are written");
	else
		doc_add(l, DOC_OK, "core dumps", NULL, "written as %.*s, where Rlimits' CORE allows", n, pattern);
}

void doc_judge_open_files(struct doc_list *l, const char *limits, int64_t concurrency)
{
	int64_t need = concurrency * FDS_EACH + FDS_OTHER, soft;
	CLEAN(freep) char *remedy = xasprintf("LimitNOFILE=%" PRId64 " in fated's unit, or ulimit -n %" PRId64 " before it; "
					      "or a smaller MaxConcurrency", need, need);
	char value[128];

	if (!doc_line(limits, "Max open files", value, sizeof(value))) {
		doc_add(l, DOC_WARN, "open files", remedy, "fated's limit cannot be read");
	} else if (strncmp(value, "unlimited", 9) == 0) {
		doc_add(l, DOC_OK, "open files", NULL, "no limit");
	} else {
		soft = strtoll(value, NULL, 10);
		doc_add(l, soft < need ? DOC_WARN : DOC_OK, "open files", remedy,
			"fated may have %" PRId64 " open; MaxConcurrency %" PRId64
			" needs up to %" PRId64, soft, concurrency, need);
	}
}

void doc_judge_store_fs(struct doc_list *l, const char *dir, const struct doc_mount *m)
{
	static const char elsewhere[] = "nfs nfs4 cifs smb3 9p ceph afs glusterfs lustre virtiofs";
	const char *move = "put StateDirectory on a local disk (ext4, xfs, btrfs)";

	if (strcmp(m->type, "tmpfs") == 0 || strcmp(m->type, "ramfs") == 0)
		doc_add(l, DOC_WARN, "store file system", move,
			"%s is on %s (%s): accepted events are gone at the next boot", dir, m->type, m->point);
	else if (strcmp(m->type, "overlay") == 0)
		doc_add(l, DOC_WARN, "store file system", "give the container a volume for StateDirectory",
			"%s is on overlay (%s): accepted events go with the container", dir, m->point);
	else if (doc_has_word(elsewhere, m->type, " ") || strncmp(m->type, "fuse", 4) == 0)
		doc_add(l, DOC_WARN, "store file system", move,
			"%s is on %s (%s): neither its locks nor its fsync can be relied upon", dir, m->type, m->point);
	else
		doc_add(l, DOC_OK, "store file system", NULL, "%s (%s)", m->type, m->point);
}

void doc_judge_space(struct doc_list *l, const char *dir, uint64_t free_bytes, uint64_t total_bytes, uint64_t free_inodes,
		     uint64_t total_inodes)
{
	enum doc_mark mark = free_bytes < SPACE_NONE ? DOC_FAIL : free_bytes < SPACE_LOW ? DOC_WARN : DOC_OK;

	if (total_inodes && free_inodes < 16)	/* 0: a file system that does not count them */
		doc_add(l, DOC_FAIL, "store space", "remove files: df -i, du --inodes", "no inodes are left for %s", dir);
	else
		doc_add(l, mark, "store space", "make room, or move StateDirectory; fated refuses events when it cannot write",
			"%" PRIu64 " MiB of %" PRIu64 " MiB free for %s", free_bytes >> 20, total_bytes >> 20, dir);
}

bool doc_judge_owner(struct doc_list *l, const char *check, const char *path, unsigned int mode, unsigned int uid, unsigned int gid)
{
	CLEAN(freep) char *chmod = xasprintf("chmod o-w %s", path), *chown = xasprintf("chown root: %s", path);
	CLEAN(freep) char *group = xasprintf("chmod g-w %s, unless the group's members may be root", path);

	if (mode & 0002)
		doc_add(l, DOC_FAIL, check, chmod, "%s: everybody may write it, and so run programs as root", path);
	else if (uid != 0)
		doc_add(l, DOC_WARN, check, chown, "%s belongs to uid %u, who can so run programs as root", path, uid);
	else if ((mode & 0020) && gid != 0)
		doc_add(l, DOC_WARN, check, group, "%s: the group %u may write it, and so run programs as root", path, gid);
	else
		return true;
	return false;
}
