//! The system calls that a job's processes may make: an allow-list of our own, the same for every engine.
//!
//! What a build, a test or a database needs, and not: `io_uring`, BPF, `userfaultfd`, the kernel's key rings, new
//! namespaces, mounts, modules, and sockets beyond Unix, IP and netlink (so no AF_ALG, AF_VSOCK, AF_PACKET). The 32-bit
//! `socketcall` is left out too: seccomp cannot see which socket it asks for.

use std::sync::LazyLock;

use serde_json::{Value, json};

/// As the engine takes it: `seccomp=` and the profile.
pub static SECURITY_OPTION: LazyLock<String> = LazyLock::new(|| format!("seccomp={}", profile()));

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;

/// AF_UNIX, AF_INET, AF_INET6, AF_NETLINK.
const SOCKET_FAMILIES: [u32; 4] = [1, 2, 10, 16];

/// PER_LINUX, PER_LINUX32, either with UNAME26, and the question for the present one.
const PERSONALITIES: [u32; 5] = [0x0, 0x8, 0x20000, 0x20008, 0xffff_ffff];

/// `clone` flags that make namespaces.
const NAMESPACE_FLAGS: u32 = 0x7e02_0000;

const FILES: &str = "access cachestat chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 \
    faccessat faccessat2 fadvise64 fadvise64_64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl \
    fcntl64 fdatasync fgetxattr flistxattr flock fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync \
    ftruncate ftruncate64 futimesat getcwd getdents getdents64 getxattr getxattrat inotify_add_watch inotify_init \
    inotify_init1 inotify_rm_watch ioctl lchown lchown32 lgetxattr link linkat listmount listxattr listxattrat llistxattr \
    _llseek lremovexattr lseek lsetxattr lstat lstat64 mkdir mkdirat mknod mknodat name_to_handle_at newfstatat open \
    openat openat2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv removexattr \
    removexattrat rename renameat renameat2 rmdir setxattr setxattrat stat stat64 statfs statfs64 statmount statx symlink \
    symlinkat sync sync_file_range syncfs truncate truncate64 umask unlink unlinkat utime utimensat utimensat_time64 \
    utimes write writev";

const WAITING: &str = "epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait \
    epoll_wait_old eventfd eventfd2 io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup \
    io_submit _newselect pause pipe pipe2 poll ppoll ppoll_time64 pselect6 pselect6_time64 select sendfile sendfile64 \
    signalfd signalfd4 splice tee vmsplice";

const MEMORY: &str = "brk madvise map_shadow_stack membarrier memfd_create mincore mlock mlock2 mlockall mmap mmap2 \
    mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect remap_file_pages";

const PROCESSES: &str = "arch_prctl capget capset chroot execve execveat exit exit_group fork futex futex_requeue \
    futex_time64 futex_wait futex_waitv futex_wake getcpu getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups \
    getgroups32 getpgid getpgrp getpid getppid getpriority getresgid getresgid32 getresuid getresuid32 getrlimit \
    get_robust_list getrusage getsid get_thread_area gettid getuid getuid32 ioprio_get ioprio_set kill \
    landlock_add_rule landlock_create_ruleset landlock_restrict_self modify_ldt pidfd_open pidfd_send_signal prctl \
    prlimit64 process_mrelease process_vm_readv process_vm_writev ptrace rseq sched_getaffinity sched_getattr \
    sched_getparam sched_get_priority_max sched_get_priority_min sched_getscheduler sched_rr_get_interval \
    sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp \
    setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setpgid setpriority setregid \
    setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit set_robust_list setsid \
    set_thread_area set_tid_address setuid setuid32 sysinfo times ugetrlimit uname uretprobe vfork wait4 waitid waitpid";

const SIGNALS: &str = "restart_syscall rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn \
    rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaltstack sigprocmask sigreturn tgkill tkill";

const TIME: &str = "adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime \
    clock_gettime64 clock_nanosleep clock_nanosleep_time64 getitimer getrandom gettimeofday nanosleep setitimer time \
    timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 \
    timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64";

/// With the messages between processes that System V and POSIX left us.
const SOCKETS: &str = "accept accept4 bind connect getpeername getsockname getsockopt ipc listen mq_getsetattr mq_notify \
    mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd \
    recv recvfrom recvmmsg recvmmsg_time64 recvmsg semctl semget semop semtimedop semtimedop_time64 send sendmmsg sendmsg \
    sendto setsockopt shmat shmctl shmdt shmget shutdown socketpair";

/// 32-bit ARM programs on a 64-bit kernel.
const ARM: &str = "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls";

fn profile() -> Value {
    let plain: Vec<&str> = [FILES, WAITING, MEMORY, PROCESSES, SIGNALS, TIME, SOCKETS, ARM]
        .iter()
        .flat_map(|group| group.split_whitespace())
        .collect();
    let mut rules = vec![json!({ "names": plain, "action": "SCMP_ACT_ALLOW" })];
    let when_equal = |name: &str, value: u32| {
        let is_equal = json!({ "index": 0, "value": value, "op": "SCMP_CMP_EQ" });
        json!({ "names": [name], "action": "SCMP_ACT_ALLOW", "args": [is_equal] })
    };
    rules.extend(SOCKET_FAMILIES.map(|family| when_equal("socket", family)));
    rules.extend(PERSONALITIES.map(|personality| when_equal("personality", personality)));
    let makes_none = json!({ "index": 0, "value": NAMESPACE_FLAGS, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ" });
    rules.push(json!({ "names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [makes_none] }));
    // Its flags are behind a pointer; "no such call" makes the C library use `clone`.
    rules.push(json!({ "names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS }));
    json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": EPERM,
        "archMap": [
            { "architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"] },
            { "architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"] },
        ],
        "syscalls": rules,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_breaks_out_of_containers_is_not_on_the_list() {
        let text = profile().to_string();
        for name in [
            "io_uring_setup",
            "bpf",
            "userfaultfd",
            "keyctl",
            "add_key",
            "request_key",
            "unshare",
            "setns",
            "mount",
            "umount2",
            "pivot_root",
            "init_module",
            "finit_module",
            "kexec_load",
            "open_by_handle_at",
            "perf_event_open",
            "socketcall",
            "fanotify_init",
            "quotactl",
            "reboot",
            "swapon",
            "iopl",
            "ioperm",
            "acct",
            "fsopen",
            "move_mount",
            "open_tree",
        ] {
            assert!(!text.contains(&format!("\"{name}\"")), "{name} is allowed");
        }
    }

    #[test]
    fn no_call_is_named_twice() {
        let groups = [FILES, WAITING, MEMORY, PROCESSES, SIGNALS, TIME, SOCKETS, ARM];
        let mut names: Vec<&str> = groups.iter().flat_map(|group| group.split_whitespace()).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
