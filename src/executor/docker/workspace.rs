//! A job's workspace: a volume of its own, filled from the repository's tree, or the user's own folder.
//!
//! The tar goes to the shim in the job's container, which unpacks it before the first step: inside the container, with
//! the container's own powers, into a volume that nobody else has touched. The engine's copy into containers, which works
//! with the machine's powers on what a job may have prepared, is never used for a job's files.

use std::sync::Arc;

use bollard::models::{Mount, MountType, VolumeCreateRequest};

use super::attached::Attached;
use super::names::{self, LABEL_MARK, Role};
use super::{Access, DockerExecutor, call, pieces, volume_mount};
use crate::executor::{ExecutorError, Place, Workspace};
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

    /// Fills the volume, empty until now, with the whole tree.
    pub(super) async fn fill_workspace(
        &self,
        container: &mut Attached,
        tree: &Arc<dyn Tree>,
        stop: &Stop,
    ) -> Result<(), ExecutorError> {
        let tree = tree.clone();
        let (pieces, writing) = pieces::written(move |out| tree.write_tar(&|_| true, out));
        let unpacked = tokio::select! {
            unpacked = container.unpack(WORKSPACE, pieces) => unpacked,
            // Nobody takes the writer's next piece then; the container goes as a whole.
            () = stop.asked() => return Err(ExecutorError::Stopped),
        };
        let cannot = |why: String| ExecutorError::Workspace { why };
        match (writing.await, unpacked) {
            (_, Err(lost)) => Err(self.why_lost(container.traces(), lost.in_words()).await),
            (Ok(Err(error)), Ok(_)) => Err(cannot(error.to_string())),
            (Err(error), Ok(_)) => Err(cannot(format!("reading the files broke off: {error}"))),
            (Ok(Ok(())), Ok(Err(why))) => Err(cannot(why)),
            (Ok(Ok(())), Ok(Ok(()))) => Ok(()),
        }
    }
}
