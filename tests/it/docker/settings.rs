//! What a job's containers may do, as the engine sees it and as a process in them finds it.

use drydock::executor::Ended;

use super::rig::*;

#[tokio::test]
async fn the_containers_settings_are_the_published_ones() {
    let Some(rig) = Rig::for_test("settings").await else {
        return;
    };
    let mut spec = rig.job(BUSYBOX);
    spec.limits.cpus = Some(1.5);
    spec.limits.pids = 512;
    let mut db = service("db", BUSYBOX);
    db.command = Some(vec!["sleep".into(), "600".into()]);
    spec.services = vec![db];
    let job = rig.open(&spec).await;
    let mut pictures = Vec::new();
    for id in rig.containers().await {
        let found = rig
            .daemon
            .docker
            .inspect_container(&id, None)
            .await
            .expect("a container");
        pictures.push(picture(&found));
    }
    pictures.sort();
    insta::assert_snapshot!(pictures.join("\n"), @r#"
    ["io.drydock.attempt=1", "io.drydock.job=unit", "io.drydock.pipeline=1", "io.drydock.role=job"]
      caps -Some(["ALL"]) +Some(["CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "SETGID", "SETUID"]); security ["no-new-privileges", "seccomp"]; privileged Some(false); devices None
      pids Some(512); memory Some(536870912); swap Some(536870912); cpus Some(1500000000); shm Some(67108864); limits in force: true
      init Some(false); restart Some(NO); remove Some(false); log Some("local")
      host name Some("drydock"); user Some("0:0"); stdin Some(true) once Some(false); tty Some(false); health Some(["NONE"])
      ipc Some("private"); pid Some(""); uts Some(""); userns Some(""); binds None; masked true; read-only true
      mounts ["/.drydock Some(\"volume\") read-only", "/workspace Some(\"volume\") writable"]; tmpfs Some({"/.drydock/run": "rw,exec,nosuid,nodev,mode=0755,size=256m"})
    ["io.drydock.attempt=1", "io.drydock.job=unit", "io.drydock.pipeline=1", "io.drydock.role=service"]
      caps -Some(["ALL"]) +Some(["CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "SETGID", "SETUID"]); security ["no-new-privileges", "seccomp"]; privileged Some(false); devices None
      pids Some(512); memory Some(536870912); swap Some(536870912); cpus Some(1500000000); shm Some(67108864); limits in force: true
      init Some(true); restart Some(NO); remove Some(false); log Some("local")
      host name Some("drydock"); user Some(""); stdin Some(false) once Some(false); tty Some(false); health Some(["NONE"])
      ipc Some("private"); pid Some(""); uts Some(""); userns Some(""); binds None; masked true; read-only true
      mounts []; tmpfs None
    "#);
    job.close().await;
    rig.assert_clean().await;
}

/// Everything that decides what a container may do. Names that are new each time are left out.
fn picture(found: &bollard::models::ContainerInspectResponse) -> String {
    let config = found.config.as_ref().expect("a configuration");
    let host = found.host_config.as_ref().expect("host settings");
    let labels = config.labels.clone().unwrap_or_default();
    let mut labels: Vec<String> = labels
        .iter()
        .filter(|(name, _)| *name != "io.drydock.server" && *name != "io.drydock.test")
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    labels.sort();
    let mut mounts: Vec<String> = found
        .mounts
        .iter()
        .flatten()
        .map(|mount| {
            let access = if mount.rw == Some(true) {
                "writable"
            } else {
                "read-only"
            };
            format!(
                "{} {:?} {access}",
                mount.destination.as_deref().unwrap_or_default(),
                mount.typ.as_ref().map(ToString::to_string)
            )
        })
        .collect();
    mounts.sort();
    let security = host.security_opt.clone().unwrap_or_default();
    let security: Vec<&str> = security
        .iter()
        .map(|option| option.split(['=', '{']).next().unwrap_or_default())
        .collect();
    let limit = |limit: &bollard::models::ResourcesUlimits| format!("{:?} {:?}", limit.name, limit.hard);
    format!(
        "{labels:?}
  caps -{:?} +{:?}; security {security:?}; privileged {:?}; devices {:?}
  pids {:?}; memory {:?}; swap {:?}; cpus {:?}; shm {:?}; limits in force: {}
  init {:?}; restart {:?}; remove {:?}; log {:?}
  host name {:?}; user {:?}; stdin {:?} once {:?}; tty {:?}; health {:?}
  ipc {:?}; pid {:?}; uts {:?}; userns {:?}; binds {:?}; masked {}; read-only {}
  mounts {mounts:?}; tmpfs {:?}",
        host.cap_drop,
        host.cap_add,
        host.privileged,
        host.devices.as_ref().map(Vec::len),
        host.pids_limit,
        host.memory,
        host.memory_swap,
        host.nano_cpus,
        host.shm_size,
        host.ulimits
            .iter()
            .flatten()
            .map(limit)
            .all(|limit| limit == "Some(\"nofile\") Some(65536)"),
        host.init,
        host.restart_policy.as_ref().and_then(|policy| policy.name),
        host.auto_remove,
        host.log_config.as_ref().and_then(|log| log.typ.clone()),
        config.hostname,
        config.user,
        config.open_stdin,
        config.stdin_once,
        config.tty,
        config.healthcheck.as_ref().and_then(|health| health.test.clone()),
        host.ipc_mode,
        host.pid_mode,
        host.uts_mode,
        host.userns_mode,
        host.binds,
        host.masked_paths.as_ref().map_or(0, Vec::len) > 0,
        host.readonly_paths.as_ref().map_or(0, Vec::len) > 0,
        host.tmpfs,
    )
}

#[tokio::test]
async fn a_step_has_six_capabilities_a_filter_and_no_way_to_more() {
    let Some(rig) = Rig::for_test("powers").await else {
        return;
    };
    let mut job = rig.open(&rig.job(BUSYBOX)).await;
    let outcome = job
        .run("grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status; cat /proc/self/oom_score_adj")
        .await;
    // CHOWN, DAC_OVERRIDE, FOWNER, KILL, SETGID, SETUID are bits 0, 1, 3, 5, 6, 7.
    insta::assert_snapshot!(outcome.stdout(), @"
    CapEff:	00000000000000eb
    CapBnd:	00000000000000eb
    NoNewPrivs:	1
    Seccomp:	2
    300
    ");
    job.close().await;
}

#[tokio::test]
async fn what_a_step_must_not_do_it_cannot() {
    let Some(rig) = Rig::for_test("forbidden").await else {
        return;
    };
    let mut spec = rig.job("drydock-test/ci:latest");
    spec.limits.memory_bytes = None;
    let mut job = rig.open(&spec).await;
    let script = r#"
import ctypes, socket, os
libc = ctypes.CDLL(None, use_errno=True)
def call(name, number, *args):
    ctypes.set_errno(0)
    result = libc.syscall(number, *args)
    print(name, "ok" if result >= 0 else os.strerror(ctypes.get_errno()))
for name, family in [("AF_ALG", 38), ("AF_VSOCK", 40), ("AF_PACKET", 17), ("AF_INET", 2), ("AF_INET6", 10), ("AF_UNIX", 1), ("AF_NETLINK", 16)]:
    try:
        socket.socket(family, socket.SOCK_RAW if family in (16, 17) else socket.SOCK_SEQPACKET if family == 38 else socket.SOCK_STREAM)
        print(name, "ok")
    except OSError as error:
        print(name, error.strerror)
x86 = os.uname().machine == "x86_64"
call("io_uring_setup", 425, 1, 0)
call("bpf", 321 if x86 else 280, 0, 0, 0)
call("userfaultfd", 323 if x86 else 282, 0)
call("keyctl", 250 if x86 else 219, 0, 0)
call("unshare", 272 if x86 else 97, 0x10000000)
call("clone3", 435, 0, 0)
call("mount", 165 if x86 else 40, 0, 0, 0, 0, 0)
call("perf_event_open", 298 if x86 else 241, 0, 0, 0, 0, 0)
call("getpid", 39 if x86 else 172)
"#;
    let mut step = job.step(script);
    step.program = drydock::executor::Program::Script {
        shell: drydock::plan::Shell::Command(vec!["python3".into(), "{0}".into()]),
        text: script.into(),
    };
    let outcome = job.run_step(&step).await;
    insta::assert_snapshot!(outcome.stdout(), @"
    AF_ALG Operation not permitted
    AF_VSOCK Operation not permitted
    AF_PACKET Operation not permitted
    AF_INET ok
    AF_INET6 ok
    AF_UNIX ok
    AF_NETLINK ok
    io_uring_setup Operation not permitted
    bpf Operation not permitted
    userfaultfd Operation not permitted
    keyctl Operation not permitted
    unshare Operation not permitted
    clone3 Function not implemented
    mount Operation not permitted
    perf_event_open Operation not permitted
    getpid ok
    ");

    let outcome = job
        .run(
            "set +e
             echo x > /.drydock/shim; rm -f /.drydock/shim; chmod 0 /.drydock/shim; mount -o remount,rw /.drydock
             echo x > /proc/sys/kernel/core_pattern; mknod /tmp/disk b 8 0; chroot / true; ls /var/run/docker.sock
             test -x /.drydock/shim && echo still there",
        )
        .await;
    assert_eq!(outcome.end.how, Ended::Exited(0));
    assert_eq!(outcome.stdout(), "still there\n");
    let stderr = outcome.stderr();
    let refusals = stderr.lines().filter(|line| !line.contains("dmesg")).count();
    assert_eq!(refusals, 8, "{stderr}");
    job.close().await;
    rig.assert_clean().await;
}

#[tokio::test]
async fn a_shim_volume_that_its_maker_left_empty_is_filled_by_the_next_job() {
    use bollard::models::{ContainerCreateBody, HostConfig, Mount, MountType};
    let Some(rig) = Rig::for_test("empty-shim").await else {
        return;
    };
    rig.executor.keep_ready(1).await;
    let volume = drydock::executor::docker::shim_volume();
    // A job of ours cannot empty it, so somebody with the engine does.
    let mount = Mount {
        target: Some("/v".into()),
        source: Some(volume),
        typ: Some(MountType::VOLUME),
        ..Mount::default()
    };
    let body = ContainerCreateBody {
        image: Some(BUSYBOX.into()),
        cmd: Some(vec!["rm".into(), "-f".into(), "/v/shim".into()]),
        labels: Some(std::collections::HashMap::from([(
            "io.drydock.server".into(),
            rig.daemon.server.clone(),
        )])),
        host_config: Some(HostConfig {
            mounts: Some(vec![mount]),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    };
    let docker = &rig.daemon.docker;
    let made = docker.create_container(None, body).await.expect("a container");
    docker.start_container(&made.id, None).await.expect("a start");
    let mut waiting = docker.wait_container(&made.id, None::<bollard::query_parameters::WaitContainerOptions>);
    futures_util::StreamExt::next(&mut waiting).await;
    let options = bollard::query_parameters::RemoveContainerOptionsBuilder::default()
        .force(true)
        .build();
    docker.remove_container(&made.id, Some(options)).await.expect("gone");
    let mut job = rig.open(&rig.job(BUSYBOX)).await;
    assert_eq!(job.run("echo on").await.stdout(), "on\n");
    job.close().await;
    rig.assert_clean().await;
}
