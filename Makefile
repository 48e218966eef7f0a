# SPDX-License-Identifier: Apache-2.0
# fated: one non-recursive Makefile; build/ mirrors the tree.
#
#   make            build/fated, build/fatectl          make V=1       show the commands
#   make SAN=1      the same with ASan and UBSan, in build/san
#   make CC=clang   the same with clang, in build/clang
#   make VMLINUX=min  the BPF half from the hand-kept CO-RE header instead of this machine's BTF, in build/min
#   sudo make demo  install what is missing, build, play the main scenario (KEEP=1 leaves the daemon up)
#   sudo make test  install what is missing, build, run every test
#   make check      unit tests, contract tests, golden files, tidy: no root needed
#   make sim SEEDS=1000   the engine against simulated ports
#   make fuzz FUZZ_RUNS=100000   the fuzz targets (clang's libFuzzer), each so often; without a number about 20 s each
#   sudo make truth RUNS=1000   every way to end, so often, in both observers: how often is each member of the record right?
#   sudo make kill9 ROUNDS=1000 EVENTS=10000   SIGKILL of the daemon, so often, with so many events open
#   sudo make bench, sudo make vm, make lint, make compile_commands.json, sudo make install, sudo make uninstall

MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:
.SECONDARY:
.DEFAULT_GOAL := all

Q := $(if $(V),,@)
say = $(if $(V),@:,@printf '  %-8s %s\n' $(1) $(2))

ifeq ($(origin CC),default)
CC := gcc
endif
CLANG ?= clang
BPFTOOL ?= $(firstword $(wildcard /usr/sbin/bpftool) bpftool)
PYTHON ?= python3
SEEDS ?= 200

variant := $(strip $(if $(SAN),san) $(if $(findstring clang,$(CC)),clang) $(if $(filter min,$(VMLINUX)),min))
empty :=
space := $(empty) $(empty)
B ?= build$(if $(variant),/$(subst $(space),-,$(variant)))

# ---- flags -------------------------------------------------------------------------------------------------
PKGS := libsystemd sqlite3 libcurl libmicrohttpd libcjson libbpf
CPPFLAGS += -D_GNU_SOURCE -Iinclude -Iuser -I$(B)/bpf
CFLAGS ?= -O2 -g
comma := ,
WARN := -Wall -Wextra -Werror -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wno-unused-parameter
# snprintf into a bounded buffer is meant to cut; gcc's guess at sizes is noise. (clang has no such warning.)
WARN += $(if $(findstring clang,$(CC)),,-Wno-format-truncation)
ALL_CFLAGS = -std=gnu17 $(WARN) -fno-strict-aliasing -fstack-protector-strong $(CFLAGS) $(if $(SAN),-fsanitize=address$(comma)undefined -fno-omit-frame-pointer -fno-sanitize-recover=undefined)
ALL_CPPFLAGS = $(CPPFLAGS) $(if $(SAN),,-D_FORTIFY_SOURCE=2)
LDLIBS := $(shell pkg-config --libs $(PKGS) 2>/dev/null) -lpthread
ALL_LDFLAGS = $(LDFLAGS) $(if $(SAN),-fsanitize=address$(comma)undefined) -Wl,-z,relro,-z,now

ARCH := $(shell uname -m | sed 's/x86_64/x86/;s/aarch64/arm64/')
BPF_CFLAGS := -g -O2 -target bpf -D__TARGET_ARCH_$(ARCH) -mcpu=v3 -Wall -Wextra -Werror -Wno-unused-parameter

# ---- what there is -----------------------------------------------------------------------------------------
lib_dirs := base model engine sys net store cgroup launch observe dest source bus api ops
lib_src := $(wildcard $(addprefix user/,$(addsuffix /*.c,$(lib_dirs))))
daemon_src := $(wildcard user/daemon/*.c)
ctl_src := $(wildcard user/ctl/*.c)
unit_src := $(wildcard tests/unit/test_*.c tests/contract/test_*.c tests/golden/test_*.c tests/fault/test_*.c)
priv_src := $(wildcard tests/bpf/test_*.c tests/integ/test_*.c)
sim_src := $(wildcard tests/sim/*.c)
fuzz_src := $(wildcard tests/fuzz/fuzz_*.c)
bench_src := $(filter-out %.bpf.c,$(wildcard tests/bench/*.c))
prog_src := $(wildcard tests/lib/prog_*.c)
testlib_src := $(filter-out $(prog_src),$(wildcard tests/lib/*.c))
bpf_src := $(wildcard bpf/*.bpf.c)

obj = $(patsubst %.c,$(B)/%.o,$(1))
skels := $(patsubst bpf/%.bpf.c,$(B)/bpf/%.skel.h,$(bpf_src))
bench_skels := $(patsubst tests/bench/%.bpf.c,$(B)/bpf/%.skel.h,$(wildcard tests/bench/*.bpf.c))
lib := $(B)/libfated.a
testlib := $(if $(testlib_src),$(B)/libtest.a)
unit_bin := $(patsubst %.c,$(B)/%,$(unit_src))
priv_bin := $(patsubst %.c,$(B)/%,$(priv_src))
prog_bin := $(patsubst %.c,$(B)/%,$(prog_src))
fuzz_bin := $(patsubst tests/fuzz/%.c,$(B)/fuzz/%,$(fuzz_src))
programs := $(if $(wildcard user/daemon/main.c),$(B)/fated) $(if $(wildcard user/ctl/main.c),$(B)/fatectl)

.PHONY: all check test test-privileged demo bench truth kill9 sim fuzz fuzz-targets vm tidy lint install uninstall clean deps progs units
all: $(programs)
units: $(unit_bin) $(priv_bin) $(prog_bin) $(filter %/fatectl,$(programs))
progs: $(prog_bin)

# ---- BPF half ----------------------------------------------------------------------------------------------
# The types come from this machine's BTF when it has any, else from the hand-kept bpf/vmlinux_min.h.
BTF ?= /sys/kernel/btf/vmlinux
use_min := $(or $(filter min,$(VMLINUX)),$(if $(wildcard $(BTF)),,min))
$(B)/bpf/vmlinux/vmlinux.h: $(if $(use_min),bpf/vmlinux_min.h)
	$(call say,VMLINUX,$(if $(use_min),bpf/vmlinux_min.h,$(BTF)))
	$(Q)mkdir -p $(@D)
	$(Q)$(if $(use_min),cp bpf/vmlinux_min.h $@,$(BPFTOOL) btf dump file $(BTF) format c >$@)

define compile_bpf
$(call say,BPF,$<)
$(Q)$(CLANG) $(BPF_CFLAGS) -Iinclude -Ibpf -I$(B)/bpf/vmlinux -c $< -o $@.tmp
$(Q)$(BPFTOOL) gen object $@ $@.tmp && rm -f $@.tmp
endef
$(B)/bpf/%.bpf.o: bpf/%.bpf.c $(wildcard bpf/*.bpf.h) include/fate_event.h $(B)/bpf/vmlinux/vmlinux.h
	$(compile_bpf)
$(B)/bpf/%.bpf.o: tests/bench/%.bpf.c tests/bench/bench_ring.h $(B)/bpf/vmlinux/vmlinux.h
	$(compile_bpf)

$(B)/bpf/%.skel.h: $(B)/bpf/%.bpf.o
	$(call say,SKEL,$@)
	$(Q)$(BPFTOOL) gen skeleton $< name $(subst .,_,$*)_bpf >$@

# ---- C -----------------------------------------------------------------------------------------------------
$(B)/%.o: %.c Makefile
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -Itests -MMD -MP -c $< -o $@

$(call obj,$(wildcard user/observe/*.c) $(wildcard tests/bpf/*.c)): | $(skels)
$(call obj,$(bench_src)): | $(bench_skels)

$(lib): $(call obj,$(lib_src))
	$(call say,AR,$@)
	$(Q)rm -f $@ && ar rcs $@ $^
$(B)/libtest.a: $(call obj,$(testlib_src))
	$(call say,AR,$@)
	$(Q)rm -f $@ && ar rcs $@ $^

link = $(call say,LINK,$@)
$(B)/fated: $(call obj,$(daemon_src)) $(lib)
	$(link)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(LDLIBS)
$(B)/fatectl: $(call obj,$(ctl_src)) $(lib)
	$(link)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(LDLIBS)
# The test programs that die on purpose: plain C, no sanitizer, static, so that their deaths are their own.
$(prog_bin): $(B)/%: %.c Makefile
	$(call say,PROG,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -std=gnu17 -D_GNU_SOURCE $(WARN) -O1 -g -static -pthread -o $@ $<
# What the benchmark compares the daemon with: linked to nothing it does not use.
bench_prog_bin := $(patsubst %.c,$(B)/%,$(wildcard tests/bench/bare/prog_*.c))
$(bench_prog_bin): $(B)/%: %.c Makefile
	$(call say,PROG,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $< -lsqlite3
$(unit_bin) $(priv_bin): $(B)/%: $(B)/%.o $(testlib) $(lib)
	$(link)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(LDLIBS)
# Only this one's allocations go through functions of its own, that fail when it wants them to.
wrap_alloc = -Wl$(subst $(space),,$(patsubst %,$(comma)--wrap=%,malloc calloc realloc strdup strndup))
$(B)/tests/fault/test_alloc_fault: LDFLAGS += $(wrap_alloc)
$(B)/sim: $(call obj,$(sim_src)) $(call obj,$(filter user/base/% user/model/% user/engine/% user/store/%,$(lib_src)))
	$(link)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(LDLIBS)
$(B)/bench: $(call obj,$(bench_src)) $(lib)
	$(link)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(LDLIBS) -lm

# The fuzz targets, with objects of their own: clang's coverage in all that a target may reach. main() is libFuzzer's.
fuzz_san := -fsanitize=address,undefined,float-cast-overflow -fno-sanitize-recover=all -fno-omit-frame-pointer
fuzz_flags = $(CPPFLAGS) -Itests -std=gnu17 $(filter-out -Wno-format-truncation,$(WARN)) -fno-strict-aliasing -O1 -g $(fuzz_san)
fuzz_obj = $(patsubst %.c,$(B)/fuzz/obj/%.o,$(1))
fuzz_lib := $(filter-out user/ctl/main.c,$(ctl_src)) user/daemon/config.c user/observe/obs_decode.c \
	$(filter $(addprefix user/,$(addsuffix /%,base model engine net store api)),$(lib_src))
$(B)/fuzz/obj/%.o: %.c Makefile
	$(call say,FUZZ-CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(fuzz_flags) -fsanitize=fuzzer-no-link -MMD -MP -c $< -o $@
$(B)/fuzz/lib.a: $(call fuzz_obj,$(fuzz_lib))
	$(call say,AR,$@)
	$(Q)rm -f $@ && ar rcs $@ $^
$(fuzz_bin): $(B)/fuzz/%: $(B)/fuzz/obj/tests/fuzz/%.o $(B)/fuzz/lib.a
	$(call say,LINK,$@)
	$(Q)$(CLANG) $(fuzz_san) -fsanitize=fuzzer -o $@ $^ $(LDLIBS)

-include $(shell find $(B) -name '*.d' -type f 2>/dev/null)

# ---- what one does with it ---------------------------------------------------------------------------------
deps:
	$(Q)scripts/deps.sh build

demo:
	$(Q)scripts/deps.sh build
	$(Q)$(MAKE) --no-print-directory -s all
	$(Q)KEEP=$(KEEP) BUILD=$(B) scripts/demo.sh

check: units tidy
	$(Q)$(PYTHON) tests/run.py --build $(B) unit

sim: $(B)/sim
	$(Q)$(B)/sim --seeds $(SEEDS) --jobs $$(nproc)

fuzz-targets: $(fuzz_bin)
fuzz:
	$(Q)scripts/deps.sh test
	$(Q)$(MAKE) --no-print-directory fuzz-targets
	$(Q)BUILD=$(B) FUZZ_RUNS=$(FUZZ_RUNS) scripts/fuzz.sh

test:
	$(Q)scripts/deps.sh test
	$(Q)scripts/test.sh

bench:
	$(Q)scripts/deps.sh build bench
	$(Q)$(MAKE) --no-print-directory all $(B)/bench $(bench_prog_bin) progs
	$(Q)scripts/bench.sh $(B)

truth:
	$(Q)scripts/deps.sh build truth
	$(Q)$(MAKE) --no-print-directory all progs
	$(Q)BUILD=$(B) RUNS=$(RUNS) scripts/truth.sh

kill9:
	$(Q)scripts/deps.sh build test
	$(Q)$(MAKE) --no-print-directory all progs
	$(Q)BUILD=$(B) ROUNDS=$(or $(ROUNDS),1000) EVENTS=$(or $(EVENTS),10000) PYTHONPATH=tests/lib PYTHONDONTWRITEBYTECODE=1 \
		$(PYTHON) tests/integ/test_kill9.py

vm:
	$(Q)scripts/deps.sh build test vm
	$(Q)$(MAKE) --no-print-directory all units
	$(Q)scripts/vm.sh $(B)

tidy:
	$(Q)$(PYTHON) tests/tidy/tidy.py

lint:
	$(Q)scripts/deps.sh lint
	$(Q)$(MAKE) --no-print-directory compile_commands.json $(skels)
	$(Q)scripts/lint.sh $(B)

compile_commands.json: Makefile $(lib_src) $(daemon_src) $(ctl_src)
	$(call say,GEN,$@)
	$(Q)$(PYTHON) scripts/compile_commands.py '$(CC) $(ALL_CPPFLAGS) $(filter-out -Wno-format-truncation,$(ALL_CFLAGS)) -Itests' $(lib_src) $(daemon_src) $(ctl_src) $(unit_src) >$@

PREFIX ?= /usr/local
install: all
	install -D -m755 $(B)/fated $(DESTDIR)$(PREFIX)/sbin/fated
	install -D -m755 $(B)/fatectl $(DESTDIR)$(PREFIX)/bin/fatectl
	$(Q)$(B)/fatectl completion bash >$(B)/fatectl.bash && $(B)/fatectl completion zsh >$(B)/_fatectl
	install -D -m644 $(B)/fatectl.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/fatectl
	install -D -m644 $(B)/_fatectl $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_fatectl
	$(Q)sed 's,@PREFIX@,$(PREFIX),' scripts/fated.service >$(B)/fated.service && $(B)/fated --sample-config >$(B)/fated.json.sample
	install -D -m644 $(B)/fated.service $(DESTDIR)$(PREFIX)/lib/systemd/system/fated.service
	install -D -m644 scripts/fated-functions.service $(DESTDIR)$(PREFIX)/lib/systemd/system/fated-functions.service
	install -D -m644 $(B)/fated.json.sample $(DESTDIR)/etc/fated/fated.json.sample
	install -d -m755 $(DESTDIR)/etc/fated/functions.d
	$(Q)[ -n "$(DESTDIR)" ] || [ ! -d /run/systemd/system ] || systemctl daemon-reload

uninstall:
	$(Q)scripts/uninstall.sh '$(PREFIX)' '$(DESTDIR)'

clean:
	rm -rf build compile_commands.json
