//! A session's own layer for those who mount it themselves.

use std::{
    io,
    path::{Path, PathBuf},
};

use cofferdam_hand::protocol::zygote::Owner;

use super::super::{
    layer::{Held, Layer},
    owner,
};
use crate::SandboxError;

/// The directories of a layer, kept from being changed by others for as long as this lives.
#[derive(Debug)]
pub struct MountedLayer {
    /// What is at [`WORKSPACE`](crate::WORKSPACE), above the layers that the sandbox starts from.
    pub workspace: Stacked,
    /// What is at [`HOME`](crate::HOME).
    pub home: Stacked,
    _held: Held,
}

/// The directories of one overlay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stacked {
    /// Read-only, lowest first: what was frozen by snapshots.
    pub lower: Vec<PathBuf>,
    /// What is written to.
    pub upper: PathBuf,
    /// The kernel's own, beside it.
    pub work: PathBuf,
}

impl MountedLayer {
    /// Makes what is missing of the layer in this directory; if this process is root, what is written belongs to `owner`, a user and a group.
    ///
    /// # Errors
    /// When it cannot be made, or somebody changes it at the same time.
    pub fn prepare(path: &Path, (uid, gid): (u32, u32)) -> Result<Self, SandboxError> {
        let layer = Layer::prepare(path, Owner { uid, gid })?;
        let stacked =
            |own: PathBuf, lower| Stacked { lower, upper: own.join("upper"), work: own.join("work") };
        Ok(Self {
            workspace: stacked(layer.workspace(), layer.frozen_workspace()),
            home: stacked(layer.home(), layer.frozen_home()),
            _held: layer.into_held(),
        })
    }
}

/// Which user and group of this host the files of sandboxes belong to: those of the native driver, so that one driver can use what another has
/// left.
///
/// # Errors
/// When no user but root is mapped here.
pub fn agent_on_disk() -> io::Result<(u32, u32)> {
    let Owner { uid, gid } = owner::on_disk(owner::choose()?);
    Ok((uid, gid))
}
