//! A finished change as data: what the gate examines. Made from git objects, never from a checkout.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{BlobRef, Digest, hidden};

/// All that differs between two trees.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Change {
    /// One entry for each path that differs, in the order of git's tree.
    pub files: Vec<FileChange>,
    /// Commits between base and head, oldest first.
    pub commits: Vec<CommitInfo>,
    /// What Git LFS keeps of it, by the SHA-256 that a pointer among the files names. A pointer to anything else leads nowhere.
    pub kept: BTreeMap<Digest, Kept>,
}

/// A content that Git LFS keeps outside the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// It is new, and here: its length, and its bytes unless it is longer than [`MAX_CONTENT`].
    New {
        /// Its length in bytes.
        size: u64,
        /// The bytes.
        content: Option<Vec<u8>>,
    },
    /// The repository had a pointer to it before.
    Known,
}

/// A commit's own text. Untrusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitInfo {
    /// Its object id in hexadecimal.
    pub id: String,
    /// Its parents' object ids.
    pub parents: Vec<String>,
    /// Its message, lossily decoded.
    pub message: String,
}

/// How one path differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileChange {
    /// The path in git's tree, from the root, as raw bytes with `/` between parts.
    pub path: Vec<u8>,
    /// What happened to it.
    pub kind: ChangeKind,
    /// Mode and content before; `None` if the path is new.
    pub old: Option<FileSide>,
    /// Mode and content after; `None` if the path is gone.
    pub new: Option<FileSide>,
}

impl FileChange {
    /// The path as text for people: see [`hidden::visible`].
    #[must_use]
    pub fn display_path(&self) -> String {
        hidden::visible(&self.path)
    }
}

/// What happened to a path. Renames are a deletion and an addition: a gate must not be fooled by a similarity
/// guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// New.
    Added,
    /// Content or mode differ.
    Modified,
    /// Gone.
    Deleted,
}

/// One side of a changed path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSide {
    /// What kind of entry it is.
    pub mode: FileMode,
    /// The git object id in hexadecimal.
    pub object: String,
    /// The length of the content in bytes; zero for a gitlink.
    pub size: u64,
    /// The content, unless it is longer than [`MAX_CONTENT`] or a gitlink.
    pub content: Option<Vec<u8>>,
}

/// Contents longer than this are not loaded; the gate reports the file as oversize.
pub const MAX_CONTENT: u64 = 8 << 20;

/// The kinds of entry that a git tree can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileMode {
    /// 100644.
    Regular,
    /// 100755.
    Executable,
    /// 120000: the content is the target.
    Symlink,
    /// 160000: a submodule's commit.
    Gitlink,
}

/// How many files and lines a change touches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiffStat {
    /// Paths that differ.
    pub files: u64,
    /// Lines added.
    pub added: u64,
    /// Lines removed.
    pub removed: u64,
}

/// What came out of a sandbox, by digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    /// The digest of the bundle.
    pub bundle: Digest,
    /// The head commit as the agent left it, object id in hexadecimal.
    pub head: String,
    /// The head's tree, object id in hexadecimal.
    pub tree: String,
    /// Its size.
    pub stat: DiffStat,
    /// The change as a patch for people, as far as a few megabytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch: Option<BlobRef>,
    /// The bundle itself, as far as some megabytes: a worker on another machine has the objects from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objects: Option<BlobRef>,
    /// New contents that Git LFS is to keep, as far as some megabytes: they came out beside the bundle, and go to the forge before the branch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contents: Vec<BlobRef>,
    /// Submodules in which the agent left other files than their commits have. Those are not delivered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub submodules: Vec<Undelivered>,
}

/// A submodule with other files than its commit has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undelivered {
    /// Where it is in the repository.
    pub path: String,
    /// Whether there are only files which its commit does not have at all: what tests leave behind, perhaps.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub only_added: bool,
}
