//! The name under which a built image stays in the engine while its pipeline lives. Without one it would be gone with the
//! next `docker image prune`, or with the first name that it is pushed under.

use std::collections::HashMap;

use bollard::query_parameters::{ListImagesOptionsBuilder, RemoveImageOptions};

use super::names::{self, LABEL_PIPELINE};
use super::{DockerExecutor, call};
use crate::executor::{ExecutorError, Place};

fn repository(server: &str) -> String {
    format!("drydock/{}", names::short(server))
}

/// `drydock/SERVER:PIPELINE.JOB.ATTEMPT`.
pub(super) fn name(place: &Place) -> String {
    format!(
        "{}:{}.{}.{}",
        repository(&place.server),
        place.pipeline,
        place.job,
        place.attempt
    )
}

impl DockerExecutor {
    /// Takes the names of dead pipelines' images away; an image without another name goes with it, its layers stay in the
    /// build cache. What was removed, for people.
    pub(super) async fn sweep_images(&self, server: &str, alive: &[u64]) -> Result<Vec<String>, ExecutorError> {
        let filters: HashMap<String, Vec<String>> = names::server_filters(server);
        let options = ListImagesOptionsBuilder::default().filters(&filters).build();
        let listed = call::call("list the images", self.docker.list_images(Some(options))).await?;
        let own = format!("{}:", repository(server));
        let mut removed = vec![];
        for image in listed {
            let pipeline = image.labels.get(LABEL_PIPELINE).and_then(|number| number.parse().ok());
            if pipeline.is_some_and(|pipeline| alive.contains(&pipeline)) {
                continue;
            }
            for name in image.repo_tags.iter().filter(|name| name.starts_with(&own)) {
                match self.docker.remove_image(name, None::<RemoveImageOptions>, None).await {
                    Ok(_) => removed.push(format!("image {name}")),
                    // Gone already, or a container of somebody else is made from it.
                    Err(error) if matches!(call::status(&error), Some(404 | 409)) => {}
                    Err(error) => return Err(call::refused(&format!("remove image `{name}`"), error)),
                }
            }
        }
        Ok(removed)
    }
}
