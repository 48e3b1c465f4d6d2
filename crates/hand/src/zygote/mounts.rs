//! Mounts by descriptor: opening trees of the host, walking to mount points without following links, and a
//! sandbox's own layers.

use std::{
    ffi::CStr,
    io,
    os::fd::{AsFd, OwnedFd},
};

use cofferdam_hand::protocol::zygote::{Build, Create, Failure, MountPoint, Overlay, SHOW_LAYER};
use rustix::{
    fs::{CWD, Mode, OFlags, ResolveFlags, mkdirat, openat, openat2},
    io::Errno,
    mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree},
};

use super::{
    ids::Identity,
    root::Roots,
    step::{Step as _, failure},
};
use crate::sys::namespace::{MountChange, c_string, change_mount};

/// A detached copy of what the host has at `path`, with everything mounted below it.
pub(super) fn open_host(path: &[u8]) -> io::Result<OwnedFd> {
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    Ok(open_tree(CWD, c_string(path)?, flags)?)
}

/// The same for one directory, without what is mounted below it.
pub(super) fn open_layer(path: &[u8]) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    Ok(open_tree(CWD, c_string(path)?, flags)?)
}

/// Attaches a detached mount to the directory or file that `target` is.
pub(super) fn attach(mount: &OwnedFd, target: &OwnedFd) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(move_mount(mount, c"", target, c"", flags)?)
}

/// Attaches a detached mount to what `directory` has under a name, over what was attached there before. A directory is made if there is nothing.
pub(super) fn attach_at(mount: &OwnedFd, directory: &OwnedFd, name: &CStr) -> io::Result<()> {
    let attach = || move_mount(mount, c"", directory, name, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH);
    match attach() {
        Err(Errno::NOENT) => {
            mkdirat(directory, name, Mode::from_raw_mode(0o755))?;
            Ok(attach()?)
        }
        done => Ok(done?),
    }
}

/// Whether a mount is of a directory rather than of a single file.
pub(super) fn is_directory(mount: &OwnedFd) -> io::Result<bool> {
    let mode = rustix::fs::fstat(mount)?.st_mode;
    Ok(rustix::fs::FileType::from_raw_mode(mode) == rustix::fs::FileType::Directory)
}

/// The components of a path, which must not lead upwards.
pub(super) fn components(path: &[u8]) -> io::Result<Vec<&[u8]>> {
    let names: Vec<&[u8]> =
        path.split(|byte| *byte == b'/').filter(|name| !name.is_empty() && *name != b".").collect();
    if names.contains(&&b".."[..]) { Err(io::ErrorKind::InvalidInput.into()) } else { Ok(names) }
}

/// Walks from `root` along `path`, making missing directories. No symbolic link is followed, so whoever may
/// write there cannot lead the way out of it.
pub(super) fn make_directories(root: &OwnedFd, path: &[u8]) -> io::Result<OwnedFd> {
    let names = components(path)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let within = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    // Mostly all of it is there.
    if !names.is_empty()
        && let Ok(found) = openat2(root, names.join(&b'/'), flags, Mode::empty(), within)
    {
        return Ok(found);
    }
    let mut directory = root.try_clone()?;
    for name in names {
        let name = c_string(name)?;
        match mkdirat(&directory, &name, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            // An existing directory on a read-only mount: `openat` tells.
            Err(Errno::ROFS) => {}
            Err(errno) => return Err(errno.into()),
        }
        directory = openat(&directory, &name, flags, Mode::empty())?;
    }
    Ok(directory)
}

/// Walks to `path`, making an empty directory or file there if nothing is, and opens it as a place for a
/// mount.
pub(super) fn make_mount_point(root: &OwnedFd, path: &[u8], directory: bool) -> io::Result<OwnedFd> {
    if directory {
        return make_directories(root, path);
    }
    let (parent, name) = make_parent(root, path)?;
    let create = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    match openat(&parent, &name, create, Mode::from_raw_mode(0o644)) {
        Ok(_) | Err(Errno::EXIST | Errno::ROFS) => {}
        Err(errno) => return Err(errno.into()),
    }
    Ok(openat(&parent, &name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?)
}

/// Makes the parents of `path`; gives the last one, and the name in it.
pub(super) fn make_parent(root: &OwnedFd, path: &[u8]) -> io::Result<(OwnedFd, std::ffi::CString)> {
    let names = components(path)?;
    let Some((name, parents)) = names.split_last() else { return Err(io::ErrorKind::InvalidInput.into()) };
    Ok((make_directories(root, &parents.join(&b'/'))?, c_string(name)?))
}

/// Steps that depend on what the host's filesystems can do.
const SHOW_SYSTEM: &str = "show the system's files as those of the sandbox's root (which takes Linux 6.3)";

/// Everything of the host that one sandbox gets, opened with the zygote's rights and not attached anywhere
/// yet.
pub(super) struct Layers {
    pub(super) workspace: OpenOverlay,
    pub(super) home: OpenOverlay,
    pub(super) caches: Vec<(Vec<u8>, OpenOverlay)>,
    pub(super) system: Vec<(Vec<u8>, OpenOverlay)>,
    pub(super) read_only: Vec<OpenBind>,
}

/// The layers of an overlay, lowest first, and the directory with its own layer.
pub(super) struct OpenOverlay {
    pub(super) lower: Vec<OwnedFd>,
    pub(super) own: OwnedFd,
}

/// A path of the host, and where it goes.
pub(super) struct OpenBind {
    pub(super) mount: OwnedFd,
    pub(super) point: MountPoint,
}

impl Layers {
    /// Opens all of it for a sandbox that has these places in its root directory.
    pub(super) fn open(
        create: &Create,
        points: &[MountPoint],
        roots: &mut Roots,
        identity: &mut Identity,
    ) -> Result<Self, Failure> {
        let mut caches = Vec::new();
        for cache in &create.caches {
            caches.push((cache.inside.clone(), OpenOverlay::open(&cache.layers, identity)?));
        }
        let mut system = Vec::new();
        for layer in &create.system {
            let lower = match &layer.host {
                Some(host) => open_layer(host).step(&format!("open {}", String::from_utf8_lossy(host)))?,
                None => roots.part(points, &layer.inside)?,
            };
            identity.show_system(&lower).step(SHOW_SYSTEM)?;
            let written = Overlay { lower: layer.frozen.clone(), own: layer.own.clone() };
            let mut overlay = OpenOverlay::open(&written, identity)?;
            overlay.lower.insert(0, lower);
            system.push((layer.inside.clone(), overlay));
        }
        let mut read_only = Vec::new();
        for bind in &create.read_only {
            let step = format!("open {}", String::from_utf8_lossy(&bind.host));
            let mount = open_host(&bind.host).step(&step)?;
            let directory = is_directory(&mount).step(&step)?;
            identity.show(&mount).step(&step)?;
            let read_only_change = MountChange { read_only: true, untrusted: true, recursive: true };
            change_mount(mount.as_fd(), read_only_change).step(&step)?;
            read_only.push(OpenBind { mount, point: MountPoint { path: bind.inside.clone(), directory } });
        }
        let workspace = OpenOverlay::open(&create.workspace, identity)?;
        let home = OpenOverlay::open(&create.home, identity)?;
        Ok(Self { workspace, home, caches, system, read_only })
    }

    /// Splits them into what is told and what is handed to process 1, for [`Self::taken`] to put together again.
    pub(super) fn split(self, create: Create) -> (Build, Vec<OwnedFd>) {
        let Self { workspace, home, caches, system, read_only } = self;
        let mut descriptors = Vec::new();
        let build = Build {
            name: create.name,
            workspace: workspace.hand_on(&mut descriptors),
            home: home.hand_on(&mut descriptors),
            caches: caches
                .into_iter()
                .map(|(inside, overlay)| (inside, overlay.hand_on(&mut descriptors)))
                .collect(),
            system: system
                .into_iter()
                .map(|(inside, overlay)| (inside, overlay.hand_on(&mut descriptors)))
                .collect(),
            read_only: read_only.iter().map(|bind| bind.point.clone()).collect(),
            scratch_bytes: create.scratch_bytes,
            limits: create.limits,
        };
        descriptors.extend(read_only.into_iter().map(|bind| bind.mount));
        (build, descriptors)
    }

    /// In process 1: what [`Self::split`] handed on. Leaves what is not layers.
    pub(super) fn taken(build: &Build, descriptors: &mut impl Iterator<Item = OwnedFd>) -> Option<Self> {
        let workspace = OpenOverlay::taken(build.workspace, descriptors)?;
        let home = OpenOverlay::taken(build.home, descriptors)?;
        let mut caches = Vec::new();
        for (inside, lower) in &build.caches {
            caches.push((inside.clone(), OpenOverlay::taken(*lower, descriptors)?));
        }
        let mut system = Vec::new();
        for (inside, lower) in &build.system {
            system.push((inside.clone(), OpenOverlay::taken(*lower, descriptors)?));
        }
        let mut read_only = Vec::new();
        for point in &build.read_only {
            read_only.push(OpenBind { mount: descriptors.next()?, point: point.clone() });
        }
        Some(Self { workspace, home, caches, system, read_only })
    }

    /// The places in the root directory that are not in every sandbox's.
    pub(super) fn mount_points(&self) -> Vec<MountPoint> {
        let mut points: Vec<MountPoint> = self.read_only.iter().map(|bind| bind.point.clone()).collect();
        points.sort();
        points.dedup();
        points
    }
}

/// Opens the directory that holds a sandbox's own layer.
fn open_own(path: &[u8], identity: &Identity) -> Result<OwnedFd, Failure> {
    let own = open_layer(path).step(&format!("open the layer {}", String::from_utf8_lossy(path)))?;
    identity.show_own(&own).step(SHOW_LAYER)?;
    change_mount(own.as_fd(), MountChange { untrusted: true, ..MountChange::default() })
        .step("restrict a sandbox's own layer")?;
    Ok(own)
}

impl OpenOverlay {
    fn open(overlay: &Overlay, identity: &mut Identity) -> Result<Self, Failure> {
        let mut lower = Vec::new();
        for path in &overlay.lower {
            let step = format!("open the layer {}", String::from_utf8_lossy(path));
            let mount = open_layer(path).step(&step)?;
            if !is_directory(&mount).step(&step)? {
                return Err(failure(step, Errno::NOTDIR));
            }
            identity.show(&mount).step(&step)?;
            lower.push(mount);
        }
        Ok(Self { lower, own: open_own(&overlay.own, identity)? })
    }

    /// Adds the layers to `descriptors`; gives how many are below the own one.
    fn hand_on(self, descriptors: &mut Vec<OwnedFd>) -> u32 {
        let lower = u32::try_from(self.lower.len()).unwrap_or(u32::MAX);
        descriptors.extend(self.lower);
        descriptors.push(self.own);
        lower
    }

    fn taken(lower: u32, descriptors: &mut impl Iterator<Item = OwnedFd>) -> Option<Self> {
        let lower = (0..lower).map(|_| descriptors.next()).collect::<Option<Vec<_>>>()?;
        Some(Self { lower, own: descriptors.next()? })
    }
}
