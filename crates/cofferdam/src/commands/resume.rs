//! `cofferdam resume`: goes on with a session that was interrupted.

use anyhow::Result;

use crate::{args::ResumeArguments, commands::run::work_and_show, compose::App, exit::Exit};

/// Goes on from the log. A session that has ended is only shown.
pub(crate) async fn resume(app: &App, arguments: &ResumeArguments) -> Result<Exit> {
    let store = app.store().await?;
    let session = app.session_or_latest(&*store, arguments.id).await?;
    let parts = app.parts(store, app.host()?, app.config.policy.clone()).await?;
    work_and_show(app, parts, session, None, arguments.json).await
}
