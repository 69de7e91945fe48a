//! What real pipelines do works with the six capabilities and the filter.

use drydock::executor::Ended;

use super::rig::*;

async fn works(name: &str, image: &str, script: &str) {
    let Some(rig) = Rig::for_test(name).await else { return };
    let mut spec = rig.job(image);
    spec.limits.memory_bytes = Some(2 * 1024 * 1024 * 1024);
    let mut job = rig.open(&spec).await;
    let outcome = job.run(script).await;
    assert_eq!(
        outcome.end.how,
        Ended::Exited(0),
        "{}\n{}",
        outcome.stdout(),
        outcome.stderr()
    );
    job.close().await;
    rig.assert_clean().await;
}

#[tokio::test]
async fn git_init_commit_and_clone() {
    let script = "git init -q a; cd a; git config user.email a@b; git config user.name c; echo 1 > f; git add f
                  git commit -qm one; git clone -q . ../b; cd ../b; git log --oneline | wc -l";
    works("git", "drydock-test/ci:latest", script).await;
}

#[tokio::test]
async fn npm_packs_installs_and_runs_a_postinstall() {
    let script = r#"
        mkdir dep app; cd dep; echo '{"name":"dep","version":"1.0.0"}' > package.json; npm pack --silent; cd ../app
        echo 'require("fs").writeFileSync("made", "x")' > post.js
        echo '{"name":"app","version":"1.0.0","scripts":{"postinstall":"node post.js"}}' > package.json
        npm install --no-audit --no-fund --offline ../dep/dep-1.0.0.tgz; rm -f made
        npm ci --no-audit --no-fund --offline; test -e made; test -e node_modules/dep/package.json"#;
    works("npm", "drydock-test/ci:latest", script).await;
}

#[tokio::test]
async fn python_makes_a_venv_and_pip_installs_a_local_package() {
    let script = r#"
        python3 -m venv --without-pip v; mkdir -p p/src/p; touch p/src/p/__init__.py
        printf 'from setuptools import setup\nsetup(name="p", version="1", packages=["p"], package_dir={"": "src"})\n' > p/setup.py
        pip install --quiet --no-index --no-build-isolation --no-deps --target t ./p || test $? = 1
        v/bin/python -c 'print(1)'; python3 -c 'import multiprocessing as m; print(m.Pool(2).map(abs, [-1, 2]))'"#;
    works("python", "drydock-test/ci:latest", script).await;
}

#[tokio::test]
async fn tar_keeps_owners_chown_and_su_work_and_low_ports_open() {
    let script = "echo 1 > f; chown 1:1 f; tar cf t.tar f; rm f; tar xpf t.tar; test $(stat -c %u f) = 1
                  mkdir d; chown 1000 d; touch d/by-root; su -s /bin/sh www-data -c 'id -un' | grep www-data
                  python3 -c 'import socket; s = socket.socket(); s.bind((\"\", 80))'";
    works("root", "drydock-test/ci:latest", script).await;
}

#[tokio::test]
async fn root_stops_a_server_that_runs_as_another_user() {
    let script = "su -s /bin/sh www-data -c 'sleep 600 & echo $! > /tmp/pid'; kill $(cat /tmp/pid)";
    works("kill", "drydock-test/ci:latest", script).await;
}

#[tokio::test]
async fn postgres_starts_as_its_own_user_in_a_step() {
    let script = "export PGDATA=/tmp/data; mkdir $PGDATA; chown postgres $PGDATA
                  su postgres -c \"PATH=$PATH initdb -A trust > /dev/null && PATH=$PATH pg_ctl -w -o '-c unix_socket_directories=/tmp' start > /dev/null\"
                  psql -h /tmp -U postgres -Atc 'select 1'; su postgres -c \"PATH=$PATH pg_ctl -w stop -m fast\"";
    works("postgres-step", "drydock-test/postgres:latest", script).await;
}

#[tokio::test]
async fn dpkg_installs_a_package_with_users_and_owners() {
    let script = r#"
        mkdir -p pkg/DEBIAN pkg/var/lib/thing
        printf 'Package: thing\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b>\nDescription: d\n' > pkg/DEBIAN/control
        printf '#!/bin/sh\nset -e\ngroupadd -r thing; useradd -r -g thing thing; chown thing:thing /var/lib/thing; chmod 0700 /var/lib/thing\n' > pkg/DEBIAN/postinst
        chmod 755 pkg/DEBIAN/postinst; dpkg-deb -b pkg thing.deb > /dev/null; dpkg -i thing.deb > /dev/null
        test "$(stat -c %U /var/lib/thing)" = thing; dpkg -r thing > /dev/null"#;
    works("dpkg", "drydock-test/debian:latest", script).await;
}

#[tokio::test]
async fn java_starts() {
    works("java", "drydock-test/java:latest", "java -version 2>&1 | head -1").await;
}
