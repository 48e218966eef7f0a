#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# kernels.sh DIR SERIES...: DIR/SERIES/{vmlinuz,config,lib/modules,initrd} from Debian's cloud kernels.
#
# Nothing is installed on the host and apt's own state is not touched: the lists live in DIR/apt. Of a series the
# newest build is taken, since exact package names vanish with each update. A series that is there is kept.
# The initrd is busybox and the modules that find the root disk; MODS="overlay veth" puts more of them in, which is
# the only way to have them (the guest has no /lib/modules).
set -euo pipefail
. "$(dirname "$(realpath "$0")")/mirror.sh"
dir=$(realpath -m "$1")
shift

todo=()
for series; do [ -s "$dir/$series/initrd" ] || todo+=("$series"); done
[ ${#todo[@]} -gt 0 ] || exit 0

apt=$dir/apt
mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
: >"$apt/status"
for suite in bookworm trixie-backports; do echo "deb [signed-by=$keyring] $mirror $suite main"; done >"$apt/list"
for suite in bullseye bookworm trixie; do echo "deb [signed-by=$keyring] $security $suite-security main"; done >>"$apt/list"
cat >"$apt/conf" <<X
Dir::State "$apt"; Dir::State::status "$apt/status"; Dir::State::Lists "$apt/lists"; Dir::Cache "$apt/cache";
Dir::Etc::sourcelist "$apt/list"; Dir::Etc::sourceparts "/dev/null"; Acquire::Languages "none"; APT::Sandbox::User "root";
X
export APT_CONFIG=$apt/conf
apt-get -qq update

# fetch SERIES WORK: the newest build whose packages are all there, unpacked in WORK/x.
fetch() {
	local pkg version list deb
	for pkg in $(apt-cache search -n "^linux-image-${1//./\\.}\.[^ ]*-cloud-amd64\$" | cut -d' ' -f1 | sort -rV); do
		version=${pkg#linux-image-}
		list=$pkg
		# Since 6.19 the kernel is in three packages, and of older builds only parts are left: then try the next.
		if grep -q linux-modules- <<<"$(apt-cache depends "$pkg")"; then
			list="linux-base-$version linux-binary-$version linux-modules-$version"
		fi
		rm -rf "$2"
		mkdir -p "$2"
		(cd "$2" && apt-get -qq download $list) || continue
		for deb in "$2"/*.deb; do dpkg-deb -x "$deb" "$2/x"; done
		return 0
	done
	echo "kernels.sh: no kernel of series $1 in the archive" >&2
	return 1
}

# initrd TREE VERSION OUT: TREE/lib/modules/VERSION is there and has its modules.dep.
initrd() {
	local modules=$1/lib/modules/$2 root=$1/initrd.d n=10 want file name
	rm -rf "$root"
	mkdir -p "$root"/{bin,dev,proc,mnt,m}
	cp /bin/busybox "$root/bin/sh"
	for name in mount insmod sleep switch_root; do ln -s sh "$root/bin/$name"; done
	for want in virtio_pci virtio_blk virtio_console ${MODS:-}; do
		# modules.dep names what a module needs, the deepest last; numbers keep that order for insmod.
		for file in $(awk -F: -v m="${want//_/[-_]}" '$1 ~ "(^|/)"m"\\.ko" {
				n = split($2, d, " "); for (; n; n--) print d[n]; print $1 }' "$modules/modules.dep"); do
			name=$(basename "${file%.xz}")
			compgen -G "$root/m/??-$name" >/dev/null && continue
			n=$((n + 1))
			case $file in
			*.xz) xz -dc "$modules/$file" ;;
			*) cat "$modules/$file" ;;
			esac >"$root/m/$n-$name"
		done
	done
	cat >"$root/init" <<'I'
#!/bin/sh
mount -t devtmpfs dev /dev
for m in /m/*; do insmod $m; done
i=0; while [ ! -b /dev/vda ] && [ $i -lt 600 ]; do sleep 0.1; i=$((i+1)); done
mount -t ext4 -o rw,noatime /dev/vda /mnt && mount --move /dev /mnt/dev && exec switch_root /mnt /sbin/init
I
	chmod 755 "$root/init"
	(cd "$root" && find . | cpio -o -H newc -R 0:0 --quiet) >"$3"
	rm -rf "$root"
}

work=$(mktemp -d "$dir/work.XXXXXX")
trap 'rm -rf "$work"' EXIT
for series in "${todo[@]}"; do
	fetch "$series" "$work/deb"
	rm -rf "${dir:?}/$series" "$work/k"
	mkdir -p "$work/k/lib"
	modules=$(find "$work/deb/x" -path '*/lib/modules/*' -prune -type d | head -1)
	version=${modules##*/}
	cp "$(find "$work/deb/x" -name 'vmlinuz*' -type f | head -1)" "$work/k/vmlinuz"
	cp "$(find "$work/deb/x" -path '*/boot/config-*' -o -path '*/modules/*/config' | head -1)" "$work/k/config"
	mv "${modules%/*}" "$work/k/lib/"
	depmod -b "$work/k" "$version"
	initrd "$work/k" "$version" "$work/k/initrd"
	mv "$work/k" "$dir/$series"
	echo "kernel $series: $version"
done
