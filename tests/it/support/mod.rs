//! What integration tests start and talk to: the machine's Docker daemon, Debian's registry, git over HTTP and
//! SSH, forges that keep state, an AWS API, and a proxy that makes servers fail.
//!
//! Everything listens on loopback, on ports the kernel chose, and ends with the value that started it. A part that
//! this machine lacks says so on stderr and is `None`, so that the test returns; with `DRYDOCK_REQUIRE_DOCKER=1`
//! it fails instead. Waiting is for a socket, a line or an answer, always with a deadline, never for time to pass.

mod child;
mod daemon;
mod ecr;
mod forge;
mod git;
mod proxy;
mod registry;
mod ssh;
mod tls;

pub use daemon::Daemon;
pub use ecr::Ecr;
pub use forge::ForgeStandIn;
pub use git::{GitServer, Repository};
pub use proxy::{Fault, FaultyProxy};
pub use registry::Registry;
pub use ssh::SshServer;
pub use tls::Authority;

use std::time::Duration;

/// How long a part may take to answer for the first time; generous, because tests run side by side on small machines.
pub const READY_WITHIN: Duration = Duration::from_secs(60);

/// Says that `what` is missing, and panics where the run demands that nothing is.
pub fn missing(what: &str, cause: &str) {
    let demanded = std::env::var_os("DRYDOCK_REQUIRE_DOCKER").is_some_and(|value| value == "1");
    assert!(!demanded, "{what} is missing ({cause}); run deploy/setup.sh");
    eprintln!("skipped: {what} is missing ({cause}); deploy/setup.sh installs it");
}

/// Where a program stands: `PATH`, then the folders that only root's `PATH` names.
pub fn program(name: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/local/sbin"].map(Into::into))
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
}

/// The folder that deploy/setup.sh and tests/images/build.sh fill.
pub fn cache_folder() -> std::path::PathBuf {
    match std::env::var_os("DRYDOCK_CACHE") {
        Some(folder) => folder.into(),
        None => std::path::PathBuf::from(std::env::var_os("HOME").unwrap_or_else(|| "/root".into()))
            .join(".cache/drydock-test"),
    }
}
