#!/bin/bash
# Installs the Debian packages that Spillway is built, tested or run with, and only those that are missing.
#
#   docker/install_dependencies.sh build              to compile the program
#   docker/install_dependencies.sh test               to compile and run the tests as well
#   docker/install_dependencies.sh fuzz               to compile and run the fuzz targets with libFuzzer
#   docker/install_dependencies.sh bench              to compile it and to measure it beside other proxies
#   docker/install_dependencies.sh profile            to compile it and to see where its time goes
#   docker/install_dependencies.sh list-runtime FILE  installs nothing: prints the packages that own the
#                                                     shared libraries of the program FILE
#
# Debian 13 and Ubuntu 24.04 have everything; Debian 12 has it with its official backports, which are enabled
# on the mirror that the machine's own package sources name. Says nothing when nothing is missing.
set -euo pipefail
export LC_ALL=C  # apt's words are read below

# One need a line: alternatives in order of preference, each with the oldest version that will do.
readonly build_needs='
g++>=4:12
make
cmake>=3.25
ninja-build
ccache
mold
libssl-dev>=3
libboost1.83-dev libboost-dev>=1.83
libboost-url1.83-dev libboost-url-dev>=1.83
nlohmann-json3-dev>=3.11
libfmt-dev>=9
libsimdjson-dev>=3
libspdlog-dev>=1:1.10
libyaml-cpp-dev>=0.7
libcli11-dev>=2.1
prometheus-cpp-dev>=1.0
libhiredis-dev>=0.14
'
readonly test_needs='
catch2>=3.4
redis-server>=5:6 valkey-server
nginx-light>=1.18 nginx-core>=1.18 nginx>=1.18
openssl
'
# Debian 12's clang of no number is too old; where no Clang below is to be had, the targets run without libFuzzer.
readonly fuzz_needs='
clang-19 clang-20 clang-21 clang-18 clang-17
libclang-rt-19-dev libclang-rt-20-dev libclang-rt-21-dev libclang-rt-18-dev libclang-rt-17-dev
python3>=3.9
'
# A machine with systemd starts nginx and HAProxy as services of their own, which neither the tests nor the
# measurements use.
readonly bench_needs='
wrk>=4
nginx-light>=1.18 nginx-core>=1.18 nginx>=1.18
haproxy>=2.4
binutils
util-linux
python3>=3.9
strace
valgrind
'
# Ubuntu's perf is of its newest kernel; where it does not run, valgrind counts.
readonly profile_needs='
linux-perf linux-tools-generic
'

main() {
  case "${1:-}" in
    build) install_missing "$build_needs" ;;
    test) install_missing "$build_needs$test_needs$(tool_needs)" ;;
    fuzz) install_missing "$build_needs$fuzz_needs" ;;
    bench) install_missing "$build_needs$bench_needs" ;;
    profile) install_missing "$build_needs$bench_needs$profile_needs" ;;
    list-runtime) list_runtime "${2:?the program}" ;;
    *)
      sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" >&2
      exit 2
      ;;
  esac
}

# Interpreters may come from elsewhere than a package: whatever is in PATH and good enough stays.
tool_needs() {
  command -v curl >/dev/null || echo curl
  python3 -c 'import ensurepip, venv' 2>/dev/null || printf 'python3\npython3-venv\n'
  if ! node -e 'process.exit(parseInt(process.versions.node) >= 18 ? 0 : 1)' 2>/dev/null; then
    echo nodejs
  fi
  command -v npm >/dev/null || echo npm
}

install_missing() {
  local missing=() need
  while read -r need; do
    [[ -z $need ]] || is_met "$need" || missing+=("$need")
  done <<<"$1"
  ((${#missing[@]})) || return 0

  command -v apt-get >/dev/null ||
    fail "this script knows Debian and Ubuntu only; needed here: $(first_choices "${missing[@]}")"
  become_root
  say "Missing on this machine: $(first_choices "${missing[@]}")"
  say 'Reading the package lists ...'
  "${root[@]}" apt-get update -qq || fail 'the package lists cannot be read'
  enable_backports_if_needed "${missing[@]}"

  local packages=() choice
  for need in "${missing[@]}"; do
    choice=$(choose "$need") || fail "no package source of this machine offers $need"
    packages+=("$choice")
  done
  announce "${packages[@]}"
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${packages[@]}" >"$log" 2>&1 ||
    fail "apt-get install failed: $(tail -n 20 "$log")"
  say 'Installed.'
}

# --- what is there, and what could be -------------------------------------------------------------

package_of() { echo "${1%%>=*}"; }
minimum_of() { [[ $1 == *'>='* ]] && echo "${1##*>=}" || echo 0; }
first_choices() { for need in "$@"; do printf '%s ' "${need%% *}"; done; }
new_enough() { dpkg --compare-versions "$1" ge "$2"; }

# True if one of the alternatives of a need is installed, and new enough.
is_met() {
  local alternative version
  for alternative in $1; do
    version=$(dpkg-query -W -f '${db:Status-Status} ${Version}\n' "$(package_of "$alternative")" \
      2>/dev/null | awk '$1 == "installed" { print $2; exit }')
    [[ -n $version ]] && new_enough "$version" "$(minimum_of "$alternative")" && return 0
  done
  return 1
}

# The first alternative that some source offers new enough: PACKAGE if apt-get would take it by
# itself, else (backports) PACKAGE=VERSION.
choose() {
  local alternative package minimum version
  for alternative in $1; do
    package=$(package_of "$alternative")
    minimum=$(minimum_of "$alternative")
    version=$(apt-cache policy "$package" 2>/dev/null | awk '$1 == "Candidate:" { print $2 }')
    if [[ -n $version && $version != '(none)' ]] && new_enough "$version" "$minimum"; then
      echo "$package"
      return 0
    fi
    for version in $(apt-cache madison "$package" 2>/dev/null | awk -F ' *[|] *' '{ print $2 }'); do
      new_enough "$version" "$minimum" || continue
      echo "$package=$version"
      return 0
    done
  done
  return 1
}

# --- Debian 12 ------------------------------------------------------------------------------------

enable_backports_if_needed() {
  local need all_offered=yes codename mirror keyring
  for need in "$@"; do
    choose "$need" >/dev/null || all_offered=no
  done
  [[ $all_offered == no ]] || return 0
  codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
  [[ $codename == bookworm ]] || return 0

  # The mirror as apt itself understands the sources, whichever of the two formats they are written in.
  mirror=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(COMPONENT)' 'Created-By: Packages' |
    awk -v codename="$codename" '$2 == codename && $3 == "main" { print $1; exit }')
  [[ -n $mirror ]] || fail 'the package sources of this machine name no mirror of Debian 12'
  say "Enabling Debian 12's official backports on $mirror"
  keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  {
    printf 'Types: deb\nURIs: %s\nSuites: %s-backports\nComponents: main\n' "$mirror" "$codename"
    [[ ! -e $keyring ]] || printf 'Signed-By: %s\n' "$keyring"
  } | "${root[@]}" tee /etc/apt/sources.list.d/spillway-backports.sources >/dev/null
  "${root[@]}" apt-get update -qq || fail 'the package list of the backports cannot be read'
}

# --- the program's shared libraries ---------------------------------------------------------------

list_runtime() {
  local library
  ldd "$1" | awk '$2 == "=>" && $3 ~ /^\// { print $3 }' | while read -r library; do
    # Packages own a library under its real path, which may differ by the /usr merge.
    dpkg -S "$(realpath "$library")" 2>/dev/null ||
      dpkg -S "$library" 2>/dev/null ||
      dpkg -S "${library#/usr}" 2>/dev/null ||
      fail "no package owns $library"
  done | sed 's/: .*//; s/:[a-z0-9]*$//' | sort -u
}

# --- telling --------------------------------------------------------------------------------------

say() { printf '%s\n' "$*" >&2; }
fail() {
  say "install_dependencies.sh: $*"
  exit 1
}

become_root() {
  log=$(mktemp)
  trap 'rm -f "$log"' EXIT
  root=()
  ((EUID == 0)) && return
  command -v sudo >/dev/null || fail "needs root or sudo to install: $(first_choices "${missing[@]}")"
  root=(sudo)
}

# Everything that will change on this machine, dependencies and conflicts included, before it changes.
announce() {
  local plan
  plan=$(apt-get install -s -qq --no-install-recommends "$@" 2>"$log") ||
    fail "apt-get sees no way to install $*: $(cat "$log")"
  say "Installing: $(awk '$1 == "Inst" { printf "%s ", $2 }' <<<"$plan")"
  grep -q '^Remv' <<<"$plan" || return 0
  say "Removing, because they conflict: $(awk '$1 == "Remv" { printf "%s ", $2 }' <<<"$plan")"
}

main "$@"
