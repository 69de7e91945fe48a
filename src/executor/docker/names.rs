//! Names and labels of everything Drydock makes in an engine. Names come from ids, never from what users wrote freely.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

use super::super::Place;

pub const LABEL_SERVER: &str = "io.drydock.server";
pub const LABEL_PIPELINE: &str = "io.drydock.pipeline";
pub const LABEL_JOB: &str = "io.drydock.job";
pub const LABEL_ATTEMPT: &str = "io.drydock.attempt";
/// What a thing is for: see [`Role`].
pub const LABEL_ROLE: &str = "io.drydock.role";
/// Tells a volume just made from one that was there.
pub const LABEL_MARK: &str = "io.drydock.mark";
/// On the shim's volume and image: the program's hash. They outlive pipelines and servers.
pub const LABEL_SHIM: &str = "io.drydock.shim";
/// On the shim's volume: what the engine was found to take.
pub const LABEL_OPEN_FILES: &str = "io.drydock.open-files";

/// What a container, network or volume is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    Job,
    /// The service's position.
    Service(usize),
    /// A step with its own image.
    Step(u32),
    Workspace,
    /// A network kept ready; which job uses it is told by the containers on it.
    Network,
}

impl Role {
    fn word(&self) -> &'static str {
        match self {
            Role::Job => "job",
            Role::Service(_) => "service",
            Role::Step(_) => "step",
            Role::Workspace => "workspace",
            Role::Network => "network",
        }
    }
}

/// Eight hex digits that stand for a server in names, whatever its own name is made of.
pub fn short(server: &str) -> String {
    hex::encode(&Sha256::digest(server.as_bytes())[..4])
}

/// The same place and role always have the same name, so that making a thing twice is noticed by the engine.
pub fn name(place: &Place, role: &Role) -> String {
    let job = format!(
        "drydock-{}-{}-{}-{}",
        short(&place.server),
        place.pipeline,
        place.job,
        place.attempt
    );
    match role {
        Role::Job => job,
        Role::Service(number) => format!("{job}-service-{number}"),
        Role::Step(number) => format!("{job}-step-{number}"),
        Role::Workspace | Role::Network => format!("{job}-{}", role.word()),
    }
}

pub fn labels(place: &Place, role: &Role) -> HashMap<String, String> {
    let mut labels = server_labels(&place.server, role);
    labels.insert(LABEL_PIPELINE.into(), place.pipeline.to_string());
    labels.insert(LABEL_JOB.into(), place.job.clone());
    labels.insert(LABEL_ATTEMPT.into(), place.attempt.to_string());
    labels
}

/// Labels of what belongs to a server but to no job.
pub fn server_labels(server: &str, role: &Role) -> HashMap<String, String> {
    HashMap::from([
        (LABEL_SERVER.into(), server.to_owned()),
        (LABEL_ROLE.into(), role.word().into()),
    ])
}

/// Label filters that find everything of one job's attempt.
pub fn place_filters(place: &Place) -> HashMap<String, Vec<String>> {
    let label = vec![
        format!("{LABEL_SERVER}={}", place.server),
        format!("{LABEL_PIPELINE}={}", place.pipeline),
        format!("{LABEL_JOB}={}", place.job),
        format!("{LABEL_ATTEMPT}={}", place.attempt),
    ];
    HashMap::from([("label".into(), label)])
}

/// Label filters that find everything of a server.
pub fn server_filters(server: &str) -> HashMap<String, Vec<String>> {
    HashMap::from([("label".into(), vec![format!("{LABEL_SERVER}={server}")])])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_the_engines_rules_whatever_the_server_is_called() {
        let place = Place {
            server: "ci.example.com/ä b".into(),
            pipeline: 12,
            job: "unit.3".into(),
            attempt: 2,
        };
        let roles = [Role::Job, Role::Service(0), Role::Step(4), Role::Workspace];
        let names: Vec<String> = roles.iter().map(|role| name(&place, role)).collect();
        insta::assert_snapshot!(names.join("\n"), @"
        drydock-d14f6685-12-unit.3-2
        drydock-d14f6685-12-unit.3-2-service-0
        drydock-d14f6685-12-unit.3-2-step-4
        drydock-d14f6685-12-unit.3-2-workspace
        ");
        for name in names {
            assert!(
                name.bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
            );
        }
    }
}
