//! Jobs do not meet, nothing of a job is left, and nobody else's things are touched.

use drydock::executor::{Ended, Executor, ExecutorError};
use drydock::stop::Stop;

use super::rig::*;

#[tokio::test]
async fn two_jobs_share_no_network_no_files_and_no_processes() {
    let Some(rig) = Rig::for_test("apart").await else {
        return;
    };
    let (mut one, mut two) = (rig.job(BUSYBOX), rig.job(BUSYBOX));
    one.place.job = "one".into();
    two.place.job = "two".into();
    let mut db = service("db", BUSYBOX);
    let serve = "mkdir /www; echo here > /www/index.html; exec httpd -f -p 99 -h /www";
    db.command = Some(vec!["sh".into(), "-c".into(), serve.into()]);
    db.ready = Some("wget -qO /dev/null http://127.0.0.1:99/".into());
    one.services = vec![db];
    let (mut one, mut two) = tokio::join!(rig.open(&one), rig.open(&two));
    let script = "wget -qO- http://db:99/; echo mine > mine; sleep 600 &
                  nslookup db | awk '/^Address/ { last = $NF } END { print last }'; hostname -i; mkdir /www; echo here > /www/index.html; httpd -p 98 -h /www";
    let outcome = one.run(script).await;
    let stdout = outcome.stdout();
    let [_, service, job] = stdout.split_whitespace().collect::<Vec<_>>()[..] else {
        panic!("{stdout}{}", outcome.stderr())
    };
    let at_home = one
        .run(&format!("wget -qO- http://{job}:98/ http://{service}:99/"))
        .await;
    assert_eq!(at_home.stdout(), "here\nhere\n", "{}", at_home.stderr());
    let script = format!(
        "set +e; ls -A; ps -o comm | grep -c sleep
         wget -T 2 -qO- http://db:99/; wget -T 2 -qO- http://{service}:99/; wget -T 2 -qO- http://{job}:98/; true"
    );
    let away = two.run(&script).await;
    assert_eq!(away.stdout(), "0\n", "{}", away.stderr());
    one.close().await;
    two.close().await;
    rig.assert_clean().await;
}

#[tokio::test]
async fn a_network_is_used_again_only_when_its_job_has_left_it() {
    let Some(rig) = Rig::for_test("networks").await else {
        return;
    };
    rig.executor.keep_ready(2).await;
    let networks = || async {
        let mut names: Vec<String> = rig
            .daemon
            .leftovers()
            .await
            .into_iter()
            .filter(|name| name.starts_with("network "))
            .collect();
        names.sort();
        names
    };
    let ready = networks().await;
    assert_eq!(ready.len(), 2);
    for attempt in 1..=3 {
        let (mut one, mut two) = (rig.job(BUSYBOX), rig.job(BUSYBOX));
        (one.place.job, one.place.attempt) = ("one".into(), attempt);
        (two.place.job, two.place.attempt) = ("two".into(), attempt);
        let (mut one, two) = tokio::join!(rig.open(&one), rig.open(&two));
        assert_eq!(one.run("ip -o -4 addr show eth0 | wc -l").await.stdout(), "1\n");
        one.close().await;
        two.close().await;
    }
    // However quickly jobs follow one another, a network more at most stands for each that was not left yet.
    assert!(ready.iter().all(|name| !name.is_empty()));
    rig.assert_clean().await;
    assert_eq!(networks().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_job_that_does_not_open_leaves_nothing() {
    let Some(rig) = Rig::for_test("undone").await else {
        return;
    };
    let mut spec = rig.job("drydock-test/no-such-image:latest");
    spec.workspace = drydock::executor::Workspace::Copy(Files::of(&[("a", "b")]));
    spec.services = vec![service("db", BUSYBOX)];
    spec.services[0].command = Some(vec!["sleep".into(), "600".into()]);
    let Err(error) = rig.try_open(&spec).await else {
        panic!("it opened")
    };
    assert!(matches!(error, ExecutorError::Pull { .. }), "{}", error.chain());
    rig.assert_clean().await;
}

#[tokio::test]
async fn a_job_stopped_while_it_opens_leaves_nothing() {
    let Some(rig) = Rig::for_test("stopped").await else {
        return;
    };
    let mut spec = rig.job(BUSYBOX);
    spec.services = vec![service("db", BUSYBOX)];
    spec.services[0].command = Some(vec!["sleep".into(), "600".into()]);
    spec.services[0].ready = Some("false".into());
    let (stop, log) = (Stop::new(), Log::default());
    let stopping = async {
        while rig.containers().await.is_empty() {
            tokio::task::yield_now().await;
        }
        stop.ask();
    };
    let (opened, ()) = tokio::join!(rig.executor.open(&spec, &log, &stop), stopping);
    assert!(matches!(opened.map(drop), Err(ExecutorError::Stopped)));
    rig.assert_clean().await;
}

#[tokio::test]
async fn a_tree_that_cannot_be_read_opens_no_job_and_leaves_nothing() {
    struct Broken;
    impl drydock::tree::Tree for Broken {
        fn paths(&self) -> std::io::Result<Vec<String>> {
            Ok(vec![])
        }
        fn open(&self, _path: &str) -> std::io::Result<Option<Box<dyn std::io::Read + Send>>> {
            Ok(None)
        }
        fn write_tar(&self, _wanted: &dyn Fn(&str) -> bool, out: &mut dyn std::io::Write) -> std::io::Result<()> {
            out.write_all(&[0; 300])?;
            Err(std::io::Error::other("object 1234 is missing"))
        }
    }
    let Some(rig) = Rig::for_test("broken-tree").await else {
        return;
    };
    let mut spec = rig.job(BUSYBOX);
    spec.workspace = drydock::executor::Workspace::Copy(std::sync::Arc::new(Broken));
    let Err(error) = rig.try_open(&spec).await else {
        panic!("it opened")
    };
    insta::assert_snapshot!(error.chain(), @"cannot fill the workspace: object 1234 is missing");
    rig.assert_clean().await;
}

#[tokio::test]
async fn a_job_can_be_opened_again_over_what_a_crash_left() {
    let Some(rig) = Rig::for_test("crash").await else {
        return;
    };
    let mut lost = rig.open(&rig.job(BUSYBOX)).await;
    lost.run("echo left > left; sleep 600 &").await;
    // The process dies: nothing is closed.
    std::mem::forget(lost);
    let rig = rig.restarted().await;
    let swept = rig.executor.sweep(&rig.daemon.server, &[1]).await.expect("a sweep");
    assert_eq!(swept, Vec::<String>::new(), "pipeline 1 is alive");
    let mut job = rig.open(&rig.job(BUSYBOX)).await;
    assert_eq!(job.run("ls -A").await.stdout(), "");
    job.close().await;
    rig.executor.sweep(&rig.daemon.server, &[]).await.expect("a sweep");
    rig.assert_clean().await;
}

#[tokio::test]
async fn a_sweep_takes_the_dead_pipelines_of_its_own_server_only() {
    let Some(rig) = Rig::for_test("sweep").await else {
        return;
    };
    let Some(other) = Rig::for_test("sweep-other").await else {
        return;
    };
    let mut alive = rig.job(BUSYBOX);
    alive.place.pipeline = 2;
    let (dead, mut alive, mut foreign) = (
        rig.open(&rig.job(BUSYBOX)).await,
        rig.open(&alive).await,
        other.open(&other.job(BUSYBOX)).await,
    );
    std::mem::forget(dead);
    let swept = rig.executor.sweep(&rig.daemon.server, &[2]).await.expect("a sweep");
    let kinds: Vec<&str> = swept.iter().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(kinds, ["container", "volume"], "{swept:?}");
    for job in [&mut alive, &mut foreign] {
        assert_eq!(job.run("true").await.end.how, Ended::Exited(0));
    }
    // As another process of the same server would, which knows nothing of what this one holds.
    alive.close().await;
    rig.executor.settle().await.expect("all is removed");
    let Some(second) = Rig::for_test("sweep-second").await else {
        return;
    };
    second.executor.sweep(&rig.daemon.server, &[]).await.expect("a sweep");
    assert_eq!(rig.daemon.leftovers().await, Vec::<String>::new());
    foreign.close().await;
    other.assert_clean().await;
}
