//! What a sandbox begins with where that is not what the one before has left: because somebody took the session back, because it is a fork, or because
//! its files are on another machine.

use std::path::Path;

use cofferdam_agent::Restore;
use cofferdam_domain::{
    BlobRef, EventBody, Label, SessionId,
    causes::with_causes,
    effective::{Checkpoint, checkpoints},
};
use cofferdam_sandbox::{LayerError, LayerStack, SnapshotId};
use cofferdam_store::StoreError;

use crate::{
    WorkerError,
    carry::{ARCHIVES, BOUNDS},
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
        return match archive(context, kept_by, name).await? {
            Some(archive) => Ok(unpack(context, archive).await?.err()),
            None => Ok(Some(format!(
                "the files of checkpoint {name} are not on this machine ({}): they are kept by the worker that made them, or have expired",
                context.parts.name
            ))),
        };
    }
    remove_layer(&layer).await?;
    make_directory(&context.parts.session_directory(context.session))?;
    let forked = tokio::task::spawn_blocking(move || LayerStack::at(&kept).fork(snapshot, &layer)).await;
    match forked {
        Ok(forked) => forked.map(|_| None).map_err(WorkerError::from),
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

/// What a machine has of the files of a session that it takes up.
pub(crate) enum Brought {
    /// They are here.
    Here,
    /// They were on another machine: now they are here as they were after this step.
    FromStep(u32),
    /// They are on another machine. What of them is known, if anything is.
    Elsewhere(Option<Checkpoint>),
}

/// Brings the latest stored files of the session here, if it has worked and has none here.
pub(crate) async fn bring(context: &StageContext) -> Result<Result<Brought, String>, WorkerError> {
    let layer = context.parts.session_directory(context.session).join(LAYER);
    if !context.agent.has_worked() || context.agent.restore().is_some() || layer.exists() {
        return Ok(Ok(Brought::Here));
    }
    let known = checkpoints(&context.parts.store.log(context.session).await?);
    let stored = known.iter().rev().find_map(|known| Some((known.step, known.archive?)));
    let Some((step, archive)) = stored else {
        return Ok(Ok(Brought::Elsewhere(known.into_iter().next_back())));
    };
    Ok(unpack(context, archive).await?.map(|()| Brought::FromStep(step)))
}

/// Makes the session's layer of an archive. Says why that cannot be done, if it cannot: trying again would not help.
async fn unpack(context: &StageContext, archive: BlobRef) -> Result<Result<(), String>, WorkerError> {
    let session = context.parts.session_directory(context.session);
    let (layer, archives) = (session.join(LAYER), session.join(ARCHIVES));
    make_directory(&archives)?;
    let file = archives.join(format!("{}.layer.tar.gz", archive.digest.hex()));
    match context.parts.store.fetch_file(archive.digest, &file).await {
        Ok(()) => {}
        Err(
            error @ (StoreError::Corrupt { .. }
            | StoreError::DamagedObject { .. }
            | StoreError::UnknownBlob(_)
            | StoreError::NoBucket(_)),
        ) => {
            return Ok(Err(format!("the files of the session cannot be had: {}", with_causes(&error))));
        }
        Err(error) => return Err(error.into()),
    }
    remove_layer(&layer).await?;
    let imported = tokio::task::spawn_blocking(move || {
        let imported = LayerStack::at(&layer).import(&file, BOUNDS);
        std::fs::remove_file(&file).ok();
        imported
    });
    match imported.await {
        Ok(Ok(_)) => Ok(Ok(())),
        Ok(Err(error @ LayerError::Archive(_))) => {
            Ok(Err(format!("the files of the session are refused: {}", with_causes(&error))))
        }
        Ok(Err(error)) => Err(error.into()),
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

/// The archive of a checkpoint: as this session's log says, or that of the session that made it, where it was stored after the fork.
async fn archive(
    context: &StageContext,
    kept_by: SessionId,
    name: &str,
) -> Result<Option<BlobRef>, WorkerError> {
    for session in [context.session, kept_by] {
        let events = match context.parts.store.log(session).await {
            Err(StoreError::UnknownSession(_)) => continue,
            events => events?,
        };
        let found = events.iter().find_map(|event| {
            let EventBody::CheckpointStored { snapshot, archive } = &event.body else { return None };
            (snapshot == name).then_some(*archive)
        });
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

pub(crate) fn make_directory(directory: &Path) -> Result<(), WorkerError> {
    std::fs::create_dir_all(directory).map_err(|source| WorkerError::File {
        operation: "make the directory",
        path: directory.display().to_string(),
        source,
    })
}

/// What the agent is told when a session is taken up on another machine than the one with its files.
pub(crate) fn told(brought: &Brought) -> Option<EventBody> {
    let files = match brought {
        Brought::Here => return None,
        Brought::FromStep(step) => {
            format!("are as they were after step {step}: what was changed after that is not there")
        }
        Brought::Elsewhere(_) => {
            "are as they were at the beginning of this turn: what you have changed since is not there"
                .to_owned()
        }
    };
    Some(EventBody::MessageReceived {
        from: "Cofferdam".to_owned(),
        text: format!(
            "The session was taken up on another machine. The files in the sandbox {files}. Look (`git status`, `git log`) before you go on, and \
             do again what is missing."
        ),
        label: Label::PLATFORM,
        about: None,
    })
}
