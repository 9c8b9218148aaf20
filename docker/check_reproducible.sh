#!/bin/bash
# Builds the release program twice, from two copies of the sources in different folders and without the compiler cache,
# and fails unless both have the same bytes.
#
#   docker/check_reproducible.sh
#
# What a build depends on besides the sources is the compiler, the linker and the libraries' headers: the bill of
# materials that `make sbom` writes names them.
set -euo pipefail
cd "$(dirname "$0")/.."
export LC_ALL=C CCACHE_DISABLE=1

readonly jobs=${JOBS:-$(nproc)}
scratch=$(mktemp -d)

main() {
  trap 'rm -rf "$scratch"' EXIT
  local first second
  first=$(build "$scratch/a")
  second=$(build "$scratch/another/folder/b")
  printf '%s  first build\n%s  second build\n' "$first" "$second"
  [[ $first == "$second" ]] || {
    echo 'check_reproducible.sh: the two programs differ' >&2
    exit 1
  }
  if grep -qaF "$scratch" "$scratch/a/build/release/spillway"; then
    echo 'check_reproducible.sh: the program names the folder that it was built in' >&2
    exit 1
  fi
  echo 'Both builds are the same, byte for byte.'
}

# Prints the program's hash.
build() {
  local folder=$1
  mkdir -p "$folder"
  cp -r CMakeLists.txt CMakePresets.json providers.json docker core config server "$folder"
  (
    cd "$folder"
    cmake --preset release -DBUILD_TESTING=OFF -DCMAKE_MESSAGE_LOG_LEVEL=WARNING
    cmake --build --preset release --parallel "$jobs" --target spillway
  ) >&2
  sha256sum <"$folder/build/release/spillway" | cut -d' ' -f1
}

main
