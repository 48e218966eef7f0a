#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The main job as a timeline, with real processes: a function hangs, the kernel's deadline fires, its whole tree is killed,
# the record makes another function invoke it again, the second run succeeds; then three more deaths.
#
#   sudo make demo          plays it and leaves nothing behind
#   sudo make demo KEEP=1   leaves the daemon up and says how to use and how to stop it
#
# All state is private: a directory of its own, a bpffs of its own, a control group of its own. Another fated on this host
# is neither seen nor touched. It speaks to the daemon by fatectl alone. $BUILD is where the programs are (build).
set -euo pipefail
cd "$(dirname "$0")/.."
build=$(realpath "${BUILD:-build}")
fated=$build/fated fatectl=$build/fatectl
keep=${KEEP:-}

if [ -t 1 ]; then
	bold=$'\e[1m' dim=$'\e[2m' red=$'\e[31m' green=$'\e[32m' blue=$'\e[36m' plain=$'\e[0m'
else
	bold='' dim='' red='' green='' blue='' plain=''
fi
die() { echo "${red}demo: $*${plain}" >&2; exit 1; }

[ "$(id -u)" -eq 0 ] || die "needs root for control groups and eBPF: sudo make demo"
[ -x "$fated" ] && [ -x "$fatectl" ] || die "$fated and fatectl are not built: make"
for tool in jq bpftool; do
	PATH=$PATH:/usr/sbin command -v $tool >/dev/null || die "$tool is missing: scripts/deps.sh build"
done
PATH=$PATH:/usr/sbin

# ---- a private place ---------------------------------------------------------------------------------------------
cgroup2=$(awk '{ for (i = 7; i < NF; i++) if ($i == "-" && $(i + 1) == "cgroup2") { print $5; exit } }' /proc/self/mountinfo)
[ -n "$cgroup2" ] || die "no cgroup2 file system is mounted"
dir=$(mktemp -d "${TMPDIR:-/tmp}/fated-demo.XXXXXX")
chmod 755 "$dir"
mkdir "$dir"/{state,run,log,functions.d,bpf,bin}
group=$cgroup2/$(basename "$dir")
export FATED_SOCKET=$dir/run/fated.sock
daemon=

# Stops the daemon and removes what it made. Written to a file so that KEEP=1 can leave it behind; it names what it finds.
cat >"$dir/stop" <<END
#!/bin/bash
# Stops the daemon of this demonstration and removes everything it made.
dir=$dir group=$group fated=$fated
END
cat >>"$dir/stop" <<'END'
left=()
pid=$(cat "$dir/pid" 2>/dev/null)
# The pid may have been given away since: it must still be our program on our directory.
ours() { [ -n "$pid" ] && cat "/proc/$pid/cmdline" 2>/dev/null | tr '\0' ' ' | grep -qF -- "--RunDirectory=$dir/run "; }
if ours; then
	kill -TERM "$pid"
	for _ in $(seq 1500); do ours || break; sleep 0.02; done
	ours && { left+=("process $pid did not stop"); kill -KILL "$pid"; }
fi
if [ -d "$group" ]; then
	while read -r p; do left+=("process $p"); done < <(find "$group" -name cgroup.procs -exec cat {} + 2>/dev/null)
	while read -r d; do left+=("control group $d"); done < <(find "$group" -mindepth 2 -type d)
	[ ${#left[@]} -gt 0 ] && echo 1 >"$group/cgroup.kill" 2>/dev/null
	for _ in $(seq 500); do
		find "$group" -depth -type d -exec rmdir {} \; 2>/dev/null
		[ -d "$group" ] || break
		sleep 0.02
	done
	[ -d "$group" ] && left+=("control group $group")
fi
while read -r f; do left+=("pin $f"); done < <(find "$dir/bpf" -type f ! -name maps.debug ! -name progs.debug 2>/dev/null)
while read -r m; do umount "$m" || left+=("mount $m"); done < <(awk -v d="$dir/" 'index($5, d) == 1 { print $5 }' /proc/self/mountinfo | tac)
rm -rf --one-file-system "$dir"
[ -e "$dir" ] && left+=("directory $dir")
if [ ${#left[@]} -gt 0 ]; then
	printf 'the daemon left behind (removed now): %s\n' "${left[@]}" >&2
	exit 1
fi
END
chmod 755 "$dir/stop"

finish() {
	local status=$?
	trap - EXIT
	if [ $status -ne 0 ]; then
		echo "${red}demo: failed (status $status)${plain}" >&2
		[ -s "$dir/log/fated.stderr" ] && tail -n 20 "$dir/log/fated.stderr" | sed 's/^/  | /' >&2
	fi
	"$dir/stop" || status=1
	[ -z "$daemon" ] || wait "$daemon" 2>/dev/null || true
	exit $status
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# ---- telling ---------------------------------------------------------------------------------------------------
now() { echo "${EPOCHREALTIME/[.,]/}"; }
began=$(now)
say() {
	local us=$(($(now) - began))
	printf '%s%4d.%02d s%s  %s\n' "$dim" $((us / 1000000)) $((us % 1000000 / 10000)) "$plain" "$*"
}
chapter() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }

# JSON as it is, broken into lines that fit: the outermost members one a line, the inner ones as many as there is room for.
show() {
	jq -r '
		def fill($room): reduce .[] as $m ([];
			if length > 0 and (.[-1] + $m | length) + 2 <= $room and (.[-1] + $m | contains("\n") | not)
			then .[-1] += ", " + $m else . + [$m] end);
		def lay($in; $room):
			tojson as $flat |
			if $room > 0 and ($flat | length) + ($in | length) <= 112 or (type | . != "object" and . != "array") then $flat
			elif type == "object" then
				"{\n\($in)  " + ([to_entries[] | "\(.key | tojson): \(.value | lay($in + "  "; 108 - ($in | length)))"] |
				fill($room) | join(",\n\($in)  ")) + "\n\($in)}"
			else "[" + ([.[] | lay($in; $room)] | join(", ")) + "]" end;
		"           " + lay("           "; 0)' <<<"$1" | sed -E "s/(\"[A-Za-z_]+\"):/$blue\1$plain:/g"
}

# until_true SECONDS WHAT COMMAND…: waits for a condition; its output is left in $got.
until_true() {
	local end=$((SECONDS + $1)) what=$2
	shift 2
	until got=$("$@" 2>/dev/null) && [ -n "$got" ]; do
		[ -z "$daemon" ] || kill -0 "$daemon" 2>/dev/null || die "the daemon has ended"
		[ $SECONDS -lt $end ] || die "waited in vain: $what"
		sleep 0.02
	done
}

accept() { "$fatectl" invoke "$1" --async --data "$2"; }	# prints the request id
record_of() { "$fatectl" record show "$1" --json; }
take() { "$fatectl" queue receive "$1" --max 1 --delete --json | jq -ce '.messages[0].body // empty'; }
fate() { jq -r ".fate.attempts[-1].$2" <<<"$1"; }
member() { jq -r ".$2" <<<"$1"; }

# ---- the functions ---------------------------------------------------------------------------------------------
cat >"$dir/bin/resize" <<'END'
#!/bin/bash
# Makes a picture smaller. Hangs, together with a child, unless it is told that this is a second try.
event=$(cat)
if [ "$(jq -r '.retry // false' <<<"$event")" != true ]; then
	sleep 1000000 &
	wait
fi
jq -c '{resized: .image, width: 320}' <<<"$event"
END
cat >"$dir/bin/reinvoke" <<'END'
#!/bin/bash
# An on-failure destination: gets the record, and after a timeout invokes the function once more.
record=$(cat)
jq -e '.responsePayload.errorMessage | contains("Task timed out")' <<<"$record" >/dev/null || { echo '"not a timeout"'; exit; }
name=$(jq -r '.requestContext.functionArn | split(":")[6]' <<<"$record")
jq -c '.requestPayload + {retry: true}' <<<"$record" | "$FATECTL" invoke "$name" --async --payload - >&2 || exit 1
echo "{\"reinvoked\":\"$name\"}"
END
printf '#!/bin/sh\nexit 3\n' >"$dir/bin/crash"
printf '#!/bin/sh\nexec sleep 1000000\n' >"$dir/bin/victim"
printf '#!/bin/bash\nkill -KILL "$1"\n' >"$dir/bin/grim-reaper"
chmod 755 "$dir"/bin/*
printf 'int main(void) { return *(volatile int *)8; }\n' | gcc -x c -o "$dir/bin/segv" -

define() { # NAME MEMBERS
	jq -n --arg name "$1" --arg bin "$dir/bin/$1" "{FunctionName: \$name, Command: [\$bin]} + $2" >"$dir/functions.d/$1.json"
}
define resize '{Timeout: 3, EventInvokeConfig: {MaximumRetryAttempts: 0, DestinationConfig:
	{OnFailure: {Destination: "reinvoke"}, OnSuccess: {Destination: "queue:done"}}}}'
define reinvoke "{Timeout: 30, Environment: {Variables: {FATED_SOCKET: \"$FATED_SOCKET\", FATECTL: \"$fatectl\"}}}"
for f in crash segv victim; do
	define $f '{Timeout: 60, EventInvokeConfig: {MaximumRetryAttempts: 0, DestinationConfig: {OnFailure: {Destination: "queue:failed"}}}}'
done

# ---- the daemon ------------------------------------------------------------------------------------------------
chapter "fated starts, on private directories"
setsid "$fated" --StateDirectory="$dir/state" --RunDirectory="$dir/run" --LogDirectory="$dir/log" --FunctionsDirectory="$dir/functions.d" \
	--BpfDirectory="$dir/bpf" --CgroupRoot="$group" </dev/null >"$dir/log/fated.stderr" 2>&1 &
daemon=$!
echo $daemon >"$dir/pid"
until_true 30 "the daemon answers" "$fatectl" version
say "ready, process $daemon; functions: $("$fatectl" function list --json | jq -r '[.functions[].FunctionName] | join(", ")')"

chapter "a function hangs, and its record brings it back"
id=$(accept resize '{"image":"cat.png"}')
say "resize accepted: request $id, the event is on disk"
running() { find "$group" -name cgroup.procs -exec cat {} + | while read -r p; do tr '\n' ' ' <"/proc/$p/comm" && echo "($p)"; done | paste -sd, | sed 's/,/, /g'; }
hanging() { running | grep sleep; }
until_true 30 "resize hangs" hanging
say "resize runs: $got; it hangs, and its child hangs too"
until_true 30 "the record of resize" record_of "$id"
record=$got
say "the kernel's deadline fired after 3 s; $(fate "$record" deadlineToEmptyMs) ms later its whole tree was gone ($(fate "$record" processes) processes in all)"
say "verdict: ${red}$(fate "$record" verdict)${plain} ($(fate "$record" signalName), witness: $(fate "$record" witness)); the record for resize's OnFailure:"
show "$record"
jq -e --arg want "RequestId: $id Error: Task timed out after 3.00 seconds" '.responsePayload.errorMessage == $want' <<<"$record" >/dev/null ||
	die "that is not the record of a timeout"
until_true 30 "a record in the queue done" take done
say "reinvoke read \"Task timed out\" in it and invoked resize again; what came to the queue \"done\":"
show "$got"
[ "$(fate "$got" verdict)" = Success ] || die "the second run did not succeed"
say "verdict: ${green}Success${plain}"

chapter "three more deaths"
death() { # FUNCTION WHAT VERDICT: leaves the record in $got
	until_true 30 "a record in the queue failed" take failed
	say "$2: $(member "$got" responsePayload.errorMessage | sed 's/^RequestId: [^ ]* Error: //')"
	show "$got"
	[ "$(fate "$got" verdict)" = "$3" ] || die "verdict is $(fate "$got" verdict), want $3"
}
accept crash '{}' >/dev/null
death crash "exit 3" Crash
accept segv '{}' >/dev/null
death segv "a null pointer" Signal
accept victim '{}' >/dev/null
pid_of_sleep() { find "$group" -name cgroup.procs -exec cat {} + | while read -r p; do [ "$(cat "/proc/$p/comm")" = sleep ] && echo "$p"; done; }
until_true 30 "victim runs" pid_of_sleep
"$dir/bin/grim-reaper" "$got" &
reaper=$!
wait $reaper
death victim "killed by process $reaper" Signal
[ "$(fate "$got" sender.pid)" = $reaper ] || die "the sender is $(fate "$got" sender), want pid $reaper"
say "sender of $(fate "$got" signalName): ${red}$(fate "$got" sender.comm)${plain}, pid $(fate "$got" sender.pid), uid $(fate "$got" sender.uid)"

chapter "a look inside, while a function runs"
accept victim '{}' >/dev/null
until_true 30 "victim runs" pid_of_sleep
victim=$got
say "bpftool map dump pinned $dir/bpf/fate_env (some members)"
show "$(bpftool -j map dump pinned "$dir/bpf/fate_env" | jq -c '.[] | (.formatted // .).value |
	{function, request_id, attempt, leader_tgid, procs_forked, procs_exited, fork_ns, timeout_ns, deadline_ns}')"
say "fatectl status"
"$fatectl" status | sed 's/^/           /'
"$dir/bin/grim-reaper" "$victim"
until_true 30 "a record in the queue failed" take failed

if [ -n "$keep" ] && [ "$keep" != 0 ]; then
	chapter "the daemon stays up (KEEP=$keep)"
	trap - EXIT
	disown $daemon
	cat <<END
           export FATED_SOCKET=$FATED_SOCKET
           $fatectl help
           $fatectl invoke resize --data '{"image":"dog.png","retry":true}'
           definitions are in $dir/functions.d (then: $fatectl reload)
           stop it, and remove everything:
           $dir/stop
END
	exit 0
fi

chapter "the end"
"$dir/stop" || exit 1
wait $daemon || die "the daemon ended with status $?"
trap - EXIT
say "stopped; nothing is left: no process, no control group, no pin, no mount"
