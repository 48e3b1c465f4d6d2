//! The rows of `sessions` as they are listed.

use cofferdam_domain::{OrgId, SessionId};
use sqlx::AssertSqlSafe;

use super::line::Line;
use crate::{
    SessionFilter, SessionRow, StoreError,
    search::{
        NAMED, listed,
        look::{self, Found},
    },
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

/// A page of those that pass the filter and have its text, newest first, and what the search says beside it.
pub(crate) async fn search(
    readers: &Readers,
    filter: &SessionFilter,
) -> Result<(Vec<Listed>, Found), StoreError> {
    let found = look::find(readers, filter, filter.text.as_deref().unwrap_or_default()).await?;
    let mut rows = Vec::with_capacity(found.sessions.len());
    for some in found.sessions.chunks(NAMED) {
        let (passes, mut values) = passes(filter);
        let (list, ids) = listed(some.iter().map(|session| (*session).into()), values.len());
        values.extend(ids);
        let sql = select(readers.clock()).replacen("SELECT", &format!("SELECT {passes},"), 1);
        let sql = format!("{sql} WHERE s.id IN {list} ORDER BY s.id DESC");
        for row in readers.all(AssertSqlSafe(sql), &values).await? {
            if row.is("passes").map_err(Origin::unreadable)? {
                rows.push(decode(&row)?);
            }
        }
    }
    Ok((rows, found))
}

fn statement(clock: &str, filter: &SessionFilter) -> (String, Vec<Value>) {
    let (conditions, values) = conditions(filter);
    (format!("{} {conditions} ORDER BY s.id DESC LIMIT {}", select(clock), limit(filter)), values)
}

/// How many sessions are listed at most.
pub(crate) fn limit(filter: &SessionFilter) -> u32 {
    if filter.limit == 0 { DEFAULT_LIMIT } else { filter.limit.min(MAX_LIMIT) }
}

/// Which sessions, as a `WHERE`. A text is looked for elsewhere.
pub(crate) fn conditions(filter: &SessionFilter) -> (String, Vec<Value>) {
    let SessionFilter {
        org,
        project,
        user,
        state,
        archived,
        text: _,
        pushed,
        parent,
        subagents,
        attempt_of,
        before,
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
    if hide {
        sql.push_str(" AND s.parent IS NULL");
    }
    (sql, values)
}

/// Whether a session passes, as a column `passes`. Where it is known which rows are to be read: a database whose statistics are old finds them
/// by a condition of the filter instead, and then reads all rows that meet it.
pub(crate) fn passes(filter: &SessionFilter) -> (String, Vec<Value>) {
    let (conditions, values) = conditions(filter);
    let conditions = conditions.trim_start_matches("WHERE ");
    (format!("CASE WHEN {conditions} THEN CAST(1 AS BIGINT) ELSE 0 END AS passes"), values)
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
        // For whoever works without a server, all there are: the table itself is in order.
        assert_eq!(plan(&statement("0", &SessionFilter::default()).0).await[0], "SCAN s");
    }
}
