//! What sandboxes leave on disk, and its removal.

use std::path::{Path, PathBuf};

use cofferdam_agent::Agent;
use cofferdam_domain::{SessionId, SessionState, Timestamp, event::Repository};
use cofferdam_sandbox::workspace_upper;
use cofferdam_store::{Everything, Retention, Store, expiry};

use crate::{WorkerError, base, carry::ARCHIVES, door::TRUST};

/// The name of the directory with what each session has, in the data directory.
pub(crate) const SESSIONS: &str = "sessions";

/// The name of the layer with a session's workspace, in the session's directory.
pub(crate) const LAYER: &str = "layer";

/// The name of the directory with a session's checkpoints, in the session's directory.
pub(crate) const CHECKPOINTS: &str = "checkpoints";
/// The name of the layer that a later turn begins with, in the session's directory.
pub(crate) const START: &str = "start";

/// The name of the directory with what a session has made for Git LFS, in the session's directory.
pub(crate) const CONTENTS: &str = "contents";

/// The name of the directory with what a session's MCP servers have, in the session's directory.
pub(crate) const SERVERS: &str = "servers";

/// What a session has until it ends, beside its workspace, in its directory.
pub(crate) const UNTIL_THE_END: [&str; 7] =
    [START, CONTENTS, ARCHIVES, SERVERS, "evidence-base", "evidence-head", TRUST];

/// Removes what an ended session has left on disk, except its quarantine, which `diff` reads, and its checkpoints, which it can be forked
/// from.
///
/// # Errors
/// When something cannot be removed; says what.
pub async fn forget(data: &Path, session: SessionId) -> Result<(), WorkerError> {
    let directory = session_directory(data, session);
    for layer in UNTIL_THE_END.into_iter().chain([LAYER]) {
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
    empty(&checkpoints, None).await?;
    empty(&directory, Some(&checkpoints)).await
}

/// Removes a directory with the layers in it, but for one.
async fn empty(directory: &Path, except: Option<&Path>) -> Result<(), WorkerError> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Ok(()) };
    for entry in entries.flatten().filter(|entry| Some(&*entry.path()) != except) {
        remove_layer(&entry.path()).await?;
    }
    // Unless something is left in it.
    std::fs::remove_dir(directory).ok();
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

/// Removes the files of sessions that ended too long ago: layers and checkpoints, not what `diff` reads. Says when the next will have.
///
/// # Errors
/// When the store cannot be asked, or something cannot be removed; says what.
pub async fn expire(
    store: &dyn Everything,
    data: &Path,
    retention: Retention,
    now: Timestamp,
) -> Result<Option<Timestamp>, WorkerError> {
    let Ok(entries) = std::fs::read_dir(data.join(SESSIONS)) else { return Ok(None) };
    let mut next: Option<Timestamp> = None;
    for entry in entries.flatten() {
        let Some(session) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if ![LAYER, START, CHECKPOINTS].iter().any(|name| entry.path().join(name).exists()) {
            continue;
        }
        let Some(row) = store.session(None, session).await? else { continue };
        let stays = row.archived && retention.archived_stay;
        if row.state != SessionState::Ended || row.claimed || stays {
            continue;
        }
        let keeping = retention.keeping.narrowed(store.keeping(row.owner.org).await?);
        let Some(days) = keeping.files else { continue };
        let due = expiry(row.updated, days);
        if due > now {
            next = Some(next.map_or(due, |next| next.min(due)));
            continue;
        }
        forget(data, session).await?;
        empty(&session_directory(data, session).join(CHECKPOINTS), None).await?;
    }
    Ok(next)
}

/// Removes what was deleted of sessions after `after`, by the store's clock. Returns the time of the last of them.
///
/// # Errors
/// When the store cannot be asked, or something cannot be removed; says what.
pub async fn erase_forgotten_after(
    store: &dyn Everything,
    data: &Path,
    after: Timestamp,
) -> Result<Timestamp, WorkerError> {
    let mut last = after;
    for (session, at) in store.forgotten(after).await? {
        erase(data, session).await?;
        last = last.max(at);
    }
    Ok(last)
}

/// The layers of the workspace that a session has left, lowest first, to be looked at; `None` if nothing is left of it.
#[must_use]
pub fn left_by(data: &Path, session: SessionId, agent: &Agent) -> Option<Vec<PathBuf>> {
    let layer = session_directory(data, session).join(LAYER);
    let mut layers: Vec<PathBuf> =
        begun_with(data, session, agent)?.into_iter().map(|begun| begun.tree).collect();
    layers.push(workspace_upper(&layer));
    layers.iter().all(|layer| layer.exists()).then_some(layers)
}

/// What the session's workspace began with in this turn in one of its repositories.
#[derive(Debug, Clone)]
pub(crate) struct Begun {
    /// The layer of the workspace.
    pub(crate) tree: PathBuf,
    /// The directory of the workspace that the repository is in, where it is not the workspace itself.
    pub(crate) directory: Option<String>,
}

/// What the session's workspace began with in this turn.
pub(crate) fn begun_with(data: &Path, session: SessionId, agent: &Agent) -> Option<Vec<Begun>> {
    let of = |part| {
        let seen = agent.seen_from(part)?;
        let directory = seen.task()?.directory(part);
        let base = match seen.start() {
            Some(start) => base::start_place(data, session, start),
            None => {
                let repository = seen.repository()?;
                let Repository { base_commit, cones, contents, submodules, .. } = repository;
                base::place(data, base_commit, cones, contents.as_ref(), submodules)
            }
        };
        let tree = workspace_upper(&base::of_agent(base, directory.clone()));
        Some(Begun { tree, directory })
    };
    agent.parts().map(of).collect()
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
