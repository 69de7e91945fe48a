//! The engine's promises over random graphs: no job before its needs, every pipeline ends, a cancel ends all.

mod drive;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use proptest::prelude::*;

use super::job::{End, Failure, StepRef, Why};
use super::pipeline::{At, Bounds, Effect, Gave, Ground, Input, Pipeline};
use super::{EventKind, Status};
use crate::diag::Origin;
use crate::event::{Changed, CommitSha, Event, Trigger, Trust};
use crate::expr::{Expr, Value};
use crate::plan::{
    AfterStep, Axis, BeforeStep, Cell, Condition, Conventions, Facts, ImageSource, Job, JobKey, Limits, Matrix,
    OnFailure, Plan, PlanBuilder,
};

/// A dialect without contexts: the engine must not need any.
struct Bare;

impl Conventions for Bare {
    fn context(&self, _: &str, _: &Facts<'_>) -> Option<Value> {
        None
    }

    fn before_step(&self, _: &Facts<'_>) -> BeforeStep {
        BeforeStep::default()
    }

    fn after_step(&self, _: &std::collections::BTreeMap<String, Vec<u8>>) -> AfterStep {
        AfterStep::default()
    }
}

fn ground() -> Arc<Ground> {
    let trigger = Trigger {
        forge: None,
        repo: "team/web".into(),
        clone_url: None,
        event: Event::Push {
            branch: "main".into(),
            before: None,
            forced: false,
        },
        commit: CommitSha::try_from("1".repeat(40)).expect("40 digits"),
        git_ref: "refs/heads/main".into(),
        default_branch: None,
        changed: Changed::Unknown,
        message: String::new(),
        actor: "ada".into(),
        delivery: None,
        trust: Trust::Operator,
        payload: Arc::new(serde_json::Value::Null),
    };
    Arc::new(Ground {
        trigger,
        pipeline: 1,
        vars: IndexMap::new(),
        inputs: IndexMap::new(),
        files: None,
    })
}

fn job(key: &str, needs: &[&str]) -> Job {
    Job {
        key: JobKey::new(key),
        name: None,
        needs: needs.iter().map(|need| JobKey::new(need)).collect(),
        run_if: None,
        matrix: None,
        image: ImageSource::Default,
        services: vec![],
        docker: Default::default(),
        steps: vec![],
        env: IndexMap::new(),
        limits: Limits::default(),
        attempts_max: 1,
        on_failure: OnFailure::Fail,
        outputs: IndexMap::new(),
        environment: None,
        origin: Origin::default(),
    }
}

fn matrix_of(members: u32, fail_fast: bool) -> Matrix {
    let values = (0..members).map(|n| Cell::Value(Value::Number(f64::from(n)))).collect();
    Matrix {
        axes: IndexMap::from([("n".to_owned(), Axis::Values(values))]),
        fail_fast,
        ..Matrix::default()
    }
}

fn always(mut job: Job) -> Job {
    job.run_if = Some(Condition {
        expr: Expr::parse("always()").expect("parses"),
        origin: Origin::default(),
    });
    job
}

fn plan(jobs: Vec<Job>) -> Arc<Plan> {
    let mut builder = PlanBuilder::default();
    for job in jobs {
        builder.job(job);
    }
    Arc::new(
        builder
            .finish(Plan::empty("web", "ci.yml", "bare", &Bare))
            .expect("a sound plan"),
    )
}

fn red() -> End {
    let step = StepRef {
        name: "test".into(),
        origin: Origin::default(),
    };
    End::Failed {
        failure: Failure::Exit { step, code: 1 },
        tolerated: false,
    }
}

fn broke() -> End {
    End::Broke(Failure::Infrastructure("the daemon went away".into()))
}

/// A pipeline driven by hand; keeps what runs and checks the promises at every turn.
struct Bench {
    pipeline: Pipeline,
    bounds: Bounds,
    running: Vec<At>,
    ended: BTreeSet<At>,
    log: Vec<String>,
    finished: Option<Status>,
}

impl Bench {
    fn new(jobs: Vec<Job>, places: usize) -> Self {
        let bounds = Bounds { places, broke_max: 1 };
        let pipeline = Pipeline::new(ground(), vec![plan(jobs)], bounds);
        Bench {
            pipeline,
            bounds,
            running: vec![],
            ended: BTreeSet::new(),
            log: vec![],
            finished: None,
        }
    }

    fn apply(&mut self, input: Input) {
        if let Input::Ended { at, .. } = &input {
            self.running.retain(|running| running != at);
        }
        for effect in self.pipeline.apply(input) {
            match effect {
                Effect::Start { at, attempt } => {
                    assert!(self.finished.is_none(), "started after the end");
                    assert!(!self.running.contains(&at), "started twice");
                    let (_, job, _, name) = self.pipeline.member(at).expect("a started job exists");
                    let needs = self.pipeline.needs_of(at.flow, at.job);
                    assert_eq!(needs.len(), job.needs.len(), "started before its needs were done");
                    self.log.push(format!("start {name} {attempt}"));
                    self.running.push(at);
                    assert!(
                        self.running.len() <= self.bounds.places,
                        "more at once than there are places"
                    );
                }
                Effect::Stop { at, politely } => {
                    let name = self
                        .pipeline
                        .member(at)
                        .map_or_else(String::new, |member| member.3.to_string());
                    self.log
                        .push(format!("{} {name}", if politely { "term" } else { "kill" }));
                }
                Effect::Tell(EventKind::JobFinished {
                    job,
                    status,
                    why,
                    retried,
                    ..
                }) => {
                    let why = why.map_or(String::new(), |why| format!(" ({why})"));
                    self.log
                        .push(format!("{} {job}{why}", if retried { "retry" } else { status.word() }));
                }
                Effect::Tell(EventKind::JobSkipped { job, reason, .. }) => {
                    self.log.push(format!("skipped {job}: {reason}"))
                }
                Effect::Tell(_) => {}
                Effect::Finish { status, why } => {
                    assert!(self.finished.replace(status).is_none(), "ended twice");
                    assert!(self.running.is_empty(), "ended while something ran");
                    self.log.push(format!(
                        "-> {status}{}",
                        why.map_or(String::new(), |why| format!(" ({why})"))
                    ));
                }
                Effect::Complain(what) => panic!("the engine complains: {what}"),
            }
        }
    }

    fn end(&mut self, name: &str, end: End) {
        let at = *self
            .running
            .iter()
            .find(|at| self.pipeline.member(**at).is_some_and(|member| &**member.3 == name))
            .unwrap_or_else(|| panic!("`{name}` does not run"));
        self.apply(Input::Ended {
            at,
            end,
            gave: Gave::default(),
            took: Duration::ZERO,
        });
    }
}

#[test]
fn a_failure_skips_what_needs_it_and_says_why() {
    let mut bench = Bench::new(
        vec![
            job("image", &[]),
            job("unit", &["image"]),
            job("publish", &["unit"]),
            always(job("tell", &["unit"])),
        ],
        4,
    );
    bench.apply(Input::Begin);
    bench.end("image", End::Passed);
    bench.end("unit", red());
    bench.end("tell", End::Passed);
    insta::assert_snapshot!(bench.log.join("\n"), @r"
    start image 1
    passed image
    start unit 1
    failed unit (step `test` (:0) exited with code 1)
    skipped publish: needs `unit`, which failed (:0)
    start tell 1
    passed tell
    -> failed (unit: step `test` (:0) exited with code 1)
    ");
}

#[test]
fn the_machines_faults_do_not_spend_the_users_retries() {
    let mut retried = job("unit", &[]);
    retried.attempts_max = 2;
    let mut bench = Bench::new(vec![retried], 1);
    bench.apply(Input::Begin);
    bench.end("unit", broke());
    bench.end("unit", red());
    bench.end("unit", End::Passed);
    insta::assert_snapshot!(bench.log.join("\n"), @r"
    start unit 1
    retry unit (infrastructure: the daemon went away)
    start unit 2
    retry unit (step `test` (:0) exited with code 1)
    start unit 3
    passed unit
    -> passed
    ");
}

#[test]
fn a_job_that_the_machine_breaks_twice_is_lost() {
    let mut bench = Bench::new(vec![job("unit", &[])], 1);
    bench.apply(Input::Begin);
    bench.end("unit", broke());
    bench.end("unit", broke());
    assert_eq!(bench.finished, Some(Status::Lost));
}

#[test]
fn the_first_red_member_of_a_matrix_stops_the_others_where_the_file_says_so() {
    let mut unit = job("unit", &[]);
    unit.matrix = Some(matrix_of(3, true));
    let mut bench = Bench::new(vec![unit, job("after", &["unit"])], 2);
    bench.apply(Input::Begin);
    bench.end("unit (0)", red());
    bench.end("unit (1)", End::Stopped);
    insta::assert_snapshot!(bench.log.join("\n"), @r"
    start unit (0) 1
    start unit (1) 1
    failed unit (0) (step `test` (:0) exited with code 1)
    term unit (1)
    cancelled unit (2) (cancelled because another member of its matrix failed (`fail-fast`))
    cancelled unit (1) (cancelled because another member of its matrix failed (`fail-fast`))
    skipped after: needs `unit`, which failed (:0)
    -> failed (unit (0): step `test` (:0) exited with code 1)
    ");
}

#[test]
fn a_cancel_ends_what_runs_and_what_waits_and_a_second_one_kills() {
    let mut bench = Bench::new(vec![job("unit", &[]), always(job("tell", &["unit"]))], 4);
    bench.apply(Input::Begin);
    bench.apply(Input::Cancel(Why::Cancelled));
    bench.apply(Input::Cancel(Why::Cancelled));
    bench.end("unit", End::Stopped);
    insta::assert_snapshot!(bench.log.join("\n"), @r"
    start unit 1
    term unit
    cancelled tell (cancelled)
    kill unit
    cancelled unit (cancelled)
    -> cancelled (cancelled)
    ");
}

#[test]
fn a_pipeline_without_jobs_ends_at_once() {
    let mut bench = Bench::new(vec![], 1);
    bench.apply(Input::Begin);
    assert_eq!(bench.finished, Some(Status::Passed));
}

/// A random graph: each job may need any job before it.
#[derive(Debug, Clone)]
struct Graph(Vec<(Vec<usize>, u32, bool, u32)>);

impl Graph {
    fn jobs(&self) -> Vec<Job> {
        let key = |at: usize| format!("job{at}");
        let make = |(at, (needs, members, asks, attempts)): (usize, &(Vec<usize>, u32, bool, u32))| {
            let needs: Vec<String> = needs.iter().map(|need| key(*need)).collect();
            let mut job = job(&key(at), &needs.iter().map(String::as_str).collect::<Vec<_>>());
            job.attempts_max = *attempts;
            if *members > 0 {
                job.matrix = Some(matrix_of(*members, at % 2 == 0));
            }
            if *asks { always(job) } else { job }
        };
        self.0.iter().enumerate().map(make).collect()
    }
}

fn graphs() -> impl Strategy<Value = Graph> {
    let node = (
        proptest::collection::btree_set(0usize..12, 0..4),
        0u32..4,
        any::<bool>(),
        1u32..3,
    );
    proptest::collection::vec(node, 1..12).prop_map(|nodes| {
        let keep = |(at, (needs, members, asks, attempts)): (usize, (BTreeSet<usize>, u32, bool, u32))| {
            (
                needs.into_iter().filter(|need| *need < at).collect(),
                members,
                asks,
                attempts,
            )
        };
        Graph(nodes.into_iter().enumerate().map(keep).collect())
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn every_pipeline_ends_in_order_whatever_happens(
        graph in graphs(),
        places in 1usize..5,
        ends in proptest::collection::vec((0u8..8, any::<u16>()), 400),
        cancel_at in proptest::option::of(0usize..30),
    ) {
        let mut bench = Bench::new(graph.jobs(), places);
        bench.apply(Input::Begin);
        let mut starts: HashMap<At, u32> = HashMap::new();
        for (turn, (kind, pick)) in ends.into_iter().enumerate() {
            if bench.finished.is_some() {
                break;
            }
            if cancel_at == Some(turn) {
                bench.apply(Input::Cancel(Why::Cancelled));
                continue;
            }
            prop_assert!(!bench.running.is_empty(), "nothing runs and nothing ended:\n{}", bench.log.join("\n"));
            let at = bench.running[usize::from(pick) % bench.running.len()];
            *starts.entry(at).or_default() += 1;
            bench.ended.insert(at);
            let end = match kind {
                0..4 => End::Passed,
                4 | 5 => red(),
                6 => broke(),
                _ => End::Stopped,
            };
            bench.apply(Input::Ended { at, end, gave: Gave::default(), took: Duration::ZERO });
        }
        prop_assert!(bench.finished.is_some(), "did not end:\n{}", bench.log.join("\n"));
        // Two attempts by the file at most, and one that the machine broke.
        prop_assert!(starts.values().all(|started| *started <= 3));
    }

    #[test]
    fn a_cancel_ends_everything_that_then_stops(graph in graphs(), places in 1usize..5, before in 0usize..6) {
        let mut bench = Bench::new(graph.jobs(), places);
        bench.apply(Input::Begin);
        for _ in 0..before {
            if let Some(at) = bench.running.first().copied() {
                bench.apply(Input::Ended { at, end: End::Passed, gave: Gave::default(), took: Duration::ZERO });
            }
        }
        bench.apply(Input::Cancel(Why::Cancelled));
        while let Some(at) = bench.running.first().copied() {
            bench.apply(Input::Ended { at, end: End::Stopped, gave: Gave::default(), took: Duration::ZERO });
        }
        prop_assert!(bench.finished.is_some());
    }
}
