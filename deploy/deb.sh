#!/usr/bin/env bash
# Packs the agent for Debian: deploy/deb.sh [BINARY [DIRECTORY]] writes logweir-agent_VERSION_ARCH.deb there.
#
# Without a BINARY it builds one: cargo build --profile dist -p logweir-agent.
set -euo pipefail
cd "$(dirname "$0")/.."

binary=${1:-target/dist/logweir-agent}
out=${2:-target/deb}
if [ $# = 0 ]; then cargo build --profile dist -p logweir-agent; fi
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
arch=$(dpkg --print-architecture)
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
chmod 755 "$root"

install -D -m 755 "$binary" "$root/usr/bin/logweir-agent"
install -D -m 644 deploy/logweir-agent.service "$root/usr/lib/systemd/system/logweir-agent.service"
install -D -m 640 deploy/agent.yaml "$root/etc/logweir/agent.yaml"
install -D -m 644 agent/README.md "$root/usr/share/doc/logweir-agent/README.md"
install -D -m 644 LICENSE "$root/usr/share/doc/logweir-agent/copyright"

# The newest symbol version of the C library that the binary asks for.
libc=$(grep -aoE 'GLIBC_2\.[0-9]+' "$binary" | sort -uV | tail -n 1 | cut -d_ -f2 || true)
size=$(du -sk "$root" | cut -f1)

mkdir "$root/DEBIAN"
cat >"$root/DEBIAN/control" <<CONTROL
Package: logweir-agent
Version: $version
Architecture: $arch
Maintainer: Logweir <logweir@localhost>
Section: admin
Priority: optional
Installed-Size: $size
Depends: passwd, libc6${libc:+ (>= $libc)}, libgcc-s1
Recommends: ca-certificates
Description: finds the logs of this host and ships each line exactly once
 The agent of Logweir tails PM2, NGINX, container and other logs, redacts them
 and sends them to a Logweir server.
CONTROL
echo /etc/logweir/agent.yaml >"$root/DEBIAN/conffiles"

cat >"$root/DEBIAN/postinst" <<'SCRIPT'
#!/bin/sh
set -e
[ "$1" = configure ] || exit 0
if ! getent passwd logweir-agent >/dev/null; then
  useradd --system --user-group --no-create-home --home-dir /var/lib/logweir-agent --shell /usr/sbin/nologin logweir-agent
fi
chgrp logweir-agent /etc/logweir/agent.yaml
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
  systemctl enable logweir-agent.service
  if [ -n "$2" ]; then
    systemctl try-restart logweir-agent.service
  else
    echo "logweir-agent: name your server in /etc/logweir/agent.yaml, then: systemctl start logweir-agent"
  fi
fi
SCRIPT
cat >"$root/DEBIAN/prerm" <<'SCRIPT'
#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
  systemctl disable --now logweir-agent.service
fi
SCRIPT
cat >"$root/DEBIAN/postrm" <<'SCRIPT'
#!/bin/sh
set -e
if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
# The state says what was sent: it goes with the configuration, not with the program.
if [ "$1" = purge ]; then
  rm -rf /var/lib/logweir-agent
  if getent passwd logweir-agent >/dev/null; then userdel logweir-agent; fi
fi
SCRIPT
chmod 755 "$root/DEBIAN/postinst" "$root/DEBIAN/prerm" "$root/DEBIAN/postrm"

mkdir -p "$out"
dpkg-deb --root-owner-group --build "$root" "$out/logweir-agent_${version}_$arch.deb"
