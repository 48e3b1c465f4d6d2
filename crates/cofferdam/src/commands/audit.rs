//! `cofferdam audit`: that the logs are what was written.

use anyhow::Result;
use cofferdam_domain::amount::counted;
use cofferdam_store::SessionFilter;

use crate::{
    args::{AuditCommand, VerifyArguments},
    compose::App,
    exit::Exit,
};

/// Does one thing.
pub(crate) async fn audit(app: &App, command: &AuditCommand) -> Result<Exit> {
    match command {
        AuditCommand::Verify(arguments) => verify(app, arguments).await,
    }
}

/// Checks one log, or all.
async fn verify(app: &App, arguments: &VerifyArguments) -> Result<Exit> {
    const PAGE: u32 = 200;
    let store = app.store().await?;
    if let Some(session) = arguments.session {
        let verified = store.verify(session).await?;
        app.terminal.line(&format!(
            "{session}: {} and {} are as they were written; the last event is {}",
            counted(verified.events, "event"),
            counted(verified.blobs, "content"),
            verified.head
        ));
        return Ok(Exit::Success);
    }
    let (mut sessions, mut events, mut blobs) = (0, 0, 0);
    let mut before = None;
    loop {
        let filter = SessionFilter { before, limit: PAGE, ..SessionFilter::default() };
        let rows = store.sessions(filter).await?;
        for row in &rows {
            let verified = store.verify(row.id).await?;
            sessions += 1;
            events += verified.events;
            blobs += verified.blobs;
        }
        before = rows.last().map(|row| row.id);
        if rows.len() < PAGE as usize {
            break;
        }
    }
    app.terminal.line(&format!(
        "{}, {} and {} are as they were written",
        counted(sessions, "session"),
        counted(events, "event"),
        counted(blobs, "content")
    ));
    Ok(Exit::Success)
}
