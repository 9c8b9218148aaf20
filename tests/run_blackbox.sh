#!/bin/bash
# Runs the black-box tests against a gateway program: tests/run_blackbox.sh PROGRAM [pytest arguments]
#
# Client SDKs come from the Python and npm registries, into build/venv and tests/clients/node_modules. Where a registry
# cannot be reached, the tests that need it are left out and the last lines say which and why; with CI=true that is
# accepted only if the registry really does not answer.
set -uo pipefail
program=$(realpath -- "${1:-}" 2>/dev/null)
cd "$(dirname "$0")/.." || exit 2

readonly venv=$PWD/build/venv
readonly requirements=tests/blackbox/requirements.txt
readonly clients=tests/clients
readonly no_answer='NewConnectionError|ConnectTimeout|ReadTimeout|ProxyError|NameResolutionError|Temporary failure|Name or service not known|Network is unreachable|Connection refused|Connection reset|timed out|ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ENETUNREACH|EHOSTUNREACH|ETIMEDOUT|ERR_SOCKET_TIMEOUT'
left_out=()
python=$venv/bin/python
excused=no  # whether missing Python packages are the registry's fault
broken=0

main() {
  if [[ ! -f $program || ! -x $program ]]; then
    echo "usage: $0 PROGRAM [pytest arguments]; PROGRAM must be an executable gateway" >&2
    exit 2
  fi
  export SPILLWAY_BIN=$program
  shift

  mkdir -p build
  python_clients
  node_clients
  run_tests "$@"
  local status=$?
  ((${#left_out[@]} == 0)) || printf 'Left out: %s\n' "${left_out[@]}"
  ((broken == 0)) || exit 1
  exit "$status"
}

# Remembers that tests are not run. In CI only a registry that does not answer excuses it.
leave_out() {
  local forgiven=$1 what=$2
  left_out+=("$what")
  if [[ ${CI:-} == true && $forgiven == no ]]; then
    broken=1
  fi
}

# True if the installed packages are those that the lock file names.
is_current() {
  [[ -f $2 ]] && sha256sum --status --check "$2" 2>/dev/null && [[ -e $1 ]]
}

python_clients() {
  local stamp=$venv/requirements.sha256 log=build/venv-install.log
  is_current "$python" "$stamp" && return
  rm -rf "$venv"
  if ! python3 -m venv "$venv" >"$log" 2>&1; then
    tail -n 3 "$log"
    use_system_python no "python3 -m venv fails ($(tail -n 1 "$log"))"
  elif "$python" -m pip install --disable-pip-version-check --quiet --only-binary :all: --requirement "$requirements" \
    >"$log" 2>&1; then
    sha256sum "$requirements" >"$stamp"
  elif grep -qE "$no_answer" "$log" && ! registry_answers "$python" -m pip download --disable-pip-version-check \
    --no-cache-dir --no-deps --retries 1 --timeout 10 --dest "$(mktemp -d)" pytest==9.2.0; then
    use_system_python yes "the Python registry does not answer"
  else
    tail -n 20 "$log"
    use_system_python no "pip could not install $requirements, see $log"
  fi
}

# Without the packages the raw tests still run where the system has pytest; tests of missing SDKs skip themselves.
use_system_python() {
  local why=$2
  excused=$1
  rm -f "$venv/requirements.sha256"
  python=python3
  leave_out "$excused" "the OpenAI Python SDK, LangChain and the metrics parser, as far as they are not installed: $why"
}

node_clients() {
  local stamp=$clients/node_modules/.installed.sha256 log=$PWD/build/npm-install.log
  local what="the OpenAI SDK for Node and the Vercel AI SDK"
  if ! command -v node npm >/dev/null; then
    leave_out no "$what: node or npm is not installed"
    return
  fi
  is_current "$clients/node_modules/openai" "$stamp" && return
  if (cd "$clients" && npm ci --no-audit --no-fund --ignore-scripts) >"$log" 2>&1; then
    sha256sum "$clients/package-lock.json" >"$stamp"
  elif grep -qE "$no_answer" "$log" && ! registry_answers npm ping --fetch-retries 1 --fetch-timeout 10000; then
    leave_out yes "$what: the npm registry does not answer"
  else
    tail -n 20 "$log"
    leave_out no "$what: npm ci failed, see build/npm-install.log"
  fi
}

# The second look that tells "nobody there" from "there, but something is wrong".
registry_answers() {
  timeout 60 "$@" >/dev/null 2>&1
}

run_tests() {
  if ! "$python" -c 'import pytest' 2>/dev/null; then
    leave_out "$excused" "every black-box test: pytest is not installed"
    [[ $excused == yes ]]
    return
  fi
  local options=()
  ! "$python" -c 'import xdist' 2>/dev/null || options+=(-n 4 --dist worksteal)
  ! "$python" -c 'import pytest_timeout' 2>/dev/null || options+=(--timeout 120)
  "$python" -m pytest "${options[@]}" -o cache_dir="$PWD/build/pytest-cache" tests/blackbox "$@"
}

main "$@"
