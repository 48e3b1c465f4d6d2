//! `cofferdam playbook`: tasks that somebody has worded already, with places for what is to be said each time. In the store of this machine, or behind a
//! server.

mod begin;

use std::{io::Read as _, path::Path};

use anyhow::{Context as _, Result, bail};
use cofferdam_domain::{Digest, Timestamp};
use cofferdam_instructions::{Accepts, MOST_PLAYBOOK, Parameter, Playbook};
use cofferdam_store::{KeptPlaybook, MOST_PLAYBOOKS, PlaybookVersion, PutPlaybook};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{accounted::account, admin::org_named};
use crate::{
    args::{
        PlaybookAddArguments, PlaybookCommand, PlaybookListArguments, PlaybookRemoveArguments,
        PlaybookShowArguments,
    },
    compose::App,
    exit::Exit,
    terminal::{Style, inert},
};

/// Does one thing.
pub(crate) async fn playbook(app: &App, command: &PlaybookCommand) -> Result<Exit> {
    match command {
        PlaybookCommand::List(arguments) => list(app, arguments).await,
        PlaybookCommand::Show(arguments) => show(app, arguments).await,
        PlaybookCommand::Add(arguments) => add(app, arguments).await,
        PlaybookCommand::Remove(arguments) => remove(app, arguments).await,
        PlaybookCommand::Run(arguments) => begin::run(app, arguments).await,
    }
}

/// What a list shows of a version.
#[derive(Deserialize)]
struct Line {
    name: String,
    digest: Digest,
    version: u64,
    description: String,
    by: String,
    at: Timestamp,
}

impl From<PlaybookVersion> for Line {
    fn from(version: PlaybookVersion) -> Self {
        let PlaybookVersion { name, digest, version, description, by, at } = version;
        Self { name, digest, version, description, by, at }
    }
}

#[derive(Deserialize)]
struct Listed {
    playbooks: Vec<Line>,
}

async fn list(app: &App, arguments: &PlaybookListArguments) -> Result<Exit> {
    let lines: Vec<Line> = match app.there()? {
        Some(there) => there.client().get::<Listed>("/playbooks").await?.playbooks,
        None => {
            let store = app.store().await?;
            let org = org_named(&*store, &arguments.org).await?;
            store.playbooks(org).await?.into_iter().map(Line::from).collect()
        }
    };
    for (place, line) in lines.iter().enumerate() {
        let Line { name, digest, version, description, by, at } = line;
        // The latest of each comes first.
        let latest = place == 0 || lines[..place].iter().all(|before| before.name != *name);
        if arguments.json {
            let line = json!({
                "name": name,
                "digest": digest,
                "version": version,
                "latest": latest,
                "description": description,
                "by": by,
                "at": at.utc(),
            });
            app.terminal.json(&line.to_string());
        } else if latest {
            app.terminal.line(&format!(
                "{}  {}",
                app.terminal.paint(Style::Bold, &inert(name)),
                inert(description)
            ));
            let more = format!("    version {version}, {digest}, by {} at {}", inert(by), at.utc());
            app.terminal.line(&app.terminal.paint(Style::Dim, &more));
        }
    }
    if lines.is_empty() && !arguments.json {
        app.terminal.line("There are no playbooks. `cofferdam playbook add` puts one there.");
    }
    Ok(Exit::Success)
}

async fn show(app: &App, arguments: &PlaybookShowArguments) -> Result<Exit> {
    let text = found(app, &arguments.org, &arguments.name, arguments.digest).await?;
    let playbook = Playbook::parse(&text).with_context(|| no_longer(&arguments.name))?;
    let terminal = app.terminal;
    terminal.line(&format!(
        "{}  {}",
        terminal.paint(Style::Bold, playbook.name.as_str()),
        terminal.paint(Style::Dim, &playbook.digest.to_string())
    ));
    terminal.line(&inert(&playbook.description));
    for parameter in &playbook.parameters {
        terminal.line(&format!("    {}", in_words(parameter)));
    }
    if playbook.hidden > 0 {
        let text =
            format!("    {} characters in it cannot be seen; they are written out below", playbook.hidden);
        terminal.line(&terminal.paint(Style::Warn, &text));
    }
    terminal.line("");
    for line in text.lines() {
        terminal.line(&inert(line));
    }
    Ok(Exit::Success)
}

/// A parameter in one line.
fn in_words(parameter: &Parameter) -> String {
    let Parameter { name, description, required, default, accepts } = parameter;
    let mut words = name.clone();
    match accepts {
        Accepts::OneOf(choices) => words.push_str(&format!(" = {}", choices.join("|"))),
        Accepts::Text { pattern: Some(pattern), .. } => words.push_str(&format!(" = /{pattern}/")),
        Accepts::Text { .. } => {}
    }
    match default {
        Some(default) => words.push_str(&format!(" [default: {default}]")),
        None if !required => words.push_str(" [may be left out]"),
        None => {}
    }
    if !description.is_empty() {
        words.push_str(&format!("  {description}"));
    }
    inert(&words)
}

async fn add(app: &App, arguments: &PlaybookAddArguments) -> Result<Exit> {
    let text = read(&arguments.file)?;
    let playbook = match Playbook::parse(&text) {
        Ok(playbook) => playbook,
        Err(problem) => bail!("{} is no playbook: {}", arguments.file.display(), inert(&problem.to_string())),
    };
    let name = playbook.name.to_string();
    let is_new = match app.there()? {
        Some(there) => {
            let added: Value =
                there.client().put(&format!("/playbooks/{name}"), &json!({ "text": text })).await?;
            added["added"] == json!(true)
        }
        None => {
            let store = app.store().await?;
            let org = org_named(&*store, &arguments.org).await?;
            let kept = KeptPlaybook {
                name: name.clone(),
                digest: playbook.digest,
                version: 0,
                description: playbook.description.clone(),
                text,
                by: app.user(),
                at: cofferdam_worker::now(),
            };
            let is_new = match store.put_playbook(org, kept).await? {
                PutPlaybook::Added => true,
                PutPlaybook::Known => false,
                PutPlaybook::Full => bail!(
                    "the organisation has {MOST_PLAYBOOKS} playbooks, which is the most: `cofferdam playbook remove` one that nobody begins any more"
                ),
            };
            if is_new {
                let detail = json!({ "digest": playbook.digest });
                account(app, &*store, org, "playbook.added", &name, detail).await?;
            }
            is_new
        }
    };
    app.terminal.line(&format!("{name}  {}", playbook.digest));
    if !is_new {
        app.terminal.line("It was there already.");
    }
    if playbook.hidden > 0 {
        let text = format!(
            "    {} characters in it cannot be seen: `cofferdam playbook show {name}`",
            playbook.hidden
        );
        app.terminal.line(&app.terminal.paint(Style::Warn, &text));
    }
    Ok(Exit::Success)
}

async fn remove(app: &App, arguments: &PlaybookRemoveArguments) -> Result<Exit> {
    let name = named(&arguments.name)?;
    match app.there()? {
        Some(there) => there.client().delete(&format!("/playbooks/{name}")).await?,
        None => {
            let store = app.store().await?;
            let org = org_named(&*store, &arguments.org).await?;
            if !store.remove_playbook(org, name).await? {
                bail!("{}", unknown(name));
            }
            account(app, &*store, org, "playbook.removed", name, json!({})).await?;
        }
    }
    app.terminal.line(&format!("{name} is gone; sessions that have begun keep their task"));
    Ok(Exit::Success)
}

/// The text of a version, or of the latest.
async fn found(app: &App, org: &str, name: &str, digest: Option<Digest>) -> Result<String> {
    #[derive(Deserialize)]
    struct Seen {
        text: String,
    }
    let name = named(name)?;
    let text = match app.there()? {
        Some(there) => {
            let version = digest.map(|digest| format!("?digest={digest}")).unwrap_or_default();
            there.client().get::<Seen>(&format!("/playbooks/{name}{version}")).await?.text
        }
        None => {
            let store = app.store().await?;
            let org = org_named(&*store, org).await?;
            match store.playbook(org, name, digest).await? {
                Some(kept) if Digest::of(kept.text.as_bytes()) == kept.digest => kept.text,
                Some(_) => bail!("{}", no_longer(name)),
                None => bail!("{}", unknown(name)),
            }
        }
    };
    Ok(text)
}

/// A name that can be one, so that nothing else stands in an address.
fn named(name: &str) -> Result<&str> {
    let fits = name.parse::<cofferdam_instructions::PlaybookName>().is_ok();
    if fits { Ok(name) } else { bail!("{}", unknown(name)) }
}

fn unknown(name: &str) -> String {
    format!("there is no playbook {}: `cofferdam playbook list` has those that there are", inert(name))
}

fn no_longer(name: &str) -> String {
    format!("{} is not what was put there, or cannot be read any more: add it again", inert(name))
}

fn read(path: &Path) -> Result<String> {
    let file = std::fs::File::open(path).with_context(|| format!("failed to open {}", path.display()))?;
    let mut bytes = Vec::new();
    // One byte more than is accepted is enough to know that it is too long.
    file.take(MOST_PLAYBOOK as u64 + 1)
        .read_to_end(&mut bytes)
        .with_context(|| format!("failed to read {}", path.display()))?;
    String::from_utf8(bytes).with_context(|| format!("{} is not UTF-8 text", path.display()))
}
