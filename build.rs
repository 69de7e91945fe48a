//! Compiles the shim (`src/shim/`), the static program that is PID 1 in a job container, for the library to embed.

use std::env;
use std::path::PathBuf;
use std::process::Command;

const SOURCES: [&str; 9] = [
    "answer",
    "main",
    "oom",
    "probe",
    "start",
    "supervise",
    "sys",
    "unpack",
    "wire",
];

fn main() {
    let variable = |name: &str| env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"));
    let home = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    for source in SOURCES {
        println!("cargo::rerun-if-changed=src/shim/{source}.rs");
    }
    println!("cargo::rerun-if-changed=build.rs");

    let output = PathBuf::from(variable("OUT_DIR")).join("drydock-shim");
    let status = Command::new(variable("RUSTC"))
        .args([
            "--edition",
            "2024",
            "--crate-type",
            "bin",
            "--crate-name",
            "drydock_shim",
        ])
        .args(["--target", &variable("TARGET")])
        .args([
            "-C",
            "target-feature=+crt-static",
            "-C",
            "opt-level=s",
            "-C",
            "codegen-units=1",
        ])
        .args(["-C", "panic=abort", "-C", "strip=symbols", "-D", "warnings"])
        .arg(format!("--remap-path-prefix={}=drydock", home.display()))
        .arg("-o")
        .arg(&output)
        .arg(home.join("src/shim/main.rs"))
        .status();
    match status {
        Ok(status) if status.success() => {}
        Ok(status) => panic!("the shim does not compile ({status}); a static C library (libc6-dev or musl) is needed"),
        Err(error) => panic!("cannot run the compiler for the shim: {error}"),
    }
}
