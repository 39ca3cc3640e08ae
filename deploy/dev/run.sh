#!/usr/bin/env bash
# `make run`: builds Logweir and starts everything in one process with demo traffic.
set -euo pipefail
cd "$(dirname "$0")/../.."

# A newcomer without the faster linker and without the right to install it still gets a running Logweir.
if ! command -v mold >/dev/null 2>&1 && ! deploy/dev/install.sh build 2>/dev/null; then
  export RUSTFLAGS=''
  echo "run: mold is not here and cannot be installed, so the system's linker is used" >&2
fi
deploy/dev/install.sh build

cargo build --locked --release --bin logweir --bin logweir-agent
exec target/release/logweir up --demo "$@"
