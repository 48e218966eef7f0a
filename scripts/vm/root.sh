#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# root.sh IMAGE [SUITE [MORE,PACKAGES]]: an ext4 file with Debian, systemd as pid 1, and an agent on a virtio-serial port.
#
# The agent (/usr/sbin/vm-agent) is the only way in: it reads scripts and sends back what they print, so the guest
# needs no network, no login and no getty. Units that cost start-up time and serve nobody here are masked.
# An image made from the same recipe (this file, suite, packages: IMAGE.recipe) is kept.
set -euo pipefail
. "$(dirname "$(realpath "$0")")/mirror.sh"
image=$(realpath -m "$1")
suite=${2:-bookworm}
more=${3:-}

recipe="$(sha256sum <"$0") $suite $more"
[ -s "$image" ] && [ "$(cat "$image.recipe" 2>/dev/null)" = "$recipe" ] && exit 0
mkdir -p "$(dirname "$image")"
rm -f "$image" "$image.recipe"
work=$(mktemp -d "$image.XXXXXX")
trap 'rm -rf "$work"' EXIT
root=$work/root

mmdebstrap --quiet --mode=root --variant=essential \
	--include="systemd,systemd-sysv,dbus,libbpf1,libelf1,procps${more:+,$more}" \
	--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
	--dpkgopt='path-exclude=/usr/share/locale/*' \
	"$suite" "$root" "deb [signed-by=$keyring] $mirror $suite main"

rm -rf "$root"/var/lib/apt/lists/*
: >"$root/etc/fstab"
echo guest >"$root/etc/hostname"
mkdir -p "$root/var/log/journal"
echo 0123456789abcdef0123456789abcdef >"$root/etc/machine-id"

cat >"$root/usr/sbin/vm-agent" <<'A'
#!/bin/bash
# request: a line KEY BASE64-OF-A-SCRIPT; answer: the script's output, then a line @KEY STATUS
for p in /sys/class/virtio-ports/*; do [ "$(cat $p/name)" = agent ] && exec 3<>/dev/${p##*/}; done
printf '\n@READY %s\n' "$(uname -r)" >&3
while read -r key job <&3; do
	[ "$job" ] || continue
	(echo 0 >/proc/$BASHPID/oom_score_adj; exec setsid bash -c "$(base64 -d <<<"$job")" 3>&-) </dev/null 2>&1 | cat >&3
	printf '\n@%s %d\n' "$key" "${PIPESTATUS[0]}" >&3
done
A
cd "$root/etc/systemd/system"
ln -sf /lib/systemd/system/multi-user.target default.target
for unit in systemd-modules-load.service serial-getty@ttyS0.service getty@tty1.service getty-static.service \
	systemd-logind.service systemd-timesyncd.service systemd-update-utmp.service systemd-random-seed.service \
	systemd-pstore.service ldconfig.service systemd-sysusers.service systemd-journal-catalog-update.service \
	systemd-update-done.service systemd-firstboot.service modprobe@.service e2scrub_reap.service \
	dev-hugepages.mount dev-mqueue.mount; do
	ln -sf /dev/null "$unit"
done
cat >vm-agent.service <<'A'
[Service]
ExecStart=/bin/bash /usr/sbin/vm-agent
Restart=always
OOMScoreAdjust=-1000
TasksMax=infinity
Slice=-.slice
A
mkdir -p multi-user.target.wants
ln -s ../vm-agent.service multi-user.target.wants/
cd /

truncate -s 2G "$work/img"
mke2fs -q -F -t ext4 -O ^metadata_csum_seed -d "$root" "$work/img"
mv "$work/img" "$image"
echo "$recipe" >"$image.recipe"
echo "root image: $suite, $(du -m "$image" | cut -f1) MB"
