#!/usr/bin/env bash
# Installs what building (`install.sh build`) or testing (`install.sh test`) needs on a Debian machine.
#
# Quick and silent when all is there. As root, or where sudo asks no password, it installs with the machine's own
# apt-get, npm, pip and cargo; else it says exactly what is missing and exits 1. Rust, Node with npm and git come from the
# user: which version and from where is not ours to choose.
set -euo pipefail
cd "$(dirname "$0")/../.."

scope=${1:-test}
case $scope in build | test) ;; *) echo "usage: $0 [build|test]" >&2; exit 2 ;; esac

CARGO_DENY_VERSION=0.20.2

note() { echo "install: $*" >&2; }
have() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || [ -x "/sbin/$1" ]; }

# What cannot be installed here: named all at once, at the end.
missing=()
# Debian packages to install.
packages=()

need_package() { # COMMAND PACKAGE
  if ! have "$1"; then packages+=("$2"); fi
}

have cargo || missing+=("Rust 1.90 or later, with cargo, rustfmt and clippy (rustup, or the distribution's)")
have node || missing+=("Node.js 20 or later")
have npm || missing+=("npm (it comes with Node.js)")
have cc || packages+=(gcc libc6-dev)

# Whoever sets RUSTFLAGS, even to nothing, overrides .cargo/config.toml and with it the linker.
if [ -z "${RUSTFLAGS+set}" ]; then need_package mold mold; fi

if [ "$scope" = test ]; then
  have git || packages+=(git)
  need_package nginx nginx-light
  need_package dockerd docker.io
  need_package chromium chromium
  need_package logrotate logrotate
  need_package strace strace
  need_package prometheus-alertmanager prometheus-alertmanager
  need_package prometheus prometheus
  need_package openssl openssl
  # A file system of which the kernel tells nothing, and the journal with its journald.
  need_package bindfs bindfs
  need_package journalctl systemd
  need_package systemd-analyze systemd
  # A real SMTP server, for the machine's own Python.
  /usr/bin/python3 -c 'import aiosmtpd' 2>/dev/null || packages+=(python3-aiosmtpd)
  # A shared busybox would not run in an image that holds nothing else.
  busybox=$(command -v busybox || true)
  if [[ -z $busybox || "$(ldd "$busybox" 2>&1)" != *"not a dynamic"* ]]; then packages+=(busybox-static); fi
  if ! have docker; then packages+=(docker.io); fi
  # Debian keeps pip for virtual environments in a package of its own.
  if ! have python3 || ! python3 -c 'import ensurepip, venv' 2>/dev/null; then packages+=(python3 python3-venv); fi
fi

as_root=()
if [ "$(id -u)" != 0 ]; then
  if have sudo && sudo -n true 2>/dev/null; then as_root=(sudo -n); else as_root=(false); fi
fi

install_packages() {
  have apt-get || return 1
  [ "${as_root[0]:-}" != false ] || return 1
  note "apt-get install ${packages[*]}"
  # Packages of servers start them; the tests start their own, on their own ports.
  local policy=/usr/sbin/policy-rc.d made_policy=
  if [ ! -e $policy ]; then
    made_policy=1
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee $policy >/dev/null
    "${as_root[@]}" chmod 755 $policy
  fi
  local status=0
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q update >&2 || true
  # Where the Docker client is a package of its own, the engine alone is not enough.
  if printf '%s\n' "${packages[@]}" | grep -qx docker.io && apt-cache show docker-cli >/dev/null 2>&1; then
    packages+=(docker-cli)
  fi
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends "${packages[@]}" >&2 || status=$?
  if [ -n "$made_policy" ]; then "${as_root[@]}" rm -f $policy; fi
  return $status
}

if [ ${#packages[@]} -gt 0 ] && ! install_packages; then
  missing+=("Debian packages: ${packages[*]}   (as root: apt-get install ${packages[*]})")
fi

# npm packages of a folder with a lock file; done again only when the lock changes.
install_node_modules() { # FOLDER
  [ -f "$1/package-lock.json" ] && have npm || return 0
  if [ "$1/node_modules/.package-lock.json" -nt "$1/package-lock.json" ]; then return 0; fi
  note "npm ci in $1"
  (cd "$1" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2 && touch node_modules/.package-lock.json) ||
    missing+=("npm packages of $1 (npm ci there failed, its message is above)")
}

# Python packages of a folder with a requirements.txt, in an environment below it.
install_python_packages() { # FOLDER
  have python3 || return 0
  if [ "$1/.venv/.requirements.txt" -nt "$1/requirements.txt" ]; then return 0; fi
  note "pip install in $1"
  { python3 -m venv "$1/.venv" && "$1/.venv/bin/pip" install --quiet --disable-pip-version-check \
    --requirement "$1/requirements.txt" >&2 && touch "$1/.venv/.requirements.txt"; } ||
    missing+=("Python packages of $1 (pip install there failed, its message is above)")
}

# The page's modules are embedded by the build.
install_node_modules dashboards

if [ "$scope" = test ]; then
  install_node_modules tests/node
  install_python_packages tests/readers
  if have cargo && ! have cargo-deny; then
    note "cargo install cargo-deny $CARGO_DENY_VERSION (some minutes, once a machine)"
    RUSTFLAGS='' cargo install --quiet --locked cargo-deny --version "$CARGO_DENY_VERSION" >&2 ||
      missing+=("cargo-deny (cargo install --locked cargo-deny --version $CARGO_DENY_VERSION)")
  fi
  if have cargo; then
    cargo fmt --version >/dev/null 2>&1 || missing+=("rustfmt (rustup component add rustfmt)")
    cargo clippy --version >/dev/null 2>&1 || missing+=("clippy (rustup component add clippy)")
  fi
fi

if [ ${#missing[@]} -gt 0 ]; then
  note "missing, and not to be had from here:"
  printf '  - %s\n' "${missing[@]}" >&2
  if printf '%s\n' "${missing[@]}" | grep -q '\bmold\b'; then
    note "mold is only the faster linker: with RUSTFLAGS= before the command the system's own one is used"
  fi
  exit 1
fi
