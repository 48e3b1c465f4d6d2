//! `cofferdam access`: what agents ask to be let out of their sandboxes, and a person's decision, bound to the exact rule.

use anyhow::{Context, Result, bail, ensure};
use cofferdam_agent::{AccessRequest, Agent};
use cofferdam_domain::{SessionId, Timestamp, egress::AccessAsk};
use cofferdam_server::Act;

use crate::{
    args::{AccessListArguments, DecisionArguments, GrantArguments},
    compose::App,
    exit::Exit,
    sessions::Sessions,
    terminal::{Style, inert},
};

/// Lists what a session's agent has asked for.
pub(crate) async fn list(app: &App, arguments: &AccessListArguments) -> Result<Exit> {
    let sessions = app.sessions().await?;
    let session = sessions.named_or_latest(arguments.session).await?;
    let agent = folded(&*sessions, session).await?;
    let mut none = true;
    for request in agent.accesses() {
        none = false;
        if arguments.json {
            app.terminal.json(&json(request).to_string());
        } else {
            show(app, request)?;
        }
    }
    if none && !arguments.json {
        app.terminal.line(&format!("{session}: the agent has asked for nothing"));
    }
    Ok(Exit::Success)
}

/// Grants a request for access.
pub(crate) async fn grant(app: &App, arguments: &GrantArguments) -> Result<Exit> {
    let until = match arguments.time {
        Some(time) => {
            let millis = u64::try_from(time.as_millis()).context("that is longer than anything lasts")?;
            Some(Timestamp(cofferdam_worker::now().0.saturating_add(millis)))
        }
        None => None,
    };
    decide(app, &arguments.decision, true, until).await
}

/// Denies one.
pub(crate) async fn deny(app: &App, arguments: &DecisionArguments) -> Result<Exit> {
    decide(app, arguments, false, None).await
}

async fn folded(sessions: &dyn Sessions, session: SessionId) -> Result<Agent> {
    Ok(Agent::of(session, &sessions.events(session).await?))
}

async fn decide(
    app: &App,
    arguments: &DecisionArguments,
    granted: bool,
    until: Option<Timestamp>,
) -> Result<Exit> {
    let sessions = app.sessions().await?;
    let session = arguments.session;
    let agent = folded(&*sessions, session).await?;
    ensure!(agent.resumable(), "{session} is over: nothing that it asked for can be decided any more");
    let ask = &chosen(&agent, arguments)?.ask;
    let digest = ask.digest();
    if let Some(expected) = arguments.rule {
        ensure!(
            expected == digest,
            "{} is about another rule ({digest}) than the one that you looked at ({expected}): `cofferdam access list {session}`",
            ask.call
        );
    }
    sessions.act(session, Act::Access { rule: digest, grant: granted, until }).await?;
    let word = if granted { "granted" } else { "denied" };
    app.terminal.line(&format!("{session}: {word}: {}", what(ask)));
    Ok(Exit::Success)
}

/// The request that a decision is about.
fn chosen<'a>(agent: &'a Agent, arguments: &DecisionArguments) -> Result<&'a AccessRequest> {
    let session = arguments.session;
    if let Some(id) = arguments.id {
        let request = agent.accesses().find(|request| request.ask.call == id);
        let request = request.with_context(|| {
            format!("{session} has no request {id}: `cofferdam access list {session}` lists them")
        })?;
        if let Some(access) = &request.decided {
            bail!(
                "{id} was {} already, by {}",
                if access.granted { "granted" } else { "denied" },
                inert(&access.by)
            );
        }
        return Ok(request);
    }
    let mut open = agent.accesses().filter(|request| request.decided.is_none());
    match (open.next(), open.next()) {
        (Some(request), None) => Ok(request),
        (Some(_), Some(_)) => {
            bail!("{session} has several open requests: name one as `cofferdam access list {session}` does")
        }
        (None, _) => bail!("{session} has no open request"),
    }
}

/// What was asked, in one line.
fn what(ask: &AccessAsk) -> String {
    let rule = &ask.rule;
    let list = |items: Vec<String>| items.join(" ");
    let port = rule.port.map_or_else(String::new, |port| format!(":{port}"));
    let mut text = format!(
        "{} {}://{}{port} {}",
        list(rule.methods.iter().map(ToString::to_string).collect()),
        rule.scheme.as_str(),
        rule.host,
        list(rule.paths.iter().map(ToString::to_string).collect())
    );
    if rule.query {
        text.push_str(" with queries");
    }
    if rule.body_limit.0 > 0 {
        text.push_str(&format!(" with bodies up to {} bytes", rule.body_limit.0));
    }
    inert(&text)
}

fn state(request: &AccessRequest) -> (String, Style) {
    match &request.decided {
        None => ("open".to_owned(), Style::Warn),
        Some(access) if access.granted => (format!("granted by {}", inert(&access.by)), Style::Good),
        Some(access) => (format!("denied by {}", inert(&access.by)), Style::Bad),
    }
}

fn show(app: &App, request: &AccessRequest) -> Result<()> {
    let (state, style) = state(request);
    let ask = &request.ask;
    app.terminal.line(&format!("{}  {}  {}", ask.call, app.terminal.paint(style, &state), what(ask)));
    app.terminal.line(&format!("    because: {}", inert(&ask.reason.replace('\n', " "))));
    app.terminal.line(&app.terminal.paint(Style::Dim, &format!("    rule {}", ask.digest())));
    let rule = toml::to_string(&ask.rule).context("the rule cannot be written as TOML")?;
    for line in rule.lines() {
        app.terminal.line(&app.terminal.paint(Style::Dim, &format!("        {}", inert(line))));
    }
    Ok(())
}

fn json(request: &AccessRequest) -> serde_json::Value {
    serde_json::json!({
        "id": request.ask.call,
        "rule": request.ask.rule,
        "digest": request.ask.digest(),
        "reason": request.ask.reason,
        "decided": request.decided,
    })
}
