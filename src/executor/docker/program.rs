//! The shim's way into the engine: a volume that holds it, filled once per engine and version, read-only to jobs.
//!
//! The volume's name comes from the program's content. It is filled through a container that is never started, made
//! from an image that holds the shim alone: so no byte of a user's image is ever involved (see also `workspace.rs`).

use std::sync::LazyLock;

use bollard::models::{ContainerCreateBody, HostConfig, VolumeCreateRequest};
use bollard::query_parameters::{CreateImageOptionsBuilder, UploadToContainerOptionsBuilder};
use futures_util::StreamExt;
use sha2::{Digest, Sha256};
use std::collections::HashMap;

use super::call;
use super::names::{LABEL_OPEN_FILES, LABEL_SHIM};
use super::settings::{self, OPEN_FILES_MAX};
use super::{Access, DockerExecutor, volume_mount};
use crate::executor::ExecutorError;
use crate::shim;

/// Raised when the volume or its labels change though the program does not.
const REVISION: u8 = 1;

/// What tells one version of the shim from another.
pub static VERSION: LazyLock<String> = LazyLock::new(|| {
    let digest = Sha256::new()
        .chain_update([REVISION])
        .chain_update(shim::PROGRAM)
        .finalize();
    hex::encode(&digest[..6])
});

/// Where the program stands in the volume while it is being written.
const HALF_WRITTEN: &str = "shim.part";

pub fn volume_name() -> String {
    format!("drydock-shim-{}", *VERSION)
}

pub fn image_name() -> String {
    format!("drydock-shim:{}", *VERSION)
}

fn labels() -> HashMap<String, String> {
    HashMap::from([(LABEL_SHIM.into(), VERSION.clone())])
}

/// A plain tar of the program. It appears under its own name only when it is whole: as a second name for what was
/// written before. `RUN_HOME` is the folder where each container mounts its steps' files.
fn archive(prefix: &str) -> std::io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut folder = tar::Header::new_gnu();
    folder.set_entry_type(tar::EntryType::Directory);
    folder.set_mode(0o755);
    folder.set_size(0);
    tar.append_data(&mut folder, format!("{prefix}run/"), std::io::empty())?;
    let mut program = tar::Header::new_gnu();
    program.set_mode(0o755);
    program.set_size(shim::PROGRAM.len() as u64);
    tar.append_data(&mut program, format!("{prefix}{HALF_WRITTEN}"), shim::PROGRAM)?;
    let mut name = tar::Header::new_gnu();
    name.set_entry_type(tar::EntryType::Link);
    name.set_mode(0o755);
    name.set_size(0);
    tar.append_link(&mut name, format!("{prefix}shim"), format!("{prefix}{HALF_WRITTEN}"))?;
    tar.into_inner()
}

/// What the engine was found to take when the volume was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trial {
    /// None: the engine may not raise this limit, and containers have its own.
    pub open_files_max: Option<i64>,
}

impl Trial {
    fn to_label(self) -> String {
        self.open_files_max.map_or("inherited".into(), |max| max.to_string())
    }

    fn of_labels(labels: &HashMap<String, String>) -> Option<Trial> {
        let label = labels.get(LABEL_OPEN_FILES)?;
        Some(Trial {
            open_files_max: label.parse().ok(),
        })
    }
}

impl DockerExecutor {
    /// Makes sure that the engine has the shim's image and volume. Asks the engine once per process.
    pub(super) async fn ensure_shim(&self) -> Result<Trial, ExecutorError> {
        let ensured = self.shim.get_or_try_init(|| async {
            let (volume, image) = (volume_name(), image_name());
            match tokio::join!(self.docker.inspect_volume(&volume), self.docker.inspect_image(&image)) {
                (Ok(volume), Ok(_)) if let Some(trial) = Trial::of_labels(&volume.labels) => Ok(trial),
                _ => self.fill_shim().await,
            }
        });
        ensured.await.copied()
    }

    /// Writes image and volume, whatever is there: also the way out when a volume turns out to be empty because
    /// whoever made it died before he had filled it.
    pub(super) async fn fill_shim(&self) -> Result<Trial, ExecutorError> {
        let failed = |error: std::io::Error| ExecutorError::Daemon {
            operation: "take the job runtime".into(),
            cause: Box::new(error),
        };
        let image = archive(".drydock/").map_err(failed)?;
        let options = CreateImageOptionsBuilder::default()
            .from_src("-")
            .repo("drydock-shim")
            .tag(&VERSION)
            .message("Drydock's job runtime")
            .changes(vec![format!("LABEL {LABEL_SHIM}={}", *VERSION)])
            .build();
        let mut progress = self
            .docker
            .create_image(Some(options), Some(bollard::body_full(image.into())), None);
        while let Some(item) = progress.next().await {
            item.map_err(|error| call::refused("import the job runtime's image", error))?;
        }

        let there = self.docker.inspect_volume(&volume_name()).await.ok();
        let trial = match there.and_then(|volume| Trial::of_labels(&volume.labels)) {
            Some(trial) => trial,
            None => {
                let trial = self.try_limits().await?;
                let mut labels = labels();
                labels.insert(LABEL_OPEN_FILES.into(), trial.to_label());
                let volume = VolumeCreateRequest {
                    name: Some(volume_name()),
                    labels: Some(labels),
                    ..Default::default()
                };
                call::call("make the job runtime's volume", self.docker.create_volume(volume)).await?;
                trial
            }
        };
        let mount = volume_mount(&volume_name(), shim::HOME, Access::Write);
        let made = self
            .make_own(HostConfig {
                mounts: Some(vec![mount]),
                ..HostConfig::default()
            })
            .await?;
        let options = UploadToContainerOptionsBuilder::default().path(shim::HOME).build();
        let content = archive("").map_err(failed)?;
        let filling = self
            .docker
            .upload_to_container(&made, Some(options), bollard::body_full(content.into()));
        let filled = call::call("fill the job runtime's volume", filling).await;
        self.remove_container(&made).await?;
        filled.map(|_| trial)
    }

    /// Starts a container of our own to see whether the engine takes what jobs' containers are given.
    async fn try_limits(&self) -> Result<Trial, ExecutorError> {
        let wanted = Trial {
            open_files_max: Some(OPEN_FILES_MAX),
        };
        let host = HostConfig {
            ulimits: Some(settings::open_files(wanted)),
            ..HostConfig::default()
        };
        let made = self.make_own(host).await?;
        let started = self.docker.start_container(&made, None).await;
        self.remove_container(&made).await?;
        match started {
            Ok(()) => Ok(wanted),
            Err(error) if call::message(&error).contains("rlimit") => Ok(Trial { open_files_max: None }),
            Err(error) => Err(call::refused("start a container", error)),
        }
    }

    /// A container from our own image; it does nothing when started.
    async fn make_own(&self, host: HostConfig) -> Result<String, ExecutorError> {
        let body = ContainerCreateBody {
            image: Some(image_name()),
            entrypoint: Some(vec![shim::PATH.into(), "probe".into()]),
            labels: Some(labels()),
            network_disabled: Some(true),
            host_config: Some(host),
            ..ContainerCreateBody::default()
        };
        let making = self.docker.create_container(None, body);
        call::call("make a container for the job runtime", making)
            .await
            .map(|made| made.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_is_plain_tar_and_names_the_program_last() {
        let bytes = archive("").expect("an archive");
        let mut archive = tar::Archive::new(&bytes[..]);
        let entries = archive.entries().expect("entries").map(|entry| {
            let entry = entry.expect("an entry");
            let path = entry.path().expect("a path").display().to_string();
            format!(
                "{path} {:?} {:o}",
                entry.header().entry_type(),
                entry.header().mode().expect("a mode")
            )
        });
        insta::assert_snapshot!(entries.collect::<Vec<_>>().join("\n"), @"
        run/ Directory 755
        shim.part Regular 755
        shim Link 755
        ");
    }
}
