//! `cofferdam playbook run`: a playbook and values become a task, here or on a server.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};
use cofferdam_domain::{PlaybookUse, SessionId, Source, Task, Wishes};
use cofferdam_forge::{Git, RepositoryAddress};
use cofferdam_instructions::Playbook;
use serde::Deserialize;
use serde_json::json;

use super::{found, named, no_longer};
use crate::{
    args::PlaybookRunArguments,
    commands::run::{Request, accept_and_work, watched},
    compose::App,
    exit::Exit,
    sessions::There,
    terminal::inert,
};

/// Works on the task until it ends.
pub(super) async fn run(app: &App, arguments: &PlaybookRunArguments) -> Result<Exit> {
    let values = values(arguments)?;
    if let Some(there) = app.there()? {
        return over_there(app, &there, arguments, &values).await;
    }
    let text = found(app, "local", &arguments.name, arguments.digest).await?;
    let playbook = Playbook::parse(&text).with_context(|| no_longer(&arguments.name))?;
    let prompt = match playbook.fill(&values) {
        Ok(prompt) => prompt,
        Err(problem) => bail!("{}", inert(&problem.to_string())),
    };
    ensure!(
        !arguments.plan_first && !playbook.plan_first,
        "this wants a plan that somebody approves, which takes a server: `cofferdam up` starts one"
    );
    ensure!(
        playbook.policy.is_none(),
        "this playbook names a policy, which a server's organisation has: `cofferdam up` starts one"
    );
    let here = std::env::current_dir().context("the current directory is gone")?;
    let host = app.host()?;
    let address = RepositoryAddress::parse(&host.git, &arguments.repo, &here).await?;
    let base = either("base", playbook.base, arguments.base.clone())?;
    let model = either("model", playbook.model, arguments.model.clone())?;
    let model = model.or_else(|| arguments.usual_model.clone());
    let task = Task::new(prompt, address.to_string(), base, app.user(), Source::Cli)?
        .with(Wishes::default())?
        .by_playbook(PlaybookUse { name: playbook.name.to_string(), digest: playbook.digest });
    let request = Request { task, policy: app.config.policy.clone(), model, json: arguments.json };
    accept_and_work(app, host, request).await
}

async fn over_there(
    app: &App,
    there: &There,
    arguments: &PlaybookRunArguments,
    values: &BTreeMap<String, String>,
) -> Result<Exit> {
    #[derive(Deserialize)]
    struct Made {
        id: SessionId,
    }
    let name = named(&arguments.name)?;
    let here = std::env::current_dir().context("the current directory is gone")?;
    let address = RepositoryAddress::parse(&Git::find()?, &arguments.repo, &here).await?;
    let body = json!({
        "repository": address.to_string(),
        "values": values,
        "digest": arguments.digest,
        "base": arguments.base,
        "model": arguments.model,
        "plan_first": arguments.plan_first,
    });
    let made: Made = there.client().create(&format!("/playbooks/{name}/sessions"), &body).await?;
    watched(app, there, made.id, arguments.json).await
}

/// The values, each said once.
fn values(arguments: &PlaybookRunArguments) -> Result<BTreeMap<String, String>> {
    let mut values = BTreeMap::new();
    for (name, value) in &arguments.set {
        if values.insert(name.clone(), value.clone()).is_some() {
            bail!("--set gives {} twice", inert(name));
        }
    }
    Ok(values)
}

/// What the playbook says, or else whoever runs it: not both.
fn either(what: &str, said: Option<String>, wished: Option<String>) -> Result<Option<String>> {
    match (said, wished) {
        (Some(said), Some(wished)) if said != wished => {
            bail!("the playbook says which {what} is taken: leave out --{what}")
        }
        (said, wished) => Ok(said.or(wished)),
    }
}
