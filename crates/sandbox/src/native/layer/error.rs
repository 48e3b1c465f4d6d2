//! What can go wrong with a layer.

use std::{io, path::PathBuf};

use super::stack::SnapshotId;

/// What can go wrong with a layer.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// A sandbox writes to it.
    #[error("a sandbox still uses the layer {}; destroy it first", .0.display())]
    InUse(PathBuf),
    /// Somebody else works on it.
    #[error("somebody else is changing the layer {}; try again when that is done", .0.display())]
    Busy(PathBuf),
    /// It has no such snapshot.
    #[error("the layer {} has no snapshot {snapshot}; list its snapshots to see which it has", .layer.display())]
    Unknown {
        /// The layer.
        layer: PathBuf,
        /// What was asked for.
        snapshot: SnapshotId,
    },
    /// There is something where a new layer was to be.
    #[error("{} exists already; choose a new directory", .0.display())]
    Exists(PathBuf),
    /// It has as many frozen parts as can be mounted.
    #[error("the layer {} has {most} snapshots on top of each other and none can be added; squash it first", .layer.display())]
    TooDeep {
        /// The layer.
        layer: PathBuf,
        /// How many it may have.
        most: usize,
    },
    /// The file that tells of its snapshots cannot be believed.
    #[error("{} is damaged at line {line}: restore it, or remove the layer", .file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// Its path cannot be written down.
    #[error("the path {} cannot be used for layers: it must be absolute text without line breaks", .0.display())]
    Path(PathBuf),
    /// It has more than is copied.
    #[error("the layer has too many or too large files to be copied while a sandbox runs: take a snapshot")]
    TooLarge,
    /// A tree cannot be merged.
    #[error("the layer cannot be squashed: {0}; it stays as it is")]
    Merge(String),
    /// An archive is not what it should be.
    #[error("the archive is refused: {0}")]
    Archive(String),
    /// The system's answer.
    #[error("failed to {what}")]
    System {
        /// What was tried, as an infinitive.
        what: String,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
}

/// Adds what was tried to an error of the system.
pub(super) fn failed(what: impl Into<String>) -> impl FnOnce(io::Error) -> LayerError {
    let what = what.into();
    move |source| LayerError::System { what, source }
}
