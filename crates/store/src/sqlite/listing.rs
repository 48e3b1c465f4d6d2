//! The rows of `sessions`.

use cofferdam_domain::{Seq, SessionId, Timestamp};
use sqlx::{Row as _, SqlitePool, sqlite::SqliteRow};

use super::{column, pages::failed};
use crate::{SessionFilter, StoreError, summary::Summary};

/// How many sessions are listed when nobody says.
const DEFAULT_LIMIT: u32 = 50;
/// The most that are listed at once.
const MAX_LIMIT: u32 = 1000;
/// Sorts after every session's id.
const AFTER_ALL: &str = "~";

/// A row of `sessions`.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) id: SessionId,
    pub(super) summary: Summary,
    pub(super) created: Timestamp,
    pub(super) updated: Timestamp,
    pub(super) last: Seq,
    pub(super) fence: u64,
}

/// One session.
pub(super) async fn find(readers: &SqlitePool, session: SessionId) -> Result<Listed, StoreError> {
    let row = sqlx::query("SELECT * FROM sessions WHERE id = ?1")
        .bind(session.to_string())
        .fetch_optional(readers)
        .await
        .map_err(|error| failed(readers, error))?;
    decode(&row.ok_or(StoreError::UnknownSession(session))?)
}

/// Sessions, newest first.
pub(super) async fn list(readers: &SqlitePool, filter: SessionFilter) -> Result<Vec<Listed>, StoreError> {
    let SessionFilter { state, before, limit } = filter;
    // Two statements, so that each can use its own index.
    let sql = if state.is_some() {
        "SELECT * FROM sessions WHERE id < ?1 AND state = ?3 ORDER BY id DESC LIMIT ?2"
    } else {
        "SELECT * FROM sessions WHERE id < ?1 ORDER BY id DESC LIMIT ?2"
    };
    let limit = if limit == 0 { DEFAULT_LIMIT } else { limit.min(MAX_LIMIT) };
    let mut query = sqlx::query(sql)
        .bind(before.map_or_else(|| AFTER_ALL.to_owned(), |before| before.to_string()))
        .bind(i64::from(limit));
    if let Some(state) = state {
        query = query.bind(state.name());
    }
    let rows = query.fetch_all(readers).await.map_err(|error| failed(readers, error))?;
    rows.iter().map(decode).collect()
}

fn decode(row: &SqliteRow) -> Result<Listed, StoreError> {
    let read = || -> sqlx::Result<Listed> {
        Ok(Listed {
            id: column::parsed(row, "id")?,
            summary: column::summary(row)?,
            created: column::time(row, "created")?,
            updated: column::time(row, "updated")?,
            last: column::seq(row, "last")?,
            fence: row.try_get::<i64, _>("fence")?.cast_unsigned(),
        })
    };
    read().map_err(|error| {
        let id = row.try_get::<String, _>("id").unwrap_or_default();
        StoreError::Corrupt { what: format!("the row of session {id:?} cannot be read: {error}") }
    })
}
