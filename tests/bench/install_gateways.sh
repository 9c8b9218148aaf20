#!/bin/bash
# Installs other gateways into build/gateways, for `tests/bench/bench.py --with portkey,litellm`.
#
# Their versions are pinned, so that figures can be compared; PORTKEY=... and LITELLM=... name others. Nothing
# that comes with a package runs while it is installed. What cannot be installed is told and left out.
set -uo pipefail

readonly portkey=${PORTKEY:-1.15.2}
readonly litellm=${LITELLM:-1.81.13}
cd "$(dirname "$0")/../.."
readonly folder=$PWD/build/gateways
mkdir -p "$folder"
status=0

# install NAME VERSION COMMAND ...: with its output in a file beside it.
install() {
  local name=$1 version=$2
  shift 2
  printf 'Installing %s %s ...\n' "$name" "$version"
  if "$@" >"$folder/$name.log" 2>&1; then
    printf '%s\n' "$version" >"$folder/$name/version"
  else
    printf '%s cannot be installed here; see build/gateways/%s.log\n' "$name" "$name" >&2
    status=1
  fi
}

with_npm() {
  mkdir -p "$folder/portkey" &&
    npm install --prefix "$folder/portkey" --ignore-scripts --no-audit --no-fund --omit=dev \
      "@portkey-ai/gateway@$portkey"
}

with_pip() {
  python3 -m venv "$folder/litellm" &&
    "$folder/litellm/bin/pip" install --only-binary :all: "litellm[proxy]==$litellm"
}

install portkey "$portkey" with_npm
install litellm "$litellm" with_pip
exit "$status"
