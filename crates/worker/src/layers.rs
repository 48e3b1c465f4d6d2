//! What sandboxes leave on disk, and its removal.

use std::path::Path;

use cofferdam_domain::SessionId;

use crate::{Parts, WorkerError};

/// Removes what an ended session has left on disk, except its quarantine, which `diff` reads.
pub(crate) async fn forget(parts: &Parts, session: SessionId) -> Result<(), WorkerError> {
    let directory = parts.session_directory(session);
    for layer in ["layer", "evidence-base", "evidence-head"] {
        remove_layer(&directory.join(layer)).await?;
    }
    Ok(())
}

/// Removes a sandbox's layer, if it is there.
pub(crate) async fn remove_layer(layer: &Path) -> Result<(), WorkerError> {
    let owned = layer.to_owned();
    let removed = tokio::task::spawn_blocking(move || cofferdam_sandbox::remove_layer(&owned)).await;
    match removed {
        Ok(result) => result.map_err(|source| WorkerError::File {
            operation: "remove the layer",
            path: layer.display().to_string(),
            source,
        }),
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}
