//! How steps end: by themselves, by a signal, by time, by a cancel; and what they leave running.

use std::time::Duration;

use drydock::executor::{Ended, Program, Stream};
use drydock::plan::Shell;
use drydock::stop::Stop;

use super::rig::*;

#[tokio::test]
async fn every_exit_code_is_exact() {
    let Some(rig) = Rig::for_test("exit-codes").await else {
        return;
    };
    let mut job = rig.open(&rig.job(BUSYBOX)).await;
    for code in 0..=255 {
        let outcome = job.run(&format!("exit {code}")).await;
        assert_eq!(outcome.end.how, Ended::Exited(code));
    }
    job.close().await;
    rig.assert_clean().await;
}

#[tokio::test]
async fn a_step_that_a_signal_ends_says_which() {
    let Some(rig) = Rig::for_test("signals").await else {
        return;
    };
    let mut job = rig.open(&rig.job(BUSYBOX)).await;
    for signal in [1, 2, 6, 8, 9, 11, 13, 15] {
        let outcome = job.run(&format!("kill -{signal} $$; sleep 10")).await;
        assert_eq!(outcome.end.how, Ended::Signalled(signal));
    }
    job.close().await;
}

#[tokio::test]
async fn a_step_past_its_timeout_is_killed_with_everything_it_started() {
    let Some(rig) = Rig::for_test("timeout").await else {
        return;
    };
    let mut job = rig.open(&rig.job(BUSYBOX)).await;
    // A grandchild, one in a session of its own, one that ignores TERM, and itself ignoring it too.
    let mut step = job.step(
        "trap '' TERM
         (sleep 600 & sleep 600) &
         setsid sleep 600 &
         setsid sh -c 'trap \"\" TERM; sleep 600; sleep 600' &
         echo started; sleep 600; sleep 600",
    );
    step.timeout = Some(Duration::from_secs(2));
    step.grace = Duration::from_secs(1);
    let outcome = job.run_step(&step).await;
    assert_eq!(
        outcome.end.how,
        Ended::TimedOut {
            after: Duration::from_secs(2)
        }
    );
    assert_eq!(outcome.stdout(), "started\n");
    assert!(
        outcome.end.duration >= Duration::from_secs(2),
        "{:?}",
        outcome.end.duration
    );
    let left = job.run("ps -o pid,comm").await;
    assert_eq!(programs(&left.stdout()), ["ps", "sh", "shim"]);
    job.close().await;
    rig.assert_clean().await;
}

/// The programs of a `ps -o pid,comm`, sorted.
fn programs(ps: &str) -> Vec<&str> {
    let mut programs: Vec<&str> = ps
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().nth(1))
        .collect();
    programs.sort_unstable();
    programs
}

#[tokio::test]
async fn a_step_that_heeds_term_may_clean_up_within_its_grace() {
    let Some(rig) = Rig::for_test("grace").await else {
        return;
    };
    let mut job = rig.open(&rig.job(BUSYBOX)).await;
    let mut step = job.step("trap 'sleep 1; echo cleaned up; exit 3' TERM; echo started; while :; do sleep 0.1; done");
    step.timeout = Some(Duration::from_secs(1));
    let outcome = job.run_step(&step).await;
    assert_eq!(
        outcome.end.how,
        Ended::TimedOut {
            after: Duration::from_secs(1)
        }
    );
    assert_eq!(outcome.stdout(), "started\ncleaned up\n");
    assert!(outcome.end.duration < step.grace, "{:?}", outcome.end.duration);
    job.close().await;
}

#[tokio::test]
async fn a_cancel_ends_a_step_politely_and_a_second_one_at_once() {
    let Some(rig) = Rig::for_test("cancel").await else {
        return;
    };
    let mut job = rig.open(&rig.job(BUSYBOX)).await;

    let step = job.step("trap 'echo told; exit 0' TERM; echo started; while :; do sleep 0.1; done");
    let (stop, log) = (Stop::new(), Log::default());
    let asking = async {
        log.shows("started").await;
        stop.ask();
    };
    let (end, ()) = tokio::join!(job.try_run(&step, &log, &stop), asking);
    assert_eq!(end.expect("an end").how, Ended::Cancelled);
    assert_eq!(log.text(Stream::Stdout), "started\ntold\n");

    let mut step = job.step("trap 'echo told' TERM; echo started; while :; do sleep 0.1; done");
    step.grace = Duration::from_secs(600);
    let (stop, log) = (Stop::new(), Log::default());
    let insisting = async {
        log.shows("started").await;
        stop.ask();
        log.shows("told").await;
        stop.force();
    };
    let (end, ()) = tokio::join!(job.try_run(&step, &log, &stop), insisting);
    assert_eq!(end.expect("an end").how, Ended::Cancelled);

    let stop = Stop::new();
    stop.ask();
    let step = job.step("echo never");
    let outcome = job.run_until(&step, &stop).await;
    assert_eq!(
        (outcome.end.how, outcome.log.text(Stream::Stdout)),
        (Ended::Cancelled, String::new())
    );

    assert_eq!(job.run("echo the job goes on").await.stdout(), "the job goes on\n");
    job.close().await;
    rig.assert_clean().await;
}

#[tokio::test]
async fn a_server_in_the_background_lives_on_into_the_next_step_and_holds_nothing_up() {
    let Some(rig) = Rig::for_test("background").await else {
        return;
    };
    let mut job = rig.open(&rig.job(BUSYBOX)).await;
    // It holds the step's stdout open for good.
    let first = job
        .run("mkfifo /tmp/ask; (while read line < /tmp/ask; do echo \"served $line\"; done) & echo on")
        .await;
    assert_eq!(
        (first.end.how, first.log.text(Stream::Stdout)),
        (Ended::Exited(0), "on\n".into())
    );
    assert!(first.end.duration < Duration::from_secs(5), "{:?}", first.end.duration);
    let second = job
        .run("echo tea > /tmp/ask; until [ -e /tmp/done ]; do sleep 0.1; touch /tmp/done; done; sleep 0.3")
        .await;
    assert_eq!(
        (second.end.how, second.log.text(Stream::Stdout)),
        (Ended::Exited(0), "served tea\n".into())
    );
    job.close().await;
    rig.assert_clean().await;
}

#[tokio::test]
async fn what_a_pipe_still_holds_when_its_step_ends_is_not_lost() {
    let Some(rig) = Rig::for_test("last-words").await else {
        return;
    };
    let mut job = rig.open(&rig.job(BUSYBOX)).await;
    for _ in 0..20 {
        let outcome = job
            .run("(sleep 0.02; echo late) & sleep 60 & printf '%0200000d' 0; exit 5")
            .await;
        assert_eq!(outcome.end.how, Ended::Exited(5));
        let stdout = outcome.log.text(Stream::Stdout);
        assert!(stdout.starts_with(&"0".repeat(200_000)), "{} bytes", stdout.len());
        assert!(stdout.ends_with("late\n"));
        job.run("killall sleep").await;
    }
    job.close().await;
}

#[tokio::test]
async fn orphans_are_reaped() {
    let Some(rig) = Rig::for_test("orphans").await else {
        return;
    };
    let mut job = rig.open(&rig.job(BUSYBOX)).await;
    let made = job
        .run("for n in $(seq 200); do (sh -c 'sleep 0.05 & exit 0' &) ; done; sleep 1")
        .await;
    assert_eq!(made.end.how, Ended::Exited(0));
    let left = job.run("ps -o pid,stat,comm | grep -c ' Z' || true").await;
    assert_eq!(left.stdout(), "0\n");
    job.close().await;
}

#[tokio::test]
async fn a_step_cannot_end_its_own_pid_1() {
    let Some(rig) = Rig::for_test("pid-1").await else {
        return;
    };
    let mut job = rig.open(&rig.job(BUSYBOX)).await;
    let outcome = job
        .run("for signal in 1 2 9 15 17; do kill -$signal 1; done; sleep 0.2; echo alive")
        .await;
    assert_eq!(
        (outcome.end.how, outcome.log.text(Stream::Stdout)),
        (Ended::Exited(0), "alive\n".into())
    );
    let forged = job.run("echo forged > /proc/1/fd/1").await;
    assert!(
        matches!(forged.end.how, Ended::Exited(code) if code != 0),
        "{:?}: {}",
        forged.end,
        forged.stdout()
    );
    let read = job.run("cat /proc/1/environ").await;
    assert!(
        matches!(read.end.how, Ended::Exited(code) if code != 0),
        "{:?}: {}",
        read.end,
        read.stdout()
    );
    job.close().await;
}

#[tokio::test]
async fn a_fork_bomb_ends_with_its_step_and_the_job_goes_on() {
    let Some(rig) = Rig::for_test("fork-bomb").await else {
        return;
    };
    let mut spec = rig.job(BUSYBOX);
    spec.limits.pids = 64;
    let mut job = rig.open(&spec).await;
    let mut step = job.step("bomb() { bomb | bomb & }; bomb; sleep 600");
    step.timeout = Some(Duration::from_secs(2));
    step.grace = Duration::from_millis(200);
    let outcome = job.run_step(&step).await;
    assert!(
        matches!(outcome.end.how, Ended::TimedOut { .. } | Ended::Exited(_)),
        "{:?}",
        outcome.end
    );
    let next = job.run("echo quiet").await;
    assert_eq!(
        (next.end.how, next.log.text(Stream::Stdout)),
        (Ended::Exited(0), "quiet\n".into())
    );
    job.close().await;
    rig.assert_clean().await;
}

#[tokio::test]
async fn a_step_that_cannot_start_says_what_is_missing() {
    let Some(rig) = Rig::for_test("cannot-start").await else {
        return;
    };
    let mut job = rig.open(&rig.job(BUSYBOX)).await;
    let mut said = Vec::new();

    let mut step = job.step("true");
    step.program = Program::Script {
        shell: Shell::Command(vec!["zsh".into(), "-e".into(), "{0}".into()]),
        text: "true".into(),
    };
    said.push(job.run_step(&step).await.end.how);
    let mut step = job.step("true");
    step.dir = Some("no/such/dir".into());
    said.push(job.run_step(&step).await.end.how);
    job.run("printf 'no program' > /tmp/odd; chmod +x /tmp/odd").await;
    let mut step = job.step("");
    step.program = Program::Image {
        entrypoint: Some(vec!["/tmp/odd".into()]),
        args: None,
    };
    said.push(job.run_step(&step).await.end.how);
    let mut step = job.step("");
    step.program = Program::Image {
        entrypoint: Some(vec!["/bin/no".into()]),
        args: None,
    };
    said.push(job.run_step(&step).await.end.how);

    let said: Vec<String> = said.iter().map(|how| format!("{how:?}")).collect();
    insta::assert_snapshot!(said.join("\n"), @r#"
    CannotStart("the image has no program `zsh`; install it, or name one by its path")
    CannotStart("cannot enter directory `/workspace/no/such/dir`: No such file or directory; a step's `dir:` must exist when the step starts")
    CannotStart("cannot execute `/tmp/odd`: Exec format error; is it made for this machine's architecture, and is its interpreter there?")
    CannotStart("the image has no program `/bin/no`")
    "#);
    assert_eq!(job.run("echo the job goes on").await.stdout(), "the job goes on\n");
    job.close().await;
}

#[tokio::test]
async fn a_container_that_is_killed_from_outside_is_the_machines_fault() {
    let Some(rig) = Rig::for_test("killed").await else {
        return;
    };
    let mut job = rig.open(&rig.job(BUSYBOX)).await;
    let step = job.step("echo started; sleep 600");
    let log = Log::default();
    let killing = async {
        log.shows("started").await;
        for container in rig.containers().await {
            rig.daemon.docker.kill_container(&container, None).await.ok();
        }
    };
    let stop = Stop::new();
    let (end, ()) = tokio::join!(job.try_run(&step, &log, &stop), killing);
    let error = end.expect_err("the container is gone");
    assert_eq!(error.blame(), drydock::executor::Blame::Machine);
    insta::assert_snapshot!(error.chain(), @"the connection to the job's container was lost: the container ended with status 137: it was stopped from outside, or the engine was");
    job.close().await;
    rig.assert_clean().await;
}
