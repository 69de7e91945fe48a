#!/usr/bin/env bash
# The main job, end to end, on this machine: a signed push becomes a built, tested and pushed image, and a green commit.
#
# Starts a registry, a forge and `drydock serve` on loopback, pushes examples/spring-boot to the forge with git, follows
# the pipeline, and checks the three answers: the pipeline's, the registry's and the forge's. Ends all of them again.
set -euo pipefail
cd "$(dirname "$0")/../.."
here=$PWD/tests/demo

title() { printf '\n== %s\n' "$*"; }
die() { printf 'demo: error: %s\n' "$*" >&2; exit 1; }

deploy/setup.sh
tests/images/build.sh java
title "cargo build"
cargo build
drydock=${CARGO_TARGET_DIR:-$PWD/target}/debug/drydock

work=$(mktemp -d "${TMPDIR:-/tmp}/drydock-demo.XXXXXX")
started=()
finish() {
  status=$?
  if [ $status != 0 ]; then
    for log in "$work"/*.log; do printf -- '--- %s\n' "${log##*/}" >&2 && tail -n 20 "$log" >&2; done
  fi
  for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${started[@]}"; do wait "$pid" 2>/dev/null || true; done
  rm -rf "$work"
  exit $status
}
trap finish EXIT

# start NAME COMMAND...: in the background; what it says goes to NAME.log.
start() {
  local name=$1
  shift
  "$@" >"$work/$name.log" 2>&1 </dev/null &
  started+=($!)
}

# Waits until the program started last says where it listens; every one of them takes a port from the kernel.
listening() {
  local name=$1 before=$2 found deadline=$((SECONDS + 60))
  until found=$(grep -m1 -oE "$before(http://)?127\.0\.0\.1:[0-9]+" "$work/$name.log" | grep -oE '127\.0\.0\.1:[0-9]+'); do
    if ! kill -0 "${started[-1]}" 2>/dev/null || [ $SECONDS -ge $deadline ]; then die "$name did not start"; fi
    sleep 0.1
  done
  echo "$found"
}

title "a registry, a forge and drydock serve"
export DEMO_TOKEN=demo-forge-token DEMO_WEBHOOK_SECRET=demo-webhook-secret
export DRYDOCK_DATA_DIR=$work/data
registry_user=ci registry_password=demo-registry-password
mkdir -p "$work/forge" "$work/registry"
# bcrypt of the password above.
printf 'ci:%s\n' '$2b$05$/0I0jCljp9to/hsQ7vEPAe9Yqq0cI9t30dQzyQnduukBHcOPnRkdO' >"$work/registry/htpasswd"
cat >"$work/registry/config.yml" <<END
version: 0.1
log: { level: info }
storage: { filesystem: { rootdirectory: $work/registry/data } }
auth: { htpasswd: { realm: demo, path: $work/registry/htpasswd } }
http: { addr: "127.0.0.1:0" }
END
start registry docker-registry serve "$work/registry/config.yml"
registry=$(listening registry "listening on ")
start forge python3 "$here/forge.py" serve "$work/forge"
forge=$(listening forge "")
cat >"$work/config.toml" <<END
data_dir = "$work/data"
[server]
listen = "127.0.0.1:0"
[forges.github]
api_url = "http://$forge"
token = "$DEMO_TOKEN"
webhook_secret = "$DEMO_WEBHOOK_SECRET"
[clone]
schemes = ["http"]
[[clone.credentials]]
url = "http://$forge"
username = "demo"
token = "$DEMO_TOKEN"
[[registries]]
host = "$registry"
username = "$registry_user"
password = "$registry_password"
plain_http = true
END
start drydock "$drydock" serve --config "$work/config.toml"
server=$(listening drydock "listens on ")
python3 "$here/forge.py" create "$work/forge" demo/hello "http://$server/hooks/github"
printf 'registry  %s\nforge     http://%s\ndrydock   http://%s\n' "$registry" "$forge" "$server"

title "drydock repo add github:demo/hello"
"$drydock" repo add github:demo/hello --clone-url "http://$forge/demo/hello.git"

title "git push: examples/spring-boot, its image to be pushed to the registry above"
cp -a examples/spring-boot "$work/hello"
# The example pushes where the variable REGISTRY says; this repository has one registry.
sed -i "s|\${{ vars.REGISTRY }}|$registry|; s/vars.REGISTRY && //" "$work/hello/.drydock.yml"
git=(git -C "$work/hello" -c user.name=Demo -c user.email=demo@example.com)
"${git[@]}" init --quiet --initial-branch=main
"${git[@]}" add .
"${git[@]}" commit --quiet --message "Say hello"
commit=$("${git[@]}" rev-parse HEAD)
"${git[@]}" push "http://demo:$DEMO_TOKEN@$forge/demo/hello.git" main 2>&1 | tee "$work/push.log"
pipeline=$(grep -oE '"pipeline": ?[0-9]+' "$work/push.log" | grep -oE '[0-9]+') || die "the webhook started no pipeline"

title "drydock pipeline logs $pipeline --follow"
"$drydock" pipeline logs "$pipeline" --follow || die "the pipeline did not pass"

title "the pipeline: drydock pipeline show $pipeline"
"$drydock" pipeline show "$pipeline"

title "the image, as the registry reports it"
image=demo/hello
digest=$(curl --silent --show-error --fail --head --user "$registry_user:$registry_password" \
  --header 'Accept: application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json' \
  "http://$registry/v2/$image/manifests/$commit" | tr -d '\r' | sed -n 's/^[Dd]ocker-[Cc]ontent-[Dd]igest: //p')
[ -n "$digest" ] || die "the registry does not have $image:$commit"
echo "$registry/$image:$commit"
echo "$registry/$image@$digest"

title "the status, as the forge received it"
# Statuses are delivered beside the run; the last one may still be on its way.
deadline=$((SECONDS + 60))
until statuses=$(curl --silent --fail "http://$forge/repos/$image/commits/$commit/statuses") && [[ $statuses == *'"success"'* ]]; do
  [ $SECONDS -lt $deadline ] || die "the forge was not told success; it was told: $statuses"
  sleep 0.1
done
python3 -c 'import json, sys
for status in reversed(json.load(sys.stdin)):
    print("{state:<8} {context}: {description}".format(**status))' <<<"$statuses"

kill "${started[-1]}"
wait "${started[-1]}" || die "drydock serve did not end cleanly"
tests/leftovers.sh
title "done: pushed, built, tested, published, told; nothing is left in Docker but caches"
