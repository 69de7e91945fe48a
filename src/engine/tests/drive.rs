//! The driver and attempts, with an executor that does what its scripts say.

use std::sync::{Mutex, OnceLock};

use async_trait::async_trait;

use super::*;
use crate::engine::{self, Hands, Observer, Run, Settings, WorkspaceMode};
use crate::executor::fake::FakeExecutor;
use crate::executor::{JobLimits, PullPolicy};
use crate::expr::Template;
use crate::plan::{Action, Env, Shell, Step, StepFile};
use crate::secret::{Secret, SecretSet};
use crate::stop::Stop;
use crate::tree::Tree;

struct NoFiles;

impl Tree for NoFiles {
    fn paths(&self) -> std::io::Result<Vec<String>> {
        Ok(vec![])
    }

    fn open(&self, _: &str) -> std::io::Result<Option<Box<dyn std::io::Read + Send>>> {
        Ok(None)
    }

    fn write_tar(&self, _: &dyn Fn(&str) -> bool, _: &mut dyn std::io::Write) -> std::io::Result<()> {
        Ok(())
    }
}

/// `env` and `secrets` as contexts, `OUT` as the file of outputs.
struct Small;

impl Conventions for Small {
    fn context(&self, name: &str, facts: &Facts<'_>) -> Option<Value> {
        let object = |pairs: Vec<(String, String)>| {
            let map = pairs
                .into_iter()
                .map(|(key, value)| (key, serde_json::Value::String(value)));
            Value::from(serde_json::Value::Object(map.collect()))
        };
        match name {
            "env" => Some(object(facts.env.clone().into_iter().collect())),
            "secrets" => {
                let set = facts.secrets.cloned().unwrap_or_default();
                Some(object(
                    set.into_iter()
                        .map(|(name, secret)| (name, secret.reveal().to_owned()))
                        .collect(),
                ))
            }
            "needs" => {
                let outputs = facts.needs.values().flat_map(|need| need.outputs.clone());
                Some(object(outputs.collect()))
            }
            "steps" => {
                let outputs = facts.steps.values().flat_map(|step| step.outputs.clone());
                Some(object(outputs.collect()))
            }
            _ => None,
        }
    }

    fn before_step(&self, _: &Facts<'_>) -> BeforeStep {
        let file = StepFile {
            variable: "OUT".into(),
            content: vec![],
            read_back: true,
        };
        BeforeStep {
            env: IndexMap::new(),
            files: vec![file],
        }
    }

    fn after_step(&self, files: &std::collections::BTreeMap<String, Vec<u8>>) -> AfterStep {
        let text = files
            .get("OUT")
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
            .unwrap_or_default();
        let outputs = text.lines().filter_map(|line| line.split_once('='));
        AfterStep {
            outputs: outputs.map(|(key, value)| (key.into(), value.into())).collect(),
            ..AfterStep::default()
        }
    }
}

#[derive(Default)]
struct Heard {
    lines: Mutex<Vec<String>>,
    stop_when: Option<(&'static str, Stop)>,
}

#[async_trait]
impl Observer for Heard {
    async fn tell(&self, events: Vec<EventKind>) {
        for event in events {
            let line = match &event {
                EventKind::StepFinished {
                    job, name, status, why, ..
                } => {
                    let why = why.as_ref().map_or(String::new(), |why| format!(" ({why})"));
                    format!("  {job}: {status} {name}{why}")
                }
                EventKind::JobFinished {
                    job,
                    status,
                    why,
                    outputs,
                    ..
                } => {
                    let why = why.as_ref().map_or(String::new(), |why| format!(" ({why})"));
                    let outputs = if outputs.is_empty() {
                        String::new()
                    } else {
                        format!(" {outputs:?}")
                    };
                    format!("{job}: {status}{why}{outputs}")
                }
                EventKind::JobSkipped { job, reason, .. } => format!("{job}: skipped: {reason}"),
                EventKind::Log { job, line, .. } => format!("  {job} | {line}"),
                EventKind::ImageBuilt { image, .. } => format!("  built {image}"),
                EventKind::ImagePushed { reference, .. } => format!("  pushed {reference}"),
                EventKind::PipelineFinished { status, .. } => format!("-> {status}"),
                EventKind::StepStarted { name, .. } => {
                    if let Some((wanted, stop)) = &self.stop_when
                        && wanted == name
                    {
                        stop.ask();
                    }
                    continue;
                }
                EventKind::PipelineStarted { .. }
                | EventKind::JobQueued { .. }
                | EventKind::JobStarted { .. }
                | EventKind::Annotation { .. } => continue,
            };
            self.lines.lock().expect("not poisoned").push(line);
        }
    }
}

fn template(text: &str) -> Template {
    Template::parse(text).expect("parses")
}

fn script(text: &str) -> Step {
    Step {
        id: None,
        name: None,
        action: Action::Script {
            shell: Shell::Default,
            text: template(text),
        },
        run_if: None,
        env: Env::new(),
        dir: None,
        timeout: None,
        on_failure: OnFailure::Fail,
        origin: Origin::default(),
    }
}

fn when(condition: &str, mut step: Step) -> Step {
    step.run_if = Some(Condition {
        expr: Expr::parse(condition).expect("parses"),
        origin: Origin::default(),
    });
    step
}

fn job_of(key: &str, needs: &[&str], steps: Vec<Step>) -> Job {
    Job {
        steps,
        ..job(key, needs)
    }
}

struct Played {
    lines: Vec<String>,
    told: Vec<String>,
    status: Status,
}

async fn play(jobs: Vec<Job>) -> Played {
    play_with(jobs, None).await
}

/// Runs the jobs one at a time; asks for a stop when the step of that name starts.
async fn play_with(jobs: Vec<Job>, stop_at: Option<&'static str>) -> Played {
    let mut builder = PlanBuilder::default();
    for job in jobs {
        builder.job(job);
    }
    let plan = builder
        .finish(Plan::empty("web", "ci.yml", "small", &Small))
        .expect("a sound plan");
    let executor = Arc::new(FakeExecutor::default());
    let stop = Stop::new();
    let heard = Arc::new(Heard {
        lines: Mutex::default(),
        stop_when: stop_at.map(|name| (name, stop.clone())),
    });
    let settings = Settings {
        server: "test".into(),
        default_image: Some("busybox".into()),
        image_of_label: IndexMap::new(),
        pull: PullPolicy::Never,
        limits: JobLimits {
            cpus: None,
            memory_bytes: None,
            pids: 64,
        },
        job_timeout: Duration::from_secs(600),
        grace: Duration::from_secs(1),
        workspace: WorkspaceMode::Copy,
        keep: Default::default(),
        env: IndexMap::new(),
    };
    let ended = engine::run(Run {
        ground: ground(),
        plans: vec![Arc::new(plan)],
        seen: vec![],
        bounds: Bounds {
            places: 1,
            broke_max: 1,
        },
        hands: Hands {
            executor: executor.clone(),
            tree: Arc::new(NoFiles),
            observer: heard.clone(),
            secrets: Arc::new(SecretSet::from([("TOKEN".to_owned(), Secret::new("hunter2hunter2"))])),
            settings: Arc::new(settings),
        },
        stop,
        stop_why: Arc::new(OnceLock::new()),
        timeout: None,
    })
    .await;
    assert_eq!(executor.open_sessions(), 0, "every session is closed");
    let lines = heard.lines.lock().expect("not poisoned").clone();
    Played {
        lines,
        told: executor.told(),
        status: ended.status,
    }
}

#[tokio::test]
async fn a_failing_step_skips_the_rest_but_not_what_asks_for_failure() {
    let steps = vec![
        script("say hello"),
        script("exit 3"),
        script("say never"),
        when("failure()", script("say sorry")),
        when("always()", script("say bye")),
    ];
    let played = play(vec![job_of("unit", &[], steps)]).await;
    insta::assert_snapshot!(played.lines.join("\n"), @r"
      unit | hello
      unit: passed say hello
      unit: failed exit 3 (step `exit 3` (:0) exited with code 3)
      unit: skipped say never (an earlier step failed)
      unit | sorry
      unit: passed say sorry
      unit | bye
      unit: passed say bye
    unit: failed (step `exit 3` (:0) exited with code 3)
    -> failed
    ");
}

#[tokio::test]
async fn outputs_reach_the_jobs_that_need_them_and_secrets_reach_no_log() {
    let mut first = job_of("first", &[], vec![script("output colour=blue")]);
    first.steps[0].id = Some("pick".into());
    first.outputs.insert("colour".into(), template("${{ steps.colour }}"));
    let mut second = job_of(
        "second",
        &["first"],
        vec![script("say ${{ needs.colour }}"), script("env KEY")],
    );
    second.steps[1]
        .env
        .insert("KEY".into(), template("${{ secrets.TOKEN }}"));
    let played = play(vec![first, second]).await;
    insta::assert_snapshot!(played.lines.join("\n"), @r#"
      first: passed output colour=blue
    first: passed {"colour": "blue"}
      second | blue
      second: passed say ${{ needs.colour }}
      second | KEY=***
      second: passed env KEY
    second: passed
    -> passed
    "#);
}

#[tokio::test]
async fn a_lost_connection_is_tried_once_more_and_then_lost() {
    let played = play(vec![job_of("unit", &[], vec![script("vanish")])]).await;
    assert_eq!(played.status, Status::Lost);
    insta::assert_snapshot!(played.told.join("\n"), @r"
    open unit busybox
    run unit vanish
    close unit
    open unit busybox
    run unit vanish
    close unit
    ");
}

#[tokio::test]
async fn a_cancel_stops_the_running_step_and_still_runs_what_asks_for_always() {
    let steps = vec![script("hang"), script("say never"), when("always()", script("say bye"))];
    let played = play_with(vec![job_of("unit", &[], steps)], Some("hang")).await;
    assert_eq!(played.status, Status::Cancelled);
    insta::assert_snapshot!(played.lines.join("\n"), @r"
      unit: cancelled hang
      unit: skipped say never (the job was cancelled)
      unit | bye
      unit: passed say bye
    unit: cancelled (cancelled)
    -> cancelled
    ");
}

#[tokio::test(start_paused = true)]
async fn a_job_past_its_time_is_stopped_and_says_so() {
    let mut slow = job_of("unit", &[], vec![script("hang")]);
    slow.limits.timeout = Some(Duration::from_secs(5));
    let played = play(vec![slow]).await;
    insta::assert_snapshot!(played.lines.join("\n"), @r"
      unit: cancelled hang
    unit: failed (the job ran longer than its 5 s)
    -> failed
    ");
}

#[tokio::test]
async fn an_image_that_cannot_be_had_is_the_pipelines_fault_and_is_not_tried_again() {
    let mut unit = job_of("unit", &[], vec![script("say hi")]);
    unit.image = ImageSource::Named(template("absent"));
    let played = play(vec![unit]).await;
    assert_eq!(played.status, Status::Failed);
    insta::assert_snapshot!(played.lines.join("\n"), @r"
    unit: failed (cannot pull image `absent`, asked for at :0:0: no such image)
    -> failed
    ");
}
