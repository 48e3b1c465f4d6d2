//! Questions about objects, many at a time, over `git cat-file --batch`. What is asked for travels on
//! standard input, never as an argument.

use std::path::Path;

use crate::{Git, GitError, ObjectId, call::Input};

/// The kinds of git objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ObjectKind {
    Blob,
    Tree,
    Commit,
    Tag,
}

impl ObjectKind {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "blob" => Some(Self::Blob),
            "tree" => Some(Self::Tree),
            "commit" => Some(Self::Commit),
            "tag" => Some(Self::Tag),
            _ => None,
        }
    }
}

/// What is known of an object without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ObjectInfo {
    pub(crate) id: ObjectId,
    pub(crate) kind: ObjectKind,
    pub(crate) size: u64,
}

impl ObjectInfo {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let id = words.next()?.parse().ok()?;
        let kind = ObjectKind::parse(words.next()?)?;
        let size = words.next()?.parse().ok()?;
        words.next().is_none().then_some(Self { id, kind, size })
    }
}

/// What each of `names` (object names or revisions without white space) stands for; `None` where that is
/// nothing or several things.
pub(crate) async fn look_up<N: AsRef<str>>(
    git: &Git,
    repository: &Path,
    names: &[N],
) -> Result<Vec<Option<ObjectInfo>>, GitError> {
    let output = git.at(repository, "cat-file").arg("--batch-check").input(lines(names)).run().await?;
    let text = std::str::from_utf8(&output.stdout).map_err(|_| output.unexpected(&output.stdout))?;
    let found: Vec<_> = text.lines().map(ObjectInfo::parse).collect();
    if found.len() == names.len() { Ok(found) } else { Err(output.unexpected(&output.stdout)) }
}

/// The commit that `name` stands for, if it is there.
pub(crate) async fn commit(git: &Git, repository: &Path, name: &str) -> Result<Option<ObjectId>, GitError> {
    let found = look_up(git, repository, &[format!("{name}^{{commit}}")]).await?;
    Ok(found.into_iter().flatten().next().map(|info| info.id))
}

/// The tree of a commit that is there.
pub(crate) async fn tree(git: &Git, repository: &Path, commit: &ObjectId) -> Result<ObjectId, GitError> {
    let name = format!("{commit}^{{tree}}");
    let found = look_up(git, repository, &[&name]).await?;
    found
        .into_iter()
        .flatten()
        .next()
        .map(|info| info.id)
        .ok_or(GitError::Unexpected { command: "git cat-file".into(), detail: format!("{name} is missing") })
}

/// The contents of objects that are all there, together at most `limit` bytes.
pub(crate) async fn read(
    git: &Git,
    repository: &Path,
    ids: &[&ObjectId],
    limit: u64,
) -> Result<Vec<Vec<u8>>, GitError> {
    let headers = 128 * ids.len() as u64;
    let call = git.at(repository, "cat-file").args(["--batch", "--buffer"]).input(lines(ids));
    let output = call.output_limit(limit + headers).run().await?;
    let mut rest = output.stdout.as_slice();
    let mut contents = Vec::with_capacity(ids.len());
    for id in ids {
        let (content, after) = read_one(rest, id).ok_or_else(|| output.unexpected(rest))?;
        contents.push(content.to_vec());
        rest = after;
    }
    Ok(contents)
}

/// One answer of `cat-file --batch`: a header line, the content, a newline.
fn read_one<'a>(answer: &'a [u8], id: &ObjectId) -> Option<(&'a [u8], &'a [u8])> {
    let end = answer.iter().position(|byte| *byte == b'\n')?;
    let info = ObjectInfo::parse(std::str::from_utf8(&answer[..end]).ok()?)?;
    let (content, rest) = answer[end + 1..].split_at_checked(usize::try_from(info.size).ok()?)?;
    (info.id == *id).then_some((content, rest.strip_prefix(b"\n")?))
}

fn lines<N: AsRef<str>>(names: &[N]) -> Input {
    let mut text = String::new();
    for name in names {
        text.push_str(name.as_ref());
        text.push('\n');
    }
    Input::Bytes(text.into_bytes())
}

impl AsRef<str> for ObjectId {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

/// Whether `later` has `earlier` in its history, or is it. An object that is not there is in no history.
pub(crate) async fn is_ancestor(
    git: &Git,
    repository: &Path,
    earlier: &ObjectId,
    later: &ObjectId,
) -> Result<bool, GitError> {
    if commit(git, repository, earlier.as_str()).await?.is_none() {
        return Ok(false);
    }
    let call = git.at(repository, "merge-base").args(["--is-ancestor", earlier.as_str(), later.as_str()]);
    let output = call.run_to_any_end().await?;
    match output.code {
        Some(0) => Ok(true),
        Some(1) => Ok(false),
        Some(_) | None => Err(output.into_error()),
    }
}
