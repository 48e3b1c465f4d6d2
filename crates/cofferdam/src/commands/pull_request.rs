//! `cofferdam pr`, `merge` and `close`: the pull request of a session, or its review of somebody else's.

use anyhow::{Result, bail};
use cofferdam_agent::Agent;
use cofferdam_domain::{Part, PullRequest, PullRequestState, SessionId, Side, UnderReview, tool::Finish};
use cofferdam_gate::judge;

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
    let agent = Agent::of(session, &sessions.events(session).await?);
    if let Some(review) = agent.review() {
        return print_review(app, session, review, &agent, arguments.json);
    }
    // The log says how those of other repositories stand.
    let others = agent.pull_requests().into_iter().filter(|(part, _)| *part != Part::FIRST);
    let others: Vec<PullRequest> = others.map(|(_, request)| request).collect();
    let own = match (agent.pull_request().is_none(), others.is_empty()) {
        (true, false) => None,
        (false, _) | (true, true) => sessions.pull_request(session).await?,
    };
    let several = !others.is_empty();
    let all: Vec<PullRequest> = own.into_iter().chain(others).collect();
    match (all.as_slice(), arguments.json) {
        ([], _) => {
            bail!("{session} has no pull request: `cofferdam show {session}` says how far it came")
        }
        ([only], true) if !several => app.terminal.json(&serde_json::to_string_pretty(only)?),
        (all, true) => app.terminal.json(&serde_json::to_string_pretty(all)?),
        (all, false) => {
            for (place, pull_request) in all.iter().enumerate() {
                if place > 0 {
                    app.terminal.line("");
                }
                print(app, pull_request);
            }
        }
    }
    Ok(Exit::Success)
}

/// Prints a review as it is said on the forge: the platform's facts, then the agent's words.
fn print_review(
    app: &App,
    session: SessionId,
    review: &UnderReview,
    agent: &Agent,
    json: bool,
) -> Result<Exit> {
    let Some(finish) = agent.finish() else {
        bail!("{session} has not reviewed anything yet: `cofferdam show {session}` says how far it came")
    };
    let Finish { summary, remarks, .. } = finish;
    let run = |side| agent.evidence().iter().rev().find(|run| run.side == side);
    let evidence = judge(run(Side::Base), run(Side::Head));
    let terminal = app.terminal;
    if json {
        let tests = evidence.headline.sentence();
        let said = serde_json::json!({ "review": review, "tests": tests, "findings": agent.findings(), "summary": summary, "remarks": remarks });
        terminal.json(&serde_json::to_string_pretty(&said)?);
        return Ok(Exit::Success);
    }
    terminal.line(
        &terminal.paint(Style::Bold, &format!("Review of #{} at {}", review.number, inert(&review.head))),
    );
    terminal.line(evidence.headline.sentence());
    for finding in agent.findings() {
        let line = finding.line.map(|line| format!(":{line}")).unwrap_or_default();
        terminal.line(&format!(
            "{} {}{line}: {}",
            inert(&finding.rule),
            inert(&finding.path),
            inert(&finding.why)
        ));
    }
    terminal.line("");
    terminal.line(&inert(summary));
    for remark in remarks {
        let place = terminal.paint(Style::Bold, &format!("{}:{}", inert(&remark.path), remark.line));
        terminal.line(&format!("\n{place}\n{}", inert(&remark.text)));
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
    for merged in sessions.merge(session).await? {
        if let PullRequestState::Merged { commit } = &merged.state {
            let short = commit.get(..12).unwrap_or(commit);
            app.terminal.line(&format!("merged into {} as {}", inert(&merged.base_branch), inert(short)));
        }
    }
    Ok(Exit::Success)
}

/// Closes the pull request.
pub(crate) async fn close(app: &App, arguments: &SessionArgument) -> Result<Exit> {
    let sessions = app.sessions().await?;
    let session = sessions.named_or_latest(arguments.id).await?;
    for closed in sessions.close(session).await? {
        app.terminal.line(&format!("closed #{}; the branch {} stays", closed.number, inert(&closed.branch)));
    }
    Ok(Exit::Success)
}
