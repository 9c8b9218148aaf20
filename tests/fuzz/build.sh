#!/bin/bash
# Builds the fuzz targets for tests/fuzz/run.py, into build/fuzz-targets: with Clang and libFuzzer where there is a Clang
# that knows std::expected, else with the compiler of the other tests and a driver of our own.
set -euo pipefail
cd "$(dirname "$0")/../.."
export LC_ALL=C

readonly oldest_clang=17  # with the C++ library of GCC 12, older ones have no std::expected
readonly jobs=${JOBS:-$(nproc)}

main() {
  local preset=asan options=() clang
  if clang=$(find_clang); then
    preset=fuzz
    options=(-DCMAKE_CXX_COMPILER="$clang")
  else
    echo "No Clang from $oldest_clang on: the targets run without libFuzzer."
  fi
  cmake --preset "$preset" -DCMAKE_MESSAGE_LOG_LEVEL=WARNING "${options[@]}"
  cmake --build --preset "$preset" --parallel "$jobs" --target fuzz_targets
  ln -sfn "$preset/fuzz" build/fuzz-targets
}

# Prints the first Clang that will do, and whose libFuzzer is installed.
find_clang() {
  local name major library
  for name in clang++-19 clang++-{20,21,22,18,17} clang++; do
    major=$("$name" -dumpversion 2>/dev/null | cut -d. -f1) || continue
    ((${major:-0} >= oldest_clang)) || continue
    library=$("$name" -print-file-name="libclang_rt.fuzzer-$(uname -m).a")
    [[ -e $library || -e ${library/-$(uname -m)/} ]] || continue
    command -v "$name"
    return
  done
  return 1
}

main
