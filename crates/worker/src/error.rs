//! Why a worker had to stop. The session is as its log says; `resume` goes on from there.

use cofferdam_domain::{SessionId, causes::with_causes};
use cofferdam_egress::EgressError;
use cofferdam_forge::{AddressError, ChangeError, ForgeError, MirrorError, ReceiveError, ResolveError};
use cofferdam_gate::InvalidGlob;
use cofferdam_model::OpenError;
use cofferdam_sandbox::{LayerError, SandboxError};
use cofferdam_store::StoreError;

/// Why a worker had to stop.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The sandbox failed.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// Git or the forge failed.
    #[error(transparent)]
    Forge(#[from] ForgeError),
    /// The session's model cannot be opened any more.
    #[error(transparent)]
    Model(#[from] OpenError),
    /// The policy has a glob that is none.
    #[error(transparent)]
    Policy(#[from] InvalidGlob),
    /// The egress door could not be opened.
    #[error(transparent)]
    Egress(#[from] EgressError),
    /// The sandbox driver cannot send a sandbox's connections to the egress door.
    #[error(
        "this sandbox driver gives no sockets for the egress door: use the native driver, or close policy.egress"
    )]
    NoListeners,
    /// The sockets of a sandbox cannot be listened to.
    #[error("the egress door cannot listen to the sandbox")]
    Serve(#[source] std::io::Error),
    /// A directory of the worker's could not be used.
    #[error("failed to {operation} {path}")]
    File {
        /// What was being done.
        operation: &'static str,
        /// With what.
        path: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The base tree could not be prepared inside its sandbox.
    #[error("failed to prepare the base tree in its sandbox: {0}")]
    BaseTree(String),
    /// The task names a policy that there is not.
    #[error("{0}")]
    NoPolicy(String),
    /// The task was asked in a repository, and there is another one at its address now.
    #[error(
        "{0} is another repository now than the one in which this was asked: ask again there, if it is meant"
    )]
    OtherRepository(String),
    /// It is worked on together with another session, and only so.
    #[error("the session works for {0}, and goes on when that one does: `cofferdam resume {0}`")]
    Subagent(SessionId),
    /// Somebody took the session back while it was worked on: its log is to be folded anew.
    #[error("the session was taken back meanwhile")]
    TakenBack,
    /// The files of a checkpoint cannot be put back.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// The log asks for something that this version does not know, or lacks what it should have by now.
    #[error("the session's log does not fit this version: {0}")]
    Log(&'static str),
}

impl WorkerError {
    /// The error in words that may stand in a worker's log: without what a program, a task or a configuration may have put into it. The store
    /// keeps the others.
    pub(crate) fn in_own_words(&self) -> String {
        match self {
            Self::Store(_)
            | Self::Sandbox(_)
            | Self::Egress(_)
            | Self::NoListeners
            | Self::Serve(_)
            | Self::File { .. }
            | Self::Subagent(_)
            | Self::TakenBack
            | Self::Layer(_)
            | Self::Log(_) => with_causes(self),
            Self::Forge(_) => "git or the forge failed".to_owned(),
            Self::Model(_) => "the session's model cannot be opened any more".to_owned(),
            Self::Policy(_) => "the policy has a glob that is none".to_owned(),
            Self::BaseTree(_) => "the base tree could not be prepared in its sandbox".to_owned(),
            Self::NoPolicy(_) => "the task names a policy that there is not".to_owned(),
            Self::OtherRepository(_) => "the task's repository is another one now".to_owned(),
        }
    }

    /// Whether the task names something that is not there or cannot be used, so that trying again would not help.
    pub(crate) const fn is_fault_of_the_task(&self) -> bool {
        if let Self::OtherRepository(_) = self {
            return true;
        }
        let Self::Forge(error) = self else { return false };
        if let ForgeError::Talk(error) | ForgeError::Mirror(MirrorError::Talk(error)) = error {
            return error.needs_a_person();
        }
        if let ForgeError::Lfs(error) = error {
            return error.needs_a_person();
        }
        matches!(error, ForgeError::Address(error) if !matches!(error, AddressError::Git(_)))
            || matches!(error, ForgeError::Resolve(error) if !matches!(error, ResolveError::Git(_)))
            || matches!(
                error,
                ForgeError::Mirror(
                    MirrorError::Denied { .. }
                        | MirrorError::Refused { .. }
                        | MirrorError::Dangerous { .. }
                        | MirrorError::PartialClone { .. }
                        | MirrorError::Gone { .. }
                        | MirrorError::Unrelated { .. }
                )
            )
    }

    /// Whether what the agent left is at fault rather than this machine.
    pub(crate) const fn is_fault_of_the_change(&self) -> bool {
        let Self::Forge(error) = self else { return false };
        if let ForgeError::Receive(ReceiveError::Change(error)) | ForgeError::Change(error) = error {
            return !matches!(error, ChangeError::Git(_));
        }
        matches!(error, ForgeError::Receive(error) if !matches!(error, ReceiveError::Git(_) | ReceiveError::File(_)))
    }
}
