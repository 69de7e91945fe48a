//! Pipelines: list, show, follow, cancel, run again, approve.

use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::body::Body as Content;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt, stream};
use serde::{Deserialize, Serialize};

use crate::config::{EVENTS_PAGE_MAX, LIVE_PING_SECONDS, PAGE_ROWS, PAGE_ROWS_MAX};
use crate::engine::{EventKind, Level, PipelineEvent, Status, WorkflowSeen};
use crate::event::ForgeKind;
use crate::report::view::{JobView, PipelineView, StepView};
use crate::server::App;
use crate::server::auth::{MayRead, MayRun};
use crate::server::feed::{self, Kinds, Wanted};
use crate::server::problem::{Asked, Problem};
use crate::store::{Filter, LinesOf, PipelineRow};

/// * `cursor`: `next` of the page before. * `limit`: 1 to 500, 50 if not said.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    repo: Option<String>,
    forge: Option<ForgeKind>,
    status: Option<Status>,
    branch: Option<String>,
    event: Option<String>,
    sha: Option<String>,
    cursor: Option<u64>,
    limit: Option<u32>,
}

#[derive(Debug, Serialize)]
pub(super) struct Page<T> {
    items: Vec<T>,
    /// `cursor` of the next page; none when this is the last.
    next: Option<u64>,
}

pub(super) async fn list(
    _: MayRead,
    State(app): State<App>,
    Asked(query): Asked<ListQuery>,
) -> Result<Json<Page<PipelineRow>>, Problem> {
    let limit = query.limit.unwrap_or(PAGE_ROWS).clamp(1, PAGE_ROWS_MAX);
    let filter = Filter {
        repo: query.repo,
        forge: query.forge,
        status: query.status,
        branch: query.branch,
        event: query.event,
        sha: query.sha,
        before: query.cursor,
        // One more shows whether there is a next page.
        limit: limit + 1,
    };
    let mut items = app.pipelines.store().pipelines(&filter).await?;
    let has_more = items.len() > limit as usize;
    items.truncate(limit as usize);
    let next = items.last().map(|row| row.number).filter(|_| has_more);
    Ok(Json(Page { items, next }))
}

#[derive(Debug, Serialize)]
pub(super) struct Shown {
    #[serde(flatten)]
    row: PipelineRow,
    page: Option<String>,
    workflows: Vec<WorkflowSeen>,
    jobs: Vec<ShownJob>,
    images: Vec<ShownImage>,
    annotations: Vec<ShownAnnotation>,
}

#[derive(Debug, Serialize)]
struct ShownJob {
    name: String,
    workflow: String,
    needs: Vec<String>,
    status: Status,
    attempt: u32,
    image: Option<String>,
    started_at: Option<jiff::Timestamp>,
    duration_ms: u64,
    why: Option<String>,
    steps: Vec<ShownStep>,
}

#[derive(Debug, Serialize)]
struct ShownStep {
    number: u32,
    name: String,
    status: Status,
    started_at: Option<jiff::Timestamp>,
    duration_ms: u64,
    exit_code: Option<i32>,
    max_rss_bytes: u64,
    why: Option<String>,
}

#[derive(Debug, Serialize)]
struct ShownImage {
    reference: String,
    digest: String,
    moved: bool,
}

#[derive(Debug, Serialize)]
struct ShownAnnotation {
    job: Option<String>,
    level: Level,
    message: String,
    file: Option<String>,
    line: Option<u32>,
}

fn millis(time: Duration) -> u64 {
    crate::clock::millis(time)
}

fn shown_job((name, job): (&std::sync::Arc<str>, &JobView)) -> ShownJob {
    let step = |step: &StepView| ShownStep {
        number: step.number,
        name: step.name.clone(),
        status: step.status,
        started_at: step.started,
        duration_ms: millis(step.took),
        exit_code: step.exit_code,
        max_rss_bytes: step.max_rss_bytes,
        why: step.why.clone(),
    };
    ShownJob {
        name: name.to_string(),
        workflow: job.workflow.clone(),
        needs: job.needs.clone(),
        status: job.status,
        attempt: job.attempt,
        image: job.image.clone(),
        started_at: job.started,
        duration_ms: millis(job.took),
        why: job.why.clone(),
        steps: job.steps.iter().map(step).collect(),
    }
}

fn shown_annotation(event: &PipelineEvent) -> Option<ShownAnnotation> {
    let EventKind::Annotation {
        job,
        level,
        message,
        file,
        line,
        ..
    } = &event.kind
    else {
        return None;
    };
    let job = (!job.is_empty()).then(|| job.to_string());
    Some(ShownAnnotation {
        job,
        level: *level,
        message: message.clone(),
        file: file.clone(),
        line: *line,
    })
}

pub(super) async fn show(_: MayRead, State(app): State<App>, Path(number): Path<u64>) -> Result<Json<Shown>, Problem> {
    let store = app.pipelines.store();
    let row = store.pipeline(number).await?.ok_or_else(|| no_pipeline(number))?;
    let events = store.outline(number).await?;
    let view = PipelineView::of(&events);
    let images = view.pushed.iter().map(|pushed| ShownImage {
        reference: pushed.reference.clone(),
        digest: pushed.digest.clone(),
        moved: pushed.moved,
    });
    Ok(Json(Shown {
        row,
        page: app.pipelines.page(number),
        images: images.collect(),
        jobs: view.shown_jobs().map(shown_job).collect(),
        workflows: view.workflows,
        annotations: events.iter().filter_map(shown_annotation).collect(),
    }))
}

fn no_pipeline(number: u64) -> Problem {
    Problem::missing(format!("there is no pipeline {number}"))
}

/// * `after`: only what follows on this `seq` (of lines of one job without `follow`: this many lines).
/// * `follow`: go on until the pipeline ends. * `limit`: at most so many. * `lines`: with log lines, which is the default.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StreamQuery {
    after: Option<u64>,
    limit: Option<u32>,
    job: Option<String>,
    attempt: Option<u32>,
    #[serde(default)]
    follow: bool,
    lines: Option<bool>,
}

/// One JSON object a line; as server-sent events for whoever accepts them, which resume by `Last-Event-ID`.
pub(super) async fn events(
    _: MayRead,
    State(app): State<App>,
    Path(number): Path<u64>,
    headers: HeaderMap,
    Asked(query): Asked<StreamQuery>,
) -> Result<Response, Problem> {
    let is_sse = accepts_sse(&headers);
    let wanted = Wanted {
        after: resumed(&headers).or(query.after).unwrap_or(0),
        job: query.job,
        kinds: if query.lines == Some(false) {
            Kinds::NoLines
        } else {
            Kinds::All
        },
        follow: query.follow || is_sse,
    };
    let found = feed::events(&app, number, wanted).await?;
    if is_sse {
        return Ok(as_sse(found));
    }
    let limit = query
        .limit
        .map_or(usize::MAX, |limit| limit.min(EVENTS_PAGE_MAX) as usize);
    let lines = found.take(limit).map(|event| {
        let mut line = serde_json::to_string(&event).unwrap_or_default();
        line.push('\n');
        Ok::<_, Infallible>(line)
    });
    Ok((
        [(header::CONTENT_TYPE, "application/x-ndjson")],
        Content::from_stream(lines),
    )
        .into_response())
}

/// Log lines as plain text, of one job or, each with its job before it, of all; or as server-sent events.
pub(super) async fn logs(
    _: MayRead,
    State(app): State<App>,
    Path(number): Path<u64>,
    headers: HeaderMap,
    Asked(query): Asked<StreamQuery>,
) -> Result<Response, Problem> {
    let is_sse = accepts_sse(&headers);
    if let (Some(job), false, false) = (&query.job, query.follow, is_sse) {
        return lines_of_job(&app, number, job, &query).await;
    }
    let is_one_job = query.job.is_some();
    let wanted = Wanted {
        after: resumed(&headers).or(query.after).unwrap_or(0),
        job: query.job,
        kinds: Kinds::OnlyLines,
        follow: query.follow || is_sse,
    };
    let found = feed::events(&app, number, wanted).await?;
    if is_sse {
        return Ok(as_sse(found));
    }
    let limit = query.limit.map_or(usize::MAX, |limit| limit as usize);
    Ok(as_text(found.take(limit), is_one_job))
}

/// Lines are counted within the job here, so a page can begin anywhere without reading what stands before it.
async fn lines_of_job(app: &App, number: u64, job: &str, query: &StreamQuery) -> Result<Response, Problem> {
    const LINES_AT_ONCE: u32 = 256;
    if app.pipelines.store().pipeline(number).await?.is_none() {
        return Err(no_pipeline(number));
    }
    let (app, job, attempt) = (app.clone(), job.to_owned(), query.attempt);
    let (from, limit) = (query.after.unwrap_or(0), query.limit.map_or(u64::MAX, u64::from));
    let until = from.saturating_add(limit);
    let pages = stream::unfold(from, move |from| {
        let (app, job) = (app.clone(), job.clone());
        async move {
            let count = u32::try_from(until.saturating_sub(from))
                .unwrap_or(u32::MAX)
                .min(LINES_AT_ONCE);
            if count == 0 {
                return None;
            }
            let of = LinesOf {
                pipeline: number,
                job: &job,
                attempt,
            };
            let lines = app
                .pipelines
                .store()
                .lines(&of, from, count)
                .await
                .unwrap_or_else(|error| {
                    tracing::warn!(pipeline = number, "a log is cut off: {}", error.chain());
                    vec![]
                });
            let next = from + lines.len() as u64;
            (!lines.is_empty()).then_some((stream::iter(lines), next))
        }
    });
    Ok(as_text(pages.flatten(), true))
}

fn accepts_sse(headers: &HeaderMap) -> bool {
    let accepted = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok());
    accepted
        .flat_map(|value| value.split(','))
        .any(|kind| kind.trim().starts_with("text/event-stream"))
}

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

fn resumed(headers: &HeaderMap) -> Option<u64> {
    headers.get(LAST_EVENT_ID)?.to_str().ok()?.parse().ok()
}

/// Each event with its `seq` as id; `end` follows on the last one.
fn as_sse(found: impl Stream<Item = PipelineEvent> + Send + 'static) -> Response {
    let event = |event: PipelineEvent| {
        let data = serde_json::to_value(&event).unwrap_or_default();
        let kind = data
            .get("type")
            .and_then(|kind| kind.as_str())
            .unwrap_or("event")
            .to_owned();
        SseEvent::default()
            .id(event.seq.to_string())
            .event(kind)
            .data(data.to_string())
    };
    let end = SseEvent::default().event("end").data("{}");
    let events = found.map(event).chain(stream::iter([end])).map(Ok::<_, Infallible>);
    let ping = KeepAlive::new().interval(Duration::from_secs(LIVE_PING_SECONDS));
    // Proxies must not hold events back.
    ([("x-accel-buffering", "no")], Sse::new(events).keep_alive(ping)).into_response()
}

fn as_text(found: impl Stream<Item = PipelineEvent> + Send + 'static, is_one_job: bool) -> Response {
    let mut is_open_line = false;
    let lines = found.filter_map(move |event| {
        let EventKind::Log {
            job, line, continues, ..
        } = event.kind
        else {
            return std::future::ready(None);
        };
        let mut text = String::with_capacity(line.len() + job.len() + 4);
        if !is_one_job && !is_open_line {
            text += &job;
            text += " | ";
        }
        text += &line;
        if !continues {
            text.push('\n');
        }
        is_open_line = continues;
        std::future::ready(Some(Ok::<_, Infallible>(text)))
    });
    let kind = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    (kind, Content::from_stream(lines)).into_response()
}

#[derive(Debug, Serialize)]
pub(super) struct Changed {
    number: u64,
    status: Status,
}

pub(super) async fn cancel(
    MayRun(caller): MayRun,
    State(app): State<App>,
    Path(number): Path<u64>,
) -> Result<(StatusCode, Json<Changed>), Problem> {
    let status = app.pipelines.cancel(number, &caller.name).await?;
    Ok((StatusCode::ACCEPTED, Json(Changed { number, status })))
}

/// The answer names the new pipeline.
pub(super) async fn rerun(
    _: MayRun,
    State(app): State<App>,
    Path(number): Path<u64>,
) -> Result<(StatusCode, Json<Changed>), Problem> {
    let number = app.pipelines.rerun(number).await?;
    let row = app
        .pipelines
        .store()
        .pipeline(number)
        .await?
        .ok_or_else(|| no_pipeline(number))?;
    Ok((
        StatusCode::ACCEPTED,
        Json(Changed {
            number,
            status: row.status,
        }),
    ))
}

pub(super) async fn approve(
    MayRun(caller): MayRun,
    State(app): State<App>,
    Path(number): Path<u64>,
) -> Result<(StatusCode, Json<Changed>), Problem> {
    app.pipelines.approve(number, &caller.name).await?;
    Ok((
        StatusCode::ACCEPTED,
        Json(Changed {
            number,
            status: Status::Queued,
        }),
    ))
}
