//! `shim probe NAME=ADDRESS:PORT[,ADDRESS:PORT...]...`: waits until of each name one address accepts a connection.
//!
//! Runs inside the job's network, where services are reached as the job will reach them. Prints a name as soon as it
//! accepts, ends when all do; whoever started it limits its time.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

const CONNECT_WITHIN: Duration = Duration::from_millis(500);
const BETWEEN_ROUNDS: Duration = Duration::from_millis(50);

pub fn run(words: &[String]) -> ExitCode {
    let mut waiting = Vec::new();
    for word in words {
        let parsed = word.split_once('=').and_then(|(name, addresses)| {
            let addresses: Result<Vec<SocketAddr>, _> = addresses.split(',').map(str::parse).collect();
            Some((name, addresses.ok()?))
        });
        let Some(target) = parsed else {
            eprintln!("`{word}` is not NAME=ADDRESS:PORT");
            return ExitCode::from(2);
        };
        waiting.push(target);
    }
    loop {
        waiting.retain(|(name, addresses)| {
            let accepts = addresses
                .iter()
                .any(|address| TcpStream::connect_timeout(address, CONNECT_WITHIN).is_ok());
            if accepts {
                println!("{name}");
                let _ = std::io::stdout().flush();
            }
            !accepts
        });
        if waiting.is_empty() {
            return ExitCode::SUCCESS;
        }
        sleep(BETWEEN_ROUNDS);
    }
}
