//! What a pipeline's jobs may do, given how far its event is trusted: an executor that refuses the rest, at the moment
//! it is asked for. A file cannot talk its way around it.

use std::sync::Arc;

use async_trait::async_trait;

use crate::event::Trust;
use crate::executor::{Blame, BuildSpec, Built, Executor, ExecutorError, JobSpec, LogSink, PushSpec, Pushed, Session};
use crate::plan::DockerAccess;
use crate::stop::Stop;

/// * `trust`: of the event. * `trusted_repo`: the operator gave this repository the host's Docker.
#[derive(Debug, Clone, Copy)]
pub(super) struct Permit {
    pub trust: Trust,
    pub trusted_repo: bool,
}

impl Permit {
    fn may_push(self) -> bool {
        match self.trust {
            Trust::Operator | Trust::Protected | Trust::Member => true,
            Trust::ForkApproved | Trust::Fork => false,
        }
    }

    /// Why a job may not have this access to Docker; none when it may.
    fn refuses(self, docker: DockerAccess) -> Option<&'static str> {
        let is_fork = !self.may_push();
        match docker {
            DockerAccess::None => None,
            DockerAccess::Socket | DockerAccess::Dind { .. } | DockerAccess::Host if is_fork => {
                Some("a pull request from a fork gets no Docker")
            }
            DockerAccess::Socket => None,
            DockerAccess::Dind { .. } | DockerAccess::Host if self.trusted_repo => None,
            DockerAccess::Dind { .. } | DockerAccess::Host => {
                Some("the server's configuration does not list this repository with `trusted = true`")
            }
        }
    }
}

pub(super) struct Permitted {
    pub executor: Arc<dyn Executor>,
    pub permit: Permit,
}

#[async_trait]
impl Executor for Permitted {
    async fn open(&self, job: &JobSpec, logs: &dyn LogSink, stop: &Stop) -> Result<Box<dyn Session>, ExecutorError> {
        match self.permit.refuses(job.docker) {
            None => self.executor.open(job, logs, stop).await,
            Some(why) => Err(ExecutorError::Unsupported {
                what: format!("`docker: {}`", word(job.docker)),
                asked_at: job.origin.clone(),
                why: why.to_owned(),
            }),
        }
    }

    async fn build(&self, build: &BuildSpec, logs: &dyn LogSink, stop: &Stop) -> Result<Built, ExecutorError> {
        self.executor.build(build, logs, stop).await
    }

    async fn push(&self, push: &PushSpec, logs: &dyn LogSink, stop: &Stop) -> Result<Vec<Pushed>, ExecutorError> {
        if !self.permit.may_push() {
            return Err(ExecutorError::Push {
                to: push.to.clone(),
                asked_at: push.origin.clone(),
                why: "a pull request from a fork may not push images".to_owned(),
                blame: Blame::Pipeline,
            });
        }
        self.executor.push(push, logs, stop).await
    }

    async fn sweep(&self, server: &str, alive: &[u64]) -> Result<Vec<String>, ExecutorError> {
        self.executor.sweep(server, alive).await
    }

    async fn settle(&self) -> Result<(), ExecutorError> {
        self.executor.settle().await
    }
}

fn word(docker: DockerAccess) -> &'static str {
    match docker {
        DockerAccess::None => "none",
        DockerAccess::Socket => "socket",
        DockerAccess::Dind { .. } => "dind",
        DockerAccess::Host => "host",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_jobs_may_have_of_docker() {
        let all = [
            DockerAccess::None,
            DockerAccess::Socket,
            DockerAccess::Dind { rootless: false },
            DockerAccess::Host,
        ];
        let mut table = String::new();
        for trust in [
            Trust::Operator,
            Trust::Protected,
            Trust::Member,
            Trust::ForkApproved,
            Trust::Fork,
        ] {
            for trusted_repo in [false, true] {
                let permit = Permit { trust, trusted_repo };
                let answers = all.map(|docker| {
                    if permit.refuses(docker).is_none() {
                        word(docker)
                    } else {
                        "-"
                    }
                });
                let push = if permit.may_push() { "push" } else { "-" };
                let name = format!("{trust:?}{}", if trusted_repo { " trusted" } else { "" });
                table += &format!(
                    "{name:<22}{:<8}{:<8}{:<6}{:<6}{push}\n",
                    answers[0], answers[1], answers[2], answers[3]
                );
            }
        }
        insta::assert_snapshot!(table, @r"
        Operator              none    socket  -     -     push
        Operator trusted      none    socket  dind  host  push
        Protected             none    socket  -     -     push
        Protected trusted     none    socket  dind  host  push
        Member                none    socket  -     -     push
        Member trusted        none    socket  dind  host  push
        ForkApproved          none    -       -     -     -
        ForkApproved trusted  none    -       -     -     -
        Fork                  none    -       -     -     -
        Fork trusted          none    -       -     -     -
        ");
    }
}
