#!/usr/bin/env bash
# `make test`: installs what is missing, then runs every check. All of them run even when one fails; the last line is
# the sum, `N passed, N failed`, in which a check without tests of its own (format, lints, docs, licences) counts as one.
set -uo pipefail
cd "$(dirname "$0")/../.."

export CARGO_TERM_COLOR=never
# A panic shows where it was; an error that a test returns says it in words.
export RUST_LIB_BACKTRACE=0
# Nothing is built twice in CI, so what incremental builds keep would only fill the disk.
if [ -n "${CI:-}" ]; then export CARGO_INCREMENTAL=0; fi

passed=0
failed=0
summary=()
log=$(mktemp)
trap 'rm -f "$log"' EXIT

step() { # NAME COMMAND…
  local name=$1 begin=$SECONDS status=0
  shift
  echo
  echo "== $name: $*"
  "$@" 2>&1 </dev/null | tee "$log" || status=$?
  step_passed=$(count passed)
  step_failed=$(count failed)
  # A check without tests, and a runner that fails without a failed test (it did not compile, say), count as one.
  if [ "$status" != 0 ] && [ "$step_failed" = 0 ]; then step_failed=1; fi
  if [ "$status" = 0 ] && [ "$step_passed" = 0 ]; then step_passed=1; fi
  passed=$((passed + step_passed))
  failed=$((failed + step_failed))
  summary+=("$(printf '%-8s %5d passed %5d failed %5d s' "$name" "$step_passed" "$step_failed" $((SECONDS - begin)))")
}

# Sums cargo's `test result: ok. 3 passed; 0 failed; …` and the `# pass 3` of Node's TAP.
count() { # passed|failed
  awk -v what="$1" '
    /^test result: / { for (i = 2; i <= NF; i++) if (index($i, what) == 1) sum += $(i - 1) }
    what == "passed" && /^# pass [0-9]+$/ { sum += $3 }
    what == "failed" && /^# (fail|cancelled) [0-9]+$/ { sum += $3 }
    END { print sum + 0 }' "$log"
}

if ! deploy/dev/install.sh test; then
  echo "0 passed, 1 failed"
  exit 1
fi

step fmt cargo fmt --all --check
step deny cargo deny --locked check --hide-inclusion-graph bans licenses sources
step clippy cargo clippy --locked --workspace --all-targets --quiet -- -D warnings
# The end-to-end tests start the programs themselves. Built together with the tests they share every dependency.
step build cargo build --locked --workspace --bins --tests --quiet
step rust cargo test --locked --workspace --no-fail-fast
step doc env RUSTDOCFLAGS='-D warnings' cargo doc --locked --workspace --no-deps --quiet

shopt -s nullglob
page_tests=(dashboards/test/*.test.js dashboards/test/*.test.mjs)
if [ ${#page_tests[@]} -gt 0 ]; then step page node --test --test-reporter=tap "${page_tests[@]}"; fi

echo
printf '%s\n' "${summary[@]}"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
