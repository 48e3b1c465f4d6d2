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

/// How many sessions are looked through for a text at once, the newest first: texts are in no index.
pub const LOOKED_THROUGH: u32 = 5000;

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
    let mut sql = format!("{} WHERE s.id = $1 AND s.forgotten = 0", select(readers.clock()));
    if let Some(org) = org {
        values.push(org.into());
        sql.push_str(" AND s.org = $2");
    }
    readers.first(AssertSqlSafe(sql), &values).await?.as_ref().map(decode).transpose()
}

/// Sessions, newest first.
pub(crate) async fn list(readers: &Readers, filter: &SessionFilter) -> Result<Vec<Listed>, StoreError> {
    let (sql, values) = statement(readers.clock(), filter);
    readers.all(AssertSqlSafe(sql), &values).await?.iter().map(decode).collect()
}

/// Where a search for a text stops to look: the last session that it looks at, if there are others after it.
pub(crate) async fn horizon(
    readers: &Readers,
    filter: &SessionFilter,
) -> Result<Option<SessionId>, StoreError> {
    let (sql, values) = horizon_in(filter);
    let row = readers.first(AssertSqlSafe(sql), &values).await?;
    row.map_or(Ok(None), |row| row.parsed("id").map(Some)).map_err(Origin::unreadable)
}

fn horizon_in(filter: &SessionFilter) -> (String, Vec<Value>) {
    // How far a search goes need not be exact; so it is read from an index.
    let all = SessionFilter { text: None, subagents: true, ..filter.clone() };
    let (conditions, values) = conditions(&all);
    let last = LOOKED_THROUGH - 1;
    (format!("SELECT s.id FROM sessions s {conditions} ORDER BY s.id DESC LIMIT 1 OFFSET {last}"), values)
}

fn statement(clock: &str, filter: &SessionFilter) -> (String, Vec<Value>) {
    let (conditions, values) = conditions(filter);
    let limit = if filter.limit == 0 { DEFAULT_LIMIT } else { filter.limit.min(MAX_LIMIT) };
    (format!("{} {conditions} ORDER BY s.id DESC LIMIT {limit}", select(clock)), values)
}

/// Which sessions, as a `WHERE`.
fn conditions(filter: &SessionFilter) -> (String, Vec<Value>) {
    let SessionFilter {
        org,
        project,
        user,
        state,
        archived,
        text,
        pushed,
        parent,
        subagents,
        attempt_of,
        before,
        since,
        limit: _,
    } = filter;
    let mut values = Vec::new();
    let mut sql = String::from("WHERE s.forgotten = 0");
    let mut hide = false;
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
    if let Some(pushed) = pushed {
        only("s.pushed = #", pushed.as_str().into());
    }
    if let Some(first) = attempt_of {
        only("s.attempt_of = #", (*first).into());
    }
    match parent {
        Some(parent) => only("s.parent = #", (*parent).into()),
        None if *subagents => {}
        None => hide = true,
    }
    if let Some(before) = before {
        only("s.id < #", (*before).into());
    }
    if let Some(since) = since {
        only("s.id >= #", (*since).into());
    }
    if hide {
        sql.push_str(" AND s.parent IS NULL");
    }
    (sql, values)
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

fn select(clock: &str) -> String {
    format!(
        "SELECT s.*, CASE WHEN w.seen + w.patience >= {clock} THEN CAST(1 AS BIGINT) ELSE 0 END AS present
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
    let (state, waiting, accesses) = (line.summary.state(), line.summary.waiting(), line.summary.accesses());
    let Line { id, owner, placement, created, head, crashes, archived, summary, holder, .. } = line;
    let Summary {
        phase: _,
        waits: _,
        repository,
        title,
        outcome,
        cost,
        tokens,
        steps,
        pull_request,
        pushed: _,
        parent,
        group,
    } = summary;
    let queued = matches!(placement, crate::Placement::Queued { .. });
    SessionRow {
        id,
        owner,
        placement,
        state,
        waiting,
        accesses,
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
        parent,
        attempt_of: group,
        archived,
    }
}

#[cfg(test)]
mod tests {
    use cofferdam_domain::{ProjectId, SessionState, UserId};

    use super::*;
    use crate::sqlite::plan;

    #[tokio::test]
    async fn a_page_is_read_in_order_from_an_index() {
        let ours = SessionFilter { org: Some(OrgId::from_u128(1)), ..SessionFilter::default() };
        let before = Some(SessionId::from_u128(1));
        let (project, user) = (Some(ProjectId::from_u128(1)), Some(UserId::from_u128(1)));
        let state = Some(SessionState::Queued);
        for (filter, index) in [
            (ours.clone(), "sessions_by_org (org=?)"),
            (SessionFilter { before, ..ours.clone() }, "sessions_by_org (org=? AND id<?)"),
            (SessionFilter { archived: Some(false), ..ours.clone() }, "sessions_by_org (org=?)"),
            (SessionFilter { project, user, ..ours.clone() }, "sessions_by_org (org=?)"),
            (SessionFilter { state, ..ours.clone() }, "sessions_by_org_and_state (org=? AND state=?)"),
            (SessionFilter { state, ..SessionFilter::default() }, "sessions_by_state (state=?)"),
            (
                SessionFilter { attempt_of: before, ..ours.clone() },
                "sessions_by_attempt (org=? AND attempt_of=?)",
            ),
        ] {
            let plan = plan(&statement("0", &filter).0).await;
            assert_eq!(plan[0], format!("SEARCH s USING INDEX {index}"), "{plan:?}");
            assert!(!plan.iter().any(|line| line.contains("TEMP B-TREE")), "{plan:?}");
        }
        for (filter, index) in [
            (ours.clone(), "sessions_by_org (org=?)"),
            (
                SessionFilter { state, before, ..ours.clone() },
                "sessions_by_org_and_state (org=? AND state=? AND id<?)",
            ),
        ] {
            let plan = plan(&horizon_in(&SessionFilter { text: Some("x".into()), ..filter }).0).await;
            assert_eq!(plan, [format!("SEARCH s USING COVERING INDEX {index}")]);
        }
        // For whoever works without a server, all there are: the table itself is in order.
        assert_eq!(plan(&statement("0", &SessionFilter::default()).0).await[0], "SCAN s");
    }
}
