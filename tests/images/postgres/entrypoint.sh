#!/bin/bash
# Makes a database cluster on first start, then becomes the server. Root gives up its rights first.
set -euo pipefail

if [ "$(id -u)" = 0 ]; then
  chown postgres:postgres "$PGDATA"
  exec setpriv --reuid postgres --regid postgres --init-groups "$0" "$@"
fi
[ "${1:-}" = postgres ] || exec "$@"

user=${POSTGRES_USER:-postgres}
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  if [ -z "${POSTGRES_PASSWORD:-}" ]; then
    echo "POSTGRES_PASSWORD is not set: the server would let nobody in" >&2
    exit 1
  fi
  initdb --username "$user" --pwfile <(printf '%s' "$POSTGRES_PASSWORD") --auth-local trust --auth-host scram-sha-256 --no-sync >/dev/null
  printf "listen_addresses = '*'\nfsync = off\n" >>"$PGDATA/postgresql.conf"
  printf 'host all all all scram-sha-256\n' >>"$PGDATA/pg_hba.conf"
  # Set up over the local socket only: nobody finds the server "ready" before its database is there.
  if [ "${POSTGRES_DB:-$user}" != postgres ]; then
    pg_ctl start --silent --wait --options "-c listen_addresses='' -c unix_socket_directories=/tmp" >/dev/null
    createdb --host /tmp --username "$user" "${POSTGRES_DB:-$user}"
    pg_ctl stop --silent --mode fast >/dev/null
  fi
fi
exec "$@"
