//! The few calls of the C library that `std` does not offer, each wrapped once.

use std::ffi::{CStr, c_char, c_int, c_long, c_uint, c_ulong, c_void};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

unsafe extern "C" {
    fn fork() -> c_int;
    fn execve(path: *const c_char, argv: *const *const c_char, env: *const *const c_char) -> c_int;
    fn _exit(code: c_int) -> !;
    fn wait4(pid: c_int, status: *mut c_int, options: c_int, usage: *mut RawUsage) -> c_int;
    fn kill(pid: c_int, signal: c_int) -> c_int;
    #[link_name = "poll"]
    fn raw_poll(fds: *mut PollFd, count: c_ulong, timeout_ms: c_int) -> c_int;
    fn signalfd(fd: c_int, mask: *const SignalSet, flags: c_int) -> c_int;
    fn sigprocmask(how: c_int, set: *const SignalSet, old: *mut SignalSet) -> c_int;
    fn signal(number: c_int, handler: usize) -> usize;
    fn pipe2(fds: *mut c_int, flags: c_int) -> c_int;
    fn dup2(from: c_int, to: c_int) -> c_int;
    fn read(fd: c_int, to: *mut c_void, count: usize) -> isize;
    fn write(fd: c_int, from: *const c_void, count: usize) -> isize;
    fn fcntl(fd: c_int, command: c_int, ...) -> c_int;
    fn ioctl(fd: c_int, request: c_ulong, ...) -> c_int;
    fn setsid() -> c_int;
    fn setgroups(count: usize, groups: *const c_uint) -> c_int;
    fn setgid(gid: c_uint) -> c_int;
    fn setuid(uid: c_uint) -> c_int;
    fn chdir(path: *const c_char) -> c_int;
    fn prctl(option: c_int, a: c_ulong, b: c_ulong, c: c_ulong, d: c_ulong) -> c_int;
}

pub const SIGINT: i32 = 2;
pub const SIGKILL: i32 = 9;
pub const SIGTERM: i32 = 15;
pub const SIGCHLD: i32 = 17;
const SIGNAL_MAX: i32 = 31;

pub const POLLIN: i16 = 1;
pub const POLLOUT: i16 = 4;

/// Errors that decide something here; the same number on every 64-bit Linux that Rust builds for.
pub const ENOENT: i32 = 2;
pub const EINVAL: i32 = 22;

const O_CLOEXEC: c_int = 0o2000000;
pub const O_NONBLOCK: c_int = 0o4000;
#[cfg(target_arch = "aarch64")]
pub const O_NOFOLLOW: c_int = 0o100000;
#[cfg(not(target_arch = "aarch64"))]
pub const O_NOFOLLOW: c_int = 0o400000;

const F_GETFL: c_int = 3;
const F_SETFL: c_int = 4;
const F_SETPIPE_SZ: c_int = 1031;
const FIONREAD: c_ulong = 0x541B;
const SIG_BLOCK: c_int = 0;
const SIG_SETMASK: c_int = 2;
const WNOHANG: c_int = 1;
const PR_SET_DUMPABLE: c_int = 4;

/// `sigset_t` of 64-bit Linux, as glibc and musl have it.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct SignalSet([u64; 16]);

impl SignalSet {
    fn of(signals: &[i32]) -> Self {
        let mut set = SignalSet::default();
        for signal in signals {
            set.0[0] |= 1 << (signal - 1);
        }
        set
    }
}

/// `struct rusage` of 64-bit Linux.
#[repr(C)]
#[derive(Default)]
struct RawUsage {
    user_s: c_long,
    user_us: c_long,
    system_s: c_long,
    system_us: c_long,
    max_rss_kib: c_long,
    rest: [c_long; 13],
}

#[repr(C)]
pub struct PollFd {
    fd: c_int,
    wanted: i16,
    /// The kernel's answer. Not looked at: whoever is asked to read or write does not block.
    _happened: i16,
}

impl PollFd {
    pub fn new(fd: &impl AsRawFd, wanted: i16) -> Self {
        PollFd {
            fd: fd.as_raw_fd(),
            wanted,
            _happened: 0,
        }
    }
}

/// What a process that ended used, with those of its children that it waited for.
#[derive(Clone, Copy, Default)]
pub struct Usage {
    pub cpu_us: u64,
    pub max_rss_bytes: u64,
}

/// How a process ended.
#[derive(Clone, Copy, PartialEq)]
pub enum Death {
    Exited(u8),
    Signalled(u8),
}

/// What waiting for any child found.
pub enum Reaped {
    Dead {
        pid: i32,
        death: Death,
        usage: Usage,
    },
    /// Children live, none has ended.
    NoneYet,
    NoChildren,
}

fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// Blocks SIGCHLD, SIGTERM and SIGINT and returns where they can be read instead.
pub fn signals() -> io::Result<OwnedFd> {
    let set = SignalSet::of(&[SIGCHLD, SIGTERM, SIGINT]);
    // SAFETY: plain calls with a set that lives long enough; the descriptor is new and ours.
    unsafe {
        check(sigprocmask(SIG_BLOCK, &set, std::ptr::null_mut()))?;
        Ok(OwnedFd::from_raw_fd(check(signalfd(-1, &set, O_CLOEXEC | O_NONBLOCK))?))
    }
}

/// One signal from [`signals`]: its number and the sender, 0 for one outside of the container.
pub fn next_signal(from: &OwnedFd) -> Option<(i32, u32)> {
    let mut info = [0u8; 128];
    let count = read_some(from, &mut info).ok()?;
    if count < info.len() {
        return None;
    }
    let number = |at: usize| u32::from_ne_bytes([info[at], info[at + 1], info[at + 2], info[at + 3]]);
    Some((number(0) as i32, number(12)))
}

/// `pid` -1: every process of the container but this one.
pub fn send_signal(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: no memory is involved.
    check(unsafe { kill(pid, signal) }).map(drop)
}

pub fn reap() -> Reaped {
    let (mut status, mut raw) = (0, RawUsage::default());
    // SAFETY: both pointers are to live values of the kernel's layout.
    let pid = unsafe { wait4(-1, &mut status, WNOHANG, &mut raw) };
    if pid < 0 {
        return Reaped::NoChildren;
    }
    if pid == 0 {
        return Reaped::NoneYet;
    }
    let death = match status & 0x7f {
        0 => Death::Exited((status >> 8) as u8),
        signal => Death::Signalled(signal as u8),
    };
    let cpu_us = (raw.user_s + raw.system_s) * 1_000_000 + raw.user_us + raw.system_us;
    let usage = Usage {
        cpu_us: cpu_us as u64,
        max_rss_bytes: raw.max_rss_kib as u64 * 1024,
    };
    Reaped::Dead { pid, death, usage }
}

/// Waits until one is ready or the time is up. An interruption is as good as nothing having happened.
pub fn poll(fds: &mut [PollFd], timeout_ms: i32) {
    // SAFETY: the slice's own length is handed over.
    unsafe { raw_poll(fds.as_mut_ptr(), fds.len() as c_ulong, timeout_ms) };
}

/// Reading end, writing end; neither is inherited.
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut fds = [0; 2];
    // SAFETY: two numbers are written; both descriptors are new and ours.
    unsafe {
        check(pipe2(fds.as_mut_ptr(), O_CLOEXEC))?;
        Ok((OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])))
    }
}

/// Asks for a larger buffer; a kernel that refuses leaves the usual one.
pub fn widen(pipe: &OwnedFd, bytes: c_int) {
    // SAFETY: no memory is involved.
    unsafe { fcntl(pipe.as_raw_fd(), F_SETPIPE_SZ, bytes) };
}

pub fn set_nonblocking(fd: &impl AsRawFd) -> io::Result<()> {
    // SAFETY: no memory is involved.
    unsafe {
        let flags = check(fcntl(fd.as_raw_fd(), F_GETFL))?;
        check(fcntl(fd.as_raw_fd(), F_SETFL, flags | O_NONBLOCK)).map(drop)
    }
}

/// Bytes that wait in a pipe.
pub fn waiting(pipe: &OwnedFd) -> usize {
    let mut count: c_int = 0;
    // SAFETY: one number is written.
    let result = unsafe { ioctl(pipe.as_raw_fd(), FIONREAD, &mut count as *mut c_int) };
    if result < 0 { 0 } else { count as usize }
}

pub fn read_some(fd: &impl AsRawFd, to: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the slice's own length is handed over.
    let count = unsafe { read(fd.as_raw_fd(), to.as_mut_ptr().cast(), to.len()) };
    if count < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(count as usize)
    }
}

pub fn write_some(fd: &impl AsRawFd, from: &[u8]) -> io::Result<usize> {
    // SAFETY: the slice's own length is handed over.
    let count = unsafe { write(fd.as_raw_fd(), from.as_ptr().cast(), from.len()) };
    if count < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(count as usize)
    }
}

/// Closes this process's `/proc` entries (memory, descriptors) to everybody without CAP_SYS_PTRACE, so that no step
/// reads a later step's secrets here or writes frames of its own.
pub fn hide() {
    // SAFETY: no memory is involved.
    unsafe { prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) };
}

/// In the parent the child's process id, in the child `None`.
///
/// # Safety
/// This process must have one thread only.
pub unsafe fn split() -> io::Result<Option<i32>> {
    // SAFETY: the caller has one thread, so the child may go on as if nothing had happened.
    let pid = check(unsafe { fork() })?;
    Ok((pid != 0).then_some(pid))
}

/// What a child does between fork and exec; each returns the error's number.
pub mod child {
    use super::*;

    fn done(result: c_int) -> Result<(), i32> {
        if result < 0 {
            Err(io::Error::last_os_error().raw_os_error().unwrap_or(0))
        } else {
            Ok(())
        }
    }

    /// A session of its own; no signal blocked, and none ignored (Rust ignores SIGPIPE).
    pub fn detach() -> Result<(), i32> {
        let none = SignalSet::default();
        // SAFETY: plain calls with a set that lives long enough; 0 is SIG_DFL.
        unsafe {
            for number in 1..=SIGNAL_MAX {
                signal(number, 0);
            }
            done(sigprocmask(SIG_SETMASK, &none, std::ptr::null_mut()))?;
            done(setsid())
        }
    }

    /// Makes `from` the descriptor `to`, inherited.
    pub fn redirect(from: &impl AsRawFd, to: RawFd) -> Result<(), i32> {
        // SAFETY: no memory is involved. No `from` is below 3: those are open from the start.
        done(unsafe { dup2(from.as_raw_fd(), to) })
    }

    pub fn become_user(uid: u32, gid: u32, groups: &[u32]) -> Result<(), i32> {
        // SAFETY: the slice's own length is handed over.
        unsafe {
            done(setgroups(groups.len(), groups.as_ptr()))?;
            done(setgid(gid))?;
            done(setuid(uid))
        }
    }

    pub fn enter(dir: &CStr) -> Result<(), i32> {
        // SAFETY: the text ends in NUL.
        done(unsafe { chdir(dir.as_ptr()) })
    }

    /// Returns only on failure. Both lists end in null.
    pub fn execute(path: &CStr, argv: &[*const c_char], env: &[*const c_char]) -> i32 {
        // SAFETY: the caller's lists end in null and point to texts that end in NUL.
        unsafe { execve(path.as_ptr(), argv.as_ptr(), env.as_ptr()) };
        io::Error::last_os_error().raw_os_error().unwrap_or(0)
    }

    pub fn quit() -> ! {
        // SAFETY: ends the process.
        unsafe { _exit(127) }
    }
}
