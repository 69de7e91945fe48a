use drydock::executor::Ended;

use super::rig::*;

#[tokio::test]
async fn a_step_runs_and_nothing_is_left() {
    let Some(rig) = Rig::for_test("smoke").await else {
        return;
    };
    let begun = std::time::Instant::now();
    let mut job = rig.open(&rig.job(BUSYBOX)).await;
    eprintln!("open {:?}", begun.elapsed());
    let outcome = job.run("echo hello; echo oops >&2; pwd; id").await;
    eprintln!("ran {:?}", begun.elapsed());
    eprintln!(
        "{:?} {} {} {}",
        outcome.end,
        outcome.stdout(),
        outcome.stderr(),
        outcome.said()
    );
    assert_eq!(outcome.end.how, Ended::Exited(0));
    job.close().await;
    rig.assert_clean().await;
    eprintln!("clean {:?}", begun.elapsed());
}
