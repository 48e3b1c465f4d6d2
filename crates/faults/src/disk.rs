//! A small disk, which can be filled up.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::PathBuf,
};

use anyhow::{Context as _, Result};
use rustix::{
    mount::{MountFlags, UnmountFlags, mount, unmount},
    process::getuid,
};

use crate::site::say;

/// Its size: more than the sessions of a long run leave.
const SIZE: &std::ffi::CStr = c"size=1g,mode=0755";
/// The file that fills it.
const FILLER: &str = "filler";
const BLOCK: usize = 1 << 20;

/// A small disk at a place: memory, as that can be had without a device.
#[derive(Debug)]
pub(crate) struct Disk(PathBuf);

impl Disk {
    /// `None`, loudly, where none can be mounted.
    pub(crate) fn make(place: PathBuf) -> Result<Option<Self>> {
        if !getuid().is_root() {
            say("SKIPPED: a full disk takes root, to mount a small one");
            return Ok(None);
        }
        fs::create_dir_all(&place)?;
        mount("tmpfs", &place, "tmpfs", MountFlags::NODEV | MountFlags::NOSUID, SIZE)
            .context("mount a small disk")?;
        Ok(Some(Self(place)))
    }

    /// Fills it, to the last byte.
    pub(crate) fn fill(&self) -> Result<()> {
        let mut file = File::create(self.0.join(FILLER))?;
        let mut size = BLOCK;
        while size > 0 {
            match file.write(&vec![0; size]) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::StorageFull => size /= 2,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    pub(crate) fn empty(&self) -> Result<()> {
        fs::remove_file(self.0.join(FILLER))?;
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Whoever still uses it keeps it for as long as that.
        unmount(&self.0, UnmountFlags::DETACH).ok();
    }
}
