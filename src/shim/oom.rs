//! How often the kernel killed a process of this container for lack of memory.

use std::fs;

/// Where this container's memory group counts, on cgroup v2 and v1.
const COUNTERS: [&str; 2] = [
    "/sys/fs/cgroup/memory.events",
    "/sys/fs/cgroup/memory/memory.oom_control",
];

/// 0 where the kernel does not say.
pub fn kills() -> u32 {
    COUNTERS
        .iter()
        .find_map(|file| kills_in(&fs::read_to_string(file).ok()?))
        .unwrap_or(0)
}

fn kills_in(text: &str) -> Option<u32> {
    text.lines()
        .find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}
