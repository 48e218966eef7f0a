# SPDX-License-Identifier: Apache-2.0
# Sourced: sets $mirror and $security to the Debian archives this machine's apt is set to, $keyring to their keys.
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
uris=$({ sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/*.sources; awk '$1 == "deb" { for (i = 2; i <= NF; i++)
	if ($i ~ /^https?:/) { print $i; break } }' /etc/apt/sources.list /etc/apt/sources.list.d/*.list; } 2>/dev/null |
	tr ' ' '\n' | grep -E '/debian(-security)?/?$' || true)
mirror=$(grep -v security <<<"$uris" | head -1)
security=$(grep security <<<"$uris" | head -1)
mirror=${mirror:-http://deb.debian.org/debian}
security=${security:-http://deb.debian.org/debian-security}
