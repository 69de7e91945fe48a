#!/usr/bin/env bash
# Makes the images that tests, demo and examples run in, from Debian's packages alone, so that no image hub is needed.
#
#   tests/images/build.sh             make or load what is missing, then print one line per image
#   tests/images/build.sh busybox     only this image (and what it is made from)
#
# Each image is `drydock-test/NAME:latest`, and `drydock-test/NAME:HASH` where HASH covers everything it is made
# from: an image whose HASH is there is not made again. All are kept as one archive in the cache folder, so that a
# new daemon only loads them. Where the daemon has no image of the name that a hub would serve (`postgres:15`, see
# `hub_names`), that name is given too: the examples then run offline as they are written. Every image carries the
# label io.drydock.test=1, and a name that is somebody else's image is never touched.
#
# DRYDOCK_CACHE            the cache folder (default ~/.cache/drydock-test)
# DRYDOCK_DEBIAN_MIRROR    where packages come from (default: what this machine's apt uses)
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cache=${DRYDOCK_CACHE:-$HOME/.cache/drydock-test}
suite=bookworm
label=io.drydock.test=1
all_images=(busybox debian postgres java ci)
# The classic builder, whatever the client: it needs no plugin, and no image gets two manifests.
export DOCKER_BUILDKIT=0

say() { printf 'images: %s\n' "$*"; }
die() { printf 'images: error: %s\n' "$*" >&2; exit 1; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

parent_of() { case $1 in busybox | debian) ;; *) echo debian ;; esac; }

hub_names() {
  case $1 in
    busybox) echo busybox:latest ;;
    debian) echo debian:12-slim debian:bookworm-slim ;;
    postgres) echo postgres:15 ;;
    java) echo eclipse-temurin:17 openjdk:17 ;;
    ci) echo node:24-slim python:3.11-slim ;;
  esac
}

# This machine's own certificate authorities (a proxy that re-signs TLS, say): pip and npm need them inside too.
own_authorities() { find /usr/local/share/ca-certificates -name '*.crt' 2>/dev/null | sort; }

hash_of() {
  local name=$1 parent
  parent=$(parent_of "$name")
  {
    cat "$here/build.sh"
    uname -m
    if [ -n "$parent" ]; then hash_of "$parent"; fi
    if [ -d "$here/$name" ]; then find "$here/$name" -type f | sort | xargs cat; fi
    if [ "$name" = debian ]; then own_authorities | xargs -r cat; fi
  } | sha256sum | cut -c1-16
}

exists() { docker image inspect "$1" >/dev/null 2>&1; }

debian_mirror() {
  if [ -n "${DRYDOCK_DEBIAN_MIRROR:-}" ]; then
    echo "$DRYDOCK_DEBIAN_MIRROR"
    return
  fi
  local found
  found=$(apt-get indextargets --format '$(ORIGIN) $(LABEL) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
    awk '$1 == "Debian" && $2 == "Debian" && $3 == "main" {print $4; exit}')
  # Before the first `apt-get update` apt knows no origins: take the address it is set up with.
  [ -n "$found" ] || found=$(apt-get indextargets --format '$(COMPONENT) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
    awk '$1 == "main" && $2 ~ /\/debian\/?$/ {print $2; exit}')
  [ -n "$found" ] || die "apt names no Debian mirror here; set DRYDOCK_DEBIAN_MIRROR to one"
  echo "$found"
}

make_busybox() {
  local tag=$1 dir=$2 deb applet
  (cd "$dir" && apt-get download busybox-static >download.log 2>&1) || {
    as_root apt-get update >/dev/null && (cd "$dir" && apt-get download busybox-static >download.log 2>&1)
  } || { cat "$dir/download.log" >&2; die "apt-get could not download busybox-static"; }
  deb=$(ls "$dir"/busybox-static_*.deb)
  dpkg-deb -x "$deb" "$dir/package"
  mkdir -p "$dir/root"/{bin,etc,home,proc,root,sys,dev,var/www,usr/bin,usr/sbin,sbin} "$dir/root/tmp"
  chmod 1777 "$dir/root/tmp"
  cp "$dir/package/bin/busybox" "$dir/root/bin/busybox"
  for applet in $("$dir/root/bin/busybox" --list-full); do
    [ -e "$dir/root/$applet" ] || ln -s /bin/busybox "$dir/root/$applet"
  done
  printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n' >"$dir/root/etc/passwd"
  printf 'root:x:0:\nnogroup:x:65534:\n' >"$dir/root/etc/group"
  tar -C "$dir/root" --owner=0 --group=0 --numeric-owner -c . |
    docker import --change "LABEL $label" --change 'CMD ["sh"]' \
      --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' - "$tag" >/dev/null
}

make_debian() {
  local tag=$1 dir=$2 root=$2/root mirror authority
  mirror=$(debian_mirror)
  as_root debootstrap --variant=minbase --include=ca-certificates,procps "$suite" "$root" "$mirror" >"$dir/log" 2>&1 ||
    { tail -n 10 "$dir/log" >&2; die "debootstrap failed"; }
  # Small, and quick to install into: no documentation, no translations, no fsync per file.
  as_root tee "$root/etc/dpkg/dpkg.cfg.d/small" >/dev/null <<'DPKG'
force-unsafe-io
path-exclude=/usr/share/doc/*
path-exclude=/usr/share/info/*
path-exclude=/usr/share/locale/*
path-exclude=/usr/share/man/*
path-exclude=/usr/share/lintian/*
DPKG
  printf 'Acquire::Languages "none";\nAPT::Install-Recommends "false";\n' | as_root tee "$root/etc/apt/apt.conf.d/small" >/dev/null
  for authority in $(own_authorities); do
    as_root cp "$authority" "$root/usr/local/share/ca-certificates/"
  done
  as_root chroot "$root" update-ca-certificates >>"$dir/log" 2>&1
  # Folders stay: some packages' install scripts link into /usr/share/man/man1.
  as_root sh -c 'cd "$1" && rm -rf var/lib/apt/lists/* var/cache/apt/* var/log/* etc/hostname etc/resolv.conf &&
    find usr/share/doc usr/share/info usr/share/locale usr/share/man usr/share/lintian ! -type d -delete' sh "$root"
  as_root tar -C "$root" --numeric-owner -c . |
    docker import --change "LABEL $label" --change 'CMD ["bash"]' \
      --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8' - "$tag" >/dev/null
  as_root rm -rf "$root"
}

# Images with a folder of their own: a Dockerfile on top of ours.
make_from_dockerfile() {
  local name=$1 tag=$2 dir=$3
  docker build --quiet --force-rm --label "$label" --build-arg "BASE=drydock-test/debian:$(hash_of debian)" \
    --tag "$tag" "$here/$name" >"$dir/log" 2>&1 || { tail -n 25 "$dir/log" >&2; die "docker build of $name failed"; }
}

make_image() {
  local name=$1 tag=$2 dir started=$SECONDS
  dir=$(mktemp -d "${TMPDIR:-/tmp}/drydock-image-$name.XXXXXX")
  # shellcheck disable=SC2064
  trap "as_root rm -rf '$dir'" EXIT
  case $name in
    busybox | debian) "make_$name" "$tag" "$dir" ;;
    *) make_from_dockerfile "$name" "$tag" "$dir" ;;
  esac
  say "made $name in $((SECONDS - started)) s"
}

# Names for the image just made or loaded; yesterday's are dropped.
give_names() {
  local name=$1 hash=$2 tag old
  docker tag "drydock-test/$name:$hash" "drydock-test/$name:latest"
  for tag in $(hub_names "$name"); do
    if ! exists "$tag" || [ "$(docker image inspect --format '{{index .Config.Labels "io.drydock.test"}}' "$tag")" = 1 ]; then
      docker tag "drydock-test/$name:$hash" "$tag"
    fi
  done
  for old in $(docker images --format '{{.Tag}}' "drydock-test/$name"); do
    case $old in latest | "$hash") ;; *) docker rmi "drydock-test/$name:$old" >/dev/null 2>&1 || true ;; esac
  done
}

for name in "$@"; do
  case " ${all_images[*]} " in *" $name "*) ;; *) die "unknown image \`$name\`; there are: ${all_images[*]}" ;; esac
done
docker version --format '{{.Server.Version}}' >/dev/null 2>&1 || die "no Docker daemon answers; run deploy/setup.sh first"
mkdir -p "$cache/images"
exec 9>"$cache/images/lock"
flock 9

wanted=()
for name in "${all_images[@]}"; do
  for asked in "${@:-$name}"; do
    if [ "$asked" = "$name" ] || [ "$(parent_of "$asked")" = "$name" ]; then wanted+=("$name"); break; fi
  done
done

declare -A hash
for name in "${all_images[@]}"; do hash[$name]=$(hash_of "$name"); done
archive=$cache/images/all-$(printf '%s' "${hash[@]}" | sha256sum | cut -c1-16).tar
missing() { for name in "${wanted[@]}"; do exists "drydock-test/$name:${hash[$name]}" || echo "$name"; done; }

if [ -n "$(missing)" ] && [ -e "$archive" ]; then
  docker load --quiet --input "$archive" >/dev/null
  say "loaded $archive"
fi

# Those without a parent first, then the others side by side.
for round in roots children; do
  jobs=()
  for name in $(missing); do
    if [ -z "$(parent_of "$name")" ] || [ "$round" = children ]; then
      # 9>&-: nothing started here may hold the lock when this script has ended.
      (make_image "$name" "drydock-test/$name:${hash[$name]}") 9>&- &
      jobs+=($!)
    fi
  done
  for job in "${jobs[@]}"; do wait "$job" || die "an image could not be made, see above"; done
done

for name in "${wanted[@]}"; do
  give_names "$name" "${hash[$name]}"
  say "drydock-test/$name  $(docker image inspect --format '{{.Size}}' "drydock-test/$name" | awk '{printf "%d MB", $1 / 1000000}')"
done

if [ ${#wanted[@]} = ${#all_images[@]} ] && [ ! -e "$archive" ]; then
  rm -f "$cache"/images/all-*.tar "$cache"/images/*.part
  docker save --output "$archive.part" $(for name in "${all_images[@]}"; do echo "drydock-test/$name:${hash[$name]}"; done)
  mv "$archive.part" "$archive"
  say "kept them in $archive"
fi
