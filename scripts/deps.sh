#!/bin/bash
# Installs what fated needs on Debian 12 and is not there yet. Idempotent; prints nothing when nothing is to do.
#
#   deps.sh build     what `make` and `make demo` need (default)
#   deps.sh test      the same, and what `make test` needs, with its guest
#   deps.sh lint      clang-tidy, cppcheck, clang-format, bear-like tools
#   deps.sh vm        what `make vm` needs (qemu, mmdebstrap)
#   deps.sh bench     what `make bench` needs beyond build
#   deps.sh truth     what `make truth` needs beyond build
set -euo pipefail

build="gcc make pkg-config clang llvm libbpf-dev libelf-dev zlib1g-dev bpftool libsystemd-dev libsqlite3-dev
  libcurl4-openssl-dev libmicrohttpd-dev libcjson-dev python3-minimal procps jq"
# libbpf-tools has exitsnoop, whose answers the fault matrix prints beside ours.
truth="python3 libbpf-tools"
test="$truth sqlite3 libclang-rt-14-dev valgrind zsh"
lint="clang-tidy clang-format cppcheck"
vm="qemu-system-x86 qemu-utils mmdebstrap e2fsprogs busybox-static cpio kmod xz-utils python3"
bench=""

want=""
for group in "${@:-build}"; do
	case $group in
	build) want+=" $build" ;;
	test) want+=" $build $test $vm" ;;
	lint) want+=" $build $lint" ;;
	vm) want+=" $build $vm" ;;
	bench) want+=" $build $bench" ;;
	truth) want+=" $build $truth" ;;
	*) echo "deps.sh: unknown group '$group' (build, test, lint, vm, bench, truth)" >&2; exit 2 ;;
	esac
done

missing=()
for p in $(printf '%s\n' $want | sort -u); do
	[ "$(dpkg-query -W -f='${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || missing+=("$p")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" -ne 0 ]; then
	echo "deps.sh: missing packages, run as root to install them: ${missing[*]}" >&2
	exit 1
fi
if ! command -v apt-get >/dev/null; then
	echo "deps.sh: this is not Debian; install the equivalents of: ${missing[*]}" >&2
	exit 1
fi
echo "installing: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { apt-get -qq update && apt-get -qq install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
	cat "$log" >&2
	exit 1
fi
