/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading beside a running predecessor.
 *
 * Pinned links keep the programs of the daemon before us attached, so environments it started are observed while no
 * daemon runs. We must replace those programs (ours may be newer) without a gap, in which an end would be missed,
 * and without an overlap, in which it would count twice. Tracing links cannot be updated in place, hence:
 *
 *   1  adopt the pinned maps, load our programs on them, attach: they see fate_active ≠ their generation, do nothing
 *   2  pin them as NAME_<generation>
 *   3  write our generation to fate_active: we act, they do not
 *   4  rename NAME_<generation> over NAME: the old ones lose their last reference and are detached
 *   5  remove every other pin
 *
 * Generations are given out once, so dying between any two steps leaves exactly one load in force, whatever else is
 * attached, and step 5 of the next start tidies up. Rejected: keeping the
 * old programs when they are identical (two ways of starting, one of them rarely tried).
 *
 * Another layout's pins are moved to DIR/v<layout> as they are: programs and maps go on recording what ends there until all
 * of it is settled (obs_old.c).
 *
 * Maps that describe environments (fate_env, fate_watch, fate_senders) are adopted together or not at all. A changed
 * size waits until no entry is left.
 */
#include "observe/obs_load.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "base/log.h"
#include "base/mem.h"
#include "fate.skel.h"
#include "fate_abi.h"
#include "fate_event.h"
#include "observe/obs_pin.h"

#define GONE_ENTRIES 1024	/* processes that end at the same instant, and OOM victims not dead yet: ample */

/* libbpf's first warning, and the verifier's last words when it was the verifier who refused: the only places where
 * it is said which program or map, and why. */
static char last_complaint[384];

/* The line of a verifier log that tells: the last one before the statistics. Cuts the log. */
static const char *verdict_of(char *log)
{
	char *end = strstr(log, "\nprocessed "), *stats = strstr(log, "\nverification time ");
	const char *line;

	if (stats && (!end || stats < end))
		end = stats;
	if (!end)
		return NULL;
	*end = '\0';
	line = strrchr(log, '\n');
	return line ? line + 1 : log;
}

static int on_libbpf(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	CLEAN(freep) char *text = NULL;
	size_t len = strlen(last_complaint);
	const char *verdict = NULL;

	if (level == LIBBPF_DEBUG)
		return 0;
	if (vasprintf(&text, fmt, ap) < 0) {
		text = NULL;
		return 0;
	}
	if (text[0] && text[strlen(text) - 1] == '\n')
		text[strlen(text) - 1] = '\0';
	log_debug("%s", text);
	if (level != LIBBPF_WARN)
		return 0;
	if (strstr(text, "BEGIN PROG LOAD LOG"))
		verdict = verdict_of(text);
	if (verdict)
		snprintf(last_complaint + len, sizeof(last_complaint) - len, ": %s", verdict);
	else if (!len)	/* what follows it only repeats that the load failed */
		snprintf(last_complaint, sizeof(last_complaint), "%s", text);
	return 0;
}

static int refused(struct err *e, int r, const char *what)
{
	if (r == -EPERM)	/* the verifier's refusals are EACCES and EINVAL */
		return err_set(e, r, "%s: not permitted (%s); it takes CAP_BPF, CAP_PERFMON and CAP_SYS_ADMIN: run fated as root",
			       what, last_complaint);
	return err_set(e, r, "%s: %s (%s)", what, strerror(-r), last_complaint);
}

static uint32_t ring_size(uint32_t asked)
{
	uint32_t size = (uint32_t)sysconf(_SC_PAGESIZE);

	if (!asked)
		asked = OBSERVE_RING_BYTES_DEFAULT;
	while (size < asked && size < 1u << 30)
		size *= 2;
	return size;
}

static int read_features(const struct observe_config *cfg, struct obs_features *f, struct err *e)
{
	struct btf *btf = NULL;
	int r = obs_feature_btf(&btf, e);

	if (r < 0)
		return r;
	r = obs_feature_read(btf, f, e);
	if (r == 0 && !(cfg->without & OBSERVE_WITHOUT_FENTRY))
		obs_feature_try_fentry(btf, f);
	else if (r == 0)
		obs_feature_no_fentry(f, "switched off");
	if (cfg->without & OBSERVE_WITHOUT_GROUP_DEAD)
		f->group_dead = false;
	btf__free(btf);
	return r;
}

/* ---- maps --------------------------------------------------------------------------------------------------- */

#define MAPS_MAX 16

/* Every map that is pinned. The order is that of obs_load.adopted's bits. */
static size_t pinned_maps(const struct fate_bpf *s, struct bpf_map *ret[MAPS_MAX])
{
	struct bpf_map *const all[] = {
		s->maps.fate_meta, s->maps.fate_active, s->maps.fate_issued, s->maps.fate_count, s->maps.fate_ring,
		s->maps.fate_env, s->maps.fate_watch, s->maps.fate_senders, s->maps.fate_gone, s->maps.fate_victims,
		s->maps.fate_marks, s->maps.fate_oom_now,
	};

	static_assert(ARRAY_SIZE(all) <= MAPS_MAX, "room for all");
	memcpy(ret, all, sizeof(all));
	return ARRAY_SIZE(all);
}

/* Takes the pinned map in place of a new one. -ESTALE, -ENOENT: it cannot be. */
static int adopt(struct obs_load *l, struct bpf_map *m, uint32_t max_entries)
{
	CLEAN(closep) int fd = obs_pin_get_map(l->dir, m, max_entries, NULL);

	return fd < 0 ? fd : bpf_map__reuse_fd(m, fd);
}

/* True when the pinned map of entries holds any. */
static bool has_entries(int fd)
{
	struct fate_env_key key;

	return bpf_map_get_next_key(fd, NULL, &key) == 0;
}

static int adopt_environments(struct obs_load *l)
{
	struct fate_bpf *s = l->skel;
	struct bpf_map *const group[] = { s->maps.fate_env, s->maps.fate_watch, s->maps.fate_senders };
	uint32_t max;
	CLEAN(closep) int fd = obs_pin_get_map(l->dir, s->maps.fate_env, 0, &max);

	if (fd < 0)
		return fd;
	if (max != l->max_environments && !has_entries(fd))
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(group); i++) {
		int r = adopt(l, group[i], max);

		if (r < 0)
			return r;
	}
	l->max_environments = max;
	return 0;
}

/* 0: what can be adopted is. -ESTALE: the pins are not of our making or incomplete. */
static int adopt_all(struct obs_load *l)
{
	struct fate_bpf *s = l->skel;
	__u32 zero = 0, issued;

	if (adopt(l, s->maps.fate_meta, 1) < 0 || adopt(l, s->maps.fate_active, 1) < 0 ||
	    adopt(l, s->maps.fate_issued, 1) < 0 || adopt(l, s->maps.fate_count, FATE_EV_KIND_MAX) < 0 ||
	    adopt(l, s->maps.fate_marks, 0) < 0 || adopt(l, s->maps.fate_oom_now, 1) < 0 || adopt_environments(l) < 0)
		return -ESTALE;
	if (bpf_map_lookup_elem(bpf_map__fd(s->maps.fate_issued), &zero, &issued) < 0)
		return -ESTALE;
	/* A ring of another size is made anew: its unread records were only news. So are the two LRU maps. */
	(void)adopt(l, s->maps.fate_ring, l->ring_bytes);
	(void)adopt(l, s->maps.fate_gone, GONE_ENTRIES);
	(void)adopt(l, s->maps.fate_victims, GONE_ENTRIES);
	l->generation = issued + 1;
	l->taken_over = true;
	return 0;
}

static int size_maps(struct obs_load *l)
{
	struct bpf_map *maps[MAPS_MAX];
	size_t n = pinned_maps(l->skel, maps);

	for (size_t i = 0; i < n; i++) {
		const char *name = bpf_map__name(maps[i]);
		uint32_t size = l->max_environments;
		int r;

		if (strlen(name) >= BPF_OBJ_NAME_LEN)
			return -ENAMETOOLONG;	/* the kernel would cut it, and bpftool would show half a name */
		if (bpf_map__fd(maps[i]) >= 0) {	/* before load only a reused map has a descriptor */
			l->adopted |= BIT(i);
			continue;
		}
		if (bpf_map__type(maps[i]) == BPF_MAP_TYPE_RINGBUF)
			size = l->ring_bytes;
		else if (bpf_map__type(maps[i]) == BPF_MAP_TYPE_LRU_HASH)
			size = GONE_ENTRIES;
		else if (bpf_map__type(maps[i]) != BPF_MAP_TYPE_HASH)
			continue;
		r = bpf_map__set_max_entries(maps[i], size);
		if (r < 0)
			return r;
	}
	return 0;
}

static int pin_maps(struct obs_load *l, struct err *e)
{
	struct bpf_map *maps[MAPS_MAX];
	size_t n = pinned_maps(l->skel, maps);

	for (size_t i = 0; i < n; i++) {
		const char *name = bpf_map__name(maps[i]);
		int r;

		if (l->adopted & BIT(i))
			continue;
		r = obs_pin_new(l->dir, NULL, name, l->generation, bpf_map__fd(maps[i]), e);
		if (r == 0)
			r = obs_pin_commit(l->dir, NULL, name, l->generation, e);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- programs ----------------------------------------------------------------------------------------------- */

static void choose_programs(struct obs_load *l, const struct observe_config *cfg)
{
	struct fate_bpf *s = l->skel;

	bpf_program__set_autoload(s->progs.fate_oom, l->features.oom_scope);
	bpf_program__set_autoload(s->progs.fate_oom_done, l->features.oom_scope);
	bpf_program__set_autoload(s->progs.fate_victim, l->features.oom == OBS_OOM_VICTIM_TASK);
	bpf_program__set_autoload(s->progs.fate_victim_pid, l->features.oom == OBS_OOM_VICTIM_PID);
	s->rodata->fate_level = cfg->root_level + 1;
	s->rodata->fate_generation = l->generation;
	s->rodata->fate_ring_bytes = l->ring_bytes;
	while (1u << s->rodata->fate_page_shift < (uint32_t)sysconf(_SC_PAGESIZE))
		s->rodata->fate_page_shift++;
	s->rodata->fate_has_group_dead = l->features.group_dead;
	s->rodata->fate_victim_by_pid = l->features.oom == OBS_OOM_VICTIM_PID;
}

static int attach_programs(struct obs_load *l, struct err *e)
{
	struct bpf_program *p;
	struct fate_bpf *s = l->skel;

	for (int i = 0; i < s->skeleton->prog_cnt; i++) {
		const struct bpf_prog_skeleton *row = &s->skeleton->progs[i];
		int r;

		p = *row->prog;
		if (!bpf_program__autoload(p))
			continue;
		last_complaint[0] = '\0';
		*row->link = bpf_program__attach(p);
		if (!*row->link)
			return refused(e, -errno, "attach the kernel half");
		r = obs_pin_new(l->dir, OBS_PIN_PROG, row->name, l->generation, bpf_program__fd(p), e);
		if (r == 0)
			r = obs_pin_new(l->dir, OBS_PIN_LINK, row->name, l->generation, bpf_link__fd(*row->link), e);
		if (r < 0)
			return r;
	}
	return 0;
}

static bool is_ours(void *arg, const char *name)
{
	const struct fate_bpf *s = arg;

	for (int i = 0; i < s->skeleton->prog_cnt; i++)
		if (strcmp(name, s->skeleton->progs[i].name) == 0)
			return bpf_program__autoload(*s->skeleton->progs[i].prog);
	return false;
}

static bool is_our_map(void *arg, const char *name)
{
	struct bpf_map *maps[MAPS_MAX];
	size_t n = pinned_maps(arg, maps);

	for (size_t i = 0; i < n; i++)
		if (strcmp(name, bpf_map__name(maps[i])) == 0)
			return true;
	return false;
}

/* Before anything of this load is attached. */
static int issue_generation(struct obs_load *l, struct err *e)
{
	__u32 zero = 0;
	int r = bpf_map_update_elem(bpf_map__fd(l->skel->maps.fate_issued), &zero, &l->generation, BPF_ANY);

	return r < 0 ? err_errno(e, r, "prepare the kernel half") : 0;
}

/*
 * With both loads attached every event leaves its mark as it found it: the old sets it, ours takes it away. What was left
 * by events that met the old alone would make ours skip one each, so it is wiped: before the switch, and once more when the
 * old is gone (where tracepoints can be preempted, a task may have gone to another processor between the two).
 */
static void wipe_marks(struct obs_load *l)
{
	int fd = bpf_map__fd(l->skel->maps.fate_marks), cpus = libbpf_num_possible_cpus();
	CLEAN(freep) __u32 *none = cpus > 0 ? xcalloc((size_t)cpus + 1, sizeof(__u64)) : NULL;

	if (!none || !l->taken_over)
		return;
	for (__u32 hook = 0; hook < bpf_map__max_entries(l->skel->maps.fate_marks); hook++)
		(void)bpf_map_update_elem(fd, &hook, none, BPF_ANY);
}

/* Steps 3 to 5 of the essay. */
static int activate(struct obs_load *l, const struct observe_config *cfg, struct err *e)
{
	struct fate_bpf *s = l->skel;
	struct fate_meta meta = { .layout_version = FATE_LAYOUT_VERSION, .root_cgroup_id = cfg->root_cgroup_id };
	__u32 zero = 0;
	int r = bpf_map_update_elem(bpf_map__fd(s->maps.fate_meta), &zero, &meta, BPF_ANY);

	/* Whoever was in an event before has left it, before the marks are wiped and before the switch. */
	if (l->taken_over)
		(void)syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
	wipe_marks(l);
	if (l->taken_over)
		(void)syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
	if (r == 0)
		r = bpf_map_update_elem(bpf_map__fd(s->maps.fate_active), &zero, &l->generation, BPF_ANY);
	if (r < 0)
		return err_errno(e, r, "activate the kernel half");
	for (int i = 0; i < s->skeleton->prog_cnt; i++) {
		const char *name = s->skeleton->progs[i].name;

		if (!is_ours(s, name))
			continue;
		r = obs_pin_commit(l->dir, OBS_PIN_LINK, name, l->generation, e);
		if (r == 0)
			r = obs_pin_commit(l->dir, OBS_PIN_PROG, name, l->generation, e);
		if (r < 0)
			return r;
	}
	obs_pin_sweep(l->dir, OBS_PIN_LINK, is_ours, s);
	obs_pin_sweep(l->dir, OBS_PIN_PROG, is_ours, s);
	obs_pin_sweep(l->dir, NULL, is_our_map, s);
	wipe_marks(l);
	return 0;
}

/* ---- life --------------------------------------------------------------------------------------------------- */

static int open_skeleton(struct obs_load *l, const struct observe_config *cfg, struct err *e)
{
	last_complaint[0] = '\0';
	l->skel = fate_bpf__open();
	if (!l->skel)
		return refused(e, -errno, "open the kernel half");
	return 0;
}

static int adopt_or_clear(struct obs_load *l, const struct observe_config *cfg, struct err *e)
{
	uint32_t layout = obs_pin_layout(l->dir);
	int r;

	l->generation = 1;
	if (layout == FATE_LAYOUT_VERSION && adopt_all(l) == 0)
		return 0;
	/* Maps adopted by half cannot be given back: start over with a fresh skeleton. */
	fate_bpf__destroy(TAKE(l->skel));
	r = open_skeleton(l, cfg, e);
	if (r < 0)
		return r;
	/* Another version's: what its entries hold is read from where it is put (obs_old.c). Ours that does not fit together
	 * cannot be trusted. */
	if (layout && layout != FATE_LAYOUT_VERSION) {
		r = obs_pin_set_aside(l->dir, layout, e);
		if (r < 0)
			return r;
		l->layout_replaced = layout;
	}
	obs_pin_clear(l->dir);
	l->generation = 1;
	l->taken_over = false;
	return 0;
}

static int load_all(struct obs_load *l, const struct observe_config *cfg, struct err *e)
{
	int r = read_features(cfg, &l->features, e);

	if (r < 0)
		return r;
	r = obs_pin_open(l->dir, &l->dir_fd, e);
	if (r < 0)
		return r;
	r = open_skeleton(l, cfg, e);
	if (r < 0)
		return r;
	r = adopt_or_clear(l, cfg, e);
	if (r < 0)
		return r;
	choose_programs(l, cfg);
	r = size_maps(l);
	if (r < 0)
		return err_errno(e, r, "size the kernel half's maps");
	last_complaint[0] = '\0';
	r = fate_bpf__load(l->skel);
	if (r < 0)
		return refused(e, r, "load the kernel half");
	r = pin_maps(l, e);
	if (r < 0)
		return r;
	r = issue_generation(l, e);
	if (r < 0)
		return r;
	r = attach_programs(l, e);
	if (r < 0)
		return r;
	l->env_fd = bpf_map__fd(l->skel->maps.fate_env);
	l->watch_fd = bpf_map__fd(l->skel->maps.fate_watch);
	l->senders_fd = bpf_map__fd(l->skel->maps.fate_senders);
	l->ring_fd = bpf_map__fd(l->skel->maps.fate_ring);
	l->count_fd = bpf_map__fd(l->skel->maps.fate_count);
	l->live_fd = bpf_link__fd(l->skel->links.fate_live);
	l->senders_size = bpf_map__value_size(l->skel->maps.fate_senders);
	return activate(l, cfg, e);
}

static uint64_t missed_runs(const struct bpf_program *p)
{
	struct bpf_prog_info info = {};
	__u32 len = sizeof(info);

	return bpf_obj_get_info_by_fd(bpf_program__fd(p), &info, &len) < 0 ? 0 : info.recursion_misses;
}

uint64_t obs_load_missed(const struct obs_load *l)
{
	return missed_runs(l->skel->progs.fate_exit) + missed_runs(l->skel->progs.fate_fork);
}

int obs_load_map_fd(const struct obs_load *l, const char *name)
{
	int fd = bpf_object__find_map_fd_by_name(l->skel->obj, name);

	return fd < 0 ? -ENOENT : fd;
}

int obs_load_new(const struct observe_config *cfg, struct obs_load **ret, struct err *e)
{
	struct obs_load *l = XNEW(struct obs_load);
	int r;

	assert(cfg); assert(ret);
	libbpf_set_print(on_libbpf);
	l->dir = xstrdup(cfg->bpf_dir ? cfg->bpf_dir : FATE_DEFAULT_BPF_DIR);
	l->dir_fd = -EBADF;
	l->ring_bytes = ring_size(cfg->ring_bytes);
	l->max_environments = cfg->max_environments ? cfg->max_environments : OBSERVE_ENVIRONMENTS_DEFAULT;
	r = load_all(l, cfg, e);
	if (r < 0) {
		/* Without the lock the pins are somebody else's; with a predecessor's maps they are worth keeping. */
		if (l->taken_over) {
			obs_pin_abandon(l->dir, OBS_PIN_LINK, l->generation);
			obs_pin_abandon(l->dir, OBS_PIN_PROG, l->generation);
			obs_pin_abandon(l->dir, NULL, l->generation);
		}
		obs_load_free(l, l->dir_fd >= 0 && !l->taken_over);
		return r;
	}
	*ret = l;
	return 0;
}

struct obs_load *obs_load_free(struct obs_load *l, bool unpin)
{
	if (!l)
		return NULL;
	if (unpin)
		obs_pin_remove(l->dir);
	fate_bpf__destroy(l->skel);
	closep(&l->dir_fd);
	free(l->dir);
	free(l);
	return NULL;
}
