//! Services: ready before the first step, reached by name, and loud when they are not well.

use std::time::Duration;

use drydock::executor::{Ended, Stream};

use super::rig::*;

#[tokio::test]
async fn a_database_answers_the_first_step_by_name() {
    let Some(rig) = Rig::for_test("postgres").await else {
        return;
    };
    let mut spec = rig.job("drydock-test/postgres:latest");
    let mut db = service("db", "drydock-test/postgres:latest");
    db.env = vec![("POSTGRES_PASSWORD".into(), "ci".into())];
    db.ready = Some("pg_isready -U postgres -h 127.0.0.1".into());
    spec.services = vec![db];
    let mut job = rig.open(&spec).await;
    let mut step = job.step("psql -h db -U postgres -Atc 'select 6 * 7'");
    step.env = vec![("PGPASSWORD".into(), "ci".into())];
    let outcome = job.run_step(&step).await;
    assert_eq!(
        (outcome.end.how.clone(), outcome.stdout()),
        (Ended::Exited(0), "42\n".into()),
        "{}",
        outcome.stderr()
    );
    let opening = job.opening.text(Stream::System);
    assert!(opening.starts_with("service `db` is ready after "), "{opening}");
    job.close().await;
    rig.assert_clean().await;
}

#[tokio::test]
async fn without_a_command_a_service_is_ready_when_a_port_it_exposes_accepts() {
    let Some(rig) = Rig::for_test("ports").await else {
        return;
    };
    let lines = [
        "EXPOSE 1 8080",
        "CMD [\"sh\", \"-c\", \"mkdir /www; echo hello > /www/index.html; sleep 1; exec httpd -f -p 8080 -h /www\"]",
    ];
    let image = rig.image_from("ports", BUSYBOX, &lines).await;
    let mut spec = rig.job(BUSYBOX);
    spec.services = vec![service("web", &image), service("other", &image)];
    let mut job = rig.open(&spec).await;
    let outcome = job.run("wget -qO- http://web:8080/ http://other:8080/").await;
    assert_eq!(outcome.stdout(), "hello\nhello\n", "{}", outcome.stderr());
    job.close().await;
    rig.assert_clean().await;
}

#[tokio::test]
async fn an_images_healthcheck_decides_and_is_asked_often() {
    let Some(rig) = Rig::for_test("health").await else {
        return;
    };
    let lines = [
        "HEALTHCHECK --interval=1h CMD test -e /tmp/well",
        "CMD [\"sh\", \"-c\", \"sleep 1; touch /tmp/well; sleep 600\"]",
    ];
    let image = rig.image_from("health", BUSYBOX, &lines).await;
    let mut spec = rig.job(BUSYBOX);
    spec.services = vec![service("well", &image)];
    // Long before its own interval.
    let job = tokio::time::timeout(Duration::from_secs(60), rig.open(&spec))
        .await
        .expect("ready soon");
    job.close().await;
    rig.assert_clean().await;
}

async fn refusal(rig: &Rig, change: impl FnOnce(&mut drydock::executor::ServiceSpec)) -> String {
    let mut spec = rig.job(BUSYBOX);
    let mut db = service("db", BUSYBOX);
    change(&mut db);
    spec.services = vec![service("fine", BUSYBOX), db];
    spec.services[0].command = Some(vec!["sleep".into(), "600".into()]);
    let Err(error) = rig.try_open(&spec).await else {
        panic!("the job opened")
    };
    rig.assert_clean().await;
    error.chain()
}

fn shell(script: &str) -> Option<Vec<String>> {
    Some(vec!["sh".into(), "-c".into(), script.into()])
}

#[tokio::test]
async fn a_service_that_is_not_ready_is_said_why_with_its_last_lines() {
    let Some(rig) = Rig::for_test("not-ready").await else {
        return;
    };
    let died = refusal(&rig, |db| {
        db.command = shell("for n in $(seq 30); do echo line $n; done; echo no licence; exit 3");
        db.ready = Some("false".into());
    });
    insta::assert_snapshot!(died.await, @r"
    service `db`, asked for at ci.yml:7:5, did not become ready: it ended with status 3; its last lines:
      line 12
      line 13
      line 14
      line 15
      line 16
      line 17
      line 18
      line 19
      line 20
      line 21
      line 22
      line 23
      line 24
      line 25
      line 26
      line 27
      line 28
      line 29
      line 30
      no licence
    ");
    let never = refusal(&rig, |db| {
        db.command = shell("echo waiting for a licence; sleep 600");
        db.ready = Some("echo not yet; false".into());
        db.ready_within = Duration::from_secs(2);
    });
    insta::assert_snapshot!(never.await, @"
    service `db`, asked for at ci.yml:7:5, did not become ready: `sh -c echo not yet; false` did not succeed within 2 s; it last said: not yet; its last lines:
      waiting for a licence
    ");
    let image = rig
        .image_from("deaf", BUSYBOX, &["EXPOSE 5432", "CMD [\"sleep\", \"600\"]"])
        .await;
    let deaf = refusal(&rig, |db| {
        db.image = image;
        db.ready_within = Duration::from_secs(2);
    });
    insta::assert_snapshot!(deaf.await, @"service `db`, asked for at ci.yml:7:5, did not become ready: no port it exposes (5432) accepts connections within 2 s; it printed nothing");
}

#[tokio::test]
async fn a_service_that_dies_during_a_step_is_said_to() {
    let Some(rig) = Rig::for_test("dies").await else { return };
    let mut spec = rig.job(BUSYBOX);
    let mut db = service("db", BUSYBOX);
    db.command = shell("nc -l -p 99; echo cannot go on; exit 7");
    spec.services = vec![db];
    let mut job = rig.open(&spec).await;
    let outcome = job
        .run("until echo bye | nc -w 1 db 99; do sleep 0.1; done; sleep 2")
        .await;
    assert_eq!(outcome.end.how, Ended::Exited(0), "{}", outcome.stderr());
    insta::assert_snapshot!(outcome.said(), @"
    service `db` ended with status 7; its last lines:
      bye
      cannot go on
    ");
    job.close().await;
    rig.assert_clean().await;
}
