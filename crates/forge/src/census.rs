//! How many files a tree has, without listing them.
//!
//! A tree can hold the same directory many times over, so that a handful of objects spells out more files
//! than any program can list. Here each directory is read once and the numbers are added up.

use std::collections::HashMap;

use crate::{GitError, ObjectId, Quarantine, ReceiveError, objects};

/// Directories within directories. Real trees have a dozen; git itself walks them recursively.
const DEEPEST: usize = 256;
/// Bytes of directories that are read.
const MOST_BYTES: u64 = 512 << 20;

/// A directory: its own files, and the directories in it (one for each name).
struct Directory {
    files: u64,
    below: Vec<ObjectId>,
}

impl Quarantine {
    /// The number of files (links and submodules too) in each of `trees`.
    pub(crate) async fn count_files(&self, trees: &[&ObjectId]) -> Result<Vec<u64>, ReceiveError> {
        let mut known: HashMap<ObjectId, Directory> = HashMap::new();
        let mut level: Vec<ObjectId> = trees.iter().map(|tree| (*tree).clone()).collect();
        let mut levels = 0;
        while !level.is_empty() {
            levels += 1;
            if levels > DEEPEST {
                return Err(ReceiveError::TooDeep { limit: DEEPEST });
            }
            level.sort_unstable();
            level.dedup();
            let names: Vec<&ObjectId> = level.iter().collect();
            let contents = objects::read(&self.git, &self.path, &names, MOST_BYTES).await?;
            for (id, content) in level.iter().zip(&contents) {
                let directory =
                    Directory::parse(content, id.as_str().len() / 2).ok_or_else(|| unreadable(id))?;
                known.insert(id.clone(), directory);
            }
            let below = level.iter().filter_map(|id| known.get(id)).flat_map(|directory| &directory.below);
            level = below.filter(|id| !known.contains_key(*id)).cloned().collect();
        }
        let mut sums = HashMap::new();
        trees.iter().map(|tree| sum(tree, 0, &known, &mut sums).map(|sum| sum.files)).collect()
    }
}

/// What is known of a directory with all that is below it.
#[derive(Clone, Copy)]
struct Sum {
    files: u64,
    height: usize,
}

/// Adds up, each directory once. `depth` is how deep this one is; a small pack can hold a chain of
/// directories that is deeper than any stack.
fn sum<'a>(
    id: &'a ObjectId,
    depth: usize,
    known: &'a HashMap<ObjectId, Directory>,
    sums: &mut HashMap<&'a ObjectId, Sum>,
) -> Result<Sum, ReceiveError> {
    let found = sums.get(id).copied();
    if depth + found.map_or(0, |sum| sum.height) > DEEPEST {
        return Err(ReceiveError::TooDeep { limit: DEEPEST });
    }
    if let Some(found) = found {
        return Ok(found);
    }
    let directory = known.get(id).ok_or_else(|| unreadable(id))?;
    let mut total = Sum { files: directory.files, height: 0 };
    for below in &directory.below {
        let below = sum(below, depth + 1, known, sums)?;
        total.files = total.files.saturating_add(below.files);
        total.height = total.height.max(below.height + 1);
    }
    sums.insert(id, total);
    Ok(total)
}

impl Directory {
    /// Reads a tree object: for each entry mode, space, name, NUL, the object's name in `width` bytes.
    fn parse(mut content: &[u8], width: usize) -> Option<Self> {
        let mut directory = Self { files: 0, below: Vec::new() };
        while !content.is_empty() {
            let end = content.iter().position(|byte| *byte == 0)?;
            let (entry, rest) = content.split_at(end);
            let (object, rest) = rest[1..].split_at_checked(width)?;
            if entry.starts_with(b"40000 ") || entry.starts_with(b"040000 ") {
                let digits: String = object.iter().map(|byte| format!("{byte:02x}")).collect();
                directory.below.push(digits.parse().ok()?);
            } else {
                directory.files += 1;
            }
            content = rest;
        }
        Some(directory)
    }
}

fn unreadable(id: &ObjectId) -> GitError {
    GitError::Unexpected { command: "git cat-file".into(), detail: format!("tree {id} cannot be read") }
}
