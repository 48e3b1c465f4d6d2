//! Kept sandboxes on disk: which there are, what they were made from, and who may touch what.
//!
//! ```text
//! <data>/sandboxes/<id>                the layer, as that of every sandbox
//! <data>/sandboxes/<id>.kept/about     what it was made from, as JSON; replaced by a rename
//! <data>/sandboxes/<id>.kept/control   the control socket, while its keeper lives
//! <data>/sandboxes/<id>.kept/log       what its egress door refused, and what else its keeper has to say
//! <data>/sandboxes/<id>.kept/trust     what the sandbox reads of its egress door
//! ```
//! All of it is its user's alone. The keeper, and whoever starts one, has the directory locked (flock(2)): where nobody has, the keeper is
//! dead, whatever is lying there.

use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder, File},
    io::{self, Read as _},
    os::{
        fd::{AsFd as _, AsRawFd as _, OwnedFd},
        unix::fs::DirBuilderExt as _,
    },
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};
use cofferdam_domain::{SandboxId, Timestamp};
use cofferdam_sandbox::{LayerStack, SnapshotId};
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use serde::{Deserialize, Serialize};

/// What the name of a kept sandbox's directory ends with.
const SUFFIX: &str = ".kept";
/// Bytes of the file that tells of it.
const ABOUT: u64 = 1 << 20;
/// Characters of a snapshot's name.
const LONGEST_NAME: usize = 60;

/// The directories of one kept sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    /// Which.
    pub(super) id: SandboxId,
    /// Its layer.
    pub(super) layer: PathBuf,
    directory: PathBuf,
}

/// What a kept sandbox was made from, and what has become of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct About {
    /// When it was made.
    pub(super) made: Timestamp,
    /// The directory that it sees at its workspace, below what it writes itself.
    pub(super) workspace: Option<PathBuf>,
    /// The file with the rules for what may leave it.
    pub(super) policy: Option<PathBuf>,
    /// Whether it has a root who can change its system.
    pub(super) root: bool,
    /// After so many seconds of nobody asking anything of it, it ends.
    pub(super) idle: u64,
    /// The isolation that was in force.
    pub(super) level: Option<String>,
    /// Names that people have given to snapshots.
    pub(super) names: BTreeMap<String, String>,
    /// Why it has ended, if its keeper has lived to say so.
    pub(super) ended: Option<String>,
    /// Whether it goes on when a canary is touched or a secret about to leave; that is refused in any case.
    #[serde(default)]
    pub(super) keep_running: bool,
}

/// A snapshot of a kept sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Snapshot {
    /// Its id.
    pub(super) id: String,
    /// What people call it.
    pub(super) name: Option<String>,
}

impl Kept {
    /// Where a sandbox of this id is kept, if it is.
    pub(super) fn at(data: &Path, id: SandboxId) -> Self {
        let sandboxes = data.join("sandboxes");
        Self { id, layer: sandboxes.join(id.to_string()), directory: sandboxes.join(format!("{id}{SUFFIX}")) }
    }

    /// The kept sandbox of this id.
    pub(super) fn find(data: &Path, id: SandboxId) -> Result<Self> {
        let kept = Self::at(data, id);
        ensure!(kept.exists(), "there is no sandbox {id}: `cofferdam sandbox ls` lists those there are");
        Ok(kept)
    }

    /// Whether there is one.
    pub(super) fn exists(&self) -> bool {
        self.directory.is_dir()
    }

    /// All that there are, oldest first.
    pub(super) fn all(data: &Path) -> Result<Vec<Self>> {
        let sandboxes = data.join("sandboxes");
        let entries =
            fs::read_dir(&sandboxes).with_context(|| format!("failed to list {}", sandboxes.display()))?;
        let mut all = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            let id = name.to_str().and_then(|name| name.strip_suffix(SUFFIX)).and_then(|id| id.parse().ok());
            all.extend(id.map(|id| Self::at(data, id)));
        }
        all.sort_by_key(|kept| kept.id);
        Ok(all)
    }

    /// Makes the directory of a new one, locked until the result is dropped.
    pub(super) fn make(&self, about: &About) -> Result<OwnedFd> {
        let made = DirBuilder::new().mode(0o700).create(&self.directory);
        made.with_context(|| format!("failed to make {}", self.directory.display()))?;
        let lock = self.lock()?;
        self.write(about)?;
        Ok(lock)
    }

    /// Says that somebody sees to it, until the result is dropped.
    pub(super) fn lock(&self) -> Result<OwnedFd> {
        let locked = self.open().and_then(|directory| {
            flock(&directory, FlockOperation::NonBlockingLockShared)?;
            Ok(directory)
        });
        locked.with_context(|| format!("failed to lock {}", self.directory.display()))
    }

    /// Makes sure that nobody sees to it, for as long as the result lives; `None` if somebody does.
    pub(super) fn abandoned(&self) -> Option<OwnedFd> {
        let directory = self.open().ok()?;
        flock(&directory, FlockOperation::NonBlockingLockExclusive).ok()?;
        Some(directory)
    }

    fn open(&self) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(rustix::fs::open(&self.directory, flags, Mode::empty())?)
    }

    /// What it was made from.
    pub(super) fn about(&self) -> Result<About> {
        let path = self.directory.join("about");
        let mut text = String::new();
        let read = File::open(&path).and_then(|file| file.take(ABOUT).read_to_string(&mut text));
        read.with_context(|| format!("failed to read {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| {
            format!("{} is damaged: `cofferdam sandbox destroy {}` removes it", path.display(), self.id)
        })
    }

    /// Replaces that.
    pub(super) fn write(&self, about: &About) -> Result<()> {
        let (path, new) = (self.directory.join("about"), self.directory.join("about.new"));
        let text = serde_json::to_string(about).context("failed to write down a sandbox")?;
        let written = fs::write(&new, text).and_then(|()| fs::rename(&new, &path));
        written.with_context(|| format!("failed to write {}", path.display()))
    }

    /// Calls something with the path of the control socket. Such a path has at most 107 bytes (unix(7)), which that of a data directory may
    /// exceed, so it leads through a descriptor.
    pub(super) fn with_socket<T>(&self, call: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
        let directory = self.open()?;
        call(Path::new(&format!("/proc/self/fd/{}/control", directory.as_fd().as_raw_fd())))
    }

    /// The control socket, as people may look at it.
    pub(super) fn socket(&self) -> PathBuf {
        self.directory.join("control")
    }

    /// The log.
    pub(super) fn log(&self) -> PathBuf {
        self.directory.join("log")
    }

    /// What the sandbox reads of its egress door.
    pub(super) fn trust(&self) -> PathBuf {
        self.directory.join("trust")
    }

    /// Its snapshots, oldest first.
    pub(super) fn snapshots(&self, names: &BTreeMap<String, String>) -> Result<Vec<Snapshot>> {
        let snapshots = LayerStack::at(&self.layer).snapshots()?;
        let named = |id: &str| names.iter().find(|(_, named)| *named == id).map(|(name, _)| name.clone());
        Ok(snapshots.iter().map(SnapshotId::to_string).map(|id| Snapshot { name: named(&id), id }).collect())
    }

    /// The snapshot of this id or name.
    pub(super) fn snapshot(&self, about: &About, wanted: &str) -> Result<Option<SnapshotId>> {
        let found = self
            .snapshots(&about.names)?
            .into_iter()
            .find(|snapshot| snapshot.id == wanted || snapshot.name.as_deref() == Some(wanted));
        found.map(|snapshot| snapshot.id.parse().context("a snapshot has no name")).transpose()
    }

    /// Removes everything of it but what forks still need of its layer. Blocks.
    pub(super) fn remove(&self) -> Result<()> {
        cofferdam_sandbox::remove_layer(&self.layer)
            .with_context(|| format!("failed to remove {}", self.layer.display()))?;
        match fs::remove_dir_all(&self.directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("failed to remove {}", self.directory.display()))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

/// A snapshot by id or name, whichever kept sandbox has it.
pub(super) fn find_snapshot(data: &Path, wanted: &str) -> Result<(Kept, About, SnapshotId)> {
    let mut found: Option<(Kept, About, SnapshotId)> = None;
    for kept in Kept::all(data)? {
        // One that cannot be read has nothing to offer, and `ls` says so.
        let Ok(about) = kept.about() else { continue };
        let Some(snapshot) = kept.snapshot(&about, wanted)? else { continue };
        match &found {
            // A fork has the snapshots of what it is a fork of.
            Some((_, _, known)) if *known != snapshot => {
                bail!(
                    "more than one snapshot is called {wanted}: give its id, as `cofferdam sandbox ls` shows it"
                )
            }
            Some(_) => {}
            None => found = Some((kept, about, snapshot)),
        }
    }
    found.with_context(|| {
        format!("there is no snapshot {wanted}: `cofferdam sandbox ls` lists those there are")
    })
}

/// Checks what a snapshot is to be called.
pub(super) fn check_name(name: &str) -> Result<()> {
    let usual = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    let good = (1..=LONGEST_NAME).contains(&name.len()) && name.chars().all(usual);
    ensure!(
        good && !["snp_", "sbx_", "ses_", "-"].iter().any(|taken| name.starts_with(taken)),
        "{name:?} cannot be the name of a snapshot: give 1 to {LONGEST_NAME} letters, digits, dots, dashes or underscores, which do not begin like an id"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about() -> About {
        About {
            made: Timestamp(1),
            workspace: None,
            policy: None,
            root: false,
            idle: 60,
            level: None,
            names: BTreeMap::new(),
            ended: None,
            keep_running: false,
        }
    }

    #[test]
    fn what_is_kept_is_found_and_removed() {
        let data = tempfile::tempdir().unwrap();
        fs::create_dir(data.path().join("sandboxes")).unwrap();
        let kept = Kept::at(data.path(), SandboxId::generate());
        assert!(Kept::find(data.path(), kept.id).is_err());
        let lock = kept.make(&about()).unwrap();
        fs::create_dir_all(data.path().join("sandboxes/other.kept")).unwrap();
        assert_eq!(Kept::all(data.path()).unwrap(), std::slice::from_ref(&kept));
        assert_eq!(kept.about().unwrap(), about());
        assert!(kept.abandoned().is_none(), "somebody sees to it");
        drop(lock);
        assert!(kept.abandoned().is_some());
        kept.remove().unwrap();
        kept.remove().unwrap();
        assert!(!kept.exists());
    }

    #[test]
    fn what_is_damaged_is_said_so() {
        let data = tempfile::tempdir().unwrap();
        fs::create_dir(data.path().join("sandboxes")).unwrap();
        let kept = Kept::at(data.path(), SandboxId::generate());
        let _lock = kept.make(&about()).unwrap();
        fs::write(kept.directory.join("about"), "{}").unwrap();
        let error = format!("{:#}", kept.about().unwrap_err());
        assert!(error.contains("damaged") && error.contains("destroy"), "{error}");
    }

    #[test]
    fn names_of_snapshots() {
        for good in ["a", "before-upgrade_2.1", &"x".repeat(LONGEST_NAME)] {
            check_name(good).unwrap();
        }
        for bad in ["", "a b", "ü", "snp_1", "sbx_x", "-x", "a/b", &"x".repeat(LONGEST_NAME + 1)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
