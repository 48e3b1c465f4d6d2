//! Mounts by descriptor: opening trees of the host, walking to mount points without following links, and a
//! sandbox's own layers.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use cofferdam_hand::protocol::zygote::{Create, Failure, Overlay};
use rustix::{
    fs::{CWD, Mode, OFlags, mkdirat, openat},
    io::Errno,
    mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree},
};

use super::{
    owner::OwnerMaps,
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
    let mut directory = root.try_clone()?;
    for name in components(path)? {
        let name = c_string(name)?;
        match mkdirat(&directory, &name, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            // An existing directory on a read-only mount: `openat` tells.
            Err(Errno::ROFS) => {}
            Err(errno) => return Err(errno.into()),
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
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

/// Everything of the host that one sandbox gets, opened with the zygote's rights and not attached anywhere
/// yet.
pub(super) struct Layers {
    pub(super) workspace: OpenOverlay,
    pub(super) home: OwnedFd,
    pub(super) caches: Vec<(Vec<u8>, OpenOverlay)>,
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

/// A place in the root directory where something will be mounted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct MountPoint {
    pub(super) path: Vec<u8>,
    pub(super) directory: bool,
}

impl Layers {
    pub(super) fn open(create: &Create, owners: &mut OwnerMaps) -> Result<Self, Failure> {
        let mut caches = Vec::new();
        for cache in &create.caches {
            caches.push((cache.inside.clone(), OpenOverlay::open(&cache.layers, owners)?));
        }
        let mut read_only = Vec::new();
        for bind in &create.read_only {
            let step = format!("open {}", String::from_utf8_lossy(&bind.host));
            let mount = open_host(&bind.host).step(&step)?;
            let directory = is_directory(&mount).step(&step)?;
            owners.show_as_agent(&mount).step(&step)?;
            let read_only_change = MountChange { read_only: true, untrusted: true, recursive: true };
            change_mount(mount.as_fd(), read_only_change).step(&step)?;
            read_only.push(OpenBind { mount, point: MountPoint { path: bind.inside.clone(), directory } });
        }
        let home = open_layer(&create.home).step("open the home directory's layer")?;
        change_mount(home.as_fd(), MountChange { untrusted: true, ..MountChange::default() })
            .step("restrict the home directory")?;
        Ok(Self { workspace: OpenOverlay::open(&create.workspace, owners)?, home, caches, read_only })
    }

    /// The places in the root directory that are not in every sandbox's.
    pub(super) fn mount_points(&self) -> Vec<MountPoint> {
        let mut points: Vec<MountPoint> = self.read_only.iter().map(|bind| bind.point.clone()).collect();
        points.sort();
        points.dedup();
        points
    }
}

impl OpenOverlay {
    fn open(overlay: &Overlay, owners: &mut OwnerMaps) -> Result<Self, Failure> {
        let mut lower = Vec::new();
        for path in &overlay.lower {
            let step = format!("open the layer {}", String::from_utf8_lossy(path));
            let mount = open_layer(path).step(&step)?;
            if !is_directory(&mount).step(&step)? {
                return Err(failure(step, Errno::NOTDIR));
            }
            owners.show_as_agent(&mount).step(&step)?;
            lower.push(mount);
        }
        let own = open_layer(&overlay.own)
            .step(&format!("open the layer {}", String::from_utf8_lossy(&overlay.own)))?;
        change_mount(own.as_fd(), MountChange { untrusted: true, ..MountChange::default() })
            .step("restrict a sandbox's own layer")?;
        Ok(Self { lower, own })
    }
}
