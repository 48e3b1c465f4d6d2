//! `cofferdam cancel`: asks that a session end.

use anyhow::{Result, bail};
use cofferdam_domain::{EventBody, SessionState};
use cofferdam_store::{SessionFilter, Store, Writer};

use crate::{args::SessionArgument, compose::App, exit::Exit};

/// Asks for cancellation. A worker that has the session acts at once; otherwise it takes effect right here.
pub(crate) async fn cancel(app: &App, arguments: &SessionArgument) -> Result<Exit> {
    let store = app.store().await?;
    let session = app.session_or_latest(&*store, arguments.id).await?;
    let rows = store.sessions(SessionFilter { limit: u32::MAX, ..SessionFilter::default() }).await?;
    let row = rows.into_iter().find(|row| row.id == session);
    if row.as_ref().is_some_and(|row| row.state == SessionState::Ended) {
        bail!("{session} has ended already: `cofferdam show {session}`");
    }
    let asked = EventBody::CancelAsked { by: app.user() };
    store.append(session, Writer::Anybody, cofferdam_worker::now(), vec![asked]).await?;
    if row.is_some_and(|row| row.claimed) {
        app.terminal.line(&format!("{session}: cancellation asked; its worker will end it"));
        return Ok(Exit::Success);
    }
    cofferdam_worker::settle(store, session, &app.worker_name()).await?;
    app.terminal.line(&format!("{session}: cancelled"));
    Ok(Exit::Success)
}
