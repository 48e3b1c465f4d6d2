//! `cofferdam forge check`: whether the forges that are configured can be worked with, and how safely.

use anyhow::{Result, bail};
use cofferdam_intake::{Found, Grade};
use cofferdam_sandbox::{Finding, State};
use cofferdam_server::Origin;

use super::doctor;
use crate::{args::ForgeCheckArguments, compose::App, exit::Exit, terminal::inert};

/// Looks at each of them; fails where something does not work.
pub(crate) async fn check(app: &App, arguments: &ForgeCheckArguments) -> Result<Exit> {
    let mut forges = app.open_forges()?;
    if let Some(name) = &arguments.name {
        forges.retain(|forge| forge.site.name() == name);
    }
    match (&arguments.name, forges.is_empty()) {
        (Some(name), true) => bail!("there is no [[forge]] called {} in the configuration", inert(name)),
        (None, true) => bail!("there is no [[forge]] in the configuration: cofferdam.example.toml shows one"),
        (_, false) => {}
    }
    let settings = &app.config.server;
    let origin = settings.origin.clone().unwrap_or_else(|| Origin::of_loopback(settings.listen).to_string());
    let mut worst = Grade::Well;
    for forge in &forges {
        let hook = format!("{}/hooks/{}", origin.trim_end_matches('/'), forge.site.name());
        if !arguments.json {
            app.terminal.line(&format!("{}:", inert(forge.site.name())));
        }
        for found in forge.check(arguments.repository.as_deref(), &hook).await {
            worst = worst.max(found.grade);
            let finding = finding(found);
            if arguments.json {
                let mut json = doctor::json(&finding);
                json["forge"] = forge.site.name().into();
                app.terminal.json(&json.to_string());
            } else {
                doctor::show(app, &finding);
            }
        }
    }
    Ok(if worst == Grade::Missing { Exit::Failed } else { Exit::Success })
}

/// The same in the words of `doctor`.
pub(crate) fn finding(found: Found) -> Finding {
    let Found { what, grade, seen, remedy } = found;
    let state = match grade {
        Grade::Well => State::Ok,
        Grade::Unsafe => State::Weak,
        Grade::Missing => State::Missing,
    };
    Finding { what, state, found: seen, meaning: "work that is asked for on a forge", remedy }
}
