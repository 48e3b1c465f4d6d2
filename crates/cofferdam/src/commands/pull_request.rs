//! `cofferdam pr`, `merge` and `close`: the pull request of a session on the local forge.

use anyhow::{Result, bail};
use cofferdam_domain::{EventBody, PullRequest, PullRequestState, SessionId};
use cofferdam_forge::{Authorship, Forge, Git, LocalForge};
use cofferdam_store::{Store, Writer};

use crate::{
    args::{PrArguments, SessionArgument},
    compose::App,
    exit::Exit,
    terminal::{Style, inert},
};

/// Shows the pull request as a reviewer reads it.
pub(crate) async fn show(app: &App, arguments: &PrArguments) -> Result<Exit> {
    let (_, _, pull_request) = find(app, arguments.id).await?;
    if arguments.json {
        app.terminal.json(&serde_json::to_string_pretty(&pull_request)?);
    } else {
        print(app, &pull_request);
    }
    Ok(Exit::Success)
}

/// Prints a pull request for people.
pub(crate) fn print(app: &App, pull_request: &PullRequest) {
    let (state, style) = match &pull_request.state {
        PullRequestState::Open if pull_request.draft => ("draft", Style::Warn),
        PullRequestState::Open => ("open", Style::Good),
        PullRequestState::Merged { .. } => ("merged", Style::Good),
        PullRequestState::Closed => ("closed", Style::Dim),
    };
    let terminal = app.terminal;
    terminal.line(&format!(
        "{} {}",
        terminal.paint(style, &format!("#{} {state}", pull_request.number)),
        terminal.paint(Style::Bold, &inert(&pull_request.title))
    ));
    terminal.line(&terminal.paint(
        Style::Dim,
        &format!(
            "{} → {} · {}",
            inert(&pull_request.branch),
            inert(&pull_request.base_branch),
            inert(&pull_request.repository)
        ),
    ));
    terminal.line("");
    terminal.line(&inert(&pull_request.body));
}

/// Merges the pull request.
pub(crate) async fn merge(app: &App, arguments: &SessionArgument) -> Result<Exit> {
    let (forge, session, pull_request) = find(app, arguments.id).await?;
    let authorship = Authorship {
        identity: app.identity(),
        at: cofferdam_worker::now(),
        session,
        title: pull_request.title,
    };
    let merged = forge.merge(&authorship).await?;
    record(app, session, &merged).await?;
    if let PullRequestState::Merged { commit } = &merged.state {
        let short = commit.get(..12).unwrap_or(commit);
        app.terminal.line(&format!("merged into {} as {short}", inert(&merged.base_branch)));
    }
    Ok(Exit::Success)
}

/// Closes the pull request.
pub(crate) async fn close(app: &App, arguments: &SessionArgument) -> Result<Exit> {
    let (forge, session, _) = find(app, arguments.id).await?;
    let closed = forge.close(session).await?;
    record(app, session, &closed).await?;
    app.terminal.line(&format!("closed #{}; the branch {} stays", closed.number, inert(&closed.branch)));
    Ok(Exit::Success)
}

async fn record(app: &App, session: SessionId, pull_request: &PullRequest) -> Result<()> {
    let body = EventBody::PullRequestClosed { state: pull_request.state.clone() };
    app.store().await?.append(session, Writer::Anybody, cofferdam_worker::now(), vec![body]).await?;
    Ok(())
}

async fn find(app: &App, named: Option<SessionId>) -> Result<(LocalForge, SessionId, PullRequest)> {
    let store = app.store().await?;
    let session = app.session_or_latest(&*store, named).await?;
    let forge = LocalForge::new(Git::find()?, app.config.data.join("forge"));
    match forge.find(session).await? {
        Some(pull_request) => Ok((forge, session, pull_request)),
        None => bail!("{session} has no pull request: `cofferdam show {session}` says how far it came"),
    }
}
