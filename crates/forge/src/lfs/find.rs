//! Which contents a repository wants of Git LFS: found in its objects, never in a work tree.

use std::{collections::BTreeSet, fs, path::Path};

use cofferdam_domain::{
    Change, FileMode,
    change::{Kept, MAX_CONTENT},
    cone::is_inside,
};

use super::{LfsPointer, LfsShelf};
use crate::{
    ChangeError, Git, GitError, ObjectId, Quarantine, Seed,
    base::{LISTING_LIMIT, blob},
    call::Input,
    objects::{self, ObjectKind},
};

/// Bytes of new contents that are read for the gate.
const MOST_READ: u64 = 128 << 20;
/// The bytes in objects of which pointers are looked for, at once.
const AT_ONCE: usize = 1_000;

impl Seed {
    /// The pointers among the files of the seed's commit, in the order of their paths: of those that git's attributes there give to the filter
    /// `lfs`, and only in `cones` if there are any. `scratch` is the name of a file that is there for a moment.
    ///
    /// # Errors
    /// When git cannot be run.
    pub async fn pointers(
        &self,
        git: &Git,
        cones: &[String],
        scratch: &Path,
    ) -> Result<Vec<LfsPointer>, GitError> {
        pointers_of(git, self.path(), self.commit(), cones, scratch).await
    }
}

async fn pointers_of(
    git: &Git,
    repository: &Path,
    commit: &ObjectId,
    cones: &[String],
    scratch: &Path,
) -> Result<Vec<LfsPointer>, GitError> {
    let call = git.at(repository, "ls-tree").args(["-r", "-z", "--long", "--full-tree"]);
    let output = call.arg(commit).output_limit(LISTING_LIMIT).run().await?;
    let (mut attributes, mut small) = (Vec::new(), Vec::new());
    for entry in output.stdout.split(|byte| *byte == 0).filter(|entry| entry.starts_with(b"100")) {
        let (id, size, path) = blob(entry).ok_or_else(|| output.unexpected(entry))?;
        let size = size.unwrap_or(0);
        if path.rsplit(|byte| *byte == b'/').next() == Some(b".gitattributes") {
            attributes.push(id);
        } else if (LfsPointer::SHORTEST..LfsPointer::LIMIT).contains(&size) && is_inside(cones, path) {
            small.push((id, path));
        }
    }
    // Almost no repository has any; then none of its files is looked at.
    if attributes.is_empty() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for some in small.chunks(AT_ONCE) {
        let ids: Vec<&ObjectId> = some.iter().map(|(id, _)| id).collect();
        let contents = objects::read(git, repository, &ids, 64 << 20).await?;
        let pointers = contents.iter().map(|content| LfsPointer::parse(content));
        found.extend(some.iter().zip(pointers).filter_map(|((_, path), pointer)| Some((*path, pointer?))));
    }
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let paths: Vec<&[u8]> = found.iter().map(|(path, _)| *path).collect();
    let kept = filtered(git, repository, commit, &paths, scratch).await;
    fs::remove_file(scratch).ok();
    let kept = kept?;
    Ok(found.into_iter().filter(|(path, _)| kept.contains(*path)).map(|(_, pointer)| pointer).collect())
}

/// Those of the paths that git's attributes in a commit give to the filter `lfs`.
async fn filtered(
    git: &Git,
    repository: &Path,
    commit: &ObjectId,
    paths: &[&[u8]],
    index: &Path,
) -> Result<BTreeSet<Vec<u8>>, GitError> {
    git.at(repository, "read-tree").env("GIT_INDEX_FILE", index).arg(commit).run().await?;
    let call = git.at(repository, "check-attr").env("GIT_INDEX_FILE", index);
    let call = call.args(["-z", "--stdin", "--cached", "filter"]).output_limit(LISTING_LIMIT);
    let input = paths.iter().flat_map(|path| path.iter().copied().chain([0])).collect();
    let output = call.input(Input::Bytes(input)).run().await?;
    let mut words = output.stdout.split(|byte| *byte == 0);
    let mut kept = BTreeSet::new();
    while let (Some(path), Some(_), Some(value)) = (words.next(), words.next(), words.next()) {
        if value == b"lfs" {
            kept.insert(path.to_vec());
        }
    }
    Ok(kept)
}

impl Quarantine {
    /// The pointers that a commit's history has and that of the commits in `known` has not.
    ///
    /// # Errors
    /// When git cannot be run.
    pub async fn new_pointers(
        &self,
        known: &[&ObjectId],
        head: &ObjectId,
    ) -> Result<BTreeSet<LfsPointer>, ChangeError> {
        let call =
            self.git.at(&self.path, "rev-list").args(["--objects", "--no-object-names", head.as_str()]);
        let known = known.iter().map(|commit| format!("^{commit}"));
        let output = call.args(known).output_limit(LISTING_LIMIT).run().await?;
        let text = std::str::from_utf8(&output.stdout).map_err(|_| output.unexpected(&output.stdout))?;
        let names: Vec<&str> = text.lines().collect();
        let found = objects::look_up(&self.git, &self.path, &names).await?;
        let small = found.into_iter().flatten().filter(|info| {
            info.kind == ObjectKind::Blob && (LfsPointer::SHORTEST..LfsPointer::LIMIT).contains(&info.size)
        });
        let small: Vec<ObjectId> = small.map(|info| info.id).collect();
        let mut pointers = BTreeSet::new();
        for some in small.chunks(AT_ONCE) {
            let ids: Vec<&ObjectId> = some.iter().collect();
            let contents = objects::read(&self.git, &self.path, &ids, 64 << 20).await?;
            pointers.extend(contents.iter().filter_map(|content| LfsPointer::parse(content)));
        }
        Ok(pointers)
    }
}

/// Adds to a change what Git LFS keeps of it: of the pointers in `new` what the shelf has. All others were there before.
pub fn with_contents(change: &mut Change, new: &BTreeSet<LfsPointer>, shelf: &LfsShelf) {
    let mut read = 0;
    for file in &change.files {
        let side =
            file.new.as_ref().filter(|side| matches!(side.mode, FileMode::Regular | FileMode::Executable));
        let Some(pointer) = side.and_then(|side| LfsPointer::parse(side.content.as_deref()?)) else {
            continue;
        };
        if !new.contains(&pointer) {
            change.kept.insert(pointer.content, Kept::Known);
        } else if shelf.has(&pointer) {
            let small = pointer.size <= MAX_CONTENT && read + pointer.size <= MOST_READ;
            let content = small.then(|| fs::read(shelf.place(&pointer.content)).ok()).flatten();
            read += content.as_ref().map_or(0, |content| content.len() as u64);
            change.kept.insert(pointer.content, Kept::New { size: pointer.size, content });
        }
    }
}
