//! `cofferdam sandbox ls`: the sandboxes that there are.

use std::time::Duration;

use anyhow::{Result, bail};
use cofferdam_agent::Agent;
use cofferdam_domain::{
    SandboxId, SessionId, SessionState, Timestamp,
    amount::{counted, duration},
};
use cofferdam_store::{SessionFilter, SessionRow};
use serde_json::{Value, json};

use super::{
    call::{self, LOOK},
    kept::{About, Kept, Snapshot},
    wire::{Answer, Request, Seen},
};
use crate::{
    args::JsonFlag,
    compose::App,
    exit::Exit,
    terminal::{Style, inert},
};

/// Lists them: those that people keep, then those of sessions.
pub(super) async fn list(app: &App, arguments: &JsonFlag) -> Result<Exit> {
    let now = cofferdam_worker::now();
    let (kept, sessions) = (Kept::all(app.data()?)?, of_sessions(app).await?);
    if kept.is_empty() && sessions.is_empty() && !arguments.json {
        app.terminal.line("There are no sandboxes. `cofferdam sandbox start` makes one that stays.");
    }
    for kept in kept {
        let found = Found::look(&kept).await;
        if arguments.json {
            app.terminal.json(&found.json(&kept).to_string());
        } else {
            found.show(app, &kept, now);
        }
    }
    for (row, agent) in sessions {
        if arguments.json {
            app.terminal.json(&session_json(&row, &agent).to_string());
        } else {
            show_session(app, &row, &agent, now);
        }
    }
    Ok(Exit::Success)
}

/// The sessions that have a sandbox now, or are held because it was frozen: what their logs say, which costs their workers nothing.
pub(super) async fn of_sessions(app: &App) -> Result<Vec<(SessionRow, Agent)>> {
    let store = app.store().await?;
    let rows = store
        .sessions(SessionFilter { limit: u32::MAX, subagents: true, ..SessionFilter::default() })
        .await?;
    let mut found = Vec::new();
    for row in rows {
        if row.state == SessionState::Ended && row.outcome.as_deref() != Some("held") {
            continue;
        }
        let agent = Agent::of(row.id, &app.events(&*store, row.id).await?);
        if agent.frozen().is_some() || (row.claimed && agent.sandbox().is_some()) {
            found.push((row, agent));
        }
    }
    Ok(found)
}

/// The session whose sandbox this is.
pub(super) async fn session_of(app: &App, id: SandboxId) -> Result<Option<SessionId>> {
    let sessions = of_sessions(app).await?;
    Ok(sessions.into_iter().find(|(_, agent)| agent.sandbox() == Some(id)).map(|(row, _)| row.id))
}

/// The kept sandbox of this id.
pub(super) async fn find(app: &App, id: SandboxId) -> Result<Kept> {
    let found = Kept::find(app.data()?, id);
    if found.is_err()
        && let Some(session) = session_of(app, id).await?
    {
        bail!(
            "{id} is the sandbox of {session}, which alone uses it: freeze it, and look at its files with `cofferdam sandbox run --session {session}`"
        );
    }
    found
}

/// What was found out about a kept sandbox.
struct Found {
    state: State,
    about: Result<About>,
    snapshots: Vec<Snapshot>,
}

enum State {
    /// It has a keeper, which is this process.
    Lives(Seen, u32),
    /// It has one, which does not answer.
    Silent(String),
    /// Somebody is starting it, or it is ending.
    Changing,
    /// It has none any more.
    Ended(String),
}

impl Found {
    async fn look(kept: &Kept) -> Self {
        let state = State::of(kept).await;
        let about = kept.about();
        let snapshots = about.as_ref().map_or_else(|_| Ok(Vec::new()), |about| kept.snapshots(&about.names));
        Self { state, about, snapshots: snapshots.unwrap_or_default() }
    }

    fn json(&self, kept: &Kept) -> Value {
        let (level, pid, commands) = match &self.state {
            State::Lives(seen, pid) => (Some(&seen.level), Some(pid), Some(seen.commands)),
            State::Silent(_) | State::Changing | State::Ended(_) => (None, None, None),
        };
        let about = self.about.as_ref().ok();
        json!({
            "id": kept.id,
            "state": self.state.name(),
            "reason": self.state.reason(),
            "session": null,
            "made": about.map(|about| about.made),
            "workspace": about.and_then(|about| about.workspace.as_ref()),
            "policy": about.and_then(|about| about.policy.as_ref()),
            "root": about.map(|about| about.root),
            "level": level.or_else(|| about?.level.as_ref()),
            "pid": pid,
            "commands": commands,
            "snapshots": self.snapshots,
            "log": kept.log(),
        })
    }

    fn show(&self, app: &App, kept: &Kept, now: Timestamp) {
        let (style, name) = (self.state.style(), self.state.name());
        let state = app.terminal.paint(style, &format!("{name:<8}"));
        let about = match &self.about {
            Ok(about) => about,
            Err(error) => {
                return app.terminal.line(&format!("{}  {state}  {}", kept.id, inert(&format!("{error:#}"))));
            }
        };
        let workspace =
            about.workspace.as_ref().map_or_else(|| "nothing".to_owned(), |path| path.display().to_string());
        app.terminal.line(&format!(
            "{}  {state}  {}  over {}",
            kept.id,
            age(about.made, now),
            inert(&workspace)
        ));
        let mut more: Vec<String> = self.state.reason().into_iter().map(str::to_owned).collect();
        if let State::Lives(seen, pid) = &self.state {
            more.push(format!("process {pid}, {}", counted(seen.commands.into(), "command")));
        }
        if about.root {
            more.push("with root".to_owned());
        }
        more.extend(about.policy.as_ref().map(|policy| format!("rules of {}", policy.display())));
        let mut lines = vec![more.join("; ")];
        lines.extend(self.snapshots.iter().map(|Snapshot { id, name }| match name {
            Some(name) => format!("snapshot {id} {name}"),
            None => format!("snapshot {id}"),
        }));
        lines.extend(about.level.clone());
        for line in lines.iter().filter(|line| !line.is_empty()) {
            app.terminal.line(&app.terminal.paint(Style::Dim, &format!("    {}", inert(line))));
        }
    }
}

impl State {
    async fn of(kept: &Kept) -> Self {
        let mut line = match call::connect(kept) {
            Ok(Some(line)) => line,
            Ok(None) if kept.abandoned().is_none() => return Self::Changing,
            Ok(None) => {
                let reason = kept.about().ok().and_then(|about| about.ended);
                return Self::Ended(reason.unwrap_or_else(|| "its keeper has died".to_owned()));
            }
            Err(error) => return Self::Silent(format!("{error:#}")),
        };
        match line.ask(&Request::Look, LOOK).await {
            Ok(Answer::Seen(seen)) => Self::Lives(seen, line.pid),
            Ok(_) => Self::Silent("its keeper gave another answer than was asked for".to_owned()),
            Err(error) => Self::Silent(format!("{error:#}")),
        }
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::Lives(Seen { frozen: false, .. }, _) => "running",
            Self::Lives(Seen { frozen: true, .. }, _) => "frozen",
            Self::Silent(_) => "silent",
            Self::Changing => "changing",
            Self::Ended(_) => "ended",
        }
    }

    fn reason(&self) -> Option<&str> {
        match self {
            Self::Lives(seen, _) => seen.reason.as_deref(),
            Self::Changing => None,
            Self::Silent(reason) | Self::Ended(reason) => Some(reason),
        }
    }

    const fn style(&self) -> Style {
        match self {
            Self::Lives(Seen { frozen: false, .. }, _) => Style::Good,
            Self::Lives(..) | Self::Changing => Style::Warn,
            Self::Silent(_) => Style::Bad,
            Self::Ended(_) => Style::Dim,
        }
    }
}

fn session_state(agent: &Agent) -> &'static str {
    if agent.frozen().is_some() { "frozen" } else { "running" }
}

fn session_json(row: &SessionRow, agent: &Agent) -> Value {
    json!({
        "id": agent.sandbox(),
        "state": session_state(agent),
        "reason": agent.frozen(),
        "session": row.id,
        "made": row.created,
        "workspace": row.repository,
        "level": null,
        "snapshots": [],
    })
}

fn show_session(app: &App, row: &SessionRow, agent: &Agent, now: Timestamp) {
    let id = agent.sandbox().map_or_else(|| "without a sandbox".to_owned(), |id| id.to_string());
    let state = session_state(agent);
    let style = if state == "running" { Style::Good } else { Style::Warn };
    let state = app.terminal.paint(style, &format!("{state:<8}"));
    app.terminal.line(&format!("{id}  {state}  {}  over {}", age(row.created, now), inert(&row.repository)));
    let reason = agent.frozen().map(|reason| format!("; frozen: {}", inert(reason))).unwrap_or_default();
    app.terminal.line(&app.terminal.paint(Style::Dim, &format!("    session {}{reason}", row.id)));
}

fn age(made: Timestamp, now: Timestamp) -> String {
    duration(Duration::from_millis(now.millis_since(made)))
}
