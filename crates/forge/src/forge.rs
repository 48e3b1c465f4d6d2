//! What a forge is to the worker: a place that takes one branch and keeps one pull request for each session.
//!
//! Notes for implementors. Every call may be the second one for the same effect, after a crash: look first,
//! then do. A push goes to the session's branch and nowhere else, never forced. Times come from the caller.
//! Who may merge is for the caller to know.

use async_trait::async_trait;
use cofferdam_domain::{PullRequest, SessionId};

use crate::{Authorship, ForgeError, ObjectId, Quarantine, RepositoryAddress};

/// A forge.
#[async_trait]
pub trait Forge: Send + Sync {
    /// The pull request of a session, if it has one.
    ///
    /// # Errors
    /// When the forge cannot be asked.
    async fn find(
        &self,
        repository: &RepositoryAddress,
        session: SessionId,
    ) -> Result<Option<PullRequest>, ForgeError>;

    /// The pull request with a number, if the repository has it.
    ///
    /// # Errors
    /// When the forge cannot be asked.
    async fn get(
        &self,
        repository: &RepositoryAddress,
        number: u64,
    ) -> Result<Option<PullRequest>, ForgeError>;

    /// The commit that the session's branch stands on, whoever has put it there; `None` if there is no such branch.
    ///
    /// # Errors
    /// When the repository cannot be asked.
    async fn branch(
        &self,
        repository: &RepositoryAddress,
        session: SessionId,
    ) -> Result<Option<ObjectId>, ForgeError>;

    /// Makes the session's branch stand on the commit, and returns the branch's name. The branch must not be
    /// there, or the commit must follow from where it is. One that was there and is gone is made again only where [`Push::left`] says nothing
    /// of it.
    ///
    /// # Errors
    /// When the branch has something else, or is in use, or the repository does not take it.
    async fn push(&self, push: &Push<'_>) -> Result<String, ForgeError>;

    /// Opens the session's pull request, or brings the open one up to date: head, title, body, draft.
    ///
    /// # Errors
    /// When it is merged or closed already with another head, or cannot be recorded.
    async fn open(&self, new: &NewPullRequest) -> Result<PullRequest, ForgeError>;

    /// Merges the session's pull request, at exactly this head, into its base branch: as the forge does it, or by moving the branch forward
    /// or a merge commit under the platform's name.
    ///
    /// # Errors
    /// When there is none or it is closed, its branch has moved, there are conflicts, or the base branch is
    /// checked out; says what to do.
    async fn merge(
        &self,
        repository: &RepositoryAddress,
        head: &ObjectId,
        authorship: &Authorship,
    ) -> Result<PullRequest, ForgeError>;

    /// Closes the session's pull request without merging. The branch stays.
    ///
    /// # Errors
    /// When there is none or it is merged.
    async fn close(
        &self,
        repository: &RepositoryAddress,
        session: SessionId,
    ) -> Result<PullRequest, ForgeError>;
}

/// A commit to be pushed.
#[derive(Debug, Clone, Copy)]
pub struct Push<'a> {
    /// Whose. Decides the branch.
    pub session: SessionId,
    /// Where to.
    pub repository: &'a RepositoryAddress,
    /// Where the commit is. Its base is the commit that the repository has already.
    pub quarantine: &'a Quarantine,
    /// What [`Quarantine::recreate`] made.
    pub commit: &'a ObjectId,
    /// What the session has left on its branch; `None` if it has pushed nothing yet, or somebody wants a branch that is gone to be made again.
    pub left: Option<&'a ObjectId>,
}

/// A pull request to be opened.
#[derive(Debug, Clone)]
pub struct NewPullRequest {
    /// The session that made it.
    pub session: SessionId,
    /// Where.
    pub repository: RepositoryAddress,
    /// The branch that it is meant for.
    pub base_branch: String,
    /// The commit that it starts from.
    pub base_commit: ObjectId,
    /// The commit to review. It was pushed.
    pub head_commit: ObjectId,
    /// Its title.
    pub title: String,
    /// Its description in Markdown.
    pub body: String,
    /// Whether it is only an offer to go on from.
    pub draft: bool,
    /// When.
    pub opened: cofferdam_domain::Timestamp,
}

/// The one branch that a session may write: `cofferdam/ses_…`.
#[must_use]
pub fn branch_of(session: SessionId) -> String {
    format!("cofferdam/{session}")
}
