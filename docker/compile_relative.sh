#!/bin/bash
# Runs a compiler with the sources named from where it runs, so that what it makes does not depend on where they lie.
#
#   docker/compile_relative.sh SOURCES PATH_TO_SOURCES COMPILER ARGUMENT...
set -euo pipefail
readonly sources=$1 path=${2%/}
shift 2
arguments=()
for argument in "$@"; do
  case $argument in
    "$sources"/*) argument=$path/${argument#"$sources"/} ;;
    "-I$sources") argument=-I$path ;;
    "-I$sources"/*) argument=-I$path/${argument#"-I$sources"/} ;;
  esac
  arguments+=("$argument")
done
exec "${arguments[@]}"
