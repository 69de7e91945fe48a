//! A picture as text for a terminal: the job graph as a tree, one job a line, each with its reason.
//!
//! A job stands below the last of its needs; the others are named. So every job is drawn once, three or two hundred.

use std::collections::HashMap;
use std::fmt::Write;

use anstyle::{AnsiColor, Style};

use super::{Forecast, JobPicture, Picture, WorkflowPicture};

/// What is drawn on: width in columns, and whether colours show.
#[derive(Debug, Clone, Copy)]
pub struct Paper {
    pub width: usize,
    pub colour: bool,
}

/// Widest column for what a job does; more is cut.
const WHAT_WIDTH_MAX: usize = 56;

/// The picture as lines. Words carry the meaning, colour only repeats it.
pub fn draw(picture: &Picture, paper: Paper) -> String {
    let mut out = String::new();
    for (at, workflow) in picture.workflows.iter().enumerate() {
        if at > 0 {
            out.push('\n');
        }
        draw_workflow(workflow, paper, &mut out);
    }
    out
}

fn draw_workflow(workflow: &WorkflowPicture, paper: Paper, out: &mut String) {
    let bold = paint(paper, Style::new().bold());
    let word = if workflow.runs { "runs" } else { "skipped" };
    let file = if workflow.name == workflow.file {
        String::new()
    } else {
        format!(" ({})", workflow.file)
    };
    let _ = writeln!(
        out,
        "{}{}{}{file} {word}: {}",
        bold.0, workflow.name, bold.1, workflow.reason
    );
    if workflow.jobs.is_empty() {
        return;
    }
    out.push('\n');
    let rows = rows(&workflow.jobs);
    let name_width = rows
        .iter()
        .map(|row| row.tree.chars().count() + row.label.chars().count())
        .max()
        .unwrap_or(0);
    let what_width = rows
        .iter()
        .map(|row| row.what.chars().count())
        .max()
        .unwrap_or(0)
        .min(WHAT_WIDTH_MAX);
    let why_width = rows.iter().map(|row| row.why.chars().count()).max().unwrap_or(0);
    let one_line = name_width + what_width + why_width + 6 <= paper.width;
    let dim = paint(paper, Style::new().dimmed());
    for row in &rows {
        let style = paint(paper, row.style);
        let padding = name_width.saturating_sub(row.tree.chars().count() + row.label.chars().count());
        let what = cut(&row.what, what_width);
        let gap = what_width.saturating_sub(what.chars().count());
        let _ = write!(
            out,
            "  {}{}{}{}{:padding$}  {what}",
            row.tree, style.0, row.label, style.1, ""
        );
        if one_line {
            let _ = writeln!(out, "{:gap$}  {}{}{}", "", dim.0, row.why, dim.1);
        } else {
            let _ = writeln!(out, "\n  {}  {}{}{}", row.below, dim.0, row.why, dim.1);
        }
    }
    draw_secrets(&workflow.jobs, out);
}

/// Which secrets are wanted, by whom, and which of them are not set.
fn draw_secrets(jobs: &[JobPicture], out: &mut String) {
    let mut wanted: Vec<(&str, bool, Vec<&str>)> = vec![];
    for job in jobs
        .iter()
        .filter(|job| !matches!(job.forecast, Forecast::Skipped { .. }))
    {
        for secret in &job.secrets {
            match wanted.iter_mut().find(|(name, _, _)| *name == secret.name) {
                Some((_, _, by)) => by.push(&job.id),
                None => wanted.push((&secret.name, secret.set, vec![&job.id])),
            }
        }
    }
    if wanted.is_empty() {
        return;
    }
    out.push('\n');
    let width = wanted.iter().map(|(name, _, _)| name.len()).max().unwrap_or(0);
    for (at, (name, set, by)) in wanted.iter().enumerate() {
        let title = if at == 0 { "secrets" } else { "" };
        let set = if *set { "set    " } else { "not set" };
        let _ = writeln!(out, "  {title:7}  {name:width$}  {set}  for {}", by.join(", "));
    }
}

struct Row {
    /// What stands before the label: `├─ `.
    tree: String,
    /// What stands below it on a second line.
    below: String,
    label: String,
    what: String,
    why: String,
    style: Style,
}

fn rows(jobs: &[JobPicture]) -> Vec<Row> {
    // Jobs come behind what they need, so the parent of each is the latest of its needs.
    let index: HashMap<&str, usize> = jobs.iter().enumerate().map(|(at, job)| (job.id.as_str(), at)).collect();
    let parent = |job: &JobPicture| {
        job.needs
            .iter()
            .filter_map(|need| index.get(need.as_str()).copied())
            .max()
    };
    let mut children: Vec<Vec<usize>> = vec![vec![]; jobs.len()];
    let mut roots = vec![];
    for (at, job) in jobs.iter().enumerate() {
        match parent(job) {
            Some(parent) => children[parent].push(at),
            None => roots.push(at),
        }
    }
    let mut rows = Vec::with_capacity(jobs.len());
    // Depth first, without recursion: (job, what stands before it, what stands before its children).
    let mut open: Vec<(usize, String, String)> = roots
        .into_iter()
        .rev()
        .map(|at| (at, String::new(), String::new()))
        .collect();
    while let Some((at, tree, inner)) = open.pop() {
        let job = &jobs[at];
        let kids = &children[at];
        let below = if kids.is_empty() {
            inner.clone()
        } else {
            format!("{inner}│")
        };
        rows.push(row(job, &also_needs(job, &index), tree, below));
        for (nth, kid) in kids.iter().enumerate().rev() {
            let last = nth + 1 == kids.len();
            let (branch, rail) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            open.push((*kid, format!("{inner}{branch}"), format!("{inner}{rail}")));
        }
    }
    rows
}

/// What it needs besides the job that it is drawn below.
fn also_needs<'a>(job: &'a JobPicture, index: &HashMap<&str, usize>) -> Vec<&'a str> {
    let parent = job.needs.iter().max_by_key(|need| index.get(need.as_str()));
    job.needs
        .iter()
        .filter(|need| Some(*need) != parent)
        .map(String::as_str)
        .collect()
}

fn row(job: &JobPicture, also: &[&str], tree: String, below: String) -> Row {
    let times = match &job.matrix {
        Some(matrix) if matrix.decided.is_some() => " ×?".to_owned(),
        Some(matrix) => format!(" ×{}", matrix.members.len()),
        None => String::new(),
    };
    let style = match &job.forecast {
        Forecast::Runs { .. } => Style::new().fg_color(Some(AnsiColor::Green.into())),
        Forecast::Skipped { .. } => Style::new().dimmed(),
        Forecast::Later { .. } => Style::new().fg_color(Some(AnsiColor::Yellow.into())),
        Forecast::Wrong { .. } => Style::new().fg_color(Some(AnsiColor::Red.into())),
    };
    Row {
        tree,
        below,
        label: format!("{}{times}", job.id),
        what: what(job, also),
        why: format!("{}: {}", job.forecast.word(), job.forecast.reason()),
        style,
    }
}

/// What a job does, in a few words.
fn what(job: &JobPicture, also: &[&str]) -> String {
    let mut parts: Vec<String> = vec![];
    parts.extend(job.builds.iter().map(|builds| format!("build {builds}")));
    parts.extend(job.pushes.iter().map(|pushes| format!("push {pushes}")));
    parts.extend(job.image.iter().map(|image| format!("in {image}")));
    parts.extend(
        job.services
            .iter()
            .map(|service| format!("with {} ({})", service.name, service.image)),
    );
    parts.extend(job.docker.iter().map(|docker| format!("docker {docker}")));
    parts.extend(job.environment.iter().map(|environment| format!("to {environment}")));
    if let Some(matrix) = &job.matrix {
        match &matrix.decided {
            Some(decided) => parts.push(format!("matrix {decided}")),
            None => parts.push(format!("matrix {}", matrix.members.join(" | "))),
        }
    }
    match also {
        [] => {}
        [one] => parts.push(format!("needs {one} too")),
        [first, second] => parts.push(format!("needs {first} and {second} too")),
        [first, ..] => parts.push(format!("needs {first} and {} others too", also.len() - 1)),
    }
    parts.join("; ")
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// What switches a style on and off.
fn paint(paper: Paper, style: Style) -> (String, String) {
    match paper.colour {
        true => (style.render().to_string(), style.render_reset().to_string()),
        false => (String::new(), String::new()),
    }
}
