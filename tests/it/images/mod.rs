//! Images by the real engine: built by both builders, pushed to a real registry.

mod build;
mod push;
mod registry;

use std::fs;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use drydock::diag::Origin;
use drydock::executor::docker::{Builder, DockerExecutor, connect};
use drydock::executor::{
    BuildSpec, Built, Executor, ExecutorError, LogSink, Place, PullPolicy, PushSpec, Pushed, Stream,
};
use drydock::registry::{Registries, RegistryConfig, RegistryCredentials, RegistryEntry};
use drydock::secret::{Secret, SecretSet};
use drydock::source::local::LocalTree;
use drydock::stop::Stop;
use tempfile::TempDir;

use crate::support::{Daemon, Registry};

/// An engine, an executor on it, and a folder to build from.
struct Workshop {
    daemon: Daemon,
    executor: DockerExecutor,
    folder: TempDir,
}

impl Workshop {
    async fn new(name: &str, builder: Builder, entries: Vec<RegistryEntry>) -> Option<Self> {
        let daemon = Daemon::for_test(name).await?;
        let connection = connect::connect(None)
            .await
            .expect("the daemon that answered answers again");
        let registries = Registries::new(RegistryConfig {
            entries,
            docker_config: None,
        });
        let executor =
            DockerExecutor::new(connection, &daemon.server, Some(Arc::new(registries))).with_builder(builder);
        Some(Workshop {
            daemon,
            executor,
            folder: TempDir::new().expect("a temporary folder can be made"),
        })
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().expect("it is in the folder")).expect("the folder can be written");
        fs::write(path, text).expect("the folder can be written");
    }

    fn spec(&self) -> BuildSpec {
        BuildSpec {
            place: Place {
                server: self.daemon.server.clone(),
                pipeline: 7,
                job: "image".into(),
                attempt: 1,
            },
            tree: Arc::new(LocalTree::open(self.folder.path()).expect("the folder can be read")),
            context: ".".into(),
            dockerfile: "Dockerfile".into(),
            target: None,
            args: vec![],
            secrets: SecretSet::new(),
            platforms: vec![],
            cache: true,
            tags: vec![],
            pull: PullPolicy::Missing,
            origin: origin(),
        }
    }

    async fn build(&self, spec: &BuildSpec) -> (Result<Built, ExecutorError>, Log) {
        let log = Log::default();
        let built = self.executor.build(spec, &log, &Stop::new()).await;
        (built, log)
    }

    /// An image that is built, with what the log said.
    async fn built(&self, spec: &BuildSpec) -> (Built, Log) {
        let (built, log) = self.build(spec).await;
        (
            built.unwrap_or_else(|error| panic!("{}\n{}", error.chain(), log.text())),
            log,
        )
    }

    /// Why a build fails.
    async fn refusal(&self, spec: &BuildSpec) -> (String, Log) {
        match self.build(spec).await {
            (Ok(built), log) => panic!("it built {}\n{}", built.image, log.text()),
            (Err(error), log) => (error.chain(), log),
        }
    }

    async fn push(&self, image: &str, to: &str, tags: &[&str]) -> (Result<Vec<Pushed>, ExecutorError>, Log) {
        let tags = tags.iter().map(|tag| tag.to_string()).collect();
        let spec = PushSpec {
            image: image.into(),
            to: to.into(),
            tags,
            origin: origin(),
        };
        let log = Log::default();
        let pushed = self.executor.push(&spec, &log, &Stop::new()).await;
        (pushed, log)
    }

    /// What a command prints in a container of an image.
    fn run(&self, image: &str, args: &[&str]) -> String {
        let done = std::process::Command::new("docker")
            .args(["run", "--rm", "--network", "none", image])
            .args(args)
            .output();
        let done = done.expect("docker starts");
        String::from_utf8_lossy(&[done.stdout, done.stderr].concat())
            .trim_end()
            .to_owned()
    }

    fn docker(&self, args: &[&str]) -> String {
        let done = std::process::Command::new("docker")
            .args(args)
            .output()
            .expect("docker starts");
        String::from_utf8_lossy(&[done.stdout, done.stderr].concat())
            .trim_end()
            .to_owned()
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        let label = format!("label=io.drydock.server={}", self.daemon.server);
        let images = self.docker(&["images", "-q", "--no-trunc", "--filter", &label]);
        for image in images.lines() {
            self.docker(&["rmi", "-f", image]);
        }
    }
}

fn origin() -> Origin {
    Origin {
        file: "ci.yml".into(),
        line: 7,
        column: 5,
    }
}

/// The registry's entry with its login, under a name that may be a proxy's.
fn entry(registry: &str) -> RegistryEntry {
    let password = Secret::new(Registry::PASSWORD);
    RegistryEntry {
        registry: registry.into(),
        credentials: RegistryCredentials::Password {
            username: Registry::USER.into(),
            password,
        },
        plain_http: false,
        authorities_pem: None,
    }
}

/// Everything that was said, in order.
#[derive(Default)]
struct Log(Mutex<Vec<(Stream, Vec<u8>)>>);

impl Log {
    fn text(&self) -> String {
        let pieces = self.0.lock().expect("no holder panicked");
        pieces
            .iter()
            .map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned())
            .collect()
    }

    /// The lines of one stream.
    fn of(&self, stream: Stream) -> Vec<String> {
        let pieces = self.0.lock().expect("no holder panicked");
        let bytes: Vec<u8> = pieces
            .iter()
            .filter(|(of, _)| *of == stream)
            .flat_map(|(_, bytes)| bytes.clone())
            .collect();
        String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect()
    }
}

#[async_trait]
impl LogSink for Log {
    async fn write(&self, stream: Stream, bytes: Bytes) {
        self.0
            .lock()
            .expect("no holder panicked")
            .push((stream, bytes.to_vec()));
    }
}
