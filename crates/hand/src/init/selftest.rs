//! The self-test: tries, as a command would, what commands must not be able to do.
//!
//! It runs in a fork of process 1 that has become the agent. What is found is what the kernel really does,
//! whatever was asked of it when the sandbox was built.

use std::{
    fs::{self, OpenOptions},
    io,
    os::{fd::BorrowedFd, unix::fs::FileTypeExt as _},
};

use cofferdam_hand::protocol::{
    channel,
    message::{Profile, Reply, ReplyBody, RequestId, Tested},
    text::Notice,
};
use rustix::{process::Pid, thread::no_new_privs};

use crate::{
    privilege,
    sys::{
        self,
        attempts::{ATTEMPTS, DEVICE_NODES, Detour},
        process::Fork,
    },
};

/// Forks the self-test. What it has found is reported on `report`.
///
/// # Errors
/// When there is no room for another process.
pub(super) fn start(id: RequestId, profile: Profile, report: BorrowedFd<'_>) -> io::Result<Pid> {
    match sys::process::fork()? {
        Fork::Parent(child) => Ok(child),
        Fork::Child => {
            let ready = sys::process::close_all_but(&[report])
                .and_then(|()| privilege::become_agent())
                .and_then(|()| sys::process::unblock_signals());
            let tested = match ready {
                Ok(()) => run(profile),
                Err(error) => failed(0, "becoming a command", &error.to_string()),
            };
            let told = channel::send(report, &Reply { id, body: ReplyBody::Tested(tested) }, &[]);
            sys::process::exit_now(u8::from(told.is_err()))
        }
    }
}

fn failed(passed: u32, probe: &str, found: &str) -> Tested {
    Tested { passed, failed: Some(Notice::new(format!("{probe}: {found}"))) }
}

/// Tries everything, up to the first thing that is not as it should be.
fn run(profile: Profile) -> Tested {
    let mut passed = 0;
    let detours = Detour::ALL.iter().map(|(name, detour)| (*name, deadly(*detour, profile)));
    let calls = ATTEMPTS.iter().filter(|attempt| !(profile.own_kernel && attempt.name == DEVICE_NODES));
    let calls = calls.map(|attempt| (attempt.name, attempt.make()));
    // The last thing tried is what could end the test itself.
    for (name, result) in states(profile).chain(calls).chain(detours) {
        match result {
            Ok(()) => passed += 1,
            Err(found) => return failed(passed, name, &found),
        }
    }
    Tested { passed, failed: None }
}

fn deadly(detour: Detour, profile: Profile) -> Result<(), String> {
    match detour.killed_by() {
        Ok(Some(libc::SIGSYS)) => Ok(()),
        // Another kernel may know no such way at all, which is an invalid instruction then.
        Ok(Some(_)) if profile.own_kernel => Ok(()),
        Ok(_) => Err("it is possible".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

type Check = fn(Profile) -> Result<(), String>;

/// What can be seen rather than tried.
fn states(profile: Profile) -> impl Iterator<Item = (&'static str, Result<(), String>)> {
    let checks: [(&str, Check); 11] = [
        ("capabilities", |_| capabilities()),
        ("no new privileges", |_| {
            if no_new_privs().unwrap_or(false) { Ok(()) } else { Err("not set".to_owned()) }
        }),
        ("the system call filter", |_| expect_in("/proc/self/status", "Seccomp:\t2\n")),
        ("nested namespaces", |profile| match profile.own_users {
            true => expect_in("/proc/sys/user/max_user_namespaces", "0\n"),
            // There is the filter, which is tried below.
            false => Ok(()),
        }),
        ("the environment of process 1", |_| unreadable("/proc/1/environ")),
        ("the memory of process 1", |_| unreadable("/proc/1/mem")),
        ("the program of process 1", |_| {
            unwritable("/proc/1/exe").and_then(|()| unwritable("/proc/self/exe"))
        }),
        ("settings of the kernel", |_| {
            unwritable("/proc/sys/kernel/core_pattern").and_then(|()| unwritable("/proc/sys/vm/drop_caches"))
        }),
        ("the kernel's memory", |profile| {
            masked("/proc/kcore", profile).and_then(|()| masked("/proc/sysrq-trigger", profile))
        }),
        ("/sys", |profile| if profile.own_kernel { Ok(()) } else { empty("/sys") }),
        ("Landlock", landlock),
    ];
    checks.into_iter().map(move |(name, check)| (name, check(profile)))
}

fn capabilities() -> Result<(), String> {
    let status = fs::read_to_string("/proc/self/status").map_err(|error| error.to_string())?;
    let any = status.lines().find(|line| line.starts_with("Cap") && !line.ends_with("\t0000000000000000"));
    any.map_or(Ok(()), |line| Err(line.replace('\t', " ")))
}

fn expect_in(path: &str, text: &str) -> Result<(), String> {
    match fs::read_to_string(path) {
        Ok(content) if content.contains(text) => Ok(()),
        Ok(_) => Err(format!("not in {path}")),
        Err(error) => Err(error.to_string()),
    }
}

fn unreadable(path: &str) -> Result<(), String> {
    // Some files of processes can be opened by anybody and say nothing then.
    match fs::File::open(path).and_then(|mut file| io::Read::read(&mut file, &mut [0; 1])) {
        Ok(0) | Err(_) => Ok(()),
        Ok(_) => Err(format!("{path} can be read")),
    }
}

fn unwritable(path: &str) -> Result<(), String> {
    match OpenOptions::new().write(true).open(path) {
        Ok(_) => Err(format!("{path} can be written to")),
        Err(_) => Ok(()),
    }
}

/// Whether there is nothing at a path, or the null device over it; on a kernel of its own, nothing that could be used.
fn masked(path: &str, profile: Profile) -> Result<(), String> {
    if profile.own_kernel {
        return unreadable(path).and_then(|()| unwritable(path));
    }
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_char_device() => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(_) => Err(format!("{path} is not covered")),
        Err(error) => Err(error.to_string()),
    }
}

fn empty(path: &str) -> Result<(), String> {
    match fs::read_dir(path).map(Iterator::count) {
        Ok(0) => Ok(()),
        Ok(entries) => Err(format!("{entries} entries in {path}")),
        Err(error) => Err(error.to_string()),
    }
}

/// Without Landlock, making a device node fails for the capability that is missing, which is looked at later. Another kernel may let
/// everybody make some; then nobody may use them.
fn landlock(profile: Profile) -> Result<(), String> {
    const NODE: &str = "/tmp/.cofferdam-self-test";
    let refused = rustix::fs::mknodat(
        rustix::fs::CWD,
        NODE,
        rustix::fs::FileType::CharacterDevice,
        rustix::fs::Mode::RUSR,
        rustix::fs::makedev(1, 3),
    );
    match (refused, profile.landlock) {
        (Err(rustix::io::Errno::ACCESS), true) | (Err(_), false) => Ok(()),
        (Err(errno), true) => Err(format!("not in force ({errno})")),
        (Ok(()), _) if profile.own_kernel => {
            let usable = unreadable(NODE).and_then(|()| unwritable(NODE));
            fs::remove_file(NODE).map_err(|error| error.to_string()).and(usable)
        }
        (Ok(()), _) => Err("a device node can be made".to_owned()),
    }
}
