//! What sandboxes leave on disk, and its removal.

use std::path::{Path, PathBuf};

use cofferdam_agent::Agent;
use cofferdam_domain::SessionId;
use cofferdam_sandbox::workspace_upper;
use cofferdam_store::Store;

use crate::{WorkerError, base, door::TRUST};

/// The name of the directory with what each session has, in the data directory.
const SESSIONS: &str = "sessions";

/// The name of the layer with a session's workspace, in the session's directory.
pub(crate) const LAYER: &str = "layer";

/// The name of the directory with a session's checkpoints, in the session's directory.
pub(crate) const CHECKPOINTS: &str = "checkpoints";
/// The name of the layer that a later turn begins with, in the session's directory.
pub(crate) const START: &str = "start";

/// Removes what an ended session has left on disk, except its quarantine, which `diff` reads, and its checkpoints, which it can be forked
/// from.
///
/// # Errors
/// When something cannot be removed; says what.
pub async fn forget(data: &Path, session: SessionId) -> Result<(), WorkerError> {
    let directory = session_directory(data, session);
    for layer in [LAYER, START, "evidence-base", "evidence-head", TRUST] {
        remove_layer(&directory.join(layer)).await?;
    }
    Ok(())
}

/// Removes all that a session has on disk, except what forks of it still need of its checkpoints: that goes with the last of them.
///
/// # Errors
/// When something cannot be removed; says what.
pub async fn erase(data: &Path, session: SessionId) -> Result<(), WorkerError> {
    let directory = session_directory(data, session);
    let checkpoints = directory.join(CHECKPOINTS);
    for inside in [&checkpoints, &directory] {
        let Ok(entries) = std::fs::read_dir(inside) else { continue };
        for entry in entries.flatten().filter(|entry| entry.path() != checkpoints) {
            remove_layer(&entry.path()).await?;
        }
        // Unless something is left in it.
        std::fs::remove_dir(inside).ok();
    }
    Ok(())
}

/// Removes what is on disk of sessions that were deleted while no worker was here to hear of it.
///
/// # Errors
/// When the store cannot be asked, or something cannot be removed; says what.
pub async fn erase_forgotten(store: &dyn Store, data: &Path) -> Result<(), WorkerError> {
    let Ok(entries) = std::fs::read_dir(data.join(SESSIONS)) else { return Ok(()) };
    for entry in entries.flatten() {
        let Some(session) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if store.was_forgotten(session).await? {
            erase(data, session).await?;
        }
    }
    Ok(())
}

/// The layers of the workspace that a session has left, lowest first, to be looked at; `None` if nothing is left of it.
#[must_use]
pub fn left_by(data: &Path, session: SessionId, agent: &Agent) -> Option<Vec<PathBuf>> {
    let layer = session_directory(data, session).join(LAYER);
    let base = match agent.start() {
        Some(start) => base::start_place(data, session, start),
        None => base::place(data, &agent.repository()?.base_commit),
    };
    (layer.exists() && base.exists()).then(|| vec![workspace_upper(&base), workspace_upper(&layer)])
}

/// Where a session's own things are kept.
pub(crate) fn session_directory(data: &Path, session: SessionId) -> PathBuf {
    data.join(SESSIONS).join(session.to_string())
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
