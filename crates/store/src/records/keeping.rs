//! For how long things are kept, and whose duty it is to remove them.

use std::time::Duration;

use cofferdam_domain::{Digest, OrgId, SessionId, Timestamp};
use sqlx::AssertSqlSafe;

use crate::{
    Duty, Keeping, StoreError,
    sql::{Origin, Readers, Row, Sql, values},
};

/// Takes a duty, or keeps it; whether it is this holder's now.
pub(crate) async fn take(
    sql: &mut Sql<'_>,
    duty: Duty,
    holder: &str,
    time: Duration,
) -> Result<bool, StoreError> {
    let now = sql.now().await?;
    let until = now.0.saturating_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    let taken = sql
        .run(
            "INSERT INTO duties (name, holder, until) VALUES ($1, $2, $3)
             ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
             WHERE duties.holder = excluded.holder OR duties.until <= $4",
            values![duty.name(), holder, until, now],
        )
        .await?;
    Ok(taken > 0)
}

/// Gives a duty back.
pub(crate) async fn leave(sql: &mut Sql<'_>, duty: Duty, holder: &str) -> Result<(), StoreError> {
    let text = "DELETE FROM duties WHERE name = $1 AND holder = $2";
    sql.run(text, values![duty.name(), holder]).await.map(drop)
}

pub(crate) async fn set(sql: &mut Sql<'_>, org: OrgId, keeping: Keeping) -> Result<(), StoreError> {
    let Keeping { sessions, files } = keeping;
    let days = |days: Option<std::num::NonZeroU32>| days.map(|days| u64::from(days.get()));
    sql.run(
        "INSERT INTO keeping (org, sessions, files) VALUES ($1, $2, $3)
         ON CONFLICT (org) DO UPDATE SET sessions = excluded.sessions, files = excluded.files",
        values![org, days(sessions), days(files)],
    )
    .await
    .map(drop)
}

pub(crate) async fn get(readers: &Readers, org: OrgId) -> Result<Keeping, StoreError> {
    let row = readers.first("SELECT sessions, files FROM keeping WHERE org = $1", values![org]).await?;
    let Some(row) = row else { return Ok(Keeping::default()) };
    let days = |column: &str| -> sqlx::Result<_> {
        let days = row.count_or_null(column)?;
        Ok(days.and_then(|days| u32::try_from(days).ok()).and_then(std::num::NonZeroU32::new))
    };
    let read =
        || -> sqlx::Result<Keeping> { Ok(Keeping { sessions: days("sessions")?, files: days("files")? }) };
    read().map_err(Origin::unreadable)
}

/// Sessions that ended longest ago and that nobody is to work on, with the time of their last event.
pub(crate) async fn ended(
    readers: &Readers,
    org: OrgId,
    archived: bool,
    most: u32,
) -> Result<Vec<(SessionId, Timestamp)>, StoreError> {
    // A row of each that may be in the index, so that it is used whatever the database thinks.
    let which = if archived { "archived IN (0, 1)" } else { "archived = 0" };
    let text = format!(
        "SELECT id, updated FROM sessions WHERE org = $1 AND {which} AND state = 'ended' AND forgotten = 0
             AND wanted = 0 AND worker IS NULL ORDER BY updated, id LIMIT $2"
    );
    let rows = readers.all(AssertSqlSafe(text), values![org, most]).await?;
    rows.iter().map(dated).collect::<sqlx::Result<_>>().map_err(Origin::unreadable)
}

/// Sessions that were forgotten after `after`, and when.
pub(crate) async fn forgotten(
    readers: &Readers,
    after: Timestamp,
) -> Result<Vec<(SessionId, Timestamp)>, StoreError> {
    let text = "SELECT id, updated FROM sessions WHERE forgotten = 1 AND updated > $1 ORDER BY updated";
    let rows = readers.all(text, values![after]).await?;
    rows.iter().map(dated).collect::<sqlx::Result<_>>().map_err(Origin::unreadable)
}

fn dated(row: &Row) -> sqlx::Result<(SessionId, Timestamp)> {
    Ok((row.parsed("id")?, row.time("updated")?))
}

/// Lets go of the content that may expire of sessions that ended at `ended` or before. Returns what was referred to, and when it last was.
pub(crate) async fn let_go(
    sql: &mut Sql<'_>,
    org: OrgId,
    ended: Timestamp,
    most: u32,
) -> Result<Vec<(Digest, Timestamp)>, StoreError> {
    let rows = sql
        .all(
            "SELECT b.session, b.digest, b.at FROM session_blobs b JOIN sessions s ON s.id = b.session
             WHERE b.passing = 1 AND s.org = $1 AND s.state = 'ended' AND s.wanted = 0 AND s.worker IS NULL
                 AND s.updated <= $2 LIMIT $3",
            values![org, ended, most],
        )
        .await?;
    let mut contents = Vec::new();
    for row in rows {
        let read = || -> sqlx::Result<(SessionId, Digest, Timestamp)> {
            Ok((row.parsed("session")?, row.digest("digest")?, row.time("at")?))
        };
        let (session, digest, at) = read().map_err(Origin::unreadable)?;
        let text = "DELETE FROM session_blobs WHERE session = $1 AND digest = $2";
        sql.run(text, values![session, digest]).await?;
        contents.push((digest, at));
    }
    Ok(contents)
}

/// When the session that ended first of those with content that may expire did so.
pub(crate) async fn first_to_let_go(readers: &Readers, org: OrgId) -> Result<Option<Timestamp>, StoreError> {
    let row = readers
        .first(
            "SELECT MIN(s.updated) AS updated FROM session_blobs b JOIN sessions s ON s.id = b.session
             WHERE b.passing = 1 AND s.org = $1 AND s.state = 'ended'",
            values![org],
        )
        .await?;
    row.map_or(Ok(None), |row| row.time_or_null("updated")).map_err(Origin::unreadable)
}
