//! Merging a pull request into its base branch, without a work tree.
//!
//! Git's merge may run a merge driver that the repository's configuration names for a path. So the merge is
//! computed in a repository of ours, which has a configuration of ours and borrows the other's objects, and
//! only its result goes over.

use std::path::Path;

use cofferdam_domain::hidden::visible;

use super::{Record, Target};
use crate::{
    Authorship, Git, ObjectId, PublishError,
    call::shell_quoted,
    durable::{make_directory, remove_directory, write_file},
    message,
    mirror::init,
    objects::is_ancestor,
    recreate::commit_tree,
};

const MOST_FILES_NAMED: usize = 5;

/// Makes the base branch contain the pull request's head, and returns what the branch is at. If it does
/// already, that is all.
pub(super) async fn merge(
    git: &Git,
    directory: &Path,
    target: &Target,
    record: &Record,
    authorship: &Authorship,
) -> Result<ObjectId, PublishError> {
    let pull_request = &record.pull_request;
    let base_reference = format!("refs/heads/{}", pull_request.base_branch);
    let head: ObjectId = parse(&pull_request.head_commit)?;
    let Some(base) = target.reference(&base_reference).await? else {
        let (branch, head) = (pull_request.base_branch.clone(), pull_request.branch.clone());
        return Err(PublishError::NoBaseBranch { branch, head });
    };
    if is_ancestor(git, &target.path, &head, &base).await? {
        return Ok(base);
    }
    let found = target.reference(&format!("refs/heads/{}", pull_request.branch)).await?;
    if found.as_ref() != Some(&head) {
        let found = found.map_or("nothing".to_owned(), |id| id.to_string());
        let (branch, expected) = (pull_request.branch.clone(), head.to_string());
        return Err(PublishError::BranchMoved { branch, found, expected });
    }
    if let Some(work_tree) = target.checked_out(&base_reference).await? {
        let (branch, command) =
            (pull_request.base_branch.clone(), format!("git merge {}", pull_request.branch));
        return Err(PublishError::CheckedOut { branch, work_tree, command });
    }
    if is_ancestor(git, &target.path, &base, &head).await? {
        target.set_reference(&base_reference, &head, Some(&base)).await?;
        return Ok(head);
    }
    let scratch = Scratch::make(git, directory, target, &base).await?;
    let tree = scratch.merge_trees(target, record, &base, &head).await?;
    let message = format!("Merge {}\n\n{}", pull_request.branch, message::subject(&pull_request.title));
    let commit = commit_tree(git, &scratch.path, &[&base, &head], &tree, authorship, &message).await?;
    target.take_objects(directory, &scratch.path, &base, &commit).await?;
    target.set_reference(&base_reference, &commit, Some(&base)).await?;
    remove_directory(&scratch.path)?;
    Ok(commit)
}

fn parse(id: &str) -> Result<ObjectId, PublishError> {
    let unexpected = |_| crate::GitError::Unexpected { command: "the record".into(), detail: id.to_owned() };
    Ok(id.parse().map_err(unexpected)?)
}

/// The repository in which the merge is computed.
struct Scratch<'a> {
    git: &'a Git,
    path: std::path::PathBuf,
}

impl<'a> Scratch<'a> {
    async fn make(
        git: &'a Git,
        directory: &Path,
        target: &Target,
        base: &ObjectId,
    ) -> Result<Self, PublishError> {
        let path = directory.join("merge.git");
        remove_directory(&path)?;
        init(git, &path, if base.is_sha256() { "sha256" } else { "sha1" }).await?;
        make_directory(&path.join("objects/info"))?;
        let mut borrowed = target.common.join("objects").into_os_string();
        borrowed.push("\n");
        write_file(&path.join("objects/info/alternates"), borrowed.as_encoded_bytes())?;
        if let Ok(shallow) = std::fs::read(target.common.join("shallow")) {
            write_file(&path.join("shallow"), &shallow)?;
        }
        Ok(Self { git, path })
    }

    /// The tree of the merge (git-merge-tree(1): exit status 1 means conflicts, and the list of files follows
    /// the tree).
    async fn merge_trees(
        &self,
        target: &Target,
        record: &Record,
        base: &ObjectId,
        head: &ObjectId,
    ) -> Result<ObjectId, PublishError> {
        let call = self.git.at(&self.path, "merge-tree");
        let options = ["--write-tree", "-z", "--name-only", "--no-messages"];
        let output = call.args(options).args([base.as_str(), head.as_str()]).run_to_any_end().await?;
        let mut parts = output.stdout.split(|byte| *byte == 0).filter(|part| !part.is_empty());
        match output.code {
            Some(0) => {
                let tree = parts.next().and_then(|id| ObjectId::from_bytes(id).ok());
                Ok(tree.ok_or_else(|| output.unexpected(&output.stdout))?)
            }
            Some(1) => {
                let files: Vec<String> = parts.skip(1).take(MOST_FILES_NAMED).map(visible).collect();
                let pull_request = &record.pull_request;
                let place = shell_quoted(target.root.as_os_str()).to_string_lossy().into_owned();
                let (branch, head) = (pull_request.base_branch.clone(), pull_request.branch.clone());
                let switch = shell_quoted(branch.as_ref()).to_string_lossy().into_owned();
                let command = format!("cd {place} && git switch {switch} && git merge {head}");
                Err(PublishError::Conflict { head, branch, files: files.join(", "), command })
            }
            Some(_) | None => Err(output.into_error().into()),
        }
    }
}
