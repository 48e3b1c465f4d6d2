//! Taking sessions from the queue and giving them back. Each function is (part of) one transaction.

use cofferdam_domain::{SessionId, Timestamp, WaitingFor, WorkerId};

use super::{spending::Tally, turn::Turn};
use crate::{
    Release, Shares, StoreError,
    log::{
        line::{Line, next_day},
        rings::Matter,
    },
    sql::{News, Origin, Row, Sql, values},
};

/// The place of a session whose worker died: before every priority.
const FIRST_OF_ALL: i64 = 1 << 16;

/// What a machine knows that is not in the database.
pub(crate) trait Ground: Send + Sync {
    /// Whether a process has the session that did not take it from the queue.
    fn is_held(&self, session: SessionId) -> bool;
    /// Whether the worker's process is certainly gone, however short its silence.
    fn is_dead(&self, worker: WorkerId) -> bool;
}

/// Takes the session that is next.
pub(crate) async fn next(
    sql: &mut Sql<'_>,
    ground: &dyn Ground,
    worker: WorkerId,
    name: &str,
    shares: Shares,
) -> Result<Option<Line>, StoreError> {
    // One at a time: what is counted of those that run must stay so until one more does.
    if let Some(alone) = sql.either(None, Some("SELECT pg_advisory_xact_lock(7018416201901)")) {
        sql.run(alone, &[]).await?;
    }
    let now = sql.now().await?;
    if sql.first("SELECT id FROM workers WHERE id = $1", values![worker]).await?.is_none() {
        return Err(StoreError::Absent { worker });
    }
    take_from_the_gone(sql, ground, worker, now).await?;
    wake_those_due(sql, now).await?;
    let mut turn = Turn::of(sql, shares).await?;
    while let Some(session) = turn.next(sql).await? {
        if ground.is_held(session) {
            turn.pass(session);
        } else if let Some(line) = take(sql, session, worker, name, now).await? {
            return Ok(Some(line));
        } else {
            turn.pass(session);
        }
    }
    Ok(None)
}

/// `None` when somebody else is at the session's row.
async fn take(
    sql: &mut Sql<'_>,
    session: SessionId,
    worker: WorkerId,
    name: &str,
    now: Timestamp,
) -> Result<Option<Line>, StoreError> {
    let find = sql.either(
        "SELECT * FROM sessions WHERE id = $1",
        "SELECT * FROM sessions WHERE id = $1 FOR UPDATE SKIP LOCKED",
    );
    let Some(row) = sql.first(find, values![session]).await? else { return Ok(None) };
    let mut line = Line::decode(&row)?;
    if !line.is_ready() {
        return Ok(None);
    }
    line.fence += 1;
    line.worker = Some(worker);
    line.holder = Some(name.to_owned());
    line.since = now;
    hold(sql, &line, None).await?;
    sql.tell(News::Session(line.id, line.owner.org));
    Ok(Some(line))
}

/// Writes who has a session and since when, and what became of it before.
async fn hold(sql: &mut Sql<'_>, line: &Line, reason: Option<&str>) -> Result<(), StoreError> {
    let place = i64::from(line.priority());
    sql.run(
        "UPDATE sessions SET worker = $2, holder = $3, since = $4, fence = $5, crashes = $6, wanted = $7,
             not_before = $8, place = $9, reason = $10 WHERE id = $1",
        values![
            line.id,
            line.worker,
            line.holder.as_deref(),
            line.since,
            line.fence,
            line.crashes,
            line.wanted,
            line.not_before,
            place,
            reason,
        ],
    )
    .await
    .map(drop)
}

/// Takes their sessions from workers that are gone, and forgets those.
async fn take_from_the_gone(
    sql: &mut Sql<'_>,
    ground: &dyn Ground,
    me: WorkerId,
    now: Timestamp,
) -> Result<(), StoreError> {
    for present in workers(sql).await? {
        if present.worker != me && (present.until < now || ground.is_dead(present.worker)) {
            abandon(sql, present.worker, Some(present.seen)).await?;
        }
    }
    Ok(())
}

/// A row of `workers`.
struct Present {
    worker: WorkerId,
    seen: Timestamp,
    until: Timestamp,
}

async fn workers(sql: &mut Sql<'_>) -> Result<Vec<Present>, StoreError> {
    // A database that was down could not be told by anybody that they are there: their patience begins anew with it.
    let text = sql.either(
        "SELECT id, patience, seen FROM workers",
        "SELECT id, patience, greatest(seen, CAST(extract(epoch FROM pg_postmaster_start_time()) * 1000 AS BIGINT)) AS seen
         FROM workers",
    );
    let read = |row: &Row| -> sqlx::Result<Present> {
        let (seen, patience) = (row.time("seen")?, row.count("patience")?);
        let until = Timestamp(seen.0.saturating_add(patience));
        Ok(Present { worker: row.parsed("id")?, seen, until })
    };
    let rows = sql.all(text, &[]).await?;
    rows.iter().map(|row| read(row).map_err(Origin::unreadable)).collect()
}

/// Ends a worker's stay: others may have its sessions. If it died, that is counted; `died` is when it was last seen.
pub(crate) async fn abandon(
    sql: &mut Sql<'_>,
    worker: WorkerId,
    died: Option<Timestamp>,
) -> Result<(), StoreError> {
    let now = sql.now().await?;
    let find = sql.either(
        "SELECT * FROM sessions WHERE worker = $1 ORDER BY id",
        "SELECT * FROM sessions WHERE worker = $1 ORDER BY id FOR UPDATE",
    );
    let mut tally = Tally::default();
    for row in sql.all(find, values![worker]).await? {
        let line = Line::decode(&row)?;
        let crashed = died.is_some() && line.wanted;
        let place = if crashed { FIRST_OF_ALL } else { i64::from(line.priority()) };
        sql.run(
            "UPDATE sessions SET worker = NULL, holder = NULL, since = 0, fence = fence + 1,
                 crashes = crashes + $2, place = $3 WHERE id = $1",
            values![line.id, crashed, place],
        )
        .await?;
        count_time(&mut tally, &line, died.unwrap_or(now));
        sql.tell(News::Session(line.id, line.owner.org));
    }
    tally.write(sql).await?;
    sql.run("DELETE FROM workers WHERE id = $1", values![worker]).await?;
    sql.tell(News::Matter(Matter::Queue));
    Ok(())
}

fn count_time(tally: &mut Tally, line: &Line, until: Timestamp) {
    let spent = crate::Spending { sandbox_ms: until.millis_since(line.since), ..Default::default() };
    if line.since.0 > 0 {
        tally.add(line.owner, until, spent);
    }
}

async fn wake_those_due(sql: &mut Sql<'_>, now: Timestamp) -> Result<(), StoreError> {
    let wake = sql.either(
        "UPDATE sessions SET not_before = 0 WHERE not_before > 0 AND not_before <= $1",
        "UPDATE sessions SET not_before = 0 WHERE id IN
             (SELECT id FROM sessions WHERE not_before > 0 AND not_before <= $1 ORDER BY id FOR UPDATE SKIP LOCKED)",
    );
    sql.run(wake, values![now]).await.map(drop)
}

/// Gives a session back that was taken under this fence.
pub(crate) async fn release(
    sql: &mut Sql<'_>,
    session: SessionId,
    fence: u64,
    release: &Release,
) -> Result<(), StoreError> {
    let mut line = locked(sql, session).await?;
    if line.fence != fence {
        return Err(StoreError::Fenced { session, fence: line.fence });
    }
    let now = sql.now().await?;
    let mut tally = Tally::default();
    count_time(&mut tally, &line, now);
    line.fence += 1;
    (line.worker, line.holder, line.since) = (None, None, Timestamp(0));
    let mut why = None;
    match release {
        Release::Done { seen } => {
            line.crashes = 0;
            if line.wanted && line.summary.waiting() == Some(WaitingFor::Budget) && line.not_before.0 == 0 {
                // It was looked at because a budget was raised, and that was not enough.
                line.not_before = next_day(now);
            }
            let later = line.not_before.0 > 0;
            line.wanted = line.wanted && (later || line.head.seq > *seen);
        }
        Release::HandOver => line.crashes = 0,
        Release::TryAgain { not_before, reason } => {
            line.crashes = line.crashes.saturating_add(1);
            line.not_before = (*not_before).max(Timestamp(1));
            why = Some(reason.as_str());
        }
    }
    hold(sql, &line, why).await?;
    tally.write(sql).await?;
    sql.tell(News::Session(line.id, line.owner.org));
    sql.tell(News::Matter(Matter::Queue));
    Ok(())
}

/// A session's row, kept from others until the end of the transaction.
pub(crate) async fn locked(sql: &mut Sql<'_>, session: SessionId) -> Result<Line, StoreError> {
    let find =
        sql.either("SELECT * FROM sessions WHERE id = $1", "SELECT * FROM sessions WHERE id = $1 FOR UPDATE");
    let row = sql.first(find, values![session]).await?.ok_or(StoreError::UnknownSession(session))?;
    let line = Line::decode(&row)?;
    if line.forgotten { Err(StoreError::UnknownSession(session)) } else { Ok(line) }
}

/// Takes a session by its id, for a process that is no worker of the queue. `holder` is whom the database is to name for it.
pub(crate) async fn claim(
    sql: &mut Sql<'_>,
    ground: &dyn Ground,
    session: SessionId,
    holder: Option<(WorkerId, &str)>,
) -> Result<u64, StoreError> {
    let mut line = locked(sql, session).await?;
    let now = sql.now().await?;
    if let Some(worker) = line.worker
        && workers(sql)
            .await?
            .iter()
            .any(|present| present.worker == worker && present.until >= now && !ground.is_dead(worker))
    {
        let worker = line.holder.unwrap_or_else(|| worker.to_string());
        return Err(StoreError::Claimed { session, worker });
    }
    line.fence += 1;
    line.worker = holder.map(|(worker, _)| worker);
    line.holder = holder.map(|(_, name)| name.to_owned());
    line.since = Timestamp(0);
    hold(sql, &line, None).await?;
    Ok(line.fence)
}

/// Ends such a claim, if it is still the latest.
pub(crate) async fn unclaim(sql: &mut Sql<'_>, session: SessionId, fence: u64) -> Result<(), StoreError> {
    let ended = sql
        .run(
            "UPDATE sessions SET worker = NULL, holder = NULL WHERE id = $1 AND fence = $2",
            values![session, fence],
        )
        .await?;
    if ended > 0 {
        sql.tell(News::Matter(Matter::Queue));
    }
    Ok(())
}
