#!/usr/bin/env bash
# `make model`, `make days`, `make faults`: the long forms of tests that `make test` runs in short.
#
#   deploy/dev/model.sh storm|days|faults [CASES]
#
# storm: random lines and queries of the whole language against a naive engine, with reopen, seal, merge, retention and
#        crash between, and pages of readers while lines come; says how many answers were compared
# days:  24 days with retention of 7, 720 lines a day for every 256 cases
# faults: every step of the store, ended or with a full disk at every call
#
# The seed is printed: PROPTEST_RNG_SEED repeats a run. The first takes about an hour on one core.
set -euo pipefail
cd "$(dirname "$0")/../.."

what=${1:-storm}
case $what in
  storm) cases=200000 tests=(search::tests::storm search::tests::pages) ;;
  days) cases=25600 tests=(search::tests::days) ;;
  faults) cases=1000000 tests=(pipeline::walk) ;;
  *) echo "usage: $0 storm|days|faults [CASES]" >&2; exit 2 ;;
esac

deploy/dev/install.sh test
export RUST_BACKTRACE=0 PROPTEST_CASES=${2:-$cases}
exec cargo test --locked --release -p logweir-aggregator --lib -- --nocapture "${tests[@]}"
