//! Seeds: what a sandbox is given of a repository.
//!
//! A seed is a bare repository with one branch on the base commit and nothing that the base does not reach:
//! no other branch, tag, reflog or unreachable object, and no file shared with the mirror. What else the
//! repository holds (later commits, other people's branches, the fix that is already upstream) cannot be
//! found in it.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use cofferdam_domain::Digest;

use crate::{
    Base, FileError, Git, History, Mirror, MirrorError, ObjectId, Quarantine,
    call::Transport,
    durable::{make_directory, publish_directory, remove_directory},
    lock::Lock,
    mirror::init,
    partial::checked,
};

const LOCK_PATIENCE: Duration = Duration::from_secs(15 * 60);

/// What a sandbox is given of a repository. Made once for each base, then only read.
#[derive(Debug, Clone)]
pub struct Seed {
    path: PathBuf,
    commit: ObjectId,
}

impl Seed {
    /// The bare repository on the host. Never to be written.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The base commit, its only branch's.
    #[must_use]
    pub fn commit(&self) -> &ObjectId {
        &self.commit
    }

    /// Whether the base's history is cut short in it.
    pub(crate) fn shallow_file(&self) -> Option<PathBuf> {
        Some(self.path.join("shallow")).filter(|path| path.exists())
    }
}

impl Mirror {
    /// The seed for a base of this mirror, made if it is not there yet.
    ///
    /// # Errors
    /// [`MirrorError`] when it cannot be made. Half a seed never has a seed's name.
    pub async fn seed(&self, base: &Base) -> Result<Seed, MirrorError> {
        let seeds = self.holder.join("seeds");
        let branch = Digest::of(base.branch.as_bytes()).short();
        let path = seeds.join(format!("{}-{branch}.git", base.commit));
        let seed = Seed { path, commit: base.commit.clone() };
        if seed.path.exists() {
            return Ok(seed);
        }
        make_directory(&seeds)?;
        let _lock = Lock::take(&seeds.join("lock"), LOCK_PATIENCE).await?;
        if !seed.path.exists() {
            let new = seeds.join("new");
            remove_directory(&new)?;
            self.complete(&base.commit, base.history).await?;
            let from = From { repository: &self.repository(), is_checked: !self.is_partial() };
            let filled = fill(&self.git, from, &new, (&base.commit, &base.branch), base.history).await;
            filled.map_err(|error| self.flaw(error))?;
            make_readable(&new)?;
            publish_directory(&new, &seed.path)?;
        }
        Ok(seed)
    }
}

impl Quarantine {
    /// A seed at `path` (absolute) for a commit that was taken in or made here, so that a later turn can begin with it; made if it is not
    /// there yet. `branch` is what its only branch is called.
    ///
    /// # Errors
    /// [`MirrorError`] when it cannot be made.
    pub async fn seed(&self, commit: &ObjectId, branch: &str, path: &Path) -> Result<Seed, MirrorError> {
        let seed = Seed { path: path.to_owned(), commit: commit.clone() };
        if !path.exists() {
            let new = path.with_extension("new");
            remove_directory(&new)?;
            if let Some(parent) = path.parent() {
                make_directory(parent)?;
            }
            let from = From { repository: &self.path, is_checked: true };
            fill(&self.git, from, &new, (commit, branch), History::Whole).await?;
            make_readable(&new)?;
            publish_directory(&new, path)?;
        }
        Ok(seed)
    }
}

/// Where a seed's objects come from.
struct From<'a> {
    repository: &'a Path,
    /// Whether they were held against git's checks when they came in there.
    is_checked: bool,
}

/// Makes a repository with one branch on a commit of another one, and what that reaches.
async fn fill(
    git: &Git,
    from: From<'_>,
    new: &Path,
    (commit, branch): (&ObjectId, &str),
    history: History,
) -> Result<(), MirrorError> {
    let branch = format!("refs/heads/{branch}");
    init(git, new, if commit.is_sha256() { "sha256" } else { "sha1" }).await?;
    let mut fetch = git.at(new, "fetch").transport(Transport::File).time(LOCK_PATIENCE);
    if !from.is_checked {
        fetch = checked(fetch);
    }
    fetch = fetch.args(["--quiet", "--no-tags", "--no-write-fetch-head", "--update-shallow"]);
    if let History::Recent(generations) = history {
        fetch = fetch.arg(format!("--depth={generations}"));
    }
    fetch = fetch.arg(git.upload_pack()).arg(from.repository);
    fetch.arg(format!("{commit}:{branch}")).run().await?;
    git.at(new, "symbolic-ref").args(["HEAD", &branch]).run().await?;
    git.at(new, "pack-refs").arg("--all").run().await?;
    Ok(())
}

/// A sandbox reads the seed under another user id. The data directory above it decides who on the host gets
/// that far.
fn make_readable(directory: &Path) -> Result<(), FileError> {
    let change = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));
    change(directory, 0o755).map_err(FileError::at("make readable", directory))?;
    for entry in fs::read_dir(directory).map_err(FileError::at("read the directory", directory))? {
        let path = entry.map_err(FileError::at("read the directory", directory))?.path();
        if path.is_dir() {
            make_readable(&path)?;
        } else {
            change(&path, 0o444).map_err(FileError::at("make readable", &path))?;
        }
    }
    Ok(())
}
