//! `drydock run` as a person meets it: what it prints, its exit status, and what it leaves behind.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use drydock::report::schema;
use tempfile::TempDir;

use crate::support::Daemon;

/// A folder with a pipeline file in it.
fn folder(pipeline: &str) -> TempDir {
    let folder = TempDir::new().expect("a temporary folder can be made");
    std::fs::write(folder.path().join(".drydock.yml"), pipeline).expect("it can be written");
    folder
}

fn drydock(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_drydock"));
    command.current_dir(folder).args(args).env("NO_COLOR", "1");
    command
}

fn run(pipeline: &str, args: &[&str]) -> Output {
    let folder = folder(pipeline);
    drydock(folder.path(), &["run"])
        .args(args)
        .output()
        .expect("drydock starts")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Times differ from run to run; everything else is the promise.
fn without_times(text: &str) -> String {
    let time = regex::Regex::new(r"\[ *[0-9]+\.[0-9]{3}s\]").expect("a pattern");
    let total = regex::Regex::new(r"in [0-9]+\.[0-9] s").expect("a pattern");
    let text = time.replace_all(text, "[time]");
    total.replace_all(&text, "in N s").into_owned()
}

/// What this process's child left in the engine, by the owner's label that carries its pid.
fn things_of(pid: u32) -> Vec<String> {
    let mut found = vec![];
    for list in [&["ps", "-a"][..], &["network", "ls"], &["volume", "ls"]] {
        let format = "{{.Names}} {{.Labels}}";
        let format = if list[0] == "ps" {
            format
        } else {
            "{{.Name}} {{.Labels}}"
        };
        let output = Command::new("docker")
            .args(list)
            .args(["--format", format])
            .output()
            .expect("docker starts");
        let owner = format!("-{pid}-");
        let own = |line: &&str| line.contains("io.drydock.server=local-") && line.contains(&owner);
        found.extend(
            String::from_utf8_lossy(&output.stdout)
                .lines()
                .filter(own)
                .map(str::to_owned),
        );
    }
    found
}

const GREEN_THEN_RED: &str = r#"
on: push
jobs:
  build:
    image: drydock-test/busybox
    outputs: { colour: "${{ steps.pick.outputs.colour }}" }
    steps:
      - id: pick
        run: echo colour=blue >> "$DRYDOCK_OUTPUT"
  unit:
    needs: build
    image: drydock-test/busybox
    steps:
      - name: use it
        env: { COLOUR: "${{ needs.build.outputs.colour }}" }
        run: echo "it is $COLOUR"
      - name: break
        run: echo going down; exit 3
  publish:
    needs: unit
    image: drydock-test/busybox
    steps: [ "true" ]
"#;

#[tokio::test]
async fn a_red_step_ends_with_1_and_its_last_lines_and_why_the_rest_did_not_run() {
    if Daemon::for_test("run-red").await.is_none() {
        return;
    }
    let output = run(GREEN_THEN_RED, &["--output", "plain"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    insta::assert_snapshot!(without_times(&stdout(&output)), @r#"
    build > echo colour=blue >> "$DRYDOCK_OUTPUT"
            PASS [time] build > echo colour=blue >> "$DRYDOCK_OUTPUT"
            PASS [time] build
    unit > use it
    unit | it is blue
            PASS [time] unit > use it
    unit > break
    unit | going down
            FAIL [time] unit > break
            FAIL [time] unit: step `break` (.drydock.yml:17) exited with code 3
            SKIP             publish: needs `unit`, which failed (.drydock.yml:19)

    --- unit: break, last lines ---
    going down
    --- step `break` (.drydock.yml:17) exited with code 3 ---

    failed in N s: unit: step `break` (.drydock.yml:17) exited with code 3
    "#);
}

#[tokio::test]
async fn the_event_stream_is_valid_against_the_published_schema() {
    if Daemon::for_test("run-json").await.is_none() {
        return;
    }
    let output = run(GREEN_THEN_RED, &["--output", "json"]);
    let schema = jsonschema::validator_for(&schema::events()).expect("the schema is a schema");
    let mut types = vec![];
    for (at, line) in stdout(&output).lines().enumerate() {
        let event: serde_json::Value = serde_json::from_str(line).expect("each line is an object");
        let wrong: Vec<String> = schema.iter_errors(&event).map(|error| error.to_string()).collect();
        assert!(wrong.is_empty(), "{line}\n{wrong:?}");
        assert_eq!(event["seq"], at + 1, "numbered without gaps");
        types.push(event["type"].as_str().unwrap_or_default().to_owned());
    }
    assert_eq!(types.first().map(String::as_str), Some("pipeline_started"));
    assert_eq!(types.last().map(String::as_str), Some("pipeline_finished"));
    for wanted in [
        "job_queued",
        "job_started",
        "job_skipped",
        "job_finished",
        "step_started",
        "step_finished",
        "log",
    ] {
        assert!(types.iter().any(|kind| kind == wanted), "no `{wanted}` among {types:?}");
    }
}

#[tokio::test]
async fn a_mistake_in_the_file_ends_with_2_and_runs_nothing() {
    let output = run(
        "on: push\njobs:\n  unit:\n    image: busybox\n    needs: [tets]\n    steps: [ 'true' ]\n",
        &[],
    );
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(stdout(&output), "");
    assert!(stderr(&output).contains(".drydock.yml:5:"), "{}", stderr(&output));
}

#[tokio::test]
async fn an_unknown_job_ends_with_2_and_the_name_that_was_meant() {
    let output = run(GREEN_THEN_RED, &["--job", "unti"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("did you mean `unit`?"), "{}", stderr(&output));
}

#[tokio::test]
async fn without_a_daemon_it_ends_with_3_and_says_what_to_do() {
    let folder = folder(GREEN_THEN_RED);
    let mut command = drydock(folder.path(), &["run"]);
    let output = command
        .env("DOCKER_HOST", "unix:///nowhere/docker.sock")
        .output()
        .expect("drydock starts");
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).contains("drydock doctor"), "{}", stderr(&output));
}

#[tokio::test]
async fn a_pipeline_past_its_time_ends_with_4() {
    if Daemon::for_test("run-timeout").await.is_none() {
        return;
    }
    let pipeline = "on: push\njobs:\n  slow:\n    image: drydock-test/busybox\n    steps: [ sleep 600 ]\n";
    let output = run(pipeline, &["--timeout", "2s", "--output", "plain"]);
    assert_eq!(output.status.code(), Some(4), "{}", stdout(&output));
    assert!(
        stdout(&output).contains("the pipeline's time was over"),
        "{}",
        stdout(&output)
    );
}

const SLOW: &str = r#"
on: push
jobs:
  slow:
    image: drydock-test/busybox
    services:
      web: { image: drydock-test/busybox, command: [httpd, -f, -p, "8080"], ready: "wget -qO /dev/null http://127.0.0.1:8080/ || true" }
    steps: [ "echo ready to be stopped; sleep 600" ]
"#;

/// Starts the slow pipeline and waits until its step has spoken.
fn started(folder: &Path) -> Child {
    let mut child = drydock(folder, &["run", "--output", "plain"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("drydock starts");
    let out = child.stdout.take().expect("it is piped");
    let mut lines = BufReader::new(out).lines();
    let spoke = lines.any(|line| line.is_ok_and(|line| line == "slow | ready to be stopped"));
    assert!(spoke, "the step never started");
    // The rest of the output is read to the end, so that nothing blocks.
    std::thread::spawn(move || lines.for_each(drop));
    child
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill")
        .args([&format!("-{name}"), &child.id().to_string()])
        .status();
    assert!(sent.expect("kill starts").success());
}

#[tokio::test]
async fn ctrl_c_ends_with_4_and_leaves_nothing() {
    if Daemon::for_test("run-interrupt").await.is_none() {
        return;
    }
    let folder = folder(SLOW);
    let mut child = started(folder.path());
    assert!(!things_of(child.id()).is_empty(), "it runs in containers");
    signal(&child, "INT");
    assert_eq!(child.wait().expect("it ends").code(), Some(4));
    assert_eq!(things_of(child.id()), Vec::<String>::new());
}

#[tokio::test]
async fn what_a_killed_run_leaves_is_removed_by_clean_and_nothing_else_is() {
    if Daemon::for_test("run-kill").await.is_none() {
        return;
    }
    let folder = folder(SLOW);
    let mut killed = started(folder.path());
    let mut living = started(folder.path());
    signal(&killed, "KILL");
    killed.wait().expect("it ends");
    assert!(!things_of(killed.id()).is_empty(), "a killed run cannot clean up");
    let shown = drydock(folder.path(), &["clean", "--dry-run"])
        .output()
        .expect("drydock starts");
    assert!(stdout(&shown).contains("its run is over"), "{}", stdout(&shown));
    let cleaned = drydock(folder.path(), &["clean"]).output().expect("drydock starts");
    assert_eq!(cleaned.status.code(), Some(0), "{}", stderr(&cleaned));
    assert_eq!(things_of(killed.id()), Vec::<String>::new());
    assert!(!things_of(living.id()).is_empty(), "a living run keeps what it has");
    signal(&living, "INT");
    living.wait().expect("it ends");
    assert_eq!(things_of(living.id()), Vec::<String>::new());
}

#[tokio::test]
async fn the_work_tree_is_copied_and_never_touched_and_a_secret_is_never_printed() {
    if Daemon::for_test("run-copy").await.is_none() {
        return;
    }
    let pipeline = r#"
on: push
jobs:
  unit:
    image: drydock-test/busybox
    env: { TOKEN: "${{ secrets.TOKEN }}" }
    steps:
      - ls; rm -f notes.txt; touch made.txt; echo "token $TOKEN"
"#;
    let folder = folder(pipeline);
    std::fs::write(folder.path().join("notes.txt"), "mine").expect("it can be written");
    let args = ["run", "--output", "plain", "--secret", "TOKEN=s3cr3t-value"];
    let output = drydock(folder.path(), &args).output().expect("drydock starts");
    let printed = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{printed}");
    assert!(printed.contains("unit | notes.txt"), "{printed}");
    assert!(printed.contains("unit | token ***"), "{printed}");
    assert!(!printed.contains("s3cr3t"), "{printed}");
    assert!(folder.path().join("notes.txt").exists() && !folder.path().join("made.txt").exists());
}
