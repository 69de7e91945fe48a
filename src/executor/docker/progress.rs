//! BuildKit's progress as log lines: `#3 [2/4] RUN make`, the command's output under the same number, how it ended.
//! Pure: what came in gives what is to be written.

use std::collections::{HashMap, VecDeque};

use bollard_buildkit_proto::google::protobuf::Timestamp;
use bollard_buildkit_proto::moby::buildkit::v1::{StatusResponse, Vertex, VertexLog};

use crate::executor::Stream;

/// A line of output without an end is written out when it is so long.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// How many of a failing command's last lines are told again.
const LAST_LINES: usize = 12;

/// A line for the log.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub stream: Stream,
    pub text: Vec<u8>,
}

/// The step that failed: its name, BuildKit's words, and the end of its output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FailedVertex {
    pub name: String,
    pub error: String,
    pub last_lines: Vec<String>,
}

#[derive(Default)]
pub(super) struct Progress {
    vertexes: HashMap<String, Seen>,
    order: Vec<String>,
    count: u32,
    failed: Option<FailedVertex>,
}

#[derive(Default)]
struct Seen {
    number: u32,
    name: String,
    is_told: bool,
    is_done: bool,
    /// Output without a line's end yet, by stream.
    held: [Vec<u8>; 2],
    last_lines: VecDeque<String>,
    /// Transfers that were told to be done.
    transfers: Vec<String>,
}

impl Progress {
    pub(super) fn take(&mut self, response: StatusResponse) -> Vec<Line> {
        let mut lines = vec![];
        // Output before ends: a vertex's last output may come in the same message as its end.
        for vertex in &response.vertexes {
            self.begin(vertex, &mut lines);
        }
        for status in &response.statuses {
            let Some(seen) = self.vertexes.get_mut(&status.vertex) else {
                continue;
            };
            let is_worth = status.completed.is_some() && status.total > 0 && status.id != "transferring";
            if is_worth && !seen.transfers.contains(&status.id) {
                seen.transfers.push(status.id.clone());
                let id = short(&status.id);
                lines.push(system(format!("#{} {id} {}", seen.number, size(status.total))));
            }
        }
        for log in &response.logs {
            self.output(log, &mut lines);
        }
        for vertex in &response.vertexes {
            self.end(vertex, &mut lines);
        }
        for warning in &response.warnings {
            lines.push(system(format!("warning: {}", String::from_utf8_lossy(&warning.short))));
        }
        lines
    }

    /// What was held back because its line did not end.
    pub(super) fn finish(&mut self) -> Vec<Line> {
        let mut lines = vec![];
        for digest in &self.order {
            if let Some(seen) = self.vertexes.get_mut(digest) {
                seen.flush(&mut lines);
            }
        }
        lines
    }

    pub(super) fn failed(&self) -> Option<&FailedVertex> {
        self.failed.as_ref()
    }

    fn begin(&mut self, vertex: &Vertex, lines: &mut Vec<Line>) {
        let seen = self.vertexes.entry(vertex.digest.clone()).or_default();
        if seen.name.is_empty() {
            seen.name = vertex.name.clone();
        }
        if vertex.started.is_none() || seen.is_told {
            return;
        }
        seen.is_told = true;
        self.count += 1;
        seen.number = self.count;
        self.order.push(vertex.digest.clone());
        lines.push(system(format!("#{} {}", seen.number, one_line(&seen.name))));
    }

    fn output(&mut self, log: &VertexLog, lines: &mut Vec<Line>) {
        let Some(seen) = self.vertexes.get_mut(&log.vertex) else {
            return;
        };
        let index = usize::from(log.stream == 2);
        seen.held[index].extend_from_slice(&log.msg);
        while let Some(end) = seen.held[index].iter().position(|byte| *byte == b'\n') {
            let rest = seen.held[index].split_off(end + 1);
            let mut text = std::mem::replace(&mut seen.held[index], rest);
            text.pop();
            seen.line(index, text, lines);
        }
        if seen.held[index].len() > LINE_BYTES_MAX {
            let text = std::mem::take(&mut seen.held[index]);
            seen.line(index, text, lines);
        }
    }

    fn end(&mut self, vertex: &Vertex, lines: &mut Vec<Line>) {
        let Some(seen) = self.vertexes.get_mut(&vertex.digest) else {
            return;
        };
        let (Some(completed), false) = (&vertex.completed, seen.is_done) else {
            return;
        };
        seen.is_done = true;
        seen.flush(lines);
        let how = if !vertex.error.is_empty() {
            // The others were stopped because of the first.
            if self.failed.is_none() && !vertex.error.contains("context canceled") {
                self.failed = Some(FailedVertex {
                    name: seen.name.clone(),
                    error: vertex.error.clone(),
                    last_lines: seen.last_lines.iter().cloned().collect(),
                });
            }
            format!("failed: {}", one_line(&vertex.error))
        } else if vertex.cached {
            "cached".to_owned()
        } else {
            format!(
                "done in {:.1} s",
                vertex
                    .started
                    .as_ref()
                    .map_or(0.0, |started| seconds(started, completed))
            )
        };
        lines.push(system(format!("#{} {how}", seen.number)));
    }
}

impl Seen {
    fn line(&mut self, index: usize, text: Vec<u8>, lines: &mut Vec<Line>) {
        // What a terminal would show of a progress bar is what stands after the last return to the line's start.
        let shown = text.strip_suffix(b"\r").unwrap_or(&text);
        let shown = shown
            .iter()
            .rposition(|byte| *byte == b'\r')
            .map_or(shown, |at| &shown[at + 1..]);
        self.last_lines.push_back(String::from_utf8_lossy(shown).into_owned());
        if self.last_lines.len() > LAST_LINES {
            self.last_lines.pop_front();
        }
        let stream = if index == 0 { Stream::Stdout } else { Stream::Stderr };
        let text = [format!("#{} ", self.number).as_bytes(), &text].concat();
        lines.push(Line { stream, text });
    }

    fn flush(&mut self, lines: &mut Vec<Line>) {
        for index in 0..2 {
            let text = std::mem::take(&mut self.held[index]);
            if !text.is_empty() {
                self.line(index, text, lines);
            }
        }
    }
}

fn system(text: String) -> Line {
    Line {
        stream: Stream::System,
        text: text.into_bytes(),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn short(id: &str) -> &str {
    match id.strip_prefix("sha256:") {
        Some(hex) => hex.get(..12).unwrap_or(hex),
        None => id,
    }
}

fn size(bytes: i64) -> String {
    let mib = bytes as f64 / (1024.0 * 1024.0);
    if mib >= 0.1 {
        format!("{mib:.1} MiB")
    } else {
        format!("{bytes} bytes")
    }
}

fn seconds(from: &Timestamp, to: &Timestamp) -> f64 {
    let at = |time: &Timestamp| time.seconds as f64 + f64::from(time.nanos) / 1e9;
    (at(to) - at(from)).max(0.0)
}

#[cfg(test)]
mod tests {
    use bollard_buildkit_proto::moby::buildkit::v1::VertexStatus;

    use super::*;

    fn at(seconds: i64) -> Option<Timestamp> {
        Some(Timestamp { seconds, nanos: 0 })
    }

    fn vertex(digest: &str, name: &str) -> Vertex {
        Vertex {
            digest: digest.into(),
            name: name.into(),
            started: at(10),
            ..Vertex::default()
        }
    }

    fn log(digest: &str, stream: i64, text: &str) -> VertexLog {
        VertexLog {
            vertex: digest.into(),
            stream,
            msg: text.into(),
            ..VertexLog::default()
        }
    }

    #[test]
    fn a_build_reads_like_a_log() {
        let mut progress = Progress::default();
        let mut text = String::new();
        let mut take = |progress: &mut Progress, response: StatusResponse| {
            for line in progress.take(response) {
                text += &format!("{:?} {}\n", line.stream, String::from_utf8_lossy(&line.text));
            }
        };
        let waiting = Vertex {
            started: None,
            ..vertex("later", "[2/2] RUN later")
        };
        take(
            &mut progress,
            StatusResponse {
                vertexes: vec![vertex("a", "[1/2] FROM x\n  y"), waiting],
                ..StatusResponse::default()
            },
        );
        let layer = VertexStatus {
            id: "sha256:0123456789abcdef".into(),
            vertex: "a".into(),
            total: 3_000_000,
            completed: at(11),
            ..VertexStatus::default()
        };
        take(
            &mut progress,
            StatusResponse {
                statuses: vec![layer.clone(), layer],
                ..StatusResponse::default()
            },
        );
        let done = Vertex {
            completed: at(12),
            ..vertex("a", "[1/2] FROM x")
        };
        take(
            &mut progress,
            StatusResponse {
                vertexes: vec![done.clone(), done],
                ..StatusResponse::default()
            },
        );
        take(
            &mut progress,
            StatusResponse {
                vertexes: vec![vertex("later", "")],
                logs: vec![log("later", 1, "one\ntw"), log("later", 2, "err")],
                ..StatusResponse::default()
            },
        );
        take(
            &mut progress,
            StatusResponse {
                logs: vec![log("later", 1, "o\n10%\r50%\r100%\n")],
                ..StatusResponse::default()
            },
        );
        let failed = Vertex {
            completed: at(13),
            error: "exit code: 2".into(),
            ..vertex("later", "")
        };
        take(
            &mut progress,
            StatusResponse {
                vertexes: vec![failed],
                logs: vec![log("later", 1, "last")],
                ..StatusResponse::default()
            },
        );
        let cached = Vertex {
            completed: at(13),
            cached: true,
            ..vertex("c", "[3/3] COPY")
        };
        take(
            &mut progress,
            StatusResponse {
                vertexes: vec![cached],
                ..StatusResponse::default()
            },
        );
        insta::assert_snapshot!(text, @"System #1 [1/2] FROM x y\nSystem #1 0123456789ab 2.9 MiB\nSystem #1 done in 2.0 s\nSystem #2 [2/2] RUN later\nStdout #2 one\nStdout #2 two\nStdout #2 10%\r50%\r100%\nStdout #2 last\nStderr #2 err\nSystem #2 failed: exit code: 2\nSystem #3 [3/3] COPY\nSystem #3 cached");
        insta::assert_debug_snapshot!(progress.failed(), @r#"
        Some(
            FailedVertex {
                name: "[2/2] RUN later",
                error: "exit code: 2",
                last_lines: [
                    "one",
                    "two",
                    "100%",
                    "last",
                    "err",
                ],
            },
        )
        "#);
    }
}
