//! Single files of a commit, and who changed them last.

use std::{collections::BTreeMap, time::Duration};

use cofferdam_domain::{Timestamp, hidden::visible};

use crate::{GitError, Mirror, ObjectId, objects};

/// How long it may take to find out who changed files last. It is told where it is known, and nothing waits for it.
const HISTORY_TIME: Duration = Duration::from_secs(5);
/// Commits that are looked at, of those that have changed one of the files.
const MOST_COMMITS: usize = 500;
/// Bytes of their listing.
const MOST_HISTORY: u64 = 4 << 20;
/// Bytes of files that are read at once.
const MOST_BYTES: u64 = 1 << 20;
/// Bytes of an author's name.
const LONGEST_NAME: usize = 200;

/// A file in a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeFile {
    /// Its path from the root.
    pub path: String,
    /// Its content.
    pub id: ObjectId,
    /// Its bytes.
    pub size: u64,
    /// Whether it is a symbolic link.
    pub link: bool,
}

impl TreeFile {
    /// From an entry of `ls-tree --long`. A path that is no text is none that anybody means.
    pub(crate) fn of(entry: &[u8], id: &ObjectId, size: u64, path: &[u8]) -> Option<Self> {
        let path = std::str::from_utf8(path).ok()?.to_owned();
        Some(Self { path, id: id.clone(), size, link: entry.starts_with(b"120000 ") })
    }
}

/// Who changed a file last, as the commit says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastChange {
    /// The author, made visible.
    pub author: String,
    /// When.
    pub at: Timestamp,
}

impl Mirror {
    /// What stands at these paths of a commit's tree; nothing where that is no file.
    ///
    /// # Errors
    /// When git cannot be run in the mirror.
    pub async fn files_at(&self, tree: &ObjectId, paths: &[String]) -> Result<Vec<TreeFile>, GitError> {
        if paths.is_empty() {
            return Ok(Vec::new());
        }
        let repository = self.repository();
        let call = self.git.at(&repository, "ls-tree").args(["-z", "--long", "--full-tree"]);
        let output = call.arg(tree).args(paths).output_limit(MOST_BYTES).run().await?;
        let mut files = Vec::new();
        // Modes of files and links begin with a 1, that of a directory does not.
        for entry in output.stdout.split(|byte| *byte == 0).filter(|entry| entry.starts_with(b"1")) {
            let (id, size, path) = crate::base::blob(entry).ok_or_else(|| output.unexpected(entry))?;
            files.extend(size.and_then(|size| TreeFile::of(entry, &id, size, path)));
        }
        Ok(files)
    }

    /// The contents of files, in order.
    ///
    /// # Errors
    /// When one of them is not in the mirror, or they are too large together.
    pub async fn contents_of(&self, files: &[&TreeFile]) -> Result<Vec<Vec<u8>>, GitError> {
        if files.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<&ObjectId> = files.iter().map(|file| &file.id).collect();
        objects::read(&self.git, &self.repository(), &ids, MOST_BYTES).await
    }

    /// Who changed each of these files last, where that can be found out quickly.
    pub async fn last_changes(&self, commit: &ObjectId, paths: &[String]) -> BTreeMap<String, LastChange> {
        if paths.is_empty() {
            return BTreeMap::new();
        }
        let repository = self.repository();
        let call = self.git.at(&repository, "log").args(["-z", "--name-only", "--no-renames"]);
        let call = call.arg("--format=%x02%an <%ae>%x03%at").arg(format!("--max-count={MOST_COMMITS}"));
        let call = call.arg(commit).arg("--").args(paths).env("GIT_LITERAL_PATHSPECS", "1");
        match call.output_start(MOST_HISTORY).time(HISTORY_TIME).run().await {
            Ok(output) => last(&output.stdout, paths),
            Err(_) => BTreeMap::new(),
        }
    }
}

/// The first mention of each path in a listing of commits, the latest first.
fn last(listing: &[u8], paths: &[String]) -> BTreeMap<String, LastChange> {
    let mut found = BTreeMap::new();
    let mut change: Option<LastChange> = None;
    for part in listing.split(|byte| matches!(*byte, 0 | b'\n')).filter(|part| !part.is_empty()) {
        if let Some(head) = part.strip_prefix(b"\x02") {
            change = commit(head);
        } else if let (Some(change), Ok(path)) = (&change, std::str::from_utf8(part))
            && paths.iter().any(|wanted| wanted == path)
        {
            found.entry(path.to_owned()).or_insert_with(|| change.clone());
        }
    }
    found
}

fn commit(head: &[u8]) -> Option<LastChange> {
    let at = head.iter().rposition(|byte| *byte == 3)?;
    let (author, seconds) = head.split_at(at);
    let seconds: u64 = std::str::from_utf8(seconds.get(1..)?).ok()?.trim().parse().ok()?;
    let author = visible(author);
    let author = author.get(..author.floor_char_boundary(LONGEST_NAME))?.to_owned();
    Some(LastChange { author, at: Timestamp(seconds.saturating_mul(1000)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_commit_with_a_file_counts() {
        let paths = ["a".to_owned(), "b/c".to_owned()];
        let found = last(
            b"\x02Ann <a@x>\x0320\0\na\0other\0\0\x02B\xe2\x80\xaeb <b@x>\x0310\0\na\0b/c\0\x02bad\0b/c\0",
            &paths,
        );
        assert_eq!(found["a"], LastChange { author: "Ann <a@x>".into(), at: Timestamp(20_000) });
        assert_eq!(found["b/c"].author, "B\\u{202e}b <b@x>");
    }
}
