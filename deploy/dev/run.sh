#!/usr/bin/env bash
# `make run`: builds Logweir and starts everything in one process with demo traffic.
set -euo pipefail
cd "$(dirname "$0")/../.."

# A newcomer without the faster linker and without the right to install it still gets a running Logweir.
if ! command -v mold >/dev/null 2>&1; then
  echo "run: mold, a faster linker, is not here: trying to install it" >&2
  if ! deploy/dev/install.sh build; then
    export RUSTFLAGS=''
    echo "run: going on with the system's linker" >&2
  fi
fi
deploy/dev/install.sh build

cargo build --locked --release --bin logweir --bin logweir-agent
exec target/release/logweir up --demo "$@"
