#!/usr/bin/env bash
# `make drill`: runs the whole drill with the release build and writes docs/delivery.md. Arguments go to the program.
set -euo pipefail
cd "$(dirname "$0")/../.."

# An error says in words what went wrong.
export RUST_LIB_BACKTRACE=0
deploy/dev/install.sh test
cargo build --locked --release --bin logweir --bin logweir-agent --bin logweir-drill
exec target/release/logweir-drill "$@"
