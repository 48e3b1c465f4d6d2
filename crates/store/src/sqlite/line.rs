//! A session as a write sees it: where its log ends and what its row says. The statements of a write
//! transaction.
//!
//! The way to the database's thread and back costs more than most statements do, so what can go together goes
//! together: an append is three trips, whatever the number of its events (up to [`MAX_ROWS`]).

use cofferdam_domain::{Seq, SessionId, Timestamp, event::SCHEMA};
use sqlx::{AssertSqlSafe, Row as _, SqliteConnection, sqlite::SqliteRow};

use super::column;
use crate::{
    StoreError,
    chain::{Entry, Head, Stamp},
    summary::Summary,
};

/// The most events in one statement. Each number of them is a statement of its own, which the connection
/// keeps prepared.
const MAX_ROWS: usize = 16;

/// The text of a statement that begins with the one given.
macro_rules! find {
    ($first:literal) => {
        concat!(
            $first,
            "SELECT s.state, s.repository, s.title, s.outcome, s.fence, s.last AS seq, e.id, e.at, e.hash
             FROM sessions s LEFT JOIN events e ON e.session = s.id AND e.seq = s.last WHERE s.id = ?1"
        )
    };
}

/// Finds a session's row, and where its log ends.
pub(super) const FIND: &str = find!("");

/// The same, at the start of a transaction. `IMMEDIATE` takes the write lock at once: what is found stays so
/// until the end.
pub(super) const BEGIN_AND_FIND: &str = find!("BEGIN IMMEDIATE; ");

/// What must still be so when a worker's events are written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Guard {
    pub(super) fence: u64,
    pub(super) after: Seq,
}

impl Guard {
    /// Why the events may not be written, if so.
    pub(super) fn refuses(self, session: SessionId, line: &Line) -> Option<StoreError> {
        let last = line.head.seq;
        if self.fence != line.fence {
            Some(StoreError::Fenced { session, fence: line.fence })
        } else if self.after < last {
            Some(StoreError::Behind { session, last: last.0 })
        } else if self.after > last {
            let what = format!(
                "the log of {session} ends at event {}, its worker has seen {}",
                last.0, self.after.0
            );
            Some(StoreError::Corrupt { what })
        } else {
            None
        }
    }
}

/// What a write needs to know of a session.
#[derive(Debug)]
pub(super) struct Line {
    head: Head,
    pub(super) fence: u64,
    summary: Summary,
}

impl Default for Line {
    fn default() -> Self {
        Self { head: Head::START, fence: 0, summary: Summary::default() }
    }
}

impl Line {
    /// What [`find_row`] found.
    pub(super) fn decode(session: SessionId, row: &SqliteRow) -> Result<Self, StoreError> {
        let read = || -> Result<Self, sqlx::Error> {
            let fence: i64 = row.try_get("fence")?;
            Ok(Self {
                head: column::head(row)?,
                fence: fence.cast_unsigned(),
                summary: column::summary(row)?,
            })
        };
        read().map_err(|error| StoreError::Corrupt {
            what: format!("session {session} or its last event cannot be read: {error}"),
        })
    }

    /// Makes the row of a session that has no events yet.
    pub(super) async fn insert(
        &self,
        connection: &mut SqliteConnection,
        session: SessionId,
        at: Timestamp,
    ) -> sqlx::Result<()> {
        sqlx::query(
            "INSERT INTO sessions (id, state, repository, title, created, updated, last, fence)
             VALUES (?1, ?2, '', '', ?3, ?3, 0, 0)",
        )
        .bind(session.to_string())
        .bind(self.summary.state.name())
        .bind(at.0.cast_signed())
        .execute(connection)
        .await?;
        Ok(())
    }

    /// Writes events at the end of a log, and what they change in the session's row.
    pub(super) async fn extend(
        mut self,
        connection: &mut SqliteConnection,
        session: SessionId,
        at: Timestamp,
        entries: &[Entry],
    ) -> sqlx::Result<Vec<Stamp>> {
        let id = session.to_string();
        let mut stamps = Vec::with_capacity(entries.len());
        let mut changed = false;
        for entry in entries {
            let stamp = self.head.stamp(session, at, &entry.text);
            changed |= self.summary.apply(&entry.effect);
            self.head = stamp.head();
            stamps.push(stamp);
        }
        for (stamps, entries) in stamps.chunks(MAX_ROWS).zip(entries.chunks(MAX_ROWS)) {
            insert_events(connection, &id, stamps, entries).await?;
        }
        if changed {
            let Summary { state, repository, title, outcome } = self.summary;
            sqlx::query(
                "UPDATE sessions SET state = ?2, repository = ?3, title = ?4, outcome = ?5 WHERE id = ?1",
            )
            .bind(&id)
            .bind(state.name())
            .bind(repository)
            .bind(title)
            .bind(outcome)
            .execute(connection)
            .await?;
        }
        Ok(stamps)
    }
}

/// The row of a session, by one of the two statements above.
pub(super) async fn find_row(
    connection: &mut SqliteConnection,
    session: SessionId,
    sql: &'static str,
) -> sqlx::Result<Option<SqliteRow>> {
    sqlx::query(sql).bind(session.to_string()).fetch_optional(connection).await
}

/// Inserts events, at least one and at most [`MAX_ROWS`], and moves the session's row on to the last of them.
async fn insert_events(
    connection: &mut SqliteConnection,
    session: &str,
    stamps: &[Stamp],
    entries: &[Entry],
) -> sqlx::Result<()> {
    let mut sql =
        String::from("INSERT INTO events (session, schema, seq, id, at, body, previous, hash) VALUES ");
    for row in 0..stamps.len() {
        let comma = if row == 0 { "" } else { ", " };
        let first = 3 + row * 6;
        let [seq, id, at, body, previous, hash] = std::array::from_fn(|column| first + column);
        sql.push_str(&format!("{comma}(?1, ?2, ?{seq}, ?{id}, ?{at}, ?{body}, ?{previous}, ?{hash})"));
    }
    let seq = 3 + (stamps.len() - 1) * 6;
    let at = seq + 2;
    sql.push_str(&format!("; UPDATE sessions SET last = ?{seq}, updated = ?{at} WHERE id = ?1"));

    let mut query = sqlx::query(AssertSqlSafe(sql)).bind(session).bind(i64::from(SCHEMA));
    for (Stamp { seq, id, at, previous, hash }, Entry { text, effect: _ }) in stamps.iter().zip(entries) {
        query = query
            .bind(seq.0.cast_signed())
            .bind(id.to_string())
            .bind(at.0.cast_signed())
            .bind(text)
            .bind(&previous.as_bytes()[..])
            .bind(&hash.as_bytes()[..]);
    }
    query.execute(connection).await?;
    Ok(())
}

/// Raises the session's fence by one.
pub(super) async fn raise_fence(connection: &mut SqliteConnection, session: SessionId) -> sqlx::Result<u64> {
    let row = sqlx::query("UPDATE sessions SET fence = fence + 1 WHERE id = ?1 RETURNING fence")
        .bind(session.to_string())
        .fetch_one(connection)
        .await?;
    Ok(row.try_get::<i64, _>("fence")?.cast_unsigned())
}
