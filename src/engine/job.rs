//! One job instance's states. The only function that changes them is [`next`]: no clock, no I/O, no `await`.

use std::time::Duration;

use crate::diag::Origin;

/// A step as people find it: its name and the line where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepRef {
    pub name: String,
    pub origin: Origin,
}

impl std::fmt::Display for StepRef {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "step `{}` ({}:{})", self.name, self.origin.file, self.origin.line)
    }
}

/// Why a job did not pass, in general terms. Texts name the place in the file and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// A step ended with a status other than 0.
    Exit {
        step: StepRef,
        code: i32,
    },
    Signal {
        step: StepRef,
        signal: i32,
    },
    OutOfMemory {
        step: StepRef,
    },
    TimedOut {
        step: Option<StepRef>,
        after: Duration,
    },
    /// A step's program could not be started.
    CannotStart {
        step: StepRef,
        why: String,
    },
    ServiceNotReady(String),
    Image(String),
    Build(String),
    Push(String),
    /// An expression of the file could not be worked out.
    Expression(String),
    /// What the job asks for cannot be had here.
    Unsupported(String),
    /// The machine's fault: the daemon, the network, the disk.
    Infrastructure(String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Exit { step, code } => write!(out, "{step} exited with code {code}"),
            Failure::Signal { step, signal } => write!(out, "{step} was killed by signal {signal}"),
            Failure::OutOfMemory { step } => write!(out, "{step} went over the job's memory limit"),
            Failure::TimedOut {
                step: Some(step),
                after,
            } => {
                write!(out, "{step} ran longer than its {} s", after.as_secs())
            }
            Failure::TimedOut { step: None, after } => write!(out, "the job ran longer than its {} s", after.as_secs()),
            Failure::CannotStart { step, why } => write!(out, "{step} could not start: {why}"),
            Failure::ServiceNotReady(why)
            | Failure::Image(why)
            | Failure::Build(why)
            | Failure::Push(why)
            | Failure::Expression(why)
            | Failure::Unsupported(why) => out.write_str(why),
            Failure::Infrastructure(why) => write!(out, "infrastructure: {why}"),
        }
    }
}

/// Why something was ended before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// A person asked for it.
    Cancelled,
    /// Another member of its matrix failed.
    FailFast,
    /// A newer pipeline took its place.
    Superseded,
    /// The pipeline's own time was over.
    TimedOut,
}

impl Why {
    pub fn text(self) -> &'static str {
        match self {
            Why::Cancelled => "cancelled",
            Why::FailFast => "cancelled because another member of its matrix failed (`fail-fast`)",
            Why::Superseded => "cancelled by a newer pipeline",
            Why::TimedOut => "cancelled because the pipeline's time was over",
        }
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    Passed,
    Failed {
        failure: Failure,
        /// Whether the file says that this failure is to be tolerated.
        tolerated: bool,
    },
    /// The machine broke it; not the job's fault.
    Broke(Failure),
    /// It ended because it was told to.
    Stopped,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Passed,
    Tolerated(Failure),
    Failed(Failure),
    Cancelled(Why),
}

/// How often it was tried, by whose fault it ended. Both count from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tries {
    pub failed: u32,
    pub broke: u32,
}

impl Tries {
    /// The number of the attempt that comes next, from 1.
    pub fn attempt(self) -> u32 {
        self.failed + self.broke + 1
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobState {
    /// Ready, and waits for a free place.
    Queued {
        tries: Tries,
    },
    Running {
        tries: Tries,
    },
    Stopping {
        tries: Tries,
        why: Why,
    },
    Done(Outcome),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobEvent {
    /// A place is free.
    Place,
    Ended(End),
    Stop(Why),
}

/// * `attempts_max`: attempts when its steps fail. * `broke_max`: attempts that the machine may break before it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    pub attempts_max: u32,
    pub broke_max: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobEffect {
    Start {
        attempt: u32,
    },
    Stop {
        /// Whether its processes get time to end by themselves.
        politely: bool,
    },
    /// The attempt is over and another one follows.
    Retry {
        attempt: u32,
        failure: Failure,
    },
    Done(Outcome),
    /// The driver's bug, not the user's: told, never a panic.
    Complain(&'static str),
}

/// The only function that changes a job's state.
pub fn next(state: JobState, event: JobEvent, retries: Retries) -> (JobState, Vec<JobEffect>) {
    use JobEffect::*;
    use JobState::*;
    let done = |outcome: Outcome| (JobState::Done(outcome.clone()), vec![JobEffect::Done(outcome)]);
    match (state, event) {
        (Queued { tries }, JobEvent::Place) => (
            Running { tries },
            vec![Start {
                attempt: tries.attempt(),
            }],
        ),
        (Queued { .. }, JobEvent::Stop(why)) => done(Outcome::Cancelled(why)),

        (Running { .. }, JobEvent::Ended(End::Passed)) => done(Outcome::Passed),
        (Running { tries }, JobEvent::Ended(End::Failed { failure, tolerated })) => {
            let counted = Tries {
                failed: tries.failed + 1,
                ..tries
            };
            if counted.failed < retries.attempts_max {
                (
                    Queued { tries: counted },
                    vec![Retry {
                        attempt: tries.attempt(),
                        failure,
                    }],
                )
            } else if tolerated {
                done(Outcome::Tolerated(failure))
            } else {
                done(Outcome::Failed(failure))
            }
        }
        // The machine's faults never spend the user's retries.
        (Running { tries }, JobEvent::Ended(End::Broke(failure))) => {
            let counted = Tries {
                broke: tries.broke + 1,
                ..tries
            };
            if counted.broke <= retries.broke_max {
                (
                    Queued { tries: counted },
                    vec![Retry {
                        attempt: tries.attempt(),
                        failure,
                    }],
                )
            } else {
                done(Outcome::Failed(failure))
            }
        }
        (Running { tries }, JobEvent::Stop(why)) => (Stopping { tries, why }, vec![Stop { politely: true }]),

        (Stopping { why, .. }, JobEvent::Ended(End::Passed | End::Failed { .. } | End::Broke(_) | End::Stopped)) => {
            done(Outcome::Cancelled(why))
        }
        // A person who asks twice gives no more grace; a matrix that fails twice is still polite.
        (
            Stopping {
                tries,
                why: Why::Cancelled,
            },
            JobEvent::Stop(Why::Cancelled),
        ) => (
            Stopping {
                tries,
                why: Why::Cancelled,
            },
            vec![Stop { politely: false }],
        ),
        (Stopping { tries, .. }, JobEvent::Stop(Why::Cancelled)) => (
            Stopping {
                tries,
                why: Why::Cancelled,
            },
            vec![],
        ),
        (Stopping { tries, why }, JobEvent::Stop(Why::FailFast | Why::Superseded | Why::TimedOut)) => {
            (Stopping { tries, why }, vec![])
        }

        // It may end while the stop is on its way: late news changes nothing.
        (JobState::Done(outcome), JobEvent::Ended(_) | JobEvent::Stop(_)) => (JobState::Done(outcome), vec![]),

        // Somebody outside the engine stopped it: that is a cancel.
        (Running { .. }, JobEvent::Ended(End::Stopped)) => done(Outcome::Cancelled(Why::Cancelled)),
        (state @ Queued { .. }, JobEvent::Ended(_)) => (state, vec![Complain("an attempt ended that had not started")]),
        (state @ (Running { .. } | Stopping { .. } | JobState::Done(_)), JobEvent::Place) => {
            (state, vec![Complain("a place was given to a job that waits for none")])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn states() -> Vec<(&'static str, JobState)> {
        let again = Tries { failed: 1, broke: 0 };
        let broken = Tries { failed: 0, broke: 1 };
        vec![
            (
                "queued 1",
                JobState::Queued {
                    tries: Tries::default(),
                },
            ),
            (
                "running 1",
                JobState::Running {
                    tries: Tries::default(),
                },
            ),
            ("running 2 (failed)", JobState::Running { tries: again }),
            ("running 2 (broke)", JobState::Running { tries: broken }),
            (
                "stopping",
                JobState::Stopping {
                    tries: Tries::default(),
                    why: Why::FailFast,
                },
            ),
            ("passed", JobState::Done(Outcome::Passed)),
            ("cancelled", JobState::Done(Outcome::Cancelled(Why::Cancelled))),
        ]
    }

    fn events() -> Vec<(&'static str, JobEvent)> {
        let red = Failure::Exit {
            step: StepRef {
                name: "test".into(),
                origin: Origin::default(),
            },
            code: 1,
        };
        vec![
            ("place", JobEvent::Place),
            ("passed", JobEvent::Ended(End::Passed)),
            (
                "failed",
                JobEvent::Ended(End::Failed {
                    failure: red.clone(),
                    tolerated: false,
                }),
            ),
            (
                "tolerated",
                JobEvent::Ended(End::Failed {
                    failure: red,
                    tolerated: true,
                }),
            ),
            (
                "broke",
                JobEvent::Ended(End::Broke(Failure::Infrastructure("daemon gone".into()))),
            ),
            ("stopped", JobEvent::Ended(End::Stopped)),
            ("cancel", JobEvent::Stop(Why::Cancelled)),
            ("fail-fast", JobEvent::Stop(Why::FailFast)),
        ]
    }

    fn cell((state, effects): (JobState, Vec<JobEffect>)) -> String {
        let state = match state {
            JobState::Queued { tries } => format!("queued {}", tries.attempt()),
            JobState::Running { tries } => format!("running {}", tries.attempt()),
            JobState::Stopping { .. } => "stopping".to_owned(),
            JobState::Done(Outcome::Passed) => "passed".to_owned(),
            JobState::Done(Outcome::Tolerated(_)) => "tolerated".to_owned(),
            JobState::Done(Outcome::Failed(_)) => "failed".to_owned(),
            JobState::Done(Outcome::Cancelled(_)) => "cancelled".to_owned(),
        };
        let marks: Vec<&str> = effects
            .iter()
            .map(|effect| match effect {
                JobEffect::Start { .. } => "start",
                JobEffect::Stop { politely: true } => "term",
                JobEffect::Stop { politely: false } => "kill",
                JobEffect::Retry { .. } => "retry",
                JobEffect::Done(_) => "done",
                JobEffect::Complain(_) => "bug",
            })
            .collect();
        if marks.is_empty() {
            state
        } else {
            format!("{state} [{}]", marks.join(" "))
        }
    }

    #[test]
    fn every_state_answers_every_event() {
        let retries = Retries {
            attempts_max: 2,
            broke_max: 1,
        };
        let mut table = String::new();
        for (state_name, state) in states() {
            for (event_name, event) in events() {
                let answer = cell(next(state.clone(), event, retries));
                table.push_str(&format!("{state_name:<20}{event_name:<11}-> {answer}\n"));
            }
        }
        insta::assert_snapshot!(table);
    }
}
