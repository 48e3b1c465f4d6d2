//! What a sandbox begins with where that is not what the one before has left.

use cofferdam_agent::Restore;
use cofferdam_domain::{EventBody, Label};
use cofferdam_sandbox::{LayerStack, SnapshotId};

use crate::{
    WorkerError,
    layers::{CHECKPOINTS, LAYER, remove_layer, session_directory},
    stage::StageContext,
};

/// Puts the files of a checkpoint back, or removes what the sandbox before has left, if the session was taken back or begins a new turn. Doing it
/// again is harmless as long as nothing has run over it. Says why it cannot be done, if it cannot.
pub(crate) async fn put_back(context: &StageContext) -> Result<Option<String>, WorkerError> {
    let Some(restore) = context.agent.restore() else { return Ok(None) };
    let layer = context.parts.session_directory(context.session).join(LAYER);
    let (kept_by, name) = match restore {
        Restore::Fresh => {
            remove_layer(&layer).await?;
            return Ok(None);
        }
        Restore::Snapshot { kept_by, name } => (*kept_by, name),
    };
    let snapshot: SnapshotId = name.parse().map_err(|_| WorkerError::Log("a checkpoint's name is none"))?;
    let kept = session_directory(&context.parts.data, kept_by).join(CHECKPOINTS).join(&**name);
    if !kept.exists() {
        return Ok(Some(format!(
            "the files of checkpoint {name} are not on this machine ({}): they are kept by the worker that made them, or have expired",
            context.parts.name
        )));
    }
    remove_layer(&layer).await?;
    let directory = context.parts.session_directory(context.session);
    std::fs::create_dir_all(&directory).map_err(|source| WorkerError::File {
        operation: "make the directory",
        path: directory.display().to_string(),
        source,
    })?;
    let forked = tokio::task::spawn_blocking(move || LayerStack::at(&kept).fork(snapshot, &layer)).await;
    match forked {
        Ok(forked) => forked.map(|_| None).map_err(WorkerError::from),
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

/// What the agent is told when a session is taken up on another machine than the one with its files.
pub(crate) fn left_elsewhere() -> EventBody {
    EventBody::MessageReceived {
        from: "Cofferdam".to_owned(),
        text: "The session was taken up on another machine. The files in the sandbox are as they were at the beginning of this turn: what you \
               have changed since is not there. Look (`git status`, `git log`) before you go on, and do again what is missing."
            .to_owned(),
        label: Label::PLATFORM,
    }
}
