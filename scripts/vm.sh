#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# vm.sh BUILD [SERIES...]: the tests that want a whole machine, in a Debian guest per kernel series
# (default $SERIES, or 6.12; `make vm SERIES="6.1 7.3"`).
#
# The guest has what a work machine may lack: systemd as pid 1, unified cgroup v2 with all controllers, and OOM kills
# that are nobody's loss. Kernels and the root image are made once and kept (build/vm, or $VM_CACHE). What is run can
# be chosen with VM_TESTS="GROUP|PROGRAM ..."; closes with one line "N passed, N failed".
set -euo pipefail
cd "$(dirname "$(realpath "$0")")/.."
build=${1:?vm.sh BUILD [SERIES...]}
shift
[ $# -gt 0 ] || set -- ${SERIES:-6.12}
cache=${VM_CACHE:-build/vm}

if [ "$(id -u)" -ne 0 ]; then
	echo "vm.sh: making the guest's disk needs root" >&2
	exit 1
fi

# What the programs are linked to, what the tests call, and the sanitizers' run time for SAN=1.
packages=libsystemd0,libsqlite3-0,libcurl4,libmicrohttpd12,libcjson1,libasan8,libubsan1
packages+=,python3,bpftool,jq,sqlite3
scripts/vm/kernels.sh "$cache/kernels" "$@"
scripts/vm/root.sh "$cache/root.img" bookworm "$packages"

exec python3 scripts/vm/job.py --cache "$cache" --build "$build" "$@" -- \
	${VM_TESTS:-tests/vm/test_guest.py tests/vm/test_unit.py tests/vm/test_oom_scope.py privileged tests/integ/test_fault_matrix.py}
