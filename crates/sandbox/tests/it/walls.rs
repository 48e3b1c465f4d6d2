//! The walls one by one, from inside, by programs that have nothing to do with ours; and the self-test that tries them before any command.

use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, net::UnixListener},
};

use cofferdam_sandbox::{Sandbox, System};

use crate::support::{Place, is_root, sh};

/// Python that calls the system by number: `call(name, expected error, number, arguments…)` prints what is not as expected.
const CALLS: &str = "import ctypes, errno, os, platform, socket, stat\n\
    libc = ctypes.CDLL(None, use_errno=True)\n\
    libc.syscall.restype = ctypes.c_long\n\
    def call(name, expected, number, *arguments):\n\
    \x20   result = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) for a in arguments])\n\
    \x20   found = errno.errorcode.get(ctypes.get_errno()) if result < 0 else 'POSSIBLE'\n\
    \x20   if found != expected: print(name, found, 'rather than', expected)\n\
    def refused(name, expected, action):\n\
    \x20   try: action(); print(name, 'POSSIBLE')\n\
    \x20   except OSError as error:\n\
    \x20       if error.errno not in expected: print(name, error)\n";

async fn python(sandbox: &dyn Sandbox, script: &str) -> Option<String> {
    if sh(sandbox, "command -v python3").await.is_empty() {
        eprintln!("SKIPPED: no python3 to try calls with");
        return None;
    }
    sandbox.write("/tmp/try.py", format!("{CALLS}{script}print('done')\n").as_bytes(), None).await.unwrap();
    Some(sh(sandbox, "python3 /tmp/try.py 2>&1").await)
}

#[tokio::test]
async fn the_self_test_has_passed_before_the_first_command() {
    let Some(place) = Place::new().await else { return };
    assert!(!place.driver.level().contains("probes"), "nothing has been tried yet");
    let sandbox = place.sandbox("layer").await;
    let level = sandbox.level().to_owned();
    let passed =
        level.rsplit("; ").next().and_then(|last| last.strip_suffix(" probes passed")).unwrap_or_default();
    assert!(passed.parse::<u32>().is_ok_and(|passed| passed >= 40), "{level}");
    assert!(place.driver.level().contains("probes passed"));
    assert!(level.contains("Landlock") && level.contains("user id"), "{level}");
    println!("{level}");
    sandbox.destroy().await.unwrap();
    if is_root() {
        let mut spec = place.spec("writable");
        spec.system = System::Writable;
        let sandbox = place.create(spec).await;
        assert!(
            sandbox.level().contains("probes passed"),
            "the agent of a sandbox with a root is tested as well"
        );
        sandbox.destroy().await.unwrap();
    }
}

#[tokio::test]
async fn calls_that_reach_the_machine_are_refused() {
    let Some(place) = Place::new().await else { return };
    let sandbox = place.sandbox("layer").await;
    // Numbers of x86_64; the other architecture has the self-test.
    let script = "if platform.machine() == 'x86_64':\n\
        \x20   for name, number in dict(mount=165, umount2=166, pivot_root=155, chroot=161, setns=308, bpf=321, userfaultfd=323, keyctl=250, add_key=248,\n\
        \x20           request_key=249, perf_event_open=298, kexec_load=246, init_module=175, finit_module=313, delete_module=176, reboot=169, swapon=167, quotactl=179,\n\
        \x20           open_by_handle_at=304, name_to_handle_at=303, fanotify_init=300, syslog=103, acct=163, kcmp=312, process_vm_readv=310, process_vm_writev=311,\n\
        \x20           pidfd_getfd=438, modify_ldt=154, ioperm=173, iopl=172, settimeofday=164, clock_settime=227, open_tree=428, move_mount=429, fsopen=430, mount_setattr=442,\n\
        \x20           sethostname=170, vhangup=153, move_pages=279, lookup_dcookie=212).items():\n\
        \x20       call(name, 'EPERM', number, -1, 0, 0, 0, 0)\n\
        \x20   for flag in 0x10000000, 0x20000, 0x40000000, 0x20000000, 0x8000000, 0x4000000, 0x2000000:\n\
        \x20       call('unshare %x' % flag, 'EPERM', 272, flag)\n\
        \x20       call('clone %x' % flag, 'EPERM', 56, flag | 17, 0, 0, 0, 0)\n\
        \x20   call('clone3', 'ENOSYS', 435, 0, 0)\n\
        \x20   for number in 425, 426, 427: call('io_uring', 'ENOSYS', number, 0, 0, 0, 0)\n\
        \x20   call('personality', 'EPERM', 135, 0x0400000)\n\
        \x20   call('seccomp listener', 'EPERM', 317, 1, 8, 0)\n\
        \x20   call('limits of process 1', 'EPERM', 302, 1, 4, 0, 0)\n\
        \x20   call('trace process 1', 'EPERM', 101, 0x4206, 1, 0, 0)\n\
        \x20   call('PR_SET_MM', 'EPERM', 157, 35, 1, 0, 0, 0)\n\
        \x20   for request in 0x5412, 0x541c, 0x5423: call('ioctl %x' % request, 'EPERM', 16, 0, request, 0)\n\
        for family, kind, protocol in (40, 1, 0), (17, 3, 0), (38, 5, 0), (16, 3, 4), (16, 3, 9), (16, 3, 12), (16, 3, 16), (31, 3, 0), (21, 1, 0), (44, 3, 0):\n\
        \x20   refused('family %d %d' % (family, protocol), [97], lambda: socket.socket(family, kind, protocol))\n\
        for kind, protocol in (3, 1), (3, 255), (2, 1), (5, 132), (1, 262), (2, 136):\n\
        \x20   refused('internet %d %d' % (kind, protocol), [93], lambda: socket.socket(socket.AF_INET, kind, protocol))\n\
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0); socket.socketpair()\n";
    if let Some(found) = python(&*sandbox, script).await {
        assert_eq!(found, "done\n");
    }
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn files_that_give_rights_give_none() {
    let Some(place) = Place::new().await else { return };
    let base = place.base();
    // Owned by whoever runs the test, root among them, and seen inside as the agent's.
    fs::copy("/usr/bin/id", base.join("suid")).unwrap();
    fs::set_permissions(base.join("suid"), fs::Permissions::from_mode(0o6755)).unwrap();
    let sandbox = place.sandbox("layer").await;
    assert_eq!(
        sh(&*sandbox, "cp /usr/bin/id own; chmod 6755 own; ./suid -u; ./own -u; ls -l own | cut -c1-10")
            .await,
        "1000\n1000\n-rwsr-sr-x\n"
    );
    let script = "open('file', 'w').close()\n\
        refused('file capability', [1, 95], lambda: os.setxattr('file', 'security.capability', bytes([1,0,0,2,255,255,255,255,0,0,0,0,0,0,0,0,0,0,0,0])))\n\
        refused('trusted attribute', [1, 95], lambda: os.setxattr('file', 'trusted.overlay.opaque', b'y'))\n\
        for major, minor in (1, 1), (1, 3), (8, 0), (10, 232): refused('node', [13, 1], lambda: os.mknod('/tmp/node', 0o600 | stat.S_IFCHR, os.makedev(major, minor)))\n\
        refused('block node', [13, 1], lambda: os.mknod('node', 0o600 | stat.S_IFBLK, os.makedev(8, 0)))\n\
        os.mkfifo('pipe')\n\
        refused('becoming root', [1, 22], lambda: os.setuid(0))\n\
        refused('becoming somebody', [1, 22], lambda: os.setgid(4))\n\
        refused('groups', [1], lambda: os.setgroups([0]))\n";
    if let Some(found) = python(&*sandbox, script).await {
        assert_eq!(found, "done\n");
    }
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn what_the_kernel_tells_of_the_machine_is_covered() {
    let Some(place) = Place::new().await else { return };
    let sandbox = place.sandbox("layer").await;
    let covered = "cd /proc; for f in cmdline config.gz diskstats interrupts kallsyms kcore key-users keys kmsg latency_stats modules partitions sched_debug sysrq-trigger \
                   timer_list; do [ -e $f ] && [ -n \"$(head -c 1 $f 2>/dev/null | tr -d '\\0')\" ] && echo $f; done; \
                   for d in acpi asound bus driver fs irq scsi /sys; do ls -A $d 2>/dev/null; done; echo end";
    assert_eq!(sh(&*sandbox, covered).await, "end\n");
    let roots = sh(
        &*sandbox,
        "grep -e ' /workspace ' -e ' /tmp ' -e '/.cargo/' /proc/self/mountinfo | cut -d' ' -f4-",
    )
    .await;
    assert!(!roots.contains(place.path("").to_str().unwrap()), "where layers are on the host: {roots}");
    // What programs do need.
    assert_eq!(
        sh(
            &*sandbox,
            "cat /proc/meminfo /proc/cpuinfo /proc/stat /proc/self/status > /dev/null && echo there"
        )
        .await,
        "there\n"
    );
    assert_eq!(sh(&*sandbox, "grep ' /proc/sys ' /proc/self/mountinfo | grep -c ' ro,'").await, "1\n");
    assert_eq!(
        sh(&*sandbox, "ls /dev | tr '\\n' ' '").await,
        "fd full null ptmx pts random shm stderr stdin stdout tty urandom zero "
    );
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn landlock_stands_behind_the_mounts() {
    let Some(place) = Place::new().await else { return };
    let sandbox = place.sandbox("layer").await;
    if sandbox.level().contains("Landlock: none") {
        eprintln!("SKIPPED: no Landlock");
        return;
    }
    // A missing capability alone would be EPERM, a read-only filesystem EROFS.
    let script = "try: os.mknod('/tmp/node', 0o600 | stat.S_IFCHR, os.makedev(1, 3))\n\
                  except OSError as error: print(errno.errorcode[error.errno])\n\
                  for path in '/dev/null', '/tmp/a', '/dev/shm/a', '/run/a', '/var/tmp/a', os.path.expanduser('~/a'), '/workspace/a', '/proc/self/oom_score_adj':\n\
                  \x20   with open(path, 'w') as file: file.write('1000')\n\
                  os.rename('/workspace/a', '/workspace/b'); os.mkdir('/workspace/d'); os.rename('/workspace/b', '/workspace/d/c'); os.truncate('/workspace/d/c', 1)\n";
    if let Some(found) = python(&*sandbox, script).await {
        assert_eq!(found, "EACCES\ndone\n");
    }
    let terminal = cofferdam_sandbox::Command {
        terminal: true,
        ..crate::support::shell(
            "echo one > /dev/stdout; echo two > /dev/tty; stty -a > /dev/null && echo three",
        )
    };
    let printed = crate::support::text(&crate::support::run(&*sandbox, terminal).await);
    assert!(printed.contains("two") && printed.contains("three"), "{printed}");
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn a_socket_in_the_workspace_leads_nowhere() {
    let Some(place) = Place::new().await else { return };
    let listener = UnixListener::bind(place.base().join("daemon.sock")).unwrap();
    listener.set_nonblocking(true).unwrap();
    fs::set_permissions(place.base().join("daemon.sock"), fs::Permissions::from_mode(0o777)).unwrap();
    let sandbox = place.sandbox("layer").await;
    assert_eq!(sh(&*sandbox, "stat -c %F daemon.sock").await, "socket\n");
    let script = "refused('the host\\'s socket', [111, 13], lambda: socket.socket(socket.AF_UNIX).connect('/workspace/daemon.sock'))\n\
                  own = socket.socket(socket.AF_UNIX); own.bind('/tmp/own.sock'); own.listen(); socket.socket(socket.AF_UNIX).connect('/tmp/own.sock')\n\
                  name = socket.socket(socket.AF_UNIX); name.bind('\\0own'); name.listen(); socket.socket(socket.AF_UNIX).connect('\\0own')\n";
    if let Some(found) = python(&*sandbox, script).await {
        assert_eq!(found, "done\n");
    }
    assert!(listener.accept().is_err());
    sandbox.destroy().await.unwrap();
}
