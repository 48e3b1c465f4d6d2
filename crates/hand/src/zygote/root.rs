//! Root directories, finished and read-only, ready to be copied into a sandbox.
//!
//! A root directory starts as an empty `tmpfs` to which is added what the worker listed: directories and
//! files of the host as read-only mounts, small files of our own making, device nodes that are harmless.
//! Nothing is ever hidden from a directory of the host, because what a sandbox may not see is never put
//! there. Sandboxes of one kind (with the same places for mounts of their own) share one: they can read it
//! and nothing else, so they learn nothing from each other.

use std::{
    io::{self, Write as _},
    os::fd::{AsFd, OwnedFd},
};

use cofferdam_hand::protocol::zygote::{Failure, MountPoint, RootEntry, RootKind, System};
use rustix::{
    fs::{CWD, Mode, OFlags, mkdirat, open, openat, rmdir, symlinkat},
    io::Errno,
    mount::{
        MountFlags, MountPropagationFlags, OpenTreeFlags, UnmountFlags, mount, mount_change, open_tree,
        unmount,
    },
};

use super::{
    mounts::{attach, is_directory, make_directories, make_mount_point, make_parent, open_host, open_layer},
    step::Step as _,
};
use crate::sys::namespace::{MountChange, c_string, change_mount};

/// Where all of this happens: a directory that every Linux system has, and in which no layer of a sandbox can
/// be. What the host has there is covered in the zygote's own mount namespace only.
pub(super) const STAGE: &str = "/sys";
/// Where finished root directories are.
const ROOTS: &str = "/sys/roots";

/// Devices that a program may need and that give it nothing of the machine.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
/// Symbolic links in `/dev`, as everywhere on Linux.
const DEVICE_LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];
/// Places for what each sandbox mounts itself.
const PLACES: [&str; 10] =
    ["proc", "sys", "dev/pts", "dev/shm", "tmp", "var/tmp", "run", "workspace", "home/agent", "root"];
/// How many kinds of root directory are kept.
const MOST_ROOTS: usize = 16;

/// The finished root directories.
pub(super) struct Roots {
    entries: Vec<RootEntry>,
    /// What is there instead or in addition where the system can be changed.
    system: Vec<RootEntry>,
    made: Vec<Made>,
    next: u64,
}

struct Made {
    points: Vec<MountPoint>,
    system: System,
    path: String,
    /// A copy that no sandbox has yet. Copying takes time in proportion to the mounts in it, and that is when
    /// nobody waits for it.
    spare: Option<OwnedFd>,
}

impl Roots {
    /// Sets the stage and makes the plain kind of root directory, so that what is wrong with the host shows
    /// now.
    pub(super) fn new(mut entries: Vec<RootEntry>, system: Vec<RootEntry>) -> Result<Self, Failure> {
        // Not private: when the host unmounts something, it should not stay in use here.
        mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
            .step("separate mounts from the host's")?;
        mount("tmpfs", STAGE, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, c"mode=755,size=1m")
            .step("mount a tmpfs")?;
        mkdirat(CWD, ROOTS, Mode::from_raw_mode(0o755)).step("make a directory in a new tmpfs")?;
        entries.sort_by(|one, other| one.path.cmp(&other.path));
        let mut roots = Self { entries, system, made: Vec::new(), next: 0 };
        roots.copy(&[], System::ReadOnly)?;
        roots.prepare_copy();
        Ok(roots)
    }

    /// A copy, not attached anywhere yet, of the root directory that has these places for mounts.
    pub(super) fn copy(&mut self, points: &[MountPoint], system: System) -> Result<OwnedFd, Failure> {
        self.make_last(points, system)?;
        let copy = self.made.last_mut().map(|made| made.spare.take().map_or_else(|| copy(&made.path), Ok));
        copy.unwrap_or(Err(Errno::NOENT)).step("copy the root directory")
    }

    /// Makes the next copy of the root directory that was copied last, ahead of time.
    pub(super) fn prepare_copy(&mut self) {
        if let Some(made) = self.made.last_mut().filter(|made| made.spare.is_none()) {
            // Made when it is needed otherwise, and then the error is told.
            made.spare = copy(&made.path).ok();
        }
    }

    /// A directory of the root directory with these places in which the system can be changed, by itself.
    pub(super) fn part(&mut self, points: &[MountPoint], path: &[u8]) -> Result<OwnedFd, Failure> {
        self.make_last(points, System::Writable)?;
        let root = self.made.last().map(|made| made.path.clone().into_bytes()).unwrap_or_default();
        open_layer(&[&root, path].concat()).step(&format!("open {}", String::from_utf8_lossy(path)))
    }

    /// Makes the root directory with these places if there is none yet, and moves it to the end of the list.
    fn make_last(&mut self, points: &[MountPoint], system: System) -> Result<(), Failure> {
        let known = self.made.iter().position(|made| made.points == points && made.system == system);
        if let Some(position) = known {
            let made = self.made.remove(position);
            self.made.push(made);
            return Ok(());
        }
        if self.made.len() == MOST_ROOTS {
            let oldest = self.made.remove(0);
            // Sandboxes have copies of their own.
            give_up(&oldest.path).step("give up an old root directory")?;
        }
        let path = format!("{ROOTS}/{}", self.next);
        self.next += 1;
        if let Err(failure) = self.make(&path, points, system) {
            // What was made of it would stay for good. The first error tells more.
            give_up(&path).ok();
            return Err(failure);
        }
        self.made.push(Made { points: points.to_vec(), system, path, spare: None });
        Ok(())
    }

    /// What is in the root directory of this kind, parents first.
    fn entries_for(&self, system: System) -> Vec<RootEntry> {
        match system {
            System::ReadOnly => self.entries.clone(),
            System::Writable => {
                let replaced = |entry: &&RootEntry| self.system.iter().all(|other| other.path != entry.path);
                let kept = self.entries.iter().filter(replaced).cloned().map(copied);
                let mut entries: Vec<RootEntry> = kept.chain(self.system.iter().cloned()).collect();
                entries.sort_by(|one, other| one.path.cmp(&other.path));
                entries
            }
        }
    }

    fn make(&self, path: &str, points: &[MountPoint], system: System) -> Result<(), Failure> {
        mkdirat(CWD, path, Mode::from_raw_mode(0o755)).step("make a directory for a root")?;
        mount("tmpfs", path, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, c"mode=755,size=64m")
            .step("mount a tmpfs")?;
        let root = open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .step("open a new root directory")?;
        for place in PLACES {
            make_directories(&root, place.as_bytes()).step("make places for mounts")?;
        }
        add_devices(&root).step("add devices")?;
        for entry in self.entries_for(system) {
            add(&root, &entry).step(&format!("add {}", String::from_utf8_lossy(&entry.path)))?;
        }
        for point in points {
            make_mount_point(&root, &point.path, point.directory)
                .step(&format!("make a place for {}", String::from_utf8_lossy(&point.path)))?;
        }
        change_mount(root.as_fd(), MountChange { read_only: true, ..MountChange::default() })
            .step("make the root directory read-only")
    }
}

/// Directories of the system that are put together here also where they can be changed.
const PUT_TOGETHER: [&[u8]; 2] = [b"/etc/", b"/var/"];

/// What cannot be mounted, because it becomes the lower layer of an overlay, is copied.
fn copied(entry: RootEntry) -> RootEntry {
    match entry {
        RootEntry { path, kind: RootKind::Bind(host) }
            if PUT_TOGETHER.iter().any(|directory| path.starts_with(directory)) =>
        {
            RootEntry { path, kind: RootKind::CopyAll(host) }
        }
        entry => entry,
    }
}

/// Removes a root directory, as far as there is one.
fn give_up(path: &str) -> rustix::io::Result<()> {
    match unmount(path, UnmountFlags::DETACH) {
        // Nothing was mounted yet.
        Ok(()) | Err(Errno::INVAL) => rmdir(path),
        Err(errno) => Err(errno),
    }
}

fn copy(path: &str) -> rustix::io::Result<OwnedFd> {
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    open_tree(CWD, path, flags)
}

fn add_devices(root: &OwnedFd) -> io::Result<()> {
    for device in DEVICES {
        let path = format!("dev/{device}");
        let target = make_mount_point(root, path.as_bytes(), false)?;
        attach(&open_host(format!("/{path}").as_bytes())?, &target)?;
    }
    for (name, target) in DEVICE_LINKS {
        symlinkat(target, root, format!("dev/{name}"))?;
    }
    Ok(())
}

fn add(root: &OwnedFd, entry: &RootEntry) -> io::Result<()> {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _, path::Path};
    match &entry.kind {
        RootKind::Directory => make_directories(root, &entry.path).map(drop),
        RootKind::Symlink(target) => {
            let (parent, name) = make_parent(root, &entry.path)?;
            Ok(symlinkat(c_string(target)?, parent, &name)?)
        }
        RootKind::File(content) => add_file(root, &entry.path, content),
        RootKind::Copy(host) => add_file(root, &entry.path, &std::fs::read(OsStr::from_bytes(host))?),
        RootKind::CopyAll(host) => {
            super::copies::copy_all(Path::new(OsStr::from_bytes(host)), root, &entry.path)
        }
        RootKind::Bind(host) => {
            let mount = open_host(host)?;
            change_mount(mount.as_fd(), MountChange { read_only: true, untrusted: true, recursive: true })?;
            let target = make_mount_point(root, &entry.path, is_directory(&mount)?)?;
            attach(&mount, &target)
        }
    }
}

fn add_file(root: &OwnedFd, path: &[u8], content: &[u8]) -> io::Result<()> {
    let (parent, name) = make_parent(root, path)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = openat(&parent, &name, flags, Mode::from_raw_mode(0o644))?;
    std::fs::File::from(file).write_all(content)
}
