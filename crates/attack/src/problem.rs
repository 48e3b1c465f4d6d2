//! Why a case does not hold.

use std::{io, path::PathBuf};

/// Why a case does not hold, or says nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    /// The attack had an effect, or what must work did not.
    #[error("{0}")]
    Open(String),
    /// This host lacks what the case needs to say anything.
    #[error("{0}")]
    Skipped(String),
    /// The case could not be carried out.
    #[error("the case could not be carried out: {0}")]
    Broken(String),
    /// A file of the case could not be written or read.
    #[error("the case could not be carried out: {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

pub(crate) type Result<T> = std::result::Result<T, Problem>;

impl Problem {
    /// For errors on a file.
    pub(crate) fn at(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}

/// Says that the attack had an effect unless this holds.
pub(crate) fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<()> {
    if holds { Ok(()) } else { Err(Problem::Open(otherwise())) }
}
