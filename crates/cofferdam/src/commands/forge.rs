//! `cofferdam forge check`: whether the forges that are configured, and those whose apps are kept, can be worked with, and how safely.

use anyhow::{Result, bail};
use cofferdam_intake::{Found, Grade};
use cofferdam_sandbox::{Finding, State};
use cofferdam_server::Origin;

use super::doctor;
use crate::{apps::KeptForges, args::ForgeCheckArguments, compose::App, exit::Exit, terminal::inert};

/// Looks at each of them; fails where something does not work.
pub(crate) async fn check(app: &App, arguments: &ForgeCheckArguments) -> Result<Exit> {
    let mut forges = app.open_forges()?;
    let store = app.store().await?;
    let mut closed = Vec::new();
    for kept in KeptForges::open(app, &store).await?.now().borrow().iter() {
        match &kept.open {
            Ok(forge) => forges.push(forge.clone()),
            Err(why) => closed.push((kept.app.name.clone(), why.clone())),
        }
    }
    if let Some(name) = &arguments.name {
        forges.retain(|forge| forge.site.name() == name);
        closed.retain(|(known, _)| known == name);
    }
    match (&arguments.name, forges.is_empty() && closed.is_empty()) {
        (Some(name), true) => {
            bail!("there is no forge called {} in the configuration or on the page /forges", inert(name))
        }
        (None, true) => bail!(
            "there is no [[forge]] in the configuration (cofferdam.example.toml shows one), and none was connected on the page /forges"
        ),
        (_, false) => {}
    }
    let settings = &app.config.server;
    let origin = settings.origin.clone().unwrap_or_else(|| Origin::of_loopback(settings.listen).to_string());
    let mut worst = Grade::Well;
    for (name, why) in closed {
        let remedy = Some("mend that, or remove it on the page /forges and connect it anew".to_owned());
        let found =
            Found { what: "app", grade: Grade::Missing, seen: format!("it is left out: {why}"), remedy };
        worst = worst.max(show(
            app,
            ("forge", &name),
            arguments.json,
            std::iter::once((found.grade, finding(found))),
        ));
    }
    for forge in &forges {
        let hook = format!("{}/hooks/{}", origin.trim_end_matches('/'), forge.site.name());
        let found = forge.check(arguments.repository.as_deref(), &hook).await;
        let found = found.into_iter().map(|found| (found.grade, finding(found)));
        worst = worst.max(show(app, ("forge", forge.site.name()), arguments.json, found));
    }
    Ok(if worst == Grade::Missing { Exit::Failed } else { Exit::Success })
}

/// Shows what was found of something with a name, and gives back the worst of it.
pub(crate) fn show(
    app: &App,
    (kind, name): (&str, &str),
    json: bool,
    found: impl Iterator<Item = (Grade, Finding)>,
) -> Grade {
    if !json {
        app.terminal.line(&format!("{}:", inert(name)));
    }
    let mut worst = Grade::Well;
    for (grade, finding) in found {
        worst = worst.max(grade);
        if json {
            let mut line = doctor::json(&finding);
            line[kind] = name.into();
            app.terminal.json(&line.to_string());
        } else {
            doctor::show(app, &finding);
        }
    }
    worst
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
