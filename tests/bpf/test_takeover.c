/* SPDX-License-Identifier: Apache-2.0 */
/* Pins: what outlives a daemon, how the next one takes over, what bpftool reads, and who is turned away. */
#include "fixture.h"

#include <sys/file.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
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
	static const char *const names[] = { "fate_watch", "fate_env", "fate_ring", "fate_count", "fate_meta", "fate_senders",
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

static void renumber(uint32_t layout)
{
	struct fate_meta meta = { .layout_version = layout };
	__u32 zero = 0;

	CHECK_INT(bpf_map_update_elem(observe_map_fd(fix.o, "fate_meta"), &zero, &meta, BPF_ANY), 0);
	fix.o = observe_free(fix.o, false);
	fix_observe();
}

static struct scan scan_old(void)
{
	struct scan s = {};

	CHECK_INT(observe_port(fix.o)->ops->scan(observe_port(fix.o), on_entry, &s, NULL), 1);
	return s;
}

/* Programs of another version go on watching what they watched, until all of it is settled. */
static void another_layout_is_recognised_and_replaced(void)
{
	struct fate_meta meta;
	struct fact_bpf b;
	struct leaf ended, running;
	struct proc p, q;
	struct scan s;
	__u32 zero = 0;

	new_pinned();
	ended = leaf_new("ended");
	running = leaf_new("running");
	leaf_watch(&ended, 0);
	leaf_watch(&running, 0);
	p = spawn(&ended, "hold-exit", "43");
	q = spawn(&running, "hold-exit", "44");
	let_go(&p);
	CHECK_INT(reap(&p), 43 << 8);
	renumber(99);
	CHECK_INT(status_number(NULL, "takenOver"), 0);
	CHECK_INT(status_number(NULL, "layoutReplaced"), 99);
	CHECK_INT(bpf_map_lookup_elem(observe_map_fd(fix.o, "fate_meta"), &zero, &meta), 0);
	CHECK_INT(meta.layout_version, FATE_LAYOUT_VERSION);
	CHECK_INT(meta.root_cgroup_id, fix.root_id);
	CHECK(pinned("v99/fate_env") && pinned("v99/link/fate_exit") && pinned("link/fate_exit"));

	/* Once more: they are there for whoever comes after a crash, too. */
	fix.o = observe_free(fix.o, false);
	fix_observe();
	s = scan_old();
	CHECK_INT(s.n, 2);
	CHECK_INT(found(&s, &ended)->env.exit_code, 43 << 8);
	CHECK_INT(found(&s, &ended)->env.flags, FATE_ENV_LEADER_EXITED | FATE_ENV_EMPTY);
	CHECK_INT(found(&s, &running)->env.flags, 0);
	CHECK_INT(found(&s, &running)->reaped, 0);

	observe_port(fix.o)->ops->mark_reaped(observe_port(fix.o), running.id);
	let_go(&q);
	CHECK_INT(reap(&q), 44 << 8);
	observe_port(fix.o)->ops->read(observe_port(fix.o), running.id, &b);
	CHECK(b.seen && b.reaped);
	CHECK_INT(b.env.exit_code, 44 << 8);
	CHECK_INT(b.env.acct.threads, 1);
	leaf_forget(&ended);
	CHECK(pinned("v99/fate_env"));
	leaf_forget(&running);
	CHECK(!pinned("v99/fate_env") && !pinned("v99/link/fate_exit"));
	CHECK(pinned("link/fate_exit"));
	fix_done();
}

/* A version with members in another order, of other sizes, with some that we do not know and without some that we do. */
static int old_map(const char *name, const char *type, struct btf *btf, int key_id, int value_id, size_t key_size,
		   size_t value_size)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .btf_fd = (__u32)btf__fd(btf), .btf_key_type_id = (__u32)key_id,
		    .btf_value_type_id = (__u32)value_id);
	char path[300];
	int fd = bpf_map_create(BPF_MAP_TYPE_HASH, type, (__u32)key_size, (__u32)value_size, 8, &opts);

	CHECK(fd >= 0);
	snprintf(path, sizeof(path), "%s/v98/%s", fix.bpf, name);
	CHECK_INT(bpf_obj_pin(fd, path), 0);
	return fd;
}

static void members_are_found_by_name(void)
{
	struct {
		uint64_t exit_ns;
		uint16_t procs_forked;
		char pad[6];
		uint64_t novelty;
		uint32_t flags;
		int32_t exit_code;
		char request_id[8];
		struct { uint32_t threads, novelty; uint64_t peak_rss; } acct;
	} v = { 77, 5, "", 1, FATE_ENV_LEADER_EXITED, 9, "abc", { 3, 1, 4096 } };
	struct { uint64_t more, start_ns; } w = { 3, 1234 };
	struct fate_env_key key = { .cgroup_id = 4711, .start_ns = 1234 };
	struct btf *btf = btf__new_empty();
	int u64 = btf__add_int(btf, "u64", 8, 0), u32 = btf__add_int(btf, "u32", 4, 0), u16 = btf__add_int(btf, "u16", 2, 0);
	int s32 = btf__add_int(btf, "s32", 4, BTF_INT_SIGNED), ch = btf__add_int(btf, "char", 1, 0);
	int text = btf__add_array(btf, u32, ch, 8), key_id, acct_id, env_id, watch_id, env_fd, watch_fd;
	char path[300];
	struct scan s;

	acct_id = btf__add_struct(btf, "fate_acct", sizeof(v.acct));
	btf__add_field(btf, "threads", u32, 0, 0);
	btf__add_field(btf, "novelty", u32, 32, 0);
	btf__add_field(btf, "peak_rss", u64, 64, 0);
	env_id = btf__add_struct(btf, "fate_env", sizeof(v));
	btf__add_field(btf, "exit_ns", u64, 0, 0);
	btf__add_field(btf, "procs_forked", u16, 64, 0);
	btf__add_field(btf, "novelty", u64, 128, 0);
	btf__add_field(btf, "flags", u32, 192, 0);
	btf__add_field(btf, "exit_code", s32, 224, 0);
	btf__add_field(btf, "request_id", text, 256, 0);
	btf__add_field(btf, "acct", acct_id, 320, 0);
	watch_id = btf__add_struct(btf, "fate_watch", sizeof(w));
	btf__add_field(btf, "more", u64, 0, 0);
	btf__add_field(btf, "start_ns", u64, 64, 0);
	key_id = btf__add_struct(btf, "fate_env_key", sizeof(key));
	btf__add_field(btf, "cgroup_id", u64, 0, 0);
	btf__add_field(btf, "start_ns", u64, 64, 0);
	CHECK_INT(btf__load_into_kernel(btf), 0);

	new_pinned();
	snprintf(path, sizeof(path), "%s/v98", fix.bpf);
	CHECK(mkdir(path, 0700) == 0);
	env_fd = old_map("fate_env", "fate_env", btf, key_id, env_id, sizeof(key), sizeof(v));
	watch_fd = old_map("fate_watch", "fate_watch", btf, u64, watch_id, 8, sizeof(w));
	CHECK_INT(bpf_map_update_elem(env_fd, &key, &v, BPF_NOEXIST), 0);
	CHECK_INT(bpf_map_update_elem(watch_fd, &key.cgroup_id, &w, BPF_NOEXIST), 0);
	fix.o = observe_free(fix.o, false);
	fix_observe();
	s = scan_old();
	CHECK_INT(s.n, 1);
	CHECK_INT(s.id[0], 4711);
	CHECK_INT(s.b[0].env.exit_ns, 77);
	CHECK_INT(s.b[0].env.procs_forked, 5);
	CHECK_INT(s.b[0].env.flags, FATE_ENV_LEADER_EXITED);
	CHECK_INT(s.b[0].env.exit_code, 9);
	CHECK_STR(s.b[0].env.request_id, "abc");
	CHECK_INT(s.b[0].env.acct.threads, 3);
	CHECK_INT(s.b[0].env.acct.peak_rss, 4096);
	CHECK_INT(s.b[0].env.acct.cpu_ns, 0);
	CHECK_INT(s.b[0].env.fork_ns, 0);
	CHECK_INT(s.b[0].reaped, 0);
	observe_port(fix.o)->ops->forget(observe_port(fix.o), 4711);
	CHECK(!pinned("v98/fate_env") && !pinned("v98"));
	close(env_fd);
	close(watch_fd);
	btf__free(btf);
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
	if (!strstr(out, "\"function\": \"workload\"") ||
	    !strstr(out, "\"request_id\": \"01234567-89ab-4cde-8f01-23456789abcd\"") ||
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
	RUN_CLEAN(members_are_found_by_name);
	RUN_CLEAN(a_missing_pin_is_no_disaster);
	RUN_CLEAN(sizes_change_when_they_may);
	RUN_CLEAN(leftovers_of_a_dead_load_are_swept);
	RUN_CLEAN(a_second_daemon_is_turned_away);
	RUN_CLEAN(without_privilege_it_says_so);
	RUN_CLEAN(bpftool_reads_the_entries);
	TEST_END();
}
