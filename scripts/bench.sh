#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# bench.sh BUILD [bench's options: --only observe,start,sync,keep,accept,exit,scale,recover,load,fair --scale 0.2]
#
# Prints one line a figure, ours against the barest thing that does the same, as ratios from one run, and writes them
# to BUILD/bench.json. The daemon runs on directories of its own below the build, on the disk where its state
# would be; its groups and those of the bare side are siblings with the same controllers. Leaves nothing behind.
set -euo pipefail
build=$(realpath "${1:?bench.sh BUILD}")
shift
[ "$(id -u)" -eq 0 ] || { echo "bench.sh: needs root (cgroups, BPF)" >&2; exit 1; }

mount=$(awk '{ for (i = 7; i <= NF; i++) if ($i == "-" && $(i + 1) == "cgroup2") { print $5; exit } }' /proc/self/mountinfo)
[ -n "$mount" ] || { echo "bench.sh: no cgroup2 is mounted" >&2; exit 1; }
dir=$(mktemp -d "$build/bench.XXXXXX")
group=$mount/$(basename "$dir")

cleanup() {
	status=$?
	[ $status -eq 0 ] || tail -n 20 "$dir/state/daemon.log" >&2 || true
	if [ -d "$group" ]; then
		[ ! -w "$group/cgroup.kill" ] || echo 1 >"$group/cgroup.kill" || true
		timeout 10 bash -c "until grep -q 'populated 0' '$group/cgroup.events'; do sleep 0.05; done" || true
		find "$group" -depth -type d -exec rmdir {} +
	fi
	awk -v d="$dir/" 'index($5, d) == 1 { print $5 }' /proc/self/mountinfo | while read -r m; do umount "$m"; done
	rm -rf "$dir"
	exit $status
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# No name with .d at its end: make takes those below the build for dependencies.
mkdir -p "$dir"/{state,run,log,functions,bpf} "$group/bare"
for d in "$mount" "$group" "$group/bare"; do
	for c in memory pids cpu; do
		! grep -qw $c "$d/cgroup.controllers" || echo "+$c" >"$d/cgroup.subtree_control" 2>/dev/null || true
	done
done

# define NAME ARGUMENTS MORE-MEMBERS
define() {
	echo "{\"FunctionName\":\"$1\",\"Command\":[\"$build/tests/lib/prog_bench\",$2],
		\"EventInvokeConfig\":{\"MaximumRetryAttempts\":0},$3}" >"$dir/functions/$1.json"
}
define sync '"answer"' '"Timeout":10'
define async '"answer"' '"Timeout":10'
define tree '"tree","2"' '"Timeout":0.04'
define parked '"tree","0"' '"Timeout":900,"ReservedConcurrentExecutions":1'

# The benchmark starts and stops the daemon itself, as its parts need it.
"$build/bench" --socket "$dir/run/fated.sock" --daemon-cgroup "$group/daemon" --cgroup "$group/bare" --dir "$dir/state" \
	--bpf "$dir/bpf" --prog "$build/tests/lib/prog_bench" --bare-daemon "$build/tests/bench/bare/prog_bare_daemon" \
	--json "$build/bench.json" "$@" -- \
	"$build/fated" "--StateDirectory=$dir/state" "--RunDirectory=$dir/run" "--LogDirectory=$dir/log" --LogLevel=warn \
	"--FunctionsDirectory=$dir/functions" "--BpfDirectory=$dir/bpf" "--CgroupRoot=$group/daemon" --MaxQueuedEvents=1000000
