//! What workers that died, or lost a session to another machine, have left on this one's disk, and its removal.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::Path,
};

use cofferdam_agent::Agent;
use cofferdam_domain::{SessionId, SessionState};
use cofferdam_store::StoreError;

use crate::{
    Parts, WorkerError,
    base::BASES,
    delegate,
    layers::{self, LAYER, SESSIONS, remove_layer, session_directory},
};

/// What the names of base layers that are being made begin with.
pub(crate) const BEING_MADE: &str = "new-";

/// Removes it. Before the worker takes its first session.
///
/// # Errors
/// When the store cannot be asked, or something cannot be removed; the next time tries again.
pub(crate) async fn clear(parts: &Parts) -> Result<(), WorkerError> {
    for entry in entries(&parts.data.join(BASES)) {
        if entry.file_name().to_string_lossy().starts_with(BEING_MADE) && is_abandoned(&entry.path()) {
            remove_layer(&entry.path()).await?;
        }
    }
    for entry in entries(&parts.data.join(SESSIONS)) {
        let Some(session) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if is_left(parts, session) {
            forget_ended(parts, session).await?;
        }
    }
    Ok(())
}

fn entries(directory: &Path) -> impl Iterator<Item = fs::DirEntry> {
    fs::read_dir(directory).into_iter().flatten().flatten()
}

/// Makes the directory of a layer and says that somebody is making it, for as long as the result lives.
pub(crate) fn hold(layer: &Path) -> io::Result<File> {
    loop {
        fs::create_dir_all(layer)?;
        let held = File::open(layer)?;
        held.lock()?;
        // Until it was held it may have been taken for abandoned.
        if layer.exists() {
            return Ok(held);
        }
    }
}

/// Whether nobody is making the layer any more. What cannot be looked at is left alone.
fn is_abandoned(layer: &Path) -> bool {
    let held = File::open(layer).map_err(TryLockError::Error).and_then(|file| file.try_lock());
    held.is_ok()
}

/// Whether something of a session is here that is removed when it ends.
fn is_left(parts: &Parts, session: SessionId) -> bool {
    let directory = session_directory(&parts.data, session);
    layers::UNTIL_THE_END.iter().chain([&LAYER]).any(|name| directory.join(name).exists())
}

/// Removes what an ended session has left here, if nobody works on it.
async fn forget_ended(parts: &Parts, session: SessionId) -> Result<(), WorkerError> {
    let ended =
        |row: Option<cofferdam_store::SessionRow>| row.is_some_and(|row| row.state == SessionState::Ended);
    if !ended(parts.store.session(None, session).await?) {
        return Ok(());
    }
    // As long as it is claimed nobody takes it up again.
    let claim = match parts.store.claim(session, &parts.name).await {
        Ok(claim) => claim,
        Err(StoreError::Claimed { .. } | StoreError::UnknownSession(_)) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let events = parts.store.log(session).await?;
    let agent = Agent::of(session, &events);
    if agent.outcome().is_some() && !agent.keeps_workspace() && !is_awaited(parts, &agent).await? {
        // Whoever saw it end may have died before it could end these.
        delegate::end(parts, agent.subagents().collect()).await?;
        layers::forget(&parts.data, session).await?;
    }
    drop(claim);
    Ok(())
}

/// Whether a session worked for one that is not over: its change may still have to be taken over.
async fn is_awaited(parts: &Parts, agent: &Agent) -> Result<bool, WorkerError> {
    let Some(parent) = agent.parent().map(|parent| parent.session) else { return Ok(false) };
    match parts.store.log(parent).await {
        Ok(log) => Ok(Agent::of(parent, &log).keeps_workspace()),
        Err(StoreError::UnknownSession(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_not_abandoned() {
        let folder = tempfile::tempdir().unwrap();
        let layer = folder.path().join("new-1");
        let held = hold(&layer).unwrap();
        assert!(!is_abandoned(&layer));
        drop(held);
        assert!(is_abandoned(&layer));
        assert!(!is_abandoned(&folder.path().join("new-2")), "it is not there");
    }
}
