//! A plain page for each pipeline, so that a commit's status leads to something that a person can read. No script, no state;
//! a browser asks its user for a token.

use axum::Router;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;

use super::App;
use super::auth::MayBrowse;
use super::problem::Problem;
use crate::config::PAGE_ROWS;
use crate::engine::{EventKind, PipelineEvent};
use crate::report::view::PipelineView;
use crate::store::{Filter, PipelineRow};

const STYLE: &str = include_str!("web/page.css");

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/", get(list))
        .route("/pipelines/{number}", get(show))
        .route("/page.css", get(style))
}

async fn style() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE).into_response()
}

/// Text for HTML, in elements and in quoted attributes.
fn text(raw: &str) -> String {
    let mut safe = String::with_capacity(raw.len());
    for c in raw.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            // Directions and other controls would rearrange what stands around them.
            c if c.is_control() && c != '\n' && c != '\t' => safe.push('\u{FFFD}'),
            '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' => safe.push('\u{FFFD}'),
            c => safe.push(c),
        }
    }
    safe
}

fn page(title: &str, body: &str) -> Html<String> {
    let title = text(title);
    Html(format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <link rel=\"stylesheet\" href=\"/page.css\">\n</head>\n<body>\n<header><a href=\"/\">Drydock</a></header>\n\
         <main>\n{body}</main>\n</body>\n</html>\n"
    ))
}

fn status(word: &str) -> String {
    format!("<span class=\"status {word}\">{word}</span>")
}

async fn list(_: MayBrowse, State(app): State<App>) -> Result<Html<String>, Problem> {
    let filter = Filter {
        limit: PAGE_ROWS,
        ..Filter::default()
    };
    let rows = app.pipelines.store().pipelines(&filter).await?;
    let mut body = "<h1>Pipelines</h1>\n".to_owned();
    if rows.is_empty() {
        body += "<p>None yet: they appear as soon as a forge delivers a webhook to <code>/hooks/github</code>, \
                 <code>/hooks/gitlab</code> or <code>/hooks/gitea</code>.</p>\n";
    } else {
        body += "<table>\n<thead><tr><th>Number</th><th>Status</th><th>Repository</th><th>Event</th><th>Commit</th><th>What</th></tr></thead>\n<tbody>\n";
        for row in &rows {
            body += &format!(
                "<tr><td><a href=\"/pipelines/{0}\">{0}</a></td><td>{1}</td><td>{2}</td><td>{3}</td><td><code>{4}</code></td><td>{5}</td></tr>\n",
                row.number,
                status(row.status.word()),
                text(&row.repo),
                text(&describe_event(row)),
                text(row.sha.get(..8).unwrap_or(&row.sha)),
                text(&row.title),
            );
        }
        body += "</tbody>\n</table>\n";
    }
    Ok(page("Drydock", &body))
}

fn describe_event(row: &PipelineRow) -> String {
    match (row.pull_request, &row.tag, &row.branch) {
        (Some(number), _, _) => format!("{} #{number}", row.event),
        (None, Some(tag), _) => format!("{} {tag}", row.event),
        (None, None, Some(branch)) => format!("{} {branch}", row.event),
        (None, None, None) => row.event.clone(),
    }
}

async fn show(_: MayBrowse, State(app): State<App>, Path(number): Path<u64>) -> Result<Html<String>, Problem> {
    let store = app.pipelines.store();
    let missing = || Problem::missing(format!("there is no pipeline {number}"));
    let row = store.pipeline(number).await?.ok_or_else(missing)?;
    let events = store.outline(number).await?;
    let view = PipelineView::of(&events);
    let mut body = format!(
        "<h1>{} <a href=\"/pipelines/{number}\">#{number}</a> {}</h1>\n<p>{} of <code>{}</code> by {}: {}</p>\n",
        text(&row.repo),
        status(row.status.word()),
        text(&describe_event(&row)),
        text(&row.sha),
        text(&row.actor),
        text(&row.title),
    );
    if let Some(why) = row.why.as_ref().or(view.why.as_ref()) {
        body += &format!("<p class=\"why\">{}</p>\n", text(why));
    }
    body += &annotations(&events);
    for workflow in view.workflows.iter().filter(|workflow| !workflow.runs) {
        body += &format!(
            "<p>{} does not run: {}</p>\n",
            text(&workflow.name),
            text(&workflow.reason)
        );
    }
    for (name, job) in view.shown_jobs() {
        body += &format!("<section>\n<h2>{} {}</h2>\n", text(name), status(job.status.word()));
        if let Some(why) = &job.why {
            body += &format!("<p class=\"why\">{}</p>\n", text(why));
        }
        if !job.steps.is_empty() {
            body += "<ol>\n";
            for step in &job.steps {
                let took = step.took.as_secs_f64();
                body += &format!(
                    "<li>{} {} {took:.1} s</li>\n",
                    text(&step.name),
                    status(step.status.word())
                );
            }
            body += "</ol>\n";
        }
        body += &last_lines(&app, number, name).await?;
        body += "</section>\n";
    }
    for pushed in &view.pushed {
        body += &format!(
            "<p>pushed <code>{}</code> <code>{}</code></p>\n",
            text(&pushed.reference),
            text(&pushed.digest)
        );
    }
    Ok(page(&format!("{} #{number} {}", row.repo, row.status), &body))
}

fn annotations(events: &[PipelineEvent]) -> String {
    let mut found = String::new();
    for event in events {
        if let EventKind::Annotation {
            message, file, line, ..
        } = &event.kind
        {
            let at = match (file, line) {
                (Some(file), Some(line)) => format!("{file}:{line}: "),
                (Some(file), None) => format!("{file}: "),
                (None, _) => String::new(),
            };
            found += &format!("<pre class=\"finding\">{}{}</pre>\n", text(&at), text(message));
        }
    }
    found
}

/// Lines of a job that its page shows.
const LINES_SHOWN: u64 = 500;

async fn last_lines(app: &App, number: u64, job: &str) -> Result<String, Problem> {
    let store = app.pipelines.store();
    let of = crate::store::LinesOf {
        pipeline: number,
        job,
        attempt: None,
    };
    let count = store.line_count(&of).await?;
    if count == 0 {
        return Ok(String::new());
    }
    let from = count.saturating_sub(LINES_SHOWN);
    let lines = store.lines(&of, from, LINES_SHOWN as u32).await?;
    let mut log = String::new();
    for event in lines {
        if let EventKind::Log { line, continues, .. } = event.kind {
            log += &text(&without_escapes(&line));
            if !continues {
                log.push('\n');
            }
        }
    }
    let summary = match from {
        0 => format!("{count} lines"),
        skipped => {
            format!("the last {LINES_SHOWN} of {count} lines ({skipped} before them: `drydock pipeline logs {number}`)")
        }
    };
    Ok(format!(
        "<details open><summary>{}</summary><pre>{log}</pre></details>\n",
        text(&summary)
    ))
}

/// Without terminals' colours and other commands.
fn without_escapes(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find('\u{1b}') {
        plain.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        rest = match rest.strip_prefix('[') {
            // A control sequence ends with a letter or one of a few signs.
            Some(sequence) => sequence
                .find(|c: char| ('\u{40}'..='\u{7e}').contains(&c))
                .map_or("", |end| &sequence[end + 1..]),
            None => rest.get(1..).unwrap_or_default(),
        };
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_log_says_becomes_markup() {
        assert_eq!(
            text("<script>alert('x')</script> & \"y\"\u{202E}"),
            "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &quot;y&quot;\u{FFFD}"
        );
        assert_eq!(
            without_escapes("\u{1b}[31mred\u{1b}[0m \u{1b}]8;;x\u{7}"),
            "red 8;;x\u{7}"
        );
        assert_eq!(without_escapes("cut \u{1b}[31"), "cut ");
        assert_eq!(without_escapes("\u{1b}ü"), "");
    }
}
