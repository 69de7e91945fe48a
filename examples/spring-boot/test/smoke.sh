#!/bin/bash
# Starts the jar that the image holds and asks it, with nothing but bash.
set -euo pipefail

get() {
  exec 3<>"/dev/tcp/127.0.0.1/$PORT"
  printf 'GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n' "$1" >&3
  cat <&3
  exec 3<&-
}

expect() {
  if ! get "$1" | grep -qF "$2"; then
    echo "GET $1 did not answer: $2" >&2
    get "$1" >&2
    exit 1
  fi
  echo "ok: GET $1"
}

export PORT=8080
java -jar /app.jar &
trap 'kill $!' EXIT
for _ in $(seq 100); do
  (exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null && break
  sleep 0.1
done

expect /actuator/health '"status":"UP"'
expect /greeting 'Hello, World!'
expect '/greeting?name=Drydock' 'Hello, Drydock!'
