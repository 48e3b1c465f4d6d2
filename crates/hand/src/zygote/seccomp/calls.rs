//! Which system calls there are in a sandbox.

use libc::{c_long, *};

use super::{
    Check, Rule,
    tree::{EPERM, FOREIGN, Range},
};

/// Numbers that the `libc` crate lacks on one of the architectures (the kernel's `unistd_64.h`).
#[cfg(target_arch = "x86_64")]
mod missing {
    use libc::c_long;
    pub(super) const RENAMEAT: c_long = libc::SYS_renameat;
    pub(super) const SYNC_FILE_RANGE: c_long = libc::SYS_sync_file_range;
    pub(super) const GETRLIMIT: c_long = libc::SYS_getrlimit;
    pub(super) const SETRLIMIT: c_long = libc::SYS_setrlimit;
    pub(super) const IO_PGETEVENTS: c_long = 333;
    pub(super) const CACHESTAT: c_long = 451;
    pub(super) const FCHMODAT2: c_long = 452;
}
/// Numbers that the `libc` crate lacks on one of the architectures (the kernel's `unistd.h` for all newer
/// ones).
#[cfg(target_arch = "aarch64")]
mod missing {
    use libc::c_long;
    pub(super) const RENAMEAT: c_long = 38;
    pub(super) const SYNC_FILE_RANGE: c_long = 84;
    pub(super) const GETRLIMIT: c_long = 163;
    pub(super) const SETRLIMIT: c_long = 164;
    pub(super) const IO_PGETEVENTS: c_long = 292;
    pub(super) const CACHESTAT: c_long = 451;
    pub(super) const FCHMODAT2: c_long = 452;
}

/// Calls that do no more than a program may do by itself.
#[rustfmt::skip]
const ALLOWED: &[c_long] = &[
    // Files by descriptor.
    SYS_read, SYS_write, SYS_readv, SYS_writev, SYS_pread64, SYS_pwrite64, SYS_preadv, SYS_pwritev, SYS_preadv2, SYS_pwritev2,
    SYS_close, SYS_close_range, SYS_lseek, SYS_dup, SYS_dup3, SYS_fcntl, SYS_flock, SYS_fsync, SYS_fdatasync, SYS_sync, SYS_syncfs,
    missing::SYNC_FILE_RANGE, SYS_ftruncate, SYS_truncate, SYS_fallocate, SYS_fadvise64, SYS_readahead, SYS_copy_file_range, SYS_sendfile,
    SYS_splice, SYS_tee, SYS_vmsplice, SYS_getdents64, SYS_fstat, SYS_newfstatat, SYS_statx, SYS_statfs, SYS_fstatfs, missing::CACHESTAT,
    // Files by name.
    SYS_openat, SYS_openat2, SYS_mkdirat, SYS_unlinkat, missing::RENAMEAT, SYS_renameat2, SYS_linkat, SYS_symlinkat, SYS_readlinkat,
    SYS_faccessat, SYS_faccessat2, SYS_fchmod, SYS_fchmodat, missing::FCHMODAT2, SYS_fchown, SYS_fchownat, SYS_utimensat, SYS_mknodat,
    SYS_chdir, SYS_fchdir, SYS_getcwd, SYS_umask,
    SYS_setxattr, SYS_lsetxattr, SYS_fsetxattr, SYS_getxattr, SYS_lgetxattr, SYS_fgetxattr, SYS_listxattr, SYS_llistxattr,
    SYS_flistxattr, SYS_removexattr, SYS_lremovexattr, SYS_fremovexattr,
    SYS_inotify_init1, SYS_inotify_add_watch, SYS_inotify_rm_watch,
    // Waiting and events.
    SYS_ppoll, SYS_pselect6, SYS_epoll_create1, SYS_epoll_ctl, SYS_epoll_pwait, SYS_epoll_pwait2, SYS_eventfd2, SYS_signalfd4, SYS_pipe2,
    SYS_timerfd_create, SYS_timerfd_settime, SYS_timerfd_gettime,
    SYS_io_setup, SYS_io_destroy, SYS_io_submit, SYS_io_cancel, SYS_io_getevents, missing::IO_PGETEVENTS,
    // Memory.
    SYS_brk, SYS_mmap, SYS_munmap, SYS_mprotect, SYS_mremap, SYS_msync, SYS_mincore, SYS_madvise, SYS_mlock, SYS_mlock2, SYS_munlock,
    SYS_mlockall, SYS_munlockall, SYS_membarrier, SYS_memfd_create, SYS_remap_file_pages, SYS_pkey_mprotect, SYS_pkey_alloc, SYS_pkey_free,
    SYS_get_mempolicy, SYS_rseq,
    // Processes and threads.
    SYS_execve, SYS_execveat, SYS_exit, SYS_exit_group, SYS_wait4, SYS_waitid, SYS_getpid, SYS_getppid, SYS_gettid, SYS_getpgid, SYS_setpgid,
    SYS_getsid, SYS_setsid, SYS_kill, SYS_tkill, SYS_tgkill, SYS_pidfd_open, SYS_pidfd_send_signal, SYS_set_tid_address,
    SYS_futex, SYS_futex_waitv, SYS_set_robust_list, SYS_get_robust_list, SYS_restart_syscall, SYS_ptrace,
    SYS_sched_yield, SYS_sched_getaffinity, SYS_sched_setaffinity, SYS_sched_getparam, SYS_sched_setparam, SYS_sched_getscheduler,
    SYS_sched_setscheduler, SYS_sched_getattr, SYS_sched_setattr, SYS_sched_get_priority_max, SYS_sched_get_priority_min,
    SYS_sched_rr_get_interval, SYS_getpriority, SYS_setpriority, SYS_ioprio_get, SYS_ioprio_set, missing::GETRLIMIT, missing::SETRLIMIT,
    SYS_getrusage, SYS_times, SYS_getcpu,
    // Signals.
    SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigpending, SYS_rt_sigtimedwait, SYS_rt_sigqueueinfo, SYS_rt_tgsigqueueinfo,
    SYS_rt_sigsuspend, SYS_rt_sigreturn, SYS_sigaltstack,
    // Who one is. The agent has no capability, so there is nothing to become.
    SYS_getuid, SYS_geteuid, SYS_getgid, SYS_getegid, SYS_getresuid, SYS_getresgid, SYS_getgroups, SYS_setuid, SYS_setgid, SYS_setreuid,
    SYS_setregid, SYS_setresuid, SYS_setresgid, SYS_setfsuid, SYS_setfsgid, SYS_setgroups, SYS_capget, SYS_capset,
    // Time.
    SYS_clock_gettime, SYS_clock_getres, SYS_clock_nanosleep, SYS_nanosleep, SYS_gettimeofday, SYS_getitimer, SYS_setitimer,
    SYS_timer_create, SYS_timer_settime, SYS_timer_gettime, SYS_timer_getoverrun, SYS_timer_delete,
    // The system.
    SYS_uname, SYS_sysinfo, SYS_getrandom,
    // Sockets, once there is one.
    SYS_bind, SYS_listen, SYS_accept, SYS_accept4, SYS_connect, SYS_getsockname, SYS_getpeername, SYS_setsockopt, SYS_getsockopt, SYS_shutdown,
    SYS_sendto, SYS_recvfrom, SYS_sendmsg, SYS_recvmsg, SYS_sendmmsg, SYS_recvmmsg,
    // Communication between processes, in a namespace of their own.
    SYS_shmget, SYS_shmat, SYS_shmctl, SYS_shmdt, SYS_semget, SYS_semop, SYS_semtimedop, SYS_semctl, SYS_msgget, SYS_msgsnd, SYS_msgrcv,
    SYS_msgctl, SYS_mq_open, SYS_mq_unlink, SYS_mq_timedsend, SYS_mq_timedreceive, SYS_mq_notify, SYS_mq_getsetattr,
    // Restrictions that a program puts on itself.
    SYS_landlock_create_ruleset, SYS_landlock_add_rule, SYS_landlock_restrict_self,
];

/// The older names of calls above, which only this architecture has.
#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
const ALLOWED_HERE: &[c_long] = &[
    SYS_open, SYS_creat, SYS_stat, SYS_lstat, SYS_access, SYS_mkdir, SYS_rmdir, SYS_unlink, SYS_rename, SYS_link, SYS_symlink, SYS_readlink,
    SYS_chmod, SYS_chown, SYS_lchown, SYS_utime, SYS_utimes, SYS_futimesat, SYS_mknod, SYS_getdents, SYS_dup2, SYS_pipe, SYS_poll, SYS_select,
    SYS_epoll_create, SYS_epoll_wait, SYS_epoll_ctl_old, SYS_epoll_wait_old, SYS_eventfd, SYS_signalfd, SYS_inotify_init, SYS_fork, SYS_vfork,
    SYS_getpgrp, SYS_pause, SYS_alarm, SYS_time, SYS_arch_prctl, SYS_set_thread_area, SYS_get_thread_area,
];
/// The older names of calls above, which only this architecture has.
#[cfg(target_arch = "aarch64")]
const ALLOWED_HERE: &[c_long] = &[];

/// Calls that depend on their arguments.
const CHECKED: [(c_long, Check); 8] = [
    (SYS_clone, Check::Clone),
    (SYS_socket, Check::Socket),
    (SYS_socketpair, Check::Socket),
    (SYS_ioctl, Check::Ioctl),
    (SYS_personality, Check::Personality),
    (SYS_prctl, Check::Prctl),
    (SYS_prlimit64, Check::OwnLimits),
    (SYS_seccomp, Check::Seccomp),
];

/// Calls that programs try first and have a replacement for if the kernel is too old to know them. (The
/// arguments of `clone3` are in memory, out of a filter's sight.)
const UNKNOWN: [c_long; 4] = [SYS_clone3, SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register];

/// The last call that was looked at for this list. Later ones are unknown here, and programs are told so, as
/// on an older kernel.
const LAST_KNOWN: c_long = missing::FCHMODAT2;

const ENOSYS: u16 = 38;

/// The rule of one number.
pub(super) fn rule(number: u32) -> Rule {
    let call = c_long::from(number);
    if number >= FOREIGN {
        Rule::Kill
    } else if let Some((_, check)) = CHECKED.iter().find(|(checked, _)| *checked == call) {
        Rule::Check(*check)
    } else if ALLOWED.contains(&call) || ALLOWED_HERE.contains(&call) {
        Rule::Allow
    } else if call > LAST_KNOWN || UNKNOWN.contains(&call) {
        Rule::Refuse(ENOSYS)
    } else {
        Rule::Refuse(EPERM)
    }
}

/// The rules of all numbers, in as few ranges as possible.
pub(super) fn rules() -> Vec<Range> {
    let last = u32::try_from(LAST_KNOWN).unwrap_or(0);
    let mut ranges: Vec<Range> = Vec::new();
    for from in (0..=last + 1).chain([FOREIGN]) {
        let rule = rule(from);
        if ranges.last().is_none_or(|range| range.rule != rule) {
            ranges.push(Range { from, rule });
        }
    }
    ranges
}
