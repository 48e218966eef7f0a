/* SPDX-License-Identifier: Apache-2.0 */
/* Environments that outlive their daemon: started by a child that is killed, adopted here, with systemd played by the test. */
#include <sys/syscall.h>

#include "integ/test_launch_keep_rig.h"
#include "model/limits.h"

#define ROUNDS 100

static char dir[64], fifo[2][96];

static void want(const char *text, const char *part)
{
	if (!strstr(text, part))
		FAIL("no \"%s\" in: %.700s", part, text);
}

static struct func *script(const char *fmt, ...)
{
	char text[2048];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return SH(text);
}

static void go(int which)
{
	int fd = open(fifo[which], O_WRONLY | O_CLOEXEC);

	CHECK(fd >= 0 && write(fd, "go\n", 3) == 3);
	close(fd);
}

/* 1 to n, a line each. */
static char *numbers(unsigned int n)
{
	struct buf b = {};

	for (unsigned int i = 1; i <= n; i++)
		buf_addf(&b, "%u\n", i);
	return buf_take(&b, NULL);
}

/* What the label says (launch/launch_kit.c): the tests know its layout, as whoever forges one does. */
enum { AT_VERSION = 8, AT_MEM = 12, AT_CGROUP = 16, AT_PID = 48, AT_ATTEMPT = 52, AT_REQUEST = 56, DATA_AT = 128 };

static int mem_of(struct systemd *s, const char *name, uint32_t which)
{
	for (size_t i = 0; i < s->n; i++) {
		uint32_t mem;
		char magic[8];

		if (strcmp(s->v[i].name, name) == 0 && pread(s->v[i].fd, magic, 8, 0) == 8 && memcmp(magic, "fatedkit", 8) == 0 &&
		    pread(s->v[i].fd, &mem, 4, AT_MEM) == 4 && mem == which)
			return s->v[i].fd;
	}
	FAIL("no memory file %u of %s", which, name);
}

static long mem_len(struct systemd *s, const char *name, uint32_t which)
{
	struct stat st;

	CHECK(fstat(mem_of(s, name, which), &st) == 0);
	return st.st_size - DATA_AT;
}

/* The rows come one by one while it lives; all n are wanted, stored and all. */
static void stored(struct before *b, struct systemd *s, size_t n)
{
	while (b->n < n) {
		CHECK(read(b->rows, &b->v[b->n], sizeof(b->v[0])) == (ssize_t)sizeof(b->v[0]));
		b->n++;
	}
	for (size_t i = 0; i < n; i++)
		UNTIL_STORE(s, systemd_has(s, b->v[i].name) == 6);
}

static bool leaf_empty(const char *leaf)
{
	char path[4300], text[256];

	snprintf(path, sizeof(path), "%s/cgroup.events", leaf);
	slurp(path, text, sizeof(text));
	return strstr(text, "populated 0");
}

static void nothing_more(struct rig *r, struct systemd *s, struct launch_keeper *k, struct run *run)
{
	rig_finish(r, run);
	run_done(run);
	after_down(r, s, k);
}

/* ---- taken over ------------------------------------------------------------------------------------------------ */

/* The pipe is full while no daemon is there, and what the first one had read is not read again. */
static void output_before_and_after(void)
{
	struct systemd *s = systemd_up();
	struct launch_keeper *k;
	struct before b;
	struct rig *r;
	struct run run;
	char *all = numbers(60000), *half = numbers(30000);
	int pipes_full = 0;

	BEFORE(&b, script("seq 1 30000; echo r1 >&3; read x <%s; echo r2 >&3; echo late >&2; seq 30001 60000; echo r3 >&3",
			  fifo[0]));
	stored(&b, s, 1);
	UNTIL_STORE(s, mem_len(s, b.v[0].name, 0) == (long)strlen(half) && mem_len(s, b.v[0].name, 1) == 3);
	before_killed(&b);
	go(0);
	UNTIL_STORE(s, ({
		pipes_full = 0;
		for (size_t i = 0; i < s->n; i++) {
			int n = 0;

			pipes_full += ioctl(s->v[i].fd, FIONREAD, &n) == 0 && n > 60000;
		}
		pipes_full; }));
	CHECK_INT(mem_len(s, b.v[0].name, 0), (long)strlen(half));
	r = after_up(&b, s, &k);
	run = after_adopt(r, &b.v[0]);
	after_wait(r, &run);
	rig_finish(r, &run);
	CHECK_STR(text_of(run.report), "r1\nr2\nr3\n");
	CHECK(run.out && run.out->len == strlen(all) && memcmp(run.out->data, all, run.out->len) == 0);
	CHECK_STR(buf_str(&r->output), "late\n");
	CHECK(run.cgroup.have_cpu);
	CHECK_INT(facts_of(r, run.id, FACT_TOO_LARGE), 0);
	CHECK_INT(facts_of(r, run.id, FACT_WAIT), 1);
	CHECK_INT(facts_of(r, run.id, FACT_EXEC_FAILED), 0);
	systemd_pump(s);
	CHECK_INT(s->removes, 1);
	CHECK_INT(s->stores, 1);
	run_done(&run);
	free(all);
	free(half);
	after_down(r, s, k);
}

static void ended_meanwhile(void)
{
	struct systemd *s = systemd_up();
	struct launch_keeper *k;
	struct before b;
	struct rig *r;
	struct run run;

	BEFORE(&b, script("echo a; read x <%s; echo b; echo why >&3; exit 3", fifo[0]));
	stored(&b, s, 1);
	before_killed(&b);
	go(0);
	UNTIL_STORE(s, leaf_empty(b.v[0].leaf));
	r = after_up(&b, s, &k);
	run = after_adopt(r, &b.v[0]);
	CHECK_INT(r->n_facts, 0);		/* the engine does not know it yet */
	CHECK_INT(r->port->ops->populated(r->port, run.p), 0);
	CHECK_INT(r->port->ops->count(r->port, run.p), 0);
	after_wait(r, &run);
	rig_finish(r, &run);
	CHECK_STR(text_of(run.out), "a\nb\n");
	CHECK_STR(text_of(run.report), "why\n");
	run_done(&run);
	after_down(r, s, k);
}

static void children_are_left(void)
{
	struct systemd *s = systemd_up();
	struct launch_keeper *k;
	struct before b;
	struct rig *r;
	struct run run;

	BEFORE(&b, script("(read x <%s; echo late; echo said >&2; exec sleep 1000) & echo lead; read x <%s; exit 0",
			  fifo[1], fifo[0]));
	stored(&b, s, 1);
	before_killed(&b);
	go(0);
	r = after_up(&b, s, &k);
	run = after_adopt(r, &b.v[0]);
	after_wait(r, &run);
	CHECK_INT(r->port->ops->populated(r->port, run.p), 1);
	CHECK_INT(r->port->ops->count(r->port, run.p), 1);
	CHECK_INT(facts_of(r, run.id, FACT_EMPTY), 0);
	go(1);
	UNTIL(r, strstr(buf_str(&r->output), "said"));
	r->port->ops->term(r->port, run.p);
	UNTIL(r, fact_at(r, run.id, FACT_EMPTY) >= 0);
	rig_finish(r, &run);
	CHECK_STR(text_of(run.out), "lead\nlate\n");
	run_done(&run);
	after_down(r, s, k);
}

static void nested_and_killed(void)
{
	struct systemd *s = systemd_up();
	struct launch_keeper *k;
	struct before b;
	struct rig *r;
	struct run run;

	BEFORE(&b, script("mkdir -p $FATE_CGROUP/a/b && echo $$ >$FATE_CGROUP/a/b/cgroup.procs; trap '' TERM; "
			  "sleep 1000 & echo up; while :; do wait; done"));
	stored(&b, s, 1);
	UNTIL_STORE(s, mem_len(s, b.v[0].name, 0) == 3);
	before_killed(&b);
	r = after_up(&b, s, &k);
	run = after_adopt(r, &b.v[0]);
	CHECK_INT(r->port->ops->count(r->port, run.p), 2);
	r->port->ops->term(r->port, run.p);
	CHECK_INT(r->port->ops->populated(r->port, run.p), 1);
	CHECK_INT(facts_of(r, run.id, FACT_WAIT), 0);
	CHECK_INT(r->port->ops->kill(r->port, run.p, NULL), 0);
	after_wait(r, &run);
	nothing_more(r, s, k, &run);
}

/* The group this test is in. */
static const char *own_group(void)
{
	static char path[4096];

	snprintf(path, sizeof(path), "%s", rig_base);
	*strrchr(path, '/') = '\0';
	return path;
}

/* A leader that moved itself out of its leaf is killed by its pidfd, which works without being its parent. */
static void killed_outside_its_leaf(void)
{
	struct systemd *s = systemd_up();
	struct launch_keeper *k;
	struct before b;
	struct rig *r;
	struct run run;

	BEFORE(&b, script("echo $$ >%s/cgroup.procs && echo out; exec sleep 1000", own_group()));
	stored(&b, s, 1);
	UNTIL_STORE(s, mem_len(s, b.v[0].name, 0) == 4);
	before_killed(&b);
	r = after_up(&b, s, &k);
	run = after_adopt(r, &b.v[0]);
	CHECK_INT(r->port->ops->populated(r->port, run.p), 0);
	CHECK_INT(r->port->ops->kill(r->port, run.p, NULL), 0);
	after_wait(r, &run);
	nothing_more(r, s, k, &run);
}

static void too_large_before_and_after(void)
{
	struct systemd *s = systemd_up();
	struct launch_keeper *k;
	struct before b;
	struct rig *r;
	struct run run[2];

	BEFORE(&b, script("head -c %u /dev/zero; echo >&3; exec sleep 1000", LIM_RESPONSE + 1000),
	       script("head -c %u /dev/zero; read x <%s; head -c 1000000 /dev/zero; exec sleep 1000", LIM_RESPONSE - 5, fifo[0]));
	stored(&b, s, 2);
	UNTIL_STORE(s, mem_len(s, b.v[0].name, 1) == 1 && mem_len(s, b.v[1].name, 0) == (long)LIM_RESPONSE - 5);
	CHECK_INT(mem_len(s, b.v[0].name, 0), LIM_RESPONSE + 1);
	before_killed(&b);
	r = after_up(&b, s, &k);
	for (int i = 0; i < 2; i++)
		run[i] = after_adopt(r, &b.v[i]);
	CHECK_INT(r->n_facts, 0);
	UNTIL(r, fact_at(r, run[0].id, FACT_TOO_LARGE) >= 0);
	CHECK_INT(facts_of(r, run[1].id, FACT_TOO_LARGE), 0);
	go(0);
	UNTIL(r, fact_at(r, run[1].id, FACT_TOO_LARGE) >= 0);
	for (int i = 0; i < 2; i++) {
		CHECK_INT(r->port->ops->kill(r->port, run[i].p, NULL), 0);
		after_wait(r, &run[i]);
		rig_finish(r, &run[i]);
		CHECK_INT(run[i].out->len, LIM_RESPONSE + 1);
		CHECK_INT(facts_of(r, run[i].id, FACT_TOO_LARGE), 1);
		run_done(&run[i]);
	}
	after_down(r, s, k);
}

/* In one process: the daemon that abandons is not gone yet, and a third one adopts after the second. */
static void abandoned_and_adopted_again(void)
{
	struct systemd *s = systemd_up();
	struct launch_keeper *k = NULL;
	struct before b;
	struct rig *r;
	struct run run;
	size_t fds;

	BEFORE(&b, script("echo 1; read x <%s; echo 2; read x <%s; echo 3", fifo[0], fifo[1]));
	stored(&b, s, 1);
	UNTIL_STORE(s, mem_len(s, b.v[0].name, 0) == 2);
	before_killed(&b);
	fds = count_fds();
	r = after_up(&b, s, &k);
	run = after_adopt(r, &b.v[0]);
	go(0);
	UNTIL_STORE(s, ({ (void)sd_event_run(r->loop, 0); mem_len(s, b.v[0].name, 0) == 4; }));
	r->port->ops->abandon(r->port, run.p);
	r->port->ops->abandon(r->port, NULL);
	launch_free(r->launch);
	cg_tree_free(r->tree, false);
	sd_event_unref(r->loop);
	buf_done(&r->output);
	free(r);
	launch_keep_free(k);
	CHECK_INT(count_fds(), fds);
	CHECK_INT(systemd_has(s, b.v[0].name), 6);
	CHECK(!leaf_empty(b.v[0].leaf));
	r = after_up(&b, s, &k);
	run = after_adopt(r, &b.v[0]);
	go(1);
	after_wait(r, &run);
	rig_finish(r, &run);
	CHECK_STR(text_of(run.out), "1\n2\n3\n");
	run_done(&run);
	after_down(r, s, k);
}

/* With a keeper and without a restart all is as ever; and what need not be kept is not. */
static void a_kept_one_that_is_not_abandoned(void)
{
	struct systemd *s = systemd_up();
	struct launch_keeper *k = NULL;
	struct err e = {};
	struct rig *r;
	struct run run;

	CHECK_INT(launch_keep_new(&k, &e), 0);
	rig_keep.keeper = k;
	r = rig_up();
	rig_keep.keeper = NULL;
	rig_terms.keep = true;
	run = rig_run(r, SH("cat; head -c 200000 /dev/zero; echo no >&2; head -c 400000 /dev/zero >&3; exit 7"), NULL);
	rig_terms.keep = false;
	CHECK_INT(run.status, 7 << 8);
	CHECK_INT(run.out->len, 200002);
	CHECK_INT(run.report->len, LIM_ERROR_REPORT);
	CHECK_STR(buf_str(&r->output), "no\n");
	systemd_pump(s);
	CHECK_INT(s->stores, 1);
	CHECK_INT(s->removes, 1);
	run_done(&run);
	run = rig_run(r, SH("echo plain"), NULL);
	CHECK_STR(text_of(run.out), "plain\n");
	run_done(&run);
	systemd_pump(s);
	CHECK_INT(s->stores, 1);
	CHECK_INT(s->removes, 1);
	CHECK_INT(launch_keep_failed(r->launch), 0);

	/* Nobody listens: it runs all the same, and is counted. */
	CHECK(shutdown(s->sock, SHUT_RD) == 0);
	rig_terms.keep = true;
	run = rig_run(r, SH("echo alone"), NULL);
	rig_terms.keep = false;
	CHECK_STR(text_of(run.out), "alone\n");
	CHECK_INT(run.status, 0);
	CHECK_INT(launch_keep_failed(r->launch), 1);
	run_done(&run);
	after_down(r, s, k);
}

/* Short ones cost systemd nothing; long ones are stored, and all are when the daemon is told to go. */
static void stored_when_they_have_lived_a_while(void)
{
	struct systemd *s = systemd_up();
	struct launch_keeper *k = NULL;
	struct err e = {};
	struct rig *r;
	struct run run;

	CHECK_INT(launch_keep_new(&k, &e), 0);
	rig_keep.keeper = k;
	rig_keep.after_ms = 1000000;
	r = rig_up();
	memset(&rig_keep, 0, sizeof(rig_keep));
	rig_terms.keep = true;
	run = rig_run(r, SH("echo short"), NULL);
	CHECK_STR(text_of(run.out), "short\n");
	run_done(&run);
	systemd_pump(s);
	CHECK_INT(s->stores + s->removes, 0);
	rig_down(r);
	rig_keep.keeper = k;
	rig_keep.after_ms = 20;
	r = rig_up();
	memset(&rig_keep, 0, sizeof(rig_keep));
	run = rig_start(r, script("exec 3>&-; echo long; read x <%s; echo longer", fifo[0]), NULL);
	rig_terms.keep = false;
	UNTIL(r, (systemd_pump(s), s->stores == 1));
	CHECK(s->n == 5 || s->n == 6);		/* a pipe that has ended need not be stored */
	go(0);
	rig_wait(r, &run);
	rig_finish(r, &run);
	CHECK_STR(text_of(run.out), "long\nlonger\n");
	run_done(&run);
	systemd_pump(s);
	CHECK_INT(s->removes, 1);
	after_down(r, s, k);
}

static void stored_when_told_to_go(void)
{
	struct systemd *s = systemd_up();
	struct launch_keeper *k;
	struct before b;
	struct rig *r;
	struct run run[2];

	rig_keep.after_ms = 1000000;
	BEFORE(&b, script("seq 1 30000; exec 3>&-; touch %s/up; read x <%s; seq 30001 60000", dir, fifo[0]), SH("exec sleep 1000"));
	rig_keep.after_ms = 0;
	UNTIL_STORE(s, ({
		char up[96];

		snprintf(up, sizeof(up), "%s/up", dir);
		unlink(up) == 0; }));
	CHECK_INT(s->stores, 0);
	before_told_to_go(&b);
	systemd_pump(s);
	CHECK_INT(s->stores, 2);
	go(0);
	r = after_up(&b, s, &k);
	for (int i = 0; i < 2; i++)
		run[i] = after_adopt(r, &b.v[i]);
	CHECK_INT(r->port->ops->kill(r->port, run[1].p, NULL), 0);
	for (int i = 0; i < 2; i++) {
		char *all = numbers(60000);

		after_wait(r, &run[i]);
		rig_finish(r, &run[i]);
		CHECK_STR(text_of(run[i].out), i ? "" : all);
		run_done(&run[i]);
		free(all);
	}
	after_down(r, s, k);
}

/* ---- what cannot be ------------------------------------------------------------------------------------------------ */

struct gone { uint64_t id[16]; size_t n; };

static void on_gone(void *arg, uint64_t cgroup_id, const char *name)
{
	struct gone *g = arg;

	if (g->n < 16)
		g->id[g->n++] = cgroup_id;
}

static struct gone reap(struct rig *r)
{
	struct gone g = {};
	struct err e = {};

	if (r->port->ops->reap(r->port, on_gone, &g, &e) < 0)
		FAIL("%s", err_msg(&e));
	return g;
}

/* Not adoptable for this reason; and reap() takes it, with what was kept for it. */
static void refused(struct before *b, struct systemd *s, const char *why)
{
	struct launch_keeper *k;
	struct rig *r = after_up(b, s, &k);
	struct err e = {};
	struct gone g;
	struct run run;
	int res = after_try(r, &b->v[0], &run, &e);

	CHECK(!leaf_empty(b->v[0].leaf));
	g = reap(r);
	CHECK_INT(g.n, 1);
	CHECK(g.id[0] == b->v[0].id);
	if (res != -ENOENT)
		FAIL("%s: %d", why, res);
	CHECK_INT(e.code, -ENOENT);
	want(err_msg(&e), why);
	CHECK_INT(systemd_has(s, b->v[0].name), 0);
	CHECK(s->removes >= 1);
	after_down(r, s, k);
}

static struct systemd *one_that_sleeps(struct before *b)
{
	struct systemd *s = systemd_up();

	BEFORE(b, SH("echo x; exec sleep 1000"));
	stored(b, s, 1);
	UNTIL_STORE(s, mem_len(s, b->v[0].name, 0) == 2);
	before_killed(b);
	return s;
}

static void each_descriptor_is_needed(void)
{
	for (size_t i = 0; i < 6; i++) {
		struct before b;
		struct systemd *s = one_that_sleeps(&b);

		CHECK_INT(s->n, 6);
		systemd_drop(s, i);
		refused(&b, s, "missing");
	}
}

static void none_came_back(void)
{
	struct before b;
	struct systemd *s = one_that_sleeps(&b);

	while (s->n)
		systemd_drop(s, 0);
	s->removes = 1;		/* nothing is there to be given up */
	refused(&b, s, "its descriptors were not kept");
}

/* A crash is too fast for them: they are killed, to be tried again. */
static void too_young_for_a_crash(void)
{
	struct systemd *s = systemd_up();
	struct before b;

	rig_keep.after_ms = 1000000;
	BEFORE(&b, script("touch %s/up; exec sleep 1000", dir));
	rig_keep.after_ms = 0;
	UNTIL_STORE(s, ({
		char up[96];

		snprintf(up, sizeof(up), "%s/up", dir);
		unlink(up) == 0; }));
	before_killed(&b);
	s->removes = 1;		/* nothing is there to be given up */
	refused(&b, s, "its descriptors were not kept");
}

static void poke(struct systemd *s, struct before *b, uint32_t mem, off_t at, const void *data, size_t len)
{
	CHECK(pwrite(mem_of(s, b->v[0].name, mem), data, len, at) == (ssize_t)len);
}

static void add(struct systemd *s, struct before *b, int fd)
{
	CHECK(fd >= 0);
	snprintf(s->v[s->n].name, sizeof(s->v[0].name), "%s", b->v[0].name);
	s->v[s->n++].fd = fd;
}

static void hostile(int how)
{
	static const uint32_t high = 7;
	struct before b;
	struct systemd *s = one_that_sleeps(&b);
	const char *why = "";
	int fds[2], fd;

	switch (how) {
	case 0:
		poke(s, &b, 0, 0, "FATED", 5);
		why = "a memory file is missing";
		break;
	case 1:
		poke(s, &b, 1, AT_VERSION, &high, 4);
		why = "another version of fated (label 7)";
		break;
	case 2:
		poke(s, &b, 0, AT_REQUEST, "2", 1);
		why = "of another attempt";
		break;
	case 3:
		poke(s, &b, 1, AT_ATTEMPT, &high, 4);
		why = "of another attempt";
		break;
	case 4:
		poke(s, &b, 1, AT_CGROUP, &high, 4);
		why = "of another attempt";
		break;
	case 5:		/* a request id without an end */
		poke(s, &b, 0, AT_REQUEST + 36, "xxxx", 4);
		why = "of another attempt";
		break;
	case 6:
		poke(s, &b, 1, AT_PID, &high, 4);
		why = "contradict";
		break;
	case 7:
		poke(s, &b, 0, AT_MEM, &high, 4);
		why = "a memory file too many";
		break;
	case 8:
		CHECK(ftruncate(mem_of(s, b.v[0].name, 0), 1LL << 40) == 0);
		why = "impossible length";
		break;
	case 9:
		CHECK(ftruncate(mem_of(s, b.v[0].name, 1), 100) == 0);
		why = "a memory file is missing";
		break;
	case 10:
		add(s, &b, open("/dev/null", O_RDONLY | O_CLOEXEC));
		why = "not known";
		break;
	case 11:
		add(s, &b, socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
		why = "not known";
		break;
	case 12:
		CHECK(pipe2(fds, O_CLOEXEC) == 0);
		close(fds[1]);
		add(s, &b, fds[0]);
		why = "a pipe that is not known";
		break;
	case 13:
		CHECK(pipe2(fds, O_CLOEXEC) == 0);
		close(fds[0]);
		add(s, &b, fds[1]);
		why = "cannot be read";
		break;
	case 14:
		for (size_t i = 0; i < 6; i++) {
			struct stat st;

			CHECK(fstat(s->v[i].fd, &st) == 0);
			if (S_ISFIFO(st.st_mode)) {
				add(s, &b, dup(s->v[i].fd));
				break;
			}
		}
		why = "a pipe too many";
		break;
	case 15:
		fd = (int)syscall(SYS_pidfd_open, getpid(), 0);
		add(s, &b, fd);
		why = "not its leader";
		break;
	case 16:
		add(s, &b, dup(mem_of(s, b.v[0].name, 0)));
		why = "a memory file too many";
		break;
	default:
		FAIL("no case %d", how);
	}
	refused(&b, s, why);
}

static void nothing_that_comes_back_is_believed(void)
{
	for (int i = 0; i <= 16; i++)
		hostile(i);
}

static void without_a_keeper(void)
{
	struct before b;
	struct systemd *s = one_that_sleeps(&b);
	unsigned int serial = rig_serial;
	struct launch_kept_list kept = systemd_hand_over(s);
	struct err e = {};
	struct run run;
	struct rig *r;
	struct gone g;

	rig_serial = b.serial;
	rig_keep.kept = &kept;
	r = rig_up();
	rig_keep.kept = NULL;
	rig_serial = serial;
	CHECK(!kept.n);
	r->tree->made_root = r->tree->made_env = true;
	CHECK_INT(after_try(r, &b.v[0], &run, &e), -ENOENT);
	want(err_msg(&e), "no file descriptor store");
	CHECK(!leaf_empty(b.v[0].leaf));
	g = reap(r);
	CHECK_INT(g.n, 1);
	rig_terms.keep = true;		/* asked for and not to be had: as if it were not */
	run = rig_run(r, SH("echo hi"), NULL);
	rig_terms.keep = false;
	CHECK_STR(text_of(run.out), "hi\n");
	run_done(&run);
	rig_down(r);
	systemd_pump(s);
	CHECK_INT(s->stores, 1);
	systemd_down(s);
}

static void reap_spares_the_adopted(void)
{
	struct systemd *s = systemd_up();
	struct launch_keeper *k;
	struct before b;
	struct row none = { .id = 1 };
	struct err e = {};
	struct rig *r;
	struct run run, again;
	struct gone g;

	BEFORE(&b, SH("exec sleep 1000"), SH("echo mine; exec sleep 1000"), SH("exec sleep 1000"));
	stored(&b, s, 3);
	UNTIL_STORE(s, mem_len(s, b.v[1].name, 0) == 5);
	before_killed(&b);
	add(s, &b, open("/dev/null", O_RDONLY | O_CLOEXEC));
	snprintf(s->v[s->n - 1].name, sizeof(s->v[0].name), "e99-1-0000beef");		/* whose leaf is no more */
	r = after_up(&b, s, &k);
	run = after_adopt(r, &b.v[1]);
	CHECK_INT(after_try(r, &b.v[1], &again, &e), -ENOENT);
	want(err_msg(&e), "already");
	CHECK_INT(after_try(r, &none, &again, &e), -ENOENT);
	want(err_msg(&e), "gone");
	g = reap(r);
	CHECK_INT(g.n, 2);
	CHECK(g.id[0] != b.v[1].id && g.id[1] != b.v[1].id);
	CHECK_INT(systemd_has(s, b.v[0].name), 0);
	CHECK_INT(systemd_has(s, b.v[1].name), 6);
	CHECK_INT(systemd_has(s, b.v[2].name), 0);
	CHECK_INT(systemd_has(s, "e99-1-0000beef"), 0);
	CHECK(!leaf_empty(b.v[1].leaf));
	CHECK_INT(facts_of(r, run.id, FACT_WAIT), 0);
	CHECK_INT(r->port->ops->kill(r->port, run.p, NULL), 0);
	after_wait(r, &run);
	rig_finish(r, &run);
	CHECK_STR(text_of(run.out), "mine\n");
	run_done(&run);
	after_down(r, s, k);
}

/* ---- the keeper -------------------------------------------------------------------------------------------------- */

static void names_that_are_ours(void)
{
	static const char *const good[] = { "e12-1-00c0ffee", "s1-22-deadbeef", "e18446744073709551615-100-0123abcd" };
	static const char *const bad[] = { "", "stored", "unknown", "e-1-00c0ffee", "e1-1-00c0ffe", "e1-1-00C0FFEE", "e1--00c0ffee",
					   "e1-1-00c0ffeeX", "E1-1-00c0ffee", "e1-1", "1-1-00c0ffee", "fated.socket" };
	char name[300];

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		CHECK(launch_keep_is_leaf(good[i]) && launch_keep_name_ok(good[i]));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (launch_keep_is_leaf(bad[i]))
			FAIL("\"%s\"", bad[i]);
	CHECK(!launch_keep_name_ok("") && !launch_keep_name_ok("a:b"));
	CHECK(!launch_keep_name_ok("a\nb") && !launch_keep_name_ok("\x7f"));
	snprintf(name, sizeof(name), "%s", repeat('a', 255));
	CHECK(launch_keep_name_ok(name));
	snprintf(name, sizeof(name), "%s", repeat('a', 256));
	CHECK(!launch_keep_name_ok(name));
}

static void check_available(const char *max, const char *ours, const char *to, bool is)
{
	max ? setenv("FDSTORE", max, 1) : unsetenv("FDSTORE");
	ours ? setenv("FATED_FDSTORE", ours, 1) : unsetenv("FATED_FDSTORE");
	to ? setenv("NOTIFY_SOCKET", to, 1) : unsetenv("NOTIFY_SOCKET");
	if (launch_keep_available() != is)
		FAIL("FDSTORE %s, FATED_FDSTORE %s, NOTIFY_SOCKET %s", max ? max : "-", ours ? ours : "-", to ? to : "-");
	unsetenv("FDSTORE");
	unsetenv("FATED_FDSTORE");
	unsetenv("NOTIFY_SOCKET");
}

static void is_there_a_store(void)
{
	struct launch_keeper *k = NULL;
	struct err e = {};

	check_available("64", NULL, "/run/x", true);
	check_available(NULL, "1", "@x", true);
	check_available("0", "1", "/run/x", true);
	check_available("64", NULL, NULL, false);
	check_available("64", NULL, "", false);
	check_available("0", NULL, "/run/x", false);
	check_available("-1", NULL, "/run/x", false);
	check_available("64x", NULL, "/run/x", false);
	check_available("", "yes", "/run/x", false);
	check_available(NULL, "0", "/run/x", false);
	check_available(NULL, NULL, "/run/x", false);
	CHECK_INT(launch_keep_new(&k, &e), -ENOENT);
	setenv("NOTIFY_SOCKET", "vsock:2:3", 1);
	CHECK_INT(launch_keep_new(&k, &e), -EINVAL);
	want(err_msg(&e), "vsock:2:3");
	unsetenv("NOTIFY_SOCKET");
	CHECK(!k);
}

/* systemd is busy and its queue full: a store fails at once, a removal is said again later, in order, once. */
static void a_full_queue_does_not_stop_us(void)
{
	struct systemd *s = systemd_up();
	struct launch_keeper *k = NULL;
	struct err e = {};
	unsigned int stores = 0;
	char name[64];
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), r;

	CHECK_INT(launch_keep_new(&k, &e), 0);
	CHECK_INT(k->store(k->self, "a:b", &fd, 1), -EINVAL);
	CHECK_INT(k->store(k->self, "e1-1-00000000", &fd, 0), -EINVAL);
	CHECK_INT(k->remove(k->self, "a:b"), -EINVAL);
	for (;; stores++) {
		snprintf(name, sizeof(name), "e%u-1-00000000", stores);
		r = k->store(k->self, name, &fd, 1);
		if (r < 0)
			break;
		CHECK(stores < 10000);
	}
	CHECK(stores > 1);
	CHECK_INT(r, -EAGAIN);
	CHECK_INT(k->remove(k->self, "e0-1-00000000"), 0);
	CHECK_INT(k->remove(k->self, "e1-1-00000000"), 0);
	systemd_pump(s);
	CHECK_INT(s->n, stores);
	CHECK_INT(s->removes, 0);
	CHECK_INT(k->store(k->self, "e99999-1-00000000", &fd, 1), 0);
	systemd_pump(s);
	CHECK_INT(s->removes, 2);
	CHECK_INT(s->n, stores - 1);
	CHECK_INT(systemd_has(s, "e0-1-00000000"), 0);
	/* And what is pending at the end is said at the end. */
	while (k->store(k->self, "e99998-1-00000000", &fd, 1) == 0)
		;
	CHECK_INT(k->remove(k->self, "e99999-1-00000000"), 0);
	systemd_pump(s);
	CHECK_INT(systemd_has(s, "e99999-1-00000000"), 1);
	launch_keep_free(k);
	CHECK_INT(systemd_has(s, "e99999-1-00000000"), 0);
	close(fd);
	systemd_down(s);
}

static int started_with(void)
{
	struct launch_kept_list l = {};
	char pid[32];

	for (int fd = 3; fd < 6; fd++)
		CHECK(dup2(1, fd) == fd);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDS", "3", 1);
	setenv("LISTEN_FDNAMES", "e1-1-00c0ffee:fated.socket:e1-1-00c0ffee", 1);
	launch_keep_received(&l);
	CHECK_INT(l.n, 2);
	CHECK(l.v[0].fd == 3 && l.v[1].fd == 5);
	CHECK_STR(l.v[1].name, "e1-1-00c0ffee");
	CHECK(fcntl(3, F_GETFD) & FD_CLOEXEC);
	CHECK(!getenv("LISTEN_FDS"));
	launch_kept_done(&l);
	CHECK(fcntl(3, F_GETFD) < 0 && fcntl(5, F_GETFD) < 0 && fcntl(4, F_GETFD) >= 0);
	launch_keep_received(&l);
	CHECK_INT(l.n, 0);
	return 0;
}

static void what_we_are_started_with(void)
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		if (setjmp(test_jmp) == 0)
			_exit(started_with());
		fprintf(stderr, "%s\n", test_why);
		_exit(1);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK_INT(status, 0);
}

/* systemd hands over from 3 on, a place that must stay taken for good in a launcher: what is there is moved. */
static void low_descriptors_are_moved(void)
{
	struct before b;
	struct systemd *s = one_that_sleeps(&b);
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		if (setjmp(test_jmp) == 0) {
			struct launch_keeper *k;
			struct rig *r;
			struct run run;

			s->sock = fcntl(s->sock, F_DUPFD_CLOEXEC, 100);
			for (size_t i = 0; i < s->n; i++)
				s->v[i].fd = fcntl(s->v[i].fd, F_DUPFD_CLOEXEC, 100);
			close(0);
			CHECK(close_range(3, 99, 0) == 0);
			r = after_up(&b, s, &k);
			run = after_adopt(r, &b.v[0]);
			CHECK_INT(r->port->ops->kill(r->port, run.p, NULL), 0);
			after_wait(r, &run);
			rig_finish(r, &run);
			CHECK_STR(text_of(run.out), "x\n");
			run_done(&run);
			run = rig_run(r, SH("echo fine"), NULL);
			CHECK_STR(text_of(run.out), "fine\n");
			run_done(&run);
			after_down(r, s, k);
			_exit(0);
		}
		fprintf(stderr, "%s\n", test_why);
		_exit(1);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK_INT(status, 0);
	systemd_down(s);
}

/* ---- a crash at any moment --------------------------------------------------------------------------------------- */

struct tally { unsigned int adopted, half_read, lost; };

/* The daemon is killed somewhere between its first environment's start and the end of all output. */
static void crash_once(unsigned int seed, const char *all, struct tally *t)
{
	struct systemd *s = systemd_up();
	struct launch_keeper *k;
	struct before b;
	struct rig *r;
	int64_t until;
	struct func *f[4] = {};

	/* Lines one by one, so that there is always some in the pipe; the report says the same. */
	for (int i = 0; i < 3; i++)
		f[i] = SH("i=0; while [ $i -lt 2500 ]; do i=$((i+1)); echo $i; [ $((i%10)) = 0 ] && echo r$i >&3; done; exit 0");
	before_up(&b, f);
	until = clock_mono_ns() + (int64_t)(seed * 7919 % 97) * NS_PER_MS / 2;
	while (clock_mono_ns() < until) {
		struct pollfd p = { .fd = s->sock, .events = POLLIN };

		(void)poll(&p, 1, 1);
		systemd_pump(s);
	}
	before_killed(&b);
	systemd_pump(s);
	r = after_up(&b, s, &k);
	for (size_t i = 0; i < b.n; i++) {
		bool is_kept = systemd_has(s, b.v[i].name) == 6;
		long had = is_kept ? mem_len(s, b.v[i].name, 0) : 0;
		struct err e = {};
		struct run run;
		int res = after_try(r, &b.v[i], &run, &e);

		if (!is_kept) {
			CHECK_INT(res, -ENOENT);
			t->lost++;
			continue;
		}
		if (res < 0)
			FAIL("round %u: %s", seed, err_msg(&e));
		t->adopted++;
		t->half_read += had > 0 && had < (long)strlen(all);
		after_wait(r, &run);
		rig_finish(r, &run);
		if (!run.out || run.out->len != strlen(all) || memcmp(run.out->data, all, run.out->len) != 0)
			FAIL("round %u: %zu bytes of %zu, %ld had been read", seed, run.out ? run.out->len : 0, strlen(all), had);
		CHECK(run.report);
		for (int n = 10, at = 0; n <= 2500; n += 10) {
			char line[16];
			int len = snprintf(line, sizeof(line), "r%d\n", n);

			if (strncmp(run.report->data + at, line, (size_t)len) != 0)
				FAIL("round %u: the report lacks %s", seed, line);
			at += len;
		}
		run_done(&run);
	}
	(void)reap(r);
	after_down(r, s, k);
}

static void not_one_byte_is_lost(void)
{
	char *all = numbers(2500);
	struct tally t = {};
	size_t fds = count_fds();

	for (unsigned int i = 1; i <= ROUNDS; i++)
		crash_once(i, all, &t);
	CHECK_INT(count_fds(), fds);
	printf("# %d crashes: %u adopted, %u of them with some output read, %u were not kept yet\n", ROUNDS, t.adopted, t.half_read,
	       t.lost);
	CHECK(t.adopted > ROUNDS / 2);
	CHECK(t.half_read > 0);
	free(all);
}

int main(void)
{
	const char *unable = rig_unable();

	if (unable) {
		printf("skip launch_adopt - %s\n", unable);
		return 0;
	}
	snprintf(dir, sizeof(dir), "/tmp/fated-adopt-XXXXXX");
	if (!mkdtemp(dir))
		return 1;
	for (int i = 0; i < 2; i++) {
		snprintf(fifo[i], sizeof(fifo[i]), "%s/%d", dir, i);
		if (mkfifo(fifo[i], 0600) < 0)
			return 1;
	}
	RUN(output_before_and_after);
	RUN(ended_meanwhile);
	RUN(children_are_left);
	RUN(nested_and_killed);
	RUN(killed_outside_its_leaf);
	RUN(too_large_before_and_after);
	RUN(abandoned_and_adopted_again);
	RUN(a_kept_one_that_is_not_abandoned);
	RUN(stored_when_they_have_lived_a_while);
	RUN(stored_when_told_to_go);
	RUN(too_young_for_a_crash);
	RUN(each_descriptor_is_needed);
	RUN(none_came_back);
	RUN(nothing_that_comes_back_is_believed);
	RUN(without_a_keeper);
	RUN(reap_spares_the_adopted);
	RUN(names_that_are_ours);
	RUN(is_there_a_store);
	RUN(a_full_queue_does_not_stop_us);
	RUN(what_we_are_started_with);
	RUN(low_descriptors_are_moved);
	RUN(not_one_byte_is_lost);
	for (int i = 0; i < 2; i++)
		unlink(fifo[i]);
	rmdir(dir);
	rig_sweep();
	TEST_END();
}
