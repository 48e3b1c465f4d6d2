//! `cofferdam doctor`: what this host offers.

use anyhow::Result;

use crate::{args::JsonFlag, compose::App, exit::Exit};

/// Says what this host offers.
pub(crate) async fn doctor(app: &App, _arguments: &JsonFlag) -> Result<Exit> {
    let driver = app.driver().await?;
    app.terminal.line(driver.level());
    Ok(Exit::Success)
}
