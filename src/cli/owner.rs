//! The name under which a local run owns what it makes, so that `drydock clean` can tell a dead run's things from a living one's.

use std::fs;

use sha2::{Digest, Sha256};

const PREFIX: &str = "local";

/// A process of a machine: `local-MACHINE-PID-START`. `start` is the kernel's tick at which it began, so that a reused
/// pid is not taken for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    machine: String,
    pid: u32,
    start: u64,
}

impl Owner {
    /// This process.
    pub fn this() -> Self {
        let pid = std::process::id();
        Owner {
            machine: machine(),
            pid,
            start: start_of(pid).unwrap_or(0),
        }
    }

    /// Reads a name that `Display` wrote; none for anything else, such as a server's id.
    pub fn parse(name: &str) -> Option<Self> {
        let mut parts = name.split('-');
        if parts.next() != Some(PREFIX) {
            return None;
        }
        let (machine, pid, start) = (parts.next()?, parts.next()?, parts.next()?);
        let rest = parts.next();
        let owner = Owner {
            machine: machine.to_owned(),
            pid: pid.parse().ok()?,
            start: start.parse().ok()?,
        };
        rest.is_none().then_some(owner)
    }

    /// Whether it is certain that the process has ended. One of another machine may live.
    pub fn is_gone(&self) -> bool {
        self.machine == machine() && start_of(self.pid) != Some(self.start)
    }
}

impl std::fmt::Display for Owner {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{PREFIX}-{}-{}-{}", self.machine, self.pid, self.start)
    }
}

/// Eight hex digits that stand for this machine since its last start.
fn machine() -> String {
    let id = fs::read_to_string("/etc/machine-id").unwrap_or_default();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    hex::encode(&Sha256::digest(format!("{id}{boot}"))[..4])
}

/// Field 22 of `/proc/PID/stat` (proc(5)): when the process began; none when there is no such process.
fn start_of(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let after_name = &stat[stat.rfind(')')? + 1..];
    after_name.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_lives_and_one_that_began_at_another_time_is_gone() {
        let this = Owner::this();
        assert_eq!(Owner::parse(&this.to_string()), Some(this.clone()));
        assert!(!this.is_gone());
        assert!(
            Owner {
                start: this.start + 1,
                ..this.clone()
            }
            .is_gone()
        );
        assert!(
            !Owner {
                machine: "another0".into(),
                start: 1,
                ..this
            }
            .is_gone()
        );
    }

    #[test]
    fn a_servers_id_is_no_owner() {
        for name in ["", "local", "local-1-2", "local-1-x-3", "local-1-2-3-4", "3f2a"] {
            assert_eq!(Owner::parse(name), None, "{name}");
        }
    }
}
