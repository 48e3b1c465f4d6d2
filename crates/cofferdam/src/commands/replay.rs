//! `cofferdam replay`: the log folded again.

use anyhow::{Context, Result};

use crate::{args::SessionArgument, compose::App, exit::Exit, terminal::Style};

/// Checks the hash chain, folds the log again, and compares every action with what was recorded.
pub(crate) async fn replay(app: &App, arguments: &SessionArgument) -> Result<Exit> {
    let store = app.store().await?;
    let session = app.session_or_latest(&*store, arguments.id).await?;
    let verified = store.verify(session).await?;
    let events = app.events(&*store, session).await?;
    let replayed =
        cofferdam_agent::replay(&events).with_context(|| format!("the log of {session} does not replay"))?;
    app.terminal.line(&format!(
        "{}: {} events in an unbroken chain, {} blobs present, head {}",
        session,
        verified.events,
        verified.blobs,
        verified.head.short()
    ));
    app.terminal.line(&app.terminal.paint(
        Style::Good,
        &format!(
            "folded again: the same {} decisions and {} effects come out in the same order ({} model requests, byte for byte)",
            replayed.decisions, replayed.effects, replayed.requests
        ),
    ));
    Ok(Exit::Success)
}
