//! `cofferdam pr`, `merge` and `close`: the pull request of a session on the local forge.

use anyhow::{Result, bail};
use cofferdam_domain::{PullRequest, PullRequestState};

use crate::{
    args::{PrArguments, SessionArgument},
    compose::App,
    exit::Exit,
    terminal::{Style, inert},
};

/// Shows the pull request as a reviewer reads it.
pub(crate) async fn show(app: &App, arguments: &PrArguments) -> Result<Exit> {
    let sessions = app.sessions().await?;
    let session = sessions.named_or_latest(arguments.id).await?;
    let Some(pull_request) = sessions.pull_request(session).await? else {
        bail!("{session} has no pull request: `cofferdam show {session}` says how far it came")
    };
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
    let sessions = app.sessions().await?;
    let session = sessions.named_or_latest(arguments.id).await?;
    let merged = sessions.merge(session).await?;
    if let PullRequestState::Merged { commit } = &merged.state {
        let short = commit.get(..12).unwrap_or(commit);
        app.terminal.line(&format!("merged into {} as {}", inert(&merged.base_branch), inert(short)));
    }
    Ok(Exit::Success)
}

/// Closes the pull request.
pub(crate) async fn close(app: &App, arguments: &SessionArgument) -> Result<Exit> {
    let sessions = app.sessions().await?;
    let session = sessions.named_or_latest(arguments.id).await?;
    let closed = sessions.close(session).await?;
    app.terminal.line(&format!("closed #{}; the branch {} stays", closed.number, inert(&closed.branch)));
    Ok(Exit::Success)
}
