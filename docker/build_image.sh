#!/bin/bash
# Builds the image, starts it, asks it whether it is ready, and stops it again.
#
#   docker/build_image.sh [NAME]
#
# Takes Docker or Podman where they work, else buildah without any daemon or namespace. Where the base image cannot
# be pulled, it is made with debootstrap from the Debian mirror that the machine's own package sources name.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly name=${1:-spillway}
readonly published_base=debian:13-slim
readonly port=${PORT:-4000}
readonly url=http://127.0.0.1:$port
readonly isolation=(--isolation chroot)
scratch=$(mktemp -d)
container='' started='' engine=''

main() {
  trap clean_up EXIT
  if engine=$(working_engine); then
    build_with_engine
  elif command -v buildah >/dev/null; then
    build_with_buildah
  else
    fail 'needs docker, podman or buildah'
  fi
}

working_engine() {
  local candidate
  for candidate in docker podman; do
    "$candidate" info >/dev/null 2>&1 && echo "$candidate" && return
  done
  return 1
}

# --- with a container engine ----------------------------------------------------------------------

build_with_engine() {
  say "Building $name with $engine"
  "$engine" build -t "$name" .
  container=$("$engine" run -d --read-only --cap-drop ALL -p "127.0.0.1:$port:4000" \
    -e OPENAI_API_KEY=sk-unused "$name")
  await_ready || { "$engine" logs "$container" >&2; fail 'the container does not answer'; }
  "$engine" exec "$container" spillway --health-check || fail 'the health check inside fails'
  "$engine" stop "$container" >/dev/null
  [[ $("$engine" inspect -f '{{.State.ExitCode}}' "$container") == 0 ]] || fail 'did not stop cleanly'
  say "$name is built; it starts, answers and stops."
}

# --- without one ----------------------------------------------------------------------------------

build_with_buildah() {
  export STORAGE_DRIVER=${STORAGE_DRIVER:-vfs}
  local base=$published_base
  if ! timeout 60 buildah pull -q "$base" >/dev/null 2>&1; then
    base=localhost/spillway-base
    buildah inspect --type image "$base" >/dev/null 2>&1 || make_base "$base"
  fi
  say "Building $name with buildah on $base"
  buildah build "${isolation[@]}" --format docker --build-arg "BASE=$base" -t "$name" .
  say "Size: $(buildah images --format '{{.Size}}' "localhost/$name")"

  container=$(buildah from "$name")
  local command
  # What the image itself would run; buildah does not take it from there.
  mapfile -t command < <(buildah inspect --format \
    '{{range .OCIv1.Config.Entrypoint}}{{println .}}{{end}}{{range .OCIv1.Config.Cmd}}{{println .}}{{end}}' \
    "$container" | sed '/^$/d')
  say "Starting ${command[*]}"
  buildah run "${isolation[@]}" --env OPENAI_API_KEY=sk-unused "$container" -- "${command[@]}" \
    >"$scratch/output" 2>&1 &
  started=$!
  await_ready || { cat "$scratch/output" >&2; fail 'the container does not answer'; }
  cat "$scratch/output"
  buildah run "${isolation[@]}" "$container" -- spillway --health-check || fail 'the health check inside fails'
  stop_started || fail "did not stop cleanly: $(cat "$scratch/output")"
  say "$name is built; it starts, answers and stops."
}

make_base() {
  local mirror
  command -v debootstrap >/dev/null || fail "cannot pull $published_base, and debootstrap is not installed"
  mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' |
    awk '$1 ~ /\/debian\/?$/ { print $1; exit }')
  [[ -n $mirror ]] || fail 'the package sources of this machine name no Debian mirror'
  say "Cannot pull $published_base; making a base from $mirror with debootstrap"
  debootstrap --variant=minbase trixie "$scratch/base" "$mirror" >"$scratch/debootstrap.log" 2>&1 ||
    fail "debootstrap failed: $(tail -n 5 "$scratch/debootstrap.log")"
  # What the slim image leaves out as well.
  rm -rf "$scratch"/base/usr/share/{doc,man,locale,info}/* "$scratch"/base/var/cache/apt/* \
    "$scratch"/base/var/lib/apt/lists/*
  container=$(buildah from scratch)
  buildah add -q "$container" "$scratch/base" / >/dev/null
  buildah commit -q --rm "$container" "$1" >/dev/null
  container=''
}

# --- asking and stopping --------------------------------------------------------------------------

await_ready() {
  local tries
  for ((tries = 0; tries < 100; tries++)); do
    [[ -z $started ]] || kill -0 "$started" 2>/dev/null || return 1
    if curl -fsS "$url/health/readiness" 2>/dev/null; then
      echo
      return 0
    fi
    sleep 0.2
  done
  return 1
}

# The program is a child of buildah, which does not hand signals on.
stop_started() {
  local program
  program=$(descendants "$started" | while read -r child; do
    [[ $(cat "/proc/$child/comm" 2>/dev/null) != spillway ]] || echo "$child"
  done)
  [[ -n $program ]] || return 1
  # shellcheck disable=SC2086
  kill -TERM $program
  wait "$started"
  local status=$?
  started=''
  return "$status"
}

descendants() {
  local child
  for child in $(cat /proc/"$1"/task/*/children 2>/dev/null); do
    echo "$child"
    descendants "$child"
  done
}

clean_up() {
  [[ -z $started ]] || stop_started || true
  if [[ -n $container ]]; then
    if [[ -n $engine ]]; then
      "$engine" rm -f "$container" >/dev/null || true
    else
      buildah rm "$container" >/dev/null || true
    fi
  fi
  rm -rf "$scratch"
}

say() { printf '%s\n' "$*" >&2; }
fail() {
  say "build_image.sh: $*"
  exit 1
}

main
