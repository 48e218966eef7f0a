#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# vm.sh BUILD [--short] [job.py's options: --quiet --sum FILE --timeout S --guests N] [SERIES...]
#
# The tests that want a whole machine, in a Debian guest per kernel series (default $SERIES, or the oldest, the usual and
# the newest there are, and 5.10, on which the daemon must refuse to start; `make vm SERIES="6.1 7.3"`).
#
# The guest has what a work machine may lack: systemd as pid 1, unified cgroup v2 with all controllers, and OOM kills
# that are nobody's loss. Kernels and the root image are made once and kept (build/vm, or $VM_CACHE). --short is the
# selection `make test` runs. What is run can be chosen with VM_TESTS="GROUP|PROGRAM LINE; ..." (see tests/run.py).
# Ends with a table, tests × kernels, and one line "N passed, N failed".
set -euo pipefail
cd "$(dirname "$(realpath "$0")")/.."
build=${1:?vm.sh BUILD [SERIES...]}
shift
cache=${VM_CACHE:-build/vm}
short=
options=()
series=()
while [ $# -gt 0 ]; do
	case $1 in
	--short) short=1 ;;
	--quiet) options+=("$1") ;;
	--*) options+=("$1" "$2"); shift ;;
	*) series+=("$1") ;;
	esac
	shift
done
# shellcheck disable=SC2206
[ ${#series[@]} -gt 0 ] || series=(${SERIES:-6.1 6.12 7.3 5.10})

if [ "$(id -u)" -ne 0 ]; then
	echo "vm.sh: making the guest's disk needs root" >&2
	exit 1
fi

# Under emulation few runs of a way take long enough.
matrix="MATRIX_RUNS=${MATRIX_RUNS:-2} tests/integ/test_fault_matrix.py"
ways=
what=(tests/vm/test_guest.py tests/vm/test_unit.py tests/vm/test_restart.py)
if [ -n "$short" ]; then
	# What no machine without controllers can show.
	ways=$(PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=tests/lib:tests/integ python3 -c 'if 1:
		try: from ways import CONTROLLER_WAYS
		except ImportError: from test_fault_matrix import CONTROLLER_WAYS
		print(*[w.name for w in CONTROLLER_WAYS])')
	[ -n "$ways" ] || { echo "vm.sh: the fault matrix has no ways that need controllers" >&2; exit 1; }
	what+=("$build/tests/bpf/test_oom" "OOM_SCOPE=short tests/vm/test_oom_scope.py" "MATRIX_TABLE=no $matrix $ways")
else
	what+=(tests/vm/test_oom_scope.py privileged "$matrix")
fi
# A daemon that can do without the kernel half has to be as right without it.
if [[ $("$build/fated" --sample-config) == *'"Observer"'* ]]; then
	what+=("MATRIX_OBSERVER=fallback MATRIX_TABLE=no $matrix${ways:+ $ways}")
fi
[ -z "${VM_TESTS:-}" ] || IFS=';' read -ra what <<<"$VM_TESTS"

# What the programs are linked to, what the tests call, and the sanitizers' run time for SAN=1. What cannot be made is
# the guest's failure below, one for each kernel that is not there; the reason is what these say.
packages=libsystemd0,libsqlite3-0,libcurl4,libmicrohttpd12,libcjson1,libasan8,libubsan1
packages+=,python3,bpftool,jq,sqlite3
for s in "${series[@]}"; do
	scripts/vm/kernels.sh "$cache/kernels" "$s" || echo "vm.sh: no kernel $s" >&2
done
scripts/vm/root.sh "$cache/root.img" bookworm "$packages" || echo "vm.sh: no root image" >&2

exec python3 scripts/vm/job.py --cache "$cache" --build "$build" "${options[@]}" "${series[@]}" -- "${what[@]}"
