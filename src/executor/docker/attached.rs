//! A container whose PID 1 is the shim, and the line to it: commands in, frames out.

use std::io;
use std::pin::Pin;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{AttachContainerOptionsBuilder, CreateContainerOptionsBuilder};
use bytes::Bytes;
use futures_util::{Stream as Incoming, StreamExt};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::call::{self, Said};
use super::late::Late;
use super::{DockerExecutor, say};
use crate::executor::{ExecutorError, LogSink, Stream};
use crate::shim::wire::{self, Body, Command, FRAME_BYTES_MAX, FileState, Frame, PROTOCOL, Run, Unframed, Unframer};
use crate::stop::Stop;

/// From the container's start to the shim's first word. A container's start can take seconds on a busy disk.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// A step that should be over is given up when nothing is heard for so long. Longer than the shim itself takes to end one.
const SILENT_MAX: Duration = Duration::from_secs(30);

/// Of what the shim says when it is in trouble, so many last bytes are kept.
const WORDS_BYTES_MAX: usize = 4096;

/// A started container that waits for steps.
pub struct Attached {
    pub id: String,
    input: Pin<Box<dyn AsyncWrite + Send>>,
    frames: Frames,
    late: Late,
}

/// What a step left behind, before anyone judges it.
pub struct Ending {
    pub ended: wire::Ended,
    /// In the order of `read_back`: the content, or why there is none.
    pub files: Vec<Result<Vec<u8>, FileState>>,
}

impl DockerExecutor {
    /// Makes and starts a container with the shim and waits until it is ready. What fails leaves at most a container
    /// with the name and labels of `body`, for whoever undoes.
    pub(super) async fn start_attached(
        &self,
        name: &str,
        body: ContainerCreateBody,
    ) -> Result<Attached, ExecutorError> {
        let id = self.create(name, body).await?;
        let begun = Instant::now();
        let mut attached = loop {
            let attached = self.attach(&id).await?;
            match self.docker.start_container(&id, None).await {
                Ok(()) => break attached,
                // The volume is there but not filled: its maker died, or is at it this very moment.
                Err(error) if is_shim_missing(&error) && begun.elapsed() < READY_WITHIN => {
                    self.fill_shim().await?;
                }
                Err(error) => return Err(call::refused("start the job's container", error)),
            }
        };
        match tokio::time::timeout(READY_WITHIN, attached.frames.next()).await {
            Ok(Ok(Frame {
                body: Body::Ready { protocol: PROTOCOL },
                ..
            })) => Ok(attached),
            Ok(Ok(frame)) => Err(lost(format!("the job runtime's first word was {frame:?}"))),
            Ok(Err(why)) => Err(self.why_lost(attached.traces(), why).await),
            Err(_) => Err(ExecutorError::Hung {
                operation: "start the job runtime".into(),
                after: READY_WITHIN,
            }),
        }
    }

    /// The line to a container, before its start, so that nothing is missed.
    async fn attach(&self, id: &str) -> Result<Attached, ExecutorError> {
        let options = AttachContainerOptionsBuilder::default()
            .stream(true)
            .stdin(true)
            .stdout(true)
            .stderr(true)
            .build();
        let line = call::call(
            "attach to the job's container",
            self.docker.attach_container(id, Some(options)),
        )
        .await?;
        let frames = Frames {
            from: line.output,
            unframer: Unframer::new(FRAME_BYTES_MAX),
            next_seq: 0,
            words: Vec::new(),
        };
        Ok(Attached {
            id: id.to_owned(),
            input: line.input,
            frames,
            late: Late::default(),
        })
    }

    /// A container of that name that an attempt before this one left is in the way: it is removed.
    pub(super) async fn create(&self, name: &str, body: ContainerCreateBody) -> Result<String, ExecutorError> {
        let options = CreateContainerOptionsBuilder::default().name(name).build();
        let create = || self.docker.create_container(Some(options.clone()), body.clone());
        let made = match tokio::time::timeout(call::ANSWER_WITHIN, create()).await {
            Ok(Err(error)) if call::status(&error) == Some(409) => {
                self.remove_container(name).await?;
                create().await
            }
            Ok(made) => made,
            Err(_) => Err(Error::RequestTimeoutError),
        };
        made.map(|made| made.id)
            .map_err(|error| call::refused(&format!("make container `{name}`"), error))
    }

    /// The line broke: what the engine knows about the container's end.
    pub(super) async fn why_lost(&self, traces: Traces, why: String) -> ExecutorError {
        let Traces { id, words } = traces;
        let mut text = match call::call("inspect the job's container", self.docker.inspect_container(&id, None)).await {
            Ok(found) => match found.state {
                Some(state) if state.running == Some(true) => format!("{why}, though the container is still running"),
                Some(state) => {
                    let code = state.exit_code.unwrap_or_default();
                    let memory = if state.oom_killed == Some(true) {
                        " after a kill for lack of memory"
                    } else {
                        ""
                    };
                    format!(
                        "the container ended with status {code}{memory}: it was stopped from outside, or the engine was"
                    )
                }
                None => why,
            },
            Err(error) => format!("{why}; {}", error.chain()),
        };
        if !words.is_empty() {
            text = format!("{text} (its last words: {words})");
        }
        lost(text)
    }
}

fn lost(why: String) -> ExecutorError {
    ExecutorError::ConnectionLost {
        cause: Box::new(Said(why)),
    }
}

fn is_shim_missing(error: &Error) -> bool {
    let said = call::message(error);
    said.contains(crate::shim::PATH) && (said.contains("no such file") || said.contains("not found"))
}

/// What tells why a container was lost: its id, and what its shim last said in trouble.
pub struct Traces {
    id: String,
    words: String,
}

impl Attached {
    pub fn traces(&self) -> Traces {
        let words = String::from_utf8_lossy(&self.frames.words).trim().to_owned();
        Traces {
            id: self.id.clone(),
            words,
        }
    }

    /// Unpacks a plain tar into a folder of the container, by the shim: no engine and no user's program takes part.
    /// The inner `Err` is what the shim says is wrong with the files.
    pub async fn unpack(
        &mut self,
        into: &str,
        mut pieces: mpsc::Receiver<io::Result<Bytes>>,
    ) -> Result<Result<(), String>, Lost> {
        while let Some(piece) = pieces.recv().await {
            // Whoever writes the tar tells what is wrong with it; half a tar is refused.
            let Ok(piece) = piece else { break };
            let command = Command::Unpack {
                into: into.to_owned(),
                piece: piece.into(),
            };
            send(&mut self.input, &command.encode()).await.map_err(Lost::Broken)?;
        }
        send(&mut self.input, &Command::UnpackEnd.encode())
            .await
            .map_err(Lost::Broken)?;
        match self.frames.next().await.map_err(Lost::Broken)?.body {
            Body::Unpacked { trouble: None } => Ok(Ok(())),
            Body::Unpacked { trouble: Some(why) } => Ok(Err(why)),
            other => Err(Lost::Broken(format!("the job runtime answers {other:?} to files"))),
        }
    }

    /// Runs one step to its end. `Err` is why the line broke, or that nothing is heard any more.
    pub async fn run(&mut self, run: Run, logs: &dyn LogSink, stop: &Stop) -> Result<Ending, Lost> {
        let number = run.step;
        let grace = Duration::from_millis(run.grace_ms);
        let limit = (run.timeout_ms > 0).then(|| Instant::now() + Duration::from_millis(run.timeout_ms) + grace);
        let mut files: Vec<Result<Vec<u8>, FileState>> =
            run.read_back.iter().map(|_| Err(FileState::Missing)).collect();
        let mut parts: Vec<u8> = Vec::new();

        let Attached {
            input, frames, late, ..
        } = self;
        // A lone newline first: whoever wrote here before may have been cut off in the middle.
        let command = [b"\n", &Command::Run(run).encode()[..]].concat();
        send(input, &command).await.map_err(Lost::Broken)?;
        let mut brake = Brake {
            input,
            step: number,
            grace,
            pulled: Pulled::Not,
            over_by: limit,
        };
        let mut at_line_start = true;
        loop {
            let heard = brake.drive(stop, tokio::time::timeout(SILENT_MAX, frames.next())).await;
            let frame = match heard {
                Ok(frame) => frame.map_err(Lost::Broken)?,
                Err(_)
                    if brake
                        .over_by
                        .is_some_and(|over_by| Instant::now() > over_by + SILENT_MAX) =>
                {
                    return Err(Lost::Silent);
                }
                Err(_) => continue,
            };
            match frame.body {
                Body::Output { stream, bytes } if frame.step == number => {
                    if at_line_start {
                        brake.drive(stop, late.write_lines(logs)).await;
                    }
                    at_line_start = bytes.last().is_none_or(|last| *last == b'\n');
                    brake
                        .drive(stop, logs.write(stream_of(stream), Bytes::from(bytes)))
                        .await;
                }
                Body::Output { stream, bytes } => {
                    late.add(stream_of(stream), &bytes);
                    if at_line_start {
                        brake.drive(stop, late.write_lines(logs)).await;
                    }
                }
                Body::FilePart { bytes, .. } => parts.extend_from_slice(&bytes),
                Body::FileEnd { index, state } => {
                    let content = std::mem::take(&mut parts);
                    if let Some(file) = files.get_mut(index as usize) {
                        *file = if state == FileState::Whole {
                            Ok(content)
                        } else {
                            Err(state)
                        };
                    }
                }
                Body::Ended(ended) if frame.step == number => {
                    late.write_lines(logs).await;
                    return Ok(Ending { ended, files });
                }
                Body::Refused { why } => return Err(Lost::Broken(format!("the job runtime refuses: {why}"))),
                Body::Ready { .. } | Body::Started { .. } | Body::Ended(_) | Body::Unpacked { .. } => {}
            }
        }
    }
}

fn stream_of(stream: wire::Stream) -> Stream {
    match stream {
        wire::Stream::Stdout => Stream::Stdout,
        wire::Stream::Stderr => Stream::Stderr,
    }
}

/// Why a step's end will never be heard.
#[derive(Debug)]
pub enum Lost {
    /// The line broke.
    Broken(String),
    /// The step should be over, but nothing is heard.
    Silent,
}

impl Lost {
    pub fn in_words(self) -> String {
        match self {
            Lost::Broken(why) => why,
            Lost::Silent => "the job runtime is silent".into(),
        }
    }
}

async fn send(input: &mut Pin<Box<dyn AsyncWrite + Send>>, bytes: &[u8]) -> Result<(), String> {
    let sent = async {
        input.write_all(bytes).await?;
        input.flush().await
    };
    sent.await
        .map_err(|error| format!("the container's input is closed: {error}"))
}

/// Passes a stop on to the shim, whatever else is being waited for.
struct Brake<'a> {
    input: &'a mut Pin<Box<dyn AsyncWrite + Send>>,
    step: u32,
    grace: Duration,
    pulled: Pulled,
    /// When the step should be over, if that is known.
    over_by: Option<Instant>,
}

enum Pulled {
    Not,
    Politely,
    AtOnce,
}

impl Brake<'_> {
    async fn drive<T>(&mut self, stop: &Stop, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            match self.pulled {
                Pulled::Not => tokio::select! {
                    biased;
                    () = stop.asked() => {
                        self.pulled = Pulled::Politely;
                        self.pull(self.grace).await;
                    }
                    done = &mut work => return done,
                },
                Pulled::Politely => tokio::select! {
                    biased;
                    () = stop.forced() => {
                        self.pulled = Pulled::AtOnce;
                        self.pull(Duration::ZERO).await;
                    }
                    done = &mut work => return done,
                },
                Pulled::AtOnce => return work.await,
            }
        }
    }

    async fn pull(&mut self, grace: Duration) {
        let over_by = Instant::now() + grace;
        self.over_by = Some(self.over_by.map_or(over_by, |before| before.min(over_by)));
        let command = Command::Cancel {
            step: self.step,
            grace_ms: millis(grace),
        };
        // A line that is broken is noticed by whoever reads.
        let _ = send(self.input, &command.encode()).await;
    }
}

/// Milliseconds as the wire carries them.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The frames of one container in order.
struct Frames {
    from: Pin<Box<dyn Incoming<Item = Result<LogOutput, Error>> + Send>>,
    unframer: Unframer,
    next_seq: u64,
    /// The shim's own stderr: what it says when it is in trouble.
    words: Vec<u8>,
}

impl Frames {
    /// The next frame, or why there is none. May be dropped and called again.
    async fn next(&mut self) -> Result<Frame, String> {
        loop {
            if let Some(unframed) = self.unframer.next_frame() {
                let frame = match &unframed {
                    Unframed::Frame(bytes) => Frame::decode(bytes),
                    Unframed::Damaged(_) | Unframed::TooLong => None,
                };
                let Some(frame) = frame else {
                    return Err("what the job runtime sent is damaged".into());
                };
                if frame.seq != self.next_seq {
                    return Err(format!("frame {} came in place of frame {}", frame.seq, self.next_seq));
                }
                self.next_seq += 1;
                return Ok(frame);
            }
            match self.from.next().await {
                Some(Ok(LogOutput::StdErr { message })) => {
                    self.words.extend_from_slice(&message);
                    let surplus = self.words.len().saturating_sub(WORDS_BYTES_MAX);
                    self.words.drain(..surplus);
                }
                Some(Ok(output)) => self.unframer.push(output.as_ref()),
                Some(Err(error)) => return Err(format!("the connection broke: {}", call::message(&error))),
                None => return Err("the connection ended".into()),
            }
        }
    }
}

/// Says why files that were asked back did not come.
pub async fn complain_about_file(logs: &dyn LogSink, name: &str, state: &FileState, bytes_max: u64) {
    let why = match state {
        FileState::Whole => return,
        FileState::Missing => "the step removed it".to_owned(),
        FileState::TooLong(size) => format!("it has {size} bytes, and {bytes_max} are read at most"),
        FileState::NotAFile => "the step put something else in its place".to_owned(),
        FileState::Unreadable(errno) => call::errno_words(*errno),
    };
    say(logs, &format!("what the step wrote to {name} is ignored: {why}")).await;
}
