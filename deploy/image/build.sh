#!/usr/bin/env bash
# Packs the agent into an image with nothing else in it: deploy/image/build.sh [BINARY [TAG]].
#
# A static binary stands alone; one that is linked to the C library takes along what the loader names. The files go into
# target/image, from where `docker build -f deploy/image/Dockerfile target/image` makes the same image.
set -euo pipefail
cd "$(dirname "$0")/../.."

binary=${1:-target/dist/logweir-agent}
if [ $# = 0 ]; then cargo build --profile dist -p logweir-agent; fi
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
tag=${2:-logweir-agent:$version}
stage=target/image
root=$stage/root
rm -rf "$stage"
mkdir -p "$root/tmp" "$root/var/lib/logweir-agent" "$root/etc/logweir"

install -D -m 755 "$binary" "$root/usr/bin/logweir-agent"
if libraries=$(ldd "$binary" 2>/dev/null); then
  grep -oE '/[^ ]+\.so[^ ]*' <<<"$libraries" | sort -u | while read -r library; do
    install -D -m 755 "$(readlink -f "$library")" "$root$library"
  done
fi
# Authorities of the public web, for servers that have a certificate of one of them.
if [ -r /etc/ssl/certs/ca-certificates.crt ]; then
  install -D -m 644 /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
fi
chmod 1777 "$root/tmp"
tar --create --file "$stage/root.tar" --directory "$root" --owner=0 --group=0 --numeric-owner .
docker import --change 'ENTRYPOINT ["/usr/bin/logweir-agent"]' --change 'VOLUME /var/lib/logweir-agent' \
  --message "logweir-agent $version" "$stage/root.tar" "$tag"
docker image inspect --format '{{.Size}} bytes' "$tag"
