//! `cofferdam forge check`: whether the forges that are configured, and those whose apps are kept, can be worked with, and how safely; and
//! `cofferdam forge set`: how those of the latter are.

use anyhow::{Result, bail};
use cofferdam_intake::{Found, Grade, OpenForge};
use cofferdam_sandbox::{Finding, State};
use cofferdam_server::{BelongTogether, Origin};
use serde_json::json;

use super::{accounted::account, doctor};
use crate::{
    apps::{KeptForges, changed_settings},
    args::{ForgeCheckArguments, ForgeSetArguments},
    compose::App,
    exit::Exit,
    terminal::inert,
};

/// Looks at each of them; fails where something does not work.
pub(crate) async fn check(app: &App, arguments: &ForgeCheckArguments) -> Result<Exit> {
    let mut forges = app.open_forges()?;
    let (kept, mut closed) = kept_forges(app).await?;
    forges.extend(kept);
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
        let found = left_out(&why);
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

/// Says how a forge is worked with whose app is kept.
pub(crate) async fn set(app: &App, arguments: &ForgeSetArguments) -> Result<Exit> {
    let ForgeSetArguments { name, poll, together } = arguments;
    let store = app.store().await?;
    let Some(kept) = store.apps().await?.into_iter().find(|kept| kept.name == *name) else {
        bail!(
            "no forge called {} was connected on the page /forges; those of the configuration are changed there",
            inert(name)
        )
    };
    let together = match &together[..] {
        [] => None,
        lines => Some(BelongTogether::read(&lines.join("\n")).map_err(anyhow::Error::msg)?),
    };
    let said = json!({ "every": poll, "together": together.as_ref().map(Vec::len) });
    let settings = changed_settings(&kept, poll.as_deref(), together).map_err(anyhow::Error::msg)?;
    store.set_app(kept.org, name, settings).await?;
    account(app, &*store, kept.org, "forge.set", name, said).await?;
    Ok(Exit::Success)
}

/// The forges whose apps are kept; and the names of those that cannot be worked with here, each with the reason.
pub(crate) async fn kept_forges(app: &App) -> Result<(Vec<OpenForge>, Vec<(String, String)>)> {
    let store = app.store().await?;
    let (mut open, mut closed) = (Vec::new(), Vec::new());
    for kept in KeptForges::open(app, &store).await?.now().borrow().iter() {
        match &kept.open {
            Ok(forge) => open.push(forge.clone()),
            Err(why) => closed.push((kept.app.name.clone(), why.clone())),
        }
    }
    Ok((open, closed))
}

/// What is said of an app that cannot be worked with here.
pub(crate) fn left_out(why: &str) -> Found {
    let remedy = Some("mend that, or remove it on the page /forges and connect it anew".to_owned());
    Found { what: "app", grade: Grade::Missing, seen: format!("it is left out: {why}"), remedy }
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
