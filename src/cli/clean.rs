//! `drydock clean`: what Drydock holds in the engine, and letting go of it.

use super::owner::Owner;
use super::{Exit, Failed, block_on};
use crate::executor::docker::connect;
use crate::executor::docker::holdings::{self, Holding, HoldingKind};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Show what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,
    /// Also everything that this server (or kept run) owns: its id, as shown
    #[arg(long, value_name = "ID")]
    server: Vec<String>,
    /// Also the caches: images that were built, and the shim
    #[arg(long)]
    caches: bool,
    /// Everything of Drydock's, whoever owns it and whether it runs or not
    #[arg(long)]
    all: bool,
}

/// Why something goes or stays.
enum Verdict {
    Remove(&'static str),
    Stay(&'static str),
}

impl Args {
    fn verdict(&self, held: &Holding) -> Verdict {
        let is_cache = held.kind == HoldingKind::Image || held.server.is_none();
        let named = held.server.as_ref().is_some_and(|server| self.server.contains(server));
        let gone = held
            .server
            .as_deref()
            .and_then(Owner::parse)
            .is_some_and(|owner| owner.is_gone());
        match (self.all, is_cache) {
            (true, _) => Verdict::Remove("--all"),
            (false, true) if self.caches => Verdict::Remove("--caches"),
            (false, true) => Verdict::Stay("cache; `--caches` removes it"),
            (false, false) if named => Verdict::Remove("--server"),
            (false, false) if gone => Verdict::Remove("its run is over"),
            (false, false) => Verdict::Stay("its owner may be running; `--server` removes it"),
        }
    }
}

pub fn run(args: &Args) -> Result<Exit, Failed> {
    block_on(perform(args))?
}

async fn perform(args: &Args) -> Result<Exit, Failed> {
    let docker = connect::connect(None).await?.docker;
    let held = holdings::list(&docker).await?;
    if held.is_empty() {
        anstream::println!("nothing of Drydock's is in this engine");
        return Ok(Exit::Passed);
    }
    let mut trouble = vec![];
    let mut freed = 0;
    for held in &held {
        let (word, why) = match args.verdict(held) {
            Verdict::Stay(why) => ("stays", why),
            Verdict::Remove(why) if args.dry_run => ("would go", why),
            Verdict::Remove(why) => match holdings::remove(&docker, held).await {
                Ok(()) => {
                    freed += held.bytes.unwrap_or(0);
                    ("removed", why)
                }
                Err(error) => {
                    trouble.push(error.chain());
                    ("in use", why)
                }
            },
        };
        anstream::println!("{}", line(word, held, why));
    }
    if freed > 0 {
        anstream::println!("{} of images let go (layers that others share stay)", size(freed));
    }
    if trouble.is_empty() {
        return Ok(Exit::Passed);
    }
    Err(Failed::machine(trouble.join("\n       ")))
}

fn line(word: &str, held: &Holding, why: &str) -> String {
    let owner = match (&held.server, held.pipeline, &held.job) {
        (Some(server), Some(pipeline), Some(job)) => format!("{server}, pipeline {pipeline}, {job}"),
        (Some(server), _, _) => server.clone(),
        (None, _, _) => "shared".to_owned(),
    };
    let bytes = held.bytes.map_or(String::new(), |bytes| format!(" {}", size(bytes)));
    format!(
        "{word:>9}  {:<9} {}{bytes}  ({owner}; {why})",
        held.kind.word(),
        held.name
    )
}

fn size(bytes: u64) -> String {
    const STEP: u64 = 1024;
    match bytes {
        0..STEP => format!("{bytes} B"),
        _ if bytes < STEP * STEP => format!("{} KiB", bytes / STEP),
        _ if bytes < STEP * STEP * STEP => format!("{} MiB", bytes / STEP / STEP),
        _ => format!("{:.1} GiB", bytes as f64 / (STEP * STEP * STEP) as f64),
    }
}
