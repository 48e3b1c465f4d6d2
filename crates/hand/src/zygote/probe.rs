//! Tries what sandboxes need, so that a person can be told what a host lacks. Nothing is guessed from the
//! names of files.

use std::{
    io::{self, Read as _, Write as _},
    os::fd::{AsFd as _, OwnedFd},
};

use cofferdam_hand::protocol::zygote::{AGENT_ID, Attempt, Ids, Network, Probed};
use rustix::{
    fs::{CWD, Mode, OFlags, mkdirat, open},
    io::Errno,
    mount::{MountFlags, MountPropagationFlags, mount, mount_change},
    pipe::{PipeFlags, pipe_with},
    process::chdir,
    thread::set_no_new_privs,
};

use super::{
    ids,
    mounts::{attach, open_layer},
    network,
    owner::{self, GroupChanges},
    seccomp,
};
use crate::sys::{
    landlock,
    namespace::{self, Cloned, MountChange, Namespaces, change_mount},
    process::exit_now,
};

/// A directory that every host has, to mount things on in a namespace of our own.
const STAGE: &str = "/sys";

/// Tries everything.
pub(super) fn probe(ids: Ids) -> Probed {
    let mut attempts = Vec::new();
    // What cannot even be begun counts as the first attempt's failure.
    if let Err(error) = try_in_child(ids, &mut attempts)
        && attempts.is_empty()
    {
        attempts.push((Attempt::Namespaces, number(&error)));
    }
    Probed { attempts, landlock: landlock::version() }
}

fn try_in_child(ids: Ids, attempts: &mut Vec<(Attempt, i32)>) -> io::Result<()> {
    let (go, start) = pipe_with(PipeFlags::CLOEXEC)?;
    let (results, results_in) = pipe_with(PipeFlags::CLOEXEC)?;
    match namespace::clone_process(Namespaces::SANDBOX, None)? {
        Cloned::Parent(pid, _pidfd) => {
            drop(results_in);
            attempts.push((Attempt::Namespaces, 0));
            let process = format!("/proc/{}", pid.as_raw_nonzero());
            let mapped = owner::write_maps(&process, ids::first_map(ids), GroupChanges::Denied);
            attempts.push((Attempt::IdMaps, mapped.as_ref().err().map_or(0, number)));
            if mapped.is_ok() {
                rustix::io::write(&start, b"g")?;
            }
            // Only now: nobody may be left to read what was written, and that would end this process.
            drop((go, start));
            let mut bytes = Vec::new();
            std::fs::File::from(results).read_to_end(&mut bytes)?;
            let tried: Vec<(Attempt, i32)> = postcard::from_bytes(&bytes).unwrap_or_default();
            attempts.extend(tried);
            // Reaped by the system otherwise.
            rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty()).ok();
            Ok(())
        }
        Cloned::Child => {
            drop((start, results));
            if super::build::wait_for_go(&go) {
                write_results(results_in);
            }
            exit_now(0)
        }
    }
}

fn write_results(results: OwnedFd) {
    let tried: Vec<(Attempt, i32)> = [
        (Attempt::Mounts, mounts as fn() -> io::Result<()>),
        (Attempt::DetachedMounts, detached_mounts),
        (Attempt::Overlay, overlay),
        (Attempt::Proc, proc),
        (Attempt::Loopback, loopback),
        (Attempt::Capture, captured),
        (Attempt::Filter, filter),
    ]
    .map(|(attempt, run)| (attempt, run().err().as_ref().map_or(0, number)))
    .into();
    // If the parent no longer listens, nobody wants to know.
    if let Ok(bytes) = postcard::to_stdvec(&tried) {
        std::fs::File::from(results).write_all(&bytes).ok();
    }
}

fn number(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or_else(|| Errno::IO.raw_os_error())
}

fn mounts() -> io::Result<()> {
    let (uid, gid) = (rustix::thread::Uid::from_raw(AGENT_ID), rustix::thread::Gid::from_raw(AGENT_ID));
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    mount("tmpfs", STAGE, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, c"mode=755,size=1m")?;
    chdir(STAGE)?;
    for directory in ["lower", "upper", "work", "merged", "proc", "copy"] {
        mkdirat(CWD, directory, Mode::from_raw_mode(0o755))?;
    }
    Ok(())
}

fn detached_mounts() -> io::Result<()> {
    let copy = open_layer(b"lower")?;
    change_mount(copy.as_fd(), MountChange { read_only: true, untrusted: true, recursive: true })?;
    let target = open("copy", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    attach(&copy, &target)
}

fn overlay() -> io::Result<()> {
    let options = c"lowerdir=lower,upperdir=upper,workdir=work,userxattr";
    Ok(mount("overlay", "merged", "overlay", MountFlags::NOSUID | MountFlags::NODEV, options)?)
}

fn proc() -> io::Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    Ok(mount("proc", "proc", "proc", flags, c"hidepid=2")?)
}

fn loopback() -> io::Result<()> {
    Ok(network::loopback_up()?)
}

fn captured() -> io::Result<()> {
    network::open(Network::Captured).map(drop).map_err(|failure| io::Error::from_raw_os_error(failure.errno))
}

/// Tries in a network namespace of its own whether connections can be captured. An error number, 0 for success.
pub(super) fn capture() -> i32 {
    let tried = || -> io::Result<i32> {
        let (result, result_in) = pipe_with(PipeFlags::CLOEXEC)?;
        match namespace::clone_process(Namespaces::NETWORK, None)? {
            Cloned::Parent(..) => {
                drop(result_in);
                let mut bytes = [0; size_of::<i32>()];
                std::fs::File::from(result).read_exact(&mut bytes)?;
                Ok(i32::from_ne_bytes(bytes))
            }
            Cloned::Child => {
                let errno = captured().err().as_ref().map_or(0, number);
                // If the parent no longer listens, nobody wants to know.
                rustix::io::write(&result_in, &errno.to_ne_bytes()).ok();
                exit_now(0)
            }
        }
    };
    tried().unwrap_or_else(|error| number(&error))
}

fn filter() -> io::Result<()> {
    set_no_new_privs(true)?;
    // After this only what is permitted in sandboxes works; writing the results is.
    namespace::load_filter(&seccomp::filter()?)
}
