//! Why a worker had to stop. The session is as its log says; `resume` goes on from there.

use cofferdam_forge::ForgeError;
use cofferdam_model::ModelError;
use cofferdam_sandbox::SandboxError;
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
    Model(#[from] ModelError),
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
    /// The log asks for something that this version does not know, or lacks what it should have by now.
    #[error("the session's log does not fit this version: {0}")]
    Log(&'static str),
}
