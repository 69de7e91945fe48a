//! What steps print arrives byte for byte, however much it is and however slowly it is read.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use drydock::executor::{Ended, LogSink, Stream};
use drydock::stop::Stop;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use super::rig::*;

#[tokio::test]
async fn every_byte_arrives_as_it_was_written() {
    let Some(rig) = Rig::for_test("bytes").await else {
        return;
    };
    let mut job = rig.open(&rig.job(BUSYBOX)).await;
    let every: Vec<u8> = (0..=255).collect();
    let octal: String = every.iter().map(|byte| format!("\\{byte:03o}")).collect();
    let cases: [(&str, Vec<u8>); 6] = [
        ("true", vec![]),
        ("printf x", b"x".to_vec()),
        ("printf '\\n\\n'", b"\n\n".to_vec()),
        (&format!("printf '{octal}'"), every.clone()),
        ("printf 'a\\0b\\377\\r\\n\\303\\050'", b"a\0b\xff\r\n\xc3\x28".to_vec()),
        ("head -c 100000 /dev/zero", vec![0; 100_000]),
    ];
    for (script, expected) in cases {
        let outcome = job.run(script).await;
        assert_eq!(outcome.end.how, Ended::Exited(0));
        assert_eq!(outcome.log.bytes(Stream::Stdout), expected, "{script}");
        let outcome = job.run(&format!("({script}) >&2")).await;
        assert_eq!(outcome.log.bytes(Stream::Stderr), expected, "{script}");
        assert_eq!(outcome.stdout(), "");
    }
    job.close().await;
}

/// Counts and hashes; keeps nothing.
#[derive(Default)]
struct Digesting {
    hash: Mutex<Sha256>,
    bytes: AtomicU64,
}

#[async_trait]
impl LogSink for Digesting {
    async fn write(&self, _stream: Stream, bytes: Bytes) {
        self.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.hash.lock().expect("no panic while hashing").update(&bytes);
    }
}

async fn digest_of(job: &mut Job, script: &str) -> (u64, String) {
    let step = job.step(script);
    let log = Digesting::default();
    let end = job.try_run(&step, &log, &Stop::new()).await.expect("an end");
    assert_eq!(end.how, Ended::Exited(0));
    let hash = log.hash.into_inner().expect("no panic while hashing").finalize();
    (log.bytes.into_inner(), hex::encode(hash))
}

#[tokio::test]
async fn fifty_megabytes_of_lines_arrive_whole_and_in_order() {
    let Some(rig) = Rig::for_test("lines").await else {
        return;
    };
    let mut job = rig.open(&rig.job(BUSYBOX)).await;
    let line = |n: u64| format!("{n:>8} the quick brown fox jumps over the lazy dog\n");
    let mut expected = Sha256::new();
    let mut bytes = 0;
    for n in 1..=1_000_000 {
        let line = line(n);
        expected.update(&line);
        bytes += line.len() as u64;
    }
    let script = "awk 'BEGIN { for (n = 1; n <= 1000000; n++) printf \"%8d the quick brown fox jumps over the lazy dog\\n\", n }'";
    assert_eq!(
        digest_of(&mut job, script).await,
        (bytes, hex::encode(expected.finalize()))
    );
    job.close().await;
}

#[tokio::test]
async fn one_long_line_arrives_whole() {
    let Some(rig) = Rig::for_test("long-line").await else {
        return;
    };
    let mut job = rig.open(&rig.job(BUSYBOX)).await;
    let bytes: u64 = 64 * 1024 * 1024;
    let expected = hex::encode(Sha256::digest(vec![0u8; bytes as usize]));
    let script = format!("head -c {bytes} /dev/zero");
    assert_eq!(digest_of(&mut job, &script).await, (bytes, expected));
    job.close().await;
}

/// Takes nothing until it is told to.
struct Stuck {
    open: Semaphore,
    bytes: AtomicU64,
}

#[async_trait]
impl LogSink for Stuck {
    async fn write(&self, _stream: Stream, bytes: Bytes) {
        let _permit = self.open.acquire().await.expect("never closed");
        self.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn a_reader_that_does_not_read_holds_the_step_back_and_memory_stays_flat() {
    let Some(rig) = Rig::for_test("backpressure").await else {
        return;
    };
    let mut job = rig.open(&rig.job(BUSYBOX)).await;
    let bytes: u64 = 300 * 1024 * 1024;
    let step = job.step(&format!("head -c {bytes} /dev/zero; echo done >&2"));
    let log = Stuck {
        open: Semaphore::new(0),
        bytes: AtomicU64::new(0),
    };
    let before = resident_bytes();
    let stop = Stop::new();
    let end = {
        let mut running = std::pin::pin!(job.try_run(&step, &log, &stop));
        // Long enough to have it all, were it taken.
        let ended = tokio::time::timeout(std::time::Duration::from_secs(3), &mut running).await;
        assert!(ended.is_err(), "the step ended though nobody read");
        assert_eq!(log.bytes.load(Ordering::Relaxed), 0);
        log.open.add_permits(1);
        running.await.expect("an end")
    };
    assert_eq!(end.how, Ended::Exited(0));
    assert_eq!(log.bytes.load(Ordering::Relaxed), bytes + 5);
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 100 * 1024 * 1024, "{grown} bytes more than before");
    let shim = job.run("awk '/VmHWM/ { print $2 }' /proc/1/status").await.stdout();
    let kilobytes: u64 = shim.trim().parse().expect("a number");
    assert!(kilobytes < 8 * 1024, "the shim took {kilobytes} kB");
    job.close().await;
}

/// Of this process. Other tests run beside this one, so only large differences mean something.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .expect("a resident set");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

/// The seam for taking a job up again after a restart: whatever was said can be read from the log, exactly.
#[tokio::test]
async fn the_containers_log_holds_every_frame_exactly() {
    use bollard::query_parameters::LogsOptionsBuilder;
    use drydock::shim::wire::{Body, FRAME_BYTES_MAX, Frame, Unframed, Unframer};
    use futures_util::StreamExt;

    let Some(rig) = Rig::for_test("log").await else { return };
    let mut job = rig.open(&rig.job(BUSYBOX)).await;
    let outcome = job.run("head -c 3000000 /dev/urandom; seq 100000; printf end").await;
    let [container] = &rig.containers().await[..] else {
        panic!("one container")
    };
    let options = LogsOptionsBuilder::default().stdout(true).build();
    let mut log = rig.daemon.docker.logs(container, Some(options));
    let mut unframer = Unframer::new(FRAME_BYTES_MAX);
    let (mut printed, mut ended, mut next_seq) = (Vec::new(), None, 0);
    while let Some(piece) = log.next().await {
        unframer.push(piece.expect("a readable log").as_ref());
        while let Some(unframed) = unframer.next_frame() {
            let Unframed::Frame(bytes) = unframed else {
                panic!("{unframed:?}")
            };
            let frame = Frame::decode(&bytes).expect("a frame");
            assert_eq!(frame.seq, next_seq);
            next_seq += 1;
            match frame.body {
                Body::Output { bytes, .. } => printed.extend(bytes),
                Body::Ended(how) => ended = Some(how),
                Body::Ready { .. }
                | Body::Started { .. }
                | Body::FilePart { .. }
                | Body::FileEnd { .. }
                | Body::Unpacked { .. }
                | Body::Refused { .. } => {}
            }
        }
    }
    assert!(printed == outcome.log.bytes(Stream::Stdout), "{} bytes", printed.len());
    assert!(ended.is_some());
    job.close().await;
}
