/* SPDX-License-Identifier: Apache-2.0 */
/* Finding our place in the cgroup tree, from texts as hosts and containers have them. */
#include "cgroup/cg_place.h"

#include <errno.h>

#include "base/buf.h"
#include "lib/test.h"

#define UNIFIED "23 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n" \
	"35 24 0:30 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
#define HYBRID "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n" \
	"32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n" \
	"41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"
#define V1_ONLY "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n" \
	"32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n"

static struct cg_place p;
static struct err e;

static int find(const char *mountinfo, const char *self)
{
	e = (struct err){};
	return cg_place_find(mountinfo, self, &p, &e);
}

static void check_refused(const char *mountinfo, const char *self, int code, const char *part)
{
	CHECK_INT(find(mountinfo, self), code);
	CHECK_INT(e.code, code);
	if (!strstr(err_msg(&e), part))
		FAIL("\"%s\" does not say \"%s\"", err_msg(&e), part);
}

static void unified(void)
{
	CHECK_INT(find(UNIFIED, "0::/system.slice/fated.service\n"), 0);
	CHECK_STR(p.mount, "/sys/fs/cgroup");
	CHECK_STR(p.root, "/");
	CHECK_STR(p.self, "/sys/fs/cgroup/system.slice/fated.service");
	CHECK_STR(p.self_cgroup, "/system.slice/fated.service");
	CHECK(!p.hybrid);
	CHECK_INT(find(UNIFIED, "0::/\n"), 0);
	CHECK_STR(p.self, "/sys/fs/cgroup");
	/* The last line may lack its end. */
	CHECK_INT(find(UNIFIED, "0::/a"), 0);
	CHECK_STR(p.self, "/sys/fs/cgroup/a");
}

static void hybrid(void)
{
	CHECK_INT(find(HYBRID, "9:name=systemd:/\n4:memory:/jobs/1\n0::/x\n"), 0);
	CHECK_STR(p.mount, "/sys/fs/cgroup/unified");
	CHECK_STR(p.self, "/sys/fs/cgroup/unified/x");
	CHECK(p.hybrid);
}

static void without_v2(void)
{
	check_refused(V1_ONLY, "4:memory:/\n1:cpu:/\n", -ENOENT, "cgroup v1 only");
	check_refused(V1_ONLY, "1:cpu:/\n0::/\n", -ENOENT, "not mounted (only v1 hierarchies are)");
	check_refused("", "0::/\n", -ENOENT, "not mounted");
	check_refused(UNIFIED, "", -ENOENT, "no \"0::\" line");
}

static void escapes(void)
{
	CHECK_INT(find("1 2 0:1 / /mnt/a\\040b\\134c\\011d rw - cgroup2 cgroup2 rw\n", "0::/s\n"), 0);
	CHECK_STR(p.mount, "/mnt/a b\\c\td");
	CHECK_STR(p.self, "/mnt/a b\\c\td/s");
	/* What is no escape stays as it is, also at the very end. */
	CHECK_INT(find("1 2 0:1 / /mnt/\\09\\777x\\04 rw - cgroup2 cgroup2 rw\n", "0::/\n"), 0);
	CHECK_STR(p.mount, "/mnt/\\09\\777x\\04");
}

static void optional_fields_vary(void)
{
	CHECK_INT(find("1 2 0:1 / /m rw shared:1 master:2 propagate_from:3 unbindable - cgroup2 none rw\n", "0::/\n"), 0);
	CHECK_STR(p.mount, "/m");
	/* "cgroup2" elsewhere in the line is no type. */
	check_refused("1 2 0:1 / /cgroup2 rw - tmpfs cgroup2 rw\n", "0::/\n", -ENOENT, "not mounted");
	check_refused("1 2 0:1 / /m rw - cgroup22 x rw\n", "0::/\n", -ENOENT, "not mounted");
}

static void a_part_of_the_tree(void)
{
	static const char part[] = "1 2 0:1 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n";

	CHECK_INT(find(part, "0::/docker/abc/init\n"), 0);
	CHECK_STR(p.self, "/sys/fs/cgroup/init");
	CHECK_STR(p.root, "/docker/abc");
	CHECK_INT(find(part, "0::/docker/abc\n"), 0);
	CHECK_STR(p.self, "/sys/fs/cgroup");
	check_refused(part, "0::/docker/abcd\n", -ENOENT, "no cgroup2 mount shows our own cgroup /docker/abcd");
	check_refused(part, "0::/docker\n", -ENOENT, "no cgroup2 mount shows");
	check_refused(UNIFIED, "0::/../outside\n", -ENOENT, "outside this cgroup name space");
	check_refused(UNIFIED, "0::/..\n", -ENOENT, "outside this cgroup name space");
	CHECK_INT(find(UNIFIED, "0::/..dots\n"), 0);
}

static void the_last_mount_covers(void)
{
	CHECK_INT(find(UNIFIED "50 1 0:30 / /mnt/again rw - cgroup2 cgroup2 rw\n", "0::/\n"), 0);
	CHECK_STR(p.mount, "/mnt/again");
	/* One that shows something else does not. */
	CHECK_INT(find(UNIFIED "50 1 0:30 /other /mnt/other rw - cgroup2 cgroup2 rw\n", "0::/mine\n"), 0);
	CHECK_STR(p.self, "/sys/fs/cgroup/mine");
}

static void long_and_broken_lines(void)
{
	struct buf b = {};

	buf_adds(&b, "0::/");
	for (int i = 0; i < PATH_MAX; i++)
		buf_addc(&b, 'x');
	check_refused(UNIFIED, buf_str(&b), -ENAMETOOLONG, "too long");
	buf_clear(&b);
	buf_adds(&b, "1 2 0:1 / /");
	for (int i = 0; i < PATH_MAX; i++)
		buf_addc(&b, 'm');
	buf_adds(&b, " rw - cgroup2 x rw\n");
	check_refused(buf_str(&b), "0::/\n", -ENAMETOOLONG, "mountinfo");
	/* The two together. */
	buf_clear(&b);
	buf_adds(&b, "0::/");
	for (int i = 0; i < PATH_MAX - 8; i++)
		buf_addc(&b, 'x');
	check_refused(UNIFIED, buf_str(&b), -ENAMETOOLONG, "mountinfo");
	buf_done(&b);
	check_refused("\n \n1\n1 2\n1 2 3 4 5 6\n1 2 3 4 5 6 -\n1 2 3 4 5 6 - \n", "0::/\n", -ENOENT, "not mounted");
	check_refused("1 2 0:1 nothing /m rw - cgroup2 x rw\n", "0::/\n", -EBADMSG, "mountinfo");
}

static void levels(void)
{
	CHECK_INT(cg_path_level("/"), 0);
	CHECK_INT(cg_path_level(""), 0);
	CHECK_INT(cg_path_level("/a"), 1);
	CHECK_INT(cg_path_level("/a/b.slice/c"), 3);
	CHECK_INT(cg_path_level("/a/b/"), 2);
	CHECK_INT(cg_path_level("//a"), 1);
}

int main(void)
{
	RUN(unified);
	RUN(hybrid);
	RUN(without_v2);
	RUN(escapes);
	RUN(optional_fields_vary);
	RUN(a_part_of_the_tree);
	RUN(the_last_mount_covers);
	RUN(long_and_broken_lines);
	RUN(levels);
	TEST_END();
}
