/* SPDX-License-Identifier: Apache-2.0 */
/* doctor's judges, over texts as hosts, containers and daemons have them. */
#include "ctl/ctl_out.c"
#include "ctl/ctl_doctor_text.c"
#include "ctl/ctl_doctor_daemon.c"

#include "lib/test.h"

#define UNIFIED "23 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n" \
	"35 24 0:30 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate\n" \
	"36 24 0:31 / /sys/fs/bpf rw,nosuid,nodev,noexec,relatime shared:10 - bpf bpf rw,mode=700\n"
#define HYBRID "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n" \
	"32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n" \
	"35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n" \
	"40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd\n" \
	"41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"
#define CGROUPS "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t1\t1\t1\ncpuacct\t1\t1\t0\nmemory\t4\t11\t1\npids\t0\t1\t0\n"

static struct doc_list l;

/* The judge that was called since the last check made exactly this finding; part is in what was found or in the remedy. */
static void last_is(size_t n, enum doc_mark mark, const char *check, const char *part)
{
	const struct doc_finding *f;

	if (l.n != n)
		FAIL("%zu findings, want %zu; the last is %s: %s", l.n, n, l.n ? l.list[l.n - 1].check : "-",
		     l.n ? l.list[l.n - 1].found : "-");
	f = &l.list[n - 1];
	if (f->mark != mark || strcmp(f->check, check) != 0 || (!strstr(f->found, part) && !(f->remedy && strstr(f->remedy, part))))
		FAIL("%s %s: %s -> %s; want %s %s: %s", doc_mark_word(f->mark), f->check, f->found,
		     f->remedy ? f->remedy : "-", doc_mark_word(mark), check, part);
	if ((f->mark == DOC_OK) != !f->remedy || (f->remedy && !*f->remedy))
		FAIL("%s: %s has remedy %s", f->check, f->found, f->remedy ? f->remedy : "none");
}

/* EXPECT(call of a judge that makes one finding; mark; name; part) */
#define EXPECT(call, mark, check, part) do { doc_list_done(&l); call; last_is(1, mark, check, part); } while (0)

static void kernel(void)
{
	EXPECT(doc_judge_kernel(&l, "6.1.0-18-amd64", "x86_64", DOC_FAIL), DOC_OK, "kernel", "6.1.0-18-amd64 on x86_64");
	EXPECT(doc_judge_kernel(&l, "5.15.0", "x86_64", DOC_FAIL), DOC_OK, "kernel", "5.15.0");
	EXPECT(doc_judge_kernel(&l, "5.14.21-150500", "x86_64", DOC_FAIL), DOC_FAIL, "kernel", "5.15 is needed");
	EXPECT(doc_judge_kernel(&l, "4.19.0", "x86_64", DOC_WARN), DOC_WARN, "kernel", "too old");
	EXPECT(doc_judge_kernel(&l, "5.15.0", "aarch64", DOC_FAIL), DOC_FAIL, "kernel", "5.18 is needed");
	EXPECT(doc_judge_kernel(&l, "5.18.0-arm", "aarch64", DOC_FAIL), DOC_OK, "kernel", "5.18");
	EXPECT(doc_judge_kernel(&l, "next", "x86_64", DOC_FAIL), DOC_WARN, "kernel", "next");
	EXPECT(doc_judge_lockdown(&l, NULL, DOC_FAIL), DOC_OK, "lockdown", "none");
	EXPECT(doc_judge_lockdown(&l, "[none] integrity confidentiality\n", DOC_FAIL), DOC_OK, "lockdown", "none");
	EXPECT(doc_judge_lockdown(&l, "none [integrity] confidentiality\n", DOC_FAIL), DOC_OK, "lockdown", "integrity");
	EXPECT(doc_judge_lockdown(&l, "none integrity [confidentiality]\n", DOC_FAIL), DOC_FAIL, "lockdown", "lockdown=integrity");
	EXPECT(doc_judge_unprivileged(&l, "0\n"), DOC_WARN, "unprivileged eBPF", "sysctl");
	EXPECT(doc_judge_unprivileged(&l, "2\n"), DOC_OK, "unprivileged eBPF", "=2)");
}

static void mounts(void)
{
	static struct doc_mount m;
	static char a_long_one[3 * PATH_MAX];

	CHECK(doc_mount_of(UNIFIED, "/var/lib/fated", &m));
	CHECK_STR(m.point, "/");
	CHECK_STR(m.type, "ext4");
	CHECK(doc_mount_of(UNIFIED, "/sys/fs/bpf/fated", &m));
	CHECK_STR(m.type, "bpf");
	CHECK_STR(m.options, "rw,mode=700");
	CHECK(doc_mount_of(UNIFIED, "/sys/fs/bpf", &m));
	CHECK_STR(m.type, "bpf");
	CHECK(doc_mount_of(UNIFIED, "/sys/fs/bpfx", &m));	/* a name that only begins alike */
	CHECK_STR(m.type, "ext4");
	CHECK(!doc_mount_of("35 24 0:30 / /sys rw - sysfs sysfs rw\n", "/var", &m));
	CHECK(!doc_mount_of("", "/", &m));
	/* Of two at one place the later covers the earlier; of optional fields there may be any number. */
	CHECK(doc_mount_of("1 2 0:1 / /m rw - ext4 a rw\n1 2 0:2 / /m rw shared:1 master:2 unbindable - tmpfs b rw", "/m/x", &m));
	CHECK_STR(m.type, "tmpfs");
	CHECK(doc_mount_of("1 2 0:1 / /mnt/a\\040b\\134c rw - xfs x rw\n", "/mnt/a b\\c/d", &m));
	CHECK_STR(m.point, "/mnt/a b\\c");
	/* Lines that make no sense hold nothing, and do not stop the reading. */
	memset(a_long_one, 'x', sizeof(a_long_one) - 1);
	CHECK(!doc_mount_of(a_long_one, "/x", &m));
	CHECK(doc_mount_of("\n \n1\n1 2 3 4 5 6 -\n1 2 3 4 m 6 - tmpfs x rw\n1 2 3 / / rw - xfs x rw\n", "/m", &m));
	CHECK_STR(m.type, "xfs");
}

static void bpffs(void)
{
	EXPECT(doc_judge_bpffs(&l, UNIFIED, "nodev\tbpf\n", "/sys/fs/bpf/fated", true, DOC_FAIL), DOC_OK, "bpffs", "/sys/fs/bpf");
	EXPECT(doc_judge_bpffs(&l, UNIFIED, "nodev\tbpf\n", "/run/pins", true, DOC_FAIL), DOC_FAIL, "bpffs",
	       "/run/pins is on no bpffs");
	EXPECT(doc_judge_bpffs(&l, HYBRID, "nodev\tbpf\n", "/sys/fs/bpf/fated", false, DOC_FAIL), DOC_WARN, "bpffs",
	       "mount -t bpf bpf /sys/fs/bpf");
	EXPECT(doc_judge_bpffs(&l, HYBRID, "nodev\tbpf\n", "/run/pins", false, DOC_FAIL), DOC_WARN, "bpffs",
	       "mount -t bpf bpf /run/pins");
	EXPECT(doc_judge_bpffs(&l, HYBRID, "nodev\ttmpfs\n\text4\n", "/sys/fs/bpf/fated", false, DOC_FAIL), DOC_FAIL,
	       "bpffs", "has no bpffs");
}

static void cgroups(void)
{
	doc_list_done(&l);
	doc_judge_cgroups(&l, UNIFIED, "", "cpuset cpu io memory pids\n");
	last_is(4, DOC_OK, "controller cpu", "CpuPercent can be kept");
	CHECK_STR(l.list[0].found, "mounted at /sys/fs/cgroup, unified");
	CHECK_INT(doc_count(&l, DOC_OK), 4);
	doc_list_done(&l);
	doc_judge_cgroups(&l, HYBRID, CGROUPS, "hugetlb\n");
	last_is(4, DOC_WARN, "controller cpu", "cgroup v1 holds it (/sys/fs/cgroup/cpu,cpuacct): CpuPercent is not kept");
	CHECK_INT(l.list[0].mark, DOC_OK);
	CHECK_STR(l.list[0].found, "mounted at /sys/fs/cgroup/unified, hybrid: beside v1 hierarchies");
	CHECK_STR(l.list[1].found, "cgroup v1 holds it (/sys/fs/cgroup/memory): MemorySize is not kept, and a function with "
		  "RequireLimits is refused");
	CHECK_STR(l.list[1].remedy, "boot with systemd.unified_cgroup_hierarchy=1 cgroup_no_v1=all on the kernel's command line");
	CHECK(strstr(l.list[2].found, "switched off at boot") && strstr(l.list[2].remedy, "cgroup_enable=pids"));
	/* systemd's hybrid with nothing but its own v1 hierarchy: v2 has everything. */
	doc_list_done(&l);
	doc_judge_cgroups(&l, "40 31 0:37 / /c/systemd rw - cgroup cgroup rw,name=systemd\n41 31 0:38 / /c/unified rw - "
			  "cgroup2 cgroup2 rw\n", "", "cpu memory");
	last_is(4, DOC_OK, "controller cpu", "can be kept");
	CHECK(strstr(l.list[0].found, ", unified"));
	CHECK(l.list[2].mark == DOC_WARN && strstr(l.list[2].found, "has it not here"));
	EXPECT(doc_judge_cgroups(&l, "32 31 0:29 / /c/cpu rw - cgroup cgroup rw,cpu\n", "", ""), DOC_FAIL, "cgroup v2",
	       "only v1 hierarchies are");
	EXPECT(doc_judge_cgroups(&l, "", "", ""), DOC_FAIL, "cgroup v2", "no place for functions");
}

static void privileges(void)
{
	EXPECT(doc_judge_privileges(&l, "Name:\tx\nUid:\t0\t0\t0\t0\nCapEff:\t000001ffffffffff\n", true), DOC_OK,
	       "privileges", "fated is root");
	EXPECT(doc_judge_privileges(&l, "Uid:\t0\t0\t0\t0\nCapEff:\t000001fffeffffff\n", false), DOC_WARN, "privileges",
	       "this shell is root without CAP_SYS_RESOURCE (raise Rlimits)");
	EXPECT(doc_judge_privileges(&l, "Uid:\t0\t0\t0\t0\nCapEff:\t00000000a80425fb\n", true), DOC_FAIL, "privileges", "CAP_BPF");
	/* CAP_BPF and CAP_PERFMON do without CAP_SYS_ADMIN, but for the mount. */
	EXPECT(doc_judge_privileges(&l, "Uid:\t0\t0\t0\t0\nCapEff:\t000000c0010000c0\n", true), DOC_WARN, "privileges",
	       "root without CAP_SYS_ADMIN (mount bpffs)");
	EXPECT(doc_judge_privileges(&l, "Uid:\t1000\t1000\t1000\t1000\nCapEff:\t0\n", false), DOC_OK, "privileges",
	       "must be started as root");
	EXPECT(doc_judge_privileges(&l, "Uid:\t0\t1000\t0\t0\nCapEff:\t0\n", true), DOC_FAIL, "privileges", "not root (uid 1000)");
	EXPECT(doc_judge_privileges(&l, "Name:\tx\n", true), DOC_WARN, "privileges", "cannot be read");
	EXPECT(doc_judge_socket_group(&l, true, false, false), DOC_OK, "socket group", "root alone");
	EXPECT(doc_judge_socket_group(&l, true, true, false), DOC_OK, "socket group", "members of fated");
	EXPECT(doc_judge_socket_group(&l, false, false, false), DOC_WARN, "socket group", "groupadd --system fated");
	EXPECT(doc_judge_socket_group(&l, false, true, false), DOC_WARN, "socket group", "usermod -aG fated");
	EXPECT(doc_judge_socket_group(&l, false, true, true), DOC_OK, "socket group", "you are in");
	doc_list_done(&l);
	doc_unseen(&l, "pins", "/sys/fs/bpf\033[31m", -EACCES);
	last_is(1, DOC_WARN, "pins", "/sys/fs/bpf?[31m cannot be looked at: Permission denied");
	CHECK(strstr(l.list[0].remedy, "sudo"));
}

static void clocks_and_limits(void)
{
	static const char limits[] = "Limit                     Soft Limit           Hard Limit           Units     \n"
		"Max processes             96365                96365                processes \n"
		"Max open files            1024                 524288               files     \n";

	EXPECT(doc_judge_clock(&l, TIME_OK, 0, 12000), DOC_OK, "clock", "12 ms");
	EXPECT(doc_judge_clock(&l, TIME_ERROR, 0, 0), DOC_WARN, "clock", "not synchronised");
	EXPECT(doc_judge_clock(&l, TIME_OK, STA_UNSYNC, 0), DOC_WARN, "clock", "set-ntp");
	EXPECT(doc_judge_clocksource(&l, "tsc\n"), DOC_OK, "clock source", "tsc");
	EXPECT(doc_judge_clocksource(&l, "arch_sys_counter\n"), DOC_OK, "clock source", "arch_sys_counter");
	EXPECT(doc_judge_clocksource(&l, "ts\n"), DOC_WARN, "clock source", "ts:");
	EXPECT(doc_judge_clocksource(&l, "acpi_pm\n"), DOC_WARN, "clock source", "acpi_pm");
	EXPECT(doc_judge_clocksource(&l, ""), DOC_WARN, "clock source", "unknown");
	EXPECT(doc_judge_core_pattern(&l, "|/lib/systemd/systemd-coredump %P\n"), DOC_OK, "core dumps",
	       "|/lib/systemd/systemd-coredump %P: ");
	EXPECT(doc_judge_core_pattern(&l, "core\n"), DOC_OK, "core dumps", "written as core,");
	EXPECT(doc_judge_core_pattern(&l, "\n"), DOC_OK, "core dumps", "none");
	EXPECT(doc_judge_open_files(&l, limits, 1000), DOC_WARN, "open files", "LimitNOFILE=6128");
	EXPECT(doc_judge_open_files(&l, limits, 100), DOC_OK, "open files", "needs up to 728");
	EXPECT(doc_judge_open_files(&l, "Max open files            unlimited            unlimited            files\n",
				    100000), DOC_OK, "open files",
	       "no limit");
	EXPECT(doc_judge_open_files(&l, "", 1), DOC_WARN, "open files", "cannot be read");
}

static void files_on_disk(void)
{
	static const struct { const char *type; enum doc_mark mark; } types[] = {
		{ "ext4", DOC_OK }, { "xfs", DOC_OK }, { "btrfs", DOC_OK }, { "tmpfs", DOC_WARN }, { "ramfs", DOC_WARN },
		{ "nfs4", DOC_WARN },
		{ "nfs", DOC_WARN }, { "overlay", DOC_WARN }, { "fuse.sshfs", DOC_WARN }, { "9p", DOC_WARN }, { "cifs", DOC_WARN },
	};

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		static struct doc_mount m = { .point = "/var" };

		snprintf(m.type, sizeof(m.type), "%s", types[i].type);
		EXPECT(doc_judge_store_fs(&l, "/var/lib/fated", &m), types[i].mark, "store file system", types[i].type);
	}
	EXPECT(doc_judge_space(&l, "/s", 4ull << 30, 8ull << 30, 100, 100), DOC_OK, "store space", "4096 MiB of 8192 MiB");
	EXPECT(doc_judge_space(&l, "/s", 500ull << 20, 8ull << 30, 100, 100), DOC_WARN, "store space", "500 MiB");
	EXPECT(doc_judge_space(&l, "/s", 1ull << 20, 8ull << 30, 100, 100), DOC_FAIL, "store space", "make room");
	EXPECT(doc_judge_space(&l, "/s", 4ull << 30, 8ull << 30, 3, 100), DOC_FAIL, "store space", "inodes");
	EXPECT(doc_judge_space(&l, "/s", 4ull << 30, 8ull << 30, 0, 0), DOC_OK, "store space", "MiB");
	doc_list_done(&l);
	CHECK(doc_judge_owner(&l, "o", "/d", 040755, 0, 0) && doc_judge_owner(&l, "o", "/d", 040775, 0, 0));
	CHECK_INT(l.n, 0);
	EXPECT(CHECK(!doc_judge_owner(&l, "o", "/d", 041777, 0, 0)), DOC_FAIL, "o", "chmod o-w /d");
	EXPECT(CHECK(!doc_judge_owner(&l, "o", "/d", 040755, 1000, 0)), DOC_WARN, "o", "uid 1000");
	EXPECT(CHECK(!doc_judge_owner(&l, "o", "/d", 040775, 0, 50)), DOC_WARN, "o", "the group 50");
}

/* The judge sees this JSON text as the status. */
static cJSON *status_of(const char *text)
{
	static cJSON *j;

	cJSON_Delete(j);
	j = text ? cJSON_Parse(text) : NULL;
	CHECK(j || !text);
	return j;
}

static void observer_of(void)
{
	doc_list_done(&l);
	doc_judge_observer(&l, status_of("{\"observer\":{\"entries\":2,\"entriesMax\":4096,\"ringBytes\":65536,"
					 "\"seen\":{\"exit\":5,\"oom\":1},"
					 "\"dropped\":{\"exit\":0},\"deadlinesNotArmed\":0,"
					 "\"features\":{\"oomHook\":\"oom_kill_process\",\"oomScope\":true}}}"));
	last_is(3, DOC_OK, "OOM hook", "oom_kill_process");
	CHECK_STR(l.list[0].found, "eBPF, 2 of 4096 environments watched");
	CHECK_STR(l.list[1].found, "6 seen, none dropped");
	doc_list_done(&l);
	doc_judge_observer(&l, status_of("{\"observer\":{\"mode\":\"bpf\",\"dropped\":{\"exit\":3,\"oom\":1},"
					 "\"deadlinesNotArmed\":2,\"ringBytes\":65536,"
					 "\"features\":{\"oomHook\":\"none\",\"oomScope\":false,"
					 "\"oomScopeMissing\":\"fentry: no\"}}}"));
	last_is(4, DOC_WARN, "OOM hook", "none: an OOM kill is seen in memory.events alone, but not whose limit it "
		"enforced: fentry: no");
	CHECK(l.list[1].mark == DOC_WARN && strstr(l.list[1].found, "4 dropped, the ring of 65536") &&
	      strstr(l.list[1].remedy, "RingBytes"));
	CHECK(l.list[2].mark == DOC_WARN && strstr(l.list[2].found, "2 could not be armed"));
	EXPECT(doc_judge_observer(&l, status_of("{\"observer\":{\"mode\":\"fallback\",\"reason\":\"no BTF\"}}")), DOC_WARN,
	       "observer", "fallback, without eBPF: no BTF");
	CHECK(doc_is_fallback(status_of("{\"observer\":{\"mode\":\"fallback\"}}")));
	CHECK(!doc_is_fallback(status_of("{\"observer\":{}}")) && !doc_is_fallback(NULL));
}

static void pins_of(void)
{
	const char *s = "{\"observer\":{\"layoutVersion\":1,\"generation\":2}}";
	struct doc_pins p = { .programs = 5, .links = 5 };

	EXPECT(doc_judge_pins(&l, "/b", &p, status_of(s)), DOC_OK, "pins",
	       "maps, 5 programs, 5 links in /b; layout 1, generation 2");
	EXPECT(doc_judge_pins(&l, "/b", &p, NULL), DOC_OK, "pins", "takes them over");
	p.links = 0;
	EXPECT(doc_judge_pins(&l, "/b", &p, status_of(s)), DOC_FAIL, "pins", "0 links");
	p = (struct doc_pins){ .maps_missing = 2, .missing = "fate_env", .programs = 5, .links = 5 };
	EXPECT(doc_judge_pins(&l, "/b", &p, status_of(s)), DOC_FAIL, "pins", "2 of its maps are not in /b (fate_env)");
	p = (struct doc_pins){ .maps_missing = 5 };
	EXPECT(doc_judge_pins(&l, "/b", &p, NULL), DOC_OK, "pins", "clean stop");
}

static void what_the_daemon_says(void)
{
	EXPECT(doc_judge_version(&l, "0.1.0", "0.1.0"), DOC_OK, "version", "0.1.0");
	EXPECT(doc_judge_version(&l, "0.0.9", "0.1.0"), DOC_WARN, "version", "fatectl is 0.1.0, the fated that runs is 0.0.9");
	EXPECT(doc_judge_version(&l, "", "0.1.0"), DOC_WARN, "version", "no known version");
	EXPECT(doc_judge_life(&l, status_of("{\"pid\":7,\"uptimeSeconds\":3600,\"engine\":{\"draining\":false}}")), DOC_OK,
	       "daemon", "runs, pid 7, up 1h 0m");
	EXPECT(doc_judge_life(&l, status_of("{\"pid\":7,\"engine\":{\"draining\":true}}")), DOC_WARN, "daemon", "stopping");
	EXPECT(doc_judge_limits(&l,
				status_of("{\"launcher\":{\"path\":\"/c/env\",\"hierarchy\":\"unified\","
					      "\"controllers\":{\"memory\":{\"enabled\":true},"
					      "\"pids\":{\"enabled\":true}}}}")), DOC_OK, "limits", "memory, pids kept in /c/env");
	EXPECT(doc_judge_limits(&l,
				status_of("{\"launcher\":{\"path\":\"/c/env\",\"hierarchy\":\"unified\","
					      "\"controllers\":{\"memory\":{\"enabled\":true},"
					      "\"cpu\":{\"enabled\":false,\"reason\":\"not handed down\"}}}}")), DOC_WARN, "limits",
	       "cpu not kept in /c/env: not handed down");
	CHECK(strstr(l.list[0].remedy, "Delegate=yes"));
	EXPECT(doc_judge_limits(&l,
				status_of("{\"launcher\":{\"hierarchy\":\"hybrid\","
					  "\"controllers\":{\"cpu\":{\"enabled\":false}}}}")), DOC_WARN,
	       "limits", "cgroup_no_v1=all");
	doc_list_done(&l);
	doc_judge_engine(&l, status_of("{\"engine\":{\"witnessesDisagree\":0,\"inDoubt\":false,\"commits\":9}}"));
	last_is(2, DOC_OK, "store", "works, 9 commits");
	doc_list_done(&l);
	doc_judge_engine(&l, status_of("{\"engine\":{\"witnessesDisagree\":2,\"inDoubt\":true,\"doubtWhy\":\"disk full\","
				       "\"commitFailures\":1}}"));
	last_is(2, DOC_FAIL, "store", "disk full");
	CHECK(l.list[0].mark == DOC_WARN && strstr(l.list[0].found, "disagreed over 2"));
	doc_list_done(&l);
	doc_judge_engine(&l, status_of("{\"engine\":{\"inDoubt\":false,\"commitFailures\":1}}"));
	last_is(2, DOC_WARN, "store", "1 commits had failed");
	EXPECT(doc_judge_deliveries(&l, status_of("{\"engine\":{\"openBreakers\":0,\"deliveriesOwed\":2},\"counts\":"
						  "{\"deliveriesFailed\":0}}")), DOC_OK, "deliveries", "2 owed");
	EXPECT(doc_judge_deliveries(&l, status_of("{\"engine\":{\"openBreakers\":3,\"deliveriesOwed\":2}}")), DOC_WARN,
	       "deliveries", "3 targets do not answer, 2 deliveries");
	EXPECT(doc_judge_deliveries(&l, status_of("{\"engine\":{\"openBreakers\":3},\"counts\":{\"deliveriesFailed\":4}}")),
		DOC_WARN,
	       "deliveries", "4 records that no target would take");
	EXPECT(doc_judge_time(&l, status_of("{\"engine\":{\"clockStepMs\":-59999}}")), DOC_OK, "time", "was not set");
	EXPECT(doc_judge_time(&l, status_of("{\"engine\":{\"clockStepMs\":-7200000}}")), DOC_WARN, "time", "set back by 2h 0m");
	EXPECT(doc_judge_time(&l, status_of("{\"engine\":{\"clockStepMs\":60001}}")), DOC_WARN, "time", "set forward by 1m 0s");
	EXPECT(doc_judge_definitions(&l,
				     status_of("{\"definitions\":{\"functions\":3,\"problems\":0,\"directory\":\"/f\"}}")),
				     DOC_OK, "definitions",
	       "3 functions in force from /f");
	EXPECT(doc_judge_definitions(&l,
				     status_of("{\"definitions\":{\"functions\":3,\"problems\":1,\"directory\":\"/f\"}}")),
				     DOC_WARN, "definitions",
	       "fatectl reload");
	/* No daemon, or one that says nothing of this: no complaint. */
	doc_list_done(&l);
	for (int i = 0; i < 2; i++) {
		const cJSON *s = status_of(i ? "{}" : NULL);

		doc_judge_observer(&l, s);
		doc_judge_limits(&l, s);
		doc_judge_engine(&l, s);
		doc_judge_deliveries(&l, s);
		doc_judge_time(&l, s);
		doc_judge_definitions(&l, s);
	}
	CHECK_INT(l.n, 0);
}

static void lists_move(void)
{
	struct doc_list to = {}, from = {};

	doc_list_move(&to, &from);
	CHECK_INT(to.n, 0);
	doc_add(&from, DOC_OK, "a", NULL, "1");
	doc_add(&from, DOC_WARN, "b", "do", "2");
	doc_list_move(&to, &from);
	CHECK_INT(from.n, 0);
	doc_add(&from, DOC_FAIL, "c", "do", "3");
	doc_list_move(&to, &from);
	CHECK_INT(to.n, 3);
	CHECK_STR(to.list[1].found, "2");
	CHECK_STR(to.list[2].check, "c");
	CHECK_INT(doc_count(&to, DOC_FAIL), 1);
	doc_list_done(&to);
}

static void colour(void)
{
	setenv("TERM", "xterm", 1);
	CHECK(!isatty(STDOUT_FILENO) || ctl_colour());
	setenv("NO_COLOR", "1", 1);
	CHECK(!ctl_colour());
	CHECK_STR(ctl_paint(CTL_RED, "x"), "x");
}

int main(void)
{
	RUN(kernel);
	RUN(mounts);
	RUN(bpffs);
	RUN(cgroups);
	RUN(privileges);
	RUN(clocks_and_limits);
	RUN(files_on_disk);
	RUN(observer_of);
	RUN(pins_of);
	RUN(what_the_daemon_says);
	RUN(lists_move);
	RUN(colour);
	doc_list_done(&l);
	status_of(NULL);
	TEST_END();
}
