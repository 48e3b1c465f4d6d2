//! `cofferdam sandbox freeze`, `release` and `destroy`: a session whose sandbox a person wants to look at.

use anyhow::{Result, bail, ensure};
use cofferdam_agent::Agent;
use cofferdam_domain::{EventBody, SandboxId, SessionId, effective::effective};
use cofferdam_store::Writer;

use crate::{args::SessionArgument, compose::App, exit::Exit};

/// Freezes the sandbox of a session that a worker has.
pub(crate) async fn freeze(app: &App, arguments: &SessionArgument) -> Result<Exit> {
    let (session, agent, _) = folded(app, arguments).await?;
    ensure!(agent.outcome().is_none(), "{session} has ended: there is nothing to freeze");
    let Some(sandbox) = agent.sandbox() else {
        bail!("{session} has no sandbox at present: `cofferdam cancel {session}` stops it")
    };
    let reason = format!("{} wants to look at it", app.user());
    append(app, session, EventBody::SandboxFrozen { sandbox, reason }).await?;
    app.terminal.line(&format!("{session}: its worker freezes it"));
    Ok(Exit::Success)
}

/// Lets a session whose sandbox was frozen go on.
pub(crate) async fn release(app: &App, arguments: &SessionArgument) -> Result<Exit> {
    let (session, agent, sandbox) = folded(app, arguments).await?;
    let Some(sandbox) = sandbox.filter(|_| agent.frozen().is_some()) else {
        bail!("{session} is not frozen")
    };
    append(app, session, EventBody::SandboxReleased { sandbox, by: app.user() }).await?;
    app.terminal.line(&format!("{session}: released; `cofferdam resume {session}` goes on"));
    Ok(Exit::Success)
}

/// Gives up a session whose sandbox was frozen, and removes what the sandbox has left.
pub(crate) async fn destroy(app: &App, arguments: &SessionArgument) -> Result<Exit> {
    let (session, agent, _) = folded(app, arguments).await?;
    ensure!(agent.frozen().is_some(), "{session} is not frozen: `cofferdam cancel {session}` ends a session");
    append(app, session, EventBody::CancelAsked { by: app.user() }).await?;
    cofferdam_worker::forget(app.data()?, session).await?;
    app.terminal.line(&format!("{session}: given up; what its sandbox had left is gone"));
    Ok(Exit::Success)
}

/// The session as its log says, and the sandbox that was frozen last.
async fn folded(app: &App, arguments: &SessionArgument) -> Result<(SessionId, Agent, Option<SandboxId>)> {
    let store = app.store().await?;
    let session = app.session_or_latest(&*store, arguments.id).await?;
    let events = app.events(&*store, session).await?;
    let frozen = effective(&events).into_iter().rev().find_map(|event| {
        let EventBody::SandboxFrozen { sandbox, .. } = event.body else { return None };
        Some(sandbox)
    });
    Ok((session, Agent::of(session, &events), frozen))
}

async fn append(app: &App, session: SessionId, body: EventBody) -> Result<()> {
    let store = app.store().await?;
    store.append(session, Writer::Anybody, cofferdam_worker::now(), vec![body]).await?;
    Ok(())
}
