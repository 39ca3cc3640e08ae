#!/usr/bin/env bash
# `make fuzz`: runs the fuzz targets, one after the other, and says how many inputs each has seen.
#
#   deploy/dev/fuzz.sh [--seconds N] [--keep] [TARGET…]      60 seconds each, all targets, when nothing is said
#
# What it grows stays in target/fuzz/TARGET; with --keep what reaches new code in at most 512 bytes is added to the
# seeds in fuzz/corpus/TARGET. An input that breaks a target is in target/fuzz/found/: with it in fuzz/corpus/TARGET,
# `cargo test -p logweir-fuzz` breaks too, until it is mended. Needs a C++ compiler.
set -euo pipefail
cd "$(dirname "$0")/../.."

CARGO_FUZZ_VERSION=0.13.2
KEPT_BYTES_MAX=512

seconds=60
keep=
targets=()
while [ $# -gt 0 ]; do
  case $1 in
    --seconds) seconds=${2:?--seconds needs a number}; shift ;;
    --keep) keep=1 ;;
    -*) echo "usage: $0 [--seconds N] [--keep] [TARGET…]" >&2; exit 2 ;;
    *) targets+=("$1") ;;
  esac
  shift
done

deploy/dev/install.sh build
if ! cargo fuzz --version >/dev/null 2>&1; then
  echo "fuzz: cargo install cargo-fuzz $CARGO_FUZZ_VERSION (once a machine)" >&2
  RUSTFLAGS='' cargo install --quiet --locked cargo-fuzz --version "$CARGO_FUZZ_VERSION"
fi
if [ ${#targets[@]} = 0 ]; then mapfile -t targets < <(cargo fuzz list); fi

# Coverage needs a switch that the stable compiler hides. No sanitizer: our code is safe Rust, panics are what we look for.
fuzz() { # TARGET FOLDER… -- OPTION…
  RUSTC_BOOTSTRAP=1 cargo fuzz run --sanitizer none --features libfuzzer "$@"
}

status=0
mkdir -p target/fuzz/found
for target in "${targets[@]}"; do
  grown=target/fuzz/$target seeds=fuzz/corpus/$target log=target/fuzz/$target.log
  mkdir -p "$grown" "$seeds"
  if fuzz "$target" "$grown" "$seeds" -- -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -max_len=4096 \
    -print_final_stats=1 -artifact_prefix=target/fuzz/found/"$target"- >"$log" 2>&1; then
    awk -v target="$target" '/number_of_executed_units/ { n = $2 } /DONE/ { for (i = 1; i < NF; i++) if ($i == "cov:") cov = $(i + 1) }
      END { printf "%-12s %12d inputs, %6d edges, nothing found\n", target, n, cov }' "$log"
  else
    status=1
    echo "$target: FOUND SOMETHING"
    grep -E 'panicked|ERROR|Test unit written' -A1 "$log" || tail -n 20 "$log"
  fi
  if [ -n "$keep" ]; then
    fuzz "$target" "$seeds" "$grown" -- -merge=1 -max_len=$KEPT_BYTES_MAX >>"$log" 2>&1
    echo "$target: $(find "$seeds" -type f | wc -l) seeds"
  fi
done
exit $status
