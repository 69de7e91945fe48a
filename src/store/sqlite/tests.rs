#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::store::suite::{self, HandClock};
use crate::store::{AddedBy, Begin};

async fn open(path: &Path) -> Stored<SqliteStore> {
    SqliteStore::open(path, HandClock::new()).await
}

fn new_repo() -> NewRepo {
    NewRepo {
        forge: ForgeKind::GitHub,
        name: "o/web".into(),
        clone_url: None,
        default_branch: None,
        webhook_secret: Some(b"sealed".to_vec()),
        dialect: None,
        added_by: AddedBy::Person,
    }
}

fn arrival(repo: u64, delivery: &str) -> NewPipeline {
    NewPipeline {
        repo,
        trigger: Arc::new(suite::push("o/web", 'a')),
        delivery: Some(delivery.to_owned()),
        begin: Begin::Queued,
        rerun_of: None,
        status: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_keeps_every_promise() {
    let dir = tempfile::tempdir().unwrap();
    let nth = std::sync::atomic::AtomicU32::new(0);
    suite::every_promise(|clock| {
        let name = format!("{}.db", nth.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        let path = dir.path().join(name);
        async move { SqliteStore::open(&path, clock).await.unwrap() }
    })
    .await;
}

#[tokio::test]
async fn what_was_stored_is_there_after_a_new_start() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("d.db");
    let store = open(&path).await.unwrap();
    let repo = store.put_repo(&new_repo()).await.unwrap();
    assert_eq!(store.enqueue(&arrival(repo.id, "d")).await.unwrap(), Enqueued::New(1));
    // As after a kill: nothing is closed.
    std::mem::forget(store);
    let store = open(&path).await.unwrap();
    assert_eq!(store.repos().await.unwrap(), std::slice::from_ref(&repo));
    assert_eq!(
        store.enqueue(&arrival(repo.id, "d")).await.unwrap(),
        Enqueued::SeenBefore(1)
    );
    assert_eq!(
        store
            .claim("r", Duration::from_secs(9))
            .await
            .unwrap()
            .unwrap()
            .pipeline,
        1
    );
}

#[tokio::test]
async fn a_database_that_is_damaged_or_newer_stops_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("d.db");
    std::fs::write(&path, vec![b'x'; 8192]).unwrap();
    let error = open(&path).await.err().unwrap().to_string();
    assert!(error.contains("file is not a database"), "{error}");

    let path = dir.path().join("newer.db");
    let store = open(&path).await.unwrap();
    let step = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'x', 1, x'00', 0)";
    let mut other: SqliteConnection = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
    sqlx::query(step).execute(&mut other).await.unwrap();
    drop(store);
    let error = open(&path).await.err().unwrap().to_string();
    assert!(error.contains("a newer Drydock made it"), "{error}");

    let error = open(&dir.path().join("no/such/folder.db"))
        .await
        .err()
        .unwrap()
        .to_string();
    assert!(error.starts_with("cannot open the database"), "{error}");
}

#[tokio::test]
async fn a_damaged_page_is_found_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("d.db");
    let store = open(&path).await.unwrap();
    let repo = store.put_repo(&new_repo()).await.unwrap();
    for nth in 0..50 {
        store.enqueue(&arrival(repo.id, &format!("d{nth}"))).await.unwrap();
    }
    let mut other: SqliteConnection = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
        .execute(&mut other)
        .await
        .unwrap();
    drop((other, store));
    let mut bytes = std::fs::read(&path).unwrap();
    for byte in bytes.iter_mut().skip(4096 * 2).step_by(97) {
        *byte ^= 0x5A;
    }
    std::fs::write(&path, bytes).unwrap();
    let _ = std::fs::remove_file(path.with_extension("db-wal"));
    let error = open(&path).await.err().unwrap().to_string();
    assert!(error.contains("cannot open the database"), "{error}");
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_ended_and_the_rest_of_the_queue_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("d.db");
    let store = open(&path).await.unwrap();
    let repo = store.put_repo(&new_repo()).await.unwrap();
    for nth in 0..3 {
        store.enqueue(&arrival(repo.id, &format!("d{nth}"))).await.unwrap();
    }
    let mut other: SqliteConnection = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
    sqlx::query("UPDATE pipelines SET trigger = x'0badc0de' WHERE id IN (1, 2)")
        .execute(&mut other)
        .await
        .unwrap();
    assert_eq!(
        store
            .claim("r", Duration::from_secs(9))
            .await
            .unwrap()
            .unwrap()
            .pipeline,
        3
    );
    let row = store.pipeline(1).await.unwrap().unwrap();
    assert_eq!(row.status, crate::engine::Status::Lost);
    assert!(row.why.unwrap().contains("cannot be read"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_lock_is_waited_for_and_then_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("d.db");
    let store = open(&path).await.unwrap();
    let repo = store.put_repo(&new_repo()).await.unwrap();
    let mut other: SqliteConnection = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.enqueue(&arrival(repo.id, "waits")).await }
    });
    // Reading goes on meanwhile.
    assert_eq!(store.repos().await.unwrap().len(), 1);
    sqlx::query("COMMIT").execute(&mut other).await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap(), Enqueued::New(1));
    // One that holds longer than the wait is told as such, and nothing is half written.
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let refused = store.enqueue(&arrival(repo.id, "refused")).await;
    assert!(matches!(refused, Err(StoreError::Busy { .. })), "{refused:?}");
    sqlx::query("COMMIT").execute(&mut other).await.unwrap();
    assert_eq!(
        store.enqueue(&arrival(repo.id, "refused")).await.unwrap(),
        Enqueued::New(2)
    );
}
