//! What others have put on a session's branch: taken into its quarantine, and what the session has not
//! published yet put on top of it.

use crate::{
    Authorship, ChangeError, GitError, History, Mirror, MirrorError, ObjectId, Quarantine,
    call::{Output, Transport},
    partial::checked,
    recreate::{commit_tree, merge_message, one_message},
};
use cofferdam_domain::hidden::visible;
use std::time::Duration;

/// Address space for a merge of trees that others have made.
const MEMORY: u64 = 4 << 30;
const TIME: Duration = Duration::from_secs(180);
/// Files with conflicts that are named.
const MOST_CONFLICTS: usize = 100;
const FETCH_TIME: Duration = Duration::from_secs(15 * 60);

impl Quarantine {
    /// The same, where this commit stands on the session's branch: what it reaches is the repository's and is not counted as the session's.
    #[must_use]
    pub fn published(self, commit: ObjectId) -> Self {
        Self { published: Some(commit), ..self }
    }

    /// Takes in a commit of the repository, with all that it reaches: in a large one, of which the mirror has only
    /// some contents, with the recent part of that.
    ///
    /// # Errors
    /// When the mirror does not have it, or git cannot be run.
    pub async fn take(&self, mirror: &Mirror, commit: &ObjectId) -> Result<(), MirrorError> {
        let mut call = self.git.at(&self.path, "fetch").transport(Transport::File).time(FETCH_TIME);
        call = call.args(["--quiet", "--no-tags", "--no-write-fetch-head", "--update-shallow"]);
        let has_base = self.has(self.base()).await;
        if has_base {
            call = call.arg(format!("--negotiation-tip={}", self.base()));
        }
        if mirror.is_partial() {
            call = checked(call);
            if has_base && mirror.has(self.base()).await? {
                mirror.complete_since(self.base(), commit).await?;
            } else {
                let history = mirror.history(commit).await?;
                mirror.complete(commit, history).await?;
                if let History::Recent(generations) = history {
                    call = call.arg(format!("--depth={generations}"));
                }
            }
        }
        let taken = call.arg(self.git.upload_pack()).arg(mirror.repository()).arg(commit).run().await;
        taken.map_err(|error| mirror.flaw(error.into()))?;
        Ok(())
    }

    /// A commit on top of `branch` with what `left` has beyond it: what the session has made and not published. `None` if that does not go
    /// together without somebody who decides.
    ///
    /// # Errors
    /// When git cannot be run.
    pub async fn put_on(
        &self,
        branch: &ObjectId,
        left: &ObjectId,
        authorship: &Authorship,
    ) -> Result<Option<ObjectId>, ChangeError> {
        let call = self.git.at(&self.path, "merge-tree").memory(MEMORY).time(TIME);
        let call = call.args(["--write-tree", "-z", "--name-only", "--no-messages"]);
        let output = call.args([branch.as_str(), left.as_str()]).run_to_any_end().await?;
        // Histories that have nothing in common cannot be merged either.
        if output.code != Some(0) {
            return if output.code == Some(1) || is_unrelated(&output) {
                Ok(None)
            } else {
                Err(output.into_error().into())
            };
        }
        let tree = output.stdout.split(|byte| *byte == 0).next().unwrap_or_default();
        let tree = ObjectId::from_bytes(tree).map_err(|_| output.unexpected(&output.stdout))?;
        let commits = self.commits(branch, left).await?;
        let message = one_message("What was not published yet", &commits);
        Ok(Some(commit_tree(&self.git, &self.path, &[branch], &tree, authorship, &message).await?))
    }

    /// A commit that has both `branch` and `base`, and the files in which the two do not go together: those have git's marks in it. `None` where
    /// they have nothing in common. `name` is what the base is called.
    ///
    /// # Errors
    /// When git cannot be run.
    pub async fn join(
        &self,
        branch: &ObjectId,
        base: &ObjectId,
        name: &str,
        authorship: &Authorship,
    ) -> Result<Option<(ObjectId, Vec<String>)>, ChangeError> {
        let call = self.git.at(&self.path, "merge-tree").memory(MEMORY).time(TIME);
        let call = call.args(["--write-tree", "-z", "--name-only", "--no-messages"]);
        let output = call.args([branch.as_str(), base.as_str()]).run_to_any_end().await?;
        if is_unrelated(&output) {
            return Ok(None);
        }
        if !matches!(output.code, Some(0 | 1)) {
            return Err(output.into_error().into());
        }
        let mut parts = output.stdout.split(|byte| *byte == 0).filter(|part| !part.is_empty());
        let tree = parts.next().unwrap_or_default();
        let tree = ObjectId::from_bytes(tree).map_err(|_| output.unexpected(&output.stdout))?;
        let conflicts = parts.take(MOST_CONFLICTS).map(visible).collect();
        let message = merge_message(name);
        let commit = commit_tree(&self.git, &self.path, &[branch, base], &tree, authorship, &message).await?;
        Ok(Some((commit, conflicts)))
    }

    /// Whether a commit follows from another one.
    ///
    /// # Errors
    /// When git cannot be run.
    pub async fn follows(&self, later: &ObjectId, earlier: &ObjectId) -> Result<bool, GitError> {
        crate::objects::is_ancestor(&self.git, &self.path, earlier, later).await
    }
}

fn is_unrelated(output: &Output) -> bool {
    output.stderr.contains("unrelated histories")
}
