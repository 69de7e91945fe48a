#!/usr/bin/env bash
# Prepares a Debian machine (12 or newer) for Drydock: installs what is missing, starts Docker when no
# daemon answers, and says in one line each what it did. Running it again changes nothing.
#
#   deploy/setup.sh             everything that building and testing Drydock needs
#   deploy/setup.sh docker      only a running Docker daemon
#   deploy/setup.sh build       only what `cargo build` needs (Rust itself comes from rustup)
#   deploy/setup.sh test        only what the tests and the demo need beside Docker
#
# DRYDOCK_CACHE   where logs and test parts are kept (default ~/.cache/drydock-test)
# DOCKER_HOST     honoured: when it names a daemon that answers, none is started
set -euo pipefail

cache=${DRYDOCK_CACHE:-$HOME/.cache/drydock-test}
moto_version=5.2.1
docker_wait_seconds=60

say() { printf 'setup: %s\n' "$*"; }
die() { printf 'setup: error: %s\n' "$*" >&2; exit 1; }
have() { PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null 2>&1; }
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif have sudo; then sudo "$@"
  else die "root rights are needed for: $* (there is no sudo here; run this script as root)"; fi
}

missing=()
# want COMMAND PACKAGE: the package is installed only where the command is not there.
want() { have "$1" || missing+=("$2"); }

want_docker() {
  docker_answers && return
  want dockerd docker.io
  want docker docker.io
  want iptables iptables
}

want_build() {
  have cargo || die "cargo is missing: install Rust with rustup, then run this again (rust-toolchain.toml names the version)"
  want cc gcc
  want c++ g++
  want make make
  want cmake cmake
  want perl perl
  want pkg-config pkg-config
  pkg-config --exists openssl 2>/dev/null || missing+=(libssl-dev)
  want git git
}

want_test() {
  want docker docker.io
  want debootstrap debootstrap
  want docker-registry docker-registry
  want git git
  want ssh openssh-client
  want sshd openssh-server
  want openssl openssl
  want curl curl
  want python3 python3
  python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
}

install_missing() {
  [ ${#missing[@]} -gt 0 ] || return 0
  local packages
  mapfile -t packages < <(printf '%s\n' "${missing[@]}" | sort -u)
  have apt-get || die "missing: ${packages[*]} (Debian's names); there is no apt-get here, so install them by hand"
  mkdir -p "$cache"
  local log=$cache/apt.log guard=
  # A package's own start script would start servers on well-known ports (sshd, a registry): only install.
  if [ ! -e /usr/sbin/policy-rc.d ] && [ ! -d /run/systemd/system ]; then
    guard=/usr/sbin/policy-rc.d
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$guard" >/dev/null
    as_root chmod 755 "$guard"
  fi
  local failed=
  { as_root apt-get update && as_root env DEBIAN_FRONTEND=noninteractive \
      apt-get install -y --no-install-recommends "${packages[@]}"; } >"$log" 2>&1 || failed=1
  [ -z "$guard" ] || as_root rm -f "$guard"
  if [ -n "$failed" ]; then
    tail -n 15 "$log" >&2
    die "apt-get could not install ${packages[*]}; the whole log is $log"
  fi
  say "installed ${packages[*]} (apt-get)"
}

docker_answers() { have docker && timeout 20 docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

# A daemon that was killed leaves its pid file; when the pid was given to another process since, dockerd refuses to start.
drop_stale_pid_file() {
  local file=$1 name=$2 pid
  [ -s "$file" ] || return 0
  pid=$(cat "$file")
  if [ "$(cat "/proc/$pid/comm" 2>/dev/null)" != "$name" ]; then
    as_root rm -f "$file"
    say "removed a stale $file"
  fi
}

mount_cgroups() {
  grep -qE '^[^ ]+ /sys/fs/cgroup(/[a-z,]+)? cgroup2? ' /proc/mounts && return
  as_root mount -t tmpfs -o mode=755 cgroup /sys/fs/cgroup
  local controller
  while read -r controller; do
    as_root mkdir -p "/sys/fs/cgroup/$controller"
    as_root mount -t cgroup -o "$controller" cgroup "/sys/fs/cgroup/$controller" || as_root rmdir "/sys/fs/cgroup/$controller"
  done < <(awk '!/^#/ && $4 == 1 {print $1}' /proc/cgroups)
  say "mounted the cgroup controllers"
}

start_docker() {
  if docker_answers; then
    say "Docker $(docker version --format '{{.Server.Version}}') answers${DOCKER_HOST:+ at $DOCKER_HOST}"
    return
  fi
  [ -z "${DOCKER_HOST:-}" ] || die "no Docker daemon answers at DOCKER_HOST=$DOCKER_HOST; correct it, or unset it to have a daemon started here"
  if [ -d /run/systemd/system ]; then
    as_root systemctl enable --now docker >/dev/null 2>&1 || die "systemctl could not start Docker; see: journalctl -u docker"
  else
    mkdir -p "$cache"
    mount_cgroups
    drop_stale_pid_file /var/run/docker.pid dockerd
    drop_stale_pid_file /var/run/docker/containerd/containerd.pid containerd
    # Networks between containers on one bridge go through iptables only with this module; without it they still talk.
    [ -e /proc/sys/net/bridge ] || as_root modprobe br_netfilter 2>/dev/null || true
    # setsid: the daemon stays for later commands when this shell and its terminal are gone.
    as_root setsid sh -c 'exec env PATH="$PATH:/usr/sbin:/sbin" dockerd --host unix:///var/run/docker.sock >>"$1" 2>&1 </dev/null &' sh "$cache/dockerd.log"
  fi
  local deadline=$((SECONDS + docker_wait_seconds))
  until docker_answers; do
    if [ $SECONDS -ge $deadline ]; then
      if [ -r "$cache/dockerd.log" ]; then tail -n 20 "$cache/dockerd.log" >&2; fi
      if [ "$(id -u)" != 0 ] && ! id -nG | grep -qw docker; then
        die "no Docker daemon answers; you may not use its socket: add yourself to the group (usermod -aG docker $(id -un)) and log in again"
      fi
      die "the Docker daemon did not answer within $docker_wait_seconds s (its log: $cache/dockerd.log)"
    fi
    sleep 0.2
  done
  say "started Docker $(docker version --format '{{.Server.Version}}') (kept running; log $cache/dockerd.log)"
}

# moto stands in for the AWS API in the ECR tests; it lives in a virtual environment of its own.
install_moto() {
  local venv=$cache/moto-$moto_version
  [ -e "$venv/complete" ] && return
  rm -rf "$venv"
  mkdir -p "$cache"
  python3 -m venv "$venv"
  if ! "$venv/bin/pip" install --quiet --no-compile "moto==$moto_version" flask flask-cors >"$cache/moto.log" 2>&1; then
    rm -rf "$venv"
    tail -n 5 "$cache/moto.log" >&2
    say "warning: moto_server could not be installed; the ECR tests need it (log $cache/moto.log)"
    return
  fi
  touch "$venv/complete"
  say "installed moto_server $moto_version into $venv"
}

[ $# -gt 0 ] || set -- docker build test
for part in "$@"; do
  case $part in
    docker | build | test) "want_$part" ;;
    *) die "unknown part \`$part\`; the parts are docker, build and test" ;;
  esac
done
install_missing
for part in "$@"; do
  case $part in
    docker) start_docker ;;
    test) install_moto ;;
    build) ;;
  esac
done
say "ready"
