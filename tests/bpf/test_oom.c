/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The OOM killer at work: who was chosen, how often, and whose limit it was. Needs the memory controller in cgroup2,
 * as in a guest; elsewhere it is skipped, aloud.
 */
#include "fixture.h"

#include <sys/mman.h>

#define MB (1ul << 20)

/* Touches memory until somebody stops it. */
static void eat(size_t bytes)
{
	for (size_t at = 0; at < bytes; at += MB) {
		char *p = mmap(NULL, MB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

		if (p == MAP_FAILED)
			_exit(50);
	}
}

static int work(const char *what, const char *how)
{
	size_t bytes = (size_t)atoi(how) * MB;
	int status = 0;

	if (strcmp(what, "eat") == 0) {
		eat(bytes);
	} else if (strcmp(what, "child-eats") == 0) {
		prctl(PR_SET_NAME, "parent");
		if (fork() == 0) {
			prctl(PR_SET_NAME, "eater");
			eat(bytes);
			_exit(0);
		}
		wait(&status);
		return WIFSIGNALED(status) ? 7 : 0;
	}
	return 0;
}

static void put(const char *dir, const char *file, const char *text)
{
	char path[300];
	CLEAN(closep) int fd = -EBADF;

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		FAIL("write %s to %s: %s", text, path, strerror(errno));
}

/* Swap would only make it slow; not every kernel has the file. */
static void limit(const char *dir, const char *bytes)
{
	char path[300];

	put(dir, "memory.max", bytes);
	snprintf(path, sizeof(path), "%s/memory.swap.max", dir);
	if (access(path, W_OK) == 0)
		put(dir, "memory.swap.max", "0");
}

static bool start(uint32_t without)
{
	char path[300], line[256] = "";
	FILE *f;
	bool have;

	fix_dirs();
	snprintf(path, sizeof(path), "%s/cgroup.controllers", fix.root);
	f = fopen(path, "re");
	have = f && fgets(line, sizeof(line), f) && strstr(line, "memory");
	if (f)
		fclose(f);
	if (!have) {
		fix_done();
		SKIP("no memory controller in cgroup2 here");
	}
	put(fix.root, "cgroup.subtree_control", "+memory");
	fix.cfg.without = without;
	fix_observe();
	have = status_number("features", "oomScope") == 1;
	printf("# %s\n", have ? "with oom_kill_process: the scope is known" : "with the fallback: the scope is not known");
	return have;
}

static struct fate_env end_of(const struct leaf *l, const char *what, const char *how, int *ret_status)
{
	struct proc p;

	leaf_watch(l, 0);
	p = spawn(l, what, how);
	*ret_status = reap(&p);
	UNTIL(facts_of(l->id, FACT_BPF_EMPTY));
	return leaf_env(l);
}

static void killed_by_its_own_limit(void)
{
	bool scope = start(0);
	struct leaf l = leaf_new("one");
	struct fate_env env;
	int status;

	limit(l.path, "33554432");
	env = end_of(&l, "eat", "200", &status);
	CHECK_INT(status, SIGKILL);
	CHECK_INT(env.exit_code, status);
	CHECK_INT(env.oom_kills, 1);
	CHECK_INT(env.oom_victim_tgid, env.leader_tgid);
	CHECK(env.oom_ns > env.exec_ns && env.oom_ns < env.exit_ns);
	CHECK_INT(env.oom_scope, scope ? FATE_OOM_OWN : FATE_OOM_UNKNOWN);
	CHECK_INT(env.oom_limit_cgroup_id, scope ? l.id : 0);
	CHECK_INT(env.sender.flags, FATE_SENDER_KNOWN | FATE_SENDER_KERNEL);
	CHECK_INT(facts_of(l.id, FACT_BPF_OOM), 1);
	fix_done();
}

static void killed_by_a_nested_limit_of_its_own(void)
{
	bool scope = start(0);
	struct leaf l = leaf_new("one"), sub = l;
	struct proc p;
	struct fate_env env;

	put(l.path, "cgroup.subtree_control", "+memory");
	snprintf(sub.path + strlen(sub.path), sizeof(sub.path) - strlen(sub.path), "/sub");
	CHECK(mkdir(sub.path, 0755) == 0);
	limit(sub.path, "33554432");
	leaf_watch(&l, 0);
	p = spawn(&sub, "eat", "200");
	CHECK_INT(reap(&p), SIGKILL);
	UNTIL(facts_of(l.id, FACT_BPF_EMPTY));
	env = leaf_env(&l);
	CHECK_INT(env.oom_scope, scope ? FATE_OOM_OWN : FATE_OOM_UNKNOWN);
	CHECK_INT(env.oom_limit_cgroup_id, scope ? cgroup_id(sub.path) : 0);
	fix_done();
}

static void killed_by_the_limit_above(void)
{
	bool scope = start(0);
	struct leaf l = leaf_new("one");
	struct fate_env env;
	int status;

	limit(fix.root, "33554432");
	env = end_of(&l, "eat", "200", &status);
	CHECK_INT(status, SIGKILL);
	CHECK_INT(env.oom_scope, scope ? FATE_OOM_ANCESTOR : FATE_OOM_UNKNOWN);
	CHECK_INT(env.oom_limit_cgroup_id, scope ? fix.root_id : 0);
	fix_done();
}

static void child_killed_leader_not(uint32_t without)
{
	bool scope = start(without);
	struct leaf l = leaf_new("one");
	struct fate_env env;
	int status;

	limit(l.path, "33554432");
	env = end_of(&l, "child-eats", "200", &status);
	CHECK_INT(status, 7 << 8);
	CHECK_INT(env.exit_code, status);
	CHECK_INT(env.oom_kills, 1);
	CHECK(env.oom_victim_tgid && env.oom_victim_tgid != env.leader_tgid);
	CHECK_STR(env.oom_victim_comm, "eater");
	CHECK_INT(env.oom_scope, scope ? FATE_OOM_OWN : FATE_OOM_UNKNOWN);
	CHECK_INT(env.sender.flags, 0);
	CHECK_INT(env.procs_exited, 2);
	fix_done();
}

static void only_a_child_is_killed(void)
{
	child_killed_leader_not(0);
}

static void only_a_child_is_killed_known_by_the_fallback(void)
{
	child_killed_leader_not(OBSERVE_WITHOUT_FENTRY | OBSERVE_WITHOUT_GROUP_DEAD);
}

static void enough_memory_is_no_kill(void)
{
	struct leaf l;
	struct fate_env env;
	int status;

	(void)start(0);
	l = leaf_new("one");
	limit(l.path, "134217728");
	env = end_of(&l, "eat", "60", &status);
	CHECK_INT(status, 0);
	CHECK_INT(env.oom_kills, 0);
	CHECK_INT(env.oom_scope, FATE_OOM_NONE);
	CHECK_INT(facts_of(l.id, FACT_BPF_OOM), 0);
	fix_done();
}

#define RUN_CLEAN(fn) do { RUN(fn); clean_up(); } while (0)

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "work") == 0)
		return work(argv[2], argv[3]);
	RUN_CLEAN(killed_by_its_own_limit);
	RUN_CLEAN(killed_by_a_nested_limit_of_its_own);
	RUN_CLEAN(killed_by_the_limit_above);
	RUN_CLEAN(only_a_child_is_killed);
	RUN_CLEAN(only_a_child_is_killed_known_by_the_fallback);
	RUN_CLEAN(enough_memory_is_no_kill);
	TEST_END();
}
