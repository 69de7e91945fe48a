#!/usr/bin/env bash
# The main job, end to end, on this machine: a signed push becomes a built, tested and pushed image, and a green commit.
#
# Starts a registry, a forge and `drydock serve` on loopback, pushes examples/spring-boot to the forge with git, follows
# the pipeline, and checks the three answers: the pipeline's, the registry's and the forge's. Ends all of them again.
set -euo pipefail
cd "$(dirname "$0")/../.."

title() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
die() { printf 'demo: error: %s\n' "$*" >&2; exit 1; }

deploy/setup.sh
tests/images/build.sh java
title "building drydock"
cargo build --quiet
drydock=$PWD/target/debug/drydock

work=$(mktemp -d "${TMPDIR:-/tmp}/drydock-demo.XXXXXX")
started=()
finish() {
  status=$?
  [ $status = 0 ] || for log in "$work"/*.log; do [ ! -s "$log" ] || { echo "--- ${log##*/}"; tail -n 20 "$log"; } >&2; done
  for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${started[@]}"; do wait "$pid" 2>/dev/null || true; done
  rm -rf "$work"
  exit $status
}
trap finish EXIT

# start NAME COMMAND...: in the background, its output in NAME.log
start() {
  local name=$1
  shift
  "$@" >"$work/$name.log" 2>&1 &
  started+=($!)
}

# address NAME PATTERN: what the program that writes NAME.log says it listens on
address() {
  local name=$1 pattern=$2 found deadline=$((SECONDS + 60))
  until found=$(grep -m1 -oE "$pattern" "$work/$name.log" | grep -oE '127\.0\.0\.1:[0-9]+'); do
    kill -0 "${started[-1]}" 2>/dev/null && [ $SECONDS -lt $deadline ] || die "$name did not start"
    sleep 0.1
  done
  echo "$found"
}
