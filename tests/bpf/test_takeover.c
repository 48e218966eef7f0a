/* SPDX-License-Identifier: Apache-2.0 */
/* Pins: what outlives a daemon, how the next one takes over, what bpftool reads, and who is turned away. */
#include "fixture.h"

#include <sys/file.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

static int work(const char *what, const char *how)
{
	if (strcmp(what, "hold") == 0)
		hold();
	else if (strcmp(what, "hold-exit") == 0) {
		hold();
		return atoi(how);
	} else if (strcmp(what, "forks") == 0) {
		/* One after the other, so that some happen at every moment of what the test does. */
		for (int i = 0; i < atoi(how); i++) {
			pid_t pid = fork();

			if (pid == 0)
				_exit(0);
			waitpid(pid, NULL, 0);
		}
	}
	return 0;
}

struct scan { size_t n; uint64_t id[32]; struct fact_bpf b[32]; };

static void on_entry(void *arg, uint64_t id, const struct fact_bpf *b)
{
	struct scan *s = arg;

	CHECK(s->n < ARRAY_SIZE(s->id));
	s->id[s->n] = id;
	s->b[s->n++] = *b;
}

static struct scan scan(void)
{
	struct scan s = {};
	struct err e = {};

	if (observe_port(fix.o)->ops->scan(observe_port(fix.o), on_entry, &s, &e) != status_number(NULL, "takenOver"))
		FAIL("scan: %s", err_msg(&e));
	return s;
}

static const struct fact_bpf *found(const struct scan *s, const struct leaf *l)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->id[i] == l->id)
			return &s->b[i];
	FAIL("no entry of %s", l->path);
}

static void new_pinned(void)
{
	fix_dirs();
	fix_observe();
}

static bool pinned(const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", fix.bpf, name);
	return access(path, F_OK) == 0;
}

static size_t pins_in(const char *sub)
{
	char cmd[256];
	int n = -1;
	FILE *f;

	snprintf(cmd, sizeof(cmd), "ls %s/%s | grep -vc '\\.'", fix.bpf, sub);
	f = popen(cmd, "re");
	CHECK(f && fscanf(f, "%d", &n) == 1);
	pclose(f);
	return (size_t)n;
}

static void pins_come_and_go(void)
{
	static const char *const names[] = { "fate_watch", "fate_env", "fate_ring", "fate_drop", "fate_meta", "fate_senders",
					     "prog/fate_exit", "link/fate_exit", "prog/fate_fork", "link/fate_signal" };

	new_pinned();
	CHECK_INT(status_number(NULL, "generation"), 1);
	CHECK_INT(status_number(NULL, "takenOver"), 0);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!pinned(names[i]))
			FAIL("%s is not pinned", names[i]);
	CHECK_INT(pins_in("prog"), pins_in("link"));
	fix.o = observe_free(fix.o, true);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (pinned(names[i]))
			FAIL("%s is still pinned", names[i]);
	CHECK(!pinned("prog") && !pinned("link"));
	fix_done();
}

static void what_ended_meanwhile_is_not_lost(void)
{
	struct leaf ended, running, idle;
	struct proc p, q;
	struct scan s;
	const struct fact_bpf *b;

	new_pinned();
	ended = leaf_new("ended");
	running = leaf_new("running");
	idle = leaf_new("idle");
	leaf_watch(&ended, 0);
	leaf_watch(&running, 20 * NS_PER_MS);
	leaf_watch(&idle, 0);
	p = spawn(&ended, "hold-exit", "43");
	q = spawn(&running, "hold-exit", "5");
	fix.o = observe_free(fix.o, false);
	CHECK(pinned("link/fate_exit"));
	/* Nobody is there. One ends, the other passes its deadline (the kernel's timer: we look at the pin). */
	let_go(&p);
	CHECK_INT(reap(&p), 43 << 8);
	UNTIL_ASLEEP(({
		char path[256];
		struct fate_env_key key = {}, next;
		struct fate_env env = {};
		uint32_t flags = 0;
		int fd;

		snprintf(path, sizeof(path), "%s/fate_env", fix.bpf);
		fd = bpf_obj_get(path);
		CHECK(fd >= 0);
		for (const void *at = NULL; bpf_map_get_next_key(fd, at, &next) == 0; at = &key) {
			key = next;
			if (key.cgroup_id == running.id && bpf_map_lookup_elem(fd, &key, &env) == 0)
				flags = env.flags;
		}
		close(fd);
		flags & FATE_ENV_DEADLINE_HIT;
	}));

	fix_observe();
	CHECK_INT(status_number(NULL, "takenOver"), 1);
	CHECK_INT(status_number(NULL, "generation"), 2);
	s = scan();
	CHECK_INT(s.n, 3);
	b = found(&s, &ended);
	CHECK_INT(b->env.flags, FATE_ENV_LEADER_EXITED | FATE_ENV_EMPTY);
	CHECK_INT(b->env.exit_code, 43 << 8);
	CHECK_STR(b->env.function, "workload");
	CHECK_INT(found(&s, &idle)->env.procs_forked, 0);
	CHECK_INT(found(&s, &running)->env.flags, FATE_ENV_DEADLINE_HIT);
	CHECK_INT(scan().n, 0);	/* each once */
	/* Known as if watched by us: the records nobody has read, and what comes now. */
	UNTIL(facts_of(ended.id, FACT_BPF_EXIT) == 1 && facts_of(running.id, FACT_BPF_DEADLINE) == 1);
	let_go(&q);
	CHECK_INT(reap(&q), 5 << 8);
	UNTIL(facts_of(running.id, FACT_BPF_EMPTY));
	CHECK_INT(leaf_env(&running).exit_code, 5 << 8);
	CHECK_INT(leaf_env(&running).procs_exited, 1);
	/* What we reaped is told to the next daemon; the entry stays as it is. */
	observe_port(fix.o)->ops->mark_reaped(observe_port(fix.o), running.id);
	fix.o = observe_free(fix.o, false);
	fix_observe();
	s = scan();
	CHECK_INT(s.n, 3);
	CHECK(found(&s, &running)->reaped && !found(&s, &ended)->reaped);
	CHECK_INT(found(&s, &running)->env.exit_code, 5 << 8);
	leaf_forget(&ended);
	leaf_forget(&running);
	leaf_forget(&idle);
	CHECK_INT(status_number(NULL, "entries"), 0);
	fix.o = observe_free(fix.o, false);
	fix_observe();
	CHECK_INT(scan().n, 0);
	fix_done();
}

/* Programs are replaced under load: no fork or exit is missed, none counts twice. */
static void counts_are_exact_across_take_overs(void)
{
	struct leaf l;
	struct proc p;
	struct fate_env env;
	struct fact_bpf b;

	new_pinned();
	l = leaf_new("one");
	leaf_watch(&l, 0);
	p = spawn(&l, "forks", "3001");
	for (int i = 0; i < 6; i++) {
		fix.o = observe_free(fix.o, false);
		fix_observe();
	}
	(void)scan();
	CHECK_INT(status_number(NULL, "generation"), 7);
	CHECK_INT(reap(&p), 0);
	observe_port(fix.o)->ops->read(observe_port(fix.o), l.id, &b);
	env = b.env;
	CHECK_INT(env.procs_forked, 3002);
	CHECK_INT(env.procs_exited, 3002);
	CHECK_INT(env.flags, FATE_ENV_LEADER_EXITED | FATE_ENV_EMPTY);
	fix_done();
}

/* An entry whose daemon died between its two steps is removed, not reported. */
static void half_made_entries_are_removed(void)
{
	struct fate_env_key key = { .cgroup_id = 4711, .start_ns = 1 };
	struct fate_env env = {};

	new_pinned();
	CHECK_INT(bpf_map_update_elem(observe_map_fd(fix.o, "fate_env"), &key, &env, BPF_NOEXIST), 0);
	CHECK_INT(scan().n, 0);
	CHECK(bpf_map_lookup_elem(observe_map_fd(fix.o, "fate_env"), &key, &env) < 0);
	fix_done();
}

static void another_layout_is_recognised_and_replaced(void)
{
	struct fate_meta meta = { .layout_version = 99 };
	struct leaf l;
	__u32 zero = 0;

	new_pinned();
	l = leaf_new("one");
	leaf_watch(&l, 0);
	CHECK_INT(bpf_map_update_elem(observe_map_fd(fix.o, "fate_meta"), &zero, &meta, BPF_ANY), 0);
	fix.o = observe_free(fix.o, false);
	fix_observe();
	CHECK_INT(status_number(NULL, "takenOver"), 0);
	CHECK_INT(status_number(NULL, "layoutReplaced"), 99);
	CHECK_INT(scan().n, 0);
	CHECK_INT(bpf_map_lookup_elem(observe_map_fd(fix.o, "fate_meta"), &zero, &meta), 0);
	CHECK_INT(meta.layout_version, FATE_LAYOUT_VERSION);
	CHECK_INT(meta.root_cgroup_id, fix.root_id);
	fix_done();
}

static void a_missing_pin_is_no_disaster(void)
{
	char path[256];

	new_pinned();
	fix.o = observe_free(fix.o, false);
	snprintf(path, sizeof(path), "%s/fate_watch", fix.bpf);
	CHECK(unlink(path) == 0);
	fix_observe();
	CHECK_INT(status_number(NULL, "takenOver"), 0);
	CHECK(pinned("fate_watch"));
	fix_done();
}

/* More places: at once when no entry lives, else after the entries are gone. */
static void sizes_change_when_they_may(void)
{
	struct leaf l;

	new_pinned();
	l = leaf_new("one");
	leaf_watch(&l, 0);
	fix.o = observe_free(fix.o, false);
	fix.cfg.max_environments = 32;
	fix.cfg.ring_bytes = 1 << 16;
	fix_observe();
	CHECK_INT(status_number(NULL, "entriesMax"), 16);
	CHECK_INT(status_number(NULL, "ringBytes"), 1 << 16);
	CHECK_INT(scan().n, 1);
	leaf_forget(&l);
	fix.o = observe_free(fix.o, false);
	fix_observe();
	CHECK_INT(status_number(NULL, "takenOver"), 1);
	CHECK_INT(status_number(NULL, "entriesMax"), 32);
	leaf_watch(&l, 0);
	fix_done();
}

/* Died after it was in force, before its names were: its programs act on until ours do, and are then removed. */
static void leftovers_of_a_dead_load_are_swept(void)
{
	char from[256], to[256];
	size_t n;

	new_pinned();
	n = pins_in("link");
	fix.o = observe_free(fix.o, false);
	snprintf(from, sizeof(from), "%s/link/fate_exit", fix.bpf);
	snprintf(to, sizeof(to), "%s/link/fate_exit_1", fix.bpf);
	CHECK(rename(from, to) == 0);
	snprintf(from, sizeof(from), "%s/prog/fate_exit", fix.bpf);
	snprintf(to, sizeof(to), "%s/prog/fate_other", fix.bpf);
	CHECK(rename(from, to) == 0);
	fix_observe();
	CHECK_INT(pins_in("link"), n);
	CHECK_INT(pins_in("prog"), n);
	CHECK(!pinned("link/fate_exit_1") && !pinned("prog/fate_other") && pinned("prog/fate_exit"));
	fix_done();
}

static void a_second_daemon_is_turned_away(void)
{
	struct err e = {};
	struct fact_sink sink = { .self = &fix, .fact = on_fact };
	struct observe *o = NULL;

	new_pinned();
	CHECK_INT(observe_new(fix.loop, &fix.cfg, &sink, &o, &e), -EBUSY);
	CHECK(strstr(err_msg(&e), fix.bpf) && strstr(err_msg(&e), "another fated"));
	CHECK(!o);
	CHECK(pinned("fate_env"));	/* the first one's pins are untouched */
	fix_done();
}

static void without_privilege_it_says_so(void)
{
	int status, pid;

	fix_dirs();
	CHECK(mkdir(fix.bpf, 0755) == 0);
	CHECK(chown(fix.bpf, 65534, 65534) == 0);
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		struct err e = {};
		struct fact_sink sink = { .self = &fix, .fact = on_fact };
		struct observe *o = NULL;
		int r;

		if (setresuid(65534, 65534, 65534) < 0)
			_exit(2);
		r = observe_new(fix.loop, &fix.cfg, &sink, &o, &e);
		if (r != -EPERM || !strstr(err_msg(&e), "CAP_"))
			printf("# %d: %s\n", r, err_msg(&e));
		fflush(stdout);
		_exit(r == -EPERM && strstr(err_msg(&e), "CAP_") ? 0 : 1);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK_INT(status, 0);
	fix_done();
}

static void bpftool_reads_the_entries(void)
{
	char cmd[256];
	CLEAN(freep) char *out = calloc(1, 1 << 16);
	struct leaf l;
	FILE *f;
	size_t n;

	if (system("PATH=$PATH:/usr/sbin; command -v bpftool >/dev/null") != 0)
		SKIP("bpftool is not installed");
	new_pinned();
	l = leaf_new("one");
	leaf_watch(&l, 0);
	fix.o = observe_free(fix.o, false);
	fix_observe();	/* a taken-over map is readable as well */
	snprintf(cmd, sizeof(cmd), "PATH=$PATH:/usr/sbin; bpftool map dump pinned %s/fate_env 2>&1", fix.bpf);
	f = popen(cmd, "re");
	CHECK(f);
	n = fread(out, 1, (1 << 16) - 1, f);
	CHECK_INT(pclose(f), 0);
	CHECK(n > 0);
	if (!strstr(out, "\"function\": \"workload\"") || !strstr(out, "\"request_id\": \"01234567-89ab-4cde-8f01-23456789abcd\"") ||
	    !strstr(out, "\"leader_tgid\": 0"))
		FAIL("unreadable: %.900s", out);
	fix_done();
}

#define RUN_CLEAN(fn) do { RUN(fn); clean_up(); } while (0)
int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "work") == 0)
		return work(argv[2], argv[3]);
	RUN_CLEAN(pins_come_and_go);
	RUN_CLEAN(what_ended_meanwhile_is_not_lost);
	RUN_CLEAN(counts_are_exact_across_take_overs);
	RUN_CLEAN(half_made_entries_are_removed);
	RUN_CLEAN(another_layout_is_recognised_and_replaced);
	RUN_CLEAN(a_missing_pin_is_no_disaster);
	RUN_CLEAN(sizes_change_when_they_may);
	RUN_CLEAN(leftovers_of_a_dead_load_are_swept);
	RUN_CLEAN(a_second_daemon_is_turned_away);
	RUN_CLEAN(without_privilege_it_says_so);
	RUN_CLEAN(bpftool_reads_the_entries);
	TEST_END();
}
