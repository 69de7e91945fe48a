use std::fmt::Write;
use std::sync::Arc;

use super::*;
use crate::event::{Changed, CommitSha, ForgeKind, PullRequest, Trust};
use crate::expr::Template;
use crate::plan::{FactsScope, JobResult};
use crate::secret::{Secret, SecretSet};

fn trigger(event: Event) -> Trigger {
    Trigger {
        forge: Some(ForgeKind::GitLab),
        repo: "team/sub/web".into(),
        clone_url: None,
        event,
        commit: CommitSha::try_from("a".repeat(40)).expect("a commit id"),
        git_ref: "refs/heads/main".into(),
        default_branch: Some("main".into()),
        changed: Changed::Unknown,
        message: "fix $(touch /tmp/x)".into(),
        actor: "maria".into(),
        delivery: None,
        trust: Trust::Member,
        payload: Arc::new(serde_json::Value::Null),
    }
}

fn request() -> Event {
    Event::PullRequest(PullRequest {
        number: 7,
        action: "opened".into(),
        title: "`rm -rf /` \"quoted\"".into(),
        source_branch: "it's; a branch".into(),
        source_repo: "fork/web".into(),
        target_branch: "main".into(),
        base: None,
        draft: true,
        labels: vec!["bug".into()],
    })
}

/// Facts of a job that needs two jobs, one of which built an image.
fn with_facts<T>(event: Event, look: impl FnOnce(&Facts<'_>) -> T) -> T {
    let trigger = trigger(event);
    let texts = |pairs: &[(&str, &str)]| -> IndexMap<String, String> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    };
    let finished = |image: Option<&str>, outputs| Finished {
        result: JobResult::Success,
        outputs,
        image: image.map(str::to_owned),
    };
    let needs = IndexMap::from([
        (JobKey::new("web-app"), finished(Some("sha256:beef"), texts(&[]))),
        (JobKey::new("unit"), finished(None, texts(&[("count", "12")]))),
    ]);
    let steps = IndexMap::from([(
        "build".to_owned(),
        StepPast {
            outputs: texts(&[("Version", "1.2")]),
            outcome: "failure",
            conclusion: "success",
        },
    )]);
    let secrets = SecretSet::from([("TOKEN".to_owned(), Secret::new("hush"))]);
    let job = JobKey::new("deploy");
    look(&Facts {
        trigger: &trigger,
        pipeline: 42,
        attempt: 2,
        vars: &texts(&[("REGION", "eu")]),
        inputs: &IndexMap::from([("level".to_owned(), Value::from("quick"))]),
        job: Some(&job),
        needs: &needs,
        matrix: &IndexMap::from([("db".to_owned(), Value::Number(16.0))]),
        steps: &steps,
        env: &texts(&[("A", "b")]),
        secrets: Some(&secrets),
        so_far: JobResult::Failure,
        files: None,
    })
}

#[test]
fn every_context_gives_its_values() {
    let shown = with_facts(request(), |facts| {
        let mut out = String::new();
        for name in CONTEXTS {
            let value = Native.context(name, facts).expect("a context");
            let _ = writeln!(out, "{name}: {}", value.to_json());
        }
        out
    });
    insta::assert_snapshot!(shown, @r#"
    event: {"kind":"pull_request","ref":"refs/heads/main","actor":"maria","message":"fix $(touch /tmp/x)","action":"opened","number":7,"title":"`rm -rf /` \"quoted\"","draft":true,"labels":["bug"],"fork":true,"source_branch":"it's; a branch","source_repo":"fork/web","target_branch":"main","base":null,"before":null,"forced":null,"cron":null}
    repo: {"full_name":"team/sub/web","owner":"team/sub","name":"web","forge":"gitlab","default_branch":"main"}
    branch: ""
    tag: ""
    sha: "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
    pipeline: {"number":42}
    job: {"id":"deploy","attempt":2,"status":"failure"}
    steps: {"build":{"outputs":{"Version":"1.2"},"outcome":"failure","conclusion":"success"}}
    needs: {"web-app":{"result":"success","outputs":{},"image":"sha256:beef"},"unit":{"result":"success","outputs":{"count":"12"},"image":""}}
    matrix: {"db":16}
    inputs: {"level":"quick"}
    secrets: {"TOKEN":"hush"}
    vars: {"REGION":"eu"}
    env: {"A":"b"}
    "#);
    assert!(with_facts(request(), |facts| Native.context("github", facts).is_none()));
}

#[test]
fn every_name_that_is_checked_is_there() {
    let tables = [
        ("event", EVENT),
        ("repo", REPO),
        ("pipeline", PIPELINE),
        ("job", JOB),
        ("needs.unit", NEED),
        ("steps.build", STEP),
    ];
    for event in [request(), Event::Tag { tag: "v1".into() }] {
        with_facts(event, |facts| {
            let scope = FactsScope {
                facts,
                conventions: &Native,
            };
            for (context, names) in tables {
                let template = Template::parse(&format!("${{{{ toJSON({context}) }}}}")).expect("parses");
                let json = template.render(&scope).expect("can be evaluated");
                for name in names {
                    assert!(json.contains(&format!("\"{name}\"")), "{context}.{name} in {json}");
                }
            }
        });
    }
}

#[test]
fn a_step_is_told_about_its_pipeline_by_variables() {
    let shown = |event| {
        with_facts(event, |facts| {
            let before = Native.before_step(facts);
            let files: Vec<&str> = before.files.iter().map(|file| file.variable.as_str()).collect();
            let env: Vec<String> = before
                .env
                .iter()
                .map(|(name, value)| format!("{name}={value:?}"))
                .collect();
            format!("{}\nfiles {}", env.join("\n"), files.join(" "))
        })
    };
    insta::assert_snapshot!(shown(request()), @r#"
    CI="true"
    DRYDOCK="true"
    DRYDOCK_REPO="team/sub/web"
    DRYDOCK_EVENT="pull_request"
    DRYDOCK_REF="refs/heads/main"
    DRYDOCK_SHA="aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
    DRYDOCK_BRANCH=""
    DRYDOCK_TAG=""
    DRYDOCK_ACTOR="maria"
    DRYDOCK_PIPELINE="42"
    DRYDOCK_JOB="deploy"
    DRYDOCK_ATTEMPT="2"
    DRYDOCK_PULL_REQUEST="7"
    DRYDOCK_SOURCE_BRANCH="it's; a branch"
    DRYDOCK_TARGET_BRANCH="main"
    IMAGE_WEB_APP="sha256:beef"
    IMAGE="sha256:beef"
    files DRYDOCK_OUTPUT DRYDOCK_ENV
    "#);
    insta::assert_snapshot!(shown(Event::Tag { tag: "v1".into() }), @r#"
    CI="true"
    DRYDOCK="true"
    DRYDOCK_REPO="team/sub/web"
    DRYDOCK_EVENT="tag"
    DRYDOCK_REF="refs/heads/main"
    DRYDOCK_SHA="aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
    DRYDOCK_BRANCH=""
    DRYDOCK_TAG="v1"
    DRYDOCK_ACTOR="maria"
    DRYDOCK_PIPELINE="42"
    DRYDOCK_JOB="deploy"
    DRYDOCK_ATTEMPT="2"
    IMAGE_WEB_APP="sha256:beef"
    IMAGE="sha256:beef"
    files DRYDOCK_OUTPUT DRYDOCK_ENV
    "#);
}

#[test]
fn outputs_and_variables_are_read_back() {
    let after = |output: &str, env: &str| {
        let files = BTreeMap::from([
            ("DRYDOCK_OUTPUT".to_owned(), output.as_bytes().to_vec()),
            ("DRYDOCK_ENV".to_owned(), env.as_bytes().to_vec()),
        ]);
        let after = Native.after_step(&files);
        format!(
            "outputs {:?}\nenv {:?}\n{}",
            after.outputs,
            after.env,
            after.complaints.join("\n")
        )
    };
    insta::assert_snapshot!(after("a=1\nb = x=y \r\n\nc<<END\none\n two\nEND\nd<<<\n<<\nlast=no newline", ""), @r#"
    outputs {"a": "1", "b": " x=y ", "c": "one\n two"}
    env {}
    DRYDOCK_OUTPUT line 8: no line `<` ends the value of `d`
    "#);
    insta::assert_snapshot!(after("nonsense\n=x\nopen<<EOF\nnever closed\n", "GOOD=1\nPATH=/evil\nld_preload=x\nGIT_SSH_COMMAND=x\nDOCKER_HOST=x\nDRYDOCK_SHA=x\nNODE_OPTIONS=x\nBASH_ENV=x\nIMAGE=x\nA B=x\n1X=x\nM<<E\n1\n2\nE\n"), @r#"
    outputs {}
    env {"GOOD": "1", "M": "1\n2"}
    DRYDOCK_OUTPUT line 1: `nonsense` is neither NAME=value nor NAME<<END
    DRYDOCK_OUTPUT line 2: `=x` is neither NAME=value nor NAME<<END
    DRYDOCK_OUTPUT line 3: no line `EOF` ends the value of `open`
    DRYDOCK_ENV: `PATH` was not set: it decides what later steps run; write it under the job's or the step's `env`
    DRYDOCK_ENV: `ld_preload` was not set: it decides what later steps run; write it under the job's or the step's `env`
    DRYDOCK_ENV: `GIT_SSH_COMMAND` was not set: it decides what later steps run; write it under the job's or the step's `env`
    DRYDOCK_ENV: `DOCKER_HOST` was not set: it decides what later steps run; write it under the job's or the step's `env`
    DRYDOCK_ENV: `DRYDOCK_SHA` was not set: it decides what later steps run; write it under the job's or the step's `env`
    DRYDOCK_ENV: `NODE_OPTIONS` was not set: it decides what later steps run; write it under the job's or the step's `env`
    DRYDOCK_ENV: `BASH_ENV` was not set: it decides what later steps run; write it under the job's or the step's `env`
    DRYDOCK_ENV: `IMAGE` was not set: it decides what later steps run; write it under the job's or the step's `env`
    DRYDOCK_ENV: `A B` was not set: it is no variable name (letters, digits and `_`, no digit first)
    DRYDOCK_ENV: `1X` was not set: it is no variable name (letters, digits and `_`, no digit first)
    "#);
}
