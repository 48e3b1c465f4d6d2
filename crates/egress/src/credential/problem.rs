//! Why a credential cannot be used, and what to do about it.

use std::path::PathBuf;

/// A credential is configured wrongly, or cannot be had now. Never says the value, nor anything that a source printed.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum CredentialProblem {
    /// Two have one name.
    #[error("two credentials are called {name:?}: give each its own name")]
    Twice {
        /// The name.
        name: String,
    },
    /// A rule names one that is not there.
    #[error("no credential is called {name:?}: add one under [[credentials]], or remove it from the rule")]
    Unknown {
        /// The name.
        name: String,
    },
    /// Something about its configuration.
    #[error("the credential {name:?}: {reason}")]
    Misconfigured {
        /// The credential.
        name: String,
        /// What, and what to write instead.
        reason: String,
    },
    /// A request that it is not for.
    #[error(
        "the credential {name:?} is not for {what}: its host, methods and paths say where it may be used"
    )]
    Elsewhere {
        /// The credential.
        name: String,
        /// The method, host and path.
        what: String,
    },
    /// The variable is not set.
    #[error(
        "the credential {name:?}: the environment variable {variable} is not set where the worker runs; set it and start again"
    )]
    Variable {
        /// The credential.
        name: String,
        /// The variable.
        variable: String,
    },
    /// The file cannot be read.
    #[error("the credential {name:?}: {} cannot be read ({reason}); the worker's user needs it", path.display())]
    File {
        /// The credential.
        name: String,
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The command did not give a secret.
    #[error("the credential {name:?}: the command {program:?} {reason}; run it by hand as the worker's user")]
    Command {
        /// The credential.
        name: String,
        /// The program.
        program: String,
        /// What it did.
        reason: String,
    },
    /// What came is no secret.
    #[error("the credential {name:?}: {reason}")]
    Value {
        /// The credential.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// It is over.
    #[error("the credential {name:?} has expired: {remedy}")]
    Expired {
        /// The credential.
        name: String,
        /// How to have a new one.
        remedy: String,
    },
    /// Whoever gives it out did not.
    #[error("the credential {name:?}: {service} {reason}")]
    Service {
        /// The credential.
        name: String,
        /// Who was asked.
        service: &'static str,
        /// What came back, and what to do.
        reason: String,
    },
}

impl CredentialProblem {
    /// Something wrong with what was configured.
    pub(super) fn misconfigured(name: &str, reason: impl Into<String>) -> Self {
        Self::Misconfigured { name: name.to_owned(), reason: reason.into() }
    }
}
