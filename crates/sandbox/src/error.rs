//! What can go wrong with a sandbox.

/// What can go wrong with a sandbox.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The host lacks something that the isolation needs.
    #[error("this host cannot run the sandbox: {missing}. {remedy}")]
    Host {
        /// What is missing.
        missing: String,
        /// The command or setting that mends it.
        remedy: String,
    },
    /// Setting up a sandbox failed at one step.
    #[error("failed to set up the sandbox: {step}")]
    Setup {
        /// Which step.
        step: String,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// A file operation inside failed; the message is for the model as well.
    #[error("{path}: {problem}")]
    File {
        /// The path as it was given.
        path: String,
        /// What is wrong with it.
        problem: FileProblem,
    },
    /// A pattern or glob does not parse.
    #[error("{0}")]
    Search(String),
    /// A command could not be started.
    #[error("cannot start {program}: {problem}")]
    Start {
        /// The program.
        program: String,
        /// Why not.
        problem: String,
    },
    /// The sandbox has ended: its limits killed it, or somebody destroyed it.
    #[error("the sandbox is gone: {0}")]
    Gone(String),
    /// The sandbox is frozen.
    #[error("the sandbox is frozen; release or destroy it")]
    Frozen,
    /// The hand said something that it may not say. The sandbox must be destroyed.
    #[error("the hand broke the protocol: {0}")]
    Protocol(String),
    /// Something could not be given back.
    #[error("failed to clean up after the sandbox: {what}")]
    Cleanup {
        /// What.
        what: String,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
}

/// What is wrong with a path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileProblem {
    /// There is nothing there.
    #[error("no such file or directory")]
    Missing,
    /// It is a directory.
    #[error("is a directory")]
    IsDirectory,
    /// It is not a directory.
    #[error("is not a directory")]
    NotDirectory,
    /// It is a pipe, socket or device.
    #[error("is not a regular file")]
    Special,
    /// Permission denied, or a read-only place.
    #[error("permission denied (only {} and {} can be written)", crate::WORKSPACE, crate::HOME)]
    Denied,
    /// It changed since it was read.
    #[error("has changed since it was read; read it again")]
    Changed,
    /// The disk or its limit is full.
    #[error("no space left")]
    NoSpace,
    /// Anything else.
    #[error("{0}")]
    Other(String),
}
