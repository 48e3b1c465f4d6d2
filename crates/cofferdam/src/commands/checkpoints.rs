//! `cofferdam checkpoints`: the places that a session can be taken back to or forked from, and what differs between two of them.

use anyhow::{Result, bail};
use cofferdam_domain::{
    Event, Seq, SessionId,
    effective::{Checkpoint, checkpoints as kept},
};
use cofferdam_worker::compare;

use crate::{
    args::CheckpointsArguments,
    compose::App,
    exit::Exit,
    terminal::{Style, inert},
};

/// Lists a session's checkpoints, or compares two.
pub(crate) async fn checkpoints(app: &App, arguments: &CheckpointsArguments) -> Result<Exit> {
    let sessions = app.sessions().await?;
    let session = sessions.named_or_latest(arguments.session).await?;
    let events = sessions.events(session).await?;
    let found = kept(&events);
    if found.is_empty() {
        bail!("{session} has no checkpoints: nothing has changed its files yet, or they have expired");
    }
    if let [from, rest @ ..] = &arguments.diff[..] {
        let to = rest.first().map_or_else(|| found.last(), |to| at(&found, *to));
        let (Some(from), Some(to)) = (at(&found, *from), to) else {
            bail!(
                "there is no such checkpoint: `cofferdam checkpoints {session}` lists those that there are"
            );
        };
        return differences(app, &events, [from, to]).await;
    }
    list(app, session, &events, &found);
    Ok(Exit::Success)
}

fn at(found: &[Checkpoint], number: u64) -> Option<&Checkpoint> {
    found.iter().find(|checkpoint| checkpoint.at == Seq(number))
}

fn list(app: &App, session: SessionId, events: &[Event], found: &[Checkpoint]) {
    for Checkpoint { at, step, archive, .. } in found {
        let time =
            events.iter().find(|event| event.seq == *at).map(|event| event.at.utc()).unwrap_or_default();
        let stored = if archive.is_some() { "  stored for other machines" } else { "" };
        let number = app.terminal.paint(Style::Bold, &format!("{:>6}", at.0));
        app.terminal.line(&format!("{number}  {time}  after step {step}{stored}"));
    }
    app.terminal.line("");
    let first = found.first().map_or(0, |checkpoint| checkpoint.at.0);
    for command in [
        format!("cofferdam checkpoints {session} --diff {first}"),
        format!("cofferdam rollback {session} {first}"),
        format!("cofferdam fork {session} {first} --instruction …"),
    ] {
        app.terminal.line(&app.terminal.paint(Style::Dim, &command));
    }
}

/// Shows what differs: the files, then the patch.
async fn differences(app: &App, events: &[Event], sides: [&Checkpoint; 2]) -> Result<Exit> {
    if app.there()?.is_some() {
        bail!("checkpoints are compared on the machine of the worker that has their files");
    }
    let store = app.store().await?;
    let parts = app.parts(store, app.host()?, app.config.policy.clone()).await?;
    let compared = match compare(&parts, events, sides).await? {
        Ok(compared) => compared,
        Err(reason) => bail!("{}", inert(&reason)),
    };
    if compared.files.is_empty() {
        app.terminal.line("The files are the same; what git ignores was not looked at.");
    } else if app.terminal.is_interactive() {
        app.terminal.line(&inert(&String::from_utf8_lossy(&compared.files)));
        app.terminal.line(&inert(&String::from_utf8_lossy(&compared.patch)));
    } else {
        app.terminal.raw(&compared.files);
        app.terminal.raw(b"\n");
        app.terminal.raw(&compared.patch);
    }
    Ok(Exit::Success)
}
