#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# uninstall.sh PREFIX [DESTDIR]: removes what `make install` put there, and says what it leaves.
set -euo pipefail
prefix=${1:?uninstall.sh PREFIX [DESTDIR]}
dest=${2:-}

if [ -z "$dest" ] && [ -d /run/systemd/system ]; then
	state=$(systemctl show -p ActiveState --value fated.service)
	if [ "$state" != inactive ] && [ "$state" != failed ]; then
		echo "uninstall: fated.service is $state: systemctl disable --now fated.service" >&2
		exit 1
	fi
	systemctl --quiet disable fated.service 2>/dev/null || true
fi
for f in sbin/fated bin/fatectl share/bash-completion/completions/fatectl share/zsh/site-functions/_fatectl \
	lib/systemd/system/fated.service lib/systemd/system/fated-functions.service; do
	rm -f "$dest$prefix/$f"
done
rm -f "$dest/etc/fated/fated.json.sample"
rmdir "$dest/etc/fated/functions.d" "$dest/etc/fated" 2>/dev/null || true
[ -n "$dest" ] || ! [ -d /run/systemd/system ] || systemctl daemon-reload

for d in /etc/fated /etc/systemd/system/fated.service.d /etc/systemd/system/fated-functions.service.d /var/lib/fated \
	/var/log/fated /sys/fs/bpf/fated; do
	[ ! -e "$dest$d" ] || left+=("$dest$d")
done
[ -z "${left:-}" ] || printf 'left as it is: %s\n' "${left[@]}"
