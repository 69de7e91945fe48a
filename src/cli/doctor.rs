//! `drydock doctor`: what is here, what is missing, and what to do about it.

use std::path::Path;

use super::{Exit, Failed, block_on};
use crate::executor::docker::connect::{self, API_MIN, Connection, EngineKind};
use crate::executor::docker::holdings;

#[derive(Debug, clap::Args)]
pub struct Args {}

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Came {
    Good,
    /// It works, but not as well as it could.
    Weak,
    /// Jobs cannot run.
    Bad,
}

struct Check {
    came: Came,
    what: String,
    hint: Option<String>,
}

fn good(what: impl Into<String>) -> Check {
    Check {
        came: Came::Good,
        what: what.into(),
        hint: None,
    }
}

fn weak(what: impl Into<String>, hint: impl Into<String>) -> Check {
    Check {
        came: Came::Weak,
        what: what.into(),
        hint: Some(hint.into()),
    }
}

fn bad(what: impl Into<String>, hint: impl Into<String>) -> Check {
    Check {
        came: Came::Bad,
        what: what.into(),
        hint: Some(hint.into()),
    }
}

/// Below this the next image or workspace may not fit.
const DISK_FREE_MIN_PERCENT: u64 = 10;

pub fn run(_: &Args) -> Result<Exit, Failed> {
    let checks = block_on(checks())?;
    let mut worst = Came::Good;
    for check in checks {
        let (word, colour) = match check.came {
            Came::Good => ("ok", anstyle::AnsiColor::Green),
            Came::Weak => ("warning", anstyle::AnsiColor::Yellow),
            Came::Bad => ("missing", anstyle::AnsiColor::Red),
        };
        let style = anstyle::Style::new().bold().fg_color(Some(colour.into()));
        anstream::println!("{style}{word:>8}{style:#}  {}", check.what);
        if let Some(hint) = check.hint {
            anstream::println!("{:>8}  {hint}", "");
        }
        if check.came != Came::Good && worst != Came::Bad {
            worst = check.came;
        }
    }
    Ok(match worst {
        Came::Good | Came::Weak => Exit::Passed,
        Came::Bad => Exit::Machine,
    })
}

async fn checks() -> Vec<Check> {
    let mut all = vec![good(format!("drydock {}", env!("CARGO_PKG_VERSION")))];
    let places = match connect::candidates(None) {
        Ok(endpoints) => endpoints
            .iter()
            .map(|found| format!("{} ({})", found.address, found.found_in))
            .collect(),
        Err(error) => vec![error.chain()],
    };
    match connect::connect(None).await {
        Ok(connection) => {
            let endpoint = &connection.endpoint;
            all.push(good(format!(
                "{} at {}, from {}",
                connection.engine, endpoint.address, endpoint.found_in
            )));
            all.extend(engine(&connection).await);
        }
        Err(error) => {
            let hint = match places.is_empty() {
                true => "no socket was found; install Docker (on Debian: `apt-get install docker.io`) or Podman and start it, or set DOCKER_HOST".to_owned(),
                false => format!("looked at: {}; start the engine there, or set DOCKER_HOST", places.join(", ")),
            };
            all.push(bad(error.chain(), hint));
        }
    }
    all.push(git());
    all
}

async fn engine(connection: &Connection) -> Vec<Check> {
    let mut all = vec![];
    let (engine, docker) = (&connection.engine, &connection.docker);
    if engine.api < API_MIN {
        let what = format!(
            "its API {}.{} is older than {}.{}",
            engine.api.0, engine.api.1, API_MIN.0, API_MIN.1
        );
        all.push(bad(what, "update the engine: Docker 20.10 or newer"));
    }
    if !engine.parts.is_empty() {
        all.push(good(engine.parts.join(", ")));
    }
    all.push(match engine.kind {
        EngineKind::Docker => good("images are built with BuildKit"),
        EngineKind::Podman => weak(
            "images are built with the classic builder",
            "Podman offers no BuildKit: build secrets and cache mounts are not to be had",
        ),
    });
    match docker.info().await {
        Ok(info) => {
            let cgroups = info
                .cgroup_version
                .map_or_else(|| "unknown".to_owned(), |version| version.to_string());
            let limits = [
                ("memory", info.memory_limit),
                ("cpu", info.cpu_cfs_quota),
                ("pids", info.pids_limit),
            ];
            let missing: Vec<&str> = limits
                .iter()
                .filter(|(_, has)| *has == Some(false))
                .map(|(name, _)| *name)
                .collect();
            all.push(match missing.is_empty() {
                true => good(format!("cgroups {cgroups}: memory, cpu and process limits work")),
                false => weak(
                    format!("cgroups {cgroups}: no limit of {}", missing.join(", ")),
                    "jobs can take more than their file allows; enable the controllers",
                ),
            });
            if let Some(root) = info.docker_root_dir {
                all.extend(disk(&root));
            }
        }
        Err(error) => all.push(weak(
            format!("the engine does not describe itself: {error}"),
            "limits and disk could not be checked",
        )),
    }
    match holdings::list(docker).await {
        Ok(held) => all.push(good(format!(
            "{} things of Drydock's are in the engine (`drydock clean` shows them)",
            held.len()
        ))),
        Err(error) => all.push(weak(error.chain(), "what Drydock holds could not be listed")),
    }
    all
}

/// The disk that holds images and volumes, where the engine runs on this machine.
fn disk(root: &str) -> Option<Check> {
    let about = rustix::fs::statvfs(Path::new(root)).ok()?;
    let total = about.f_blocks.saturating_mul(about.f_frsize);
    let free = about.f_bavail.saturating_mul(about.f_frsize);
    let percent = free.saturating_mul(100).checked_div(total)?;
    let what = format!("disk of {root}: {} GiB free of {} GiB", free >> 30, total >> 30);
    Some(match percent < DISK_FREE_MIN_PERCENT {
        true => weak(
            what,
            "`drydock clean --caches` lets go of what was built; `docker system df` shows the rest",
        ),
        false => good(what),
    })
}

fn git() -> Check {
    match std::env::current_dir()
        .ok()
        .and_then(|dir| crate::source::local::facts(&dir).ok())
    {
        Some(facts) => good(format!("this folder is `{}` at {}", facts.repo, facts.git_ref())),
        None => weak(
            "this folder cannot be read as a repository",
            "run it where your repository is",
        ),
    }
}
