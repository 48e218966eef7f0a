#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# lint.sh BUILD: clang-tidy and cppcheck over the daemon's and fatectl's sources (compile_commands.json). Any finding fails,
# and so does a tool that is not there, crashes or could not read a file: no output is no proof.
set -uo pipefail
cd "$(dirname "$0")/.."
build=${1:-build}
status=0
mapfile -t files < <(find user -name '*.c' | sort)
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# gcc's own -Wno-… flags are in the database; clang must not stop at the first one it does not know.
echo "clang-tidy, ${#files[@]} files"
if ! printf '%s\n' "${files[@]}" |
	xargs -P "$(nproc)" -n 4 clang-tidy --quiet -p . --extra-arg=-Wno-unknown-warning-option >"$log" 2>&1; then
	grep -E '(warning|error):' "$log" | sort -u | grep . || cat "$log"
	status=1
fi

echo "cppcheck"
cppcheck --quiet --enable=warning,portability --inline-suppr --std=c11 --error-exitcode=1 -j "$(nproc)" \
	-Iuser -Iinclude -I"$build/bpf" --library=posix \
	--suppress=missingIncludeSystem --suppress=unknownMacro --suppress=nullPointerRedundantCheck \
	-D_GNU_SOURCE -D__x86_64__=1 -D'cJSON_ArrayForEach(e,a)=for(e=(a)?(a)->child:0;e;e=e->next)' \
	-D'CLEAN(x)=' -D'DEFINE_FREEP(a,b)=' user || status=1
[ $status -eq 0 ] && echo "no findings"
exit $status
