//! An executor for tests of the engine: does what it is told by name, and insists on the contract of the seam:
//! steps run one after another in an open session, and a session is closed exactly once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    BuildSpec, Built, Ended, Executor, ExecutorError, JobSpec, LogSink, Program, PushSpec, Pushed, Session, StepEnd,
    StepSpec, Stream,
};
use crate::stop::Stop;

/// Understands scripts of one line: `say TEXT`, `exit N`, `hang` (until stopped), `output K=V`, `vanish` (connection lost),
/// `env NAME` (prints it). A job whose image is `broken` cannot be opened; one whose image is `absent` cannot be pulled.
#[derive(Default)]
pub struct FakeExecutor {
    told: Arc<Mutex<Vec<String>>>,
    open: Arc<AtomicUsize>,
}

impl FakeExecutor {
    /// What was asked of it, in order.
    pub fn told(&self) -> Vec<String> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sessions that were opened and not closed.
    pub fn open_sessions(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }
}

fn note(told: &Mutex<Vec<String>>, what: String) {
    told.lock().unwrap_or_else(PoisonError::into_inner).push(what);
}

fn lost() -> ExecutorError {
    ExecutorError::ConnectionLost {
        cause: "the fake vanished".into(),
    }
}

#[async_trait]
impl Executor for FakeExecutor {
    async fn open(&self, job: &JobSpec, _: &dyn LogSink, _: &Stop) -> Result<Box<dyn Session>, ExecutorError> {
        note(&self.told, format!("open {} {}", job.place.job, job.image));
        match job.image.as_str() {
            "broken" => Err(lost()),
            "absent" => Err(ExecutorError::Pull {
                image: job.image.clone(),
                asked_at: job.origin.clone(),
                why: "no such image".to_owned(),
            }),
            _ => {
                self.open.fetch_add(1, Ordering::SeqCst);
                let name = job.place.job.clone();
                Ok(Box::new(FakeSession {
                    name,
                    told: self.told.clone(),
                    open: self.open.clone(),
                    last: 0,
                }))
            }
        }
    }

    async fn build(&self, build: &BuildSpec, logs: &dyn LogSink, _: &Stop) -> Result<Built, ExecutorError> {
        note(
            &self.told,
            format!("build {} {} args {:?}", build.place.job, build.dockerfile, build.args),
        );
        logs.write(Stream::System, Bytes::from_static(b"building\n")).await;
        Ok(Built {
            image: format!("sha256:{}", build.place.job),
            builder: "fake",
        })
    }

    async fn push(&self, push: &PushSpec, _: &dyn LogSink, _: &Stop) -> Result<Vec<Pushed>, ExecutorError> {
        note(
            &self.told,
            format!("push {} to {} tags {:?}", push.image, push.to, push.tags),
        );
        let pushed = |tag: &String| Pushed {
            reference: format!("{}:{tag}", push.to),
            digest: "sha256:fake".to_owned(),
            moved: true,
        };
        Ok(push.tags.iter().map(pushed).collect())
    }

    async fn sweep(&self, _: &str, _: &[u64]) -> Result<Vec<String>, ExecutorError> {
        Ok(vec![])
    }
}

struct FakeSession {
    name: String,
    told: Arc<Mutex<Vec<String>>>,
    open: Arc<AtomicUsize>,
    last: u32,
}

#[async_trait]
impl Session for FakeSession {
    async fn run(&mut self, step: &StepSpec, logs: &dyn LogSink, stop: &Stop) -> Result<StepEnd, ExecutorError> {
        assert!(step.number > self.last, "steps run once and in order");
        self.last = step.number;
        let Program::Script { text, .. } = &step.program else {
            return Ok(end(Ended::Exited(0)));
        };
        note(&self.told, format!("run {} {text}", self.name));
        let (word, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        let mut done = end(Ended::Exited(0));
        match word {
            "say" => logs.write(Stream::Stdout, Bytes::from(format!("{rest}\n"))).await,
            "env" => {
                let value = step
                    .env
                    .iter()
                    .rev()
                    .find(|(key, _)| key == rest)
                    .map_or("", |(_, value)| value.as_str());
                logs.write(Stream::Stdout, Bytes::from(format!("{rest}={value}\n")))
                    .await;
            }
            "exit" => done.how = Ended::Exited(rest.parse().unwrap_or(1)),
            "vanish" => return Err(lost()),
            "output" => {
                for file in step.files.iter().filter(|file| file.read_back) {
                    done.files
                        .insert(file.variable.clone(), format!("{rest}\n").into_bytes());
                }
            }
            "hang" => {
                tokio::select! {
                    () = stop.asked() => done.how = Ended::Cancelled,
                    () = tokio::time::sleep(step.timeout.unwrap_or(Duration::MAX)) => {
                        done.how = Ended::TimedOut { after: step.timeout.unwrap_or_default() };
                    }
                }
            }
            _ => done.how = Ended::CannotStart(format!("`{word}` is not understood")),
        }
        Ok(done)
    }

    async fn close(self: Box<Self>) -> Result<(), ExecutorError> {
        note(&self.told, format!("close {}", self.name));
        self.open.fetch_sub(1, Ordering::SeqCst);
        Ok(())
    }
}

fn end(how: Ended) -> StepEnd {
    StepEnd {
        how,
        duration: Duration::ZERO,
        cpu: Duration::ZERO,
        max_rss_bytes: 0,
        files: BTreeMap::new(),
    }
}
