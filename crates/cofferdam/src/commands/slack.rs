//! `cofferdam slack check`: whether the workspaces of Slack that are configured can be worked with.

use anyhow::{Result, bail};
use cofferdam_intake::Grade;
use cofferdam_sandbox::Finding;

use super::forge::{finding, show};
use crate::{args::SlackCheckArguments, compose::App, exit::Exit, terminal::inert};

/// Looks at each of them; fails where something does not work.
pub(crate) async fn check(app: &App, arguments: &SlackCheckArguments) -> Result<Exit> {
    let mut slacks = app.open_slacks()?;
    if let Some(name) = &arguments.name {
        slacks.retain(|slack| slack.settings.name == *name);
    }
    match (&arguments.name, slacks.is_empty()) {
        (Some(name), true) => bail!("there is no [[slack]] called {} in the configuration", inert(name)),
        (None, true) => bail!("there is no [[slack]] in the configuration: cofferdam.example.toml shows one"),
        (_, false) => {}
    }
    let mut worst = Grade::Well;
    for slack in &slacks {
        let found = slack.check().await.into_iter();
        let meaning = "work that is asked for in Slack";
        let found = found.map(|found| (found.grade, Finding { meaning, ..finding(found) }));
        worst = worst.max(show(app, ("slack", &slack.settings.name), arguments.json, found));
    }
    Ok(if worst == Grade::Missing { Exit::Failed } else { Exit::Success })
}
