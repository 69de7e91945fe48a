//! The shim: PID 1 of a job container. A static program of its own, compiled by `build.rs` and embedded in Drydock.
//!
//! It takes steps over stdin, runs each in a session of its own, and frames what they print to stdout, with how they
//! ended (`wire.rs` says how). It outlives its server: while none is attached the step goes on, and everything it
//! answered stands in the container's log. It knows nothing of pipelines, images or Docker; `std` and libc only.

mod answer;
mod oom;
mod probe;
mod start;
mod supervise;
mod sys;
mod unpack;
#[allow(
    dead_code,
    reason = "the server's half of the protocol; the library compiles the same file"
)]
mod wire;

use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args_os()
        .skip(1)
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    match words.first().map(String::as_str) {
        Some("probe") => probe::run(&words[1..]),
        // Ending a step means a signal to every process there is: only ever inside a container.
        _ if std::process::id() != 1 => {
            eprintln!("this is Drydock's PID 1 for job containers; it does nothing elsewhere");
            ExitCode::from(2)
        }
        _ => supervise::run(),
    }
}
