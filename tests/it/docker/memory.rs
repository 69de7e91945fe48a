//! Running out of memory is said to be that, for the step that did, and what a step used is told.

use drydock::executor::Ended;

use super::rig::*;

const HOG: &str = "awk 'BEGIN { text = \"0123456789\"; while (1) text = text text }'";

async fn small_job(rig: &Rig) -> Job {
    let mut spec = rig.job(BUSYBOX);
    spec.limits.memory_bytes = Some(48 * 1024 * 1024);
    rig.open(&spec).await
}

#[tokio::test]
async fn a_step_killed_for_memory_is_out_of_memory_and_the_next_one_is_not() {
    let Some(rig) = Rig::for_test("oom").await else { return };
    let mut job = small_job(&rig).await;
    assert_eq!(job.run("exit 137").await.end.how, Ended::Exited(137));
    assert_eq!(job.run(&format!("exec {HOG}")).await.end.how, Ended::OutOfMemory);
    assert_eq!(job.run(HOG).await.end.how, Ended::OutOfMemory);
    assert_eq!(job.run("exit 1").await.end.how, Ended::Exited(1));
    assert_eq!(job.run("kill -9 $$; sleep 1").await.end.how, Ended::Signalled(9));
    job.close().await;
    rig.assert_clean().await;
}

#[tokio::test]
async fn a_step_that_succeeds_though_a_child_was_killed_for_memory_says_so() {
    let Some(rig) = Rig::for_test("oom-child").await else {
        return;
    };
    let mut job = small_job(&rig).await;
    let outcome = job.run(&format!("{HOG} || true; echo went on")).await;
    assert_eq!(outcome.end.how, Ended::Exited(0));
    assert_eq!(outcome.stdout(), "went on\n");
    insta::assert_snapshot!(outcome.said(), @"the kernel killed a process of this step for the job's memory limit, though the step succeeded");
    job.close().await;
}

#[tokio::test]
async fn time_and_memory_of_a_step_count_its_children() {
    let Some(rig) = Rig::for_test("usage").await else {
        return;
    };
    let mut job = rig.open(&rig.job(BUSYBOX)).await;
    let idle = job.run("sleep 0.5").await.end;
    assert!(idle.cpu.as_millis() < 250, "{:?}", idle.cpu);
    assert!(idle.duration.as_millis() >= 500, "{:?}", idle.duration);
    let busy = job
        .run("sh -c 'awk \"BEGIN { for (n = 0; n < 3000000; n++) sum += n }\"'")
        .await
        .end;
    assert!(busy.cpu.as_millis() > 100, "{:?}", busy.cpu);
    let large = job
        .run("sh -c 'head -c 60000000 /dev/zero | tail -c 50000000 | wc -c'")
        .await
        .end;
    assert!(large.max_rss_bytes > 40_000_000, "{}", large.max_rss_bytes);
    assert!(idle.max_rss_bytes < 20_000_000, "{}", idle.max_rss_bytes);
    job.close().await;
}
