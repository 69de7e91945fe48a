//! A job's workspace: a volume of its own, filled from the repository's tree, or the user's own folder.
//!
//! A container is never given files while it runs or once it has run, and a user's image never takes part: the tar goes
//! into a container made from our own image that is never started and has the volume mounted.

use std::io;
use std::sync::Arc;

use bollard::models::{ContainerCreateBody, HostConfig, Mount, MountType, VolumeCreateRequest};
use bollard::query_parameters::UploadToContainerOptionsBuilder;
use tokio_stream::wrappers::ReceiverStream;

use super::names::{self, LABEL_MARK, Role};
use super::{Access, DockerExecutor, call, pieces, program, volume_mount};
use crate::executor::{ExecutorError, Place, Workspace};
use crate::shim;
use crate::stop::Stop;
use crate::tree::Tree;

/// Where every container of a job finds it.
pub const WORKSPACE: &str = "/workspace";

/// How a job's containers mount it.
pub fn mount(place: &Place, workspace: &Workspace) -> Mount {
    match workspace {
        Workspace::Copy(_) => volume_mount(&names::name(place, &Role::Workspace), WORKSPACE, Access::Write),
        Workspace::Bind(folder) => Mount {
            target: Some(WORKSPACE.into()),
            source: Some(folder.display().to_string()),
            typ: Some(MountType::BIND),
            ..Mount::default()
        },
    }
}

impl DockerExecutor {
    /// A new volume. One of that name that an attempt before this one left goes first, with all that uses it.
    pub(super) async fn make_workspace(&self, place: &Place) -> Result<(), ExecutorError> {
        let mark = uuid::Uuid::new_v4().to_string();
        for _ in 0..2 {
            let mut labels = names::labels(place, &Role::Workspace);
            labels.insert(LABEL_MARK.into(), mark.clone());
            let request = VolumeCreateRequest {
                name: Some(names::name(place, &Role::Workspace)),
                labels: Some(labels),
                ..VolumeCreateRequest::default()
            };
            let made = call::call("make the workspace's volume", self.docker.create_volume(request)).await?;
            // The engine answers the same for one that was there already, but for this.
            if made.labels.get(LABEL_MARK) == Some(&mark) {
                return Ok(());
            }
            self.remove_place(place, None).await?;
        }
        Err(ExecutorError::Workspace {
            why: "its volume is there already and cannot be removed".into(),
        })
    }

    /// Fills the volume with the whole tree. Its container stays for whoever removes the job's containers.
    pub(super) async fn fill_workspace(
        &self,
        place: &Place,
        tree: &Arc<dyn Tree>,
        stop: &Stop,
    ) -> Result<(), ExecutorError> {
        let name = names::name(place, &Role::Files);
        let mount = volume_mount(&names::name(place, &Role::Workspace), WORKSPACE, Access::Write);
        let body = ContainerCreateBody {
            image: Some(program::image_name()),
            entrypoint: Some(vec![shim::PATH.into()]),
            labels: Some(names::labels(place, &Role::Files)),
            network_disabled: Some(true),
            host_config: Some(HostConfig {
                mounts: Some(vec![mount]),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let made = self.create(&name, body).await?;

        let tree = tree.clone();
        let (waiting, writing) = pieces::written(move |out| tree.write_tar(&|_| true, out));
        let options = UploadToContainerOptionsBuilder::default().path(WORKSPACE).build();
        let body = bollard::body_try_stream(ReceiverStream::new(waiting));
        let uploading = self.docker.upload_to_container(&made, Some(options), body);
        let uploaded = tokio::select! {
            uploaded = uploading => uploaded,
            // Dropping the upload makes the writer's next piece fail.
            () = stop.asked() => return Err(ExecutorError::Stopped),
        };
        let cannot = |why: String| ExecutorError::Workspace { why };
        match (writing.await, uploaded) {
            (Ok(Ok(())), Ok(())) => Ok(()),
            // The writer only sees that nobody reads on; the engine knows why.
            (Ok(Err(error)), Err(_)) if error.kind() != io::ErrorKind::BrokenPipe => Err(cannot(error.to_string())),
            (_, Err(error)) => Err(cannot(format!(
                "the engine does not take the files: {}",
                call::message(&error)
            ))),
            (Ok(Err(error)), Ok(())) => Err(cannot(error.to_string())),
            (Err(error), _) => Err(cannot(format!("reading the files broke off: {error}"))),
        }
    }
}
