//! `cofferdam skill`: the skills that an organisation gives its sessions. Whoever approves one approves the bytes that its digest stands for.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};
use cofferdam_instructions::{Gathered, SUBAGENT_FILE, Skill, SkillName, Subagent, packed};
use cofferdam_store::KeptSkill;
use serde_json::json;

use super::{accounted::account, admin::org_named};
use crate::{
    args::{SkillAddArguments, SkillApproveArguments, SkillArguments, SkillCommand, SkillListArguments},
    compose::App,
    exit::Exit,
    terminal::{Style, inert},
};

/// Files of a folder that are looked at.
const MOST_FILES: usize = 256;

/// Does one thing.
pub(crate) async fn skill(app: &App, command: &SkillCommand) -> Result<Exit> {
    match command {
        SkillCommand::Add(arguments) => add(app, arguments).await,
        SkillCommand::List(arguments) => list(app, arguments).await,
        SkillCommand::Approve(arguments) => approve(app, arguments).await,
        SkillCommand::Revoke(arguments) => revoke(app, arguments).await,
    }
}

async fn add(app: &App, arguments: &SkillAddArguments) -> Result<Exit> {
    let files = match arguments.folder.is_file() {
        true => BTreeMap::from([(SUBAGENT_FILE.to_owned(), text(&arguments.folder)?)]),
        false => files(&arguments.folder)?,
    };
    let name = name(&files).with_context(|| arguments.folder.display().to_string())?;
    let gathered = match packed(name.as_str(), &files) {
        Ok(gathered) => gathered,
        Err(problem) => bail!("{}: {}", arguments.folder.display(), inert(&problem)),
    };
    let store = app.store().await?;
    let org = org_named(&*store, &arguments.org).await?;
    let Some(skill) = gathered.files.first() else {
        bail!("there is no skill in {}", arguments.folder.display())
    };
    let kept = KeptSkill {
        name: name.to_string(),
        digest: skill.digest,
        files: serde_json::to_string(&files)?,
        by: app.user(),
        at: cofferdam_worker::now(),
        approved: None,
    };
    if store.put_skill(org, kept).await? {
        let detail = json!({ "digest": skill.digest, "files": files.keys().collect::<Vec<_>>() });
        account(app, &*store, org, "skill.added", name.as_str(), detail).await?;
    }
    app.terminal.line(&format!("{name}  {}", skill.digest));
    show(app, &gathered);
    app.terminal.line(&format!(
        "Read it, then let sessions have exactly this: cofferdam skill approve {name} {}",
        skill.digest
    ));
    Ok(Exit::Success)
}

/// What a skill, or a kind of subagent, is called by.
fn name(files: &BTreeMap<String, String>) -> Result<SkillName> {
    if let Some(kind) = files.get(SUBAGENT_FILE) {
        let (kind, _) = Subagent::parse(kind).context("it describes no kind of subagent")?;
        return Ok(kind.name);
    }
    let head =
        files.get("SKILL.md").with_context(|| format!("it has no SKILL.md, and no {SUBAGENT_FILE}"))?;
    Ok(Skill::parse(head).context("SKILL.md is not that of a skill")?.name)
}

/// What somebody who approves it should know.
fn show(app: &App, gathered: &Gathered) {
    for (path, text) in &gathered.skills {
        let path = path.splitn(5, '/').nth(4).unwrap_or(path);
        app.terminal
            .line(&app.terminal.paint(Style::Dim, &format!("    {} ({} bytes)", inert(path), text.len())));
    }
    for file in gathered.files.iter().filter(|file| file.shape.is_some()) {
        app.terminal.line(&app.terminal.paint(Style::Dim, &format!("    {}", inert(&file.told()))));
    }
    for file in gathered.files.iter().filter(|file| file.hidden > 0) {
        let text = format!("    {} characters in it cannot be seen", file.hidden);
        app.terminal.line(&app.terminal.paint(Style::Warn, &text));
    }
    for notice in &gathered.notices {
        app.terminal.line(&app.terminal.paint(Style::Warn, &format!("    {}", inert(notice))));
    }
}

/// The texts in a folder. A link or a file that is no text is refused by name: what is approved is all that there is.
fn files(folder: &Path) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    let mut open = vec![PathBuf::new()];
    while let Some(below) = open.pop() {
        let directory = folder.join(&below);
        let entries =
            fs::read_dir(&directory).with_context(|| format!("failed to read {}", directory.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("failed to read {}", directory.display()))?;
            let (path, kind) = (below.join(entry.file_name()), entry.file_type()?);
            let name =
                path.to_str().with_context(|| format!("{} is no name in UTF-8", path.display()))?.to_owned();
            ensure!(
                kind.is_dir() || kind.is_file(),
                "{} is neither a file nor a folder",
                entry.path().display()
            );
            if kind.is_dir() {
                open.push(path);
                continue;
            }
            ensure!(found.len() < MOST_FILES, "{} has more than {MOST_FILES} files", folder.display());
            found.insert(name, text(&entry.path())?);
        }
    }
    Ok(found)
}

/// A text of a bearable size.
fn text(path: &Path) -> Result<String> {
    let failed = || format!("failed to read {}", path.display());
    let size = fs::metadata(path).with_context(failed)?.len();
    let most = cofferdam_instructions::MOST_FILE;
    ensure!(size <= most, "{} has {size} bytes: {most} is the most", path.display());
    let bytes = fs::read(path).with_context(failed)?;
    String::from_utf8(bytes).with_context(|| format!("{} is no text in UTF-8", path.display()))
}

async fn list(app: &App, arguments: &SkillListArguments) -> Result<Exit> {
    let store = app.store().await?;
    let org = org_named(&*store, &arguments.org).await?;
    let skills = store.skills(org).await?;
    for skill in &skills {
        if arguments.json {
            let line = json!({
                "name": skill.name,
                "digest": skill.digest,
                "by": skill.by,
                "at": skill.at.utc(),
                "approved_by": skill.approved.as_ref().map(|(by, _)| by),
                "approved_at": skill.approved.as_ref().map(|(_, at)| at.utc()),
            });
            app.terminal.json(&line.to_string());
            continue;
        }
        let state = match &skill.approved {
            Some((by, at)) => format!("approved by {} at {}", inert(by), at.utc()),
            None => format!("not approved: added by {} at {}", inert(&skill.by), skill.at.utc()),
        };
        app.terminal.line(&format!("{}  {}", app.terminal.paint(Style::Bold, &inert(&skill.name)), state));
        app.terminal.line(&app.terminal.paint(Style::Dim, &format!("    {}", skill.digest)));
    }
    if skills.is_empty() && !arguments.json {
        app.terminal.line("There are no skills. `cofferdam skill add` puts one there.");
    }
    Ok(Exit::Success)
}

async fn approve(app: &App, arguments: &SkillApproveArguments) -> Result<Exit> {
    let SkillApproveArguments { name, digest, org } = arguments;
    let store = app.store().await?;
    let org = org_named(&*store, org).await?;
    if !store.approve_skill(org, name, *digest, &app.user(), cofferdam_worker::now()).await? {
        bail!(
            "there is no skill {} with this digest: `cofferdam skill list` has those that there are",
            inert(name)
        );
    }
    account(app, &*store, org, "skill.approved", name, json!({ "digest": digest })).await?;
    app.terminal.line(&format!("{}: sessions that begin from now on have it", inert(name)));
    Ok(Exit::Success)
}

async fn revoke(app: &App, arguments: &SkillArguments) -> Result<Exit> {
    let store = app.store().await?;
    let org = org_named(&*store, &arguments.org).await?;
    if !store.revoke_skill(org, &arguments.name).await? {
        bail!(
            "there is no skill {}: `cofferdam skill list` has those that there are",
            inert(&arguments.name)
        );
    }
    account(app, &*store, org, "skill.revoked", &arguments.name, json!({})).await?;
    app.terminal.line(&format!("{}: no session that begins from now on has it", inert(&arguments.name)));
    Ok(Exit::Success)
}
