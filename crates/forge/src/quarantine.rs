//! Quarantine: the repository that takes in what a sandbox made, where it is examined and from which it is
//! published.
//!
//! It is a bare repository that borrows the seed's objects and no others. A bundle from a hijacked agent can
//! therefore neither build on an object that the sandbox was not shown (a thin pack with a delta against
//! another branch's file would have copied that file out) nor refer to one. It has no references, for nothing
//! is ever collected in it, and nothing is ever checked out of it.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use cofferdam_domain::{Digest, change::Received};

use crate::{
    ChangeError, FileError, Git, GitError, MalformedBundle, ObjectId, Seed,
    bundle::Header,
    call::Input,
    change::MOST_FILES,
    durable::{make_directory, publish_directory, remove_directory, write_file},
    mirror::init,
    objects,
};

/// Address space for taking in a pack: unpacked trees and deltas are held in memory, and a small pack can
/// claim huge ones.
const MEMORY: u64 = 4 << 30;
const TIME: Duration = Duration::from_secs(180);

/// How much may come out of a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceiveLimits {
    /// Bytes of the bundle.
    pub bytes: u64,
    /// Objects in it.
    pub objects: u32,
    /// Bytes of all its objects together, unpacked.
    pub unpacked: u64,
}

impl ReceiveLimits {
    /// Ample for any change that a person will review.
    pub const DEFAULT: Self = Self { bytes: 256 << 20, objects: 200_000, unpacked: 1 << 30 };
}

/// Why a bundle was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiveError {
    /// It is longer than permitted.
    #[error(
        "the change is too large: a bundle of {bytes} bytes, where {limit} are permitted; leave generated files out, or split the task"
    )]
    TooLarge {
        /// Its length.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// It has more objects than permitted.
    #[error(
        "the change is too large: {objects} objects, where {limit} are permitted; leave generated files out, or split the task"
    )]
    TooManyObjects {
        /// How many it claims.
        objects: u32,
        /// The limit.
        limit: u32,
    },
    /// Unpacked it is larger than permitted.
    #[error(
        "the change is too large: its files and directories have {bytes} bytes, where {limit} are permitted; leave generated \
         files out, or split the task"
    )]
    TooLargeUnpacked {
        /// Bytes of all objects.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// It has directories too deep in each other.
    #[error(
        "the change is too deep: more than {limit} directories within each other; leave generated files out"
    )]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// It is not a bundle.
    #[error(transparent)]
    Malformed(#[from] MalformedBundle),
    /// An object is one that git's own checks hold for damaged or dangerous.
    #[error("the change has a dangerous object: {rule} ({detail})")]
    Dangerous {
        /// Git's name for the check, as in git-fsck(1): `hasDotgit`, `gitmodulesSymlink`, …
        rule: String,
        /// What git says about it.
        detail: String,
    },
    /// The pack cannot be read.
    #[error("the change's pack is damaged: {detail}")]
    Damaged {
        /// What git says about it.
        detail: String,
    },
    /// The head is not a commit, or refers to objects that are neither in the bundle nor in the base.
    #[error("the change is incomplete: {detail}")]
    Incomplete {
        /// What is missing.
        detail: String,
    },
    /// What it changes could not be read.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// Git could not be run.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The quarantine's directory could not be used.
    #[error(transparent)]
    File(#[from] FileError),
}

/// A session's quarantine.
#[derive(Debug, Clone)]
pub struct Quarantine {
    pub(crate) git: Git,
    pub(crate) path: PathBuf,
    pub(crate) base: ObjectId,
    /// What stands on the session's branch: nothing that it reaches is counted as new.
    pub(crate) published: Option<ObjectId>,
}

impl Quarantine {
    /// The quarantine in `path` (absolute), made if it is not there or is for another base. The seed must
    /// stay as long as it does.
    ///
    /// # Errors
    /// [`ReceiveError::File`] or [`ReceiveError::Git`] when it cannot be made.
    pub async fn create(git: &Git, path: &Path, seed: &Seed) -> Result<Self, ReceiveError> {
        let base = seed.commit().clone();
        let quarantine = Self { git: git.clone(), path: path.to_owned(), base, published: None };
        let marker = format!("{}\n{}\n", seed.commit(), seed.path().display());
        if fs::read_to_string(path.join("cofferdam-base")).is_ok_and(|found| found == marker) {
            return Ok(quarantine);
        }
        let new = path.with_extension("new");
        remove_directory(&new)?;
        remove_directory(path)?;
        if let Some(parent) = path.parent() {
            make_directory(parent)?;
        }
        init(git, &new, if seed.commit().is_sha256() { "sha256" } else { "sha1" }).await?;
        make_directory(&new.join("objects/info"))?;
        let objects = format!("{}\n", seed.path().join("objects").display());
        write_file(&new.join("objects/info/alternates"), objects.as_bytes())?;
        if let Some(shallow) = seed.shallow_file() {
            fs::copy(&shallow, new.join("shallow")).map_err(FileError::at("copy", &shallow))?;
        }
        write_file(&new.join("cofferdam-base"), marker.as_bytes())?;
        publish_directory(&new, path)?;
        Ok(quarantine)
    }

    /// The quarantine in `path` as it stands, to be read.
    ///
    /// # Errors
    /// [`ReceiveError::File`] when there is none.
    pub fn open(git: &Git, path: &Path, base: ObjectId) -> Result<Self, ReceiveError> {
        let marker = path.join("cofferdam-base");
        fs::metadata(&marker).map_err(FileError::at("find the quarantine", &marker))?;
        Ok(Self { git: git.clone(), path: path.to_owned(), base, published: None })
    }

    /// Whether a commit is here, or in what it borrows.
    pub async fn has(&self, commit: &ObjectId) -> bool {
        objects::tree(&self.git, &self.path, commit).await.is_ok()
    }

    /// The base commit.
    #[must_use]
    pub fn base(&self) -> &ObjectId {
        &self.base
    }

    /// Takes in a bundle that [`crate::collect_script`]'s command wrote, or that a hijacked agent wrote in
    /// its place. Doing it again with the same bytes gives the same result.
    ///
    /// Submodule entries and symbolic links are taken in: what they mean for the tree is for the gate to say.
    ///
    /// # Errors
    /// [`ReceiveError`].
    pub async fn receive(&self, bundle: Vec<u8>, limits: ReceiveLimits) -> Result<Received, ReceiveError> {
        let bytes = bundle.len() as u64;
        if bytes > limits.bytes {
            return Err(ReceiveError::TooLarge { bytes, limit: limits.bytes });
        }
        let header = Header::parse(&bundle)?;
        if header.objects > limits.objects {
            let (objects, limit) = (header.objects, limits.objects);
            return Err(ReceiveError::TooManyObjects { objects, limit });
        }
        let digest = Digest::of(&bundle);
        let head = header.head;
        let mut pack = bundle;
        pack.drain(..header.pack);
        self.index(pack, limits).await?;
        self.walk(&head, limits).await?;
        let tree = objects::tree(&self.git, &self.path, &head).await?;
        let base_tree = objects::tree(&self.git, &self.path, &self.base).await?;
        let files = self.count_files(&[&base_tree, &tree]).await?;
        if files[1] > files[0].saturating_add(MOST_FILES as u64) {
            return Err(ChangeError::TooManyFiles { limit: MOST_FILES }.into());
        }
        let stat = self.stat(&self.base, &head).await?;
        let (head, tree) = (head.to_string(), tree.to_string());
        Ok(Received {
            bundle: digest,
            head,
            tree,
            stat,
            patch: None,
            objects: None,
            contents: Vec::new(),
            submodules: Vec::new(),
        })
    }

    /// What a commit that was taken in from the repository has beyond the base, as if it had come out of a sandbox.
    ///
    /// # Errors
    /// [`ReceiveError::Change`] when it is more than can be examined.
    pub async fn offered(&self, head: &ObjectId) -> Result<Received, ReceiveError> {
        let tree = objects::tree(&self.git, &self.path, head).await?;
        let stat = self.stat(&self.base, head).await?;
        let (head, tree) = (head.to_string(), tree.to_string());
        Ok(Received {
            bundle: Digest::ZERO,
            head,
            tree,
            stat,
            patch: None,
            objects: None,
            contents: Vec::new(),
            submodules: Vec::new(),
        })
    }

    /// Stores the pack's objects, each checked as `git fsck` would, warnings counting as errors.
    async fn index(&self, pack: Vec<u8>, limits: ReceiveLimits) -> Result<(), ReceiveError> {
        let call =
            self.git.at(&self.path, "index-pack").args(["--stdin", "--fix-thin", "--strict", "--threads=1"]);
        let call = call.arg(format!("--max-input-size={}", limits.bytes)).memory(MEMORY).time(TIME);
        let output = call.input(Input::Bytes(pack)).run_to_any_end().await?;
        if output.code == Some(0) {
            return Ok(());
        }
        let flaw = output.stderr.lines().find_map(|line| line.strip_prefix("error: object "));
        let flaw = flaw.and_then(|text| text.split_once(": ")).and_then(|(_, text)| text.split_once(": "));
        if let Some((rule, detail)) = flaw {
            let visible = |text: &str| cofferdam_domain::hidden::visible(text.as_bytes());
            return Err(ReceiveError::Dangerous { rule: visible(rule), detail: visible(detail) });
        }
        Err(ReceiveError::Damaged { detail: output.into_error().message()? })
    }

    /// Makes sure that all is there that the head needs, and that it is not too much.
    async fn walk(&self, head: &ObjectId, limits: ReceiveLimits) -> Result<(), ReceiveError> {
        let known = objects::look_up(&self.git, &self.path, &[head]).await?;
        let kind = known.into_iter().flatten().next().map(|info| info.kind);
        if kind != Some(objects::ObjectKind::Commit) {
            return Err(ReceiveError::Incomplete { detail: "its head is not a commit in it".into() });
        }
        let known = [Some(&self.base), self.published.as_ref()];
        let known = known.into_iter().flatten().map(|commit| format!("^{commit}"));
        let call =
            self.git.at(&self.path, "rev-list").args(["--objects", "--no-object-names", head.as_str()]);
        let call = call.args(known).time(TIME).output_limit(65 * u64::from(limits.objects) + 65);
        let output = call.run_to_any_end().await?;
        if output.code != Some(0) {
            return Err(ReceiveError::Incomplete { detail: output.into_error().message()? });
        }
        let unexpected = || output.unexpected(&output.stdout);
        let text = std::str::from_utf8(&output.stdout).map_err(|_| unexpected())?;
        let names: Vec<&str> = text.lines().collect();
        let found = objects::look_up(&self.git, &self.path, &names).await?;
        let mut bytes: u64 = 0;
        for (info, name) in found.into_iter().zip(names) {
            let info =
                info.ok_or_else(|| ReceiveError::Incomplete { detail: format!("{name} is missing") })?;
            bytes = bytes.saturating_add(info.size);
        }
        if bytes > limits.unpacked {
            return Err(ReceiveError::TooLargeUnpacked { bytes, limit: limits.unpacked });
        }
        Ok(())
    }
}
