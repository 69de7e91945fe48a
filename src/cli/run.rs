//! `drydock run`: the repository's pipeline here, as the server would run it.

use std::io::{IsTerminal, stdout};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use clap::ValueEnum;
use indexmap::IndexMap;

use super::owner::Owner;
use super::resolved::Resolved;
use super::selection::{Selection, duration};
use super::{Exit, Failed, block_on, plan};
use crate::clock;
use crate::config::DockerConfig;
use crate::engine::{self, Bounds, Ground, Hands, Keep, Run, Settings, WorkspaceMode};
use crate::executor::docker::{DockerExecutor, connect};
use crate::executor::{Executor, JobLimits};
use crate::registry::{Registries, RegistryConfig, usual_docker_config};
use crate::report::json::Json;
use crate::report::live::Live;
use crate::report::plain::{Plain, Quiet};
use crate::report::tree::Colour;
use crate::report::{Show, Teller};
use crate::stop::Stop;

/// A local run has no server that numbers its pipelines.
const PIPELINE: u64 = 1;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    selection: Selection,
    /// Whether jobs see a copy of the work tree or the work tree itself
    #[arg(long, value_enum, default_value = "copy")]
    workspace: WorkspaceArg,
    /// Whether a job's containers stay when the job is over
    #[arg(long, value_enum, default_value = "never")]
    keep: KeepArg,
    /// Jobs that run at the same time [default: the number of processors]
    #[arg(long, value_name = "N")]
    max_parallel: Option<usize>,
    /// End the pipeline after this long, e.g. 20m
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    timeout: Option<Duration>,
    /// Run nothing, show what would run (as `drydock plan`)
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// How the run is shown [default: pretty on a terminal, else plain]
    #[arg(short, long, value_enum)]
    output: Option<OutputArg>,
    /// No colours
    #[arg(long)]
    no_color: bool,
    /// Only results, not what the steps print
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum WorkspaceArg {
    Copy,
    Bind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum KeepArg {
    Never,
    Failed,
    Always,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OutputArg {
    /// A live tree of jobs
    Pretty,
    /// Lines with the job's name in front
    Plain,
    /// The event stream, one JSON object a line
    Json,
}

pub fn run(args: &Args) -> Result<Exit, Failed> {
    let resolved = args.selection.resolve()?;
    if args.dry_run {
        let output = match args.output {
            Some(OutputArg::Json) => plan::Output::Json,
            Some(OutputArg::Plain) => plan::Output::Plain,
            Some(OutputArg::Pretty) | None if args.no_color => plan::Output::Plain,
            Some(OutputArg::Pretty) | None => plan::Output::Pretty,
        };
        return plan::show(&resolved, output);
    }
    if resolved.plans().is_empty() {
        for workflow in resolved.seen() {
            anstream::eprintln!("not run: {} ({}): {}", workflow.name, workflow.file, workflow.reason);
        }
        anstream::eprintln!("nothing to run for this event; `--event` and `--ref` choose another one");
        return Ok(Exit::Passed);
    }
    block_on(perform(args, resolved))?
}

async fn perform(args: &Args, resolved: Resolved) -> Result<Exit, Failed> {
    let server = Owner::this().to_string();
    let registries = Arc::new(Registries::new(RegistryConfig {
        entries: vec![],
        docker_config: usual_docker_config(),
    }));
    let executor = Arc::new(DockerExecutor::new(
        connect::connect(None).await?,
        &server,
        Some(registries),
    ));
    let stop = Stop::new();
    let listening = tokio::spawn(stop_on_signals(stop.clone()));
    let teller = Arc::new(args.teller());
    let plans = resolved.plans();
    let seen = resolved.seen();
    let ground = resolved.ground;
    let ended = engine::run(Run {
        plans,
        seen,
        bounds: Bounds {
            places: args.max_parallel.unwrap_or_else(processors),
            broke_max: 1,
        },
        hands: Hands {
            executor: executor.clone(),
            tree: ground.tree,
            observer: teller.clone(),
            secrets: Arc::new(ground.secrets),
            settings: Arc::new(args.settings(server, &ground.dir, ground.env)),
        },
        ground: Arc::new(Ground {
            trigger: ground.trigger,
            pipeline: PIPELINE,
            vars: ground.vars,
            inputs: ground.inputs,
            files: Some(ground.files),
        }),
        stop,
        stop_why: Arc::new(OnceLock::new()),
        timeout: args.timeout,
    })
    .await;
    executor.settle().await?;
    teller.finish();
    listening.abort();
    Ok(ended.status.into())
}

impl Args {
    fn settings(&self, server: String, dir: &std::path::Path, env: IndexMap<String, String>) -> Settings {
        let docker = DockerConfig::default();
        Settings {
            server,
            default_image: self.selection.default_image.clone().or(docker.default_image.clone()),
            image_of_label: docker
                .labels
                .clone()
                .into_iter()
                .chain(self.selection.images.iter().cloned())
                .collect(),
            pull: self.selection.pull.into(),
            limits: JobLimits {
                cpus: docker.cpus,
                memory_bytes: None,
                pids: docker.pids,
            },
            job_timeout: docker.timeout.0,
            grace: Duration::from_secs(10),
            workspace: match self.workspace {
                WorkspaceArg::Copy => WorkspaceMode::Copy,
                WorkspaceArg::Bind => WorkspaceMode::Bind(dir.to_owned()),
            },
            keep: match self.keep {
                KeepArg::Never => Keep::Never,
                KeepArg::Failed => Keep::Failed,
                KeepArg::Always => Keep::Always,
            },
            env,
        }
    }

    fn teller(&self) -> Teller {
        let on_terminal = stdout().is_terminal();
        let no_colour = self.no_color || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let colour = if on_terminal && !no_colour {
            Colour::Yes
        } else {
            Colour::No
        };
        let default = if on_terminal {
            OutputArg::Pretty
        } else {
            OutputArg::Plain
        };
        let show: Box<dyn Show> = match self.output.unwrap_or(default) {
            OutputArg::Pretty => {
                let live = Live::new(Box::new(stdout()), Box::new(terminal_size), clock::system(), colour);
                tokio::spawn(live.ticking());
                Box::new(live)
            }
            OutputArg::Plain => {
                let quiet = if self.quiet { Quiet::Yes } else { Quiet::No };
                Box::new(Plain::new(stdout(), colour, quiet))
            }
            OutputArg::Json => Box::new(Json::new(stdout())),
        };
        Teller::new(PIPELINE, clock::system(), show)
    }
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from)
}

/// Rows and columns of the terminal; a usual size where it does not say.
fn terminal_size() -> (usize, usize) {
    match rustix::termios::tcgetwinsize(stdout()) {
        Ok(size) if size.ws_row > 0 && size.ws_col > 0 => (size.ws_row.into(), size.ws_col.into()),
        Ok(_) | Err(_) => (24, 80),
    }
}

/// The first Ctrl-C (or TERM) asks for an orderly end, the second takes the grace away.
async fn stop_on_signals(stop: Stop) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupts), Ok(mut terms)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) else {
        tracing::warn!("cannot listen for signals; Ctrl-C will leave containers to `drydock clean`");
        return;
    };
    loop {
        tokio::select! {
            _ = interrupts.recv() => {}
            _ = terms.recv() => {}
        }
        if stop.is_asked() {
            stop.force();
        } else {
            stop.ask();
            anstream::eprintln!("stopping: steps get TERM and then KILL; press Ctrl-C again to kill at once");
        }
    }
}
