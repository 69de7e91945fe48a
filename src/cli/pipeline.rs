//! `drydock pipeline`: look at a server's pipelines, and tell it what to do with them.

use std::io::{IsTerminal, Write, stdout};

use clap::Subcommand;
use futures_util::StreamExt;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::client::{Client, Output, ServerArgs, encoded, print_json, table};
use super::{Exit, Failed, block_on};
use crate::clock;
use crate::engine::{EventKind, PipelineEvent, Status};
use crate::report::Show;
use crate::report::json::Json;
use crate::report::plain::{Plain, Quiet};
use crate::report::tree::{self, Colour};
use crate::report::view::PipelineView;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List pipelines, newest first
    List(List),
    /// Show one: its jobs, steps, reasons and images
    Show(OneShown),
    /// Print its log
    Logs(Logs),
    /// End it; a second time without grace
    Cancel(One),
    /// Start it again: the same event and commit
    Rerun(One),
    /// Let a pipeline run that waits for approval
    Approve(One),
}

#[derive(Debug, clap::Args)]
struct List {
    #[command(flatten)]
    server: ServerArgs,
    /// Only of this repository, `owner/name`
    #[arg(long)]
    repo: Option<String>,
    /// Only with this status
    #[arg(long)]
    status: Option<String>,
    /// Only of this branch
    #[arg(long)]
    branch: Option<String>,
    /// Only of this kind of event
    #[arg(long)]
    event: Option<String>,
    /// At most so many
    #[arg(short = 'n', long, default_value_t = 20)]
    limit: u32,
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

#[derive(Debug, clap::Args)]
struct One {
    #[command(flatten)]
    server: ServerArgs,
    /// The pipeline's number
    number: u64,
}

#[derive(Debug, clap::Args)]
struct OneShown {
    #[command(flatten)]
    one: One,
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

#[derive(Debug, clap::Args)]
struct Logs {
    #[command(flatten)]
    one: One,
    /// Go on until the pipeline ends; the exit status is then the pipeline's, as of `drydock run`
    #[arg(short, long)]
    follow: bool,
    /// Only of this job
    #[arg(short, long)]
    job: Option<String>,
    /// The event stream instead, one JSON object a line
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<Exit, Failed> {
    block_on(async {
        match &args.command {
            Command::List(args) => list(args).await,
            Command::Show(args) => show(args).await,
            Command::Logs(args) => logs(args).await,
            Command::Cancel(one) => change(one, "cancel").await,
            Command::Rerun(one) => change(one, "rerun").await,
            Command::Approve(one) => change(one, "approve").await,
        }
    })?
}

/// What lists show of a pipeline.
#[derive(Debug, Deserialize)]
struct Row {
    number: u64,
    repo: String,
    event: String,
    branch: Option<String>,
    tag: Option<String>,
    pull_request: Option<u64>,
    sha: String,
    title: String,
    status: Status,
    created_at: Timestamp,
}

async fn list(args: &List) -> Result<Exit, Failed> {
    let client = args.server.connect()?;
    let mut path = format!("/pipelines?limit={}", args.limit);
    let filters = [
        ("repo", &args.repo),
        ("status", &args.status),
        ("branch", &args.branch),
        ("event", &args.event),
    ];
    for (name, value) in filters {
        if let Some(value) = value {
            path += &format!("&{name}={}", encoded(value));
        }
    }
    let page: Value = client.get(&path).await?;
    let items = page.get("items").cloned().unwrap_or_default();
    if args.output == Output::Json {
        print_json(&items)?;
        return Ok(Exit::Passed);
    }
    let rows: Vec<Row> = serde_json::from_value(items).map_err(|error| Failed::machine(error.to_string()))?;
    if rows.is_empty() {
        anstream::println!("no pipelines");
        return Ok(Exit::Passed);
    }
    let cells = |row: Row| {
        let what = match (row.pull_request, row.tag, row.branch) {
            (Some(number), _, _) => format!("#{number}"),
            (None, Some(tag), _) => tag,
            (None, None, branch) => branch.unwrap_or_default(),
        };
        let title: String = row.title.chars().take(60).collect();
        let commit = row.sha.get(..8).unwrap_or(&row.sha).to_owned();
        let created = row.created_at.strftime("%Y-%m-%d %H:%M").to_string();
        [
            row.number.to_string(),
            row.status.word().to_owned(),
            row.repo,
            row.event,
            what,
            commit,
            created,
            title,
        ]
    };
    let head = [
        "NUMBER",
        "STATUS",
        "REPOSITORY",
        "EVENT",
        "REF",
        "COMMIT",
        "CREATED (UTC)",
        "TITLE",
    ];
    anstream::print!("{}", table(head, rows.into_iter().map(cells)));
    Ok(Exit::Passed)
}

async fn show(args: &OneShown) -> Result<Exit, Failed> {
    let client = args.one.server.connect()?;
    let number = args.one.number;
    let shown: Value = client.get(&format!("/pipelines/{number}")).await?;
    if args.output == Output::Json {
        print_json(&shown)?;
        return Ok(Exit::Passed);
    }
    let row: Row = serde_json::from_value(shown.clone()).map_err(|error| Failed::machine(error.to_string()))?;
    anstream::println!(
        "pipeline {number} of {} is {}: {}",
        row.repo,
        row.status,
        tamed(&row.title)
    );
    if let Some(why) = shown.get("why").and_then(Value::as_str) {
        anstream::println!("{}", tamed(why));
    }
    let colour = colour();
    let mut view = PipelineView::default();
    let mut notes = vec![];
    each_event(&client, &format!("/pipelines/{number}/events?lines=false"), |event| {
        if let EventKind::Annotation {
            file, line, message, ..
        } = &event.kind
        {
            let at = match (file, line) {
                (Some(file), Some(line)) => format!("{file}:{line}: "),
                (Some(file), None) => format!("{file}: "),
                (None, _) => String::new(),
            };
            notes.push(format!("{at}{message}"));
        }
        view.apply(&event);
        Ok(())
    })
    .await?;
    for note in notes {
        anstream::println!("{}", tamed(&note));
    }
    for line in tree::lines(&view, clock::system().now(), colour)
        .into_iter()
        .chain(tree::summary(&view, colour))
    {
        anstream::println!("{line}");
    }
    Ok(Exit::Passed)
}

fn tamed(text: &str) -> String {
    text.lines()
        .map(|line| crate::report::ansi::tame(line, false))
        .collect::<Vec<_>>()
        .join("\n")
}

fn colour() -> Colour {
    let is_wanted = stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    if is_wanted { Colour::Yes } else { Colour::No }
}

async fn logs(args: &Logs) -> Result<Exit, Failed> {
    let client = args.one.server.connect()?;
    let mut path = format!("/pipelines/{}/events?follow={}", args.one.number, args.follow);
    if let Some(job) = &args.job {
        path += &format!("&job={}", encoded(job));
    }
    let mut show: Box<dyn Show> = match args.json {
        true => Box::new(Json::new(stdout())),
        false => Box::new(Plain::new(stdout(), colour(), Quiet::No)),
    };
    let mut ended = None;
    each_event(&client, &path, |event| {
        if let EventKind::PipelineFinished { status, .. } = &event.kind {
            ended = Some(*status);
        }
        show.show(&event);
        Ok(())
    })
    .await?;
    show.finish();
    match (args.follow, ended) {
        (true, Some(status)) => Ok(status.into()),
        // It ended without a last event of its own (cancelled before it began), or only one job's events were asked for.
        (true, None) => {
            let row: Row = client.get(&format!("/pipelines/{}", args.one.number)).await?;
            Ok(row.status.into())
        }
        (false, _) => Ok(Exit::Passed),
    }
}

/// Hands on each event as it comes; a line that has not arrived whole waits for its rest.
async fn each_event(
    client: &Client,
    path: &str,
    mut take: impl FnMut(PipelineEvent) -> Result<(), Failed>,
) -> Result<(), Failed> {
    let mut body = client.stream(path).await?.bytes_stream();
    let mut waiting: Vec<u8> = vec![];
    while let Some(bytes) = body.next().await {
        let bytes = bytes.map_err(|error| Failed::machine(format!("the server's answer broke off: {error}")))?;
        waiting.extend_from_slice(&bytes);
        let mut taken = 0;
        while let Some(end) = waiting[taken..].iter().position(|byte| *byte == b'\n') {
            let line = &waiting[taken..taken + end];
            let event = serde_json::from_slice(line)
                .map_err(|error| Failed::machine(format!("the server sent what is no event: {error}")))?;
            take(event)?;
            taken += end + 1;
        }
        waiting.drain(..taken);
        // Whoever follows wants to see it now.
        let _ = stdout().flush();
    }
    Ok(())
}

#[derive(Debug, Deserialize)]
struct Changed {
    number: u64,
    status: Status,
}

async fn change(one: &One, verb: &str) -> Result<Exit, Failed> {
    let client = one.server.connect()?;
    let changed: Changed = client.post(&format!("/pipelines/{}/{verb}", one.number), None).await?;
    let told = match (verb, changed.status) {
        ("cancel", Status::Running) => format!("pipeline {} was asked to end", changed.number),
        ("rerun", status) => format!("pipeline {} is {status}", changed.number),
        (_, status) => format!("pipeline {} is {status}", changed.number),
    };
    anstream::println!("{told}");
    Ok(Exit::Passed)
}
