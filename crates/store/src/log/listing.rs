//! The rows of `sessions` as they are listed.

use cofferdam_domain::{OrgId, SessionId};
use sqlx::AssertSqlSafe;

use super::line::Line;
use crate::{
    SessionFilter, SessionRow, StoreError,
    sql::{Origin, Readers, Row, Value, values},
    summary::Summary,
};

/// How many sessions are listed when nobody says.
const DEFAULT_LIMIT: u32 = 50;
/// The most that are listed at once.
const MAX_LIMIT: u32 = 1000;

/// A session and whether a worker that is present has it.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) line: Line,
    pub(crate) claimed: bool,
}

/// One session, whatever has become of it.
pub(crate) async fn find(readers: &Readers, session: SessionId) -> Result<Line, StoreError> {
    let row = readers.first("SELECT * FROM sessions WHERE id = $1", values![session]).await?;
    let line = Line::decode(&row.ok_or(StoreError::UnknownSession(session))?)?;
    if line.forgotten { Err(StoreError::UnknownSession(session)) } else { Ok(line) }
}

/// Whether there was a session with this id that was forgotten.
pub(crate) async fn was_forgotten(readers: &Readers, session: SessionId) -> Result<bool, StoreError> {
    let text = "SELECT id FROM sessions WHERE id = $1 AND forgotten = 1";
    Ok(readers.first(text, values![session]).await?.is_some())
}

/// One session of an organisation, or of any.
pub(crate) async fn session(
    readers: &Readers,
    org: Option<OrgId>,
    session: SessionId,
) -> Result<Option<Listed>, StoreError> {
    let mut values = vec![Value::from(session)];
    let mut sql = format!("{} WHERE s.id = $1 AND s.forgotten = 0", select(readers));
    if let Some(org) = org {
        values.push(org.into());
        sql.push_str(" AND s.org = $2");
    }
    readers.first(AssertSqlSafe(sql), &values).await?.as_ref().map(decode).transpose()
}

/// Sessions, newest first.
pub(crate) async fn list(readers: &Readers, filter: &SessionFilter) -> Result<Vec<Listed>, StoreError> {
    let SessionFilter { org, project, user, state, archived, text, before, limit } = filter;
    let mut values = Vec::new();
    let mut sql = format!("{} WHERE s.forgotten = 0", select(readers));
    let mut only = |condition: &str, value: Value| {
        values.push(value);
        sql.push_str(" AND ");
        sql.push_str(&condition.replace('#', &format!("${}", values.len())));
    };
    if let Some(org) = org {
        only("s.org = #", (*org).into());
    }
    if let Some(project) = project {
        only("s.project = #", (*project).into());
    }
    if let Some(user) = user {
        only("s.owner = #", (*user).into());
    }
    if let Some(state) = state {
        only("s.state = #", state.name().into());
    }
    if let Some(archived) = archived {
        only("s.archived = #", (*archived).into());
    }
    if let Some(text) = text {
        let pattern = like(text);
        only("(lower(s.title) LIKE # ESCAPE '!' OR lower(s.repository) LIKE # ESCAPE '!')", pattern.into());
    }
    if let Some(before) = before {
        only("s.id < #", (*before).into());
    }
    let limit = if *limit == 0 { DEFAULT_LIMIT } else { (*limit).min(MAX_LIMIT) };
    sql.push_str(&format!(" ORDER BY s.id DESC LIMIT {limit}"));
    readers.all(AssertSqlSafe(sql), &values).await?.iter().map(decode).collect()
}

/// A pattern that finds this text anywhere, in whatever case, where `!` escapes.
fn like(text: &str) -> String {
    let mut pattern = String::from("%");
    for character in text.to_lowercase().chars() {
        if matches!(character, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}

fn select(readers: &Readers) -> String {
    let now = readers.clock();
    format!(
        "SELECT s.*, CASE WHEN w.seen + w.patience >= {now} THEN CAST(1 AS BIGINT) ELSE 0 END AS present
         FROM sessions s LEFT JOIN workers w ON w.id = s.worker"
    )
}

fn decode(row: &Row) -> Result<Listed, StoreError> {
    let line = Line::decode(row)?;

    let claimed = row.is("present").map_err(Origin::unreadable)?;
    Ok(Listed { line, claimed })
}

/// As it is shown.
pub(crate) fn shown(listed: Listed) -> SessionRow {
    let Listed { line, claimed } = listed;
    let (state, waiting) = (line.summary.state(), line.summary.waiting());
    let Line { id, owner, placement, created, head, crashes, archived, summary, holder, .. } = line;
    let Summary { phase: _, waits: _, repository, title, outcome, cost, tokens, steps, pull_request } =
        summary;
    let queued = matches!(placement, crate::Placement::Queued { .. });
    SessionRow {
        id,
        owner,
        placement,
        state,
        waiting,
        repository,
        title,
        created,
        updated: head.at,
        last: head.seq,
        outcome,
        claimed,
        holder: holder.filter(|_| claimed && queued),
        crashes,
        cost,
        tokens,
        steps,
        pull_request,
        archived,
    }
}
