//! The crate's errors in one, for callers that use several of its parts.

use crate::{
    AddressError, ChangeError, FileError, GitError, InvalidObjectId, LfsError, MirrorError, PublishError,
    ReceiveError, ResolveError, remote::TalkError,
};

/// Anything that can go wrong here. Each variant's message names the remedy where there is one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ForgeError {
    /// Git could not be found or run.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The repository's address cannot be used.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// A configured forge could not be asked.
    #[error(transparent)]
    Talk(#[from] TalkError),
    /// The repository could not be mirrored.
    #[error(transparent)]
    Mirror(#[from] MirrorError),
    /// The base is not in the repository.
    #[error(transparent)]
    Resolve(ResolveError),
    /// What came out of a sandbox was refused.
    #[error(transparent)]
    Receive(#[from] ReceiveError),
    /// The change could not be read or made again.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// A branch or pull request could not be published, merged or closed.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// Contents that Git LFS keeps could not be brought or sent.
    #[error(transparent)]
    Lfs(#[from] LfsError),
    /// A stored object name is none.
    #[error(transparent)]
    ObjectId(#[from] InvalidObjectId),
    /// A file of ours could not be used.
    #[error(transparent)]
    File(#[from] FileError),
}

impl From<ResolveError> for ForgeError {
    fn from(error: ResolveError) -> Self {
        if let ResolveError::Contents(error) = error { Self::Mirror(*error) } else { Self::Resolve(error) }
    }
}
