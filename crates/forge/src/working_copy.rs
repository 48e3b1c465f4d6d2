//! Whether a user's work tree has something that is not committed, found out without running anything that
//! its repository names.
//!
//! `git status` and its kin compare contents through clean filters, which are programs from the repository's
//! configuration, and ask submodules. So this asks git only for what the index and `HEAD` say, and compares
//! with the files itself: by size and time first, as git does, then by content as it is. A file that a filter
//! would turn into what is committed may be counted although it is clean.

use std::{
    collections::HashSet,
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

use crate::{Git, GitError, LocalRepository, ObjectId, call::Input};

/// Files whose time differs are read, but not more than so many: beyond that they all count.
const MOST_READ: usize = 1_000;
/// Larger files count without being read.
const LARGEST_READ: u64 = 16 << 20;
const OUTPUT_LIMIT: u64 = 512 << 20;

/// How many paths of the work tree differ from `HEAD` or are new and not ignored. Nothing is written in the
/// repository.
pub(crate) async fn uncommitted(git: &Git, local: &LocalRepository, scratch: &Path) -> Result<u64, GitError> {
    let mut paths: HashSet<Vec<u8>> = staged(git, local).await?;
    paths.extend(untracked(git, local).await?);
    paths.extend(modified(git, local, scratch).await?);
    Ok(paths.len() as u64)
}

/// Paths on which the index and `HEAD` differ. Compares object names only.
async fn staged(git: &Git, local: &LocalRepository) -> Result<HashSet<Vec<u8>>, GitError> {
    let call = git.at(local.git_directory(), "diff-index");
    let options = ["--cached", "--raw", "--name-only", "--no-renames", "--ignore-submodules=all", "-z"];
    let output = call.args(options).args(["HEAD", "--"]).output_limit(OUTPUT_LIMIT).run().await?;
    Ok(split(&output.stdout).map(<[u8]>::to_vec).collect())
}

/// Files that git does not know and is not told to ignore. A whole new directory counts as one.
async fn untracked(git: &Git, local: &LocalRepository) -> Result<HashSet<Vec<u8>>, GitError> {
    let call =
        git.at(local.git_directory(), "ls-files").within(local.root()).env("GIT_WORK_TREE", local.root());
    let options = ["--others", "--exclude-standard", "--directory", "--no-empty-directory", "-z"];
    let output = call.args(options).output_limit(OUTPUT_LIMIT).run().await?;
    Ok(split(&output.stdout).map(<[u8]>::to_vec).collect())
}

fn split(output: &[u8]) -> impl Iterator<Item = &[u8]> {
    output.split(|byte| *byte == 0).filter(|part| !part.is_empty())
}

/// A file as the index remembers it.
#[derive(Debug, PartialEq, Eq)]
struct Indexed {
    path: Vec<u8>,
    object: ObjectId,
    modified: (i64, i64),
    size: u64,
}

/// Files whose content differs from what the index has.
async fn modified(git: &Git, local: &LocalRepository, scratch: &Path) -> Result<HashSet<Vec<u8>>, GitError> {
    let call =
        git.at(local.git_directory(), "ls-files").within(local.root()).env("GIT_WORK_TREE", local.root());
    let output = call.args(["--stage", "--debug", "-z"]).output_limit(OUTPUT_LIMIT).run().await?;
    let indexed = parse_index(&output.stdout).ok_or_else(|| output.unexpected(&output.stdout))?;
    let root = local.root().to_owned();
    let compared = tokio::task::spawn_blocking(move || compare(&root, indexed)).await;
    let (mut different, unsure) = compared.map_err(|_| output.unexpected(b"index"))?;
    if unsure.len() > MOST_READ {
        different.extend(unsure.into_iter().map(|(_, file)| file.path));
        return Ok(different);
    }
    let mut list = Vec::new();
    for (path, _) in &unsure {
        list.extend_from_slice(path.as_os_str().as_bytes());
        list.push(b'\n');
    }
    let call = git.at(scratch, "hash-object").args(["--no-filters", "--stdin-paths"]);
    let output = call.input(Input::Bytes(list)).run().await?;
    let mut hashes = output.stdout.split(|byte| *byte == b'\n');
    for (_, file) in unsure {
        if hashes.next() != Some(file.object.as_str().as_bytes()) {
            different.insert(file.path);
        }
    }
    Ok(different)
}

/// Sorts files into those that differ for certain and those whose content must be read; drops those that are
/// as the index says.
fn compare(root: &Path, indexed: Vec<Indexed>) -> (HashSet<Vec<u8>>, Vec<(PathBuf, Indexed)>) {
    let (mut different, mut unsure) = (HashSet::new(), Vec::new());
    for file in indexed {
        let path = root.join(OsStr::from_bytes(&file.path));
        match fs::symlink_metadata(&path) {
            Ok(data) if (data.mtime(), data.mtime_nsec()) == file.modified && data.size() == file.size => {}
            Ok(data) if data.is_file() && data.size() <= LARGEST_READ && !file.path.contains(&b'\n') => {
                unsure.push((path, file));
            }
            Ok(_) | Err(_) => {
                different.insert(file.path);
            }
        }
    }
    (different, unsure)
}

/// Reads `git ls-files --stage --debug -z`: for each path a line that ends in NUL and five indented lines.
/// Submodules are left out.
fn parse_index(output: &[u8]) -> Option<Vec<Indexed>> {
    let mut rest = output;
    let mut files = Vec::new();
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == 0)?;
        let (entry, after) = (&rest[..end], &rest[end + 1..]);
        let tab = entry.iter().position(|byte| *byte == b'\t')?;
        let mut words = entry[..tab].split(|byte| *byte == b' ');
        let (mode, object) = (words.next()?, ObjectId::from_bytes(words.next()?).ok()?);
        let mut lines = after.split(|byte| *byte == b'\n');
        let mut details: Vec<&str> = Vec::with_capacity(5);
        for _ in 0..5 {
            details.push(std::str::from_utf8(lines.next()?).ok()?.trim_start());
        }
        let used: usize =
            details.len() + after.split(|byte| *byte == b'\n').take(5).map(<[u8]>::len).sum::<usize>();
        rest = after.get(used..)?;
        let (seconds, nanoseconds) = details[1].strip_prefix("mtime: ")?.split_once(':')?;
        let size = details[4].strip_prefix("size: ")?.split_ascii_whitespace().next()?;
        if mode != b"160000" {
            files.push(Indexed {
                path: entry[tab + 1..].to_vec(),
                object,
                modified: (seconds.parse().ok()?, nanoseconds.parse().ok()?),
                size: size.parse().ok()?,
            });
        }
    }
    Some(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_entries_with_any_path() {
        let text = b"100644 587be6b4c3f93f93c489c0111bba5596147a26cb 0\ta\nb\xff\0  ctime: 1:2\n  mtime: 3:4\n  dev: 5\tino: 6\n  uid: 0\tgid: 0\n  size: 7\tflags: 0\n";
        let mut twice = text.to_vec();
        twice.extend_from_slice(text);
        let files = parse_index(&twice).unwrap();
        assert_eq!(files.len(), 2);
        assert_eq!(files[1].path, b"a\nb\xff");
        assert_eq!((files[1].modified, files[1].size), ((3, 4), 7));
        assert_eq!(parse_index(b"nonsense\0"), None);
    }
}
