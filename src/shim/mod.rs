//! The shim: the static program that is PID 1 in a job container, and its wire protocol.
//!
//! `main.rs` and what it names are a program of their own: `build.rs` compiles it static, this module embeds it. Imports
//! nothing of Drydock and must not know Docker, plans or who uses it.

pub mod wire;

#[cfg(test)]
mod tests;

/// The program, for this machine's own architecture.
pub const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/drydock-shim"));

/// Where a job container finds it: the mount point of the shim's volume, and the file in it.
pub const HOME: &str = "/.drydock";
pub const PATH: &str = "/.drydock/shim";

/// Below this folder, in memory and never on disk, each step gets its files.
pub const RUN_HOME: &str = "/.drydock/run";

/// The architecture that [`PROGRAM`] runs on, in an engine's own word (`amd64`, `arm64`).
pub const ARCHITECTURE: &str = if cfg!(target_arch = "aarch64") {
    "arm64"
} else {
    "amd64"
};
