#!/bin/bash
# Builds and runs every test, and closes with what passed, what failed and what had to be left out.
#
# Each stage runs even where an earlier one failed, so that one run shows everything; a stage that needs a
# program that did not build is counted as failed. Logs are kept in build/test-logs.
set -uo pipefail
cd "$(dirname "$0")/.."

readonly logs=build/test-logs
readonly jobs=${JOBS:-$(nproc)}
passed=0 failed=0 skipped=0
table=()

main() {
  rm -rf "$logs"
  mkdir -p "$logs"
  stage architecture python3 tests/architecture_test.py
  # As for whoever only builds the program: `make build` does not install Catch2.
  stage without-catch2 cmake -S . -B build/without-catch2 -DCMAKE_DISABLE_FIND_PACKAGE_Catch2=ON \
    -DCMAKE_MESSAGE_LOG_LEVEL=WARNING

  # Its unit tests are the sanitizers': with link-time optimisation they would take longer than all else.
  stage build-release build release spillway
  [[ ! -x build/release/spillway ]] || install -m 755 build/release/spillway build/spillway
  stage bill-of-materials python3 tests/sbom_test.py
  stage black-box-release tests/run_blackbox.sh build/release/spillway

  stage build-asan build asan spillway unit_tests
  stage unit-asan unit_tests asan
  stage black-box-asan tests/run_blackbox.sh build/asan/spillway

  stage build-fuzz tests/fuzz/build.sh
  stage fuzz tests/fuzz/run.py --seconds 10 --jobs $((jobs + jobs / 2))

  stage build-tsan build tsan spillway unit_tests
  stage unit-tsan unit_tests tsan
  stage black-box-tsan tests/run_blackbox.sh build/tsan/spillway
  report
}

build() {
  local preset=$1
  shift
  cmake --preset "$preset" -DCMAKE_MESSAGE_LOG_LEVEL=WARNING &&
    cmake --build --preset "$preset" --parallel "$jobs" --target "$@"
}

unit_tests() {
  ctest --preset "$1" --parallel "$jobs" --exclude-regex '^architecture$'
}

# Runs a command under a name, shows its output, and adds what it counted to the totals.
stage() {
  local name=$1 log=$logs/$1.log begun=$SECONDS status
  shift
  printf '\n=== %s\n' "$name"
  "$@" 2>&1 | tee "$log"
  status=${PIPESTATUS[0]}

  local stage_passed stage_failed stage_skipped
  read -r stage_passed stage_failed stage_skipped < <(counts "$log")
  # A stage that fails without a failed test (it did not build, or crashed) is a failure of its own.
  ((status == 0 || stage_failed > 0)) || stage_failed=1
  passed=$((passed + stage_passed))
  failed=$((failed + stage_failed))
  skipped=$((skipped + stage_skipped))
  table+=("$(printf '%-18s %4d passed %4d failed %4d skipped %5d s' "$name" \
    "$stage_passed" "$stage_failed" "$stage_skipped" $((SECONDS - begun)))")
}

# Passed, failed and skipped, from the closing lines of pytest, ctest or the architecture test.
counts() {
  awk '
    /tests passed, [0-9]+ tests failed out of [0-9]+/ {       # ctest
      match($0, /[0-9]+ tests failed/); failed = substr($0, RSTART) + 0
      match($0, /out of [0-9]+/); passed = substr($0, RSTART + 7) - failed
    }
    /^=+ .*[0-9]+ (passed|failed|skipped|error)/ || /^[0-9]+ passed, [0-9]+ failed/ {
      passed = failed = skipped = 0
      for (i = 2; i <= NF; i++) {
        if ($i ~ /^passed/) passed += $(i - 1)
        if ($i ~ /^(failed|errors?)/) failed += $(i - 1)
        if ($i ~ /^skipped/) skipped += $(i - 1)
      }
    }
    END { print passed + 0, failed + 0, skipped + 0 }' "$1"
}

report() {
  printf '\n=== summary\n'
  printf '%s\n' "${table[@]}"
  grep -hi '^left out' "$logs"/black-box-*.log 2>/dev/null | sort -u
  printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
  ((failed == 0 && passed > 0))
}

main "$@"
