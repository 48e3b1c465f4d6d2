//! SB: the ways out of a sandbox that others have had, as questions to the kernel and to what can be found inside.

use std::os::{linux::net::SocketAddrExt as _, unix::net};

use crate::{
    case::{Case, Driver},
    family::{Row, escape, row},
    probe::syscalls::{Argument, Call, program},
};

/// `ask!(SYS_one(1, "text"), SYS_two(…))`: system calls in a row.
macro_rules! ask {
    ($($call:ident($($argument:expr),*)),+ $(,)?) => {
        vec![$(Call::Native(libc::$call, vec![$(Argument::from($argument)),*])),+]
    };
}

/// What opens a file, and nothing more.
fn opens(name: &'static str, path: &str, flags: i32) -> Row {
    row(name, ask!(SYS_openat(libc::AT_FDCWD, path, flags, 0)))
}

/// What makes a socket of a family.
fn socket(name: &'static str, family: i32, kind: i32, protocol: i32) -> Row {
    row(name, ask!(SYS_socket(family, kind, protocol)))
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = [
        helpers(),
        kernel_settings(),
        namespaces(),
        processes(),
        facilities(),
        system(),
        terminals(),
        filters(),
        files(),
        sockets(),
    ]
    .into_iter()
    .flatten()
    .collect();
    cases.push(super::code_execution::works("SB-01", Driver::Program));
    cases.push(super::code_execution::works("SB-01", Driver::Root));
    cases
}

fn helpers() -> Vec<Case> {
    let mut cases = escape("SB-01", "Overwriting what the host runs", vec![
        Row::script("writing to process 1's program", "(exec 9>>/proc/1/exe) 2>/dev/null && echo OPEN"),
        Row::script("writing to the product's program", "touch /attack/x 2>/dev/null && echo OPEN; (exec 9>>/attack/cofferdam) 2>/dev/null && echo OPEN; rm -f /attack/cofferdam 2>/dev/null && [ ! -e /attack/cofferdam ] && echo OPEN"),
        Row::script("running process 1's program by its own name", "/proc/1/exe --version >/dev/null 2>&1 && echo OPEN"),
    ])
    .cases();
    cases.extend(
        escape(
            "SB-02",
            "Descriptors that were left open",
            vec![
                Row::script("more than the three", "[ \"$(ls /proc/self/fd | wc -l)\" -gt 4 ] && echo OPEN"),
                Row::script(
                    "a directory among them",
                    "for n in 3 4 5 6 7 8 9; do ls /proc/self/fd/$n/ >/dev/null 2>&1 && echo OPEN; done",
                ),
                Row::script(
                    "the working directory of process 1",
                    "ls /proc/1/cwd/ /proc/1/root/ >/dev/null 2>&1 && echo OPEN",
                ),
            ],
        )
        .cases(),
    );
    cases.extend(escape("SB-03", "The worker's environment and arguments", vec![
        Row::script("in any process", "cat /proc/*/environ /proc/*/cmdline 2>/dev/null | tr '\\0' '\\n' | grep -q 'cnr[y]' && echo OPEN"),
        Row::script("in the own one", "env | grep -q 'cnr[y]' && echo OPEN"),
        Row::script("in process 1", "[ -n \"$(tr -d '\\0' < /proc/1/environ 2>/dev/null)\" ] && echo OPEN"),
    ]).cases());
    cases
}

fn kernel_settings() -> Vec<Case> {
    let mut cases = escape(
        "SB-04",
        "Settings of the whole kernel",
        vec![
            opens("core_pattern", "/proc/sys/kernel/core_pattern", libc::O_WRONLY),
            opens("overcommit_memory", "/proc/sys/vm/overcommit_memory", libc::O_WRONLY),
            opens("drop_caches", "/proc/sys/vm/drop_caches", libc::O_WRONLY),
            opens("panic", "/proc/sys/kernel/panic", libc::O_WRONLY),
            Row::script(
                "the host's root is mapped",
                "awk '$2 == 0 { found = 1 } END { exit !found }' /proc/self/uid_map && echo OPEN",
            ),
        ],
    )
    .cases();
    cases.extend(
        escape(
            "SB-05",
            "Helpers that the kernel starts",
            vec![
                opens("modprobe", "/proc/sys/kernel/modprobe", libc::O_WRONLY),
                opens("poweroff_cmd", "/proc/sys/kernel/poweroff_cmd", libc::O_WRONLY),
                opens("binfmt_misc", "/proc/sys/fs/binfmt_misc/register", libc::O_WRONLY),
                opens("uevent_helper", "/sys/kernel/uevent_helper", libc::O_WRONLY),
                Row::script(
                    "core dumps",
                    "ulimit -c unlimited 2>/dev/null; [ \"$(ulimit -c)\" != 0 ] && echo OPEN",
                ),
            ],
        )
        .cases(),
    );
    cases.extend(
        escape(
            "SB-06",
            "Control groups with a release agent, and mounts of any kind",
            vec![
                row("fsopen cgroup", ask!(SYS_fsopen("cgroup", 0))),
                row("fsopen cgroup2", ask!(SYS_fsopen("cgroup2", 0))),
                row("fsopen overlay", ask!(SYS_fsopen("overlay", 0))),
                row("fsopen proc", ask!(SYS_fsopen("proc", 0))),
                row("mount", ask!(SYS_mount("none", "/", "no-such-kind", 0, 0))).harmless(),
                row("umount", ask!(SYS_umount2("/", 0x8000_0000_u64))).harmless(),
                row("open_tree", ask!(SYS_open_tree(libc::AT_FDCWD, "/", 1))),
                row("pivot_root", ask!(SYS_pivot_root("/", "/"))).harmless(),
            ],
        )
        .cases(),
    );
    cases.extend(escape("SB-07", "Control groups that can be written", vec![
        Row::script("in the file system", "for f in /sys/fs/cgroup /sys/fs/cgroup/* /sys/fs/cgroup/*/*; do [ -w \"$f\" ] && echo OPEN; done"),
        Row::script("among the mounts", "grep -q ' - cgroup' /proc/self/mountinfo && echo OPEN"),
    ]).cases());
    cases
}

fn namespaces() -> Vec<Case> {
    let clone_arguments = |flags: i32| {
        let mut bytes = vec![0; 64];
        bytes[..8].copy_from_slice(&i64::from(flags).to_le_bytes());
        bytes[32] = 17;
        bytes
    };
    escape(
        "SB-08",
        "User namespaces in the sandbox's own",
        vec![
            row("unshare user", ask!(SYS_unshare(libc::CLONE_NEWUSER))),
            row("unshare mount", ask!(SYS_unshare(libc::CLONE_NEWNS))),
            row("unshare network", ask!(SYS_unshare(libc::CLONE_NEWNET))),
            row("unshare pid", ask!(SYS_unshare(libc::CLONE_NEWPID))),
            row("clone user", ask!(SYS_clone(libc::CLONE_NEWUSER | 17, 0, 0, 0, 0))),
            row(
                "clone user and network",
                ask!(SYS_clone(libc::CLONE_NEWUSER | libc::CLONE_NEWNET | 17, 0, 0, 0, 0)),
            ),
            row("clone3 user", ask!(SYS_clone3(clone_arguments(libc::CLONE_NEWUSER), 64))),
            row(
                "setns",
                ask!(
                    SYS_openat(libc::AT_FDCWD, "/proc/self/ns/net", 0, 0),
                    SYS_setns(Argument::Result(0), 0)
                ),
            ),
            socket("nf_tables", libc::AF_NETLINK, libc::SOCK_RAW, 12),
        ],
    )
    .cases()
}

fn processes() -> Vec<Case> {
    // One piece of eight bytes, here and there.
    let piece = |at: u64| [at.to_le_bytes(), 8_u64.to_le_bytes()].concat();
    let mut cases = escape("SB-09", "Programs that change their user", vec![
        Row::script("new privileges", "grep -q 'NoNewPrivs:.0' /proc/self/status && echo OPEN"),
        Row::script("a copy of one", "cp \"$(command -v id)\" ./id 2>/dev/null && chmod 4777 ./id; [ \"$(id -u)\" != 0 ] && [ \"$(./id -u)\" = 0 ] && echo OPEN"),
        Row::script("mounts that honour them", "grep -v -e ' /dev' -e ' /proc' /proc/self/mountinfo | grep -qv nosuid && echo OPEN"),
    ])
    .cases();
    cases.extend(
        escape(
            "SB-10",
            "Attributes that only the host's root may set",
            vec![row(
                "trusted",
                ask!(
                    SYS_openat(libc::AT_FDCWD, "attribute", libc::O_CREAT | libc::O_RDWR, 0o600),
                    SYS_fsetxattr(Argument::Result(0), "trusted.overlay.opaque", "y", 1, 0),
                ),
            )],
        )
        .cases(),
    );
    cases.extend(
        escape(
            "SB-11",
            "The memory of process 1",
            vec![
                Row::script("mem", "head -c 1 /proc/1/mem >/dev/null 2>&1 && echo OPEN"),
                Row::script("maps", "[ -n \"$(cat /proc/1/maps 2>/dev/null)\" ] && echo OPEN"),
                row(
                    "process_vm_readv",
                    ask!(SYS_process_vm_readv(1, piece(0x40_0000), 1, piece(0x1000), 1, 0)),
                )
                .harmless(),
                row(
                    "process_vm_writev",
                    ask!(SYS_process_vm_writev(1, piece(0x40_0000), 1, piece(0x1000), 1, 0)),
                )
                .harmless(),
            ],
        )
        .cases(),
    );
    cases.extend(
        escape(
            "SB-12",
            "Taking descriptors of others",
            vec![row(
                "pidfd_getfd",
                ask!(
                    SYS_getppid(),
                    SYS_pidfd_open(Argument::Result(0), 0),
                    SYS_pidfd_getfd(Argument::Result(1), 0, 0)
                ),
            )],
        )
        .cases(),
    );
    cases.extend(
        escape(
            "SB-30",
            "Processes and shared memory of the host",
            vec![
                Row::script("processes", "[ \"$(ls /proc | grep -c '^[0-9]*$')\" -gt 20 ] && echo OPEN"),
                Row::script(
                    "shared memory",
                    "[ \"$(cat /proc/sysvipc/shm 2>/dev/null | wc -l)\" -gt 1 ] && echo OPEN",
                ),
                row("kcmp", ask!(SYS_kcmp(1, 1, 0, 0, 0))),
            ],
        )
        .cases(),
    );
    cases
}

fn facilities() -> Vec<Case> {
    let mut cases = escape(
        "SB-13",
        "Keyrings",
        vec![
            row("keyctl", ask!(SYS_keyctl(0, -3, 1))),
            row("add_key", ask!(SYS_add_key("user", "cofferdam-attack", "x", 1, -2))),
            row("request_key", ask!(SYS_request_key("user", "cofferdam-attack-none", 0, 0))).harmless(),
        ],
    )
    .cases();
    cases.extend(
        escape(
            "SB-14",
            "What holds the kernel up",
            vec![row("userfaultfd", ask!(SYS_userfaultfd(1))), opens("fuse", "/dev/fuse", libc::O_RDWR)],
        )
        .cases(),
    );
    cases.extend(
        escape(
            "SB-15",
            "io_uring",
            vec![
                row("io_uring_setup", ask!(SYS_io_uring_setup(1, vec![0; 120]))),
                row("io_uring_enter", ask!(SYS_io_uring_enter(-1, 0, 0, 0, 0, 0))).harmless(),
                row("io_uring_register", ask!(SYS_io_uring_register(-1, 0, 0, 0))).harmless(),
            ],
        )
        .cases(),
    );
    cases
}

fn system() -> Vec<Case> {
    escape(
        "SB-16",
        "What only the system's administrator does",
        vec![
            row("bpf", ask!(SYS_bpf(0, vec![0; 72], 72))).harmless(),
            row("perf_event_open", ask!(SYS_perf_event_open(vec![0; 128], 0, -1, -1, 0))).harmless(),
            row("kexec_load", ask!(SYS_kexec_load(0, 0, 0, -1))).harmless(),
            row("init_module", ask!(SYS_init_module(0, 0, ""))).harmless(),
            row("swapon", ask!(SYS_swapon("/", 0x7fff_0000))).harmless(),
            row("quotactl", ask!(SYS_quotactl(-1, 0, 0, 0))).harmless(),
            row(
                "open_by_handle_at",
                ask!(SYS_open_by_handle_at(
                    libc::AT_FDCWD,
                    vec![8, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0],
                    0
                )),
            )
            .harmless(),
            row("fanotify_init", ask!(SYS_fanotify_init(0, 0))),
            row("reboot", ask!(SYS_reboot(0, 0, 0, 0))).harmless(),
            row("clock_settime", ask!(SYS_clock_settime(0, vec![0xff; 16]))).harmless(),
            row("syslog", ask!(SYS_syslog(10, 0, 0))),
            row("iopl", ask!(SYS_iopl(3))),
            row("ioperm", ask!(SYS_ioperm(0x80, 1, 1))),
            row("move_mount", ask!(SYS_move_mount(-1, "", -1, "", 0x7fff_0000))).harmless(),
            row("sethostname", ask!(SYS_sethostname("x", -1))).harmless(),
        ],
    )
    .cases()
}

fn terminals() -> Vec<Case> {
    // A new terminal pair: its lock is opened, and its other side.
    let pair = || {
        ask!(
            SYS_openat(libc::AT_FDCWD, "/dev/ptmx", libc::O_RDWR | libc::O_NOCTTY, 0),
            SYS_ioctl(Argument::Result(0), 0x4004_5431, vec![0; 4]),
            SYS_ioctl(Argument::Result(0), 0x5441, libc::O_RDWR | libc::O_NOCTTY),
        )
    };
    let then = |calls: Vec<Call>| [pair(), calls].concat();
    escape(
        "SB-17",
        "Typing into somebody else's terminal",
        vec![
            row("TIOCSTI", then(ask!(SYS_ioctl(Argument::Result(2), 0x5412, "x")))),
            row(
                "TIOCSTI with the upper half set",
                then(ask!(SYS_ioctl(Argument::Result(2), 0x1_0000_5412_u64, "x"))),
            ),
            row("TIOCLINUX", then(ask!(SYS_ioctl(Argument::Result(2), 0x541c, vec![2; 8])))).harmless(),
            opens("the controlling terminal", "/dev/tty", libc::O_RDWR),
        ],
    )
    .cases()
}

fn filters() -> Vec<Case> {
    let number = |number: i64| vec![Call::Native(number, Vec::new())];
    let mut cases = escape(
        "SB-18",
        "System calls of other architectures",
        vec![
            row("int 0x80", vec![Call::Interrupt80(20)]),
            row("x32", number(libc::SYS_getpid | 0x4000_0000)),
        ],
    )
    .cases();
    cases.extend(
        escape(
            "SB-19",
            "Supervising system calls",
            vec![
                row("a filter with a listener", ask!(SYS_prctl(38, 1, 0, 0, 0), SYS_seccomp(1, 8, 0)))
                    .harmless(),
            ],
        )
        .cases(),
    );
    let calls = ask!(SYS_unshare(libc::CLONE_NEWUSER));
    let inner = program(&calls);
    let length = inner.len() as u64;
    let calls = ask!(
        SYS_memfd_create("x", 0),
        SYS_write(Argument::Result(0), inner, length),
        SYS_execveat(Argument::Result(0), "", 0, 0, 0x1000),
    );
    cases.extend(
        escape("SB-20", "A program without a file has the same filter", vec![row("execveat", calls)]).cases(),
    );
    cases.extend(
        escape(
            "SB-21",
            "Other personalities",
            vec![
                row("READ_IMPLIES_EXEC", ask!(SYS_personality(0x040_0000))),
                row("ADDR_COMPAT_LAYOUT", ask!(SYS_personality(0x020_0000))),
                row("modify_ldt", ask!(SYS_modify_ldt(0, vec![0; 16], 16))),
            ],
        )
        .cases(),
    );
    cases
}

fn files() -> Vec<Case> {
    let mut cases = escape("SB-22", "Places of the sandbox that are swapped for links", vec![
        Row::script("a device", "rm -f /dev/null 2>/dev/null; ln -s /workspace /dev/null 2>/dev/null; [ -c /dev/null ] || echo OPEN"),
        Row::script("a directory of the system", "mv /etc /etc2 2>/dev/null && [ \"$(id -u)\" != 0 ] && echo OPEN; mv /proc /p 2>/dev/null && echo OPEN"),
    ])
    .cases();
    cases.extend(
        escape(
            "SB-24",
            "Mounts that the host would see",
            vec![
                Row::script("shared", "grep -qE ' shared:' /proc/self/mountinfo && echo OPEN"),
                Row::script("following the host's", "grep -qE ' master:' /proc/self/mountinfo && echo OPEN"),
            ],
        )
        .cases(),
    );
    cases.extend(escape("SB-25", "The host's files under another name", vec![
        Row::script("the world of this case", "cat {world}/home/.ssh/id_ed25519 {world}/private/secret.txt 2>/dev/null | grep -q . && echo OPEN"),
        Row::script("by way of process 1", "ls /proc/1/root{world} 2>/dev/null | grep -q . && echo OPEN"),
        Row::script("the host's users' homes", "ls ~root/.ssh ~root/.bash_history /etc/shadow- 2>/dev/null | grep -q . && echo OPEN"),
    ]).cases());
    cases.extend(
        escape(
            "SB-27",
            "What the kernel tells about the host",
            vec![
                Row::script(
                    "host paths among the mounts",
                    "grep -q '{world}' /proc/self/mountinfo && echo OPEN",
                ),
                Row::script(
                    "memory",
                    "[ -n \"$(head -c 8 /proc/kcore 2>/dev/null | tr -d '\\0')\" ] && echo OPEN",
                ),
                Row::script("keys", "[ -n \"$(cat /proc/keys 2>/dev/null)\" ] && echo OPEN"),
                Row::script("timers", "[ -n \"$(head -c 8 /proc/timer_list 2>/dev/null)\" ] && echo OPEN"),
                Row::script(
                    "addresses of the kernel",
                    "grep -m1 -qv '^0000000000000000' /proc/kallsyms 2>/dev/null && echo OPEN",
                ),
                Row::script("messages", "dmesg 2>/dev/null | grep -q . && echo OPEN"),
            ],
        )
        .cases(),
    );
    cases.extend(
        escape(
            "SB-28",
            "Devices",
            vec![
                opens("mem", "/dev/mem", libc::O_RDONLY),
                opens("kmsg", "/dev/kmsg", libc::O_RDONLY),
                opens("kvm", "/dev/kvm", libc::O_RDWR),
                opens("tun", "/dev/net/tun", libc::O_RDWR),
                opens("loop-control", "/dev/loop-control", libc::O_RDWR),
                opens("a disk", "/dev/vda", libc::O_RDONLY),
                opens("another disk", "/dev/sda", libc::O_RDONLY),
                row("mknod of memory", ask!(SYS_mknodat(libc::AT_FDCWD, "mem", 0o20_600, 0x101))),
                row("mknod of a disk", ask!(SYS_mknodat(libc::AT_FDCWD, "disk", 0o60_600, 0x800))),
            ],
        )
        .cases(),
    );
    cases.extend(escape("SB-29", "The kernel's objects as files", vec![
        Row::script("anything in /sys that can be written", "[ -d /sys ] && find /sys -maxdepth 3 -type f -writable 2>/dev/null | grep -q . && echo OPEN"),
        opens("firmware", "/sys/firmware/acpi/tables/DSDT", libc::O_RDONLY),
        opens("debugfs", "/sys/kernel/debug", libc::O_RDONLY),
        opens("security", "/sys/kernel/security", libc::O_RDONLY),
    ]).cases());
    cases
}

fn sockets() -> Vec<Case> {
    let mut cases = escape(
        "SB-33",
        "Socket families that lead out of a network namespace or deep into the kernel",
        vec![
            socket("VSOCK", 40, libc::SOCK_STREAM, 0),
            socket("PACKET", libc::AF_PACKET, libc::SOCK_RAW, 0x300),
            socket("raw ICMP", libc::AF_INET, libc::SOCK_RAW, 1),
            socket("raw IPv6", libc::AF_INET6, libc::SOCK_RAW, 58),
            socket("audit", libc::AF_NETLINK, libc::SOCK_RAW, 9),
            socket("socket diagnosis", libc::AF_NETLINK, libc::SOCK_RAW, 4),
            socket("uevents", libc::AF_NETLINK, libc::SOCK_RAW, 15),
            socket("crypto", libc::AF_ALG, libc::SOCK_SEQPACKET, 0),
            socket("SCTP", libc::AF_INET, libc::SOCK_SEQPACKET, 132),
            socket("UDP-Lite", libc::AF_INET, libc::SOCK_DGRAM, 136),
            socket("MPTCP", libc::AF_INET, libc::SOCK_STREAM, 262),
            socket("XDP", 44, libc::SOCK_RAW, 0),
            socket("SMC", 43, libc::SOCK_STREAM, 0),
            socket("TIPC", 30, libc::SOCK_STREAM, 0),
            socket("RDS", 21, libc::SOCK_SEQPACKET, 0),
            socket("key", libc::AF_KEY, libc::SOCK_RAW, 2),
            socket("KCM", 41, libc::SOCK_DGRAM, 0),
            socket("Bluetooth", 31, libc::SOCK_RAW, 1),
            socket("CAN", 29, libc::SOCK_RAW, 1),
        ],
    )
    .cases();
    cases.extend(unix_sockets().unwrap_or_default());
    cases
}

/// Servers of the host that wait for anybody.
fn unix_sockets() -> Option<Vec<Case>> {
    let connects = |name: &'static str, path: &[u8]| {
        let mut address = vec![1, 0];
        address.extend_from_slice(path);
        let length = address.len() as u64;
        row(
            name,
            ask!(
                SYS_socket(libc::AF_UNIX, libc::SOCK_STREAM, 0),
                SYS_connect(Argument::Result(0), address, length)
            ),
        )
    };
    let name = format!("cofferdam-attack-{}-{}", std::process::id(), fastrand::u32(..));
    let hidden = net::UnixListener::bind_addr(&net::SocketAddr::from_abstract_name(&name).ok()?).ok()?;
    let folder = tempfile::tempdir().ok()?;
    let path = folder.path().join("server.sock");
    let plain = net::UnixListener::bind(&path).ok()?;
    let mut cases = escape(
        "SB-31",
        "A socket of the host without a file",
        vec![connects("abstract", format!("\0{name}").as_bytes())],
    )
    .bait(hidden)
    .cases();
    let at = format!("{}\0", path.display());
    cases.extend(
        escape("SB-32", "A socket of the host in its file system", vec![
            connects("a path", at.as_bytes()),
            Row::script("the usual ones", "for s in /var/run/docker.sock /run/docker.sock /run/podman/podman.sock /run/dbus/system_bus_socket /run/systemd/private \"$SSH_AUTH_SOCK\"; do [ -S \"$s\" ] && echo OPEN; done"),
        ])
        .bait((plain, folder))
        .cases(),
    );
    Some(cases)
}
