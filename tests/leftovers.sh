#!/usr/bin/env bash
# Says nothing when Docker holds nothing of Drydock's but what is meant to stay (the shim's volume, caches);
# else lists what was left and fails. Labels say whose a thing is, whatever its name.
set -euo pipefail

left=$(
  docker ps --all --filter label=io.drydock.server --format 'container {{.Names}} ({{.Status}}), pipeline {{.Label "io.drydock.pipeline"}}'
  docker network ls --filter label=io.drydock.server --format 'network {{.Name}}'
  docker volume ls --filter label=io.drydock.server --format 'volume {{.Name}}'
)
[ -z "$left" ] && exit 0
printf 'error: Drydock left in Docker:\n%s\n' "$left" >&2
exit 1
