#!/usr/bin/env bash
# `make bench`: measures the release build and adds the table to docs/benchmarks/. Arguments go to the bench program.
set -euo pipefail
cd "$(dirname "$0")/../.."

# An error says in words what went wrong.
export RUST_LIB_BACKTRACE=0
deploy/dev/install.sh build
cargo build --locked --release --bin logweir --bin logweir-agent --bin logweir-bench
exec target/release/logweir-bench "$@"
