//! `cofferdam sessions`: what there is.

use anyhow::Result;
use cofferdam_domain::{SessionState, WaitingFor};
use jiff::{Timestamp, tz::TimeZone};

use crate::{
    args::SessionsArguments,
    compose::App,
    exit::Exit,
    sessions::Line,
    terminal::{Style, excerpt, inert},
};

/// Lists sessions, newest first.
pub(crate) async fn sessions(app: &App, arguments: &SessionsArguments) -> Result<Exit> {
    let rows = app.sessions().await?.list(arguments.limit, arguments.before, arguments.all).await?;
    if arguments.json {
        for row in &rows {
            app.terminal.json(&json(row).to_string());
        }
        return Ok(Exit::Success);
    }
    if rows.is_empty() && arguments.before.is_some() {
        app.terminal.line("There are no earlier sessions.");
    } else if rows.is_empty() {
        app.terminal.line("There are no sessions yet. `cofferdam demo` makes one; `cofferdam run \"…\"` works on a task of yours.");
    }
    for row in &rows {
        app.terminal.line(&line(app, row));
    }
    Ok(Exit::Success)
}

fn line(app: &App, row: &Line) -> String {
    let (state, style) = state(row);
    // What works for others.
    let further_in = if row.parent.is_some() { "  ↳ " } else { "" };
    let created = i64::try_from(row.created.0)
        .ok()
        .and_then(|millis| Timestamp::from_millisecond(millis).ok())
        .map(|at| at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M").to_string())
        .unwrap_or_default();
    format!(
        "{}  {created}  {}  {}  {}",
        row.id,
        app.terminal.paint(style, &format!("{state:<13}")),
        further_in.to_owned() + &excerpt(&row.title, 60),
        app.terminal.paint(Style::Dim, &inert(&row.repository))
    )
}

fn state(row: &Line) -> (String, Style) {
    match (row.state, &row.outcome) {
        (SessionState::Ended, Some(outcome)) => {
            let style = match outcome.as_str() {
                "succeeded" | "nothing_to_do" => Style::Good,
                "failed" => Style::Bad,
                _ => Style::Warn,
            };
            (outcome.replace('_', " "), style)
        }
        (SessionState::Ended, None) => ("ended".to_owned(), Style::Dim),
        (SessionState::Waiting, _) => (waits(row.waiting).to_owned(), Style::Warn),
        (_, _) if !row.claimed && !row.queued => ("interrupted".to_owned(), Style::Warn),
        (SessionState::Queued, _) => ("queued".to_owned(), Style::Dim),
        (SessionState::Working, _) => ("working".to_owned(), Style::Bold),
        (SessionState::Delivering, _) => ("delivering".to_owned(), Style::Bold),
    }
}

const fn waits(waiting: Option<WaitingFor>) -> &'static str {
    match waiting {
        Some(WaitingFor::Pause) => "paused",
        Some(WaitingFor::Answer) => "has a question",
        Some(WaitingFor::Plan) => "has a plan",
        Some(WaitingFor::Budget) => "over budget",
        Some(WaitingFor::Choice) => "to be chosen",
        None => "waits for you",
    }
}

fn json(row: &Line) -> serde_json::Value {
    serde_json::json!({
        "id": row.id,
        "state": row.state,
        "waiting": row.waiting,
        "outcome": row.outcome,
        "claimed": row.claimed,
        "repository": row.repository,
        "title": row.title,
        "created": row.created,
        "updated": row.updated,
        "parent": row.parent,
        "events": row.events,
    })
}
