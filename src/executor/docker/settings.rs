//! What a job's containers may do. One place, the same for job containers, steps with their own image and services.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, EndpointSettings, HealthConfig, HostConfig, HostConfigLogConfig, Mount, NetworkingConfig,
    ResourcesUlimits, RestartPolicy, RestartPolicyNameEnum,
};

use super::connect::EngineKind;
use super::names::{self, Role};
use super::program::Trial;
use super::seccomp;
use crate::executor::{JobLimits, Place};
use crate::shim;

/// All that is left of root's powers: enough for package managers, databases and `su`, not for the machine.
pub const CAPABILITIES: [&str; 6] = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "SETGID", "SETUID"];

pub const OPEN_FILES_MAX: i64 = 65_536;
const SHARED_MEMORY_BYTES: i64 = 64 * 1024 * 1024;

/// One log file of a container, and how many of them the engine keeps: 1 GiB, the oldest goes first.
const LOG_FILE_SIZE: &str = "64m";
const LOG_FILES_MAX: &str = "16";

/// The files of one step live in memory; so much of it at most.
const STEP_FILES_OPTIONS: &str = "rw,exec,nosuid,nodev,mode=0755,size=256m";

/// The same in every container, so that nothing learns the machine's name from it.
const HOST_NAME: &str = "drydock";

/// What is PID 1.
pub enum Pid1 {
    /// Drydock's shim, from this volume; it takes steps over stdin.
    Shim { volume: String },
    /// The image's own program under the engine's init, or these instead.
    Image {
        entrypoint: Option<Vec<String>>,
        command: Option<Vec<String>>,
    },
}

/// A container to be made.
pub struct ContainerSpec<'a> {
    pub place: &'a Place,
    pub role: Role,
    pub image: &'a str,
    pub pid_1: Pid1,
    pub network: &'a str,
    /// Its host name on the network.
    pub alias: Option<&'a str>,
    pub env: &'a [(String, String)],
    pub mounts: Vec<Mount>,
    pub limits: JobLimits,
    pub engine: EngineKind,
    pub trial: Trial,
}

/// The request that makes it.
pub fn container(spec: ContainerSpec<'_>) -> ContainerCreateBody {
    let env = spec.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let endpoint = EndpointSettings {
        aliases: spec.alias.map(|alias| vec![alias.to_owned()]),
        ..Default::default()
    };
    let mut host = host_config(spec.limits, spec.engine, spec.trial);
    host.network_mode = Some(spec.network.to_owned());
    let mut body = ContainerCreateBody {
        hostname: Some(HOST_NAME.into()),
        image: Some(spec.image.to_owned()),
        env: Some(env),
        labels: Some(names::labels(spec.place, &spec.role)),
        networking_config: Some(NetworkingConfig {
            endpoints_config: Some(HashMap::from([(spec.network.to_owned(), endpoint)])),
        }),
        ..ContainerCreateBody::default()
    };
    let mut mounts = spec.mounts;
    match spec.pid_1 {
        Pid1::Shim { volume } => {
            mounts.push(super::volume_mount(&volume, shim::HOME, super::Access::ReadOnly));
            host.tmpfs = Some(HashMap::from([(shim::RUN_HOME.into(), STEP_FILES_OPTIONS.into())]));
            body.entrypoint = Some(vec![shim::PATH.into()]);
            body.cmd = Some(vec![]);
            // The shim needs root to hand files over; it makes each step the image's own user.
            body.user = Some("0:0".into());
            body.working_dir = Some("/".into());
            body.open_stdin = Some(true);
            body.stdin_once = Some(false);
            (body.attach_stdin, body.attach_stdout, body.attach_stderr) = (Some(true), Some(true), Some(true));
        }
        Pid1::Image { entrypoint, command } => {
            host.init = Some(true);
            body.entrypoint = entrypoint;
            body.cmd = command;
        }
    }
    // Drydock asks services itself whether they are well, and only until they are.
    body.healthcheck = Some(HealthConfig {
        test: Some(vec!["NONE".into()]),
        ..HealthConfig::default()
    });
    host.mounts = Some(mounts);
    body.host_config = Some(host);
    body
}

/// The limit of open files, where the engine may set it.
pub fn open_files(trial: Trial) -> Vec<ResourcesUlimits> {
    let limit = |max| ResourcesUlimits {
        name: Some("nofile".into()),
        soft: Some(max),
        hard: Some(max),
    };
    trial.open_files_max.map(limit).into_iter().collect()
}

fn host_config(limits: JobLimits, engine: EngineKind, trial: Trial) -> HostConfig {
    let memory = limits
        .memory_bytes
        .map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX));
    let log = match engine {
        EngineKind::Docker => HostConfigLogConfig {
            // Keeps every byte as it is; `json-file` does not.
            typ: Some("local".into()),
            config: Some(HashMap::from([
                ("max-size".into(), LOG_FILE_SIZE.into()),
                ("max-file".into(), LOG_FILES_MAX.into()),
            ])),
        },
        // Podman has no `local`; its own driver keeps every byte too.
        EngineKind::Podman => HostConfigLogConfig {
            typ: Some("k8s-file".into()),
            config: None,
        },
    };
    HostConfig {
        cap_drop: Some(vec!["ALL".into()]),
        cap_add: Some(CAPABILITIES.map(String::from).to_vec()),
        security_opt: Some(vec!["no-new-privileges".into(), seccomp::SECURITY_OPTION.clone()]),
        privileged: Some(false),
        pids_limit: Some(i64::from(limits.pids)),
        memory,
        // As much with swap as without: none.
        memory_swap: memory,
        nano_cpus: limits.cpus.map(|cpus| (cpus * 1e9) as i64),
        ulimits: Some(open_files(trial)),
        shm_size: Some(SHARED_MEMORY_BYTES),
        init: Some(false),
        auto_remove: Some(false),
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        log_config: Some(log),
        ipc_mode: Some("private".into()),
        ..HostConfig::default()
    }
}
