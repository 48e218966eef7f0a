#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What `make test` runs: every build, then every test, added up into one closing line "N passed, N failed, N skipped".
#
#   SEEDS=200     seeds of the simulation              ROUNDS=100  rounds of the crash test
#   FUZZ_RUNS=10000  executions of each fuzz target
#   QUICK=1       without the sanitizer's privileged and integration runs
#
# A build counts as a test: its log is shown only when it fails. Needs root (control groups, eBPF); `make check` does not.
set -uo pipefail
cd "$(dirname "$0")/.."
make="make --no-print-directory -j$(nproc)"
run="python3 tests/run.py --quiet"
seeds=${SEEDS:-200}
export FUZZ_RUNS=${FUZZ_RUNS:-10000}

if [ "$(id -u)" -ne 0 ]; then
	echo "test.sh: needs root for control groups and eBPF (sudo make test); make check runs what needs no root" >&2
	exit 1
fi

scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
sum=$scratch/sum
echo "0 0 0" >"$sum"
began=$SECONDS

head() { printf '\n==== %s (%d:%02d)\n' "$1" $(((SECONDS - began) / 60)) $(((SECONDS - began) % 60)); }

count() { # PASSED FAILED SKIPPED
	local p f s
	read -r p f s <"$sum"
	echo $((p + $1)) $((f + $2)) $((s + $3)) >"$sum"
}

# A step that is right or wrong as a whole: NAME COMMAND…
step() {
	local name=$1
	shift
	if "$@" >"$scratch/log" 2>&1; then
		echo "ok $name"
		count 1 0 0
	else
		tail -n 60 "$scratch/log"
		echo "not ok $name - exit status $? of: $*"
		count 0 1 0
		return 1
	fi
}

jobs=$(($(nproc) + 1))	# one of them waits for something, mostly

tests() { # BUILD [--jobs N] GROUP|PROGRAM…
	local build=$1 before
	shift
	before=$(cat "$sum")
	[ $# -gt 0 ] && $run --sum "$sum" --build "$build" "$@"
	if [ "$before" = "$(cat "$sum")" ]; then
		echo "not ok tests of $build - none were found or none ran: $*"
		count 0 1 0
	fi
}

head "builds"
step build_gcc $make all units
step build_clang $make CC=clang all units
step build_sanitized $make SAN=1 all units
step build_without_btf $make VMLINUX=min all units

head "rules of the source tree"
tests build tests/tidy/tidy.py

head "unit, contract, fault and golden tests"
tests build --jobs $jobs unit golden
head "the same with ASan and UBSan"
tests build/san --jobs $jobs unit

head "simulation of the engine, $seeds seeds"
step build_sim $make build/sim && step "sim_${seeds}_seeds" build/sim --seeds "$seeds" --jobs "$(nproc)"

head "fuzz targets, $FUZZ_RUNS executions each"
step build_fuzz $make fuzz-targets && tests build scripts/fuzz.sh

head "kernel half, control groups, launcher"
tests build privileged
head "the kernel half built without BTF, and a daemon with it"
# shellcheck disable=SC2046
tests build/min $(find build/min/tests/bpf -name 'test_*' -type f -perm -u+x | sort)
MATRIX_TABLE=no MATRIX_RUNS=5 tests build/min tests/integ/test_fault_matrix.py
if [ -z "${QUICK:-}" ]; then
	head "kernel half, control groups, launcher with ASan and UBSan"
	tests build/san privileged
fi

# A kernel of its own with every controller: limits, OOM kills, systemd. No network is a failure here, not a skip.
head "a guest: limits, OOM kills, the daemon as a unit"
before=$(cat "$sum")
scripts/vm.sh build --short --quiet --sum "$sum" --timeout 900 6.12
if [ "$before" = "$(cat "$sum")" ]; then
	echo "not ok guest - nothing ran"
	count 0 1 0
fi

head "the real daemon"
tests build --jobs $jobs integ
head "the real daemon without eBPF"
MATRIX_OBSERVER=fallback MATRIX_TABLE=no tests build tests/integ/test_fault_matrix.py
if [ -z "${QUICK:-}" ]; then
	head "the real daemon with ASan and UBSan"
	MATRIX_TABLE=no MATRIX_RUNS=5 ROUNDS=${SAN_ROUNDS:-10} tests build/san --jobs $jobs integ
fi

read -r passed failed skipped <"$sum"
printf '\n%d:%02d\n%d passed, %d failed, %d skipped\n' $(((SECONDS - began) / 60)) $(((SECONDS - began) % 60)) \
	"$passed" "$failed" "$skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
