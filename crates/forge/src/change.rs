//! A received change as data: which entries of the tree differ, their contents, the commits' own words, and a
//! patch for people.
//!
//! Read from objects by plumbing that looks at no attribute, configuration or work tree. Renames are not
//! guessed.

use std::time::Duration;

use cofferdam_domain::{
    Change, ChangeKind, FileChange, FileMode,
    change::{CommitInfo, DiffStat, FileSide, MAX_CONTENT},
};

use crate::{Git, GitError, ObjectId, Quarantine, call::Call, objects};

/// Paths that a change may touch.
pub(crate) const MOST_FILES: usize = 20_000;
/// Bytes of all loaded contents together.
const MOST_CONTENT: u64 = 256 << 20;
/// Commits whose messages are read; there may be more.
const MOST_COMMITS: usize = 1_000;
/// Of a message, what is kept.
const LONGEST_MESSAGE: usize = 64 << 10;
const TIME: Duration = Duration::from_secs(120);
/// From this size on, git compares contents as binary: a difference of texts takes time and memory.
const DIFF_SETTING: &str = "core.bigFileThreshold=8m";

/// Why a change could not be read or made again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// It touches more paths than can be examined.
    #[error(
        "the change touches more than {limit} files: leave generated and vendored files out (.gitignore), or split the task"
    )]
    TooManyFiles {
        /// The limit.
        limit: usize,
    },
    /// Its contents are more than can be examined.
    #[error(
        "the changed files have {bytes} bytes together, where {limit} can be examined: leave generated files out, or split the task"
    )]
    TooLarge {
        /// Bytes of all contents, before and after.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// Nothing differs.
    #[error("the change leaves every file as it was")]
    Empty,
    /// Git could not be run, or an object is not there.
    #[error(transparent)]
    Git(#[from] GitError),
}

/// One entry of `git diff-tree --raw`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Entry {
    pub(crate) path: Vec<u8>,
    pub(crate) old: Option<Place>,
    pub(crate) new: Option<Place>,
}

/// What stands at a path in one tree.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) mode: String,
    pub(crate) object: ObjectId,
}

impl Quarantine {
    /// All that differs between two commits (or trees), `head` usually being
    /// [`cofferdam_domain::change::Received::head`].
    ///
    /// # Errors
    /// [`ChangeError`].
    pub async fn change(&self, base: &ObjectId, head: &ObjectId) -> Result<Change, ChangeError> {
        let entries = self.entries(base, head).await?;
        let places: Vec<&Place> =
            entries.iter().flat_map(|entry| [&entry.old, &entry.new]).flatten().collect();
        let mut sides = self.load(&places).await?.into_iter();
        let mut files = Vec::with_capacity(entries.len());
        for entry in &entries {
            let old = entry.old.as_ref().and_then(|_| sides.next());
            let new = entry.new.as_ref().and_then(|_| sides.next());
            let kind = match (&old, &new) {
                (None, _) => ChangeKind::Added,
                (_, None) => ChangeKind::Deleted,
                (Some(_), Some(_)) => ChangeKind::Modified,
            };
            files.push(FileChange { path: entry.path.clone(), kind, old, new });
        }
        Ok(Change { files, commits: self.commits(base, head).await?, ..Change::default() })
    }

    /// How many files and lines differ. Lines of binary files are not counted.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub async fn stat(&self, base: &ObjectId, head: &ObjectId) -> Result<DiffStat, ChangeError> {
        let call = self.diff_tree(base, head).arg("--numstat").output_limit(32 << 20);
        let output = call.run().await.map_err(too_many_files)?;
        let mut stat = DiffStat::default();
        for line in output.stdout.split(|byte| *byte == 0).filter(|line| !line.is_empty()) {
            let mut numbers = line.split(|byte| *byte == b'\t').map(std::str::from_utf8);
            let mut next = || numbers.next().and_then(Result::ok).and_then(|text| text.parse::<u64>().ok());
            stat.files += 1;
            stat.added += next().unwrap_or(0);
            stat.removed += next().unwrap_or(0);
        }
        if stat.files > MOST_FILES as u64 {
            Err(ChangeError::TooManyFiles { limit: MOST_FILES })
        } else {
            Ok(stat)
        }
    }

    /// A unified patch for people, cut off after `limit` bytes. It may hold anything, control characters too.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub async fn diff_text(
        &self,
        base: &ObjectId,
        head: &ObjectId,
        limit: u64,
    ) -> Result<Vec<u8>, ChangeError> {
        let call = self.git.at(&self.path, "diff-tree").setting(DIFF_SETTING).time(TIME);
        let options =
            ["-r", "-p", "--no-renames", "--no-ext-diff", "--no-textconv", "--no-color", "--full-index"];
        let operands = [base.as_str(), head.as_str(), "--"];
        let mut output = call.args(options).args(operands).output_start(limit).run().await?;
        if output.cut {
            let last = output.stdout.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            output.stdout.truncate(last);
            output.stdout.extend_from_slice(b"[the rest of the patch is left out here: it is too long]\n");
        }
        Ok(output.stdout)
    }

    fn diff_tree<'a>(&'a self, base: &ObjectId, head: &ObjectId) -> Call<'a> {
        let call = self.git.at(&self.path, "diff-tree").setting(DIFF_SETTING).time(TIME);
        let options = ["-r", "-z", "--no-renames", "--no-ext-diff", "--no-textconv", "--no-abbrev"];
        call.args(options).args([base.as_str(), head.as_str()])
    }

    /// The entries that differ, in the tree's order.
    pub(crate) async fn entries(&self, base: &ObjectId, head: &ObjectId) -> Result<Vec<Entry>, ChangeError> {
        let call = self.diff_tree(base, head).arg("--raw").output_limit(32 << 20);
        let output = call.run().await.map_err(too_many_files)?;
        let mut parts = output.stdout.split(|byte| *byte == 0);
        let mut entries = Vec::new();
        while let Some(about) = parts.next().filter(|part| !part.is_empty()) {
            let path = parts.next().unwrap_or_default();
            let entry = parse_entry(about, path).ok_or_else(|| output.unexpected(about))?;
            entries.push(entry);
        }
        if entries.len() > MOST_FILES {
            return Err(ChangeError::TooManyFiles { limit: MOST_FILES });
        }
        Ok(entries)
    }

    /// Sizes and contents of what stands at some places, in their order.
    async fn load(&self, places: &[&Place]) -> Result<Vec<FileSide>, ChangeError> {
        let names: Vec<&ObjectId> =
            places.iter().filter(|place| place.mode != GITLINK).map(|place| &place.object).collect();
        let sizes = objects::look_up(&self.git, &self.path, &names).await?;
        let small: Vec<&ObjectId> = names
            .iter()
            .zip(&sizes)
            .filter(|(_, info)| info.as_ref().is_some_and(|info| info.size <= MAX_CONTENT))
            .map(|(name, _)| *name)
            .collect();
        let bytes: u64 =
            sizes.iter().flatten().map(|info| info.size).filter(|size| *size <= MAX_CONTENT).sum();
        if bytes > MOST_CONTENT {
            return Err(ChangeError::TooLarge { bytes, limit: MOST_CONTENT });
        }
        let mut contents = objects::read(&self.git, &self.path, &small, MOST_CONTENT).await?.into_iter();
        let mut sizes = sizes.into_iter();
        let mut sides = Vec::with_capacity(places.len());
        for place in places {
            let mode = file_mode(&place.mode).ok_or_else(|| unexpected(&place.mode))?;
            let (size, content) = if mode == FileMode::Gitlink {
                (0, None)
            } else {
                let info = sizes.next().flatten().ok_or_else(|| unexpected(place.object.as_str()))?;
                (info.size, if info.size <= MAX_CONTENT { contents.next() } else { None })
            };
            sides.push(FileSide { mode, object: place.object.to_string(), size, content });
        }
        Ok(sides)
    }

    /// The commits that `head` has and `base` has not, oldest first; the newest thousand if there are more.
    pub(crate) async fn commits(
        &self,
        base: &ObjectId,
        head: &ObjectId,
    ) -> Result<Vec<CommitInfo>, GitError> {
        let call = self.git.at(&self.path, "rev-list").args(["--topo-order", "--reverse"]).time(TIME);
        let call = call.arg(format!("--max-count={MOST_COMMITS}")).arg(head).arg(format!("^{base}"));
        let output = call.run().await?;
        let text = std::str::from_utf8(&output.stdout).map_err(|_| output.unexpected(&output.stdout))?;
        let ids = text.lines().map(str::parse).collect::<Result<Vec<ObjectId>, _>>();
        let ids = ids.map_err(|_| output.unexpected(&output.stdout))?;
        let texts =
            objects::read(&self.git, &self.path, &ids.iter().collect::<Vec<_>>(), MOST_CONTENT).await?;
        Ok(ids.iter().zip(&texts).map(|(id, text)| parse_commit(id, text)).collect())
    }
}

const GITLINK: &str = "160000";

fn file_mode(mode: &str) -> Option<FileMode> {
    match mode {
        "100644" | "100664" => Some(FileMode::Regular),
        "100755" => Some(FileMode::Executable),
        "120000" => Some(FileMode::Symlink),
        GITLINK => Some(FileMode::Gitlink),
        _ => None,
    }
}

fn unexpected(detail: &str) -> GitError {
    GitError::Unexpected { command: "git diff-tree".into(), detail: detail.to_owned() }
}

fn too_many_files(error: GitError) -> ChangeError {
    if matches!(error, GitError::TooMuchOutput { .. }) {
        ChangeError::TooManyFiles { limit: MOST_FILES }
    } else {
        error.into()
    }
}

/// Reads `:oldmode newmode oldobject newobject status` and its path.
fn parse_entry(about: &[u8], path: &[u8]) -> Option<Entry> {
    let mut words = std::str::from_utf8(about).ok()?.strip_prefix(':')?.split(' ');
    let (old_mode, new_mode) = (words.next()?, words.next()?);
    let (old, new) = (words.next()?.parse::<ObjectId>().ok()?, words.next()?.parse::<ObjectId>().ok()?);
    let place =
        |mode: &str, object: ObjectId| (mode != "000000").then(|| Place { mode: mode.to_owned(), object });
    let entry = Entry { path: path.to_vec(), old: place(old_mode, old), new: place(new_mode, new) };
    (!path.is_empty()).then_some(entry)
}

/// Reads a commit object: header lines, an empty line, the message.
fn parse_commit(id: &ObjectId, text: &[u8]) -> CommitInfo {
    let end = text.windows(2).position(|window| window == b"\n\n").unwrap_or(text.len());
    let parents = text[..end]
        .split(|byte| *byte == b'\n')
        .filter_map(|line| line.strip_prefix(b"parent "))
        .map(|parent| String::from_utf8_lossy(parent).into_owned())
        .collect();
    let message = text.get(end + 2..).unwrap_or_default();
    let message = String::from_utf8_lossy(&message[..message.len().min(LONGEST_MESSAGE)]).into_owned();
    CommitInfo { id: id.to_string(), parents, message }
}

impl Quarantine {
    /// The git program that it uses.
    #[must_use]
    pub fn git(&self) -> &Git {
        &self.git
    }
}
