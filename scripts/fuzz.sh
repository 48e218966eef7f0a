#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs the fuzz targets of BUILD/fuzz, each from its seeds in tests/fuzz/corpus/NAME, and prints "ok fuzz_NAME", or "not ok
# fuzz_NAME - why" and leaves the input in BUILD/fuzz/crash/: BUILD/fuzz/fuzz_NAME FILE plays it again.
#
#   BUILD=build        FUZZ_RUNS=N   executions of each; unset: what takes about 20 s
#   FUZZ_SEED=1        one seed, one course; 0 = a new one every time
#   FUZZ_TARGETS="…"   only these
set -uo pipefail
cd "$(dirname "$0")/.."
build=${BUILD:-build}
crash=$build/fuzz/crash
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$crash"

# About 20 s each on a quiet processor.
runs_of() {
	case $1 in
	ring) echo 4000000 ;;
	func) echo 200000 ;;
	json | wire) echo 200000 ;;
	row) echo 80000 ;;
	*) echo 100000 ;;
	esac
}

failed=0 found=0
for source in tests/fuzz/fuzz_*.c; do
	name=$(basename "$source" .c)
	name=${name#fuzz_}
	[ -z "${FUZZ_TARGETS:-}" ] || [[ " $FUZZ_TARGETS " == *" $name "* ]] || continue
	found=1
	log=$scratch/$name.log
	mkdir "$scratch/$name"	# what is found on the way goes here, not to the seeds
	if "$build/fuzz/fuzz_$name" -runs="${FUZZ_RUNS:-$(runs_of "$name")}" -seed="${FUZZ_SEED:-1}" -timeout=20 \
		-rss_limit_mb=2048 -artifact_prefix="$crash/$name-" "$scratch/$name" "tests/fuzz/corpus/$name" >"$log" 2>&1; then
		echo "ok fuzz_$name"
		continue
	fi
	failed=1
	grep -vE '^#[0-9]+[[:space:]]|^(INFO|MS|0x|NOTE)' "$log" | head -n 40
	why=$(grep -m1 -E 'runtime error:|ERROR: |Assertion|\.[ch]:[0-9]+: ' "$log")
	input=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
	echo "not ok fuzz_$name - ${why:-exit status without a word}; input: ${input:-none}"
done
[ $found -eq 1 ] || echo "not ok fuzz - no such target: ${FUZZ_TARGETS:-}"
[ $found -eq 1 ] && [ $failed -eq 0 ]
