//! The built-in forge: branches in the user's own repository, pull requests as files in the data directory.
//!
//! For a repository on this machine the session's branch is made in that repository: one pack and one
//! reference are added, and nothing else in it is written, neither `HEAD` nor index nor work tree nor reflog
//! nor another reference, and no hook runs. For a repository behind a URL, which a local forge cannot push
//! to, the branch is made in a bare repository of the forge's own.

mod merge;
mod record;
mod target;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use async_trait::async_trait;
use cofferdam_domain::{PullRequest, PullRequestState, SessionId};

use crate::{
    Authorship, ChangeError, FileError, Forge, ForgeError, Git, GitError, LockError, MirrorError,
    NewPullRequest, ObjectId, Push, RepositoryAddress, branch_of, durable::make_directory, lock::Lock,
    objects::is_ancestor, remote::TalkError,
};
use record::{Record, Records};
use target::Target;

const LOCK_PATIENCE: Duration = Duration::from_secs(300);

/// Why a branch or pull request could not be published, merged or closed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The session has none.
    #[error("{0} has no pull request: `cofferdam show {0}` tells how it ended")]
    NoPullRequest(SessionId),
    /// It is merged or closed.
    #[error("the pull request of {session} is {state} already")]
    NotOpen {
        /// Whose.
        session: SessionId,
        /// `merged` or `closed`.
        state: &'static str,
    },
    /// The session's branch has commits that the session did not make, or it was removed.
    #[error(
        "branch {branch} is at {found}, not at {expected}: somebody changed it, and nothing is pushed over that; write to the session, and it goes on from what is there"
    )]
    BranchMoved {
        /// The branch.
        branch: String,
        /// What it is at.
        found: String,
        /// What it should be at, or follow from.
        expected: String,
    },
    /// The session's branch was there and is gone.
    #[error(
        "branch {branch} was deleted: nothing is pushed over somebody's head; write to the session to have the branch made again, with all that was on it"
    )]
    BranchGone {
        /// The branch.
        branch: String,
    },
    /// The forge does not let the configured account in.
    #[error(
        "{forge} does not let its configured account push to {address}: see that the token is valid and may write to this repository (`token` or `app` in the forge's [[forge]] table); then write to the session to have it pushed"
    )]
    Denied {
        /// The forge's name in the configuration.
        forge: String,
        /// Where the repository is.
        address: String,
        /// What git said.
        #[source]
        source: Box<GitError>,
    },
    /// The repository has rules that the branch does not keep.
    #[error("{forge} does not take branch {branch}: {said}")]
    Rejected {
        /// The forge's name in the configuration.
        forge: String,
        /// The branch.
        branch: String,
        /// What it says, made visible and shortened.
        said: String,
    },
    /// The forge could not be asked, or did not do it.
    #[error(transparent)]
    Talk(#[from] TalkError),
    /// Another branch's name stands in the way.
    #[error(
        "the repository has a branch named {name:?}, which leaves no room for cofferdam/…: rename it (`git branch -m {name} other-name`)"
    )]
    NameTaken {
        /// The branch in the way.
        name: String,
    },
    /// The branch is checked out: moving it would change what the work tree is compared with.
    #[error("branch {branch} is checked out in {work_tree}: run `{command}` there instead")]
    CheckedOut {
        /// The branch.
        branch: String,
        /// Where.
        work_tree: String,
        /// What the user can run.
        command: String,
    },
    /// The base branch is gone.
    #[error("the repository no longer has the branch {branch:?}: merge {head} where it should go by hand")]
    NoBaseBranch {
        /// The branch.
        branch: String,
        /// The session's branch.
        head: String,
    },
    /// Base and head cannot be merged without a person.
    #[error(
        "{head} does not merge into {branch} without conflicts (in {files}): run `{command}` and resolve them"
    )]
    Conflict {
        /// The session's branch.
        head: String,
        /// The base branch.
        branch: String,
        /// Files with conflicts, the first few.
        files: String,
        /// What the user can run.
        command: String,
    },
    /// The repository lost the commit that the change starts from, and the quarantine has only recent
    /// history.
    #[error(
        "the repository no longer has the base commit {0}: fetch it back, or start again from a newer base"
    )]
    BaseGone(String),
    /// Somebody else changed the reference at the same moment.
    #[error("{reference} was changed by somebody else just now: try again")]
    Raced {
        /// Which.
        reference: String,
    },
    /// A stored pull request cannot be read.
    #[error("{} is not a pull request's record: restore it from a backup or remove it", .path.display())]
    BadRecord {
        /// Its file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
    /// The repository cannot take a branch.
    #[error(transparent)]
    Repository(#[from] MirrorError),
    /// The commit's difference could not be read.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// Git could not be run.
    #[error(transparent)]
    Git(#[from] GitError),
    /// A file of the forge's could not be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// Another process is writing.
    #[error(transparent)]
    Lock(#[from] LockError),
}

impl PublishError {
    /// Whether it stays so until a person does something about it, rather than a fault of this machine.
    #[must_use]
    pub const fn needs_a_person(&self) -> bool {
        match self {
            Self::Talk(error) => error.needs_a_person(),
            Self::NoPullRequest(_)
            | Self::NotOpen { .. }
            | Self::BranchMoved { .. }
            | Self::BranchGone { .. }
            | Self::Denied { .. }
            | Self::Rejected { .. }
            | Self::NameTaken { .. }
            | Self::CheckedOut { .. }
            | Self::NoBaseBranch { .. }
            | Self::Conflict { .. }
            | Self::BaseGone(_)
            | Self::Repository(_) => true,
            Self::Raced { .. }
            | Self::BadRecord { .. }
            | Self::Change(_)
            | Self::Git(_)
            | Self::File(_)
            | Self::Lock(_) => false,
        }
    }
}

impl PublishError {
    /// Whether the session has to look at what others have done, or a person at what the forge says, before the same is tried again: trying it
    /// by itself would only fail again.
    #[must_use]
    pub const fn wants_a_word(&self) -> bool {
        match self {
            Self::NotOpen { .. }
            | Self::BranchMoved { .. }
            | Self::BranchGone { .. }
            | Self::Denied { .. }
            | Self::Rejected { .. } => true,
            Self::Talk(error) => error.needs_a_person(),
            Self::NoPullRequest(_)
            | Self::NameTaken { .. }
            | Self::CheckedOut { .. }
            | Self::NoBaseBranch { .. }
            | Self::Conflict { .. }
            | Self::BaseGone(_)
            | Self::Raced { .. }
            | Self::BadRecord { .. }
            | Self::Repository(_)
            | Self::Change(_)
            | Self::Git(_)
            | Self::File(_)
            | Self::Lock(_) => false,
        }
    }
}

/// The built-in forge.
#[derive(Debug, Clone)]
pub struct LocalForge {
    git: Git,
    directory: PathBuf,
}

impl LocalForge {
    /// The forge whose records are in `directory` (absolute), which is made when it is first needed.
    #[must_use]
    pub fn new(git: Git, directory: impl Into<PathBuf>) -> Self {
        Self { git, directory: directory.into() }
    }

    /// All pull requests, newest first.
    ///
    /// # Errors
    /// When a record cannot be read.
    pub fn list(&self) -> Result<Vec<PullRequest>, ForgeError> {
        let mut all: Vec<_> = self.records().all()?.into_iter().map(|record| record.pull_request).collect();
        all.sort_by_key(|pull_request| std::cmp::Reverse((pull_request.opened, pull_request.session)));
        Ok(all)
    }

    /// The first pull request of a session, as it is recorded.
    ///
    /// # Errors
    /// When its record cannot be read.
    pub fn record(&self, session: SessionId) -> Result<Option<PullRequest>, ForgeError> {
        Ok(self.records().first(session)?.map(|record| record.pull_request))
    }

    fn records(&self) -> Records {
        Records::new(self.directory.join("pulls"))
    }

    /// Only one process at a time writes records, references or the forge's own repositories.
    async fn lock(&self) -> Result<Lock, PublishError> {
        make_directory(&self.directory)?;
        Ok(Lock::take(&self.directory.join("lock"), LOCK_PATIENCE).await?)
    }

    async fn push_branch(&self, push: &Push<'_>) -> Result<String, PublishError> {
        let branch = branch_of(push.session);
        let reference = format!("refs/heads/{branch}");
        let _lock = self.lock().await?;
        let target = Target::prepare(&self.git, &self.directory, push.repository).await?;
        let current = target.reference(&reference).await?;
        if current.as_ref() == Some(push.commit) {
            return Ok(branch);
        }
        target.refuse_taken_name().await?;
        if let Some(place) = target.checked_out(&reference).await? {
            let command = "git switch --detach".to_owned();
            return Err(PublishError::CheckedOut { branch, work_tree: place, command });
        }
        if current.is_none() && push.left.is_some() {
            return Err(PublishError::BranchGone { branch });
        }
        let quarantine = push.quarantine;
        if let Some(current) = &current
            && !is_ancestor(&self.git, &quarantine.path, current, push.commit).await?
        {
            let (found, expected) = (current.to_string(), push.commit.to_string());
            return Err(PublishError::BranchMoved { branch, found, expected });
        }
        target.take_objects(&self.directory, &quarantine.path, quarantine.base(), push.commit).await?;
        target.set_reference(&reference, push.commit, current.as_ref()).await?;
        Ok(branch)
    }

    async fn open_record(&self, new: &NewPullRequest) -> Result<PullRequest, PublishError> {
        let _lock = self.lock().await?;
        let records = self.records();
        let mut record = match records.find(new.session, &new.repository.key())? {
            Some(record) => record,
            None => {
                let number = records.next_number(&new.repository.key())?;
                Record::new(new, number)
            }
        };
        if record.pull_request.state != PullRequestState::Open {
            let same = record.pull_request.head_commit == new.head_commit.as_str();
            return if same { Ok(record.pull_request) } else { Err(record.not_open()) };
        }
        let target = Target::prepare(&self.git, &self.directory, &new.repository).await?;
        target.ensure_base(&new.base_branch, &new.base_commit).await?;
        record.update(new);
        records.write(&record)?;
        Ok(record.pull_request)
    }

    async fn merge_record(
        &self,
        repository: &RepositoryAddress,
        wanted: &ObjectId,
        authorship: &Authorship,
    ) -> Result<PullRequest, PublishError> {
        let session = authorship.session;
        let _lock = self.lock().await?;
        let records = self.records();
        let mut record =
            records.find(session, &repository.key())?.ok_or(PublishError::NoPullRequest(session))?;
        match record.pull_request.state {
            PullRequestState::Merged { .. } => return Ok(record.pull_request),
            PullRequestState::Closed => return Err(record.not_open()),
            PullRequestState::Open => {}
        }
        if record.pull_request.head_commit != wanted.as_str() {
            let (branch, found) = (record.pull_request.branch, record.pull_request.head_commit);
            return Err(PublishError::BranchMoved { branch, found, expected: wanted.to_string() });
        }
        let target = Target::prepare(&self.git, &self.directory, &record.address).await?;
        let commit = merge::merge(&self.git, &self.directory, &target, &record, authorship).await?;
        record.pull_request.state = PullRequestState::Merged { commit: commit.to_string() };
        records.write(&record)?;
        Ok(record.pull_request)
    }

    async fn close_record(
        &self,
        repository: &RepositoryAddress,
        session: SessionId,
    ) -> Result<PullRequest, PublishError> {
        let _lock = self.lock().await?;
        let records = self.records();
        let mut record =
            records.find(session, &repository.key())?.ok_or(PublishError::NoPullRequest(session))?;
        match record.pull_request.state {
            PullRequestState::Merged { .. } => return Err(record.not_open()),
            PullRequestState::Closed => return Ok(record.pull_request),
            PullRequestState::Open => {}
        }
        record.pull_request.state = PullRequestState::Closed;
        records.write(&record)?;
        Ok(record.pull_request)
    }
}

#[async_trait]
impl Forge for LocalForge {
    async fn find(
        &self,
        repository: &RepositoryAddress,
        session: SessionId,
    ) -> Result<Option<PullRequest>, ForgeError> {
        Ok(self.records().find(session, &repository.key())?.map(|record| record.pull_request))
    }

    async fn get(
        &self,
        repository: &RepositoryAddress,
        number: u64,
    ) -> Result<Option<PullRequest>, ForgeError> {
        let key = repository.key();
        let is_it = |record: &Record| record.key() == key && record.pull_request.number == number;
        Ok(self.records().all()?.into_iter().find(is_it).map(|record| record.pull_request))
    }

    async fn branch(
        &self,
        repository: &RepositoryAddress,
        session: SessionId,
    ) -> Result<Option<ObjectId>, ForgeError> {
        let target = Target::prepare(&self.git, &self.directory, repository).await?;
        Ok(target.reference(&format!("refs/heads/{}", branch_of(session))).await?)
    }

    async fn push(&self, push: &Push<'_>) -> Result<String, ForgeError> {
        Ok(self.push_branch(push).await?)
    }

    async fn open(&self, new: &NewPullRequest) -> Result<PullRequest, ForgeError> {
        Ok(self.open_record(new).await?)
    }

    async fn merge(
        &self,
        repository: &RepositoryAddress,
        head: &ObjectId,
        authorship: &Authorship,
    ) -> Result<PullRequest, ForgeError> {
        Ok(self.merge_record(repository, head, authorship).await?)
    }

    async fn close(
        &self,
        repository: &RepositoryAddress,
        session: SessionId,
    ) -> Result<PullRequest, ForgeError> {
        Ok(self.close_record(repository, session).await?)
    }
}

/// A bare repository of the forge's own, for a repository behind a URL.
fn own_repository(directory: &Path, address: &RepositoryAddress) -> PathBuf {
    directory.join("repositories").join(format!("{}.git", address.key()))
}
