//! A driver's own place on disk: what its containers read of it, and how another process can tell that it is gone.
//!
//! Each driver has a directory of its own in its data directory and keeps it locked (flock(2)) for as long as it lives. The directory's name
//! is on its containers. So whoever comes next finds those of the dead: they hold a directory that nobody has locked.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use cofferdam_domain::SandboxId;
use cofferdam_sandbox::{SandboxError, write_hand};
use rustix::{
    fs::{FlockOperation, Mode, OFlags, flock},
    io::Errno,
};

const HAND: &str = "hand";
const PASSWD: &str = "passwd";
const GROUP: &str = "group";

/// The place of a driver that lives.
#[derive(Debug)]
pub(crate) struct Place {
    directory: PathBuf,
    name: String,
    _lock: File,
}

impl Place {
    /// Makes one in `data`, for sandboxes whose agent is this user and group.
    pub(crate) fn make(data: &Path, agent: (u32, u32)) -> Result<Self, SandboxError> {
        let setup = |source| SandboxError::Setup {
            step: format!("make a place for containers in {}", data.display()),
            source,
        };
        fs::create_dir_all(data).map_err(setup)?;
        // The engine wants whole paths.
        let data = fs::canonicalize(data).map_err(setup)?;
        let name = format!("{:032x}", SandboxId::generate().as_u128());
        // Under its name it must be locked from the first moment.
        let (new, directory) = (data.join(format!("new-{name}")), data.join(&name));
        fs::create_dir(&new).map_err(setup)?;
        let lock = locked(&new).and_then(|lock| lock.ok_or_else(|| io::ErrorKind::WouldBlock.into()));
        let lock = lock.map_err(setup)?;
        fs::rename(&new, &directory).map_err(setup)?;
        let place = Self { _lock: lock, directory, name };
        place.fill(agent).map_err(setup)?;
        Ok(place)
    }

    /// The places in `data` whose drivers are dead. They stay locked for as long as the result lives.
    pub(crate) fn abandoned(data: &Path) -> io::Result<Vec<Abandoned>> {
        let mut abandoned = Vec::new();
        for entry in fs::read_dir(data)? {
            let directory = entry?.path();
            let Some(name) =
                directory.file_name().and_then(|name| name.to_str()).filter(|name| is_name(name))
            else {
                continue;
            };
            let name = name.to_owned();
            // Another process may be at the same.
            if let Ok(Some(lock)) = locked(&directory) {
                abandoned.push(Abandoned { directory, name, _lock: lock });
            }
        }
        Ok(abandoned)
    }

    fn fill(&self, (uid, gid): (u32, u32)) -> io::Result<()> {
        write_hand(&self.hand())?;
        let passwd = format!(
            "root:x:0:0:root:/root:/sbin/nologin\nagent:x:{uid}:{gid}:agent:/home/agent:/bin/sh\n\
             nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n"
        );
        write_public(&self.passwd(), &passwd)?;
        write_public(&self.group(), &format!("root:x:0:\nagent:x:{gid}:\nnogroup:x:65534:\n"))
    }

    /// Its name, which is on its containers.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The hand's program.
    pub(crate) fn hand(&self) -> PathBuf {
        self.directory.join(HAND)
    }

    /// The users inside.
    pub(crate) fn passwd(&self) -> PathBuf {
        self.directory.join(PASSWD)
    }

    /// The groups inside.
    pub(crate) fn group(&self) -> PathBuf {
        self.directory.join(GROUP)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Who sweeps next removes what is left.
        fs::remove_dir_all(&self.directory).ok();
    }
}

/// The place of a driver that is dead.
#[derive(Debug)]
pub(crate) struct Abandoned {
    directory: PathBuf,
    pub(crate) name: String,
    _lock: File,
}

impl Abandoned {
    /// Removes it, once nothing with its name is left.
    pub(crate) fn remove(self) -> io::Result<()> {
        fs::remove_dir_all(&self.directory)
    }
}

/// Whether this is the name of a place, and not of something that has only just been made or is none of ours.
fn is_name(name: &str) -> bool {
    name.len() == 32 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Locks a directory; `None` if somebody has it locked.
fn locked(directory: &Path) -> io::Result<Option<File>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::open(directory, flags, Mode::empty())?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file.into())),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Writes a file that everybody may read, whatever this process takes away from modes.
fn write_public(path: &Path, text: &str) -> io::Result<()> {
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o444))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dead_are_told_from_the_living() {
        let data = tempfile::tempdir().unwrap();
        let living = Place::make(data.path(), (7, 8)).unwrap();
        assert_eq!(fs::metadata(living.hand()).unwrap().permissions().mode() & 0o777, 0o555);
        assert!(fs::read_to_string(living.passwd()).unwrap().contains("agent:x:7:8:"));
        let dead = "0123456789abcdef0123456789abcdef";
        fs::create_dir(data.path().join(dead)).unwrap();
        fs::create_dir(data.path().join("somebody's")).unwrap();
        let abandoned = Place::abandoned(data.path()).unwrap();
        assert_eq!(abandoned.iter().map(|place| place.name.as_str()).collect::<Vec<_>>(), [dead]);
        assert!(Place::abandoned(data.path()).unwrap().is_empty(), "somebody is at it");
        abandoned.into_iter().for_each(|place| place.remove().unwrap());
        let directory = living.directory.clone();
        assert!(directory.exists() && !data.path().join(dead).exists());
        drop(living);
        assert!(!directory.exists());
    }
}
