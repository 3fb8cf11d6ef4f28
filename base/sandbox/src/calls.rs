//! seccomp(2): the system calls that the worker may make. All others answer ENOSYS, for which libraries have another way.
//!
//! Not among them: starting a program or a process, touching other processes, users and groups, mounts, keys, the kernel.
//! Sockets are of the families that mail needs. Numbers are libc's for the architecture that this is built for.

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Len, SeccompCmpOp as Op, SeccompCondition as Condition,
    SeccompFilter, SeccompRule as Rule, TargetArch,
};
use std::{collections::BTreeMap, io};

/// prctl(2) PR_SET_VMA: names of memory areas.
const PR_SET_VMA: u64 = 0x5356_4d41;

/// Calls that need no look at their arguments.
#[rustfmt::skip]
const ALLOWED: &[c_long] = &[
    // Files.
    libc::SYS_openat, libc::SYS_openat2, libc::SYS_close, libc::SYS_close_range, libc::SYS_read, libc::SYS_write,
    libc::SYS_readv, libc::SYS_writev, libc::SYS_pread64, libc::SYS_pwrite64, libc::SYS_preadv, libc::SYS_pwritev,
    libc::SYS_preadv2, libc::SYS_pwritev2, libc::SYS_lseek, libc::SYS_statx, libc::SYS_newfstatat, libc::SYS_fstat,
    libc::SYS_statfs, libc::SYS_fstatfs, libc::SYS_getdents64, libc::SYS_readlinkat, libc::SYS_faccessat,
    libc::SYS_faccessat2, libc::SYS_getcwd, libc::SYS_fcntl, libc::SYS_flock, libc::SYS_dup, libc::SYS_dup3,
    libc::SYS_ftruncate, libc::SYS_truncate, libc::SYS_fallocate, libc::SYS_fsync, libc::SYS_fdatasync,
    libc::SYS_sync_file_range, libc::SYS_fadvise64, libc::SYS_readahead, libc::SYS_copy_file_range, libc::SYS_sendfile,
    libc::SYS_splice, libc::SYS_renameat2, libc::SYS_linkat, libc::SYS_unlinkat, libc::SYS_mkdirat,
    libc::SYS_fchmod, libc::SYS_fchmodat, libc::SYS_fchown, libc::SYS_utimensat, libc::SYS_umask, libc::SYS_memfd_create,
    libc::SYS_pipe2, libc::SYS_eventfd2, libc::SYS_signalfd4, libc::SYS_inotify_init1, libc::SYS_inotify_add_watch,
    libc::SYS_inotify_rm_watch,
    // Waiting.
    libc::SYS_epoll_create1, libc::SYS_epoll_ctl, libc::SYS_epoll_pwait, libc::SYS_epoll_pwait2, libc::SYS_ppoll,
    libc::SYS_pselect6, libc::SYS_futex, libc::SYS_nanosleep, libc::SYS_clock_nanosleep, libc::SYS_clock_gettime,
    libc::SYS_clock_getres, libc::SYS_gettimeofday, libc::SYS_timerfd_create, libc::SYS_timerfd_settime,
    libc::SYS_timerfd_gettime, libc::SYS_sched_yield, libc::SYS_restart_syscall,
    // Sockets; which ones: see `conditions`.
    libc::SYS_socketpair, libc::SYS_bind, libc::SYS_listen, libc::SYS_accept, libc::SYS_accept4, libc::SYS_connect,
    libc::SYS_getsockname, libc::SYS_getpeername, libc::SYS_getsockopt, libc::SYS_setsockopt, libc::SYS_sendto,
    libc::SYS_recvfrom, libc::SYS_sendmsg, libc::SYS_recvmsg, libc::SYS_sendmmsg, libc::SYS_recvmmsg, libc::SYS_shutdown,
    // Memory.
    libc::SYS_mmap, libc::SYS_munmap, libc::SYS_mremap, libc::SYS_mprotect, libc::SYS_madvise, libc::SYS_msync,
    libc::SYS_mincore, libc::SYS_mlock, libc::SYS_munlock, libc::SYS_brk, libc::SYS_membarrier,
    // Threads and the process itself.
    libc::SYS_exit, libc::SYS_exit_group, libc::SYS_set_robust_list, libc::SYS_get_robust_list, libc::SYS_rseq,
    libc::SYS_set_tid_address, libc::SYS_gettid, libc::SYS_getpid, libc::SYS_getppid, libc::SYS_getuid,
    libc::SYS_geteuid, libc::SYS_getgid, libc::SYS_getegid, libc::SYS_getgroups, libc::SYS_getresuid,
    libc::SYS_getresgid, libc::SYS_sigaltstack, libc::SYS_rt_sigaction, libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn, libc::SYS_rt_sigpending, libc::SYS_rt_sigtimedwait, libc::SYS_sched_getaffinity,
    libc::SYS_sched_getparam, libc::SYS_sched_getscheduler, libc::SYS_getcpu, libc::SYS_getrusage, libc::SYS_times,
    libc::SYS_getrandom, libc::SYS_uname, libc::SYS_sysinfo,
];

/// Older forms that only this architecture has.
#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
const OLDER: &[c_long] = &[
    libc::SYS_open, libc::SYS_stat, libc::SYS_lstat, libc::SYS_access, libc::SYS_readlink, libc::SYS_getdents,
    libc::SYS_poll, libc::SYS_select, libc::SYS_epoll_create, libc::SYS_epoll_wait, libc::SYS_pipe, libc::SYS_dup2,
    libc::SYS_rename, libc::SYS_renameat, libc::SYS_link, libc::SYS_unlink, libc::SYS_mkdir, libc::SYS_rmdir,
    libc::SYS_chmod, libc::SYS_eventfd, libc::SYS_signalfd, libc::SYS_time, libc::SYS_arch_prctl, libc::SYS_alarm,
    libc::SYS_getrlimit, libc::SYS_sendfile,
];
#[cfg(target_arch = "aarch64")]
const OLDER: &[c_long] = &[libc::SYS_renameat];
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const OLDER: &[c_long] = &[];

/// Applies to all threads. What this kernel or architecture does not have comes back in words.
pub(crate) fn restrict() -> io::Result<Option<String>> {
    let Ok(arch) = TargetArch::try_from(std::env::consts::ARCH) else {
        return Ok(Some("no system call filter for this architecture".into()));
    };
    let program = program(arch).map_err(io::Error::other)?;
    Ok(match seccompiler::apply_filter_all_threads(&program) {
        Ok(()) => None,
        Err(e) => Some(format!("the kernel takes no system call filter: {e}")),
    })
}

fn program(arch: TargetArch) -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<Rule>> =
        ALLOWED.iter().chain(OLDER).map(|call| (*call, Vec::new())).collect();
    rules.extend(conditions()?);
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Errno(libc::ENOSYS.unsigned_abs()),
        SeccompAction::Allow,
        arch,
    )?;
    filter.try_into()
}

/// Calls that are allowed with some arguments only; each rule is one way to be allowed.
fn conditions() -> Result<BTreeMap<i64, Vec<Rule>>, seccompiler::BackendError> {
    let one_of = |argument: u8, values: &[u64]| {
        values.iter().map(|v| Rule::new(vec![is(argument, *v)?])).collect::<Result<Vec<Rule>, _>>()
    };
    let number = |n: i32| u64::from(n.unsigned_abs());
    let families = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK].map(number);
    let thread = number(libc::CLONE_THREAD);
    let prctl =
        [number(libc::PR_SET_NAME), number(libc::PR_GET_NAME), number(libc::PR_GET_DUMPABLE), PR_SET_VMA];
    // libc's constants for ioctl(2) differ in type between systems.
    let ioctl = [0x5401, 0x541B, 0x5421, 0x5450, 0x5451];
    Ok(BTreeMap::from([
        (libc::SYS_socket, one_of(0, &families)?),
        (libc::SYS_prctl, one_of(0, &prctl)?),
        // TCGETS, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX.
        (libc::SYS_ioctl, one_of(1, &ioctl)?),
        // Its own limits only.
        (libc::SYS_prlimit64, one_of(0, &[0, u64::from(std::process::id())])?),
        // abort(3); no signal to others.
        (libc::SYS_tgkill, one_of(0, &[u64::from(std::process::id())])?),
        // A thread, no process. clone3(2) cannot be looked into: libc falls back to this one.
        (
            libc::SYS_clone,
            vec![Rule::new(vec![Condition::new(0, Len::Dword, Op::MaskedEq(thread), thread)?])?],
        ),
    ]))
}

fn is(argument: u8, value: u64) -> Result<Condition, seccompiler::BackendError> {
    Condition::new(argument, Len::Dword, Op::Eq, value)
}
