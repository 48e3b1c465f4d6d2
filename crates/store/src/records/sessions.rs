//! The columns of `sessions`, and content that sessions refer to.

use cofferdam_domain::{Digest, SessionId, SessionState, Timestamp, WaitingFor};
use sqlx::AssertSqlSafe;

use super::{arrivals, memories, once, queue};
use crate::{
    Depth, Placement, Standing, StoreError,
    log::{line::Line, rings::Matter},
    search::fill,
    sql::{self, Database, News, Origin, Readers, Row, Sql, Value, values},
};

/// A column and what it is to hold.
pub(crate) type Column = (&'static str, Value);

/// The columns that follow from the log, and what the queue makes of it.
pub(crate) fn derived(line: &Line) -> Vec<Column> {
    let summary = &line.summary;
    let pull_request = summary.pull_request.as_ref();
    // Both are made of texts and numbers: there is nothing in them that could not be written.
    let stands = pull_request.and_then(|(_, state)| serde_json::to_string(state).ok());
    let waits = serde_json::to_string(&summary.waits).unwrap_or_default();
    vec![
        ("state", summary.state().name().into()),
        ("phase", summary.phase.name().into()),
        ("waiting", summary.waiting().map(WaitingFor::name).into()),
        ("waits", waits.as_str().into()),
        ("repository", summary.repository.as_str().into()),
        ("title", summary.title.as_str().into()),
        ("outcome", summary.outcome.as_deref().into()),
        ("cost", summary.cost.into()),
        ("tokens", summary.tokens.into()),
        ("steps", summary.steps.into()),
        ("pull_request", pull_request.map(|(number, _)| *number).into()),
        ("pull_request_state", stands.into()),
        ("pushed", summary.pushed.as_deref().into()),
        ("parent", summary.parent.into()),
        ("attempt_of", summary.group.into()),
        ("updated", line.head.at.into()),
        ("last", line.head.seq.into()),
        ("head_id", line.head.id.into()),
        ("head_hash", line.head.hash.into()),
        ("wanted", line.wanted.into()),
        ("not_before", line.not_before.into()),
    ]
}

/// All columns, for a new row.
pub(crate) fn whole(line: &Line) -> Vec<Column> {
    let priority = i64::from(line.priority());
    let mut columns = derived(line);
    columns.extend([
        ("id", line.id.into()),
        ("org", line.owner.org.into()),
        ("project", line.owner.project.into()),
        ("owner", line.owner.user.into()),
        ("lane", line.lane().into()),
        ("queued", matches!(line.placement, Placement::Queued { .. }).into()),
        ("priority", priority.into()),
        ("created", line.created.into()),
        ("fence", line.fence.into()),
        ("place", priority.into()),
        ("crashes", line.crashes.into()),
        ("worker", line.worker.into()),
        ("holder", line.holder.as_deref().into()),
        ("since", line.since.into()),
        ("reason", Value::Text(None)),
        ("archived", line.archived.into()),
        ("forgotten", line.forgotten.into()),
    ]);
    columns
}

/// Writes what follows from the log.
pub(crate) async fn update(sql: &mut Sql<'_>, line: &Line) -> Result<(), StoreError> {
    let (set, mut values) = assignments(derived(line), 1);
    values.push(line.id.into());
    let text = format!("UPDATE sessions SET {set} WHERE id = ${}", values.len());
    sql.run(AssertSqlSafe(text), &values).await.map(drop)
}

/// `a = $1, b = $2`, counted from `first`, and the values.
pub(crate) fn assignments(columns: Vec<Column>, first: usize) -> (String, Vec<Value>) {
    let (names, values): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    let set: Vec<String> =
        names.iter().zip(first..).map(|(name, place)| format!("{name} = ${place}")).collect();
    (set.join(", "), values)
}

/// Notes that a session refers to content, which may expire before the session if it is passing.
pub(crate) async fn refer(
    sql: &mut Sql<'_>,
    session: SessionId,
    digest: Digest,
    passing: bool,
) -> Result<(), StoreError> {
    let text = format!(
        "INSERT INTO session_blobs (session, digest, at, passing) VALUES ($1, $2, {}, $3)
         ON CONFLICT (session, digest) DO UPDATE
             SET at = excluded.at, passing = session_blobs.passing * excluded.passing",
        sql.clock()
    );
    sql.run(AssertSqlSafe(text), values![session, digest, passing]).await.map(drop)
}

/// Puts a session out of sight, or back.
pub(crate) async fn set_archived(
    base: &impl Database,
    session: SessionId,
    archived: bool,
) -> Result<(), StoreError> {
    base.transact(sql::work(move |sql| {
        Box::pin(async move {
            let line = queue::locked(sql, session).await?;
            sql.run("UPDATE sessions SET archived = $2 WHERE id = $1", values![session, archived]).await?;
            sql.tell(News::Session(session, line.owner.org));
            Ok(())
        })
    }))
    .await
}

/// Whether one of the session's events refers to this content.
pub(crate) async fn is_blob_of(
    readers: &Readers,
    session: SessionId,
    digest: Digest,
) -> Result<bool, StoreError> {
    let text = "SELECT session FROM session_blobs WHERE session = $1 AND digest = $2";
    Ok(readers.first(text, values![session, digest]).await?.is_some())
}

/// Deletes a session's events; its row stays without anything in it, so that the id is not used again. Returns the content that no session
/// refers to any more, and when this one last began to.
pub(crate) async fn forget(
    base: &impl Database,
    session: SessionId,
) -> Result<Vec<(Digest, Timestamp)>, StoreError> {
    base.transact(sql::work(move |sql| {
        Box::pin(async move {
            let mut gone = Vec::new();
            let unneeded = forget_in(sql, session, &mut gone).await?;
            // When all of them are kept from others: whoever has the index waits for no session.
            fill::remove(sql, &gone).await?;
            Ok(unneeded)
        })
    }))
    .await
}

async fn forget_in(
    sql: &mut Sql<'_>,
    session: SessionId,
    gone: &mut Vec<Line>,
) -> Result<Vec<(Digest, Timestamp)>, StoreError> {
    let line = queue::locked(sql, session).await?;
    // Those that worked for it go with it.
    let find = "SELECT id FROM sessions WHERE parent = $1 AND forgotten = 0 ORDER BY id";
    let mut below = Vec::new();
    for row in sql.all(find, values![session]).await? {
        let child = row.parsed("id").map_err(Origin::unreadable)?;
        below.extend(Box::pin(forget_in(sql, child, gone)).await?);
    }
    let unneeded = sql
        .all(
            "SELECT digest, at FROM session_blobs b WHERE session = $1 AND NOT EXISTS
                 (SELECT 1 FROM session_blobs o WHERE o.digest = b.digest AND o.session <> $1)",
            values![session],
        )
        .await?;
    sql.run("DELETE FROM session_blobs WHERE session = $1", values![session]).await?;
    sql.run("DELETE FROM events WHERE session = $1", values![session]).await?;
    sql.run("DELETE FROM letters WHERE session = $1", values![session]).await?;
    arrivals::forget(sql, session).await?;
    memories::forget(sql, session).await?;
    once::forget(sql, line.owner.org, session).await?;
    let tombstone = format!(
        "UPDATE sessions SET forgotten = 1, fence = fence + 1, wanted = 0, not_before = 0, worker = NULL,
             holder = NULL, reason = NULL, repository = '', title = '', updated = {} WHERE id = $1",
        sql.clock()
    );
    sql.run(AssertSqlSafe(tombstone), values![session]).await?;
    if let Some(first) = line.summary.group {
        // Whoever takes one of the other attempts sees whether all that are left are through.
        let wake = "UPDATE sessions SET wanted = 1 WHERE org = $1 AND attempt_of = $2 AND forgotten = 0 AND waiting = $3";
        sql.run(wake, values![line.owner.org, first, WaitingFor::Choice.name()]).await?;
    }
    sql.tell(News::Session(session, line.owner.org));
    sql.tell(News::Matter(Matter::Queue));
    let unneeded: sqlx::Result<Vec<_>> =
        unneeded.iter().map(|row| Ok((row.digest("digest")?, row.time("at")?))).collect();
    below.extend(unneeded.map_err(Origin::unreadable)?);
    gone.push(line);
    Ok(below)
}

/// The worker that has the session, for people.
pub(crate) async fn holder(readers: &Readers, session: SessionId) -> Result<Option<String>, StoreError> {
    let row = readers.first("SELECT holder FROM sessions WHERE id = $1", values![session]).await?;
    row.map_or(Ok(None), |row| row.text_or_null("holder")).map_err(Origin::unreadable)
}

/// The most sessions of one kind that are counted, so that counting takes no longer when there are more.
const COUNTED: u32 = 10_000;
/// Of so many whose turn is first it is looked how long they wait.
const OLDEST: u32 = 1000;

/// What may be taken now: as the indexes of the queue say it.
const READY: &str = "queued = 1 AND wanted = 1 AND worker IS NULL AND not_before = 0";

/// How many sessions are so, as an expression.
fn counted(are_so: &str) -> String {
    format!("(SELECT COUNT(*) FROM (SELECT 1 FROM sessions WHERE {are_so} LIMIT {COUNTED}) AS counted)")
}

/// What waits and what runs.
pub(crate) async fn depth(readers: &Readers) -> Result<Depth, StoreError> {
    let row = readers.first(AssertSqlSafe(depth_in(readers.clock())), &[]).await?;
    let read = || -> sqlx::Result<Depth> {
        let Some(row) = &row else { return Ok(Depth::default()) };
        let (waiting, running) = (row.count("waiting")?, row.count("running")?);
        Ok(Depth { waiting, running, workers: row.count("workers")? })
    };
    read().map_err(Origin::unreadable)
}

fn depth_in(clock: &str) -> String {
    let (ready, put_off) = (counted(READY), counted("not_before > 0 AND worker IS NULL"));
    let running = counted("worker > ''");
    format!(
        "SELECT {ready} + {put_off} AS waiting, {running} AS running,
             (SELECT COUNT(*) FROM workers WHERE seen + patience >= {clock}) AS workers"
    )
}

/// How all sessions stand.
pub(crate) async fn standing(readers: &Readers) -> Result<Standing, StoreError> {
    let oldest = readers.first(AssertSqlSafe(oldest_in()), &[]).await?;
    let states = readers.all(AssertSqlSafe(states_in()), &[]).await?;
    let read = || -> sqlx::Result<Standing> {
        let oldest = oldest.map_or(Ok(None), |row| row.time_or_null("oldest"))?;
        let count = |row: &Row| Ok((row.named("state", SessionState::named)?, row.count("count")?));
        Ok(Standing { oldest, states: states.iter().map(count).collect::<sqlx::Result<_>>()? })
    };
    read().map_err(Origin::unreadable)
}

fn oldest_in() -> String {
    format!(
        "SELECT MIN(updated) AS oldest FROM
             (SELECT updated FROM sessions WHERE {READY} ORDER BY place DESC, id LIMIT {OLDEST}) AS first"
    )
}

fn states_in() -> String {
    let counts = SessionState::ALL.map(|state| {
        let name = state.name();
        let count = counted(&format!("forgotten = 0 AND state = '{name}'"));
        format!("SELECT '{name}' AS state, {count} AS count")
    });
    counts.join(" UNION ALL ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::plan;

    #[tokio::test]
    async fn sessions_are_counted_in_indexes() {
        for statement in [depth_in("0"), oldest_in(), states_in()] {
            let plan = plan(&statement).await;
            let of_sessions: Vec<_> = plan.iter().filter(|line| line.contains(" sessions")).collect();
            assert!(!of_sessions.is_empty(), "{plan:?}");
            assert!(of_sessions.iter().all(|line| line.contains("INDEX sessions_")), "{plan:?}");
            assert!(!plan.iter().any(|line| line.contains("TEMP B-TREE")), "{plan:?}");
        }
    }
}
